/* SPDX-License-Identifier: MIT */
/*
 * Recovery over logs made by hand: where the log ends, what a bad checksum
 * means, revokes, escaped blocks, ids, and hostile bytes.
 */
#include "jtest.h"

#include "base/csum.h"
#include "journal/jstate.h"

#define BS 1024u

/* ---- a log writer ---- */

struct writer {
	struct jt_opts o;
	struct emu_img *img;
	struct dj_super js;
	struct dj dj;
	uint32_t pos;
	txid_t tid;
	uint64_t time;
	uint32_t crc; /* v1 */
};

static uint64_t log_at(uint32_t pos)
{
	return pos < JT_SPLIT ? ((uint64_t)JT_RUN1 + pos) * BS
			      : ((uint64_t)JT_RUN2 + pos - JT_SPLIT) * BS;
}

static void put_block(struct writer *w, const void *block)
{
	assert_int_equal(emu_img_write(w->img, log_at(w->pos), block, BS), 0);
	w->pos++;
	if (w->pos == JT_LOG - dj_super_fc_blocks(&w->js))
		w->pos = w->js.first;
}

/* A log of transactions @tid ... that begins at its first block. */
static void log_begin(struct writer *w, const struct jt_opts *o, txid_t tid)
{
	uint8_t block[BS];

	memset(w, 0, sizeof(*w));
	w->o = *o;
	w->img = jt_image(o);
	emu_img_read(w->img, log_at(0), block, BS);
	dj_super_decode(block, &w->js);
	w->js.start = w->js.first;
	w->js.sequence = tid;
	dj_super_encode(&w->js, block);
	dj_super_csum_set(block);
	assert_int_equal(emu_img_write(w->img, log_at(0), block, BS), 0);
	dj_init(&w->dj, &w->js);
	w->pos = w->js.first;
	w->tid = tid;
	w->time = 1000;
	w->crc = ~0u;
}

struct item {
	pblk_t pblk;
	uint64_t val;
};

#define BAD_DESC 1u
#define BAD_DATA 2u /* the second block */

/* A descriptor and @n blocks. */
static void log_blocks(struct writer *w, const struct item *it, uint32_t n,
		unsigned bad)
{
	struct dj_hdr h = { DJ_MAGIC, DJ_DESCRIPTOR, w->tid };
	uint8_t desc[BS] = { 0 };
	uint8_t data[8][BS];
	uint32_t off = DJ_TAGS_OFF;
	uint32_t last = off;
	uint32_t i;

	dj_hdr_encode(desc, &h);
	for (i = 0; i < n; i++) {
		struct dj_tag tag = { .pblk = it[i].pblk };

		jt_fill(data[i], BS, it[i].val);
		if (get_be32(data[i]) == DJ_MAGIC) {
			put_be32(data[i], 0);
			tag.flags |= DJ_TAG_ESCAPE;
		}
		if (i > 0)
			tag.flags |= DJ_TAG_SAME_UUID;
		tag.checksum = dj_data_csum(&w->dj, w->tid, data[i]);
		last = off;
		assert_int_equal(dj_tag_put(&w->dj, desc, &off, &tag), 0);
	}
	dj_tag_mark_last(&w->dj, desc, last);
	dj_tail_csum_set(&w->dj, desc);
	if (bad & BAD_DESC)
		desc[BS - 1] ^= 1;
	w->crc = crc32_be(w->crc, desc, BS);
	put_block(w, desc);
	for (i = 0; i < n; i++) {
		w->crc = crc32_be(w->crc, data[i], BS);
		if (i == 1 && (bad & BAD_DATA))
			data[i][500] ^= 1;
		put_block(w, data[i]);
	}
}

static void log_revoke(struct writer *w, pblk_t pblk, bool bad)
{
	struct dj_hdr h = { DJ_MAGIC, DJ_REVOKE, w->tid };
	uint8_t block[BS] = { 0 };

	dj_hdr_encode(block, &h);
	dj_revoke_put(&w->dj, block, 0, pblk);
	dj_revoke_set_count(&w->dj, block, 1);
	dj_tail_csum_set(&w->dj, block);
	if (bad)
		block[BS - 1] ^= 1;
	put_block(w, block);
}

