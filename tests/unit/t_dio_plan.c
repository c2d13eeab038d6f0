/* SPDX-License-Identifier: MIT */
/*
 * The decision table of direct writes: every row of both protocols, and every
 * combination of what a write can be.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "fs/write.h"

#define NFLAGS   8u /* of struct dio_query */
#define NRANGES  4u
#define NQUERIES ((1u << NFLAGS) * NRANGES)

static struct dio_query query_of(unsigned i)
{
	return (struct dio_query){
		.aligned = i & 1,
		.extends = i & 2,
		.at_eof = i & 4,
		.append = i & 8,
		.gap = i & 16,
		.strip = i & 32,
		.nowait = i & 64,
		.serial = i & 128,
		.range = (enum dio_range)(i >> NFLAGS),
	};
}

/* As docs/dio.md prints it, but for strip and gap, which stand above the rows.
 * -1: does not matter. The first row that fits. */
struct row {
	int aligned, extends, written, at_eof;
	bool exclusive, drain, wait, claim;
};

static const struct row parallel[] = {
	/* aligned extends written at_eof   exclusive drain wait claim */
	{ 1, 0, 1, -1, false, false, false, false },
	{ 1, 0, 0, -1, false, false, false, true },
	{ 1, 1, -1, -1, false, false, false, true },
	{ 0, 0, 1, 0, false, false, false, false },
	{ 0, 0, 1, 1, false, false, false, true },
	{ 0, 0, 0, -1, false, false, false, true },
	{ 0, 1, -1, -1, false, false, false, true },
};

static const struct row serial[] = {
	/* aligned extends written at_eof   exclusive drain wait claim */
	{ 1, 0, -1, -1, false, false, false, false },
	{ 1, 1, -1, -1, true, false, true, false },
	{ 0, 0, 1, -1, false, false, false, false },
	{ 0, 0, 0, -1, true, true, true, false },
	{ 0, 1, -1, -1, true, true, true, false },
};

#define NPARALLEL (sizeof(parallel) / sizeof(parallel[0]))
#define NSERIAL   (sizeof(serial) / sizeof(serial[0]))

static bool fits(int want, bool is)
{
	return want < 0 || want == is;
}

static size_t row_of(
		const struct dio_query *q, const struct row *rows, size_t n)
{
	bool extends = q->extends || q->append;
	bool written = q->range == DIO_RANGE_WRITTEN;
	size_t i = 0;

	while (i < n &&
			!(fits(rows[i].aligned, q->aligned) &&
					fits(rows[i].extends, extends) &&
					fits(rows[i].written, written) &&
					fits(rows[i].at_eof, q->at_eof)))
		i++;
	assert_true(i < n);
	return i;
}

static void every_write_is_planned_as_the_table_says(void **state)
{
	unsigned seen_parallel = 0;
	unsigned seen_serial = 0;

	for (unsigned i = 0; i < NQUERIES; i++) {
		struct dio_query q = query_of(i);
		struct dio_plan p = dio_write_plan(&q);
		const struct row *r;
		size_t at;

		at = q.serial ? row_of(&q, serial, NSERIAL)
			      : row_of(&q, parallel, NPARALLEL);
		*(q.serial ? &seen_serial : &seen_parallel) |= 1u << at;
		r = q.serial ? &serial[at] : &parallel[at];
		assert_int_equal(p.exclusive, r->exclusive || q.strip || q.gap);
		assert_int_equal(p.drain, r->drain || q.gap);
		assert_int_equal(p.wait, r->wait);
		assert_int_equal(p.claim, r->claim);
	}
	/* no row is dead */
	assert_int_equal(seen_parallel, (1u << NPARALLEL) - 1);
	assert_int_equal(seen_serial, (1u << NSERIAL) - 1);
}

/* D-4: it would wait, allocate, convert, or change a size. */
static void nowait_is_refused_all_but_plain_overwrites(void **state)
{
	for (unsigned i = 0; i < NQUERIES; i++) {
		struct dio_query q = query_of(i);
		struct dio_plan p = dio_write_plan(&q);
		bool is_plain = q.range == DIO_RANGE_WRITTEN && !q.extends &&
				!q.append && !q.strip && !q.gap;

		assert_int_equal(p.again, q.nowait && !is_plain);
	}
}

/* What must follow from any table. */
static void plans_are_sound(void **state)
{
	for (unsigned i = 0; i < NQUERIES; i++) {
		struct dio_query q = query_of(i);
		struct dio_plan p = dio_write_plan(&q);
		bool extends = q.extends || q.append;
		bool pads = !q.aligned &&
				(extends || q.range != DIO_RANGE_WRITTEN);
		bool alone = p.exclusive && p.drain && p.wait;

		if (p.drain) /* else others come in while it waits */
			assert_true(p.exclusive);
		if (!p.exclusive) /* it would keep out who has to pass */
			assert_false(p.wait);
		/* I9: what fills a block up is alone, or the block is its own;
		 * D-5: there is no exemption beyond the end. */
		if (pads)
			assert_true(alone || p.claim);
		/* and whoever it could damage shows: the whole blocks that are
		 * not written yet, the partial block that isize ends in */
		if (!q.serial &&
				(extends || q.range != DIO_RANGE_WRITTEN ||
						(!q.aligned && q.at_eof)))
			assert_true(p.claim);
		/* W15, W17 change the file before the write does. */
		if (q.strip || q.gap)
			assert_true(p.exclusive);
		if (q.gap)
			assert_true(p.drain);
		if (!q.nowait)
			assert_false(p.again);
	}
}

/* Under the serial protocol nothing is claimed, so nobody may be in flight who
 * pads or extends; side by side nobody waits with the lock. */
static void a_protocol_is_one_or_the_other(void **state)
{
	for (unsigned i = 0; i < NQUERIES; i++) {
		struct dio_query q = query_of(i);
		struct dio_plan p = dio_write_plan(&q);

		if (q.serial)
			assert_false(p.claim);
		else
			assert_false(p.wait);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_write_is_planned_as_the_table_says),
		cmocka_unit_test(nowait_is_refused_all_but_plain_overwrites),
		cmocka_unit_test(plans_are_sound),
		cmocka_unit_test(a_protocol_is_one_or_the_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
