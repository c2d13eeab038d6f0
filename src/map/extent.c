/* SPDX-License-Identifier: MIT */
/*
 * Extent trees, the reading half: the way down, with all checks on it.
 *
 * A path is walked level by level, never by recursion; its length is bounded
 * by the depth in the root, and each node must be one less deep than its
 * parent, so that no arrangement of blocks can make a circle.
 *
 * A node is checked in full once after it was read (buf "verified"). A buf may
 * have been verified as something else, or for another inode: what the lower
 * code relies upon for its own safety (header, bounds, depth) is looked at on
 * every visit, and every block number is looked at where it leaves the tree.
 */
#include "map/extent.h"

#include <inttypes.h>

#include "base/le.h"
#include "base/log.h"
#include "cache/buf.h"
#include "disk/dinode.h"
#include "disk/geo.h"

/* Further away from its neighbour than this, a block is no continuation. */
#define EXT_GOAL_FAR 32768u

int ext_corrupt(const struct mapping *m, unsigned level, pblk_t pblk,
		const char *why)
{
	log_err(m->log,
			"inode %u: extent tree, level %u, block %" PRIu64
			": %s",
			m->inum, level, pblk, why);
	return -UEXT4_ECORRUPT;
}

int ext_check_root(const struct mapping *m)
{
	const struct dext_bounds bounds = {
		.depth = DEXT_ANY_DEPTH,
		.lo = 0,
		.hi = DEXT_LBLK_END,
	};
	const char *why = "bad root";

	if (dext_check(m->geo, m->root, DEXT_ROOT_SIZE, &bounds, &why) < 0)
		return ext_corrupt(m, 0, 0, why);
	return 0;
}

/* No entry of the node may lead to a system block (M1). */
static int ext_check_system(
		const struct mapping *m, unsigned level, const uint8_t *node)
{
	const unsigned n = dext_entries(node);
	struct dext_leaf leaf;
	struct dext_idx idx;

	for (unsigned i = 0; i < n; i++) {
		if (dext_depth(node) == 0) {
			dext_leaf_decode(node, i, &leaf);
			if (map_is_system(m, leaf.pblk, leaf.len))
				return ext_corrupt(m, level, leaf.pblk,
						"extent over system blocks");
		} else {
			dext_idx_decode(node, i, &idx);
			if (map_is_system(m, idx.pblk, 1))
				return ext_corrupt(m, level, idx.pblk,
						"node in system blocks");
		}
	}
	return 0;
}

/* The full check of a node that was just read. */
static int ext_check_node(const struct mapping *m, unsigned level,
		struct buf *b, const struct dext_bounds *bounds)
{
	const char *why = "bad node";
	int ret;

	ret = dext_csum_verify(m->geo,
			dinode_csum_seed(m->geo, m->inum, m->gen), b->data);
	if (ret < 0) {
		log_err(m->log,
				"inode %u: extent tree, level %u, block "
				"%" PRIu64 ": bad checksum",
				m->inum, level, b->pblk);
		return ret;
	}
	ret = dext_check(m->geo, b->data, m->geo->block_size, bounds, &why);
	if (ret < 0)
		return ext_corrupt(m, level, b->pblk, why);
	ret = ext_check_system(m, level, b->data);
	if (ret == 0)
		buf_set_verified(b);
	return ret;
}

/* Does a node that was checked before fit into this place of this tree? */
static int ext_check_place(const struct mapping *m, unsigned level,
		struct buf *b, const struct dext_bounds *bounds)
{
	struct dext_leaf last;
	struct dext_hdr hdr;
	uint64_t end;

	dext_hdr_decode(b->data, &hdr);
	if (hdr.magic != DEXT_MAGIC || hdr.entries > hdr.max ||
			hdr.max > dext_max_entries(m->geo, m->geo->block_size))
		return ext_corrupt(m, level, b->pblk, "not an extent node");
	if (hdr.depth != bounds->depth)
		return ext_corrupt(m, level, b->pblk, "wrong depth");
	if (hdr.entries == 0) {
		if (hdr.depth > 0)
			return ext_corrupt(m, level, b->pblk, "empty index");
		return 0;
	}

