/* SPDX-License-Identifier: MIT */
/*
 * Extended attributes: in the inode, and in blocks that inodes share.
 */
#include "check/check_int.h"

#include <errno.h>
#include <stdlib.h>

#define CK_XATTR_MAGIC    0xea020000u
#define CK_XATTR_MAX_VALS 256

/* One list of entries. Offsets of values count from @base. */
struct xattr_area {
	struct ck *c;
	uint32_t ino;
	const uint8_t *base;
	uint32_t first; /* offset of the first entry */
	uint32_t size;  /* of the whole area */
	bool block;
	uint32_t nvals;
	uint32_t (*val)[2]; /* of CK_XATTR_MAX_VALS: start, end */
};

static bool xattr_bad(struct xattr_area *a, const char *what, uint32_t v)
{
	ck_problem(a->c, "pass1: inode %u: attribute %s (%u)", a->ino, what, v);
	return false;
}

/* The hash of one entry; names count as signed bytes in old file systems. */
static uint32_t xattr_hash(const uint8_t *e, const uint8_t *value, uint32_t len,
		bool is_signed)
{
	uint32_t hash = 0;

	for (unsigned int i = 0; i < e[0]; i++) {
		uint32_t ch = e[16 + i];

		if (is_signed)
			ch = (uint32_t)(int32_t)(int8_t)ch;
		hash = (hash << 5 | hash >> 27) ^ ch;
	}
	/* Whole words: what pads the value counts. */
	for (uint32_t i = 0; i < len; i += 4)
		hash = (hash << 16 | hash >> 16) ^ get_le32(value + i);
	return hash;
}

static bool xattr_value(struct xattr_area *a, const uint8_t *e)
{
	uint32_t off = get_le16(e + 2), len = get_le32(e + 8);
	uint32_t hash = get_le32(e + 12);
	uint32_t end;

	if (get_le32(e + 4))
		return xattr_bad(a, "value inode", get_le32(e + 4));
	if (len > a->size || off > a->size - len)
		return xattr_bad(a, "value outside", off);
	end = off + ((len + 3) & ~3u);
	if (end > a->size)
		return xattr_bad(a, "value outside", off);
	if (len && off % 4)
		return xattr_bad(a, "value not aligned", off);
	if ((hash || a->block) &&
			hash != xattr_hash(e, a->base + off, len, false) &&
			hash != xattr_hash(e, a->base + off, len, true))
		return xattr_bad(a, "hash", hash);
	if (len == 0)
		return true;
	for (uint32_t i = 0; i < a->nvals; i++)
		if (off < a->val[i][1] && end > a->val[i][0])
			return xattr_bad(a, "values overlap", off);
	if (a->nvals == CK_XATTR_MAX_VALS)
		return xattr_bad(a, "too many values", a->nvals);
	a->val[a->nvals][0] = off;
	a->val[a->nvals++][1] = end;
	return true;
}

/* Blocks are sorted by name index, name length, name. */
static bool xattr_in_order(const uint8_t *a, const uint8_t *b)
{
	if (a[1] != b[1])
		return a[1] < b[1];
	if (a[0] != b[0])
		return a[0] < b[0];
	return memcmp(a + 16, b + 16, a[0]) < 0;
}

static bool xattr_entries(struct xattr_area *a)
{
	const uint8_t *prev = NULL;
	uint32_t off = a->first;

	for (;;) {
		const uint8_t *e = a->base + off;

		if (off + 4 > a->size)
			return xattr_bad(a, "list has no end", off);
		if (get_le32(e) == 0)
			break;
		if (off + 16 > a->size || off + 16 + e[0] > a->size)
			return xattr_bad(a, "entry outside", off);
		if (e[1] == 0 || (e[0] == 0 && e[1] != 2 && e[1] != 3))
			return xattr_bad(a, "without a name", off);
		if (a->block && prev && !xattr_in_order(prev, e))
			return xattr_bad(a, "order", off);
		if (!xattr_value(a, e))
			return false;
		prev = e;
		off += (16 + (uint32_t)e[0] + 3) & ~3u;
	}
	off += 4;
	for (uint32_t i = 0; i < a->nvals; i++)
		if (a->val[i][0] < off)
			return xattr_bad(a, "value over entries", a->val[i][0]);
	return true;
}

