/* SPDX-License-Identifier: MIT */
/*
 * Hashed directories: a B+tree of name hashes over the blocks of a directory.
 *
 * Block 0 is the root; it and at most one level of nodes below say which leaf
 * holds the names of a range of hashes. Leaves are ordinary blocks of entries,
 * in no order. Names of one hash may fill more than one leaf: the leaves that
 * go on with the hash of the one before are marked in the index.
 *
 * Rules    (X1) Every step leaves a whole tree: an added block is used in the
 *               same step, and a step that finds no block has changed nothing.
 *          (X2) The index is trusted for nothing but its meaning: a block
 *               number is checked at each use, a walk is as long as the
 *               directory at most.
 *
 * Locks    dir->rwsem as in dir.h.
 */
#ifndef UEXT4_INODE_HTREE_H
#define UEXT4_INODE_HTREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/types.h"

struct buf;
struct dir_pos;
struct handle;
struct inode;

/* -ENOENT; -UEXT4_ECORRUPT, -UEXT4_EBADCSUM, -EOPNOTSUPP: the index cannot be
 * used, or a leaf is broken. */
int htree_find(struct inode *dir, const char *name, size_t len,
		struct dir_pos *ret_pos) UEXT4_MUST_CHECK;
int htree_add(struct handle *h, struct inode *dir, const char *name, size_t len,
		inum_t inum, uint8_t ftype) UEXT4_MUST_CHECK;
/* May a linear directory of one block get an index; and make it. */
bool htree_can_make(const struct inode *dir);
int htree_make(struct handle *h, struct inode *dir) UEXT4_MUST_CHECK;

#endif /* UEXT4_INODE_HTREE_H */