	/* The key is the first word of leaves and indexes alike. */
	if (get_le32(b->data + DEXT_HDR_SIZE) != bounds->lo)
		return ext_corrupt(m, level, b->pblk,
				"first block differs from its index");
	dext_leaf_decode(b->data, hdr.entries - 1u, &last);
	end = (uint64_t)last.lblk + (hdr.depth == 0 ? last.len : 1);
	if (end > bounds->hi)
		return ext_corrupt(
				m, level, b->pblk, "runs into the next node");
	return 0;
}

/* Read and check the node at @pblk as level @k of @path. */
static int ext_level_get(const struct mapping *m, struct ext_path *path,
		unsigned k, pblk_t pblk)
{
	struct ext_level *l = &path->level[k];
	const struct dext_bounds bounds = {
		.depth = (int)(path->depth - k),
		.lo = l->lo,
		.hi = l->hi,
	};
	struct buf *b;
	int ret;

	if (map_is_system(m, pblk, 1))
		return ext_corrupt(m, k, pblk, "node in system blocks");
	ret = buf_read(m->cache, pblk, &b);
	if (ret < 0)
		return ret;

	if (!buf_is_verified(b))
		ret = ext_check_node(m, k, b, &bounds);
	if (ret == 0)
		ret = ext_check_place(m, k, b, &bounds);
	if (ret < 0) {
		buf_put(b);
		return ret;
	}
	l->buf = b;
	l->node = b->data;
	return 0;
}

/* Go down from level @k of @path to level k + 1, along l->idx. */
static int ext_descend(
		const struct mapping *m, struct ext_path *path, unsigned k)
{
	struct ext_level *l = &path->level[k];
	struct ext_level *down = l + 1;
	struct dext_idx idx;

	if ((unsigned)l->idx + 1 < dext_entries(l->node)) {
		dext_idx_decode(l->node, (unsigned)l->idx + 1, &idx);
		down->hi = idx.lblk;
	} else {
		down->hi = l->hi;
	}
	dext_idx_decode(l->node, (unsigned)l->idx, &idx);
	down->lo = idx.lblk;
	if (down->lo >= down->hi)
		return ext_corrupt(m, k, idx.pblk, "indexes out of order");
	return ext_level_get(m, path, k + 1, idx.pblk);
}

int ext_path_get(
		const struct mapping *m, lblk_t lblk, struct ext_path *ret_path)
{
	struct ext_path path = { 0 };
	unsigned k;
	int ret;

	ret = ext_check_root(m);
	if (ret < 0)
		return ret;
	path.depth = dext_depth(m->root);
	path.level[0].node = m->root;
	path.level[0].hi = DEXT_LBLK_END;

	for (k = 0;; k++) {
		path.level[k].idx = dext_search(path.level[k].node, lblk);
		if (k == path.depth)
			break;
		if (dext_entries(path.level[k].node) == 0) {
			/* Only a root: nodes were checked. */
			ret = ext_corrupt(m, k, 0, "empty index");
			goto out_path;
		}
		if (path.level[k].idx < 0)
			path.level[k].idx = 0; /* before the whole tree */
		ret = ext_descend(m, &path, k);
		if (ret < 0)
			goto out_path;
	}
	*ret_path = path;
	return 0;
out_path:
	ext_path_put(&path);
	return ret;
}

void ext_path_put(struct ext_path *path)
{
	for (unsigned k = 0; k <= path->depth; k++) {
		buf_put(path->level[k].buf);
		path->level[k].buf = NULL;
	}
}

/* Turn what the leaf of @path says of @lblk into a run. */
static int ext_leaf_run(const struct mapping *m, struct ext_path *path,
		lblk_t lblk, struct map_run *ret_run)
{
	const struct ext_level *l = ext_leaf(path);
	uint64_t next = l->hi;
	struct dext_leaf e;

	if (l->idx >= 0) {
		dext_leaf_decode(l->node, (unsigned)l->idx, &e);
		if (lblk - e.lblk < e.len) {
			uint32_t skip = lblk - e.lblk;

			if (map_is_system(m, e.pblk, e.len))
				return ext_corrupt(m, path->depth, e.pblk,
						"extent over system blocks");
			*ret_run = (struct map_run){
				.lblk = lblk,
				.len = e.len - skip,
				.pblk = e.pblk + skip,
				.type = e.unwritten ? MAP_UNWRITTEN
						    : MAP_WRITTEN,
			};
			return 0;
		}
	}
	if ((unsigned)(l->idx + 1) < dext_entries(l->node)) {
		dext_leaf_decode(l->node, (unsigned)(l->idx + 1), &e);
		next = e.lblk;
	}
	if (next <= lblk) {
		if (lblk < DEXT_LBLK_END)
			return ext_corrupt(m, path->depth,
					l->buf ? l->buf->pblk : 0,
					"extents out of order");
		next = (uint64_t)lblk + 1; /* the one block beyond all files */
	}
	*ret_run = (struct map_run){
		.lblk = lblk,
		.len = (uint32_t)(next - lblk),
		.type = MAP_HOLE,
	};
	return 0;
}

