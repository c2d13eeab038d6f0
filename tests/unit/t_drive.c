/* SPDX-License-Identifier: MIT */
/*
 * The driver of the yardstick on a target in memory: every job is done, and a
 * target that loses, misplaces or tears a write, or forgets a name, is caught.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/drive.h"

#define FILE_BYTES (8u << 20)
#define DEPTH      32u
#define NFILES     1024u

enum lie {
	HONEST,
	LOSES,     /* a write that is said to be done and is not */
	MISPLACES, /* goes to the next block */
	TEARS,     /* only its first half is written */
	REPEATS,   /* writes nothing once a block has been written */
	MIXES,     /* reads another block than it was asked for */
	KEEPS,     /* an unlinked name stays */
	FORGETS,   /* a created name does not */
	FAILS,     /* with an error */
	SHORTENS,  /* fewer bytes than asked for */
	DAWDLES,   /* and takes its time to create a name */
};

struct fake {
	struct target target;
	enum lie lie;
	uint8_t *file; /* the one that is open */
	uint8_t *kept, *fresh;
	struct target_req reqs[DEPTH];
	struct target_done done[DEPTH];
	unsigned nreqs, ndone;
	unsigned most; /* in flight at a time */
	bool names[NFILES];
	unsigned created;
	bool has_dir;
};

static struct fake *to_fake(struct target *t)
{
	return (struct fake *)t;
}

/* ---- files ---- */

static int fake_open(struct target *t, const char *name)
{
	struct fake *f = to_fake(t);

	assert_null(f->file);
	f->file = strcmp(name, TARGET_KEPT) == 0 ? f->kept : f->fresh;
	return 0;
}

static int fake_size(struct target *t, uint64_t size)
{
	assert_int_equal(size, FILE_BYTES);
	return 0;
}

static int fake_close(struct target *t)
{
	to_fake(t)->file = NULL;
	return 0;
}

static int fake_remove(struct target *t, const char *name)
{
	assert_string_equal(name, TARGET_FRESH);
	memset(to_fake(t)->fresh, 0, FILE_BYTES);
	return 0;
}

static int64_t fake_write(struct fake *f, const struct target_req *req)
{
	uint64_t pos = req->pos;
	uint64_t len = req->len;

	switch (f->lie) {
	case LOSES:
		return len;
	case MISPLACES:
		pos = (pos + 4096) % FILE_BYTES;
		break;
	case TEARS:
		len = 2048;
		break;
	case REPEATS:
		if (f->file[pos] != 0)
			return len;
		break;
	case FAILS:
		return -ENOSPC;
	case SHORTENS:
		return (int64_t)len - 512;
	default:
		break;
	}
	if (pos + len > FILE_BYTES)
		len = FILE_BYTES - pos;
	memcpy(f->file + pos, req->buf, len);
	return req->len;
}

static int64_t fake_one(struct fake *f, const struct target_req *req)
{
	uint64_t pos = req->pos;

	assert_non_null(f->file);
	assert_true(pos + req->len <= FILE_BYTES);
	if (req->write)
		return fake_write(f, req);
	if (f->lie == MIXES)
		pos = (pos + req->len) % FILE_BYTES;
	memcpy(req->buf, f->file + pos, req->len);
	return req->len;
}

static int fake_write_sync(
		struct target *t, void *buf, uint32_t len, uint64_t pos)
{
	struct target_req req = {
		.write = true,
		.len = len,
		.buf = buf,
		.pos = pos,
	};
	int64_t n = fake_one(to_fake(t), &req);

	return n < 0 ? (int)n : 0;
}

static int fake_prep(struct target *t, const struct target_req *req)
{
	struct fake *f = to_fake(t);

	assert_true(f->nreqs + f->ndone < DEPTH);
	f->reqs[f->nreqs++] = *req;
	if (f->nreqs + f->ndone > f->most)
		f->most = f->nreqs + f->ndone;
	return 0;
}

static int fake_submit(struct target *t, unsigned wait_for)
{
	struct fake *f = to_fake(t);
	unsigned n = f->nreqs;

	/* the last is done first */
	for (; f->nreqs > 0; f->ndone++) {
		f->nreqs--;
		f->done[f->ndone].slot = f->reqs[f->nreqs].slot;
		f->done[f->ndone].result = fake_one(f, &f->reqs[f->nreqs]);
	}
	return (int)n;
}

