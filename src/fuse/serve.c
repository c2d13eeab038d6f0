/* SPDX-License-Identifier: MIT */
/*
 * The life of a mount. See serve.h.
 *
 * The end by umount: a worker's read from /dev/fuse says ENODEV, all workers
 * leave, the last one writes to @ended. The end by a signal: what the kernel
 * still caches is written back first (flusher.h; the workers answer); workers
 * finish what they are at, and those that wait for a request are woken by a
 * signal of their own until all are gone; then the mount point is taken away
 * and the descriptor closed, which ends the connection for those who still
 * have files open.
 */
#include "fuse/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/signalfd.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuse/crew.h"
#include "fuse/flusher.h"
#include "fuse/srv.h"
#include "fuse/wire.h"

struct pool {
	struct srv srv;
	struct crew crew;
	struct flusher flusher;
	int signals;
};

/* ---- the mount point ---- */

/* What libfuse and fusermount3 say on standard error goes into @why. */
static int mount_quietly(struct pool *p, char *why)
{
	int mem = memfd_create("said", MFD_CLOEXEC);
	int old = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
	ssize_t n;
	int ret;

	(void)fflush(stderr);
	if (mem >= 0 && old >= 0)
		(void)dup2(mem, STDERR_FILENO);
	errno = 0;
	ret = fuse_session_mount(p->srv.se, p->srv.opts->dir);
	if (ret != 0)
		ret = errno > 0 ? -errno : -EPERM;
	(void)fflush(stderr);
	if (old >= 0) {
		(void)dup2(old, STDERR_FILENO);
		(void)close(old);
	}
	if (ret != 0 && mem >= 0) {
		n = pread(mem, why, SERVE_WHY - 1, 0);
		why[n > 0 ? n : 0] = '\0';
		why[strcspn(why, "\n")] = '\0';
	}
	(void)close(mem);
	return ret;
}

static int session_open(struct pool *p, char *why)
{
	char prog[] = "uext4";
	char dash_o[] = "-o";
	char opts[sizeof(p->srv.opts->fuse)];
	char *argv[] = { prog, dash_o, opts, NULL };
	struct fuse_args args = FUSE_ARGS_INIT(3, argv);
	int ret;

	memcpy(opts, p->srv.opts->fuse, sizeof(opts));
	p->srv.se = fuse_session_new(&args, &srv_ops, sizeof(srv_ops), &p->srv);
	fuse_opt_free_args(&args);
	if (!p->srv.se) {
		(void)snprintf(why, SERVE_WHY,
				"libfuse refused the options %.400s",
				p->srv.opts->fuse);
		return -EINVAL;
	}
	ret = mount_quietly(p, why);
	if (ret == 0)
		ret = wire_attach(p->srv.se);
	if (ret < 0) {
		fuse_session_unmount(p->srv.se);
		fuse_session_destroy(p->srv.se);
		p->srv.se = NULL;
	}
	return ret;
}

/* By fusermount3, which may what a user may not. */
static int user_umount(const char *dir, bool lazily)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		execlp("fusermount3", "fusermount3", lazily ? "-uzq" : "-u",
				"--", dir, (char *)NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -ECANCELED;
}

int serve_umount(const char *dir, bool lazily)
{
	if (geteuid() != 0)
		return user_umount(dir, lazily);
	return umount2(dir, lazily ? MNT_DETACH : 0) < 0 ? -errno : 0;
}

/* ---- serving ---- */

/* A copy out of an image that somebody cut short ends (UEXT4_MNT_MAPPED). */
static void on_bus_error(int sig)
{
	uext4_sigbus();
	/* It was something else: once more, and out. */
	(void)signal(sig, SIG_DFL);
}

static bool is_read_only(const struct pool *p)
{
	return p->srv.opts->mnt.flags & UEXT4_MNT_RDONLY;
}

static int signals_open(struct pool *p)
{
	struct sigaction bus = { .sa_handler = on_bus_error };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	(void)pthread_sigmask(SIG_BLOCK, &set, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)sigaction(SIGBUS, &bus, NULL);
	p->signals = signalfd(-1, &set, SFD_CLOEXEC);
	return p->signals < 0 ? -errno : 0;
}

static int fetch_pages(struct pool *p, char *why)
{
	int ret = 0;

	if (!is_read_only(p))
		ret = flusher_ask(&p->flusher, p->srv.opts->dir);
	/* The root directory is closed to the only one who may be here. */
	if (ret == -EACCES && !strstr(p->srv.opts->fuse, "allow_other"))
		ret = 0;
	if (ret < 0)
		(void)snprintf(why, SERVE_WHY,
				"what the kernel still had to write could not "
				"be fetched, or not all of it: %s",
				uext4_strerror(ret));
	return ret;
}

