/* SPDX-License-Identifier: MIT */
/*
 * A tree inside an image, visited without recursion.
 *
 * The directory that is being listed may be changed by the visitor: its names
 * are read before the first of them is visited. A directory is entered once;
 * one that is met again means a damaged image and is not followed.
 */
#ifndef UEXT4_CLI_WALK_H
#define UEXT4_CLI_WALK_H

#include <stddef.h>

#include "cli/cli.h"

/* Names one after the other, each terminated. */
struct name_list {
	char *text; /* owned */
	size_t len, cap;
	bool odd; /* some could not be names and are left out */
};
/* One more, which is neither "." nor ".."; -ENOMEM. */
int name_list_add(struct name_list *l, const char *name, size_t len);
/* All names of @dir but "." and "..". */
int name_list_read(struct uext4_node *dir, struct name_list *ret_l);
void name_list_free(struct name_list *l);

struct walk_at {
	struct cli_image *im;
	struct uext4_node *dir; /* that holds the name; NULL: the start */
	const char *name;
	const char *path; /* for messages */
	struct uext4_node *node;
	struct uext4_stat st;
};

struct walk_ops {
	/* Each object, directories before what they hold. 0: go on (into a
	 * directory), else not. NULL: go on. */
	int (*before)(void *ctx, const struct walk_at *at);
	/* Each directory that was entered, after what it holds. May be NULL. */
	int (*after)(void *ctx, const struct walk_at *at);
};

/* Visit @node at @path, and what is below it. @dir, @name: where it is, for the
 * visitor; may be NULL. Errors are printed. Returns the command's status. */
int walk_tree(struct cli_image *im, const char *path, struct uext4_node *dir,
		const char *name, struct uext4_node *node,
		const struct walk_ops *ops, void *ctx);

#endif /* UEXT4_CLI_WALK_H */
