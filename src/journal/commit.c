/* SPDX-License-Identifier: MIT */
/*
 * Commit: the running transaction becomes durable in the log.
 *
 * Whoever waits for a transaction that nobody commits becomes the leader and
 * does it; who comes meanwhile waits, and one of those leads the next. The
 * steps of the leader:
 *
 *	lock	no new handles; wait for the open ones; precommit callback
 *	switch	place in the log taken, the next transaction runs
 *	write	revoke blocks, then descriptors each with its blocks
 *	flush	all of that and all file data written before
 *	seal	the commit block, durable on its own (FUA)
 *	finish	members to the checkpoint list, callbacks, waiters
 *
 * Rules    (C1) The commit block is written only after a flush that covers
 *               everything it vouches for.
 *          (C2) The journal superblock says that the log is not empty before
 *               the first commit block is written into an empty log.
 *          (C3) An empty transaction is not committed: its id stays in use,
 *               so that ids in the log have no gaps.
 *          (C4) Freed blocks are reported (callbacks) only after home writes
 *               of their old contents have ended.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/le.h"
#include "base/log.h"
#include "bdev/bdev.h"
#include "journal/jstate.h"

#define COMMIT_BATCH 64 /* members handled per locking */

/* What one commit writes. */
struct commit {
	struct journal *j;
	struct txn *t;
	const void **blocks; /* in log order, without the commit block */
	uint32_t n, cap;
	uint8_t **own; /* memory of ours among them */
	uint32_t nown;
	/* the open descriptor block */
	uint8_t *desc;
	uint32_t off, last_off, tags;
};

/* ---- blocks ---- */

/* A zeroed block of ours with a header, as the next of the log. */
static int commit_new_block(struct commit *c, uint32_t type, uint8_t **ret_p)
{
	struct dj_hdr h = { DJ_MAGIC, type, c->t->tid };
	uint8_t *p = buf_data_new(c->j->p.cache);

	if (p == NULL)
		return -ENOMEM;
	memset(p, 0, c->j->p.block_size);
	dj_hdr_encode(p, &h);
	c->own[c->nown++] = p;
	assert(c->n < c->cap);
	c->blocks[c->n++] = p;
	*ret_p = p;
	return 0;
}

static int commit_revokes(struct commit *c)
{
	struct journal *j = c->j;
	struct revoke_tab *t = &c->t->revokes;
	const struct hmap_node *n;
	uint8_t *p = NULL;
	uint32_t i = 0;
	int ret;

	for (n = hmap_first(&t->map); n != NULL; n = hmap_next(&t->map, n)) {
		if (i == 0) {
			ret = commit_new_block(c, DJ_REVOKE, &p);
			if (ret < 0)
				return ret;
		}
		dj_revoke_put(&j->dj, p, i++, n->key);
		dj_revoke_set_count(&j->dj, p, i);
		if (i == j->rev_max)
			i = 0;
		if (i == 0)
			dj_tail_csum_set(&j->dj, p);
	}
	if (i > 0)
		dj_tail_csum_set(&j->dj, p);
	return 0;
}

static void commit_close_desc(struct commit *c)
{
	if (c->desc == NULL)
		return;
	dj_tag_mark_last(&c->j->dj, c->desc, c->last_off);
	dj_tail_csum_set(&c->j->dj, c->desc);
	c->desc = NULL;
}

/* The log's form of @data: a copy without its first word if that would look
 * like a block of the journal itself. */
static int commit_escape(
		struct commit *c, const uint8_t *data, const uint8_t **ret_data)
{
	uint8_t *p;

	if (get_be32(data) != DJ_MAGIC) {
		*ret_data = data;
		return 0;
	}
	p = buf_data_new(c->j->p.cache);
	if (p == NULL)
		return -ENOMEM;
	memcpy(p, data, c->j->p.block_size);
	put_be32(p, 0);
	c->own[c->nown++] = p;
	*ret_data = p;
	return 1;
}

