/* SPDX-License-Identifier: MIT */
/*
 * The floor below map, in memory. See fake_floor.h.
 */
#include "unit/fake_floor.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/alloc.h"
#include "cache/buf.h"
#include "journal/txn.h"

struct fake_buf {
	struct buf buf;
	uint8_t *shadow;       /* data when last dirtied or made */
	struct handle *writer; /* handle_get_write() was called in it */
	uint32_t counted;      /* epoch of the handle that it was counted in */
};

struct handle {
	struct fake *f;
	uint32_t credits, used;
};

struct fake {
	struct geo geo;
	uint8_t *use;
	struct fake_buf **bufs;
	uint32_t *grp_epoch;
	struct handle h;
	bool is_open;
	uint32_t epoch;
	uint32_t max_run;
	bool obey_goal, no_extend;
	unsigned fail[FAKE_CALLS];
	bool has_failed;
	uint32_t dirty_calls, inode_epoch, desc_epoch;
	uint64_t rand;
};

uint64_t fake_rand(struct fake *f, uint64_t n)
{
	f->rand ^= f->rand << 13;
	f->rand ^= f->rand >> 7;
	f->rand ^= f->rand << 17;
	return (f->rand >> 11) % n;
}

static bool fake_trip(struct fake *f, enum fake_call call)
{
	if (f->fail[call] == 0 || --f->fail[call] > 0)
		return false;
	f->has_failed = true;
	return true;
}

void fake_fail(struct fake *f, enum fake_call call, unsigned nth)
{
	f->fail[call] = nth;
	f->has_failed = false;
}

bool fake_has_failed(struct fake *f)
{
	return f->has_failed;
}

struct fake *fake_new(const struct fake_params *p)
{
	struct fake *f = calloc(1, sizeof(*f));
	struct geo *g;

	assert(f);
	g = &f->geo;
	g->block_size = p->block_size;
	g->block_bits = log2_u64(p->block_size);
	g->blocks = p->blocks;
	g->bpg = g->cpg = p->bpg;
	g->groups = (grp_t)div_up_u64(p->blocks, p->bpg);
	g->gdt_blocks = 1;
	g->inodes = 1000;
	g->ipg = 1000;
	g->csum_seed = 0x12345678;
	g->ro_compat = p->has_csum ? FR_METADATA_CSUM : 0;
	f->use = calloc(p->blocks, 1);
	f->bufs = calloc(p->blocks, sizeof(struct fake_buf *));
	f->grp_epoch = calloc(g->groups, sizeof(uint32_t));
	assert(f->use && f->bufs && f->grp_epoch);
	f->rand = p->seed * 2654435761u + 88172645463325252u;
	f->max_run = 32768;
	f->obey_goal = true;
	fake_set_use(f, 0, 8, FAKE_SYSTEM);
	return f;
}

static void fake_buf_free(struct fake *f, pblk_t pblk)
{
	struct fake_buf *fb = f->bufs[pblk];

	if (!fb)
		return;
	assert(fb->buf.refs == 0);
	free(fb->buf.data);
	free(fb->shadow);
	free(fb);
	f->bufs[pblk] = NULL;
}

void fake_free(struct fake *f)
{
	for (pblk_t p = 0; p < f->geo.blocks; p++)
		fake_buf_free(f, p);
	free(f->use);
	free(f->bufs);
	free(f->grp_epoch);
	free(f);
}

struct geo *fake_geo(struct fake *f)
{
	return &f->geo;
}

void fake_set_runs(struct fake *f, uint32_t max_run, bool obey_goal)
{
	f->max_run = max_run;
	f->obey_goal = obey_goal;
}

void fake_set_no_extend(struct fake *f, bool no_extend)
{
	f->no_extend = no_extend;
}

enum fake_use fake_use(struct fake *f, pblk_t pblk)
{
	assert(pblk < f->geo.blocks);
	return f->use[pblk];
}

void fake_set_use(struct fake *f, pblk_t pblk, uint32_t len, enum fake_use use)
{
	assert(pblk + len <= f->geo.blocks);
	memset(f->use + pblk, (int)use, len);
}

uint64_t fake_count(struct fake *f, enum fake_use use)
{
	uint64_t n = 0;

	for (pblk_t p = 0; p < f->geo.blocks; p++)
		n += f->use[p] == use;
	return n;
}

static uint32_t fake_free_run(struct fake *f, pblk_t pblk, uint32_t max)
{
	uint32_t n = 0;

	while (n < max && pblk + n < f->geo.blocks && f->use[pblk + n] == 0)
		n++;
	return n;
}

/* A free run near @goal, or anywhere. */
static struct alloc_run fake_search(struct fake *f, pblk_t goal, uint32_t len)
{
	struct alloc_run run = { 0 };

