/* SPDX-License-Identifier: MIT */
/* One ring of FUSE over io_uring. See ring.h. */
#include "fuse/ring.h"

#include <errno.h>
#include <linux/fuse.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "fuse/huge.h"
#include "fuse/now.h"

#define PAGE    4096u
/* How long to ask before sleeping. */
#define ASK_NS  20000u
/* So many answers are told in one call, so that who asked can go on meanwhile. */
#define BATCH   16u
/* Data that takes long enough to copy for huge pages to pay. */
#define LONG    65536u
/* So often huge pages are asked for: others may be at work in them just then. */
#define BEG_MAX 8u

/* ---- the kernel's words ---- */

enum {
	CMD_REGISTER = 1,
	CMD_COMMIT_AND_FETCH = 2,
};

#define OP_IN_SIZE 128

struct ring_head {
	char in_out[128];       /* fuse_in_header, fuse_out_header */
	char op_in[OP_IN_SIZE]; /* what the operation has of its own */
	uint64_t flags;
	uint64_t commit_id;
	uint32_t data_size;
	uint32_t padding;
	uint64_t reserved;
};

/* In an SQE of 128 bytes. */
struct ring_cmd {
	uint64_t flags;
	uint64_t commit_id;
	uint16_t queue;
	uint8_t padding[6];
};

/* There is always room: an entry has one command at a time, and so has the
 * eventfd. */
static struct io_uring_sqe *sqe_get(struct ring *r)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&r->uring);

	if (!sqe)
		abort();
	memset(sqe, 0, 2 * sizeof(*sqe));
	return sqe;
}

static void command(struct ring_entry *e, uint32_t op)
{
	struct io_uring_sqe *sqe = sqe_get(e->ring);
	struct ring_cmd cmd = {
		.commit_id = op == CMD_REGISTER ? 0 : e->commit_id,
		.queue = e->queue,
	};

	sqe->opcode = IORING_OP_URING_CMD;
	sqe->flags = IOSQE_FIXED_FILE;
	sqe->fd = 0; /* the registered one */
	sqe->cmd_op = op;
	sqe->addr = (uintptr_t)e->iov;
	sqe->len = 2;
	sqe->user_data = (uintptr_t)e;
	memcpy(sqe->cmd, &cmd, sizeof(cmd));
}

static void await_poke(struct ring *r)
{
	struct io_uring_sqe *sqe = sqe_get(r);

	io_uring_prep_read(sqe, r->poke, &r->poked, sizeof(r->poked), 0);
	sqe->user_data = 0;
}

/* ---- open and close ---- */

static int uring_open(struct ring *r, int fuse_fd)
{
	/* By another thread than that which opens it (R_DISABLED). */
	int ret = io_uring_queue_init(r->nentries + 1, &r->uring,
			IORING_SETUP_SQE128 | IORING_SETUP_SINGLE_ISSUER |
					IORING_SETUP_DEFER_TASKRUN |
					IORING_SETUP_TASKRUN_FLAG |
					IORING_SETUP_R_DISABLED);

	if (ret < 0)
		return ret;
	/* A child that is forked must not hold the connection open. */
	ret = io_uring_ring_dontfork(&r->uring);
	if (ret == 0)
		ret = io_uring_register_files(&r->uring, &fuse_fd, 1);
	if (ret < 0)
		io_uring_queue_exit(&r->uring);
	return ret;
}

/* The queue's entry number @k: is it one of this ring's? */
static bool is_mine(const struct ring_opts *o, unsigned queue, unsigned k)
{
	return (queue + k % o->share) % o->nrings == o->index;
}

static unsigned depth_of(const struct ring_opts *o, unsigned queue)
{
	return queue < o->nonline ? o->depth : 1;
}

static unsigned count_entries(const struct ring_opts *o)
{
	unsigned queue;
	unsigned n = 0;
	unsigned k;

	for (queue = 0; queue < o->nqueues; queue++) {
		for (k = 0; k < depth_of(o, queue); k++)
			n += is_mine(o, queue, k);
	}
	return n;
}

