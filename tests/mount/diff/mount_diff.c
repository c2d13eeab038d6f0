/* SPDX-License-Identifier: MIT */
/*
 * mount_diff: the same program of calls on two mounted file systems, the
 * kernel's ext4 being the judge of the other.
 *
 *	mount_diff --dir-a KERNEL --dir-b OURS [--profile P] [--seed N]
 *		[--ops M] [--seconds S] [--save FILE]
 *	mount_diff --dir-a KERNEL/N --dir-b OURS/N --shared ...
 *		others are at work on the same mounts
 *	mount_diff ... --writeback
 *		of a mount with writeback_cache: times, holes and the largest
 *		size are those of the kernel in front
 *	mount_diff --dir-a KERNEL --dir-b OURS --replay FILE
 *	mount_diff --dir-a KERNEL --dir-b OURS --trees
 *	mount_diff --dir-b OURS --dump
 *	mount_diff --differences | --breaks
 *
 * Exit status: 0 equal, 1 a difference (said on stdout, first of all in a line
 * "difference: CALL FIELD"), 2 it could not be tried. t_diff.py makes the
 * images and mounts them, and shrinks programs.
 */
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <time.h>
#include <unistd.h>

#include "breaks.h"
#include "differences.h"
#include "run.h"
#include "trees.h"

#define LAST_CALLS 12u

struct args {
	const char *dir_a, *dir_b, *profile, *save, *replay, *break_;
	uint64_t seed;
	unsigned long ops, seconds;
	bool strict, writeback, no_times, trees, dump, differences, breaks;
};

static void usage(void)
{
	fputs("usage: mount_diff --dir-a DIR --dir-b DIR [--profile P] "
	      "[--seed N] [--ops M]\n"
	      "       [--seconds S] [--save FILE] [--replay FILE] [--strict] "
	      "[--shared]\n"
	      "       [--writeback] [--no-times]\n"
	      "       [--break FAULT]\n"
	      "       mount_diff --dir-a DIR --dir-b DIR --trees\n"
	      "       mount_diff --dir-b DIR --dump\n"
	      "       mount_diff --differences | --breaks\n",
			stderr);
	exit(2);
}

static void parse(int argc, char **argv, struct args *ret_a)
{
	static const struct option options[] = {
		{ "dir-a", 1, NULL, 'a' },
		{ "dir-b", 1, NULL, 'b' },
		{ "profile", 1, NULL, 'p' },
		{ "seed", 1, NULL, 's' },
		{ "ops", 1, NULL, 'n' },
		{ "seconds", 1, NULL, 't' },
		{ "save", 1, NULL, 'o' },
		{ "replay", 1, NULL, 'r' },
		{ "break", 1, NULL, 'k' },
		{ "strict", 0, NULL, 'S' },
		{ "shared", 0, NULL, 'H' },
		{ "writeback", 0, NULL, 'W' },
		{ "no-times", 0, NULL, 'N' },
		{ "trees", 0, NULL, 'T' },
		{ "dump", 0, NULL, 'D' },
		{ "differences", 0, NULL, 'L' },
		{ "breaks", 0, NULL, 'B' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	*ret_a = (struct args){ .seed = 1, .ops = 10000, .profile = "" };
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'a':
			ret_a->dir_a = optarg;
			break;
		case 'b':
			ret_a->dir_b = optarg;
			break;
		case 'p':
			ret_a->profile = optarg;
			break;
		case 's':
			ret_a->seed = strtoull(optarg, NULL, 0);
			break;
		case 'n':
			ret_a->ops = strtoul(optarg, NULL, 0);
			break;
		case 't':
			ret_a->seconds = strtoul(optarg, NULL, 0);
			break;
		case 'o':
			ret_a->save = optarg;
			break;
		case 'r':
			ret_a->replay = optarg;
			break;
		case 'k':
			ret_a->break_ = optarg;
			break;
		case 'S':
			ret_a->strict = true;
			break;
		case 'H':
			side_shared = true;
			break;
		case 'W':
			ret_a->writeback = true;
			break;
		case 'N':
			ret_a->no_times = true;
			break;
		case 'T':
			ret_a->trees = true;
			break;
		case 'D':
			ret_a->dump = true;
			break;
		case 'L':
			ret_a->differences = true;
			break;
		case 'B':
			ret_a->breaks = true;
			break;
		default:
			usage();
		}
	}
	if (optind != argc)
		usage();
}

/* ---- programs ---- */

