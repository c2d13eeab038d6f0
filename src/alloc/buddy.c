/* SPDX-License-Identifier: MIT */
/*
 * The free-run index of one loaded group.
 *
 * A binary tree stands on the bitmap, a leaf for every LEAF_BITS bits. Each
 * node knows of its range the free run at the front, the one at the back and
 * the longest anywhere, so a parent is worked out of two children in a few
 * additions and a search for a long run walks down one path. Changing a bit
 * costs one leaf scan and one path up; nothing is ever allocated.
 *
 * The tree is an array: node 1 is the root, the children of i are 2i and
 * 2i + 1, the leaves are [nleaf, 2 * nleaf).
 *
 * Rules    (Y1) Bits past nbits are busy.
 *          (Y2) A node is always what its children (a leaf: its bits) say.
 */
#include "alloc/buddy.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/le.h"

#define LEAF_BITS  256u
#define LEAF_WORDS (LEAF_BITS / 64u)

struct node {
	uint32_t front;   /* free bits at the start */
	uint32_t back;    /* free bits at the end */
	uint32_t longest; /* the longest free run inside */
};

struct buddy {
	uint32_t nbits;
	uint32_t nleaf; /* a power of two */
	uint32_t nfree;
	uint8_t *map;       /* nleaf * LEAF_BITS bits */
	struct node node[]; /* 2 * nleaf */
};

static uint32_t buddy_nleaf(uint32_t nbits)
{
	uint32_t n = 1;

	while (n * LEAF_BITS < nbits)
		n *= 2;
	return n;
}

size_t buddy_bytes(uint32_t nbits)
{
	size_t nleaf = buddy_nleaf(nbits);

	return sizeof(struct buddy) + 2 * nleaf * sizeof(struct node) +
			nleaf * (LEAF_BITS / 8);
}

/* Add one word of a leaf to @n, @run being the free run before it. */
static uint32_t leaf_add_word(
		struct node *n, uint32_t run, uint32_t base, uint64_t busy)
{
	uint32_t at = 0;

	while (busy != 0) {
		uint32_t zeros = (uint32_t)__builtin_ctzll(busy);
		/* Zeros come in from above and end the ones, if any do. */
		uint64_t rest = ~(busy >> zeros);
		uint32_t ones = rest ? (uint32_t)__builtin_ctzll(rest) : 64;

		run += zeros;
		if (run == base + at + zeros)
			n->front = run;
		n->longest = max_of(n->longest, run);
		run = 0;
		at += zeros + ones;
		if (at >= 64)
			break;
		busy = busy >> zeros >> ones;
	}
	return at < 64 ? run + (64 - at) : run;
}

static void leaf_update(struct buddy *b, uint32_t leaf)
{
	const uint8_t *p = b->map + (size_t)leaf * (LEAF_BITS / 8);
	struct node n = { 0 };
	uint32_t run = 0;

	for (uint32_t w = 0; w < LEAF_WORDS; w++)
		run = leaf_add_word(
				&n, run, w * 64, get_le64(p + (size_t)w * 8));
	if (run == LEAF_BITS)
		n.front = run;
	n.back = run;
	n.longest = max_of(n.longest, run);
	b->node[b->nleaf + leaf] = n;
}

/* Work out node @i, whose children cover @half bits each. */
static void node_update(struct buddy *b, uint32_t i, uint32_t half)
{
	const struct node *l = &b->node[(size_t)2 * i], *r = l + 1;
	struct node *n = &b->node[i];

	n->front = l->front == half ? half + r->front : l->front;
	n->back = r->back == half ? half + l->back : r->back;
	n->longest = max_of(l->back + r->front, max_of(l->longest, r->longest));
}

/* Bits [pos, pos + len) changed (Y2). */
static void buddy_update(struct buddy *b, uint32_t pos, uint32_t len)
{
	uint32_t lo = pos / LEAF_BITS, hi = (pos + len - 1) / LEAF_BITS;
	uint32_t half = LEAF_BITS;

	for (uint32_t leaf = lo; leaf <= hi; leaf++)
		leaf_update(b, leaf);
	lo = (lo + b->nleaf) / 2;
	hi = (hi + b->nleaf) / 2;
	for (; lo != 0; lo /= 2, hi /= 2, half *= 2)
		for (uint32_t i = lo; i <= hi; i++)
			node_update(b, i, half);
}

int buddy_new(const void *bitmap, uint32_t nbits, struct buddy **ret_b)
{
	uint32_t nleaf = buddy_nleaf(nbits);
	struct buddy *b = malloc(buddy_bytes(nbits));

	assert(nbits > 0 && nbits <= 1u << 20);
	if (b == NULL)
		return -ENOMEM;
	b->nbits = nbits;
	b->nleaf = nleaf;
	b->map = (uint8_t *)(b->node + 2 * (size_t)nleaf);
	memset(b->map, 0xff, (size_t)nleaf * (LEAF_BITS / 8));
	memcpy(b->map, bitmap, (nbits + 7) / 8);
	if (nbits % 8 != 0) /* Y1 */
		b->map[nbits / 8] |= (uint8_t)(0xffu << (nbits % 8));
	b->nfree = nbits - (uint32_t)bits_count(b->map, 0, nbits);
	buddy_update(b, 0, nleaf * LEAF_BITS);
	*ret_b = b;
	return 0;
}

