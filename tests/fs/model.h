/* SPDX-License-Identifier: MIT */
/*
 * Random operations against a model kept in memory. A run is named by its
 * case and its seed:
 *
 *	UEXT4_SEED=123 t_model files/ext4-4k-csum
 *
 * UEXT4_MODEL_OPS sets the number of operations of each run.
 */
#ifndef UEXT4_TESTS_FS_MODEL_H
#define UEXT4_TESTS_FS_MODEL_H

#include <stdint.h>

#include "env.h"

struct model_rng {
	uint64_t s;
};

static inline uint64_t model_next(struct model_rng *r)
{
	uint64_t z = (r->s += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static inline uint32_t model_below(struct model_rng *r, uint32_t n)
{
	return (uint32_t)(model_next(r) % n);
}

/* The seed of a case (printed) and how many operations. UEXT4_SEED=N replays,
 * UEXT4_SEED=random takes another walk. */
uint64_t model_seed(const char *what, const struct env *e);
uint32_t model_ops(void);

void model_files(struct env *e);
void model_names(struct env *e);

#endif
