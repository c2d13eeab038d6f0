/* SPDX-License-Identifier: MIT */
/*
 * A run: set targets up, let them take turns, keep the median, undo it all.
 *
 * The order is job > round > target: what disturbs the machine for a while
 * disturbs all targets, not one of them.
 */
#include "bench/bench.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/drive.h"
#include "bench/fault.h"
#include "bench/image.h"
#include "bench/job.h"
#include "bench/mounts.h"
#include "bench/scratch.h"
#include "bench/target.h"

#define MIB       (1ull << 20)
#define FILE_PART 8u              /* of an image */
#define FILE_MAX  (1024ull * MIB) /* and not more than that */

/* One target of this run. */
struct lane {
	const struct target_kind *kind;
	struct target *target; /* NULL: skipped */
	struct target_setup setup;
	struct bench_target *info; /* in the report */
	char image[400];
	uint64_t bytes; /* of it; 0: none */
};

struct run {
	const struct bench_opts *opts;
	struct bench_report *report;
	struct fault fault;
	struct drive drive;
	char dir[300];
	unsigned nlanes;
	struct lane lanes[BENCH_TARGETS_MAX];
	unsigned done, total;         /* pieces of work, for the progress */
	struct bench_figures *rounds; /* of one job: [lane][round] */
};

/* ---- signals ---- */

/* The one variable of the program that a handler writes. */
static volatile sig_atomic_t bench_signal;

static const int caught[] = { SIGHUP, SIGINT, SIGTERM };
#define NCAUGHT (sizeof(caught) / sizeof(caught[0]))

static void on_signal(int sig)
{
	bench_signal = sig;
}

static void signals_catch(struct sigaction *ret_old)
{
	struct sigaction act = { .sa_handler = on_signal };
	size_t i;

	bench_signal = 0;
	sigemptyset(&act.sa_mask);
	for (i = 0; i < NCAUGHT; i++) {
		(void)sigaction(caught[i], NULL, &ret_old[i]);
		/* what nohup or a shell has turned off stays so */
		if (ret_old[i].sa_handler != SIG_IGN)
			(void)sigaction(caught[i], &act, NULL);
	}
}

static void signals_restore(const struct sigaction *old)
{
	size_t i;

	for (i = 0; i < NCAUGHT; i++)
		(void)sigaction(caught[i], &old[i], NULL);
}

/* ---- names ---- */

const char *bench_job_name(unsigned job)
{
	return bench_jobs[job].name;
}

const char *bench_target_name(unsigned target)
{
	return bench_kinds[target] ? bench_kinds[target]->name : NULL;
}

static int find_name(
		const char *(*name_of)(unsigned), const char *name, size_t len)
{
	const char *known;
	int i;

	for (i = 0; (known = name_of((unsigned)i)) != NULL; i++) {
		if (strlen(known) == len && strncmp(known, name, len) == 0)
			return i;
	}
	return -ENOENT;
}

int bench_job_find(const char *name, size_t len)
{
	return find_name(bench_job_name, name, len);
}

int bench_target_find(const char *name, size_t len)
{
	return find_name(bench_target_name, name, len);
}

void bench_opts_init(struct bench_opts *opts)
{
	unsigned i;

	*opts = (struct bench_opts){
		.size = 2048 * MIB,
		.seconds = 1.0,
		.rounds = 3,
		.depth = 32,
		.seed = 1,
		.jobs = UINT32_MAX,
		.dir_io = BENCH_DIR_AIO,
	};
	for (i = 0; bench_kinds[i]; i++) {
		if (!bench_kinds[i]->is_extra)
			opts->targets |= 1u << i;
	}
}

/* ---- lanes ---- */

/* The values that an option is compared at. */
struct variant {
	const char *name;
	int value;
};

