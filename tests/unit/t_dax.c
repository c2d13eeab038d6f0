/* SPDX-License-Identifier: MIT */
/*
 * DAX over a fake mapping, on devices full of poison: no byte that was not
 * written is ever read, whatever the blocks were before and wherever a write
 * begins and ends; and what fails leaves nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "bdev/bdev_emu.h"
#include "fake_file.h"

#define BLK 4096u

static struct fake_file *mem_file(uint32_t bits, uint32_t nblk)
{
	uint64_t size = (uint64_t)nblk << bits;
	struct fake_file *ff;
	struct bdev *dev;

	assert_int_equal(bdev_mem_open(NULL, size, 0, &dev), 0);
	ff = fake_new(dev, bits, nblk, (size_t)4 << bits);
	fake_set_dax(ff);
	return ff;
}

static struct fake_file *emu_file(void)
{
	struct bdev_emu_opts opts = { .flags = BDEV_EMU_F_MAP };
	struct fake_file *ff;
	struct emu_img *img;
	struct bdev *dev;

	assert_int_equal(emu_img_new((uint64_t)32 * BLK, &img), 0);
	assert_int_equal(bdev_emu_open(img, &opts, &dev), 0);
	emu_img_free(img);
	ff = fake_new(dev, 12, 32, (size_t)4 * BLK);
	fake_set_dax(ff);
	return ff;
}

static bool all_are(const uint8_t *p, size_t n, int c)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != c)
			return false;
	return true;
}

static void put(struct fake_file *ff, uint64_t pos, size_t len, int c)
{
	uint8_t *buf = malloc(len);

	memset(buf, c, len);
	assert_int_equal(fake_write_dax(ff, pos, buf, len), len);
	free(buf);
}

/* The file reads as @model says, through the map and from the device. */
static void expect(struct fake_file *ff, const uint8_t *model, size_t size)
{
	uint8_t *buf = malloc(size + 1);

	assert_int_equal(ff->file.size, size);
	assert_int_equal(ff->dsize, size);
	assert_int_equal(fake_read_dax(ff, 0, buf, size + 1), size);
	assert_memory_equal(buf, model, size);
	fake_read_disk(ff, 0, buf, size);
	assert_memory_equal(buf, model, size);
	assert_int_equal(ff->file.pages.npages, 0);
	free(buf);
}

/* ---- any position, any length, any state before ---- */

#define TABLE_BLKS 6u

/* What block @i holds in layout @kind. */
static enum iomap_type layout_of(unsigned kind, uint32_t i)
{
	static const enum iomap_type mixed[] = { IOMAP_MAPPED, IOMAP_HOLE,
		IOMAP_UNWRITTEN };

	switch (kind) {
	case 0:
		return IOMAP_HOLE;
	case 1:
		return IOMAP_UNWRITTEN;
	case 2:
		return IOMAP_MAPPED;
	case 3:
		return mixed[i % 3];
	default:
		return mixed[(i / 2 + 1) % 3];
	}
}

static void one_write(unsigned kind, uint32_t bits, uint64_t isize,
		uint64_t pos, uint64_t len)
{
	struct fake_file *ff = mem_file(bits, 16);
	uint64_t end = max_u64(isize, pos + len);
	uint8_t *model = calloc(1, end + 1);

	for (uint32_t i = 0; i < TABLE_BLKS; i++)
		if (layout_of(kind, i) != IOMAP_HOLE)
			fake_preset(ff, i, 1, layout_of(kind, i));
	ff->file.size = isize;
	ff->dsize = isize;
	memset(model + pos, 7, len);
	put(ff, pos, len, 7);
	expect(ff, model, end);
	free(model);
	fake_free(ff);
}

static void no_stale_byte_is_ever_read(void **state)
{
	const uint32_t bits = 10;
	const uint64_t b = 1u << bits;
	const uint64_t pos[] = { 0, 1, b - 1, b, b + 1, 2 * b - 1,
		3 * b + 500 };
	const uint64_t len[] = { 1, 2, b - 1, b, b + 1, 2 * b, 2 * b + 3 };
	const uint64_t size[] = { 0, 1, b - 1, b, b + 7, 3 * b, 6 * b - 1,
		6 * b };

	for (unsigned kind = 0; kind < 5; kind++)
		for (size_t s = 0; s < array_len(size); s++)
			for (size_t p = 0; p < array_len(pos); p++)
				for (size_t l = 0; l < array_len(len); l++)
					one_write(kind, bits, size[s], pos[p],
							len[l]);
}

