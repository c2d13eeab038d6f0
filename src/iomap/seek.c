/* SPDX-License-Identifier: MIT */
/*
 * SEEK_DATA and SEEK_HOLE. Data is what is mapped, and what is dirty in the
 * cache where nothing is mapped yet.
 *
 * No lock is taken: the answer may be old when it arrives, as the caller knows;
 * but data that was there all the time is not missed while write-back moves it
 * from "dirty" to "mapped" (clean_seq).
 */
#include "iomap/iomap.h"

/* The state of the file at @pos and how far it reaches, at most to @end. */
static int iomap_seek_run(struct iomap_file *f, uint64_t pos, uint64_t end,
		bool *ret_is_data, uint64_t *ret_end)
{
	struct iomap map;
	uint64_t dirty;
	uint64_t last;
	uint64_t seq;
	int ret;

again:
	seq = atomic_load(&f->pages.clean_seq);
	ret = iomap_ask(f, pos, end - pos, IOMAP_REPORT, &map);
	if (ret < 0)
		return ret;
	(void)iomap_release(f, 0, IOMAP_REPORT, &map);
	*ret_end = pos + map.length;
	*ret_is_data = map.type == IOMAP_MAPPED || map.type == IOMAP_INLINE ||
			map.type == IOMAP_DELALLOC;
	if (*ret_is_data)
		return 0;
	last = (pos + map.length - 1) >> f->blkbits;
	dirty = pages_next_dirty(&f->pages, pos >> f->blkbits, last);
	if (dirty == pos >> f->blkbits) {
		*ret_is_data = true;
		dirty = pages_next_not_dirty(&f->pages, dirty, last);
	}
	if (dirty != UINT64_MAX)
		*ret_end = min_u64(*ret_end, dirty << f->blkbits);
	if (seq != atomic_load(&f->pages.clean_seq))
		goto again;
	return 0;
}

static int64_t iomap_seek(struct iomap_file *f, uint64_t pos, bool want_data)
{
	uint64_t size = atomic_load(&f->size);

	if (pos >= size)
		return -ENXIO;
	while (pos < size) {
		bool is_data;
		uint64_t end;
		int ret;

		ret = iomap_seek_run(f, pos, size, &is_data, &end);
		if (ret < 0)
			return ret;
		if (is_data == want_data)
			return (int64_t)pos;
		pos = end;
	}
	/* There is a hole behind every file. */
	return want_data ? -ENXIO : (int64_t)size;
}

int64_t iomap_seek_data(struct iomap_file *f, uint64_t pos)
{
	return iomap_seek(f, pos, true);
}

int64_t iomap_seek_hole(struct iomap_file *f, uint64_t pos)
{
	return iomap_seek(f, pos, false);
}
