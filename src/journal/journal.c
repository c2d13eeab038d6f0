/* SPDX-License-Identifier: MIT */
/*
 * The journal's life: load, start, abort, close; its superblock on disk.
 *
 * The journal superblock says where the log begins (s_start, 0 if it is empty)
 * and with which transaction id (s_sequence). It is written when the first
 * transaction goes into an empty log, when the tail moves, at abort and at
 * close: all that changes in it lies in its first 512 bytes and so in one
 * sector.
 */
#include "journal/journal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "bdev/bdev.h"
#include "journal/jstate.h"

/* A transaction holds at most this share of the log, and of the cache. */
#define JOURNAL_LOG_SHARE   4u
#define JOURNAL_CACHE_SHARE 2u
#define JOURNAL_TXN_MIN     1024u /* blocks that a small cache must bear */

int journal_refusal(const struct journal *j)
{
	int err = atomic_load_explicit(&j->err, memory_order_acquire);

	if (err == 0)
		return 0;
	return err == -ESHUTDOWN ? -EIO : -EROFS;
}

int journal_error(const struct journal *j)
{
	return atomic_load_explicit(&j->err, memory_order_acquire);
}

void journal_at(struct journal *j, const char *where)
{
	if (j->gate != NULL)
		j->gate(j->gate_ctx, where);
}

void journal_set_gate(struct journal *j, void (*fn)(void *ctx, const char *at),
		void *ctx)
{
	j->gate = fn;
	j->gate_ctx = ctx;
}

bool journal_has_log(const struct journal *j)
{
	return j->has_log;
}

uint32_t journal_max_credits(const struct journal *j)
{
	return j->max_credits;
}

/* ---- life ---- */

static int journal_new(const struct journal_params *p, struct journal **ret_j)
{
	struct journal *j = calloc(1, sizeof(*j));

	if (j == NULL)
		return -ENOMEM;
	j->p = *p;
	j->p.runs = NULL;
	if (p->uuid != NULL)
		memcpy(j->uuid, p->uuid, sizeof(j->uuid));
	mutex_init(&j->lock, "journal", LOCK_RANK_JOURNAL);
	mutex_init(&j->sb_lock, "journal sb", LOCK_RANK_JLIST);
	cond_init(&j->cond);
	TAILQ_INIT(&j->cp_txns);
	*ret_j = j;
	return 0;
}

/* Let go of the bufs of @t: nothing of it is written any more. */
static void journal_drop_txn(struct journal *j, struct txn *t)
{
	unsigned slot = t->tid & 1;
	struct jbuf *jb;

	mutex_lock(&j->lock);
	while ((jb = TAILQ_FIRST(&t->cp_bufs)) != NULL) {
		buf_clear_dirty(jb->buf);
		jbuf_set_cp_locked(j, jb, NULL);
		jbuf_free_if_idle_locked(j, jb);
	}
	while ((jb = TAILQ_FIRST(&t->bufs)) != NULL) {
		buf_clear_dirty(jb->buf);
		jbuf_leave_locked(j, jb, slot);
	}
	mutex_unlock(&j->lock);
	txn_free(t);
}

void journal_free(struct journal *j)
{
	struct txn *t;

	if (j == NULL)
		return;
	if (j->running != NULL) {
		assert(j->running->nhandles == 0);
		txn_run_cbs(&j->running->cbs, -EROFS);
		journal_drop_txn(j, j->running);
	}
	if (j->committing != NULL)
		journal_drop_txn(j, j->committing);
	while ((t = TAILQ_FIRST(&j->cp_txns)) != NULL) {
		TAILQ_REMOVE(&j->cp_txns, t, node);
		journal_drop_txn(j, t);
	}
	overlay_free(j->overlay);
	jlog_fini(&j->log);
	free(j->sb_block);
	cond_fini(&j->cond);
	mutex_fini(&j->sb_lock);
	mutex_fini(&j->lock);
	free(j);
}

int journal_open_none(const struct journal_params *p, struct journal **ret_j)
{
	struct journal *j;
	int ret;

	ret = journal_new(p, &j);
	if (ret < 0)
		return ret;
	j->max_credits = UINT32_MAX;
	j->running = txn_new(1);
	if (j->running == NULL) {
		journal_free(j);
		return -ENOMEM;
	}
	j->can_start = true;
	*ret_j = j;
	return 0;
}

