/* SPDX-License-Identifier: MIT */
/*
 * From an image to the host. Owners are restored as far as the caller may;
 * what cannot be is said once.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "cli/copy.h"

struct out_item {
	struct uext4_node *node;
	const char *src; /* in the image, for messages */
	const char *dst; /* on the host */
	struct uext4_stat st;
};

static int src_err(struct copy *cp, const char *path, int err)
{
	return cli_err(cp->c, cp->image, path, err);
}

static int dst_err(struct copy *cp, const char *path, int err)
{
	return cli_err(cp->c, NULL, path, err);
}

/* ---- attributes ---- */

static int out_xattr_one(
		struct copy *cp, const struct out_item *it, const char *name)
{
	ssize_t n;

	n = uext4_getxattr(it->node, name, cp->buf, 65536, NULL);
	if (n < 0)
		return n == -ENODATA ? 0 : (int)n;
	if (lsetxattr(it->dst, name, cp->buf, (size_t)n, 0) == 0)
		return 0;
	if (errno != EPERM && errno != ENOTSUP && errno != EACCES)
		return -errno;
	if (!cp->warned_xattr && !cp->c->quiet)
		fprintf(stderr,
				"uext4: cp: %s: attribute %s cannot be set "
				"here (further ones are not told)\n",
				it->dst, name);
	cp->warned_xattr = true;
	return 0;
}

static int out_xattrs(struct copy *cp, const struct out_item *it)
{
	char *names;
	ssize_t n;
	ssize_t at;
	int ret = 0;

	n = uext4_listxattr(it->node, NULL, 0, NULL);
	if (n <= 0)
		return (int)n;
	names = malloc((size_t)n);
	if (!names)
		return -ENOMEM;
	n = uext4_listxattr(it->node, names, (size_t)n, NULL);
	for (at = 0; ret == 0 && at < n; at += (ssize_t)strlen(names + at) + 1)
		ret = out_xattr_one(cp, it, names + at);
	free(names);
	return n < 0 ? (int)n : ret;
}

