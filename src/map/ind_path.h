/* SPDX-License-Identifier: MIT */
/*
 * Block trees: the way from i_block down to one data pointer, for the files
 * indirect.c and ind_edit.c.
 */
#ifndef UEXT4_MAP_IND_PATH_H
#define UEXT4_MAP_IND_PATH_H

#include <stdint.h>

#include "base/types.h"
#include "map/map.h"

struct buf;

#define IND_DIRECT 12u /* pointers of i_block that lead to data */
#define IND_ROOT   15u /* pointers of i_block */
#define IND_LEVELS 4u  /* i_block and up to three nodes */

struct ind_path {
	unsigned n;                  /* levels to the data pointer, 1..4 */
	unsigned got;                /* of them there, 1..n */
	uint32_t off[IND_LEVELS];    /* pointer to follow at each level */
	struct buf *buf[IND_LEVELS]; /* held; buf[0] is NULL: i_block */
};

int ind_corrupt(const struct mapping *m, unsigned level, pblk_t pblk,
		const char *why);
/* The nodes on the way to @lblk, as far as there are any. -EFBIG. */
int ind_path_get(const struct mapping *m, lblk_t lblk,
		struct ind_path *ret_path);
void ind_path_put(struct ind_path *p);
/* File blocks below one pointer of level @k. */
uint64_t ind_span(
		const struct mapping *m, const struct ind_path *p, unsigned k);
/* Pointers of level @k that lead to trees of the same height. */
uint32_t ind_slots(
		const struct mapping *m, const struct ind_path *p, unsigned k);
uint8_t *ind_node(
		const struct mapping *m, const struct ind_path *p, unsigned k);
pblk_t ind_ptr(const struct mapping *m, const struct ind_path *p, unsigned k,
		uint32_t off);

#endif /* UEXT4_MAP_IND_PATH_H */
