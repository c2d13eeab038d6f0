/* SPDX-License-Identifier: MIT */
/*
 * The tables inside the buffer cache: for buf*.c only.
 *
 * Bufs are spread over shards by block number, each with its own lock, so that
 * threads that work on different blocks seldom meet. A shard's lru list holds
 * all its bufs, the next candidate for eviction first; a buf that was used
 * since eviction last saw it (BUF_TOUCHED) gets a second chance, so a hit
 * moves nothing. The dirt list holds those that are DIRTY or WRITING.
 *
 * Locks    shard->lock (rank cache) guards the lists and every change of
 *          b->state, b->wdata; refs and pins rise only under it while they
 *          are zero. No I/O under it. store.lock is a leaf.
 */
#ifndef UEXT4_CACHE_BUF_SHARD_H
#define UEXT4_CACHE_BUF_SHARD_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/hmap.h"
#include "base/lock.h"
#include "cache/buf.h"

#define BUF_NSHARDS 16u

TAILQ_HEAD(buf_list, buf);

struct buf_shard {
	struct mutex lock;
	struct cond cond;     /* READING or WRITING ended */
	uint32_t waiters;     /* [lock] */
	struct hmap map;      /* [lock] */
	struct buf_list lru;  /* [lock] */
	struct buf_list dirt; /* [lock] */
	size_t nbufs;         /* [lock] */
	uint64_t hits, misses, reads, writes, evicted; /* [lock] */
};

struct buf_slab;

/* Blocks of memory, carved from slabs that live as long as the cache. */
struct buf_store {
	struct mutex lock;
	void *free;             /* [lock] */
	struct buf_slab *slabs; /* [lock] */
	uint32_t size;          /* [const] */
	uint32_t per_slab;      /* [const] */
};

struct buf_cache {
	struct bdev *dev;    /* [const] */
	struct log *log;     /* [const] */
	uint32_t block_size; /* [const] */
	uint64_t nblocks;    /* [const] */
	size_t max_bytes;    /* [const] */
	size_t shard_max;    /* [const] bufs of a shard before it evicts */
	const void *(*overlay)(const void *ctx, pblk_t pblk); /* [const] */
	const void *overlay_ctx;                              /* [const] */
	_Atomic size_t ndirty;
	struct buf_store store;
	struct buf_shard shards[BUF_NSHARDS];
};

void buf_store_init(struct buf_store *st, uint32_t size);
void buf_store_fini(struct buf_store *st);

static inline struct buf_shard *buf_shard_of(struct buf_cache *c, pblk_t pblk)
{
	return &c->shards[hmap_mix(pblk) >> 60];
}

static inline uint32_t buf_state(struct buf *b)
{
	return atomic_load_explicit(&b->state, memory_order_acquire);
}

/* Sleep until something of the shard has ended. */
void buf_shard_wait(struct buf_shard *s) UEXT4_REQUIRES(s->lock);
void buf_shard_wake(struct buf_shard *s) UEXT4_REQUIRES(s->lock);

/* DIRTY on or off, with its list and count. */
void buf_set_dirty_locked(struct buf_shard *s, struct buf *b)
		UEXT4_REQUIRES(s->lock);
void buf_clear_dirty_locked(struct buf_shard *s, struct buf *b)
		UEXT4_REQUIRES(s->lock);
/* Take @b for writing: DIRTY becomes WRITING. */
void buf_write_begin_locked(struct buf_shard *s, struct buf *b)
		UEXT4_REQUIRES(s->lock);
void buf_write_end(struct buf *b, int err);

#endif /* UEXT4_CACHE_BUF_SHARD_H */
