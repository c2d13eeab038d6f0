/* SPDX-License-Identifier: MIT */
/*
 * Mounts through FUSE: ours, served by this same program, and the peer, Debian's
 * fuse2fs. The files in them are read and written by the same code as those of
 * the kernel's ext4 (host.h).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/child.h"
#include "bench/host.h"
#include "bench/image.h"
#include "bench/server.h"

struct fuse {
	struct host host;
	struct server server;
	char mount[512];
	char image[512]; /* to be checked at the end; "": it is not */
};

/* How a server is run: PATH [COMMAND] -f -o OPTS IMAGE DIRECTORY. */
struct fuse_args {
	char path[4096];
	char *command; /* or NULL */
	char opts[80];
	char what[160]; /* for the report */
};

/* ---- is it here ---- */

static int fuse_is_here(struct fault *fault)
{
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return fault_set(fault, TARGET_SKIP, "/dev/fuse: %s",
				uext4_strerror(-errno));
	close(fd);
	return 0;
}

static int fuse2fs_is_here(struct fault *fault)
{
	char path[4096];

	if (child_find("fuse2fs", path, sizeof(path)) < 0)
		return fault_set(fault, TARGET_SKIP,
				"there is no fuse2fs; install fuse2fs");
	return fuse_is_here(fault);
}

/* ---- the target ---- */

/* What syncfs() does not do on FUSE: the server is told by fsync. */
static int fuse_sync(struct target *t)
{
	struct host *h = (struct host *)t;

	if (h->fd >= 0 && fsync(h->fd) < 0)
		return -errno;
	if (h->namesfd >= 0 && fsync(h->namesfd) < 0)
		return -errno;
	return fsync(h->dirfd) < 0 ? -errno : 0;
}

static uint64_t fuse_cpu(struct target *t)
{
	return server_cpu(&((struct fuse *)t)->server);
}

static int fuse_check(const struct fuse *f, struct fault *fault, int *ret_fsck)
{
	int ret = image_check(f->image, fault);

	if (ret < 0)
		return ret;
	*ret_fsck = ret;
	return ret == 0 ? 0 : -EUCLEAN;
}

static int fuse_close(struct target *t, struct fault *fault, int *ret_fsck)
{
	struct fuse *f = (struct fuse *)t;
	bool was_mounted = f->server.mounted;
	int ret;

	host_fini(&f->host);
	ret = server_end(&f->server, fault);
	if (ret == 0 && was_mounted && f->image[0] != '\0')
		ret = fuse_check(f, fault, ret_fsck);
	(void)rmdir(f->mount);
	free(f);
	return ret;
}

static const struct target_ops fuse_ops = {
	HOST_FILE_OPS,
	HOST_QUEUE_OPS,
	.sync = fuse_sync,
	.cpu = fuse_cpu,
	.close = fuse_close,
};

static int fuse_serve(struct fuse *f, const struct target_setup *s,
		struct fuse_args *args)
{
	char *image = strdup(s->image);
	char *argv[8];
	unsigned n = 0;
	int ret = -ENOMEM;

	argv[n++] = args->path;
	if (args->command)
		argv[n++] = args->command;
	argv[n++] = (char[]){ "-f" };
	argv[n++] = (char[]){ "-o" };
	argv[n++] = args->opts;
	argv[n++] = image;
	argv[n++] = f->mount;
	argv[n] = NULL;
	if (image)
		ret = server_start(
				&f->server, argv, f->mount, s->stop, s->fault);
	free(image);
	return ret;
}

/* Does it talk to the kernel through io_uring? Then it has a ring open. */
static bool fuse_has_ring(const struct fuse *f)
{
	char dir[64];
	char name[64];
	struct dirent *d;
	bool has = false;
	ssize_t n;
	DIR *fds;

	snprintf(dir, sizeof(dir), "/proc/%d/fd", (int)f->server.pid);
	fds = opendir(dir);
	/* one thread reads this stream */
	/* NOLINTNEXTLINE(concurrency-mt-unsafe) */
	while (fds && !has && (d = readdir(fds)) != NULL) {
		n = readlinkat(dirfd(fds), d->d_name, name, sizeof(name) - 1);
		name[n > 0 ? n : 0] = '\0';
		has = strstr(name, "[io_uring]") != NULL;
	}
	if (fds)
		closedir(fds);
	return has;
}

static int fuse_start(struct fuse *f, const struct target_setup *s,
		struct fuse_args *args)
{
	int ret;

