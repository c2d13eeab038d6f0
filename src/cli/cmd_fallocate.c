/* SPDX-License-Identifier: MIT */
/*
 * uext4 fallocate [-n] [-p|-z] [-o OFFSET] -l LENGTH IMAGE:/FILE: allocate the
 * range (the file is created if it is not there), make it a hole, or zero it.
 */
#include <errno.h>
#include <getopt.h>

#include "cli/cli.h"

struct fallocate_ctx {
	unsigned mode;
	uint64_t pos, len;
};

static int fallocate_one(struct cli_image *im, const char *path, void *ctx)
{
	const struct fallocate_ctx *fc = ctx;
	bool punch = fc->mode & UEXT4_FALLOC_PUNCH_HOLE;
	unsigned flags = UEXT4_O_RDWR | (punch ? 0 : UEXT4_O_CREAT);
	struct uext4_file *file;
	int ret;
	int err;

	ret = uext4_open(im->fs, NULL, path, flags, cli_new_mode(0666), NULL,
			&file);
	if (ret < 0)
		return cli_image_err(im, path, ret);
	ret = uext4_fallocate(file, fc->mode, fc->pos, fc->len);
	err = uext4_close(file);
	if (ret == -EOPNOTSUPP)
		return cli_errf(im->c,
				"%s:%s: a file without extents has no "
				"unwritten blocks; write the zeroes instead",
				im->name, path);
	if (ret == 0)
		ret = err;
	return ret < 0 ? cli_image_err(im, path, ret) : CLI_OK;
}

int cmd_fallocate(struct cli *c, int argc, char **argv)
{
	struct fallocate_ctx fc = { 0 };
	bool punch = false;
	bool zero = false;
	int opt;

	while ((opt = cli_getopt(c, argc, argv, ":npzo:l:")) != -1) {
		if (opt == 'n')
			fc.mode |= UEXT4_FALLOC_KEEP_SIZE;
		else if (opt == 'p')
			punch = true;
		else if (opt == 'z')
			zero = true;
		else if (opt == 'o' && cli_parse_size(optarg, &fc.pos) < 0)
			return cli_bad_value(c, "offset", optarg);
		else if (opt == 'l' && cli_parse_size(optarg, &fc.len) < 0)
			return cli_bad_value(c, "length", optarg);
		else if (opt != 'o' && opt != 'l')
			return cli_usage(c);
	}
	if (fc.len == 0 || (punch && zero) || argc - optind != 1)
		return cli_usage(c);
	if (punch)
		fc.mode |= UEXT4_FALLOC_PUNCH_HOLE | UEXT4_FALLOC_KEEP_SIZE;
	if (zero)
		fc.mode |= UEXT4_FALLOC_ZERO_RANGE;
	return cli_each(c, argv + optind, 1, false, fallocate_one, &fc);
}