static int out_attrs(struct copy *cp, const struct out_item *it)
{
	struct timespec times[2] = { it->st.atime, it->st.mtime };
	bool link = S_ISLNK(it->st.mode);
	uint32_t mode = it->st.mode & 07777;
	int ret;

	if (lchown(it->dst, it->st.uid, it->st.gid) < 0) {
		if (errno != EPERM)
			return -errno;
		mode &= 01777; /* not somebody else's privileges */
		if (!cp->warned_owner && !cp->c->quiet)
			fprintf(stderr,
					"uext4: cp: %s: owner cannot be "
					"restored without root (further ones "
					"are not told)\n",
					it->dst);
		cp->warned_owner = true;
	}
	if (!link && chmod(it->dst, mode) < 0)
		return -errno;
	ret = out_xattrs(cp, it);
	if (ret < 0)
		return ret;
	if (utimensat(AT_FDCWD, it->dst, times, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return 0;
}

/* ---- data ---- */

static int host_write(int fd, const uint8_t *buf, size_t len, off_t pos)
{
	ssize_t n;

	while (len > 0) {
		n = pwrite(fd, buf, len, pos);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		buf += n;
		len -= (size_t)n;
		pos += n;
	}
	return 0;
}

/* Bytes [pos, end) of the file; *ret_host: it was the host's side. */
static int out_extent(struct copy *cp, struct uext4_file *file, int fd,
		uint64_t pos, uint64_t end, bool *ret_host)
{
	ssize_t n;
	int ret;

	pos = pos / COPY_ALIGN * COPY_ALIGN;
	while (pos < end) {
		size_t want = end - pos < COPY_BUF ? (size_t)(end - pos)
						   : COPY_BUF;

		/* a direct read ends at the file's end, wherever that is */
		want = (want + COPY_ALIGN - 1) / COPY_ALIGN * COPY_ALIGN;
		n = uext4_pread(file, cp->buf, want, pos);
		if (n < 0)
			return (int)n;
		if (n == 0)
			return 0;
		ret = host_write(fd, cp->buf, (size_t)n, (off_t)pos);
		if (ret < 0) {
			*ret_host = true;
			return ret;
		}
		pos += (uint64_t)n;
		progress_add(&cp->progress, 0, (uint64_t)n);
	}
	return 0;
}

static int out_data(struct copy *cp, struct uext4_file *file, int fd,
		uint64_t size, bool *ret_host)
{
	int64_t data = 0;
	int64_t hole;
	int ret = 0;

	while (ret == 0 && (uint64_t)data < size) {
		data = uext4_seek_data(file, (uint64_t)data);
		if (data == -ENXIO)
			break;
		if (data < 0)
			return (int)data;
		hole = uext4_seek_hole(file, (uint64_t)data);
		if (hole < 0)
			return (int)hole;
		ret = out_extent(cp, file, fd, (uint64_t)data, (uint64_t)hole,
				ret_host);
		data = hole;
	}
	if (ret == 0 && ftruncate(fd, (off_t)size) < 0) {
		*ret_host = true;
		ret = -errno;
	}
	return ret;
}

static int out_regular(struct copy *cp, struct out_item *it)
{
	unsigned flags = UEXT4_O_RDONLY | UEXT4_O_NOATIME;
	struct uext4_file *file;
	bool host = false;
	int fd;
	int ret;

	if (!cp->c->cached)
		flags |= UEXT4_O_DIRECT;
	ret = uext4_open_node(it->node, flags, NULL, &file);
	if (ret < 0)
		return src_err(cp, it->src, ret);
	fd = open(it->dst,
			O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC,
			0600);
	if (fd < 0) {
		ret = -errno;
		(void)uext4_close(file);
		return dst_err(cp, it->dst, ret);
	}
	if (it->st.size > 0)
		ret = out_data(cp, file, fd, it->st.size, &host);
	if (close(fd) < 0 && ret == 0) {
		host = true;
		ret = -errno;
	}
	(void)uext4_close(file);
	if (ret < 0) { /* no half a file */
		(void)unlink(it->dst);
		return host ? dst_err(cp, it->dst, ret)
			    : src_err(cp, it->src, ret);
	}
	return 0;
}

/* ---- the rest ---- */

static int out_symlink(struct copy *cp, struct out_item *it)
{
	char target[4097];
	ssize_t n;

	n = uext4_node_readlink(it->node, target, sizeof(target) - 1);
	if (n < 0)
		return src_err(cp, it->src, (int)n);
	target[n] = '\0';
	if (symlink(target, it->dst) == 0)
		return 0;
	if (errno == EEXIST && unlink(it->dst) == 0 &&
			symlink(target, it->dst) == 0)
		return 0;
	return dst_err(cp, it->dst, -errno);
}

static int out_special(struct copy *cp, struct out_item *it)
{
	dev_t dev = makedev(it->st.rdev_major, it->st.rdev_minor);

	if (mknod(it->dst, it->st.mode & (S_IFMT | 0600), dev) == 0)
		return 0;
	return dst_err(cp, it->dst, -errno);
}

static int out_any(struct copy *cp, struct uext4_node *node, const char *src,
		const char *dst);

/* Names are collected first: copying happens with the directory unlocked. */
struct name_list {
	char **v;
	size_t n, cap;
};

static int collect_name(void *arg, const struct uext4_dirent *e)
{
	struct name_list *l = arg;
	char **v;
	size_t cap;

	if (strcmp(e->name, ".") == 0 || strcmp(e->name, "..") == 0)
		return 0;
	if (l->n == l->cap) {
		cap = l->cap ? l->cap * 2 : 64;
		v = realloc(l->v, cap * sizeof(char *));
		if (!v)
			return -ENOMEM;
		l->v = v;
		l->cap = cap;
	}
	l->v[l->n] = strdup(e->name);
	return l->v[l->n++] ? 0 : -ENOMEM;
}

static void name_list_free(struct name_list *l)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		free(l->v[i]);
	free(l->v);
}

static int out_entry(struct copy *cp, struct out_item *dir, const char *name)
{
	struct uext4_node *node;
	char *src = NULL;
	char *dst = NULL;
	int ret;

	if (asprintf(&src, "%s/%s", dir->src, name) < 0)
		return src_err(cp, dir->src, -ENOMEM);
	if (asprintf(&dst, "%s/%s", dir->dst, name) < 0) {
		free(src);
		return src_err(cp, dir->src, -ENOMEM);
	}
	if (strchr(name, '/') || name[0] == '\0') {
		ret = cli_errf(cp->c,
				"%s:%s: holds a name that no host can "
				"have; run e2fsck",
				cp->image, dir->src);
	} else {
		ret = uext4_lookup(dir->node, name, NULL, &node);
		if (ret < 0) {
			ret = src_err(cp, src, ret);
		} else {
			ret = out_any(cp, node, src, dst);
			uext4_node_put(node);
		}
	}
	free(src);
	free(dst);
	return ret;
}

static int out_directory(struct copy *cp, struct out_item *it)
{
	struct name_list l = { 0 };
	struct stat st;
	int worst = 0;
	size_t i;
	int ret;

	if (mkdir(it->dst, 0700) < 0 && errno != EEXIST)
		return dst_err(cp, it->dst, -errno);
	if (lstat(it->dst, &st) < 0 || !S_ISDIR(st.st_mode))
		return dst_err(cp, it->dst, -ENOTDIR);
	ret = uext4_readdir(it->node, 0, collect_name, &l);
	if (ret < 0)
		worst = src_err(cp, it->src, ret);
	for (i = 0; i < l.n; i++) {
		if (out_entry(cp, it, l.v[i]) != 0)
			worst = CLI_FAILED;
	}
	name_list_free(&l);
	return worst;
}

static int out_by_type(struct copy *cp, struct out_item *it)
{
	switch (it->st.mode & S_IFMT) {
	case S_IFREG:
		return out_regular(cp, it);
	case S_IFLNK:
		return out_symlink(cp, it);
	case S_IFDIR:
		if (cp->recursive)
			return out_directory(cp, it);
		return cli_errf(cp->c,
				"%s:%s: is a directory; copy it with "
				"-r",
				cp->image, it->src);
	default:
		return out_special(cp, it);
	}
}

static int out_hard_link(
		struct copy *cp, struct out_item *it, const char *first)
{
	if (link(first, it->dst) == 0)
		return 0;
	if (errno == EEXIST && unlink(it->dst) == 0 &&
			link(first, it->dst) == 0)
		return 0;
	return dst_err(cp, it->dst, -errno);
}

static int out_any(struct copy *cp, struct uext4_node *node, const char *src,
		const char *dst)
{
	struct out_item it = { .node = node, .src = src, .dst = dst };
	const char *first;
	bool many;
	int ret;

	ret = uext4_node_stat(node, &it.st);
	if (ret < 0)
		return src_err(cp, src, ret);
	many = !S_ISDIR(it.st.mode) && it.st.nlink > 1;
	first = many ? link_map_find(cp->links, 0, it.st.ino) : NULL;
	if (first)
		return out_hard_link(cp, &it, first);
	ret = out_by_type(cp, &it);
	if (ret != 0)
		return ret;
	ret = out_attrs(cp, &it);
	if (ret < 0)
		return dst_err(cp, dst, ret);
	progress_add(&cp->progress, 1, 0);
	if (many)
		ret = link_map_add(cp->links, 0, it.st.ino, dst);
	return ret < 0 ? dst_err(cp, dst, ret) : 0;
}

int copy_out(struct copy *cp, struct uext4_node *node, const char *src_path,
		const char *dst)
{
	return out_any(cp, node, src_path, dst);
}
