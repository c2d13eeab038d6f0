/* SPDX-License-Identifier: MIT */
/*
 * Images that lie. Each is made whole, changed by debugfs, and then everything
 * is tried with it: read, written, renamed, removed. What must hold: no crash,
 * no hang, no leak (run it under sanitizers), an error where the damage is, and
 * what is not damaged goes on working. And a read-only mount writes nothing,
 * whatever it finds.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bdev/bdev.h"
#include "bug.h"

static const struct lie {
	const char *name;
	const char *debugfs; /* commands, one a line */
	int read_f;          /* what reading /d/f says: 0 or -errno */
} lies[] = {
	{ "nothing", "", 0 },
	{ "dotdot names a child",
			"ln d/sub d/x\nunlink d/sub/..\nln d/sub/deep "
			"d/sub/..\n",
			0 },
	{ "a directory inside itself", "ln d d/sub/loop\nln d d/self\n", 0 },
	{ "a directory with two parents", "ln d/sub e/sub\n", 0 },
	{ "extent over the journal",
			"set_inode_field d/f block[5] 0x00000200\n"
			"set_inode_field d/f block[4] 0x00000001\n",
			-EUCLEAN },
	{ "extent over the superblock", "set_inode_field d/f block[5] 0\n",
			-EUCLEAN },
	{ "extent past the end", "set_inode_field d/f block[5] 0x7fffffff\n",
			-EUCLEAN },
	{ "extent of length 0", "set_inode_field d/f block[4] 0\n", -EUCLEAN },
	{ "extent header without magic", "set_inode_field d/f block[0] 0\n",
			-EUCLEAN },
	{ "tree of depth 60000", "set_inode_field d/f block[1] 0xea600004\n",
			-EUCLEAN },
	{ "size of 2^62", "set_inode_field d/f size 0x4000000000000000\n", 0 },
	{ "size below 0", "set_inode_field d/f size 0x8000000000000000\n",
			-EUCLEAN },
	{ "times below 0 and far away",
			"set_inode_field d/f atime 0xffffffff\n"
			"set_inode_field d/f mtime_extra 0xffffffff\n"
			"set_inode_field d/f ctime 0x80000000\n",
			0 },
	{ "links 0", "set_inode_field d/f links_count 0\n", -EUCLEAN },
	{ "links 65000", "set_inode_field d/f links_count 65000\n", 0 },
	{ "mode 0", "set_inode_field d/f mode 0\n", -EUCLEAN },
	{ "file is a directory", "set_inode_field d/f mode 040755\n", 0 },
	{ "file is a symlink", "set_inode_field d/f mode 0120777\n", -EUCLEAN },
	{ "symlink of 2000 bytes in 60", "set_inode_field d/fast size 2000\n",
			0 },
	{ "symlink with NUL inside",
			"set_inode_field d/fast block[0] 0x00410041\n", 0 },
	{ "symlink of size 0", "set_inode_field d/fast size 0\n", 0 },
	{ "symlink block is a bitmap", "set_inode_field d/slow block[5] 0x22\n",
			0 },
	{ "directory of size 5", "set_inode_field d size 5\n", -EUCLEAN },
	{ "directory of 2^50 bytes", "set_inode_field d size 0x4000000000000\n",
			-EUCLEAN },
	{ "attribute block is the superblock",
			"set_inode_field d/f file_acl 1\n", 0 },
	{ "attribute block past the end",
			"set_inode_field d/f file_acl 0x7fffffff\n", -EUCLEAN },
	{ "attribute block is data", "set_inode_field d/f file_acl 20000\n",
			0 },
	{ "orphan list names the root", "ssv last_orphan 2\n", 0 },
	{ "orphan list names nothing", "ssv last_orphan 4000000000\n", 0 },
	{ "orphan list in a ring",
			"ssv last_orphan 12\nset_inode_field d/f dtime 12\n"
			"set_inode_field <12> dtime 12\n",
			0 },
	{ "first block claimed twice",
			"set_inode_field e/g block[5] 20000\n"
			"set_inode_field d/f block[5] 20000\n",
			0 },
	{ "reserved blocks more than all", "ssv r_blocks_count 4000000\n", 0 },
};

