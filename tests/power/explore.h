/* SPDX-License-Identifier: MIT */
/*
 * The crash explorer: every image that a power cut could have left.
 *
 *	ret = bdev_emu_record(dev);
 *	... workload on dev, with bdev_emu_mark() around its operations ...
 *	ret = bdev_emu_take_log(dev, &base, &log);
 *	ret = explore_run(base, log, &opts, judge, ctx, &report);
 *	explore_print(stdout, "create", &report);
 *	assert(ret == 0 && report.failed == 0);
 *
 * judge() gets one state: forks it as a device (explore_state_open()), lets
 * recovery run on it, looks, and answers 0 or not. What it may demand:
 * operations acknowledged durable before the cut must be there
 * (explore_state_is_acked()), operations not begun must not
 * (explore_state_is_begun()).
 *
 * A state has a name, "mode:cut:detail", cut being a tick of the log's clock:
 *	P:t:s  P:t:c     everything submitted by t; everything completed by t
 *	S:t:m<hex>       the subset <hex> of the volatile writes V(t)
 *	S:t:k<i>,<j>     only i and j of V(t)      S:t:d<i>,<j>  all but i and j
 *	S:t:r<hex>       a random subset, <hex> being its seed
 *	T:t:<i>:<pattern>:f|n  write i torn, the rest of V(t) whole or not at all;
 *	      p<k> s<k> first, last k sectors; e o even, odd ones; x<hex> a set;
 *	      r<hex> random
 *	O:t:c<n>         combination n of versions of all overlapped places
 *	O:t:i<g>.<v>     only place g holds version v (0: the durable one)
 *	G:t:all          everything, discarded sectors hold garbage
 * opts.only runs just that one. A judge that explores the recovery it ran
 * passes explore_state_name() as opts.prefix and explore_state_rest() as
 * opts.only: names join as "S:5:m3/P:9:s" and replay the same way.
 *
 * Rules    (X1) Which states are legal is bdev_emu.h rule E1 for each sector.
 *          (X2) A state is judged once for each set of acknowledgements that
 *               it must satisfy, and again only if it turns up at a cut where
 *               fewer operations had begun.
 *          (X3) Same base, log, options and seed: same states, same order.
 *          (X4) What a budget left out is in the report: it is never silent.
 */
#ifndef UEXT4_TESTS_POWER_EXPLORE_H
#define UEXT4_TESTS_POWER_EXPLORE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "bdev/bdev_emu.h"

struct explore_state;

enum explore_mode {
	EXPLORE_PREFIX,
	EXPLORE_SUBSET,
	EXPLORE_TORN,
	EXPLORE_OVERLAP,
	EXPLORE_GARBAGE,
	EXPLORE_MODE_NR,
};

#define EXPLORE_M(mode) (1u << (mode))

#define EXPLORE_F_NOBARRIER 0x1u /* the device ignores FLUSH and FUA */
#define EXPLORE_F_TORN_ALL  0x2u /* tear every volatile write at every cut */

struct explore_opts {
	uint32_t modes;       /* EXPLORE_M() mask; 0: all */
	uint32_t flags;       /* EXPLORE_F_* */
	uint64_t seed;        /* of everything random; printed in the report */
	uint32_t subset_bits; /* all subsets up to so many writes; 0: 12 */
	uint32_t pair_max;    /* all pairs up to so many writes; 0: 128 */
	uint32_t random;      /* random subsets a cut; 0: 64 */
	uint64_t max_states;  /* judged; 0: no limit */
	double max_seconds;   /* 0: no limit */
	uint32_t sample;     /* judge 1 of so many distinct states; 0, 1: all */
	uint32_t sample_at;  /* ... those with number sample_at of sample */
	uint32_t max_failed; /* stop after so many; 0: 1 */
	const char *only;    /* one state by name; NULL, "": all */
	const char *prefix;  /* name of the state this run starts in */
};

#define EXPLORE_NAME_MAX     256
#define EXPLORE_FAILURES_MAX 16

struct explore_report {
	uint64_t generated[EXPLORE_MODE_NR]; /* states built as choices */
	uint64_t distinct[EXPLORE_MODE_NR];  /* ... not seen before */
	uint64_t judged;                     /* ... and handed to judge() */
	uint64_t failed;
	uint64_t cuts;         /* points in time at which power was cut */
	uint64_t sampled_cuts; /* ... with more writes than subset_bits */
	uint64_t max_volatile; /* the most writes volatile at one cut */
	uint64_t seed;
	double seconds;
	double judge_seconds; /* of them */
	bool is_truncated;    /* a budget ended the run (X4) */
	char failures[EXPLORE_FAILURES_MAX][EXPLORE_NAME_MAX];
};

/* 0: the state is fine. Anything else is a failure. */
typedef int (*explore_judge)(void *ctx, const struct explore_state *st);

/*
 * Judge every state of @log begun on @base. Returns 0 when the run came to its
 * end, failures or not; -ENOENT: opts.only names no state of this log;
 * -ENOMEM. @ret_report is filled in any case.
 */
UEXT4_MUST_CHECK int explore_run(const struct emu_img *base,
		const struct emu_log *log, const struct explore_opts *opts,
		explore_judge judge, void *ctx,
		struct explore_report *ret_report);

/* Sums for a line over many runs. The seed is the last one's. */
void explore_report_add(
		struct explore_report *sum, const struct explore_report *one);
uint64_t explore_report_distinct(const struct explore_report *report);
/* One line, and one for each failure. */
void explore_print(FILE *to, const char *what,
		const struct explore_report *report);

/* ---- inside judge() ---- */

/* The full name, prefix included. */
const char *explore_state_name(const struct explore_state *st);
/* The part of opts.only that is meant for a nested run, or NULL. */
const char *explore_state_rest(const struct explore_state *st);
/* Equal keys: equal images (64-bit hash of what differs from base). */
uint64_t explore_state_key(const struct explore_state *st);
/* The cut as a tick of the log's clock. */
uint64_t explore_state_cut(const struct explore_state *st);
/* The image; fork it to change it. Valid during the call. */
const struct emu_img *explore_state_image(const struct explore_state *st);
/* A fork of it as a device. */
UEXT4_MUST_CHECK int explore_state_open(const struct explore_state *st,
		const struct bdev_emu_opts *opts, struct bdev **ret_dev);
/* A copy of it as a file. */
UEXT4_MUST_CHECK int explore_state_save(
		const struct explore_state *st, const char *path);
/* Was ACK_DURABLE(@id) recorded before the cut? */
bool explore_state_is_acked(const struct explore_state *st, uint64_t id);
/* Was OP_BEGIN(@id) recorded before the last request that this cut knows? */
bool explore_state_is_begun(const struct explore_state *st, uint64_t id);
/*
 * The marks before the cut, oldest first: start with *pos 0. @is_begun false:
 * all that a program had seen (what must hold); true: only those that came
 * before the last request (what may hold). NULL at the end.
 */
const struct emu_ent *explore_state_next_mark(
		const struct explore_state *st, bool is_begun, uint64_t *pos);

#endif /* UEXT4_TESTS_POWER_EXPLORE_H */
