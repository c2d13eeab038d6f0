/* SPDX-License-Identifier: MIT */
/* Who works at a mount's requests. See crew.h. */
#include "fuse/crew.h"

#include <errno.h>
#include <linux/fuse.h>
#include <linux/magic.h>
#include <linux/major.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "fuse/huge.h"
#include "fuse/quick.h"
#include "fuse/request.h"
#include "fuse/rings.h"

#define WAKE_SIGNAL    SIGUSR1
#define WAKE_MS        10
/* What comes besides rings (FORGET, INTERRUPT) does not hurry: once some has,
 * the next is looked for so much later, and who sends it need not wake anybody. */
#define NAP_NS         500000
/* In memory more than this disturb each other; a device likes depth. Measured:
 * docs/bench.md. */
#define THREADS_MEMORY 4u
#define THREADS_DEVICE 16u
#define PAGE           4096u
/* fuse_in_header and fuse_write_in: a write's data starts behind them. */
#define WRITE_HEAD     80u
_Static_assert(SRV_DATA_MAX + (size_t)5 * PAGE <= HUGE_PAGE,
		"a request and its page before fit into a huge page");

static _Thread_local struct srv_worker me;

struct srv_worker *srv_me(void)
{
	return &me;
}

/* ---- workers ---- */

static void say_ended(struct crew *c)
{
	uint64_t one = 1;

	if (write(c->ended, &one, sizeof(one)) < 0)
		abort(); /* an eventfd takes a 1 */
}

void crew_fail(struct crew *c, int err)
{
	int none = 0;

	atomic_compare_exchange_strong(&c->failed, &none, err);
	say_ended(c);
}

/* An INTERRUPT is answered by what it ends, if at all. */
static bool hear_interrupt(struct crew *c, const char *request, size_t len)
{
	struct fuse_in_header head;
	struct fuse_interrupt_in in;

	if (len < sizeof(head) + sizeof(in))
		return false;
	memcpy(&head, request, sizeof(head));
	memcpy(&in, request + sizeof(head), sizeof(in));
	if (head.opcode != FUSE_INTERRUPT)
		return false;
	if (!c->rings || !rings_interrupt(c->rings, in.unique))
		stops_ask(&c->srv->stops, in.unique);
	return true;
}

/* The request in @mem, of /dev/fuse. False: libfuse is to do it. */
static bool serve_quickly(struct srv *s, char *mem, size_t len)
{
	size_t head = WRITE_HEAD;
	struct quick_answer a;
	struct quick_req q;
	ssize_t n;

	if (len < sizeof(q.in))
		return false;
	memcpy(&q.in, mem, sizeof(q.in));
	if (q.in.opcode != FUSE_WRITE || len < head)
		head = len;
	q.op = mem + sizeof(q.in);
	q.op_len = head - sizeof(q.in);
	q.data = mem + head;
	q.len = len - head;
	if (!quick_serve(s, &q, &a))
		return false;
	n = writev(fuse_session_fd(s->se), a.iov, a.n);
	/* Who asked may have given up; that the connection has ended, who reads
	 * next finds out. */
	(void)n;
	return true;
}

/* Read a request into @mem and do it. 0, 1 if there is none, or a negative
 * errno: -ENODEV if it was unmounted. */
/* NOLINTNEXTLINE(readability-non-const-parameter): requests are read into it */
static int serve_one(struct crew *c, char *mem)
{
	struct fuse_session *se = c->srv->se;
	struct fuse_buf buf = { .mem = mem + PAGE - WRITE_HEAD };
	int n = fuse_session_receive_buf(se, &buf);

	if (n == -EINTR || n == -EAGAIN)
		return 1;
	if (n == 0)
		return -ENODEV;
	if (n > 0 && !hear_interrupt(c, buf.mem, buf.size) &&
			!serve_quickly(c->srv, buf.mem, buf.size))
		fuse_session_process_buf(se, &buf);
	return n < 0 ? n : 0;
}

static void work(struct crew *c, char *mem)
{
	struct fuse_session *se = c->srv->se;
	int ret = 0;

	while (ret >= 0 && !fuse_session_exited(se) &&
			lead_take(&c->lead, &me.turn))
		ret = serve_one(c, mem);
	if (ret < 0 && ret != -ENODEV)
		crew_fail(c, ret);
}

