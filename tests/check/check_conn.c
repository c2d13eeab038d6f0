/* SPDX-License-Identifier: MIT */
/*
 * Passes 3 and 4: every directory hangs from the root and ".." says so; every
 * inode has as many names as it counts.
 */
#include "check/check_int.h"

#include <errno.h>

/*
 * Climb from @ino to something known to hang from the root. Parents are
 * unique, so a climb longer than the number of directories is a loop (K2).
 */
static bool conn_reach(struct ck *c, uint32_t ino)
{
	uint32_t steps = 0;
	uint32_t at = ino;

	while (at && !(ck_ino(c, at)->flags & CK_INO_REACH)) {
		if (steps++ > c->ndirs)
			return false;
		at = ck_ino(c, at)->parent;
	}
	if (at == 0)
		return false;
	for (at = ino; !(ck_ino(c, at)->flags & CK_INO_REACH);
			at = ck_ino(c, at)->parent)
		ck_ino(c, at)->flags |= CK_INO_REACH;
	return true;
}

static void conn_dirs(struct ck *c)
{
	struct ck_ino *root = ck_ino(c, CK_ROOT_INO);

	if (root->type != CK_FT_DIR) {
		ck_problem(c, "pass3: there is no root directory");
		return;
	}
	root->flags |= CK_INO_REACH;
	root->parent = CK_ROOT_INO;
	for (uint32_t i = 0; i < c->ndirs; i++) {
		uint32_t ino = c->dirs[i].ino;
		const struct ck_ino *info = ck_ino(c, ino);

		if (info->flags & CK_INO_ORPHAN)
			continue;
		if (!conn_reach(c, ino))
			ck_problem(c, "pass3: directory %u is not connected",
					ino);
		else if (info->dotdot != info->parent)
			ck_problem(c, "pass3: directory %u: '..' is %u, not %u",
					ino, info->dotdot, info->parent);
	}
}

static void conn_links(struct ck *c, uint32_t ino)
{
	const struct ck_ino *info = ck_ino(c, ino);
	uint32_t found = info->found;

	if ((info->flags & CK_INO_ORPHAN) && info->links == 0)
		return; /* the names of an orphan directory are its own */
	if (found == 0) {
		ck_problem(c, "pass4: inode %u has no name", ino);
		return;
	}
	/* dir_nlink: a directory too full for 16 bits says 1. */
	if (info->type == CK_FT_DIR && info->links == 1 && found > 65000 &&
			ck_ro(c, CK_RO_DIR_NLINK))
		return;
	if (found != info->links)
		ck_problem(c, "pass4: inode %u: %u links, not %u", ino,
				info->links, found);
}

int ck_connect(struct ck *c)
{
	conn_dirs(c);
	for (uint32_t ino = 1; ino <= c->inodes; ino++) {
		uint8_t flags = ck_ino(c, ino)->flags;

		if ((flags & CK_INO_USED) && !(flags & CK_INO_HIDDEN))
			conn_links(c, ino);
	}
	return 0;
}
