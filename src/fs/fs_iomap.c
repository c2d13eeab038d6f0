/* SPDX-License-Identifier: MIT */
/*
 * ext4's answers to iomap: the joint of inode, map, journal and allocation.
 *
 * Direct writes follow one of two policies (design.md, dio.md M). "unwritten":
 * a hole is filled with unwritten blocks in a transaction of its own, inside and
 * beyond EOF; dio_finish() converts them. Files without extents have no
 * unwritten state: a hole of theirs is answered with -ENOTBLK, "do it buffered"
 * (M3). "datafirst": blocks were reserved for the hole before (dio_rsv.c), for
 * every format; dio_finish() enters them.
 *
 * Buffered write-back follows "datafirst" for every format: blocks are reserved
 * in memory, the data is written to them, and then one transaction marks them
 * used, inserts them as written and raises the size on disk. A crash before it
 * leaves free blocks; no mapping is committed before its data is on the device
 * (data=ordered by rule).
 *
 * Rules    (FI1) Space for a delayed block and for the tree nodes it may need is
 *                claimed when the page is dirtied: write-back meets no ENOSPC.
 *          (FI2) No handle is held while data moves; see IO1.
 *
 * Locks    Handles, map.lock as their callees say.
 */
#include <assert.h>

#include "base/log.h"
#include "cache/buf.h"
#include "fs/dio_req.h"
#include "fs/fs.h"
#include "fs/reserve.h"
#include "fs/write.h"
#include "inode/inline.h"
#include "journal/txn.h"

/* One mapping step of a direct write covers at most so many blocks (M1). */
#define DIO_MAX_BLOCKS 4096u
#define MAP_MAX_BLOCKS 32768u
/* Commits forced for blocks whose freeing is not durable yet (M5). */
#define ENOSPC_RETRIES 3

static struct inode *file_inode(struct iomap_file *f)
{
	return container_of(f, struct inode, file);
}

/* ---- begin ---- */

static void iomap_of_run(struct inode *inode, const struct map_run *run,
		struct iomap *map)
{
	uint32_t bits = inode->file.blkbits;

	*map = (struct iomap){
		.addr = run->pblk << bits,
		.offset = (uint64_t)run->lblk << bits,
		.length = (uint64_t)run->len << bits,
		.cookie = atomic_load(&inode->map.seq),
	};
	switch (run->type) {
	case MAP_HOLE:
		map->type = IOMAP_HOLE;
		map->addr = 0;
		break;
	case MAP_WRITTEN:
		map->type = IOMAP_MAPPED;
		break;
	case MAP_UNWRITTEN:
		map->type = IOMAP_UNWRITTEN;
		break;
	}
	if (run->is_new)
		map->flags |= IOMAP_F_NEW;
}

/* Fill the hole at @lblk with unwritten blocks, in a handle of its own. */
static int iomap_alloc_once(struct inode *inode, lblk_t lblk, uint32_t n,
		struct map_run *run)
{
	struct handle *h;
	int ret;

	ret = handle_start(inode->it->journal,
			map_credits_alloc(&inode->map, n), &h);
	if (ret < 0)
		return ret;
	ret = map_alloc(h, &inode->map, lblk, n,
			iomap_lacks(&inode->file, IOMAP_LACKS_UNWRITTEN)
					? 0
					: MAP_F_UNWRITTEN,
			run);
	return handle_finish(h, ret);
}

/* M5: freed blocks become free with their commit; force it, a few times. */
static int iomap_alloc(struct inode *inode, lblk_t lblk, uint32_t n,
		struct map_run *run)
{
	struct itable *it = inode->it;
	int tries = 0;
	int ret;

	for (;;) {
		ret = iomap_alloc_once(inode, lblk, n, run);
		if (ret != -ENOSPC || tries++ == ENOSPC_RETRIES ||
				alloc_pending(it->alloc) == 0 ||
				iomap_lacks(&inode->file, IOMAP_LACKS_RETRY))
			return ret;
		ret = journal_sync(it->journal);
		if (ret < 0)
			return ret;
	}
}

/* E6: may the FUA shortcut be taken, or is there metadata to commit? */
static bool inode_is_datasync_dirty(struct inode *inode)
{
	bool dirty;

	mutex_lock(&inode->attr_lock);
	dirty = inode->datasync_tid_valid &&
			!journal_is_committed(inode->it->journal,
					inode->datasync_tid);
	mutex_unlock(&inode->attr_lock);
	return dirty;
}