static void blocks_of_64_kib_have_long_edges(void **state)
{
	for (unsigned kind = 0; kind < 5; kind++) {
		one_write(kind, 16, 0, 1, 1);
		one_write(kind, 16, 100000, 65536 + 30000, 1);
		one_write(kind, 16, 300000, 60000, 140000);
	}
}

/* More segments than go out at once, none of an even length. */
static void many_small_segments_arrive_in_order(void **state)
{
	struct fake_file *ff = mem_file(12, 16);
	struct iovec iov[300];
	uint8_t src[300 * 21];
	uint8_t got[sizeof(src)];
	struct iov_iter it;
	size_t len = 0;

	for (size_t i = 0; i < sizeof(src); i++)
		src[i] = (uint8_t)(i % 150);
	for (int i = 0; i < 300; i++) {
		iov[i] = (struct iovec){ src + len, (size_t)i % 21 };
		len += (size_t)i % 21;
	}
	for (int round = 0; round < 2; round++) { /* new, then written */
		iov_iter_init(&it, iov, 300);
		rwsem_write_lock(&ff->iolock);
		assert_int_equal(iomap_dax_rw(&ff->file, 3000, &it, true, 0),
				len);
		rwsem_write_unlock(&ff->iolock);
		assert_int_equal(fake_read_dax(ff, 3000, got, len), len);
		assert_memory_equal(got, src, len);
	}
	assert_int_equal(fake_read_dax(ff, 0, got, 3000), 3000);
	assert_true(all_are(got, 3000, 0));
	fake_free(ff);
}

static uint32_t rnd(uint64_t *x, uint32_t n)
{
	*x = *x * UINT64_C(6364136223846793005) + 1;
	return (uint32_t)(*x >> 33) % n;
}

/* Writes, truncates, punches and zeroing against an array. */
static void a_long_walk_matches_an_array(void **state)
{
	struct fake_file *ff = mem_file(10, 64);
	uint8_t *model = calloc(1, 64 << 10);
	uint8_t buf[8000];
	uint64_t size = 0;
	uint64_t x = 17;

	for (unsigned i = 0; i < 3000; i++) {
		uint64_t pos = rnd(&x, 50 << 10);
		uint64_t len = 1 + rnd(&x, sizeof(buf));
		uint64_t to = rnd(&x, 60 << 10);

		switch (rnd(&x, 6)) {
		case 0:
			assert_int_equal(fake_truncate(ff, to), 0);
			if (to < size)
				memset(model + to, 0, size - to);
			size = to;
			break;
		case 1:
			assert_int_equal(fake_punch(ff, pos, len), 0);
			memset(model + pos, 0, len);
			break;
		case 2:
			assert_int_equal(fake_zero(ff, pos, len), 0);
			memset(model + pos, 0, len);
			break;
		default:
			memset(buf, (int)(i % 120) + 1, len);
			assert_int_equal(
					fake_write_dax(ff, pos, buf, len), len);
			memset(model + pos, (int)(i % 120) + 1, len);
			size = max_u64(size, pos + len);
		}
		ff->dsize = ff->file.size; /* as FX1 has it */
		expect(ff, model, size);
	}
	free(model);
	fake_free(ff);
}

/* ---- reading ---- */

static void reads_end_at_eof(void **state)
{
	struct fake_file *ff = mem_file(12, 16);
	uint8_t buf[3 * BLK];

	put(ff, 0, 5000, 1);
	assert_int_equal(fake_read_dax(ff, 4999, buf, 100), 1);
	assert_int_equal(fake_read_dax(ff, 5000, buf, 100), 0);
	assert_int_equal(fake_read_dax(ff, 1 << 20, buf, 100), 0);
	assert_int_equal(fake_read_dax(ff, 4000, buf, 0), 0);
	assert_int_equal(fake_read_dax(ff, 4000, buf, sizeof(buf)), 1000);
	assert_true(all_are(buf, 1000, 1));
	fake_free(ff);
}

static void positions_have_a_limit(void **state)
{
	struct fake_file *ff = mem_file(12, 16);
	uint8_t buf[10];

	assert_int_equal(fake_read_dax(ff, INT64_MAX, buf, 10), -EINVAL);
	assert_int_equal(fake_write_dax(ff, UINT64_MAX, buf, 10), -EINVAL);
	assert_int_equal(fake_write_dax(ff, 16 * BLK, buf, 10), -EFBIG);
	fake_free(ff);
}

