/* SPDX-License-Identifier: MIT */
/*
 * Extent trees, the changing half: one kind of change, at every level.
 *
 * A change replaces some neighbouring entries of a leaf by others. What that
 * means one level up is again such a change:
 *
 *   the node became empty      its index entry is replaced by nothing
 *   it does not fit any more   its index entry is replaced by two
 *   its first block changed    its index entry is replaced by one
 *   none of these              nothing; the climb ends here
 *
 * and at the root: what does not fit moves as a whole into a new node, and the
 * tree is one level deeper.
 *
 * States   prepared   nothing has changed, all that can fail was done
 *          committed  ext_plan_commit(): all levels changed, or
 *          cancelled  ext_plan_cancel(): new node blocks given back
 */
#include <assert.h>
#include <string.h>

#include "base/le.h"
#include "cache/buf.h"
#include "disk/dinode.h"
#include "disk/geo.h"
#include "journal/txn.h"
#include "map/extent.h"

/* A node must take at least this many entries to be split in two. */
#define EXT_NODE_MIN 4u

static uint8_t *ext_entry(uint8_t *node, unsigned i)
{
	return node + DEXT_HDR_SIZE + (size_t)i * DEXT_ENTRY_SIZE;
}

unsigned ext_max(const uint8_t *node)
{
	struct dext_hdr hdr;

	dext_hdr_decode(node, &hdr);
	return hdr.max;
}

/* Entry @i of what the node will hold: old ones around the fresh ones. */
static const uint8_t *ext_step_entry(
		struct ext_step *st, uint8_t *node, unsigned i)
{
	if (i < st->at)
		return ext_entry(node, i);
	if (i < st->at + st->n_new)
		return ext_entry(st->fresh, i - st->at);
	return ext_entry(node, i - st->n_new + st->n_old);
}

static lblk_t ext_step_key(struct ext_step *st, uint8_t *node, unsigned i)
{
	return get_le32(ext_step_entry(st, node, i));
}

/* Allocate and take into the handle a block for a node near @goal. */
static int ext_node_new(struct handle *h, struct mapping *m, pblk_t goal,
		uint32_t aflags, struct buf **ret_buf)
{
	const struct alloc_req req = {
		.goal = goal,
		.len = 1,
		.flags = ALLOC_F_METADATA | ALLOC_F_NOPREALLOC | aflags,
	};
	struct alloc_run run;
	struct buf *b;
	int ret;

	ret = alloc_blocks(h, m->alloc, &req, &run);
	if (ret < 0)
		return ret;
	if (aflags & ALLOC_F_CLAIMED)
		m->nodes_claimed++;

	ret = buf_get_noread(m->cache, run.pblk, &b);
	if (ret < 0)
		goto out_free;
	ret = handle_get_create(h, b);
	if (ret < 0)
		goto out_put;
	*ret_buf = b;
	return 0;
out_put:
	buf_put(b);
out_free:
	(void)alloc_free(h, m->alloc, run, ALLOC_F_METADATA);
	return ret;
}

static int ext_node_free(struct handle *h, struct mapping *m, pblk_t pblk)
{
	return alloc_free(h, m->alloc,
			(struct alloc_run){ .pblk = pblk, .len = 1 },
			ALLOC_F_METADATA);
}

/* Where to cut a node that will hold too much. Appending fills the left half:
 * files are mostly written from the front. */
static unsigned ext_split_point(const struct ext_level *l,
		const struct ext_step *st, unsigned max)
{
	const bool is_append = l->hi == DEXT_LBLK_END &&
			st->at + st->n_old == dext_entries(l->node);

	if (is_append)
		return min_of(max, st->count - 1);
	return st->count / 2;
}

/* Room for what does not fit into level @k: a right half, or a node that takes
 * all the root holds. */
static int ext_plan_room(struct ext_plan *plan, unsigned k, uint32_t aflags)
{
	struct ext_level *l = &plan->path->level[k];
	struct ext_step *st = &plan->step[k];
	const unsigned max = ext_max(l->node);
	struct mapping *m = plan->m;
	pblk_t goal;

	if (k == 0) {
		if (plan->path->depth >= DEXT_DEPTH_MAX)
			return -EFBIG;
		goal = alloc_goal_for_inode(m->alloc, m->inum);
		st->keep = 0;
	} else {
		if (max < EXT_NODE_MIN)
			return ext_corrupt(m, k, l->buf->pblk,
					"node of too few entries");
		goal = l->buf->pblk + 1;
		st->keep = ext_split_point(l, st, max);
	}
	return ext_node_new(plan->h, m, goal, aflags, &st->half);
}

