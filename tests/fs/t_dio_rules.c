/* SPDX-License-Identifier: MIT */
/*
 * The rules of the write path, docs/dio.md, each by its number. What can be
 * asked of the engine alone is in tests/unit/t_dio.c; what a power cut shows is
 * in tests/power. Here the test device holds, counts and refuses requests.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "dio_env.h"
#include "fs/dio_req.h"
#include "fs/fs.h"

/* ---- W: dispatch and checks ---- */

static void w1_after_a_shutdown_every_write_is_eio(void **state)
{
	const struct uext4_queue_opts o = { .size = sizeof(o), .depth = 1 };
	uint8_t *buf = env_alloc(4096, 'y');
	struct uext4_queue *q;
	struct uext4_event ev;
	struct uext4_sqe sqe;
	struct iovec iov;
	struct uext4_file *f, *d;
	struct uext4_stat before, after;
	struct bug b;

	way_open(&b, "ext4-4k-full", NULL);
	f = env_open(&b.e, "/f", RW);
	d = env_open(&b.e, "/f", DIRECT);
	put(f, 0, 8192, 'x');
	assert_int_equal(uext4_fsync(f), 0);
	before = env_stat(&b.e, "/f");
	b.now.tv_sec++;
	assert_int_equal(uext4_queue_open(b.e.fs, &o, &q), 0);
	assert_int_equal(uext4_shutdown(b.e.fs, UEXT4_SHUTDOWN_NOLOGFLUSH), 0);
	for (unsigned i = 0; i < 4; i++) {
		sqe = (struct uext4_sqe){
			.op = UEXT4_OP_WRITE,
			.file = i % 3 == 0 ? f : d,
			.flags = i == 3 ? UEXT4_RW_APPEND : 0,
			.pos = i == 2 ? 8192 : 0,
			.buf = buf,
			.len = 4096,
		};
		iov = (struct iovec){ buf, 4096 };
		assert_int_equal(uext4_pwritev2(sqe.file, &iov, 1, sqe.pos,
						 sqe.flags),
				-EIO);
		assert_int_equal(uext4_queue_prep(q, &sqe), 0);
		assert_int_equal(uext4_queue_submit(q), 1);
		assert_int_equal(uext4_queue_wait(q, 1, -1, &ev, 1), 1);
		assert_int_equal(ev.result, -EIO);
	}
	uext4_queue_close(q);
	free(buf);
	assert_int_equal(uext4_queue_open(b.e.fs, &o, &q), -EIO);
	assert_int_equal(uext4_ftruncate(f, 0), -EIO);
	assert_int_equal(uext4_fallocate(f, 0, 0, 4096), -EIO);
	env_close(f);
	env_close(d);
	(void)!bug_unmount(&b);
	bug_mount(&b);
	after = env_stat(&b.e, "/f");
	assert_memory_equal(&before, &after, sizeof(before));
	bug_close(&b, true);
}

static void w3_syncing_is_done_without_the_lock(void **state)
{
	struct uext4_file *f, *s;
	struct writer w;
	struct bug b;

	way_open(&b, "ext4-4k-full", NULL);
	f = env_open(&b.e, "/f", RW);
	s = env_open(&b.e, "/f", RW | UEXT4_O_SYNC);
	hold(0, BDEV_FLUSH, 0, 1);
	writer_start(&w, s, 0, 100, 's');
	hold_wait(0);
	put(f, 50, 100, 'f');
	assert_int_equal(atomic_load(&w.done), 0);
	hold_open(0);
	writer_join(&w);
	env_expect(f, 50, 100, 'f');
	env_close(f);
	env_close(s);
	bug_close(&b, true);
}

