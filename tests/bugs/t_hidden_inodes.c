/* SPDX-License-Identifier: MIT */
/*
 * The orphan file has an ordinary inode number. A directory entry that names
 * it, as a damaged image may have, opened it to everybody.
 */
#include <errno.h>

#include "bug.h"

static void orphan_file_has_no_name(void **state)
{
	struct uext4_node *n;
	struct bug b;

	bug_image(&b, "ext4-4k-full", NULL);
	assert_int_equal(env_sh("debugfs -w -R \"ln <$(dumpe2fs -h %s "
				"2>/dev/null | sed -n 's/^Orphan file inode: "
				"*//p')> x\" %s >%s 2>&1",
					 b.e.img, b.e.img, b.e.out),
			0);
	b.opts.errors = UEXT4_ERRORS_CONTINUE;
	bug_mount(&b);
	assert_int_equal(env_exists(&b.e, "/x"), -EUCLEAN);
	assert_int_equal(env_unlink(&b.e, "/x"), -EUCLEAN);
	assert_int_equal(uext4_node_get(b.e.fs, 12, 0, &n), -ESTALE);
	bug_close(&b, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(orphan_file_has_no_name),
	};

	if (!env_tools())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