static const struct variant by_alloc[] = {
	{ "unwritten", UEXT4_DIO_ALLOC_UNWRITTEN },
	{ "datafirst", UEXT4_DIO_ALLOC_DATAFIRST },
	{ NULL, 0 },
};
static const struct variant by_extend[] = {
	{ "parallel", UEXT4_DIO_EXTEND_PARALLEL },
	{ "serial", UEXT4_DIO_EXTEND_SERIAL },
	{ NULL, 0 },
};
static const struct variant by_backend[] = {
	{ "uring", UEXT4_QUEUE_URING },
	{ "pool", UEXT4_QUEUE_POOL },
	{ "inline", UEXT4_QUEUE_INLINE },
	{ NULL, 0 },
};

static void variant_apply(enum bench_compare compare, const struct variant *v,
		struct target_setup *s)
{
	if (compare == BENCH_COMPARE_DIO_ALLOC)
		s->dio_alloc = (enum uext4_dio_alloc)v->value;
	else if (compare == BENCH_COMPARE_DIO_EXTEND)
		s->dio_extend = (enum uext4_dio_extend)v->value;
	else if (compare == BENCH_COMPARE_BACKEND)
		s->backend = (enum uext4_queue_backend)v->value;
}

static void lane_add(struct run *r, const struct target_kind *kind,
		const struct variant *v)
{
	const struct bench_opts *o = r->opts;
	struct lane *lane = &r->lanes[r->nlanes];
	struct bench_target *info = &r->report->targets[r->nlanes];

	r->nlanes++;
	snprintf(info->name, sizeof(info->name), "%s%s%s", kind->name,
			v ? "-" : "", v ? v->name : "");
	info->kind = kind->name;
	info->fsck = -1;
	lane->kind = kind;
	lane->info = info;
	lane->setup = (struct target_setup){
		.dir = r->dir,
		.name = info->name,
		.depth = o->depth < 8 ? 8 : o->depth,
		.image = lane->image,
		.dir_io = o->dir_io,
		.stop = &bench_signal,
		.dio_alloc = o->dio_alloc,
		.dio_extend = o->dio_extend,
		.dio_size = o->dio_size,
		.backend = o->backend,
		.fault = &r->fault,
		.how = info->how,
		.how_size = sizeof(info->how),
	};
	if (v)
		variant_apply(o->compare, v, &lane->setup);
}

static void lane_skip(struct lane *lane, const char *why)
{
	lane->info->skipped = true;
	snprintf(lane->info->why, sizeof(lane->info->why), "%.299s", why);
}

/* Skipped lanes get no image. */
static bool lane_is_here(struct run *r, struct lane *lane)
{
	if (lane->kind->needs_root && geteuid() != 0) {
		lane_skip(lane, "mounting needs root");
	} else if (lane->kind->is_here && lane->kind->is_here(&r->fault) != 0) {
		lane_skip(lane, r->fault.text);
		r->fault.text[0] = '\0';
	}
	return !lane->info->skipped;
}

static void lanes_choose(struct run *r, uint64_t file_bytes)
{
	static const struct variant *const compared[] = {
		[BENCH_COMPARE_NONE] = NULL,
		[BENCH_COMPARE_DIO_ALLOC] = by_alloc,
		[BENCH_COMPARE_DIO_EXTEND] = by_extend,
		[BENCH_COMPARE_BACKEND] = by_backend,
	};
	const struct variant *values = compared[r->opts->compare];
	const struct variant *v;
	unsigned i;

	for (i = 0; bench_kinds[i]; i++) {
		if (!(r->opts->targets & 1u << i))
			continue;
		if (!bench_kinds[i]->is_ours || !values) {
			lane_add(r, bench_kinds[i], NULL);
			continue;
		}
		for (v = values; v->name; v++)
			lane_add(r, bench_kinds[i], v);
	}
	r->report->ntargets = r->nlanes;
	for (i = 0; i < r->nlanes; i++) {
		if (!lane_is_here(r, &r->lanes[i]))
			continue;
		if (r->lanes[i].kind->is_fs)
			r->lanes[i].bytes = r->opts->size & ~(MIB - 1);
		else
			r->lanes[i].bytes = file_bytes;
	}
}

