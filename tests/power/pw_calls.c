/* SPDX-License-Identifier: MIT */
/*
 * See pw_calls.h.
 */
#include "power/pw_calls.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct uext4_node *parent(struct pw *pw, const char *path, char *name)
{
	struct uext4_node *dir;

	assert_int_equal(uext4_resolve_parent(
					 pw->fs, NULL, path, NULL, name, &dir),
			0);
	return dir;
}

struct uext4_node *pw_node(struct pw *pw, const char *path)
{
	struct uext4_node *node;

	assert_int_equal(uext4_resolve(pw->fs, NULL, path, UEXT4_NOFOLLOW, NULL,
					 &node),
			0);
	return node;
}

uint32_t pw_ino(struct pw *pw, const char *path)
{
	struct uext4_node *node = pw_node(pw, path);
	uint32_t ino = uext4_node_ino(node);

	uext4_node_put(node);
	return ino;
}

/* ---- names ---- */

uint32_t pw_create(struct pw *pw, const char *path)
{
	struct uext4_file *file;
	uint32_t ino;

	assert_int_equal(uext4_open(pw->fs, NULL, path,
					 UEXT4_O_RDWR | UEXT4_O_CREAT |
							 UEXT4_O_EXCL,
					 0644, NULL, &file),
			0);
	ino = uext4_node_ino(uext4_file_node(file));
	assert_int_equal(uext4_close(file), 0);
	return ino;
}

void pw_mkdir(struct pw *pw, const char *path)
{
	char name[UEXT4_NAME_MAX + 1];
	struct uext4_node *dir = parent(pw, path, name);

	assert_int_equal(uext4_mkdir(dir, name, 0755, NULL, NULL), 0);
	uext4_node_put(dir);
}

void pw_rmdir(struct pw *pw, const char *path)
{
	char name[UEXT4_NAME_MAX + 1];
	struct uext4_node *dir = parent(pw, path, name);

	assert_int_equal(uext4_rmdir(dir, name, NULL), 0);
	uext4_node_put(dir);
}

void pw_unlink(struct pw *pw, const char *path)
{
	char name[UEXT4_NAME_MAX + 1];
	struct uext4_node *dir = parent(pw, path, name);

	assert_int_equal(uext4_unlink(dir, name, NULL), 0);
	uext4_node_put(dir);
}

void pw_rename(struct pw *pw, const char *a, const char *b, unsigned flags)
{
	char an[UEXT4_NAME_MAX + 1];
	char bn[UEXT4_NAME_MAX + 1];
	struct uext4_node *ad = parent(pw, a, an);
	struct uext4_node *bd = parent(pw, b, bn);

	assert_int_equal(uext4_rename(ad, an, bd, bn, flags, NULL), 0);
	uext4_node_put(ad);
	uext4_node_put(bd);
}

void pw_link(struct pw *pw, const char *old, const char *path)
{
	char name[UEXT4_NAME_MAX + 1];
	struct uext4_node *dir = parent(pw, path, name);
	struct uext4_node *node = pw_node(pw, old);

	assert_int_equal(uext4_link(node, dir, name, NULL), 0);
	uext4_node_put(node);
	uext4_node_put(dir);
}

void pw_symlink(struct pw *pw, const char *path, const char *target)
{
	char name[UEXT4_NAME_MAX + 1];
	struct uext4_node *dir = parent(pw, path, name);

	assert_int_equal(uext4_symlink(dir, name, target, NULL, NULL), 0);
	uext4_node_put(dir);
}

void pw_mknod(struct pw *pw, const char *path, uint32_t mode)
{
	char name[UEXT4_NAME_MAX + 1];
	struct uext4_node *dir = parent(pw, path, name);

	assert_int_equal(uext4_mknod(dir, name, mode, 1, 3, NULL, NULL), 0);
	uext4_node_put(dir);
}

/* ---- attributes ---- */

void pw_setattr(struct pw *pw, const char *path, const struct uext4_setattr *a)
{
	struct uext4_node *node = pw_node(pw, path);

	assert_int_equal(uext4_node_setattr(node, a, NULL), 0);
	uext4_node_put(node);
}

static uint64_t size_of(struct pw *pw, const char *path)
{
	struct uext4_node *node = pw_node(pw, path);
	struct uext4_stat st;

	assert_int_equal(uext4_node_stat(node, &st), 0);
	uext4_node_put(node);
	return st.size;
}

/* The model believes what the engine shows, so stale bytes that a growing file
 * shows from the beginning must be seen here. */
