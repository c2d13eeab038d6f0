/* SPDX-License-Identifier: MIT */
/*
 * Where something goes in an image: "into this directory" or "under this name",
 * as mv, ln and cp decide it, and how a new object takes an old one's place.
 */
#ifndef UEXT4_CLI_PLACE_H
#define UEXT4_CLI_PLACE_H

#include "cli/cli.h"

struct place {
	struct uext4_node *dir; /* held */
	char name[UEXT4_NAME_MAX + 1];
	char *path; /* owned, for messages */
};

/* @path as a target: if it is a directory and @own is not NULL, the last name of
 * @own in it, or itself under the name "." if @own is that.
 * Else the name that it ends in; with @must_dir -ENOTDIR (or -ENOENT). */
int place_find(struct uext4_fs *fs, const char *path, const char *own,
		bool must_dir, struct place *ret_p);
/* @path itself, which need not be there; a symlink in the last place is meant. */
int place_name(struct uext4_fs *fs, const char *path, struct place *ret_p);
void place_free(struct place *p);

/* The last name of @path, in @ret (NAME_MAX + 1 bytes); -EINVAL if it has none:
 * "/", "." and "..". -ENAMETOOLONG. */
int place_last_name(const char *path, char *ret);

/* A name that is not in @dir, for a thing on its way: ".uext4-new.N". */
int place_temp_name(struct uext4_node *dir, char *ret_name);

#endif /* UEXT4_CLI_PLACE_H */
