/* SPDX-License-Identifier: MIT */
/*
 * A truncate looked for blocks beyond the new size, found none, and did not
 * look again after it had waited for a page that was being written back: that
 * page had got a block meanwhile. The block stayed, written, beyond the end of
 * the file (I4).
 */
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "bug.h"

static struct gate {
	atomic_int held;
	atomic_int open;
} gate;

static void hold_data(void *ctx, const struct bdev_io *io)
{
	(void)ctx;
	if (io->op != BDEV_WRITE || (io->tag & 0xff) != BDEV_TAG_DATA)
		return;
	atomic_store(&gate.held, 1);
	while (!atomic_load(&gate.open))
		usleep(1000);
}

static void *flush(void *file)
{
	(void)!uext4_sync_range(file, 0, UINT64_MAX);
	return NULL;
}

static void *cut_short(void *file)
{
	assert_int_equal(uext4_ftruncate(file, 0), 0);
	return NULL;
}

static void truncate_frees_what_write_back_maps(void **state)
{
	pthread_t flusher, cutter;
	struct uext4_file *f;
	struct bug b;

	bug_open(&b, "ext4-4k-full", NULL);
	f = env_open(&b.e, "/f", UEXT4_O_RDWR | UEXT4_O_CREAT);
	env_fill(f, 5 * b.e.bs, 2 * b.e.bs, 'x');
	bdev_emu_set_gate(b.dev, hold_data, NULL);
	assert_int_equal(pthread_create(&flusher, NULL, flush, f), 0);
	while (!atomic_load(&gate.held))
		usleep(1000);

	assert_int_equal(pthread_create(&cutter, NULL, cut_short, f), 0);
	usleep(100000); /* until it waits for the page */
	atomic_store(&gate.open, 1);
	pthread_join(flusher, NULL);
	pthread_join(cutter, NULL);
	bdev_emu_set_gate(b.dev, NULL, NULL);

	assert_int_equal(env_stat(&b.e, "/f").sectors, 0);
	env_close(f);
	bug_close(&b, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(truncate_frees_what_write_back_maps),
	};

	if (!env_tools())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
