/* SPDX-License-Identifier: MIT */
#include "cache/page_tree.h"

#include <assert.h>
#include <stdlib.h>

#define NODE_BITS  6u
#define NODE_SLOTS (1u << NODE_BITS)
#define MAX_HEIGHT 10u /* 60 bits: more than the blocks of 2^64 bytes */

struct page_node {
	uint64_t taken;          /* slots that are not NULL */
	uint64_t dirty;          /* slots that lead to a dirty entry (R2) */
	void *slots[NODE_SLOTS]; /* nodes, or entries at the lowest level */
};

/* The slot of @index in a node of @level (1: lowest). */
static unsigned node_slot(uint64_t index, unsigned level)
{
	return (unsigned)(index >> (NODE_BITS * (level - 1))) &
			(NODE_SLOTS - 1);
}

/* Does a tree of @height reach as far as @index? */
static bool height_covers(unsigned height, uint64_t index)
{
	return index >> (NODE_BITS * height) == 0;
}

void *page_tree_find(const struct page_tree *t, uint64_t index)
{
	const struct page_node *node = t->root;

	if (node == NULL || !height_covers(t->height, index))
		return NULL;
	for (unsigned level = t->height; level > 1 && node != NULL; level--)
		node = node->slots[node_slot(index, level)];
	return node != NULL ? node->slots[node_slot(index, 1)] : NULL;
}

/* Put roots on top until @index is covered. */
static int page_tree_grow(struct page_tree *t, uint64_t index)
{
	while (t->root == NULL || !height_covers(t->height, index)) {
		struct page_node *node = calloc(1, sizeof(*node));

		if (node == NULL)
			return -ENOMEM;
		t->height++;
		if (t->root != NULL) {
			node->slots[0] = t->root;
			node->taken = 1;
			node->dirty = t->root->dirty != 0;
		} else {
			/* An empty tree is at once as high as needed. */
			while (!height_covers(t->height, index))
				t->height++;
		}
		t->root = node;
	}
	return 0;
}

/* Free the empty nodes on the way to @index, lowest first (R1), and the empty
 * or needless root. */
static void page_tree_prune(struct page_tree *t, uint64_t index)
{
	struct page_node *path[MAX_HEIGHT + 1];
	struct page_node *node = t->root;
	unsigned level = t->height;

	if (node == NULL)
		return;
	while (level > 1 && node != NULL) {
		path[level] = node;
		node = node->slots[node_slot(index, level)];
		level--;
	}
	path[level] = node;
	for (; level <= t->height; level++) {
		node = path[level];
		if (node != NULL && node->taken != 0)
			break;
		free(node);
		if (level == t->height) {
			page_tree_init(t);
			return;
		}
		path[level + 1]->slots[node_slot(index, level + 1)] = NULL;
		path[level + 1]->taken &=
				~(UINT64_C(1) << node_slot(index, level + 1));
	}
	while (t->height > 1 && t->root->taken == 1) {
		node = t->root;
		t->root = node->slots[0];
		t->height--;
		free(node);
	}
}

int page_tree_insert(struct page_tree *t, uint64_t index, void *entry)
{
	struct page_node *node;
	int ret;

	assert(height_covers(MAX_HEIGHT, index));
	ret = page_tree_grow(t, index);
	if (ret < 0)
		goto out_prune;
	node = t->root;
	for (unsigned level = t->height; level > 1; level--) {
		unsigned slot = node_slot(index, level);

		if (node->slots[slot] == NULL) {
			node->slots[slot] = calloc(1, sizeof(*node));
			if (node->slots[slot] == NULL) {
				ret = -ENOMEM;
				goto out_prune;
			}
			node->taken |= UINT64_C(1) << slot;
		}
		node = node->slots[slot];
	}
	assert(node->slots[node_slot(index, 1)] == NULL); /* P1 */
	node->slots[node_slot(index, 1)] = entry;
	node->taken |= UINT64_C(1) << node_slot(index, 1);
	return 0;

out_prune:
	if (t->root != NULL && height_covers(t->height, index))
		page_tree_prune(t, index);
	else if (t->root != NULL)
		page_tree_prune(t, 0);
	return ret;
}

void *page_tree_remove(struct page_tree *t, uint64_t index)
{
	struct page_node *node = t->root;
	void *entry;

	if (page_tree_find(t, index) == NULL)
		return NULL;
	page_tree_set_dirty(t, index, false);
	for (unsigned level = t->height; level > 1; level--)
		node = node->slots[node_slot(index, level)];
	entry = node->slots[node_slot(index, 1)];
	node->slots[node_slot(index, 1)] = NULL;
	node->taken &= ~(UINT64_C(1) << node_slot(index, 1));
	if (node->taken == 0 || (t->height > 1 && t->root->taken == 1))
		page_tree_prune(t, index);
	return entry;
}

void page_tree_set_dirty(struct page_tree *t, uint64_t index, bool dirty)
{
	struct page_node *path[MAX_HEIGHT + 1];
	struct page_node *node = t->root;

	assert(page_tree_find(t, index) != NULL);
	for (unsigned level = t->height; level >= 1; level--) {
		path[level] = node;
		if (dirty)
			node->dirty |= UINT64_C(1) << node_slot(index, level);
		node = node->slots[node_slot(index, level)];
	}
	for (unsigned level = 1; !dirty && level <= t->height; level++) {
		path[level]->dirty &= ~(UINT64_C(1) << node_slot(index, level));
		if (path[level]->dirty != 0)
			break;
	}
}

/*
 * The lowest index >= @index with its bit set: go down along @index; where the
 * way ends, take the next set slot on the right, going up when there is none.
 */
void *page_tree_next(const struct page_tree *t, uint64_t index, bool dirty,
		uint64_t *ret_index)
{
	const struct page_node *path[MAX_HEIGHT + 1];
	unsigned level = t->height;

	if (level == 0 || !height_covers(level, index))
		return NULL;
	path[level] = t->root;
	for (;;) {
		const struct page_node *node = path[level];
		unsigned shift = NODE_BITS * (level - 1);
		unsigned slot = node_slot(index, level);
		uint64_t bits = (dirty ? node->dirty : node->taken) &
				~UINT64_C(0) << slot;

		if (bits == 0) {
			/* On to the next slot one level up. */
			do {
				if (level == t->height)
					return NULL;
				level++;
				shift = NODE_BITS * (level - 1);
			} while (node_slot(index, level) == NODE_SLOTS - 1);
			index = ((index >> shift) + 1) << shift;
			continue;
		}
		if ((unsigned)__builtin_ctzll(bits) != slot) {
			slot = (unsigned)__builtin_ctzll(bits);
			index = (index >> shift >> NODE_BITS << NODE_BITS |
						slot)
					<< shift;
		}
		if (level == 1) {
			*ret_index = index;
			return node->slots[slot];
		}
		path[--level] = node->slots[slot];
	}
}
