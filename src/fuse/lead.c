/* SPDX-License-Identifier: MIT */
/* Which worker reads the next request. See lead.h. */
#include "fuse/lead.h"

#include <errno.h>
#include <linux/fuse.h>
#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fuse/now.h"
#include "fuse/request.h"

#define LEAD_ASK_NS   20000u
#define LEAD_WATCH_NS 2000000u
#define LEAD_CALM     50u
#define LEAD_BACKLOG  8u
#define LEAD_ALONE    16u

void lead_init(struct lead *l)
{
	pthread_condattr_t attr;

	memset(l, 0, sizeof(*l));
	pthread_mutex_init(&l->m, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&l->changed, &attr);
	pthread_condattr_destroy(&attr);
}

void lead_fini(struct lead *l)
{
	pthread_cond_destroy(&l->changed);
	pthread_mutex_destroy(&l->m);
}

/* Until a moment has passed or something has changed. */
static int wait_a_moment(struct lead *l)
{
	uint64_t until = now_ns() + LEAD_WATCH_NS;
	struct timespec ts = {
		.tv_sec = (time_t)(until / 1000000000u),
		.tv_nsec = (long)(until % 1000000000u),
	};

	return pthread_cond_timedwait(&l->changed, &l->m, &ts);
}

/* Look at the leader at times, until the lead is free (W2). */
static void watch_locked(struct lead *l)
{
	unsigned seen = atomic_load(&l->turn);
	unsigned looks = 0;

	l->watched = true;
	while (l->taken && !l->ended) {
		if (looks >= LEAD_CALM) {
			/* In this order: a leader that wakes up changes the
			 * turn, then looks (W5). */
			atomic_store(&l->calm, true);
			if (atomic_load(&l->turn) == seen)
				pthread_cond_wait(&l->changed, &l->m);
			atomic_store(&l->calm, false);
			looks = 0;
		}
		if (wait_a_moment(l) == ETIMEDOUT &&
				atomic_load(&l->turn) == seen) {
			if (seen % 2 != 0)
				l->taken = false;
			looks++;
		} else {
			looks = 0;
		}
		seen = atomic_load(&l->turn);
	}
	l->watched = false;
}

static bool still_leads(struct lead *l, struct lead_me *me)
{
	if (!me->leads || atomic_load(&l->term) != me->term)
		return false;
	/* The work is done; not if another leads by now, whose turn it is. */
	if (atomic_load(&l->turn) % 2 != 0)
		atomic_fetch_add(&l->turn, 1);
	return true;
}

bool lead_take(struct lead *l, struct lead_me *me)
{
	bool more;

	if (me->works)
		atomic_fetch_sub(&l->working, 1);
	me->works = false;
	if (still_leads(l, me))
		return true;
	me->leads = false; /* it was taken away (W2) */
	if (me->again)
		return true;
	pthread_mutex_lock(&l->m);
	l->standbys++;
	while (l->taken && !l->ended) {
		if (l->watched)
			pthread_cond_wait(&l->changed, &l->m);
		else
			watch_locked(l);
	}
	l->standbys--;
	more = !l->ended;
	if (more) {
		l->taken = true;
		me->leads = true;
		me->backlog = 0;
		me->term = atomic_fetch_add(&l->term, 1) + 1;
		/* An even one. */
		atomic_store(&l->turn, (atomic_load(&l->turn) | 1) + 1);
		if (l->standbys > 0 && !l->watched)
			pthread_cond_signal(&l->changed);
	}
	pthread_mutex_unlock(&l->m);
	return more;
}

void lead_give(struct lead *l, struct lead_me *me)
{
	if (!me->leads)
		return;
	me->leads = false;
	pthread_mutex_lock(&l->m);
	if (atomic_load(&l->term) == me->term && l->taken) {
		l->taken = false;
		if (l->standbys > 0)
			pthread_cond_signal(&l->changed);
	}
	pthread_mutex_unlock(&l->m);
}

void lead_end(struct lead *l)
{
	pthread_mutex_lock(&l->m);
	l->ended = true;
	pthread_cond_broadcast(&l->changed);
	pthread_mutex_unlock(&l->m);
}

/* ---- reading ---- */

/* Is it done without waiting for a device, as a rule? */
static bool is_quick(const void *request, ssize_t n)
{
	struct fuse_in_header head;

	if (n < (ssize_t)sizeof(head))
		return false;
	memcpy(&head, request, sizeof(head));
	return request_kind(head.opcode) == REQUEST_QUICK;
}

/* Is there a client who asks for one thing after the other, and nobody else?
 * @waited: the request that has just been read had to be waited for. */
static bool is_alone(struct lead *l, struct lead_me *me, bool waited)
{
	unsigned n = atomic_load_explicit(&l->alone, memory_order_relaxed);

	me->works = true;
	if (atomic_fetch_add(&l->working, 1) != 0)
		n = 0;
	else if (!waited)
		n /= 2;
	else if (n < LEAD_ALONE)
		n++;
	atomic_store_explicit(&l->alone, n, memory_order_relaxed);
	return n == LEAD_ALONE;
}

/* There is none, and it is not worth asking again. False: a signal came. */
static bool sleep_for_request(struct lead *l, int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	if (poll(&pfd, 1, -1) < 0)
		return false;
	atomic_fetch_add(&l->turn, 2); /* still waiting, but not asleep */
	if (atomic_load(&l->calm)) {
		pthread_mutex_lock(&l->m);
		pthread_cond_broadcast(&l->changed);
		pthread_mutex_unlock(&l->m);
	}
	return true;
}

static ssize_t ask(struct lead *l, struct lead_me *me, int fd, void *buf,
		size_t len)
{
	uint64_t since = 0;
	ssize_t n;

	while ((n = read(fd, buf, len)) < 0 && errno == EAGAIN) {
		me->backlog = 0;
		if (since == 0 && me->quick)
			since = now_ns();
		else if (!me->quick || now_ns() - since > LEAD_ASK_NS) {
			if (!sleep_for_request(l, fd))
				return -1;
			since = 0;
		}
	}
	return n;
}

ssize_t lead_read(struct lead *l, struct lead_me *me, int fd, void *buf,
		size_t len)
{
	ssize_t n = me->leads ? ask(l, me, fd, buf, len) : read(fd, buf, len);

	me->again = n >= 0;
	if (n < 0)
		return n;
	me->quick = is_quick(buf, n);
	if (is_alone(l, me, me->backlog == 0))
		me->quick = true;
	if (!me->leads)
		return n;
	if (!me->quick || ++me->backlog > LEAD_BACKLOG)
		lead_give(l, me);
	else if (atomic_load(&l->term) == me->term)
		atomic_fetch_add(&l->turn, 1); /* odd: at work */
	return n;
}
