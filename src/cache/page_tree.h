/* SPDX-License-Identifier: MIT */
/*
 * The pages of one file by index: a radix tree of 64-way nodes.
 *
 * It answers in order ("the next page from here on", "the next dirty page"),
 * because a node knows in two words which slots are taken and which of them
 * lead to a dirty page.
 *
 * Rules    (R1) A node is freed when its last slot is emptied.
 *          (R2) A dirty bit is set at every level above a dirty page, and at
 *               no other place.
 *
 * Locks    None of its own: the cache's lock.
 */
#ifndef UEXT4_CACHE_PAGE_TREE_H
#define UEXT4_CACHE_PAGE_TREE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct page_node;

struct page_tree {
	struct page_node *root;
	unsigned height; /* levels; 0: empty */
};

static inline void page_tree_init(struct page_tree *t)
{
	t->root = NULL;
	t->height = 0;
}

/* The entry at @index, or NULL. */
void *page_tree_find(const struct page_tree *t, uint64_t index);
/* @index is free. -ENOMEM with nothing changed. */
int page_tree_insert(struct page_tree *t, uint64_t index,
		void *entry) UEXT4_MUST_CHECK;
/* Take out and return the entry at @index; NULL if there is none. */
void *page_tree_remove(struct page_tree *t, uint64_t index);
/* There is an entry at @index. */
void page_tree_set_dirty(struct page_tree *t, uint64_t index, bool dirty);
/* The first entry (@dirty: the first dirty one) at or after @index, and where
 * it stands; NULL if there is none. */
void *page_tree_next(const struct page_tree *t, uint64_t index, bool dirty,
		uint64_t *ret_index);

#endif /* UEXT4_CACHE_PAGE_TREE_H */
