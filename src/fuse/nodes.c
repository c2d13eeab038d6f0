/* SPDX-License-Identifier: MIT */
/*
 * The table of inodes that the kernel knows. See nodes.h.
 */
#include "fuse/nodes.h"

#include <errno.h>
#include <stdlib.h>

#include "uext4/uext4.h"

static int srv_node_cmp(const struct srv_node *a, const struct srv_node *b)
{
	return a->ino < b->ino ? -1 : a->ino > b->ino;
}

/* RB_GENERATE_STATIC() needs a word that only BSD's cdefs.h has. */
RB_GENERATE_INTERNAL(srv_node_tree, srv_node, link, srv_node_cmp,
		__attribute__((unused)) static)

static unsigned shard_of(uint32_t ino)
{
	return ino % NODES_SHARDS;
}

int nodes_init(struct nodes *t, struct uext4_fs *fs)
{
	struct uext4_node *root;
	unsigned i;
	int ret;

	t->root = NULL;
	for (i = 0; i < NODES_SHARDS; i++) {
		pthread_mutex_init(&t->shard[i].lock, NULL);
		RB_INIT(&t->shard[i].tree);
	}
	ret = uext4_node_root(fs, &root);
	if (ret < 0)
		return ret;
	t->root = nodes_told(t, root);
	return t->root ? 0 : -ENOMEM;
}

void nodes_fini(struct nodes *t)
{
	struct srv_node *sn;
	unsigned i;

	for (i = 0; i < NODES_SHARDS; i++) {
		while ((sn = RB_ROOT(&t->shard[i].tree)) != NULL) {
			RB_REMOVE(srv_node_tree, &t->shard[i].tree, sn);
			uext4_node_put(sn->node);
			free(sn);
		}
		pthread_mutex_destroy(&t->shard[i].lock);
	}
	t->root = NULL;
}

/* Of a number that is in no image: 0. */
static uint32_t ino_of(const struct nodes *t, uint64_t id)
{
	if (id == NODES_ROOT)
		return t->root->ino;
	return id <= UINT32_MAX ? (uint32_t)id : 0;
}

uint64_t nodes_id(const struct nodes *t, const struct srv_node *sn)
{
	return sn == t->root ? NODES_ROOT : sn->ino;
}

struct srv_node *nodes_find(struct nodes *t, uint64_t id)
{
	struct srv_node key = { .ino = ino_of(t, id) };
	unsigned i = shard_of(key.ino);
	struct srv_node *sn;

	if (id == NODES_ROOT)
		return t->root;
	pthread_mutex_lock(&t->shard[i].lock);
	sn = RB_FIND(srv_node_tree, &t->shard[i].tree, &key);
	pthread_mutex_unlock(&t->shard[i].lock);
	return sn;
}

int nodes_hold(struct nodes *t, struct uext4_fs *fs, uint64_t id,
		struct uext4_node **ret_node)
{
	struct srv_node key = { .ino = ino_of(t, id) };
	unsigned i = shard_of(key.ino);
	struct uext4_stat st;
	struct srv_node *sn;

	pthread_mutex_lock(&t->shard[i].lock);
	sn = RB_FIND(srv_node_tree, &t->shard[i].tree, &key);
	*ret_node = sn ? uext4_node_hold(sn->node) : NULL;
	pthread_mutex_unlock(&t->shard[i].lock);
	if (!*ret_node)
		return uext4_node_by_handle(fs, id, 0, ret_node);
	/* What is open the kernel knows: it asks for what it has let go of. */
	if (uext4_node_stat(*ret_node, &st) == 0 && st.nlink > 0)
		return 0;
	uext4_node_put(*ret_node);
	return -ESTALE;
}

struct srv_node *nodes_told(struct nodes *t, struct uext4_node *node)
{
	struct srv_node key = { .ino = uext4_node_ino(node) };
	unsigned i = shard_of(key.ino);
	struct srv_node *sn;
	bool known;

	pthread_mutex_lock(&t->shard[i].lock);
	sn = RB_FIND(srv_node_tree, &t->shard[i].tree, &key);
	known = sn != NULL;
	if (!known)
		sn = calloc(1, sizeof(*sn));
	if (sn && !known) {
		sn->node = node;
		sn->ino = key.ino;
		RB_INSERT(srv_node_tree, &t->shard[i].tree, sn);
	}
	if (sn)
		sn->nlookup++;
	pthread_mutex_unlock(&t->shard[i].lock);
	if (known || !sn)
		uext4_node_put(node);
	return sn;
}

void nodes_forget(struct nodes *t, uint64_t id, uint64_t n)
{
	struct srv_node key = { .ino = ino_of(t, id) };
	unsigned i = shard_of(key.ino);
	struct srv_node *sn;
	bool last = false;

	pthread_mutex_lock(&t->shard[i].lock);
	sn = RB_FIND(srv_node_tree, &t->shard[i].tree, &key);
	if (!sn)
		goto out_unlock;
	/* A kernel that gives back more than it was given gets no wrap. */
	sn->nlookup -= n < sn->nlookup ? n : sn->nlookup;
	if (sn == t->root && sn->nlookup == 0)
		sn->nlookup = 1;
	last = sn->nlookup == 0;
	if (last)
		RB_REMOVE(srv_node_tree, &t->shard[i].tree, sn);
out_unlock:
	pthread_mutex_unlock(&t->shard[i].lock);
	if (!last)
		return;
	uext4_node_put(sn->node);
	free(sn);
}
