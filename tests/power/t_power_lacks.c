/* SPDX-License-Identifier: MIT */
/*
 * Would the judges of asynchronous requests find a defect? Each rule of the
 * direct path that a power cut can judge is switched off for the files of a
 * workload (IOMAP_LACKS_*), and something must be found; with the rule in force
 * the same workload has nothing to show.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bdev/bdev_emu.h"
#include "fs/file.h"
#include "fs/fs.h"
#include "iomap/iomap.h"
#include "journal/journal.h"
#include "power/pw_calls.h"
#include "power/pw_queue.h"

#ifndef NDEBUG

static const struct pw_profile profile = {
	"extents-4k",
	"-t ext4 -b 4096 -J size=4 -N 64 -O metadata_csum,64bit,^resize_inode",
	9 << 10,
};

# define BS     4096u
# define STATES 600

static struct pwq_file *begin_with(
		struct pw *pw, uint64_t size, struct pwq_file **ret_g)
{
	struct pwq_file *f;

	pw_create(pw, "/f");
	pw_create(pw, "/g");
	if (size)
		pw_write(pw, "/f", UEXT4_O_DIRECT, 0, size, 1);
	pw_restart(pw);
	f = pwq_file(pw, "/f");
	if (ret_g)
		*ret_g = pwq_file(pw, "/g");
	return f;
}

static void appends(struct pw *pw)
{
	struct pwq_file *f = begin_with(pw, 0, NULL);
	unsigned round;
	unsigned i;

	for (round = 0; round < 4; round++) {
		for (i = 0; i < 3; i++)
			pwq_append(f, BS, 0);
		pwq_go(pw);
		pwq_commit(pw);
		pwq_wait(pw, 1);
		pwq_settle(pw);
	}
	pwq_sync_file(f);
}

/* One ends after the other. */
static void appends_apart(struct pw *pw)
{
	struct pwq_file *f = begin_with(pw, 0, NULL);
	unsigned i;

	for (i = 0; i < 6; i++)
		pwq_append(f, BS, UEXT4_RW_DSYNC);
	pwq_go(pw);
	while (pw->q.ninflight > 0)
		pwq_wait(pw, 1);
	pwq_settle(pw);
}

/* The size of the request at hand gets into a transaction of somebody else. */
static void commit_the_size(struct pwq_file *f, uint64_t pos, const char *at)
{
	struct uext4_setattr a = {
		.mask = UEXT4_SET_MTIME,
		.mtime = { .tv_sec = (time_t)pos },
	};

	if (strcmp(at, "sized") != 0)
		return;
	assert_int_equal(uext4_node_setattr(uext4_file_node(f->file), &a, NULL),
			0);
	assert_int_equal(journal_sync(f->pw->fs->journal), 0);
}

static void synced_appends(struct pw *pw)
{
	struct pwq_file *f = begin_with(pw, 0, NULL);
	unsigned i;

	for (i = 0; i < 4; i++) {
		pwq_append(f, BS, UEXT4_RW_DSYNC);
		pwq_append(f, BS, 0);
		pwq_go(pw);
		pwq_settle(pw);
	}
}

static void failures(struct pw *pw)
{
	const struct emu_fault fault = {
		.ops = EMU_OP(BDEV_WRITE),
		.tags = 1u << BDEV_TAG_DATA,
		.nth = 2,
		.count = 1,
		.err = -EIO,
	};
	struct pwq_file *f = begin_with(pw, 0, NULL);
	unsigned i;

	assert_int_equal(bdev_emu_fault_add(pw->dev, &fault), 0);
	for (i = 0; i < 3; i++)
		pwq_try(f, (uint64_t)i * 2 * BS, 2 * BS, 0);
	pwq_go(pw);
	while (pw->q.ninflight > 0)
		pwq_wait(pw, 1);
	bdev_emu_fault_clear(pw->dev);
	pwq_sync_file(f);
}

static void sectors(struct pw *pw)
{
	struct pwq_file *f = begin_with(pw, 0, NULL);
	unsigned round;
	unsigned i;

	for (round = 0; round < 3; round++) {
		for (i = 0; i < 4; i++)
			pwq_write(f, (uint64_t)round * BS + (i * 3 % 8) * 512,
					512, 0);
		pwq_go(pw);
		pwq_wait(pw, 1);
		pwq_settle(pw);
		pwq_sync_file(f);
	}
}

