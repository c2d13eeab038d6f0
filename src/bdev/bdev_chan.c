/* SPDX-License-Identifier: MIT */
/*
 * Channels: which kind to open, the end of requests that all kinds share, and
 * the kind without a road, INLINE, that passes everything on to its device.
 *
 * INLINE writes no eventfd: over a device that completes inside submit there is
 * nothing left to tell, and an asynchronous device has no channel's eventfd.
 * What is in flight on it belongs to the device; closing the channel does not
 * wait for it.
 */
#include <assert.h>
#include <stdlib.h>

#include "base/err.h"
#include "bdev/bdev.h"
#include "bdev/bdev_file.h"
#include "bdev/chan.h"

#define NS_PER_MS 1000000u
#define END_BATCH 32u /* requests taken off a road at once */

/* ---- the front ---- */

int bdev_chan_buffers(struct bdev *chan, const struct iovec *iov, unsigned n)
{
	return chan->ops->buffers ? chan->ops->buffers(chan, iov, n) : 0;
}

void bdev_kick(struct bdev *dev)
{
	if (dev->ops->kick)
		dev->ops->kick(dev);
}

void bdev_wake(struct bdev *dev)
{
	if (dev->ops->wake)
		dev->ops->wake(dev);
}

/* ---- what every channel has ---- */

void chan_init(struct chan *c, struct bdev *parent, const struct bdev_ops *ops,
		const struct chan_road *road)
{
	c->dev.ops = ops;
	c->dev.geo = parent->geo;
	c->parent = parent;
	c->road = road;
	mutex_init(&c->lock, "bdev_chan", LOCK_RANK_BDEV);
	cond_init(&c->cond);
}

void chan_fini(struct chan *c)
{
	assert(c->inflight == 0 && c->ending == 0 && c->sleepers == 0);
	cond_fini(&c->cond);
	mutex_fini(&c->lock);
}

int chan_map(struct bdev *dev, uint64_t pos, uint64_t len, void **ret_addr)
{
	return bdev_map(to_chan(dev)->parent, pos, len, ret_addr);
}

void chan_pass_on(struct chan *c, struct bdev_io *io)
{
	c->parent->ops->submit(c->parent, &io, 1);
}

/* ---- polling a road ---- */

void chan_sleep(struct chan *c, uint64_t deadline_ns)
{
	c->sleepers++;
	if (deadline_ns == CHAN_FOREVER)
		cond_wait(&c->cond, &c->lock);
	else
		(void)cond_wait_until(&c->cond, &c->lock, deadline_ns);
	c->sleepers--;
}

static void tell_locked(struct chan *c)
{
	if (c->sleepers > 0)
		cond_broadcast(&c->cond);
	if (c->road->nudge)
		c->road->nudge(c);
}

void chan_wake(struct bdev *dev)
{
	struct chan *c = to_chan(dev);

	mutex_lock(&c->lock);
	c->wakes++;
	c->is_wake_kept = true;
	tell_locked(c);
	mutex_unlock(&c->lock);
}

/* Gives the lock up in between (H1). */
static void run_ends_locked(struct chan *c, const struct chan_end *ends,
		unsigned n) UEXT4_REQUIRES(c->lock)
{
	unsigned i;

	c->inflight -= n;
	c->ending += n;
	mutex_unlock(&c->lock);
	for (i = 0; i < n; i++) {
		if (ends[i].result == CHAN_REDO)
			chan_pass_on(c, ends[i].io);
		else
			bdev_io_done(ends[i].io, ends[i].result);
	}
	mutex_lock(&c->lock);
	c->ending -= n;
	c->ended += n;
	tell_locked(c);
}

/*
 * End what there is to end: at most @max requests, so that callbacks which
 * submit again do not keep us here for ever.
 */
static unsigned end_some_locked(struct chan *c, unsigned max)
		UEXT4_REQUIRES(c->lock)
{
	struct chan_end ends[END_BATCH];
	unsigned total = 0;
	unsigned n;

	do {
		n = c->road->take(c, ends, END_BATCH);
		if (n > 0)
			run_ends_locked(c, ends, n);
		total += n;
	} while (n == END_BATCH && total < max);
	return total;
}

/* Returns how many requests came to an end during the call, on this thread or
 * another: a sleeper whose request was taken by somebody else returns too. */
