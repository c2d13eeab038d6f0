/* SPDX-License-Identifier: MIT */
/*
 * Extent trees: what insert, convert and remove mean for the entries of a leaf.
 *
 * Each takes the extents around the place, says what shall stand there
 * instead, and leaves the rest to a plan (extent_edit.c). The list of what
 * shall stand there is built from left to right; what continues its left
 * neighbour in the same state melts into it (X4).
 */
#include <assert.h>

#include "cache/buf.h"
#include "disk/geo.h"
#include "journal/txn.h"
#include "map/extent.h"

static uint32_t ext_len_max(bool unwritten)
{
	return unwritten ? DEXT_LEN_UNWRITTEN : DEXT_LEN_MAX;
}

static uint64_t ext_end(const struct dext_leaf *e)
{
	return (uint64_t)e->lblk + e->len;
}

/* The part [lo, hi) of @e; may be empty. */
static struct dext_leaf ext_part(
		const struct dext_leaf *e, uint64_t lo, uint64_t hi)
{
	return (struct dext_leaf){
		.lblk = (lblk_t)lo,
		.len = hi > lo ? (uint32_t)(hi - lo) : 0,
		.unwritten = e->unwritten,
		.pblk = e->pblk + (lo - e->lblk),
	};
}

static void ext_recs_add(struct ext_recs *recs, struct dext_leaf e)
{
	if (e.len == 0)
		return;
	assert(recs->n < EXT_FRESH_MAX);
	recs->rec[recs->n++] = e;
}

/* The same, but melting it into the last one where it goes on (X4). */
static void ext_recs_push(struct ext_recs *recs, struct dext_leaf e)
{
	struct dext_leaf *last = recs->n ? &recs->rec[recs->n - 1] : NULL;

	if (last && last->unwritten == e.unwritten && ext_end(last) == e.lblk &&
			last->pblk + last->len == e.pblk &&
			last->len + e.len <= ext_len_max(e.unwritten)) {
		last->len += e.len;
		return;
	}
	ext_recs_add(recs, e);
}

/* Entry @i of the leaf of @path. It may stand in a buf that was verified as
 * something else: its blocks are looked at again. */
static int ext_entry_get(const struct mapping *m, struct ext_path *path, int i,
		struct dext_leaf *ret_e)
{
	const struct ext_level *l = ext_leaf(path);
	const uint64_t lo = path->depth ? l->lo : 0;
	struct dext_leaf e = { 0 };

	dext_leaf_decode(l->node, (unsigned)i, &e);
	if (e.len == 0 || e.len > ext_len_max(e.unwritten) ||
			!range_is_within(e.lblk, e.len, lo, l->hi) ||
			map_is_system(m, e.pblk, e.len))
		return ext_corrupt(m, path->depth, e.pblk, "bad extent");
	*ret_e = e;
	return 0;
}

/* The extents around a place of a leaf: up to three, some may be missing. */
struct ext_around {
	bool has_left, has_right;
	struct dext_leaf left, right;
};

/* Entries @l and @r of the leaf (out of range: none); they and what is between
 * them is what @recs will replace. */
static int ext_around_get(const struct mapping *m, struct ext_path *path, int l,
		int r, struct ext_around *ret_around, struct ext_recs *recs)
{
	struct ext_around a = { 0 };
	int ret;

	a.has_left = l >= 0;
	a.has_right = (unsigned)r < dext_entries(ext_leaf(path)->node);
	recs->at = (unsigned)(a.has_left ? l : l + 1);
	recs->n_old = (unsigned)(a.has_right ? r + 1 : r) - recs->at;
	if (a.has_left) {
		ret = ext_entry_get(m, path, l, &a.left);
		if (ret < 0)
			return ret;
	}
	if (a.has_right) {
		ret = ext_entry_get(m, path, r, &a.right);
		if (ret < 0)
			return ret;
	}
	*ret_around = a;
	return 0;
}

static int ext_replace(struct handle *h, struct mapping *m,
		struct ext_path *path, const struct ext_recs *recs)
{
	struct ext_plan plan;
	int ret;

	ret = ext_plan_prepare(&plan, h, m, path, recs);
	if (ret < 0)
		return ret;
	return ext_plan_commit(&plan);
}

/* ---- insert ---- */

