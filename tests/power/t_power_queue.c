/* SPDX-License-Identifier: MIT */
/*
 * Power cuts with asynchronous direct writes in flight: what pw_queue.h allows
 * for each request, under every policy of allocation and extension.
 *
 * usage: t_power_queue WORKLOAD | queue_mixes FIRST-SEED COUNT [SECONDS]
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/iter.h"
#include "bdev/bdev_emu.h"
#include "power/pw_calls.h"
#include "power/pw_int.h"
#include "power/pw_queue.h"

#define KB           1024u
/* What one run is given, of all that its log allows. */
#define RUN_STATES   800
#define PLAIN_STATES 60
#define MIX_STATES   500
#define MIX_STEPS    14

static const struct pw_profile profiles[] = {
	{ "extents-1k",
			"-t ext4 -b 1024 -J size=1 -N 64 -O "
			"metadata_csum,64bit,^resize_inode",
			3 << 10 },
	{ "extents-4k",
			"-t ext4 -b 4096 -J size=4 -N 64 -O "
			"metadata_csum,64bit,orphan_file,^resize_inode",
			9 << 10 },
	{ "indirect-1k",
			"-t ext3 -b 1024 -J size=1 -N 64 -I 128 -O "
			"^resize_inode",
			3 << 10 },
	{ "indirect-4k",
			"-t ext4 -b 4096 -J size=4 -N 64 -O "
			"^extents,metadata_csum,^64bit,^resize_inode",
			9 << 10 },
};

#define NPROFILES (sizeof(profiles) / sizeof(profiles[0]))

static const struct pw_profile plain[] = {
	{ "plain-ext2", "-t ext2 -b 1024 -N 64 -I 128 -O ^resize_inode",
			2 << 10 },
	{ "plain-ext4",
			"-t ext4 -b 4096 -N 64 -O metadata_csum,64bit,"
			"^has_journal,^resize_inode",
			3 << 10 },
};

#define NPLAIN (sizeof(plain) / sizeof(plain[0]))

static bool is_4k(const struct pw *pw)
{
	return strstr(pw->name, "4k") || strstr(pw->name, "plain-ext4");
}

static uint32_t bs(const struct pw *pw)
{
	return is_4k(pw) ? 4096 : 1024;
}

/* /f with @size bytes, /g with as many, all on the disk. */
static struct pwq_file *begin_with(
		struct pw *pw, uint64_t size, struct pwq_file **ret_g)
{
	struct pwq_file *f;

	pw_create(pw, "/f");
	pw_create(pw, "/g");
	if (size) {
		pw_write(pw, "/f", UEXT4_O_DIRECT, 0, size, 1);
		pw_write(pw, "/g", UEXT4_O_DIRECT, 0, size, 101);
	}
	pw_restart(pw);
	f = pwq_file(pw, "/f");
	if (ret_g)
		*ret_g = pwq_file(pw, "/g");
	return f;
}

/* ---- the workloads ---- */

/* In which orders three appends have ended. */
static struct {
	uint64_t pos[3];
	unsigned n;
	unsigned seen; /* a bit for each order */
} order;

static void note_order(struct pwq_file *f, uint64_t pos, const char *at)
{
	unsigned which;

	(void)f;
	if (strcmp(at, "data_done") != 0)
		return;
	order.pos[order.n++] = pos;
	if (order.n < 3)
		return;
	order.n = 0;
	which = (order.pos[0] < order.pos[1]) |
			(order.pos[1] < order.pos[2]) << 1 |
			(order.pos[0] < order.pos[2]) << 2;
	order.seen |= 1u << which;
}

/* Of the eight, 3 and 4 contradict themselves. */
#define ALL_ORDERS (1u << 0 | 1u << 1 | 1u << 2 | 1u << 5 | 1u << 6 | 1u << 7)

