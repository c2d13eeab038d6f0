/* SPDX-License-Identifier: MIT */
/*
 * uext4 mount IMAGE DIRECTORY: serve an image through FUSE.
 *
 * The server is a child that has left the terminal (-f: this process itself).
 * It tells its parent by a pipe when the mount answers, or how it failed; its
 * lines go to the terminal until then, and to the system log after that.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/loops.h"
#include "cli/mount_opts.h"
#include "fuse/serve.h"

#define MAX_BACKGROUND 256

struct mount_run {
	struct cli *c;
	bool foreground;
	bool served;   /* the mount answers: words go to the log */
	int to_parent; /* -1: none */
};

/* ---- words ---- */

static void mount_log(void *ctx, enum uext4_log_level level, const char *msg)
{
	struct mount_run *run = ctx;

	if (run->served && !run->foreground)
		syslog(level == UEXT4_LOG_ERR ? LOG_ERR : LOG_WARNING, "%s",
				msg);
	else if (level == UEXT4_LOG_ERR && !run->served)
		(void)snprintf(run->c->logged, sizeof(run->c->logged), "%s",
				msg);
	else
		cli_warnf(run->c, "%s", msg);
}

static void tell_parent(struct mount_run *run, int status)
{
	unsigned char byte = (unsigned char)status;

	if (run->to_parent < 0)
		return;
	if (write(run->to_parent, &byte, 1) < 0)
		syslog(LOG_ERR, "nobody waits for the mount: %m");
	(void)close(run->to_parent);
	run->to_parent = -1;
}

/* Nobody waits at the other end of the pipe any more: it was interrupted. */
static bool is_left_alone(void *ctx)
{
	struct mount_run *run = ctx;
	struct pollfd pfd = { .fd = run->to_parent };

	return run->to_parent >= 0 && poll(&pfd, 1, 0) > 0;
}

static void on_ready(void *ctx)
{
	struct mount_run *run = ctx;
	int null;

	run->served = true;
	if (run->foreground)
		return;
	tell_parent(run, CLI_OK);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0) {
		(void)dup2(null, STDIN_FILENO);
		(void)dup2(null, STDOUT_FILENO);
		(void)dup2(null, STDERR_FILENO);
		(void)close(null);
	}
}

/* ---- the mount point ---- */

/* 0, or the exit status with the line printed. */
static int check_dir(struct cli *c, const char *dir)
{
	char *up = NULL;
	struct stat st;
	struct stat above;
	int ret = 0;

	if (stat(dir, &st) < 0) {
		if (errno == ENOTCONN)
			return cli_errf(c,
					"%s: the mount that was there has "
					"died; end it with umount %s first",
					dir, dir);
		return cli_err(c, NULL, dir, -errno);
	}
	if (!S_ISDIR(st.st_mode))
		return cli_errf(c,
				"%s: not a directory; give the directory to "
				"mount on",
				dir);
	if (asprintf(&up, "%s/..", dir) < 0)
		return cli_err(c, NULL, dir, -ENOMEM);
	if (stat(up, &above) == 0 &&
			(above.st_dev != st.st_dev ||
					above.st_ino == st.st_ino))
		ret = cli_errf(c,
				"%s: something is mounted there already; "
				"unmount it or choose another directory",
				dir);
	else if (geteuid() != 0 && access(dir, W_OK) < 0)
		ret = cli_errf(c,
				"%s: not yours to mount on; choose a directory "
				"that you can write to",
				dir);
	free(up);
	return ret;
}

/* 0, or the exit status with the line printed. */
static int check_image(struct cli *c, const char *image)
{
	char name[LOOP_NAME];

	if (!loops_in_use(image, name))
		return 0;
	return cli_errf(c,
			"%s: in use: the kernel has it mounted through %s; "
			"unmount it there first",
			image, name);
}

/* ---- the server ---- */

static int run_server(struct mount_run *run, struct serve_opts *o)
{
	struct cli *c = run->c;
	char why[SERVE_WHY];
	int ret;

	o->ready = on_ready;
	o->ready_ctx = run;
	o->probe = !run->foreground;
	o->mnt.log = mount_log;
	o->mnt.log_ctx = run;
	o->mnt.cancel = is_left_alone;
	o->mnt.cancel_ctx = run;
	ret = serve(o, why);
	if (ret < 0 && run->served && !run->foreground)
		syslog(LOG_ERR, "%s: %s", o->image,
				why[0] != '\0' ? why : uext4_strerror(ret));
	if (ret < 0 && why[0] != '\0')
		(void)cli_errf(c, "%s: %s", o->dir, why);
	else if (ret < 0)
		(void)cli_err(c, o->image, NULL, ret);
	if (ret == -EUCLEAN)
		c->status = CLI_DAMAGED;
	return c->status;
}

/* In a child of its own session. */
static int run_behind(struct mount_run *run, struct serve_opts *o)
{
	unsigned char status = CLI_FAILED;
	int fd[2];
	pid_t pid;

	if (pipe2(fd, O_CLOEXEC) < 0)
		return cli_err(run->c, NULL, "pipe", -errno);
	pid = fork();
	if (pid < 0)
		return cli_err(run->c, NULL, "fork", -errno);
	if (pid == 0) {
		(void)close(fd[0]);
		run->to_parent = fd[1];
		(void)setsid();
		if (chdir("/") < 0)
			syslog(LOG_WARNING, "cannot leave the directory: %m");
		openlog("uext4", LOG_PID, LOG_DAEMON);
		run->c->status = run_server(run, o);
		tell_parent(run, run->c->status);
		_exit(run->c->status);
	}
	(void)close(fd[1]);
	/* Nothing comes if it was killed. */
	if (read(fd[0], &status, 1) != 1)
		(void)cli_errf(run->c, "%s: the server died before it answered",
				o->image);
	(void)close(fd[0]);
	run->c->status = status;
	return status;
}

static int mount_it(struct mount_run *run, char **args, struct serve_opts *o)
{
	char *image = realpath(args[0], NULL);
	struct cli *c = run->c;
	char *dir = NULL;
	int ret;

	ret = image ? check_dir(c, args[1]) : cli_err(c, args[0], NULL, -errno);
	if (ret == 0) {
		dir = realpath(args[1], NULL);
		if (!dir)
			ret = cli_err(c, NULL, args[1], -errno);
	}
	o->image = image;
	o->dir = dir;
	if (ret == 0)
		ret = check_image(c, image);
	if (ret == 0)
		ret = cli_place(c, image, &o->mnt);
	if (ret == 0)
		ret = mount_opts_finish(c, o);
	if (ret == 0)
		ret = run->foreground ? run_server(run, o) : run_behind(run, o);
	free(image);
	free(dir);
	return ret;
}

int cmd_mount(struct cli *c, int argc, char **argv)
{
	struct mount_run run = { .c = c, .to_parent = -1 };
	struct serve_opts o = {
		.mnt = { .size = sizeof(o.mnt) },
		.checked = true,
		.max_background = MAX_BACKGROUND,
	};
	int opt;
	int ret;

	while ((opt = cli_getopt(c, argc, argv, ":fo:nsvN:t:")) != -1) {
		if (opt == 'f') {
			run.foreground = true;
		} else if (opt == 'o') {
			ret = mount_opts_parse(c, optarg, &o);
			if (ret != 0)
				return c->status = ret;
		} else if (opt == '?') {
			return cli_usage(c);
		} /* what mount(8) hands to its helpers means nothing here */
	}
	if (argc - optind != 2)
		return cli_usage(c);
	return mount_it(&run, argv + optind, &o);
}
