/* SPDX-License-Identifier: MIT */
/*
 * Finding, reading, holding and evicting metadata buffers; see buf.h.
 *
 * States   EMPTY -> READING -> VALID   buf_read(); others wait meanwhile
 *          EMPTY -> VALID              buf_get_noread(), contents zeroed
 *          any -> EMPTY                buf_forget_block()
 *
 * Rules    (B5) A buf with references, pins, or one of DIRTY, WRITING, READING
 *               is not evicted.
 *          (B6) Only the thread that set READING touches b->data until it
 *               clears it.
 */
#include "cache/buf.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "bdev/bdev.h"
#include "cache/buf_shard.h"

#define BUF_EVICT_SCAN 32u /* lru entries looked at per new buf */
#define BUF_RA_MAX     64u /* blocks per readahead request */

void buf_shard_wait(struct buf_shard *s)
{
	s->waiters++;
	cond_wait(&s->cond, &s->lock);
	s->waiters--;
}

void buf_shard_wake(struct buf_shard *s)
{
	if (s->waiters > 0)
		cond_broadcast(&s->cond);
}

static void buf_or_state(struct buf *b, uint32_t bits)
{
	atomic_fetch_or_explicit(&b->state, bits, memory_order_acq_rel);
}

static void buf_clear_state(struct buf *b, uint32_t bits)
{
	atomic_fetch_and_explicit(&b->state, ~bits, memory_order_acq_rel);
}

/* ---- life of the cache ---- */

int buf_cache_new(struct bdev *dev, uint32_t block_size, uint64_t nblocks,
		size_t max_bytes, struct log *log, struct buf_cache **ret_cache)
{
	struct buf_cache *c;
	uint32_t i;
	int ret;

	assert(is_pow2_u64(block_size) && block_size >= 512);
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return -ENOMEM;
	c->dev = dev;
	c->log = log;
	c->block_size = block_size;
	c->nblocks = nblocks;
	c->max_bytes = max_bytes;
	c->shard_max = max_bytes / block_size / BUF_NSHARDS;
	if (c->shard_max == 0)
		c->shard_max = 1;
	buf_store_init(&c->store, block_size);
	for (i = 0; i < BUF_NSHARDS; i++) {
		struct buf_shard *s = &c->shards[i];

		ret = hmap_init(&s->map, 0);
		if (ret < 0)
			goto out_shards;
		mutex_init(&s->lock, "buf shard", LOCK_RANK_CACHE);
		cond_init(&s->cond);
		TAILQ_INIT(&s->lru);
		TAILQ_INIT(&s->dirt);
	}
	*ret_cache = c;
	return 0;

out_shards:
	while (i-- > 0) {
		hmap_fini(&c->shards[i].map);
		cond_fini(&c->shards[i].cond);
		mutex_fini(&c->shards[i].lock);
	}
	buf_store_fini(&c->store);
	free(c);
	return ret;
}

static void buf_free(struct buf *b)
{
	assert(b->jb == NULL);
	mutex_fini(&b->lock);
	buf_data_free(b->cache, b->data);
	free(b);
}

static void buf_shard_fini(struct buf_shard *s)
{
	struct buf *b;

	while ((b = TAILQ_FIRST(&s->lru)) != NULL) {
		assert(atomic_load(&b->refs) == 0);
		assert(atomic_load(&b->pins) == 0);
		TAILQ_REMOVE(&s->lru, b, lru);
		buf_free(b);
	}
	hmap_fini(&s->map);
	cond_fini(&s->cond);
	mutex_fini(&s->lock);
}

void buf_cache_free(struct buf_cache *c)
{
	uint32_t i;

	if (c == NULL)
		return;
	for (i = 0; i < BUF_NSHARDS; i++)
		buf_shard_fini(&c->shards[i]);
	buf_store_fini(&c->store);
	free(c);
}

struct bdev *buf_cache_bdev(const struct buf_cache *c)
{
	return c->dev;
}

uint32_t buf_cache_block_size(const struct buf_cache *c)
{
	return c->block_size;
}

size_t buf_cache_max_bytes(const struct buf_cache *c)
{
	return c->max_bytes;
}

size_t buf_cache_dirty_bytes(struct buf_cache *c)
{
	return atomic_load_explicit(&c->ndirty, memory_order_relaxed) *
			c->block_size;
}

void buf_cache_set_overlay(struct buf_cache *c,
		const void *(*overlay)(const void *ctx, pblk_t pblk),
		const void *ctx)
{
	c->overlay = overlay;
	c->overlay_ctx = ctx;
}

