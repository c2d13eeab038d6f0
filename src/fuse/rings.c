/* SPDX-License-Identifier: MIT */
/* The rings of a mount and their threads. See rings.h. */
#include "fuse/rings.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/sysinfo.h>

#include "fuse/request.h"

/* Entries: in all, and of the queue of a CPU. Where one request after the other is
 * done, few of them keep caches warm and leave some to the other rings; where
 * devices are waited for, each is a request under way. */
#define ENTRIES   64u
#define DEPTH_MIN 8u
#define DEPTH_MAX 32u
#define DEPTH_MEM 16u
/* Of a queue in one ring, at least. */
#define SHARE_MIN 4u
/* To copy so much keeps others waiting. */
#define LARGE     ((size_t)64 * 1024)
/* So many requests in a row make a lone client. */
#define ALONE     16u

struct ring_thread {
	struct rings *rs;
	struct ring ring;
	pthread_t thread;
	bool opened, started;
	unsigned alone;         /* requests in a row that came alone */
	struct ring_list large; /* came, and wait for what is not */
};

struct rings {
	const struct rings_ops *ops;
	void *ctx;
	bool in_memory;
	_Atomic bool over;
	struct ring_thread *ring;
	unsigned nrings;
	pthread_t *helper;
	unsigned nhelpers, nhelping; /* to be, and started */
	pthread_mutex_t m;
	pthread_cond_t more;
	struct ring_list todo; /* [m] */
	bool helped;           /* [m] helpers are to end */
	int idle;              /* [m] helpers, less what waits for one */
	pthread_cond_t begun;
	unsigned nbegun; /* [m] rings that have started, or failed to */
	int error;       /* [m] of the first that failed to */
};

/* ---- helpers ---- */

static struct ring_entry *todo_next(struct rings *rs)
{
	struct ring_entry *e;

	pthread_mutex_lock(&rs->m);
	while ((e = TAILQ_FIRST(&rs->todo)) == NULL && !rs->helped)
		pthread_cond_wait(&rs->more, &rs->m);
	if (e)
		TAILQ_REMOVE(&rs->todo, e, link);
	pthread_mutex_unlock(&rs->m);
	return e;
}

static void *helper_main(void *arg)
{
	struct rings *rs = arg;
	struct ring_entry *e;

	while ((e = todo_next(rs)) != NULL) {
		rs->ops->serve(rs->ctx, e);
		pthread_mutex_lock(&rs->m);
		rs->idle++;
		pthread_mutex_unlock(&rs->m);
		ring_return(e);
	}
	return NULL;
}

/* Lent to a helper? Not if none is idle, unless it must be one. */
static bool lend(struct rings *rs, struct ring_entry *e, bool must)
{
	bool lent;

	pthread_mutex_lock(&rs->m);
	lent = must || rs->idle > 0;
	if (lent) {
		rs->idle--;
		ring_lend(e);
		TAILQ_INSERT_TAIL(&rs->todo, e, link);
		pthread_cond_signal(&rs->more);
	}
	pthread_mutex_unlock(&rs->m);
	return lent;
}

bool rings_interrupt(struct rings *rs, uint64_t unique)
{
	struct ring_entry *e;
	bool stop;

	pthread_mutex_lock(&rs->m);
	e = TAILQ_FIRST(&rs->todo);
	while (e && e->unique != unique)
		e = TAILQ_NEXT(e, link);
	stop = e && request_can_stop(e->opcode);
	if (stop) {
		TAILQ_REMOVE(&rs->todo, e, link);
		rs->idle++;
	}
	pthread_mutex_unlock(&rs->m);
	if (stop) {
		ring_refuse(e, -EINTR);
		ring_return(e);
	}
	return stop;
}

/* ---- rings ---- */

enum who {
	WHO_RING,   /* the ring's thread */
	WHO_EITHER, /* a helper, if one is idle */
	WHO_HELPER,
};

/* As far as anybody can tell from here: their clients are not at it. */
static bool others_sleep(const struct ring_thread *t)
{
	unsigned i;

	for (i = 0; i < t->rs->nrings; i++) {
		const struct ring_thread *o = &t->rs->ring[i];

		if (o != t && !atomic_load(&o->ring.asleep))
			return false;
	}
	return true;
}

