/* SPDX-License-Identifier: MIT */
/*
 * The extent status remembers, merges, cuts, forgets.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "map/es.h"

static struct map_run run_of(
		lblk_t lblk, uint32_t len, pblk_t pblk, enum map_type type)
{
	return (struct map_run){ lblk, len, pblk, type, false };
}

static int setup(void **state)
{
	return es_new((struct es_tree **)state);
}

static int teardown(void **state)
{
	es_free(*state);
	return 0;
}

static void knows_nothing_at_first(void **state)
{
	struct map_run got;

	assert_false(es_find(*state, 0, &got));
	assert_false(es_find(*state, UINT32_MAX, &got));
}

static void merges_what_continues(void **state)
{
	const struct map_run a = run_of(0, 10, 100, MAP_WRITTEN);
	const struct map_run b = run_of(20, 10, 120, MAP_WRITTEN);
	const struct map_run mid = run_of(10, 10, 110, MAP_WRITTEN);
	struct map_run got;

	es_insert(*state, &a);
	es_insert(*state, &b);
	assert_int_equal(es_count(*state), 2);
	es_insert(*state, &mid);

	assert_int_equal(es_count(*state), 1);
	assert_true(es_find(*state, 5, &got));
	assert_int_equal(got.lblk, 5);
	assert_int_equal(got.len, 25);
	assert_int_equal(got.pblk, 105);
}

static void keeps_states_and_places_apart(void **state)
{
	const struct map_run runs[] = {
		run_of(0, 10, 100, MAP_WRITTEN),
		run_of(10, 10, 110, MAP_UNWRITTEN),
		run_of(20, 10, 0, MAP_HOLE),
		run_of(30, 10, 500, MAP_WRITTEN),
		run_of(40, 10, 400, MAP_WRITTEN),
	};
	struct map_run got;

	for (int i = 4; i >= 0; i--)
		es_insert(*state, &runs[i]);

	assert_int_equal(es_count(*state), 5);
	for (int i = 0; i < 5; i++) {
		assert_true(es_find(*state, runs[i].lblk + 3, &got));
		assert_int_equal(got.len, 7);
		assert_int_equal(got.type, runs[i].type);
		assert_int_equal(got.pblk, i == 2 ? 0 : runs[i].pblk + 3);
	}
}

static void a_new_word_cuts_the_old(void **state)
{
	const struct map_run hole = run_of(0, UINT32_MAX, 0, MAP_HOLE);
	const struct map_run data = run_of(1000, 1, 77, MAP_WRITTEN);
	struct map_run got;

	es_insert(*state, &hole);
	es_insert(*state, &data);

	assert_int_equal(es_count(*state), 3);
	assert_true(es_find(*state, 999, &got));
	assert_int_equal(got.len, 1);
	assert_int_equal(got.type, MAP_HOLE);
	assert_true(es_find(*state, 1000, &got));
	assert_int_equal(got.type, MAP_WRITTEN);
	assert_true(es_find(*state, 1001, &got));
	assert_int_equal(got.len, UINT32_MAX - 1001);
	es_remove(*state, 0, (uint64_t)UINT32_MAX + 1);
	assert_int_equal(es_count(*state), 0);
}

static void is_bounded(void **state)
{
	struct map_run got;
	uint32_t known = 0;

	for (uint32_t i = 0; i < 10 * ES_RUNS_MAX; i++) {
		const struct map_run r = run_of(2 * i, 1, i + 9, MAP_WRITTEN);

		es_insert(*state, &r);
		assert_true(es_count(*state) <= ES_RUNS_MAX);
		assert_true(es_find(*state, 2 * i, &got));
	}

	for (uint32_t i = 0; i < 10 * ES_RUNS_MAX; i++)
		known += es_find(*state, 2 * i, &got);
	assert_int_equal(known, es_count(*state));
}

#define BLOCKS 400

/* Random words against an array; what is known must be true. */
static void never_lies(void **state)
{
	struct map_run truth[BLOCKS] = { 0 };
	bool known[BLOCKS] = { false };
	struct map_run got;

	srandom(1);
	for (int round = 0; round < 20000; round++) {
		uint32_t lblk = (uint32_t)random() % BLOCKS;
		uint32_t len = 1 + (uint32_t)random() % 20;
		struct map_run r = run_of(lblk, len, lblk + 1000,
				(enum map_type)(random() % 3));

		len = lblk + len > BLOCKS ? BLOCKS - lblk : len;
		r.len = len;
		if (random() % 4 == 0)
			r.pblk += 5000;
		if (random() % 3 == 0)
			es_remove(*state, lblk, lblk + len);
		else
			es_insert(*state, &r);
		for (uint32_t i = 0; i < len; i++) {
			bool has = es_find(*state, lblk + i, &got);

			if (has) {
				truth[lblk + i] = r;
				truth[lblk + i].pblk += i;
			}
			known[lblk + i] = has;
		}
		for (uint32_t i = 0; i < BLOCKS; i++) {
			assert_int_equal(es_find(*state, i, &got), known[i]);
			if (!known[i])
				continue;
			assert_int_equal(got.lblk, i);
			assert_int_equal(got.type, truth[i].type);
			if (got.type != MAP_HOLE)
				assert_int_equal(got.pblk, truth[i].pblk);
			assert_true(i + got.len <= BLOCKS);
			assert_true(known[i + got.len - 1]);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
				knows_nothing_at_first, setup, teardown),
		cmocka_unit_test_setup_teardown(
				merges_what_continues, setup, teardown),
		cmocka_unit_test_setup_teardown(
				keeps_states_and_places_apart, setup, teardown),
		cmocka_unit_test_setup_teardown(
				a_new_word_cuts_the_old, setup, teardown),
		cmocka_unit_test_setup_teardown(is_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(never_lies, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
