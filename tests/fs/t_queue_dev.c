/* SPDX-License-Identifier: MIT */
/*
 * Queues on the test device, which holds, counts, shuffles and refuses
 * requests; and threads that are stopped at the gates of a direct write. What
 * needs neither is in t_queue.c.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bdev/bdev.h"
#include "bug.h"
#include "check/check.h"
#include "fs/file.h"
#include "fs/fs.h"
#include "queues.h"

#define RW     (UEXT4_O_RDWR | UEXT4_O_CREAT)
#define DIRECT (RW | UEXT4_O_DIRECT)
#define BLOCK  4096u
#define TICK   usleep(200)

static uint8_t *ones; /* 64 KiB of 'o' */

/* ---- holding data writes by their first byte, and threads at gates ---- */

static struct {
	atomic_int held, open;
	int byte;
} hold;

static void hold_fn(void *ctx, const struct bdev_io *io)
{
	const uint8_t *p = io->iovcnt > 0 ? io->iov[0].iov_base : NULL;

	if (io->op != BDEV_WRITE || bdev_tag_kind(io->tag) != BDEV_TAG_DATA ||
			p[0] != hold.byte)
		return;
	atomic_fetch_add(&hold.held, 1);
	while (!atomic_load(&hold.open))
		TICK;
}

/* Data writes that begin with @byte wait for hold_open(). */
static void hold_close(struct bug *b, int byte)
{
	atomic_store(&hold.held, 0);
	atomic_store(&hold.open, 0);
	hold.byte = byte;
	bdev_emu_set_gate(b->dev, hold_fn, NULL);
}

static void hold_wait(int n)
{
	while (atomic_load(&hold.held) < n)
		TICK;
}

static void hold_open(void)
{
	atomic_store(&hold.open, 1);
}

struct stop {
	const char *at;
	uint64_t pos;
	atomic_int want, seen, open;
};

static void stop_fn(void *ctx, uint64_t pos, const char *at)
{
	struct stop *s = ctx;

	if (pos != s->pos || strcmp(at, s->at) != 0)
		return;
	if (atomic_fetch_sub(&s->want, 1) <= 0) {
		atomic_fetch_add(&s->seen, 1);
		return;
	}
	atomic_fetch_add(&s->seen, 1);
	while (!atomic_load(&s->open))
		TICK;
}

/* The first @n that come to @at of the request at @pos stay there; others are
 * counted. Nothing is in flight. */
static void stop_at(struct stop *s, struct uext4_file *f, const char *at,
		uint64_t pos, int n)
{
	s->at = at;
	s->pos = pos;
	atomic_store(&s->want, n);
	atomic_store(&s->seen, 0);
	atomic_store(&s->open, 0);
	f->inode->file.gate_ctx = s;
	f->inode->file.gate = stop_fn;
}

static void stop_wait(struct stop *s)
{
	while (atomic_load(&s->seen) == 0)
		TICK;
}

/* A call in a thread of its own. */
struct call {
	pthread_t thread;
	int (*fn)(struct call *c);
	struct uext4_file *file;
	struct uext4_queue *q;
	uint64_t a, b;
	unsigned rwf;
	int ret;
	atomic_int is_done;
};

static void *call_main(void *arg)
{
	struct call *c = arg;

	c->ret = c->fn(c);
	atomic_store(&c->is_done, 1);
	return NULL;
}

static void call_start(struct call *c)
{
	assert_int_equal(pthread_create(&c->thread, NULL, call_main, c), 0);
}

static int call_join(struct call *c)
{
	pthread_join(c->thread, NULL);
	return c->ret;
}

static int call_truncate(struct call *c)
{
	return uext4_ftruncate(c->file, c->a);
}

static int call_falloc(struct call *c)
{
	return uext4_fallocate(c->file, 0, c->a, c->b);
}

static int call_write(struct call *c)
{
	struct iovec iov = { ones, c->b };

	return (int)uext4_pwritev2(c->file, &iov, 1, c->a, c->rwf);
}

