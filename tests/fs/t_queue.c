/* SPDX-License-Identifier: MIT */
/*
 * Queues through the public header: every operation, flag and backend, on four
 * formats. All free blocks hold poison, so that what was not written through
 * the file system is noticed. What needs the test device is in t_queue_dev.c.
 *
 *	t_queue eventfd/ext4-4k-full/pool	cases whose name has this in it
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fs/file.h"
#include "fs/fs.h"
#include "queues.h"

#define RW     (UEXT4_O_RDWR | UEXT4_O_CREAT)
#define DIRECT (RW | UEXT4_O_DIRECT)
#define DEPTH  32u
#define POISON 0xee
#define KIB    1024u

/* One format and one backend: an image for all cases. */
struct combo {
	const char *profile;
	enum uext4_queue_backend backend;
	struct env e;
	bool is_off;    /* the backend is refused */
	bool is_broken; /* a case has failed: the rest would, too */
	uint8_t *buf;   /* 256 KiB */
	struct timespec now;
};

static struct timespec combo_now(void *ctx)
{
	return ((struct combo *)ctx)->now;
}

static void combo_mount(struct combo *c)
{
	const struct uext4_mount_opts o = {
		.now = combo_now,
		.now_ctx = c,
	};

	assert_int_equal(env_try_mount(&c->e, &o), 0);
}

static void poison(struct combo *c)
{
	struct uext4_file *f = env_open(&c->e, "/poison", DIRECT);
	const size_t step = 1024 * KIB;
	void *buf = env_alloc(step, POISON);
	uint64_t at = 0;

	while (uext4_pwrite(f, buf, step, at) == (ssize_t)step)
		at += step;
	free(buf);
	env_close(f);
	assert_int_equal(env_unlink(&c->e, "/poison"), 0);
	assert_int_equal(uext4_sync(c->e.fs), 0);
}

static struct uext4_queue *combo_queue(struct combo *c)
{
	return q_open(c->e.fs, DEPTH, c->backend);
}

static void combo_begin(struct combo *c)
{
	struct uext4_queue *q;

	c->now.tv_sec = 1700000000;
	env_image(&c->e, env_profile_find(c->profile), "24M");
	combo_mount(c);
	poison(c);
	c->buf = env_alloc(256 * KIB, 'b');
	q = combo_queue(c);
	c->is_off = q == NULL;
	uext4_queue_close(q);
}

static void expect_bytes(const uint8_t *p, size_t len, int byte)
{
	for (size_t i = 0; i < len; i++)
		if (p[i] != (uint8_t)byte)
			fail_msg("byte %zu is %#x, not %#x", i, p[i], byte);
}

/* ---- operations and flags ---- */

static void every_operation(struct combo *c)
{
	struct uext4_queue *q = combo_queue(c);
	struct uext4_file *f = env_open(&c->e, "/ops", DIRECT);
	uint8_t *out = env_alloc(64 * KIB, 0);
	struct iovec iov[7];
	struct uext4_sqe s = { .op = UEXT4_OP_NOP, .user_data = 77 };

	assert_int_equal(q_run(q, &s), 0);
	assert_int_equal(q_run_write(q, f, c->buf, 8192, 0, 0), 8192);
	for (int i = 0; i < 7; i++)
		iov[i] = (struct iovec){ c->buf + 3 * i * 512, 512 };
	memset(c->buf, 'v', 16384);
	s = (struct uext4_sqe){ .op = UEXT4_OP_WRITEV,
		.file = f,
		.iov = iov,
		.len = 7,
		.pos = 8192,
		.user_data = 1 };
	assert_int_equal(q_run(q, &s), 3584);
	s.len = 3; /* in place, without memory of its own */
	s.pos = 512;
	assert_int_equal(q_run(q, &s), 1536);
	s = (struct uext4_sqe){
		.op = UEXT4_OP_READ, .file = f, .buf = out, .len = 32 * KIB
	};
	assert_int_equal(q_run(q, &s), 8192 + 3584);
	expect_bytes(out, 512, 'b');
	expect_bytes(out + 512, 1536, 'v');
	expect_bytes(out + 2048, 6144, 'b');
	expect_bytes(out + 8192, 3584, 'v');
	for (int i = 0; i < 7; i++)
		iov[i] = (struct iovec){ out + 32 * KIB + i * 512, 512 };
	s = (struct uext4_sqe){ .op = UEXT4_OP_READV,
		.file = f,
		.iov = iov,
		.len = 7,
		.pos = 1536 };
	assert_int_equal(q_run(q, &s), 3584);
	expect_bytes(out + 32 * KIB, 512, 'v');
	expect_bytes(out + 32 * KIB + 512, 3072, 'b');
	s = (struct uext4_sqe){ .op = UEXT4_OP_FSYNC, .file = f };
	assert_int_equal(q_run(q, &s), 0);
	s.op = UEXT4_OP_FDATASYNC;
	assert_int_equal(q_run(q, &s), 0);
	s = (struct uext4_sqe){
		.op = UEXT4_OP_FALLOCATE, .file = f, .len = 64 * KIB
	};
	assert_int_equal(q_run(q, &s),
			c->e.p->has & ENV_EXTENT ? 0 : -EOPNOTSUPP);
	s.flags = UEXT4_FALLOC_PUNCH_HOLE | UEXT4_FALLOC_KEEP_SIZE;
	s.len = 4096;
	assert_int_equal(q_run(q, &s), 0);
	env_expect(f, 0, 4096, 0);
	env_expect(f, 4096, 4096, 'b');
	free(out);
	memset(c->buf, 'b', 256 * KIB);
	env_close(f);
	uext4_queue_close(q);
}

