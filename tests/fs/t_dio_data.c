/* SPDX-License-Identifier: MIT */
/*
 * The rules of the write path from the mapping on, docs/dio.md M, E, F and I,
 * each by its number, in every way; W and D are in t_dio_rules.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "dio_env.h"
#include "fs/dio_req.h"
#include "fs/fs.h"

/* ---- looking ---- */

struct seen {
	unsigned data, fua, flushes, journal;
};

/* What reached the device since bdev_emu_record(). */
static struct seen seen_of(struct bug *b)
{
	struct emu_log *log;
	struct emu_img *base;
	struct seen s = { 0 };

	assert_int_equal(bdev_emu_take_log(b->dev, &base, &log), 0);
	for (uint64_t i = 0; i < log->n; i++) {
		const struct emu_ent *e = log->ents[i];
		enum bdev_tag kind = bdev_tag_kind(e->tag);

		if (e->kind == EMU_FLUSH)
			s.flushes++;
		if (e->kind != EMU_WRITE)
			continue;
		s.data += kind == BDEV_TAG_DATA;
		s.fua += kind == BDEV_TAG_DATA && (e->flags & BDEV_F_FUA);
		s.journal += kind >= BDEV_TAG_J_DESC && kind <= BDEV_TAG_J_SB;
	}
	emu_log_free(log);
	emu_img_free(base);
	return s;
}

/* Bytes on the device behind the back of every cache. */
static void device_has(struct bug *b, struct uext4_file *f, uint64_t pos,
		size_t len, uint8_t byte)
{
	uint8_t *got = env_alloc(b->e.bs, 0);

	for (uint64_t at = pos; at < pos + len; at += b->e.bs) {
		struct map_run run;

		assert_int_equal(
				map_find(&f->inode->map, (lblk_t)(at / b->e.bs),
						1, &run),
				0);
		assert_int_equal(run.type, MAP_WRITTEN);
		assert_int_equal(bdev_read(b->dev, run.pblk * b->e.bs, got,
						 b->e.bs, 0, 0),
				0);
		for (uint32_t i = 0; i < b->e.bs; i++)
			assert_int_equal(got[i], byte);
	}
	free(got);
}

static uint64_t dsize_of(struct uext4_file *f)
{
	struct inode *inode = f->inode;
	uint64_t size;

	mutex_lock(&inode->attr_lock);
	size = inode->d.size;
	mutex_unlock(&inode->attr_lock);
	return size;
}

/* ---- M: mapping ---- */

static void m1_a_long_write_is_mapped_in_steps(void **state)
{
	size_t len = 20 << 20;
	struct uext4_file *f;
	struct bug b;
	uint64_t seq;

	way_open(&b, "ext4-1k-full", NULL);
	f = env_open(&b.e, "/f", DIRECT);
	seq = atomic_load(&f->inode->map.seq);
	put(f, 0, len, 'm');
	/* 20480 blocks: at least five allocations, and conversions */
	assert_in_range(atomic_load(&f->inode->map.seq) - seq, 6, 1000);
	env_expect(f, 0, len, 'm');
	env_close(f);
	bug_close(&b, true);
}

/* Before its data is there a new block is unwritten, or no block of the file,
 * and not even in use as far as the disk goes. */
static void m2_new_blocks_show_nothing_until_the_data_is_there(void **state)
{
	static const uint64_t at[] = { 8192, 65536 };

	for (int i = 0; i < 2; i++) { /* inside and beyond the end */
		struct uext4_file *f;
		struct map_run run;
		struct writer w;
		struct bug b;

		way_open(&b, "ext4-4k-full", NULL);
		f = env_open(&b.e, "/f", DIRECT);
		assert_int_equal(uext4_ftruncate(f, 65536), 0);
		hold(0, BDEV_WRITE, 0, 1);
		writer_start(&w, f, at[i], 4096, 'w');
		hold_wait(0);
		run = run_at(f, at[i]);
		if (way_is_datafirst()) {
			assert_int_equal(run.type, MAP_HOLE);
			assert_true(dio_rsv_find(f->inode,
					(lblk_t)(at[i] / 4096), &run));
		} else {
			assert_int_equal(run.type, MAP_UNWRITTEN);
		}
		assert_int_equal(
				bug_is_used(&b, run.pblk), !way_is_datafirst());
		assert_int_equal(env_size(f), 65536);
		hold_open(0);
		writer_join(&w);
		assert_int_equal(run_at(f, at[i]).type, MAP_WRITTEN);
		assert_int_equal(run_at(f, at[i]).pblk, run.pblk);
		assert_true(bug_is_used(&b, run.pblk));
		env_close(f);
		bug_close(&b, true);
	}
}

