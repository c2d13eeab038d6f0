/* SPDX-License-Identifier: MIT */
/*
 * A channel whose road is an io_uring over the descriptor of a file device.
 *
 * submit fills entries; kick and poll enter the kernel. What the ring does not
 * do as a whole (short, interrupted, not supported, or cancelled because the
 * thread that entered it has exited) the parent does again from the start, so
 * that its rules V2, F2 and F3 hold here too. What is not one system call
 * (flush, zero, discard, a bounce) goes to the parent inside submit.
 *
 * A request on the road is in the ring (an entry, or in the kernel) or held
 * back, in order, because the ring carries as many as the depth allows.
 *
 * One thread at a time sleeps in the kernel, the leader; the others wait on
 * chan->cond. The leader sleeps without the lock, so somebody else may take the
 * very completions it sleeps for, even before it has gone to sleep. It is
 * therefore woken by an entry that does nothing, the nudge:
 *
 *	T1 sees nothing to take, leads; T2 takes all there is, nudges;
 *	T1 enters the kernel: the nudge is there, it returns at once.
 *
 * Rules    (U1) The ring's memory is touched under chan->lock only; a leader
 *               in the kernel does not touch it. The lock also is what orders
 *               the caller's memory between submitter and reaper.
 *          (U2) Who takes out a nudge while there is a leader puts one back.
 *          (U3) No thread owns the ring (no single issuer, no deferred work):
 *               V7. A submitter that is asleep or gone does not hold up a
 *               completion; one that computes does until the next interrupt,
 *               for completions are not worth one of their own.
 *
 * Locks    chan->lock; the kernel may do I/O inside kick, with the lock held.
 */
#include <assert.h>
#include <liburing.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/uio.h>

#include "base/err.h"
#include "base/lock.h"
#include "bdev/bdev.h"
#include "bdev/bdev_file.h"
#include "bdev/chan.h"

#define NS_PER_S       1000000000u
#define DEPTH_MAX      16384u     /* half of what the kernel takes */
#define IO_BYTES_MAX   (1u << 30) /* the kernel cuts at 2 GiB less a page */
#define BUFS_MAX       16384u     /* the kernel's limits on registering */
#define BUF_BYTES_MAX  (1u << 30)
#define LEAD_NS        (1000u * 1000000u) /* a leader looks again after this */
#define LEAD_UNSENT_NS (5u * 1000000u)    /* and when the kernel refused some */

struct bdev_uring {
	struct chan c;
	struct io_uring ring;  /* [lock] U1 */
	uint64_t base;         /* [const] start of the device inside the file */
	unsigned depth;        /* [const] */
	unsigned in_ring;      /* [lock] at most depth; nudges not counted */
	struct chan_list held; /* [lock] empty while in_ring < depth */
	unsigned nbufs;        /* [lock] registered */
	bool is_led;           /* [lock] a thread sleeps in the kernel */
	bool is_nudged;        /* [lock] a nudge is in the ring */
};

static struct bdev_uring *to_uring(struct chan *c)
{
	return container_of(c, struct bdev_uring, c);
}

/* ---- onto the ring ---- */

static void kick_locked(struct bdev_uring *u)
{
	/* It stops behind an entry that it refuses, so more than once. What
	 * it has no memory for stays, and is tried again by the next poll. */
	while (io_uring_sq_ready(&u->ring) > 0)
		if (io_uring_submit(&u->ring) <= 0)
			break;
}

/* NULL: the kernel does not take what is there. */
static struct io_uring_sqe *get_sqe_locked(struct bdev_uring *u)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

	if (sqe)
		return sqe;
	kick_locked(u);
	return io_uring_get_sqe(&u->ring);
}

static void prep_piece_locked(struct bdev_uring *u, struct io_uring_sqe *sqe,
		const struct bdev_io *io)
{
	void *buf = io->iov[0].iov_base;
	unsigned len = (unsigned)io->len;
	uint64_t pos = u->base + io->pos;
	bool is_fixed = io->fixed != 0 && io->fixed <= u->nbufs;
	int idx = (int)io->fixed - 1;

	if (io->op == BDEV_READ && is_fixed)
		io_uring_prep_read_fixed(sqe, 0, buf, len, pos, idx);
	else if (io->op == BDEV_READ)
		io_uring_prep_read(sqe, 0, buf, len, pos);
	else if (is_fixed)
		io_uring_prep_write_fixed(sqe, 0, buf, len, pos, idx);
	else
		io_uring_prep_write(sqe, 0, buf, len, pos);
}

static bool fill_locked(struct bdev_uring *u, struct bdev_io *io)
{
	struct io_uring_sqe *sqe = get_sqe_locked(u);
	uint64_t pos = u->base + io->pos;
	unsigned n = (unsigned)io->iovcnt;

	if (!sqe)
		return false;
	if (n == 1)
		prep_piece_locked(u, sqe, io);
	else if (io->op == BDEV_READ)
		io_uring_prep_readv(sqe, 0, io->iov, n, pos);
	else
		io_uring_prep_writev(sqe, 0, io->iov, n, pos);
	if (io->op == BDEV_WRITE && (io->flags & BDEV_F_FUA))
		sqe->rw_flags = RWF_DSYNC;
	/* Number 0 of the registered files is ours. */
	io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
	io_uring_sqe_set_data(sqe, io);
	u->in_ring++;
	return true;
}

