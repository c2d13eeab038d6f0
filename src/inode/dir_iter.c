/* SPDX-License-Identifier: MIT */
/*
 * Telling the entries of a directory.
 *
 * A linear directory is told in the order of its bytes; the cookie is the
 * place where the next entry may begin at the earliest. Entries never move in
 * a linear directory, so an entry that begins at or behind the cookie has not
 * been told, and all others have.
 */
#include <assert.h>

#include "cache/buf.h"
#include "disk/dirent.h"
#include "disk/geo.h"
#include "inode/dir.h"
#include "inode/dir_block.h"
#include "inode/inode.h"

struct dir_walk {
	struct inode *dir;
	int (*fn)(void *ctx, const struct dir_entry *e);
	void *ctx;
};

/* Tell one entry. */
static int walk_tell(
		struct dir_walk *w, const struct ddirent *de, uint64_t next)
{
	struct dir_entry e = {
		.name = de->name,
		.len = de->name_len,
		.inum = de->inum,
		.ftype = de->ftype <= DIRENT_FT_LNK ? de->ftype : 0,
		.next = next,
	};

	return w->fn(w->ctx, &e);
}

/* ---- linear ---- */

/* The entries of a block that begin at @from or behind. */
static int linear_block(struct dir_walk *w, lblk_t lblk, uint32_t from,
		const uint8_t *data)
{
	const struct geo *geo = w->dir->it->geo;
	uint64_t base = (uint64_t)lblk << geo->block_bits;
	uint32_t end = dirent_end(geo);
	const char *why = NULL;
	struct ddirent de;
	int ret;

	for (uint32_t off = 0; off < end; off += de.rec_len) {
		uint64_t next;

		ret = dirent_at(geo, data, off, &de, &why);
		if (ret < 0)
			return dir_corrupt(w->dir, lblk, why);
		if (off < from || de.inum == 0)
			continue;
		if (!dirent_name_ok(de.name, de.name_len))
			return dir_corrupt(w->dir, lblk,
					"an entry's name is impossible");
		next = off + de.rec_len;
		if (next >= end)
			next = geo->block_size;
		ret = walk_tell(w, &de, base + next);
		if (ret != 0)
			return ret;
	}
	return 0;
}

static int iterate_linear(struct dir_walk *w, uint64_t pos)
{
	const struct geo *geo = w->dir->it->geo;
	enum dir_block_kind kind = dir_has_index_flag(w->dir) ? DIR_BLOCK_ANY
							      : DIR_BLOCK_LEAF;
	uint32_t from = (uint32_t)(pos & (geo->block_size - 1));
	struct buf *b;
	lblk_t nblk;
	int ret;

	ret = dir_nblocks(w->dir, &nblk);
	if (ret < 0)
		return ret;
	for (uint64_t lblk = pos >> geo->block_bits; lblk < nblk; lblk++) {
		ret = dir_block_read(w->dir, (lblk_t)lblk, kind, &b);
		if (ret < 0)
			return ret;
		ret = linear_block(w, (lblk_t)lblk, from, b->data);
		buf_put(b);
		if (ret != 0)
			return ret;
		from = 0;
	}
	return 0;
}

int dir_iterate(struct inode *dir, uint64_t pos,
		int (*fn)(void *ctx, const struct dir_entry *e), void *ctx)
{
	struct dir_walk w = { .dir = dir, .fn = fn, .ctx = ctx };

	return iterate_linear(&w, pos);
}