static int commit_add(struct commit *c, pblk_t pblk, const uint8_t *data)
{
	struct journal *j = c->j;
	struct dj_tag tag = { .pblk = pblk };
	const uint8_t *raw;
	int ret;

	if (c->desc != NULL && c->tags == j->tags_max)
		commit_close_desc(c);
	if (c->desc == NULL) {
		ret = commit_new_block(c, DJ_DESCRIPTOR, &c->desc);
		if (ret < 0)
			return ret;
		c->off = DJ_TAGS_OFF;
		c->tags = 0;
	}
	ret = commit_escape(c, data, &raw);
	if (ret < 0)
		return ret;
	tag.flags = (ret > 0 ? DJ_TAG_ESCAPE : 0) |
			(c->tags > 0 ? DJ_TAG_SAME_UUID : 0);
	/* Of the block as it stands in the log: replay checks before it
	 * restores the first word. */
	tag.checksum = dj_data_csum(&j->dj, c->t->tid, raw);
	c->last_off = c->off;
	ret = dj_tag_put(&j->dj, c->desc, &c->off, &tag);
	assert(ret == 0);
	c->tags++;
	assert(c->n < c->cap);
	c->blocks[c->n++] = raw;
	return ret;
}

/* Members that were not changed leave; the others go into the log. Only we
 * change the list of a committing transaction, so its links can be followed
 * without the lock; what a member's contents are must be asked under it. */
static int commit_members(struct commit *c)
{
	struct journal *j = c->j;
	unsigned slot = c->t->tid & 1;
	struct jbuf *jb = TAILQ_FIRST(&c->t->bufs);
	struct jbuf *batch[COMMIT_BATCH];
	const uint8_t *data[COMMIT_BATCH];
	uint32_t n, i;
	int ret;

	while (jb != NULL) {
		mutex_lock(&j->lock);
		for (n = 0; jb != NULL && n < COMMIT_BATCH;) {
			struct jbuf *next = TAILQ_NEXT(jb, m[slot].node);

			if (jb->m[slot].flags & JM_DIRTY) {
				batch[n] = jb;
				data[n++] = jb->cdata != NULL ? jb->cdata
							      : jb->buf->data;
			} else if (jb->m[slot].flags == 0) {
				jbuf_leave_locked(j, jb, slot);
			}
			jb = next;
		}
		mutex_unlock(&j->lock);
		for (i = 0; i < n; i++) {
			ret = commit_add(c, batch[i]->buf->pblk, data[i]);
			if (ret < 0)
				return ret;
		}
	}
	commit_close_desc(c);
	return 0;
}

static int commit_write_blocks(struct journal *j, struct txn *t)
{
	struct commit c = { .j = j, .t = t };
	uint32_t i;
	int ret = -ENOMEM;

	c.cap = t->log_blocks;
	c.blocks = calloc(c.cap, sizeof(*c.blocks));
	/* Descriptors and revokes, and at worst every block escaped. */
	c.own = calloc(c.cap, sizeof(*c.own));
	if (c.blocks == NULL || c.own == NULL)
		goto out_free;
	ret = commit_revokes(&c);
	if (ret == 0)
		ret = commit_members(&c);
	if (ret < 0)
		goto out_free;
	assert(c.n + 1 == t->log_blocks);
	ret = jlog_write(&j->log, t->log_start, c.blocks, c.n, 0,
			BDEV_TAG(BDEV_TAG_J_DESC, t->tid));
out_free:
	for (i = 0; i < c.nown; i++)
		buf_data_free(j->p.cache, c.own[i]);
	free(c.own);
	free(c.blocks);
	return ret;
}

static int commit_seal(struct journal *j, struct txn *t)
{
	struct dj_commit cb = {
		.h = { DJ_MAGIC, DJ_COMMIT, t->tid },
	};
	struct timespec now;
	const void *block;
	uint8_t *p;
	int ret;

	p = buf_data_new(j->p.cache);
	if (p == NULL)
		return -ENOMEM;
	clock_gettime(CLOCK_REALTIME, &now);
	cb.sec = (uint64_t)now.tv_sec;
	cb.nsec = (uint32_t)now.tv_nsec;
	dj_commit_encode(&j->dj, p, &cb);
	dj_commit_csum_set(&j->dj, p);
	block = p;
	ret = jlog_write(&j->log,
			jlog_advance(&j->log, t->log_start, t->log_blocks - 1),
			&block, 1, BDEV_F_FUA,
			BDEV_TAG(BDEV_TAG_J_COMMIT, t->tid));
	buf_data_free(j->p.cache, p);
	return ret;
}

