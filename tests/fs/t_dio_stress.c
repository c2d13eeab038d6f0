/* SPDX-License-Identifier: MIT */
/*
 * Four threads on three files: appends, overwrites, whole and partial blocks,
 * through queues, at once and through the cache; truncate, punch, zero,
 * fallocate, fsync; queues that are closed with requests in flight. All free
 * blocks hold poison.
 *
 * With a model (legal.h) each word that is read must be one that some order of
 * the calls explains. Its lock orders the threads, so half of the runs go
 * without: then only what was written to the file at that place may be seen, and
 * the thread sanitizer sees the library alone.
 *
 * UEXT4_SECONDS: how long in all (default 6). UEXT4_SEED: the seed. An argument
 * picks runs by a part of their name.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/lock.h"
#include "legal.h"
#include "model.h"
#include "queues.h"

#define THREADS 4u
#define NFILES  3u
#define LOG     2u /* the file that is appended to */
#define UNITS   2048u
#define SPAN    (UNITS * LEGAL_UNIT) /* 512 KiB */
#define LEN_MAX 256u                 /* units */
#define SLOTS   16u
#define POISON  0xee

struct way {
	const char *profile;
	enum uext4_queue_backend backend;
	enum uext4_dio_alloc alloc;
	enum uext4_dio_extend extend;
	enum uext4_dio_size size;
	bool has_model;
	uint64_t ns, seed;
	struct env e;
};

struct stress {
	struct way *w;
	struct legal *l; /* NULL: without */
	uint64_t deadline;
	atomic_uint tag;
	atomic_bool failed;
	atomic_ulong ops;
};

struct slot {
	bool busy, is_read;
	unsigned file;
	uint32_t unit, n;
	uint64_t begin;
	struct legal_change c;
	uint8_t *buf;
};

struct worker {
	pthread_t thread;
	struct stress *s;
	unsigned me;
	struct model_rng r;
	struct uext4_file *direct[NFILES], *cached[NFILES];
	struct uext4_queue *q;
	struct slot slot[SLOTS];
	uint8_t *buf;
};

/* ---- what is expected ---- */

static void fails(struct worker *w, const char *what, int64_t ret)
{
	if (!atomic_exchange(&w->s->failed, true))
		fprintf(stderr, "# %s: %lld (%s)\n", what, (long long)ret,
				ret < 0 ? uext4_strerror((int)ret) : "short");
}

static bool expect(struct worker *w, const char *what, int64_t ret, int64_t min)
{
	if (ret >= min)
		return true;
	if (ret != -EAGAIN && ret != -EOPNOTSUPP && ret != -ENXIO)
		fails(w, what, ret);
	return false;
}

static struct legal_change change(struct worker *w, unsigned file,
		uint32_t unit, uint32_t n, uint32_t tag)
{
	return w->s->l != NULL && file != LOG
			? legal_begin(w->s->l, file, unit, n, tag)
			: (struct legal_change){ .n = 0 };
}

static void changed(struct worker *w, const struct legal_change *c, bool did)
{
	if (c->n > 0)
		legal_end(w->s->l, c, did);
}

static uint64_t look(struct worker *w)
{
	return w->s->l != NULL ? legal_read_begin(w->s->l, w->me) : 0;
}

static void looked(struct worker *w, unsigned file, uint64_t pos,
		const void *buf, int64_t got, uint64_t begin)
{
	bool ok = true;

	if (got > 0 && w->s->l != NULL && file != LOG)
		ok = legal_check(w->s->l, file, pos, buf, (size_t)got, begin);
	else if (got > 0)
		ok = legal_is_ours(file, pos, buf, (size_t)got, file == LOG);
	if (w->s->l != NULL)
		legal_read_end(w->s->l, w->me);
	if (!ok)
		fails(w, "what was read", got);
}

/* ---- choosing ---- */

