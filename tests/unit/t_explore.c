/* SPDX-License-Identifier: MIT */
/*
 * The explorer, against what is known about small logs, against rule E1
 * spelt out sector by sector, and against a toy write-ahead log with
 * switchable defects.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/hmap.h"
#include "bdev/bdev_emu.h"
#include "power/explore.h"

#define SIZE (1u << 20)
#define BLK  4096u

static struct bdev *dev_open(uint32_t flags, uint32_t sector, uint64_t seed)
{
	struct bdev_emu_opts opts = {
		.flags = flags, .sector = sector, .seed = seed
	};
	struct emu_img *img;
	struct bdev *dev;

	assert_int_equal(emu_img_new(SIZE, &img), 0);
	assert_int_equal(bdev_emu_open(img, &opts, &dev), 0);
	emu_img_free(img);
	assert_int_equal(bdev_emu_record(dev), 0);
	return dev;
}

static void put(struct bdev *dev, uint64_t pos, size_t len, int c, uint32_t f,
		uint64_t tag)
{
	uint8_t *buf = malloc(len);

	memset(buf, c, len);
	assert_int_equal(bdev_write(dev, pos, buf, len, f, tag), 0);
	free(buf);
}

struct taken {
	struct emu_img *base;
	struct emu_log *log;
};

static struct taken take(struct bdev *dev)
{
	struct taken t;

	assert_int_equal(bdev_emu_take_log(dev, &t.base, &t.log), 0);
	assert_int_equal(bdev_close(dev), 0);
	return t;
}

static void drop(struct taken *t)
{
	emu_img_free(t->base);
	emu_log_free(t->log);
}

static int judge_fine(void *ctx, const struct explore_state *st)
{
	return 0;
}

static struct explore_report run(const struct taken *t,
		const struct explore_opts *opts, explore_judge judge, void *ctx)
{
	struct explore_report rep;

	assert_int_equal(explore_run(t->base, t->log, opts, judge, ctx, &rep),
			0);
	return rep;
}

/* ---- known counts ---- */

static void one_sector_writes_give_all_subsets(void **state)
{
	struct explore_opts opts = { 0 };
	struct explore_report rep;
	struct taken t;
	struct bdev *dev = dev_open(0, 512, 0);
	int i;

	for (i = 0; i < 10; i++)
		put(dev, (uint64_t)i * BLK, 512, 'a' + i, 0, 0);
	t = take(dev);
	rep = run(&t, &opts, judge_fine, NULL);
	assert_int_equal(explore_report_distinct(&rep), 1024);
	assert_int_equal(rep.distinct[EXPLORE_PREFIX], 11);
	assert_int_equal(rep.distinct[EXPLORE_TORN], 0);
	assert_int_equal(rep.judged, 1024);
	assert_int_equal(rep.sampled_cuts, 0);
	assert_false(rep.is_truncated);
	drop(&t);
}

static void flush_and_fua_bound_the_subsets(void **state)
{
	struct explore_opts opts = { 0 };
	struct explore_report rep;
	struct taken t;
	struct bdev *dev = dev_open(0, 512, 0);

	put(dev, 0 * BLK, 512, 'a', 0, 0);
	put(dev, 1 * BLK, 512, 'b', 0, 0);
	put(dev, 2 * BLK, 512, 'c', BDEV_F_FUA, 0);
	put(dev, 3 * BLK, 512, 'd', 0, 0);
	assert_int_equal(bdev_flush(dev, 0), 0);
	put(dev, 4 * BLK, 512, 'e', 0, 0);
	t = take(dev);
	/* {a,b,c} 8, then c durable and d: 4 with d, then e: 1 more. */
	rep = run(&t, &opts, judge_fine, NULL);
	assert_int_equal(explore_report_distinct(&rep), 8 + 4 + 1);
	/* Without barriers all 2^5 are possible. */
	opts.flags = EXPLORE_F_NOBARRIER;
	rep = run(&t, &opts, judge_fine, NULL);
	assert_int_equal(explore_report_distinct(&rep), 32);
	drop(&t);
}

