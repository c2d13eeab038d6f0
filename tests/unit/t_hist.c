/* SPDX-License-Identifier: MIT */
/*
 * Latencies: a value is known to the width of its bucket, over the whole range.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>

#include "bench/hist.h"

static struct hist hist;

static int compare(const void *a, const void *b)
{
	const uint64_t *x = a;
	const uint64_t *y = b;

	return (*x > *y) - (*x < *y);
}

static void every_value_is_known_to_two_percent(void **state)
{
	uint64_t v;
	double got;

	for (v = 1; v < 1ull << 39; v += 1 + v / 7) {
		hist_reset(&hist);
		hist_add(&hist, v);
		got = hist_percentile(&hist, 50);
		assert_true(fabs(got - (double)v) <= 0.5 + 0.016 * (double)v);
		assert_true(hist_percentile(&hist, 99) == got);
	}
}

static void buckets_never_run_backwards(void **state)
{
	unsigned last = 0;
	unsigned b;

	for (uint64_t v = 0; v < 1u << 20; v++) {
		b = hist_bucket(v);
		assert_true(b == last || b == last + 1);
		last = b;
	}
	assert_int_equal(hist_bucket((1ull << 40) - 1), HIST_BUCKETS - 1);
	assert_int_equal(hist_bucket(1ull << 40), HIST_BUCKETS - 1);
	assert_int_equal(hist_bucket(UINT64_MAX), HIST_BUCKETS - 1);
}

static void percentiles_agree_with_sorting(void **state)
{
	static uint64_t values[10000];
	static const double percents[] = { 1, 50, 90, 99, 100 };
	size_t n = sizeof(values) / sizeof(values[0]);
	double want;
	double got;

	hist_reset(&hist);
	for (size_t i = 0; i < n; i++) {
		values[i] = (uint64_t)random() >> (random() % 24);
		hist_add(&hist, values[i]);
	}
	qsort(values, n, sizeof(values[0]), compare);
	for (size_t i = 0; i < sizeof(percents) / sizeof(percents[0]); i++) {
		size_t at = (size_t)(percents[i] / 100 * (double)n) - 1;

		want = (double)values[at];
		got = hist_percentile(&hist, percents[i]);
		assert_true(fabs(got - want) <= 1 + 0.016 * want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_value_is_known_to_two_percent),
		cmocka_unit_test(buckets_never_run_backwards),
		cmocka_unit_test(percentiles_agree_with_sorting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
