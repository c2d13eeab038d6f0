/* SPDX-License-Identifier: MIT */
/*
 * Direct I/O over a fake mapping: what is asked, what reaches the device, what
 * the owner is told, and how it lives with the page cache.
 */
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "bdev/bdev_emu.h"
#include "fake_file.h"

#define BLK 4096u

/* Memory that is asked for is counted, by glibc's own other names for it; the
 * sanitizers have theirs. */
#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) &&                    \
		!defined(__SANITIZE_THREAD__)
# define HAS_MALLOC_COUNT 1

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);

static atomic_uint malloc_count;

void *malloc(size_t size)
{
	atomic_fetch_add(&malloc_count, 1);
	return __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	atomic_fetch_add(&malloc_count, 1);
	return __libc_calloc(n, size);
}
#else
# define HAS_MALLOC_COUNT 0

static atomic_uint malloc_count;
#endif

static struct bdev *emu_dev(uint64_t size, uint32_t flags)
{
	struct bdev_emu_opts opts = { .flags = flags, .seed = 11 };
	struct emu_img *img;
	struct bdev *dev;

	CHECK(emu_img_new(size, &img) == 0);
	CHECK(bdev_emu_open(img, &opts, &dev) == 0);
	emu_img_free(img);
	return dev;
}

static struct fake_file *small_file(void)
{
	return fake_new(emu_dev(1 << 20, 0), 12, 64, 1 << 20);
}

static ssize_t dio(struct fake_file *ff, uint64_t pos, void *buf, size_t len,
		bool write, uint32_t flags, struct fake_dio_result *ret)
{
	struct iovec iov = { buf, len };
	struct iov_iter it;
	ssize_t done;

	iov_iter_init(&it, &iov, 1);
	done = fake_dio_rw(
			&ff->file, pos, &it, write, &fake_dio_ops, flags, ret);
	/* The iterator says the same. */
	assert_int_equal(len - it.count, done > 0 ? done : 0);
	assert_int_equal(ff->file.dio_count, 0);
	return done;
}

static uint64_t count_ops(struct fake_file *ff, enum bdev_op op)
{
	struct bdev_emu_stats st;

	bdev_emu_stats(ff->dev, &st);
	return st.ops[op];
}

static bool all_are(const uint8_t *p, size_t n, int c)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != c)
			return false;
	return true;
}

/* ---- what is refused ---- */

static void only_whole_sectors_are_taken(void **state)
{
	struct fake_file *ff = small_file();
	uint8_t buf[BLK];

	memset(buf, 1, sizeof(buf));
	assert_int_equal(dio(ff, 100, buf, 512, true, 0, NULL), -EINVAL);
	assert_int_equal(dio(ff, 512, buf, 100, true, 0, NULL), -EINVAL);
	assert_int_equal(dio(ff, 1, buf, 512, false, 0, NULL), -EINVAL);
	assert_int_equal(dio(ff, (uint64_t)INT64_MAX - 511, buf, 512, true, 0,
					 NULL),
			-EINVAL);
	assert_int_equal(ff->nbegin, 0);
	assert_int_equal(dio(ff, 0, buf, 0, true, 0, NULL), 0);
	assert_int_equal(ff->nbegin, 0);
	assert_int_equal(ff->nend_io, 0);
	fake_free(ff);
}

/* ---- the shape of a request ---- */

static void an_overwrite_is_one_question_and_one_request(void **state)
{
	struct fake_file *ff = small_file();
	uint8_t buf[4 * BLK];
	uint64_t writes;

	fake_preset(ff, 0, 16, IOMAP_MAPPED);
	ff->file.size = 16 * BLK;
	memset(buf, 1, sizeof(buf));
	writes = count_ops(ff, BDEV_WRITE);
	assert_int_equal(dio(ff, BLK, buf, sizeof(buf), true, 0, NULL),
			sizeof(buf));
	assert_int_equal(ff->nbegin, 1);
	assert_int_equal(ff->nend_io, 1);
	assert_int_equal(ff->last_end_io_flags, 0);
	assert_int_equal(count_ops(ff, BDEV_WRITE) - writes, 1);
	fake_free(ff);
}