static int journal_read_super(struct journal *j)
{
	const char *why = "";
	void *p;
	int ret;

	if (posix_memalign(&p, 4096, j->p.block_size) != 0)
		return -ENOMEM;
	j->sb_block = p;
	ret = jlog_read(&j->log, 0, j->sb_block, 1);
	if (ret < 0) {
		log_err(j->p.log, "journal: reading its superblock: %s",
				err_text(ret));
		return ret;
	}
	dj_super_decode(j->sb_block, &j->js);
	ret = dj_super_check(&j->js, j->p.block_size, j->log.blocks, &why);
	if (ret < 0) {
		log_err(j->p.log, "journal superblock: %s", why);
		return ret;
	}
	ret = dj_super_csum_verify(j->sb_block);
	if (ret < 0) {
		log_err(j->p.log, "journal superblock: bad checksum");
		return ret;
	}
	j->log.first = j->js.first;
	j->log.last = dj_super_last(&j->js);
	if (j->log.first == 0 || j->log.last > j->log.blocks ||
			j->log.last <= j->log.first || jlog_size(&j->log) < 8) {
		log_err(j->p.log, "journal superblock: log [%u, %u) of %u",
				j->log.first, j->log.last, j->log.blocks);
		return -UEXT4_ECORRUPT;
	}
	return 0;
}

int journal_load(const struct journal_params *p, struct journal **ret_j,
		bool *ret_dirty)
{
	struct journal *j;
	int ret;

	ret = journal_new(p, &j);
	if (ret < 0)
		return ret;
	j->has_log = true;
	ret = jlog_init(&j->log, p);
	if (ret < 0) {
		log_err(p->log, "journal: its blocks cannot be");
		goto out_free;
	}
	ret = journal_read_super(j);
	if (ret < 0)
		goto out_free;
	dj_init(&j->dj, &j->js);
	j->can_start = j->js.start == 0;
	*ret_j = j;
	*ret_dirty = j->js.start != 0;
	return 0;

out_free:
	journal_free(j);
	return ret;
}

/* ---- superblock ---- */

/* Write j->js to log block 0. */
static int journal_put_super_locked(struct journal *j, uint32_t flags)
		UEXT4_REQUIRES(j->sb_lock)
{
	const void *block = j->sb_block;
	int ret;

	dj_super_encode(&j->js, j->sb_block);
	dj_super_csum_set(j->sb_block);
	ret = jlog_write(&j->log, 0, &block, 1, flags,
			BDEV_TAG(BDEV_TAG_J_SB, j->js.sequence));
	if (ret < 0)
		log_err(j->p.log, "journal: writing its superblock: %s",
				err_text(ret));
	return ret;
}

int journal_write_super(
		struct journal *j, uint32_t start, txid_t seq, uint32_t flags)
{
	int ret;

	mutex_lock(&j->sb_lock);
	j->js.start = start;
	j->js.sequence = seq;
	ret = journal_put_super_locked(j, flags);
	mutex_unlock(&j->sb_lock);
	return ret;
}

/* Start and sequence stay as they are on disk. */
static int journal_write_error(struct journal *j, int err)
{
	int ret;

	mutex_lock(&j->sb_lock);
	j->js.error = err;
	ret = journal_put_super_locked(j, BDEV_F_FUA);
	mutex_unlock(&j->sb_lock);
	return ret;
}

int journal_recorded_error(const struct journal *j)
{
	return j->has_log ? j->js.error : 0;
}

int journal_clear_error(struct journal *j)
{
	if (!j->has_log || j->js.error == 0)
		return 0;
	return journal_write_error(j, 0);
}

int journal_discard_log(struct journal *j)
{
	int ret;

	if (!j->has_log || j->js.start == 0)
		return 0;
	assert(j->running == NULL);
	/* No id in the log lies further on than this: see recover.c, R5. */
	ret = journal_write_super(j, 0, j->js.sequence + jlog_size(&j->log) + 1,
			BDEV_F_FUA);
	if (ret == 0)
		j->can_start = true;
	return ret;
}

/* ---- start ---- */

/* The features that a writer of ours wants: as the kernel, no checksum v1 and
 * no asynchronous commit; v2 stays where nobody asks for v3. */
static void journal_choose_features(struct journal *j)
{
	struct dj_super *js = &j->js;

	if (js->h.type == DJ_SUPER_V1) {
		/* Bytes that had no meaning get one: begin with none set. */
		memset(j->sb_block + 0x24, 0, DJ_SUPER_SIZE - 0x24);
		js->h.type = DJ_SUPER_V2;
		dj_super_encode(js, j->sb_block);
		dj_super_decode(j->sb_block, js);
		js->compat = js->incompat = js->ro_compat = 0;
		js->nr_users = 1;
	}
	js->compat &= ~DJ_FC_CHECKSUM;
	js->incompat &= ~DJ_FI_ASYNC_COMMIT;
	js->incompat |= DJ_FI_REVOKE;
	if (j->p.want_64bit)
		js->incompat |= DJ_FI_64BIT;
	if (j->p.want_csum_v3) {
		js->incompat &= ~DJ_FI_CSUM_V2;
		js->incompat |= DJ_FI_CSUM_V3;
	}
	if (js->incompat & (DJ_FI_CSUM_V2 | DJ_FI_CSUM_V3))
		js->checksum_type = DJ_CSUM_CRC32C;
	dj_init(&j->dj, js);
}

