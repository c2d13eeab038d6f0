/* SPDX-License-Identifier: MIT */
/*
 * Queues for tests (see queues.h).
 */
#include "queues.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define HANG_S 60

const char *const q_backends[] = {
	[UEXT4_QUEUE_AUTO] = "auto",
	[UEXT4_QUEUE_URING] = "uring",
	[UEXT4_QUEUE_POOL] = "pool",
	[UEXT4_QUEUE_INLINE] = "inline",
};

static const char *watched;

static void hangs(int sig)
{
	static const char text[] = "# hangs: ";

	(void)!write(STDERR_FILENO, text, sizeof(text) - 1);
	(void)!write(STDERR_FILENO, watched, strlen(watched));
	(void)!write(STDERR_FILENO, "\n", 1);
	abort();
}

void q_watch(const char *what)
{
	const char *s = getenv("UEXT4_SECONDS");

	watched = what;
	signal(SIGALRM, hangs);
	alarm(HANG_S + (s != NULL ? (unsigned)atoi(s) : 0));
}

int q_try(struct uext4_fs *fs, unsigned depth, enum uext4_queue_backend b,
		struct uext4_queue **ret_q)
{
	const struct uext4_queue_opts o = {
		.size = sizeof(o),
		.depth = depth,
		.backend = b,
	};

	return uext4_queue_open(fs, &o, ret_q);
}

struct uext4_queue *q_open(
		struct uext4_fs *fs, unsigned depth, enum uext4_queue_backend b)
{
	struct uext4_queue *q = NULL;
	int ret = q_try(fs, depth, b, &q);

	if (ret == -EOPNOTSUPP && b == UEXT4_QUEUE_URING) {
		printf("# skip: io_uring is refused here\n");
		return NULL;
	}
	if (ret < 0)
		fail_msg("queue, %s: %s", q_backends[b], uext4_strerror(ret));
	return q;
}

void q_prep(struct uext4_queue *q, const struct uext4_sqe *sqe)
{
	assert_int_equal(uext4_queue_prep(q, sqe), 0);
}

static struct uext4_sqe sqe_rw(enum uext4_op op, struct uext4_file *f,
		const void *buf, uint64_t len, uint64_t pos, unsigned rwf)
{
	return (struct uext4_sqe){
		.op = op,
		.flags = rwf,
		.file = f,
		.buf = (void *)(uintptr_t)buf,
		.len = len,
		.pos = pos,
		.user_data = pos,
	};
}

void q_write(struct uext4_queue *q, struct uext4_file *f, const void *buf,
		uint64_t len, uint64_t pos, unsigned rwf)
{
	const struct uext4_sqe s =
			sqe_rw(UEXT4_OP_WRITE, f, buf, len, pos, rwf);

	q_prep(q, &s);
}

void q_read(struct uext4_queue *q, struct uext4_file *f, void *buf,
		uint64_t len, uint64_t pos)
{
	const struct uext4_sqe s = sqe_rw(UEXT4_OP_READ, f, buf, len, pos, 0);

	q_prep(q, &s);
}

void q_take(struct uext4_queue *q, unsigned n, struct uext4_event *events)
{
	unsigned got = 0;
	int ret;

	(void)uext4_queue_submit(q);
	while (got < n) {
		ret = uext4_queue_wait(q, n - got, -1, events + got, n - got);
		assert_true(ret > 0);
		got += (unsigned)ret;
	}
	assert_int_equal(got, n);
}

void q_take_all(struct uext4_queue *q, unsigned n, int64_t want)
{
	struct uext4_event *e = calloc(n, sizeof(*e));

	assert_non_null(e);
	q_take(q, n, e);
	for (unsigned i = 0; i < n; i++)
		if (e[i].result != want)
			fail_msg("request %llu: %lld, not %lld",
					(unsigned long long)e[i].user_data,
					(long long)e[i].result,
					(long long)want);
	free(e);
}

int64_t q_run(struct uext4_queue *q, const struct uext4_sqe *sqe)
{
	struct uext4_event e = { 0 };

	assert_int_equal(uext4_queue_pending(q), 0);
	q_prep(q, sqe);
	assert_int_equal(uext4_queue_submit(q), 1);
	assert_int_equal(uext4_queue_wait(q, 1, -1, &e, 1), 1);
	assert_true(e.user_data == sqe->user_data);
	assert_int_equal(uext4_queue_pending(q), 0);
	return e.result;
}

int64_t q_run_write(struct uext4_queue *q, struct uext4_file *f,
		const void *buf, uint64_t len, uint64_t pos, unsigned rwf)
{
	const struct uext4_sqe s =
			sqe_rw(UEXT4_OP_WRITE, f, buf, len, pos, rwf);

	return q_run(q, &s);
}
