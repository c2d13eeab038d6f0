/* SPDX-License-Identifier: MIT */
/* The verdict on two outcomes of one call, or of one object at the end. */
#ifndef MOUNT_DIFF_JUDGE_H
#define MOUNT_DIFF_JUDGE_H

#include "differences.h"
#include "dop.h"
#include "outcome.h"

struct judge {
	bool strict;        /* nothing may differ */
	bool closer;        /* sparse.h, of the present call */
	bool linear;        /* directories have no index */
	bool no_times;      /* those of the kernel in front are not ours */
	bool writeback;     /* and it knows of no hole */
	bool whole_pages;   /* and writes more than one block at a time */
	unsigned long *met; /* how often each entry of the list was; owned */
	unsigned long wrong;
};

void judge_init(struct judge *j, bool strict);
void judge_fini(struct judge *j);
void judge_met(struct judge *j, int entry);

/* Are they equal, or unequal as the list allows? If not it is said. @op NULL:
 * this is @path at the end. */
bool judge_same(struct judge *j, const struct dop *op, const char *path,
		const struct outcome *a, const struct outcome *b);
/* Which entries were met, one a line: "met: N WHAT". */
void judge_report(const struct judge *j, FILE *to);

#endif /* MOUNT_DIFF_JUDGE_H */
