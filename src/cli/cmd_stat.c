/* SPDX-License-Identifier: MIT */
/*
 * uext4 stat IMAGE:/PATH...: all attributes of an inode. A symlink in the last
 * place is itself meant, unless -L says otherwise.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/cli.h"
#include "cli/show.h"

struct stat_ctx {
	unsigned flags;
	struct json_list list;
};

/* The target of a symlink, terminated, of its true length. */
static ssize_t read_target(struct uext4_node *node, char *buf, size_t size)
{
	ssize_t n = uext4_node_readlink(node, buf, size - 1);

	if (n >= 0)
		buf[n] = '\0';
	return n;
}

static void print_time(const char *what, const struct timespec *ts)
{
	char text[64] = "-";

	if (ts)
		show_time(ts, true, text);
	printf("%-8s%s\n", what, text);
}

static void print_stat(const char *path, const struct uext4_stat *st,
		const char *target)
{
	bool born = st->btime.tv_sec != 0 || st->btime.tv_nsec != 0;
	char mode[11];

	show_mode(st->mode, mode);
	printf("%-8s", "path");
	show_name(stdout, path, strlen(path));
	if (target) {
		fputs(" -> ", stdout);
		show_name(stdout, target, strlen(target));
	}
	printf("\n%-8s%s\n", "type", show_type(st->mode));
	printf("%-8s%" PRIu32 " (generation %" PRIu32 ")\n", "inode", st->ino,
			st->generation);
	printf("%-8s%04o (%s)\n", "mode", st->mode & 07777, mode);
	printf("%-8suid %" PRIu32 ", gid %" PRIu32 "\n", "owner", st->uid,
			st->gid);
	printf("%-8s%" PRIu32 "\n", "links", st->nlink);
	if (S_ISCHR(st->mode) || S_ISBLK(st->mode))
		printf("%-8s%" PRIu32 ":%" PRIu32 "\n", "device",
				st->rdev_major, st->rdev_minor);
	printf("%-8s%" PRIu64 " bytes in %" PRIu64
	       " sectors of 512 bytes, block size %" PRIu32 "\n",
			"size", st->size, st->sectors, st->block_size);
	printf("%-8s0x%" PRIx32 "\n", "flags", st->flags);
	print_time("access", &st->atime);
	print_time("modify", &st->mtime);
	print_time("change", &st->ctime);
	print_time("birth", born ? &st->btime : NULL);
}

static int show_stat(struct cli_image *im, struct stat_ctx *sc,
		const char *path, struct uext4_node *node)
{
	char target[UEXT4_PATH_MAX + 1];
	struct uext4_stat st;
	bool link;
	json_t *o;
	int ret;

	ret = uext4_node_stat(node, &st);
	if (ret < 0)
		return cli_image_err(im, path, ret);
	link = S_ISLNK(st.mode);
	if (link) {
		ssize_t n = read_target(node, target, sizeof(target));

		if (n < 0)
			return cli_image_err(im, path, (int)n);
	}
	if (!im->c->json) {
		print_stat(path, &st, link ? target : NULL);
		return CLI_OK;
	}
	o = json_of_stat(&st);
	json_set_text(o, "path", path, strlen(path));
	json_set_int(o, "block_size", st.block_size);
	if (link)
		json_set_text(o, "target", target, strlen(target));
	json_list_add(&sc->list, o);
	return CLI_OK;
}

static int stat_one(struct cli_image *im, const char *path, void *ctx)
{
	struct stat_ctx *sc = ctx;
	struct uext4_node *node;
	int ret;

	ret = uext4_resolve(im->fs, NULL, path, sc->flags, NULL, &node);
	if (ret < 0)
		return cli_image_err(im, path, ret);
	ret = show_stat(im, sc, path, node);
	uext4_node_put(node);
	return ret;
}

int cmd_stat(struct cli *c, int argc, char **argv)
{
	struct stat_ctx sc = { .flags = UEXT4_NOFOLLOW };
	int opt;
	int ret;

	while ((opt = cli_getopt(c, argc, argv, ":L")) != -1) {
		if (opt != 'L')
			return cli_usage(c);
		sc.flags = 0;
	}
	if (argc - optind < 1)
		return cli_usage(c);
	if (c->json)
		json_list_start(&sc.list);
	ret = cli_each(c, argv + optind, argc - optind, true, stat_one, &sc);
	if (c->json)
		json_list_end(&sc.list);
	return ret;
}
