/* SPDX-License-Identifier: MIT */
/*
 * See overlay.h. A request is passed down and then patched: each block of it
 * that the journal knows is copied over what was read.
 */
#include "fs/overlay.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "bdev/bdev.h"
#include "journal/journal.h"

struct overlay {
	struct bdev dev; /* first */
	struct bdev *lower;
	const struct journal *j;
	uint32_t block_size;
};

/* Copy @src over bytes [pos, pos+len) of the request @io. */
static void overlay_patch(struct bdev_io *io, uint64_t pos, uint64_t len,
		const uint8_t *src)
{
	uint64_t at = io->pos;
	int i;

	for (i = 0; i < io->iovcnt; i++) {
		uint64_t end = at + io->iov[i].iov_len;
		uint64_t lo = max_u64(at, pos);
		uint64_t hi = min_u64(end, pos + len);

		if (lo < hi)
			memcpy((uint8_t *)io->iov[i].iov_base + (lo - at),
					src + (lo - pos), hi - lo);
		at = end;
	}
}

static void overlay_read(struct overlay *o, struct bdev_io *io)
{
	uint64_t first = io->pos / o->block_size;
	uint64_t last = (io->pos + io->len - 1) / o->block_size;
	const void *image;
	uint64_t blk;
	int ret;

	ret = bdev_readv(o->lower, io->pos, io->iov, io->iovcnt, io->flags,
			io->tag);
	for (blk = first; ret == 0 && blk <= last; blk++) {
		image = journal_overlay(o->j, blk);
		if (image)
			overlay_patch(io, blk * o->block_size, o->block_size,
					image);
	}
	bdev_io_done(io, ret);
}

static void overlay_submit(
		struct bdev *dev, struct bdev_io **ios, unsigned int n)
{
	struct overlay *o = container_of(dev, struct overlay, dev);
	unsigned int i;

	for (i = 0; i < n; i++) {
		if (ios[i]->op == BDEV_READ)
			overlay_read(o, ios[i]);
		else
			bdev_io_done(ios[i],
					ios[i]->op == BDEV_FLUSH ? 0 : -EROFS);
	}
}

static int overlay_close(struct bdev *dev)
{
	free(container_of(dev, struct overlay, dev));
	return 0;
}

static const struct bdev_ops overlay_ops = {
	.name = "journal overlay",
	.submit = overlay_submit,
	.close = overlay_close,
};

int overlay_open(struct bdev *lower, const struct journal *j,
		uint32_t block_size, struct bdev **ret_dev)
{
	struct overlay *o;

	o = calloc(1, sizeof(*o));
	if (!o)
		return -ENOMEM;
	o->dev.ops = &overlay_ops;
	o->dev.geo = lower->geo;
	o->dev.geo.read_only = true;
	o->lower = lower;
	o->j = j;
	o->block_size = block_size;
	*ret_dev = &o->dev;
	return 0;
}