static void must_be_zero(
		struct pw *pw, const char *path, uint64_t from, uint64_t to)
{
	struct uext4_file *file;
	uint8_t buf[4096];
	ssize_t n;
	ssize_t i;

	assert_int_equal(uext4_open(pw->fs, NULL, path,
					 UEXT4_O_RDONLY | UEXT4_O_NOATIME, 0,
					 NULL, &file),
			0);
	for (; from < to; from += (uint64_t)n) {
		size_t len = to - from < sizeof(buf) ? to - from : sizeof(buf);

		n = uext4_pread(file, buf, len, from);
		assert_true(n > 0);
		for (i = 0; i < n; i++)
			assert_int_equal(buf[i], 0);
	}
	assert_int_equal(uext4_close(file), 0);
}

void pw_truncate(struct pw *pw, const char *path, uint64_t size)
{
	struct uext4_setattr a = { .mask = UEXT4_SET_SIZE, .size = size };
	uint64_t old = size_of(pw, path);

	pw_setattr(pw, path, &a);
	if (size > old)
		must_be_zero(pw, path, old, size);
}

void pw_xattr(struct pw *pw, const char *path, const char *name, size_t len,
		int byte)
{
	struct uext4_node *node = pw_node(pw, path);
	uint8_t value[4096];

	memset(value, byte, sizeof(value));
	assert_true(len <= sizeof(value));
	if (len)
		assert_int_equal(
				uext4_setxattr(node, name, value, len, 0, NULL),
				0);
	else
		assert_int_equal(uext4_removexattr(node, name, NULL), 0);
	uext4_node_put(node);
}

/* ---- bytes ---- */

static struct uext4_file *open_rw(
		struct pw *pw, const char *path, unsigned flags)
{
	struct uext4_file *file;

	assert_int_equal(uext4_open(pw->fs, NULL, path, UEXT4_O_RDWR | flags,
					 0644, NULL, &file),
			0);
	return file;
}

ssize_t pw_write_some(struct pw *pw, const char *path, unsigned flags,
		uint64_t pos, size_t len, int byte)
{
	struct uext4_file *file = open_rw(pw, path, flags);
	uint8_t *buf = NULL;
	ssize_t n;
	size_t i;

	assert_int_equal(posix_memalign((void **)&buf, 4096, len + 1), 0);
	for (i = 0; i < len; i++)
		buf[i] = (uint8_t)(byte + (int)(i >> 9));
	n = uext4_pwrite(file, buf, len, pos);
	assert_true(n >= 0 || n == -ENOSPC);
	assert_int_equal(uext4_close(file), 0);
	free(buf);
	return n;
}

void pw_write(struct pw *pw, const char *path, unsigned flags, uint64_t pos,
		size_t len, int byte)
{
	assert_int_equal(pw_write_some(pw, path, flags, pos, len, byte),
			(ssize_t)len);
}

void pw_falloc(struct pw *pw, const char *path, unsigned mode, uint64_t pos,
		uint64_t len)
{
	struct uext4_file *file = open_rw(pw, path, 0);
	int ret = uext4_fallocate(file, mode, pos, len);

	if (ret != -EOPNOTSUPP)
		assert_int_equal(ret, 0);
	assert_int_equal(uext4_close(file), 0);
}

bool pw_falloc_some(struct pw *pw, const char *path, uint64_t pos, uint64_t len)
{
	struct uext4_file *file = open_rw(pw, path, 0);
	int ret = uext4_fallocate(file, UEXT4_FALLOC_KEEP_SIZE, pos, len);

	assert_true(ret == 0 || ret == -ENOSPC);
	assert_int_equal(uext4_close(file), 0);
	return ret == 0;
}

void pw_fsync(struct pw *pw, const char *path)
{
	struct uext4_node *node = pw_node(pw, path);

	assert_int_equal(uext4_node_fsync(node, false), 0);
	uext4_node_put(node);
}

void pw_fdatasync(struct pw *pw, const char *path)
{
	struct uext4_node *node = pw_node(pw, path);

	assert_int_equal(uext4_node_fsync(node, true), 0);
	uext4_node_put(node);
}

void pw_set_label(struct pw *pw, const char *label)
{
	assert_int_equal(uext4_set_label(pw->fs, label, NULL), 0);
}

void pw_trim(struct pw *pw)
{
	uint64_t bytes;

	assert_int_equal(uext4_trim(pw->fs, 0, UINT64_MAX, 0, NULL, &bytes), 0);
	assert_true(bytes > 0);
}

void pw_sync(struct pw *pw)
{
	assert_int_equal(uext4_sync(pw->fs), 0);
}
