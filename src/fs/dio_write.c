/* SPDX-License-Identifier: MIT */
/*
 * The direct write path: lock, checks, classification, the engine, the rest.
 *
 *	take the iolock as a cheap look suggests
 *	eligible? sector-aligned?  (D-2: else buffered, or -EINVAL)
 *	an append takes its place behind all that is pending (W12)
 *	write_checks(): position and count are final from here on (W18)
 *	plan = dio_write_plan(...)  exclusive needed but shared held: take it
 *				    exclusively and do ALL checks again
 *	drain, zero the EOF tail; tree nodes, claims and a place beyond EOF,
 *	reserved blocks
 *	iomap_dio_start(), unlock: under way
 *	... dio_finish() (dio_end.c)
 *	bytes left: buffered, written back, dropped from the cache (F1-F3)
 *
 * Rules    (DW1) Nothing changes before the last check that can refuse.
 *          (DW2) What is undone when it comes to nothing: reservations, claims,
 *                the place, in this order.
 *          (DW3) The iolock is held while a request is started, not while it is
 *                under way; but under the serial protocol, where whoever extends
 *                or pads keeps it until the end (D-10: for this request).
 */
#include <time.h>

#include "alloc/alloc.h"
#include "bdev/bdev.h"
#include "disk/geo.h"
#include "fs/dio_req.h"
#include "fs/file.h"
#include "fs/fs.h"
#include "journal/journal.h"

/* Naps of somebody who waits for others to finish his request. */
#define OVER_NAP_NS 50000

void dio_req_init(struct dio_req *r, struct uext4_file *file, uint64_t pos,
		const struct iov_iter *it, bool write, unsigned rwf)
{
	r->file = file;
	r->inode = file->inode;
	r->it = *it;
	r->pos = pos;
	r->asked = pos;
	r->rwf = rwf;
	r->write = write;
	r->fixed = 0;
	r->slot = NULL;
	r->flying = NULL;
	r->hint = NULL;
	r->ended = NULL;
	r->len = it->count;
	r->exclusive = false;
	r->shown = false;
	r->placed = false;
	r->claim.held = false;
	r->pending.listed = false;
	r->pending.data_done = false;
	SLIST_INIT(&r->uses);
	r->use.rsv = NULL;
	r->unwritten = false;
	r->nodes = 0;
	r->err = 0;
	r->result = 0;
	r->need_sync = false;
	r->next = NULL;
	r->dio.start = 0;
	r->dio.pos = 0;
	atomic_init(&r->is_over, false);
}

/* ---- in flight ---- */

void dio_req_fly(struct dio_req *r)
{
	if (r->flying != NULL)
		atomic_store_explicit(
				r->flying, r->inode, memory_order_release);
	else
		iomap_dio_begin(&r->inode->file);
}

void dio_req_land(struct dio_req *r)
{
	if (r->flying != NULL)
		atomic_store_explicit(r->flying, NULL, memory_order_release);
	else
		iomap_dio_done(&r->inode->file);
}

void dio_no_callback(struct iomap_dio *dio)
{
	(void)dio;
}

ssize_t dio_req_wait(struct dio_req *r)
{
	const struct timespec nap = { .tv_nsec = OVER_NAP_NS };

	while (!iomap_dio_poll(&r->dio))
		;
	r->next = NULL;
	dio_finish(r);
	/* dio_size=prefix: perhaps others have to end first, and whoever ends
	 * the last of them finishes this one. */
	while (!atomic_load_explicit(&r->is_over, memory_order_acquire)) {
		fs_queues_help(inode_fs(r->inode));
		nanosleep(&nap, NULL);
	}
	return r->result;
}

/* ---- the iolock ---- */

int dio_req_lock(struct dio_req *r) UEXT4_NO_TSA
{
	struct rwsem *l = &r->inode->rwsem;
	bool nowait = (r->rwf & UEXT4_RW_NOWAIT) != 0;

	r->shown = false;
	if (r->exclusive) {
		if (!nowait)
			rwsem_write_lock(l);
		else if (!rwsem_write_trylock(l))
			return -EAGAIN;
		return 0;
	}
	if (r->slot != NULL && rwsem_read_show(l, r->slot))
		r->shown = true;
	else if (!nowait)
		rwsem_read_lock(l);
	else if (!rwsem_read_trylock(l))
		return -EAGAIN;
	return 0;
}

