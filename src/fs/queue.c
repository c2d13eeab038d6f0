/* SPDX-License-Identifier: MIT */
/*
 * Queues: taking requests in, starting them, handing out their events; and what
 * others have to do with what is in flight by them. See queue.h.
 *
 * Locks    fs->queues_lock (rank LEAF) guards the list of queues; everything else
 *          belongs to the owner or is atomic.
 */
#include "fs/queue.h"

#include <assert.h>
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/hmap.h"
#include "bdev/bdev.h"
#include "fs/file.h"
#include "fs/fs.h"

#define QUEUE_IOV_MAX   1024u
#define QUEUE_BUFS_MAX  1024u
#define QUEUE_SLEEP_MS  100 /* the owner looks up now and then all the same */
#define QUEUE_NAP_NS    50000
#define QUEUE_SPINS     64
#define QUEUE_FILE_WAYS 8u

static void queue_nap(void)
{
	const struct timespec ts = { .tv_nsec = QUEUE_NAP_NS };

	nanosleep(&ts, NULL);
}

/* ---- lists that any thread adds to ---- */

static void stack_push(
		_Atomic(struct queue_req *) *stack, struct queue_req *req)
{
	struct queue_req *top =
			atomic_load_explicit(stack, memory_order_relaxed);

	do {
		req->next = top;
	} while (!atomic_compare_exchange_weak_explicit(stack, &top, req,
			memory_order_seq_cst, memory_order_relaxed));
}

/* All of it, earliest first. */
static struct queue_req *stack_take(_Atomic(struct queue_req *) *stack)
{
	struct queue_req *req;
	struct queue_req *list = NULL;
	struct queue_req *next;

	if (atomic_load_explicit(stack, memory_order_relaxed) == NULL)
		return NULL;
	req = atomic_exchange(stack, NULL);
	for (; req != NULL; req = next) {
		next = req->next;
		req->next = list;
		list = req;
	}
	return list;
}

static struct queue_req *req_of_io(struct dio_req *r)
{
	return container_of(r, struct queue_req, io);
}

void queue_data_done(struct iomap_dio *dio)
{
	struct dio_req *r = container_of(dio, struct dio_req, dio);
	struct queue_req *req = req_of_io(r);

	stack_push(&req->q->done, req);
}

static void queue_signal(struct uext4_queue *q)
{
	const uint64_t one = 1;

	if (atomic_load(&q->is_watched) && write(q->efd, &one, sizeof(one)) < 0)
		return; /* full: it is readable */
}

/* Is something over that was not looked at yet? */
static bool queue_has_over(struct uext4_queue *q)
{
	return q->over_here.first != NULL || atomic_load(&q->over) != NULL;
}

static void queue_enter(struct uext4_queue *q)
{
	atomic_store_explicit(&q->owner, pthread_self(), memory_order_relaxed);
	if (atomic_load_explicit(&q->is_watched, memory_order_relaxed))
		atomic_store_explicit(&q->at_work, true, memory_order_relaxed);
}

/* What there is to take is told (Q5). */
static void queue_leave(struct uext4_queue *q)
{
	atomic_store_explicit(&q->owner, 0, memory_order_relaxed);
	if (!atomic_load_explicit(&q->is_watched, memory_order_relaxed))
		return;
	/* Whoever ends a request adds it to the list, then looks whether we are
	 * inside. */
	atomic_store(&q->at_work, false);
	if (q->ready.first != NULL || q->to_sync.first != NULL ||
			queue_has_over(q))
		queue_signal(q);
}

void queue_ended(struct dio_req *r)
{
	struct queue_req *req = req_of_io(r);
	struct uext4_queue *q = req->q;

	/* The owner, inside, needs no atomic step and no word. */
	if (pthread_equal(atomic_load_explicit(&q->owner, memory_order_relaxed),
			    pthread_self())) {
		queue_list_add(&q->over_here, req);
		queue_count(&q->ended_here);
		return;
	}
	stack_push(&q->over, req);
	if (atomic_load(&q->sleeping))
		bdev_wake(q->chan);
	else if (!atomic_load(&q->at_work))
		queue_signal(q);
	atomic_fetch_add_explicit(&q->ended, 1, memory_order_release); /* Q2 */
}

