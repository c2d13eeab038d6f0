/* SPDX-License-Identifier: MIT */
/*
 * Claims on blocks, and the places of writes beyond the end of the file. What
 * they are for stands in dio_req.h.
 *
 * Rules    (CL1) A claim is taken as a whole or not at all, with nothing else
 *                of CLAIM rank or inside it held (DQ1).
 *          (CL2) While there is a pending entry, append_cursor is the end of
 *                the furthest place given out; without one it means nothing.
 *          (CL3) A request that leaves before it is under way pulls the cursor
 *                back if it was the last; else its range becomes a gap of
 *                zeroes.
 *          (CL4) Under dio_size=prefix a request keeps its claim until all that
 *                are pending before it have ended. So it takes none that one of
 *                those still needs, and becomes pending together with taking
 *                it: who waits for a claim waits for what lies before him.
 */
#include <assert.h>
#include <stdlib.h>

#include "fs/dio_req.h"
#include "fs/fs.h"

/* A waiter looks again after this, for what it waits for may be in the hands
 * of nobody but itself (DQ3). */
#define CLAIM_WAIT_MS 1

struct inode_dio *inode_dio_get(struct inode *inode)
{
	struct inode_dio *id =
			atomic_load_explicit(&inode->dio, memory_order_acquire);
	struct inode_dio *none = NULL;

	if (id != NULL)
		return id;
	id = calloc(1, sizeof(*id));
	if (id == NULL)
		return NULL;
	mutex_init(&id->lock, "dio claims", LOCK_RANK_CLAIM);
	cond_init(&id->wait);
	TAILQ_INIT(&id->claims);
	TAILQ_INIT(&id->pending);
	if (!atomic_compare_exchange_strong(&inode->dio, &none, id)) {
		inode_dio_free(id);
		return none;
	}
	return id;
}

void inode_dio_free(struct inode_dio *id)
{
	assert(TAILQ_EMPTY(&id->claims) && TAILQ_EMPTY(&id->pending));
	dio_rsv_tree_free(id->rsvs);
	cond_fini(&id->wait);
	mutex_fini(&id->lock);
	free(id);
}

/* ---- claims ---- */

static bool claim_has(const struct dio_claim *c, uint64_t block)
{
	return block >= c->first && block <= c->last;
}

/* Is a block that @a has an edge on in @b? */
static bool claim_cuts(const struct dio_claim *a, const struct dio_claim *b)
{
	return (a->edge_first && claim_has(b, a->first)) ||
			(a->edge_last && claim_has(b, a->last));
}

static bool claim_has_edge(const struct dio_claim *c)
{
	return c->edge_first || c->edge_last;
}

static bool claim_is_free_locked(struct inode_dio *id,
		const struct dio_claim *c) UEXT4_REQUIRES(id->lock)
{
	const struct dio_claim *other;

	if (id->nedges == 0 && !claim_has_edge(c))
		return true;
	TAILQ_FOREACH(other, &id->claims, node)
	{
		if (claim_cuts(c, other) || claim_cuts(other, c))
			return false;
	}
	return true;
}

/* ---- places beyond the end ---- */

static void pending_insert_locked(struct inode_dio *id, struct dio_pending *p)
{
	struct dio_pending *at;

	if (TAILQ_EMPTY(&id->pending))
		id->append_cursor = 0;
	id->append_cursor = max_u64(id->append_cursor, p->end);
	p->listed = true;
	p->claimed = false;
	p->data_done = false;
	TAILQ_FOREACH_REVERSE(at, &id->pending, dio_pendings, node)
	{
		if (at->pos <= p->pos) {
			TAILQ_INSERT_AFTER(&id->pending, at, p, node);
			return;
		}
	}
	TAILQ_INSERT_HEAD(&id->pending, p, node);
}

/* ---- taking and giving back ---- */

/* What the request of @p will claim, as far as its place tells. */
static struct dio_claim pending_claim(
		const struct inode *inode, const struct dio_pending *p)
{
	uint32_t bits = inode->file.blkbits;
	uint64_t mask = ((uint64_t)1 << bits) - 1;

	return (struct dio_claim){
		.first = p->pos >> bits,
		.last = (p->end - 1) >> bits,
		.edge_first = (p->pos & mask) != 0,
		.edge_last = (p->end & mask) != 0,
	};
}

/* CL4: does somebody before @r need blocks of it, and has not claimed them? */
static bool pending_needs_locked(struct inode_dio *id, const struct dio_req *r)
{
	const struct dio_pending *p;
	struct dio_claim c;

	TAILQ_FOREACH(p, &id->pending, node)
	{
		if (p->pos >= r->pos)
			return false;
		if (p->claimed)
			continue;
		c = pending_claim(r->inode, p);
		if (claim_cuts(&c, &r->claim) || claim_cuts(&r->claim, &c))
			return true;
	}
	return false;
}

/* The request ends behind isize: it is pending from now on, unless one before it
 * has to claim first. */
static bool claim_with_place_locked(struct inode_dio *id, struct dio_req *r)
{
	struct inode *inode = r->inode;
	bool ok;

	mutex_lock(&inode->attr_lock);
	ok = !fs_sizes_by_prefix(inode_fs(inode)) ||
			!pending_needs_locked(id, r);
	if (ok && !r->pending.listed) {
		r->pending.pos = r->pos;
		r->pending.end = r->pos + r->it.count;
		pending_insert_locked(id, &r->pending);
	}
	if (ok)
		r->pending.claimed = true;
	mutex_unlock(&inode->attr_lock);
	return ok;
}

