/* SPDX-License-Identifier: MIT */
#include "cache/page.h"

#include <assert.h>
#include <string.h>

void page_cache_init(struct page_cache *pc, struct page_pool *pool)
{
	memset(pc, 0, sizeof(*pc));
	pc->pool = pool;
	mutex_init(&pc->lock, "pages", LOCK_RANK_CACHE);
	cond_init(&pc->wait);
	page_tree_init(&pc->tree);
}

void page_cache_fini(struct page_cache *pc)
{
	page_pool_forget(pc);
	pages_drop(pc, 0, UINT64_MAX);
	/* The last clean_up of a dirty page may have listed us again. */
	page_pool_forget(pc);
	assert(pc->npages == 0 && pc->ndirty == 0);
	cond_fini(&pc->wait);
	mutex_fini(&pc->lock);
}

/* A hold on pages of @pc, to the lock order checker. */
static void pages_note_hold(struct page_cache *pc)
{
	lockrank_push(&pc->tree, "page", LOCK_RANK_PAGE, LOCK_TRY);
}

static void pages_note_release(struct page_cache *pc)
{
	lockrank_pop(&pc->tree, "page");
}

static void pages_check_wait(struct page_cache *pc)
{
	lockrank_check(&pc->tree, "page", LOCK_RANK_PAGE, 0);
}

static bool page_is_idle(const struct page *page)
{
	return !(page->flags & PAGE_BUSY) && page->nshared == 0;
}

static void pages_wait_locked(struct page_cache *pc) UEXT4_REQUIRES(pc->lock)
{
	pc->nwaiting++;
	cond_wait(&pc->wait, &pc->lock);
	pc->nwaiting--;
}

/* Wait for @page to be let go; afterwards it may be gone. is_wanted keeps new
 * readers out, or they could keep us out for ever. */
static void page_wait_idle_locked(struct page_cache *pc, struct page *page)
		UEXT4_REQUIRES(pc->lock)
{
	page->is_wanted = true;
	pages_wait_locked(pc);
}

static void pages_wake_locked(struct page_cache *pc) UEXT4_REQUIRES(pc->lock)
{
	if (pc->nwaiting > 0)
		cond_broadcast(&pc->wait);
}

/* The last hold of @page is gone. Returns false when it left for @list. */
static bool page_settle_locked(struct page_cache *pc, struct page *page,
		struct page_list *list) UEXT4_REQUIRES(pc->lock)
{
	page->flags &= ~PAGE_BUSY;
	page->is_wanted = false;
	if (page->flags & PAGE_UPTODATE)
		return true;
	page_pool_detach(pc, page, list); /* P6 */
	return false;
}

/* ---- holding alone ---- */

static unsigned pages_count_absent_locked(struct page_cache *pc, uint64_t index,
		unsigned n) UEXT4_REQUIRES(pc->lock)
{
	unsigned absent = 0;

	if (atomic_load(&pc->npages) == 0)
		return n;
	for (unsigned i = 0; i < n; i++)
		absent += page_tree_find(&pc->tree, index + i) == NULL;
	return absent;
}

/* Put the first page of @spare into the tree at @index, BUSY. */
static int page_insert_locked(struct page_cache *pc, uint64_t index,
		struct page_list *spare, struct page **ret_page)
		UEXT4_REQUIRES(pc->lock)
{
	struct page *page = TAILQ_FIRST(spare);
	int ret;

	ret = page_tree_insert(&pc->tree, index, page);
	if (ret < 0)
		return ret;
	TAILQ_REMOVE(spare, page, link);
	page->pc = pc;
	page->index = index;
	page->flags = PAGE_BUSY;
	page->is_wanted = false;
	/* Sequentially consistent: a direct writer that found 0 here finished
	 * before the filler of this page looks at the device (E4). */
	atomic_fetch_add(&pc->npages, 1);
	*ret_page = page;
	return 0;
}

static void pages_unlock_locked(struct page_cache *pc, struct page **pages,
		unsigned n, struct page_list *gone) UEXT4_REQUIRES(pc->lock)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < n; i++)
		if (page_settle_locked(pc, pages[i], gone))
			pages[kept++] = pages[i];
	page_pool_update(pc, pages, kept, 0);
	pages_wake_locked(pc);
}

int pages_lock(struct page_cache *pc, uint64_t index, unsigned n,
		struct page **ret_pages)
{
	struct page_list spare = TAILQ_HEAD_INITIALIZER(spare);
	unsigned i = 0;
	int ret = 0;

