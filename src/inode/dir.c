/* SPDX-License-Identifier: MIT */
/*
 * Directories: the doors, and the linear ones.
 *
 * A linear directory is searched block by block. To add to it, the blocks
 * before cache->room are not asked any more: they had no room last time, and a
 * removal moves the mark back.
 */
#include "inode/dir.h"

#include <assert.h>
#include <stdlib.h>

#include "base/le.h"
#include "cache/buf.h"
#include "disk/dhash.h"
#include "disk/dirent.h"
#include "disk/geo.h"
#include "inode/dir_block.h"
#include "inode/htree.h"
#include "inode/inline.h"
#include "inode/inode.h"
#include "journal/txn.h"

struct dir_cache {
	lblk_t room; /* no block before has room, as far as we know */
};

void dir_cache_free(struct inode *dir)
{
	free(dir->dir);
	dir->dir = NULL;
}

static lblk_t dir_room_mark(const struct inode *dir)
{
	return dir->dir ? dir->dir->room : 0;
}

/* Only a help: without memory there is no mark. */
static void dir_set_room_mark(struct inode *dir, lblk_t lblk)
{
	if (!dir->dir)
		dir->dir = calloc(1, sizeof(*dir->dir));
	if (dir->dir)
		dir->dir->room = lblk;
}

uint8_t dir_ftype(const struct inode *dir, uint32_t mode)
{
	if (!geo_has_incompat(dir->it->geo, FI_FILETYPE))
		return DIRENT_FT_UNKNOWN;
	return dirent_type_of_mode((uint16_t)mode);
}

/* ---- finding ---- */

