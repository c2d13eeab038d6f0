/* SPDX-License-Identifier: MIT */
/*
 * One block of a directory. The formats are disk/dirent.h and disk/dhtree.h;
 * the walks here are those of the hot paths, which look at no more than they
 * must (D1).
 */
#include "inode/dir_block.h"

#include <assert.h>
#include <string.h>

#include "base/le.h"
#include "base/log.h"
#include "cache/buf.h"
#include "disk/dhash.h"
#include "disk/dhtree.h"
#include "disk/dirent.h"
#include "disk/geo.h"
#include "inode/inode.h"
#include "journal/txn.h"

/* Where the fields of an entry stand. */
#define DE_REC_LEN  4u
#define DE_NAME_LEN 6u
#define DE_FTYPE    7u
#define DE_MIN      12u

bool dir_has_index_flag(const struct inode *dir)
{
	return (inode_flags(dir) & DINODE_F_INDEX) != 0;
}

bool dir_is_hashed(const struct inode *dir)
{
	return dir_has_index_flag(dir) &&
			geo_has_compat(dir->it->geo, FC_DIR_INDEX);
}

int dir_corrupt(const struct inode *dir, lblk_t lblk, const char *why)
{
	log_err(dir->it->log, "directory inode %u, block %u: %s; run e2fsck",
			dir->inum, lblk, why);
	return -UEXT4_ECORRUPT;
}

int dir_nblocks(const struct inode *dir, lblk_t *ret_nblk)
{
	const struct geo *geo = dir->it->geo;
	uint64_t size = inode_size(dir);

	if (inode_flags(dir) &
			(DINODE_F_INLINE_DATA | DINODE_F_ENCRYPT |
					DINODE_F_CASEFOLD))
		return -EOPNOTSUPP;
	if (size == 0 || size % geo->block_size != 0 ||
			size >> geo->block_bits > UINT32_MAX)
		return dir_corrupt(dir, 0, "directory size is impossible");
	*ret_nblk = (lblk_t)(size >> geo->block_bits);
	return 0;
}

static uint32_t dir_seed(const struct inode *dir)
{
	return dinode_csum_seed(dir->it->geo, dir->inum, dir->d.generation);
}

/* ---- reading ---- */

static int check_leaf(const struct inode *dir, const uint8_t *data,
		const char **ret_why)
{
	int ret;

	ret = dirent_csum_verify(dir->it->geo, dir_seed(dir), data);
	if (ret < 0) {
		*ret_why = "checksum does not match";
		return ret;
	}
	return dirent_block_check(dir->it->geo, data, ret_why);
}

static int check_index(const struct inode *dir, const uint8_t *data,
		bool is_root, lblk_t nblk, const char **ret_why)
{
	const struct geo *geo = dir->it->geo;
	int ret;

	if (is_root)
		ret = dx_root_check(geo, data, nblk, ret_why);
	else
		ret = dx_node_check(geo, data, nblk, ret_why);
	if (ret < 0)
		return ret;
	ret = dx_csum_verify(geo, dir_seed(dir), data,
			is_root ? DX_ROOT_OFF : DX_NODE_OFF);
	if (ret < 0)
		*ret_why = "checksum does not match";
	return ret;
}

/* Of a block that was checked before, perhaps as another kind (D1): may its
 * index entries be walked? */
static int check_index_again(
		const struct geo *geo, const uint8_t *data, bool is_root)
{
	uint32_t off = is_root ? DX_ROOT_OFF : DX_NODE_OFF;
	struct dx_root_info info;

	if (dx_limit(data, off) != dx_limit_max(geo, is_root) ||
			dx_count(data, off) == 0 ||
			dx_count(data, off) > dx_limit(data, off))
		return -UEXT4_ECORRUPT;
	if (!is_root)
		return dx_is_node(geo, data) ? 0 : -UEXT4_ECORRUPT;
	dx_root_info_decode(data, &info);
	if (info.hash_version > DHASH_TEA_UNSIGNED ||
			info.indirect_levels >= dx_levels_max(geo))
		return -UEXT4_ECORRUPT;
	return 0;
}

/* An index node where a leaf should be? Without checksums it looks like a leaf
 * with no entry, into which a name would be written. */
static bool is_node_as_leaf(const struct inode *dir, const uint8_t *data)
{
	return dx_is_node(dir->it->geo, data) && dir_is_hashed(dir) &&
			check_index_again(dir->it->geo, data, false) == 0;
}

static int dir_block_check(const struct inode *dir, lblk_t lblk, lblk_t nblk,
		enum dir_block_kind kind, struct buf *b)
{
	const char *why = "is not an index block";
	bool is_checked = buf_is_verified(b);
	int ret;