static void refused_at_once(struct combo *c)
{
	struct uext4_queue *q = combo_queue(c);
	struct uext4_file *f = env_open(&c->e, "/refused", DIRECT);
	struct uext4_file *r = env_open(
			&c->e, "/refused", UEXT4_O_RDONLY | UEXT4_O_DIRECT);
	struct uext4_file *w = env_open(
			&c->e, "/refused", UEXT4_O_WRONLY | UEXT4_O_DIRECT);
	struct uext4_sqe s = { .op = (enum uext4_op)99, .file = f };

	assert_int_equal(uext4_queue_prep(q, &s), -EINVAL);
	s = (struct uext4_sqe){
		.op = UEXT4_OP_WRITE, .buf = c->buf, .len = 512
	};
	assert_int_equal(uext4_queue_prep(q, &s), -EINVAL); /* no file */
	s.op = UEXT4_OP_FSYNC;
	assert_int_equal(uext4_queue_prep(q, &s), -EINVAL);
	s.op = UEXT4_OP_WRITE;
	s.file = f;
	s.flags = 0x80000000u;
	assert_int_equal(uext4_queue_prep(q, &s), -EINVAL);
	s = (struct uext4_sqe){ .op = UEXT4_OP_WRITEV, .file = f, .len = 1 };
	assert_int_equal(uext4_queue_prep(q, &s), -EINVAL); /* no iovecs */
	s.len = UINT64_MAX;
	assert_int_equal(uext4_queue_prep(q, &s), -EINVAL);
	s = (struct uext4_sqe){
		.op = UEXT4_OP_READ, .file = f, .buf = c->buf, .len = UINT64_MAX
	};
	assert_int_equal(uext4_queue_prep(q, &s), -EINVAL);
	assert_int_equal(uext4_queue_pending(q), 0);
	/* What only the file knows is in the event. */
	assert_int_equal(q_run_write(q, r, c->buf, 512, 0, 0), -EBADF);
	s = (struct uext4_sqe){
		.op = UEXT4_OP_READ, .file = w, .buf = c->buf, .len = 512
	};
	assert_int_equal(q_run(q, &s), -EBADF);
	assert_int_equal(env_size(f), 0);
	env_close(w);
	env_close(r);
	env_close(f);
	uext4_queue_close(q);
}

static void every_flag(struct combo *c)
{
	struct uext4_queue *q = combo_queue(c);
	struct uext4_file *f = env_open(&c->e, "/flags", DIRECT);
	struct uext4_stat before;
	struct uext4_stat after;

	assert_int_equal(q_run_write(q, f, c->buf, 8192, 0, UEXT4_RW_DSYNC),
			8192);
	assert_int_equal(q_run_write(q, f, c->buf, 512, 8192, UEXT4_RW_SYNC),
			512);
	assert_int_equal(q_run_write(q, f, c->buf, 512, 8192,
					 UEXT4_RW_HUGE | UEXT4_RW_LATE |
							 UEXT4_RW_KEEPCAPS),
			512);
	/* NOWAIT: what is there can be written over, nothing else. */
	memset(c->buf, 'n', 4096);
	assert_int_equal(q_run_write(q, f, c->buf, 4096, 0, UEXT4_RW_NOWAIT),
			4096);
	assert_int_equal(uext4_ftruncate(f, 64 * KIB), 0);
	before = env_stat(&c->e, "/flags");
	assert_int_equal(q_run_write(q, f, c->buf, 4096, 32 * KIB,
					 UEXT4_RW_NOWAIT),
			-EAGAIN);
	assert_int_equal(q_run_write(q, f, c->buf, 512, 64 * KIB,
					 UEXT4_RW_NOWAIT),
			-EAGAIN);
	assert_int_equal(q_run_write(q, f, c->buf, 512, 0,
					 UEXT4_RW_NOWAIT | UEXT4_RW_APPEND),
			-EAGAIN);
	after = env_stat(&c->e, "/flags");
	assert_memory_equal(&before, &after, sizeof(before));
	/* Appends in flight together: one behind the other, pos unused. */
	memset(c->buf, 'p', 4096);
	for (int i = 0; i < 8; i++) {
		const struct uext4_sqe s = { .op = UEXT4_OP_WRITE,
			.file = f,
			.flags = UEXT4_RW_APPEND | (i % 2 ? UEXT4_RW_DSYNC : 0),
			.buf = c->buf,
			.len = 1536,
			.pos = 7 };

		q_prep(q, &s);
	}
	q_take_all(q, 8, 1536);
	assert_int_equal(env_size(f), 64 * KIB + 8 * 1536);
	env_expect(f, 0, 4096, 'n');
	env_expect(f, 4096, 4608, 'b');
	env_expect(f, 8704, 64 * KIB - 8704, 0);
	env_expect(f, 64 * KIB, 8 * 1536, 'p');
	memset(c->buf, 'b', 4096);
	env_close(f);
	uext4_queue_close(q);
}

