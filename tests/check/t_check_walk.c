/* SPDX-License-Identifier: MIT */
/*
 * The checker's readers: names, attributes and bytes of a tree made by mke2fs
 * and debugfs, and canaries in free space.
 */
#include "check/chk_image.h"

#include "base/le.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const char *const formats[] = {
	"-t ext4 -b 1024 -O ^metadata_csum",
	"-t ext4 -b 4096 -O metadata_csum,64bit,orphan_file",
	"-t ext4 -b 2048 -I 1024",
	"-t ext3 -b 1024 -I 128",
	"-t ext2 -b 4096",
};

#define NFORMATS (sizeof(formats) / sizeof(*formats))

struct tree {
	const struct chk_image *im;
	unsigned int names, files, dirs, many;
};

/* Each file as the source tree has it: size, bytes, mode. */
static void compare_file(const struct tree *t, const struct check_entry *entry)
{
	char path[512];
	struct stat st;
	uint8_t *ours, *theirs;
	FILE *f;

	snprintf(path, sizeof(path), "%s/t%s", t->im->dir, entry->path);
	if (lstat(path, &st) < 0)
		return; /* lost+found, or added by debugfs */
	assert_int_equal(entry->st.mode, st.st_mode);
	if (!S_ISREG(st.st_mode)) /* a directory's times move as it fills */
		return;
	assert_int_equal(entry->st.mtime, st.st_mtim.tv_sec);
	assert_int_equal(entry->st.size, st.st_size);
	assert_int_equal(entry->st.links, st.st_nlink);
	ours = malloc((size_t)st.st_size + 100);
	theirs = malloc((size_t)st.st_size + 1);
	assert_non_null(ours);
	assert_non_null(theirs);
	f = fopen(path, "rb");
	assert_non_null(f);
	assert_int_equal(fread(theirs, 1, (size_t)st.st_size, f), st.st_size);
	fclose(f);
	assert_int_equal(check_read_file(&t->im->dev, entry->path, 0, ours,
					 (size_t)st.st_size + 100),
			st.st_size);
	assert_memory_equal(ours, theirs, (size_t)st.st_size);
	if (st.st_size > 5000) {
		assert_int_equal(check_read_ino(&t->im->dev, entry->st.ino,
						 4097, ours, 700),
				700);
		assert_memory_equal(ours, theirs + 4097, 700);
	}
	free(ours);
	free(theirs);
}

static int see_entry(void *ctx, const struct check_entry *entry)
{
	struct tree *t = ctx;
	uint32_t ino;

	t->names++;
	t->dirs += S_ISDIR(entry->st.mode);
	t->files += S_ISREG(entry->st.mode);
	t->many += strncmp(entry->path, "/many/", 6) == 0;
	assert_int_equal(check_lookup(&t->im->dev, entry->path, &ino), 0);
	assert_int_equal(ino, entry->st.ino);
	compare_file(t, entry);
	return 0;
}

static void walk_sees_the_source_tree(void **state)
{
	for (size_t i = 0; i < NFORMATS; i++) {
		struct chk_image im;
		struct tree t = { .im = &im };
		uint32_t ino;

		assert_int_equal(chk_image_make(&im, formats[i], 16u << 20), 0);
		assert_int_equal(check_walk(&im.dev, see_entry, &t), 0);
		assert_int_equal(t.many, 160);
		assert_int_equal(t.dirs, 7);
		assert_int_equal(check_lookup(&im.dev, "/nobody", &ino),
				-ENOENT);
		assert_int_equal(check_lookup(&im.dev, "/d/hello/x", &ino),
				-ENOTDIR);
		chk_image_free(&im);
	}
}

struct attrs {
	unsigned int n;
	char got[512];
};

static int see_attr(void *ctx, const char *name, const void *value, size_t len)
{
	struct attrs *a = ctx;
	size_t at = strlen(a->got);

	a->n++;
	snprintf(a->got + at, sizeof(a->got) - at, "%s=%zu:%.5s;", name, len,
			(const char *)value);
	return 0;
}

static void attributes_devices_and_links_are_read(void **state)
{
	for (size_t i = 0; i < NFORMATS; i++) {
		struct chk_image im;
		struct attrs a = { 0 };
		struct check_stat st;
		char target[256] = { 0 };
		uint32_t ino;

		assert_int_equal(chk_image_make(&im, formats[i], 16u << 20), 0);
		assert_int_equal(check_lookup(&im.dev, "/d/again", &ino), 0);
		assert_int_equal(check_xattrs(&im.dev, ino, see_attr, &a), 0);
		assert_int_equal(a.n, 2);
		assert_non_null(strstr(a.got, "user.one=5:first;"));
		assert_non_null(strstr(a.got, "user.two=6:secon;"));
		a = (struct attrs){ 0 };
		assert_int_equal(check_lookup(&im.dev, "/big/long", &ino), 0);
		assert_int_equal(check_xattrs(&im.dev, ino, see_attr, &a), 0);
		assert_non_null(strstr(a.got, "user.big=400:1\n2\n3;"));
		assert_int_equal(check_lookup(&im.dev, "/d/blk", &ino), 0);
		assert_int_equal(check_stat(&im.dev, ino, &st), 0);
		assert_true(S_ISBLK(st.mode));
		assert_int_equal(st.rdev, 8ULL << 32 | 200);
		assert_int_equal(check_read_file(&im.dev, "/d/fast", 0, target,
						 sizeof(target)),
				5);
		assert_string_equal(target, "hello");
		assert_int_equal(check_read_file(&im.dev, "/d/slow", 0, target,
						 sizeof(target)),
				200);
		assert_int_equal(target[199], 'x');
		chk_image_free(&im);
	}
}