enum commit_kind {
	COMMIT_GOOD,
	COMMIT_BAD,
	COMMIT_TORN,
	COMMIT_V1
};

static void log_commit(struct writer *w, enum commit_kind kind)
{
	struct dj_commit c = {
		.h = { DJ_MAGIC, DJ_COMMIT, w->tid },
		.sec = w->time++,
	};
	uint8_t block[BS];

	if (kind == COMMIT_V1) {
		c.csum_type = DJ_CSUM_CRC32;
		c.csum_size = 4;
		c.csum[0] = w->crc;
	}
	dj_commit_encode(&w->dj, block, &c);
	dj_commit_csum_set(&w->dj, block);
	if (kind == COMMIT_BAD)
		block[0x10] ^= 1;
	if (kind == COMMIT_TORN)
		memset(block + 512, 0x5a, BS - 512);
	put_block(w, block);
	w->tid++;
	w->crc = ~0u;
}

/* A whole transaction of one block. */
static void log_txn(struct writer *w, pblk_t pblk, uint64_t val)
{
	struct item it = { pblk, val };

	log_blocks(w, &it, 1, 0);
	log_commit(w, COMMIT_GOOD);
}

static struct bdev *log_device(struct writer *w)
{
	struct bdev *dev;

	assert_int_equal(bdev_emu_open(w->img, NULL, &dev), 0);
	emu_img_free(w->img);
	return dev;
}

/* Recover and say how it went; the device stays for a look. */
static int log_recover(struct writer *w, struct bdev **ret_dev,
		struct journal_recovery *rec)
{
	struct bdev *dev = log_device(w);
	struct jt t;
	int ret;

	assert_int_equal(jt_load(&t, &w->o, dev), 0);
	assert_true(t.dirty);
	ret = journal_recover(t.j, rec);
	jt_drop(&t);
	/* Only a log without damage is emptied. */
	assert_int_equal(jt_load(&t, &w->o, dev), 0);
	assert_int_equal(t.dirty, ret != 0);
	jt_drop(&t);
	*ret_dev = dev;
	return ret;
}

static const struct jt_opts v3 = {
	.bs = BS, .ring = 40, .incompat = DJ_FI_CSUM_V3 | DJ_FI_REVOKE
};

/* ---- what is replayed ---- */

static void whole_transactions_are_replayed(void **state)
{
	static const uint32_t incompat[] = {
		DJ_FI_REVOKE,
		DJ_FI_REVOKE | DJ_FI_64BIT,
		DJ_FI_REVOKE | DJ_FI_CSUM_V2,
		DJ_FI_REVOKE | DJ_FI_CSUM_V2 | DJ_FI_64BIT,
		DJ_FI_REVOKE | DJ_FI_CSUM_V3,
		DJ_FI_REVOKE | DJ_FI_CSUM_V3 | DJ_FI_64BIT,
	};
	size_t i;

	for (i = 0; i < sizeof(incompat) / sizeof(incompat[0]); i++) {
		struct jt_opts o = { .bs = BS, .ring = 40 };
		struct item it[3] = { { 3, 100 }, { 4, 101 }, { 5, 102 } };
		struct journal_recovery rec;
		struct bdev *dev;
		struct writer w;

		o.incompat = incompat[i];
		log_begin(&w, &o, 50);
		log_blocks(&w, it, 3, 0);
		log_commit(&w, COMMIT_GOOD);
		log_txn(&w, 4, 105); /* escaped, and later */
		it[0].val = 777;
		log_blocks(&w, it, 1, 0); /* not committed */
		assert_int_equal(log_recover(&w, &dev, &rec), 0);
		assert_int_equal(rec.first, 50);
		assert_int_equal(rec.last, 52);
		assert_int_equal(rec.replayed, 4);
		assert_int_equal(jt_home(dev, BS, 3), 100);
		assert_int_equal(jt_home(dev, BS, 4), 105);
		assert_int_equal(jt_home(dev, BS, 5), 102);
		assert_int_equal(bdev_close(dev), 0);
	}
}

