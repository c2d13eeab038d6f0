/* SPDX-License-Identifier: MIT */
/*
 * A journal on a test device; see jtest.h.
 */
#include "jtest.h"

static uint64_t jt_mix(uint64_t x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdu;
	x ^= x >> 33;
	return x;
}

struct emu_img *jt_image(const struct jt_opts *o)
{
	struct dj_super js = {
		.h = { DJ_MAGIC, DJ_SUPER_V2, 0 },
		.blocksize = o->bs,
		.maxlen = JT_LOG,
		.first = o->ring != 0 ? JT_LOG - o->ring : 1,
		.sequence = 1,
		.compat = o->compat,
		.incompat = o->incompat,
		.nr_users = 1,
	};
	struct emu_img *img;
	uint8_t *block = calloc(1, o->bs);

	if (o->incompat & (DJ_FI_CSUM_V2 | DJ_FI_CSUM_V3))
		js.checksum_type = DJ_CSUM_CRC32C;
	assert_int_equal(emu_img_new((uint64_t)JT_BLOCKS * o->bs, &img), 0);
	dj_super_encode(&js, block);
	dj_super_csum_set(block);
	assert_int_equal(emu_img_write(img, (uint64_t)JT_RUN1 * o->bs, block,
					 o->bs),
			0);
	free(block);
	return img;
}

static void jt_log(void *arg, enum log_level level, const char *msg)
{
	if (getenv("JT_VERBOSE") != NULL)
		fprintf(stderr, "%s\n", msg);
}

static struct journal_params jt_open(
		struct jt *t, const struct jt_opts *o, struct bdev *dev)
{
	static const struct journal_run runs[2] = {
		{ JT_RUN1, JT_SPLIT },
		{ JT_RUN2, JT_LOG - JT_SPLIT },
	};
	size_t bytes = o->cache_bytes != 0 ? o->cache_bytes : 64u << 20;
	struct journal_params p;

	memset(t, 0, sizeof(*t));
	t->o = *o;
	t->dev = dev;
	log_init(&t->log, jt_log, NULL, LOG_LEVEL_INFO);
	assert_int_equal(buf_cache_new(dev, o->bs, JT_BLOCKS, bytes, &t->log,
					 &t->cache),
			0);
	p = (struct journal_params){
		.dev = dev,
		.cache = t->cache,
		.log = &t->log,
		.block_size = o->bs,
		.fs_blocks = JT_BLOCKS,
		.runs = runs,
		.nruns = 2,
		.uuid = (const uint8_t *)"0123456789abcdef",
		.want_csum_v3 = o->v3,
		.want_64bit = o->b64,
		.precommit = o->precommit,
		.precommit_credits = o->precommit_credits,
		.on_abort = o->on_abort,
		.ctx = o->ctx != NULL ? o->ctx : t,
	};
	return p;
}

int jt_load(struct jt *t, const struct jt_opts *o, struct bdev *dev)
{
	struct journal_params p = jt_open(t, o, dev);
	int ret;

	ret = journal_load(&p, &t->j, &t->dirty);
	if (ret < 0)
		jt_drop(t);
	return ret;
}

int jt_mount(struct jt *t, const struct jt_opts *o, struct bdev *dev)
{
	struct journal_recovery rec;
	int ret;

	ret = jt_load(t, o, dev);
	if (ret < 0)
		return ret;
	ret = journal_recover(t->j, &rec);
	if (ret == 0)
		ret = journal_start(t->j);
	if (ret < 0)
		jt_drop(t);
	return ret;
}

void jt_mount_none(struct jt *t, const struct jt_opts *o, struct bdev *dev)
{
	struct journal_params p = jt_open(t, o, dev);

	assert_int_equal(journal_open_none(&p, &t->j), 0);
	assert_int_equal(journal_start(t->j), 0);
}

int jt_unmount(struct jt *t)
{
	int ret = journal_close(t->j);

	t->j = NULL;
	jt_drop(t);
	return ret;
}

void jt_drop(struct jt *t)
{
	journal_free(t->j);
	buf_cache_free(t->cache);
	log_fini(&t->log);
	t->j = NULL;
	t->cache = NULL;
}

/* Every word depends on @val. One value in four looks like a block of the
 * journal, so that it must be escaped. */
void jt_fill(uint8_t *p, uint32_t bs, uint64_t val)
{
	uint32_t i;

	for (i = 0; i < bs; i += 8)
		put_le64(p + i, jt_mix(val + i));
	put_le64(p + 8, val);
	if (val % 4 == 1) {
		put_be32(p, DJ_MAGIC);
		put_be32(p + 4, DJ_DESCRIPTOR + (uint32_t)(val / 4 % 2));
	}
}

uint64_t jt_value(const uint8_t *p, uint32_t bs)
{
	uint64_t val = get_le64(p + 8);
	uint8_t *want = malloc(bs);
	int diff;

	jt_fill(want, bs, val);
	diff = memcmp(p, want, bs);
	free(want);
	return diff == 0 ? val : 0;
}

uint64_t jt_home(struct bdev *dev, uint32_t bs, pblk_t pblk)
{
	uint8_t *p = malloc(bs);
	uint64_t val;

	assert_int_equal(bdev_read(dev, pblk * bs, p, bs, 0, 0), 0);
	val = jt_value(p, bs);
	free(p);
	return val;
}

uint64_t jt_get(struct jt *t, pblk_t pblk)
{
	struct buf *b;
	uint64_t val;

	assert_int_equal(buf_read(t->cache, pblk, &b), 0);
	buf_lock(b);
	val = jt_value(b->data, t->o.bs);
	buf_unlock(b);
	buf_put(b);
	return val;
}

void jt_set(struct jt *t, struct handle *h, pblk_t pblk, uint64_t val)
{
	struct buf *b;

	assert_int_equal(buf_read(t->cache, pblk, &b), 0);
	buf_lock(b);
	assert_int_equal(handle_get_write(h, b), 0);
	jt_fill(b->data, t->o.bs, val);
	assert_int_equal(handle_dirty(h, b), 0);
	buf_unlock(b);
	buf_put(b);
}

txid_t jt_set1(struct jt *t, pblk_t pblk, uint64_t val)
{
	struct handle *h;
	txid_t tid;

	assert_int_equal(handle_start(t->j, 1, &h), 0);
	jt_set(t, h, pblk, val);
	tid = handle_txid(h);
	assert_int_equal(handle_stop(h), 0);
	return tid;
}
