/* SPDX-License-Identifier: MIT */
/*
 * Blocks for direct writes into holes under dio_alloc=datafirst: reserved in
 * memory, shared by all writers of a hole, entered once data is there.
 *
 * A reservation is a run of file blocks and the run of disk blocks that it will
 * be. It lives while requests use it; who enters blocks of it, and who gives
 * back what nobody entered, does so under id->lock. The map says which of its
 * blocks are entered.
 *
 * Rules    (DR1) Holes are looked up, and reservations found, made, entered and
 *                given back, under one hold of id->lock: what is a hole in the
 *                map and has no reservation is nobody's.
 *          (DR2) Two reservations never cover one file block.
 *          (DR3) Everything that an insertion may need was claimed with the
 *                reservation (RS1): entering meets no -ENOSPC.
 *          (DR4) Nobody waits for a commit while holding id->lock: who enters
 *                blocks has a handle and takes it.
 *          (DR5) What is marked used ahead of being entered, for many requests
 *                at once, is entered in the same transaction, or nothing is
 *                committed any more. So it is done for extents only: entering
 *                them meets no error (DR3) but such that abort the journal.
 */
#include <assert.h>
#include <stdlib.h>

#include <bsd/sys/tree.h>

#include "alloc/alloc.h"
#include "base/log.h"
#include "fs/dio_req.h"
#include "fs/fs.h"
#include "fs/reserve.h"
#include "journal/txn.h"

#define RSV_MAX       32768u /* blocks of one reservation */
#define ENTER_MAX     1024u  /* blocks entered at a time: see the credits */
#define NOSPC_RETRIES 3      /* M5 */

struct dio_rsv {
	RB_ENTRY(dio_rsv) node;
	lblk_t lblk;
	uint32_t len;
	pblk_t pblk;
	uint32_t users;
	uint32_t entered; /* blocks */
	bool is_marked;   /* all of it is used on disk, in a handle that enters
			     it (DR5) */
	bool is_spoilt;   /* entering failed half-way: not to be given back */
};

RB_HEAD(dio_rsvs, dio_rsv);

struct dio_rsv_tree {
	struct dio_rsvs all;
};

static int rsv_cmp(const struct dio_rsv *a, const struct dio_rsv *b)
{
	return (a->lblk > b->lblk) - (a->lblk < b->lblk);
}

/* RB_GENERATE_STATIC() needs a word that only BSD's cdefs.h has. */
RB_GENERATE_INTERNAL(dio_rsvs, dio_rsv, node, rsv_cmp,
		__attribute__((unused)) static)

static uint64_t rsv_end(const struct dio_rsv *v)
{
	return (uint64_t)v->lblk + v->len;
}

/* The first reservation that ends behind @lblk, and the one before it. */
static struct dio_rsv *rsv_at_locked(struct inode_dio *id, uint64_t lblk,
		struct dio_rsv **ret_before)
{
	struct dio_rsv *v = id->rsvs ? RB_ROOT(&id->rsvs->all) : NULL;
	struct dio_rsv *best = NULL;
	struct dio_rsv *before = NULL;

	while (v != NULL) {
		if (rsv_end(v) > lblk) {
			best = v;
			v = RB_LEFT(v, node);
		} else {
			before = v;
			v = RB_RIGHT(v, node);
		}
	}
	if (ret_before != NULL)
		*ret_before = before;
	return best;
}

void dio_rsv_tree_free(struct dio_rsv_tree *t)
{
	assert(t == NULL || RB_EMPTY(&t->all));
	free(t);
}

/* ---- making ---- */

static struct dio_rsv *rsv_new(struct inode_dio *id)
{
	if (id->rsvs == NULL) {
		id->rsvs = malloc(sizeof(*id->rsvs));
		if (id->rsvs == NULL)
			return NULL;
		RB_INIT(&id->rsvs->all);
	}
	return calloc(1, sizeof(struct dio_rsv));
}

/* Up to @n blocks of the hole at @lblk, which goes on behind @before (or NULL).
 * Only a file that grows gets a window: in a hole the next write may be
 * anywhere. */