static void files_in_the_cache(struct combo *c)
{
	struct uext4_queue *q = combo_queue(c);
	struct uext4_file *f = env_open(&c->e, "/cached", RW);
	uint8_t *out = env_alloc(8192, 0);
	struct iovec iov[2] = { { c->buf, 100 }, { c->buf + 5, 33 } };
	struct uext4_sqe s = { .op = UEXT4_OP_WRITEV,
		.file = f,
		.iov = iov,
		.len = 2,
		.pos = 3000 };

	assert_int_equal(q_run_write(q, f, c->buf, 3000, 0, 0), 3000);
	assert_int_equal(q_run(q, &s), 133);
	assert_int_equal(q_run_write(q, f, c->buf, 67, 1, UEXT4_RW_APPEND), 67);
	assert_int_equal(q_run_write(q, f, c->buf, 1, 0, UEXT4_RW_NOWAIT),
			-EOPNOTSUPP);
	assert_int_equal(q_run_write(q, f, c->buf, 9, 0, UEXT4_RW_DSYNC), 9);
	s = (struct uext4_sqe){
		.op = UEXT4_OP_READ, .file = f, .buf = out, .len = 8192
	};
	assert_int_equal(q_run(q, &s), 3200);
	expect_bytes(out, 3200, 'b');
	s = (struct uext4_sqe){ .op = UEXT4_OP_FSYNC, .file = f };
	assert_int_equal(q_run(q, &s), 0);
	free(out);
	env_close(f);
	uext4_queue_close(q);
}

/* ---- the queue itself ---- */

static void a_full_queue_says_so(struct combo *c)
{
	struct uext4_queue *q = q_open(c->e.fs, 4, c->backend);
	struct uext4_sqe s = { .op = UEXT4_OP_NOP };
	struct uext4_event e[4];

	for (int round = 0; round < 3; round++) {
		for (s.user_data = 0; s.user_data < 4; s.user_data++)
			q_prep(q, &s);
		assert_int_equal(uext4_queue_prep(q, &s), -EAGAIN);
		assert_int_equal(uext4_queue_submit(q), 4);
		assert_int_equal(uext4_queue_prep(q, &s), -EAGAIN);
		assert_int_equal(uext4_queue_pending(q), 4);
		assert_int_equal(uext4_queue_wait(q, 1, -1, e, 1), 1);
		q_prep(q, &s);
		assert_int_equal(uext4_queue_prep(q, &s), -EAGAIN);
		/* Prepared only: not waited for. */
		assert_int_equal(uext4_queue_wait(q, 4, -1, e, 4), 3);
		assert_int_equal(uext4_queue_wait(q, 1, -1, e, 4), 0);
		assert_int_equal(uext4_queue_submit(q), 1);
		assert_int_equal(uext4_queue_wait(q, 4, -1, e, 4), 1);
		assert_int_equal(uext4_queue_pending(q), 0);
	}
	uext4_queue_close(q);
}

static void each_backend_has_its_name(struct combo *c)
{
	struct uext4_queue *q = combo_queue(c);
	const char *name = uext4_queue_backend_name(q);

	if (c->backend == UEXT4_QUEUE_URING)
		assert_string_equal(name, "io_uring");
	else if (c->backend == UEXT4_QUEUE_POOL)
		assert_string_equal(name, "threads");
	else if (c->backend == UEXT4_QUEUE_INLINE)
		assert_string_equal(name, "inline");
	else
		assert_non_null(name);
	uext4_queue_close(q);
}

static void absurd_depths(struct combo *c)
{
	struct uext4_queue *q = NULL;
	struct uext4_queue_opts o = { .size = 0, .depth = 1 };

	assert_int_equal(q_try(c->e.fs, 0, c->backend, &q), -EINVAL);
	assert_int_equal(q_try(c->e.fs, UEXT4_QUEUE_DEPTH_MAX + 1, c->backend,
					 &q),
			-EINVAL);
	assert_int_equal(q_try(c->e.fs, UINT32_MAX, c->backend, &q), -EINVAL);
	assert_int_equal(q_try(c->e.fs, 1, (enum uext4_queue_backend)4, &q),
			-EINVAL);
	assert_int_equal(uext4_queue_open(c->e.fs, &o, &q), -EINVAL);
	assert_null(q);
	q = q_open(c->e.fs, UEXT4_QUEUE_DEPTH_MAX, c->backend);
	uext4_queue_close(q);
	q = q_open(c->e.fs, 1, c->backend);
	uext4_queue_close(q);
	uext4_queue_close(NULL);
}