/* DI1 */
static void an_overwrite_asks_for_no_memory(void **state)
{
	struct fake_file *ff;
	struct bdev *dev;
	uint8_t buf[2 * BLK];
	unsigned before;

	if (!HAS_MALLOC_COUNT)
		skip(); /* the sanitizer owns malloc() */
	assert_int_equal(bdev_mem_open(NULL, 1 << 20, 0, &dev), 0);
	ff = fake_new(dev, 12, 64, 1 << 20);
	fake_preset(ff, 0, 16, IOMAP_MAPPED);
	ff->file.size = 16 * BLK;
	memset(buf, 1, sizeof(buf));
	before = atomic_load(&malloc_count);
	assert_true(before > 0);
	assert_int_equal(dio(ff, BLK, buf, sizeof(buf), true, 0, NULL),
			sizeof(buf));
	assert_int_equal(dio(ff, BLK, buf, sizeof(buf), false, 0, NULL),
			sizeof(buf));
	assert_int_equal(atomic_load(&malloc_count), before);
	fake_free(ff);
}

static void a_long_write_is_mapped_in_chunks_and_written_at_once(void **state)
{
	struct fake_file *ff =
			fake_new(emu_dev(20 << 20, 0), 10, 20 << 10, 1 << 20);
	size_t len = 16 << 20;
	uint8_t *buf = malloc(len);
	uint64_t writes = count_ops(ff, BDEV_WRITE);

	memset(buf, 1, len);
	assert_int_equal(dio(ff, 0, buf, len, true, 0, NULL), len);
	assert_int_equal(ff->max_asked, 4096 << 10); /* M1 */
	assert_int_equal(ff->nbegin, 4);
	assert_int_equal(ff->nend_io, 1);
	assert_int_equal(ff->last_end_io_flags,
			IOMAP_DIO_UNWRITTEN | IOMAP_DIO_NEW);
	/* The blocks are neighbours over the chunks. */
	assert_int_equal(count_ops(ff, BDEV_WRITE) - writes, 1);
	assert_int_equal(ff->file.size, len);
	memset(buf, 0, len);
	assert_int_equal(dio(ff, 0, buf, len, false, 0, NULL), len);
	assert_true(all_are(buf, len, 1));
	free(buf);
	fake_free(ff);
}

/* The file's blocks lie backwards, completions come in random order. */
static void scattered_blocks_find_their_bytes(void **state)
{
	struct fake_file *ff = fake_new(
			emu_dev(1 << 20, BDEV_EMU_F_ASYNC), 12, 64, 1 << 20);
	uint8_t buf[40 * BLK];
	uint8_t got[40 * BLK];

	for (uint32_t i = 40; i-- > 0;)
		fake_preset(ff, i, 1,
				i % 3 == 0 ? IOMAP_UNWRITTEN : IOMAP_MAPPED);
	ff->file.size = sizeof(buf);
	for (unsigned i = 0; i < sizeof(buf); i++)
		buf[i] = (uint8_t)(i * 7 + i / BLK);
	assert_int_equal(dio(ff, 0, buf, sizeof(buf), true, 0, NULL),
			sizeof(buf));
	assert_int_equal(dio(ff, 0, got, sizeof(got), false, 0, NULL),
			sizeof(got));
	assert_memory_equal(got, buf, sizeof(got));
	for (uint32_t i = 0; i < 40; i++)
		assert_int_equal(fake_state(ff, i), IOMAP_MAPPED);
	fake_free(ff);
}

static void any_cut_of_the_memory_will_do(void **state)
{
	struct fake_file *ff = small_file();
	static struct iovec iov[1024];
	static uint8_t buf[1024 * 48];
	static uint8_t got[sizeof(buf)];
	struct iov_iter it;

	for (unsigned i = 0; i < sizeof(buf); i++)
		buf[i] = (uint8_t)(i * 7 + i / 512);
	/* 1024 pieces of odd lengths, in an order that does not join. */
	for (unsigned i = 0, at = 0; i < 1024; i++) {
		iov[i].iov_base = buf + at;
		iov[i].iov_len = i % 2 ? 41 : 55;
		at += 48 + (i % 2 ? -7 : 7);
	}
	ff->max_run = 3;
	fake_preset(ff, 1, 1, IOMAP_MAPPED);
	iov_iter_init(&it, iov, 1024);
	assert_int_equal(fake_dio_rw(&ff->file, 512, &it, true, &fake_dio_ops,
					 0, NULL),
			sizeof(buf));
	assert_int_equal(dio(ff, 512, got, sizeof(got), false, 0, NULL),
			sizeof(got));
	assert_memory_equal(got, buf, sizeof(got));
	memset(buf, 0, sizeof(buf));
	iov_iter_init(&it, iov, 1024);
	assert_int_equal(fake_dio_rw(&ff->file, 512, &it, false, NULL, 0, NULL),
			sizeof(buf));
	assert_memory_equal(got, buf, sizeof(got));
	fake_free(ff);
}

