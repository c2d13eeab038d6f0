/* SPDX-License-Identifier: MIT */
/*
 * Handles, commit, checkpoint, abort and the no-journal mode: the behaviour
 * that callers see.
 */
#include "jtest.h"

#include <pthread.h>
#include <semaphore.h>
#include <time.h>

#define BS 1024u

static const struct jt_opts small = { .bs = BS, .ring = 60, .v3 = true };
static const struct jt_opts large = { .bs = BS, .v3 = true };

static struct bdev *dev_new(const struct jt_opts *o)
{
	struct emu_img *img = jt_image(o);
	struct bdev *dev;

	assert_int_equal(bdev_emu_open(img, NULL, &dev), 0);
	emu_img_free(img);
	return dev;
}

static void dev_free(struct bdev *dev)
{
	assert_int_equal(bdev_close(dev), 0);
}

static uint64_t flushes(struct bdev *dev)
{
	struct bdev_emu_stats st;

	bdev_emu_stats(dev, &st);
	return st.ops[BDEV_FLUSH];
}

static uint64_t writes(struct bdev *dev)
{
	struct bdev_emu_stats st;

	bdev_emu_stats(dev, &st);
	return st.ops[BDEV_WRITE];
}

/* ---- commit ---- */

static void committed_blocks_survive_and_others_do_not(void **state)
{
	struct bdev *dev = dev_new(&large);
	struct jt t;
	txid_t tid;

	assert_int_equal(jt_mount(&t, &large, dev), 0);
	tid = jt_set1(&t, 5, 7);
	assert_false(journal_is_committed(t.j, tid));
	assert_int_equal(journal_commit_wait(t.j, tid), 0);
	assert_true(journal_is_committed(t.j, tid));
	assert_int_equal(jt_home(dev, BS, 5), 0); /* not home yet */
	jt_set1(&t, 5, 8);
	jt_drop(&t);

	assert_int_equal(jt_mount(&t, &large, dev), 0);
	assert_int_equal(jt_home(dev, BS, 5), 7);
	assert_int_equal(jt_get(&t, 5), 7);
	assert_int_equal(jt_unmount(&t), 0);
	dev_free(dev);
}

static void close_writes_everything_home_and_keeps_ids(void **state)
{
	struct bdev *dev = dev_new(&large);
	struct jt t;
	txid_t last, next;

	assert_int_equal(jt_mount(&t, &large, dev), 0);
	jt_set1(&t, 5, 7);
	assert_int_equal(journal_sync(t.j), 0);
	last = jt_set1(&t, 6, 8);
	assert_int_equal(jt_unmount(&t), 0);
	assert_int_equal(jt_home(dev, BS, 5), 7);
	assert_int_equal(jt_home(dev, BS, 6), 8);

	assert_int_equal(jt_load(&t, &large, dev), 0);
	assert_false(t.dirty);
	assert_int_equal(journal_start(t.j), 0);
	next = jt_set1(&t, 5, 9);
	assert_true(txid_is_before(last, next));
	assert_int_equal(jt_unmount(&t), 0);
	dev_free(dev);
}

static void an_empty_commit_costs_nothing(void **state)
{
	struct bdev *dev = dev_new(&large);
	struct handle *h;
	struct jt t;
	txid_t tid;

	assert_int_equal(jt_mount(&t, &large, dev), 0);
	assert_int_equal(journal_sync(t.j), 0);
	assert_int_equal(handle_start(t.j, 3, &h), 0);
	tid = handle_txid(h);
	assert_int_equal(handle_stop(h), 0);
	assert_int_equal(journal_commit_wait(t.j, tid), 0);
	assert_int_equal(writes(dev), 0);
	assert_int_equal(flushes(dev), 0);
	assert_int_equal(journal_flush_device(t.j), 0);
	assert_int_equal(flushes(dev), 1);
	assert_int_equal(jt_unmount(&t), 0);
	assert_int_equal(writes(dev), 0);
	dev_free(dev);
}

