/* SPDX-License-Identifier: MIT */
/*
 * Channels: every kind over every device keeps the rules of bdev.h, V7 among
 * them, with many requests in flight and with many threads.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/lock.h"
#include "bdev/bdev.h"
#include "bdev/bdev_emu.h"
#include "bdev/bdev_file.h"
#include "uext4/uext4_dev.h"

#define SIZE   (1u << 20)
#define SLOTS  64u
#define REGION (SIZE / SLOTS)
#define DEPTH  8u
#define NS_MS  1000000u

/* ---- a user's device over memory, called by several threads ---- */

struct disk {
	uint8_t *mem;
	atomic_int flushes;
	atomic_int fuas;
	pthread_mutex_t gate; /* held by a test: requests wait */
};

static int disk_size(void *ctx, uint64_t *ret_size)
{
	*ret_size = SIZE;
	return 0;
}

static int disk_pread(void *ctx, void *buf, size_t len, uint64_t pos)
{
	struct disk *d = ctx;

	pthread_mutex_lock(&d->gate);
	pthread_mutex_unlock(&d->gate);
	memcpy(buf, d->mem + pos, len);
	return 0;
}

static int disk_pwrite(void *ctx, const void *buf, size_t len, uint64_t pos,
		uint32_t flags)
{
	struct disk *d = ctx;

	d->fuas += (flags & UEXT4_DEV_FUA) != 0;
	memcpy(d->mem + pos, buf, len);
	return 0;
}

static int disk_flush(void *ctx)
{
	((struct disk *)ctx)->flushes++;
	return 0;
}

static const struct uext4_dev_ops disk_ops = {
	.size = disk_size,
	.pread = disk_pread,
	.pwrite = disk_pwrite,
	.flush = disk_flush,
};

/* ---- the table of devices and kinds ---- */

enum backend {
	FILE_SHM,
	FILE_DISK,
	FILE_DIRECT,
	FILE_ODD_PART,
	MEM,
	USER,
	EMU,
	EMU_ASYNC,
	BACKENDS,
};

struct env {
	struct bdev *dev;
	struct bdev *chan;
	char path[64];
	struct disk disk;
};

/* On the disk: where the test runs, which is a build directory. */
static void open_file(struct env *env, const char *dir, uint32_t flags,
		uint64_t offset)
{
	struct bdev_file_opts opts = {
		.flags = flags, .offset = offset, .limit = SIZE
	};
	int fd;

	snprintf(env->path, sizeof(env->path), "%s/t_bdev_chan.XXXXXX", dir);
	fd = mkstemp(env->path);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)(SIZE + 2 * offset)), 0);
	close(fd);
	assert_int_equal(bdev_file_open(env->path, &opts, &env->dev), 0);
}

static void open_user(struct env *env)
{
	struct uext4_dev udev = { .ops = &disk_ops,
		.ctx = &env->disk,
		.sector_size = 512,
		.has_fua = 1 };

	env->disk.mem = calloc(1, SIZE);
	pthread_mutex_init(&env->disk.gate, NULL);
	assert_int_equal(bdev_user_open(&udev, NULL, &env->dev), 0);
}

static void open_emu(struct env *env, uint32_t flags)
{
	struct bdev_emu_opts opts = { .flags = flags };
	struct emu_img *img;

	assert_int_equal(emu_img_new(SIZE, &img), 0);
	assert_int_equal(bdev_emu_open(img, &opts, &env->dev), 0);
	emu_img_free(img);
}

static void dev_open(struct env *env, enum backend which)
{
	memset(env, 0, sizeof(*env));
	switch (which) {
	case FILE_SHM:
		open_file(env, "/dev/shm", 0, 0);
		break;
	case FILE_DISK:
		open_file(env, ".", 0, 0);
		break;
	case FILE_DIRECT:
		open_file(env, ".", BDEV_OPEN_DIRECT, 0);
		break;
	case FILE_ODD_PART:
		open_file(env, ".", 0, 777);
		break;
	case MEM:
		assert_int_equal(bdev_mem_open(NULL, SIZE, 0, &env->dev), 0);
		break;
	case USER:
		open_user(env);
		break;
	default:
		open_emu(env, which == EMU_ASYNC ? BDEV_EMU_F_ASYNC : 0);
	}
}

