/* SPDX-License-Identifier: MIT */
/*
 * fallocate: allocate, keep size, punch, zero range; and truncate of a file.
 *
 * Every mode: iolock exclusive -> drain -> sample sizes -> operate (B16); what
 * removes blocks holds inval exclusively from before the pages are dropped till
 * after the blocks are gone (B3).
 *
 * Rules    (FA1) Preallocated blocks are unwritten: they read as zeroes.
 *          (FA2) Edges of punch and zero range that cover part of a block are
 *               zeroed through the cache and written back before anything is
 *               committed about the whole blocks.
 *          (FA3) dsize is raised over delayed data that a punch drops.
 *          (FA4) Files without extents: allocate and zero range are
 *               -EOPNOTSUPP, punch works; as Linux has it.
 *          (FA5) Delayed blocks get their place before holes are filled: a
 *               flusher that is under way has chosen one for its pages, though
 *               the map does not know it yet.
 */
#include "disk/geo.h"
#include "fs/attr.h"
#include "fs/file.h"
#include "fs/fs.h"
#include "fs/write.h"
#include "journal/txn.h"

#define FALLOC_RETRIES 3

/* The time stamps and, if @size is above it, both sizes; in one handle. */
static int falloc_finish(struct inode *inode, uint64_t size)
{
	struct handle *h;
	int ret;

	ret = handle_start(inode->it->journal, INODE_CREDITS, &h);
	if (ret < 0)
		return ret;
	inode_touch(inode, INODE_T_MTIME | INODE_T_CTIME);
	if (size > inode_size(inode))
		ret = handle_inode_extension(h, inode, size);
	else
		ret = inode_dirty_datasync(h, inode);
	return handle_finish(h, ret);
}

/* One handle's worth of unwritten blocks from @lblk on. */
static int falloc_step(
		struct inode *inode, lblk_t lblk, uint32_t n, uint32_t *ret_n)
{
	struct map_run run;
	struct handle *h;
	int ret;

	ret = handle_start(inode->it->journal,
			map_credits_alloc(&inode->map, n) + INODE_CREDITS, &h);
	if (ret < 0)
		return ret;
	ret = map_alloc(h, &inode->map, lblk, n, MAP_F_UNWRITTEN | MAP_F_KEEP,
			&run);
	ret = handle_finish(h, ret);
	if (ret == 0)
		*ret_n = run.len;
	return ret;
}

static int falloc_blocks(struct inode *inode, uint64_t first, uint64_t end)
{
	int tries = 0;
	uint32_t n = 0;
	int ret;

	while (first < end) {
		ret = falloc_step(inode, (lblk_t)first,
				(uint32_t)min_u64(end - first, 32767), &n);
		if (ret == -ENOSPC && tries++ < FALLOC_RETRIES &&
				alloc_pending(inode->it->alloc) > 0) {
			ret = journal_sync(inode->it->journal);
			if (ret < 0)
				return ret;
			continue;
		}
		if (ret < 0)
			return ret;
		first += n;
	}
	return 0;
}

static int falloc_allocate(
		struct inode *inode, uint64_t pos, uint64_t len, bool keep)
{
	uint32_t bits = inode->file.blkbits;
	uint64_t end = pos + len;
	int ret;

	if (!inode->map.is_extents)
		return -EOPNOTSUPP;
	ret = zero_eof_tail(inode, end);
	if (ret < 0)
		return ret;
	ret = iomap_writeback(&inode->file, pos, end - 1); /* FA5 */
	if (ret < 0)
		return ret;
	ret = falloc_blocks(inode, pos >> bits, ((end - 1) >> bits) + 1);
	if (ret < 0)
		return ret;
	return falloc_finish(inode, keep ? 0 : end);
}

/* FA3: the pages that would have raised dsize are about to be dropped. */
static int falloc_raise_dsize(struct inode *inode, uint64_t end)
{
	uint64_t isize = inode_size(inode);
	bool raise;

	mutex_lock(&inode->attr_lock);
	raise = min_u64(end, isize) > inode->d.size;
	if (raise)
		inode_set_dsize(inode, min_u64(end, isize));
	mutex_unlock(&inode->attr_lock);
	return raise ? falloc_finish(inode, 0) : 0;
}

/* Zero the parts of [pos, end) that share a block with what is kept, on the
 * device; *ret_first and *ret_end are the whole blocks between. */
