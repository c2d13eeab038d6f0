/* SPDX-License-Identifier: MIT */
/*
 * The raw file: a plain file of the host, of the size that the others have in
 * their images. What it reaches is the ceiling.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/host.h"

struct raw {
	struct host host;
	char path[512];
};

/* Not the whole file system of the host: others may be writing there. */
static int raw_sync(struct target *t)
{
	struct host *h = (struct host *)t;

	return h->fd >= 0 && fdatasync(h->fd) < 0 ? -errno : 0;
}

static int raw_close(struct target *t, struct fault *fault, int *ret_fsck)
{
	struct raw *raw = (struct raw *)t;
	int ret = 0;

	(void)host_file_remove(t, TARGET_KEPT);
	(void)host_file_remove(t, TARGET_FRESH);
	host_fini(&raw->host);
	if (rmdir(raw->path) < 0)
		ret = fault_set(fault, -errno, "%s: cannot be removed",
				raw->path);
	free(raw);
	return ret;
}

static const struct target_ops raw_ops = {
	.file_open = host_file_open,
	.file_resize = host_file_resize,
	.file_allocate = host_file_allocate,
	.file_close = host_file_close,
	.file_remove = host_file_remove,
	.write_sync = host_write_sync,
	.prep = host_prep,
	.submit = host_submit,
	.reap = host_reap,
	.dir_make = host_dir_make,
	.dir_remove = host_dir_remove,
	.name_create = host_name_create,
	.name_stat = host_name_stat,
	.name_unlink = host_name_unlink,
	.sync = raw_sync,
	.close = raw_close,
};

static int raw_open(const struct target_setup *s, struct target **ret_t)
{
	struct raw *raw = calloc(1, sizeof(*raw));
	int ret;

	if (!raw)
		return -ENOMEM;
	raw->host = (struct host){
		.target.ops = &raw_ops,
		.dirfd = -1,
		.namesfd = -1,
		.fd = -1,
		.data_only = true,
	};
	snprintf(raw->path, sizeof(raw->path), "%s/%s", s->dir, s->name);
	ret = mkdir(raw->path, 0700) < 0 ? -errno : 0;
	if (ret == 0)
		ret = host_init(&raw->host, s, raw->path);
	if (ret != 0) {
		(void)rmdir(raw->path);
		free(raw);
		return ret;
	}
	snprintf(s->how, s->how_size, "io_uring%s",
			s->direct ? ", O_DIRECT" : "");
	*ret_t = &raw->host.target;
	return 0;
}

const struct target_kind target_raw = {
	.name = "raw",
	.open = raw_open,
};