static bool is_file(enum backend which)
{
	return which <= FILE_ODD_PART;
}

/* False when the host refuses io_uring. */
static bool chan_open(struct env *env, enum bdev_chan_kind kind, unsigned depth,
		int efd)
{
	struct bdev_chan_opts opts = {
		.kind = kind, .depth = depth, .eventfd = efd
	};
	int ret = bdev_chan_open(env->dev, &opts, &env->chan);

	if (ret == -EOPNOTSUPP && kind == BDEV_CHAN_URING) {
		print_message("skipped: io_uring is refused here\n");
		return false;
	}
	assert_int_equal(ret, 0);
	assert_int_equal(bdev_size(env->chan), SIZE);
	return true;
}

static void dev_close(struct env *env)
{
	assert_int_equal(bdev_close(env->dev), 0);
	if (env->disk.mem)
		pthread_mutex_destroy(&env->disk.gate);
	free(env->disk.mem);
	if (env->path[0])
		unlink(env->path);
}

static void run_claim(enum backend which, enum bdev_chan_kind kind,
		unsigned depth, void (*claim)(struct env *env))
{
	struct env env;

	dev_open(&env, which);
	if (chan_open(&env, kind, depth, -1)) {
		claim(&env);
		assert_int_equal(bdev_close(env.chan), 0);
	}
	dev_close(&env);
}

static void every_channel(unsigned depth, void (*claim)(struct env *env))
{
	int i;

	for (i = 0; i < BACKENDS; i++) {
		enum backend which = (enum backend)i;

		if (is_file(which))
			run_claim(which, BDEV_CHAN_URING, depth, claim);
		run_claim(which, BDEV_CHAN_POOL, depth, claim);
		run_claim(which, BDEV_CHAN_INLINE, depth, claim);
	}
}

/* ---- requests ---- */

struct req {
	struct bdev_io io;
	struct iovec iov[3];
	uint8_t *buf;
	atomic_int times; /* that done() was called */
};

static void req_done(struct bdev_io *io)
{
	((struct req *)io->ctx)->times++;
}

static void req_set(struct req *r, enum bdev_op op, uint64_t pos, size_t len)
{
	r->iov[0] = (struct iovec){ r->buf, len };
	r->times = 0;
	r->io = (struct bdev_io){ .op = op,
		.pos = pos,
		.len = len,
		.iov = r->iov,
		.iovcnt = 1,
		.result = 1,
		.done = req_done,
		.ctx = r };
}

static struct req *reqs_new(unsigned n, size_t len)
{
	struct req *r = calloc(n, sizeof(*r));
	unsigned i;

	for (i = 0; i < n; i++) {
		r[i].buf = aligned_alloc(4096, (len + 4095) / 4096 * 4096);
		memset(r[i].buf, 0, len);
	}
	return r;
}

static void reqs_free(struct req *r, unsigned n)
{
	unsigned i;

	for (i = 0; i < n; i++)
		free(r[i].buf);
	free(r);
}

static void submit_all(struct bdev *chan, struct req *r, unsigned n)
{
	struct bdev_io *ios[256];
	unsigned i;

	assert_true(n <= 256);
	for (i = 0; i < n; i++)
		ios[i] = &r[i].io;
	bdev_submit(chan, ios, n);
}

static unsigned count_done(struct req *r, unsigned n)
{
	unsigned done = 0;
	unsigned i;

	for (i = 0; i < n; i++)
		done += r[i].times != 0;
	return done;
}

static void wait_all(struct bdev *chan, struct req *r, unsigned n)
{
	uint64_t end = time_now_ns() + 60000ull * NS_MS;

	while (count_done(r, n) < n) {
		assert_true(bdev_poll(chan, 1, 1000) >= 0);
		assert_true(time_now_ns() < end);
	}
}

/* Each slot writes its own byte to its own place, or reads it back. */
static void fill_slots(struct req *r, unsigned n, enum bdev_op op)
{
	unsigned i;

	for (i = 0; i < n; i++) {
		req_set(&r[i], op, (uint64_t)i * 4096, 4096);
		memset(r[i].buf, op == BDEV_WRITE ? (int)i + 1 : 0, 4096);
	}
}

