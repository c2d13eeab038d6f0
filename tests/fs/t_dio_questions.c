/* SPDX-License-Identifier: MIT */
/*
 * Three questions about direct writes that extend a file, answered by running
 * code. docs/locking.md tells the answers.
 *
 *	Q1	Does raising the size need the exclusive inode lock?
 *	Q2	What else did that lock, held until the data is there, keep away?
 *	Q3	Why can those who extend share it?
 *
 * Each race of Q2 is made to happen with the rule that prevents it switched off
 * (IOMAP_LACKS_*, in debug builds), and is shown not to happen with it. What is
 * counted are bytes or places that are wrong. The order of all steps is fixed by
 * the device of hold.h and by gates; nothing depends on time.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "hold.h"
#include "inode/inode.h"

#define BS     4096u
#define SECTOR 512u
#define NREQS  8
#define MANY   (16 * BS) /* more than what claims keep from others */

struct rig {
	struct hold r;
	struct uext4_file *f, *cached;
	struct uext4_queue *q;
	int64_t res[NREQS];
	bool lacks;    /* the rule is off */
	uint64_t seen; /* counted in a gate */
};

struct question {
	uint64_t (*run)(struct rig *g);
	uint32_t lacks;
	struct hold_opts opts;
	const char *words; /* of what is seen without the rule; '@': how much */
};

#ifndef NDEBUG

static void rig_open(struct rig *g, const struct question *q, bool lacks)
{
	struct hold_opts opts = q->opts;

	memset(g, 0, sizeof(*g));
	opts.tune = "-m 0"; /* who takes the rest gets the last block */
	hold_open(&g->r, "ext4-4k-full", "12M", &opts);
	g->f = env_open(&g->r.b.e, "/f", HOLD_DIRECT);
	g->cached = env_open(&g->r.b.e, "/f", HOLD_RW);
	g->q = hold_queue(&g->r, NREQS);
	for (int i = 0; i < NREQS; i++)
		g->res[i] = HOLD_NONE;
	g->lacks = lacks;
	hold_lacks(g->f, lacks ? q->lacks : 0);
}

static void rig_close_files(struct rig *g)
{
	uext4_queue_close(g->q);
	env_close(g->f);
	env_close(g->cached);
	g->q = NULL;
}

/* @words with @n for the '@' in them. */
static void say(const char *words, uint64_t n)
{
	const char *at = strchr(words, '@');

	printf("# %.*s%llu%s\n", (int)(at - words), words,
			(unsigned long long)n, at + 1);
}

static void ask(const struct question *q)
{
	struct rig g;
	uint64_t n;

	for (int lacks = 1; lacks >= 0; lacks--) {
		rig_open(&g, q, lacks != 0);
		n = q->run(&g);
		if (g.q != NULL)
			rig_close_files(&g);
		/* What was broken on purpose is not judged. */
		hold_close(&g.r, lacks == 0);
		if (lacks == 0) {
			assert_int_equal(n, 0);
			continue;
		}
		assert_true(n > 0);
		say(q->words, n);
	}
}

static void write_one(
		struct rig *g, uint64_t pos, size_t len, int byte, unsigned id)
{
	hold_write(g->q, g->f, pos, len, byte, 0, id);
}

static void append_one(struct rig *g, int byte, unsigned id)
{
	hold_write(g->q, g->f, 0, BS, byte, UEXT4_RW_APPEND, id);
}

static void end_one(struct rig *g, int i, int err)
{
	hold_end(&g->r, i, err);
	(void)hold_events(g->q, 0, g->res);
}

/* Somebody waits for those in flight. */
static void wait_for_drain(struct rig *g)
{
	while (atomic_load(&g->f->inode->file.dio_waiters) == 0)
		usleep(200);
}

/* All that is free, in one file. */
static struct uext4_file *take_the_rest(
		struct rig *g, const char *path, int byte)
{
	struct uext4_file *f = env_open(&g->r.b.e, path, HOLD_DIRECT);
	uint64_t pos = 0;

