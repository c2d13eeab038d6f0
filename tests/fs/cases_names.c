/* SPDX-License-Identifier: MIT */
/*
 * Names: creation, links, renames, and the errors POSIX wants.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "cases.h"

static int try_open(struct env *e, const char *path, unsigned flags)
{
	struct uext4_file *f;
	int ret = uext4_open(e->fs, NULL, path, flags, 0644, NULL, &f);

	if (ret == 0)
		env_close(f);
	return ret;
}

void names_create(struct env *e)
{
	char name[400];
	struct uext4_node *root;
	struct uext4_stat st;

	assert_int_equal(env_create(e, "/a", 0640), 0);
	st = env_stat(e, "/a");
	assert_int_equal(st.mode, S_IFREG | 0640);
	assert_int_equal(st.nlink, 1);
	assert_int_equal(st.size, 0);
	assert_int_equal(st.sectors, 0);

	assert_int_equal(env_create(e, "/a", 0640), -EEXIST);
	assert_int_equal(try_open(e, "/a", UEXT4_O_CREAT | UEXT4_O_RDWR), 0);
	assert_int_equal(try_open(e, "/none", UEXT4_O_RDONLY), -ENOENT);
	assert_int_equal(try_open(e, "/none/x", UEXT4_O_CREAT), -ENOENT);
	assert_int_equal(try_open(e, "/a/x", UEXT4_O_CREAT), -ENOTDIR);
	assert_int_equal(try_open(e, "/a/", UEXT4_O_RDONLY), -ENOTDIR);
	assert_int_equal(try_open(e, "/", UEXT4_O_RDWR), -EISDIR);
	assert_int_equal(try_open(e, "/a", UEXT4_O_DIRECTORY), -ENOTDIR);
	assert_int_equal(try_open(e, "/", UEXT4_O_DIRECTORY), 0);

	name[0] = '/';
	memset(name + 1, 'n', 256);
	name[256] = '\0';
	assert_int_equal(env_create(e, name, 0600), 0);
	assert_int_equal(env_exists(e, name), 0);
	name[256] = 'n';
	name[257] = '\0';
	assert_int_equal(try_open(e, name, UEXT4_O_CREAT), -ENAMETOOLONG);
	assert_int_equal(uext4_node_root(e->fs, &root), 0);
	assert_int_equal(uext4_mkdir(root, name + 1, 0755, NULL, NULL),
			-ENAMETOOLONG);
	assert_int_equal(uext4_mkdir(root, "a/b", 0755, NULL, NULL), -EINVAL);
	uext4_node_put(root);

	/* any bytes but NUL and '/' */
	for (int c = 1; c < 256; c++) {
		if (c == '/' || c == '.')
			continue;
		(void)snprintf(name, sizeof(name), "/%c", c);
		if (c != 'a')
			assert_int_equal(env_create(e, name, 0644), 0);
	}
	assert_int_equal(env_exists(e, "/\xff"), 0);
	assert_int_equal(env_unlink(e, "/\xff"), 0);
	assert_int_equal(env_exists(e, "/\xff"), -ENOENT);
	assert_int_equal(env_unlink(e, "/\xff"), -ENOENT);
}