	pages_check_wait(pc);
	mutex_lock(&pc->lock);
	while (i < n) {
		struct page *page = page_tree_find(&pc->tree, index + i);

		if (page == NULL && TAILQ_EMPTY(&spare)) {
			unsigned need = pages_count_absent_locked(
					pc, index + i, n - i);

			mutex_unlock(&pc->lock);
			ret = page_pool_take(pc->pool, need, &spare);
			mutex_lock(&pc->lock);
			if (ret < 0)
				break;
		} else if (page == NULL) {
			ret = page_insert_locked(
					pc, index + i, &spare, &ret_pages[i]);
			if (ret < 0)
				break;
			i++;
		} else if (!page_is_idle(page)) {
			page_wait_idle_locked(pc, page);
		} else {
			page->flags |= PAGE_BUSY;
			ret_pages[i++] = page;
		}
	}
	if (ret < 0)
		pages_unlock_locked(pc, ret_pages, i, &spare);
	mutex_unlock(&pc->lock);
	page_pool_give(pc->pool, &spare);
	if (ret == 0)
		pages_note_hold(pc);
	return ret;
}

int pages_create(struct page_cache *pc, uint64_t index, unsigned n,
		struct page **ret_pages)
{
	struct page_list spare = TAILQ_HEAD_INITIALIZER(spare);
	uint64_t next;
	unsigned i = 0;
	int ret;

	/* How long is the gap? */
	mutex_lock(&pc->lock);
	if (page_tree_next(&pc->tree, index, false, &next) != NULL)
		n = (unsigned)min_u64(n, next - index);
	mutex_unlock(&pc->lock);
	if (n == 0)
		return 0;
	ret = page_pool_take(pc->pool, n, &spare);
	if (ret < 0)
		return ret;

	mutex_lock(&pc->lock);
	while (i < n && page_tree_find(&pc->tree, index + i) == NULL) {
		ret = page_insert_locked(pc, index + i, &spare, &ret_pages[i]);
		if (ret < 0)
			break;
		i++;
	}
	mutex_unlock(&pc->lock);
	page_pool_give(pc->pool, &spare);
	if (i > 0)
		pages_note_hold(pc);
	return i > 0 ? (int)i : ret;
}

void pages_unlock(struct page_cache *pc, struct page **pages, unsigned n)
{
	struct page_list gone = TAILQ_HEAD_INITIALIZER(gone);

	if (n == 0)
		return;
	pages_note_release(pc);
	mutex_lock(&pc->lock);
	pages_unlock_locked(pc, pages, n, &gone);
	mutex_unlock(&pc->lock);
	page_pool_give(pc->pool, &gone);
}

void pages_mark_uptodate(struct page_cache *pc, struct page **pages, unsigned n)
{
	mutex_lock(&pc->lock);
	for (unsigned i = 0; i < n; i++) {
		assert(pages[i]->flags & PAGE_BUSY); /* P2 */
		pages[i]->flags |= PAGE_UPTODATE;
	}
	mutex_unlock(&pc->lock);
}

void pages_mark_dirty(struct page_cache *pc, struct page **pages, unsigned n,
		bool delalloc)
{
	int64_t delta = 0;

	mutex_lock(&pc->lock);
	for (unsigned i = 0; i < n; i++) {
		struct page *page = pages[i];

		assert(page->flags & PAGE_BUSY); /* P2 */
		page->flags |= PAGE_UPTODATE;
		if (!(page->flags & PAGE_DIRTY)) {
			page->flags |= PAGE_DIRTY;
			page->nfailed = 0;
			page_tree_set_dirty(&pc->tree, page->index, true);
			delta++;
		} else {
			assert(!delalloc); /* P3 */
		}
		if (delalloc)
			page->flags |= PAGE_DELALLOC;
	}
	page_pool_update(pc, pages, n, delta);
	mutex_unlock(&pc->lock);
}

/* ---- shared holds ---- */

/* May a reader come to @page? If not, it is held or on its way out. */
static bool page_is_readable(const struct page *page)
{
	return !(page->flags & PAGE_BUSY) && (page->flags & PAGE_UPTODATE) &&
			!(page->is_wanted && page->nshared > 0);
}

unsigned pages_get_shared(struct page_cache *pc, uint64_t index, unsigned n,
		struct page **ret_pages)
{
	struct page *page;
	unsigned i = 0;

	pages_check_wait(pc);
	mutex_lock(&pc->lock);
	while ((page = page_tree_find(&pc->tree, index)) != NULL &&
			!page_is_readable(page))
		pages_wait_locked(pc);
	while (page != NULL && page_is_readable(page)) {
		page->nshared++;
		if (!atomic_load_explicit(
				    &page->referenced, memory_order_relaxed))
			atomic_store_explicit(&page->referenced, true,
					memory_order_relaxed);
		ret_pages[i++] = page;
		if (i == n)
			break;
		page = page_tree_find(&pc->tree, index + i);
	}
	mutex_unlock(&pc->lock);
	if (i > 0)
		pages_note_hold(pc);
	return i;
}

