/* SPDX-License-Identifier: MIT */
/*
 * The engine: an image mounted in this process, requests through a queue, names
 * by calls. Files are opened with UEXT4_O_DIRECT.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "uext4/uext4.h"

#include "bench/image.h"
#include "bench/target.h"

#define REAP_MAX 64u

struct engine {
	struct target target;
	struct uext4_fs *fs;
	struct uext4_queue *queue;
	struct uext4_node *root;
	struct uext4_node *names;
	struct uext4_file *file;
	const char *image;
	pthread_mutex_t lock;
	char said[200]; /* [lock] the first error that the engine logged */
};

static struct engine *to_engine(struct target *t)
{
	return (struct engine *)t;
}

/* ---- the file ---- */

static int engine_file_open(struct target *t, const char *name)
{
	struct engine *e = to_engine(t);

	return uext4_create(e->root, name,
			UEXT4_O_RDWR | UEXT4_O_CREAT | UEXT4_O_DIRECT, 0600,
			NULL, &e->file);
}

static int engine_file_resize(struct target *t, uint64_t size)
{
	return uext4_ftruncate(to_engine(t)->file, size);
}

static int engine_file_allocate(struct target *t, uint64_t size)
{
	return uext4_fallocate(to_engine(t)->file, 0, 0, size);
}

static int engine_file_close(struct target *t)
{
	struct engine *e = to_engine(t);
	int ret = uext4_close(e->file);

	e->file = NULL;
	return ret;
}

static int engine_file_remove(struct target *t, const char *name)
{
	return uext4_unlink(to_engine(t)->root, name, NULL);
}

/* ---- the queue ---- */

static int engine_prep(struct target *t, const struct target_req *req)
{
	struct engine *e = to_engine(t);
	const struct uext4_sqe sqe = {
		.op = req->write ? UEXT4_OP_WRITE : UEXT4_OP_READ,
		.file = e->file,
		.pos = req->pos,
		.buf = req->buf,
		.len = req->len,
		.user_data = req->slot,
	};

	return uext4_queue_prep(e->queue, &sqe);
}

/* The waiting is done by engine_reap(). */
static int engine_submit(struct target *t, unsigned wait_for)
{
	return uext4_queue_submit(to_engine(t)->queue);
}

static int engine_reap(struct target *t, struct target_done *done, unsigned max)
{
	struct uext4_event events[REAP_MAX];
	int ret;
	int i;

	ret = uext4_queue_wait(to_engine(t)->queue, 1, -1, events,
			max < REAP_MAX ? max : REAP_MAX);
	if (ret == -EINTR)
		return 0;
	for (i = 0; i < ret; i++) {
		done[i].slot = events[i].user_data;
		done[i].result = events[i].result;
	}
	return ret;
}

/* One request from prep to its event. */
static int64_t engine_one(struct engine *e, const struct uext4_sqe *sqe)
{
	struct uext4_event event;
	int ret;

	ret = uext4_queue_prep(e->queue, sqe);
	if (ret == 0)
		ret = uext4_queue_submit(e->queue);
	if (ret < 0)
		return ret;
	do
		ret = uext4_queue_wait(e->queue, 1, -1, &event, 1);
	while (ret == -EINTR || ret == 0);
	return ret < 0 ? ret : event.result;
}

static int engine_write_sync(
		struct target *t, void *buf, uint32_t len, uint64_t pos)
{
	struct engine *e = to_engine(t);
	struct uext4_sqe sqe = {
		.op = UEXT4_OP_WRITE,
		.file = e->file,
		.pos = pos,
		.buf = buf,
		.len = len,
	};
	int64_t n;

	n = engine_one(e, &sqe);
	if (n < 0)
		return (int)n;
	if (n != (int64_t)len)
		return -EIO;
	sqe = (struct uext4_sqe){ .op = UEXT4_OP_FSYNC, .file = e->file };
	return (int)engine_one(e, &sqe);
}

/* ---- names ---- */

static int engine_dir_make(struct target *t)
{
	struct engine *e = to_engine(t);

	return uext4_mkdir(e->root, "names", 0700, NULL, &e->names);
}

static int engine_dir_remove(struct target *t)
{
	struct engine *e = to_engine(t);

	uext4_node_put(e->names);
	e->names = NULL;
	return uext4_rmdir(e->root, "names", NULL);
}

static int engine_name_create(struct target *t, const char *name)
{
	struct uext4_file *file;
	int ret;

	ret = uext4_create(to_engine(t)->names, name,
			UEXT4_O_WRONLY | UEXT4_O_CREAT | UEXT4_O_EXCL, 0600,
			NULL, &file);
	return ret < 0 ? ret : uext4_close(file);
}