	if (kind == DIR_BLOCK_ROOT || kind == DIR_BLOCK_NODE) {
		bool is_root = kind == DIR_BLOCK_ROOT;

		if (is_checked)
			ret = check_index_again(dir->it->geo, b->data, is_root);
		else
			ret = check_index(dir, b->data, is_root, nblk, &why);
	} else if (kind == DIR_BLOCK_LEAF && is_node_as_leaf(dir, b->data)) {
		ret = -UEXT4_ECORRUPT;
		why = "is an index block and not a leaf";
	} else if (is_checked) {
		return 0;
	} else if (kind == DIR_BLOCK_ANY && dir_has_index_flag(dir) &&
			(lblk == 0 || dx_is_node(dir->it->geo, b->data))) {
		ret = dirent_block_check(dir->it->geo, b->data, &why);
		is_checked = true; /* not to be marked, D2 */
	} else {
		ret = check_leaf(dir, b->data, &why);
	}
	if (ret < 0)
		(void)dir_corrupt(dir, lblk, why);
	if (ret == -EOPNOTSUPP)
		ret = -UEXT4_ECORRUPT; /* the index is no use: R5 of dir.h */
	if (ret == 0 && !is_checked)
		buf_set_verified(b);
	return ret;
}

int dir_block_read(struct inode *dir, lblk_t lblk, enum dir_block_kind kind,
		struct buf **ret_buf)
{
	struct map_run run;
	struct buf *b;
	lblk_t nblk;
	int ret;

	ret = dir_nblocks(dir, &nblk);
	if (ret < 0)
		return ret;
	if (lblk >= nblk)
		return dir_corrupt(dir, lblk, "lies past the directory's end");
	ret = map_find(&dir->map, lblk, 1, &run);
	if (ret < 0)
		return ret;
	if (run.type != MAP_WRITTEN)
		return dir_corrupt(dir, lblk, "is a hole");
	ret = buf_read(dir->it->cache, run.pblk, &b);
	if (ret < 0)
		return ret;
	ret = dir_block_check(dir, lblk, nblk, kind, b);
	if (ret < 0) {
		buf_put(b);
		return ret;
	}
	*ret_buf = b;
	return 0;
}

/* ---- writing ---- */

int dir_block_dirty(struct handle *h, const struct inode *dir, struct buf *b,
		enum dir_block_kind kind)
{
	const struct geo *geo = dir->it->geo;

	assert(kind != DIR_BLOCK_ANY);
	if (kind == DIR_BLOCK_LEAF)
		dirent_csum_set(geo, dir_seed(dir), b->data);
	else
		dx_csum_set(geo, dir_seed(dir), b->data,
				kind == DIR_BLOCK_ROOT ? DX_ROOT_OFF
						       : DX_NODE_OFF);
	buf_set_verified(b);
	return handle_dirty(h, b);
}

/* May the directory be of @nblk blocks? Below 2 GiB, unless large_dir. */
static bool dir_size_ok(const struct inode *dir, uint64_t nblk)
{
	const struct geo *geo = dir->it->geo;

	if (nblk > UINT32_MAX || nblk > map_max_blocks(&dir->map))
		return false;
	return geo_has_incompat(geo, FI_LARGEDIR) ||
			nblk << geo->block_bits <= INT32_MAX;
}

int dir_block_append(struct handle *h, struct inode *dir, lblk_t *ret_lblk,
		struct buf **ret_buf)
{
	const struct geo *geo = dir->it->geo;
	uint64_t nblk = inode_size(dir) >> geo->block_bits;
	struct map_run run;
	struct buf *b;
	int ret;

	if (!dir_size_ok(dir, nblk + 1))
		return -ENOSPC;
	ret = map_alloc(h, &dir->map, (lblk_t)nblk, 1, 0, &run);
	if (ret < 0)
		return ret;
	ret = buf_get_noread(dir->it->cache, run.pblk, &b);
	if (ret < 0)
		return ret;
	ret = handle_get_create(h, b);
	if (ret < 0)
		goto out_put;
	dirent_block_init(geo, b->data);
	ret = dir_block_dirty(h, dir, b, DIR_BLOCK_LEAF);
	if (ret < 0)
		goto out_put;

	inode_set_size(dir, (nblk + 1) << geo->block_bits);
	ret = inode_dirty(h, dir);
	if (ret < 0)
		goto out_put;
	*ret_lblk = (lblk_t)nblk;
	*ret_buf = b;
	return 0;
out_put:
	buf_put(b);
	return ret;
}

