/* SPDX-License-Identifier: MIT */
/*
 * Bitmap scans and range changes by 64-bit words.
 *
 * Words are loaded in little-endian order, so bit n of the word that starts
 * at byte b is bit 8 * b + n of the map on any host.
 */
#include "base/bits.h"

#include <string.h>

#include "base/le.h"

/* Up to 8 bytes from byte @byte on, but none at or past byte @end_byte; what
 * is not loaded reads as 0. */
static uint64_t bits_load(const uint8_t *map, uint64_t byte, uint64_t end_byte)
{
	uint64_t n = end_byte - byte;
	uint8_t tmp[8] = { 0 };

	if (n >= 8)
		return get_le64(map + byte);
	memcpy(tmp, map + byte, n);
	return get_le64(tmp);
}

static void bits_fill(void *map, uint64_t start, uint64_t n, bool value)
{
	uint8_t *p = (uint8_t *)map;
	uint64_t end = start + n;
	uint64_t first = start / 8;
	uint64_t last = end / 8;
	uint8_t head = (uint8_t)(0xffu << (start % 8));
	uint8_t tail = (uint8_t)((1u << (end % 8)) - 1);

	if (n == 0)
		return;
	if (first == last) {
		head &= tail;
		p[first] = value ? p[first] | head : p[first] & (uint8_t)~head;
		return;
	}
	p[first] = value ? p[first] | head : p[first] & (uint8_t)~head;
	memset(p + first + 1, value ? 0xff : 0, last - first - 1);
	if (tail)
		p[last] = value ? p[last] | tail : p[last] & (uint8_t)~tail;
}

void bits_set_range(void *map, uint64_t start, uint64_t n)
{
	bits_fill(map, start, n, true);
}

void bits_clear_range(void *map, uint64_t start, uint64_t n)
{
	bits_fill(map, start, n, false);
}

/* The first bit in [start, end) that is set after xor with @flip. */
static uint64_t bits_find(
		const void *map, uint64_t start, uint64_t end, uint64_t flip)
{
	const uint8_t *p = (const uint8_t *)map;
	uint64_t end_byte = (end + 7) / 8;
	uint64_t byte = start / 8;
	uint64_t mask = ~UINT64_C(0) << (start % 8);

	if (start >= end)
		return end;
	for (; byte < end_byte; byte += 8) {
		uint64_t w = (bits_load(p, byte, end_byte) ^ flip) & mask;

		if (w) {
			uint64_t bit = byte * 8 + (unsigned)__builtin_ctzll(w);

			return bit < end ? bit : end;
		}
		mask = ~UINT64_C(0);
	}
	return end;
}

uint64_t bits_find_next_set(const void *map, uint64_t start, uint64_t end)
{
	return bits_find(map, start, end, 0);
}

uint64_t bits_find_next_zero(const void *map, uint64_t start, uint64_t end)
{
	return bits_find(map, start, end, ~UINT64_C(0));
}

uint64_t bits_count(const void *map, uint64_t start, uint64_t end)
{
	const uint8_t *p = (const uint8_t *)map;
	uint64_t end_byte = (end + 7) / 8;
	uint64_t mask = ~UINT64_C(0) << (start % 8);
	uint64_t n = 0;

	if (start >= end)
		return 0;
	for (uint64_t byte = start / 8; byte < end_byte; byte += 8) {
		uint64_t w = bits_load(p, byte, end_byte) & mask;

		/* Bits at and past end, which only the last word has. */
		if (end - byte * 8 < 64)
			w &= (UINT64_C(1) << (end - byte * 8)) - 1;
		n += (unsigned)__builtin_popcountll(w);
		mask = ~UINT64_C(0);
	}
	return n;
}

bool bits_all_set(const void *map, uint64_t start, uint64_t n)
{
	return bits_find_next_zero(map, start, start + n) == start + n;
}

bool bits_all_clear(const void *map, uint64_t start, uint64_t n)
{
	return bits_find_next_set(map, start, start + n) == start + n;
}
