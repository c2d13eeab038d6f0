/* SPDX-License-Identifier: MIT */
#include "iomap/fill.h"

#include <assert.h>
#include <string.h>

#include "bdev/bdev.h"

int iomap_pages_iov(struct iomap_file *f, struct page **pages, unsigned n,
		struct iovec *iov)
{
	uint32_t size = iomap_block_size(f);
	int niov = 0;

	for (unsigned i = 0; i < n; i++) {
		struct iovec *prev = &iov[niov - 1];

		if (niov > 0 &&
				(uint8_t *)prev->iov_base + prev->iov_len ==
						pages[i]->data) {
			prev->iov_len += size;
			continue;
		}
		iov[niov].iov_base = pages[i]->data;
		iov[niov].iov_len = size;
		niov++;
	}
	return niov;
}

static void iomap_fill_zero(
		struct iomap_file *f, struct page **pages, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		memset(pages[i]->data, 0, iomap_block_size(f));
}

/* Inline data is shorter than a block: it fills one page. */
static void iomap_fill_inline(struct iomap_file *f, struct page *page,
		const struct iomap *map)
{
	uint32_t size = iomap_block_size(f);
	uint32_t len = (uint32_t)min_u64(map->length, size);

	memcpy(page->data, map->inline_data, len);
	memset(page->data + len, 0, size - len);
}

static int iomap_fill_read(struct iomap_file *f, struct page **pages,
		unsigned n, uint64_t addr)
{
	struct iovec iov[FILL_MAX_PAGES];
	int niov;

	assert(n <= FILL_MAX_PAGES);
	niov = iomap_pages_iov(f, pages, n, iov);
	return bdev_readv(f->dev, addr, iov, niov, 0,
			BDEV_TAG(BDEV_TAG_DATA, f->inum));
}

int iomap_fill_from(struct iomap_file *f, struct page **pages, unsigned n,
		const struct iomap *map, uint64_t size)
{
	uint64_t pos = pages[0]->index << f->blkbits;
	uint64_t end = (pages[0]->index + n) << f->blkbits;
	int ret = 0;

	assert(map->offset == pos);
	if (map->type == IOMAP_MAPPED && pos < size)
		ret = iomap_fill_read(f, pages, n, map->addr);
	else if (map->type == IOMAP_INLINE)
		iomap_fill_inline(f, pages[0], map);
	else
		iomap_fill_zero(f, pages, n);
	if (ret < 0)
		return ret;
	/* FI2 */
	if (pos < size && size < end) {
		unsigned i = (unsigned)((size - pos) >> f->blkbits);
		uint32_t off = (uint32_t)(size - pos) &
				(iomap_block_size(f) - 1);

		memset(pages[i]->data + off, 0, iomap_block_size(f) - off);
		iomap_fill_zero(f, pages + i + 1, n - i - 1);
	}
	return 0;
}

/* Fill the pages at the start of @pages that one mapping covers. Returns how
 * many. */
static int iomap_fill_run(struct iomap_file *f, struct page **pages, unsigned n,
		uint64_t size)
{
	uint64_t pos = pages[0]->index << f->blkbits;
	struct iomap map;
	unsigned nrun;
	int ret;

	ret = iomap_ask(f, pos, (uint64_t)n << f->blkbits, 0, &map);
	if (ret < 0)
		return ret;
	nrun = (unsigned)(map.length >> f->blkbits);
	if (nrun == 0 || map.type == IOMAP_INLINE)
		nrun = 1;
	ret = iomap_fill_from(f, pages, nrun, &map, size);
	/* One bad sector must not take the pages before it along. */
	if (ret < 0 && nrun > 1) {
		nrun = 1;
		ret = iomap_fill_from(f, pages, 1, &map, size);
	}
	(void)iomap_release(f, ret < 0 ? 0 : map.length, 0, &map);
	return ret < 0 ? ret : (int)nrun;
}

int iomap_fill(struct iomap_file *f, struct page **pages, unsigned n)
{
	uint64_t size = atomic_load(&f->size);
	unsigned done = 0;
	int ret = 0;

	while (done < n) {
		ret = iomap_fill_run(f, pages + done, n - done, size);
		if (ret < 0)
			break;
		done += (unsigned)ret;
	}
	pages_mark_uptodate(&f->pages, pages, done);
	return done > 0 ? (int)done : ret;
}
