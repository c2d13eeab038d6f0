/* SPDX-License-Identifier: MIT */
/*
 * Hashed directories: ways through the index, and searching.
 *
 * Changes are in htree_edit.c.
 */
#include "inode/htree.h"

#include "cache/buf.h"
#include "disk/dhash.h"
#include "disk/geo.h"
#include "inode/dir_block.h"
#include "inode/inode.h"

static uint32_t level_off(unsigned level)
{
	return level == 0 ? DX_ROOT_OFF : DX_NODE_OFF;
}

static struct dx_entry path_entry(
		const struct htree_path *p, unsigned level, unsigned i)
{
	struct dx_entry e;

	dx_entry_decode(p->b[level]->data, level_off(level), i, &e);
	return e;
}

static unsigned path_count(const struct htree_path *p, unsigned level)
{
	return dx_count(p->b[level]->data, level_off(level));
}

lblk_t htree_leaf(const struct htree_path *p)
{
	return path_entry(p, p->depth - 1, p->at[p->depth - 1]).block;
}

/* Work out the range of the leaf. */
static void path_set_range(struct htree_path *p)
{
	p->lo = 0;
	p->hi = (uint64_t)1 << 32;
	for (unsigned l = 0; l < p->depth; l++) {
		if (p->at[l] > 0)
			p->lo = path_entry(p, l, p->at[l]).hash;
		if (p->at[l] + 1 < path_count(p, l))
			p->hi = path_entry(p, l, p->at[l] + 1).hash;
	}
}

/* Hold the node at @level that the chosen entry of the one above points to. */
static int path_enter_node(
		struct inode *dir, struct htree_path *p, unsigned level)
{
	lblk_t lblk = path_entry(p, level - 1, p->at[level - 1]).block;
	struct buf *b;
	int ret;

	ret = dir_block_read(dir, lblk, DIR_BLOCK_NODE, &b);
	if (ret < 0)
		return ret;
	buf_put(p->b[level]);
	p->b[level] = b;
	p->lblk[level] = lblk;
	p->at[level] = 0;
	return 0;
}

/* To the next entry at @level, or of the levels above it if a node ends there,
 * and from it down along the first ones. -ENOENT after the last. */
static int path_next(struct inode *dir, struct htree_path *p, unsigned level)
{
	lblk_t nblk;
	int ret;

	while (p->at[level] + 1 >= path_count(p, level)) {
		if (level-- == 0)
			return -ENOENT;
	}
	p->at[level]++;
	while (++level < p->depth) {
		ret = path_enter_node(dir, p, level);
		if (ret < 0)
			return ret;
	}
	path_set_range(p);

	/* More ways than blocks: some are named twice (X2). */
	ret = dir_nblocks(dir, &nblk);
	if (ret == 0 && ++p->steps > nblk)
		ret = dir_corrupt(dir, 0, "index names a block twice");
	return ret;
}

static int htree_open_root(struct inode *dir, struct htree_path *p)
{
	struct dx_root_info info;
	int ret;

	*p = (struct htree_path){ .depth = 1 };
	ret = dir_block_read(dir, 0, DIR_BLOCK_ROOT, &p->b[0]);
	if (ret < 0)
		return ret;
	dx_root_info_decode(p->b[0]->data, &info);
	p->version = info.hash_version;
	p->depth = info.indirect_levels + 1u;
	return 0;
}

/* From the root to the leaf where @hash begins. */
static int path_descend(struct inode *dir, struct htree_path *p, uint32_t hash)
{
	int ret;

	p->at[0] = dx_search(p->b[0]->data, DX_ROOT_OFF, hash);
	for (unsigned l = 1; l < p->depth; l++) {
		ret = path_enter_node(dir, p, l);
		if (ret < 0)
			return ret;
		p->at[l] = dx_search(p->b[l]->data, DX_NODE_OFF, hash);
	}
	path_set_range(p);
	return 0;
}

int htree_open(struct inode *dir, uint32_t hash, struct htree_path *ret_path)
{
	int ret;

	ret = htree_open_root(dir, ret_path);
	if (ret < 0)
		return ret;
	return path_descend(dir, ret_path, hash);
}

void htree_close(struct htree_path *p)
{
	for (unsigned l = 0; l < DX_LEVELS_MAX; l++)
		buf_put(p->b[l]);
}

int htree_next(struct inode *dir, struct htree_path *p)
{
	return path_next(dir, p, p->depth - 1);
}

int htree_check(struct inode *dir)
{
	struct htree_path p;
	int ret;

	ret = htree_open(dir, 0, &p);
	while (ret == 0 && p.depth > 1)
		ret = path_next(dir, &p, p.depth - 2);
	htree_close(&p);
	return ret == -ENOENT ? 0 : ret;
}

static int htree_find_in(struct inode *dir, const struct htree_path *p,
		const char *name, size_t len, struct dir_pos *ret_pos)
{
	lblk_t lblk = htree_leaf(p);
	struct buf *b;
	int ret;

	ret = dir_block_read(dir, lblk, DIR_BLOCK_LEAF, &b);
	if (ret < 0)
		return ret;
	ret = dir_block_find(dir->it->geo, b->data, name, len, &ret_pos->slot);
	if (ret == 0) {
		ret_pos->b = b;
		ret_pos->lblk = lblk;
		return 0;
	}
	buf_put(b);
	if (ret == -UEXT4_ECORRUPT)
		return dir_corrupt(dir, lblk, "is not a chain of entries");
	return ret;
}

int htree_open_name(struct inode *dir, const char *name, size_t len,
		struct htree_path *ret_path, uint32_t *ret_hash)
{
	struct dhash hash;
	uint8_t version;
	int ret;

	/* The version stands in the root: look there first. */
	ret = htree_open_root(dir, ret_path);
	if (ret < 0)
		return ret;
	version = ret_path->version;
	ret = dhash_dir(dir->it->geo, version, name, (uint32_t)len, &hash);
	if (ret < 0)
		return dir_corrupt(dir, 0, "index hash is not known");
	*ret_hash = hash.major;
	return path_descend(dir, ret_path, hash.major);
}

int htree_find(struct inode *dir, const char *name, size_t len,
		struct dir_pos *ret_pos)
{
	struct htree_path p;
	uint32_t hash;
	int ret;

	ret = htree_open_name(dir, name, len, &p, &hash);
	while (ret == 0) {
		ret = htree_find_in(dir, &p, name, len, ret_pos);
		if (ret != -ENOENT)
			break;
		if (p.hi != (hash | 1))
			break;
		ret = htree_next(dir, &p);
	}
	htree_close(&p);
	return ret;
}
