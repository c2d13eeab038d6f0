/* SPDX-License-Identifier: MIT */
/*
 * The superblock: what the rest can be read with, then what it promises.
 */
#include "check/check_int.h"

#include <errno.h>
#include <time.h>

#define CK_COMPAT_KNOWN                                                        \
 (0x1u | 0x2u | 0x4u | 0x8u | 0x10u | 0x20u | 0x200u | 0x400u | 0x800u |       \
		 0x1000u)
#define CK_INCOMPAT_KNOWN                                                      \
 (0x2u | 0x4u | 0x10u | 0x40u | 0x80u | 0x100u | 0x200u | 0x2000u | 0x4000u |  \
		 0x8000u)
#define CK_RO_KNOWN                                                            \
 (0x1u | 0x2u | 0x8u | 0x10u | 0x20u | 0x40u | 0x400u | 0x1000u | 0x2000u |    \
		 0x8000u | 0x10000u)

static uint32_t super_le32(const struct ck *c, unsigned int off)
{
	return get_le32(c->sb + off);
}

static uint16_t super_le16(const struct ck *c, unsigned int off)
{
	return get_le16(c->sb + off);
}

/* A fault that leaves nothing to go on with. */
static int super_fatal(struct ck *c, const char *what, uint64_t value)
{
	ck_problem(c, "super: %s (%ju)", what, (uintmax_t)value);
	return 1;
}

static int super_features(struct ck *c)
{
	uint32_t unknown;

	if (super_le32(c, 0x4c) == 0) /* revision 0 has none */
		return 0;
	c->compat = super_le32(c, 0x5c);
	c->incompat = super_le32(c, 0x60);
	c->ro = super_le32(c, 0x64);
	unknown = (c->compat & ~CK_COMPAT_KNOWN) |
			(c->incompat & ~CK_INCOMPAT_KNOWN) |
			(c->ro & ~CK_RO_KNOWN);
	if (unknown) {
		ck_problem(c, "super: unknown features %#x/%#x/%#x",
				c->compat & ~CK_COMPAT_KNOWN,
				c->incompat & ~CK_INCOMPAT_KNOWN,
				c->ro & ~CK_RO_KNOWN);
		return -EOPNOTSUPP;
	}
	c->has_csum = ck_ro(c, CK_RO_METADATA_CSUM);
	c->has_uninit = c->has_csum || ck_ro(c, CK_RO_GDT_CSUM);
	if (ck_compat(c, CK_COMPAT_ORPHAN_FILE))
		c->orphan_ino = super_le32(c, 0x280);
	return 0;
}

/* Sizes, each safe to compute with afterwards. */
static int super_sizes(struct ck *c)
{
	uint32_t log = super_le32(c, 0x18);
	bool rev0 = super_le32(c, 0x4c) == 0;

	if (log > 6)
		return super_fatal(c, "block size exponent", log);
	c->bs_bits = 10 + log;
	c->bs = 1u << c->bs_bits;
	c->first_data = super_le32(c, 0x14);
	if (c->first_data != (log == 0))
		return super_fatal(c, "first data block", c->first_data);
	c->isize = rev0 ? 128 : super_le16(c, 0x58);
	if (c->isize < 128 || c->isize > c->bs || (c->isize & (c->isize - 1)))
		return super_fatal(c, "inode size", c->isize);
	c->first_ino = rev0 ? 11 : super_le32(c, 0x54);
	c->desc_size = 32;
	if (ck_incompat(c, CK_INCOMPAT_64BIT))
		c->desc_size = super_le16(c, 0xfe);
	if (c->desc_size < 32 || c->desc_size > 1024 ||
			(c->desc_size & (c->desc_size - 1)) ||
			(ck_incompat(c, CK_INCOMPAT_64BIT) &&
					c->desc_size < 64))
		return super_fatal(c, "descriptor size", c->desc_size);
	c->bpg = super_le32(c, 0x20);
	if (c->bpg < 64 || c->bpg > 8 * c->bs || c->bpg % 8)
		return super_fatal(c, "blocks per group", c->bpg);
	c->ipg = super_le32(c, 0x28);
	if (c->ipg < 8 || c->ipg > 8 * c->bs || c->ipg % 8)
		return super_fatal(c, "inodes per group", c->ipg);
	return 0;
}

