/* SPDX-License-Identifier: MIT */
/*
 * Inside the checker: one context per call, one file per pass.
 *
 * The order of a check (check.c):
 *	super	geometry, features, descriptors; claims all metadata blocks
 *	orphan	marks the inodes of the orphan list and the orphan file
 *	inode	pass 1: every inode in use; claims its blocks; lists directories
 *	dir	pass 2: every directory block; counts links
 *	conn	pass 3 and 4: reachable from the root, link counts
 *	bitmap	pass 5: bitmaps and counters against what was claimed
 *
 * Rules    (K4) A block is looked into only after it was claimed by the one
 *               who looks, so no walk can loop (K2).
 *          (K5) A function that returns NULL or a negative errno has set
 *               c->err; passes end when c->err is set.
 */
#ifndef UEXT4_TESTS_CHECK_INT_H
#define UEXT4_TESTS_CHECK_INT_H

#include "check/check.h"

#include "base/bits.h"
#include "base/csum.h"
#include "base/le.h"

#define CK_ROOT_INO    2u
#define CK_BOOT_INO    5u
#define CK_RESIZE_INO  7u
#define CK_JOURNAL_INO 8u

/* Feature words, by the names of mke2fs. */
#define CK_COMPAT_HAS_JOURNAL   0x0004u
#define CK_COMPAT_EXT_ATTR      0x0008u
#define CK_COMPAT_RESIZE_INODE  0x0010u
#define CK_COMPAT_DIR_INDEX     0x0020u
#define CK_COMPAT_SPARSE_SUPER2 0x0200u
#define CK_COMPAT_ORPHAN_FILE   0x1000u

#define CK_INCOMPAT_FILETYPE    0x0002u
#define CK_INCOMPAT_RECOVER     0x0004u
#define CK_INCOMPAT_META_BG     0x0010u
#define CK_INCOMPAT_EXTENTS     0x0040u
#define CK_INCOMPAT_64BIT       0x0080u
#define CK_INCOMPAT_MMP         0x0100u
#define CK_INCOMPAT_FLEX_BG     0x0200u
#define CK_INCOMPAT_CSUM_SEED   0x2000u
#define CK_INCOMPAT_LARGEDIR    0x4000u
#define CK_INCOMPAT_INLINE_DATA 0x8000u

#define CK_RO_SPARSE_SUPER   0x0001u
#define CK_RO_LARGE_FILE     0x0002u
#define CK_RO_HUGE_FILE      0x0008u
#define CK_RO_GDT_CSUM       0x0010u
#define CK_RO_DIR_NLINK      0x0020u
#define CK_RO_EXTRA_ISIZE    0x0040u
#define CK_RO_METADATA_CSUM  0x0400u
#define CK_RO_ORPHAN_PRESENT 0x10000u

/* Group flags. */
#define CK_BG_INODE_UNINIT 0x1u
#define CK_BG_BLOCK_UNINIT 0x2u
#define CK_BG_ZEROED       0x4u

/* Inode flags. */
#define CK_FL_COMPRBLK  0x00000200u
#define CK_FL_IMMUTABLE 0x00000010u
#define CK_FL_APPEND    0x00000020u
#define CK_FL_ENCRYPT   0x00000800u
#define CK_FL_INDEX     0x00001000u
#define CK_FL_IMAGIC    0x00002000u
#define CK_FL_HUGE_FILE 0x00040000u
#define CK_FL_EXTENTS   0x00080000u
#define CK_FL_VERITY    0x00100000u
#define CK_FL_EA_INODE  0x00200000u
#define CK_FL_INLINE    0x10000000u
#define CK_FL_CASEFOLD  0x40000000u

/* Types in directory entries. */
#define CK_FT_REG  1
#define CK_FT_DIR  2
#define CK_FT_CHR  3
#define CK_FT_BLK  4
#define CK_FT_FIFO 5
#define CK_FT_SOCK 6
#define CK_FT_LNK  7
#define CK_FT_CSUM 0xde

