/* SPDX-License-Identifier: MIT */
/*
 * From the host into an image.
 *
 * A file: create -> data by direct writes, whole sectors, the last one padded
 * with zeroes -> truncate to its length -> attributes, owner, mode, times. A
 * directory gets its times after its contents.
 */
#include <dirent.h>
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

/* The kernel's limit for one value. */
#define XATTR_VALUE_MAX 65536

/* One object on its way in. */
struct in_item {
	int dirfd;
	const char *name; /* in dirfd */
	const char *src;  /* for messages */
	const char *dst;  /* for messages and hard links */
	struct uext4_node *dir;
	const char *dst_name;
	struct stat st;
};

static int in_err(struct copy *cp, const char *what, int err)
{
	return cli_err(cp->c, NULL, what, err);
}

static int out_err(struct copy *cp, const char *path, int err)
{
	return cli_err(cp->c, cp->image, path, err);
}

/* ---- attributes ---- */

static int in_xattr_one(struct copy *cp, const char *proc, const char *name,
		struct uext4_node *node)
{
	static const char *const mine[] = { "user.", "trusted.", "security.",
		"system.posix_acl_" };
	ssize_t n;
	size_t i;

	for (i = 0; i < sizeof(mine) / sizeof(mine[0]); i++) {
		if (strncmp(name, mine[i], strlen(mine[i])) == 0)
			break;
	}
	if (i == sizeof(mine) / sizeof(mine[0]))
		return 0;
	n = lgetxattr(proc, name, cp->buf, XATTR_VALUE_MAX);
	if (n < 0)
		return errno == ENODATA || errno == EPERM ? 0 : -errno;
	return uext4_setxattr(node, name, cp->buf, (size_t)n, 0, NULL);
}

/* The host's path of an object without following it. */
static void item_proc_path(const struct in_item *it, char *buf, size_t size)
{
	if (it->dirfd == AT_FDCWD)
		snprintf(buf, size, "%s", it->name);
	else
		snprintf(buf, size, "/proc/self/fd/%d/%s", it->dirfd, it->name);
}

static int in_xattrs(struct copy *cp, const struct in_item *it,
		struct uext4_node *node)
{
	char proc[4200];
	char *names;
	ssize_t n;
	ssize_t at;
	int ret = 0;

	item_proc_path(it, proc, sizeof(proc));
	n = llistxattr(proc, NULL, 0);
	if (n <= 0)
		return 0;
	names = malloc((size_t)n);
	if (!names)
		return -ENOMEM;
	n = llistxattr(proc, names, (size_t)n);
	for (at = 0; ret == 0 && at < n; at += (ssize_t)strlen(names + at) + 1)
		ret = in_xattr_one(cp, proc, names + at, node);
	free(names);
	return ret;
}

static int in_attrs(struct copy *cp, const struct in_item *it,
		struct uext4_node *node)
{
	struct uext4_setattr a = {
		.mask = UEXT4_SET_UID | UEXT4_SET_GID | UEXT4_SET_ATIME |
				UEXT4_SET_MTIME,
		.mode = it->st.st_mode & 07777,
		.uid = it->st.st_uid,
		.gid = it->st.st_gid,
		.atime = it->st.st_atim,
		.mtime = it->st.st_mtim,
	};
	int ret;

	if (!S_ISLNK(it->st.st_mode))
		a.mask |= UEXT4_SET_MODE;
	ret = in_xattrs(cp, it, node);
	if (ret < 0)
		return ret;
	return uext4_node_setattr(node, &a, NULL);
}

/* ---- data ---- */

