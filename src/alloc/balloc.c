/* SPDX-License-Identifier: MIT */
/*
 * Blocks: paying for space, finding a run, marking it, freeing it.
 *
 * Every allocation is a reservation first: space is paid for (a->avail), a
 * run is found and becomes busy in the group's index. alloc_rsv_commit() makes
 * it an allocation on disk. alloc_blocks() is both in one.
 *
 * Search   The goal itself if the run there serves; the goal's group from the
 *          goal on, then from its start; then group by group upwards, passing
 *          by those that cannot serve without looking inside. If no group has
 *          a run of the wanted length, the same again for a quarter of it, and
 *          so on down to one block. A request without a real goal (the start
 *          of a group) goes on where the group's last one ended, so the
 *          blocks of small files made one after another stand in a row.
 *
 * Freed    blocks stay busy in the index until the transaction is durable
 *          (struct pending, one chain a transaction), then they are given
 *          back. After an abort they stay busy for good.
 *
 * Rules    (R1) A run handed out lies in one group.
 *          (R2) avail is lowered before a bit is taken, and raised after it
 *               is free again: who has paid finds a free bit, though perhaps
 *               not on the first round, while others give and take.
 *          (R3) A chain of pending runs is looked up and extended under
 *               pending_lock: the commit may take it away at any time after
 *               an abort.
 *
 * Locks    grp.h; pending_lock > journal's
 */
#include "alloc/grp.h"

#include <assert.h>
#include <sched.h>
#include <stdlib.h>

#include "base/log.h"
#include "cache/buf.h"
#include "disk/geo.h"
#include "journal/journal.h"
#include "journal/txn.h"

#define NO_GOAL      UINT32_MAX
#define GOAL_RUN     64u /* a run so long at the goal is always good */
#define SEARCH_LOADS 16u /* bitmaps to read in hope of a long run */
#define SEARCH_TRIES 64

/* ---- space ---- */

/* Pay for up to @n blocks, leaving @keep. How many were paid for. */
static uint32_t space_pay(struct alloc *a, uint32_t n, uint64_t keep)
{
	int64_t have = atomic_load(&a->avail), get;

	do {
		get = have - (int64_t)keep;
		if (get <= 0)
			return 0;
		get = min_of(get, (int64_t)n);
	} while (!atomic_compare_exchange_weak(&a->avail, &have, have - get));
	return (uint32_t)get;
}

static void space_return(struct alloc *a, uint64_t n)
{
	atomic_fetch_add(&a->avail, (int64_t)n);
}

/* Blocks of root's reserve that even the superuser's data leaves alone. */
#define SPACE_PROMISED 4096u

static uint64_t space_kept(const struct alloc *a, uint32_t flags)
{
	if ((flags & ALLOC_F_ROOT) != 0)
		return 0;
	if ((flags & ALLOC_F_SUPER) != 0)
		return min_u64(a->root_blocks,
				min_u64(a->geo->blocks / 50, SPACE_PROMISED));
	return a->root_blocks;
}

int alloc_claim(struct alloc *a, uint64_t n, uint32_t flags)
{
	int64_t keep = (int64_t)space_kept(a, flags);
	int64_t have = atomic_load(&a->avail);

	if (n > INT64_MAX / 2)
		return -ENOSPC;
	do {
		while (have - (int64_t)n < keep) {
			if (!prealloc_reclaim(a))
				return -ENOSPC;
			have = atomic_load(&a->avail);
		}
	} while (!atomic_compare_exchange_weak(
			&a->avail, &have, have - (int64_t)n));
	atomic_fetch_add(&a->claimed, (int64_t)n);
	return 0;
}

void alloc_claim_force(struct alloc *a, uint64_t n)
{
	atomic_fetch_sub(&a->avail, (int64_t)n);
	atomic_fetch_add(&a->claimed, (int64_t)n);
}

void alloc_unclaim(struct alloc *a, uint64_t n)
{
	atomic_fetch_sub(&a->claimed, (int64_t)n);
	space_return(a, n);
}

/* ---- search ---- */