static void set_flags(struct bug *b, const char *path, uint32_t flags)
{
	struct uext4_setattr a = { .mask = UEXT4_SET_FLAGS, .flags = flags };
	struct uext4_node *n = env_node(&b->e, path);
	struct uext4_stat st;

	assert_int_equal(uext4_node_stat(n, &st), 0);
	a.flags = (st.flags & ~0x30u) | flags;
	assert_int_equal(uext4_node_setattr(n, &a, NULL), 0);
	uext4_node_put(n);
}

static void w10_immutable_refuses_and_changes_nothing(void **state)
{
	struct uext4_stat before, after;
	struct uext4_file *f, *d;
	struct bug b;

	way_open(&b, "ext4-4k-full", NULL);
	f = env_open(&b.e, "/f", RW);
	d = env_open(&b.e, "/f", DIRECT);
	put(f, 0, 8192, 'x');
	set_flags(&b, "/f", 0x10);
	before = env_stat(&b.e, "/f");
	b.now.tv_sec++;
	assert_int_equal(write_rwf(f, 0, 1, 'y', 0), -EPERM);
	assert_int_equal(write_rwf(d, 0, 4096, 'y', 0), -EPERM);
	assert_int_equal(write_rwf(d, 8192, 4096, 'y', 0), -EPERM);
	assert_int_equal(uext4_fallocate(f, 0, 0, 99999), -EPERM);
	assert_int_equal(uext4_ftruncate(f, 0), -EPERM);
	after = env_stat(&b.e, "/f");
	assert_memory_equal(&before, &after, sizeof(before));
	set_flags(&b, "/f", 0);
	env_close(f);
	env_close(d);
	bug_close(&b, true);
}

static void w11_nothing_to_write_changes_nothing(void **state)
{
	struct uext4_stat before, after;
	struct uext4_file *f, *d;
	struct bug b;

	way_open(&b, "ext4-4k-full", NULL);
	f = env_open(&b.e, "/f", RW);
	d = env_open(&b.e, "/f", DIRECT);
	before = env_stat(&b.e, "/f");
	b.now.tv_sec++;
	assert_int_equal(write_rwf(f, 100, 0, 'y', 0), 0);
	assert_int_equal(write_rwf(d, 4096, 0, 'y', 0), 0);
	after = env_stat(&b.e, "/f");
	assert_memory_equal(&before, &after, sizeof(before));
	env_close(f);
	env_close(d);
	bug_close(&b, true);
}

/* B42, D2: positions are chosen under the lock, for every kind of append. */
static void w12_appends_do_not_overlap(void **state)
{
	struct uext4_file *f[4];
	uint32_t count[4] = { 0 };
	struct writer w[4];
	struct bug b;
	uint8_t *all;

	way_open(&b, "ext4-4k-full", NULL);
	for (int i = 0; i < 4; i++)
		f[i] = env_open(&b.e, "/f",
				(i < 2 ? DIRECT : RW) |
						(i % 2 ? UEXT4_O_APPEND : 0));
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < 4; i++)
			writer_append(&w[i], f[i], 1024, 'a' + i,
					i % 2 ? 0 : UEXT4_RW_APPEND);
		for (int i = 0; i < 4; i++)
			writer_join(&w[i]);
	}
	assert_int_equal(env_size(f[0]), 80 * 1024);
	all = env_alloc(80 * 1024, 0);
	assert_int_equal(uext4_pread(f[0], all, 80 * 1024, 0), 80 * 1024);
	for (int i = 0; i < 80; i++) {
		uint8_t who = all[i * 1024];

		assert_in_range(who, 'a', 'd');
		count[who - 'a']++;
		for (int k = 1; k < 1024; k++)
			assert_int_equal(all[i * 1024 + k], who);
	}
	for (int i = 0; i < 4; i++)
		assert_int_equal(count[i], 20);
	free(all);
	for (int i = 0; i < 4; i++)
		env_close(f[i]);
	bug_close(&b, true);
}

