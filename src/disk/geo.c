/* SPDX-License-Identifier: MIT */
/*
 * From superblock to geometry, and where the copies of metadata stand.
 *
 * Layout rules are those of the kernel's documentation (ext4/blockgroup.rst,
 * super.rst): copies in groups 0, 1 and the powers of 3, 5 and 7 under
 * sparse_super, in the two named groups under sparse_super2, else in all; a
 * meta_bg group keeps the one descriptor block of its meta group in the
 * group's first, second and last member.
 */
#include "disk/geo.h"

#include <string.h>

#include "base/csum.h"
#include "disk/dsuper.h"

#define GEO_EXTRA_ISIZE 32u                  /* all fields up to i_projid */
#define GEO_SECTORS_OLD UINT64_C(0xffffffff) /* i_blocks without huge_file */
#define GEO_LBLK_MAX    UINT64_C(0xffffffff)

static int bad(const char **ret_why, const char *why)
{
	if (ret_why)
		*ret_why = why;
	return -UEXT4_ECORRUPT;
}

/* Blocks of pointers that @n data blocks of an indirect file need. */
static uint64_t geo_indirect_blocks(uint64_t n, uint64_t per_block)
{
	uint64_t meta = 0;
	uint64_t span = per_block;

	n = n > 12 ? n - 12 : 0;
	for (unsigned level = 1; level <= 3 && n > 0; level++) {
		uint64_t here = min_u64(n, span);
		uint64_t blocks = here;

		/* A tree of @level levels over @here blocks. */
		for (unsigned i = 0; i < level; i++) {
			blocks = div_up_u64(blocks, per_block);
			meta += blocks;
		}
		n -= here;
		span *= per_block;
	}
	return meta;
}

/* The largest file of block pointers: what the tree reaches, block numbers
 * count, and i_blocks can hold. Where i_blocks is the limit a kernel takes off
 * the pointers that as many blocks would need, a few more than the file has
 * (seen from outside: 2196873666560 bytes with blocks of 4 KiB). */
static uint64_t geo_max_bitmap(const struct geo *geo)
{
	uint64_t p = geo->block_size / 4;
	uint64_t reach = min_u64(12 + p + p * p + p * p * p, GEO_LBLK_MAX);
	uint64_t room = GEO_SECTORS_OLD >> (geo->block_bits - 9);

	if (!geo_has_ro_compat(geo, FR_HUGE_FILE) &&
			reach + geo_indirect_blocks(reach, p) > room)
		reach = room - geo_indirect_blocks(room, p);
	return reach << geo->block_bits;
}

static uint64_t geo_max_extent(const struct geo *geo)
{
	uint64_t blocks = GEO_LBLK_MAX;

	if (!geo_has_ro_compat(geo, FR_HUGE_FILE))
		blocks = min_u64(blocks,
				GEO_SECTORS_OLD >> (geo->block_bits - 9));
	return blocks << geo->block_bits;
}

static void geo_init_inodes(struct geo *geo, const struct dsuper *sb)
{
	uint32_t room;

	geo->inodes = sb->inodes_count;
	geo->ipg = sb->inodes_per_group;
	geo->inode_size = sb->inode_size;
	geo->first_ino = sb->first_ino;
	geo->inodes_per_block = geo->block_size / geo->inode_size;
	geo->itb_per_group =
			(uint32_t)div_up_u64(geo->ipg, geo->inodes_per_block);

	room = geo->inode_size - 128;
	if (room == 0)
		return;
	geo->want_extra_isize = GEO_EXTRA_ISIZE;
	if (!geo_has_ro_compat(geo, FR_EXTRA_ISIZE))
		return;
	geo->min_extra_isize = sb->min_extra_isize;
	geo->want_extra_isize =
			max_of(geo->want_extra_isize, sb->want_extra_isize);
	geo->want_extra_isize =
			max_of(geo->want_extra_isize, sb->min_extra_isize);
	/* Nonsense there is no reason not to mount: take the usual. */
	if (geo->want_extra_isize > room || geo->want_extra_isize % 4 != 0)
		geo->want_extra_isize = GEO_EXTRA_ISIZE;
}

static void geo_init_names(struct geo *geo, const struct dsuper *sb)
{
	memcpy(geo->uuid, sb->uuid, sizeof(geo->uuid));
	memcpy(geo->hash_seed, sb->hash_seed, sizeof(geo->hash_seed));
	geo->def_hash_version = sb->def_hash_version;
	geo->hash_unsigned = (sb->flags & DSUPER_FLAG_UNSIGNED_HASH) != 0;
	if (geo_has_incompat(geo, FI_CSUM_SEED))
		geo->csum_seed = sb->checksum_seed;
	else
		geo->csum_seed = crc32c(CRC32C_INIT, sb->uuid, 16);
	if (geo_has_compat(geo, FC_HAS_JOURNAL))
		geo->journal_inum = sb->journal_inum;
	if (geo_has_compat(geo, FC_ORPHAN_FILE))
		geo->orphan_file_inum = sb->orphan_file_inum;
}

