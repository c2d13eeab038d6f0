/* SPDX-License-Identifier: MIT */
/*
 * Buffered I/O and write-back over a fake mapping, and the random mix of all
 * file I/O against a model in which poison must never be seen.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "bdev/bdev_emu.h"
#include "fake_file.h"

static struct bdev *mem_dev(uint64_t size)
{
	struct bdev *dev;

	CHECK(bdev_mem_open(NULL, size, 0, &dev) == 0);
	return dev;
}

static struct bdev *emu_dev(uint64_t size)
{
	struct emu_img *img;
	struct bdev *dev;

	CHECK(emu_img_new(size, &img) == 0);
	CHECK(bdev_emu_open(img, NULL, &dev) == 0);
	emu_img_free(img);
	return dev;
}

static uint32_t rnd(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*seed >> 33);
}

static void fill_random(uint64_t *seed, uint8_t *buf, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		buf[i] = (uint8_t)rnd(seed);
		/* Poison is not data. */
		if (buf[i] == FAKE_POISON)
			buf[i] = 1;
	}
}

/* ---- single claims ---- */

static void whole_blocks_are_written_without_reading(void **state)
{
	struct fake_file *ff = fake_new(emu_dev(1 << 20), 12, 64, 1 << 20);
	struct bdev_emu_stats before;
	struct bdev_emu_stats after;
	uint8_t buf[65536];

	fake_preset(ff, 0, 16, IOMAP_MAPPED);
	ff->file.size = 65536;
	memset(buf, 7, sizeof(buf));
	bdev_emu_stats(ff->dev, &before);
	assert_int_equal(fake_write(ff, 0, buf, sizeof(buf)), sizeof(buf));
	bdev_emu_stats(ff->dev, &after);

	assert_int_equal(after.ops[BDEV_READ], before.ops[BDEV_READ]);
	assert_int_equal(ff->nbegin, 1);
	assert_int_equal(ff->nclaim_calls, 0);
	assert_int_equal(iomap_writeback(&ff->file, 0, UINT64_MAX), 0);
	fake_free(ff);
}

static void a_run_goes_out_in_one_request(void **state)
{
	struct fake_file *ff = fake_new(emu_dev(1 << 20), 12, 64, 1 << 20);
	struct bdev_emu_stats before;
	struct bdev_emu_stats after;
	uint8_t buf[65536];

	memset(buf, 7, sizeof(buf));
	assert_int_equal(fake_write(ff, 0, buf, sizeof(buf)), sizeof(buf));
	assert_int_equal(ff->nclaims, 16);
	assert_int_equal(ff->nclaim_calls, 1);
	bdev_emu_stats(ff->dev, &before);
	assert_int_equal(iomap_writeback(&ff->file, 0, UINT64_MAX), 0);
	bdev_emu_stats(ff->dev, &after);

	assert_int_equal(after.ops[BDEV_WRITE] - before.ops[BDEV_WRITE], 1);
	assert_int_equal(ff->nwb_map, 1);
	assert_int_equal(ff->nclaims, 0);
	assert_int_equal(ff->dsize, sizeof(buf));
	fake_free(ff);
}

static void a_partial_block_keeps_its_rest(void **state)
{
	struct fake_file *ff = fake_new(mem_dev(1 << 20), 12, 64, 1 << 20);
	uint8_t buf[8192];
	uint8_t got[8192];

	fill_random(&(uint64_t){ 5 }, buf, sizeof(buf));
	assert_int_equal(fake_write(ff, 0, buf, sizeof(buf)), sizeof(buf));
	assert_int_equal(iomap_writeback(&ff->file, 0, UINT64_MAX), 0);
	assert_int_equal(iomap_invalidate(&ff->file, 0, UINT64_MAX >> 1), 0);
	memset(buf + 100, 9, 5000);
	assert_int_equal(fake_write(ff, 100, buf + 100, 5000), 5000);

	assert_int_equal(fake_read(ff, 0, got, sizeof(got)), sizeof(got));
	assert_memory_equal(got, buf, sizeof(got));
	assert_int_equal(iomap_writeback(&ff->file, 0, UINT64_MAX), 0);
	fake_read_disk(ff, 0, got, sizeof(got));
	assert_memory_equal(got, buf, sizeof(got));
	fake_free(ff);
}

