/* SPDX-License-Identifier: MIT */
/*
 * The five ways to choose what survives a cut (explore.h names them).
 *
 * Cuts come in two kinds. After a write was submitted, only choices that keep
 * it in play are new: those without it were tried at the cut before. When the
 * obligations or D have changed (is_fresh) everything is tried again. Torn
 * writes are tried on the newest write at every cut, and on each write of V at
 * a boundary, where V is as large as it gets.
 */
#include "power/explore_enum.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define NONE          UINT64_MAX
#define ALL_PATTERNS  8   /* sectors: all 2^8 for journal and superblock */
#define PREFIX_CUTS   256 /* of longer writes so many are taken, evenly */
#define RANDOM_TORN   8
#define PLACE_COMBOS  256
#define PLACE_WRITERS 8

/* A run of sectors with the same writers in V. */
struct xplace {
	uint64_t lba; /* of the first sector */
	struct xslot **slots;
	uint64_t nslots;
	uint64_t cap;
	const struct xwrite *w[PLACE_WRITERS];
	uint32_t nw;
};

int explorer_enum_init(struct explorer *x)
{
	uint32_t most = 0;
	uint64_t i;

	for (i = 0; i < x->m->nwrites; i++)
		most = max_of(most, x->m->writes[i].nsect);
	x->pick = calloc(x->m->nwrites + 1, 1);
	x->bits = calloc(most / 64 + 1, sizeof(*x->bits));
	return x->pick && x->bits ? 0 : -ENOMEM;
}

static void places_clear(struct explorer *x)
{
	uint64_t i;

	for (i = 0; i < x->nplaces; i++)
		free(x->places[i].slots);
	x->nplaces = 0;
}

void explorer_enum_fini(struct explorer *x)
{
	places_clear(x);
	free(x->places);
	free(x->pick);
	free(x->bits);
}

/* ---- names ---- */

static void name_pattern(const struct xname *n, char *buf, size_t size)
{
	if (n->pattern == 'e' || n->pattern == 'o')
		snprintf(buf, size, "%c", n->pattern);
	else if (n->pattern == 'x' || n->pattern == 'r')
		snprintf(buf, size, "%c%" PRIx64, n->pattern, n->b);
	else
		snprintf(buf, size, "%c%" PRIu64, n->pattern, n->b);
}

void explorer_name(const struct explorer *x, const struct xname *n, char *buf,
		size_t size)
{
	bool is_bare = n->mode == 'P' ||
			((n->form == 'k' || n->form == 'd') && n->a == NONE);
	char pattern[32];
	int len;

	len = snprintf(buf, size, "%c:%" PRIu64 ":", n->mode, x->m->t);
	buf += len;
	size -= (size_t)len;
	if (n->mode == 'T') {
		name_pattern(n, pattern, sizeof(pattern));
		snprintf(buf, size, "%" PRIu64 ":%s:%c", n->a, pattern,
				n->form);
	} else if (is_bare) {
		snprintf(buf, size, "%c", n->form);
	} else if (n->mode == 'G') {
		snprintf(buf, size, "all");
	} else if (n->mode == 'O' && n->form == 'i') {
		snprintf(buf, size, "i%" PRIu64 ".%" PRIu64, n->a, n->b);
	} else if (n->mode == 'O') {
		snprintf(buf, size, "c%" PRIu64, n->a);
	} else if (n->form == 'm' || n->form == 'r') {
		snprintf(buf, size, "%c%" PRIx64, n->form, n->a);
	} else if (n->b == NONE) {
		snprintf(buf, size, "%c%" PRIu64, n->form, n->a);
	} else {
		snprintf(buf, size, "%c%" PRIu64 ",%" PRIu64, n->form, n->a,
				n->b);
	}
}

/* A number that depends on the run's seed and on nothing outside the cut. */
static uint64_t seed_at(const struct explorer *x, uint64_t salt)
{
	return hmap_mix(x->opts.seed ^ hmap_mix(x->m->t ^ hmap_mix(salt + 1)));
}

static void pick_all(struct explorer *x, enum xpick pick)
{
	memset(x->pick, pick, x->m->nv);
}

/* ---- P: prefixes ---- */

static int enum_prefix(struct explorer *x)
{
	struct xchoice c = { .pick = x->pick };
	struct xname name = { .mode = 'P', .form = 's' };
	uint64_t i;
	int ret;

	pick_all(x, XPICK_WHOLE);
	ret = explorer_emit(x, EXPLORE_PREFIX, &c, &name);
	if (ret < 0)
		return ret;
	for (i = 0; i < x->m->nv; i++)
		if (x->m->v[i]->ent->t_done > x->m->t)
			x->pick[i] = XPICK_NONE;
	name.form = 'c';
	return explorer_emit(x, EXPLORE_PREFIX, &c, &name);
}

