/* SPDX-License-Identifier: MIT */
/*
 * Two judges of a superblock: the feature gate, and the check of its numbers.
 *
 * The gate speaks of file systems that are sound but not ours to write, or
 * not to read; the check of those that cannot be. What it refuses the
 * kernel's mount or e2fsck refuses as well; counters that a mount may recount
 * (free blocks, free inodes, reserved blocks) are left to their owner.
 */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "disk/dsuper.h"
#include "disk/geo.h"

#define DSUPER_OS_HURD 1u

/* ---- the gate ---- */

/* Add a name; the verdict only gets stricter, and speaks of its own kind. */
static void gate_add(struct dsuper_gate *gate, enum dsuper_mode mode,
		const char *name, const char *why)
{
	size_t len;

	if (mode < gate->mode)
		return;
	if (mode > gate->mode) {
		gate->mode = mode;
		gate->names[0] = '\0';
		gate->why = why;
	}
	len = strlen(gate->names);
	(void)snprintf(gate->names + len, sizeof(gate->names) - len, "%s%s",
			len > 0 ? ", " : "", name);
}

static void gate_bits(
		struct dsuper_gate *gate, enum dfeature_set set, uint32_t bits)
{
	for (unsigned i = 0; i < 32; i++) {
		uint32_t bit = UINT32_C(1) << i;
		const struct dfeature *f = dfeature_find(set, bit);
		char name[32];

		if (!(bits & bit))
			continue;
		(void)dfeature_names(set, bit, "", name, sizeof(name));
		switch (dfeature_rule_of(set, bit)) {
		case DFEATURE_RW:
			break;
		case DFEATURE_RO:
			gate_add(gate, DSUPER_MODE_RO, name,
					f ? f->why : "it is not known");
			break;
		case DFEATURE_REFUSE:
			gate_add(gate, DSUPER_MODE_REFUSE, name,
					f ? f->why : "it is not known");
			break;
		}
	}
}

void dsuper_gate(const struct dsuper *sb, struct dsuper_gate *ret_gate)
{
	struct dsuper_gate gate = { .mode = DSUPER_MODE_RW };
	bool dirty = (sb->feature_incompat & FI_RECOVER) != 0;
	bool journal = (sb->feature_compat & FC_HAS_JOURNAL) != 0;

	gate_bits(&gate, DFEATURE_INCOMPAT, sb->feature_incompat);
	gate_bits(&gate, DFEATURE_RO_COMPAT, sb->feature_ro_compat);
	gate_bits(&gate, DFEATURE_COMPAT, sb->feature_compat);
	if (journal && sb->journal_inum == 0)
		gate_add(&gate, dirty ? DSUPER_MODE_REFUSE : DSUPER_MODE_RO,
				"external journal",
				dirty ? "it must be replayed and is elsewhere"
				      : "the journal is on another device");
	if (dirty && !journal)
		gate_add(&gate, DSUPER_MODE_RO, "needs_recovery",
				"it must be replayed but there is no journal");
	if (sb->creator_os == DSUPER_OS_HURD)
		gate_add(&gate, DSUPER_MODE_REFUSE, "Hurd creator",
				"its inodes are laid out differently");
	if (sb->rev_level > DSUPER_REV_DYNAMIC)
		gate_add(&gate, DSUPER_MODE_REFUSE, "revision above 1",
				"it is not known");
	*ret_gate = gate;
}

/* ---- the check ---- */

static int bad(const char **ret_why, const char *why)
{
	if (ret_why)
		*ret_why = why;
	return -UEXT4_ECORRUPT;
}