int ext_insert(struct handle *h, struct mapping *m, const struct map_run *run,
		uint32_t aflags)
{
	const struct dext_leaf new = {
		.lblk = run->lblk,
		.len = run->len,
		.unwritten = run->type == MAP_UNWRITTEN,
		.pblk = run->pblk,
	};
	struct ext_recs recs = { .aflags = aflags };
	struct ext_around a = { 0 };
	struct ext_path path;
	int ret;

	ret = ext_path_get(m, run->lblk, &path);
	if (ret < 0)
		return ret;
	ret = ext_around_get(m, &path, ext_leaf(&path)->idx,
			ext_leaf(&path)->idx + 1, &a, &recs);
	if (ret < 0)
		goto out_path;
	if ((a.has_left && ext_end(&a.left) > new.lblk) ||
			(a.has_right && a.right.lblk < ext_end(&new)) ||
			ext_leaf(&path)->hi < ext_end(&new)) {
		ret = -EEXIST;
		goto out_path;
	}

	if (a.has_left)
		ext_recs_add(&recs, a.left);
	ext_recs_push(&recs, new);
	if (a.has_right)
		ext_recs_push(&recs, a.right);
	ret = ext_replace(h, m, &path, &recs);
out_path:
	ext_path_put(&path);
	return ret;
}

/* ---- convert ---- */

/* The extent at @lblk, which must be one, with its neighbours. */
static int ext_target_get(const struct mapping *m, struct ext_path *path,
		lblk_t lblk, struct dext_leaf *ret_e,
		struct ext_around *ret_around, struct ext_recs *recs)
{
	const int idx = ext_leaf(path)->idx;
	struct dext_leaf e = { 0 };
	int ret;

	if (idx < 0)
		return ext_corrupt(
				m, path->depth, 0, "hole in a converted run");
	ret = ext_entry_get(m, path, idx, &e);
	if (ret < 0)
		return ret;
	if (ext_end(&e) <= lblk)
		return ext_corrupt(m, path->depth, e.pblk,
				"hole in a converted run");
	ret = ext_around_get(m, path, idx - 1, idx + 1, ret_around, recs);
	if (ret == 0)
		*ret_e = e;
	return ret;
}

/* If an extent that is not in the wanted state goes on from in front of @pos
 * to behind it, cut it in two there: it maps the same. */
static int ext_split_at(struct handle *h, struct mapping *m, uint64_t pos,
		bool to_unwritten, uint32_t aflags)
{
	struct ext_recs recs = { .n_old = 1, .aflags = aflags };
	struct ext_path path;
	struct dext_leaf e = { 0 };
	int idx, ret;

	if (pos >= DEXT_LBLK_END)
		return 0;
	ret = ext_path_get(m, (lblk_t)pos, &path);
	if (ret < 0)
		return ret;
	idx = ext_leaf(&path)->idx;
	if (idx < 0)
		goto out_path;
	ret = ext_entry_get(m, &path, idx, &e);
	if (ret < 0 || e.lblk == pos || ext_end(&e) <= pos ||
			e.unwritten == to_unwritten)
		goto out_path;

	recs.at = (unsigned)idx;
	ext_recs_add(&recs, ext_part(&e, e.lblk, pos));
	ext_recs_add(&recs, ext_part(&e, pos, ext_end(&e)));
	ret = ext_replace(h, m, &path, &recs);
out_path:
	ext_path_put(&path);
	return ret;
}

/* What shall stand in the leaf of @path once the part of [lblk, *end) that lies in
 * one extent has the new state: 1, or 0 if it has. *end is where that part ends. */
static int ext_convert_recs(const struct mapping *m, struct ext_path *path,
		lblk_t lblk, uint64_t *end, bool to_unwritten,
		struct ext_recs *recs)
{
	struct dext_leaf e = { 0 }, part;
	struct ext_around a = { 0 };
	int ret;

	ret = ext_target_get(m, path, lblk, &e, &a, recs);
	if (ret < 0)
		return ret;
	*end = min_u64(*end, ext_end(&e));
	if (e.unwritten == to_unwritten)
		return 0;

	if (a.has_left)
		ext_recs_add(recs, a.left);
	ext_recs_push(recs, ext_part(&e, e.lblk, lblk));
	part = ext_part(&e, lblk, *end);
	part.unwritten = to_unwritten;
	if (part.len > ext_len_max(to_unwritten)) {
		/* 32768 written blocks are two unwritten extents. */
		struct dext_leaf head = ext_part(&part, lblk, *end - 1);

		ext_recs_push(recs, head);
		part = ext_part(&part, *end - 1, *end);
	}
	ext_recs_push(recs, part);
	ext_recs_push(recs, ext_part(&e, *end, ext_end(&e)));
	if (a.has_right)
		ext_recs_push(recs, a.right);
	return 1;
}

/* Give the part of [lblk, end) that lies in one extent the new state; *ret_next
 * is where that part ends. With @whole nothing is done unless all of it does:
 * then *ret_next is @lblk. */