static void journal_block_tears_in_every_way(void **state)
{
	static const enum bdev_tag tags[] = { BDEV_TAG_J_COMMIT,
		BDEV_TAG_J_REVOKE, BDEV_TAG_J_DESC, BDEV_TAG_J_SB,
		BDEV_TAG_SUPERBLOCK };
	struct explore_opts opts = { 0 };
	struct explore_report rep;
	struct taken t;
	struct bdev *dev;
	size_t i;

	for (i = 0; i < array_len(tags); i++) {
		dev = dev_open(0, 512, 0);
		put(dev, BLK, BLK, 'a', BDEV_F_FUA, BDEV_TAG(tags[i], 3));
		t = take(dev);
		rep = run(&t, &opts, judge_fine, NULL);
		assert_int_equal(explore_report_distinct(&rep), 256);
		drop(&t);
	}
	/* Data: 7 prefixes, 7 suffixes, 2 combs, and up to 8 at random at
	 * each of the two cuts that it is volatile at. */
	dev = dev_open(0, 512, 0);
	put(dev, BLK, BLK, 'a', 0, BDEV_TAG_DATA);
	t = take(dev);
	rep = run(&t, &opts, judge_fine, NULL);
	assert_in_range(rep.distinct[EXPLORE_TORN], 16, 32);
	drop(&t);
	/* A sector of 4096 does not tear. */
	dev = dev_open(0, 4096, 0);
	put(dev, BLK, BLK, 'a', 0, BDEV_TAG_J_COMMIT);
	t = take(dev);
	rep = run(&t, &opts, judge_fine, NULL);
	assert_int_equal(explore_report_distinct(&rep), 2);
	drop(&t);
}

static void overlapping_writes_survive_in_any_mix(void **state)
{
	struct explore_opts opts = { .modes = EXPLORE_M(EXPLORE_OVERLAP) };
	struct explore_report rep;
	struct taken t;
	struct bdev *dev = dev_open(0, 512, 0);

	put(dev, 0, 1024, 'a', 0, 0);
	put(dev, 512, 1024, 'b', 0, 0);
	put(dev, BLK, 512, 'c', 0, 0);
	t = take(dev);
	/* Sector 1 in three versions, each first without and then with c. */
	rep = run(&t, &opts, judge_fine, NULL);
	assert_int_equal(rep.distinct[EXPLORE_OVERLAP], 6);
	drop(&t);
}

static void discard_may_leave_garbage(void **state)
{
	struct explore_opts opts = { .modes = EXPLORE_M(EXPLORE_GARBAGE) };
	struct explore_report rep;
	struct taken t;
	struct bdev *dev = dev_open(0, 512, 0);

	put(dev, 0, 1024, 'a', BDEV_F_FUA, 0);
	assert_int_equal(bdev_discard(dev, 0, 1024, 0), 0);
	t = take(dev);
	rep = run(&t, &opts, judge_fine, NULL);
	assert_int_equal(rep.distinct[EXPLORE_GARBAGE], 1);
	drop(&t);
}

static void acknowledgement_makes_old_states_new(void **state)
{
	struct explore_opts opts = { 0 };
	struct explore_report rep;
	struct taken t;
	struct bdev *dev = dev_open(0, 512, 0);

	bdev_emu_mark(dev, EMU_MARK_OP_BEGIN, 1, 0);
	put(dev, 0, 512, 'a', 0, 0);
	bdev_emu_mark(dev, EMU_MARK_ACK_DURABLE, 1, 0);
	t = take(dev);
	rep = run(&t, &opts, judge_fine, NULL);
	assert_int_equal(explore_report_distinct(&rep), 4);
	drop(&t);
}

/* ---- rule E1, sector by sector ---- */

struct oracle {
	const struct taken *t;
	struct emu_img *imgs[512];
	uint64_t keys[512];
	unsigned int n;
};

static bool covers(const struct emu_ent *ent, uint64_t pos)
{
	return ent->kind <= EMU_DISCARD && !ent->is_void && pos >= ent->pos &&
			pos < ent->pos + ent->len;
}

static void version(const struct oracle *o, const struct emu_ent *ent,
		uint64_t pos, uint8_t *ret_buf)
{
	struct emu_img *img;

	assert_int_equal(emu_img_fork(o->t->base, &img), 0);
	assert_int_equal(emu_ent_apply(ent, img), 0);
	emu_img_read(img, pos, ret_buf, 512);
	emu_img_free(img);
}

