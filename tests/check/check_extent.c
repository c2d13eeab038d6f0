/* SPDX-License-Identifier: MIT */
/*
 * The mapping of one inode, by extents. One walk serves the check (which
 * claims and reports) and the readers (which only want the runs).
 */
#include "check/check_int.h"

#include <errno.h>

#define CK_EXT_MAGIC     0xf30a
#define CK_EXT_MAX_DEPTH 5
#define CK_LBLK_END      (1ULL << 32)

struct ext_node {
	const uint8_t *p;
	uint32_t room; /* bytes */
	uint32_t depth;
	uint64_t lo, hi; /* its entries start in [lo, hi) */
	bool root;
};

void ck_map_problem(struct ck_map *m, const char *what, uint64_t a, uint64_t b)
{
	m->bad = true;
	if (m->claim)
		ck_problem(m->c, "pass1: inode %u: %s (%ju, %ju)", m->in->ino,
				what, (uintmax_t)a, (uintmax_t)b);
}

/* One run of data, in order: claim it, then hand it to whoever asks. */
int ck_map_run(struct ck_map *m, const struct check_run *run)
{
	struct ck *c = m->c;
	uint64_t end = (uint64_t)run->lblk + run->len;

	if (m->claim) {
		if (!ck_claim(c, run->pblk, run->len, "data", m->in->ino)) {
			m->bad = true;
			return -EUCLEAN;
		}
	} else if (!ck_in_range(c, run->pblk, run->len)) {
		m->bad = true;
		return -EUCLEAN;
	}
	m->nblocks += run->len;
	m->mapped += run->len;
	m->end = end;
	if (!run->unwritten)
		m->end_written = end;
	if (m->run)
		m->stop = m->run(m, run);
	return m->stop ? 1 : 0;
}

/* Look at a header. False: nothing below may be trusted. */
static bool ext_header(struct ck_map *m, const struct ext_node *n)
{
	uint32_t entries = get_le16(n->p + 2);
	uint32_t max = get_le16(n->p + 4);
	uint32_t depth = get_le16(n->p + 6);
	uint32_t room = n->room / 12 - 1;

	if (get_le16(n->p) != CK_EXT_MAGIC) {
		ck_map_problem(m, "extent header magic", get_le16(n->p), 0);
		return false;
	}
	if (max > room || max + 2 < room || entries > max) {
		ck_map_problem(m, "extent header counts", entries, max);
		return false;
	}
	if (n->root ? depth > CK_EXT_MAX_DEPTH : depth != n->depth) {
		ck_map_problem(m, "extent header depth", depth, n->depth);
		return false;
	}
	if (entries == 0 && (!n->root || depth > 0)) {
		ck_map_problem(m, "empty extent node, depth", depth, 0);
		return false;
	}
	return true;
}

static void ext_csum(struct ck_map *m, const struct ext_node *n, uint64_t pblk)
{
	uint32_t tail = 12 + 12 * (uint32_t)get_le16(n->p + 4);

	if (!m->claim || !m->c->has_csum)
		return;
	if (tail + 4 > n->room ||
			crc32c(m->in->seed, n->p, tail) !=
					get_le32(n->p + tail))
		ck_map_problem(m, "extent block checksum, block", pblk, 0);
}