static void make(struct bug *b, const char *profile, const struct lie *lie)
{
	char script[128];
	FILE *f;

	bug_open(b, profile, NULL);
	assert_int_equal(env_mkdir(&b->e, "/d", 0755), 0);
	assert_int_equal(env_mkdir(&b->e, "/d/sub", 0755), 0);
	assert_int_equal(env_mkdir(&b->e, "/d/sub/deep", 0755), 0);
	assert_int_equal(env_mkdir(&b->e, "/e", 0755), 0);
	for (int i = 0; i < 2; i++) {
		struct uext4_file *file = env_open(&b->e, i ? "/e/g" : "/d/f",
				UEXT4_O_RDWR | UEXT4_O_CREAT);

		env_fill(file, 0, 10000, 'x');
		env_close(file);
	}
	assert_int_equal(env_symlink(&b->e, "fast", "/d/fast"), 0);
	{
		char target[200];

		memset(target, 's', sizeof(target));
		target[sizeof(target) - 1] = '\0';
		assert_int_equal(env_symlink(&b->e, target, "/d/slow"), 0);
	}
	assert_int_equal(bug_unmount(b), 0);
	(void)snprintf(script, sizeof(script), "%s.cmd", b->e.out);
	f = fopen(script, "w");
	assert_non_null(f);
	assert_true(fputs(lie->debugfs, f) >= 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(env_sh("debugfs -w -f %s %s >%s 2>&1", script,
					 b->e.img, b->e.out),
			0);
}

static int count_entry(void *ctx, const struct uext4_dirent *e)
{
	return ++*(int *)ctx > 10000;
}

static int read_f(struct bug *b)
{
	struct uext4_file *f;
	char buf[100];
	ssize_t n;
	int ret;

	ret = uext4_open(b->e.fs, NULL, "/d/f", UEXT4_O_RDONLY, 0, NULL, &f);
	if (ret < 0)
		return ret == -EISDIR ? 0 : ret;
	n = uext4_pread(f, buf, sizeof(buf), 0);
	(void)!uext4_close(f);
	return n < 0 && n != -EISDIR ? (int)n : 0;
}

static void look_at(struct bug *b, const char *path)
{
	struct uext4_node *n;
	struct uext4_stat st;
	char buf[5000];
	int count = 0;

	if (uext4_resolve(b->e.fs, NULL, path, UEXT4_NOFOLLOW, NULL, &n) < 0)
		return;
	assert_int_equal(uext4_node_stat(n, &st), 0);
	(void)!uext4_node_readlink(n, buf, sizeof(buf));
	(void)!uext4_readdir(n, 0, count_entry, &count);
	(void)!uext4_listxattr(n, buf, sizeof(buf), NULL);
	(void)!uext4_getxattr(n, "user.x", buf, sizeof(buf), NULL);
	uext4_node_put(n);
}

static const char *const paths[] = { "/", "/d", "/d/f", "/d/fast", "/d/slow",
	"/d/sub", "/d/sub/..", "/d/sub/deep/../..", "/d/sub/loop/sub/loop",
	"/d/self/self/f", "/e", "/e/g", "/e/sub", "/d/x" };
#define NPATHS (sizeof(paths) / sizeof(paths[0]))

static void change(struct bug *b, const char *path)
{
	struct uext4_file *f;
	int ret;

	(void)!env_setxattr(&b->e, path, "user.y", paths, sizeof(paths), 0);
	ret = uext4_open(b->e.fs, NULL, path,
			UEXT4_O_RDWR | UEXT4_O_NOFOLLOW | UEXT4_O_DIRECT, 0,
			NULL, &f);
	if (ret == 0) {
		void *buf = env_alloc(8192, 'c');

		(void)!uext4_pwrite(f, buf, 8192, 4096);
		(void)!uext4_fallocate(f,
				UEXT4_FALLOC_PUNCH_HOLE |
						UEXT4_FALLOC_KEEP_SIZE,
				0, 4096);
		(void)!uext4_fallocate(f, 0, 0, 100000);
		(void)!uext4_ftruncate(f, 5000);
		(void)!uext4_pwrite(f, buf, 8192, 0);
		(void)!uext4_fsync(f);
		(void)!uext4_close(f);
		free(buf);
	}
}

static void try_all(struct bug *b)
{
	for (size_t i = 0; i < NPATHS; i++)
		look_at(b, paths[i]);
	for (size_t i = 0; i < NPATHS; i++)
		if (env_exists(&b->e, paths[i]) == 0)
			change(b, paths[i]);
	for (size_t i = 1; i < NPATHS; i++)
		for (size_t k = 1; k < NPATHS; k++) {
			struct uext4_node *from, *to;
			char name[256], other[256];

			if (uext4_resolve_parent(b->e.fs, NULL, paths[i], NULL,
					    name, &from) < 0)
				continue;
			if (uext4_resolve_parent(b->e.fs, NULL, paths[k], NULL,
					    other, &to) == 0) {
				(void)!uext4_rename(from, name, to, other,
						UEXT4_RENAME_EXCHANGE, NULL);
				(void)!uext4_rename(
						from, name, to, "new", 0, NULL);
				(void)!uext4_rename(
						to, "new", from, name, 0, NULL);
				uext4_node_put(to);
			}
			uext4_node_put(from);
		}
	for (size_t i = NPATHS - 1; i > 0; i--) {
		struct uext4_node *dir;
		char name[256];

		if (uext4_resolve_parent(b->e.fs, NULL, paths[i], NULL, name,
				    &dir) < 0)
			continue;
		(void)!uext4_unlink(dir, name, NULL);
		(void)!uext4_rmdir(dir, name, NULL);
		uext4_node_put(dir);
	}
}

static void lie_on(const char *profile, const struct lie *lie)
{
	struct bug b;
	int ret;

	make(&b, profile, lie);
	(void)alarm(60); /* a hang ends the test */

	/* Reading, of a device that takes no writes. */
	b.opts.flags |= UEXT4_MNT_RDONLY;
	ret = bug_try_mount(&b);
	if (ret == 0) {
		ret = read_f(&b);
		if (ret != lie->read_f)
			fail_msg("%s: reading /d/f: %d, not %d: %s", lie->name,
					ret, lie->read_f, b.e.log);
		for (size_t i = 0; i < NPATHS; i++)
			look_at(&b, paths[i]);
		assert_int_equal(uext4_unmount(b.e.fs), 0);
		b.e.fs = NULL;
	}
	assert_int_equal(bug_count(&b, BDEV_WRITE), 0);
	assert_int_equal(bug_count(&b, BDEV_FLUSH), 0);

	/* Everything, going on after errors. */
	b.opts.flags &= ~UEXT4_MNT_RDONLY;
	b.opts.errors = UEXT4_ERRORS_CONTINUE;
	if (bug_try_mount(&b) == 0) {
		try_all(&b);
		(void)!bug_unmount(&b);
	}
	(void)alarm(0);
	bug_close(&b, false);
}

static void lies_without_checksums(void **state)
{
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++)
		lie_on("ext4-1k-uninit", &lies[i]);
}

