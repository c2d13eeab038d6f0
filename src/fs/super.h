/* SPDX-License-Identifier: MIT */
/*
 * The superblock while mounted.
 *
 * Its fields are kept in host form; its block is a metadata buf like any other.
 * Changes that belong to an operation (orphan list head, free counts) go
 * through the journal. Only mount and unmount write it directly: before the
 * first transaction and after the last, each followed by a flush.
 *
 * Rules    (S1) Every write of ours changes the first 512-byte sector only
 *               (dsuper_csum_keep()), so it cannot tear. Torn ones of others
 *               are recognised and repaired by super_read() with the help of a
 *               backup.
 *          (S2) needs_recovery is durable before the first commit, and is
 *               cleared after the log is empty on disk.
 *
 * Locks    super->buf's lock guards sb, too.
 */
#ifndef UEXT4_FS_SUPER_H
#define UEXT4_FS_SUPER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/types.h"
#include "disk/dsuper.h"

struct bdev;
struct buf;
struct buf_cache;
struct handle;
struct log;

struct super {
	struct dsuper sb;  /* [buf's lock] */
	struct buf *buf;   /* [const] held while mounted */
	uint32_t off;      /* [const] of the superblock in its block */
	struct bdev *dev;  /* [const] */
	bool repaired;     /* [const] was torn, accepted by a backup */
	bool errors_dirty; /* [buf's lock] error fields wait for a write */
};

/* Read and judge the superblock of @dev, as far as dsuper_gate() does not
 * refuse it. @s->sb is filled. -EINVAL: no ext4; -EBADMSG, -EUCLEAN. One line
 * is logged. */
int super_read(struct super *s, struct bdev *dev, struct log *log);
/* Hold its block. */
int super_attach(struct super *s, struct buf_cache *cache, uint32_t block_size);
void super_detach(struct super *s);
/* Encode sb into the block as part of @h. Credits: 1. */
int super_dirty(struct handle *h, struct super *s);
int super_dirty_locked(struct handle *h, struct super *s);
/* Encode and write now, outside the journal, then flush (S1). */
int super_write_now(struct super *s);
/* After an abort: the error log alone goes into the superblock on the device.
 * What else changed in memory was never committed. */
int super_write_errors(struct super *s);

#endif /* UEXT4_FS_SUPER_H */
