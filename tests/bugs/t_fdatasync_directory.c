/* SPDX-License-Identifier: MIT */
/*
 * fdatasync of a directory waited for nothing but blocks that were added to
 * it. Names that were made or removed in those it had could be lost in a power
 * cut. sqlite3 removes its rollback journal and then calls fdatasync on the
 * directory: the journal was back, and undid what had been committed.
 */
#include <unistd.h>

#include "bug.h"

static void datasync(struct bug *b, const char *path)
{
	struct uext4_node *node = env_node(&b->e, path);

	assert_int_equal(uext4_node_fsync(node, true), 0);
	uext4_node_put(node);
}

static bool is_there(struct bug *b, const char *path)
{
	struct uext4_node *node;
	int ret = uext4_resolve(b->e.fs, NULL, path, 0, NULL, &node);

	if (ret == -ENOENT)
		return false;
	assert_int_equal(ret, 0);
	uext4_node_put(node);
	return true;
}

static void names_outlive_a_cut_after_fdatasync(void **state)
{
	struct bug b;

	(void)state;
	bug_open(&b, "ext4-4k-full", NULL);
	assert_int_equal(env_mkdir(&b.e, "/d", 0755), 0);
	assert_int_equal(env_create(&b.e, "/d/old", 0644), 0);
	assert_int_equal(uext4_sync(b.e.fs), 0);
	assert_int_equal(bdev_emu_record(b.dev), 0);

	assert_int_equal(env_create(&b.e, "/d/new", 0644), 0);
	assert_int_equal(env_unlink(&b.e, "/d/old"), 0);
	datasync(&b, "/d");
	bug_cut(&b);

	bug_mount(&b);
	assert_true(is_there(&b, "/d/new"));
	assert_false(is_there(&b, "/d/old"));
	bug_close(&b, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_outlive_a_cut_after_fdatasync),
	};

	if (!env_tools())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
