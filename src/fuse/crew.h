/* SPDX-License-Identifier: MIT */
/*
 * Who works at a mount's requests: workers that read /dev/fuse (lead.h), or the
 * rings and their helpers (rings.h) and one worker for what does not come
 * through them.
 *
 * States   started: they answer; the last of them to leave writes to @ended:
 *          the connection has ended, or something failed; so does crew_fail().
 *          Stopped: all have
 *          finished what they were at.
 */
#ifndef UEXT4_FUSE_CREW_H
#define UEXT4_FUSE_CREW_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "fuse/lead.h"
#include "fuse/srv.h"

#define CREW_MAX 64u

struct crew_worker {
	struct crew *crew;
	pthread_t thread;
	char *mem; /* of the requests it reads */
	bool huge; /* that is in huge pages */
};

struct crew {
	struct srv *srv;
	bool in_memory;           /* the image: nothing is waited for */
	unsigned threads;         /* workers, or helpers of the rings */
	int ended;                /* eventfd */
	_Atomic unsigned running; /* workers, rings, and who starts them */
	_Atomic int failed;       /* first unexpected errno of one of them */
	struct rings *rings;      /* or NULL */
	struct lead lead;
	struct crew_worker worker[CREW_MAX];
	unsigned nworkers;
};

/* Looks at the image's path, nothing later does. 0 or a negative errno. */
int crew_init(struct crew *c, struct srv *srv);
void crew_fini(struct crew *c);
/* Negotiate with the kernel and start. 0, or a negative errno with a line in
 * @why (SERVE_WHY bytes, empty before): then crew_stop() is still due. */
int crew_start(struct crew *c, char *why);
/* The connection is to end because of @err (negative errno). From any thread. */
void crew_fail(struct crew *c, int err);
/* No request is taken any more. */
void crew_stop(struct crew *c);

#endif /* UEXT4_FUSE_CREW_H */
