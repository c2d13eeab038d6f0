/* SPDX-License-Identifier: MIT */
/*
 * A hash map from 64-bit keys to nodes that live inside the caller's objects.
 *
 *	struct buf { struct hmap_node node; ... };
 *	hmap_insert(&m, &b->node, pblk);
 *	n = hmap_find(&m, pblk);
 *	b = n ? container_of(n, struct buf, node) : NULL;
 *
 * It grows by itself; if memory is short it only gets slower, so inserting
 * cannot fail. Several nodes may have one key. Not locked.
 */
#ifndef UEXT4_BASE_HMAP_H
#define UEXT4_BASE_HMAP_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct hmap_node {
	struct hmap_node *next;
	uint64_t key;
};

struct hmap {
	struct hmap_node **slots;
	size_t nslots; /* a power of two */
	size_t count;
};

/* An empty map with room for about @expect nodes (0: small). -ENOMEM. */
int hmap_init(struct hmap *m, size_t expect) UEXT4_MUST_CHECK;
/* Free the table; the nodes are the caller's. */
void hmap_fini(struct hmap *m);

void hmap_insert(struct hmap *m, struct hmap_node *node, uint64_t key);
/* @node is in the map. */
void hmap_remove(struct hmap *m, struct hmap_node *node);
/* A node with @key, NULL if there is none. */
struct hmap_node *hmap_find(const struct hmap *m, uint64_t key);
/* The next node after @node with the same key, or NULL. */
struct hmap_node *hmap_find_next(const struct hmap_node *node);

/* Walk all nodes in no order. Nothing may be inserted meanwhile; to remove
 * the current node, ask for its successor first. */
struct hmap_node *hmap_first(const struct hmap *m);
struct hmap_node *hmap_next(const struct hmap *m, const struct hmap_node *node);

static inline size_t hmap_count(const struct hmap *m)
{
	return m->count;
}

/* A good mix of 64 bits, for callers that build a key of several numbers. */
static inline uint64_t hmap_mix(uint64_t x)
{
	x ^= x >> 32;
	x *= 0x9e3779b97f4a7c15u;
	x ^= x >> 29;
	x *= 0xbf58476d1ce4e5b9u;
	return x ^ (x >> 32);
}

#endif /* UEXT4_BASE_HMAP_H */