static void misaligned_requests_change_nothing(struct combo *c)
{
	struct uext4_queue *q = combo_queue(c);
	struct uext4_file *f = env_open(&c->e, "/aligned", DIRECT);
	uint32_t sector = uext4_dio_align(f);
	struct uext4_stat before;
	struct uext4_stat after;
	struct uext4_sqe s;

	assert_int_equal(q_run_write(q, f, c->buf, 8192, 0, 0), 8192);
	before = env_stat(&c->e, "/aligned");
	c->now.tv_sec++;
	memset(c->buf, 'x', 8192);
	for (unsigned k = 0; k < 2; k++) {
		uint64_t base = k * 1024 * KIB; /* inside, and a gap behind */

		assert_int_equal(q_run_write(q, f, c->buf, sector, base + 1, 0),
				-EINVAL);
		assert_int_equal(q_run_write(q, f, c->buf, sector,
						 base + sector / 2, 0),
				-EINVAL);
		assert_int_equal(q_run_write(q, f, c->buf, sector - 1, base, 0),
				-EINVAL);
		assert_int_equal(q_run_write(q, f, c->buf, sector + 1, base, 0),
				-EINVAL);
	}
	assert_int_equal(q_run_write(q, f, c->buf, 511, 0, UEXT4_RW_APPEND),
			-EINVAL);
	s = (struct uext4_sqe){ .op = UEXT4_OP_READ,
		.file = f,
		.buf = c->buf,
		.len = sector,
		.pos = 1 };
	assert_int_equal(q_run(q, &s), -EINVAL);
	after = env_stat(&c->e, "/aligned");
	assert_memory_equal(&before, &after, sizeof(before));
	env_expect(f, 0, 8192, 'b');
	/* A place that was given up leaves no gap. */
	assert_int_equal(q_run_write(q, f, c->buf, 512, 0, UEXT4_RW_APPEND),
			512);
	env_expect(f, 8192, 512, 'x');
	/* Memory may lie anywhere. */
	memset(c->buf, 'm', 8192);
	assert_int_equal(q_run_write(q, f, c->buf + 3, 4096, 4096, 0), 4096);
	env_expect(f, 4096, 4096, 'm');
	memset(c->buf, 'b', 16384);
	s = (struct uext4_sqe){ .op = UEXT4_OP_READ,
		.file = f,
		.buf = c->buf + 9,
		.len = 4096,
		.pos = 4096 };
	assert_int_equal(q_run(q, &s), 4096);
	expect_bytes(c->buf, 9, 'b');
	expect_bytes(c->buf + 9, 4096, 'm');
	expect_bytes(c->buf + 9 + 4096, 512, 'b');
	memset(c->buf, 'b', 16384);
	env_close(f);
	uext4_queue_close(q);
}

static void waiting_for_more_than_there_is(struct combo *c)
{
	struct uext4_queue *q = combo_queue(c);
	struct uext4_file *f = env_open(&c->e, "/wait", DIRECT);
	struct uext4_event e[DEPTH];
	struct pollfd p = { .fd = uext4_queue_eventfd(q), .events = POLLIN };

	assert_int_equal(uext4_queue_wait(q, 1, -1, e, DEPTH), 0);
	assert_int_equal(uext4_queue_wait(q, 1, 1000, e, DEPTH), 0);
	assert_int_equal(uext4_queue_wait(q, 0, 0, e, 0), -EINVAL);
	assert_int_equal(uext4_queue_submit(q), 0);
	for (unsigned i = 0; i < 10; i++)
		q_write(q, f, c->buf, 4096, (uint64_t)i * 4096, 0);
	assert_int_equal(uext4_queue_submit(q), 10);
	/* More than are in flight: those that are. */
	assert_int_equal(uext4_queue_wait(q, DEPTH, -1, e, DEPTH), 10);
	for (unsigned i = 0; i < 10; i++)
		q_write(q, f, c->buf, 4096, (uint64_t)i * 4096, 0);
	assert_int_equal(uext4_queue_submit(q), 10);
	/* Less room than is asked for; the rest stays, and is told. */
	assert_int_equal(uext4_queue_wait(q, 10, -1, e, 3), 3);
	for (unsigned got = 3; got < 10;) {
		int n;

		assert_int_equal(poll(&p, 1, 10000), 1);
		n = uext4_queue_wait(q, 0, 0, e, 2);
		assert_in_range(n, 0, 2);
		got += (unsigned)n;
	}
	assert_int_equal(uext4_queue_pending(q), 0);
	assert_int_equal(uext4_queue_wait(q, 1, -1, e, 1), 0);
	env_close(f);
	uext4_queue_close(q);
}

static void each_event_comes_once(struct combo *c)
{
	enum {
		N = 1000
	};
	struct uext4_queue *q = combo_queue(c);
	struct uext4_file *f = env_open(&c->e, "/many", DIRECT);
	uint8_t seen[N] = { 0 };
	struct uext4_event e[DEPTH];
	unsigned next = 0;
	unsigned got = 0;
	int n;

	while (got < N) {
		while (next < N) {
			struct uext4_sqe s = { .op = next % 3 == 2
						? UEXT4_OP_NOP
						: UEXT4_OP_WRITE,
				.file = f,
				.buf = c->buf,
				.len = 512u * (1 + next % 9),
				.pos = 512u * (next * 37u % 400),
				.user_data = next };
			int ret = uext4_queue_prep(q, &s);

			if (ret == -EAGAIN)
				break;
			assert_int_equal(ret, 0);
			next++;
		}
		(void)uext4_queue_submit(q);
		n = uext4_queue_wait(q, 1 + got % 5, -1, e, 1 + got % DEPTH);
		assert_true(n > 0);
		for (int i = 0; i < n; i++) {
			uint64_t u = e[i].user_data;

			assert_true(u < next);
			assert_int_equal(seen[u]++, 0);
			assert_int_equal(e[i].result,
					u % 3 == 2 ? 0 : 512 * (1 + u % 9));
		}
		got += (unsigned)n;
	}
	assert_int_equal(uext4_queue_wait(q, 1, -1, e, DEPTH), 0);
	env_close(f);
	uext4_queue_close(q);
}