static void place_entry(struct ring *r, struct ring_entry *e, unsigned queue,
		size_t size)
{
	char *mem = r->mem + (size_t)(e - r->entry) * (size + PAGE);

	e->ring = r;
	e->head = (struct ring_head *)(void *)mem;
	e->data = mem + PAGE;
	e->size = size;
	e->queue = (uint16_t)queue;
	e->iov[0] = (struct iovec){ e->head, sizeof(*e->head) };
	e->iov[1] = (struct iovec){ e->data, e->size };
}

static void place_entries(struct ring *r, const struct ring_opts *o)
{
	struct ring_entry *e = r->entry;
	unsigned queue;
	unsigned k;

	for (queue = 0; queue < o->nqueues; queue++) {
		for (k = 0; k < depth_of(o, queue); k++) {
			if (is_mine(o, queue, k))
				place_entry(r, e++, queue, o->size);
		}
	}
}

/* @len bytes that begin with a huge page. MAP_FAILED if there are none. */
static char *map_aligned(size_t len)
{
	char *mem = mmap(NULL, len + HUGE_PAGE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	size_t before = -(uintptr_t)mem % HUGE_PAGE;

	if (mem == MAP_FAILED)
		return mem;
	if (before > 0)
		(void)munmap(mem, before);
	(void)munmap(mem + before + len, HUGE_PAGE - before);
	return mem + before;
}

int ring_open(struct ring *r, const struct ring_opts *o)
{
	int ret;

	memset(r, 0, sizeof(*r));
	r->nentries = count_entries(o);
	if (r->nentries == 0)
		return -EINVAL;
	r->mem_size = (r->nentries * (o->size + PAGE) + HUGE_PAGE - 1) /
			HUGE_PAGE * HUGE_PAGE;
	r->entry = calloc(r->nentries, sizeof(*r->entry));
	r->poke = eventfd(0, EFD_CLOEXEC);
	r->mem = map_aligned(r->mem_size);
	ret = r->poke < 0 ? -errno : 0;
	if (!r->entry || r->mem == MAP_FAILED)
		ret = -ENOMEM;
	else if (madvise(r->mem, r->mem_size, MADV_DONTFORK) < 0)
		ret = -errno;
	if (ret == 0)
		ret = uring_open(r, o->fuse_fd);
	if (ret < 0) {
		if (r->mem != MAP_FAILED)
			(void)munmap(r->mem, r->mem_size);
		if (r->poke >= 0)
			(void)close(r->poke);
		free(r->entry);
		return ret;
	}
	place_entries(r, o);
	TAILQ_INIT(&r->back);
	pthread_mutex_init(&r->m, NULL);
	return 0;
}

void ring_close(struct ring *r)
{
	io_uring_queue_exit(&r->uring);
	(void)munmap(r->mem, r->mem_size);
	(void)close(r->poke);
	free(r->entry);
	pthread_mutex_destroy(&r->m);
}

/* What is refused is so at once; what is taken has no result yet, or a request
 * that has come in the meantime, which ring_wait() will find. */
static int first_refusal(struct ring *r)
{
	struct io_uring_cqe *cqe;
	unsigned head;
	int ret = 0;

	io_uring_for_each_cqe(&r->uring, head, cqe)
	{
		if (cqe->res < 0 && ret == 0)
			ret = cqe->res;
	}
	return ret;
}

int ring_start(struct ring *r)
{
	unsigned i;
	int ret;

	/* liburing 2.3 declares a function for this but does not have it. */
	if (syscall(SYS_io_uring_register, r->uring.ring_fd,
			    IORING_REGISTER_ENABLE_RINGS, NULL, 0) < 0)
		return -errno;
	(void)io_uring_register_ring_fd(&r->uring); /* saves a look-up */
	for (i = 0; i < r->nentries; i++)
		command(&r->entry[i], CMD_REGISTER);
	r->alive = r->nentries;
	await_poke(r);
	ret = io_uring_submit(&r->uring);
	if (ret >= 0)
		ret = first_refusal(r);
	return ret == -ENOTCONN ? -ENODEV : ret;
}

/* ---- waiting ---- */

/* What others have returned goes to the kernel. */
static void take_back(struct ring *r)
{
	struct ring_list back = TAILQ_HEAD_INITIALIZER(back);
	struct ring_entry *e;

	if (atomic_load(&r->nback) == 0)
		return;
	pthread_mutex_lock(&r->m);
	TAILQ_CONCAT(&back, &r->back, link);
	atomic_store(&r->nback, 0);
	pthread_mutex_unlock(&r->m);
	while ((e = TAILQ_FIRST(&back)) != NULL) {
		TAILQ_REMOVE(&back, e, link);
		r->lent--;
		ring_commit(e);
	}
}

/* Has anything happened that a call to the kernel would bring? */
static bool has_news(struct ring *r)
{
	return io_uring_cq_ready(&r->uring) > 0 ||
			(IO_URING_READ_ONCE(*r->uring.sq.kflags) &
					IORING_SQ_TASKRUN) ||
			atomic_load(&r->nback) > 0;
}

static void ask_a_while(struct ring *r)
{
	uint64_t since = now_ns();

	while (!has_news(r) && now_ns() - since < ASK_NS)
		;
}

/* 0 for what passes by itself. */
static int lasting(int ret)
{
	return ret == -EAGAIN || ret == -EBUSY || ret > 0 ? 0 : ret;
}

static int sleep_for_news(struct ring *r)
{
	int ret = 0;

	/* In this order: who returns something counts it, then looks here. */
	atomic_store(&r->asleep, true);
	if (atomic_load(&r->nback) == 0)
		ret = io_uring_submit_and_wait(&r->uring, 1);
	atomic_store(&r->asleep, false);
	return lasting(ret);
}

static void entry_came(struct ring_entry *e, int res, struct ring_list *ret)
{
	struct fuse_in_header in;

	if (res < 0) {
		e->ring->alive--;
		if (res != -ENOTCONN && res != -ECANCELED &&
				e->ring->error == 0)
			e->ring->error = res;
		return;
	}
	memcpy(&in, e->head->in_out, sizeof(in));
	e->unique = in.unique;
	e->opcode = in.opcode;
	e->commit_id = e->head->commit_id;
	e->answered = false;
	TAILQ_INSERT_TAIL(ret, e, link);
}

static void reap(struct ring *r, struct ring_list *ret)
{
	struct io_uring_cqe *cqe;
	bool poked = false;
	unsigned n = 0;
	unsigned head;

	io_uring_for_each_cqe(&r->uring, head, cqe)
	{
		if (cqe->user_data == 0)
			poked = true;
		else
			entry_came((struct ring_entry *)(uintptr_t)
							cqe->user_data,
					cqe->res, ret);
		n++;
	}
	io_uring_cq_advance(&r->uring, n);
	if (poked)
		await_poke(r);
}

int ring_wait(struct ring *r, enum ring_patience how, struct ring_list *ret)
{
	int err = 0;

	take_back(r);
	if (how != RING_SLEEP &&
			(io_uring_sq_ready(&r->uring) > 0 || has_news(r)))
		err = lasting(io_uring_submit_and_get_events(&r->uring));
	if (err == 0 && how == RING_ASK)
		ask_a_while(r);
	if (err == 0 && how != RING_LOOK && io_uring_cq_ready(&r->uring) == 0)
		err = sleep_for_news(r);
	reap(r, ret);
	if (err == 0 && r->error != 0)
		err = r->error;
	if (err == 0 && r->alive == 0)
		err = -ENODEV;
	return err;
}

/* ---- one entry ---- */

void ring_tell(struct ring *r)
{
	/* What goes wrong here does so in ring_wait(), too. */
	if (io_uring_sq_ready(&r->uring) > 0)
		(void)io_uring_submit(&r->uring);
}

void ring_commit(struct ring_entry *e)
{
	command(e, CMD_COMMIT_AND_FETCH);
	if (io_uring_sq_ready(&e->ring->uring) >= BATCH)
		ring_tell(e->ring);
}

void ring_lend(struct ring_entry *e)
{
	e->ring->lent++;
}

void ring_return(struct ring_entry *e)
{
	struct ring *r = e->ring;
	uint64_t one = 1;

	pthread_mutex_lock(&r->m);
	TAILQ_INSERT_TAIL(&r->back, e, link);
	atomic_fetch_add(&r->nback, 1);
	pthread_mutex_unlock(&r->m);
	if (atomic_load(&r->asleep) && write(r->poke, &one, sizeof(one)) < 0)
		abort(); /* an eventfd takes a 1 */
}

void ring_settle(struct ring *r)
{
	struct timespec nap = { .tv_nsec = 1000000 };

	for (take_back(r); r->lent > 0; take_back(r))
		(void)nanosleep(&nap, NULL);
	while (io_uring_sq_ready(&r->uring) > 0 &&
			io_uring_submit(&r->uring) > 0)
		;
}

bool ring_want_huge(struct ring_entry *e)
{
	char *mem = e->ring->mem;
	size_t first = (size_t)(e->data - mem) / HUGE_PAGE * HUGE_PAGE;
	size_t end = (size_t)(e->data - mem) + e->size;

	if (e->huge || e->begged == BEG_MAX || e->opcode != FUSE_WRITE ||
			e->head->data_size < LONG)
		return e->huge;
	e->begged++;
	end = (end + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
	e->huge = huge_make(mem + first, end - first);
	return e->huge;
}

size_t ring_data_size(const struct ring_entry *e)
{
	struct fuse_read_in in;

	if (e->opcode != FUSE_READ)
		return e->head->data_size;
	memcpy(&in, e->head->op_in, sizeof(in));
	return in.size;
}

bool ring_pieces(const struct ring_entry *e, struct quick_req *ret)
{
	size_t len = e->head->data_size;

	memcpy(&ret->in, e->head->in_out, sizeof(ret->in));
	if (ret->in.len < sizeof(ret->in) || len > e->size ||
			len > ret->in.len - sizeof(ret->in))
		return false;
	ret->op = e->head->op_in;
	ret->op_len = ret->in.len - sizeof(ret->in) - len;
	ret->data = e->data;
	ret->len = len;
	return ret->op_len <= OP_IN_SIZE;
}

void *ring_request(struct ring_entry *e, size_t *ret_len)
{
	struct quick_req q;
	char *start = e->data;

	if (!ring_pieces(e, &q))
		return NULL;
	start -= q.op_len;
	memcpy(start, q.op, q.op_len);
	start -= sizeof(q.in);
	memcpy(start, &q.in, sizeof(q.in));
	*ret_len = q.in.len;
	return start;
}

ssize_t ring_answer(struct ring_entry *e, const struct iovec *iov, int n)
{
	size_t end = 0;
	size_t size;
	int i;

	for (i = 1; i < n; i++)
		end += iov[i].iov_len;
	size = end;
	if (n < 1 || iov[0].iov_len != sizeof(struct fuse_out_header) ||
			size > e->size)
		return -EINVAL;
	for (i = n - 1; i > 0; i--) {
		end -= iov[i].iov_len;
		if (iov[i].iov_len > 0 && iov[i].iov_base != e->data + end)
			memmove(e->data + end, iov[i].iov_base, iov[i].iov_len);
	}
	memcpy(e->head->in_out, iov[0].iov_base, iov[0].iov_len);
	e->head->data_size = (uint32_t)size;
	e->answered = true;
	return (ssize_t)(size + iov[0].iov_len);
}

void ring_refuse(struct ring_entry *e, int err)
{
	struct fuse_out_header out = {
		.len = sizeof(out),
		.error = err,
		.unique = e->unique,
	};
	struct iovec iov = { &out, sizeof(out) };

	(void)ring_answer(e, &iov, 1);
}
