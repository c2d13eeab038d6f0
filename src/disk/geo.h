/* SPDX-License-Identifier: MIT */
/*
 * The geometry: the numbers of a file system that do not change while it is
 * mounted, checked once, and the arithmetic that stands on them.
 *
 * Made by geo_init() from a checked superblock; const from then on and shared
 * by all floors without a lock. Group @g covers blocks
 * [geo_grp_first_block(g), + geo_grp_blocks(g)), inodes
 * [g * ipg + 1, (g + 1) * ipg].
 */
#ifndef UEXT4_DISK_GEO_H
#define UEXT4_DISK_GEO_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/types.h"
#include "disk/dfeature.h"

struct dsuper;

/* inode numbers with a fixed meaning */
#define INUM_BAD            1u
#define INUM_ROOT           2u
#define INUM_USR_QUOTA      3u
#define INUM_GRP_QUOTA      4u
#define INUM_BOOT           5u
#define INUM_UNDEL          6u
#define INUM_RESIZE         7u
#define INUM_JOURNAL        8u
#define INUM_EXCLUDE        9u
#define INUM_REPLICA        10u
#define INUM_GOOD_OLD_FIRST 11u

#define GEO_BLOCK_BITS_MIN 10u
#define GEO_BLOCK_BITS_MAX 16u
#define GEO_LINK_MAX       65000u /* the kernel's EXT4_LINK_MAX */

struct geo {
	uint32_t block_bits;
	uint32_t block_size;
	uint32_t cluster_bits; /* log2 of blocks in a cluster; 0: no bigalloc */
	pblk_t blocks;         /* of the file system, from block 0 */
	inum_t inodes;
	grp_t groups;
	uint32_t bpg; /* blocks per group */
	uint32_t cpg; /* clusters per group: bits in a block bitmap */
	uint32_t ipg; /* inodes per group */
	uint32_t inode_size;
	uint32_t want_extra_isize; /* for new inodes; 0 when inode_size is 128 */
	uint32_t min_extra_isize;
	uint32_t inodes_per_block;
	uint32_t itb_per_group; /* inode table blocks of a group */
	uint32_t desc_size;     /* 32, or 64 and more */
	uint32_t desc_per_block;
	uint32_t gdt_blocks;       /* blocks of group descriptors in all */
	uint32_t reserved_gdt;     /* blocks kept behind them for growing */
	uint32_t first_data_block; /* 1 with 1 KiB blocks, else 0 */
	inum_t first_ino;          /* first inode for ordinary files */
	uint32_t flex_bg_size;     /* groups in a flex group; 1: none */
	uint32_t first_meta_bg;
	grp_t backup_bgs[2];     /* sparse_super2 */
	inum_t journal_inum;     /* 0: none */
	inum_t orphan_file_inum; /* 0: none */
	uint32_t compat, incompat, ro_compat;
	uint32_t csum_seed; /* of all metadata_csum checksums */
	uint8_t uuid[16];
	uint32_t hash_seed[4];
	uint8_t def_hash_version;
	bool hash_unsigned;        /* names hash as unsigned char */
	uint64_t max_bytes_extent; /* largest size of a file with extents */
	uint64_t max_bytes_bitmap; /* and of one with block pointers */
};

/* Work out *ret_geo of @sb, which has passed dsuper_check(). Can still find
 * -UEXT4_ECORRUPT, with a phrase in *ret_why (may be NULL). */
int geo_init(struct geo *ret_geo, const struct dsuper *sb,
		const char **ret_why) UEXT4_MUST_CHECK;

static inline bool geo_has_compat(const struct geo *geo, uint32_t bit)
{
	return (geo->compat & bit) != 0;
}

static inline bool geo_has_incompat(const struct geo *geo, uint32_t bit)
{
	return (geo->incompat & bit) != 0;
}

static inline bool geo_has_ro_compat(const struct geo *geo, uint32_t bit)
{
	return (geo->ro_compat & bit) != 0;
}

/* crc32c over every metadata structure */
static inline bool geo_has_csum(const struct geo *geo)
{
	return geo_has_ro_compat(geo, FR_METADATA_CSUM);
}

/* crc16 over group descriptors; never together with metadata_csum */
static inline bool geo_has_gdt_csum(const struct geo *geo)
{
	return geo_has_ro_compat(geo, FR_GDT_CSUM) && !geo_has_csum(geo);
}

/* Do descriptor flags and itable_unused mean anything? */
static inline bool geo_has_group_flags(const struct geo *geo)
{
	return geo_has_ro_compat(geo, FR_GDT_CSUM | FR_METADATA_CSUM);
}

