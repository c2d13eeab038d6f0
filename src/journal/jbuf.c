/* SPDX-License-Identifier: MIT */
/*
 * Bufs in transactions: get_write, dirty, forget.
 *
 * The first handle_get_write() of a buf in a transaction makes it a member and
 * pins it. If the committing transaction still has to write the buf to the
 * log, that one keeps the memory and the buf goes on with a copy (J2): nobody
 * waits. buf->jtag lets the following calls for the same transaction return
 * without a lock; it cannot change under a handle of that transaction, but by
 * handle_forget(), whose caller owns the block.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "journal/jstate.h"

static void jbuf_set_tag(struct jbuf *jb, uint64_t tag)
{
	atomic_store_explicit(&jb->buf->jtag, tag, memory_order_release);
}

static uint64_t buf_jtag(struct buf *b)
{
	return atomic_load_explicit(&b->jtag, memory_order_acquire);
}

void jbuf_free_if_idle_locked(struct journal *j, struct jbuf *jb)
{
	if (jb->m[0].txn != NULL || jb->m[1].txn != NULL || jb->cp != NULL)
		return;
	assert(jb->cdata == NULL);
	jb->buf->jb = NULL;
	buf_put(jb->buf);
	free(jb);
}

void jbuf_leave_locked(struct journal *j, struct jbuf *jb, unsigned slot)
{
	struct jmember *m = &jb->m[slot];

	assert(m->txn != NULL);
	/* Copies are of the committing transaction, never of the running. */
	if (m->txn->state == TXN_COMMITTING && jb->cdata != NULL) {
		buf_data_free(j->p.cache, jb->cdata);
		jb->cdata = NULL;
	}
	TAILQ_REMOVE(&m->txn->bufs, jb, m[slot].node);
	if (buf_jtag(jb->buf) == JTAG(m->txn->tid, m->flags))
		jbuf_set_tag(jb, 0);
	m->txn = NULL;
	m->flags = 0;
	buf_unpin(jb->buf);
	jbuf_free_if_idle_locked(j, jb);
}

void jbuf_drop_unchanged_locked(struct journal *j, struct txn *t)
{
	unsigned slot = t->tid & 1;
	struct jbuf *jb, *next;

	for (jb = TAILQ_FIRST(&t->bufs); jb != NULL; jb = next) {
		next = TAILQ_NEXT(jb, m[slot].node);
		if (jb->m[slot].flags == 0)
			jbuf_leave_locked(j, jb, slot);
	}
}

void jbuf_set_cp_locked(struct journal *j, struct jbuf *jb, struct txn *cp)
{
	if (jb->cp != NULL)
		TAILQ_REMOVE(&jb->cp->cp_bufs, jb, cp_node);
	jb->cp = cp;
	if (cp != NULL)
		TAILQ_INSERT_TAIL(&cp->cp_bufs, jb, cp_node);
}

/* The jbuf of @b, made if there is none. NULL: no memory. */
static struct jbuf *jbuf_of_locked(struct journal *j, struct buf *b)
		UEXT4_REQUIRES(j->lock)
{
	struct jbuf *jb = b->jb;

	if (jb != NULL)
		return jb;
	jb = calloc(1, sizeof(*jb));
	if (jb == NULL)
		return NULL;
	buf_hold(b); /* J1 */
	jb->buf = b;
	b->jb = jb;
	return jb;
}

/* Leave buf->data to the committing transaction if it still needs it (J2). */
static int jbuf_unshare_locked(struct journal *j, struct jbuf *jb,
		unsigned slot) UEXT4_REQUIRES(j->lock)
{
	const struct jmember *m = &jb->m[slot ^ 1];
	struct buf *b = jb->buf;
	uint8_t *data;

	if (m->txn == NULL || m->txn->logged || jb->cdata != NULL ||
			!(m->flags & JM_DIRTY))
		return 0;
	data = buf_data_new(j->p.cache);
	if (data == NULL)
		return -ENOMEM;
	memcpy(data, b->data, j->p.block_size);
	jb->cdata = b->data;
	b->data = data;
	return 0;
}

/* Make @b a member of @t, or find that it is. */
static int jbuf_join_locked(struct journal *j, struct txn *t, struct buf *b)
		UEXT4_REQUIRES(j->lock)
{
	unsigned slot = t->tid & 1;
	struct jbuf *jb = jbuf_of_locked(j, b);
	int ret;

	if (jb == NULL)
		return -ENOMEM;
	if (jb->m[slot].txn == t)
		return 0;
	assert(jb->m[slot].txn == NULL);
	ret = jbuf_unshare_locked(j, jb, slot);
	if (ret < 0) {
		jbuf_free_if_idle_locked(j, jb);
		return ret;
	}
	buf_pin(b); /* J1; and b->data is ours, not a home write's */
	jb->m[slot].txn = t;
	jb->m[slot].flags = 0;
	TAILQ_INSERT_TAIL(&t->bufs, jb, m[slot].node);
	return 0;
}

