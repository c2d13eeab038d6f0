/* SPDX-License-Identifier: MIT */
/*
 * Images behind loop devices. See loops.h.
 */
#include "cli/loops.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The first line of @path, without its end. */
static bool read_line(const char *path, char *buf, int size)
{
	FILE *f = fopen(path, "re");
	bool is_read;

	if (!f)
		return false;
	is_read = fgets(buf, size, f) != NULL;
	(void)fclose(f);
	if (is_read)
		buf[strcspn(buf, "\n")] = '\0';
	return is_read;
}

static bool is_same_file(const char *path, const struct stat *image)
{
	struct stat st;

	return stat(path, &st) == 0 && st.st_dev == image->st_dev &&
			st.st_ino == image->st_ino;
}

/* Is a device of the number @dev ("7:0") in this table of mounts? */
static bool is_mounted(const char *dev)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char *line = NULL;
	size_t size = 0;
	bool found = false;

	if (!f)
		return false;
	while (!found && getline(&line, &size, f) > 0) {
		char number[32];

		found = sscanf(line, "%*u %*u %31s", number) == 1 &&
				strcmp(number, dev) == 0;
	}
	free(line);
	(void)fclose(f);
	return found;
}

/* A device that is mounted anywhere cannot be opened exclusively; who may not
 * open it at all sees at least the mounts of his own table. */
static bool is_held(const char *name, const char *dev)
{
	int fd = open(name, O_RDONLY | O_EXCL | O_CLOEXEC);

	if (fd >= 0) {
		(void)close(fd);
		return false;
	}
	return errno == EBUSY || is_mounted(dev);
}

bool loops_in_use(const char *image, char ret_name[LOOP_NAME])
{
	static const char sys[] = "/sys/block/";
	char path[PATH_MAX];
	char dev[32];
	struct stat st;
	bool found = false;
	glob_t g;
	size_t i;

	if (stat(image, &st) < 0 || !S_ISREG(st.st_mode) ||
			glob("/sys/block/loop*/loop/backing_file", 0, NULL,
					&g) != 0)
		return false;
	for (i = 0; i < g.gl_pathc && !found; i++) {
		const char *name = g.gl_pathv[i] + sizeof(sys) - 1;
		int len = (int)strcspn(name, "/");

		if (!read_line(g.gl_pathv[i], path, sizeof(path)) ||
				!is_same_file(path, &st))
			continue;
		(void)snprintf(path, sizeof(path), "%s%.*s/dev", sys, len,
				name);
		if (!read_line(path, dev, sizeof(dev)))
			continue;
		(void)snprintf(ret_name, LOOP_NAME, "/dev/%.*s", len, name);
		found = is_held(ret_name, dev);
	}
	globfree(&g);
	return found;
}
