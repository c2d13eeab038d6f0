/* SPDX-License-Identifier: MIT */
/*
 * The kernel's ext4: the image on a loop device with direct I/O, mounted, the
 * files in it by the same code as those of the other mounts (host.h).
 *
 * The loop device is detached by the kernel when its last user goes
 * (LO_FLAGS_AUTOCLEAR), and the mount is made in a mount namespace of our own
 * where that is allowed: even a run that is killed leaves neither behind.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/host.h"
#include "bench/image.h"
#include "bench/mounts.h"

#define LOOP_TRIES 16

struct kernel {
	struct host host;
	char mount[512];
	bool is_mounted;
};

/* ---- loop device ---- */

/* Another program may take a device between the question and the answer. */
static int loop_open(int image, bool direct, char *path, size_t size)
{
	struct loop_config config = {
		.fd = (uint32_t)image,
		.info.lo_flags = LO_FLAGS_AUTOCLEAR |
				(direct ? LO_FLAGS_DIRECT_IO : 0),
	};
	int tries;
	int ctl;
	int fd;
	int n;

	ctl = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	if (ctl < 0)
		return -errno;
	fd = -EBUSY;
	for (tries = 0; tries < LOOP_TRIES && fd == -EBUSY; tries++) {
		n = ioctl(ctl, LOOP_CTL_GET_FREE);
		if (n < 0) {
			fd = -errno;
			break;
		}
		snprintf(path, size, "/dev/loop%d", n);
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0) {
			fd = -errno;
		} else if (ioctl(fd, LOOP_CONFIGURE, &config) < 0) {
			n = -errno;
			close(fd);
			fd = n;
		}
	}
	close(ctl);
	return fd;
}

static bool loop_is_direct(int fd)
{
	struct loop_info64 info = { 0 };

	return ioctl(fd, LOOP_GET_STATUS64, &info) == 0 &&
			(info.lo_flags & LO_FLAGS_DIRECT_IO);
}

/* ---- mount ---- */

static int kernel_mount(struct kernel *k, const struct target_setup *s)
{
	char device[64];
	int image;
	int ret = 0;
	int fd;

	image = open(s->image, O_RDWR | O_CLOEXEC | (s->direct ? O_DIRECT : 0));
	if (image < 0)
		return -errno;
	fd = loop_open(image, s->direct, device, sizeof(device));
	close(image);
	if (fd < 0) {
		(void)fault_set(s->fault, 0, "no loop device can be had: %s",
				uext4_strerror(fd));
		return TARGET_SKIP;
	}
	snprintf(s->how, s->how_size, "%s%s, loop%s", host_io_name(s->dir_io),
			s->direct ? ", O_DIRECT" : "",
			loop_is_direct(fd) ? " with direct I/O" : "");
	if (mount(device, k->mount, "ext4", 0, NULL) < 0) {
		(void)fault_set(s->fault, 0, "ext4 cannot be mounted: %s",
				uext4_strerror(-errno));
		ret = TARGET_SKIP;
	}
	k->is_mounted = ret == 0;
	close(fd);
	return ret;
}

/* ---- the target ---- */

static int kernel_close(struct target *t, struct fault *fault, int *ret_fsck)
{
	struct kernel *k = (struct kernel *)t;
	int ret = 0;

	host_fini(&k->host);
	if (k->is_mounted)
		ret = mounts_undo(k->mount);
	if (ret < 0)
		(void)fault_set(fault, 0, "%s: cannot be unmounted: %s",
				k->mount, uext4_strerror(ret));
	(void)rmdir(k->mount);
	free(k);
	return ret;
}

static const struct target_ops kernel_ops = {
	HOST_FILE_OPS,
	HOST_QUEUE_OPS,
	.sync = host_sync,
	.close = kernel_close,
};

static int kernel_start(struct kernel *k, const struct target_setup *s)
{
	int ret;

	ret = image_make(s->image, s->fault);
	if (ret < 0)
		return ret;
	if (mkdir(k->mount, 0700) < 0)
		return fault_set(s->fault, -errno, "%s: %s", k->mount,
				uext4_strerror(-errno));
	ret = kernel_mount(k, s);
	if (ret == 0)
		ret = host_init(&k->host, s, k->mount);
	return ret;
}

static int kernel_open(const struct target_setup *s, struct target **ret_t)
{
	struct kernel *k;
	int fsck;
	int ret;

	k = calloc(1, sizeof(*k));
	if (!k)
		return -ENOMEM;
	k->host = (struct host){
		.target.ops = &kernel_ops,
		.dirfd = -1,
		.namesfd = -1,
		.fd = -1,
	};
	snprintf(k->mount, sizeof(k->mount), "%s/%s.mnt", s->dir, s->name);
	ret = kernel_start(k, s);
	if (ret == 0)
		*ret_t = &k->host.target;
	else
		(void)kernel_close(&k->host.target, s->fault, &fsck);
	return ret;
}

const struct target_kind target_kernel = {
	.name = "kernel",
	.is_fs = true,
	.is_mount = true,
	.needs_root = true,
	.open = kernel_open,
};
