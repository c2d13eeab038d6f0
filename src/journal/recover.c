/* SPDX-License-Identifier: MIT */
/*
 * Recovery: what the log vouches for becomes true again.
 *
 * Three passes walk the chain of blocks from s_start with ids from s_sequence:
 * scan finds where the log ends and checks commit blocks, revoke collects what
 * must not be replayed, replay notes the last good copy of each block. Then
 * the blocks go home (or into memory, for a read-only mount).
 *
 * The log ends at the first block that is not of the expected id, or has no
 * good commit block. What a bad checksum means is decided as the kernel does:
 *
 *	descriptor or revoke	perhaps stale: go on; if a commit block of this
 *				id follows that is not older than the last one,
 *				the log is damaged: nothing is replayed
 *	commit			older than the last one: stale, the log ends.
 *				Else, if it is good with all but its header
 *				zeroed, it was torn and counts. Else the log
 *				ends here and is damaged; with asynchronous
 *				commits such an end is normal
 *	data			the block is skipped, the rest replayed
 *
 * Rules    (R1) Everything read is hostile: the walk is no longer than the
 *               log, targets lie in the file system and outside the log.
 *          (R2) home writes -> flush -> empty superblock. Doing it all again
 *               after a cut gives the same.
 *          (R3) A damaged log is not emptied: another tool may know more.
 *          (R4) A copy is not replayed if its block was revoked by the same
 *               transaction or a later one.
 *          (R5) Ids are never used twice. Transactions that were cut off may
 *               stand behind the end; each takes a block at least, so an id
 *               a whole log further on is beyond them all.
 *          (R6) A torn commit block is made whole in the log before anything
 *               goes home: power may fail again, and the next to replay may be
 *               e2fsck or an older kernel, which end the log at it and would
 *               leave the blocks that have been replayed as they are.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/csum.h"
#include "base/le.h"
#include "base/log.h"
#include "bdev/bdev.h"
#include "journal/jstate.h"
#include "journal/replay.h"

#define COMMIT_HEADER_SIZE 60u /* up to and with the commit time */
#define FC_TAG_HEAD        9u  /* fast commit: first record of its area */

struct walk {
	struct journal *j;
	uint32_t pos;   /* of the current block */
	uint32_t left;  /* blocks that the walk may still take */
	txid_t tid;     /* expected */
	uint8_t *block; /* the current one */
	struct dj_hdr h;
};

struct recovery {
	struct journal *j;
	struct walk w;
	uint8_t *data; /* another block */
	txid_t first, end;
	struct revoke_tab revokes;
	struct overlay *overlay;
	uint64_t replayed, revoked;
	bool torn;
	bool mends; /* torn commit blocks are made whole (R6) */
	int err;    /* what was wrong and did not stop us */
	/* scan only */
	uint64_t last_time;
	bool maybe_stale; /* a descriptor or revoke block of tid is bad */
	uint32_t crc;     /* checksum v1 of the transaction */
};

/* ---- the walk ---- */

static void walk_init(struct recovery *r)
{
	struct walk *w = &r->w;

	w->j = r->j;
	w->pos = r->j->js.start;
	w->left = jlog_size(&r->j->log);
	w->tid = r->first;
}

/* Load the block at w->pos: 1 if it belongs to the chain, 0 if not. */
static int walk_load(struct walk *w)
{
	int ret;

	if (w->left == 0)
		return 0;
	ret = jlog_read(&w->j->log, w->pos, w->block, 1);
	if (ret < 0) {
		log_err(w->j->p.log, "journal: reading log block %u: %s",
				w->pos, err_text(ret));
		return ret;
	}
	dj_hdr_decode(w->block, &w->h);
	return w->h.magic == DJ_MAGIC && w->h.txid == w->tid;
}

/* Step over @n blocks. False if the log has no more. */
static bool walk_skip(struct walk *w, uint32_t n)
{
	if (n > w->left) {
		w->left = 0;
		return false;
	}
	w->left -= n;
	w->pos = jlog_advance(&w->j->log, w->pos, n);
	return true;
}

static uint32_t walk_count_tags(const struct walk *w)
{
	uint32_t off = DJ_TAGS_OFF;
	struct dj_tag tag;
	uint32_t n = 0;

	while (dj_tag_next(&w->j->dj, w->block, &off, &tag))
		n++;
	return n;
}

