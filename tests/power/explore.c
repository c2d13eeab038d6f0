/* SPDX-License-Identifier: MIT */
/*
 * From a model of the device to judged states.
 *
 * One pass over the log for each mode, cheap modes first, so that a budget
 * cuts the sampled depth and not the breadth. explore_enum.c fills in choices;
 * explorer_emit() names, counts and, when the state is new, judges them.
 */
#include "power/explore.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/lock.h"
#include "power/explore_enum.h"

struct explore_state {
	const struct explorer *x;
	const struct emu_img *img;
	const char *name;
	const char *rest;
	uint64_t key;
	uint64_t t;
	uint64_t t_begun;
};

/* ---- the set of states seen (X2) ---- */

struct seen {
	uint64_t key; /* 0: free */
	uint64_t t_begun;
};

static int seen_grow(struct explorer *x)
{
	uint64_t cap = x->seen_cap ? 2 * x->seen_cap : 4096;
	struct seen *old = x->seen;
	struct seen *table = calloc(cap, sizeof(*table));
	uint64_t i;
	uint64_t k;

	if (!table)
		return -ENOMEM;
	for (i = 0; i < x->seen_cap; i++) {
		if (old[i].key == 0)
			continue;
		for (k = old[i].key & (cap - 1); table[k].key != 0;)
			k = (k + 1) & (cap - 1);
		table[k] = old[i];
	}
	free(old);
	x->seen = table;
	x->seen_cap = cap;
	return 0;
}

/* 1: new; 2: seen, but less had begun now; 0: seen; -ENOMEM. */
static int seen_add(struct explorer *x, uint64_t key, uint64_t t_begun)
{
	uint64_t k;
	int ret;

	if (key == 0)
		key = 1;
	if (2 * x->nseen >= x->seen_cap) {
		ret = seen_grow(x);
		if (ret < 0)
			return ret;
	}
	for (k = key & (x->seen_cap - 1); x->seen[k].key != 0;
			k = (k + 1) & (x->seen_cap - 1)) {
		if (x->seen[k].key != key)
			continue;
		if (x->seen[k].t_begun <= t_begun)
			return 0;
		x->seen[k].t_begun = t_begun;
		return 2;
	}
	x->seen[k] = (struct seen){ key, t_begun };
	x->nseen++;
	return 1;
}

/* ---- one state ---- */

/* How many operations had begun before @t_begun: what X2 compares. */
static uint64_t begun_mark(struct explorer *x, uint64_t t_begun)
{
	while (x->nbegun < x->nbegins &&
			x->begins[x->nbegun]->t_submit < t_begun)
		x->nbegun++;
	while (x->nbegun > 0 && x->begins[x->nbegun - 1]->t_submit >= t_begun)
		x->nbegun--;
	return x->nbegun;
}

static int judge_state(struct explorer *x, const struct xchoice *choice,
		uint64_t key, const char *detail)
{
	struct explore_report *rep = x->report;
	char name[EXPLORE_NAME_MAX];
	struct explore_state st = {
		.x = x,
		.name = name,
		.rest = x->rest,
		.key = key,
		.t = x->m->t,
		.t_begun = x->m->t_begun,
	};
	struct emu_img *img;
	uint64_t start;
	int ret;

	snprintf(name, sizeof(name), "%s%s%s", x->opts.prefix,
			*x->opts.prefix ? "/" : "", detail);
	ret = xm_build(x->m, choice, &img);
	if (ret < 0)
		return ret;
	st.img = img;
	start = time_now_ns();
	ret = x->judge(x->ctx, &st);
	rep->judge_seconds += (double)(time_now_ns() - start) / 1e9;
	emu_img_free(img);
	rep->judged++;
	if (ret != 0) {
		if (rep->failed < EXPLORE_FAILURES_MAX)
			memcpy(rep->failures[rep->failed], name, sizeof(name));
		rep->failed++;
		x->is_over = rep->failed >= x->opts.max_failed;
	}
	return 0;
}

/* Is the budget used up before another state is judged? (X4) */
static bool is_spent(struct explorer *x)
{
	struct explore_report *rep = x->report;

	bool is_full = x->opts.max_states && rep->judged >= x->opts.max_states;
	/* The clock is read only now and then. */
	bool is_late = x->opts.max_seconds > 0 && ++x->clock_skip % 16 == 0 &&
			(double)(time_now_ns() - x->start) / 1e9 >
					x->opts.max_seconds;

	rep->is_truncated |= is_full || is_late;
	x->is_over |= rep->is_truncated;
	return rep->is_truncated;
}

