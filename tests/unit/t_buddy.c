/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc/buddy.h"
#include "base/bits.h"

/* The model: one byte a bit, searched by hand. */
struct model {
	uint32_t n;
	uint8_t *busy;
};

static uint32_t model_run(const struct model *m, uint32_t pos, uint32_t max)
{
	uint32_t len = 0;

	while (len < max && pos + len < m->n && !m->busy[pos + len])
		len++;
	return len;
}

static bool model_find(const struct model *m, uint32_t from, uint32_t want,
		uint32_t *ret_pos)
{
	for (uint32_t p = from; p < m->n; p++) {
		uint32_t len = model_run(m, p, want);

		if (len == want) {
			*ret_pos = p;
			return true;
		}
		p += len;
	}
	return false;
}

static uint32_t model_longest(const struct model *m, uint32_t *ret_free)
{
	uint32_t best = 0, run = 0, nfree = 0;

	for (uint32_t p = 0; p < m->n; p++) {
		run = m->busy[p] ? 0 : run + 1;
		nfree += !m->busy[p];
		best = run > best ? run : best;
	}
	*ret_free = nfree;
	return best;
}

static void check_find(const struct buddy *b, const struct model *m,
		uint32_t from, uint32_t want)
{
	uint32_t pos = ~0u, mpos = ~0u;
	bool found = buddy_find(b, from, want, &pos);

	assert_int_equal(found, model_find(m, from, want, &mpos));
	assert_int_equal(pos, mpos);
	assert_int_equal(buddy_run_at(b, from, want), model_run(m, from, want));
}

static void walk(uint32_t n, unsigned steps, uint32_t maxlen)
{
	struct model m = { n, calloc(n, 1) };
	uint8_t *map = calloc(n / 8 + 1, 1);
	struct buddy *b;
	uint32_t nfree;

	for (uint32_t i = 0; i < n; i++) {
		if (random() % 3 == 0) {
			m.busy[i] = 1;
			bits_set(map, i);
		}
	}
	assert_int_equal(buddy_new(map, n, &b), 0);
	for (unsigned s = 0; s < steps; s++) {
		uint32_t pos = (uint32_t)random() % n;
		uint32_t len = 1 + (uint32_t)random() % maxlen;
		bool take = random() % 2 == 0;

		len = len > n - pos ? n - pos : len;
		memset(m.busy + pos, take, len);
		if (take)
			buddy_take(b, pos, len);
		else
			buddy_give(b, pos, len);
		assert_int_equal(buddy_all_busy(b, pos, len), take);
		assert_int_equal(buddy_all_free(b, pos, len), !take);
		check_find(b, &m, (uint32_t)random() % n,
				1 + (uint32_t)random() % maxlen);
		check_find(b, &m, 0, 1 + (uint32_t)random() % n);
		assert_int_equal(buddy_longest(b), model_longest(&m, &nfree));
		assert_int_equal(buddy_count_free(b), nfree);
	}
	buddy_free(b);
	free(map);
	free(m.busy);
}

static void agrees_with_a_bit_by_bit_model(void **state)
{
	static const uint32_t sizes[] = { 1, 7, 64, 255, 256, 257, 2048, 8192,
		8191, 11000 };

	(void)state;
	srandom(20);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		walk(sizes[i], 300, 1 + sizes[i] / 20);
		walk(sizes[i], 300, sizes[i]);
	}
}

static void a_whole_free_group_is_one_run(void **state)
{
	uint8_t *map = calloc(32768 / 8, 1);
	struct buddy *b;
	uint32_t pos = 1;

	(void)state;
	assert_int_equal(buddy_new(map, 32768, &b), 0);
	assert_int_equal(buddy_longest(b), 32768);
	assert_true(buddy_find(b, 0, 32768, &pos));
	assert_int_equal(pos, 0);
	buddy_take(b, 0, 32768);
	assert_int_equal(buddy_longest(b), 0);
	assert_false(buddy_find(b, 0, 1, &pos));
	buddy_give(b, 32767, 1);
	assert_true(buddy_find(b, 0, 1, &pos));
	assert_int_equal(pos, 32767);
	buddy_free(b);
	free(map);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_a_bit_by_bit_model),
		cmocka_unit_test(a_whole_free_group_is_one_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
