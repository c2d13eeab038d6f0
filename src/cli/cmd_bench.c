/* SPDX-License-Identifier: MIT */
/*
 * uext4 bench: run the yardstick (src/bench) and show what it found.
 */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/bench.h"

#include "cli/bench_show.h"
#include "cli/cli.h"
#include "cli/show.h"

enum bench_option {
	OPT_JOBS = 256,
	OPT_TARGETS,
	OPT_MOUNT,
	OPT_COMPARE,
	OPT_PLOT,
	OPT_DIR,
	OPT_SIZE,
	OPT_SECONDS,
	OPT_ROUNDS,
	OPT_DEPTH,
	OPT_SEED,
	OPT_DIO_ALLOC,
	OPT_DIO_EXTEND,
	OPT_DIO_SIZE,
	OPT_BACKEND,
	OPT_DIR_IO,
};

static const struct option options[] = {
	{ "jobs", required_argument, NULL, OPT_JOBS },
	{ "targets", required_argument, NULL, OPT_TARGETS },
	{ "mount", no_argument, NULL, OPT_MOUNT },
	{ "compare", required_argument, NULL, OPT_COMPARE },
	{ "plot", required_argument, NULL, OPT_PLOT },
	{ "dir", required_argument, NULL, OPT_DIR },
	{ "size", required_argument, NULL, OPT_SIZE },
	{ "seconds", required_argument, NULL, OPT_SECONDS },
	{ "rounds", required_argument, NULL, OPT_ROUNDS },
	{ "depth", required_argument, NULL, OPT_DEPTH },
	{ "seed", required_argument, NULL, OPT_SEED },
	{ "dio-alloc", required_argument, NULL, OPT_DIO_ALLOC },
	{ "dio-extend", required_argument, NULL, OPT_DIO_EXTEND },
	{ "dio-size", required_argument, NULL, OPT_DIO_SIZE },
	{ "backend", required_argument, NULL, OPT_BACKEND },
	{ "dir-io", required_argument, NULL, OPT_DIR_IO },
	{ NULL, 0, NULL, 0 },
};

struct bench_cmd {
	struct bench_opts opts;
	const char *plot; /* or NULL */
};

/* ---- values ---- */

/* "a,b,c" as bits of their indexes. -EINVAL for an unknown or empty name. */
static int parse_list(const char *text, int (*find)(const char *, size_t),
		uint32_t *ret_bits)
{
	uint32_t bits = 0;
	size_t len;
	int i;

	for (;;) {
		len = strcspn(text, ",");
		i = find(text, len);
		if (i < 0)
			return -EINVAL;
		bits |= 1u << i;
		text += len;
		if (*text == '\0')
			break;
		text++;
	}
	*ret_bits = bits;
	return 0;
}

/* The index of @text in @names, -EINVAL. */
static int parse_name(const char *text, const char *const *names)
{
	int i;

	for (i = 0; names[i]; i++) {
		if (strcmp(names[i], text) == 0)
			return i;
	}
	return -EINVAL;
}

static int parse_number(
		const char *text, uint64_t min, uint64_t max, uint64_t *ret_n)
{
	unsigned long long n;
	char *end;

	errno = 0;
	n = strtoull(text, &end, 0);
	if (errno != 0 || end == text || *end != '\0' || text[0] == '-' ||
			n < min || n > max)
		return -EINVAL;
	*ret_n = n;
	return 0;
}

static int parse_seconds(const char *text, double *ret_s)
{
	char *end;
	double s;

	s = strtod(text, &end);
	if (end == text || *end != '\0' || !isfinite(s) || s <= 0 ||
			s > BENCH_SECONDS_MAX)
		return -EINVAL;
	*ret_s = s;
	return 0;
}

static bool is_picture(const char *path)
{
	const char *dot = strrchr(path, '.');

	return dot && dot != path &&
			(strcmp(dot, ".png") == 0 || strcmp(dot, ".svg") == 0);
}

/* ---- options ---- */

/* The values of an option that takes one of several names, or NULL. */
static const char *const *choice_names(int opt)
{
	switch (opt) {
	case OPT_COMPARE:
		return bench_compare_names;
	case OPT_DIO_ALLOC:
		return bench_alloc_names;
	case OPT_DIO_EXTEND:
		return bench_extend_names;
	case OPT_DIO_SIZE:
		return bench_size_names;
	case OPT_BACKEND:
		return bench_backend_names;
	case OPT_DIR_IO:
		return bench_dir_io_names;
	default:
		return NULL;
	}
}

static int take_choice(struct bench_opts *o, int opt, const char *value)
{
	int i = parse_name(value, choice_names(opt));

	if (i < 0)
		return i;
	if (opt == OPT_COMPARE)
		o->compare = (enum bench_compare)i;
	else if (opt == OPT_DIO_ALLOC)
		o->dio_alloc = (enum uext4_dio_alloc)i;
	else if (opt == OPT_DIO_EXTEND)
		o->dio_extend = (enum uext4_dio_extend)i;
	else if (opt == OPT_DIO_SIZE)
		o->dio_size = (enum uext4_dio_size)i;
	else if (opt == OPT_DIR_IO)
		o->dir_io = (enum bench_dir_io)i;
	else
		o->backend = (enum uext4_queue_backend)i;
	return 0;
}