static void check_slots(struct req *r, unsigned n)
{
	unsigned i;

	for (i = 0; i < n; i++) {
		assert_int_equal(r[i].times, 1);
		assert_int_equal(r[i].io.result, 0);
		assert_int_equal(r[i].buf[0], (uint8_t)(i + 1));
		assert_int_equal(r[i].buf[4095], (uint8_t)(i + 1));
	}
}

/* ---- claims about every channel ---- */

/* One random request of slot @i inside its region; the model is told. */
static void random_req(
		struct req *r, unsigned i, uint8_t *model, unsigned *seed)
{
	uint64_t unit = (uint64_t[]){ 1, 512, 4096 }[rand_r(seed) % 3];
	uint64_t off = (uint64_t)rand_r(seed) % REGION / unit * unit;
	size_t len = (size_t)rand_r(seed) % (REGION - off + 1) / unit * unit;
	uint64_t pos = (uint64_t)i * REGION + off;
	int what = rand_r(seed) % 8;
	size_t cut;

	req_set(r, what < 4 ? BDEV_WRITE : BDEV_READ, pos, len);
	if (rand_r(seed) % 2 && len > 0) {
		cut = (size_t)rand_r(seed) % len / unit * unit;
		r->iov[0].iov_len = cut;
		r->iov[1] = (struct iovec){ NULL, 0 };
		r->iov[2] = (struct iovec){ r->buf + cut, len - cut };
		r->io.iovcnt = 3;
	}
	if (what < 4) {
		memset(r->buf, rand_r(seed), len);
		memcpy(model + pos, r->buf, len);
		r->io.flags = what == 0 ? BDEV_F_FUA : 0;
	} else if (what == 4) {
		r->io.op = BDEV_ZERO;
		memset(model + pos, 0, len);
	} else if (what == 5) {
		r->io.op = BDEV_FLUSH;
	}
}

static void check_req(const struct req *r, const uint8_t *model)
{
	assert_int_equal(r->times, 1);
	assert_int_equal(r->io.result, 0);
	if (r->io.op == BDEV_READ)
		assert_memory_equal(r->buf, model + r->io.pos, r->io.len);
}

static void bytes_come_back(struct env *env)
{
	struct req *r = reqs_new(SLOTS, REGION);
	uint8_t *model = calloc(1, SIZE);
	uint8_t *back = malloc(SIZE);
	bool is_busy[SLOTS] = { false };
	unsigned seed = 11;
	int round;
	unsigned i;

	for (round = 0; round < 25; round++) {
		struct bdev_io *ios[SLOTS];
		unsigned n = 0;

		for (i = 0; i < SLOTS; i++) {
			if (is_busy[i] && r[i].times == 0)
				continue;
			if (is_busy[i])
				check_req(&r[i], model);
			is_busy[i] = true;
			random_req(&r[i], i, model, &seed);
			ios[n++] = &r[i].io;
		}
		bdev_submit(env->chan, ios, n);
		if (round % 3 == 0)
			bdev_kick(env->chan);
		assert_true(bdev_poll(env->chan, (unsigned)round % 20, 1000) >=
				0);
	}
	wait_all(env->chan, r, SLOTS);
	for (i = 0; i < SLOTS; i++)
		check_req(&r[i], model);
	assert_int_equal(bdev_poll(env->chan, 1, -1), 0);
	assert_int_equal(bdev_read(env->dev, 0, back, SIZE, 0, 0), 0);
	assert_memory_equal(back, model, SIZE);
	reqs_free(r, SLOTS);
	free(model);
	free(back);
}

static void all_return_what_was_written(void **state)
{
	every_channel(DEPTH, bytes_come_back);
	every_channel(1, bytes_come_back);
	every_channel(4096, bytes_come_back);
}

static void bad_one_among_good(struct env *env)
{
	struct req *r = reqs_new(32, 4096);

	fill_slots(r, 32, BDEV_WRITE);
	r[5].io.pos = SIZE;
	r[6].io.op = BDEV_READ;
	r[6].io.pos = SIZE - 1;
	submit_all(env->chan, r, 32);
	wait_all(env->chan, r, 32);
	assert_int_equal(r[5].io.result, -ENOSPC);
	assert_int_equal(r[6].io.result, -EIO);
	r[5].io.result = 0;
	r[6].io.result = 0;
	check_slots(r, 32);
	reqs_free(r, 32);
}

