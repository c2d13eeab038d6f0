/* SPDX-License-Identifier: MIT */
/*
 * Windows: space behind a growing file that is kept for its next blocks.
 *
 * When a run is found for a file that has grown before, some blocks that
 * follow it are reserved with it and remembered in the inode's alloc_pa. The
 * next request for the file block they are meant for is served from there
 * without a search, so files that grow at the same time do not interleave.
 *
 * A window doubles the file, up to WINDOW_MAX; the first blocks of a file get
 * none, so that small files lie tight. It is a luxury: there is none while
 * space is short, and all are taken back before anybody is told -ENOSPC.
 *
 * Rules    (P1) The blocks of a window are reserved and paid for (grp.h).
 *          (P2) A pa is listed while its len is not 0, and only then.
 *          (P3) Fields of any pa change under pa_lock only; blocks are given
 *               back after it is dropped (grp->lock comes before it).
 *
 * Locks    pa_lock, a leaf here
 */
#include "alloc/grp.h"

#include "disk/geo.h"

#define WINDOW_MAX 2048u

static void pa_set_locked(struct alloc *a, struct alloc_pa *pa, lblk_t lblk,
		pblk_t pblk, uint32_t len) UEXT4_REQUIRES(a->pa_lock);
static void pa_set_locked(struct alloc *a, struct alloc_pa *pa, lblk_t lblk,
		pblk_t pblk, uint32_t len)
{
	if (pa->len != 0 && len == 0)
		TAILQ_REMOVE(&a->pas, pa, node);
	if (pa->len == 0 && len != 0)
		TAILQ_INSERT_TAIL(&a->pas, pa, node);
	atomic_fetch_add(&a->windows, (int64_t)len - (int64_t)pa->len);
	pa->lblk = lblk;
	pa->pblk = pblk;
	pa->len = len;
}

/* Cut @run at @off blocks from the start of @pa out of it. Of the two parts
 * that are left the longer one stays, the other is the caller's to give. */
static struct alloc_run pa_cut_locked(struct alloc *a, struct alloc_pa *pa,
		uint32_t off, uint32_t len) UEXT4_REQUIRES(a->pa_lock);
static struct alloc_run pa_cut_locked(struct alloc *a, struct alloc_pa *pa,
		uint32_t off, uint32_t len)
{
	struct alloc_run front = { pa->pblk, off };
	struct alloc_run back = { pa->pblk + off + len, pa->len - off - len };

	if (back.len >= front.len) {
		pa_set_locked(a, pa, pa->lblk + off + len, back.pblk, back.len);
		return front;
	}
	pa_set_locked(a, pa, pa->lblk, front.pblk, front.len);
	return back;
}

bool prealloc_take(struct alloc *a, const struct alloc_req *req,
		struct alloc_run *ret_run)
{
	struct alloc_pa *pa = req->pa;
	struct alloc_run rest = { 0 };
	uint32_t off, len;
	bool ok;

	mutex_lock(&a->pa_lock);
	off = req->lblk - pa->lblk;
	ok = pa->len != 0 && req->lblk >= pa->lblk && off < pa->len;
	if (ok) {
		len = min_of(req->len, pa->len - off);
		ok = len == req->len || (req->flags & ALLOC_F_EXACT) == 0;
	}
	if (ok) {
		*ret_run = (struct alloc_run){ pa->pblk + off, len };
		rest = pa_cut_locked(a, pa, off, len);
	}
	mutex_unlock(&a->pa_lock);
	if (rest.len != 0)
		balloc_give(a, rest);
	return ok;
}

uint32_t prealloc_window(struct alloc *a, const struct alloc_req *req)
{
	uint64_t size = (uint64_t)req->lblk + req->len;
	uint64_t want = min_u64(size, WINDOW_MAX);
	int64_t avail = atomic_load(&a->avail);
	bool is_behind;

	if (req->pa == NULL || req->lblk == 0 ||
			(req->flags & ALLOC_F_NOPREALLOC) != 0)
		return 0;
	/* Short of space: a sixteenth of the file system, or few windows. */
	if (avail < (int64_t)(a->root_blocks + a->geo->blocks / 16) ||
			avail < (int64_t)(32 * want))
		return 0;
	/* A write into a hole before the window leaves it alone. */
	mutex_lock(&a->pa_lock);
	is_behind = req->pa->len != 0 && req->lblk < req->pa->lblk;
	mutex_unlock(&a->pa_lock);
	return is_behind ? 0 : (uint32_t)want;
}

void prealloc_set(struct alloc *a, const struct alloc_req *req, uint32_t len,
		struct alloc_run run)
{
	struct alloc_pa *pa = req->pa;
	struct alloc_run old;

	mutex_lock(&a->pa_lock);
	old = (struct alloc_run){ pa->pblk, pa->len };
	pa_set_locked(a, pa, req->lblk + len, run.pblk, run.len);
	mutex_unlock(&a->pa_lock);
	if (old.len != 0)
		balloc_give(a, old);
}

void alloc_pa_release(struct alloc *a, struct alloc_pa *pa)
{
	struct alloc_run old;

	mutex_lock(&a->pa_lock);
	old = (struct alloc_run){ pa->pblk, pa->len };
	pa_set_locked(a, pa, 0, 0, 0);
	mutex_unlock(&a->pa_lock);
	alloc_rsv_release(a, old);
}

bool prealloc_reclaim(struct alloc *a)
{
	bool any = false;

	for (;;) {
		struct alloc_run run = { 0 };
		struct alloc_pa *pa;

		mutex_lock(&a->pa_lock);
		pa = TAILQ_FIRST(&a->pas);
		if (pa != NULL) {
			run = (struct alloc_run){ pa->pblk, pa->len };
			pa_set_locked(a, pa, 0, 0, 0);
		}
		mutex_unlock(&a->pa_lock);
		if (run.len == 0)
			return any;
		any = true;
		balloc_give(a, run);
	}
}
