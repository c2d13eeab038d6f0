/* SPDX-License-Identifier: MIT */
/*
 * Bugs of what is written, what is durable, and what is told. See dio_bugs.h.
 */
#include "dio_bugs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "fs/fs.h"

#define BOTH(name, lacks, fn)                                                  \
 { name " datafirst", lacks, fn, NULL, DATAFIRST, 0 },                         \
 {                                                                             \
  name " unwritten", lacks, fn, NULL, UNWRITTEN, 0                             \
 }

/* ---- zeroes around the data ---- */

/* What a file has in its block behind the end, as only others leave it. */
static void soil_tail(struct scene *s, uint64_t size)
{
	uint8_t junk[300];
	struct map_run run = scene_run(s, size);

	memset(junk, 'J', sizeof(junk));
	assert_int_equal(
			bdev_write(s->b.dev,
					run.pblk * s->b.e.bs + size % s->b.e.bs,
					junk, sizeof(junk), 0, 0),
			0);
	/* as if it had just been read from the disk */
	atomic_fetch_and(&s->f->inode->state, ~INODE_S_EOF_CLEAN);
}

static bool b25_rubbish_behind_the_old_end(struct scene *s)
{
	put(s->f, 0, 1024, 'x');
	soil_tail(s, 1024);
	put(s->f, 12288, 4096, 'y');
	return differs(s->f, 1024, 12288 - 1024, 0);
}

static bool b26_the_tail_of_a_new_last_block(struct scene *s)
{
	put(s->f, 0, 512, 'd');
	put(s->f, 8192, 4096, 'e');
	return differs(s->f, 512, 8192 - 512, 0);
}

static bool b27_a_block_half_written_is_wholly_converted(struct scene *s)
{
	assert_int_equal(uext4_ftruncate(s->f, 65536), 0);
	put(s->f, 8192 + 1024, 512, 'd');
	put(s->f, 16384 + 512, 4096, 'e');
	return differs(s->f, 8192, 1024, 0) ||
			differs(s->f, 8192 + 1536, 8192 - 1024, 0) ||
			differs(s->f, 16384 + 512, 4096, 'e') ||
			differs(s->f, 16384 + 4608, 3584, 0);
}

/* ---- what is not there yet ---- */

static bool b9_a_reader_before_the_data(struct scene *s)
{
	struct flight w;
	bool damaged;

	assert_int_equal(uext4_ftruncate(s->f, 65536), 0);
	hold(0, BDEV_WRITE, 'w', 1);
	fly(&w, s->f, 8192, 4096, 'w', 0);
	hold_wait(0);
	damaged = differs(s->f, 8192, 4096, 0);
	hold_open(0);
	assert_int_equal(land(&w), 4096);
	return damaged || differs(s->f, 8192, 4096, 'w');
}

/* The disk as it is while a write into a hole is under way and everything that
 * can be committed is. */
static bool hole_after_a_cut(struct scene *s)
{
	struct emu_img *img;
	struct writer w;

	assert_int_equal(uext4_ftruncate(s->f, 65536), 0);
	hold(0, BDEV_WRITE, 'w', 1);
	writer_start(&w, s->f, 8192, 4096, 'w');
	hold_wait(0);
	assert_int_equal(journal_sync(s->b.e.fs->journal), 0);
	assert_int_equal(bdev_emu_durable_image(s->b.dev, &img), 0);
	hold_open(0);
	writer_join(&w);
	scene_cut(s);
	env_close(s->f);
	assert_int_equal(bug_unmount(&s->b), 0);
	assert_int_equal(emu_img_save(img, s->b.e.img), 0);
	emu_img_free(img);
	bug_mount(&s->b);
	s->f = env_open(&s->b.e, "/f", UEXT4_O_RDWR);
	return differs(s->f, 8192, 4096, 0);
}

static bool b28_failed_data_is_shown(struct scene *s)
{
	struct emu_fault fault = {
		.ops = EMU_OP(BDEV_WRITE),
		.tags = 1u << BDEV_TAG_DATA,
		.err = -EIO,
	};

	assert_int_equal(uext4_ftruncate(s->f, 65536), 0);
	assert_int_equal(bdev_emu_fault_add(s->b.dev, &fault), 0);
	(void)write_rwf(s->f, 8192, 8192, 'w', 0);
	(void)write_rwf(s->f, 65536, 8192, 'w', 0);
	bdev_emu_fault_clear(s->b.dev);
	return env_size(s->f) != 65536 || differs(s->f, 0, 65536, 0);
}

