/* SPDX-License-Identifier: MIT */
/*
 * Inode numbers: choosing, marking and freeing them.
 *
 * The lowest free number of the chosen group is taken, which keeps the used
 * part of each inode table short. A table may have been left unwritten by
 * mke2fs (no INODE_ZEROED): it then holds whatever the device held, beyond
 * the part that itable_unused says was in use. As the lowest free number is
 * never beyond the first unused one, at most one block of the table has to be
 * zeroed for an inode, and it is, in the same handle.
 *
 * A number that was freed may be given out again at once: freeing and reuse
 * are journalled in order, and blocks, which are not, wait on their own.
 *
 * Rules    (N1) A number below first_ino is never given out or freed.
 *          (N2) A block of an unwritten table is zeroed before any inode in
 *               it is marked used: whoever gets the second inode of a block
 *               must not have it wiped by the thread that got the first. So
 *               the block's lock is held while both happen.
 *          (N3) A group with inodes has its block bitmap written as well, as
 *               the kernel does it.
 *
 * Locks    table block's buf->lock > grp->lock; then grp.h
 */
#include "alloc/grp.h"

#include <string.h>

#include "alloc/orlov.h"
#include "base/bits.h"
#include "base/log.h"
#include "cache/buf.h"
#include "disk/geo.h"
#include "journal/journal.h"
#include "journal/txn.h"

#define NO_BLOCK UINT32_MAX

/* ---- finding ---- */

/* Is inode @idx free? Only before GD1 is the bitmap not to be looked at. */
static bool inode_is_free_locked(
		const struct alloc *a, const struct grp *grp, uint32_t idx)
{
	return (grp_flags_locked(a, grp) & DGROUP_INODE_UNINIT) != 0 ||
			!bits_test(grp->ibuf->data, idx);
}

/* The block of the table that must be zeroed before @idx is used, counted
 * from the table's start, or NO_BLOCK. */
static uint32_t inode_raw_block_locked(
		const struct alloc *a, const struct grp *grp, uint32_t idx)
{
	uint32_t used = grp_inodes_used_locked(a, grp);
	uint32_t per = a->geo->inodes_per_block;

	if ((grp_flags_locked(a, grp) & DGROUP_INODE_ZEROED) != 0 ||
			idx < div_up_u64(used, per) * per)
		return NO_BLOCK;
	return idx / per;
}

/* The lowest free inode, or @goal if that is free and needs no more than the
 * next block of the table. ipg if there is none. */
static uint32_t inode_find_locked(
		const struct alloc *a, const struct grp *grp, inum_t goal)
{
	const struct geo *geo = a->geo;
	uint32_t per = geo->inodes_per_block, idx = grp->ihint;
	uint32_t next = grp_inodes_used_locked(a, grp) / per;

	if (goal >= geo->first_ino && geo_inum_ok(geo, goal) &&
			geo_grp_of_inode(geo, goal) == grp->no) {
		uint32_t want = geo_index_of_inode(geo, goal);
		uint32_t raw = inode_raw_block_locked(a, grp, want);

		if (inode_is_free_locked(a, grp, want) &&
				(raw == NO_BLOCK || raw <= next))
			return want;
	}
	if (grp->no == 0)
		idx = max_of(idx, geo->first_ino - 1); /* N1 */
	if ((grp_flags_locked(a, grp) & DGROUP_INODE_UNINIT) != 0)
		return idx < geo->ipg ? idx : geo->ipg;
	return (uint32_t)bits_find_next_zero(
			grp->ibuf->data, min_of(idx, geo->ipg), geo->ipg);
}

/* ---- taking ---- */

static int inode_mark_locked(struct handle *h, struct alloc *a, struct grp *grp,
		uint32_t idx, bool is_dir)
{
	uint32_t unused = a->geo->ipg - idx - 1;
	int ret = grp_inode_init_locked(h, a, grp);

	if (ret < 0)
		return ret;
	bits_set(grp->ibuf->data, idx);
	grp->d.free_inodes--;
	grp->d.used_dirs += is_dir;
	if (geo_has_group_flags(a->geo))
		grp->d.itable_unused = min_of(grp->d.itable_unused, unused);
	/* A goal may have been taken out of turn. */
	if (idx == grp->ihint)
		grp->ihint = idx + 1;
	atomic_store(&grp->ifree, grp->d.free_inodes);
	atomic_store(&grp->dirs, grp->d.used_dirs);
	atomic_fetch_sub(&a->sum[grp->gdt->index].ifree, 1);
	atomic_fetch_sub(&a->ifree, 1);
	atomic_fetch_add(&a->dirs, is_dir);
	return grp_inode_dirty_locked(h, a, grp);
}

