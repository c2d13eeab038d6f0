/* SPDX-License-Identifier: MIT */
/*
 * What stands below the map floor, in memory: an allocator, handles and bufs
 * for the tests of trees.
 *
 * It takes the place of alloc.h, txn.h and buf.h as far as the map floor calls
 * them, and is stricter than the real ones:
 *   - handle_get_write() always moves buf->data and frees the old memory;
 *   - a buf that is changed without handle_get_write() is noticed;
 *   - a handle that dirties more blocks than it has credits for is noticed;
 *   - a block freed in a handle is reusable only after fake_stop();
 *   - after each handle, bufs lose their "verified" mark now and then;
 *   - any call can be told to fail.
 */
#ifndef UEXT4_TESTS_UNIT_FAKE_FLOOR_H
#define UEXT4_TESTS_UNIT_FAKE_FLOOR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/types.h"
#include "disk/geo.h"
#include "map/map.h"

enum fake_use {
	FAKE_FREE,
	FAKE_DATA,
	FAKE_NODE,
	FAKE_SYSTEM,
	FAKE_PENDING, /* freed, its handle is still open */
};

enum fake_call {
	FAKE_ALLOC,      /* alloc_blocks(): -ENOSPC */
	FAKE_FREE_RUN,   /* alloc_free(): -EIO */
	FAKE_READ,       /* buf_read(): -EIO */
	FAKE_GET_WRITE,  /* handle_get_write(): -EIO */
	FAKE_GET_CREATE, /* handle_get_create(), buf_get_noread(): -ENOMEM */
	FAKE_CALLS,
};

struct fake;

struct fake_params {
	uint32_t block_size;
	uint64_t blocks;
	uint32_t bpg;
	bool has_csum;
	uint64_t seed;
};

struct fake *fake_new(const struct fake_params *p);
void fake_free(struct fake *f);
struct geo *fake_geo(struct fake *f);
/* A mapping on it; fini with fake_mapping_fini(). */
void fake_mapping_init(struct fake *f, struct mapping *m, uint8_t root[60],
		bool is_extents);
/* How long runs are that the allocator likes to give: 1 is all fragments. */
void fake_set_runs(struct fake *f, uint32_t max_run, bool obey_goal);
/* Let the @nth call of that kind (1 is the next) fail; 0: none. */
void fake_fail(struct fake *f, enum fake_call call, unsigned nth);
bool fake_has_failed(struct fake *f);

struct handle *fake_start(struct fake *f, uint32_t credits);
/* Asserts that credits were enough. */
void fake_stop(struct fake *f);
/* End the handle without looking at all blocks: others may be reading. Freed
 * data blocks are free, freed node blocks stay as they are. */
void fake_reopen(struct fake *f);
/* Let handle_extend() answer -EAGAIN. */
void fake_set_no_extend(struct fake *f, bool no_extend);

enum fake_use fake_use(struct fake *f, pblk_t pblk);
void fake_set_use(struct fake *f, pblk_t pblk, uint32_t len, enum fake_use use);
/* A free run of exactly @len blocks, marked as data. */
pblk_t fake_take(struct fake *f, uint32_t len);
uint64_t fake_count(struct fake *f, enum fake_use use);
/* The bytes of a block; NULL if nothing was ever there. */
uint8_t *fake_block(struct fake *f, pblk_t pblk);
/* Make @pblk a block with these bytes, to be read and checked anew. */
void fake_poke(struct fake *f, pblk_t pblk, const void *data);
/* As if another owner had verified it. */
void fake_set_verified(struct fake *f, pblk_t pblk);
/* References held on bufs. */
uint32_t fake_refs(struct fake *f);
uint32_t fake_dirty_calls(struct fake *f);
uint64_t fake_rand(struct fake *f, uint64_t n);

#endif /* UEXT4_TESTS_UNIT_FAKE_FLOOR_H */
