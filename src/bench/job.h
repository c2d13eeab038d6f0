/* SPDX-License-Identifier: MIT */
/*
 * The jobs: what is done, to what kind of file, in which order.
 */
#ifndef UEXT4_BENCH_JOB_H
#define UEXT4_BENCH_JOB_H

#include <stdbool.h>
#include <stdint.h>

enum job_op {
	JOB_READ,   /* through the queue */
	JOB_WRITE,  /* through the queue */
	JOB_FSYNC,  /* one write and a sync behind it, one after the other */
	JOB_CREATE, /* names, one after the other */
	JOB_STAT,
	JOB_UNLINK,
};

enum job_file {
	JOB_FULL,     /* kept from job to job, every block written */
	JOB_EMPTY,    /* a new one for each pass, which grows */
	JOB_HOLE,     /* a new one, its whole length a hole */
	JOB_PREALLOC, /* a new one, allocated and never written */
	JOB_NAMES,    /* a directory */
};

struct job {
	const char *name;
	enum job_op op;
	enum job_file file;
	uint32_t bs;    /* bytes of a request */
	unsigned depth; /* requests in flight; 0: as the options say */
	bool random;    /* each block once, in random order */
	bool raw;       /* means something without a file system */
};

/* Ends with a job that has no name. */
extern const struct job bench_jobs[];

/* Is it done by requests to the queue? */
static inline bool job_is_queued(const struct job *job)
{
	return job->op == JOB_READ || job->op == JOB_WRITE;
}

static inline bool job_has_names(const struct job *job)
{
	return job->file == JOB_NAMES;
}

#endif /* UEXT4_BENCH_JOB_H */
