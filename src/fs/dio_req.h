/* SPDX-License-Identifier: MIT */
/*
 * A direct request from its first check to its last word, and what it shares
 * with the others of its file while it is on its way.
 *
 *	dio_write_start()	lock, checks, place, claims, blocks, device
 *				(dio_write.c; dio_read_start() in file_read.c)
 *	    data_done		on whatever thread polls the device
 *	dio_finish()		many at once: convert or enter, raise sizes, drop
 *				pages, claims, out of flight, ended() (dio_end.c)
 *
 * A synchronous call has its request on the stack and waits in between; a queue
 * (queue.c) has an array of them.
 *
 * What requests of one file share (struct inode_dio, made when first needed):
 *
 * claims    Ranges of blocks of the requests that touch a block which is not
 *           "written and wholly inside isize". A block that a request covers in
 *           part is an edge of it; an edge conflicts with every other claim on
 *           that block, for either the padding or the data of one of them would
 *           be lost. Two claims without edges on a block never conflict.
 * pending   Requests that end beyond isize, by position. An append takes its
 *           place behind the last of them.
 * rsvs      Under dio_alloc=datafirst: blocks that are reserved in memory for a
 *           hole, the same for all writers of the hole. They are entered into the
 *           map when the data of one of them is there, and given back when the
 *           last of them is gone and none has entered them.
 *
 * Rules    (DQ1) Everything a request waits for in its start comes before its
 *                claims, but other claims: it waits for those once, all of its
 *                own at a time. So no circle of claims can close.
 *          (DQ2) An entry in claims, pending or rsvs has an owner that holds the
 *                iolock or is in flight. "Exclusive and drained" therefore means
 *                that all three are empty.
 *          (DQ3) Who waits for the end of a request (drain, claim, prefix) does
 *                himself what can be done for it: fs_queues_help().
 *          (DQ4) dio_finish() takes no iolock and waits for no other request.
 *
 * Locks    inode_dio->lock (rank CLAIM; inside a handle, outside map.lock)
 *          guards claims and rsvs; inode->attr_lock guards pending.
 */
#ifndef UEXT4_FS_DIO_REQ_H
#define UEXT4_FS_DIO_REQ_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "base/iter.h"
#include "base/lock.h"
#include "fs/write.h"
#include "iomap/iomap.h"
#include "map/map.h"

struct dio_req;
struct dio_rsv;
struct dio_rsv_tree;
struct inode;
struct uext4_file;
struct uext4_fs;

/* ---- what requests of one file share ---- */

struct dio_claim {
	TAILQ_ENTRY(dio_claim) node;
	uint64_t first, last; /* blocks */
	bool edge_first, edge_last;
	bool held;
};

struct dio_pending {
	TAILQ_ENTRY(dio_pending) node;
	uint64_t pos, end;
	bool listed;
	bool claimed;   /* its request has its claim */
	bool data_done; /* prefix policy: only those before it are missing */
};

/* So much of a reservation is in use by a request. */
struct dio_use {
	SLIST_ENTRY(dio_use) link;
	struct dio_rsv *rsv; /* NULL: free to be used */
	uint32_t lblk, len;
	uint64_t pblk;
};

SLIST_HEAD(dio_uses, dio_use);
TAILQ_HEAD(dio_claims, dio_claim);
TAILQ_HEAD(dio_pendings, dio_pending);

struct inode_dio {
	struct mutex lock;
	struct cond wait;
	struct dio_claims claims;    /* [lock] */
	uint32_t nedges;             /* [lock] claims with edges */
	struct dio_rsv_tree *rsvs;   /* [lock] */
	_Atomic uint32_t nrsvs;      /* how many there are */
	struct dio_pendings pending; /* [inode->attr_lock] by pos */
	uint64_t append_cursor;      /* [same] with pending entries only */
	bool has_finisher;           /* [same] see dio_prefix_first() */
};

/* The file's, made if it is not there. NULL: no memory. */
struct inode_dio *inode_dio_get(struct inode *inode);
void inode_dio_free(struct inode_dio *id);