static int write_image(void *ctx, uint64_t pos, const void *buf, size_t len)
{
	struct chk_image *im = ctx;

	memcpy(im->mem + pos, buf, len);
	return pwrite(im->fd, buf, len, (off_t)pos) == (ssize_t)len ? 0 : -EIO;
}

static int first_run(void *ctx, const struct check_run *run)
{
	*(struct check_run *)ctx = *run;
	return 1;
}

static void expect_canary(const struct chk_image *im, const char *what)
{
	struct check_opts opts = { .flags = CHECK_F_CANARY };
	struct check_report rep;

	assert_int_equal(check_fs(&im->dev, &opts, &rep), 1);
	for (uint32_t i = 0; i < rep.kept; i++)
		if (strstr(rep.text[i], "canary:") && strstr(rep.text[i], what))
			return;
	check_print(&rep, stdout);
	fail_msg("no canary seen in: %s", what);
}

/* Plant the canary of block 7 at @pos, look, and take it away. */
static void plant(struct chk_image *im, uint64_t pos, const char *what)
{
	uint8_t word[8];

	put_le64(word, CHECK_CANARY ^ 7);
	for (unsigned int i = 0; i < 8; i++)
		chk_poke(im, pos + i, word[i]);
	expect_canary(im, what);
	chk_restore(im);
}

static void plant_all(struct chk_image *im)
{
	uint32_t bs = chk_block_size(im), ino;
	struct check_run run = { 0 };
	uint64_t pos;

	check_lookup(&im->dev, "/big/long", &ino);
	assert_int_equal(check_runs(&im->dev, ino, first_run, &run), 1);
	plant(im, run.pblk * bs + 800, "data");
	pos = chk_inode_pos(im, ino);
	if (get_le32(im->mem + pos + 0x68)) /* else all fit the inode */
		plant(im, get_le32(im->mem + pos + 0x68) * (uint64_t)bs + 512,
				"attribute block");
	check_lookup(&im->dev, "/many", &ino);
	check_runs(&im->dev, ino, first_run, &run);
	plant(im, run.pblk * bs + bs - 32, "directory");
	check_lookup(&im->dev, "/d/slow", &ino);
	check_runs(&im->dev, ino, first_run, &run);
	plant(im, run.pblk * bs + 400, "data");
	check_lookup(&im->dev, "/d/fast", &ino);
	plant(im, chk_inode_pos(im, ino) + 0x28 + 16, "inode");
	check_lookup(&im->dev, "/big/holes", &ino);
	pos = chk_inode_pos(im, ino) + 0x28;
	if (get_le32(im->mem + pos - 8) & 0x80000)
		plant(im, get_le32(im->mem + pos + 16) * (uint64_t)bs + bs - 16,
				"extent block");
	else
		plant(im, get_le32(im->mem + pos + 48) * (uint64_t)bs + bs - 16,
				"indirect block");
}

static void canaries_fill_free_space_and_are_seen(void **state)
{
	for (size_t i = 0; i < NFORMATS; i++) {
		struct check_opts opts = { .flags = CHECK_F_CANARY };
		struct check_report rep;
		struct chk_image im;

		assert_int_equal(chk_image_make(&im, formats[i], 16u << 20), 0);
		assert_int_equal(check_fs(&im.dev, &opts, &rep), 0);
		assert_int_equal(check_fill_free(&im.dev, write_image, &im),
				rep.free_blocks);
		assert_int_equal(check_fs(&im.dev, &opts, &rep), 0);
		assert_int_equal(chk_e2fsck(&im), 0);
		plant_all(&im);
		assert_int_equal(check_fs(&im.dev, &opts, &rep), 0);
		chk_image_free(&im);
	}
}

static void orphans_are_legal_when_asked_for(void **state)
{
	for (size_t i = 0; i < NFORMATS; i++) {
		struct check_opts opts = { .flags = CHECK_F_ORPHANS };
		struct check_report rep;
		struct chk_image im;
		uint32_t ino;

		assert_int_equal(chk_image_make(&im, formats[i], 16u << 20), 0);
		assert_int_equal(check_lookup(&im.dev, "/big/far", &ino), 0);
		/* Unlinked while open: no name, no links, first in the list. */
		assert_int_equal(
				chk_run("cd %s; { echo 'unlink /big/far';"
					"echo 'sif <%u> links_count 0';"
					"echo 'sif <%u> dtime 0';"
					"echo 'ssv last_orphan %u'; } >cmds;"
					"debugfs -w -f cmds %s >/dev/null 2>&1",
						im.dir, ino, ino, ino, im.path),
				0);
		assert_int_equal(chk_image_reload(&im), 0);
		assert_int_equal(check_fs(&im.dev, NULL, &rep), 1);
		if (check_fs(&im.dev, &opts, &rep) != 0)
			check_print(&rep, stdout);
		assert_int_equal(rep.count, 0);
		assert_int_equal(rep.orphans, 1);
		chk_image_free(&im);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(walk_sees_the_source_tree),
		cmocka_unit_test(attributes_devices_and_links_are_read),
		cmocka_unit_test(canaries_fill_free_space_and_are_seen),
		cmocka_unit_test(orphans_are_legal_when_asked_for),
	};

	if (!chk_have_e2fsprogs()) {
		printf("skipped: e2fsprogs is not installed\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
