/* SPDX-License-Identifier: MIT */
/*
 * uext4 cp [-r] SOURCE... TARGET: between the host and one image. As with cp(1)
 * a target that is a directory takes the sources under their own names; with
 * one source a target that is not there becomes the copy.
 */
#include <errno.h>
#include <getopt.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "cli/copy.h"

static int cp_init(struct copy *cp, struct cli *c)
{
	cp->c = c;
	cp->links = link_map_new();
	if (!cp->links ||
			posix_memalign((void **)&cp->buf, COPY_ALIGN,
					COPY_BUF) != 0) {
		link_map_free(cp->links);
		return cli_errf(c, "out of memory");
	}
	return 0;
}

static void cp_fini(struct copy *cp)
{
	link_map_free(cp->links);
	free(cp->buf);
}

/* The last name of a host path; "." and "/" have none. */
static const char *last_name(char *path)
{
	const char *name = basename(path);

	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
			strcmp(name, "/") == 0)
		return NULL;
	return name;
}

/* ---- in ---- */

/* @t->path in the image: an existing directory (into it), or a new name. */
static int in_one(struct copy *cp, const char *src, const struct cli_target *t,
		bool many)
{
	char name[UEXT4_NAME_MAX + 1];
	struct uext4_node *dir;
	struct uext4_stat st;
	char *copy = strdup(src);
	const char *own;
	char *dst = NULL;
	int ret;

	if (!copy)
		return cli_errf(cp->c, "out of memory");
	own = last_name(copy);
	ret = uext4_resolve(cp->fs, NULL, t->path, 0, NULL, &dir);
	if (ret == 0)
		ret = uext4_node_stat(dir, &st);
	if (ret == 0 && S_ISDIR(st.mode) && own) {
		if (asprintf(&dst, "%s/%s", strcmp(t->path, "/") ? t->path : "",
				    own) < 0)
			ret = -ENOMEM;
	} else if ((ret == 0 || ret == -ENOENT) && !many) {
		if (ret == 0)
			uext4_node_put(dir);
		ret = uext4_resolve_parent(
				cp->fs, NULL, t->path, NULL, name, &dir);
		own = name;
		dst = strdup(t->path);
	} else if (ret == 0) {
		uext4_node_put(dir);
		ret = -ENOTDIR;
	}
	if (ret < 0)
		ret = cli_err(cp->c, t->image, t->path, ret);
	else
		ret = copy_in(cp, src, dir, own, dst);
	if (ret == 0 || dst)
		uext4_node_put(dir);
	free(dst);
	free(copy);
	return ret;
}

static int cp_in(struct copy *cp, char **srcs, int n, struct cli_target *t)
{
	uint64_t files = 0;
	uint64_t bytes = 0;
	int i;
	int ret;

	cp->image = t->image;
	ret = cli_mount(cp->c, t->image, false, &cp->fs);
	if (ret != 0)
		return ret;
	if (progress_wanted(cp->c)) {
		for (i = 0; i < n; i++)
			copy_in_count(srcs[i], &files, &bytes);
	}
	progress_start(&cp->progress, progress_wanted(cp->c), files, bytes);
	for (i = 0; i < n; i++)
		(void)in_one(cp, srcs[i], t, n > 1);
	progress_end(&cp->progress);
	cli_unmount(cp->c, t->image, cp->fs);
	return cp->c->status;
}

/* ---- out ---- */

static int out_one(struct copy *cp, struct cli_target *src, const char *dst,
		bool many)
{
	struct uext4_node *node;
	char *copy = strdup(src->path);
	const char *own;
	struct stat st;
	char *to = NULL;
	int ret;

	if (!copy)
		return cli_errf(cp->c, "out of memory");
	own = last_name(copy);
	ret = uext4_resolve(
			cp->fs, NULL, src->path, UEXT4_NOFOLLOW, NULL, &node);
	if (ret < 0) {
		free(copy);
		return cli_err(cp->c, src->image, src->path, ret);
	}
	if (stat(dst, &st) == 0 && S_ISDIR(st.st_mode) && own)
		ret = asprintf(&to, "%s/%s", dst, own) < 0 ? -ENOMEM : 0;
	else if (many)
		ret = -ENOTDIR;
	else
		to = strdup(dst);
	if (ret == 0)
		ret = copy_out(cp, node, src->path, to);
	else
		ret = cli_err(cp->c, NULL, dst, ret);
	uext4_node_put(node);
	free(to);
	free(copy);
	return ret;
}

