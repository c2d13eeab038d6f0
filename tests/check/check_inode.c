/* SPDX-License-Identifier: MIT */
/*
 * Pass 1: every inode that is or could be in use.
 */
#include "check/check_int.h"

#include <errno.h>

/* What the walk over the blocks of one inode gathers for its caller. */
struct inode_blocks {
	uint64_t first;  /* disk block of the first run */
	uint64_t expect; /* directories: next block of the file */
	bool hole;       /* directories: one was missing */
	bool unwritten;  /* directories: one was unwritten */
};

void ck_inode_decode(const struct ck *c, uint32_t ino, const uint8_t *raw,
		struct ck_inode *ret_in)
{
	static const uint8_t type[16] = {
		[0x1] = CK_FT_FIFO,
		[0x2] = CK_FT_CHR,
		[0x4] = CK_FT_DIR,
		[0x6] = CK_FT_BLK,
		[0x8] = CK_FT_REG,
		[0xa] = CK_FT_LNK,
		[0xc] = CK_FT_SOCK,
	};
	struct ck_inode in = {
		.raw = raw,
		.ino = ino,
		.mode = get_le16(raw),
		.links = get_le16(raw + 0x1a),
		.dtime = get_le32(raw + 0x14),
		.flags = get_le32(raw + 0x20),
		.gen = get_le32(raw + 0x64),
		.size = get_le32(raw + 0x04) |
				(uint64_t)get_le32(raw + 0x6c) << 32,
		.blocks = get_le32(raw + 0x1c),
		.acl = get_le32(raw + 0x68),
	};

	if (ck_ro(c, CK_RO_HUGE_FILE))
		in.blocks |= (uint64_t)get_le16(raw + 0x74) << 32;
	if (ck_incompat(c, CK_INCOMPAT_64BIT))
		in.acl |= (uint64_t)get_le16(raw + 0x76) << 32;
	if (c->isize > 128)
		in.extra = get_le16(raw + 0x80);
	in.type = type[in.mode >> 12];
	in.seed = crc32c_le32(crc32c_le32(c->seed, ino), in.gen);
	*ret_in = in;
}

int ck_inode_read(struct ck *c, uint32_t ino, struct ck_inode *ret_in)
{
	uint32_t grp, idx, off;
	const uint8_t *p;

	if (ino == 0 || ino > c->inodes)
		return -EUCLEAN;
	grp = (ino - 1) / c->ipg;
	idx = (ino - 1) % c->ipg;
	off = idx << __builtin_ctz(c->isize);
	p = ck_block(c, ck_gd(c, grp).it + (off >> c->bs_bits), CK_SLOT_INODE);
	if (!p)
		return c->err;
	ck_inode_decode(c, ino, p + (off & (c->bs - 1)), ret_in);
	return 0;
}

static bool inode_is_zero(const struct ck *c, const uint8_t *raw)
{
	uint64_t any = 0;

	for (uint32_t i = 0; i < c->isize; i += 8)
		any |= get_le64(raw + i);
	return any == 0;
}

/* Has the inode room for the field of 2 (4) bytes that ends at @end? */
static bool inode_has_field(
		const struct ck *c, const struct ck_inode *in, uint32_t end)
{
	return c->isize > 128 && 128 + in->extra >= end;
}

static void inode_csum(struct ck *c, const struct ck_inode *in)
{
	static const uint8_t zero[2];
	const uint8_t *raw = in->raw;
	uint32_t want = get_le16(raw + 0x7c);
	uint32_t crc;

	crc = crc32c(in->seed, raw, 0x7c);
	crc = crc32c(crc, zero, 2);
	crc = crc32c(crc, raw + 0x7e, 2);
	if (inode_has_field(c, in, 0x84)) {
		want |= (uint32_t)get_le16(raw + 0x82) << 16;
		crc = crc32c(crc, raw + 0x80, 2);
		crc = crc32c(crc, zero, 2);
		crc = crc32c(crc, raw + 0x84, c->isize - 0x84);
	} else {
		crc = crc32c(crc, raw + 0x80, c->isize - 0x80);
		crc &= 0xffff;
	}
	if (crc != want)
		ck_problem(c, "pass1: inode %u: bad checksum", in->ino);
}