static int falloc_zero_edges(struct inode *inode, uint64_t pos, uint64_t end,
		uint64_t *ret_first, uint64_t *ret_end)
{
	uint32_t bits = inode->file.blkbits;
	uint64_t mask = ((uint64_t)1 << bits) - 1;
	uint64_t first = (pos + mask) & ~mask;
	uint64_t last = end & ~mask;
	bool did = false;
	int ret = 0;

	*ret_first = first >> bits;
	*ret_end = max_u64(last, first) >> bits;
	if (first > last) { /* inside one block */
		ret = iomap_zero_range(&inode->file, pos, end - pos, &did);
		return ret < 0 || !did
				? ret
				: iomap_writeback(&inode->file, pos, end - 1);
	}
	if (pos < first)
		ret = iomap_zero_range(&inode->file, pos, first - pos, &did);
	if (ret == 0 && did)
		ret = iomap_writeback(&inode->file, pos, first - 1);
	did = false;
	if (ret == 0 && last < end)
		ret = iomap_zero_range(&inode->file, last, end - last, &did);
	if (ret == 0 && did)
		ret = iomap_writeback(&inode->file, last, end - 1);
	return ret;
}

/* For tests: between the pages and the blocks. */
static void falloc_dropped(struct inode *inode, uint64_t pos) UEXT4_NO_TSA
{
	bool lacks = iomap_lacks(&inode->file, IOMAP_LACKS_INVAL);

	if (lacks)
		rwsem_write_unlock(&inode->file.inval);
	iomap_at(&inode->file, pos, "dropped");
	if (lacks)
		rwsem_write_lock(&inode->file.inval);
}

/* Give the whole blocks [first, end) back. */
static int falloc_remove(struct inode *inode, uint64_t first, uint64_t end)
{
	uint32_t bits = inode->file.blkbits;
	int ret;

	if (first >= end)
		return 0;
	rwsem_write_lock(&inode->file.inval);
	ret = iomap_drop_pages(&inode->file, first << bits, (end << bits) - 1);
	falloc_dropped(inode, first << bits);
	if (ret == 0)
		ret = inode_remove_blocks(inode, (lblk_t)first, end);
	rwsem_write_unlock(&inode->file.inval);
	return ret;
}

static int falloc_punch(struct inode *inode, uint64_t pos, uint64_t len)
{
	uint64_t bs = inode->it->geo->block_size;
	uint64_t isize = inode_size(inode);
	uint64_t end = pos + len;
	uint64_t first;
	uint64_t last;
	int ret;

	if (pos >= isize)
		return 0;
	/* The rest of the EOF block is beyond the file: its block may go. */
	if (end >= isize)
		end = round_up_u64(isize, bs);
	ret = falloc_raise_dsize(inode, end);
	if (ret == 0)
		ret = falloc_zero_edges(inode, pos, end, &first, &last);
	if (ret == 0)
		ret = falloc_remove(inode, first, last);
	return ret < 0 ? ret : falloc_finish(inode, 0);
}

/* Turn the whole blocks into unwritten ones: written parts are converted,
 * holes are filled. */
static int falloc_make_unwritten(
		struct inode *inode, uint64_t first, uint64_t end)
{
	uint32_t bits = inode->file.blkbits;
	struct map_run run;
	struct handle *h;
	uint64_t at;
	int ret = 0;

	rwsem_write_lock(&inode->file.inval);
	ret = iomap_drop_pages(&inode->file, first << bits, (end << bits) - 1);
	for (at = first; ret == 0 && at < end; at += run.len) {
		ret = map_find(&inode->map, (lblk_t)at,
				(uint32_t)min_u64(end - at, 32767), &run);
		if (ret < 0 || run.type != MAP_WRITTEN)
			continue;
		ret = handle_start(inode->it->journal,
				map_credits_convert(&inode->map) +
						INODE_CREDITS,
				&h);
		if (ret < 0)
			break;
		ret = map_convert_unwritten(
				h, &inode->map, (lblk_t)at, run.len);
		ret = handle_finish(h, ret);
		if (ret == -EAGAIN) { /* over many extents: the rest of it */
			ret = 0;
			run.len = 0;
		}
	}
	rwsem_write_unlock(&inode->file.inval);
	if (ret == 0)
		ret = falloc_blocks(inode, first, end);
	return ret;
}

