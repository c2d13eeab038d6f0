/* SPDX-License-Identifier: MIT */
/*
 * Block trees, the changing half.
 *
 * Filling: the nodes that are missing on the way to a data pointer are
 * allocated and every buf is made writable; only then pointers are set.
 * Removing goes backwards, one contiguous run of one node at a time; a node
 * whose last pointer goes, goes with it (N2).
 */
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "cache/buf.h"
#include "disk/dextent.h"
#include "disk/geo.h"
#include "journal/txn.h"
#include "map/ind_path.h"
#include "map/indirect.h"

/* The way to one data pointer, with all its nodes. */
struct ind_plan {
	struct handle *h;
	struct mapping *m;
	struct ind_path path; /* nodes from fresh_from on are new */
	unsigned fresh_from;
};

static void ind_set_ptr(const struct mapping *m, const struct ind_path *p,
		unsigned k, uint32_t off, pblk_t pblk)
{
	put_le32(ind_node(m, p, k) + 4 * (size_t)off, (uint32_t)pblk);
}

static int ind_node_free(struct handle *h, struct mapping *m, pblk_t pblk)
{
	return alloc_free(h, m->alloc,
			(struct alloc_run){ .pblk = pblk, .len = 1 },
			ALLOC_F_METADATA);
}

static void ind_plan_cancel(struct ind_plan *plan)
{
	for (unsigned k = plan->fresh_from; k < plan->path.got; k++) {
		const pblk_t pblk = plan->path.buf[k]->pblk;

		buf_put(plan->path.buf[k]);
		plan->path.buf[k] = NULL;
		(void)ind_node_free(plan->h, plan->m, pblk);
	}
	ind_path_put(&plan->path);
}

/* Allocate the next missing node of the path. */
static int ind_plan_node(struct ind_plan *plan, pblk_t goal, uint32_t aflags)
{
	const struct alloc_req req = {
		.goal = goal,
		.len = 1,
		.flags = ALLOC_F_METADATA | ALLOC_F_NOPREALLOC | ALLOC_F_LOW32 |
				aflags,
	};
	struct mapping *m = plan->m;
	struct alloc_run run;
	struct buf *b;
	int ret;

	ret = alloc_blocks(plan->h, m->alloc, &req, &run);
	if (ret < 0)
		return ret;
	if (aflags & ALLOC_F_CLAIMED)
		m->nodes_claimed++;

	ret = buf_get_noread(m->cache, run.pblk, &b);
	if (ret < 0)
		goto out_free;
	ret = handle_get_create(plan->h, b);
	if (ret < 0)
		goto out_put;
	memset(b->data, 0, m->geo->block_size);
	plan->path.buf[plan->path.got++] = b;
	return 0;
out_put:
	buf_put(b);
out_free:
	(void)ind_node_free(plan->h, m, run.pblk);
	return ret;
}

static int ind_plan_prepare(struct ind_plan *plan, struct handle *h,
		struct mapping *m, lblk_t lblk, pblk_t goal, uint32_t aflags)
{
	struct ind_path *p = &plan->path;
	int ret;

	plan->h = h;
	plan->m = m;
	ret = ind_path_get(m, lblk, p);
	if (ret < 0)
		return ret;
	plan->fresh_from = p->got;
	while (ret == 0 && p->got < p->n) {
		ret = ind_plan_node(plan, goal, aflags);
		if (ret == 0)
			goal = p->buf[p->got - 1]->pblk + 1;
	}
	if (ret == 0 && plan->fresh_from > 1)
		ret = handle_get_write(h, p->buf[plan->fresh_from - 1]);
	if (ret < 0)
		ind_plan_cancel(plan);
	return ret;
}

/* How many pointers from the plan's on are free, up to @max? */
static uint32_t ind_plan_room(const struct ind_plan *plan, uint32_t max)
{
	const struct ind_path *p = &plan->path;
	const unsigned k = p->n - 1;
	const uint32_t room = min_of(ind_slots(plan->m, p, k) - p->off[k], max);
	uint32_t n = 0;

	if (p->n == 1 || plan->fresh_from == p->n) {
		while (n < room && ind_ptr(plan->m, p, k, p->off[k] + n) == 0)
			n++;
		return n;
	}
	return room;
}

