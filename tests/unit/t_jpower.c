/* SPDX-License-Identifier: MIT */
/*
 * The journal under power cuts: a random history of transactions over a few
 * blocks and a tiny log, cut at every point the explorer knows of.
 *
 * Block SUPER holds the number of the last operation, block COUNT what the
 * precommit callback saw of it; the others are metadata, free, or data that
 * was written past the journal once the freeing transaction was durable.
 * After recovery SUPER says c; then everything must be as after operation c:
 *
 *	c >= every operation reported durable, c <= every one begun
 *	c and c + 1 are in different transactions
 *	metadata as in the model at c; data reported durable is untouched
 *	a second recovery finds nothing to do, and life goes on
 *
 * A failure prints the state's name and the seed of the history.
 */
#include "jtest.h"

#include <pthread.h>

#include "../power/explore.h"
#include "journal/jstate.h"

#define SUPER 0u
#define COUNT 1u
#define FIRST 16u /* of the random blocks */
#define NBLK  20u
#define OPS   48u

enum kind {
	FREE,
	META,
	DATA
};

struct blk {
	enum kind kind;
	uint64_t val;
	txid_t freed;     /* by this transaction */
	bool can_be_data; /* its freeing was durable before */
	uint64_t ack;     /* DATA: mark that makes it durable; 0: it is */
};

struct world {
	struct jt_opts o;
	struct buf_cache *cache;         /* of the mount that runs */
	struct blk model[OPS + 1][NBLK]; /* after each operation */
	txid_t tid[OPS + 1];
	uint32_t op;    /* done */
	uint32_t floor; /* operations that are durable for good */
	uint64_t next_val;
	uint64_t next_ack;
	unsigned seed;
	int nested;    /* judge a recovery of a recovery */
	uint32_t want; /* ... which must end here */
	uint64_t judged_nested;
};

static uint32_t rnd(struct world *w, uint32_t n)
{
	w->seed = w->seed * 1103515245u + 12345u;
	return (w->seed >> 8) % n;
}

/* ---- the history ---- */

static int world_precommit(void *ctx, struct handle *h)
{
	struct world *w = ctx;
	struct buf *b;

	assert_int_equal(buf_read(w->cache, COUNT, &b), 0);
	buf_lock(b);
	assert_int_equal(handle_get_write(h, b), 0);
	jt_fill(b->data, w->o.bs, w->op);
	assert_int_equal(handle_dirty(h, b), 0);
	buf_unlock(b);
	buf_put(b);
	return 0;
}

static void create(struct jt *t, struct handle *h, pblk_t pblk, uint64_t val)
{
	struct buf *b;

	assert_int_equal(buf_get_noread(t->cache, pblk, &b), 0);
	assert_int_equal(handle_get_create(h, b), 0);
	jt_fill(b->data, t->o.bs, val);
	assert_int_equal(handle_dirty(h, b), 0);
	buf_put(b);
}

/* Write data over @m, which is free for good. */
static void write_data(struct world *w, struct jt *t, uint32_t i)
{
	struct blk *m = &w->model[w->op][i];
	uint8_t *p = malloc(w->o.bs);

	m->kind = DATA;
	m->val = w->next_val++;
	m->ack = w->next_ack;
	jt_fill(p, w->o.bs, m->val);
	assert_int_equal(bdev_write(t->dev, (uint64_t)(FIRST + i) * w->o.bs, p,
					 w->o.bs, 0, BDEV_TAG_DATA),
			0);
	free(p);
}

/* Change one random block in the handle's transaction. */
static void change(struct world *w, struct jt *t, struct handle *h)
{
	uint32_t i = rnd(w, NBLK);
	struct blk *m = &w->model[w->op][i];

	if (m->kind == META && rnd(w, 100) < 35) {
		assert_int_equal(handle_forget(h, FIRST + i), 0);
		m->kind = FREE;
		m->freed = handle_txid(h);
		m->can_be_data = false;
	} else if (m->kind == META) {
		m->val = w->next_val++;
		jt_set(t, h, FIRST + i, m->val);
	} else if (m->kind == DATA && rnd(w, 100) < 50) {
		m->kind = FREE; /* freed data: no revoke */
		m->freed = handle_txid(h);
		m->can_be_data = false;
	} else if (m->kind == FREE) {
		m->kind = META;
		m->val = w->next_val++;
		create(t, h, FIRST + i, m->val);
	}
}

