/* SPDX-License-Identifier: MIT */
/*
 * Users and groups of the host under other numbers inside the image.
 *
 * So an ordinary user edits an image whose files belong to root: with
 * "idmap=root" the user who mounts is root inside, and root's files are shown
 * as his. Ranges say it in general: HOST:IMAGE[:COUNT], several joined by '+'.
 *
 * Rules  What no range covers maps to itself, unless a range has taken that
 *        number on the other side: it is then shown as nobody (65534), and
 *        cannot be set (-EOVERFLOW).
 */
#ifndef UEXT4_FUSE_IDMAP_H
#define UEXT4_FUSE_IDMAP_H

#include <stdbool.h>
#include <stdint.h>

#define IDMAP_RANGES 16
#define IDMAP_NOBODY 65534u
#define IDMAP_NONE   UINT32_MAX

struct idmap {
	unsigned n;
	struct {
		uint32_t host, image, count;
	} range[IDMAP_RANGES];
};

/* -EINVAL for what is no list of ranges, or overlaps; -E2BIG for too many. */
int idmap_parse(struct idmap *m, const char *text);
/* One number. -E2BIG, -EINVAL if either side is mapped already. */
int idmap_add(struct idmap *m, uint32_t host, uint32_t image, uint32_t count);
/* IDMAP_NONE: has no number in the image. */
uint32_t idmap_to_image(const struct idmap *m, uint32_t host);
/* IDMAP_NOBODY: has none on the host. */
uint32_t idmap_to_host(const struct idmap *m, uint32_t image);

#endif /* UEXT4_FUSE_IDMAP_H */
