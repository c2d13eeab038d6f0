/* SPDX-License-Identifier: MIT */
/*
 * Extent status: the tree of remembered runs. See es.h for states and rules.
 */
#include "map/es.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <bsd/sys/tree.h>

#include "base/err.h"

struct es_run {
	RB_ENTRY(es_run) node;
	lblk_t lblk;
	uint32_t len;
	pblk_t pblk;
	enum map_type type;
	atomic_bool used; /* found since the hand passed (E4) */
};

RB_HEAD(es_runs, es_run);

struct es_tree {
	struct es_runs runs;
	uint32_t count;
	lblk_t hand; /* where the clock stands */
};

static int es_cmp(const struct es_run *a, const struct es_run *b)
{
	return (a->lblk > b->lblk) - (a->lblk < b->lblk);
}

/* RB_GENERATE_STATIC() needs a word that only BSD's cdefs.h has. */
RB_GENERATE_INTERNAL(
		es_runs, es_run, node, es_cmp, __attribute__((unused)) static)

static uint64_t es_end(const struct es_run *r)
{
	return (uint64_t)r->lblk + r->len;
}

int es_new(struct es_tree **ret_es)
{
	struct es_tree *es = calloc(1, sizeof(*es));

	if (!es)
		return -ENOMEM;
	RB_INIT(&es->runs);
	*ret_es = es;
	return 0;
}

static void es_drop(struct es_tree *es, struct es_run *r)
{
	RB_REMOVE(es_runs, &es->runs, r);
	es->count--;
	free(r);
}

void es_clear(struct es_tree *es)
{
	struct es_run *r;

	while ((r = RB_ROOT(&es->runs)) != NULL)
		es_drop(es, r);
}

void es_free(struct es_tree *es)
{
	if (!es)
		return;
	es_clear(es);
	free(es);
}

uint32_t es_count(const struct es_tree *es)
{
	return es->count;
}

/* The first run that ends behind @lblk. */
static struct es_run *es_first_after(struct es_tree *es, lblk_t lblk)
{
	struct es_run *r = RB_ROOT(&es->runs), *best = NULL;

	while (r) {
		if (es_end(r) > lblk) {
			best = r;
			r = RB_LEFT(r, node);
		} else {
			r = RB_RIGHT(r, node);
		}
	}
	return best;
}

bool es_find(struct es_tree *es, lblk_t lblk, struct map_run *ret_run)
{
	struct es_run *r = es_first_after(es, lblk);
	uint32_t skip;

	if (!r || r->lblk > lblk)
		return false;

	/* Readers share the lock: do not dirty the line without need. */
	if (!atomic_load_explicit(&r->used, memory_order_relaxed))
		atomic_store_explicit(&r->used, true, memory_order_relaxed);
	skip = lblk - r->lblk;
	*ret_run = (struct map_run){
		.lblk = lblk,
		.len = r->len - skip,
		.pblk = r->type == MAP_HOLE ? 0 : r->pblk + skip,
		.type = r->type,
	};
	return true;
}

/* Let the hand go on until ES_EVICT runs are gone. Two rounds are enough:
 * nothing sets `used` meanwhile. */
static void es_evict(struct es_tree *es)
{
	struct es_run *r = es_first_after(es, es->hand), *next;
	uint32_t steps = 2 * es->count, gone = 0;

	while (steps-- > 0 && gone < ES_EVICT && es->count > 0) {
		if (!r)
			r = RB_MIN(es_runs, &es->runs);
		next = RB_NEXT(es_runs, &es->runs, r);
		if (atomic_load_explicit(&r->used, memory_order_relaxed)) {
			atomic_store_explicit(
					&r->used, false, memory_order_relaxed);
		} else {
			es_drop(es, r);
			gone++;
		}
		r = next;
	}
	es->hand = r ? r->lblk : 0;
}

static void es_add(struct es_tree *es, const struct map_run *run)
{
	struct es_run *r;

	if (es->count >= ES_RUNS_MAX)
		es_evict(es);
	r = malloc(sizeof(*r));
	if (!r)
		return; /* forgotten at once */
	*r = (struct es_run){
		.lblk = run->lblk,
		.len = run->len,
		.pblk = run->type == MAP_HOLE ? 0 : run->pblk,
		.type = run->type,
	};
	atomic_init(&r->used, true);
	RB_INSERT(es_runs, &es->runs, r);
	es->count++;
}

/* Cut the first @n blocks off @r. Its key grows, its place in the tree stays:
 * runs do not overlap. */
static void es_cut_head(struct es_run *r, uint32_t n)
{
	r->lblk += n;
	r->len -= n;
	if (r->type != MAP_HOLE)
		r->pblk += n;
}

void es_remove(struct es_tree *es, lblk_t lblk, uint64_t end)
{
	struct es_run *r = es_first_after(es, lblk), *next;

	for (; r && r->lblk < end; r = next) {
		uint64_t r_end = es_end(r);

		next = RB_NEXT(es_runs, &es->runs, r);
		if (r->lblk >= lblk && r_end <= end) {
			es_drop(es, r);
		} else if (r->lblk >= lblk) {
			es_cut_head(r, (uint32_t)(end - r->lblk));
		} else {
			uint32_t skip = (uint32_t)(end - r->lblk);
			struct map_run rest = {
				.lblk = (lblk_t)end,
				.len = r->len - skip,
				.pblk = r->pblk + skip,
				.type = r->type,
			};

			r->len = lblk - r->lblk;
			if (r_end > end) {
				/* Nothing else can lie in the range, and
				 * es_add() may evict what next points to. */
				es_add(es, &rest);
				return;
			}
		}
	}
}

/* Are @a and @b, which touch, one run (E2)? */
static bool es_goes_on(const struct es_run *a, const struct map_run *b)
{
	const bool a_first = a->lblk < b->lblk;
	const pblk_t seam = a_first ? a->pblk + a->len : b->pblk + b->len;

	return a->type == b->type && b->len <= UINT32_MAX - a->len &&
			(a->type == MAP_HOLE ||
					seam == (a_first ? b->pblk : a->pblk));
}

void es_insert(struct es_tree *es, const struct map_run *run)
{
	uint64_t end = (uint64_t)run->lblk + run->len;
	struct map_run all = *run;
	struct es_run *r;

	assert(run->len > 0 && end <= (uint64_t)UINT32_MAX + 1);
	es_remove(es, run->lblk, end);

	r = run->lblk > 0 ? es_first_after(es, run->lblk - 1) : NULL;
	if (r && es_end(r) == run->lblk && es_goes_on(r, run)) {
		all.lblk = r->lblk;
		all.pblk = r->pblk;
		all.len = r->len + run->len;
		es_drop(es, r);
	}
	r = end <= UINT32_MAX ? es_first_after(es, (lblk_t)end) : NULL;
	if (r && r->lblk == end && es_goes_on(r, &all)) {
		all.len += r->len;
		es_drop(es, r);
	}
	es_add(es, &all);
}