int explorer_emit(struct explorer *x, enum explore_mode mode,
		const struct xchoice *choice, const struct xname *name)
{
	char detail[EXPLORE_NAME_MAX / 2];
	uint64_t state_key;
	uint64_t key;
	int ret;

	if (x->is_over)
		return 0;
	if (x->only_len > 0) {
		explorer_name(x, name, detail, sizeof(detail));
		if (strlen(detail) != x->only_len ||
				strncmp(detail, x->opts.only, x->only_len) != 0)
			return 0;
		x->is_over = true;
		x->report->generated[mode]++;
		x->report->distinct[mode]++;
		return judge_state(x, choice, xm_key(x->m, choice), detail);
	}
	if (is_spent(x))
		return 0;
	x->report->generated[mode]++;
	key = xm_key(x->m, choice);
	state_key = hmap_mix(key ^ hmap_mix(x->m->acks + 1));
	ret = seen_add(x, state_key, begun_mark(x, x->m->t_begun));
	if (ret <= 0)
		return ret;
	if (ret == 1)
		x->report->distinct[mode]++;
	if (x->opts.sample > 1 &&
			hmap_mix(state_key ^ x->opts.seed) % x->opts.sample !=
					x->opts.sample_at)
		return 0;
	explorer_name(x, name, detail, sizeof(detail));
	return judge_state(x, choice, key, detail);
}

/* ---- the run ---- */

static void set_defaults(struct explorer *x, const struct explore_opts *opts)
{
	struct explore_opts *o = &x->opts;

	if (opts)
		*o = *opts;
	if (!o->modes)
		o->modes = EXPLORE_M(EXPLORE_MODE_NR) - 1;
	if (!o->subset_bits)
		o->subset_bits = 12;
	if (!o->pair_max)
		o->pair_max = 128;
	if (!o->random)
		o->random = 64;
	if (!o->max_failed)
		o->max_failed = 1;
	if (!o->only)
		o->only = "";
	if (!o->prefix)
		o->prefix = "";
	x->only_len = strcspn(o->only, "/");
	x->rest = o->only[x->only_len] == '/' ? o->only + x->only_len + 1
					      : NULL;
	x->report->seed = o->seed;
}

/* With opts.only: can the name belong to this mode, and to this cut? */
static bool is_wanted(const struct explorer *x, enum explore_mode mode)
{
	return x->only_len == 0 || x->opts.only[0] == "PSTOG"[mode];
}

static bool is_wanted_cut(const struct explorer *x)
{
	return x->only_len < 3 ||
			strtoull(x->opts.only + 2, NULL, 10) == x->m->t;
}

static int run_pass(struct explorer *x, enum explore_mode mode, bool is_first)
{
	int ret;

	ret = xm_rewind(x->m);
	while (ret >= 0 && !x->is_over) {
		ret = xm_next_cut(x->m);
		if (ret <= 0)
			break;
		if (is_first) {
			x->report->cuts++;
			x->report->max_volatile = max_u64(
					x->report->max_volatile, x->m->nv);
			x->report->sampled_cuts +=
					x->m->nv > x->opts.subset_bits;
		}
		if (is_wanted_cut(x))
			ret = explorer_enum(x, mode);
	}
	return ret < 0 ? ret : 0;
}

static int collect_marks(struct explorer *x, const struct emu_log *log)
{
	uint64_t i;

	x->marks = calloc(log->n + 1, sizeof(const struct emu_ent *));
	x->begins = calloc(log->n + 1, sizeof(const struct emu_ent *));
	if (!x->marks || !x->begins)
		return -ENOMEM;
	for (i = 0; i < log->n; i++) {
		const struct emu_ent *ent = log->ents[i];

		if (ent->kind != EMU_MARK)
			continue;
		x->marks[x->nmarks++] = ent;
		if (ent->mark == EMU_MARK_OP_BEGIN)
			x->begins[x->nbegins++] = ent;
	}
	return 0;
}

int explore_run(const struct emu_img *base, const struct emu_log *log,
		const struct explore_opts *opts, explore_judge judge, void *ctx,
		struct explore_report *ret_report)
{
	struct explorer x = {
		.report = ret_report,
		.judge = judge,
		.ctx = ctx,
		.start = time_now_ns(),
	};
	bool is_first = true;
	int ret;
	int mode;

	memset(ret_report, 0, sizeof(*ret_report));
	set_defaults(&x, opts);
	ret = collect_marks(&x, log);
	if (ret == 0)
		ret = xm_new(base, log, x.opts.flags & EXPLORE_F_NOBARRIER,
				&x.m);
	if (ret == 0)
		ret = explorer_enum_init(&x);
	for (mode = 0; mode < EXPLORE_MODE_NR && ret == 0 && !x.is_over;
			mode++) {
		if (!(x.opts.modes & EXPLORE_M(mode)) ||
				!is_wanted(&x, (enum explore_mode)mode))
			continue;
		ret = run_pass(&x, (enum explore_mode)mode, is_first);
		is_first = false;
	}
	if (ret == 0 && x.only_len > 0 && ret_report->judged == 0)
		ret = -ENOENT;
	explorer_enum_fini(&x);
	xm_free(x.m);
	free(x.marks);
	free(x.begins);
	free(x.seen);
	ret_report->seconds = (double)(time_now_ns() - x.start) / 1e9;
	return ret;
}

