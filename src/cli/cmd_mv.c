/* SPDX-License-Identifier: MIT */
/*
 * uext4 mv [-n] [-x] IMAGE:/OLD... IMAGE:/NEW: into NEW if that is a directory,
 * else under that name. -n leaves an existing NEW alone, -x swaps the two.
 */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/place.h"

struct mv_ctx {
	unsigned flags;
	bool many;
	const char *to; /* path in the image */
};

static int mv_to(struct cli_image *im, const char *old,
		const struct place *from, const struct place *to,
		unsigned flags)
{
	int ret;

	ret = uext4_rename(
			from->dir, from->name, to->dir, to->name, flags, NULL);
	if (ret == -EINVAL)
		return cli_errf(im->c,
				"%s:%s: cannot go to %s, which is below it",
				im->name, old, to->path);
	if (ret == -ENOENT)
		return cli_image_err(im, old, ret);
	return ret < 0 ? cli_image_err(im, to->path, ret) : CLI_OK;
}

static int mv_one(struct cli_image *im, const char *old, void *ctx)
{
	const struct mv_ctx *mc = ctx;
	bool swap = mc->flags & UEXT4_RENAME_EXCHANGE;
	struct place from;
	struct place to;
	int ret;

	ret = place_name(im->fs, old, &from);
	if (ret < 0)
		return cli_image_err(im, old, ret);
	/* the two of an exchange are meant themselves */
	ret = swap ? place_name(im->fs, mc->to, &to)
		   : place_find(im->fs, mc->to, old, mc->many, &to);
	if (ret < 0) {
		place_free(&from);
		return cli_image_err(im, mc->to, ret);
	}
	ret = mv_to(im, old, &from, &to, mc->flags);
	place_free(&from);
	place_free(&to);
	return ret;
}

static bool same_image(const char *a, const char *image)
{
	struct cli_target t;
	bool same;

	if (cli_target_parse(a, &t) < 0)
		return false;
	same = t.image && strcmp(t.image, image) == 0;
	cli_target_free(&t);
	return same;
}

static int mv_run(struct cli *c, struct mv_ctx *mc, char **args, int n)
{
	struct cli_target to;
	int ret;
	int i;

	ret = cli_target_parse(args[n - 1], &to);
	if (ret < 0)
		return cli_err(c, NULL, args[n - 1], ret);
	for (i = 0; ret == 0 && i < n - 1; i++) {
		if (!to.image || !same_image(args[i], to.image))
			ret = cli_errf(c,
					"%s and %s are not in one image; "
					"copy with cp and remove with rm",
					args[i], args[n - 1]);
	}
	mc->to = to.path;
	mc->many = n > 2;
	if (ret == 0)
		ret = cli_each(c, args, n - 1, false, mv_one, mc);
	cli_target_free(&to);
	return ret;
}

int cmd_mv(struct cli *c, int argc, char **argv)
{
	struct mv_ctx mc = { 0 };
	int opt;

	while ((opt = cli_getopt(c, argc, argv, ":nx")) != -1) {
		if (opt == 'n')
			mc.flags |= UEXT4_RENAME_NOREPLACE;
		else if (opt == 'x')
			mc.flags |= UEXT4_RENAME_EXCHANGE;
		else
			return cli_usage(c);
	}
	if (argc - optind < 2)
		return cli_usage(c);
	if (mc.flags == (UEXT4_RENAME_NOREPLACE | UEXT4_RENAME_EXCHANGE) ||
			((mc.flags & UEXT4_RENAME_EXCHANGE) &&
					argc - optind != 2))
		return cli_usage(c);
	return mv_run(c, &mc, argv + optind, argc - optind);
}
