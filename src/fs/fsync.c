/* SPDX-License-Identifier: MIT */
/*
 * Making one inode durable, the whole file system, and the thread that does it
 * now and then.
 *
 * inode_sync(): write the dirty pages, wait for the transaction that carries
 * the inode (group commit, led here if nobody else does), or flush the device
 * if there is none to wait for. No iolock is taken: a writer may go on, and a
 * completion may call this (D9, B24).
 */
#include "base/log.h"
#include "bdev/bdev.h"
#include "cache/buf.h"
#include "fs/file.h"
#include "fs/fs.h"
#include "journal/journal.h"

/* What has to happen for @inode's metadata, and data written so far, to be
 * durable. */
static void sync_batch_want(
		struct sync_batch *b, struct inode *inode, bool datasync)
{
	struct journal *j = inode->it->journal;
	bool valid;
	txid_t tid;

	b->any = true;
	if (!journal_has_log(j))
		return;
	/* The data of a directory are its names, whose blocks are metadata. */
	datasync = datasync && !inode_is_dir(inode);
	mutex_lock(&inode->attr_lock);
	valid = datasync ? inode->datasync_tid_valid : inode->tid_valid;
	tid = datasync ? inode->datasync_tid : inode->tid;
	mutex_unlock(&inode->attr_lock);

	if (!valid || journal_is_committed(j, tid))
		return;
	if (!b->commit || txid_is_before(b->tid, tid))
		b->tid = tid;
	b->commit = true;
}

int sync_batch_add(struct sync_batch *b, struct inode *inode, bool datasync)
{
	struct journal *j = inode->it->journal;
	int ret;

	if (!j)
		return 0;
	ret = iomap_writeback(&inode->file, 0, UINT64_MAX);
	if (ret < 0)
		return ret;
	ret = journal_error(j);
	if (ret != 0)
		return fs_may_write(inode_fs(inode));
	sync_batch_want(b, inode, datasync);
	return 0;
}

int sync_batch_run(struct sync_batch *b)
{
	struct journal *j = b->fs->journal;
	bool will_flush;
	int ret;

	if (!b->any)
		return 0;
	if (!journal_has_log(j))
		return journal_sync(j);
	if (b->commit) {
		/* A commit flushes the device once, before its last block. One
		 * that is under way, now that all data is there, may have done
		 * so before: then, or if there is nothing to commit, the data
		 * needs a flush of its own. */
		will_flush = journal_running_txid(j) == b->tid;
		ret = journal_commit_wait(j, b->tid);
		if (ret < 0 || will_flush)
			return ret;
	}
	atomic_fetch_add(&b->fs->flushes, 1);
	return bdev_flush(b->fs->dev, BDEV_TAG_NONE);
}

int inode_sync(struct inode *inode, bool datasync)
{
	struct sync_batch b = { .fs = inode_fs(inode) };
	int ret;

	ret = sync_batch_add(&b, inode, datasync);
	return ret < 0 ? ret : sync_batch_run(&b);
}

int file_tell_error(struct uext4_file *file)
{
	uint32_t seen = atomic_load(&file->wb_err);
	int ret = iomap_check_error(&file->inode->file, &seen);

	atomic_store(&file->wb_err, seen);
	return ret;
}

int file_sync(struct uext4_file *file, bool datasync)
{
	int told;
	int ret;

	ret = fs_may_read(file->fs);
	if (ret < 0)
		return ret;
	ret = inode_sync(file->inode, datasync);
	told = file_tell_error(file);
	return ret < 0 ? ret : told;
}

int fs_sync_tid(struct uext4_fs *fs, const struct inode *inode, txid_t tid)
{
	uint32_t sync = DINODE_F_SYNC | DINODE_F_DIRSYNC;

	if (!(fs->opts.flags & UEXT4_MNT_SYNC) &&
			!(inode && inode_is_dir(inode) &&
					(inode_flags(inode) & sync)))
		return 0;
	if (!journal_has_log(fs->journal))
		return journal_sync(fs->journal);
	return journal_commit_wait(fs->journal, tid);
}

int inode_sync_if_asked(struct inode *inode)
{
	if (!(inode_fs(inode)->opts.flags & UEXT4_MNT_SYNC) &&
			!(inode_flags(inode) & DINODE_F_SYNC))
		return 0;
	return inode_sync(inode, false);
}

/* ---- everything ---- */

static int writeback_one(void *ctx, struct inode *inode)
{
	int *first = ctx;
	int ret;

	if (atomic_load(&inode->file.pages.ndirty) == 0)
		return 0;
	ret = iomap_writeback(&inode->file, 0, UINT64_MAX);
	if (ret < 0 && *first == 0)
		*first = ret;
	return 0;
}

int fs_writeback_all(struct uext4_fs *fs)
{
	int first = 0;
	int ret;

	ret = itable_for_each(&fs->it, writeback_one, &first);
	return ret < 0 ? ret : first;
}

int uext4_sync(struct uext4_fs *fs)
{
	int ret;
	int err;

	if (!fs->journal)
		return 0;
	ret = fs_may_write(fs);
	if (ret < 0)
		return ret;
	ret = fs_writeback_all(fs);
	err = journal_sync(fs->journal);
	if (err == 0) {
		/* A commit of nothing flushes nothing; data may be waiting. */
		atomic_fetch_add(&fs->flushes, 1);
		err = bdev_flush(fs->dev, BDEV_TAG_NONE);
	}
	return fs_done(fs, ret < 0 ? ret : err, 0);
}

/* ---- now and then ---- */

static void *flusher_main(void *arg)
{
	struct uext4_fs *fs = arg;
	bool stop;
	int ret;

	for (;;) {
		mutex_lock(&fs->flush_lock);
		if (!fs->flush_stop)
			(void)cond_wait_ms(&fs->flush_wait, &fs->flush_lock,
					(uint64_t)fs->opts.commit_interval *
							1000);
		stop = fs->flush_stop;
		mutex_unlock(&fs->flush_lock);
		if (stop)
			return NULL;
		if (fs_may_write(fs) < 0)
			continue;
		ret = fs_writeback_all(fs);
		if (ret < 0)
			log_err(&fs->log,
					"background write-back failed: error "
					"%d; fsync tells which file",
					-ret);
		err_ignore(fs_done(fs, journal_sync(fs->journal), 0));
	}
}

int fs_flusher_start(struct uext4_fs *fs)
{
	int ret;

	if (fs->opts.flags & UEXT4_MNT_NOTHREAD)
		return 0;
	ret = pthread_create(&fs->flusher, NULL, flusher_main, fs);
	if (ret != 0)
		return -ret;
	fs->has_flusher = true;
	return 0;
}

void fs_flusher_stop(struct uext4_fs *fs)
{
	if (!fs->has_flusher)
		return;
	mutex_lock(&fs->flush_lock);
	fs->flush_stop = true;
	cond_broadcast(&fs->flush_wait);
	mutex_unlock(&fs->flush_lock);
	pthread_join(fs->flusher, NULL);
	fs->has_flusher = false;
}
