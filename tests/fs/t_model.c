/* SPDX-License-Identifier: MIT */
/*
 * Random operations against models, over every kind of file system that we
 * write (see model.h for how to replay one run).
 */
#include "model.h"

static const struct env_case cases[] = {
	{ .name = "files", .body = model_files },
	{ .name = "names", .body = model_names },
};

int main(int argc, char **argv)
{
	return env_run("model", cases, sizeof(cases) / sizeof(cases[0]), argc,
			argv);
}
