/* SPDX-License-Identifier: MIT */
/*
 * Paths: one name after the other, symlinks put in front of what is left.
 *
 * Rules    (PA1) At most 40 symlinks in one walk (-ELOOP). The caller's path is
 *                shorter than 4096 bytes (-ENAMETOOLONG), and so is each
 *                target; what they add up to is bounded by both, as in Linux.
 *          (PA2) ".." of the root is the root.
 *          (PA3) A path that ends in a slash names a directory; "" names
 *                nothing (-ENOENT).
 *
 * Locks    One directory at a time, shared; none is held between two names.
 */
#include <stdlib.h>
#include <string.h>

#include "disk/geo.h"
#include "fs/attr.h"
#include "fs/fs.h"
#include "fs/name.h"
#include "fs/path.h"

#define PATH_SYMLINKS_MAX 40

/* What is left to walk stands at the end of buf, which is small until symlinks
 * make it too long. */
struct walk {
	struct uext4_fs *fs;
	const struct uext4_cred *cred;
	struct inode *at; /* held */
	int symlinks;
	size_t start; /* of the rest in buf */
	size_t cap;   /* of buf */
	char *buf;
	char *heap; /* NULL, or buf */
	char small[UEXT4_PATH_MAX + 1];
};

static const char *walk_rest(const struct walk *w)
{
	return w->buf + w->start;
}

static void walk_skip_slashes(struct walk *w)
{
	while (w->buf[w->start] == '/')
		w->start++;
}

/* Room for @more bytes before the rest, and some to spare. */
static int walk_grow(struct walk *w, size_t more)
{
	size_t left = w->cap - w->start;
	size_t cap = w->cap + more + (size_t)4 * UEXT4_PATH_MAX;
	char *buf;

	buf = malloc(cap);
	if (!buf)
		return -ENOMEM;
	memcpy(buf + cap - left, walk_rest(w), left);
	free(w->heap);
	w->heap = buf;
	w->buf = buf;
	w->start = cap - left;
	w->cap = cap;
	return 0;
}

/* Put @text and, if something is left, a slash before the rest. */
static int walk_push(struct walk *w, const char *text, size_t len)
{
	size_t need = len + (*walk_rest(w) != '\0');
	int ret;

	if (need > w->start) {
		ret = walk_grow(w, need);
		if (ret < 0)
			return ret;
	}
	if (*walk_rest(w) != '\0')
		w->buf[--w->start] = '/';
	w->start -= len;
	memcpy(w->buf + w->start, text, len);
	return 0;
}

static int walk_to_root(struct walk *w)
{
	struct inode *root;
	int ret;

	ret = inode_get(&w->fs->it, INUM_ROOT, &root);
	if (ret < 0)
		return ret;
	inode_put(w->at);
	w->at = root;
	return 0;
}

static int walk_start(struct walk *w, struct inode *at, const char *path)
{
	size_t len = strnlen(path, UEXT4_PATH_MAX);
	int ret;

	if (len == 0)
		return -ENOENT;
	if (len >= UEXT4_PATH_MAX)
		return -ENAMETOOLONG;
	w->buf = w->small;
	w->cap = sizeof(w->small);
	w->start = UEXT4_PATH_MAX;
	w->buf[UEXT4_PATH_MAX] = '\0';
	ret = walk_push(w, path, len);
	if (ret < 0)
		return ret;
	if (!at || path[0] == '/')
		return walk_to_root(w);
	inode_hold(at);
	w->at = at;
	return 0;
}

/* The next name: copied to @name, the rest begins behind its slashes. */
static int walk_take_name(struct walk *w, char *name, bool *ret_slash)
{
	const char *rest;
	size_t len;

	walk_skip_slashes(w);
	rest = walk_rest(w);
	len = strcspn(rest, "/");
	if (len > UEXT4_NAME_MAX)
		return -ENAMETOOLONG;
	memcpy(name, rest, len);
	name[len] = '\0';
	w->start += len;
	*ret_slash = *walk_rest(w) == '/';
	walk_skip_slashes(w);
	return 0;
}

static int walk_lookup(
		struct walk *w, const char *name, struct inode **ret_inode)
{
	int ret;

	if (!inode_is_dir(w->at))
		return -ENOTDIR;
	ret = inode_permission(w->at, MAY_EXEC, w->cred);
	if (ret < 0)
		return ret;
	if (strcmp(name, ".") == 0 ||
			(strcmp(name, "..") == 0 && w->at->inum == INUM_ROOT)) {
		inode_hold(w->at); /* PA2 */
		*ret_inode = w->at;
		return 0;
	}
	rwsem_read_lock(&w->at->rwsem);
	ret = name_lookup_locked(w->at, name, strlen(name), ret_inode);
	rwsem_read_unlock(&w->at->rwsem);
	return ret;
}

