/* SPDX-License-Identifier: MIT */
/*
 * The driver: one round of a job on a target, the same code for every target.
 *
 * A round is passes over a file (or over the names of a directory) until its
 * time is over. A pass touches each block (or name) once at most and ends with
 * nothing in flight; what is set up before it and looked at behind it is not
 * timed.
 *
 *	drive.c        rounds, passes, time and figures
 *	drive_queue.c  requests through the queue, and reading a sample back
 *	drive_step.c   what is done one after the other: fsync, names
 *
 * Time     The clock is read once for each batch of events: a request lasts from
 *          the read before its prep to the read after its event was taken.
 *          Steps read it once each.
 */
#ifndef UEXT4_BENCH_DRIVE_H
#define UEXT4_BENCH_DRIVE_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/bench.h"
#include "bench/content.h"
#include "bench/fault.h"
#include "bench/hist.h"
#include "bench/job.h"
#include "bench/target.h"

#define DRIVE_NAME 12 /* bytes of a name, with its end */

struct drive_slot {
	uint64_t began; /* ns */
	uint32_t req;   /* which request of the pass it is */
};

struct drive {
	/* for the whole run */
	uint64_t file_bytes;
	unsigned depth; /* of the options */
	uint8_t *bufs;  /* one for each slot, each of job->bs bytes */
	size_t bufs_size;
	uint8_t *check; /* one block for each slot */
	struct drive_slot *slots;
	uint32_t *free_slots;
	uint32_t *order;
	char (*names)[DRIVE_NAME];
	uint32_t nnames; /* that there are at most */
	struct content fresh;
	uint64_t files; /* made so far, for keys */
	uint64_t seed;
	struct rng rng;
	uint64_t checked; /* what was read back and found right */
	struct fault *fault;
	const volatile sig_atomic_t *stop; /* set by a signal */

	/* for a round */
	const struct job *job;
	struct target *target;
	const char *where; /* name of the target */
	enum job_file file;
	struct content *content;
	uint32_t bs;
	unsigned slots_used; /* requests in flight at most */
	struct hist hist;
	uint64_t budget_ns, timed_ns, cpu_ns;
	uint64_t done; /* requests */

	/* for a pass */
	uint32_t nmade; /* names that it has */
	uint32_t generation;
	uint32_t nreq; /* requests that it has */
	uint32_t next; /* the next to begin */
	uint32_t nfree;
	uint64_t deadline; /* ns; none begins after it */
};

/* What drive_round() is asked to do. */
struct drive_task {
	const struct job *job;
	struct target *target;
	const char *where;
	bool is_fs;
	double seconds;
};

/* -ENOMEM. @fault and @stop live as long as @d. */
int drive_init(struct drive *d, const struct bench_opts *opts,
		uint64_t file_bytes, struct fault *fault,
		const volatile sig_atomic_t *stop);
void drive_fini(struct drive *d);

/* -EINTR when a signal came. Any failure is said in d->fault. */
int drive_round(struct drive *d, const struct drive_task *task,
		struct bench_figures *ret_figures);

/* ---- between the files of the driver ---- */

uint64_t drive_clock(void);
/* "job on target: what: error"; returns @err. */
int drive_fail(struct drive *d, int err, const char *what);

/* Requests d->next .. d->nreq - 1, until the deadline; drained on return. */
int drive_queue_pass(struct drive *d);
/* Read a random sample of the open file back and compare. */
int drive_queue_verify(struct drive *d);

int drive_step_pass(struct drive *d);
/* Make the directory, and (@all) names in it: as many as can be made in twice the
 * time of a round. */
int drive_names_set_up(struct drive *d, bool all);
/* Look whether a sample of names is there, or gone, and remove all. */
int drive_names_tear_down(struct drive *d);

#endif /* UEXT4_BENCH_DRIVE_H */
