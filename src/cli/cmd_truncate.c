/* SPDX-License-Identifier: MIT */
/*
 * uext4 truncate [-c] -s SIZE IMAGE:/FILE...: the length, a file that is not there
 * is created unless -c.
 */
#include <errno.h>
#include <getopt.h>

#include "cli/cli.h"

struct truncate_ctx {
	bool no_create, have_size;
	uint64_t size;
};

static int truncate_one(struct cli_image *im, const char *path, void *ctx)
{
	const struct truncate_ctx *tc = ctx;
	unsigned flags = UEXT4_O_WRONLY;
	struct uext4_file *file;
	int ret;
	int err;

	if (!tc->no_create)
		flags |= UEXT4_O_CREAT;
	ret = uext4_open(im->fs, NULL, path, flags, cli_new_mode(0666), NULL,
			&file);
	if (ret == -ENOENT && tc->no_create)
		return CLI_OK;
	if (ret < 0)
		return cli_image_err(im, path, ret);
	ret = uext4_ftruncate(file, tc->size);
	err = uext4_close(file);
	if (ret == 0)
		ret = err;
	return ret < 0 ? cli_image_err(im, path, ret) : CLI_OK;
}

int cmd_truncate(struct cli *c, int argc, char **argv)
{
	struct truncate_ctx tc = { 0 };
	int opt;

	while ((opt = cli_getopt(c, argc, argv, ":cs:")) != -1) {
		if (opt == 'c') {
			tc.no_create = true;
		} else if (opt == 's') {
			tc.have_size = true;
			if (cli_parse_size(optarg, &tc.size) < 0)
				return cli_bad_value(c, "size", optarg);
		} else {
			return cli_usage(c);
		}
	}
	if (!tc.have_size || argc - optind < 1)
		return cli_usage(c);
	return cli_each(c, argv + optind, argc - optind, false, truncate_one,
			&tc);
}