static void open_with(struct bug *b, const char *profile, const char *size,
		enum uext4_dio_alloc alloc, enum uext4_dio_size by)
{
	bug_image(b, profile, size);
	b->opts.dio_alloc = alloc;
	b->opts.dio_size = by;
	bug_mount(b);
}

static void fill_with(uint8_t *p, size_t len, int byte)
{
	memset(p, byte, len);
}

/* ---- order ---- */

/* The device ends requests in random order, inside whoever polls it. */
static void requests_end_in_any_order(void **state)
{
	static const char *const on[] = { "ext4-4k-full", "ext4-1k-full",
		"ext3-1k" };
	uint8_t *buf = env_alloc(64 * 1024, 0);

	for (unsigned k = 0; k < 3 * 2; k++) {
		struct uext4_event e[16];
		struct uext4_queue *q;
		struct uext4_file *f;
		bool shuffled = false;
		struct bug b;

		bug_image(&b, on[k / 2], "24M");
		b.emu = (struct bdev_emu_opts){ .flags = BDEV_EMU_F_ASYNC,
			.seed = k };
		b.opts.dio_size = k % 2 ? UEXT4_DIO_SIZE_PREFIX
					: UEXT4_DIO_SIZE_MAX;
		bug_mount(&b);
		f = env_open(&b.e, "/f", DIRECT);
		q = q_open(b.e.fs, 16, UEXT4_QUEUE_INLINE);
		for (unsigned round = 0; round < 20; round++) {
			for (unsigned i = 0; i < 16; i++) {
				fill_with(buf + i * 4096, 4096, (int)('a' + i));
				q_write(q, f, buf + i * 4096, 1536,
						(round * 16 + i) * 1536, 0);
			}
			q_take(q, 16, e);
			for (unsigned i = 0; i < 16; i++) {
				assert_int_equal(e[i].result, 1536);
				shuffled |= i > 0 &&
						e[i].user_data <
								e[i - 1].user_data;
			}
		}
		if (k % 2 == 0)
			assert_true(shuffled);
		for (unsigned i = 0; i < 320; i++)
			env_expect(f, i * 1536, 1536, (int)('a' + i % 16));
		uext4_queue_close(q);
		env_close(f);
		bug_close(&b, true);
	}
	free(buf);
}

static void waiting_ends_with_its_time(void **state)
{
	struct uext4_event e[4];
	struct uext4_queue *q;
	struct uext4_file *f;
	uint64_t begin;
	struct bug b;

	bug_open(&b, "ext4-4k-full", "24M");
	f = env_open(&b.e, "/f", DIRECT);
	q = q_open(b.e.fs, 4, UEXT4_QUEUE_POOL);
	hold_close(&b, 'o');
	q_write(q, f, ones, BLOCK, 0, 0);
	assert_int_equal(uext4_queue_submit(q), 1);
	hold_wait(1);
	assert_int_equal(uext4_queue_wait(q, 1, 0, e, 4), 0);
	begin = time_now_ns();
	assert_int_equal(uext4_queue_wait(q, 1, 30, e, 4), 0);
	assert_true(time_now_ns() - begin >= 29 * UINT64_C(1000000));
	assert_int_equal(uext4_queue_pending(q), 1);
	hold_open();
	assert_int_equal(uext4_queue_wait(q, 4, 60000, e, 4), 1);
	assert_int_equal(e[0].result, BLOCK);
	uext4_queue_close(q);
	env_close(f);
	bug_close(&b, true);
}

/* ---- wakeups ---- */

