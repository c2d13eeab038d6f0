/* SPDX-License-Identifier: MIT */
/*
 * An open file: an inode, the flags it was opened with, and who opened it.
 *
 * Locks    All fields are const but wb_err, which is atomic: a file may be
 *          used by many threads at once.
 */
#ifndef UEXT4_FS_FILE_H
#define UEXT4_FS_FILE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct inode;
struct uext4_cred;
struct uext4_fs;

struct uext4_file {
	struct uext4_fs *fs;
	struct inode *inode; /* held */
	unsigned flags;      /* UEXT4_O_* */
	bool is_super;       /* opened by the superuser: keeps setuid bits */
	_Atomic uint32_t wb_err; /* cursor of write-back errors told */
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
/* fsync.c: make the inode's data and metadata durable; takes no iolock (D9). */
int inode_sync(struct inode *inode, bool datasync);
/* Under UEXT4_MNT_SYNC, or if @inode is a sync inode: the same. */
int inode_sync_if_asked(struct inode *inode);
/* inode_sync() for a file: tells an earlier write-back error once. */
int file_sync(struct uext4_file *file, bool datasync);

#endif /* UEXT4_FS_FILE_H */
