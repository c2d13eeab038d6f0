/* SPDX-License-Identifier: MIT */
/*
 * uext4 ls [-aldiR] IMAGE:/PATH...: names, sorted by their bytes; with -l their
 * attributes. Without -a names that begin with a dot are left out.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/cli.h"
#include "cli/show.h"
#include "cli/walk.h"

struct ls_ctx {
	bool all, attrs, self, ino, recursive;
	bool headings; /* several directories: say which */
	bool any;      /* something was printed */
	struct json_list list;
};

/* One line of a listing. */
struct ls_line {
	const char *name; /* in the names of its directory */
	bool known;       /* st was read */
	struct uext4_stat st;
	char *target; /* owned, of a symlink, or NULL */
};

struct ls_widths {
	int ino, nlink, uid, gid, size;
};

static int line_cmp(const void *a, const void *b)
{
	const struct ls_line *x = a;
	const struct ls_line *y = b;

	return strcmp(x->name, y->name);
}

static void line_load(struct cli_image *im, const char *path,
		struct uext4_node *node, struct ls_line *l)
{
	char target[UEXT4_PATH_MAX + 1];
	ssize_t n;
	int ret;

	ret = uext4_node_stat(node, &l->st);
	if (ret < 0) {
		(void)cli_image_err(im, path, ret);
		return;
	}
	l->known = true;
	if (!S_ISLNK(l->st.mode))
		return;
	n = uext4_node_readlink(node, target, sizeof(target) - 1);
	if (n < 0)
		(void)cli_image_err(im, path, (int)n);
	else
		l->target = strndup(target, (size_t)n);
}

/* ---- printing ---- */

static int digits(uint64_t n)
{
	return snprintf(NULL, 0, "%" PRIu64, n);
}

static void widen(int *w, uint64_t n)
{
	int d = digits(n);

	if (d > *w)
		*w = d;
}

static void measure(struct ls_widths *w, const struct uext4_stat *st)
{
	widen(&w->ino, st->ino);
	widen(&w->nlink, st->nlink);
	widen(&w->uid, st->uid);
	widen(&w->gid, st->gid);
	if (S_ISCHR(st->mode) || S_ISBLK(st->mode)) {
		int d = digits(st->rdev_major) + 2 + digits(st->rdev_minor);

		if (d > w->size)
			w->size = d;
	} else {
		widen(&w->size, st->size);
	}
}

static void print_size(const struct ls_widths *w, const struct uext4_stat *st)
{
	char dev[32];

	if (S_ISCHR(st->mode) || S_ISBLK(st->mode)) {
		snprintf(dev, sizeof(dev), "%" PRIu32 ", %" PRIu32,
				st->rdev_major, st->rdev_minor);
		printf("%*s ", w->size, dev);
	} else {
		printf("%*" PRIu64 " ", w->size, st->size);
	}
}

static void print_line(const struct ls_ctx *lc, const struct ls_widths *w,
		const struct ls_line *l)
{
	char mode[11] = "?---------";
	char date[64] = "?";

	if (lc->ino && l->known)
		printf("%*" PRIu32 " ", w->ino, l->st.ino);
	if (lc->attrs && l->known) {
		show_mode(l->st.mode, mode);
		show_time(&l->st.mtime, false, date);
		printf("%s %*" PRIu32 " %*" PRIu32 " %*" PRIu32 " ", mode,
				w->nlink, l->st.nlink, w->uid, l->st.uid,
				w->gid, l->st.gid);
		print_size(w, &l->st);
		printf("%s ", date);
	} else if (lc->attrs) {
		printf("%s ", mode);
	}
	show_name(stdout, l->name, strlen(l->name));
	if (lc->attrs && l->target) {
		fputs(" -> ", stdout);
		show_name(stdout, l->target, strlen(l->target));
	}
	putchar('\n');
}

static void print_json(
		struct ls_ctx *lc, const char *dir, const struct ls_line *l)
{
	size_t dlen = strlen(dir);
	json_t *o;
	char *path;

	o = l->known ? json_of_stat(&l->st) : json_object();
	json_set_text(o, "name", l->name, strlen(l->name));
	if (asprintf(&path, "%s%s%s", dir,
			    dlen > 0 && dir[dlen - 1] != '/' ? "/" : "",
			    l->name) >= 0) {
		json_set_text(o, "path", path, strlen(path));
		free(path);
	}
	if (l->target)
		json_set_text(o, "target", l->target, strlen(l->target));
	json_list_add(&lc->list, o);
}

static void print_lines(struct cli_image *im, struct ls_ctx *lc,
		const char *dir, const struct ls_line *v, size_t n)
{
	struct ls_widths w = { 0 };
	size_t i;

	for (i = 0; i < n; i++) {
		if (v[i].known)
			measure(&w, &v[i].st);
	}
	for (i = 0; i < n; i++) {
		if (im->c->json)
			print_json(lc, dir, &v[i]);
		else
			print_line(lc, &w, &v[i]);
	}
	lc->any = true;
}

/* ---- directories ---- */

static void heading(
		struct cli_image *im, const struct ls_ctx *lc, const char *path)
{
	if (im->c->json || !lc->headings)
		return;
	if (lc->any)
		putchar('\n');
	show_name(stdout, path, strlen(path));
	puts(":");
}