/* Put the target of the symlink @link before the rest. */
static int walk_follow(struct walk *w, struct inode *link, bool slash)
{
	char target[UEXT4_PATH_MAX];
	size_t len;
	int ret;

	if (++w->symlinks > PATH_SYMLINKS_MAX)
		return -ELOOP;
	ret = symlink_read(link, target, sizeof(target), &len);
	if (ret < 0)
		return ret;
	if (slash && *walk_rest(w) == '\0') { /* "link/": a directory */
		ret = walk_push(w, "/", 1);
		if (ret < 0)
			return ret;
	}
	ret = walk_push(w, target, len);
	if (ret == 0 && target[0] == '/')
		ret = walk_to_root(w);
	return ret;
}

/* One name deeper. @follow: also a symlink with nothing behind it. */
static int walk_step(struct walk *w, const char *name, bool slash, bool follow)
{
	struct inode *next;
	int ret;

	ret = walk_lookup(w, name, &next);
	if (ret < 0)
		return ret;
	if (inode_is_symlink(next) &&
			(follow || slash || *walk_rest(w) != '\0')) {
		ret = walk_follow(w, next, slash);
		inode_put(next);
		return ret;
	}
	inode_put(w->at);
	w->at = next;
	return slash && !inode_is_dir(next) ? -ENOTDIR : 0;
}

/* Go through all names. @last set: stop before the last one and put it there.
 * @follow: a symlink in the last place, too. */
static int walk_run(struct walk *w, bool follow, char *last, bool *ret_slash)
{
	char name[UEXT4_NAME_MAX + 1];
	bool slash = false;
	int ret;

	for (;;) {
		ret = walk_take_name(w, name, &slash);
		if (ret < 0)
			return ret;
		if (name[0] == '\0') { /* nothing left */
			if (last)
				return -EBUSY; /* the root itself */
			return 0;
		}
		if (last && *walk_rest(w) == '\0') {
			if (!inode_is_dir(w->at))
				return -ENOTDIR;
			memcpy(last, name, sizeof(name));
			*ret_slash = slash;
			return 0;
		}
		ret = walk_step(w, name, slash, follow);
		if (ret < 0)
			return ret;
	}
}

int path_resolve(struct uext4_fs *fs, struct inode *at, const char *path,
		bool follow, const struct uext4_cred *cred,
		struct inode **ret_inode)
{
	struct walk w = { .fs = fs, .cred = cred };
	int ret;

	ret = walk_start(&w, at, path);
	if (ret == 0)
		ret = walk_run(&w, follow, NULL, NULL);
	free(w.heap);
	if (ret < 0) {
		inode_put(w.at);
		return ret;
	}
	*ret_inode = w.at;
	return 0;
}

int path_resolve_parent(struct uext4_fs *fs, struct inode *at, const char *path,
		const struct uext4_cred *cred, char *name, bool *ret_slash,
		struct inode **ret_dir)
{
	struct walk w = { .fs = fs, .cred = cred };
	int ret;

	ret = walk_start(&w, at, path);
	if (ret == 0)
		ret = walk_run(&w, true, name, ret_slash);
	free(w.heap);
	if (ret < 0) {
		inode_put(w.at);
		return ret;
	}
	*ret_dir = w.at;
	return 0;
}

int uext4_resolve(struct uext4_fs *fs, struct uext4_node *at, const char *path,
		unsigned flags, const struct uext4_cred *cred,
		struct uext4_node **ret_node)
{
	struct inode *inode;
	int ret;

	ret = fs_may_read(fs);
	if (ret == 0)
		ret = path_resolve(fs, at ? node_inode(at) : NULL, path,
				!(flags & UEXT4_NOFOLLOW), cred, &inode);
	if (ret < 0)
		return fs_done(fs, ret, 0);
	atomic_fetch_add(&fs->nopen, 1);
	*ret_node = inode_node(inode);
	return 0;
}

int uext4_resolve_parent(struct uext4_fs *fs, struct uext4_node *at,
		const char *path, const struct uext4_cred *cred, char *name,
		struct uext4_node **ret_dir)
{
	struct inode *dir;
	bool slash;
	int ret;

	ret = fs_may_read(fs);
	if (ret == 0)
		ret = path_resolve_parent(fs, at ? node_inode(at) : NULL, path,
				cred, name, &slash, &dir);
	if (ret < 0)
		return fs_done(fs, ret, 0);
	atomic_fetch_add(&fs->nopen, 1);
	*ret_dir = inode_node(dir);
	return 0;
}