struct search {
	struct alloc *a;
	grp_t ngroups;     /* those that may serve */
	grp_t goal_grp;    /* < ngroups */
	uint32_t goal_bit; /* or NO_GOAL: where the group left off */
	uint32_t want;     /* this long at least */
	uint32_t at_goal;  /* at the goal itself this is enough */
	uint32_t max;      /* not longer */
	uint32_t loads;    /* bitmaps that may still be read */
	int err;           /* -EIO if one could not be */
};

static void search_init(
		struct search *s, struct alloc *a, const struct alloc_req *req)
{
	const struct geo *geo = a->geo;
	pblk_t goal = req->goal;

	s->a = a;
	s->err = 0;
	s->ngroups = geo->groups;
	if ((req->flags & ALLOC_F_LOW32) != 0 && geo->blocks > UINT32_MAX)
		s->ngroups = (grp_t)((UINT32_MAX - geo->first_data_block) /
				geo->bpg);
	if (!geo_block_ok(geo, goal))
		goal = geo->first_data_block;
	s->goal_grp = geo_grp_of_block(geo, goal);
	s->goal_bit = geo_index_of_block(geo, goal);
	if (s->goal_bit == 0)
		s->goal_bit = NO_GOAL;
	if (s->goal_grp >= s->ngroups) {
		s->goal_grp = 0;
		s->goal_bit = NO_GOAL;
	}
}

/* Where in @grp, locked and loaded, is a run that will do? */
static bool search_index(const struct search *s, const struct grp *grp,
		uint32_t *ret_bit)
{
	uint32_t from = grp->stream;

	if (grp->no == s->goal_grp && s->goal_bit != NO_GOAL) {
		from = s->goal_bit;
		if (buddy_run_at(grp->buddy, from, s->want) >= s->at_goal) {
			*ret_bit = from;
			return true;
		}
	}
	return buddy_find(grp->buddy, from, s->want, ret_bit) ||
			buddy_find(grp->buddy, 0, s->want, ret_bit);
}

/* Take a run in group @no if it has one. 1 if so, 0 if not. */
static int search_group(struct search *s, grp_t no, struct alloc_run *ret_run)
{
	struct alloc *a = s->a;
	struct grp *grp;
	uint32_t bit, len;
	int ret;

	ret = grp_get(a, no, &grp);
	if (ret < 0 ||
			atomic_load_explicit(&grp->longest,
					memory_order_relaxed) < s->want)
		return ret;
	if (!atomic_load_explicit(&grp->loaded, memory_order_relaxed)) {
		if (s->loads == 0)
			return 0;
		s->loads--;
	}
	ret = grp_lock_blocks(a, grp);
	if (ret < 0)
		return ret;
	if (search_index(s, grp, &bit)) {
		len = buddy_run_at(grp->buddy, bit, s->max);
		grp_take_locked(a, grp, bit, len);
		grp->stream = bit + len;
		*ret_run = (struct alloc_run){
			geo_grp_first_block(a->geo, no) + bit, len
		};
		ret = 1;
	}
	grp_unlock(grp);
	return ret;
}

/* One round over all groups from the goal on for s->want. 1 if found. */
static int search_round(struct search *s, struct alloc_run *ret_run)
{
	uint32_t per = s->a->geo->desc_per_block;
	grp_t no = s->goal_grp;
	int ret;

	for (uint64_t seen = 0; seen <= s->ngroups;) {
		struct gdt_sum *sum = &s->a->sum[no / per];
		grp_t next = no + 1;

		if (atomic_load_explicit(&sum->avail, memory_order_relaxed) <
				s->want) {
			next = min_of((no / per + 1) * per, s->ngroups);
		} else {
			/* A group that cannot be read is only passed by. */
			ret = search_group(s, no, ret_run);
			if (ret == 1 || ret == -ENOMEM)
				return ret;
			if (ret == -EIO)
				s->err = ret;
		}
		seen += next - no;
		no = next < s->ngroups ? next : 0;
	}
	return 0;
}