/* The first that has its place stops until the second has written its data. */
static void second_first_gate(void *ctx, uint64_t pos, const char *at)
{
	atomic_int *second_is_done = ctx;

	if (pos == 0 && strcmp(at, "checked") == 0)
		(void)comes(second_is_done, 20);
	if (pos == 512 && strcmp(at, "data_done") == 0)
		atomic_store(second_is_done, 1);
}

/* Two places in one block, taken in one order and claimed in the other; under
 * dio_size=prefix the second is not over before the first. */
static void w12_appends_into_one_block_do_not_wait_for_each_other(void **state)
{
	for (int append = 0; append < 2; append++) {
		atomic_int second_is_done = 0;
		struct uext4_file *f;
		struct writer w[2];
		struct bug b;

		way_open(&b, "ext4-4k-full", "32M");
		f = env_open(&b.e, "/f",
				DIRECT | (append ? UEXT4_O_APPEND : 0));
		f->inode->file.gate_ctx = &second_is_done;
		f->inode->file.gate = second_first_gate;
		for (int i = 0; i < 2; i++)
			writer_start(&w[i], f, (uint64_t)i * 512, 512, 'a' + i);
		for (int i = 0; i < 2; i++)
			writer_join(&w[i]);
		f->inode->file.gate = NULL;
		assert_int_equal(env_size(f), 1024);
		if (!append) {
			env_expect(f, 0, 512, 'a');
			env_expect(f, 512, 512, 'b');
		}
		env_close(f);
		bug_close(&b, true);
	}
}

static void limit_of(const char *profile)
{
	struct uext4_file *f, *d;
	struct bug b;
	uint64_t max;

	way_open(&b, profile, NULL);
	f = env_open(&b.e, "/f", RW);
	d = env_open(&b.e, "/f", DIRECT);
	max = f->inode->map.is_extents ? b.e.fs->geo.max_bytes_extent
				       : b.e.fs->geo.max_bytes_bitmap;
	assert_int_equal(write_rwf(f, max, 1, 'x', 0), -EFBIG);
	assert_int_equal(write_rwf(d, max, 4096, 'x', 0), -EFBIG);
	assert_int_equal(write_rwf(f, max - 1, 2, 'x', 0), 1);
	assert_int_equal(env_size(f), max);
	assert_int_equal(write_rwf(d, max - 4096, 8192, 'x', 0), 4096);
	assert_int_equal(env_size(f), max);
	assert_int_equal(uext4_ftruncate(f, max + 1), -EFBIG);
	assert_int_equal(uext4_ftruncate(f, 0), 0);
	env_close(f);
	env_close(d);
	bug_close(&b, true);
}

static void w14_each_format_has_its_limit(void **state)
{
	limit_of("ext4-4k-full");
	limit_of("ext4-1k-full");
	limit_of("ext3-1k");
	limit_of("ext4-2k-blockmap");
}

static void chmod_to(struct bug *b, const char *path, uint32_t mode)
{
	struct uext4_setattr a = { .mask = UEXT4_SET_MODE, .mode = mode };
	struct uext4_node *n = env_node(&b->e, path);

	assert_int_equal(uext4_node_setattr(n, &a, NULL), 0);
	uext4_node_put(n);
}