static void new_blocks_show_zeroes_around_the_data(void **state)
{
	struct fake_file *ff = fake_new(mem_dev(1 << 20), 12, 64, 1 << 20);
	uint8_t want[12288] = { 0 };
	uint8_t got[12288];

	memset(want + 5000, 3, 10);
	assert_int_equal(fake_write(ff, 5000, want + 5000, 10), 10);
	assert_int_equal(fake_truncate(ff, sizeof(want)), 0);
	assert_int_equal(iomap_writeback(&ff->file, 0, UINT64_MAX), 0);

	assert_int_equal(fake_read(ff, 0, got, sizeof(got)), sizeof(got));
	assert_memory_equal(got, want, sizeof(got));
	fake_read_disk(ff, 0, got, sizeof(got));
	assert_memory_equal(got, want, sizeof(got));
	assert_int_equal(fake_state(ff, 0), IOMAP_HOLE);
	fake_free(ff);
}

static void no_space_makes_a_short_count(void **state)
{
	/* 10 blocks of device for 16 of data. */
	struct fake_file *ff = fake_new(mem_dev(10 << 12), 12, 64, 1 << 20);
	uint8_t buf[65536];

	memset(buf, 7, sizeof(buf));
	assert_int_equal(fake_write(ff, 100, buf, sizeof(buf)), 40960 - 100);
	assert_int_equal(ff->file.size, 40960);
	assert_int_equal(fake_write(ff, 40960, buf, 1), -ENOSPC);
	assert_int_equal(iomap_writeback(&ff->file, 0, UINT64_MAX), 0);
	assert_int_equal(ff->nfree, 0);
	fake_free(ff);
}

static void dropped_pages_give_their_claims_back(void **state)
{
	struct fake_file *ff = fake_new(mem_dev(1 << 20), 12, 64, 1 << 20);
	uint8_t buf[40960];

	memset(buf, 7, sizeof(buf));
	assert_int_equal(fake_write(ff, 0, buf, sizeof(buf)), sizeof(buf));
	assert_int_equal(ff->nclaims, 10);
	assert_int_equal(fake_punch(ff, 4096, 8192), 0);
	assert_int_equal(ff->nclaims, 8);
	assert_int_equal(fake_truncate(ff, 100), 0);
	assert_int_equal(ff->nclaims, 1);
	assert_int_equal(fake_truncate(ff, 0), 0);
	assert_int_equal(ff->nclaims, 0);
	fake_free(ff);
}

static void a_stale_mapping_is_asked_for_again(void **state)
{
	struct fake_file *ff = fake_new(mem_dev(1 << 20), 12, 64, 1 << 20);
	uint8_t buf[4096];

	memset(buf, 7, sizeof(buf));
	assert_int_equal(fake_write(ff, 0, buf, sizeof(buf)), sizeof(buf));
	ff->stale = 3;
	assert_int_equal(iomap_writeback(&ff->file, 0, UINT64_MAX), 0);
	assert_int_equal(ff->nwb_map, 4);
	fake_free(ff);
}

/* ---- errors ---- */

static void a_failed_page_stays_dirty_and_is_told_once(void **state)
{
	struct fake_file *ff = fake_new(emu_dev(1 << 20), 12, 64, 1 << 20);
	struct emu_fault fault = {
		.ops = EMU_OP(BDEV_WRITE), .count = 1, .err = -EIO
	};
	uint32_t a = iomap_sample_error(&ff->file);
	uint32_t b = a;
	uint32_t late;
	uint8_t buf[8192];
	uint8_t got[8192];

	memset(buf, 7, sizeof(buf));
	assert_int_equal(fake_write(ff, 0, buf, sizeof(buf)), sizeof(buf));
	assert_int_equal(bdev_emu_fault_add(ff->dev, &fault), 0);
	assert_int_equal(iomap_writeback(&ff->file, 0, UINT64_MAX), -EIO);

	assert_int_equal(ff->nclaims, 2);
	assert_int_equal(ff->dsize, 0);
	assert_int_equal(page_pool_dirty_bytes(ff->pool), 8192);
	assert_int_equal(iomap_check_error(&ff->file, &a), -EIO);
	assert_int_equal(iomap_check_error(&ff->file, &a), 0);
	late = iomap_sample_error(&ff->file);
	assert_int_equal(iomap_check_error(&ff->file, &b), -EIO);
	assert_int_equal(iomap_check_error(&ff->file, &late), 0);
	/* The next time it works. */
	assert_int_equal(iomap_writeback(&ff->file, 0, UINT64_MAX), 0);
	assert_int_equal(ff->nclaims, 0);
	fake_read_disk(ff, 0, got, sizeof(got));
	assert_memory_equal(got, buf, sizeof(got));
	assert_int_equal(iomap_check_error(&ff->file, &a), 0);
	fake_free(ff);
}