/* Three at a time, which end in any order. */
static void queue_appends(struct pw *pw)
{
	struct pwq_file *f = begin_with(pw, 0, NULL);
	unsigned round;
	unsigned i;

	order.n = 0;
	for (round = 0; round < 5; round++) {
		for (i = 0; i < 3; i++)
			pwq_append(f, (uint64_t)bs(pw) * (1 + (round + i) % 2),
					0);
		pwq_go(pw);
		pwq_wait(pw, 1);
		if (round % 2)
			pwq_commit(pw);
		pwq_settle(pw);
	}
	for (i = 0; i < 3; i++)
		pwq_append(f, bs(pw), 0);
	pwq_go(pw);
}

/* Promises among what is only on its way. */
static void queue_synced_appends(struct pw *pw)
{
	struct pwq_file *f = begin_with(pw, 0, NULL);
	unsigned round;

	for (round = 0; round < 3; round++) {
		pwq_append(f, bs(pw), 0);
		pwq_append(f, bs(pw), UEXT4_RW_DSYNC);
		pwq_append(f, 2 * bs(pw), 0);
		pwq_go(pw);
		pwq_wait(pw, 1);
		pwq_fsync(f);
		pwq_append(f, 512, UEXT4_RW_DSYNC);
		pwq_go(pw);
		pwq_wait(pw, 2);
		pwq_write(f, (uint64_t)round * bs(pw), bs(pw), UEXT4_RW_DSYNC);
		pwq_append(f, 1536, 0);
		pwq_go(pw);
		pwq_settle(pw);
	}
	pwq_append(f, bs(pw), 0);
	pwq_fsync(f);
	pwq_go(pw);
	pwq_wait(pw, 1);
}

/* Several writers of one hole, which share what is reserved for it. */
static void queue_holes(struct pw *pw)
{
	struct pwq_file *f = begin_with(pw, 0, NULL);
	unsigned round;
	unsigned i;

	pwq_truncate(f, 48 * bs(pw));
	pwq_sync_file(f);
	for (round = 0; round < 5; round++) {
		for (i = 0; i < 4; i++) {
			uint64_t at = pwq_random(pw, 44);

			pwq_write(f, at * bs(pw),
					(1 + pwq_random(pw, 4)) * bs(pw),
					i == 3 ? UEXT4_RW_DSYNC : 0);
			if (i == 1) /* the same blocks again */
				pwq_write(f, at * bs(pw), 2 * bs(pw), 0);
		}
		pwq_go(pw);
		pwq_wait(pw, 2);
		if (round % 2 == 0)
			pwq_fsync(f);
		pwq_go(pw);
		if (round < 4)
			pwq_settle(pw);
	}
}

/* Sectors of one block past the end: each pads, and none may pad another. */
static void queue_sectors(struct pw *pw)
{
	struct pwq_file *f = begin_with(pw, 0, NULL);
	unsigned n = bs(pw) / 512;
	unsigned round;
	unsigned i;

	for (round = 0; round < 4; round++) {
		uint64_t block = (uint64_t)round * 2 * bs(pw);

		for (i = 0; i < n; i += is_4k(pw) ? 2 : 1)
			pwq_write(f, block + (i * 3 % n) * 512, 512,
					i == 2 ? UEXT4_RW_DSYNC : 0);
		pwq_go(pw);
		pwq_wait(pw, 1);
		pwq_write(f, block + bs(pw), 512, 0);
		pwq_append(f, 512, 0);
		pwq_go(pw);
		pwq_wait(pw, 1);
		if (round == 1)
			pwq_sync_file(f);
		if (round < 3)
			pwq_settle(pw);
	}
}

