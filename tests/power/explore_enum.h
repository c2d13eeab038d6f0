/* SPDX-License-Identifier: MIT */
/*
 * Private to the explorer: which choices are tried at a cut, and their names.
 */
#ifndef UEXT4_TESTS_POWER_EXPLORE_ENUM_H
#define UEXT4_TESTS_POWER_EXPLORE_ENUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "power/explore.h"
#include "power/explore_model.h"

/* A name before it is spelt: most states are seen before and need none. */
struct xname {
	char mode;    /* P S T O G */
	char form;    /* see explore.h */
	char pattern; /* T: form of the pattern */
	uint64_t a;
	uint64_t b; /* UINT64_MAX: none */
};

struct seen;

struct explorer {
	struct explore_opts opts; /* with defaults filled in */
	struct explore_report *report;
	explore_judge judge;
	void *ctx;
	struct xmodel *m;
	const struct emu_ent **marks;
	uint64_t nmarks;
	const struct emu_ent **begins; /* the OP_BEGIN marks */
	uint64_t nbegins;
	uint64_t nbegun; /* of them before the last t_begun asked for */
	struct seen *seen;
	uint64_t seen_cap;
	uint64_t nseen;
	size_t only_len; /* of the first part of opts.only; 0: run all */
	const char *rest;
	uint64_t start;
	uint64_t clock_skip;
	bool is_over;
	/* explore_enum.c */
	uint8_t *pick;
	uint64_t *bits;
	struct xplace *places; /* overlapped */
	uint64_t nplaces;
	uint64_t places_cap;
};

int explorer_enum_init(struct explorer *x);
void explorer_enum_fini(struct explorer *x);

/* Try every choice of @mode at the present cut. 0 or -errno. */
int explorer_enum(struct explorer *x, enum explore_mode mode);

void explorer_name(const struct explorer *x, const struct xname *name,
		char *buf, size_t size);

/* A state: count it, and judge it if it is new. 0 or -errno. */
int explorer_emit(struct explorer *x, enum explore_mode mode,
		const struct xchoice *choice, const struct xname *name);

#endif /* UEXT4_TESTS_POWER_EXPLORE_ENUM_H */
