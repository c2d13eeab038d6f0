/* SPDX-License-Identifier: MIT */
/*
 * Random operations against models, over every kind of file system that we
 * write (see model.h for how to replay one run).
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "model.h"

uint64_t model_seed(const char *what, const struct env *e)
{
	const char *s = getenv("UEXT4_SEED");
	uint32_t seed = 0;

	if (s)
		seed = (uint32_t)strtoul(s, NULL, 0);
	else if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		seed = 1;
	printf("# replay: UEXT4_SEED=%u t_model %s/%s\n", seed, what,
			e->p->name);
	fflush(stdout);
	return seed;
}

uint32_t model_ops(void)
{
	const char *s = getenv("UEXT4_MODEL_OPS");

	return s ? (uint32_t)strtoul(s, NULL, 0) : 3500;
}

static const struct env_case cases[] = {
	{ .name = "files", .body = model_files },
	{ .name = "names", .body = model_names },
};

int main(int argc, char **argv)
{
	return env_run("model", cases, sizeof(cases) / sizeof(cases[0]), argc,
			argv);
}
