/* SPDX-License-Identifier: MIT */
/*
 * Data first, for buffered write-back and direct writes: space is claimed, then
 * blocks are reserved in memory, the data is written to them, and then they are
 * entered in one handle.
 *
 *	reserve_claim(inode, n)		space for n blocks and their nodes
 *	reserve_blocks(inode, ...)	a place for some of them
 *	... data ...
 *	reserve_enter(h, inode, run)	marked used and mapped as written
 *	reserve_settle(inode, n)	they are on their way no more
 *
 * Rules    (RS1) inode->claim_data counts claimed blocks without a place,
 *                claim_flight those that were claimed and are reserved, until
 *                reserve_settle(); claim_nodes the blocks claimed for the nodes
 *                of both: no claim goes back that either may still need. So to
 *                enter them meets no -ENOSPC.
 *          (RS2) claim_nodes holds claim_convert more, for the nodes that direct
 *                writes in flight may need to convert unwritten blocks.
 *
 * Locks    attr_lock guards the counters.
 */
#ifndef UEXT4_FS_RESERVE_H
#define UEXT4_FS_RESERVE_H

#include <stdbool.h>
#include <stdint.h>

#include "map/map.h"

struct handle;
struct inode;

int reserve_claim(struct inode *inode, uint32_t n) UEXT4_MUST_CHECK;
void reserve_unclaim(struct inode *inode, uint32_t n);
/* A place for up to @n claimed blocks of the hole at @lblk, near @goal (0: where
 * the file's other blocks suggest). @pa: the file's window, or NULL; callers
 * that give it exclude each other. */
int reserve_blocks(struct inode *inode, lblk_t lblk, uint32_t n, pblk_t goal,
		struct alloc_pa *pa, struct map_run *ret_run) UEXT4_MUST_CHECK;
/* *ret_ours: the run is still only reserved when this fails. The caller has the
 * inode written, later in the same transaction. */
int reserve_enter(struct handle *h, struct inode *inode,
		const struct map_run *run, bool *ret_ours) UEXT4_MUST_CHECK;
/* The second half of it: the run is marked used already, by alloc_rsv_commit()
 * in the same transaction. When this fails it is freed. */
int reserve_insert(struct handle *h, struct inode *inode,
		const struct map_run *run) UEXT4_MUST_CHECK;
/* Credits for that, without those of the inode. */
uint32_t reserve_credits(const struct inode *inode, uint32_t len);
/* Claims go back to pages that stay dirty. They were theirs a moment ago; if
 * somebody took the space meanwhile, the pages' next try says ENOSPC. */
void reserve_reclaim(struct inode *inode, uint32_t n);
/* @n reserved blocks were entered or given back. */
void reserve_settle(struct inode *inode, uint32_t n);

/* Room for the nodes of one conversion: how many blocks were claimed, to be given
 * back when it is over. 0 for files without unwritten blocks. */
int reserve_claim_convert(
		struct inode *inode, uint32_t *ret_n) UEXT4_MUST_CHECK;
void reserve_unclaim_convert(struct inode *inode, uint32_t n);
/* map_convert_flags(), the nodes from what was claimed. */
int reserve_convert(struct handle *h, struct inode *inode, lblk_t lblk,
		uint32_t len, uint32_t flags) UEXT4_MUST_CHECK;

#endif /* UEXT4_FS_RESERVE_H */