static void a_large_commit_takes_few_requests(void **state)
{
	struct bdev *dev = dev_new(&large);
	struct handle *h;
	struct jt t;
	int i;

	assert_int_equal(jt_mount(&t, &large, dev), 0);
	assert_int_equal(handle_start(t.j, 200, &h), 0);
	for (i = 0; i < 200; i++)
		jt_set(&t, h, (pblk_t)i, 100u + (uint64_t)i);
	assert_int_equal(handle_stop(h), 0);
	assert_int_equal(journal_sync(t.j), 0);
	/* journal superblock, blocks, commit block */
	assert_int_equal(writes(dev), 3);
	assert_int_equal(flushes(dev), 1);
	jt_drop(&t);
	assert_int_equal(jt_mount(&t, &large, dev), 0);
	for (i = 0; i < 200; i++)
		assert_int_equal(jt_home(dev, BS, (pblk_t)i), 100 + i);
	assert_int_equal(jt_unmount(&t), 0);
	dev_free(dev);
}

struct counted_cb {
	struct txn_cb cb;
	int calls;
	int err;
};

static void count_cb(struct txn_cb *cb, int err)
{
	struct counted_cb *c = (struct counted_cb *)(void *)cb;

	c->calls++;
	c->err = err;
}

static void callbacks_run_at_commit_and_with_the_error_at_abort(void **state)
{
	struct counted_cb a = { { .fn = count_cb }, 0, 1 };
	struct counted_cb b = { { .fn = count_cb }, 0, 1 };
	struct counted_cb c = { { .fn = count_cb }, 0, 1 };
	struct bdev *dev = dev_new(&large);
	struct handle *h;
	struct jt t;

	assert_int_equal(jt_mount(&t, &large, dev), 0);
	assert_int_equal(handle_start(t.j, 1, &h), 0);
	jt_set(&t, h, 1, 1);
	handle_on_commit(h, &a.cb);
	assert_int_equal(handle_stop(h), 0);
	assert_int_equal(a.calls, 0);
	assert_int_equal(journal_sync(t.j), 0);
	assert_int_equal(a.calls, 1);
	assert_int_equal(a.err, 0);

	/* An empty transaction is durable as soon as somebody asks. */
	assert_int_equal(handle_start(t.j, 1, &h), 0);
	handle_on_commit(h, &b.cb);
	assert_int_equal(handle_stop(h), 0);
	assert_int_equal(journal_sync(t.j), 0);
	assert_int_equal(b.calls, 1);
	assert_int_equal(b.err, 0);

	assert_int_equal(handle_start(t.j, 1, &h), 0);
	jt_set(&t, h, 1, 2);
	handle_on_commit(h, &c.cb);
	journal_abort(t.j, -EIO, false);
	assert_int_equal(c.calls, 0); /* the handle is open */
	assert_int_equal(handle_stop(h), -EROFS);
	assert_int_equal(c.calls, 1);
	assert_int_equal(c.err, -EROFS);
	assert_int_equal(journal_sync(t.j), -EROFS);
	jt_drop(&t);
	assert_int_equal(a.calls + b.calls + c.calls, 3);
	dev_free(dev);
}

/* ---- precommit ---- */

static int precommit_counts(void *ctx, struct handle *h)
{
	struct jt *t = ctx;

	jt_set(t, h, 1000, jt_get(t, 1000) + 1);
	return 0;
}

static void precommit_is_part_of_its_transaction(void **state)
{
	struct jt_opts o = large;
	struct bdev *dev = dev_new(&o);
	struct jt t;

	o.precommit = precommit_counts;
	o.precommit_credits = 1;
	assert_int_equal(jt_mount(&t, &o, dev), 0);
	jt_set1(&t, 1000, 100);
	assert_int_equal(journal_sync(t.j), 0);
	assert_int_equal(journal_sync(t.j), 0); /* nothing: not called */
	jt_set1(&t, 1, 5);
	assert_int_equal(journal_sync(t.j), 0);
	jt_drop(&t);
	assert_int_equal(jt_mount(&t, &o, dev), 0);
	assert_int_equal(jt_home(dev, BS, 1000), 102);
	assert_int_equal(jt_unmount(&t), 0);
	dev_free(dev);
}

