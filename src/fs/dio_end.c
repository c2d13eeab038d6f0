/* SPDX-License-Identifier: MIT */
/*
 * The end of direct requests whose data is done: many at once, any order.
 *
 *	file by file; under dio_size=prefix only those that may be (dio_claim.c)
 *	  one handle:	reserved blocks entered, unwritten ones converted, in
 *			order of position; then the sizes	dio_write_end_batch()
 *	  each:		pages of the range dropped, reservations, claims and
 *			place given up, out of flight, ended()	dio_req_over()
 *
 * Rules    (E1) After failed I/O nothing is entered or converted and no size
 *               changes.
 *          (E3) A size is raised in the handle that enters or converts what it
 *               covers, afterwards; only ever upwards, dsize never past isize
 *               (B14, B46). Where one handle is not enough each ends with sizes
 *               that cover what it has done: no committed state has a written
 *               block wholly past dsize.
 *          (E4) Sizes, then pages, then out of flight, then ended(): each
 *               inversion is a bug that somebody had.
 *          (DQ4) No iolock is taken, no other request is waited for.
 *
 * Locks    (iolock and inval of a drainer) > pages; handle > id->lock >
 *          map.lock > attr_lock
 */
#include <assert.h>

#include "base/log.h"
#include "fs/dio_req.h"
#include "fs/file.h"
#include "fs/fs.h"
#include "fs/reserve.h"
#include "journal/journal.h"
#include "journal/txn.h"

#define BATCH_MAX 64u /* requests in one handle, more or less */

struct dio_batch {
	struct inode *inode;
	struct dio_req *req[BATCH_MAX]; /* by position */
	unsigned n;
	struct handle *h;
	uint32_t credits;  /* of one step */
	bool credits_all;  /* the handle has them for every step */
	uint64_t done_end; /* all before it that is asked for is written */
};

/* ---- one handle ---- */

static uint64_t req_end(const struct dio_req *r)
{
	return r->pos + iomap_dio_bytes(&r->dio);
}

static uint64_t req_first(const struct dio_req *r)
{
	return r->pos >> r->inode->file.blkbits;
}

static uint64_t req_last(const struct dio_req *r)
{
	return (req_end(r) - 1) >> r->inode->file.blkbits;
}

/* Has it blocks that are not written yet as far as the map knows? */
static bool req_has_fresh(const struct dio_req *r)
{
	return (r->dio.seen & IOMAP_DIO_UNWRITTEN) || !SLIST_EMPTY(&r->uses);
}

/* Both sizes are asked, again: others may have raised them (B19, B20). */
static bool req_extends(const struct dio_req *r)
{
	return req_end(r) > inode_size(r->inode) ||
			(req_end(r) > inode_dsize(r->inode) &&
					!iomap_lacks(&r->inode->file,
							IOMAP_LACKS_DSIZE));
}

static bool req_has_end_io(const struct dio_req *r)
{
	return r->write && r->err == 0 && iomap_dio_bytes(&r->dio) > 0 &&
			(req_has_fresh(r) || req_extends(r));
}

/* The handle goes on with credits for one more step, in another transaction if
 * must be (E3). */
static int batch_go_on(struct dio_batch *b)
{
	uint32_t have = handle_credits(b->h);
	int ret;

	if (have >= b->credits)
		return 0;
	assert(!b->credits_all); /* DR5: no restart */
	ret = handle_extend(b->h, b->credits - have);
	if (ret != -EAGAIN)
		return ret;
	raise_sizes(b->inode, b->done_end, true);
	ret = inode_dirty_datasync(b->h, b->inode);
	return ret < 0 ? ret : handle_restart(b->h, b->credits);
}

/* Make the first of the blocks from @at on written; *ret_n of them are. */
static int batch_step(
		struct dio_batch *b, uint64_t at, uint32_t n, uint32_t *ret_n)
{
	struct inode *inode = b->inode;
	struct map_run run;
	int ret;

	ret = map_find(&inode->map, (lblk_t)at, n, &run);
	if (ret < 0)
		return ret;
	*ret_n = run.len;
	if (run.type == MAP_WRITTEN)
		return 0;
	ret = batch_go_on(b);
	if (ret < 0)
		return ret;
	if (run.type == MAP_HOLE)
		return dio_rsv_enter(b->h, inode, (lblk_t)at, run.len, ret_n);
	ret = reserve_convert(b->h, inode, (lblk_t)at, run.len, MAP_F_LATE);
	if (ret == -EAGAIN) { /* over many extents: what is left of it again */
		*ret_n = 0;
		ret = 0;
	}
	return ret;
}

/* Blocks [@at, @end), which hold data up to byte @bytes. */
static int batch_write(
		struct dio_batch *b, uint64_t at, uint64_t end, uint64_t bytes)
{
	uint32_t n = 0;
	int ret;