static void the_log_wraps_at_its_last_block(void **state)
{
	uint32_t before;

	/* A transaction of three blocks at each place around the end. */
	for (before = 33; before < 45; before++) {
		struct jt_opts o = v3;
		struct journal_recovery rec;
		struct bdev *dev;
		struct writer w;
		uint8_t block[BS];

		log_begin(&w, &o, 9);
		w.pos = w.js.first + before % 40;
		w.js.start = w.pos;
		emu_img_read(w.img, log_at(0), block, BS);
		dj_super_encode(&w.js, block);
		dj_super_csum_set(block);
		assert_int_equal(emu_img_write(w.img, log_at(0), block, BS), 0);
		log_txn(&w, 3, 100);
		log_txn(&w, 4, 102);
		assert_int_equal(log_recover(&w, &dev, &rec), 0);
		assert_int_equal(rec.last, 11);
		assert_int_equal(jt_home(dev, BS, 3), 100);
		assert_int_equal(jt_home(dev, BS, 4), 102);
		assert_int_equal(bdev_close(dev), 0);
	}
}

static void a_revoke_covers_its_own_and_older_transactions(void **state)
{
	struct item it[2] = { { 7, 206 }, { 8, 207 } };
	struct journal_recovery rec;
	struct bdev *dev;
	struct writer w;

	log_begin(&w, &v3, 0xfffffffeu); /* over the end of the ids */
	log_txn(&w, 5, 200);
	log_txn(&w, 6, 202);
	log_txn(&w, 7, 203);
	log_revoke(&w, 5, false); /* older copies only */
	log_revoke(&w, 6, false);
	log_revoke(&w, 8, false); /* by the same transaction */
	log_blocks(&w, it, 2, 0);
	log_commit(&w, COMMIT_GOOD);
	log_txn(&w, 6, 204); /* metadata again, later */
	assert_int_equal(log_recover(&w, &dev, &rec), 0);
	assert_int_equal(rec.revoked, 3);
	assert_int_equal(rec.last, 3);
	assert_int_equal(jt_home(dev, BS, 5), 0);
	assert_int_equal(jt_home(dev, BS, 6), 204);
	assert_int_equal(jt_home(dev, BS, 7), 206);
	assert_int_equal(jt_home(dev, BS, 8), 0);
	assert_int_equal(bdev_close(dev), 0);
}

static void targets_outside_are_refused(void **state)
{
	static const pblk_t bad[] = { JT_BLOCKS, 1u << 31, JT_RUN1,
		JT_RUN2 + 3 };
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct item it[2] = { { bad[i], 100 }, { 4, 102 } };
		struct journal_recovery rec;
		struct bdev *dev;
		struct writer w;

		log_begin(&w, &v3, 5);
		log_blocks(&w, it, 2, 0);
		log_commit(&w, COMMIT_GOOD);
		assert_int_equal(log_recover(&w, &dev, &rec), -EUCLEAN);
		assert_int_equal(jt_home(dev, BS, 4), 102);
		assert_int_equal(bdev_close(dev), 0);
	}
}

/* ---- the decision table ---- */

struct decision {
	const char *what;
	unsigned bad_blocks;
	bool bad_revoke;
	enum commit_kind commit;
	bool no_commit;
	bool is_older; /* the commit time is before the last one's */
	bool is_async;
	int ret;
	uint64_t block3; /* of the good transaction before: 100 */
	uint64_t block4; /* of the doubtful one: 102 */
	uint64_t block6; /* its second block: 106 */
};

