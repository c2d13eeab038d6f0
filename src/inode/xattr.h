/* SPDX-License-Identifier: MIT */
/*
 * Extended attributes: in the inode's own space and in one shared block.
 *
 * A name is an index (user., trusted., security., system.posix_acl_*) and a
 * suffix, see disk/dxattr.h. Small attributes stand in the inode after
 * i_extra_isize, the rest in the block d.file_acl, which several inodes share
 * by reference count when their contents are equal.
 *
 * Rules    (X1) A shared block is never changed in place: copied, or its count
 *               goes down (buf lock).
 *          (X2) One set is atomic: in one handle the old value or the new one.
 *          (X3) Freed space is zeroed on disk (O3: no stale values).
 *          (X4) Values are kept in the inode as long as they fit there.
 *
 * Locks    inode->xattr_lock, taken here; then map (never), attr_lock, buf.
 */
#ifndef UEXT4_INODE_XATTR_H
#define UEXT4_INODE_XATTR_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

struct handle;
struct inode;

#define XATTR_F_CREATE  0x1u /* -EEXIST if it is there */
#define XATTR_F_REPLACE 0x2u /* -ENODATA if it is not */

/* Length of the value; copied if @size is large enough, -ERANGE if not and
 * @size > 0. -ENODATA. */
ssize_t xattr_get(struct inode *inode, int index, const char *name, void *buf,
		size_t size);
/* Call @fn for each attribute in on-disk order. */
int xattr_list(struct inode *inode,
		int (*fn)(void *ctx, int index, const char *name, size_t len,
				size_t value_len),
		void *ctx);
/* Set, or remove when @value is NULL. Credits: XATTR_CREDITS. -ENOSPC, -ERANGE
 * (name too long), -E2BIG. ctime is the caller's. inode_dirty() is called. */
int xattr_set(struct handle *h, struct inode *inode, int index,
		const char *name, const void *value, size_t len,
		unsigned flags);
#define XATTR_CREDITS 14u
/* The inode dies: drop its share of the attribute block. */
int xattr_free_all(struct handle *h, struct inode *inode);

#endif /* UEXT4_INODE_XATTR_H */