/* What comes besides the rings. */
static void work_besides(struct crew *c, char *mem)
{
	struct fuse_session *se = c->srv->se;
	struct pollfd pfd = { .fd = fuse_session_fd(se), .events = POLLIN };
	struct timespec nap = { .tv_nsec = NAP_NS };
	bool some = false;
	int ret = 0;

	while (ret >= 0 && !fuse_session_exited(se)) {
		ret = serve_one(c, mem);
		if (ret == 0) {
			some = true;
		} else if (ret == 1 && some) {
			(void)nanosleep(&nap, NULL);
			some = false;
		} else if (ret == 1) {
			(void)poll(&pfd, 1, -1);
		}
	}
	if (ret < 0 && ret != -ENODEV)
		crew_fail(c, ret);
}

/* One of those who count in @running is done: the last one says so. */
static void leave(struct crew *c)
{
	if (atomic_fetch_sub(&c->running, 1) == 1)
		say_ended(c);
}

/* Room for the requests of @w. */
static int give_memory(const struct crew *c, struct crew_worker *w)
{
	if (w->mem)
		return 0;
	w->mem = aligned_alloc(HUGE_PAGE, HUGE_PAGE);
	if (!w->mem)
		return -ENOMEM;
	/* It pays where data is copied through a mapping. */
	w->huge = c->in_memory && huge_make(w->mem, HUGE_PAGE);
	return 0;
}

/* The calling thread is @w. */
static void use_memory(const struct crew_worker *w)
{
	me.data = w->mem + PAGE;
	me.size = SRV_DATA_MAX;
	me.huge = w->huge;
	/* Names lie at the end of the page before. memcmp() and the like read
	 * past them, and do that slowly where no page is yet. */
	me.data[0] = 0;
}

static void *worker_main(void *arg)
{
	struct crew_worker *w = arg;
	struct crew *c = w->crew;

	use_memory(w);
	if (c->rings) {
		work_besides(c, w->mem);
	} else {
		me.lead = &c->lead;
		work(c, w->mem);
		lead_end(me.lead);
	}
	leave(c);
	return NULL;
}

static int start_worker(struct crew *c)
{
	struct crew_worker *w = &c->worker[c->nworkers];
	int ret;

	w->crew = c;
	ret = give_memory(c, w);
	if (ret < 0)
		return ret;
	atomic_fetch_add(&c->running, 1);
	ret = pthread_create(&w->thread, NULL, worker_main, w);
	if (ret == 0)
		c->nworkers++;
	else
		atomic_fetch_sub(&c->running, 1);
	return -ret;
}

/* ---- rings ---- */

/* False: libfuse is to do it. */
static bool ring_serve_quickly(struct srv *s, struct ring_entry *e)
{
	struct quick_answer a;
	struct quick_req q;

	return request_kind(e->opcode) == REQUEST_DATA && ring_pieces(e, &q) &&
			quick_serve(s, &q, &a) &&
			ring_answer(e, a.iov, a.n) >= 0;
}

static void ring_serve(void *ctx, struct ring_entry *e)
{
	struct crew *c = ctx;
	struct fuse_buf buf = { 0 };

	me.data = e->data;
	me.size = e->size;
	me.huge = c->in_memory && ring_want_huge(e);
	if (ring_serve_quickly(c->srv, e))
		return;
	me.entry = e;
	buf.mem = ring_request(e, &buf.size);
	if (buf.mem) {
		wire_request(buf.mem, buf.size);
		fuse_session_process_buf(c->srv->se, &buf);
	}
	if (!e->answered)
		ring_refuse(e, -EIO);
	me.entry = NULL;
}

static void ring_enter(void *ctx)
{
	struct crew *c = ctx;

	atomic_fetch_add(&c->running, 1);
}

static void ring_left(void *ctx, int err)
{
	struct crew *c = ctx;

	if (err < 0)
		crew_fail(c, err);
	leave(c);
}

static const struct rings_ops ring_ops = {
	.serve = ring_serve,
	.enter = ring_enter,
	.left = ring_left,
};