static enum who who_does(
		const struct ring_thread *t, const struct ring_entry *e)
{
	bool in_memory = t->rs->in_memory;
	bool alone = t->alone == ALONE;

	switch (request_kind(e->opcode)) {
	case REQUEST_QUICK:
		return in_memory || alone ? WHO_RING : WHO_EITHER;
	case REQUEST_DATA:
		return in_memory ? WHO_RING : WHO_EITHER;
	case REQUEST_SYNC:
		return in_memory && alone && others_sleep(t) ? WHO_RING
							     : WHO_HELPER;
	default:
		return WHO_HELPER;
	}
}

/* Lent? */
static bool take(struct ring_thread *t, struct ring_entry *e)
{
	enum who who = who_does(t, e);

	if (who != WHO_RING && lend(t->rs, e, who == WHO_HELPER))
		return true;
	t->rs->ops->serve(t->rs->ctx, e);
	ring_commit(e);
	return false;
}

static bool is_large(const struct ring_thread *t, const struct ring_entry *e)
{
	return t->rs->in_memory && request_kind(e->opcode) == REQUEST_DATA &&
			ring_data_size(e) >= LARGE;
}

/* Was any lent? */
static bool take_news(struct ring_thread *t, struct ring_list *news)
{
	struct ring_entry *e;
	bool lent = false;

	while ((e = TAILQ_FIRST(news)) != NULL) {
		TAILQ_REMOVE(news, e, link);
		if (is_large(t, e))
			TAILQ_INSERT_TAIL(&t->large, e, link);
		else
			lent |= take(t, e);
	}
	return lent;
}

static void take_large(struct ring_thread *t)
{
	struct ring_entry *e = TAILQ_FIRST(&t->large);

	if (!e)
		return;
	TAILQ_REMOVE(&t->large, e, link);
	ring_tell(&t->ring); /* who asked for what is short need not wait */
	(void)take(t, e);
}

/* @news came at once. */
static void count_alone(struct ring_thread *t, const struct ring_list *news)
{
	const struct ring_entry *e = TAILQ_FIRST(news);

	if (!e)
		return;
	if (TAILQ_NEXT(e, link) || t->ring.lent > 0 || !TAILQ_EMPTY(&t->large))
		t->alone /= 2;
	else if (t->alone < ALONE)
		t->alone++;
}

static void say_begun(struct rings *rs, int err)
{
	pthread_mutex_lock(&rs->m);
	rs->nbegun++;
	if (rs->error == 0)
		rs->error = err;
	pthread_cond_signal(&rs->begun);
	pthread_mutex_unlock(&rs->m);
}

static void *ring_main(void *arg)
{
	struct ring_thread *t = arg;
	struct rings *rs = t->rs;
	struct ring_list news = TAILQ_HEAD_INITIALIZER(news);
	enum ring_patience how = RING_SLEEP;
	int ret = ring_start(&t->ring);
	bool lent;

	say_begun(rs, ret);
	while ((ret == 0 || ret == -EINTR) && !atomic_load(&rs->over)) {
		ret = ring_wait(&t->ring, how, &news);
		count_alone(t, &news);
		lent = take_news(t, &news);
		take_large(t);
		how = t->alone > 0 && !lent ? RING_ASK : RING_SLEEP;
		if (!TAILQ_EMPTY(&t->large))
			how = RING_LOOK;
	}
	while (!TAILQ_EMPTY(&t->large))
		take_large(t);
	ring_settle(&t->ring);
	rs->ops->left(rs->ctx, ret == -ENODEV || ret == -EINTR ? 0 : ret);
	return NULL;
}

/* ---- open, start, end, close ---- */

static unsigned clamp(unsigned n, unsigned min, unsigned max)
{
	if (n < min)
		return min;
	return n > max ? max : n;
}

/* As many queues has the kernel. */
static unsigned possible_cpus(void)
{
	FILE *f = fopen("/sys/devices/system/cpu/possible", "re");
	unsigned n = 0;
	unsigned from;
	unsigned to;
	int got;

	/* "0-3,8-11" */
	while (f && (got = fscanf(f, "%u-%u", &from, &to)) >= 1) {
		n += got == 2 && to >= from ? to - from + 1 : 1;
		if (fgetc(f) != ',')
			break;
	}
	if (f)
		(void)fclose(f);
	if (n == 0)
		n = (unsigned)get_nprocs_conf();
	return clamp(n, 1, UINT16_MAX);
}

