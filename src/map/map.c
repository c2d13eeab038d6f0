/* SPDX-License-Identifier: MIT */
/*
 * The door: locks, the extent status in front of the trees, goals, accounts.
 *
 * Every function that changes something goes the same way: take map_lock,
 * bring the tree into its new form, correct the extent status, count seq on,
 * and have the inode written once (map_changed()). The status is corrected
 * also when the tree reports an error: it then forgets the range (M3).
 */
#include "map/map.h"

#include <assert.h>
#include <string.h>

#include "disk/dextent.h"
#include "disk/geo.h"
#include "journal/txn.h"
#include "map/es.h"
#include "map/extent.h"
#include "map/indirect.h"

static void map_note_depth(struct mapping *m)
{
	uint32_t depth = 0;

	if (m->is_extents && m->root)
		depth = min_of(dext_depth(m->root), DEXT_DEPTH_MAX);
	atomic_store_explicit(&m->depth, depth, memory_order_relaxed);
}

void mapping_init(struct mapping *m)
{
	rwsem_init(&m->lock, "map_lock", LOCK_RANK_MAP);
	m->pa = (struct alloc_pa){ 0 };
	m->es = NULL;
	atomic_init(&m->seq, 0);
	atomic_init(&m->nodes_claimed, 0);
	atomic_init(&m->for_super, false);
	atomic_init(&m->depth, 0);
	map_note_depth(m);
}

void mapping_fini(struct mapping *m)
{
	if (m->alloc)
		alloc_pa_release(m->alloc, &m->pa);
	es_free(m->es);
	m->es = NULL;
	rwsem_fini(&m->lock);
}

void mapping_reset(struct mapping *m)
{
	rwsem_write_lock(&m->lock);
	if (m->es)
		es_clear(m->es);
	m->seq++;
	map_note_depth(m);
	rwsem_write_unlock(&m->lock);
}

void mapping_init_root(struct mapping *m)
{
	memset(m->root, 0, DEXT_ROOT_SIZE);
	if (m->is_extents)
		dext_init(m->geo, m->root, DEXT_ROOT_SIZE, 0);
	map_note_depth(m);
}

int mapping_check_root(const struct mapping *m)
{
	return m->is_extents ? ext_check_root(m) : ind_check_root(m);
}

bool map_is_system(const struct mapping *m, pblk_t pblk, uint64_t len)
{
	if (!geo_range_ok(m->geo, pblk, len))
		return true;
	return m->alloc && alloc_is_system(m->alloc, pblk, len);
}

uint64_t map_max_blocks(const struct mapping *m)
{
	return m->is_extents ? DEXT_LBLK_END : ind_max_blocks(m);
}

/* ---- look-up ---- */

static int map_tree_find(
		const struct mapping *m, lblk_t lblk, struct map_run *ret_run)
{
	return m->is_extents ? ext_find(m, lblk, ret_run)
			     : ind_find(m, lblk, ret_run);
}

static void map_cut(struct map_run *run, uint32_t max)
{
	run->len = min_of(run->len, max_of(max, 1u));
}

static void map_remember_locked(struct mapping *m, const struct map_run *run)
		UEXT4_REQUIRES(m->lock)
{
	if (!m->es && es_new(&m->es) < 0)
		return;
	es_insert(m->es, run);
}

void map_remember(struct mapping *m, const struct map_run *run, uint64_t seq)
{
	if (!rwsem_write_trylock(&m->lock))
		return;
	if (atomic_load_explicit(&m->seq, memory_order_relaxed) == seq)
		map_remember_locked(m, run); /* M2 */
	rwsem_write_unlock(&m->lock);
}

int map_find_cached(struct mapping *m, lblk_t lblk, uint32_t max,
		struct map_run *ret_run)
{
	bool known;

	if (!rwsem_read_trylock(&m->lock))
		return -EAGAIN;
	known = m->es && es_find(m->es, lblk, ret_run);
	rwsem_read_unlock(&m->lock);
	if (!known)
		return -EAGAIN;
	map_cut(ret_run, max);
	return 0;
}

/* The whole run from @lblk on. */
static int map_lookup(struct mapping *m, lblk_t lblk, struct map_run *ret_run)
{
	uint64_t seq;
	bool known;
	int ret = 0;

	rwsem_read_lock(&m->lock);
	known = m->es && es_find(m->es, lblk, ret_run);
	if (!known)
		ret = map_tree_find(m, lblk, ret_run);
	seq = atomic_load_explicit(&m->seq, memory_order_relaxed);
	rwsem_read_unlock(&m->lock);
	if (!known && ret == 0)
		map_remember(m, ret_run, seq);
	return ret;
}

int map_find(struct mapping *m, lblk_t lblk, uint32_t max,
		struct map_run *ret_run)
{
	int ret = map_lookup(m, lblk, ret_run);