/* Find a run of up to @len blocks, and up to @window more behind it. */
static int search_run(struct alloc *a, const struct alloc_req *req,
		uint32_t len, uint32_t window, struct alloc_run *ret_run)
{
	bool exact = (req->flags & ALLOC_F_EXACT) != 0;
	struct search s;
	int ret;

	search_init(&s, a, req);
	s.want = len;
	s.max = len + window;
	for (;;) {
		s.at_goal = exact ? s.want : min_of(s.want, GOAL_RUN);
		s.loads = exact || s.want == 1 ? UINT32_MAX : SEARCH_LOADS;
		ret = search_round(&s, ret_run);
		if (ret != 0)
			return ret < 0 ? ret : 0;
		if (exact || s.want == 1)
			return s.err != 0 ? s.err : -ENOSPC;
		s.want = max_of(s.want / 4, 1);
		/* Nothing is left to grow into behind a run that is short. */
		s.max = len;
	}
}

/* Find what was paid for (R2). */
static int search_paid(struct alloc *a, const struct alloc_req *req,
		uint32_t len, uint32_t window, struct alloc_run *ret_run)
{
	/* What is not just any block may be out while others are not. */
	bool picky = (req->flags & (ALLOC_F_EXACT | ALLOC_F_LOW32)) != 0;
	int tries = picky ? 2 : SEARCH_TRIES;
	int ret = -ENOSPC;

	while (ret == -ENOSPC && tries-- > 0) {
		ret = search_run(a, req, len, window, ret_run);
		if (ret == -ENOSPC && !prealloc_reclaim(a))
			sched_yield();
	}
	return ret;
}

/* ---- reservations ---- */

/* Pay for the request. How much was paid for, or -ENOSPC. */
static int reserve_pay(
		struct alloc *a, const struct alloc_req *req, uint32_t *ret_len)
{
	bool exact = (req->flags & ALLOC_F_EXACT) != 0;
	uint32_t want = min_of(req->len, a->geo->bpg), len;
	uint64_t keep = space_kept(a, req->flags);

	if (exact && want < req->len)
		return -ENOSPC;
	if ((req->flags & ALLOC_F_CLAIMED) != 0) {
		*ret_len = want;
		return 0;
	}
	len = space_pay(a, want, keep);
	if (len < want && prealloc_reclaim(a))
		len += space_pay(a, want - len, keep);
	if (len == 0 || (exact && len < want)) {
		space_return(a, len);
		return -ENOSPC;
	}
	*ret_len = len;
	return 0;
}

/* The request is served with @len blocks; @spare more were paid for. */
static void reserve_settle(struct alloc *a, const struct alloc_req *req,
		uint32_t len, uint32_t spare)
{
	if ((req->flags & ALLOC_F_CLAIMED) != 0) {
		int64_t was = atomic_fetch_sub(&a->claimed, len);

		assert(was >= (int64_t)len);
		(void)was;
	}
	if (spare != 0)
		space_return(a, spare);
}

static int reserve_new(struct alloc *a, const struct alloc_req *req,
		struct alloc_run *ret_run)
{
	uint32_t paid, window, len, kept, spare;
	struct alloc_run run = { 0 };
	int ret;

	ret = reserve_pay(a, req, &paid);
	if (ret < 0)
		return ret;
	window = paid == req->len ? prealloc_window(a, req) : 0;
	if (window != 0)
		window = space_pay(a, window, a->root_blocks);
	ret = search_paid(a, req, paid, window, &run);
	if (ret < 0) {
		if ((req->flags & ALLOC_F_CLAIMED) == 0)
			space_return(a, paid);
		space_return(a, window);
		return ret;
	}
	len = min_of(run.len, paid);
	kept = run.len - len;
	spare = window - kept;
	if ((req->flags & ALLOC_F_CLAIMED) == 0)
		spare += paid - len;
	atomic_fetch_add(&a->reserved, run.len);
	reserve_settle(a, req, len, spare);
	if (kept != 0)
		prealloc_set(a, req, len,
				(struct alloc_run){ run.pblk + len, kept });
	*ret_run = (struct alloc_run){ run.pblk, len };
	return 0;
}

