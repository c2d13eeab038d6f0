/* SPDX-License-Identifier: MIT */
/*
 * Writing bufs home: a snapshot of many, in block order, adjacent ones merged.
 *
 * Rules    (B7) A buf is in at most one write at a time. Who finds it WRITING
 *               waits until that is over and looks again.
 *          (B8) What is written is b->data of the moment of buf_wb_add(): it
 *               is kept as b->wdata, and buf_pin() gives a change a copy.
 *          (B9) A failed write leaves the buf DIRTY, with BUF_EIO.
 *
 * No lock is held while the device writes, and a wait for another's write
 * comes only after all own ones have ended: two write-backs cannot wait for
 * each other.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "bdev/bdev.h"
#include "cache/buf.h"
#include "cache/buf_shard.h"

#define BUF_WB_IOV 256

void buf_wb_init(struct buf_wb *wb, struct buf_cache *c)
{
	memset(wb, 0, sizeof(*wb));
	wb->cache = c;
}

/* DIRTY -> WRITING. */
void buf_write_begin_locked(struct buf_shard *s, struct buf *b)
{
	assert((buf_state(b) & (BUF_DIRTY | BUF_WRITING)) == BUF_DIRTY);
	assert(atomic_load(&b->pins) == 0); /* B2 */

	/* WRITING first, so that the buf stays on the dirt list. */
	atomic_fetch_or(&b->state, BUF_WRITING);
	buf_clear_dirty_locked(s, b);
	b->wdata = b->data;
}

void buf_write_end(struct buf *b, int err)
{
	struct buf_shard *s = b->shard;

	mutex_lock(&s->lock);
	if (err != 0) {
		buf_set_dirty_locked(s, b);
		atomic_fetch_or(&b->state, BUF_EIO);
	} else {
		atomic_fetch_and(&b->state, ~BUF_EIO);
	}
	if (b->data != b->wdata)
		buf_data_free(b->cache, b->wdata);
	b->wdata = NULL;
	atomic_fetch_and(&b->state, ~BUF_WRITING);
	if (!(buf_state(b) & BUF_DIRTY))
		TAILQ_REMOVE(&s->dirt, b, dirt);
	s->writes++;
	buf_shard_wake(s);
	mutex_unlock(&s->lock);
}

/* Room for one more in @v of @n entries of @size bytes. */
static int buf_wb_grow(void **v, size_t n, size_t *cap, size_t size)
{
	size_t want = n < 64 ? 64 : n * 2;
	void *p;

	if (n < *cap)
		return 0;
	p = realloc(*v, want * size);
	if (p == NULL)
		return -ENOMEM;
	*v = p;
	*cap = want;
	return 0;
}

static int buf_wb_add_locked(struct buf_wb *wb, struct buf_shard *s,
		struct buf *b) UEXT4_REQUIRES(s->lock)
{
	uint32_t st = buf_state(b);
	void *v;
	int ret;

	if (st & BUF_WRITING) {
		v = wb->late;
		ret = buf_wb_grow(&v, wb->nlate, &wb->late_cap,
				sizeof(*wb->late));
		wb->late = v;
		if (ret < 0)
			return ret;
		buf_hold(b);
		wb->late[wb->nlate++] = b;
		return 0;
	}
	if (!(st & BUF_DIRTY) || atomic_load(&b->pins) > 0)
		return 0;
	v = wb->items;
	ret = buf_wb_grow(&v, wb->n, &wb->cap, sizeof(*wb->items));
	wb->items = v;
	if (ret < 0)
		return ret;
	buf_hold(b);
	buf_write_begin_locked(s, b);
	wb->items[wb->n].buf = b;
	wb->items[wb->n++].data = b->wdata;
	return 0;
}

int buf_wb_add(struct buf_wb *wb, struct buf *b)
{
	int ret;

	mutex_lock(&b->shard->lock);
	ret = buf_wb_add_locked(wb, b->shard, b);
	mutex_unlock(&b->shard->lock);
	return ret;
}