/* Somebody else finishes what the owner was told of: it is told again. */
static void who_polls_is_told_by_those_who_help(void **state)
{
	struct call t = { .fn = call_truncate, .a = 65536 };
	struct uext4_event e;
	struct uext4_queue *q;
	struct uext4_file *f;
	struct pollfd p = { .events = POLLIN };
	struct stop s;
	struct bug b;

	bug_open(&b, "ext4-4k-full", "24M");
	f = env_open(&b.e, "/f", DIRECT);
	q = q_open(b.e.fs, 4, UEXT4_QUEUE_POOL);
	p.fd = uext4_queue_eventfd(q);
	for (int round = 0; round < 3; round++) {
		stop_at(&s, f, "land", BLOCK, 1);
		hold_close(&b, 'o');
		q_write(q, f, ones, BLOCK, BLOCK, 0);
		assert_int_equal(uext4_queue_submit(q), 1);
		hold_wait(1);
		t.file = f;
		call_start(&t);
		hold_open();
		/* T1 drains and takes the request off the device, the owner
		 * looks and finds nothing, T1 ends the request. */
		stop_wait(&s);
		assert_int_equal(uext4_queue_wait(q, 0, 0, &e, 1), 0);
		assert_int_equal(poll(&p, 1, 0), 0);
		atomic_store(&s.open, 1);
		assert_int_equal(poll(&p, 1, 5000), 1);
		assert_int_equal(uext4_queue_wait(q, 0, 0, &e, 1), 1);
		assert_int_equal(e.result, BLOCK);
		assert_int_equal(call_join(&t), 0);
	}
	uext4_queue_close(q);
	env_close(f);
	bug_close(&b, true);
}

/* dio_size=prefix: the one before it, of another queue, was last. */
static void who_polls_is_told_by_the_one_before(void **state)
{
	struct uext4_queue *qa, *qb;
	struct uext4_event e;
	struct pollfd p = { .events = POLLIN };
	struct uext4_file *f;
	uint8_t *held = env_alloc(BLOCK, 'h');
	struct stop s;
	struct bug b;

	open_with(&b, "ext4-4k-full", "24M", 0, UEXT4_DIO_SIZE_PREFIX);
	f = env_open(&b.e, "/f", DIRECT);
	qa = q_open(b.e.fs, 4, UEXT4_QUEUE_POOL);
	qb = q_open(b.e.fs, 4, UEXT4_QUEUE_POOL);
	p.fd = uext4_queue_eventfd(qb);
	hold_close(&b, 'h');
	stop_at(&s, f, "data_done", BLOCK, 0);
	q_write(qa, f, held, BLOCK, 0, 0);
	q_write(qb, f, ones, BLOCK, BLOCK, 0);
	assert_int_equal(uext4_queue_submit(qa), 1);
	assert_int_equal(uext4_queue_submit(qb), 1);
	while (atomic_load(&s.seen) == 0)
		assert_int_equal(uext4_queue_wait(qb, 0, 0, &e, 1), 0);
	assert_int_equal(uext4_queue_wait(qb, 0, 0, &e, 1), 0);
	assert_int_equal(env_size(f), 0);
	hold_open();
	assert_int_equal(uext4_queue_wait(qa, 1, -1, &e, 1), 1);
	assert_int_equal(poll(&p, 1, 5000), 1);
	assert_int_equal(uext4_queue_wait(qb, 0, 0, &e, 1), 1);
	assert_int_equal(env_size(f), 2 * BLOCK);
	uext4_queue_close(qa);
	uext4_queue_close(qb);
	env_close(f);
	free(held);
	bug_close(&b, true);
}

/* An append ends while the one before it is held. One at a
 * time (serial) it has to wait, which shows that the hold holds. */
