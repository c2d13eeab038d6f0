/* SPDX-License-Identifier: MIT */
/*
 * Telling the entries of a directory.
 *
 * A linear directory is told in the order of its bytes; the cookie is the
 * place where the next entry may begin at the earliest. Entries never move in
 * a linear directory, so an entry that begins at or behind the cookie has not
 * been told, and all others have.
 *
 * Entries of a hashed directory do move when a leaf is split. So they are told
 * in the order of their hashes, and the cookie is a hash. So is a directory of
 * one block that may become a hashed one.
 *
 *	cookie  0 "."  1 ".."  2 + key of all others
 *	key     62..32 the hash without its mark  31..6 of a second hash
 *		5..0 the number among names whose other bits are equal
 *
 * Names of one hash may be spread over several leaves: those are read before
 * the first of them is told. The number tells names apart that collide in 57
 * bits; it can be wrong if one of them comes or goes in the middle of it. More such
 * names than there are numbers are told in one call, or not at all.
 */
#include <stdlib.h>
#include <string.h>

#include "cache/buf.h"
#include "disk/dhash.h"
#include "disk/dirent.h"
#include "disk/geo.h"
#include "inode/dir.h"
#include "inode/dir_block.h"
#include "inode/htree.h"
#include "inode/inline.h"
#include "inode/inode.h"

#define KEY_NUMBER_MAX 63u
#define COOKIE_DOTS    2u /* cookies of the dots */

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

/* "." and ".." are the first two entries of a directory, and no others. */
static bool dots_are_in_place(
		const struct ddirent *de, lblk_t lblk, uint32_t index)
{
	return !dir_name_is_dots(de->name, de->name_len) ||
			(lblk == 0 && index + 1 == de->name_len);
}

/* The entry at @off of a block, the @index-th, if it may be told. */
static int walk_at(const struct dir_walk *w, lblk_t lblk, const uint8_t *data,
		uint32_t off, uint32_t index, struct ddirent *ret_de)
{
	const char *why = NULL;
	int ret;

	ret = dirent_at(w->dir->it->geo, data, off, ret_de, &why);
	if (ret == 0 && ret_de->inum != 0 &&
			!dirent_name_ok(ret_de->name, ret_de->name_len)) {
		why = "an entry's name is impossible";
		ret = -UEXT4_ECORRUPT;
	} else if (ret == 0 && ret_de->inum != 0 &&
			!dots_are_in_place(ret_de, lblk, index)) {
		why = "\".\" or \"..\" out of place";
		ret = -UEXT4_ECORRUPT;
	}
	return ret < 0 ? dir_corrupt(w->dir, lblk, why) : 0;
}

/* ---- linear ---- */

