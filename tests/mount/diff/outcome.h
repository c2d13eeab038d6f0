/* SPDX-License-Identifier: MIT */
/*
 * What came out of one call on one side: an errno, and named values in the
 * order in which the call told them. The same call tells the same names on
 * both sides as long as all goes the same way, so outcomes are compared field
 * by field.
 */
#ifndef MOUNT_DIFF_OUTCOME_H
#define MOUNT_DIFF_OUTCOME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

#define OUT_FIELDS 128

struct out_field {
	const char *name;     /* lives for ever */
	uint64_t value;       /* of bytes: how many */
	const uint8_t *bytes; /* NULL: a number */
};

struct outcome {
	int err;
	bool not_run; /* not asked, as differences.c says */
	unsigned n;
	struct out_field f[OUT_FIELDS];
	uint8_t *arena; /* what bytes point into; owned */
	size_t used;
};

void out_init(struct outcome *o);
void out_fini(struct outcome *o);
void out_clear(struct outcome *o);

void out_num(struct outcome *o, const char *name, uint64_t value);
void out_bytes(struct outcome *o, const char *name, const void *bytes,
		size_t len);
/* What must be equal of an inode. Times are told exactly unless they are of
 * this run: those cannot be equal. */
void out_stat(struct outcome *o, const struct stat *st);
/* The time @ts as a number: 0 if it is of this run. */
uint64_t out_time(const struct timespec *ts);
/* A system call's result: errno, or the number. */
long out_ret(struct outcome *o, long ret);

bool out_same_field(const struct out_field *a, const struct out_field *b);
void out_print_field(const struct out_field *f, FILE *to);
void out_print(const struct outcome *o, FILE *to);

#endif /* MOUNT_DIFF_OUTCOME_H */
