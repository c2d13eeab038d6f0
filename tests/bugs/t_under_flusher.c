/* SPDX-License-Identifier: MIT */
/*
 * The map is changed while a flusher writes pages for which it has chosen
 * blocks that the map does not know yet.
 *
 * A truncate looked for blocks beyond the new size, found none, and did not
 * look again after it had waited for a page that was being written back: that
 * page had got a block meanwhile. The block stayed, written, beyond the end of
 * the file (I4).
 *
 * ZERO_RANGE gave blocks to all holes of its range, also to that of such a
 * page. Write-back then found the place taken, and fsync told of EEXIST.
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

static void *cut_short(void *file)
{
	return (void *)(intptr_t)uext4_ftruncate(file, 0);
}

static void *zero(void *file)
{
	return (void *)(intptr_t)uext4_fallocate(
			file, UEXT4_FALLOC_ZERO_RANGE, 0, 1 << 20);
}

/* Blocks 5 and 6 are being written back when @change is called. */
static struct uext4_file *change_under_flusher(
		struct bug *b, void *(*change)(void *file))
{
	pthread_t flusher, changer;
	struct uext4_file *f;
	void *flushed;
	void *changed;

	atomic_store(&gate.held, 0);
	atomic_store(&gate.open, 0);
	bug_open(b, "ext4-4k-full", NULL);
	f = env_open(&b->e, "/f", UEXT4_O_RDWR | UEXT4_O_CREAT);
	env_fill(f, 5 * b->e.bs, 2 * b->e.bs, 'x');
	bdev_emu_set_gate(b->dev, hold_data, NULL);
	assert_int_equal(pthread_create(&flusher, NULL, flush, f), 0);
	while (!atomic_load(&gate.held))
		usleep(1000);

	assert_int_equal(pthread_create(&changer, NULL, change, f), 0);
	usleep(100000); /* until it waits for the page */
	atomic_store(&gate.open, 1);
	pthread_join(flusher, &flushed);
	pthread_join(changer, &changed);
	bdev_emu_set_gate(b->dev, NULL, NULL);
	assert_int_equal((intptr_t)flushed, 0);
	assert_int_equal((intptr_t)changed, 0);
	return f;
}

static void truncate_frees_what_write_back_maps(void **state)
{
	struct uext4_file *f;
	struct bug b;

	f = change_under_flusher(&b, cut_short);
	assert_int_equal(env_stat(&b.e, "/f").sectors, 0);
	env_close(f);
	bug_close(&b, true);
}

static void zero_range_waits_for_what_write_back_maps(void **state)
{
	struct uext4_file *f;
	struct bug b;

	f = change_under_flusher(&b, zero);
	assert_int_equal(uext4_fsync(f), 0);
	env_expect(f, 0, 1 << 20, 0);
	env_close(f);
	bug_close(&b, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(truncate_frees_what_write_back_maps),
		cmocka_unit_test(zero_range_waits_for_what_write_back_maps),
	};

	if (!env_tools())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