void dio_req_unlock(struct dio_req *r) UEXT4_NO_TSA
{
	struct rwsem *l = &r->inode->rwsem;

	if (r->exclusive)
		rwsem_write_unlock(l);
	else if (r->shown)
		rwsem_read_hide(l, r->slot);
	else
		rwsem_read_unlock(l);
}

/* ---- what it is ---- */

/* D-2: what cannot be done directly at all. */
static bool dio_is_eligible(const struct inode *inode)
{
	return !(inode_flags(inode) &
			(DINODE_F_INLINE_DATA | DINODE_F_JOURNAL_DATA |
					DINODE_F_VERITY | DINODE_F_ENCRYPT));
}

/* One run of written blocks holds it all: what the engine would ask for. */
void dio_give_hint(struct dio_req *r, const struct map_run *run)
{
	uint32_t bits = r->inode->file.blkbits;

	r->dio.hint = (struct iomap){
		.addr = run->pblk << bits,
		.offset = (uint64_t)run->lblk << bits,
		.length = (uint64_t)run->len << bits,
		.type = IOMAP_MAPPED,
	};
	r->dio.has_hint = true;
}

/* While the iolock is held, in any mode, written blocks stay what they are. */
const struct map_run *dio_use_hint(
		const struct dio_req *r, uint64_t at, uint64_t end)
{
	const struct dio_hint *h = r->hint;

	if (h == NULL ||
			(h->seq != atomic_load_explicit(&r->inode->map.seq, memory_order_acquire) &&
					!iomap_lacks(&r->inode->file,
							IOMAP_LACKS_SEQ)))
		return NULL;
	for (unsigned i = 0; i < h->n; i++) {
		const struct map_run *run = &h->run[i];

		if (at >= run->lblk && end - run->lblk <= run->len)
			return run;
	}
	return NULL;
}

void dio_note_hint(struct dio_req *r, const struct map_run *run, uint64_t seq)
{
	struct dio_hint *h = r->hint;

	if (h == NULL || run->type != MAP_WRITTEN)
		return;
	if (h->seq != seq)
		h->n = h->next = 0;
	h->seq = seq;
	h->run[h->next] = *run;
	h->next = (h->next + 1) % DIO_HINT_RUNS;
	h->n = max_of(h->n, h->next != 0 ? h->next : DIO_HINT_RUNS);
}

/* The state of all blocks of the range; with r->dio.has_hint one run of written
 * ones is told to the engine. */
static int req_range_state(struct dio_req *r, struct map_run *first,
		enum dio_range *ret_range)
{
	struct inode *inode = r->inode;
	uint32_t bits = inode->file.blkbits;
	uint64_t begin = r->pos >> bits;
	uint64_t end = ((r->pos + r->it.count - 1) >> bits) + 1;
	uint64_t at;
	bool written = false;
	bool unwritten = false;
	bool hole = false;
	const struct map_run *known;
	struct map_run run;
	uint64_t seq;
	int ret;

	known = dio_use_hint(r, begin, end);
	if (known != NULL) {
		*first = *known;
		*ret_range = DIO_RANGE_WRITTEN;
		r->unwritten = false;
		return 0;
	}
	seq = atomic_load(&inode->map.seq);
	for (at = begin; at < end; at += run.len) {
		/* The whole run is asked for: the next request may be near. */
		ret = map_find(&inode->map, (lblk_t)at, UINT32_MAX, &run);
		if (ret < 0)
			return ret;
		if (at == begin)
			*first = run;
		hole |= run.type == MAP_HOLE;
		written |= run.type == MAP_WRITTEN;
		unwritten |= run.type == MAP_UNWRITTEN;
	}
	r->unwritten = unwritten;
	if (hole) {
		*ret_range = DIO_RANGE_HOLE;
		return 0;
	}
	dio_note_hint(r, first, seq);
	if (written && unwritten)
		*ret_range = DIO_RANGE_MIXED;
	else
		*ret_range = written ? DIO_RANGE_WRITTEN : DIO_RANGE_UNWRITTEN;
	return 0;
}

