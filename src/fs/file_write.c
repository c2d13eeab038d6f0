/* SPDX-License-Identifier: MIT */
/*
 * Writes: dispatch (W1-W3), checks (W10-W18), and the buffered path.
 *
 * buffered_write_iter():
 *	iolock exclusive -> drain direct I/O -> write_checks -> zero the EOF
 *	tail if the write leaves a gap -> copy into pages (isize rises with the
 *	pages held) -> release -> O_SYNC/O_DSYNC: sync
 */
#include <string.h>

#include "alloc/alloc.h"
#include "disk/geo.h"
#include "fs/attr.h"
#include "fs/file.h"
#include "fs/fs.h"
#include "fs/write.h"
#include "journal/journal.h"
#include "journal/txn.h"

#define MODE_SUID     04000u
#define MODE_SGID     02000u
#define MODE_XGRP     00010u
/* Tries after -ENOSPC of a buffered write. */
#define NOSPC_RETRIES 2

/* ---- checks ---- */

static uint64_t inode_max_bytes(const struct inode *inode)
{
	const struct geo *geo = inode->it->geo;

	return inode->map.is_extents ? geo->max_bytes_extent
				     : geo->max_bytes_bitmap;
}

/* The bits that a write by @file with @rwf takes away (W15). */
static uint32_t write_mode_strip(const struct uext4_file *file, unsigned rwf)
{
	struct caller who = file->who;

	if (rwf & UEXT4_RW_KEEPPRIV)
		who.is_super = true;
	if (rwf & UEXT4_RW_KILLPRIV)
		who = (struct caller){ .in_group = !(rwf & UEXT4_RW_KILLSGID) };
	return inode_is_reg(file->inode)
			? caller_kills(who, file->inode->d.mode)
			: 0;
}

/* Does a write have to strip anything? Remembers a "no" in the inode. */
static int write_needs_strip(
		struct uext4_file *file, unsigned rwf, bool *ret_caps)
{
	struct inode *inode = file->inode;
	ssize_t n;

	*ret_caps = false;
	if (!(rwf & UEXT4_RW_KEEPCAPS) &&
			!(atomic_load(&inode->state) & INODE_S_NOSEC)) {
		n = inode_get_capability(inode);
		if (n < 0 && n != -ENODATA)
			return (int)n;
		*ret_caps = n > 0;
		if (n == -ENODATA)
			atomic_fetch_or(&inode->state, INODE_S_NOSEC);
	}
	return *ret_caps || write_mode_strip(file, rwf) != 0;
}

static bool times_are_now(struct inode *inode)
{
	struct timespec now = inode_now(inode);
	bool same;

	if (atomic_load(&inode->write_stamp) == inode_stamp_of(now))
		return true;
	mutex_lock(&inode->attr_lock);
	same = inode->d.mtime.sec == now.tv_sec &&
			inode->d.mtime.nsec == (uint32_t)now.tv_nsec &&
			inode->d.ctime.sec == now.tv_sec &&
			inode->d.ctime.nsec == (uint32_t)now.tv_nsec;
	mutex_unlock(&inode->attr_lock);
	return same;
}

/* Strip and stamp in one step, after the limits (W16). */
static int write_strip_and_stamp(
		struct uext4_file *file, unsigned rwf, bool strip, bool caps)
{
	struct inode *inode = file->inode;
	struct handle *h;
	int err;
	int ret = 0;

	if (!strip && times_are_now(inode))
		return 0;
	err = handle_start(inode->it->journal, attr_strip_credits(), &h);
	if (err < 0)
		return err;
	if (caps)
		ret = inode_drop_capability(h, inode);
	if (ret == 0) {
		mutex_lock(&inode->attr_lock);
		if (strip)
			inode->d.mode &= (uint16_t)~write_mode_strip(file, rwf);
		mutex_unlock(&inode->attr_lock);
		inode_touch(inode, INODE_T_MTIME | INODE_T_CTIME);
		ret = inode_dirty(h, inode);
	}
	return handle_finish(h, ret);
}

