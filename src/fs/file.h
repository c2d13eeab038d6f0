/* SPDX-License-Identifier: MIT */
/*
 * An open file: an inode, the flags it was opened with, and who opened it.
 *
 * Locks    All fields are const but wb_err and refs, which are atomic: a file
 *          may be used by many threads at once.
 */
#ifndef UEXT4_FS_FILE_H
#define UEXT4_FS_FILE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/types.h"
#include "fs/attr.h"

struct inode;
struct uext4_cred;
struct uext4_fs;

struct uext4_file {
	struct uext4_fs *fs;
	struct inode *inode;     /* held */
	unsigned flags;          /* UEXT4_O_* */
	struct caller who;       /* opened it */
	bool is_checked;         /* by who checks permissions himself */
	_Atomic uint32_t wb_err; /* cursor of write-back errors told */
	uint64_t id;             /* never used twice in a mount */
	_Atomic uint32_t refs; /* the user's, until close, and one of each queue
				  that has requests on it */
};

static inline bool file_can_read(const struct uext4_file *f)
{
	return (f->flags & 3u) != 1u;
}

static inline bool file_can_write(const struct uext4_file *f)
{
	return (f->flags & 3u) != 0u;
}

/* Open @inode without asking for permission; takes over one reference. */
int file_new(struct uext4_fs *fs, struct inode *inode, unsigned flags,
		const struct uext4_cred *cred, struct uext4_file **ret_file);
/* One more holder; the last to go frees it, and lets go of the inode: with no
 * lock and no handle held. */
void file_hold(struct uext4_file *file);
void file_put(struct uext4_file *file);
/* fsync.c: make the inode's data and metadata durable; takes no iolock (D9). */
int inode_sync(struct inode *inode, bool datasync);
/* Under UEXT4_MNT_SYNC, or if @inode is a sync inode: the same. */
int inode_sync_if_asked(struct inode *inode);
/* The same for many inodes, with one commit: add each (its dirty pages are
 * written), then run once. Zeroed but for fs. */
struct sync_batch {
	struct uext4_fs *fs;
	bool any;
	bool commit; /* of tid, and so of all before it */
	txid_t tid;
};
int sync_batch_add(struct sync_batch *b, struct inode *inode, bool datasync);
int sync_batch_run(struct sync_batch *b);
/* An error of an earlier write-back of the file, told once to each @file. */
int file_tell_error(struct uext4_file *file);
/* May @file do this? */
int file_check_io(struct uext4_file *file, const struct iovec *iov, int iovcnt,
		uint64_t pos, bool write);
/* The same for a write, with its UEXT4_RW_*. */
int file_check_write(struct uext4_file *file, const struct iovec *iov,
		int iovcnt, uint64_t pos, unsigned rwf);
/* inode_sync() for a file: tells an earlier write-back error once. */
int file_sync(struct uext4_file *file, bool datasync);

#endif /* UEXT4_FS_FILE_H */