static int take_size(struct bench_opts *o, const char *value)
{
	uint64_t n;

	/* the last block number of a file of 1/8 of it fits 32 bits */
	if (cli_parse_size(value, &n) < 0 || n < BENCH_SIZE_MIN ||
			n > 1ull << 46)
		return -EINVAL;
	o->size = n;
	return 0;
}

static int take_option(struct bench_cmd *b, int opt, const char *value)
{
	struct bench_opts *o = &b->opts;
	uint64_t n = 0;
	int ret;

	switch (opt) {
	case OPT_JOBS:
		return parse_list(value, bench_job_find, &o->jobs);
	case OPT_TARGETS:
		return parse_list(value, bench_target_find, &o->targets);
	case OPT_MOUNT:
		return parse_list("kernel,mount,fuse2fs", bench_target_find,
				&o->targets);
	case OPT_PLOT:
		b->plot = value;
		return is_picture(value) ? 0 : -EINVAL;
	case OPT_DIR:
		o->dir = value;
		return 0;
	case OPT_SIZE:
		return take_size(o, value);
	case OPT_SECONDS:
		return parse_seconds(value, &o->seconds);
	case OPT_ROUNDS:
		ret = parse_number(value, 1, BENCH_ROUNDS_MAX, &n);
		o->rounds = (unsigned)n;
		return ret;
	case OPT_DEPTH:
		ret = parse_number(value, 1, BENCH_DEPTH_MAX, &n);
		o->depth = (unsigned)n;
		return ret;
	case OPT_SEED:
		return parse_number(value, 0, UINT64_MAX, &o->seed);
	default:
		return take_choice(o, opt, value);
	}
}

static const char *option_name(int opt)
{
	const struct option *o;

	for (o = options; o->val != opt; o++)
		;
	return o->name;
}

/* The names that an option takes, behind each other; "" if it takes others. */
static void option_values(int opt, char *ret, size_t size)
{
	const char *const *names = choice_names(opt);
	const char *name;
	size_t at = 0;
	unsigned i;

	ret[0] = '\0';
	for (i = 0; at < size; i++) {
		if (opt == OPT_JOBS)
			name = bench_job_name(i);
		else if (opt == OPT_TARGETS)
			name = bench_target_name(i);
		else
			name = names ? names[i] : NULL;
		if (!name)
			break;
		at += (size_t)snprintf(ret + at, size - at, "%s%s",
				i > 0 ? ", " : " (", name);
	}
	if (at > 0 && at < size)
		snprintf(ret + at, size - at, ")");
}

static int take_options(
		struct cli *c, struct bench_cmd *b, int argc, char **argv)
{
	char values[200];
	char what[256];
	int opt;

	while ((opt = cli_getopt_long(c, argc, argv, options)) != -1) {
		if (opt == '?')
			return cli_usage(c);
		if (take_option(b, opt, optarg) == 0)
			continue;
		option_values(opt, values, sizeof(values));
		snprintf(what, sizeof(what), "value for --%s%s",
				option_name(opt), values);
		return cli_bad_value(c, what, optarg);
	}
	return 0;
}

/* ---- showing ---- */

static void show_progress(
		void *ctx, const char *what, unsigned done, unsigned total)
{
	progress_step(ctx, what, done, total);
}

/* What would only be found at the end, minutes later. */
static int check_plot(struct cli *c, const char *path)
{
	char *dir = strdup(path);
	char *slash = dir ? strrchr(dir, '/') : NULL;
	int ret = CLI_OK;

	if (slash)
		slash[1] = '\0';
	if (!dir)
		ret = cli_err(c, NULL, path, -ENOMEM);
	else if (!bench_can_plot())
		ret = cli_errf(c,
				"there is no gnuplot to draw with; install "
				"gnuplot-nox, or leave --plot away");
	else if (access(slash ? dir : ".", W_OK) < 0)
		ret = cli_err(c, NULL, path, -errno);
	free(dir);
	return ret;
}

static void show_report(struct cli *c, const struct bench_cmd *b,
		const struct bench_report *report)
{
	char why[400];

	if (c->json)
		bench_show_json(&b->opts, report);
	else
		bench_show_table(&b->opts, report);
	if (b->plot && bench_plot(report, b->plot, why, sizeof(why)) < 0)
		(void)cli_errf(c, "%s: %s", b->plot, why);
}

/* End as the signal would have ended it, now that all is cleaned up. */
static void die_of(int sig)
{
	(void)signal(sig, SIG_DFL);
	(void)raise(sig);
}

int cmd_bench(struct cli *c, int argc, char **argv)
{
	struct bench_cmd b = { .plot = NULL };
	struct bench_report *report;
	int ret;

	bench_opts_init(&b.opts);
	ret = take_options(c, &b, argc, argv);
	if (ret == CLI_OK && b.plot)
		ret = check_plot(c, b.plot);
	if (ret != CLI_OK)
		return ret;
	b.opts.progress = show_progress;
	b.opts.ctx = c;
	ret = bench_run(&b.opts, &report);
	progress_step_end(c);
	if (ret == -EINTR && report && report->signal != 0)
		die_of(report->signal);
	else if (!report)
		(void)cli_err(c, NULL, NULL, ret);
	else if (ret < 0)
		(void)cli_errf(c, "%s", report->error);
	else
		show_report(c, &b, report);
	bench_report_free(report);
	return c->status;
}
