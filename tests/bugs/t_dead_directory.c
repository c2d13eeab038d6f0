/* SPDX-License-Identifier: MIT */
/*
 * A directory that was removed while somebody held it still names its parent,
 * which may be gone as well. To follow that name was taken for damage, and the
 * whole file system turned read-only.
 */
#include <errno.h>

#include "bug.h"

/* /p/d is removed, then /p; d is held. */
static struct uext4_node *dead(struct bug *b)
{
	struct uext4_node *d;

	bug_open(b, "ext4-4k-full", NULL);
	assert_int_equal(env_mkdir(&b->e, "/p", 0755), 0);
	assert_int_equal(env_mkdir(&b->e, "/p/d", 0755), 0);
	assert_int_equal(env_mkdir(&b->e, "/q", 0755), 0);
	assert_int_equal(env_create(&b->e, "/q/f", 0644), 0);
	d = env_node(&b->e, "/p/d");
	assert_int_equal(env_rmdir(&b->e, "/p/d"), 0);
	assert_int_equal(env_rmdir(&b->e, "/p"), 0);
	return d;
}

static void alive(struct bug *b, struct uext4_node *d)
{
	uext4_node_put(d);
	assert_int_equal(env_create(&b->e, "/alive", 0644), 0);
	bug_close(b, true);
}

static void path_from_a_dead_directory_finds_nothing(void **state)
{
	struct uext4_node *n;
	struct bug b;
	struct uext4_node *d = dead(&b);

	assert_int_equal(uext4_resolve(b.e.fs, d, "..", 0, NULL, &n), -ENOENT);
	assert_int_equal(
			uext4_resolve(b.e.fs, d, "../x", 0, NULL, &n), -ENOENT);
	assert_int_equal(uext4_lookup(d, "..", NULL, &n), -ENOENT);
	assert_int_equal(uext4_resolve(b.e.fs, d, ".", 0, NULL, &n), 0);
	uext4_node_put(n);
	alive(&b, d);
}

static void rename_into_a_dead_directory_finds_nothing(void **state)
{
	struct bug b;
	struct uext4_node *d = dead(&b);
	struct uext4_node *root = env_node(&b.e, "/");
	struct uext4_node *q = env_node(&b.e, "/q");

	assert_int_equal(uext4_rename(root, "q", d, "q", 0, NULL), -ENOENT);
	assert_int_equal(uext4_rename(q, "f", d, "f", 0, NULL), -ENOENT);
	assert_int_equal(uext4_rename(d, "f", q, "g", 0, NULL), -ENOENT);
	assert_int_equal(uext4_rename(d, "f", d, "g", 0, NULL), -ENOENT);
	uext4_node_put(q);
	uext4_node_put(root);
	alive(&b, d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(path_from_a_dead_directory_finds_nothing),
		cmocka_unit_test(rename_into_a_dead_directory_finds_nothing),
	};

	if (!env_tools())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