struct ring_opts rings_shape(
		const struct rings_opts *o, unsigned nqueues, unsigned nonline)
{
	unsigned depth = clamp(ENTRIES / nonline, DEPTH_MIN,
			o->in_memory ? DEPTH_MEM : DEPTH_MAX);
	unsigned nrings = clamp(o->threads, 1, nonline);

	return (struct ring_opts){
		.fuse_fd = o->fuse_fd,
		.nrings = nrings,
		.share = clamp(depth / SHARE_MIN, 1, nrings),
		.nqueues = nqueues,
		.nonline = nonline,
		.depth = depth,
		.size = o->size,
	};
}

int rings_open(const struct rings_opts *o, struct rings **ret_rs)
{
	struct rings *rs = calloc(1, sizeof(*rs));
	unsigned nqueues = possible_cpus();
	struct ring_opts ro = rings_shape(
			o, nqueues, clamp((unsigned)get_nprocs(), 1, nqueues));
	int ret = 0;

	if (!rs)
		return -ENOMEM;
	rs->in_memory = o->in_memory;
	TAILQ_INIT(&rs->todo);
	pthread_mutex_init(&rs->m, NULL);
	pthread_cond_init(&rs->more, NULL);
	pthread_cond_init(&rs->begun, NULL);
	rs->nrings = ro.nrings;
	rs->nhelpers = o->threads;
	rs->ring = calloc(rs->nrings, sizeof(*rs->ring));
	rs->helper = calloc(rs->nhelpers, sizeof(*rs->helper));
	if (!rs->ring || !rs->helper)
		ret = -ENOMEM;
	for (; ret == 0 && ro.index < rs->nrings; ro.index++) {
		struct ring_thread *t = &rs->ring[ro.index];

		t->rs = rs;
		TAILQ_INIT(&t->large);
		ret = ring_open(&t->ring, &ro);
		t->opened = ret == 0;
	}
	if (ret < 0) {
		rings_close(rs);
		return ret;
	}
	*ret_rs = rs;
	return 0;
}

static int start_helpers(struct rings *rs)
{
	int ret = 0;

	while (ret == 0 && rs->nhelping < rs->nhelpers) {
		ret = pthread_create(&rs->helper[rs->nhelping], NULL,
				helper_main, rs);
		if (ret == 0)
			rs->nhelping++;
	}
	pthread_mutex_lock(&rs->m);
	rs->idle += (int)rs->nhelping;
	pthread_mutex_unlock(&rs->m);
	return -ret;
}

/* Until the kernel has taken the entries of all, or refused some. */
static int await_begun(struct rings *rs)
{
	int ret;

	pthread_mutex_lock(&rs->m);
	while (rs->nbegun < rs->nrings)
		pthread_cond_wait(&rs->begun, &rs->m);
	ret = rs->error;
	pthread_mutex_unlock(&rs->m);
	return ret;
}

int rings_start(struct rings *rs, const struct rings_ops *ops, void *ctx)
{
	unsigned i;
	int ret;

	rs->ops = ops;
	rs->ctx = ctx;
	ret = start_helpers(rs);
	for (i = 0; ret == 0 && i < rs->nrings; i++) {
		struct ring_thread *t = &rs->ring[i];

		ops->enter(ctx);
		ret = -pthread_create(&t->thread, NULL, ring_main, t);
		t->started = ret == 0;
		if (ret < 0)
			ops->left(ctx, 0);
	}
	return ret < 0 ? ret : await_begun(rs);
}

void rings_end(struct rings *rs, int wake_signal)
{
	unsigned i;

	atomic_store(&rs->over, true);
	for (i = 0; i < rs->nrings; i++) {
		if (rs->ring[i].started)
			(void)pthread_kill(rs->ring[i].thread, wake_signal);
	}
}

static void helpers_end(struct rings *rs)
{
	unsigned i;

	pthread_mutex_lock(&rs->m);
	rs->helped = true;
	pthread_cond_broadcast(&rs->more);
	pthread_mutex_unlock(&rs->m);
	for (i = 0; i < rs->nhelping; i++)
		(void)pthread_join(rs->helper[i], NULL);
}

void rings_close(struct rings *rs)
{
	unsigned i;

	if (!rs)
		return;
	for (i = 0; rs->ring && i < rs->nrings; i++) {
		if (rs->ring[i].started)
			(void)pthread_join(rs->ring[i].thread, NULL);
	}
	helpers_end(rs);
	for (i = 0; rs->ring && i < rs->nrings; i++) {
		if (rs->ring[i].opened)
			ring_close(&rs->ring[i].ring);
	}
	pthread_cond_destroy(&rs->more);
	pthread_cond_destroy(&rs->begun);
	pthread_mutex_destroy(&rs->m);
	free(rs->ring);
	free(rs->helper);
	free(rs);
}
