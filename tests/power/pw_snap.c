/* SPDX-License-Identifier: MIT */
/*
 * What a mounted file system shows, as text; see pw_int.h.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "power/pw_int.h"

#define NAMES_MAX 1024

static void text_add(struct pw_snap *s, const char *fmt, ...)
{
	va_list ap;
	int n;

	for (;;) {
		va_start(ap, fmt);
		n = vsnprintf(s->text + s->len, s->cap - s->len, fmt, ap);
		va_end(ap);
		assert_true(n >= 0);
		if ((size_t)n < s->cap - s->len)
			break;
		s->cap = s->cap * 2 + (size_t)n + 1024;
		s->text = realloc(s->text, s->cap);
		assert_non_null(s->text);
	}
	s->len += (size_t)n;
}

/* ---- names ---- */

struct names {
	char *name[NAMES_MAX];
	unsigned n;
};

static int add_name(void *ctx, const struct uext4_dirent *e)
{
	struct names *l = ctx;

	if (strcmp(e->name, ".") == 0 || strcmp(e->name, "..") == 0)
		return 0;
	assert_true(l->n < NAMES_MAX);
	l->name[l->n] = strdup(e->name);
	assert_non_null(l->name[l->n]);
	l->n++;
	return 0;
}

static int name_cmp(const void *pa, const void *pb)
{
	char *const *a = pa;
	char *const *b = pb;

	return strcmp(*a, *b);
}

static void names_free(struct names *l)
{
	unsigned i;

	for (i = 0; i < l->n; i++)
		free(l->name[i]);
	free(l);
}

static int names_of(struct uext4_node *dir, struct names **ret_l)
{
	struct names *l = calloc(1, sizeof(*l));
	int ret;

	assert_non_null(l);
	ret = uext4_readdir(dir, 0, add_name, l);
	if (ret < 0) {
		names_free(l);
		return ret;
	}
	qsort(l->name, l->n, sizeof(char *), name_cmp);
	*ret_l = l;
	return 0;
}

/* ---- the tree ---- */

static int snap_xattrs(struct pw_snap *s, struct uext4_node *node)
{
	char names[4096];
	uint8_t value[8192];
	ssize_t n;
	ssize_t at;

	n = uext4_listxattr(node, names, sizeof(names), NULL);
	if (n < 0)
		return (int)n;
	for (at = 0; at < n; at += (ssize_t)strlen(names + at) + 1) {
		uint32_t h = 2166136261u;
		ssize_t len = uext4_getxattr(
				node, names + at, value, sizeof(value), NULL);
		ssize_t i;

		if (len < 0)
			return (int)len;
		for (i = 0; i < len; i++)
			h = (h ^ value[i]) * 16777619u;
		text_add(s, " %s=%zd:%08x", names + at, len, h);
	}
	return 0;
}

static int snap_node(
		struct pw_snap *s, struct uext4_node *node, const char *path);

static int snap_dir(
		struct pw_snap *s, struct uext4_node *node, const char *path)
{
	struct uext4_node *child;
	struct names *l;
	char sub[1024];
	unsigned i;
	int ret;

	ret = names_of(node, &l);
	if (ret < 0)
		return ret;
	for (i = 0; ret == 0 && i < l->n; i++) {
		snprintf(sub, sizeof(sub), "%s/%s", path, l->name[i]);
		ret = uext4_lookup(node, l->name[i], NULL, &child);
		if (ret == 0) {
			ret = snap_node(s, child, sub);
			uext4_node_put(child);
		}
	}
	names_free(l);
	return ret;
}

static int snap_link(struct pw_snap *s, struct uext4_node *node)
{
	char target[4097];
	ssize_t n;

	n = uext4_node_readlink(node, target, 4096);
	if (n < 0)
		return (int)n;
	target[n] = '\0';
	text_add(s, " -> %s", target);
	return 0;
}

static int snap_node(
		struct pw_snap *s, struct uext4_node *node, const char *path)
{
	struct uext4_stat st;
	int ret;

	ret = uext4_node_stat(node, &st);
	if (ret < 0)
		return ret;
	text_add(s,
			"%s ino %u gen %u mode %o links %u own %u:%u "
			"dev %u:%u",
			path[0] ? path : "/", st.ino, st.generation, st.mode,
			st.nlink, st.uid, st.gid, st.rdev_major, st.rdev_minor);
	if (S_ISLNK(st.mode))
		ret = snap_link(s, node);
	if (ret == 0)
		ret = snap_xattrs(s, node);
	text_add(s, "\n");
	if (ret < 0)
		return ret;
	if (S_ISDIR(st.mode))
		return snap_dir(s, node, path);
	if (S_ISREG(st.mode) && s->file)
		return s->file(s->ctx, node, &st);
	return 0;
}

int pw_snap_tree(struct pw_snap *s)
{
	struct uext4_node *root;
	char label[17];
	int ret;

	ret = uext4_get_label(s->fs, label);
	if (ret < 0)
		return ret;
	text_add(s, "label %s\n", label);
	ret = uext4_node_root(s->fs, &root);
	if (ret < 0)
		return ret;
	ret = snap_node(s, root, "");
	uext4_node_put(root);
	return ret;
}

int pw_read_all(struct uext4_node *node, uint64_t size, uint8_t **ret_data)
{
	struct uext4_file *file;
	uint8_t *data = calloc(1, size + 1);
	uint64_t at = 0;
	ssize_t n = 0;
	int ret;

	assert_non_null(data);
	ret = uext4_open_node(
			node, UEXT4_O_RDONLY | UEXT4_O_NOATIME, NULL, &file);
	if (ret < 0) {
		free(data);
		return ret;
	}
	while (at < size) {
		n = uext4_pread(file, data + at, size - at, at);
		if (n <= 0)
			break;
		at += (uint64_t)n;
	}
	(void)uext4_close(file);
	if (n < 0 || at < size) {
		free(data);
		return n < 0 ? (int)n : -EIO;
	}
	*ret_data = data;
	return 0;
}

/* ---- removing it ---- */

static int remove_below(struct uext4_node *dir, bool is_root)
{
	struct uext4_node *child;
	struct uext4_stat st;
	struct names *l;
	unsigned i;
	int ret;

	ret = names_of(dir, &l);
	if (ret < 0)
		return ret;
	for (i = 0; ret == 0 && i < l->n; i++) {
		if (is_root && strcmp(l->name[i], "lost+found") == 0)
			continue;
		ret = uext4_lookup(dir, l->name[i], NULL, &child);
		if (ret < 0)
			break;
		ret = uext4_node_stat(child, &st);
		if (ret == 0 && S_ISDIR(st.mode))
			ret = remove_below(child, false);
		uext4_node_put(child);
		if (ret == 0)
			ret = S_ISDIR(st.mode)
					? uext4_rmdir(dir, l->name[i], NULL)
					: uext4_unlink(dir, l->name[i], NULL);
	}
	names_free(l);
	return ret;
}

int pw_remove_tree(struct uext4_fs *fs)
{
	struct uext4_node *root;
	int ret;

	ret = uext4_node_root(fs, &root);
	if (ret < 0)
		return ret;
	ret = remove_below(root, true);
	uext4_node_put(root);
	return ret;
}