/* ---- entries ---- */

uint32_t dir_rec_len(const struct geo *geo, const uint8_t *data, uint32_t off)
{
	uint32_t len = dirent_rec_len_decode(
			geo, get_le16(data + off + DE_REC_LEN));

	if (len < DE_MIN || len % 4 != 0 || len > geo->block_size - off)
		return 0;
	return len;
}

int dir_block_find(const struct geo *geo, const uint8_t *data, const char *name,
		size_t len, struct dir_slot *ret_slot)
{
	uint32_t end = dirent_end(geo) - DE_MIN;
	uint32_t prev = DIR_SLOT_NONE;
	uint32_t rec_len;

	for (uint32_t off = 0; off <= end; off += rec_len) {
		const uint8_t *p = data + off;

		rec_len = dir_rec_len(geo, data, off);
		if (rec_len == 0)
			return -UEXT4_ECORRUPT;
		if (p[DE_NAME_LEN] == len && get_le32(p) != 0 &&
				rec_len >= DIRENT_HDR_SIZE + len &&
				memcmp(p + DIRENT_HDR_SIZE, name, len) == 0) {
			ret_slot->off = off;
			ret_slot->prev = prev;
			ret_slot->inum = get_le32(p);
			ret_slot->ftype = 0;
			if (geo_has_incompat(geo, FI_FILETYPE) &&
					p[DE_FTYPE] <= DIRENT_FT_LNK)
				ret_slot->ftype = p[DE_FTYPE];
			return 0;
		}
		prev = off;
	}
	return -ENOENT;
}

int dir_block_room(const struct geo *geo, const uint8_t *data, uint32_t need,
		uint32_t *ret_off, uint32_t *ret_used)
{
	uint32_t end = dirent_end(geo);
	uint32_t rec_len;

	for (uint32_t off = 0; off < end; off += rec_len) {
		uint32_t used = 0;

		if (end - off < DE_MIN)
			return -UEXT4_ECORRUPT;
		rec_len = dir_rec_len(geo, data, off);
		if (rec_len == 0 || rec_len > end - off)
			return -UEXT4_ECORRUPT;
		if (get_le32(data + off) != 0)
			used = dirent_need(data[off + DE_NAME_LEN]);
		if (used > rec_len)
			return -UEXT4_ECORRUPT;
		if (rec_len - used >= need) {
			*ret_off = off;
			*ret_used = used;
			return 0;
		}
	}
	return -ENOSPC;
}

void dir_block_put(const struct geo *geo, uint8_t *data, uint32_t off,
		uint32_t used, inum_t inum, uint8_t ftype, const char *name,
		size_t len)
{
	struct ddirent de = {
		.off = off + used,
		.rec_len = dir_rec_len(geo, data, off) - used,
		.inum = inum,
		.ftype = ftype,
		.name_len = (uint8_t)len,
		.name = name,
	};

	if (used > 0)
		put_le16(data + off + DE_REC_LEN,
				dirent_rec_len_encode(geo, used));
	dirent_put(geo, data, &de);
}

void dir_slot_remove(const struct geo *geo, uint8_t *data,
		const struct dir_slot *slot)
{
	uint32_t rec_len = dir_rec_len(geo, data, slot->off);
	uint32_t sum;

	assert(rec_len != 0);
	if (slot->prev == DIR_SLOT_NONE) {
		put_le32(data + slot->off, 0);
		memset(data + slot->off + DE_NAME_LEN, 0,
				rec_len - DE_NAME_LEN);
		return;
	}
	memset(data + slot->off, 0, rec_len);
	sum = slot->off - slot->prev + rec_len;
	put_le16(data + slot->prev + DE_REC_LEN,
			dirent_rec_len_encode(geo, sum));
}

int dir_block_add(struct handle *h, struct inode *dir, lblk_t lblk,
		struct buf *b, const char *name, size_t len, inum_t inum,
		uint8_t ftype)
{
	const struct geo *geo = dir->it->geo;
	uint32_t off, used;
	int ret;

	ret = dir_block_room(
			geo, b->data, dirent_need((uint32_t)len), &off, &used);
	if (ret == -UEXT4_ECORRUPT)
		return dir_corrupt(dir, lblk, "is not a chain of entries");
	if (ret < 0)
		return ret;
	ret = handle_get_write(h, b);
	if (ret < 0)
		return ret;
	dir_block_put(geo, b->data, off, used, inum, ftype, name, len);
	return dir_block_dirty(h, dir, b, DIR_BLOCK_LEAF);
}