/* The entries of a block that begin at @from or behind. */
static int linear_block(struct dir_walk *w, lblk_t lblk, uint32_t from,
		const uint8_t *data)
{
	const struct geo *geo = w->dir->it->geo;
	uint64_t base = (uint64_t)lblk << geo->block_bits;
	uint32_t end = dirent_end(geo);
	uint32_t index = 0;
	struct ddirent de;
	int ret;

	for (uint32_t off = 0; off < end; off += de.rec_len, index++) {
		uint64_t next;

		ret = walk_at(w, lblk, data, off, index, &de);
		if (ret < 0)
			return ret;
		if (off < from || de.inum == 0)
			continue;
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

/* ---- in the order of hashes ---- */

struct batch_item {
	uint64_t key;
	struct ddirent de; /* its name is in a held block */
};

/* The entries of one leaf, or of a chain of leaves. */
struct batch {
	uint8_t version; /* of the hash */
	struct batch_item *items;
	size_t n, cap;
	struct buf **bufs; /* held */
	size_t nbufs, bufs_cap;
};

static void batch_drop(struct batch *b)
{
	for (size_t i = 0; i < b->nbufs; i++)
		buf_put(b->bufs[i]);
	b->nbufs = 0;
	b->n = 0;
}

static void batch_fini(struct batch *b)
{
	batch_drop(b);
	free(b->bufs);
	free(b->items);
}

/* Room for one thing more in an array that grows by doubling. */
static int array_room(void **v, size_t n, size_t *cap, size_t size)
{
	size_t want = *cap ? *cap * 2 : 64;
	void *p;

	if (n < *cap)
		return 0;
	p = reallocarray(*v, want, size);
	if (!p)
		return -ENOMEM;
	*v = p;
	*cap = want;
	return 0;
}

static int batch_key(const struct dir_walk *w, const struct batch *b,
		const struct ddirent *de, uint64_t *ret_key)
{
	const struct geo *geo = w->dir->it->geo;
	struct dhash hash, second;
	int ret;

	ret = dhash_dir(geo, b->version, de->name, de->name_len, &hash);
	if (ret < 0)
		return ret;
	/* The legacy hash has no second one: lend it one. */
	if (b->version % 3 == DHASH_LEGACY) {
		ret = dhash_name(DHASH_TEA_UNSIGNED, geo->hash_seed, de->name,
				de->name_len, &second);
		if (ret < 0)
			return ret;
		hash.minor = second.major;
	}
	*ret_key = (uint64_t)(hash.major >> 1) << 32 |
			(hash.minor & ~KEY_NUMBER_MAX);
	return 0;
}

/* Take what is at key @from or behind; keeps the reference to @buf. */
static int batch_take(struct dir_walk *w, struct batch *b, lblk_t lblk,
		struct buf *buf, uint64_t from)
{
	uint32_t end = dirent_end(w->dir->it->geo);
	struct batch_item item;
	uint32_t index = 0;
	int ret;

	ret = array_room((void **)&b->bufs, b->nbufs, &b->bufs_cap,
			sizeof(*b->bufs));
	if (ret < 0) {
		buf_put(buf);
		return ret;
	}
	b->bufs[b->nbufs++] = buf;
	for (uint32_t off = 0; off < end; off += item.de.rec_len, index++) {
		ret = walk_at(w, lblk, buf->data, off, index, &item.de);
		if (ret < 0)
			return ret;
		if (item.de.inum == 0 ||
				dir_name_is_dots(
						item.de.name, item.de.name_len))
			continue;
		ret = batch_key(w, b, &item.de, &item.key);
		if (ret < 0)
			return ret;
		if (item.key < (from & ~(uint64_t)KEY_NUMBER_MAX))
			continue;
		ret = array_room((void **)&b->items, b->n, &b->cap,
				sizeof(*b->items));
		if (ret < 0)
			return ret;
		b->items[b->n++] = item;
	}
	return 0;
}

static int batch_cmp(const void *x, const void *y)
{
	const struct batch_item *a = x;
	const struct batch_item *b = y;

	if (a->key != b->key)
		return a->key < b->key ? -1 : 1;
	if (a->de.name_len != b->de.name_len)
		return a->de.name_len < b->de.name_len ? -1 : 1;
	return memcmp(a->de.name, b->de.name, a->de.name_len);
}

/* Sort and tell from key @from on, which moves on. */
static int batch_tell(struct dir_walk *w, struct batch *b, uint64_t *from)
{
	const uint64_t start = *from;
	uint64_t last = UINT64_MAX;
	uint64_t number = 0;
	int ret;

	if (b->n > 0)
		qsort(b->items, b->n, sizeof(*b->items), batch_cmp);
	for (size_t i = 0; i < b->n; i++) {
		struct batch_item *t = &b->items[i];
		uint64_t key;

		number = t->key == last ? number + 1 : 0;
		last = t->key;
		key = t->key | min_u64(number, KEY_NUMBER_MAX);
		if (key < start)
			continue;
		ret = walk_tell(w, &t->de, COOKIE_DOTS + key + 1);
		if (ret != 0)
			return ret;
		*from = key + 1;
	}
	return 0;
}

/* "." and "..", as far as the cookie says. */
static int tell_dots(struct dir_walk *w, const uint8_t *data, uint64_t pos)
{
	static const char dots[] = "..";
	const struct geo *geo = w->dir->it->geo;
	struct dir_slot slot;
	struct ddirent de;
	int ret;

	for (uint32_t i = (uint32_t)pos; i < COOKIE_DOTS; i++) {
		ret = dir_block_find(geo, data, dots, i + 1, &slot);
		if (ret == -ENOENT)
			continue;
		if (ret < 0)
			return dir_corrupt(
					w->dir, 0, "is not a chain of entries");
		ret = walk_at(w, 0, data, slot.off, i, &de);
		if (ret == 0)
			ret = walk_tell(w, &de, i + 1);
		if (ret != 0)
			return ret;
	}
	return 0;
}

/* All leaves of an index from key @from on. */
static int iterate_index(struct dir_walk *w, struct batch *b, uint64_t from)
{
	struct htree_path p;
	struct buf *buf;
	int ret;

	ret = htree_open(w->dir, (uint32_t)(from >> 32) << 1, &p);
	b->version = p.version;
	while (ret == 0) {
		lblk_t lblk = htree_leaf(&p);
		bool is_continued = htree_is_continued(&p);
		bool is_last = false;

		ret = dir_block_read(w->dir, lblk, DIR_BLOCK_LEAF, &buf);
		if (ret == 0)
			ret = batch_take(w, b, lblk, buf, from);
		if (ret < 0)
			break;
		ret = htree_next(w->dir, &p);
		if (ret == -ENOENT) {
			is_last = true;
			ret = 0;
		}
		if (ret < 0 || (is_continued && !is_last))
			continue;
		ret = batch_tell(w, b, &from);
		batch_drop(b);
		if (is_last)
			break;
	}
	htree_close(&p);
	return ret;
}

static int iterate_hashed(struct dir_walk *w, uint64_t pos)
{
	bool is_one = !dir_has_index_flag(w->dir);
	struct batch batch = { .version = w->dir->it->geo->def_hash_version };
	uint64_t from = pos < COOKIE_DOTS ? 0 : pos - COOKIE_DOTS;
	struct buf *b;
	int ret;

	if (pos >> 63)
		return 0;
	ret = dir_block_read(w->dir, 0,
			is_one ? DIR_BLOCK_LEAF : DIR_BLOCK_ROOT, &b);
	if (ret < 0)
		return ret;
	ret = pos < COOKIE_DOTS ? tell_dots(w, b->data, pos) : 0;
	if (ret == 0 && is_one) {
		buf_hold(b);
		ret = batch_take(w, &batch, 0, b, from);
		if (ret == 0)
			ret = batch_tell(w, &batch, &from);
	} else if (ret == 0) {
		ret = iterate_index(w, &batch, from);
	}
	buf_put(b);
	batch_fini(&batch);
	return ret;
}

/* Is the order that of the hashes? So that a cookie means the same from call
 * to call, a broken index is found before the first entry is told. */
static int is_hash_order(struct inode *dir, bool *ret_yes)
{
	lblk_t nblk;
	int ret;

	ret = dir_nblocks(dir, &nblk);
	if (ret < 0)
		return ret;
	if (dir_is_hashed(dir)) {
		ret = htree_check(dir);
		if (ret < 0 && ret != -UEXT4_ECORRUPT && ret != -UEXT4_EBADCSUM)
			return ret;
		*ret_yes = ret == 0;
		return 0;
	}
	*ret_yes = !dir_has_index_flag(dir) && nblk == 1 && htree_can_make(dir);
	return 0;
}

int dir_iterate(struct inode *dir, uint64_t pos,
		int (*fn)(void *ctx, const struct dir_entry *e), void *ctx)
{
	struct dir_walk w = { .dir = dir, .fn = fn, .ctx = ctx };
	bool yes;
	int ret;

	if (inode_is_inline(dir))
		return inline_dir_iterate(dir, pos, fn, ctx);
	ret = is_hash_order(dir, &yes);
	if (ret < 0)
		return ret;
	return yes ? iterate_hashed(&w, pos) : iterate_linear(&w, pos);
}