/* Positions and lengths that are multiples of @of units. */
static void choose(struct worker *w, uint32_t of, uint32_t *unit, uint32_t *n)
{
	uint32_t len = 1 + model_below(&w->r, 1u << model_below(&w->r, 9));

	if (model_below(&w->r, 2)) /* whole blocks */
		of = w->s->w->e.bs / LEGAL_UNIT;
	*unit = model_below(&w->r, UNITS) / of * of;
	len = (len < LEN_MAX ? len : LEN_MAX - 1) / of * of + of;
	*n = len < UNITS - *unit ? len : UNITS - *unit;
}

/* What is appended to has to end with a sector. */
static uint32_t of_file(unsigned file)
{
	return file == LOG ? 2 : 1;
}

static uint32_t new_tag(struct worker *w)
{
	return 1 + atomic_fetch_add(&w->s->tag, 1);
}

/* ---- calls ---- */

static void do_write(struct worker *w, unsigned file, bool direct)
{
	static const unsigned flags[] = { 0, 0, 0, 0, 0, UEXT4_RW_DSYNC,
		UEXT4_RW_SYNC, UEXT4_RW_NOWAIT };
	uint32_t tag = new_tag(w);
	struct legal_change c;
	struct iovec iov;
	uint32_t unit;
	uint32_t n;
	int64_t ret;
	unsigned rwf = flags[model_below(&w->r, 8)];

	choose(w, direct ? 2 : of_file(file), &unit, &n);
	if (file == LOG)
		rwf |= UEXT4_RW_APPEND;
	legal_fill(w->buf, file, unit, n, tag);
	iov = (struct iovec){ w->buf, (size_t)n * LEGAL_UNIT };
	c = change(w, file, unit, n, tag);
	ret = uext4_pwritev2(direct ? w->direct[file] : w->cached[file], &iov,
			1, (uint64_t)unit * LEGAL_UNIT, rwf);
	changed(w, &c, expect(w, "write", ret, (int64_t)iov.iov_len));
}

static void do_read(struct worker *w, unsigned file, bool direct)
{
	uint64_t begin;
	uint64_t pos;
	uint32_t unit;
	uint32_t n;
	int64_t ret;

	choose(w, direct ? 2 : 1, &unit, &n);
	pos = (uint64_t)unit * LEGAL_UNIT;
	begin = look(w);
	ret = uext4_pread(direct ? w->direct[file] : w->cached[file], w->buf,
			(size_t)n * LEGAL_UNIT, pos);
	(void)expect(w, "read", ret, 0);
	looked(w, file, pos, w->buf, ret, begin);
}

static void do_truncate(struct worker *w, unsigned file)
{
	uint32_t unit = model_below(&w->r, UNITS) / of_file(file) *
			of_file(file);
	struct legal_change c;

	c = change(w, file, unit, UNITS - unit, 0);
	changed(w, &c,
			expect(w, "truncate",
					uext4_ftruncate(w->direct[file],
							(uint64_t)unit *
									LEGAL_UNIT),
					0));
}

static void do_zero(struct worker *w, unsigned file, unsigned mode)
{
	struct legal_change c;
	uint32_t unit;
	uint32_t n;
	int ret;

	choose(w, of_file(file), &unit, &n);
	c = change(w, file, unit, n, 0);
	ret = uext4_fallocate(w->direct[file], mode,
			(uint64_t)unit * LEGAL_UNIT, (uint64_t)n * LEGAL_UNIT);
	changed(w, &c, expect(w, "zero", ret, 0));
}

static void do_allocate(struct worker *w, unsigned file)
{
	uint32_t unit;
	uint32_t n;

	choose(w, of_file(file), &unit, &n);
	(void)expect(w, "allocate",
			uext4_fallocate(w->direct[file], model_below(&w->r, 2),
					(uint64_t)unit * LEGAL_UNIT,
					(uint64_t)n * LEGAL_UNIT),
			0);
}

