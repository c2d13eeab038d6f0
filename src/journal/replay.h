/* SPDX-License-Identifier: MIT */
/*
 * The images of blocks that a replay produces: for src/journal only.
 *
 *	overlay_new(); overlay_put() for each copy in the log, in log order;
 *	then overlay_write_home(), or overlay_load() and overlay_find().
 *
 * Of several copies of a block the last one put counts.
 */
#ifndef UEXT4_JOURNAL_REPLAY_H
#define UEXT4_JOURNAL_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/types.h"

struct buf_cache;
struct jlog;
struct log;
struct overlay;

struct overlay *overlay_new(void);
void overlay_free(struct overlay *o);
/* The image of @pblk stands in log block @pos; its first word is the magic if
 * @escaped. -ENOMEM. */
int overlay_put(struct overlay *o, pblk_t pblk, uint32_t pos, bool escaped);
/* Write all images home in block order, and make the cache forget the blocks.
 * Reads that fail are skipped, and the first error is returned. */
int overlay_write_home(struct overlay *o, const struct jlog *l,
		struct buf_cache *cache, struct log *log);
/* Read all images into memory. */
int overlay_load(struct overlay *o, const struct jlog *l, struct log *log);
/* The loaded image of @pblk, or NULL. */
const void *overlay_find(const struct overlay *o, pblk_t pblk);

#endif /* UEXT4_JOURNAL_REPLAY_H */
