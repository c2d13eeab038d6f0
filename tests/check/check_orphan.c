/* SPDX-License-Identifier: MIT */
/*
 * Orphans: the list through i_dtime, and the orphan file. Runs before pass 1
 * so that pass 1 knows which inodes may lack a name.
 */
#include "check/check_int.h"

#include <errno.h>

#define CK_ORPHAN_MAGIC 0x0b10ca04u

struct orphan_walk {
	uint32_t left; /* blocks that may still be read */
};

static int orphan_add(struct ck *c, uint32_t ino, const char *from)
{
	struct ck_ino *info;

	if (ino < c->first_ino || ino > c->inodes) {
		ck_problem(c, "orphan: %s: inode %u", from, ino);
		return -EUCLEAN;
	}
	info = ck_ino(c, ino);
	if (info->flags & CK_INO_ORPHAN) {
		ck_problem(c, "orphan: %s: inode %u twice", from, ino);
		return -EUCLEAN;
	}
	c->rep->orphans++;
	if (!(c->flags & CHECK_F_ORPHANS)) {
		ck_problem(c, "orphan: %s: inode %u", from, ino);
		return 0;
	}
	info->flags |= CK_INO_ORPHAN;
	return 0;
}

static void orphan_list(struct ck *c)
{
	uint32_t ino = get_le32(c->sb + 0xe8);

	/* Bounded: orphan_add() takes an inode once, and only then goes on. */
	while (ino) {
		struct ck_inode in;

		if (orphan_add(c, ino, "list") < 0 ||
				!(c->flags & CHECK_F_ORPHANS) ||
				ck_inode_read(c, ino, &in) < 0)
			return;
		ino = in.dtime;
	}
}

static void orphan_block(struct ck_map *m, uint64_t pblk)
{
	struct ck *c = m->c;
	const uint8_t *p = ck_block(c, pblk, CK_SLOT_DATA);
	const uint8_t *tail;

	if (!p)
		return;
	tail = p + c->bs - 8;
	if (get_le32(tail) != CK_ORPHAN_MAGIC)
		ck_problem(c, "orphan: block %ju: magic %#x", (uintmax_t)pblk,
				get_le32(tail));
	if (c->has_csum) {
		uint32_t crc = crc32c_le64(m->in->seed, pblk);

		crc = crc32c(crc, p, c->bs - 8);
		if (crc != get_le32(tail + 4))
			ck_problem(c, "orphan: block %ju: bad checksum",
					(uintmax_t)pblk);
	} else if (get_le32(tail + 4)) {
		ck_problem(c, "orphan: block %ju: checksum without the feature",
				(uintmax_t)pblk);
	}
	for (const uint8_t *e = p; e < tail; e += 4)
		if (get_le32(e))
			orphan_add(c, get_le32(e), "file");
}

static int orphan_run(struct ck_map *m, const struct check_run *run)
{
	struct orphan_walk *w = m->arg;

	if (run->unwritten)
		ck_problem(m->c, "orphan: the file has unwritten blocks");
	for (uint32_t i = 0; i < run->len && w->left > 0; i++, w->left--)
		orphan_block(m, run->pblk + i);
	return m->c->err || w->left == 0;
}

static void orphan_file(struct ck *c)
{
	struct orphan_walk w = { 0 };
	struct ck_inode in;
	struct ck_map m = {
		.c = c,
		.in = &in,
		.run = orphan_run,
		.arg = &w,
	};
	uint32_t before = c->rep->orphans;

	if (c->orphan_ino == 0 || ck_inode_read(c, c->orphan_ino, &in) < 0)
		return;
	if (in.type != CK_FT_REG || in.links == 0 || in.size == 0) {
		ck_problem(c, "orphan: inode %u is no orphan file", in.ino);
		return;
	}
	w.left = (uint32_t)(in.size >> c->bs_bits < c->blocks
					? in.size >> c->bs_bits
					: c->blocks);
	if (in.size & (c->bs - 1))
		ck_problem(c, "orphan: the file has %ju bytes",
				(uintmax_t)in.size);
	ck_map_walk(&m);
	if (m.mapped << c->bs_bits != in.size)
		ck_problem(c, "orphan: the file has holes");
	if (c->rep->orphans != before && !ck_ro(c, CK_RO_ORPHAN_PRESENT))
		ck_problem(c, "orphan: entries, but orphan_present is clear");
}

int ck_orphans(struct ck *c)
{
	orphan_list(c);
	orphan_file(c);
	return 0;
}
