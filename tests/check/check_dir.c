/* SPDX-License-Identifier: MIT */
/*
 * Pass 2: every block of every directory. Counts the names of each inode and
 * notes who names each directory.
 */
#include "check/check_int.h"

#include <errno.h>
#include <stdlib.h>

struct dir_walk {
	struct ck *c;
	const struct ck_dir *d;
	struct ck_leaf *leaf; /* NULL: not hashed, or a broken index */
	uint32_t blk;         /* of the directory */
	uint8_t version;      /* of the hash */
};

static void dir_bad(struct dir_walk *w, const char *what, uint64_t v)
{
	ck_problem(w->c, "pass2: directory %u, block %u: %s (%ju)", w->d->ino,
			w->blk, what, (uintmax_t)v);
}

/* With blocks of 64 KiB two low bits stand for bits 16 and 17. */
uint32_t ck_rec_len(const struct ck *c, const uint8_t *de)
{
	uint32_t len = get_le16(de + 4);

	if (c->bs < 65536)
		return len;
	if (len == 65535 || len == 0)
		return 65536;
	return (len & 65532) | (len & 3) << 16;
}

static uint32_t dir_name_len(const struct ck *c, const uint8_t *de)
{
	return ck_incompat(c, CK_INCOMPAT_FILETYPE) ? de[6] : get_le16(de + 6);
}

/* 64 bits stand for a name: two that agree are taken for one name. */
static uint64_t dir_name_hash(const uint8_t *name, uint32_t len)
{
	uint64_t h = 0x9e3779b97f4a7c15ULL ^ len;

	while (len > 0) {
		uint64_t word = 0;
		uint32_t n = len < 8 ? len : 8;

		memcpy(&word, name, n);
		h = (h ^ word) * 0xff51afd7ed558ccdULL;
		h ^= h >> 32;
		name += n;
		len -= n;
	}
	h *= 0xc4ceb9fe1a85ec53ULL;
	return (h ^ h >> 29) | 1;
}

static uint64_t *dir_name_slot(uint64_t *tab, uint32_t cap, uint64_t h)
{
	uint32_t i = (uint32_t)(h >> 32) & (cap - 1);

	while (tab[i] && tab[i] != h)
		i = (i + 1) & (cap - 1);
	return &tab[i];
}

static void dir_names_reset(struct ck *c)
{
	if (c->nnames)
		memset(c->names, 0, c->cap_names * sizeof(*c->names));
	c->nnames = 0;
}

/* Remember the name. True: it was there already. */
static bool dir_name_seen(struct ck *c, const uint8_t *name, uint32_t len)
{
	uint64_t h = dir_name_hash(name, len);
	uint64_t *slot;

	if (2 * c->nnames >= c->cap_names) {
		uint64_t *old = c->names, *new = NULL;
		uint32_t cap = 0;

		if (!ck_grow(c, &new, &cap, 2 * c->cap_names + 128,
				    sizeof(*new)))
			return false;
		memset(new, 0, cap * sizeof(*new));
		for (uint32_t i = 0; i < c->cap_names; i++)
			if (old[i])
				*dir_name_slot(new, cap, old[i]) = old[i];
		free(old);
		c->names = new;
		c->cap_names = cap;
	}
	slot = dir_name_slot(c->names, c->cap_names, h);
	if (*slot)
		return true;
	*slot = h;
	c->nnames++;
	return false;
}

/* What the entry says about the inode it names. */
static void dir_target(struct dir_walk *w, const uint8_t *de, bool dots)
{
	struct ck *c = w->c;
	uint32_t ino = get_le32(de);
	struct ck_ino *info;
	uint8_t want = 0;

	if (ino > c->inodes || (ino < c->first_ino && ino != CK_ROOT_INO)) {
		dir_bad(w, "entry names inode", ino);
		return;
	}
	info = ck_ino(c, ino);
	if (!(info->flags & CK_INO_USED) || (info->links == 0 && !dots)) {
		dir_bad(w, "entry names free inode", ino);
		return;
	}
	if (info->flags & CK_INO_HIDDEN)
		dir_bad(w, "entry names hidden inode", ino);
	if (ck_incompat(c, CK_INCOMPAT_FILETYPE))
		want = info->type;
	if (ck_incompat(c, CK_INCOMPAT_FILETYPE) && de[7] != want)
		dir_bad(w, "wrong type for inode", ino);
	info->found++;
	if (dots || info->type != CK_FT_DIR)
		return;
	if (ino == CK_ROOT_INO)
		dir_bad(w, "entry names the root", ino);
	else if (info->parent)
		dir_bad(w, "second name for directory", ino);
	else
		info->parent = w->d->ino;
}

