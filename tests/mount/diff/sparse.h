/* SPDX-License-Identifier: MIT */
/*
 * Two answers to SEEK_DATA or SEEK_HOLE that are not the same.
 *
 * What is data is a file system's own to say, as long as a hole reads as
 * zeros. The kernel's ext4 takes space that was allocated but never written
 * for a hole unless some of it happens to be in the page cache, and so its
 * answer depends on what was read ahead. Ours may be the better one: fewer
 * zeros called data.
 */
#ifndef MOUNT_DIFF_SPARSE_H
#define MOUNT_DIFF_SPARSE_H

#include "side.h"

bool sparse_is_seek(const struct dop *op);
/* Is @ob, of @b, right and closer than @oa? */
bool sparse_is_closer(const struct side *b, const struct dop *op,
		const struct outcome *oa, const struct outcome *ob);

#endif /* MOUNT_DIFF_SPARSE_H */
