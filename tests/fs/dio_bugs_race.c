/* SPDX-License-Identifier: MIT */
/*
 * Bugs of requests that meet others: removals, fills of the cache, padding,
 * sizes. See dio_bugs.h.
 */
#include "dio_bugs.h"

#include <stdlib.h>

#include "fs/fs.h"
#include "fs/write.h"

/* ---- blocks that change hands ---- */

enum removal {
	TRUNCATE,
	PUNCH,
	ALLOCATE
};

struct remover {
	pthread_t thread;
	struct uext4_file *file;
	enum removal what;
	atomic_int done;
};

static void *remover_main(void *arg)
{
	struct remover *r = arg;
	int ret;

	if (r->what == TRUNCATE)
		ret = uext4_ftruncate(r->file, 0);
	else if (r->what == PUNCH)
		ret = uext4_fallocate(r->file,
				UEXT4_FALLOC_PUNCH_HOLE |
						UEXT4_FALLOC_KEEP_SIZE,
				0, BIG);
	else
		ret = uext4_fallocate(r->file, 0, 0, 8192);
	assert_int_equal(ret, 0);
	assert_int_equal(uext4_sync(r->file->fs), 0);
	atomic_store(&r->done, 1);
	return NULL;
}

static void remover_start(
		struct remover *r, struct uext4_file *f, enum removal what)
{
	*r = (struct remover){ .file = f, .what = what };
	assert_int_equal(pthread_create(&r->thread, NULL, remover_main, r), 0);
}

/* A held write on blocks that are taken away and given to another. */
static bool write_outlives_its_blocks(struct scene *s, enum removal what)
{
	struct uext4_file *g;
	struct remover r;
	struct flight w;
	uint64_t size;
	bool damaged;

	put(s->f, 0, BIG, 'x');
	assert_int_equal(uext4_sync(s->b.e.fs), 0);
	hold(0, BDEV_WRITE, 'w', 1);
	fly(&w, s->f, 0, BIG, 'w', 0);
	hold_wait(0);
	remover_start(&r, s->f, what);
	(void)comes(&r.done, scene_ms(s));
	g = take_all(s, "/g");
	hold_open(0);
	(void)land(&w);
	pthread_join(r.thread, NULL);
	size = env_size(g);
	damaged = differs(g, 0, size, 'g');
	env_close(g);
	return damaged;
}

static bool b1_truncate_under_a_write(struct scene *s)
{
	return write_outlives_its_blocks(s, TRUNCATE);
}

static bool b1_punch_under_a_write(struct scene *s)
{
	return write_outlives_its_blocks(s, PUNCH);
}

static bool b2_punch_under_a_read(struct scene *s)
{
	struct uext4_file *g;
	struct remover r;
	struct flight t;
	bool damaged = false;

	put(s->f, 0, BIG, 'x');
	assert_int_equal(uext4_sync(s->b.e.fs), 0);
	hold(0, BDEV_READ, 0, 1);
	fly_read(&t, s->f, 0, BIG);
	hold_wait(0);
	remover_start(&r, s->f, PUNCH);
	(void)comes(&r.done, scene_ms(s));
	g = take_all(s, "/g");
	hold_open(0);
	assert_int_equal(flight_wait(&t), BIG);
	for (size_t i = 0; i < BIG; i++)
		damaged |= ((uint8_t *)t.buf)[i] == 'g';
	flight_end(&t);
	pthread_join(r.thread, NULL);
	env_close(g);
	return damaged;
}

/* Somebody else's look at the file, in a thread. */
struct reader {
	pthread_t thread;
	struct scene *s;
	atomic_int done;
};

static struct reader reader;

static void *reader_main(void *arg)
{
	struct reader *r = arg;
	struct uext4_file *f = scene_cached(r->s);

	r->s->buf = env_alloc(4096, 0xee);
	r->s->n = uext4_pread(f, r->s->buf, 4096, 0);
	env_close(f);
	atomic_store(&r->done, 1);
	return NULL;
}

static void read_in_a_thread(struct scene *s)
{
	reader = (struct reader){ .s = s };
	assert_int_equal(pthread_create(&reader.thread, NULL, reader_main,
					 &reader),
			0);
	(void)comes(&reader.done, scene_ms(s));
}

