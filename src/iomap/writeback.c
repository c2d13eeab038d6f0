/* SPDX-License-Identifier: MIT */
/*
 * Dirty pages to the device.
 *
 * A run of neighbouring dirty pages of one kind is put under write-back, then
 * for each piece that has one place on the device: ask for the place, write,
 * tell the owner.
 *
 *	pages (WRITEBACK) -> writeback_map() -> bdev_writev() -> writeback_end()
 *
 * Rules    (WB1) The owner's journal handles start and stop inside its calls;
 *                none is held while data moves. Pages are held outside them.
 *          (WB2) Bytes beyond isize are not written: pages wholly beyond stay
 *                dirty, the rest of the EOF block goes out as zeroes.
 *          (WB3) A page that failed stays dirty with its claim, a few times;
 *                the error is recorded for everybody who asks.
 *
 * Locks    pages (shared holds) > handle of the owner
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "bdev/bdev.h"
#include "iomap/fill.h"
#include "iomap/iomap.h"
#include "iomap/throttle.h"

#define WB_MAX_PAGES 1024u
#define WB_MAX_BYTES (4u << 20)
/* A mapping cannot move for ever. */
#define WB_MAX_STALE 1000

struct wb_run {
	struct page *pages[WB_MAX_PAGES];
	uint8_t results[WB_MAX_PAGES]; /* enum page_wb_result */
	struct iovec iov[WB_MAX_PAGES];
	unsigned n;
	bool delalloc;
	uint64_t size; /* isize, sampled when the pages were held */
};

/* A place for [@pos, @pos + @len), cut to that. */
static int wb_ask(struct iomap_file *f, const struct wb_run *run, uint64_t pos,
		uint64_t len, struct iomap *ret_map)
{
	struct iomap map = { .type = IOMAP_HOLE };
	uint64_t skip;
	int tries = 0;
	int ret;

	do {
		ret = f->ops->writeback_map(f, pos, len, run->delalloc, &map);
	} while (ret == -ESTALE && ++tries < WB_MAX_STALE);
	if (ret < 0)
		return ret;
	assert(iomap_covers(&map, pos));
	assert(map.type == IOMAP_MAPPED || map.type == IOMAP_UNWRITTEN);
	if (!iomap_covers(&map, pos) ||
			(map.type != IOMAP_MAPPED &&
					map.type != IOMAP_UNWRITTEN))
		return -EIO;
	skip = pos - map.offset;
	map.addr += skip;
	map.offset = pos;
	map.length = min_u64(map.length - skip, len);
	assert((map.length & (iomap_block_size(f) - 1)) == 0);
	*ret_map = map;
	return 0;
}

