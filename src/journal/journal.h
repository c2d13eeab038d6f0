/* SPDX-License-Identifier: MIT */
/*
 * The journal as a whole: open (with recovery), commit, checkpoint, close.
 *
 * Has never heard of inodes: it is handed the runs of blocks that are the log.
 * On disk it is jbd2 as the Linux kernel writes it.
 *
 * Life     journal_load() reads the journal superblock; journal_recover() replays;
 *          journal_start() begins the first transaction; ... journal_close().
 * Commit   led by whoever waits for it (group commit): journal_commit_wait().
 *          No thread is handed the work. A transaction is also closed when it
 *          grows past a share of the log, by the handle that finds it so.
 */
#ifndef UEXT4_JOURNAL_JOURNAL_H
#define UEXT4_JOURNAL_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/types.h"

struct bdev;
struct buf_cache;
struct handle;
struct log;
struct journal;

/* @len log blocks stand at file system block @pblk. */
struct journal_run {
	pblk_t pblk;
	uint32_t len;
};

struct journal_params {
	struct bdev *dev;        /* device of log and file system */
	struct buf_cache *cache; /* metadata bufs of the file system */
	struct log *log;
	uint32_t block_size;            /* bytes */
	uint64_t fs_blocks;             /* replay never writes past it */
	const struct journal_run *runs; /* copied */
	uint32_t nruns;
	const uint8_t *uuid; /* of the file system, 16 bytes */
	bool want_csum_v3;   /* rw: turn on csum v3 (metadata_csum) */
	bool want_64bit;     /* rw: turn on 64-bit tags */
	/* Called once per commit, in the committing thread, when the transaction
	 * has no more handles and is about to be closed, with a handle of
	 * @precommit_credits: puts the free counts in the superblock. */
	int (*precommit)(void *ctx, struct handle *h);
	uint32_t precommit_credits;
	/* Called once when the journal aborts. No journal lock is held. */
	void (*on_abort)(void *ctx, int err);
	void *ctx;
};

/* Read and check the journal superblock. @ret_dirty says whether there is
 * anything to replay. -EUCLEAN/-EBADMSG, -EOPNOTSUPP for unknown features. */
int journal_load(const struct journal_params *p, struct journal **ret_j,
		bool *ret_dirty);
/* The no-journal mode of the same interface. */
int journal_open_none(const struct journal_params *p, struct journal **ret_j);

struct journal_recovery {
	txid_t first, last; /* transactions replayed: [first, last) */
	uint64_t replayed, revoked;
	bool torn_commit; /* ended at a torn commit block */
};
/* Replay: scan, revoke, replay to the device, flush, and empty the log (its
 * sequence beyond every id ever used). -EBADMSG if a block inside the log that
 * must be good is not: what could be replayed was. Idempotent. */
int journal_recover(struct journal *j, struct journal_recovery *ret);
/* The same in memory only, for read-only mounts: afterwards
 * journal_overlay(j, pblk) tells the image of a replayed block. */
int journal_recover_memory(struct journal *j, struct journal_recovery *ret);
/* The replayed image of @pblk, or NULL; valid until journal_free(). */
const void *journal_overlay(const struct journal *j, pblk_t pblk);
/* Declare the log empty without replaying it: what a rescuer does after
 * journal_recover() said -EBADMSG and the rest is given up. */
int journal_discard_log(struct journal *j);
/* The error recorded in the journal superblock by an abort, 0 if none. */
int journal_recorded_error(const struct journal *j);
int journal_clear_error(struct journal *j);
/* Ready to hand out handles. */
int journal_start(struct journal *j);

/* Wait until transaction @tid is durable, committing it in this thread if
 * nobody does. Returns at once if it is already. */
int UEXT4_MUST_CHECK journal_commit_wait(struct journal *j, txid_t tid);
/* Commit whatever is running and wait. No-journal: write all dirty bufs and
 * flush. */
int UEXT4_MUST_CHECK journal_sync(struct journal *j);
/* journal_sync(), then write everything home and empty the log. */
int UEXT4_MUST_CHECK journal_flush(struct journal *j);
/* Flush the device: for fsync of data whose metadata needs no commit. */
int UEXT4_MUST_CHECK journal_flush_device(struct journal *j);
/* Is @tid durable already? */
bool journal_is_committed(struct journal *j, txid_t tid);
txid_t journal_running_txid(struct journal *j);
bool journal_has_log(const struct journal *j);
/* Stop for good: nothing more is written. @err is recorded in the journal
 * superblock if @record. Running handles get -EROFS (or -EIO, if @err is
 * -ESHUTDOWN: forced shutdown). */
void journal_abort(struct journal *j, int err, bool record);
int journal_error(const struct journal *j); /* 0, or why it is aborted */
/* Largest number of credits one handle may ask for. */
uint32_t journal_max_credits(const struct journal *j);
/* A test hook called at named points ("commit:before_commit_block", ...). */
void journal_set_gate(struct journal *j, void (*fn)(void *ctx, const char *at),
		void *ctx);

/* Flush (unless aborted), mark the log empty, free. */
int UEXT4_MUST_CHECK journal_close(struct journal *j);
/* Free without touching the device (read-only, or after an abort). */
void journal_free(struct journal *j);

#endif /* UEXT4_JOURNAL_JOURNAL_H */