static int super_counts(struct ck *c)
{
	uint64_t groups, inodes;

	c->blocks = super_le32(c, 0x04);
	if (ck_incompat(c, CK_INCOMPAT_64BIT))
		c->blocks |= (uint64_t)super_le32(c, 0x150) << 32;
	if (c->blocks <= c->first_data || c->blocks >= 1ULL << 48)
		return super_fatal(c, "block count", c->blocks);
	if (c->blocks > c->dev->size >> c->bs_bits)
		return super_fatal(c, "more blocks than the device", c->blocks);
	groups = (c->blocks - c->first_data + c->bpg - 1) / c->bpg;
	inodes = groups * c->ipg;
	c->inodes = super_le32(c, 0x00);
	if (inodes != c->inodes)
		return super_fatal(c, "inode count", c->inodes);
	c->groups = (uint32_t)groups;
	if (c->first_ino < 11 || c->first_ino > c->inodes)
		return super_fatal(c, "first inode", c->first_ino);
	c->itb = (uint32_t)(((uint64_t)c->ipg * c->isize + c->bs - 1) >>
			c->bs_bits);
	c->gdt_blocks = (uint32_t)((groups * c->desc_size + c->bs - 1) >>
			c->bs_bits);
	if (ck_compat(c, CK_COMPAT_RESIZE_INODE) ||
			!ck_incompat(c, CK_INCOMPAT_META_BG))
		c->rsv_gdt = super_le16(c, 0xce);
	if (c->rsv_gdt > c->bs / 4)
		return super_fatal(c, "reserved descriptor blocks", c->rsv_gdt);
	if (c->orphan_ino > c->inodes)
		return super_fatal(c, "orphan file inode", c->orphan_ino);
	return 0;
}

/* 0: geometry known. 1: a problem that ends the check. */
int ck_super_load(struct ck *c)
{
	int ret;

	if (c->dev->size < 2048)
		return super_fatal(c, "the image is too short", c->dev->size);
	if (ck_read(c, 1024, c->sb, sizeof(c->sb)) < 0)
		return c->err;
	if (super_le16(c, 0x38) != 0xef53)
		return super_fatal(c, "bad magic", super_le16(c, 0x38));
	ret = super_features(c);
	if (ret == 0)
		ret = super_sizes(c);
	if (ret == 0)
		ret = super_counts(c);
	if (ret)
		return ret;

	c->seed = crc32c(CRC32C_INIT, c->sb + 0x68, 16);
	if (ck_incompat(c, CK_INCOMPAT_CSUM_SEED))
		c->seed = super_le32(c, 0x270);
	c->rep->blocks = c->blocks;
	c->rep->inodes = c->inodes;
	return 0;
}

static void super_csum(struct ck *c)
{
	if (!c->has_csum)
		return;
	if (c->sb[0x175] != 1)
		ck_problem(c, "super: checksum type %u", c->sb[0x175]);
	if (crc32c(CRC32C_INIT, c->sb, 0x3fc) != super_le32(c, 0x3fc))
		ck_problem(c, "super: bad checksum");
}

