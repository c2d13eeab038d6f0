/* SPDX-License-Identifier: MIT */
/*
 * The block groups: descriptors, bitmaps, counters and checksums of each.
 * Only the rooms of alloc/ include this.
 *
 *	ret = grp_get(a, no, &grp);		never put: lives until close
 *	ret = grp_lock_blocks(a, grp);		bitmap and index are there now
 *	look at grp->buddy, take or give bits
 *	grp_unlock(grp);
 *
 * and to change what is on disk, under a handle:
 *
 *	ret = grp_desc_prepare(h, grp);		no failure after this but abort
 *	ret = grp_mark_blocks(h, a, grp, bit, len);
 *	ret = grp_desc_store(h, a, grp);
 *
 * Locks    buf->lock of the descriptor block > grp->lock. A descriptor is
 *          changed in memory (grp->d) under grp->lock together with its
 *          bitmap, and copied into the block afterwards under both locks.
 *          In between another thread may change the group again and store
 *          both changes first; the second store then writes the same bytes.
 *          Handles of two transactions are never open together, so both
 *          changes are in one transaction. Hence groups that share a
 *          descriptor block run in parallel but for the copying.
 */
#ifndef UEXT4_ALLOC_GRP_H
#define UEXT4_ALLOC_GRP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "alloc/alloc.h"
#include "alloc/buddy.h"
#include "alloc/sysmap.h"
#include "base/lock.h"
#include "disk/dgroup.h"

struct buf;
struct gdt;

struct grp {
	struct mutex lock;
	struct gdt *gdt; /* [const] */
	grp_t no;        /* [const] */
	uint32_t nbits;  /* [const] blocks of the group */
	bool is_placed;  /* [const] the places in d can be believed */
	/* [lock] but for the places of bitmaps and table: [const] */
	struct dgroup d;
	uint32_t extras; /* [lock] busy here, free on disk: reserved, pending */
	uint32_t stream; /* [lock] where the last run ended */
	uint32_t ihint;  /* [lock] no inode below this index is free */
	int berr;        /* [lock] why no block may be touched, or 0 */
	int ierr;        /* [lock] the same for inodes */
	struct buddy *buddy; /* [lock] NULL: blocks not loaded */
	struct buf *bbuf;    /* [lock] block bitmap, held while loaded */
	struct buf *ibuf;    /* [lock] inode bitmap, held; NULL: not loaded */
	/* Looked at without the lock to pass a group by, written under it. */
	_Atomic uint32_t avail;   /* free in memory */
	_Atomic uint32_t longest; /* no free run is longer */
	_Atomic uint32_t ifree;   /* free inodes, 0 if none may be used */
	_Atomic uint32_t dirs;
	_Atomic bool loaded; /* a bitmap is held: the clock may put it out */
	_Atomic bool used;   /* since the clock hand passed */
};

/* One block of group descriptors, and the groups it describes. */
struct gdt {
	struct buf *buf; /* [const] held; contents: its lock */
	uint32_t index;  /* [const] */
	uint32_t n;      /* [const] */
	struct grp grp[];
};

/* What a descriptor block sums up to, known from the mount on. */
struct gdt_sum {
	_Atomic uint64_t avail; /* blocks free in memory */
	_Atomic uint64_t ifree; /* free inodes */
};

/* Runs freed in one transaction, see balloc.c. */
struct pending;

TAILQ_HEAD(alloc_pa_list, alloc_pa);

struct alloc {
	const struct geo *geo;      /* [const] */
	struct buf_cache *cache;    /* [const] */
	struct journal *journal;    /* [const] once set */
	struct log *log;            /* [const] */
	bool read_only;             /* [const] */
	uint64_t root_blocks;       /* [const] */
	struct sysmap sysmap;       /* [const] once mounted */
	_Atomic(struct gdt *) *gdt; /* geo->gdt_blocks, NULL: not loaded */
	struct gdt_sum *sum;        /* the same number */
	struct mutex load_lock;     /* one thread publishes a gdt */

	/* free == avail + claimed + reserved + pending + what lies in groups
	 * that are out of use. Space is paid for by lowering avail before a
	 * bit is taken and given back after it is free again, so the bits
	 * that are free always suffice for what was paid. */
	_Atomic int64_t avail;
	_Atomic int64_t claimed;
	_Atomic int64_t reserved; /* runs and windows */
	_Atomic int64_t windows;  /* of it, in windows of alloc_pa */
	_Atomic int64_t pending;
	_Atomic int64_t free; /* as the bitmaps of the transaction say */
	_Atomic int64_t ifree;
	_Atomic int64_t dirs;

