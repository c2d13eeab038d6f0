/* SPDX-License-Identifier: MIT */
/*
 * What the tests of queues share: requests in one line each, and waiting for
 * events that asserts.
 *
 *	q = q_open(fs, 64, UEXT4_QUEUE_POOL);	NULL: refused here, was said
 *	q_prep(q, &(struct uext4_sqe){ .op = UEXT4_OP_WRITE, ... });
 *	q_take(q, n, events);			submits, n events
 *	assert_int_equal(q_run(q, &sqe), 4096);	one request, its result
 */
#ifndef UEXT4_TESTS_FS_QUEUES_H
#define UEXT4_TESTS_FS_QUEUES_H

#include "env.h"

extern const char *const q_backends[]; /* by enum uext4_queue_backend */
#define Q_BACKENDS 4u

int q_try(struct uext4_fs *fs, unsigned depth, enum uext4_queue_backend b,
		struct uext4_queue **ret_q);
struct uext4_queue *q_open(struct uext4_fs *fs, unsigned depth,
		enum uext4_queue_backend b);
void q_prep(struct uext4_queue *q, const struct uext4_sqe *sqe);
/* Prepare a read or write of @len bytes; user_data is @pos. */
void q_write(struct uext4_queue *q, struct uext4_file *f, const void *buf,
		uint64_t len, uint64_t pos, unsigned rwf);
void q_read(struct uext4_queue *q, struct uext4_file *f, void *buf,
		uint64_t len, uint64_t pos);
/* Submit, then wait for @n events; not more than that may be there. */
void q_take(struct uext4_queue *q, unsigned n, struct uext4_event *events);
/* The same, and each result is @want. */
void q_take_all(struct uext4_queue *q, unsigned n, int64_t want);
/* One request on an otherwise idle queue. */
int64_t q_run(struct uext4_queue *q, const struct uext4_sqe *sqe);
int64_t q_run_write(struct uext4_queue *q, struct uext4_file *f,
		const void *buf, uint64_t len, uint64_t pos, unsigned rwf);
/* The process is killed if nothing calls this for a while: for hangs. */
void q_watch(const char *what);

#endif