static int itable_zero(struct handle *h, const struct alloc *a, struct buf *buf)
{
	int ret = handle_get_create(h, buf);

	if (ret < 0)
		return ret;
	memset(buf->data, 0, a->geo->block_size);
	return handle_dirty(h, buf);
}

/* Find and mark an inode, holding @raw, the locked buf of table block
 * @raw_block, if an earlier look said so. -EAGAIN with *ret_raw set if another
 * block of the table has to be zeroed first (N2). */
static int inode_take(struct handle *h, struct alloc *a, struct grp *grp,
		const struct alloc_inode_req *req, struct buf *raw,
		uint32_t *raw_block, uint32_t *ret_idx)
{
	uint32_t idx, need;
	int ret = grp_lock_inodes(a, grp);

	if (ret < 0)
		return ret;
	idx = inode_find_locked(a, grp, req->goal);
	ret = -ENOSPC;
	if (idx >= a->geo->ipg)
		goto out;
	need = inode_raw_block_locked(a, grp, idx);
	if (need != NO_BLOCK && (raw == NULL || need != *raw_block)) {
		*raw_block = need;
		ret = -EAGAIN;
		goto out;
	}
	ret = need != NO_BLOCK ? itable_zero(h, a, raw) : 0;
	if (ret == 0)
		ret = inode_mark_locked(h, a, grp, idx, req->is_dir);
	if (ret == 0)
		*ret_idx = idx;
out:
	grp_unlock(grp);
	return ret;
}

/* The same, zeroing what has to be. */
static int inode_take_zeroed(struct handle *h, struct alloc *a, struct grp *grp,
		const struct alloc_inode_req *req, uint32_t *ret_idx)
{
	uint32_t block = NO_BLOCK;
	int ret = inode_take(h, a, grp, req, NULL, &block, ret_idx);

	while (ret == -EAGAIN) {
		struct buf *raw;

		ret = buf_get_noread(
				a->cache, grp->d.inode_table + block, &raw);
		if (ret < 0)
			return ret;
		buf_lock(raw);
		ret = inode_take(h, a, grp, req, raw, &block, ret_idx);
		buf_unlock(raw);
		buf_put(raw);
	}
	return ret;
}

/* N3, before an inode is taken: after that nothing but an abort may fail.
 * *ret_did says whether the descriptor has changed. */
static int inode_init_blocks(struct handle *h, struct alloc *a, struct grp *grp,
		bool *ret_did)
{
	bool is_uninit;
	int ret;

	*ret_did = false;
	mutex_lock(&grp->lock);
	is_uninit = grp->berr == 0 &&
			(grp_flags_locked(a, grp) & DGROUP_BLOCK_UNINIT) != 0;
	mutex_unlock(&grp->lock);
	if (!is_uninit || grp_lock_blocks(a, grp) < 0)
		return 0; /* out of use for blocks: it stays as it is */
	ret = 0;
	if ((grp_flags_locked(a, grp) & DGROUP_BLOCK_UNINIT) != 0) {
		ret = grp_block_init_locked(h, a, grp);
		if (ret == 0) {
			*ret_did = true;
			ret = handle_dirty(h, grp->bbuf);
		}
	}
	grp_unlock(grp);
	return ret;
}

/* -ENOSPC if the group has none. */
static int inode_new_in(struct handle *h, struct alloc *a, grp_t no,
		const struct alloc_inode_req *req, inum_t *ret_inum)
{
	struct grp *grp;
	uint32_t idx = 0;
	bool did = false;
	int ret, err = 0;

	ret = grp_get(a, no, &grp);
	if (ret < 0)
		return ret;
	if (atomic_load(&grp->ifree) == 0)
		return -ENOSPC;
	ret = grp_desc_prepare(h, grp);
	if (ret == 0)
		ret = inode_init_blocks(h, a, grp, &did);
	if (ret < 0)
		return ret;
	ret = inode_take_zeroed(h, a, grp, req, &idx);
	if (ret == 0 || did)
		err = grp_desc_store(h, a, grp);
	if (ret == 0)
		ret = err;
	if (ret == 0)
		*ret_inum = geo_inum_at(a->geo, no, idx);
	return ret;
}