/* What is durable now may be used as data, and data written is durable. */
static void sync_world(struct world *w, struct jt *t)
{
	assert_int_equal(journal_sync(t->j), 0);
	assert_int_equal(journal_flush_device(t->j), 0);
	bdev_emu_mark(t->dev, EMU_MARK_ACK_DURABLE, w->op, 0);
	bdev_emu_mark(t->dev, EMU_MARK_ACK_DURABLE, w->next_ack++, 0);
}

static void one_op(struct world *w, struct jt *t)
{
	struct handle *h;
	uint32_t i, n;

	/* Between operations: free blocks become data. */
	for (i = 0; i < NBLK; i++) {
		struct blk *m = &w->model[w->op][i];

		if (m->kind == FREE && !m->can_be_data &&
				journal_is_committed(t->j, m->freed))
			m->can_be_data = true;
		if (m->kind == FREE && m->can_be_data && rnd(w, 100) < 40)
			write_data(w, t, i);
	}
	assert_int_equal(handle_start(t->j, 4, &h), 0);
	memcpy(w->model[w->op + 1], w->model[w->op], sizeof(w->model[0]));
	w->op++;
	w->tid[w->op] = handle_txid(h);
	bdev_emu_mark(t->dev, EMU_MARK_OP_BEGIN, w->op, 0);
	jt_set(t, h, SUPER, w->op);
	n = 1 + rnd(w, 3);
	while (n-- > 0)
		change(w, t, h);
	assert_int_equal(handle_stop(h), 0);
	bdev_emu_mark(t->dev, EMU_MARK_OP_END, w->op, 0);
	if (rnd(w, 100) < 40)
		sync_world(w, t);
	/* In the middle of a transaction, as another thread would do it. */
	if (rnd(w, 100) < 20)
		assert_int_equal(journal_checkpoint(t->j, false), 0);
}

/* ---- the judge ---- */

#define REFUSE(...)                                                            \
 do {                                                                          \
  fprintf(stderr, __VA_ARGS__);                                                \
  fprintf(stderr, "\n");                                                       \
  return -1;                                                                   \
 } while (0)

static int check_blocks(const struct world *w, const struct explore_state *st,
		struct bdev *dev, uint32_t c)
{
	uint32_t i;

	if (c > 0 && jt_home(dev, w->o.bs, COUNT) != c)
		REFUSE("precommit saw %llu, not %u",
				(unsigned long long)jt_home(
						dev, w->o.bs, COUNT),
				c);
	for (i = 0; i < NBLK; i++) {
		const struct blk *m = &w->model[c][i];
		uint64_t val = jt_home(dev, w->o.bs, FIRST + i);

		if (m->kind == FREE || m->val == val)
			continue;
		if (m->kind == DATA && m->val == 0)
			continue; /* lost in an earlier cut */
		if (m->kind == DATA && m->ack != 0 &&
				(w->nested ||
						!explore_state_is_acked(
								st, m->ack)))
			continue;
		REFUSE("op %u: block %u (%s) holds %llu, not %llu", c, i,
				m->kind == DATA ? "data" : "metadata",
				(unsigned long long)val,
				(unsigned long long)m->val);
	}
	return 0;
}

static int check_history(const struct world *w, const struct explore_state *st,
		uint64_t c)
{
	uint32_t i;

	if (w->nested)
		return c == w->want ? 0 : -1;
	if (c > w->op)
		REFUSE("operation %llu of %u", (unsigned long long)c, w->op);
	if (c < w->floor)
		REFUSE("operation %llu is older than the base",
				(unsigned long long)c);
	for (i = w->floor + 1; i <= w->op; i++) {
		if (i > c && explore_state_is_acked(st, i))
			REFUSE("op %u was durable, but is lost after %llu", i,
					(unsigned long long)c);
		if (i == c && !explore_state_is_begun(st, i))
			REFUSE("op %u comes from the future", i);
	}
	if (c > w->floor && c < w->op && w->tid[c] == w->tid[c + 1])
		REFUSE("ops %llu and the next were one transaction",
				(unsigned long long)c);
	return 0;
}