void names_mkdir(struct env *e)
{
	struct uext4_stat st;
	uint32_t links = env_stat(e, "/").nlink;

	assert_int_equal(env_mkdir(e, "/d", 01755), 0);
	st = env_stat(e, "/d");
	assert_int_equal(st.mode, S_IFDIR | 01755);
	assert_int_equal(st.nlink, 2);
	assert_int_equal(st.size, e->bs);
	assert_int_equal(env_stat(e, "/").nlink, links + 1);
	assert_int_equal(env_mkdir(e, "/d", 0755), -EEXIST);
	assert_int_equal(env_mkdir(e, "/d/s", 0755), 0);
	assert_int_equal(env_stat(e, "/d").nlink, 3);
	assert_int_equal(env_stat(e, "/d/s/..").ino, st.ino);

	assert_int_equal(env_rmdir(e, "/d"), -ENOTEMPTY);
	assert_int_equal(env_unlink(e, "/d"), -EISDIR);
	assert_int_equal(env_create(e, "/d/f", 0644), 0);
	assert_int_equal(env_rmdir(e, "/d/f"), -ENOTDIR);
	assert_int_equal(env_rmdir(e, "/d/s"), 0);
	assert_int_equal(env_stat(e, "/d").nlink, 2);
	assert_int_equal(env_rmdir(e, "/d"), -ENOTEMPTY);
	assert_int_equal(env_unlink(e, "/d/f"), 0);
	assert_int_equal(env_rmdir(e, "/d"), 0);
	assert_int_equal(env_exists(e, "/d"), -ENOENT);
	assert_int_equal(env_stat(e, "/").nlink, links);

	/* deep, and a removed directory that is still held */
	assert_int_equal(env_mkdir(e, "/p", 0755), 0);
	struct uext4_node *held = env_node(e, "/p"), *n = NULL;

	assert_int_equal(env_rmdir(e, "/p"), 0);
	assert_int_equal(uext4_mkdir(held, "x", 0755, NULL, &n), -ENOENT);
	assert_int_equal(uext4_node_stat(held, &st), 0);
	assert_int_equal(st.nlink, 0);
	uext4_node_put(held);

	char path[300] = "";

	for (int i = 0; i < 60; i++) {
		strcat(path, "/sub");
		assert_int_equal(env_mkdir(e, path, 0700), 0);
	}
}

static void symlink_of(struct env *e, size_t len)
{
	char *target = env_alloc(len + 1, 't'), *got = env_alloc(len + 1, 0);
	struct uext4_node *node;
	struct uext4_stat st;
	char path[32];

	target[len] = '\0';
	(void)snprintf(path, sizeof(path), "/l%zu", len);
	assert_int_equal(env_symlink(e, target, path), 0);
	st = env_stat(e, path);
	assert_int_equal(st.mode, S_IFLNK | 0777);
	assert_int_equal(st.size, len);
	assert_true((st.sectors != 0) == (len >= 60));
	node = env_node(e, path);
	assert_int_equal(uext4_node_readlink(node, got, len + 1), len);
	assert_memory_equal(got, target, len);
	assert_int_equal(uext4_node_readlink(node, got, 1), 1);
	uext4_node_put(node);
	free(got);
	free(target);
}

