/* SPDX-License-Identifier: MIT */
/*
 * A stack of directories on the heap. Only the innermost is held by a node, the
 * others by number, so that depth costs a few bytes and no open files.
 *
 * Rules    (K1) Every directory number is pushed at most once: the walk ends on
 *               any image.
 *          (K2) The names of a directory are read in one go and visited after.
 */
#include "cli/walk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/link_map.h"

/* ---- names ---- */

int name_list_add(struct name_list *l, const char *name, size_t len)
{
	char *text;
	size_t cap;

	if (l->len + len + 1 > l->cap) {
		cap = 2 * l->cap + len + 256;
		text = realloc(l->text, cap);
		if (!text)
			return -ENOMEM;
		l->text = text;
		l->cap = cap;
	}
	memcpy(l->text + l->len, name, len);
	l->text[l->len + len] = '\0';
	l->len += len + 1;
	return 0;
}

static int name_list_entry(void *arg, const struct uext4_dirent *e)
{
	struct name_list *l = arg;

	if (strcmp(e->name, ".") == 0 || strcmp(e->name, "..") == 0)
		return 0;
	if (e->len == 0 || strlen(e->name) != e->len || strchr(e->name, '/')) {
		l->odd = true;
		return 0;
	}
	return name_list_add(l, e->name, e->len);
}

int name_list_read(struct uext4_node *dir, struct name_list *ret_l)
{
	struct name_list l = { 0 };
	int ret;

	ret = uext4_readdir(dir, 0, name_list_entry, &l);
	if (ret < 0)
		name_list_free(&l);
	else
		*ret_l = l;
	return ret;
}

void name_list_free(struct name_list *l)
{
	free(l->text);
	*l = (struct name_list){ 0 };
}

/* ---- the walk ---- */

struct frame {
	uint32_t ino, generation;
	struct name_list names;
	size_t at;       /* in names: the next one */
	size_t path_len; /* of this directory */
	size_t name_at;  /* where its own name begins in the path */
};

struct walk {
	struct cli_image *im;
	const struct walk_ops *ops;
	void *ctx;
	struct frame *v;
	size_t n, cap;
	char *path;
	size_t path_cap;
	struct link_map *seen;     /* K1 */
	struct uext4_node *node;   /* of the innermost frame */
	struct uext4_node *top_in; /* directory that holds the start */
	const char *top_name;
	int status;
};

static void walk_note(struct walk *w, int status)
{
	if (status == CLI_DAMAGED || w->status == CLI_OK)
		w->status = status;
}

static void walk_err(struct walk *w, int err)
{
	walk_note(w, cli_image_err(w->im, w->path, err));
}

static int walk_set_path(struct walk *w, size_t len, const char *name)
{
	size_t need = len + strlen(name) + 2;
	char *path;

	if (need > w->path_cap) {
		path = realloc(w->path, 2 * need);
		if (!path)
			return -ENOMEM;
		w->path = path;
		w->path_cap = 2 * need;
	}
	if (len > 0 && w->path[len - 1] != '/')
		w->path[len++] = '/';
	memcpy(w->path + len, name, strlen(name) + 1);
	return 0;
}

/* Enter the directory of @at; takes its node. */
static int walk_push(struct walk *w, const struct walk_at *at)
{
	static const struct link_to here = { 0 };
	struct frame *f;
	size_t cap;
	int ret;

	if (link_map_find(w->seen, 0, at->st.ino)) {
		walk_note(w,
				cli_errf(w->im->c,
						"%s:%s: is inside itself; run "
						"e2fsck",
						w->im->name, at->path));
		walk_note(w, CLI_DAMAGED);
		w->im->c->status = CLI_DAMAGED;
		uext4_node_put(at->node);
		return 0;
	}
	if (w->n == w->cap) {
		cap = w->cap ? 2 * w->cap : 16;
		f = realloc(w->v, cap * sizeof(*f));
		if (!f)
			return -ENOMEM;
		w->v = f;
		w->cap = cap;
	}
	f = &w->v[w->n];
	*f = (struct frame){
		.ino = at->st.ino,
		.generation = at->st.generation,
		.path_len = strlen(at->path),
		.name_at = w->n > 0 ? (size_t)(at->name - at->path) : 0,
	};
	ret = link_map_add(w->seen, 0, at->st.ino, &here);
	if (ret == 0)
		ret = name_list_read(at->node, &f->names);
	if (ret < 0)
		return ret;
	if (f->names.odd) {
		walk_note(w,
				cli_errf(w->im->c,
						"%s:%s: holds names that "
						"cannot "
						"be; run e2fsck",
						w->im->name, at->path));
		walk_note(w, CLI_DAMAGED);
		w->im->c->status = CLI_DAMAGED;
	}
	w->n++;
	uext4_node_put(w->node);
	w->node = at->node;
	return 0;
}