static bool b29_a_failed_append_keeps_its_blocks(struct scene *s)
{
	struct emu_fault fault = {
		.ops = EMU_OP(BDEV_WRITE),
		.tags = 1u << BDEV_TAG_DATA,
		.err = -EIO,
	};
	uint64_t before;

	put(s->f, 0, 4096, 'x');
	before = env_stat(&s->b.e, "/f").sectors;
	assert_int_equal(bdev_emu_fault_add(s->b.dev, &fault), 0);
	assert_int_equal(write_rwf(s->f, 4096, 1 << 20, 'w', 0), -EIO);
	bdev_emu_fault_clear(s->b.dev);
	env_close(s->f);
	s->f = NULL;
	return env_stat(&s->b.e, "/f").sectors != before;
}

/* ---- durable or not ---- */

static bool lost_after(struct scene *s, uint64_t pos, size_t len)
{
	assert_int_equal(write_rwf(s->f, pos, len, 'd', UEXT4_RW_DSYNC), len);
	scene_cut(s);
	return env_size(s->f) < pos + len || differs(s->f, pos, len, 'd');
}

static bool b21_synced_before_the_size(struct scene *s)
{
	return lost_after(s, 0, 8192);
}

static bool b22_fua_for_an_append(struct scene *s)
{
	return lost_after(s, 0, 4096);
}

static bool b22_fua_for_a_hole(struct scene *s)
{
	assert_int_equal(uext4_ftruncate(s->f, 65536), 0);
	assert_int_equal(uext4_fsync(s->f), 0);
	return lost_after(s, 8192, 4096);
}

static bool b22_fua_for_an_unwritten_block(struct scene *s)
{
	assert_int_equal(uext4_fallocate(s->f, 0, 0, 65536), 0);
	assert_int_equal(uext4_fsync(s->f), 0);
	return lost_after(s, 8192, 4096);
}

static bool b22_fua_for_blocks_not_committed(struct scene *s)
{
	put(s->f, 0, 8192, 'x');
	return lost_after(s, 4096, 4096);
}

/* Without a journal, too, the device is told to keep it. */
static bool b23_dsync_without_a_journal(struct scene *s)
{
	static const struct {
		uint64_t pos;
		size_t len;
	} w[] = { { 0, 8192 }, { 4096, 4096 }, { 512, 512 }, { 65536, 512 } };
	bool damaged = false;

	for (int i = 0; i < 4; i++) {
		uint64_t flushes = bug_count(&s->b, BDEV_FLUSH);
		bool fua = false;
		struct emu_img *base;
		struct emu_log *log;

		assert_int_equal(bdev_emu_record(s->b.dev), 0);
		assert_int_equal(write_rwf(s->f, w[i].pos, w[i].len, 'd',
						 UEXT4_RW_DSYNC),
				w[i].len);
		assert_int_equal(bdev_emu_take_log(s->b.dev, &base, &log), 0);
		for (uint64_t k = 0; k < log->n; k++)
			fua |= log->ents[k]->kind == EMU_WRITE &&
					(log->ents[k]->flags & BDEV_F_FUA);
		emu_log_free(log);
		emu_img_free(base);
		damaged |= !fua && bug_count(&s->b, BDEV_FLUSH) == flushes;
	}
	return damaged;
}

static bool b46_the_size_on_disk_is_the_larger(struct scene *s)
{
	struct uext4_file *f = env_open(&s->b.e, "/f", UEXT4_O_RDWR);

	put(f, 0, 100, 'f');
	assert_int_equal(uext4_fsync(f), 0);
	env_close(f);
	scene_cut(s);
	return env_size(s->f) != 100;
}

/* ---- space ---- */

/* Every second block of what is allocated and unwritten, with nothing free:
 * each of them splits an extent. */
static bool b30_no_space_for_the_conversion(struct scene *s)
{
	uint32_t bs = s->b.e.bs;
	struct uext4_file *g;
	bool damaged = false;

	assert_int_equal(uext4_fallocate(s->f, 0, 0, 1200ull * bs), 0);
	g = take_all(s, "/g");
	for (unsigned i = 0; i < 1200; i += 2)
		damaged |= write_rwf(s->f, (uint64_t)i * bs, bs, 'a', 0) !=
				(ssize_t)bs;
	for (unsigned i = 0; i < 1200 && !damaged; i++)
		damaged = differs(s->f, (uint64_t)i * bs, bs, i % 2 ? 0 : 'a');
	env_close(g);
	return damaged;
}

