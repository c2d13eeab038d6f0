/* SPDX-License-Identifier: MIT */
/*
 * Pass 2, the index of a hashed directory: every block but the root is named
 * by exactly one entry, and each leaf learns which hashes it may hold.
 */
#include "check/check_int.h"

#include <errno.h>

struct htree_level {
	const uint8_t *entries;
	uint32_t next, count;
	uint32_t lo, hi;
};

struct htree {
	struct ck *c;
	const struct ck_dir *d;
	struct ck_leaf *leaf;
	unsigned int depth; /* index levels below the root */
};

static int htree_bad(struct htree *t, const char *what, uint32_t a, uint32_t b)
{
	ck_problem(t->c, "pass2: directory %u: index: %s (%u, %u)", t->d->ino,
			what, a, b);
	return -EUCLEAN;
}

/* Limit, count and checksum of the block; its entries start at @off. */
static int htree_counts(struct htree *t, const uint8_t *p, uint32_t off,
		uint32_t *ret_count)
{
	struct ck *c = t->c;
	uint32_t limit = get_le16(p + off), count = get_le16(p + off + 2);
	uint32_t room = (c->bs - off) / 8 - (c->has_csum ? 1 : 0);
	uint32_t crc;

	if (limit != room)
		return htree_bad(t, "limit", limit, room);
	if (count == 0 || count > limit)
		return htree_bad(t, "count", count, limit);
	if (c->has_csum) {
		const uint8_t *tail = p + off + 8 * (size_t)limit;
		static const uint8_t zero[4];

		crc = crc32c(t->d->seed, p, off + 8 * (size_t)count);
		crc = crc32c(crc, tail, 4);
		crc = crc32c(crc, zero, 4);
		if (crc != get_le32(tail + 4))
			htree_bad(t, "checksum", crc, get_le32(tail + 4));
	}
	*ret_count = count;
	return 0;
}

/* The root: "." and ".." and then the facts of the tree. */
static int htree_root(struct htree *t, const uint8_t *p, uint8_t *ret_version)
{
	struct ck *c = t->c;
	unsigned int max = ck_incompat(c, CK_INCOMPAT_LARGEDIR) ? 2 : 1;

	if (ck_rec_len(c, p) != 12 || ck_rec_len(c, p + 12) != c->bs - 12)
		return htree_bad(t, "root entries", ck_rec_len(c, p),
				ck_rec_len(c, p + 12));
	if (get_le32(p + 0x18) || p[0x1d] != 8 || (p[0x1f] & 1))
		return htree_bad(t, "root info", p[0x1d], p[0x1f]);
	if (p[0x1c] > 2)
		return htree_bad(t, "hash version", p[0x1c], 0);
	if (p[0x1e] > max)
		return htree_bad(t, "levels", p[0x1e], max);
	t->depth = p[0x1e];
	*ret_version = p[0x1c];
	if (get_le32(c->sb + 0x160) & 2) /* the s_flags: unsigned hash */
		*ret_version += 3;
	return 0;
}

/* Open index block @blk of level @at (0 is the root). */
static int htree_open(struct htree *t, uint32_t blk, unsigned int at,
		struct htree_level *l)
{
	struct ck *c = t->c;
	uint32_t off = at ? 8 : 32;
	const uint8_t *p = ck_block(
			c, c->dblks[t->d->first + blk], CK_SLOT_MAP + at);
	int ret;

	if (!p)
		return c->err;
	if (at && (get_le32(p) || ck_rec_len(c, p) != c->bs))
		return htree_bad(t, "node entry", blk, ck_rec_len(c, p));
	ret = htree_counts(t, p, off, &l->count);
	if (ret < 0)
		return ret;
	l->entries = p + off;
	l->next = 0;
	return 0;
}

/* Step to entry @l->next: its block and the hashes below it. */
static int htree_entry(struct htree *t, struct htree_level *l,
		uint32_t *ret_blk, uint32_t *ret_lo, uint32_t *ret_hi)
{
	uint32_t i = l->next++;
	const uint8_t *e = l->entries + 8 * (size_t)i;
	uint32_t blk = get_le32(e + 4) & 0x0fffffff;
	uint32_t lo = i ? get_le32(e) : l->lo;
	uint32_t hi = i + 1 < l->count ? get_le32(e + 8) : l->hi;

	if (i && (lo < l->lo || (l->hi && lo >= l->hi)))
		return htree_bad(t, "hash out of range", lo, blk);
	if (hi && hi <= lo)
		return htree_bad(t, "hash order", lo, hi);
	if (blk == 0 || blk >= t->d->count)
		return htree_bad(t, "block", blk, t->d->count);
	if (t->leaf[blk].role)
		return htree_bad(t, "block named twice", blk, 0);
	*ret_blk = blk;
	*ret_lo = lo & ~1u;
	*ret_hi = hi;
	return 0;
}

static int htree_walk(struct htree *t)
{
	struct htree_level level[4] = { 0 };
	unsigned int at = 0;
	int ret;

	t->leaf[0].role = 1;
	ret = htree_open(t, 0, 0, &level[0]);
	while (ret == 0) {
		struct htree_level *l = &level[at];
		uint32_t blk, lo, hi;

		if (l->next == l->count) {
			if (at-- == 0)
				return 0;
			continue;
		}
		ret = htree_entry(t, l, &blk, &lo, &hi);
		if (ret < 0)
			return ret;
		t->leaf[blk] = (struct ck_leaf){ lo, hi, 2 };
		if (at == t->depth)
			continue;
		t->leaf[blk].role = 1;
		level[++at].lo = lo;
		level[at].hi = hi;
		ret = htree_open(t, blk, at, &level[at]);
	}
	return ret;
}

/*
 * Check the index of @d and fill @leaf (d->count members, zeroed) with what
 * each block is. -EUCLEAN: damaged and reported.
 */
int ck_htree(struct ck *c, const struct ck_dir *d, struct ck_leaf *leaf,
		uint8_t *ret_version)
{
	struct htree t = { .c = c, .d = d, .leaf = leaf };
	const uint8_t *p;
	int ret;

	if (d->count == 0)
		return -EUCLEAN;
	p = ck_block(c, c->dblks[d->first], CK_SLOT_DIR);
	if (!p)
		return c->err;
	ret = htree_root(&t, p, ret_version);
	if (ret == 0)
		ret = htree_walk(&t);
	if (ret < 0)
		return ret;
	for (uint32_t i = 1; i < d->count; i++)
		if (leaf[i].role == 0)
			htree_bad(&t, "block not named", i, 0);
	return 0;
}
