/* SPDX-License-Identifier: MIT */
/*
 * Random asynchronous writes of 512 bytes to 128 KiB, aligned to blocks and not,
 * 64 at a time, of which no two in flight overlap; reads in between that check,
 * fsyncs, appends. Every 512 bytes carry a stamp: which file, where, and the
 * how-manieth write of that place. What the file holds is checked again after a
 * remount. For each way to allocate, to extend and to show sizes, over the
 * backends and formats.
 *
 * UEXT4_SECONDS: how long in all (default 12). UEXT4_SEED: the seed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/lock.h"
#include "model.h"
#include "queues.h"

#define DEPTH   64u
#define NFILES  3u
#define SECTOR  512u
#define SECTORS 4096u /* of each file: 2 MiB */
#define LEN_MAX 256u  /* sectors: 128 KiB */

struct stamp {
	uint32_t magic, file;
	uint64_t sector;
	uint32_t gen, check;
};

struct vreq {
	bool busy, write;
	unsigned file;
	uint32_t at, n; /* sectors; an append of unknown place: at UINT32_MAX */
	uint8_t *buf;
};

struct vfile {
	struct uext4_file *f;
	uint32_t gen[SECTORS]; /* 0: never written */
	uint8_t busy[SECTORS]; /* 1: being written, more: being read */
	bool is_log;           /* appends only, of one record each */
	uint32_t nlog;         /* records whose events were taken */
	uint32_t sent;
};

struct verify {
	struct env *e;
	struct uext4_queue *q;
	struct model_rng r;
	struct vfile file[NFILES];
	struct vreq req[DEPTH];
	uint32_t gen;
	unsigned in_flight;
	uint64_t bytes;
};

#define MAGIC      0x71756575u
#define LOG_RECORD 3u /* sectors of a record */
#define LOG_MAX    8192u

static void stamp_put(uint8_t *p, unsigned file, uint64_t sector, uint32_t gen)
{
	const struct stamp s = { MAGIC, file, sector, gen,
		MAGIC ^ file ^ (uint32_t)sector ^ gen };

	for (size_t i = 0; i + sizeof(s) <= SECTOR; i += sizeof(s))
		memcpy(p + i, &s, sizeof(s));
}

/* The sector at @p is that of @gen (0: zeroes) and nothing else. */
static void stamp_expect(
		const uint8_t *p, unsigned file, uint64_t sector, uint32_t gen)
{
	uint8_t want[SECTOR] = { 0 };
	struct stamp got;

	if (gen != 0)
		stamp_put(want, file, sector, gen);
	if (memcmp(p, want, SECTOR - SECTOR % sizeof(got)) == 0)
		return;
	memcpy(&got, p, sizeof(got));
	fail_msg("file %u, sector %llu, write %u: found magic %#x, file %u, "
		 "sector %llu, write %u",
			file, (unsigned long long)sector, gen, got.magic,
			got.file, (unsigned long long)got.sector, got.gen);
}

/* ---- choosing ---- */

static bool range_is_free(
		const struct vfile *f, uint32_t at, uint32_t n, bool write)
{
	for (uint32_t i = at; i < at + n; i++)
		if (f->busy[i] == 1 || (write && f->busy[i] != 0))
			return false;
	return true;
}

static void range_choose(struct verify *v, uint32_t *ret_at, uint32_t *ret_n)
{
	uint32_t bs = v->e->bs / SECTOR;
	uint32_t n = 1 + model_below(&v->r, 1u << model_below(&v->r, 9));
	uint32_t at = model_below(&v->r, SECTORS);

	if (model_below(&v->r, 2)) {
		at -= at % bs;
		n = (n + bs - 1) / bs * bs;
	}
	n = n < LEN_MAX ? n : LEN_MAX;
	*ret_n = n < SECTORS - at ? n : SECTORS - at;
	*ret_at = at;
}

