/* SPDX-License-Identifier: MIT */
/*
 * Feature flags: every bit that mke2fs or the kernel has a name for, and what
 * we do with a file system that carries it.
 *
 * A bit not in the table has no name: unknown compat is harmless by
 * definition of the format, unknown ro_compat forbids writing, unknown
 * incompat forbids mounting.
 */
#ifndef UEXT4_DISK_DFEATURE_H
#define UEXT4_DISK_DFEATURE_H

#include <stddef.h>
#include <stdint.h>

/* s_feature_compat */
#define FC_DIR_PREALLOC   0x0001u
#define FC_IMAGIC_INODES  0x0002u
#define FC_HAS_JOURNAL    0x0004u
#define FC_EXT_ATTR       0x0008u
#define FC_RESIZE_INODE   0x0010u
#define FC_DIR_INDEX      0x0020u
#define FC_LAZY_BG        0x0040u
#define FC_EXCLUDE_INODE  0x0080u
#define FC_EXCLUDE_BITMAP 0x0100u
#define FC_SPARSE_SUPER2  0x0200u
#define FC_FAST_COMMIT    0x0400u
#define FC_STABLE_INODES  0x0800u
#define FC_ORPHAN_FILE    0x1000u

/* s_feature_incompat */
#define FI_COMPRESSION 0x00001u
#define FI_FILETYPE    0x00002u
#define FI_RECOVER     0x00004u
#define FI_JOURNAL_DEV 0x00008u
#define FI_META_BG     0x00010u
#define FI_EXTENTS     0x00040u
#define FI_64BIT       0x00080u
#define FI_MMP         0x00100u
#define FI_FLEX_BG     0x00200u
#define FI_EA_INODE    0x00400u
#define FI_DIRDATA     0x01000u
#define FI_CSUM_SEED   0x02000u
#define FI_LARGEDIR    0x04000u
#define FI_INLINE_DATA 0x08000u
#define FI_ENCRYPT     0x10000u
#define FI_CASEFOLD    0x20000u

/* s_feature_ro_compat */
#define FR_SPARSE_SUPER   0x00001u
#define FR_LARGE_FILE     0x00002u
#define FR_BTREE_DIR      0x00004u
#define FR_HUGE_FILE      0x00008u
#define FR_GDT_CSUM       0x00010u
#define FR_DIR_NLINK      0x00020u
#define FR_EXTRA_ISIZE    0x00040u
#define FR_HAS_SNAPSHOT   0x00080u
#define FR_QUOTA          0x00100u
#define FR_BIGALLOC       0x00200u
#define FR_METADATA_CSUM  0x00400u
#define FR_REPLICA        0x00800u
#define FR_READONLY       0x01000u
#define FR_PROJECT        0x02000u
#define FR_SHARED_BLOCKS  0x04000u
#define FR_VERITY         0x08000u
#define FR_ORPHAN_PRESENT 0x10000u

enum dfeature_set {
	DFEATURE_COMPAT,
	DFEATURE_INCOMPAT,
	DFEATURE_RO_COMPAT
};

enum dfeature_rule {
	DFEATURE_RW,     /* read and written */
	DFEATURE_RO,     /* read right, never written */
	DFEATURE_REFUSE, /* not mounted at all */
};

struct dfeature {
	enum dfeature_set set;
	uint32_t bit;
	enum dfeature_rule rule;
	const char *name; /* as mke2fs -O and dumpe2fs call it */
	const char *why;  /* for RO and REFUSE: a short reason */
};

/* The whole table, for printing and for walking in tests. */
const struct dfeature *dfeature_table(size_t *ret_n);
/* The entry of one bit, NULL if nobody has named it. */
const struct dfeature *dfeature_find(enum dfeature_set set, uint32_t bit);
/* What an unnamed or named bit means for a mount. */
enum dfeature_rule dfeature_rule_of(enum dfeature_set set, uint32_t bit);
/* The names of all bits set in @bits, separated by @sep, unnamed ones as
 * FEATURE_C5 (compat), FEATURE_I20, FEATURE_R31. Cut to fit @size. Returns
 * the length the whole text would have. */
size_t dfeature_names(enum dfeature_set set, uint32_t bits, const char *sep,
		char *buf, size_t size);

#endif /* UEXT4_DISK_DFEATURE_H */