	assert_int_equal(uext4_sync(g->r.b.e.fs), 0);
	for (uint64_t len = 256 * BS; len >= BS; len /= 2)
		while (uext4_fallocate(f, 0, pos, len) == 0)
			pos += len;
	if (pos > 0)
		env_fill(f, 0, pos, byte);
	return f;
}

/* ---- Q1 ---- */

/* Three appends, the last one first. */
static uint64_t sizes_in_another_order(struct rig *g)
{
	hold_next(&g->r, 3);
	for (unsigned i = 0; i < 3; i++)
		append_one(g, 'A' + (int)i, i);
	end_one(g, 2, 0);
	end_one(g, 0, 0);
	end_one(g, 1, 0);
	return 3 * BS - env_size(g->f);
}

static void q1_the_size_is_a_maximum(void **state)
{
	const struct question q = {
		.run = sizes_in_another_order,
		.lacks = IOMAP_LACKS_MAX,
		.words = "without the maximum: whoever ended last set the "
			 "size, "
			 "and @ acknowledged bytes were behind it",
	};

	ask(&q);
}

static void q1_it_is_raised_while_another_holds_the_lock(void **state)
{
	const struct question q = { 0 };
	struct hold_call t;
	struct rig g;

	rig_open(&g, &q, false);
	hold_next(&g.r, 2);
	append_one(&g, 'A', 0);
	append_one(&g, 'B', 1);
	/* It has the lock for itself, and waits for both. */
	hold_call_truncate(&t, g.f, 100);
	wait_for_drain(&g);
	assert_false(rwsem_read_trylock(&g.f->inode->rwsem));
	hold_end(&g.r, 1, 0);
	while (inode_size(g.f->inode) < 2 * BS)
		(void)hold_events(g.q, 0, g.res);
	assert_int_equal(atomic_load(&t.done), 0);
	hold_end(&g.r, 0, 0);
	assert_int_equal(hold_call_join(&t), 0);
	assert_int_equal(env_size(g.f), 100);
	(void)hold_events(g.q, 0, g.res);
	rig_close_files(&g);
	hold_close(&g.r, true);
	printf("# the size rose to 8192 under the exclusive lock of somebody "
	       "else\n");
}

/* ---- Q2 ---- */

/* What a power cut at this moment would leave, to e2fsck. */
static uint64_t fsck_finds(struct rig *g)
{
	struct bug *b = &g->r.b;
	struct emu_img *img;

	assert_int_equal(bdev_emu_durable_image(b->dev, &img), 0);
	assert_int_equal(emu_img_save(img, b->e.out), 0);
	emu_img_free(img);
	return env_sh("e2fsck -fy %s 2>&1 | grep -q 'i_size is\\|i_blocks is'",
			       b->e.out) == 0;
}

/* A ends and is durable; B and C are in flight behind it. */
static uint64_t cut_with_others_in_flight(struct rig *g)
{
	uint64_t found;

	hold_next(&g->r, 3);
	for (unsigned i = 0; i < 3; i++)
		append_one(g, 'A' + (int)i, i);
	/* Nobody of them had to become an orphan. */
	assert_false(atomic_load(&g->f->inode->state) & INODE_S_ORPHAN);
	end_one(g, 0, 0);
	assert_int_equal(uext4_fsync(g->f), 0);
	found = fsck_finds(g);
	end_one(g, 1, 0);
	end_one(g, 2, 0);
	return found;
}

static void q2a_no_orphan_entry_is_needed(void **state)
{
	const struct question q = {
		.run = cut_with_others_in_flight,
		.lacks = IOMAP_LACKS_UNWRITTEN,
		.opts = { .alloc = UEXT4_DIO_ALLOC_UNWRITTEN, .cuts = true },
		.words = "without unwritten blocks, and with no orphan entry: "
			 "after a power cut e2fsck finds blocks of others "
			 "behind the size that A has set (@ file)",
	};

	ask(&q);
}

