/* SPDX-License-Identifier: MIT */
/*
 * A red-black tree by (device, inode). See link_map.h.
 */
#include "cli/link_map.h"

#include <bsd/sys/tree.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct link_node {
	RB_ENTRY(link_node) node;
	uint64_t dev, ino;
	struct link_to to;
	char *path; /* owned: to.path */
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

/* clang-tidy cannot see that what was inserted is found again.
 * NOLINTBEGIN(clang-analyzer-unix.Malloc) */
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

static void link_node_free(struct link_node *n)
{
	free(n->path);
	free(n);
}

void link_map_free(struct link_map *m)
{
	struct link_node *n;

	if (!m)
		return;
	while ((n = RB_MIN(link_tree, &m->tree)) != NULL) {
		RB_REMOVE(link_tree, &m->tree, n);
		link_node_free(n);
	}
	free(m);
}

const struct link_to *link_map_find(
		struct link_map *m, uint64_t dev, uint64_t ino)
{
	struct link_node key = { .dev = dev, .ino = ino };
	struct link_node *n = RB_FIND(link_tree, &m->tree, &key);

	return n ? &n->to : NULL;
}

int link_map_add(struct link_map *m, uint64_t dev, uint64_t ino,
		const struct link_to *to)
{
	struct link_node *n = calloc(1, sizeof(*n));
	struct link_node *old;

	if (!n)
		return -ENOMEM;
	n->dev = dev;
	n->ino = ino;
	n->to = *to;
	if (to->path) {
		n->path = strdup(to->path);
		n->to.path = n->path;
		if (!n->path) {
			free(n);
			return -ENOMEM;
		}
	}
	old = RB_FIND(link_tree, &m->tree, n);
	if (old) {
		RB_REMOVE(link_tree, &m->tree, old);
		link_node_free(old);
	}
	RB_INSERT(link_tree, &m->tree, n);
	return 0;
}
/* NOLINTEND(clang-analyzer-unix.Malloc) */