static void the_owner_may_fail_at_the_end(void **state)
{
	struct fake_file *ff = fake_new(mem_dev(1 << 20), 12, 64, 1 << 20);
	uint8_t buf[8192];

	memset(buf, 7, sizeof(buf));
	assert_int_equal(fake_write(ff, 0, buf, sizeof(buf)), sizeof(buf));
	ff->end_err = -EROFS;
	assert_int_equal(iomap_writeback(&ff->file, 0, UINT64_MAX), -EROFS);
	assert_int_equal(ff->nclaims, 2);
	assert_int_equal(iomap_writeback(&ff->file, 0, UINT64_MAX), 0);
	fake_free(ff);
}

static void pages_that_always_fail_are_given_up(void **state)
{
	struct fake_file *ff = fake_new(emu_dev(1 << 20), 12, 64, 1 << 20);
	struct emu_fault fault = { .ops = EMU_OP(BDEV_WRITE), .err = -EIO };
	uint8_t buf[8192];

	memset(buf, 7, sizeof(buf));
	assert_int_equal(fake_write(ff, 0, buf, sizeof(buf)), sizeof(buf));
	assert_int_equal(bdev_emu_fault_add(ff->dev, &fault), 0);
	for (int i = 0; i < PAGE_MAX_FAILURES; i++) {
		assert_int_equal(page_pool_dirty_bytes(ff->pool), 8192);
		assert_int_equal(iomap_writeback(&ff->file, 0, UINT64_MAX),
				-EIO);
	}
	assert_int_equal(page_pool_dirty_bytes(ff->pool), 0);
	assert_int_equal(ff->nclaims, 0);
	assert_int_equal(fake_read(ff, 0, buf, sizeof(buf)), sizeof(buf));
	assert_int_equal(buf[0], 0);
	bdev_emu_fault_clear(ff->dev);
	fake_free(ff);
}

static void a_bad_sector_hurts_only_its_reader(void **state)
{
	struct fake_file *ff = fake_new(emu_dev(1 << 20), 12, 64, 1 << 20);
	struct emu_fault fault = { .ops = EMU_OP(BDEV_READ), .err = -EIO };
	uint8_t buf[16384];

	fake_preset(ff, 0, 4, IOMAP_MAPPED);
	ff->file.size = sizeof(buf);
	fault.pos = (uint64_t)ff->place[2] << 12;
	fault.len = 512;
	assert_int_equal(bdev_emu_fault_add(ff->dev, &fault), 0);
	assert_int_equal(fake_read(ff, 0, buf, 100), 100);
	assert_int_equal(fake_read(ff, 0, buf, sizeof(buf)), 8192);
	assert_int_equal(fake_read(ff, 8192, buf, 100), -EIO);
	assert_int_equal(fake_read(ff, 12288, buf, 100), 100);
	bdev_emu_fault_clear(ff->dev);
	fake_free(ff);
}

/* ---- EOF ---- */

/* Bytes that a writer has copied, and whose size it has not raised yet, stay
 * in the cache: the device gets zeroes. */
static void bytes_beyond_the_size_are_not_written(void **state)
{
	struct fake_file *ff = fake_new(mem_dev(1 << 20), 12, 64, 1 << 20);
	uint8_t buf[8192];
	uint8_t got[8192];
	uint8_t dev[4096];
	struct iovec iov = { buf, sizeof(buf) };
	struct iov_iter it;

	ff->ops.raise_size = NULL;
	ff->file.size = 1000;
	memset(buf, 7, sizeof(buf));
	iov_iter_init(&it, &iov, 1);
	assert_int_equal(iomap_buffered_write(&ff->file, 0, &it), sizeof(buf));
	assert_int_equal(iomap_writeback(&ff->file, 0, UINT64_MAX), 0);
	assert_int_equal(ff->dsize, 1000);
	fake_read_disk(ff, 0, dev, sizeof(dev));
	assert_int_equal(dev[999], 7);
	for (int i = 1000; i < 4096; i++)
		assert_int_equal(dev[i], 0);

	/* Now the size is raised: nothing was lost. */
	fake_raise_size(&ff->file, sizeof(buf));
	assert_int_equal(iomap_writeback(&ff->file, 0, UINT64_MAX), 0);
	assert_int_equal(page_pool_dirty_bytes(ff->pool), 0);
	fake_read_disk(ff, 0, got, sizeof(got));
	assert_memory_equal(got, buf, sizeof(got));
	fake_free(ff);
}