/* ---- writers during a commit ---- */

struct gate {
	const char *at;
	sem_t reached, go;
};

static void gate_fn(void *ctx, const char *at)
{
	struct gate *g = ctx;

	if (strcmp(at, g->at) != 0)
		return;
	sem_post(&g->reached);
	sem_wait(&g->go);
}

static void *sync_thread(void *ctx)
{
	struct jt *t = ctx;

	assert_int_equal(journal_sync(t->j), 0);
	return NULL;
}

/* While the commit stands still at @at, the same block is changed again:
 * nobody waits, and a cut brings back what was committed. */
static void change_during(const char *at, bool forget)
{
	struct gate g = { .at = at };
	struct bdev *dev = dev_new(&large);
	struct handle *h;
	pthread_t th;
	struct jt t;

	sem_init(&g.reached, 0, 0);
	sem_init(&g.go, 0, 0);
	assert_int_equal(jt_mount(&t, &large, dev), 0);
	journal_set_gate(t.j, gate_fn, &g);
	jt_set1(&t, 5, 7);
	jt_set1(&t, 6, 7);
	assert_int_equal(pthread_create(&th, NULL, sync_thread, &t), 0);
	sem_wait(&g.reached);
	if (forget) {
		assert_int_equal(handle_start(t.j, 2, &h), 0);
		assert_int_equal(handle_forget(h, 5), 0);
		assert_int_equal(handle_stop(h), 0);
	} else {
		jt_set1(&t, 5, 8);
		assert_int_equal(jt_get(&t, 5), 8);
	}
	g.at = "";
	sem_post(&g.go);
	pthread_join(th, NULL);
	jt_drop(&t);

	assert_int_equal(jt_mount(&t, &large, dev), 0);
	assert_int_equal(jt_home(dev, BS, 5), 7);
	assert_int_equal(jt_home(dev, BS, 6), 7);
	assert_int_equal(jt_unmount(&t), 0);
	dev_free(dev);
	sem_destroy(&g.reached);
	sem_destroy(&g.go);
}

static void a_commit_does_not_block_writers(void **state)
{
	change_during("commit:switched", false);
	change_during("commit:before_flush", false);
	change_during("commit:before_commit_block", false);
	change_during("commit:after_commit_block", false);
}

static void a_commit_does_not_block_freeing(void **state)
{
	change_during("commit:switched", true);
	change_during("commit:before_commit_block", true);
}

/* ---- log space ---- */

static void the_log_wraps_and_is_checkpointed(void **state)
{
	struct bdev *dev = dev_new(&small);
	struct jt t;
	uint64_t i;

	assert_int_equal(jt_mount(&t, &small, dev), 0);
	for (i = 1; i <= 500; i++) {
		jt_set1(&t, i % 40, i);
		if (i % 3 == 0)
			assert_int_equal(journal_sync(t.j), 0);
	}
	assert_int_equal(journal_sync(t.j), 0);
	jt_drop(&t);
	assert_int_equal(jt_mount(&t, &small, dev), 0);
	for (i = 461; i <= 500; i++)
		assert_int_equal(jt_home(dev, BS, i % 40), i);
	assert_int_equal(jt_unmount(&t), 0);
	dev_free(dev);
}

static void credits_are_bounded(void **state)
{
	struct bdev *dev = dev_new(&small);
	struct handle *h;
	uint32_t max;
	struct jt t;
	txid_t tid;

	assert_int_equal(jt_mount(&t, &small, dev), 0);
	max = journal_max_credits(t.j);
	assert_in_range(max, 5, 15);
	assert_int_equal(handle_start(t.j, max + 1, &h), -ENOSPC);
	assert_int_equal(handle_start(t.j, max, &h), 0);
	assert_int_equal(handle_credits(h), max);
	assert_int_equal(handle_extend(h, 1), -EAGAIN);
	tid = handle_txid(h);
	jt_set(&t, h, 3, 33);
	assert_int_equal(handle_credits(h), max - 1);
	assert_int_equal(handle_ensure(h, max - 1), 0);
	assert_int_equal(handle_ensure(h, max), 1);
	assert_true(txid_is_before(tid, handle_txid(h)));
	assert_int_equal(handle_stop(h), 0);
	assert_true(journal_is_committed(t.j, tid));
	assert_int_equal(jt_unmount(&t), 0);
	dev_free(dev);
}