static bool b3_the_cache_is_filled_during_a_punch(struct scene *s)
{
	struct uext4_file *f;
	bool damaged;

	put(s->f, 0, 65536, 'x');
	scene_at(s, "dropped", read_in_a_thread);
	assert_int_equal(uext4_fallocate(s->f,
					 UEXT4_FALLOC_PUNCH_HOLE |
							 UEXT4_FALLOC_KEEP_SIZE,
					 0, 32768),
			0);
	pthread_join(reader.thread, NULL);
	f = scene_cached(s);
	damaged = differs(f, 0, 4096, 0);
	env_close(f);
	return damaged;
}

/* fallocate would set the size that it saw before the append was there. */
static bool b16_fallocate_beside_an_append(struct scene *s)
{
	struct remover r;
	struct flight w;

	hold(0, BDEV_WRITE, 'w', 1);
	fly(&w, s->f, 0, 65536, 'w', 0);
	hold_wait(0);
	remover_start(&r, s->f, ALLOCATE);
	assert_false(comes(&r.done, 20));
	hold_open(0);
	assert_int_equal(land(&w), 65536);
	pthread_join(r.thread, NULL);
	return env_size(s->f) != 65536 || differs(s->f, 0, 65536, 'w');
}

/* A failed write has left blocks behind the end; another is on its way there
 * when somebody closes the file. */
static bool b17_the_trimmer_takes_blocks_of_an_append(struct scene *s)
{
	struct emu_fault fault = {
		.ops = EMU_OP(BDEV_WRITE),
		.tags = 1u << BDEV_TAG_DATA,
		.err = -EIO,
	};
	struct uext4_file *other = env_open(&s->b.e, "/f", DIRECT);
	struct flight w;
	bool damaged;

	assert_int_equal(bdev_emu_fault_add(s->b.dev, &fault), 0);
	assert_int_equal(write_rwf(s->f, 0, 65536, 'e', 0), -EIO);
	bdev_emu_fault_clear(s->b.dev);
	hold(0, BDEV_WRITE, 'w', 1);
	fly(&w, s->f, 0, 4096, 'w', 0);
	hold_wait(0);
	env_close(other);
	damaged = scene_run(s, 0).type == MAP_HOLE;
	/* There is nothing left to convert: it must not come to that. */
	if (damaged)
		(void)uext4_shutdown(s->b.e.fs, UEXT4_SHUTDOWN_NOLOGFLUSH);
	hold_open(0);
	(void)land(&w);
	return damaged || differs(s->f, 0, 4096, 'w');
}

/* ---- the cache ---- */

static void read_now(struct scene *s)
{
	struct uext4_file *f = scene_cached(s);

	s->buf = env_alloc(4096, 0xee);
	s->n = uext4_pread(f, s->buf, 4096, 0);
	env_close(f);
}

static bool cached_differs(struct scene *s, uint64_t pos, size_t len, int byte)
{
	struct uext4_file *f = scene_cached(s);
	bool damaged = differs(f, pos, len, byte);

	env_close(f);
	return damaged;
}

static bool b4_a_page_filled_before_the_size_rises(struct scene *s)
{
	put(s->f, 0, 1024, 'x');
	scene_at(s, "convert", read_now);
	put(s->f, 1024, 1024, 'y');
	assert_true(s->acted);
	return cached_differs(s, 1024, 1024, 'y');
}

static bool b6_a_page_filled_before_conversion(struct scene *s)
{
	assert_int_equal(uext4_ftruncate(s->f, 65536), 0);
	scene_at(s, "convert", read_now);
	put(s->f, 0, 4096, 'y');
	assert_true(s->acted);
	return cached_differs(s, 0, 4096, 'y');
}

/* ---- padding ---- */

static void open_first(struct scene *s)
{
	hold_open(0);
}

/* Two writers of one block that is not there yet; the first is held until the
 * second is there or waits for it. */
static void one_pads_over_the_other(struct scene *s, uint64_t pos, size_t len,
		uint64_t pos2, size_t len2)
{
	struct flight w;

	hold(0, BDEV_WRITE, 'a', 1);
	fly(&w, s->f, pos, len, 'a', 0);
	hold_wait(0);
	scene_at(s, "claim_wait", open_first);
	put(s->f, pos2, len2, 'b');
	hold_open(0);
	assert_int_equal(land(&w), len);
}

