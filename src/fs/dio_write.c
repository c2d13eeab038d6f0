/* SPDX-License-Identifier: MIT */
/*
 * The direct write path: lock, checks, classification, the engine, the rest.
 *
 *	take the iolock as a cheap look suggests
 *	eligible? sector-aligned?  (D-2: else buffered, or -EINVAL)
 *	write_checks(): position and count are final from here on (W18)
 *	plan = dio_write_plan(...)  exclusive needed but shared held: take it
 *				    exclusively and do ALL checks again
 *	drain, zero the EOF tail, iomap_dio_rw(), clean up, unlock
 *	bytes left: buffered, written back, dropped from the cache (F1-F3)
 *
 * Rule     (DW1) Nothing changes before the last check that can refuse.
 */
#include "bdev/bdev.h"
#include "disk/geo.h"
#include "fs/file.h"
#include "fs/fs.h"
#include "fs/write.h"

/* One attempt under one lock mode. */
struct dio_try {
	struct uext4_file *file;
	uint64_t pos; /* effective after the checks */
	struct iov_iter *it;
	unsigned rwf;
	bool exclusive;
	bool buffered; /* not eligible: go buffered from the start */
	struct iomap_dio_result res;
};

/* D-2: what cannot be done directly at all. */
static bool dio_is_eligible(const struct inode *inode)
{
	return !(inode_flags(inode) &
			(DINODE_F_INLINE_DATA | DINODE_F_JOURNAL_DATA |
					DINODE_F_VERITY | DINODE_F_ENCRYPT));
}

/* State of the partial blocks at the edges of the range. */
static int dio_range_state(struct inode *inode, uint64_t pos, uint64_t len,
		enum dio_range *ret_range)
{
	uint32_t bits = inode->file.blkbits;
	uint64_t at = pos >> bits;
	uint64_t end = ((pos + len - 1) >> bits) + 1;
	bool written = false;
	bool unwritten = false;
	struct map_run run;
	int ret;

	*ret_range = DIO_RANGE_HOLE;
	for (; at < end; at += run.len) {
		ret = map_find(&inode->map, (lblk_t)at,
				(uint32_t)min_u64(end - at, 32768), &run);
		if (ret < 0)
			return ret;
		if (run.type == MAP_HOLE)
			return 0;
		written |= run.type == MAP_WRITTEN;
		unwritten |= run.type == MAP_UNWRITTEN;
	}
	if (written && unwritten)
		*ret_range = DIO_RANGE_MIXED;
	else
		*ret_range = written ? DIO_RANGE_WRITTEN : DIO_RANGE_UNWRITTEN;
	return 0;
}

static int dio_make_plan(struct dio_try *t, struct dio_plan *ret_plan)
{
	struct inode *inode = t->file->inode;
	uint64_t end = t->pos + t->it->count;
	struct dio_query q = {
		.nowait = (t->rwf & UEXT4_RW_NOWAIT) != 0,
	};
	int ret = 0;

	q.aligned = ((t->pos | end) & (inode->it->geo->block_size - 1)) == 0;
	mutex_lock(&inode->attr_lock);
	q.extends = end > atomic_load(&inode->file.size) ||
			end > inode->d.size; /* D-8: both sizes, once */
	mutex_unlock(&inode->attr_lock);
	if (!q.aligned)
		ret = dio_range_state(inode, t->pos, t->it->count, &q.range);
	*ret_plan = dio_write_plan(&q);
	return ret;
}

/* Under the iolock as planned: do it. */
static ssize_t dio_write_go(struct dio_try *t, const struct dio_plan *plan)
{
	struct inode *inode = t->file->inode;
	uint32_t flags = IOMAP_DIO_FORCE_WAIT;
	uint64_t isize = inode_size(inode);
	uint64_t len = t->it->count;
	ssize_t done;
	int ret;

	if (plan->drain || t->pos > isize)
		iomap_dio_drain(&inode->file);
	if (t->exclusive) {
		ret = zero_eof_tail(inode, t->pos);
		if (ret < 0)
			return ret;
	}
	if (t->rwf & UEXT4_RW_NOWAIT)
		flags |= IOMAP_DIO_NOWAIT | IOMAP_DIO_OVERWRITE_ONLY;
	if ((t->file->flags & UEXT4_O_DSYNC) || (t->rwf & UEXT4_RW_DSYNC))
		flags |= IOMAP_DIO_FUA;
	done = iomap_dio_rw(&inode->file, t->pos, t->it, true, &dio_write_ops,
			flags, &t->res);
	if (!t->exclusive || (done >= 0 && (uint64_t)done == len))
		return done;
	/* Bytes may stand behind isize now, in its own block. */
	if (t->pos + len > inode_size(inode))
		atomic_fetch_and(&inode->state, ~INODE_S_EOF_CLEAN);
	if (t->res.mapped_end > inode_size(inode))
		handle_failed_inode_extension(inode, t->res.mapped_end);
	return done;
}

