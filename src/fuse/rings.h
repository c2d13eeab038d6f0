/* SPDX-License-Identifier: MIT */
/*
 * The rings of a mount, the threads that serve them, and the helpers.
 *
 * A ring's thread takes requests and does by itself what keeps the others in
 * its ring waiting for microseconds only, and copies; the rest it lends to helpers.
 *
 * Rules    (R1) What may need another request to be served first is never done
 *               by a ring's thread: that request may wait in its ring.
 *          (R2) Reads and writes need no other request. Of an image in memory a
 *               ring's thread does them, the large ones last and one at a time:
 *               what is short and comes meanwhile goes before the next of them.
 *               The entries of a caller's queue lie in several rings, so that
 *               several threads copy for him. Of an image on a device they are
 *               lent when a helper is idle; else the ring's thread does them, so
 *               that there is always one who does.
 *          (R3) Where one request at a time comes to a ring again and again, a
 *               lone client asks: there is nobody to keep waiting, and what he
 *               syncs in memory is done at once, if the other rings sleep.
 *          (R4) At the end no request is taken any more; a ring's thread stays
 *               until all that it lent has come back and was answered.
 *          (R5) An INTERRUPT comes by /dev/fuse, for any signal that the caller
 *               gets. A copy that waits for a helper is answered with EINTR
 *               then, as it is by /dev/fuse before it has begun; one that is
 *               worked at, or comes after its INTERRUPT, stops.h finds.
 *               Nothing else ends so: no program expects it of a write. Of very
 *               many at a time some may come too late.
 *
 * Locks    rings.m is a leaf.
 */
#ifndef UEXT4_FUSE_RINGS_H
#define UEXT4_FUSE_RINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fuse/ring.h"

struct rings;

struct rings_opts {
	int fuse_fd;
	unsigned threads; /* helpers, and at most so many rings */
	size_t size;      /* bytes of the largest request's data */
	bool in_memory;   /* the image: using it does not wait */
};

struct rings_ops {
	/* Do the request and answer it. By any thread of these. */
	void (*serve)(void *ctx, struct ring_entry *e);
	/* A ring's thread is started. It ends: 0 if it was asked to or the
	 * connection has ended, or a negative errno. */
	void (*enter)(void *ctx);
	void (*left)(void *ctx, int err);
};

/* How many rings there are, with which entries, of a kernel with so many queues,
 * @nonline of them of CPUs that are there. */
struct ring_opts rings_shape(
		const struct rings_opts *o, unsigned nqueues, unsigned nonline);
/* Make room for the requests. 0 or a negative errno: this host cannot. */
int rings_open(const struct rings_opts *o, struct rings **ret);
/* Start the threads, in which @ops are called, and wait until the kernel has the
 * rings. 0, -ENODEV (the connection has ended), or another errno: some may have
 * started. */
int rings_start(struct rings *rs, const struct rings_ops *ops, void *ctx);
/* End the request @unique if it waits for a helper and may end so (R5); else
 * false. By the thread that reads /dev/fuse. */
bool rings_interrupt(struct rings *rs, uint64_t unique);
/* Ask all to end. Again and again, until left() was called by each. */
void rings_end(struct rings *rs, int wake_signal);
/* All rings' threads have left. NULL is allowed. */
void rings_close(struct rings *rs);

#endif /* UEXT4_FUSE_RINGS_H */
