/* SPDX-License-Identifier: MIT */
/*
 * The memory of all file pages: slabs, a free list, and the clean pages in the
 * order in which they may be evicted (second chance).
 *
 * Rules    (PP1) On the LRU list are the clean, UPTODATE pages. Membership
 *                changes under pages->lock and pool->lock, so either is enough
 *                to look.
 *          (PP2) A file is on the dirty list while it has dirty pages.
 *          (PP3) Slabs stay until the pool is freed.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "cache/page.h"

#define SLAB_BYTES  (1u << 20)
#define PAGE_ALIGN  4096u
#define EVICT_BATCH 32u

struct page_slab {
	SLIST_ENTRY(page_slab) link;
	uint8_t *mem;
	struct page pages[];
};

TAILQ_HEAD(page_cache_list, page_cache);

struct page_pool {
	uint32_t page_size; /* [const] */
	size_t max_pages;   /* [const] */
	struct mutex lock;
	struct cond wait;              /* [lock] a flusher is done */
	struct page_list free;         /* [lock] */
	struct page_list lru;          /* [lock] newest first */
	size_t nlru;                   /* [lock] */
	struct page_cache_list dirty;  /* [lock] longest dirty first */
	SLIST_HEAD(, page_slab) slabs; /* [lock] */
	_Atomic size_t nused;          /* changed under lock */
	_Atomic size_t ndirty;
};

int page_pool_new(uint32_t page_size, size_t max_bytes,
		struct page_pool **ret_pool)
{
	struct page_pool *pool;

	assert(is_pow2_u64(page_size) && page_size <= SLAB_BYTES);
	pool = calloc(1, sizeof(*pool));
	if (pool == NULL)
		return -ENOMEM;
	pool->page_size = page_size;
	pool->max_pages = max_of(max_bytes / page_size, 1);
	mutex_init(&pool->lock, "page_pool", LOCK_RANK_LEAF);
	cond_init(&pool->wait);
	TAILQ_INIT(&pool->free);
	TAILQ_INIT(&pool->lru);
	TAILQ_INIT(&pool->dirty);
	SLIST_INIT(&pool->slabs);
	*ret_pool = pool;
	return 0;
}

void page_pool_free(struct page_pool *pool)
{
	if (pool == NULL)
		return;
	assert(pool->nused == 0 && pool->ndirty == 0 && pool->nlru == 0);
	while (!SLIST_EMPTY(&pool->slabs)) {
		struct page_slab *slab = SLIST_FIRST(&pool->slabs);

		SLIST_REMOVE_HEAD(&pool->slabs, link);
		free(slab->mem);
		free(slab);
	}
	cond_fini(&pool->wait);
	mutex_fini(&pool->lock);
	free(pool);
}

size_t page_pool_bytes(struct page_pool *pool)
{
	return atomic_load(&pool->nused) * pool->page_size;
}

size_t page_pool_max_bytes(const struct page_pool *pool)
{
	return pool->max_pages * pool->page_size;
}

size_t page_pool_dirty_bytes(struct page_pool *pool)
{
	return atomic_load(&pool->ndirty) * pool->page_size;
}

uint32_t page_pool_page_size(const struct page_pool *pool)
{
	return pool->page_size;
}

/* One more slab on the free list. */
static int page_pool_grow_locked(struct page_pool *pool)
{
	size_t n = SLAB_BYTES / pool->page_size;
	struct page_slab *slab;

	/* A small pool has no use for a whole slab. */
	n = min_of(n, max_of(pool->max_pages, 8));
	slab = calloc(1, sizeof(*slab) + n * sizeof(slab->pages[0]));
	if (slab == NULL)
		return -ENOMEM;
	slab->mem = aligned_alloc(PAGE_ALIGN,
			round_up_u64(n * pool->page_size, PAGE_ALIGN));
	if (slab->mem == NULL) {
		free(slab);
		return -ENOMEM;
	}
	SLIST_INSERT_HEAD(&pool->slabs, slab, link);
	/* In order of address, so that pages taken together are one piece of
	 * memory and one iovec. */
	for (size_t i = 0; i < n; i++) {
		slab->pages[i].data = slab->mem + i * pool->page_size;
		TAILQ_INSERT_TAIL(&pool->free, &slab->pages[i], link);
	}
	return 0;
}