static void bad_checksums_are_decided_as_by_the_kernel(void **state)
{
	static const struct decision rows[] = {
		{ "all good", 0, false, COMMIT_GOOD, false, false, false, 0,
				100, 102, 106 },
		{ "torn commit", 0, false, COMMIT_TORN, false, false, false, 0,
				100, 102, 106 },
		{ "no commit", 0, false, COMMIT_GOOD, true, false, false, 0,
				100, 0, 0 },
		{ "bad commit", 0, false, COMMIT_BAD, false, false, false,
				-EBADMSG, 100, 0, 0 },
		{ "bad commit, async", 0, false, COMMIT_BAD, false, false, true,
				0, 100, 0, 0 },
		{ "bad and old commit", 0, false, COMMIT_BAD, false, true,
				false, 0, 100, 0, 0 },
		{ "bad descriptor", BAD_DESC, false, COMMIT_GOOD, false, false,
				false, -EBADMSG, 0, 0, 0 },
		{ "bad descriptor, old commit", BAD_DESC, false, COMMIT_GOOD,
				false, true, false, 0, 100, 0, 0 },
		{ "bad descriptor, no commit", BAD_DESC, false, COMMIT_GOOD,
				true, false, false, 0, 100, 0, 0 },
		{ "bad revoke block", 0, true, COMMIT_GOOD, false, false, false,
				-EBADMSG, 0, 0, 0 },
		{ "bad revoke block, no commit", 0, true, COMMIT_GOOD, true,
				false, false, 0, 100, 0, 0 },
		{ "bad data", BAD_DATA, false, COMMIT_GOOD, false, false, false,
				-EBADMSG, 100, 102, 0 },
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct decision *d = &rows[i];
		struct item it[2] = { { 4, 102 }, { 6, 106 } };
		struct jt_opts o = v3;
		struct journal_recovery rec;
		struct bdev *dev;
		struct writer w;

		if (d->is_async)
			o.incompat |= DJ_FI_ASYNC_COMMIT;
		log_begin(&w, &o, 5);
		log_txn(&w, 3, 100);
		log_revoke(&w, 20, d->bad_revoke);
		log_blocks(&w, it, 2, d->bad_blocks);
		if (d->is_older)
			w.time = 10;
		if (!d->no_commit)
			log_commit(&w, d->commit);
		print_message("  %s\n", d->what);
		assert_int_equal(log_recover(&w, &dev, &rec), d->ret);
		assert_int_equal(rec.torn_commit, d->commit == COMMIT_TORN);
		assert_int_equal(jt_home(dev, BS, 3), d->block3);
		assert_int_equal(jt_home(dev, BS, 4), d->block4);
		assert_int_equal(jt_home(dev, BS, 6), d->block6);
		assert_int_equal(bdev_close(dev), 0);
	}
}

static void checksum_v1_is_verified(void **state)
{
	struct jt_opts o = { .bs = BS, .ring = 40, .compat = DJ_FC_CHECKSUM };
	struct item it[2] = { { 4, 102 }, { 6, 106 } };
	struct journal_recovery rec;
	struct bdev *dev;
	struct writer w;

	log_begin(&w, &o, 5);
	log_blocks(&w, it, 2, 0);
	log_commit(&w, COMMIT_V1);
	log_txn(&w, 3, 100); /* without a checksum: counts */
	log_blocks(&w, it, 2, BAD_DATA);
	log_commit(&w, COMMIT_V1);
	assert_int_equal(log_recover(&w, &dev, &rec), -EBADMSG);
	assert_int_equal(rec.last, 7);
	assert_int_equal(jt_home(dev, BS, 3), 100);
	assert_int_equal(jt_home(dev, BS, 4), 102);
	assert_int_equal(jt_home(dev, BS, 6), 106);
	assert_int_equal(bdev_close(dev), 0);
}