int buf_wb_add_all(struct buf_wb *wb)
{
	struct buf_cache *c = wb->cache;
	struct buf *b;
	uint32_t i;
	int ret = 0;

	for (i = 0; i < BUF_NSHARDS && ret == 0; i++) {
		struct buf_shard *s = &c->shards[i];

		mutex_lock(&s->lock);
		/* begin() leaves b on the list, so the walk is safe. */
		TAILQ_FOREACH(b, &s->dirt, dirt)
		{
			ret = buf_wb_add_locked(wb, s, b);
			if (ret < 0)
				break;
		}
		mutex_unlock(&s->lock);
	}
	return ret;
}

static int buf_wb_cmp(const void *pa, const void *pb)
{
	const struct buf_wb_item *a = pa;
	const struct buf_wb_item *b = pb;

	if (a->buf->pblk != b->buf->pblk)
		return a->buf->pblk < b->buf->pblk ? -1 : 1;
	return 0;
}

/* Write @n adjacent blocks in one request. */
static int buf_wb_write_run(
		struct buf_cache *c, struct buf_wb_item *items, int n)
{
	struct iovec iov[BUF_WB_IOV] = { 0 };
	int ret;
	int i;

	for (i = 0; i < n; i++) {
		iov[i].iov_base = items[i].data;
		iov[i].iov_len = c->block_size;
	}
	ret = bdev_writev(c->dev, items[0].buf->pblk * c->block_size, iov, n, 0,
			BDEV_TAG_METADATA);
	if (ret < 0)
		log_err(c->log, "writing %d blocks at %llu: %s", n,
				(unsigned long long)items[0].buf->pblk,
				err_text(ret));
	for (i = 0; i < n; i++) {
		struct buf *b = items[i].buf;

		buf_write_end(b, ret);
		buf_put(b);
	}
	return ret;
}

/* Wait for other people's write of @b; write it if it is dirty again. */
static int buf_wb_write_late(struct buf *b)
{
	buf_wait_write(b);
	return buf_write(b);
}

int buf_wb_run(struct buf_wb *wb)
{
	struct buf_cache *c = wb->cache;
	size_t i, n;
	int err = 0;
	int ret;

	if (wb->n > 1)
		qsort(wb->items, wb->n, sizeof(*wb->items), buf_wb_cmp);
	for (i = 0; i < wb->n; i += n) {
		struct buf_wb_item *it = &wb->items[i];

		n = 1;
		while (i + n < wb->n && n < BUF_WB_IOV &&
				it[n].buf->pblk == it[0].buf->pblk + n)
			n++;
		ret = buf_wb_write_run(c, it, (int)n);
		if (ret < 0 && err == 0)
			err = ret;
	}
	for (i = 0; i < wb->nlate; i++) {
		ret = buf_wb_write_late(wb->late[i]);
		buf_put(wb->late[i]);
		if (ret < 0 && err == 0)
			err = ret;
	}
	free(wb->items);
	free(wb->late);
	buf_wb_init(wb, c);
	return err;
}

int buf_write(struct buf *b)
{
	struct buf_wb_item item = { .buf = b };
	bool go;

	mutex_lock(&b->shard->lock);
	while (buf_state(b) & BUF_WRITING)
		buf_shard_wait(b->shard);
	go = (buf_state(b) & BUF_DIRTY) && atomic_load(&b->pins) == 0;
	if (go) {
		buf_hold(b);
		buf_write_begin_locked(b->shard, b);
		item.data = b->wdata;
	}
	mutex_unlock(&b->shard->lock);
	return go ? buf_wb_write_run(b->cache, &item, 1) : 0;
}

int buf_cache_write(struct buf_cache *c)
{
	struct buf_wb wb;
	int ret, err;

	buf_wb_init(&wb, c);
	err = buf_wb_add_all(&wb);
	ret = buf_wb_run(&wb);
	return ret < 0 ? ret : err;
}
