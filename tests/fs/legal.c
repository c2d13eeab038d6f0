/* SPDX-License-Identifier: MIT */
/*
 * Legal contents of files that many threads change (see legal.h).
 *
 * A unit has a short list of changes. One is forgotten when no read under way
 * and none to come may see it. A list that is full melts what has ended into one
 * change that stands for any of them.
 */
#include "legal.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHANGES 24u
#define ANY     UINT32_MAX
#define NEVER   UINT64_MAX

struct change {
	uint64_t begin, end; /* NEVER: under way */
	uint32_t tag;
	bool is_weak; /* perhaps it did not happen */
};

struct unit {
	uint32_t n;
	struct change c[CHANGES];
};

struct reader {
	unsigned n;      /* reads under way */
	uint64_t oldest; /* of them */
};

struct legal {
	pthread_mutex_t lock;
	uint64_t clock;
	uint32_t units;
	struct reader reader[LEGAL_READERS];
	struct unit unit[];
};

struct legal *legal_new(unsigned nfiles, uint32_t units)
{
	size_t n = (size_t)nfiles * units;
	struct legal *l = calloc(1, sizeof(*l) + n * sizeof(l->unit[0]));

	if (l == NULL)
		abort();
	pthread_mutex_init(&l->lock, NULL);
	l->units = units;
	for (size_t i = 0; i < n; i++)
		l->unit[i].n = 1; /* zero, since ever */
	return l;
}

void legal_free(struct legal *l)
{
	if (l != NULL)
		pthread_mutex_destroy(&l->lock);
	free(l);
}

static struct unit *unit_of(struct legal *l, unsigned file, uint32_t unit)
{
	return &l->unit[(size_t)file * l->units + unit];
}

/* Is @c out of sight for who begins to read at @begin? */
static bool is_covered(
		const struct unit *u, const struct change *c, uint64_t begin)
{
	for (uint32_t i = 0; i < u->n; i++)
		if (!u->c[i].is_weak && u->c[i].begin > c->end &&
				u->c[i].end < begin)
			return true;
	return false;
}

static void unit_prune(struct unit *u, uint64_t oldest)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < u->n; i++) {
		struct change c = u->c[i];

		/* What covers it is never pruned for it: it ended later. */
		if (!is_covered(u, &c, oldest))
			u->c[n++] = c;
	}
	u->n = n;
}

static void unit_melt(struct unit *u)
{
	struct change any = { .begin = NEVER, .tag = ANY };
	uint32_t n = 0;

	for (uint32_t i = 0; i < u->n; i++) {
		struct change c = u->c[i];

		if (c.end == NEVER) {
			u->c[n++] = c;
			continue;
		}
		any.begin = c.begin < any.begin ? c.begin : any.begin;
		any.end = c.end > any.end ? c.end : any.end;
	}
	if (n == CHANGES) { /* all under way: this one stays */
		n--;
		any.end = NEVER;
		any.begin = u->c[n].begin;
	}
	u->c[n++] = any;
	u->n = n;
}

static uint64_t oldest_read(const struct legal *l)
{
	uint64_t oldest = l->clock + 1;

	for (unsigned i = 0; i < LEGAL_READERS; i++)
		if (l->reader[i].n > 0 && l->reader[i].oldest < oldest)
			oldest = l->reader[i].oldest;
	return oldest;
}

struct legal_change legal_begin(struct legal *l, unsigned file, uint32_t unit,
		uint32_t n, uint32_t tag)
{
	struct legal_change c = { file, unit, n, tag, 0 };

	pthread_mutex_lock(&l->lock);
	c.begin = ++l->clock;
	for (uint32_t i = unit; i < unit + n; i++) {
		struct unit *u = unit_of(l, file, i);

		if (u->n == CHANGES)
			unit_prune(u, oldest_read(l));
		if (u->n == CHANGES)
			unit_melt(u);
		u->c[u->n++] = (struct change){ c.begin, NEVER, tag, false };
	}
	pthread_mutex_unlock(&l->lock);
	return c;
}