/* Fill the buffer from @fd; short only at the end. Bytes or -errno. */
static ssize_t read_full(int fd, uint8_t *buf, size_t len, off_t pos)
{
	size_t done = 0;
	ssize_t n;

	while (done < len) {
		n = pread(fd, buf + done, len - done, pos + (off_t)done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

static int write_full(struct uext4_file *file, const uint8_t *buf, size_t len,
		uint64_t pos)
{
	ssize_t n;

	while (len > 0) {
		n = uext4_pwrite(file, buf, len, pos);
		if (n < 0)
			return (int)n;
		if (n == 0)
			return -EIO;
		buf += n;
		len -= (size_t)n;
		pos += (uint64_t)n;
	}
	return 0;
}

/* One piece [pos, pos+len) of data, padded to whole blocks. *ret_read tells
 * how much the source really had. */
static int in_piece(struct copy *cp, int fd, struct uext4_file *file,
		uint64_t pos, size_t len, ssize_t *ret_read)
{
	size_t padded;
	ssize_t n;

	n = read_full(fd, cp->buf, len, (off_t)pos);
	*ret_read = n;
	if (n <= 0)
		return 0;
	padded = ((size_t)n + COPY_ALIGN - 1) / COPY_ALIGN * COPY_ALIGN;
	memset(cp->buf + n, 0, padded - (size_t)n);
	return write_full(file, cp->buf, padded, pos);
}

/* Data from @pos up to the next hole. *ret_err_src: it was the source. */
static int in_extent(struct copy *cp, int fd, struct uext4_file *file,
		uint64_t pos, uint64_t end, bool *ret_src)
{
	uint64_t start = pos / COPY_ALIGN * COPY_ALIGN;
	ssize_t n;
	int ret;

	for (pos = start; pos < end; pos += (uint64_t)n) {
		size_t want = end - pos < COPY_BUF - COPY_ALIGN
				? (size_t)(end - pos)
				: COPY_BUF - COPY_ALIGN;

		ret = in_piece(cp, fd, file, pos, want, &n);
		if (n < 0) {
			*ret_src = true;
			return (int)n;
		}
		if (ret < 0)
			return ret;
		if (n == 0) /* the source became shorter */
			return 0;
		progress_add(&cp->progress, 0, (uint64_t)n);
	}
	return 0;
}

/* Follow the source's data and holes. */
static int in_data(struct copy *cp, int fd, struct uext4_file *file,
		uint64_t size, bool *ret_src)
{
	off_t data = 0;
	off_t hole;
	int ret = 0;

	while (ret == 0 && (uint64_t)data < size) {
		data = lseek(fd, data, SEEK_DATA);
		if (data < 0 && errno == ENXIO)
			return 0;
		if (data < 0) /* no holes known here: all is data */
			return in_extent(cp, fd, file, 0, size, ret_src);
		hole = lseek(fd, data, SEEK_HOLE);
		if (hole < 0 || (uint64_t)hole > size)
			hole = (off_t)size;
		ret = in_extent(cp, fd, file, (uint64_t)data, (uint64_t)hole,
				ret_src);
		data = hole;
	}
	return ret;
}

/* The padding goes; a hole at the end counts. */
static int in_trim(struct uext4_file *file, uint64_t size)
{
	struct uext4_stat st;
	int ret;

	ret = uext4_node_stat(uext4_file_node(file), &st);
	if (ret < 0 || st.size == size)
		return ret;
	return uext4_ftruncate(file, size);
}

static int in_regular_fd(
		struct copy *cp, struct in_item *it, int fd, bool *ret_src)
{
	unsigned flags = UEXT4_O_RDWR | UEXT4_O_CREAT | UEXT4_O_TRUNC;
	uint64_t size = (uint64_t)it->st.st_size;
	struct uext4_file *file;
	int err;
	int ret;

	if (!cp->c->cached)
		flags |= UEXT4_O_DIRECT;
	ret = uext4_create(it->dir, it->dst_name, flags, 0600, NULL, &file);
	if (ret < 0)
		return ret;
	if (size > 0)
		ret = in_data(cp, fd, file, size, ret_src);
	if (ret == 0)
		ret = in_trim(file, size);
	if (ret == 0)
		ret = in_attrs(cp, it, uext4_file_node(file));
	err = uext4_close(file);
	if (ret == 0)
		ret = err;
	if (ret < 0) /* no half a file */
		(void)uext4_unlink(it->dir, it->dst_name, NULL);
	return ret;
}

static int in_regular(struct copy *cp, struct in_item *it)
{
	bool src = false;
	int fd;
	int ret;

	fd = openat(it->dirfd, it->name,
			O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NOATIME);
	if (fd < 0 && errno == EPERM)
		fd = openat(it->dirfd, it->name,
				O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return in_err(cp, it->src, -errno);
	ret = in_regular_fd(cp, it, fd, &src);
	close(fd);
	if (ret < 0)
		return src ? in_err(cp, it->src, ret)
			   : out_err(cp, it->dst, ret);
	return 0;
}

/* ---- the rest ---- */

static int in_symlink(struct copy *cp, struct in_item *it)
{
	struct uext4_node *node;
	char target[4096];
	ssize_t n;
	int ret;

	n = readlinkat(it->dirfd, it->name, target, sizeof(target) - 1);
	if (n < 0)
		return in_err(cp, it->src, -errno);
	target[n] = '\0';
	ret = uext4_symlink(it->dir, it->dst_name, target, NULL, &node);
	if (ret == -EEXIST) {
		ret = uext4_unlink(it->dir, it->dst_name, NULL);
		if (ret == 0)
			ret = uext4_symlink(it->dir, it->dst_name, target, NULL,
					&node);
	}
	if (ret < 0)
		return out_err(cp, it->dst, ret);
	ret = in_attrs(cp, it, node);
	uext4_node_put(node);
	return ret < 0 ? out_err(cp, it->dst, ret) : 0;
}

static int in_special(struct copy *cp, struct in_item *it)
{
	struct uext4_node *node;
	int ret;

	ret = uext4_mknod(it->dir, it->dst_name, it->st.st_mode,
			major(it->st.st_rdev), minor(it->st.st_rdev), NULL,
			&node);
	if (ret < 0)
		return out_err(cp, it->dst, ret);
	ret = in_attrs(cp, it, node);
	uext4_node_put(node);
	return ret < 0 ? out_err(cp, it->dst, ret) : 0;
}

static int in_any(struct copy *cp, struct in_item *it);

/* Every entry of the open directory @d, which is closed. */
static int in_entries(struct copy *cp, struct in_item *it, DIR *d,
		struct uext4_node *node)
{
	struct dirent *de;
	char *src = NULL;
	char *dst = NULL;
	int worst = 0;

	for (;;) {
		errno = 0;
		/* the stream is this thread's own */
		de = readdir(d); /* NOLINT(concurrency-mt-unsafe) */
		if (!de)
			break;
		if (strcmp(de->d_name, ".") == 0 ||
				strcmp(de->d_name, "..") == 0)
			continue;
		if (asprintf(&src, "%s/%s", it->src, de->d_name) < 0)
			return in_err(cp, it->src, -ENOMEM);
		if (asprintf(&dst, "%s/%s", it->dst, de->d_name) < 0) {
			free(src);
			return in_err(cp, it->src, -ENOMEM);
		}
		struct in_item sub = {
			.dirfd = dirfd(d),
			.name = de->d_name,
			.src = src,
			.dst = dst,
			.dir = node,
			.dst_name = de->d_name,
		};

		if (in_any(cp, &sub) != 0)
			worst = CLI_FAILED;
		free(src);
		free(dst);
	}
	if (errno != 0)
		worst = in_err(cp, it->src, -errno);
	return worst;
}

static int in_directory(struct copy *cp, struct in_item *it)
{
	struct uext4_node *node;
	DIR *d;
	int fd;
	int worst;
	int ret;

	fd = openat(it->dirfd, it->name,
			O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		ret = in_err(cp, it->src, -errno);
		if (fd >= 0)
			close(fd);
		return ret;
	}
	ret = uext4_mkdir(it->dir, it->dst_name, 0700, NULL, &node);
	if (ret == -EEXIST)
		ret = uext4_lookup(it->dir, it->dst_name, NULL, &node);
	if (ret < 0) {
		closedir(d);
		return out_err(cp, it->dst, ret);
	}
	worst = in_entries(cp, it, d, node);
	closedir(d);
	ret = in_attrs(cp, it, node);
	uext4_node_put(node);
	if (ret < 0)
		return out_err(cp, it->dst, ret);
	return worst;
}

/* A further name of a file that went in already. */
static int in_hard_link(struct copy *cp, struct in_item *it, const char *first)
{
	struct uext4_node *node;
	int ret;

	ret = uext4_resolve(cp->fs, NULL, first, UEXT4_NOFOLLOW, NULL, &node);
	if (ret < 0)
		return out_err(cp, first, ret);
	ret = uext4_link(node, it->dir, it->dst_name, NULL);
	if (ret == -EEXIST) {
		ret = uext4_unlink(it->dir, it->dst_name, NULL);
		if (ret == 0)
			ret = uext4_link(node, it->dir, it->dst_name, NULL);
	}
	uext4_node_put(node);
	return ret < 0 ? out_err(cp, it->dst, ret) : 0;
}

static int in_by_type(struct copy *cp, struct in_item *it)
{
	switch (it->st.st_mode & S_IFMT) {
	case S_IFREG:
		return in_regular(cp, it);
	case S_IFLNK:
		return in_symlink(cp, it);
	case S_IFDIR:
		if (cp->recursive)
			return in_directory(cp, it);
		return cli_errf(cp->c, "%s: is a directory; copy it with -r",
				it->src);
	default:
		return in_special(cp, it);
	}
}

static int in_any(struct copy *cp, struct in_item *it)
{
	bool many;
	const char *first;
	int ret;

	if (fstatat(it->dirfd, it->name, &it->st, AT_SYMLINK_NOFOLLOW) < 0)
		return in_err(cp, it->src, -errno);
	many = !S_ISDIR(it->st.st_mode) && it->st.st_nlink > 1;
	first = many ? link_map_find(cp->links, it->st.st_dev, it->st.st_ino)
		     : NULL;
	if (first)
		return in_hard_link(cp, it, first);
	ret = in_by_type(cp, it);
	if (ret != 0)
		return ret;
	progress_add(&cp->progress, 1, 0);
	if (many)
		ret = link_map_add(cp->links, it->st.st_dev, it->st.st_ino,
				it->dst);
	return ret < 0 ? in_err(cp, it->src, ret) : 0;
}

int copy_in(struct copy *cp, const char *src, struct uext4_node *dir,
		const char *name, const char *dst_path)
{
	struct in_item it = {
		.dirfd = AT_FDCWD,
		.name = src,
		.src = src,
		.dst = dst_path,
		.dir = dir,
		.dst_name = name,
	};

	return in_any(cp, &it);
}

static void count_dir(int fd, uint64_t *files, uint64_t *bytes);

static void count_one(
		int dirfd_, const char *name, uint64_t *files, uint64_t *bytes)
{
	struct stat st;

	if (fstatat(dirfd_, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	if (S_ISDIR(st.st_mode))
		count_dir(openat(dirfd_, name,
					  O_RDONLY | O_DIRECTORY | O_NOFOLLOW |
							  O_CLOEXEC),
				files, bytes);
	(*files)++;
	if (S_ISREG(st.st_mode))
		*bytes += (uint64_t)st.st_blocks * 512;
}

static void count_dir(int fd, uint64_t *files, uint64_t *bytes)
{
	struct dirent *de;
	DIR *d;

	if (fd < 0)
		return;
	d = fdopendir(fd);
	if (!d) {
		close(fd);
		return;
	}
	/* the stream is this thread's own */
	while ((de = readdir(d)) != NULL) { /* NOLINT(concurrency-mt-unsafe) */
		if (strcmp(de->d_name, ".") != 0 &&
				strcmp(de->d_name, "..") != 0)
			count_one(fd, de->d_name, files, bytes);
	}
	closedir(d);
}

void copy_in_count(const char *src, uint64_t *files, uint64_t *bytes)
{
	count_one(AT_FDCWD, src, files, bytes);
}
