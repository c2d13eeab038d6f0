/* SPDX-License-Identifier: MIT */
/*
 * File block -> disk block: the one door to extent trees, indirect trees and
 * the in-memory extent status.
 *
 * A struct mapping is embedded in the inode, which lends it the 60 bytes of
 * i_block and answers map_ops. Extent files go to extent.c, the block trees of
 * ext2/ext3 files to indirect.c; what was found is remembered in es.c, so that
 * an overwrite finds its block without a tree walk.
 *
 * Rules    (M1) No two file blocks map to one disk block; no mapping covers a
 *               system block (alloc_is_system()) - checked on every load of a
 *               node and before every insert.
 *          (M2) What a look-up found goes into the extent status under the
 *               same hold of map_lock, or under a later one if seq proves that
 *               nothing changed in between (dio.md B38).
 *          (M3) es never says "hole" or "written" where the tree differs.
 *          (M4) Node blocks are checked (dextent) and their checksums verified
 *               once when read, set before handle_dirty().
 *          (M5) Every step leaves a tree that may be committed: removal goes
 *               from the end, in handle-sized pieces.
 *          (M6) mapping->blocks counts everything that i_blocks counts, in fs
 *               blocks: data, node blocks (not the attribute block: the inode
 *               adds that).
 *
 * Locks    mapping->lock (rank MAP): shared for find, exclusive for changes.
 *          The functions take it themselves. Below it: buf, grp locks.
 */
#ifndef UEXT4_MAP_MAP_H
#define UEXT4_MAP_MAP_H

#include <stdbool.h>
#include <stdint.h>

#include "alloc/alloc.h"
#include "base/err.h"
#include "base/lock.h"
#include "base/types.h"

struct alloc;
struct buf_cache;
struct es_tree;
struct geo;
struct handle;
struct log;
struct mapping;

enum map_type {
	MAP_HOLE,
	MAP_WRITTEN,
	MAP_UNWRITTEN,
};

/* A run of file blocks in one state. pblk is 0 for a hole. */
struct map_run {
	lblk_t lblk;
	uint32_t len;
	pblk_t pblk;
	enum map_type type;
	bool is_new; /* this call allocated it */
};

struct map_ops {
	/* i_block, blocks or flags changed: put the inode in @h. Called with
	 * mapping->lock held exclusively; takes the inode's table buf. */
	int (*dirty)(struct mapping *m, struct handle *h);
};

struct mapping {
	const struct geo *geo;     /* [const] */
	struct buf_cache *cache;   /* [const] */
	struct alloc *alloc;       /* [const] NULL: read-only, and blocks are
				 * checked against the device's end alone (the
				 * journal's inode before recovery) */
	struct log *log;           /* [const] */
	const struct map_ops *ops; /* [const] */
	inum_t inum;               /* [const] */
	uint32_t gen;              /* [const] for checksums */
	bool is_extents;           /* [const] EXT4_EXTENTS_FL */
	bool is_metadata; /* [const] directory: blocks are revoked when freed */
	struct rwsem lock;    /* map_lock */
	uint8_t *root;        /* [lock] 60 bytes i_block, owned by the inode */
	uint64_t blocks;      /* [lock] blocks counted in i_blocks */
	struct alloc_pa pa;   /* [lock] */
	struct es_tree *es;   /* [lock]; NULL until first used */
	_Atomic uint64_t seq; /* grows with every change: validity cookie */
	_Atomic uint32_t depth; /* of the extent tree: for the credits */
	_Atomic bool for_super; /* who writes now may use root's reserve */
	_Atomic uint64_t nodes_claimed; /* node blocks taken from the inode's
					 * claims so far: see MAP_F_CLAIMED */
};

/* The caller has filled the [const] fields, root and blocks. */
void mapping_init(struct mapping *m);
/* Give back preallocation and cached runs. */
void mapping_fini(struct mapping *m);
/* Write an empty extent root (or zeroes for indirect) to m->root. */
void mapping_init_root(struct mapping *m);
/* Check the root after load. -EUCLEAN. */
int mapping_check_root(const struct mapping *m);

/* The run that holds @lblk, cut to at most @max blocks. A hole is as long as
 * it is known to be (at least 1). Never changes anything. -EUCLEAN, -EBADMSG,
 * -EIO. */
int map_find(struct mapping *m, lblk_t lblk, uint32_t max,
		struct map_run *ret_run);
/* All of the extent that holds @lblk, as it stands in the tree: converted as a
 * whole it needs no node. A hole from @lblk on; extents only. */
int map_find_extent(struct mapping *m, lblk_t lblk, struct map_run *ret_run);
/* The same as map_find() from the extent status alone: -EAGAIN if not known there. */
int map_find_cached(struct mapping *m, lblk_t lblk, uint32_t max,
		struct map_run *ret_run);
/* Remember @run, which was found while seq was @seq, unless something changed
 * since (M2) or somebody else wants the lock. The tail of map_find(). */
void map_remember(struct mapping *m, const struct map_run *run, uint64_t seq);

