/* SPDX-License-Identifier: MIT */
/*
 * Images by mke2fs. See image.h.
 */
#include "bench/image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/child.h"

#define CHUNK (1u << 20)

/* Zeroes all through: neither target pays for the host's first write to a page
 * or a block of the file. */
static int image_fill(int fd, uint64_t size)
{
	uint8_t *zeroes = calloc(1, CHUNK);
	uint64_t at = 0;
	size_t len;
	ssize_t n;
	int ret = 0;

	if (!zeroes)
		return -ENOMEM;
	while (at < size && ret == 0) {
		len = size - at < CHUNK ? (size_t)(size - at) : CHUNK;
		n = pwrite(fd, zeroes, len, (off_t)at);
		if (n > 0)
			at += (uint64_t)n;
		else if (n == 0)
			ret = -EIO;
		else if (errno != EINTR)
			ret = -errno;
	}
	if (ret == 0 && fsync(fd) < 0)
		ret = -errno;
	free(zeroes);
	return ret;
}

static int image_create(const struct target_setup *s, const char *path)
{
	int ret;
	int fd;

	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	ret = image_fill(fd, s->image_bytes);
	if (close(fd) < 0 && ret == 0)
		ret = -errno;
	return ret;
}

/* The first line of what a program said that is not its name and version. */
static const char *said_what(char *said)
{
	char *rest = NULL;
	char *line;

	for (line = strtok_r(said, "\n", &rest); line;
			line = strtok_r(NULL, "\n", &rest)) {
		if (strncmp(line, "Pass ", 5) != 0 &&
				strncmp(line, "e2fsck ", 7) != 0 &&
				strncmp(line, "mke2fs ", 7) != 0)
			return line;
	}
	return "it does not say why";
}

int image_make(const struct target_setup *s, const char *path)
{
	/* What is initialised lazily would be written during a job. */
	char *const argv[] = { (char[]){ "mke2fs" }, (char[]){ "-q" },
		(char[]){ "-F" }, (char[]){ "-t" }, (char[]){ "ext4" },
		(char[]){ "-b" }, (char[]){ "4096" }, (char[]){ "-E" },
		(char[]){ "nodiscard,lazy_itable_init=0,lazy_journal_init=0" },
		strdup(path), NULL };
	char said[512];
	int ret;

	if (!argv[9])
		return -ENOMEM;
	ret = image_create(s, path);
	if (ret < 0) {
		(void)fault_set(s->fault, 0, "%s: %s", path,
				uext4_strerror(ret));
		goto out_argv;
	}
	ret = child_run(argv, -1, -1, said, sizeof(said));
	if (ret == -ENOENT)
		(void)fault_set(s->fault, 0,
				"there is no mke2fs; install e2fsprogs");
	else if (ret > 0)
		ret = fault_set(s->fault, -EIO, "mke2fs %s: %s", path,
				said_what(said));
out_argv:
	free(argv[9]);
	return ret;
}

int image_check(const char *path, struct fault *fault)
{
	char *const argv[] = { (char[]){ "e2fsck" }, (char[]){ "-fn" },
		strdup(path), NULL };
	char said[4096];
	int ret;

	if (!argv[2])
		return -ENOMEM;
	ret = child_run(argv, -1, -1, said, sizeof(said));
	if (ret == -ENOENT)
		(void)fault_set(fault, 0,
				"there is no e2fsck; install e2fsprogs");
	else if (ret > 0)
		(void)fault_set(fault, 0, "e2fsck finds fault with %s: %s",
				path, said_what(said));
	free(argv[2]);
	return ret;
}
