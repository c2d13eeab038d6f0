/* SPDX-License-Identifier: MIT */
/*
 * Metadata buffers: the one in-memory copy of each metadata block.
 *
 * How to use this, with a handle h (see journal/txn.h):
 *
 *	ret = buf_read(cache, pblk, &b);	find or read; held by reference
 *	check b->data once, buf_set_verified(b)
 *	buf_lock(b)				only if several owners share it
 *	ret = handle_get_write(h, b);		b->data may be REPLACED here
 *	change b->data, set its checksum
 *	handle_dirty(h, b);
 *	buf_unlock(b);
 *	buf_put(b);
 *
 * States   EMPTY -> VALID      buf_read(), or buf_get_noread() + the caller
 *          VALID -> DIRTY      buf_mark_dirty() (journal or no-journal)
 *          DIRTY -> VALID      written home
 *
 * Rules    (B1) Two bufs never cover one block.
 *          (B2) A pinned buf is not written home and not evicted.
 *          (B3) b->data is stable while its owner's lock is held, but for
 *               handle_get_write(), which may put a fresh copy there: the old
 *               memory then belongs to the committing transaction.
 *          (B4) Memory is bounded: clean unreferenced bufs are evicted, least
 *               recently used first.
 *
 * Locks    Who owns a block's contents serialises access to them: map_lock for
 *          extent and indirect blocks, the directory's rwsem for directory
 *          blocks, the group's lock for bitmaps and descriptors; buf->lock for
 *          blocks with several owners (inode table, attribute blocks,
 *          superblock, orphan file).
 */
#ifndef UEXT4_CACHE_BUF_H
#define UEXT4_CACHE_BUF_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/err.h"
#include "base/hmap.h"
#include "base/lock.h"
#include "base/types.h"

struct bdev;
struct log;
struct buf_cache;
struct jbuf; /* the journal's record of a buf; the cache knows only "pinned" */

#define BUF_VALID    0x01u /* data holds the block */
#define BUF_DIRTY    0x02u /* differs from home and may be written home */
#define BUF_VERIFIED 0x04u /* its owner has checked it since it was read */
#define BUF_EIO      0x08u /* its last write home failed */
#define BUF_WRITING  0x10u /* a write home is in flight */
#define BUF_READING  0x20u /* a read is in flight */
#define BUF_TOUCHED  0x40u /* used since eviction last looked at it */

struct buf {
	struct hmap_node node;   /* [shard] */
	TAILQ_ENTRY(buf) lru;    /* [shard] */
	TAILQ_ENTRY(buf) dirt;   /* [shard] while DIRTY or WRITING */
	struct buf_cache *cache; /* [const] */
	struct buf_shard *shard; /* [const] */
	pblk_t pblk;             /* [const] */
	uint8_t *data;           /* [owner's lock], see B3 */
	uint8_t *wdata;          /* [shard] what a write in flight reads */
	struct mutex lock;       /* contents with several owners */
	_Atomic uint32_t state;  /* BUF_* */
	_Atomic uint32_t refs;
	_Atomic uint32_t pins;
	struct jbuf *jb;       /* [journal] */
	_Atomic uint64_t jtag; /* [journal] id of the running transaction
				   that has it, and how; 0 if none */
};

/* Make a cache over @dev of blocks of @block_size bytes holding at most about
 * @max_bytes. Freed by buf_cache_free(). */
int buf_cache_new(struct bdev *dev, uint32_t block_size, uint64_t nblocks,
		size_t max_bytes, struct log *log,
		struct buf_cache **ret_cache);
/* Drop all bufs. None may be referenced; dirty ones are lost (write first). */
void buf_cache_free(struct buf_cache *c);
struct bdev *buf_cache_bdev(const struct buf_cache *c);
uint32_t buf_cache_block_size(const struct buf_cache *c);

/* Find and hold the buf of @pblk, reading it if needed. -EIO if the read
 * fails, -EUCLEAN if @pblk is outside the file system. Put with buf_put(). */
int buf_read(struct buf_cache *c, pblk_t pblk, struct buf **ret_buf);
/* The same without reading: for a block that the caller fills whole. The data
 * is zeroed if the buf was not in the cache. */
