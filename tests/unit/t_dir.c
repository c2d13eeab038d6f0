/* SPDX-License-Identifier: MIT */
/* Linear directories against a model, e2fsck and debugfs. */
#include "dir_env.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cache/buf.h"

static const char *const linear_formats[] = {
	"-t ext2 -b 1024 -O ^dir_index",
	"-t ext2 -b 1024 -O ^dir_index,^filetype",
	"-t ext3 -b 2048 -O ^dir_index",
	"-t ext4 -b 1024 -O ^dir_index,metadata_csum",
	"-t ext4 -b 2048 -O ^dir_index,^metadata_csum",
	"-t ext4 -b 4096 -O ^dir_index,metadata_csum",
	"-t ext4 -b 4096 -O ^dir_index,^metadata_csum",
};

static void linear_directory_is_like_the_model(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(linear_formats); i++) {
		struct denv e;

		denv_make(&e, linear_formats[i], 32);
		denv_names(&e, 1500, 255, false);
		denv_churn(&e, 3000, 70);
		denv_check(&e, 7);
		denv_debugfs(&e);
		denv_fsck(&e);
		denv_check(&e, 1000000);
		denv_churn(&e, 3000, 30);
		denv_check(&e, 1);
		denv_fsck(&e);
		denv_drop(&e);
	}
}

static int set(struct denv *e, const char *name, inum_t inum, uint8_t ftype)
{
	struct handle *h;
	int ret;

	env_start(&e->env, DIR_CREDITS_SET, &h);
	ret = dir_set(h, e->dir, name, strlen(name), inum, ftype);
	env_stop(h);
	return ret;
}

static void entries_are_set_and_dots_are_kept(void **state)
{
	static const char *const formats[] = {
		"-t ext2 -b 1024 -O ^dir_index",
		"-t ext4 -b 1024 -O metadata_csum",
	};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct handle *h;
		uint8_t ftype;
		struct denv e;
		inum_t inum;

		denv_make(&e, formats[i], 16);
		denv_names(&e, 200, 40, false);
		for (size_t n = 0; n < 200; n++)
			denv_add(&e, n);
		assert_int_equal(dir_find(e.dir, "..", 2, &inum, &ftype), 0);
		assert_int_equal(inum, INUM_ROOT);
		assert_int_equal(dir_find(e.dir, ".", 1, &inum, &ftype), 0);
		assert_int_equal(inum, e.dir_inum);
		assert_int_equal(ftype, 2);

		assert_int_equal(set(&e, "..", 11, 2), 0);
		assert_int_equal(dir_find(e.dir, "..", 2, &inum, &ftype), 0);
		assert_int_equal(inum, 11);
		assert_int_equal(set(&e, "..", INUM_ROOT, 2), 0);
		assert_int_equal(set(&e, "no such name", 11, 2), -ENOENT);

		env_start(&e.env, DIR_CREDITS_SET, &h);
		assert_int_equal(dir_remove(h, e.dir, ".", 1), -EINVAL);
		assert_int_equal(dir_remove(h, e.dir, "..", 2), -EINVAL);
		assert_int_equal(dir_remove(h, e.dir, "nosuch", 6), -ENOENT);
		env_stop(h);
		denv_check(&e, 10);
		denv_fsck(&e);
		denv_drop(&e);
	}
}

/* Is @what anywhere in the image? */
static bool image_has(struct denv *e, const char *what)
{
	int fd = open(e->env.path, O_RDONLY);
	off_t size = lseek(fd, 0, SEEK_END);
	char *all = malloc((size_t)size);
	bool has;

	assert_non_null(all);
	assert_int_equal(pread(fd, all, (size_t)size, 0), size);
	has = memmem(all, (size_t)size, what, strlen(what)) != NULL;
	free(all);
	close(fd);
	return has;
}