/* All space has been freed, but by what is not committed yet. */
static bool b31_freed_space_is_not_there_yet(struct scene *s)
{
	struct uext4_file *g = take_all(s, "/g");
	ssize_t n;

	env_close(g);
	assert_int_equal(env_unlink(&s->b.e, "/g"), 0);
	n = write_rwf(s->f, 0, BIG, 'y', 0);
	return n != (ssize_t)BIG;
}

/* ---- modes, and what is left over ---- */

static bool b32_nowait_allocates(struct scene *s)
{
	uint64_t before;
	bool damaged;

	assert_int_equal(uext4_ftruncate(s->f, 65536), 0);
	before = env_stat(&s->b.e, "/f").sectors;
	damaged = write_rwf(s->f, 8192, 4096, 'n', UEXT4_RW_NOWAIT) != -EAGAIN;
	damaged |= write_rwf(s->f, 65536, 4096, 'n', UEXT4_RW_NOWAIT) !=
			-EAGAIN;
	return damaged || env_size(s->f) != 65536 ||
			env_stat(&s->b.e, "/f").sectors != before;
}

/* Written, then a hole that is written through the cache. */
static bool b34_the_rest_is_not_counted(struct scene *s)
{
	put(s->f, 0, 4096, 'a');
	assert_int_equal(uext4_ftruncate(s->f, 1 << 20), 0);
	return write_rwf(s->f, 0, 20480, 'n', 0) != 20480 ||
			atomic_load(&s->f->inode->file.pages.npages) != 0 ||
			differs(s->f, 0, 20480, 'n');
}

/* A queue knows where the file was when it wrote there last. */
static bool b38_an_old_answer_is_used_again(struct scene *s)
{
	const struct uext4_queue_opts o = { .size = sizeof(o), .depth = 1 };
	struct uext4_sqe sqe = { .op = UEXT4_OP_WRITE, .file = s->f };
	struct uext4_event ev;
	struct uext4_queue *q;
	struct uext4_file *g;
	bool damaged;

	s->buf = env_alloc(1 << 20, 'q');
	sqe.buf = s->buf;
	sqe.len = 1 << 20;
	put(s->f, 0, BIG, 'x');
	assert_int_equal(uext4_queue_open(s->b.e.fs, &o, &q), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(uext4_queue_prep(q, &sqe), 0);
		assert_int_equal(uext4_queue_submit(q), 1);
		assert_int_equal(uext4_queue_wait(q, 1, -1, &ev, 1), 1);
		if (i == 1)
			break;
		assert_int_equal(ev.result, sqe.len);
		assert_int_equal(
				uext4_fallocate(s->f,
						UEXT4_FALLOC_PUNCH_HOLE |
								UEXT4_FALLOC_KEEP_SIZE,
						0, BIG),
				0);
		assert_int_equal(uext4_sync(s->b.e.fs), 0);
		g = take_all(s, "/g");
	}
	uext4_queue_close(q);
	damaged = differs(g, 0, env_size(g), 'g');
	env_close(g);
	return damaged;
}

/* Bytes and blocks around 2^31 and 2^32, and the last block that there is. */
static bool b40_large_offsets(struct scene *s)
{
	static const uint64_t at[] = {
		(UINT64_C(1) << 31) - 4096,
		UINT64_C(1) << 31,
		(UINT64_C(1) << 32) - 4096,
		UINT64_C(1) << 32,
		(UINT64_C(1) << 43) - 4096, /* block 2^31 */
		UINT64_C(1) << 43,
		((UINT64_C(1) << 32) - 2) << 12,
	};
	bool damaged = false;

	for (int i = 0; i < 7; i++)
		put(s->f, at[i], 4096, 'a' + i);
	for (int i = 0; i < 7; i++)
		damaged |= differs(s->f, at[i], 4096, 'a' + i);
	return damaged || differs(s->f, 0, 65536, 0) ||
			env_size(s->f) != at[6] + 4096;
}