/* Finish what the device is done with. */
static void queue_process(struct uext4_queue *q)
{
	struct queue_req *req = stack_take(&q->done);
	struct dio_req *first = NULL;
	struct dio_req **tail = &first;

	for (; req != NULL; req = req->next) {
		*tail = &req->io;
		tail = &req->io.next;
	}
	if (first == NULL)
		return;
	*tail = NULL;
	dio_finish(first);
}

/* ---- what others want to know ---- */

/* The next queue of @fs, held against being closed; @q is let go. */
static struct uext4_queue *queue_next(
		struct uext4_fs *fs, struct uext4_queue *q)
{
	struct uext4_queue *next;

	if (atomic_load(&fs->nqueues) == 0)
		return NULL;
	mutex_lock(&fs->queues_lock);
	next = q != NULL ? LIST_NEXT(q, link) : LIST_FIRST(&fs->queues);
	if (next != NULL)
		next->users++;
	if (q != NULL)
		q->users--;
	mutex_unlock(&fs->queues_lock);
	return next;
}

static void queue_help(struct uext4_queue *q)
{
	if (queue_nflight(q) == 0)
		return;
	(void)bdev_poll(q->chan, 0, 0);
	queue_process(q);
}

void fs_queues_help(struct uext4_fs *fs)
{
	struct uext4_queue *q = NULL;

	while ((q = queue_next(fs, q)) != NULL)
		queue_help(q);
}

static bool queue_flies(const struct uext4_queue *q, const struct inode *inode)
{
	for (uint32_t i = 0; i < q->depth; i++)
		if (atomic_load(&q->slots[i].flying) == inode)
			return true;
	return false;
}

bool fs_queues_fly(struct uext4_fs *fs, struct inode *inode)
{
	struct uext4_queue *q = NULL;
	bool any = false;

	while ((q = queue_next(fs, q)) != NULL) {
		queue_help(q);
		any |= queue_flies(q, inode);
	}
	return any;
}

/* Readers hold it while they start a request: that is short, or they wait for
 * what another request does and help with that. */
static bool queue_shows(const struct uext4_queue *q, struct rwsem *l, bool wait)
{
	unsigned spins = 0;

	for (uint32_t i = 0; i < q->depth; i++) {
		while (atomic_load(&q->slots[i].lock) == l) {
			if (!wait)
				return true;
			if (++spins % QUEUE_SPINS == 0)
				queue_nap();
			else
				sched_yield();
		}
	}
	return false;
}

bool fs_queues_shown(struct rwsem *l, bool wait)
{
	struct inode *inode = container_of(l, struct inode, rwsem);
	struct uext4_fs *fs = inode_fs(inode);
	struct uext4_queue *q = NULL;
	bool any = false;

	while ((q = queue_next(fs, q)) != NULL)
		any |= queue_shows(q, l, wait);
	return any;
}

/* ---- files ---- */

/* The entry of @file, which gets one more request. */
static struct queue_file *queue_file_get(
		struct uext4_queue *q, struct uext4_file *file)
{
	uint32_t at = (uint32_t)hmap_mix((uintptr_t)file);
	struct queue_file *found = NULL;
	struct queue_file *spare = NULL;
	struct queue_file *qf;
	uint32_t i;

