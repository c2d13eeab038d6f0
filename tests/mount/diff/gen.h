/* SPDX-License-Identifier: MIT */
/*
 * Chooses the calls of a random program.
 *
 * It knows a little of what there is: names that were made and their types
 * (gen_pool), which slots are open (side_slots). It learns from what the kernel
 * answered, so the same seed gives the same program as long as the kernel
 * answers the same; a program is kept as text to be sure of it.
 */
#ifndef MOUNT_DIFF_GEN_H
#define MOUNT_DIFF_GEN_H

#include <stdbool.h>
#include <stdint.h>

#include "dop.h"
#include "outcome.h"

#define GEN_POOL 160

/* A name that was made. */
struct gen_name {
	char *path;  /* owned */
	char type;   /* 'd' 'f' 'l' 's'(pecial) */
	bool frozen; /* immutable or append-only, perhaps */
};

struct gen {
	uint64_t rnd;
	uint64_t block_size;
	uint64_t max_size; /* of a file */
	bool writeback;    /* what cannot be written is found out later */
	bool full;         /* the disk is to become full at times */
	unsigned filled;   /* calls left until it is emptied */
	bool emptied;      /* just now */
	unsigned long count;
	struct gen_name pool[GEN_POOL];
	unsigned npool;
};

void gen_init(struct gen *g, uint64_t seed);
void gen_fini(struct gen *g);
void gen_next(struct gen *g, struct dop *ret_op);
/* @o: what the kernel answered. */
void gen_learn(struct gen *g, const struct dop *op, const struct outcome *o);

/* ---- chance ---- */

uint64_t gen_below(struct gen *g, uint64_t n);
/* True @percent of a hundred times. */
bool gen_chance(struct gen *g, unsigned percent);
#define GEN_PICK(g, list)                                                      \
 ((list)[gen_below((g), sizeof(list) / sizeof((list)[0]))])

/* ---- names (gen_pool.c); owned by the caller ---- */

/* A path to what is there, of one of @types; seldom another. */
char *gen_old(struct gen *g, const char *types);
/* A path that may be made. */
char *gen_fresh(struct gen *g);
void gen_made(struct gen *g, const char *path, char type);
void gen_gone(struct gen *g, const char *path);
void gen_moved(struct gen *g, const char *from, const char *to, bool swap);
void gen_froze(struct gen *g, const char *path, bool frozen);

/* ---- arguments (gen_args.c) ---- */

/* Fill in the parts of a call of @op->kind. */
void gen_args(struct gen *g, struct dop *op);
/* Slots that are open: of type 'f', 'd' or any (0); seldom another. */
int gen_slot(struct gen *g, char type);

#endif /* MOUNT_DIFF_GEN_H */