static void w15_every_kind_of_write_strips_privileges(void **state)
{
	static const struct uext4_cred joe = { .uid = 7, .gid = 7 };
	static const struct {
		unsigned flags;
		uint64_t pos;
		size_t len;
	} kinds[] = {
		{ UEXT4_O_RDWR, 0, 10 },
		{ UEXT4_O_RDWR, 100000, 10 },
		{ UEXT4_O_RDWR | UEXT4_O_DIRECT, 0, 4096 },      /* overwrite */
		{ UEXT4_O_RDWR | UEXT4_O_DIRECT, 512, 512 },     /* partial */
		{ UEXT4_O_RDWR | UEXT4_O_DIRECT, 40960, 4096 },  /* hole */
		{ UEXT4_O_RDWR | UEXT4_O_DIRECT, 200704, 4096 }, /* extends */
		{ UEXT4_O_RDWR | UEXT4_O_DIRECT | UEXT4_O_APPEND, 0, 512 },
	};
	struct uext4_file *f;
	struct bug b;

	way_open(&b, "ext4-4k-full", NULL);
	f = env_open(&b.e, "/f", RW);
	put(f, 0, 8192, 'x');
	assert_int_equal(uext4_fsync(f), 0);
	env_close(f);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		chmod_to(&b, "/f", 06777);
		assert_int_equal(uext4_open(b.e.fs, NULL, "/f", kinds[i].flags,
						 0, &joe, &f),
				0);
		if (!(kinds[i].flags & UEXT4_O_APPEND) &&
				(kinds[i].flags & UEXT4_O_DIRECT)) {
			assert_int_equal(
					write_rwf(f, kinds[i].pos, kinds[i].len,
							'y', UEXT4_RW_NOWAIT),
					-EAGAIN);
			assert_int_equal(env_stat(&b.e, "/f").mode & 07777,
					06777);
		}
		put(f, kinds[i].pos, kinds[i].len, 'y');
		assert_int_equal(env_stat(&b.e, "/f").mode & 07777, 0777);
		env_close(f);
	}
	chmod_to(&b, "/f", 06777);
	f = env_open(&b.e, "/f", RW); /* the superuser keeps them */
	put(f, 0, 1, 'z');
	assert_int_equal(env_stat(&b.e, "/f").mode & 07777, 06777);
	env_close(f);
	bug_close(&b, true);
}

/* Garbage behind isize in the file's last block, as only others leave it. */
static void soil_tail(struct bug *b, const char *path, uint64_t size)
{
	struct uext4_file *f = env_open(&b->e, path, UEXT4_O_RDONLY);
	uint8_t junk[300];
	struct map_run run;

	memset(junk, 'J', sizeof(junk));
	assert_int_equal(map_find(&f->inode->map, (lblk_t)(size / b->e.bs), 1,
					 &run),
			0);
	env_close(f);
	assert_int_equal(bug_unmount(b), 0);
	bug_mount(b); /* nothing is cached or known of the tail */
	assert_int_equal(bdev_write(b->dev, run.pblk * b->e.bs + size % b->e.bs,
					 junk, sizeof(junk), 0, 0),
			0);
}

static void w17_the_old_tail_is_zeroed_by_every_extension(void **state)
{
	for (int kind = 0; kind < 5; kind++) {
		struct uext4_file *f, *r;
		struct bug b;

		way_open(&b, "ext4-4k-full", NULL);
		f = env_open(&b.e, "/f", RW);
		put(f, 0, 1000, 'x');
		env_close(f);
		soil_tail(&b, "/f", 1000);
		f = env_open(&b.e, "/f", kind == 1 || kind == 4 ? DIRECT : RW);
		r = env_open(&b.e, "/f", UEXT4_O_RDONLY);
		switch (kind) {
		case 0:
			put(f, 3 * b.e.bs, 10, 'y');
			break;
		case 1:
			put(f, 3 * b.e.bs, b.e.bs, 'y');
			break;
		case 2:
			assert_int_equal(uext4_ftruncate(f, 3 * b.e.bs), 0);
			break;
		case 3:
			assert_int_equal(uext4_fallocate(f, 0, 0, 3 * b.e.bs),
					0);
			break;
		default: /* inside the last block, behind the end */
			put(f, 2048, 512, 'y');
			assert_int_equal(uext4_ftruncate(f, 3 * b.e.bs), 0);
			env_expect(r, 2560, b.e.bs - 2560, 0);
		}
		env_expect(r, 0, 1000, 'x');
		env_expect(r, 1000, (kind < 4 ? b.e.bs : 2048) - 1000, 0);
		env_close(r);
		env_close(f);
		bug_remount(&b);
		f = env_open(&b.e, "/f", UEXT4_O_RDONLY);
		env_expect(f, 1000, (kind < 4 ? b.e.bs : 2048) - 1000, 0);
		env_close(f);
		bug_close(&b, true);
	}
}

