/* SPDX-License-Identifier: MIT */
/*
 * How long requests took, as a histogram of fixed size: each power of two is
 * divided into 64 equal parts, so that a value is known to 1.6 percent.
 */
#ifndef UEXT4_BENCH_HIST_H
#define UEXT4_BENCH_HIST_H

#include <stdint.h>

#define HIST_PART_BITS 6u
#define HIST_PARTS     (1u << HIST_PART_BITS)
#define HIST_TOP_BITS  40u /* 2^40 ns are 18 minutes; longer counts as that */
#define HIST_BUCKETS   ((HIST_TOP_BITS - HIST_PART_BITS + 1) * HIST_PARTS)

struct hist {
	uint64_t total;
	uint64_t count[HIST_BUCKETS];
};

void hist_reset(struct hist *h);

static inline unsigned hist_bucket(uint64_t ns)
{
	unsigned top;

	if (ns < HIST_PARTS)
		return (unsigned)ns;
	if (ns >> HIST_TOP_BITS != 0)
		return HIST_BUCKETS - 1;
	top = 63u - (unsigned)__builtin_clzll(ns);
	return (top - HIST_PART_BITS) * HIST_PARTS +
			(unsigned)(ns >> (top - HIST_PART_BITS));
}

static inline void hist_add(struct hist *h, uint64_t ns)
{
	h->total++;
	h->count[hist_bucket(ns)]++;
}

/* The value that @percent of all do not exceed: the middle of its bucket. */
double hist_percentile(const struct hist *h, double percent);

#endif /* UEXT4_BENCH_HIST_H */