void buf_cache_get_stats(struct buf_cache *c, struct buf_cache_stats *ret)
{
	struct buf_cache_stats st = { 0 };
	uint32_t i;

	for (i = 0; i < BUF_NSHARDS; i++) {
		struct buf_shard *s = &c->shards[i];

		mutex_lock(&s->lock);
		st.hits += s->hits;
		st.misses += s->misses;
		st.reads += s->reads;
		st.writes += s->writes;
		st.evicted += s->evicted;
		st.bytes += s->nbufs * c->block_size;
		mutex_unlock(&s->lock);
	}
	st.dirty_bytes = buf_cache_dirty_bytes(c);
	*ret = st;
}

/* ---- finding ---- */

static struct buf *buf_lookup_locked(struct buf_shard *s, pblk_t pblk)
		UEXT4_REQUIRES(s->lock)
{
	struct hmap_node *n = hmap_find(&s->map, pblk);

	return n != NULL ? container_of(n, struct buf, node) : NULL;
}

static bool buf_is_evictable(struct buf *b)
{
	return atomic_load_explicit(&b->refs, memory_order_acquire) == 0 &&
			atomic_load_explicit(&b->pins, memory_order_acquire) ==
			0 &&
			!(buf_state(b) &
					(BUF_DIRTY | BUF_WRITING |
							BUF_READING));
}

/* Make room for one more buf, looking at a bounded number of candidates. */
static void buf_evict_locked(struct buf_cache *c, struct buf_shard *s)
		UEXT4_REQUIRES(s->lock)
{
	uint32_t scan = BUF_EVICT_SCAN;

	while (s->nbufs >= c->shard_max && scan-- > 0) {
		struct buf *b = TAILQ_FIRST(&s->lru);

		TAILQ_REMOVE(&s->lru, b, lru);
		if (!buf_is_evictable(b) || (buf_state(b) & BUF_TOUCHED)) {
			buf_clear_state(b, BUF_TOUCHED);
			TAILQ_INSERT_TAIL(&s->lru, b, lru);
			continue;
		}
		hmap_remove(&s->map, &b->node);
		s->nbufs--;
		s->evicted++;
		buf_free(b);
	}
}

/* A new EMPTY buf with one reference. NULL: no memory. */
static struct buf *buf_new_locked(struct buf_cache *c, struct buf_shard *s,
		pblk_t pblk) UEXT4_REQUIRES(s->lock)
{
	struct buf *b;

	if (s->nbufs >= c->shard_max)
		buf_evict_locked(c, s);
	b = calloc(1, sizeof(*b));
	if (b == NULL)
		return NULL;
	b->data = buf_data_new(c);
	if (b->data == NULL) {
		free(b);
		return NULL;
	}
	b->cache = c;
	b->shard = s;
	b->pblk = pblk;
	atomic_init(&b->refs, 1);
	mutex_init(&b->lock, "buf", LOCK_RANK_BUF);
	hmap_insert(&s->map, &b->node, pblk);
	TAILQ_INSERT_TAIL(&s->lru, b, lru);
	s->nbufs++;
	return b;
}

static void buf_touch(struct buf *b)
{
	if (!(buf_state(b) & BUF_TOUCHED))
		buf_or_state(b, BUF_TOUCHED);
}

/* Fill b->data, under READING (B6). */
static int buf_load(struct buf *b)
{
	struct buf_cache *c = b->cache;
	const void *image;

	image = c->overlay != NULL ? c->overlay(c->overlay_ctx, b->pblk) : NULL;
	if (image != NULL) {
		memcpy(b->data, image, c->block_size);
		return 0;
	}
	return bdev_read(c->dev, b->pblk * c->block_size, b->data,
			c->block_size, 0, BDEV_TAG_METADATA);
}

/* Bring @b, which is EMPTY, to VALID. Gives the shard's lock up meanwhile. */
static int buf_fill_locked(struct buf_shard *s, struct buf *b, bool read)
		UEXT4_REQUIRES(s->lock)
{
	int ret = 0;

	buf_or_state(b, BUF_READING);
	mutex_unlock(&s->lock);
	if (read)
		ret = buf_load(b);
	else
		memset(b->data, 0, b->cache->block_size);
	mutex_lock(&s->lock);
	if (ret == 0)
		buf_or_state(b, BUF_VALID);
	buf_clear_state(b, BUF_READING);
	s->reads += read;
	buf_shard_wake(s);
	return ret;
}