static int rsv_make_locked(struct inode *inode, lblk_t lblk, uint32_t n,
		const struct dio_rsv *before, struct dio_rsv **ret_v)
{
	struct inode_dio *id = inode->dio;
	bool grows = (uint64_t)lblk << inode->file.blkbits >= inode_size(inode);
	pblk_t goal = 0;
	struct map_run run;
	struct dio_rsv *v;
	int ret;

	v = rsv_new(id);
	if (v == NULL)
		return -ENOMEM;
	if (before != NULL && rsv_end(before) == lblk)
		goal = before->pblk + before->len;
	n = min_of(n, RSV_MAX);
	ret = reserve_claim(inode, n);
	while (ret == -ENOSPC && n > 1) {
		n /= 2;
		ret = reserve_claim(inode, n);
	}
	if (ret < 0)
		goto out_free;
	ret = reserve_blocks(inode, lblk, n, goal,
			grows ? &inode->map.pa : NULL, &run);
	if (ret < 0) {
		reserve_unclaim(inode, n);
		goto out_free;
	}
	if (run.len < n)
		reserve_unclaim(inode, n - run.len);
	v->lblk = lblk;
	v->len = run.len;
	v->pblk = run.pblk;
	RB_INSERT(dio_rsvs, &id->rsvs->all, v);
	atomic_fetch_add_explicit(&id->nrsvs, 1, memory_order_relaxed);
	*ret_v = v;
	return 0;
out_free:
	free(v);
	return ret;
}

/* ---- use ---- */

static int use_add_locked(
		struct dio_req *r, struct dio_rsv *v, lblk_t lblk, uint32_t n)
{
	struct dio_use *u = &r->use;

	if (u->rsv != NULL) {
		u = malloc(sizeof(*u));
		if (u == NULL)
			return -ENOMEM;
	}
	*u = (struct dio_use){
		.rsv = v,
		.lblk = lblk,
		.len = n,
		.pblk = v->pblk + (lblk - v->lblk),
	};
	SLIST_INSERT_HEAD(&r->uses, u, link);
	v->users++;
	return 0;
}

static void rsv_drop_locked(struct inode *inode, struct dio_rsv *v);

/* Use what is reserved at @at, or reserve it; how many blocks of @n. */
static int rsv_use_locked(struct dio_req *r, lblk_t at, uint32_t n)
{
	struct inode *inode = r->inode;
	struct dio_rsv *before;
	struct dio_rsv *v = rsv_at_locked(inode->dio, at, &before);
	bool is_new = v == NULL || v->lblk > at;
	int ret;

	if (is_new) {
		if (v != NULL)
			n = (uint32_t)min_u64(n, v->lblk - at);
		ret = rsv_make_locked(inode, at, n, before, &v);
		if (ret < 0)
			return ret;
	}
	n = (uint32_t)min_u64(n, rsv_end(v) - at);
	ret = use_add_locked(r, v, at, n);
	if (ret < 0) {
		if (is_new)
			rsv_drop_locked(inode, v);
		return ret;
	}
	return (int)n;
}

/* From *at to @end; *at is where it ended. */
static int rsv_take_locked(struct dio_req *r, uint64_t *at, uint64_t end)
{
	struct map_run run;
	int ret;

	while (*at < end) {
		ret = map_find(&r->inode->map, (lblk_t)*at,
				(uint32_t)min_u64(end - *at, RSV_MAX), &run);
		if (ret < 0)
			return ret;
		if (run.type != MAP_HOLE) {
			*at += run.len;
			continue;
		}
		if (r->rwf & UEXT4_RW_NOWAIT)
			return -EAGAIN;
		ret = rsv_use_locked(r, (lblk_t)*at, run.len);
		if (ret < 0)
			return ret;
		*at += (uint64_t)ret;
	}
	return 0;
}

int dio_rsv_take(struct dio_req *r)
{
	struct inode *inode = r->inode;
	struct itable *it = inode->it;
	struct inode_dio *id = inode_dio_get(inode);
	uint64_t first = r->pos >> inode->file.blkbits;
	uint64_t end = ((r->pos + r->it.count - 1) >> inode->file.blkbits) + 1;
	uint64_t at = first;
	int tries = 0;
	int ret;

	if (id == NULL)
		return -ENOMEM;
	for (;;) {
		mutex_lock(&id->lock);
		ret = rsv_take_locked(r, &at, end);
		mutex_unlock(&id->lock);
		if (ret != -ENOSPC || tries++ == NOSPC_RETRIES ||
				alloc_pending(it->alloc) == 0 ||
				iomap_lacks(&inode->file, IOMAP_LACKS_RETRY))
			break;
		ret = journal_sync(it->journal); /* DR4 */
		if (ret < 0)
			break;
	}
	/* Short of space, but some of it could be had: a short write. */
	if (ret == -ENOSPC && at > first)
		ret = 0;
	if (ret < 0)
		dio_rsv_put(r);
	return ret;
}

