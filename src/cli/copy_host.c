/* SPDX-License-Identifier: MIT */
/*
 * The host's end of a copy.
 *
 * Everything goes by descriptors and single names: no path is walked twice, no
 * symlink followed, and a tree may be deeper than a path is long.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "cli/copy.h"

/* For calls that have no form with a descriptor of a directory. */
struct name_path {
	char text[PATH_MAX];
};

static const char *name_path(const struct copy_item *it, struct name_path *p)
{
	if (it->dir->fd == AT_FDCWD)
		return it->name;
	snprintf(p->text, sizeof(p->text), "/proc/self/fd/%d/%s", it->dir->fd,
			it->name);
	return p->text;
}

static int sys(int ret)
{
	return ret < 0 ? -errno : 0;
}

/* ---- source ---- */

static void stat_to_meta(const struct stat *st, struct copy_meta *m)
{
	*m = (struct copy_meta){
		.dev = st->st_dev,
		.ino = st->st_ino,
		.mode = st->st_mode,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.nlink = (uint32_t)st->st_nlink,
		.major = major(st->st_rdev),
		.minor = minor(st->st_rdev),
		.size = (uint64_t)st->st_size,
		.atime = st->st_atim,
		.mtime = st->st_mtim,
	};
}

static int host_stat(struct copy *cp, struct copy_item *it,
		struct copy_meta *ret_meta)
{
	struct stat st;

	if (fstatat(it->dir->fd, it->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	stat_to_meta(&st, ret_meta);
	return 0;
}

/* Is @fd the object that was looked at? A name may change hands. */
static int host_is_same(int fd, uint64_t dev, uint64_t ino)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	return st.st_dev == dev && st.st_ino == ino ? 0 : -ESTALE;
}

static int host_open(struct copy *cp, struct copy_item *it,
		const struct copy_meta *meta)
{
	/* not to wait for a writer, should it be a pipe by now */
	int flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
	int ret;
	int fd;

	if (S_ISDIR(meta->mode))
		flags |= O_DIRECTORY;
	fd = openat(it->dir->fd, it->name, flags | O_NOATIME);
	if (fd < 0 && errno == EPERM)
		fd = openat(it->dir->fd, it->name, flags);
	if (fd < 0)
		return -errno;
	ret = host_is_same(fd, meta->dev, meta->ino);
	if (ret < 0) {
		close(fd);
		return ret == -ESTALE ? -ENOENT : ret;
	}
	it->obj.fd = fd;
	return 0;
}

static int host_list(struct copy *cp, const struct copy_obj *dir,
		struct name_list *ret_names)
{
	struct name_list l = { 0 };
	int fd = dup(dir->fd);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *de;
	int ret = 0;

