/* SPDX-License-Identifier: MIT */
/*
 * A device implemented by the library's user (uext4/uext4_dev.h).
 *
 * Its calls are synchronous and take one buffer, so a vector is walked piece
 * by piece; what is not aligned as it asks for goes through bounce.c. A part of
 * a device must begin and end at its sectors, so that nothing outside is ever
 * written.
 */
#include <stdlib.h>

#include "base/err.h"
#include "base/iter.h"
#include "bdev/bdev.h"
#include "bdev/bounce.h"
#include "uext4/uext4_dev.h"

struct bdev_user {
	struct bdev dev;
	struct uext4_dev u; /* [const] */
	uint64_t base;      /* [const] start inside the user's device */
	struct bounce bounce;
};

static struct bdev_user *to_user(struct bdev *dev)
{
	return container_of(dev, struct bdev_user, dev);
}

static int user_flush(struct bdev_user *b)
{
	return b->u.ops->flush ? b->u.ops->flush(b->u.ctx) : 0;
}

/* A request that the user's device takes as it is. */
static int user_raw(void *ctx, enum bdev_op op, uint64_t pos, void *buf,
		size_t len, uint32_t flags)
{
	struct bdev_user *b = ctx;

	if (op == BDEV_READ)
		return b->u.ops->pread(b->u.ctx, buf, len, pos);
	return b->u.ops->pwrite(b->u.ctx, buf, len, pos, flags);
}

static int user_rw(
		struct bdev_user *b, const struct bdev_io *io, uint32_t flags)
{
	uint64_t pos = b->base + io->pos;
	struct iov_iter it;
	int ret = 0;
	int i;

	if (bounce_is_needed(&b->bounce, pos, io->iov, io->iovcnt)) {
		iov_iter_init(&it, io->iov, io->iovcnt);
		return bounce_run(&b->bounce, io->op, pos, &it, io->len, flags);
	}
	for (i = 0; i < io->iovcnt && ret >= 0; i++) {
		size_t len = io->iov[i].iov_len;

		if (len == 0)
			continue;
		ret = user_raw(b, io->op, pos, io->iov[i].iov_base, len, flags);
		pos += len;
	}
	return ret;
}

static int user_discard(struct bdev_user *b, const struct bdev_io *io)
{
	int ret;

	if (!b->u.ops->discard)
		return 0;
	if (io->pos % b->bounce.align != 0 || io->len % b->bounce.align != 0)
		return 0; /* a hint: a partial one is not worth a split */
	ret = b->u.ops->discard(b->u.ctx, b->base + io->pos, io->len);
	return ret == -EOPNOTSUPP ? 0 : ret;
}

static int user_run(struct bdev_user *b, const struct bdev_io *io)
{
	bool fua = io->flags & BDEV_F_FUA;
	uint32_t flags = fua && b->u.has_fua ? UEXT4_DEV_FUA : 0;
	int ret;

	switch (io->op) {
	case BDEV_READ:
		return user_rw(b, io, 0);
	case BDEV_FLUSH:
		return user_flush(b);
	case BDEV_DISCARD:
		return user_discard(b, io);
	case BDEV_ZERO:
		ret = bounce_run(&b->bounce, BDEV_WRITE, b->base + io->pos,
				NULL, io->len, flags);
		break;
	case BDEV_WRITE:
		ret = user_rw(b, io, flags);
		break;
	default:
		return -EINVAL;
	}
	if (ret >= 0 && fua && !b->u.has_fua)
		ret = user_flush(b);
	return ret;
}

static void user_submit(struct bdev *dev, struct bdev_io **ios, unsigned int n)
{
	unsigned int i;
	int ret;

	for (i = 0; i < n; i++) {
		ret = user_run(to_user(dev), ios[i]);
		bdev_io_done(ios[i], min_of(ret, 0));
	}
}

static int user_close(struct bdev *dev)
{
	struct bdev_user *b = to_user(dev);

	bounce_fini(&b->bounce);
	free(b);
	return 0;
}

static const struct bdev_ops user_ops = {
	.name = "user",
	.submit = user_submit,
	.close = user_close,
};

/* The part of the user's device that @opts asks for. */
static int user_range(const struct uext4_dev *udev, uint32_t align,
		const struct bdev_file_opts *opts, uint64_t *ret_size)
{
	uint64_t size;
	int ret;

	ret = udev->ops->size(udev->ctx, &size);
	if (ret < 0)
		return ret;
	if (size > INT64_MAX || opts->offset >= size)
		return -EINVAL;
	size -= opts->offset;
	if (opts->limit != 0)
		size = min_u64(size, opts->limit);
	size = round_down_u64(size, align);
	if (size == 0 || opts->offset % align != 0)
		return -EINVAL;
	*ret_size = size;
	return 0;
}

int bdev_user_open(const struct uext4_dev *udev,
		const struct bdev_file_opts *opts, struct bdev **ret_dev)
{
	static const struct bdev_file_opts none;
	uint32_t align = udev->sector_size ? udev->sector_size : 1;
	struct bdev_user *b;
	uint64_t size;
	int ret;

	if (!opts)
		opts = &none;
	if (!udev->ops->size || !udev->ops->pread || !is_pow2_u64(align) ||
			align > 65536)
		return -EINVAL;
	ret = user_range(udev, align, opts, &size);
	if (ret < 0)
		return ret;
	b = calloc(1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	bounce_init(&b->bounce, align, 1);
	b->bounce.rw = user_raw;
	b->bounce.ctx = b;
	b->u = *udev;
	b->base = opts->offset;
	b->dev.ops = &user_ops;
	b->dev.geo = (struct bdev_geo){
		.size = size,
		.sector = align >= 512 ? align : 512,
		.phys = align >= 512 ? align : 512,
		.dio_align = align,
		.mem_align = 1,
		.read_only = (opts->flags & BDEV_OPEN_RDONLY) ||
				!udev->ops->pwrite,
		.fua = udev->has_fua,
		.volatile_cache = udev->ops->flush != NULL,
		.discard = udev->ops->discard != NULL,
	};
	*ret_dev = &b->dev;
	return 0;
}
