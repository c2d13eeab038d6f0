/* SPDX-License-Identifier: MIT */
/*
 * What the journal is made of: for the files of src/journal only.
 *
 * A transaction runs (handles change bufs in it), is locked (no new handles;
 * the open ones end, the precommit callback runs), commits (its blocks go to
 * the log while the next transaction runs), and is then on the list of
 * checkpoints until all its blocks are home.
 *
 * A jbuf is the journal's record of a buf. It can be a member of the running
 * and of the committing transaction at once, and is in the checkpoint list of
 * the last committed transaction that changed it. Ids of successive
 * transactions differ in bit 0, so member slot m[tid & 1] belongs to one of
 * them, and a transaction that begins to commit need not touch its members.
 *
 * States   RUNNING -> LOCKED      the leader of the commit
 *          LOCKED -> RUNNING      it turned out that there is nothing in it
 *          LOCKED -> COMMITTING   its successor runs from here on
 *          COMMITTING -> (list)   committed, waits for its checkpoint
 *
 * Rules    (J1) A member's buf is pinned, once per membership, and the jbuf
 *               holds a reference to the buf.
 *          (J2) What a committing transaction writes to the log does not
 *               change: a buf that its successor changes gets a copy, the old
 *               memory stays in jb->cdata until the blocks are in the log.
 *          (J3) A buf leaves the checkpoint list when it was written home and
 *               flushed, when a later transaction that changed it is
 *               committed, or when one that freed it is.
 *          (J4) The tail of the log does not pass a transaction whose
 *               checkpoint list is not empty.
 *          (J5) A transaction never needs more log than was free when its
 *               first handle began: max_txn blocks. So a commit never waits
 *               for a checkpoint.
 *          (J6) At most one thread leads a commit, at most one a checkpoint;
 *               `leader` and `checkpointing` say so. No lock is held for it.
 *          (J7) Log space is not written again before a journal superblock
 *               that points past it is durable.
 *
 * Locks    j->lock (rank journal) guards all but what is tagged otherwise; no
 *          I/O under it. j->sb_lock (rank jlist) serialises writes of the
 *          journal superblock; never taken under j->lock.
 */
#ifndef UEXT4_JOURNAL_JSTATE_H
#define UEXT4_JOURNAL_JSTATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/hmap.h"
#include "base/lock.h"
#include "base/types.h"
#include "cache/buf.h"
#include "disk/djournal.h"
#include "journal/jlog.h"
#include "journal/journal.h"
#include "journal/revoke.h"
#include "journal/txn.h"

/* Member flags. */
#define JM_DIRTY     0x1u /* changed: goes to the log */
#define JM_FORGOTTEN 0x2u /* freed: leaves with the commit, unwritten */

/* buf->jtag: transaction id, and its member flags. */
#define JTAG(tid, flags) ((uint64_t)(tid) << 8 | 0x80u | (flags))

struct txn;

struct jmember {
	struct txn *txn; /* NULL: not a member */
	TAILQ_ENTRY(jbuf) node;
	uint32_t flags; /* JM_* */
};

struct jbuf {
	struct buf *buf;     /* [const] */
	struct jmember m[2]; /* by tid & 1 */
	uint8_t *cdata;      /* what the committing transaction has, if it
				is not buf->data any more (J2) */
	struct txn *cp;      /* in whose checkpoint list it is */
	TAILQ_ENTRY(jbuf) cp_node;
};

TAILQ_HEAD(jbuf_list, jbuf);
TAILQ_HEAD(txn_list, txn);
TAILQ_HEAD(txn_cb_list, txn_cb);

enum txn_state {
	TXN_RUNNING,
	TXN_LOCKED,
	TXN_COMMITTING,
	TXN_COMMITTED,
};

struct txn {
	txid_t tid; /* [const] */
	enum txn_state state;
	bool has_space;        /* J5 was checked */
	bool logged;           /* its blocks are in the log: no more copies */
	bool soft_done;        /* the early checkpoint was tried */
	uint32_t nhandles;     /* open */
	uint32_t outstanding;  /* credits of open handles, not yet used */
	uint32_t rev_allow;    /* revoke blocks promised to open handles */
	uint32_t nbufs;        /* members with JM_DIRTY */
	struct jbuf_list bufs; /* members; [leader] once committing */
	struct revoke_tab revokes;
	struct txn_cb_list cbs;
	uint32_t log_start, log_blocks; /* its place in the ring */
	struct jbuf_list cp_bufs;
	TAILQ_ENTRY(txn) node; /* in j->cp_txns, oldest first */
};