/* ---- what a write costs and tells ---- */

static void an_overwrite_is_one_question_and_no_request(void **state)
{
	struct fake_file *ff = emu_file();
	struct bdev_emu_stats before;
	struct bdev_emu_stats after;
	uint8_t buf[3 * BLK] = { 0 };
	struct iovec iov = { buf, sizeof(buf) };
	struct iov_iter it;

	put(ff, 0, 8 * BLK, 1);
	bdev_emu_stats(ff->dev, &before);
	ff->nbegin = 0;
	iov_iter_init(&it, &iov, 1);
	rwsem_read_lock(&ff->iolock);
	assert_int_equal(iomap_dax_rw(&ff->file, 100, &it, true,
					 IOMAP_DIO_OVERWRITE_ONLY),
			sizeof(buf));
	rwsem_read_unlock(&ff->iolock);
	bdev_emu_stats(ff->dev, &after);
	assert_int_equal(ff->nbegin, 1);
	/* the poison check of the fake reads */
	assert_int_equal(after.ops[BDEV_WRITE], before.ops[BDEV_WRITE]);
	fake_free(ff);
}

/* DX6 */
static void overwrite_only_changes_all_or_nothing(void **state)
{
	struct fake_file *ff = mem_file(12, 16);
	uint8_t buf[4 * BLK];
	struct iovec iov = { buf, sizeof(buf) };
	struct iov_iter it;

	fake_preset(ff, 0, 3, IOMAP_MAPPED);
	fake_preset(ff, 4, 1, IOMAP_UNWRITTEN);
	fake_preset(ff, 5, 3, IOMAP_MAPPED);
	ff->file.size = 8 * BLK;
	ff->max_run = 1;
	memset(buf, 9, sizeof(buf));
	rwsem_read_lock(&ff->iolock);
	for (uint64_t pos = 0; pos < 5 * BLK; pos += 700) {
		iov_iter_init(&it, &iov, 1);
		assert_int_equal(iomap_dax_rw(&ff->file, pos, &it, true,
						 IOMAP_DIO_OVERWRITE_ONLY),
				-EAGAIN);
		assert_int_equal(it.count, sizeof(buf));
	}
	rwsem_read_unlock(&ff->iolock);
	assert_int_equal(fake_state(ff, 3), IOMAP_HOLE);
	assert_int_equal(fake_state(ff, 4), IOMAP_UNWRITTEN);
	for (int i = 0; i < 2; i++) {
		fake_read_disk(ff, (uint64_t)i * 4 * BLK, buf, sizeof(buf));
		assert_true(all_are(buf, sizeof(buf), 0));
	}
	fake_free(ff);
}

/* ---- failures ---- */

/* E1: DX2 leaves the image's own errors where they can be told. */
static void a_failed_write_shows_nothing(void **state)
{
	static const enum iomap_type types[] = { IOMAP_HOLE, IOMAP_UNWRITTEN };
	struct emu_fault fault = {
		.ops = EMU_OP(BDEV_WRITE),
		.tags = 1u << BDEV_TAG_DATA,
		.count = 1,
		.err = -ENOSPC,
	};
	uint8_t buf[2 * BLK];

	memset(buf, 3, sizeof(buf));
	for (size_t i = 0; i < array_len(types); i++) {
		struct fake_file *ff = emu_file();

		if (types[i] == IOMAP_UNWRITTEN)
			fake_preset(ff, 0, 4, types[i]);
		ff->file.size = 10;
		ff->dsize = 10;
		assert_int_equal(bdev_emu_fault_add(ff->dev, &fault), 0);
		assert_int_equal(fake_write_dax(ff, 100, buf, sizeof(buf)),
				-ENOSPC);
		assert_int_equal(fake_state(ff, 0), types[i]);
		assert_int_equal(ff->file.size, 10);
		assert_int_equal(fake_write_dax(ff, 100, buf, sizeof(buf)),
				sizeof(buf));
		fake_free(ff);
	}
}

static void an_owner_that_fails_takes_the_piece_back(void **state)
{
	struct fake_file *ff = mem_file(12, 16);
	uint8_t buf[2 * BLK];

	memset(buf, 3, sizeof(buf));
	ff->end_err = -EIO;
	assert_int_equal(fake_write_dax(ff, 100, buf, sizeof(buf)), -EIO);
	assert_int_equal(fake_state(ff, 0), IOMAP_HOLE);
	assert_int_equal(ff->file.size, 0);
	fake_free(ff);
}