void names_symlink(struct env *e)
{
	static const size_t lens[] = { 1, 58, 59, 60, 61, 200, 1000 };
	struct uext4_node *n;
	char target[32], path[32];
	char *big;

	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++)
		symlink_of(e, lens[i]);
	symlink_of(e, (e->bs < 4096 ? e->bs : 4096) - 1);
	big = env_alloc(e->bs + 2, 'b');
	big[e->bs] = '\0';
	assert_int_equal(env_symlink(e, big, "/big"), -ENAMETOOLONG);
	free(big);
	assert_int_equal(env_symlink(e, "", "/empty"), -ENOENT);

	assert_int_equal(env_mkdir(e, "/d", 0755), 0);
	assert_int_equal(env_create(e, "/d/f", 0600), 0);
	assert_int_equal(env_symlink(e, "d/f", "/rel"), 0);
	assert_int_equal(env_symlink(e, "/d/../rel", "/abs"), 0);
	assert_int_equal(uext4_resolve(e->fs, NULL, "/abs", 0, NULL, &n), 0);
	assert_int_equal(uext4_node_ino(n), env_stat(e, "/d/f").ino);
	uext4_node_put(n);
	assert_int_equal(try_open(e, "/abs", UEXT4_O_RDWR), 0);
	assert_int_equal(try_open(e, "/abs", UEXT4_O_RDWR | UEXT4_O_NOFOLLOW),
			-ELOOP);
	assert_int_equal(env_symlink(e, "d/new", "/dangling"), 0);
	assert_int_equal(try_open(e, "/dangling", UEXT4_O_RDONLY), -ENOENT);
	assert_int_equal(try_open(e, "/dangling", UEXT4_O_CREAT), 0);
	assert_int_equal(env_exists(e, "/d/new"), 0);
	assert_int_equal(env_create(e, "/dangling", 0600), -EEXIST); /* EXCL */

	assert_int_equal(env_symlink(e, "loop", "/loop"), 0);
	assert_int_equal(try_open(e, "/loop", UEXT4_O_RDONLY), -ELOOP);
	assert_int_equal(env_symlink(e, "d/f", "/s0"), 0);
	for (int i = 1; i <= 40; i++) {
		(void)snprintf(target, sizeof(target), "s%d", i - 1);
		(void)snprintf(path, sizeof(path), "/s%d", i);
		assert_int_equal(env_symlink(e, target, path), 0);
	}
	assert_int_equal(try_open(e, "/s39", UEXT4_O_RDONLY), 0);
	assert_int_equal(try_open(e, "/s40", UEXT4_O_RDONLY), -ELOOP);
	assert_int_equal(env_unlink(e, "/l1000"), 0);
	assert_int_equal(env_unlink(e, "/l59"), 0);
}

void names_mknod(struct env *e)
{
	static const struct {
		const char *path;
		uint32_t mode, maj, min;
	} t[] = {
		{ "/fifo", S_IFIFO | 0600, 0, 0 },
		{ "/sock", S_IFSOCK | 0755, 0, 0 },
		{ "/null", S_IFCHR | 0666, 1, 3 },
		{ "/sda", S_IFBLK | 0660, 8, 0 },
		{ "/big", S_IFBLK | 0660, 300, 70000 },
		{ "/most", S_IFCHR | 0600, 4095, 0xfffff },
		{ "/reg", S_IFREG | 0600, 0, 0 },
	};

	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
			struct uext4_stat st;

			if (pass == 0)
				assert_int_equal(env_mknod(e, t[i].path,
								 t[i].mode,
								 t[i].maj,
								 t[i].min),
						0);
			st = env_stat(e, t[i].path);
			assert_int_equal(st.mode, t[i].mode);
			assert_int_equal(st.rdev_major, t[i].maj);
			assert_int_equal(st.rdev_minor, t[i].min);
			assert_int_equal(st.sectors, 0);
		}
		if (pass == 0)
			env_remount(e);
	}
	assert_int_equal(env_mknod(e, "/null", S_IFCHR, 1, 3), -EEXIST);
	assert_int_equal(env_unlink(e, "/null"), 0);
	assert_int_equal(env_unlink(e, "/fifo"), 0);
}

void names_link(struct env *e)
{
	char path[32];

	assert_int_equal(env_mkdir(e, "/d", 0755), 0);
	assert_int_equal(env_create(e, "/a", 0644), 0);
	assert_int_equal(env_link(e, "/a", "/d/b"), 0);
	assert_int_equal(env_stat(e, "/a").nlink, 2);
	assert_int_equal(env_stat(e, "/a").ino, env_stat(e, "/d/b").ino);
	assert_int_equal(env_link(e, "/a", "/d/b"), -EEXIST);
	assert_int_equal(env_link(e, "/d", "/dd"), -EPERM);
	assert_int_equal(env_symlink(e, "a", "/sym"), 0);
	assert_int_equal(env_link(e, "/sym", "/sym2"), 0); /* not followed */
	assert_int_equal(env_stat(e, "/sym2").nlink, 2);

	assert_int_equal(env_unlink(e, "/a"), 0);
	assert_int_equal(env_stat(e, "/d/b").nlink, 1);
	for (int i = 0; i < 100; i++) {
		(void)snprintf(path, sizeof(path), "/d/n%d", i);
		assert_int_equal(env_link(e, "/d/b", path), 0);
	}
	assert_int_equal(env_stat(e, "/d/b").nlink, 101);
	env_remount(e);
	assert_int_equal(env_stat(e, "/d/n7").nlink, 101);
	for (int i = 0; i < 100; i += 2) {
		(void)snprintf(path, sizeof(path), "/d/n%d", i);
		assert_int_equal(env_unlink(e, path), 0);
	}
	assert_int_equal(env_stat(e, "/d/b").nlink, 51);
}

