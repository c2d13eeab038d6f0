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

/* The file's own mode decides, and nothing else of the call. */
static void w2_how_it_was_opened_decides(void **state)
{
	struct uext4_file *f, *d;
	struct bug b;

	way_open(&b, "ext4-4k-full", NULL);
	f = env_open(&b.e, "/f", RW);
	d = env_open(&b.e, "/d", DIRECT);
	put(f, 0, 8192, 'x');
	put(d, 0, 8192, 'x');
	assert_int_equal(atomic_load(&f->inode->file.pages.npages), 2);
	assert_int_equal(run_at(f, 0).type, MAP_HOLE); /* delayed */
	assert_int_equal(atomic_load(&d->inode->file.pages.npages), 0);
	assert_int_equal(run_at(d, 0).type, MAP_WRITTEN);
	env_close(f);
	env_close(d);
	bug_close(&b, true);
}

static void w16_every_accepted_write_stamps_the_file(void **state)
{
	static const struct {
		uint64_t pos;
		size_t len;
	} kinds[] = { { 0, 4096 }, { 512, 512 }, { 4096, 4096 }, { 8192, 512 },
		{ 65536, 4096 } };
	struct uext4_stat st;
	struct uext4_file *f;
	struct bug b;

	way_open(&b, "ext4-4k-full", NULL);
	f = env_open(&b.e, "/f", DIRECT);
	for (int i = 0; i < 10; i++) {
		b.now.tv_sec++;
		put(f, kinds[i / 2].pos, kinds[i / 2].len, 'x');
		st = env_stat(&b.e, "/f");
		assert_int_equal(st.mtime.tv_sec, b.now.tv_sec);
		assert_int_equal(st.ctime.tv_sec, b.now.tv_sec);
	}
	b.now.tv_sec++;
	assert_int_equal(write_rwf(f, 1, 512, 'x', 0), -EINVAL);
	assert_int_equal(env_stat(&b.e, "/f").mtime.tv_sec, b.now.tv_sec - 1);
	env_close(f);
	bug_close(&b, true);
}

/* The position of the call is not that of an append, nor its length that of a
 * write which the format cuts. */