int file_modified(struct uext4_file *file, unsigned rwf)
{
	bool caps;
	int strip = write_needs_strip(file, rwf, &caps);

	rwsem_assert_write_held(&file->inode->rwsem);
	return strip < 0 ? strip
			 : write_strip_and_stamp(file, rwf, strip, caps);
}

bool write_is_append(const struct uext4_file *file, unsigned rwf)
{
	if (rwf & UEXT4_RW_NOAPPEND)
		return false;
	return (file->flags & UEXT4_O_APPEND) || (rwf & UEXT4_RW_APPEND);
}

int write_checks(struct uext4_file *file, uint64_t pos, struct iov_iter *it,
		unsigned rwf, bool exclusive)
{
	struct inode *inode = file->inode;
	uint64_t max = inode_max_bytes(inode);
	bool caps;
	int strip;
	int ret;

	if ((inode_flags(inode) & DINODE_F_IMMUTABLE) &&
			!(rwf & UEXT4_RW_LATE)) /* W10 */
		return -EPERM;
	if (it->count == 0) /* W11 */
		return 0;
	if (pos >= max) /* W14 */
		return -EFBIG;
	iov_iter_truncate(it, (size_t)min_u64(it->count, max - pos));

	strip = write_needs_strip(file, rwf, &caps);
	if (strip < 0)
		return strip;
	if ((rwf & UEXT4_RW_NOWAIT) && (strip || !times_are_now(inode)))
		return -EAGAIN; /* W15, W16 */
	if (strip && !exclusive)
		return -EDEADLK;
	ret = fs_allow_size(inode_fs(inode), pos + it->count);
	if (ret < 0)
		return ret;
	ret = write_strip_and_stamp(file, rwf, strip, caps);
	return ret < 0 ? ret : 1;
}

int zero_eof_tail(struct inode *inode, uint64_t pos)
{
	uint32_t bs = inode->it->geo->block_size;
	uint64_t isize = inode_size(inode);
	uint32_t in_block = (uint32_t)(isize & (bs - 1));
	bool did;
	int ret;

	if (pos <= isize || in_block == 0 ||
			(atomic_load(&inode->state) & INODE_S_EOF_CLEAN))
		return 0;
	ret = iomap_zero_range(&inode->file, isize, bs - in_block, &did);
	if (ret == 0 && did)
		ret = iomap_writeback(&inode->file, isize - 1, isize - 1);
	if (ret == 0)
		atomic_fetch_or(&inode->state, INODE_S_EOF_CLEAN);
	return ret;
}

/* ---- the buffered path ---- */

/* Delayed pages claim for the worst trees that they could need. Once they are
 * written only what they took is gone: -ENOSPC is final after that. */
int write_make_room(struct uext4_fs *fs)
{
	err_ignore(fs_writeback_all(fs)); /* told by the files' own fsync */
	return journal_sync(fs->journal);
}

/* Space was short: write back what holds more claims than it will need, and let
 * blocks whose freeing is not durable yet become free (M5). */
static int buffered_make_room(struct inode *inode)
{
	struct itable *it = inode->it;
	int ret;

	ret = iomap_writeback(&inode->file, 0, UINT64_MAX);
	if (ret < 0)
		return ret;
	return alloc_pending(it->alloc) > 0 ? journal_sync(it->journal) : 0;
}

/* Into the page cache, trying again when space is short. */
static ssize_t buffered_copy(
		struct inode *inode, uint64_t pos, struct iov_iter *it)
{
	size_t total = 0;
	ssize_t n;
	int tries;

	for (tries = 0;; tries++) {
		n = iomap_buffered_write(&inode->file, pos + total, it);
		if (n > 0)
			total += (size_t)n;
		if (it->count == 0 || (n < 0 && n != -ENOSPC) ||
				tries == NOSPC_RETRIES ||
				buffered_make_room(inode) < 0)
			break;
	}
	return total > 0 ? (ssize_t)total : n;
}