/* Work out what the change of level @k means for level k - 1. */
static void ext_plan_parent(struct ext_plan *plan, unsigned k)
{
	struct ext_level *l = &plan->path->level[k];
	struct ext_level *up = l - 1;
	struct ext_step *st = &plan->step[k];
	struct ext_step *ust = st - 1;
	struct dext_idx idx;

	ust->at = (unsigned)up->idx;
	ust->n_old = 1;
	if (st->count == 0) {
		st->is_dropped = true;
		ust->is_touched = true;
		return;
	}
	idx.pblk = l->buf->pblk;
	idx.lblk = ext_step_key(st, l->node, 0);
	dext_idx_encode(ust->fresh, 0, &idx);
	ust->n_new = 1;
	ust->is_touched = idx.lblk != get_le32(ext_entry(up->node, ust->at));
	if (st->half) {
		idx.pblk = st->half->pblk;
		idx.lblk = ext_step_key(st, l->node, st->keep);
		dext_idx_encode(ust->fresh, 1, &idx);
		ust->n_new = 2;
		ust->is_touched = true;
	}
}

/* Climb from the leaf as far as the change reaches. */
static int ext_plan_climb(struct ext_plan *plan, uint32_t aflags)
{
	int ret;

	for (unsigned k = plan->path->depth;; k--) {
		struct ext_level *l = &plan->path->level[k];
		struct ext_step *st = &plan->step[k];

		st->count = dext_entries(l->node) - st->n_old + st->n_new;
		st->keep = st->count;
		if (st->count > ext_max(l->node)) {
			ret = ext_plan_room(plan, k, aflags);
			if (ret < 0)
				return ret;
		}
		if (k == 0)
			return 0;
		ext_plan_parent(plan, k);
		if (!plan->step[k - 1].is_touched)
			return 0;
	}
}

/* Make every node that will change writable. */
static int ext_plan_get_write(struct ext_plan *plan)
{
	int ret;

	for (unsigned k = 1; k <= plan->path->depth; k++) {
		struct ext_level *l = &plan->path->level[k];
		struct ext_step *st = &plan->step[k];

		if (!st->is_touched || st->is_dropped)
			continue;
		ret = handle_get_write(plan->h, l->buf);
		if (ret < 0)
			return ret;
		l->node = l->buf->data;
	}
	return 0;
}

int ext_plan_prepare(struct ext_plan *plan, struct handle *h, struct mapping *m,
		struct ext_path *path, const struct ext_recs *recs)
{
	struct ext_step *st = &plan->step[path->depth];
	int ret;

	memset(plan, 0, sizeof(*plan));
	plan->h = h;
	plan->m = m;
	plan->path = path;
	st->is_touched = true;
	st->at = recs->at;
	st->n_old = recs->n_old;
	st->n_new = recs->n;
	for (unsigned i = 0; i < recs->n; i++)
		dext_leaf_encode(st->fresh, i, &recs->rec[i]);

	ret = ext_plan_climb(plan, recs->aflags);
	if (ret == 0)
		ret = ext_plan_get_write(plan);
	if (ret < 0)
		ext_plan_cancel(plan);
	return ret;
}

void ext_plan_cancel(struct ext_plan *plan)
{
	for (unsigned k = 0; k <= plan->path->depth; k++) {
		struct ext_step *st = &plan->step[k];
		pblk_t pblk;

		if (!st->half)
			continue;
		pblk = st->half->pblk;
		buf_put(st->half);
		st->half = NULL;
		(void)ext_node_free(plan->h, plan->m, pblk);
	}
}

/* Copy entries [from, st->count) into the empty @to. */
static void ext_step_copy(
		struct ext_step *st, uint8_t *node, unsigned from, uint8_t *to)
{
	for (unsigned i = from; i < st->count; i++)
		memcpy(ext_entry(to, i - from), ext_step_entry(st, node, i),
				DEXT_ENTRY_SIZE);
	dext_set_entries(to, st->count - from);
}

/* Bring the first st->keep entries into their place in @node. */
static void ext_step_splice(struct ext_step *st, uint8_t *node)
{
	const unsigned fresh_end = st->at + st->n_new;
	const unsigned was = dext_entries(node);

	if (st->keep > fresh_end)
		memmove(ext_entry(node, fresh_end),
				ext_entry(node, st->at + st->n_old),
				(size_t)(st->keep - fresh_end) *
						DEXT_ENTRY_SIZE);
	if (st->keep > st->at)
		memcpy(ext_entry(node, st->at), ext_entry(st->fresh, 0),
				(size_t)(min_of(st->keep, fresh_end) - st->at) *
						DEXT_ENTRY_SIZE);
	if (was > st->keep)
		memset(ext_entry(node, st->keep), 0,
				(size_t)(was - st->keep) * DEXT_ENTRY_SIZE);
	dext_set_entries(node, st->keep);
}