static bool b11_two_pad_one_hole(struct scene *s)
{
	assert_int_equal(uext4_ftruncate(s->f, 65536), 0);
	one_pads_over_the_other(s, 8192, 512, 8192 + 1024, 512);
	return differs(s->f, 8192, 512, 'a') ||
			differs(s->f, 8192 + 512, 512, 0) ||
			differs(s->f, 8192 + 1024, 512, 'b');
}

static bool b11_two_pad_one_unwritten_block(struct scene *s)
{
	assert_int_equal(uext4_fallocate(s->f, 0, 0, 65536), 0);
	return b11_two_pad_one_hole(s);
}

static bool b12_a_whole_block_under_late_padding(struct scene *s)
{
	assert_int_equal(uext4_ftruncate(s->f, 65536), 0);
	one_pads_over_the_other(s, 8192, 512, 8192, 4096);
	return differs(s->f, 8192 + 512, 3584, 'b');
}

static bool b12_padding_under_a_late_whole_block(struct scene *s)
{
	struct flight a, b;

	assert_int_equal(uext4_ftruncate(s->f, 65536), 0);
	hold(0, BDEV_WRITE, 'a', 1);
	hold(1, BDEV_WRITE, 'b', 1);
	fly(&a, s->f, 8192, 4096, 'a', 0);
	hold_wait(0);
	scene_at(s, "claim_wait", open_first);
	fly(&b, s->f, 8192 + 512, 512, 'b', 0);
	hold_wait(1);
	hold_open(0);
	assert_int_equal(land(&a), 4096);
	hold_open(1);
	assert_int_equal(land(&b), 512);
	return differs(s->f, 8192, 512, 'a') ||
			differs(s->f, 8192 + 512, 512, 'b') ||
			differs(s->f, 8192 + 1024, 3072, 'a');
}

static bool b13_two_pad_one_block_beyond_the_end(struct scene *s)
{
	one_pads_over_the_other(s, 8192, 512, 8192 + 1024, 512);
	return differs(s->f, 8192, 512, 'a') ||
			differs(s->f, 8192 + 1024, 512, 'b');
}

/* ---- sizes ---- */

static bool b14_an_early_end_comes_late(struct scene *s)
{
	struct flight w;

	hold(0, BDEV_WRITE, 'a', 1);
	fly(&w, s->f, 0, 4096, 'a', 0);
	hold_wait(0);
	put(s->f, 4096, 4096, 'b');
	hold_open(0);
	assert_int_equal(land(&w), 4096);
	return env_size(s->f) != 8192 || differs(s->f, 4096, 4096, 'b');
}

static void read_direct_now(struct scene *s)
{
	s->buf = env_alloc(4096, 0xee);
	s->n = uext4_pread(s->f, s->buf, 4096, 0);
}

/* Under the rule this point does not exist: sizes are raised in the handle that
 * has entered the blocks. */
static bool b15_the_size_before_the_contents(struct scene *s)
{
	scene_at(s, "sized", read_direct_now);
	put(s->f, 0, 4096, 'w');
	return s->acted && s->n > 0 && s->buf[0] != 'w';
}

static struct remover late;

static void truncate_in_a_thread(struct scene *s)
{
	remover_start(&late, s->f, TRUNCATE);
	(void)comes(&late.done, scene_ms(s));
}

/* The drain of a truncate lets one pass that has still to raise the size. */
static bool b16_out_of_flight_before_the_size(struct scene *s)
{
	scene_at(s, "convert", truncate_in_a_thread);
	put(s->f, 0, 8192, 'w');
	pthread_join(late.thread, NULL);
	return env_size(s->f) != 0;
}

/* isize is the work of delayed data far out, which fails. */
static bool b18_the_size_on_disk_is_left_to_others(struct scene *s)
{
	struct uext4_file *f = scene_cached(s);

	put(s->f, 0, 512, 'a');
	put(f, 409600, 100, 'f');
	put(s->f, 512, 512, 'b');
	env_close(f);
	assert_int_equal(journal_sync(s->b.e.fs->journal), 0);
	scene_cut(s);
	return env_size(s->f) < 1024 || differs(s->f, 512, 512, 'b');
}

