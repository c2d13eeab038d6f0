/* SPDX-License-Identifier: MIT */
/*
 * Checkpoint: committed blocks go home, so that the tail of the log may move.
 *
 * All committed transactions are done in one go, in block order: a block that
 * many of them changed is written once. Bufs that the running or committing
 * transaction has are left out (they are pinned); their checkpoint list keeps
 * the tail where it is until that transaction is committed and takes them
 * over.
 *
 * Rules    (P1) home writes -> flush -> journal superblock with the new tail,
 *               durable -> the space is free (J7).
 *          (P2) A buf counts as home if it was clean before that flush began,
 *               and is still in the same list after it.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "bdev/bdev.h"
#include "journal/jstate.h"

struct cp_item {
	struct jbuf *jb; /* valid as long as buf is held: see cp_drop */
	struct buf *buf;
	struct txn *cp;
	bool clean;
};

struct cp_run {
	struct cp_item *items;
	size_t n, cap;
};

static bool cp_is_home(struct buf *b)
{
	return !(atomic_load_explicit(&b->state, memory_order_acquire) &
			(BUF_DIRTY | BUF_WRITING));
}

static size_t cp_count_locked(struct journal *j) UEXT4_REQUIRES(j->lock)
{
	const struct txn *t;
	const struct jbuf *jb;
	size_t n = 0;

	TAILQ_FOREACH(t, &j->cp_txns, node)
	TAILQ_FOREACH(jb, &t->cp_bufs, cp_node)
	n++;
	return n;
}

/* Hold all bufs of checkpoint lists that no transaction has in its hands. */
static int cp_collect(struct journal *j, struct cp_run *run)
{
	struct txn *t;
	struct jbuf *jb;

	/* Count, allocate without the lock, take what fits: the rest, if it
	 * grew meanwhile, is for the next time. */
	mutex_lock(&j->lock);
	run->cap = cp_count_locked(j);
	mutex_unlock(&j->lock);
	run->items = calloc(run->cap + 1, sizeof(*run->items));
	if (run->items == NULL)
		return -ENOMEM;

	mutex_lock(&j->lock);
	TAILQ_FOREACH(t, &j->cp_txns, node)
	{
		TAILQ_FOREACH(jb, &t->cp_bufs, cp_node)
		{
			if (jb->m[0].txn != NULL || jb->m[1].txn != NULL)
				continue;
			if (run->n == run->cap)
				break;
			buf_hold(jb->buf);
			run->items[run->n++] = (struct cp_item){
				.buf = jb->buf,
				.cp = t,
			};
		}
	}
	mutex_unlock(&j->lock);
	return 0;
}

static int cp_write_home(struct journal *j, struct cp_run *run)
{
	struct buf_wb wb;
	size_t i;
	int ret = 0;
	int err;

	buf_wb_init(&wb, j->p.cache);
	for (i = 0; i < run->n && ret == 0; i++)
		ret = buf_wb_add(&wb, run->items[i].buf);
	err = buf_wb_run(&wb);
	if (err < 0)
		return err;
	if (ret < 0)
		return ret;
	for (i = 0; i < run->n; i++)
		run->items[i].clean = cp_is_home(run->items[i].buf); /* P2 */
	journal_at(j, "checkpoint:before_flush");
	return bdev_flush(j->p.dev, 0);
}

/* What is home leaves its list. */
static void cp_drop(struct journal *j, struct cp_run *run)
{
	size_t i;

	mutex_lock(&j->lock);
	for (i = 0; i < run->n; i++) {
		const struct cp_item *it = &run->items[i];
		struct jbuf *jb = it->buf->jb;

		if (!it->clean || jb == NULL || jb->cp != it->cp)
			continue;
		jbuf_set_cp_locked(j, jb, NULL);
		jbuf_free_if_idle_locked(j, jb);
	}
	mutex_unlock(&j->lock);
}

static void cp_put(struct cp_run *run)
{
	size_t i;

	for (i = 0; i < run->n; i++)
		buf_put(run->items[i].buf);
	free(run->items);
}

/* Take the transactions off the tail that have nothing left, and say where the
 * log begins then. Returns the number of its blocks that this frees. */
static uint32_t cp_take_done(struct journal *j, struct txn_list *ret_done,
		uint32_t *ret_start, txid_t *ret_seq)
{
	struct txn *t;
	uint32_t freed = 0;

	mutex_lock(&j->lock);
	while ((t = TAILQ_FIRST(&j->cp_txns)) != NULL &&
			TAILQ_EMPTY(&t->cp_bufs)) {
		TAILQ_REMOVE(&j->cp_txns, t, node);
		TAILQ_INSERT_TAIL(ret_done, t, node);
		freed += t->log_blocks;
	}
	/* The oldest transaction that is still needed; without one the log
	 * goes on at its head, with the id that is next. */
	if (t == NULL)
		t = j->committing;
	*ret_start = t != NULL ? t->log_start : j->head;
	*ret_seq = t != NULL ? t->tid : j->running->tid;
	mutex_unlock(&j->lock);
	return freed;
}

/* Free the space of transactions at the tail that have nothing left. */
static int cp_move_tail(struct journal *j)
{
	struct txn_list done;
	struct txn *t;
	uint32_t freed;
	uint32_t start;
	txid_t seq;
	int ret;

	TAILQ_INIT(&done);
	freed = cp_take_done(j, &done, &start, &seq);
	if (freed == 0)
		return 0;

	journal_at(j, "checkpoint:before_tail");
	ret = journal_write_super(j, start, seq, BDEV_F_FUA);
	if (ret == 0) {
		mutex_lock(&j->lock);
		assert(j->used >= freed);
		j->used -= freed;
		mutex_unlock(&j->lock);
	}
	while ((t = TAILQ_FIRST(&done)) != NULL) {
		TAILQ_REMOVE(&done, t, node);
		txn_free(t);
	}
	return ret;
}

static int cp_run(struct journal *j)
{
	struct cp_run run = { 0 };
	int ret;

	ret = cp_collect(j, &run);
	if (ret < 0)
		return ret;
	if (run.n > 0)
		ret = cp_write_home(j, &run);
	if (ret == 0)
		cp_drop(j, &run);
	cp_put(&run);
	if (ret == 0)
		ret = cp_move_tail(j);
	return ret;
}

int journal_checkpoint(struct journal *j, bool wait)
{
	int ret;

	mutex_lock(&j->lock);
	while (j->checkpointing || (wait && j->leader)) {
		ret = journal_refusal(j);
		if (ret < 0 || !wait) {
			mutex_unlock(&j->lock);
			return ret;
		}
		cond_wait(&j->cond, &j->lock);
	}
	ret = journal_refusal(j);
	if (ret < 0) {
		mutex_unlock(&j->lock);
		return ret;
	}
	j->checkpointing = true;
	mutex_unlock(&j->lock);

	ret = cp_run(j);
	if (ret < 0)
		journal_abort(j, ret, true);

	mutex_lock(&j->lock);
	j->checkpointing = false;
	cond_broadcast(&j->cond);
	mutex_unlock(&j->lock);
	return ret;
}
