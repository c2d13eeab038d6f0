/* SPDX-License-Identifier: MIT */
/*
 * A file that grew past 2 GiB on an image without the feature large_file left
 * the superblock as it was; e2fsck then finds a large file where none may be.
 */
#include "bug.h"

#define GIB (UINT64_C(1) << 30)

/* No resize_inode either, which is a large file itself. */
static void make_without(struct bug *b)
{
	bug_image(b, "ext4-4k-i128", NULL);
	assert_int_equal(env_sh("debugfs -w -R 'feature -large_file' %s "
				">%s 2>&1",
					 b->e.img, b->e.out),
			0);
	bug_mount(b);
}

static void judge_and_look(struct bug *b)
{
	assert_int_equal(bug_unmount(b), 0);
	assert_int_equal(env_sh("dumpe2fs -h %s 2>/dev/null | "
				"grep -qw large_file",
					 b->e.img),
			0);
	bug_close(b, true);
}

static void large_write_says_so(void **state)
{
	struct uext4_file *f;
	struct bug b;

	make_without(&b);
	f = env_open(&b.e, "/f", UEXT4_O_RDWR | UEXT4_O_CREAT);
	env_fill(f, 2 * GIB - 1, 1, 'x');
	env_close(f);
	judge_and_look(&b);
}

static void large_direct_append_says_so(void **state)
{
	struct uext4_file *f;
	struct bug b;

	make_without(&b);
	f = env_open(&b.e, "/f", UEXT4_O_RDWR | UEXT4_O_CREAT | UEXT4_O_DIRECT);
	env_fill(f, 2 * GIB, 4096, 'x');
	env_close(f);
	judge_and_look(&b);
}

static void large_truncate_says_so(void **state)
{
	struct uext4_file *f;
	struct bug b;

	make_without(&b);
	f = env_open(&b.e, "/f", UEXT4_O_RDWR | UEXT4_O_CREAT);
	assert_int_equal(uext4_ftruncate(f, 3 * GIB), 0);
	env_close(f);
	judge_and_look(&b);
}

static void large_fallocate_says_so(void **state)
{
	struct uext4_file *f;
	struct bug b;

	make_without(&b);
	f = env_open(&b.e, "/f", UEXT4_O_RDWR | UEXT4_O_CREAT);
	assert_int_equal(uext4_fallocate(f, 0, 2 * GIB - 4096, 8192), 0);
	env_close(f);
	judge_and_look(&b);
}

static void small_file_does_not(void **state)
{
	struct uext4_file *f;
	struct bug b;

	make_without(&b);
	f = env_open(&b.e, "/f", UEXT4_O_RDWR | UEXT4_O_CREAT);
	env_fill(f, 2 * GIB - 2, 1, 'x');
	env_close(f);
	assert_int_equal(bug_unmount(&b), 0);
	assert_int_not_equal(env_sh("dumpe2fs -h %s 2>/dev/null | "
				    "grep -qw large_file",
					     b.e.img),
			0);
	bug_close(&b, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(large_write_says_so),
		cmocka_unit_test(large_direct_append_says_so),
		cmocka_unit_test(large_truncate_says_so),
		cmocka_unit_test(large_fallocate_says_so),
		cmocka_unit_test(small_file_does_not),
	};

	if (!env_tools())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
