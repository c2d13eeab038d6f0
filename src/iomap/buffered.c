/* SPDX-License-Identifier: MIT */
/*
 * Reading and writing through the page cache.
 *
 * A write goes in batches of pages: hold them alone, learn what they need (a
 * mapping, the rest of a partly written block, a claim), copy, mark dirty, let
 * go. A read copies from shared holds and fills what is absent, with readahead.
 *
 * Rules    (BU1) A batch is all prepared before a byte is copied, so that what
 *                was copied is kept: an error shortens the batch.
 *          (BU2) One claim for each page that becomes dirty without a block.
 *          (BU3) A page that is dirty already has its space.
 *          (BU4) A reader finds its pages through shared holds only; it never
 *                waits for a page while it holds inval.
 *
 * Locks    write   iolock(w) > pages > begin(), claim()
 *          fill    inval(r) > pages > begin()
 */
#include <assert.h>
#include <string.h>

#include "iomap/fill.h"
#include "iomap/iomap.h"
#include "iomap/throttle.h"

#define WRITE_BATCH  64u
#define READ_BATCH   16u
#define RA_MIN_BYTES (32u << 10)
#define RA_MAX_BYTES (1u << 20)

/* ---- writing ---- */

struct write_batch {
	struct page *pages[WRITE_BATCH];
	bool needs_claim[WRITE_BATCH];
	uint64_t pos; /* of the first byte to copy */
	uint64_t len;
	unsigned n;    /* pages held */
	unsigned good; /* the first so many are prepared */
	uint64_t size; /* isize; stable under the iolock */
	struct iomap map;
	bool has_map;
};

/* The mapping for the page of @pos, asked for the rest of the batch. */
static int write_batch_map(
		struct iomap_file *f, struct write_batch *b, uint64_t pos)
{
	uint64_t end = round_up_u64(b->pos + b->len, iomap_block_size(f));
	int ret;

	if (b->has_map && iomap_covers(&b->map, pos)) {
		b->map.addr += pos - b->map.offset;
		b->map.length -= pos - b->map.offset;
		b->map.offset = pos;
		return 0;
	}
	if (b->has_map)
		(void)iomap_release(f, b->map.length, IOMAP_WRITE, &b->map);
	b->has_map = false;
	ret = iomap_ask(f, pos, end - pos, IOMAP_WRITE, &b->map);
	if (ret < 0)
		return ret;
	b->has_map = true;
	/* The owner moves inline data out before it lets us write. */
	return b->map.type == IOMAP_INLINE ? -EOPNOTSUPP : 0;
}

/* What page @i needs before its bytes can be copied. */
static int write_batch_prepare(
		struct iomap_file *f, struct write_batch *b, unsigned i)
{
	struct page *page = b->pages[i];
	uint64_t start = page->index << f->blkbits;
	bool is_whole = start >= b->pos &&
			start + iomap_block_size(f) <= b->pos + b->len;
	int ret;

	b->needs_claim[i] = false;
	if (page->flags & PAGE_DIRTY) /* BU3 */
		return 0;
	ret = write_batch_map(f, b, start);
	if (ret < 0)
		return ret;
	if (!(page->flags & PAGE_UPTODATE) && !is_whole) {
		ret = iomap_fill_from(f, &page, 1, &b->map, b->size);
		if (ret < 0)
			return ret;
	}
	b->needs_claim[i] = b->map.type == IOMAP_HOLE ||
			b->map.type == IOMAP_DELALLOC;
	return 0;
}

/* Claim space for the prepared pages (BU2); what cannot be had shortens the
 * batch. */
static int write_batch_claim(struct iomap_file *f, struct write_batch *b)
{
	uint32_t need = 0;
	int ret;

	for (unsigned i = 0; i < b->good; i++)
		need += b->needs_claim[i];
	if (need == 0)
		return 0;
	ret = f->ops->claim(f, need);
	if (ret == 0)
		return 0;
	/* Too much at once: as far as it goes. */
	for (unsigned i = 0; i < b->good; i++) {
		ret = b->needs_claim[i] ? f->ops->claim(f, 1) : 0;
		if (ret < 0) {
			b->good = i;
			return ret;
		}
	}
	return 0;
}

/* Copy into the prepared pages and mark them dirty. Returns the bytes. */
static size_t write_batch_copy(struct iomap_file *f, struct write_batch *b,
		struct iov_iter *it)
{
	uint32_t size = iomap_block_size(f);
	uint64_t pos = b->pos;
	uint64_t end = b->pos + b->len;
	unsigned first = 0;

	for (unsigned i = 0; i < b->good; i++) {
		uint32_t off = (uint32_t)pos & (size - 1);
		size_t n = (size_t)min_u64(size - off, end - pos);

		n = iov_iter_copy_from(it, b->pages[i]->data + off, n);
		pos += n;
	}
	for (unsigned i = 1; i <= b->good; i++) {
		if (i < b->good && b->needs_claim[i] == b->needs_claim[first])
			continue;
		pages_mark_dirty(&f->pages, b->pages + first, i - first,
				b->needs_claim[first]);
		first = i;
	}
	/* While the pages are held: write-back must not see the bytes before
	 * it sees the size. */
	if (pos > b->pos && f->ops->raise_size != NULL &&
			pos > atomic_load(&f->size))
		f->ops->raise_size(f, pos);
	return (size_t)(pos - b->pos);
}

/* Write one batch. Returns bytes > 0, or -errno. */
static ssize_t iomap_write_batch(
		struct iomap_file *f, uint64_t pos, struct iov_iter *it)
{
	uint64_t first = pos >> f->blkbits;
	uint64_t max = ((first + WRITE_BATCH) << f->blkbits) - pos;
	struct write_batch b;
	ssize_t done;
	int ret;

