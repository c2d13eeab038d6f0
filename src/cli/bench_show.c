/* SPDX-License-Identifier: MIT */
/*
 * The yardstick's table and JSON. See bench_show.h.
 */
#include "cli/bench_show.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/show.h"

#define MIB (1u << 20)

const char *const bench_alloc_names[] = { "default", "unwritten", "datafirst",
	NULL };
const char *const bench_extend_names[] = { "default", "parallel", "serial",
	NULL };
const char *const bench_size_names[] = { "default", "max", "prefix", NULL };
const char *const bench_backend_names[] = { "auto", "uring", "pool", "inline",
	NULL };
const char *const bench_dir_io_names[] = { "uring", "aio", NULL };
const char *const bench_compare_names[] = { "none", "dio-alloc", "dio-extend",
	"backend", NULL };

static bool job_is_shown(const struct bench_opts *opts, unsigned job)
{
	return opts->jobs & 1u << job;
}

/* What a target is divided by, if that was measured in the same run. */
static const char *const bases[] = { "raw", "kernel", "fuse2fs" };
#define NBASES (sizeof(bases) / sizeof(bases[0]))

static bool is_ours(const struct bench_target *t)
{
	return strcmp(t->kind, "engine") == 0 || strcmp(t->kind, "mount") == 0;
}

/* The first target of a kind that was measured on @job; NULL if none was. */
static const struct bench_figures *figures_of(
		const struct bench_report *r, unsigned job, const char *kind)
{
	unsigned i;

	for (i = 0; i < r->ntargets; i++) {
		if (strcmp(r->targets[i].kind, kind) == 0 &&
				r->figures[job][i].measured)
			return &r->figures[job][i];
	}
	return NULL;
}

/* ---- the table ---- */

/* 1234567 as "1,234,567". */
static void put_number(int width, double n)
{
	char digits[32];
	char text[48];
	size_t out = 0;
	size_t len;
	size_t i;

	snprintf(digits, sizeof(digits), "%.0f", n);
	len = strlen(digits);
	for (i = 0; i < len; i++) {
		if (i > 0 && (len - i) % 3 == 0)
			text[out++] = ',';
		text[out++] = digits[i];
	}
	text[out] = '\0';
	printf(" %*s", width, text);
}

/* Is a column for it worth its place? */
static bool base_is_shown(const struct bench_report *r, const char *base)
{
	unsigned i;

	for (i = 0; i < r->ntargets; i++) {
		if (strcmp(r->targets[i].kind, base) == 0)
			return true;
	}
	return strcmp(base, "fuse2fs") != 0;
}

static void put_ratios(const struct bench_report *r, unsigned job,
		const struct bench_figures *f)
{
	const struct bench_figures *base;
	size_t i;

	for (i = 0; i < NBASES; i++) {
		base = figures_of(r, job, bases[i]);
		if (!base_is_shown(r, bases[i]))
			continue;
		if (base && base->iops > 0)
			printf(" %8.2f", f->iops / base->iops);
		else
			printf(" %8s", "-");
	}
}

static void put_row(const struct bench_report *r, unsigned job, unsigned target)
{
	const struct bench_figures *f = &r->figures[job][target];
	const struct bench_target *t = &r->targets[target];

	printf("%-12s %-16s", bench_job_name(job), t->name);
	if (!f->measured) {
		printf(" %11s %9s %9s %9s %8s\n", "-", "-", "-", "-", "-");
		return;
	}
	put_number(11, f->iops);
	if (f->has_bytes)
		put_number(9, f->mib_s);
	else
		printf(" %9s", "-");
	printf(" %9.1f %9.1f %8.2f", f->p50_us, f->p99_us, f->cpu_us);
	if (is_ours(t))
		put_ratios(r, job, f);
	putchar('\n');
}

static void put_head(
		const struct bench_opts *opts, const struct bench_report *r)
{
	const struct bench_machine *m = &r->machine;
	unsigned i;

	printf("machine  %u x %s, kernel %s, images in ", m->cpus, m->cpu,
			m->kernel);
	show_name(stdout, m->dir, strlen(m->dir));
	printf(" (%s)\n", m->fs);
	printf("options  %u rounds of %g s, the median by IOPS; depth %u; "
	       "image "
	       "%" PRIu64 " MiB; dio-alloc %s, dio-extend %s, dio-size %s; "
	       "seed %" PRIu64 "\n",
			opts->rounds, opts->seconds, opts->depth,
			opts->size / MIB, bench_alloc_names[opts->dio_alloc],
			bench_extend_names[opts->dio_extend],
			bench_size_names[opts->dio_size], opts->seed);
	for (i = 0; i < r->ntargets; i++) {
		if (r->targets[i].skipped)
			continue;
		printf("%-8s %s\n", r->targets[i].name, r->targets[i].how);
	}
	for (i = 0; i < r->ntargets; i++) {
		if (!r->targets[i].skipped)
			continue;
		printf("skipped  %s: ", r->targets[i].name);
		show_message(stdout, r->targets[i].why);
		putchar('\n');
	}
}

static void put_tail(const struct bench_report *r)
{
	unsigned i;

	printf("checked  %" PRIu64 " blocks and names read back, all right",
			r->checked);
	for (i = 0; i < r->ntargets; i++) {
		if (r->targets[i].fsck == 0)
			printf("; e2fsck: %s is clean", r->targets[i].name);
	}
	putchar('\n');
}

