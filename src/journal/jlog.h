/* SPDX-License-Identifier: MIT */
/*
 * The log as a row of numbered blocks, wherever the file system keeps them.
 *
 * Log block 0 is the journal superblock; [first, last) is the ring that
 * transactions are written to, the fast-commit area is behind last (which stays
 * unused). The runs of the journal file are copied at open and never change.
 */
#ifndef UEXT4_JOURNAL_JLOG_H
#define UEXT4_JOURNAL_JLOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/types.h"
#include "journal/journal.h"

struct bdev;

struct jlog {
	struct bdev *dev;         /* [const] */
	uint32_t block_size;      /* [const] */
	struct journal_run *runs; /* [const] */
	uint32_t *starts;         /* [const] log block of each run's begin */
	uint32_t nruns;           /* [const] */
	uint32_t blocks;          /* [const] sum of the runs */
	uint32_t first, last;     /* [const] the ring is [first, last) */
};

/* -EUCLEAN if the runs are empty, overflow or leave [0, fs_blocks). */
int jlog_init(struct jlog *l, const struct journal_params *p);
void jlog_fini(struct jlog *l);

static inline uint32_t jlog_size(const struct jlog *l)
{
	return l->last - l->first;
}

/* @n blocks on from ring position @pos; n <= jlog_size(). */
static inline uint32_t jlog_advance(
		const struct jlog *l, uint32_t pos, uint32_t n)
{
	uint64_t p = (uint64_t)pos + n;

	return (uint32_t)(p >= l->last ? p - jlog_size(l) : p);
}

/* Does file system block @pblk belong to the journal? */
bool jlog_has_pblk(const struct jlog *l, pblk_t pblk);
/* Read @n blocks from @pos, without wrapping. */
int jlog_read(const struct jlog *l, uint32_t pos, void *buf, uint32_t n);
/* Write @n blocks from @pos, wrapping at the end of the ring, in as few
 * requests as possible. @flags BDEV_F_*. */
int jlog_write(const struct jlog *l, uint32_t pos, const void *const *blocks,
		uint32_t n, uint32_t flags, uint64_t tag);

#endif /* UEXT4_JOURNAL_JLOG_H */
