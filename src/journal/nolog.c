/* SPDX-License-Identifier: MIT */
/*
 * The no-journal mode: a sync writes a snapshot of all dirty bufs.
 *
 * There is no log, but there are still periods, called transactions: a sync
 * closes the running one to new handles, waits for the open ones, takes all
 * dirty bufs (from then on a change of them goes to a copy), and lets the next
 * period run while it writes. So no half-done change of a block is written,
 * and what a sync wrote is what was true at one moment. A power cut in the
 * middle of it leaves a mixture, which is what a file system without a journal
 * may do.
 *
 * Between syncs, handle_start() does the same without callback and flush when
 * half of the cache is dirty.
 */
#include <assert.h>

#include "bdev/bdev.h"
#include "journal/jstate.h"

int nolog_commit(struct journal *j, bool durable)
{
	struct buf_wb wb;
	struct txn *t, *next;
	int ret, err;

	mutex_lock(&j->lock);
	t = j->running;
	mutex_unlock(&j->lock);
	next = txn_new(t->tid + 1);
	if (next == NULL)
		return -ENOMEM;

	mutex_lock(&j->lock);
	t->state = TXN_LOCKED;
	while (t->nhandles > 0)
		cond_wait(&j->cond, &j->lock);
	mutex_unlock(&j->lock);

	ret = 0;
	if (durable && buf_cache_dirty_bytes(j->p.cache) > 0)
		ret = txn_precommit(j, t);
	buf_wb_init(&wb, j->p.cache);
	if (ret == 0) /* or nobody may write any more */
		ret = buf_wb_add_all(&wb);

	mutex_lock(&j->lock);
	j->running = next;
	cond_broadcast(&j->cond);
	mutex_unlock(&j->lock);

	err = buf_wb_run(&wb);
	if (ret == 0)
		ret = err;
	if (ret == 0)
		ret = journal_refusal(j);
	if (ret == 0 && durable)
		ret = bdev_flush(j->p.dev, 0);
	if (ret == 0 && durable) {
		mutex_lock(&j->lock);
		j->committed = t->tid;
		mutex_unlock(&j->lock);
	}
	txn_free(t);
	return ret;
}