/* A hole met by a direct write. */
static int iomap_fill_hole(struct inode *inode, lblk_t lblk, uint32_t n,
		uint32_t flags, struct map_run *run)
{
	uint32_t hole = run->len;

	/* Reserved before the request was started (dio_rsv.c); since then
	 * write-back may have given a page in there a block of its own. */
	if (fs_is_datafirst(inode_fs(inode))) {
		if (!dio_rsv_find(inode, lblk, run))
			return -ENOSPC;
		run->len = min_of(run->len, hole);
		return 0;
	}
	if (flags & IOMAP_NOWAIT)
		return -EAGAIN;
	if (!inode->map.is_extents &&
			!iomap_lacks(&inode->file, IOMAP_LACKS_UNWRITTEN))
		return -ENOTBLK; /* M3 */
	return iomap_alloc(inode, lblk, min_of(run->len, n), run);
}

static int iomap_begin_direct_write(struct inode *inode, lblk_t lblk,
		uint32_t n, uint32_t flags, struct iomap *ret_map)
{
	uint64_t end = ((uint64_t)lblk + n) << inode->file.blkbits;
	struct map_run run;
	int ret;

	n = min_of(n, DIO_MAX_BLOCKS);
	ret = map_find(&inode->map, lblk, n, &run); /* M4: look first */
	if (ret == 0 && run.type == MAP_HOLE)
		ret = iomap_fill_hole(inode, lblk, n, flags, &run);
	if (ret < 0)
		return ret;
	iomap_of_run(inode, &run, ret_map);
	if (end > inode_size(inode))
		ret_map->flags |= IOMAP_F_BEYOND_EOF | IOMAP_F_DIRTY;
	else if ((flags & IOMAP_DSYNC) && inode_is_datasync_dirty(inode))
		ret_map->flags |= IOMAP_F_DIRTY;
	return 0;
}

/* The bytes in the inode, and nothing behind them. */
static int iomap_begin_inline(struct inode *inode, uint64_t pos, uint64_t len,
		struct iomap *ret_map)
{
	struct iomap map = { .type = IOMAP_HOLE, .offset = pos, .length = len };
	pblk_t pblk;
	uint32_t off;
	int ret;

	if (pos < inode->inl->len) {
		ret = ialloc_locate(inode->it->alloc, inode->inum, &pblk, &off);
		if (ret < 0)
			return ret;
		map.type = IOMAP_INLINE;
		map.addr = (pblk << inode->file.blkbits) + off +
				DINODE_IBLOCK_OFF;
		map.offset = 0;
		map.length = inode->inl->len;
		map.inline_data = inode->inl->bytes;
	}
	*ret_map = map;
	return 0;
}

static int iomap_begin(struct iomap_file *f, uint64_t pos, uint64_t len,
		uint32_t flags, struct iomap *ret_map)
{
	struct inode *inode = file_inode(f);
	uint32_t bits = f->blkbits;
	uint64_t first = pos >> bits;
	uint64_t last = (pos + len - 1) >> bits;
	uint32_t n = (uint32_t)min_u64(last - first + 1, MAP_MAX_BLOCKS);
	struct map_run run;
	int ret;

	if (inode_is_inline(inode)) /* M8 */
		return flags & IOMAP_WRITE
				? -ERANGE
				: iomap_begin_inline(inode, pos, len, ret_map);
	if (first > UINT32_MAX) {
		if (flags & IOMAP_WRITE)
			return -EFBIG;
		run = (struct map_run){ .type = MAP_HOLE, .len = 1 };
		iomap_of_run(inode, &run, ret_map);
		ret_map->offset = pos;
		ret_map->length = len;
		return 0;
	}
	if ((flags & (IOMAP_WRITE | IOMAP_DIRECT)) ==
			(IOMAP_WRITE | IOMAP_DIRECT))
		return iomap_begin_direct_write(
				inode, (lblk_t)first, n, flags, ret_map);

	ret = map_find(&inode->map, (lblk_t)first, n, &run);
	if (ret < 0)
		return ret;
	iomap_of_run(inode, &run, ret_map);
	return 0;
}

/* ---- buffered writes ---- */

static int iomap_claim(struct iomap_file *f, uint32_t nblk)
{
	return reserve_claim(file_inode(f), nblk);
}

static void iomap_unclaim(struct iomap_file *f, uint32_t nblk)
{
	reserve_unclaim(file_inode(f), nblk);
}

static void iomap_raise_size(struct iomap_file *f, uint64_t end)
{
	struct inode *inode = file_inode(f);

	mutex_lock(&inode->attr_lock);
	if (end > atomic_load(&f->size))
		atomic_store_explicit(&f->size, end, memory_order_release);
	mutex_unlock(&inode->attr_lock);
}

/* ---- write-back ---- */

/* A place for delayed blocks: reserved in memory, paid for by their claims. */
static int writeback_reserve(struct inode *inode, lblk_t lblk, uint32_t n,
		struct map_run *run)
{
	struct itable *it = inode->it;
	int ret;

