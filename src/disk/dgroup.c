/* SPDX-License-Identifier: MIT */
/*
 * Group descriptors: fields, checksums, and the bitmaps of groups that were
 * never written.
 *
 * Offsets are those of the kernel's documentation, ext4/group_descr.rst. It
 * says of the bitmaps' checksums that they take in the group number; images
 * made by mke2fs show that they do not (ext4/checksums.rst has it right).
 */
#include "disk/dgroup.h"

#include <string.h>

#include "base/bits.h"
#include "base/csum.h"
#include "base/le.h"
#include "disk/geo.h"

#define OFF_CSUM 0x1Eu
#define OFF_HIGH 0x20u /* where the second half begins */

static bool dgroup_has_high(const struct geo *geo)
{
	return geo->desc_size >= DGROUP_SIZE_64;
}

void dgroup_decode(const struct geo *geo, const void *raw, struct dgroup *ret_d)
{
	const uint8_t *p = (const uint8_t *)raw;
	struct dgroup d = {
		.block_bitmap = get_le32(p + 0x00),
		.inode_bitmap = get_le32(p + 0x04),
		.inode_table = get_le32(p + 0x08),
		.free_clusters = get_le16(p + 0x0C),
		.free_inodes = get_le16(p + 0x0E),
		.used_dirs = get_le16(p + 0x10),
		.flags = get_le16(p + 0x12),
		.exclude_bitmap = get_le32(p + 0x14),
		.bbm_csum = get_le16(p + 0x18),
		.ibm_csum = get_le16(p + 0x1A),
		.itable_unused = get_le16(p + 0x1C),
		.csum = get_le16(p + OFF_CSUM),
	};

	if (dgroup_has_high(geo)) {
		d.block_bitmap |= (pblk_t)get_le32(p + 0x20) << 32;
		d.inode_bitmap |= (pblk_t)get_le32(p + 0x24) << 32;
		d.inode_table |= (pblk_t)get_le32(p + 0x28) << 32;
		d.free_clusters |= (uint32_t)get_le16(p + 0x2C) << 16;
		d.free_inodes |= (uint32_t)get_le16(p + 0x2E) << 16;
		d.used_dirs |= (uint32_t)get_le16(p + 0x30) << 16;
		d.itable_unused |= (uint32_t)get_le16(p + 0x32) << 16;
		d.exclude_bitmap |= (pblk_t)get_le32(p + 0x34) << 32;
		d.bbm_csum |= (uint32_t)get_le16(p + 0x38) << 16;
		d.ibm_csum |= (uint32_t)get_le16(p + 0x3A) << 16;
	}
	if (!geo_has_group_flags(geo)) {
		d.flags = 0;
		d.itable_unused = 0;
	}
	*ret_d = d;
}

static void dgroup_encode_high(const struct dgroup *d, uint8_t *p)
{
	put_le32(p + 0x20, (uint32_t)(d->block_bitmap >> 32));
	put_le32(p + 0x24, (uint32_t)(d->inode_bitmap >> 32));
	put_le32(p + 0x28, (uint32_t)(d->inode_table >> 32));
	put_le16(p + 0x2C, (uint16_t)(d->free_clusters >> 16));
	put_le16(p + 0x2E, (uint16_t)(d->free_inodes >> 16));
	put_le16(p + 0x30, (uint16_t)(d->used_dirs >> 16));
	put_le32(p + 0x34, (uint32_t)(d->exclude_bitmap >> 32));
	put_le16(p + 0x38, (uint16_t)(d->bbm_csum >> 16));
	put_le16(p + 0x3A, (uint16_t)(d->ibm_csum >> 16));
}