/* Find @name in block @lblk. -ENOENT. */
static int dir_find_in(struct inode *dir, lblk_t lblk, enum dir_block_kind kind,
		const char *name, size_t len, struct dir_pos *ret_pos)
{
	struct buf *b;
	int ret;

	ret = dir_block_read(dir, lblk, kind, &b);
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

static int dir_find_linear(struct inode *dir, const char *name, size_t len,
		struct dir_pos *ret_pos)
{
	enum dir_block_kind kind = dir_has_index_flag(dir) ? DIR_BLOCK_ANY
							   : DIR_BLOCK_LEAF;
	lblk_t nblk;
	int ret;

	ret = dir_nblocks(dir, &nblk);
	if (ret < 0)
		return ret;
	for (lblk_t lblk = 0; lblk < nblk; lblk++) {
		ret = dir_find_in(dir, lblk, kind, name, len, ret_pos);
		if (ret != -ENOENT)
			return ret;
	}
	return -ENOENT;
}

static bool dir_is_broken(int ret)
{
	return ret == -UEXT4_ECORRUPT || ret == -UEXT4_EBADCSUM;
}

/* To read: a broken index is no hindrance (R5). */
static int dir_find_to_read(struct inode *dir, const char *name, size_t len,
		struct dir_pos *ret_pos)
{
	int ret;

	if (dir_is_hashed(dir) && !dir_name_is_dots(name, len)) {
		ret = htree_find(dir, name, len, ret_pos);
		if (!dir_is_broken(ret))
			return ret;
	}
	return dir_find_linear(dir, name, len, ret_pos);
}

/* To change: it is (R5). */
static int dir_find_to_change(struct inode *dir, const char *name, size_t len,
		struct dir_pos *ret_pos)
{
	if (!dir_has_index_flag(dir))
		return dir_find_linear(dir, name, len, ret_pos);
	if (!dir_is_hashed(dir))
		return dir_corrupt(
				dir, 0, "index without the feature dir_index");
	if (dir_name_is_dots(name, len))
		return dir_find_in(dir, 0, DIR_BLOCK_ROOT, name, len, ret_pos);
	return htree_find(dir, name, len, ret_pos);
}

int dir_find(struct inode *dir, const char *name, size_t len, inum_t *ret_inum,
		uint8_t *ret_ftype)
{
	struct dir_pos pos;
	int ret;

	if (len == 0 || len > DIR_NAME_MAX)
		return len == 0 ? -ENOENT : -ENAMETOOLONG;
	if (inode_is_inline(dir))
		return inline_dir_find(dir, name, len, ret_inum, ret_ftype);
	ret = dir_find_to_read(dir, name, len, &pos);
	if (ret < 0)
		return ret;
	buf_put(pos.b);
	if (!geo_inum_is_user(dir->it->geo, pos.slot.inum))
		return dir_corrupt(dir, pos.lblk,
				"an entry names a reserved inode");
	*ret_inum = pos.slot.inum;
	*ret_ftype = pos.slot.ftype;
	return 0;
}

/* ---- changing ---- */

/* Make the blocks of a linear directory hold one entry more. */
static int dir_add_linear(struct handle *h, struct inode *dir, const char *name,
		size_t len, inum_t inum, uint8_t ftype)
{
	struct buf *b;
	lblk_t nblk;
	lblk_t lblk;
	int ret;

	ret = dir_nblocks(dir, &nblk);
	if (ret < 0)
		return ret;
	for (lblk = min_of(dir_room_mark(dir), nblk); lblk < nblk; lblk++) {
		ret = dir_block_read(dir, lblk, DIR_BLOCK_LEAF, &b);
		if (ret < 0)
			return ret;
		ret = dir_block_add(h, dir, lblk, b, name, len, inum, ftype);
		buf_put(b);
		if (ret != -ENOSPC)
			goto out_mark;
	}
	if (nblk == 1 && htree_can_make(dir)) {
		ret = htree_make(h, dir);
		if (ret < 0)
			return ret;
		return htree_add(h, dir, name, len, inum, ftype);
	}
	ret = dir_block_append(h, dir, &lblk, &b);
	if (ret < 0)
		return ret;
	ret = dir_block_add(h, dir, lblk, b, name, len, inum, ftype);
	buf_put(b);
out_mark:
	if (ret == 0 && lblk != dir_room_mark(dir))
		dir_set_room_mark(dir, lblk);
	return ret;
}

int dir_add(struct handle *h, struct inode *dir, const char *name, size_t len,
		inum_t inum, uint8_t ftype)
{
	if (len == 0 || len > DIR_NAME_MAX)
		return len == 0 ? -ENOENT : -ENAMETOOLONG;
	if (dir_is_hashed(dir))
		return htree_add(h, dir, name, len, inum, ftype);
	if (dir_has_index_flag(dir))
		return dir_corrupt(
				dir, 0, "index without the feature dir_index");
	return dir_add_linear(h, dir, name, len, inum, ftype);
}

static enum dir_block_kind dir_kind_at(const struct inode *dir, lblk_t lblk)
{
	if (lblk == 0 && dir_is_hashed(dir))
		return DIR_BLOCK_ROOT;
	return DIR_BLOCK_LEAF;
}

int dir_remove(struct handle *h, struct inode *dir, const char *name,
		size_t len)
{
	struct dir_pos pos;
	int ret;

	if (len == 0 || dir_name_is_dots(name, len))
		return -EINVAL;
	ret = dir_find_to_change(dir, name, len, &pos);
	if (ret < 0)
		return ret;
	ret = handle_get_write(h, pos.b);
	if (ret == 0) {
		dir_slot_remove(dir->it->geo, pos.b->data, &pos.slot);
		ret = dir_block_dirty(h, dir, pos.b, DIR_BLOCK_LEAF);
	}
	buf_put(pos.b);
	if (ret == 0 && pos.lblk < dir_room_mark(dir))
		dir_set_room_mark(dir, pos.lblk);
	return ret;
}

int dir_set(struct handle *h, struct inode *dir, const char *name, size_t len,
		inum_t inum, uint8_t ftype)
{
	struct dir_pos pos;
	int ret;

	if (len == 0)
		return -ENOENT;
	ret = dir_find_to_change(dir, name, len, &pos);
	if (ret < 0)
		return ret;
	ret = handle_get_write(h, pos.b);
	if (ret == 0) {
		dirent_set_inum(dir->it->geo, pos.b->data, pos.slot.off, inum,
				ftype);
		ret = dir_block_dirty(
				h, dir, pos.b, dir_kind_at(dir, pos.lblk));
	}
	buf_put(pos.b);
	return ret;
}

int dir_init(struct handle *h, struct inode *dir, inum_t parent)
{
	struct buf *b;
	lblk_t lblk;
	int ret;

	assert(inode_size(dir) == 0);
	ret = dir_block_append(h, dir, &lblk, &b);
	if (ret < 0)
		return ret;
	dirent_block_init_dots(dir->it->geo, b->data, dir->inum, parent);
	ret = dir_block_dirty(h, dir, b, DIR_BLOCK_LEAF);
	buf_put(b);
	return ret;
}

int dir_is_empty(struct inode *dir)
{
	const struct geo *geo = dir->it->geo;
	bool is_empty = true;
	const char *why = NULL;
	struct buf *b;
	lblk_t nblk;
	int ret;

	if (inode_is_inline(dir))
		return inline_dir_is_empty(dir);
	ret = dir_nblocks(dir, &nblk);
	for (lblk_t lblk = 0; ret == 0 && lblk < nblk && is_empty; lblk++) {
		ret = dir_block_read(dir, lblk,
				dir_has_index_flag(dir) ? DIR_BLOCK_ANY
							: DIR_BLOCK_LEAF,
				&b);
		if (ret < 0)
			return ret;
		ret = dirent_block_is_empty(geo, b->data, &is_empty, &why);
		if (ret < 0)
			(void)dir_corrupt(dir, lblk, why);
		buf_put(b);
	}
	return ret < 0 ? ret : is_empty;
}

/*
 * At worst two blocks are added, each in a step of its own: one for the index
 * (the index made, a node split, or a level more) and a leaf. Besides these
 * two, the root, a node and the leaf that is split are changed, and the inode.
 */
uint32_t dir_credits_add(const struct inode *dir)
{
	return 2 * map_credits_alloc(&dir->map, 1) + 6;
}