	b.pos = pos;
	b.len = min_u64(it->count, max);
	b.n = (unsigned)(((pos + b.len - 1) >> f->blkbits) - first) + 1;
	b.good = 0;
	b.size = atomic_load(&f->size);
	b.has_map = false;
	ret = pages_lock(&f->pages, first, b.n, b.pages);
	if (ret < 0)
		return ret;
	while (b.good < b.n) {
		ret = write_batch_prepare(f, &b, b.good);
		if (ret < 0)
			break;
		b.good++;
	}
	if (b.good > 0)
		ret = write_batch_claim(f, &b); /* BU1 */
	done = b.good > 0 ? (ssize_t)write_batch_copy(f, &b, it) : 0;
	if (b.has_map)
		(void)iomap_release(f, b.map.length, IOMAP_WRITE, &b.map);
	pages_unlock(&f->pages, b.pages, b.n);
	return done > 0 ? done : ret;
}

ssize_t iomap_buffered_write(
		struct iomap_file *f, uint64_t pos, struct iov_iter *it)
{
	size_t done = 0;

	assert(!f->dax); /* DX1 */
	while (it->count > 0) {
		ssize_t ret;

		iomap_throttle(f);
		ret = iomap_write_batch(f, pos, it);
		if (ret < 0)
			return done > 0 ? (ssize_t)done : ret;
		pos += (uint64_t)ret;
		done += (size_t)ret;
	}
	return (ssize_t)done;
}

/* ---- reading ---- */

/*
 * How many pages to bring in for a reader that wants @want from @first on and
 * found none: more for one that goes on where the last fill ended, twice as
 * much each time. Several readers may spoil it for each other; then each gets
 * what it asked for.
 */
static unsigned iomap_readahead(
		struct iomap_file *f, uint64_t first, unsigned want)
{
	size_t share = page_pool_max_bytes(f->pages.pool) / 8;
	unsigned max = min_of(RA_MAX_BYTES >> f->blkbits, FILL_MAX_PAGES);
	unsigned min = max_of(RA_MIN_BYTES >> f->blkbits, 1);
	unsigned win = 0;

	/* A window that evicts itself is of no use. */
	max = max_of((unsigned)min_u64(max, share >> f->blkbits), 1);
	if (first == atomic_load_explicit(&f->ra_next, memory_order_relaxed))
		win = max_of(2 *
						atomic_load_explicit(&f->ra_win,
								memory_order_relaxed),
				min);
	win = min_of(max_of(win, want), max);
	atomic_store_explicit(&f->ra_win, win, memory_order_relaxed);
	return win;
}

/* Fill absent pages from @first on; the file ends at block @nblk. 0: have
 * another look, the first is there or somebody is at it. */
static int iomap_read_fill(struct iomap_file *f, uint64_t first, uint64_t want,
		uint64_t nblk)
{
	struct page *pages[FILL_MAX_PAGES];
	unsigned n = iomap_readahead(
			f, first, (unsigned)min_u64(want, FILL_MAX_PAGES));
	int held;
	int ret = 0;

	n = (unsigned)min_u64(n, nblk - first);
	rwsem_read_lock(&f->inval);
	held = pages_create(&f->pages, first, n, pages);
	if (held > 0) {
		ret = iomap_fill(f, pages, (unsigned)held);
		pages_unlock(&f->pages, pages, (unsigned)held);
	}
	rwsem_read_unlock(&f->inval);
	if (held < 0)
		return held;
	if (ret < 0)
		return ret;
	if (held > 0)
		atomic_store_explicit(&f->ra_next, first + (uint64_t)ret,
				memory_order_relaxed);
	return 0;
}

/* Copy to @it from the pages from the one of @pos on, up to @end. Returns the
 * bytes; 0: the first page is absent. */
static size_t iomap_read_cached(struct iomap_file *f, uint64_t pos,
		uint64_t end, struct iov_iter *it)
{
	uint32_t size = iomap_block_size(f);
	struct page *pages[READ_BATCH];
	uint64_t first = pos >> f->blkbits;
	uint64_t last = (end - 1) >> f->blkbits;
	size_t done = 0;
	unsigned n;

	n = pages_get_shared(&f->pages, first,
			(unsigned)min_u64(last - first + 1, READ_BATCH), pages);
	for (unsigned i = 0; i < n; i++) {
		uint32_t off = (uint32_t)(pos + done) & (size - 1);
		size_t len = (size_t)min_u64(size - off, end - (pos + done));

		done += iov_iter_copy_to(it, pages[i]->data + off, len);
	}
	pages_put_shared(&f->pages, pages, n);
	return done;
}

ssize_t iomap_buffered_read(
		struct iomap_file *f, uint64_t pos, struct iov_iter *it)
{
	uint64_t size = atomic_load(&f->size); /* I11 */
	uint64_t nblk = div_up_u64(size, iomap_block_size(f));
	uint64_t start = pos;
	uint64_t end;
	int ret = 0;

	assert(!f->dax); /* DX1 */
	if (pos >= size)
		return 0;
	end = pos + min_u64(it->count, size - pos);
	while (pos < end) {
		uint64_t first = pos >> f->blkbits;
		size_t n = iomap_read_cached(f, pos, end, it);

		pos += n;
		if (n > 0)
			continue;
		ret = iomap_read_fill(f, first,
				((end - 1) >> f->blkbits) - first + 1, nblk);
		if (ret < 0)
			break;
	}
	return pos > start ? (ssize_t)(pos - start) : ret;
}