static void w18_what_the_checks_return_is_what_is_written(void **state)
{
	struct uext4_file *f;
	struct bug b;
	uint64_t max;

	way_open(&b, "ext4-4k-full", NULL);
	f = env_open(&b.e, "/f", DIRECT);
	put(f, 0, 8192, 'x');
	assert_int_equal(write_rwf(f, 0, 4096, 'y', UEXT4_RW_APPEND), 4096);
	assert_int_equal(env_size(f), 12288);
	env_expect(f, 0, 8192, 'x');
	env_expect(f, 8192, 4096, 'y');
	max = b.e.fs->geo.max_bytes_extent;
	assert_int_equal(write_rwf(f, max - 4096, 16384, 'z', 0), 4096);
	assert_int_equal(env_size(f), max);
	env_expect(f, max - 4096, 4096, 'z');
	env_close(f);
	bug_close(&b, true);
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

/* The strip needs the stronger lock; the place of an append is chosen again
 * under it, and no gap is left by the first. */
static void d1_who_takes_the_stronger_lock_checks_again(void **state)
{
	static const struct uext4_cred joe = { .uid = 7, .gid = 7 };
	struct uext4_file *f;
	struct bug b;

	way_open(&b, "ext4-4k-full", NULL);
	f = env_open(&b.e, "/f", DIRECT);
	put(f, 0, 4096, 'x');
	env_close(f);
	chmod_to(&b, "/f", 06777);
	assert_int_equal(uext4_open(b.e.fs, NULL, "/f",
					 UEXT4_O_RDWR | UEXT4_O_DIRECT |
							 UEXT4_O_APPEND,
					 0, &joe, &f),
			0);
	put(f, 0, 4096, 'y');
	put(f, 0, 512, 'z');
	assert_int_equal(env_stat(&b.e, "/f").mode & 07777, 0777);
	assert_int_equal(env_size(f), 8704);
	env_expect(f, 0, 4096, 'x');
	env_expect(f, 4096, 4096, 'y');
	env_expect(f, 8192, 512, 'z');
	env_close(f);
	bug_close(&b, true);
}

/* Inside isize, but past what is on disk. */
static void d8_both_sizes_say_whether_it_extends(void **state)
{
	struct uext4_file *f, *d;
	struct bug b;

	way_open(&b, "ext4-4k-full", NULL);
	f = env_open(&b.e, "/f", RW);
	d = env_open(&b.e, "/f", DIRECT);
	put(d, 0, 512, 'a');
	put(f, 409600, 100, 'f'); /* delayed: isize alone */
	assert_int_equal(write_rwf(d, 512, 512, 'b', UEXT4_RW_NOWAIT), -EAGAIN);
	put(d, 512, 512, 'b');
	mutex_lock(&f->inode->attr_lock);
	assert_int_equal(f->inode->d.size, 1024);
	mutex_unlock(&f->inode->attr_lock);
	assert_int_equal(env_size(f), 409700);
	env_close(f);
	env_close(d);
	bug_close(&b, true);
}

static void d9_an_inode_is_made_durable_without_its_iolock(void **state)
{
	struct uext4_file *f;
	struct locker l;
	struct bug b;

	way_open(&b, "ext4-4k-full", NULL);
	f = env_open(&b.e, "/f", DIRECT);
	put(f, 0, 4096, 'x');
	locker_start(&l, f);
	assert_int_equal(uext4_fsync(f), 0);
	assert_int_equal(uext4_fdatasync(f), 0);
	locker_end(&l);
	env_close(f);
	bug_close(&b, true);
}

/* However a write ends, nobody has the lock, a claim, a place, a reservation. */
static void nothing_is_left(struct uext4_file *f)
{
	struct inode *inode = f->inode;
	struct inode_dio *id = inode->dio;

	if (!rwsem_write_trylock(&inode->rwsem)) {
		fail_msg("the iolock is held");
		return;
	}
	assert_false(iomap_dio_busy(&inode->file));
	if (id != NULL) {
		assert_true(TAILQ_EMPTY(&id->claims));
		assert_true(TAILQ_EMPTY(&id->pending));
		assert_int_equal(id->nedges, 0);
		assert_int_equal(atomic_load(&id->nrsvs), 0);
	}
	rwsem_write_unlock(&inode->rwsem);
}

static void d12_however_it_ends_nothing_is_held(void **state)
{
	struct emu_fault fault = {
		.ops = EMU_OP(BDEV_WRITE),
		.tags = 1u << BDEV_TAG_DATA,
		.err = -EIO,
	};
	static const struct {
		uint64_t pos;
		size_t len;
		unsigned rwf;
		ssize_t ret, failed;
	} w[] = {
		{ 0, 4096, 0, 4096, -EIO },
		{ 512, 512, 0, 512, -EIO },
		{ 16384, 4096, 0, 4096, -EIO },
		{ 24576, 512, 0, 512, -EIO },
		{ 65536, 512, 0, 512, -EIO },
		{ 131072, 8192, 0, 8192, -EIO },
		{ 0, 4096, UEXT4_RW_APPEND, 4096, -EIO },
		{ 0, 512, UEXT4_RW_APPEND, 512, -EIO },
		{ 0, 0, UEXT4_RW_APPEND, 0, 0 },
		{ 1, 512, 0, -EINVAL, -EINVAL },
		{ 0, 511, UEXT4_RW_APPEND, -EINVAL, -EINVAL },
		{ UINT64_C(1) << 62, 4096, 0, -EFBIG, -EFBIG },
		{ 32768, 4096, UEXT4_RW_NOWAIT, -EAGAIN, -EAGAIN },
		{ 0, 4096, UEXT4_RW_NOWAIT | UEXT4_RW_APPEND, -EAGAIN,
				-EAGAIN },
	};
	struct uext4_file *f;
	struct bug b;

	way_open(&b, "ext4-4k-full", NULL);
	for (int failing = 1; failing >= 0; failing--) {
		f = env_open(&b.e, "/f", DIRECT | UEXT4_O_TRUNC);
		put(f, 0, 8192, 'x');
		assert_int_equal(uext4_ftruncate(f, 65536), 0);
		if (failing)
			assert_int_equal(bdev_emu_fault_add(b.dev, &fault), 0);
		for (size_t i = 0; i < sizeof(w) / sizeof(w[0]); i++) {
			assert_int_equal(write_rwf(f, w[i].pos, w[i].len, 'y',
							 w[i].rwf),
					failing ? w[i].failed : w[i].ret);
			nothing_is_left(f);
		}
		bdev_emu_fault_clear(b.dev);
		env_close(f);
	}
	bug_close(&b, true);
}

static void d14_a_failed_extension_gives_its_blocks_back(void **state)
{
	struct emu_fault fault = {
		.ops = EMU_OP(BDEV_WRITE),
		.tags = 1u << BDEV_TAG_DATA,
		.err = -EIO,
	};
	static const char *const profiles[] = { "ext4-4k-full", "ext3-1k" };

	for (int i = 0; i < 2; i++) {
		struct uext4_file *f;
		uint64_t before;
		struct bug b;

		way_open(&b, profiles[i], NULL);
		f = env_open(&b.e, "/f", DIRECT);
		put(f, 0, 4096, 'x');
		assert_int_equal(uext4_sync(b.e.fs), 0);
		before = env_free_blocks(&b.e);
		assert_int_equal(bdev_emu_fault_add(b.dev, &fault), 0);
		(void)write_rwf(f, 4096, 1 << 20, 'y', 0);
		(void)write_rwf(f, 1 << 20, 512, 'y', 0);
		bdev_emu_fault_clear(b.dev);
		assert_int_equal(uext4_ftruncate(f, 4096), 0);
		env_expect(f, 0, 4096, 'x');
		(void)uext4_close(f); /* tells of write-back, if it was that */
		assert_int_equal(uext4_sync(b.e.fs), 0);
		assert_int_equal(env_free_blocks(&b.e), before);
		bug_close(&b, true);
	}
}

/* B44: whatever the block, and the kind of map. */
static void d5_in_blocks_of_every_size(void **state)
{
	static const uint32_t sizes[] = { 1024, 2048, 4096, 65536 };

	for (int i = 0; i < 8; i++) {
		uint32_t bs = sizes[i / 2];
		unsigned n = bs > 4096 ? 8 : bs / 512;
		uint32_t step = bs / n;
		struct uext4_file *f;
		struct writer w[8];
		struct bug b;

		way_open_bs(&b, bs, i % 2 == 0);
		bug_poison(&b);
		f = env_open(&b.e, "/f", DIRECT);
		assert_int_equal(uext4_ftruncate(f, 16ull * bs), 0);
		for (int beyond = 0; beyond < 2; beyond++) {
			uint64_t at = beyond ? 20ull * bs : 3ull * bs;

			for (unsigned k = 0; k < n; k++)
				writer_start(&w[k], f, at + k * step, 512,
						'0' + (int)k);
			for (unsigned k = 0; k < n; k++)
				writer_join(&w[k]);
			for (unsigned k = 0; k < n; k++) {
				env_expect(f, at + k * step, 512, '0' + (int)k);
				/* the file ends behind the last of them */
				if (!beyond || k < n - 1)
					env_expect(f, at + k * step + 512,
							step - 512, 0);
			}
		}
		env_close(f);
		bug_close(&b, true);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(w1_after_a_shutdown_every_write_is_eio),
		cmocka_unit_test(w2_how_it_was_opened_decides),
		cmocka_unit_test(w3_syncing_is_done_without_the_lock),
		cmocka_unit_test(w10_immutable_refuses_and_changes_nothing),
		cmocka_unit_test(w11_nothing_to_write_changes_nothing),
		cmocka_unit_test(w12_appends_do_not_overlap),
		cmocka_unit_test(
				w12_appends_into_one_block_do_not_wait_for_each_other),
		cmocka_unit_test(w14_each_format_has_its_limit),
		cmocka_unit_test(w15_every_kind_of_write_strips_privileges),
		cmocka_unit_test(w16_every_accepted_write_stamps_the_file),
		cmocka_unit_test(w17_the_old_tail_is_zeroed_by_every_extension),
		cmocka_unit_test(w18_what_the_checks_return_is_what_is_written),
		cmocka_unit_test(d1_who_takes_the_stronger_lock_checks_again),
		cmocka_unit_test(d2_misaligned_is_einval_and_changes_nothing),
		cmocka_unit_test(d4_nowait_never_allocates_extends_or_waits),
		cmocka_unit_test(d5_writers_share_a_new_block),
		cmocka_unit_test(d5_in_blocks_of_every_size),
		cmocka_unit_test(d6_partial_overwrites_are_shared),
		cmocka_unit_test(d7_aligned_writes_inside_the_file_are_shared),
		cmocka_unit_test(d8_both_sizes_say_whether_it_extends),
		cmocka_unit_test(
				d9_an_inode_is_made_durable_without_its_iolock),
		cmocka_unit_test(d10_what_pads_or_extends_is_alone_if_serial),
		cmocka_unit_test(d12_however_it_ends_nothing_is_held),
		cmocka_unit_test(d14_a_failed_extension_gives_its_blocks_back),
	};

	return ways_run("rules", tests, sizeof(tests) / sizeof(tests[0]), argc,
			argv);
}