/* Conversions, splits: writes anywhere in what was allocated before. */
static void queue_preallocated(struct pw *pw)
{
	struct pwq_file *f = begin_with(pw, 0, NULL);
	unsigned round;
	unsigned i;

	pwq_falloc(f, 0, 0, 40 * bs(pw));
	pwq_falloc(f, UEXT4_FALLOC_KEEP_SIZE, 40 * bs(pw), 16 * bs(pw));
	pwq_sync_file(f);
	for (round = 0; round < 5; round++) {
		for (i = 0; i < 4; i++)
			pwq_write(f, (uint64_t)pwq_random(pw, 40) * bs(pw),
					(1 + pwq_random(pw, 2)) * bs(pw),
					i == 1 ? UEXT4_RW_DSYNC : 0);
		pwq_write(f, (uint64_t)pwq_random(pw, 80) * 512, 512, 0);
		if (round > 2)
			pwq_write(f, (uint64_t)(40 + round) * bs(pw), bs(pw),
					0);
		pwq_go(pw);
		pwq_wait(pw, 1 + round % 3);
		if (round == 3)
			pwq_fsync(f);
		pwq_go(pw);
		if (round < 4)
			pwq_settle(pw);
	}
}

/* Nothing changes but bytes; each is durable by its own flag. */
static void queue_overwrites(struct pw *pw)
{
	struct pwq_file *g;
	struct pwq_file *f = begin_with(pw, 16 * bs(pw), &g);
	unsigned round;
	unsigned i;

	for (round = 0; round < 5; round++) {
		for (i = 0; i < 3; i++) {
			pwq_write(f, (uint64_t)pwq_random(pw, 14) * bs(pw),
					2 * bs(pw), UEXT4_RW_DSYNC);
			pwq_write(g, (uint64_t)pwq_random(pw, 30) * 512, 512,
					i ? 0 : UEXT4_RW_DSYNC);
		}
		pwq_go(pw);
		if (round == 2)
			pwq_append(f, bs(pw), 0); /* no longer clean */
		pwq_go(pw);
		pwq_wait(pw, 2);
		pwq_commit(pw);
		if (round < 4)
			pwq_settle(pw);
	}
}

static void fail_once(struct pw *pw, uint64_t nth)
{
	const struct emu_fault fault = {
		.ops = EMU_OP(BDEV_WRITE),
		.tags = 1u << BDEV_TAG_DATA,
		.nth = nth,
		.count = 1,
		.err = -EIO,
	};

	assert_int_equal(bdev_emu_fault_add(pw->dev, &fault), 0);
}

/* One of them fails: it leaves nothing behind, the others everything. */
static void queue_failures(struct pw *pw)
{
	struct pwq_file *g;
	struct pwq_file *f = begin_with(pw, 4 * bs(pw), &g);
	unsigned round;
	uint64_t at;

	for (round = 0; round < 6; round++) {
		at = f->end;
		fail_once(pw, 1 + round % 4);
		pwq_try(f, at, bs(pw), 0);
		pwq_try(f, at + bs(pw), bs(pw), round % 2 ? UEXT4_RW_DSYNC : 0);
		pwq_try(f, at + 2 * bs(pw), 512, 0);
		pwq_try(g, (uint64_t)round * bs(pw), 2 * bs(pw), 0);
		pwq_go(pw);
		pwq_wait(pw, 2);
		pwq_fsync(g);
		pwq_go(pw);
		if (round < 5)
			pwq_settle(pw);
		bdev_emu_fault_clear(pw->dev);
	}
}

/* Who removes blocks waits for those who write to them. */
static void queue_drains(struct pw *pw)
{
	struct pwq_file *g;
	struct pwq_file *f = begin_with(pw, 8 * bs(pw), &g);
	unsigned round;
	unsigned i;

	for (round = 0; round < 4; round++) {
		for (i = 0; i < 3; i++)
			pwq_write(f, (uint64_t)(4 + 3 * i) * bs(pw), 2 * bs(pw),
					0);
		pwq_append(f, bs(pw), round == 1 ? UEXT4_RW_DSYNC : 0);
		pwq_append(g, bs(pw), 0);
		pwq_go(pw);
		switch (round) {
		case 0:
			pwq_truncate(f, 5 * bs(pw) + 512);
			break;
		case 1:
			pwq_punch(f, 2 * bs(pw), 7 * bs(pw));
			break;
		case 2:
			pwq_falloc(f, UEXT4_FALLOC_ZERO_RANGE, 3 * bs(pw),
					12 * bs(pw));
			break;
		default:
			pwq_falloc(f, 0, 0, 24 * bs(pw));
		}
		/* What was freed is what g gets, perhaps. */
		pwq_append(g, 3 * bs(pw), 0);
		pwq_append(f, bs(pw), 0);
		pwq_go(pw);
		pwq_wait(pw, 3);
		if (round == 2)
			pwq_pwrite(f, 512, bs(pw), false, 0);
		if (round < 3)
			pwq_settle(pw);
	}
	pwq_truncate(f, 0);
	pwq_append(g, 4 * bs(pw), 0);
	pwq_go(pw);
}