static void do_sync(struct worker *w, unsigned file)
{
	switch (model_below(&w->r, 8)) {
	case 0:
		(void)expect(w, "sync", uext4_sync(w->s->w->e.fs), 0);
		break;
	case 1:
	case 2:
		(void)expect(w, "fsync", uext4_fsync(w->cached[file]), 0);
		break;
	case 3:
		(void)expect(w, "seek", uext4_seek_hole(w->cached[file], 0), 0);
		break;
	default:
		(void)expect(w, "fdatasync", uext4_fdatasync(w->direct[file]),
				0);
	}
}

/* ---- queues ---- */

static void slot_over(struct worker *w, struct slot *s, int64_t result)
{
	int64_t len = (int64_t)s->n * LEGAL_UNIT;

	s->busy = false;
	if (s->is_read) {
		(void)expect(w, "queued read", result, 0);
		looked(w, s->file, (uint64_t)s->unit * LEGAL_UNIT, s->buf,
				result, s->begin);
		return;
	}
	changed(w, &s->c, expect(w, "queued write", result, len));
}

static void queue_reap(struct worker *w, unsigned min)
{
	struct uext4_event e[SLOTS];
	int n = uext4_queue_wait(w->q, min, -1, e, SLOTS);

	if (n < 0)
		fails(w, "wait", n);
	for (int i = 0; i < n; i++)
		if (e[i].user_data < SLOTS)
			slot_over(w, &w->slot[e[i].user_data], e[i].result);
}

static void queue_one(struct worker *w, unsigned i)
{
	struct slot *s = &w->slot[i];
	uint32_t tag = new_tag(w);
	struct uext4_sqe sqe = { .buf = s->buf, .user_data = i };
	int ret;

	s->file = model_below(&w->r, NFILES);
	choose(w, 2, &s->unit, &s->n);
	s->busy = true;
	s->is_read = model_below(&w->r, 4) == 0;
	sqe.file = w->direct[s->file];
	sqe.op = s->is_read ? UEXT4_OP_READ : UEXT4_OP_WRITE;
	sqe.len = (uint64_t)s->n * LEGAL_UNIT;
	sqe.pos = (uint64_t)s->unit * LEGAL_UNIT;
	if (s->is_read) {
		s->begin = look(w);
	} else {
		if (s->file == LOG)
			sqe.flags = UEXT4_RW_APPEND;
		if (model_below(&w->r, 16) == 0)
			sqe.flags |= UEXT4_RW_DSYNC;
		legal_fill(s->buf, s->file, s->unit, s->n, tag);
		s->c = change(w, s->file, s->unit, s->n, tag);
	}
	ret = uext4_queue_prep(w->q, &sqe);
	if (ret < 0)
		fails(w, "prep", ret);
}

static void queue_fill(struct worker *w)
{
	unsigned n = 1 + model_below(&w->r, SLOTS);

	for (unsigned i = 0; i < SLOTS && n > 0; i++) {
		if (w->slot[i].busy)
			continue;
		queue_one(w, i);
		n--;
	}
	(void)uext4_queue_submit(w->q);
}

static bool queue_get(struct worker *w)
{
	int ret = q_try(w->s->w->e.fs, SLOTS, w->s->w->backend, &w->q);

	if (ret == -EOPNOTSUPP)
		ret = q_try(w->s->w->e.fs, SLOTS, UEXT4_QUEUE_POOL, &w->q);
	return expect(w, "queue", ret, 0);
}

/* Nobody takes the events: what was submitted happened all the same. */
static void queue_put(struct worker *w)
{
	uext4_queue_close(w->q);
	w->q = NULL;
	for (unsigned i = 0; i < SLOTS; i++) {
		struct slot *s = &w->slot[i];

		if (s->busy && s->is_read)
			looked(w, s->file, 0, NULL, 0, s->begin);
		else if (s->busy)
			changed(w, &s->c, true);
		s->busy = false;
	}
}

static void with_queue(struct worker *w)
{
	switch (model_below(&w->r, 16)) {
	case 0:
		queue_put(w);
		if (!queue_get(w))
			atomic_store(&w->s->failed, true);
		break;
	case 1:
	case 2:
	case 3:
	case 4:
		queue_reap(w, model_below(&w->r, SLOTS + 1));
		break;
	default:
		queue_fill(w);
		queue_reap(w, model_below(&w->r, 3));
	}
}

