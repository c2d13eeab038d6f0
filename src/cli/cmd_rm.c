/* SPDX-License-Identifier: MIT */
/*
 * uext4 rm [-rfd] IMAGE:/PATH...: names are removed, symlinks never followed.
 */
#include <errno.h>
#include <getopt.h>
#include <sys/stat.h>

#include "cli/cli.h"
#include "cli/walk.h"

struct rm_ctx {
	bool recursive, force, dirs;
};

static int rm_before(void *ctx, const struct walk_at *at)
{
	int ret;

	if (S_ISDIR(at->st.mode))
		return 0;
	ret = uext4_unlink(at->dir, at->name, NULL);
	if (ret < 0)
		(void)cli_image_err(at->im, at->path, ret);
	return 0;
}

static int rm_after(void *ctx, const struct walk_at *at)
{
	int ret = uext4_rmdir(at->dir, at->name, NULL);

	/* what is left inside has been told */
	if (ret == -ENOTEMPTY && at->im->c->status != CLI_OK)
		return 0;
	if (ret < 0)
		(void)cli_image_err(at->im, at->path, ret);
	return 0;
}

/* The name @name of @dir, which is @node. */
static int rm_node(struct cli_image *im, const char *path,
		const struct rm_ctx *rc, struct uext4_node *dir,
		const char *name, struct uext4_node *node)
{
	static const struct walk_ops ops = {
		.before = rm_before,
		.after = rm_after,
	};
	struct uext4_stat st;
	int ret;

	ret = uext4_node_stat(node, &st);
	if (ret < 0)
		return cli_image_err(im, path, ret);
	if (S_ISDIR(st.mode) && rc->recursive)
		return walk_tree(im, path, dir, name, node, &ops, NULL);
	if (S_ISDIR(st.mode) && !rc->dirs)
		return cli_errf(im->c,
				"%s:%s: is a directory; remove it with -r",
				im->name, path);
	if (S_ISDIR(st.mode))
		ret = uext4_rmdir(dir, name, NULL);
	else
		ret = uext4_unlink(dir, name, NULL);
	return ret < 0 ? cli_image_err(im, path, ret) : CLI_OK;
}

static int rm_one(struct cli_image *im, const char *path, void *ctx)
{
	const struct rm_ctx *rc = ctx;
	char name[UEXT4_NAME_MAX + 1];
	struct uext4_node *node;
	struct uext4_node *dir;
	int ret;

	ret = uext4_resolve_parent(im->fs, NULL, path, NULL, name, &dir);
	if (ret == -EBUSY)
		return cli_errf(im->c, "%s:%s: the root cannot be removed",
				im->name, path);
	if (ret == 0 && name[0] == '.' &&
			(name[1] == '\0' ||
					(name[1] == '.' && name[2] == '\0'))) {
		uext4_node_put(dir);
		return cli_errf(im->c,
				"%s:%s: a path that ends in . or .. cannot be "
				"removed; give the directory's name",
				im->name, path);
	}
	if (ret == 0) {
		ret = uext4_lookup(dir, name, NULL, &node);
		if (ret == 0) {
			ret = rm_node(im, path, rc, dir, name, node);
			uext4_node_put(node);
		} else if (ret != -ENOENT || !rc->force) {
			ret = cli_image_err(im, path, ret);
		}
		uext4_node_put(dir);
		return ret;
	}
	if (rc->force && (ret == -ENOENT || ret == -ENOTDIR))
		return CLI_OK;
	return cli_image_err(im, path, ret);
}

int cmd_rm(struct cli *c, int argc, char **argv)
{
	struct rm_ctx rc = { 0 };
	int opt;

	while ((opt = cli_getopt(c, argc, argv, ":rRfd")) != -1) {
		if (opt == 'r' || opt == 'R')
			rc.recursive = true;
		else if (opt == 'f')
			rc.force = true;
		else if (opt == 'd')
			rc.dirs = true;
		else
			return cli_usage(c);
	}
	if (argc - optind < 1)
		return rc.force && argc > 1 ? CLI_OK : cli_usage(c);
	return cli_each(c, argv + optind, argc - optind, false, rm_one, &rc);
}
