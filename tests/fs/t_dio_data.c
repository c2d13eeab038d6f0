/* SPDX-License-Identifier: MIT */
/*
 * The rules of the write path from the mapping on, docs/dio.md M, E, F and I,
 * each by its number, in every way; W and D are in t_dio_rules.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "dio_env.h"
#include "fs/dio.h"
#include "fs/fs.h"

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

/* ---- F: what is left over ---- */

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

/* ---- I: what always holds ---- */

static uint64_t dsize_of(struct uext4_file *f)
{
	struct inode *inode = f->inode;
	uint64_t size;

	mutex_lock(&inode->attr_lock);
	size = inode->d.size;
	mutex_unlock(&inode->attr_lock);
	return size;
}

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
		cmocka_unit_test(m5_freed_space_is_waited_for),
		cmocka_unit_test(e1_failed_data_changes_nothing),
		cmocka_unit_test(e6_an_overwrite_is_durable_by_fua_alone),
		cmocka_unit_test(i3_synced_writes_survive_in_every_mode),
		cmocka_unit_test(
				f3_the_rest_of_a_block_map_write_is_on_the_device),
		cmocka_unit_test(f5_nowait_does_not_fall_back),
		cmocka_unit_test(i1_dsize_follows_the_data),
		cmocka_unit_test(i4_nothing_stands_behind_the_end),
		cmocka_unit_test(i7_the_cache_shows_what_was_written_past_it),
		cmocka_unit_test(i10_truncate_waits_for_direct_io),
	};

	return ways_run("data", tests, sizeof(tests) / sizeof(tests[0]), argc,
			argv);
}
