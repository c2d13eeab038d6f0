/* SPDX-License-Identifier: MIT */
/*
 * The queues of a directory of the host. See host.h.
 *
 * Linux AIO by its system calls: it needs no library. Its requests are done when
 * io_getevents() says so; what one call brings and nobody takes is kept for the
 * next host_reap().
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench/host.h"

#define REAP_MAX 64u

static struct host *to_host(struct target *t)
{
	return (struct host *)t;
}

const char *host_io_name(enum bench_dir_io io)
{
	return io == BENCH_DIR_AIO ? "aio" : "io_uring";
}

/* ---- io_uring ---- */

/* The fastest that there is for one thread; old kernels do not know the flags
 * and say so. */
static int ring_open(struct io_uring *ring, unsigned depth)
{
	static const unsigned flags[] = {
		IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
		IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
		0,
	};
	int ret = -EINVAL;

	for (unsigned i = 0; ret == -EINVAL && i < 3; i++)
		ret = io_uring_queue_init(depth, ring, flags[i]);
	return ret;
}

/* The ring, with an empty place for the file that will be open. */
static int ring_init(struct io_uring *ring, unsigned depth)
{
	int none = -1;
	int ret;

	ret = ring_open(ring, depth);
	if (ret < 0)
		return ret;
	ret = io_uring_register_files(ring, &none, 1);
	if (ret < 0)
		io_uring_queue_exit(ring);
	return ret;
}

static int ring_use(struct io_uring *ring, int fd)
{
	int ret = io_uring_register_files_update(ring, 0, &fd, 1);

	return ret == 1 ? 0 : ret < 0 ? ret : -EIO;
}

static int ring_prep(struct io_uring *ring, const struct target_req *req)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	if (!sqe)
		return -EAGAIN;
	if (req->write)
		io_uring_prep_write(sqe, 0, req->buf, req->len, req->pos);
	else
		io_uring_prep_read(sqe, 0, req->buf, req->len, req->pos);
	sqe->flags |= IOSQE_FIXED_FILE;
	io_uring_sqe_set_data64(sqe, req->slot);
	return 0;
}

static int ring_submit(struct io_uring *ring, unsigned wait_for)
{
	int ret = io_uring_submit_and_wait(ring, wait_for);

	return ret == -EINTR ? 0 : ret;
}

static int ring_reap(
		struct io_uring *ring, struct target_done *done, unsigned max)
{
	struct io_uring_cqe *cqes[REAP_MAX];
	unsigned n;
	unsigned i;

	n = io_uring_peek_batch_cqe(
			ring, cqes, max < REAP_MAX ? max : REAP_MAX);
	for (i = 0; i < n; i++) {
		done[i].slot = io_uring_cqe_get_data64(cqes[i]);
		done[i].result = cqes[i]->res;
	}
	io_uring_cq_advance(ring, n);
	return (int)n;
}

/* ---- Linux AIO ---- */

static void aio_fini(struct host_aio *a)
{
	if (a->ctx != 0)
		(void)syscall(SYS_io_destroy, a->ctx);
	free(a->iocbs);
	free(a->ready);
	free(a->events);
	*a = (struct host_aio){ .depth = 0 };
}

static int aio_init(struct host_aio *a, unsigned depth)
{
	int ret = 0;

	*a = (struct host_aio){ .depth = depth };
	a->iocbs = calloc(depth, sizeof(*a->iocbs));
	a->ready = calloc(depth, sizeof(*a->ready));
	a->events = calloc(depth, sizeof(*a->events));
	if (!a->iocbs || !a->ready || !a->events)
		ret = -ENOMEM;
	else if (syscall(SYS_io_setup, depth, &a->ctx) < 0)
		ret = -errno;
	if (ret < 0)
		aio_fini(a);
	return ret;
}

static int aio_prep(struct host_aio *a, int fd, const struct target_req *req)
{
	struct iocb *iocb = &a->iocbs[req->slot];

	if (a->nready == a->depth)
		return -EAGAIN;
	*iocb = (struct iocb){
		.aio_data = req->slot,
		.aio_lio_opcode = req->write ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD,
		.aio_fildes = (uint32_t)fd,
		.aio_buf = (uintptr_t)req->buf,
		.aio_nbytes = req->len,
		.aio_offset = (int64_t)req->pos,
	};
	a->ready[a->nready++] = iocb;
	return 0;
}

/* Start all that is prepared. It takes some only where one of them fails, which
 * is then the first of the next call and told. */
static int aio_start(struct host_aio *a)
{
	unsigned done = 0;
	long n;

	while (done < a->nready) {
		n = syscall(SYS_io_submit, a->ctx, (long)(a->nready - done),
				a->ready + done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EAGAIN;
		done += (unsigned)n;
	}
	a->nready = 0;
	return (int)done;
}

static int aio_submit(struct host_aio *a, unsigned wait_for)
{
	int started = aio_start(a);
	long n;

	if (started < 0)
		return started;
	/* what was not taken yet moves to the front and is no reason to wait */
	a->nevents -= a->taken;
	memmove(a->events, a->events + a->taken,
			a->nevents * sizeof(*a->events));
	a->taken = 0;
	if (a->nevents > 0)
		wait_for = 0;
	n = syscall(SYS_io_getevents, a->ctx, (long)wait_for,
			(long)(a->depth - a->nevents), a->events + a->nevents,
			NULL);
	if (n < 0 && errno != EINTR)
		return -errno;
	if (n > 0)
		a->nevents += (unsigned)n;
	return started;
}

static int aio_reap(struct host_aio *a, struct target_done *done, unsigned max)
{
	unsigned n = a->nevents - a->taken;
	unsigned i;

	if (n > max)
		n = max;
	for (i = 0; i < n; i++) {
		done[i].slot = a->events[a->taken + i].data;
		done[i].result = a->events[a->taken + i].res;
	}
	a->taken += n;
	return (int)n;
}

/* ---- one of the two ---- */

int host_queue_init(struct host *h, unsigned depth)
{
	return h->io == BENCH_DIR_AIO ? aio_init(&h->aio, depth)
				      : ring_init(&h->ring, depth);
}

void host_queue_fini(struct host *h)
{
	if (h->io == BENCH_DIR_AIO)
		aio_fini(&h->aio);
	else
		io_uring_queue_exit(&h->ring);
}

int host_queue_use(struct host *h, int fd)
{
	return h->io == BENCH_DIR_AIO ? 0 : ring_use(&h->ring, fd);
}

int host_prep(struct target *t, const struct target_req *req)
{
	struct host *h = to_host(t);

	return h->io == BENCH_DIR_AIO ? aio_prep(&h->aio, h->fd, req)
				      : ring_prep(&h->ring, req);
}

int host_submit(struct target *t, unsigned wait_for)
{
	struct host *h = to_host(t);

	return h->io == BENCH_DIR_AIO ? aio_submit(&h->aio, wait_for)
				      : ring_submit(&h->ring, wait_for);
}

int host_reap(struct target *t, struct target_done *done, unsigned max)
{
	struct host *h = to_host(t);

	return h->io == BENCH_DIR_AIO ? aio_reap(&h->aio, done, max)
				      : ring_reap(&h->ring, done, max);
}
