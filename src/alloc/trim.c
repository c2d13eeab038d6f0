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

/* What is left to do in one group, in bits of its bitmap. */
struct trim {
	uint32_t pos, end;
	uint32_t minlen;
	uint32_t until; /* to here the run at pos goes, which is long enough */
};

/* Pay for up to @len blocks, how many. Half of what is there stays for others:
 * they must not meet -ENOSPC because of us. */
static uint32_t trim_pay(struct alloc *a, uint32_t len)
{
	int64_t have = atomic_load(&a->avail);
	int64_t n;

	do {
		if (have <= 0)
			return 0;
		n = min_of((int64_t)len, (have + 1) / 2);
	} while (!atomic_compare_exchange_weak(&a->avail, &have, have - n));
	return (uint32_t)n;
}

/* Reserve the next free run of at least minlen, or a part of it. 1 if there is
 * one, pos is then behind it. */
static int trim_take(struct alloc *a, struct grp *grp, struct trim *t,
		struct alloc_run *ret_run)
{
	uint32_t bit, len, n, want = t->pos < t->until ? 1 : t->minlen;
	int ret = grp_lock_blocks(a, grp);

	if (ret < 0)
		return ret;
	if (buddy_find(grp->buddy, t->pos, want, &bit) && bit < t->end &&
			t->end - bit >= want) {
		len = buddy_run_at(grp->buddy, bit, t->end - bit);
		n = trim_pay(a, len);
		if (n > 0)
			grp_take_locked(a, grp, bit, n);
		*ret_run = (struct alloc_run){
			geo_grp_first_block(a->geo, grp->no) + bit, n
		};
		t->until = bit + len;
		t->pos = n > 0 ? bit + n : t->until;
		ret = 1;
	}
	grp_unlock(grp);
	return ret;
}

static int trim_group(struct alloc *a, struct grp *grp, struct trim *t,
		uint64_t *bytes)
{
	uint32_t bits = a->geo->block_bits;

	for (;;) {
		struct alloc_run run = { 0 };
		int ret = trim_take(a, grp, t, &run);

		if (ret != 1)
			return ret;
		if (run.len == 0)
			continue;
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
		struct trim t = {
			.pos = (uint32_t)(first - base),
			.end = (uint32_t)(stop - base),
			.minlen = (uint32_t)minlen,
		};
		struct grp *grp;

		ret = grp_get(a, no, &grp);
		if (ret == 0 && atomic_load(&grp->longest) >= minlen)
			ret = trim_group(a, grp, &t, &bytes);
		/* A group out of use has no free space to speak of. */
		if (ret < 0 && ret != -UEXT4_ECORRUPT && ret != -UEXT4_EBADCSUM)
			return ret;
		first = stop;
	}
	*ret_bytes = bytes;
	return 0;
}
