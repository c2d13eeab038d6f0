/* SPDX-License-Identifier: MIT */
/*
 * The raw file: a plain file of the host, of the size that the others have in
 * their images. What it reaches is the ceiling.
 *
 * There are two: by io_uring, and by one pread or pwrite after the other, which
 * shows what the ring costs or saves, and works where io_uring is refused.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/host.h"

struct raw {
	struct host host;
	char path[512];
	/* raw-sync: what is prepared, and from submit on what is done */
	struct target_req *reqs;
	struct target_done *done;
	unsigned nreqs, ndone, taken;
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
	free(raw->reqs);
	free(raw->done);
	free(raw);
	return ret;
}

/* ---- one after the other ---- */

static int sync_prep(struct target *t, const struct target_req *req)
{
	struct raw *raw = (struct raw *)t;

	raw->reqs[raw->nreqs++] = *req;
	return 0;
}

static ssize_t sync_one(const struct raw *raw, const struct target_req *req)
{
	ssize_t n;

	if (req->write)
		n = pwrite(raw->host.fd, req->buf, req->len, (off_t)req->pos);
	else
		n = pread(raw->host.fd, req->buf, req->len, (off_t)req->pos);
	return n < 0 ? -errno : n;
}

static int sync_submit(struct target *t, unsigned wait_for)
{
	struct raw *raw = (struct raw *)t;
	unsigned n = raw->nreqs;
	unsigned i;

	/* what was not taken yet moves to the front: there are depth places */
	raw->ndone -= raw->taken;
	memmove(raw->done, raw->done + raw->taken,
			raw->ndone * sizeof(*raw->done));
	raw->taken = 0;
	for (i = 0; i < n; i++, raw->ndone++) {
		raw->done[raw->ndone].slot = raw->reqs[i].slot;
		raw->done[raw->ndone].result = sync_one(raw, &raw->reqs[i]);
	}
	raw->nreqs = 0;
	return (int)n;
}

static int sync_reap(struct target *t, struct target_done *done, unsigned max)
{
	struct raw *raw = (struct raw *)t;
	unsigned n = raw->ndone - raw->taken;

	if (n > max)
		n = max;
	memcpy(done, raw->done + raw->taken, n * sizeof(*done));
	raw->taken += n;
	return (int)n;
}

/* ---- the targets ---- */

static const struct target_ops raw_ops = {
	HOST_FILE_OPS,
	HOST_QUEUE_OPS,
	.sync = raw_sync,
	.close = raw_close,
};

static const struct target_ops sync_ops = {
	HOST_FILE_OPS,
	.prep = sync_prep,
	.submit = sync_submit,
	.reap = sync_reap,
	.sync = raw_sync,
	.close = raw_close,
};

/* The image becomes the file that is kept. */
static int raw_start(struct raw *raw, const struct target_setup *s)
{
	struct target_setup setup = *s;
	char kept[600];
	int ret;

	raw->reqs = calloc(s->depth, sizeof(*raw->reqs));
	raw->done = calloc(s->depth, sizeof(*raw->done));
	if (!raw->reqs || !raw->done)
		return -ENOMEM;
	snprintf(raw->path, sizeof(raw->path), "%s/%s", s->dir, s->name);
	if (mkdir(raw->path, 0700) < 0)
		return -errno;
	snprintf(kept, sizeof(kept), "%s/%s", raw->path, TARGET_KEPT);
	ret = rename(s->image, kept) < 0 ? -errno : 0;
	/* The ceiling is always the fastest way there is. */
	setup.dir_io = BENCH_DIR_URING;
	if (ret == 0)
		ret = host_init(&raw->host, &setup, raw->path);
	if (ret != 0) {
		(void)unlink(kept);
		(void)rmdir(raw->path);
	}
	return ret;
}

static int raw_open_with(const struct target_ops *ops,
		const struct target_setup *s, struct target **ret_t)
{
	struct raw *raw = calloc(1, sizeof(*raw));
	int ret;

	if (!raw)
		return -ENOMEM;
	raw->host = (struct host){
		.target.ops = ops,
		.dirfd = -1,
		.namesfd = -1,
		.fd = -1,
		.no_queue = ops == &sync_ops,
		.data_only = true,
	};
	ret = raw_start(raw, s);
	if (ret != 0) {
		free(raw->reqs);
		free(raw->done);
		free(raw);
		return ret;
	}
	snprintf(s->how, s->how_size, "%s%s",
			raw->host.no_queue ? "pread and pwrite" : "io_uring",
			s->direct ? ", O_DIRECT" : "");
	*ret_t = &raw->host.target;
	return 0;
}

static int raw_open(const struct target_setup *s, struct target **ret_t)
{
	return raw_open_with(&raw_ops, s, ret_t);
}

static int raw_sync_open(const struct target_setup *s, struct target **ret_t)
{
	return raw_open_with(&sync_ops, s, ret_t);
}

const struct target_kind target_raw = {
	.name = "raw",
	.open = raw_open,
};

const struct target_kind target_raw_sync = {
	.name = "raw-sync",
	.is_extra = true,
	.open = raw_sync_open,
};
