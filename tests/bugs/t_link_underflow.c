/* SPDX-License-Identifier: MIT */
/*
 * An inode with one link and two names, as a damaged image has it: the second
 * unlink, with the file open, counted from 0 down to 65535.
 */
#include <errno.h>

#include "bug.h"

static void second_name_of_a_single_link_is_damage(void **state)
{
	struct uext4_file *f;
	struct bug b;

	bug_open(&b, "ext4-4k-full", NULL);
	assert_int_equal(env_create(&b.e, "/a", 0644), 0);
	assert_int_equal(env_mkdir(&b.e, "/d", 0755), 0);
	assert_int_equal(bug_unmount(&b), 0);
	assert_int_equal(env_sh("debugfs -w -R 'ln a b' %s >%s 2>&1", b.e.img,
					 b.e.out),
			0);
	b.opts.errors = UEXT4_ERRORS_CONTINUE;
	bug_mount(&b);
	f = env_open(&b.e, "/a", UEXT4_O_RDWR);
	assert_int_equal(env_unlink(&b.e, "/a"), 0);
	assert_int_equal(env_unlink(&b.e, "/b"), -EUCLEAN);
	assert_int_equal(env_rename(&b.e, "/b", "/c", 0), -EUCLEAN);
	assert_int_equal(env_rename(&b.e, "/d", "/b", 0), -EUCLEAN);
	env_close(f);
	bug_close(&b, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(second_name_of_a_single_link_is_damage),
	};

	if (!env_tools())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
