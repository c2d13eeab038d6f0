/* SPDX-License-Identifier: MIT */
/* SEEK_DATA, SEEK_HOLE and the list of extents. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fake_file.h"

#define BLK 4096

/* Blocks: mapped 0-1, hole 2-3, unwritten 4-5, hole 6, mapped 7, hole 8-15.
 * Size: 10 blocks and a bit. */
static struct fake_file *striped_file(void)
{
	struct bdev *dev;
	struct fake_file *ff;

	assert_int_equal(bdev_mem_open(NULL, 1 << 20, 0, &dev), 0);
	ff = fake_new(dev, 12, 64, 1 << 20);
	fake_preset(ff, 0, 2, IOMAP_MAPPED);
	fake_preset(ff, 4, 2, IOMAP_UNWRITTEN);
	fake_preset(ff, 7, 1, IOMAP_MAPPED);
	ff->file.size = 10 * BLK + 100;
	return ff;
}

static void put(struct fake_file *ff, uint64_t pos, size_t len)
{
	uint8_t buf[4 * BLK];

	memset(buf, 5, sizeof(buf));
	assert_int_equal(fake_write(ff, pos, buf, len), len);
}

static void seek_follows_the_mapping(void **state)
{
	struct fake_file *ff = striped_file();
	struct iomap_file *f = &ff->file;

	assert_int_equal(iomap_seek_data(f, 0), 0);
	assert_int_equal(iomap_seek_data(f, 100), 100);
	assert_int_equal(iomap_seek_hole(f, 100), 2 * BLK);
	assert_int_equal(iomap_seek_hole(f, 3 * BLK + 1), 3 * BLK + 1);
	assert_int_equal(iomap_seek_data(f, 2 * BLK), 7 * BLK);
	assert_int_equal(iomap_seek_hole(f, 7 * BLK), 8 * BLK);
	assert_int_equal(iomap_seek_data(f, 8 * BLK), -ENXIO);
	assert_int_equal(iomap_seek_hole(f, 10 * BLK), 10 * BLK);
	assert_int_equal(iomap_seek_data(f, 10 * BLK + 100), -ENXIO);
	assert_int_equal(iomap_seek_hole(f, 10 * BLK + 100), -ENXIO);
	assert_int_equal(iomap_seek_hole(f, INT64_MAX), -ENXIO);
	fake_free(ff);
}

static void the_end_of_the_file_is_a_hole(void **state)
{
	struct fake_file *ff = striped_file();

	put(ff, 10 * BLK, 50);
	assert_int_equal(iomap_seek_hole(&ff->file, 10 * BLK + 1),
			10 * BLK + 100);
	assert_int_equal(iomap_writeback(&ff->file, 0, UINT64_MAX), 0);
	assert_int_equal(iomap_seek_hole(&ff->file, 10 * BLK + 1),
			10 * BLK + 100);
	fake_free(ff);
}

static void dirty_pages_are_data_before_and_after_write_back(void **state)
{
	struct fake_file *ff = striped_file();
	struct iomap_file *f = &ff->file;

	put(ff, 3 * BLK + 10, 5);  /* in a hole */
	put(ff, 5 * BLK, 2 * BLK); /* unwritten and hole */
	for (int round = 0; round < 2; round++) {
		assert_int_equal(iomap_seek_data(f, 2 * BLK), 3 * BLK);
		assert_int_equal(iomap_seek_hole(f, 3 * BLK), 4 * BLK);
		assert_int_equal(iomap_seek_data(f, 4 * BLK), 5 * BLK);
		assert_int_equal(iomap_seek_hole(f, 5 * BLK), 8 * BLK);
		assert_int_equal(iomap_writeback(f, 0, UINT64_MAX), 0);
	}
	fake_free(ff);
}

struct list {
	struct iomap maps[32];
	unsigned n;
	unsigned stop;
};

static int list_add(void *ctx, const struct iomap *map)
{
	struct list *l = ctx;

	assert_true(l->n < array_len(l->maps));
	l->maps[l->n++] = *map;
	return l->n == l->stop ? 77 : 0;
}

static void check_map(const struct iomap *map, enum iomap_type type,
		uint64_t first, uint64_t n)
{
	assert_int_equal(map->type, type);
	assert_int_equal(map->offset, first * BLK);
	assert_int_equal(map->length, n * BLK);
}

static void extents_are_listed_and_joined(void **state)
{
	struct fake_file *ff = striped_file();
	struct list l = { .n = 0 };

	/* The owner answers block by block. */
	ff->max_run = 1;
	assert_int_equal(iomap_fiemap(&ff->file, 0, UINT64_MAX, false, list_add,
					 &l),
			0);
	assert_int_equal(l.n, 3);
	check_map(&l.maps[0], IOMAP_MAPPED, 0, 2);
	check_map(&l.maps[1], IOMAP_UNWRITTEN, 4, 2);
	check_map(&l.maps[2], IOMAP_MAPPED, 7, 1);
	l.n = 0;
	assert_int_equal(iomap_fiemap(&ff->file, BLK, 3 * BLK, false, list_add,
					 &l),
			0);
	assert_int_equal(l.n, 1);
	check_map(&l.maps[0], IOMAP_MAPPED, 1, 1);
	fake_free(ff);
}

static void dirty_holes_are_listed_as_delayed_or_written_first(void **state)
{
	struct fake_file *ff = striped_file();
	struct list l = { .n = 0 };

	put(ff, 8 * BLK, 2 * BLK);
	put(ff, 11 * BLK, BLK);
	assert_int_equal(iomap_fiemap(&ff->file, 0, 16 * BLK, false, list_add,
					 &l),
			0);
	assert_int_equal(l.n, 5);
	check_map(&l.maps[3], IOMAP_DELALLOC, 8, 2);
	check_map(&l.maps[4], IOMAP_DELALLOC, 11, 1);
	l.n = 0;
	assert_int_equal(iomap_fiemap(&ff->file, 0, 16 * BLK, true, list_add,
					 &l),
			0);
	for (unsigned i = 0; i < l.n; i++)
		assert_int_not_equal(l.maps[i].type, IOMAP_DELALLOC);
	assert_int_equal(ff->file.pages.ndirty, 0);
	fake_free(ff);
}

static void the_listener_can_stop(void **state)
{
	struct fake_file *ff = striped_file();
	struct list l = { .stop = 2 };

	assert_int_equal(iomap_fiemap(&ff->file, 0, 16 * BLK, false, list_add,
					 &l),
			77);
	assert_int_equal(l.n, 2);
	fake_free(ff);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(seek_follows_the_mapping),
		cmocka_unit_test(the_end_of_the_file_is_a_hole),
		cmocka_unit_test(
				dirty_pages_are_data_before_and_after_write_back),
		cmocka_unit_test(extents_are_listed_and_joined),
		cmocka_unit_test(
				dirty_holes_are_listed_as_delayed_or_written_first),
		cmocka_unit_test(the_listener_can_stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