/* "." and "..", at the start of block 0. False: not even that. */
static bool dir_dots(struct dir_walk *w, const uint8_t *p)
{
	struct ck *c = w->c;
	const uint8_t *up = p + 12;

	if (dir_name_len(c, p) != 1 || p[8] != '.' || ck_rec_len(c, p) != 12 ||
			get_le32(p) != w->d->ino) {
		dir_bad(w, "first entry is not '.'", get_le32(p));
		return false;
	}
	if (dir_name_len(c, up) != 2 || up[8] != '.' || up[9] != '.' ||
			get_le32(up) == 0) {
		dir_bad(w, "second entry is not '..'", get_le32(up));
		return false;
	}
	if (p[9] || up[10])
		dir_bad(w, "name of '.' or '..' does not end", 0);
	ck_ino(c, w->d->ino)->dotdot = get_le32(up);
	return true;
}

static void dir_name(struct dir_walk *w, const uint8_t *de)
{
	struct ck *c = w->c;
	uint32_t len = dir_name_len(c, de);
	const uint8_t *name = de + 8;

	if (len == 0 || memchr(name, '/', len) || memchr(name, 0, len)) {
		dir_bad(w, "bad name, inode", get_le32(de));
		return;
	}
	if (name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.'))) {
		dir_bad(w, "a second '.' or '..'", get_le32(de));
		return;
	}
	if (dir_name_seen(c, name, len))
		dir_bad(w, "name is there twice, inode", get_le32(de));
	if (w->leaf) {
		const struct ck_leaf *l = &w->leaf[w->blk];
		uint32_t h = ck_hash(c, w->version, name, len);

		if (h < l->lo || (l->hi && h >= l->hi))
			dir_bad(w, "hash outside of the leaf", h);
	}
}

/* The entries in [@off, @end) of the block; they must fill it exactly. */
static void dir_entries(struct dir_walk *w, const uint8_t *p, uint32_t off,
		uint32_t end)
{
	struct ck *c = w->c;
	uint32_t index = 0;

	while (off < end) {
		const uint8_t *de = p + off;
		uint32_t rec, len;
		bool dots = w->blk == 0 && index++ < 2;

		if (end - off < 12) {
			dir_bad(w, "entries do not end with the block", off);
			return;
		}
		rec = ck_rec_len(c, de);
		len = dir_name_len(c, de);
		if (rec < 12 || rec % 4 || rec > end - off || len + 8 > rec) {
			dir_bad(w, "length of the entry at", off);
			return;
		}
		if (get_le32(de)) {
			if (!dots)
				dir_name(w, de);
			dir_target(w, de, dots);
		}
		off += rec;
	}
}

/* The checksum in a false entry at the end. Returns where entries end. */
static uint32_t dir_tail(struct dir_walk *w, const uint8_t *p)
{
	struct ck *c = w->c;
	uint32_t end = c->bs - 12;
	const uint8_t *tail = p + end;

	if (!c->has_csum)
		return c->bs;
	if (get_le32(tail) || ck_rec_len(c, tail) != 12 || tail[6] ||
			tail[7] != CK_FT_CSUM) {
		dir_bad(w, "no room for the checksum", 0);
		return c->bs;
	}
	if (crc32c(w->d->seed, p, end) != get_le32(tail + 8))
		dir_bad(w, "checksum", get_le32(tail + 8));
	return end;
}

static void dir_block(struct dir_walk *w)
{
	struct ck *c = w->c;
	uint64_t pblk = c->dblks[w->d->first + w->blk];
	const uint8_t *p = ck_block(c, pblk, CK_SLOT_DIR);
	uint32_t end = c->bs;

	if (!p)
		return;
	ck_canary(c, pblk, p, c->bs, "directory", w->d->ino);
	if (w->blk == 0 && !dir_dots(w, p))
		return;
	if (w->leaf && w->leaf[w->blk].role == 1) {
		if (w->blk == 0) {
			/* "." and "..", which covers the index. */
			dir_entries(w, p, 0, end);
		}
		return;
	}
	if (!w->d->index || w->leaf)
		end = dir_tail(w, p);
	dir_entries(w, p, 0, end);
}

static int dir_check(struct ck *c, const struct ck_dir *d)
{
	struct dir_walk w = { .c = c, .d = d };

	dir_names_reset(c);
	if (d->index) {
		w.leaf = calloc(d->count ? d->count : 1, sizeof(*w.leaf));
		if (!w.leaf)
			return -ENOMEM;
		if (ck_htree(c, d, w.leaf, &w.version) < 0) {
			free(w.leaf);
			w.leaf = NULL;
		}
	}
	for (w.blk = 0; w.blk < d->count && !c->err; w.blk++)
		dir_block(&w);
	free(w.leaf);
	return c->err;
}

int ck_dirs(struct ck *c)
{
	int ret = 0;

	for (uint32_t i = 0; i < c->ndirs && ret == 0; i++)
		ret = dir_check(c, &c->dirs[i]);
	return ret;
}