/* ---- threads ---- */

static void step(struct worker *w)
{
	unsigned file = model_below(&w->r, NFILES);
	uint32_t k = model_below(&w->r, 32);

	atomic_fetch_add_explicit(&w->s->ops, 1, memory_order_relaxed);
	if (k < 12)
		with_queue(w);
	else if (k < 18)
		do_write(w, file, model_below(&w->r, 3) != 0);
	else if (k < 23)
		do_read(w, file, model_below(&w->r, 2));
	else if (k < 25)
		do_truncate(w, file);
	else if (k < 27)
		do_zero(w, file,
				UEXT4_FALLOC_PUNCH_HOLE |
						UEXT4_FALLOC_KEEP_SIZE);
	else if (k < 28)
		do_zero(w, file, UEXT4_FALLOC_ZERO_RANGE);
	else if (k < 30)
		do_allocate(w, file);
	else
		do_sync(w, file);
}

static void *work(void *arg)
{
	struct worker *w = arg;

	if (!queue_get(w))
		return NULL;
	/* At least some rounds, however slow the machine is. */
	for (unsigned n = 0; n < 50 || time_now_ns() < w->s->deadline; n++) {
		if (atomic_load_explicit(&w->s->failed, memory_order_relaxed))
			break;
		step(w);
	}
	queue_put(w);
	return NULL;
}

static void path_of(unsigned file, char *path, size_t size)
{
	(void)snprintf(path, size, "/f%u", file);
}

static void worker_start(struct worker *w, struct stress *s, unsigned me)
{
	const unsigned rw = UEXT4_O_RDWR | UEXT4_O_CREAT;
	char path[8];

	*w = (struct worker){ .s = s, .me = me };
	w->r.s = s->w->seed * THREADS + me;
	w->buf = env_alloc(LEN_MAX * LEGAL_UNIT, 0);
	for (unsigned i = 0; i < SLOTS; i++)
		w->slot[i].buf = env_alloc(LEN_MAX * LEGAL_UNIT, 0);
	for (unsigned i = 0; i < NFILES; i++) {
		path_of(i, path, sizeof(path));
		w->cached[i] = env_open(&s->w->e, path, rw);
		w->direct[i] = env_open(&s->w->e, path, rw | UEXT4_O_DIRECT);
	}
	assert_int_equal(pthread_create(&w->thread, NULL, work, w), 0);
}

static void worker_end(struct worker *w)
{
	pthread_join(w->thread, NULL);
	for (unsigned i = 0; i < NFILES; i++) {
		env_close(w->cached[i]);
		env_close(w->direct[i]);
	}
	for (unsigned i = 0; i < SLOTS; i++)
		free(w->slot[i].buf);
	free(w->buf);
}

static void poison(struct env *e)
{
	const size_t step = 1u << 20;
	void *buf = env_alloc(step, POISON);
	struct uext4_file *f = env_open(e, "/poison",
			UEXT4_O_RDWR | UEXT4_O_CREAT | UEXT4_O_DIRECT);

	for (uint64_t at = 0;; at += step)
		if (uext4_pwrite(f, buf, step, at) != (ssize_t)step)
			break;
	free(buf);
	env_close(f);
	assert_int_equal(env_unlink(e, "/poison"), 0);
	assert_int_equal(uext4_sync(e->fs), 0);
}

/* With nobody at work any more. */
static void check_all(struct stress *s)
{
	uint8_t *buf = env_alloc(SPAN, 0);
	struct uext4_file *f;
	char path[8];

	for (unsigned i = 0; i < NFILES; i++) {
		struct worker w = { .s = s };
		uint64_t begin = look(&w);
		ssize_t n;

		path_of(i, path, sizeof(path));
		f = env_open(&s->w->e, path, UEXT4_O_RDONLY);
		n = uext4_pread(f, buf, SPAN, 0);
		(void)expect(&w, "last read", n, 0);
		looked(&w, i, 0, buf, n, begin);
		env_close(f);
	}
	free(buf);
	assert_false(atomic_load(&s->failed));
}

