/* SPDX-License-Identifier: MIT */
/*
 * uext4 cp [-r] SOURCE... TARGET: between the host and an image, between images,
 * or inside one. As with cp(1) a target that is a directory takes the sources
 * under their own names; with one source a target that is not there becomes the
 * copy. A source without a name of its own (".", "/") goes into the target
 * itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/copy.h"
#include "cli/place.h"

/* The sources, all of the host or all of one image, and the target. */
struct cp_args {
	struct cli_target *src;
	int n;
	struct cli_target dst;
};

/* Where one copy goes. */
struct cp_place {
	struct copy_obj dir;
	char name[NAME_MAX + 1];
	char *path; /* owned */
};

/* The last name of a path, or NULL: "/", "." and ".." have none. */
static const char *own_name(const char *path, char *buf)
{
	return place_last_name(path, buf) == 0 ? buf : NULL;
}

/* ---- places on the host ---- */

static int host_dir(const char *path, const char *name, struct cp_place *ret_p)
{
	ret_p->dir = (struct copy_obj){
		.fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
	};
	if (ret_p->dir.fd < 0)
		return -errno;
	snprintf(ret_p->name, sizeof(ret_p->name), "%s", name);
	return 0;
}

/* The directory of @path, which is not there or is no directory. */
static int host_named(const char *path, struct cp_place *ret_p)
{
	char name[NAME_MAX + 1];
	char *parent;
	char *cut;
	int ret;

	ret = place_last_name(path, name);
	if (ret < 0)
		return ret == -EINVAL ? -ENOENT : ret;
	parent = strdup(path);
	if (!parent)
		return -ENOMEM;
	for (cut = parent + strlen(parent); cut > parent && cut[-1] == '/';)
		cut--;
	while (cut > parent && cut[-1] != '/')
		cut--;
	*cut = '\0';
	ret = host_dir(parent[0] ? parent : ".", name, ret_p);
	free(parent);
	return ret;
}

static int host_place(const char *path, const char *own, bool many,
		struct cp_place *ret_p)
{
	struct stat st;
	int ret;

	ret_p->path = NULL;
	if (stat(path, &st) < 0) {
		if ((errno != ENOENT && errno != ELOOP) || many)
			return -errno;
		ret = host_named(path, ret_p);
	} else if (S_ISDIR(st.st_mode)) {
		ret = host_dir(path, own ? own : ".", ret_p);
		if (ret == 0 && own &&
				asprintf(&ret_p->path, "%s/%s", path, own) < 0)
			ret = -ENOMEM;
	} else {
		ret = many ? -ENOTDIR : host_named(path, ret_p);
	}
	if (ret == 0 && !ret_p->path) {
		ret_p->path = strdup(path);
		if (!ret_p->path)
			ret = -ENOMEM;
	}
	return ret;
}

/* ---- places in an image ---- */

static int image_place(struct uext4_fs *fs, const char *path, const char *own,
		bool many, struct cp_place *ret_p)
{
	struct place p;
	int ret;

	ret = place_find(fs, path, own ? own : ".", many, &p);
	if (ret < 0)
		return ret;
	ret_p->dir = (struct copy_obj){ .fd = -1, .node = p.dir };
	snprintf(ret_p->name, sizeof(ret_p->name), "%s", p.name);
	ret_p->path = p.path;
	return 0;
}

/* Where a source is: its directory and its name, or itself and ".". */
static int image_source(struct uext4_fs *fs, const char *path,
		struct copy_obj *ret_dir, char *ret_name)
{
	size_t len = strlen(path);
	char own[UEXT4_NAME_MAX + 1];

	*ret_dir = (struct copy_obj){ .fd = -1 };
	if (own_name(path, own) && path[len - 1] != '/')
		return uext4_resolve_parent(
				fs, NULL, path, NULL, ret_name, &ret_dir->node);
	memcpy(ret_name, ".", 2);
	return uext4_resolve(fs, NULL, path, 0, NULL, &ret_dir->node);
}

