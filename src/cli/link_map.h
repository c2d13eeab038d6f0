/* SPDX-License-Identifier: MIT */
/*
 * Files with several names, found again by (device, inode): where the first one
 * went.
 */
#ifndef UEXT4_CLI_LINK_MAP_H
#define UEXT4_CLI_LINK_MAP_H

#include <stdint.h>

struct link_to {
	const char *path;  /* of the copy, as messages have it; may be NULL */
	uint64_t dev, ino; /* of the copy */
};

struct link_map;
struct link_map *link_map_new(void);
void link_map_free(struct link_map *m);
/* What was stored for (dev, ino), or NULL. */
const struct link_to *link_map_find(
		struct link_map *m, uint64_t dev, uint64_t ino);
/* Store, or replace. @to->path is copied. -ENOMEM. */
int link_map_add(struct link_map *m, uint64_t dev, uint64_t ino,
		const struct link_to *to);

#endif /* UEXT4_CLI_LINK_MAP_H */