/* A program that only polls the descriptor: woken each time, and not for
 * nothing. */
static void eventfd_in_a_poll_loop(struct combo *c)
{
	const bool is_long = strcmp(c->profile, "ext4-4k-full") == 0;
	const unsigned rounds = is_long ? 10000 : 300;
	struct uext4_queue *q = combo_queue(c);
	struct uext4_file *f = env_open(&c->e, "/poll", DIRECT);
	struct pollfd p = { .fd = uext4_queue_eventfd(q), .events = POLLIN };
	struct uext4_event e[DEPTH];
	unsigned polls = 0;
	unsigned requests = 0;
	unsigned in_flight = 0;
	int n;

	assert_true(p.fd >= 0);
	assert_int_equal(poll(&p, 1, 0), 0);
	env_fill(f, 0, 64 * KIB, 'b');
	for (unsigned i = 0; i < rounds; i++) {
		for (unsigned k = 0; k <= i % 4; k++, in_flight++)
			q_write(q, f, c->buf, 4096, 4096 * (i + k) % (64 * KIB),
					i % 64 == 1 && k == 0 ? UEXT4_RW_DSYNC
							      : 0);
		requests += i % 4 + 1;
		(void)uext4_queue_submit(q);
		do {
			polls++;
			if (poll(&p, 1, 10000) != 1)
				fail_msg("round %u: no wakeup, %u in flight", i,
						in_flight);
			n = uext4_queue_wait(q, 0, 0, e, DEPTH);
			assert_true(n >= 0 && (unsigned)n <= in_flight);
			in_flight -= (unsigned)n;
		} while (in_flight > (i % 2 ? 0 : 3));
	}
	while (in_flight > 0)
		in_flight -= (unsigned)uext4_queue_wait(q, 1, -1, e, DEPTH);
	/* Each request wakes once at most, and now and then for nothing. */
	assert_true(polls <= 2 * requests + 2);
	env_close(f);
	uext4_queue_close(q);
}

static void registered_buffers(struct combo *c)
{
	struct uext4_queue *q = combo_queue(c);
	struct uext4_file *f = env_open(&c->e, "/fixed", DIRECT);
	uint8_t *two = env_alloc(8192, '2');
	struct iovec iov[2] = { { c->buf, 64 * KIB }, { two, 8192 } };
	struct uext4_sqe s = { .op = UEXT4_OP_WRITE,
		.file = f,
		.buf = two,
		.len = 8192,
		.buf_index = 1 };

	assert_int_equal(uext4_queue_prep(q, &s), -EINVAL); /* none yet */
	assert_int_equal(uext4_queue_buffers(q, NULL, 1), -EINVAL);
	assert_int_equal(uext4_queue_buffers(q, iov, 2), 0);
	assert_int_equal(uext4_queue_prep(q, &s), -EINVAL); /* not in there */
	s.buf_index = 3;
	assert_int_equal(uext4_queue_prep(q, &s), -EINVAL);
	s.buf_index = UINT32_MAX;
	assert_int_equal(uext4_queue_prep(q, &s), -EINVAL);
	s.buf_index = 2;
	assert_int_equal(q_run(q, &s), 8192);
	s.buf = two + 512; /* past its end */
	assert_int_equal(uext4_queue_prep(q, &s), -EINVAL);
	s.len = 1024;
	s.pos = 8192;
	assert_int_equal(q_run(q, &s), 1024);
	s = (struct uext4_sqe){ .op = UEXT4_OP_READ,
		.file = f,
		.buf = c->buf + 4096,
		.len = 16384,
		.buf_index = 1 };
	q_prep(q, &s);
	assert_int_equal(uext4_queue_buffers(q, NULL, 0), -EBUSY);
	q_take_all(q, 1, 9216);
	expect_bytes(c->buf + 4096, 9216, '2');
	expect_bytes(c->buf + 4096 + 9216, 512, 'b');
	memset(c->buf, 'b', 64 * KIB);
	assert_int_equal(uext4_queue_buffers(q, NULL, 0), 0);
	assert_int_equal(uext4_queue_prep(q, &s), -EINVAL);
	free(two);
	env_close(f);
	uext4_queue_close(q);
}

/* ---- files and queues that go away ---- */

static void a_closed_file_lives_on(struct combo *c)
{
	struct uext4_queue *q = combo_queue(c);
	struct uext4_file *f = env_open(&c->e, "/closed", DIRECT);

	for (unsigned i = 0; i < 16; i++)
		q_write(q, f, c->buf, 8192, (uint64_t)i * 8192, 0);
	env_close(f); /* prepared */
	assert_int_equal(uext4_queue_submit(q), 16);
	f = env_open(&c->e, "/closed", DIRECT);
	for (unsigned i = 16; i < 32; i++)
		q_write(q, f, c->buf, 8192, (uint64_t)i * 8192, 0);
	assert_int_equal(uext4_queue_submit(q), 16);
	env_close(f); /* in flight */
	q_take_all(q, 32, 8192);
	f = env_open(&c->e, "/closed", UEXT4_O_RDONLY);
	env_expect(f, 0, 256 * KIB, 'b');
	env_close(f);
	uext4_queue_close(q);
}

