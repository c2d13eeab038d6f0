/* SPDX-License-Identifier: MIT */
/*
 * Data inside the inode. The layout and the rules stand in inline.h.
 */
#include "inode/inline.h"

#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "base/log.h"
#include "disk/dirent.h"
#include "disk/dxattr.h"
#include "disk/geo.h"
#include "inode/dir.h"
#include "inode/dir_block.h"
#include "inode/inode.h"

#define PARENT_LEN  4u  /* of the parent's number in i_block */
#define ENTRY_MIN   12u /* of an entry, as everywhere */
#define COOKIE_DOTS 2u  /* cookies of the dots; places of entries follow */

bool inode_is_inline(const struct inode *inode)
{
	return inode->inl != NULL;
}

static int inline_bad(const struct inode *inode, const char *why)
{
	log_err(inode->it->log, "inode %u: data in the inode: %s; run e2fsck",
			inode->inum, why);
	return -UEXT4_ECORRUPT;
}

/* The value of system.data in the inode's own space; none is an empty one. */
static int inline_value(const struct inode *inode, const uint8_t **ret_value,
		uint32_t *ret_len)
{
	const struct geo *geo = inode->it->geo;
	const char *why = "damaged attributes";
	struct dxattr_area area;
	struct dxattr_entry e;
	uint32_t off;
	uint32_t len;

	*ret_value = NULL;
	*ret_len = 0;
	dinode_xattr_area(geo, &inode->d, &off, &len);
	if (len == 0 || !dxattr_area_inode(inode->raw + off, len, &area))
		return 0;
	if (dxattr_check(geo, &area, &why) < 0)
		return inline_bad(inode, why);
	if (dxattr_find(&area, DXATTR_IDX_SYSTEM, "data", 4, &e) < 0)
		return 0;
	if (e.value_inum != 0)
		return inline_bad(inode, "it is not in the inode");
	*ret_value = area.base + e.value_off;
	*ret_len = e.value_len;
	return 0;
}

int inline_load(struct inode *inode)
{
	uint64_t size = inode->d.size;
	const uint8_t *value;
	uint32_t first;
	uint32_t rest;
	int ret;

	ret = inline_value(inode, &value, &rest);
	if (ret < 0)
		return ret;
	if (size > DINODE_IBLOCK_LEN + rest) /* L1 */
		return inline_bad(inode, "shorter than its size");
	if (inode_is_dir(inode) && size < DINODE_IBLOCK_LEN)
		return inline_bad(inode, "too short for a directory");

	inode->inl = calloc(1, sizeof(*inode->inl) + size);
	if (!inode->inl)
		return -ENOMEM;
	first = (uint32_t)min_u64(size, DINODE_IBLOCK_LEN);
	inode->inl->len = (uint32_t)size;
	memcpy(inode->inl->bytes, inode->d.iblock, first);
	if (size > first)
		memcpy(inode->inl->bytes + first, value, size - first);
	inode->map.is_extents = false; /* L2 */
	inode->map.root = inode->inl->no_map;
	return 0;
}

void inline_free(struct inode *inode)
{
	free(inode->inl);
	inode->inl = NULL;
}

/* ---- directories ---- */

/* An entry and where the next may begin. */
struct inline_entry {
	struct dir_entry e;
	uint32_t next;
};

/* Entries are at [PARENT_LEN, i_block's end) and behind it, in two chains. */
static uint32_t chain_end(const struct inode *dir, uint32_t off)
{
	return off < DINODE_IBLOCK_LEN ? DINODE_IBLOCK_LEN : dir->inl->len;
}

static int entry_bad(struct inode *dir, const char *why)
{
	return dir_corrupt(dir, 0, why);
}

/* Decode and check the entry at @off, which is before the end. */
static int entry_at(
		struct inode *dir, uint32_t off, struct inline_entry *ret_ie)
{
	const struct geo *geo = dir->it->geo;
	const uint8_t *p = dir->inl->bytes + off;
	uint32_t left = chain_end(dir, off) - off;
	struct inline_entry ie = { 0 };
	uint32_t rec_len;