static void m5_freed_space_is_waited_for(void **state)
{
	struct uext4_statfs st;
	struct uext4_file *f;
	struct bug b;
	size_t len;

	way_open(&b, "ext4-4k-full", "32M");
	assert_int_equal(uext4_statfs(b.e.fs, &st), 0);
	len = st.avail_blocks * 9 / 10 * b.e.bs;
	for (int i = 0; i < 5; i++) {
		f = env_open(&b.e, "/f", DIRECT);
		put(f, 0, len, 'x');
		env_close(f);
		assert_int_equal(env_unlink(&b.e, "/f"), 0);
	}
	bug_close(&b, true);
}

/* Files without an unwritten state: a hole of theirs goes through the cache, or
 * its blocks are reserved until the data is there. */
static void m3_block_maps_show_no_new_block_too_early(void **state)
{
	struct uext4_file *f;
	struct writer w;
	struct bug b;

	way_open(&b, "ext3-1k", NULL);
	bug_poison(&b);
	f = env_open(&b.e, "/f", DIRECT);
	assert_int_equal(uext4_ftruncate(f, 65536), 0);
	hold(0, BDEV_WRITE, 'w', 1);
	writer_start(&w, f, 8192, 4096, 'w');
	hold_wait(0);
	assert_int_equal(run_at(f, 8192).type, MAP_HOLE);
	assert_int_equal(atomic_load(&f->inode->file.pages.npages),
			way_is_datafirst() ? 0 : 4);
	hold_open(0);
	writer_join(&w);
	device_has(&b, f, 8192, 4096, 'w');
	assert_int_equal(atomic_load(&f->inode->file.pages.npages), 0);
	put(f, 16384 + 512, 512, 'p');
	env_expect(f, 16384, 512, 0);
	env_close(f);
	bug_close(&b, true);
}

static void m4_an_overwrite_needs_no_transaction(void **state)
{
	struct uext4_file *f;
	struct seen s;
	struct bug b;

	way_open(&b, "ext4-4k-full", NULL);
	f = env_open(&b.e, "/f", DIRECT);
	put(f, 0, 65536, 'x');
	assert_int_equal(uext4_sync(b.e.fs), 0);
	assert_int_equal(bdev_emu_record(b.dev), 0);
	put(f, 0, 65536, 'y');
	put(f, 8192 + 512, 512, 'z');
	assert_int_equal(uext4_fdatasync(f), 0);
	s = seen_of(&b);
	assert_int_equal(s.data, 2);
	assert_int_equal(s.journal, 0);
	assert_int_equal(s.flushes, 1);
	env_close(f);
	bug_close(&b, true);
}

static void m7_a_fresh_block_reads_as_zeroes_around_the_data(void **state)
{
	static const char *const profiles[] = { "ext4-4k-full", "ext4-1k-full",
		"ext4-2k-blockmap" };

	for (int i = 0; i < 3; i++) {
		struct uext4_file *f;
		struct bug b;

		way_open(&b, profiles[i], "24M");
		bug_poison(&b);
		f = env_open(&b.e, "/f", DIRECT);
		assert_int_equal(uext4_ftruncate(f, 65536), 0);
		put(f, 8192 + 512, 4096, 'm');
		env_expect(f, 0, 8704, 0);
		env_expect(f, 8704, 4096, 'm');
		env_expect(f, 12800, 65536 - 12800, 0);
		env_close(f);
		bug_close(&b, true);
	}
}

/* Delayed blocks under a direct write get their place first; their claims are
 * not lost. */