static void nowait_does_not_wait(void **state)
{
	struct bdev *dev = dev_new(&small);
	struct handle *h;
	uint32_t max;
	struct jt t;

	assert_int_equal(jt_mount(&t, &small, dev), 0);
	max = journal_max_credits(t.j);
	assert_int_equal(handle_start_nowait(t.j, 2, &h), 0);
	jt_set(&t, h, 1, 1);
	assert_int_equal(handle_stop(h), 0);
	assert_int_equal(handle_start_nowait(t.j, max, &h), -EAGAIN);
	assert_int_equal(handle_start(t.j, max, &h), 0);
	assert_int_equal(handle_stop(h), 0);
	assert_int_equal(jt_unmount(&t), 0);
	dev_free(dev);
}

static void dirty_memory_is_bounded(void **state)
{
	struct jt_opts o = { .bs = BS, .v3 = true, .cache_bytes = 128 * BS };
	struct bdev *dev = dev_new(&o);
	struct buf_cache_stats st;
	struct jt t;
	uint64_t i;

	assert_int_equal(jt_mount(&t, &o, dev), 0);
	for (i = 0; i < 1000; i++) {
		jt_set1(&t, i, i + 1);
		if (i % 16 == 0)
			assert_int_equal(journal_sync(t.j), 0);
		buf_cache_get_stats(t.cache, &st);
		assert_in_range(st.dirty_bytes, 0, (64 + 20) * BS);
		assert_in_range(st.bytes, 0, 300 * BS);
	}
	assert_int_equal(jt_unmount(&t), 0);
	for (i = 0; i < 1000; i++)
		assert_int_equal(jt_home(dev, BS, i), i + 1);
	dev_free(dev);
}

/* ---- abort ---- */

static int aborts;

static void on_abort(void *ctx, int err)
{
	aborts++;
	assert_int_equal(err, -EIO);
}

/* An I/O error of kind @tag aborts; what was durable stays, nothing more is
 * written but the error. */
static void abort_by(enum bdev_tag tag, enum bdev_op op)
{
	struct jt_opts o = large;
	struct emu_fault f = {
		.ops = EMU_OP(op),
		.tags = tag != BDEV_TAG_NONE ? 1u << tag : 0,
		.count = 1,
		.err = -EIO,
	};
	struct bdev *dev = dev_new(&o);
	struct handle *h;
	struct jt t;

	aborts = 0;
	o.on_abort = on_abort;
	assert_int_equal(jt_mount(&t, &o, dev), 0);
	jt_set1(&t, 5, 7);
	assert_int_equal(journal_sync(t.j), 0);
	jt_set1(&t, 5, 8);
	assert_int_equal(bdev_emu_fault_add(dev, &f), 0);
	assert_int_equal(journal_flush(t.j), -EIO);
	assert_int_equal(aborts, 1);
	assert_int_equal(journal_error(t.j), -EIO);
	assert_int_equal(handle_start(t.j, 1, &h), -EROFS);
	assert_int_equal(journal_sync(t.j), -EROFS);
	assert_int_equal(journal_close(t.j), -EROFS);
	t.j = NULL;
	jt_drop(&t);
	bdev_emu_fault_clear(dev);

	assert_int_equal(jt_load(&t, &o, dev), 0);
	assert_true(t.dirty);
	assert_int_equal(journal_recorded_error(t.j), -EIO);
	jt_drop(&t);
	assert_int_equal(jt_mount(&t, &o, dev), 0);
	assert_in_range(jt_home(dev, BS, 5), 7, 8);
	assert_int_equal(journal_clear_error(t.j), 0);
	assert_int_equal(jt_unmount(&t), 0);
	assert_int_equal(jt_load(&t, &o, dev), 0);
	assert_int_equal(journal_recorded_error(t.j), 0);
	jt_drop(&t);
	dev_free(dev);
}