/* Room for the files of all lanes, with some to spare. */
static uint64_t lanes_bytes(const struct run *r)
{
	uint64_t need = 16 * MIB;
	unsigned i;

	for (i = 0; i < r->nlanes; i++)
		need += r->lanes[i].bytes;
	return need;
}

static void tell(struct run *r, const char *what)
{
	if (r->opts->progress)
		r->opts->progress(r->opts->ctx, what, r->done, r->total);
}

static int lane_open(struct run *r, struct lane *lane)
{
	char what[80];
	int ret;

	snprintf(what, sizeof(what), "setting up %s", lane->info->name);
	tell(r, what);
	ret = lane->kind->open(&lane->setup, &lane->target);
	if (ret == TARGET_SKIP) {
		lane_skip(lane, r->fault.text);
		r->fault.text[0] = '\0';
		ret = 0;
	}
	if (ret < 0)
		(void)fault_set(&r->fault, 0, "%s: %s", lane->info->name,
				uext4_strerror(ret));
	return ret;
}

/* Give all lanes their images. */
static int lanes_lay_out(struct run *r)
{
	struct image images[BENCH_TARGETS_MAX];
	struct lane *lane;
	unsigned n = 0;
	unsigned i;

	tell(r, "laying out images");
	for (i = 0; i < r->nlanes; i++) {
		lane = &r->lanes[i];
		snprintf(lane->image, sizeof(lane->image), "%s/%s.img", r->dir,
				lane->info->name);
		if (lane->bytes > 0)
			images[n++] = (struct image){ lane->image,
				lane->bytes };
	}
	return image_lay_out(
			images, n, r->opts->seed, &bench_signal, &r->fault);
}

static bool has_mounts(const struct run *r)
{
	unsigned i;

	for (i = 0; i < r->nlanes; i++) {
		if (r->lanes[i].kind->is_mount && !r->lanes[i].info->skipped)
			return true;
	}
	return false;
}

static int lanes_open(struct run *r)
{
	bool direct = scratch_is_direct(r->dir);
	unsigned skipped = 0;
	unsigned i;
	int ret;

	ret = lanes_lay_out(r);
	if (ret < 0)
		return ret;
	if (has_mounts(r))
		mounts_alone();
	for (i = 0; i < r->nlanes; i++) {
		r->lanes[i].setup.direct = direct;
		if (!r->lanes[i].info->skipped)
			ret = lane_open(r, &r->lanes[i]);
		if (ret == 0 && bench_signal != 0)
			ret = -EINTR;
		if (ret < 0)
			return ret;
		skipped += r->lanes[i].info->skipped;
	}
	if (skipped < r->nlanes)
		return 0;
	return fault_set(&r->fault, -ENODEV, "no target is left: %s: %s",
			r->lanes[0].info->name, r->lanes[0].info->why);
}

/* The first error of all is kept. */
static int lanes_close(struct run *r)
{
	struct lane *lane;
	int ret = 0;
	unsigned i;
	int err;

	for (i = 0; i < r->nlanes; i++) {
		lane = &r->lanes[i];
		err = 0;
		if (lane->target) {
			content_fini(&lane->target->full);
			err = lane->target->ops->close(lane->target, &r->fault,
					&lane->info->fsck);
		}
		(void)unlink(lane->image);
		if (err < 0 && ret == 0)
			ret = fault_set(&r->fault, err, "%s: %s",
					lane->info->name, uext4_strerror(err));
	}
	return ret;
}

/* ---- jobs ---- */

static bool lane_takes(const struct lane *lane, const struct job *job)
{
	return lane->target && (lane->kind->is_fs || job->raw);
}

static int by_iops(const void *a, const void *b)
{
	const struct bench_figures *fa = a;
	const struct bench_figures *fb = b;

	return (fa->iops > fb->iops) - (fa->iops < fb->iops);
}

static struct bench_figures lane_median(struct run *r, unsigned lane)
{
	unsigned rounds = r->opts->rounds;
	struct bench_figures *f = r->rounds + (size_t)lane * rounds;

	qsort(f, rounds, sizeof(*f), by_iops);
	return f[(rounds - 1) / 2];
}