static void m8_delayed_blocks_are_placed_before(void **state)
{
	struct uext4_statfs before, after;
	struct uext4_file *f, *d;
	struct bug b;

	way_open(&b, "ext4-4k-full", NULL);
	f = env_open(&b.e, "/f", RW);
	d = env_open(&b.e, "/f", DIRECT);
	assert_int_equal(uext4_statfs(b.e.fs, &before), 0);
	put(f, 0, 65536, 'f');
	put(d, 8192, 8192, 'd');
	put(d, 32768 + 512, 512, 'e');
	env_expect(f, 0, 8192, 'f');
	env_expect(f, 8192, 8192, 'd');
	env_expect(f, 32768, 512, 'f');
	env_expect(f, 32768 + 512, 512, 'e');
	assert_int_equal(uext4_ftruncate(d, 0), 0);
	assert_int_equal(uext4_sync(b.e.fs), 0);
	assert_int_equal(uext4_statfs(b.e.fs, &after), 0);
	assert_int_equal(after.avail_blocks, before.avail_blocks);
	env_close(f);
	env_close(d);
	bug_close(&b, true);
}

/* Commit waits for handles: it does not wait for data. */
static void m10_no_handle_is_held_while_data_moves(void **state)
{
	static const uint64_t at[] = { 0, 8192, 65536, 131072 + 512 };
	struct uext4_file *f;
	struct writer w;
	struct bug b;

	way_open(&b, "ext4-4k-full", NULL);
	f = env_open(&b.e, "/f", DIRECT);
	put(f, 0, 4096, 'x');
	assert_int_equal(uext4_ftruncate(f, 65536), 0);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(env_mkdir(&b.e, i % 2 ? "/d" : "/e", 0755), 0);
		hold(0, BDEV_WRITE, 'w', 1);
		writer_start(&w, f, at[i], 512, 'w');
		hold_wait(0);
		assert_int_equal(journal_sync(b.e.fs->journal), 0);
		hold_open(0);
		writer_join(&w);
		assert_int_equal(env_rmdir(&b.e, i % 2 ? "/d" : "/e"), 0);
	}
	env_close(f);
	bug_close(&b, true);
}

/* ---- E: completion ---- */

/* B28: failed data is never converted, nor does the size move. */
static void e1_failed_data_changes_nothing(void **state)
{
	struct emu_fault fault = {
		.ops = EMU_OP(BDEV_WRITE),
		.tags = 1u << BDEV_TAG_DATA,
		.err = -EIO,
	};
	struct uext4_file *f;
	struct bug b;
	uint64_t sectors;

	way_open(&b, "ext4-4k-full", NULL);
	f = env_open(&b.e, "/f", DIRECT);
	assert_int_equal(uext4_fallocate(f, 0, 0, 65536), 0);
	sectors = env_stat(&b.e, "/f").sectors;
	assert_int_equal(bdev_emu_fault_add(b.dev, &fault), 0);
	assert_int_equal(write_rwf(f, 0, 8192, 'y', 0), -EIO);
	assert_int_equal(write_rwf(f, 65536, 8192, 'y', 0), -EIO);
	assert_int_equal(write_rwf(f, 61440, 8192, 'y', 0), -EIO);
	assert_int_equal(write_rwf(f, 69632 + 512, 1024, 'y', 0), -EIO);
	bdev_emu_fault_clear(b.dev);
	assert_int_equal(env_size(f), 65536);
	assert_int_equal(run_at(f, 0).type, MAP_UNWRITTEN);
	env_expect(f, 0, 65536, 0);
	env_close(f); /* B29, E5: what was allocated in vain goes now at last */
	assert_int_equal(env_stat(&b.e, "/f").sectors, sectors);
	bug_close(&b, true);
}

static struct seen dsync_write(
		struct bug *b, struct uext4_file *f, uint64_t pos, size_t len)
{
	assert_int_equal(bdev_emu_record(b->dev), 0);
	put(f, pos, len, 'n');
	return seen_of(b);
}

