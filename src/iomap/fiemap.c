/* SPDX-License-Identifier: MIT */
/*
 * Listing the extents of a file. No lock is held while the caller is told.
 */
#include "iomap/iomap.h"

struct fiemap {
	int (*fn)(void *ctx, const struct iomap *map);
	void *ctx;
	struct iomap last; /* not told yet: the next one may join it */
	bool has_last;
};

static int fiemap_flush(struct fiemap *fm)
{
	if (!fm->has_last)
		return 0;
	fm->has_last = false;
	return fm->fn(fm->ctx, &fm->last);
}

static bool fiemap_can_join(const struct iomap *a, const struct iomap *b)
{
	if (a->type != b->type || a->flags != b->flags ||
			a->offset + a->length != b->offset)
		return false;
	if (a->type == IOMAP_MAPPED || a->type == IOMAP_UNWRITTEN)
		return a->addr + a->length == b->addr;
	return a->type == IOMAP_DELALLOC;
}

static int fiemap_add(struct fiemap *fm, const struct iomap *map)
{
	int ret;

	if (fm->has_last && fiemap_can_join(&fm->last, map)) {
		fm->last.length += map->length;
		return 0;
	}
	ret = fiemap_flush(fm);
	if (ret != 0)
		return ret;
	fm->last = *map;
	fm->has_last = true;
	return 0;
}

/* The dirty blocks of the hole @map have data and no place yet. */
static int fiemap_add_dirty(struct iomap_file *f, struct fiemap *fm,
		const struct iomap *map)
{
	uint64_t end = map->offset + map->length;
	uint64_t last = (end - 1) >> f->blkbits;
	uint64_t index = map->offset >> f->blkbits;
	int ret = 0;

	while (ret == 0 && index <= last) {
		struct iomap run = { .type = IOMAP_DELALLOC };
		uint64_t next;

		index = pages_next_dirty(&f->pages, index, last);
		if (index == UINT64_MAX)
			break;
		next = pages_next_not_dirty(&f->pages, index, last);
		run.offset = max_u64(index << f->blkbits, map->offset);
		run.length = next == UINT64_MAX
				? end - run.offset
				: (next << f->blkbits) - run.offset;
		/* It was clean again when we looked where it ends. */
		if (run.length != 0 && next != index)
			ret = fiemap_add(fm, &run);
		index = next == UINT64_MAX ? last + 1 : next + 1;
	}
	return ret;
}

int iomap_fiemap(struct iomap_file *f, uint64_t pos, uint64_t len, bool sync,
		int (*fn)(void *ctx, const struct iomap *map), void *ctx)
{
	struct fiemap fm = { .fn = fn, .ctx = ctx };
	int ret = 0;

	if (len == 0)
		return 0;
	len = min_u64(len, (uint64_t)INT64_MAX - min_u64(pos, INT64_MAX));
	if (sync && len > 0)
		ret = iomap_writeback(f, pos, pos + len - 1);
	while (ret == 0 && len > 0) {
		struct iomap map;
		uint64_t n;

		ret = iomap_ask(f, pos, len, IOMAP_REPORT, &map);
		if (ret < 0)
			return ret;
		(void)iomap_release(f, 0, IOMAP_REPORT, &map);
		n = map.length;
		if (map.type == IOMAP_HOLE)
			ret = fiemap_add_dirty(f, &fm, &map);
		else
			ret = fiemap_add(&fm, &map);
		pos += n;
		len -= n;
	}
	return ret != 0 ? ret : fiemap_flush(&fm);
}