/* Recovered once: nothing is left to do, and the journal works. */
static int check_again(const struct world *w, struct bdev *dev)
{
	struct jt_opts o = w->o;
	struct bdev_emu_stats a, b;
	struct journal_recovery rec;
	struct jt t;
	int i;

	o.precommit = NULL;
	bdev_emu_stats(dev, &a);
	if (jt_load(&t, &o, dev) < 0)
		REFUSE("cannot be loaded again");
	if (t.dirty || journal_recover(t.j, &rec) != 0)
		REFUSE("a second recovery has something to do");
	bdev_emu_stats(dev, &b);
	if (memcmp(a.ops, b.ops, sizeof(a.ops[0]) * BDEV_OP_NR) != 0 &&
			a.ops[BDEV_WRITE] != b.ops[BDEV_WRITE])
		REFUSE("a second recovery writes");
	assert_int_equal(journal_start(t.j), 0);
	for (i = 0; i < 3; i++) {
		jt_set1(&t, 900, (uint64_t)i + 5);
		assert_int_equal(journal_sync(t.j), 0);
	}
	jt_drop(&t);
	assert_int_equal(jt_mount(&t, &o, dev), 0);
	if (jt_home(dev, o.bs, 900) != 7)
		REFUSE("new transactions were not replayed");
	assert_int_equal(jt_unmount(&t), 0);
	return 0;
}

static int judge(void *ctx, const struct explore_state *st);

/* Record the recovery of this state and cut it as well. */
static int judge_recovery(
		struct world *w, const struct explore_state *st, uint32_t c)
{
	struct explore_opts eo = {
		.seed = 1,
		.subset_bits = 6,
		.pair_max = 16,
		.random = 8,
		.prefix = explore_state_name(st),
		.only = explore_state_rest(st),
	};
	struct explore_report rep;
	struct journal_recovery rec;
	struct emu_img *base;
	struct emu_log *log;
	struct bdev *dev;
	struct jt t;
	int ret;

	assert_int_equal(explore_state_open(st, NULL, &dev), 0);
	assert_int_equal(bdev_emu_record(dev), 0);
	assert_int_equal(jt_load(&t, &w->o, dev), 0);
	assert_int_equal(journal_recover(t.j, &rec), 0);
	jt_drop(&t);
	assert_int_equal(bdev_emu_take_log(dev, &base, &log), 0);
	assert_int_equal(bdev_close(dev), 0);
	w->nested = 1;
	w->want = c;
	ret = explore_run(base, log, &eo, judge, w, &rep);
	w->nested = 0;
	w->judged_nested += rep.judged;
	emu_log_free(log);
	emu_img_free(base);
	if (ret == 0 && rep.failed > 0)
		REFUSE("cut in recovery: %s", rep.failures[0]);
	return ret;
}

static int judge_device(struct world *w, const struct explore_state *st,
		uint32_t *ret_c)
{
	struct journal_recovery rec;
	struct bdev *dev;
	struct jt t;
	uint64_t c;
	int ret;

	assert_int_equal(explore_state_open(st, NULL, &dev), 0);
	ret = jt_load(&t, &w->o, dev);
	if (ret < 0)
		REFUSE("load: %d", ret);
	ret = journal_recover(t.j, &rec);
	jt_drop(&t);
	if (ret < 0)
		REFUSE("recover: %d", ret);
	c = jt_home(dev, w->o.bs, SUPER);
	ret = check_history(w, st, c);
	if (ret == 0)
		ret = check_blocks(w, st, dev, (uint32_t)c);
	if (ret == 0)
		ret = check_again(w, dev);
	assert_int_equal(bdev_close(dev), 0);
	*ret_c = (uint32_t)c;
	return ret;
}