static void all_answer_each_request_once(void **state)
{
	every_channel(DEPTH, bad_one_among_good);
}

struct chain {
	struct req *r;
	struct bdev *chan;
	int left;
};

/* V6: done() submits, and nobody kicks but the next poll. */
static void chain_done(struct bdev_io *io)
{
	struct chain *ch = io->ctx;
	struct bdev_io *ios[1] = { io };

	assert_int_equal(io->result, 0);
	if (--ch->left > 0)
		bdev_submit(ch->chan, ios, 1);
}

static void chain_runs(struct env *env)
{
	struct chain ch = {
		.r = reqs_new(1, 4096), .chan = env->chan, .left = 300
	};
	struct bdev_io *io = &ch.r->io;

	req_set(ch.r, BDEV_WRITE, 8192, 4096);
	io->done = chain_done;
	io->ctx = &ch;
	bdev_submit(env->chan, &io, 1);
	while (ch.left > 0)
		assert_true(bdev_poll(env->chan, 1, 1000) >= 0);
	reqs_free(ch.r, 1);
}

static void callbacks_may_submit(void **state)
{
	every_channel(1, chain_runs);
	every_channel(DEPTH, chain_runs);
}

/* ---- threads ---- */

struct worker {
	struct bdev *chan;
	unsigned me;
	pthread_t thread;
};

static void *hammer(void *arg)
{
	struct worker *w = arg;
	uint8_t *buf = aligned_alloc(4096, 4096);
	uint8_t *back = aligned_alloc(4096, 4096);
	void *bad = NULL;
	unsigned i;

	for (i = 0; i < 150 && !bad; i++) {
		uint64_t pos = (w->me * 16 + i % 16) * 4096ull;

		memset(buf, (int)(i + w->me), 4096);
		if (bdev_write(w->chan, pos, buf, 4096, 0, 0) < 0 ||
				bdev_read(w->chan, pos, back, 4096, 0, 0) < 0 ||
				memcmp(buf, back, 4096) != 0)
			bad = arg;
	}
	free(buf);
	free(back);
	return bad;
}

/* All of them submit and poll; who reaps what is left to chance. */
static void many_hammer(struct env *env)
{
	struct worker w[4];
	void *bad;
	unsigned i;

	for (i = 0; i < 4; i++) {
		w[i] = (struct worker){ .chan = env->chan, .me = i };
		assert_int_equal(pthread_create(&w[i].thread, NULL, hammer,
						 &w[i]),
				0);
	}
	for (i = 0; i < 4; i++) {
		pthread_join(w[i].thread, &bad);
		assert_null(bad);
	}
}

static void threads_reap_each_other(void **state)
{
	every_channel(3, many_hammer);
}

struct sleeper {
	struct bdev *chan;
	struct req *r;
	enum bdev_op op;
	bool does_wait;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool is_submitted; /* [lock] */
	bool may_go;       /* [lock] */
};

