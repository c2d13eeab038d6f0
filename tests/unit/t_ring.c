/* SPDX-License-Identifier: MIT */
/*
 * How a request lies in an entry of a ring, and how its answer is laid out; rings
 * that the kernel does not take. What it makes of those it takes, the mounts test.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/fuse.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "fuse/huge.h"
#include "fuse/request.h"
#include "fuse/ring.h"
#include "fuse/rings.h"

#define PAGE 4096u
#define DATA (16u * PAGE)

/* Offsets in what the kernel shares: its ABI. */
#define AT_OP_IN     128u
#define AT_DATA_SIZE 272u

struct desk {
	char *mem;
	struct ring_entry e;
};

static int desk_open(void **state)
{
	struct desk *d = calloc(1, sizeof(*d));

	assert_non_null(d);
	d->mem = aligned_alloc(PAGE, PAGE + DATA);
	assert_non_null(d->mem);
	memset(d->mem, 0, PAGE + DATA);
	d->e.head = (struct ring_head *)(void *)d->mem;
	d->e.data = d->mem + PAGE;
	d->e.size = DATA;
	*state = d;
	return 0;
}

static int desk_close(void **state)
{
	struct desk *d = *state;

	free(d->mem);
	free(d);
	return 0;
}

/* As the kernel puts a request there. */
static void put(struct desk *d, uint32_t opcode, const void *op, size_t op_size,
		const void *data, size_t size)
{
	struct fuse_in_header in = {
		.len = (uint32_t)(sizeof(in) + op_size + size),
		.opcode = opcode,
		.unique = 7,
	};
	uint32_t data_size = (uint32_t)size;

	memcpy(d->mem, &in, sizeof(in));
	if (op_size > 0)
		memcpy(d->mem + AT_OP_IN, op, op_size);
	if (size > 0)
		memcpy(d->e.data, data, size);
	memcpy(d->mem + AT_DATA_SIZE, &data_size, sizeof(data_size));
	d->e.unique = in.unique;
	d->e.opcode = opcode;
	d->e.answered = false;
}

static uint32_t answered_size(const struct desk *d)
{
	uint32_t size;

	memcpy(&size, d->mem + AT_DATA_SIZE, sizeof(size));
	return size;
}

static void a_write_is_one_piece_with_its_data_on_a_page(void **state)
{
	struct desk *d = *state;
	struct fuse_write_in op = { .fh = 3, .offset = 4096, .size = 5 };
	struct fuse_write_in seen;
	struct fuse_in_header in;
	size_t len = 0;
	char *req;

	put(d, FUSE_WRITE, &op, sizeof(op), "hello", 5);
	req = ring_request(&d->e, &len);
	assert_non_null(req);
	assert_int_equal(len, sizeof(in) + sizeof(op) + 5);
	memcpy(&in, req, sizeof(in));
	assert_int_equal(in.opcode, FUSE_WRITE);
	memcpy(&seen, req + sizeof(in), sizeof(seen));
	assert_int_equal(seen.offset, 4096);
	assert_ptr_equal(req + sizeof(in) + sizeof(op), d->e.data);
	assert_memory_equal(d->e.data, "hello", 5);
	assert_int_equal(ring_data_size(&d->e), 5);
}

static void a_name_needs_no_more_than_a_header(void **state)
{
	struct desk *d = *state;
	size_t len = 0;
	char *req;

	put(d, FUSE_LOOKUP, NULL, 0, "name", 5);
	req = ring_request(&d->e, &len);
	assert_non_null(req);
	assert_int_equal(len, sizeof(struct fuse_in_header) + 5);
	assert_string_equal(req + sizeof(struct fuse_in_header), "name");
}

static void a_read_is_as_large_as_what_it_asks_for(void **state)
{
	struct desk *d = *state;
	struct fuse_read_in op = { .size = 65536 };

	put(d, FUSE_READ, &op, sizeof(op), NULL, 0);
	assert_int_equal(ring_data_size(&d->e), 65536);
}

static void what_makes_no_sense_is_refused(void **state)
{
	struct desk *d = *state;
	struct fuse_in_header in = { .len = sizeof(in) - 1 };
	uint32_t size = 0;
	size_t len;

	memcpy(d->mem, &in, sizeof(in)); /* shorter than its header */
	assert_null(ring_request(&d->e, &len));
	in.len = sizeof(in) + 129; /* more of its own than there is room for */
	memcpy(d->mem, &in, sizeof(in));
	assert_null(ring_request(&d->e, &len));
	in.len = sizeof(in) + 8; /* less than the data that comes with it */
	size = 9;
	memcpy(d->mem, &in, sizeof(in));
	memcpy(d->mem + AT_DATA_SIZE, &size, sizeof(size));
	assert_null(ring_request(&d->e, &len));
	in.len = UINT32_MAX; /* more data than there is room for */
	size = DATA + 1;
	memcpy(d->mem, &in, sizeof(in));
	memcpy(d->mem + AT_DATA_SIZE, &size, sizeof(size));
	assert_null(ring_request(&d->e, &len));
}

