/* SPDX-License-Identifier: MIT */
/*
 * Hashed directories: making the index, and adding to it.
 *
 * An entry goes to the leaf of its hash. If that is full, two steps make room,
 * each one whole by itself (X1): first the index block above gets room for one
 * entry more (the root's entries go down to a new node, or a node is split),
 * then the leaf is split in two halves of about as many bytes, by hash.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "cache/buf.h"
#include "disk/dhash.h"
#include "disk/dirent.h"
#include "disk/geo.h"
#include "inode/dir_block.h"
#include "inode/htree.h"
#include "inode/inode.h"
#include "journal/txn.h"

/* An entry of a leaf under work: its name may be in a copy of the block. */
struct leaf_item {
	uint32_t hash;
	uint32_t order; /* among those of one hash */
	inum_t inum;
	const char *name;
	uint8_t len;
	uint8_t ftype;
};

struct leaf_work {
	uint8_t *copy; /* of the leaf */
	struct leaf_item *items;
	size_t n;
	uint64_t bytes; /* that they need */
};

static int leaf_work_init(const struct geo *geo, struct leaf_work *w)
{
	/* One more than fit: the new one. */
	size_t max = geo->block_size / dirent_need(1) + 1;

	*w = (struct leaf_work){ 0 };
	w->copy = malloc(geo->block_size);
	w->items = calloc(max, sizeof(*w->items));
	if (w->copy && w->items)
		return 0;
	free(w->copy);
	free(w->items);
	return -ENOMEM;
}

static void leaf_work_fini(struct leaf_work *w)
{
	free(w->copy);
	free(w->items);
}

static void leaf_work_add(struct leaf_work *w, const struct leaf_item *item)
{
	w->items[w->n] = *item;
	w->items[w->n].order = (uint32_t)w->n;
	w->n++;
	w->bytes += dirent_need(item->len);
}

/* Take the entries of a leaf that begin at @from or behind. */
static int leaf_work_take(const struct inode *dir, struct leaf_work *w,
		lblk_t lblk, const uint8_t *data, uint32_t from)
{
	const struct geo *geo = dir->it->geo;
	uint32_t end = dirent_end(geo);
	const char *why = NULL;
	struct ddirent de;
	int ret;

	memcpy(w->copy, data, geo->block_size);
	for (uint32_t off = from; off < end; off += de.rec_len) {
		ret = dirent_at(geo, w->copy, off, &de, &why);
		if (ret < 0)
			return dir_corrupt(dir, lblk, why);
		if (de.inum == 0)
			continue;
		leaf_work_add(w,
				&(struct leaf_item){ .inum = de.inum,
						.name = de.name,
						.len = de.name_len,
						.ftype = de.ftype });
	}
	return 0;
}

/* Write items [a, b) as the whole of a leaf. They fit. */
static void leaf_fill(const struct geo *geo, uint8_t *data,
		const struct leaf_work *w, size_t a, size_t b)
{
	uint32_t end = dirent_end(geo);
	uint32_t off = 0;

	dirent_block_init(geo, data);
	for (size_t i = a; i < b; i++) {
		const struct leaf_item *t = &w->items[i];
		struct ddirent de = { .off = off,
			.rec_len = dirent_need(t->len),
			.inum = t->inum,
			.ftype = t->ftype,
			.name = t->name,
			.name_len = t->len };

		if (i + 1 == b)
			de.rec_len = end - off;
		dirent_put(geo, data, &de);
		off += de.rec_len;
	}
}

/* ---- room in the index ---- */

static int get_write_two(struct handle *h, struct buf *a, struct buf *b)
{
	int ret;

	ret = handle_get_write(h, a);
	return ret < 0 ? ret : handle_get_write(h, b);
}

/* Copy the @n entries from @from of one index block over those of another. */
static void index_copy(const uint8_t *src, uint32_t src_off, unsigned from,
		unsigned n, uint8_t *dst, uint32_t dst_off)
{
	struct dx_entry e;

	dx_set_count(dst, dst_off, n);
	for (unsigned i = 0; i < n; i++) {
		dx_entry_decode(src, src_off, from + i, &e);
		dx_entry_encode(dst, dst_off, i, &e);
	}
}