/* How large a transaction and a handle may get. */
static int journal_set_limits(struct journal *j)
{
	uint64_t cache_blocks;
	uint64_t lo = 0, hi;

	cache_blocks = buf_cache_max_bytes(j->p.cache) / j->p.block_size /
			JOURNAL_CACHE_SHARE;
	j->max_txn = jlog_size(&j->log) / JOURNAL_LOG_SHARE;
	j->max_txn = (uint32_t)min_u64(
			j->max_txn, max_u64(cache_blocks, JOURNAL_TXN_MIN));
	j->tags_max = dj_tags_max(&j->dj);
	j->rev_max = dj_revoke_max(&j->dj);
	if (j->tags_max == 0 || j->rev_max == 0)
		return -UEXT4_ECORRUPT;

	/* The largest number of credits that an empty transaction takes. */
	mutex_lock(&j->lock);
	hi = j->max_txn;
	while (lo < hi) {
		uint64_t mid = lo + (hi - lo + 1) / 2;

		if (txn_need_locked(j, j->running, mid, 1) <= j->max_txn)
			lo = mid;
		else
			hi = mid - 1;
	}
	mutex_unlock(&j->lock);
	j->max_credits = (uint32_t)lo;
	if (lo == 0) {
		log_err(j->p.log, "journal: %u blocks are too few",
				jlog_size(&j->log));
		return -EINVAL;
	}
	return 0;
}

int journal_start(struct journal *j)
{
	assert(j->can_start);
	if (!j->has_log)
		return 0;
	journal_choose_features(j);
	j->running = txn_new(j->js.sequence);
	if (j->running == NULL)
		return -ENOMEM;
	j->committed = j->js.sequence - 1;
	j->head = j->log.first;
	return journal_set_limits(j);
}

/* ---- abort ---- */

void journal_abort(struct journal *j, int err, bool record)
{
	struct txn_cb_list dead;
	int none = 0;
	bool first;

	assert(err < 0);
	TAILQ_INIT(&dead);
	mutex_lock(&j->lock);
	first = atomic_compare_exchange_strong(&j->err, &none, err);
	if (first)
		txn_take_dead_cbs_locked(j, &dead);
	cond_broadcast(&j->cond);
	mutex_unlock(&j->lock);
	if (!first)
		return;

	log_err(j->p.log, "journal aborted: %s", err_text(err));
	/* If this write fails there is nothing left to do about it. */
	if (record && j->has_log && err != -ESHUTDOWN)
		(void)journal_write_error(j, err);
	txn_run_cbs(&dead, journal_refusal(j));
	if (j->p.on_abort != NULL)
		j->p.on_abort(j->p.ctx, err);
}

/* ---- sync and close ---- */

int journal_flush_device(struct journal *j)
{
	int ret = journal_refusal(j);

	return ret < 0 ? ret : bdev_flush(j->p.dev, 0);
}

bool journal_is_committed(struct journal *j, txid_t tid)
{
	bool is;

	mutex_lock(&j->lock);
	is = !txid_is_before(j->committed, tid);
	mutex_unlock(&j->lock);
	return is;
}

txid_t journal_running_txid(struct journal *j)
{
	txid_t tid;

	mutex_lock(&j->lock);
	tid = j->running->tid;
	mutex_unlock(&j->lock);
	return tid;
}

int journal_sync(struct journal *j)
{
	return journal_commit_wait(j, journal_running_txid(j));
}

/* Nobody has a handle and the log is empty: say so on disk. */
static int journal_mark_empty(struct journal *j)
{
	bool marked;
	txid_t tid;
	int ret;

	mutex_lock(&j->lock);
	marked = j->marked;
	tid = j->running->tid;
	assert(j->used == 0 && j->committing == NULL);
	mutex_unlock(&j->lock);
	if (!marked)
		return 0;
	ret = journal_write_super(j, 0, tid, BDEV_F_FUA);
	if (ret < 0) {
		journal_abort(j, ret, false);
		return ret;
	}
	mutex_lock(&j->lock);
	j->marked = false;
	j->head = j->log.first;
	mutex_unlock(&j->lock);
	return 0;
}

int journal_flush(struct journal *j)
{
	int ret;

	if (!j->has_log)
		return journal_sync(j);

	mutex_lock(&j->lock);
	j->barrier++;
	while (j->running->nhandles > 0)
		cond_wait(&j->cond, &j->lock);
	mutex_unlock(&j->lock);

	ret = journal_sync(j);
	/* What was looked at and not changed would be left out, being pinned. */
	mutex_lock(&j->lock);
	jbuf_drop_unchanged_locked(j, j->running);
	mutex_unlock(&j->lock);
	if (ret == 0)
		ret = journal_checkpoint(j, true);
	if (ret == 0)
		ret = journal_mark_empty(j);

	mutex_lock(&j->lock);
	j->barrier--;
	cond_broadcast(&j->cond);
	mutex_unlock(&j->lock);
	return ret;
}

int journal_close(struct journal *j)
{
	int ret = journal_refusal(j);

	if (ret == 0 && j->running != NULL)
		ret = journal_flush(j);
	journal_free(j);
	return ret;
}