	for (; at < end; at += n) {
		ret = batch_step(b, at, (uint32_t)min_u64(end - at, 32768), &n);
		if (ret < 0)
			return ret;
		b->done_end = max_u64(b->done_end,
				min_u64(bytes, (at + n) << b->inode->file.blkbits));
	}
	return 0;
}

/* All requests of the batch, those that touch as one. How many are done. */
static unsigned batch_run(struct dio_batch *b, int *ret)
{
	unsigned i = 0;
	unsigned next;

	*ret = 0;
	while (i < b->n) {
		struct dio_req *r = b->req[i];
		uint64_t end = req_last(r) + 1;
		uint64_t bytes = req_end(r);

		next = i + 1;
		while (next < b->n && req_has_fresh(r) &&
				req_has_fresh(b->req[next]) &&
				req_first(b->req[next]) <= end) {
			end = max_u64(end, req_last(b->req[next]) + 1);
			bytes = max_u64(bytes, req_end(b->req[next]));
			next++;
		}
		if (req_has_fresh(r))
			*ret = batch_write(b, req_first(r), end, bytes);
		if (*ret < 0)
			break;
		b->done_end = max_u64(b->done_end, bytes);
		i = next;
	}
	return i;
}

/* A handle for all of the batch at once, if the journal can give that much: then
 * bitmaps are changed once for all that is entered, not once for each. A block
 * tree may be short of a node, which DR5 does not allow. */
static int batch_start(struct dio_batch *b)
{
	struct journal *j = b->inode->it->journal;
	uint64_t all = (uint64_t)b->credits * (b->n + 1);

	b->credits_all = b->n > 1 && b->inode->map.is_extents &&
			all <= journal_max_credits(j) / 2;
	return handle_start(
			j, b->credits_all ? (uint32_t)all : b->credits, &b->h);
}

static void batch_fail(struct dio_batch *b, unsigned from, int err)
{
	for (; from < b->n; from++)
		b->req[from]->err = err;
}

/* Enter, convert, raise the sizes of the batch, in one handle if it is enough. */
static void dio_write_end_batch(struct dio_batch *b)
{
	struct inode *inode = b->inode;
	struct iomap_file *f = &inode->file;
	unsigned done;
	int ret;
	int err;

	b->done_end = 0;
	b->credits = max_of(map_credits_convert(&inode->map),
				     dio_rsv_credits(inode)) +
			INODE_CREDITS;
	iomap_at(f, b->req[0]->pos, "convert");
	if (iomap_lacks(f, IOMAP_LACKS_ORDER)) {
		raise_sizes(inode, req_end(b->req[b->n - 1]), true);
		iomap_at(f, b->req[0]->pos, "sized");
	}
	ret = batch_start(b);
	if (ret < 0) {
		batch_fail(b, 0, ret);
		return;
	}
	done = 0;
	if (b->credits_all)
		ret = dio_rsv_mark(b->h, inode, b->req, b->n);
	if (ret == 0)
		done = batch_run(b, &ret);
	iomap_at(f, b->req[0]->pos, "converted");
	if (b->done_end > 0 || ret < 0) {
		raise_sizes(inode, b->done_end, true);
		err = inode_dirty_datasync(b->h, inode);
		ret = ret < 0 ? ret : err;
		done = err < 0 ? 0 : done;
	}
	err = handle_finish(b->h, ret);
	batch_fail(b, err < 0 && ret == 0 ? 0 : done, err);
}

static void batch_add(struct dio_batch *b, struct dio_req *r)
{
	unsigned i;

	for (i = b->n++; i > 0 && b->req[i - 1]->pos > r->pos; i--)
		b->req[i] = b->req[i - 1];
	b->req[i] = r;
}

/* ---- over ---- */

/* For tests: surplus blocks are given back at once, whoever is in flight. */
static void trim_now_lacking(struct inode *inode)
{
	if (!iomap_lacks(&inode->file, IOMAP_LACKS_TRIM_ALONE))
		return;
	rwsem_write_lock(&inode->rwsem);
	inode_trim_eof(inode);
	rwsem_write_unlock(&inode->rwsem);
}

/* A write that failed or came out short may have left something behind isize:
 * bytes in its block, blocks behind it. */
static void req_clean_up(struct dio_req *r)
{
	struct inode *inode = r->inode;
	uint64_t isize = inode_size(inode);

	if (r->pos + r->len > isize)
		atomic_fetch_and(&inode->state, ~INODE_S_EOF_CLEAN);
	if ((r->dio.seen & IOMAP_DIO_NEW) && SLIST_EMPTY(&r->uses) &&
			r->dio.mapped_end > isize &&
			!iomap_lacks(&inode->file, IOMAP_LACKS_TRIM)) {
		atomic_fetch_or(&inode->state, INODE_S_EOF_TRIM);
		trim_now_lacking(inode);
	}
}

