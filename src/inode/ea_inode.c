/* SPDX-License-Identifier: MIT */
/*
 * Attribute values in inodes of their own. The format stands in ea_inode.h.
 */
#include "inode/ea_inode.h"

#include <string.h>

#include "base/csum.h"
#include "base/le.h"
#include "base/log.h"
#include "cache/buf.h"
#include "disk/dxattr.h"
#include "disk/geo.h"
#include "inode/inline.h"
#include "inode/inode.h"

static int ea_bad(const struct inode *owner, inum_t inum, const char *why)
{
	log_err(owner->it->log,
			"inode %u: attribute value in inode %u: %s; run e2fsck",
			owner->inum, inum, why);
	return -UEXT4_ECORRUPT;
}

/* Hold the inode of the value, if it can be one. */
static int ea_inode_get(struct inode *owner, const struct dxattr_entry *e,
		struct inode **ret_ea)
{
	struct inode *ea;
	int ret;

	if (!geo_has_incompat(owner->it->geo, FI_EA_INODE))
		return ea_bad(owner, e->value_inum, "without its feature");
	if (e->value_len > EA_INODE_VALUE_MAX)
		return ea_bad(owner, e->value_inum, "too long");
	if (e->value_inum == owner->inum ||
			!geo_inum_is_user(owner->it->geo, e->value_inum))
		return ea_bad(owner, e->value_inum, "that inode is another's");
	ret = inode_get(owner->it, e->value_inum, &ea);
	if (ret == -ESTALE)
		return ea_bad(owner, e->value_inum, "that inode is free");
	if (ret < 0)
		return ret;
	if (!inode_is_reg(ea) || inode_is_inline(ea) ||
			!(inode_flags(ea) & DINODE_F_EA_INODE) ||
			inode_size(ea) != e->value_len) {
		inode_put(ea);
		return ea_bad(owner, e->value_inum, "not the one meant");
	}
	*ret_ea = ea;
	return 0;
}

static int ea_read_block(
		struct inode *ea, lblk_t lblk, uint8_t *out, size_t len)
{
	struct map_run run;
	struct buf *b;
	int ret;

	ret = map_find(&ea->map, lblk, 1, &run);
	if (ret < 0)
		return ret;
	if (run.type != MAP_WRITTEN)
		return ea_bad(ea, ea->inum, "has a hole");
	ret = buf_read(ea->it->cache, run.pblk, &b);
	if (ret < 0)
		return ret;
	memcpy(out, b->data, len);
	buf_put(b);
	return 0;
}

/* Where char is signed, names were hashed another way for a time. */
static bool ea_hash_ok(const struct dxattr_entry *e, const char *name,
		const uint8_t *word, uint32_t len)
{
	const uint32_t nlen = e->name_len;

	return e->hash == dxattr_entry_hash(name, nlen, word, len) ||
			e->hash ==
			dxattr_entry_hash_signed(name, nlen, word, len);
}

/* Is it the value that this attribute was given? Who made such inodes first
 * kept no checksum, but the number and generation of the one owner. */
static int ea_check_value(struct inode *owner, const struct inode *ea,
		const struct dxattr_entry *e, const char *name,
		const uint8_t *value)
{
	uint32_t sum = crc32c(owner->it->geo->csum_seed, value, e->value_len);
	uint8_t word[4];

	put_le32(word, sum);
	if (sum == (uint32_t)ea->d.atime.sec &&
			ea_hash_ok(e, name, word, sizeof(word)))
		return 0;
	if ((uint32_t)ea->d.mtime.sec == owner->inum &&
			ea->d.generation == owner->d.generation)
		return 0;
	(void)ea_bad(owner, ea->inum, "checksum does not match");
	return -UEXT4_EBADCSUM;
}

ssize_t ea_inode_read(struct inode *owner, const struct dxattr_entry *e,
		const char *name, void *buf, size_t size)
{
	uint32_t bs = owner->it->geo->block_size;
	uint8_t *out = buf;
	struct inode *ea;
	int ret;

	ret = ea_inode_get(owner, e, &ea);
	if (ret < 0)
		return ret;
	if (size == 0)
		goto out_put;
	ret = size < e->value_len ? -ERANGE : 0;
	for (uint32_t at = 0; ret == 0 && at < e->value_len; at += bs)
		ret = ea_read_block(ea, at / bs, out + at,
				min_of(bs, e->value_len - at));
	if (ret == 0)
		ret = ea_check_value(owner, ea, e, name, out);
out_put:
	inode_put(ea);
	return ret < 0 ? ret : (ssize_t)e->value_len;
}
