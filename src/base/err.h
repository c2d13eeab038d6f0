/* SPDX-License-Identifier: MIT */
/*
 * Error numbers and the small arithmetic that keeps them honest.
 *
 * A function answers 0 or a count, or a negative errno. Two numbers mean
 * something of ours:
 *   -UEXT4_ECORRUPT  the disk lies: a field that cannot be
 *   -UEXT4_EBADCSUM  a checksum does not fit its bytes
 *
 * Numbers from the disk are added and multiplied through check_add() and
 * check_mul(): they say false when the result would wrap.
 */
#ifndef UEXT4_BASE_ERR_H
#define UEXT4_BASE_ERR_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UEXT4_ECORRUPT EUCLEAN
#define UEXT4_EBADCSUM EBADMSG

#define UEXT4_MUST_CHECK      __attribute__((warn_unused_result))
#define UEXT4_PRINTF(fmt, va) __attribute__((format(printf, fmt, va)))

/* An error number, of either sign, in words: a constant, never NULL. */
const char *err_text(int err);

/* This error changes nothing any more: a worse one is already on its way. */
static inline void err_ignore(int ret)
{
	(void)ret;
}

/* The struct of @type whose @member stands at @ptr. */
#define container_of(ptr, type, member)                                        \
 ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define array_len(a) (sizeof(a) / sizeof((a)[0]))

/* Both sides are evaluated twice: give them no side effects. */
#define min_of(a, b) ((a) < (b) ? (a) : (b))
#define max_of(a, b) ((a) > (b) ? (a) : (b))

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* @unit is any number but 0. The caller knows that @n + @unit fits. */
static inline uint64_t round_up_u64(uint64_t n, uint64_t unit)
{
	return (n + unit - 1) / unit * unit;
}

static inline uint64_t round_down_u64(uint64_t n, uint64_t unit)
{
	return n / unit * unit;
}

static inline uint64_t div_up_u64(uint64_t n, uint64_t unit)
{
	return n / unit + (n % unit != 0);
}

static inline bool is_pow2_u64(uint64_t n)
{
	return n != 0 && (n & (n - 1)) == 0;
}

/* floor(log2(n)); @n is not 0. */
static inline unsigned log2_u64(uint64_t n)
{
	return 63u - (unsigned)__builtin_clzll(n);
}

/* *ret_sum = a + b; false, and *ret_sum of no use, when it does not fit. */
static inline bool check_add(uint64_t a, uint64_t b, uint64_t *ret_sum)
{
	return !__builtin_add_overflow(a, b, ret_sum);
}

static inline bool check_mul(uint64_t a, uint64_t b, uint64_t *ret_product)
{
	return !__builtin_mul_overflow(a, b, ret_product);
}

/* Does [start, start + len) lie within [lo, hi)? Safe for any numbers. */
static inline bool range_is_within(
		uint64_t start, uint64_t len, uint64_t lo, uint64_t hi)
{
	return start >= lo && start <= hi && len <= hi - start;
}

#endif /* UEXT4_BASE_ERR_H */
