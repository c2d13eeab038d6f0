/* SPDX-License-Identifier: MIT */
/* Claims, and blocks that are reserved in memory only: see reserve.h. */
#include "fs/reserve.h"

#include <assert.h>

#include "alloc/alloc.h"
#include "inode/inode.h"

int reserve_claim(struct inode *inode, uint32_t n)
{
	int64_t more;
	int ret;

	mutex_lock(&inode->attr_lock);
	more = map_nodes_worst(&inode->map,
			inode->claim_data + inode->claim_flight + n);
	more += (int64_t)inode->claim_convert - inode->claim_nodes;
	more = max_of(more, INT64_C(0));
	ret = alloc_claim(inode->it->alloc, n + (uint64_t)more,
			map_super_flag(&inode->map));
	if (ret == 0) {
		inode->claim_data += n;
		inode->claim_nodes += more;
	}
	mutex_unlock(&inode->attr_lock);
	return ret;
}

/* Node claims that nothing needs any longer go back. attr_lock is held. */
static void reserve_trim_locked(struct inode *inode)
{
	uint32_t blocks = inode->claim_data + inode->claim_flight;
	int64_t keep = (blocks ? map_nodes_worst(&inode->map, blocks) : 0) +
			(int64_t)inode->claim_convert;

	if (inode->claim_nodes > keep) {
		alloc_unclaim(inode->it->alloc,
				(uint64_t)(inode->claim_nodes - keep));
		inode->claim_nodes = keep;
	}
}

void reserve_unclaim(struct inode *inode, uint32_t n)
{
	mutex_lock(&inode->attr_lock);
	assert(inode->claim_data >= n);
	inode->claim_data -= n;
	alloc_unclaim(inode->it->alloc, n);
	reserve_trim_locked(inode);
	mutex_unlock(&inode->attr_lock);
}

int reserve_blocks(struct inode *inode, lblk_t lblk, uint32_t n, pblk_t goal,
		struct alloc_pa *pa, struct map_run *ret_run)
{
	struct alloc_req req = {
		.goal = goal != 0 ? goal : map_goal(&inode->map, lblk),
		.len = n,
		.flags = ALLOC_F_CLAIMED,
		.pa = pa,
		.lblk = lblk,
	};
	struct alloc_run got;
	int ret;

	if (!inode->map.is_extents)
		req.flags |= ALLOC_F_LOW32;
	ret = alloc_reserve(inode->it->alloc, &req, &got);
	if (ret < 0)
		return ret;

	mutex_lock(&inode->attr_lock);
	inode->claim_data -= got.len;
	inode->claim_flight += got.len;
	mutex_unlock(&inode->attr_lock);
	*ret_run = (struct map_run){
		.lblk = lblk,
		.len = got.len,
		.pblk = got.pblk,
		.type = MAP_WRITTEN,
		.is_new = true,
	};
	return 0;
}

/* What one insertion may take of the claims is set aside for it, so that two
 * under way do not count on the same: how much, 0 if there is not enough (a
 * block tree may need more nodes than were claimed). */
static int64_t reserve_hold_nodes(struct inode *inode, int64_t need)
{
	mutex_lock(&inode->attr_lock);
	if (inode->claim_nodes < need)
		need = 0;
	inode->claim_nodes -= need;
	mutex_unlock(&inode->attr_lock);
	return need;
}

/* The insertion is done. The counter tells what was taken since somebody last
 * looked, by others under way too: then claim_nodes is too small, may be
 * below 0, until they come here. */
static void reserve_put_nodes(struct inode *inode, int64_t held)
{
	uint64_t used;

	mutex_lock(&inode->attr_lock);
	used = atomic_load(&inode->map.nodes_claimed) - inode->nodes_seen;
	inode->nodes_seen += used;
	inode->claim_nodes += held - (int64_t)used;
	mutex_unlock(&inode->attr_lock);
}

int reserve_insert(struct handle *h, struct inode *inode,
		const struct map_run *run)
{
	struct alloc_run ar = { .pblk = run->pblk, .len = run->len };
	int64_t held = reserve_hold_nodes(
			inode, map_nodes_run(&inode->map, run->len));
	int ret;

	ret = map_insert(h, &inode->map, run->lblk, run->pblk, run->len,
			MAP_F_LATE | (held > 0 ? MAP_F_CLAIMED : MAP_F_ROOT));
	reserve_put_nodes(inode, held);
	if (ret < 0)
		(void)alloc_free(h, inode->it->alloc, ar, 0);
	return ret;
}

int reserve_enter(struct handle *h, struct inode *inode,
		const struct map_run *run, bool *ret_ours)
{
	struct alloc_run ar = { .pblk = run->pblk, .len = run->len };
	int ret;

	*ret_ours = true;
	ret = alloc_rsv_commit(h, inode->it->alloc, ar);
	if (ret < 0)
		return ret;
	*ret_ours = false;
	return reserve_insert(h, inode, run);
}

int reserve_claim_convert(struct inode *inode, uint32_t *ret_n)
{
	uint32_t n = map_nodes_convert(&inode->map, 1);
	int ret;

	if (n == 0)
		return 0;
	ret = alloc_claim(inode->it->alloc, n, map_super_flag(&inode->map));
	if (ret < 0)
		return ret;
	mutex_lock(&inode->attr_lock);
	inode->claim_nodes += n;
	inode->claim_convert += n;
	mutex_unlock(&inode->attr_lock);
	*ret_n = n;
	return 0;
}

void reserve_unclaim_convert(struct inode *inode, uint32_t n)
{
	mutex_lock(&inode->attr_lock);
	assert(inode->claim_convert >= n);
	inode->claim_convert -= n;
	reserve_trim_locked(inode);
	mutex_unlock(&inode->attr_lock);
}

int reserve_convert(struct handle *h, struct inode *inode, lblk_t lblk,
		uint32_t len, uint32_t flags)
{
	int64_t held = reserve_hold_nodes(
			inode, map_nodes_convert(&inode->map, 0));
	int ret;

	ret = map_convert_flags(h, &inode->map, lblk, len,
			flags | (held > 0 ? MAP_F_CLAIMED : MAP_F_ROOT));
	reserve_put_nodes(inode, held);
	return ret;
}

uint32_t reserve_credits(const struct inode *inode, uint32_t len)
{
	return map_credits_alloc(&inode->map, len) + 2 * ALLOC_CREDITS_RUN;
}

void reserve_reclaim(struct inode *inode, uint32_t n)
{
	mutex_lock(&inode->attr_lock);
	alloc_claim_force(inode->it->alloc, n);
	inode->claim_data += n;
	mutex_unlock(&inode->attr_lock);
}

void reserve_settle(struct inode *inode, uint32_t n)
{
	mutex_lock(&inode->attr_lock);
	assert(inode->claim_flight >= n);
	inode->claim_flight -= n;
	reserve_trim_locked(inode);
	mutex_unlock(&inode->attr_lock);
}