/* Evict @page if it is idle. The try-lock goes against the lock order; the
 * file is there because its page is on the list. */
static bool page_pool_evict_one_locked(
		struct page_pool *pool, struct page *page) UEXT4_NO_TSA
{
	struct page_cache *pc = page->pc;
	bool is_idle;

	if (!mutex_trylock(&pc->lock))
		return false;
	is_idle = page->flags == PAGE_UPTODATE && page->nshared == 0;
	if (is_idle) {
		page_tree_remove(&pc->tree, page->index);
		atomic_fetch_sub(&pc->npages, 1);
		TAILQ_REMOVE(&pool->lru, page, link);
		page->on_lru = false;
		pool->nlru--;
		page->pc = NULL;
		page->flags = 0;
		TAILQ_INSERT_TAIL(&pool->free, page, link);
		atomic_fetch_sub(&pool->nused, 1);
	}
	mutex_unlock(&pc->lock);
	return is_idle;
}

/* Evict about @want pages, the oldest not referenced first. Returns how many;
 * bounded work, so 0 does not prove that there is none. */
static size_t page_pool_evict_locked(struct page_pool *pool, size_t want)
{
	size_t scan = min_of(2 * pool->nlru, 8 * want + 64);
	size_t done = 0;

	while (scan-- > 0 && done < want && pool->nlru > 0) {
		struct page *page = TAILQ_LAST(&pool->lru, page_list);

		if (!atomic_exchange_explicit(&page->referenced, false,
				    memory_order_relaxed) &&
				page_pool_evict_one_locked(pool, page)) {
			done++;
			continue;
		}
		TAILQ_REMOVE(&pool->lru, page, link);
		TAILQ_INSERT_HEAD(&pool->lru, page, link);
	}
	return done;
}

void page_pool_shrink(struct page_pool *pool, size_t target)
{
	size_t keep = target / pool->page_size;

	mutex_lock(&pool->lock);
	while (atomic_load(&pool->nused) > keep &&
			page_pool_evict_locked(pool, EVICT_BATCH) > 0)
		;
	mutex_unlock(&pool->lock);
}

/* A page off the free list, which may have to grow or be fed by eviction. */
static int page_pool_take_one_locked(
		struct page_pool *pool, struct page **ret_page)
{
	struct page *page;
	int ret;

	while ((page = TAILQ_FIRST(&pool->free)) == NULL) {
		ret = page_pool_grow_locked(pool);
		if (ret < 0 && page_pool_evict_locked(pool, EVICT_BATCH) == 0)
			return ret;
	}
	TAILQ_REMOVE(&pool->free, page, link);
	page->flags = 0;
	page->nshared = 0;
	page->nfailed = 0;
	atomic_store_explicit(&page->referenced, false, memory_order_relaxed);
	atomic_fetch_add(&pool->nused, 1);
	*ret_page = page;
	return 0;
}

int page_pool_take(struct page_pool *pool, unsigned n, struct page_list *list)
{
	struct page_list got = TAILQ_HEAD_INITIALIZER(got);
	bool may_evict = true;
	struct page *page;
	int ret = 0;

	mutex_lock(&pool->lock);
	while (n > 0 && ret == 0) {
		if (may_evict && atomic_load(&pool->nused) >= pool->max_pages)
			/* Over the bound and nothing to evict: grow (P4). */
			may_evict = page_pool_evict_locked(pool,
						    max_of(n, EVICT_BATCH)) > 0;
		ret = page_pool_take_one_locked(pool, &page);
		if (ret < 0)
			break;
		TAILQ_INSERT_TAIL(&got, page, link);
		n--;
	}
	mutex_unlock(&pool->lock);
	if (ret < 0)
		page_pool_give(pool, &got);
	else
		TAILQ_CONCAT(list, &got, link);
	return ret;
}