static void appends_do_not_wait_for_each_other(void **state)
{
	for (int k = 0; k < 4; k++) {
		const bool serial = (k & 1) != 0;
		struct call first = {
			.fn = call_write, .b = BLOCK, .rwf = UEXT4_RW_APPEND
		};
		struct call second = first;
		struct bug b;

		bug_image(&b, "ext4-4k-full", "24M");
		b.opts.dio_extend = serial ? UEXT4_DIO_EXTEND_SERIAL
					   : UEXT4_DIO_EXTEND_PARALLEL;
		b.opts.dio_alloc = k & 2 ? UEXT4_DIO_ALLOC_UNWRITTEN
					 : UEXT4_DIO_ALLOC_DATAFIRST;
		bug_mount(&b);
		first.file = env_open(&b.e, "/f", DIRECT);
		second.file = first.file;
		hold_close(&b, 'h');
		memset(ones, 'h', BLOCK);
		call_start(&first);
		hold_wait(1);
		memset(ones, 'o', BLOCK); /* the emulator copies at the end */
		call_start(&second);
		for (int i = 0; i < (serial ? 50 : 20000); i++) {
			if (atomic_load(&second.is_done))
				break;
			TICK;
		}
		assert_int_equal(atomic_load(&second.is_done), !serial);
		if (!serial) {
			assert_int_equal(env_size(first.file), 2 * BLOCK);
			env_expect(first.file, 0, BLOCK, 0);
			env_expect(first.file, BLOCK, BLOCK, 'o');
		}
		hold_open();
		assert_int_equal(call_join(&first), BLOCK);
		assert_int_equal(call_join(&second), BLOCK);
		env_expect(first.file, 0, 2 * BLOCK, 'o');
		env_close(first.file);
		bug_close(&b, true);
	}
}

/* ---- dio_size=prefix: who waits for whom ---- */

/* The same thread has both queues: waiting for the second, or closing it, does
 * what the first needs. */
static void a_queue_waits_for_what_is_before_in_another(void **state)
{
	for (int close_it = 0; close_it < 3; close_it++) {
		struct uext4_queue *qa, *qb;
		struct uext4_event e;
		struct uext4_file *f;
		struct bug b;

		open_with(&b, "ext4-4k-full", "24M", 0, UEXT4_DIO_SIZE_PREFIX);
		f = env_open(&b.e, "/f", DIRECT);
		qa = q_open(b.e.fs, 4, UEXT4_QUEUE_POOL);
		qb = q_open(b.e.fs, 4, UEXT4_QUEUE_POOL);
		q_write(qa, f, ones, BLOCK, 0, 0);
		assert_int_equal(uext4_queue_submit(qa), 1);
		q_write(qb, f, ones, BLOCK, BLOCK, 0);
		assert_int_equal(uext4_queue_submit(qb), 1);
		if (close_it == 0) {
			assert_int_equal(uext4_queue_wait(qb, 1, -1, &e, 1), 1);
			assert_int_equal(e.result, BLOCK);
		}
		if (close_it < 2) {
			uext4_queue_close(qb);
			assert_int_equal(env_size(f), 2 * BLOCK);
			q_take_all(qa, 1, BLOCK);
			uext4_queue_close(qa);
			env_close(f);
		} else {
			env_close(f);
			bug_remount(&b);
			uext4_queue_close(qb);
			uext4_queue_close(qa);
		}
		f = env_open(&b.e, "/f", RW);
		env_expect(f, 0, 2 * BLOCK, 'o');
		env_close(f);
		bug_close(&b, true);
	}
}

/* T1 has chosen its place and no claim yet; T2 goes behind it, in the same
 * block, and has its data done: it must not keep T1 from its block. */
static void places_and_claims_make_no_circle(void **state)
{
	for (int k = 0; k < 2; k++) {
		struct call first = {
			.fn = call_write, .b = 512, .rwf = UEXT4_RW_APPEND
		};
		struct call second = first;
		struct stop s;
		struct bug b;

		open_with(&b, "ext4-4k-full", "24M", 0,
				k ? UEXT4_DIO_SIZE_PREFIX : UEXT4_DIO_SIZE_MAX);
		first.file = env_open(&b.e, "/f", DIRECT);
		second.file = first.file;
		stop_at(&s, first.file, "checked", 0, 1);
		call_start(&first);
		stop_wait(&s);
		call_start(&second);
		/* It may wait for the first, or be done: give it time. */
		for (int i = 0; i < 100 && !atomic_load(&second.is_done); i++)
			TICK;
		atomic_store(&s.open, 1);
		assert_int_equal(call_join(&first), 512);
		assert_int_equal(call_join(&second), 512);
		assert_int_equal(env_size(first.file), 1024);
		env_expect(first.file, 0, 1024, 'o');
		env_close(first.file);
		bug_close(&b, true);
	}
}