bool dio_rsv_find(struct inode *inode, lblk_t lblk, struct map_run *ret_run)
{
	struct inode_dio *id = inode->dio;
	struct dio_rsv *v;
	bool found;

	if (id == NULL ||
			atomic_load_explicit(
					&id->nrsvs, memory_order_relaxed) == 0)
		return false;
	mutex_lock(&id->lock);
	v = rsv_at_locked(id, lblk, NULL);
	found = v != NULL && v->lblk <= lblk;
	if (found)
		*ret_run = (struct map_run){
			.lblk = lblk,
			.len = (uint32_t)(rsv_end(v) - lblk),
			.pblk = v->pblk + (lblk - v->lblk),
			.type = MAP_WRITTEN,
			.is_new = true,
		};
	mutex_unlock(&id->lock);
	return found;
}

/* ---- entering ---- */

/* What the mark runs over: whole reservations, by place on disk. */
#define MARK_MAX 128u

static int mark_cmp(const void *a, const void *b)
{
	const struct dio_rsv *const *x = a;
	const struct dio_rsv *const *y = b;

	return ((*x)->pblk > (*y)->pblk) - ((*x)->pblk < (*y)->pblk);
}

static unsigned mark_collect_locked(
		struct dio_req **reqs, unsigned n, struct dio_rsv **v)
{
	unsigned nv = 0;
	struct dio_use *u;

	for (unsigned i = 0; i < n; i++) {
		SLIST_FOREACH(u, &reqs[i]->uses, link)
		{
			if (nv == MARK_MAX)
				return nv;
			if (u->rsv->is_marked || u->rsv->entered > 0 ||
					u->len != u->rsv->len)
				continue;
			u->rsv->is_marked = true;
			v[nv++] = u->rsv;
		}
	}
	return nv;
}

int dio_rsv_mark(struct handle *h, struct inode *inode, struct dio_req **reqs,
		unsigned n)
{
	struct inode_dio *id = inode->dio;
	struct dio_rsv *v[MARK_MAX];
	unsigned nv;
	unsigned i;
	int ret = 0;

	if (id == NULL)
		return 0;
	mutex_lock(&id->lock);
	nv = mark_collect_locked(reqs, n, v);
	qsort(v, nv, sizeof(v[0]), mark_cmp);
	for (i = 0; ret == 0 && i < nv;) {
		struct alloc_run run = { .pblk = v[i]->pblk };

		for (; i < nv && v[i]->pblk == run.pblk + run.len; i++)
			run.len += v[i]->len;
		ret = alloc_rsv_commit(h, inode->it->alloc, run);
	}
	mutex_unlock(&id->lock);
	return ret;
}

/* How far from @at on reservations go on without a break in file and disk, all
 * marked or none. */
static uint32_t rsv_run_locked(struct inode_dio *id, lblk_t at, uint32_t max,
		pblk_t *ret_pblk, bool *ret_marked)
{
	struct dio_rsv *v = rsv_at_locked(id, at, NULL);
	uint64_t end;
	pblk_t next;

	if (v == NULL || v->lblk > at)
		return 0;
	*ret_pblk = v->pblk + (at - v->lblk);
	*ret_marked = v->is_marked;
	for (;;) {
		end = rsv_end(v);
		next = v->pblk + v->len;
		v = RB_NEXT(dio_rsvs, &id->rsvs->all, v);
		if (v == NULL || v->lblk != end || v->pblk != next ||
				v->is_marked != *ret_marked || end - at >= max)
			break;
	}
	return (uint32_t)min_u64(end - at, max);
}

/* Blocks [@at, @at + @n) were entered, or are lost: what was freed half-way is no
 * longer only reserved. */