/* ---- one source ---- */

static void cp_place_free(struct cp_place *p)
{
	if (p->dir.fd >= 0)
		close(p->dir.fd);
	uext4_node_put(p->dir.node);
	free(p->path);
}

static void cp_from_host(struct copy *cp, const struct cli_target *src,
		struct cp_place *to)
{
	static const struct copy_obj cwd = { .fd = AT_FDCWD };

	copy_tree(cp, &cwd, src->path, src->path, &to->dir, to->name, to->path);
}

static void cp_from_image(struct copy *cp, const struct cli_target *src,
		struct cp_place *to)
{
	char name[UEXT4_NAME_MAX + 1];
	struct copy_obj dir;
	int ret;

	ret = image_source(cp->from_fs, src->path, &dir, name);
	if (ret < 0) {
		(void)cli_err(cp->c, src->image, src->path, ret);
		return;
	}
	copy_tree(cp, &dir, name, src->path, &to->dir, to->name, to->path);
	uext4_node_put(dir.node);
}

static void cp_one(struct copy *cp, const struct cp_args *a, int i)
{
	struct cp_place to = { .dir = { .fd = -1 } };
	const struct cli_target *dst = &a->dst;
	char buf[NAME_MAX + 1];
	const char *own = own_name(a->src[i].path, buf);
	int ret;

	if (cp->to_fs)
		ret = image_place(cp->to_fs, dst->path, own, a->n > 1, &to);
	else
		ret = host_place(dst->path, own, a->n > 1, &to);
	if (ret < 0)
		(void)cli_err(cp->c, dst->image, dst->path, ret);
	else if (cp->from_fs)
		cp_from_image(cp, &a->src[i], &to);
	else
		cp_from_host(cp, &a->src[i], &to);
	cp_place_free(&to);
}

/* ---- all of them ---- */

static bool is_same_file(const char *a, const char *b)
{
	struct stat x;
	struct stat y;

	return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev &&
			x.st_ino == y.st_ino;
}

/* Mount what takes part. An image that is both ends is mounted once. */
static int cp_mount(struct copy *cp, const struct cp_args *a)
{
	const char *src = a->src[0].image;
	const char *dst = a->dst.image;
	const char *image = dst ? dst : src;
	struct stat st;
	int ret = 0;

	cp->from = src ? &copy_from_image : &copy_from_host;
	cp->to = dst ? &copy_to_image : &copy_to_host;
	cp->from_image = src;
	cp->to_image = dst;
	if (image && stat(image, &st) == 0) {
		cp->image_dev = st.st_dev;
		cp->image_ino = st.st_ino;
	}
	if (dst)
		ret = cli_mount(cp->c, dst, false, &cp->to_fs);
	if (ret != 0 || !src)
		return ret;
	if (dst && is_same_file(src, dst)) {
		cp->from_fs = cp->to_fs;
		return 0;
	}
	ret = cli_mount(cp->c, src, true, &cp->from_fs);
	if (ret != 0 && dst)
		cli_unmount(cp->c, dst, cp->to_fs);
	return ret;
}

static void cp_unmount(struct copy *cp)
{
	if (cp->from_fs && cp->from_fs != cp->to_fs)
		cli_unmount(cp->c, cp->from_image, cp->from_fs);
	if (cp->to_fs)
		cli_unmount(cp->c, cp->to_image, cp->to_fs);
}

static void cp_progress(struct copy *cp, const struct cp_args *a)
{
	bool wanted = progress_wanted(cp->c);
	struct uext4_statfs sf;
	uint64_t files = 0;
	uint64_t bytes = 0;
	int i;

	for (i = 0; wanted && !cp->from_fs && i < a->n; i++)
		copy_count_host(a->src[i].path, &files, &bytes);
	if (wanted && cp->from_fs && uext4_statfs(cp->from_fs, &sf) == 0) {
		files = sf.inodes - sf.free_inodes;
		bytes = (sf.blocks - sf.free_blocks) * sf.block_size;
	}
	progress_start(&cp->progress, wanted, files, bytes);
	cp->c->bar = wanted;
}

