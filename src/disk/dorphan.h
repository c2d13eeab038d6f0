/* SPDX-License-Identifier: MIT */
/*
 * Blocks of the orphan file: an array of inode numbers (0: free slot) and a
 * tail of magic and checksum, 8 bytes.
 */
#ifndef UEXT4_DISK_DORPHAN_H
#define UEXT4_DISK_DORPHAN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/types.h"

struct geo;

#define DORPHAN_MAGIC    0x0B10CA04u
#define DORPHAN_TAIL_LEN 8u

/* Slots in a block. */
uint32_t dorphan_slots(const struct geo *geo);
inum_t dorphan_get(const void *block, uint32_t slot);
void dorphan_put(void *block, uint32_t slot, inum_t inum);
/* A block of free slots with its magic; checksum by dorphan_csum_set(). */
void dorphan_init(const struct geo *geo, void *block);
/* Magic, and every number one that an orphan can have. -UEXT4_ECORRUPT. */
int dorphan_check(const struct geo *geo, const void *block,
		const char **ret_why) UEXT4_MUST_CHECK;
/* @seed is dinode_csum_seed() of the orphan file's inode, @pblk where the
 * block stands on the device. 0 without metadata_csum. */
int dorphan_csum_verify(const struct geo *geo, uint32_t seed, pblk_t pblk,
		const void *block) UEXT4_MUST_CHECK;
void dorphan_csum_set(
		const struct geo *geo, uint32_t seed, pblk_t pblk, void *block);

#endif /* UEXT4_DISK_DORPHAN_H */