int alloc_reserve(struct alloc *a, const struct alloc_req *req,
		struct alloc_run *ret_run)
{
	assert(req->len >= 1 && req->len <= 32768);
	if (a->read_only)
		return -EROFS;
	if (req->pa != NULL && prealloc_take(a, req, ret_run)) {
		/* The window had paid (P1): a claim on top is given back. */
		if ((req->flags & ALLOC_F_CLAIMED) != 0)
			reserve_settle(a, req, ret_run->len, ret_run->len);
		return 0;
	}
	return reserve_new(a, req, ret_run);
}

/* Extras of @run's group become free again in memory. */
static void run_give(struct alloc *a, struct alloc_run run)
{
	struct grp *grp = grp_peek(a, geo_grp_of_block(a->geo, run.pblk));

	assert(grp != NULL); /* G1 */
	mutex_lock(&grp->lock);
	grp_give_locked(a, grp, geo_index_of_block(a->geo, run.pblk), run.len);
	mutex_unlock(&grp->lock);
}

/* Cut the part of *run that lies in one group off its front. */
static struct alloc_run run_cut(const struct alloc *a, struct alloc_run *run)
{
	struct alloc_run part = { run->pblk,
		alloc_clip(a, run->pblk, run->len) };

	run->pblk += part.len;
	run->len -= part.len;
	return part;
}

void balloc_give(struct alloc *a, struct alloc_run run)
{
	uint32_t len = run.len;

	while (run.len != 0)
		run_give(a, run_cut(a, &run));
	atomic_fetch_sub(&a->reserved, len);
	space_return(a, len); /* R2 */
}

void alloc_rsv_release(struct alloc *a, struct alloc_run run)
{
	struct grp *grp;

	if (run.len == 0)
		return;
	/* What was reserved last and not used is the next to be handed out:
	 * else each failed or short write would leave a gap. */
	grp = grp_peek(a, geo_grp_of_block(a->geo, run.pblk));
	mutex_lock(&grp->lock);
	if (grp->stream == geo_index_of_block(a->geo, run.pblk) + run.len)
		grp->stream -= run.len;
	mutex_unlock(&grp->lock);
	balloc_give(a, run);
}

static int commit_prepare(struct handle *h, struct alloc *a,
		struct alloc_run run, struct grp **ret_grp)
{
	int ret = grp_get(a, geo_grp_of_block(a->geo, run.pblk), ret_grp);

	return ret < 0 ? ret : grp_desc_prepare(h, *ret_grp);
}

static int commit_part(struct handle *h, struct alloc *a, struct grp *grp,
		struct alloc_run run)
{
	int ret = grp_mark_blocks(h, a, grp,
			geo_index_of_block(a->geo, run.pblk), run.len);

	if (ret < 0)
		return ret;
	atomic_fetch_sub(&a->reserved, run.len);
	/* Can only fail by an abort, and the reservation is gone all the same:
	 * the caller learns of it from handle_stop(). */
	(void)grp_desc_store(h, a, grp);
	return 0;
}

int alloc_rsv_commit(struct handle *h, struct alloc *a, struct alloc_run run)
{
	int ret = 0;

	assert(geo_range_ok(a->geo, run.pblk, run.len));
	while (ret == 0 && run.len != 0) {
		struct alloc_run part = run_cut(a, &run);
		struct grp *grp;

		ret = commit_prepare(h, a, part, &grp);
		if (ret == 0)
			ret = commit_part(h, a, grp, part);
	}
	return ret;
}

int alloc_blocks(struct handle *h, struct alloc *a, const struct alloc_req *req,
		struct alloc_run *ret_run)
{
	struct alloc_run run;
	int ret;

	ret = alloc_reserve(a, req, &run);
	if (ret < 0)
		return ret;
	ret = alloc_rsv_commit(h, a, run);
	if (ret < 0) {
		/* An abort, or no memory: the claim stays the caller's. */
		alloc_rsv_release(a, run);
		if ((req->flags & ALLOC_F_CLAIMED) != 0)
			alloc_claim_force(a, run.len);
		return ret;
	}
	*ret_run = run;
	return 0;
}

/* ---- freeing ---- */

/* A freed run that is not free yet; the first of a transaction carries the
 * callback and leads the others. */
struct pending {
	struct txn_cb cb;
	struct alloc *a;
	txid_t txid;
	uint32_t flags;
	struct alloc_run run;
	struct pending *next;
};