static void e6_an_overwrite_is_durable_by_fua_alone(void **state)
{
	struct uext4_file *f;
	struct seen s;
	struct bug b;

	way_open(&b, "ext4-4k-full", NULL);
	f = env_open(&b.e, "/f", DIRECT | UEXT4_O_DSYNC);
	s = dsync_write(&b, f, 0, 65536); /* new blocks, new size */
	assert_true(s.journal > 0 && s.fua == 0);
	s = dsync_write(&b, f, 4096, 8192);
	assert_int_equal(s.data, 1);
	assert_int_equal(s.fua, 1);
	assert_int_equal(s.flushes, 0);
	assert_int_equal(s.journal, 0);
	s = dsync_write(&b, f, 512, 512);
	assert_true(s.fua == 1 && s.journal == 0 && s.flushes == 0);
	s = dsync_write(&b, f, 65536 - 4096, 8192); /* B22: half of it new */
	assert_true(s.fua == 0 && s.journal > 0);
	assert_int_equal(uext4_fallocate(f, 0, 1 << 20, 8192), 0);
	s = dsync_write(&b, f, 1 << 20, 4096); /* allocated, size not durable */
	assert_true(s.fua == 0 && s.journal > 0);
	env_close(f);

	f = env_open(&b.e, "/f", DIRECT);
	b.now.tv_sec++; /* mtime alone is no reason to commit */
	assert_int_equal(bdev_emu_record(b.dev), 0);
	assert_int_equal(write_rwf(f, 0, 4096, 'n', UEXT4_RW_DSYNC), 4096);
	s = seen_of(&b);
	assert_true(s.fua == 1 && s.journal == 0);
	assert_int_equal(bdev_emu_record(b.dev), 0);
	assert_int_equal(write_rwf(f, 0, 4096, 'n', UEXT4_RW_SYNC), 4096);
	s = seen_of(&b);
	assert_true(s.journal > 0); /* but it is for O_SYNC */
	env_close(f);
	bug_close(&b, true);
}

/* B21, B23: what was acknowledged under O_DSYNC is there after a cut. */
static void i3_synced_writes_survive_in_every_mode(void **state)
{
	static const char *const profiles[] = { "ext4-4k-full", "ext3-1k",
		"ext4-1k-uninit" };
	static const unsigned flags[] = {
		RW | UEXT4_O_DSYNC,
		RW | UEXT4_O_SYNC,
		DIRECT | UEXT4_O_DSYNC,
		DIRECT | UEXT4_O_SYNC,
	};

	for (size_t p = 0; p < 3; p++)
		for (size_t i = 0; i < 4; i++) {
			struct uext4_file *f;
			struct bug b;

			way_open(&b, profiles[p], NULL);
			assert_int_equal(env_create(&b.e, "/f", 0644), 0);
			assert_int_equal(uext4_sync(b.e.fs), 0);
			assert_int_equal(bdev_emu_record(b.dev), 0);
			f = env_open(&b.e, "/f", flags[i]);
			put(f, 0, 8192, 'a');
			put(f, 8192, 1024, 'b');
			put(f, 4096, 512, 'c');
			put(f, 32768, 4096, 'd');
			env_close(f);
			bug_cut(&b);
			bug_mount(&b);
			f = env_open(&b.e, "/f", UEXT4_O_RDWR);
			assert_int_equal(env_size(f), 36864);
			env_expect(f, 0, 4096, 'a');
			env_expect(f, 4096, 512, 'c');
			env_expect(f, 4608, 3584, 'a');
			env_expect(f, 8192, 1024, 'b');
			env_expect(f, 9216, 32768 - 9216, 0);
			env_expect(f, 32768, 4096, 'd');
			env_close(f);
			bug_close(&b, true);
		}
}

/* B44: conversion goes by blocks of the file system, of whatever size. */
static void e2_exactly_the_blocks_of_the_data_are_converted(void **state)
{
	static const uint32_t sizes[] = { 1024, 2048, 4096, 65536 };

	for (int i = 0; i < 4; i++) {
		uint32_t bs = sizes[i];
		struct uext4_file *f;
		struct bug b;

		way_open_bs(&b, bs, true);
		bug_poison(&b);
		f = env_open(&b.e, "/f", DIRECT);
		assert_int_equal(uext4_fallocate(f, 0, 0, 16ull * bs), 0);
		put(f, 4ull * bs, 2ull * bs, 'd');
		put(f, 9ull * bs + 512, 512, 'p');
		for (unsigned k = 0; k < 16; k++)
			assert_int_equal(run_at(f, (uint64_t)k * bs).type,
					k == 4 || k == 5 || k == 9
							? MAP_WRITTEN
							: MAP_UNWRITTEN);
		env_expect(f, 0, 4 * bs, 0);
		env_expect(f, 4ull * bs, 2 * bs, 'd');
		env_expect(f, 6ull * bs, 3 * bs + 512, 0);
		env_expect(f, 9ull * bs + 1024, 6 * bs, 0);
		env_close(f);
		bug_close(&b, true);
	}
}

struct seen_size {
	struct uext4_file *f;
	char order[128];
	uint64_t isize[8], dsize[8];
	bool busy[8];
	unsigned n;
};