static void xattr_check(struct xattr_area *a)
{
	uint32_t val[CK_XATTR_MAX_VALS][2];

	a->val = val;
	xattr_entries(a);
	a->val = NULL;
}

/* Offsets in the inode count from the first entry. */
int ck_xattr_inode(struct ck *c, const struct ck_inode *in)
{
	uint32_t at = 128 + in->extra;
	struct xattr_area a = {
		.c = c,
		.ino = in->ino,
	};

	if (c->isize == 128 || in->extra == 0 || at + 4 > c->isize ||
			get_le32(in->raw + at) != CK_XATTR_MAGIC)
		return 0;
	a.base = in->raw + at + 4;
	a.size = c->isize - at - 4;
	xattr_check(&a);
	return 0;
}

/* The slot of @pblk in the hash, or the empty one where it belongs. */
static struct ck_xblk *xattr_slot(
		struct ck_xblk *tab, uint32_t cap, uint64_t pblk)
{
	uint32_t i = (uint32_t)(pblk * 0x9e3779b97f4a7c15ULL >> 32) & (cap - 1);

	while (tab[i].pblk && tab[i].pblk != pblk)
		i = (i + 1) & (cap - 1);
	return &tab[i];
}

static struct ck_xblk *xattr_find(struct ck *c, uint64_t pblk)
{
	struct ck_xblk *old = c->xblks, *new = NULL;
	uint32_t cap = 0;

	if (2 * c->nxblks < c->cap_xblks)
		return xattr_slot(old, c->cap_xblks, pblk);
	if (!ck_grow(c, &new, &cap, 2 * c->cap_xblks + 64, sizeof(*new)))
		return NULL;
	memset(new, 0, cap * sizeof(*new));
	for (uint32_t i = 0; i < c->cap_xblks; i++)
		if (old[i].pblk)
			*xattr_slot(new, cap, old[i].pblk) = old[i];
	free(old);
	c->xblks = new;
	c->cap_xblks = cap;
	return xattr_slot(new, cap, pblk);
}

static void xattr_block_check(
		struct ck *c, const struct ck_inode *in, const uint8_t *p)
{
	static const uint8_t zero[4];
	struct xattr_area a = {
		.c = c,
		.ino = in->ino,
		.base = p,
		.first = 32,
		.size = c->bs,
		.block = true,
	};
	uint32_t crc;

	if (get_le32(p) != CK_XATTR_MAGIC || get_le32(p + 8) != 1) {
		xattr_bad(&a, "block header", get_le32(p));
		return;
	}
	if (c->has_csum) {
		crc = crc32c_le64(c->seed, in->acl);
		crc = crc32c(crc, p, 16);
		crc = crc32c(crc, zero, 4);
		crc = crc32c(crc, p + 20, c->bs - 20);
		if (crc != get_le32(p + 16))
			xattr_bad(&a, "block checksum", crc);
	}
	xattr_check(&a);
	ck_canary(c, in->acl, p, c->bs, "attribute block", in->ino);
}

/* 1: the inode owns (a share of) one block more. 0: it does not. */
int ck_xattr_block(struct ck *c, const struct ck_inode *in)
{
	struct ck_xblk *x;
	const uint8_t *p;

	if (!ck_compat(c, CK_COMPAT_EXT_ATTR) || !ck_in_range(c, in->acl, 1)) {
		ck_problem(c, "pass1: inode %u: attribute block %ju", in->ino,
				(uintmax_t)in->acl);
		return 0;
	}
	x = xattr_find(c, in->acl);
	if (!x)
		return 0;
	if (x->pblk) {
		x->seen++;
		return 1;
	}
	if (!ck_claim(c, in->acl, 1, "attribute block", in->ino))
		return 0;
	p = ck_block(c, in->acl, CK_SLOT_XATTR);
	if (!p)
		return 0;
	*x = (struct ck_xblk){
		.pblk = in->acl,
		.refs = get_le32(p + 4),
		.seen = 1,
	};
	c->nxblks++;
	xattr_block_check(c, in, p);
	return 1;
}

int ck_xattr_refs(struct ck *c)
{
	for (uint32_t i = 0; i < c->cap_xblks; i++) {
		const struct ck_xblk *x = &c->xblks[i];

		if (x->pblk && x->refs != x->seen)
			ck_problem(c,
					"pass1: attribute block %ju: %u "
					"references, not %u",
					(uintmax_t)x->pblk, x->refs, x->seen);
	}
	return 0;
}