/* Scratch buffers for images that are not in memory. */
enum ck_slot {
	CK_SLOT_BITMAP,
	CK_SLOT_ITABLE,
	CK_SLOT_INODE,
	CK_SLOT_DIR,
	CK_SLOT_INDEX,
	CK_SLOT_XATTR,
	CK_SLOT_DATA,
	CK_SLOT_MAP, /* one for each level of a tree */
	CK_SLOTS = CK_SLOT_MAP + 6,
};

#define CK_INO_USED   0x01
#define CK_INO_ORPHAN 0x02 /* in the orphan list or file */
#define CK_INO_REACH  0x04 /* known to hang from the root */
#define CK_INO_HIDDEN 0x08 /* in use, with no name by design */

/* What later passes need to know of an inode. */
struct ck_ino {
	uint32_t parent; /* directories: who names it */
	uint32_t dotdot; /* directories: what its ".." says */
	uint32_t found;  /* names seen */
	uint16_t links;  /* i_links_count */
	uint8_t type;    /* CK_FT_*, 0 unknown */
	uint8_t flags;   /* CK_INO_* */
};

struct ck_dir {
	uint32_t ino;
	uint32_t seed;  /* of its checksums */
	uint32_t first; /* index into dblks */
	uint32_t count;
	bool index;
};

struct ck_xblk {
	uint64_t pblk; /* 0: empty slot */
	uint32_t refs; /* as the block says */
	uint32_t seen;
};

/* A group descriptor, decoded. */
struct ck_gd {
	uint64_t bb, ib, it;
	uint32_t free_blocks, free_inodes, dirs, unused;
	uint32_t bb_csum, ib_csum;
	uint16_t flags, csum;
};

struct ck {
	const struct check_dev *dev;
	const struct check_opts *opts;
	struct check_report *rep;
	unsigned int flags; /* CHECK_F_* */
	int err;

	uint8_t sb[1024];
	uint64_t blocks;
	uint32_t bs, bs_bits, first_data, bpg, ipg, groups, inodes;
	uint32_t isize, first_ino, itb, desc_size, gdt_blocks, rsv_gdt;
	uint32_t compat, incompat, ro;
	uint32_t seed;
	uint32_t orphan_ino; /* the orphan file, or 0 */
	bool has_csum;       /* metadata_csum */
	bool has_uninit;     /* group flags mean something */

	uint8_t *gdt;      /* all descriptors, packed */
	uint8_t *used;     /* claimed blocks; bit 0 is first_data */
	uint64_t used_len; /* bytes, with slack for whole words */
	struct ck_ino *ino;
	uint32_t *grp_dirs; /* directories per group */

	struct ck_dir *dirs;
	uint32_t ndirs, cap_dirs;
	uint64_t *dblks; /* their blocks */
	uint32_t ndblks, cap_dblks;

	struct ck_xblk *xblks; /* attribute blocks, hashed */
	uint32_t nxblks, cap_xblks;

	uint64_t *names; /* hashes of the names of one directory */
	uint32_t nnames, cap_names;

	uint8_t *scratch[CK_SLOTS];
};

/* One inode, decoded. @raw points at its c->isize bytes. */
struct ck_inode {
	const uint8_t *raw;
	uint32_t ino, mode, flags, gen, links, dtime, seed;
	uint64_t size, blocks, acl;
	uint32_t extra; /* i_extra_isize */
	uint8_t type;
};

/* A walk over the mapping of one inode. */
struct ck_map {
	struct ck *c;
	const struct ck_inode *in;
	bool claim; /* check, claim and report; else read in silence */
	bool bad;
	int stop;         /* what run() returned */
	uint64_t nblocks; /* claimed, metadata of the tree included */
	uint64_t end;     /* first block behind the last mapped one */
	uint64_t end_written;
	uint64_t mapped; /* data blocks */
	/* Called for each run; non-zero ends the walk. */
	int (*run)(struct ck_map *m, const struct check_run *run);
	void *arg;
	struct check_run pend; /* indirect trees: run being gathered */
};

static inline bool ck_compat(const struct ck *c, uint32_t f)
{
	return (c->compat & f) != 0;
}

static inline bool ck_incompat(const struct ck *c, uint32_t f)
{
	return (c->incompat & f) != 0;
}

