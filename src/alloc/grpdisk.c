/* SPDX-License-Identifier: MIT */
/*
 * Changing a group on disk: bits, counters and checksums of the bitmaps under
 * the group's lock, then the descriptor into its shared block.
 *
 * Rules    (GD1) A bitmap flagged as never written is written whole, from the
 *                layout, before its first bit changes; the flag goes in the
 *                same handle.
 *          (GD2) The checksum of a bitmap is worked out while the group is
 *                locked, so descriptor and bitmap of one transaction agree.
 *          (GD3) Bits that are free on disk but busy in the index are extras.
 *
 * Locks    grp.h
 */
#include "alloc/grp.h"

#include <assert.h>

#include "base/bits.h"
#include "base/log.h"
#include "cache/buf.h"
#include "disk/geo.h"
#include "journal/txn.h"

/* ---- in memory ---- */

void grp_take_locked(
		struct alloc *a, struct grp *grp, uint32_t bit, uint32_t len)
{
	assert(buddy_all_free(grp->buddy, bit, len));
	buddy_take(grp->buddy, bit, len);
	grp->extras += len;
	atomic_fetch_sub_explicit(&grp->avail, len, memory_order_relaxed);
	atomic_fetch_sub_explicit(&a->sum[grp->gdt->index].avail, len,
			memory_order_relaxed);
	atomic_store_explicit(&grp->longest, buddy_longest(grp->buddy),
			memory_order_relaxed);
}

void grp_give_locked(
		struct alloc *a, struct grp *grp, uint32_t bit, uint32_t len)
{
	assert(grp->buddy != NULL && grp->extras >= len); /* GD3 */
	assert(buddy_all_busy(grp->buddy, bit, len));
	buddy_give(grp->buddy, bit, len);
	grp->extras -= len;
	atomic_fetch_add_explicit(&grp->avail, len, memory_order_relaxed);
	atomic_fetch_add_explicit(&a->sum[grp->gdt->index].avail, len,
			memory_order_relaxed);
	atomic_store_explicit(&grp->longest, buddy_longest(grp->buddy),
			memory_order_relaxed);
}

/* ---- the descriptor ---- */

int grp_desc_prepare(struct handle *h, struct grp *grp)
{
	struct buf *buf = grp->gdt->buf;
	int ret;

	/* Innermost of all buf locks: the caller may hold others. */
	mutex_lock_nested(&buf->lock);
	ret = handle_get_write(h, buf);
	mutex_unlock(&buf->lock);
	return ret;
}

int grp_desc_store(struct handle *h, struct alloc *a, struct grp *grp)
{
	struct buf *buf = grp->gdt->buf;
	struct dgroup d;
	uint8_t *raw;
	int ret;

	mutex_lock_nested(&buf->lock);
	ret = handle_get_write(h, buf);
	if (ret < 0)
		goto out;
	mutex_lock(&grp->lock);
	d = grp->d;
	mutex_unlock(&grp->lock);
	/* Whoever changes grp->d now stores after us, on this buf's lock. */
	raw = buf->data + geo_gdt_offset(a->geo, grp->no);
	dgroup_encode(a->geo, &d, raw);
	dgroup_csum_set(a->geo, grp->no, raw);
	ret = handle_dirty(h, buf);
out:
	mutex_unlock(&buf->lock);
	return ret;
}

/* ---- the block bitmap ---- */

int grp_block_init_locked(struct handle *h, struct alloc *a, struct grp *grp)
{
	int ret;

	if ((grp_flags_locked(a, grp) & DGROUP_BLOCK_UNINIT) == 0)
		return handle_get_write(h, grp->bbuf);
	ret = handle_get_create(h, grp->bbuf);
	if (ret < 0)
		return ret;
	grp_layout(a, grp, grp->bbuf->data); /* GD1 */
	grp->d.flags &= ~DGROUP_BLOCK_UNINIT;
	dgroup_bbm_csum_set(a->geo, &grp->d, grp->bbuf->data);
	return 0;
}

int grp_mark_blocks(struct handle *h, struct alloc *a, struct grp *grp,
		uint32_t bit, uint32_t len)
{
	int ret = grp_lock_blocks(a, grp);

	if (ret < 0)
		return ret;
	assert(grp->extras >= len && buddy_all_busy(grp->buddy, bit, len));
	ret = grp_block_init_locked(h, a, grp);
	if (ret < 0)
		goto out;
	assert(bits_all_clear(grp->bbuf->data, bit, len));
	bits_set_range(grp->bbuf->data, bit, len);
	grp->d.free_clusters -= len;
	grp->extras -= len;
	dgroup_bbm_csum_set(a->geo, &grp->d, grp->bbuf->data); /* GD2 */
	atomic_fetch_sub_explicit(&a->free, len, memory_order_relaxed);
	/* The bits are set: an abort is for handle_stop() to tell. */
	(void)handle_dirty(h, grp->bbuf);
out:
	grp_unlock(grp);
	return ret;
}

static int grp_check_used_locked(const struct alloc *a, const struct grp *grp,
		uint32_t bit, uint32_t len)
{
	if ((grp_flags_locked(a, grp) & DGROUP_BLOCK_UNINIT) == 0 &&
			bits_all_set(grp->bbuf->data, bit, len))
		return 0;
	log_err(a->log, "group %u: blocks %u+%u to be freed are free already",
			grp->no, bit, len);
	return -UEXT4_ECORRUPT;
}

int grp_check_used(struct alloc *a, struct grp *grp, uint32_t bit, uint32_t len)
{
	int ret = grp_lock_blocks(a, grp);

	if (ret < 0)
		return ret;
	ret = grp_check_used_locked(a, grp, bit, len);
	grp_unlock(grp);
	return ret;
}

int grp_clear_blocks(struct handle *h, struct alloc *a, struct grp *grp,
		uint32_t bit, uint32_t len)
{
	int ret = grp_lock_blocks(a, grp);

	if (ret < 0)
		return ret;
	ret = grp_check_used_locked(a, grp, bit, len);
	if (ret < 0)
		goto out;
	ret = handle_get_write(h, grp->bbuf);
	if (ret < 0)
		goto out;
	bits_clear_range(grp->bbuf->data, bit, len);
	grp->d.free_clusters += len;
	grp->extras += len;                                    /* GD3 */
	dgroup_bbm_csum_set(a->geo, &grp->d, grp->bbuf->data); /* GD2 */
	atomic_fetch_add_explicit(&a->free, len, memory_order_relaxed);
	ret = handle_dirty(h, grp->bbuf);
out:
	grp_unlock(grp);
	return ret;
}

/* ---- the inode bitmap ---- */

int grp_inode_init_locked(struct handle *h, struct alloc *a, struct grp *grp)
{
	int ret;

	if ((grp_flags_locked(a, grp) & DGROUP_INODE_UNINIT) == 0)
		return handle_get_write(h, grp->ibuf);
	ret = handle_get_create(h, grp->ibuf);
	if (ret < 0)
		return ret;
	dgroup_ibm_init(a->geo, grp->ibuf->data); /* GD1 */
	grp->d.flags &= ~DGROUP_INODE_UNINIT;
	grp->d.itable_unused = a->geo->ipg;
	return 0;
}

int grp_inode_dirty_locked(struct handle *h, struct alloc *a, struct grp *grp)
{
	dgroup_ibm_csum_set(a->geo, &grp->d, grp->ibuf->data); /* GD2 */
	return handle_dirty(h, grp->ibuf);
}
