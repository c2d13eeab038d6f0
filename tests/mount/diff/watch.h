/* SPDX-License-Identifier: MIT */
/*
 * What a call did to the objects it is about: attributes after it, and which
 * times moved.
 *
 * The two sides cannot have equal times, so the relation is compared: a time
 * moved or stayed. Clocks tick coarsely (4 ms), several calls fall into one
 * tick, and a time that was set in this tick already cannot be seen to move:
 * then nothing is known, and nothing compared. watch_tick() waits for the next
 * tick where it should be known.
 */
#ifndef MOUNT_DIFF_WATCH_H
#define MOUNT_DIFF_WATCH_H

#include <sys/stat.h>

#include "side.h"

#define WATCH_OBJECTS 7

struct watch {
	struct stat before[WATCH_OBJECTS], after[WATCH_OBJECTS];
	int err_before[WATCH_OBJECTS], err_after[WATCH_OBJECTS];
	struct timespec begin; /* the clock's tick when the call was made */
};

void watch_before(const struct side *s, const struct dop *op, struct watch *w);
void watch_after(const struct side *s, const struct dop *op, struct watch *w);
/* No time in either is of the current tick any more. */
void watch_tick(const struct watch *a, const struct watch *b);
/* Tell both outcomes what is known on both sides. */
void watch_tell(const struct dop *op, const struct side *sa,
		const struct watch *a, struct outcome *oa,
		const struct side *sb, const struct watch *b,
		struct outcome *ob);

#endif /* MOUNT_DIFF_WATCH_H */