static void a_log_block_that_cannot_be_read_costs_only_itself(void **state)
{
	struct emu_fault f = { .ops = EMU_OP(BDEV_READ), .err = -EIO };
	struct item it[3] = { { 3, 100 }, { 4, 102 }, { 5, 103 } };
	struct journal_recovery rec;
	struct bdev *dev;
	struct writer w;
	struct jt t;

	log_begin(&w, &v3, 5);
	log_blocks(&w, it, 3, 0);
	log_commit(&w, COMMIT_GOOD);
	f.pos = log_at(w.js.first + 2);
	f.len = BS;
	dev = log_device(&w);
	assert_int_equal(bdev_emu_fault_add(dev, &f), 0);
	assert_int_equal(jt_load(&t, &v3, dev), 0);
	assert_int_equal(journal_recover(t.j, &rec), -EIO);
	bdev_emu_fault_clear(dev);
	assert_int_equal(jt_home(dev, BS, 3), 100);
	assert_int_equal(jt_home(dev, BS, 4), 0);
	assert_int_equal(jt_home(dev, BS, 5), 103);

	/* The rest is given up. */
	assert_int_equal(journal_discard_log(t.j), 0);
	assert_int_equal(journal_start(t.j), 0);
	assert_int_equal(jt_unmount(&t), 0);
	assert_int_equal(jt_load(&t, &v3, dev), 0);
	assert_false(t.dirty);
	jt_drop(&t);
	assert_int_equal(bdev_close(dev), 0);
}

/* ---- ids and blocks on disk ---- */

/* Behind the end of the log whole transactions may stand that nobody believes
 * any more. Their ids must not come back. */
static void ids_behind_the_end_are_not_used_again(void **state)
{
	struct journal_recovery rec;
	struct bdev *dev;
	struct writer w;
	struct jt t;
	txid_t tid;

	log_begin(&w, &v3, 5);
	log_txn(&w, 3, 100);
	w.tid++;             /* 6 never reached the log */
	log_txn(&w, 3, 102); /* 7 */
	log_txn(&w, 3, 103); /* 8 */
	dev = log_device(&w);
	assert_int_equal(jt_load(&t, &v3, dev), 0);
	assert_int_equal(journal_recover(t.j, &rec), 0);
	assert_int_equal(rec.last, 6);
	assert_int_equal(journal_start(t.j), 0);
	tid = jt_set1(&t, 3, 200);
	assert_true(txid_is_before(8, tid));
	/* Same size as the first one: 6, 7, 8 would follow it. */
	assert_int_equal(journal_sync(t.j), 0);
	jt_drop(&t);
	assert_int_equal(jt_mount(&t, &v3, dev), 0);
	assert_int_equal(jt_home(dev, BS, 3), 200);
	assert_int_equal(jt_unmount(&t), 0);
	assert_int_equal(bdev_close(dev), 0);
}

static void ids_wrap(void **state)
{
	struct jt_opts o = v3;
	struct journal_recovery rec;
	struct bdev *dev;
	struct writer w;
	struct jt t;
	uint64_t i;

	log_begin(&w, &o, 0u - 60);
	log_txn(&w, 3, 100);
	dev = log_device(&w);
	assert_int_equal(jt_load(&t, &o, dev), 0);
	assert_int_equal(journal_recover(t.j, &rec), 0);
	assert_int_equal(journal_start(t.j), 0);
	for (i = 0; i < 100; i++) {
		jt_set1(&t, i % 5, 1000 + i);
		assert_int_equal(journal_sync(t.j), 0);
	}
	assert_true(journal_running_txid(t.j) < 1000);
	jt_drop(&t);
	assert_int_equal(jt_mount(&t, &o, dev), 0);
	for (i = 95; i < 100; i++)
		assert_int_equal(jt_home(dev, BS, i % 5), 1000 + i);
	assert_int_equal(jt_unmount(&t), 0);
	assert_int_equal(bdev_close(dev), 0);
}