/* A request in flight holds the block in which another one, which comes later,
 * ends: that is before it in the file, and not before it in line. */
static void who_comes_later_waits_behind(void **state)
{
	for (int k = 0; k < 2; k++) {
		struct call later = { .fn = call_write, .a = 512, .b = BLOCK };
		struct uext4_queue *q;
		struct stop s;
		struct bug b;

		open_with(&b, "ext4-4k-full", "24M", 0,
				k ? UEXT4_DIO_SIZE_PREFIX : UEXT4_DIO_SIZE_MAX);
		later.file = env_open(&b.e, "/f", DIRECT);
		q = q_open(b.e.fs, 4, UEXT4_QUEUE_POOL);
		hold_close(&b, 'o');
		stop_at(&s, later.file, "claim_wait", 512, 0);
		q_write(q, later.file, ones, BLOCK, BLOCK, 0);
		assert_int_equal(uext4_queue_submit(q), 1);
		hold_wait(1);
		call_start(&later);
		stop_wait(&s);
		hold_open();
		q_take_all(q, 1, BLOCK);
		assert_int_equal(call_join(&later), BLOCK);
		env_expect(later.file, 0, 512, 0);
		env_expect(later.file, 512, 2 * BLOCK - 512, 'o');
		uext4_queue_close(q);
		env_close(later.file);
		bug_close(&b, true);
	}
}

/* All but @keep blocks. */
static void fill_the_rest(struct bug *b, unsigned keep)
{
	struct uext4_file *f = env_open(&b->e, "/rest", DIRECT);
	uint64_t at = 0;

	for (uint64_t len = 1 << 20; len >= b->e.bs; len /= 2)
		while (uext4_fallocate(f, 0, at, len) == 0)
			at += len;
	assert_int_equal(uext4_ftruncate(f, at - keep * b->e.bs), 0);
	assert_int_equal(uext4_sync(b->e.fs), 0);
	env_close(f);
}

/* The one before it never gets under way: it is refused with its place and its
 * claims taken. */
static void who_is_refused_leaves_nobody_behind(void **state)
{
	for (unsigned k = 0; k < 2; k++) {
		struct call first = { .fn = call_write, .b = BLOCK };
		struct uext4_queue *q;
		struct uext4_file *f;
		struct uext4_event e;
		uint32_t nodes;
		ssize_t ret;
		struct stop s;
		struct bug b;

		open_with(&b, "ext4-4k-full", "12M",
				k ? UEXT4_DIO_ALLOC_UNWRITTEN
				  : UEXT4_DIO_ALLOC_DATAFIRST,
				UEXT4_DIO_SIZE_PREFIX);
		first.file = f = env_open(&b.e, "/f", DIRECT);
		q = q_open(b.e.fs, 4, UEXT4_QUEUE_POOL);
		assert_int_equal(uext4_fallocate(f, UEXT4_FALLOC_KEEP_SIZE,
						 BLOCK, BLOCK),
				0);
		/* Just enough for the nodes that the second may need, and, of
		 * unwritten blocks, the first. */
		nodes = map_nodes_convert(&f->inode->map, 1);
		fill_the_rest(&b, (k + 1) * nodes);
		stop_at(&s, f, "claimed", 0, 1);
		call_start(&first);
		stop_wait(&s);
		q_write(q, f, ones, BLOCK, BLOCK, 0);
		assert_int_equal(uext4_queue_submit(q), 1);
		assert_int_equal(uext4_queue_wait(q, 1, 20, &e, 1), 0);
		atomic_store(&s.open, 1);
		/* Refused, it tries once more: then the second has given back
		 * what it did not need. */
		ret = call_join(&first);
		assert_true(ret == -ENOSPC || ret == BLOCK);
		assert_int_equal(uext4_queue_wait(q, 1, 5000, &e, 1), 1);
		assert_int_equal(e.result, BLOCK);
		env_expect(f, 0, BLOCK, ret < 0 ? 0 : 'o');
		env_expect(f, BLOCK, BLOCK, 'o');
		uext4_queue_close(q);
		env_close(f);
		bug_close(&b, true);
	}
}