	if (goal == 0 || goal >= f->geo.blocks || !f->obey_goal)
		goal = fake_rand(f, f->geo.blocks);
	for (uint64_t i = 0; i < f->geo.blocks; i++) {
		run.pblk = (goal + i) % f->geo.blocks;
		run.len = fake_free_run(f, run.pblk, len);
		if (run.len > 0)
			return run;
	}
	return run;
}

pblk_t fake_take(struct fake *f, uint32_t len)
{
	for (pblk_t p = 0; p + len <= f->geo.blocks; p++) {
		if (fake_free_run(f, p, len) == len) {
			fake_set_use(f, p, len, FAKE_DATA);
			return p;
		}
	}
	return 0;
}

uint8_t *fake_block(struct fake *f, pblk_t pblk)
{
	return pblk < f->geo.blocks && f->bufs[pblk] ? f->bufs[pblk]->buf.data
						     : NULL;
}

static struct fake_buf *fake_buf_make(struct fake *f, pblk_t pblk)
{
	struct fake_buf *fb = f->bufs[pblk];

	if (fb)
		return fb;
	fb = calloc(1, sizeof(*fb));
	assert(fb);
	fb->buf.pblk = pblk;
	fb->buf.jb = (void *)f;
	fb->buf.data = calloc(1, f->geo.block_size);
	fb->shadow = calloc(1, f->geo.block_size);
	assert(fb->buf.data && fb->shadow);
	f->bufs[pblk] = fb;
	return fb;
}

void fake_poke(struct fake *f, pblk_t pblk, const void *data)
{
	struct fake_buf *fb = fake_buf_make(f, pblk);

	memcpy(fb->buf.data, data, f->geo.block_size);
	memcpy(fb->shadow, data, f->geo.block_size);
	fb->buf.state = 0;
}

void fake_set_verified(struct fake *f, pblk_t pblk)
{
	f->bufs[pblk]->buf.state = BUF_VERIFIED;
}

uint32_t fake_refs(struct fake *f)
{
	uint32_t n = 0;

	for (pblk_t p = 0; p < f->geo.blocks; p++)
		n += f->bufs[p] ? f->bufs[p]->buf.refs : 0;
	return n;
}

uint32_t fake_dirty_calls(struct fake *f)
{
	return f->dirty_calls;
}

/* ---- mapping ---- */

static int fake_dirty(struct mapping *m, struct handle *h)
{
	struct fake *f = h->f;

	f->dirty_calls++;
	if (f->inode_epoch != f->epoch) {
		f->inode_epoch = f->epoch;
		h->used++;
	}
	return 0;
}

static const struct map_ops fake_ops = { .dirty = fake_dirty };

void fake_mapping_init(struct fake *f, struct mapping *m, uint8_t root[60],
		bool is_extents)
{
	memset(m, 0, sizeof(*m));
	m->geo = &f->geo;
	m->cache = (void *)f;
	m->alloc = (void *)f;
	m->ops = &fake_ops;
	m->inum = 12;
	m->gen = 77;
	m->is_extents = is_extents;
	m->root = root;
	mapping_init_root(m);
	mapping_init(m);
}

/* ---- handles ---- */

struct handle *fake_start(struct fake *f, uint32_t credits)
{
	assert(!f->is_open);
	f->is_open = true;
	f->epoch++;
	f->h = (struct handle){ .f = f, .credits = credits };
	return &f->h;
}

void fake_stop(struct fake *f)
{
	assert(f->is_open);
	assert(f->h.used <= f->h.credits);
	f->is_open = false;
	for (pblk_t p = 0; p < f->geo.blocks; p++) {
		struct fake_buf *fb = f->bufs[p];

		if (f->use[p] == FAKE_PENDING) {
			f->use[p] = FAKE_FREE;
			fake_buf_free(f, p);
			fb = NULL;
		}
		if (!fb)
			continue;
		fb->writer = NULL;
		/* Nobody changed it behind the journal's back. */
		assert(!memcmp(fb->buf.data, fb->shadow, f->geo.block_size));
		if (fake_rand(f, 4) == 0)
			fb->buf.state = 0;
	}
}

void fake_reopen(struct fake *f)
{
	assert(f->is_open);
	f->is_open = false;
	for (pblk_t p = 0; p < f->geo.blocks; p++)
		if (f->use[p] == FAKE_PENDING && !f->bufs[p])
			f->use[p] = FAKE_FREE;
}

uint32_t handle_credits(const struct handle *h)
{
	return h->credits - h->used;
}

int handle_extend(struct handle *h, uint32_t more)
{
	if (h->f->no_extend)
		return -EAGAIN;
	h->credits += more;
	return 0;
}

int handle_get_write(struct handle *h, struct buf *buf)
{
	struct fake *f = h->f;
	struct fake_buf *fb = container_of(buf, struct fake_buf, buf);
	uint8_t *data;

	if (fake_trip(f, FAKE_GET_WRITE))
		return -EIO;
	data = malloc(f->geo.block_size);
	assert(data);
	memcpy(data, buf->data, f->geo.block_size);
	free(buf->data);
	buf->data = data;
	fb->writer = h;
	return 0;
}

