/* SPDX-License-Identifier: MIT */
/*
 * Percentiles of a histogram. See hist.h.
 */
#include "bench/hist.h"

#include <string.h>

void hist_reset(struct hist *h)
{
	memset(h, 0, sizeof(*h));
}

/* The smallest value that falls into bucket @i; hist_bucket() turned round. */
static double bucket_start(unsigned i)
{
	unsigned shift;

	if (i < 2 * HIST_PARTS)
		return i;
	shift = i / HIST_PARTS - 1;
	return (double)((uint64_t)(HIST_PARTS + i % HIST_PARTS) << shift);
}

double hist_percentile(const struct hist *h, double percent)
{
	double want = percent / 100.0 * (double)h->total;
	uint64_t seen = 0;
	unsigned i;

	for (i = 0; i < HIST_BUCKETS - 1; i++) {
		seen += h->count[i];
		if (seen > 0 && (double)seen >= want)
			break;
	}
	return (bucket_start(i) + bucket_start(i + 1)) / 2;
}