static void io_errors_abort_the_journal(void **state)
{
	abort_by(BDEV_TAG_J_DESC, BDEV_WRITE);
	abort_by(BDEV_TAG_J_COMMIT, BDEV_WRITE);
	abort_by(BDEV_TAG_METADATA, BDEV_WRITE);
	abort_by(BDEV_TAG_J_SB, BDEV_WRITE);
	abort_by(BDEV_TAG_NONE, BDEV_FLUSH);
}

/* One request fails, the n-th: whatever was reported durable is there after
 * the next mount, and nothing hangs or leaks. */
static void no_single_io_error_loses_what_was_durable(void **state)
{
	struct jt_opts o = small;
	uint64_t n, i, durable;
	bool is_over = false;

	for (n = 1; !is_over; n++) {
		struct emu_fault f = { .ops = EMU_OP(BDEV_WRITE) |
					EMU_OP(BDEV_FLUSH),
			.nth = n,
			.count = 1,
			.err = -EIO };
		struct bdev *dev = dev_new(&o);
		struct bdev_emu_stats st;
		struct handle *h;
		struct jt t;

		assert_int_equal(jt_mount(&t, &o, dev), 0);
		assert_int_equal(bdev_emu_fault_add(dev, &f), 0);
		durable = 0;
		for (i = 1; i <= 40; i++) {
			if (handle_start(t.j, 3, &h) < 0)
				break;
			jt_set(&t, h, i % 10, i);
			jt_set(&t, h, 20, i);
			if (handle_stop(h) < 0)
				break;
			if (i % 2 == 0 && journal_sync(t.j) == 0)
				durable = i;
		}
		/* Somebody is told of every error. */
		is_over = jt_unmount(&t) == 0;
		bdev_emu_stats(dev, &st);
		assert_int_equal(is_over, st.faults == 0);
		bdev_emu_fault_clear(dev);

		assert_int_equal(jt_mount(&t, &o, dev), 0);
		assert_true(jt_home(dev, BS, 20) >= durable);
		for (i = durable; i > 0 && i + 10 > durable; i--)
			assert_true(jt_home(dev, BS, i % 10) >= i);
		assert_int_equal(jt_unmount(&t), 0);
		dev_free(dev);
	}
	assert_true(n > 60);
}

static void a_shutdown_answers_eio_and_records_nothing(void **state)
{
	struct bdev *dev = dev_new(&large);
	struct handle *h;
	struct buf *b;
	struct jt t;
	uint64_t before;

	assert_int_equal(jt_mount(&t, &large, dev), 0);
	assert_int_equal(handle_start(t.j, 2, &h), 0);
	jt_set(&t, h, 1, 1);
	before = writes(dev);
	journal_abort(t.j, -ESHUTDOWN, true);
	assert_int_equal(buf_read(t.cache, 2, &b), 0);
	assert_int_equal(handle_get_write(h, b), -EIO);
	assert_int_equal(handle_dirty(h, b), -EIO);
	buf_put(b);
	assert_int_equal(handle_forget(h, 2), -EIO);
	assert_int_equal(handle_extend(h, 1), -EIO);
	assert_int_equal(handle_restart(h, 1), -EIO);
	assert_int_equal(handle_stop(h), -EIO);
	assert_int_equal(handle_start(t.j, 1, &h), -EIO);
	assert_int_equal(writes(dev), before);
	jt_drop(&t);
	assert_int_equal(writes(dev), before);
	dev_free(dev);
}

/* ---- no journal ---- */