static void seen_gate(void *ctx, uint64_t pos, const char *at)
{
	static const char *const points[] = { "data_done", "convert",
		"converted", "drop", "land" };
	struct seen_size *s = ctx;

	for (int i = 0; i < 5; i++) {
		if (strcmp(at, points[i]) != 0 || s->n == 8)
			continue;
		(void)strncat(s->order, at,
				sizeof(s->order) - strlen(s->order) - 1);
		(void)strncat(s->order, " ",
				sizeof(s->order) - strlen(s->order) - 1);
		s->isize[s->n] = env_size(s->f);
		s->dsize[s->n] = dsize_of(s->f);
		s->busy[s->n++] = iomap_dio_busy(&s->f->inode->file);
	}
}

/* E3, E4: what is raised when. */
static void e4_convert_sizes_pages_out_of_flight(void **state)
{
	struct seen_size s = { 0 };
	struct bug b;

	way_open(&b, "ext4-4k-full", NULL);
	s.f = env_open(&b.e, "/f", DIRECT);
	s.f->inode->file.gate_ctx = &s;
	s.f->inode->file.gate = seen_gate;
	put(s.f, 0, 8192, 'x');
	s.f->inode->file.gate = NULL;
	assert_string_equal(s.order, "data_done convert converted drop land ");
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(s.isize[i], i < 3 ? 0 : 8192);
		assert_int_equal(s.dsize[i], i < 3 ? 0 : 8192);
		assert_true(s.busy[i]);
	}
	assert_false(iomap_dio_busy(&s.f->inode->file));
	env_close(s.f);
	bug_close(&b, true);
}

static void e3_both_sizes_are_in_the_transaction_of_the_blocks(void **state)
{
	struct uext4_file *f;
	struct bug b;

	way_open(&b, "ext4-4k-full", NULL);
	assert_int_equal(env_create(&b.e, "/f", 0644), 0);
	assert_int_equal(uext4_sync(b.e.fs), 0);
	assert_int_equal(bdev_emu_record(b.dev), 0);
	f = env_open(&b.e, "/f", DIRECT);
	put(f, 0, 8192, 'x');
	put(f, 8192, 512, 'y');
	assert_int_equal(dsize_of(f), 8704);
	assert_int_equal(env_size(f), 8704);
	/* the journal alone, no data: it is there already */
	assert_int_equal(journal_sync(b.e.fs->journal), 0);
	env_close(f);
	bug_cut(&b);
	bug_mount(&b);
	f = env_open(&b.e, "/f", UEXT4_O_RDWR);
	assert_int_equal(env_size(f), 8704);
	env_expect(f, 0, 8192, 'x');
	env_expect(f, 8192, 512, 'y');
	env_close(f);
	bug_close(&b, true);
}

/* The second of three requests to the device fails. */
static void e7_one_failure_fails_the_whole_call(void **state)
{
	struct emu_fault fault = {
		.ops = EMU_OP(BDEV_WRITE),
		.tags = 1u << BDEV_TAG_DATA,
		.nth = 2,
		.count = 1,
		.err = -EIO,
	};
	struct uext4_file *f;
	struct bug b;

	way_open(&b, "ext4-4k-full", NULL);
	f = env_open(&b.e, "/f", DIRECT);
	put(f, 0, 12288, 'a');
	/* The old block is not free before a commit: another one it is. */
	assert_int_equal(uext4_fallocate(f,
					 UEXT4_FALLOC_PUNCH_HOLE |
							 UEXT4_FALLOC_KEEP_SIZE,
					 4096, 4096),
			0);
	put(f, 4096, 4096, 'b');
	assert_int_not_equal(run_at(f, 4096).pblk, run_at(f, 0).pblk + 1);
	assert_int_equal(bdev_emu_fault_add(b.dev, &fault), 0);
	assert_int_equal(write_rwf(f, 0, 16384, 'z', 0), -EIO);
	bdev_emu_fault_clear(b.dev);
	assert_int_equal(env_size(f), 12288);
	env_expect(f, 4096, 4096, 'b');
	env_close(f);
	bug_close(&b, true);
}