/* ---- blocks reserved for a hole ---- */

/* A page in the middle of the hole waits to be written, and is, once the blocks
 * for the hole have been reserved: it has a block of its own then. */
static void a_delayed_page_in_the_hole_is_written_over(void **state)
{
	for (int k = 0; k < 4; k++) {
		struct uext4_file *f, *cached;
		struct uext4_queue *q;
		uint64_t blocks;
		struct bug b;

		open_with(&b, k & 1 ? "ext3-1k" : "ext4-4k-full", "24M",
				UEXT4_DIO_ALLOC_DATAFIRST, 0);
		blocks = env_free_blocks(&b.e);
		f = env_open(&b.e, "/f", DIRECT);
		cached = env_open(&b.e, "/f", RW);
		q = q_open(b.e.fs, 4, UEXT4_QUEUE_INLINE);
		if (k & 2)
			assert_int_equal(uext4_ftruncate(f, 16 * BLOCK), 0);
		env_fill(cached, 5 * BLOCK, BLOCK, 'c');
		assert_int_equal(q_run_write(q, f, ones, 10 * BLOCK, 0, 0),
				10 * BLOCK);
		env_expect(f, 0, 10 * BLOCK, 'o');
		env_expect(cached, 0, 10 * BLOCK, 'o');
		env_close(f);
		env_close(cached);
		assert_int_equal(env_unlink(&b.e, "/f"), 0);
		assert_int_equal(env_free_blocks(&b.e), blocks);
		uext4_queue_close(q);
		bug_close(&b, true);
	}
}

/* ---- removal waits ---- */

/* With k appends in flight truncate and fallocate wait for
 * all of them; nothing is left behind the end. */
static void removal_waits_for_all_appends(void **state)
{
	for (unsigned k = 0; k < 8; k++) {
		enum {
			N = 4
		};
		struct call t = { .fn = k & 1 ? call_falloc : call_truncate,
			.a = k & 1 ? 0 : BLOCK,
			.b = 10 * BLOCK };
		struct uext4_queue *q;
		struct bug b;

		open_with(&b, "ext4-4k-full", "24M",
				k & 2 ? UEXT4_DIO_ALLOC_UNWRITTEN
				      : UEXT4_DIO_ALLOC_DATAFIRST,
				k & 4 ? UEXT4_DIO_SIZE_PREFIX
				      : UEXT4_DIO_SIZE_MAX);
		t.file = env_open(&b.e, "/f", DIRECT);
		q = q_open(b.e.fs, N, UEXT4_QUEUE_POOL);
		hold_close(&b, 'o');
		for (unsigned i = 0; i < N; i++)
			q_write(q, t.file, ones, BLOCK, 0, UEXT4_RW_APPEND);
		assert_int_equal(uext4_queue_submit(q), N);
		hold_wait(N);
		call_start(&t);
		for (int i = 0; i < 50; i++)
			TICK;
		assert_int_equal(atomic_load(&t.is_done), 0);
		assert_int_equal(env_size(t.file), 0);
		hold_open();
		assert_int_equal(call_join(&t), 0);
		q_take_all(q, N, BLOCK);
		assert_int_equal(env_size(t.file), k & 1 ? 10 * BLOCK : BLOCK);
		env_expect(t.file, 0, BLOCK, 'o');
		if (k & 1) {
			env_expect(t.file, BLOCK, 3 * BLOCK, 'o');
			env_expect(t.file, 4 * BLOCK, 6 * BLOCK, 0);
		} else {
			assert_int_equal(env_stat(&b.e, "/f").sectors, 8);
		}
		uext4_queue_close(q);
		env_close(t.file);
		bug_close(&b, true);
	}
}

/* ---- no space, no device ---- */