/* Where nothing is waited for but copying. */
static bool is_in_memory(const char *image)
{
	struct statfs fs;
	struct stat st;

	if (stat(image, &st) == 0 && S_ISBLK(st.st_mode))
		return major(st.st_rdev) == RAMDISK_MAJOR;
	return statfs(image, &fs) == 0 &&
			(fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
}

/* Between the kernel's offer and the answer to it. 0, or a negative errno where
 * rings must be. */
static int choose_rings(struct crew *c, char *why)
{
	struct srv *s = c->srv;
	struct rings_opts o = {
		.fuse_fd = fuse_session_fd(s->se),
		.threads = c->threads,
		.size = SRV_DATA_MAX,
		.in_memory = c->in_memory,
	};
	bool must = s->opts->ring == SERVE_RING_ON;
	bool offered = s->wire.offered & RING_INIT_FLAG;
	int ret;

	if (s->opts->ring == SERVE_RING_OFF || (!must && !o.in_memory))
		return 0;
	ret = offered ? rings_open(&o, &c->rings) : -EOPNOTSUPP;
	s->wire.ring = ret == 0;
	if (ret == 0 || !must)
		return 0;
	if (offered)
		(void)snprintf(why, SERVE_WHY,
				"io_uring: cannot be set up: %s; leave the "
				"option out",
				uext4_strerror(ret));
	else
		(void)snprintf(why, SERVE_WHY,
				"io_uring: the kernel does not offer it; write "
				"Y to /sys/module/fuse/parameters/"
				"enable_uring, or leave the option out");
	return ret;
}

/* The kernel's first request decides how the others come. It is there: mounting
 * has sent it. */
static int greet(struct crew *c, char *why)
{
	struct fuse_session *se = c->srv->se;
	struct pollfd pfd = { .fd = fuse_session_fd(se), .events = POLLIN };
	struct fuse_buf buf = { 0 };
	int n;

	/* The first worker will have it. */
	n = give_memory(c, &c->worker[0]);
	if (n < 0)
		return n;
	use_memory(&c->worker[0]);
	buf.mem = c->worker[0].mem + PAGE - WRITE_HEAD;
	while ((n = fuse_session_receive_buf(se, &buf)) == -EAGAIN ||
			n == -EINTR)
		(void)poll(&pfd, 1, -1);
	/* Already unmounted: the workers will find out. */
	if (n == 0 || n == -ENODEV)
		return 0;
	if (n > 0)
		n = choose_rings(c, why);
	if (n < 0)
		return n;
	fuse_session_process_buf(se, &buf);
	return 0;
}

/* ---- all of them ---- */

int crew_start(struct crew *c, char *why)
{
	unsigned n = c->threads;
	int ret;

	atomic_store(&c->running, 1); /* until all are started */
	ret = greet(c, why);
	if (ret == 0 && c->rings) {
		n = 1;
		ret = rings_start(c->rings, &ring_ops, c);
		if (ret == -ENODEV) /* unmounted: the worker will find out */
			ret = 0;
		if (ret < 0)
			(void)snprintf(why, SERVE_WHY,
					"the kernel does not take its rings: "
					"%s; mount with noio_uring",
					uext4_strerror(ret));
	}
	while (ret == 0 && c->nworkers < n && c->nworkers < CREW_MAX)
		ret = start_worker(c);
	/* The mount may have ended meanwhile, and all of them with it. */
	leave(c);
	if (ret < 0 && why[0] == '\0')
		(void)snprintf(why, SERVE_WHY, "cannot start its threads: %s",
				uext4_strerror(ret));
	return ret;
}

void crew_stop(struct crew *c)
{
	struct pollfd pfd = { .fd = c->ended, .events = POLLIN };
	uint64_t said;
	unsigned i;

	fuse_session_exit(c->srv->se);
	lead_end(&c->lead);
	while (atomic_load(&c->running) > 0) {
		for (i = 0; i < c->nworkers; i++)
			(void)pthread_kill(c->worker[i].thread, WAKE_SIGNAL);
		if (c->rings)
			rings_end(c->rings, WAKE_SIGNAL);
		/* What was said before the last has left is known. */
		if (poll(&pfd, 1, WAKE_MS) > 0 &&
				read(c->ended, &said, sizeof(said)) < 0)
			abort();
	}
	for (i = 0; i < c->nworkers; i++)
		(void)pthread_join(c->worker[i].thread, NULL);
	c->nworkers = 0;
	/* They hold /dev/fuse open, and with it the connection. */
	rings_close(c->rings);
	c->rings = NULL;
}

/* ---- the crew ---- */

static void on_wake(int sig)
{
	(void)sig;
}

int crew_init(struct crew *c, struct srv *srv)
{
	struct sigaction wake = { .sa_handler = on_wake };

	c->srv = srv;
	c->in_memory = is_in_memory(srv->opts->image);
	c->threads = srv->opts->threads;
	if (c->threads == 0)
		c->threads = c->in_memory ? THREADS_MEMORY : THREADS_DEVICE;
	lead_init(&c->lead);
	(void)sigaction(WAKE_SIGNAL, &wake, NULL);
	c->ended = eventfd(0, EFD_CLOEXEC);
	return c->ended < 0 ? -errno : 0;
}

void crew_fini(struct crew *c)
{
	unsigned i;

	for (i = 0; i < CREW_MAX; i++)
		free(c->worker[i].mem);
	if (c->ended >= 0)
		(void)close(c->ended);
	lead_fini(&c->lead);
}