static void an_unlinked_file_lives_on(struct combo *c)
{
	struct uext4_queue *q = combo_queue(c);
	uint64_t blocks = env_free_blocks(&c->e);
	uint64_t inodes = env_free_inodes(&c->e);

	for (int round = 0; round < 3; round++) {
		struct uext4_file *f = env_open(&c->e, "/gone", DIRECT);

		for (unsigned i = 0; i < 16; i++)
			q_write(q, f, c->buf, 16384, (uint64_t)i * 16384, 0);
		if (round == 0)
			assert_int_equal(uext4_queue_submit(q), 16);
		assert_int_equal(env_unlink(&c->e, "/gone"), 0);
		env_close(f);
		if (round < 2) {
			q_take_all(q, 16, 16384);
		} else { /* nobody takes the events */
			(void)uext4_queue_submit(q);
			uext4_queue_close(q);
		}
	}
	assert_int_equal(env_free_blocks(&c->e), blocks);
	assert_int_equal(env_free_inodes(&c->e), inodes);
}

static void a_closed_queue_loses_nothing(struct combo *c)
{
	struct uext4_file *f = env_open(&c->e, "/qclosed", DIRECT);
	struct uext4_queue *q = combo_queue(c);

	for (unsigned i = 0; i < 16; i++)
		q_write(q, f, c->buf, 8192, (uint64_t)i * 8192,
				i % 4 == 3 ? UEXT4_RW_DSYNC : 0);
	assert_int_equal(uext4_queue_submit(q), 16);
	/* Prepared and not submitted: dropped. */
	q_write(q, f, c->buf, 8192, 512 * KIB, 0);
	uext4_queue_close(q);
	assert_int_equal(env_size(f), 128 * KIB);
	env_expect(f, 0, 128 * KIB, 'b');
	env_close(f);
}

static void unmount_waits_and_events_stay(struct combo *c)
{
	struct uext4_file *f = env_open(&c->e, "/unmount", DIRECT);
	struct uext4_queue *q = combo_queue(c);
	struct uext4_sqe nop = { .op = UEXT4_OP_NOP };
	struct uext4_event e[DEPTH];

	for (unsigned i = 0; i < 16; i++)
		q_write(q, f, c->buf, 8192, (uint64_t)i * 8192, 0);
	assert_int_equal(uext4_queue_submit(q), 16);
	/* Open: refused, and the queue is as it was. */
	assert_int_equal(uext4_unmount(c->e.fs), -EBUSY);
	for (unsigned i = 16; i < 20; i++)
		q_write(q, f, c->buf, 8192, (uint64_t)i * 8192, 0);
	q_take_all(q, 20, 8192);
	for (unsigned i = 20; i < 28; i++)
		q_write(q, f, c->buf, 8192, (uint64_t)i * 8192,
				i % 2 ? UEXT4_RW_DSYNC : 0);
	assert_int_equal(uext4_queue_submit(q), 8);
	env_close(f);
	env_unmount(&c->e);
	assert_int_equal(uext4_queue_prep(q, &nop), -ESHUTDOWN);
	assert_int_equal(uext4_queue_submit(q), 0);
	assert_int_equal(uext4_queue_wait(q, 8, -1, e, 5), 5);
	assert_int_equal(uext4_queue_wait(q, 8, -1, e + 5, DEPTH - 5), 3);
	assert_int_equal(uext4_queue_wait(q, 1, -1, e + 8, 1), 0);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(e[i].result, 8192);
	uext4_queue_close(q);
	env_judge(&c->e);
	combo_mount(c);
	f = env_open(&c->e, "/unmount", UEXT4_O_RDONLY);
	env_expect(f, 0, 224 * KIB, 'b');
	env_close(f);
}

/* ---- others wait for what is in flight ---- */

/* B36: everything that drains, by the thread whose events nobody takes. */
static void the_owner_drains_without_reaping(struct combo *c)
{
	struct uext4_queue *q = combo_queue(c);
	struct uext4_file *f = env_open(&c->e, "/drain", DIRECT);
	struct uext4_file *cached = env_open(&c->e, "/drain", RW);
	const unsigned punch = UEXT4_FALLOC_PUNCH_HOLE | UEXT4_FALLOC_KEEP_SIZE;
	bool extents = c->e.p->has & ENV_EXTENT;

	for (unsigned k = 0; k < 6; k++) {
		for (unsigned i = 0; i < 16; i++)
			q_write(q, f, c->buf, 8192, (uint64_t)i * 8192, 0);
		assert_int_equal(uext4_queue_submit(q), 16);
		switch (k) {
		case 0:
			assert_int_equal(uext4_ftruncate(f, 128 * KIB), 0);
			break;
		case 1:
			assert_int_equal(uext4_fallocate(f, 0, 0, 128 * KIB),
					extents ? 0 : -EOPNOTSUPP);
			break;
		case 2:
			assert_int_equal(
					uext4_fallocate(f, punch, 0, 16384), 0);
			env_expect(f, 0, 16384, 0);
			break;
		case 3:
			assert_int_equal(
					uext4_pwrite(cached, "hello", 5, 70000),
					5);
			break;
		case 4:
			assert_int_equal(uext4_fsync(f), 0);
			assert_int_equal(uext4_sync(c->e.fs), 0);
			break;
		default:
			assert_int_equal(uext4_ftruncate(f, 0), 0);
			assert_int_equal(env_size(f), 0);
		}
		q_take_all(q, 16, 8192);
		if (k < 5)
			assert_int_equal(env_size(f), 128 * KIB);
	}
	env_close(cached);
	env_close(f);
	uext4_queue_close(q);
}