static void an_answer_in_place_stays_there(void **state)
{
	struct desk *d = *state;
	struct fuse_out_header out = { .len = sizeof(out) + 6, .unique = 7 };
	struct iovec iov[] = { { &out, sizeof(out) }, { d->e.data, 6 } };

	put(d, FUSE_READ, NULL, 0, "answer", 6);
	assert_int_equal(ring_answer(&d->e, iov, 2), sizeof(out) + 6);
	assert_true(d->e.answered);
	assert_int_equal(answered_size(d), 6);
	assert_memory_equal(d->e.data, "answer", 6);
	assert_memory_equal(d->mem, &out, sizeof(out));
}

static void what_comes_before_data_in_place_moves_it(void **state)
{
	struct desk *d = *state;
	struct fuse_out_header out = { .unique = 7 };
	char first[] = "0123456789abcdef";
	struct iovec iov[] = {
		{ &out, sizeof(out) },
		{ first, 16 },
		{ d->e.data, 10 },
		{ NULL, 0 },
		{ d->e.data + 10, 20 },
	};
	char data[30];
	unsigned i;

	for (i = 0; i < sizeof(data); i++)
		data[i] = (char)('A' + i);
	put(d, FUSE_IOCTL, NULL, 0, data, sizeof(data));
	assert_int_equal(ring_answer(&d->e, iov, 5), sizeof(out) + 46);
	assert_int_equal(answered_size(d), 46);
	assert_memory_equal(d->e.data, first, 16);
	assert_memory_equal(d->e.data + 16, data, sizeof(data));
}

static void an_answer_without_room_leaves_the_request(void **state)
{
	struct desk *d = *state;
	struct fuse_out_header out = { .unique = 7 };
	struct iovec iov[] = { { &out, sizeof(out) }, { d->mem, DATA + 1 } };

	put(d, FUSE_READ, NULL, 0, NULL, 0);
	assert_int_equal(ring_answer(&d->e, iov, 2), -EINVAL);
	assert_int_equal(ring_answer(&d->e, iov, 0), -EINVAL);
	assert_false(d->e.answered);
	ring_refuse(&d->e, -EIO);
	assert_true(d->e.answered);
	assert_int_equal(answered_size(d), 0);
	memcpy(&out, d->mem, sizeof(out));
	assert_int_equal(out.error, -EIO);
	assert_int_equal(out.unique, 7);
}

static void what_may_take_long_is_told_from_what_may_not(void **state)
{
	(void)state;
	assert_int_equal(request_kind(FUSE_LOOKUP), REQUEST_QUICK);
	assert_int_equal(request_kind(FUSE_WRITE), REQUEST_DATA);
	assert_int_equal(request_kind(FUSE_FSYNC), REQUEST_SYNC);
	assert_int_equal(request_kind(FUSE_COPY_FILE_RANGE), REQUEST_LONG);
	assert_int_equal(request_kind(9999), REQUEST_LONG); /* not known yet */
	assert_true(request_can_stop(FUSE_COPY_FILE_RANGE));
	assert_false(request_can_stop(FUSE_WRITE));
}

/* ---- the threads ---- */

struct count {
	_Atomic unsigned entered, left, failed;
};

static void no_serve(void *ctx, struct ring_entry *e)
{
	(void)ctx;
	(void)e;
	abort(); /* nobody sends anything */
}

static void count_enter(void *ctx)
{
	struct count *c = ctx;

	atomic_fetch_add(&c->entered, 1);
}

static void count_left(void *ctx, int err)
{
	struct count *c = ctx;

	atomic_fetch_add(&c->left, 1);
	if (err < 0)
		atomic_fetch_add(&c->failed, 1);
}

/* As a kernel that refuses the commands. */
static void rings_that_are_refused_fail_at_once(void **state)
{
	static const struct rings_ops ops = {
		.serve = no_serve,
		.enter = count_enter,
		.left = count_left,
	};
	struct count c = { 0 };
	struct rings *rs = NULL;
	struct rings_opts o = {
		.fuse_fd = eventfd(0, EFD_CLOEXEC),
		.threads = 2,
		.size = 1 << 20,
		.in_memory = true,
	};
	int ret;

	(void)state;
	assert_true(o.fuse_fd >= 0);
	ret = rings_open(&o, &rs);
	if (ret < 0) {
		close(o.fuse_fd);
		print_message("no io_uring here: %s\n", strerror(-ret));
		skip();
	}
	assert_true(rings_start(rs, &ops, &c) < 0);
	rings_close(rs);
	assert_true(c.entered > 0);
	assert_int_equal(c.left, c.entered);
	assert_int_equal(c.failed, c.entered);
	close(o.fuse_fd);
}

/* Every queue has its entries, they lie in as many rings as the shape says, and no
 * ring is empty. */
