/* SPDX-License-Identifier: MIT */
/*
 * Pass 1, the inodes with a shape of their own: symbolic links, devices,
 * the reserved numbers, the resize inode and the journal.
 */
#include "check/check_int.h"

#include <errno.h>

static const uint8_t *special_iblock(const struct ck_inode *in)
{
	return in->raw + 0x28;
}

static bool special_any(const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (p[i])
			return true;
	return false;
}

bool ck_is_fast_symlink(const struct ck *c, const struct ck_inode *in)
{
	return in->type == CK_FT_LNK && !(in->flags & CK_FL_EXTENTS) &&
			in->size < 60;
}

/* @pblk: the first block of a slow link; @end: where its mapping ends. */
void ck_symlink(struct ck *c, const struct ck_inode *in, uint64_t pblk,
		uint64_t end)
{
	const uint8_t *p = special_iblock(in);
	size_t room = 60;

	if (end) {
		p = ck_block(c, pblk, CK_SLOT_DATA);
		if (!p)
			return;
		room = c->bs;
	}
	if (end > 1 || (end == 0 && !ck_is_fast_symlink(c, in)))
		ck_problem(c, "pass1: symlink %u: %ju blocks", in->ino,
				(uintmax_t)end);
	else if (in->size == 0 || in->size >= room ||
			strnlen((const char *)p, room) != in->size)
		ck_problem(c, "pass1: symlink %u: size %ju is not its length",
				in->ino, (uintmax_t)in->size);
}

void ck_device(struct ck *c, const struct ck_inode *in)
{
	if (in->type == 0)
		return; /* already reported */
	if (in->size)
		ck_problem(c, "pass1: special file %u: size %ju", in->ino,
				(uintmax_t)in->size);
	if (in->flags & (CK_FL_EXTENTS | CK_FL_INDEX))
		ck_problem(c, "pass1: special file %u: flags %#x", in->ino,
				in->flags);
	if (special_any(special_iblock(in) + 16, 44))
		ck_problem(c, "pass1: special file %u: maps blocks", in->ino);
}

static int special_no_run(struct ck_map *m, const struct check_run *run)
{
	return 0;
}

/* A reserved inode nobody uses; only the list of bad blocks may map any. */
void ck_reserved(struct ck *c, const struct ck_inode *in)
{
	bool mode_ok = in->mode == 0 ||
			(in->ino == CK_BOOT_INO && in->type == CK_FT_REG);
	struct ck_map m = {
		.c = c,
		.in = in,
		.claim = true,
		.run = special_no_run,
	};

	if (!mode_ok ||
			(in->ino == 1 &&
					(in->links || in->acl || in->dtime ||
							in->flags ||
							get_le16(in->raw + 2) ||
							get_le16(in->raw +
									0x18))))
		ck_problem(c, "pass1: reserved inode %u: mode %#x", in->ino,
				in->mode);
	if (!special_any(special_iblock(in), 60) && in->blocks == 0 &&
			in->size == 0 && in->acl == 0 && in->dtime == 0 &&
			in->links == 0 && in->flags == 0)
		return;
	if (in->ino != 1 && (in->ino != CK_BOOT_INO || in->mode == 0)) {
		ck_problem(c, "pass1: reserved inode %u: not empty", in->ino);
		return;
	}
	ck_map_walk(&m);
	if (!m.bad && in->blocks != m.nblocks << (c->bs_bits - 9))
		ck_problem(c, "pass1: reserved inode %u: i_blocks is %ju",
				in->ino, (uintmax_t)in->blocks);
}

/*
 * One reserved descriptor block: the indirect block of the copies of itself.
 * Returns the number of copies.
 */
static uint32_t special_resize_one(struct ck *c, uint64_t pblk)
{
	const uint8_t *p = ck_block(c, pblk, CK_SLOT_MAP);
	uint32_t n = 0;

	if (!p)
		return 0;
	for (uint32_t grp = 1; grp < c->groups && n < c->bs / 4; grp++) {
		if (!ck_has_super(c, grp))
			continue;
		if (get_le32(p + 4 * (size_t)n) !=
				pblk + (uint64_t)grp * c->bpg) {
			ck_problem(c, "pass1: resize inode: block %ju, copy %u",
					(uintmax_t)pblk, n);
			return n;
		}
		n++;
	}
	if (special_any(p + 4 * (size_t)n, c->bs - 4 * (size_t)n))
		ck_problem(c,
				"pass1: resize inode: block %ju: more than %u "
				"copies",
				(uintmax_t)pblk, n);
	return n;
}

/*
 * Its only pointer is the double indirect one. Entry n of that block (modulo
 * its size) is the reserved descriptor block n of the first group.
 */