void bench_show_table(
		const struct bench_opts *opts, const struct bench_report *r)
{
	unsigned i;
	unsigned j;

	put_head(opts, r);
	printf("\n%-12s %-16s %11s %9s %9s %9s %8s", "job", "target", "IOPS",
			"MiB/s", "p50 us", "p99 us", "CPU us");
	for (i = 0; i < NBASES; i++) {
		if (base_is_shown(r, bases[i]))
			printf(" %*s%s", 7 - (int)strlen(bases[i]), "/",
					bases[i]);
	}
	putchar('\n');
	for (j = 0; bench_job_name(j); j++) {
		for (i = 0; i < r->ntargets && job_is_shown(opts, j); i++) {
			if (!r->targets[i].skipped)
				put_row(r, j, i);
		}
	}
	putchar('\n');
	put_tail(r);
}

/* ---- JSON ---- */

static json_t *machine_json(const struct bench_machine *m)
{
	json_t *o = json_object();

	json_set_int(o, "cpus", m->cpus);
	json_set_text(o, "cpu", m->cpu, strlen(m->cpu));
	json_set_text(o, "kernel", m->kernel, strlen(m->kernel));
	json_set_text(o, "dir", m->dir, strlen(m->dir));
	json_set_str(o, "fs", m->fs);
	return o;
}

static json_t *options_json(const struct bench_opts *opts)
{
	json_t *o = json_object();

	json_set_int(o, "size", opts->size);
	(void)json_object_set_new(o, "seconds", json_real(opts->seconds));
	json_set_int(o, "rounds", opts->rounds);
	json_set_int(o, "depth", opts->depth);
	json_set_int(o, "seed", opts->seed);
	json_set_str(o, "dio_alloc", bench_alloc_names[opts->dio_alloc]);
	json_set_str(o, "dio_extend", bench_extend_names[opts->dio_extend]);
	json_set_str(o, "dio_size", bench_size_names[opts->dio_size]);
	json_set_str(o, "backend", bench_backend_names[opts->backend]);
	json_set_str(o, "dir_io", bench_dir_io_names[opts->dir_io]);
	json_set_str(o, "compare", bench_compare_names[opts->compare]);
	return o;
}

/* A figure, null where there is none. */
static void set_real(json_t *o, const char *key, bool has, double n)
{
	(void)json_object_set_new(o, key, has ? json_real(n) : json_null());
}

/* {raw, kernel, fuse2fs}: its IOPS divided by theirs; null of the others. */
static json_t *ratios_json(
		const struct bench_report *r, unsigned job, unsigned target)
{
	const struct bench_figures *f = &r->figures[job][target];
	const struct bench_figures *base;
	json_t *o;
	size_t i;

	if (!is_ours(&r->targets[target]))
		return json_null();
	o = json_object();
	for (i = 0; i < NBASES; i++) {
		base = figures_of(r, job, bases[i]);
		set_real(o, bases[i], f->measured && base && base->iops > 0,
				base ? f->iops / base->iops : 0);
	}
	return o;
}

static json_t *row_json(
		const struct bench_report *r, unsigned job, unsigned target)
{
	const struct bench_figures *f = &r->figures[job][target];
	json_t *o = json_object();

	json_set_str(o, "job", bench_job_name(job));
	json_set_str(o, "target", r->targets[target].name);
	set_real(o, "iops", f->measured, f->iops);
	set_real(o, "mib_s", f->measured && f->has_bytes, f->mib_s);
	set_real(o, "p50_us", f->measured, f->p50_us);
	set_real(o, "p99_us", f->measured, f->p99_us);
	set_real(o, "cpu_us_per_io", f->measured, f->cpu_us);
	(void)json_object_set_new(o, "ratio", ratios_json(r, job, target));
	return o;
}

static void targets_json(json_t *top, const struct bench_report *r)
{
	json_t *skipped = json_array();
	json_t *used = json_array();
	json_t *o;
	unsigned i;

	for (i = 0; i < r->ntargets; i++) {
		const struct bench_target *t = &r->targets[i];

		o = json_object();
		json_set_str(o, "target", t->name);
		json_set_text(o, t->skipped ? "reason" : "how",
				t->skipped ? t->why : t->how,
				strlen(t->skipped ? t->why : t->how));
		if (!t->skipped)
			(void)json_object_set_new(o, "fsck",
					t->fsck < 0 ? json_null()
						    : json_integer(t->fsck));
		(void)json_array_append_new(t->skipped ? skipped : used, o);
	}
	(void)json_object_set_new(top, "targets", used);
	(void)json_object_set_new(top, "skipped", skipped);
}

void bench_show_json(
		const struct bench_opts *opts, const struct bench_report *r)
{
	json_t *results = json_array();
	json_t *top = json_object();
	unsigned i;
	unsigned j;

	(void)json_object_set_new(top, "machine", machine_json(&r->machine));
	(void)json_object_set_new(top, "options", options_json(opts));
	for (j = 0; bench_job_name(j); j++) {
		for (i = 0; i < r->ntargets && job_is_shown(opts, j); i++) {
			if (!r->targets[i].skipped)
				(void)json_array_append_new(
						results, row_json(r, j, i));
		}
	}
	(void)json_object_set_new(top, "results", results);
	targets_json(top, r);
	json_set_int(top, "checked", r->checked);
	json_show(top);
}
