/* SPDX-License-Identifier: MIT */
/* A program on both sides, call by call. */
#ifndef MOUNT_DIFF_RUN_H
#define MOUNT_DIFF_RUN_H

#include "gen.h"
#include "judge.h"
#include "side.h"
#include "watch.h"

struct run {
	struct side a, b; /* the kernel's, ours */
	struct judge judge;
	struct outcome oa, ob;
	struct watch wa, wb;
	struct dop *done; /* the calls so far */
	size_t ndone, room;
	unsigned long succeeded;
};

void run_init(struct run *r, const char *dir_a, const char *dir_b, bool strict);
void run_fini(struct run *r);
/* Make the call @op (taken over) on both sides; false: they differ. */
bool run_call(struct run *r, struct dop *op);
/* At the end: everything, once the slots are closed; false: they differ. */
bool run_end(struct run *r);

#endif /* MOUNT_DIFF_RUN_H */