static void inode_fields(struct ck *c, const struct ck_inode *in)
{
	const uint8_t *raw = in->raw;
	uint32_t orphan = ck_ino(c, in->ino)->flags & CK_INO_ORPHAN;

	if (in->dtime && !orphan)
		ck_problem(c, "pass1: inode %u: in use, but deleted at %u",
				in->ino, in->dtime);
	if (in->type == 0)
		ck_problem(c, "pass1: inode %u: mode %#x", in->ino, in->mode);
	if (get_le32(raw + 0x70))
		ck_problem(c, "pass1: inode %u: fragment address", in->ino);
	if (!ck_ro(c, CK_RO_HUGE_FILE) && get_le16(raw + 0x74))
		ck_problem(c, "pass1: inode %u: i_blocks_hi", in->ino);
	if (!ck_incompat(c, CK_INCOMPAT_64BIT) && get_le16(raw + 0x76))
		ck_problem(c, "pass1: inode %u: i_file_acl_hi", in->ino);
	if (c->isize > 128 && in->extra &&
			(in->extra < 4 || in->extra > c->isize - 128 ||
					in->extra % 4))
		ck_problem(c, "pass1: inode %u: extra size %u", in->ino,
				in->extra);
	if (in->size >> 32 && in->type != CK_FT_REG &&
			(in->type != CK_FT_DIR ||
					!ck_incompat(c, CK_INCOMPAT_LARGEDIR)))
		ck_problem(c, "pass1: inode %u: i_size_high", in->ino);
	if (in->size >> 31 && in->type == CK_FT_REG &&
			!ck_ro(c, CK_RO_LARGE_FILE))
		ck_problem(c, "pass1: inode %u: size %ju without large_file",
				in->ino, (uintmax_t)in->size);
}

static int inode_flags(struct ck *c, const struct ck_inode *in)
{
	if (in->flags &
			(CK_FL_INLINE | CK_FL_EA_INODE | CK_FL_ENCRYPT |
					CK_FL_CASEFOLD | CK_FL_COMPRBLK)) {
		ck_problem(c, "pass1: inode %u: unknown flags %#x", in->ino,
				in->flags);
		/* A stray flag is damage; a file system that says so is not. */
		if (ck_incompat(c, CK_INCOMPAT_INLINE_DATA) &&
				(in->flags & CK_FL_INLINE))
			return -EOPNOTSUPP;
	}
	if (in->flags & CK_FL_IMAGIC)
		ck_problem(c, "pass1: inode %u: imagic flag", in->ino);
	if ((in->flags & CK_FL_EXTENTS) && !ck_incompat(c, CK_INCOMPAT_EXTENTS))
		ck_problem(c, "pass1: inode %u: extents without the feature",
				in->ino);
	if ((in->flags & CK_FL_INDEX) &&
			(in->type != CK_FT_DIR ||
					!ck_compat(c, CK_COMPAT_DIR_INDEX)))
		ck_problem(c, "pass1: inode %u: index flag", in->ino);
	if ((in->flags & CK_FL_HUGE_FILE) && !ck_ro(c, CK_RO_HUGE_FILE))
		ck_problem(c, "pass1: inode %u: huge_file flag", in->ino);
	if ((in->flags & (CK_FL_IMMUTABLE | CK_FL_APPEND)) &&
			in->type != CK_FT_REG && in->type != CK_FT_DIR)
		ck_problem(c, "pass1: inode %u: immutable or append-only",
				in->ino);
	return 0;
}

static int inode_dir_run(struct ck *c, struct inode_blocks *b,
		const struct check_run *run)
{
	if (run->unwritten)
		b->unwritten = true;
	if (run->lblk != b->expect)
		b->hole = true;
	b->expect = (uint64_t)run->lblk + run->len;
	if (!ck_grow(c, &c->dblks, &c->cap_dblks, c->ndblks + run->len,
			    sizeof(*c->dblks)))
		return c->err;
	for (uint32_t i = 0; i < run->len; i++)
		c->dblks[c->ndblks++] = run->pblk + i;
	return 0;
}

