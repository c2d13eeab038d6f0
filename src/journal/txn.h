/* SPDX-License-Identifier: MIT */
/*
 * Transaction handles: the only way to change a metadata block.
 *
 *	ret = handle_start(j, credits, &h);
 *	ret = handle_get_write(h, buf);	or handle_get_create() for a new block
 *	change buf->data (pointer taken after get_write), set its checksum
 *	ret = handle_dirty(h, buf);
 *	ret = handle_stop(h);
 *
 * All changes made under one handle are in one transaction: after a power cut
 * all of them are there or none. A journal without a log ("no-journal mode",
 * journal_open_none()) takes the same calls: bufs become dirty in the cache
 * and are written home later or by sync.
 *
 * Rules    (T1) One handle dirties at most `credits` distinct new blocks.
 *          (T2) A holder of a handle waits for no data I/O, no page lock, no
 *               drain, no other handle; it may take map_lock and below.
 *          (T3) handle_get_write() never waits for a commit: a buf that the
 *               committing transaction still needs is copied.
 *          (T4) A freed metadata block is handed to handle_forget() before it
 *               is marked free; the revoke record keeps replay off it.
 *          (T5) After an abort every call answers -EROFS (-EIO if shut down);
 *               handle_stop() must still be called.
 *          (T6) Checksums of a block are set by its owner before
 *               handle_dirty().
 *
 * Locks    A handle is the rank LOCKRANK_HANDLE. One thread holds at most one.
 */
#ifndef UEXT4_JOURNAL_TXN_H
#define UEXT4_JOURNAL_TXN_H

#include <stdbool.h>
#include <sys/queue.h>

#include "base/err.h"
#include "base/types.h"

struct buf;
struct journal;
struct handle; /* [owner] one thread */

/* Join the running transaction with room for @credits blocks; waits for log
 * space or for a transaction that is being locked. -EROFS after abort, -EIO
 * after shutdown, -ENOSPC if @credits can never fit. */
int handle_start(struct journal *j, uint32_t credits, struct handle **ret_h);
/* As handle_start(), but -EAGAIN instead of waiting. */
int handle_start_nowait(
		struct journal *j, uint32_t credits, struct handle **ret_h);
/* Room for @more blocks in the same transaction, or -EAGAIN: then bring the
 * blocks into a state that may be committed and call handle_restart(). */
int handle_extend(struct handle *h, uint32_t more);
/* Leave the transaction and join the running one with @credits: what was
 * changed so far may be committed alone. */
int handle_restart(struct handle *h, uint32_t credits);
/* Ensure at least @want credits are left: extend, else restart.
 * Returns 1 if it restarted, 0 if not, or an error. */
int handle_ensure(struct handle *h, uint32_t want);
uint32_t handle_credits(const struct handle *h);
/* The transaction's id, for journal_commit_wait(). */
txid_t handle_txid(const struct handle *h);
struct journal *handle_journal(const struct handle *h);
/* Leave the transaction and free @h. -EROFS/-EIO if the journal is aborted. */
int handle_stop(struct handle *h);
/*
 * The same after the caller's work ended with @ret, which is passed on (or
 * handle_stop()'s error if it is not one). Work that failed half-way for want
 * of memory, by a failed request or because the disk is damaged cannot be taken
 * back: if @h has changed anything by then, the journal is aborted, so that the
 * half of it is never committed.
 */
int handle_finish(struct handle *h, int ret);

/* @buf's contents are going to be changed. May replace buf->data. The caller
 * holds the lock that owns the contents. */
int handle_get_write(struct handle *h, struct buf *buf);
/* The same for a block that was just allocated: its old contents are nobody's;
 * cancels a revoke of the block. */
int handle_get_create(struct handle *h, struct buf *buf);
/* @buf was changed: it belongs to this transaction now. */
int handle_dirty(struct handle *h, struct buf *buf);
/* Block @pblk held metadata and is being freed in this handle: its buf (if
 * any; the caller's reference stays valid) leaves the transaction and is not
 * written home; a revoke record is written if the log may hold a copy. */
int handle_forget(struct handle *h, pblk_t pblk);

/* Work to do when the handle's transaction is durable (or, without a journal,
 * at handle_stop()): called once, in the order of registration, by the thread
 * that commits, with no journal lock and no handle held; @err is 0, or the
 * reason why the transaction was never committed (abort). */
struct txn_cb {
	TAILQ_ENTRY(txn_cb) node; /* [journal] */
	void (*fn)(struct txn_cb *cb, int err);
};
void handle_on_commit(struct handle *h, struct txn_cb *cb);

#endif /* UEXT4_JOURNAL_TXN_H */