/* B ends first, and the size covers the place of A. */
static uint64_t size_over_what_is_in_flight(struct rig *g)
{
	uint64_t n;

	hold_next(&g->r, 2);
	append_one(g, 'A', 0);
	append_one(g, 'B', 1);
	end_one(g, 1, 0);
	assert_int_equal(env_size(g->f), 2 * BS);
	n = hold_differ(g->f, 0, BS, 0);
	end_one(g, 0, 0);
	env_expect(g->f, 0, BS, 'A');
	return n;
}

static void q2b_nobody_reads_what_was_there_before(void **state)
{
	const struct question q = {
		.run = size_over_what_is_in_flight,
		.lacks = IOMAP_LACKS_UNWRITTEN,
		.opts = { .alloc = UEXT4_DIO_ALLOC_UNWRITTEN, .poison = true },
		.words = "without unwritten blocks: B raised the size over A "
			 "in "
			 "flight, and @ bytes of a removed file were read",
	};

	ask(&q);
}

/* A fails, and its blocks behind the size are surplus; B is in flight there. */
static uint64_t failure_beside_one_in_flight(struct rig *g)
{
	struct uext4_file *rest;
	uint64_t n, size;

	hold_next(&g->r, 2);
	write_one(g, 0, BS, 'A', 0);
	write_one(g, BS, MANY, 'B', 1);
	env_close(take_the_rest(g, "/plug", 'p'));
	end_one(g, 0, -EIO);
	rest = take_the_rest(g, "/rest", 'r');
	size = env_size(rest);
	hold_land(&g->r, 1);
	n = size > 0 ? hold_differ(rest, 0, size, 'r') : 0;
	end_one(g, 1, g->lacks ? -EIO : 0);
	if (!g->lacks) {
		assert_int_equal(g->res[1], MANY);
		env_expect(g->f, 0, BS, 0);
		env_expect(g->f, BS, MANY, 'B');
	}
	env_close(rest);
	return n;
}

static void q2c_a_failure_takes_no_blocks_of_others(void **state)
{
	const struct question q = {
		.run = failure_beside_one_in_flight,
		.lacks = IOMAP_LACKS_TRIM_ALONE,
		.opts = { .alloc = UEXT4_DIO_ALLOC_UNWRITTEN },
		.words = "without waiting to be alone: the clean-up after A "
			 "freed "
			 "the blocks of B, and @ bytes of B fell upon another "
			 "file",
	};

	ask(&q);
}

/* The size ends inside a block; behind it is what a stranger left there. */
static uint64_t rubbish_behind_the_size(struct rig *g)
{
	struct map_run run;
	uint8_t *bad = env_alloc(BS, HOLD_POISON);

	env_fill(g->f, 0, SECTOR, 'a');
	assert_int_equal(map_find(&g->f->inode->map, 0, 1, &run), 0);
	assert_int_equal(run.type, MAP_WRITTEN);
	assert_int_equal(bdev_write(g->r.b.dev, run.pblk * BS + SECTOR, bad,
					 BS - SECTOR, 0, BDEV_TAG_DATA),
			0);
	free(bad);
	atomic_fetch_and(&g->f->inode->state, ~INODE_S_EOF_CLEAN);
	env_fill(g->f, 2 * BS, BS, 'b');
	return hold_differ(g->f, SECTOR, BS - SECTOR, 0);
}

static void q2d_the_tail_is_zeroed_before_the_size_passes_it(void **state)
{
	const struct question q = {
		.run = rubbish_behind_the_size,
		.lacks = IOMAP_LACKS_TAIL,
		.words = "without zeroing the tail: the size passed @ bytes "
			 "that "
			 "nobody had written",
	};

	ask(&q);
}

/* A extends the block that the size ends in; B comes behind it and zeroes the
 * tail of that block. */