/* ---- S: subsets ---- */

static int subset_masks(struct explorer *x)
{
	struct xchoice c = { .pick = x->pick };
	struct xname name = { .mode = 'S', .form = 'm' };
	uint64_t n = x->m->nv;
	uint64_t must = 0;
	uint64_t mask;
	uint64_t i;
	int ret = 0;

	for (i = 0; i < n; i++)
		if (!x->m->is_fresh && x->m->v[i] == x->m->newest)
			must = UINT64_C(1) << i;
	for (mask = 0; mask >> n == 0 && ret == 0 && !x->is_over; mask++) {
		if ((mask & must) != must)
			continue;
		for (i = 0; i < n; i++)
			x->pick[i] = mask >> i & 1 ? XPICK_WHOLE : XPICK_NONE;
		name.a = mask;
		ret = explorer_emit(x, EXPLORE_SUBSET, &c, &name);
	}
	return ret;
}

/* Everything is @rest, but i and j (NONE: not used) are the opposite. */
static int subset_pair(
		struct explorer *x, enum xpick rest, uint64_t i, uint64_t j)
{
	struct xchoice c = { .pick = x->pick };
	struct xname name = { .mode = 'S', .a = i, .b = j };
	enum xpick other = rest == XPICK_NONE ? XPICK_WHOLE : XPICK_NONE;

	name.form = rest == XPICK_NONE ? 'k' : 'd';
	pick_all(x, rest);
	if (i != NONE)
		x->pick[i] = other;
	if (j != NONE)
		x->pick[j] = other;
	return explorer_emit(x, EXPLORE_SUBSET, &c, &name);
}

static int subset_random_pairs(struct explorer *x, enum xpick rest)
{
	uint64_t n = x->m->nv;
	uint64_t k;
	int ret = 0;

	if (n < 2)
		return 0;
	for (k = 0; k < x->opts.random && ret == 0 && !x->is_over; k++) {
		uint64_t r = seed_at(x, k << 8 | rest);
		uint64_t i = (r & UINT32_MAX) % n;
		uint64_t j = (i + 1 + (r >> 32) % (n - 1)) % n;

		ret = subset_pair(x, rest, min_u64(i, j), max_u64(i, j));
	}
	return ret;
}

static int subset_pairs(struct explorer *x, enum xpick rest)
{
	uint64_t n = x->m->nv;
	uint64_t i;
	uint64_t j;
	int ret;

	ret = subset_pair(x, rest, NONE, NONE);
	for (i = 0; i < n && ret == 0 && !x->is_over; i++)
		ret = subset_pair(x, rest, i, NONE);
	if (n > x->opts.pair_max)
		return ret == 0 ? subset_random_pairs(x, rest) : ret;
	for (i = 0; i < n; i++)
		for (j = i + 1; j < n && ret == 0 && !x->is_over; j++)
			ret = subset_pair(x, rest, i, j);
	return ret;
}

static int subset_random(struct explorer *x, uint64_t seed)
{
	struct xchoice c = { .pick = x->pick };
	struct xname name = { .mode = 'S', .form = 'r', .a = seed };
	uint64_t i;

	for (i = 0; i < x->m->nv; i++)
		x->pick[i] = hmap_mix(seed + i) >> 32 & 1 ? XPICK_WHOLE
							  : XPICK_NONE;
	return explorer_emit(x, EXPLORE_SUBSET, &c, &name);
}

/* opts.only says all there is to know about a state of many writes, whatever
 * the seed that once found it. */
static int subset_named(struct explorer *x)
{
	const char *at = memrchr(x->opts.only, ':', x->only_len);
	uint64_t n = x->m->nv;
	uint64_t i = NONE;
	uint64_t j = NONE;

	if (!at)
		return 0;
	if (at[1] == 'r')
		return subset_random(x, strtoull(at + 2, NULL, 16));
	if (sscanf(at + 2, "%" SCNu64 ",%" SCNu64, &i, &j) < 0 && at[2])
		return 0;
	if ((i != NONE && i >= n) || (j != NONE && j >= n))
		return 0;
	return subset_pair(x, at[1] == 'k' ? XPICK_NONE : XPICK_WHOLE, i, j);
}

