/* SPDX-License-Identifier: MIT */
/*
 * After a forced shutdown, unmounting still wrote dirty pages over the blocks
 * of their file. Nothing may reach the device any more: a shutdown stands for
 * a power cut.
 */
#include "bug.h"

static void shut_down_and_count(enum uext4_shutdown_mode mode)
{
	struct uext4_file *f;
	struct bug b;
	uint64_t n;

	bug_open(&b, "ext4-4k-full", NULL);
	f = env_open(&b.e, "/f", UEXT4_O_RDWR | UEXT4_O_CREAT);
	env_fill(f, 0, 10 * b.e.bs, 'o');
	assert_int_equal(uext4_fsync(f), 0);
	env_fill(f, 0, 10 * b.e.bs, 'n');
	env_fill(f, 20 * b.e.bs, 10 * b.e.bs, 'n');
	assert_int_equal(uext4_shutdown(b.e.fs, mode), 0);
	env_close(f);
	n = bug_count(&b, BDEV_WRITE);
	(void)!uext4_unmount(b.e.fs);
	b.e.fs = NULL;
	assert_int_equal(bug_count(&b, BDEV_WRITE), n);

	bug_mount(&b);
	f = env_open(&b.e, "/f", UEXT4_O_RDONLY);
	env_expect(f, 0, 10 * b.e.bs, 'o');
	env_close(f);
	bug_close(&b, true);
}

static void nothing_is_written_after_a_shutdown(void **state)
{
	shut_down_and_count(UEXT4_SHUTDOWN_NOLOGFLUSH);
	shut_down_and_count(UEXT4_SHUTDOWN_LOGFLUSH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_written_after_a_shutdown),
	};

	if (!env_tools())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