static void prep(struct verify *v, unsigned i, enum uext4_op op, unsigned rwf)
{
	struct vreq *r = &v->req[i];
	const struct uext4_sqe s = {
		.op = op,
		.flags = rwf,
		.file = v->file[r->file].f,
		.buf = r->buf,
		.len = (uint64_t)r->n * SECTOR,
		.pos = (uint64_t)r->at * SECTOR,
		.user_data = i,
	};

	q_prep(v->q, &s);
	r->busy = true;
	v->in_flight++;
}

static unsigned random_sync(struct verify *v)
{
	uint32_t k = model_below(&v->r, 32);

	return k == 0 ? UEXT4_RW_DSYNC : k == 1 ? UEXT4_RW_SYNC : 0;
}

static void begin_append(struct verify *v, unsigned i)
{
	struct vreq *r = &v->req[i];
	struct vfile *f = &v->file[r->file];

	r->write = true;
	r->at = UINT32_MAX;
	r->n = LOG_RECORD;
	f->sent++;
	for (uint32_t k = 0; k < r->n; k++)
		stamp_put(r->buf + k * SECTOR, r->file, k, f->sent);
	prep(v, i, UEXT4_OP_WRITE, UEXT4_RW_APPEND | random_sync(v));
}

static void begin_rw(struct verify *v, unsigned i, bool write)
{
	struct vreq *r = &v->req[i];
	struct vfile *f = &v->file[r->file];

	for (unsigned tries = 0;; tries++) {
		range_choose(v, &r->at, &r->n);
		if (range_is_free(f, r->at, r->n, write))
			break;
		if (tries == 20)
			return;
	}
	r->write = write;
	v->gen += write;
	for (uint32_t k = 0; k < r->n; k++) {
		if (write) {
			f->busy[r->at + k] = 1;
			f->gen[r->at + k] = v->gen;
			stamp_put(r->buf + k * SECTOR, r->file, r->at + k,
					v->gen);
		} else {
			f->busy[r->at + k] += f->busy[r->at + k] ? 1 : 2;
		}
	}
	prep(v, i, write ? UEXT4_OP_WRITE : UEXT4_OP_READ,
			write ? random_sync(v) : 0);
}

static void begin(struct verify *v, unsigned i)
{
	struct vreq *r = &v->req[i];
	uint32_t k = model_below(&v->r, 64);

	r->file = model_below(&v->r, NFILES);
	if (v->file[r->file].sent == LOG_MAX)
		r->file = 0;
	if (k == 0) {
		r->n = 0;
		r->at = 0;
		r->write = true;
		prep(v, i,
				model_below(&v->r, 2) ? UEXT4_OP_FSYNC
						      : UEXT4_OP_FDATASYNC,
				0);
	} else if (v->file[r->file].is_log) {
		begin_append(v, i);
	} else {
		begin_rw(v, i, k < 48);
	}
}

/* ---- ending ---- */

static void end_read(struct verify *v, struct vreq *r, int64_t result)
{
	struct vfile *f = &v->file[r->file];
	uint32_t n = (uint32_t)(result / SECTOR);

	assert_true(result >= 0 && result % SECTOR == 0 && n <= r->n);
	for (uint32_t k = 0; k < r->n; k++) {
		f->busy[r->at + k] -= f->busy[r->at + k] == 2 ? 2 : 1;
		/* A short one ends at the size: nothing is written behind. */
		if (k < n)
			stamp_expect(r->buf + k * SECTOR, r->file, r->at + k,
					f->gen[r->at + k]);
		else
			assert_int_equal(f->gen[r->at + k], 0);
	}
}