/* ---- D: the direct path ---- */

static void d2_misaligned_is_einval_and_changes_nothing(void **state)
{
	struct uext4_stat before, after;
	struct uext4_file *f;
	struct bug b;

	way_open(&b, "ext4-4k-full", NULL);
	f = env_open(&b.e, "/f", DIRECT);
	put(f, 0, 4096, 'x');
	before = env_stat(&b.e, "/f");
	b.now.tv_sec++;
	assert_int_equal(write_rwf(f, 1, 512, 'y', 0), -EINVAL);
	assert_int_equal(write_rwf(f, 0, 511, 'y', 0), -EINVAL);
	assert_int_equal(write_rwf(f, 8191, 512, 'y', 0), -EINVAL);
	after = env_stat(&b.e, "/f");
	assert_memory_equal(&before, &after, sizeof(before));
	env_expect(f, 0, 4096, 'x');
	env_close(f);
	bug_close(&b, true);
}

static void d4_nowait_never_allocates_extends_or_waits(void **state)
{
	struct uext4_stat before, after;
	struct uext4_file *f;
	struct locker l;
	struct bug b;

	way_open(&b, "ext4-4k-full", NULL);
	f = env_open(&b.e, "/f", DIRECT);
	put(f, 0, 8192, 'x');
	assert_int_equal(uext4_fallocate(f, 0, 0, 16384), 0);
	put(f, 24576, 4096, 'x');
	assert_int_equal(uext4_fsync(f), 0);
	before = env_stat(&b.e, "/f");
	assert_int_equal(write_rwf(f, 0, 4096, 'y', UEXT4_RW_NOWAIT), 4096);
	assert_int_equal(write_rwf(f, 512, 512, 'y', UEXT4_RW_NOWAIT), 512);
	assert_int_equal(write_rwf(f, 16384, 4096, 'y', UEXT4_RW_NOWAIT),
			-EAGAIN); /* hole */
	assert_int_equal(write_rwf(f, 8192, 512, 'y', UEXT4_RW_NOWAIT),
			-EAGAIN); /* part of an unwritten block */
	assert_int_equal(write_rwf(f, 28672, 4096, 'y', UEXT4_RW_NOWAIT),
			-EAGAIN); /* extends */
	assert_int_equal(write_rwf(f, 24576, 8192, 'y', UEXT4_RW_NOWAIT),
			-EAGAIN);
	assert_int_equal(write_rwf(f, 0, 4096, 'y',
					 UEXT4_RW_NOWAIT | UEXT4_RW_APPEND),
			-EAGAIN);
	after = env_stat(&b.e, "/f");
	assert_memory_equal(&before, &after, sizeof(before));
	env_expect(f, 24576, 4096, 'x');
	b.now.tv_sec++; /* a time stamp needs the journal */
	assert_int_equal(write_rwf(f, 0, 4096, 'z', UEXT4_RW_NOWAIT), -EAGAIN);
	put(f, 0, 4096, 'z');
	locker_start(&l, f);
	assert_int_equal(write_rwf(f, 0, 4096, 'y', UEXT4_RW_NOWAIT), -EAGAIN);
	locker_end(&l);
	assert_int_equal(write_rwf(f, 0, 4096, 'y', UEXT4_RW_NOWAIT), 4096);
	env_close(f);
	bug_close(&b, true);
}

