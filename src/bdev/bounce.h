/* SPDX-License-Identifier: MIT */
/*
 * Unaligned requests on devices that take only aligned ones.
 *
 * A request is cut into spans of whole units that go through one aligned
 * buffer. Partial units of a write are read, changed and written back under
 * rmw_lock, so that two requests in one unit do not undo each other.
 *
 * Locks    rmw_lock (rank bdev) is held while a bounced request runs.
 */
#ifndef UEXT4_BDEV_BOUNCE_H
#define UEXT4_BDEV_BOUNCE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/lock.h"
#include "bdev/bdev.h"

struct iov_iter;

struct bounce {
	uint32_t align;     /* [const] unit of position and length */
	uint32_t mem_align; /* [const] of the memory; 1: any */
	struct mutex rmw_lock;
	/* Run a request that is aligned in every respect; 0 or -errno. */
	int (*rw)(void *ctx, enum bdev_op op, uint64_t pos, void *buf,
			size_t len, uint32_t flags); /* [const] */
	void *ctx;                                   /* [const] */
};

void bounce_init(struct bounce *b, uint32_t align, uint32_t mem_align);
void bounce_fini(struct bounce *b);

/* Must these bytes at @pos go through bounce_run()? */
bool bounce_is_needed(const struct bounce *b, uint64_t pos,
		const struct iovec *iov, int iovcnt);

/*
 * READ into or WRITE from what @it has left; with @it NULL, write @len zero
 * bytes. The units around both ends must exist on the device.
 */
UEXT4_MUST_CHECK int bounce_run(struct bounce *b, enum bdev_op op, uint64_t pos,
		struct iov_iter *it, uint64_t len, uint32_t flags);

#endif /* UEXT4_BDEV_BOUNCE_H */