static void a_block_that_looks_like_the_journals_is_escaped(void **state)
{
	struct jt_opts o = v3;
	struct emu_img *img = jt_image(&o);
	struct dj_tag tag;
	struct bdev *dev;
	struct dj dj;
	struct jt t;
	uint8_t block[BS];
	uint32_t off = DJ_TAGS_OFF;

	assert_int_equal(bdev_emu_open(img, NULL, &dev), 0);
	emu_img_free(img);
	assert_int_equal(jt_mount(&t, &o, dev), 0);
	jt_set1(&t, 3, 101);
	assert_int_equal(journal_sync(t.j), 0);
	dj = t.j->dj;
	jt_drop(&t);
	assert_int_equal(bdev_read(dev, log_at(JT_LOG - 40), block, BS, 0, 0),
			0);
	assert_true(dj_tag_next(&dj, block, &off, &tag));
	assert_int_equal(tag.pblk, 3);
	assert_true(tag.flags & DJ_TAG_ESCAPE);
	assert_int_equal(bdev_read(dev, log_at(JT_LOG - 39), block, BS, 0, 0),
			0);
	assert_int_equal(get_be32(block), 0);
	/* The checksum is of the block in the log. */
	assert_int_equal(dj_data_csum_verify(&dj, 1, &tag, block), 0);
	assert_int_equal(bdev_close(dev), 0);
}

/* A new tail must be durable before the space that it frees is written. */
static void a_new_tail_is_durable_at_once(void **state)
{
	struct jt_opts o = { .bs = BS, .ring = 60, .v3 = true };
	struct emu_img *img = jt_image(&o);
	struct emu_img *base;
	struct emu_log *log;
	struct bdev *dev;
	struct jt t;
	uint64_t i;
	int tails = 0, marks = 0;
	bool flushed = true;

	assert_int_equal(bdev_emu_open(img, NULL, &dev), 0);
	emu_img_free(img);
	assert_int_equal(bdev_emu_record(dev), 0);
	assert_int_equal(jt_mount(&t, &o, dev), 0);
	for (i = 1; i <= 100; i++) {
		jt_set1(&t, i % 10, i);
		assert_int_equal(journal_sync(t.j), 0);
	}
	jt_drop(&t);
	assert_int_equal(bdev_emu_take_log(dev, &base, &log), 0);
	for (i = 0; i < log->n; i++) {
		const struct emu_ent *e = log->ents[i];

		switch (bdev_tag_kind(e->tag)) {
		case BDEV_TAG_METADATA:
			flushed = false;
			break;
		case BDEV_TAG_J_SB:
			assert_true(flushed); /* home before the tail */
			if (e->flags & BDEV_F_FUA)
				tails++;
			else
				marks++;
			break;
		default:
			break;
		}
		if (e->kind == EMU_FLUSH)
			flushed = true;
	}
	assert_int_equal(marks, 1); /* the first commit, which flushes */
	assert_true(tails > 3);
	emu_log_free(log);
	emu_img_free(base);
	assert_int_equal(bdev_close(dev), 0);
}

/* ---- in memory ---- */

static const void *overlay_of(const void *ctx, pblk_t pblk)
{
	return journal_overlay(ctx, pblk);
}

static void recovery_in_memory_leaves_the_device_alone(void **state)
{
	struct item it[2] = { { 4, 101 }, { 6, 106 } };
	struct journal_recovery rec;
	struct bdev_emu_stats st;
	struct bdev *dev;
	struct writer w;
	struct jt t;

	log_begin(&w, &v3, 5);
	log_txn(&w, 4, 100);
	log_blocks(&w, it, 2, 0);
	log_commit(&w, COMMIT_GOOD);
	dev = log_device(&w);
	assert_int_equal(jt_load(&t, &v3, dev), 0);
	assert_int_equal(journal_recover_memory(t.j, &rec), 0);
	assert_int_equal(rec.replayed, 3);
	assert_int_equal(jt_value(journal_overlay(t.j, 4), BS), 101);
	assert_null(journal_overlay(t.j, 5));
	buf_cache_set_overlay(t.cache, overlay_of, t.j);
	buf_readahead(t.cache, 5, 3);
	assert_int_equal(jt_get(&t, 4), 101);
	assert_int_equal(jt_get(&t, 6), 106);
	assert_int_equal(jt_get(&t, 7), 0);
	jt_drop(&t);
	bdev_emu_stats(dev, &st);
	assert_int_equal(st.ops[BDEV_WRITE], 0);
	assert_int_equal(jt_home(dev, BS, 4), 0);
	assert_int_equal(bdev_close(dev), 0);
}

