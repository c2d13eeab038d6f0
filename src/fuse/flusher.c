/* SPDX-License-Identifier: MIT */
/* See flusher.h. */
#include "fuse/flusher.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuse/now.h"

/* So long no page comes if there is none, with a count of the requests that are
 * left, and without. */
#define CALM_NS      UINT64_C(2000000000)
#define CALM_SOON_NS UINT64_C(500000000)
#define NAP_MS       1

/* What the kernel says of the connections, where it is not mounted: for root. */
static int control_open(void)
{
	int fs = fsopen("fusectl", FSOPEN_CLOEXEC);
	int mnt = -1;

	if (fs >= 0 && fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
		mnt = fsmount(fs, FSMOUNT_CLOEXEC, 0);
	if (fs >= 0)
		(void)close(fs);
	return mnt;
}

/* The directory of the connection that @dir is of; -1: not to be had. */
static int connection_open(int dir)
{
	char name[64];
	struct stat st;
	int control;
	int fd;

	if (fstat(dir, &st) < 0)
		return -1;
	(void)snprintf(name, sizeof(name), "/sys/fs/fuse/connections/%u",
			minor(st.st_dev));
	fd = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	control = control_open();
	if (control < 0)
		return -1;
	(void)snprintf(name, sizeof(name), "%u", minor(st.st_dev));
	fd = openat(control, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	(void)close(control);
	return fd;
}

/* How many of its requests are not answered yet; -1: not to be had. */
static int count_waiting(int connection)
{
	char said[16] = "";
	ssize_t n = -1;
	int fd = connection < 0
			? -1
			: openat(connection, "waiting", O_RDONLY | O_CLOEXEC);

	if (fd >= 0) {
		n = read(fd, said, sizeof(said) - 1);
		(void)close(fd);
	}
	return n > 0 ? (int)strtol(said, NULL, 10) : -1;
}

/* A moment. False: the server is no more. */
static bool nap(void)
{
	struct pollfd server = { .fd = 0 };

	return poll(&server, 1, NAP_MS) <= 0;
}

static void await_answers(int dir, const struct flusher_pages *pages)
{
	int fd = connection_open(dir);
	int left = count_waiting(fd);
	bool counted = left >= 0;
	uint64_t since = now_ns();
	unsigned long seen = 0;

	/* A count that is not to be had any more: the connection has ended. */
	while (left != 0 && counted == (left >= 0) && nap()) {
		unsigned long done = atomic_load(&pages->done);

		if (done != seen || done != atomic_load(&pages->begun)) {
			seen = done;
			since = now_ns();
		} else if (now_ns() - since >
				(counted ? CALM_NS : CALM_SOON_NS)) {
			break;
		}
		left = count_waiting(fd);
	}
	if (fd >= 0)
		(void)close(fd);
}

static int flush(const char *dir, const struct flusher_pages *pages)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err;

	if (fd < 0)
		return -errno;
	err = syncfs(fd) < 0 ? -errno : 0;
	await_answers(fd, pages);
	/* Before it is said: an unmount comes next. */
	(void)close(fd);
	return err;
}

static void say(int err)
{
	(void)send(0, &err, sizeof(err), MSG_NOSIGNAL);
}

/* 0 is told when it is ready; then, asked with the directory's name, the errno. */
static void child(int fd, const struct flusher_pages *pages)
{
	char dir[PATH_MAX + 1];
	sigset_t all;
	ssize_t n;

	/* The socket at 0, nothing else open, no directory kept busy; out of
	 * reach of a terminal. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_BLOCK, &all, NULL);
	(void)setsid();
	(void)prctl(PR_SET_NAME, "uext4-flusher");
	if (dup2(fd, 0) < 0 || close_range(1, ~0u, 0) < 0 || chdir("/") < 0)
		_exit(1);
	say(0);
	do {
		n = recv(0, dir, sizeof(dir) - 1, 0);
	} while (n < 0 && errno == EINTR);
	if (n <= 0)
		_exit(0);
	dir[n] = '\0';
	say(flush(dir, pages));
	_exit(0);
}

/* What the child says; -EPIPE: it is no more. */
static int hear(const struct flusher *f)
{
	ssize_t n;
	int err;

	do {
		n = recv(f->fd, &err, sizeof(err), 0);
	} while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof(err) ? err : -EPIPE;
}

static void stop(struct flusher *f)
{
	if (f->pid == 0)
		return;
	(void)close(f->fd);
	/* It has nothing to lose, and may be a stopped one. */
	(void)kill(f->pid, SIGKILL);
	while (waitpid(f->pid, NULL, 0) < 0 && errno == EINTR)
		;
	f->pid = 0;
}

int flusher_start(struct flusher *f)
{
	int fd[2];
	int ret;

	if (!f->pages) {
		f->pages = mmap(NULL, sizeof(*f->pages), PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		if (f->pages == MAP_FAILED) {
			f->pages = NULL;
			return -errno;
		}
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd) < 0)
		return -errno;
	f->pid = fork();
	if (f->pid == 0)
		child(fd[1], f->pages);
	ret = f->pid < 0 ? -errno : 0;
	(void)close(fd[1]);
	f->fd = fd[0];
	if (ret == 0) {
		ret = hear(f);
	} else {
		f->pid = 0;
		(void)close(f->fd);
	}
	if (ret < 0)
		stop(f);
	return ret;
}

static int ask_once(const struct flusher *f, const char *dir)
{
	if (f->pid == 0)
		return -EPIPE;
	(void)kill(f->pid, SIGCONT);
	if (send(f->fd, dir, strlen(dir), MSG_NOSIGNAL) < 0)
		return -EPIPE;
	return hear(f);
}

int flusher_ask(struct flusher *f, const char *dir)
{
	int ret = ask_once(f, dir);

	if (ret != -EPIPE)
		return ret;
	stop(f);
	ret = flusher_start(f);
	return ret < 0 ? ret : ask_once(f, dir);
}

void flusher_end(struct flusher *f)
{
	stop(f);
	if (f->pages)
		(void)munmap(f->pages, sizeof(*f->pages));
	f->pages = NULL;
}
