/* SPDX-License-Identifier: MIT */
/*
 * Which worker reads the next request, and how it waits for it.
 *
 * A request that comes while all workers sleep has to wake one, on another CPU
 * than the client's; where CPUs are virtual that costs more than most requests
 * do. So one worker reads, the leader. It asks again and again for some
 * microseconds before it sleeps, if it had quick ones. What is done quickly
 * (names, attributes) it does itself and goes on leading; before anything else, and when requests come
 * faster than it does them, it gives the lead to another and stands by when it
 * is done.
 *
 * States   of the lead: taken or free. Of the leader: working, or waiting
 *          (which includes asking).
 *
 * Rules    (W1) While the lead is free a standby is on its way, or there is none.
 *          (W2) What looks quick may wait for a lock or a commit. One standby
 *               looks every LEAD_WATCH_NS; if the leader is still at the same
 *               request it takes the lead away. The old leader finds out when
 *               it is done.
 *          (W3) When request after request comes only when nobody works, there
 *               is one client with one thing at a time: all it asks for counts
 *               as quick.
 *          (W4) Two that read at the same time do no harm, nobody who reads
 *               would: (W2) may therefore look without stopping the leader.
 *          (W5) Who watches sleeps for good when the leader has slept for
 *               LEAD_CALM looks. A leader that wakes up wakes him.
 *
 * Locks    lead.m is a leaf.
 */
#ifndef UEXT4_FUSE_LEAD_H
#define UEXT4_FUSE_LEAD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct lead {
	pthread_mutex_t m;
	pthread_cond_t changed;
	bool taken;               /* [m] */
	bool watched;             /* [m] somebody looks at times */
	bool ended;               /* [m] */
	unsigned standbys;        /* [m] */
	_Atomic unsigned term;    /* changes with the leader */
	_Atomic unsigned turn;    /* changes when the leader gets a request, and
				* when it is done: odd while it works */
	_Atomic bool calm;        /* who watches sleeps for good */
	_Atomic unsigned working; /* workers that have a request */
	_Atomic unsigned alone;   /* requests in a row that were waited for
				   * while none was worked at */
};

/* Of one worker. */
struct lead_me {
	unsigned term;
	bool leads;
	bool works;       /* counts in lead.working */
	bool again;       /* it got a request when it last asked */
	bool quick;       /* that was one to be done quickly */
	unsigned backlog; /* requests that were there at once, in a row */
};

void lead_init(struct lead *l);
void lead_fini(struct lead *l);
/* Stand by until it is this worker's turn to read. At once if it still leads; or
 * if it has just done a request: there may be more, and then nobody need be
 * woken. False: it is over. */
bool lead_take(struct lead *l, struct lead_me *me);
/* Another may read: what this worker does now may take long. */
void lead_give(struct lead *l, struct lead_me *me);
/* Nobody is to read any more. */
void lead_end(struct lead *l);

/* Read a request from @fd, which does not block, into @buf. Returns what
 * read(2) does: -1 with EINTR when a signal came, with EAGAIN when there is none
 * and this is not the leader. */
ssize_t lead_read(struct lead *l, struct lead_me *me, int fd, void *buf,
		size_t len);

#endif /* UEXT4_FUSE_LEAD_H */