int handle_get_write(struct handle *h, struct buf *buf)
{
	struct journal *j = h->j;
	struct txn *t = h->txn;
	unsigned slot = t->tid & 1;
	uint64_t tag;
	int ret;

	ret = handle_refusal(h);
	if (ret < 0)
		return ret;
	if (!j->has_log) {
		buf_detach_write(buf);
		return 0;
	}
	tag = buf_jtag(buf);
	if (tag == JTAG(t->tid, 0) || tag == JTAG(t->tid, JM_DIRTY))
		return 0;

	mutex_lock(&j->lock);
	ret = jbuf_join_locked(j, t, buf);
	if (ret == 0) {
		/* A block that was freed in this transaction and is in use
		 * again: replay must write it. */
		revoke_cancel(&t->revokes, buf->pblk);
		buf->jb->m[slot].flags &= ~JM_FORGOTTEN;
		jbuf_set_tag(buf->jb, JTAG(t->tid, buf->jb->m[slot].flags));
	}
	mutex_unlock(&j->lock);
	return ret;
}

int handle_get_create(struct handle *h, struct buf *buf)
{
	/* Its contents are nobody's, but whoever has the old memory (a commit,
	 * a home write) must not see the new ones: the same steps. */
	return handle_get_write(h, buf);
}

/* One credit for a new block in the transaction. */
static int handle_use_credit_locked(struct journal *j, struct handle *h)
		UEXT4_REQUIRES(j->lock)
{
	struct txn *t = h->txn;

	if (h->credits > 0) {
		h->credits--;
		t->outstanding--;
		return 0;
	}
	/* The caller's estimate was too low (T1). There may be room. */
	log_warn(j->p.log, "a handle needs more credits than it asked for");
	if (txn_need_locked(j, t, 1, 0) <= j->max_txn)
		return 0;
	return -ENOSPC;
}

static int handle_dirty_first(struct handle *h, struct buf *buf)
{
	struct journal *j = h->j;
	struct txn *t = h->txn;
	unsigned slot = t->tid & 1;
	struct jbuf *jb;
	int ret = 0;

	mutex_lock(&j->lock);
	jb = buf->jb;
	assert(jb != NULL && jb->m[slot].txn == t); /* get_write was called */
	assert(!(jb->m[slot].flags & JM_FORGOTTEN));
	if (!(jb->m[slot].flags & JM_DIRTY)) {
		ret = handle_use_credit_locked(j, h);
		if (ret == 0) {
			t->nbufs++;
			jb->m[slot].flags |= JM_DIRTY;
			jbuf_set_tag(jb, JTAG(t->tid, JM_DIRTY));
		}
	}
	mutex_unlock(&j->lock);
	return ret;
}

int handle_dirty(struct handle *h, struct buf *buf)
{
	struct journal *j = h->j;
	int ret;

	ret = handle_refusal(h);
	if (ret < 0)
		return ret;
	h->changed = true;
	if (!j->has_log) {
		buf_mark_dirty(buf);
		return 0;
	}
	if (buf_jtag(buf) == JTAG(h->txn->tid, JM_DIRTY))
		return 0;
	return handle_dirty_first(h, buf);
}

/* ---- forget ---- */

/* A place for one more revoke record. */
static int handle_use_revoke_locked(struct journal *j, struct handle *h)
		UEXT4_REQUIRES(j->lock)
{
	if (h->rev_left == 0) {
		if (txn_need_locked(j, h->txn, 0, 1) > j->max_txn)
			return -ENOSPC;
		h->txn->rev_allow++;
		h->rev_blocks++;
		h->rev_left = j->rev_max;
	}
	h->rev_left--;
	return 0;
}

/* @b leaves the transaction's blocks to log, but stays a member until the
 * commit: only then may it leave an older checkpoint list (J3, J4). */
static int jbuf_forget_locked(struct journal *j, struct handle *h,
		struct buf *b) UEXT4_REQUIRES(j->lock)
{
	struct txn *t = h->txn;
	struct jmember *m;
	int ret;

	ret = jbuf_join_locked(j, t, b);
	if (ret < 0)
		return ret;
	m = &b->jb->m[t->tid & 1];
	if (m->flags & JM_DIRTY) {
		t->nbufs--;
		t->outstanding++;
		h->credits++;
	}
	m->flags = JM_FORGOTTEN;
	jbuf_set_tag(b->jb, JTAG(t->tid, JM_FORGOTTEN));
	buf_invalidate(b);
	return 0;
}

int handle_forget(struct handle *h, pblk_t pblk)
{
	struct journal *j = h->j;
	struct buf *b;
	int ret;

	ret = handle_refusal(h);
	if (ret < 0)
		return ret;
	if (!j->has_log) {
		buf_forget_block(j->p.cache, pblk);
		return 0;
	}
	b = buf_find(j->p.cache, pblk);
	mutex_lock(&j->lock);
	ret = handle_use_revoke_locked(j, h);
	if (ret == 0)
		ret = revoke_add(&h->txn->revokes, pblk, h->txn->tid);
	if (ret >= 0 && b != NULL)
		ret = jbuf_forget_locked(j, h, b);
	mutex_unlock(&j->lock);
	buf_put(b);
	return ret < 0 ? ret : 0;
}
