/* SPDX-License-Identifier: MIT */
/*
 * uext4-check: the tests' checker for humans. Exit status as e2fsck -n has it:
 * 0 clean, 4 problems, 8 could not check.
 */
#include "check/check.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int tool_usage(const char *name)
{
	fprintf(stderr,
			"usage: %s [-odrecq] [-b N] IMAGE\n"
			"  -o  orphans are legal\n"
			"  -d  an image that is in use is legal\n"
			"  -r  a journal that needs recovery is legal\n"
			"  -e  recorded errors are legal\n"
			"  -c  look for canaries\n"
			"  -m  read the image instead of mapping it\n"
			"  -b  check N times and print the time of one check\n"
			"  -q  no summary\n",
			name);
	return 8;
}

struct tool_args {
	struct check_opts opts;
	unsigned long repeat;
	bool read, quiet;
};

static int tool_open(
		const char *path, bool do_read, int *fd, struct check_dev *dev)
{
	struct stat st;

	*fd = open(path, O_RDONLY | O_CLOEXEC);
	if (*fd < 0 || fstat(*fd, &st) < 0)
		return -errno;
	dev->size = (uint64_t)lseek(*fd, 0, SEEK_END);
	dev->read = check_read_fd;
	dev->ctx = fd;
	if (!do_read && dev->size > 0) {
		void *p = mmap(NULL, dev->size, PROT_READ, MAP_SHARED, *fd, 0);

		dev->map = p == MAP_FAILED ? NULL : p;
	}
	return 0;
}

static int tool_check(const struct check_dev *dev, const struct tool_args *a,
		struct check_report *rep)
{
	struct timespec t0, t1;
	int ret = 0;

	clock_gettime(CLOCK_MONOTONIC, &t0);
	for (unsigned long i = 0; i < a->repeat; i++)
		ret = check_fs(dev, &a->opts, rep);
	clock_gettime(CLOCK_MONOTONIC, &t1);
	if (a->repeat > 1)
		printf("%.1f us a check\n",
				((double)(t1.tv_sec - t0.tv_sec) * 1e6 +
						(double)(t1.tv_nsec -
								t0.tv_nsec) /
								1e3) /
						(double)a->repeat);
	return ret;
}

static void tool_summary(
		const char *path, int ret, const struct check_report *rep)
{
	if (ret < 0)
		fprintf(stderr, "%s: cannot check: %s\n", path, strerror(-ret));
	else
		printf("%s: %s, %u problems; %u directories, %u files, %ju/%ju "
		       "blocks free, %u/%u inodes free\n",
				path, ret ? "damaged" : "clean", rep->count,
				rep->dirs, rep->files,
				(uintmax_t)rep->free_blocks,
				(uintmax_t)rep->blocks, rep->free_inodes,
				rep->inodes);
}

int main(int argc, char **argv)
{
	struct tool_args a = { .repeat = 1 };
	struct check_dev dev = { 0 };
	struct check_report rep;
	int fd = -1, opt, ret;

	while ((opt = getopt(argc, argv, "odrecmqb:")) != -1) {
		switch (opt) {
		case 'o':
			a.opts.flags |= CHECK_F_ORPHANS;
			break;
		case 'd':
			a.opts.flags |= CHECK_F_DIRTY;
			break;
		case 'r':
			a.opts.flags |= CHECK_F_RECOVERY;
			break;
		case 'e':
			a.opts.flags |= CHECK_F_ERRORS;
			break;
		case 'c':
			a.opts.flags |= CHECK_F_CANARY;
			break;
		case 'm':
			a.read = true;
			break;
		case 'q':
			a.quiet = true;
			break;
		case 'b':
			a.repeat = strtoul(optarg, NULL, 10);
			break;
		default:
			return tool_usage(argv[0]);
		}
	}
	if (optind + 1 != argc || a.repeat == 0)
		return tool_usage(argv[0]);
	rep.count = rep.kept = 0;
	ret = tool_open(argv[optind], a.read, &fd, &dev);
	if (ret == 0)
		ret = tool_check(&dev, &a, &rep);
	check_print(&rep, stdout);
	if (!a.quiet || ret < 0)
		tool_summary(argv[optind], ret, &rep);
	if (dev.map)
		munmap((void *)(uintptr_t)dev.map, dev.size);
	if (fd >= 0)
		close(fd);
	return ret < 0 ? 8 : ret ? 4 : 0;
}