static void put_locked(struct bdev_uring *u, struct bdev_io *io)
{
	u->c.inflight++;
	if (!u->held.head && u->in_ring < u->depth && fill_locked(u, io))
		return;
	if (!u->held.head)
		kick_locked(u);
	chan_list_add(&u->held, io);
}

static void refill_locked(struct bdev_uring *u)
{
	struct bdev_io *io;

	while ((io = u->held.head) != NULL && u->in_ring < u->depth) {
		if (!fill_locked(u, io))
			return;
		(void)chan_list_pop(&u->held);
	}
}

/* ---- off the ring ---- */

/* Did the ring, not the file, fail? */
static bool is_of_the_ring(int err)
{
	switch (err) {
	case EAGAIN:
	case EINTR:
	case ECANCELED: /* its thread has exited */
	case EFAULT:    /* the same, in the middle of a buffered read */
	case ENOMEM:
	case ENOBUFS:
	case EINVAL:
	case EOPNOTSUPP: /* RWF_DSYNC: the parent finds out and remembers */
	case ENOSYS:
		return true;
	default:
		return false;
	}
}

static int end_result(const struct bdev_io *io, int res)
{
	if (res >= 0)
		return (uint64_t)res == io->len ? 0 : CHAN_REDO;
	return is_of_the_ring(-res) ? CHAN_REDO : res;
}

static void uring_nudge(struct chan *c)
{
	struct bdev_uring *u = to_uring(c);
	struct io_uring_sqe *sqe;

	if (!u->is_led || u->is_nudged)
		return;
	sqe = get_sqe_locked(u);
	if (!sqe)
		return; /* the leader looks again by itself: LEAD_NS */
	io_uring_prep_nop(sqe);
	io_uring_sqe_set_data(sqe, NULL);
	u->is_nudged = true;
	kick_locked(u);
}

static unsigned uring_take(struct chan *c, struct chan_end *ends, unsigned max)
{
	struct bdev_uring *u = to_uring(c);
	struct io_uring_cqe *cqes[16];
	bool had_nudge = false;
	unsigned n = 0;
	unsigned got;
	unsigned i;

	kick_locked(u);
	do {
		/* This enters the kernel when that has work for this thread. */
		got = io_uring_peek_batch_cqe(&u->ring, cqes,
				min_of(max - n, array_len(cqes)));
		for (i = 0; i < got; i++) {
			struct bdev_io *io = io_uring_cqe_get_data(cqes[i]);

			if (io)
				ends[n++] = (struct chan_end){ io,
					end_result(io, cqes[i]->res) };
			else
				had_nudge = true;
		}
		io_uring_cq_advance(&u->ring, got);
	} while (got > 0 && n < max);
	u->in_ring -= n;
	refill_locked(u);
	kick_locked(u);
	if (had_nudge) {
		u->is_nudged = false;
		uring_nudge(c); /* U2 */
	}
	return n;
}

/* ---- waiting ---- */

/* Returns when a completion comes after this was called, or is there already;
 * nothing of the ring's memory is touched (U1). */
static void lead(int ring_fd, uint64_t ns)
{
	struct __kernel_timespec ts = {
		.tv_sec = (long long)(ns / NS_PER_S),
		.tv_nsec = (long long)(ns % NS_PER_S),
	};
	struct io_uring_getevents_arg arg = { .ts = (uintptr_t)&ts };

	/* Interrupted, timed out or woken: the caller looks. */
	(void)io_uring_enter2((unsigned)ring_fd, 0, 1,
			IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG,
			(void *)&arg, sizeof(arg));
}

static void uring_sleep(struct chan *c, uint64_t deadline_ns)
		UEXT4_REQUIRES(c->lock)
{
	struct bdev_uring *u = to_uring(c);
	uint64_t now = time_now_ns();
	uint64_t ns;

	/* With an empty ring it is another thread's callbacks we wait for. */
	if (u->is_led || u->in_ring == 0) {
		chan_sleep(c, deadline_ns);
		return;
	}
	if (now >= deadline_ns)
		return;
	ns = io_uring_sq_ready(&u->ring) > 0 ? LEAD_UNSENT_NS : LEAD_NS;
	ns = min_u64(ns, deadline_ns - now);
	u->is_led = true;
	mutex_unlock(&c->lock);
	lead(u->ring.ring_fd, ns);
	mutex_lock(&c->lock);
	u->is_led = false;
	/* This thread may leave now: another one has to lead. */
	if (c->sleepers > 0)
		cond_broadcast(&c->cond);
}

static void uring_send(struct chan *c)
{
	kick_locked(to_uring(c));
}

static const struct chan_road uring_road = {
	.take = uring_take,
	.sleep = uring_sleep,
	.kick = uring_send,
	.nudge = uring_nudge,
};

/* ---- the device ---- */