struct drainer {
	struct uext4_file *file;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool is_done;
	int ret;
};

static void *drainer_main(void *arg)
{
	struct drainer *d = arg;
	int ret = uext4_ftruncate(d->file, 4096);

	pthread_mutex_lock(&d->lock);
	d->ret = ret;
	d->is_done = true;
	pthread_cond_signal(&d->cond);
	pthread_mutex_unlock(&d->lock);
	return NULL;
}

/* The owner sleeps where nobody can wake it but the drainer itself. */
static void another_thread_drains_and_nobody_reaps(struct combo *c)
{
	struct uext4_queue *q = combo_queue(c);
	struct uext4_file *f = env_open(&c->e, "/drain2", DIRECT);
	pthread_t thread;

	for (int round = 0; round < 5; round++) {
		struct drainer d = { .file = f,
			.lock = PTHREAD_MUTEX_INITIALIZER,
			.cond = PTHREAD_COND_INITIALIZER };

		for (unsigned i = 0; i < 16; i++)
			q_write(q, f, c->buf, 8192, (uint64_t)i * 8192, 0);
		assert_int_equal(uext4_queue_submit(q), 16);
		assert_int_equal(
				pthread_create(&thread, NULL, drainer_main, &d),
				0);
		pthread_mutex_lock(&d.lock);
		while (!d.is_done)
			pthread_cond_wait(&d.cond, &d.lock);
		pthread_mutex_unlock(&d.lock);
		pthread_join(thread, NULL);
		assert_int_equal(d.ret, 0);
		assert_int_equal(env_size(f), 4096);
		q_take_all(q, 16, 8192);
		assert_int_equal(env_size(f), 4096);
	}
	env_expect(f, 0, 4096, 'b');
	env_close(f);
	uext4_queue_close(q);
}

/* ---- what goes wrong ---- */

static void writes_end_where_the_format_does(struct combo *c)
{
	struct uext4_queue *q = combo_queue(c);
	struct uext4_file *f = env_open(&c->e, "/big", DIRECT);
	uint64_t max = f->inode->map.is_extents ? c->e.fs->geo.max_bytes_extent
						: c->e.fs->geo.max_bytes_bitmap;

	assert_int_equal(q_run_write(q, f, c->buf, 4096, max, 0), -EFBIG);
	assert_int_equal(q_run_write(q, f, c->buf, 8192, max - 4096, 0), 4096);
	assert_int_equal(env_size(f), max);
	assert_int_equal(q_run_write(q, f, c->buf, 512, 0, UEXT4_RW_APPEND),
			-EFBIG);
	assert_int_equal(q_run_write(q, f, c->buf, 512, 0, 0), 512);
	assert_int_equal(uext4_ftruncate(f, 0), 0);
	env_close(f);
	uext4_queue_close(q);
}

/* Three pages, the middle one is not there. */
static uint8_t *buffer_with_a_hole(void)
{
	const int prot = PROT_READ | PROT_WRITE;
	uint8_t *p = mmap(NULL, 3 * 4096, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			0);

	assert_true(p != MAP_FAILED);
	memset(p, 'f', 3 * 4096);
	assert_int_equal(munmap(p + 4096, 4096), 0);
	return p;
}

static void only_these(
		struct uext4_file *f, uint64_t pos, size_t len, int a, int b)
{
	uint8_t *out = env_alloc(len, 1);
	ssize_t n = uext4_pread(f, out, len, pos);

	for (ssize_t i = 0; i < n; i++)
		if (out[i] != a && out[i] != b)
			fail_msg("byte %llu is %#x",
					(unsigned long long)pos + (uint64_t)i,
					out[i]);
	free(out);
}

/* The kernel stops at the page that is missing: some of the device may have
 * been written, but what was free before is never seen. */
