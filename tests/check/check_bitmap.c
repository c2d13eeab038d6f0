/* SPDX-License-Identifier: MIT */
/*
 * Pass 5: bitmaps and counters against what was claimed.
 *
 * Rules    (K6) A bitmap that is flagged uninitialised is not read: its group
 *               uses its own metadata, or no inode.
 */
#include "check/check_int.h"

#include <errno.h>
#include <stdlib.h>

/* Compare @nbits of a bitmap with the truth; the rest of @bs must be ones. */
static void bitmap_compare(struct ck *c, const char *what, uint32_t grp,
		const uint8_t *have, const uint8_t *want, uint32_t nbits)
{
	uint32_t bytes = nbits / 8;

	if (memcmp(have, want, bytes) != 0 || nbits % 8) {
		for (uint32_t i = 0; i < nbits; i++) {
			if (bits_test(have, i) == bits_test(want, i))
				continue;
			ck_problem(c, "pass5: group %u: %s: bit %u is %d", grp,
					what, i, bits_test(have, i));
			break;
		}
	}
	if (!bits_all_set(have, nbits, 8ULL * c->bs - nbits))
		ck_problem(c, "pass5: group %u: %s: padding is not set", grp,
				what);
}

static bool bitmap_csum_ok(const struct ck *c, const uint8_t *p, uint32_t nbits,
		uint32_t want)
{
	uint32_t crc;

	if (!c->has_csum)
		return true;
	crc = crc32c(c->seed, p, nbits / 8);
	if (c->desc_size < 64)
		crc &= 0xffff;
	return crc == want;
}

static uint32_t bitmap_blocks(
		struct ck *c, uint32_t grp, const struct ck_gd *gd)
{
	uint64_t start = (uint64_t)grp * c->bpg;
	uint64_t left = c->blocks - c->first_data - start;
	uint32_t nbits = left < c->bpg ? (uint32_t)left : c->bpg;
	uint32_t nfree = nbits -
			(uint32_t)bits_count(c->used, start, start + nbits);
	const uint8_t *p;

	if (nfree != gd->free_blocks)
		ck_problem(c, "pass5: group %u: %u free blocks, not %u", grp,
				gd->free_blocks, nfree);
	if (c->has_uninit && (gd->flags & CK_BG_BLOCK_UNINIT)) {
		/* K6 */
		if (nbits - nfree != ck_group_own(c, grp))
			ck_problem(c,
					"pass5: group %u: blocks in use, but "
					"uninit",
					grp);
		return nfree;
	}
	p = ck_block(c, gd->bb, CK_SLOT_BITMAP);
	if (!p)
		return nfree;
	if (!bitmap_csum_ok(c, p, c->bpg, gd->bb_csum))
		ck_problem(c, "pass5: group %u: block bitmap checksum", grp);
	bitmap_compare(c, "block bitmap", grp, p, c->used + start / 8, nbits);
	return nfree;
}

/* The truth about the inodes of a group, as a bitmap at @map. */
static uint32_t bitmap_inode_truth(struct ck *c, uint32_t grp, uint8_t *map)
{
	const struct ck_ino *info = &c->ino[(size_t)grp * c->ipg];
	uint32_t used = 0;

	memset(map, 0, c->ipg / 8);
	for (uint32_t i = 0; i < c->ipg; i++) {
		if (info[i].flags & CK_INO_USED) {
			bits_set(map, i);
			used++;
		}
	}
	return c->ipg - used;
}

static uint32_t bitmap_inodes(struct ck *c, uint32_t grp,
		const struct ck_gd *gd, uint8_t *map)
{
	uint32_t nfree = bitmap_inode_truth(c, grp, map);
	const uint8_t *p;

	if (nfree != gd->free_inodes)
		ck_problem(c, "pass5: group %u: %u free inodes, not %u", grp,
				gd->free_inodes, nfree);
	if (c->grp_dirs[grp] != gd->dirs)
		ck_problem(c, "pass5: group %u: %u directories, not %u", grp,
				gd->dirs, c->grp_dirs[grp]);
	if (c->has_uninit && (gd->flags & CK_BG_INODE_UNINIT))
		return nfree; /* K6 */
	p = ck_block(c, gd->ib, CK_SLOT_BITMAP);
	if (!p)
		return nfree;
	if (!bitmap_csum_ok(c, p, c->ipg, gd->ib_csum))
		ck_problem(c, "pass5: group %u: inode bitmap checksum", grp);
	bitmap_compare(c, "inode bitmap", grp, p, map, c->ipg);
	return nfree;
}

/* Nobody may use a block of a group whose bitmap is not there. */
static void bitmap_uninit(struct ck *c, uint32_t grp, const struct ck_gd *gd,
		uint32_t nfree_inodes)
{
	if (!c->has_uninit)
		return;
	if ((gd->flags & CK_BG_INODE_UNINIT) && nfree_inodes != c->ipg)
		ck_problem(c, "pass5: group %u: inodes in use, but uninit",
				grp);
	if ((gd->flags & CK_BG_INODE_UNINIT) && gd->unused != c->ipg &&
			gd->unused != 0)
		ck_problem(c, "pass5: group %u: uninit, but %u unused", grp,
				gd->unused);
}

int ck_bitmaps(struct ck *c)
{
	uint64_t free_blocks = 0, sb_blocks = get_le32(c->sb + 0x0c);
	uint32_t free_inodes = 0;
	uint8_t *map = malloc(c->ipg / 8);

	if (!map)
		return -ENOMEM;
	for (uint32_t grp = 0; grp < c->groups && !c->err; grp++) {
		struct ck_gd gd = ck_gd(c, grp);
		uint32_t n = bitmap_inodes(c, grp, &gd, map);

		free_inodes += n;
		bitmap_uninit(c, grp, &gd, n);
		free_blocks += bitmap_blocks(c, grp, &gd);
	}
	free(map);
	if (ck_incompat(c, CK_INCOMPAT_64BIT))
		sb_blocks |= (uint64_t)get_le32(c->sb + 0x158) << 32;
	if (free_blocks != sb_blocks)
		ck_problem(c, "pass5: super: %ju free blocks, not %ju",
				(uintmax_t)sb_blocks, (uintmax_t)free_blocks);
	if (free_inodes != get_le32(c->sb + 0x10))
		ck_problem(c, "pass5: super: %u free inodes, not %u",
				get_le32(c->sb + 0x10), free_inodes);
	c->rep->free_blocks = free_blocks;
	c->rep->free_inodes = free_inodes;
	return 0;
}