/* Garbage behind EOF on the device does not get into the file. */
static void dirt_behind_eof_is_not_read(void **state)
{
	struct fake_file *ff = fake_new(mem_dev(1 << 20), 12, 64, 1 << 20);
	uint8_t buf[4096];
	uint8_t got[4096];

	fake_preset(ff, 0, 1, IOMAP_MAPPED);
	memset(buf, FAKE_POISON, sizeof(buf));
	assert_int_equal(bdev_write(ff->dev, (uint64_t)ff->place[0] << 12, buf,
					 sizeof(buf), 0, BDEV_TAG_NONE),
			0);
	ff->file.size = 100;
	memset(buf + 100, 0, sizeof(buf) - 100);
	assert_int_equal(fake_read(ff, 0, got, sizeof(got)), 100);
	assert_memory_equal(got, buf, 100);
	/* Nor is it left in the page for whoever raises the size. */
	fake_raise_size(&ff->file, 200);
	assert_int_equal(fake_read(ff, 0, got, sizeof(got)), 200);
	assert_memory_equal(got, buf, 200);
	assert_int_equal(fake_truncate(ff, 4096), 0);
	assert_int_equal(fake_read(ff, 0, got, sizeof(got)), 4096);
	assert_memory_equal(got, buf, sizeof(got));
	assert_int_equal(iomap_writeback(&ff->file, 0, UINT64_MAX), 0);
	fake_read_disk(ff, 0, got, sizeof(got));
	assert_memory_equal(got, buf, sizeof(got));
	fake_free(ff);
}

/* ---- memory ---- */

static void a_big_write_stays_within_the_pool(void **state)
{
	const size_t pool = 1 << 20;
	struct fake_file *ff = fake_new(mem_dev(16 << 20), 12, 4096, pool);
	size_t len = 8 << 20;
	uint8_t *buf = malloc(len);
	uint8_t *got = malloc(len);

	fill_random(&(uint64_t){ 3 }, buf, len);
	assert_int_equal(fake_write(ff, 0, buf, len), len);
	assert_true(page_pool_bytes(ff->pool) <= pool + (256 << 10));
	assert_true(page_pool_dirty_bytes(ff->pool) <= pool);
	assert_int_equal(fake_read(ff, 0, got, len), len);
	assert_memory_equal(got, buf, len);
	assert_true(page_pool_bytes(ff->pool) <= pool + (256 << 10));
	assert_int_equal(iomap_writeback(&ff->file, 0, UINT64_MAX), 0);
	page_pool_shrink(ff->pool, 0);
	assert_int_equal(page_pool_bytes(ff->pool), 0);
	free(buf);
	free(got);
	fake_free(ff);
}

static void a_sequential_reader_gets_bigger_reads(void **state)
{
	struct fake_file *ff = fake_new(emu_dev(8 << 20), 12, 2048, 16 << 20);
	struct bdev_emu_stats before;
	struct bdev_emu_stats after;
	uint8_t buf[4096];

	fake_preset(ff, 0, 1024, IOMAP_MAPPED);
	ff->file.size = 4 << 20;
	bdev_emu_stats(ff->dev, &before);
	for (uint64_t pos = 0; pos < ff->file.size; pos += sizeof(buf))
		assert_int_equal(fake_read(ff, pos, buf, sizeof(buf)), 4096);
	bdev_emu_stats(ff->dev, &after);
	/* 32 KiB, 64 ... 1 MiB, 1 MiB ...: not 1024 single blocks. */
	assert_in_range(after.ops[BDEV_READ] - before.ops[BDEV_READ], 4, 12);
	fake_free(ff);
}

static void a_random_reader_gets_what_it_asked_for(void **state)
{
	struct fake_file *ff = fake_new(emu_dev(8 << 20), 12, 2048, 16 << 20);
	uint8_t buf[4096];

	fake_preset(ff, 0, 1024, IOMAP_MAPPED);
	ff->file.size = 4 << 20;
	for (uint64_t i = 100; i > 0; i--)
		assert_int_equal(fake_read(ff, i * 40960, buf, sizeof(buf)),
				4096);
	assert_int_equal(page_pool_bytes(ff->pool), 100 * 4096);
	fake_free(ff);
}