/* ---- the rest of a block (B26, B27) ---- */

static void the_rest_of_a_new_block_is_zero(void **state)
{
	struct fake_file *ff = small_file();
	uint64_t writes = count_ops(ff, BDEV_WRITE);
	uint8_t buf[BLK];
	uint8_t got[2 * BLK];

	memset(buf, 1, sizeof(buf));
	assert_int_equal(dio(ff, 512, buf, 1024, true, 0, NULL), 1024);
	assert_int_equal(count_ops(ff, BDEV_WRITE) - writes, 1);
	fake_read_disk(ff, 0, got, BLK);
	assert_true(all_are(got, 512, 0));
	assert_true(all_are(got + 512, 1024, 1));
	assert_true(all_are(got + 1536, BLK - 1536, 0));
	fake_free(ff);
}

static void the_rest_of_an_unwritten_block_is_zero(void **state)
{
	struct fake_file *ff = small_file();
	uint8_t buf[2 * BLK];
	uint8_t got[4 * BLK];

	fake_preset(ff, 0, 4, IOMAP_UNWRITTEN);
	ff->file.size = 4 * BLK;
	memset(buf, 1, sizeof(buf));
	assert_int_equal(dio(ff, BLK + 512, buf, BLK, true, 0, NULL), BLK);
	assert_int_equal(ff->last_end_io_flags, IOMAP_DIO_UNWRITTEN);
	assert_int_equal(fake_state(ff, 0), IOMAP_UNWRITTEN);
	assert_int_equal(fake_state(ff, 3), IOMAP_UNWRITTEN);
	fake_read_disk(ff, 0, got, sizeof(got));
	assert_true(all_are(got, BLK + 512, 0));
	assert_true(all_are(got + BLK + 512, BLK, 1));
	assert_true(all_are(got + 2 * BLK + 512, 2 * BLK - 512, 0));
	fake_free(ff);
}

static void written_neighbours_in_the_block_stay(void **state)
{
	struct fake_file *ff = small_file();
	uint8_t buf[BLK];
	uint8_t got[BLK];

	memset(buf, 1, sizeof(buf));
	assert_int_equal(dio(ff, 0, buf, BLK, true, 0, NULL), BLK);
	memset(buf, 2, sizeof(buf));
	assert_int_equal(dio(ff, 1024, buf, 512, true, 0, NULL), 512);
	fake_read_disk(ff, 0, got, BLK);
	assert_true(all_are(got, 1024, 1));
	assert_true(all_are(got + 1024, 512, 2));
	assert_true(all_are(got + 1536, BLK - 1536, 1));
	fake_free(ff);
}

static void the_block_of_the_new_eof_is_zero_behind_it(void **state)
{
	struct fake_file *ff = small_file();
	uint8_t buf[BLK];
	uint8_t got[BLK];

	/* A mapped EOF block with dirt in it. */
	fake_preset(ff, 0, 1, IOMAP_MAPPED);
	memset(buf, FAKE_POISON, sizeof(buf));
	assert_int_equal(bdev_write(ff->dev, (uint64_t)ff->place[0] << 12, buf,
					 BLK, 0, BDEV_TAG_NONE),
			0);
	ff->file.size = 512;
	memset(buf, 1, sizeof(buf));
	assert_int_equal(dio(ff, 512, buf, 512, true, 0, NULL), 512);
	assert_int_equal(ff->file.size, 1024);
	fake_read_disk(ff, 0, got, BLK);
	assert_true(all_are(got + 512, 512, 1));
	assert_true(all_are(got + 1024, BLK - 1024, 0));
	fake_free(ff);
}

/* ---- short results and errors ---- */