void page_pool_give(struct page_pool *pool, struct page_list *list)
{
	struct page *page;

	if (TAILQ_EMPTY(list))
		return;
	mutex_lock(&pool->lock);
	TAILQ_FOREACH(page, list, link)
	atomic_fetch_sub(&pool->nused, 1);
	TAILQ_CONCAT(&pool->free, list, link);
	mutex_unlock(&pool->lock);
}

static bool page_wants_lru(const struct page *page)
{
	return (page->flags & (PAGE_UPTODATE | PAGE_DIRTY)) == PAGE_UPTODATE;
}

/* PP1 */
static void page_pool_relist_locked(struct page_pool *pool, struct page *page)
{
	bool wants = page_wants_lru(page);

	if (wants == page->on_lru)
		return;
	if (wants) {
		TAILQ_INSERT_HEAD(&pool->lru, page, link);
		pool->nlru++;
	} else {
		TAILQ_REMOVE(&pool->lru, page, link);
		pool->nlru--;
	}
	page->on_lru = wants;
}

/* PP2 */
static void page_pool_relist_file_locked(
		struct page_pool *pool, struct page_cache *pc)
{
	bool is_dirty = atomic_load(&pc->ndirty) != 0;

	if (is_dirty == pc->on_dirty)
		return;
	if (is_dirty)
		TAILQ_INSERT_TAIL(&pool->dirty, pc, dirty_link);
	else
		TAILQ_REMOVE(&pool->dirty, pc, dirty_link);
	pc->on_dirty = is_dirty;
}

void page_pool_update(struct page_cache *pc, struct page **pages, unsigned n,
		int64_t dirty_delta)
{
	struct page_pool *pool = pc->pool;
	unsigned i = 0;

	if (dirty_delta != 0) {
		atomic_fetch_add(&pc->ndirty, (uint64_t)dirty_delta);
		atomic_fetch_add(&pool->ndirty, (size_t)dirty_delta);
	}
	/* Mostly nothing moves, and the pool's lock is not needed. */
	while (i < n && pages[i]->on_lru == page_wants_lru(pages[i]))
		i++;
	if (i == n && (atomic_load(&pc->ndirty) != 0) == pc->on_dirty)
		return;

	mutex_lock(&pool->lock);
	for (; i < n; i++)
		page_pool_relist_locked(pool, pages[i]);
	page_pool_relist_file_locked(pool, pc);
	mutex_unlock(&pool->lock);
}

void page_pool_detach(struct page_cache *pc, struct page *page,
		struct page_list *list)
{
	assert(page->nshared == 0 && !(page->flags & PAGE_DIRTY));
	page->flags = 0; /* off the LRU list */
	page_pool_update(pc, &page, 1, 0);
	page_tree_remove(&pc->tree, page->index);
	atomic_fetch_sub(&pc->npages, 1);
	page->pc = NULL;
	TAILQ_INSERT_TAIL(list, page, link);
}

struct page_cache *page_pool_get_dirty(struct page_pool *pool)
{
	struct page_cache *pc;

	mutex_lock(&pool->lock);
	pc = TAILQ_FIRST(&pool->dirty);
	if (pc != NULL) {
		/* Others meet another file first. */
		TAILQ_REMOVE(&pool->dirty, pc, dirty_link);
		TAILQ_INSERT_TAIL(&pool->dirty, pc, dirty_link);
		pc->nflushers++;
	}
	mutex_unlock(&pool->lock);
	return pc;
}

void page_pool_put_dirty(struct page_pool *pool, struct page_cache *pc)
{
	mutex_lock(&pool->lock);
	pc->nflushers--;
	if (pc->nflushers == 0)
		cond_broadcast(&pool->wait);
	mutex_unlock(&pool->lock);
}

void page_pool_forget(struct page_cache *pc)
{
	struct page_pool *pool = pc->pool;

	mutex_lock(&pc->lock);
	mutex_lock(&pool->lock);
	if (pc->on_dirty)
		TAILQ_REMOVE(&pool->dirty, pc, dirty_link);
	pc->on_dirty = false;
	mutex_unlock(&pc->lock);
	while (pc->nflushers > 0)
		cond_wait(&pool->wait, &pool->lock);
	mutex_unlock(&pool->lock);
}
