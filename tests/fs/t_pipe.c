/* SPDX-License-Identifier: MIT */
/*
 * Writes of bytes that are in a pipe: the file holds what any write would have
 * made of it, and of the bytes none is lost, whatever is refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "env.h"

#define LEN    ((size_t)512 << 10)
#define DIRECT (UEXT4_O_RDWR | UEXT4_O_CREAT | UEXT4_O_DIRECT)

struct duct {
	int rd, wr;
};

static void duct_open(struct duct *d)
{
	int fd[2];

	assert_int_equal(pipe2(fd, O_CLOEXEC | O_NONBLOCK), 0);
	assert_true(fcntl(fd[1], F_SETPIPE_SZ, 1 << 20) >= (int)LEN);
	d->rd = fd[0];
	d->wr = fd[1];
}

static void duct_close(struct duct *d)
{
	close(d->rd);
	close(d->wr);
}

static void duct_put(struct duct *d, size_t len, int byte)
{
	char *buf = env_alloc(len, byte);

	assert_int_equal(write(d->wr, buf, len), len);
	free(buf);
}

static size_t duct_left(struct duct *d)
{
	int n = -1;

	assert_int_equal(ioctl(d->rd, FIONREAD, &n), 0);
	return (size_t)n;
}

/* What is left is written out of memory, as a server does. */
static void put_rest(struct duct *d, struct uext4_file *f, uint64_t pos)
{
	size_t left = duct_left(d);
	char *buf = env_alloc(left, 0);

	assert_int_equal(read(d->rd, buf, left), left);
	env_pwrite(f, buf, left, pos);
	free(buf);
}

/* All of it through the pipe. */
static void pour(struct duct *d, struct uext4_file *f, size_t len, uint64_t pos,
		int byte)
{
	duct_put(d, len, byte);
	assert_int_equal(uext4_pwrite_pipe(f, d->rd, len, pos, 0), len);
	assert_int_equal(duct_left(d), 0);
}

static void remount_mapped(struct env *e)
{
	struct statfs fs;

	if (statfs(e->dir, &fs) < 0 || fs.f_type != TMPFS_MAGIC) {
		print_message("skip: %s is not in memory\n", e->dir);
		skip();
	}
	env_unmount(e);
	e->flags |= UEXT4_MNT_MAPPED;
	env_mount(e);
}

static void the_file_holds_what_was_in_the_pipe(struct env *e)
{
	struct uext4_file *f;
	struct duct d;
	int i;

	remount_mapped(e);
	duct_open(&d);
	f = env_open(e, "/f", DIRECT);
	pour(&d, f, LEN, 0, 'a');       /* beyond the end */
	pour(&d, f, LEN, 2 * LEN, 'c'); /* behind a hole */
	pour(&d, f, LEN, LEN, 'b');     /* into it */
	env_expect(f, 0, LEN, 'a');
	env_expect(f, LEN, LEN, 'b');
	env_expect(f, 2 * LEN, LEN, 'c');
	assert_int_equal(env_size(f), 3 * LEN);
	/* So often that it is copied through the mapping. */
	for (i = 0; i < 20; i++)
		pour(&d, f, LEN, LEN / 2, 'd' + i);
	env_expect(f, 0, LEN / 2, 'a');
	env_expect(f, LEN / 2, LEN, 'd' + 19);
	env_expect(f, LEN + LEN / 2, LEN / 2, 'b');
	assert_int_equal(uext4_fallocate(f, 0, 4 * LEN, LEN), 0);
	pour(&d, f, LEN, 4 * LEN, 'u');
	env_expect(f, 3 * LEN, LEN, 0);
	env_expect(f, 4 * LEN, LEN, 'u');
	env_close(f);
	duct_close(&d);
}

/* Pieces of one block each: as many requests to the device. */
static void scattered(struct env *e, struct uext4_file *f)
{
	uint64_t at;

	for (at = 0; at < LEN; at += 2 * e->bs)
		env_fill(f, at, e->bs, 'x');
	for (at = e->bs; at < LEN; at += 2 * e->bs)
		env_fill(f, at, e->bs, 'y');
}

static void pieces_all_over_the_device_are_filled_in_order(struct env *e)
{
	struct uext4_file *f;
	struct duct d;
	char *buf;
	size_t i;

	remount_mapped(e);
	duct_open(&d);
	f = env_open(e, "/f", DIRECT);
	scattered(e, f);
	buf = env_alloc(LEN, 0);
	for (i = 0; i < LEN; i++)
		buf[i] = (char)(i / e->bs * 3 + i);
	assert_int_equal(write(d.wr, buf, LEN), LEN);
	assert_int_equal(uext4_pwrite_pipe(f, d.rd, LEN, 0, 0), LEN);
	for (i = 0; i < LEN; i += e->bs) {
		char *got = env_alloc(e->bs, 0);

		assert_int_equal(uext4_pread(f, got, e->bs, i), e->bs);
		assert_memory_equal(got, buf + i, e->bs);
		free(got);
	}
	free(buf);
	env_close(f);
	duct_close(&d);
}