static int enum_subset(struct explorer *x)
{
	uint64_t i;
	int ret;

	if (!x->m->is_fresh && !x->m->newest)
		return 0;
	if (x->m->nv <= x->opts.subset_bits)
		return subset_masks(x);
	if (x->only_len > 0)
		return subset_named(x);
	ret = subset_pairs(x, XPICK_NONE);
	if (ret == 0)
		ret = subset_pairs(x, XPICK_WHOLE);
	for (i = 0; i < x->opts.random && ret == 0 && !x->is_over; i++)
		ret = subset_random(x, seed_at(x, i));
	return ret;
}

/* ---- T: torn writes ---- */

struct tear {
	struct explorer *x;
	struct xchoice c;
	struct xname name;
	uint32_t n; /* sectors */
};

static void bits_fill(struct tear *t, uint32_t from, uint32_t to)
{
	uint32_t i;

	memset(t->x->bits, 0, (t->n / 64 + 1) * sizeof(*t->x->bits));
	for (i = from; i < to; i++)
		t->x->bits[i / 64] |= UINT64_C(1) << (i % 64);
}

static int tear_emit(struct tear *t, char pattern, uint64_t b)
{
	t->name.pattern = pattern;
	t->name.b = b;
	return explorer_emit(t->x, EXPLORE_TORN, &t->c, &t->name);
}

static int tear_all(struct tear *t)
{
	uint64_t set;
	int ret = 0;

	bits_fill(t, 0, 0);
	for (set = 1; set < (UINT64_C(1) << t->n) - 1 && ret == 0; set++) {
		t->x->bits[0] = set;
		ret = tear_emit(t, 'x', set);
	}
	return ret;
}

static int tear_combs(struct tear *t)
{
	uint32_t i;
	int ret;

	bits_fill(t, 0, 0);
	for (i = 0; i < t->n; i += 2)
		t->x->bits[i / 64] |= UINT64_C(1) << (i % 64);
	ret = tear_emit(t, 'e', 0);
	if (ret < 0)
		return ret;
	bits_fill(t, 0, 0);
	for (i = 1; i < t->n; i += 2)
		t->x->bits[i / 64] |= UINT64_C(1) << (i % 64);
	return tear_emit(t, 'o', 0);
}

static int tear_random(struct tear *t)
{
	const char *named =
			t->x->only_len ? strstr(t->x->opts.only, ":r") : NULL;
	uint64_t r;
	uint32_t i;
	uint32_t k;
	int ret = 0;

	for (k = 0; k < RANDOM_TORN && ret == 0; k++) {
		r = seed_at(t->x, t->name.a << 8 | k) >> 32;
		if (named)
			r = strtoull(named + 2, NULL, 16);
		bits_fill(t, 0, 0);
		for (i = 0; i < t->n; i++)
			if (hmap_mix(r + i) >> 40 & 1)
				t->x->bits[i / 64] |= UINT64_C(1) << (i % 64);
		ret = tear_emit(t, 'r', r);
	}
	return ret;
}

/* Cuts at 1, 2, ... and n - 1; of a long write evenly spaced ones. */
static int tear_prefixes(struct tear *t)
{
	uint32_t step = t->n / PREFIX_CUTS + 1;
	uint32_t k;
	int ret = 0;

	for (k = 1; k < t->n && ret == 0; k += step) {
		bits_fill(t, 0, k);
		ret = tear_emit(t, 'p', k);
		if (ret < 0)
			break;
		bits_fill(t, t->n - k, t->n);
		ret = tear_emit(t, 's', k);
	}
	if (ret == 0 && step > 1) {
		bits_fill(t, 0, t->n - 1);
		ret = tear_emit(t, 'p', t->n - 1);
	}
	return ret;
}

static bool tears_every_way(const struct xwrite *w)
{
	switch (bdev_tag_kind(w->ent->tag)) {
	case BDEV_TAG_J_DESC:
	case BDEV_TAG_J_REVOKE:
	case BDEV_TAG_J_COMMIT:
	case BDEV_TAG_J_SB:
	case BDEV_TAG_SUPERBLOCK:
		return w->nsect <= ALL_PATTERNS;
	default:
		return false;
	}
}

static int tear_one(struct explorer *x, uint64_t i, enum xpick others)
{
	struct tear t = {
		.x = x,
		.c = { .pick = x->pick, .bits = x->bits },
		.name = { .mode = 'T', .a = i },
		.n = x->m->v[i]->nsect,
	};
	int ret;

	if (t.n < 2 || x->is_over)
		return 0;
	t.name.form = others == XPICK_WHOLE ? 'f' : 'n';
	pick_all(x, others);
	x->pick[i] = XPICK_TORN;
	if (tears_every_way(x->m->v[i]))
		return tear_all(&t);
	ret = tear_prefixes(&t);
	if (ret == 0)
		ret = tear_combs(&t);
	return ret == 0 ? tear_random(&t) : ret;
}

