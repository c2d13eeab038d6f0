/* SPDX-License-Identifier: MIT */
/*
 * Discarding free space: each run is reserved while the device is told, so
 * nobody writes to what is being thrown away. Pending blocks are not free yet
 * and are left out.
 */
#include "alloc/grp.h"

#include "bdev/bdev.h"
#include "cache/buf.h"
#include "disk/geo.h"

/* Reserve the next free run of at least @minlen in bits [*pos, end), paid for.
 * 1 if there is one, *pos is then behind it. */
static int trim_take(struct alloc *a, struct grp *grp, uint32_t *pos,
		uint32_t end, uint32_t minlen, struct alloc_run *ret_run)
{
	uint32_t bit, len;
	int ret = grp_lock_blocks(a, grp);

	if (ret < 0)
		return ret;
	if (buddy_find(grp->buddy, *pos, minlen, &bit) && bit < end &&
			end - bit >= minlen) {
		len = buddy_run_at(grp->buddy, bit, end - bit);
		/* All or nothing: space may be paid for by others by now. */
		if (atomic_fetch_sub(&a->avail, len) >= (int64_t)len) {
			grp_take_locked(a, grp, bit, len);
			*ret_run = (struct alloc_run){
				geo_grp_first_block(a->geo, grp->no) + bit, len
			};
			ret = 1;
		} else {
			atomic_fetch_add(&a->avail, len);
		}
		*pos = bit + len;
	}
	grp_unlock(grp);
	return ret;
}

static int trim_group(struct alloc *a, struct grp *grp, uint32_t pos,
		uint32_t end, uint32_t minlen, uint64_t *bytes)
{
	uint32_t bits = a->geo->block_bits;

	for (;;) {
		struct alloc_run run = { 0 };
		int ret = trim_take(a, grp, &pos, end, minlen, &run);

		if (ret != 1)
			return ret;
		atomic_fetch_add(&a->reserved, run.len);
		ret = bdev_discard(buf_cache_bdev(a->cache), run.pblk << bits,
				(uint64_t)run.len << bits,
				BDEV_TAG(BDEV_TAG_NONE, 0));
		balloc_give(a, run);
		if (ret < 0)
			return ret;
		*bytes += (uint64_t)run.len << bits;
	}
}

int alloc_trim(struct alloc *a, pblk_t first, uint64_t len, uint64_t minlen,
		uint64_t *ret_bytes)
{
	const struct geo *geo = a->geo;
	pblk_t end = first < geo->blocks
			? first + min_u64(len, geo->blocks - first)
			: first;
	uint64_t bytes = 0;
	int ret = 0;

	if (a->read_only)
		return -EROFS;
	minlen = max_u64(minlen, 1);
	first = max_u64(first, geo->first_data_block);
	while (first < end && minlen <= geo->bpg) {
		grp_t no = geo_grp_of_block(geo, first);
		pblk_t base = geo_grp_first_block(geo, no);
		pblk_t stop = min_u64(end, base + geo_grp_clusters(geo, no));
		struct grp *grp;

		ret = grp_get(a, no, &grp);
		if (ret == 0 && atomic_load(&grp->longest) >= minlen)
			ret = trim_group(a, grp, (uint32_t)(first - base),
					(uint32_t)(stop - base),
					(uint32_t)minlen, &bytes);
		/* A group out of use has no free space to speak of. */
		if (ret < 0 && ret != -UEXT4_ECORRUPT && ret != -UEXT4_EBADCSUM)
			return ret;
		first = stop;
	}
	*ret_bytes = bytes;
	return 0;
}