	for (i = 0; found == NULL && i <= q->files_mask; i++) {
		qf = &q->files[(at + i) & q->files_mask];
		if (qf->file == file && qf->id == file->id)
			found = qf;
		if (spare == NULL && qf->nreqs == 0)
			spare = qf;
		if (i >= QUEUE_FILE_WAYS && spare != NULL)
			break;
	}
	if (found == NULL) {
		/* Twice as many entries as requests: there is a spare one. */
		assert(spare != NULL);
		found = spare;
		*found = (struct queue_file){ .file = file, .id = file->id };
	}
	if (found->nreqs++ == 0)
		file_hold(file);
	return found;
}

static void queue_file_put(struct queue_file *qf)
{
	if (qf != NULL && --qf->nreqs == 0)
		file_put(qf->file);
}

/* ---- prep ---- */

static int prep_check(const struct uext4_queue *q, const struct uext4_sqe *sqe)
{
	const unsigned rw = UEXT4_RW_DSYNC | UEXT4_RW_SYNC | UEXT4_RW_NOWAIT |
			UEXT4_RW_APPEND | UEXT4_RW_NOAPPEND |
			UEXT4_RW_KILLPRIV | UEXT4_RW_KEEPPRIV |
			UEXT4_RW_KILLSGID | UEXT4_RW_HUGE | UEXT4_RW_LATE |
			UEXT4_RW_KEEPCAPS;
	const struct iovec *b;

	switch (sqe->op) {
	case UEXT4_OP_NOP:
		return 0;
	case UEXT4_OP_READV:
	case UEXT4_OP_WRITEV:
		if (sqe->len > QUEUE_IOV_MAX ||
				(sqe->len > 0 && sqe->iov == NULL))
			return -EINVAL;
		break;
	case UEXT4_OP_READ:
	case UEXT4_OP_WRITE:
		if (sqe->len > SSIZE_MAX)
			return -EINVAL;
		break;
	case UEXT4_OP_FSYNC:
	case UEXT4_OP_FDATASYNC:
	case UEXT4_OP_FALLOCATE:
		return sqe->file != NULL ? 0 : -EINVAL;
	default:
		return -EINVAL;
	}
	if (sqe->file == NULL || (sqe->flags & ~rw) != 0)
		return -EINVAL;
	if (sqe->buf_index == 0)
		return 0;
	if (sqe->buf_index > q->nbufs || sqe->op == UEXT4_OP_READV ||
			sqe->op == UEXT4_OP_WRITEV)
		return -EINVAL;
	b = &q->bufs[sqe->buf_index - 1];
	return range_is_within((uintptr_t)sqe->buf, sqe->len,
			       (uintptr_t)b->iov_base,
			       (uintptr_t)b->iov_base + b->iov_len)
			? 0
			: -EINVAL;
}

static int prep_iov(struct queue_req *req, const struct uext4_sqe *sqe)
{
	req->iov = req->own_iov;
	req->niov = 1;
	req->own_iov[0] = (struct iovec){ 0 };
	if (sqe->op == UEXT4_OP_READ || sqe->op == UEXT4_OP_WRITE) {
		req->own_iov[0].iov_base = sqe->buf;
		req->own_iov[0].iov_len = sqe->len;
		return 0;
	}
	if (sqe->op != UEXT4_OP_READV && sqe->op != UEXT4_OP_WRITEV)
		return 0;
	req->niov = (int)sqe->len;
	if (sqe->len > QUEUE_IOVS) {
		req->iov = malloc(sqe->len * sizeof(*req->iov));
		if (req->iov == NULL) {
			req->iov = req->own_iov;
			return -ENOMEM;
		}
	}
	if (sqe->len > 0)
		memcpy(req->iov, sqe->iov, sqe->len * sizeof(*req->iov));
	return 0;
}