static void a_pool_full_of_one_file_serves_another(void **state)
{
	struct fake_file *a = fake_new(mem_dev(4 << 20), 12, 1024, 1 << 20);
	struct fake_file *b = fake_new(mem_dev(4 << 20), 12, 1024, 1 << 20);
	uint8_t buf[65536];

	/* b lives in the pool of a. */
	iomap_file_fini(&b->file);
	iomap_file_init(&b->file, &b->ops, b->dev, 12, 13, a->pool);
	memset(buf, 7, sizeof(buf));
	for (unsigned i = 0; i < 8; i++)
		fake_write(a, i * sizeof(buf), buf, sizeof(buf));
	assert_int_equal(page_pool_dirty_bytes(a->pool), 8 * sizeof(buf));
	for (unsigned i = 0; i < 16; i++) {
		assert_int_equal(fake_write(b, i * sizeof(buf), buf,
						 sizeof(buf)),
				sizeof(buf));
		assert_true(page_pool_dirty_bytes(a->pool) <= (1 << 20));
	}
	assert_int_equal(iomap_writeback_pool(a->pool, 0), 0);
	assert_int_equal(page_pool_dirty_bytes(a->pool), 0);
	assert_int_equal(b->file.pages.ndirty, 0);
	assert_int_equal(a->dsize, 8 * sizeof(buf));
	iomap_file_fini(&b->file);
	iomap_file_init(&b->file, &b->ops, b->dev, 12, 13, b->pool);
	fake_free(b);
	fake_free(a);
}

/* ---- the mix ---- */

#define MIX_BLOCKS 96

struct mix {
	struct fake_file *ff;
	uint64_t seed;
	uint64_t size;
	uint64_t max; /* of the file */
	uint8_t *model;
	uint8_t *buf;
};

static void mix_range(struct mix *m, uint32_t unit, uint64_t *ret_pos,
		uint64_t *ret_len)
{
	uint64_t most = rnd(&m->seed) % 4 == 0 ? m->max / 2 : 4u << m->ff->bits;

	*ret_pos = rnd(&m->seed) % m->max / unit * unit;
	*ret_len = (1 + rnd(&m->seed) % most + unit - 1) / unit * unit;
	*ret_len = min_u64(*ret_len, m->max - *ret_pos);
}

/* The model's part of a write of buf. */
static void mix_wrote(struct mix *m, uint64_t pos, ssize_t done)
{
	if (done <= 0) {
		assert_int_equal(done, -ENOSPC);
		return;
	}
	memcpy(m->model + pos, m->buf, (size_t)done);
	m->size = max_u64(m->size, pos + (uint64_t)done);
	assert_int_equal(m->size, m->ff->file.size);
}

static void mix_compare(struct mix *m, uint64_t pos, uint64_t len, ssize_t got)
{
	uint64_t want = pos < m->size ? min_u64(len, m->size - pos) : 0;

	assert_int_equal(got, want);
	assert_memory_equal(m->buf, m->model + pos, (size_t)want);
}

/* What the device holds is the file, and zeroes behind it. */
static void mix_check_disk(struct mix *m)
{
	uint64_t end = round_up_u64(m->size, 1u << m->ff->bits);

	assert_int_equal(iomap_writeback(&m->ff->file, 0, UINT64_MAX), 0);
	assert_int_equal(m->ff->file.pages.ndirty, 0);
	assert_int_equal(m->ff->nclaims, 0);
	fake_read_disk(m->ff, 0, m->buf, end);
	assert_memory_equal(m->buf, m->model, end);
}

/* Data that seek leaves out must be zero. */
static void mix_check_seek(struct mix *m)
{
	uint64_t pos = 0;

	while (pos < m->size) {
		int64_t data = iomap_seek_data(&m->ff->file, pos);
		int64_t hole;

		if (data == -ENXIO)
			data = (int64_t)m->size;
		assert_true(data >= (int64_t)pos);
		for (uint64_t i = pos; i < (uint64_t)data; i++)
			assert_int_equal(m->model[i], 0);
		if ((uint64_t)data == m->size)
			break;
		hole = iomap_seek_hole(&m->ff->file, (uint64_t)data);
		assert_true(hole > data);
		pos = (uint64_t)hole;
	}
}

static void mix_zero(struct mix *m, bool punch)
{
	uint64_t pos;
	uint64_t len;
	int ret;

	mix_range(m, 1, &pos, &len);
	if (pos >= m->size)
		return;
	len = min_u64(len, m->size - pos);
	ret = punch ? fake_punch(m->ff, pos, len) : fake_zero(m->ff, pos, len);
	assert_int_equal(ret, 0);
	memset(m->model + pos, 0, len);
}