/* Some of them, so that others are in flight while more come in. */
static int fake_reap(struct target *t, struct target_done *done, unsigned max)
{
	struct fake *f = to_fake(t);
	unsigned n = (f->ndone + 1) / 2;

	assert_true(n <= max);
	f->ndone -= n;
	memcpy(done, f->done + f->ndone, n * sizeof(*done));
	return (int)n;
}

/* ---- names ---- */

static int fake_dir_make(struct target *t)
{
	assert_false(to_fake(t)->has_dir);
	to_fake(t)->has_dir = true;
	return 0;
}

static int fake_dir_remove(struct target *t)
{
	struct fake *f = to_fake(t);

	for (size_t i = 0; i < NFILES; i++)
		assert_false(f->names[i]);
	f->has_dir = false;
	return 0;
}

static bool *name_of(struct target *t, const char *name)
{
	unsigned long i = strtoul(name + 1, NULL, 10);

	assert_true(to_fake(t)->has_dir && i < NFILES);
	return &to_fake(t)->names[i];
}

static int fake_create(struct target *t, const char *name)
{
	bool *there = name_of(t, name);

	assert_false(*there);
	*there = to_fake(t)->lie != FORGETS;
	to_fake(t)->created++;
	if (to_fake(t)->lie == DAWDLES)
		(void)usleep(100);
	return 0;
}

static int fake_stat(struct target *t, const char *name)
{
	return *name_of(t, name) ? 0 : -ENOENT;
}

static int fake_unlink(struct target *t, const char *name)
{
	bool *there = name_of(t, name);

	if (!*there)
		return -ENOENT;
	*there = to_fake(t)->lie == KEEPS;
	return 0;
}

static int fake_sync(struct target *t)
{
	assert_int_equal(to_fake(t)->nreqs + to_fake(t)->ndone, 0);
	return 0;
}

/* A millisecond of another process for each name. */
static uint64_t fake_cpu(struct target *t)
{
	return (uint64_t)to_fake(t)->created * 1000000u;
}

static const struct target_ops fake_ops = {
	.file_open = fake_open,
	.file_resize = fake_size,
	.file_allocate = fake_size,
	.file_close = fake_close,
	.file_remove = fake_remove,
	.write_sync = fake_write_sync,
	.prep = fake_prep,
	.submit = fake_submit,
	.reap = fake_reap,
	.dir_make = fake_dir_make,
	.dir_remove = fake_dir_remove,
	.name_create = fake_create,
	.name_stat = fake_stat,
	.name_unlink = fake_unlink,
	.sync = fake_sync,
	.cpu = fake_cpu,
};

/* ---- a round ---- */

static volatile sig_atomic_t stop;

struct outcome {
	struct bench_figures figures;
	struct fault fault;
	unsigned most;
	unsigned created;
	uint64_t checked;
};

static const struct job *job_named(const char *name)
{
	const struct job *job;

	for (job = bench_jobs; strcmp(job->name, name) != 0; job++)
		;
	return job;
}

static int round_of(
		const char *job, bool is_fs, enum lie lie, struct outcome *ret)
{
	const struct bench_opts opts = {
		.size = 64u << 20,
		.depth = DEPTH,
		.seed = 42,
	};
	struct fake *f = calloc(1, sizeof(*f));
	struct drive_task task = {
		.job = job_named(job),
		.where = "fake",
		.is_fs = is_fs,
		.seconds = 0.003,
	};
	struct drive d;
	int err;

	*ret = (struct outcome){ 0 };
	assert_non_null(f);
	f->target.ops = &fake_ops;
	f->kept = calloc(1, FILE_BYTES);
	f->fresh = calloc(1, FILE_BYTES);
	assert_true(f->kept && f->fresh);
	task.target = &f->target;
	err = drive_init(&d, &opts, FILE_BYTES, &ret->fault, &stop);
	assert_int_equal(err, 0);
	/* one honest round first, so that there is something to lie about */
	if (lie != HONEST && lie != DAWDLES)
		assert_int_equal(drive_round(&d, &task, &ret->figures), 0);
	f->lie = lie;
	err = drive_round(&d, &task, &ret->figures);
	ret->most = f->most;
	ret->created = f->created;
	ret->checked = d.checked;
	drive_fini(&d);
	content_fini(&f->target.full);
	free(f->kept);
	free(f->fresh);
	free(f);
	return err;
}

