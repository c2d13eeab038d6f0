/* SPDX-License-Identifier: MIT */
/*
 * The decision table of direct writes, every row and every combination of what
 * a write can be.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "fs/write.h"

/* As docs/dio.md prints it. -1: does not matter. The first row that fits. */
static const struct row {
	int aligned, extends, written;
	bool exclusive, drain, wait;
} rows[] = {
	/* aligned extends written   exclusive drain wait */
	{ 1, 0, -1, false, false, false },
	{ 1, 1, -1, true, false, true },
	{ 0, 0, 1, false, false, false },
	{ 0, 0, 0, true, true, true },
	{ 0, 1, -1, true, true, true },
};

static const struct row *row_of(const struct dio_query *q)
{
	bool extends = q->extends || q->append;
	bool written = q->range == DIO_RANGE_WRITTEN;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *r = &rows[i];

		if ((r->aligned < 0 || r->aligned == q->aligned) &&
				(r->extends < 0 || r->extends == extends) &&
				(r->written < 0 || r->written == written))
			return r;
	}
	return NULL;
}

static void every_write_is_planned_as_the_table_says(void **state)
{
	unsigned seen = 0;

	for (unsigned i = 0; i < 32 * 4; i++) {
		struct dio_query q = {
			.aligned = i & 1,
			.extends = i & 2,
			.append = i & 4,
			.strip = i & 8,
			.nowait = i & 16,
			.range = (enum dio_range)(i / 32),
		};
		const struct row *r = row_of(&q);
		struct dio_plan p = dio_write_plan(&q);

		assert_non_null(r);
		seen |= 1u << (r - rows);
		assert_int_equal(p.exclusive, r->exclusive || q.strip);
		assert_int_equal(p.drain, r->drain);
		assert_int_equal(p.wait, r->wait);
		assert_int_equal(p.again, q.nowait && p.exclusive);
	}
	assert_int_equal(seen, 31); /* no row is dead */
}

/* What must follow from any table. */
static void plans_are_sound(void **state)
{
	for (unsigned i = 0; i < 32 * 4; i++) {
		struct dio_query q = {
			.aligned = i & 1,
			.extends = i & 2,
			.append = i & 4,
			.strip = i & 8,
			.nowait = i & 16,
			.range = (enum dio_range)(i / 32),
		};
		struct dio_plan p = dio_write_plan(&q);

		if (p.drain) /* else others come in while it waits */
			assert_true(p.exclusive);
		if (!p.exclusive)
			assert_false(p.wait);
		/* I9: nobody zeroes part of a block beside another */
		if (!q.aligned && q.range != DIO_RANGE_WRITTEN)
			assert_true(p.exclusive && p.drain && p.wait);
		/* D-5: there is no exemption beyond the end */
		if (!q.aligned && (q.extends || q.append))
			assert_true(p.drain);
		if (!q.nowait)
			assert_false(p.again);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_write_is_planned_as_the_table_says),
		cmocka_unit_test(plans_are_sound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