static void without_a_journal_sync_writes_home(void **state)
{
	struct counted_cb a = { { .fn = count_cb }, 0, 1 };
	struct jt_opts o = { .bs = BS, .cache_bytes = 64 * BS };
	struct bdev *dev = dev_new(&o);
	struct buf_cache_stats st;
	struct handle *h;
	struct jt t;
	uint64_t i;

	jt_mount_none(&t, &o, dev);
	assert_false(journal_has_log(t.j));
	assert_int_equal(handle_start(t.j, 1, &h), 0);
	jt_set(&t, h, 5, 7);
	handle_on_commit(h, &a.cb);
	assert_int_equal(a.calls, 0);
	assert_int_equal(handle_stop(h), 0);
	assert_int_equal(a.calls, 1);
	assert_int_equal(a.err, 0);
	assert_int_equal(jt_home(dev, BS, 5), 0);
	assert_int_equal(journal_sync(t.j), 0);
	assert_int_equal(jt_home(dev, BS, 5), 7);
	assert_int_equal(flushes(dev), 1);

	/* A freed block is not written. */
	assert_int_equal(handle_start(t.j, 1, &h), 0);
	jt_set(&t, h, 6, 9);
	assert_int_equal(handle_forget(h, 6), 0);
	assert_int_equal(handle_stop(h), 0);
	assert_int_equal(journal_sync(t.j), 0);
	assert_int_equal(jt_home(dev, BS, 6), 0);

	for (i = 0; i < 1000; i++) {
		jt_set1(&t, i, i + 1);
		buf_cache_get_stats(t.cache, &st);
		assert_in_range(st.dirty_bytes, 0, 33 * BS);
	}
	assert_int_equal(jt_unmount(&t), 0);
	for (i = 0; i < 1000; i++)
		assert_int_equal(jt_home(dev, BS, i), i + 1);
	dev_free(dev);
}

static void without_a_journal_a_failed_sync_is_reported_and_retried(
		void **state)
{
	struct jt_opts o = { .bs = BS };
	struct emu_fault f = {
		.ops = EMU_OP(BDEV_WRITE), .count = 1, .err = -EIO
	};
	struct bdev *dev = dev_new(&o);
	struct jt t;

	jt_mount_none(&t, &o, dev);
	jt_set1(&t, 5, 7);
	assert_int_equal(bdev_emu_fault_add(dev, &f), 0);
	assert_int_equal(journal_sync(t.j), -EIO);
	bdev_emu_fault_clear(dev);
	assert_int_equal(journal_sync(t.j), 0);
	assert_int_equal(jt_home(dev, BS, 5), 7);
	assert_int_equal(jt_unmount(&t), 0);
	dev_free(dev);
}

/* ---- threads ---- */

#define THREADS    4
#define PER_THREAD 10u

struct worker {
	struct jt *t;
	uint64_t id;
	uint64_t rounds;
	bool can_sync;
};

/* Each thread owns some blocks and sets all of them in each handle; now and
 * then it frees one and takes it again. */
static void *worker_run(void *ctx)
{
	struct worker *w = ctx;
	struct handle *h;
	uint64_t r, i;

	for (r = 1; r <= w->rounds; r++) {
		assert_int_equal(handle_start(w->t->j, PER_THREAD + 1, &h), 0);
		for (i = 0; i < PER_THREAD; i++) {
			pblk_t pblk = 16 + w->id * PER_THREAD + i;

			if ((r + i) % 7 == 0)
				assert_int_equal(handle_forget(h, pblk), 0);
			jt_set(w->t, h, pblk, r);
		}
		jt_set(w->t, h, 3, r); /* shared by all */
		assert_int_equal(handle_stop(h), 0);
		if (w->can_sync && r % 16 == w->id)
			assert_int_equal(journal_sync(w->t->j), 0);
	}
	return NULL;
}