static inline bool geo_is_64bit(const struct geo *geo)
{
	return geo_has_incompat(geo, FI_64BIT);
}

/* ---- blocks ---- */

/* Is @pblk a block of the file system that a group covers? */
static inline bool geo_block_ok(const struct geo *geo, pblk_t pblk)
{
	return pblk >= geo->first_data_block && pblk < geo->blocks;
}

/* Are all of [@pblk, @pblk + @n)? False for @n of 0. */
static inline bool geo_range_ok(const struct geo *geo, pblk_t pblk, uint64_t n)
{
	return n != 0 &&
			range_is_within(pblk, n, geo->first_data_block,
					geo->blocks);
}

/* @pblk passes geo_block_ok(). */
static inline grp_t geo_grp_of_block(const struct geo *geo, pblk_t pblk)
{
	return (grp_t)((pblk - geo->first_data_block) / geo->bpg);
}

/* The place of @pblk in its group: its bit unless there is bigalloc. */
static inline uint32_t geo_index_of_block(const struct geo *geo, pblk_t pblk)
{
	return (uint32_t)((pblk - geo->first_data_block) % geo->bpg);
}

static inline pblk_t geo_grp_first_block(const struct geo *geo, grp_t grp)
{
	return geo->first_data_block + (pblk_t)grp * geo->bpg;
}

/* The blocks of @grp; the last group may be short. */
uint32_t geo_grp_blocks(const struct geo *geo, grp_t grp);
/* The same in clusters: the bits of its block bitmap that mean something. */
uint32_t geo_grp_clusters(const struct geo *geo, grp_t grp);

/* Does @grp hold a copy of the superblock? */
bool geo_grp_has_super(const struct geo *geo, grp_t grp);
/* The blocks at the start of @grp that hold superblock copy, descriptors and
 * reserved descriptors; bitmaps and inode table come on top, and with flex_bg
 * they may lie elsewhere. */
uint32_t geo_grp_base_meta(const struct geo *geo, grp_t grp);
/* The descriptor blocks alone that @grp holds copies of. */
uint32_t geo_grp_gdt_blocks(const struct geo *geo, grp_t grp);
/* Where block @i of the group descriptors stands (the copy in use), i <
 * gdt_blocks. */
pblk_t geo_gdt_block(const struct geo *geo, uint32_t i);
/* Where @copy_grp's copy of descriptor block @i stands; 0 if it has none. */
pblk_t geo_gdt_backup_block(const struct geo *geo, grp_t copy_grp, uint32_t i);
/* The descriptor block and the byte in it that describe @grp. */
static inline uint32_t geo_gdt_index(const struct geo *geo, grp_t grp)
{
	return grp / geo->desc_per_block;
}

static inline uint32_t geo_gdt_offset(const struct geo *geo, grp_t grp)
{
	return grp % geo->desc_per_block * geo->desc_size;
}

/* ---- inodes ---- */

/* Is @inum a number that some inode has? */
static inline bool geo_inum_ok(const struct geo *geo, inum_t inum)
{
	return inum >= 1 && inum <= geo->inodes;
}

/* May a directory entry name @inum? The root or an ordinary inode; journal and
 * orphan file are nobody's, whatever their number. */
static inline bool geo_inum_is_user(const struct geo *geo, inum_t inum)
{
	return inum == INUM_ROOT ||
			(inum >= geo->first_ino && inum <= geo->inodes &&
					inum != geo->journal_inum &&
					inum != geo->orphan_file_inum);
}

static inline grp_t geo_grp_of_inode(const struct geo *geo, inum_t inum)
{
	return (inum - 1) / geo->ipg;
}

static inline uint32_t geo_index_of_inode(const struct geo *geo, inum_t inum)
{
	return (inum - 1) % geo->ipg;
}

static inline inum_t geo_inum_at(
		const struct geo *geo, grp_t grp, uint32_t index)
{
	return grp * geo->ipg + index + 1;
}

/* The block of the inode table (counted from its start) and the byte in it. */
static inline uint32_t geo_itable_block(const struct geo *geo, inum_t inum)
{
	return geo_index_of_inode(geo, inum) / geo->inodes_per_block;
}

static inline uint32_t geo_itable_offset(const struct geo *geo, inum_t inum)
{
	return geo_index_of_inode(geo, inum) % geo->inodes_per_block *
			geo->inode_size;
}

/* Blocks that hold superblocks, descriptors, bitmaps and inode tables. statfs
 * subtracts them, and the journal's blocks, which are not counted here. */
uint64_t geo_overhead(const struct geo *geo);

#endif /* UEXT4_DISK_GEO_H */