static void e8_nothing_done_changes_nothing(void **state)
{
	struct uext4_stat before, after;
	struct uext4_file *f, *g;
	ssize_t n;
	struct bug b;

	way_open(&b, "ext4-4k-full", "24M");
	f = env_open(&b.e, "/f", DIRECT);
	g = env_open(&b.e, "/g", DIRECT);
	put(f, 0, 4096, 'x');
	for (uint64_t len = 1 << 20, pos = 0; len >= b.e.bs;) {
		n = write_rwf(g, pos, len, 'g', 0);
		pos += n > 0 ? (uint64_t)n : 0;
		len /= n > 0 ? 1 : 2;
	}
	before = env_stat(&b.e, "/f");
	assert_int_equal(write_rwf(f, 4096, 4096, 'y', 0), -ENOSPC);
	assert_int_equal(write_rwf(f, 1 << 20, 512, 'y', 0), -ENOSPC);
	assert_int_equal(write_rwf(f, 4096, 0, 'y', 0), 0);
	after = env_stat(&b.e, "/f");
	assert_int_equal(after.size, before.size);
	assert_int_equal(after.sectors, before.sectors);
	assert_int_equal(dsize_of(f), 4096);
	env_close(f);
	env_close(g);
	bug_close(&b, true);
}

/* ---- F: what is left over ---- */

/* M3, F1-F3, B34, B35. */
static void f3_the_rest_of_a_block_map_write_is_on_the_device(void **state)
{
	struct uext4_file *f;
	struct bug b;

	way_open(&b, "ext3-1k", NULL);
	f = env_open(&b.e, "/f", DIRECT);
	put(f, 0, 4096, 'a');
	assert_int_equal(uext4_ftruncate(f, 1 << 20), 0);
	/* written, then holes, then written */
	put(f, 16384, 4096, 'b');
	assert_int_equal(write_rwf(f, 2048, 20480, 'n', 0), 20480);
	device_has(&b, f, 2048, 20480, 'n');
	assert_int_equal(atomic_load(&f->inode->file.pages.npages), 0);
	assert_int_equal(write_rwf(f, 1 << 20, 8192, 'm', 0), 8192);
	device_has(&b, f, 1 << 20, 8192, 'm');
	env_close(f);
	bug_close(&b, true);
}

static void f5_nowait_does_not_fall_back(void **state)
{
	struct uext4_file *f;
	struct bug b;

	way_open(&b, "ext3-1k", NULL);
	f = env_open(&b.e, "/f", DIRECT);
	put(f, 0, 4096, 'a');
	assert_int_equal(uext4_ftruncate(f, 65536), 0);
	assert_int_equal(write_rwf(f, 8192, 4096, 'n', UEXT4_RW_NOWAIT),
			-EAGAIN);
	env_expect(f, 8192, 4096, 0);
	assert_int_equal(env_stat(&b.e, "/f").size, 65536);
	env_close(f);
	f = env_open(&b.e, "/f", RW);
	assert_int_equal(write_rwf(f, 0, 1, 'n', UEXT4_RW_NOWAIT), -EOPNOTSUPP);
	env_close(f);
	bug_close(&b, true);
}

/* The append is not asked for its place twice. */
static void f1_the_rest_goes_where_it_belongs(void **state)
{
	struct uext4_file *f;
	struct bug b;

	way_open(&b, "ext3-1k", NULL);
	f = env_open(&b.e, "/f", DIRECT);
	put(f, 0, 512, 'a');
	/* half of it into the block that is there */
	assert_int_equal(write_rwf(f, 0, 4608, 'b', UEXT4_RW_APPEND), 4608);
	assert_int_equal(env_size(f), 5120);
	env_expect(f, 0, 512, 'a');
	env_expect(f, 512, 4608, 'b');
	device_has(&b, f, 1024, 4096, 'b');
	env_close(f);
	bug_close(&b, true);
}

/* The direct part is done, the rest fails: a short write, not an error; unless
 * all of it is one direct write. */
static void f2_what_was_done_is_told(void **state)
{
	struct emu_fault fault = {
		.ops = EMU_OP(BDEV_WRITE),
		.tags = 1u << BDEV_TAG_DATA,
		.nth = 2,
		.err = -EIO,
	};
	struct uext4_file *f;
	struct bug b;

	way_open(&b, "ext3-1k", NULL);
	f = env_open(&b.e, "/f", DIRECT);
	put(f, 0, 4096, 'a');
	assert_int_equal(uext4_ftruncate(f, 65536), 0);
	assert_int_equal(write_rwf(f, 2048, 4096, 'n', 0), 4096);
	assert_int_equal(uext4_ftruncate(f, 4096), 0);
	assert_int_equal(uext4_ftruncate(f, 65536), 0);
	assert_int_equal(bdev_emu_fault_add(b.dev, &fault), 0);
	assert_int_equal(write_rwf(f, 2048, 4096, 'm', 0),
			way_is_datafirst() ? -EIO : 2048);
	bdev_emu_fault_clear(b.dev);
	assert_int_equal(uext4_ftruncate(f, 4096), 0);
	if (!way_is_datafirst())
		env_expect(f, 2048, 2048, 'm');
	(void)uext4_close(f); /* tells of write-back */
	bug_close(&b, true);
}