void pages_put_shared(struct page_cache *pc, struct page **pages, unsigned n)
{
	struct page_list gone = TAILQ_HEAD_INITIALIZER(gone);
	bool wake = false;

	if (n == 0)
		return;
	pages_note_release(pc);
	mutex_lock(&pc->lock);
	for (unsigned i = 0; i < n; i++) {
		assert(pages[i]->nshared > 0);
		if (--pages[i]->nshared > 0)
			continue;
		wake = true;
		page_settle_locked(pc, pages[i], &gone);
	}
	if (wake)
		pages_wake_locked(pc);
	mutex_unlock(&pc->lock);
	page_pool_give(pc->pool, &gone);
}

/* ---- write-back ---- */

unsigned pages_start_writeback(struct page_cache *pc, uint64_t index,
		uint64_t last, unsigned n, struct page **ret_pages,
		bool *ret_delalloc)
{
	const uint32_t kind = PAGE_DIRTY | PAGE_DELALLOC;
	const uint32_t held = PAGE_BUSY | PAGE_WRITEBACK;
	struct page *page;
	uint32_t flags;
	unsigned i = 0;

	pages_check_wait(pc);
	mutex_lock(&pc->lock);
	for (;;) {
		page = page_tree_next(&pc->tree, index, true, &index);
		if (page == NULL || index > last)
			goto out;
		if (!(page->flags & held))
			break;
		pages_wait_locked(pc);
	}
	flags = page->flags & kind;
	while (page != NULL && (page->flags & kind) == flags &&
			!(page->flags & held)) {
		page->nshared++;
		page->flags |= PAGE_WRITEBACK;
		ret_pages[i++] = page;
		if (i == n || index == last)
			break;
		page = page_tree_find(&pc->tree, ++index);
	}
	*ret_delalloc = (flags & PAGE_DELALLOC) != 0;
out:
	mutex_unlock(&pc->lock);
	if (i > 0)
		pages_note_hold(pc);
	return i;
}

/* @page is not dirty any more. */
static void page_clear_dirty_locked(struct page_cache *pc, struct page *page)
		UEXT4_REQUIRES(pc->lock)
{
	page->flags &= ~(PAGE_DIRTY | PAGE_DELALLOC);
	page->nfailed = 0;
	page_tree_set_dirty(&pc->tree, page->index, false);
}

unsigned pages_end_writeback(struct page_cache *pc, struct page **pages,
		unsigned n, const uint8_t *results)
{
	struct page_list gone = TAILQ_HEAD_INITIALIZER(gone);
	unsigned nclaims = 0;
	int64_t delta = 0;

	if (n == 0)
		return 0;
	pages_note_release(pc);
	mutex_lock(&pc->lock);
	/* Who saw the old number may have seen the old mapping. */
	atomic_fetch_add(&pc->clean_seq, 1);
	for (unsigned i = 0; i < n; i++) {
		struct page *page = pages[i];

		page->flags &= ~PAGE_WRITEBACK;
		if (results[i] == PAGE_WB_PARTLY) {
			page->flags &= ~PAGE_DELALLOC;
		} else if (results[i] == PAGE_WB_CLEAN) {
			page_clear_dirty_locked(pc, page);
			delta--;
		} else if (results[i] == PAGE_WB_FAILED &&
				++page->nfailed >= PAGE_MAX_FAILURES) {
			/* Memory is worth more than bytes that nobody takes;
			 * the error has been recorded. */
			nclaims += (page->flags & PAGE_DELALLOC) != 0;
			page_clear_dirty_locked(pc, page);
			page->flags &= ~PAGE_UPTODATE;
			delta--;
		}
	}
	page_pool_update(pc, pages, n, delta);
	for (unsigned i = 0; i < n; i++)
		if (--pages[i]->nshared == 0)
			page_settle_locked(pc, pages[i], &gone);
	pages_wake_locked(pc);
	mutex_unlock(&pc->lock);
	page_pool_give(pc->pool, &gone);
	return nclaims;
}

/* ---- throwing away ---- */

/* Take the idle @page out, whatever it holds. Returns its claims (0, 1). */
static unsigned page_throw_locked(struct page_cache *pc, struct page *page,
		struct page_list *gone) UEXT4_REQUIRES(pc->lock)
{
	unsigned nclaims = (page->flags & PAGE_DELALLOC) != 0;

	if (page->flags & PAGE_DIRTY) {
		page_clear_dirty_locked(pc, page);
		page_pool_update(pc, &page, 1, -1);
	}
	page_pool_detach(pc, page, gone);
	return nclaims;
}

