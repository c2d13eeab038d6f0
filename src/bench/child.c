/* SPDX-License-Identifier: MIT */
/*
 * Other programs. See child.h.
 */
#include "bench/child.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SBIN ":/usr/local/sbin:/usr/sbin:/sbin"

int child_find(const char *name, char *ret, size_t size)
{
	/* nothing in this program changes the environment */
	/* NOLINTNEXTLINE(concurrency-mt-unsafe) */
	const char *path = getenv("PATH");
	char dirs[4096];
	char *rest = NULL;
	char *dir;

	snprintf(dirs, sizeof(dirs), "%s" SBIN, path ? path : "/usr/bin:/bin");
	for (dir = strtok_r(dirs, ":", &rest); dir;
			dir = strtok_r(NULL, ":", &rest)) {
		if (snprintf(ret, size, "%s/%s", dir, name) < (int)size &&
				access(ret, X_OK) == 0)
			return 0;
	}
	return -ENOENT;
}

/* Keep the beginning of what comes out of @fd, and read on to its end. */
static void child_listen(int fd, char *said, size_t size)
{
	char rest[512];
	size_t at = 0;
	ssize_t n;

	for (;;) {
		if (at + 1 < size)
			n = read(fd, said + at, size - 1 - at);
		else
			n = read(fd, rest, sizeof(rest));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		if (at + 1 < size)
			at += (size_t)n;
	}
	said[at] = '\0';
}

static int child_wait(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int child_start(
		const char *path, char *const *argv, int in, int out, int err)
{
	posix_spawn_file_actions_t acts;
	pid_t pid;
	int ret;

	ret = posix_spawn_file_actions_init(&acts);
	if (ret != 0)
		return -ret;
	if (in < 0)
		ret = posix_spawn_file_actions_addopen(
				&acts, 0, "/dev/null", O_RDONLY, 0);
	else
		ret = posix_spawn_file_actions_adddup2(&acts, in, 0);
	if (ret == 0)
		ret = posix_spawn_file_actions_adddup2(
				&acts, out < 0 ? err : out, 1);
	if (ret == 0)
		ret = posix_spawn_file_actions_adddup2(&acts, err, 2);
	if (ret == 0)
		ret = posix_spawn(&pid, path, &acts, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&acts);
	return ret != 0 ? -ret : (int)pid;
}

int child_run(char *const *argv, int in, int out, char *said, size_t size)
{
	char path[4096];
	int pipes[2];
	int ret;

	said[0] = '\0';
	ret = child_find(argv[0], path, sizeof(path));
	if (ret < 0)
		return ret;
	if (pipe2(pipes, O_CLOEXEC) < 0)
		return -errno;
	ret = child_start(path, argv, in, out, pipes[1]);
	close(pipes[1]);
	if (ret >= 0) {
		child_listen(pipes[0], said, size);
		ret = child_wait((pid_t)ret);
	}
	close(pipes[0]);
	return ret;
}