static uint64_t zeroing_beside_one_in_flight(struct rig *g)
{
	struct hold_call b;

	env_fill(g->f, 0, SECTOR, 'a');
	atomic_fetch_and(&g->f->inode->state, ~INODE_S_EOF_CLEAN);
	hold_next(&g->r, g->lacks ? 2 : 1);
	write_one(g, SECTOR, SECTOR, 'A', 0);
	hold_call_write(&b, g->f, 2 * BS, BS, 'B', 0);
	if (g->lacks) {
		hold_wait(&g->r, 2);
		hold_land(&g->r, 0);
		hold_end(&g->r, 1, 0);
	} else {
		wait_for_drain(g);
	}
	end_one(g, 0, 0);
	assert_int_equal(hold_call_join(&b), BS);
	(void)hold_events(g->q, 0, g->res);
	return hold_differ(g->f, SECTOR, SECTOR, 'A');
}

static void q2d_zeroing_waits_for_those_in_flight(void **state)
{
	const struct question q = {
		.run = zeroing_beside_one_in_flight,
		.lacks = IOMAP_LACKS_DRAIN,
		.words = "without the drain: the zeroes before B fell upon the "
			 "data of A: @ bytes lost",
	};

	ask(&q);
}

static void note_claim_wait(void *ctx, uint64_t pos, const char *at)
{
	struct rig *g = ctx;

	(void)pos;
	if (strcmp(at, "claim_wait") == 0)
		atomic_store(&g->r.waiting, 1);
}

/* Two sectors of one new block: A is sent first and lands last. */
static uint64_t two_in_one_block(struct rig *g)
{
	struct hold_call b;

	hold_gate(g->f, note_claim_wait, g);
	hold_next(&g->r, g->lacks ? 2 : 1);
	write_one(g, 0, SECTOR, 'A', 0);
	hold_call_write(&b, g->f, SECTOR, SECTOR, 'B', 0);
	while (!g->lacks && atomic_load(&g->r.waiting) == 0)
		usleep(200);
	if (g->lacks) {
		hold_wait(&g->r, 2);
		hold_end(&g->r, 1, 0);
	}
	end_one(g, 0, 0);
	assert_int_equal(hold_call_join(&b), SECTOR);
	(void)hold_events(g->q, 0, g->res);
	env_expect(g->f, 0, SECTOR, 'A');
	return hold_differ(g->f, SECTOR, SECTOR, 'B');
}

static void q2d_a_partial_block_has_one_writer(void **state)
{
	const struct question q = {
		.run = two_in_one_block,
		.lacks = IOMAP_LACKS_CLAIMS,
		.words = "without claims: the padding of A fell upon the data "
			 "of "
			 "B: @ bytes lost",
	};

	ask(&q);
}

static uint64_t one_sector_of_a_new_block(struct rig *g)
{
	env_fill(g->f, 0, SECTOR, 'a');
	assert_int_equal(uext4_ftruncate(g->f, BS), 0);
	return hold_differ(g->f, SECTOR, BS - SECTOR, 0);
}

static void q2d_the_rest_of_a_new_block_is_written_too(void **state)
{
	const struct question q = {
		.run = one_sector_of_a_new_block,
		.lacks = IOMAP_LACKS_PADDING,
		.opts = { .poison = true },
		/* A truncate zeroes the tail by itself, so look at the disk. */
		.words = "without padding: @ bytes of a removed file in the "
			 "rest "
			 "of a new block",
	};

	ask(&q);
}

static uint64_t two_appends(struct rig *g)
{
	hold_next(&g->r, 2);
	append_one(g, 'A', 0);
	append_one(g, 'B', 1);
	end_one(g, 0, 0);
	end_one(g, 1, 0);
	assert_int_equal(g->res[0], BS);
	assert_int_equal(g->res[1], BS);
	return 2 * BS - env_size(g->f);
}

static void q2e_appends_have_places_of_their_own(void **state)
{
	const struct question q = {
		.run = two_appends,
		.lacks = IOMAP_LACKS_CURSOR,
		.words = "without the cursor: A and B were written to one "
			 "place, "
			 "and @ acknowledged bytes are gone",
	};

	ask(&q);
}