static int engine_name_stat(struct target *t, const char *name)
{
	struct uext4_node *node;
	struct uext4_stat st;
	int ret;

	ret = uext4_lookup(to_engine(t)->names, name, NULL, &node);
	if (ret < 0)
		return ret;
	ret = uext4_node_stat(node, &st);
	uext4_node_put(node);
	if (ret < 0)
		return ret;
	return (st.mode & 0170000) == 0100000 && st.size == 0 ? 0 : -EIO;
}

static int engine_name_unlink(struct target *t, const char *name)
{
	return uext4_unlink(to_engine(t)->names, name, NULL);
}

static int engine_sync(struct target *t)
{
	return uext4_sync(to_engine(t)->fs);
}

/* ---- mount ---- */

static void engine_log(void *ctx, enum uext4_log_level level, const char *msg)
{
	struct engine *e = ctx;

	pthread_mutex_lock(&e->lock);
	if (e->said[0] == '\0')
		snprintf(e->said, sizeof(e->said), "%s", msg);
	pthread_mutex_unlock(&e->lock);
}

/* Put what the engine logged behind what failed because of it. */
static void engine_explain(struct engine *e, struct fault *fault)
{
	pthread_mutex_lock(&e->lock);
	if (e->said[0] != '\0')
		fault_add(fault, e->said);
	pthread_mutex_unlock(&e->lock);
}

static int engine_mount(struct engine *e, const struct target_setup *s)
{
	struct uext4_mount_opts opts = {
		.size = sizeof(opts),
		.flags = s->direct ? UEXT4_MNT_DIRECT : 0,
		.log = engine_log,
		.log_ctx = e,
		.log_level = UEXT4_LOG_ERR,
		.dio_alloc = s->dio_alloc,
		.dio_extend = s->dio_extend,
		.dio_size = s->dio_size,
	};
	struct uext4_queue_opts qopts = {
		.size = sizeof(qopts),
		.depth = s->depth,
		.backend = s->backend,
	};
	int ret;

	ret = uext4_mount(e->image, &opts, &e->fs);
	if (ret < 0)
		return fault_set(s->fault, ret, "the engine cannot mount: %s",
				uext4_strerror(ret));
	ret = uext4_node_root(e->fs, &e->root);
	if (ret < 0)
		return ret;
	ret = uext4_queue_open(e->fs, &qopts, &e->queue);
	if (ret == -EOPNOTSUPP)
		ret = TARGET_SKIP;
	if (ret != 0)
		return fault_set(s->fault, ret, "the engine has no such queue");
	snprintf(s->how, s->how_size, "queue: %s%s",
			uext4_queue_backend_name(e->queue),
			s->direct ? ", O_DIRECT" : "");
	return 0;
}

static int engine_close(struct target *t, struct fault *fault, int *ret_fsck)
{
	struct engine *e = to_engine(t);
	int ret = 0;
	int err;

	if (e->fs) {
		uext4_queue_close(e->queue);
		(void)uext4_close(e->file);
		uext4_node_put(e->names);
		uext4_node_put(e->root);
		ret = uext4_unmount(e->fs);
		if (ret < 0)
			(void)fault_set(fault, 0,
					"the engine cannot unmount: %s",
					uext4_strerror(ret));
	}
	/* an opener that fails has nothing to check yet */
	if (e->queue) {
		err = image_check(e->image, fault);
		if (err >= 0)
			*ret_fsck = err;
		if (ret == 0 && err != 0)
			ret = err < 0 ? err : -EUCLEAN;
	}
	engine_explain(e, fault);
	pthread_mutex_destroy(&e->lock);
	free(e);
	return ret;
}

static const struct target_ops engine_ops = {
	.file_open = engine_file_open,
	.file_resize = engine_file_resize,
	.file_allocate = engine_file_allocate,
	.file_close = engine_file_close,
	.file_remove = engine_file_remove,
	.write_sync = engine_write_sync,
	.prep = engine_prep,
	.submit = engine_submit,
	.reap = engine_reap,
	.dir_make = engine_dir_make,
	.dir_remove = engine_dir_remove,
	.name_create = engine_name_create,
	.name_stat = engine_name_stat,
	.name_unlink = engine_name_unlink,
	.sync = engine_sync,
	.close = engine_close,
};

static int engine_open(const struct target_setup *s, struct target **ret_t)
{
	struct engine *e = calloc(1, sizeof(*e));
	int fsck;
	int ret;

	if (!e)
		return -ENOMEM;
	e->target.ops = &engine_ops;
	pthread_mutex_init(&e->lock, NULL);
	e->image = s->image;
	ret = image_make(s->image, s->fault);
	if (ret == 0)
		ret = engine_mount(e, s);
	if (ret == 0)
		*ret_t = &e->target;
	else
		(void)engine_close(&e->target, s->fault, &fsck);
	return ret;
}

const struct target_kind target_engine = {
	.name = "engine",
	.is_fs = true,
	.is_ours = true,
	.open = engine_open,
};