static int ext_leaf(struct ck_map *m, const struct ext_node *n)
{
	uint32_t entries = get_le16(n->p + 2);
	uint64_t next = n->lo;

	for (uint32_t i = 0; i < entries; i++) {
		const uint8_t *e = n->p + 12 + 12 * (size_t)i;
		uint32_t len = get_le16(e + 4);
		struct check_run run = {
			.lblk = get_le32(e),
			.pblk = get_le32(e + 8) |
					(uint64_t)get_le16(e + 6) << 32,
			.unwritten = len > 32768,
			.len = len > 32768 ? len - 32768 : len,
		};
		int ret;

		if (run.lblk < next || (uint64_t)run.lblk + run.len > n->hi) {
			ck_map_problem(m, "extent out of order", run.lblk,
					run.len);
			return -EUCLEAN;
		}
		if (run.len == 0 ||
				(uint64_t)run.lblk + run.len >= CK_LBLK_END) {
			ck_map_problem(m, "extent length", run.lblk, run.len);
			return -EUCLEAN;
		}
		if (!n->root && i == 0 && run.lblk != n->lo) {
			/* The index above names another first block. */
			ck_map_problem(m, "extent index block", n->lo,
					run.lblk);
		}
		ret = ck_map_run(m, &run);
		if (ret)
			return ret;
		next = (uint64_t)run.lblk + run.len;
	}
	return 0;
}

/* Read the node that index entry @i of @n names. */
static int ext_child(struct ck_map *m, const struct ext_node *n, uint32_t i,
		struct ext_node *ret_child)
{
	struct ck *c = m->c;
	uint32_t entries = get_le16(n->p + 2);
	const uint8_t *e = n->p + 12 + 12 * (size_t)i;
	uint64_t pblk = get_le32(e + 4) | (uint64_t)get_le16(e + 8) << 32;
	struct ext_node child = {
		.room = c->bs,
		.depth = n->depth - 1,
		.lo = get_le32(e),
		.hi = n->hi,
	};

	if (i + 1 < entries)
		child.hi = get_le32(e + 12);
	if (child.lo < n->lo || child.hi <= child.lo || child.hi > n->hi) {
		ck_map_problem(m, "extent index out of order", child.lo, i);
		return -EUCLEAN;
	}
	if (!n->root && i == 0 && child.lo != n->lo)
		ck_map_problem(m, "extent index block", n->lo, child.lo);
	if (m->claim && !ck_claim(c, pblk, 1, "extent block", m->in->ino)) {
		m->bad = true;
		return -EUCLEAN;
	}
	if (!ck_in_range(c, pblk, 1)) {
		m->bad = true;
		return -EUCLEAN;
	}
	m->nblocks++;
	child.p = ck_block(c, pblk, CK_SLOT_MAP + child.depth);
	if (!child.p)
		return c->err;
	if (!ext_header(m, &child))
		return -EUCLEAN;
	ext_csum(m, &child, pblk);
	if (m->claim)
		ck_canary(c, pblk, child.p, c->bs, "extent block", m->in->ino);
	*ret_child = child;
	return 0;
}

static int ext_walk(struct ck_map *m)
{
	struct ext_node stack[CK_EXT_MAX_DEPTH + 1];
	uint32_t next[CK_EXT_MAX_DEPTH + 1] = { 0 };
	uint32_t top = 0;
	struct ext_node root = {
		.p = m->in->raw + 0x28,
		.room = 60,
		.hi = CK_LBLK_END,
		.root = true,
	};

	if (!ext_header(m, &root))
		return -EUCLEAN;
	root.depth = get_le16(root.p + 6);
	stack[0] = root;
	for (;;) {
		struct ext_node *n = &stack[top];
		int ret;

		if (n->depth == 0) {
			ret = ext_leaf(m, n);
		} else if (next[top] < get_le16(n->p + 2)) {
			ret = ext_child(m, n, next[top]++, &stack[top + 1]);
			if (ret == 0) {
				next[++top] = 0;
				continue;
			}
		} else {
			ret = 0;
		}
		if (ret)
			return ret;
		if (top-- == 0)
			return 0;
	}
}

/*
 * Walk all runs of the inode. 0: to the end. 1: run() said stop. -EUCLEAN:
 * damaged (reported when m->claim). Another negative errno: c->err is set.
 */
int ck_map_walk(struct ck_map *m)
{
	int ret;

	if (m->in->flags & CK_FL_EXTENTS)
		ret = ext_walk(m);
	else
		ret = ck_indirect_walk(m);
	if (m->c->err)
		return m->c->err;
	return ret;
}
