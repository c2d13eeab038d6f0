/* SPDX-License-Identifier: MIT */
/*
 * Images behind loop devices. See loops.h.
 */
#include "cli/loops.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SYS "/sys/block"

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

/* Is @name ("loop0") a device for @image, and used? */
static bool is_behind(const char *name, const struct stat *image,
		char ret_name[LOOP_NAME])
{
	char path[PATH_MAX];
	char dev[32];

	(void)snprintf(path, sizeof(path), SYS "/%s/loop/backing_file", name);
	if (!read_line(path, path, sizeof(path)) || !is_same_file(path, image))
		return false;
	(void)snprintf(path, sizeof(path), SYS "/%s/dev", name);
	if (!read_line(path, dev, sizeof(dev)))
		return false;
	(void)snprintf(ret_name, LOOP_NAME, "/dev/%s", name);
	return is_held(ret_name, dev);
}

bool loops_in_use(const char *image, char ret_name[LOOP_NAME])
{
	const struct dirent *e;
	bool found = false;
	struct stat st;
	DIR *dir;

	if (stat(image, &st) < 0 || !S_ISREG(st.st_mode))
		return false;
	dir = opendir(SYS);
	if (!dir)
		return false;
	while (!found) {
		e = readdir(dir); /* NOLINT(concurrency-mt-unsafe) */
		if (!e)
			break;
		found = strncmp(e->d_name, "loop", 4) == 0 &&
				is_behind(e->d_name, &st, ret_name);
	}
	(void)closedir(dir);
	return found;
}