static void f6_the_rest_is_synced_as_well(void **state)
{
	struct uext4_file *f;
	struct bug b;

	way_open(&b, "ext3-1k", NULL);
	f = env_open(&b.e, "/f", DIRECT);
	put(f, 0, 4096, 'a');
	assert_int_equal(uext4_ftruncate(f, 65536), 0);
	assert_int_equal(uext4_sync(b.e.fs), 0);
	assert_int_equal(bdev_emu_record(b.dev), 0);
	assert_int_equal(write_rwf(f, 2048, 20480, 'n', UEXT4_RW_DSYNC), 20480);
	env_close(f);
	bug_cut(&b);
	bug_mount(&b);
	f = env_open(&b.e, "/f", UEXT4_O_RDWR);
	env_expect(f, 0, 2048, 'a');
	env_expect(f, 2048, 20480, 'n');
	env_close(f);
	bug_close(&b, true);
}

/* ---- I: what always holds ---- */

/* B18, B46, E-43, D-9: dsize follows what is on disk and never passes isize. */
static void i1_dsize_follows_the_data(void **state)
{
	struct uext4_file *f, *d;
	struct bug b;

	way_open(&b, "ext4-4k-full", NULL);
	f = env_open(&b.e, "/f", RW);
	d = env_open(&b.e, "/f", DIRECT);
	put(f, 409600, 100, 'f'); /* delayed, far out */
	assert_int_equal(dsize_of(f), 0);
	put(d, 0, 8192, 'd');
	assert_int_equal(dsize_of(f), 8192); /* its own end, not isize */
	assert_int_equal(env_size(f), 409700);
	put(f, 16384, 16384, 'p');
	assert_int_equal(uext4_fallocate(f,
					 UEXT4_FALLOC_PUNCH_HOLE |
							 UEXT4_FALLOC_KEEP_SIZE,
					 16384, 8192),
			0);
	assert_int_equal(dsize_of(f), 24576); /* of pages that are gone */
	assert_int_equal(uext4_sync_range(f, 0, UINT64_MAX), 0);
	assert_int_equal(dsize_of(f), 409700);
	assert_int_equal(uext4_ftruncate(f, 5000), 0);
	assert_int_equal(dsize_of(f), 5000);
	env_expect(f, 0, 5000, 'd');
	env_close(f);
	env_close(d);
	bug_close(&b, true);
}

/* B26, I4: what follows a short append in its block reads as zeroes later. */
static void i4_nothing_stands_behind_the_end(void **state)
{
	struct uext4_file *f, *r;
	struct bug b;

	way_open(&b, "ext4-4k-full", "32M");
	f = env_open(&b.e, "/poison", DIRECT);
	put(f, 0, 16 << 20, 'P');
	env_close(f);
	assert_int_equal(env_unlink(&b.e, "/poison"), 0);
	assert_int_equal(uext4_sync(b.e.fs), 0);
	for (int i = 0; i < 3; i++) {
		f = env_open(&b.e, "/f", DIRECT | UEXT4_O_TRUNC);
		r = env_open(&b.e, "/f", UEXT4_O_RDONLY);
		if (i == 1)
			assert_int_equal(uext4_fallocate(f,
							 UEXT4_FALLOC_KEEP_SIZE,
							 0, 65536),
					0);
		put(f, i == 2 ? 1024 : 0, 512, 'd');
		assert_int_equal(uext4_ftruncate(f, 20000), 0);
		env_expect(r, i == 2 ? 1536 : 512, 18000, 0);
		if (i == 2)
			env_expect(r, 0, 1024, 0);
		assert_int_equal(uext4_ftruncate(f, 100), 0);
		assert_int_equal(uext4_ftruncate(f, 20000), 0);
		env_expect(r, 100, 19900, 0);
		env_close(f);
		env_close(r);
	}
	bug_close(&b, true);
}

