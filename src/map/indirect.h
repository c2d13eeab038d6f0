/* SPDX-License-Identifier: MIT */
/*
 * The block trees of ext2 and ext3 files: find, fill, remove.
 *
 * i_block holds 15 words: 12 lead to data blocks, the 13th to a block of
 * pointers to data (indirect), the 14th and 15th to blocks of pointers to
 * such blocks (double, triple). A pointer of 0 is a hole, as large as what
 * hangs below it. There is no unwritten state and there are no checksums.
 *
 * Rules    (N1) A pointer is checked where it is used: inside the file system
 *               and no system block. No loop follows more than four of them.
 *          (N2) A node without pointers is not kept.
 *          (N3) As X3: prepared first, then changed.
 *
 * Locks    mapping->lock, as in extent.h.
 */
#ifndef UEXT4_MAP_INDIRECT_H
#define UEXT4_MAP_INDIRECT_H

#include <stdint.h>

#include "base/types.h"
#include "map/map.h"

struct handle;

int ind_check_root(const struct mapping *m);
int ind_find(const struct mapping *m, lblk_t lblk, struct map_run *ret_run);
pblk_t ind_goal(const struct mapping *m, lblk_t lblk);
/* Allocate for the hole at @lblk up to @max blocks, all in one node, and the
 * nodes on the way. @aflags are for the node blocks, req->flags for the data;
 * lblk and len of @req are filled in here. */
int ind_alloc(struct handle *h, struct mapping *m, lblk_t lblk, uint32_t max,
		struct alloc_req *req, uint32_t aflags,
		struct map_run *ret_run);
/* Enter a run over a hole, all of it or nothing. -EEXIST. */
int ind_insert(struct handle *h, struct mapping *m, const struct map_run *run,
		uint32_t aflags);
int ind_remove(struct handle *h, struct mapping *m, lblk_t lblk, uint64_t end,
		uint64_t *ret_end);
int ind_walk(const struct mapping *m,
		int (*fn)(void *ctx, pblk_t pblk, uint32_t len, bool is_node),
		void *ctx);
uint64_t ind_max_blocks(const struct mapping *m);
/* Nodes that a run of @len blocks can need at most. */
uint32_t ind_nodes_worst(const struct mapping *m, uint32_t len);
uint32_t ind_credits_alloc(const struct mapping *m, uint32_t len);
uint32_t ind_credits_remove(const struct mapping *m);

#endif /* UEXT4_MAP_INDIRECT_H */
