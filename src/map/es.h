/* SPDX-License-Identifier: MIT */
/*
 * Extent status: what is known of one file's mapping, in memory.
 *
 * A tree of runs of file blocks, each in one state (hole, written, unwritten);
 * between the runs nothing is known. It only remembers what the trees on disk
 * say: it may forget any run at any time, and it does so when memory is short
 * or when there are more than ES_RUNS_MAX.
 *
 * Rules    (E1) Runs do not overlap and are not empty.
 *          (E2) Two runs that touch and continue each other are one run.
 *          (E3) es_remove() cannot fail: a run that cannot be cut for lack of
 *               memory is forgotten as a whole.
 *          (E4) Eviction is a clock: a run that was found since the hand last
 *               passed stays for one more round.
 *
 * Locks    mapping->lock: shared for es_find(), exclusive for the others.
 */
#ifndef UEXT4_MAP_ES_H
#define UEXT4_MAP_ES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/types.h"
#include "map/map.h"

#define ES_RUNS_MAX 2048u
#define ES_EVICT    128u /* this many go at once */

struct es_tree;

/* An empty tree; -ENOMEM. */
int es_new(struct es_tree **ret_es);
void es_free(struct es_tree *es);
/* What is known from @lblk on, to the end of its run. False: nothing. */
bool es_find(struct es_tree *es, lblk_t lblk, struct map_run *ret_run);
/* From now on @run is what is known of its blocks. */
void es_insert(struct es_tree *es, const struct map_run *run);
/* Forget [lblk, end). */
void es_remove(struct es_tree *es, lblk_t lblk, uint64_t end);
void es_clear(struct es_tree *es);
uint32_t es_count(const struct es_tree *es);

#endif /* UEXT4_MAP_ES_H */
