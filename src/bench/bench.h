/* SPDX-License-Identifier: MIT */
/*
 * The yardstick: the same jobs on several targets, in one run, alternating.
 *
 *	struct bench_opts opts;
 *	struct bench_report *report;
 *
 *	bench_opts_init(&opts);
 *	ret = bench_run(&opts, &report);
 *	... report->error if ret < 0, else the figures ...
 *	bench_report_free(report);
 *
 * A job is a kind of work with a name (job.h), a target what does it (target.h).
 * What a figure means is told in docs/bench.md.
 */
#ifndef UEXT4_BENCH_BENCH_H
#define UEXT4_BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "uext4/uext4.h"

#define BENCH_JOBS_MAX    16u
#define BENCH_TARGETS_MAX 8u
#define BENCH_SIZE_MIN    (64ull << 20)
#define BENCH_DEPTH_MAX   1024u
#define BENCH_ROUNDS_MAX  101u
#define BENCH_SECONDS_MAX 3600.0

/* Run the engine once for each value of one option. */
enum bench_compare {
	BENCH_COMPARE_NONE,
	BENCH_COMPARE_DIO_ALLOC,
	BENCH_COMPARE_DIO_EXTEND,
	BENCH_COMPARE_BACKEND,
};

/* How files below a mount are read and written at a depth (host.h). */
enum bench_dir_io {
	BENCH_DIR_URING,
	BENCH_DIR_AIO,
};

struct bench_opts {
	const char *dir; /* NULL: one in memory if there is room, else on disk */
	uint64_t size;   /* bytes of an image */
	double seconds;  /* of one round of one job on one target */
	unsigned rounds;  /* of which the median counts */
	unsigned depth;   /* requests in flight of the jobs that take it */
	uint64_t seed;    /* of positions and contents */
	uint32_t jobs;    /* bit of each job by its index */
	uint32_t targets; /* bit of each kind of target by its index */
	enum bench_compare compare;
	enum bench_dir_io dir_io;
	enum uext4_dio_alloc dio_alloc;
	enum uext4_dio_extend dio_extend;
	enum uext4_dio_size dio_size;
	enum uext4_queue_backend backend;
	/* Called before each piece of work, from the caller's thread. */
	void (*progress)(void *ctx, const char *what, unsigned done,
			unsigned total);
	void *ctx;
};

/* The median round of a job on a target. */
struct bench_figures {
	bool measured;
	bool has_bytes; /* mib_s means something */
	double iops, mib_s;
	double p50_us, p99_us;
	double cpu_us; /* of this process and a server, for each request */
};

struct bench_target {
	char name[32]; /* "engine", "engine-serial" ... */
	const char *kind;
	bool skipped;
	char why[300]; /* if skipped */
	char how[120]; /* what it turned out to use: flags, backend ... */
	int fsck;      /* exit status of e2fsck -fn; -1: not run */
};

struct bench_machine {
	unsigned cpus; /* that this process may use */
	char cpu[128], kernel[128];
	char dir[256], fs[32]; /* where the images are, and on what */
};

struct bench_report {
	struct bench_machine machine;
	unsigned ntargets;
	struct bench_target targets[BENCH_TARGETS_MAX];
	struct bench_figures figures[BENCH_JOBS_MAX][BENCH_TARGETS_MAX];
	uint64_t checked; /* blocks and names that were read back and right */
	int signal;       /* that ended the run, or 0 */
	char error[400];  /* one line, if bench_run() failed */
};

/* Names by index, NULL behind the last; the index of a name or -ENOENT. */
const char *bench_job_name(unsigned job);
const char *bench_target_name(unsigned target);
int bench_job_find(const char *name, size_t len);
int bench_target_find(const char *name, size_t len);

/* What is measured when nobody says otherwise. */
void bench_opts_init(struct bench_opts *opts);

/* Measure. *@ret_report is set in any case, NULL only without memory. -EINTR: a
 * signal ended it, everything is cleaned up. Signals SIGHUP, SIGINT and SIGTERM
 * are caught meanwhile. */
int bench_run(const struct bench_opts *opts, struct bench_report **ret_report);
void bench_report_free(struct bench_report *report);

/* Draw the IOPS into @path, which ends in ".png" or ".svg". On failure the reason
 * is in @why. -ENOENT: there is no gnuplot. */
int bench_plot(const struct bench_report *report, const char *path, char *why,
		size_t size);
bool bench_can_plot(void);

#endif /* UEXT4_BENCH_BENCH_H */