int uext4_queue_prep(struct uext4_queue *q, const struct uext4_sqe *sqe)
{
	struct queue_req *req = q->free;
	int ret;

	if (q->fs == NULL)
		return -ESHUTDOWN;
	ret = prep_check(q, sqe);
	if (ret < 0)
		return ret;
	if (req == NULL)
		return -EAGAIN;
	ret = prep_iov(req, sqe);
	if (ret < 0)
		return ret;
	q->free = req->next;
	q->nused++;
	req->op = sqe->op;
	req->flags = sqe->flags;
	req->file = sqe->file;
	req->pos = sqe->pos;
	req->len = sqe->len;
	req->user_data = sqe->user_data;
	req->buf_index = sqe->buf_index;
	req->is_direct = false;
	req->result = 0;
	req->qf = sqe->op == UEXT4_OP_NOP ? NULL : queue_file_get(q, sqe->file);
	queue_list_add(&q->prepared, req);
	return 0;
}

/* ---- submit ---- */

int uext4_queue_submit(struct uext4_queue *q)
{
	struct queue_req *req;
	int n = 0;

	if (q->fs == NULL)
		return 0;
	queue_enter(q);
	while ((req = queue_list_pop(&q->prepared)) != NULL) {
		queue_start(q, req);
		n++;
	}
	bdev_kick(q->chan);
	queue_process(q);
	queue_leave(q);
	return n;
}

/* ---- wait ---- */

/* Bring everything that can be brought to its end there. */
static void queue_collect(struct uext4_queue *q)
{
	struct queue_req *req;
	struct queue_req *next;

	if (queue_nflight(q) != 0) {
		(void)bdev_poll(q->chan, 0, 0);
		queue_process(q);
		/* What is before ours may be in another queue (DQ3). */
		if (fs_sizes_by_prefix(q->fs))
			fs_queues_help(q->fs);
	}
	while ((req = queue_list_pop(&q->over_here)) != NULL)
		queue_req_over(q, req);
	for (req = stack_take(&q->over); req != NULL; req = next) {
		next = req->next;
		queue_req_over(q, req);
	}
	queue_sync(q);
}

static unsigned queue_take(
		struct uext4_queue *q, struct uext4_event *events, unsigned max)
{
	struct queue_req *req;
	unsigned n = 0;

	while (n < max && (req = queue_list_pop(&q->ready)) != NULL) {
		events[n++] = (struct uext4_event){
			.user_data = req->user_data,
			.result = req->result,
		};
		if (req->iov != req->own_iov)
			free(req->iov);
		req->iov = req->own_iov;
		queue_file_put(req->qf);
		req->next = q->free;
		q->free = req;
		q->nused--;
	}
	return n;
}

static void queue_sleep(struct uext4_queue *q, int ms)
{
	uint64_t begin = time_now_ns();

	atomic_store(&q->sleeping, true);
	/* Who ends a request first adds it to the list, then looks whether we
	 * sleep. */
	if (!queue_has_over(q) && atomic_load(&q->done) == NULL) {
		if (bdev_poll(q->chan, 1, ms) <= 0 &&
				time_now_ns() - begin < QUEUE_NAP_NS)
			queue_nap(); /* the device does not know it either */
	}
	atomic_store(&q->sleeping, false);
}

static void queue_drain_signal(struct uext4_queue *q)
{
	uint64_t count;

	if (atomic_load_explicit(&q->is_watched, memory_order_relaxed) &&
			read(q->efd, &count, sizeof(count)) < 0)
		return; /* nothing there */
}

int uext4_queue_wait(struct uext4_queue *q, unsigned min, int timeout_ms,
		struct uext4_event *events, unsigned max)
{
	uint64_t end = 0;
	uint64_t now;
	unsigned n;
	int ms = QUEUE_SLEEP_MS;

	if (max == 0 || events == NULL)
		return -EINVAL;
	min = min_of(min, max);
	if (q->fs == NULL)
		return (int)queue_take(q, events, max);
	queue_enter(q);
	queue_drain_signal(q);
	if (timeout_ms > 0)
		end = time_now_ns() + (uint64_t)timeout_ms * 1000000u;
	for (n = 0;;) {
		queue_collect(q);
		n += queue_take(q, events + n, max - n);
		if (n >= min || timeout_ms == 0 ||
				(queue_nflight(q) == 0 && !queue_has_over(q)))
			break;
		if (timeout_ms > 0) {
			now = time_now_ns();
			if (now >= end)
				break;
			ms = (int)min_u64((end - now) / 1000000u + 1,
					QUEUE_SLEEP_MS);
		}
		queue_sleep(q, ms);
	}
	queue_leave(q); /* what did not fit */
	return (int)n;
}

