/* SPDX-License-Identifier: MIT */
/*
 * The common front of all devices: the door that every request passes (V3)
 * and the synchronous helpers.
 */
#include "bdev/bdev.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>

/* A waiting helper polls again after this: another thread may have reaped its
 * request meanwhile, and then there may be nothing left to wake it. */
#define SYNC_POLL_MS 5

const char *bdev_tag_name(enum bdev_tag kind)
{
	static const char *const names[BDEV_TAG_NR] = {
		[BDEV_TAG_NONE] = "none",
		[BDEV_TAG_J_DESC] = "descriptor",
		[BDEV_TAG_J_DATA] = "journal-data",
		[BDEV_TAG_J_REVOKE] = "revoke",
		[BDEV_TAG_J_COMMIT] = "commit",
		[BDEV_TAG_J_SB] = "journal-sb",
		[BDEV_TAG_METADATA] = "metadata",
		[BDEV_TAG_DATA] = "data",
		[BDEV_TAG_SUPERBLOCK] = "superblock",
		[BDEV_TAG_MMP] = "mmp",
	};

	return kind < BDEV_TAG_NR ? names[kind] : "unknown";
}

/* The sum of the vector; -EINVAL when it does not fit. */
static int iov_total(const struct iovec *iov, int iovcnt, uint64_t *ret_len)
{
	uint64_t len = 0;
	int i;

	if (iovcnt < 0)
		return -EINVAL;
	for (i = 0; i < iovcnt; i++)
		if (!check_add(len, iov[i].iov_len, &len))
			return -EINVAL;
	*ret_len = len;
	return 0;
}

/* 1: for the backend; 0: done already, there is nothing to do; or -errno. */
static int io_check(const struct bdev *dev, struct bdev_io *io)
{
	int ret;

	if (io->op == BDEV_FLUSH) {
		io->pos = 0;
		io->len = 0;
		return 1;
	}
	if (io->op == BDEV_READ || io->op == BDEV_WRITE) {
		ret = iov_total(io->iov, io->iovcnt, &io->len);
		if (ret < 0)
			return ret;
	}
	if (io->op != BDEV_READ && dev->geo.read_only)
		return -EROFS;
	if (!range_is_within(io->pos, io->len, 0, dev->geo.size))
		return io->op == BDEV_READ ? -EIO : -ENOSPC;
	return io->len > 0;
}

void bdev_submit(struct bdev *dev, struct bdev_io **ios, unsigned int n)
{
	unsigned int first = 0;
	unsigned int i;
	int ret;

	/* Runs of good requests go down together; a refused one splits them,
	 * for its done() may free it. */
	for (i = 0; i < n; i++) {
		ret = io_check(dev, ios[i]);
		if (ret > 0)
			continue;
		if (i > first)
			dev->ops->submit(dev, ios + first, i - first);
		bdev_io_done(ios[i], ret);
		first = i + 1;
	}
	if (n > first)
		dev->ops->submit(dev, ios + first, n - first);
}

int bdev_poll(struct bdev *dev, unsigned int min, int timeout_ms)
{
	return dev->ops->poll ? dev->ops->poll(dev, min, timeout_ms) : 0;
}

int bdev_map(struct bdev *dev, uint64_t pos, uint64_t len, void **ret_addr)
{
	if (!dev->ops->map)
		return -EOPNOTSUPP;
	if (!range_is_within(pos, len, 0, dev->geo.size))
		return -EIO;
	return dev->ops->map(dev, pos, len, ret_addr);
}

int bdev_close(struct bdev *dev)
{
	return dev ? dev->ops->close(dev) : 0;
}

/* ---- synchronous helpers ---- */

struct sync_io {
	struct bdev_io io;
	atomic_bool is_done;
};

static void sync_done(struct bdev_io *io)
{
	struct sync_io *s = container_of(io, struct sync_io, io);

	/* Release: the waiter may return, and free s, at once. */
	atomic_store_explicit(&s->is_done, true, memory_order_release);
}

int bdev_run(struct bdev *dev, const struct bdev_io *io)
{
	struct sync_io s = { .io = *io };
	struct bdev_io *one = &s.io;
	int ret;

	s.io.done = sync_done;
	bdev_submit(dev, &one, 1);
	while (!atomic_load_explicit(&s.is_done, memory_order_acquire)) {
		ret = bdev_poll(dev, 1, SYNC_POLL_MS);
		assert(ret >= 0 || ret == -EINTR || ret == -ETIME);
		(void)ret;
	}
	return s.io.result;
}

int bdev_readv(struct bdev *dev, uint64_t pos, const struct iovec *iov,
		int iovcnt, uint32_t flags, uint64_t tag)
{
	const struct bdev_io io = {
		.op = BDEV_READ,
		.flags = flags,
		.pos = pos,
		.iov = iov,
		.iovcnt = iovcnt,
		.tag = tag,
	};

	return bdev_run(dev, &io);
}

int bdev_writev(struct bdev *dev, uint64_t pos, const struct iovec *iov,
		int iovcnt, uint32_t flags, uint64_t tag)
{
	const struct bdev_io io = {
		.op = BDEV_WRITE,
		.flags = flags,
		.pos = pos,
		.iov = iov,
		.iovcnt = iovcnt,
		.tag = tag,
	};

	return bdev_run(dev, &io);
}

int bdev_read(struct bdev *dev, uint64_t pos, void *buf, size_t len,
		uint32_t flags, uint64_t tag)
{
	struct iovec iov = { .iov_base = buf, .iov_len = len };

	return bdev_readv(dev, pos, &iov, 1, flags, tag);
}

int bdev_write(struct bdev *dev, uint64_t pos, const void *buf, size_t len,
		uint32_t flags, uint64_t tag)
{
	union {
		const void *in;
		void *out;
	} u = { .in = buf };
	/* An iovec has no const; a write only reads through it. */
	struct iovec iov = { .iov_base = u.out, .iov_len = len };

	return bdev_writev(dev, pos, &iov, 1, flags, tag);
}

int bdev_flush(struct bdev *dev, uint64_t tag)
{
	const struct bdev_io io = { .op = BDEV_FLUSH, .tag = tag };

	return bdev_run(dev, &io);
}

int bdev_discard(struct bdev *dev, uint64_t pos, uint64_t len, uint64_t tag)
{
	const struct bdev_io io = {
		.op = BDEV_DISCARD,
		.pos = pos,
		.len = len,
		.tag = tag,
	};

	return bdev_run(dev, &io);
}

int bdev_zero(struct bdev *dev, uint64_t pos, uint64_t len, uint32_t flags,
		uint64_t tag)
{
	const struct bdev_io io = {
		.op = BDEV_ZERO,
		.flags = flags,
		.pos = pos,
		.len = len,
		.tag = tag,
	};

	return bdev_run(dev, &io);
}