int ext_find(const struct mapping *m, lblk_t lblk, struct map_run *ret_run)
{
	struct ext_path path;
	int ret;

	ret = ext_path_get(m, lblk, &path);
	if (ret < 0)
		return ret;
	ret = ext_leaf_run(m, &path, lblk, ret_run);
	ext_path_put(&path);
	return ret;
}

int ext_find_whole(
		const struct mapping *m, lblk_t lblk, struct map_run *ret_run)
{
	struct ext_path path;
	struct dext_leaf e;
	uint32_t skip;
	int ret;

	ret = ext_path_get(m, lblk, &path);
	if (ret < 0)
		return ret;
	ret = ext_leaf_run(m, &path, lblk, ret_run);
	if (ret == 0 && ret_run->type != MAP_HOLE) {
		dext_leaf_decode(ext_leaf(&path)->node,
				(unsigned)ext_leaf(&path)->idx, &e);
		skip = lblk - e.lblk;
		ret_run->lblk -= skip;
		ret_run->pblk -= skip;
		ret_run->len += skip;
	}
	ext_path_put(&path);
	return ret;
}

pblk_t ext_goal(const struct mapping *m, lblk_t lblk)
{
	struct ext_path path;
	struct ext_level *l;
	struct dext_leaf e;
	pblk_t goal = 0;

	if (ext_path_get(m, lblk, &path) < 0)
		return 0;
	l = ext_leaf(&path);
	if (l->idx >= 0) {
		dext_leaf_decode(l->node, (unsigned)l->idx, &e);
		goal = e.pblk;
		goal += lblk - e.lblk - e.len < EXT_GOAL_FAR ? lblk - e.lblk
							     : e.len;
	} else if (dext_entries(l->node) > 0) {
		dext_leaf_decode(l->node, 0, &e);
		if (e.lblk - lblk < min_of(e.pblk, (pblk_t)EXT_GOAL_FAR))
			goal = e.pblk - (e.lblk - lblk);
	}
	ext_path_put(&path);
	return geo_block_ok(m->geo, goal) ? goal : 0;
}

/* Tell @fn of what the leaf of @path maps. */
static int ext_walk_leaf(const struct ext_level *l,
		int (*fn)(void *ctx, pblk_t pblk, uint32_t len, bool is_node),
		void *ctx)
{
	const unsigned n = dext_entries(l->node);
	struct dext_leaf e;
	int ret = 0;

	for (unsigned i = 0; i < n && ret == 0; i++) {
		dext_leaf_decode(l->node, i, &e);
		ret = fn(ctx, e.pblk, e.len, false);
	}
	return ret;
}

int ext_walk(const struct mapping *m,
		int (*fn)(void *ctx, pblk_t pblk, uint32_t len, bool is_node),
		void *ctx)
{
	pblk_t seen[EXT_LEVELS] = { 0 };
	struct ext_path path;
	uint64_t next = 0;
	int ret;

	/* Leaf by leaf from the root: what lies behind a leaf only grows, so
	 * the walk ends, and a node is told when it is first met. */
	do {
		ret = ext_path_get(m, (lblk_t)next, &path);
		if (ret < 0)
			return ret;
		for (unsigned k = 1; k <= path.depth && ret == 0; k++) {
			pblk_t pblk = path.level[k].buf->pblk;

			if (seen[k] != pblk)
				ret = fn(ctx, pblk, 1, true);
			seen[k] = pblk;
		}
		if (ret == 0)
			ret = ext_walk_leaf(ext_leaf(&path), fn, ctx);
		next = ext_leaf(&path)->hi;
		ext_path_put(&path);
	} while (ret == 0 && next < DEXT_LBLK_END);
	return ret;
}
