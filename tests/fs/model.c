/* SPDX-License-Identifier: MIT */
/*
 * Seeds of random tests (see model.h).
 */
#include "model.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/hmap.h"

static uint64_t text_number(const char *s)
{
	uint64_t n = 0;

	while (*s)
		n = n * 31 + (uint8_t)*s++;
	return n;
}

uint64_t model_seed(const char *what, const struct env *e)
{
	const char *s = getenv("UEXT4_SEED");
	uint32_t seed = 0;

	/* The same walk every time, another one on request: what fails in a
	 * test run must fail again. */
	if (!s)
		seed = (uint32_t)hmap_mix(
				text_number(what) + text_number(e->p->name));
	else if (strcmp(s, "random") != 0)
		seed = (uint32_t)strtoul(s, NULL, 0);
	else if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		seed = 1;
	printf("# replay: UEXT4_SEED=%u %s %s/%s\n", seed,
			program_invocation_short_name, what, e->p->name);
	fflush(stdout);
	return seed;
}

uint32_t model_ops(void)
{
	const char *s = getenv("UEXT4_MODEL_OPS");

	return s ? (uint32_t)strtoul(s, NULL, 0) : 5000;
}
