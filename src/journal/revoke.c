/* SPDX-License-Identifier: MIT */
/*
 * The table of revoked blocks; see revoke.h.
 */
#include "journal/revoke.h"

#include <stdlib.h>

static struct revoke_rec *revoke_find(const struct revoke_tab *t, pblk_t pblk)
{
	struct hmap_node *n = hmap_find(&t->map, pblk);

	return n != NULL ? container_of(n, struct revoke_rec, node) : NULL;
}

int revoke_tab_init(struct revoke_tab *t)
{
	return hmap_init(&t->map, 0);
}

void revoke_tab_fini(struct revoke_tab *t)
{
	struct hmap_node *n, *next;

	for (n = hmap_first(&t->map); n != NULL; n = next) {
		next = hmap_next(&t->map, n);
		free(container_of(n, struct revoke_rec, node));
	}
	hmap_fini(&t->map);
}

int revoke_add(struct revoke_tab *t, pblk_t pblk, txid_t txid)
{
	struct revoke_rec *r = revoke_find(t, pblk);

	if (r != NULL) {
		if (txid_is_before(r->txid, txid))
			r->txid = txid;
		return 0;
	}
	r = malloc(sizeof(*r));
	if (r == NULL)
		return -ENOMEM;
	r->txid = txid;
	hmap_insert(&t->map, &r->node, pblk);
	return 1;
}

bool revoke_cancel(struct revoke_tab *t, pblk_t pblk)
{
	struct revoke_rec *r;

	if (revoke_count(t) == 0)
		return false;
	r = revoke_find(t, pblk);
	if (r == NULL)
		return false;
	hmap_remove(&t->map, &r->node);
	free(r);
	return true;
}

bool revoke_covers(const struct revoke_tab *t, pblk_t pblk, txid_t txid)
{
	const struct revoke_rec *r = revoke_find(t, pblk);

	return r != NULL && !txid_is_before(r->txid, txid);
}
