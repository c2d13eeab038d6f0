/* SPDX-License-Identifier: MIT */
/*
 * The checker on large directories: indexes of two levels, every hash, names
 * that tell signed from unsigned characters.
 */
#include "check/chk_image.h"

#include "base/le.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define NNAMES 900

static const struct {
	const char *hash;
	unsigned int flags; /* s_flags: 1 signed, 2 unsigned characters */
} hashes[] = {
	{ "legacy", 1 },
	{ "legacy", 2 },
	{ "half_md4", 1 },
	{ "half_md4", 2 },
	{ "tea", 1 },
	{ "tea", 2 },
};

/* Files with long names, half of them not ASCII, in @dir. */
static void make_names(const char *dir)
{
	char path[512];

	for (unsigned int i = 0; i < NNAMES; i++) {
		int n = snprintf(path, sizeof(path), "%s/%u_", dir, i);
		unsigned int len = 120 + i % 97;
		int fd;

		for (unsigned int k = 0; k < len; k++)
			path[n++] = (char)(i % 2 ? 'a' + k % 26
						 : 128 + (k * 7) % 127);
		path[n] = 0;
		fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
		assert_true(fd >= 0);
		close(fd);
	}
}

static void make_image(struct chk_image *im, const char *args, size_t h)
{
	char names[96];

	assert_int_equal(chk_image_make(im, args, 8u << 20), 0);
	snprintf(names, sizeof(names), "%s/n", im->dir);
	assert_int_equal(chk_run("mkdir %s", names), 0);
	make_names(names);
	assert_int_equal(chk_run("mke2fs -q -F -d %s %s %s &&"
				 "tune2fs -E hash_alg=%s %s >/dev/null &&"
				 "debugfs -w -R 'ssv flags %u' %s 2>/dev/null",
					 names, args, im->path, hashes[h].hash,
					 im->path, hashes[h].flags, im->path),
			0);
	chk_run("e2fsck -fyD %s >/dev/null 2>&1", im->path);
	assert_int_equal(chk_image_reload(im), 0);
}

static int first_run(void *ctx, const struct check_run *run)
{
	*(struct check_run *)ctx = *run;
	return 1;
}

static void every_hash_and_depth_is_sound(void **state)
{
	for (size_t h = 0; h < sizeof(hashes) / sizeof(*hashes); h++) {
		const char *args = h % 2 ? "-t ext4 -b 1024 -N 1200"
					 : "-t ext2 -b 1024 -N 1200";
		struct check_run run = { 0 };
		struct check_report rep;
		struct chk_image im;

		make_image(&im, args, h);
		assert_int_equal(chk_e2fsck(&im), 0);
		if (check_fs(&im.dev, NULL, &rep) != 0)
			check_print(&rep, stdout);
		assert_int_equal(rep.count, 0);
		assert_int_equal(check_runs(&im.dev, 2, first_run, &run), 1);
		/* The index must be one of two levels to prove anything. */
		assert_int_equal(im.mem[run.pblk * 1024 + 0x1e], 1);
		chk_image_free(&im);
	}
}

/*
 * e2fsck compares leaves with the entry above them, not with the levels above
 * that one: a search from the root would miss those names all the same.
 */
static bool knows_better(const struct check_report *rep)
{
	return strstr(rep->text[0], "index: hash out of range") ||
			strstr(rep->text[0], "hash outside of the leaf");
}

/* Each byte of the first index blocks; both must say the same. */
static void index_pokes_are_judged_as_e2fsck_does(void **state)
{
	struct check_run run = { 0 };
	struct chk_image im;
	unsigned int bad = 0;

	make_image(&im, "-t ext4 -b 1024 -N 1200 -O ^metadata_csum", 2);
	assert_int_equal(check_runs(&im.dev, 2, first_run, &run), 1);
	for (unsigned int i = 0; i < 240; i++) {
		uint32_t node = get_le32(im.mem + run.pblk * 1024 + 0x24);
		uint64_t blk = run.pblk +
				(i % 3 == 0 ? 0
								: i % 3 == 1
								? node
								: 1);
		uint64_t pos = blk * 1024 + (i % 3 == 0 ? 0x18 : 0) + i / 3;
		struct check_report rep;
		int ours, theirs;

		chk_poke(&im, pos, (uint8_t)(im.mem[pos] ^ (1u << i % 8)));
		ours = check_fs(&im.dev, NULL, &rep);
		theirs = chk_e2fsck(&im);
		assert_true(ours >= 0 && theirs >= 0);
		if (theirs == ours || (ours && knows_better(&rep))) {
			chk_restore(&im);
			continue;
		}
		bad++;
		print_message("block %u + %#jx: e2fsck %d, we %s\n",
				(unsigned int)(blk - run.pblk),
				(uintmax_t)pos % 1024, theirs,
				ours ? rep.text[0] : "are content");
		chk_restore(&im);
	}
	chk_image_free(&im);
	assert_int_equal(bad, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_hash_and_depth_is_sound),
		cmocka_unit_test(index_pokes_are_judged_as_e2fsck_does),
	};

	if (!chk_have_e2fsprogs()) {
		printf("skipped: e2fsprogs is not installed\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