static void end(struct verify *v, const struct uext4_event *e)
{
	struct vreq *r = &v->req[e->user_data];
	struct vfile *f = &v->file[r->file];

	assert_true(e->user_data < DEPTH && r->busy);
	r->busy = false;
	v->in_flight--;
	if (!r->write) {
		end_read(v, r, e->result);
		return;
	}
	if (e->result != (int64_t)r->n * SECTOR)
		fail_msg("a write of %u sectors at %u: %lld", r->n, r->at,
				(long long)e->result);
	v->bytes += (uint64_t)e->result;
	if (r->at == UINT32_MAX)
		f->nlog++;
	else
		for (uint32_t k = 0; k < r->n; k++)
			f->busy[r->at + k] = 0;
}

/* ---- all of it again ---- */

/* Each record that was appended is there once, whole. */
static void check_log(struct vfile *f, unsigned file)
{
	size_t record = LOG_RECORD * SECTOR;
	uint8_t *seen = calloc(f->sent + 1, 1);
	uint8_t *buf = env_alloc(record, 0);
	struct stamp s;

	assert_int_equal(f->nlog, f->sent);
	assert_int_equal(env_size(f->f), f->nlog * record);
	for (uint32_t i = 0; i < f->nlog; i++) {
		assert_int_equal(uext4_pread(f->f, buf, record, i * record),
				record);
		memcpy(&s, buf, sizeof(s));
		assert_true(s.gen >= 1 && s.gen <= f->sent);
		assert_int_equal(seen[s.gen]++, 0);
		for (uint32_t k = 0; k < LOG_RECORD; k++)
			stamp_expect(buf + k * SECTOR, file, k, s.gen);
	}
	free(buf);
	free(seen);
}

static void check_file(struct vfile *f, unsigned file)
{
	uint8_t *buf = env_alloc(SECTORS * SECTOR, 0xaa);
	ssize_t n = uext4_pread(f->f, buf, SECTORS * SECTOR, 0);

	assert_true(n >= 0 && n % SECTOR == 0);
	for (uint32_t i = 0; i < SECTORS; i++) {
		if (i < n / SECTOR)
			stamp_expect(buf + i * SECTOR, file, i, f->gen[i]);
		else
			assert_int_equal(f->gen[i], 0);
	}
	free(buf);
}

static void check_all(struct verify *v, bool direct)
{
	char path[8];

	for (unsigned i = 0; i < NFILES; i++) {
		(void)snprintf(path, sizeof(path), "/f%u", i);
		v->file[i].f = env_open(v->e, path,
				UEXT4_O_RDWR | (direct ? UEXT4_O_DIRECT : 0));
		if (v->file[i].is_log)
			check_log(&v->file[i], i);
		else
			check_file(&v->file[i], i);
		env_close(v->file[i].f);
	}
}

/* ---- one run ---- */

static void run_until(struct verify *v, uint64_t deadline)
{
	struct uext4_event e[DEPTH];
	bool go = true;
	int n;

	while (go || v->in_flight > 0) {
		/* At least one round, however slow the machine is. */
		go = time_now_ns() < deadline || v->gen < DEPTH;
		for (unsigned i = 0; go && i < DEPTH; i++)
			if (!v->req[i].busy)
				begin(v, i);
		(void)uext4_queue_submit(v->q);
		if (v->in_flight == 0)
			continue;
		n = uext4_queue_wait(v->q, 1 + model_below(&v->r, 8), -1, e,
				1 + model_below(&v->r, DEPTH));
		assert_true(n > 0);
		for (int i = 0; i < n; i++)
			end(v, &e[i]);
	}
}

struct way {
	const char *profile;
	enum uext4_queue_backend backend;
	enum uext4_dio_alloc alloc;
	enum uext4_dio_extend extend;
	enum uext4_dio_size size;
	uint64_t ns, seed;
	struct env e;
};

static void verify_open(struct verify *v, const struct way *w)
{
	char path[8];

	v->r.s = w->seed;
	v->q = q_open(v->e->fs, DEPTH, w->backend);
	v->file[NFILES - 1].is_log = true;
	for (unsigned i = 0; i < NFILES; i++) {
		(void)snprintf(path, sizeof(path), "/f%u", i);
		v->file[i].f = env_open(v->e, path,
				UEXT4_O_RDWR | UEXT4_O_CREAT | UEXT4_O_DIRECT);
	}
	for (unsigned i = 0; i < DEPTH; i++)
		v->req[i].buf = env_alloc(LEN_MAX * SECTOR, 0);
}