struct handle {
	struct journal *j;
	struct txn *txn;
	uint32_t credits;
	uint32_t rev_left;   /* revoke records it may still make */
	uint32_t rev_blocks; /* its share of txn->rev_allow */
	bool is_precommit;
	bool changed;           /* handle_dirty() was called */
	struct txn_cb_list cbs; /* no-journal mode */
};

struct overlay;

struct journal {
	struct journal_params p; /* [const] but runs, which are in log */
	bool has_log;            /* [const] */
	bool can_start;          /* [owner] loaded clean, or recovered */
	uint8_t uuid[16];        /* [const] */
	struct jlog log;         /* [const] */
	struct dj dj;            /* [const] once started */
	struct overlay *overlay; /* [const] once recovered in memory */

	struct mutex sb_lock;
	struct dj_super js; /* [sb_lock] */
	uint8_t *sb_block;  /* [sb_lock] log block 0 */

	struct mutex lock;
	struct cond cond; /* any change that somebody waits for */
	struct txn *running;
	struct txn *committing;
	struct txn_list cp_txns;
	txid_t committed;     /* last durable id */
	uint32_t head;        /* where the next transaction goes */
	uint32_t used;        /* blocks between tail and head */
	bool marked;          /* the superblock on disk has s_start */
	bool leader;          /* J6 */
	bool checkpointing;   /* J6 */
	uint32_t barrier;     /* >0: handle_start() waits */
	uint32_t max_txn;     /* [const] log blocks of one transaction */
	uint32_t max_credits; /* [const] */
	uint32_t tags_max;    /* [const] per descriptor block */
	uint32_t rev_max;     /* [const] per revoke block */
	_Atomic int err;      /* why aborted, 0 if not */
	void (*gate)(void *ctx, const char *at); /* [const] while in use */
	void *gate_ctx;
};

/* ---- journal.c ---- */

/* The error for calls after an abort: -EROFS, or -EIO after a shutdown; 0. */
int journal_refusal(const struct journal *j);
/* Write the journal superblock: the log starts at @start with @seq. */
int journal_write_super(
		struct journal *j, uint32_t start, txid_t seq, uint32_t flags);
void journal_at(struct journal *j, const char *where);

/* ---- txn.c ---- */

struct txn *txn_new(txid_t tid);
void txn_free(struct txn *t);
/* Log blocks that @t may need in the worst case, with @credits and @revs more
 * blocks of data and of revokes. */
uint64_t txn_need_locked(const struct journal *j, const struct txn *t,
		uint64_t credits, uint64_t revs) UEXT4_REQUIRES(j->lock);
/* Move the callbacks of the running transaction to @ret if the journal is
 * dead and nobody else will run them. */
void txn_take_dead_cbs_locked(struct journal *j, struct txn_cb_list *ret)
		UEXT4_REQUIRES(j->lock);
void txn_run_cbs(struct txn_cb_list *cbs, int err);
/* The error for calls on @h: the journal's, or that of a failed restart. */
int handle_refusal(const struct handle *h);
/* A handle in the locked transaction @t, for the precommit callback. */
int txn_precommit(struct journal *j, struct txn *t);

/* ---- jbuf.c ---- */

/* @jb is no member of slot @slot any more; frees it when nothing is left. */
void jbuf_leave_locked(struct journal *j, struct jbuf *jb, unsigned slot)
		UEXT4_REQUIRES(j->lock);
/* Members that were only asked for leave @t; it has no open handles. */
void jbuf_drop_unchanged_locked(struct journal *j, struct txn *t)
		UEXT4_REQUIRES(j->lock);
void jbuf_set_cp_locked(struct journal *j, struct jbuf *jb, struct txn *cp)
		UEXT4_REQUIRES(j->lock);
void jbuf_free_if_idle_locked(struct journal *j, struct jbuf *jb)
		UEXT4_REQUIRES(j->lock);

/* ---- commit.c ---- */

/* Commit the running transaction; the caller has set j->leader. */
int journal_commit_running(struct journal *j);

/* ---- checkpoint.c ---- */

/* Write home what can be written and move the tail. With @wait, wait for a
 * commit in flight first, so that all bufs of finished transactions go. */
int journal_checkpoint(struct journal *j, bool wait);

/* ---- nolog.c ---- */

/* Write all dirty bufs of closed handles home; @durable: with the precommit
 * callback and a flush. The caller has set j->leader. */
int nolog_commit(struct journal *j, bool durable);

/* ---- replay.c ---- */

void overlay_free(struct overlay *o);

#endif /* UEXT4_JOURNAL_JSTATE_H */
