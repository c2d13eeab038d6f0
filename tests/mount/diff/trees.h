/* SPDX-License-Identifier: MIT */
/* Whole trees: names, attributes, contents, space. */
#ifndef MOUNT_DIFF_TREES_H
#define MOUNT_DIFF_TREES_H

#include <stdio.h>

#include "judge.h"
#include "side.h"

/* The name of what a full disk is filled with: of it only the name counts. */
#define TREES_FILLER "filler"

/* Compare the trees, from the roots on. What differs is said; the count of it
 * is in @j. */
void trees_compare(struct judge *j, const struct side *a, const struct side *b);
/* All that there is in the tree at @root, with exact times. */
void trees_dump(int root, FILE *to);

#endif /* MOUNT_DIFF_TREES_H */