/* ---- open and close ---- */

static void queue_free_memory(struct uext4_queue *q)
{
	if (q->efd >= 0)
		close(q->efd);
	free(q->files);
	free(q->slots);
	free(q->reqs);
	free(q->bufs);
	free(q);
}

static int queue_alloc(uint32_t depth, struct uext4_queue **ret_q)
{
	struct uext4_queue *q = calloc(1, sizeof(*q));
	uint32_t nfiles = 2 * QUEUE_FILE_WAYS;

	if (q == NULL)
		return -ENOMEM;
	while (nfiles < 2 * depth)
		nfiles *= 2;
	q->depth = depth;
	q->files_mask = nfiles - 1;
	q->efd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	q->reqs = aligned_alloc(64, round_up_u64(depth * sizeof(*q->reqs), 64));
	q->slots = aligned_alloc(
			64, round_up_u64(depth * sizeof(*q->slots), 64));
	q->files = calloc(nfiles, sizeof(*q->files));
	if (q->efd < 0 || q->reqs == NULL || q->slots == NULL ||
			q->files == NULL) {
		queue_free_memory(q);
		return -ENOMEM;
	}
	memset(q->reqs, 0, depth * sizeof(*q->reqs));
	memset(q->slots, 0, depth * sizeof(*q->slots));
	for (uint32_t i = depth; i-- > 0;) {
		struct queue_req *req = &q->reqs[i];

		req->q = q;
		req->slot = &q->slots[i];
		req->iov = req->own_iov;
		req->next = q->free;
		q->free = req;
	}
	queue_list_init(&q->prepared);
	queue_list_init(&q->to_sync);
	queue_list_init(&q->ready);
	queue_list_init(&q->over_here);
	*ret_q = q;
	return 0;
}

static int queue_open_chan(
		struct uext4_queue *q, enum uext4_queue_backend backend)
{
	static const enum bdev_chan_kind kinds[] = {
		[UEXT4_QUEUE_AUTO] = BDEV_CHAN_AUTO,
		[UEXT4_QUEUE_URING] = BDEV_CHAN_URING,
		[UEXT4_QUEUE_POOL] = BDEV_CHAN_POOL,
		[UEXT4_QUEUE_INLINE] = BDEV_CHAN_INLINE,
	};
	const struct bdev_chan_opts opts = {
		.kind = kinds[backend],
		.depth = q->depth,
		.eventfd = q->efd,
	};
	int ret;

	ret = bdev_chan_open(q->fs->it.dev, &opts, &q->chan);
	if (ret == 0)
		q->backend = q->chan->ops->name;
	return ret;
}

int uext4_queue_open(struct uext4_fs *fs, const struct uext4_queue_opts *opts,
		struct uext4_queue **ret_q)
{
	struct uext4_queue_opts o = { 0 };
	struct uext4_queue *q;
	int ret;

	if (opts->size < offsetof(struct uext4_queue_opts, backend))
		return -EINVAL;
	memcpy(&o, opts, min_of(opts->size, sizeof(o)));
	if (o.depth == 0 || o.depth > UEXT4_QUEUE_DEPTH_MAX ||
			o.backend > UEXT4_QUEUE_INLINE)
		return -EINVAL;
	ret = fs_may_read(fs);
	if (ret < 0)
		return ret;
	ret = queue_alloc(o.depth, &q);
	if (ret < 0)
		return ret;
	q->fs = fs;
	ret = queue_open_chan(q, o.backend);
	if (ret < 0) {
		queue_free_memory(q);
		return ret;
	}
	mutex_lock(&fs->queues_lock);
	LIST_INSERT_HEAD(&fs->queues, q, link);
	atomic_fetch_add(&fs->nqueues, 1);
	mutex_unlock(&fs->queues_lock);
	*ret_q = q;
	return 0;
}

