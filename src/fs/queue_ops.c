/* SPDX-License-Identifier: MIT */
/*
 * What a request of a queue does: starting it, what is left when it is over, and
 * durability for many of them with one commit.
 *
 * Direct reads and writes go to the same functions as the synchronous calls
 * (dio_read_start(), dio_write_start()). Everything else is done at once by the
 * call that there is for it. fsync and DSYNC wait in to_sync until the owner
 * comes by: what has gathered until then needs one commit.
 */
#include "bdev/bdev.h"
#include "fs/attr.h"
#include "fs/file.h"
#include "fs/fs.h"
#include "fs/queue.h"

static void req_ready(
		struct uext4_queue *q, struct queue_req *req, int64_t result)
{
	if (result < 0 && req->file != NULL)
		result = fs_done(q->fs, (int)result, req->file->inode->inum);
	req->result = result;
	queue_list_add(&q->ready, req);
}

static void req_to_sync(struct uext4_queue *q, struct queue_req *req,
		int64_t result, bool datasync)
{
	req->result = result;
	req->datasync = datasync;
	queue_list_add(&q->to_sync, req);
}

/* ---- reads and writes ---- */

static bool op_is_write(const struct queue_req *req)
{
	return req->op == UEXT4_OP_WRITE || req->op == UEXT4_OP_WRITEV;
}

/* By the synchronous way, which syncs by itself. */
static void rw_at_once(struct uext4_queue *q, struct queue_req *req)
{
	struct iov_iter it;

	iov_iter_init(&it, req->iov, req->niov);
	req_ready(q, req,
			op_is_write(req) ? file_write_iter(req->file, req->pos,
							   &it, req->flags)
					 : file_read_iter(req->file, req->pos,
							   &it, req->flags));
}

static int rw_start_engine(struct uext4_queue *q, struct queue_req *req)
{
	struct dio_req *r = &req->io;
	struct iov_iter it;
	int ret;

	iov_iter_init(&it, req->iov, req->niov);
	dio_req_init(r, req->file, req->pos, &it, op_is_write(req), req->flags);
	r->slot = &req->slot->lock;
	r->flying = &req->slot->flying;
	r->hint = &req->qf->hint;
	r->fixed = req->buf_index;
	r->ended = queue_ended;
	r->dio.dev = q->chan;
	r->dio.data_done = queue_data_done;
	req->is_direct = true;

	queue_count(&q->started);
	ret = r->write ? dio_write_start(r) : dio_read_start(r);
	if (ret != DIO_UNDER_WAY)
		queue_count(&q->ended_here);
	return ret;
}

static void rw_start_direct(struct uext4_queue *q, struct queue_req *req)
{
	bool nowait = (req->flags & UEXT4_RW_NOWAIT) != 0;
	int ret;

	if (op_is_write(req))
		inode_spend_as(req->file->inode, req->file->who.is_super);
	ret = rw_start_engine(q, req);
	if (ret == -ENOSPC && !nowait && write_make_room(q->fs) == 0)
		ret = rw_start_engine(q, req);
	/* A read that is refused is no access. */
	if (ret >= 0 && !op_is_write(req) && !nowait &&
			!(req->file->flags & UEXT4_O_NOATIME))
		inode_accessed(req->file->inode);
	if (ret == DIO_BUFFERED)
		rw_at_once(q, req);
	else if (ret < 0)
		req_ready(q, req, ret);
	else if (ret == DIO_ENDED)
		queue_req_over(q, req);
}

static void rw_start(struct uext4_queue *q, struct queue_req *req)
{
	bool write = op_is_write(req);
	int ret;

	if (write)
		ret = file_check_write(req->file, req->iov, req->niov, req->pos,
				req->flags);
	else
		ret = file_check_io(req->file, req->iov, req->niov, req->pos,
				false);
	if (ret == 0)
		ret = write ? fs_may_write(q->fs) : fs_may_read(q->fs);
	if (ret < 0)
		req_ready(q, req, ret);
	else if (write ? file_writes_directly(req->file)
		       : file_reads_directly(req->file))
		rw_start_direct(q, req);
	else
		rw_at_once(q, req);
}

void queue_start(struct uext4_queue *q, struct queue_req *req)
{
	switch (req->op) {
	case UEXT4_OP_FSYNC:
	case UEXT4_OP_FDATASYNC:
		req_to_sync(q, req, 0, req->op == UEXT4_OP_FDATASYNC);
		break;
	case UEXT4_OP_FALLOCATE:
		req_ready(q, req,
				uext4_fallocate(req->file, req->flags, req->pos,
						req->len));
		break;
	case UEXT4_OP_NOP:
		req_ready(q, req, 0);
		break;
	default:
		rw_start(q, req);
	}
}

void queue_req_over(struct uext4_queue *q, struct queue_req *req)
{
	struct dio_req *r = &req->io;
	int64_t result = r->result;
	bool datasync;

	if (!r->write) {
		req_ready(q, req, result);
		return;
	}
	/* What the engine left for the cache (M3, B7, no space): F1-F3. */
	if (result >= 0 && (uint64_t)result < r->len) {
		result = dio_write_rest(r);
		r->need_sync = true;
	}
	if (result > 0 &&
			write_wants_sync(req->file, req->flags, !r->need_sync,
					&datasync))
		req_to_sync(q, req, result, datasync);
	else
		req_ready(q, req, result);
}

/* ---- durability ---- */

static bool req_is_fsync(const struct queue_req *req)
{
	return req->op == UEXT4_OP_FSYNC || req->op == UEXT4_OP_FDATASYNC;
}

void queue_sync(struct uext4_queue *q)
{
	struct sync_batch batch = { .fs = q->fs };
	struct queue_req *list = q->to_sync.first;
	struct queue_req *req;
	struct queue_req *next;
	int ret;
	int err;

	if (list == NULL)
		return;
	queue_list_init(&q->to_sync);
	iomap_at(&list->file->inode->file, list->pos, "sync");
	for (req = list; req != NULL; req = req->next) {
		ret = sync_batch_add(&batch, req->file->inode, req->datasync);
		if (ret < 0)
			req->result = ret;
	}
	err = sync_batch_run(&batch);
	for (req = list; req != NULL; req = next) {
		next = req->next;
		/* Others' errors are for fsync and close to tell. */
		ret = req_is_fsync(req) || err < 0 ? file_tell_error(req->file)
						   : 0;
		if (req->result >= 0 && (err < 0 || ret < 0))
			req->result = err < 0 ? err : ret;
		req_ready(q, req, req->result);
	}
}