/* Pages far out have raised the size in memory; the size on disk is behind. */
static uint64_t durable_behind_the_size_on_disk(struct rig *g)
{
	void *buf = env_alloc(BS, 'b');
	struct iovec iov = { buf, BS };
	struct uext4_file *f;
	uint64_t size;

	env_fill(g->f, 0, SECTOR, 'a');
	assert_int_equal(uext4_fsync(g->f), 0);
	env_fill(g->cached, 256 * BS, BS, 'c');
	assert_int_equal(uext4_pwritev2(g->f, &iov, 1, 0, UEXT4_RW_DSYNC), BS);
	free(buf);
	rig_close_files(g);
	hold_cut(&g->r);
	f = env_open(&g->r.b.e, "/f", HOLD_RW);
	size = env_size(f);
	env_close(f);
	return size < BS ? BS - size : 0;
}

static void q2f_extending_is_asked_of_both_sizes(void **state)
{
	const struct question q = {
		.run = durable_behind_the_size_on_disk,
		.lacks = IOMAP_LACKS_DSIZE,
		.opts = { .cuts = true },
		.words = "without asking the size on disk: @ durable bytes "
			 "were "
			 "cut off by a power cut",
	};

	ask(&q);
}

/* A truncate makes the file longer while a write inside is in flight. */
static uint64_t truncate_up_beside_one_in_flight(struct rig *g)
{
	struct hold_call t;
	uint64_t size;

	hold_next(&g->r, 1);
	append_one(g, 'A', 0);
	hold_call_truncate(&t, g->f, 16 * BS);
	if (g->lacks)
		assert_int_equal(hold_call_join(&t), 0);
	else
		wait_for_drain(g);
	end_one(g, 0, 0);
	if (!g->lacks)
		assert_int_equal(hold_call_join(&t), 0);
	(void)hold_events(g->q, 0, g->res);
	size = env_size(g->f);
	env_expect(g->f, 0, BS, 'A');
	return 16 * BS - size;
}

static void q2g_who_raises_the_size_otherwise_is_not_undone(void **state)
{
	const struct question q = {
		.run = truncate_up_beside_one_in_flight,
		.lacks = IOMAP_LACKS_DRAIN | IOMAP_LACKS_MAX,
		.words = "without drain and maximum: the end of A took the "
			 "size "
			 "of a truncate back by @ bytes",
	};

	ask(&q);
}

/* A truncate takes the blocks of one in flight, somebody else gets it. */
static uint64_t truncate_beside_one_in_flight(struct rig *g)
{
	struct uext4_file *rest;
	struct hold_call t;
	uint64_t n, size;

	hold_next(&g->r, 1);
	write_one(g, 0, MANY, 'A', 0);
	env_close(take_the_rest(g, "/plug", 'p'));
	hold_call_truncate(&t, g->f, 0);
	if (!g->lacks) {
		wait_for_drain(g);
		end_one(g, 0, 0);
	}
	assert_int_equal(hold_call_join(&t), 0);
	rest = take_the_rest(g, "/rest", 'r');
	size = env_size(rest);
	if (g->lacks)
		hold_land(&g->r, 0);
	n = hold_differ(rest, 0, size, 'r');
	if (g->lacks)
		end_one(g, 0, -EIO);
	(void)hold_events(g->q, 0, g->res);
	env_close(rest);
	return n;
}

static void q2g_who_takes_blocks_away_waits(void **state)
{
	const struct question q = {
		.run = truncate_beside_one_in_flight,
		.lacks = IOMAP_LACKS_DRAIN,
		.opts = { .alloc = UEXT4_DIO_ALLOC_UNWRITTEN },
		.words = "without the drain: a truncate freed the blocks of A, "
			 "and "
			 "@ bytes of A fell upon another file",
	};

	ask(&q);
}