	if (ret == 0)
		map_cut(ret_run, max);
	return ret;
}

int map_next(struct mapping *m, lblk_t lblk, struct map_run *ret_run)
{
	const uint64_t max = map_max_blocks(m);
	struct map_run run;
	int ret;

	/* A hole ends at what follows or, in a block tree, at the end of a
	 * node: there are at most as many steps as nodes. */
	for (uint64_t pos = lblk; pos < max; pos += run.len) {
		ret = map_lookup(m, (lblk_t)pos, &run);
		if (ret < 0)
			return ret;
		if (run.type != MAP_HOLE) {
			*ret_run = run;
			return 0;
		}
	}
	return -ENOENT;
}

static int map_lookup_locked(struct mapping *m, lblk_t lblk,
		struct map_run *ret_run) UEXT4_REQUIRES(m->lock)
{
	int ret;

	if (m->es && es_find(m->es, lblk, ret_run))
		return 0;
	ret = map_tree_find(m, lblk, ret_run);
	if (ret == 0)
		map_remember_locked(m, ret_run);
	return ret;
}

/* ---- changes ---- */

/* The tree is not what it was: have the inode written, or leave that to the
 * caller. */
static int map_changed_flags(struct handle *h, struct mapping *m,
		uint32_t flags) UEXT4_REQUIRES(m->lock)
{
	m->seq++;
	return flags & MAP_F_LATE ? 0 : m->ops->dirty(m, h);
}

static int map_changed(struct handle *h, struct mapping *m)
		UEXT4_REQUIRES(m->lock)
{
	return map_changed_flags(h, m, 0);
}

static void map_forget_locked(struct mapping *m, lblk_t lblk, uint64_t end)
		UEXT4_REQUIRES(m->lock)
{
	if (m->es)
		es_remove(m->es, lblk, end);
}

uint32_t map_super_flag(struct mapping *m)
{
	return atomic_load_explicit(&m->for_super, memory_order_relaxed)
			? ALLOC_F_SUPER
			: 0;
}

/* ALLOC_F_* for node blocks. */
static uint32_t map_node_flags(struct mapping *m, uint32_t flags)
{
	return (flags & MAP_F_ROOT ? ALLOC_F_ROOT : map_super_flag(m)) |
			(flags & MAP_F_CLAIMED ? ALLOC_F_CLAIMED : 0);
}

static pblk_t map_goal_locked(struct mapping *m, lblk_t lblk)
{
	pblk_t goal = m->is_extents ? ext_goal(m, lblk) : ind_goal(m, lblk);

	return goal ? goal : alloc_goal_for_inode(m->alloc, m->inum);
}

pblk_t map_goal(struct mapping *m, lblk_t lblk)
{
	pblk_t goal;

	rwsem_read_lock(&m->lock);
	goal = map_goal_locked(m, lblk);
	rwsem_read_unlock(&m->lock);
	return goal;
}

static struct alloc_req map_alloc_req(
		struct mapping *m, lblk_t lblk, uint32_t len, uint32_t flags)
{
	struct alloc_req req = {
		.goal = map_goal_locked(m, lblk),
		.len = len,
		.flags = flags & MAP_F_ROOT ? ALLOC_F_ROOT : map_super_flag(m),
		.lblk = lblk,
	};

	if (m->is_metadata)
		req.flags |= ALLOC_F_METADATA;
	if (m->is_metadata || (flags & MAP_F_KEEP))
		req.flags |= ALLOC_F_NOPREALLOC;
	else
		req.pa = &m->pa;
	return req;
}

/* Allocate blocks for the hole at @lblk and enter them into the tree. */
static int map_fill_extents(struct handle *h, struct mapping *m,
		const struct alloc_req *req, uint32_t flags,
		struct map_run *ret_run)
{
	struct map_run new = {
		.lblk = req->lblk,
		.type = flags & MAP_F_UNWRITTEN ? MAP_UNWRITTEN : MAP_WRITTEN,
		.is_new = true,
	};
	struct alloc_run run;
	int ret;

	ret = alloc_blocks(h, m->alloc, req, &run);
	if (ret < 0)
		return ret;
	new.pblk = run.pblk;
	new.len = run.len;
	ret = ext_insert(h, m, &new, map_node_flags(m, flags));
	if (ret < 0) {
		(void)alloc_free(h, m->alloc, run,
				m->is_metadata ? ALLOC_F_METADATA : 0);
		return ret;
	}
	m->blocks += run.len;
	*ret_run = new;
	return 0;
}

