/* SPDX-License-Identifier: MIT */
/*
 * A tree as sorted text, one line a name, taken through the library, through
 * the checker's reader, or from a mounted directory; equal trees have equal
 * text. A line: path, inode, type and mode, owner, links, size, device, mtime,
 * ctime, checksum of the bytes or of the target, attributes.
 */
#ifndef UEXT4_TESTS_FS_SNAP_H
#define UEXT4_TESTS_FS_SNAP_H

#include <stdbool.h>
#include <stddef.h>

#include "check/check.h"
#include "uext4/uext4.h"

struct snap {
	char **line;
	size_t n, room;
	int err; /* the first one; the tree is not whole then */
};

#define SNAP_ACLS       0x1u /* values of ACLs too (the checker has them raw) */
#define SNAP_NO_INO     0x2u /* without inode numbers and ctime: for copies */
#define SNAP_NO_TIMES   0x4u /* for trees made at different times */
#define SNAP_ONLY_BYTES 0x8u /* path, type, size and bytes alone */

void snap_api(struct uext4_fs *fs, unsigned flags, struct snap *ret_snap);
void snap_check(const struct check_dev *dev, unsigned flags,
		struct snap *ret_snap);
/* lost+found is read like all others. */
void snap_posix(const char *dir, unsigned flags, struct snap *ret_snap);
void snap_free(struct snap *s);
/* True if equal; prints the first differences. */
bool snap_equal(const struct snap *a, const struct snap *b, const char *what);

#endif
