/* SPDX-License-Identifier: MIT */
/*
 * ext4's answers to iomap for DAX files: where bytes go, and what makes them
 * visible.
 *
 * Writes follow the policy "data first" of buffered write-back, for every
 * format: blocks for a hole are reserved in memory, the data is put there, and
 * then one handle marks them used, enters them as written and raises the sizes.
 * Unwritten blocks are converted in a handle of the same shape. So no block is
 * mapped before all of its bytes are there, none stands beyond the size in any
 * committed state, and a write that fails leaves nothing to clean up. Indirect
 * files, which know no unwritten state, need no way of their own.
 *
 * Rules    (FX1) The two sizes of a DAX file are equal whenever its iolock is
 *                free: nothing is delayed. What ends inside isize extends
 *                nothing.
 *          (FX2) Blocks are reserved and entered under the exclusive iolock, so
 *                what was a hole in dax_begin() is one in dax_end().
 *          (FX3) What is reserved was claimed before, with the tree nodes that it
 *                may need (reserve.h): to enter it meets no -ENOSPC.
 *
 * Locks    iolock(w) > [ handle > map(w) > size ]; overwrites: iolock(r) >
 *          map(r).
 */
#include "alloc/alloc.h"
#include "bdev/bdev.h"
#include "fs/fs.h"
#include "fs/reserve.h"
#include "fs/write.h"
#include "journal/txn.h"

static struct inode *dax_inode(struct iomap_file *f)
{
	return container_of(f, struct inode, file);
}

/* ---- begin ---- */

/* A place for the hole @run, or the start of it (FX3). */
static int dax_reserve(struct inode *inode, struct map_run *run)
{
	lblk_t lblk = run->lblk;
	uint32_t n = run->len;
	int ret;

	for (;; n /= 2) {
		ret = reserve_claim(inode, n);
		if (ret != -ENOSPC || n == 1)
			break;
	}
	if (ret < 0)
		return ret;
	/* The file's window is ours: FX2. */
	ret = reserve_blocks(inode, lblk, n, 0, &inode->map.pa, run);
	if (ret < 0)
		reserve_unclaim(inode, n);
	else if (run->len < n)
		reserve_unclaim(inode, n - run->len);
	return ret;
}

static int dax_begin_write(struct inode *inode, lblk_t lblk, uint32_t n,
		uint32_t flags, struct iomap *ret_map)
{
	uint32_t bits = inode->file.blkbits;
	struct map_run run;
	int ret;

	ret = map_find(&inode->map, lblk, n, &run);
	if (ret < 0)
		return ret;
	if (run.type == MAP_HOLE) {
		if (flags & IOMAP_NOWAIT)
			return -EAGAIN;
		rwsem_assert_write_held(&inode->rwsem); /* FX2 */
		run.len = min_of(run.len, n);
		ret = dax_reserve(inode, &run);
		if (ret < 0)
			return ret;
	}
	*ret_map = (struct iomap){
		.addr = run.pblk << bits,
		.offset = (uint64_t)run.lblk << bits,
		.length = (uint64_t)run.len << bits,
		.type = run.type == MAP_UNWRITTEN ? IOMAP_UNWRITTEN
						  : IOMAP_MAPPED,
		.flags = run.is_new ? IOMAP_F_NEW : 0,
	};
	return 0;
}

static int dax_begin(struct iomap_file *f, uint64_t pos, uint64_t len,
		uint32_t flags, struct iomap *ret_map)
{
	uint64_t first = pos >> f->blkbits;
	uint64_t last = (pos + len - 1) >> f->blkbits;

	if (!(flags & IOMAP_WRITE))
		return fs_iomap_ops.begin(f, pos, len, flags, ret_map);
	if (last > UINT32_MAX)
		return -EFBIG;
	return dax_begin_write(dax_inode(f), (lblk_t)first,
			(uint32_t)(last - first + 1), flags, ret_map);
}

/* ---- end ---- */

/* The one transaction of a piece that ends at byte @end. *ret_ours: its blocks
 * are still only reserved when this fails. */
static int dax_commit(struct inode *inode, const struct map_run *run,
		uint64_t end, bool *ret_ours)
{
	struct converted c = {
		.lblk = run->lblk,
		.len = run->len,
		.end = end,
		.grow = true,
	};
	uint32_t credits = INODE_CREDITS;
	struct handle *h;
	int err;
	int ret = 0;

	if (run->is_new)
		credits += reserve_credits(inode, run->len);
	else if (run->type == MAP_UNWRITTEN)
		credits += map_credits_convert(&inode->map);
	err = handle_start(inode->it->journal, credits, &h);
	if (err < 0)
		return err;
	if (run->is_new)
		ret = reserve_enter(h, inode, run, ret_ours);
	else if (run->type == MAP_UNWRITTEN)
		ret = convert_unwritten_extents(h, inode, &c);
	if (ret == 0)
		ret = handle_inode_extension(h, inode, end);
	return handle_finish(h, ret);
}

static int dax_end(struct iomap_file *f, uint64_t pos, uint64_t len,
		uint64_t done, uint32_t flags, struct iomap *map)
{
	struct inode *inode = dax_inode(f);
	uint64_t first = pos >> f->blkbits;
	struct map_run run = {
		.lblk = (lblk_t)first,
		.len = (uint32_t)(((pos + len - 1) >> f->blkbits) - first) + 1,
		.pblk = map->addr >> f->blkbits,
		.type = map->type == IOMAP_UNWRITTEN ? MAP_UNWRITTEN
						     : MAP_WRITTEN,
		.is_new = (map->flags & IOMAP_F_NEW) != 0,
	};
	bool ours = run.is_new;
	int ret = 0;

	if (!(flags & IOMAP_WRITE))
		return 0;
	if (done > 0 &&
			(run.is_new || run.type == MAP_UNWRITTEN ||
					pos + done > inode_size(inode))) /* FX1 */
		ret = dax_commit(inode, &run, pos + done, &ours);
	if (ours && (done == 0 || ret < 0))
		alloc_rsv_release(inode->it->alloc,
				(struct alloc_run){ run.pblk, run.len });
	if (run.is_new)
		reserve_settle(inode, run.len);
	return ret;
}

/* No page, so no claims and no write-back. */
const struct iomap_ops fs_dax_ops = {
	.begin = dax_begin,
	.end = dax_end,
};

/* ---- mounting ---- */

int fs_check_dax(struct uext4_fs *fs)
{
	void *addr;
	int ret;

	if (!(fs->opts.flags & UEXT4_MNT_DAX))
		return 0;
	if (fs->opts.flags & UEXT4_MNT_DIRECT) {
		log_err(&fs->log,
				"DAX goes through the host's cache, DIRECT "
				"past it: choose one");
		return -EINVAL;
	}
	ret = bdev_map(fs->dev, 0, bdev_size(fs->dev), &addr);
	if (ret < 0)
		log_err(&fs->log,
				"DAX: the device cannot be mapped into "
				"memory: %s",
				err_text(ret));
	return ret;
}