static void mix_truncate(struct mix *m)
{
	uint64_t size = rnd(&m->seed) % m->max;

	assert_int_equal(fake_truncate(m->ff, size), 0);
	if (size < m->size)
		memset(m->model + size, 0, m->max - size);
	m->size = size;
}

static void mix_step(struct mix *m)
{
	struct fake_file *ff = m->ff;
	uint64_t pos;
	uint64_t len;

	ff->max_run = rnd(&m->seed) % 8;
	switch (rnd(&m->seed) % 16) {
	case 0:
	case 1:
	case 2:
		mix_range(m, 1, &pos, &len);
		fill_random(&m->seed, m->buf, len);
		mix_wrote(m, pos, fake_write(ff, pos, m->buf, len));
		break;
	case 3:
	case 4:
	case 5:
	case 6:
		mix_range(m, rnd(&m->seed) % 2 ? 512 : 1u << ff->bits, &pos,
				&len);
		fill_random(&m->seed, m->buf, len);
		mix_wrote(m, pos, fake_write_direct(ff, pos, m->buf, len, 0));
		break;
	case 7:
	case 8:
		mix_range(m, 1, &pos, &len);
		mix_compare(m, pos, len, fake_read(ff, pos, m->buf, len));
		break;
	case 9:
	case 10:
		mix_range(m, 512, &pos, &len);
		mix_compare(m, pos, len,
				fake_read_direct(ff, pos, m->buf, len));
		break;
	case 11:
		mix_range(m, 1, &pos, &len);
		assert_int_equal(iomap_writeback(&ff->file, pos, pos + len - 1),
				0);
		page_pool_shrink(ff->pool, rnd(&m->seed) % m->max);
		break;
	case 12:
		mix_zero(m, false);
		break;
	case 13:
		mix_zero(m, true);
		break;
	case 14:
		mix_truncate(m);
		break;
	default:
		mix_check_seek(m);
		if (rnd(&m->seed) % 4 == 0)
			mix_check_disk(m);
		break;
	}
}

static void mix_run(uint32_t bits, uint64_t seed, bool raise, bool indirect,
		unsigned steps)
{
	struct mix m = { .seed = seed, .max = (uint64_t)MIX_BLOCKS << bits };
	/* Space for most of the file, and a pool for a part of it. */
	struct fake_file *ff = fake_new(mem_dev((uint64_t)80 << bits), bits,
			MIX_BLOCKS, (uint64_t)48 << bits);

	m.ff = ff;
	m.model = calloc(1, m.max);
	m.buf = malloc(m.max);
	if (!raise)
		ff->ops.raise_size = NULL;
	ff->no_unwritten = indirect;
	for (unsigned i = 0; i < steps; i++)
		mix_step(&m);
	ff->max_run = 0;
	assert_int_equal(fake_read(ff, 0, m.buf, m.max), m.size);
	assert_memory_equal(m.buf, m.model, m.size);
	mix_check_disk(&m);
	free(m.model);
	free(m.buf);
	fake_free(ff);
}

static void a_random_mix_is_what_the_model_says(void **state)
{
	const char *one = getenv("MIX_SEED");
	uint64_t seed = one != NULL ? strtoull(one, NULL, 0) : 1;
	uint64_t last = one != NULL ? seed : 40;

	for (; seed <= last; seed++) {
		print_message("mix seed %lu\n", (unsigned long)seed);
		mix_run(10 + seed % 3, seed, seed % 2, seed % 5 == 0, 400);
	}
}

/* ---- the mix under faults ---- */

/* One step whose result may be an error. */
static void fault_step(struct mix *m)
{
	struct fake_file *ff = m->ff;
	uint64_t pos;
	uint64_t len;

	ff->max_run = rnd(&m->seed) % 8;
	mix_range(m, rnd(&m->seed) % 2 ? 512 : 1u << ff->bits, &pos, &len);
	fill_random(&m->seed, m->buf, len);
	switch (rnd(&m->seed) % 8) {
	case 0:
	case 1:
		(void)fake_write(ff, pos, m->buf, len);
		break;
	case 2:
	case 3:
		(void)fake_write_direct(ff, pos, m->buf, len, 0);
		break;
	case 4:
		(void)fake_read_direct(ff, pos, m->buf, len);
		break;
	case 5:
		(void)fake_zero(ff, pos, len);
		break;
	case 6:
		(void)(rnd(&m->seed) % 2 ? fake_punch(ff, pos, len)
					 : fake_truncate(ff, pos));
		break;
	default:
		(void)iomap_writeback(&ff->file, 0, UINT64_MAX);
		page_pool_shrink(ff->pool, 0);
		break;
	}
}