/* ---- a request ---- */

/* Runs of written blocks of a file that were last found, and map.seq then: a
 * random overwrite of a file in a few pieces need not ask the map, whose lock
 * others share. */
#define DIO_HINT_RUNS 8u
struct dio_hint {
	uint64_t seq;
	unsigned n;    /* so many are there */
	unsigned next; /* to be replaced */
	struct map_run run[DIO_HINT_RUNS];
};

enum dio_outcome {
	DIO_UNDER_WAY, /* data_done() is called, or was */
	DIO_ENDED,     /* result is there; nothing is in flight */
	DIO_BUFFERED,  /* not possible directly: do it through the cache */
};

struct dio_req {
	struct iomap_dio dio;
	/* The caller's, see dio_req_init(). */
	struct uext4_file *file; /* kept open by the caller */
	struct inode *inode;
	struct iov_iter it; /* all of the request; cut by the checks */
	uint64_t pos;       /* effective once it is under way (W18) */
	unsigned rwf;       /* UEXT4_RW_* */
	bool write;
	uint32_t fixed;
	rwsem_slot *slot;                /* NULL: it counts as a reader */
	_Atomic(struct inode *) *flying; /* NULL: it counts in dio_count */
	struct dio_hint *hint;           /* NULL: none */
	/* Called when the request is over: visible, out of flight. The last
	 * thing that touches it. By any thread. NULL: is_over is set. */
	void (*ended)(struct dio_req *r);
	/* The engine's. */
	uint64_t asked; /* position that the caller gave */
	uint64_t len;   /* bytes after the checks */
	bool exclusive; /* mode of the iolock */
	bool shown;     /* shared, and shows in the slot */
	bool placed;    /* pos was chosen for an append */
	bool extends;   /* as the plan saw it (D-8) */
	bool unwritten; /* the same: some of its blocks are */
	struct dio_claim claim;
	struct dio_pending pending;
	struct dio_uses uses;
	struct dio_use use; /* the first of them */
	uint32_t nodes;     /* claimed for its conversion */
	int err;
	ssize_t result;       /* bytes or -errno, once it is over */
	bool need_sync;       /* DSYNC was asked and FUA did not cover it */
	struct dio_req *next; /* in a batch */
	_Atomic bool is_over;
};

/* @it is copied, what it points to stays until the end. */
void dio_req_init(struct dio_req *r, struct uext4_file *file, uint64_t pos,
		const struct iov_iter *it, bool write, unsigned rwf);
/* Go: an outcome, or -errno with nothing in flight and nothing changed but what
 * the checks stamp. The caller holds no lock. */
int dio_write_start(struct dio_req *r) UEXT4_MUST_CHECK;
int dio_read_start(struct dio_req *r) UEXT4_MUST_CHECK;
/* The data of all of these is done: finish them. @reqs is a list by next. */
void dio_finish(struct dio_req *reqs);
/* A request has given up its place and never was under way: finish those that
 * stood behind it alone. */
void dio_prefix_left(struct inode *inode);
/* Wait for one that is under way and finish it; its result. */
ssize_t dio_req_wait(struct dio_req *r);
/* Bytes that it left to the cache (F1-F3); its total is in r->result. No lock
 * is held. */
ssize_t dio_write_rest(struct dio_req *r);

/* Who waits by himself: data_done() that does nothing. */
void dio_no_callback(struct iomap_dio *dio);
/* The iolock, in the mode that @r says, or by its slot. */
int dio_req_lock(struct dio_req *r) UEXT4_MUST_CHECK;
void dio_req_unlock(struct dio_req *r);
/* The run that was found for an earlier request (r->hint) and holds blocks
 * [@at, @end), or NULL. The iolock is held. */
const struct map_run *dio_use_hint(
		const struct dio_req *r, uint64_t at, uint64_t end);