/* C2 */
static int commit_mark_log(struct journal *j, struct txn *t)
{
	bool marked;
	int ret;

	mutex_lock(&j->lock);
	marked = j->marked;
	j->marked = true;
	mutex_unlock(&j->lock);
	if (marked)
		return 0;
	ret = journal_write_super(j, t->log_start, t->tid, 0);
	journal_at(j, "commit:after_mark");
	return ret;
}

static int commit_write(struct journal *j, struct txn *t)
{
	int ret;

	ret = commit_mark_log(j, t);
	if (ret < 0)
		return ret;
	ret = commit_write_blocks(j, t);
	if (ret < 0)
		return ret;
	mutex_lock(&j->lock);
	t->logged = true;
	mutex_unlock(&j->lock);
	journal_at(j, "commit:before_flush");
	ret = bdev_flush(j->p.dev, 0); /* C1 */
	if (ret < 0)
		return ret;
	journal_at(j, "commit:before_commit_block");
	ret = commit_seal(j, t);
	journal_at(j, "commit:after_commit_block");
	return ret;
}

/* ---- lock and switch ---- */

static bool txn_is_empty_locked(const struct txn *t)
{
	return t->nbufs == 0 && revoke_count(&t->revokes) == 0;
}

/* Close @t to new handles and wait for the open ones. An error if the journal
 * was aborted meanwhile. */
static int commit_lock(struct journal *j, struct txn *t)
{
	bool has_any;
	int ret;

	mutex_lock(&j->lock);
	t->state = TXN_LOCKED;
	while (t->nhandles > 0)
		cond_wait(&j->cond, &j->lock);
	ret = journal_refusal(j);
	has_any = !txn_is_empty_locked(t);
	mutex_unlock(&j->lock);
	if (ret < 0 || !has_any)
		return ret;
	return txn_precommit(j, t);
}

/* Give @t its place in the log and let @next run. */
static void commit_switch(struct journal *j, struct txn *t, struct txn *next)
{
	mutex_lock(&j->lock);
	t->state = TXN_COMMITTING;
	t->log_start = j->head;
	t->log_blocks = (uint32_t)(t->nbufs +
			div_up_u64(t->nbufs, j->tags_max) +
			div_up_u64(revoke_count(&t->revokes), j->rev_max) + 1);
	assert(t->log_blocks <= jlog_size(&j->log) - j->used); /* J5 */
	j->used += t->log_blocks;
	j->head = jlog_advance(&j->log, j->head, t->log_blocks);
	j->committing = t;
	j->running = next;
	cond_broadcast(&j->cond);
	mutex_unlock(&j->lock);
}

/* Nothing to commit: @t runs on (C3), and what waited for it is served. */
static void commit_reopen(struct journal *j, struct txn *t, int err)
{
	struct txn_cb_list cbs;

	TAILQ_INIT(&cbs);
	mutex_lock(&j->lock);
	jbuf_drop_unchanged_locked(j, t);
	t->state = TXN_RUNNING;
	TAILQ_CONCAT(&cbs, &t->cbs, node);
	cond_broadcast(&j->cond);
	mutex_unlock(&j->lock);
	txn_run_cbs(&cbs, err);
}

/* ---- finish ---- */

/* One member of the committed @t. Returns true if its home write has to be
 * waited for (C4): then it stays a member for now. */
static bool commit_finish_member_locked(struct journal *j, struct txn *t,
		struct jbuf *jb) UEXT4_REQUIRES(j->lock)
{
	unsigned slot = t->tid & 1;

	if (jb->m[slot].flags & JM_FORGOTTEN) {
		if (atomic_load(&jb->buf->state) & BUF_WRITING)
			return true;
		/* The dirt is of older transactions. If the next one uses the
		 * block again, its commit will make it dirty. */
		jbuf_set_cp_locked(j, jb, NULL);
		buf_clear_dirty(jb->buf);
		jbuf_leave_locked(j, jb, slot);
		return false;
	}
	jbuf_set_cp_locked(j, jb, t); /* J3 */
	buf_mark_dirty(jb->buf);
	jbuf_leave_locked(j, jb, slot);
	return false;
}