static void fault_check(struct mix *m)
{
	for (uint64_t pos = 0; pos < m->ff->file.size; pos += 512) {
		ssize_t n = fake_read(m->ff, pos, m->buf, 512);

		/* The one fault may hit this read. */
		assert_true(n >= 0 || n == -EIO);
		for (ssize_t i = 0; i < n; i++)
			assert_int_not_equal(m->buf[i], FAKE_POISON);
	}
}

/* The n-th request fails, for every n: no poison is seen, no claim and no
 * block is lost, and the next try works. */
static void any_single_fault_leaves_no_poison_and_no_leak(void **state)
{
	for (unsigned nth = 1; nth <= 60; nth++) {
		struct emu_fault fault = {
			.ops = nth % 2 ? EMU_OP(BDEV_WRITE) : EMU_OP(BDEV_READ),
			.nth = nth,
			.count = 1 + nth % 3,
			.err = -EIO,
		};
		struct mix m = { .seed = nth, .max = 48 << 12 };
		struct fake_file *ff =
				fake_new(emu_dev(64 << 12), 12, 64, 24 << 12);

		m.ff = ff;
		m.buf = malloc(m.max);
		assert_int_equal(bdev_emu_fault_add(ff->dev, &fault), 0);
		for (unsigned i = 0; i < 60; i++) {
			fault_step(&m);
			fault_check(&m);
		}
		bdev_emu_fault_clear(ff->dev);
		assert_int_equal(iomap_writeback(&ff->file, 0, UINT64_MAX), 0);
		assert_int_equal(ff->nclaims, 0);
		fault_check(&m);
		free(m.buf);
		fake_free(ff);
	}
}

/* ---- threads ---- */

#define MT_SECTORS 512u
#define MT_SECTOR  512u

struct mt {
	struct fake_file *ff;
	unsigned id;
	unsigned steps;
	atomic_bool *stop;
};

/* A sector is stamped with its number and the writer, eight times. */
static void mt_stamp(uint8_t *buf, uint64_t sector, unsigned n, unsigned id)
{
	for (unsigned s = 0; s < n; s++)
		for (unsigned i = 0; i < MT_SECTOR; i += 64) {
			uint64_t stamp[8] = { sector + s + 1, id + 1 };

			memcpy(buf + s * MT_SECTOR + i, stamp, sizeof(stamp));
		}
}

/* Zero, or the stamp of this sector by one writer. */
static void mt_check(const uint8_t *buf, uint64_t sector, unsigned n)
{
	for (unsigned s = 0; s < n; s++) {
		const uint8_t *p = buf + s * MT_SECTOR;
		uint64_t stamp[2];

		memcpy(stamp, p, sizeof(stamp));
		for (unsigned i = 0; i < MT_SECTOR; i += 64)
			CHECK(memcmp(p, p + i, 64) == 0);
		if (stamp[0] != 0)
			CHECK(stamp[0] == sector + s + 1 && stamp[1] >= 1 &&
					stamp[1] < 16);
		else
			CHECK(stamp[1] == 0);
	}
}

static void *mt_work(void *arg)
{
	struct mt *m = arg;
	struct fake_file *ff = m->ff;
	uint64_t seed = m->id + 77;
	uint8_t *buf = malloc(64 * MT_SECTOR);

	for (unsigned i = 0; i < m->steps; i++) {
		uint64_t sector = rnd(&seed) % (MT_SECTORS - 64);
		unsigned n = 1 + rnd(&seed) % 63;
		size_t len = (size_t)n * MT_SECTOR;
		uint64_t pos = sector * MT_SECTOR;
		ssize_t ret = 0;

		switch (m->id % 6) {
		case 0:
			mt_stamp(buf, sector, n, m->id);
			ret = fake_write(ff, pos, buf, len);
			CHECK(ret == (ssize_t)len);
			break;
		case 1:
			mt_stamp(buf, sector, n, m->id);
			ret = fake_write_direct(ff, pos, buf, len, 0);
			CHECK(ret == (ssize_t)len);
			break;
		case 2:
			ret = fake_read(ff, pos, buf, len);
			CHECK(ret >= 0);
			mt_check(buf, sector, (unsigned)ret / MT_SECTOR);
			break;
		case 3:
			ret = fake_read_direct(ff, pos, buf, len);
			CHECK(ret >= 0);
			mt_check(buf, sector, (unsigned)ret / MT_SECTOR);
			break;
		case 4:
			CHECK(iomap_writeback_pool(ff->pool, 0) == 0);
			page_pool_shrink(ff->pool, 8192);
			CHECK(iomap_seek_data(&ff->file, pos) >= -ENXIO);
			break;
		default:
			/* Whole blocks: a sector is never half zero. */
			if (i % 4 == 0)
				ret = fake_truncate(ff, pos);
			else
				ret = fake_punch(ff, pos, len);
			CHECK(ret == 0);
			break;
		}
	}
	free(buf);
	return NULL;
}

