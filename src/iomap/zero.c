/* SPDX-License-Identifier: MIT */
/*
 * Making a range read as zeroes, through the cache (DAX files: dax.c).
 *
 * The caller holds the iolock exclusively, so only write-back changes what we
 * look at: it turns a dirty page over a hole into a clean one over a block.
 * Hence a block is judged with its page held, and a range without pages only
 * if no page became clean while we looked (clean_seq).
 *
 * Locks    iolock(w) > pages > begin()
 */
#include <assert.h>
#include <string.h>

#include "iomap/fill.h"
#include "iomap/iomap.h"
#include "iomap/throttle.h"

/* Zero [@pos, @pos + @len), which lies in one block. */
static int iomap_zero_block(
		struct iomap_file *f, uint64_t pos, uint32_t len, bool *ret_did)
{
	uint32_t size = iomap_block_size(f);
	uint64_t start = pos & ~(uint64_t)(size - 1);
	struct iomap map;
	struct page *page;
	int ret;

	ret = pages_lock(&f->pages, pos >> f->blkbits, 1, &page);
	if (ret < 0)
		return ret;
	if (page->flags & PAGE_DIRTY) {
		memset(page->data + (pos - start), 0, len);
		*ret_did = true;
		goto out;
	}
	ret = iomap_ask(f, start, size, IOMAP_ZERO, &map);
	if (ret < 0)
		goto out;
	/* A clean page over nothing is zero already. */
	if (map.type == IOMAP_MAPPED) {
		if (!(page->flags & PAGE_UPTODATE) && len < size)
			ret = iomap_fill_from(f, &page, 1, &map,
					atomic_load(&f->size));
		if (ret == 0) {
			memset(page->data + (pos - start), 0, len);
			pages_mark_dirty(&f->pages, &page, 1, false);
			*ret_did = true;
		}
	} else if (map.type == IOMAP_INLINE) {
		/* The owner moves inline data out before. */
		ret = -EOPNOTSUPP;
	}
	(void)iomap_release(f, ret == 0 ? map.length : 0, IOMAP_ZERO, &map);
out:
	pages_unlock(&f->pages, &page, 1);
	return ret;
}

/*
 * How many bytes from @pos on are a hole or unwritten without a cached page;
 * *ret_len 0 if there is something to do at @pos.
 */
static int iomap_zero_skip(struct iomap_file *f, uint64_t pos, uint64_t len,
		uint64_t *ret_len)
{
	struct iomap map;
	uint64_t present;
	uint64_t seq;
	int ret;

	do {
		seq = atomic_load(&f->pages.clean_seq);
		ret = iomap_ask(f, pos, len, IOMAP_ZERO, &map);
		if (ret < 0)
			return ret;
		(void)iomap_release(f, 0, IOMAP_ZERO, &map);
		*ret_len = 0;
		if (map.type != IOMAP_HOLE && map.type != IOMAP_UNWRITTEN &&
				map.type != IOMAP_DELALLOC)
			return 0;
		present = pages_next_present(&f->pages, pos >> f->blkbits,
				(pos + map.length - 1) >> f->blkbits);
	} while (seq != atomic_load(&f->pages.clean_seq));
	if (present == UINT64_MAX)
		*ret_len = map.length;
	else if (present << f->blkbits > pos)
		*ret_len = (present << f->blkbits) - pos;
	return 0;
}

int iomap_zero_range(
		struct iomap_file *f, uint64_t pos, uint64_t len, bool *ret_did)
{
	uint32_t size = iomap_block_size(f);
	bool did = false;
	int ret = 0;

	if (f->dax) {
		ret = iomap_dax_zero(f, pos, len, &did);
		len = 0;
	}
	while (len > 0) {
		uint64_t n;

		ret = iomap_zero_skip(f, pos, len, &n);
		if (ret < 0)
			break;
		if (n == 0) {
			iomap_throttle(f);
			n = min_u64(len, size - (pos & (size - 1)));
			ret = iomap_zero_block(f, pos, (uint32_t)n, &did);
			if (ret < 0)
				break;
		}
		pos += n;
		len -= n;
	}
	if (ret == 0 && ret_did != NULL)
		*ret_did = did;
	return ret;
}
