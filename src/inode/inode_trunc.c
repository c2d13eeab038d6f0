/* SPDX-License-Identifier: MIT */
/*
 * Truncate and the removal of blocks, in steps that each fit one transaction.
 *
 * A truncate to a smaller size that frees blocks takes several transactions.
 * In the first the inode enters the orphan set with its new size; a crash
 * after it is finished by recovery, which truncates to the size on disk. In
 * the last it leaves the set.
 *
 * Rules    (TR1) The tail of the new EOF block is zero on the device before
 *                the new size is committed, so that a later extension shows
 *                zeroes (dio.md I4, W17).
 *          (TR2) Removal goes from the end downwards: what is left after any
 *                step is a file that may be committed.
 *          (TR3) Sizes shrink under rwsem exclusive and drained only.
 */
#include "base/log.h"
#include "disk/geo.h"
#include "inode/inode.h"
#include "inode/orphan.h"
#include "journal/txn.h"

/* Is anything mapped at or after @from? 1, 0 or an error. */
static int inode_has_blocks_from(struct inode *inode, uint64_t from)
{
	struct map_run run;
	int ret;

	if (from > UINT32_MAX)
		return 0;

	ret = map_next(&inode->map, (lblk_t)from, &run);
	if (ret == -ENOENT)
		return 0;
	return ret < 0 ? ret : 1;
}

int inode_remove_blocks(struct inode *inode, lblk_t from, uint64_t end)
{
	struct handle *h;
	int ret;

	ret = inode_has_blocks_from(inode, from);
	if (ret <= 0)
		return ret;

	ret = handle_start(inode->it->journal, map_credits_remove(&inode->map),
			&h);
	if (ret < 0)
		return ret;

	for (;;) {
		ret = map_remove(h, &inode->map, from, end, &end);
		if (ret < 0 || end <= from)
			break;
		ret = handle_restart(h, map_credits_remove(&inode->map));
		if (ret < 0)
			break;
	}
	return handle_finish(h, ret);
}

/* Zero what the new EOF block holds past @size, on the device (TR1). */
static int inode_zero_tail(struct inode *inode, uint64_t size)
{
	uint32_t bs = inode->it->geo->block_size;
	uint32_t in_block = (uint32_t)(size & (bs - 1));
	bool did;
	int ret;

	if (in_block == 0)
		return 0;

	ret = iomap_zero_range(&inode->file, size, bs - in_block, &did);
	if (ret < 0 || !did)
		return ret;
	return iomap_writeback(&inode->file, size, size);
}

/* The same, or may there be before the pages are gone? A dirty page on its way
 * to the device gets its block while we wait for it. */
static int inode_may_have_blocks(struct inode *inode, uint64_t from)
{
	if (pages_has_dirty(&inode->file.pages, from, UINT64_MAX))
		return 1;
	return inode_has_blocks_from(inode, from);
}

/* First step: the new size, and the orphan set if blocks must go. */
static int inode_truncate_begin(
		struct inode *inode, uint64_t size, bool has_blocks)
{
	struct handle *h;
	int err;
	int ret = 0;

	err = handle_start(
			inode->it->journal, ORPHAN_CREDITS + INODE_CREDITS, &h);
	if (err < 0)
		return err;

	if (has_blocks && !(atomic_load(&inode->state) & INODE_S_ORPHAN))
		ret = orphan_add(h, inode);
	if (ret == 0) {
		inode_set_size(inode, size);
		ret = inode_dirty_datasync(h, inode);
	}
	return handle_finish(h, ret);
}

int inode_leave_orphans(struct inode *inode)
{
	struct handle *h;
	int ret;

	if (inode->d.links == 0) /* stays an orphan until it is freed */
		return 0;

	ret = handle_start(
			inode->it->journal, ORPHAN_CREDITS + INODE_CREDITS, &h);
	if (ret < 0)
		return ret;

	ret = orphan_del(h, inode);
	return handle_finish(h, ret);
}

int inode_truncate(struct inode *inode, uint64_t size)
{
	struct itable *it = inode->it;
	uint64_t from = div_up_u64(size, it->geo->block_size);
	int has;
	int ret;

	rwsem_assert_write_held(&inode->rwsem);
	ret = inode_zero_tail(inode, size);
	if (ret < 0)
		return ret;

	rwsem_write_lock(&inode->map.lock);
	alloc_pa_release(it->alloc, &inode->map.pa);
	rwsem_write_unlock(&inode->map.lock);
	rwsem_write_lock(&inode->file.inval);
	has = inode_may_have_blocks(inode, from);
	ret = has < 0 ? has : inode_truncate_begin(inode, size, has > 0);
	if (ret == 0)
		ret = iomap_drop_pages(&inode->file, from * it->geo->block_size,
				UINT64_MAX);
	if (ret == 0 && has > 0)
		ret = inode_remove_blocks(
				inode, (lblk_t)from, (uint64_t)UINT32_MAX + 1);
	rwsem_write_unlock(&inode->file.inval);
	if (ret < 0)
		return ret;

	atomic_fetch_or(&inode->state, INODE_S_EOF_CLEAN);
	atomic_fetch_and(&inode->state, ~INODE_S_EOF_TRIM);
	/* Also if an earlier truncate could not finish. */
	if (atomic_load(&inode->state) & INODE_S_ORPHAN)
		ret = inode_leave_orphans(inode);
	return ret;
}