static int falloc_zero(
		struct inode *inode, uint64_t pos, uint64_t len, bool keep)
{
	uint64_t end = pos + len;
	uint64_t first;
	uint64_t last;
	int ret;

	if (!inode->map.is_extents)
		return -EOPNOTSUPP;
	ret = zero_eof_tail(inode, end);
	if (ret == 0)
		ret = falloc_raise_dsize(inode, end);
	if (ret == 0)
		ret = falloc_zero_edges(inode, pos, end, &first, &last);
	/* FA5 */
	if (ret == 0)
		ret = iomap_writeback(&inode->file, pos, end - 1);
	/* Blocks that were partial are allocated too, as Linux does. */
	if (ret == 0)
		ret = falloc_blocks(inode, pos >> inode->file.blkbits,
				((end - 1) >> inode->file.blkbits) + 1);
	if (ret == 0 && first < last)
		ret = falloc_make_unwritten(inode, first, last);
	return ret < 0 ? ret : falloc_finish(inode, keep ? 0 : end);
}

#define FALLOC_PRIV                                                            \
 (UEXT4_FALLOC_KILLPRIV | UEXT4_FALLOC_KEEPPRIV | UEXT4_FALLOC_KILLSGID)

/* @rwf: the bits of FALLOC_PRIV, which are those of writes, too. */
static int falloc_locked(struct uext4_file *file, unsigned mode, unsigned rwf,
		uint64_t pos, uint64_t len)
{
	struct inode *inode = file->inode;
	const struct geo *geo = inode->it->geo;
	uint64_t max = geo->max_bytes_extent;
	bool keep = (mode & UEXT4_FALLOC_KEEP_SIZE) != 0;
	int ret;

	if (inode_flags(inode) & DINODE_F_IMMUTABLE)
		return -EPERM;
	if ((inode_flags(inode) & DINODE_F_APPEND) &&
			(mode & ~UEXT4_FALLOC_KEEP_SIZE))
		return -EPERM;
	if (pos > max || len > max - pos)
		return -EFBIG;
	if (!inode->map.is_extents && !(mode & UEXT4_FALLOC_PUNCH_HOLE))
		return -EOPNOTSUPP;
	ret = keep ? 0 : fs_allow_size(file->fs, pos + len);
	if (ret < 0)
		return ret;
	iomap_dio_drain(&inode->file);
	ret = file_modified(file, rwf);
	if (ret < 0)
		return ret;
	if (mode & UEXT4_FALLOC_PUNCH_HOLE)
		return falloc_punch(inode, pos, len);
	if (mode & UEXT4_FALLOC_ZERO_RANGE)
		return falloc_zero(inode, pos, len, keep);
	return falloc_allocate(inode, pos, len, keep);
}

int uext4_fallocate(struct uext4_file *file, unsigned mode, uint64_t pos,
		uint64_t len)
{
	struct inode *inode = file->inode;
	unsigned rwf = mode & FALLOC_PRIV;
	int ret;

	mode &= ~FALLOC_PRIV;
	if (!file_can_write(file))
		return -EBADF;
	if (len == 0 || pos > INT64_MAX || len > INT64_MAX - pos)
		return len == 0 ? -EINVAL : -EFBIG;
	if (mode != 0 && mode != UEXT4_FALLOC_KEEP_SIZE &&
			mode !=
					(UEXT4_FALLOC_PUNCH_HOLE |
							UEXT4_FALLOC_KEEP_SIZE) &&
			(mode & ~UEXT4_FALLOC_KEEP_SIZE) !=
					UEXT4_FALLOC_ZERO_RANGE)
		return -EOPNOTSUPP;
	if (!inode_is_reg(inode))
		return inode_is_dir(inode) ? -EISDIR : -ENODEV;
	ret = fs_may_write(file->fs);
	if (ret < 0)
		return ret;

	inode_spend_as(inode, file->who.is_super);
	rwsem_write_lock(&inode->rwsem);
	ret = falloc_locked(file, mode, rwf, pos, len);
	rwsem_write_unlock(&inode->rwsem);
	if (ret == 0 && (file->flags & (UEXT4_O_SYNC | UEXT4_O_DSYNC)))
		ret = inode_sync(inode, !(file->flags & UEXT4_O_SYNC));
	if (ret == 0)
		ret = inode_sync_if_asked(inode);
	return fs_done(file->fs, ret, inode->inum);
}