/* Forget the entries from @n on. */
static void index_cut(uint8_t *data, uint32_t off, unsigned n)
{
	static const struct dx_entry none;
	unsigned count = dx_count(data, off);

	for (unsigned i = n; i < count; i++)
		dx_entry_encode(data, off, i, &none);
	dx_set_count(data, off, n);
}

/* The root is full: move all it has to a node below. */
static int index_grow(struct handle *h, struct inode *dir, struct htree_path *p)
{
	struct dx_entry e = { .hash = 0 };
	struct dx_root_info info;
	struct buf *node;
	lblk_t lblk;
	uint8_t *root;
	int ret;

	ret = dir_block_append(h, dir, &lblk, &node);
	if (ret < 0)
		return ret;
	p->b[1] = node; /* put with the path */
	ret = get_write_two(h, p->b[0], node);
	if (ret < 0)
		return ret;

	root = p->b[0]->data;
	dx_node_init(dir->it->geo, node->data);
	index_copy(root, DX_ROOT_OFF, 0, dx_count(root, DX_ROOT_OFF),
			node->data, DX_NODE_OFF);
	index_cut(root, DX_ROOT_OFF, 1);
	e.block = lblk;
	dx_entry_encode(root, DX_ROOT_OFF, 0, &e);
	dx_root_info_decode(root, &info);
	info.indirect_levels = 1;
	dx_root_info_encode(root, &info);

	p->lblk[1] = lblk;
	p->at[1] = p->at[0];
	p->at[0] = 0;
	p->depth = 2;
	ret = dir_block_dirty(h, dir, node, DIR_BLOCK_NODE);
	if (ret < 0)
		return ret;
	return dir_block_dirty(h, dir, p->b[0], DIR_BLOCK_ROOT);
}

/* A node is full and the root is not: halve it. */
static int index_split(
		struct handle *h, struct inode *dir, struct htree_path *p)
{
	unsigned count = dx_count(p->b[1]->data, DX_NODE_OFF);
	unsigned half = count / 2;
	struct dx_entry e;
	struct buf *node;
	lblk_t lblk;
	int ret;

	ret = dir_block_append(h, dir, &lblk, &node);
	if (ret < 0)
		return ret;
	ret = get_write_two(h, p->b[0], p->b[1]);
	if (ret == 0)
		ret = handle_get_write(h, node);
	if (ret < 0)
		goto out_put;

	dx_node_init(dir->it->geo, node->data);
	dx_entry_decode(p->b[1]->data, DX_NODE_OFF, half, &e);
	index_copy(p->b[1]->data, DX_NODE_OFF, half, count - half, node->data,
			DX_NODE_OFF);
	index_cut(p->b[1]->data, DX_NODE_OFF, half);
	e.block = lblk;
	dx_entry_insert(p->b[0]->data, DX_ROOT_OFF, p->at[0] + 1, &e);

	ret = dir_block_dirty(h, dir, node, DIR_BLOCK_NODE);
	if (ret == 0)
		ret = dir_block_dirty(h, dir, p->b[1], DIR_BLOCK_NODE);
	if (ret == 0)
		ret = dir_block_dirty(h, dir, p->b[0], DIR_BLOCK_ROOT);
	if (p->at[1] >= half) {
		struct buf *old = p->b[1];

		p->b[1] = node;
		p->lblk[1] = lblk;
		p->at[1] -= half;
		p->at[0]++;
		node = old;
	}
out_put:
	buf_put(node);
	return ret;
}

static bool index_is_full(const struct htree_path *p, unsigned level)
{
	const uint8_t *data = p->b[level]->data;
	uint32_t off = level == 0 ? DX_ROOT_OFF : DX_NODE_OFF;

	return dx_count(data, off) >= dx_limit(data, off);
}

/* Let the index block above the leaf have room for one entry more. */
static int index_make_room(
		struct handle *h, struct inode *dir, struct htree_path *p)
{
	if (!index_is_full(p, p->depth - 1))
		return 0;
	if (p->depth == 1)
		return index_grow(h, dir, p);
	if (index_is_full(p, 0))
		return -ENOSPC;
	return index_split(h, dir, p);
}

/* ---- a full leaf ---- */