int chan_poll(struct bdev *dev, unsigned min, int timeout_ms)
{
	struct chan *c = to_chan(dev);
	uint64_t deadline = CHAN_FOREVER;
	uint64_t ended;
	uint64_t wakes;
	unsigned n;

	if (timeout_ms > 0)
		deadline = time_now_ns() + (uint64_t)timeout_ms * NS_PER_MS;
	mutex_lock(&c->lock);
	ended = c->ended;
	wakes = c->wakes;
	for (;;) {
		/* H3: what has ended by now is among what is in flight now. */
		n = end_some_locked(c, max_of(min, c->inflight));
		if (c->ended - ended >= min || timeout_ms == 0)
			break;
		if (c->inflight == 0 && c->ending == 0)
			break;
		if (c->wakes != wakes || c->is_wake_kept) {
			c->is_wake_kept = false;
			break;
		}
		if (n > 0)
			continue; /* H2: the lock was given up */
		if (deadline != CHAN_FOREVER && time_now_ns() >= deadline)
			break;
		c->road->sleep(c, deadline);
	}
	/* What callbacks have submitted. */
	if (c->road->kick)
		c->road->kick(c);
	n = (unsigned)(c->ended - ended);
	mutex_unlock(&c->lock);
	return (int)n;
}

void chan_drain(struct chan *c)
{
	bool is_idle = false;

	while (!is_idle) {
		(void)chan_poll(&c->dev, 1, -1);
		mutex_lock(&c->lock);
		is_idle = c->inflight == 0 && c->ending == 0;
		mutex_unlock(&c->lock);
	}
}

/* ---- the channel without a road ---- */

static void inline_submit(
		struct bdev *dev, struct bdev_io **ios, unsigned int n)
{
	struct bdev *parent = to_chan(dev)->parent;

	parent->ops->submit(parent, ios, n);
}

static int inline_poll(struct bdev *dev, unsigned int min, int timeout_ms)
{
	return bdev_poll(to_chan(dev)->parent, min, timeout_ms);
}

static void inline_kick(struct bdev *dev)
{
	bdev_kick(to_chan(dev)->parent);
}

static void inline_wake(struct bdev *dev)
{
	bdev_wake(to_chan(dev)->parent);
}

static int inline_close(struct bdev *dev)
{
	chan_fini(to_chan(dev));
	free(to_chan(dev));
	return 0;
}

static const struct bdev_ops inline_ops = {
	.name = "inline",
	.submit = inline_submit,
	.poll = inline_poll,
	.kick = inline_kick,
	.wake = inline_wake,
	.map = chan_map,
	.close = inline_close,
};

static int inline_open(struct bdev *dev, struct bdev **ret_chan)
{
	struct chan *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	chan_init(c, dev, &inline_ops, NULL);
	*ret_chan = &c->dev;
	return 0;
}

/* ---- opening ---- */

/*
 * Where I/O is a copy in memory there is nothing to overlap: a ring hands such
 * a write to a worker of the kernel and is slower than the plain call.
 */
static enum bdev_chan_kind pick_kind(const struct bdev *dev)
{
	if (dev->ops->is_copy || dev->ops->poll)
		return BDEV_CHAN_INLINE;
	if (!bdev_is_file(dev))
		return BDEV_CHAN_POOL;
	return BDEV_CHAN_URING;
}

int bdev_chan_open(struct bdev *dev, const struct bdev_chan_opts *opts,
		struct bdev **ret_chan)
{
	enum bdev_chan_kind kind = opts->kind;
	int ret;

	if (opts->depth == 0)
		return -EINVAL;
	if (kind == BDEV_CHAN_AUTO)
		kind = pick_kind(dev);
	switch (kind) {
	case BDEV_CHAN_INLINE:
		return inline_open(dev, ret_chan);
	case BDEV_CHAN_POOL:
		return bdev_pool_open(dev, opts, ret_chan);
	case BDEV_CHAN_URING:
		ret = bdev_uring_open(dev, opts, ret_chan);
		if (ret < 0 && opts->kind == BDEV_CHAN_AUTO)
			ret = bdev_pool_open(dev, opts, ret_chan);
		return ret;
	default:
		return -EINVAL;
	}
}
