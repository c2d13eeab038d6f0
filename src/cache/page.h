/* SPDX-License-Identifier: MIT */
/*
 * File pages: the cached contents of files, one page a file system block.
 *
 * Each file has a struct page_cache; all share a struct page_pool, which
 * bounds their memory. What is in a page comes from and goes to the owner
 * (iomap); the cache keeps order:
 *
 *	pages_lock(pc, index, n, pages);	create or find, hold alone
 *	... fill, change pages[i]->data ...
 *	pages_mark_dirty(pc, pages, n, 0);
 *	pages_unlock(pc, pages, n);
 *
 * States   (flags of a page)
 *          absent -> BUSY              pages_lock(), pages_create()
 *          BUSY -> UPTODATE            filled
 *          UPTODATE -> DIRTY           written into
 *          DIRTY -> WRITEBACK          pages_start_writeback()
 *          WRITEBACK -> clean | DIRTY  pages_end_writeback()
 *          clean -> absent             evicted, invalidated, dropped
 *
 * Rules    (P1) Two pages never cover one block of one file.
 *          (P2) Contents change only under BUSY, which one thread holds, and
 *               are read under BUSY or a shared hold. WRITEBACK is a shared
 *               hold: nobody writes into a page on its way to the device.
 *          (P3) A DELALLOC page is dirty and holds one block's claim.
 *          (P4) Memory is bounded: clean idle pages are evicted, those not
 *               used lately first; when there is none the pool outgrows its
 *               bound and the writers have to write back.
 *          (P5) BUSY and shared holds are waited for holding none of another
 *               file, and within a file in ascending order of index. One
 *               thread has one batch at a time.
 *          (P6) A page that is let go and not UPTODATE leaves the cache.
 *
 * Locks    pages->lock (tree, flags, counts) > pool->lock (lists). The evictor
 *          goes the other way with a try-lock. Holds are the pseudo-lock
 *          LOCK_RANK_PAGE, outside the journal handle.
 */
#ifndef UEXT4_CACHE_PAGE_H
#define UEXT4_CACHE_PAGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/err.h"
#include "base/lock.h"
#include "cache/page_tree.h"

#define PAGE_BUSY      0x01u /* held alone */
#define PAGE_UPTODATE  0x02u /* the contents are those of the file */
#define PAGE_DIRTY     0x04u /* newer than the device */
#define PAGE_DELALLOC  0x08u /* dirty, with a claim instead of a block */
#define PAGE_WRITEBACK 0x10u /* shared hold of a write-back */

/* So often the same page may fail to be written before it is given up. */
#define PAGE_MAX_FAILURES 5

struct page {
	uint8_t *data;         /* [const] page_size bytes */
	uint64_t index;        /* [const] while in a tree */
	struct page_cache *pc; /* [const] while in a tree */
	uint32_t flags;        /* [pc->lock]; the BUSY holder may look */
	bool is_wanted;   /* [pc->lock] somebody waits to hold it alone; set
				  by others than the holder, so no flag */
	uint32_t nshared; /* [pc->lock] */
	uint32_t nfailed; /* [pc->lock] write-backs that failed */
	bool on_lru;      /* [pc->lock and pool->lock] */
	_Atomic bool referenced;
	TAILQ_ENTRY(page) link; /* [pool->lock] lru or free list */
};

TAILQ_HEAD(page_list, page);

/* ---- the pool: page_pool.c ---- */

struct page_pool;

/* Pages of @page_size, together at most about @max_bytes. */
int page_pool_new(uint32_t page_size, size_t max_bytes,
		struct page_pool **ret_pool) UEXT4_MUST_CHECK;
/* No file uses it any more. */
void page_pool_free(struct page_pool *pool);
/* Bytes in pages that belong to files, the bound, and the dirty ones. */
size_t page_pool_bytes(struct page_pool *pool);
size_t page_pool_max_bytes(const struct page_pool *pool);
size_t page_pool_dirty_bytes(struct page_pool *pool);
uint32_t page_pool_page_size(const struct page_pool *pool);
/* Evict clean idle pages until at most @target bytes are in use, as far as it
 * goes. */
void page_pool_shrink(struct page_pool *pool, size_t target);

/* ---- one file: page.c ---- */

struct page_cache {
	struct page_pool *pool; /* [const] */
	struct mutex lock;
	struct cond wait;        /* [lock] a page was let go */
	uint32_t nwaiting;       /* [lock] */
	struct page_tree tree;   /* [lock] by index */
	_Atomic uint64_t npages; /* cheap test "nothing cached" */
	_Atomic uint64_t ndirty;
	_Atomic uint64_t clean_seq; /* goes up when pages become clean */
	uint32_t wb_err;            /* [lock] see page_cache_check_error() */
	TAILQ_ENTRY(page_cache) dirty_link; /* [pool->lock] */
	bool on_dirty;                      /* [lock and pool->lock] */
	uint32_t nflushers;                 /* [pool->lock] */
};

void page_cache_init(struct page_cache *pc, struct page_pool *pool);
/* No page is held. Pages left are thrown away, dirty or not; waits for
 * flushers that found this file through the pool. */
void page_cache_fini(struct page_cache *pc);

/* The file of the pool that has been dirty longest, or NULL. It stays alive
 * until page_pool_put_dirty(). */
