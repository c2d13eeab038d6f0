/* SPDX-License-Identifier: MIT */
/*
 * Other programs: mke2fs, e2fsck, gnuplot. Looked for in PATH and where a
 * superuser has them.
 */
#ifndef UEXT4_BENCH_CHILD_H
#define UEXT4_BENCH_CHILD_H

#include <stddef.h>

/* The path of @name in @ret (of @size bytes). -ENOENT. */
int child_find(const char *name, char *ret, size_t size);

/* Run argv[0] and wait for it. Standard input is @in (-1: nothing), standard
 * output @out (-1: kept with its errors). What it says, up to @size bytes, comes
 * back in @said, terminated. Returns its exit status, 128 + the signal that
 * killed it, or a negative errno: -ENOENT if there is no such program. */
int child_run(char *const *argv, int in, int out, char *said, size_t size);

#endif /* UEXT4_BENCH_CHILD_H */
