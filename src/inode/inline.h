/* SPDX-License-Identifier: MIT */
/*
 * Data inside the inode (feature inline_data), for reading.
 *
 * The first 60 bytes stand in i_block, the rest is the value of the attribute
 * system.data in the inode's own space. Both are put together once, when the
 * inode is loaded, and do not change as long as it is in memory: a file system
 * with this feature is mounted read-only.
 *
 * A directory begins with the number of its parent, 4 bytes; what is left of
 * i_block and the value are two chains of entries, each filled to its end. "."
 * and ".." are not among them.
 *
 * Rules    (L1) The data is as long as the file: an inode whose size does not
 *               fit is refused when it is loaded.
 *          (L2) The mapping of such an inode is an empty one: nobody takes its
 *               data for block numbers.
 *
 * Locks    none: constant once loaded.
 */
#ifndef UEXT4_INODE_INLINE_H
#define UEXT4_INODE_INLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/types.h"
#include "disk/dinode.h"

struct dir_entry;
struct inode;

struct inode_inline {
	uint8_t no_map[DINODE_IBLOCK_LEN]; /* root of the empty mapping (L2) */
	uint32_t len;                      /* = i_size */
	uint8_t bytes[];
};

/* Does the inode keep its data inside? */
bool inode_is_inline(const struct inode *inode);
/* Find the data of a freshly loaded inode that says so. -UEXT4_ECORRUPT,
 * -ENOMEM. */
int inline_load(struct inode *inode) UEXT4_MUST_CHECK;
void inline_free(struct inode *inode);

/* As dir_find(), dir_iterate() and dir_is_empty() of dir.h. */
int inline_dir_find(struct inode *dir, const char *name, size_t len,
		inum_t *ret_inum, uint8_t *ret_ftype);
int inline_dir_iterate(struct inode *dir, uint64_t pos,
		int (*fn)(void *ctx, const struct dir_entry *e), void *ctx);
int inline_dir_is_empty(struct inode *dir);

#endif /* UEXT4_INODE_INLINE_H */