/* The log is full: a batch goes on in another transaction. */
static void queue_small_log(struct pw *pw)
{
	struct pwq_file *f = begin_with(pw, 0, NULL);
	unsigned round;
	unsigned i;

	pwq_falloc(f, UEXT4_FALLOC_KEEP_SIZE, 0, 400 * bs(pw));
	pwq_sync_file(f);
	for (round = 0; round < 3; round++) {
		for (i = 0; i < 10; i++)
			pwq_write(f, (uint64_t)(60 * round + 6 * i) * bs(pw),
					(i % 3 + 1) * bs(pw), 0);
		pwq_go(pw);
		pw_crowd(pw, 12 + 6 * round);
		if (round < 2)
			pwq_settle(pw);
		else
			pwq_wait(pw, 6);
	}
}

/* Files of their own, names that come and go. */
static void queue_names(struct pw *pw)
{
	struct pwq_file *g;
	struct pwq_file *f = begin_with(pw, 0, &g);
	unsigned round;

	for (round = 0; round < 3; round++) {
		pwq_append(f, bs(pw), 0);
		pwq_append(g, 2 * bs(pw), round == 1 ? UEXT4_RW_DSYNC : 0);
		pwq_append(f, 512, 0);
		pwq_go(pw);
		OPS(pw_mkdir(pw, "/d"));
		pwq_wait(pw, 1);
		OPS(pw_link(pw, "/f", "/d/f"));
		OPS(pw_rename(pw, "/g", "/d/g", 0));
		pwq_append(f, bs(pw), 0);
		pwq_go(pw);
		pwq_fsync(g);
		pwq_go(pw);
		pwq_wait(pw, 1);
		OPS(pw_rename(pw, "/d/g", "/g", 0));
		OPS(pw_unlink(pw, "/d/f"));
		pwq_append(g, bs(pw), 0);
		pwq_go(pw);
		OPS(pw_rmdir(pw, "/d"));
		if (round == 1)
			pwq_sync_all(pw);
		if (round < 2)
			pwq_settle(pw);
	}
}

struct workload {
	const char *name;
	void (*run)(struct pw *pw);
	bool has_steps;
};

static const struct workload workloads[] = {
	{ "queue_appends", queue_appends, false },
	{ "queue_synced_appends", queue_synced_appends, false },
	{ "queue_holes", queue_holes, false },
	{ "queue_sectors", queue_sectors, false },
	{ "queue_preallocated", queue_preallocated, false },
	{ "queue_overwrites", queue_overwrites, false },
	{ "queue_failures", queue_failures, false },
	{ "queue_drains", queue_drains, false },
	{ "queue_small_log", queue_small_log, true },
	{ "queue_names", queue_names, false },
};

#define NWORKLOADS (sizeof(workloads) / sizeof(workloads[0]))

/* ---- running them ---- */

static struct pw_sum total;
static struct pw pw_;

static const char *const alloc_names[] = { "", "unwritten", "datafirst" };
static const char *const extend_names[] = { "", "parallel", "serial" };
static const char *const size_names[] = { "", "max", "prefix" };