/* ---- scan ---- */

static bool scan_has_v1(const struct recovery *r)
{
	return (r->j->js.compat & DJ_FC_CHECKSUM) && !r->j->dj.has_csum;
}

/* Checksum v1 covers descriptors and their data, in log order. */
static int scan_crc(struct recovery *r, uint32_t n)
{
	const struct jlog *l = &r->j->log;
	uint32_t pos = r->w.pos;
	int ret;

	r->crc = crc32_be(r->crc, r->w.block, l->block_size);
	while (n-- > 0) {
		pos = jlog_advance(l, pos, 1);
		ret = jlog_read(l, pos, r->data, 1);
		if (ret < 0)
			return ret;
		r->crc = crc32_be(r->crc, r->data, l->block_size);
	}
	return 0;
}

static int scan_desc(struct recovery *r)
{
	struct walk *w = &r->w;
	uint32_t n;
	int ret;

	if (dj_tail_csum_verify(&r->j->dj, w->block) < 0)
		r->maybe_stale = true;
	n = walk_count_tags(w);
	if (n >= w->left)
		return 0;
	if (scan_has_v1(r)) {
		ret = scan_crc(r, n);
		if (ret < 0)
			return ret;
	}
	return walk_skip(w, 1 + n);
}

/* Is the commit block good once everything behind its header is zeroed? A
 * torn write of it may have brought its first sector alone. */
static bool scan_is_torn(struct recovery *r)
{
	memset(r->data, 0, r->j->log.block_size);
	memcpy(r->data, r->w.block, COMMIT_HEADER_SIZE);
	return dj_commit_csum_verify(&r->j->dj, r->data) == 0;
}

static bool scan_commit_is_good(
		struct recovery *r, const struct dj_commit *c, bool *ret_torn)
{
	if (dj_commit_csum_verify(&r->j->dj, r->w.block) < 0) {
		if (!scan_is_torn(r))
			return false;
		log_info(r->j->p.log, "journal: commit block %u was torn",
				r->w.tid);
		r->torn = true;
		*ret_torn = true;
		return true;
	}
	if (!scan_has_v1(r))
		return true;
	if (c->csum_type == 0 && c->csum_size == 0 && c->csum[0] == 0)
		return true; /* written without */
	return c->csum_type == DJ_CSUM_CRC32 && c->csum_size == 4 &&
			c->csum[0] == r->crc;
}

/* R6: r->data is the torn commit block as it should be. */
static int scan_mend(struct recovery *r)
{
	const void *block = r->data;

	return jlog_write(&r->j->log, r->w.pos, &block, 1, BDEV_F_FUA,
			BDEV_TAG(BDEV_TAG_J_COMMIT, r->w.tid));
}

/* 1: the chain goes on; 0: it ends before this transaction. */
static int scan_commit(struct recovery *r)
{
	struct journal *j = r->j;
	struct walk *w = &r->w;
	struct dj_commit c = { 0 };
	bool is_torn = false;
	int ret;

	dj_commit_decode(w->block, &c);
	if (r->maybe_stale) {
		if (c.sec < r->last_time)
			return 0;
		log_err(j->p.log,
				"journal transaction %u: bad checksum of a "
				"descriptor or revoke block",
				w->tid);
		return -UEXT4_EBADCSUM;
	}
	if (!scan_commit_is_good(r, &c, &is_torn)) {
		if (c.sec < r->last_time ||
				(j->js.incompat & DJ_FI_ASYNC_COMMIT))
			return 0;
		log_err(j->p.log,
				"journal transaction %u: bad checksum of its "
				"commit block",
				w->tid);
		r->err = -UEXT4_EBADCSUM;
		return 0;
	}
	if (is_torn && r->mends) {
		ret = scan_mend(r);
		if (ret < 0)
			return ret;
	}
	r->last_time = c.sec;
	r->crc = ~0u;
	w->tid++;
	r->end = w->tid;
	return walk_skip(w, 1);
}