int geo_init(struct geo *ret_geo, const struct dsuper *sb, const char **ret_why)
{
	struct geo geo = {
		.block_bits = GEO_BLOCK_BITS_MIN + sb->log_block_size,
		.block_size = 1024u << sb->log_block_size,
		.cluster_bits = sb->log_cluster_size - sb->log_block_size,
		.blocks = sb->blocks_count,
		.bpg = sb->blocks_per_group,
		.cpg = sb->clusters_per_group,
		.first_data_block = sb->first_data_block,
		.flex_bg_size = 1,
		.reserved_gdt = sb->reserved_gdt_blocks,
		.compat = sb->feature_compat,
		.incompat = sb->feature_incompat,
		.ro_compat = sb->feature_ro_compat,
		.backup_bgs = { sb->backup_bgs[0], sb->backup_bgs[1] },
	};

	geo.groups = (grp_t)div_up_u64(
			geo.blocks - geo.first_data_block, geo.bpg);
	geo.desc_size = geo_is_64bit(&geo) ? sb->desc_size : 32;
	geo.desc_per_block = geo.block_size / geo.desc_size;
	geo.gdt_blocks = (uint32_t)div_up_u64(geo.groups, geo.desc_per_block);
	if (geo_has_incompat(&geo, FI_FLEX_BG))
		geo.flex_bg_size = 1u << sb->log_groups_per_flex;
	if (geo_has_incompat(&geo, FI_META_BG))
		geo.first_meta_bg = sb->first_meta_bg;
	geo_init_inodes(&geo, sb);
	geo_init_names(&geo, sb);
	geo.max_bytes_extent = geo_max_extent(&geo);
	geo.max_bytes_bitmap = geo_max_bitmap(&geo);

	if (geo.first_meta_bg > geo.gdt_blocks)
		return bad(ret_why, "first meta block group too large");
	/* Those before the last lie in full groups. */
	if (!geo_block_ok(&geo, geo_gdt_block(&geo, geo.gdt_blocks - 1)))
		return bad(ret_why, "group descriptors past the end");
	if (geo_grp_base_meta(&geo, 0) >= geo_grp_blocks(&geo, 0))
		return bad(ret_why, "group 0 has no room for its descriptors");
	*ret_geo = geo;
	return 0;
}

/* ---- groups ---- */

uint32_t geo_grp_blocks(const struct geo *geo, grp_t grp)
{
	pblk_t first = geo_grp_first_block(geo, grp);

	return (uint32_t)min_u64(geo->bpg, geo->blocks - first);
}

uint32_t geo_grp_clusters(const struct geo *geo, grp_t grp)
{
	return (uint32_t)div_up_u64(geo_grp_blocks(geo, grp),
			UINT64_C(1) << geo->cluster_bits);
}

static bool is_power_of(uint32_t n, uint32_t base)
{
	while (n > 1 && n % base == 0)
		n /= base;
	return n == 1;
}

bool geo_grp_has_super(const struct geo *geo, grp_t grp)
{
	if (grp == 0)
		return true;
	if (geo_has_compat(geo, FC_SPARSE_SUPER2))
		return grp == geo->backup_bgs[0] || grp == geo->backup_bgs[1];
	if (grp == 1 || !geo_has_ro_compat(geo, FR_SPARSE_SUPER))
		return true;
	return is_power_of(grp, 3) || is_power_of(grp, 5) ||
			is_power_of(grp, 7);
}

/* Do the descriptors of @grp stand in its meta group? */
static bool geo_grp_is_meta(const struct geo *geo, grp_t grp)
{
	return geo_has_incompat(geo, FI_META_BG) &&
			grp / geo->desc_per_block >= geo->first_meta_bg;
}

uint32_t geo_grp_gdt_blocks(const struct geo *geo, grp_t grp)
{
	uint32_t place = grp % geo->desc_per_block;

	if (geo_grp_is_meta(geo, grp))
		return place <= 1 || place == geo->desc_per_block - 1;
	if (!geo_grp_has_super(geo, grp))
		return 0;
	return geo_has_incompat(geo, FI_META_BG) ? geo->first_meta_bg
						 : geo->gdt_blocks;
}

uint32_t geo_grp_base_meta(const struct geo *geo, grp_t grp)
{
	uint32_t n = geo_grp_gdt_blocks(geo, grp);

	if (!geo_grp_has_super(geo, grp))
		return n;
	n++;
	if (!geo_grp_is_meta(geo, grp))
		n += geo->reserved_gdt;
	return n;
}

/* The first superblock's block, which with 1 KiB blocks and bigalloc is not
 * the first block of group 0. */
static pblk_t geo_super_block(const struct geo *geo)
{
	return geo->block_size == 1024 ? 1 : 0;
}

pblk_t geo_gdt_block(const struct geo *geo, uint32_t i)
{
	grp_t grp = i * geo->desc_per_block;
	pblk_t start;

	if (!geo_grp_is_meta(geo, grp))
		return geo_super_block(geo) + 1 + i;
	start = geo_grp_first_block(geo, grp) + geo_grp_has_super(geo, grp);
	if (grp == 0 && geo_super_block(geo) > geo->first_data_block)
		start++;
	return start;
}

pblk_t geo_gdt_backup_block(const struct geo *geo, grp_t copy_grp, uint32_t i)
{
	grp_t grp = i * geo->desc_per_block;
	pblk_t start = geo_grp_first_block(geo, copy_grp) +
			geo_grp_has_super(geo, copy_grp);

	if (copy_grp == 0 || geo_grp_gdt_blocks(geo, copy_grp) == 0)
		return 0;
	if (!geo_grp_is_meta(geo, grp))
		return geo_grp_is_meta(geo, copy_grp) ? 0 : start + i;
	/* The copies in a meta group are those of its own descriptors. */
	if (copy_grp / geo->desc_per_block != i || copy_grp == grp)
		return 0;
	return start;
}

uint64_t geo_overhead(const struct geo *geo)
{
	uint64_t n = geo->first_data_block;

	for (grp_t grp = 0; grp < geo->groups; grp++)
		n += geo_grp_base_meta(geo, grp);
	return n + (uint64_t)geo->groups * (geo->itb_per_group + 2);
}
