/* SPDX-License-Identifier: MIT */
/*
 * Waiting for the requests of a channel: who sleeps in bdev_poll(), or on the
 * eventfd, and what brings him back.
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/lock.h"
#include "bdev/bdev_file.h"
#include "chan_env.h"

struct poller {
	struct bdev *chan;
	unsigned min;
	int timeout_ms;
	int ret;
	uint64_t ns;
	atomic_bool is_over;
	atomic_bool has_to_stop;
	atomic_uint returns; /* how often bdev_poll() has */
	pthread_t thread;
};

static void *poll_once(void *arg)
{
	struct poller *p = arg;
	uint64_t start = time_now_ns();

	p->ret = bdev_poll(p->chan, p->min, p->timeout_ms);
	p->ns = time_now_ns() - start;
	p->is_over = true;
	return NULL;
}

static void poll_start(struct poller *p, struct bdev *chan, int timeout_ms)
{
	*p = (struct poller){
		.chan = chan, .min = 1, .timeout_ms = timeout_ms
	};
	assert_int_equal(pthread_create(&p->thread, NULL, poll_once, p), 0);
}

/* A channel whose reads end only when the test lets them. */
struct gate {
	struct env env;
	int pipe[2]; /* under a ring; -1: the user device under a pool */
};

/*
 * Under a ring the file is replaced by a pipe: it too has a descriptor, and a
 * read of it waits. False when the host refuses io_uring.
 */
static bool gate_open(struct gate *g, enum bdev_chan_kind kind)
{
	g->pipe[0] = -1;
	dev_open(&g->env, kind == BDEV_CHAN_POOL ? USER : FILE_SHM);
	if (kind == BDEV_CHAN_POOL) {
		pthread_mutex_lock(&g->env.disk.gate);
	} else {
		assert_int_equal(pipe(g->pipe), 0);
		assert_true(dup2(g->pipe[0], bdev_file_fd(g->env.dev)) >= 0);
	}
	return chan_open(&g->env, kind, DEPTH, -1);
}

/* @n of the reads of 4096 bytes may end (with a pool: all). */
static void gate_let(struct gate *g, unsigned n)
{
	static const uint8_t bytes[4096];

	if (g->pipe[0] < 0)
		pthread_mutex_unlock(&g->env.disk.gate);
	for (; g->pipe[0] >= 0 && n > 0; n--)
		assert_int_equal(write(g->pipe[1], bytes, 4096), 4096);
}

static void gate_close(struct gate *g)
{
	dev_close(&g->env);
	if (g->pipe[0] >= 0) {
		close(g->pipe[0]);
		close(g->pipe[1]);
	}
}

static void sleep_behind_gate(struct bdev *chan)
{
	struct poller p[3];
	uint64_t start;
	int i;

	assert_int_equal(bdev_poll(chan, 0, -1), 0);
	assert_int_equal(bdev_poll(chan, 1, 0), 0);
	start = time_now_ns();
	assert_int_equal(bdev_poll(chan, 1, 30), 0);
	assert_true(time_now_ns() - start >= 29ull * NS_MS);
	assert_true(time_now_ns() - start < 5000ull * NS_MS);

	/* A wake that comes first is kept, once. */
	bdev_wake(chan);
	assert_int_equal(bdev_poll(chan, 1, -1), 0);
	assert_int_equal(bdev_poll(chan, 1, 1), 0);

	/* The last one has a timeout, behind another one that leads. */
	for (i = 0; i < 3; i++) {
		poll_start(&p[i], chan, i == 2 ? 10 : -1);
		usleep(5000);
	}
	pthread_join(p[2].thread, NULL);
	assert_true(p[2].ns >= 9ull * NS_MS);
	assert_false(p[0].is_over || p[1].is_over);
	bdev_wake(chan);
	for (i = 0; i < 2; i++)
		pthread_join(p[i].thread, NULL);
	for (i = 0; i < 3; i++)
		assert_int_equal(p[i].ret, 0);
}