static int enum_torn(struct explorer *x)
{
	bool all = x->m->is_boundary || (x->opts.flags & EXPLORE_F_TORN_ALL);
	uint64_t i;
	int ret = 0;

	for (i = 0; i < x->m->nv && ret == 0; i++) {
		bool is_newest = x->m->v[i] == x->m->newest;

		if (all || is_newest)
			ret = tear_one(x, i, XPICK_WHOLE);
		if (ret == 0 && (is_newest || (all && x->m->is_fresh)))
			ret = tear_one(x, i, XPICK_NONE);
	}
	return ret;
}

/* ---- O: overlapping writes ---- */

struct pair {
	struct xslot *slot;
	uint64_t lba;
	uint64_t i; /* of V */
};

static int pair_cmp(const void *pa, const void *pb)
{
	const struct pair *a = pa;
	const struct pair *b = pb;

	if (a->lba != b->lba)
		return a->lba < b->lba ? -1 : 1;
	return a->i < b->i ? -1 : a->i > b->i;
}

struct pair_scan {
	uint64_t once; /* stamps */
	uint64_t twice;
	struct pair *pairs;
	uint64_t n;
};

static void scan_mark(struct pair_scan *p, struct xslot *slot, uint64_t lba,
		uint64_t i)
{
	bool is_seen = slot->stamp == p->once || slot->stamp == p->twice;

	slot->stamp = is_seen ? p->twice : p->once;
}

static void scan_count(struct pair_scan *p, struct xslot *slot, uint64_t lba,
		uint64_t i)
{
	p->n += slot->stamp == p->twice;
}

static void scan_take(struct pair_scan *p, struct xslot *slot, uint64_t lba,
		uint64_t i)
{
	if (slot->stamp == p->twice)
		p->pairs[p->n++] = (struct pair){ slot, lba, i };
}

static void scan(struct explorer *x, struct pair_scan *p,
		void (*fn)(struct pair_scan *p, struct xslot *slot,
				uint64_t lba, uint64_t i))
{
	uint64_t i;
	uint32_t k;

	for (i = 0; i < x->m->nv; i++) {
		const struct xwrite *w = x->m->v[i];

		for (k = 0; k < w->nsect; k++)
			if (xm_is_live(w, k))
				fn(p, w->slot[k],
						w->ent->pos / x->m->sector + k,
						i);
	}
}

/* Sectors that two writes of V reach, one pair for each of the two. */
static int find_pairs(
		struct explorer *x, struct pair **ret_pairs, uint64_t *ret_n)
{
	struct pair_scan p = { 0 };

	p.once = ++x->m->serial;
	p.twice = ++x->m->serial;
	scan(x, &p, scan_mark);
	scan(x, &p, scan_count);
	if (p.n > 0) {
		p.pairs = calloc(p.n, sizeof(*p.pairs));
		if (!p.pairs)
			return -ENOMEM;
		p.n = 0;
		scan(x, &p, scan_take);
		qsort(p.pairs, p.n, sizeof(*p.pairs), pair_cmp);
	}
	*ret_pairs = p.pairs;
	*ret_n = p.n;
	return 0;
}

static bool same_writers(const struct xplace *p, const struct xplace *q)
{
	return p->nw == q->nw &&
			memcmp(p->w, q->w, p->nw * sizeof(p->w[0])) == 0;
}

static int place_new(struct explorer *x, const struct xplace *p)
{
	struct xplace *places;
	uint64_t cap;

	if (x->nplaces == x->places_cap) {
		cap = x->places_cap ? 2 * x->places_cap : 16;
		places = reallocarray(x->places, cap, sizeof(*places));
		if (!places)
			return -ENOMEM;
		x->places = places;
		x->places_cap = cap;
	}
	x->places[x->nplaces++] = *p;
	return 0;
}

static bool continues_last(const struct explorer *x, const struct xplace *p)
{
	const struct xplace *last;

	if (x->nplaces == 0)
		return false;
	last = &x->places[x->nplaces - 1];
	return last->lba + last->nslots == p->lba && same_writers(last, p);
}

/* Append the one-sector place @p, or join it to the one before. */
static int place_add(
		struct explorer *x, const struct xplace *p, struct xslot *slot)
{
	struct xplace *last;
	struct xslot **slots;
	uint64_t cap;
	int ret;