static void every_job_is_done(void **state)
{
	const struct job *job;
	struct outcome o;

	for (job = bench_jobs; job->name; job++) {
		assert_int_equal(round_of(job->name, true, HONEST, &o), 0);
		assert_true(o.figures.measured && o.figures.iops > 0);
		assert_true(o.figures.p50_us <= o.figures.p99_us);
		/* a file that grew slowly is smaller than a sample */
		assert_true(o.checked >= (job->file == JOB_EMPTY ? 1 : 256));
		assert_string_equal(o.fault.text, "");
		assert_int_equal(o.figures.has_bytes, job->bs > 0);
		if (job_is_queued(job) && job->bs < 65536)
			assert_int_equal(o.most, DEPTH);
		if (job->raw)
			assert_int_equal(round_of(job->name, false, HONEST, &o),
					0);
	}
}

static void what_is_wrong_is_caught(void **state)
{
	static const struct {
		const char *job;
		enum lie lie;
		int err;
		const char *says;
	} cases[] = {
		/* what is found first is chance where it is not said here */
		{ "overwrite4k", LOSES, -EUCLEAN, "generation" },
		{ "overwrite4k", MISPLACES, -EUCLEAN, "reads back wrong" },
		{ "overwrite4k", TEARS, -EUCLEAN, "half" },
		{ "overwrite4k", REPEATS, -EUCLEAN, "generation" },
		{ "overwrite4k", FAILS, -ENOSPC, "overwrite4k on fake" },
		{ "overwrite4k", SHORTENS, -EIO, "cut short" },
		{ "seqwrite1m", LOSES, -EUCLEAN, "generation" },
		{ "append4k", LOSES, -EUCLEAN, "zeroes" },
		{ "append64k", TEARS, -EUCLEAN, "reads back wrong" },
		{ "hole4k", LOSES, -EUCLEAN, "zeroes" },
		{ "prealloc4k", MISPLACES, -EUCLEAN, "reads back wrong" },
		{ "read4k", MIXES, -EIO, "not written there" },
		{ "seqread1m", MIXES, -EIO, "not written there" },
		{ "fsync4k", LOSES, -EUCLEAN, "zeroes" },
		{ "create", FORGETS, -ENOENT, "cannot be found" },
		{ "unlink", KEEPS, -EUCLEAN, "although it was removed" },
	};
	struct outcome o;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(round_of(cases[i].job, true, cases[i].lie, &o),
				cases[i].err);
		assert_non_null(strstr(o.fault.text, cases[i].job));
		assert_non_null(strstr(o.fault.text, cases[i].says));
	}
}

static void a_slow_target_is_given_fewer_names(void **state)
{
	struct outcome o;

	/* all of them would take thirty rounds */
	assert_int_equal(round_of("stat", true, DAWDLES, &o), 0);
	assert_in_range(o.created, 256, NFILES / 2);
	assert_int_equal(round_of("unlink", true, DAWDLES, &o), 0);
	assert_true(o.figures.measured && o.created >= 256);
	assert_int_equal(round_of("stat", true, HONEST, &o), 0);
	assert_true(o.created > 0);
}

static void what_a_server_uses_is_counted(void **state)
{
	struct outcome o;

	assert_int_equal(round_of("create", true, HONEST, &o), 0);
	assert_true(o.figures.cpu_us >= 1000);
	/* what it used before the clock ran is not */
	assert_int_equal(round_of("stat", true, HONEST, &o), 0);
	assert_true(o.figures.cpu_us < 1000);
}

static void a_signal_ends_a_round_with_nothing_in_flight(void **state)
{
	struct outcome o;

	stop = SIGINT;
	assert_int_equal(round_of("overwrite4k", true, HONEST, &o), -EINTR);
	assert_int_equal(round_of("append4k", true, HONEST, &o), -EINTR);
	assert_int_equal(round_of("create", true, HONEST, &o), -EINTR);
	stop = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_job_is_done),
		cmocka_unit_test(what_is_wrong_is_caught),
		cmocka_unit_test(a_slow_target_is_given_fewer_names),
		cmocka_unit_test(what_a_server_uses_is_counted),
		cmocka_unit_test(a_signal_ends_a_round_with_nothing_in_flight),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
