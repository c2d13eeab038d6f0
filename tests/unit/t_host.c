/* SPDX-License-Identifier: MIT */
/*
 * Directories of the host as targets of the yardstick: by io_uring and by Linux
 * AIO every request is done once, where it should be, however few are taken at
 * a time, and one that fails says so.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/host.h"

#define DEPTH 100u /* more than one reap takes */
#define BLOCK 4096u

struct place {
	char dir[64];
	struct host host;
	struct fault fault;
	uint8_t *bufs; /* DEPTH blocks */
};

static const struct target_ops ops = {
	HOST_FILE_OPS,
	HOST_QUEUE_OPS,
	.sync = host_sync,
};

static void place_init(struct place *p, enum bench_dir_io io)
{
	struct target_setup s = {
		.depth = DEPTH,
		.dir_io = io,
		.fault = &p->fault,
	};
	int ret;

	*p = (struct place){ .dir = "/tmp/uext4-host.XXXXXX" };
	assert_non_null(mkdtemp(p->dir));
	p->bufs = aligned_alloc(BLOCK, (size_t)DEPTH * BLOCK);
	assert_non_null(p->bufs);
	p->host = (struct host){
		.target.ops = &ops,
		.dirfd = -1,
		.namesfd = -1,
		.fd = -1,
	};
	ret = host_init(&p->host, &s, p->dir);
	if (ret == TARGET_SKIP) {
		print_message("skip: %s\n", p->fault.text);
		free(p->bufs);
		(void)rmdir(p->dir);
		skip();
	}
	assert_int_equal(ret, 0);
	assert_int_equal(ops.file_open(&p->host.target, TARGET_FRESH), 0);
}

static void place_fini(struct place *p)
{
	assert_int_equal(ops.file_close(&p->host.target), 0);
	assert_int_equal(ops.file_remove(&p->host.target, TARGET_FRESH), 0);
	host_fini(&p->host);
	free(p->bufs);
	assert_int_equal(rmdir(p->dir), 0);
}

static void prep(struct place *p, bool write, uint32_t slot, uint64_t blk)
{
	const struct target_req req = {
		.write = write,
		.slot = slot,
		.len = BLOCK,
		.buf = p->bufs + (size_t)slot * BLOCK,
		.pos = blk * BLOCK,
	};

	assert_int_equal(ops.prep(&p->host.target, &req), 0);
}

/* Take all @n events, @max at a time; each slot once. */
static void take_all(struct place *p, unsigned n, unsigned max, int64_t result)
{
	struct target_done done[DEPTH];
	bool seen[DEPTH] = { false };
	int got;
	int i;

	while (n > 0) {
		assert_true(ops.submit(&p->host.target, 1) >= 0);
		got = ops.reap(&p->host.target, done, max);
		assert_in_range(got, 0, max);
		for (i = 0; i < got; i++) {
			assert_true(done[i].slot < DEPTH);
			assert_false(seen[done[i].slot]);
			seen[done[i].slot] = true;
			assert_int_equal(done[i].result, result);
		}
		assert_true((unsigned)got <= n);
		n -= (unsigned)got;
	}
}

static void every_request_is_done_once(enum bench_dir_io io)
{
	static const unsigned takes[] = { 1, 7, DEPTH };
	struct place p;
	uint32_t i;
	size_t t;

	place_init(&p, io);
	for (t = 0; t < sizeof(takes) / sizeof(takes[0]); t++) {
		for (i = 0; i < DEPTH; i++) {
			memset(p.bufs + (size_t)i * BLOCK, (int)(i + t), BLOCK);
			prep(&p, true, i, DEPTH - 1 - i);
		}
		take_all(&p, DEPTH, takes[t], BLOCK);
		memset(p.bufs, 0, (size_t)DEPTH * BLOCK);
		for (i = 0; i < DEPTH; i++)
			prep(&p, false, i, i);
		take_all(&p, DEPTH, takes[t], BLOCK);
		for (i = 0; i < DEPTH; i++) {
			assert_int_equal(p.bufs[(size_t)i * BLOCK],
					(uint8_t)(DEPTH - 1 - i + t));
			assert_int_equal(p.bufs[(size_t)i * BLOCK + BLOCK - 1],
					(uint8_t)(DEPTH - 1 - i + t));
		}
	}
	place_fini(&p);
}

static void by_io_uring_every_request_is_done_once(void **state)
{
	every_request_is_done_once(BENCH_DIR_URING);
}

static void by_aio_every_request_is_done_once(void **state)
{
	every_request_is_done_once(BENCH_DIR_AIO);
}

static void what_is_cut_short_or_fails_is_told(enum bench_dir_io io)
{
	struct place p;
	uint8_t *bufs;

	place_init(&p, io);
	/* the file is empty */
	prep(&p, false, 3, 1);
	take_all(&p, 1, DEPTH, 0);
	bufs = p.bufs;
	p.bufs = NULL;
	memset(bufs, 1, BLOCK);
	assert_int_equal(ops.write_sync(&p.host.target, bufs, BLOCK, 0), 0);
	prep(&p, false, 0, 0);
	take_all(&p, 1, DEPTH, -EFAULT);
	p.bufs = bufs;
	place_fini(&p);
}

static void by_io_uring_what_fails_is_told(void **state)
{
	what_is_cut_short_or_fails_is_told(BENCH_DIR_URING);
}

static void by_aio_what_fails_is_told(void **state)
{
	what_is_cut_short_or_fails_is_told(BENCH_DIR_AIO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_io_uring_every_request_is_done_once),
		cmocka_unit_test(by_aio_every_request_is_done_once),
		cmocka_unit_test(by_io_uring_what_fails_is_told),
		cmocka_unit_test(by_aio_what_fails_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