static void no_space_midway_is_a_short_write(void **state)
{
	static const char *const on[] = { "ext4-4k-full", "ext4-1k-full",
		"ext3-1k", "ext4-4k-nojournal" };

	for (unsigned k = 0; k < 8; k++) {
		const size_t len = 12u << 20;
		struct uext4_queue *q;
		struct uext4_file *f;
		uint8_t *buf;
		int64_t n;
		struct bug b;

		open_with(&b, on[k / 2], "12M",
				k & 1 ? UEXT4_DIO_ALLOC_UNWRITTEN
				      : UEXT4_DIO_ALLOC_DATAFIRST,
				0);
		f = env_open(&b.e, "/f", DIRECT);
		q = q_open(b.e.fs, 8, UEXT4_QUEUE_POOL);
		buf = env_alloc(len, 's');
		n = q_run_write(q, f, buf, len, 0, 0);
		assert_true(n > 0 && (size_t)n < len);
		assert_int_equal(env_size(f), n);
		env_expect(f, 0, (size_t)n, 's');
		/* Nothing left: each of many fails, none hangs. */
		while (q_run_write(q, f, buf, BLOCK, 0, UEXT4_RW_APPEND) > 0)
			;
		n = (int64_t)env_size(f);
		for (unsigned i = 0; i < 8; i++)
			q_write(q, f, buf, BLOCK, 0, UEXT4_RW_APPEND);
		q_take_all(q, 8, -ENOSPC);
		assert_int_equal(env_size(f), n);
		/* And what is removed can be written again. */
		assert_int_equal(uext4_ftruncate(f, 0), 0);
		for (unsigned i = 0; i < 8; i++)
			q_write(q, f, buf, BLOCK, 0, UEXT4_RW_APPEND);
		q_take_all(q, 8, BLOCK);
		free(buf);
		uext4_queue_close(q);
		env_close(f);
		bug_close(&b, true);
	}
}

/* Eight requests, the device refuses the n-th data request: one fails, the
 * others are there, and nothing of the failed one is. */
static void a_failed_request_fails_alone(void **state)
{
	for (unsigned k = 0; k < 16; k++) {
		struct emu_fault fault = {
			.ops = EMU_OP(BDEV_WRITE),
			.tags = 1u << BDEV_TAG_DATA,
			.nth = k / 2 + 1,
			.count = 1,
			.err = -EIO,
		};
		struct uext4_event e[8];
		struct uext4_queue *q;
		struct uext4_file *f;
		unsigned bad = 0;
		struct bug b;

		open_with(&b, k % 4 < 2 ? "ext4-4k-full" : "ext3-1k", "24M",
				k & 1 ? UEXT4_DIO_ALLOC_UNWRITTEN
				      : UEXT4_DIO_ALLOC_DATAFIRST,
				k & 8 ? UEXT4_DIO_SIZE_PREFIX
				      : UEXT4_DIO_SIZE_MAX);
		b.emu.flags = 0;
		f = env_open(&b.e, "/f", DIRECT);
		q = q_open(b.e.fs, 8, UEXT4_QUEUE_POOL);
		assert_int_equal(bdev_emu_fault_add(b.dev, &fault), 0);
		for (unsigned i = 0; i < 8; i++)
			q_write(q, f, ones, BLOCK, (uint64_t)i * BLOCK,
					i & 1 ? UEXT4_RW_DSYNC : 0);
		q_take(q, 8, e);
		for (unsigned i = 0; i < 8; i++) {
			if (e[i].result == BLOCK)
				continue;
			assert_int_equal(e[i].result, -EIO);
			assert_int_equal(bad++, 0);
			/* Written through the cache it stays there, dirty. */
			if (k % 4 != 3 && e[i].user_data < env_size(f))
				env_expect(f, e[i].user_data, BLOCK, 0);
			assert_int_equal(q_run_write(q, f, ones, BLOCK,
							 e[i].user_data, 0),
					BLOCK);
		}
		assert_int_equal(bad, 1);
		env_expect(f, 0, 8 * BLOCK, 'o');
		uext4_queue_close(q);
		assert_int_equal(uext4_close(f), 0); /* it was told */
		bug_close(&b, true);
	}
}

static int img_read(void *ctx, uint64_t pos, void *buf, size_t len)
{
	emu_img_read(ctx, pos, buf, len);
	return 0;
}

