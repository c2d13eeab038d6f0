/* SPDX-License-Identifier: MIT */
/*
 * The device that tests run on: RAM with a volatile cache, a recorder, faults
 * and power cuts.
 *
 *	ret = bdev_emu_open(img, NULL, &dev);
 *	ret = bdev_emu_record(dev);
 *	bdev_emu_mark(dev, EMU_MARK_OP_BEGIN, 1, 0);
 *	... the engine works on dev ...
 *	bdev_emu_mark(dev, EMU_MARK_ACK_DURABLE, 1, 0);
 *	ret = bdev_emu_take_log(dev, &base, &log);
 *
 * base and log together are what tests/power/explore.h explores. Without the
 * explorer, emu_log_build() makes the image of one chosen power cut.
 *
 * Time is a counter: every submission, completion and mark is one tick. A
 * request was in flight from t_submit to t_done.
 *
 * Rules    (E1) What may survive a cut after tick t: a write is durable if it
 *               carried FUA and t_done <= t, or if its t_done lies before the
 *               t_submit of a flush whose t_done <= t. Every sector of every
 *               other write submitted by then may be there or not.
 *          (E2) A request that failed changed nothing, unless power was cut
 *               while it was in flight.
 *          (E3) After a cut every request is -EIO, reads too.
 *          (E4) The log holds whole sectors: an unaligned write is recorded
 *               as the write of the sectors it touches.
 *          (E5) With BDEV_EMU_F_MAP there is a map. What was stored to it is
 *               recorded when bdev_stored() tells it, as two writes that meet
 *               in the middle at a cache line: there a sector may tear, as
 *               under real stores. Faults and bdev_emu_cut_at() know requests
 *               only. What other threads do between a store and its
 *               bdev_stored() is taken to come before the store.
 *
 * Locks    emu->lock (rank bdev) guards everything; gate and done() are called
 *          without it.
 */
#ifndef UEXT4_BDEV_BDEV_EMU_H
#define UEXT4_BDEV_BDEV_EMU_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "bdev/bdev.h"
#include "bdev/emu_img.h"

/* ---- the log ---- */

#define EMU_NEVER UINT64_MAX

enum emu_kind {
	EMU_WRITE,
	EMU_ZERO,
	EMU_DISCARD,
	EMU_FLUSH,
	EMU_MARK,
};

/* What the workload says about itself. id and val are the test's own. */
enum emu_mark {
	EMU_MARK_OP_BEGIN,    /* operation id begins */
	EMU_MARK_OP_END,      /* operation id ended with val */
	EMU_MARK_ACK_DURABLE, /* operation id was reported durable */
	EMU_MARK_TID,         /* operation id is in transaction val */
};

/* A piece of written data: lies in one page, at its place in that page. */
struct emu_seg {
	struct emu_page *page;
	uint64_t pos; /* on the device */
	uint32_t len;
};

struct emu_ent {
	enum emu_kind kind;
	uint32_t flags; /* BDEV_F_* */
	uint64_t seq;   /* index in the log: order of submission */
	uint64_t t_submit;
	uint64_t t_done; /* EMU_NEVER: in flight when the power went */
	int result;
	bool is_void; /* failed or lost: it changed nothing */
	uint32_t thread;
	uint64_t pos; /* whole sectors (E4) */
	uint64_t len;
	uint64_t tag;         /* BDEV_TAG() */
	struct emu_seg *segs; /* EMU_WRITE: in order, covering the range */
	uint32_t nsegs;
	enum emu_mark mark; /* EMU_MARK */
	uint64_t mark_id;
	int64_t mark_val;
};

struct emu_log {
	struct emu_ent **ents;
	uint64_t n;
	uint64_t cap;
	uint64_t clock;  /* the last tick given out */
	uint32_t sector; /* 512 or 4096: what cannot tear */
};

void emu_log_free(struct emu_log *log);

/* Does sector number @i of @ent survive? Asked for writes that are not
 * durable. */
typedef bool (*emu_keep_fn)(void *ctx, const struct emu_ent *ent, uint32_t i);

/*
 * The image that a cut after tick @t leaves: @base, everything durable, and
 * what @keep chooses of the rest, in order of completion, what was still in
 * flight last. @keep NULL: nothing survives.
 */
UEXT4_MUST_CHECK int emu_log_build(const struct emu_log *log,
		const struct emu_img *base, uint64_t t, emu_keep_fn keep,
		void *ctx, struct emu_img **ret_img);