static int item_cmp(const void *x, const void *y)
{
	const struct leaf_item *a = x;
	const struct leaf_item *b = y;

	if (a->hash != b->hash)
		return a->hash < b->hash ? -1 : 1;
	return a->order < b->order ? -1 : a->order > b->order;
}

/* Sort by hash, which must be one that belongs here. */
static int leaf_work_sort(const struct inode *dir, struct leaf_work *w,
		const struct htree_path *p)
{
	struct dhash hash;
	int ret;

	for (size_t i = 0; i < w->n; i++) {
		struct leaf_item *t = &w->items[i];

		ret = dhash_dir(dir->it->geo, p->version, t->name, t->len,
				&hash);
		if (ret < 0)
			return ret;
		t->hash = hash.major;
		if (t->hash < (p->lo & ~1u) || t->hash >= p->hi)
			return dir_corrupt(dir, htree_leaf(p),
					"a name is not where its hash says");
	}
	qsort(w->items, w->n, sizeof(*w->items), item_cmp);
	return 0;
}

/* How many of the sorted items stay, so that the halves weigh most alike. */
static size_t leaf_work_middle(const struct leaf_work *w)
{
	uint64_t best = UINT64_MAX;
	uint64_t left = 0;
	size_t middle = 0;

	for (size_t k = 1; k < w->n; k++) {
		uint64_t more;

		left += dirent_need(w->items[k - 1].len);
		more = max_u64(left, w->bytes - left);
		if (more < best) {
			best = more;
			middle = k;
		}
	}
	return middle;
}

/* Part the sorted items between the leaf and a new one behind it. */
static int leaf_split(struct handle *h, struct inode *dir,
		const struct htree_path *p, struct buf *leaf,
		const struct leaf_work *w)
{
	const struct geo *geo = dir->it->geo;
	unsigned bottom = p->depth - 1;
	uint32_t off = bottom == 0 ? DX_ROOT_OFF : DX_NODE_OFF;
	size_t k = leaf_work_middle(w);
	struct dx_entry e;
	struct buf *b;
	int ret;

	assert(k > 0);
	ret = dir_block_append(h, dir, &e.block, &b);
	if (ret < 0)
		return ret;
	ret = get_write_two(h, leaf, p->b[bottom]);
	if (ret == 0)
		ret = handle_get_write(h, b);
	if (ret < 0)
		goto out_put;

	leaf_fill(geo, leaf->data, w, 0, k);
	leaf_fill(geo, b->data, w, k, w->n);
	e.hash = w->items[k].hash;
	if (e.hash == w->items[k - 1].hash)
		e.hash |= 1;
	dx_entry_insert(p->b[bottom]->data, off, p->at[bottom] + 1, &e);

	ret = dir_block_dirty(h, dir, b, DIR_BLOCK_LEAF);
	if (ret == 0)
		ret = dir_block_dirty(h, dir, leaf, DIR_BLOCK_LEAF);
	if (ret == 0)
		ret = dir_block_dirty(h, dir, p->b[bottom],
				bottom == 0 ? DIR_BLOCK_ROOT : DIR_BLOCK_NODE);
out_put:
	buf_put(b);
	return ret;
}

/* Add @item to a leaf that is full as it stands. */
static int leaf_add_full(struct handle *h, struct inode *dir,
		struct htree_path *p, struct buf *leaf,
		const struct leaf_item *item)
{
	const struct geo *geo = dir->it->geo;
	struct leaf_work w;
	int ret;

	ret = leaf_work_init(geo, &w);
	if (ret < 0)
		return ret;
	ret = leaf_work_take(dir, &w, htree_leaf(p), leaf->data, 0);
	if (ret < 0)
		goto out_work;
	leaf_work_add(&w, item);

	/* It is only in pieces: bring them together. */
	if (w.bytes <= (uint64_t)(dirent_end(geo) / 4) * 3) {
		ret = handle_get_write(h, leaf);
		if (ret == 0) {
			leaf_fill(geo, leaf->data, &w, 0, w.n);
			ret = dir_block_dirty(h, dir, leaf, DIR_BLOCK_LEAF);
		}
		goto out_work;
	}
	ret = leaf_work_sort(dir, &w, p);
	if (ret == 0)
		ret = index_make_room(h, dir, p);
	if (ret == 0)
		ret = leaf_split(h, dir, p, leaf, &w);
out_work:
	leaf_work_fini(&w);
	return ret;
}