static void file_with(struct env *e, const char *path, int byte)
{
	struct uext4_file *f = env_open(
			e, path, UEXT4_O_RDWR | UEXT4_O_CREAT | UEXT4_O_TRUNC);

	env_fill(f, 0, 3000, byte);
	env_close(f);
}

static void file_has(struct env *e, const char *path, int byte)
{
	struct uext4_file *f = env_open(e, path, UEXT4_O_RDONLY);

	env_expect(f, 0, 3000, byte);
	env_close(f);
}

void names_rename_files(struct env *e)
{
	uint64_t free0, free1;
	uint32_t ino;

	assert_int_equal(env_mkdir(e, "/x", 0755), 0);
	assert_int_equal(env_mkdir(e, "/y", 0755), 0);
	file_with(e, "/x/a", 'a');
	ino = env_stat(e, "/x/a").ino;
	assert_int_equal(env_rename(e, "/x/a", "/x/a", 0), 0);
	assert_int_equal(env_rename(e, "/x/a", "/x/longer name", 0), 0);
	assert_int_equal(env_rename(e, "/x/longer name", "/y/b", 0), 0);
	assert_int_equal(env_exists(e, "/x/a"), -ENOENT);
	assert_int_equal(env_stat(e, "/y/b").ino, ino);
	file_has(e, "/y/b", 'a');
	assert_int_equal(env_rename(e, "/y/none", "/x/z", 0), -ENOENT);

	/* over another file, whose space comes back */
	free0 = env_free_blocks(e);
	file_with(e, "/y/c", 'c');
	assert_int_equal(env_rename(e, "/y/b", "/y/c", 0), 0);
	file_has(e, "/y/c", 'a');
	assert_int_equal(env_exists(e, "/y/b"), -ENOENT);
	free1 = env_free_blocks(e);
	assert_int_equal(free0, free1);

	/* two names of one file: nothing happens */
	assert_int_equal(env_link(e, "/y/c", "/y/d"), 0);
	assert_int_equal(env_rename(e, "/y/c", "/y/d", 0), 0);
	assert_int_equal(env_exists(e, "/y/c"), 0);
	assert_int_equal(env_stat(e, "/y/d").nlink, 2);

	assert_int_equal(env_rename(e, "/y/c", "/x", 0), -EISDIR);
	assert_int_equal(env_rename(e, "/x", "/y/c", 0), -ENOTDIR);
	assert_int_equal(env_symlink(e, "c", "/y/s"), 0);
	assert_int_equal(env_rename(e, "/y/s", "/x/s", 0), 0);
	assert_int_equal(env_stat(e, "/x/s").mode & S_IFMT, S_IFLNK);
	/* an open target of a rename lives on */
	file_with(e, "/t1", '1');
	file_with(e, "/t2", '2');
	struct uext4_file *f = env_open(e, "/t2", UEXT4_O_RDONLY);

	assert_int_equal(env_rename(e, "/t1", "/t2", 0), 0);
	env_expect(f, 0, 3000, '2');
	env_close(f);
	file_has(e, "/t2", '1');
}