static int ext_node_dirty(struct handle *h, struct mapping *m, struct buf *b)
{
	dext_csum_set(m->geo, dinode_csum_seed(m->geo, m->inum, m->gen),
			b->data);
	buf_set_verified(b);
	return handle_dirty(h, b);
}

/* The root as one index entry that leads to what it held. */
static void ext_root_grow(struct mapping *m, const struct buf *child)
{
	const unsigned depth = dext_depth(child->data);
	const struct dext_idx idx = {
		.lblk = get_le32(child->data + DEXT_HDR_SIZE),
		.pblk = child->pblk,
	};

	dext_init(m->geo, m->root, DEXT_ROOT_SIZE, depth + 1);
	dext_idx_encode(m->root, 0, &idx);
	dext_set_entries(m->root, 1);
}

static int ext_step_apply(struct ext_plan *plan, unsigned k)
{
	struct ext_level *l = &plan->path->level[k];
	struct ext_step *st = &plan->step[k];
	struct mapping *m = plan->m;
	int ret = 0, err;

	if (st->half) {
		dext_init(m->geo, st->half->data, m->geo->block_size,
				dext_depth(l->node));
		ext_step_copy(st, l->node, st->keep, st->half->data);
		ret = ext_node_dirty(plan->h, m, st->half);
		m->blocks++;
	}
	if (k == 0 && st->half) {
		ext_root_grow(m, st->half);
	} else if (k == 0 && st->count == 0) {
		dext_init(m->geo, m->root, DEXT_ROOT_SIZE, 0);
	} else {
		ext_step_splice(st, l->node);
		if (l->buf) {
			err = ext_node_dirty(plan->h, m, l->buf);
			if (ret == 0)
				ret = err;
		}
	}
	buf_put(st->half);
	st->half = NULL;
	return ret;
}

int ext_plan_commit(struct ext_plan *plan)
{
	struct ext_path *path = plan->path;
	int ret = 0, err;

	for (unsigned k = 0; k <= path->depth; k++) {
		struct ext_level *l = &path->level[k];
		pblk_t pblk;

		if (!plan->step[k].is_touched)
			continue;
		if (!plan->step[k].is_dropped) {
			err = ext_step_apply(plan, k);
		} else {
			assert(k > 0);
			pblk = l->buf->pblk;
			buf_put(l->buf);
			l->buf = NULL;
			err = ext_node_free(plan->h, plan->m, pblk);
			plan->m->blocks--;
		}
		if (ret == 0)
			ret = err;
	}
	atomic_store_explicit(&plan->m->depth, dext_depth(plan->m->root),
			memory_order_relaxed);
	return ret;
}

/* Take over the entries of the one node below the root, if they fit. */
static bool ext_shrink_once(struct handle *h, struct mapping *m)
{
	uint8_t root[DEXT_ROOT_SIZE];
	struct ext_path path;
	struct dext_idx idx;
	unsigned n;
	pblk_t pblk;

	if (dext_depth(m->root) == 0 || dext_entries(m->root) != 1)
		return false;
	dext_idx_decode(m->root, 0, &idx);
	if (ext_path_get(m, idx.lblk, &path) < 0)
		return false;
	n = dext_entries(path.level[1].node);
	pblk = path.level[1].buf->pblk;
	if (n <= dext_max_entries(m->geo, DEXT_ROOT_SIZE)) {
		dext_init(m->geo, root, DEXT_ROOT_SIZE, path.depth - 1);
		memcpy(ext_entry(root, 0), ext_entry(path.level[1].node, 0),
				(size_t)n * DEXT_ENTRY_SIZE);
		dext_set_entries(root, n);
	}
	ext_path_put(&path);
	if (n > dext_max_entries(m->geo, DEXT_ROOT_SIZE) ||
			ext_node_free(h, m, pblk) < 0)
		return false;
	memcpy(m->root, root, sizeof(root));
	m->blocks--;
	atomic_store_explicit(
			&m->depth, dext_depth(m->root), memory_order_relaxed);
	return true;
}

void ext_shrink(struct handle *h, struct mapping *m)
{
	while (ext_shrink_once(h, m))
		;
}