/* debugfs sets the checksums right, so that the lies are believed. */
static void lies_with_checksums(void **state)
{
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++)
		lie_on("ext4-4k-full", &lies[i]);
}

static void damaged_journal_inodes_are_refused(void **state)
{
	static const char *const cmds[] = {
		"set_inode_field <8> mode 0\n",
		"set_inode_field <8> links_count 0\n",
		"set_inode_field <8> block[0] 0\n",
		"set_inode_field <8> block[4] 0\n",
		"set_inode_field <8> block[5] 1\n",
		"set_inode_field <8> block[5] 0x7fffffff\n",
		"set_inode_field <8> size 0\n",
		"set_inode_field <8> size 0x400000000000\n",
		"ssv journal_inum 12\n",
		"ssv journal_inum 4000000000\n",
	};

	for (size_t i = 0; i < sizeof(cmds) / sizeof(cmds[0]); i++) {
		const struct lie lie = { "journal", cmds[i], 0 };
		struct bug b;
		int ret;

		make(&b, "ext4-4k-full", &lie);
		ret = bug_try_mount(&b);
		if (ret >= 0)
			fail_msg("mounted in spite of: %s", cmds[i]);
		if (b.e.log[0] == '\0')
			fail_msg("nothing is said about: %s", cmds[i]);
		assert_int_equal(bug_count(&b, BDEV_WRITE), 0);
		err_ignore(bdev_close(b.dev));
		b.dev = NULL;
		bug_close(&b, false);
	}
}

