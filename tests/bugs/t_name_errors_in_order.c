/* SPDX-License-Identifier: MIT */
/*
 * Where a link or a rename is wrong in two ways, the error is the kernel's:
 * what is said about the names comes before what is said about the inodes.
 */
#include <errno.h>

#include "env.h"

static void link_of_directory_over_a_name_is_eexist(struct env *e)
{
	assert_int_equal(env_mkdir(e, "/d", 0755), 0);
	assert_int_equal(env_create(e, "/f", 0644), 0);

	assert_int_equal(env_link(e, "/d", "/f"), -EEXIST);
	assert_int_equal(env_link(e, "/d", "/d"), -EEXIST);
	assert_int_equal(env_link(e, "/d", "/d/x"), -EPERM);
}

static void rename_flags_come_before_the_tree(struct env *e)
{
	assert_int_equal(env_mkdir(e, "/d", 0755), 0);
	assert_int_equal(env_mkdir(e, "/d/s", 0755), 0);
	assert_int_equal(env_create(e, "/d/s/f", 0644), 0);

	assert_int_equal(
			env_rename(e, "/d", "/d/s/none", UEXT4_RENAME_EXCHANGE),
			-ENOENT);
	assert_int_equal(env_rename(e, "/d", "/d/s/f", UEXT4_RENAME_NOREPLACE),
			-EEXIST);
	assert_int_equal(env_rename(e, "/d/s/f", "/d", UEXT4_RENAME_NOREPLACE),
			-EEXIST);
	assert_int_equal(env_rename(e, "/d", "/d/s/none", 0), -EINVAL);
	assert_int_equal(env_rename(e, "/d/s/f", "/d", 0), -ENOTEMPTY);
}

int main(int argc, char **argv)
{
	static const struct env_case cases[] = {
		{ .name = "link_of_directory_over_a_name_is_eexist",
				.body = link_of_directory_over_a_name_is_eexist,
				.only = "ext4-4k-csum" },
		{ .name = "rename_flags_come_before_the_tree",
				.body = rename_flags_come_before_the_tree,
				.only = "ext4-4k-csum" },
	};

	return env_run("name_errors_in_order", cases, 2, argc, argv);
}