void legal_end(struct legal *l, const struct legal_change *c, bool happened)
{
	uint64_t oldest;
	uint64_t now;

	pthread_mutex_lock(&l->lock);
	now = ++l->clock;
	oldest = oldest_read(l);
	for (uint32_t i = c->unit; i < c->unit + c->n; i++) {
		struct unit *u = unit_of(l, c->file, i);

		for (uint32_t k = 0; k < u->n; k++) {
			if (u->c[k].begin != c->begin || u->c[k].tag != c->tag)
				continue;
			u->c[k].end = now;
			u->c[k].is_weak = !happened;
		}
		unit_prune(u, oldest);
	}
	pthread_mutex_unlock(&l->lock);
}

uint64_t legal_read_begin(struct legal *l, unsigned me)
{
	uint64_t now;

	pthread_mutex_lock(&l->lock);
	now = ++l->clock;
	if (l->reader[me].n++ == 0)
		l->reader[me].oldest = now;
	pthread_mutex_unlock(&l->lock);
	return now;
}

void legal_read_end(struct legal *l, unsigned me)
{
	pthread_mutex_lock(&l->lock);
	l->reader[me].n--;
	pthread_mutex_unlock(&l->lock);
}

/* ---- words ---- */

uint64_t legal_word(unsigned file, uint32_t unit, uint32_t tag)
{
	return tag == 0 ? 0
			: (uint64_t)tag << 32 | (uint64_t)(file + 1) << 24 |
					unit;
}

void legal_fill(void *buf, unsigned file, uint32_t unit, uint32_t n,
		uint32_t tag)
{
	uint64_t *w = buf;

	for (uint32_t i = 0; i < n; i++)
		for (uint32_t k = 0; k < LEGAL_UNIT / sizeof(*w); k++)
			*w++ = legal_word(file, unit + i, tag);
}

bool legal_is_ours(unsigned file, uint64_t pos, const void *buf, size_t len,
		bool anywhere)
{
	const uint64_t *w = buf;

	for (size_t i = 0; i < len / sizeof(*w); i++) {
		uint32_t unit = (uint32_t)((pos + i * sizeof(*w)) / LEGAL_UNIT);
		uint64_t keep = anywhere ? 0xff000000 : 0xffffffff;

		if (w[i] == 0 ||
				(w[i] & keep) ==
						(legal_word(file, unit, 1) &
								keep))
			continue;
		fprintf(stderr, "# file %u, byte %llu: %#llx is not ours\n",
				file, (unsigned long long)(pos + i * 8),
				(unsigned long long)w[i]);
		return false;
	}
	return true;
}

static bool change_wrote(const struct change *c, unsigned file, uint32_t unit,
		uint64_t word)
{
	if (c->tag != ANY)
		return word == legal_word(file, unit, c->tag);
	return word == 0 ||
			(uint32_t)word == (uint32_t)legal_word(file, unit, 1);
}

static bool word_is_legal(const struct unit *u, unsigned file, uint32_t unit,
		uint64_t word, uint64_t begin)
{
	for (uint32_t i = 0; i < u->n; i++)
		if (change_wrote(&u->c[i], file, unit, word) &&
				!is_covered(u, &u->c[i], begin))
			return true;
	return false;
}

static void say_unit(const struct unit *u)
{
	for (uint32_t i = 0; i < u->n; i++)
		fprintf(stderr, "#   tag %u%s, from %llu to %llu\n",
				u->c[i].tag, u->c[i].is_weak ? " (weak)" : "",
				(unsigned long long)u->c[i].begin,
				(unsigned long long)u->c[i].end);
}

bool legal_check(struct legal *l, unsigned file, uint64_t pos, const void *buf,
		size_t len, uint64_t begin)
{
	const uint64_t *w = buf;
	bool ok = true;

	pthread_mutex_lock(&l->lock);
	for (size_t i = 0; ok && i < len / sizeof(*w); i++) {
		uint32_t unit = (uint32_t)((pos + i * sizeof(*w)) / LEGAL_UNIT);
		struct unit *u = unit_of(l, file, unit);

		if (i > 0 && w[i] == w[i - 1] && i % 32 != 0)
			continue;
		ok = word_is_legal(u, file, unit, w[i], begin);
		if (ok)
			continue;
		fprintf(stderr,
				"# file %u, byte %llu: %#llx is not legal for "
				"a read from %llu to %llu\n",
				file, (unsigned long long)(pos + i * 8),
				(unsigned long long)w[i],
				(unsigned long long)begin,
				(unsigned long long)l->clock);
		say_unit(u);
	}
	pthread_mutex_unlock(&l->lock);
	return ok;
}