static void dio_req_over(struct dio_req *r, bool has_pages)
{
	struct iomap_file *f = &r->inode->file;
	uint64_t bytes = iomap_dio_bytes(&r->dio);

	if (!iomap_lacks(f, IOMAP_LACKS_DROP))
		iomap_dio_end(&r->dio, has_pages);
	if (r->write) {
		if (r->err < 0 || bytes < r->len)
			req_clean_up(r);
		dio_rsv_put(r);
		dio_nodes_put(r);
		dio_claim_put(r);
		dio_pending_del(r);
		r->need_sync = !iomap_dio_is_durable(&r->dio) &&
				!iomap_lacks(f, IOMAP_LACKS_SYNC_LAST);
	}
	r->result = r->err < 0 ? r->err : (ssize_t)bytes;
	iomap_at(f, r->pos, "land");
	if (!iomap_lacks(f, IOMAP_LACKS_COUNT_LAST))
		dio_req_land(r);
	if (r->ended != NULL)
		r->ended(r);
	else
		atomic_store_explicit(&r->is_over, true, memory_order_release);
}

/* Those from @from up to @to, which are finished but for this. */
static void dio_reqs_over(
		struct inode *inode, struct dio_req *from, struct dio_req *to)
{
	bool has_pages = iomap_dio_has_pages(&inode->file);
	struct dio_req *next;

	for (; from != to; from = next) {
		next = from->next;
		dio_req_over(from, has_pages);
	}
}

/* Requests of one file, by next, none of which waits for another. */
static void dio_finish_now(struct inode *inode, struct dio_req *reqs)
{
	struct dio_req *from = reqs;
	struct dio_req *r;
	struct dio_batch b;

	b.inode = inode;
	b.n = 0;
	for (r = reqs; r != NULL; r = r->next) {
		if (req_has_end_io(r))
			batch_add(&b, r);
		if (b.n < BATCH_MAX && (r->next != NULL || b.n == 0))
			continue;
		dio_write_end_batch(&b);
		b.n = 0;
		/* The next handle may take long: these are over already. */
		dio_reqs_over(inode, from, r);
		from = r;
	}
	dio_reqs_over(inode, from, NULL);
}

/* For tests: what each rule that a file can lack would have prevented. */
static void dio_finish_lacking(struct dio_req *r)
{
	struct iomap_file *f = &r->inode->file;

	if (iomap_lacks(f, IOMAP_LACKS_SYNC_LAST))
		err_ignore(inode_sync(r->inode, true));
	if (iomap_lacks(f, IOMAP_LACKS_ERROR))
		r->err = 0;
	if (iomap_lacks(f, IOMAP_LACKS_DROP))
		iomap_dio_end(&r->dio, true);
	if (iomap_lacks(f, IOMAP_LACKS_COUNT_LAST))
		dio_req_land(r);
}

static void dio_finish_inode(struct inode *inode, struct dio_req *reqs)
{
	bool more = false;
	struct dio_req *r;

	for (r = reqs; r != NULL; r = r->next) {
		r->err = iomap_dio_error(&r->dio);
		iomap_at(&inode->file, r->pos, "data_done");
		dio_finish_lacking(r);
	}
	if (fs_sizes_by_prefix(inode_fs(inode)))
		reqs = dio_prefix_first(inode, reqs, &more);
	while (reqs != NULL) {
		dio_finish_now(inode, reqs);
		reqs = more ? dio_prefix_more(inode) : NULL;
	}
}

void dio_prefix_left(struct inode *inode)
{
	struct dio_req *reqs;
	bool more;

	if (!fs_sizes_by_prefix(inode_fs(inode)))
		return;
	reqs = dio_prefix_first(inode, NULL, &more);
	while (reqs != NULL) {
		dio_finish_now(inode, reqs);
		reqs = dio_prefix_more(inode);
	}
}

void dio_finish(struct dio_req *reqs)
{
	while (reqs != NULL) {
		struct inode *inode = reqs->inode;
		struct dio_req *rest = NULL;
		struct dio_req **rest_tail = &rest;
		struct dio_req **at = &reqs;

		/* Those of other files for a later round. */
		while (*at != NULL) {
			struct dio_req *r = *at;

			if (r->inode == inode) {
				at = &r->next;
				continue;
			}
			*at = r->next;
			*rest_tail = r;
			rest_tail = &r->next;
		}
		*rest_tail = NULL;
		dio_finish_inode(inode, reqs);
		reqs = rest;
	}
}