/* Set the pointers and hang in the new nodes. Puts the path. */
static int ind_plan_commit(struct ind_plan *plan, pblk_t pblk, uint32_t len)
{
	struct ind_path *p = &plan->path;
	int ret = 0, err;

	for (uint32_t i = 0; i < len; i++)
		ind_set_ptr(plan->m, p, p->n - 1, p->off[p->n - 1] + i,
				pblk + i);
	for (unsigned k = plan->fresh_from; k < p->n; k++)
		ind_set_ptr(plan->m, p, k - 1, p->off[k - 1], p->buf[k]->pblk);
	for (unsigned k = plan->fresh_from - 1; k < p->n; k++) {
		err = k > 0 ? handle_dirty(plan->h, p->buf[k]) : 0;
		if (ret == 0)
			ret = err;
	}
	plan->m->blocks += len + (p->n - plan->fresh_from);
	ind_path_put(p);
	return ret;
}

int ind_alloc(struct handle *h, struct mapping *m, lblk_t lblk, uint32_t max,
		struct alloc_req *req, uint32_t aflags, struct map_run *ret_run)
{
	struct ind_plan plan;
	struct alloc_run run;
	int ret;

	ret = ind_plan_prepare(&plan, h, m, lblk, req->goal, aflags);
	if (ret < 0)
		return ret;
	if (plan.path.n > plan.fresh_from)
		req->goal = plan.path.buf[plan.path.n - 1]->pblk + 1;
	req->lblk = lblk;
	req->len = ind_plan_room(&plan, max);
	req->flags |= ALLOC_F_LOW32;
	ret = req->len > 0 ? alloc_blocks(h, m->alloc, req, &run) : -EEXIST;
	if (ret < 0) {
		ind_plan_cancel(&plan);
		return ret;
	}
	ret = ind_plan_commit(&plan, run.pblk, run.len);
	*ret_run = (struct map_run){
		.lblk = lblk,
		.len = run.len,
		.pblk = run.pblk,
		.type = MAP_WRITTEN,
		.is_new = true,
	};
	return ret;
}

/* ---- remove ---- */

struct ind_part {
	uint32_t n;    /* pointers that go: the last is the path's */
	pblk_t pblk;   /* their first block */
	unsigned keep; /* the lowest level whose node stays */
};

/* Is there a pointer in level @k but for [from, from + n)? */
static bool ind_has_others(const struct mapping *m, const struct ind_path *p,
		unsigned k, uint32_t from, uint32_t n)
{
	const uint32_t slots = ind_slots(m, p, k);

	for (uint32_t i = 0; i < slots; i++)
		if ((i < from || i >= from + n) && ind_ptr(m, p, k, i) != 0)
			return true;
	return false;
}

/* The lowest level that stays when the node of level @gone goes. */
static unsigned ind_keep(const struct mapping *m, const struct ind_path *p,
		unsigned gone)
{
	unsigned k = gone - 1;

	while (k > 0 && !ind_has_others(m, p, k, p->off[k], 1))
		k--;
	return k;
}

/* The contiguous run of one group that ends at @p's pointer and reaches back
 * @max blocks at most, and which nodes go with it. */
static void ind_part_get(const struct mapping *m, const struct ind_path *p,
		uint32_t max, struct ind_part *ret_part)
{
	const unsigned leaf = p->n - 1;
	const uint32_t off = p->off[leaf];
	const pblk_t last = ind_ptr(m, p, leaf, off);
	struct ind_part part = { .n = 1, .keep = leaf };

	if (geo_block_ok(m->geo, last))
		max = min_of(max, geo_index_of_block(m->geo, last) + 1);
	while (part.n < max && part.n <= off && last > part.n &&
			ind_ptr(m, p, leaf, off - part.n) == last - part.n)
		part.n++;
	part.pblk = last - (part.n - 1);
	if (leaf > 0 && !ind_has_others(m, p, leaf, off + 1 - part.n, part.n))
		part.keep = ind_keep(m, p, leaf);
	*ret_part = part;
}

/* Take the run out of the tree and free it. Puts the path. */
static int ind_part_remove(struct handle *h, struct mapping *m,
		struct ind_path *p, const struct ind_part *part)
{
	const unsigned keep = part->keep;
	const uint32_t n = keep == p->n - 1 ? part->n : 1;
	int ret = 0, err;

