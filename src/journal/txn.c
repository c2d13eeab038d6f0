/* SPDX-License-Identifier: MIT */
/*
 * Handles: joining the running transaction, credits, leaving it.
 *
 * All waiting for the journal happens in handle_start(), before the handle is
 * held: for a transaction that is being locked, for one that is full (then the
 * starter sees to its commit), for log space (then it does the checkpoint).
 *
 * Credits  A transaction counts what its open handles may still need
 *          (outstanding, rev_allow) and what it has (nbufs, revokes). The worst
 *          case of the sum, with descriptor, revoke and commit blocks and the
 *          precommit callback's share, stays within j->max_txn log blocks (J5).
 */
#include "journal/txn.h"

#include <assert.h>
#include <stdlib.h>

#include "base/log.h"
#include "journal/jstate.h"

/* What a starter has to wait for. */
enum txn_wait {
	TXN_WAIT_NOTHING,
	TXN_WAIT_CHANGE,     /* of the running transaction */
	TXN_WAIT_COMMIT,     /* it is full */
	TXN_WAIT_SPACE,      /* in the log */
	TXN_WAIT_SOFT_SPACE, /* half full: one of us makes room early */
};

struct txn *txn_new(txid_t tid)
{
	struct txn *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	if (revoke_tab_init(&t->revokes) < 0) {
		free(t);
		return NULL;
	}
	t->tid = tid;
	TAILQ_INIT(&t->bufs);
	TAILQ_INIT(&t->cbs);
	TAILQ_INIT(&t->cp_bufs);
	return t;
}

void txn_free(struct txn *t)
{
	if (t == NULL)
		return;
	assert(TAILQ_EMPTY(&t->bufs) && TAILQ_EMPTY(&t->cp_bufs));
	assert(TAILQ_EMPTY(&t->cbs));
	revoke_tab_fini(&t->revokes);
	free(t);
}

/* ---- callbacks ---- */

void txn_run_cbs(struct txn_cb_list *cbs, int err)
{
	struct txn_cb *cb;

	while ((cb = TAILQ_FIRST(cbs)) != NULL) {
		TAILQ_REMOVE(cbs, cb, node);
		cb->fn(cb, err);
	}
}

void txn_take_dead_cbs_locked(struct journal *j, struct txn_cb_list *ret)
{
	struct txn *t = j->running;

	/* A LOCKED one has a leader, who deals with it. */
	if (atomic_load(&j->err) == 0 || t == NULL || t->nhandles > 0 ||
			t->state != TXN_RUNNING)
		return;
	TAILQ_CONCAT(ret, &t->cbs, node);
}

/* ---- sizes ---- */

uint64_t txn_need_locked(const struct journal *j, const struct txn *t,
		uint64_t credits, uint64_t revs)
{
	uint64_t n, r;

	n = (uint64_t)t->nbufs + t->outstanding + credits +
			j->p.precommit_credits;
	r = div_up_u64(revoke_count(&t->revokes), j->rev_max) + t->rev_allow +
			revs;
	return n + div_up_u64(n, j->tags_max) + r + 1;
}

static bool txn_fits_locked(const struct journal *j, const struct txn *t,
		uint64_t credits, uint64_t revs) UEXT4_REQUIRES(j->lock)
{
	return txn_need_locked(j, t, credits, revs) <= j->max_txn;
}

/* ---- start ---- */

static enum txn_wait txn_must_wait_locked(struct journal *j, uint32_t credits)
		UEXT4_REQUIRES(j->lock)
{
	struct txn *t = j->running;
	uint32_t space;

	if (j->barrier > 0 || t->state != TXN_RUNNING)
		return TXN_WAIT_CHANGE;
	if (!j->has_log) {
		if (!j->leader && !t->soft_done &&
				buf_cache_dirty_bytes(j->p.cache) >
						buf_cache_max_bytes(
								j->p.cache) /
								2)
			return TXN_WAIT_SOFT_SPACE;
		return TXN_WAIT_NOTHING;
	}
	if (!txn_fits_locked(j, t, credits, 1))
		return TXN_WAIT_COMMIT;
	if (t->has_space)
		return TXN_WAIT_NOTHING;

	space = jlog_size(&j->log) - j->used;
	if (space < j->max_txn)
		return TXN_WAIT_SPACE;
	if (!j->checkpointing && !t->soft_done &&
			(space / 2 < j->max_txn ||
					buf_cache_dirty_bytes(j->p.cache) >
							buf_cache_max_bytes(
									j->p.cache) /
									2))
		return TXN_WAIT_SOFT_SPACE;
	t->has_space = true;
	return TXN_WAIT_NOTHING;
}