static void commit_finish_members(struct journal *j, struct txn *t)
{
	struct jbuf *jb;
	uint32_t n;

	while (!TAILQ_EMPTY(&t->bufs)) {
		struct jbuf *wait = NULL;

		mutex_lock(&j->lock);
		for (n = 0; n < COMMIT_BATCH && wait == NULL; n++) {
			jb = TAILQ_FIRST(&t->bufs);
			if (jb == NULL)
				break;
			if (commit_finish_member_locked(j, t, jb))
				wait = jb;
		}
		mutex_unlock(&j->lock);
		/* Still a member, so it cannot go away. */
		if (wait != NULL)
			buf_wait_write(wait->buf);
	}
}

/* From the moment that @t is on the list of checkpoints it may be freed. */
static void commit_finish(struct journal *j, struct txn *t)
{
	txid_t tid = t->tid;
	struct txn_cb_list cbs;

	commit_finish_members(j, t);
	revoke_tab_fini(&t->revokes);

	TAILQ_INIT(&cbs);
	mutex_lock(&j->lock);
	TAILQ_CONCAT(&cbs, &t->cbs, node);
	t->state = TXN_COMMITTED;
	j->committing = NULL;
	TAILQ_INSERT_TAIL(&j->cp_txns, t, node);
	mutex_unlock(&j->lock);

	/* Before the waiters learn of it: who saw a commit end may count on
	 * the space that it freed. */
	txn_run_cbs(&cbs, 0);
	mutex_lock(&j->lock);
	j->committed = tid;
	mutex_unlock(&j->lock);
}

/* The log could not be written. The members stay with @t until the journal is
 * freed: nothing of them may reach home. */
static void commit_fail(struct journal *j, struct txn *t, int err)
{
	struct txn_cb_list cbs;

	journal_abort(j, err, true);
	TAILQ_INIT(&cbs);
	mutex_lock(&j->lock);
	TAILQ_CONCAT(&cbs, &t->cbs, node);
	mutex_unlock(&j->lock);
	txn_run_cbs(&cbs, err);
}

/* ---- the leader ---- */

int journal_commit_running(struct journal *j)
{
	struct txn *t, *next;
	int ret;

	mutex_lock(&j->lock);
	t = j->running;
	mutex_unlock(&j->lock);
	next = txn_new(t->tid + 1);
	if (next == NULL)
		return -ENOMEM;

	ret = commit_lock(j, t);
	if (ret < 0 || txn_is_empty_locked(t)) {
		txn_free(next);
		if (ret < 0)
			journal_abort(j, ret, true);
		commit_reopen(j, t, ret);
		return ret;
	}
	journal_at(j, "commit:locked");
	commit_switch(j, t, next);
	journal_at(j, "commit:switched");

	ret = commit_write(j, t);
	if (ret == 0)
		ret = journal_refusal(j);
	if (ret < 0) {
		commit_fail(j, t, ret);
		return ret;
	}
	commit_finish(j, t);
	return 0;
}

int journal_commit_wait(struct journal *j, txid_t tid)
{
	bool waited = false;
	int ret = 0;

	/* A commit waits for all handles, so for ours as well. */
	assert(!lockrank_holds_rank(LOCK_RANK_HANDLE));
	mutex_lock(&j->lock);
	for (;;) {
		if (!txid_is_before(j->committed, tid))
			break;
		ret = journal_refusal(j);
		if (ret < 0) {
			/* It broke under our eyes: that is an I/O error. */
			if (waited)
				ret = -EIO;
			break;
		}
		if (j->leader) {
			waited = true;
			cond_wait(&j->cond, &j->lock);
			continue;
		}
		if (j->has_log && txn_is_empty_locked(j->running) &&
				j->running->nhandles == 0 &&
				TAILQ_EMPTY(&j->running->cbs))
			break; /* C3 */
		j->leader = true;
		mutex_unlock(&j->lock);
		ret = j->has_log ? journal_commit_running(j)
				 : nolog_commit(j, true);
		mutex_lock(&j->lock);
		j->leader = false;
		cond_broadcast(&j->cond);
		/* An empty transaction has not moved `committed`. */
		break;
	}
	mutex_unlock(&j->lock);
	return ret;
}
