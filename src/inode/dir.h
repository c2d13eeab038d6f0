/* SPDX-License-Identifier: MIT */
/*
 * Directories: names to inode numbers, linear and hashed (htree.c).
 *
 * Rules    (R1) A directory block is checked whole once when it is read: entry
 *               chain, bounds, checksum tail. -EUCLEAN, -EBADMSG.
 *          (R2) What is free in a block that goes to disk is zeroed as far as
 *               this code wrote it: no slack of old names.
 *          (R3) The index is made when a linear directory outgrows one block
 *               and dir_index is on; at most 2 levels; full: -ENOSPC.
 *          (R4) A cookie from dir_iterate() stays good while entries come and
 *               go: what was there all the time is returned exactly once.
 *          (R5) A hashed directory whose index is broken is still read
 *               linearly; it is not changed (-EUCLEAN).
 *
 * Locks    dir->rwsem: shared to find and iterate, exclusive to change. The
 *          caller starts the handle, sets times, counts links, and holds a
 *          reference. inode_dirty() of the directory is called here when its
 *          size, flags or blocks change.
 */
#ifndef UEXT4_INODE_DIR_H
#define UEXT4_INODE_DIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/types.h"

struct handle;
struct inode;

#define DIR_NAME_MAX 255u

/* @ftype is EXT4_FT_* (0 where the file system keeps none). -ENOENT. */
int dir_find(struct inode *dir, const char *name, size_t len, inum_t *ret_inum,
		uint8_t *ret_ftype);
/* The name is known not to be there. -ENOSPC, -EUCLEAN. */
int dir_add(struct handle *h, struct inode *dir, const char *name, size_t len,
		inum_t inum, uint8_t ftype);
int dir_remove(struct handle *h, struct inode *dir, const char *name,
		size_t len);
/* Point an existing entry (".." too) at @inum. -ENOENT. */
int dir_set(struct handle *h, struct inode *dir, const char *name, size_t len,
		inum_t inum, uint8_t ftype);
/* First block of a fresh directory: "." and "..". */
int dir_init(struct handle *h, struct inode *dir, inum_t parent);
/* 1 if only "." and ".." are there, else 0. */
int dir_is_empty(struct inode *dir);
/* Credits of dir_add() (index splits included), of remove/set, of init. */
uint32_t dir_credits_add(const struct inode *dir);
#define DIR_CREDITS_SET  2u
#define DIR_CREDITS_INIT 10u

struct dir_entry {
	const char *name; /* not terminated */
	size_t len;
	inum_t inum;
	uint8_t ftype;
	uint64_t next; /* cookie of what follows this entry */
};
/* Call @fn for each entry from cookie @pos (0: from the start), "." and ".."
 * first; non-zero from @fn stops before that entry is consumed and is returned
 * (an -errno or a positive). Cookies fit 63 bits. A directory of more than one
 * block that is hashed is told in hash order. */
int dir_iterate(struct inode *dir, uint64_t pos,
		int (*fn)(void *ctx, const struct dir_entry *e), void *ctx);
/* EXT4_FT_* of a mode, 0 if the file system has no filetype feature. */
uint8_t dir_ftype(const struct inode *dir, uint32_t mode);
/* Free lookup help when the inode leaves memory. */
void dir_cache_free(struct inode *dir);

#endif /* UEXT4_INODE_DIR_H */
