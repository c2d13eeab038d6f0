/* SPDX-License-Identifier: MIT */
/*
 * Symlink targets: up to 59 bytes in i_block ("fast"), else in one block of the
 * file, which is metadata: journaled, and revoked when it is freed.
 */
#include <string.h>

#include "base/log.h"
#include "cache/buf.h"
#include "disk/geo.h"
#include "inode/inline.h"
#include "inode/inode.h"
#include "journal/txn.h"

#define SYMLINK_MAX 4096u

static int symlink_bad(const struct inode *inode, const char *why)
{
	log_err(inode->it->log, "symlink inode %u: %s; run e2fsck", inode->inum,
			why);
	return -UEXT4_ECORRUPT;
}

/* The target must be of the stated length and hold no NUL. */
static int symlink_copy(struct inode *inode, const uint8_t *target,
		uint64_t len, char *buf, size_t size, size_t *ret_len)
{
	if (len == 0 || memchr(target, 0, len))
		return symlink_bad(inode, "target is shorter than its size");
	if (len > size)
		len = size;
	memcpy(buf, target, len);
	*ret_len = len;
	return 0;
}

int symlink_read(struct inode *inode, char *buf, size_t size, size_t *ret_len)
{
	const struct geo *geo = inode->it->geo;
	uint64_t len = inode_size(inode);
	struct map_run run;
	struct buf *b;
	int ret;

	if (!inode_is_symlink(inode))
		return -EINVAL;
	if (inode_flags(inode) & DINODE_F_ENCRYPT)
		return -EOPNOTSUPP;
	if (inode_is_inline(inode))
		return symlink_copy(inode, inode->inl->bytes, len, buf, size,
				ret_len);
	if (inode->is_fast) {
		if (len > DINODE_FAST_SYMLINK_MAX)
			return symlink_bad(inode, "too long for its place");
		return symlink_copy(inode, inode->d.iblock, len, buf, size,
				ret_len);
	}
	if (len >= geo->block_size)
		return symlink_bad(inode, "longer than a block");
	ret = map_find(&inode->map, 0, 1, &run);
	if (ret < 0)
		return ret;
	if (run.type != MAP_WRITTEN)
		return symlink_bad(inode, "has no block");

	ret = buf_read(inode->it->cache, run.pblk, &b);
	if (ret < 0)
		return ret;
	ret = symlink_copy(inode, b->data, len, buf, size, ret_len);
	buf_put(b);
	return ret;
}

static int symlink_init_block(struct handle *h, struct inode *inode,
		const char *target, size_t len)
{
	struct map_run run;
	struct buf *b;
	int ret;

	inode->is_fast = false;
	ret = map_alloc(h, &inode->map, 0, 1, 0, &run);
	if (ret < 0)
		return ret;

	ret = buf_get_noread(inode->it->cache, run.pblk, &b);
	if (ret < 0)
		return ret;
	ret = handle_get_create(h, b);
	if (ret == 0) {
		memset(b->data, 0, inode->it->geo->block_size);
		memcpy(b->data, target, len);
		ret = handle_dirty(h, b);
	}
	buf_put(b);
	return ret;
}

int symlink_init(struct handle *h, struct inode *inode, const char *target,
		size_t len)
{
	int ret;

	if (len == 0)
		return -ENOENT;
	/* as long as a path may be */
	if (len >= min_of(inode->it->geo->block_size, SYMLINK_MAX))
		return -ENAMETOOLONG;

	if (len <= DINODE_FAST_SYMLINK_MAX) {
		mutex_lock(&inode->attr_lock);
		inode_set_flags(inode, inode->d.flags & ~DINODE_F_EXTENTS);
		memset(inode->d.iblock, 0, sizeof(inode->d.iblock));
		memcpy(inode->d.iblock, target, len);
		mutex_unlock(&inode->attr_lock);
	} else {
		ret = symlink_init_block(h, inode, target, len);
		if (ret < 0)
			return ret;
	}
	inode_set_size(inode, len);
	return inode_dirty(h, inode);
}