/* No write is an orphan, so none can be forgotten among them. */
static bool b19_no_write_is_an_orphan(struct scene *s)
{
	struct uext4_file *f = scene_cached(s);
	struct flight w;
	bool orphan;

	put(f, 65536, 100, 'f');
	hold(0, BDEV_WRITE, 'a', 1);
	fly(&w, s->f, 0, 4096, 'a', 0);
	hold_wait(0);
	assert_int_equal(uext4_sync_range(f, 65536, 100), 0);
	orphan = (atomic_load(&s->f->inode->state) & INODE_S_ORPHAN) != 0;
	hold_open(0);
	assert_int_equal(land(&w), 4096);
	env_close(f);
	return orphan || (atomic_load(&s->f->inode->state) & INODE_S_ORPHAN);
}

static bool b20_the_size_grows_under_a_write(struct scene *s)
{
	struct uext4_file *f = scene_cached(s);
	bool damaged;

	put(s->f, 0, 512, 'a');
	put(f, 409600, 100, 'f'); /* isize alone */
	put(s->f, 512, 512, 'b');
	mutex_lock(&s->f->inode->attr_lock);
	damaged = s->f->inode->d.size < 1024;
	mutex_unlock(&s->f->inode->attr_lock);
	env_close(f);
	return damaged;
}

static bool b42_two_appends_at_one_place(struct scene *s)
{
	struct flight a, b;
	int n = 0;

	hold(0, BDEV_WRITE, 'a', 1);
	fly(&a, s->f, 0, 4096, 'a', UEXT4_RW_APPEND);
	hold_wait(0);
	fly(&b, s->f, 0, 4096, 'b', UEXT4_RW_APPEND);
	assert_int_equal(land(&b), 4096);
	hold_open(0);
	assert_int_equal(land(&a), 4096);
	for (int i = 0; i < 2; i++) {
		n += !differs(s->f, (uint64_t)i * 4096, 4096, 'a');
		n += !differs(s->f, (uint64_t)i * 4096, 4096, 'b');
	}
	return n != 2;
}

/* ---- who waits for whom ---- */

/* An O_SYNC append ends while somebody has the iolock. */
static bool b24_a_sync_takes_no_iolock(struct scene *s)
{
	struct flight w;
	struct locker l;

	hold(0, BDEV_WRITE, 'a', 1);
	fly(&w, s->f, 0, 4096, 'a', UEXT4_RW_SYNC);
	hold_wait(0);
	locker_start(&l, s->f);
	hold_open(0);
	assert_int_equal(land(&w), 4096);
	locker_end(&l);
	return differs(s->f, 0, 4096, 'a');
}

/* One thread, which has not looked at its queue when it truncates; the device
 * does nothing that it is not polled for. */
static bool b36_a_drain_by_the_only_thread(struct scene *s)
{
	const struct uext4_queue_opts o = {
		.size = sizeof(o),
		.depth = 4,
		.backend = UEXT4_QUEUE_INLINE,
	};
	struct uext4_sqe sqe = { .op = UEXT4_OP_WRITE, .file = s->f };
	struct uext4_event ev[4];
	struct uext4_queue *q;
	bool damaged = false;

	s->buf = env_alloc(4096, 'q');
	sqe.buf = s->buf;
	sqe.len = 4096;
	assert_int_equal(uext4_queue_open(s->b.e.fs, &o, &q), 0);
	for (int i = 0; i < 4; i++) {
		sqe.pos = (uint64_t)i * 4096;
		assert_int_equal(uext4_queue_prep(q, &sqe), 0);
	}
	assert_int_equal(uext4_queue_submit(q), 4);
	assert_int_equal(uext4_ftruncate(s->f, 4096), 0);
	assert_int_equal(uext4_fallocate(s->f, 0, 8192, 4096), 0);
	assert_int_equal(uext4_queue_wait(q, 4, -1, ev, 4), 4);
	for (int i = 0; i < 4; i++)
		damaged |= ev[i].result != 4096;
	uext4_queue_close(q);
	return damaged || env_size(s->f) != 12288 ||
			differs(s->f, 0, 4096, 'q') ||
			differs(s->f, 4096, 8192, 0);
}

#define BOTH(name, lacks, fn)                                                  \
 { name " datafirst", lacks, fn, NULL, DATAFIRST, 0 },                         \
 {                                                                             \
  name " unwritten", lacks, fn, NULL, UNWRITTEN, 0                             \
 }

