/* SPDX-License-Identifier: MIT */
/*
 * ZERO_RANGE gave blocks to all holes of its range, also to one for whose page
 * write-back had chosen a block already and was writing there. Write-back then
 * found the place taken, and fsync told of EEXIST.
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
	return (void *)(intptr_t)uext4_sync_range(file, 0, UINT64_MAX);
}

static void *zero(void *file)
{
	return (void *)(intptr_t)uext4_fallocate(file, UEXT4_FALLOC_ZERO_RANGE,
			UINT64_C(4) << 12, UINT64_C(4) << 12);
}

static void zero_range_waits_for_what_write_back_maps(void **state)
{
	pthread_t flusher, zeroer;
	void *flushed, *zeroed;
	struct uext4_file *f;
	struct bug b;

	bug_open(&b, "ext4-4k-full", NULL);
	assert_int_equal(b.e.bs, 4096);
	f = env_open(&b.e, "/f", UEXT4_O_RDWR | UEXT4_O_CREAT);
	env_fill(f, 5 * b.e.bs, 2 * b.e.bs, 'x');
	bdev_emu_set_gate(b.dev, hold_data, NULL);
	assert_int_equal(pthread_create(&flusher, NULL, flush, f), 0);
	while (!atomic_load(&gate.held))
		usleep(1000);

	assert_int_equal(pthread_create(&zeroer, NULL, zero, f), 0);
	usleep(100000); /* until it waits for the page */
	atomic_store(&gate.open, 1);
	pthread_join(flusher, &flushed);
	pthread_join(zeroer, &zeroed);
	bdev_emu_set_gate(b.dev, NULL, NULL);

	assert_int_equal((intptr_t)flushed, 0);
	assert_int_equal((intptr_t)zeroed, 0);
	assert_int_equal(uext4_fsync(f), 0);
	env_expect(f, 0, 8 * b.e.bs, 0);
	env_close(f);
	bug_close(&b, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(zero_range_waits_for_what_write_back_maps),
	};

	if (!env_tools())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