static int ext_convert_one(struct handle *h, struct mapping *m, lblk_t lblk,
		uint64_t end, bool to_unwritten, bool whole, uint32_t aflags,
		uint64_t *ret_next)
{
	struct ext_recs recs = { .aflags = aflags };
	struct ext_path path;
	uint64_t next = end;
	int ret;

	ret = ext_path_get(m, lblk, &path);
	if (ret < 0)
		return ret;
	ret = ext_convert_recs(m, &path, lblk, &next, to_unwritten, &recs);
	if (ret >= 0 && whole && next < end) {
		next = lblk;
		ret = 0;
	}
	if (ret > 0)
		ret = ext_replace(h, m, &path, &recs);
	else
		recs.n = recs.n_old;
	ext_path_put(&path);
	if (ret < 0)
		return ret;
	/* Neighbours that have become one may leave a tree that can be lower. */
	if (whole && recs.n < recs.n_old)
		ext_shrink(h, m);
	*ret_next = next;
	return 0;
}

/* How many more entries does the leaf take that @lblk is in? */
static int ext_leaf_spare(const struct mapping *m, lblk_t lblk)
{
	struct ext_path path;
	const uint8_t *node;
	int ret;

	ret = ext_path_get(m, lblk, &path);
	if (ret < 0)
		return ret;
	node = ext_leaf(&path)->node;
	ret = (int)ext_max(node) - (int)dext_entries(node);
	ext_path_put(&path);
	return ret;
}

int ext_convert_fits(const struct mapping *m, lblk_t lblk, uint64_t end)
{
	struct ext_recs recs = { 0 };
	struct ext_path path;
	uint64_t next = end;
	int spare;
	int ret;

	spare = ext_leaf_spare(m, lblk);
	if (spare < 0)
		return spare;
	ret = ext_path_get(m, lblk, &path);
	if (ret < 0)
		return ret;
	ret = ext_convert_recs(m, &path, lblk, &next, false, &recs);
	ext_path_put(&path);
	if (ret < 0)
		return ret;
	if (next == end)
		return ret == 0 || recs.n <= recs.n_old + (unsigned)spare;
	/* Cut at both ends first. */
	ret = ext_leaf_spare(m, (lblk_t)(end - 1));
	return ret < 0 ? ret : spare >= 2 && ret >= 2;
}

/* How many extents of the state that has to change lie in [lblk, end)? Also
 * sees that there is no hole and that all leaves can be read. */
static int ext_count_other(const struct mapping *m, lblk_t lblk, uint64_t end,
		bool to_unwritten, uint32_t *ret_n)
{
	const enum map_type want = to_unwritten ? MAP_UNWRITTEN : MAP_WRITTEN;
	struct map_run run;
	uint32_t n = 0;
	int ret;

	for (uint64_t pos = lblk; pos < end; pos += run.len) {
		ret = ext_find(m, (lblk_t)pos, &run);
		if (ret < 0)
			return ret;
		if (run.type == MAP_HOLE)
			return ext_corrupt(
					m, 0, pos, "hole in a converted run");
		n += run.type != want;
	}
	*ret_n = n;
	return 0;
}

/* Enough credits for one more change, or -EAGAIN. */
static int ext_want_credits(struct handle *h, const struct mapping *m)
{
	const uint32_t want = ext_credits(m);

	if (handle_credits(h) >= want)
		return 0;
	return handle_extend(h, want);
}

int ext_convert(struct handle *h, struct mapping *m, lblk_t lblk, uint32_t len,
		bool to_unwritten, uint32_t aflags)
{
	const uint64_t end = (uint64_t)lblk + len;
	uint64_t next = lblk;
	uint32_t n = 0;
	int ret;

	/* Most often it lies in one extent: then there is nothing to plan. */
	ret = ext_convert_one(
			h, m, lblk, end, to_unwritten, true, aflags, &next);
	if (ret < 0 || next == end)
		return ret;
	ret = ext_count_other(m, lblk, end, to_unwritten, &n);
	if (ret < 0 || n == 0)
		return ret;
	if (n > 1) {
		/* Cut at both ends first: what follows then needs no room,
		 * and want of room leaves the mapping as it was. */
		ret = ext_split_at(h, m, lblk, to_unwritten, aflags);
		if (ret == 0)
			ret = ext_want_credits(h, m);
		if (ret == 0)
			ret = ext_split_at(h, m, end, to_unwritten, aflags);
	}
	for (bool first = n == 1; ret == 0 && next < end; first = false) {
		if (!first)
			ret = ext_want_credits(h, m);
		if (ret == 0)
			ret = ext_convert_one(h, m, (lblk_t)next, end,
					to_unwritten, false, aflags, &next);
	}
	ext_shrink(h, m);
	return ret;
}

/* ---- remove ---- */

/* The last extent that begins before @end, cut to [lblk, end) and to the group
 * of its last block: what one step removes. False: nothing is there, and
 * *ret_end is where to go on looking (or lblk). */
