/* SPDX-License-Identifier: MIT */
/*
 * Spans of whole units through one aligned buffer. An aligned write needs no
 * reading first: only its first and last unit can be partial, and a span is
 * read as a whole when either of its ends is.
 */
#include "bdev/bounce.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/iter.h"

#define BOUNCE_BYTES (128u << 10)

void bounce_init(struct bounce *b, uint32_t align, uint32_t mem_align)
{
	*b = (struct bounce){ .align = align, .mem_align = mem_align };
	mutex_init(&b->rmw_lock, "bounce", LOCK_RANK_BDEV);
}

void bounce_fini(struct bounce *b)
{
	mutex_fini(&b->rmw_lock);
}

bool bounce_is_needed(const struct bounce *b, uint64_t pos,
		const struct iovec *iov, int iovcnt)
{
	int i;

	if (pos % b->align != 0)
		return true;
	for (i = 0; i < iovcnt; i++)
		if (iov[i].iov_len % b->align != 0 ||
				(uintptr_t)iov[i].iov_base % b->mem_align != 0)
			return true;
	return false;
}

/* One buffer's worth; returns the bytes done. */
static int bounce_step(struct bounce *b, enum bdev_op op, uint64_t pos,
		struct iov_iter *it, uint64_t len, uint32_t flags, uint8_t *buf)
{
	size_t head = pos % b->align;
	size_t n = min_u64(len, BOUNCE_BYTES - head);
	size_t span = round_up_u64(head + n, b->align);
	int ret = 0;

	if (op == BDEV_READ || head != 0 || span != head + n)
		ret = b->rw(b->ctx, BDEV_READ, pos - head, buf, span, 0);
	if (ret < 0)
		return ret;
	if (op == BDEV_READ) {
		iov_iter_copy_to(it, buf + head, n);
		return (int)n;
	}
	if (it)
		iov_iter_copy_from(it, buf + head, n);
	else
		memset(buf + head, 0, n);
	ret = b->rw(b->ctx, BDEV_WRITE, pos - head, buf, span, flags);
	return ret < 0 ? ret : (int)n;
}

int bounce_run(struct bounce *b, enum bdev_op op, uint64_t pos,
		struct iov_iter *it, uint64_t len, uint32_t flags)
{
	void *buf;
	int ret = 0;

	if (posix_memalign(&buf, 4096, BOUNCE_BYTES) != 0)
		return -ENOMEM;
	mutex_lock(&b->rmw_lock);
	while (len > 0) {
		ret = bounce_step(b, op, pos, it, len, flags, buf);
		if (ret < 0)
			break;
		pos += (uint64_t)ret;
		len -= (uint64_t)ret;
	}
	mutex_unlock(&b->rmw_lock);
	free(buf);
	return ret < 0 ? ret : 0;
}