struct page_cache *page_pool_get_dirty(struct page_pool *pool);
void page_pool_put_dirty(struct page_pool *pool, struct page_cache *pc);

/* Hold the pages [@index, @index + @n) alone, creating (not UPTODATE) those
 * that are absent. -ENOMEM: none is held. */
int pages_lock(struct page_cache *pc, uint64_t index, unsigned n,
		struct page **ret_pages) UEXT4_MUST_CHECK;
/* Create and hold alone as many pages from @index on as are absent without a
 * gap, at most @n. Does not wait. Returns how many, or -ENOMEM. */
int pages_create(struct page_cache *pc, uint64_t index, unsigned n,
		struct page **ret_pages) UEXT4_MUST_CHECK;
/* Let go a batch of pages_lock() or pages_create(): all @n of it. */
void pages_unlock(struct page_cache *pc, struct page **pages, unsigned n);
/* The holder filled these. */
void pages_mark_uptodate(
		struct page_cache *pc, struct page **pages, unsigned n);
/* The holder wrote into these: UPTODATE and DIRTY, DELALLOC too if @delalloc
 * (one claim each: they were not dirty before). */
void pages_mark_dirty(struct page_cache *pc, struct page **pages, unsigned n,
		bool delalloc);

/* Shared holds on the UPTODATE pages from @index on, without a gap, at most
 * @n. Waits only for the first one. Returns how many: 0 when the first is
 * absent. */
unsigned pages_get_shared(struct page_cache *pc, uint64_t index, unsigned n,
		struct page **ret_pages);
void pages_put_shared(struct page_cache *pc, struct page **pages, unsigned n);

/*
 * Write-back: the next run of dirty pages in [@index, @last], consecutive, of
 * one kind (*ret_delalloc), at most @n. Waits until the first is idle. Returns
 * how many; 0: no page there is dirty or on its way to the device any more.
 */
unsigned pages_start_writeback(struct page_cache *pc, uint64_t index,
		uint64_t last, unsigned n, struct page **ret_pages,
		bool *ret_delalloc);
/* What became of a page under write-back. */
enum page_wb_result {
	PAGE_WB_CLEAN,   /* on the device */
	PAGE_WB_PARTLY,  /* has a block now, but stays dirty */
	PAGE_WB_UNTRIED, /* stays as it was */
	PAGE_WB_FAILED,  /* stays dirty, or is given up (PAGE_MAX_FAILURES) */
};
/* End the write-back of the whole batch; @results one each. Returns how many
 * claims went down with pages that were given up: the caller returns them. */
unsigned pages_end_writeback(struct page_cache *pc, struct page **pages,
		unsigned n, const uint8_t *results);

/* Throw the pages of [@first, @last] away, dirty or not, waiting for holders.
 * Returns how many claims went with them. */
uint64_t pages_drop(struct page_cache *pc, uint64_t first, uint64_t last);
/* Throw the clean pages of [@first, @last] away. -EBUSY: a dirty one was left;
 * with @nowait -EAGAIN also for one that is dirty or held. */
int pages_invalidate(struct page_cache *pc, uint64_t first, uint64_t last,
		bool nowait) UEXT4_MUST_CHECK;
/* Is a page of [@first, @last] dirty? Where is the first one, and the first
 * that is not dirty? UINT64_MAX: none up to @last. */
bool pages_has_dirty(struct page_cache *pc, uint64_t first, uint64_t last);
uint64_t pages_next_dirty(struct page_cache *pc, uint64_t first, uint64_t last);
uint64_t pages_next_not_dirty(
		struct page_cache *pc, uint64_t first, uint64_t last);
/* The first cached page at or after @first; UINT64_MAX: none up to @last. */
uint64_t pages_next_present(
		struct page_cache *pc, uint64_t first, uint64_t last);

/* Remember a write-back error for everybody who has a cursor. */
void page_cache_set_error(struct page_cache *pc, int err);
/* A cursor of now: errors that nobody has been told of yet are still ahead. */
uint32_t page_cache_sample_error(struct page_cache *pc);
/* 0, or -errno of the last error since @since; moves @since. */
int page_cache_check_error(struct page_cache *pc, uint32_t *since);

/* ---- between page.c and page_pool.c ---- */

/* Append @n pages that belong to nobody to @list, evicting if need be.
 * -ENOMEM: none. Not under any pages->lock. */
int page_pool_take(struct page_pool *pool, unsigned n,
		struct page_list *list) UEXT4_MUST_CHECK;
/* The pages of @list belong to nobody any more. */
void page_pool_give(struct page_pool *pool, struct page_list *list);
/* @pc->lock is held. @dirty_delta pages of @pc became dirty (or clean); the
 * @n @pages changed their flags: put them on or off the LRU list. */
void page_pool_update(struct page_cache *pc, struct page **pages, unsigned n,
		int64_t dirty_delta) UEXT4_REQUIRES(pc->lock);
/* @pc->lock is held: @page leaves the tree and goes to @list. */
void page_pool_detach(struct page_cache *pc, struct page *page,
		struct page_list *list) UEXT4_REQUIRES(pc->lock);
/* Take @pc out of the pool: no flusher is at it and none will find it. */
void page_pool_forget(struct page_cache *pc);

#endif /* UEXT4_CACHE_PAGE_H */