/* May the sector at @pos hold @now after a cut at @t? */
static bool is_legal(const struct oracle *o, uint64_t t, uint64_t pos,
		const uint8_t *now)
{
	const struct emu_log *log = o->t->log;
	const struct emu_ent *last = NULL;
	uint64_t flushed = 0;
	uint8_t buf[512];
	uint64_t i;

	for (i = 0; i < log->n; i++)
		if (log->ents[i]->kind == EMU_FLUSH &&
				log->ents[i]->t_done <= t)
			flushed = max_u64(flushed, log->ents[i]->t_submit);
	for (i = 0; i < log->n; i++) {
		const struct emu_ent *e = log->ents[i];
		bool fua = (e->flags & BDEV_F_FUA) && e->t_done <= t;

		if (covers(e, pos) && e->t_submit <= t &&
				(fua || e->t_done < flushed) &&
				(!last || last->t_done < e->t_done))
			last = e;
	}
	emu_img_read(o->t->base, pos, buf, 512);
	if (last)
		version(o, last, pos, buf);
	if (memcmp(buf, now, 512) == 0)
		return true;
	for (i = 0; i < log->n; i++) {
		const struct emu_ent *e = log->ents[i];

		if (!covers(e, pos) || e->t_submit > t)
			continue;
		if (e->t_done < flushed ||
				((e->flags & BDEV_F_FUA) && e->t_done <= t) ||
				(last && e->t_done < last->t_submit))
			continue;
		version(o, e, pos, buf);
		if (memcmp(buf, now, 512) == 0)
			return true;
		memset(buf, 0xdb, 512);
		if (e->kind == EMU_DISCARD && memcmp(buf, now, 512) == 0)
			return true;
	}
	return false;
}

static int judge_oracle(void *ctx, const struct explore_state *st)
{
	const struct emu_img *img = explore_state_image(st);
	struct oracle *o = ctx;
	uint8_t buf[512];
	uint64_t pos;

	for (pos = 0; pos < 8 * BLK; pos += 512) {
		emu_img_read(img, pos, buf, 512);
		if (!is_legal(o, explore_state_cut(st), pos, buf))
			return -EIO;
	}
	if (o->n < array_len(o->imgs)) {
		assert_int_equal(emu_img_fork(img, &o->imgs[o->n]), 0);
		o->keys[o->n++] = explore_state_key(st);
	}
	return 0;
}

struct flying {
	struct bdev_io io;
	struct iovec iov;
	uint8_t buf[2 * BLK];
};

static void flying_done(struct bdev_io *io)
{
	free(io->ctx);
}

/* Overlapping requests of all kinds, out of order and in flight together. */
static struct taken random_log(uint64_t seed)
{
	struct bdev *dev = dev_open(BDEV_EMU_F_ASYNC, 512, seed);
	unsigned int r = (unsigned int)seed;
	int i;

	for (i = 0; i < 12; i++) {
		struct flying *f = calloc(1, sizeof(*f));
		struct bdev_io *io = &f->io;
		int what = rand_r(&r) % 10;

		memset(f->buf, rand_r(&r), sizeof(f->buf));
		f->iov = (struct iovec){ f->buf,
			(size_t)(1 + rand_r(&r) % 6) * 512 };
		f->io = (struct bdev_io){
			.op = what < 6             ? BDEV_WRITE
					: what < 7 ? BDEV_ZERO
					: what < 8 ? BDEV_DISCARD
						   : BDEV_FLUSH,
			.flags = rand_r(&r) % 4 ? 0 : BDEV_F_FUA,
			.pos = (uint64_t)(rand_r(&r) % 16) * 512,
			.len = f->iov.iov_len,
			.iov = &f->iov,
			.iovcnt = 1,
			.tag = rand_r(&r) % 2 ? BDEV_TAG_DATA : BDEV_TAG_J_DESC,
			.done = flying_done,
			.ctx = f,
		};
		bdev_submit(dev, &io, 1);
		if (rand_r(&r) % 3 == 0)
			assert_true(bdev_poll(dev, 1, 0) >= 0);
	}
	while (bdev_poll(dev, 64, 0) > 0)
		;
	return take(dev);
}

