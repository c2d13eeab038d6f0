/* SPDX-License-Identifier: MIT */
/*
 * The orphan set: inodes whose recovery must truncate to their on-disk size, or
 * delete when they have no links.
 *
 * Two formats: the list that starts in the superblock (s_last_orphan) and runs
 * through the inodes' dtime, and the orphan file (feature orphan_file) of
 * slots, which falls back to the list when it is full.
 *
 * Rules    (O1) add is in the handle that makes the state need it; del is in
 *               the handle that ends the need.
 *          (O2) Membership is a boolean; callers hold the inode's rwsem, or
 *               are the last holders of the inode.
 *          (O3) Slots and list links are read as hostile bytes: numbers are
 *               range-checked, a cycle ends the walk.
 *
 * Locks    orphans->lock (rank ORPHAN), under a handle.
 */
#ifndef UEXT4_INODE_ORPHAN_H
#define UEXT4_INODE_ORPHAN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/types.h"

struct buf;
struct handle;
struct inode;
struct itable;
struct orphans;

/* The superblock fields that the orphan set owns, through the fs floor. */
struct orphan_sb_ops {
	/* Change s_last_orphan in @h: the superblock's buf joins it. */
	int (*set_last_orphan)(void *ctx, struct handle *h, inum_t inum);
	void *ctx;
};

int orphans_open(struct itable *it, const struct orphan_sb_ops *sb,
		inum_t last_orphan, inum_t orphan_file_inum,
		struct orphans **ret_o);
void orphans_close(struct orphans *o);
/* Credits of orphan_add()/orphan_del(): superblock, neighbour, own, file. */
#define ORPHAN_CREDITS 4u
int orphan_add(struct handle *h, struct inode *inode);
int orphan_del(struct handle *h, struct inode *inode);
/* @inode leaves memory while it is still in the set on disk. */
void orphan_forget(struct inode *inode);
/* @inode could not be freed: it stays a member until orphans_reap(). */
void orphan_keep(struct inode *inode);
/* Unmount: try again to free what was kept. The first error. */
int orphans_reap(struct orphans *o);
/* Mount: truncate or delete every orphan found on disk; counts in @ret_*.
 * A bad entry is logged and skipped, the result is then -EUCLEAN. */
int orphans_process(struct orphans *o, uint32_t *ret_deleted,
		uint32_t *ret_truncated);
bool orphans_found_any(const struct orphans *o);
/* Unmount: try again to finish truncates that failed. The first error. */
int orphans_finish(struct orphans *o);
/* Is the orphan file, if there is one, empty on disk? */
bool orphans_file_is_empty(struct orphans *o);

#endif /* UEXT4_INODE_ORPHAN_H */
