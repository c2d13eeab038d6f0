/* SPDX-License-Identifier: MIT */
/* Copies that a signal ends. See stops.h. */
#include "fuse/stops.h"

#include <string.h>

void stops_init(struct stops *s)
{
	memset(s, 0, sizeof(*s));
	pthread_mutex_init(&s->m, NULL);
}

void stops_fini(struct stops *s)
{
	pthread_mutex_destroy(&s->m);
}

static bool came_early_locked(struct stops *s, uint64_t unique)
{
	unsigned i;

	for (i = 0; i < STOPS_EARLY; i++) {
		if (s->early[i] == unique) {
			s->early[i] = 0;
			return true;
		}
	}
	return false;
}

/* -1 if it is not there. */
static int find_locked(const struct stops *s, uint64_t unique)
{
	int i;

	for (i = 0; i < STOPS_MAX; i++) {
		if (s->copy[i].unique == unique)
			return i;
	}
	return -1;
}

int stops_begin(struct stops *s, uint64_t unique)
{
	int i;

	pthread_mutex_lock(&s->m);
	i = find_locked(s, 0);
	if (i >= 0) {
		s->copy[i].unique = unique;
		s->copy[i].asked = came_early_locked(s, unique);
	}
	pthread_mutex_unlock(&s->m);
	return i;
}

bool stops_asked(struct stops *s, int place)
{
	bool asked;

	if (place < 0)
		return false;
	pthread_mutex_lock(&s->m);
	asked = s->copy[place].asked;
	pthread_mutex_unlock(&s->m);
	return asked;
}

void stops_end(struct stops *s, int place)
{
	if (place < 0)
		return;
	pthread_mutex_lock(&s->m);
	s->copy[place].unique = 0;
	pthread_mutex_unlock(&s->m);
}

void stops_ask(struct stops *s, uint64_t unique)
{
	int i;

	pthread_mutex_lock(&s->m);
	i = find_locked(s, unique);
	if (i >= 0) {
		s->copy[i].asked = true;
	} else {
		s->early[s->next_early] = unique;
		s->next_early = (s->next_early + 1) % STOPS_EARLY;
	}
	pthread_mutex_unlock(&s->m);
}