static int judge(void *ctx, const struct explore_state *st)
{
	struct world *w = ctx;
	uint32_t c;
	int ret;

	ret = judge_device(w, st, &c);
	if (ret < 0)
		return ret;
	if (!w->nested &&
			(explore_state_key(st) % 64 == 0 ||
					explore_state_rest(st) != NULL))
		ret = judge_recovery(w, st, c);
	return ret;
}

/* ---- chains of mounts ---- */

static bool keep_random(void *ctx, const struct emu_ent *ent, uint32_t i)
{
	return rnd(ctx, 2) != 0;
}

/* Cut the log anywhere, recover, and let @w be what is found there. */
static struct emu_img *world_cut(struct world *w, const struct emu_img *base,
		const struct emu_log *log)
{
	struct journal_recovery rec;
	struct emu_img *img;
	struct bdev *dev;
	struct jt t;
	uint32_t i;
	uint64_t c;

	assert_int_equal(emu_log_build(log, base, log->clock / 2 + rnd(w, 20),
					 keep_random, w, &img),
			0);
	assert_int_equal(bdev_emu_open(img, NULL, &dev), 0);
	emu_img_free(img);
	assert_int_equal(jt_load(&t, &w->o, dev), 0);
	assert_int_equal(journal_recover(t.j, &rec), 0);
	jt_drop(&t);
	c = jt_home(dev, w->o.bs, SUPER);
	assert_in_range(c, w->floor, w->op);
	for (i = 0; i < NBLK; i++) {
		struct blk *m = &w->model[c][i];

		if (m->kind == DATA)
			m->val = jt_home(dev, w->o.bs, FIRST + i);
		m->ack = 0;
	}
	w->op = w->floor = (uint32_t)c;
	assert_int_equal(bdev_emu_image(dev, &img), 0);
	assert_int_equal(bdev_close(dev), 0);
	return img;
}

/* Run @n operations on @img, in one or two mounts, recording. */
static void world_run(struct world *w, const struct emu_img *img, uint32_t n,
		struct emu_img **ret_base, struct emu_log **ret_log)
{
	struct bdev *dev;
	struct jt t;
	uint32_t i;

	assert_int_equal(bdev_emu_open(img, NULL, &dev), 0);
	assert_int_equal(bdev_emu_record(dev), 0);
	assert_int_equal(jt_mount(&t, &w->o, dev), 0);
	w->cache = t.cache;
	for (i = 0; i < n && w->op < OPS; i++) {
		one_op(w, &t);
		if (i == n * 2 / 3) {
			/* What an unmount wrote is durable. */
			assert_int_equal(jt_unmount(&t), 0);
			bdev_emu_mark(dev, EMU_MARK_ACK_DURABLE, w->op, 0);
			assert_int_equal(jt_mount(&t, &w->o, dev), 0);
			w->cache = t.cache;
		}
	}
	jt_drop(&t);
	assert_int_equal(bdev_emu_take_log(dev, ret_base, ret_log), 0);
	assert_int_equal(bdev_close(dev), 0);
}

static uint64_t env_u64(const char *name, uint64_t def)
{
	const char *s = getenv(name);

	return s != NULL ? strtoull(s, NULL, 0) : def;
}

/* Explore what @w did since @base. */
static void explore_life(struct world *w, const struct emu_img *base,
		const struct emu_log *log, unsigned seed, int life,
		struct explore_report *sum)
{
	const char *only = getenv("JPOWER_ONLY");
	struct explore_opts eo = {
		.seed = seed,
		.subset_bits = 5,
		.pair_max = 12,
		.random = 12,
		.only = only,
	};
	struct explore_report rep;
	int ret;

	if (only != NULL && env_u64("JPOWER_LIFE", 1) != (uint64_t)life)
		return;
	ret = explore_run(base, log, &eo, judge, w, &rep);
	explore_report_add(sum, &rep);
	if (ret != 0 || rep.failed > 0)
		print_error("JPOWER_SEED=%u JPOWER_LIFE=%d JPOWER_ONLY=%s\n",
				seed, life, rep.failures[0]);
	assert_int_equal(ret, 0);
	assert_int_equal(rep.failed, 0);
}

