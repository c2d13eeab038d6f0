/* SPDX-License-Identifier: MIT */
/*
 * ext4's answers to iomap for DAX files: where bytes go, and what makes them
 * visible.
 *
 * Writes follow the policy "data first" of buffered write-back, for every
 * format: blocks for a hole are reserved in memory, the data is put there, and
 * then one handle marks them used, enters them as written and raises the sizes.
 * Unwritten blocks are converted in a handle of the same shape. So no block is
 * mapped before all of its bytes are there, none stands beyond the size in any
 * committed state, and a write that fails leaves nothing to clean up. Indirect
 * files, which know no unwritten state, need no way of their own.
 *
 * Rules    (FX1) The two sizes of a DAX file are equal whenever its iolock is
 *                free: nothing is delayed. What ends inside isize extends
 *                nothing.
 *          (FX2) Blocks are reserved and entered under the exclusive iolock, so
 *                what was a hole in dax_begin() is one in dax_end().
 *          (FX3) The tree nodes that a reserved run may need are claimed with it,
 *                as far as there is room for them: then entering it does not
 *                fail for lack of space. The last few blocks go without; if
 *                a node was needed, the run goes back.
 *
 * Locks    iolock(w) > [ handle > map(w) > size ]; overwrites: iolock(r) >
 *          map(r).
 */
#include <assert.h>

#include "alloc/alloc.h"
#include "bdev/bdev.h"
#include "fs/fs.h"
#include "fs/write.h"
#include "journal/txn.h"

static struct inode *dax_inode(struct iomap_file *f)
{
	return container_of(f, struct inode, file);
}

/* ---- begin ---- */

/* Reserve up to @req->len blocks, and claim their nodes. */
static int dax_reserve_paid(struct inode *inode, const struct alloc_req *req,
		struct alloc_run *ret_run, uint32_t *ret_nodes)
{
	struct alloc *a = inode->it->alloc;
	uint32_t nodes = map_nodes_run(&inode->map, req->len);
	int ret;

	ret = alloc_claim(a, nodes, map_super_flag(&inode->map));
	if (ret < 0)
		return ret;
	ret = alloc_reserve(a, req, ret_run);
	*ret_nodes = ret < 0 ? 0 : map_nodes_run(&inode->map, ret_run->len);
	alloc_unclaim(a, nodes - *ret_nodes);
	return ret;
}

/* A place for the hole @run, or the start of it (FX3). */
static int dax_reserve(
		struct inode *inode, struct map_run *run, uint32_t *ret_nodes)
{
	struct alloc_req req = {
		.goal = map_goal(&inode->map, run->lblk),
		.len = run->len,
		.flags = map_super_flag(&inode->map),
		.lblk = run->lblk,
	};
	struct alloc_run got;
	int ret;

	if (!inode->map.is_extents)
		req.flags |= ALLOC_F_LOW32;
	for (;; req.len /= 2) {
		ret = dax_reserve_paid(inode, &req, &got, ret_nodes);
		if (ret != -ENOSPC || req.len == 1)
			break;
	}
	if (ret == -ENOSPC) {
		*ret_nodes = 0;
		ret = alloc_reserve(inode->it->alloc, &req, &got);
	}
	if (ret < 0)
		return ret;
	run->pblk = got.pblk;
	run->len = got.len;
	run->type = MAP_WRITTEN;
	run->is_new = true;
	return 0;
}

static int dax_begin_write(struct inode *inode, lblk_t lblk, uint32_t n,
		uint32_t flags, struct iomap *ret_map)
{
	uint32_t bits = inode->file.blkbits;
	uint32_t nodes = 0;
	struct map_run run;
	int ret;

	ret = map_find(&inode->map, lblk, n, &run);
	if (ret < 0)
		return ret;
	if (run.type == MAP_HOLE) {
		if (flags & IOMAP_NOWAIT)
			return -EAGAIN;
		rwsem_assert_write_held(&inode->rwsem); /* FX2 */
		run.len = min_of(run.len, n);
		ret = dax_reserve(inode, &run, &nodes);
		if (ret < 0)
			return ret;
	}
	*ret_map = (struct iomap){
		.addr = run.pblk << bits,
		.offset = (uint64_t)run.lblk << bits,
		.length = (uint64_t)run.len << bits,
		.type = run.type == MAP_UNWRITTEN ? IOMAP_UNWRITTEN
						  : IOMAP_MAPPED,
		.flags = run.is_new ? IOMAP_F_NEW : 0,
		.cookie = nodes, /* claimed, for dax_end() */
	};
	return 0;
}