/* ---- reports ---- */

void explore_report_add(
		struct explore_report *sum, const struct explore_report *one)
{
	uint64_t i;

	for (i = 0; i < EXPLORE_MODE_NR; i++) {
		sum->generated[i] += one->generated[i];
		sum->distinct[i] += one->distinct[i];
	}
	for (i = 0; i < one->failed && i < EXPLORE_FAILURES_MAX; i++)
		if (sum->failed + i < EXPLORE_FAILURES_MAX)
			memcpy(sum->failures[sum->failed + i], one->failures[i],
					EXPLORE_NAME_MAX);
	sum->judged += one->judged;
	sum->failed += one->failed;
	sum->cuts += one->cuts;
	sum->sampled_cuts += one->sampled_cuts;
	sum->max_volatile = max_u64(sum->max_volatile, one->max_volatile);
	sum->seed = one->seed;
	sum->seconds += one->seconds;
	sum->judge_seconds += one->judge_seconds;
	sum->is_truncated |= one->is_truncated;
}

uint64_t explore_report_distinct(const struct explore_report *report)
{
	uint64_t sum = 0;
	int i;

	for (i = 0; i < EXPLORE_MODE_NR; i++)
		sum += report->distinct[i];
	return sum;
}

void explore_print(
		FILE *to, const char *what, const struct explore_report *report)
{
	uint64_t i;

	fprintf(to, "%s: %llu cuts (%llu sampled, V <= %llu), states", what,
			(unsigned long long)report->cuts,
			(unsigned long long)report->sampled_cuts,
			(unsigned long long)report->max_volatile);
	for (i = 0; i < EXPLORE_MODE_NR; i++)
		fprintf(to, " %c %llu/%llu", "PSTOG"[i],
				(unsigned long long)report -> distinct[i],
				(unsigned long long)report -> generated[i]);
	fprintf(to,
			", judged %llu, failed %llu, %.2f s (judge %.2f), seed "
			"%llu%s\n",
			(unsigned long long)report->judged,
			(unsigned long long)report->failed, report->seconds,
			report->judge_seconds, (unsigned long long)report->seed,
			report->is_truncated ? ", CUT SHORT by its budget"
					     : "");
	for (i = 0; i < report->failed && i < EXPLORE_FAILURES_MAX; i++)
		fprintf(to, "\tfailed: %s:%s\n", what, report->failures[i]);
}

/* ---- inside judge() ---- */

const char *explore_state_name(const struct explore_state *st)
{
	return st->name;
}

const char *explore_state_rest(const struct explore_state *st)
{
	return st->rest;
}

uint64_t explore_state_key(const struct explore_state *st)
{
	return st->key;
}

uint64_t explore_state_cut(const struct explore_state *st)
{
	return st->t;
}

const struct emu_img *explore_state_image(const struct explore_state *st)
{
	return st->img;
}

int explore_state_open(const struct explore_state *st,
		const struct bdev_emu_opts *opts, struct bdev **ret_dev)
{
	struct bdev_emu_opts same = { .sector = st->x->m->sector };

	return bdev_emu_open(st->img, opts ? opts : &same, ret_dev);
}

int explore_state_save(const struct explore_state *st, const char *path)
{
	return emu_img_save(st->img, path);
}

const struct emu_ent *explore_state_next_mark(
		const struct explore_state *st, bool is_begun, uint64_t *pos)
{
	const struct explorer *x = st->x;
	uint64_t limit = is_begun ? st->t_begun : st->t + 1;

	if (*pos >= x->nmarks || x->marks[*pos]->t_submit >= limit)
		return NULL;
	return x->marks[(*pos)++];
}

static bool has_mark(const struct explore_state *st, bool is_begun,
		enum emu_mark mark, uint64_t id)
{
	const struct emu_ent *ent;
	uint64_t pos = 0;

	while ((ent = explore_state_next_mark(st, is_begun, &pos)) != NULL)
		if (ent->mark == mark && ent->mark_id == id)
			return true;
	return false;
}

bool explore_state_is_acked(const struct explore_state *st, uint64_t id)
{
	return has_mark(st, false, EMU_MARK_ACK_DURABLE, id);
}

bool explore_state_is_begun(const struct explore_state *st, uint64_t id)
{
	return has_mark(st, true, EMU_MARK_OP_BEGIN, id);
}