static int ext_last_part(const struct mapping *m, struct ext_path *path,
		lblk_t lblk, uint64_t end, struct dext_leaf *ret_e,
		struct dext_leaf *ret_part, uint64_t *ret_end)
{
	const struct ext_level *l = ext_leaf(path);
	struct dext_leaf e = { 0 };
	uint64_t lo, hi;
	uint32_t in_grp;
	int ret;

	if (l->idx < 0) {
		/* Before the whole tree, or in a leaf without entries. */
		*ret_end = l->lo < end ? max_u64(l->lo, lblk) : lblk;
		return 0;
	}
	ret = ext_entry_get(m, path, l->idx, &e);
	if (ret < 0)
		return ret;
	lo = max_u64(e.lblk, lblk);
	hi = min_u64(ext_end(&e), end);
	if (lo >= hi) {
		*ret_end = lblk;
		return 0;
	}
	in_grp = geo_index_of_block(m->geo, e.pblk + (hi - 1 - e.lblk)) + 1;
	if (hi - lo > in_grp)
		lo = hi - in_grp;
	*ret_e = e;
	*ret_part = ext_part(&e, lo, hi);
	return 1;
}

/* Remove @part of @e, the extent that @path leads to. */
static int ext_remove_part(struct handle *h, struct mapping *m,
		struct ext_path *path, const struct dext_leaf *e,
		const struct dext_leaf *part)
{
	const struct alloc_run run = { .pblk = part->pblk, .len = part->len };
	struct ext_recs recs = { .at = (unsigned)ext_leaf(path)->idx,
		.n_old = 1,
		.aflags = ALLOC_F_ROOT };
	struct ext_plan plan;
	int ret;

	ext_recs_add(&recs, ext_part(e, e->lblk, part->lblk));
	ext_recs_add(&recs, ext_part(e, ext_end(part), ext_end(e)));
	ret = ext_plan_prepare(&plan, h, m, path, &recs);
	if (ret < 0)
		return ret;
	ret = alloc_free(h, m->alloc, run,
			m->is_metadata ? ALLOC_F_METADATA : 0);
	if (ret < 0) {
		ext_plan_cancel(&plan);
		return ret;
	}
	m->blocks -= run.len;
	return ext_plan_commit(&plan);
}

int ext_remove(struct handle *h, struct mapping *m, lblk_t lblk, uint64_t end,
		uint64_t *ret_end)
{
	struct dext_leaf e = { 0 }, part = { 0 };
	struct ext_path path;
	int ret = 0;

	end = min_u64(end, DEXT_LBLK_END);
	while (end > lblk) {
		ret = ext_want_credits(h, m);
		if (ret < 0)
			goto out_end; /* go on after handle_restart() */
		ret = ext_path_get(m, (lblk_t)(end - 1), &path);
		if (ret < 0)
			goto out_end;
		ret = ext_last_part(m, &path, lblk, end, &e, &part, &end);
		if (ret > 0) {
			ret = ext_remove_part(h, m, &path, &e, &part);
			if (ret == 0)
				end = part.lblk;
		}
		ext_path_put(&path);
		if (ret < 0)
			goto out_end;
	}
	ext_shrink(h, m);
out_end:
	*ret_end = max_u64(end, lblk);
	return ret == -EAGAIN ? 0 : ret;
}

uint32_t ext_credits(const struct mapping *m)
{
	/* The tree may grow by a level before the credits are used. */
	const uint32_t depth = min_of(DEXT_DEPTH_MAX,
			atomic_load_explicit(&m->depth, memory_order_relaxed) +
					1);
	const uint32_t nodes = min_of(depth + 1, DEXT_DEPTH_MAX);

	/* Every node on the path; for each level a new node with bitmap and
	 * descriptor, or two that go, which are four; the data; the inode. */
	return depth + 4 * nodes + ALLOC_CREDITS_RUN + 1;
}

uint32_t ext_nodes_worst(const struct mapping *m, uint32_t len)
{
	const uint32_t max = dext_max_entries(m->geo, m->geo->block_size);
	/* A node that came from a split takes so many entries until the next;
	 * an appending split leaves a full node behind: that is one more. */
	const uint64_t per = max_of(max / 2 - 1, 1u);
	const uint32_t depth =
			atomic_load_explicit(&m->depth, memory_order_relaxed);
	uint64_t n = len, total = 0, there = 4;

	for (uint32_t k = 1; k < depth; k++)
		there *= max;
	/* From the leaves up: each node that is there may be full already. */
	for (uint32_t k = 0; k < depth; k++) {
		n = min_u64(n, there) + 2 * n / per + 1;
		total += n;
		there /= max;
	}
	/* And the levels that come on top. */
	for (uint32_t k = depth; k < DEXT_DEPTH_MAX && n > 0; k++) {
		n = 2 * n / per;
		total += n + 1;
	}
	return (uint32_t)min_u64(total, UINT32_MAX);
}
