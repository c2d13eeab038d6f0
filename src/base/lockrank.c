/* SPDX-License-Identifier: MIT */
/*
 * The list of locks that a thread holds, and the check of their order.
 *
 * The list is the one piece of per-thread state in the tree, and there only
 * in debug builds: it belongs to the thread, not to any object.
 *
 * A lock that was tried may stand in the list below its rank's place, so the
 * check compares with the highest rank held, not with the last one pushed.
 */
#include "base/lockrank.h"

#ifndef NDEBUG

# include <stdio.h>
# include <stdlib.h>
# include <string.h>

# define LOCKRANK_DEPTH 64u

struct lockrank_held {
	const void *lock;
	const char *name;
	int rank;
};

struct lockrank_list {
	unsigned n;
	struct lockrank_held held[LOCKRANK_DEPTH];
};

static _Thread_local struct lockrank_list lockrank_mine;

/* Address and name together: a struct may begin with a lock and be pushed as
 * a pseudo lock itself. */
static bool lockrank_is(const struct lockrank_held *h, const void *lock,
		const char *name)
{
	return h->lock == lock && strcmp(h->name, name) == 0;
}

static void lockrank_die(const char *what, const char *name, int rank)
{
	const struct lockrank_list *l = &lockrank_mine;

	(void)fprintf(stderr, "lock order: %s \"%s\" (rank %d), holding:\n",
			what, name, rank);
	for (unsigned i = l->n; i-- > 0;)
		(void)fprintf(stderr, "  \"%s\" (rank %d)\n", l->held[i].name,
				l->held[i].rank);
	abort();
}

void lockrank_check(
		const void *lock, const char *name, int rank, unsigned flags)
{
	const struct lockrank_list *l = &lockrank_mine;

	for (unsigned i = 0; i < l->n; i++) {
		const struct lockrank_held *h = &l->held[i];

		if (lockrank_is(h, lock, name))
			lockrank_die("taken twice", name, rank);
		if (rank == LOCK_RANK_NONE || h->rank == LOCK_RANK_NONE)
			continue;
		if (h->rank > rank)
			lockrank_die("inversion", name, rank);
		if (h->rank == rank && !(flags & LOCK_NEST))
			lockrank_die("second of its rank", name, rank);
	}
}

void lockrank_push(const void *lock, const char *name, int rank, unsigned flags)
{
	struct lockrank_list *l = &lockrank_mine;

	if (!(flags & LOCK_TRY))
		lockrank_check(lock, name, rank, flags);
	if (l->n == LOCKRANK_DEPTH)
		lockrank_die("too many held", name, rank);
	l->held[l->n].lock = lock;
	l->held[l->n].name = name;
	l->held[l->n].rank = rank;
	l->n++;
}

void lockrank_pop(const void *lock, const char *name)
{
	struct lockrank_list *l = &lockrank_mine;

	for (unsigned i = l->n; i-- > 0;) {
		if (!lockrank_is(&l->held[i], lock, name))
			continue;
		for (; i + 1 < l->n; i++)
			l->held[i] = l->held[i + 1];
		l->n--;
		return;
	}
	lockrank_die("not held by this thread", name, 0);
}

bool lockrank_is_held(const void *lock)
{
	const struct lockrank_list *l = &lockrank_mine;

	for (unsigned i = 0; i < l->n; i++) {
		if (l->held[i].lock == lock)
			return true;
	}
	return false;
}

bool lockrank_holds_rank(int rank)
{
	const struct lockrank_list *l = &lockrank_mine;

	for (unsigned i = 0; i < l->n; i++) {
		if (l->held[i].rank == rank)
			return true;
	}
	return false;
}

unsigned lockrank_count(void)
{
	return lockrank_mine.n;
}

#else

/* ISO C wants something in every file. */
typedef int lockrank_is_off;

#endif
