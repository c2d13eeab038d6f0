/* SPDX-License-Identifier: MIT */
/*
 * The free-run index of one loaded group: which runs of bits are free, and
 * where is the next one that is long enough?
 *
 *	ret = buddy_new(bitmap, nbits, &b);
 *	if (buddy_find(b, from, want, &pos))
 *		buddy_take(b, pos, buddy_run_at(b, pos, len));
 *
 * A bit is busy for whatever reason; the index has a copy of its own, which
 * says more than the bitmap on disk does. Not locked: the group's lock.
 */
#ifndef UEXT4_ALLOC_BUDDY_H
#define UEXT4_ALLOC_BUDDY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct buddy;

/* An index of the @nbits (1 .. 2^20) bits of @bitmap, which is copied; set
 * bits are busy. -ENOMEM. */
int buddy_new(const void *bitmap, uint32_t nbits,
		struct buddy **ret_b) UEXT4_MUST_CHECK;
void buddy_free(struct buddy *b);
/* The memory that an index of @nbits takes. */
size_t buddy_bytes(uint32_t nbits);

/* All of [@pos, @pos + @len) become busy (free), whatever they were. */
void buddy_take(struct buddy *b, uint32_t pos, uint32_t len);
void buddy_give(struct buddy *b, uint32_t pos, uint32_t len);

/* Are all of them free (busy)? */
bool buddy_all_free(const struct buddy *b, uint32_t pos, uint32_t len);
bool buddy_all_busy(const struct buddy *b, uint32_t pos, uint32_t len);
/* The length of the free run that starts at @pos, at most @max. */
uint32_t buddy_run_at(const struct buddy *b, uint32_t pos, uint32_t max);
/* The lowest @pos >= @from with @want (> 0) free bits from there on. */
bool buddy_find(const struct buddy *b, uint32_t from, uint32_t want,
		uint32_t *ret_pos);
/* The longest free run; all free bits. */
uint32_t buddy_longest(const struct buddy *b);
uint32_t buddy_count_free(const struct buddy *b);

#endif /* UEXT4_ALLOC_BUDDY_H */
