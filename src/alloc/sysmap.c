/* SPDX-License-Identifier: MIT */
/*
 * The system-block map.
 *
 * Group descriptors name their blocks kind by kind: with flex_bg the bitmaps
 * of sixteen groups stand in a row, then their tables. So adding keeps a few
 * open intervals, each growing at its end, and a file system of 16 TiB comes
 * down to some ten thousand intervals before anything is sorted.
 */
#include "alloc/sysmap.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void sysmap_init(struct sysmap *m)
{
	*m = (struct sysmap){ 0 };
}

void sysmap_fini(struct sysmap *m)
{
	free(m->runs);
	*m = (struct sysmap){ 0 };
}

static int sysmap_grow(struct sysmap *m)
{
	size_t cap = m->cap ? 2 * m->cap : 64;
	struct sysrun *runs;

	if (m->n < m->cap)
		return 0;
	runs = reallocarray(m->runs, cap, sizeof(*runs));
	if (runs == NULL)
		return -ENOMEM;
	m->runs = runs;
	m->cap = cap;
	return 0;
}

static int sysmap_push(struct sysmap *m, struct sysrun run)
{
	int ret = sysmap_grow(m);

	if (ret == 0)
		m->runs[m->n++] = run;
	return ret;
}

int sysmap_add(struct sysmap *m, pblk_t start, uint64_t len)
{
	struct sysrun old;

	if (len == 0)
		return 0;
	for (unsigned i = 0; i < SYSMAP_OPEN; i++) {
		if (m->open[i].end == start && m->open[i].start != start) {
			m->open[i].end += len;
			return 0;
		}
	}
	/* The one that has waited longest is not going to grow again. */
	old = m->open[0];
	memmove(&m->open[0], &m->open[1],
			(SYSMAP_OPEN - 1) * sizeof(m->open[0]));
	m->open[SYSMAP_OPEN - 1] = (struct sysrun){ start, start + len };
	return old.end != old.start ? sysmap_push(m, old) : 0;
}

static int sysrun_cmp(const void *pa, const void *pb)
{
	const struct sysrun *a = pa, *b = pb;

	return (a->start > b->start) - (a->start < b->start);
}

int sysmap_seal(struct sysmap *m, pblk_t *ret_where)
{
	size_t to = 0;
	int ret = 0;

	for (unsigned i = 0; i < SYSMAP_OPEN; i++) {
		if (m->open[i].end == m->open[i].start)
			continue;
		ret = sysmap_push(m, m->open[i]);
		if (ret < 0)
			return ret;
		m->open[i] = (struct sysrun){ 0 };
	}
	if (m->n == 0)
		return 0;
	qsort(m->runs, m->n, sizeof(*m->runs), sysrun_cmp);
	for (size_t i = 1; i < m->n; i++) {
		struct sysrun *last = &m->runs[to], run = m->runs[i];

		if (run.start > last->end) {
			m->runs[++to] = run;
			continue;
		}
		if (run.start < last->end && ret == 0) {
			*ret_where = run.start;
			ret = -UEXT4_ECORRUPT;
		}
		last->end = max_u64(last->end, run.end);
	}
	m->n = to + 1;
	return ret;
}

size_t sysmap_first(const struct sysmap *m, pblk_t start)
{
	size_t lo = 0, hi = m->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (m->runs[mid].end > start)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

bool sysmap_hits(const struct sysmap *m, pblk_t start, uint64_t len)
{
	size_t i = sysmap_first(m, start);

	/* start + len may wrap: compare distances. */
	return i < m->n &&
			(m->runs[i].start <= start ||
					m->runs[i].start - start < len);
}

int sysmap_insert(struct sysmap *m, pblk_t start, uint64_t len)
{
	size_t i;
	int ret;

	if (len == 0)
		return 0;
	if (sysmap_hits(m, start, len))
		return -UEXT4_ECORRUPT;
	ret = sysmap_grow(m);
	if (ret < 0)
		return ret;
	i = sysmap_first(m, start);
	memmove(&m->runs[i + 1], &m->runs[i], (m->n - i) * sizeof(*m->runs));
	m->runs[i] = (struct sysrun){ start, start + len };
	m->n++;
	return 0;
}