void dgroup_encode(const struct geo *geo, const struct dgroup *d, void *raw)
{
	uint8_t *p = (uint8_t *)raw;

	put_le32(p + 0x00, (uint32_t)d->block_bitmap);
	put_le32(p + 0x04, (uint32_t)d->inode_bitmap);
	put_le32(p + 0x08, (uint32_t)d->inode_table);
	put_le16(p + 0x0C, (uint16_t)d->free_clusters);
	put_le16(p + 0x0E, (uint16_t)d->free_inodes);
	put_le16(p + 0x10, (uint16_t)d->used_dirs);
	put_le32(p + 0x14, (uint32_t)d->exclude_bitmap);
	put_le16(p + 0x18, (uint16_t)d->bbm_csum);
	put_le16(p + 0x1A, (uint16_t)d->ibm_csum);
	if (geo_has_group_flags(geo)) {
		put_le16(p + 0x12, (uint16_t)d->flags);
		put_le16(p + 0x1C, (uint16_t)d->itable_unused);
	}
	if (dgroup_has_high(geo)) {
		dgroup_encode_high(d, p);
		if (geo_has_group_flags(geo))
			put_le16(p + 0x32, (uint16_t)(d->itable_unused >> 16));
	}
}

/* ---- checksums ---- */

static uint16_t dgroup_csum(
		const struct geo *geo, grp_t grp, const uint8_t *raw)
{
	static const uint8_t zero[2];
	uint8_t num[4];

	put_le32(num, grp);
	if (geo_has_csum(geo) && geo->desc_size <= DGROUP_SIZE_64) {
		/* In one piece: a mount sums a hundred thousand of them. */
		uint8_t all[sizeof(num) + DGROUP_SIZE_64];

		memcpy(all, num, sizeof(num));
		memcpy(all + sizeof(num), raw, geo->desc_size);
		memset(all + sizeof(num) + OFF_CSUM, 0, sizeof(zero));
		return (uint16_t)crc32c(geo->csum_seed, all,
				sizeof(num) + geo->desc_size);
	} else if (geo_has_csum(geo)) {
		uint32_t c = crc32c(geo->csum_seed, num, sizeof(num));

		c = crc32c(c, raw, OFF_CSUM);
		c = crc32c(c, zero, sizeof(zero));
		c = crc32c(c, raw + OFF_HIGH, geo->desc_size - OFF_HIGH);
		return (uint16_t)c;
	} else {
		uint16_t c = crc16(CRC16_INIT, geo->uuid, sizeof(geo->uuid));

		/* The old sum skips its own place. */
		c = crc16(c, num, sizeof(num));
		c = crc16(c, raw, OFF_CSUM);
		return crc16(c, raw + OFF_HIGH, geo->desc_size - OFF_HIGH);
	}
}

int dgroup_csum_verify(const struct geo *geo, grp_t grp, const void *raw)
{
	const uint8_t *p = (const uint8_t *)raw;

	if (!geo_has_group_flags(geo))
		return 0;
	if (get_le16(p + OFF_CSUM) != dgroup_csum(geo, grp, p))
		return -UEXT4_EBADCSUM;
	return 0;
}

void dgroup_csum_set(const struct geo *geo, grp_t grp, void *raw)
{
	uint8_t *p = (uint8_t *)raw;

	if (geo_has_group_flags(geo))
		put_le16(p + OFF_CSUM, dgroup_csum(geo, grp, p));
}

/* As much of a bitmap's checksum as a descriptor keeps. */
static uint32_t dgroup_bitmap_csum(
		const struct geo *geo, const void *bitmap, uint32_t bits)
{
	uint32_t c = crc32c(geo->csum_seed, bitmap, (bits + 7) / 8);

	return dgroup_has_high(geo) ? c : c & 0xffffu;
}

int dgroup_bbm_csum_verify(const struct geo *geo, const struct dgroup *d,
		const void *bitmap)
{
	if (!geo_has_csum(geo))
		return 0;
	if (dgroup_bitmap_csum(geo, bitmap, geo->cpg) != d->bbm_csum)
		return -UEXT4_EBADCSUM;
	return 0;
}

int dgroup_ibm_csum_verify(const struct geo *geo, const struct dgroup *d,
		const void *bitmap)
{
	if (!geo_has_csum(geo))
		return 0;
	if (dgroup_bitmap_csum(geo, bitmap, geo->ipg) != d->ibm_csum)
		return -UEXT4_EBADCSUM;
	return 0;
}

void dgroup_bbm_csum_set(
		const struct geo *geo, struct dgroup *d, const void *bitmap)
{
	if (geo_has_csum(geo))
		d->bbm_csum = dgroup_bitmap_csum(geo, bitmap, geo->cpg);
}