static void *submit_and_sleep(void *arg)
{
	struct sleeper *s = arg;

	fill_slots(s->r, 32, s->op);
	submit_all(s->chan, s->r, 32);
	bdev_kick(s->chan);
	pthread_mutex_lock(&s->lock);
	s->is_submitted = true;
	pthread_cond_broadcast(&s->cond);
	while (s->does_wait && !s->may_go)
		pthread_cond_wait(&s->cond, &s->lock);
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

/* V7: the submitter sleeps on something else, or has exited at once. */
static void other_thread_reaps(struct env *env)
{
	struct sleeper s = { .chan = env->chan, .r = reqs_new(32, 4096) };
	pthread_t thread;
	int round;

	pthread_mutex_init(&s.lock, NULL);
	pthread_cond_init(&s.cond, NULL);
	for (round = 0; round < 20; round++) {
		s.does_wait = round % 4 < 2;
		s.op = round % 2 ? BDEV_READ : BDEV_WRITE;
		s.is_submitted = false;
		s.may_go = false;
		assert_int_equal(pthread_create(&thread, NULL, submit_and_sleep,
						 &s),
				0);
		pthread_mutex_lock(&s.lock);
		while (!s.is_submitted)
			pthread_cond_wait(&s.cond, &s.lock);
		pthread_mutex_unlock(&s.lock);
		if (!s.does_wait)
			pthread_join(thread, NULL);
		wait_all(env->chan, s.r, 32);
		check_slots(s.r, 32);
		if (!s.does_wait)
			continue;
		pthread_mutex_lock(&s.lock);
		s.may_go = true;
		pthread_cond_broadcast(&s.cond);
		pthread_mutex_unlock(&s.lock);
		pthread_join(thread, NULL);
	}
	pthread_mutex_destroy(&s.lock);
	pthread_cond_destroy(&s.cond);
	reqs_free(s.r, 32);
}

static void requests_end_without_their_submitter(void **state)
{
	every_channel(DEPTH, other_thread_reaps);
	every_channel(64, other_thread_reaps);
}

/* ---- sleeping and waking ---- */

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
	for (i = 0; i < 3000 && slow < 2; i++) {
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
	for (i = 0; i < 300; i++) {
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

/* ---- single things ---- */

static void shrunken(struct env *env)
{
	struct req *r = reqs_new(3, 8192);

	req_set(&r[0], BDEV_READ, 4096, 4096);
	req_set(&r[1], BDEV_READ, 0, 4096);
	req_set(&r[2], BDEV_READ, 65536, 8192);
	assert_int_equal(truncate(env->path, 4096 + 100), 0);
	submit_all(env->chan, r, 3);
	wait_all(env->chan, r, 3);
	assert_int_equal(r[0].io.result, -EIO);
	assert_int_equal(r[1].io.result, 0);
	assert_int_equal(r[2].io.result, -EIO);
	reqs_free(r, 3);
}

static void file_that_shrank_is_eio(void **state)
{
	run_claim(FILE_SHM, BDEV_CHAN_URING, DEPTH, shrunken);
	run_claim(FILE_DISK, BDEV_CHAN_URING, DEPTH, shrunken);
	run_claim(FILE_DISK, BDEV_CHAN_POOL, DEPTH, shrunken);
	run_claim(FILE_SHM, BDEV_CHAN_INLINE, DEPTH, shrunken);
}

static void fua_reaches_the_device(void **state)
{
	enum bdev_chan_kind kinds[] = { BDEV_CHAN_POOL, BDEV_CHAN_INLINE };
	struct req *r = reqs_new(16, 4096);
	struct env env;
	unsigned i;
	int k;

	for (k = 0; k < 2; k++) {
		dev_open(&env, USER);
		assert_true(chan_open(&env, kinds[k], DEPTH, -1));
		fill_slots(r, 16, BDEV_WRITE);
		for (i = 0; i < 16; i += 2)
			r[i].io.flags = BDEV_F_FUA;
		r[15].io.op = BDEV_FLUSH;
		submit_all(env.chan, r, 16);
		wait_all(env.chan, r, 16);
		assert_int_equal(env.disk.fuas, 8);
		assert_int_equal(env.disk.flushes, 1);
		assert_int_equal(bdev_close(env.chan), 0);
		dev_close(&env);
	}
	reqs_free(r, 16);
}

static void with_buffers(struct env *env)
{
	struct req *r = reqs_new(16, 4096);
	struct iovec bufs[16];
	unsigned i;
	int round;

	for (i = 0; i < 16; i++)
		bufs[i] = (struct iovec){ r[i].buf, 4096 };
	for (round = 0; round < 4; round++) {
		unsigned n = round < 2 ? 16 : round == 2 ? 8 : 0;

		assert_int_equal(bdev_chan_buffers(env->chan, bufs, n), 0);
		fill_slots(r, 16, round % 2 ? BDEV_READ : BDEV_WRITE);
		for (i = 0; i < 16; i++)
			r[i].io.fixed = i < n || n == 0 ? i + 1 : 0;
		submit_all(env->chan, r, 16);
		wait_all(env->chan, r, 16);
		check_slots(r, 16);
	}
	reqs_free(r, 16);
}

static void buffers_may_be_registered(void **state)
{
	every_channel(DEPTH, with_buffers);
}

static void close_waits(enum backend which, enum bdev_chan_kind kind, bool kick)
{
	struct req *r = reqs_new(128, 4096);
	struct env env;

	dev_open(&env, which);
	if (chan_open(&env, kind, DEPTH, -1)) {
		fill_slots(r, 128, BDEV_WRITE);
		submit_all(env.chan, r, 128);
		if (kick)
			bdev_kick(env.chan);
		assert_int_equal(bdev_close(env.chan), 0);
		check_slots(r, 128);
	}
	dev_close(&env);
	reqs_free(r, 128);
}

static void close_waits_for_what_is_in_flight(void **state)
{
	int kick;

	for (kick = 0; kick < 2; kick++) {
		close_waits(FILE_SHM, BDEV_CHAN_URING, kick);
		close_waits(FILE_DIRECT, BDEV_CHAN_URING, kick);
		close_waits(FILE_DISK, BDEV_CHAN_POOL, kick);
		close_waits(USER, BDEV_CHAN_POOL, kick);
		close_waits(MEM, BDEV_CHAN_INLINE, kick);
	}
}

static bool has_uring(void)
{
	struct bdev_chan_opts opts = {
		.kind = BDEV_CHAN_URING, .depth = 1, .eventfd = -1
	};
	struct env env;
	int ret;

	dev_open(&env, FILE_SHM);
	ret = bdev_chan_open(env.dev, &opts, &env.chan);
	if (ret == 0)
		assert_int_equal(bdev_close(env.chan), 0);
	dev_close(&env);
	return ret == 0;
}

static void auto_picks_what_suits(void **state)
{
	const char *ring = has_uring() ? "io_uring" : "threads";
	const char *want[BACKENDS] = {
		[FILE_SHM] = "inline",
		[FILE_DISK] = ring,
		[FILE_DIRECT] = ring,
		[FILE_ODD_PART] = ring,
		[MEM] = "inline",
		[USER] = "threads",
		[EMU] = "inline",
		[EMU_ASYNC] = "inline",
	};
	struct env env;
	int i;

	for (i = 0; i < BACKENDS; i++) {
		dev_open(&env, (enum backend)i);
		assert_true(chan_open(&env, BDEV_CHAN_AUTO, DEPTH, -1));
		assert_string_equal(env.chan->ops->name, want[i]);
		assert_int_equal(bdev_close(env.chan), 0);
		dev_close(&env);
	}
}

static void open_refuses_nonsense(void **state)
{
	struct bdev_chan_opts opts = { .kind = BDEV_CHAN_INLINE,
		.eventfd = -1 };
	struct env env;
	void *addr;

	dev_open(&env, MEM);
	assert_int_equal(bdev_chan_open(env.dev, &opts, &env.chan), -EINVAL);
	opts.depth = 1;
	opts.kind = BDEV_CHAN_URING;
	assert_int_equal(
			bdev_chan_open(env.dev, &opts, &env.chan), -EOPNOTSUPP);
	assert_null(env.chan);
	assert_true(chan_open(&env, BDEV_CHAN_INLINE, 1, -1));
	assert_int_equal(bdev_map(env.chan, 0, SIZE, &addr), 0);
	assert_int_equal(bdev_map(env.chan, 1, SIZE, &addr), -EIO);
	assert_int_equal(bdev_close(env.chan), 0);
	dev_close(&env);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_return_what_was_written),
		cmocka_unit_test(all_answer_each_request_once),
		cmocka_unit_test(callbacks_may_submit),
		cmocka_unit_test(threads_reap_each_other),
		cmocka_unit_test(requests_end_without_their_submitter),
		cmocka_unit_test(poll_sleeps_and_wakes),
		cmocka_unit_test(wakes_reach_sleepers),
		cmocka_unit_test(last_completion_is_stolen),
		cmocka_unit_test(completions_are_taken_by_anybody),
		cmocka_unit_test(eventfd_tells_of_completions),
		cmocka_unit_test(file_that_shrank_is_eio),
		cmocka_unit_test(fua_reaches_the_device),
		cmocka_unit_test(buffers_may_be_registered),
		cmocka_unit_test(close_waits_for_what_is_in_flight),
		cmocka_unit_test(auto_picks_what_suits),
		cmocka_unit_test(open_refuses_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