#define MAP_F_UNWRITTEN 0x1u /* new blocks are unwritten (extents only) */
#define MAP_F_ROOT      0x2u /* may use root's reserve */
#define MAP_F_KEEP      0x4u /* preallocation of fallocate: no pa window */
#define MAP_F_CLAIMED                                                          \
 0x8u /* node blocks (not data) were paid for by an
			      * alloc_claim() of map_nodes_worst(): nodes_claimed
			      * counts those taken, also when the call fails */
#define MAP_F_LATE                                                             \
 0x10u /* the caller has the inode written later in the same
			      * transaction (before it stops or restarts the
			      * handle): not with each of many changes */
/* As map_find(), but a hole is filled: the run returned is mapped and starts at
 * @lblk, 1..@max blocks. Credits: map_credits_alloc(). -ENOSPC. */
int map_alloc(struct handle *h, struct mapping *m, lblk_t lblk, uint32_t max,
		uint32_t flags, struct map_run *ret_run);
/* The goal that map_alloc() would use for @lblk: for alloc_reserve(). */
pblk_t map_goal(struct mapping *m, lblk_t lblk);
/* Enter an already allocated run (alloc_rsv_commit() in the same handle) over a
 * hole, as written (or unwritten with MAP_F_UNWRITTEN). All of it or nothing:
 * on failure the run is still the caller's. Credits: as alloc. -EEXIST if it is
 * no hole, -EINVAL if an extent cannot be so long (32768; 32767 unwritten),
 * -EFBIG beyond map_max_blocks(). */
int map_insert(struct handle *h, struct mapping *m, lblk_t lblk, pblk_t pblk,
		uint32_t len, uint32_t flags);
/* Turn the unwritten parts of [lblk, lblk+len) into written ones; written parts
 * stay, a hole inside is -EUCLEAN. Splits and merges as needed. -ENOSPC (no
 * block for a node) leaves everything as it was. -EAGAIN: a range over many
 * extents used up the credits half-way; handle_restart() and call again. */
int map_convert(struct handle *h, struct mapping *m, lblk_t lblk, uint32_t len);
/* The same with MAP_F_LATE, MAP_F_CLAIMED (map_nodes_convert()), or 0. */
int map_convert_flags(struct handle *h, struct mapping *m, lblk_t lblk,
		uint32_t len, uint32_t flags);
/* Would map_convert() of mapped blocks need no block for a node, as the tree is
 * now? 1, 0 (also in doubt) or an error. */
int map_convert_fits(struct mapping *m, lblk_t lblk, uint32_t len);
/* The reverse for zero range: written parts become unwritten (extents only). */
int map_convert_unwritten(
		struct handle *h, struct mapping *m, lblk_t lblk, uint32_t len);
/* Remove and free mappings inside [lblk, end) from the end downwards, as far as
 * the credits of @h reach; nodes that become empty go too. @ret_end is the new
 * end of what is still to do: done when *ret_end == lblk (call again with
 * end = *ret_end after handle_restart()). end may be UINT32_MAX+1 (u64).
 * Punching a hole into one extent may need a node block: -ENOSPC. On an error
 * *ret_end is set as well: what lies behind it is gone. */
int map_remove(struct handle *h, struct mapping *m, lblk_t lblk, uint64_t end,
		uint64_t *ret_end);
/* Credits: allocate or insert one run of up to @len blocks; one step of
 * map_remove(); convert one run. All include the inode's own block. */
uint32_t map_credits_alloc(const struct mapping *m, uint32_t len);
uint32_t map_credits_remove(const struct mapping *m);
uint32_t map_credits_convert(const struct mapping *m);
/* Node blocks that inserting one run of @len blocks can need at most. */
uint32_t map_nodes_run(const struct mapping *m, uint32_t len);
/* The same for converting a run once the tree has grown by @levels. */
uint32_t map_nodes_convert(const struct mapping *m, uint32_t levels);
/* What to claim for @len blocks that will be inserted later in any number of
 * runs. With extents an upper bound, however scattered they are. In a block tree
 * as many as if they lay together and a few more (one node each, the honest
 * bound, would refuse to fill the device by half): insert with MAP_F_CLAIMED
 * only while map_nodes_run() are claimed, else with MAP_F_ROOT. */
uint32_t map_nodes_worst(const struct mapping *m, uint32_t len);
/* The first block at or after @lblk that is not a hole, cut to its run;
 * -ENOENT if there is none. For SEEK_DATA, fiemap, orphan clean-up. */
int map_next(struct mapping *m, lblk_t lblk, struct map_run *ret_run);
/* Walk every block the tree owns (data and nodes) once: for checks and the
 * system-block map of the journal inode. */
int map_walk(struct mapping *m,
		int (*fn)(void *ctx, pblk_t pblk, uint32_t len, bool is_node),
		void *ctx);
/* ALLOC_F_SUPER or 0: for claims, and blocks that are not in the tree. */
uint32_t map_super_flag(struct mapping *m);
/* Forget what is remembered (not the preallocation): root was replaced. */
void mapping_reset(struct mapping *m);
/* Is any of the run no block that a file may own (M1)? */
bool map_is_system(const struct mapping *m, pblk_t pblk, uint64_t len);
/* Highest number of file blocks this format can address. */
uint64_t map_max_blocks(const struct mapping *m);

#endif /* UEXT4_MAP_MAP_H */