	if (keep > 0)
		ret = handle_get_write(h, p->buf[keep]);
	if (ret == 0 && part->n > 0)
		ret = alloc_free(h, m->alloc,
				(struct alloc_run){ .pblk = part->pblk,
						.len = part->n },
				m->is_metadata ? ALLOC_F_METADATA : 0);
	if (ret < 0) {
		ind_path_put(p);
		return ret;
	}

	m->blocks -= part->n;
	for (uint32_t i = 0; i < n; i++)
		ind_set_ptr(m, p, keep, p->off[keep] - i, 0);
	if (keep > 0)
		ret = handle_dirty(h, p->buf[keep]);
	for (unsigned k = keep + 1; k < p->got; k++) {
		const pblk_t pblk = p->buf[k]->pblk;

		buf_put(p->buf[k]);
		p->buf[k] = NULL;
		m->blocks--;
		err = ind_node_free(h, m, pblk);
		if (ret == 0)
			ret = err;
	}
	ind_path_put(p);
	return ret;
}

/* Where the hole that ends behind @last begins. */
static lblk_t ind_hole_start(
		const struct mapping *m, const struct ind_path *p, lblk_t last)
{
	const unsigned k = p->got - 1;
	uint64_t start = last;

	for (unsigned i = k + 1; i < p->n; i++)
		start -= p->off[i] * ind_span(m, p, i);
	if (k == 0 && p->n > 1)
		return (lblk_t)start; /* its neighbour is of another height */
	for (uint32_t off = p->off[k];
			off > 0 && ind_ptr(m, p, k, off - 1) == 0; off--)
		start -= ind_span(m, p, k);
	return (lblk_t)start;
}

static int ind_want_credits(struct handle *h, const struct mapping *m)
{
	const uint32_t want = ind_credits_remove(m);

	if (handle_credits(h) >= want)
		return 0;
	return handle_extend(h, want);
}

/* Remove what ends at *@end, which @p leads to, or go back over a hole. */
static int ind_remove_step(struct handle *h, struct mapping *m,
		struct ind_path *p, lblk_t lblk, uint64_t *end)
{
	const unsigned k = p->got - 1;
	struct ind_part part = { 0 };
	int ret;

	if (ind_ptr(m, p, k, p->off[k]) != 0) {
		ind_part_get(m, p, (uint32_t)(*end - lblk), &part);
	} else if (k > 0 && !ind_has_others(m, p, k, 0, 0)) {
		/* An empty node, which we would not have left (N2). */
		part.keep = ind_keep(m, p, k);
	} else {
		*end = ind_hole_start(m, p, (lblk_t)(*end - 1));
		ind_path_put(p);
		return 0;
	}
	ret = ind_part_remove(h, m, p, &part);
	if (ret == 0)
		*end -= part.n;
	return ret;
}

int ind_remove(struct handle *h, struct mapping *m, lblk_t lblk, uint64_t end,
		uint64_t *ret_end)
{
	struct ind_path p;
	int ret = 0;

	end = min_u64(end, ind_max_blocks(m));
	while (end > lblk && ret == 0) {
		ret = ind_want_credits(h, m);
		if (ret == 0)
			ret = ind_path_get(m, (lblk_t)(end - 1), &p);
		if (ret == 0)
			ret = ind_remove_step(h, m, &p, lblk, &end);
	}
	*ret_end = max_u64(end, lblk);
	return ret == -EAGAIN ? 0 : ret;
}

/* Drop the nodes without pointers that are on the way to [lblk, end). */
static void ind_drop_empty(
		struct handle *h, struct mapping *m, lblk_t lblk, uint64_t end)
{
	struct ind_path p;
	int ret = 0;

	while (end > lblk && ret == 0) {
		if (ind_path_get(m, (lblk_t)(end - 1), &p) < 0)
			return; /* it stays, and harms nobody */
		if (ind_ptr(m, &p, p.got - 1, p.off[p.got - 1]) != 0) {
			ind_path_put(&p);
			end--;
		} else {
			ret = ind_remove_step(h, m, &p, lblk, &end);
		}
	}
}

/* ---- insert ---- */

/* Pointers from the plan's on, in its node, for a run of which @left are
 * still to do. */