/* @run, found while map.seq was @seq, may serve later requests. */
void dio_note_hint(struct dio_req *r, const struct map_run *run, uint64_t seq);
/* Tell the engine that @run of written blocks holds all of @r. */
void dio_give_hint(struct dio_req *r, const struct map_run *run);
/* Into and out of flight. */
void dio_req_fly(struct dio_req *r);
void dio_req_land(struct dio_req *r);

/* ---- dio_claim.c ---- */

/* Take @r->claim, which is filled in; a request that ends behind isize is pending
 * afterwards, so that appends know. -EAGAIN with NOWAIT. */
int dio_claim_take(struct dio_req *r) UEXT4_MUST_CHECK;
void dio_claim_put(struct dio_req *r);
/* A place behind isize and everything pending, for an append (W12). */
int dio_place_append(struct dio_req *r) UEXT4_MUST_CHECK;
/* The checks have cut it. */
void dio_pending_cut(struct dio_req *r, uint64_t end);
void dio_pending_del(struct dio_req *r);
/* dio_size=prefix: the data of @reqs (by next, all of @inode) is done. Returned
 * are those that can be finished now: all before them have ended. The rest, and
 * what others have parked, come with dio_prefix_more(), if this thread has become
 * the one to finish them (*ret_more); else another thread does. */
struct dio_req *dio_prefix_first(
		struct inode *inode, struct dio_req *reqs, bool *ret_more);
/* The next, after those returned before are finished; NULL: no more. */
struct dio_req *dio_prefix_more(struct inode *inode);

/* ---- dio_rsv.c ---- */

/* Reserve blocks for the holes of the request, or share what others have
 * reserved. -ENOSPC if not even the first could be had; fewer than all is 0.
 * NOWAIT: -EAGAIN if there is a hole. */
int dio_rsv_take(struct dio_req *r) UEXT4_MUST_CHECK;
/* What is reserved at @lblk? False: nothing. */
bool dio_rsv_find(struct inode *inode, lblk_t lblk, struct map_run *ret_run);
/* Mark what the @n requests use as used on disk, in @h, ahead of entering all of
 * it in the same transaction (DR5). Credits: dio_rsv_credits() for each. */
int dio_rsv_mark(struct handle *h, struct inode *inode, struct dio_req **reqs,
		unsigned n) UEXT4_MUST_CHECK;
/* Of the @n blocks at @lblk, in use by requests whose data is there, enter the
 * first (those that are mapped already stay): marked used and mapped, in @h. How
 * many that were: *ret_n, also when it fails. Credits: dio_rsv_credits(). */
int dio_rsv_enter(struct handle *h, struct inode *inode, lblk_t lblk,
		uint32_t n, uint32_t *ret_n) UEXT4_MUST_CHECK;
uint32_t dio_rsv_credits(struct inode *inode);
/* The request is over with them. */
void dio_rsv_put(struct dio_req *r);
void dio_rsv_tree_free(struct dio_rsv_tree *t);

/* ---- dio_nodes.c ---- */

/* The request meets unwritten blocks: see to it that they can be converted when
 * the data is there; *ret_alone is set if it has to keep the iolock until then.
 * -ENOSPC; -EDEADLK: with the iolock held exclusively. */
int dio_nodes_take(struct dio_req *r, bool has_hole,
		bool *ret_alone) UEXT4_MUST_CHECK;
void dio_nodes_put(struct dio_req *r);

/* ---- queue.c: what is in flight by queues ---- */

/* Do what can be done for what is in flight, without sleeping. */
void fs_queues_help(struct uext4_fs *fs);
/* The same; is a request on @inode in flight by a queue? */
bool fs_queues_fly(struct uext4_fs *fs, struct inode *inode);
/* rwsem_shown_fn of inode->rwsem. */
bool fs_queues_shown(struct rwsem *l, bool wait);
/* Unmount: wait for what is in flight; then let go of all queues. */
void fs_queues_settle(struct uext4_fs *fs);
void fs_queues_detach(struct uext4_fs *fs);

#endif /* UEXT4_FS_DIO_REQ_H */