static int run_job(struct run *r, unsigned number)
{
	const struct job *job = &bench_jobs[number];
	unsigned rounds = r->opts->rounds;
	struct drive_task task = { .job = job, .seconds = r->opts->seconds };
	struct lane *lane;
	char what[80];
	unsigned i;
	unsigned n;
	int ret;

	for (n = 0; n < rounds * r->nlanes; n++) {
		lane = &r->lanes[n % r->nlanes];
		if (!lane_takes(lane, job))
			continue;
		snprintf(what, sizeof(what), "%s on %s", job->name,
				lane->info->name);
		tell(r, what);
		task.target = lane->target;
		task.where = lane->info->name;
		task.is_fs = lane->kind->is_fs;
		i = n % r->nlanes * rounds + n / r->nlanes;
		ret = drive_round(&r->drive, &task, &r->rounds[i]);
		if (ret < 0)
			return ret;
		r->done++;
	}
	for (i = 0; i < r->nlanes; i++) {
		if (lane_takes(&r->lanes[i], job))
			r->report->figures[number][i] = lane_median(r, i);
	}
	return 0;
}

static bool job_wanted(const struct run *r, unsigned job)
{
	return r->opts->jobs & 1u << job;
}

static int run_jobs(struct run *r)
{
	unsigned i;
	unsigned j;
	int ret = 0;

	for (j = 0; bench_jobs[j].name; j++) {
		for (i = 0; i < r->nlanes && job_wanted(r, j); i++) {
			if (lane_takes(&r->lanes[i], &bench_jobs[j]))
				r->total += r->opts->rounds;
		}
	}
	r->rounds = calloc((size_t)r->opts->rounds * BENCH_TARGETS_MAX,
			sizeof(*r->rounds));
	if (!r->rounds)
		return -ENOMEM;
	for (j = 0; bench_jobs[j].name && ret == 0; j++) {
		if (job_wanted(r, j))
			ret = run_job(r, j);
	}
	r->report->checked = r->drive.checked;
	free(r->rounds);
	return ret;
}

/* ---- the run ---- */

static int run_all(struct run *r)
{
	uint64_t file_bytes = r->opts->size / FILE_PART & ~(MIB - 1);
	int ret;
	int err;

	if (file_bytes > FILE_MAX)
		file_bytes = FILE_MAX;
	lanes_choose(r, file_bytes);
	ret = scratch_make(r->opts->dir, lanes_bytes(r), &r->fault, r->dir,
			sizeof(r->dir));
	if (ret < 0)
		return ret;
	scratch_describe(r->dir, &r->report->machine);
	ret = drive_init(&r->drive, r->opts, file_bytes, &r->fault,
			&bench_signal);
	if (ret < 0)
		goto out_dir;
	ret = lanes_open(r);
	if (ret == 0)
		ret = run_jobs(r);
	tell(r, "cleaning up");
	err = lanes_close(r);
	if (ret == 0)
		ret = err;
	drive_fini(&r->drive);
out_dir:
	if (rmdir(r->dir) < 0 && ret == 0)
		ret = fault_set(&r->fault, -errno, "%s: cannot be removed: %s",
				r->dir, uext4_strerror(-errno));
	return ret;
}

int bench_run(const struct bench_opts *opts, struct bench_report **ret_report)
{
	struct bench_report *report = calloc(1, sizeof(*report));
	struct run *r = calloc(1, sizeof(*r));
	struct sigaction old[NCAUGHT];
	int ret;

	*ret_report = report;
	if (!report || !r) {
		free(r);
		return -ENOMEM;
	}
	r->opts = opts;
	r->report = report;
	signals_catch(old);
	ret = run_all(r);
	if (ret < 0 && bench_signal != 0)
		ret = -EINTR;
	report->signal = bench_signal;
	signals_restore(old);
	if (ret < 0)
		snprintf(report->error, sizeof(report->error), "%s",
				r->fault.text[0] != '\0' ? r->fault.text
							 : uext4_strerror(ret));
	free(r);
	return ret;
}

void bench_report_free(struct bench_report *report)
{
	free(report);
}