static int recover_scan(struct recovery *r)
{
	struct walk *w = &r->w;
	int ret;

	walk_init(r);
	r->end = r->first;
	r->crc = ~0u;
	while ((ret = walk_load(w)) > 0) {
		switch (w->h.type) {
		case DJ_DESCRIPTOR:
			ret = scan_desc(r);
			break;
		case DJ_COMMIT:
			ret = scan_commit(r);
			break;
		case DJ_REVOKE:
			if (dj_tail_csum_verify(&r->j->dj, w->block) < 0)
				r->maybe_stale = true;
			ret = walk_skip(w, 1);
			break;
		default:
			ret = 0;
		}
		if (ret <= 0)
			break;
	}
	return ret;
}

/* ---- revoke ---- */

static int revoke_block(struct recovery *r)
{
	struct journal *j = r->j;
	struct walk *w = &r->w;
	uint32_t n = 0;
	uint32_t i;
	int ret;

	ret = dj_tail_csum_verify(&j->dj, w->block);
	if (ret == 0)
		ret = dj_revoke_count(&j->dj, w->block, &n);
	if (ret < 0) {
		log_err(j->p.log, "journal transaction %u: bad revoke block",
				w->tid);
		return ret;
	}
	for (i = 0; i < n; i++) {
		ret = revoke_add(&r->revokes,
				dj_revoke_get(&j->dj, w->block, i), w->tid);
		if (ret < 0)
			return ret;
	}
	return 0;
}

/* ---- replay ---- */

/* Note the copy of one block at log block @pos. */
static int replay_tag(
		struct recovery *r, const struct dj_tag *tag, uint32_t pos)
{
	struct journal *j = r->j;
	int ret;

	if (revoke_covers(&r->revokes, tag->pblk, r->w.tid)) { /* R4 */
		r->revoked++;
		return 0;
	}
	if (tag->pblk >= j->p.fs_blocks ||
			jlog_has_pblk(&j->log, tag->pblk)) { /* R1 */
		log_err(j->p.log,
				"journal transaction %u: block %llu cannot be "
				"replayed",
				r->w.tid, (unsigned long long)tag->pblk);
		r->err = r->err < 0 ? r->err : -UEXT4_ECORRUPT;
		return 0;
	}
	if (j->dj.has_csum) {
		ret = jlog_read(&j->log, pos, r->data, 1);
		if (ret == 0)
			ret = dj_data_csum_verify(
					&j->dj, r->w.tid, tag, r->data);
		if (ret < 0) {
			log_err(j->p.log,
					"journal transaction %u: copy of block "
					"%llu: %s",
					r->w.tid, (unsigned long long)tag->pblk,
					ret == -UEXT4_EBADCSUM ? "bad checksum"
							       : err_text(ret));
			r->err = r->err < 0 ? r->err : ret;
			return 0;
		}
	}
	r->replayed++;
	return overlay_put(r->overlay, tag->pblk, pos,
			(tag->flags & DJ_TAG_ESCAPE) != 0);
}

static int replay_desc(struct recovery *r)
{
	struct journal *j = r->j;
	uint32_t off = DJ_TAGS_OFF;
	uint32_t pos = r->w.pos;
	struct dj_tag tag;
	int ret;

	while (dj_tag_next(&j->dj, r->w.block, &off, &tag)) {
		pos = jlog_advance(&j->log, pos, 1);
		ret = replay_tag(r, &tag, pos);
		if (ret < 0)
			return ret;
	}
	return 0;
}

/* Walk what scan has approved once more: for revokes, or for data. */
static int recover_pass(struct recovery *r, bool revokes)
{
	struct walk *w = &r->w;
	int ret;

	walk_init(r);
	while (w->tid != r->end) {
		uint32_t n = 1;

		ret = walk_load(w);
		if (ret <= 0)
			return ret < 0 ? ret : -UEXT4_ECORRUPT;
		ret = 0;
		if (w->h.type == DJ_DESCRIPTOR) {
			n += walk_count_tags(w);
			if (!revokes)
				ret = replay_desc(r);
		} else if (w->h.type == DJ_REVOKE && revokes) {
			ret = revoke_block(r);
		} else if (w->h.type == DJ_COMMIT) {
			w->tid++;
		}
		if (ret < 0)
			return ret;
		(void)walk_skip(w, n);
	}
	return 0;
}

/* ---- the whole ---- */