/* ---- fast commit ---- */

static void fast_commits_in_use_are_refused(void **state)
{
	static const int fc_tid[] = { 6, 5, 0 }; /* 6 is the next one */
	size_t i;

	for (i = 0; i < 3; i++) {
		struct jt_opts o = v3;
		struct journal_recovery rec;
		struct bdev *dev;
		struct writer w;
		uint8_t block[BS] = { 0 };

		o.incompat |= DJ_FI_FAST_COMMIT;
		o.ring = 300; /* 256 of them for fast commits */
		log_begin(&w, &o, 5);
		put_le16(block, 9);
		put_le16(block + 2, 8);
		put_le32(block + 8, (uint32_t)fc_tid[i]);
		assert_int_equal(emu_img_write(w.img, log_at(JT_LOG - 256 + 1),
						 block, BS),
				0);
		log_txn(&w, 3, 100);
		assert_int_equal(log_recover(&w, &dev, &rec),
				i == 0 ? -EOPNOTSUPP : 0);
		assert_int_equal(jt_home(dev, BS, 3), i == 0 ? 0 : 100);
		assert_int_equal(bdev_close(dev), 0);
	}
}

/* ---- hostile ---- */

static unsigned seed;

static uint32_t rnd(uint32_t n)
{
	seed = seed * 1103515245u + 12345u;
	return (seed >> 8) % n;
}

/* A log as a mount left it: wrapped, with revokes and escapes. */
static struct emu_img *used_log(const struct jt_opts *o)
{
	struct emu_img *img = jt_image(o);
	struct handle *h;
	struct bdev *dev;
	struct jt t;
	uint64_t i;

	assert_int_equal(bdev_emu_open(img, NULL, &dev), 0);
	emu_img_free(img);
	assert_int_equal(jt_mount(&t, o, dev), 0);
	for (i = 1; i < 60; i++) {
		assert_int_equal(handle_start(t.j, 3, &h), 0);
		jt_set(&t, h, i % 13, i);
		if (i % 4 == 0)
			assert_int_equal(handle_forget(h, (i + 3) % 13), 0);
		jt_set(&t, h, i % 7 + 20, i);
		assert_int_equal(handle_stop(h), 0);
		if (i % 3 == 0)
			assert_int_equal(journal_sync(t.j), 0);
	}
	jt_drop(&t);
	assert_int_equal(bdev_emu_image(dev, &img), 0);
	assert_int_equal(bdev_close(dev), 0);
	return img;
}

/* Damage some bytes of the log; with @fix, make checksums right again so that
 * the damage is looked at. */
static void damage(struct emu_img *img, const struct jt_opts *o,
		const struct dj *dj, bool fix)
{
	uint32_t n = 1 + rnd(6);

	while (n-- > 0) {
		uint32_t pos = JT_LOG - o->ring + rnd(o->ring);
		uint32_t off = rnd(2) ? rnd(64) : rnd(BS);
		uint8_t block[BS];
		struct dj_hdr h;

		if (rnd(10) == 0) {
			pos = 0;
			off = rnd(0x100);
		}
		emu_img_read(img, log_at(pos), block, BS);
		if (rnd(3) == 0)
			block[off] = (uint8_t)rnd(256);
		else if (rnd(2) == 0)
			block[off] ^= (uint8_t)(1u << rnd(8));
		else
			memset(block + off, 0xff, min_of(BS - off, 8u));
		dj_hdr_decode(block, &h);
		if (fix && pos == 0)
			dj_super_csum_set(block);
		else if (fix && h.type == DJ_COMMIT)
			dj_commit_csum_set(dj, block);
		else if (fix && h.magic == DJ_MAGIC)
			dj_tail_csum_set(dj, block);
		assert_int_equal(emu_img_write(img, log_at(pos), block, BS), 0);
	}
}

