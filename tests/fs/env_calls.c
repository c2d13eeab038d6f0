/* SPDX-License-Identifier: MIT */
/*
 * The public calls by path, for tests (see env.h).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "env.h"

struct uext4_node *env_node(struct env *e, const char *path)
{
	struct uext4_node *node = NULL;
	int ret = uext4_resolve(e->fs, NULL, path, UEXT4_NOFOLLOW, NULL, &node);

	if (ret < 0)
		fail_msg("%s: %s", path, uext4_strerror(ret));
	return node;
}

struct uext4_node *env_dir(struct env *e, const char *path, char *name)
{
	struct uext4_node *dir = NULL;
	int ret = uext4_resolve_parent(e->fs, NULL, path, NULL, name, &dir);

	if (ret < 0)
		fail_msg("parent of %s: %s", path, uext4_strerror(ret));
	return dir;
}

int env_mkdir(struct env *e, const char *path, uint32_t mode)
{
	char name[UEXT4_NAME_MAX + 1];
	struct uext4_node *dir = env_dir(e, path, name);
	int ret = uext4_mkdir(dir, name, mode, NULL, NULL);

	uext4_node_put(dir);
	return ret;
}

int env_create(struct env *e, const char *path, uint32_t mode)
{
	struct uext4_file *f;
	int ret = uext4_open(e->fs, NULL, path,
			UEXT4_O_RDWR | UEXT4_O_CREAT | UEXT4_O_EXCL, mode, NULL,
			&f);

	return ret < 0 ? ret : uext4_close(f);
}

int env_mknod(struct env *e, const char *path, uint32_t mode, uint32_t maj,
		uint32_t min)
{
	char name[UEXT4_NAME_MAX + 1];
	struct uext4_node *dir = env_dir(e, path, name);
	int ret = uext4_mknod(dir, name, mode, maj, min, NULL, NULL);

	uext4_node_put(dir);
	return ret;
}

int env_symlink(struct env *e, const char *target, const char *path)
{
	char name[UEXT4_NAME_MAX + 1];
	struct uext4_node *dir = env_dir(e, path, name);
	int ret = uext4_symlink(dir, name, target, NULL, NULL);

	uext4_node_put(dir);
	return ret;
}

int env_link(struct env *e, const char *old, const char *path)
{
	char name[UEXT4_NAME_MAX + 1];
	struct uext4_node *node = env_node(e, old);
	struct uext4_node *dir = env_dir(e, path, name);
	int ret = uext4_link(node, dir, name, NULL);

	uext4_node_put(dir);
	uext4_node_put(node);
	return ret;
}

int env_unlink(struct env *e, const char *path)
{
	char name[UEXT4_NAME_MAX + 1];
	struct uext4_node *dir = env_dir(e, path, name);
	int ret = uext4_unlink(dir, name, NULL);

	uext4_node_put(dir);
	return ret;
}

int env_rmdir(struct env *e, const char *path)
{
	char name[UEXT4_NAME_MAX + 1];
	struct uext4_node *dir = env_dir(e, path, name);
	int ret = uext4_rmdir(dir, name, NULL);

	uext4_node_put(dir);
	return ret;
}

int env_rename(struct env *e, const char *old, const char *path, unsigned flags)
{
	char from[UEXT4_NAME_MAX + 1], to[UEXT4_NAME_MAX + 1];
	struct uext4_node *a = env_dir(e, old, from);
	struct uext4_node *b = env_dir(e, path, to);
	int ret = uext4_rename(a, from, b, to, flags, NULL);

	uext4_node_put(b);
	uext4_node_put(a);
	return ret;
}

int env_exists(struct env *e, const char *path)
{
	struct uext4_node *node;
	int ret = uext4_resolve(e->fs, NULL, path, UEXT4_NOFOLLOW, NULL, &node);

	if (ret == 0)
		uext4_node_put(node);
	return ret;
}

struct uext4_stat env_stat(struct env *e, const char *path)
{
	struct uext4_node *node = env_node(e, path);
	struct uext4_stat st;

	assert_int_equal(uext4_node_stat(node, &st), 0);
	uext4_node_put(node);
	return st;
}

int env_setxattr(struct env *e, const char *path, const char *name,
		const void *value, size_t len, unsigned flags)
{
	struct uext4_node *node = env_node(e, path);
	int ret = uext4_setxattr(node, name, value, len, flags, NULL);

	uext4_node_put(node);
	return ret;
}

ssize_t env_getxattr(struct env *e, const char *path, const char *name,
		void *buf, size_t size)
{
	struct uext4_node *node = env_node(e, path);
	ssize_t n = uext4_getxattr(node, name, buf, size, NULL);

	uext4_node_put(node);
	return n;
}

struct uext4_file *env_open(struct env *e, const char *path, unsigned flags)
{
	struct uext4_file *f = NULL;
	int ret = uext4_open(e->fs, NULL, path, flags, 0644, NULL, &f);

	if (ret < 0)
		fail_msg("open %s: %s", path, uext4_strerror(ret));
	return f;
}

void env_close(struct uext4_file *f)
{
	assert_int_equal(uext4_close(f), 0);
}

void env_pwrite(struct uext4_file *f, const void *buf, size_t len, uint64_t pos)
{
	assert_int_equal(uext4_pwrite(f, buf, len, pos), len);
}

void *env_alloc(size_t len, int byte)
{
	void *p = aligned_alloc(4096, (len + 4095) & ~(size_t)4095);

	assert_non_null(p);
	memset(p, byte, len);
	return p;
}

void env_fill(struct uext4_file *f, uint64_t pos, size_t len, int byte)
{
	void *buf = env_alloc(len, byte);
	ssize_t n = uext4_pwrite(f, buf, len, pos);

	free(buf);
	assert_int_equal(n, len);
}

void env_expect(struct uext4_file *f, uint64_t pos, size_t len, int byte)
{
	uint8_t *buf = env_alloc(len, ~byte);
	ssize_t n = uext4_pread(f, buf, len, pos);
	size_t i;

	assert_int_equal(n, len);
	for (i = 0; i < len && buf[i] == (uint8_t)byte; i++)
		;
	if (i < len)
		fail_msg("byte %llu is %#x, not %#x",
				(unsigned long long)(pos + i), buf[i],
				(unsigned)byte & 0xff);
	free(buf);
}

uint64_t env_size(struct uext4_file *f)
{
	struct uext4_stat st;

	assert_int_equal(uext4_node_stat(uext4_file_node(f), &st), 0);
	return st.size;
}

uint64_t env_free_blocks(struct env *e)
{
	struct uext4_statfs st;

	assert_int_equal(uext4_sync(e->fs), 0);
	assert_int_equal(uext4_statfs(e->fs, &st), 0);
	return st.free_blocks;
}

uint64_t env_free_inodes(struct env *e)
{
	struct uext4_statfs st;

	assert_int_equal(uext4_statfs(e->fs, &st), 0);
	return st.free_inodes;
}