/* All of one attempt with the iolock held. -EDEADLK: again, exclusively. */
static ssize_t dio_write_try(struct dio_try *t)
{
	struct inode *inode = t->file->inode;
	uint32_t sector = inode->file.dev->geo.sector;
	struct dio_plan plan;
	int ret;

	if (!dio_is_eligible(inode)) {
		t->buffered = true;
		return 0;
	}
	if ((t->file->flags & UEXT4_O_APPEND) || (t->rwf & UEXT4_RW_APPEND)) {
		if (!t->exclusive)
			return -EDEADLK;
		t->pos = inode_size(inode);
	}
	if ((t->pos | t->it->count) & (sector - 1))
		return -EINVAL;
	ret = write_checks(t->file, &t->pos, t->it, t->rwf, t->exclusive);
	if (ret <= 0)
		return ret;
	ret = dio_make_plan(t, &plan);
	if (ret < 0)
		return ret;
	if (plan.again)
		return -EAGAIN;
	if (plan.exclusive && !t->exclusive)
		return -EDEADLK;
	return dio_write_go(t, &plan);
}

static int dio_lock(
		struct inode *inode, bool exclusive, bool nowait) UEXT4_NO_TSA
{
	if (nowait) {
		bool got = exclusive ? rwsem_write_trylock(&inode->rwsem)
				     : rwsem_read_trylock(&inode->rwsem);

		return got ? 0 : -EAGAIN;
	}
	if (exclusive)
		rwsem_write_lock(&inode->rwsem);
	else
		rwsem_read_lock(&inode->rwsem);
	return 0;
}

static void dio_unlock(struct inode *inode, bool exclusive) UEXT4_NO_TSA
{
	if (exclusive)
		rwsem_write_unlock(&inode->rwsem);
	else
		rwsem_read_unlock(&inode->rwsem);
}

/* F1-F3: what direct I/O left over goes through the cache and out of it. */
static ssize_t dio_write_rest(struct dio_try *t, ssize_t direct)
{
	struct inode *inode = t->file->inode;
	uint64_t pos = t->pos + (uint64_t)direct;
	ssize_t done;
	int ret;

	if (t->rwf & UEXT4_RW_NOWAIT) /* F5 */
		return direct > 0 ? direct : -EAGAIN;
	done = buffered_write_at(t->file, pos, t->it);
	if (done <= 0)
		return direct > 0 ? direct : done; /* F2 */
	ret = iomap_writeback(&inode->file, pos, pos + (uint64_t)done - 1);
	if (ret < 0)
		return direct > 0 ? direct : ret;
	(void)iomap_invalidate(&inode->file, pos, pos + (uint64_t)done - 1);
	return direct + done;
}

ssize_t dio_write_iter(struct uext4_file *file, uint64_t pos,
		struct iov_iter *it, unsigned rwf, bool *ret_synced)
{
	struct inode *inode = file->inode;
	bool nowait = (rwf & UEXT4_RW_NOWAIT) != 0;
	struct dio_try t = { .file = file, .pos = pos, .it = it, .rwf = rwf };
	ssize_t done;
	int ret;

	t.exclusive = pos + it->count > inode_size(inode); /* D-1 */
	for (;;) {
		ret = dio_lock(inode, t.exclusive, nowait);
		if (ret < 0)
			return ret;
		done = dio_write_try(&t);
		dio_unlock(inode, t.exclusive);
		if (done != -EDEADLK)
			break;
		if (nowait)
			return -EAGAIN;
		t.exclusive = true;
		t.pos = pos;
	}
	if (t.buffered)
		return buffered_write_iter(file, pos, it, rwf);
	if (done < 0 || it->count == 0) {
		*ret_synced = done > 0 && !t.res.need_sync;
		return done;
	}
	return dio_write_rest(&t, done);
}