/* One history: a life, a cut, a second life. */
static void explore_world(const struct jt_opts *o, unsigned seed,
		struct explore_report *sum, uint64_t *nested)
{
	struct world *w = calloc(1, sizeof(*w));
	struct emu_img *img, *base;
	struct emu_log *log;

	w->o = *o;
	w->o.precommit = world_precommit;
	w->o.precommit_credits = 1;
	w->o.ctx = w;
	w->seed = seed;
	w->next_val = 1000;
	w->next_ack = 100000;

	img = jt_image(o);
	world_run(w, img, 16, &base, &log);
	emu_img_free(img);
	explore_life(w, base, log, seed, 1, sum);
	img = world_cut(w, base, log);
	emu_img_free(base);
	emu_log_free(log);

	world_run(w, img, 24, &base, &log);
	emu_img_free(img);
	explore_life(w, base, log, seed, 2, sum);
	*nested += w->judged_nested;
	emu_img_free(base);
	emu_log_free(log);
	free(w);
}

/* Histories with successive seeds, for about JPOWER_SECONDS. */
static void explore_worlds(const char *what, const struct jt_opts *o)
{
	unsigned seed = (unsigned)env_u64("JPOWER_SEED", 1);
	double max = (double)env_u64("JPOWER_SECONDS", 2);
	struct explore_report sum = { 0 };
	struct jt_opts opts = *o;
	uint64_t nested = 0;
	unsigned n = 0;

	do {
		/* Other sizes of the ring wrap at other places, or not at all:
		 * then a second mount writes over the first one's log. */
		opts.ring = o->ring + (seed + n) % 13;
		if ((seed + n) % 3 == 0)
			opts.ring += 200;
		explore_world(&opts, seed + n++, &sum, &nested);
	} while (sum.seconds < max && getenv("JPOWER_ONLY") == NULL);
	explore_print(stdout, what, &sum);
	printf("  %u histories, %llu states inside recoveries\n", n,
			(unsigned long long)nested);
}

static void csum_v3_survives_power_cuts(void **state)
{
	struct jt_opts o = { .bs = 1024, .ring = 56, .v3 = true };

	explore_worlds("v3 1k", &o);
}

static void csum_v3_64bit_4k_survives_power_cuts(void **state)
{
	struct jt_opts o = { .bs = 4096, .ring = 56, .v3 = true, .b64 = true };

	explore_worlds("v3 64bit 4k", &o);
}

static void csum_v2_survives_power_cuts(void **state)
{
	struct jt_opts o = {
		.bs = 1024, .ring = 56, .incompat = DJ_FI_CSUM_V2
	};

	explore_worlds("v2 1k", &o);
}

static void no_csum_survives_power_cuts(void **state)
{
	struct jt_opts o = { .bs = 1024, .ring = 56 };

	explore_worlds("none 1k", &o);
}

static void no_csum_64bit_survives_power_cuts(void **state)
{
	struct jt_opts o = { .bs = 2048, .ring = 56, .b64 = true };

	explore_worlds("none 64bit 2k", &o);
}

/* ---- threads ---- */

#define THREADS    4u
#define PER_THREAD 6u
#define ROUNDS     14u

struct worker {
	struct jt *t;
	uint32_t id;
};

static uint64_t ack_of(uint32_t id, uint64_t round)
{
	return id * 1000u + round;
}

static pblk_t block_of(uint32_t id, uint32_t i)
{
	return FIRST + id * PER_THREAD + i;
}

/* Each handle sets all blocks of the thread, some of them freed and taken
 * again, and one that all threads share. */
static void *worker_run(void *ctx)
{
	struct worker *w = ctx;
	struct handle *h;
	uint64_t r;
	uint32_t i;
	txid_t tid;

	for (r = 1; r <= ROUNDS; r++) {
		assert_int_equal(handle_start(w->t->j, PER_THREAD + 1, &h), 0);
		for (i = 0; i < PER_THREAD; i++) {
			if ((r + i) % 5 == 0)
				assert_int_equal(
						handle_forget(h,
								block_of(w->id, i)),
						0);
			jt_set(w->t, h, block_of(w->id, i), r);
		}
		jt_set(w->t, h, SUPER, ack_of(w->id, r));
		tid = handle_txid(h);
		assert_int_equal(handle_stop(h), 0);
		if (r % 3 == w->id % 3) {
			assert_int_equal(journal_commit_wait(w->t->j, tid), 0);
			bdev_emu_mark(w->t->dev, EMU_MARK_ACK_DURABLE,
					ack_of(w->id, r), 0);
		}
		if (r % 5 == w->id)
			assert_int_equal(journal_checkpoint(w->t->j, false), 0);
	}
	return NULL;
}