static void load_entry(struct cli_image *im, const char *path,
		struct uext4_node *dir, struct ls_line *l)
{
	struct uext4_node *node;
	char *full;
	int ret;

	if (asprintf(&full, "%s/%s", strcmp(path, "/") ? path : "", l->name) <
			0)
		return;
	ret = uext4_lookup(dir, l->name, NULL, &node);
	if (ret < 0) {
		(void)cli_image_err(im, full, ret);
	} else {
		line_load(im, full, node, l);
		uext4_node_put(node);
	}
	free(full);
}

/* Lines of @names; "." and ".." before them with -a. */
static struct ls_line *make_lines(const struct ls_ctx *lc,
		const struct name_list *names, size_t *ret_n)
{
	struct ls_line *v;
	const char *name;
	size_t n = 2;
	size_t at;

	for (at = 0; at < names->len; at += strlen(names->text + at) + 1)
		n++;
	v = calloc(n, sizeof(*v));
	if (!v)
		return NULL;
	n = 0;
	if (lc->all) {
		v[n++].name = ".";
		v[n++].name = "..";
	}
	for (at = 0; at < names->len; at += strlen(name) + 1) {
		name = names->text + at;
		if (lc->all || name[0] != '.')
			v[n++].name = name;
	}
	*ret_n = n;
	return v;
}

static int list_dir(struct cli_image *im, struct ls_ctx *lc, const char *path,
		struct uext4_node *dir)
{
	bool need = lc->attrs || lc->ino || im->c->json;
	struct name_list names = { 0 };
	struct ls_line *v;
	size_t n;
	size_t i;
	int ret;

	ret = name_list_read(dir, &names);
	if (ret < 0)
		return cli_image_err(im, path, ret);
	v = make_lines(lc, &names, &n);
	if (!v) {
		name_list_free(&names);
		return cli_image_err(im, path, -ENOMEM);
	}
	qsort(v, n, sizeof(*v), line_cmp);
	for (i = 0; need && i < n; i++)
		load_entry(im, path, dir, &v[i]);
	heading(im, lc, path);
	print_lines(im, lc, path, v, n);
	for (i = 0; i < n; i++)
		free(v[i].target);
	free(v);
	name_list_free(&names);
	return im->c->status;
}

/* ---- the command ---- */

struct ls_walk {
	struct cli_image *im;
	struct ls_ctx *lc;
};

static int walk_dir(void *ctx, const struct walk_at *at)
{
	struct ls_walk *lw = ctx;

	if (!S_ISDIR(at->st.mode))
		return 1;
	if (at->dir && at->name[0] == '.' && !lw->lc->all)
		return 1;
	(void)list_dir(lw->im, lw->lc, at->path, at->node);
	return 0;
}

static int list_node(struct cli_image *im, struct ls_ctx *lc, const char *path,
		struct uext4_node *node)
{
	static const struct walk_ops ops = { .before = walk_dir };
	struct ls_walk lw = { .im = im, .lc = lc };
	struct ls_line l = { .name = path };

	line_load(im, path, node, &l);
	if (!l.known)
		return im->c->status;
	if (S_ISDIR(l.st.mode) && !lc->self) {
		if (lc->recursive)
			return walk_tree(im, path, NULL, NULL, node, &ops, &lw);
		return list_dir(im, lc, path, node);
	}
	print_lines(im, lc, "", &l, 1);
	free(l.target);
	return CLI_OK;
}

static int ls_one(struct cli_image *im, const char *path, void *ctx)
{
	struct ls_ctx *lc = ctx;
	unsigned flags = lc->attrs || lc->self ? UEXT4_NOFOLLOW : 0;
	struct uext4_node *node;
	int ret;

	ret = uext4_resolve(im->fs, NULL, path, flags, NULL, &node);
	if (ret == -ENOENT && flags == 0) /* a symlink that leads nowhere */
		ret = uext4_resolve(im->fs, NULL, path, UEXT4_NOFOLLOW, NULL,
				&node);
	if (ret < 0)
		return cli_image_err(im, path, ret);
	ret = list_node(im, lc, path, node);
	uext4_node_put(node);
	return ret;
}

int cmd_ls(struct cli *c, int argc, char **argv)
{
	struct ls_ctx lc = { 0 };
	int opt;
	int ret;

	while ((opt = cli_getopt(c, argc, argv, ":aldiR")) != -1) {
		switch (opt) {
		case 'a':
			lc.all = true;
			break;
		case 'l':
			lc.attrs = true;
			break;
		case 'd':
			lc.self = true;
			break;
		case 'i':
			lc.ino = true;
			break;
		case 'R':
			lc.recursive = true;
			break;
		default:
			return cli_usage(c);
		}
	}
	if (argc - optind < 1)
		return cli_usage(c);
	lc.headings = lc.recursive || argc - optind > 1;
	if (c->json)
		json_list_start(&lc.list);
	ret = cli_each(c, argv + optind, argc - optind, true, ls_one, &lc);
	if (c->json)
		json_list_end(&lc.list);
	return ret;
}