static void what_is_not_for_us_is_left_to_the_cache(void **state)
{
	struct fake_file *ff = small_file();
	struct fake_dio_result res;
	uint8_t buf[4 * BLK];

	ff->no_unwritten = true;
	fake_preset(ff, 0, 2, IOMAP_MAPPED);
	ff->file.size = 4 * BLK;
	memset(buf, 1, sizeof(buf));
	assert_int_equal(dio(ff, 0, buf, sizeof(buf), true, 0, &res), 2 * BLK);
	assert_int_equal(res.mapped_end, 2 * BLK);
	assert_int_equal(dio(ff, 2 * BLK, buf, BLK, true, 0, &res), 0);
	assert_int_equal(res.mapped_end, 0);
	assert_int_equal(ff->nend_io, 1); /* E8: not for nothing */
	fake_free(ff);
}

static void no_space_midway_is_a_short_write(void **state)
{
	struct fake_file *ff = fake_new(emu_dev(3 * BLK, 0), 12, 64, 1 << 20);
	uint8_t buf[5 * BLK];

	memset(buf, 1, sizeof(buf));
	assert_int_equal(dio(ff, 0, buf, sizeof(buf), true, 0, NULL), 3 * BLK);
	assert_int_equal(ff->file.size, 3 * BLK);
	assert_int_equal(dio(ff, 3 * BLK, buf, BLK, true, 0, NULL), -ENOSPC);
	fake_free(ff);
}

/* E1, B28 */
static void a_failed_write_converts_nothing(void **state)
{
	struct fake_file *ff = small_file();
	struct emu_fault fault = {
		.ops = EMU_OP(BDEV_WRITE), .nth = 2, .count = 1, .err = -EIO
	};
	uint8_t buf[8 * BLK];

	/* Not in a row: several requests, the second one fails. */
	for (uint32_t i = 8; i-- > 0;)
		fake_preset(ff, i, 1, IOMAP_UNWRITTEN);
	memset(buf, 1, sizeof(buf));
	assert_int_equal(bdev_emu_fault_add(ff->dev, &fault), 0);
	assert_int_equal(dio(ff, 0, buf, sizeof(buf), true, 0, NULL), -EIO);
	assert_int_equal(ff->last_end_io_err, -EIO);
	assert_int_equal(ff->file.size, 0);
	for (uint32_t i = 0; i < 8; i++)
		assert_int_equal(fake_state(ff, i), IOMAP_UNWRITTEN);
	bdev_emu_fault_clear(ff->dev);
	assert_int_equal(dio(ff, 0, buf, sizeof(buf), true, 0, NULL),
			sizeof(buf));
	fake_free(ff);
}

static int failing_end_io(struct iomap_file *f, uint64_t pos, uint64_t done,
		int err, uint32_t flags)
{
	return -EROFS;
}

static void the_owner_can_fail_the_request(void **state)
{
	const struct fake_dio_ops ops = { .end_io = failing_end_io };
	struct fake_file *ff = small_file();
	uint8_t buf[BLK];
	struct iovec iov = { buf, BLK };
	struct iov_iter it;

	memset(buf, 1, sizeof(buf));
	iov_iter_init(&it, &iov, 1);
	assert_int_equal(fake_dio_rw(&ff->file, 0, &it, true, &ops, 0, NULL),
			-EROFS);
	assert_int_equal(it.count, BLK);
	fake_free(ff);
}

/* ---- reads ---- */

/* B43: isize by position by length, over every state. */
static void reads_end_at_eof(void **state)
{
	static const uint32_t sizes[] = { 1, 511, 512, 513, 4095, 4096, 4097,
		8191, 8192, 8193, 12287 };
	struct fake_file *ff = small_file();
	uint8_t buf[5 * BLK];

	fake_preset(ff, 0, 1, IOMAP_MAPPED);
	fake_preset(ff, 1, 1, IOMAP_UNWRITTEN);
	fake_preset(ff, 2, 1, IOMAP_MAPPED);
	for (unsigned s = 0; s < array_len(sizes); s++) {
		ff->file.size = sizes[s];
		for (uint64_t pos = 0; pos < 16384; pos += 512) {
			uint64_t len = 512 + pos % 4096;
			uint64_t left = pos < sizes[s] ? sizes[s] - pos : 0;

			memset(buf, 9, sizeof(buf));
			assert_int_equal(dio(ff, pos, buf, len, false, 0, NULL),
					min_u64(len, left));
			/* Behind EOF: as it was, or zero. */
			for (uint64_t i = 0; i < len; i++)
				assert_true(buf[i] == 0 ||
						(i >= left && buf[i] == 9));
			assert_true(all_are(buf + len, sizeof(buf) - len, 9));
		}
	}
	ff->file.size = 3 * BLK;
	fake_free(ff);
}

