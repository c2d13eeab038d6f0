/* SPDX-License-Identifier: MIT */
/*
 * Names in directories: what name.c, create.c and rename.c share.
 */
#ifndef UEXT4_FS_NAME_H
#define UEXT4_FS_NAME_H

#include <stddef.h>
#include <stdint.h>

struct handle;
struct inode;
struct uext4_cred;
struct uext4_fs;

/* What a new name is to become. */
struct create_req {
	const char *name;
	uint32_t mode; /* type and permissions before umask */
	uint32_t rdev_major, rdev_minor;
	const char *target; /* of a symlink, else NULL */
	const struct uext4_cred *cred;
};

/* A name that may be created, removed or looked for: 0 and its length, or
 * -ENOENT, -ENAMETOOLONG, -EINVAL. */
int name_check(const char *name, size_t *ret_len);
/* Is it "." or ".."? */
int name_is_dot(const char *name);
/* Lookup with the directory's rwsem held in any mode. */
int name_lookup_locked(struct inode *dir, const char *name, size_t len,
		struct inode **ret_inode);
/* W and X on the directory, which must still exist. rwsem held. */
int name_may_create(struct inode *dir, const struct uext4_cred *cred);
/* The same, and sticky bit, immutable, append-only of both. */
int name_may_delete(struct inode *dir, struct inode *victim,
		const struct uext4_cred *cred);
/* Make it; *ret_inode is held. rwsem of @dir is taken here. */
int name_create(struct inode *dir, const struct create_req *req,
		struct inode **ret_inode);
/* A nameless inode in the orphan set (O_TMPFILE). */
int name_tmpfile(struct inode *dir, const struct create_req *req,
		struct inode **ret_inode);
/* What RENAME_WHITEOUT leaves: a character device 0,0 with one link, that has
 * inherited from @dir as any new name does, but has no name yet; in @h, with
 * these credits. @dir's rwsem is held exclusively. On failure *ret_inode may be
 * set: put it unlocked. */
uint32_t name_whiteout_credits(void);
int name_whiteout(struct handle *h, struct inode *dir,
		const struct uext4_cred *cred, struct inode **ret_inode);
/* times of a directory whose entries changed, in @h */
int dir_changed(struct handle *h, struct inode *dir);

#endif /* UEXT4_FS_NAME_H */