static uint32_t ind_plan_want(const struct ind_plan *plan, uint32_t left)
{
	const struct ind_path *p = &plan->path;

	return min_of(ind_slots(plan->m, p, p->n - 1) - p->off[p->n - 1], left);
}

/* See to it that all nodes that [lblk, lblk + len) needs are there, empty if
 * need be: the mapping stays what it was. Counts the lowest ones. */
static int ind_make_nodes(struct handle *h, struct mapping *m, lblk_t lblk,
		uint32_t len, uint32_t aflags, uint32_t *ret_n)
{
	struct ind_plan plan;
	pblk_t goal = ind_goal(m, lblk);
	uint32_t n = 0;
	int ret = 0;

	for (uint32_t done = 0; done < len && ret == 0; n++) {
		ret = ind_plan_prepare(&plan, h, m, lblk + done, goal, aflags);
		if (ret < 0)
			return ret;
		done += ind_plan_want(&plan, len - done);
		if (plan.fresh_from < plan.path.n) {
			goal = plan.path.buf[plan.path.n - 1]->pblk + 1;
			ret = ind_plan_commit(&plan, 0, 0);
		} else {
			ind_path_put(&plan.path);
		}
	}
	*ret_n = n;
	return ret;
}

/* Make @n plans for the nodes of @run, which are all there. */
static int ind_plans_prepare(struct ind_plan *plans, uint32_t n,
		struct handle *h, struct mapping *m, const struct map_run *run)
{
	uint32_t done = 0, i, want;
	int ret = 0;

	for (i = 0; i < n; i++) {
		ret = ind_plan_prepare(&plans[i], h, m, run->lblk + done, 0, 0);
		if (ret < 0)
			break;
		want = ind_plan_want(&plans[i], run->len - done);
		if (ind_plan_room(&plans[i], want) < want) {
			ret = -EEXIST;
			i++;
			break;
		}
		done += want;
	}
	while (ret < 0 && i-- > 0)
		ind_plan_cancel(&plans[i]);
	return ret;
}

int ind_insert(struct handle *h, struct mapping *m, const struct map_run *run,
		uint32_t aflags)
{
	struct ind_plan *plans = NULL;
	uint32_t n, done = 0, want;
	int ret, err;

	/* Nodes first, then everything made writable, then the pointers. */
	ret = ind_make_nodes(h, m, run->lblk, run->len, aflags, &n);
	if (ret < 0)
		goto out_nodes;
	plans = calloc(max_of(n, 1u), sizeof(*plans));
	ret = plans ? ind_plans_prepare(plans, n, h, m, run) : -ENOMEM;
	if (ret < 0)
		goto out_nodes;

	for (uint32_t i = 0; i < n; i++) {
		want = ind_plan_want(&plans[i], run->len - done);
		err = ind_plan_commit(&plans[i], run->pblk + done, want);
		if (ret == 0)
			ret = err;
		done += want;
	}
	free(plans);
	return ret;
out_nodes:
	free(plans);
	/* The range is as it was: only nodes without pointers go. */
	ind_drop_empty(h, m, run->lblk, (uint64_t)run->lblk + run->len);
	return ret;
}

/* ---- credits ---- */

uint32_t ind_nodes_worst(const struct mapping *m, uint32_t len)
{
	const uint32_t per = m->geo->block_size / 4;
	const uint32_t ind = len / per + 2;
	const uint32_t dind = len > 1 ? ind / per + 2 : 1;

	return len > 1 ? ind + dind + 1 : 3;
}

uint32_t ind_credits_alloc(const struct mapping *m, uint32_t len)
{
	const uint32_t nodes = ind_nodes_worst(m, len);
	const uint32_t maps = (uint32_t)min_u64(2 * (uint64_t)nodes,
			(uint64_t)m->geo->groups + m->geo->gdt_blocks);

	/* The node that the new ones hang in, they and their bitmaps and
	 * descriptors, the data, the inode. */
	return 1 + nodes + maps + ALLOC_CREDITS_RUN + 1;
}

uint32_t ind_credits_remove(const struct mapping *m)
{
	/* One node written, three that go, the data, the inode. */
	return 1 + 3 * 2 + ALLOC_CREDITS_RUN + 1;
}