/* Put sector @i of @ent, or all of it, into @img. */
UEXT4_MUST_CHECK int emu_ent_apply_sector(const struct emu_ent *ent,
		struct emu_img *img, uint32_t sector, uint32_t i);
UEXT4_MUST_CHECK int emu_ent_apply(
		const struct emu_ent *ent, struct emu_img *img);

/* ---- the device ---- */

#define BDEV_EMU_F_NO_FUA 0x1u /* FUA becomes write and flush */
#define BDEV_EMU_F_ASYNC  0x2u /* complete in bdev_poll(), in random order */
#define BDEV_EMU_F_RDONLY 0x4u
#define BDEV_EMU_F_MAP    0x8u /* bdev_map() works; it is a copy of it all */

struct bdev_emu_opts {
	uint32_t flags;  /* BDEV_EMU_F_* */
	uint32_t sector; /* 0: 512 */
	uint64_t seed;   /* of the order of completion */
};

/* A device whose contents are a fork of @img. @opts may be NULL. */
UEXT4_MUST_CHECK int bdev_emu_open(const struct emu_img *img,
		const struct bdev_emu_opts *opts, struct bdev **ret_dev);

/* Forget an older log and begin a new one: what is there now is durable.
 * Nothing may be in flight. */
UEXT4_MUST_CHECK int bdev_emu_record(struct bdev *dev);
/* Stop recording; the caller frees both. -ENOENT: was not recording. Nothing
 * may be in flight, but for requests that a cut has killed. */
UEXT4_MUST_CHECK int bdev_emu_take_log(struct bdev *dev,
		struct emu_img **ret_base, struct emu_log **ret_log);
/* Record a mark; ignored when not recording. */
void bdev_emu_mark(
		struct bdev *dev, enum emu_mark mark, uint64_t id, int64_t val);

/* Forks of what a reader sees, and of what is durable by (E1); the latter is
 * -ENOENT when not recording. */
UEXT4_MUST_CHECK int bdev_emu_image(struct bdev *dev, struct emu_img **ret_img);
UEXT4_MUST_CHECK int bdev_emu_durable_image(
		struct bdev *dev, struct emu_img **ret_img);

/* ---- power ---- */

/* Now. What is held by the gate stays in flight. */
void bdev_emu_cut(struct bdev *dev);
/*
 * In the middle of the @n-th write-like request or flush from now (1: the
 * next): it fails, stays in flight in the log, and its first @sectors sectors
 * reach bdev_emu_image() as well.
 */
void bdev_emu_cut_at(struct bdev *dev, uint64_t n, uint32_t sectors);
bool bdev_emu_is_cut(struct bdev *dev);

/* ---- faults ---- */

#define EMU_OP(op) (1u << (op)) /* of enum bdev_op */
#define EMU_OP_CHANGING                                                        \
 (EMU_OP(BDEV_WRITE) | EMU_OP(BDEV_ZERO) | EMU_OP(BDEV_DISCARD))

struct emu_fault {
	uint32_t ops;   /* EMU_OP() mask; 0: every kind */
	uint32_t tags;  /* 1 << enum bdev_tag mask; 0: every tag */
	uint64_t pos;   /* requests that touch [pos, pos + len) */
	uint64_t len;   /* 0: anywhere */
	uint64_t nth;   /* the first one that fails; 0 and 1: the next */
	uint64_t count; /* how many fail from there; 0: all */
	int err;        /* -EIO, -ENOSPC ...; 0: acknowledged but lost */
};

#define EMU_FAULTS_MAX 8

/* -ENOSPC: EMU_FAULTS_MAX are set already. */
UEXT4_MUST_CHECK int bdev_emu_fault_add(
		struct bdev *dev, const struct emu_fault *fault);
void bdev_emu_fault_clear(struct bdev *dev);

/* Requests seen since open, by enum bdev_op, refused ones included. */
struct bdev_emu_stats {
	uint64_t ops[BDEV_OP_NR];
	uint64_t faults; /* how many a fault rule answered */
};

void bdev_emu_stats(struct bdev *dev, struct bdev_emu_stats *ret_stats);

/*
 * Call @gate for each request after it was submitted and before it takes
 * effect, in the submitting thread (BDEV_EMU_F_ASYNC: the polling one). It may
 * block, to hold a request while others pass, or sleep, as latency. NULL: off.
 * Set while nothing is in flight.
 */
void bdev_emu_set_gate(struct bdev *dev,
		void (*gate)(void *ctx, const struct bdev_io *io), void *ctx);

#endif /* UEXT4_BDEV_BDEV_EMU_H */