static int check_sizes(const struct dsuper *sb, const char **ret_why)
{
	bool bigalloc = (sb->feature_ro_compat & FR_BIGALLOC) != 0;
	uint32_t block_size, ratio;

	if (sb->magic != DSUPER_MAGIC)
		return bad(ret_why, "no ext4 magic number");
	if (sb->log_block_size > GEO_BLOCK_BITS_MAX - GEO_BLOCK_BITS_MIN)
		return bad(ret_why, "block size above 64 KiB");
	block_size = 1024u << sb->log_block_size;
	if (!bigalloc && sb->log_cluster_size != sb->log_block_size)
		return bad(ret_why, "cluster size is not the block size");
	if (sb->log_cluster_size < sb->log_block_size ||
			sb->log_cluster_size > sb->log_block_size + 16)
		return bad(ret_why, "cluster size out of range");
	ratio = 1u << (sb->log_cluster_size - sb->log_block_size);

	if (sb->clusters_per_group == 0 || sb->clusters_per_group % 8 != 0 ||
			sb->clusters_per_group > 8 * block_size)
		return bad(ret_why, "clusters per group out of range");
	if (sb->blocks_per_group != (uint64_t)sb->clusters_per_group * ratio)
		return bad(ret_why, "blocks and clusters per group disagree");
	if (sb->inode_size < 128 || sb->inode_size > block_size ||
			!is_pow2_u64(sb->inode_size))
		return bad(ret_why, "inode size out of range");
	if (sb->inodes_per_group < block_size / sb->inode_size ||
			sb->inodes_per_group > 8 * block_size)
		return bad(ret_why, "inodes per group out of range");
	if (sb->first_ino < INUM_GOOD_OLD_FIRST)
		return bad(ret_why, "first inode below 11");
	if (sb->feature_incompat & FI_64BIT &&
			(sb->desc_size < 64 || sb->desc_size > block_size ||
					!is_pow2_u64(sb->desc_size)))
		return bad(ret_why, "descriptor size out of range");
	if (sb->reserved_gdt_blocks > block_size / 4)
		return bad(ret_why, "too many reserved descriptor blocks");
	if (sb->log_groups_per_flex > 31)
		return bad(ret_why, "flex group size out of range");
	return 0;
}

static int check_counts(const struct dsuper *sb, uint64_t dev_bytes,
		const char **ret_why)
{
	bool bigalloc = (sb->feature_ro_compat & FR_BIGALLOC) != 0;
	uint32_t block_bits = GEO_BLOCK_BITS_MIN + sb->log_block_size;
	uint32_t first = sb->log_block_size == 0 ? 1 : 0;
	uint64_t groups, inodes;

	/* With bigalloc and 1 KiB blocks group 0 starts at block 0. */
	if (sb->first_data_block != first && !(bigalloc && first == 1))
		return bad(ret_why, "first data block out of range");
	if (sb->first_data_block > 1)
		return bad(ret_why, "first data block out of range");
	if (sb->blocks_count <= (uint64_t)sb->first_data_block + 1)
		return bad(ret_why, "block count too small");
	if (sb->blocks_count > (UINT64_C(1) << 48))
		return bad(ret_why, "block count above 2^48");
	if (dev_bytes != 0 && sb->blocks_count > dev_bytes >> block_bits)
		return bad(ret_why, "more blocks than the device has");

	groups = div_up_u64(sb->blocks_count - sb->first_data_block,
			sb->blocks_per_group);
	if (!check_mul(groups, sb->inodes_per_group, &inodes) ||
			inodes != sb->inodes_count)
		return bad(ret_why, "inode count does not fit the groups");
	if (sb->inodes_count < sb->first_ino)
		return bad(ret_why, "fewer inodes than reserved ones");
	return 0;
}

/* Inode numbers that a feature promises. */
static int check_inums(const struct dsuper *sb, const char **ret_why)
{
	if (sb->feature_compat & FC_HAS_JOURNAL &&
			sb->journal_inum > sb->inodes_count)
		return bad(ret_why, "journal inode out of range");
	if (sb->feature_compat & FC_ORPHAN_FILE &&
			(sb->orphan_file_inum == 0 ||
					sb->orphan_file_inum >
							sb->inodes_count))
		return bad(ret_why, "orphan file inode out of range");
	if (!(sb->feature_compat & FC_ORPHAN_FILE) &&
			sb->feature_ro_compat & FR_ORPHAN_PRESENT)
		return bad(ret_why, "orphans present but no orphan file");
	if (sb->feature_ro_compat & FR_METADATA_CSUM &&
			sb->checksum_type != DSUPER_CSUM_CRC32C)
		return bad(ret_why, "checksum type is not crc32c");
	return 0;
}

int dsuper_check(const struct dsuper *sb, uint64_t dev_bytes,
		const char **ret_why)
{
	int ret;

	ret = check_sizes(sb, ret_why);
	if (ret < 0)
		return ret;
	ret = check_counts(sb, dev_bytes, ret_why);
	if (ret < 0)
		return ret;
	return check_inums(sb, ret_why);
}
