/* SPDX-License-Identifier: MIT */
/*
 * Room for the tree nodes that a direct write into unwritten blocks may need when
 * its data is there: a run in the middle of an extent makes three of it.
 *
 * The nodes of the worst case are claimed before the request is started, and what
 * was not taken goes back when it is over. If they cannot be had, it goes alone,
 * with the iolock to its end, if the tree as it is has room for it. If not, the
 * extents are made written first, each as a whole, which needs no node: they get
 * zeroes, as they read already, and these are on the device before the commit that
 * makes the blocks written (it flushes).
 *
 * Rules    (DN1) A request that is under way meets no -ENOSPC at its end (B30).
 *          (DN2) Without a claim nobody else may change the map: iolock
 *                exclusive, drained, dirty pages written back. So there is
 *                nobody either whose data the zeroes could fall upon.
 *          (DN3) Only extents that end inside dsize are zeroed: behind it there
 *                are no written blocks (dio.md I4). A write to others is refused
 *                with -ENOSPC before it is started.
 *
 * Locks    As of dio_write.c; a handle with nothing but the iolock held.
 */
#include "alloc/alloc.h"
#include "bdev/bdev.h"
#include "fs/dio_req.h"
#include "fs/fs.h"
#include "fs/reserve.h"
#include "journal/journal.h"
#include "journal/txn.h"

/* The extent @e, which is unwritten, becomes written and holds zeroes. */
static int nodes_zero_extent(struct inode *inode, const struct map_run *e)
{
	struct itable *it = inode->it;
	uint32_t bits = inode->file.blkbits;
	struct handle *h;
	int err;
	int ret;

	ret = bdev_zero(it->dev, e->pblk << bits, (uint64_t)e->len << bits,
			BDEV_F_NOUNMAP, BDEV_TAG(BDEV_TAG_DATA, inode->inum));
	if (ret < 0)
		return ret;
	ret = handle_start(it->journal,
			map_credits_convert(&inode->map) + INODE_CREDITS, &h);
	if (ret < 0)
		return ret;
	ret = map_convert(h, &inode->map, e->lblk, e->len);
	err = inode_dirty_datasync(h, inode);
	return handle_finish(h, ret < 0 ? ret : err);
}

/* All extents of [@at, @end) that are unwritten (DN3). */
static int nodes_zero(struct inode *inode, uint64_t at, uint64_t end)
{
	uint64_t bs = inode->it->geo->block_size;
	uint64_t limit = div_up_u64(
			min_u64(inode_dsize(inode), inode_size(inode)), bs);
	struct map_run e;
	int ret;

	for (; at < end; at = (uint64_t)e.lblk + e.len) {
		ret = map_find_extent(&inode->map, (lblk_t)at, &e);
		if (ret < 0)
			return ret;
		if (e.type != MAP_UNWRITTEN)
			continue;
		if ((uint64_t)e.lblk + e.len > limit)
			return -ENOSPC;
		ret = nodes_zero_extent(inode, &e);
		if (ret < 0)
			return ret;
	}
	return 0;
}

/* DN2 holds. */
static int nodes_do_without(struct dio_req *r, bool has_hole, bool *ret_alone)
{
	struct inode *inode = r->inode;
	uint32_t bits = inode->file.blkbits;
	uint64_t at = r->pos >> bits;
	uint64_t end = ((r->pos + r->it.count - 1) >> bits) + 1;
	int ret;

	if (!has_hole) {
		ret = map_convert_fits(
				&inode->map, (lblk_t)at, (uint32_t)(end - at));
		if (ret > 0)
			*ret_alone = true;
		if (ret != 0)
			return min_of(ret, 0);
	}
	return nodes_zero(inode, at, end);
}

int dio_nodes_take(struct dio_req *r, bool has_hole, bool *ret_alone)
{
	struct inode *inode = r->inode;
	struct itable *it = inode->it;
	int ret;

	ret = reserve_claim_convert(inode, &r->nodes);
	if (ret != -ENOSPC)
		return ret;
	/* Holes that are filled with unwritten blocks need space anyway. */
	if (has_hole && !fs_is_datafirst(inode_fs(inode)))
		return -ENOSPC;
	if (!r->exclusive)
		return -EDEADLK;
	iomap_dio_drain(&inode->file);
	ret = iomap_writeback(&inode->file, 0, UINT64_MAX);
	if (ret == 0 && alloc_pending(it->alloc) > 0) /* M5 */
		ret = journal_sync(it->journal);
	if (ret == 0)
		ret = reserve_claim_convert(inode, &r->nodes);
	return ret != -ENOSPC ? ret : nodes_do_without(r, has_hole, ret_alone);
}

void dio_nodes_put(struct dio_req *r)
{
	if (r->nodes > 0)
		reserve_unclaim_convert(r->inode, r->nodes);
	r->nodes = 0;
}