static int inode_run(struct ck_map *m, const struct check_run *run)
{
	struct inode_blocks *b = m->arg;
	struct ck *c = m->c;

	if (b->first == 0)
		b->first = run->pblk;
	if (m->in->type == CK_FT_DIR)
		return inode_dir_run(c, b, run);
	if (!(c->flags & CHECK_F_CANARY) || run->unwritten ||
			m->in->ino == CK_JOURNAL_INO)
		return 0;
	for (uint32_t i = 0; i < run->len; i++) {
		const uint8_t *p = ck_block(c, run->pblk + i, CK_SLOT_DATA);

		if (!p)
			return c->err;
		ck_canary(c, run->pblk + i, p, c->bs, "data", m->in->ino);
	}
	return 0;
}

static void inode_dir(struct ck *c, const struct ck_inode *in,
		const struct ck_map *m, uint32_t first)
{
	const struct inode_blocks *b = m->arg;

	c->grp_dirs[(in->ino - 1) / c->ipg]++;
	if (in->links == 0) {
		/* An orphan: cut to nothing, its blocks still to be freed. */
		c->ndblks = first;
		return;
	}
	if (b->hole || b->unwritten)
		ck_problem(c, "pass1: directory %u: %s block", in->ino,
				b->hole ? "missing" : "unwritten");
	if (m->end == 0 || in->size != m->end << c->bs_bits)
		ck_problem(c, "pass1: directory %u: size %ju of %ju blocks",
				in->ino, (uintmax_t)in->size,
				(uintmax_t)m->end);
	if (!ck_grow(c, &c->dirs, &c->cap_dirs, c->ndirs + 1, sizeof(*c->dirs)))
		return;
	c->dirs[c->ndirs++] = (struct ck_dir){
		.ino = in->ino,
		.seed = in->seed,
		.first = first,
		.count = c->ndblks - first,
		.index = (in->flags & CK_FL_INDEX) &&
				ck_compat(c, CK_COMPAT_DIR_INDEX),
	};
	c->rep->dirs++;
}

/* The largest size the mapping can describe. */
static uint64_t inode_max_size(const struct ck *c, const struct ck_inode *in)
{
	uint64_t apb = c->bs / 4;

	if (in->flags & CK_FL_EXTENTS)
		return ((1ULL << 32) - 1) << c->bs_bits;
	return (12 + apb + apb * apb + apb * apb * apb) << c->bs_bits;
}

static void inode_size(
		struct ck *c, const struct ck_inode *in, const struct ck_map *m)
{
	uint64_t need = (in->size + c->bs - 1) >> c->bs_bits;

	if (ck_ino(c, in->ino)->flags & CK_INO_ORPHAN)
		return; /* a truncate that was cut may leave blocks behind */
	if (in->type == CK_FT_REG && in->size > inode_max_size(c, in))
		ck_problem(c, "pass1: inode %u: size %ju is too large", in->ino,
				(uintmax_t)in->size);
	if (in->ino == CK_JOURNAL_INO)
		return; /* its own superblock counts; old ones are off by one */
	if (in->type == CK_FT_REG && m->end_written > need)
		ck_problem(c,
				"pass1: inode %u: size %ju, but written to "
				"block %ju",
				in->ino, (uintmax_t)in->size,
				(uintmax_t)m->end_written);
}

static void inode_count(struct ck *c, const struct ck_inode *in, uint64_t nblk)
{
	uint64_t want = nblk;

	if (!(in->flags & CK_FL_HUGE_FILE) || !ck_ro(c, CK_RO_HUGE_FILE))
		want = nblk << (c->bs_bits - 9);
	if (in->blocks != want)
		ck_problem(c, "pass1: inode %u: i_blocks is %ju, not %ju",
				in->ino, (uintmax_t)in->blocks,
				(uintmax_t)want);
}

/* Blocks of files, directories and slow symbolic links. */
static void inode_blocks(struct ck *c, const struct ck_inode *in, bool acl)
{
	struct inode_blocks b = { 0 };
	struct ck_map m = {
		.c = c,
		.in = in,
		.claim = true,
		.run = inode_run,
		.arg = &b,
	};
	uint32_t first = c->ndblks;

	if (in->type == CK_FT_LNK && ck_is_fast_symlink(c, in)) {
		ck_symlink(c, in, 0, 0);
	} else if (in->type == CK_FT_REG || in->type == CK_FT_DIR ||
			in->type == CK_FT_LNK) {
		ck_map_walk(&m);
		if (c->err)
			return;
		if (in->type == CK_FT_LNK && !m.bad)
			ck_symlink(c, in, b.first, m.end);
	} else {
		ck_device(c, in);
	}
	if (in->type == CK_FT_DIR)
		inode_dir(c, in, &m, first);
	else
		inode_size(c, in, &m);
	if (!m.bad)
		inode_count(c, in, m.nblocks + acl);
	if (in->ino == CK_JOURNAL_INO && !m.bad)
		ck_journal(c, in, &m, b.first);
}

