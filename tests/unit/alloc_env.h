/* SPDX-License-Identifier: MIT */
/*
 * An allocator on a real image: what the tests of src/alloc share.
 *
 *	env_make(&e, &profile);		mke2fs, then open
 *	env_start(&e, credits, &h); ... env_stop(h);
 *	env_reopen(&e);			sync, close, open
 *	env_fsck(&e);			sync, close, e2fsck -fn must be content
 *
 * The image is a file; the journal is that without a log, or after env_use_log()
 * the image's own.
 */
#ifndef UEXT4_TESTS_ALLOC_ENV_H
#define UEXT4_TESTS_ALLOC_ENV_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "alloc/alloc.h"
#include "base/log.h"
#include "disk/dsuper.h"
#include "disk/geo.h"
#include "journal/journal.h"
#include "journal/txn.h"

struct env_profile {
	const char *name;
	const char *args; /* of mke2fs */
	uint64_t mib;
	bool dirty; /* the device holds junk before */
};

struct env {
	char path[64];
	struct bdev *dev;
	struct buf_cache *cache;
	struct journal *journal;
	struct alloc *alloc;
	struct log log;
	struct geo geo;
	struct dsuper sb;
	char said[512]; /* the last message */
	bool read_only;
	bool use_log;
	struct journal_run *runs; /* of the log, in use_log mode */
	uint32_t nruns;
	int load; /* what alloc_load() said */
};

/* Twelve kinds of file systems. */
extern const struct env_profile env_profiles[];
extern const size_t env_nprofiles;

void env_make(struct env *e, const struct env_profile *p);
/* Open what stands at e->path; e->load tells the outcome. */
void env_open(struct env *e);
void env_close(struct env *e);
/* Go on with the journal of the image (closes and opens). */
void env_use_log(struct env *e);
/* Close after an abort: nothing more is written. */
void env_kill(struct env *e);
void env_reopen(struct env *e);
void env_fsck(struct env *e);
/* Remove the image (closed). */
void env_drop(struct env *e);

void env_start(struct env *e, uint32_t credits, struct handle **ret_h);
void env_stop(struct handle *h);
void env_sync(struct env *e);

/* What dumpe2fs says: one byte for each block and each inode, 1 if it is
 * used. For the caller to free. Syncs before. */
uint8_t *env_used_blocks(struct env *e);
uint8_t *env_used_inodes(struct env *e); /* index 0 is inode 1 */

/* Run a shell command with the path of the image for %s; its exit status. */
int env_shell(struct env *e, const char *fmt);
/* Change bytes of the closed or idle image. */
void env_poke(struct env *e, uint64_t pos, const void *bytes, size_t len);
void env_peek(struct env *e, uint64_t pos, void *bytes, size_t len);

#endif /* UEXT4_TESTS_ALLOC_ENV_H */
