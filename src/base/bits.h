/* SPDX-License-Identifier: MIT */
/*
 * Bitmaps in memory order as on disk: bit n is bit n % 8 of byte n / 8.
 *
 * Scans go by 64-bit words at any alignment and never touch a byte that
 * holds no bit of the range. Not locked.
 */
#ifndef UEXT4_BASE_BITS_H
#define UEXT4_BASE_BITS_H

#include <stdbool.h>
#include <stdint.h>

static inline bool bits_test(const void *map, uint64_t bit)
{
	return (((const uint8_t *)map)[bit / 8] >> (bit % 8)) & 1;
}

static inline void bits_set(void *map, uint64_t bit)
{
	((uint8_t *)map)[bit / 8] |= (uint8_t)(1u << (bit % 8));
}

static inline void bits_clear(void *map, uint64_t bit)
{
	((uint8_t *)map)[bit / 8] &= (uint8_t) ~(1u << (bit % 8));
}

/* Set or clear the @n bits from @start on. */
void bits_set_range(void *map, uint64_t start, uint64_t n);
void bits_clear_range(void *map, uint64_t start, uint64_t n);

/* The first clear (set) bit in [@start, @end); @end when there is none. */
uint64_t bits_find_next_zero(const void *map, uint64_t start, uint64_t end);
uint64_t bits_find_next_set(const void *map, uint64_t start, uint64_t end);

/* The number of set bits in [@start, @end). */
uint64_t bits_count(const void *map, uint64_t start, uint64_t end);

/* Are the @n bits from @start on all set (all clear)? True for none. */
bool bits_all_set(const void *map, uint64_t start, uint64_t n);
bool bits_all_clear(const void *map, uint64_t start, uint64_t n);

#endif /* UEXT4_BASE_BITS_H */
