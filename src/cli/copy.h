/* SPDX-License-Identifier: MIT */
/*
 * Copies between the host and an image, and inside images: cp_in.c, cp_out.c.
 *
 * A copy goes on after an error in one file; what was copied before stays
 * whole, and the file that failed is removed again. Everything is preserved:
 * mode, owner, times to the nanosecond, attributes, hard links, holes.
 */
#ifndef UEXT4_CLI_COPY_H
#define UEXT4_CLI_COPY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "cli/cli.h"

/* Files with several names: where the first one went. */
struct link_map;
struct link_map *link_map_new(void);
void link_map_free(struct link_map *m);
/* The text stored for (dev, ino), or NULL. */
const char *link_map_find(struct link_map *m, uint64_t dev, uint64_t ino);
/* -ENOMEM. @path is copied. */
int link_map_add(struct link_map *m, uint64_t dev, uint64_t ino,
		const char *path);

#define COPY_BUF   ((size_t)4 << 20)
#define COPY_ALIGN 4096u

struct copy {
	struct cli *c;
	bool recursive;
	bool force;        /* replace existing files: always so for plain cp */
	const char *image; /* for messages */
	struct uext4_fs *fs;
	struct link_map *links;
	uint8_t *buf; /* COPY_BUF bytes, aligned */
	struct progress progress;
	bool warned_owner, warned_xattr; /* said once */
};

/* Copy the host's @src (absolute or relative to the cwd) to @name in @dir. */
int copy_in(struct copy *cp, const char *src, struct uext4_node *dir,
		const char *name, const char *dst_path);
/* Copy @node (at @src_path) to the host's @dst. */
int copy_out(struct copy *cp, struct uext4_node *node, const char *src_path,
		const char *dst);

/* Count what a copy will move, for the progress bar. */
void copy_in_count(const char *src, uint64_t *files, uint64_t *bytes);

#endif /* UEXT4_CLI_COPY_H */