static bool replay(struct run *r, const char *path)
{
	size_t n, i;
	struct dop *ops = dop_load(path, &n);
	bool same = true;

	for (i = 0; i < n && same; i++)
		same = run_call(r, &ops[i]);
	for (; i < n; i++)
		dop_fini(&ops[i]);
	free(ops);
	return same;
}

/* The largest file there can be. */
static uint64_t max_size(struct run *r)
{
	uint64_t low = 0, high = INT64_MAX;
	int fd = openat(r->a.top, "size", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	while (fd >= 0 && low < high) {
		uint64_t mid = low + (high - low + 1) / 2;

		if (ftruncate(fd, (off_t)mid) == 0)
			low = mid;
		else
			high = mid - 1;
	}
	if (fd >= 0)
		(void)close(fd);
	(void)unlinkat(r->a.top, "size", 0);
	return low;
}

static bool random_program(struct run *r, const struct args *args)
{
	time_t end = time(NULL) + (time_t)args->seconds;
	struct statfs st;
	struct gen g;
	bool same = true;

	gen_init(&g, args->seed);
	g.full = strcmp(args->profile, "full") == 0;
	/* What is too far for the server, the kernel in front takes. */
	g.writeback = args->writeback;
	g.max_size = args->writeback ? side_max_size / 2 : side_max_size;
	if (fstatfs(r->a.root, &st) == 0)
		g.block_size = (uint64_t)st.f_bsize;
	while (same &&
			(args->seconds ? time(NULL) < end
				       : r->ndone < args->ops)) {
		struct dop op;

		gen_next(&g, &op);
		same = run_call(r, &op);
		gen_learn(&g, &op, &r->oa);
	}
	gen_fini(&g);
	return same;
}

static void show_last(const struct run *r)
{
	size_t i = r->ndone > LAST_CALLS ? r->ndone - LAST_CALLS : 0;

	printf("    the last calls:\n");
	for (; i < r->ndone; i++) {
		fputs("\t", stdout);
		dop_print(&r->done[i], stdout);
		fputc('\n', stdout);
	}
}

/* What the judge has to know of a second side that writes back later. */
static void know_cache(struct run *r, const struct args *args)
{
	struct statfs fs;

	r->judge.writeback = args->writeback;
	r->judge.no_times = args->writeback || args->no_times;
	r->judge.whole_pages = r->judge.no_times &&
			statfs(args->dir_a, &fs) == 0 &&
			fs.f_bsize < sysconf(_SC_PAGESIZE);
}

static int run(const struct args *args)
{
	struct run *r = dop_alloc(sizeof(*r));
	bool same;

	breaks_choose(args->break_);
	run_init(r, args->dir_a, args->dir_b, args->strict);
	r->judge.linear = strcmp(args->profile, "no-index") == 0;
	know_cache(r, args);
	side_max_size = max_size(r);
	same = args->replay ? replay(r, args->replay) : random_program(r, args);
	if (!same)
		show_last(r);
	else
		same = run_end(r);
	side_leave();
	if (args->save)
		dop_save(args->save, r->done, r->ndone);
	if (same)
		judge_report(&r->judge, stdout);
	printf("%s: seed %llu, profile %s, %zu calls, %lu of which succeeded\n",
			same ? "equal" : "not equal",
			(unsigned long long)args->seed, args->profile, r->ndone,
			r->succeeded);
	run_fini(r);
	free(r);
	return same ? 0 : 1;
}

static int trees(const struct args *args)
{
	struct run *r = dop_alloc(sizeof(*r));
	int ret;

	run_init(r, args->dir_a, args->dir_b, args->strict);
	know_cache(r, args);
	trees_compare(&r->judge, &r->a, &r->b);
	ret = r->judge.wrong ? 1 : 0;
	run_fini(r);
	free(r);
	return ret;
}

static int dump(const struct args *args)
{
	int root = open(args->dir_b, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (root < 0) {
		perror(args->dir_b);
		return 2;
	}
	trees_dump(root, stdout);
	(void)close(root);
	return 0;
}

int main(int argc, char **argv)
{
	struct args args;

	parse(argc, argv, &args);
	(void)umask(0);
	(void)signal(SIGXFSZ, SIG_IGN);
	(void)signal(SIGPIPE, SIG_IGN);
	if (args.differences) {
		differences_print(stdout);
		return 0;
	}
	if (args.breaks) {
		breaks_list(stdout);
		return 0;
	}
	if (!args.dir_b || (!args.dump && !args.dir_a))
		usage();
	if (args.dump)
		return dump(&args);
	return args.trees ? trees(&args) : run(&args);
}