	if (!d) {
		ret = -errno;
		if (fd >= 0)
			close(fd);
		return ret;
	}
	for (;;) {
		errno = 0;
		/* the stream is this thread's own */
		de = readdir(d); /* NOLINT(concurrency-mt-unsafe) */
		if (!de)
			break;
		if (strcmp(de->d_name, ".") == 0 ||
				strcmp(de->d_name, "..") == 0)
			continue;
		ret = name_list_add(&l, de->d_name, strlen(de->d_name));
		if (ret < 0)
			break;
	}
	if (ret == 0)
		ret = -errno;
	closedir(d);
	if (ret < 0)
		name_list_free(&l);
	else
		*ret_names = l;
	return ret;
}

static int host_data(struct copy *cp, const struct copy_item *it, uint64_t pos,
		uint64_t size, uint64_t *ret_start, uint64_t *ret_end)
{
	off_t start = lseek(it->obj.fd, (off_t)pos, SEEK_DATA);
	off_t end;

	if (start < 0 && errno == ENXIO)
		return -ENXIO;
	if (start < 0) /* no holes known here: all is data */
		start = (off_t)pos;
	end = lseek(it->obj.fd, start, SEEK_HOLE);
	if ((uint64_t)start >= size)
		return -ENXIO;
	if (end <= start || (uint64_t)end > size)
		end = (off_t)size;
	*ret_start = (uint64_t)start;
	*ret_end = (uint64_t)end;
	return 0;
}

static ssize_t host_read(struct copy *cp, const struct copy_item *it,
		uint8_t *buf, size_t len, uint64_t pos)
{
	size_t done = 0;
	ssize_t n;

	while (done < len) {
		n = pread(it->obj.fd, buf + done, len - done,
				(off_t)(pos + done));
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

static int host_readlink(struct copy *cp, const struct copy_item *it, char *buf,
		size_t size)
{
	ssize_t n = readlinkat(it->dir->fd, it->name, buf, size - 1);

	if (n < 0)
		return -errno;
	buf[n] = '\0';
	return 0;
}

static ssize_t host_xattr_list(struct copy *cp, const struct copy_item *it,
		char *buf, size_t size)
{
	struct name_path p;
	ssize_t n;

	if (it->obj.fd >= 0)
		n = flistxattr(it->obj.fd, buf, size);
	else
		n = llistxattr(name_path(it, &p), buf, size);
	return n < 0 ? -errno : n;
}

static ssize_t host_xattr_get(struct copy *cp, const struct copy_item *it,
		const char *name, void *buf, size_t size)
{
	struct name_path p;
	ssize_t n;

	if (it->obj.fd >= 0)
		n = fgetxattr(it->obj.fd, name, buf, size);
	else
		n = lgetxattr(name_path(it, &p), name, buf, size);
	return n < 0 ? -errno : n;
}

static int up_fd(const struct copy_obj *dir, uint64_t dev, uint64_t ino,
		struct copy_obj *ret_dir)
{
	int fd = openat(dir->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int ret;

	if (fd < 0)
		return -errno;
	ret = host_is_same(fd, dev, ino);
	if (ret < 0) {
		close(fd);
		return ret;
	}
	*ret_dir = (struct copy_obj){ .fd = fd };
	return 0;
}

static int host_from_up(struct copy *cp, const struct copy_obj *dir,
		const struct copy_meta *id, struct copy_obj *ret_dir)
{
	return up_fd(dir, id->dev, id->ino, ret_dir);
}

static void host_from_close(struct copy *cp, struct copy_obj *obj)
{
	if (obj->fd >= 0)
		close(obj->fd);
	obj->fd = -1;
}

const struct copy_from_ops copy_from_host = {
	.stat = host_stat,
	.open = host_open,
	.list = host_list,
	.data = host_data,
	.read = host_read,
	.readlink = host_readlink,
	.xattr_list = host_xattr_list,
	.xattr_get = host_xattr_get,
	.up = host_from_up,
	.close = host_from_close,
};

/* ---- target ---- */

static int host_create(struct copy *cp, struct copy_item *it)
{
	it->obj.fd = openat(it->dir->fd, it->name,
			O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			0600);
	return sys(it->obj.fd);
}

static int host_symlink(
		struct copy *cp, struct copy_item *it, const char *target)
{
	return sys(symlinkat(target, it->dir->fd, it->name));
}

static int host_mknod(struct copy *cp, struct copy_item *it,
		const struct copy_meta *meta)
{
	return sys(mknodat(it->dir->fd, it->name, meta->mode & (S_IFMT | 0777),
			makedev(meta->major, meta->minor)));
}

/* The directory of @path, which is longer than a path may be, and its rest. */
static int open_long_path(
		const char *path, char **ret_copy, const char **ret_rest)
{
	char *copy = strdup(path);
	char *at = copy;
	int dir = AT_FDCWD;

	if (!copy)
		return -ENOMEM;
	while (strlen(at) >= PATH_MAX) {
		char *cut = memrchr(at, '/', PATH_MAX - 1);
		int next;

		if (!cut)
			break;
		*cut = '\0';
		next = openat(dir, at,
				O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (dir != AT_FDCWD)
			close(dir);
		if (next < 0) {
			int ret = -errno;

			free(copy);
			return ret;
		}
		dir = next;
		at = cut + 1;
	}
	*ret_copy = copy;
	*ret_rest = at;
	return dir;
}

static int host_link(struct copy *cp, struct copy_item *it,
		const struct link_to *first)
{
	const char *rest = first->path;
	char *copy = NULL;
	int dir = AT_FDCWD;
	struct stat st;
	int ret = 0;

	if (strlen(first->path) >= PATH_MAX) {
		dir = open_long_path(first->path, &copy, &rest);
		if (dir < 0 && dir != AT_FDCWD)
			return dir;
	}
	if (fstatat(dir, rest, &st, AT_SYMLINK_NOFOLLOW) < 0)
		ret = -errno;
	else if (st.st_dev != first->dev || st.st_ino != first->ino)
		ret = -ESTALE;
	else
		ret = sys(linkat(dir, rest, it->dir->fd, it->name, 0));
	if (dir != AT_FDCWD)
		close(dir);
	free(copy);
	return ret;
}

static int host_mkdir(struct copy *cp, struct copy_item *it)
{
	if (mkdirat(it->dir->fd, it->name, 0700) < 0 && errno != EEXIST)
		return -errno;
	it->obj.fd = openat(it->dir->fd, it->name,
			O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	/* there is something else of this name */
	if (it->obj.fd < 0 && errno == ELOOP)
		return -ENOTDIR;
	return sys(it->obj.fd);
}

static int host_write(struct copy *cp, const struct copy_item *it,
		const uint8_t *buf, size_t len, uint64_t pos)
{
	ssize_t n;

	while (len > 0) {
		n = pwrite(it->obj.fd, buf, len, (off_t)pos);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		buf += n;
		len -= (size_t)n;
		pos += (uint64_t)n;
	}
	return 0;
}

static int host_set_size(
		struct copy *cp, const struct copy_item *it, uint64_t size)
{
	return sys(ftruncate(it->obj.fd, (off_t)size));
}

static int host_xattr_set(struct copy *cp, const struct copy_item *it,
		const char *name, const void *value, size_t len)
{
	struct name_path p;

	if (it->obj.fd >= 0)
		return sys(fsetxattr(it->obj.fd, name, value, len, 0));
	return sys(lsetxattr(name_path(it, &p), name, value, len, 0));
}

static int host_own(struct copy *cp, const struct copy_item *it,
		struct copy_meta *meta)
{
	int ret;

	if (it->obj.fd >= 0)
		ret = fchown(it->obj.fd, meta->uid, meta->gid);
	else
		ret = fchownat(it->dir->fd, it->name, meta->uid, meta->gid,
				AT_SYMLINK_NOFOLLOW);
	if (ret == 0)
		return 0;
	if (errno != EPERM && errno != EINVAL)
		return -errno;
	meta->mode &= ~(uint32_t)(S_ISUID | S_ISGID);
	/* one file is copied by cp(1) without its owner, too */
	if (!cp->warned_owner && cp->recursive)
		cli_warnf(cp->c,
				"%s: owner cannot be restored without root "
				"(further ones are not told)",
				cp->dst.text);
	cp->warned_owner = true;
	return 0;
}

static int host_finish(struct copy *cp, const struct copy_item *it,
		const struct copy_meta *meta)
{
	struct timespec times[2] = { meta->atime, meta->mtime };

	/* without a descriptor it is no file: mknod() has set the mode */
	if (it->obj.fd < 0)
		return sys(utimensat(it->dir->fd, it->name, times,
				AT_SYMLINK_NOFOLLOW));
	if (fchmod(it->obj.fd, meta->mode & 07777) < 0)
		return -errno;
	return sys(futimens(it->obj.fd, times));
}

static int host_ident(struct copy *cp, const struct copy_item *it,
		uint64_t *ret_dev, uint64_t *ret_ino)
{
	struct stat st;
	int ret;

	if (it->obj.fd >= 0)
		ret = fstat(it->obj.fd, &st);
	else
		ret = fstatat(it->dir->fd, it->name, &st, AT_SYMLINK_NOFOLLOW);
	if (ret < 0)
		return -errno;
	*ret_dev = st.st_dev;
	*ret_ino = st.st_ino;
	return 0;
}

/* Files, links and pipes, but no device: that is no place for a file. */
static int host_may_replace(struct copy *cp, const struct copy_item *it)
{
	struct stat st;

	if (fstatat(it->dir->fd, it->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))
		return -EEXIST;
	if (st.st_dev == cp->image_dev && st.st_ino == cp->image_ino)
		return -EBUSY;
	return 0;
}

static int host_temp_name(
		struct copy *cp, const struct copy_obj *dir, char *ret_name)
{
	struct stat st;
	unsigned n;

	for (n = 0; n < 100000; n++) {
		snprintf(ret_name, NAME_MAX + 1, ".uext4-new.%d.%u",
				(int)getpid(), n);
		if (fstatat(dir->fd, ret_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
			continue;
		return errno == ENOENT ? 0 : -errno;
	}
	return -EEXIST;
}

static int host_rename(struct copy *cp, const struct copy_obj *dir,
		const char *from, const char *to)
{
	return sys(renameat(dir->fd, from, dir->fd, to));
}

static int host_remove(
		struct copy *cp, const struct copy_obj *dir, const char *name)
{
	return sys(unlinkat(dir->fd, name, 0));
}

static int host_to_up(struct copy *cp, const struct copy_obj *dir, uint64_t dev,
		uint64_t ino, struct copy_obj *ret_dir)
{
	return up_fd(dir, dev, ino, ret_dir);
}

static int host_to_close(struct copy *cp, struct copy_obj *obj)
{
	int fd = obj->fd;

	obj->fd = -1;
	return fd >= 0 ? sys(close(fd)) : 0;
}

const struct copy_to_ops copy_to_host = {
	.create = host_create,
	.symlink = host_symlink,
	.mknod = host_mknod,
	.link = host_link,
	.mkdir = host_mkdir,
	.write = host_write,
	.set_size = host_set_size,
	.xattr_set = host_xattr_set,
	.own = host_own,
	.finish = host_finish,
	.ident = host_ident,
	.may_replace = host_may_replace,
	.temp_name = host_temp_name,
	.rename = host_rename,
	.remove = host_remove,
	.up = host_to_up,
	.close = host_to_close,
};

/* ---- counting ---- */

void copy_count_host(const char *src, uint64_t *files, uint64_t *bytes)
{
	char *path = strdup(src);
	char *paths[2] = { path, NULL };
	FTSENT *e;
	FTS *fts;

	fts = path ? fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL) : NULL;
	while (fts && (e = fts_read(fts)) != NULL) {
		if (e->fts_info == FTS_DP)
			continue;
		(*files)++;
		if (e->fts_info == FTS_F)
			*bytes += (uint64_t)e->fts_statp->st_blocks * 512;
	}
	if (fts)
		fts_close(fts);
	free(path);
}
