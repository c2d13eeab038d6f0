/* SPDX-License-Identifier: MIT */
/*
 * Files with several names, found again by (device, inode): a red-black tree.
 */
#include <bsd/sys/tree.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/copy.h"

struct link_node {
	RB_ENTRY(link_node) node;
	uint64_t dev, ino;
	char *path;
};

static int link_cmp(const struct link_node *a, const struct link_node *b)
{
	if (a->dev != b->dev)
		return a->dev < b->dev ? -1 : 1;
	return a->ino < b->ino ? -1 : a->ino > b->ino;
}

RB_HEAD(link_tree, link_node);
/* RB_GENERATE_STATIC() needs a word that only BSD's cdefs.h has. */
RB_GENERATE_INTERNAL(link_tree, link_node, node, link_cmp,
		static __attribute__((unused)))

struct link_map {
	struct link_tree tree;
};

struct link_map *link_map_new(void)
{
	struct link_map *m = calloc(1, sizeof(*m));

	if (m)
		RB_INIT(&m->tree);
	return m;
}

void link_map_free(struct link_map *m)
{
	struct link_node *n;

	if (!m)
		return;
	while ((n = RB_MIN(link_tree, &m->tree)) != NULL) {
		RB_REMOVE(link_tree, &m->tree, n);
		free(n->path);
		free(n);
	}
	free(m);
}

const char *link_map_find(struct link_map *m, uint64_t dev, uint64_t ino)
{
	struct link_node key = { .dev = dev, .ino = ino };
	struct link_node *n = RB_FIND(link_tree, &m->tree, &key);

	return n ? n->path : NULL;
}

int link_map_add(struct link_map *m, uint64_t dev, uint64_t ino,
		const char *path)
{
	struct link_node *n = calloc(1, sizeof(*n));

	if (!n)
		return -ENOMEM;
	n->dev = dev;
	n->ino = ino;
	n->path = strdup(path);
	if (!n->path) {
		free(n);
		return -ENOMEM;
	}
	if (RB_INSERT(link_tree, &m->tree, n)) { /* there already */
		free(n->path);
		free(n);
	}
	return 0;
}
