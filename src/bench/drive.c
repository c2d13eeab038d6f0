/* SPDX-License-Identifier: MIT */
/*
 * Rounds, passes, time and figures. See drive.h.
 */
#include "bench/drive.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

#define MIB         ((size_t)1 << 20)
#define SEQ_DEPTH   8u
#define BIG_BS      65536u /* the largest request of a job at any depth */
#define NAMES_MAX   20000u
#define NAME_BYTES  65536u /* of the image; a quarter of its inodes */
/* Set-up is not timed, but a round ends when it has taken so many times its
 * budget with it. */
#define WALL_FACTOR 4u

/* The file that is kept is written like this once. */
static const struct job lay_out = {
	.name = "laying out a file",
	.op = JOB_WRITE,
	.file = JOB_FULL,
	.bs = (uint32_t)MIB,
	.depth = SEQ_DEPTH,
};

/* ---- time ---- */

uint64_t drive_clock(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint64_t timeval_ns(const struct timeval *tv)
{
	return (uint64_t)tv->tv_sec * 1000000000u +
			(uint64_t)tv->tv_usec * 1000u;
}

/* CPU time of this process, of all its threads, and of who serves @t. */
static uint64_t cpu_clock(struct target *t)
{
	struct rusage ru;

	getrusage(RUSAGE_SELF, &ru);
	return timeval_ns(&ru.ru_utime) + timeval_ns(&ru.ru_stime) +
			(t->ops->cpu ? t->ops->cpu(t) : 0);
}

int drive_fail(struct drive *d, int err, const char *what)
{
	return fault_set(d->fault, err, "%s on %s: %s: %s", d->job->name,
			d->where, what, uext4_strerror(err));
}

/* ---- memory ---- */

static uint8_t *map_memory(size_t size)
{
	void *p;

	p = mmap(NULL, size, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	(void)madvise(p, size, MADV_HUGEPAGE);
	return p;
}

static unsigned slots_max(const struct drive *d)
{
	return d->depth > SEQ_DEPTH ? d->depth : SEQ_DEPTH;
}

static int drive_allocate(struct drive *d, uint32_t norder)
{
	unsigned n = slots_max(d);

	d->bufs_size = (size_t)n * BIG_BS;
	if (d->bufs_size < SEQ_DEPTH * MIB)
		d->bufs_size = SEQ_DEPTH * MIB;
	d->bufs = map_memory(d->bufs_size);
	d->check = map_memory((size_t)n * CONTENT_BLOCK);
	d->slots = calloc(n, sizeof(*d->slots));
	d->free_slots = calloc(n, sizeof(*d->free_slots));
	d->order = calloc(norder, sizeof(*d->order));
	d->names = calloc(d->nnames, sizeof(*d->names));
	return d->bufs && d->check && d->slots && d->free_slots && d->order &&
					d->names
			? 0
			: -ENOMEM;
}

int drive_init(struct drive *d, const struct bench_opts *opts,
		uint64_t file_bytes, struct fault *fault,
		const volatile sig_atomic_t *stop)
{
	uint32_t nblk = (uint32_t)(file_bytes / CONTENT_BLOCK);
	uint64_t nnames = opts->size / NAME_BYTES;
	uint32_t i;
	int ret;

	*d = (struct drive){
		.file_bytes = file_bytes,
		.depth = opts->depth,
		.nnames = nnames < NAMES_MAX ? (uint32_t)nnames : NAMES_MAX,
		.seed = opts->seed,
		.rng.state = opts->seed,
		.fault = fault,
		.stop = stop,
	};
	ret = drive_allocate(d, nblk > d->nnames ? nblk : d->nnames);
	if (ret == 0)
		ret = content_init(&d->fresh, nblk);
	if (ret < 0) {
		drive_fini(d);
		return ret;
	}
	content_fill(d->bufs, d->bufs_size);
	for (i = 0; i < d->nnames; i++)
		snprintf(d->names[i], DRIVE_NAME, "f%08u", i);
	return 0;
}

void drive_fini(struct drive *d)
{
	content_fini(&d->fresh);
	if (d->bufs)
		munmap(d->bufs, d->bufs_size);
	if (d->check)
		munmap(d->check, (size_t)slots_max(d) * CONTENT_BLOCK);
	free(d->slots);
	free(d->free_slots);
	free(d->order);
	free(d->names);
}

/* ---- files ---- */

/* Be ready for passes of @job over @content. */
static void use_job(
		struct drive *d, const struct job *job, struct content *content)
{
	d->job = job;
	d->content = content;
	d->bs = job->bs;
	d->slots_used = job->depth ? job->depth : d->depth;
	d->nreq = job_has_names(job) ? d->nmade
				     : (uint32_t)(d->file_bytes / job->bs);
	d->next = 0;
	d->deadline = UINT64_MAX;
}

static uint64_t next_key(struct drive *d)
{
	return d->seed * 0x9e3779b97f4a7c15u + ++d->files;
}

/* Write the whole file that is kept. */
static int kept_write(struct drive *d)
{
	struct target *t = d->target;
	int ret;

	if (!t->full.gen) {
		ret = content_init(&t->full, d->fresh.nblk);
		if (ret < 0)
			return drive_fail(d, ret, "no memory");
	}
	content_reset(&t->full, next_key(d));
	t->full.end = t->full.nblk;
	use_job(d, &lay_out, &t->full);
	d->generation = ++t->generation;
	ret = drive_queue_pass(d);
	if (ret == 0 && d->next < d->file_bytes / d->bs)
		return -EINTR;
	if (ret == 0)
		ret = drive_queue_verify(d);
	t->full_is_written = ret == 0;
	return ret;
}

static int file_set_up(struct drive *d)
{
	const struct target_ops *ops = d->target->ops;
	const struct job *job = d->job;
	bool kept = d->file == JOB_FULL;
	int ret;

	ret = ops->file_open(d->target, kept ? TARGET_KEPT : TARGET_FRESH);
	if (ret < 0)
		return drive_fail(d, ret, "cannot open its file");
	if (kept && !d->target->full_is_written) {
		ret = kept_write(d);
		if (ret < 0)
			return ret;
	}
	if (!kept)
		content_reset(&d->fresh, next_key(d));
	use_job(d, job, kept ? &d->target->full : &d->fresh);
	if (d->file == JOB_HOLE)
		ret = ops->file_resize(d->target, d->file_bytes);
	else if (d->file == JOB_PREALLOC)
		ret = ops->file_allocate(d->target, d->file_bytes);
	if (ret < 0)
		return drive_fail(d, ret, "cannot prepare its file");
	if (d->file != JOB_EMPTY)
		d->content->end = d->content->nblk;
	return 0;
}

static int file_tear_down(struct drive *d)
{
	const struct target_ops *ops = d->target->ops;
	int ret;

	if (d->file == JOB_EMPTY)
		d->content->end = d->next * (d->bs / CONTENT_BLOCK);
	ret = drive_queue_verify(d);
	if (ret < 0)
		return ret;
	ret = ops->file_close(d->target);
	if (ret == 0 && d->file != JOB_FULL)
		ret = ops->file_remove(d->target, TARGET_FRESH);
	return ret < 0 ? drive_fail(d, ret, "cannot remove its file") : 0;
}

/* ---- passes ---- */

/* Can the next pass use what the last one leaves? */
static bool can_repeat(const struct drive *d)
{
	return d->file == JOB_FULL || d->job->op == JOB_STAT;
}

static int set_up(struct drive *d)
{
	const struct target_ops *ops = d->target->ops;
	int ret;

	d->nmade = d->nnames;
	use_job(d, d->job, d->content);
	if (job_has_names(d->job))
		ret = drive_names_set_up(d, d->job->op != JOB_CREATE);
	else
		ret = file_set_up(d);
	if (ret < 0)
		return ret;
	ret = ops->sync(d->target);
	return ret < 0 ? drive_fail(d, ret, "cannot sync") : 0;
}

static int tear_down(struct drive *d)
{
	int ret;

	if (job_has_names(d->job))
		ret = drive_names_tear_down(d);
	else
		ret = file_tear_down(d);
	if (ret < 0)
		return ret;
	ret = d->target->ops->sync(d->target);
	return ret < 0 ? drive_fail(d, ret, "cannot sync") : 0;
}

static int run_pass(struct drive *d)
{
	uint64_t began;
	uint64_t cpu;
	int ret;

	use_job(d, d->job, d->content);
	if (d->job->random)
		rng_shuffle(&d->rng, d->order, d->nreq);
	if (d->file == JOB_FULL)
		d->generation = d->job->op == JOB_READ
				? d->target->generation
				: ++d->target->generation;
	else
		d->generation = 1;
	cpu = cpu_clock(d->target);
	began = drive_clock();
	d->deadline = began + d->budget_ns - d->timed_ns;
	ret = job_is_queued(d->job) ? drive_queue_pass(d) : drive_step_pass(d);
	d->timed_ns += drive_clock() - began;
	d->cpu_ns += cpu_clock(d->target) - cpu;
	return ret;
}

static int run_passes(struct drive *d)
{
	uint64_t end = drive_clock() + WALL_FACTOR * d->budget_ns;
	bool repeat = can_repeat(d);
	int ret = 0;

	if (repeat)
		ret = set_up(d);
	hist_reset(&d->hist);
	d->done = 0;
	do {
		if (ret == 0 && !repeat)
			ret = set_up(d);
		if (ret == 0)
			ret = run_pass(d);
		if (ret == 0 && !repeat)
			ret = tear_down(d);
		if (ret == 0 && *d->stop)
			ret = -EINTR;
	} while (ret == 0 && d->timed_ns < d->budget_ns && drive_clock() < end);
	if (ret == 0 && repeat)
		ret = tear_down(d);
	return ret;
}

int drive_round(struct drive *d, const struct drive_task *task,
		struct bench_figures *ret_figures)
{
	double seconds;
	int ret;

	d->job = task->job;
	d->target = task->target;
	d->where = task->where;
	d->file = task->job->file;
	/* Without a file system there is no growing. */
	if (!task->is_fs && d->file == JOB_EMPTY)
		d->file = JOB_FULL;
	d->content = &d->fresh;
	d->budget_ns = (uint64_t)(task->seconds * 1e9);
	d->timed_ns = 0;
	d->cpu_ns = 0;
	ret = run_passes(d);
	if (ret < 0)
		return ret;
	seconds = (double)d->timed_ns / 1e9;
	*ret_figures = (struct bench_figures){
		.measured = d->done > 0,
		.has_bytes = d->bs > 0,
		.iops = (double)d->done / seconds,
		.mib_s = (double)d->done * d->bs / (double)MIB / seconds,
		.p50_us = hist_percentile(&d->hist, 50) / 1000,
		.p99_us = hist_percentile(&d->hist, 99) / 1000,
		.cpu_us = (double)d->cpu_ns / 1000 / (double)d->done,
	};
	return 0;
}