/* The one that leads goes first; the other must learn of the completion. */
static void outlive_leader(struct gate *g)
{
	struct poller p[2];

	assert_int_equal(bdev_poll(g->env.chan, 1, 1), 0); /* no wake is kept */
	poll_start(&p[0], g->env.chan, 20);
	usleep(5000);
	poll_start(&p[1], g->env.chan, -1);
	pthread_join(p[0].thread, NULL);
	assert_false(p[1].is_over);
	gate_let(g, 8);
	pthread_join(p[1].thread, NULL);
	assert_true(p[1].ret > 0);
}

static void poll_sleeps_and_wakes(void **state)
{
	enum bdev_chan_kind kinds[] = { BDEV_CHAN_POOL, BDEV_CHAN_URING };
	struct req *r = reqs_new(8, 4096);
	struct gate g;
	int k;

	for (k = 0; k < 2; k++) {
		if (gate_open(&g, kinds[k])) {
			fill_slots(r, 8, BDEV_READ);
			submit_all(g.env.chan, r, 8);
			sleep_behind_gate(g.env.chan);
			outlive_leader(&g);
			wait_all(g.env.chan, r, 8);
			assert_int_equal(bdev_close(g.env.chan), 0);
		}
		gate_close(&g);
	}
	reqs_free(r, 8);
}

/* A sleeper that is forgotten comes back after a second by itself: that is
 * slow. A busy machine may be, once. */
#define SLOW_NS (900ull * NS_MS)

static void *poll_again_and_again(void *arg)
{
	struct poller *p = arg;

	while (!p->has_to_stop) {
		assert_true(bdev_poll(p->chan, p->min, p->timeout_ms) >= 0);
		p->returns++;
	}
	return NULL;
}

static void poller_start(struct poller *p, struct bdev *chan, unsigned min,
		int timeout_ms)
{
	*p = (struct poller){
		.chan = chan, .min = min, .timeout_ms = timeout_ms
	};
	assert_int_equal(pthread_create(&p->thread, NULL, poll_again_and_again,
					 p),
			0);
}

/* True when it takes a suspicious time until @p has returned once more. */
static bool is_slow_to_return(struct poller *p, unsigned returns)
{
	uint64_t start = time_now_ns();

	while (p->returns == returns)
		sched_yield();
	return time_now_ns() - start > SLOW_NS;
}

/* Wakes that fall between a look and a sleep, or that another thread takes off
 * the ring, reach the sleeper. */
static void wakes_reach_sleepers(void **state)
{
	struct req *r = reqs_new(1, 4096);
	struct poller p;
	struct gate g;
	int slow = 0;
	int i;

	if (!gate_open(&g, BDEV_CHAN_URING))
		goto out_close;
	fill_slots(r, 1, BDEV_READ);
	submit_all(g.env.chan, r, 1);
	poller_start(&p, g.env.chan, 2, -1);
	for (i = 0; i < 2000 && slow < 2; i++) {
		unsigned returns = p.returns;

		bdev_wake(g.env.chan);
		if (i % 2)
			(void)bdev_poll(g.env.chan, 0, 0);
		slow += is_slow_to_return(&p, returns);
	}
	assert_true(slow < 2);
	p.has_to_stop = true;
	gate_let(&g, 1);
	pthread_join(p.thread, NULL);
	wait_all(g.env.chan, r, 1);
	assert_int_equal(bdev_close(g.env.chan), 0);
out_close:
	gate_close(&g);
	reqs_free(r, 1);
}

/* Nobody sleeps on for a request that another thread has taken. */
static void last_completion_is_stolen(void **state)
{
	struct req *r = reqs_new(1, 4096);
	struct poller p;
	struct gate g;
	int slow = 0;
	int i;

	if (!gate_open(&g, BDEV_CHAN_URING))
		goto out_close;
	poller_start(&p, g.env.chan, 2, -1);
	for (i = 0; i < 1000 && slow < 2; i++) {
		unsigned returns;

		fill_slots(r, 1, BDEV_READ);
		submit_all(g.env.chan, r, 1);
		gate_let(&g, 1);
		while (r->times == 0)
			assert_true(bdev_poll(g.env.chan, 0, 0) >= 0);
		returns = p.returns;
		slow += is_slow_to_return(&p, returns);
	}
	assert_true(slow < 2);
	p.has_to_stop = true;
	pthread_join(p.thread, NULL);
	assert_int_equal(bdev_close(g.env.chan), 0);
out_close:
	gate_close(&g);
	reqs_free(r, 1);
}

