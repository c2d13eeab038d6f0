/* SPDX-License-Identifier: MIT */
/*
 * uext4 ln [-s] [-f] TARGET IMAGE:/NAME: a further name of a file, or with -s a
 * symlink that holds TARGET letter by letter. TARGET of a hard link is a path in
 * the same image, written with or without it.
 */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/place.h"

struct ln_ctx {
	bool symbolic, force;
	const char *target; /* text, or path in the image */
};

/* Make the link called @name. */
static int ln_make(struct uext4_node *dir, const char *name,
		const struct ln_ctx *lc, struct uext4_node *old)
{
	if (lc->symbolic)
		return uext4_symlink(dir, name, lc->target, NULL, NULL);
	return uext4_link(old, dir, name, NULL);
}

/* -f: the old one is replaced in one step, or stays. */
static int ln_replace(struct place *p, const struct ln_ctx *lc,
		struct uext4_node *old)
{
	char temp[UEXT4_NAME_MAX + 1];
	int ret;

	ret = place_temp_name(p->dir, temp);
	if (ret == 0)
		ret = ln_make(p->dir, temp, lc, old);
	if (ret < 0)
		return ret;
	ret = uext4_rename(p->dir, temp, p->dir, p->name, 0, NULL);
	/* two names of one inode: the rename did nothing */
	(void)uext4_unlink(p->dir, temp, NULL);
	return ret;
}

static int ln_one(struct cli_image *im, const char *path, void *ctx)
{
	const struct ln_ctx *lc = ctx;
	struct uext4_node *old = NULL;
	struct place p;
	int ret;

	if (!lc->symbolic) {
		ret = uext4_resolve(im->fs, NULL, lc->target, UEXT4_NOFOLLOW,
				NULL, &old);
		if (ret < 0)
			return cli_image_err(im, lc->target, ret);
	}
	ret = place_find(im->fs, path, lc->target, false, &p);
	if (ret < 0) {
		uext4_node_put(old);
		return cli_image_err(im, path, ret);
	}
	ret = ln_make(p.dir, p.name, lc, old);
	if (ret == -EEXIST && lc->force)
		ret = ln_replace(&p, lc, old);
	if (ret == -EPERM && old)
		ret = cli_errf(im->c,
				"%s:%s: cannot have a second name (a "
				"directory, or immutable)",
				im->name, lc->target);
	else if (ret < 0)
		ret = cli_image_err(im, p.path, ret);
	place_free(&p);
	uext4_node_put(old);
	return ret;
}

/* Hard link: the target's path, if it is in the image of @link or in none. */
static int ln_hard(struct cli *c, struct ln_ctx *lc, char **args)
{
	struct cli_target from;
	struct cli_target to;
	int ret;

	if (cli_target_parse(args[0], &from) < 0)
		return cli_err(c, NULL, args[0], -ENOMEM);
	if (cli_target_parse(args[1], &to) < 0) {
		cli_target_free(&from);
		return cli_err(c, NULL, args[1], -ENOMEM);
	}
	if (from.image && to.image && strcmp(from.image, to.image) != 0) {
		ret = cli_errf(c,
				"%s and %s are not in one image; a hard link "
				"cannot leave its file system",
				args[0], args[1]);
	} else {
		lc->target = from.path;
		ret = cli_each(c, args + 1, 1, false, ln_one, lc);
	}
	cli_target_free(&from);
	cli_target_free(&to);
	return ret;
}

int cmd_ln(struct cli *c, int argc, char **argv)
{
	struct ln_ctx lc = { 0 };
	int opt;

	while ((opt = cli_getopt(c, argc, argv, ":sf")) != -1) {
		if (opt == 's')
			lc.symbolic = true;
		else if (opt == 'f')
			lc.force = true;
		else
			return cli_usage(c);
	}
	if (argc - optind != 2)
		return cli_usage(c);
	if (!lc.symbolic)
		return ln_hard(c, &lc, argv + optind);
	lc.target = argv[optind];
	return cli_each(c, argv + optind + 1, 1, false, ln_one, &lc);
}
