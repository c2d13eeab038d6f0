/* SPDX-License-Identifier: MIT */
/*
 * Targets of mv, ln and cp. See place.h.
 */
#include "cli/place.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int place_last_name(const char *path, char *ret)
{
	const char *end = path + strlen(path);
	const char *at;

	while (end > path && end[-1] == '/')
		end--;
	for (at = end; at > path && at[-1] != '/';)
		at--;
	if (end - at > (ptrdiff_t)UEXT4_NAME_MAX)
		return -ENAMETOOLONG;
	memcpy(ret, at, (size_t)(end - at));
	ret[end - at] = '\0';
	if (ret[0] == '\0' || strcmp(ret, ".") == 0 || strcmp(ret, "..") == 0)
		return -EINVAL;
	return 0;
}

static bool node_is_dir(struct uext4_node *node)
{
	struct uext4_stat st;

	return uext4_node_stat(node, &st) == 0 && S_ISDIR(st.mode);
}

/* @own in the directory @node, which is taken. */
static int place_inside(struct uext4_node *node, const char *path,
		const char *own, struct place *ret_p)
{
	size_t len = strlen(path);
	int ret;

	ret_p->dir = node;
	if (strcmp(own, ".") == 0) {
		memcpy(ret_p->name, ".", 2);
		ret_p->path = strdup(path);
		ret = ret_p->path ? 0 : -ENOMEM;
		goto out;
	}
	ret = place_last_name(own, ret_p->name);
	if (ret == 0 &&
			asprintf(&ret_p->path, "%s%s%s", path,
					len > 0 && path[len - 1] == '/' ? ""
									: "/",
					ret_p->name) < 0)
		ret = -ENOMEM;
out:
	if (ret < 0)
		uext4_node_put(node);
	return ret;
}

int place_name(struct uext4_fs *fs, const char *path, struct place *ret_p)
{
	int ret;

	ret = uext4_resolve_parent(
			fs, NULL, path, NULL, ret_p->name, &ret_p->dir);
	if (ret < 0)
		return ret;
	ret_p->path = strdup(path);
	if (ret_p->path)
		return 0;
	uext4_node_put(ret_p->dir);
	return -ENOMEM;
}

int place_find(struct uext4_fs *fs, const char *path, const char *own,
		bool must_dir, struct place *ret_p)
{
	struct uext4_node *node;
	int ret;

	ret = uext4_resolve(fs, NULL, path, 0, NULL, &node);
	if (ret == 0 && own && node_is_dir(node))
		return place_inside(node, path, own, ret_p);
	if (ret == 0)
		uext4_node_put(node);
	/* a symlink that leads nowhere is a name that can be taken */
	if (ret < 0 && ret != -ENOENT && ret != -ELOOP && ret != -ENOTDIR)
		return ret;
	if (must_dir)
		return ret < 0 ? ret : -ENOTDIR;
	return place_name(fs, path, ret_p);
}

void place_free(struct place *p)
{
	uext4_node_put(p->dir);
	free(p->path);
	*p = (struct place){ 0 };
}

int place_temp_name(struct uext4_node *dir, char *ret_name)
{
	struct uext4_node *node;
	unsigned n;
	int ret;

	for (n = 0; n < 100000; n++) {
		snprintf(ret_name, UEXT4_NAME_MAX + 1, ".uext4-new.%u", n);
		ret = uext4_lookup(dir, ret_name, NULL, &node);
		if (ret == -ENOENT)
			return 0;
		if (ret < 0)
			return ret;
		uext4_node_put(node);
	}
	return -EEXIST;
}