static int cp_out(struct copy *cp, char **srcs, int n, const char *dst)
{
	struct cli_target t;
	struct uext4_statfs sf;
	int i;
	int ret;

	ret = cli_target_parse(srcs[0], &t);
	if (ret < 0)
		return cli_err(cp->c, NULL, srcs[0], ret);
	cp->image = t.image;
	ret = cli_mount(cp->c, t.image, true, &cp->fs);
	if (ret != 0) {
		cli_target_free(&t);
		return ret;
	}
	if (uext4_statfs(cp->fs, &sf) == 0)
		progress_start(&cp->progress, progress_wanted(cp->c),
				sf.inodes - sf.free_inodes,
				(sf.blocks - sf.free_blocks) * sf.block_size);
	for (i = 0; i < n; i++) {
		struct cli_target s;

		ret = cli_target_parse(srcs[i], &s);
		if (ret == 0 && (!s.image || strcmp(s.image, t.image) != 0))
			(void)cli_errf(cp->c,
					"%s: all sources must be in the "
					"same image as the first",
					srcs[i]);
		else if (ret == 0)
			(void)out_one(cp, &s, dst, n > 1);
		if (ret == 0)
			cli_target_free(&s);
	}
	progress_end(&cp->progress);
	cli_unmount(cp->c, t.image, cp->fs);
	cli_target_free(&t);
	return cp->c->status;
}

/* ---- the command ---- */

static void print_stats(void)
{
	struct rusage ru;

	if (getrusage(RUSAGE_SELF, &ru) == 0)
		fprintf(stderr,
				"peak memory %ld KiB, user %ld.%03ld s, system "
				"%ld.%03ld s\n",
				ru.ru_maxrss, (long)ru.ru_utime.tv_sec,
				(long)ru.ru_utime.tv_usec / 1000,
				(long)ru.ru_stime.tv_sec,
				(long)ru.ru_stime.tv_usec / 1000);
}

static int cp_run(struct copy *cp, char **args, int n)
{
	struct cli_target dst;
	struct cli_target src;
	int ret;

	ret = cli_target_parse(args[n - 1], &dst);
	if (ret < 0)
		return cli_err(cp->c, NULL, args[n - 1], ret);
	ret = cli_target_parse(args[0], &src);
	if (ret < 0) {
		cli_target_free(&dst);
		return cli_err(cp->c, NULL, args[0], ret);
	}
	if (dst.image && !src.image)
		ret = cp_in(cp, args, n - 1, &dst);
	else if (!dst.image && src.image)
		ret = cp_out(cp, args, n - 1, args[n - 1]);
	else if (dst.image)
		ret = cli_errf(cp->c,
				"copies inside or between images are not "
				"supported; copy to the host first");
	else
		ret = cli_errf(cp->c,
				"neither side is in an image; write it "
				"as IMAGE:/path");
	cli_target_free(&src);
	cli_target_free(&dst);
	return ret;
}

int cmd_cp(struct cli *c, int argc, char **argv)
{
	struct copy cp = { 0 };
	int opt;
	int ret;

	/* one thread parses the command line */
	while ((opt = getopt(argc, argv, "ra")) !=
			-1) { /* NOLINT(concurrency-mt-unsafe) */
		if (opt != 'r' && opt != 'a')
			return cli_usage(c);
		cp.recursive = true;
	}
	if (argc - optind < 2)
		return cli_usage(c);
	ret = cp_init(&cp, c);
	if (ret != 0)
		return ret;
	ret = cp_run(&cp, argv + optind, argc - optind);
	cp_fini(&cp);
	if (c->stats)
		print_stats();
	return ret;
}
