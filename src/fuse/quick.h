/* SPDX-License-Identifier: MIT */
/*
 * READ and WRITE without libfuse: they need nothing of what that does for a
 * request (room for one, a list where an INTERRUPT finds it), and where there are
 * many of them it is a good part of the server's work.
 *
 * The structures are those of <linux/fuse.h>.
 */
#ifndef UEXT4_FUSE_QUICK_H
#define UEXT4_FUSE_QUICK_H

#include <linux/fuse.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

struct srv;

/* A request: its head, what the operation has of its own, and its data. */
struct quick_req {
	struct fuse_in_header in;
	const void *op;
	size_t op_len;
	char *data;
	size_t len;
};

struct quick_answer {
	struct fuse_out_header out;
	struct fuse_write_out written;
	struct iovec iov[2]; /* both, or @out and the worker's data */
	int n;
};

/* Do @q, if it is one of those and libfuse is not needed for it. False: it is to do
 * it, nothing has happened. By the worker whose memory (srv_me()) the request is in;
 * @ret points there. */
bool quick_serve(struct srv *s, const struct quick_req *q,
		struct quick_answer *ret);

#endif /* UEXT4_FUSE_QUICK_H */
