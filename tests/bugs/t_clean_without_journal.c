/* SPDX-License-Identifier: MIT */
/*
 * uext4_info() says whether the file system was unmounted cleanly, not whether
 * the mark that says so is set now: without a journal a mount clears it.
 */
#include "env.h"

static void clean_is_what_was_found(struct env *e)
{
	struct uext4_info info;

	assert_int_equal(uext4_info(e->fs, &info), 0);
	assert_true(info.clean);
	assert_int_equal(env_mkdir(e, "/d", 0755), 0);
	env_cut(e);
	env_mount(e);
	assert_int_equal(uext4_info(e->fs, &info), 0);
	assert_int_equal(info.clean, (e->p->has & ENV_JOURNAL) != 0);
	env_unmount(e);
	(void)env_sh("e2fsck -fy %s >%s 2>&1", e->img, e->out);
	env_mount(e);
	assert_int_equal(uext4_info(e->fs, &info), 0);
	assert_true(info.clean);
}

int main(int argc, char **argv)
{
	static const struct env_case cases[] = {
		{ .name = "clean_is_what_was_found",
				.body = clean_is_what_was_found },
	};

	return env_run("clean_without_journal", cases, 1, argc, argv);
}