static void threads_see_whole_sectors_and_no_poison(void **state)
{
	struct fake_file *ff = fake_new(emu_dev(1 << 20), 12, 64, 128 << 10);
	pthread_t threads[8];
	struct mt m[8];

	for (unsigned i = 0; i < 8; i++) {
		m[i] = (struct mt){ .ff = ff, .id = i, .steps = 300 };
		assert_int_equal(pthread_create(&threads[i], NULL, mt_work,
						 &m[i]),
				0);
	}
	for (unsigned i = 0; i < 8; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(iomap_writeback(&ff->file, 0, UINT64_MAX), 0);
	assert_int_equal(fake_truncate(ff, 0), 0);
	fake_free(ff);
}

/* ---- speed: told, not judged (the machine is shared) ---- */

static void a_big_copy_is_timed(void **state)
{
	struct fake_file *ff =
			fake_new(mem_dev(128 << 20), 12, 32768, 256 << 20);
	size_t len = 64 << 10;
	uint8_t *buf = malloc(len);
	uint64_t t0;
	uint64_t t1;
	uint64_t t2;

	memset(buf, 7, len);
	for (int round = 0; round < 2; round++) {
		t0 = time_now_ns();
		for (uint64_t pos = 0; pos < 100 << 20; pos += len)
			assert_int_equal(fake_write(ff, pos, buf, len), len);
		t1 = time_now_ns();
		assert_int_equal(iomap_writeback(&ff->file, 0, UINT64_MAX), 0);
		t2 = time_now_ns();
		print_message("100 MiB in 64 KiB calls: %.2f GB/s into the "
			      "cache, %.2f GB/s out of it\n",
				(100 << 20) / (double)(t1 - t0),
				(100 << 20) / (double)(t2 - t1));
	}
	t0 = time_now_ns();
	for (uint64_t pos = 0; pos < 100 << 20; pos += len)
		assert_int_equal(fake_read(ff, pos, buf, len), len);
	t1 = time_now_ns();
	print_message("read from the cache: %.2f GB/s\n",
			(100 << 20) / (double)(t1 - t0));
	free(buf);
	fake_free(ff);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_blocks_are_written_without_reading),
		cmocka_unit_test(a_run_goes_out_in_one_request),
		cmocka_unit_test(a_partial_block_keeps_its_rest),
		cmocka_unit_test(new_blocks_show_zeroes_around_the_data),
		cmocka_unit_test(no_space_makes_a_short_count),
		cmocka_unit_test(dropped_pages_give_their_claims_back),
		cmocka_unit_test(a_stale_mapping_is_asked_for_again),
		cmocka_unit_test(a_failed_page_stays_dirty_and_is_told_once),
		cmocka_unit_test(the_owner_may_fail_at_the_end),
		cmocka_unit_test(pages_that_always_fail_are_given_up),
		cmocka_unit_test(a_bad_sector_hurts_only_its_reader),
		cmocka_unit_test(bytes_beyond_the_size_are_not_written),
		cmocka_unit_test(dirt_behind_eof_is_not_read),
		cmocka_unit_test(a_big_write_stays_within_the_pool),
		cmocka_unit_test(a_sequential_reader_gets_bigger_reads),
		cmocka_unit_test(a_random_reader_gets_what_it_asked_for),
		cmocka_unit_test(a_pool_full_of_one_file_serves_another),
		cmocka_unit_test(a_random_mix_is_what_the_model_says),
		cmocka_unit_test(any_single_fault_leaves_no_poison_and_no_leak),
		cmocka_unit_test(threads_see_whole_sectors_and_no_poison),
		cmocka_unit_test(a_big_copy_is_timed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