static void states_are_legal_and_keys_are_true(void **state)
{
	struct explore_opts opts = {
		.max_states = 3000, .subset_bits = 6, .random = 8
	};
	struct explore_report sum = { 0 };
	uint64_t seed;

	for (seed = 1; seed <= 12; seed++) {
		struct taken t = random_log(seed);
		struct oracle o = { .t = &t };
		struct explore_report rep;
		unsigned int i;
		unsigned int j;

		opts.seed = seed;
		rep = run(&t, &opts, judge_oracle, &o);
		explore_report_add(&sum, &rep);
		for (i = 0; i < o.n; i++)
			for (j = 0; j < i; j++)
				assert_int_equal(o.keys[i] == o.keys[j],
						emu_img_is_equal(o.imgs[i],
								o.imgs[j]));
		for (i = 0; i < o.n; i++)
			emu_img_free(o.imgs[i]);
		drop(&t);
	}
	explore_print(stdout, "random logs", &sum);
	assert_int_equal(sum.failed, 0);
	assert_true(sum.judged > 1000);
}

/* ---- completeness: all that E1 allows, and nothing else ---- */

#define PLACES 6 /* sectors; write number n fills its sector with n */

struct sigs {
	uint64_t *sig; /* one byte a sector */
	size_t n;
	size_t cap;
};

static void sig_add(struct sigs *s, uint64_t sig)
{
	if (s->n == s->cap) {
		s->cap = s->cap ? 2 * s->cap : 1024;
		s->sig = realloc(s->sig, s->cap * sizeof(*s->sig));
		assert_non_null(s->sig);
	}
	s->sig[s->n++] = sig;
}