	ret = image_make(s->image, s->fault);
	if (ret < 0)
		return ret;
	if (mkdir(f->mount, 0700) < 0)
		return fault_set(s->fault, -errno, "%s: %s", f->mount,
				uext4_strerror(-errno));
	ret = fuse_serve(f, s, args);
	if (ret == 0)
		ret = host_init(&f->host, s, f->mount);
	if (ret == 0)
		snprintf(s->how, s->how_size, "%s%s, %s%s",
				host_io_name(s->dir_io),
				s->direct ? ", O_DIRECT" : "", args->what,
				fuse_has_ring(f) ? ", FUSE over io_uring" : "");
	return ret;
}

static int fuse_open(const struct target_setup *s, struct fuse_args *args,
		bool check, struct target **ret_t)
{
	struct fuse *f = calloc(1, sizeof(*f));
	int fsck;
	int ret;

	if (!f)
		return -ENOMEM;
	f->host = (struct host){
		.target.ops = &fuse_ops,
		.dirfd = -1,
		.namesfd = -1,
		.fd = -1,
	};
	f->server.log = -1;
	snprintf(f->mount, sizeof(f->mount), "%s/%s.mnt", s->dir, s->name);
	snprintf(f->image, sizeof(f->image), "%s", check ? s->image : "");
	ret = fuse_start(f, s, args);
	if (ret == 0) {
		*ret_t = &f->host.target;
	} else {
		f->image[0] = '\0';
		(void)fuse_close(&f->host.target, s->fault, &fsck);
	}
	return ret;
}

/* ---- ours ---- */

/* What is not left to the defaults, as the mount's options. */
static void mount_options(const struct target_setup *s, char *opts, size_t size)
{
	static const char *const alloc[] = { "", ",dio_alloc=unwritten",
		",dio_alloc=datafirst" };
	static const char *const extend[] = { "", ",dio_extend=parallel",
		",dio_extend=serial" };
	static const char *const sizes[] = { "", ",dio_size=max",
		",dio_size=prefix" };

	snprintf(opts, size, "rw%s%s%s", alloc[s->dio_alloc],
			extend[s->dio_extend], sizes[s->dio_size]);
}

/* By this same program, or by another build of it that is to be measured. */
static int mount_open(const struct target_setup *s, struct target **ret_t)
{
	/* nothing in this program changes the environment */
	/* NOLINTNEXTLINE(concurrency-mt-unsafe) */
	const char *other = getenv("UEXT4_BENCH_MOUNT");
	struct fuse_args args = { .command = (char[]){ "mount" } };

	if (other && other[0] == '\0')
		other = NULL;
	snprintf(args.path, sizeof(args.path), "%s",
			other ? other : "/proc/self/exe");
	mount_options(s, args.opts, sizeof(args.opts));
	snprintf(args.what, sizeof(args.what), "%s mount -f -o %s",
			other ? other : "uext4", args.opts);
	return fuse_open(s, &args, true, ret_t);
}

const struct target_kind target_mount = {
	.name = "mount",
	.is_fs = true,
	.is_mount = true,
	.is_extra = true,
	.is_here = fuse_is_here,
	.open = mount_open,
};

/* ---- the peer ---- */

/* "fuse2fs 1.47.0", from what it says of itself. */
static void fuse2fs_version(char *path, char *ret, size_t size)
{
	char *const argv[] = { path, (char[]){ "-V" }, NULL };
	char said[512];
	char *line;
	char *rest = NULL;

	snprintf(ret, size, "fuse2fs");
	if (child_run(argv, -1, -1, said, sizeof(said)) < 0)
		return;
	for (line = strtok_r(said, "\n", &rest); line;
			line = strtok_r(NULL, "\n", &rest)) {
		if (strncmp(line, "fuse2fs ", 8) == 0)
			snprintf(ret, size, "%.*s",
					8 + (int)strcspn(line + 8, " "), line);
	}
}

static int fuse2fs_open(const struct target_setup *s, struct target **ret_t)
{
	struct fuse_args args = { .command = NULL };
	char version[40];
	int ret;

	ret = child_find("fuse2fs", args.path, sizeof(args.path));
	if (ret < 0)
		return ret;
	fuse2fs_version((char[]){ "fuse2fs" }, version, sizeof(version));
	snprintf(args.opts, sizeof(args.opts), "fakeroot,rw,hard_remove");
	snprintf(args.what, sizeof(args.what), "%s -f -o %s", version,
			args.opts);
	return fuse_open(s, &args, false, ret_t);
}

const struct target_kind target_fuse2fs = {
	.name = "fuse2fs",
	.is_fs = true,
	.is_mount = true,
	.is_extra = true,
	.is_here = fuse2fs_is_here,
	.open = fuse2fs_open,
};