static void removed_names_leave_no_trace(void **state)
{
	static const char *const formats[] = {
		"-t ext2 -b 1024 -O ^dir_index",
		"-t ext4 -b 1024 -O ^has_journal",
	};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct denv e;

		denv_make(&e, formats[i], 4);
		denv_names(&e, 400, 80, false);
		for (size_t n = 0; n < 400; n++) {
			char name[80];

			snprintf(name, sizeof(name), "%zu-%.*s-verysecret", n,
					(int)denv_rand(&e, 30),
					"qwertyuiopasdfghjklzxcvbnmqwer");
			denv_set_name(&e, n, name, strlen(name));
			denv_add(&e, n);
		}
		env_sync(&e.env);
		assert_true(image_has(&e, "verysecret"));
		for (size_t n = 0; n < 400; n++)
			denv_remove(&e, n);
		env_sync(&e.env);
		assert_false(image_has(&e, "verysecret"));
		denv_fsck(&e);
		denv_drop(&e);
	}
}

static void a_hole_and_a_size_that_cannot_be_are_refused(void **state)
{
	uint8_t ftype;
	struct denv e;
	inum_t inum;

	(void)state;
	denv_make(&e, "-t ext2 -b 1024 -O ^dir_index", 16);
	denv_names(&e, 10, 20, false);
	denv_add(&e, 0);
	inode_set_size(e.dir, 3 * 1024);
	assert_int_equal(dir_find(e.dir, "none", 4, &inum, &ftype), -EUCLEAN);
	assert_non_null(strstr(e.env.said, "block 1: is a hole; run e2fsck"));
	assert_int_equal(dir_find(e.dir, e.names[0].name, e.names[0].len, &inum,
					 &ftype),
			0);
	assert_int_equal(dir_is_empty(e.dir), 0);
	inode_set_size(e.dir, 1000);
	assert_int_equal(dir_find(e.dir, "none", 4, &inum, &ftype), -EUCLEAN);
	inode_set_size(e.dir, 0);
	assert_int_equal(dir_is_empty(e.dir), -EUCLEAN);
	inode_set_size(e.dir, 1024);
	denv_fsck(&e);
	denv_drop(&e);
}

static void names_too_long_or_empty_are_refused(void **state)
{
	char name[300];
	struct handle *h;
	uint8_t ftype;
	struct denv e;
	inum_t inum;

	(void)state;
	memset(name, 'n', sizeof(name));
	denv_make(&e, "-t ext4 -b 1024", 16);
	env_start(&e.env, dir_credits_add(e.dir), &h);
	assert_int_equal(dir_add(h, e.dir, name, 256, 12, 1), -ENAMETOOLONG);
	assert_int_equal(dir_add(h, e.dir, name, 0, 12, 1), -ENOENT);
	env_stop(h);
	assert_int_equal(dir_find(e.dir, name, 256, &inum, &ftype),
			-ENAMETOOLONG);
	assert_int_equal(dir_find(e.dir, name, 0, &inum, &ftype), -ENOENT);
	denv_drop(&e);
}

/* ---- hostile bytes ---- */

struct bad_walk {
	size_t told;
	uint64_t next;
};

static int bad_told(void *ctx, const struct dir_entry *de)
{
	struct bad_walk *w = ctx;
	char name[255];

	assert_in_range(de->len, 1, 255);
	memcpy(name, de->name, de->len);
	assert_null(memchr(name, '/', de->len));
	assert_true(++w->told < 1000000);
	w->next = de->next;
	return w->told % 50 == 0;
}

static void ok_or_refused(int ret)
{
	assert_true(ret >= 0 || ret == -ENOENT || ret == -ENOSPC ||
			ret == -EUCLEAN || ret == -EBADMSG);
}

/* All calls, on a directory of which nothing is known. */
static void use_it(struct denv *e)
{
	struct bad_walk w = { 0 };
	uint8_t ftype;
	inum_t inum;
	int ret;

	for (int i = 0; i < 20; i++) {
		struct denv_name *n = &e->names[denv_rand(e, 500)];
		struct handle *h;

		ok_or_refused(dir_find(e->dir, n->name, n->len, &inum, &ftype));
		env_start(&e->env, dir_credits_add(e->dir), &h);
		ok_or_refused(dir_remove(h, e->dir, n->name, n->len));
		n = &e->names[denv_rand(e, (uint32_t)e->nnames)];
		ok_or_refused(dir_add(
				h, e->dir, n->name, n->len, e->file_inum, 1));
		env_stop(h);
	}
	do {
		/* A position that repeats would be a hang. */
		ret = dir_iterate(e->dir, w.next, bad_told, &w);
	} while (ret == 1);
	ok_or_refused(ret);
	ok_or_refused(dir_is_empty(e->dir));
	ok_or_refused(set(e, "..", INUM_ROOT, 2));
}