static int buf_get(struct buf_cache *c, pblk_t pblk, bool read,
		struct buf **ret_buf)
{
	struct buf_shard *s;
	struct buf *b;
	int ret = 0;

	if (pblk >= c->nblocks) {
		log_err(c->log, "block %llu is beyond the file system's %llu",
				(unsigned long long)pblk,
				(unsigned long long)c->nblocks);
		return -UEXT4_ECORRUPT;
	}
	s = buf_shard_of(c, pblk);
	mutex_lock(&s->lock);
	b = buf_lookup_locked(s, pblk);
	if (b != NULL) {
		atomic_fetch_add_explicit(&b->refs, 1, memory_order_acq_rel);
		buf_touch(b);
		s->hits++;
	} else {
		b = buf_new_locked(c, s, pblk);
		s->misses++;
		if (b == NULL) {
			ret = -ENOMEM;
			goto out_unlock;
		}
	}
	while (buf_state(b) & BUF_READING)
		buf_shard_wait(s);
	if (!(buf_state(b) & BUF_VALID))
		ret = buf_fill_locked(s, b, read);
out_unlock:
	mutex_unlock(&s->lock);
	if (ret < 0) {
		buf_put(b);
		return ret;
	}
	*ret_buf = b;
	return 0;
}

int buf_read(struct buf_cache *c, pblk_t pblk, struct buf **ret_buf)
{
	return buf_get(c, pblk, true, ret_buf);
}

int buf_get_noread(struct buf_cache *c, pblk_t pblk, struct buf **ret_buf)
{
	return buf_get(c, pblk, false, ret_buf);
}

struct buf *buf_find(struct buf_cache *c, pblk_t pblk)
{
	struct buf_shard *s = buf_shard_of(c, pblk);
	struct buf *b;

	mutex_lock(&s->lock);
	b = buf_lookup_locked(s, pblk);
	if (b != NULL)
		buf_hold(b);
	mutex_unlock(&s->lock);
	return b;
}

void buf_hold(struct buf *b)
{
	atomic_fetch_add_explicit(&b->refs, 1, memory_order_acq_rel);
}

/* The last reference keeps nothing alive: eviction looks at the count. So
 * after the decrement @b must not be touched any more. */
void buf_put(struct buf *b)
{
	uint32_t was;

	if (b == NULL)
		return;
	was = atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel);
	assert(was > 0);
	(void)was;
}

/* ---- readahead ---- */

/* Hold the buf of @pblk under READING if it is not in the cache. */
static struct buf *buf_ra_start(struct buf_cache *c, pblk_t pblk)
{
	struct buf_shard *s = buf_shard_of(c, pblk);
	struct buf *b = NULL;

	mutex_lock(&s->lock);
	if (buf_lookup_locked(s, pblk) == NULL)
		b = buf_new_locked(c, s, pblk);
	if (b != NULL)
		buf_or_state(b, BUF_READING);
	mutex_unlock(&s->lock);
	return b;
}

static void buf_ra_end(struct buf *b, int ret)
{
	struct buf_cache *c = b->cache;
	struct buf_shard *s = b->shard;
	const void *image;

	image = c->overlay != NULL ? c->overlay(c->overlay_ctx, b->pblk) : NULL;
	if (image != NULL) {
		memcpy(b->data, image, c->block_size);
		ret = 0;
	}
	mutex_lock(&s->lock);
	if (ret == 0)
		buf_or_state(b, BUF_VALID);
	buf_clear_state(b, BUF_READING);
	s->reads++;
	buf_shard_wake(s);
	mutex_unlock(&s->lock);
	buf_put(b);
}

/* Read adjacent bufs that are under READING in one request. */
static void buf_ra_read(struct buf_cache *c, struct buf **v, uint32_t n)
{
	struct iovec iov[BUF_RA_MAX] = { 0 };
	uint32_t i;
	int ret;

	for (i = 0; i < n; i++) {
		iov[i].iov_base = v[i]->data;
		iov[i].iov_len = c->block_size;
	}
	ret = bdev_readv(c->dev, v[0]->pblk * c->block_size, iov, (int)n, 0,
			BDEV_TAG_METADATA);
	for (i = 0; i < n; i++)
		buf_ra_end(v[i], ret);
}