	if (!continues_last(x, p)) {
		ret = place_new(x, p);
		if (ret < 0)
			return ret;
	}
	last = &x->places[x->nplaces - 1];
	if (last->nslots == last->cap) {
		cap = last->cap ? 2 * last->cap : 8;
		slots = reallocarray(last->slots, cap, sizeof(struct xslot *));
		if (!slots)
			return -ENOMEM;
		last->slots = slots;
		last->cap = cap;
	}
	last->slots[last->nslots++] = slot;
	return 0;
}

static int find_places(struct explorer *x)
{
	struct pair *pairs;
	uint64_t n;
	uint64_t i;
	int ret;

	places_clear(x);
	ret = find_pairs(x, &pairs, &n);
	if (ret < 0)
		return ret;
	for (i = 0; i < n && ret == 0;) {
		struct xslot *slot = pairs[i].slot;
		struct xplace p = { .lba = pairs[i].lba };

		/* Of more writers the last ones count: V is in their order. */
		for (; i < n && pairs[i].slot == slot; i++) {
			if (p.nw == PLACE_WRITERS)
				memmove(p.w, p.w + 1, --p.nw * sizeof(p.w[0]));
			p.w[p.nw++] = x->m->v[pairs[i].i];
		}
		ret = place_add(x, &p, slot);
	}
	free(pairs);
	return ret;
}

static void place_set(struct xplace *p, uint64_t version, uint64_t stamp)
{
	uint64_t i;

	for (i = 0; i < p->nslots; i++) {
		p->slots[i]->over = version ? p->w[version - 1] : NULL;
		p->slots[i]->over_stamp = stamp;
	}
}

static int places_combos(struct explorer *x, uint64_t combos)
{
	struct xchoice c = { .pick = x->pick };
	struct xname name = { .mode = 'O', .form = 'c' };
	uint64_t rest;
	uint64_t g;
	int ret = 0;

	pick_all(x, XPICK_WHOLE);
	for (name.a = 0; name.a < combos && ret == 0; name.a++) {
		c.over_stamp = ++x->m->serial;
		rest = name.a;
		for (g = 0; g < x->nplaces; g++) {
			place_set(&x->places[g], rest % (x->places[g].nw + 1),
					c.over_stamp);
			rest /= x->places[g].nw + 1;
		}
		ret = explorer_emit(x, EXPLORE_OVERLAP, &c, &name);
	}
	return ret;
}

static int places_singly(struct explorer *x)
{
	struct xchoice c = { .pick = x->pick };
	struct xname name = { .mode = 'O', .form = 'i' };
	int ret = 0;

	pick_all(x, XPICK_WHOLE);
	for (name.a = 0; name.a < x->nplaces; name.a++) {
		struct xplace *p = &x->places[name.a];

		for (name.b = 0; name.b <= p->nw && ret == 0; name.b++) {
			c.over_stamp = ++x->m->serial;
			place_set(p, name.b, c.over_stamp);
			ret = explorer_emit(x, EXPLORE_OVERLAP, &c, &name);
		}
	}
	return ret;
}

static int enum_overlap(struct explorer *x)
{
	uint64_t combos = 1;
	uint64_t g;
	int ret;

	if (x->m->nv < 2 || (!x->m->is_fresh && !x->m->newest))
		return 0;
	ret = find_places(x);
	if (ret < 0 || x->nplaces == 0)
		return ret;
	for (g = 0; g < x->nplaces && combos <= PLACE_COMBOS; g++)
		combos *= x->places[g].nw + 1;
	return combos <= PLACE_COMBOS ? places_combos(x, combos)
				      : places_singly(x);
}

/* ---- G: discards ---- */

static int enum_garbage(struct explorer *x)
{
	struct xchoice c = { .pick = x->pick, .is_garbage = true };
	struct xname name = { .mode = 'G' };
	uint64_t i;

	for (i = 0; i < x->m->nv; i++)
		if (x->m->v[i]->garbage)
			break;
	if (i == x->m->nv)
		return 0;
	pick_all(x, XPICK_WHOLE);
	return explorer_emit(x, EXPLORE_GARBAGE, &c, &name);
}

int explorer_enum(struct explorer *x, enum explore_mode mode)
{
	switch (mode) {
	case EXPLORE_PREFIX:
		return enum_prefix(x);
	case EXPLORE_SUBSET:
		return enum_subset(x);
	case EXPLORE_TORN:
		return enum_torn(x);
	case EXPLORE_OVERLAP:
		return enum_overlap(x);
	case EXPLORE_GARBAGE:
		return enum_garbage(x);
	default:
		return -EINVAL;
	}
}