/* Write dirty bufs home early, unless somebody leads a commit already. */
static int txn_write_back(struct journal *j)
{
	int ret;

	mutex_lock(&j->lock);
	if (j->leader) {
		mutex_unlock(&j->lock);
		return 0;
	}
	j->leader = true;
	mutex_unlock(&j->lock);

	ret = nolog_commit(j, false);

	mutex_lock(&j->lock);
	j->leader = false;
	/* What could not be written stays dirty: asking again at once would
	 * only repeat the error. The next sync reports it. */
	if (ret < 0)
		j->running->soft_done = true;
	cond_broadcast(&j->cond);
	mutex_unlock(&j->lock);
	return 0;
}

/* Do what @why says, with j->lock held before and after. */
static int txn_wait_for(struct journal *j, enum txn_wait why)
		UEXT4_REQUIRES(j->lock)
{
	txid_t tid = j->running->tid;
	int ret = 0;

	if (why == TXN_WAIT_CHANGE) {
		cond_wait(&j->cond, &j->lock);
		return 0;
	}
	if (why == TXN_WAIT_SOFT_SPACE && j->has_log)
		j->running->soft_done = true;
	mutex_unlock(&j->lock);
	if (why == TXN_WAIT_COMMIT)
		ret = journal_commit_wait(j, tid);
	else if (!j->has_log)
		ret = txn_write_back(j);
	else
		ret = journal_checkpoint(j, why == TXN_WAIT_SPACE);
	mutex_lock(&j->lock);
	return ret;
}

/* Enter @h, whose fields are zero but j, into the running transaction. */
static int txn_join(struct journal *j, struct handle *h, uint32_t credits,
		bool nowait)
{
	enum txn_wait why;
	int ret;

	if (credits > j->max_credits)
		return -ENOSPC;
	mutex_lock(&j->lock);
	for (;;) {
		ret = journal_refusal(j);
		if (ret < 0)
			break;
		why = txn_must_wait_locked(j, credits);
		if (why == TXN_WAIT_NOTHING) {
			struct txn *t = j->running;

			h->txn = t;
			h->credits = credits;
			h->rev_left = j->rev_max;
			h->rev_blocks = 1;
			t->nhandles++;
			t->outstanding += credits;
			t->rev_allow++;
			break;
		}
		if (nowait) {
			ret = -EAGAIN;
			break;
		}
		ret = txn_wait_for(j, why);
		if (ret < 0) {
			/* After an abort all say the same. */
			if (journal_refusal(j) < 0)
				ret = journal_refusal(j);
			break;
		}
	}
	mutex_unlock(&j->lock);
	return ret;
}

static int handle_start_mode(struct journal *j, uint32_t credits, bool nowait,
		struct handle **ret_h)
{
	struct handle *h;
	int ret;

	h = calloc(1, sizeof(*h));
	if (h == NULL)
		return -ENOMEM;
	h->j = j;
	TAILQ_INIT(&h->cbs);
	/* Before the waiting, so that a wrong order is seen when nobody has to
	 * wait as well. */
	lockrank_check(h, "handle", LOCK_RANK_HANDLE, 0);
	ret = txn_join(j, h, credits, nowait);
	if (ret < 0) {
		free(h);
		return ret;
	}
	lockrank_push(h, "handle", LOCK_RANK_HANDLE, 0);
	*ret_h = h;
	return 0;
}

int handle_start(struct journal *j, uint32_t credits, struct handle **ret_h)
{
	return handle_start_mode(j, credits, false, ret_h);
}

int handle_start_nowait(
		struct journal *j, uint32_t credits, struct handle **ret_h)
{
	return handle_start_mode(j, credits, true, ret_h);
}

/* ---- leave ---- */

int handle_refusal(const struct handle *h)
{
	int ret = journal_refusal(h->j);

	return ret == 0 && h->txn == NULL ? -EROFS : ret;
}

/* Take @h out of its transaction; callbacks that fall due go to @ret_cbs. */
static void txn_leave(struct handle *h, struct txn_cb_list *ret_cbs)
{
	struct journal *j = h->j;
	struct txn *t = h->txn;

	if (t == NULL)
		return;
	mutex_lock(&j->lock);
	assert(t->nhandles > 0 && t->outstanding >= h->credits);
	t->nhandles--;
	t->outstanding -= h->credits;
	t->rev_allow -= h->rev_blocks;
	if (t->nhandles == 0) {
		txn_take_dead_cbs_locked(j, ret_cbs);
		if (t->state == TXN_LOCKED || j->barrier > 0)
			cond_broadcast(&j->cond);
	}
	mutex_unlock(&j->lock);
	TAILQ_CONCAT(ret_cbs, &h->cbs, node);
}