void ck_resize_inode(struct ck *c, const struct ck_inode *in)
{
	const uint8_t *iblock = special_iblock(in);
	uint32_t apb = c->bs / 4;
	uint64_t dind = get_le32(iblock + 52);
	uint64_t nblocks = 1;
	const uint8_t *p;

	if (in->type != CK_FT_REG || in->links != 1 || in->acl || in->dtime ||
			in->flags &
					(CK_FL_EXTENTS | CK_FL_INDEX |
							CK_FL_INLINE |
							CK_FL_IMAGIC))
		ck_problem(c, "pass1: resize inode: mode %#x, %u links",
				in->mode, in->links);
	if (in->size != (12 + apb + (uint64_t)apb * apb) << c->bs_bits)
		ck_problem(c, "pass1: resize inode: size %ju",
				(uintmax_t)in->size);
	if (in->size >> 31 && !ck_ro(c, CK_RO_LARGE_FILE))
		ck_problem(c, "pass1: resize inode: size without large_file");
	if (special_any(iblock, 52) || special_any(iblock + 56, 4))
		ck_problem(c, "pass1: resize inode: maps other blocks");
	if (dind == 0 && c->rsv_gdt == 0)
		return;
	if (!ck_claim(c, dind, 1, "resize inode", in->ino))
		return;
	p = ck_block(c, dind, CK_SLOT_INDEX);
	if (!p)
		return;
	for (uint32_t k = 0; k < apb; k++) {
		uint32_t n = (k + apb - c->gdt_blocks % apb) % apb;
		uint64_t want = 0;

		if (n < c->rsv_gdt) {
			want = (uint64_t)c->first_data + 1 + c->gdt_blocks + n;
			nblocks += 1 + special_resize_one(c, want);
		}
		if (get_le32(p + 4 * (size_t)k) != want) {
			ck_problem(c, "pass1: resize inode: entry %u is %u", k,
					get_le32(p + 4 * (size_t)k));
			return;
		}
	}
	if (in->blocks != nblocks << (c->bs_bits - 9))
		ck_problem(c, "pass1: resize inode: i_blocks is %ju, not %ju",
				(uintmax_t)in->blocks,
				(uintmax_t)(nblocks << (c->bs_bits - 9)));
}

static void special_journal_v2(struct ck *c, const uint8_t *p)
{
	static const uint8_t zero[4];
	uint32_t compat = get_be32(p + 0x24);
	uint32_t incompat = get_be32(p + 0x28);
	uint32_t crc;

	if (compat & ~1u || incompat & ~0x3fu || get_be32(p + 0x2c))
		ck_problem(c, "journal: unknown features %#x/%#x", compat,
				incompat);
	if ((incompat & 0x18) == 0x18)
		ck_problem(c, "journal: checksum v2 and v3 together");
	if (get_be32(p + 0x40) > 1)
		ck_problem(c, "journal: %u users", get_be32(p + 0x40));
	if (!(incompat & 0x18))
		return;
	if (p[0x50] != 4)
		ck_problem(c, "journal: checksum type %u", p[0x50]);
	crc = crc32c(CRC32C_INIT, p, 0xfc);
	crc = crc32c(crc, zero, 4);
	crc = crc32c(crc, p + 0x100, 0x300);
	if (crc != get_be32(p + 0xfc))
		ck_problem(c, "journal: bad checksum of its superblock");
}

/* @pblk: where the journal starts. */
void ck_journal(struct ck *c, const struct ck_inode *in, const struct ck_map *m,
		uint64_t pblk)
{
	uint32_t len, first, start;
	const uint8_t *p;

	if (in->type != CK_FT_REG || in->links == 0 || m->mapped < 1024 ||
			in->size >> c->bs_bits < 1024 ||
			in->size & (c->bs - 1) || m->end != m->mapped) {
		ck_problem(c, "journal: mode %#x, %u links, %ju of %ju blocks",
				in->mode, in->links, (uintmax_t)m->mapped,
				(uintmax_t)m->end);
		return;
	}
	p = ck_block(c, pblk, CK_SLOT_DATA);
	if (!p)
		return;
	len = get_be32(p + 0x10);
	first = get_be32(p + 0x14);
	start = get_be32(p + 0x1c);
	if (get_be32(p) != 0xc03b3998 || get_be32(p + 4) < 3 ||
			get_be32(p + 4) > 4) {
		ck_problem(c, "journal: not a journal superblock");
		return;
	}
	if (get_be32(p + 0xc) != c->bs || len > m->mapped || len < 1024 ||
			first < 1 || first >= len || start >= len)
		ck_problem(c,
				"journal: block size %u, length %u, first %u, "
				"start %u",
				get_be32(p + 0xc), len, first, start);
	if (start && !ck_incompat(c, CK_INCOMPAT_RECOVER))
		ck_problem(c, "journal: has data, but needs_recovery is clear");
	if (get_be32(p + 0x20) && !(c->flags & CHECK_F_ERRORS))
		ck_problem(c, "journal: errno %d", (int32_t)get_be32(p + 0x20));
	if (get_be32(p + 4) == 4)
		special_journal_v2(c, p);
}

/* The block of multi-mount protection: nobody has it open. */
int ck_mmp(struct ck *c)
{
	uint64_t pblk = get_le64(c->sb + 0x168);
	const uint8_t *p;

	if (!ck_incompat(c, CK_INCOMPAT_MMP) || !ck_claim(c, pblk, 1, "mmp", 0))
		return 0;
	p = ck_block(c, pblk, CK_SLOT_DATA);
	if (!p)
		return c->err;
	if (get_le32(p) != 0x004d4d50)
		ck_problem(c, "mmp: bad magic %#x", get_le32(p));
	if (c->has_csum && crc32c(c->seed, p, 0x3fc) != get_le32(p + 0x3fc))
		ck_problem(c, "mmp: bad checksum");
	if (get_le32(p + 4) != 0xff4d4d50 && !(c->flags & CHECK_F_RECOVERY))
		ck_problem(c, "mmp: not clean (%#x)", get_le32(p + 4));
	return 0;
}