int handle_get_create(struct handle *h, struct buf *buf)
{
	struct fake_buf *fb = container_of(buf, struct fake_buf, buf);

	if (fake_trip(h->f, FAKE_GET_CREATE))
		return -ENOMEM;
	memset(buf->data, 0xa5, h->f->geo.block_size);
	memset(fb->shadow, 0xa5, h->f->geo.block_size);
	fb->writer = h;
	return 0;
}

int handle_dirty(struct handle *h, struct buf *buf)
{
	struct fake_buf *fb = container_of(buf, struct fake_buf, buf);

	assert(fb->writer == h);
	assert(buf->refs > 0);
	memcpy(fb->shadow, buf->data, h->f->geo.block_size);
	if (fb->counted != h->f->epoch) {
		fb->counted = h->f->epoch;
		h->used++;
	}
	return 0;
}

/* ---- bufs ---- */

int buf_read(struct buf_cache *c, pblk_t pblk, struct buf **ret_buf)
{
	struct fake *f = (void *)c;
	struct fake_buf *fb;

	if (fake_trip(f, FAKE_READ))
		return -EIO;
	assert(pblk < f->geo.blocks);
	fb = fake_buf_make(f, pblk);
	fb->buf.refs++;
	*ret_buf = &fb->buf;
	return 0;
}

int buf_get_noread(struct buf_cache *c, pblk_t pblk, struct buf **ret_buf)
{
	struct fake *f = (void *)c;
	struct fake_buf *fb;

	if (fake_trip(f, FAKE_GET_CREATE))
		return -ENOMEM;
	fb = fake_buf_make(f, pblk);
	fb->buf.refs++;
	*ret_buf = &fb->buf;
	return 0;
}

void buf_put(struct buf *b)
{
	if (!b)
		return;
	assert(b->refs > 0);
	b->refs--;
}

/* ---- allocator ---- */

static void fake_count_grp(struct fake *f, struct handle *h, pblk_t pblk)
{
	uint32_t *epoch = &f->grp_epoch[pblk / f->geo.bpg];

	if (*epoch != f->epoch) {
		*epoch = f->epoch;
		h->used++;
	}
	if (f->desc_epoch != f->epoch) {
		f->desc_epoch = f->epoch;
		h->used++;
	}
}

int alloc_blocks(struct handle *h, struct alloc *a, const struct alloc_req *req,
		struct alloc_run *ret_run)
{
	struct fake *f = (void *)a;
	uint32_t len = min_of(req->len, f->max_run);
	struct alloc_run run;

	assert(f->is_open && req->len >= 1 && req->len <= 32768);
	if (fake_trip(f, FAKE_ALLOC))
		return -ENOSPC;
	if (len > 1 && f->max_run < 32768)
		len = 1 + (uint32_t)fake_rand(f, len);
	run = fake_search(f, req->goal, len);
	if (run.len == 0)
		return -ENOSPC;
	run.len = min_of(run.len, f->geo.bpg - run.pblk % f->geo.bpg);
	fake_set_use(f, run.pblk, run.len,
			req->flags & ALLOC_F_METADATA ? FAKE_NODE : FAKE_DATA);
	fake_count_grp(f, h, run.pblk);
	*ret_run = run;
	return 0;
}

int alloc_free(struct handle *h, struct alloc *a, struct alloc_run run,
		uint32_t flags)
{
	struct fake *f = (void *)a;

	if (fake_trip(f, FAKE_FREE_RUN))
		return -EIO;
	if (run.len == 0 || run.pblk + run.len > f->geo.blocks)
		return -UEXT4_ECORRUPT;
	for (uint32_t i = 0; i < run.len; i++) {
		enum fake_use use = f->use[run.pblk + i];

		if (use != (flags & ALLOC_F_METADATA ? FAKE_NODE : FAKE_DATA))
			return -UEXT4_ECORRUPT;
	}
	fake_set_use(f, run.pblk, run.len, FAKE_PENDING);
	for (uint32_t i = 0; i < run.len; i++) {
		struct fake_buf *fb = f->bufs[run.pblk + i];

		fake_count_grp(f, h, run.pblk + i);
		if (fb) {
			assert(fb->buf.refs == 0);
			memcpy(fb->shadow, fb->buf.data, f->geo.block_size);
		}
	}
	return 0;
}

bool alloc_is_system(const struct alloc *a, pblk_t pblk, uint64_t len)
{
	const struct fake *f = (const void *)a;

	for (uint64_t i = 0; i < len; i++)
		if (pblk + i >= f->geo.blocks ||
				f->use[pblk + i] == FAKE_SYSTEM)
			return true;
	return false;
}

pblk_t alloc_goal_for_inode(const struct alloc *a, inum_t inum)
{
	return 16;
}

void alloc_pa_release(struct alloc *a, struct alloc_pa *pa)
{
	*pa = (struct alloc_pa){ 0 };
}