static int inode_check(struct ck *c, const struct ck_inode *in)
{
	struct ck_ino *info = ck_ino(c, in->ino);
	int acl, ret;

	info->flags |= CK_INO_USED;
	info->type = in->type;
	info->links = (uint16_t)in->links;
	inode_fields(c, in);
	ret = inode_flags(c, in);
	if (ret < 0)
		return ret;
	if (in->type != CK_FT_DIR)
		c->rep->files++;
	ck_canary(c, 0, in->raw, c->isize, "inode", in->ino);
	ret = ck_xattr_inode(c, in);
	acl = in->acl ? ck_xattr_block(c, in) : 0;
	inode_blocks(c, in, acl > 0);
	return c->err ? c->err : ret;
}

/* The inodes below first_ino, but for the root. */
static int inode_special(struct ck *c, const struct ck_inode *in)
{
	ck_ino(c, in->ino)->flags |= CK_INO_USED | CK_INO_HIDDEN;
	if (in->ino == CK_RESIZE_INO && ck_compat(c, CK_COMPAT_RESIZE_INODE)) {
		ck_resize_inode(c, in);
		return c->err;
	}
	if (in->ino == CK_JOURNAL_INO && ck_compat(c, CK_COMPAT_HAS_JOURNAL)) {
		int ret = inode_check(c, in);

		ck_ino(c, in->ino)->flags |= CK_INO_HIDDEN;
		return ret;
	}
	ck_reserved(c, in);
	return 0;
}

static int inode_one(struct ck *c, uint32_t ino, const uint8_t *raw)
{
	bool special = ino < c->first_ino && ino != CK_ROOT_INO;
	struct ck_ino *info = ck_ino(c, ino);
	struct ck_inode in;

	if (!special && get_le16(raw + 0x1a) == 0 && inode_is_zero(c, raw) &&
			ino != CK_ROOT_INO && !(info->flags & CK_INO_ORPHAN))
		return 0;
	ck_inode_decode(c, ino, raw, &in);
	if (c->has_csum && !inode_is_zero(c, raw))
		inode_csum(c, &in);
	if (special)
		return inode_special(c, &in);
	if (ino == CK_ROOT_INO && in.type != CK_FT_DIR)
		ck_problem(c, "pass1: the root is not a directory");
	if (in.links == 0 && !(info->flags & CK_INO_ORPHAN)) {
		if (in.mode && in.dtime == 0)
			ck_problem(c, "pass1: inode %u: deleted, but no dtime",
					ino);
		return 0;
	}
	if (ino == c->orphan_ino)
		info->flags |= CK_INO_HIDDEN;
	return inode_check(c, &in);
}

static int inode_group(struct ck *c, uint32_t grp)
{
	struct ck_gd gd = ck_gd(c, grp);
	uint32_t per = c->bs / c->isize;
	uint32_t n = c->ipg;

	if (c->has_uninit) {
		if (gd.flags & CK_BG_INODE_UNINIT)
			n = 0;
		else
			n -= gd.unused < n ? gd.unused : n;
	}
	for (uint32_t i = 0; i < n; i += per) {
		const uint8_t *p = ck_block(c, gd.it + i / per, CK_SLOT_ITABLE);

		if (!p)
			return c->err;
		for (uint32_t k = 0; k < per && i + k < n; k++) {
			int ret = inode_one(c, grp * c->ipg + i + k + 1,
					p + (size_t)k * c->isize);

			if (ret < 0)
				return ret;
		}
	}
	return 0;
}

int ck_inodes(struct ck *c)
{
	int ret = 0;

	for (uint32_t i = 1; i < c->first_ino; i++)
		ck_ino(c, i)->flags |= CK_INO_USED | CK_INO_HIDDEN;
	ck_ino(c, CK_ROOT_INO)->flags = 0;
	for (uint32_t grp = 0; grp < c->groups && ret == 0; grp++)
		ret = inode_group(c, grp);
	return ret;
}