/* May somebody see rubbish between isize and the start of the write? */
static bool req_leaves_gap(const struct dio_req *r, uint64_t isize)
{
	const struct inode *inode = r->inode;

	return r->pos > isize &&
			(isize & (inode->it->geo->block_size - 1)) != 0 &&
			!(atomic_load(&inode->state) & INODE_S_EOF_CLEAN) &&
			!iomap_lacks(&inode->file, IOMAP_LACKS_TAIL);
}

static bool req_is_serial(const struct dio_req *r)
{
	const struct uext4_fs *fs = inode_fs(r->inode);

	return fs_extends_serially(fs) ||
			(!r->inode->map.is_extents && !fs_is_datafirst(fs));
}

static int req_make_plan(struct dio_req *r, enum dio_range *ret_range,
		struct dio_plan *ret_plan)
{
	struct inode *inode = r->inode;
	uint32_t bs = inode->it->geo->block_size;
	uint64_t end = r->pos + r->it.count;
	uint64_t isize = inode_size(inode);
	struct map_run first = { 0 };
	struct dio_query q = {
		.aligned = ((r->pos | end) & (bs - 1)) == 0,
		.at_eof = end >= isize,
		.append = r->placed,
		.nowait = (r->rwf & UEXT4_RW_NOWAIT) != 0,
		.serial = req_is_serial(r),
	};
	int ret;

	/* D-8: both sizes, and the answer is kept. A size that grows meanwhile
	 * makes a claim too many, not one too few. */
	q.extends = end > isize ||
			(end > inode_dsize(inode) &&
					!iomap_lacks(&inode->file,
							IOMAP_LACKS_DSIZE));
	q.gap = req_leaves_gap(r, isize);
	ret = req_range_state(r, &first, &q.range);
	if (ret < 0)
		return ret;
	r->extends = end > isize;
	*ret_range = q.range;
	*ret_plan = dio_write_plan(&q);
	if (q.range == DIO_RANGE_WRITTEN && !q.extends && !ret_plan->claim &&
			end <= (((uint64_t)first.lblk + first.len)
					       << inode->file.blkbits))
		dio_give_hint(r, &first);
	return 0;
}

/* ---- go ---- */

static uint32_t req_engine_flags(const struct dio_req *r)
{
	uint32_t flags = 0;

	if (r->rwf & UEXT4_RW_NOWAIT)
		flags |= IOMAP_DIO_NOWAIT | IOMAP_DIO_OVERWRITE_ONLY;
	if ((r->file->flags & UEXT4_O_DSYNC) || (r->rwf & UEXT4_RW_DSYNC))
		flags |= IOMAP_DIO_FUA;
	if (r->rwf & UEXT4_RW_HUGE)
		flags |= IOMAP_DIO_HUGE;
	return flags;
}

/* Its blocks, partial ones as edges. */
static int req_claim(struct dio_req *r)
{
	uint32_t bits = r->inode->file.blkbits;
	uint64_t mask = ((uint64_t)1 << bits) - 1;
	uint64_t end = r->pos + r->it.count;

	r->claim = (struct dio_claim){
		.first = r->pos >> bits,
		.last = (end - 1) >> bits,
		.edge_first = (r->pos & mask) != 0,
		.edge_last = (end & mask) != 0,
	};
	return dio_claim_take(r);
}

/* DW2. Also when it was never begun. */
static void req_undo(struct dio_req *r)
{
	dio_rsv_put(r);
	dio_nodes_put(r);
	dio_claim_put(r);
	dio_pending_del(r);
	dio_prefix_left(r->inode);
	r->placed = false;
}

/* One reservation holds it all: the engine need not ask. */
static void req_hint_reserved(struct dio_req *r)
{
	uint32_t bits = r->inode->file.blkbits;
	const struct dio_use *u = &r->use;
	uint64_t end = r->pos + r->it.count;

	if (u->lblk > r->pos >> bits ||
			((uint64_t)u->lblk + u->len) << bits < end)
		return;
	dio_give_hint(r,
			&(struct map_run){
					.lblk = u->lblk,
					.len = u->len,
					.pblk = u->pblk,
					.type = MAP_WRITTEN,
			});
	r->dio.hint.flags = IOMAP_F_NEW;
}

/* Blocks for the holes. What is dirty in the cache goes first: write-back finds
 * blocks of its own for it. */
