/* SPDX-License-Identifier: MIT */
/*
 * Names that no directory may have are never handed out: '/' and NUL in them,
 * dots where they do not belong. The blocks are changed behind the library's
 * back, on file systems without checksums.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "ro.h"

static int teardown(void **state)
{
	env_free(*state);
	return 0;
}

struct seen {
	unsigned dots, names;
};

static int see(void *ctx, const struct uext4_dirent *d)
{
	struct seen *s = ctx;

	assert_int_equal(strlen(d->name), d->len);
	assert_true(d->len > 0);
	assert_null(strchr(d->name, '/'));
	if (strcmp(d->name, ".") == 0 || strcmp(d->name, "..") == 0)
		s->dots++;
	else
		s->names++;
	return 0;
}

/* With an index of e2fsck's if @index: what perl's @edit makes of the whole image, @want of reading "/d". */
static void expect(struct env *e, const char *opts, unsigned names, bool index,
		const char *edit, int want)
{
	struct seen s = { 0 };
	struct uext4_node *dir;
	char script[256];
	int ret;

	if (env_sh("command -v perl >/dev/null") != 0)
		skip();
	(void)snprintf(script, sizeof(script),
			"mkdir d; cd d; for i in $(seq %u); do"
			"  : >n$i; done; : >xQZx; : >QZ; : >Q",
			names);
	ro_image(e, opts, "16M", script);
	env_unmount(e);
	if (index)
		assert_true(env_sh("e2fsck -fyD %s >%s 2>&1; "
				   "debugfs -R 'htree_dump d' %s 2>/dev/null | "
				   "grep -q 'Indirect levels'",
					    e->img, e->out, e->img) == 0);
	assert_int_equal(env_sh("perl -0777 -pi -e '%s' %s", edit, e->img), 0);
	env_mount(e);
	dir = env_node(e, "/d");
	ret = uext4_readdir(dir, 0, see, &s);
	uext4_node_put(dir);
	if (ret != want || s.dots > 2)
		fail_msg("%s: %d, not %d; %u dots, %u names", edit, ret, want,
				s.dots, s.names);
	if (want == 0)
		assert_int_equal(s.dots, 2);
	env_free(e);
}

static void expect_all(
		struct env *e, const char *opts, unsigned names, bool index)
{
	/* name length, type, name */
	expect(e, opts, names, index, "1", 0);
	expect(e, opts, names, index, "s!\\x04\\x01xQZx!\\x04\\x01x/Zx!",
			-EUCLEAN);
	expect(e, opts, names, index, "s!\\x04\\x01xQZx!\\x04\\x01x\\x00Zx!",
			-EUCLEAN);
	expect(e, opts, names, index, "s!\\x04\\x01xQZx!\\x00\\x01xQZx!",
			-EUCLEAN);
	expect(e, opts, names, index, "s!\\x02\\x01QZ!\\x02\\x01..!", -EUCLEAN);
	expect(e, opts, names, index, "s!\\x01\\x01Q!\\x01\\x01.!", -EUCLEAN);
}

static void linear(void **state)
{
	expect_all(*state, "-t ext2 -b 1024 -O ^dir_index", 10, false);
	expect_all(*state, "-t ext2 -b 1024 -O ^dir_index", 300, false);
}

static void one_block_of_hashed(void **state)
{
	expect_all(*state, "-t ext2 -b 1024", 10, false);
}

static void hashed(void **state)
{
	expect_all(*state, "-t ext2 -b 1024", 300, true);
}

int main(int argc, char **argv)
{
	static struct env e;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_prestate_setup_teardown(
				linear, NULL, teardown, &e),
		cmocka_unit_test_prestate_setup_teardown(
				one_block_of_hashed, NULL, teardown, &e),
		cmocka_unit_test_prestate_setup_teardown(
				hashed, NULL, teardown, &e),
	};

	if (!env_tools())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
