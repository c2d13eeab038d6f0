/* SPDX-License-Identifier: MIT */
/*
 * A directory that moved into one with as many subdirectories as it can count
 * was entered there first and refused after: the rename was half done.
 */
#include <errno.h>

#include "bug.h"

/* A count of links that is full, but false: for a test of what is refused. */
static void fill(struct bug *b, const char *dir)
{
	assert_int_equal(env_sh("debugfs -w -R 'set_inode_field %s "
				"links_count 65000' %s >%s 2>&1",
					 dir, b->e.img, b->e.out),
			0);
}

static void rename_of_a_directory_into_a_full_one_changes_nothing(void **state)
{
	struct bug b;

	bug_open(&b, "ext4-1k-linear", NULL);
	assert_int_equal(env_mkdir(&b.e, "/from", 0755), 0);
	assert_int_equal(env_mkdir(&b.e, "/from/d", 0755), 0);
	assert_int_equal(env_mkdir(&b.e, "/full", 0755), 0);
	assert_int_equal(env_mkdir(&b.e, "/full/old", 0755), 0);
	assert_int_equal(env_create(&b.e, "/full/f", 0644), 0);
	assert_int_equal(bug_unmount(&b), 0);
	fill(&b, "/full");

	bug_mount(&b);
	assert_int_equal(env_rename(&b.e, "/from/d", "/full/d", 0), -EMLINK);
	assert_int_equal(env_exists(&b.e, "/full/d"), -ENOENT);
	assert_int_equal(env_exists(&b.e, "/from/d"), 0);
	assert_int_equal(env_rename(&b.e, "/from/d", "/full/f",
					 UEXT4_RENAME_EXCHANGE),
			-EMLINK);
	assert_int_equal(env_stat(&b.e, "/from/d").mode, 0040755);
	/* One comes, one goes. */
	assert_int_equal(env_mkdir(&b.e, "/from/e", 0755), 0);
	assert_int_equal(env_rename(&b.e, "/from/e", "/full/old",
					 UEXT4_RENAME_EXCHANGE),
			0);
	assert_int_equal(env_rename(&b.e, "/from/d", "/full/old", 0), 0);
	assert_int_equal(env_stat(&b.e, "/full").nlink, 65000);
	bug_close(&b, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
				rename_of_a_directory_into_a_full_one_changes_nothing),
	};

	if (!env_tools())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
