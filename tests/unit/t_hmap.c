/* SPDX-License-Identifier: MIT */
/*
 * The hash map against an array.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "base/hmap.h"

#define N 5000u

struct item {
	struct hmap_node node;
	bool in;
};

static void finds_what_was_put(void **state)
{
	struct item *items = (struct item *)calloc(N, sizeof(*items));
	struct hmap m;
	size_t count = 0;

	assert_non_null(items);
	assert_int_equal(hmap_init(&m, 0), 0);
	srandom(30);
	for (int round = 0; round < 100000; round++) {
		unsigned i = (unsigned)random() % N;
		/* Keys as cache users have them: far apart, low bits alike. */
		uint64_t key = (uint64_t)i << 20;
		struct hmap_node *n = hmap_find(&m, key);

		assert_ptr_equal(n, items[i].in ? &items[i].node : NULL);
		if (items[i].in)
			hmap_remove(&m, n);
		else
			hmap_insert(&m, &items[i].node, key);
		count += items[i].in ? (size_t)-1 : 1;
		items[i].in = !items[i].in;
		assert_int_equal(hmap_count(&m), count);
	}
	hmap_fini(&m);
	free(items);
}

static void walk_meets_each_once(void **state)
{
	static struct item items[N];
	struct hmap m;
	struct hmap_node *n, *next;
	size_t seen = 0;

	assert_int_equal(hmap_init(&m, 3), 0);
	assert_null(hmap_first(&m));
	for (unsigned i = 0; i < N; i++)
		hmap_insert(&m, &items[i].node, i * 7);
	for (n = hmap_first(&m); n; n = hmap_next(&m, n)) {
		struct item *it = container_of(n, struct item, node);

		assert_false(it->in);
		it->in = true;
		seen++;
	}
	assert_int_equal(seen, N);
	/* A walk may remove what it stands on. */
	for (n = hmap_first(&m); n; n = next) {
		next = hmap_next(&m, n);
		hmap_remove(&m, n);
	}
	assert_int_equal(hmap_count(&m), 0);
	hmap_fini(&m);
}

static void equal_keys_live_together(void **state)
{
	struct hmap_node a, b, c;
	struct hmap_node *n;
	struct hmap m;
	unsigned seen = 0;

	assert_int_equal(hmap_init(&m, 0), 0);
	hmap_insert(&m, &a, 5);
	hmap_insert(&m, &b, 6);
	hmap_insert(&m, &c, 5);
	for (n = hmap_find(&m, 5); n; n = hmap_find_next(n)) {
		assert_true(n == &a || n == &c);
		seen++;
	}
	assert_int_equal(seen, 2);
	hmap_remove(&m, &c);
	assert_ptr_equal(hmap_find(&m, 5), &a);
	assert_null(hmap_find_next(&a));
	hmap_fini(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_what_was_put),
		cmocka_unit_test(walk_meets_each_once),
		cmocka_unit_test(equal_keys_live_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
