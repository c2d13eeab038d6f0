/* SPDX-License-Identifier: MIT */
/*
 * A direct write that extends the file and fails may have put bytes behind the
 * end of the file, into its last block. The inode was still known to have
 * zeroes there, so a later truncate upwards showed them (W17, I4).
 */
#include <errno.h>
#include <stdlib.h>

#include "bug.h"

static void failed_extension_leaves_zeroes_behind_eof(void **state)
{
	struct emu_fault fault = {
		.ops = EMU_OP(BDEV_WRITE),
		.tags = 1u << BDEV_TAG_DATA,
		.nth = 2,
		.err = -EIO,
	};
	struct uext4_file *f, *g;
	struct bug b;
	void *buf;

	bug_open(&b, "ext4-4k-full", NULL);
	f = env_open(&b.e, "/f", UEXT4_O_RDWR | UEXT4_O_CREAT | UEXT4_O_DIRECT);
	g = env_open(&b.e, "/g", UEXT4_O_RDWR | UEXT4_O_CREAT);
	env_fill(f, 0, 512, 'a');
	/* The next block of f lies elsewhere: two requests. */
	assert_int_equal(uext4_fallocate(g, 0, 0, 4 << 20), 0);
	buf = env_alloc(b.e.bs, 'b');
	assert_int_equal(bdev_emu_fault_add(b.dev, &fault), 0);
	assert_int_equal(uext4_pwrite(f, buf, b.e.bs, 512), -EIO);
	bdev_emu_fault_clear(b.dev);
	free(buf);
	assert_int_equal(env_size(f), 512);

	assert_int_equal(uext4_ftruncate(f, 3 * b.e.bs), 0);
	env_close(f);
	env_close(g);
	f = env_open(&b.e, "/f", UEXT4_O_RDWR);
	env_expect(f, 0, 512, 'a');
	env_expect(f, 512, 3 * b.e.bs - 512, 0);
	env_close(f);
	bug_close(&b, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(failed_extension_leaves_zeroes_behind_eof),
	};

	if (!env_tools())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