static void verify(void **state)
{
	struct way *w = *state;
	struct uext4_mount_opts o = {
		.dio_alloc = w->alloc,
		.dio_extend = w->extend,
		.dio_size = w->size,
	};
	struct verify *v = calloc(1, sizeof(*v));
	uint64_t begun = time_now_ns();

	q_watch("verify");
	assert_non_null(v);
	v->e = &w->e;
	env_image(&w->e, env_profile_find(w->profile), "64M");
	assert_int_equal(env_try_mount(&w->e, &o), 0);
	verify_open(v, w);
	if (v->q == NULL) {
		printf("skip: io_uring is refused here\n");
		skip();
	}
	run_until(v, begun + w->ns);
	uext4_queue_close(v->q);
	for (unsigned i = 0; i < NFILES; i++)
		env_close(v->file[i].f);
	for (unsigned i = 0; i < DEPTH; i++)
		free(v->req[i].buf);
	check_all(v, true);
	env_remount(&w->e);
	check_all(v, false);
	env_unmount(&w->e);
	env_judge(&w->e);
	env_free(&w->e);
	free(v);
}

static uint64_t number(const char *name, uint64_t other)
{
	const char *s = getenv(name);

	return s != NULL ? strtoull(s, NULL, 0) : other;
}

#define WAYS 8u /* policies; the formats take turns */

int main(int argc, char **argv)
{
	static const char *const profiles[] = { "ext4-4k-full", "ext3-1k",
		"ext4-1k-full", "ext4-4k-nojournal" };
	static struct way ways[Q_BACKENDS * WAYS];
	static struct CMUnitTest tests[Q_BACKENDS * WAYS];
	uint64_t seed = number("UEXT4_SEED", 1);
	size_t n = 0;
	int ret;

	for (unsigned i = 0; i < Q_BACKENDS * WAYS; i++) {
		unsigned b = i / WAYS;
		struct way *w = &ways[n];
		char *name = NULL;

		*w = (struct way){
			.profile = profiles[(i + b + (unsigned)seed) % 4],
			.backend = (enum uext4_queue_backend)b,
			.alloc = i & 1 ? UEXT4_DIO_ALLOC_UNWRITTEN
				       : UEXT4_DIO_ALLOC_DATAFIRST,
			.extend = i & 2 ? UEXT4_DIO_EXTEND_SERIAL
					: UEXT4_DIO_EXTEND_PARALLEL,
			.size = i & 4 ? UEXT4_DIO_SIZE_PREFIX
				      : UEXT4_DIO_SIZE_MAX,
			.ns = number("UEXT4_SECONDS", 12) *
					UINT64_C(1000000000) /
					(Q_BACKENDS * WAYS),
			.seed = seed * 1000 + i,
		};
		if (asprintf(&name, "verify/%s/%s/%s/%s/%s", w->profile,
				    q_backends[b],
				    i & 1 ? "unwritten" : "datafirst",
				    i & 2 ? "serial" : "parallel",
				    i & 4 ? "prefix" : "max") < 0)
			abort();
		if (argc > 1 && !strstr(name, argv[1])) {
			free(name);
			continue;
		}
		tests[n].name = name;
		tests[n].test_func = verify;
		tests[n].initial_state = w;
		n++;
	}
	printf("# UEXT4_SEED=%llu\n", (unsigned long long)seed);
	if (!env_tools())
		return 77;
	ret = _cmocka_run_group_tests("t_queue_verify", tests, n, NULL, NULL);
	for (size_t i = 0; i < n; i++) {
		env_free(&ways[i].e);
		free((void *)(uintptr_t)tests[i].name);
	}
	return ret;
}
