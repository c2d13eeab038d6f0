/* SPDX-License-Identifier: MIT */
/*
 * The table of jobs. See job.h.
 */
#include "bench/job.h"

#include <stddef.h>

#define KIB 1024u
#define MIB (1024u * 1024u)

const struct job bench_jobs[] = {
	{ "overwrite4k", JOB_WRITE, JOB_FULL, 4 * KIB, 0, true, true },
	{ "read4k", JOB_READ, JOB_FULL, 4 * KIB, 0, true, true },
	{ "append4k", JOB_WRITE, JOB_EMPTY, 4 * KIB, 0, false, false },
	{ "append64k", JOB_WRITE, JOB_EMPTY, 64 * KIB, 0, false, false },
	{ "hole4k", JOB_WRITE, JOB_HOLE, 4 * KIB, 0, true, false },
	{ "prealloc4k", JOB_WRITE, JOB_PREALLOC, 4 * KIB, 0, true, false },
	{ "seqwrite1m", JOB_WRITE, JOB_FULL, MIB, 8, false, true },
	{ "seqread1m", JOB_READ, JOB_FULL, MIB, 8, false, true },
	{ "fsync4k", JOB_FSYNC, JOB_EMPTY, 4 * KIB, 1, false, true },
	{ "create", JOB_CREATE, JOB_NAMES, 0, 1, false, false },
	{ "stat", JOB_STAT, JOB_NAMES, 0, 1, true, false },
	{ "unlink", JOB_UNLINK, JOB_NAMES, 0, 1, false, false },
	{ NULL, JOB_READ, JOB_FULL, 0, 0, false, false },
};