void names_rename_dirs(struct env *e)
{
	uint32_t root = env_stat(e, "/").nlink;

	assert_int_equal(env_mkdir(e, "/a", 0755), 0);
	assert_int_equal(env_mkdir(e, "/a/b", 0755), 0);
	assert_int_equal(env_mkdir(e, "/a/b/c", 0755), 0);
	assert_int_equal(env_mkdir(e, "/z", 0755), 0);
	assert_int_equal(env_rename(e, "/a", "/a/b/c/a", 0), -EINVAL);
	assert_int_equal(env_rename(e, "/a", "/a/a", 0), -EINVAL);
	assert_int_equal(env_rename(e, "/z", "/a", 0), -ENOTEMPTY);
	assert_int_equal(env_rename(e, "/a/b/c", "/a", 0), -ENOTEMPTY);

	assert_int_equal(env_rename(e, "/a/b", "/z/b", 0), 0);
	assert_int_equal(env_stat(e, "/z/b/..").ino, env_stat(e, "/z").ino);
	assert_int_equal(env_stat(e, "/a").nlink, 2);
	assert_int_equal(env_stat(e, "/z").nlink, 3);
	/* over an empty directory */
	assert_int_equal(env_rename(e, "/z/b", "/a", 0), 0);
	assert_int_equal(env_stat(e, "/a/..").ino, UEXT4_ROOT_INO);
	assert_int_equal(env_stat(e, "/a").nlink, 3);
	assert_int_equal(env_stat(e, "/z").nlink, 2);
	assert_int_equal(env_stat(e, "/").nlink, root + 2);
	assert_int_equal(env_exists(e, "/a/c"), 0);
	assert_int_equal(env_rename(e, "/a", "/q", 0), 0);
	assert_int_equal(env_stat(e, "/").nlink, root + 2);
}

void names_rename_flags(struct env *e)
{
	uint32_t a, d;

	file_with(e, "/a", 'a');
	file_with(e, "/b", 'b');
	assert_int_equal(env_mkdir(e, "/d", 0755), 0);
	assert_int_equal(env_mkdir(e, "/d/sub", 0755), 0);
	assert_int_equal(env_rename(e, "/a", "/b", UEXT4_RENAME_NOREPLACE),
			-EEXIST);
	assert_int_equal(env_rename(e, "/a", "/c", UEXT4_RENAME_NOREPLACE), 0);
	assert_int_equal(env_rename(e, "/c", "/b", UEXT4_RENAME_EXCHANGE), 0);
	file_has(e, "/c", 'b');
	file_has(e, "/b", 'a');
	assert_int_equal(env_rename(e, "/c", "/none", UEXT4_RENAME_EXCHANGE),
			-ENOENT);
	assert_int_equal(
			env_rename(e, "/c", "/b",
					UEXT4_RENAME_EXCHANGE |
							UEXT4_RENAME_NOREPLACE),
			-EINVAL);

	/* a file and a directory change places, across directories */
	a = env_stat(e, "/c").ino;
	d = env_stat(e, "/d/sub").ino;
	assert_int_equal(env_rename(e, "/c", "/d/sub", UEXT4_RENAME_EXCHANGE),
			0);
	assert_int_equal(env_stat(e, "/c").ino, d);
	assert_int_equal(env_stat(e, "/d/sub").ino, a);
	assert_int_equal(env_stat(e, "/c/..").ino, UEXT4_ROOT_INO);
	assert_int_equal(env_stat(e, "/d").nlink, 2);
	assert_int_equal(env_rename(e, "/d", "/d/sub", UEXT4_RENAME_EXCHANGE),
			-EINVAL);

	assert_int_equal(env_rename(e, "/b", "/w", UEXT4_RENAME_WHITEOUT), 0);
	file_has(e, "/w", 'a');
	struct uext4_stat st = env_stat(e, "/b");

	assert_int_equal(st.mode & S_IFMT, S_IFCHR);
	assert_int_equal(st.rdev_major | st.rdev_minor, 0);
	assert_int_equal(env_rename(e, "/w", "/b", 0), 0);
	file_has(e, "/b", 'a');
}
