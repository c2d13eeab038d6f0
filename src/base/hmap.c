/* SPDX-License-Identifier: MIT */
/*
 * Chained hashing; the table doubles when there are more nodes than slots.
 *
 * Doubling moves all nodes at once: it costs what the inserts since the last
 * doubling saved, and keeps lookups free of any second table.
 */
#include "base/hmap.h"

#include <assert.h>
#include <stdlib.h>

#define HMAP_SLOTS_MIN 16u

static size_t hmap_slot(const struct hmap *m, uint64_t key)
{
	return (size_t)hmap_mix(key) & (m->nslots - 1);
}

int hmap_init(struct hmap *m, size_t expect)
{
	size_t nslots = HMAP_SLOTS_MIN;

	while (nslots < expect && nslots <= SIZE_MAX / 4)
		nslots *= 2;
	m->slots = (struct hmap_node **)calloc(nslots, sizeof(*m->slots));
	if (!m->slots)
		return -ENOMEM;
	m->nslots = nslots;
	m->count = 0;
	return 0;
}

void hmap_fini(struct hmap *m)
{
	free((void *)m->slots);
	m->slots = NULL;
	m->nslots = 0;
	m->count = 0;
}

static void hmap_link(struct hmap *m, struct hmap_node *node)
{
	struct hmap_node **slot = &m->slots[hmap_slot(m, node->key)];

	node->next = *slot;
	*slot = node;
}

static void hmap_grow(struct hmap *m)
{
	struct hmap old = *m;
	struct hmap_node **slots = (struct hmap_node **)calloc(
			old.nslots * 2, sizeof(*slots));

	if (!slots)
		return; /* longer chains, nothing worse */
	m->slots = slots;
	m->nslots = old.nslots * 2;
	for (size_t i = 0; i < old.nslots; i++) {
		struct hmap_node *node = old.slots[i];

		while (node) {
			struct hmap_node *next = node->next;

			hmap_link(m, node);
			node = next;
		}
	}
	free((void *)old.slots);
}

void hmap_insert(struct hmap *m, struct hmap_node *node, uint64_t key)
{
	if (m->count >= m->nslots && m->nslots <= SIZE_MAX / 32)
		hmap_grow(m);
	node->key = key;
	hmap_link(m, node);
	m->count++;
}

void hmap_remove(struct hmap *m, struct hmap_node *node)
{
	struct hmap_node **p = &m->slots[hmap_slot(m, node->key)];

	while (*p != node) {
		assert(*p);
		p = &(*p)->next;
	}
	*p = node->next;
	node->next = NULL;
	m->count--;
}

struct hmap_node *hmap_find(const struct hmap *m, uint64_t key)
{
	struct hmap_node *node = m->slots[hmap_slot(m, key)];

	while (node && node->key != key)
		node = node->next;
	return node;
}

struct hmap_node *hmap_find_next(const struct hmap_node *node)
{
	struct hmap_node *next = node->next;

	while (next && next->key != node->key)
		next = next->next;
	return next;
}

static struct hmap_node *hmap_scan(const struct hmap *m, size_t slot)
{
	for (; slot < m->nslots; slot++) {
		if (m->slots[slot])
			return m->slots[slot];
	}
	return NULL;
}

struct hmap_node *hmap_first(const struct hmap *m)
{
	return hmap_scan(m, 0);
}

struct hmap_node *hmap_next(const struct hmap *m, const struct hmap_node *node)
{
	if (node->next)
		return node->next;
	return hmap_scan(m, hmap_slot(m, node->key) + 1);
}
