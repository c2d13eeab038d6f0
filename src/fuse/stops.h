/* SPDX-License-Identifier: MIT */
/*
 * Copies that a signal ends. Nothing else does end so (rings.h, R5), and libfuse
 * would keep every INTERRUPT of a request that it does not know: it gets none.
 *
 * Locks    stops.m is a leaf.
 */
#ifndef UEXT4_FUSE_STOPS_H
#define UEXT4_FUSE_STOPS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* More copies at a time cannot be ended. */
#define STOPS_MAX   64
/* So many INTERRUPTs of requests that have not begun are kept. */
#define STOPS_EARLY 16

struct stops {
	pthread_mutex_t m;
	struct {
		uint64_t unique; /* 0: free */
		bool asked;
	} copy[STOPS_MAX];           /* [m] */
	uint64_t early[STOPS_EARLY]; /* [m] */
	unsigned next_early;         /* [m] */
};

void stops_init(struct stops *s);
void stops_fini(struct stops *s);
/* The request @unique begins. Its place, for the next two; -1 if there is none. */
int stops_begin(struct stops *s, uint64_t unique);
/* Is it to end? */
bool stops_asked(struct stops *s, int place);
void stops_end(struct stops *s, int place);
/* An INTERRUPT of the request @unique has come. */
void stops_ask(struct stops *s, uint64_t unique);

#endif /* UEXT4_FUSE_STOPS_H */
