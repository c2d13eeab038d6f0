/* SPDX-License-Identifier: MIT */
/*
 * Channels: every kind over every device keeps the rules of bdev.h, V7 among
 * them, with many requests in flight and with many threads.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chan_env.h"

#define SLOTS  64u
#define REGION (SIZE / SLOTS)

/* ---- claims about every channel ---- */

/* One random request of slot @i inside its region; the model is told. */
static void random_req(
		struct req *r, unsigned i, uint8_t *model, unsigned *seed)
{
	uint64_t unit = (uint64_t[]){ 1, 512, 4096 }[rand_r(seed) % 3];
	uint64_t off = (uint64_t)rand_r(seed) % REGION / unit * unit;
	size_t len = (size_t)rand_r(seed) % (REGION - off + 1) / unit * unit;
	uint64_t pos = (uint64_t)i * REGION + off;
	int what = rand_r(seed) % 64;
	size_t cut;

	req_set(r, what < 32 ? BDEV_WRITE : BDEV_READ, pos, len);
	if (rand_r(seed) % 2 && len > 0) {
		cut = (size_t)rand_r(seed) % len / unit * unit;
		r->iov[0].iov_len = cut;
		r->iov[1] = (struct iovec){ NULL, 0 };
		r->iov[2] = (struct iovec){ r->buf + cut, len - cut };
		r->io.iovcnt = 3;
	}
	if (what < 32) {
		memset(r->buf, rand_r(seed), len);
		memcpy(model + pos, r->buf, len);
		r->io.flags = what < 2 ? BDEV_F_FUA : 0;
	} else if (what < 40) {
		r->io.op = BDEV_ZERO;
		memset(model + pos, 0, len);
	} else if (what == 40) {
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

	for (round = 0; round < 16; round++) {
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
		[FILE_SHM] = ring,
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
		cmocka_unit_test(file_that_shrank_is_eio),
		cmocka_unit_test(fua_reaches_the_device),
		cmocka_unit_test(buffers_may_be_registered),
		cmocka_unit_test(close_waits_for_what_is_in_flight),
		cmocka_unit_test(auto_picks_what_suits),
		cmocka_unit_test(open_refuses_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
