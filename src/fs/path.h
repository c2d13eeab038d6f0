/* SPDX-License-Identifier: MIT */
/*
 * From a path to an inode. Rules stand in path.c.
 */
#ifndef UEXT4_FS_PATH_H
#define UEXT4_FS_PATH_H

#include <stdbool.h>

struct inode;
struct uext4_cred;
struct uext4_fs;

/* From @at (NULL or an absolute path: the root). The inode is held. */
int path_resolve(struct uext4_fs *fs, struct inode *at, const char *path,
		bool follow, const struct uext4_cred *cred,
		struct inode **ret_inode);
/* The directory of the last name and that name, UEXT4_NAME_MAX + 1 bytes;
 * *ret_slash: a slash follows it. -EBUSY for the root. */
int path_resolve_parent(struct uext4_fs *fs, struct inode *at, const char *path,
		const struct uext4_cred *cred, char *name, bool *ret_slash,
		struct inode **ret_dir);

#endif /* UEXT4_FS_PATH_H */
