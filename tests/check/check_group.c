/* SPDX-License-Identifier: MIT */
/*
 * Group descriptors: decode, verify, and claim the blocks of all metadata
 * that stands at fixed places.
 */
#include "check/check_int.h"

#include <errno.h>
#include <stdlib.h>

struct ck_gd ck_gd(const struct ck *c, uint32_t grp)
{
	const uint8_t *p = c->gdt + (size_t)grp * c->desc_size;
	struct ck_gd gd = {
		.bb = get_le32(p),
		.ib = get_le32(p + 4),
		.it = get_le32(p + 8),
		.free_blocks = get_le16(p + 0xc),
		.free_inodes = get_le16(p + 0xe),
		.dirs = get_le16(p + 0x10),
		.flags = get_le16(p + 0x12),
		.bb_csum = get_le16(p + 0x18),
		.ib_csum = get_le16(p + 0x1a),
		.unused = get_le16(p + 0x1c),
		.csum = get_le16(p + 0x1e),
	};

	if (c->desc_size < 64)
		return gd;
	gd.bb |= (uint64_t)get_le32(p + 0x20) << 32;
	gd.ib |= (uint64_t)get_le32(p + 0x24) << 32;
	gd.it |= (uint64_t)get_le32(p + 0x28) << 32;
	gd.free_blocks |= (uint32_t)get_le16(p + 0x2c) << 16;
	gd.free_inodes |= (uint32_t)get_le16(p + 0x2e) << 16;
	gd.dirs |= (uint32_t)get_le16(p + 0x30) << 16;
	gd.unused |= (uint32_t)get_le16(p + 0x32) << 16;
	gd.bb_csum |= (uint32_t)get_le16(p + 0x38) << 16;
	gd.ib_csum |= (uint32_t)get_le16(p + 0x3a) << 16;
	return gd;
}

static bool group_is_power(uint32_t n, uint32_t base)
{
	while (n % base == 0)
		n /= base;
	return n == 1;
}

/* Does the group hold a copy of the superblock? */
bool ck_has_super(const struct ck *c, uint32_t grp)
{
	if (grp == 0)
		return true;
	if (ck_compat(c, CK_COMPAT_SPARSE_SUPER2))
		return grp == get_le32(c->sb + 0x24c) ||
				grp == get_le32(c->sb + 0x250);
	if (!ck_ro(c, CK_RO_SPARSE_SUPER) || grp == 1)
		return true;
	return group_is_power(grp, 3) || group_is_power(grp, 5) ||
			group_is_power(grp, 7);
}

static uint64_t group_base(const struct ck *c, uint32_t grp)
{
	return c->first_data + (uint64_t)grp * c->bpg;
}

/* Is descriptor block @n kept in its meta group, not behind the superblock? */
static bool group_in_meta(const struct ck *c, uint32_t n)
{
	return ck_incompat(c, CK_INCOMPAT_META_BG) &&
			n >= get_le32(c->sb + 0x104);
}

static uint64_t group_desc_block(const struct ck *c, uint32_t n)
{
	uint32_t grp = n * (c->bs / c->desc_size);

	if (!group_in_meta(c, n))
		return (uint64_t)c->first_data + 1 + n;
	return group_base(c, grp) + ck_has_super(c, grp);
}

int ck_gdt_load(struct ck *c)
{
	c->gdt = malloc((size_t)c->gdt_blocks << c->bs_bits);
	if (!c->gdt)
		return -ENOMEM;
	for (uint32_t n = 0; n < c->gdt_blocks; n++) {
		uint64_t pblk = group_desc_block(c, n);
		int ret = ck_read(c, pblk << c->bs_bits,
				c->gdt + ((size_t)n << c->bs_bits), c->bs);

		if (ret < 0)
			return ret;
	}
	return 0;
}

static uint16_t group_csum(const struct ck *c, uint32_t grp)
{
	const uint8_t *p = c->gdt + (size_t)grp * c->desc_size;
	uint8_t le[4];
	uint32_t crc;

	put_le32(le, grp);
	if (c->has_csum) {
		static const uint8_t zero[2];

		crc = crc32c(c->seed, le, 4);
		crc = crc32c(crc, p, 0x1e);
		crc = crc32c(crc, zero, 2);
		crc = crc32c(crc, p + 0x20, c->desc_size - 0x20);
		return (uint16_t)crc;
	}
	crc = crc16(CRC16_INIT, c->sb + 0x68, 16);
	crc = crc16((uint16_t)crc, le, 4);
	crc = crc16((uint16_t)crc, p, 0x1e);
	if (c->desc_size > 0x20)
		crc = crc16((uint16_t)crc, p + 0x20, c->desc_size - 0x20);
	return (uint16_t)crc;
}