static int dax_begin(struct iomap_file *f, uint64_t pos, uint64_t len,
		uint32_t flags, struct iomap *ret_map)
{
	uint64_t first = pos >> f->blkbits;
	uint64_t last = (pos + len - 1) >> f->blkbits;

	if (!(flags & IOMAP_WRITE))
		return fs_iomap_ops.begin(f, pos, len, flags, ret_map);
	if (last > UINT32_MAX)
		return -EFBIG;
	return dax_begin_write(dax_inode(f), (lblk_t)first,
			(uint32_t)(last - first + 1), flags, ret_map);
}

/* ---- end ---- */

/* A piece that was written. */
struct dax_piece {
	struct map_run run;
	uint64_t end;   /* of its bytes */
	uint32_t nodes; /* claimed, of these still there */
	bool reserved;  /* not yet marked used */
};

/* Mark the reserved run used and insert it. */
static int dax_insert(
		struct handle *h, struct inode *inode, struct dax_piece *p)
{
	const struct map_run *run = &p->run;
	struct alloc_run ar = { .pblk = run->pblk, .len = run->len };
	struct mapping *m = &inode->map;
	uint64_t used = atomic_load(&m->nodes_claimed);
	int ret;

	ret = alloc_rsv_commit(h, inode->it->alloc, ar);
	if (ret < 0)
		return ret;
	p->reserved = false;
	ret = map_insert(h, m, run->lblk, run->pblk, run->len,
			p->nodes > 0 ? MAP_F_CLAIMED : 0);
	used = atomic_load(&m->nodes_claimed) - used;
	assert(used <= p->nodes);
	p->nodes -= (uint32_t)used;
	if (ret < 0)
		(void)alloc_free(h, inode->it->alloc, ar, 0);
	return ret;
}

/* The one transaction of a piece. */
static int dax_commit(struct inode *inode, struct dax_piece *p)
{
	const struct map_run *run = &p->run;
	struct converted c = {
		.lblk = run->lblk,
		.len = run->len,
		.end = p->end,
		.grow = true,
	};
	uint32_t credits = INODE_CREDITS;
	struct handle *h;
	int err;
	int ret = 0;

	if (run->is_new)
		credits += map_credits_alloc(&inode->map, run->len) +
				2 * ALLOC_CREDITS_RUN;
	else if (run->type == MAP_UNWRITTEN)
		credits += map_credits_convert(&inode->map);
	err = handle_start(inode->it->journal, credits, &h);
	if (err < 0)
		return err;
	if (run->is_new)
		ret = dax_insert(h, inode, p);
	else if (run->type == MAP_UNWRITTEN)
		ret = convert_unwritten_extents(h, inode, &c);
	if (ret == 0)
		ret = handle_inode_extension(h, inode, p->end);
	return handle_finish(h, ret);
}

static int dax_end(struct iomap_file *f, uint64_t pos, uint64_t len,
		uint64_t done, uint32_t flags, struct iomap *map)
{
	struct inode *inode = dax_inode(f);
	uint64_t first = pos >> f->blkbits;
	bool is_new = (map->flags & IOMAP_F_NEW) != 0;
	struct dax_piece p = {
		.run = {
			.lblk = (lblk_t)first,
			.len = (uint32_t)(((pos + len - 1) >> f->blkbits) -
					first) + 1,
			.pblk = map->addr >> f->blkbits,
			.type = map->type == IOMAP_UNWRITTEN ? MAP_UNWRITTEN
							     : MAP_WRITTEN,
			.is_new = is_new,
		},
		.end = pos + done,
		.nodes = is_new ? (uint32_t)map->cookie : 0,
		.reserved = is_new,
	};
	int ret = 0;

	if (!(flags & IOMAP_WRITE))
		return 0;
	if (done > 0 &&
			(is_new || p.run.type == MAP_UNWRITTEN ||
					p.end > inode_size(inode))) /* FX1 */
		ret = dax_commit(inode, &p);
	if (p.reserved)
		alloc_rsv_release(inode->it->alloc,
				(struct alloc_run){ p.run.pblk, p.run.len });
	if (p.nodes > 0)
		alloc_unclaim(inode->it->alloc, p.nodes);
	return ret;
}

/* No page, so no claims and no write-back. */
const struct iomap_ops fs_dax_ops = {
	.begin = dax_begin,
	.end = dax_end,
};

/* ---- mounting ---- */

int fs_check_dax(struct uext4_fs *fs)
{
	void *addr;
	int ret;

	if (!(fs->opts.flags & UEXT4_MNT_DAX))
		return 0;
	if (fs->opts.flags & UEXT4_MNT_DIRECT) {
		log_err(&fs->log,
				"DAX goes through the host's cache, DIRECT "
				"past it: choose one");
		return -EINVAL;
	}
	ret = bdev_map(fs->dev, 0, bdev_size(fs->dev), &addr);
	if (ret < 0)
		log_err(&fs->log,
				"DAX: the device cannot be mapped into "
				"memory: %s",
				err_text(ret));
	return ret;
}