static void revision_0_lives(void **state)
{
	static const struct env_profile rev0 = { "rev0",
		"-t ext2 -r 0 -b 1024 -I 128 -O none", 1024, 0 };
	struct env e;
	struct uext4_file *f;

	env_make(&e, &rev0, NULL);
	assert_int_equal(env_mkdir(&e, "/d", 0755), 0);
	f = env_open(&e, "/d/f", UEXT4_O_RDWR | UEXT4_O_CREAT);
	env_fill(f, 0, 300000, 'x');
	assert_int_equal(uext4_ftruncate(f, UINT64_C(3) << 30), -EFBIG);
	assert_int_equal(uext4_ftruncate(f, INT32_MAX), 0);
	env_close(f);
	assert_int_equal(env_symlink(&e, "d/f", "/l"), 0);
	env_end(&e);
}

/* A reader of a dirty image sees what recovery would give, and writes nothing. */
static void reading_a_dirty_image_writes_nothing(void **state)
{
	struct uext4_file *f;
	struct bug b;

	bug_open(&b, "ext4-4k-full", NULL);
	assert_int_equal(bdev_emu_record(b.dev), 0);
	f = env_open(&b.e, "/f", UEXT4_O_RDWR | UEXT4_O_CREAT);
	env_fill(f, 0, 100000, 'x');
	assert_int_equal(uext4_fsync(f), 0);
	assert_int_equal(env_unlink(&b.e, "/f"), 0); /* an orphan */
	assert_int_equal(env_create(&b.e, "/g", 0644), 0);
	assert_int_equal(uext4_sync(b.e.fs), 0);
	env_close(f);
	bug_cut(&b);
	b.opts.flags |= UEXT4_MNT_RDONLY;
	bug_mount(&b);
	assert_int_equal(env_exists(&b.e, "/f"), -ENOENT);
	assert_int_equal(env_exists(&b.e, "/g"), 0);
	assert_int_equal(env_create(&b.e, "/h", 0644), -EROFS);
	assert_int_equal(env_mkdir(&b.e, "/h", 0755), -EROFS);
	assert_int_equal(env_unlink(&b.e, "/g"), -EROFS);
	assert_int_equal(env_rename(&b.e, "/g", "/h", 0), -EROFS);
	assert_int_equal(env_setxattr(&b.e, "/g", "user.x", "", 0, 0), -EROFS);
	assert_int_equal(uext4_open(b.e.fs, NULL, "/g", UEXT4_O_RDWR, 0, NULL,
					 &f),
			-EROFS);
	assert_int_equal(uext4_sync(b.e.fs), 0);
	assert_int_equal(uext4_unmount(b.e.fs), 0);
	b.e.fs = NULL;
	assert_int_equal(bug_count(&b, BDEV_WRITE), 0);
	assert_int_equal(bug_count(&b, BDEV_FLUSH), 0);
	b.opts.flags &= ~UEXT4_MNT_RDONLY;
	bug_mount(&b);
	bug_close(&b, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lies_without_checksums),
		cmocka_unit_test(lies_with_checksums),
		cmocka_unit_test(damaged_journal_inodes_are_refused),
		cmocka_unit_test(revision_0_lives),
		cmocka_unit_test(reading_a_dirty_image_writes_nothing),
	};

	if (!env_tools())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
