/* SPDX-License-Identifier: MIT */
/*
 * A journal on a test device, for the tests of src/journal.
 *
 * The device: metadata blocks [0, JT_META), then data, and the journal in two
 * runs that do not touch. A ring of a few blocks comes from a large s_first.
 */
#ifndef UEXT4_TESTS_UNIT_JTEST_H
#define UEXT4_TESTS_UNIT_JTEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/le.h"
#include "base/log.h"
#include "bdev/bdev_emu.h"
#include "cache/buf.h"
#include "disk/djournal.h"
#include "journal/journal.h"
#include "journal/txn.h"

#define JT_META   1024u
#define JT_LOG    1400u
#define JT_RUN1   2000u /* of JT_LOG - JT_SPLIT blocks */
#define JT_SPLIT  1010u /* log block where the second run begins */
#define JT_RUN2   1500u
#define JT_BLOCKS 3100u

struct jt_opts {
	uint32_t bs;
	uint32_t ring;     /* blocks of the ring, at the end of the log */
	uint32_t incompat; /* of the journal as formatted */
	uint32_t compat;
	bool v3, b64;       /* what the mount wants */
	size_t cache_bytes; /* 0: plenty */
	uint32_t precommit_credits;
	int (*precommit)(void *ctx, struct handle *h);
	void (*on_abort)(void *ctx, int err);
	void *ctx;
};

struct jt {
	struct jt_opts o;
	struct bdev *dev;
	struct buf_cache *cache;
	struct journal *j;
	struct log log;
	bool dirty;
};

/* An image with an empty journal. */
struct emu_img *jt_image(const struct jt_opts *o);
/* Load the journal on @dev: no recovery, no start. */
int jt_load(struct jt *t, const struct jt_opts *o, struct bdev *dev);
/* Load, recover, start: what a mount does. */
int jt_mount(struct jt *t, const struct jt_opts *o, struct bdev *dev);
/* The no-journal mode. */
void jt_mount_none(struct jt *t, const struct jt_opts *o, struct bdev *dev);
/* Close the journal. */
int jt_unmount(struct jt *t);
/* Free everything without writing, as after a power cut. */
void jt_drop(struct jt *t);

/* Journal-change block @pblk: first 8 bytes @val, all others derived. */
void jt_set(struct jt *t, struct handle *h, pblk_t pblk, uint64_t val);
void jt_fill(uint8_t *p, uint32_t bs, uint64_t val);
/* The value that block @p holds whole, or 0 if it is torn. */
uint64_t jt_value(const uint8_t *p, uint32_t bs);
/* The value of @pblk on the device, past all caches. */
uint64_t jt_home(struct bdev *dev, uint32_t bs, pblk_t pblk);
/* The value of @pblk in the cache. */
uint64_t jt_get(struct jt *t, pblk_t pblk);
/* One handle that sets one block. */
txid_t jt_set1(struct jt *t, pblk_t pblk, uint64_t val);

#endif /* UEXT4_TESTS_UNIT_JTEST_H */