/* An error of the device is remembered in the superblock, which e2fsck wants to
 * change; the checker can be told that it was to be expected. */
static void judge_but_for_the_mark(struct bdev *dev)
{
	struct check_opts co = { .flags = CHECK_F_ERRORS };
	struct check_report rep;
	struct check_dev cd;
	struct emu_img *img;

	assert_int_equal(bdev_emu_image(dev, &img), 0);
	cd = (struct check_dev){
		.read = img_read, .ctx = img, .size = emu_img_size(img)
	};
	if (check_fs(&cd, &co, &rep) != 0) {
		check_print(&rep, stderr);
		fail_msg("the checker finds faults after recovery");
	}
	emu_img_free(img);
}

/* Any request, metadata and flushes too: every event comes, what failed may
 * have stopped the journal, and the next mount finds it clean. */
static void any_failed_request_leaves_a_clean_image(void **state)
{
	for (unsigned k = 1; k <= 36; k++) {
		struct emu_fault fault = {
			.ops = k % 3 == 0 ? EMU_OP(BDEV_FLUSH)
					  : EMU_OP_CHANGING,
			.nth = k,
			.count = k % 4 == 0 ? 0 : 1,
			.err = -EIO,
		};
		struct uext4_event e[16];
		struct uext4_sqe s = { .op = UEXT4_OP_FSYNC };
		struct uext4_queue *q;
		struct uext4_file *f;
		struct bug b;

		open_with(&b, k & 1 ? "ext4-4k-full" : "ext3-1k", "24M", k % 3,
				k % 2 + 1);
		f = env_open(&b.e, "/f", DIRECT);
		s.file = f;
		q = q_open(b.e.fs, 16, UEXT4_QUEUE_POOL);
		assert_int_equal(bdev_emu_fault_add(b.dev, &fault), 0);
		for (int round = 0; round < 3; round++) {
			for (unsigned i = 0; i < 12; i++)
				q_write(q, f, ones, 1536, i * 1536,
						i % 4 == 3 ? UEXT4_RW_DSYNC
								: i % 4 == 2
								? UEXT4_RW_APPEND
								: 0);
			q_prep(q, &s);
			s.op = UEXT4_OP_FDATASYNC;
			q_prep(q, &s);
			s.op = UEXT4_OP_FSYNC;
			q_take(q, 14, e);
			for (unsigned i = 0; i < 14; i++)
				assert_true(e[i].result >= 0 ||
						e[i].result == -EIO ||
						e[i].result == -EROFS);
		}
		uext4_queue_close(q);
		(void)uext4_close(f);
		bdev_emu_fault_clear(b.dev);
		(void)!bug_unmount(&b);
		bug_mount(&b);
		assert_int_equal(uext4_unmount(b.e.fs), 0);
		b.e.fs = NULL;
		judge_but_for_the_mark(b.dev);
		bug_close(&b, false);
	}
}

static int watch(void **state)
{
	q_watch("a case of t_queue_dev");
	return 0;
}

#define CASE(f) cmocka_unit_test_setup(f, watch)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASE(requests_end_in_any_order),
		CASE(waiting_ends_with_its_time),
		CASE(who_polls_is_told_by_those_who_help),
		CASE(who_polls_is_told_by_the_one_before),
		CASE(appends_do_not_wait_for_each_other),
		CASE(a_queue_waits_for_what_is_before_in_another),
		CASE(places_and_claims_make_no_circle),
		CASE(who_comes_later_waits_behind),
		CASE(who_is_refused_leaves_nobody_behind),
		CASE(a_delayed_page_in_the_hole_is_written_over),
		CASE(removal_waits_for_all_appends),
		CASE(no_space_midway_is_a_short_write),
		CASE(a_failed_request_fails_alone),
		CASE(any_failed_request_leaves_a_clean_image),
	};
	int ret;

	if (!env_tools())
		return 77;
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	ones = env_alloc(65536, 'o');
	ret = cmocka_run_group_tests(tests, NULL, NULL);
	free(ones);
	return ret;
}