	n = min_of(n, MAP_MAX_BLOCKS);
	ret = reserve_blocks(inode, lblk, n, 0, NULL, run);
	if (ret != -ENOSPC || alloc_pending(it->alloc) == 0)
		return ret;
	return journal_sync(it->journal) == 0
			? reserve_blocks(inode, lblk, n, 0, NULL, run)
			: -EIO;
}

static int iomap_writeback_map(struct iomap_file *f, uint64_t pos, uint64_t len,
		bool delalloc, struct iomap *ret_map)
{
	struct inode *inode = file_inode(f);
	lblk_t lblk = (lblk_t)(pos >> f->blkbits);
	uint32_t n = (uint32_t)min_u64(len >> f->blkbits, MAP_MAX_BLOCKS);
	struct map_run run;
	int ret;

	/* After a shutdown not even data goes to the device. */
	ret = fs_may_write(inode_fs(inode));
	if (ret < 0)
		return ret;
	ret = map_find(&inode->map, lblk, n, &run);
	if (ret < 0)
		return ret;
	if (run.type == MAP_HOLE) {
		if (!delalloc) {
			log_err(inode->it->log,
					"inode %u: dirty page %u has "
					"no block and no claim",
					inode->inum, lblk);
			return -EIO;
		}
		ret = writeback_reserve(inode, lblk, min_of(n, run.len), &run);
		if (ret < 0)
			return ret;
	} else if (delalloc) {
		/* The block was mapped since: the claims are not needed. */
		reserve_unclaim(inode, run.len);
	}
	iomap_of_run(inode, &run, ret_map);
	return 0;
}

/* Raise the size on disk, never past the size in memory (I2). */
static void writeback_raise_dsize(struct inode *inode, uint64_t end)
{
	mutex_lock(&inode->attr_lock);
	if (!iomap_lacks(&inode->file, IOMAP_LACKS_CAP))
		end = min_u64(end, atomic_load(&inode->file.size));
	if (end > inode->d.size)
		inode_set_dsize(inode, end);
	mutex_unlock(&inode->attr_lock);
}

/* The one transaction of write-back. */
static int writeback_commit(struct inode *inode, const struct map_run *run,
		uint64_t end, bool *ret_ours)
{
	bool unwritten = run->type == MAP_UNWRITTEN;
	uint32_t credits = INODE_CREDITS;
	struct handle *h;
	int err;
	int ret = 0;

	*ret_ours = run->is_new;
	if (run->is_new)
		credits += reserve_credits(inode, run->len);
	else if (unwritten)
		credits += map_credits_convert(&inode->map);
	err = handle_start(inode->it->journal, credits, &h);
	if (err < 0)
		return err;

	if (run->is_new)
		ret = reserve_enter(h, inode, run, ret_ours);
	else if (unwritten)
		ret = convert_unwritten_extents(h, inode,
				&(struct converted){
						.lblk = run->lblk,
						.len = run->len,
						.end = end,
				});
	if (ret == 0) {
		writeback_raise_dsize(inode, end);
		ret = inode_dirty_datasync(h, inode);
	}
	return handle_finish(h, ret);
}

static int iomap_writeback_end(struct iomap_file *f, struct iomap *map,
		uint64_t end, bool delalloc, int err)
{
	struct inode *inode = file_inode(f);
	struct map_run run = {
		.lblk = (lblk_t)(map->offset >> f->blkbits),
		.len = (uint32_t)(map->length >> f->blkbits),
		.pblk = map->addr >> f->blkbits,
		.type = map->type == IOMAP_UNWRITTEN ? MAP_UNWRITTEN
						     : MAP_WRITTEN,
		.is_new = (map->flags & IOMAP_F_NEW) != 0,
	};
	bool ours = run.is_new;
	bool raises;
	int ret = err;

	mutex_lock(&inode->attr_lock);
	raises = min_u64(end, atomic_load(&f->size)) > inode->d.size;
	mutex_unlock(&inode->attr_lock);

	if (ret == 0 && (run.is_new || run.type == MAP_UNWRITTEN || raises))
		ret = writeback_commit(inode, &run, end, &ours);
	if (ret < 0 && ours)
		alloc_rsv_release(inode->it->alloc,
				(struct alloc_run){ run.pblk, run.len });
	if (ret < 0 && delalloc)
		reserve_reclaim(inode, run.len);
	reserve_settle(inode, run.is_new ? run.len : 0);
	return ret;
}

static bool iomap_in_flight(struct iomap_file *f)
{
	struct inode *inode = file_inode(f);

	return fs_queues_fly(inode_fs(inode), inode);
}

const struct iomap_ops fs_iomap_ops = {
	.begin = iomap_begin,
	.in_flight = iomap_in_flight,
	.claim = iomap_claim,
	.unclaim = iomap_unclaim,
	.writeback_map = iomap_writeback_map,
	.writeback_end = iomap_writeback_end,
	.raise_size = iomap_raise_size,
};