/* What is in flight must not bring the file back. */
static void truncates(struct pw *pw)
{
	struct pwq_file *f = begin_with(pw, 4 * BS, NULL);
	unsigned i;

	for (i = 0; i < 6; i++)
		pwq_append(f, BS, 0);
	pwq_go(pw);
	pwq_truncate(f, 0);
	pwq_settle(pw);
	pwq_sync_file(f);
}

struct seeded {
	const char *name; /* of the rule */
	uint32_t lacks;
	void (*run)(struct pw *pw);
	struct pw_setup setup;
};

# define DATAFIRST UEXT4_DIO_ALLOC_DATAFIRST
# define UNWRITTEN UEXT4_DIO_ALLOC_UNWRITTEN
# define PREFIX    UEXT4_DIO_SIZE_PREFIX

static const struct seeded seeded[] = {
	{ "convert, then raise the size (data first)", IOMAP_LACKS_ORDER,
			appends,
			{ .dio_alloc = DATAFIRST,
					.dio_size = PREFIX,
					.at = commit_the_size } },
	{ "convert, then raise the size (unwritten)", IOMAP_LACKS_ORDER,
			appends,
			{ .dio_alloc = UNWRITTEN,
					.dio_size = PREFIX,
					.at = commit_the_size } },
	{ "FUA for overwrites only (data first)", IOMAP_LACKS_FUA_RULE,
			synced_appends, { .dio_alloc = DATAFIRST } },
	{ "FUA for overwrites only (unwritten)", IOMAP_LACKS_FUA_RULE,
			synced_appends, { .dio_alloc = UNWRITTEN } },
	{ "failed data is not entered", IOMAP_LACKS_ERROR, failures,
			{ .dio_alloc = DATAFIRST } },
	{ "failed data is not converted", IOMAP_LACKS_ERROR, failures,
			{ .dio_alloc = UNWRITTEN } },
	{ "zeroes around the data (data first)", IOMAP_LACKS_PADDING, sectors,
			{ .dio_alloc = DATAFIRST } },
	{ "zeroes around the data (unwritten)", IOMAP_LACKS_PADDING, sectors,
			{ .dio_alloc = UNWRITTEN } },
	{ "fresh blocks are unwritten", IOMAP_LACKS_UNWRITTEN, appends,
			{ .dio_alloc = UNWRITTEN } },
	{ "edges keep others away", IOMAP_LACKS_CLAIMS, sectors,
			{ .dio_alloc = DATAFIRST } },
	{ "appends reserve their place", IOMAP_LACKS_CURSOR, appends,
			{ .dio_alloc = DATAFIRST } },
	{ "sizes only grow", IOMAP_LACKS_MAX, appends_apart,
			{ .dio_alloc = DATAFIRST } },
	{ "who removes blocks waits", IOMAP_LACKS_DRAIN, truncates,
			{ .dio_alloc = DATAFIRST } },
};

static struct pw_sum total;
static struct pw pw;

static unsigned found(const struct seeded *s, uint32_t lacks, uint64_t seed)
{
	struct pw_setup setup = s->setup;
	char name[64];

	setup.async = true;
	setup.spread = true;
	setup.seed = seed;
	setup.lacks = lacks;
	snprintf(name, sizeof(name), "%s (%llu)", s->name,
			(unsigned long long)seed);
	if (!pw_open(&pw, name, &profile, &setup))
		skip();
	pw.nested_max = 0;
	pw.e2fsck_budget = 0;
	s->run(&pw);
	(void)pw_judge(&pw, false, STATES);
	if (!lacks)
		pw_sum_add(&total, &pw.sum);
	return pw.nfound;
}

static void a_rule_that_is_switched_off_is_missed(void **state)
{
	unsigned n = 0;
	uint64_t seed;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(seeded) / sizeof(seeded[0]); i++) {
		for (seed = 1; seed <= 8; seed++) {
			n = found(&seeded[i], seeded[i].lacks, seed);
			if (n > 0)
				break;
		}
		printf("# without \"%s\": %s\n", seeded[i].name,
				n ? "found" : "NOT found");
		assert_true(n > 0);
		assert_int_equal(found(&seeded[i], 0, seed), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_rule_that_is_switched_off_is_missed),
	};
	int ret;

	ret = cmocka_run_group_tests(tests, NULL, NULL);
	pw_sum_print(&total);
	return ret;
}

#else

int main(void)
{
	printf("skip: rules can be switched off in debug builds only\n");
	return 77;
}

#endif /* !NDEBUG */
