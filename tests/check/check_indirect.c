/* SPDX-License-Identifier: MIT */
/*
 * The mapping of one inode, by the block trees of ext2 and ext3.
 */
#include "check/check_int.h"

#include <errno.h>

struct ind_level {
	const uint8_t *p;
	uint32_t next, count;
};

static int ind_flush(struct ck_map *m)
{
	struct check_run run = m->pend;

	m->pend.len = 0;
	return run.len ? ck_map_run(m, &run) : 0;
}

/* Gather neighbours into one run. */
static int ind_data(struct ck_map *m, uint64_t lblk, uint64_t pblk)
{
	struct check_run *p = &m->pend;
	int ret;

	if (lblk >= 0xffffffffULL) {
		ck_map_problem(m, "block too far out", lblk, pblk);
		return -EUCLEAN;
	}
	if (p->len && p->lblk + (uint64_t)p->len == lblk &&
			p->pblk + p->len == pblk) {
		p->len++;
		return 0;
	}
	ret = ind_flush(m);
	p->lblk = (uint32_t)lblk;
	p->pblk = pblk;
	p->len = 1;
	return ret;
}

/* Read an indirect block. */
static int ind_open(struct ck_map *m, uint64_t pblk, unsigned int slot,
		struct ind_level *ret_level)
{
	struct ck *c = m->c;

	if (m->claim && !ck_claim(c, pblk, 1, "indirect block", m->in->ino)) {
		m->bad = true;
		return -EUCLEAN;
	}
	if (!ck_in_range(c, pblk, 1)) {
		m->bad = true;
		return -EUCLEAN;
	}
	m->nblocks++;
	ret_level->p = ck_block(c, pblk, CK_SLOT_MAP + slot);
	if (!ret_level->p)
		return c->err;
	ret_level->next = 0;
	ret_level->count = c->bs / 4;
	if (m->claim)
		ck_canary(c, pblk, ret_level->p, c->bs, "indirect block",
				m->in->ino);
	return 0;
}

/* Walk the tree of @depth levels below block @pblk; @lblk is its first. */
static int ind_tree(struct ck_map *m, uint64_t pblk, unsigned int depth,
		uint64_t lblk)
{
	struct ind_level level[3];
	unsigned int at = depth - 1; /* level[0] holds data blocks */
	uint32_t bits = m->c->bs_bits - 2;
	int ret = ind_open(m, pblk, at, &level[at]);

	while (ret == 0) {
		struct ind_level *l = &level[at];
		uint32_t blk;

		if (l->next == l->count) {
			if (++at == depth)
				return 0;
			continue;
		}
		blk = get_le32(l->p + 4 * (size_t)l->next++);
		if (blk == 0) {
			lblk += 1ULL << (at * bits);
		} else if (at == 0) {
			ret = ind_data(m, lblk++, blk);
		} else {
			at--;
			ret = ind_open(m, blk, at, &level[at]);
		}
	}
	return ret;
}

int ck_indirect_walk(struct ck_map *m)
{
	const uint8_t *iblock = m->in->raw + 0x28;
	uint32_t bits = m->c->bs_bits - 2;
	uint64_t lblk = 12;
	int ret = 0;

	m->pend.len = 0;
	for (unsigned int i = 0; i < 12 && ret == 0; i++) {
		uint32_t blk = get_le32(iblock + 4 * (size_t)i);

		if (blk)
			ret = ind_data(m, i, blk);
	}
	for (unsigned int depth = 1; depth <= 3 && ret == 0; depth++) {
		uint32_t blk = get_le32(iblock + 44 + 4 * (size_t)depth);

		if (blk)
			ret = ind_tree(m, blk, depth, lblk);
		lblk += 1ULL << (depth * bits);
	}
	return ret ? ret : ind_flush(m);
}