const struct bug_case race_cases[] = {
	BOTH("b1_truncate_under_a_write", IOMAP_LACKS_DRAIN,
			b1_truncate_under_a_write),
	{ "b1_truncate_under_a_write nojournal", IOMAP_LACKS_DRAIN,
			b1_truncate_under_a_write, "ext4-4k-nojournal",
			DATAFIRST, 0 },
	BOTH("b1_punch_under_a_write", IOMAP_LACKS_DRAIN,
			b1_punch_under_a_write),
	{ "b1_punch_under_a_write indirect", IOMAP_LACKS_DRAIN,
			b1_punch_under_a_write, "ext3-1k", DATAFIRST, 0 },
	BOTH("b2_punch_under_a_read", IOMAP_LACKS_DRAIN, b2_punch_under_a_read),
	BOTH("b3_the_cache_is_filled_during_a_punch", IOMAP_LACKS_INVAL,
			b3_the_cache_is_filled_during_a_punch),
	BOTH("b4_a_page_filled_before_the_size_rises", IOMAP_LACKS_DROP,
			b4_a_page_filled_before_the_size_rises),
	BOTH("b6_a_page_filled_before_conversion", IOMAP_LACKS_DROP,
			b6_a_page_filled_before_conversion),
	BOTH("b11_two_pad_one_hole", IOMAP_LACKS_CLAIMS, b11_two_pad_one_hole),
	BOTH("b11_two_pad_one_unwritten_block", IOMAP_LACKS_CLAIMS,
			b11_two_pad_one_unwritten_block),
	{ "b11_two_pad_one_hole indirect", IOMAP_LACKS_CLAIMS,
			b11_two_pad_one_hole, "ext4-2k-blockmap", DATAFIRST,
			0 },
	BOTH("b12_a_whole_block_under_late_padding", IOMAP_LACKS_CLAIMS,
			b12_a_whole_block_under_late_padding),
	BOTH("b12_padding_under_a_late_whole_block", IOMAP_LACKS_CLAIMS,
			b12_padding_under_a_late_whole_block),
	BOTH("b13_two_pad_one_block_beyond_the_end", IOMAP_LACKS_CLAIMS,
			b13_two_pad_one_block_beyond_the_end),
	BOTH("b14_an_early_end_comes_late", IOMAP_LACKS_MAX,
			b14_an_early_end_comes_late),
	BOTH("b15_the_size_before_the_contents", IOMAP_LACKS_ORDER,
			b15_the_size_before_the_contents),
	BOTH("b16_fallocate_beside_an_append", 0,
			b16_fallocate_beside_an_append),
	{ "b16_out_of_flight_before_the_size", IOMAP_LACKS_COUNT_LAST,
			b16_out_of_flight_before_the_size, NULL, DATAFIRST, 0 },
	{ "b17_the_trimmer_takes_blocks_of_an_append", IOMAP_LACKS_DRAIN,
			b17_the_trimmer_takes_blocks_of_an_append, NULL,
			UNWRITTEN, 0 },
	BOTH("b18_the_size_on_disk_is_left_to_others", IOMAP_LACKS_DSIZE,
			b18_the_size_on_disk_is_left_to_others),
	BOTH("b19_no_write_is_an_orphan", 0, b19_no_write_is_an_orphan),
	BOTH("b20_the_size_grows_under_a_write", IOMAP_LACKS_DSIZE,
			b20_the_size_grows_under_a_write),
	BOTH("b24_a_sync_takes_no_iolock", 0, b24_a_sync_takes_no_iolock),
	{ "b24_a_sync_takes_no_iolock nojournal", 0, b24_a_sync_takes_no_iolock,
			"ext4-4k-nojournal", DATAFIRST, 0 },
	{ "b36_a_drain_by_the_only_thread datafirst", 0,
			b36_a_drain_by_the_only_thread, NULL, DATAFIRST,
			BDEV_EMU_F_ASYNC },
	{ "b36_a_drain_by_the_only_thread unwritten", 0,
			b36_a_drain_by_the_only_thread, NULL, UNWRITTEN,
			BDEV_EMU_F_ASYNC },
	BOTH("b42_two_appends_at_one_place", IOMAP_LACKS_CURSOR,
			b42_two_appends_at_one_place),
};
const unsigned nrace_cases = sizeof(race_cases) / sizeof(race_cases[0]);
