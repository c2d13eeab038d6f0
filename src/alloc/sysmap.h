/* SPDX-License-Identifier: MIT */
/*
 * The system-block map: blocks that no file may map, as a set of intervals.
 *
 *	sysmap_add() for everything known, sysmap_seal(), sysmap_hits();
 *	sysmap_insert() for late comers.
 *
 * Filled while mounting by one thread, only read from then on: no lock.
 */
#ifndef UEXT4_ALLOC_SYSMAP_H
#define UEXT4_ALLOC_SYSMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/types.h"

struct sysrun {
	pblk_t start, end; /* blocks [start, end) */
};

#define SYSMAP_OPEN 4u

struct sysmap {
	struct sysrun *runs; /* sorted and apart once sealed */
	size_t n, cap;
	struct sysrun open[SYSMAP_OPEN]; /* still growing, before the seal */
};

void sysmap_init(struct sysmap *m);
void sysmap_fini(struct sysmap *m);
/* Before the seal, in any order; -ENOMEM. */
int sysmap_add(struct sysmap *m, pblk_t start, uint64_t len) UEXT4_MUST_CHECK;
/* Sort and join. -UEXT4_ECORRUPT if two overlap (the map is whole all the
 * same), *ret_where then being a block in both. */
int sysmap_seal(struct sysmap *m, pblk_t *ret_where) UEXT4_MUST_CHECK;
/* After the seal. -UEXT4_ECORRUPT if part of it is there already. */
int sysmap_insert(
		struct sysmap *m, pblk_t start, uint64_t len) UEXT4_MUST_CHECK;
/* Does the map hold any of [@start, @start + @len)? */
bool sysmap_hits(const struct sysmap *m, pblk_t start, uint64_t len);
/* The first interval that ends after @start, by index: sysmap_first() <= i < n
 * walks what lies behind. */
size_t sysmap_first(const struct sysmap *m, pblk_t start);

#endif /* UEXT4_ALLOC_SYSMAP_H */