/* Linux writes through its page cache in the calling thread, or hands over to
 * another, but does not begin and come back: such a write is made at once. */
static bool takes_ring(const struct bdev_uring *u, const struct bdev_io *io)
{
	if (io->op == BDEV_WRITE && !u->c.dev.geo.direct)
		return false;
	return bdev_file_is_plain(u->c.parent, io) && io->len <= IO_BYTES_MAX &&
			io->iovcnt <= IOV_MAX;
}

static void uring_submit(struct bdev *dev, struct bdev_io **ios, unsigned int n)
{
	struct bdev_uring *u = to_uring(to_chan(dev));
	struct chan_list aside = { 0 };
	struct bdev_io *io;
	unsigned int i;

	mutex_lock(&u->c.lock);
	for (i = 0; i < n; i++) {
		if (takes_ring(u, ios[i]))
			put_locked(u, ios[i]);
		else
			chan_list_add(&aside, ios[i]);
	}
	mutex_unlock(&u->c.lock);
	while ((io = chan_list_pop(&aside)) != NULL)
		chan_pass_on(&u->c, io);
}

static void uring_kick(struct bdev *dev)
{
	struct bdev_uring *u = to_uring(to_chan(dev));

	mutex_lock(&u->c.lock);
	kick_locked(u);
	mutex_unlock(&u->c.lock);
}

/* Can the kernel keep these? */
static bool can_register(const struct iovec *iov, unsigned n)
{
	unsigned i;

	for (i = 0; i < n; i++)
		if (iov[i].iov_len == 0 || iov[i].iov_len > BUF_BYTES_MAX)
			return false;
	return n > 0 && n <= BUFS_MAX;
}

/* Where the kernel cannot or may not pin them the requests go without. */
static int uring_buffers(struct bdev *dev, const struct iovec *iov, unsigned n)
{
	struct bdev_uring *u = to_uring(to_chan(dev));
	int ret = 0;

	mutex_lock(&u->c.lock);
	assert(u->c.inflight == 0);
	if (u->nbufs > 0)
		(void)io_uring_unregister_buffers(&u->ring);
	u->nbufs = 0;
	if (can_register(iov, n)) {
		ret = io_uring_register_buffers(&u->ring, iov, n);
		if (ret == 0)
			u->nbufs = n;
		else if (ret != -EFAULT)
			ret = 0;
	}
	mutex_unlock(&u->c.lock);
	return ret;
}

static int uring_close(struct bdev *dev)
{
	struct bdev_uring *u = to_uring(to_chan(dev));

	chan_drain(&u->c);
	/* The kernel ends a ring when it comes to it, and until then the file
	 * would stay open, with its lock. */
	(void)io_uring_unregister_files(&u->ring);
	io_uring_queue_exit(&u->ring);
	chan_fini(&u->c);
	free(u);
	return 0;
}

static const struct bdev_ops uring_ops = {
	.name = "io_uring",
	.submit = uring_submit,
	.poll = chan_poll,
	.kick = uring_kick,
	.wake = chan_wake,
	.buffers = uring_buffers,
	.map = chan_map,
	.close = uring_close,
};

/* ---- opening ---- */

static int ring_new(unsigned depth, struct io_uring *ring)
{
	struct io_uring_params params = {
		.flags = IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
	};
	int ret;

	ret = io_uring_queue_init_params(depth, ring, &params);
	if (ret == -EINVAL) {
		/* A kernel before 5.19. */
		params = (struct io_uring_params){ 0 };
		ret = io_uring_queue_init_params(depth, ring, &params);
	}
	if (ret == -ENOSYS || ret == -EPERM || ret == -EACCES || ret == -EINVAL)
		return -EOPNOTSUPP;
	if (ret < 0)
		return ret;
	/* Sleeping with a timeout and without touching the ring: 5.11. */
	if (params.features & IORING_FEAT_EXT_ARG)
		return 0;
	io_uring_queue_exit(ring);
	return -EOPNOTSUPP;
}

int bdev_uring_open(struct bdev *dev, const struct bdev_chan_opts *opts,
		struct bdev **ret_chan)
{
	struct bdev_uring *u;
	int fd;
	int ret;

	if (!bdev_is_file(dev))
		return -EOPNOTSUPP;
	fd = bdev_file_fd(dev);
	u = calloc(1, sizeof(*u));
	if (!u)
		return -ENOMEM;
	u->base = bdev_file_base(dev);
	u->depth = min_of(opts->depth, DEPTH_MAX);
	ret = ring_new(u->depth, &u->ring);
	if (ret < 0)
		goto out_free;
	ret = io_uring_register_files(&u->ring, &fd, 1);
	if (ret < 0)
		goto out_ring;
	if (opts->eventfd >= 0)
		ret = io_uring_register_eventfd(&u->ring, opts->eventfd);
	if (ret < 0)
		goto out_ring;
	chan_init(&u->c, dev, &uring_ops, &uring_road);
	*ret_chan = &u->c.dev;
	return 0;
out_ring:
	io_uring_queue_exit(&u->ring);
out_free:
	free(u);
	return ret;
}
