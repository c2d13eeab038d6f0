/* SPDX-License-Identifier: MIT */
/*
 * uext4 mkdir [-p] [-m MODE] IMAGE:/DIR...
 */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/cli.h"
#include "cli/mode.h"

struct mkdir_ctx {
	bool parents;
	uint32_t mode;   /* of the last directory */
	bool exact;      /* -m: to the bit, whatever the parent says */
	uint32_t middle; /* of those on the way */
};

static int make_last(struct cli_image *im, const char *path,
		const struct mkdir_ctx *mc)
{
	struct uext4_setattr a = {
		.mask = UEXT4_SET_MODE,
		.mode = mc->mode,
	};
	char name[UEXT4_NAME_MAX + 1];
	struct uext4_node *node;
	struct uext4_node *dir;
	int ret;

	ret = uext4_resolve_parent(im->fs, NULL, path, NULL, name, &dir);
	if (ret < 0)
		return ret == -EBUSY ? -EEXIST : ret;
	ret = uext4_mkdir(dir, name, mc->mode, NULL, &node);
	uext4_node_put(dir);
	if (ret < 0)
		return ret;
	if (mc->exact)
		ret = uext4_node_setattr(node, &a, NULL);
	uext4_node_put(node);
	return ret;
}

/* Is there a directory at @path? 0, or the error. */
static int have_dir(struct cli_image *im, const char *path)
{
	struct uext4_node *node;
	struct uext4_stat st;
	int ret;

	ret = uext4_resolve(im->fs, NULL, path, 0, NULL, &node);
	if (ret < 0)
		return ret;
	ret = uext4_node_stat(node, &st);
	uext4_node_put(node);
	if (ret < 0)
		return ret;
	return S_ISDIR(st.mode) ? 0 : -ENOTDIR;
}

/* Make what is missing on the way to @path, and @path. */
static int make_all(struct cli_image *im, const char *path,
		const struct mkdir_ctx *mc)
{
	struct mkdir_ctx middle = { .mode = mc->middle };
	char *part = strdup(path);
	char *at;
	int ret = 0;

	if (!part)
		return -ENOMEM;
	for (at = part + strspn(part, "/"); ret == 0 && *at != '\0';) {
		bool last;
		char *end = at + strcspn(at, "/");
		char *next = end + strspn(end, "/");

		last = *next == '\0';
		*end = '\0';
		ret = have_dir(im, part);
		if (ret == -ENOENT)
			ret = make_last(im, part, last ? mc : &middle);
		if (!last)
			*end = '/';
		at = next;
	}
	free(part);
	return ret;
}

static int mkdir_one(struct cli_image *im, const char *path, void *ctx)
{
	const struct mkdir_ctx *mc = ctx;
	int ret;

	ret = mc->parents ? make_all(im, path, mc) : make_last(im, path, mc);
	return ret < 0 ? cli_image_err(im, path, ret) : CLI_OK;
}

int cmd_mkdir(struct cli *c, int argc, char **argv)
{
	struct mkdir_ctx mc = {
		.mode = cli_new_mode(0777),
		.middle = cli_new_mode(0777) | 0300,
	};
	int opt;

	while ((opt = cli_getopt(c, argc, argv, ":pm:")) != -1) {
		if (opt == 'p') {
			mc.parents = true;
		} else if (opt == 'm') {
			mc.exact = true;
			if (mode_change(optarg, 0777, true, &mc.mode) < 0)
				return cli_bad_value(c, "mode", optarg);
		} else {
			return cli_usage(c);
		}
	}
	if (argc - optind < 1)
		return cli_usage(c);
	return cli_each(c, argv + optind, argc - optind, false, mkdir_one, &mc);
}
