/* SPDX-License-Identifier: MIT */
/*
 * Requests through a target's queue. See drive.h.
 */
#include <errno.h>
#include <stdio.h>

#include "bench/drive.h"

#define REAP_MAX 64u
#define SAMPLE   256u

static uint32_t blocks_of(const struct drive *d)
{
	return d->bs / CONTENT_BLOCK;
}

/* First block of request @req of this pass. */
static uint32_t block_of(const struct drive *d, uint32_t req)
{
	return (d->job->random ? d->order[req] : req) * blocks_of(d);
}

static void *buf_of(const struct drive *d, uint32_t slot)
{
	return d->bufs + (size_t)slot * d->bs;
}

/* ---- a pass ---- */

static int queue_fill(struct drive *d, uint64_t now)
{
	struct target_req req = { .write = d->job->op == JOB_WRITE };
	uint32_t blk;
	int ret;

	while (d->nfree > 0 && d->next < d->nreq) {
		blk = block_of(d, d->next);
		req.slot = d->free_slots[--d->nfree];
		req.buf = buf_of(d, req.slot);
		req.len = d->bs;
		req.pos = (uint64_t)blk * CONTENT_BLOCK;
		d->slots[req.slot].began = now;
		d->slots[req.slot].req = d->next++;
		if (req.write)
			content_stamp(d->content, blk, d->generation, req.buf,
					d->bs);
		ret = d->target->ops->prep(d->target, &req);
		if (ret < 0)
			return drive_fail(d, ret, "cannot be prepared");
	}
	return 0;
}

static int queue_complete(struct drive *d, const struct target_done *done,
		unsigned n, uint64_t now)
{
	uint32_t slot;
	uint32_t blk;
	unsigned i;

	for (i = 0; i < n; i++) {
		slot = (uint32_t)done[i].slot;
		if (done[i].result < 0)
			return drive_fail(d, (int)done[i].result, "fails");
		if (done[i].result != d->bs)
			return drive_fail(d, -EIO, "is cut short");
		blk = block_of(d, d->slots[slot].req);
		if (d->job->op == JOB_READ &&
				!content_glance(d->content, blk,
						buf_of(d, slot)))
			return drive_fail(d, -EIO,
					"reads what was not written there");
		hist_add(&d->hist, now - d->slots[slot].began);
		d->free_slots[d->nfree++] = slot;
	}
	d->done += n;
	return 0;
}

static void queue_reset(struct drive *d)
{
	uint32_t i;

	d->nfree = d->slots_used;
	for (i = 0; i < d->slots_used; i++)
		d->free_slots[i] = i;
}

int drive_queue_pass(struct drive *d)
{
	struct target_done done[REAP_MAX];
	const struct target_ops *ops = d->target->ops;
	uint64_t now = drive_clock();
	int ret;

	queue_reset(d);
	for (;;) {
		if (now >= d->deadline || *d->stop)
			d->nreq = d->next;
		ret = queue_fill(d, now);
		if (ret < 0)
			return ret;
		if (d->nfree == d->slots_used)
			return 0;
		ret = ops->submit(d->target, 1);
		if (ret < 0)
			return drive_fail(d, ret, "cannot be submitted");
		ret = ops->reap(d->target, done, REAP_MAX);
		if (ret < 0)
			return drive_fail(d, ret, "cannot be waited for");
		now = drive_clock();
		ret = queue_complete(d, done, (unsigned)ret, now);
		if (ret < 0)
			return ret;
	}
}

/* ---- a sample ---- */

/* All of a small file. Of others half from what this pass touched, half from
 * anywhere in it; its first and last block always. */
static uint32_t sample_block(struct drive *d, uint32_t i)
{
	uint32_t end = d->content->end;

	if (i == 0 || end <= SAMPLE)
		return i;
	if (i == 1)
		return end - 1;
	if (i % 2 == 0 && d->next > 0)
		return block_of(d, rng_below(&d->rng, d->next)) +
				rng_below(&d->rng, blocks_of(d));
	return rng_below(&d->rng, end);
}

static int sample_compare(struct drive *d, const struct target_done *done)
{
	uint32_t blk = d->slots[done->slot].req;
	char what[200];
	char why[80];

	if (done->result != CONTENT_BLOCK)
		return drive_fail(d,
				done->result < 0 ? (int)done->result : -EIO,
				"what was written cannot be read back");
	if (!content_check(d->content, blk,
			    d->check + (size_t)done->slot * CONTENT_BLOCK, why,
			    sizeof(why))) {
		snprintf(what, sizeof(what),
				"block %u of the file reads back wrong: it "
				"holds %s",
				blk, why);
		return drive_fail(d, -EUCLEAN, what);
	}
	d->checked++;
	return 0;
}

/* Read @n blocks, one in each slot, and wait for all. */
static int sample_batch(struct drive *d, uint32_t first, uint32_t n)
{
	struct target_done done[REAP_MAX];
	const struct target_ops *ops = d->target->ops;
	struct target_req req = { .len = CONTENT_BLOCK };
	uint32_t left;
	int ret = 0;
	int got;
	int i;

	for (req.slot = 0; req.slot < n; req.slot++) {
		d->slots[req.slot].req = sample_block(d, first + req.slot);
		req.buf = d->check + (size_t)req.slot * CONTENT_BLOCK;
		req.pos = (uint64_t)d->slots[req.slot].req * CONTENT_BLOCK;
		ret = ops->prep(d->target, &req);
		if (ret < 0)
			return drive_fail(d, ret, "cannot be prepared");
	}
	for (left = n; left > 0; left -= (uint32_t)got) {
		ret = ops->submit(d->target, 1);
		got = ret < 0 ? ret : ops->reap(d->target, done, REAP_MAX);
		if (got < 0)
			return drive_fail(d, got, "cannot be waited for");
		for (i = 0; i < got && ret >= 0; i++)
			ret = sample_compare(d, &done[i]);
		if (ret < 0)
			return ret;
	}
	return 0;
}

int drive_queue_verify(struct drive *d)
{
	uint32_t want = SAMPLE;
	uint32_t first;
	uint32_t n;
	int ret = 0;

	if (d->content->end == 0)
		return 0;
	if (want > d->content->end)
		want = d->content->end;
	for (first = 0; first < want && ret == 0; first += n) {
		n = want - first;
		if (n > d->slots_used)
			n = d->slots_used;
		ret = sample_batch(d, first, n);
	}
	return ret;
}