static void stress(void **state)
{
	struct way *way = *state;
	struct uext4_mount_opts o = {
		.page_cache = 512 << 10,
		.commit_interval = 1,
		.dio_alloc = way->alloc,
		.dio_extend = way->extend,
		.dio_size = way->size,
	};
	struct stress s = { .w = way };
	struct worker w[THREADS];

	q_watch("stress");
	if (way->has_model)
		s.l = legal_new(NFILES, UNITS);
	env_image(&way->e, env_profile_find(way->profile), "32M");
	assert_int_equal(env_try_mount(&way->e, &o), 0);
	poison(&way->e);
	s.deadline = time_now_ns() + way->ns;
	for (unsigned i = 0; i < THREADS; i++)
		worker_start(&w[i], &s, i);
	for (unsigned i = 0; i < THREADS; i++)
		worker_end(&w[i]);
	printf("# %lu operations\n", atomic_load(&s.ops));
	assert_false(atomic_load(&s.failed));
	check_all(&s);
	env_remount(&way->e);
	check_all(&s);
	env_unmount(&way->e);
	env_judge(&way->e);
	env_free(&way->e);
	legal_free(s.l);
}

static uint64_t number(const char *name, uint64_t other)
{
	const char *s = getenv(name);

	return s != NULL ? strtoull(s, NULL, 0) : other;
}

#define WAYS 16u

int main(int argc, char **argv)
{
	static const char *const profiles[] = { "ext4-4k-full", "ext4-1k-full",
		"ext3-1k", "ext4-4k-nojournal" };
	static const enum uext4_queue_backend backends[] = { UEXT4_QUEUE_POOL,
		UEXT4_QUEUE_URING, UEXT4_QUEUE_POOL, UEXT4_QUEUE_INLINE };
	static struct way ways[WAYS];
	static struct CMUnitTest tests[WAYS];
	uint64_t seed = number("UEXT4_SEED", 1);
	size_t n = 0;
	int ret;

	for (unsigned i = 0; i < WAYS; i++) {
		struct way *w = &ways[n];
		char *name = NULL;

		*w = (struct way){
			.profile = profiles[(i / 4 + i) % 4],
			.backend = backends[(i / 4) % 4],
			.alloc = i & 1 ? UEXT4_DIO_ALLOC_UNWRITTEN
				       : UEXT4_DIO_ALLOC_DATAFIRST,
			.size = i & 4 ? UEXT4_DIO_SIZE_PREFIX
				      : UEXT4_DIO_SIZE_MAX,
			.extend = i % 8 == 7 ? UEXT4_DIO_EXTEND_SERIAL
					     : UEXT4_DIO_EXTEND_PARALLEL,
			.has_model = (i & 2) == 0,
			.seed = seed * 1000 + i,
		};
		if (asprintf(&name, "stress/%s/%s/%s/%s/%s/%s", w->profile,
				    q_backends[w->backend],
				    i & 1 ? "unwritten" : "datafirst",
				    i % 8 == 7 ? "serial" : "parallel",
				    i & 4 ? "prefix" : "max",
				    w->has_model ? "model" : "free") < 0)
			abort();
		if (argc > 1 && !strstr(name, argv[1])) {
			free(name);
			continue;
		}
		tests[n].name = name;
		tests[n].test_func = stress;
		tests[n].initial_state = w;
		n++;
	}
	for (size_t i = 0; i < n; i++)
		ways[i].ns = number("UEXT4_SECONDS", 6) * UINT64_C(1000000000) /
				n;
	printf("# UEXT4_SEED=%llu\n", (unsigned long long)seed);
	if (!env_tools())
		return 77;
	ret = _cmocka_run_group_tests("t_dio_stress", tests, n, NULL, NULL);
	for (size_t i = 0; i < n; i++) {
		env_free(&ways[i].e);
		free((void *)(uintptr_t)tests[i].name);
	}
	return ret;
}