int htree_add(struct handle *h, struct inode *dir, const char *name, size_t len,
		inum_t inum, uint8_t ftype)
{
	struct leaf_item item = {
		.inum = inum, .name = name, .len = (uint8_t)len, .ftype = ftype
	};
	struct htree_path p;
	struct buf *leaf;
	int ret;

	ret = htree_open_name(dir, name, len, &p, &item.hash);
	if (ret < 0)
		goto out_path;
	ret = dir_block_read(dir, htree_leaf(&p), DIR_BLOCK_LEAF, &leaf);
	if (ret < 0)
		goto out_path;
	ret = dir_block_add(
			h, dir, htree_leaf(&p), leaf, name, len, inum, ftype);
	if (ret == -ENOSPC)
		ret = leaf_add_full(h, dir, &p, leaf, &item);
	buf_put(leaf);
out_path:
	htree_close(&p);
	return ret;
}

/* ---- making the index ---- */

bool htree_can_make(const struct inode *dir)
{
	const struct geo *geo = dir->it->geo;

	return geo_has_compat(geo, FC_DIR_INDEX) &&
			geo->def_hash_version <= DHASH_TEA_UNSIGNED;
}

/* Where the entries behind "." and ".." begin, and the parent. */
static int dots_end(const struct inode *dir, const uint8_t *data,
		uint32_t *ret_end, inum_t *ret_parent)
{
	const struct geo *geo = dir->it->geo;
	struct ddirent dot, dotdot = { 0 };
	int ret;

	ret = dirent_at(geo, data, 0, &dot, NULL);
	if (ret == 0)
		ret = dirent_at(geo, data, dot.rec_len, &dotdot, NULL);
	if (ret < 0 || dot.name_len != 1 || dotdot.name_len != 2 ||
			!dir_name_is_dots(dot.name, 1) ||
			!dir_name_is_dots(dotdot.name, 2))
		return dir_corrupt(dir, 0, "does not begin with the dots");
	*ret_end = dot.rec_len + dotdot.rec_len;
	*ret_parent = dotdot.inum;
	return 0;
}

/* Move all that @w holds to a new leaf, and make block 0 the root over it. */
static int htree_make_root(struct handle *h, struct inode *dir,
		struct buf *root, inum_t parent, const struct leaf_work *w)
{
	const struct geo *geo = dir->it->geo;
	struct buf *leaf;
	lblk_t lblk;
	int ret;

	ret = dir_block_append(h, dir, &lblk, &leaf);
	if (ret < 0)
		return ret;
	ret = get_write_two(h, root, leaf);
	if (ret < 0)
		goto out_put;
	leaf_fill(geo, leaf->data, w, 0, w->n);
	dx_root_init(geo, root->data, dir->inum, parent, geo->def_hash_version,
			lblk);
	ret = dir_block_dirty(h, dir, leaf, DIR_BLOCK_LEAF);
	if (ret == 0)
		ret = dir_block_dirty(h, dir, root, DIR_BLOCK_ROOT);
	if (ret < 0)
		goto out_put;

	mutex_lock(&dir->attr_lock);
	inode_set_flags(dir, dir->d.flags | DINODE_F_INDEX);
	mutex_unlock(&dir->attr_lock);
	ret = inode_dirty(h, dir);
out_put:
	buf_put(leaf);
	return ret;
}

int htree_make(struct handle *h, struct inode *dir)
{
	struct leaf_work w;
	struct buf *b;
	inum_t parent = 0;
	uint32_t from = 0;
	int ret;

	ret = dir_block_read(dir, 0, DIR_BLOCK_LEAF, &b);
	if (ret < 0)
		return ret;
	ret = dots_end(dir, b->data, &from, &parent);
	if (ret < 0)
		goto out_put;
	ret = leaf_work_init(dir->it->geo, &w);
	if (ret < 0)
		goto out_put;
	ret = leaf_work_take(dir, &w, 0, b->data, from);
	if (ret == 0)
		ret = htree_make_root(h, dir, b, parent, &w);
	leaf_work_fini(&w);
out_put:
	buf_put(b);
	return ret;
}
