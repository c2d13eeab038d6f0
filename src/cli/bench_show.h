/* SPDX-License-Identifier: MIT */
/*
 * What a run of the yardstick found, as a table and as JSON.
 */
#ifndef UEXT4_CLI_BENCH_SHOW_H
#define UEXT4_CLI_BENCH_SHOW_H

#include "bench/bench.h"

/* Names of the values of an option, by value; ends with NULL. */
extern const char *const bench_alloc_names[];
extern const char *const bench_extend_names[];
extern const char *const bench_size_names[];
extern const char *const bench_backend_names[];
extern const char *const bench_dir_io_names[];
extern const char *const bench_compare_names[];

void bench_show_table(
		const struct bench_opts *opts, const struct bench_report *r);
void bench_show_json(
		const struct bench_opts *opts, const struct bench_report *r);

#endif /* UEXT4_CLI_BENCH_SHOW_H */