static bool bytes_are_zero(const uint8_t *p, size_t n)
{
	return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

/*
 * The last page of a piece when isize ends inside it: if bytes stand beyond
 * (a writer copied them and has not raised isize yet), a copy with zeroes
 * there goes to the device instead. NULL: the page is fine as it is.
 */
static int wb_eof_copy(struct iomap_file *f, const struct page *page,
		uint64_t size, uint8_t **ret_copy)
{
	uint64_t pos = page->index << f->blkbits;
	uint32_t bsize = iomap_block_size(f);
	size_t keep;
	uint8_t *copy;

	*ret_copy = NULL;
	if (size <= pos || size - pos >= bsize)
		return 0;
	keep = (size_t)(size - pos);
	if (bytes_are_zero(page->data + keep, bsize - keep))
		return 0;
	copy = aligned_alloc(4096, round_up_u64(bsize, 4096));
	if (copy == NULL)
		return -ENOMEM;
	memcpy(copy, page->data, keep);
	memset(copy + keep, 0, bsize - keep);
	*ret_copy = copy;
	return 0;
}

/* Write @n pages from @first on to @addr. */
static int wb_write(struct iomap_file *f, struct wb_run *run, unsigned first,
		unsigned n, uint64_t addr, uint8_t *eof_copy)
{
	struct iovec *iov = run->iov;
	int niov;

	niov = iomap_pages_iov(f, run->pages + first,
			eof_copy != NULL ? n - 1 : n, iov);
	if (eof_copy != NULL) {
		iov[niov].iov_base = eof_copy;
		iov[niov].iov_len = iomap_block_size(f);
		niov++;
	}
	return bdev_writev(f->dev, addr, iov, niov, 0,
			BDEV_TAG(BDEV_TAG_DATA, f->inum));
}

/* Write back what one mapping covers of the pages [@first, @last). Fills in
 * their results and says how many (*ret_n). */
static int wb_piece(struct iomap_file *f, struct wb_run *run, unsigned first,
		unsigned last, unsigned *ret_n)
{
	uint64_t pos = run->pages[first]->index << f->blkbits;
	unsigned n = last - first;
	uint8_t *eof_copy = NULL;
	struct iomap map;
	uint64_t end;
	int ret;
	int err;

	ret = wb_ask(f, run, pos, (uint64_t)n << f->blkbits, &map);
	if (ret < 0)
		goto out;
	n = (unsigned)(map.length >> f->blkbits);
	err = wb_eof_copy(f, run->pages[first + n - 1], run->size, &eof_copy);
	if (err == 0)
		err = wb_write(f, run, first, n, map.addr, eof_copy);
	end = pos + map.length;
	if (!iomap_lacks(f, IOMAP_LACKS_CAP))
		end = min_u64(end, run->size);
	ret = f->ops->writeback_end(f, &map, end, run->delalloc, err);
	if (err < 0)
		ret = err;
out:
	memset(run->results + first, ret < 0 ? PAGE_WB_FAILED : PAGE_WB_CLEAN,
			n);
	if (ret == 0 && eof_copy != NULL)
		run->results[first + n - 1] = PAGE_WB_PARTLY;
	free(eof_copy);
	*ret_n = n;
	return ret < 0 ? ret : 0;
}

/* Write back the pages of @run, which are held for it, and let them go. */
static int wb_run_write(struct iomap_file *f, struct wb_run *run)
{
	uint64_t pos = run->pages[0]->index << f->blkbits;
	unsigned below = 0;
	unsigned nclaims;
	unsigned i = 0;
	int ret = 0;

	run->size = atomic_load(&f->size);
	if (run->size > pos)
		below = (unsigned)min_u64(run->n,
				div_up_u64(run->size - pos,
						iomap_block_size(f)));
	while (i < below) {
		unsigned n;
		int err = wb_piece(f, run, i, below, &n);

		if (err < 0) {
			page_cache_set_error(&f->pages, err); /* WB3 */
			ret = ret < 0 ? ret : err;
		}
		i += n;
	}
	memset(run->results + below, PAGE_WB_UNTRIED, run->n - below); /* WB2 */
	nclaims = pages_end_writeback(
			&f->pages, run->pages, run->n, run->results);
	if (nclaims > 0)
		f->ops->unclaim(f, nclaims);
	return ret;
}

int iomap_writeback(struct iomap_file *f, uint64_t start, uint64_t end)
{
	unsigned max = min_of(WB_MAX_BYTES >> f->blkbits, WB_MAX_PAGES);
	uint64_t index = start >> f->blkbits;
	uint64_t size = atomic_load(&f->size);
	struct wb_run run;
	uint64_t last;
	int ret = 0;

	assert(!lockrank_holds_rank(LOCK_RANK_HANDLE)); /* WB1 */
	if (size == 0 || atomic_load(&f->pages.ndirty) == 0)
		return 0;
	last = min_u64(end, size - 1) >> f->blkbits; /* WB2 */
	while (index <= last) {
		int err;

		run.n = pages_start_writeback(&f->pages, index, last, max,
				run.pages, &run.delalloc);
		if (run.n == 0)
			break;
		index = run.pages[0]->index + run.n;
		err = wb_run_write(f, &run);
		if (ret == 0)
			ret = err;
	}
	return ret;
}

int iomap_writeback_pool(struct page_pool *pool, size_t target)
{
	struct page_cache *stuck = NULL;
	struct page_cache *pc;
	int ret = 0;

	while (page_pool_dirty_bytes(pool) > target) {
		struct iomap_file *f;
		bool again;
		int err;

		pc = page_pool_get_dirty(pool);
		if (pc == NULL)
			break;
		again = pc == stuck;
		f = container_of(pc, struct iomap_file, pages);
		err = again ? 0 : iomap_writeback(f, 0, UINT64_MAX);
		if (ret == 0)
			ret = err;
		/* Still dirty: when it comes by again all had their turn. */
		if (stuck == NULL && atomic_load(&pc->ndirty) != 0)
			stuck = pc;
		page_pool_put_dirty(pool, pc);
		if (again)
			break;
	}
	return ret;
}

void iomap_throttle(struct iomap_file *f)
{
	struct page_pool *pool = f->pages.pool;
	size_t limit = page_pool_max_bytes(pool) / 2;
	size_t own;

	if (page_pool_dirty_bytes(pool) <= limit)
		return;
	/* Errors are recorded with the file; the writer goes on, and the pool
	 * gives up on pages that fail again and again. */
	own = atomic_load(&f->pages.ndirty) << f->blkbits;
	if (own >= limit / 8)
		(void)iomap_writeback(f, 0, UINT64_MAX);
	if (page_pool_dirty_bytes(pool) > limit)
		(void)iomap_writeback_pool(pool, limit);
}