static bool shape_fits(const struct rings_opts *opts, unsigned nqueues,
		unsigned nonline)
{
	struct ring_opts o = rings_shape(opts, nqueues, nonline);
	unsigned *have = calloc((size_t)nqueues * o.nrings, sizeof(*have));
	unsigned queue;
	unsigned i;

	assert_non_null(have);
	for (o.index = 0; o.index < o.nrings; o.index++) {
		struct ring r;
		int ret = ring_open(&r, &o);

		if (ret == -ENOSYS || ret == -EPERM) {
			free(have);
			return false;
		}
		assert_int_equal(ret, 0);
		assert_true(r.nentries > 0);
		for (i = 0; i < r.nentries; i++) {
			assert_true(r.entry[i].queue < nqueues);
			assert_ptr_equal(r.entry[i].head,
					r.mem + i * (PAGE + o.size));
			have[r.entry[i].queue * o.nrings + o.index]++;
		}
		ring_close(&r);
	}
	for (queue = 0; queue < nqueues; queue++) {
		unsigned sum = 0;
		unsigned sharing = 0;

		for (i = 0; i < o.nrings; i++) {
			sum += have[queue * o.nrings + i];
			sharing += have[queue * o.nrings + i] > 0;
		}
		assert_int_equal(sum, queue < nonline ? o.depth : 1);
		assert_int_equal(sharing, queue < nonline ? o.share : 1);
	}
	free(have);
	return true;
}

static void a_queue_lies_in_several_rings(void **state)
{
	static const unsigned cpus[] = { 1, 2, 3, 7, 8, 9, 33, 128 };
	static const unsigned threads[] = { 1, 2, 4, 16 };
	struct rings_opts o = {
		.fuse_fd = eventfd(0, EFD_CLOEXEC),
		.size = PAGE,
	};
	bool fits = true;
	unsigned i;

	(void)state;
	assert_true(o.fuse_fd >= 0);
	for (i = 0; fits && i < 2 * 4 * 8 * 2; i++) {
		unsigned n = cpus[i / 2 % 8];

		o.in_memory = i % 2;
		o.threads = threads[i / 16 % 4];
		fits = shape_fits(&o, i / 64 ? n + 5 : n, n);
	}
	close(o.fuse_fd);
	if (!fits)
		skip();
	o.threads = 4;
	o.in_memory = true;
	assert_int_equal(rings_shape(&o, 2, 2).nrings, 2);
	assert_int_equal(rings_shape(&o, 2, 2).share, 2);
	assert_int_equal(rings_shape(&o, 2, 2).depth, 16);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, desk_open, desk_close)

/* ---- huge pages ---- */

static void large_writes_get_huge_pages_and_keep_their_bytes(void **state)
{
	size_t len = 2 * HUGE_PAGE;
	char *mem = aligned_alloc(HUGE_PAGE, len);
	struct ring ring = { .mem = mem, .mem_size = len };
	/* Across the border of two. */
	char *at = mem + HUGE_PAGE - DATA / 2;
	struct desk d = {
		.mem = at - PAGE,
		.e = { .ring = &ring, .data = at, .size = DATA },
	};
	struct fuse_write_in op = { .size = DATA };
	char *data = malloc(DATA);
	unsigned i;

	(void)state;
	assert_true(mem && data);
	memset(mem, 0x11, len);
	d.e.head = (struct ring_head *)(void *)d.mem;
	for (i = 0; i < DATA; i++)
		data[i] = (char)(i * 13 + i / PAGE);
	put(&d, FUSE_READ, &op, sizeof(op), data, DATA);
	assert_false(ring_want_huge(&d.e));
	put(&d, FUSE_WRITE, &op, sizeof(op), data, PAGE);
	assert_false(ring_want_huge(&d.e));
	assert_int_equal(d.e.begged, 0);
	put(&d, FUSE_WRITE, &op, sizeof(op), data, DATA);
	if (!ring_want_huge(&d.e))
		print_message("# no huge pages here\n");
	assert_int_equal(d.e.begged, 1);
	assert_memory_equal(at, data, DATA);
	assert_int_equal(mem[0], 0x11);
	assert_int_equal(mem[len - 1], 0x11);
	/* Not asked for again, or a few times. */
	for (i = 0; i < 100; i++)
		(void)ring_want_huge(&d.e);
	assert_true(d.e.begged < 20);
	assert_memory_equal(at, data, DATA);
	free(data);
	free(mem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_write_is_one_piece_with_its_data_on_a_page),
		CASE(a_name_needs_no_more_than_a_header),
		CASE(a_read_is_as_large_as_what_it_asks_for),
		CASE(what_makes_no_sense_is_refused),
		CASE(an_answer_in_place_stays_there),
		CASE(what_comes_before_data_in_place_moves_it),
		CASE(an_answer_without_room_leaves_the_request),
		cmocka_unit_test(what_may_take_long_is_told_from_what_may_not),
		cmocka_unit_test(a_queue_lies_in_several_rings),
		cmocka_unit_test(rings_that_are_refused_fail_at_once),
		cmocka_unit_test(
				large_writes_get_huge_pages_and_keep_their_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