static void run_threads(const struct jt_opts *o, bool has_log)
{
	struct bdev *dev = dev_new(o);
	struct worker w[THREADS];
	pthread_t th[THREADS];
	struct jt t;
	uint64_t i;

	if (has_log)
		assert_int_equal(jt_mount(&t, o, dev), 0);
	else
		jt_mount_none(&t, o, dev);
	for (i = 0; i < THREADS; i++) {
		w[i] = (struct worker){ &t, i, 400 + i, i % 2 == 0 };
		assert_int_equal(
				pthread_create(&th[i], NULL, worker_run, &w[i]),
				0);
	}
	for (i = 0; i < THREADS; i++)
		pthread_join(th[i], NULL);
	assert_int_equal(journal_sync(t.j), 0);
	if (has_log) {
		jt_drop(&t);
		assert_int_equal(jt_mount(&t, o, dev), 0);
	}
	for (i = 0; i < THREADS * PER_THREAD; i++)
		assert_int_equal(jt_home(dev, BS, 16 + i),
				w[i / PER_THREAD].rounds);
	assert_int_equal(jt_unmount(&t), 0);
	dev_free(dev);
}

static void many_threads_share_a_small_log(void **state)
{
	struct jt_opts o = { .bs = BS, .ring = 100, .v3 = true };

	run_threads(&o, true);
}

static void many_threads_share_a_large_log(void **state)
{
	run_threads(&large, true);
}

static void many_threads_without_a_journal(void **state)
{
	struct jt_opts o = { .bs = BS, .cache_bytes = 32 * BS };

	run_threads(&o, false);
}

/* ---- cost ---- */

static double now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

/* Not a limit (machines differ), a figure in the log. */
static void handles_are_cheap(void **state)
{
	struct bdev *dev = dev_new(&large);
	struct handle *h;
	struct buf *b;
	struct jt t;
	double sum = 0;
	uint32_t i, k;

	assert_int_equal(jt_mount(&t, &large, dev), 0);
	for (i = 0; i < 10000; i++) {
		double at = now_us();

		assert_int_equal(handle_start(t.j, 6, &h), 0);
		for (k = 0; k < 6; k++) {
			pblk_t pblk = (i / 100 * 2 + k * 11) % 200;

			assert_int_equal(buf_read(t.cache, pblk, &b), 0);
			assert_int_equal(handle_get_write(h, b), 0);
			b->data[100]++;
			assert_int_equal(handle_dirty(h, b), 0);
			buf_put(b);
		}
		assert_int_equal(handle_stop(h), 0);
		sum += now_us() - at;
		if (i % 1000 == 999)
			assert_int_equal(journal_sync(t.j), 0);
	}
	print_message("%.2f us for a handle with 6 blocks\n", sum / 10000);
	assert_int_equal(jt_unmount(&t), 0);
	dev_free(dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(committed_blocks_survive_and_others_do_not),
		cmocka_unit_test(close_writes_everything_home_and_keeps_ids),
		cmocka_unit_test(an_empty_commit_costs_nothing),
		cmocka_unit_test(a_large_commit_takes_few_requests),
		cmocka_unit_test(
				callbacks_run_at_commit_and_with_the_error_at_abort),
		cmocka_unit_test(precommit_is_part_of_its_transaction),
		cmocka_unit_test(a_commit_does_not_block_writers),
		cmocka_unit_test(a_commit_does_not_block_freeing),
		cmocka_unit_test(the_log_wraps_and_is_checkpointed),
		cmocka_unit_test(credits_are_bounded),
		cmocka_unit_test(nowait_does_not_wait),
		cmocka_unit_test(dirty_memory_is_bounded),
		cmocka_unit_test(io_errors_abort_the_journal),
		cmocka_unit_test(no_single_io_error_loses_what_was_durable),
		cmocka_unit_test(a_shutdown_answers_eio_and_records_nothing),
		cmocka_unit_test(without_a_journal_sync_writes_home),
		cmocka_unit_test(
				without_a_journal_a_failed_sync_is_reported_and_retried),
		cmocka_unit_test(many_threads_share_a_small_log),
		cmocka_unit_test(many_threads_share_a_large_log),
		cmocka_unit_test(many_threads_without_a_journal),
		cmocka_unit_test(handles_are_cheap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
