/* SPDX-License-Identifier: MIT */
/*
 * Durability on request, shutdown, errors=, read-only.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cases.h"

/* Mount again after a cut and want nothing but a replay. */
static void recover(struct env *e)
{
	struct uext4_info info;

	env_mount(e);
	assert_int_equal(uext4_info(e->fs, &info), 0);
	assert_true(info.needed_recovery);
}

static void file_has(struct env *e, const char *path, uint64_t size, int byte)
{
	struct uext4_file *f = env_open(e, path, UEXT4_O_RDONLY);

	assert_int_equal(env_size(f), size);
	env_expect(f, 0, size, byte);
	env_close(f);
}

/* What was reported durable outlives a cut at once. */
void state_osync(struct env *e)
{
	static const struct {
		const char *path;
		unsigned flags;
	} t[] = {
		{ "/sync", UEXT4_O_SYNC },
		{ "/dsync", UEXT4_O_DSYNC },
		{ "/dsync-direct", UEXT4_O_DSYNC | UEXT4_O_DIRECT },
		{ "/fsync", 0 },
		{ "/fdatasync", 0 },
		{ "/fsync-direct", UEXT4_O_DIRECT },
	};
	const size_t n = sizeof(t) / sizeof(t[0]);
	struct uext4_node *node;
	struct uext4_file *f;

	for (size_t i = 0; i < n; i++) {
		f = env_open(e, t[i].path,
				UEXT4_O_RDWR | UEXT4_O_CREAT | t[i].flags);
		env_fill(f, 0, 3 * e->bs, 'o');
		env_fill(f, 3 * e->bs, 4 * e->bs, 'o');
		if (strncmp(t[i].path, "/fsync", 6) == 0)
			assert_int_equal(uext4_fsync(f), 0);
		else if (strcmp(t[i].path, "/fdatasync") == 0)
			assert_int_equal(uext4_fdatasync(f), 0);
		env_close(f);
	}
	assert_int_equal(env_create(e, "/rw", 0644), 0);
	f = env_open(e, "/rw", UEXT4_O_RDWR);
	struct iovec iov = { env_alloc(7 * e->bs, 'o'), 7 * e->bs };

	assert_int_equal(uext4_pwritev2(f, &iov, 1, 0, UEXT4_RW_DSYNC),
			7 * e->bs);
	free(iov.iov_base);
	env_close(f);
	assert_int_equal(env_mkdir(e, "/dir", 0711), 0);
	node = env_node(e, "/dir");
	assert_int_equal(uext4_node_fsync(node, false), 0);
	uext4_node_put(node);
	env_cut(e);
	recover(e);
	for (size_t i = 0; i < n; i++)
		file_has(e, t[i].path, 7 * e->bs, 'o');
	file_has(e, "/rw", 7 * e->bs, 'o');
	assert_int_equal(env_stat(e, "/dir").mode, S_IFDIR | 0711);
}

static void before_shutdown(struct env *e)
{
	struct uext4_file *f = env_open(e, "/f", UEXT4_O_RDWR | UEXT4_O_CREAT);

	env_fill(f, 0, 5 * e->bs, 'f');
	assert_int_equal(uext4_fsync(f), 0);
	env_close(f);
	assert_int_equal(env_mkdir(e, "/late", 0755), 0);
	f = env_open(e, "/late/g", UEXT4_O_RDWR | UEXT4_O_CREAT);
	env_fill(f, 0, 5 * e->bs, 'g');
	env_close(f);
}

/* Shut down by @mode with a file and a directory in use; then mount again. */
static void shut_down(struct env *e, enum uext4_shutdown_mode mode)
{
	struct uext4_file *f = env_open(e, "/f", UEXT4_O_RDWR);
	struct uext4_node *root = env_node(e, "/");
	struct uext4_fs *fs = e->fs;

	assert_int_equal(uext4_shutdown(fs, mode), 0);
	assert_int_equal(uext4_mkdir(root, "x", 0755, NULL, NULL), -EIO);
	assert_int_equal(uext4_unlink(root, "f", NULL), -EIO);
	assert_int_equal(uext4_rename(root, "f", root, "g", 0, NULL), -EIO);
	assert_int_equal(uext4_setxattr(root, "user.x", "1", 1, 0, NULL), -EIO);
	assert_int_equal(uext4_pwrite(f, "x", 1, 0), -EIO);
	assert_int_equal(uext4_ftruncate(f, 1), -EIO);
	assert_int_equal(uext4_fallocate(f, 0, 0, 100), -EIO);
	assert_int_equal(uext4_fsync(f), -EIO);
	assert_int_equal(uext4_sync(fs), -EIO);
	(void)!uext4_close(f);
	uext4_node_put(root);
	e->fs = NULL;
	(void)!uext4_unmount(fs); /* may report what was dropped */
	env_mount(e);
	file_has(e, "/f", 5 * e->bs, 'f');
	assert_int_equal(env_exists(e, "/x"), -ENOENT);
}

void state_shutdown_default(struct env *e)
{
	before_shutdown(e);
	shut_down(e, UEXT4_SHUTDOWN_DEFAULT);
	file_has(e, "/late/g", 5 * e->bs, 'g');
}

void state_shutdown_logflush(struct env *e)
{
	before_shutdown(e);
	shut_down(e, UEXT4_SHUTDOWN_LOGFLUSH);
	/* the names are there; bytes not written back are not */
	assert_int_equal(env_exists(e, "/late/g"), 0);
}

void state_shutdown_nologflush(struct env *e)
{
	before_shutdown(e);
	shut_down(e, UEXT4_SHUTDOWN_NOLOGFLUSH);
}

