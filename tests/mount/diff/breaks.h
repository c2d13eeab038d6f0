/* SPDX-License-Identifier: MIT */
/*
 * Faults of a file system, put on: the second side's calls are changed a
 * little, some time into the program. A tester that does not notice them is
 * none. Each fault is one that a real file system could have.
 */
#ifndef MOUNT_DIFF_BREAKS_H
#define MOUNT_DIFF_BREAKS_H

#include "side.h"

/* Exits if there is no fault of that name; NULL: none. */
void breaks_choose(const char *name);
/* As side_run(), with the chosen fault after the @n-th call. */
void breaks_run(struct side *s, const struct dop *op, struct outcome *o,
		unsigned long n);
/* Their names, one a line. */
void breaks_list(FILE *to);

#endif /* MOUNT_DIFF_BREAKS_H */