static void pending_release(struct alloc *a, const struct pending *p)
{
	/* B37: no write home of the old contents may come after this. */
	if ((p->flags & ALLOC_F_METADATA) != 0)
		for (uint32_t i = 0; i < p->run.len; i++)
			buf_forget_block(a->cache, p->run.pblk + i);
	run_give(a, p->run);
	atomic_fetch_sub(&a->pending, p->run.len);
	space_return(a, p->run.len); /* R2 */
}

static void pending_done(struct txn_cb *cb, int err)
{
	struct pending *p = container_of(cb, struct pending, cb), *next;
	struct alloc *a = p->a;

	mutex_lock(&a->pending_lock);
	if (a->pending_now == p)
		a->pending_now = NULL;
	mutex_unlock(&a->pending_lock);
	for (; p != NULL; p = next) {
		next = p->next;
		if (err == 0)
			pending_release(a, p);
		free(p);
	}
}

/* Hand @p over to the handle's transaction (R3). */
static void pending_push(struct handle *h, struct alloc *a, struct pending *p)
{
	struct pending *lead, *last;

	atomic_fetch_add(&a->pending, p->run.len);
	/* Without a log a handle is its own transaction. */
	if (!journal_has_log(handle_journal(h))) {
		handle_on_commit(h, &p->cb);
		return;
	}
	mutex_lock(&a->pending_lock);
	lead = a->pending_now;
	if (lead == NULL || lead->txid != p->txid) {
		a->pending_now = p;
		handle_on_commit(h, &p->cb);
		p = NULL;
	} else {
		last = lead->next ? lead->next : lead;
		if (last->flags == p->flags &&
				last->run.pblk + last->run.len == p->run.pblk &&
				geo_index_of_block(a->geo, p->run.pblk) != 0) {
			last->run.len += p->run.len;
		} else {
			p->next = lead->next;
			lead->next = p;
			p = NULL;
		}
	}
	mutex_unlock(&a->pending_lock);
	free(p);
}

static int forget_run(struct handle *h, struct alloc_run run)
{
	int ret = 0;

	for (uint32_t i = 0; i < run.len && ret == 0; i++)
		ret = handle_forget(h, run.pblk + i);
	return ret;
}

static int free_part(struct handle *h, struct alloc *a, struct alloc_run run,
		uint32_t flags)
{
	struct pending *p;
	struct grp *grp;
	int ret;

	ret = grp_get(a, geo_grp_of_block(a->geo, run.pblk), &grp);
	if (ret < 0)
		return ret;
	p = malloc(sizeof(*p));
	if (p == NULL)
		return -ENOMEM;
	*p = (struct pending){ .cb.fn = pending_done,
		.a = a,
		.run = run,
		.flags = flags & ALLOC_F_METADATA,
		.txid = handle_txid(h) };
	ret = grp_desc_prepare(h, grp);
	/* What is free already may be somebody else's: it is not forgotten. */
	if (ret == 0 && (flags & ALLOC_F_METADATA) != 0)
		ret = grp_check_used(a, grp,
				geo_index_of_block(a->geo, run.pblk), run.len);
	if (ret == 0 && (flags & ALLOC_F_METADATA) != 0)
		ret = forget_run(h, run); /* T4 */
	if (ret == 0)
		ret = grp_clear_blocks(h, a, grp,
				geo_index_of_block(a->geo, run.pblk), run.len);
	if (ret < 0) {
		free(p);
		return ret;
	}
	ret = grp_desc_store(h, a, grp);
	pending_push(h, a, p);
	return ret;
}

int alloc_free(struct handle *h, struct alloc *a, struct alloc_run run,
		uint32_t flags)
{
	int ret = 0;

	if (alloc_is_system(a, run.pblk, run.len)) {
		log_err(a->log, "blocks %llu+%u to be freed are not a file's",
				(unsigned long long)run.pblk, run.len);
		return -UEXT4_ECORRUPT; /* A3 */
	}
	while (ret == 0 && run.len != 0)
		ret = free_part(h, a, run_cut(a, &run), flags);
	return ret;
}
