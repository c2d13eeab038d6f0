/* SPDX-License-Identifier: MIT */
/*
 * uext4 chmod [-R] MODE IMAGE:/PATH...: symlinks in the last place are followed,
 * those met by -R are left alone.
 */
#include <errno.h>
#include <getopt.h>
#include <sys/stat.h>

#include "cli/cli.h"
#include "cli/mode.h"
#include "cli/walk.h"

struct chmod_ctx {
	bool recursive;
	const char *mode;
};

static int chmod_node(void *ctx, const struct walk_at *at)
{
	const struct chmod_ctx *cc = ctx;
	struct uext4_setattr a = { .mask = UEXT4_SET_MODE };
	int ret;

	if (S_ISLNK(at->st.mode))
		return 0;
	ret = mode_change(cc->mode, at->st.mode, S_ISDIR(at->st.mode), &a.mode);
	if (ret == 0)
		ret = uext4_node_setattr(at->node, &a, NULL);
	if (ret < 0)
		(void)cli_image_err(at->im, at->path, ret);
	return 0;
}

static int chmod_one(struct cli_image *im, const char *path, void *ctx)
{
	static const struct walk_ops ops = { .before = chmod_node };
	const struct chmod_ctx *cc = ctx;
	struct walk_at at = { .im = im, .path = path };
	int ret;

	ret = uext4_resolve(im->fs, NULL, path, 0, NULL, &at.node);
	if (ret < 0)
		return cli_image_err(im, path, ret);
	if (cc->recursive)
		ret = walk_tree(im, path, NULL, NULL, at.node, &ops, ctx);
	else if ((ret = uext4_node_stat(at.node, &at.st)) < 0)
		ret = cli_image_err(im, path, ret);
	else
		ret = chmod_node(ctx, &at);
	uext4_node_put(at.node);
	return ret;
}

int cmd_chmod(struct cli *c, int argc, char **argv)
{
	struct chmod_ctx cc = { 0 };
	uint32_t mode;
	int opt;

	/* "-w" is a mode that looks like an option: "--" before it */
	while ((opt = cli_getopt(c, argc, argv, "+:R")) != -1) {
		if (opt != 'R')
			return cli_usage(c);
		cc.recursive = true;
	}
	if (argc - optind < 2)
		return cli_usage(c);
	cc.mode = argv[optind++];
	if (mode_change(cc.mode, 0, false, &mode) < 0)
		return cli_bad_value(c, "mode", cc.mode);
	return cli_each(c, argv + optind, argc - optind, false, chmod_one, &cc);
}