static int cp_all(struct copy *cp, const struct cp_args *a)
{
	int ret;
	int i;

	ret = cp_mount(cp, a);
	if (ret != 0)
		return ret;
	cp_progress(cp, a);
	for (i = 0; i < a->n && !cp->stop; i++)
		cp_one(cp, a, i);
	progress_end(&cp->progress);
	cp->c->bar = false;
	cp_unmount(cp);
	return cp->c->status;
}

/* ---- the command ---- */

/* A second source of the same name would take the place of the first. */
static bool names_are_unique(struct cli *c, const struct cp_args *a)
{
	char x[NAME_MAX + 1];
	char y[NAME_MAX + 1];
	int i;
	int j;

	for (i = 1; i < a->n; i++) {
		if (!own_name(a->src[i].path, x))
			continue;
		for (j = 0; j < i; j++) {
			if (!own_name(a->src[j].path, y) || strcmp(x, y) != 0)
				continue;
			(void)cli_errf(c,
					"%s and %s would both become %s; copy "
					"them one by one",
					a->src[j].path, a->src[i].path, x);
			return false;
		}
	}
	return true;
}

static bool args_agree(struct cli *c, const struct cp_args *a)
{
	const char *first = a->src[0].image;
	int i;

	for (i = 1; i < a->n; i++) {
		const char *image = a->src[i].image;

		if (!first == !image && (!first || strcmp(first, image) == 0))
			continue;
		(void)cli_errf(c,
				"%s: all sources must be in one image, or all "
				"outside",
				a->src[i].path);
		return false;
	}
	if (!first && !a->dst.image) {
		(void)cli_errf(c,
				"neither side is in an image; write it as "
				"IMAGE:/path");
		return false;
	}
	return names_are_unique(c, a);
}

static void args_free(struct cp_args *a)
{
	int i;

	for (i = 0; i < a->n; i++)
		cli_target_free(&a->src[i]);
	cli_target_free(&a->dst);
	free(a->src);
}

static int args_parse(struct cli *c, char **args, int n, struct cp_args *a)
{
	int ret;
	int i;

	*a = (struct cp_args){ .n = n - 1 };
	a->src = calloc((size_t)n, sizeof(*a->src));
	ret = a->src ? cli_target_parse(args[n - 1], &a->dst) : -ENOMEM;
	for (i = 0; ret == 0 && i < n - 1; i++)
		ret = cli_target_parse(args[i], &a->src[i]);
	if (ret == 0)
		return 0;
	if (!a->src)
		a->n = 0;
	args_free(a);
	(void)cli_err(c, NULL, NULL, ret);
	return CLI_FAILED;
}

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

int cmd_cp(struct cli *c, int argc, char **argv)
{
	bool recursive = false;
	struct cp_args a;
	struct copy cp;
	int opt;
	int ret;

	while ((opt = cli_getopt(c, argc, argv, ":ra")) != -1) {
		if (opt != 'r' && opt != 'a')
			return cli_usage(c);
		recursive = true;
	}
	if (argc - optind < 2)
		return cli_usage(c);
	ret = args_parse(c, argv + optind, argc - optind, &a);
	if (ret != 0)
		return ret;
	ret = args_agree(c, &a) ? copy_init(&cp, c) : CLI_FAILED;
	if (ret == 0) {
		cp.recursive = recursive;
		if (!a.dst.image)
			(void)umask(0); /* modes are exact: see copy_host.c */
		ret = cp_all(&cp, &a);
		copy_fini(&cp);
	}
	args_free(&a);
	if (c->stats)
		print_stats();
	return ret;
}