/* Fill at most @len blocks of the hole at @lblk. */
static int map_fill_locked(struct handle *h, struct mapping *m, lblk_t lblk,
		uint32_t len, uint32_t flags, struct map_run *ret_run)
		UEXT4_REQUIRES(m->lock)
{
	struct alloc_req req;
	struct map_run run;
	int ret, err;

	len = min_of(len,
			flags & MAP_F_UNWRITTEN ? DEXT_LEN_UNWRITTEN
						: DEXT_LEN_MAX);
	req = map_alloc_req(m, lblk, len, flags);
	if (m->is_extents)
		ret = map_fill_extents(h, m, &req, flags, &run);
	else
		ret = ind_alloc(h, m, lblk, len, &req, map_node_flags(m, flags),
				&run);
	if (ret < 0) {
		map_forget_locked(m, lblk, (uint64_t)lblk + len);
		return ret;
	}
	err = map_changed(h, m);
	map_remember_locked(m, &run);
	if (err < 0)
		return err;
	*ret_run = run;
	return 0;
}

int map_alloc(struct handle *h, struct mapping *m, lblk_t lblk, uint32_t max,
		uint32_t flags, struct map_run *ret_run)
{
	const uint64_t limit = map_max_blocks(m);
	struct map_run run;
	int ret;

	if (max == 0)
		return -EINVAL;
	if ((flags & MAP_F_UNWRITTEN) && !m->is_extents)
		return -EOPNOTSUPP;
	if (lblk >= limit)
		return -EFBIG;
	max = (uint32_t)min_u64(max, limit - lblk);

	rwsem_write_lock(&m->lock);
	ret = map_lookup_locked(m, lblk, &run);
	if (ret == 0) {
		map_cut(&run, max);
		if (run.type == MAP_HOLE)
			ret = map_fill_locked(h, m, lblk, run.len, flags, &run);
	}
	rwsem_write_unlock(&m->lock);
	if (ret == 0)
		*ret_run = run;
	return ret;
}

int map_insert(struct handle *h, struct mapping *m, lblk_t lblk, pblk_t pblk,
		uint32_t len, uint32_t flags)
{
	const bool unwritten = flags & MAP_F_UNWRITTEN;
	const struct map_run run = {
		.lblk = lblk,
		.len = len,
		.pblk = pblk,
		.type = unwritten ? MAP_UNWRITTEN : MAP_WRITTEN,
	};
	const uint64_t end = (uint64_t)lblk + len;
	int ret;

	if (len == 0 || len > (unwritten ? DEXT_LEN_UNWRITTEN : DEXT_LEN_MAX))
		return -EINVAL;
	if (unwritten && !m->is_extents)
		return -EOPNOTSUPP;
	if (end > map_max_blocks(m))
		return -EFBIG;
	if (map_is_system(m, pblk, len) ||
			(!m->is_extents && pblk + len > (pblk_t)UINT32_MAX + 1))
		return -UEXT4_ECORRUPT;

	rwsem_write_lock(&m->lock);
	if (m->is_extents)
		ret = ext_insert(h, m, &run, map_node_flags(m, flags));
	else
		ret = ind_insert(h, m, &run, map_node_flags(m, flags));
	if (ret == 0) {
		if (m->is_extents)
			m->blocks += len; /* ind_insert() has counted */
		map_remember_locked(m, &run);
		ret = map_changed_flags(h, m, flags);
	} else {
		map_forget_locked(m, lblk, end);
		/* A block tree may have come to nodes that are still empty. */
		if (!m->is_extents)
			(void)map_changed(h, m);
	}
	rwsem_write_unlock(&m->lock);
	return ret;
}

/* Block trees know the one state: see only that there is no hole. */
static int map_check_mapped(struct mapping *m, lblk_t lblk, uint64_t end)
		UEXT4_REQUIRES(m->lock)
{
	struct map_run run;
	int ret;

	for (uint64_t pos = lblk; pos < end; pos += run.len) {
		ret = map_lookup_locked(m, (lblk_t)pos, &run);
		if (ret < 0)
			return ret;
		if (run.type == MAP_HOLE)
			return -UEXT4_ECORRUPT;
	}
	return 0;
}

/* What is remembered of [lblk, end) after its state was changed: if all of it was
 * one run, that run in the new state; else nothing. */
static void map_remember_state(struct mapping *m, lblk_t lblk, uint64_t end,
		const struct map_run *was, bool to_unwritten)
		UEXT4_REQUIRES(m->lock)
{
	struct map_run run = *was;

	if (run.type == MAP_HOLE || end - lblk > run.len) {
		map_forget_locked(m, lblk, end);
		return;
	}
	run.len = (uint32_t)(end - lblk);
	run.type = to_unwritten ? MAP_UNWRITTEN : MAP_WRITTEN;
	map_remember_locked(m, &run);
}

