/* SPDX-License-Identifier: MIT */
/*
 * Who owns which block and which inode number: the allocator as its users see
 * it. grp.c, balloc.c, buddy.c, prealloc.c and ialloc.c are its rooms.
 *
 * A free block goes through these hands:
 *
 *   free --alloc_blocks()--> allocated          (bitmap marked in the handle)
 *   free --alloc_reserve()--> reserved          (memory only: design.md)
 *   reserved --alloc_rsv_commit()--> allocated  (bitmap marked in the handle)
 *   reserved --alloc_rsv_release()--> free
 *   allocated --alloc_free()--> pending         (bitmap cleared in the handle)
 *   pending --its commit is durable--> free
 *
 * And space without a place: alloc_claim() promises @n blocks (delayed
 * allocation), so that a later alloc_reserve() with ALLOC_F_CLAIMED cannot
 * meet -ENOSPC.
 *
 * Rules    (A1) A block is allocated, reserved, pending, preallocated or free:
 *               exactly one of these (I5).
 *          (A2) Reserved and pending blocks are invisible to all others; the
 *               on-disk bitmap does not know reservations and does not show
 *               pending ones as used.
 *          (A3) No call ever hands out or frees a system block
 *               (alloc_is_system()); an attempt is -EUCLEAN, logged.
 *          (A4) claimed + reserved + allocated + root reserve never exceed the
 *               file system; root's reserve (s_r_blocks_count) is for
 *               ALLOC_F_SUPER, but a part (2 % of the blocks at most) for
 *               ALLOC_F_ROOT only: nodes that what is promised needs.
 *          (A5) A group is loaded when it is first used, never at mount. The
 *               group descriptors are read lazily as well.
 *
 * Locks    grp->lock: bitmaps, descriptor, buddy of one group (rank GRP). A
 *          handle may be held; no call waits for a commit. -ENOSPC while
 *          pending blocks exist: see alloc_pending(), dio.md M5.
 */
#ifndef UEXT4_ALLOC_ALLOC_H
#define UEXT4_ALLOC_ALLOC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/err.h"
#include "base/types.h"

struct alloc;
struct buf_cache;
struct geo;
struct handle;
struct journal;
struct log;

/* One run of blocks of the file system. */
struct alloc_run {
	pblk_t pblk;
	uint32_t len;
};

#define ALLOC_F_METADATA   0x01u /* for a tree, directory or attribute block */
#define ALLOC_F_ROOT       0x02u /* may use the blocks reserved for root */
#define ALLOC_F_CLAIMED    0x04u /* paid for by an earlier alloc_claim() */
#define ALLOC_F_EXACT      0x08u /* all of len in one run, or -ENOSPC */
#define ALLOC_F_NOPREALLOC 0x10u /* small file or closing: no preallocation */
#define ALLOC_F_LOW32      0x20u /* below 2^32: indirect-mapped files */
#define ALLOC_F_SUPER      0x40u /* for the superuser: into root's reserve */

/* What is wanted. A run of 1..len blocks near goal is returned. */
struct alloc_req {
	pblk_t goal;         /* where it would be best; 0: no wish */
	uint32_t len;        /* blocks wanted, 1..32768 */
	uint32_t flags;      /* ALLOC_F_* */
	struct alloc_pa *pa; /* the inode's preallocation, or NULL */
	lblk_t lblk;         /* file block the run is for (for pa) */
};

struct alloc_params {
	const struct geo *geo;
	struct buf_cache *cache;
	struct journal *journal; /* NULL: read-only */
	struct log *log;
	uint64_t free_blocks, root_blocks, free_inodes; /* of the superblock, in
							   blocks: a hint until
							   descriptors are read */
	bool read_only; /* never written: a descriptor with a bad checksum puts
			   its group out of use instead of failing alloc_load() */
};
int alloc_open(const struct alloc_params *p, struct alloc **ret_a);
/* @j arrives after recovery. */
void alloc_set_journal(struct alloc *a, struct journal *j);
void alloc_close(struct alloc *a);

/* Mount-time: read all descriptors (checksums verified), check that bitmaps
 * and tables lie inside and do not overlap, build the system-block map, sum
 * the free counts. Lazy where it may be: a 16 TiB file system in < 50 ms.
 * -EUCLEAN/-EBADMSG. */
int alloc_load(struct alloc *a);

/* ---- blocks ---- */
int alloc_blocks(struct handle *h, struct alloc *a, const struct alloc_req *req,
		struct alloc_run *ret_run);
/* Memory only: needs no handle. */
int alloc_reserve(struct alloc *a, const struct alloc_req *req,
		struct alloc_run *ret_run);
/* Mark a reserved run (whole or part of one) as allocated on disk. Cannot fail
 * for lack of space. On failure (-ENOMEM, an abort) the run is still reserved. */