void buf_readahead(struct buf_cache *c, pblk_t pblk, uint32_t n)
{
	struct buf *v[BUF_RA_MAX];
	uint32_t got = 0;

	if (pblk >= c->nblocks)
		return;
	n = (uint32_t)min_u64(n, c->nblocks - pblk);
	for (; n > 0; n--, pblk++) {
		struct buf *b = buf_ra_start(c, pblk);

		if (b != NULL)
			v[got++] = b;
		if (got > 0 && (b == NULL || got == BUF_RA_MAX)) {
			buf_ra_read(c, v, got);
			got = 0;
		}
	}
	if (got > 0)
		buf_ra_read(c, v, got);
}

/* ---- state ---- */

void buf_set_dirty_locked(struct buf_shard *s, struct buf *b)
{
	uint32_t st = buf_state(b);

	if (st & BUF_DIRTY)
		return;
	if (!(st & BUF_WRITING))
		TAILQ_INSERT_TAIL(&b->shard->dirt, b, dirt);
	buf_or_state(b, BUF_DIRTY);
	atomic_fetch_add_explicit(&b->cache->ndirty, 1, memory_order_relaxed);
}

void buf_clear_dirty_locked(struct buf_shard *s, struct buf *b)
{
	uint32_t st = buf_state(b);

	if (!(st & BUF_DIRTY))
		return;
	if (!(st & BUF_WRITING))
		TAILQ_REMOVE(&b->shard->dirt, b, dirt);
	buf_clear_state(b, BUF_DIRTY);
	atomic_fetch_sub_explicit(&b->cache->ndirty, 1, memory_order_relaxed);
}

void buf_mark_dirty(struct buf *b)
{
	if (buf_state(b) & BUF_DIRTY)
		return;
	mutex_lock(&b->shard->lock);
	buf_set_dirty_locked(b->shard, b);
	mutex_unlock(&b->shard->lock);
}

void buf_clear_dirty(struct buf *b)
{
	mutex_lock(&b->shard->lock);
	buf_clear_dirty_locked(b->shard, b);
	mutex_unlock(&b->shard->lock);
}

/* Leave the memory that the device reads to the write, and go on with a copy.
 * Without memory wait for the write's end. */
static void buf_detach_write_locked(struct buf_shard *s, struct buf *b)
		UEXT4_REQUIRES(s->lock)
{
	uint8_t *data;

	if (!(buf_state(b) & BUF_WRITING) || b->data != b->wdata)
		return;
	data = buf_data_new(b->cache);
	if (data != NULL) {
		memcpy(data, b->data, b->cache->block_size);
		b->data = data;
		return;
	}
	while (buf_state(b) & BUF_WRITING)
		buf_shard_wait(s);
}

void buf_detach_write(struct buf *b)
{
	/* Who changes the block excludes others that do, and a write-back that
	 * begins later is excluded by the journal. */
	if (!(buf_state(b) & BUF_WRITING))
		return;
	mutex_lock(&b->shard->lock);
	buf_detach_write_locked(b->shard, b);
	mutex_unlock(&b->shard->lock);
}

void buf_pin(struct buf *b)
{
	mutex_lock(&b->shard->lock);
	atomic_fetch_add_explicit(&b->pins, 1, memory_order_acq_rel);
	buf_detach_write_locked(b->shard, b);
	mutex_unlock(&b->shard->lock);
}

void buf_unpin(struct buf *b)
{
	uint32_t was;

	was = atomic_fetch_sub_explicit(&b->pins, 1, memory_order_acq_rel);
	assert(was > 0);
	(void)was;
}

void buf_wait_write(struct buf *b)
{
	mutex_lock(&b->shard->lock);
	while (buf_state(b) & BUF_WRITING)
		buf_shard_wait(b->shard);
	mutex_unlock(&b->shard->lock);
}

void buf_invalidate(struct buf *b)
{
	assert(atomic_load(&b->pins) > 0);
	buf_clear_state(b, BUF_VALID | BUF_VERIFIED);
}

void buf_forget_block(struct buf_cache *c, pblk_t pblk)
{
	struct buf_shard *s = buf_shard_of(c, pblk);
	struct buf *b;

	mutex_lock(&s->lock);
	b = buf_lookup_locked(s, pblk);
	if (b == NULL)
		goto out_unlock;
	buf_hold(b);
	buf_clear_dirty_locked(s, b);
	while (buf_state(b) & (BUF_WRITING | BUF_READING))
		buf_shard_wait(s);
	buf_clear_dirty_locked(s, b);
	buf_clear_state(b, BUF_VALID | BUF_VERIFIED | BUF_EIO | BUF_TOUCHED);
	buf_put(b);
out_unlock:
	mutex_unlock(&s->lock);
}
