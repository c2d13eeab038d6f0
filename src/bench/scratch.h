/* SPDX-License-Identifier: MIT */
/*
 * Where a run works, and on what machine.
 */
#ifndef UEXT4_BENCH_SCRATCH_H
#define UEXT4_BENCH_SCRATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/bench.h"
#include "bench/fault.h"

/* Make a directory for files of @need bytes below @dir, or (NULL) in memory, or
 * else on disk. Its path in @ret (of @size bytes). -ENOSPC and others. */
int scratch_make(const char *dir, uint64_t need, struct fault *fault, char *ret,
		size_t size);
/* Do files in @dir take O_DIRECT? */
bool scratch_is_direct(const char *dir);
/* What there is to say about the machine and the file system of @dir. */
void scratch_describe(const char *dir, struct bench_machine *ret_m);

#endif /* UEXT4_BENCH_SCRATCH_H */