int alloc_rsv_commit(struct handle *h, struct alloc *a, struct alloc_run run);
void alloc_rsv_release(struct alloc *a, struct alloc_run run);
/* Free @run; reusable when @h's transaction is durable. Metadata blocks:
 * handle_forget() is called here for each if ALLOC_F_METADATA; the cached buf
 * is dropped. -EUCLEAN if a block is free already or a system block, -EBADMSG
 * in a group whose bitmap has a bad checksum. Costs ALLOC_CREDITS_RUN for each
 * group that the run touches: clip it with alloc_clip() to free by steps. */
int alloc_free(struct handle *h, struct alloc *a, struct alloc_run run,
		uint32_t flags);
/* Promise @n blocks to a later reservation. -ENOSPC. */
int alloc_claim(struct alloc *a, uint64_t n, uint32_t flags);
/* Take back a promise that was kept a moment ago and came to nothing (a run
 * reserved under ALLOC_F_CLAIMED and released): cannot fail, but if the space
 * went to somebody else meanwhile, a later reservation may. */
void alloc_claim_force(struct alloc *a, uint64_t n);
void alloc_unclaim(struct alloc *a, uint64_t n);
/* Blocks freed by transactions that are not durable yet. */
uint64_t alloc_pending(struct alloc *a);
/* Is any of the run a system block (superblock, descriptors, bitmaps, inode
 * tables, journal), or outside the file system? */
bool alloc_is_system(const struct alloc *a, pblk_t pblk, uint64_t len);
/* Add runs known later (the journal's) to the system-block map; while mounting,
 * before any other thread is there. -EUCLEAN if one is outside, or is a system
 * block already. */
int alloc_add_system(struct alloc *a, pblk_t pblk, uint64_t len);
/* Handle credits for alloc_blocks/rsv_commit/free of one run: bitmaps and
 * descriptors. Runs handed out never cross a group; a run of a file may, as
 * neighbours merge (32768 blocks are five groups of 1 KiB blocks). */
#define ALLOC_CREDITS_RUN 4u
/* How many of [@pblk, @pblk + @len) lie in the group of @pblk. */
uint32_t alloc_clip(const struct alloc *a, pblk_t pblk, uint32_t len);
/* The group of an inode starts here: the default goal. */
pblk_t alloc_goal_for_inode(const struct alloc *a, inum_t inum);

/* ---- preallocation of one inode, in memory only (A2) ----
 * Embedded in the inode; zeroed is empty. Serialised by the inode's map_lock
 * or by its single writer-back. */
struct alloc_pa {
	lblk_t lblk; /* [pa_lock] of the allocator, as all fields: the window
			   may be taken back at any time when space is short */
	pblk_t pblk;
	uint32_t len;               /* 0: empty */
	TAILQ_ENTRY(alloc_pa) node; /* listed while len is not 0 */
};
/* Give back what the inode has not used. */
void alloc_pa_release(struct alloc *a, struct alloc_pa *pa);

/* ---- inodes ---- */
struct alloc_inode_req {
	inum_t parent; /* directory it is made in */
	bool is_dir;
	bool top_level; /* a directory in the root: spread (Orlov) */
	inum_t goal;    /* 0, or wanted number */
};
/* Mark an inode number used. The inode's table block is initialised if the
 * group's table was not (INODE_UNINIT/itable_unused). Credits:
 * ALLOC_CREDITS_INODE. */
int ialloc_new(struct handle *h, struct alloc *a,
		const struct alloc_inode_req *req, inum_t *ret_inum);
/* The number may be given out again at once, in the same transaction too: both
 * changes are journalled in order. -EUCLEAN if it is free or reserved. */
int ialloc_free(struct handle *h, struct alloc *a, inum_t inum, bool is_dir);
/* Is @inum marked in the inode bitmap? 1, 0, or an error. */
int ialloc_is_used(struct alloc *a, inum_t inum);
#define ALLOC_CREDITS_INODE 5u
/* Where the inode stands: block of the table and byte offset inside. -EUCLEAN
 * if @inum is out of range. */
int ialloc_locate(struct alloc *a, inum_t inum, pblk_t *ret_pblk,
		uint32_t *ret_off);

/* ---- counts ---- */
struct alloc_stat {
	uint64_t free_blocks;  /* on disk, after pending frees */
	uint64_t avail_blocks; /* free minus claims and reservations */
	uint64_t root_blocks;  /* reserve for root */
	uint64_t free_inodes;
	uint64_t dirs;
};
void alloc_stat(struct alloc *a, struct alloc_stat *ret);
/* The counts that belong in the superblock of the closing transaction: exact
 * when no handle is open (called from the journal's precommit). */
void alloc_disk_counts(struct alloc *a, uint64_t *ret_free_blocks,
		uint64_t *ret_free_inodes);
/* Discard free runs of at least @minlen blocks inside [first, first+len):
 * bytes trimmed in @ret_bytes. */
int alloc_trim(struct alloc *a, pblk_t first, uint64_t len, uint64_t minlen,
		uint64_t *ret_bytes);

#endif /* UEXT4_ALLOC_ALLOC_H */