static void rsv_entered_locked(
		struct inode_dio *id, lblk_t at, uint32_t n, bool lost)
{
	struct dio_rsv *v = rsv_at_locked(id, at, NULL);
	uint64_t end = (uint64_t)at + n;

	for (; v != NULL && v->lblk < end;
			v = RB_NEXT(dio_rsvs, &id->rsvs->all, v)) {
		v->entered += (uint32_t)(min_u64(end, rsv_end(v)) -
				max_u64(at, v->lblk));
		v->is_spoilt |= lost;
	}
}

static int rsv_enter_locked(struct handle *h, struct inode *inode, lblk_t at,
		uint32_t n, uint32_t *ret_n)
{
	struct inode_dio *id = inode->dio;
	struct map_run run;
	pblk_t pblk = 0;
	bool marked = false;
	bool ours = false;
	int ret;

	ret = map_find(&inode->map, at, n, &run);
	if (ret < 0)
		return ret;
	*ret_n = run.len;
	if (run.type != MAP_HOLE)
		return 0;
	run.len = rsv_run_locked(id, at, run.len, &pblk, &marked);
	assert(run.len > 0);
	if (run.len == 0)
		return -EIO;
	run.len = alloc_clip(inode->it->alloc, pblk, run.len);
	run.lblk = at;
	run.pblk = pblk;
	run.type = MAP_WRITTEN;
	ret = marked ? reserve_insert(h, inode, &run)
		     : reserve_enter(h, inode, &run, &ours);
	if (ret == 0 || !ours)
		rsv_entered_locked(id, at, run.len, ret < 0);
	*ret_n = run.len;
	return ret;
}

int dio_rsv_enter(struct handle *h, struct inode *inode, lblk_t lblk,
		uint32_t n, uint32_t *ret_n)
{
	struct inode_dio *id = inode->dio;
	int ret;

	mutex_lock(&id->lock);
	ret = rsv_enter_locked(h, inode, lblk, min_of(n, ENTER_MAX), ret_n);
	mutex_unlock(&id->lock);
	return ret;
}

uint32_t dio_rsv_credits(struct inode *inode)
{
	return reserve_credits(inode, ENTER_MAX);
}

/* ---- giving back ---- */

/* Of a reservation that was entered in part: what is still a hole, or has got
 * another block by write-back. */
static void rsv_release_rest(struct inode *inode, const struct dio_rsv *v)
{
	struct map_run run;
	uint64_t at;
	pblk_t pblk;

	for (at = v->lblk; at < rsv_end(v); at += run.len) {
		if (map_find(&inode->map, (lblk_t)at,
				    (uint32_t)(rsv_end(v) - at), &run) < 0) {
			/* Kept out of use until the next mount. */
			log_warn(inode->it->log,
					"inode %u: blocks reserved for a "
					"write cannot be given back",
					inode->inum);
			return;
		}
		pblk = v->pblk + (at - v->lblk);
		if (run.type == MAP_HOLE || run.pblk != pblk)
			alloc_rsv_release(inode->it->alloc,
					(struct alloc_run){ pblk, run.len });
	}
}

static void rsv_drop_locked(struct inode *inode, struct dio_rsv *v)
{
	struct inode_dio *id = inode->dio;

	RB_REMOVE(dio_rsvs, &id->rsvs->all, v);
	atomic_fetch_sub_explicit(&id->nrsvs, 1, memory_order_relaxed);
	if (v->is_marked || v->is_spoilt)
		; /* entered, or out of use until the next mount */
	else if (v->entered == 0)
		alloc_rsv_release(inode->it->alloc,
				(struct alloc_run){ v->pblk, v->len });
	else if (v->entered < v->len)
		rsv_release_rest(inode, v);
	reserve_settle(inode, v->len);
	free(v);
}

void dio_rsv_put(struct dio_req *r)
{
	struct inode_dio *id = r->inode->dio;
	struct dio_use *u;

	if (SLIST_EMPTY(&r->uses))
		return;
	mutex_lock(&id->lock);
	while ((u = SLIST_FIRST(&r->uses)) != NULL) {
		SLIST_REMOVE_HEAD(&r->uses, link);
		if (--u->rsv->users == 0)
			rsv_drop_locked(r->inode, u->rsv);
		if (u == &r->use)
			u->rsv = NULL;
		else
			free(u);
	}
	mutex_unlock(&id->lock);
}
