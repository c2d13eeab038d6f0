/* SPDX-License-Identifier: MIT */
/*
 * The first attribute of a file system sets ext_attr in the superblock, else
 * e2fsck takes the attribute's block away. Revision 0 has no features, hence
 * no attributes.
 */
#include <errno.h>

#include "env.h"

static int try_xattr(struct env *e)
{
	char big[600];

	memset(big, 'x', sizeof(big));
	assert_int_equal(env_create(e, "/f", 0644), 0);
	return env_setxattr(e, "/f", "user.big", big, sizeof(big), 0);
}

static int teardown(void **state)
{
	env_free(*state);
	return 0;
}

static void first_xattr_sets_ext_attr(void **state)
{
	static const struct env_profile p = { "no ext_attr",
		"-t ext4 -b 1024 -I 128 -O ^ext_attr", 1024, 0 };
	struct uext4_info info;
	struct env *e = *state;

	env_make(e, &p, "16M");
	assert_int_equal(uext4_info(e->fs, &info), 0);
	assert_null(strstr(info.features, "ext_attr"));
	assert_int_equal(try_xattr(e), 0);
	env_remount(e);
	assert_int_equal(uext4_info(e->fs, &info), 0);
	assert_non_null(strstr(info.features, "ext_attr"));
	env_end(e);
}

static void revision_0_has_no_xattrs(void **state)
{
	static const struct env_profile p = { "revision 0",
		"-t ext2 -r 0 -b 1024 -O none", 1024, 0 };
	struct env *e = *state;

	env_make(e, &p, "16M");
	assert_int_equal(try_xattr(e), -EOPNOTSUPP);
	env_end(e);
}

int main(void)
{
	static struct env e;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_prestate_setup_teardown(
				first_xattr_sets_ext_attr, NULL, teardown, &e),
		cmocka_unit_test_prestate_setup_teardown(
				revision_0_has_no_xattrs, NULL, teardown, &e),
	};

	if (!env_tools())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