/* Nothing is in flight, everything that was has its event. */
static void queue_settle(struct uext4_queue *q)
{
	for (;;) {
		queue_collect(q);
		if (queue_nflight(q) == 0 && !queue_has_over(q))
			return;
		queue_sleep(q, QUEUE_SLEEP_MS);
	}
}

/* The events that nobody has taken need no file. */
static void queue_put_files(struct uext4_queue *q)
{
	struct queue_req *req;

	for (req = q->ready.first; req != NULL; req = req->next) {
		queue_file_put(req->qf);
		req->qf = NULL;
	}
}

/* Take it from the file system; nobody can come by any more. */
static void queue_detach(struct uext4_queue *q)
{
	struct uext4_fs *fs = q->fs;
	struct queue_req *req;
	uint32_t users;

	queue_settle(q);
	while ((req = queue_list_pop(&q->prepared)) != NULL) {
		req->result = -ECANCELED;
		queue_list_add(&q->ready, req);
	}
	queue_put_files(q);
	for (;;) {
		mutex_lock(&fs->queues_lock);
		users = q->users;
		if (users == 0) {
			LIST_REMOVE(q, link);
			atomic_fetch_sub(&fs->nqueues, 1);
		}
		mutex_unlock(&fs->queues_lock);
		if (users == 0)
			break;
		queue_nap();
	}
	err_ignore(bdev_close(q->chan));
	q->chan = NULL;
	q->fs = NULL;
}

void uext4_queue_close(struct uext4_queue *q)
{
	struct uext4_event e;

	if (q == NULL)
		return;
	if (q->fs != NULL)
		queue_detach(q);
	while (queue_take(q, &e, 1) > 0)
		;
	queue_free_memory(q);
}

/* For unmount: nobody else uses a queue of @fs. */
void fs_queues_settle(struct uext4_fs *fs)
{
	struct uext4_queue *q = NULL;

	while ((q = queue_next(fs, q)) != NULL) {
		queue_settle(q);
		queue_put_files(q);
	}
}

void fs_queues_detach(struct uext4_fs *fs)
{
	struct uext4_queue *q;

	while ((q = LIST_FIRST(&fs->queues)) != NULL)
		queue_detach(q);
}

/* ---- the rest ---- */

int uext4_queue_eventfd(struct uext4_queue *q)
{
	if (!atomic_load(&q->is_watched)) {
		atomic_store(&q->is_watched, true);
		if (q->nused != 0)
			queue_signal(q); /* nobody was told so far */
	}
	return q->efd;
}

int uext4_queue_buffers(
		struct uext4_queue *q, const struct iovec *iov, unsigned n)
{
	struct iovec *copy = NULL;
	int ret;

	if (q->fs == NULL)
		return -ESHUTDOWN;
	if (n > QUEUE_BUFS_MAX || (n > 0 && iov == NULL))
		return -EINVAL;
	if (q->nused != 0)
		return -EBUSY;
	if (n > 0) {
		copy = malloc(n * sizeof(*copy));
		if (copy == NULL)
			return -ENOMEM;
		memcpy(copy, iov, n * sizeof(*copy));
	}
	ret = bdev_chan_buffers(q->chan, copy, n);
	if (ret < 0) {
		free(copy);
		return ret;
	}
	free(q->bufs);
	q->bufs = copy;
	q->nbufs = n;
	return 0;
}

const char *uext4_queue_backend_name(const struct uext4_queue *q)
{
	return q->backend;
}

unsigned uext4_queue_pending(const struct uext4_queue *q)
{
	return q->nused;
}
