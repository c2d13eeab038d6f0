/* SPDX-License-Identifier: MIT */
/*
 * The table of feature flags and what it says to a mount.
 *
 * Bits and meanings are those of the kernel's documentation (ext4/super.rst)
 * and the names those that mke2fs -O takes and dumpe2fs prints. A feature is
 * DFEATURE_RO only where all of its files can be read right; where a reader
 * that ignores it would show garbled names or data, it is refused.
 */
#include "disk/dfeature.h"

#include <stdio.h>

#include "base/err.h"

#define COMPAT(bit, rule, name, why)                                           \
 {                                                                             \
  DFEATURE_COMPAT, bit, DFEATURE_##rule, name, why                             \
 }
#define INCOMPAT(bit, rule, name, why)                                         \
 {                                                                             \
  DFEATURE_INCOMPAT, bit, DFEATURE_##rule, name, why                           \
 }
#define RO_COMPAT(bit, rule, name, why)                                        \
 {                                                                             \
  DFEATURE_RO_COMPAT, bit, DFEATURE_##rule, name, why                          \
 }

static const struct dfeature dfeature_list[] = {
	COMPAT(FC_DIR_PREALLOC, RW, "dir_prealloc", NULL),
	COMPAT(FC_IMAGIC_INODES, RW, "imagic_inodes", NULL),
	COMPAT(FC_HAS_JOURNAL, RW, "has_journal", NULL),
	COMPAT(FC_EXT_ATTR, RW, "ext_attr", NULL),
	COMPAT(FC_RESIZE_INODE, RW, "resize_inode", NULL),
	COMPAT(FC_DIR_INDEX, RW, "dir_index", NULL),
	COMPAT(FC_LAZY_BG, RO, "lazy_bg", "its unused groups are not known"),
	COMPAT(FC_EXCLUDE_INODE, RO, "exclude_inode",
			"snapshots would not be kept right"),
	COMPAT(FC_EXCLUDE_BITMAP, RO, "snapshot_bitmap",
			"snapshots would not be kept right"),
	COMPAT(FC_SPARSE_SUPER2, RW, "sparse_super2", NULL),
	COMPAT(FC_FAST_COMMIT, RO, "fast_commit",
			"fast commits are not written"),
	COMPAT(FC_STABLE_INODES, RW, "stable_inodes", NULL),
	COMPAT(FC_ORPHAN_FILE, RW, "orphan_file", NULL),

	INCOMPAT(FI_COMPRESSION, REFUSE, "compression",
			"compressed files cannot be read"),
	INCOMPAT(FI_FILETYPE, RW, "filetype", NULL),
	INCOMPAT(FI_RECOVER, RW, "needs_recovery", NULL),
	INCOMPAT(FI_JOURNAL_DEV, REFUSE, "journal_dev",
			"this is a journal, not a file system"),
	INCOMPAT(FI_META_BG, RO, "meta_bg",
			"its group descriptors are not written"),
	INCOMPAT(FI_EXTENTS, RW, "extent", NULL),
	INCOMPAT(FI_64BIT, RW, "64bit", NULL),
	INCOMPAT(FI_MMP, RW, "mmp", NULL),
	INCOMPAT(FI_FLEX_BG, RW, "flex_bg", NULL),
	INCOMPAT(FI_EA_INODE, RO, "ea_inode",
			"attribute values in inodes are not written"),
	INCOMPAT(FI_DIRDATA, REFUSE, "dirdata",
			"its directory entries cannot be read"),
	INCOMPAT(FI_CSUM_SEED, RW, "metadata_csum_seed", NULL),
	INCOMPAT(FI_LARGEDIR, RO, "large_dir",
			"three-level directories are not written"),
	INCOMPAT(FI_INLINE_DATA, RO, "inline_data",
			"data inside inodes is not written"),
	INCOMPAT(FI_ENCRYPT, REFUSE, "encrypt",
			"encrypted names and data cannot be read"),
	INCOMPAT(FI_CASEFOLD, REFUSE, "casefold",
			"names that ignore case cannot be looked up"),

	RO_COMPAT(FR_SPARSE_SUPER, RW, "sparse_super", NULL),
	RO_COMPAT(FR_LARGE_FILE, RW, "large_file", NULL),
	RO_COMPAT(FR_BTREE_DIR, RO, "btree_dir", "it is not known"),
	RO_COMPAT(FR_HUGE_FILE, RW, "huge_file", NULL),
	RO_COMPAT(FR_GDT_CSUM, RW, "uninit_bg", NULL),
	RO_COMPAT(FR_DIR_NLINK, RW, "dir_nlink", NULL),
	RO_COMPAT(FR_EXTRA_ISIZE, RW, "extra_isize", NULL),
	RO_COMPAT(FR_HAS_SNAPSHOT, RO, "snapshot",
			"snapshots would not be kept right"),
	RO_COMPAT(FR_QUOTA, RO, "quota", "usage would drift from the truth"),
	RO_COMPAT(FR_BIGALLOC, RO, "bigalloc",
			"space is not allocated in clusters"),
	RO_COMPAT(FR_METADATA_CSUM, RW, "metadata_csum", NULL),
	RO_COMPAT(FR_REPLICA, RO, "replica", "it is not known"),
	RO_COMPAT(FR_READONLY, RO, "read-only", "it says so itself"),
	RO_COMPAT(FR_PROJECT, RO, "project",
			"usage would drift from the truth"),
	RO_COMPAT(FR_SHARED_BLOCKS, RO, "shared_blocks",
			"files share blocks, so none may be written"),
	RO_COMPAT(FR_VERITY, RO, "verity", "sealed files are not kept sealed"),
	RO_COMPAT(FR_ORPHAN_PRESENT, RW, "orphan_present", NULL),
};

const struct dfeature *dfeature_table(size_t *ret_n)
{
	*ret_n = array_len(dfeature_list);
	return dfeature_list;
}

const struct dfeature *dfeature_find(enum dfeature_set set, uint32_t bit)
{
	for (size_t i = 0; i < array_len(dfeature_list); i++) {
		if (dfeature_list[i].set == set && dfeature_list[i].bit == bit)
			return &dfeature_list[i];
	}
	return NULL;
}

enum dfeature_rule dfeature_rule_of(enum dfeature_set set, uint32_t bit)
{
	static const enum dfeature_rule unnamed[] = {
		[DFEATURE_COMPAT] = DFEATURE_RW,
		[DFEATURE_INCOMPAT] = DFEATURE_REFUSE,
		[DFEATURE_RO_COMPAT] = DFEATURE_RO,
	};
	const struct dfeature *f = dfeature_find(set, bit);

	return f ? f->rule : unnamed[set];
}

size_t dfeature_names(enum dfeature_set set, uint32_t bits, const char *sep,
		char *buf, size_t size)
{
	static const char letter[] = { 'C', 'I', 'R' };
	size_t len = 0;

	if (size > 0)
		buf[0] = '\0';
	for (unsigned i = 0; i < 32; i++) {
		const struct dfeature *f;
		char number[16];
		int n;

		if (!(bits & (UINT32_C(1) << i)))
			continue;
		f = dfeature_find(set, UINT32_C(1) << i);
		(void)snprintf(number, sizeof(number), "FEATURE_%c%u",
				letter[set], i);
		n = snprintf(len < size ? buf + len : NULL,
				len < size ? size - len : 0, "%s%s",
				len > 0 ? sep : "", f ? f->name : number);
		len += n > 0 ? (size_t)n : 0;
	}
	return len;
}