void dgroup_ibm_csum_set(
		const struct geo *geo, struct dgroup *d, const void *bitmap)
{
	if (geo_has_csum(geo))
		d->ibm_csum = dgroup_bitmap_csum(geo, bitmap, geo->ipg);
}

/* ---- check ---- */

static int bad(const char **ret_why, const char *why)
{
	if (ret_why)
		*ret_why = why;
	return -UEXT4_ECORRUPT;
}

/* May [@pblk, @pblk + @n) be metadata of @grp? */
static bool dgroup_place_ok(
		const struct geo *geo, grp_t grp, pblk_t pblk, uint32_t n)
{
	pblk_t first = geo_grp_first_block(geo, grp);
	/* Superblock and descriptors, as in the first group. */
	pblk_t start0 = geo->first_data_block;
	pblk_t end0 = start0 + geo_grp_base_meta(geo, 0);

	if (!geo_range_ok(geo, pblk, n) || pblk < end0)
		return false;
	if (geo_has_incompat(geo, FI_FLEX_BG))
		return true;
	return range_is_within(
			pblk, n, first, first + geo_grp_blocks(geo, grp));
}

static bool ranges_meet(pblk_t a, uint32_t an, pblk_t b, uint32_t bn)
{
	return a < b + bn && b < a + an;
}

int dgroup_check(const struct geo *geo, grp_t grp, const struct dgroup *d,
		const char **ret_why)
{
	uint32_t itb = geo->itb_per_group;

	if (!dgroup_place_ok(geo, grp, d->block_bitmap, 1))
		return bad(ret_why, "block bitmap out of place");
	if (!dgroup_place_ok(geo, grp, d->inode_bitmap, 1))
		return bad(ret_why, "inode bitmap out of place");
	if (!dgroup_place_ok(geo, grp, d->inode_table, itb))
		return bad(ret_why, "inode table out of place");
	if (d->block_bitmap == d->inode_bitmap)
		return bad(ret_why, "two bitmaps in one block");
	if (ranges_meet(d->block_bitmap, 1, d->inode_table, itb) ||
			ranges_meet(d->inode_bitmap, 1, d->inode_table, itb))
		return bad(ret_why, "bitmap inside the inode table");
	if (d->free_clusters > geo_grp_clusters(geo, grp))
		return bad(ret_why, "more free blocks than the group has");
	if (d->free_inodes > geo->ipg)
		return bad(ret_why, "more free inodes than the group has");
	if (d->used_dirs > geo->ipg)
		return bad(ret_why, "more directories than inodes");
	if (d->itable_unused > geo->ipg)
		return bad(ret_why, "more unused inodes than the group has");
	return 0;
}

/* ---- bitmaps of groups that were never written ---- */

/* Mark those of [@pblk, @pblk + @n) that lie in @grp. */
static void bbm_mark(const struct geo *geo, grp_t grp, void *bitmap,
		pblk_t pblk, uint32_t n)
{
	pblk_t first = geo_grp_first_block(geo, grp);
	pblk_t end = first + geo_grp_blocks(geo, grp);

	for (pblk_t b = max_u64(pblk, first); b < min_u64(pblk + n, end); b++)
		bits_set(bitmap, (b - first) >> geo->cluster_bits);
}

void dgroup_bbm_init(const struct geo *geo, grp_t grp, const struct dgroup *d,
		void *bitmap)
{
	uint32_t used = geo_grp_clusters(geo, grp);

	memset(bitmap, 0, geo->block_size);
	bbm_mark(geo, grp, bitmap, geo_grp_first_block(geo, grp),
			geo_grp_base_meta(geo, grp));
	bbm_mark(geo, grp, bitmap, d->block_bitmap, 1);
	bbm_mark(geo, grp, bitmap, d->inode_bitmap, 1);
	bbm_mark(geo, grp, bitmap, d->inode_table, geo->itb_per_group);
	bits_set_range(bitmap, used, (uint64_t)geo->block_size * 8 - used);
}

void dgroup_ibm_init(const struct geo *geo, void *bitmap)
{
	memset(bitmap, 0, geo->block_size);
	bits_set_range(bitmap, geo->ipg,
			(uint64_t)geo->block_size * 8 - geo->ipg);
}
