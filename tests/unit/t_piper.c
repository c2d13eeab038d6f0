/* SPDX-License-Identifier: MIT */
/*
 * Requests that are taken through a pipe. Another pipe is what /dev/fuse is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuse/piper.h"

#define HEAD (sizeof(struct fuse_in_header) + sizeof(struct fuse_write_in))
#define DATA ((size_t)128 << 10)

struct line {
	int rd, wr; /* requests come here */
	struct piper p;
	char *sent;
	char *buf;
};

static int line_open(void **state)
{
	struct line *l = calloc(1, sizeof(*l));
	int fd[2];
	size_t i;

	assert_non_null(l);
	assert_int_equal(pipe2(fd, O_NONBLOCK), 0);
	assert_true(fcntl(fd[1], F_SETPIPE_SZ, 1 << 20) > 0);
	l->rd = fd[0];
	l->wr = fd[1];
	assert_int_equal(piper_open(&l->p), 0);
	l->sent = calloc(1, HEAD + DATA);
	l->buf = calloc(1, HEAD + DATA);
	assert_true(l->sent && l->buf);
	for (i = 0; i < DATA; i++)
		l->sent[HEAD + i] = (char)(i * 31 + i / 4096);
	*state = l;
	return 0;
}

static int line_close(void **state)
{
	struct line *l = *state;

	piper_close(&l->p);
	close(l->rd);
	close(l->wr);
	free(l->sent);
	free(l->buf);
	free(l);
	return 0;
}

static void send_request(struct line *l, uint32_t opcode, size_t len)
{
	struct fuse_in_header in = { .len = (uint32_t)len, .opcode = opcode };

	memcpy(l->sent, &in, sizeof(in));
	assert_int_equal(write(l->wr, l->sent, len), len);
	piper_expect(&l->p);
}

static ssize_t take(struct line *l)
{
	memset(l->buf, 0, HEAD + DATA);
	return piper_read(&l->p, l->rd, l->buf, HEAD + DATA);
}

static void the_data_of_a_large_write_stays(void **state)
{
	struct line *l = *state;

	send_request(l, FUSE_WRITE, HEAD + DATA);
	assert_int_equal(take(l), HEAD + DATA);
	assert_memory_equal(l->buf, l->sent, HEAD);
	assert_int_equal(l->buf[HEAD], 0);
	assert_int_equal(l->p.left, DATA);
	assert_int_equal(piper_rest(&l->p), DATA);
	/* Half of it, then all. */
	assert_int_equal(piper_fetch(&l->p, l->buf + HEAD, DATA / 2), 0);
	assert_int_equal(l->p.left, DATA / 2);
	assert_int_equal(piper_fetch(&l->p, l->buf + HEAD + DATA / 2, DATA / 2),
			0);
	assert_memory_equal(l->buf, l->sent, HEAD + DATA);
	assert_int_equal(l->p.left, 0);
}

static void all_else_comes_as_by_read(void **state)
{
	struct line *l = *state;

	send_request(l, FUSE_WRITE, HEAD + 4096);
	assert_int_equal(take(l), HEAD + 4096);
	assert_memory_equal(l->buf, l->sent, HEAD + 4096);
	assert_int_equal(l->p.left, 0);
	send_request(l, FUSE_SETXATTR, HEAD + DATA);
	assert_int_equal(take(l), HEAD + DATA);
	assert_memory_equal(l->buf, l->sent, HEAD + DATA);
	assert_int_equal(l->p.left, 0);
	send_request(l, FUSE_GETATTR, sizeof(struct fuse_in_header));
	assert_int_equal(take(l), sizeof(struct fuse_in_header));
	assert_memory_equal(l->buf, l->sent, sizeof(struct fuse_in_header));
	assert_int_equal(take(l), -1);
	assert_int_equal(errno, EAGAIN);
}

static void what_is_dropped_is_gone(void **state)
{
	struct line *l = *state;

	send_request(l, FUSE_WRITE, HEAD + DATA);
	assert_int_equal(take(l), HEAD + DATA);
	piper_drop(&l->p);
	assert_int_equal(piper_rest(&l->p), 0);
	assert_int_equal(l->p.left, 0);
	send_request(l, FUSE_WRITE, HEAD + DATA);
	assert_int_equal(take(l), HEAD + DATA);
	assert_int_equal(piper_fetch(&l->p, l->buf + HEAD, DATA), 0);
	assert_memory_equal(l->buf, l->sent, HEAD + DATA);
}

static void less_than_was_said_is_an_error(void **state)
{
	struct line *l = *state;

	send_request(l, FUSE_WRITE, HEAD + DATA);
	assert_int_equal(take(l), HEAD + DATA);
	assert_int_equal(read(l->p.rd, l->buf, 4096), 4096); /* by somebody */
	assert_true(piper_fetch(&l->p, l->buf, DATA) < 0);
	assert_int_equal(l->p.left, 0);
}

static void it_is_given_up_when_no_large_write_comes(void **state)
{
	struct line *l = *state;
	int i;

	assert_false(piper_expects(&l->p));
	piper_expect(&l->p);
	for (i = 0; piper_expects(&l->p); i++) {
		assert_true(i < 100);
		assert_int_equal(take(l), -1);
	}
}

static void the_largest_write_fits_beside_its_head(void **state)
{
	struct line *l = *state;
	size_t pages = (size_t)fcntl(l->p.rd, F_GETPIPE_SZ) / 4096;

	assert_true(piper_data_max(&l->p) / 4096 + 1 <= pages);
	assert_true(piper_data_max(&l->p) >= ((size_t)1 << 20) - 4096);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, line_open, line_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(the_data_of_a_large_write_stays),
		CASE(all_else_comes_as_by_read),
		CASE(what_is_dropped_is_gone),
		CASE(less_than_was_said_is_an_error),
		CASE(it_is_given_up_when_no_large_write_comes),
		CASE(the_largest_write_fits_beside_its_head),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