/* One object. Takes @node. */
static void walk_visit(struct walk *w, struct uext4_node *dir, const char *name,
		struct uext4_node *node)
{
	struct walk_at at = {
		.im = w->im,
		.dir = dir,
		.name = name,
		.path = w->path,
		.node = node,
	};
	int ret;

	ret = uext4_node_stat(node, &at.st);
	if (ret < 0) {
		walk_err(w, ret);
		uext4_node_put(node);
		return;
	}
	ret = w->ops->before ? w->ops->before(w->ctx, &at) : 0;
	if (ret != 0)
		walk_note(w, w->im->c->status);
	if (ret != 0 || !S_ISDIR(at.st.mode)) {
		uext4_node_put(node);
		return;
	}
	ret = walk_push(w, &at);
	if (ret < 0) {
		walk_err(w, ret);
		uext4_node_put(node);
	}
}

/* The innermost directory is done: go back to the one around it. */
static void walk_pop(struct walk *w)
{
	struct frame *f = &w->v[w->n - 1];
	struct frame *up = w->n > 1 ? f - 1 : NULL;
	struct walk_at at = { .im = w->im, .node = w->node };
	int ret;

	w->node = NULL;
	w->path[f->path_len] = '\0';
	at.path = w->path;
	at.name = w->top_name;
	at.dir = w->top_in;
	if (up) {
		at.name = w->path + f->name_at;
		ret = uext4_node_get(
				w->im->fs, up->ino, up->generation, &w->node);
		if (ret < 0)
			walk_err(w, ret);
		at.dir = w->node;
	}
	ret = uext4_node_stat(at.node, &at.st);
	if (ret < 0)
		walk_err(w, ret);
	else if (w->ops->after && (at.dir || !up) &&
			w->ops->after(w->ctx, &at) != 0)
		walk_note(w, w->im->c->status);
	uext4_node_put(at.node);
	name_list_free(&f->names);
	w->n--;
}

static void walk_next(struct walk *w)
{
	struct frame *f = &w->v[w->n - 1];
	struct uext4_node *node;
	const char *name;
	int ret;

	if (f->at >= f->names.len || !w->node) {
		walk_pop(w);
		return;
	}
	name = f->names.text + f->at;
	f->at += strlen(name) + 1;
	ret = walk_set_path(w, f->path_len, name);
	if (ret == 0)
		ret = uext4_lookup(w->node, name, NULL, &node);
	if (ret < 0) {
		walk_err(w, ret);
		return;
	}
	walk_visit(w, w->node, w->path + strlen(w->path) - strlen(name), node);
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): walk_tree() frees it */
}

int walk_tree(struct cli_image *im, const char *path, struct uext4_node *dir,
		const char *name, struct uext4_node *node,
		const struct walk_ops *ops, void *ctx)
{
	struct walk w = {
		.im = im,
		.ops = ops,
		.ctx = ctx,
		.top_in = dir,
		.top_name = name,
	};

	w.seen = link_map_new();
	if (!w.seen || walk_set_path(&w, 0, path) < 0) {
		link_map_free(w.seen);
		return cli_image_err(im, path, -ENOMEM);
	}
	walk_visit(&w, dir, name, uext4_node_hold(node));
	while (w.n > 0)
		walk_next(&w);
	uext4_node_put(w.node);
	link_map_free(w.seen);
	free(w.path);
	free(w.v);
	return w.status;
}
