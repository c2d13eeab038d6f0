/* SPDX-License-Identifier: MIT */
/*
 * The server of a FUSE mount. See server.h.
 *
 * States   pid 0            -> running, not mounted   server_launch()
 *          not mounted      -> mounted                server_await()
 *          running          -> pid 0                  it has ended and was
 *                                                     waited for, server_ended()
 */
#include "bench/server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "uext4/uext4.h"

#include "bench/mounts.h"
#include "bench/target.h"

#define PAUSE_MS   2
#define START_MS   30000  /* for the mount to answer */
#define END_MS     120000 /* to write back what it holds */
#define GIVE_UP_MS 5000   /* between SIGTERM and SIGKILL */

/* ---- the end of a process ---- */

/* Has it ended? Its status is kept then. */
static bool server_ended(struct server *s)
{
	pid_t pid;

	if (s->pid == 0)
		return true;
	do {
		pid = waitpid(s->pid, &s->status, WNOHANG);
	} while (pid < 0 && errno == EINTR);
	if (pid == 0)
		return false;
	s->pid = 0;
	return true;
}

static bool server_wait(struct server *s, int ms)
{
	for (; ms > 0 && !server_ended(s); ms -= PAUSE_MS)
		(void)usleep(PAUSE_MS * 1000);
	return server_ended(s);
}

static void server_kill(struct server *s)
{
	if (server_ended(s))
		return;
	(void)kill(s->pid, SIGTERM);
	if (server_wait(s, GIVE_UP_MS))
		return;
	(void)kill(s->pid, SIGKILL);
	(void)server_wait(s, GIVE_UP_MS);
}

/* The last line that it said, or how it ended. */
static void server_last_words(const struct server *s, char *ret, size_t size)
{
	char said[2048];
	ssize_t n;
	char *line;

	n = pread(s->log, said, sizeof(said) - 1, 0);
	said[n > 0 ? n : 0] = '\0';
	while (n > 0 && said[n - 1] == '\n')
		said[--n] = '\0';
	line = strrchr(said, '\n');
	line = line ? line + 1 : said;
	if (line[0] != '\0')
		snprintf(ret, size, "%.*s", (int)size - 1, line);
	else if (WIFSIGNALED(s->status))
		snprintf(ret, size, "killed by signal %d", WTERMSIG(s->status));
	else
		snprintf(ret, size, "exit status %d", WEXITSTATUS(s->status));
}

static void server_free(struct server *s)
{
	free(s->dir);
	if (s->log >= 0)
		close(s->log);
	*s = (struct server){ .log = -1 };
}

/* ---- the beginning ---- */

/* In the child, where only what is safe beside other threads may be called. */
static void server_exec(char *const *argv, int log, pid_t parent)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	(void)setsid();
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() == parent && dup2(null, STDIN_FILENO) >= 0 &&
			dup2(log, STDOUT_FILENO) >= 0 &&
			dup2(log, STDERR_FILENO) >= 0)
		(void)execv(argv[0], argv);
	_exit(127);
}

static int server_launch(struct server *s, char *const *argv, const char *dir)
{
	pid_t parent = getpid();
	pid_t pid;

	*s = (struct server){ .dir = strdup(dir) };
	s->log = memfd_create("uext4-bench-server", MFD_CLOEXEC);
	if (!s->dir || s->log < 0)
		return !s->dir ? -ENOMEM : -errno;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		server_exec(argv, s->log, parent);
	s->pid = pid;
	return 0;
}

static int server_await(struct server *s, dev_t before,
		const volatile sig_atomic_t *stop, struct fault *fault)
{
	char words[300];
	struct stat st;
	int ms;

	for (ms = 0; ms < START_MS; ms += PAUSE_MS) {
		if (server_ended(s)) {
			server_last_words(s, words, sizeof(words));
			return fault_set(fault, TARGET_SKIP,
					"it cannot be mounted: %s", words);
		}
		s->mounted = stat(s->dir, &st) == 0 && st.st_dev != before;
		if (s->mounted)
			return 0;
		if (*stop)
			return -EINTR;
		(void)usleep(PAUSE_MS * 1000);
	}
	return fault_set(fault, TARGET_SKIP,
			"it cannot be mounted: nothing answers after %d s",
			START_MS / 1000);
}

int server_start(struct server *s, char *const *argv, const char *dir,
		const volatile sig_atomic_t *stop, struct fault *fault)
{
	struct stat st;
	int ret;

	if (stat(dir, &st) < 0)
		return -errno;
	ret = server_launch(s, argv, dir);
	if (ret == 0)
		ret = server_await(s, st.st_dev, stop, fault);
	if (ret == 0)
		return 0;
	server_kill(s);
	if (s->dir)
		(void)mounts_undo(s->dir);
	server_free(s);
	return ret;
}

/* ---- while it runs ---- */

uint64_t server_cpu(const struct server *s)
{
	struct timespec ts;
	clockid_t clock;

	if (s->pid == 0 || clock_getcpuclockid(s->pid, &clock) != 0 ||
			clock_gettime(clock, &ts) < 0)
		return 0;
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ---- the end ---- */

/* Not root: the server has the means to unmount, and does so by SIGTERM. */
static int server_unmount(struct server *s)
{
	int ret = mounts_undo(s->dir);

	if (ret != -EPERM || server_ended(s))
		return ret;
	return kill(s->pid, SIGTERM) < 0 ? -errno : 0;
}

int server_end(struct server *s, struct fault *fault)
{
	bool died = server_ended(s);
	char words[300];
	int ret = 0;
	int err;

	if (!s->mounted)
		return 0;
	err = server_unmount(s);
	if (err < 0 && !died)
		ret = fault_set(fault, err, "%s: cannot be unmounted: %s",
				s->dir, uext4_strerror(err));
	if (!server_wait(s, END_MS)) {
		server_kill(s);
		ret = fault_set(fault, -EIO,
				"the server did not end %d s after its mount",
				END_MS / 1000);
	} else if (died || s->status != 0) {
		server_last_words(s, words, sizeof(words));
		fault_add(fault, words);
		ret = fault_set(fault, -EIO, "the server %s: %s",
				died ? "died" : "did not end well", words);
	}
	server_free(s);
	return ret;
}