void buddy_free(struct buddy *b)
{
	free(b);
}

void buddy_take(struct buddy *b, uint32_t pos, uint32_t len)
{
	assert(len > 0 && range_is_within(pos, len, 0, b->nbits));
	b->nfree -= len - (uint32_t)bits_count(b->map, pos, pos + len);
	bits_set_range(b->map, pos, len);
	buddy_update(b, pos, len);
}

void buddy_give(struct buddy *b, uint32_t pos, uint32_t len)
{
	assert(len > 0 && range_is_within(pos, len, 0, b->nbits));
	b->nfree += (uint32_t)bits_count(b->map, pos, pos + len);
	bits_clear_range(b->map, pos, len);
	buddy_update(b, pos, len);
}

bool buddy_all_free(const struct buddy *b, uint32_t pos, uint32_t len)
{
	assert(range_is_within(pos, len, 0, b->nbits));
	return bits_all_clear(b->map, pos, len);
}

bool buddy_all_busy(const struct buddy *b, uint32_t pos, uint32_t len)
{
	assert(range_is_within(pos, len, 0, b->nbits));
	return bits_all_set(b->map, pos, len);
}

uint32_t buddy_run_at(const struct buddy *b, uint32_t pos, uint32_t max)
{
	uint32_t end;

	if (pos >= b->nbits)
		return 0;
	end = max < b->nbits - pos ? pos + max : b->nbits;
	return (uint32_t)bits_find_next_set(b->map, pos, end) - pos;
}

/* The first place in bits [from, end) where @want are free. */
static bool leaf_find(const struct buddy *b, uint32_t from, uint32_t end,
		uint32_t want, uint32_t *ret_pos)
{
	while (from < end) {
		uint32_t pos, stop;

		pos = (uint32_t)bits_find_next_zero(b->map, from, end);
		if (end - pos < want)
			return false;
		stop = (uint32_t)bits_find_next_set(b->map, pos, pos + want);
		if (stop == pos + want) {
			*ret_pos = pos;
			return true;
		}
		from = stop;
	}
	return false;
}

/* Node @i covers [start, start + size) and holds a run of @want: the first. */
static uint32_t node_find(const struct buddy *b, uint32_t i, uint32_t start,
		uint32_t size, uint32_t want)
{
	uint32_t pos = start;
	bool found;

	while (i < b->nleaf) {
		const struct node *l = &b->node[(size_t)2 * i];
		const struct node *r = l + 1;

		size /= 2;
		if (l->longest >= want) {
			i = 2 * i;
		} else if (l->back + r->front >= want) {
			return start + size - l->back;
		} else {
			i = 2 * i + 1;
			start += size;
		}
	}
	found = leaf_find(b, start, start + LEAF_BITS, want, &pos);
	assert(found); /* Y2 */
	(void)found;
	return pos;
}

/* Free bits right before the end of a leaf, none before @from counted. */
static uint32_t leaf_back(const struct buddy *b, uint32_t leaf, uint32_t from)
{
	uint32_t end = (leaf + 1) * LEAF_BITS;

	return min_of(b->node[b->nleaf + leaf].back, end - from);
}

bool buddy_find(const struct buddy *b, uint32_t from, uint32_t want,
		uint32_t *ret_pos)
{
	uint32_t leaf = from / LEAF_BITS, i, end, size = LEAF_BITS, run;

	assert(want > 0);
	if (from >= b->nbits || b->node[1].longest < want)
		return false;
	end = (leaf + 1) * LEAF_BITS;
	if (leaf_find(b, from, end, want, ret_pos))
		return true;

	/* Go right, node by node; @run bits up to @end are free. */
	run = leaf_back(b, leaf, from);
	i = b->nleaf + leaf;
	for (;;) {
		const struct node *n;

		while ((i & 1) != 0) {
			i /= 2;
			size *= 2;
		}
		if (i == 0)
			return false;
		n = &b->node[++i];
		if (run + n->front >= want) {
			*ret_pos = end - run;
			return true;
		}
		if (n->longest >= want) {
			*ret_pos = node_find(b, i, end, size, want);
			return true;
		}
		run = n->back == size ? run + size : n->back;
		end += size;
	}
}

uint32_t buddy_longest(const struct buddy *b)
{
	return b->node[1].longest;
}

uint32_t buddy_count_free(const struct buddy *b)
{
	return b->nfree;
}
