/* SPDX-License-Identifier: MIT */
/*
 * File pages: the cached contents of files, one page a file system block.
 *
 * Each file has a struct page_cache; all share a struct page_pool, which
 * bounds their memory. Write-back goes through the owner (iomap), the cache
 * only keeps order.
 *
 * States   (flags of a page)
 *          absent -> BUSY              page_get() creates it, filler holds it
 *          BUSY -> UPTODATE            filled
 *          UPTODATE -> DIRTY           written into
 *          DIRTY -> WRITEBACK -> clean data on the device
 *          clean -> absent             evicted, invalidated
 *
 * Rules    (P1) Two pages never cover one block of one file.
 *          (P2) Contents change only under BUSY; nobody writes into a page
 *               under WRITEBACK (waits for it).
 *          (P3) A DELALLOC page is dirty and holds one block's claim.
 *          (P4) Memory is bounded: clean idle pages are evicted, least recently
 *               used first; a writer that finds too much dirty writes back.
 *
 * Locks    pages->lock (leaf over tree and flags) < pool->lock. BUSY is the rank
 *          LOCK_RANK_PAGE and may be waited for; ascending order of index.
 */
#ifndef UEXT4_CACHE_PAGE_H
#define UEXT4_CACHE_PAGE_H
/* The owner of this file lays out the structs below as he needs; the names
 * page_pool, page_cache and these calls are used by others. */
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/lock.h"

struct page;

struct page_pool;
/* Pages of @page_size, together at most about @max_bytes. */
int page_pool_new(uint32_t page_size, size_t max_bytes,
		struct page_pool **ret_pool);
void page_pool_free(struct page_pool *pool);
size_t page_pool_bytes(struct page_pool *pool);
size_t page_pool_dirty_bytes(struct page_pool *pool);

struct page_cache {
	struct page_pool *pool; /* [const] */
	struct mutex lock;
	struct cond wait;	  /* [lock] a page stopped being busy */
	struct page_tree *tree;	  /* [lock] by index */
	_Atomic uint64_t npages;  /* cheap test "nothing cached" */
	_Atomic uint64_t ndirty;
	uint32_t wb_err;	  /* [lock] errseq */
};

#endif /* UEXT4_CACHE_PAGE_H */