	struct mutex pa_lock;        /* rank ALLOC; and the fields of all pas */
	struct alloc_pa_list pas;    /* [pa_lock] those with len > 0 */
	struct mutex pending_lock;   /* rank ALLOC */
	struct pending *pending_now; /* [pending_lock] of the running txn */

	_Atomic uint32_t nloaded; /* groups with an index in memory */
	uint32_t max_loaded;      /* [const] */
	struct mutex clock_lock;  /* rank ALLOC: one thread evicts */
	grp_t clock;              /* [clock_lock] */
	_Atomic uint32_t spread;  /* turns for top-level directories */
};

/* ---- groups ---- */
/* Group @no, its descriptor read and checked. -EIO, -EUCLEAN, -ENOMEM. */
int grp_get(struct alloc *a, grp_t no, struct grp **ret_grp);
/* The same, or NULL, without reading. */
struct grp *grp_peek(const struct alloc *a, grp_t no);
/* Forget everything in memory (close). */
void grp_drop_all(struct alloc *a);

/* Lock @grp with its block (inode) bitmap in memory and checked. On failure
 * it is not locked: -EBADMSG or -EUCLEAN if the group is out of use, -EIO. */
int grp_lock_blocks(struct alloc *a, struct grp *grp);
int grp_lock_inodes(struct alloc *a, struct grp *grp);
static inline void grp_unlock(struct grp *grp) UEXT4_NO_TSA;
static inline void grp_unlock(struct grp *grp)
{
	mutex_unlock(&grp->lock);
}

/* Flags and unused inodes as they count: without group checksums there are
 * no flags, and every table is initialised. Under grp->lock. */
uint32_t grp_flags_locked(const struct alloc *a, const struct grp *grp);
/* How many inodes of the table, from its start, were ever in use. */
uint32_t grp_inodes_used_locked(const struct alloc *a, const struct grp *grp);

/* ---- in memory (grp locked, blocks loaded) ---- */
void grp_take_locked(
		struct alloc *a, struct grp *grp, uint32_t bit, uint32_t len);
void grp_give_locked(
		struct alloc *a, struct grp *grp, uint32_t bit, uint32_t len);

/* ---- on disk ---- */
/* Get the right to write the descriptor's block, so that a later store cannot
 * fail but by an abort. */
int grp_desc_prepare(struct handle *h, struct grp *grp);
/* Copy the descriptor into its block. */
int grp_desc_store(struct handle *h, struct alloc *a, struct grp *grp);
/* Taken bits become used on disk; busy bits of used blocks become free on
 * disk, but stay busy (extras). Not stored yet. */
int grp_mark_blocks(struct handle *h, struct alloc *a, struct grp *grp,
		uint32_t bit, uint32_t len);
int grp_clear_blocks(struct handle *h, struct alloc *a, struct grp *grp,
		uint32_t bit, uint32_t len);
/* 0 if all these blocks are used on disk, else -EUCLEAN. */
int grp_check_used(
		struct alloc *a, struct grp *grp, uint32_t bit, uint32_t len);
/* The bitmap that a BLOCK_UNINIT group stands for. */
void grp_layout(const struct alloc *a, const struct grp *grp, uint8_t *map);
/* Get the block bitmap ready to be written, for the first time if the group is
 * BLOCK_UNINIT. Locked, blocks loaded. */
int grp_block_init_locked(struct handle *h, struct alloc *a, struct grp *grp);
/* Get the inode bitmap ready to be written, for the first time if the group is
 * INODE_UNINIT. Locked, inodes loaded. */
int grp_inode_init_locked(struct handle *h, struct alloc *a, struct grp *grp);
/* After bits of the inode bitmap changed: checksum, handle_dirty(). */
int grp_inode_dirty_locked(struct handle *h, struct alloc *a, struct grp *grp);

/* ---- the other rooms ---- */
/* prealloc.c: serve @req out of its window. True if so. */
bool prealloc_take(struct alloc *a, const struct alloc_req *req,
		struct alloc_run *ret_run);
/* How many blocks to take behind a run for the file's further growth. */
uint32_t prealloc_window(struct alloc *a, const struct alloc_req *req);
/* The window of @req's file is now @run, which is reserved and follows the
 * @len blocks served. */
void prealloc_set(struct alloc *a, const struct alloc_req *req, uint32_t len,
		struct alloc_run run);
/* Take back all windows. True if there was one. */
bool prealloc_reclaim(struct alloc *a);

/* balloc.c: give reserved blocks back; the space they paid as well. */
void balloc_give(struct alloc *a, struct alloc_run run);

#endif /* UEXT4_ALLOC_GRP_H */