static void memory_that_faults_shows_no_old_bytes(struct combo *c)
{
	struct uext4_queue *q = combo_queue(c);
	struct uext4_file *f = env_open(&c->e, "/fault", DIRECT);
	uint8_t *bad = buffer_with_a_hole();

	env_fill(f, 0, 32 * KIB, 'o');
	assert_int_equal(uext4_ftruncate(f, 96 * KIB), 0); /* a hole */
	if (c->e.p->has & ENV_EXTENT)
		assert_int_equal(uext4_fallocate(f, 0, 64 * KIB, 32 * KIB), 0);
	for (unsigned at = 0; at <= 96; at += 32) {
		uint64_t pos = at * KIB + 512;
		int64_t n = q_run_write(q, f, bad, 3 * 4096, pos, 0);

		assert_true(n == -EFAULT || (n > 0 && n <= 4096));
		only_these(f, pos, 3 * 4096, at == 0 ? 'o' : 0, 'f');
	}
	env_expect(f, 0, 512, 'o');
	env_expect(f, 512 + 3 * 4096, 32 * KIB - 512 - 3 * 4096, 'o');
	env_expect(f, 32 * KIB, 512, 0);
	env_expect(f, 32 * KIB + 512 + 3 * 4096, 16384, 0);
	env_expect(f, 64 * KIB, 512, 0);
	/* Nor after the file has grown over what was tried beyond its end. */
	assert_int_equal(uext4_ftruncate(f, 160 * KIB), 0);
	only_these(f, 96 * KIB, 64 * KIB, 0, 'f');
	(void)munmap(bad, 4096);
	(void)munmap(bad + 8192, 4096);
	env_close(f);
	uext4_queue_close(q);
}

/* Last of a combination. */
static void the_image_is_clean(struct combo *c)
{
	env_end(&c->e);
	free(c->buf);
	c->buf = NULL;
}

/* ---- all of them ---- */

struct qcase {
	const char *name;
	void (*body)(struct combo *c);
};

struct qrun {
	const struct qcase *qc;
	struct combo *c;
};

static const struct qcase cases[] = {
	{ "every_operation", every_operation },
	{ "refused_at_once", refused_at_once },
	{ "every_flag", every_flag },
	{ "files_in_the_cache", files_in_the_cache },
	{ "a_full_queue_says_so", a_full_queue_says_so },
	{ "each_backend_has_its_name", each_backend_has_its_name },
	{ "absurd_depths", absurd_depths },
	{ "misaligned_requests_change_nothing",
			misaligned_requests_change_nothing },
	{ "waiting_for_more_than_there_is", waiting_for_more_than_there_is },
	{ "each_event_comes_once", each_event_comes_once },
	{ "eventfd_in_a_poll_loop", eventfd_in_a_poll_loop },
	{ "registered_buffers", registered_buffers },
	{ "a_closed_file_lives_on", a_closed_file_lives_on },
	{ "an_unlinked_file_lives_on", an_unlinked_file_lives_on },
	{ "a_closed_queue_loses_nothing", a_closed_queue_loses_nothing },
	{ "unmount_waits_and_events_stay", unmount_waits_and_events_stay },
	{ "the_owner_drains_without_reaping",
			the_owner_drains_without_reaping },
	{ "another_thread_drains_and_nobody_reaps",
			another_thread_drains_and_nobody_reaps },
	{ "writes_end_where_the_format_does",
			writes_end_where_the_format_does },
	{ "memory_that_faults_shows_no_old_bytes",
			memory_that_faults_shows_no_old_bytes },
	{ "the_image_is_clean", the_image_is_clean },
};

#define NCASES (sizeof(cases) / sizeof(cases[0]))

static const char *const profiles[] = { "ext4-4k-full", "ext4-1k-full",
	"ext3-1k", "ext4-4k-nojournal" };

#define NPROFILES (sizeof(profiles) / sizeof(profiles[0]))

static void run_one(void **state)
{
	struct qrun *r = *state;

	q_watch(r->qc->name);
	if (r->c->buf == NULL)
		combo_begin(r->c);
	if (r->c->is_off) {
		printf("skip: io_uring is refused here\n");
		skip();
	}
	if (r->c->is_broken)
		fail_msg("an earlier case has failed");
	r->c->is_broken = true;
	r->qc->body(r->c);
	r->c->is_broken = false;
}

int main(int argc, char **argv)
{
	static struct combo combos[NPROFILES * Q_BACKENDS];
	static struct qrun runs[NPROFILES * Q_BACKENDS * NCASES];
	static struct CMUnitTest tests[NPROFILES * Q_BACKENDS * NCASES];
	size_t n = 0;
	int ret;

	for (size_t i = 0; i < NPROFILES * Q_BACKENDS * NCASES; i++) {
		const struct qcase *qc = &cases[i % NCASES];
		struct combo *c = &combos[i / NCASES];
		char *name = NULL;

		c->profile = profiles[i / NCASES / Q_BACKENDS];
		c->backend = (enum uext4_queue_backend)(
				i / NCASES % Q_BACKENDS);
		if (asprintf(&name, "%s/%s/%s", qc->name, c->profile,
				    q_backends[c->backend]) < 0)
			abort();
		if (argc > 1 && !strstr(name, argv[1])) {
			free(name);
			continue;
		}
		runs[n] = (struct qrun){ qc, c };
		tests[n].name = name;
		tests[n].test_func = run_one;
		tests[n].initial_state = &runs[n];
		n++;
	}
	if (!env_tools())
		return 77;
	ret = _cmocka_run_group_tests("t_queue", tests, n, NULL, NULL);
	for (size_t i = 0; i < NPROFILES * Q_BACKENDS; i++)
		env_free(&combos[i].e);
	for (size_t i = 0; i < n; i++)
		free((void *)(uintptr_t)tests[i].name);
	return ret;
}