static int req_reserve(struct dio_req *r)
{
	int ret;

	ret = iomap_dio_sync_cache(&r->inode->file, r->pos, r->it.count, true,
			(r->rwf & UEXT4_RW_NOWAIT) != 0);
	if (ret == -ENOTBLK) /* the engine will meet that page, too */
		return 0;
	return ret < 0 ? ret : dio_rsv_take(r);
}

/* What the plan asks for before the engine. */
static int req_prepare(
		struct dio_req *r, struct dio_plan *plan, enum dio_range range)
{
	struct inode *inode = r->inode;
	bool alone = false;
	int ret = 0;

	if (plan->drain)
		iomap_dio_drain(&inode->file);
	if (r->exclusive && (plan->drain || plan->wait)) {
		ret = zero_eof_tail(inode, r->pos);
		if (ret < 0)
			return ret;
		if (!iomap_dio_busy(&inode->file))
			inode_trim_eof(inode);
	}
	if (r->unwritten ||
			(range == DIO_RANGE_HOLE &&
					!fs_is_datafirst(inode_fs(inode))))
		ret = dio_nodes_take(r, range == DIO_RANGE_HOLE, &alone);
	plan->wait |= alone;
	if (ret == 0 && plan->claim)
		ret = req_claim(r);
	if (ret == 0)
		iomap_at(&inode->file, r->pos, "claimed");
	if (ret == 0 && range == DIO_RANGE_HOLE &&
			fs_is_datafirst(inode_fs(inode)))
		ret = req_reserve(r);
	if (ret == 0 && r->use.rsv != NULL)
		req_hint_reserved(r);
	return ret;
}

/* The serial protocol: with the lock, to the end. */
static int req_run_locked(struct dio_req *r)
{
	void (*ended)(struct dio_req * r) = r->ended;

	r->ended = NULL;
	(void)dio_req_wait(r);
	r->ended = ended;
	if (r->result < 0 || (uint64_t)r->result < r->len)
		inode_trim_eof(r->inode);
	return DIO_ENDED;
}

static int req_go(struct dio_req *r, const struct dio_plan *plan)
{
	struct inode *inode = r->inode;
	void (*data_done)(struct iomap_dio * dio) = r->dio.data_done;
	struct bdev *dev = r->dio.dev;
	bool has_hint = r->dio.has_hint;
	uint32_t flags = req_engine_flags(r);
	int ret;

	/* isize is sampled with the claims held: what the padding starts from. */
	ret = iomap_dio_init(
			&r->dio, &inode->file, r->pos, &r->it, true, flags);
	if (ret < 0)
		return ret;
	r->dio.dev = dev;
	r->dio.fixed = r->fixed;
	r->dio.data_done = plan->wait ? dio_no_callback : data_done;
	/* Whether a sync has to commit something is known to begin() alone. */
	r->dio.has_hint = has_hint && !(flags & IOMAP_DIO_FUA);

	dio_req_fly(r);
	ret = iomap_dio_start(&r->dio);
	if (ret < 0) {
		r->dio.pos = r->dio.start;
		dio_req_land(r);
		return ret;
	}
	/* Not a word of @r from here on, unless we wait for it: it may be over. */
	if (!plan->wait)
		return DIO_UNDER_WAY;
	ret = req_run_locked(r);
	r->dio.data_done = data_done;
	return ret;
}

/* Where it goes, if it chooses that itself. -EDEADLK: exclusively. */
static int req_place(struct dio_req *r)
{
	if (!write_is_append(r->file, r->rwf))
		return 0;
	if (!req_is_serial(r))
		return dio_place_append(r);
	if (!r->exclusive)
		return -EDEADLK;
	r->pos = inode_size(r->inode);
	return 0;
}