static void dirt_behind_eof_is_not_shown(void **state)
{
	struct fake_file *ff = small_file();
	uint8_t buf[BLK];

	fake_preset(ff, 0, 1, IOMAP_MAPPED);
	memset(buf, FAKE_POISON, sizeof(buf));
	assert_int_equal(bdev_write(ff->dev, (uint64_t)ff->place[0] << 12, buf,
					 BLK, 0, BDEV_TAG_NONE),
			0);
	ff->file.size = 100;
	memset(buf, 9, sizeof(buf));
	assert_int_equal(dio(ff, 0, buf, BLK, false, 0, NULL), 100);
	assert_true(all_are(buf + 100, 412, 0));
	fake_free(ff);
}

static void holes_read_as_zeroes_without_the_device(void **state)
{
	struct fake_file *ff = small_file();
	uint64_t reads = count_ops(ff, BDEV_READ);
	uint8_t buf[4 * BLK];

	fake_preset(ff, 1, 1, IOMAP_UNWRITTEN);
	ff->file.size = sizeof(buf);
	memset(buf, 9, sizeof(buf));
	assert_int_equal(dio(ff, 0, buf, sizeof(buf), false, 0, NULL),
			sizeof(buf));
	assert_true(all_are(buf, sizeof(buf), 0));
	assert_int_equal(count_ops(ff, BDEV_READ), reads);
	fake_free(ff);
}

/* ---- the cache ---- */

static void neighbours_on_the_device_between_holes_are_read(void **state)
{
	struct fake_file *ff = small_file();
	uint8_t buf[40 * BLK];
	uint32_t i;

	/* Every other block of the file, one behind the other on the device. */
	for (i = 0; i < 40; i += 2) {
		fake_preset(ff, i, 1, IOMAP_MAPPED);
		memset(buf, 1 + (int)i, BLK);
		assert_int_equal(bdev_write(ff->dev,
						 (uint64_t)ff->place[i] << 12,
						 buf, BLK, 0, BDEV_TAG_NONE),
				0);
		assert_int_equal(ff->place[i], ff->place[0] + i / 2);
	}
	ff->file.size = sizeof(buf);
	assert_int_equal(dio(ff, 0, buf, sizeof(buf), false, 0, NULL),
			sizeof(buf));
	for (i = 0; i < 40; i++)
		assert_true(all_are(
				buf + i * BLK, BLK, i % 2 ? 0 : 1 + (int)i));
	fake_free(ff);
}

static void a_direct_read_sees_what_was_written_buffered(void **state)
{
	struct fake_file *ff = small_file();
	uint8_t buf[2 * BLK];

	memset(buf, 3, sizeof(buf));
	assert_int_equal(fake_write(ff, 0, buf, sizeof(buf)), sizeof(buf));
	memset(buf, 0, sizeof(buf));
	assert_int_equal(dio(ff, 0, buf, sizeof(buf), false, 0, NULL),
			sizeof(buf));
	assert_true(all_are(buf, sizeof(buf), 3));
	/* The pages stay, clean. */
	assert_int_equal(ff->file.pages.npages, 2);
	assert_int_equal(ff->file.pages.ndirty, 0);
	fake_free(ff);
}

static void a_direct_write_drops_the_pages_it_covers(void **state)
{
	struct fake_file *ff = small_file();
	uint8_t buf[4 * BLK];

	memset(buf, 3, sizeof(buf));
	assert_int_equal(fake_write(ff, 0, buf, sizeof(buf)), sizeof(buf));
	memset(buf, 4, sizeof(buf));
	assert_int_equal(dio(ff, BLK + 512, buf, 512, true, 0, NULL), 512);
	assert_int_equal(ff->file.pages.npages, 3);
	assert_int_equal(fake_read(ff, 0, buf, sizeof(buf)), sizeof(buf));
	assert_true(all_are(buf, BLK + 512, 3));
	assert_true(all_are(buf + BLK + 512, 512, 4));
	assert_true(all_are(buf + BLK + 1024, 3 * BLK - 1024, 3));
	assert_int_equal(iomap_writeback(&ff->file, 0, UINT64_MAX), 0);
	fake_free(ff);
}