static uint8_t bad_byte(struct denv *e)
{
	static const uint8_t odd[] = { 0, 1, 4, 8, 12, 0x7f, 0x80, 0xff };

	return denv_rand(e, 2) ? odd[denv_rand(e, 8)]
			       : (uint8_t)denv_rand(e, 256);
}

/* Where in a block: mostly where headers are. */
static uint32_t bad_off(struct denv *e)
{
	uint32_t size = e->env.geo.block_size;

	return denv_rand(e, 3) == 0 ? denv_rand(e, 64) : denv_rand(e, size);
}

/* In bufs that have been checked, which is worse than any disk can do. */
static void spoil_memory(struct denv *e)
{
	lblk_t nblk = (lblk_t)(inode_size(e->dir) / e->env.geo.block_size);
	uint32_t n = 1 + denv_rand(e, 4);

	while (n-- > 0) {
		lblk_t lblk = denv_rand(e, 4) ? denv_rand(e, nblk) : 0;
		struct map_run run;
		struct buf *b;

		assert_int_equal(map_find(&e->dir->map, lblk, 1, &run), 0);
		assert_int_equal(buf_read(e->env.cache, run.pblk, &b), 0);
		b->data[bad_off(e)] = bad_byte(e);
		buf_put(b);
	}
}

static void spoil_disk(struct denv *e)
{
	lblk_t nblk = (lblk_t)(inode_size(e->dir) / e->env.geo.block_size);
	uint32_t n = 1 + denv_rand(e, 4);
	uint64_t pos[4];

	for (uint32_t i = 0; i < n; i++) {
		lblk_t lblk = denv_rand(e, 4) ? denv_rand(e, nblk) : 0;
		struct map_run run;

		assert_int_equal(map_find(&e->dir->map, lblk, 1, &run), 0);
		pos[i] = run.pblk * e->env.geo.block_size + bad_off(e);
	}
	denv_close(e);
	while (n-- > 0) {
		uint8_t byte = bad_byte(e);

		env_poke(&e->env, pos[n], &byte, 1);
	}
	denv_open(e);
}

static void spoilt_directories_are_refused_in_peace(void **state)
{
	static const struct {
		const char *args;
		size_t count;
	} formats[] = {
		{ "-t ext2 -b 1024 -O ^dir_index", 300 },
		{ "-t ext4 -b 1024 -O ^has_journal,^metadata_csum", 500 },
		{ "-t ext4 -b 1024 -O ^has_journal,^metadata_csum", 12000 },
		{ "-t ext4 -b 1024 -O ^has_journal,metadata_csum", 500 },
	};
	const char *long_run = getenv("UEXT4_TEST_ROUNDS");
	int rounds = long_run ? atoi(long_run) : 25;

	(void)state;
	for (size_t i = 0; i < array_len(formats); i++) {
		struct denv e;
		char *image;
		off_t size;
		int fd;

		denv_make(&e, formats[i].args, 6);
		denv_names(&e, formats[i].count * 2, 60, true);
		for (size_t n = 0; n < formats[i].count; n++)
			denv_add(&e, n);
		denv_close(&e);
		fd = open(e.env.path, O_RDWR);
		size = lseek(fd, 0, SEEK_END);
		image = malloc((size_t)size);
		assert_non_null(image);
		assert_int_equal(pread(fd, image, (size_t)size, 0), size);
		for (int round = 0; round < rounds; round++) {
			denv_open(&e);
			spoil_disk(&e);
			use_it(&e);
			spoil_memory(&e);
			use_it(&e);
			denv_close(&e);
			assert_int_equal(pwrite(fd, image, (size_t)size, 0),
					size);
		}
		free(image);
		close(fd);
		denv_open(&e);
		denv_drop(&e);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(linear_directory_is_like_the_model),
		cmocka_unit_test(entries_are_set_and_dots_are_kept),
		cmocka_unit_test(removed_names_leave_no_trace),
		cmocka_unit_test(a_hole_and_a_size_that_cannot_be_are_refused),
		cmocka_unit_test(names_too_long_or_empty_are_refused),
		cmocka_unit_test(spoilt_directories_are_refused_in_peace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
