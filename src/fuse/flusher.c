/* SPDX-License-Identifier: MIT */
/* See flusher.h. */
#include "fuse/flusher.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static int flush(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err = fd < 0 || syncfs(fd) < 0 ? -errno : 0;

	/* Before it is said: an unmount comes next. */
	if (fd >= 0)
		(void)close(fd);
	return err;
}

/* Asked with the directory's name, answers with the errno. */
static void child(int fd)
{
	char dir[PATH_MAX + 1];
	ssize_t n;
	int err;

	/* At 0, and nothing else open; nor a directory kept busy. */
	if (dup2(fd, 0) < 0 || close_range(1, ~0u, 0) < 0 || chdir("/") < 0)
		_exit(1);
	(void)prctl(PR_SET_NAME, "uext4-flusher");
	do {
		n = recv(0, dir, sizeof(dir) - 1, 0);
	} while (n < 0 && errno == EINTR);
	if (n <= 0)
		_exit(0);
	dir[n] = '\0';
	err = flush(dir);
	(void)send(0, &err, sizeof(err), MSG_NOSIGNAL);
	_exit(0);
}

int flusher_start(struct flusher *f)
{
	int fd[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd) < 0)
		return -errno;
	pid = fork();
	if (pid == 0)
		child(fd[1]);
	(void)close(fd[1]);
	if (pid < 0) {
		(void)close(fd[0]);
		return -EAGAIN;
	}
	f->pid = pid;
	f->fd = fd[0];
	return 0;
}

int flusher_ask(struct flusher *f, const char *dir)
{
	ssize_t n;
	int err;

	if (send(f->fd, dir, strlen(dir), MSG_NOSIGNAL) < 0)
		return -errno;
	do {
		n = recv(f->fd, &err, sizeof(err), 0);
	} while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof(err) ? err : -EIO;
}

void flusher_end(struct flusher *f)
{
	if (f->pid == 0)
		return;
	(void)close(f->fd);
	while (waitpid(f->pid, NULL, 0) < 0 && errno == EINTR)
		;
	f->pid = 0;
}
