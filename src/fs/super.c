/* SPDX-License-Identifier: MIT */
/*
 * Reading, repairing and writing the superblock. Rules stand in super.h.
 */
#include "fs/super.h"

#include <string.h>

#include "base/log.h"
#include "bdev/bdev.h"
#include "cache/buf.h"
#include "journal/txn.h"

/* Blocks where the first backup may stand, in the block's own size: group 1
 * begins after 8 * block_size blocks, and one earlier or later by
 * s_first_data_block. */
static uint64_t super_backup_pos(const struct dsuper *sb)
{
	uint64_t bs;

	if (sb->log_block_size > 6)
		return 0;
	bs = (uint64_t)1024 << sb->log_block_size;
	return ((uint64_t)sb->first_data_block + sb->blocks_per_group) * bs;
}

/* A primary with a bad checksum: the sectors of two writes, or damage? */
static int super_repair(struct super *s, struct bdev *dev, uint8_t *raw,
		struct log *log)
{
	uint8_t backup[DSUPER_SIZE];
	uint64_t pos;
	int ret;

	dsuper_decode(raw, &s->sb);
	pos = super_backup_pos(&s->sb);
	ret = -UEXT4_EBADCSUM;
	if (pos != 0 && pos + DSUPER_SIZE <= bdev_size(dev) &&
			bdev_read(dev, pos, backup, sizeof(backup), 0,
					BDEV_TAG_SUPERBLOCK) == 0 &&
			dsuper_magic_ok(backup) &&
			dsuper_csum_verify(backup) == 0)
		ret = dsuper_repair_torn(raw, backup, raw);
	if (ret < 0) {
		log_err(log,
				"superblock: checksum does not match and no "
				"backup explains it; run e2fsck");
		return -UEXT4_EBADCSUM;
	}
	s->repaired = true;
	log_warn(log,
			"superblock: was half written when power failed; "
			"accepted with the help of a backup");
	return 0;
}

int super_read(struct super *s, struct bdev *dev, struct log *log)
{
	uint8_t raw[DSUPER_SIZE];
	struct dsuper_gate gate;
	const char *why = NULL;
	int ret;

	memset(s, 0, sizeof(*s));
	s->dev = dev;
	if (bdev_size(dev) < DSUPER_OFF + DSUPER_SIZE) {
		log_err(log,
				"not an ext2/3/4 file system: only %llu bytes "
				"long",
				(unsigned long long)bdev_size(dev));
		return -EINVAL;
	}
	ret = bdev_read(dev, DSUPER_OFF, raw, sizeof(raw), 0,
			BDEV_TAG_SUPERBLOCK);
	if (ret < 0) {
		log_err(log, "superblock: read failed: %s", err_text(ret));
		return ret;
	}
	if (!dsuper_magic_ok(raw)) {
		log_err(log,
				"not an ext2/3/4 file system: no magic number "
				"at "
				"byte 1080");
		return -EINVAL;
	}
	if (dsuper_csum_verify(raw) < 0) {
		ret = super_repair(s, dev, raw, log);
		if (ret < 0)
			return ret;
	}
	dsuper_decode(raw, &s->sb);
	/* What is not supported need not look right to us: the caller says what
	 * it is. */
	dsuper_gate(&s->sb, &gate);
	if (gate.mode == DSUPER_MODE_REFUSE)
		return 0;
	ret = dsuper_check(&s->sb, 0, &why);
	if (ret < 0) {
		log_err(log, "superblock: %s; run e2fsck", why);
		return ret;
	}
	ret = dsuper_check(&s->sb, bdev_size(dev), &why);
	if (ret < 0)
		log_err(log, "superblock: %s: the image is truncated",
				why ? why : "larger than the device");
	return ret;
}

int super_attach(struct super *s, struct buf_cache *cache, uint32_t block_size)
{
	s->off = block_size > DSUPER_OFF ? DSUPER_OFF : 0;
	return buf_read(cache, DSUPER_OFF / block_size, &s->buf);
}

void super_detach(struct super *s)
{
	buf_put(s->buf);
	s->buf = NULL;
}

/* S1: one sector changes, unless the second half has news as well. */
static void super_encode(struct super *s)
{
	uint8_t *raw = s->buf->data + s->off;
	uint8_t half[DSUPER_SIZE / 2 - 4];

	memcpy(half, raw + DSUPER_SIZE / 2, sizeof(half));
	dsuper_encode(&s->sb, raw);
	if (memcmp(half, raw + DSUPER_SIZE / 2, sizeof(half)) == 0)
		dsuper_csum_keep(raw);
	else
		dsuper_csum_set(raw);
	s->errors_dirty = false;
}

int super_dirty_locked(struct handle *h, struct super *s)
{
	int ret;

	ret = handle_get_write(h, s->buf);
	if (ret < 0)
		return ret;
	super_encode(s);
	return handle_dirty(h, s->buf);
}

int super_dirty(struct handle *h, struct super *s)
{
	int ret;

	buf_lock(s->buf);
	ret = super_dirty_locked(h, s);
	buf_unlock(s->buf);
	return ret;
}

int super_write_now(struct super *s)
{
	uint8_t raw[DSUPER_SIZE];
	int ret;

	buf_lock(s->buf);
	super_encode(s);
	memcpy(raw, s->buf->data + s->off, sizeof(raw));
	buf_unlock(s->buf);

	ret = bdev_write(s->dev, DSUPER_OFF, raw, sizeof(raw), 0,
			BDEV_TAG_SUPERBLOCK);
	if (ret < 0)
		return ret;
	return bdev_flush(s->dev, BDEV_TAG_SUPERBLOCK);
}

int super_write_errors(struct super *s)
{
	uint8_t raw[DSUPER_SIZE];
	struct dsuper sb;
	int ret;

	ret = bdev_read(s->dev, DSUPER_OFF, raw, sizeof(raw), 0,
			BDEV_TAG_SUPERBLOCK);
	if (ret < 0)
		return ret;
	if (!dsuper_magic_ok(raw))
		return -UEXT4_ECORRUPT;
	dsuper_decode(raw, &sb);
	buf_lock(s->buf);
	sb.state |= s->sb.state & DSUPER_STATE_ERROR;
	sb.error_count = s->sb.error_count;
	sb.first_error = s->sb.first_error;
	sb.last_error = s->sb.last_error;
	s->errors_dirty = false;
	buf_unlock(s->buf);
	dsuper_encode(&sb, raw);
	dsuper_csum_set(raw);
	ret = bdev_write(s->dev, DSUPER_OFF, raw, sizeof(raw), 0,
			BDEV_TAG_SUPERBLOCK);
	if (ret < 0)
		return ret;
	return bdev_flush(s->dev, BDEV_TAG_SUPERBLOCK);
}
