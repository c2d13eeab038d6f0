/* SPDX-License-Identifier: MIT */
/*
 * The extent tree of one file: find, insert, convert, remove.
 *
 * The root is the 60 bytes that mapping->root points to, the other nodes are
 * blocks. extent.c reads the tree, extent_edit.c changes nodes (split, grow,
 * drop), extent_ops.c says what a change means in extents.
 *
 * Rules    (X1) Every node met on the way down is checked before it is
 *               believed: fully once after it was read, and each time for what
 *               its parent says of it (depth, first block, end).
 *          (X2) The key of an index entry is the first file block of its child.
 *          (X3) A change is planned first (node blocks allocated, every buf
 *               made writable) and done after that: what fails, fails before
 *               the first byte changes.
 *          (X4) Neighbours in one leaf that continue each other in one state
 *               are one extent, as far as its length allows.
 *
 * Locks    mapping->lock: shared for what only reads, exclusive for changes.
 *          The functions do not touch the extent status nor call ops->dirty().
 */
#ifndef UEXT4_MAP_EXTENT_H
#define UEXT4_MAP_EXTENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/types.h"
#include "disk/dextent.h"
#include "map/map.h"

struct buf;
struct handle;

#define EXT_LEVELS (DEXT_DEPTH_MAX + 1)

/* One node on the way from the root (level 0) to a leaf (level depth). */
struct ext_level {
	struct buf *buf; /* held; NULL: the root */
	uint8_t *node;
	int idx;     /* last entry at or before the block sought; -1: none */
	uint64_t lo; /* the file blocks that the node may speak of */
	uint64_t hi;
};

struct ext_path {
	unsigned depth;
	struct ext_level level[EXT_LEVELS];
};

/* ---- extent.c ---- */

/* Say why the tree is refused and answer -UEXT4_ECORRUPT. */
int ext_corrupt(const struct mapping *m, unsigned level, pblk_t pblk,
		const char *why);
int ext_check_root(const struct mapping *m);
/* The nodes on the way to the leaf where @lblk is or would be. */
int ext_path_get(const struct mapping *m, lblk_t lblk,
		struct ext_path *ret_path);
void ext_path_put(struct ext_path *path);
static inline struct ext_level *ext_leaf(struct ext_path *path)
{
	return &path->level[path->depth];
}
/* What is at @lblk: the rest of its extent, or the hole up to the next. */
int ext_find(const struct mapping *m, lblk_t lblk, struct map_run *ret_run);
/* The same, but an extent from its first block on. */
int ext_find_whole(
		const struct mapping *m, lblk_t lblk, struct map_run *ret_run);
/* Where a block for @lblk would be best, judged by its neighbours; 0: none. */
pblk_t ext_goal(const struct mapping *m, lblk_t lblk);
/* map_walk(). */
int ext_walk(const struct mapping *m,
		int (*fn)(void *ctx, pblk_t pblk, uint32_t len, bool is_node),
		void *ctx);

/* ---- extent_edit.c ---- */

#define EXT_FRESH_MAX 5u

/* New contents for entries [at, at + n_old) of a leaf. */
struct ext_recs {
	unsigned at, n_old;
	uint32_t aflags; /* ALLOC_F_* for the node blocks that it may need */
	unsigned n;
	struct dext_leaf rec[EXT_FRESH_MAX];
};

/* What is going to happen to one node of a path. */
struct ext_step {
	bool is_touched;
	bool is_dropped;       /* left without entries: its block goes */
	unsigned at;           /* entries [at, at + n_old) are replaced */
	unsigned n_old, n_new; /* by n_new fresh ones */
	unsigned count;        /* entries in the end, both halves */
	unsigned keep;         /* of them in this node; the rest in @half */
	struct buf *half;      /* new node: the right half; of a root: all */
	/* Laid out as a node, so that dext_*_encode() fills it. */
	uint8_t fresh[DEXT_HDR_SIZE + EXT_FRESH_MAX * DEXT_ENTRY_SIZE];
};

struct ext_plan {
	struct mapping *m;
	struct handle *h;
	struct ext_path *path;
	struct ext_step step[EXT_LEVELS];
};

/* Prepare to put @recs into the leaf of @path. After success one of
 * ext_plan_commit() or ext_plan_cancel() must follow; @path may then only be
 * put. -ENOSPC, -EIO, -EFBIG (too deep). */
int ext_plan_prepare(struct ext_plan *plan, struct handle *h, struct mapping *m,
		struct ext_path *path, const struct ext_recs *recs);
/* Do it. An error says that the journal was aborted or that the block of a
 * dropped node could not be freed: the tree is whole in any case. */
int ext_plan_commit(struct ext_plan *plan);
void ext_plan_cancel(struct ext_plan *plan);
/* How many entries @node has room for. */
unsigned ext_max(const uint8_t *node);
/* A root that leads to one small node takes its entries over. If that fails,
 * the tree is a level deeper than it need be, and that is all. */
void ext_shrink(struct handle *h, struct mapping *m);

/* ---- extent_ops.c ---- */

/* Enter a run over a hole; -EEXIST if it is none. */
int ext_insert(struct handle *h, struct mapping *m, const struct map_run *run,
		uint32_t aflags);
/* Give [lblk, lblk + len) one state; a hole inside is -UEXT4_ECORRUPT. */
int ext_convert(struct handle *h, struct mapping *m, lblk_t lblk, uint32_t len,
		bool to_unwritten, uint32_t aflags);
/* Would that, to written, need no node? 1, 0 or an error; 0 in doubt. */
int ext_convert_fits(const struct mapping *m, lblk_t lblk, uint64_t end);
/* map_remove(); *ret_end is set on errors as well. */
int ext_remove(struct handle *h, struct mapping *m, lblk_t lblk, uint64_t end,
		uint64_t *ret_end);
/* Credits that one change of the tree can need, with one run of data blocks
 * allocated or freed and the inode written. */
uint32_t ext_credits(const struct mapping *m);
/* Node blocks that inserting @len blocks one by one, anywhere, can need. */
uint32_t ext_nodes_worst(const struct mapping *m, uint32_t len);

#endif /* UEXT4_MAP_EXTENT_H */