/* Does the fast-commit area continue the log? That we cannot replay. */
static int recover_check_fc(struct recovery *r)
{
	struct journal *j = r->j;
	int ret;

	if (!(j->js.incompat & DJ_FI_FAST_COMMIT) ||
			j->log.last + 1 >= j->log.blocks)
		return 0;
	/* The kernel leaves the first block of the area alone. */
	ret = jlog_read(&j->log, j->log.last + 1, r->data, 1);
	if (ret < 0)
		return ret;
	/* Tag, length, features, transaction id: little-endian. */
	if (get_le16(r->data) != FC_TAG_HEAD || get_le16(r->data + 2) < 8 ||
			get_le32(r->data + 8) != r->end)
		return 0;
	log_err(j->p.log,
			"journal: fast commits are in use; let e2fsck or the "
			"kernel replay them");
	return -EOPNOTSUPP;
}

static int recovery_init(struct recovery *r, struct journal *j)
{
	void *p;

	memset(r, 0, sizeof(*r));
	r->j = j;
	r->first = j->js.sequence;
	if (revoke_tab_init(&r->revokes) < 0)
		return -ENOMEM;
	r->overlay = overlay_new();
	if (posix_memalign(&p, 4096, j->log.block_size) == 0)
		r->w.block = p;
	if (posix_memalign(&p, 4096, j->log.block_size) == 0)
		r->data = p;
	return r->overlay == NULL || r->w.block == NULL || r->data == NULL
			? -ENOMEM
			: 0;
}

static void recovery_fini(struct recovery *r)
{
	overlay_free(r->overlay);
	revoke_tab_fini(&r->revokes);
	free(r->w.block);
	free(r->data);
}

/* Read the log; afterwards r->overlay knows what to write. */
static int recover_read(struct recovery *r, struct journal_recovery *ret_rec)
{
	int ret;

	ret = recover_scan(r);
	if (ret >= 0)
		ret = recover_check_fc(r);
	if (ret >= 0)
		ret = recover_pass(r, true);
	if (ret >= 0)
		ret = recover_pass(r, false);
	ret_rec->first = r->first;
	ret_rec->last = r->end;
	ret_rec->replayed = r->replayed;
	ret_rec->revoked = r->revoked;
	ret_rec->torn_commit = r->torn;
	return ret;
}

int journal_recover(struct journal *j, struct journal_recovery *ret)
{
	struct journal_recovery rec = { 0 };
	struct recovery r;
	int err;

	assert(j->has_log && j->running == NULL);
	rec.first = rec.last = j->js.sequence;
	if (j->js.start == 0) {
		*ret = rec;
		return 0;
	}
	err = recovery_init(&r, j);
	if (err < 0)
		goto out_fini;
	r.mends = true;
	err = recover_read(&r, &rec);
	if (err < 0)
		goto out_fini;
	err = overlay_write_home(r.overlay, &j->log, j->p.cache, j->p.log);
	if (err == 0)
		err = bdev_flush(j->p.dev, 0); /* R2 */
	if (err == 0)
		err = r.err;
	if (err < 0)
		goto out_fini; /* R3 */
	err = journal_write_super(j, 0, r.end + jlog_size(&j->log) + 1,
			BDEV_F_FUA); /* R5 */
	if (err == 0)
		j->can_start = true;
out_fini:
	recovery_fini(&r);
	*ret = rec;
	return err;
}

int journal_recover_memory(struct journal *j, struct journal_recovery *ret)
{
	struct journal_recovery rec = { 0 };
	struct recovery r;
	int err;

	assert(j->has_log && j->running == NULL && j->overlay == NULL);
	rec.first = rec.last = j->js.sequence;
	if (j->js.start == 0) {
		*ret = rec;
		return 0;
	}
	err = recovery_init(&r, j);
	if (err < 0)
		goto out_fini;
	err = recover_read(&r, &rec);
	if (err == 0)
		err = overlay_load(r.overlay, &j->log, j->p.log);
	if (err == 0)
		err = r.err;
	j->overlay = r.overlay;
	r.overlay = NULL;
out_fini:
	recovery_fini(&r);
	*ret = rec;
	return err;
}

const void *journal_overlay(const struct journal *j, pblk_t pblk)
{
	return j->overlay != NULL ? overlay_find(j->overlay, pblk) : NULL;
}