static ssize_t buffered_write_locked(struct uext4_file *file, uint64_t *pos,
		struct iov_iter *it, unsigned rwf)
{
	struct inode *inode = file->inode;
	ssize_t ret;

	iomap_dio_drain(&inode->file);
	if (write_is_append(file, rwf))
		*pos = inode_size(inode); /* W12 */
	ret = write_checks(file, *pos, it, rwf, true);
	if (ret <= 0)
		return ret;
	ret = zero_eof_tail(inode, *pos);
	if (ret < 0)
		return ret;
	return buffered_copy(inode, *pos, it);
}

ssize_t buffered_write_iter(struct uext4_file *file, uint64_t pos,
		struct iov_iter *it, unsigned rwf)
{
	struct inode *inode = file->inode;
	ssize_t done;

	if (rwf & UEXT4_RW_NOWAIT) /* W3 */
		return -EOPNOTSUPP;
	if (inode_flags(inode) & (DINODE_F_INLINE_DATA | DINODE_F_ENCRYPT))
		return -EOPNOTSUPP;
	for (bool again = true;; again = false) {
		rwsem_write_lock(&inode->rwsem);
		done = buffered_write_locked(file, &pos, it, rwf);
		rwsem_write_unlock(&inode->rwsem);
		if (done != -ENOSPC || !again)
			return done;
		done = write_make_room(file->fs);
		if (done < 0)
			return done;
	}
}

ssize_t buffered_write_at(
		struct uext4_file *file, uint64_t pos, struct iov_iter *it)
{
	struct inode *inode = file->inode;
	ssize_t done;

	rwsem_write_lock(&inode->rwsem);
	iomap_dio_drain(&inode->file);
	done = zero_eof_tail(inode, pos);
	if (done == 0)
		done = buffered_copy(inode, pos, it);
	rwsem_write_unlock(&inode->rwsem);
	return done;
}

/* ---- dispatch ---- */

bool write_wants_sync(struct uext4_file *file, unsigned rwf, bool synced,
		bool *ret_datasync)
{
	bool sync = (file->flags & UEXT4_O_SYNC) || (rwf & UEXT4_RW_SYNC) ||
			(file->fs->opts.flags & UEXT4_MNT_SYNC) ||
			(inode_flags(file->inode) & DINODE_F_SYNC);
	bool dsync = (file->flags & UEXT4_O_DSYNC) || (rwf & UEXT4_RW_DSYNC);

	*ret_datasync = !sync;
	return sync || (dsync && !synced);
}

/* O_SYNC, O_DSYNC and their per-call forms, after the locks are gone. */
static int write_sync(struct uext4_file *file, unsigned rwf, bool synced)
{
	bool datasync;
	int ret;

	if (!write_wants_sync(file, rwf, synced, &datasync))
		return 0;
	ret = inode_sync(file->inode, datasync);
	if (ret < 0)
		(void)file_tell_error(file); /* told now: not again by close */
	return ret;
}

bool file_writes_directly(const struct uext4_file *file)
{
	return (file->flags & UEXT4_O_DIRECT) && !file->inode->file.dax;
}

ssize_t file_write_iter(struct uext4_file *file, uint64_t pos,
		struct iov_iter *it, unsigned rwf)
{
	bool synced = false;
	ssize_t done;
	int ret;

	ret = fs_may_write(file->fs); /* W1 */
	if (ret < 0)
		return ret;
	inode_spend_as(file->inode, file->who.is_super);
	if (file->inode->file.dax) /* W2 */
		done = dax_write_iter(file, pos, it, rwf);
	else if (file_writes_directly(file))
		done = dio_write_iter(file, pos, it, rwf, &synced);
	else
		done = buffered_write_iter(file, pos, it, rwf);
	if (done <= 0)
		return done;
	ret = write_sync(file, rwf, synced);
	return ret < 0 ? ret : done;
}