/* B7: what cannot be written back cannot be dropped either. */
static void dirty_pages_that_stay_send_the_write_to_the_cache(void **state)
{
	struct fake_file *ff = small_file();
	uint8_t buf[BLK];
	struct iovec iov = { buf, BLK };
	struct iov_iter it;

	/* Beyond isize, which its writer has not raised. */
	ff->ops.raise_size = NULL;
	memset(buf, 3, sizeof(buf));
	iov_iter_init(&it, &iov, 1);
	assert_int_equal(iomap_buffered_write(&ff->file, 0, &it), BLK);
	assert_int_equal(dio(ff, 0, buf, BLK, true, 0, NULL), 0);
	assert_int_equal(ff->nend_io, 0);
	assert_int_equal(ff->file.ninval_failed, 0);
	fake_free(ff);
}

/* ---- flags ---- */

static void nowait_does_not_wait_or_allocate(void **state)
{
	const uint32_t flags = IOMAP_DIO_NOWAIT;
	struct fake_file *ff = small_file();
	uint8_t buf[4 * BLK];

	fake_preset(ff, 0, 2, IOMAP_MAPPED);
	ff->file.size = 4 * BLK;
	memset(buf, 3, sizeof(buf));
	assert_int_equal(dio(ff, 0, buf, 2 * BLK, true, flags, NULL), 2 * BLK);
	assert_int_equal(
			dio(ff, BLK, buf, 2 * BLK, true, flags, NULL), -EAGAIN);
	assert_int_equal(fake_state(ff, 2), IOMAP_HOLE);
	/* Dirty pages would have to be written back. */
	assert_int_equal(fake_write(ff, 0, buf, BLK), BLK);
	assert_int_equal(dio(ff, 0, buf, BLK, true, flags, NULL), -EAGAIN);
	assert_int_equal(dio(ff, 0, buf, BLK, false, flags, NULL), -EAGAIN);
	assert_int_equal(dio(ff, BLK, buf, BLK, false, flags, NULL), BLK);
	assert_int_equal(iomap_writeback(&ff->file, 0, UINT64_MAX), 0);
	assert_int_equal(dio(ff, 0, buf, BLK, true, flags, NULL), BLK);
	assert_int_equal(ff->file.pages.npages, 0);
	fake_free(ff);
}

static void overwrite_only_takes_nothing_else(void **state)
{
	const uint32_t flags = IOMAP_DIO_OVERWRITE_ONLY;
	struct fake_file *ff = small_file();
	uint8_t buf[4 * BLK];

	fake_preset(ff, 0, 2, IOMAP_MAPPED);
	fake_preset(ff, 2, 1, IOMAP_UNWRITTEN);
	ff->file.size = 4 * BLK;
	memset(buf, 3, sizeof(buf));
	assert_int_equal(dio(ff, 512, buf, BLK, true, flags, NULL), BLK);
	assert_int_equal(
			dio(ff, BLK, buf, 2 * BLK, true, flags, NULL), -EAGAIN);
	assert_int_equal(fake_state(ff, 2), IOMAP_UNWRITTEN);
	fake_free(ff);
}