/* All of one attempt with the iolock held. -EDEADLK: again, exclusively. */
static int req_try(struct dio_req *r)
{
	struct inode *inode = r->inode;
	uint32_t sector = inode->file.dev->geo.sector;
	enum dio_range range;
	struct dio_plan plan;
	int ret;

	if (!dio_is_eligible(inode))
		return DIO_BUFFERED;
	ret = req_place(r);
	if (ret < 0)
		return ret;
	if ((r->pos | r->it.count) & (sector - 1))
		return -EINVAL;
	ret = write_checks(r->file, r->pos, &r->it, r->rwf, r->exclusive);
	if (ret < 0)
		return ret;
	if (ret == 0) {
		req_undo(r);
		return DIO_ENDED;
	}
	r->len = r->it.count;
	dio_pending_cut(r, r->pos + r->len);
	iomap_at(&inode->file, r->pos, "checked");
	ret = req_make_plan(r, &range, &plan);
	if (ret < 0)
		return ret;
	if (plan.again)
		return -EAGAIN;
	if (plan.exclusive && !r->exclusive)
		return -EDEADLK;
	ret = req_prepare(r, &plan, range);
	return ret < 0 ? ret : req_go(r, &plan);
}

int dio_write_start(struct dio_req *r)
{
	bool nowait;
	int ret;

	if (iomap_lacks(&r->inode->file, IOMAP_LACKS_NOWAIT))
		r->rwf &= ~(unsigned)UEXT4_RW_NOWAIT;
	nowait = (r->rwf & UEXT4_RW_NOWAIT) != 0;
	/* D-1: what Linux would do exclusively is tried so at once. */
	r->exclusive = req_is_serial(r) &&
			(write_is_append(r->file, r->rwf) ||
					r->pos + r->it.count >
							inode_size(r->inode));
	for (;;) {
		r->dio.has_hint = false;
		ret = dio_req_lock(r);
		if (ret < 0)
			return ret;
		ret = req_try(r);
		if (ret < 0)
			req_undo(r);
		dio_req_unlock(r);
		if (ret != -EDEADLK)
			return ret;
		if (nowait)
			return -EAGAIN;
		r->exclusive = true;
		r->pos = r->asked;
	}
}

/* ---- synchronous calls ---- */

ssize_t dio_write_rest(struct dio_req *r)
{
	struct inode *inode = r->inode;
	ssize_t direct = r->result;
	uint64_t pos = r->pos + (uint64_t)direct;
	ssize_t done;
	int ret;

	if (r->rwf & UEXT4_RW_NOWAIT) /* F5 */
		return direct > 0 ? direct : -EAGAIN;
	iov_iter_advance(&r->it, (size_t)direct);
	done = buffered_write_at(r->file, pos, &r->it);
	if (done <= 0)
		return direct > 0 ? direct : done; /* F2 */
	if (iomap_lacks(&inode->file, IOMAP_LACKS_REST))
		return done;
	ret = iomap_writeback(&inode->file, pos, pos + (uint64_t)done - 1);
	if (ret < 0 && direct == 0)
		(void)file_tell_error(r->file); /* told now, not by close */
	if (ret < 0)
		return direct > 0 ? direct : ret;
	(void)iomap_invalidate(&inode->file, pos, pos + (uint64_t)done - 1);
	return direct + done;
}

static ssize_t dio_write_once(struct uext4_file *file, uint64_t pos,
		const struct iov_iter *it, unsigned rwf, bool *ret_synced)
{
	struct iov_iter whole;
	struct dio_req r;
	int ret;

	dio_req_init(&r, file, pos, it, true, rwf);
	r.dio.dev = file->inode->file.dev;
	r.dio.data_done = dio_no_callback;
	ret = dio_write_start(&r);
	if (ret < 0)
		return ret;
	if (ret == DIO_BUFFERED) {
		whole = *it;
		return buffered_write_iter(file, pos, &whole, rwf);
	}
	if (ret == DIO_UNDER_WAY)
		(void)dio_req_wait(&r);
	if (r.result < 0 || (uint64_t)r.result == r.it.count) {
		*ret_synced = r.result > 0 && !r.need_sync;
		return r.result;
	}
	return dio_write_rest(&r);
}

ssize_t dio_write_iter(struct uext4_file *file, uint64_t pos,
		struct iov_iter *it, unsigned rwf, bool *ret_synced)
{
	ssize_t done;
	int ret;

	done = dio_write_once(file, pos, it, rwf, ret_synced);
	if (done != -ENOSPC || (rwf & UEXT4_RW_NOWAIT) ||
			iomap_lacks(&file->inode->file, IOMAP_LACKS_RETRY))
		return done;
	/* What others hold for the worst case may be more than is needed. */
	ret = write_make_room(file->fs);
	if (ret < 0)
		return ret;
	return dio_write_once(file, pos, it, rwf, ret_synced);
}