/* A bitmap or a table: in the file system; in its group without flex_bg. */
static bool group_place(struct ck *c, uint32_t grp, uint64_t pblk, uint32_t len,
		const char *what)
{
	uint64_t base = group_base(c, grp);
	bool ok = ck_in_range(c, pblk, len);

	if (ok && !ck_incompat(c, CK_INCOMPAT_FLEX_BG))
		ok = pblk >= base && pblk - base + len <= c->bpg;
	if (!ok)
		ck_problem(c, "group %u: %s at block %ju", grp, what,
				(uintmax_t)pblk);
	return ok;
}

/* The copies at the start of a group: whether a superblock, how much more. */
static uint32_t group_backups(const struct ck *c, uint32_t grp, bool *ret_super)
{
	uint32_t per = c->bs / c->desc_size;
	bool super = ck_has_super(c, grp);
	uint32_t in_meta = grp % per;

	*ret_super = super;
	if (group_in_meta(c, grp / per))
		return in_meta == 0 || in_meta == 1 || in_meta == per - 1;
	if (!super)
		return 0;
	if (ck_incompat(c, CK_INCOMPAT_META_BG))
		return get_le32(c->sb + 0x104);
	return c->gdt_blocks + c->rsv_gdt;
}

static void group_claim_backups(struct ck *c, uint32_t grp)
{
	bool super;
	uint32_t n = group_backups(c, grp, &super);

	if (super)
		ck_claim(c, group_base(c, grp), 1, "superblock", 0);
	if (n)
		ck_claim(c, group_base(c, grp) + super, n, "descriptors", 0);
}

/* How many of the @len blocks at @pblk lie in the group. */
static uint32_t group_overlap(
		const struct ck *c, uint32_t grp, uint64_t pblk, uint32_t len)
{
	uint64_t lo = group_base(c, grp), hi = lo + c->bpg;
	uint64_t end = pblk + len;

	if (pblk < lo)
		pblk = lo;
	if (end > hi)
		end = hi;
	return end > pblk ? (uint32_t)(end - pblk) : 0;
}

uint32_t ck_group_own(const struct ck *c, uint32_t grp)
{
	struct ck_gd gd = ck_gd(c, grp);
	bool super;
	uint32_t n = group_backups(c, grp, &super);

	return n + super + group_overlap(c, grp, gd.bb, 1) +
			group_overlap(c, grp, gd.ib, 1) +
			group_overlap(c, grp, gd.it, c->itb);
}

static bool group_check(struct ck *c, uint32_t grp)
{
	struct ck_gd gd = ck_gd(c, grp);
	bool ok = true;

	if (c->has_uninit && gd.csum != group_csum(c, grp))
		ck_problem(c, "group %u: bad descriptor checksum", grp);
	if (!c->has_uninit &&
			((gd.flags &
					 (CK_BG_BLOCK_UNINIT |
							 CK_BG_INODE_UNINIT)) ||
					gd.unused))
		ck_problem(c, "group %u: flags %#x without checksums", grp,
				gd.flags);
	if (gd.unused > c->ipg)
		ck_problem(c, "group %u: %u unused inodes", grp, gd.unused);
	if (group_place(c, grp, gd.bb, 1, "block bitmap"))
		ok &= ck_claim(c, gd.bb, 1, "block bitmap", 0);
	else
		ok = false;
	if (group_place(c, grp, gd.ib, 1, "inode bitmap"))
		ok &= ck_claim(c, gd.ib, 1, "inode bitmap", 0);
	else
		ok = false;
	if (group_place(c, grp, gd.it, c->itb, "inode table"))
		ok &= ck_claim(c, gd.it, c->itb, "inode table", 0);
	else
		ok = false;
	return ok;
}

/* 1 ends the check: nothing further can be read with such descriptors. */
int ck_groups(struct ck *c)
{
	bool ok = true;

	for (uint32_t grp = 0; grp < c->groups; grp++)
		group_claim_backups(c, grp);
	for (uint32_t grp = 0; grp < c->groups; grp++)
		ok &= group_check(c, grp);
	return ok ? 0 : 1;
}
