/* SPDX-License-Identifier: MIT */
/*
 * A log that is dirty although the superblock does not ask for recovery was
 * replayed. Somebody wiped the flag on purpose, or wrote to the image since;
 * the log is old: Linux throws it away.
 */
#include <errno.h>

#include "bug.h"

/* The image of a power cut: /f exists in the log alone. */
static void make_dirty(struct bug *b)
{
	bug_image(b, "ext4-4k-full", NULL);
	bug_mount(b);
	assert_int_equal(bdev_emu_record(b->dev), 0);
	assert_int_equal(env_create(&b->e, "/f", 0644), 0);
	assert_int_equal(uext4_sync(b->e.fs), 0);
	bug_cut(b);
}

static void forget_recovery(struct bug *b)
{
	assert_int_equal(env_sh("debugfs -w -R 'feature -needs_recovery' "
				"%s >%s 2>&1",
					 b->e.img, b->e.out),
			0);
}

static void log_is_replayed_where_asked_for(void **state)
{
	struct bug b;

	make_dirty(&b);
	bug_mount(&b);
	assert_int_equal(env_exists(&b.e, "/f"), 0);
	bug_close(&b, true);
}

static void log_is_thrown_away_where_not(void **state)
{
	struct bug b;

	make_dirty(&b);
	forget_recovery(&b);
	bug_mount(&b);
	assert_int_equal(env_exists(&b.e, "/f"), -ENOENT);
	assert_int_equal(env_create(&b.e, "/g", 0644), 0);
	bug_remount(&b);
	assert_int_equal(env_exists(&b.e, "/f"), -ENOENT);
	assert_int_equal(env_exists(&b.e, "/g"), 0);
	bug_close(&b, true);
}

static void reader_does_not_look_at_it_either(void **state)
{
	struct bug b;

	make_dirty(&b);
	forget_recovery(&b);
	b.opts.flags |= UEXT4_MNT_RDONLY;
	bug_mount(&b);
	assert_int_equal(env_exists(&b.e, "/f"), -ENOENT);
	assert_int_equal(bug_count(&b, BDEV_WRITE), 0);
	bug_close(&b, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(log_is_replayed_where_asked_for),
		cmocka_unit_test(log_is_thrown_away_where_not),
		cmocka_unit_test(reader_does_not_look_at_it_either),
	};

	if (!env_tools())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