int ialloc_new(struct handle *h, struct alloc *a,
		const struct alloc_inode_req *req, inum_t *ret_inum)
{
	grp_t groups = a->geo->groups, no = orlov_group(a, req);
	uint32_t per = a->geo->desc_per_block;
	int ret, err = -ENOSPC;

	for (uint64_t seen = 0; seen < groups;) {
		grp_t next = no + 1;

		if (atomic_load(&a->sum[no / per].ifree) == 0) {
			next = min_of((no / per + 1) * per, groups);
			ret = -ENOSPC;
		} else {
			ret = inode_new_in(h, a, no, req, ret_inum);
		}
		/* Go on past full groups, damaged and unreadable ones. */
		if (ret == 0 || ret == -ENOMEM || ret == -EROFS ||
				journal_error(handle_journal(h)) != 0)
			return ret;
		if (ret == -EIO)
			err = ret;
		seen += next - no;
		no = next < groups ? next : 0;
	}
	return err;
}

/* ---- freeing and asking ---- */

static int inode_clear_locked(struct handle *h, struct alloc *a,
		struct grp *grp, uint32_t idx, bool is_dir)
{
	int ret;

	if (inode_is_free_locked(a, grp, idx)) {
		log_err(a->log, "inode %u to be freed is free already",
				geo_inum_at(a->geo, grp->no, idx));
		return -UEXT4_ECORRUPT;
	}
	ret = handle_get_write(h, grp->ibuf);
	if (ret < 0)
		return ret;
	bits_clear(grp->ibuf->data, idx);
	grp->d.free_inodes++;
	/* The count of directories may have been wrong on disk. */
	if (is_dir && grp->d.used_dirs > 0) {
		grp->d.used_dirs--;
		atomic_fetch_sub(&a->dirs, 1);
	}
	grp->ihint = min_of(grp->ihint, idx);
	atomic_store(&grp->ifree, grp->d.free_inodes);
	atomic_store(&grp->dirs, grp->d.used_dirs);
	atomic_fetch_add(&a->sum[grp->gdt->index].ifree, 1);
	atomic_fetch_add(&a->ifree, 1);
	return grp_inode_dirty_locked(h, a, grp);
}

int ialloc_free(struct handle *h, struct alloc *a, inum_t inum, bool is_dir)
{
	struct grp *grp;
	int ret;

	if (!geo_inum_ok(a->geo, inum) || inum < a->geo->first_ino) {
		log_err(a->log, "inode %u is not one to be freed", inum);
		return -UEXT4_ECORRUPT; /* N1 */
	}
	ret = grp_get(a, geo_grp_of_inode(a->geo, inum), &grp);
	if (ret == 0)
		ret = grp_desc_prepare(h, grp);
	if (ret == 0)
		ret = grp_lock_inodes(a, grp);
	if (ret < 0)
		return ret;
	ret = inode_clear_locked(
			h, a, grp, geo_index_of_inode(a->geo, inum), is_dir);
	grp_unlock(grp);
	return ret < 0 ? ret : grp_desc_store(h, a, grp);
}

int ialloc_is_used(struct alloc *a, inum_t inum)
{
	struct grp *grp;
	int ret;

	if (!geo_inum_ok(a->geo, inum))
		return -UEXT4_ECORRUPT;
	ret = grp_get(a, geo_grp_of_inode(a->geo, inum), &grp);
	if (ret == 0)
		ret = grp_lock_inodes(a, grp);
	if (ret < 0)
		return ret;
	ret = !inode_is_free_locked(a, grp, geo_index_of_inode(a->geo, inum));
	grp_unlock(grp);
	return ret;
}

int ialloc_locate(struct alloc *a, inum_t inum, pblk_t *ret_pblk,
		uint32_t *ret_off)
{
	struct grp *grp;
	int ret;

	if (!geo_inum_ok(a->geo, inum))
		return -UEXT4_ECORRUPT;
	ret = grp_get(a, geo_grp_of_inode(a->geo, inum), &grp);
	if (ret < 0)
		return ret;
	if (!grp->is_placed)
		return -UEXT4_ECORRUPT;
	*ret_pblk = grp->d.inode_table + geo_itable_block(a->geo, inum);
	*ret_off = geo_itable_offset(a->geo, inum);
	return 0;
}