	if (left < ENTRY_MIN)
		return entry_bad(dir, "no room for an entry");
	rec_len = get_le16(p + 4);
	ie.e.inum = get_le32(p);
	ie.e.len = p[6];
	ie.e.name = (const char *)p + DIRENT_HDR_SIZE;
	if (rec_len < ENTRY_MIN || rec_len % 4 != 0 || rec_len > left)
		return entry_bad(dir, "an entry's length is impossible");
	if (rec_len < dirent_need((uint32_t)ie.e.len))
		return entry_bad(dir, "an entry is shorter than its name");
	if (geo_has_incompat(geo, FI_FILETYPE))
		ie.e.ftype = p[7] <= DIRENT_FT_LNK ? p[7] : 0;
	else if (p[7] != 0)
		return entry_bad(dir, "an entry's name is too long");
	if (ie.e.inum > geo->inodes)
		return entry_bad(dir, "an entry's inode is out of range");
	if (ie.e.inum != 0 &&
			(!dirent_name_ok(ie.e.name, (uint32_t)ie.e.len) ||
					dir_name_is_dots(ie.e.name, ie.e.len)))
		return entry_bad(dir, "an entry's name is impossible");
	ie.next = off + rec_len;
	*ret_ie = ie;
	return 0;
}

/* "." (@which 0) or "..". */
static int dots_at(struct inode *dir, unsigned which, struct dir_entry *ret_e)
{
	inum_t inum = dir->inum;

	if (which == 1)
		inum = get_le32(dir->inl->bytes);
	if (!geo_inum_is_user(dir->it->geo, inum))
		return entry_bad(dir, "its parent is impossible");
	*ret_e = (struct dir_entry){
		.name = "..",
		.len = which + 1,
		.inum = inum,
		.ftype = dir_ftype(dir, 0040000),
		.next = which + 1,
	};
	return 0;
}

int inline_dir_find(struct inode *dir, const char *name, size_t len,
		inum_t *ret_inum, uint8_t *ret_ftype)
{
	struct inline_entry ie;
	int ret;

	if (dir_name_is_dots(name, len)) {
		ret = dots_at(dir, (unsigned)len - 1, &ie.e);
		if (ret < 0)
			return ret;
		goto out_found;
	}
	for (uint32_t off = PARENT_LEN; off < dir->inl->len; off = ie.next) {
		ret = entry_at(dir, off, &ie);
		if (ret < 0)
			return ret;
		if (ie.e.inum != 0 && ie.e.len == len &&
				memcmp(ie.e.name, name, len) == 0)
			goto out_found;
	}
	return -ENOENT;
out_found:
	if (!geo_inum_is_user(dir->it->geo, ie.e.inum))
		return entry_bad(dir, "an entry names a reserved inode");
	*ret_inum = ie.e.inum;
	*ret_ftype = ie.e.ftype;
	return 0;
}

int inline_dir_iterate(struct inode *dir, uint64_t pos,
		int (*fn)(void *ctx, const struct dir_entry *e), void *ctx)
{
	struct inline_entry ie;
	int ret;

	for (; pos < COOKIE_DOTS; pos++) {
		ret = dots_at(dir, (unsigned)pos, &ie.e);
		if (ret == 0)
			ret = fn(ctx, &ie.e);
		if (ret != 0)
			return ret;
	}
	for (uint32_t off = PARENT_LEN; off < dir->inl->len; off = ie.next) {
		ret = entry_at(dir, off, &ie);
		if (ret < 0)
			return ret;
		if (ie.e.inum == 0 || off + COOKIE_DOTS < pos)
			continue;
		ie.e.next = (uint64_t)ie.next + COOKIE_DOTS;
		ret = fn(ctx, &ie.e);
		if (ret != 0)
			return ret;
	}
	return 0;
}

int inline_dir_is_empty(struct inode *dir)
{
	struct inline_entry ie;
	int ret;

	for (uint32_t off = PARENT_LEN; off < dir->inl->len; off = ie.next) {
		ret = entry_at(dir, off, &ie);
		if (ret < 0)
			return ret;
		if (ie.e.inum != 0)
			return 0;
	}
	return 1;
}
