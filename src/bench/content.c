/* SPDX-License-Identifier: MIT */
/*
 * Stamps and random numbers. See content.h.
 */
#include "bench/content.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct stamp {
	uint64_t key, blk, gen, sum;
};

#define TAIL_AT (CONTENT_BLOCK - sizeof(uint64_t))

/* ---- random numbers ---- */

/* The finisher of splitmix64: every bit of @x moves every bit of the result. */
static uint64_t mix(uint64_t x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9u;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

uint64_t rng_next(struct rng *r)
{
	r->state += 0x9e3779b97f4a7c15u;
	return mix(r->state);
}

uint32_t rng_below(struct rng *r, uint32_t n)
{
	return (uint32_t)((rng_next(r) >> 32) * n >> 32);
}

void rng_shuffle(struct rng *r, uint32_t *order, uint32_t n)
{
	uint32_t at;
	uint32_t i;

	for (i = 0; i < n; i++) {
		at = rng_below(r, i + 1);
		order[i] = order[at];
		order[at] = i;
	}
}

/* ---- files ---- */

int content_init(struct content *c, uint32_t nblk)
{
	*c = (struct content){
		.nblk = nblk,
		.gen = calloc(nblk, sizeof(*c->gen)),
	};
	return c->gen ? 0 : -ENOMEM;
}

void content_fini(struct content *c)
{
	free(c->gen);
	c->gen = NULL;
}

void content_reset(struct content *c, uint64_t key)
{
	c->key = mix(key);
	c->end = 0;
	memset(c->gen, 0, c->nblk * sizeof(*c->gen));
}

/* ---- blocks ---- */

static uint64_t filler(size_t at)
{
	return mix(at + 1);
}

void content_fill(void *buf, size_t len)
{
	uint64_t word;
	uint8_t *p = buf;
	size_t i;

	for (i = 0; i < len; i += sizeof(word)) {
		word = filler(i % CONTENT_BLOCK);
		memcpy(p + i, &word, sizeof(word));
	}
}

static struct stamp stamp_of(
		const struct content *c, uint32_t blk, uint32_t gen)
{
	struct stamp s = { .key = c->key, .blk = blk, .gen = gen };

	s.sum = mix(s.key ^ s.blk ^ s.gen << 32);
	return s;
}

void content_stamp(struct content *c, uint32_t blk, uint32_t gen, void *buf,
		size_t len)
{
	struct stamp s;
	uint8_t *p = buf;
	size_t at;

	for (at = 0; at < len; at += CONTENT_BLOCK, blk++) {
		s = stamp_of(c, blk, gen);
		memcpy(p + at, &s, sizeof(s));
		memcpy(p + at + TAIL_AT, &s.sum, sizeof(s.sum));
		c->gen[blk] = gen;
	}
}

bool content_glance(const struct content *c, uint32_t blk, const void *buf)
{
	struct stamp s = stamp_of(c, blk, c->gen[blk]);

	return memcmp(buf, &s, sizeof(s)) == 0;
}

static bool is_zero(const uint8_t *p, size_t len)
{
	return len == 0 || (p[0] == 0 && memcmp(p, p + 1, len - 1) == 0);
}

/* Name the first thing that is wrong with a block whose stamp is @got. */
static void explain(const struct stamp *want, const struct stamp *got,
		char *why, size_t size)
{
	if (got->key == 0 && got->gen == 0 && got->sum == 0)
		snprintf(why, size, "zeroes");
	else if (got->key != want->key)
		snprintf(why, size, "something that was never written there");
	else if (got->blk != want->blk)
		snprintf(why, size, "block %" PRIu64, got->blk);
	else if (got->gen != want->gen)
		snprintf(why, size,
				"generation %" PRIu64 " instead of %" PRIu64,
				got->gen, want->gen);
	else
		snprintf(why, size, "half of what was written");
}

bool content_check(const struct content *c, uint32_t blk, const void *buf,
		char *why, size_t size)
{
	struct stamp want = stamp_of(c, blk, c->gen[blk]);
	const uint8_t *p = buf;
	struct stamp got;
	uint64_t word;
	bool good;
	size_t at;

	if (c->gen[blk] == 0) {
		if (is_zero(p, CONTENT_BLOCK))
			return true;
		snprintf(why, size, "data, but it was never written");
		return false;
	}
	memcpy(&got, p, sizeof(got));
	good = memcmp(&got, &want, sizeof(got)) == 0;
	good = good && memcmp(p + TAIL_AT, &want.sum, sizeof(want.sum)) == 0;
	for (at = sizeof(got); good && at < TAIL_AT; at += sizeof(word)) {
		word = filler(at);
		good = memcmp(p + at, &word, sizeof(word)) == 0;
	}
	if (!good)
		explain(&want, &got, why, size);
	return good;
}