/* B11, B13: no writer's sectors are zeroed by another's padding. */
static void d5_writers_share_a_new_block(void **state)
{
	static const uint64_t at[] = { 0, 1000 * 4096 };

	for (int i = 0; i < 2; i++) {
		struct writer w[8];
		struct uext4_file *f;
		struct bug b;

		way_open(&b, "ext4-4k-full", NULL);
		f = env_open(&b.e, "/f", DIRECT);
		if (i == 0) /* a hole inside the file; else beyond its end */
			assert_int_equal(uext4_ftruncate(f, 65536), 0);
		for (int k = 0; k < 8; k++)
			writer_start(&w[k], f, at[i] + (uint64_t)k * 512, 512,
					'0' + k);
		for (int k = 0; k < 8; k++)
			writer_join(&w[k]);
		for (int k = 0; k < 8; k++)
			env_expect(f, at[i] + (uint64_t)k * 512, 512, '0' + k);
		env_close(f);
		bug_close(&b, true);
	}
}

/* One is held at the device; the other comes and goes. */
static void pass_by(uint64_t pos, size_t len, uint64_t other, bool may_pass)
{
	struct uext4_file *f;
	struct writer w, o;
	struct bug b;

	way_open(&b, "ext4-4k-full", NULL);
	f = env_open(&b.e, "/f", DIRECT);
	put(f, 0, 65536, 'x');
	assert_int_equal(uext4_ftruncate(f, 1 << 20), 0);
	hold(0, BDEV_WRITE, 0, 1);
	writer_start(&w, f, pos, len, 'w');
	hold_wait(0);
	writer_start(&o, f, other, 4096, 'o');
	assert_int_equal(comes(&o.done, may_pass ? 10000 : 20), may_pass);
	hold_open(0);
	writer_join(&w);
	writer_join(&o);
	env_close(f);
	bug_close(&b, true);
}

static void d6_partial_overwrites_are_shared(void **state)
{
	pass_by(512, 512, 8192, true);
	pass_by(512, 512, 0, true);
}

static void d7_aligned_writes_inside_the_file_are_shared(void **state)
{
	pass_by(0, 4096, 4096, true);
	pass_by(131072, 8192, 4096, true);  /* into a hole */
	pass_by(61440, 8192, 262144, true); /* from written into a hole */
}

static void d10_what_pads_or_extends_is_alone_if_serial(void **state)
{
	pass_by(131072 + 512, 512, 4096, !way_is_serial());
	pass_by(1 << 20, 4096, 4096, !way_is_serial());
	pass_by((1 << 20) + 512, 1024, 4096, !way_is_serial());
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

static struct map_run run_at(struct uext4_file *f, uint64_t pos)
{
	struct map_run run;

	assert_int_equal(
			map_find(&f->inode->map,
					(lblk_t)(pos >> f->inode->file.blkbits),
					1, &run),
			0);
	return run;
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
		cmocka_unit_test(w1_after_a_shutdown_every_write_is_eio),
		cmocka_unit_test(w3_syncing_is_done_without_the_lock),
		cmocka_unit_test(w10_immutable_refuses_and_changes_nothing),
		cmocka_unit_test(w11_nothing_to_write_changes_nothing),
		cmocka_unit_test(w12_appends_do_not_overlap),
		cmocka_unit_test(
				w12_appends_into_one_block_do_not_wait_for_each_other),
		cmocka_unit_test(w14_each_format_has_its_limit),
		cmocka_unit_test(w15_every_kind_of_write_strips_privileges),
		cmocka_unit_test(w17_the_old_tail_is_zeroed_by_every_extension),
		cmocka_unit_test(d2_misaligned_is_einval_and_changes_nothing),
		cmocka_unit_test(d4_nowait_never_allocates_extends_or_waits),
		cmocka_unit_test(d5_writers_share_a_new_block),
		cmocka_unit_test(d6_partial_overwrites_are_shared),
		cmocka_unit_test(d7_aligned_writes_inside_the_file_are_shared),
		cmocka_unit_test(d10_what_pads_or_extends_is_alone_if_serial),
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

	return ways_run("rules", tests, sizeof(tests) / sizeof(tests[0]), argc,
			argv);
}