static int map_set_state(struct handle *h, struct mapping *m, lblk_t lblk,
		uint32_t len, bool to_unwritten, uint32_t flags)
{
	const uint64_t end = (uint64_t)lblk + len;
	struct map_run was = { .type = MAP_HOLE };
	int ret, err;

	if (end > map_max_blocks(m))
		return -EFBIG;
	if (!m->is_extents && to_unwritten)
		return -EOPNOTSUPP;

	rwsem_write_lock(&m->lock);
	if (!m->is_extents) {
		ret = map_check_mapped(m, lblk, end);
	} else {
		if (m->es && !es_find(m->es, lblk, &was))
			was.type = MAP_HOLE;
		/* As metadata: what is promised to a finished write must not
		 * fail for want of a node block. */
		ret = ext_convert(h, m, lblk, len, to_unwritten,
				map_node_flags(m, MAP_F_ROOT | flags));
		if (ret == 0)
			map_remember_state(m, lblk, end, &was, to_unwritten);
		else
			map_forget_locked(m, lblk, end);
		err = map_changed_flags(h, m, flags);
		if (ret == 0)
			ret = err;
	}
	rwsem_write_unlock(&m->lock);
	return ret;
}

int map_convert_flags(struct handle *h, struct mapping *m, lblk_t lblk,
		uint32_t len, uint32_t flags)
{
	return map_set_state(h, m, lblk, len, false, flags);
}

int map_convert(struct handle *h, struct mapping *m, lblk_t lblk, uint32_t len)
{
	return map_set_state(h, m, lblk, len, false, 0);
}

int map_convert_fits(struct mapping *m, lblk_t lblk, uint32_t len)
{
	int ret;

	rwsem_read_lock(&m->lock);
	ret = m->is_extents ? ext_convert_fits(m, lblk, (uint64_t)lblk + len)
			    : 1;
	rwsem_read_unlock(&m->lock);
	return ret;
}

int map_convert_unwritten(
		struct handle *h, struct mapping *m, lblk_t lblk, uint32_t len)
{
	return map_set_state(h, m, lblk, len, true, 0);
}

int map_remove(struct handle *h, struct mapping *m, lblk_t lblk, uint64_t end,
		uint64_t *ret_end)
{
	int ret, err;

	if (end <= lblk) {
		*ret_end = lblk;
		return 0;
	}
	rwsem_write_lock(&m->lock);
	if (m->pa.len > 0)
		alloc_pa_release(m->alloc, &m->pa);
	if (m->is_extents)
		ret = ext_remove(h, m, lblk, end, ret_end);
	else
		ret = ind_remove(h, m, lblk, end, ret_end);
	map_forget_locked(m, lblk, end);
	err = map_changed(h, m);
	rwsem_write_unlock(&m->lock);
	return ret < 0 ? ret : err;
}

int map_find_extent(struct mapping *m, lblk_t lblk, struct map_run *ret_run)
{
	int ret;

	if (!m->is_extents)
		return -EOPNOTSUPP;
	rwsem_read_lock(&m->lock);
	ret = ext_find_whole(m, lblk, ret_run);
	rwsem_read_unlock(&m->lock);
	return ret;
}

int map_walk(struct mapping *m,
		int (*fn)(void *ctx, pblk_t pblk, uint32_t len, bool is_node),
		void *ctx)
{
	int ret;

	rwsem_read_lock(&m->lock);
	ret = m->is_extents ? ext_walk(m, fn, ctx) : ind_walk(m, fn, ctx);
	rwsem_read_unlock(&m->lock);
	return ret;
}

/* ---- credits ---- */

uint32_t map_credits_alloc(const struct mapping *m, uint32_t len)
{
	return m->is_extents ? ext_credits(m) : ind_credits_alloc(m, len);
}

uint32_t map_credits_remove(const struct mapping *m)
{
	return m->is_extents ? ext_credits(m) : ind_credits_remove(m);
}

uint32_t map_credits_convert(const struct mapping *m)
{
	return m->is_extents ? ext_credits(m) : 1;
}

uint32_t map_nodes_run(const struct mapping *m, uint32_t len)
{
	if (!m->is_extents)
		return ind_nodes_worst(m, len);
	/* One at each level that it may have by then, and a new root's. */
	return min_of(atomic_load_explicit(&m->depth, memory_order_relaxed) + 2,
			DEXT_DEPTH_MAX);
}

uint32_t map_nodes_convert(const struct mapping *m, uint32_t levels)
{
	uint32_t depth = levels +
			atomic_load_explicit(&m->depth, memory_order_relaxed);

	if (!m->is_extents)
		return 0;
	/* Two cuts: one node at each level and a new root's, and the second
	 * finds one level more. */
	return min_of(2 * depth + 3, 2u * DEXT_DEPTH_MAX);
}

uint32_t map_nodes_worst(const struct mapping *m, uint32_t len)
{
	return m->is_extents ? ext_nodes_worst(m, len)
			     : ind_nodes_worst(m, len);
}
