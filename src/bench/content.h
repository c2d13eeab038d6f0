/* SPDX-License-Identifier: MIT */
/*
 * What has to be in a file: every 4 KiB block that is written carries a stamp
 * that says which file, block and generation it is, so that a block which was
 * lost, mixed up or torn is found when a sample is read back.
 *
 * A block is a stamp of 32 bytes, filler that is the same in all blocks, and the
 * stamp's checksum once more at the end. A buffer is filled once by
 * content_fill(); for a write only the stamps change.
 *
 * Rule     (C1) A block is in flight once at a time: who begins with the file
 *               anew has drained first. So its generation is known.
 */
#ifndef UEXT4_BENCH_CONTENT_H
#define UEXT4_BENCH_CONTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONTENT_BLOCK 4096u

struct content {
	uint64_t key;  /* of this file */
	uint32_t nblk; /* that the file may have */
	uint32_t end;  /* blocks that lie inside it now */
	uint32_t *gen; /* of each block; 0: never written, reads as zeroes */
};

/* -ENOMEM. */
int content_init(struct content *c, uint32_t nblk);
void content_fini(struct content *c);
/* An empty file of another key. */
void content_reset(struct content *c, uint64_t key);

/* Prepare @len bytes of memory for content_stamp(). */
void content_fill(void *buf, size_t len);
/* What @len bytes at block @blk hold when they are written as @gen. */
void content_stamp(struct content *c, uint32_t blk, uint32_t gen, void *buf,
		size_t len);
/* Is @buf the beginning of block @blk? A look at one cache line. */
bool content_glance(const struct content *c, uint32_t blk, const void *buf);
/* Is @buf all of it? If not, @why (of @size bytes) tells what it is. */
bool content_check(const struct content *c, uint32_t blk, const void *buf,
		char *why, size_t size);

/* Numbers that look random, the same for the same seed. */
struct rng {
	uint64_t state;
};
uint64_t rng_next(struct rng *r);
uint32_t rng_below(struct rng *r, uint32_t n);
/* A random order of 0 .. n - 1. */
void rng_shuffle(struct rng *r, uint32_t *order, uint32_t n);

#endif /* UEXT4_BENCH_CONTENT_H */
