/* SPDX-License-Identifier: MIT */
/*
 * A queue of asynchronous requests: what queue.c (the queue) and queue_ops.c
 * (what a request does) share.
 *
 * A request goes through these hands:
 *
 *	free -> prepared	prep				[owner]
 *	     -> under way	submit				[owner]
 *	     -> data done	its device is polled		[any thread]
 *	     -> over		dio_finish()			[any thread]
 *	     -> rest, sync	what is left to do for it	[owner]
 *	     -> ready		its event waits			[owner]
 *	     -> free		the event is taken		[owner]
 *
 * What is done at once (buffered I/O, fallocate) goes from prepared to ready.
 *
 * Rules    (Q1) One thread at a time owns a queue; "any thread" is whoever waits
 *               for the end of a request (fs_queues_help()).
 *          (Q2) The last thing that another thread does to a queue is to count
 *               the end of a request, or users: then the owner may free it.
 *          (Q3) References to files are dropped by the owner alone, with no lock
 *               held: the last one may free an inode.
 *          (Q4) A request shows what it holds and where it is in flight in a
 *               slot of its queue, not in the inode: two queues at work on one
 *               file share no cache line that either of them writes.
 *          (Q5) Who polls the eventfd is told of everything that came to its
 *               end since the owner last looked: by the channel, by the owner
 *               on his way out, or by whoever else ended a request while he
 *               was not inside.
 */
#ifndef UEXT4_FS_QUEUE_H
#define UEXT4_FS_QUEUE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/uio.h>

#include "fs/dio_req.h"
#include "uext4/uext4.h"

#define QUEUE_IOVS 4

struct bdev;
struct queue_file;

struct queue_slot {
	rwsem_slot lock;                /* the iolock that it holds shared */
	_Atomic(struct inode *) flying; /* where it is in flight */
};

struct queue_req {
	struct dio_req io;
	struct uext4_queue *q;   /* [const] */
	struct queue_slot *slot; /* [const] */
	struct queue_req *next;  /* of the list that it is in */
	struct queue_file *qf;
	enum uext4_op op;
	unsigned flags;
	struct uext4_file *file;
	uint64_t pos, len;
	uint64_t user_data;
	uint32_t buf_index;
	bool is_direct; /* it went to the engine */
	bool datasync;  /* what it waits for in the sync stage */
	struct iovec *iov;
	int niov;
	struct iovec own_iov[QUEUE_IOVS];
	int64_t result;
};

/* A file with requests of this queue. */
struct queue_file {
	struct uext4_file *file;
	uint64_t id;    /* of the file: an address may be used again */
	uint32_t nreqs; /* the queue holds the file while it is not 0 */
	struct dio_hint hint;
};

struct queue_list {
	struct queue_req *first;
	struct queue_req **tail;
};

struct uext4_queue {
	LIST_ENTRY(uext4_queue) link; /* [fs->queues_lock] */
	uint32_t users;           /* [fs->queues_lock] others at work on it */
	struct uext4_fs *fs;      /* [owner] NULL: unmounted */
	struct bdev *chan;        /* [const] while fs is set */
	const char *backend;      /* [const] */
	uint32_t depth;           /* [const] */
	int efd;                  /* [const] */
	struct queue_req *reqs;   /* [const] depth of them */
	struct queue_slot *slots; /* [const] */
	/* [owner] */
	struct queue_req *free;
	struct queue_list prepared, to_sync, ready;
	struct queue_list over_here; /* ended by the owner */
	struct queue_file *files;
	uint32_t files_mask;
	uint32_t nbufs;
	struct iovec *bufs;
	unsigned nused; /* all that are not free */
	/* any thread */
	_Atomic(struct queue_req *) done; /* data done; latest first */
	_Atomic(struct queue_req *) over; /* the same of what is over */
	/* Requests from start to over: started - ended - ended_here. The first and
	 * the last are counted by the owner alone; others may look. */
	_Atomic uint32_t started, ended, ended_here;
	_Atomic(pthread_t) owner; /* the thread that is inside, or 0 */
	_Atomic bool sleeping;    /* the owner, in bdev_poll() */
	_Atomic bool is_watched;  /* the owner knows the eventfd */
	_Atomic bool at_work; /* it is inside, and looks at over when it goes;
				 set only if is_watched */
};

/* So many are in flight; exact for the owner. */
static inline uint32_t queue_nflight(const struct uext4_queue *q)
{
	return atomic_load_explicit(&q->started, memory_order_relaxed) -
			atomic_load_explicit(
					&q->ended_here, memory_order_relaxed) -
			atomic_load_explicit(&q->ended, memory_order_acquire);
}

/* One more in a counter that this thread alone changes. */
static inline void queue_count(_Atomic uint32_t *n)
{
	atomic_store_explicit(n,
			atomic_load_explicit(n, memory_order_relaxed) + 1,
			memory_order_relaxed);
}

static inline void queue_list_init(struct queue_list *l)
{
	l->first = NULL;
	l->tail = &l->first;
}

static inline void queue_list_add(struct queue_list *l, struct queue_req *req)
{
	req->next = NULL;
	*l->tail = req;
	l->tail = &req->next;
}

static inline struct queue_req *queue_list_pop(struct queue_list *l)
{
	struct queue_req *req = l->first;

	if (req == NULL)
		return NULL;
	l->first = req->next;
	if (l->first == NULL)
		l->tail = &l->first;
	return req;
}

/* ---- queue_ops.c ---- */

/* Start @req; it is on some list, or under way, afterwards. */
void queue_start(struct uext4_queue *q, struct queue_req *req);
/* @req is over: the rest through the cache, then on to sync or ready. */
void queue_req_over(struct uext4_queue *q, struct queue_req *req);
/* Make durable what is in to_sync, with one commit; then it is ready. */
void queue_sync(struct uext4_queue *q);

/* ---- queue.c ---- */

/* iomap_dio.data_done and dio_req.ended of requests of a queue. */
void queue_data_done(struct iomap_dio *dio);
void queue_ended(struct dio_req *r);

#endif /* UEXT4_FS_QUEUE_H */
