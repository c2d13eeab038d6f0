/* SPDX-License-Identifier: MIT */
/*
 * Attribute values in inodes of their own (feature ea_inode), for reading.
 *
 * An attribute whose entry names an inode has its value in the data of that
 * inode, a regular file with the flag EA_INODE that no directory names. Its
 * access time is not a time but the checksum of the value; the entry's hash is
 * that of the name and of this checksum.
 *
 * Locks    inode->rwsem at most may be held: an inode is got and put here.
 */
#ifndef UEXT4_INODE_EA_INODE_H
#define UEXT4_INODE_EA_INODE_H

#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

struct dxattr_entry;
struct inode;

#define EA_INODE_VALUE_MAX 65536u /* as every value (XATTR_SIZE_MAX) */

/* The value of @e, an attribute @name of @owner that names an inode (@e->name
 * is not looked at): its length; copied if @size is large enough, -ERANGE if
 * not and @size > 0. -UEXT4_ECORRUPT, -UEXT4_EBADCSUM. */
ssize_t ea_inode_read(struct inode *owner, const struct dxattr_entry *e,
		const char *name, void *buf, size_t size) UEXT4_MUST_CHECK;

#endif /* UEXT4_INODE_EA_INODE_H */