/* Somebody reads through the cache when the data is there and the size is not. */
static void read_at_convert(void *ctx, uint64_t pos, const char *at)
{
	struct rig *g = ctx;
	uint8_t byte[SECTOR];

	(void)pos;
	if (strcmp(at, "convert") == 0)
		assert_int_equal(uext4_pread(g->cached, byte, SECTOR, 0),
				SECTOR);
}

static uint64_t page_before_the_size(struct rig *g)
{
	env_fill(g->f, 0, SECTOR, 'a');
	hold_gate(g->f, read_at_convert, g);
	env_fill(g->f, SECTOR, SECTOR, 'b');
	hold_gate(g->f, NULL, NULL);
	return hold_differ(g->cached, SECTOR, SECTOR, 'b');
}

static void q2h_pages_are_dropped_after_the_size_is_raised(void **state)
{
	const struct question q = {
		.run = page_before_the_size,
		.lacks = IOMAP_LACKS_DROP,
		.words = "without dropping pages last: a page of the old size "
			 "stayed, and @ bytes read as zeroes for good",
	};

	ask(&q);
}

static void read_at_sized(void *ctx, uint64_t pos, const char *at)
{
	struct rig *g = ctx;

	(void)pos;
	if (strcmp(at, "sized") == 0 && env_size(g->f) > 0)
		g->seen += hold_differ(g->f, 0, BS, 'a');
}

static uint64_t size_before_the_data(struct rig *g)
{
	hold_gate(g->f, read_at_sized, g);
	env_fill(g->f, 0, BS, 'a');
	hold_gate(g->f, NULL, NULL);
	return g->seen;
}

static void q2h_the_size_rises_after_the_conversion(void **state)
{
	const struct question q = {
		.run = size_before_the_data,
		.lacks = IOMAP_LACKS_ORDER,
		.words = "without that order: a reader saw @ zeroes inside the "
			 "size where data had been written",
	};

	ask(&q);
}

static void truncate_at_convert(void *ctx, uint64_t pos, const char *at)
{
	struct rig *g = ctx;

	(void)pos;
	if (strcmp(at, "convert") == 0 && g->lacks)
		assert_int_equal(uext4_ftruncate(g->f, 0), 0);
}

/* A truncate to nothing between the data and the size of an append. */
static uint64_t truncate_before_the_size(struct rig *g)
{
	struct hold_call t;

	env_fill(g->f, 0, 2 * BS, 'a');
	hold_gate(g->f, truncate_at_convert, g);
	hold_next(&g->r, 1);
	append_one(g, 'A', 0);
	if (!g->lacks) {
		hold_call_truncate(&t, g->f, 0);
		wait_for_drain(g);
	}
	end_one(g, 0, 0);
	if (!g->lacks)
		assert_int_equal(hold_call_join(&t), 0);
	(void)hold_events(g->q, 0, g->res);
	hold_gate(g->f, NULL, NULL);
	return env_size(g->f);
}

static void q2h_a_write_is_in_flight_until_its_size_is_there(void **state)
{
	const struct question q = {
		.run = truncate_before_the_size,
		.lacks = IOMAP_LACKS_COUNT_LAST,
		.words = "without being in flight to the end: an append raised "
			 "a "
			 "file that had been truncated to nothing to @ bytes",
	};

	ask(&q);
}

/* The device refuses the data. */
static uint64_t data_that_failed(struct rig *g)
{
	uint64_t n = 0;

	hold_next(&g->r, 1);
	append_one(g, 'A', 0);
	end_one(g, 0, -EIO);
	if (g->res[0] > 0)
		n = BS - hold_differ(g->f, 0, BS, HOLD_POISON);
	else
		assert_int_equal(env_size(g->f), 0);
	return n;
}

static void q2i_an_error_reaches_the_caller_and_changes_nothing(void **state)
{
	const struct question q = {
		.run = data_that_failed,
		.lacks = IOMAP_LACKS_ERROR,
		.opts = { .alloc = UEXT4_DIO_ALLOC_UNWRITTEN, .poison = true },
		.words = "without looking at the error: success was told, and "
			 "@ "
			 "bytes of a removed file were read",
	};

	ask(&q);
}

