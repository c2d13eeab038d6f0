/* SPDX-License-Identifier: MIT */
/*
 * uext4 cat IMAGE:/FILE...: contents to standard output.
 */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/cli.h"

#define CAT_BUF   ((size_t)1 << 20)
#define CAT_ALIGN 4096u

/* All of it to standard output; -errno. */
static int put_all(const char *buf, size_t len)
{
	ssize_t n;

	while (len > 0) {
		n = write(STDOUT_FILENO, buf, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		buf += n;
		len -= (size_t)n;
	}
	return 0;
}

static int cat_file(struct cli_image *im, const char *path,
		struct uext4_file *file, char *buf)
{
	uint64_t pos = 0;
	ssize_t n;
	int ret;

	for (;;) {
		n = uext4_pread(file, buf, CAT_BUF, pos);
		if (n < 0)
			return cli_image_err(im, path, (int)n);
		if (n == 0)
			return CLI_OK;
		ret = put_all(buf, (size_t)n);
		if (ret < 0)
			return cli_err(im->c, NULL, "standard output", ret);
		pos += (uint64_t)n;
		/* only the end of the file is not aligned */
		if (pos % CAT_ALIGN != 0)
			return CLI_OK;
	}
}

static int cat_one(struct cli_image *im, const char *path, void *ctx)
{
	unsigned flags = UEXT4_O_RDONLY | UEXT4_O_NOATIME;
	struct uext4_file *file;
	int ret;
	int err;

	if (!im->c->cached)
		flags |= UEXT4_O_DIRECT;
	ret = uext4_open(im->fs, NULL, path, flags, 0, NULL, &file);
	if (ret < 0)
		return cli_image_err(im, path, ret);
	ret = cat_file(im, path, file, ctx);
	err = uext4_close(file);
	if (ret == 0 && err < 0)
		ret = cli_image_err(im, path, err);
	return ret;
}

int cmd_cat(struct cli *c, int argc, char **argv)
{
	void *buf;
	int ret;

	if (cli_getopt(c, argc, argv, ":") != -1 || argc - optind < 1)
		return cli_usage(c);
	if (posix_memalign(&buf, CAT_ALIGN, CAT_BUF) != 0)
		return cli_err(c, NULL, NULL, -ENOMEM);
	ret = cli_each(c, argv + optind, argc - optind, true, cat_one, buf);
	free(buf);
	return ret;
}
