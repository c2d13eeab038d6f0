/* SPDX-License-Identifier: MIT */
/*
 * Bitmaps against one bool a bit, at every alignment and length.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"

#define NBITS 200u

struct pair {
	uint8_t *map; /* exactly as many bytes as bits need, for ASan */
	bool bit[NBITS];
};

static void pair_init(struct pair *p)
{
	p->map = (uint8_t *)calloc(1, NBITS / 8);
	assert_non_null(p->map);
	for (unsigned i = 0; i < NBITS; i++) {
		p->bit[i] = random() & 1;
		if (p->bit[i])
			bits_set(p->map, i);
	}
}

static void pair_compare(const struct pair *p)
{
	for (unsigned i = 0; i < NBITS; i++)
		assert_int_equal(bits_test(p->map, i), p->bit[i]);
}

static unsigned next_of(
		const struct pair *p, unsigned start, unsigned end, bool want)
{
	while (start < end && p->bit[start] != want)
		start++;
	return start;
}

static void scans_agree_with_single_bits(void **state)
{
	struct pair p;

	srandom(20);
	pair_init(&p);
	pair_compare(&p);
	for (unsigned s = 0; s <= NBITS; s++) {
		unsigned count = 0;

		for (unsigned e = s; e <= NBITS; e++) {
			assert_int_equal(bits_find_next_set(p.map, s, e),
					next_of(&p, s, e, true));
			assert_int_equal(bits_find_next_zero(p.map, s, e),
					next_of(&p, s, e, false));
			assert_int_equal(bits_count(p.map, s, e), count);
			assert_int_equal(bits_all_set(p.map, s, e - s),
					count == e - s);
			assert_int_equal(bits_all_clear(p.map, s, e - s),
					count == 0);
			if (e < NBITS)
				count += p.bit[e];
		}
	}
	free(p.map);
}

static void sparse_scans_cross_words(void **state)
{
	uint8_t map[4096] = { 0 };
	const uint64_t n = sizeof(map) * 8;

	assert_int_equal(bits_find_next_set(map, 0, n), n);
	bits_set(map, n - 1);
	assert_int_equal(bits_find_next_set(map, 1, n), n - 1);
	assert_int_equal(bits_find_next_set(map, 1, n - 1), n - 1);
	memset(map, 0xff, sizeof(map));
	assert_int_equal(bits_find_next_zero(map, 0, n), n);
	bits_clear(map, 12345);
	assert_int_equal(bits_find_next_zero(map, 7, n), 12345);
	assert_int_equal(bits_count(map, 0, n), n - 1);
}

static void ranges_change_nothing_else(void **state)
{
	struct pair p;

	srandom(21);
	pair_init(&p);
	for (int round = 0; round < 20000; round++) {
		unsigned s = (unsigned)random() % NBITS;
		unsigned n = (unsigned)random() % (NBITS - s + 1);
		bool value = random() & 1;

		if (value)
			bits_set_range(p.map, s, n);
		else
			bits_clear_range(p.map, s, n);
		for (unsigned i = s; i < s + n; i++)
			p.bit[i] = value;
		if (round % 16 == 0)
			pair_compare(&p);
	}
	pair_compare(&p);
	free(p.map);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scans_agree_with_single_bits),
		cmocka_unit_test(sparse_scans_cross_words),
		cmocka_unit_test(ranges_change_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