/* DX5: a file longer than its device. */
static void no_space_midway_is_a_short_write(void **state)
{
	struct bdev *dev;
	struct fake_file *ff;
	uint8_t buf[20 * BLK];

	assert_int_equal(bdev_mem_open(NULL, (uint64_t)16 * BLK, 0, &dev), 0);
	ff = fake_new(dev, 12, 32, (size_t)4 * BLK);
	fake_set_dax(ff);
	ff->max_run = 3;
	memset(buf, 4, sizeof(buf));
	assert_int_equal(fake_write_dax(ff, 100, buf, sizeof(buf)),
			16 * BLK - 100);
	assert_int_equal(ff->file.size, 16 * BLK);
	assert_int_equal(fake_write_dax(ff, 16 * BLK, buf, 1), -ENOSPC);
	assert_int_equal(ff->file.size, 16 * BLK);
	assert_int_equal(fake_read_dax(ff, 0, buf, sizeof(buf)), 16 * BLK);
	assert_true(all_are(buf, 100, 0));
	assert_true(all_are(buf + 100, 16 * BLK - 100, 4));
	fake_free(ff);
}

/* ---- the tail and the edges ---- */

static void zeroing_needs_no_page(void **state)
{
	struct fake_file *ff = emu_file();
	uint8_t model[8 * BLK];
	uint8_t got[8 * BLK];
	bool did = true;

	fake_preset(ff, 2, 2, IOMAP_UNWRITTEN);
	ff->file.size = 8 * BLK;
	assert_int_equal(iomap_zero_range(&ff->file, 0, 8 * BLK, &did), 0);
	assert_false(did);
	put(ff, 0, 2 * BLK, 1);
	put(ff, 4 * BLK, 4 * BLK, 1);
	memset(model, 1, sizeof(model));
	memset(model + 2 * BLK, 0, 2 * BLK);
	assert_int_equal(
			iomap_zero_range(&ff->file, BLK + 5, 4 * BLK, &did), 0);
	assert_true(did);
	memset(model + BLK + 5, 0, 4 * BLK);
	ff->dsize = ff->file.size;
	expect(ff, model, 8 * BLK);
	assert_int_equal(fake_state(ff, 2), IOMAP_UNWRITTEN);
	fake_read_disk(ff, 0, got, sizeof(got));
	assert_memory_equal(got, model, sizeof(got));
	fake_free(ff);
}

/* I1, V8: stores are there after a flush and may be gone without one. */
static void a_flush_makes_stores_durable(void **state)
{
	struct fake_file *ff = emu_file();
	struct emu_img *img;
	uint64_t at;
	uint8_t c;

	put(ff, 0, BLK, 1);
	at = (uint64_t)ff->place[0] << 12;
	assert_int_equal(bdev_emu_record(ff->dev), 0);
	put(ff, 10, 1, 2);
	assert_int_equal(bdev_emu_durable_image(ff->dev, &img), 0);
	emu_img_read(img, at + 10, &c, 1);
	assert_int_equal(c, 1);
	emu_img_free(img);
	assert_int_equal(bdev_flush(ff->dev, 0), 0);
	assert_int_equal(bdev_emu_durable_image(ff->dev, &img), 0);
	emu_img_read(img, at + 10, &c, 1);
	assert_int_equal(c, 2);
	emu_img_free(img);
	fake_free(ff);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_stale_byte_is_ever_read),
		cmocka_unit_test(blocks_of_64_kib_have_long_edges),
		cmocka_unit_test(many_small_segments_arrive_in_order),
		cmocka_unit_test(a_long_walk_matches_an_array),
		cmocka_unit_test(reads_end_at_eof),
		cmocka_unit_test(positions_have_a_limit),
		cmocka_unit_test(an_overwrite_is_one_question_and_no_request),
		cmocka_unit_test(overwrite_only_changes_all_or_nothing),
		cmocka_unit_test(a_failed_write_shows_nothing),
		cmocka_unit_test(an_owner_that_fails_takes_the_piece_back),
		cmocka_unit_test(no_space_midway_is_a_short_write),
		cmocka_unit_test(zeroing_needs_no_page),
		cmocka_unit_test(a_flush_makes_stores_durable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