static void what_is_cached_does_not_come_back(struct env *e)
{
	struct uext4_file *direct;
	struct uext4_file *cached;
	struct duct d;
	ssize_t n;

	remount_mapped(e);
	duct_open(&d);
	direct = env_open(e, "/f", DIRECT);
	cached = env_open(e, "/f", UEXT4_O_RDWR);
	env_fill(cached, 0, LEN, 'o'); /* dirty */
	duct_put(&d, LEN, 'n');
	n = uext4_pwrite_pipe(direct, d.rd, LEN, 0, 0);
	assert_true(n >= 0);
	assert_int_equal(duct_left(&d), LEN - (size_t)n);
	put_rest(&d, direct, (uint64_t)n);
	env_expect(cached, 0, LEN, 'n');
	env_expect(direct, 0, LEN, 'n');
	env_close(cached);
	env_close(direct);
	duct_close(&d);
}

static void without_a_mapping_it_is_refused(struct env *e)
{
	struct uext4_file *f;
	struct duct d;

	duct_open(&d);
	f = env_open(e, "/f", DIRECT);
	duct_put(&d, LEN, 'r');
	assert_int_equal(uext4_pwrite_pipe(f, d.rd, LEN, 0, 0), -EOPNOTSUPP);
	assert_int_equal(duct_left(&d), LEN);
	assert_int_equal(env_size(f), 0);
	env_close(f);
	duct_close(&d);
}

static void parts_of_blocks_and_cached_files_are_refused(struct env *e)
{
	struct uext4_file *f;
	struct uext4_file *rest;
	struct duct d;

	remount_mapped(e);
	duct_open(&d);
	f = env_open(e, "/f", DIRECT);
	rest = env_open(e, "/rest", UEXT4_O_RDWR | UEXT4_O_CREAT);
	duct_put(&d, LEN, 'r');
	assert_int_equal(uext4_pwrite_pipe(f, d.rd, LEN, 512, 0), -EOPNOTSUPP);
	assert_int_equal(uext4_pwrite_pipe(f, d.rd, LEN - 512, 0, 0),
			-EOPNOTSUPP);
	assert_int_equal(uext4_pwrite_pipe(rest, d.rd, LEN, 0, 0), -EOPNOTSUPP);
	assert_int_equal(duct_left(&d), LEN);
	put_rest(&d, rest, 0);
	env_close(f);
	f = env_open(e, "/f", UEXT4_O_RDONLY | UEXT4_O_DIRECT);
	duct_put(&d, LEN, 'r');
	assert_int_equal(uext4_pwrite_pipe(f, d.rd, LEN, 0, 0), -EBADF);
	assert_int_equal(duct_left(&d), LEN);
	env_close(f);
	env_close(rest);
	duct_close(&d);
}

/* Less is in it than was said: a device that fails in the middle. */
static void after_an_error_nothing_is_entered(struct env *e)
{
	struct uext4_file *f;
	struct duct d;

	remount_mapped(e);
	duct_open(&d);
	f = env_open(e, "/f", DIRECT);
	duct_put(&d, LEN / 2, 's');
	assert_int_equal(uext4_pwrite_pipe(f, d.rd, LEN, 0, 0), -EIO);
	assert_int_equal(env_size(f), 0);
	/* Over many pieces: no byte gets to another one's place. */
	scattered(e, f);
	while (duct_left(&d) > 0) {
		char c;

		assert_int_equal(read(d.rd, &c, 1), 1);
	}
	duct_put(&d, LEN / 2, 's');
	assert_int_equal(uext4_pwrite_pipe(f, d.rd, LEN, 0, 0), -EIO);
	env_expect(f, LEN / 2, e->bs, 'x');
	env_expect(f, LEN - e->bs, e->bs, 'y');
	env_close(f);
	duct_close(&d);
}

static void a_full_disk_leaves_the_rest_in_the_pipe(struct env *e)
{
	struct uext4_file *f;
	struct duct d;
	uint64_t pos = 0;
	ssize_t n = (ssize_t)LEN;

	remount_mapped(e);
	duct_open(&d);
	f = env_open(e, "/f", DIRECT);
	while (n == (ssize_t)LEN) {
		duct_put(&d, LEN, 'f');
		n = uext4_pwrite_pipe(f, d.rd, LEN, pos, 0);
		assert_true(n >= 0 || n == -ENOSPC);
		pos += n > 0 ? (uint64_t)n : 0;
	}
	assert_int_equal(duct_left(&d), LEN - (n > 0 ? (size_t)n : 0));
	assert_int_equal(env_size(f), pos);
	env_close(f);
	duct_close(&d);
}

int main(int argc, char **argv)
{
	static const struct env_case cases[] = {
		{ .name = "pipe/the_file_holds_what_was_in_the_pipe",
				.body = the_file_holds_what_was_in_the_pipe,
				.need = ENV_EXTENT },
		{ .name = "pipe/pieces_all_over_the_device",
				.body = pieces_all_over_the_device_are_filled_in_order },
		{ .name = "pipe/what_is_cached_does_not_come_back",
				.body = what_is_cached_does_not_come_back },
		{ .name = "pipe/without_a_mapping_it_is_refused",
				.body = without_a_mapping_it_is_refused,
				.only = "ext4-4k-full" },
		{ .name = "pipe/parts_of_blocks_and_cached_files",
				.body = parts_of_blocks_and_cached_files_are_refused },
		{ .name = "pipe/after_an_error_nothing_is_entered",
				.body = after_an_error_nothing_is_entered },
		{ .name = "pipe/a_full_disk_leaves_the_rest",
				.body = a_full_disk_leaves_the_rest_in_the_pipe,
				.size = "40M" },
	};

	return env_run("pipe", cases, sizeof(cases) / sizeof(cases[0]), argc,
			argv);
}