static void hostile_logs_do_no_harm(void **state)
{
	struct jt_opts o = { .bs = BS, .ring = 50, .v3 = true };
	const char *env = getenv("JRECOVER_ROUNDS");
	uint32_t rounds = env != NULL ? (uint32_t)atoi(env) : 4000;
	uint32_t mode, i;
	int good = 0, bad = 0;

	seed = 7;
	for (mode = 0; mode < 3; mode++) {
		struct emu_img *img;
		struct dj_super js;
		struct dj dj;
		uint8_t block[BS];

		o.v3 = mode == 0;
		o.incompat = mode == 1 ? DJ_FI_CSUM_V2 : 0;
		img = used_log(&o);
		emu_img_read(img, log_at(0), block, BS);
		dj_super_decode(block, &js);
		dj_init(&dj, &js);
		for (i = 0; i < rounds; i++) {
			struct journal_recovery rec;
			struct emu_img *twin;
			struct bdev *dev;
			struct jt t;
			int ret;

			assert_int_equal(emu_img_fork(img, &twin), 0);
			damage(twin, &o, &dj, rnd(4) != 0);
			assert_int_equal(bdev_emu_open(twin, NULL, &dev), 0);
			emu_img_free(twin);
			ret = jt_load(&t, &o, dev);
			if (ret == 0) {
				ret = rnd(2) ? journal_recover(t.j, &rec)
					     : journal_recover_memory(
							       t.j, &rec);
				jt_drop(&t);
			}
			good += ret == 0;
			bad += ret != 0;
			assert_true(ret == 0 || ret == -EUCLEAN ||
					ret == -EBADMSG || ret == -EOPNOTSUPP);
			assert_int_equal(bdev_close(dev), 0);
		}
		emu_img_free(img);
	}
	print_message("  %d recovered, %d refused\n", good, bad);
	assert_true(good > 100 && bad > 100);
}

/* ---- the table ---- */

static void the_revoke_table_compares_ids(void **state)
{
	struct revoke_tab t;

	assert_int_equal(revoke_tab_init(&t), 0);
	assert_int_equal(revoke_add(&t, 7, 10), 1);
	assert_int_equal(revoke_add(&t, 7, 9), 0); /* older: no change */
	assert_true(revoke_covers(&t, 7, 9));
	assert_true(revoke_covers(&t, 7, 10));
	assert_false(revoke_covers(&t, 7, 11));
	assert_false(revoke_covers(&t, 8, 1));
	assert_int_equal(revoke_add(&t, 9, 0xffffffffu), 1);
	assert_int_equal(revoke_add(&t, 9, 1), 0); /* newer, wrapped */
	assert_true(revoke_covers(&t, 9, 0));
	assert_true(revoke_cancel(&t, 7));
	assert_false(revoke_cancel(&t, 7));
	assert_false(revoke_covers(&t, 7, 9));
	assert_int_equal(revoke_count(&t), 1);
	revoke_tab_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_transactions_are_replayed),
		cmocka_unit_test(the_log_wraps_at_its_last_block),
		cmocka_unit_test(
				a_revoke_covers_its_own_and_older_transactions),
		cmocka_unit_test(targets_outside_are_refused),
		cmocka_unit_test(bad_checksums_are_decided_as_by_the_kernel),
		cmocka_unit_test(checksum_v1_is_verified),
		cmocka_unit_test(
				a_log_block_that_cannot_be_read_costs_only_itself),
		cmocka_unit_test(ids_behind_the_end_are_not_used_again),
		cmocka_unit_test(ids_wrap),
		cmocka_unit_test(
				a_block_that_looks_like_the_journals_is_escaped),
		cmocka_unit_test(a_new_tail_is_durable_at_once),
		cmocka_unit_test(recovery_in_memory_leaves_the_device_alone),
		cmocka_unit_test(fast_commits_in_use_are_refused),
		cmocka_unit_test(hostile_logs_do_no_harm),
		cmocka_unit_test(the_revoke_table_compares_ids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
