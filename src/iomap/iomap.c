/* SPDX-License-Identifier: MIT */
#include "iomap/iomap.h"

#include <assert.h>
#include <string.h>

#include "bdev/bdev.h"

void iomap_file_init(struct iomap_file *f, const struct iomap_ops *ops,
		struct bdev *dev, uint32_t blkbits, uint32_t inum,
		struct page_pool *pool)
{
	assert(page_pool_page_size(pool) == UINT32_C(1) << blkbits);
	memset(f, 0, sizeof(*f));
	f->ops = ops;
	f->dev = dev;
	f->blkbits = blkbits;
	f->inum = inum;
	rwsem_init(&f->inval, "inval", LOCK_RANK_INVAL);
	page_cache_init(&f->pages, pool);
	mutex_init(&f->dio_lock, "dio", LOCK_RANK_LEAF);
	cond_init(&f->dio_wait);
}

/* Take the dirty or clean pages of blocks [@first, @last] away, claims too. */
static void iomap_drop_blocks(
		struct iomap_file *f, uint64_t first, uint64_t last)
{
	uint64_t nclaims = pages_drop(&f->pages, first, last);

	while (nclaims > 0) {
		uint32_t n = (uint32_t)min_u64(nclaims, UINT32_MAX);

		f->ops->unclaim(f, n);
		nclaims -= n;
	}
}

void iomap_file_fini(struct iomap_file *f)
{
	assert(atomic_load(&f->dio_count) == 0);
	page_pool_forget(&f->pages);
	assert(f->size == 0 ||
			!pages_has_dirty(&f->pages, 0,
					(f->size - 1) >> f->blkbits));
	iomap_drop_blocks(f, 0, UINT64_MAX);
	page_cache_fini(&f->pages);
	cond_fini(&f->dio_wait);
	mutex_fini(&f->dio_lock);
	rwsem_fini(&f->inval);
}

int iomap_ask(struct iomap_file *f, uint64_t pos, uint64_t len, uint32_t flags,
		struct iomap *ret_map)
{
	struct iomap map = { .type = IOMAP_HOLE };
	uint64_t skip;
	int ret;

	assert(!lockrank_holds_rank(LOCK_RANK_HANDLE)); /* IO1 */
	ret = f->ops->begin(f, pos, len, flags, &map);
	if (ret < 0)
		return ret;
	assert(iomap_covers(&map, pos));
	if (!iomap_covers(&map, pos))
		return -EIO;
	skip = pos - map.offset;
	map.addr += skip;
	map.offset += skip;
	map.length = min_u64(map.length - skip, len);
	if (map.type == IOMAP_INLINE)
		map.inline_data = (const uint8_t *)map.inline_data + skip;
	*ret_map = map;
	return 0;
}

int iomap_release(struct iomap_file *f, uint64_t done, uint32_t flags,
		struct iomap *map)
{
	if (f->ops->end == NULL)
		return 0;
	return f->ops->end(f, map->offset, map->length, done, flags, map);
}

/* ---- direct I/O in flight ---- */

void iomap_dio_begin(struct iomap_file *f)
{
	atomic_fetch_add(&f->dio_count, 1);
}

void iomap_dio_done(struct iomap_file *f)
{
	uint32_t old = atomic_fetch_sub(&f->dio_count, 1);

	assert(old > 0);
	/* The drainer announces itself before it looks at the count, so one of
	 * the two sees the other. */
	if (old != 1 || atomic_load(&f->dio_waiters) == 0)
		return;
	mutex_lock(&f->dio_lock);
	cond_broadcast(&f->dio_wait);
	mutex_unlock(&f->dio_lock);
}

/* Sleeps this long at a time when there is more than dio_count to wait for. */
#define DRAIN_MS 1

bool iomap_dio_busy(struct iomap_file *f)
{
	if (iomap_lacks(f, IOMAP_LACKS_DRAIN))
		return false;
	return atomic_load(&f->dio_count) != 0 ||
			(f->ops->in_flight != NULL && f->ops->in_flight(f));
}

void iomap_dio_drain(struct iomap_file *f)
{
	iomap_at(f, 0, "drain");
	if (!iomap_dio_busy(f))
		return;
	atomic_fetch_add(&f->dio_waiters, 1);
	while (iomap_dio_busy(f)) {
		mutex_lock(&f->dio_lock);
		if (atomic_load(&f->dio_count) != 0 &&
				f->ops->in_flight == NULL)
			cond_wait(&f->dio_wait, &f->dio_lock);
		else
			(void)cond_wait_ms(
					&f->dio_wait, &f->dio_lock, DRAIN_MS);
		mutex_unlock(&f->dio_lock);
	}
	atomic_fetch_sub(&f->dio_waiters, 1);
}

/* ---- the page cache as the owner of the file sees it ---- */

int iomap_check_error(struct iomap_file *f, uint32_t *since)
{
	return page_cache_check_error(&f->pages, since);
}

uint32_t iomap_sample_error(struct iomap_file *f)
{
	return page_cache_sample_error(&f->pages);
}

int iomap_invalidate(struct iomap_file *f, uint64_t start, uint64_t end)
{
	return pages_invalidate(&f->pages, start >> f->blkbits,
			end >> f->blkbits, false);
}

/* Zero bytes [@from, @to) of the page of block @index, if it is cached. */
static int iomap_zero_edge(struct iomap_file *f, uint64_t index, uint32_t from,
		uint32_t to)
{
	struct page *page;
	int ret;

	if (pages_next_present(&f->pages, index, index) != index)
		return 0;
	ret = pages_lock(&f->pages, index, 1, &page);
	if (ret < 0)
		return ret;
	if (page->flags & PAGE_UPTODATE)
		memset(page->data + from, 0, to - from);
	pages_unlock(&f->pages, &page, 1);
	return 0;
}

int iomap_drop_pages(struct iomap_file *f, uint64_t start, uint64_t end)
{
	uint32_t size = iomap_block_size(f);
	uint64_t first = start >> f->blkbits;
	uint64_t last = end >> f->blkbits;
	uint32_t head = (uint32_t)start & (size - 1);
	uint32_t tail = ((uint32_t)end & (size - 1)) + 1;
	int ret;

	assert(start <= end);
	rwsem_assert_write_held(&f->inval);
	if (first == last && (head != 0 || tail != size))
		return iomap_zero_edge(f, first, head, tail);
	if (head != 0) {
		ret = iomap_zero_edge(f, first, head, size);
		if (ret < 0)
			return ret;
		first++;
	}
	if (tail != size) {
		ret = iomap_zero_edge(f, last, 0, tail);
		if (ret < 0)
			return ret;
		last--;
	}
	/* first == last + 1: there were only edges. */
	if (first <= last)
		iomap_drop_blocks(f, first, last);
	return 0;
}