/* Two want more than there is, so they sleep most of the time; the third
 * takes completions away from them. */
static void sleepers_are_told(struct env *env)
{
	struct poller p[2];
	struct req *r = reqs_new(32, 4096);
	int i;

	for (i = 0; i < 2; i++)
		poller_start(&p[i], env->chan, 1u << 30, -1);
	for (i = 0; i < 100; i++) {
		fill_slots(r, 32, i % 2 ? BDEV_READ : BDEV_WRITE);
		submit_all(env->chan, r, 32);
		while (count_done(r, 32) < 32)
			assert_true(bdev_poll(env->chan, i % 3 ? 0 : 1, 100) >=
					0);
		check_slots(r, 32);
		if (i % 5 == 0)
			bdev_wake(env->chan);
	}
	p[0].has_to_stop = true;
	p[1].has_to_stop = true;
	bdev_wake(env->chan);
	for (i = 0; i < 2; i++)
		pthread_join(p[i].thread, NULL);
	reqs_free(r, 32);
}

static void completions_are_taken_by_anybody(void **state)
{
	enum backend which[] = { FILE_SHM, FILE_DISK, FILE_DIRECT };
	unsigned i;

	for (i = 0; i < 3; i++) {
		run_claim(which[i], BDEV_CHAN_URING, DEPTH, sleepers_are_told);
		run_claim(which[i], BDEV_CHAN_URING, 64, sleepers_are_told);
		run_claim(which[i], BDEV_CHAN_POOL, DEPTH, sleepers_are_told);
	}
}

/* ---- the eventfd ---- */

/* A loop that only ever waits on the eventfd, as an event loop does. */
static void loop_by_eventfd(enum backend which, enum bdev_chan_kind kind)
{
	struct req *r = reqs_new(16, 4096);
	int efd = eventfd(0, EFD_NONBLOCK);
	struct pollfd pfd = { .fd = efd, .events = POLLIN };
	eventfd_t count;
	struct env env;
	int round;

	assert_true(efd >= 0);
	dev_open(&env, which);
	if (!chan_open(&env, kind, 4, efd))
		goto out_close;
	for (round = 0; round < 60; round++) {
		fill_slots(r, 16, round % 2 ? BDEV_READ : BDEV_WRITE);
		submit_all(env.chan, r, 16);
		bdev_kick(env.chan);
		while (count_done(r, 16) < 16) {
			/* Task work of the ring may interrupt the wait. */
			int n = poll(&pfd, 1, 10000);

			assert_true(n == 1 || (n < 0 && errno == EINTR));
			(void)eventfd_read(efd, &count);
			assert_true(bdev_poll(env.chan, 0, 0) >= 0);
		}
		check_slots(r, 16);
	}
	assert_int_equal(bdev_close(env.chan), 0);
out_close:
	dev_close(&env);
	close(efd);
	reqs_free(r, 16);
}

static void eventfd_tells_of_completions(void **state)
{
	enum backend which[] = { FILE_SHM, FILE_DISK, FILE_DIRECT };
	unsigned i;

	for (i = 0; i < 3; i++) {
		loop_by_eventfd(which[i], BDEV_CHAN_URING);
		loop_by_eventfd(which[i], BDEV_CHAN_POOL);
	}
	loop_by_eventfd(USER, BDEV_CHAN_POOL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(poll_sleeps_and_wakes),
		cmocka_unit_test(wakes_reach_sleepers),
		cmocka_unit_test(last_completion_is_stolen),
		cmocka_unit_test(completions_are_taken_by_anybody),
		cmocka_unit_test(eventfd_tells_of_completions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
