/* SPDX-License-Identifier: MIT */
/*
 * What the channels have in common: how their requests end in bdev_poll().
 *
 * A channel with a road of its own embeds struct chan and fills in struct
 * chan_road: how ended requests are taken off the road, and how to sleep until
 * there are some. chan_poll() and chan_wake() are then its bdev_ops. A request
 * is linked through its priv while the channel has it.
 *
 * States   of a request, each counted:
 *          inflight   taken in by submit: on the road or held back
 *          ending     taken off by a thread in chan_poll(), done() under way
 *          ended      done() has returned
 *
 * Rules    (H1) done() and the parent's submit are called without chan->lock.
 *          (H2) A thread that sleeps has seen, under the lock and after it
 *               announced itself, that there was nothing to take. Whoever
 *               changes inflight, ended or wakes later tells the sleepers.
 *          (H3) chan_poll() with @min 0 takes off the road everything that
 *               had ended before it was called: who waits on the eventfd, reads
 *               it and then polls, misses nothing.
 *
 * Locks    chan->lock has the rank "bdev".
 */
#ifndef UEXT4_BDEV_CHAN_H
#define UEXT4_BDEV_CHAN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/lock.h"
#include "bdev/bdev.h"

/* Instead of a result: the road could not do it, or not all of it, and the
 * parent shall, from the start. */
#define CHAN_REDO 1

#define CHAN_FOREVER UINT64_MAX /* as a deadline */

struct chan;

struct chan_end {
	struct bdev_io *io;
	int result; /* 0, -errno, CHAN_REDO */
};

/* All are called with chan->lock held. */
struct chan_road {
	/* Send off what waits, take up to @max ended requests off the road in
	 * the order they ended, fill what room that made. Does not sleep. */
	unsigned (*take)(struct chan *c, struct chan_end *ends, unsigned max);
	/* Sleep, with the lock given up, until there may be something to take,
	 * nudge(), a change told by chan->cond, or @deadline_ns. */
	void (*sleep)(struct chan *c, uint64_t deadline_ns);
	/* Send off what waits. NULL: nothing ever waits. */
	void (*kick)(struct chan *c);
	/* Wake who sleeps elsewhere than on chan->cond. NULL: nobody does. */
	void (*nudge)(struct chan *c);
};

struct chan {
	struct bdev dev;
	struct bdev *parent;          /* [const] */
	const struct chan_road *road; /* [const] */
	struct mutex lock;
	struct cond cond;
	unsigned inflight; /* [lock] */
	unsigned ending;   /* [lock] */
	uint64_t ended;    /* [lock] */
	uint64_t wakes;    /* [lock] calls of chan_wake() */
	bool is_wake_kept; /* [lock] nobody has returned for the last one yet */
	unsigned sleepers; /* [lock] threads that wait on cond */
};

/* First in, first out. All zeroes: empty. */
struct chan_list {
	struct bdev_io *head;
	struct bdev_io *tail;
};

static inline void chan_list_add(struct chan_list *l, struct bdev_io *io)
{
	io->priv = NULL;
	if (l->head)
		l->tail->priv = io;
	else
		l->head = io;
	l->tail = io;
}

/* NULL when it is empty. */
static inline struct bdev_io *chan_list_pop(struct chan_list *l)
{
	struct bdev_io *io = l->head;

	if (io)
		l->head = io->priv;
	return io;
}

static inline struct chan *to_chan(struct bdev *dev)
{
	return container_of(dev, struct chan, dev);
}

/* @road NULL: a channel that passes on. */
void chan_init(struct chan *c, struct bdev *parent, const struct bdev_ops *ops,
		const struct chan_road *road);
void chan_fini(struct chan *c);

/* Parts of bdev_ops. */
int chan_poll(struct bdev *dev, unsigned min, int timeout_ms);
void chan_wake(struct bdev *dev);
int chan_map(struct bdev *dev, uint64_t pos, uint64_t len, void **ret_addr);

/* Wait on chan->cond until told or @deadline_ns. */
void chan_sleep(struct chan *c, uint64_t deadline_ns) UEXT4_REQUIRES(c->lock);
/* Let @io be done by the parent, inside the call (H1). */
void chan_pass_on(struct chan *c, struct bdev_io *io);
/* Poll until nothing is in flight. */
void chan_drain(struct chan *c);

/* The openers of the kinds that have a road. */
UEXT4_MUST_CHECK int bdev_uring_open(struct bdev *dev,
		const struct bdev_chan_opts *opts, struct bdev **ret_chan);
UEXT4_MUST_CHECK int bdev_pool_open(struct bdev *dev,
		const struct bdev_chan_opts *opts, struct bdev **ret_chan);

#endif /* UEXT4_BDEV_CHAN_H */