/* isize anywhere in a block, reads around it. */
static bool b43_reads_at_the_end(struct scene *s)
{
	static const uint64_t sizes[] = { 8192, 8193, 8704, 9000, 12287 };
	uint8_t *buf = env_alloc(8192, 0);
	bool damaged = false;

	put(s->f, 0, 12288, 'x');
	for (int i = 4; i >= 0; i--) {
		assert_int_equal(uext4_ftruncate(s->f, sizes[i]), 0);
		for (uint64_t pos = 0; pos <= 16384; pos += 512) {
			uint64_t left = pos < sizes[i] ? sizes[i] - pos : 0;
			ssize_t want = left < 8192 ? (ssize_t)left : 8192;
			ssize_t n;

			memset(buf, 0xee, 8192);
			n = uext4_pread(s->f, buf, 8192, pos);
			damaged |= n != want;
			for (ssize_t k = 0; k < n; k++)
				damaged |= buf[k] != 'x';
		}
	}
	free(buf);
	return damaged;
}

const struct bug_case data_cases[] = {
	BOTH("b9_a_reader_before_the_data", 0, b9_a_reader_before_the_data),
	{ "b9_a_reader_before_the_data", IOMAP_LACKS_UNWRITTEN,
			b9_a_reader_before_the_data, NULL, UNWRITTEN, 0 },
	{ "b9_a_cut_before_the_data", IOMAP_LACKS_UNWRITTEN, hole_after_a_cut,
			NULL, UNWRITTEN, 0 },
	BOTH("b21_synced_before_the_size", IOMAP_LACKS_SYNC_LAST,
			b21_synced_before_the_size),
	BOTH("b22_fua_for_an_append", IOMAP_LACKS_FUA_RULE,
			b22_fua_for_an_append),
	BOTH("b22_fua_for_a_hole", IOMAP_LACKS_FUA_RULE, b22_fua_for_a_hole),
	BOTH("b22_fua_for_an_unwritten_block", IOMAP_LACKS_FUA_RULE,
			b22_fua_for_an_unwritten_block),
	BOTH("b22_fua_for_blocks_not_committed", IOMAP_LACKS_FUA_RULE,
			b22_fua_for_blocks_not_committed),
	{ "b23_dsync_without_a_journal", 0, b23_dsync_without_a_journal,
			"ext4-4k-nojournal", DATAFIRST, 0 },
	BOTH("b25_rubbish_behind_the_old_end", IOMAP_LACKS_TAIL,
			b25_rubbish_behind_the_old_end),
	BOTH("b26_the_tail_of_a_new_last_block", IOMAP_LACKS_PADDING,
			b26_the_tail_of_a_new_last_block),
	BOTH("b27_a_block_half_written_is_wholly_converted",
			IOMAP_LACKS_PADDING,
			b27_a_block_half_written_is_wholly_converted),
	BOTH("b28_failed_data_is_shown", IOMAP_LACKS_ERROR,
			b28_failed_data_is_shown),
	{ "b29_a_failed_append_keeps_its_blocks", IOMAP_LACKS_TRIM,
			b29_a_failed_append_keeps_its_blocks, NULL, UNWRITTEN,
			0 },
	BOTH("b30_no_space_for_the_conversion", 0,
			b30_no_space_for_the_conversion),
	BOTH("b31_freed_space_is_not_there_yet", IOMAP_LACKS_RETRY,
			b31_freed_space_is_not_there_yet),
	BOTH("b32_nowait_allocates", IOMAP_LACKS_NOWAIT, b32_nowait_allocates),
	{ "b34_the_rest_is_not_counted", IOMAP_LACKS_REST,
			b34_the_rest_is_not_counted, "ext3-1k", UNWRITTEN, 0 },
	{ "b35_a_cut_before_the_data indirect", IOMAP_LACKS_UNWRITTEN,
			hole_after_a_cut, "ext3-1k", UNWRITTEN, 0 },
	{ "b35_a_cut_before_the_data indirect datafirst", 0, hole_after_a_cut,
			"ext3-1k", DATAFIRST, 0 },
	BOTH("b38_an_old_answer_is_used_again", IOMAP_LACKS_SEQ,
			b38_an_old_answer_is_used_again),
	BOTH("b40_large_offsets", 0, b40_large_offsets),
	BOTH("b43_reads_at_the_end", 0, b43_reads_at_the_end),
	{ "b46_the_size_on_disk_is_the_larger", IOMAP_LACKS_CAP,
			b46_the_size_on_disk_is_the_larger, NULL, DATAFIRST,
			0 },
};
const unsigned ndata_cases = sizeof(data_cases) / sizeof(data_cases[0]);
