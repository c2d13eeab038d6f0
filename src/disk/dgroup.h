/* SPDX-License-Identifier: MIT */
/*
 * Group descriptors of 32 and 64 bytes, and the checksums of what they
 * describe.
 *
 * A descriptor carries the crc16 of itself (uninit_bg) or the low half of a
 * crc32c (metadata_csum). The checksums of the two bitmaps stand in it as
 * well: 32 bits in a 64-byte descriptor, the low 16 in a 32-byte one. To
 * change a bitmap: change bits, change counters, dgroup_bbm_csum_set(),
 * dgroup_encode(), dgroup_csum_set().
 */
#ifndef UEXT4_DISK_DGROUP_H
#define UEXT4_DISK_DGROUP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/types.h"

struct geo;

#define DGROUP_SIZE_MIN 32u
#define DGROUP_SIZE_64  64u

/* flags */
#define DGROUP_INODE_UNINIT 0x0001u /* inode bitmap and table never written */
#define DGROUP_BLOCK_UNINIT 0x0002u /* block bitmap never written */
#define DGROUP_INODE_ZEROED 0x0004u /* inode table is zeroed */

struct dgroup {
	pblk_t block_bitmap;
	pblk_t inode_bitmap;
	pblk_t inode_table;
	pblk_t exclude_bitmap;
	uint32_t free_clusters; /* blocks, without bigalloc */
	uint32_t free_inodes;
	uint32_t used_dirs;
	uint32_t itable_unused; /* inodes at the end never used */
	uint32_t flags;
	uint32_t bbm_csum; /* the low 16 bits only with 32-byte descriptors */
	uint32_t ibm_csum;
	uint16_t csum; /* as stored; encode leaves it alone */
};

/* @raw holds geo->desc_size bytes, in all of these. Without uninit_bg and
 * metadata_csum flags and itable_unused mean nothing: they read as 0 and are
 * not written. */
void dgroup_decode(
		const struct geo *geo, const void *raw, struct dgroup *ret_d);
/* Fields over bytes; bytes without a field are kept. */
void dgroup_encode(const struct geo *geo, const struct dgroup *d, void *raw);

/* 0 or -UEXT4_EBADCSUM; 0 too when the file system has no such checksum. */
int dgroup_csum_verify(const struct geo *geo, grp_t grp,
		const void *raw) UEXT4_MUST_CHECK;
/* Store the checksum of the encoded descriptor, if there is one. */
void dgroup_csum_set(const struct geo *geo, grp_t grp, void *raw);

/* Can this descriptor be: bitmaps and table inside the file system (inside
 * the group without flex_bg), not one over another, counters within what a
 * group can hold? -UEXT4_ECORRUPT, *ret_why a phrase (may be NULL). */
int dgroup_check(const struct geo *geo, grp_t grp, const struct dgroup *d,
		const char **ret_why) UEXT4_MUST_CHECK;

/* The bitmaps' checksums; @bitmap holds a block. Verify answers 0 when the
 * file system has none; set changes *@d only, and only if it has. */
int dgroup_bbm_csum_verify(const struct geo *geo, const struct dgroup *d,
		const void *bitmap) UEXT4_MUST_CHECK;
int dgroup_ibm_csum_verify(const struct geo *geo, const struct dgroup *d,
		const void *bitmap) UEXT4_MUST_CHECK;
void dgroup_bbm_csum_set(
		const struct geo *geo, struct dgroup *d, const void *bitmap);
void dgroup_ibm_csum_set(
		const struct geo *geo, struct dgroup *d, const void *bitmap);

/*
 * Write the bitmap that a group flagged BLOCK_UNINIT stands for: its own
 * superblock copy and descriptors, its bitmaps and inode table where they lie
 * in the group itself, and the padding past the group's end. Blocks of OTHER
 * groups' metadata that flex_bg put here are the caller's to add (groups with
 * such are never left BLOCK_UNINIT by mke2fs).
 */
void dgroup_bbm_init(const struct geo *geo, grp_t grp, const struct dgroup *d,
		void *bitmap);
/* And of one flagged INODE_UNINIT: all free, padding set. */
void dgroup_ibm_init(const struct geo *geo, void *bitmap);

#endif /* UEXT4_DISK_DGROUP_H */
