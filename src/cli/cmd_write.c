/* SPDX-License-Identifier: MIT */
/*
 * uext4 write [-a] [-o OFFSET] IMAGE:/FILE: standard input into a file. The file
 * is emptied first, unless the bytes go to its end (-a) or to an offset.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

#define WRITE_BUF ((size_t)1 << 20)

struct write_ctx {
	bool append, at_offset;
	uint64_t offset;
	uint8_t *buf;
};

/* Up to a full buffer from standard input; short only at its end. */
static ssize_t read_input(uint8_t *buf)
{
	size_t have = 0;
	ssize_t n;

	while (have < WRITE_BUF) {
		n = read(STDIN_FILENO, buf + have, WRITE_BUF - have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		have += (size_t)n;
	}
	return (ssize_t)have;
}

static int write_piece(struct uext4_file *file, const uint8_t *buf, size_t len,
		uint64_t *pos)
{
	ssize_t n;

	while (len > 0) {
		n = uext4_pwrite(file, buf, len, *pos);
		if (n < 0)
			return (int)n;
		if (n == 0)
			return -EIO;
		buf += n;
		len -= (size_t)n;
		*pos += (uint64_t)n;
	}
	return 0;
}

/* The open file is filled; what is in it stays when something fails. */
static int write_input(struct cli_image *im, const char *path,
		struct uext4_file *file, const struct write_ctx *wc)
{
	uint64_t pos = wc->offset;
	struct uext4_stat st;
	ssize_t n;
	int ret;

	if (wc->append) {
		ret = uext4_node_stat(uext4_file_node(file), &st);
		if (ret < 0)
			return cli_image_err(im, path, ret);
		pos = st.size;
	}
	for (;;) {
		n = read_input(wc->buf);
		if (n < 0)
			return cli_err(im->c, NULL, "standard input", (int)n);
		if (n == 0)
			return CLI_OK;
		ret = write_piece(file, wc->buf, (size_t)n, &pos);
		if (ret < 0)
			return cli_image_err(im, path, ret);
	}
}

static int write_one(struct cli_image *im, const char *path, void *ctx)
{
	const struct write_ctx *wc = ctx;
	unsigned flags = UEXT4_O_WRONLY | UEXT4_O_CREAT;
	struct uext4_file *file;
	int ret;
	int err;

	if (!wc->append && !wc->at_offset)
		flags |= UEXT4_O_TRUNC;
	ret = uext4_open(im->fs, NULL, path, flags, cli_new_mode(0666), NULL,
			&file);
	if (ret < 0)
		return cli_image_err(im, path, ret);
	ret = write_input(im, path, file, wc);
	/* write-back may fail as well: ask before it is closed */
	err = uext4_fsync(file);
	if (ret == 0 && err < 0)
		ret = cli_image_err(im, path, err);
	err = uext4_close(file);
	if (ret == 0 && err < 0)
		ret = cli_image_err(im, path, err);
	return ret;
}

int cmd_write(struct cli *c, int argc, char **argv)
{
	struct write_ctx wc = { 0 };
	int opt;
	int ret;

	while ((opt = cli_getopt(c, argc, argv, ":ao:")) != -1) {
		if (opt == 'a') {
			wc.append = true;
		} else if (opt == 'o') {
			wc.at_offset = true;
			if (cli_parse_size(optarg, &wc.offset) < 0)
				return cli_bad_value(c, "offset", optarg);
		} else {
			return cli_usage(c);
		}
	}
	if (argc - optind != 1 || (wc.append && wc.at_offset))
		return cli_usage(c);
	wc.buf = malloc(WRITE_BUF);
	if (!wc.buf)
		return cli_err(c, NULL, NULL, -ENOMEM);
	ret = cli_each(c, argv + optind, 1, false, write_one, &wc);
	free(wc.buf);
	return ret;
}
