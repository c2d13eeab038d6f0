/* SPDX-License-Identifier: MIT */
/*
 * What follows the data of a direct write: conversion, sizes, clean-up.
 *
 * Rules    (E1) After a failed I/O nothing is converted and no size changes.
 *          (E2) Exactly the blocks of the bytes done are converted; the rest of
 *               a partial block was zero-filled with the data.
 *          (E3) Sizes are raised after conversion, in the handle of it; only
 *               ever upwards, dsize never past isize (B14, B46).
 */
#include "fs/write.h"

#include "base/log.h"
#include "fs/fs.h"
#include "journal/txn.h"

void raise_sizes(struct inode *inode, uint64_t end, bool grow)
{
	uint64_t isize;

	mutex_lock(&inode->attr_lock);
	isize = atomic_load(&inode->file.size);
	if (grow &&
			(end > isize ||
					iomap_lacks(&inode->file,
							IOMAP_LACKS_MAX))) {
		isize = end;
		atomic_store_explicit(
				&inode->file.size, isize, memory_order_release);
	}
	end = min_u64(end, isize);
	if (end > inode->d.size)
		inode_set_dsize(inode, end);
	mutex_unlock(&inode->attr_lock);
}

/* How far from @lblk on the file is written, at most to @end. */
static int converted_end(struct inode *inode, uint32_t lblk, uint64_t end,
		uint64_t *ret_end)
{
	struct map_run run;
	uint64_t at;
	int ret;

	for (at = lblk; at < end; at += run.len) {
		ret = map_find(&inode->map, (lblk_t)at, (uint32_t)(end - at),
				&run);
		if (ret < 0)
			return ret;
		if (run.type != MAP_WRITTEN)
			break;
	}
	*ret_end = at;
	return 0;
}

int convert_unwritten_extents(struct handle *h, struct inode *inode,
		const struct converted *c)
{
	uint64_t done;
	int ret;

	for (;;) {
		ret = map_convert(h, &inode->map, c->lblk, c->len);
		if (ret != -EAGAIN)
			return ret;
		/* What has been converted may be committed now: the size has
		 * to cover it (I4). */
		ret = converted_end(inode, c->lblk, (uint64_t)c->lblk + c->len,
				&done);
		if (ret < 0)
			return ret;
		raise_sizes(inode, min_u64(c->end, done << inode->file.blkbits),
				c->grow);
		ret = inode_dirty_datasync(h, inode);
		if (ret < 0)
			return ret;
		ret = handle_restart(h,
				map_credits_convert(&inode->map) +
						INODE_CREDITS);
		if (ret < 0)
			return ret;
	}
}

int handle_inode_extension(struct handle *h, struct inode *inode, uint64_t end)
{
	raise_sizes(inode, end, true);
	return inode_dirty_datasync(h, inode);
}

void handle_failed_inode_extension(struct inode *inode, uint64_t mapped_end)
{
	uint32_t bs = inode->it->geo->block_size;
	uint64_t from = div_up_u64(inode_size(inode), bs);
	uint64_t end = min_u64(div_up_u64(mapped_end, bs),
			map_max_blocks(&inode->map));
	int ret;

	rwsem_assert_write_held(&inode->rwsem);
	if (end <= from)
		return;
	ret = inode_remove_blocks(inode, (lblk_t)from, end);
	if (ret < 0) {
		/* Unwritten blocks past EOF are legal; try again later. */
		atomic_fetch_or(&inode->state, INODE_S_EOF_TRIM);
		log_warn(inode->it->log,
				"inode %u: blocks past the end of a "
				"failed write could not be freed",
				inode->inum);
	}
}

void inode_trim_eof(struct inode *inode)
{
	uint32_t was = atomic_fetch_and(&inode->state, ~INODE_S_EOF_TRIM);

	if (was & INODE_S_EOF_TRIM)
		handle_failed_inode_extension(inode, UINT64_MAX);
}

void inode_try_trim_eof(struct inode *inode)
{
	if (!(atomic_load(&inode->state) & INODE_S_EOF_TRIM) ||
			!rwsem_write_trylock(&inode->rwsem))
		return;
	if (!iomap_dio_busy(&inode->file))
		inode_trim_eof(inode);
	rwsem_write_unlock(&inode->rwsem);
}