static int sig_cmp(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a;
	uint64_t y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void sigs_sort(struct sigs *s)
{
	size_t n = 0;
	size_t i;

	qsort(s->sig, s->n, sizeof(*s->sig), sig_cmp);
	for (i = 0; i < s->n; i++)
		if (n == 0 || s->sig[n - 1] != s->sig[i])
			s->sig[n++] = s->sig[i];
	s->n = n;
}

static int judge_collect(void *ctx, const struct explore_state *st)
{
	uint64_t sig = 0;
	uint8_t c;
	int k;

	for (k = 0; k < PLACES; k++) {
		emu_img_read(explore_state_image(st), (uint64_t)k * 512, &c, 1);
		sig |= (uint64_t)c << (8 * k);
	}
	sig_add(ctx, sig);
	return 0;
}

/* Every product of what each sector may hold after @t. */
static void sigs_of_cut(struct sigs *s, const struct taken *t, uint64_t cut,
		int k, uint64_t sig)
{
	const struct oracle o = { .t = t };
	uint8_t buf[512];
	int c;

	if (k == PLACES) {
		sig_add(s, sig);
		return;
	}
	for (c = 0; c <= 32; c++) {
		memset(buf, c, sizeof(buf));
		if (is_legal(&o, cut, (uint64_t)k * 512, buf))
			sigs_of_cut(s, t, cut, k + 1,
					sig | (uint64_t)c << (8 * k));
	}
}

static struct taken small_random_log(unsigned int seed)
{
	struct bdev *dev = dev_open(BDEV_EMU_F_ASYNC, 512, seed);
	unsigned int r = seed;
	int i;

	for (i = 0; i < 10; i++) {
		struct flying *f = calloc(1, sizeof(*f));
		struct bdev_io *io = &f->io;

		memset(f->buf, i + 1, sizeof(f->buf));
		f->iov = (struct iovec){ f->buf, 512 };
		f->io = (struct bdev_io){
			.op = rand_r(&r) % 4 ? BDEV_WRITE : BDEV_FLUSH,
			.flags = rand_r(&r) % 4 ? 0 : BDEV_F_FUA,
			.pos = (uint64_t)(rand_r(&r) % PLACES) * 512,
			.iov = &f->iov,
			.iovcnt = 1,
			.done = flying_done,
			.ctx = f,
		};
		bdev_submit(dev, &io, 1);
		if (rand_r(&r) % 2 == 0)
			assert_true(bdev_poll(dev, 1, 0) >= 0);
	}
	while (bdev_poll(dev, 64, 0) > 0)
		;
	return take(dev);
}

static void nothing_that_e1_allows_is_left_out(void **state)
{
	unsigned int seed;
	size_t total = 0;

	for (seed = 1; seed <= 15; seed++) {
		struct taken t = small_random_log(seed);
		struct sigs found = { 0 };
		struct sigs legal = { 0 };
		uint64_t cut;

		run(&t, NULL, judge_collect, &found);
		for (cut = 0; cut <= t.log->clock; cut++) {
			sigs_of_cut(&legal, &t, cut, 0, 0);
			sigs_sort(&legal);
		}
		sigs_sort(&found);
		assert_int_equal(found.n, legal.n);
		assert_memory_equal(found.sig, legal.sig,
				legal.n * sizeof(*legal.sig));
		total += legal.n;
		free(found.sig);
		free(legal.sig);
		drop(&t);
	}
	print_message("%zu images, all found\n", total);
}

static int judge_none(void *ctx, const struct explore_state *st)
{
	return -EIO;
}

struct same_image {
	struct emu_img *want;
	char name[EXPLORE_NAME_MAX];
};

static int judge_remember(void *ctx, const struct explore_state *st)
{
	struct same_image *s = ctx;

	snprintf(s->name, sizeof(s->name), "%s", explore_state_name(st));
	emu_img_free(s->want);
	assert_int_equal(emu_img_fork(explore_state_image(st), &s->want), 0);
	return 0;
}

static int judge_same(void *ctx, const struct explore_state *st)
{
	struct same_image *s = ctx;

	assert_string_equal(s->name, explore_state_name(st));
	return !emu_img_is_equal(s->want, explore_state_image(st));
}

/* Every name of every mode leads back to its image, and to one state. */
static void names_replay(void **state)
{
	struct taken t = random_log(5);
	uint64_t most;
	uint64_t i;

	for (i = 1; i <= 400; i += 7) {
		struct explore_opts opts = { .seed = 99,
			.max_states = i,
			.subset_bits = 3,
			.random = 4,
			.pair_max = 5 };
		struct explore_opts one = { .subset_bits = 3, .pair_max = 5 };
		struct same_image s = { 0 };
		struct explore_report rep;

		rep = run(&t, &opts, judge_remember, &s);
		one.only = s.name;
		most = rep.judged;
		rep = run(&t, &one, judge_same, &s);
		assert_int_equal(rep.judged, 1);
		assert_int_equal(rep.failed, 0);
		emu_img_free(s.want);
		if (most < i)
			break;
	}
	drop(&t);
}

static void unknown_name_is_an_error(void **state)
{
	struct taken t = random_log(5);
	struct explore_opts opts = { .only = "S:3:mffff" };
	struct explore_report rep;

	assert_int_equal(explore_run(t.base, t.log, &opts, judge_fine, NULL,
					 &rep),
			-ENOENT);
	opts.only = "nonsense";
	assert_int_equal(explore_run(t.base, t.log, &opts, judge_fine, NULL,
					 &rep),
			-ENOENT);
	drop(&t);
}

static void budgets_are_kept_and_told(void **state)
{
	struct explore_opts opts = { .max_states = 100, .max_failed = 1000 };
	struct taken t = random_log(8);
	struct explore_report rep;
	struct explore_report part;
	uint64_t all;
	uint64_t sum = 0;

	rep = run(&t, &opts, judge_none, NULL);
	assert_int_equal(rep.judged, 100);
	assert_int_equal(rep.failed, 100);
	assert_true(rep.is_truncated);
	opts = (struct explore_opts){ .max_failed = 3 };
	rep = run(&t, &opts, judge_none, NULL);
	assert_int_equal(rep.failed, 3);
	/* Samples together are all states, no more and no less. */
	opts = (struct explore_opts){ .subset_bits = 6 };
	all = run(&t, &opts, judge_fine, NULL).judged;
	opts.sample = 3;
	for (opts.sample_at = 0; opts.sample_at < 3; opts.sample_at++) {
		part = run(&t, &opts, judge_fine, NULL);
		assert_in_range(part.judged, all / 5, all / 2);
		sum += part.judged;
	}
	assert_in_range(sum, all - all / 20, all + all / 20);
	drop(&t);
}

/* ---- the toy ---- */

/*
 * Three cells, each in a block of its own, always hold the number of the last
 * operation. An operation logs cells a and b as blocks and c in the last
 * bytes of the commit block, then writes them home.
 */
enum defect {
	SOUND = 0,
	NO_FLUSH_BEFORE_COMMIT = 1,
	NO_FUA = 2,
	NO_CHECKSUM = 4,
	NO_CHECKPOINT_FLUSH = 8,
	CLEAR_BEFORE_FLUSH = 16, /* in recovery */
};

#define LOG_A  (1 * BLK)
#define LOG_B  (2 * BLK)
#define COMMIT (3 * BLK)
#define CELL_A (8 * BLK)
#define CELL_B (9 * BLK)
#define CELL_C (10 * BLK)
#define MAGIC  0x0a11ce00u

struct toy_commit {
	uint64_t magic;
	uint64_t seq;
	uint64_t sum; /* of everything else and of both log blocks */
	uint64_t fill[BLK / 8 - 4];
	uint64_t c;
};

static uint64_t toy_sum(const struct toy_commit *com, const uint64_t *a,
		const uint64_t *b)
{
	const uint64_t *p = (const uint64_t *)com;
	uint64_t sum = 1;
	size_t i;

	for (i = 0; i < BLK / 8; i++)
		sum = hmap_mix(sum ^ (i == 2 ? 0 : p[i])) + a[i] * 3 + b[i] * 5;
	return sum;
}

static void toy_cell(uint64_t *cell, uint64_t seq)
{
	size_t i;

	for (i = 0; i < BLK / 8; i++)
		cell[i] = seq;
}

static int toy_op(struct bdev *dev, uint64_t seq, uint32_t defects)
{
	struct toy_commit com = { .magic = MAGIC, .seq = seq, .c = seq };
	uint64_t cell[BLK / 8];
	int ret;

	toy_cell(cell, seq);
	bdev_emu_mark(dev, EMU_MARK_OP_BEGIN, seq, 0);
	ret = bdev_write(dev, LOG_A, cell, BLK, 0, BDEV_TAG_J_DATA);
	if (ret == 0)
		ret = bdev_write(dev, LOG_B, cell, BLK, 0, BDEV_TAG_J_DATA);
	if (ret == 0 && !(defects & NO_FLUSH_BEFORE_COMMIT))
		ret = bdev_flush(dev, 0);
	com.sum = toy_sum(&com, cell, cell);
	if (ret == 0)
		ret = bdev_write(dev, COMMIT, &com, BLK,
				defects & NO_FUA ? 0 : BDEV_F_FUA,
				BDEV_TAG_J_COMMIT);
	bdev_emu_mark(dev, EMU_MARK_ACK_DURABLE, seq, 0);
	if (ret == 0)
		ret = bdev_write(dev, CELL_A, cell, BLK, 0, BDEV_TAG_METADATA);
	if (ret == 0)
		ret = bdev_write(dev, CELL_B, cell, BLK, 0, BDEV_TAG_METADATA);
	if (ret == 0)
		ret = bdev_write(dev, CELL_C, cell, BLK, 0, BDEV_TAG_METADATA);
	/* The log may be written over only when the cells are durable. */
	if (ret == 0 && !(defects & NO_CHECKPOINT_FLUSH))
		ret = bdev_flush(dev, 0);
	return ret;
}

static int toy_replay(struct bdev *dev, const struct toy_commit *com,
		const uint64_t *a, const uint64_t *b, uint32_t defects)
{
	uint64_t c[BLK / 8];
	struct toy_commit none = { 0 };
	int ret;

	toy_cell(c, com->c);
	ret = bdev_write(dev, CELL_A, a, BLK, 0, BDEV_TAG_METADATA);
	if (ret == 0)
		ret = bdev_write(dev, CELL_B, b, BLK, 0, BDEV_TAG_METADATA);
	if (ret == 0)
		ret = bdev_write(dev, CELL_C, c, BLK, 0, BDEV_TAG_METADATA);
	if (ret == 0 && !(defects & CLEAR_BEFORE_FLUSH))
		ret = bdev_flush(dev, 0);
	if (ret == 0)
		ret = bdev_write(dev, COMMIT, &none, BLK, BDEV_F_FUA,
				BDEV_TAG_J_COMMIT);
	return ret;
}

static int toy_recover(struct bdev *dev, uint32_t defects)
{
	uint64_t a[BLK / 8];
	uint64_t b[BLK / 8];
	struct toy_commit com;
	int ret;

	ret = bdev_read(dev, COMMIT, &com, BLK, 0, 0);
	if (ret == 0)
		ret = bdev_read(dev, LOG_A, a, BLK, 0, 0);
	if (ret == 0)
		ret = bdev_read(dev, LOG_B, b, BLK, 0, 0);
	if (ret < 0 || com.magic != MAGIC)
		return ret;
	if (!(defects & NO_CHECKSUM) && com.sum != toy_sum(&com, a, b))
		return 0;
	return toy_replay(dev, &com, a, b, defects);
}

struct toy {
	uint32_t defects;
	bool is_nested; /* crash in recovery as well */
	uint64_t ops;
	const struct explore_state *outer;
	struct explore_report inner;
};

/* The three cells agree, on a number between what was acknowledged and what
 * was begun. */
static int toy_check(
		struct bdev *dev, const struct explore_state *st, uint64_t ops)
{
	static const uint64_t at[] = { CELL_A, CELL_B, CELL_C };
	uint64_t cell[BLK / 8];
	uint64_t first = 0;
	uint64_t seq;
	size_t k;
	size_t i;

	for (k = 0; k < 3; k++) {
		assert_int_equal(bdev_read(dev, at[k], cell, BLK, 0, 0), 0);
		if (k == 0)
			first = cell[0];
		for (i = 0; i < BLK / 8; i++)
			if (cell[i] != first)
				return 1;
	}
	for (seq = 1; seq <= ops; seq++) {
		if (explore_state_is_acked(st, seq) && first < seq)
			return 2;
		if (!explore_state_is_begun(st, seq) && first >= seq)
			return 3;
	}
	return 0;
}

static int judge_toy_again(void *ctx, const struct explore_state *st)
{
	struct toy *toy = ctx;
	struct bdev *dev;
	int ret;

	assert_int_equal(explore_state_open(st, NULL, &dev), 0);
	assert_int_equal(toy_recover(dev, toy->defects), 0);
	ret = toy_check(dev, toy->outer, toy->ops);
	assert_int_equal(bdev_close(dev), 0);
	return ret;
}

static int toy_nested(struct toy *toy, const struct explore_state *st,
		struct bdev *dev)
{
	struct explore_opts opts = { .prefix = explore_state_name(st),
		.only = explore_state_rest(st) };
	struct explore_report rep;
	struct emu_img *base;
	struct emu_log *log;

	assert_int_equal(bdev_emu_take_log(dev, &base, &log), 0);
	toy->outer = st;
	assert_int_equal(explore_run(base, log, &opts, judge_toy_again, toy,
					 &rep),
			0);
	explore_report_add(&toy->inner, &rep);
	emu_img_free(base);
	emu_log_free(log);
	return rep.failed != 0;
}

static int judge_toy(void *ctx, const struct explore_state *st)
{
	struct toy *toy = ctx;
	struct bdev *dev;
	int ret;

	assert_int_equal(explore_state_open(st, NULL, &dev), 0);
	if (toy->is_nested)
		assert_int_equal(bdev_emu_record(dev), 0);
	assert_int_equal(toy_recover(dev, toy->defects), 0);
	ret = toy_check(dev, st, toy->ops);
	if (ret == 0 && toy->is_nested)
		ret = toy_nested(toy, st, dev);
	assert_int_equal(bdev_close(dev), 0);
	return ret;
}

static struct taken toy_log(struct toy *toy)
{
	struct bdev *dev = dev_open(0, 512, 0);
	uint64_t seq;

	for (seq = 1; seq <= toy->ops; seq++)
		assert_int_equal(toy_op(dev, seq, toy->defects), 0);
	return take(dev);
}

static void sound_protocol_passes_all_states(void **state)
{
	struct toy toy = { .ops = 5 };
	struct taken t = toy_log(&toy);
	struct explore_report rep = run(&t, NULL, judge_toy, &toy);

	explore_print(stdout, "toy", &rep);
	assert_int_equal(rep.failed, 0);
	assert_false(rep.is_truncated);
	assert_true(rep.distinct[EXPLORE_TORN] >= 5 * 254);
	drop(&t);
}

static void each_defect_is_found_and_replays(void **state)
{
	static const uint32_t defects[] = { NO_FLUSH_BEFORE_COMMIT, NO_FUA,
		NO_CHECKSUM, NO_CHECKPOINT_FLUSH };
	size_t i;

	for (i = 0; i < array_len(defects); i++) {
		/* With one operation only a torn commit block can mislead. */
		struct toy toy = { .ops = defects[i] == NO_CHECKSUM ? 1 : 3,
			.defects = defects[i] };
		struct taken t = toy_log(&toy);
		struct explore_report rep = run(&t, NULL, judge_toy, &toy);
		struct explore_opts one = { .only = rep.failures[0] };

		assert_int_equal(rep.failed, 1);
		print_message("defect %u found by %s after %u states\n",
				defects[i], rep.failures[0],
				(unsigned int)rep.judged);
		if (defects[i] == NO_CHECKSUM)
			assert_int_equal(rep.failures[0][0], 'T');
		rep = run(&t, &one, judge_toy, &toy);
		assert_int_equal(rep.judged, 1);
		assert_int_equal(rep.failed, 1);
		drop(&t);
	}
}

static void crash_in_recovery_is_explored(void **state)
{
	struct toy sound = { .ops = 1, .is_nested = true };
	struct toy bad = {
		.ops = 1, .is_nested = true, .defects = CLEAR_BEFORE_FLUSH
	};
	struct taken t = toy_log(&sound);
	struct explore_opts one = { 0 };
	struct explore_report rep = run(&t, NULL, judge_toy, &sound);
	char name[EXPLORE_NAME_MAX];

	explore_print(stdout, "toy", &rep);
	explore_print(stdout, "toy, recovery", &sound.inner);
	assert_int_equal(rep.failed, 0);
	assert_int_equal(sound.inner.failed, 0);
	assert_true(sound.inner.judged > rep.judged);

	rep = run(&t, NULL, judge_toy, &bad);
	assert_int_equal(rep.failed, 1);
	assert_true(bad.inner.failed >= 1);
	/* The inner name holds the outer one and replays both cuts. */
	memcpy(name, bad.inner.failures[0], sizeof(name));
	print_message("found by %s\n", name);
	assert_non_null(strchr(name, '/'));
	memset(&bad.inner, 0, sizeof(bad.inner));
	one.only = name;
	rep = run(&t, &one, judge_toy, &bad);
	assert_int_equal(rep.judged, 1);
	assert_int_equal(bad.inner.judged, 1);
	assert_int_equal(bad.inner.failed, 1);
	drop(&t);
}

/* ---- speed ---- */

static int judge_fork(void *ctx, const struct explore_state *st)
{
	struct bdev *dev;

	assert_int_equal(explore_state_open(st, NULL, &dev), 0);
	return bdev_close(dev);
}

static void many_volatile_writes_are_fast(void **state)
{
	struct explore_opts opts = { 0 };
	struct bdev *dev = dev_open(0, 512, 0);
	struct explore_report rep;
	struct taken t;
	int i;
	int k;

	for (i = 0; i < 6; i++) {
		for (k = 0; k < 12; k++)
			put(dev, (uint64_t)(i * 12 + k) * BLK, BLK, k + 1, 0,
					BDEV_TAG_METADATA);
		assert_int_equal(bdev_flush(dev, 0), 0);
	}
	for (i = 0; i < 40; i++)
		put(dev, (uint64_t)(100 + i) * BLK, BLK, i, 0, BDEV_TAG_DATA);
	t = take(dev);
	rep = run(&t, &opts, judge_fork, NULL);
	explore_print(stdout, "speed", &rep);
	print_message("%.0f states/s\n", (double)rep.judged / rep.seconds);
	assert_true(rep.sampled_cuts > 0);
	assert_true(rep.judged > 20000);
	drop(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_sector_writes_give_all_subsets),
		cmocka_unit_test(flush_and_fua_bound_the_subsets),
		cmocka_unit_test(journal_block_tears_in_every_way),
		cmocka_unit_test(overlapping_writes_survive_in_any_mix),
		cmocka_unit_test(discard_may_leave_garbage),
		cmocka_unit_test(acknowledgement_makes_old_states_new),
		cmocka_unit_test(states_are_legal_and_keys_are_true),
		cmocka_unit_test(nothing_that_e1_allows_is_left_out),
		cmocka_unit_test(names_replay),
		cmocka_unit_test(unknown_name_is_an_error),
		cmocka_unit_test(budgets_are_kept_and_told),
		cmocka_unit_test(sound_protocol_passes_all_states),
		cmocka_unit_test(each_defect_is_found_and_replays),
		cmocka_unit_test(crash_in_recovery_is_explored),
		cmocka_unit_test(many_volatile_writes_are_fast),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