static bool claim_try_locked(struct inode_dio *id, struct dio_req *r)
		UEXT4_REQUIRES(id->lock)
{
	struct dio_claim *c = &r->claim;

	if (!claim_is_free_locked(id, c) &&
			!iomap_lacks(&r->inode->file, IOMAP_LACKS_CLAIMS))
		return false;
	if ((r->extends || r->pending.listed) &&
			!claim_with_place_locked(id, r))
		return false;
	TAILQ_INSERT_TAIL(&id->claims, c, node);
	if (claim_has_edge(c))
		id->nedges++;
	c->held = true;
	/* Those whose place is behind may have waited for this (CL4). */
	if (r->pending.listed)
		cond_broadcast(&id->wait);
	return true;
}

int dio_claim_take(struct dio_req *r)
{
	struct inode_dio *id = inode_dio_get(r->inode);
	bool wait = !(r->rwf & UEXT4_RW_NOWAIT);
	bool took;

	if (id == NULL)
		return -ENOMEM;
	mutex_lock(&id->lock);
	while (!(took = claim_try_locked(id, r)) && wait) {
		mutex_unlock(&id->lock);
		iomap_at(&r->inode->file, r->pos, "claim_wait");
		fs_queues_help(inode_fs(r->inode));
		mutex_lock(&id->lock);
		took = claim_try_locked(id, r);
		if (took)
			break;
		(void)cond_wait_ms(&id->wait, &id->lock, CLAIM_WAIT_MS);
	}
	mutex_unlock(&id->lock);
	return took ? 0 : -EAGAIN;
}

void dio_claim_put(struct dio_req *r)
{
	struct inode_dio *id = r->inode->dio;
	struct dio_claim *c = &r->claim;

	if (!c->held)
		return;
	mutex_lock(&id->lock);
	TAILQ_REMOVE(&id->claims, c, node);
	if (claim_has_edge(c))
		id->nedges--;
	c->held = false;
	cond_broadcast(&id->wait);
	mutex_unlock(&id->lock);
}

int dio_place_append(struct dio_req *r)
{
	struct inode *inode = r->inode;
	struct inode_dio *id = inode_dio_get(inode);
	uint64_t pos;
	uint64_t end;

	if (id == NULL)
		return -ENOMEM;
	mutex_lock(&inode->attr_lock);
	pos = atomic_load(&inode->file.size);
	if (!TAILQ_EMPTY(&id->pending) &&
			!iomap_lacks(&inode->file, IOMAP_LACKS_CURSOR))
		pos = max_u64(pos, id->append_cursor);
	if (!check_add(pos, r->it.count, &end))
		end = UINT64_MAX; /* the checks will cut it */
	r->pos = pos;
	r->placed = true;
	r->pending.pos = pos;
	r->pending.end = end;
	pending_insert_locked(id, &r->pending);
	mutex_unlock(&inode->attr_lock);
	return 0;
}

/* The last place ends at @end now, if it was that of @p (CL3). */
static void pending_pull_locked(
		struct inode_dio *id, struct dio_pending *p, uint64_t end)
{
	if (id->append_cursor == p->end)
		id->append_cursor = end;
	p->end = end;
}

void dio_pending_cut(struct dio_req *r, uint64_t end)
{
	if (!r->pending.listed || r->pending.end == end)
		return;
	mutex_lock(&r->inode->attr_lock);
	pending_pull_locked(r->inode->dio, &r->pending, end);
	mutex_unlock(&r->inode->attr_lock);
}

static void pending_remove_locked(struct inode_dio *id, struct dio_pending *p)
{
	TAILQ_REMOVE(&id->pending, p, node);
	p->listed = false;
}

void dio_pending_del(struct dio_req *r)
{
	struct inode_dio *id = r->inode->dio;

	if (!r->pending.listed)
		return;
	mutex_lock(&r->inode->attr_lock);
	/* One that never was under way leaves no gap, if nobody followed. */
	if (!r->pending.data_done && iomap_dio_bytes(&r->dio) == 0)
		pending_pull_locked(id, &r->pending, r->pending.pos);
	pending_remove_locked(id, &r->pending);
	mutex_unlock(&r->inode->attr_lock);
}

/* ---- dio_size=prefix ---- */

static struct dio_req *pending_req(struct dio_pending *p)
{
	return container_of(p, struct dio_req, pending);
}

/* All that have nothing unfinished before them, in order. They stay pending
 * until they are finished, so that nobody takes those behind them. */
static struct dio_req *prefix_take_locked(struct inode_dio *id)
{
	struct dio_req *ready = NULL;
	struct dio_req **tail = &ready;
	struct dio_pending *p;

	TAILQ_FOREACH(p, &id->pending, node)
	{
		if (!p->data_done)
			break;
		*tail = pending_req(p);
		tail = &pending_req(p)->next;
	}
	*tail = NULL;
	id->has_finisher = ready != NULL;
	return ready;
}

struct dio_req *dio_prefix_first(
		struct inode *inode, struct dio_req *reqs, bool *ret_more)
{
	struct inode_dio *id = inode->dio;
	struct dio_req *ready = NULL;
	struct dio_req **tail = &ready;

	*ret_more = false;
	if (id == NULL)
		return reqs;
	mutex_lock(&inode->attr_lock);
	for (; reqs != NULL; reqs = reqs->next) {
		if (reqs->pending.listed) {
			reqs->pending.data_done = true;
			continue;
		}
		*tail = reqs;
		tail = &reqs->next;
	}
	*tail = NULL;
	if (!id->has_finisher) {
		*tail = prefix_take_locked(id);
		*ret_more = *tail != NULL;
	}
	mutex_unlock(&inode->attr_lock);
	return ready;
}

struct dio_req *dio_prefix_more(struct inode *inode)
{
	struct dio_req *ready;

	mutex_lock(&inode->attr_lock);
	ready = prefix_take_locked(inode->dio);
	mutex_unlock(&inode->attr_lock);
	return ready;
}
