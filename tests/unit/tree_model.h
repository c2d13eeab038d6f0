/* SPDX-License-Identifier: MIT */
/*
 * A file's mapping as a plain array, and a checker that reads the bytes of a
 * tree by itself and compares: for the tests of map.
 */
#ifndef UEXT4_TESTS_UNIT_TREE_MODEL_H
#define UEXT4_TESTS_UNIT_TREE_MODEL_H

#include <stdint.h>

#include "map/map.h"
#include "unit/fake_floor.h"

struct model_block {
	pblk_t pblk; /* 0: hole */
	enum map_type type;
};

struct model {
	uint32_t n;
	struct model_block *b;
	struct model_block *seen; /* what the checker found */
	bool reap; /* the next check frees what was leaked, and is silent */
	/* of the last check */
	uint32_t nodes, extents, depth;
};

struct model *model_new(uint32_t n);
void model_free(struct model *mo);
void model_set(struct model *mo, lblk_t lblk, uint32_t len, pblk_t pblk,
		enum map_type type);
/* The whole tree: structure, keys, counts, each block once, nothing leaked,
 * i_blocks, and every block mapped as the model says. @slack: extents of one
 * leaf that could be one and nodes without pointers are allowed. Fails the test. */
void model_check(struct model *mo, struct fake *f, struct mapping *m,
		bool slack);
/* What map_find() says at @lblk, with all that it says of the run. */
void model_check_find(struct model *mo, struct mapping *m, lblk_t lblk);

/* Random operations on one file, everything checked after each. */
struct tree_fuzz {
	struct fake_params fake;
	bool is_extents;
	uint32_t lblks; /* file blocks that are played with */
	uint32_t ops;
	uint32_t max_len; /* of one operation */
	uint32_t max_run; /* of the allocator */
	bool obey_goal;
	unsigned fault_every; /* an operation in so many fails somewhere */
	/* results */
	uint32_t max_depth, max_nodes, max_extents, faults;
};
void tree_fuzz(struct tree_fuzz *fz);

#endif /* UEXT4_TESTS_UNIT_TREE_MODEL_H */