/* A file whose extent tree is not one: its header's magic is overwritten. */
static void break_file(struct env *e)
{
	struct uext4_file *f;

	assert_int_equal(env_create(e, "/good", 0644), 0);
	f = env_open(e, "/bad", UEXT4_O_RDWR | UEXT4_O_CREAT);
	env_fill(f, 0, 5 * e->bs, 'b');
	env_close(f);
	env_unmount(e);
	assert_int_equal(env_sh("debugfs -w -R 'set_inode_field /bad block[0] "
				"0x12345678' %s >%s 2>&1",
					 e->img, e->out),
			0);
}

static int read_bad(struct env *e)
{
	struct uext4_file *f;
	char c;
	int ret = uext4_open(e->fs, NULL, "/bad", UEXT4_O_RDONLY, 0, NULL, &f);

	if (ret < 0)
		return ret;
	ret = (int)uext4_pread(f, &c, 1, 0);
	(void)!uext4_close(f);
	return ret;
}

static void mend(struct env *e)
{
	struct uext4_info info;
	struct uext4_fs *fs = e->fs;

	e->fs = NULL;
	(void)!uext4_unmount(fs);
	env_mount(e); /* the note in the superblock is there to stay */
	assert_int_equal(uext4_info(e->fs, &info), 0);
	assert_true(info.had_errors);
	assert_true(info.error_count > 0);
	env_unmount(e);
	assert_int_equal(env_sh("e2fsck -fy %s >%s 2>&1", e->img, e->out), 1);
	env_mount(e);
}

void state_errors_ro(struct env *e)
{
	struct uext4_mount_opts o = { .errors = UEXT4_ERRORS_RO };
	struct uext4_info info;

	break_file(e);
	assert_int_equal(env_try_mount(e, &o), 0);
	assert_int_equal(read_bad(e), -EUCLEAN);
	assert_int_equal(env_mkdir(e, "/x", 0755), -EROFS);
	assert_int_equal(env_unlink(e, "/good"), -EROFS);
	assert_int_equal(env_exists(e, "/good"), 0); /* reads go on */
	assert_int_equal(uext4_info(e->fs, &info), 0);
	assert_true(info.rdonly);
	assert_true(info.rdonly_why[0] != '\0');
	assert_true(strstr(e->log, "inode") != NULL);
	mend(e);
}

void state_errors_continue(struct env *e)
{
	struct uext4_mount_opts o = { .errors = UEXT4_ERRORS_CONTINUE };

	break_file(e);
	assert_int_equal(env_try_mount(e, &o), 0);
	assert_int_equal(read_bad(e), -EUCLEAN);
	assert_int_equal(env_mkdir(e, "/x", 0755), 0);
	assert_int_equal(read_bad(e), -EUCLEAN);
	assert_int_equal(env_mkdir(e, "/y", 0755), 0);
	mend(e);
	assert_int_equal(env_exists(e, "/y"), 0);
}

static void count_panic(void *ctx)
{
	unsigned *n = ctx;

	(*n)++;
}

void state_errors_shutdown(struct env *e)
{
	unsigned panics = 0;
	struct uext4_mount_opts o = {
		.errors = UEXT4_ERRORS_SHUTDOWN,
		.panic = count_panic,
		.panic_ctx = &panics,
	};
	struct uext4_node *root;

	break_file(e);
	assert_int_equal(env_try_mount(e, &o), 0);
	root = env_node(e, "/");
	assert_int_equal(read_bad(e), -EUCLEAN);
	assert_int_equal(panics, 1);
	assert_int_equal(uext4_mkdir(root, "x", 0755, NULL, NULL), -EIO);
	assert_int_equal(read_bad(e), -EIO);
	assert_int_equal(panics, 1);
	uext4_node_put(root);
	mend(e);
}

static uint64_t image_sum(struct env *e)
{
	int fd = open(e->img, O_RDONLY | O_CLOEXEC);
	uint64_t sum = 0, word[512];
	ssize_t n;

	assert_true(fd >= 0);
	while ((n = read(fd, word, sizeof(word))) > 0)
		for (size_t i = 0; i < (size_t)n / 8; i++)
			sum = sum * 31 + word[i];
	close(fd);
	return sum;
}

/* Not a byte is written, also where the journal has something to say. */
void state_readonly(struct env *e)
{
	uint64_t sum;
	struct uext4_file *f;

	assert_int_equal(env_mkdir(e, "/d", 0755), 0);
	f = env_open(e, "/d/f", UEXT4_O_RDWR | UEXT4_O_CREAT);
	env_fill(f, 0, 20 * e->bs, 'f');
	assert_int_equal(uext4_fsync(f), 0);
	env_close(f);
	for (int round = 0; round < 2; round++) {
		if (round == 1 || !(e->p->has & ENV_JOURNAL))
			env_unmount(e);
		else
			env_cut(e);
		sum = image_sum(e);
		e->flags = UEXT4_MNT_RDONLY;
		env_mount(e);
		file_has(e, "/d/f", 20 * e->bs, 'f');
		assert_int_equal(env_mkdir(e, "/x", 0755), -EROFS);
		assert_int_equal(env_unlink(e, "/d/f"), -EROFS);
		assert_int_equal(uext4_open(e->fs, NULL, "/d/f", UEXT4_O_RDWR,
						 0, NULL, &f),
				-EROFS);
		assert_int_equal(uext4_open(e->fs, NULL, "/d/f", UEXT4_O_RDONLY,
						 0, NULL, &f),
				0);
		env_close(f);
		env_unmount(e);
		assert_true(sum == image_sum(e));
		e->flags = 0;
		env_mount(e);
	}
}
