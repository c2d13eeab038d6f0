/* SPDX-License-Identifier: MIT */
/*
 * A table of revoked blocks: block number -> transaction id.
 *
 * Each transaction has one, of the blocks that were metadata and were freed in
 * it; its commit writes them to revoke blocks. Recovery has one of the whole
 * log, with the latest revoking transaction of each block.
 */
#ifndef UEXT4_JOURNAL_REVOKE_H
#define UEXT4_JOURNAL_REVOKE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/hmap.h"
#include "base/types.h"

struct revoke_rec {
	struct hmap_node node; /* key: block number */
	txid_t txid;
};

struct revoke_tab {
	struct hmap map;
};

int revoke_tab_init(struct revoke_tab *t) UEXT4_MUST_CHECK;
void revoke_tab_fini(struct revoke_tab *t);
/* Note that @txid revokes @pblk; the later id wins. -ENOMEM. Returns 1 if the
 * block was not in the table before. */
int revoke_add(struct revoke_tab *t, pblk_t pblk, txid_t txid);
/* The block is metadata again. True if it was in the table. */
bool revoke_cancel(struct revoke_tab *t, pblk_t pblk);
/* May the copy of @pblk in transaction @txid not be replayed? */
bool revoke_covers(const struct revoke_tab *t, pblk_t pblk, txid_t txid);

static inline size_t revoke_count(const struct revoke_tab *t)
{
	return hmap_count(&t->map);
}

#endif /* UEXT4_JOURNAL_REVOKE_H */