uint64_t pages_drop(struct page_cache *pc, uint64_t first, uint64_t last)
{
	struct page_list gone = TAILQ_HEAD_INITIALIZER(gone);
	uint64_t nclaims = 0;
	struct page *page;

	if (atomic_load(&pc->npages) == 0)
		return 0;
	pages_check_wait(pc);
	mutex_lock(&pc->lock);
	while ((page = page_tree_next(&pc->tree, first, false, &first)) !=
					NULL &&
			first <= last) {
		if (page_is_idle(page))
			nclaims += page_throw_locked(pc, page, &gone);
		else
			page_wait_idle_locked(pc, page);
	}
	pages_wake_locked(pc);
	mutex_unlock(&pc->lock);
	page_pool_give(pc->pool, &gone);
	return nclaims;
}

int pages_invalidate(struct page_cache *pc, uint64_t first, uint64_t last,
		bool nowait)
{
	struct page_list gone = TAILQ_HEAD_INITIALIZER(gone);
	struct page *page;
	int ret = 0;

	if (!nowait)
		pages_check_wait(pc);
	mutex_lock(&pc->lock);
	while ((page = page_tree_next(&pc->tree, first, false, &first)) !=
					NULL &&
			first <= last) {
		bool is_dirty = page->flags & PAGE_DIRTY;

		if (nowait && (is_dirty || !page_is_idle(page))) {
			ret = -EAGAIN;
			break;
		}
		if (!page_is_idle(page)) {
			page_wait_idle_locked(pc, page);
			continue;
		}
		if (is_dirty)
			ret = -EBUSY;
		else
			page_throw_locked(pc, page, &gone);
		first++;
	}
	pages_wake_locked(pc);
	mutex_unlock(&pc->lock);
	page_pool_give(pc->pool, &gone);
	return ret;
}

/* ---- looking ---- */

bool pages_has_dirty(struct page_cache *pc, uint64_t first, uint64_t last)
{
	return pages_next_dirty(pc, first, last) != UINT64_MAX;
}

static uint64_t pages_next(struct page_cache *pc, uint64_t first, uint64_t last,
		bool dirty)
{
	uint64_t at = UINT64_MAX;

	mutex_lock(&pc->lock);
	if (page_tree_next(&pc->tree, first, dirty, &at) == NULL || at > last)
		at = UINT64_MAX;
	mutex_unlock(&pc->lock);
	return at;
}

uint64_t pages_next_dirty(struct page_cache *pc, uint64_t first, uint64_t last)
{
	if (atomic_load(&pc->ndirty) == 0)
		return UINT64_MAX;
	return pages_next(pc, first, last, true);
}

uint64_t pages_next_not_dirty(
		struct page_cache *pc, uint64_t first, uint64_t last)
{
	uint64_t at = UINT64_MAX;

	mutex_lock(&pc->lock);
	for (uint64_t want = first; want <= last; want++) {
		if (page_tree_next(&pc->tree, want, true, &at) != NULL &&
				at == want)
			continue;
		mutex_unlock(&pc->lock);
		return want;
	}
	mutex_unlock(&pc->lock);
	return UINT64_MAX;
}

uint64_t pages_next_present(
		struct page_cache *pc, uint64_t first, uint64_t last)
{
	if (atomic_load(&pc->npages) == 0)
		return UINT64_MAX;
	return pages_next(pc, first, last, false);
}

/* ---- errors: an errno, a counter, and whether somebody has been told ---- */

#define WB_ERR_MASK 0xfffu
#define WB_ERR_SEEN 0x1000u
#define WB_ERR_ONE  0x2000u

void page_cache_set_error(struct page_cache *pc, int err)
{
	uint32_t now;

	mutex_lock(&pc->lock);
	now = (pc->wb_err & ~(WB_ERR_MASK | WB_ERR_SEEN)) |
			((uint32_t)-err & WB_ERR_MASK);
	/* Only what somebody has seen needs a new number to be news. */
	if (pc->wb_err & WB_ERR_SEEN)
		now += WB_ERR_ONE;
	pc->wb_err = now;
	mutex_unlock(&pc->lock);
}

uint32_t page_cache_sample_error(struct page_cache *pc)
{
	uint32_t now;

	mutex_lock(&pc->lock);
	now = pc->wb_err & WB_ERR_SEEN ? pc->wb_err : 0;
	mutex_unlock(&pc->lock);
	return now;
}

int page_cache_check_error(struct page_cache *pc, uint32_t *since)
{
	int ret = 0;

	mutex_lock(&pc->lock);
	if (pc->wb_err != *since) {
		pc->wb_err |= WB_ERR_SEEN;
		if (pc->wb_err != *since)
			ret = -(int)(pc->wb_err & WB_ERR_MASK);
		*since = pc->wb_err;
	}
	mutex_unlock(&pc->lock);
	return ret;
}
