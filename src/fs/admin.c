/* SPDX-License-Identifier: MIT */
/*
 * What an administrator asks of a mounted file system: its label, and telling
 * the device what is free.
 *
 * The label is in every copy of the superblock, as Linux keeps it. Each copy is
 * a transaction of its own, the primary first: it alone counts.
 */
#include <string.h>

#include "alloc/alloc.h"
#include "base/log.h"
#include "bdev/bdev.h"
#include "cache/buf.h"
#include "fs/attr.h"
#include "fs/fs.h"
#include "journal/txn.h"

#define LABEL_MAX 16u

/* ---- label ---- */

int uext4_get_label(struct uext4_fs *fs, char ret_label[17])
{
	int ret = fs_may_read(fs);

	if (ret < 0)
		return ret;
	buf_lock(fs->super.buf);
	memcpy(ret_label, fs->super.sb.volume_name, LABEL_MAX + 1);
	buf_unlock(fs->super.buf);
	return 0;
}

static int label_primary(struct uext4_fs *fs, const char *label)
{
	struct super *s = &fs->super;
	struct handle *h;
	int ret;

	ret = handle_start(fs->journal, 1, &h);
	if (ret < 0)
		return ret;
	buf_lock(s->buf);
	ret = handle_get_write(h, s->buf);
	if (ret == 0) {
		memset(s->sb.volume_name, 0, sizeof(s->sb.volume_name));
		memcpy(s->sb.volume_name, label, strlen(label));
		ret = super_dirty_locked(h, s);
	}
	buf_unlock(s->buf);
	return handle_finish(h, ret);
}

static int label_copy_locked(
		struct handle *h, struct buf *b, grp_t grp, const char *label)
{
	struct dsuper sb;
	int ret;

	dsuper_decode(b->data, &sb);
	if (!dsuper_magic_ok(b->data) || dsuper_csum_verify(b->data) < 0 ||
			sb.block_group_nr != (uint16_t)grp)
		return -UEXT4_ECORRUPT;
	ret = handle_get_write(h, b);
	if (ret < 0)
		return ret;
	memset(sb.volume_name, 0, sizeof(sb.volume_name));
	memcpy(sb.volume_name, label, strlen(label));
	dsuper_encode(&sb, b->data);
	dsuper_csum_set(b->data);
	return handle_dirty(h, b);
}

/* A copy that is no superblock is left alone: it is none to lose. */
static int label_copy(struct uext4_fs *fs, grp_t grp, const char *label)
{
	struct handle *h;
	struct buf *b;
	int ret;

	ret = buf_read(fs->cache, geo_grp_first_block(&fs->geo, grp), &b);
	if (ret < 0)
		return ret;
	ret = handle_start(fs->journal, 1, &h);
	if (ret == 0) {
		buf_lock(b);
		ret = label_copy_locked(h, b, grp, label);
		buf_unlock(b);
		if (ret == -UEXT4_ECORRUPT) {
			log_warn(&fs->log,
					"group %u: its copy of the superblock "
					"is damaged; run e2fsck",
					grp);
			ret = 0;
		}
		ret = handle_finish(h, ret);
	}
	buf_put(b);
	return ret;
}

int uext4_set_label(struct uext4_fs *fs, const char *label,
		const struct uext4_cred *cred)
{
	grp_t grp;
	int ret;

	if (!cred_is_super(cred))
		return -EPERM;
	if (strnlen(label, LABEL_MAX + 1) > LABEL_MAX)
		return -EINVAL;
	ret = fs_may_write(fs);
	if (ret == 0)
		ret = label_primary(fs, label);
	for (grp = 1; ret == 0 && grp < fs->geo.groups; grp++)
		if (geo_grp_has_super(&fs->geo, grp))
			ret = label_copy(fs, grp, label);
	/* Home, too: blkid and others do not look into the log. */
	if (ret == 0)
		ret = journal_flush(fs->journal);
	return fs_done(fs, ret, 0);
}

/* ---- trim ---- */

int uext4_trim(struct uext4_fs *fs, uint64_t start, uint64_t len,
		uint64_t minlen, const struct uext4_cred *cred,
		uint64_t *ret_trimmed)
{
	uint32_t bits = fs->geo.block_bits;
	uint64_t bytes;
	int ret;

	if (!cred_is_super(cred))
		return -EPERM;
	if (!bdev_can_discard(fs->dev))
		return -EOPNOTSUPP;
	if (start >> bits >= fs->geo.blocks || len < fs->geo.block_size ||
			minlen >> bits > fs->geo.bpg)
		return -EINVAL;
	ret = fs_may_write(fs);
	if (ret == 0)
		ret = alloc_trim(fs->alloc, start >> bits, len >> bits,
				minlen >> bits, &bytes);
	/* Some devices are only known by trying. */
	if (ret == 0 && !bdev_can_discard(fs->dev))
		ret = -EOPNOTSUPP;
	if (ret == 0)
		*ret_trimmed = bytes;
	return fs_done(fs, ret, 0);
}