static void super_feature_sense(struct ck *c)
{
	bool reserved = super_le16(c, 0xce) != 0;

	if (c->has_csum && ck_ro(c, CK_RO_GDT_CSUM))
		ck_problem(c, "super: metadata_csum and uninit_bg together");
	if (ck_incompat(c, CK_INCOMPAT_CSUM_SEED) && !c->has_csum)
		ck_problem(c, "super: checksum seed without metadata_csum");
	if (reserved && !ck_compat(c, CK_COMPAT_RESIZE_INODE))
		ck_problem(c, "super: reserved blocks without resize_inode");
	if (ck_compat(c, CK_COMPAT_RESIZE_INODE) &&
			ck_incompat(c, CK_INCOMPAT_META_BG))
		ck_problem(c, "super: resize_inode and meta_bg together");
	if (ck_compat(c, CK_COMPAT_ORPHAN_FILE) && c->orphan_ino < c->first_ino)
		ck_problem(c, "super: orphan file is inode %u", c->orphan_ino);
	if (ck_ro(c, CK_RO_ORPHAN_PRESENT) &&
			!ck_compat(c, CK_COMPAT_ORPHAN_FILE))
		ck_problem(c, "super: orphan_present without orphan_file");
	if (ck_compat(c, CK_COMPAT_HAS_JOURNAL) &&
			super_le32(c, 0xe0) != CK_JOURNAL_INO)
		ck_problem(c, "super: journal is inode %u",
				super_le32(c, 0xe0));
	if (super_le32(c, 0xe4) | super_le32(c, 0xd0) | super_le32(c, 0xd4) |
			super_le32(c, 0xd8) | super_le32(c, 0xdc))
		ck_problem(c, "super: names an external journal");
	if (!ck_compat(c, CK_COMPAT_HAS_JOURNAL) && super_le32(c, 0xe0))
		ck_problem(c, "super: inode %u is no journal",
				super_le32(c, 0xe0));
	if (!ck_compat(c, CK_COMPAT_HAS_JOURNAL) &&
			ck_incompat(c, CK_INCOMPAT_RECOVER))
		ck_problem(c, "super: needs_recovery without a journal");
}

static void super_values(struct ck *c)
{
	uint64_t reserved = super_le32(c, 0x08);
	uint32_t room = c->isize - 128;

	if (ck_incompat(c, CK_INCOMPAT_64BIT))
		reserved |= (uint64_t)super_le32(c, 0x154) << 32;
	if (reserved > c->blocks / 2)
		ck_problem(c, "super: %ju reserved blocks",
				(uintmax_t)reserved);
	if (super_le16(c, 0xfe) > 1024)
		ck_problem(c, "super: descriptor size %u", super_le16(c, 0xfe));
	if (super_le32(c, 0x24) != c->bpg)
		ck_problem(c, "super: %u clusters per group",
				super_le32(c, 0x24));
	if (super_le32(c, 0x1c) != super_le32(c, 0x18))
		ck_problem(c, "super: cluster size exponent %u",
				super_le32(c, 0x1c));
	if (c->isize > 128 &&
			(super_le16(c, 0x15c) > room ||
					super_le16(c, 0x15e) > room))
		ck_problem(c, "super: extra inode size %u/%u",
				super_le16(c, 0x15c), super_le16(c, 0x15e));
}

/* e2fsck allows a day for clocks that disagree. */
static void super_times(struct ck *c)
{
	uint64_t limit = (uint64_t)time(NULL) + 86400;

	if (super_le32(c, 0x2c) > limit || super_le32(c, 0x30) > limit)
		ck_problem(c, "super: mounted or written in the future");
}

static void super_state(struct ck *c)
{
	uint16_t state = super_le16(c, 0x3a);

	if (!(state & 1) && !(c->flags & CHECK_F_DIRTY))
		ck_problem(c, "super: not marked clean (%#x)", state);
	if ((state & 2) && !(c->flags & CHECK_F_ERRORS))
		ck_problem(c, "super: marked as having errors (%#x)", state);
	if (ck_incompat(c, CK_INCOMPAT_RECOVER) &&
			!(c->flags & CHECK_F_RECOVERY))
		ck_problem(c, "super: the journal needs recovery");
}

int ck_super(struct ck *c)
{
	super_csum(c);
	super_feature_sense(c);
	super_values(c);
	super_times(c);
	super_state(c);
	return 0;
}