/* E6, B22: one case a line. */
static void fua_only_where_it_covers_all(void **state)
{
	static const struct {
		uint64_t pos;
		uint32_t len;
		bool dirty;
		bool fua;
		bool need_sync;
	} cases[] = {
		{ 0, BLK, false, true, false },       /* plain overwrite */
		{ 0, BLK, true, false, true },        /* dirty inode */
		{ 2 * BLK, BLK, false, false, true }, /* unwritten */
		{ BLK, 2 * BLK, false, false, true }, /* mixed */
		{ 4 * BLK, BLK, false, false, true }, /* new */
		{ 7 * BLK, BLK, false, false, true }, /* beyond isize */
	};
	uint8_t buf[2 * BLK];

	memset(buf, 3, sizeof(buf));
	for (unsigned i = 0; i < array_len(cases); i++) {
		struct fake_file *ff = small_file();
		struct fake_dio_result res;
		struct emu_img *base;
		struct emu_log *log;
		bool fua = false;

		fake_preset(ff, 0, 2, IOMAP_MAPPED);
		fake_preset(ff, 2, 1, IOMAP_UNWRITTEN);
		fake_preset(ff, 7, 1, IOMAP_MAPPED);
		ff->file.size = 6 * BLK;
		ff->dirty = cases[i].dirty;
		assert_int_equal(bdev_emu_record(ff->dev), 0);
		assert_int_equal(dio(ff, cases[i].pos, buf, cases[i].len, true,
						 IOMAP_DIO_FUA, &res),
				cases[i].len);
		assert_int_equal(bdev_emu_take_log(ff->dev, &base, &log), 0);
		for (uint64_t e = 0; e < log->n; e++)
			fua |= log->ents[e]->flags & BDEV_F_FUA;
		assert_int_equal(fua, cases[i].fua);
		assert_int_equal(res.need_sync, cases[i].need_sync);
		emu_log_free(log);
		emu_img_free(base);
		fake_free(ff);
	}
}

static void without_dsync_nobody_syncs(void **state)
{
	struct fake_file *ff = small_file();
	struct fake_dio_result res;
	uint8_t buf[BLK];

	memset(buf, 3, sizeof(buf));
	assert_int_equal(dio(ff, 0, buf, BLK, true, 0, &res), BLK);
	assert_false(res.need_sync);
	assert_int_equal(count_ops(ff, BDEV_FLUSH), 0);
	fake_free(ff);
}

/* ---- order (E4) ---- */

/* Somebody fills the page when the data is on the device and the mapping and
 * the size are still the old ones. */
static int reading_end_io(struct iomap_file *f, uint64_t pos, uint64_t done,
		int err, uint32_t flags)
{
	struct fake_file *ff = container_of(f, struct fake_file, file);
	uint8_t buf[BLK];

	CHECK(fake_read(ff, round_down_u64(pos, BLK), buf, BLK) >= 0);
	CHECK(f->pages.npages > 0);
	return fake_dio_ops.end_io(f, pos, done, err, flags);
}

/* B4, B6 */
static void a_page_filled_too_early_does_not_survive(void **state)
{
	const struct fake_dio_ops ops = { .end_io = reading_end_io };
	struct fake_file *ff = small_file();
	uint8_t buf[BLK];
	uint8_t got[BLK];
	struct iovec iov = { buf, 1024 };
	struct iov_iter it;

	fake_preset(ff, 0, 1, IOMAP_UNWRITTEN);
	ff->file.size = 512;
	memset(buf, 3, sizeof(buf));
	iov_iter_init(&it, &iov, 1);
	assert_int_equal(fake_dio_rw(&ff->file, 0, &it, true, &ops, 0, NULL),
			1024);
	assert_int_equal(fake_read(ff, 0, got, BLK), 1024);
	assert_memory_equal(got, buf, 1024);
	fake_free(ff);
}

struct gate {
	struct fake_file *ff;
	sem_t entered;
	sem_t go;
	atomic_bool drained;
};

static void gate_stop(void *ctx, const struct bdev_io *io)
{
	struct gate *g = ctx;

	if (io->op != BDEV_WRITE)
		return;
	sem_post(&g->entered);
	while (sem_wait(&g->go) != 0)
		;
}

static void *gated_write(void *arg)
{
	struct gate *g = arg;
	static uint8_t buf[BLK];

	memset(buf, 3, sizeof(buf));
	CHECK(fake_write_direct(g->ff, 0, buf, BLK, 0) == BLK);
	return NULL;
}

static void *drainer(void *arg)
{
	struct gate *g = arg;

	iomap_dio_drain(&g->ff->file);
	atomic_store(&g->drained, true);
	return NULL;
}