static void *truncate_main(void *arg)
{
	struct writer *w = arg;

	w->ret = uext4_ftruncate(w->file, 0);
	atomic_store(&w->done, 1);
	return NULL;
}

/* I10, B1: a block does not change hands under a write in flight. */
static void i10_truncate_waits_for_direct_io(void **state)
{
	struct uext4_file *f, *g;
	struct writer w, t;
	struct bug b;

	way_open(&b, "ext4-4k-full", NULL);
	f = env_open(&b.e, "/f", DIRECT);
	g = env_open(&b.e, "/g", DIRECT);
	put(f, 0, 65536, 'x');
	hold(0, BDEV_WRITE, 'w', 1);
	writer_start(&w, f, 0, 65536, 'w');
	hold_wait(0);
	t = (struct writer){ .file = f };
	assert_int_equal(pthread_create(&t.thread, NULL, truncate_main, &t), 0);
	put(g, 0, 65536, 'g'); /* others go on */
	assert_false(comes(&t.done, 20));
	hold_open(0);
	writer_join(&w);
	writer_join(&t);
	assert_int_equal(env_size(f), 0);
	env_expect(g, 0, 65536, 'g');
	env_close(f);
	env_close(g);
	bug_close(&b, true);
}

/* B4-B7: no page is stale after a direct write returned over it. */
static void i7_the_cache_shows_what_was_written_past_it(void **state)
{
	struct uext4_file *f, *d;
	struct bug b;

	way_open(&b, "ext4-4k-full", NULL);
	f = env_open(&b.e, "/f", RW);
	d = env_open(&b.e, "/f", DIRECT);
	for (int i = 0; i < 20; i++) {
		uint64_t end = env_size(f);
		uint64_t at = end & ~UINT64_C(511);

		put(f, end, 700, 'a' + i); /* dirty under what follows */
		put(d, at, 1024, 'A' + i);
		env_expect(f, at, 1024, 'A' + i);
		put(d, at + 1024, 512, 'z'); /* over a clean page */
		env_expect(f, at + 1024, 512, 'z');
		put(f, at + 5, 10, 'b'); /* and back */
		env_expect(f, at + 15, 1000, 'A' + i);
		env_expect(d, at + 512, 512, 'A' + i);
	}
	env_close(f);
	env_close(d);
	bug_close(&b, true);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(m1_a_long_write_is_mapped_in_steps),
		cmocka_unit_test(
				m2_new_blocks_show_nothing_until_the_data_is_there),
		cmocka_unit_test(m3_block_maps_show_no_new_block_too_early),
		cmocka_unit_test(m4_an_overwrite_needs_no_transaction),
		cmocka_unit_test(m5_freed_space_is_waited_for),
		cmocka_unit_test(
				m7_a_fresh_block_reads_as_zeroes_around_the_data),
		cmocka_unit_test(m8_delayed_blocks_are_placed_before),
		cmocka_unit_test(m10_no_handle_is_held_while_data_moves),
		cmocka_unit_test(e1_failed_data_changes_nothing),
		cmocka_unit_test(
				e2_exactly_the_blocks_of_the_data_are_converted),
		cmocka_unit_test(
				e3_both_sizes_are_in_the_transaction_of_the_blocks),
		cmocka_unit_test(e4_convert_sizes_pages_out_of_flight),
		cmocka_unit_test(e6_an_overwrite_is_durable_by_fua_alone),
		cmocka_unit_test(e7_one_failure_fails_the_whole_call),
		cmocka_unit_test(e8_nothing_done_changes_nothing),
		cmocka_unit_test(f1_the_rest_goes_where_it_belongs),
		cmocka_unit_test(f2_what_was_done_is_told),
		cmocka_unit_test(
				f3_the_rest_of_a_block_map_write_is_on_the_device),
		cmocka_unit_test(f5_nowait_does_not_fall_back),
		cmocka_unit_test(f6_the_rest_is_synced_as_well),
		cmocka_unit_test(i1_dsize_follows_the_data),
		cmocka_unit_test(i3_synced_writes_survive_in_every_mode),
		cmocka_unit_test(i4_nothing_stands_behind_the_end),
		cmocka_unit_test(i7_the_cache_shows_what_was_written_past_it),
		cmocka_unit_test(i10_truncate_waits_for_direct_io),
	};

	return ways_run("data", tests, sizeof(tests) / sizeof(tests[0]), argc,
			argv);
}