static int judge_threads(void *ctx, const struct explore_state *st)
{
	const struct jt_opts *o = ctx;
	struct journal_recovery rec;
	struct bdev *dev;
	struct jt t;
	uint32_t id, i;
	uint64_t r;

	assert_int_equal(explore_state_open(st, NULL, &dev), 0);
	if (jt_load(&t, o, dev) < 0 || journal_recover(t.j, &rec) < 0)
		REFUSE("cannot be recovered");
	jt_drop(&t);
	for (id = 0; id < THREADS; id++) {
		uint64_t got = jt_home(dev, o->bs, block_of(id, 0));

		for (i = 1; i < PER_THREAD; i++)
			if (jt_home(dev, o->bs, block_of(id, i)) != got)
				REFUSE("thread %u: block %u is not of round "
				       "%llu",
						id, i, (unsigned long long)got);
		for (r = got + 1; r <= ROUNDS; r++)
			if (explore_state_is_acked(st, ack_of(id, r)))
				REFUSE("thread %u: round %llu was durable, "
				       "%llu is there",
						id, (unsigned long long)r,
						(unsigned long long)got);
	}
	assert_int_equal(bdev_close(dev), 0);
	return 0;
}

static void threads_survive_power_cuts(void **state)
{
	struct explore_report sum = { 0 };
	double max = (double)env_u64("JPOWER_SECONDS", 2);
	unsigned n = 0;

	do {
		struct jt_opts o = {
			.bs = 1024, .ring = 90 + n % 17, .v3 = n % 2 == 0
		};
		struct explore_opts eo = { .seed = n + 1,
			.subset_bits = 5,
			.pair_max = 8,
			.random = 8,
			.max_states = 4000 };
		struct emu_img *img = jt_image(&o);
		struct worker w[THREADS];
		pthread_t th[THREADS];
		struct explore_report rep;
		struct emu_img *base;
		struct emu_log *log;
		struct bdev *dev;
		struct jt t;
		uint32_t i;

		assert_int_equal(bdev_emu_open(img, NULL, &dev), 0);
		emu_img_free(img);
		assert_int_equal(bdev_emu_record(dev), 0);
		assert_int_equal(jt_mount(&t, &o, dev), 0);
		for (i = 0; i < THREADS; i++) {
			w[i] = (struct worker){ &t, i };
			assert_int_equal(pthread_create(&th[i], NULL,
							 worker_run, &w[i]),
					0);
		}
		for (i = 0; i < THREADS; i++)
			pthread_join(th[i], NULL);
		jt_drop(&t);
		assert_int_equal(bdev_emu_take_log(dev, &base, &log), 0);
		assert_int_equal(bdev_close(dev), 0);
		assert_int_equal(explore_run(base, log, &eo, judge_threads, &o,
						 &rep),
				0);
		explore_report_add(&sum, &rep);
		emu_log_free(log);
		emu_img_free(base);
		if (rep.failed > 0)
			print_error("%s\n", rep.failures[0]);
		assert_int_equal(rep.failed, 0);
		n++;
	} while (sum.seconds < max);
	explore_print(stdout, "threads", &sum);
	printf("  %u histories\n", n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(csum_v3_survives_power_cuts),
		cmocka_unit_test(csum_v3_64bit_4k_survives_power_cuts),
		cmocka_unit_test(csum_v2_survives_power_cuts),
		cmocka_unit_test(no_csum_survives_power_cuts),
		cmocka_unit_test(no_csum_64bit_survives_power_cuts),
		cmocka_unit_test(threads_survive_power_cuts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