static inline bool ck_ro(const struct ck *c, uint32_t f)
{
	return (c->ro & f) != 0;
}

static inline struct ck_ino *ck_ino(struct ck *c, uint32_t ino)
{
	return &c->ino[ino - 1];
}

/* check.c */
void ck_problem(struct ck *c, const char *fmt, ...)
		__attribute__((format(printf, 2, 3)));
int ck_init(struct ck *c, const struct check_dev *dev,
		const struct check_opts *opts, struct check_report *rep);
int ck_alloc(struct ck *c);
void ck_fini(struct ck *c);
int ck_read(struct ck *c, uint64_t pos, void *buf, size_t len);
const uint8_t *ck_block(struct ck *c, uint64_t pblk, unsigned int slot);
bool ck_grow(struct ck *c, void *array, uint32_t *cap, uint32_t need,
		size_t size);
bool ck_claim(struct ck *c, uint64_t pblk, uint64_t len, const char *who,
		uint32_t ino);
bool ck_in_range(const struct ck *c, uint64_t pblk, uint64_t len);
/* All passes; check_fs() and check_fill_free() share it. */
int ck_run(struct ck *c);

/* check_super.c */
int ck_super_load(struct ck *c);
int ck_super(struct ck *c);

/* check_group.c */
struct ck_gd ck_gd(const struct ck *c, uint32_t grp);
bool ck_has_super(const struct ck *c, uint32_t grp);
int ck_gdt_load(struct ck *c);
int ck_groups(struct ck *c);
/* How many of its own blocks are the group's own metadata. */
uint32_t ck_group_own(const struct ck *c, uint32_t grp);

/* check_orphan.c */
int ck_orphans(struct ck *c);

/* check_inode.c */
int ck_inodes(struct ck *c);
void ck_inode_decode(const struct ck *c, uint32_t ino, const uint8_t *raw,
		struct ck_inode *ret_in);
/* -EUCLEAN if @ino is not a number of the inode table. */
int ck_inode_read(struct ck *c, uint32_t ino, struct ck_inode *ret_in);

/* check_special.c */
bool ck_is_fast_symlink(const struct ck *c, const struct ck_inode *in);
void ck_symlink(struct ck *c, const struct ck_inode *in, uint64_t pblk,
		uint64_t end);
void ck_device(struct ck *c, const struct ck_inode *in);
void ck_reserved(struct ck *c, const struct ck_inode *in);
void ck_resize_inode(struct ck *c, const struct ck_inode *in);
int ck_mmp(struct ck *c);
void ck_journal(struct ck *c, const struct ck_inode *in, const struct ck_map *m,
		uint64_t pblk);

/* check_extent.c */
int ck_map_walk(struct ck_map *m);
int ck_map_run(struct ck_map *m, const struct check_run *run);
void ck_map_problem(struct ck_map *m, const char *what, uint64_t a, uint64_t b);

/* check_indirect.c */
int ck_indirect_walk(struct ck_map *m);

/* check_xattr.c */
int ck_xattr_inode(struct ck *c, const struct ck_inode *in);
int ck_xattr_block(struct ck *c, const struct ck_inode *in);
int ck_xattr_refs(struct ck *c);

/* check_dir.c */
int ck_dirs(struct ck *c);
uint32_t ck_rec_len(const struct ck *c, const uint8_t *de);

/* check_htree.c */
struct ck_leaf {
	uint32_t lo, hi; /* hashes h with lo <= h < hi; hi 0: no limit */
	uint8_t role;    /* 0 not seen, 1 index, 2 leaf */
};
int ck_htree(struct ck *c, const struct ck_dir *d, struct ck_leaf *leaf,
		uint8_t *ret_version);
uint32_t ck_hash(const struct ck *c, uint8_t version, const uint8_t *name,
		unsigned int len);

/* check_conn.c */
int ck_connect(struct ck *c);

/* check_bitmap.c */
int ck_bitmaps(struct ck *c);

/* check_canary.c */
void ck_canary(struct ck *c, uint64_t pblk, const void *data, size_t len,
		const char *what, uint32_t ino);

#endif