/* Until the mount is gone or a signal comes. -ENOTCONN: a dead one is left. */
static int wait_for_end(struct pool *p, char *why)
{
	struct pollfd pfd[] = {
		{ .fd = p->crew.ended, .events = POLLIN },
		{ .fd = p->signals, .events = POLLIN },
	};
	struct statvfs st;

	while (poll(pfd, 2, -1) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	if (pfd[0].revents == 0)
		return fetch_pages(p, why);
	/* Workers that failed have left a connection that nobody answers. */
	if (atomic_load(&p->crew.failed) != 0)
		return 0;
	/* Cut, or unmounted as it should be? */
	return statvfs(p->srv.opts->dir, &st) < 0 && errno == ENOTCONN
			? -ENOTCONN
			: 0;
}

static int serve_mounted(struct pool *p, char *why)
{
	struct statvfs st;
	int ret;

	ret = crew_start(&p->crew, why);
	if (ret == 0 && p->srv.opts->probe &&
			statvfs(p->srv.opts->dir, &st) < 0) {
		ret = -errno;
		(void)snprintf(why, SERVE_WHY, "the mount does not answer: %s",
				uext4_strerror(-errno));
	}
	if (ret == 0) {
		p->srv.opts->ready(p->srv.opts->ready_ctx);
		ret = wait_for_end(p, why);
	}
	crew_stop(&p->crew);
	fuse_session_unmount(p->srv.se);
	if (ret == -ENOTCONN) /* which libfuse takes for unmounted */
		(void)serve_umount(p->srv.opts->dir, true);
	else if (ret == 0)
		ret = atomic_load(&p->crew.failed);
	if (atomic_load(&p->crew.failed) == -EUCLEAN)
		(void)snprintf(why, SERVE_WHY,
				"damage was found, and errors=panic ends the "
				"mount then; run e2fsck on %s",
				p->srv.opts->image);
	else if (ret < 0 && why[0] == '\0')
		(void)snprintf(why, SERVE_WHY,
				"the connection to the kernel was lost: %s; "
				"what was written until then is kept",
				uext4_strerror(ret));
	return ret;
}

/* While mounting waits for others (mmp): a signal, an umount, or who started
 * this is gone. */
static bool is_unwanted(void *ctx)
{
	struct pool *p = ctx;
	const struct uext4_mount_opts *o = &p->srv.opts->mnt;
	struct pollfd pfd[] = {
		{ .fd = p->signals, .events = POLLIN },
		{ .fd = fuse_session_fd(p->srv.se) }, /* POLLERR */
	};

	return poll(pfd, 2, 0) > 0 || (o->cancel && o->cancel(o->cancel_ctx));
}

static void on_panic(void *ctx)
{
	crew_fail(ctx, -EUCLEAN);
}

/* Takes over @image. */
static int serve_image(struct pool *p, struct uext4_image *image, char *why)
{
	struct uext4_mount_opts mnt = p->srv.opts->mnt;
	struct srv *s = &p->srv;
	int ret;
	int err;

	mnt.flags |= UEXT4_MNT_MAPPED;
	mnt.cancel = is_unwanted;
	mnt.cancel_ctx = p;
	mnt.panic = on_panic;
	mnt.panic_ctx = &p->crew;
	ret = uext4_mount_image(image, &mnt, &s->fs);
	if (ret == -EINTR)
		(void)snprintf(why, SERVE_WHY, "given up while it waited");
	if (ret < 0)
		return ret;
	ret = nodes_init(&s->nodes, s->fs);
	if (ret == 0)
		ret = serve_mounted(p, why);
	srv_close_all(s);
	nodes_fini(&s->nodes);
	err = uext4_unmount(s->fs);
	return ret < 0 ? ret : err;
}

int serve(const struct serve_opts *o, char why[SERVE_WHY])
{
	struct uext4_image *image = NULL;
	struct pool *p;
	int ret;

	why[0] = '\0';
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->srv.opts = o;
	p->signals = p->crew.ended = -1;
	LIST_INIT(&p->srv.handles);
	pthread_mutex_init(&p->srv.handles_lock, NULL);
	stops_init(&p->srv.stops);
	ret = crew_init(&p->crew, &p->srv);
	if (ret == 0)
		ret = signals_open(p);
	if (ret == 0 && !is_read_only(p)) {
		ret = flusher_start(&p->flusher);
		if (ret < 0)
			(void)snprintf(why, SERVE_WHY,
					"cannot start its helper process: %s",
					uext4_strerror(ret));
		p->srv.pages = p->flusher.pages;
	}
	if (ret == 0)
		ret = uext4_image_open(o->image, &o->mnt, &image);
	if (ret == 0)
		ret = session_open(p, why);
	if (ret < 0) {
		uext4_image_close(image);
	} else {
		ret = serve_image(p, image, why);
		fuse_session_unmount(p->srv.se);
		fuse_session_destroy(p->srv.se);
	}
	flusher_end(&p->flusher);
	if (p->signals >= 0)
		(void)close(p->signals);
	crew_fini(&p->crew);
	pthread_mutex_destroy(&p->srv.handles_lock);
	stops_fini(&p->srv.stops);
	free(p);
	return ret;
}
