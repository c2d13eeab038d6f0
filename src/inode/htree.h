/* SPDX-License-Identifier: MIT */
/*
 * Hashed directories: a B+tree of name hashes over the blocks of a directory.
 *
 * Block 0 is the root; it and at most one level of nodes below (two with
 * large_dir, which is for reading) say which leaf holds the names of a range of hashes. Leaves are ordinary blocks of entries,
 * in no order. Names of one hash may fill more than one leaf: the leaves that
 * go on with the hash of the one before are marked in the index.
 *
 * To read the leaves from a hash on:
 *
 *	ret = htree_open(dir, hash, &path);
 *	while (ret == 0) {
 *		htree_leaf(&path) is the leaf's block
 *		ret = htree_next(dir, &path);
 *	}
 *	htree_close(&path);
 *
 * Rules    (X1) Every step leaves a whole tree: an added block is used in the
 *               same step, and a step that finds no block has changed nothing.
 *          (X2) The index is trusted for nothing but its meaning: a block
 *               number is checked at each use, a walk is as long as the
 *               index at most.
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
#include "disk/dhtree.h"

struct buf;
struct dir_pos;
struct handle;
struct inode;

/* The way from the root to a leaf. */
struct htree_path {
	struct buf *b[DX_LEVELS_MAX]; /* held */
	lblk_t lblk[DX_LEVELS_MAX];
	unsigned at[DX_LEVELS_MAX]; /* the entry gone down by */
	unsigned depth;             /* index blocks on the way: 1 to 3 */
	uint8_t version;            /* of the hash, as on disk */
	uint32_t lo;  /* hash at which the leaf's range begins, with its mark */
	uint64_t hi;  /* and where the next leaf's begins, with that mark */
	lblk_t steps; /* made by htree_next() */
};

/* The way to the leaf where @hash begins. -UEXT4_ECORRUPT, -UEXT4_EBADCSUM,
 * -EOPNOTSUPP. Close it, after a failure too. */
int htree_open(struct inode *dir, uint32_t hash,
		struct htree_path *ret_path) UEXT4_MUST_CHECK;
void htree_close(struct htree_path *p);
/* On to the next leaf. -ENOENT after the last. */
int htree_next(struct inode *dir, struct htree_path *p) UEXT4_MUST_CHECK;
lblk_t htree_leaf(const struct htree_path *p);
/* Does the next leaf go on with the hash that this one ends with? */
static inline bool htree_is_continued(const struct htree_path *p)
{
	return (p->hi & 1) != 0;
}
/* The same to the leaf of a name, whose hash is told. */
int htree_open_name(struct inode *dir, const char *name, size_t len,
		struct htree_path *ret_path,
		uint32_t *ret_hash) UEXT4_MUST_CHECK;
/* Is the index readable, every block of it? */
int htree_check(struct inode *dir) UEXT4_MUST_CHECK;

/* -ENOENT; -UEXT4_ECORRUPT, -UEXT4_EBADCSUM, -EOPNOTSUPP: the index cannot be
 * used, or a leaf is broken. */
int htree_find(struct inode *dir, const char *name, size_t len,
		struct dir_pos *ret_pos) UEXT4_MUST_CHECK;
/* -ENOSPC: no block, or the index is full. */
int htree_add(struct handle *h, struct inode *dir, const char *name, size_t len,
		inum_t inum, uint8_t ftype) UEXT4_MUST_CHECK;
/* May a linear directory of one block get an index; and make it. */
bool htree_can_make(const struct inode *dir);
int htree_make(struct handle *h, struct inode *dir) UEXT4_MUST_CHECK;

#endif /* UEXT4_INODE_HTREE_H */