static void a_drain_waits_for_what_is_in_flight(void **state)
{
	struct fake_file *ff = small_file();
	struct gate g = { .ff = ff };
	struct timespec ts = { .tv_nsec = 20000000 };
	pthread_t writer;
	pthread_t waiter;

	fake_preset(ff, 0, 1, IOMAP_MAPPED);
	ff->file.size = BLK;
	sem_init(&g.entered, 0, 0);
	sem_init(&g.go, 0, 0);
	bdev_emu_set_gate(ff->dev, gate_stop, &g);
	pthread_create(&writer, NULL, gated_write, &g);
	while (sem_wait(&g.entered) != 0)
		;
	assert_int_equal(ff->file.dio_count, 1);
	pthread_create(&waiter, NULL, drainer, &g);
	nanosleep(&ts, NULL);
	assert_false(atomic_load(&g.drained));
	sem_post(&g.go);
	pthread_join(writer, NULL);
	pthread_join(waiter, NULL);
	assert_true(atomic_load(&g.drained));
	bdev_emu_set_gate(ff->dev, NULL, NULL);
	fake_free(ff);
}

/* ---- speed: told, not judged (the machine is shared) ---- */

static void the_cost_above_the_device_is_told(void **state)
{
	struct fake_file *ff;
	struct bdev *dev;
	const unsigned n = 200000;
	uint8_t *buf = aligned_alloc(BLK, BLK);
	uint64_t t0;
	uint64_t t1;
	uint64_t t2;

	assert_int_equal(bdev_mem_open(NULL, 1 << 20, 0, &dev), 0);
	ff = fake_new(dev, 12, 64, 1 << 20);
	fake_preset(ff, 0, 16, IOMAP_MAPPED);
	ff->file.size = 16 * BLK;
	memset(buf, 3, BLK);
	for (int round = 0; round < 3; round++) {
		t0 = time_now_ns();
		for (unsigned i = 0; i < n; i++)
			assert_int_equal(bdev_write(dev, i % 16 * BLK, buf, BLK,
							 0, BDEV_TAG_DATA),
					0);
		t1 = time_now_ns();
		for (unsigned i = 0; i < n; i++)
			dio(ff, i % 16 * BLK, buf, BLK, true, 0, NULL);
		t2 = time_now_ns();
		print_message("4 KiB overwrite: device %.0f ns, direct I/O "
			      "%.0f ns\n",
				(double)(t1 - t0) / n, (double)(t2 - t1) / n);
	}
	free(buf);
	fake_free(ff);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_whole_sectors_are_taken),
		cmocka_unit_test(an_overwrite_is_one_question_and_one_request),
		cmocka_unit_test(an_overwrite_asks_for_no_memory),
		cmocka_unit_test(
				a_long_write_is_mapped_in_chunks_and_written_at_once),
		cmocka_unit_test(scattered_blocks_find_their_bytes),
		cmocka_unit_test(any_cut_of_the_memory_will_do),
		cmocka_unit_test(the_rest_of_a_new_block_is_zero),
		cmocka_unit_test(the_rest_of_an_unwritten_block_is_zero),
		cmocka_unit_test(written_neighbours_in_the_block_stay),
		cmocka_unit_test(the_block_of_the_new_eof_is_zero_behind_it),
		cmocka_unit_test(what_is_not_for_us_is_left_to_the_cache),
		cmocka_unit_test(no_space_midway_is_a_short_write),
		cmocka_unit_test(a_failed_write_converts_nothing),
		cmocka_unit_test(the_owner_can_fail_the_request),
		cmocka_unit_test(reads_end_at_eof),
		cmocka_unit_test(dirt_behind_eof_is_not_shown),
		cmocka_unit_test(holes_read_as_zeroes_without_the_device),
		cmocka_unit_test(
				neighbours_on_the_device_between_holes_are_read),
		cmocka_unit_test(a_direct_read_sees_what_was_written_buffered),
		cmocka_unit_test(a_direct_write_drops_the_pages_it_covers),
		cmocka_unit_test(
				dirty_pages_that_stay_send_the_write_to_the_cache),
		cmocka_unit_test(nowait_does_not_wait_or_allocate),
		cmocka_unit_test(overwrite_only_takes_nothing_else),
		cmocka_unit_test(fua_only_where_it_covers_all),
		cmocka_unit_test(without_dsync_nobody_syncs),
		cmocka_unit_test(a_page_filled_too_early_does_not_survive),
		cmocka_unit_test(a_drain_waits_for_what_is_in_flight),
		cmocka_unit_test(the_cost_above_the_device_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