/* The @i-th of all combinations of policies; seeds go along. */
static struct pw_setup setup_of(unsigned i, uint64_t seed)
{
	struct pw_setup s = {
		.async = true,
		.spread = true,
		.seed = seed,
		.dio_alloc = i & 1 ? UEXT4_DIO_ALLOC_UNWRITTEN
				   : UEXT4_DIO_ALLOC_DATAFIRST,
		.dio_extend = i & 2 ? UEXT4_DIO_EXTEND_SERIAL
				    : UEXT4_DIO_EXTEND_PARALLEL,
		.dio_size = i & 4 ? UEXT4_DIO_SIZE_PREFIX : UEXT4_DIO_SIZE_MAX,
		.commit_one_of = i & 8 ? 4 : 0,
	};

	return s;
}

static bool open_run(struct pw *pw, const char *name,
		const struct pw_profile *p, const struct pw_setup *setup)
{
	char full[80];

	if (!pw_is_wanted(name, p))
		return false;
	snprintf(full, sizeof(full), "%s-%s-%s-%s-%u-%llu", name,
			alloc_names[setup->dio_alloc],
			extend_names[setup->dio_extend],
			size_names[setup->dio_size], setup->commit_one_of,
			(unsigned long long)setup->seed);
	if (!pw_open(pw, full, p, setup))
		skip();
	pw->nested_max = pw_env("PW_NESTED", 24);
	pw->e2fsck_budget = (double)pw_env("PW_E2FSCK_MS", 60) / 1000;
	return true;
}

/* Where a hole cannot be unwritten it is written through the cache, block by
 * block. */
static bool goes_through_cache(
		const struct pw_setup *s, const struct pw_profile *p)
{
	return s->dio_alloc == UEXT4_DIO_ALLOC_UNWRITTEN &&
			!strstr(p->name, "extents") &&
			!strstr(p->name, "plain-ext4");
}

static void run_one(const struct workload *w, const struct pw_profile *p,
		unsigned i, unsigned seed)
{
	struct pw_setup s = setup_of(i, seed);

	s.is_cached = goes_through_cache(&s, p);
	s.has_steps = w->has_steps || s.is_cached;
	s.at = w->run == queue_appends && i % 4 < 2 ? note_order : NULL;
	if (!open_run(&pw_, w->name, p, &s))
		return;
	w->run(&pw_);
	if (strncmp(p->name, "plain", 5) == 0)
		(void)pw_judge_repaired(&pw_, pw_max_states(PLAIN_STATES));
	else
		(void)pw_judge(&pw_, false, pw_max_states(RUN_STATES));
	pw_sum_add(&total, &pw_.sum);
}

static void survives_cuts(void **state)
{
	const struct workload *w = *state;
	unsigned seed = 1;
	unsigned i;
	size_t p;

	for (p = 0; p < NPROFILES; p++) {
		/* Sizes and commits by turns. */
		for (i = 0; i < 4; i++, seed++)
			run_one(w, &profiles[p], i | (seed + p) % 4 << 2, seed);
	}
	if (order.seen)
		assert_int_equal(order.seen, ALL_ORDERS);
	for (p = 0; p < NPLAIN; p++, seed++)
		run_one(w, &plain[p], (unsigned)(seed + p) % 8, seed);
}

/* ---- mixes ---- */

static unsigned long first_seed = 1;
static unsigned long nseeds = 1;
static unsigned long nseconds; /* 0: as long as it takes */

static void mix_request(struct pw *pw, struct pwq_file *f)
{
	unsigned rwf = pwq_random(pw, 4) == 0 ? UEXT4_RW_DSYNC : 0;
	uint64_t pos = pwq_random(pw, 80) * 512;
	uint64_t len = (1 + pwq_random(pw, 8)) * 512;

	switch (pwq_random(pw, 8)) {
	case 0:
	case 1:
		pwq_append(f, len, rwf);
		break;
	case 2:
		pwq_append(f, (1 + pwq_random(pw, 2)) * 4096, rwf);
		break;
	case 3:
		pwq_write(f, pos, len, rwf);
		break;
	case 4:
		pwq_fsync(f);
		break;
	default:
		pwq_write(f, round_down_u64(pos, 4096),
				(1 + pwq_random(pw, 2)) * 4096, rwf);
	}
}