int handle_stop(struct handle *h)
{
	struct journal *j = h->j;
	struct txn_cb_list cbs;
	int ret;

	TAILQ_INIT(&cbs);
	txn_leave(h, &cbs);
	lockrank_pop(h, "handle");
	free(h);
	ret = journal_refusal(j);
	txn_run_cbs(&cbs, ret);
	return ret;
}

/* Errors that come before any change, or whose change was taken back. */
static bool is_clean_refusal(int err)
{
	return err != -ENOMEM && err != -EIO && err != -UEXT4_ECORRUPT &&
			err != -UEXT4_EBADCSUM && err != -EOVERFLOW;
}

int handle_finish(struct handle *h, int ret)
{
	struct journal *j = h->j;
	bool half_done = ret < 0 && h->changed && !is_clean_refusal(ret);
	int err;

	if (half_done) /* want of memory says nothing about the disk */
		journal_abort(j, ret, ret != -ENOMEM);
	err = handle_stop(h);
	return ret < 0 ? ret : err;
}

int txn_precommit(struct journal *j, struct txn *t)
{
	struct handle h = {
		.j = j,
		.txn = t,
		.credits = j->p.precommit_credits,
		.is_precommit = true,
	};
	struct txn_cb_list cbs;
	int ret;

	if (j->p.precommit == NULL)
		return 0;
	TAILQ_INIT(&h.cbs);
	TAILQ_INIT(&cbs);
	mutex_lock(&j->lock);
	t->nhandles++;
	t->outstanding += h.credits;
	mutex_unlock(&j->lock);

	lockrank_push(&h, "handle", LOCK_RANK_HANDLE, 0);
	ret = j->p.precommit(j->p.ctx, &h);
	txn_leave(&h, &cbs);
	lockrank_pop(&h, "handle");
	txn_run_cbs(&cbs, ret);
	return ret;
}

/* ---- credits ---- */

int handle_extend(struct handle *h, uint32_t more)
{
	struct journal *j = h->j;
	struct txn *t = h->txn;
	int ret;

	mutex_lock(&j->lock);
	ret = handle_refusal(h);
	/* A transaction that waits for its handles does not grow. */
	if (ret == 0 && j->has_log && !h->is_precommit &&
			(t->state != TXN_RUNNING ||
					!txn_fits_locked(j, t, more, 0)))
		ret = -EAGAIN;
	if (ret == 0) {
		h->credits += more;
		t->outstanding += more;
	}
	mutex_unlock(&j->lock);
	return ret;
}

int handle_restart(struct handle *h, uint32_t credits)
{
	struct journal *j = h->j;
	struct txn_cb_list cbs;
	int ret;

	assert(!h->is_precommit);
	if (credits > j->max_credits)
		return -ENOSPC;
	TAILQ_INIT(&cbs);
	txn_leave(h, &cbs);
	lockrank_pop(h, "handle");
	txn_run_cbs(&cbs, journal_refusal(j));

	lockrank_check(h, "handle", LOCK_RANK_HANDLE, 0);
	ret = txn_join(j, h, credits, false);
	if (ret < 0) {
		/* A handle of no transaction: it refuses everything. */
		h->txn = NULL;
		h->credits = 0;
	}
	lockrank_push(h, "handle", LOCK_RANK_HANDLE, 0);
	return ret;
}

int handle_ensure(struct handle *h, uint32_t want)
{
	int ret;

	if (h->credits >= want)
		return 0;
	ret = handle_extend(h, want - h->credits);
	if (ret != -EAGAIN)
		return ret;
	ret = handle_restart(h, want);
	return ret < 0 ? ret : 1;
}

uint32_t handle_credits(const struct handle *h)
{
	return h->credits;
}

txid_t handle_txid(const struct handle *h)
{
	return h->txn != NULL ? h->txn->tid : 0;
}

struct journal *handle_journal(const struct handle *h)
{
	return h->j;
}

void handle_on_commit(struct handle *h, struct txn_cb *cb)
{
	struct journal *j = h->j;

	if (!j->has_log) {
		TAILQ_INSERT_TAIL(&h->cbs, cb, node);
		return;
	}
	if (h->txn == NULL) {
		TAILQ_INSERT_TAIL(&h->cbs, cb, node);
		return;
	}
	mutex_lock(&j->lock);
	TAILQ_INSERT_TAIL(&h->txn->cbs, cb, node);
	mutex_unlock(&j->lock);
}