/* The data is there, but the journal is gone when the size has to be raised:
 * the request is told so, as the event comes after that. */
static void q2i_so_does_an_error_of_the_size(void **state)
{
	const struct question q = { 0 };
	struct rig g;

	rig_open(&g, &q, false);
	hold_next(&g.r, 1);
	append_one(&g, 'A', 0);
	assert_int_equal(uext4_shutdown(g.r.b.e.fs, UEXT4_SHUTDOWN_NOLOGFLUSH),
			0);
	end_one(&g, 0, 0);
	assert_true(g.res[0] < 0);
	assert_int_equal(inode_size(g.f->inode), 0);
	rig_close_files(&g);
	(void)!bug_unmount(&g.r.b);
	hold_mount(&g.r);
	hold_close(&g.r, true);
}

/* ---- Q3 ---- */

/* Every place but the last is in flight when the size passes them; they end in
 * turn. What is read is zeroes or their data, never anything else. */
static void q3_whoever_raises_the_size_shows_zeroes_only(void **state)
{
	for (int k = 0; k < 2; k++) {
		const struct question q = {
			.opts = { .alloc = k ? UEXT4_DIO_ALLOC_UNWRITTEN
					     : UEXT4_DIO_ALLOC_DATAFIRST,
					.poison = true },
		};
		struct rig g;

		rig_open(&g, &q, false);
		hold_next(&g.r, NREQS);
		for (unsigned i = 0; i < NREQS; i++)
			append_one(&g, 'A' + (int)i, i);
		for (int i = NREQS - 1; i >= 0; i--) {
			/* Its data is on the device already. */
			if (i > 0)
				hold_land(&g.r, i - 1);
			end_one(&g, i, 0);
			assert_int_equal(env_size(g.f), NREQS * BS);
			for (int z = 0; z < NREQS; z++)
				env_expect(g.cached, (uint64_t)z * BS, BS,
						z < i ? 0 : 'A' + z);
		}
		rig_close_files(&g);
		hold_close(&g.r, true);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(q1_the_size_is_a_maximum),
		cmocka_unit_test(q1_it_is_raised_while_another_holds_the_lock),
		cmocka_unit_test(q2a_no_orphan_entry_is_needed),
		cmocka_unit_test(q2b_nobody_reads_what_was_there_before),
		cmocka_unit_test(q2c_a_failure_takes_no_blocks_of_others),
		cmocka_unit_test(
				q2d_the_tail_is_zeroed_before_the_size_passes_it),
		cmocka_unit_test(q2d_zeroing_waits_for_those_in_flight),
		cmocka_unit_test(q2d_a_partial_block_has_one_writer),
		cmocka_unit_test(q2d_the_rest_of_a_new_block_is_written_too),
		cmocka_unit_test(q2e_appends_have_places_of_their_own),
		cmocka_unit_test(q2f_extending_is_asked_of_both_sizes),
		cmocka_unit_test(
				q2g_who_raises_the_size_otherwise_is_not_undone),
		cmocka_unit_test(q2g_who_takes_blocks_away_waits),
		cmocka_unit_test(
				q2h_pages_are_dropped_after_the_size_is_raised),
		cmocka_unit_test(q2h_the_size_rises_after_the_conversion),
		cmocka_unit_test(
				q2h_a_write_is_in_flight_until_its_size_is_there),
		cmocka_unit_test(
				q2i_an_error_reaches_the_caller_and_changes_nothing),
		cmocka_unit_test(q2i_so_does_an_error_of_the_size),
		cmocka_unit_test(q3_whoever_raises_the_size_shows_zeroes_only),
	};

	if (!env_tools())
		return 77;
	return cmocka_run_group_tests_name("dio questions", tests, NULL, NULL);
}

#else

int main(void)
{
	printf("skip: the rules can be switched off in debug builds only\n");
	return 77;
}

#endif
