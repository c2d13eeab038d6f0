/* SPDX-License-Identifier: MIT */
/*
 * A channel whose road is a few threads: each takes one request at a time and
 * has the device do it. For devices of the library's user, and for files where
 * io_uring is refused.
 *
 * Every kind of request takes this road, a flush too. An asynchronous device
 * serves as well: the thread polls it until its request is done.
 *
 * States   todo -> running -> over -> (chan_poll) done
 *
 * Locks    chan->lock guards both lists; the device is called without it.
 */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "base/err.h"
#include "base/lock.h"
#include "bdev/bdev.h"
#include "bdev/chan.h"

#define POOL_THREADS 4u

struct bdev_pool {
	struct chan c;
	struct cond work;      /* todo grew, or is_stopping */
	struct chan_list todo; /* [lock] */
	struct chan_list over; /* [lock] io->result is set */
	bool is_told; /* [lock] the eventfd was written since the last take */
	bool is_stopping;  /* [lock] */
	int eventfd;       /* [const] -1: none */
	unsigned nthreads; /* [owner] */
	pthread_t threads[POOL_THREADS];
};

static struct bdev_pool *to_pool(struct chan *c)
{
	return container_of(c, struct bdev_pool, c);
}

/* ---- the threads ---- */

/* @io has its result. Returns whether the eventfd has to be written. */
static bool put_over_locked(struct bdev_pool *p, struct bdev_io *io)
{
	bool has_to_tell = p->eventfd >= 0 && !p->is_told;

	chan_list_add(&p->over, io);
	p->is_told = true;
	if (p->c.sleepers > 0)
		cond_broadcast(&p->c.cond);
	return has_to_tell;
}

static void *pool_main(void *arg)
{
	struct bdev_pool *p = arg;
	struct chan *c = &p->c;
	struct bdev_io *io;
	bool has_to_tell;
	int ret;

	mutex_lock(&c->lock);
	for (;;) {
		io = chan_list_pop(&p->todo);
		if (!io && p->is_stopping)
			break;
		if (!io) {
			cond_wait(&p->work, &c->lock);
			continue;
		}
		mutex_unlock(&c->lock);
		ret = bdev_run(c->parent, io);
		mutex_lock(&c->lock);
		io->result = ret;
		has_to_tell = put_over_locked(p, io);
		if (!has_to_tell)
			continue;
		mutex_unlock(&c->lock);
		(void)eventfd_write(p->eventfd, 1);
		mutex_lock(&c->lock);
	}
	mutex_unlock(&c->lock);
	return NULL;
}

static void stop_threads(struct bdev_pool *p)
{
	unsigned i;

	mutex_lock(&p->c.lock);
	p->is_stopping = true;
	cond_broadcast(&p->work);
	mutex_unlock(&p->c.lock);
	for (i = 0; i < p->nthreads; i++)
		pthread_join(p->threads[i], NULL);
}

static int start_threads(struct bdev_pool *p, unsigned n)
{
	sigset_t all;
	sigset_t old;
	int ret = 0;

	/* Signals are for the threads of the program, not for ours. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	for (; p->nthreads < n && ret == 0; p->nthreads += ret == 0)
		ret = -pthread_create(
				&p->threads[p->nthreads], NULL, pool_main, p);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return p->nthreads > 0 ? 0 : ret;
}

/* ---- the road ---- */

static unsigned pool_take(struct chan *c, struct chan_end *ends, unsigned max)
{
	struct bdev_pool *p = to_pool(c);
	struct bdev_io *io;
	unsigned n = 0;

	p->is_told = false;
	while (n < max && (io = chan_list_pop(&p->over)) != NULL)
		ends[n++] = (struct chan_end){ io, io->result };
	return n;
}

static const struct chan_road pool_road = {
	.take = pool_take,
	.sleep = chan_sleep,
};

/* ---- the device ---- */

static void pool_submit(struct bdev *dev, struct bdev_io **ios, unsigned int n)
{
	struct bdev_pool *p = to_pool(to_chan(dev));
	unsigned int i;

	mutex_lock(&p->c.lock);
	for (i = 0; i < n; i++)
		chan_list_add(&p->todo, ios[i]);
	p->c.inflight += n;
	if (n == 1)
		cond_signal(&p->work);
	else
		cond_broadcast(&p->work);
	mutex_unlock(&p->c.lock);
}

static void pool_free(struct bdev_pool *p)
{
	cond_fini(&p->work);
	chan_fini(&p->c);
	free(p);
}

static int pool_close(struct bdev *dev)
{
	struct bdev_pool *p = to_pool(to_chan(dev));

	chan_drain(&p->c);
	stop_threads(p);
	pool_free(p);
	return 0;
}

static const struct bdev_ops pool_ops = {
	.name = "threads",
	.submit = pool_submit,
	.poll = chan_poll,
	.wake = chan_wake,
	.map = chan_map,
	.close = pool_close,
};

int bdev_pool_open(struct bdev *dev, const struct bdev_chan_opts *opts,
		struct bdev **ret_chan)
{
	struct bdev_pool *p = calloc(1, sizeof(*p));
	int ret;

	if (!p)
		return -ENOMEM;
	chan_init(&p->c, dev, &pool_ops, &pool_road);
	cond_init(&p->work);
	p->eventfd = opts->eventfd;
	ret = start_threads(p, min_of(opts->depth, POOL_THREADS));
	if (ret < 0) {
		pool_free(p);
		return ret;
	}
	*ret_chan = &p->c.dev;
	return 0;
}
