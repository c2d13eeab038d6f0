/* SPDX-License-Identifier: MIT */
/* Zeroing through the cache, and the dropping of pages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fake_file.h"

#define BLK 4096

static struct fake_file *file_of(uint32_t nblk)
{
	struct bdev *dev;

	assert_int_equal(bdev_mem_open(NULL, 1 << 20, 0, &dev), 0);
	return fake_new(dev, 12, nblk, 1 << 20);
}

static bool all_are(const uint8_t *p, size_t n, int c)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != c)
			return false;
	return true;
}

static void put(struct fake_file *ff, uint64_t pos, size_t len)
{
	uint8_t buf[8 * BLK];

	memset(buf, 5, sizeof(buf));
	assert_int_equal(fake_write(ff, pos, buf, len), len);
}

/* Write back and forget, so that only the device remembers. */
static void settle(struct fake_file *ff)
{
	assert_int_equal(iomap_writeback(&ff->file, 0, UINT64_MAX), 0);
	page_pool_shrink(ff->pool, 0);
	page_pool_shrink(ff->pool, 0);
	assert_int_equal(ff->file.pages.npages, 0);
}

static void holes_and_unwritten_blocks_stay_what_they_are(void **state)
{
	struct fake_file *ff = file_of(1 << 20);
	bool did = true;

	fake_preset(ff, 5, 3, IOMAP_UNWRITTEN);
	ff->file.size = UINT64_C(4) << 30;
	/* 4 GiB of hole cost nothing. */
	assert_int_equal(iomap_zero_range(&ff->file, 100, ff->file.size - 200,
					 &did),
			0);
	assert_false(did);
	assert_int_equal(ff->file.pages.npages, 0);
	assert_in_range(ff->nbegin, 1, 10);
	assert_int_equal(fake_state(ff, 5), IOMAP_UNWRITTEN);
	ff->file.size = 0;
	fake_free(ff);
}

static void written_blocks_are_zeroed(void **state)
{
	uint8_t got[8 * BLK];

	/* In the cache, or on the device only. */
	for (int cached = 0; cached < 2; cached++) {
		struct fake_file *ff = file_of(64);
		bool did = false;

		put(ff, 0, 8 * BLK);
		if (!cached)
			settle(ff);
		assert_int_equal(iomap_zero_range(&ff->file, BLK + 10, 4 * BLK,
						 &did),
				0);
		assert_true(did);
		settle(ff);
		fake_read_disk(ff, 0, got, sizeof(got));
		assert_true(all_are(got, BLK + 10, 5));
		assert_true(all_are(got + BLK + 10, 4 * BLK, 0));
		assert_true(all_are(got + 5 * BLK + 10, 3 * BLK - 10, 5));
		fake_free(ff);
	}
}

static void dirty_pages_over_holes_are_zeroed(void **state)
{
	struct fake_file *ff = file_of(64);
	uint8_t got[BLK];
	bool did = false;

	put(ff, 2 * BLK, BLK);
	assert_int_equal(ff->nclaims, 1);
	assert_int_equal(iomap_zero_range(&ff->file, 2 * BLK + 100, 200, &did),
			0);
	assert_true(did);
	assert_int_equal(ff->nclaims, 1);
	settle(ff);
	fake_read_disk(ff, 2 * BLK, got, BLK);
	assert_true(all_are(got, 100, 5));
	assert_true(all_are(got + 100, 200, 0));
	assert_true(all_are(got + 300, BLK - 300, 5));
	fake_free(ff);
}

/* B26 by truncate: the tail must not come back. */
static void a_shortened_file_grows_zeroes(void **state)
{
	struct fake_file *ff = file_of(64);
	uint8_t got[4 * BLK];

	put(ff, 0, 4 * BLK);
	settle(ff);
	assert_int_equal(fake_truncate(ff, BLK + 100), 0);
	settle(ff);
	assert_int_equal(fake_truncate(ff, 4 * BLK), 0);
	assert_int_equal(fake_read(ff, 0, got, sizeof(got)), sizeof(got));
	assert_true(all_are(got, BLK + 100, 5));
	assert_true(all_are(got + BLK + 100, 3 * BLK - 100, 0));
	settle(ff);
	fake_read_disk(ff, 0, got, sizeof(got));
	assert_true(all_are(got + BLK + 100, 3 * BLK - 100, 0));
	fake_free(ff);
}

static void edges_of_a_drop_are_zeroed_and_stay(void **state)
{
	struct fake_file *ff = file_of(64);
	uint8_t got[8 * BLK];

	put(ff, 0, 8 * BLK);
	rwsem_write_lock(&ff->iolock);
	rwsem_write_lock(&ff->file.inval);
	assert_int_equal(iomap_drop_pages(&ff->file, BLK + 10, 4 * BLK + 9), 0);
	assert_int_equal(ff->file.pages.npages, 6);
	assert_int_equal(ff->nclaims, 6);
	/* Within one page. */
	assert_int_equal(iomap_drop_pages(&ff->file, 6 * BLK + 1, 6 * BLK + 2),
			0);
	assert_int_equal(ff->file.pages.npages, 6);
	rwsem_write_unlock(&ff->file.inval);
	rwsem_write_unlock(&ff->iolock);

	assert_int_equal(fake_read(ff, 0, got, sizeof(got)), sizeof(got));
	assert_true(all_are(got, BLK + 10, 5));
	assert_true(all_are(got + BLK + 10, 3 * BLK, 0));
	assert_true(all_are(got + 4 * BLK + 10, 2 * BLK - 10, 5));
	assert_int_equal(got[6 * BLK], 5);
	assert_int_equal(got[6 * BLK + 1], 0);
	assert_int_equal(got[6 * BLK + 2], 0);
	assert_int_equal(got[6 * BLK + 3], 5);
	settle(ff);
	fake_free(ff);
}

static void whole_pages_and_pairs_of_edges_are_told_apart(void **state)
{
	struct fake_file *ff = file_of(64);

	put(ff, 0, 4 * BLK);
	rwsem_write_lock(&ff->file.inval);
	assert_int_equal(iomap_drop_pages(&ff->file, BLK, 2 * BLK - 1), 0);
	assert_int_equal(ff->file.pages.npages, 3);
	/* Two edges, no whole page. */
	assert_int_equal(iomap_drop_pages(&ff->file, 2 * BLK + 1, 4 * BLK - 2),
			0);
	assert_int_equal(ff->file.pages.npages, 3);
	assert_int_equal(iomap_drop_pages(&ff->file, 2 * BLK, UINT64_MAX), 0);
	assert_int_equal(ff->file.pages.npages, 1);
	rwsem_write_unlock(&ff->file.inval);
	ff->file.size = BLK;
	settle(ff);
	fake_free(ff);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(holes_and_unwritten_blocks_stay_what_they_are),
		cmocka_unit_test(written_blocks_are_zeroed),
		cmocka_unit_test(dirty_pages_over_holes_are_zeroed),
		cmocka_unit_test(a_shortened_file_grows_zeroes),
		cmocka_unit_test(edges_of_a_drop_are_zeroed_and_stay),
		cmocka_unit_test(whole_pages_and_pairs_of_edges_are_told_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