static void mix_call(struct pw *pw, struct pwq_file *f)
{
	uint64_t pos = pwq_random(pw, 80) * 512;
	uint64_t len = (1 + pwq_random(pw, 40)) * 512;

	switch (pwq_random(pw, 8)) {
	case 0:
		pwq_truncate(f, pos);
		break;
	case 1:
		pwq_punch(f, pos, len);
		break;
	case 2:
		pwq_falloc(f, UEXT4_FALLOC_ZERO_RANGE, pos, len);
		break;
	case 3:
		pwq_falloc(f, pwq_random(pw, 2) ? UEXT4_FALLOC_KEEP_SIZE : 0,
				pos, len);
		break;
	case 4:
		pwq_pwrite(f, pos, len, false, 0);
		break;
	case 5:
		pwq_pwrite(f, pos, len, true,
				pwq_random(pw, 2) ? UEXT4_RW_DSYNC : 0);
		break;
	case 6:
		pwq_sync_file(f);
		break;
	default:
		pwq_sync_all(pw);
	}
}

static void mix(struct pw *pw)
{
	struct pwq_file *f[2];
	unsigned step;
	unsigned n;

	f[0] = begin_with(pw, pwq_random(pw, 2) * 8192, &f[1]);
	for (step = 0; step < MIX_STEPS; step++) {
		for (n = 1 + pwq_random(pw, 5); n > 0; n--)
			mix_request(pw, f[pwq_random(pw, 3) == 0]);
		pwq_go(pw);
		if (pwq_random(pw, 3) == 0)
			mix_call(pw, f[pwq_random(pw, 2)]);
		if (pwq_random(pw, 4) == 0)
			pwq_commit(pw);
		pwq_wait(pw, pwq_random(pw, 4));
		if (pwq_random(pw, 5) == 0)
			pwq_settle(pw);
	}
}

static void random_queue_mixes_survive_power_cuts(void **state)
{
	time_t end = time(NULL) + (time_t)nseconds;
	unsigned long seed;

	(void)state;
	for (seed = first_seed; seed < first_seed + nseeds; seed++) {
		const struct pw_profile *p = &profiles[seed % NPROFILES];
		struct pw_setup s =
				setup_of((unsigned)(seed / NPROFILES), seed);

		s.is_cached = goes_through_cache(&s, p);
		s.has_steps = true; /* buffered writes */
		if (!open_run(&pw_, "queue_mix", p, &s))
			continue;
		mix(&pw_);
		(void)pw_judge(&pw_, false, pw_max_states(MIX_STATES));
		pw_sum_add(&total, &pw_.sum);
		if (nseconds > 0 && time(NULL) >= end)
			break;
	}
}

static int run_mixes(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_queue_mixes_survive_power_cuts),
	};

	if (argc > 2)
		first_seed = strtoul(argv[2], NULL, 0);
	if (argc > 3)
		nseeds = strtoul(argv[3], NULL, 0);
	if (argc > 4)
		nseconds = strtoul(argv[4], NULL, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[NWORKLOADS];
	char names[NWORKLOADS][64];
	size_t n = 0;
	size_t i;
	int ret;

	if (argc > 1 && strcmp(argv[1], "queue_mixes") == 0) {
		ret = run_mixes(argc, argv);
		pw_sum_print(&total);
		return ret;
	}
	for (i = 0; i < NWORKLOADS; i++) {
		if (argc > 1 && strcmp(argv[1], workloads[i].name) != 0)
			continue;
		snprintf(names[n], sizeof(names[n]), "%s_survives_power_cuts",
				workloads[i].name);
		tests[n] = (struct CMUnitTest){
			.name = names[n],
			.test_func = survives_cuts,
			.initial_state = (void *)(uintptr_t)&workloads[i],
		};
		n++;
	}
	ret = _cmocka_run_group_tests("power", tests, n, NULL, NULL);
	pw_sum_print(&total);
	return ret;
}