int buf_get_noread(struct buf_cache *c, pblk_t pblk, struct buf **ret_buf);
/* Hold the buf of @pblk if it is in the cache, else NULL. */
struct buf *buf_find(struct buf_cache *c, pblk_t pblk);
/* Start reading @n blocks from @pblk in as few requests as possible: a hint,
 * errors are found later by buf_read(). */
void buf_readahead(struct buf_cache *c, pblk_t pblk, uint32_t n);
void buf_hold(struct buf *b);
void buf_put(struct buf *b);

static inline void buf_lock(struct buf *b) UEXT4_ACQUIRE(b->lock)
{
	mutex_lock(&b->lock);
}
static inline void buf_unlock(struct buf *b) UEXT4_RELEASE(b->lock)
{
	mutex_unlock(&b->lock);
}
static inline bool buf_is_verified(struct buf *b)
{
	return atomic_load_explicit(&b->state, memory_order_acquire) &
			BUF_VERIFIED;
}
static inline void buf_set_verified(struct buf *b)
{
	atomic_fetch_or_explicit(&b->state, BUF_VERIFIED, memory_order_release);
}

/* A pinned buf is neither written home nor evicted. Called by the journal.
 * If a write home in flight reads b->data, a copy takes its place: the holder
 * of the pin may change b->data at once. Never fails; if memory is short it
 * waits for the write instead. */
void buf_pin(struct buf *b);
void buf_unpin(struct buf *b);
/* The same exchange without a pin, for the no-journal mode. */
void buf_detach_write(struct buf *b);
/* Wait until no write home of @b is in flight. */
void buf_wait_write(struct buf *b);
/* May be written home from now on (no pin), by buf_cache_write() or the
 * background limit. */
void buf_mark_dirty(struct buf *b);
void buf_clear_dirty(struct buf *b);
/* Write @b home now, if dirty and unpinned. Does not flush. */
int buf_write(struct buf *b);
/* Write all dirty unpinned bufs home in block order, adjacent ones in one
 * request. Does not flush. The first error is returned, the rest are tried. */
int UEXT4_MUST_CHECK buf_cache_write(struct buf_cache *c);

/* A write-back of many bufs in two steps: what is added is the snapshot that
 * run writes; a later change of the buf goes to a copy (buf_pin()). */
struct buf_wb {
	struct buf_cache *cache;
	struct buf_wb_item {
		struct buf *buf;
		uint8_t *data;
	} * items;
	size_t n, cap;
	struct buf **late; /* being written by others when added */
	size_t nlate, late_cap;
};
void buf_wb_init(struct buf_wb *wb, struct buf_cache *c);
/* Take @b if it is dirty and unpinned; if somebody else is writing it,
 * buf_wb_run() waits for that and looks again. -ENOMEM. */
int buf_wb_add(struct buf_wb *wb, struct buf *b);
/* Add all dirty bufs of the cache. */
int buf_wb_add_all(struct buf_wb *wb);
/* Write in block order, adjacent blocks in one request, and empty @wb. Does
 * not flush. What fails stays dirty with BUF_EIO; the first error is
 * returned. */
int UEXT4_MUST_CHECK buf_wb_run(struct buf_wb *wb);

/* Memory of one block, aligned for direct I/O, from the cache's store. */
uint8_t *buf_data_new(struct buf_cache *c);
void buf_data_free(struct buf_cache *c, uint8_t *data);
size_t buf_cache_max_bytes(const struct buf_cache *c);
size_t buf_cache_dirty_bytes(struct buf_cache *c);

/* @b's contents are nobody's any more: the next reader reads them anew, the
 * next buf_get_noread() zeroes them. Whether home is up to date (DIRTY) stays
 * as it is. @b is pinned. */
void buf_invalidate(struct buf *b);
/* The blocks are free: forget the buf's contents and its dirt, waiting for a
 * write home in flight (dio-bugs.md B37). */
void buf_forget_block(struct buf_cache *c, pblk_t pblk);

/* Reads of blocks that @overlay answers (non-NULL) come from there: a journal
 * replayed in memory only. */
void buf_cache_set_overlay(struct buf_cache *c,
		const void *(*overlay)(const void *ctx, pblk_t pblk),
		const void *ctx);

struct buf_cache_stats {
	uint64_t hits, misses, reads, writes, evicted;
	size_t bytes, dirty_bytes;
};
void buf_cache_get_stats(struct buf_cache *c, struct buf_cache_stats *ret);

#endif /* UEXT4_CACHE_BUF_H */
