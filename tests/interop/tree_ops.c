/* SPDX-License-Identifier: MIT */
/*
 * The two sides that a script can be run on (see tree.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tree.h"
#include "uext4/uext4.h"

#define FALLOC_KNOWN                                                           \
 (UEXT4_FALLOC_KEEP_SIZE | UEXT4_FALLOC_PUNCH_HOLE | UEXT4_FALLOC_ZERO_RANGE)

/* ---- the library ---- */

static int api_node(void *ctx, const char *path, bool follow,
		struct uext4_node **node)
{
	return uext4_resolve(ctx, NULL, path, follow ? 0 : UEXT4_NOFOLLOW, NULL,
			node);
}

static int api_dir(void *ctx, const char *path, char *name,
		struct uext4_node **dir)
{
	return uext4_resolve_parent(ctx, NULL, path, NULL, name, dir);
}

static int api_mkdir(void *ctx, const char *path, uint32_t mode)
{
	char name[UEXT4_NAME_MAX + 1];
	struct uext4_node *dir;
	int ret = api_dir(ctx, path, name, &dir);

	if (ret < 0)
		return ret;
	ret = uext4_mkdir(dir, name, mode, NULL, NULL);
	uext4_node_put(dir);
	return ret;
}

static int api_mknod(void *ctx, const char *path, uint32_t mode, uint32_t dev)
{
	char name[UEXT4_NAME_MAX + 1];
	struct uext4_node *dir;
	int ret = api_dir(ctx, path, name, &dir);

	if (ret < 0)
		return ret;
	ret = uext4_mknod(dir, name, mode, major(dev), minor(dev), NULL, NULL);
	uext4_node_put(dir);
	return ret;
}

static int api_symlink(void *ctx, const char *target, const char *path)
{
	char name[UEXT4_NAME_MAX + 1];
	struct uext4_node *dir;
	int ret = api_dir(ctx, path, name, &dir);

	if (ret < 0)
		return ret;
	ret = uext4_symlink(dir, name, target, NULL, NULL);
	uext4_node_put(dir);
	return ret;
}

static int api_link(void *ctx, const char *old, const char *path)
{
	char name[UEXT4_NAME_MAX + 1];
	struct uext4_node *dir, *node;
	int ret = api_node(ctx, old, false, &node);

	if (ret < 0)
		return ret;
	ret = api_dir(ctx, path, name, &dir);
	if (ret == 0) {
		ret = uext4_link(node, dir, name, NULL);
		uext4_node_put(dir);
	}
	uext4_node_put(node);
	return ret;
}

static int api_rename(
		void *ctx, const char *old, const char *path, unsigned flags)
{
	char from[UEXT4_NAME_MAX + 1], to[UEXT4_NAME_MAX + 1];
	struct uext4_node *a, *b;
	int ret = api_dir(ctx, old, from, &a);

	if (ret < 0)
		return ret;
	ret = api_dir(ctx, path, to, &b);
	if (ret == 0) {
		ret = uext4_rename(a, from, b, to, flags, NULL);
		uext4_node_put(b);
	}
	uext4_node_put(a);
	return ret;
}

static int api_remove(void *ctx, const char *path, bool rmdir)
{
	char name[UEXT4_NAME_MAX + 1];
	struct uext4_node *dir;
	int ret = api_dir(ctx, path, name, &dir);

	if (ret < 0)
		return ret;
	ret = rmdir ? uext4_rmdir(dir, name, NULL)
		    : uext4_unlink(dir, name, NULL);
	uext4_node_put(dir);
	return ret;
}

static int api_unlink(void *ctx, const char *path)
{
	return api_remove(ctx, path, false);
}

static int api_rmdir(void *ctx, const char *path)
{
	return api_remove(ctx, path, true);
}

static int api_write(void *ctx, const char *path, uint64_t pos, const void *buf,
		size_t len, bool sync)
{
	unsigned flags = UEXT4_O_RDWR | UEXT4_O_CREAT;
	struct uext4_file *f;
	ssize_t n;
	int ret;

	if ((pos | len) % 512 == 0) /* what can go direct does */
		flags |= UEXT4_O_DIRECT;
	ret = uext4_open(ctx, NULL, path, flags, 0644, NULL, &f);
	if (ret < 0)
		return ret;
	n = uext4_pwrite(f, buf, len, pos);
	ret = n < 0 ? (int)n : (size_t)n == len ? 0 : -EIO;
	if (ret == 0 && sync)
		ret = uext4_fsync(f);
	n = uext4_close(f);
	return ret < 0 ? ret : (int)n;
}

static int api_fallocate(void *ctx, const char *path, unsigned mode,
		uint64_t pos, uint64_t len)
{
	struct uext4_file *f;
	int ret, err;

	ret = uext4_open(ctx, NULL, path, UEXT4_O_RDWR, 0, NULL, &f);
	if (ret < 0)
		return ret;
	ret = uext4_fallocate(f, mode, pos, len);
	err = uext4_close(f);
	return ret < 0 ? ret : err;
}

static int api_setxattr(void *ctx, const char *path, const char *name,
		const void *value, size_t len, unsigned flags)
{
	struct uext4_node *node;
	int ret = api_node(ctx, path, false, &node);

	if (ret < 0)
		return ret;
	ret = uext4_setxattr(node, name, value, len, flags, NULL);
	uext4_node_put(node);
	return ret;
}

static int api_removexattr(void *ctx, const char *path, const char *name)
{
	struct uext4_node *node;
	int ret = api_node(ctx, path, false, &node);

	if (ret < 0)
		return ret;
	ret = uext4_removexattr(node, name, NULL);
	uext4_node_put(node);
	return ret;
}

static int api_setattr(void *ctx, const char *path, bool follow,
		const struct uext4_setattr *a)
{
	struct uext4_node *node;
	int ret = api_node(ctx, path, follow, &node);

	if (ret < 0)
		return ret;
	ret = uext4_node_setattr(node, a, NULL);
	uext4_node_put(node);
	return ret;
}

static int api_truncate(void *ctx, const char *path, uint64_t size)
{
	return api_setattr(ctx, path, true,
			&(struct uext4_setattr){
					.mask = UEXT4_SET_SIZE, .size = size });
}

static int api_chmod(void *ctx, const char *path, uint32_t mode)
{
	return api_setattr(ctx, path, true,
			&(struct uext4_setattr){
					.mask = UEXT4_SET_MODE, .mode = mode });
}

static int api_chown(void *ctx, const char *path, uint32_t uid, uint32_t gid)
{
	return api_setattr(ctx, path, false,
			&(struct uext4_setattr){
					.mask = UEXT4_SET_UID | UEXT4_SET_GID,
					.uid = uid,
					.gid = gid });
}

static int api_utimes(void *ctx, const char *path, int64_t sec, long ns)
{
	return api_setattr(ctx, path, false,
			&(struct uext4_setattr){ .mask = UEXT4_SET_ATIME |
							UEXT4_SET_MTIME,
					.atime = { sec, ns },
					.mtime = { sec, ns } });
}

const struct tree_ops tree_api = {
	.mkdir = api_mkdir,
	.mknod = api_mknod,
	.symlink = api_symlink,
	.link = api_link,
	.rename = api_rename,
	.unlink = api_unlink,
	.rmdir = api_rmdir,
	.write = api_write,
	.truncate = api_truncate,
	.fallocate = api_fallocate,
	.setxattr = api_setxattr,
	.removexattr = api_removexattr,
	.chmod = api_chmod,
	.chown = api_chown,
	.utimes = api_utimes,
};

/* ---- the kernel ---- */

struct where {
	char path[1024];
};

static const char *at(void *ctx, const char *path, struct where *w)
{
	(void)snprintf(w->path, sizeof(w->path), "%s%s", (const char *)ctx,
			path);
	return w->path;
}

static int result(long ret)
{
	return ret < 0 ? -errno : 0;
}

static int posix_mkdir(void *ctx, const char *path, uint32_t mode)
{
	struct where w;

	return result(mkdir(at(ctx, path, &w), mode));
}

static int posix_mknod(void *ctx, const char *path, uint32_t mode, uint32_t dev)
{
	struct where w;

	return result(mknod(at(ctx, path, &w), mode, dev));
}

static int posix_symlink(void *ctx, const char *target, const char *path)
{
	struct where w;

	return result(symlink(target, at(ctx, path, &w)));
}

static int posix_link(void *ctx, const char *old, const char *path)
{
	struct where v, w;

	return result(linkat(AT_FDCWD, at(ctx, old, &v), AT_FDCWD,
			at(ctx, path, &w), 0));
}

static int posix_rename(
		void *ctx, const char *old, const char *path, unsigned flags)
{
	struct where v, w;

	/* the library's flags have the kernel's values */
	return result(renameat2(AT_FDCWD, at(ctx, old, &v), AT_FDCWD,
			at(ctx, path, &w), flags));
}

static int posix_unlink(void *ctx, const char *path)
{
	struct where w;

	return result(unlink(at(ctx, path, &w)));
}

static int posix_rmdir(void *ctx, const char *path)
{
	struct where w;

	return result(rmdir(at(ctx, path, &w)));
}

/* Why @path could not be opened. A device on a mount without devices, and
 * whatever is no file in a sticky directory of others, are -EACCES to Linux's
 * VFS; the library opens neither anywhere: -ENXIO. */
static int open_error(const char *path)
{
	int err = -errno;
	struct stat st;

	if (err == -EACCES && stat(path, &st) == 0 && !S_ISREG(st.st_mode) &&
			!S_ISDIR(st.st_mode))
		return -ENXIO;
	return err;
}

static int posix_write(void *ctx, const char *path, uint64_t pos,
		const void *buf, size_t len, bool sync)
{
	struct where w;
	int fd = open(at(ctx, path, &w),
			O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0644);
	ssize_t n;
	int ret;

	if (fd < 0)
		return open_error(at(ctx, path, &w));
	n = pwrite(fd, buf, len, (off_t)pos);
	ret = n < 0 ? -errno : (size_t)n == len ? 0 : -EIO;
	if (ret == 0 && sync)
		ret = result(fsync(fd));
	(void)close(fd);
	return ret;
}

static int posix_truncate(void *ctx, const char *path, uint64_t size)
{
	struct where w;

	return result(truncate(at(ctx, path, &w), (off_t)size));
}

static int posix_fallocate_(void *ctx, const char *path, unsigned mode,
		uint64_t pos, uint64_t len)
{
	struct where w;
	int fd = open(at(ctx, path, &w), O_RDWR | O_CLOEXEC | O_NONBLOCK);
	int kmode = (mode & UEXT4_FALLOC_KEEP_SIZE ? FALLOC_FL_KEEP_SIZE : 0) |
			(mode & UEXT4_FALLOC_PUNCH_HOLE ? FALLOC_FL_PUNCH_HOLE
							: 0) |
			(mode & UEXT4_FALLOC_ZERO_RANGE ? FALLOC_FL_ZERO_RANGE
							: 0);
	int ret;

	if (fd < 0)
		return open_error(at(ctx, path, &w));
	ret = mode & ~FALLOC_KNOWN
			? -EOPNOTSUPP
			: result(fallocate(fd, kmode, (off_t)pos, (off_t)len));
	(void)close(fd);
	return ret;
}

static int posix_setxattr(void *ctx, const char *path, const char *name,
		const void *value, size_t len, unsigned flags)
{
	struct where w;

	return result(lsetxattr(
			at(ctx, path, &w), name, value, len, (int)flags));
}

static int posix_removexattr(void *ctx, const char *path, const char *name)
{
	struct where w;

	return result(lremovexattr(at(ctx, path, &w), name));
}

static int posix_chmod(void *ctx, const char *path, uint32_t mode)
{
	struct where w;

	return result(chmod(at(ctx, path, &w), mode));
}

static int posix_chown(void *ctx, const char *path, uint32_t uid, uint32_t gid)
{
	struct where w;

	return result(lchown(at(ctx, path, &w), uid, gid));
}

static int posix_utimes(void *ctx, const char *path, int64_t sec, long ns)
{
	struct timespec ts[2] = { { sec, ns }, { sec, ns } };
	struct where w;

	return result(utimensat(
			AT_FDCWD, at(ctx, path, &w), ts, AT_SYMLINK_NOFOLLOW));
}

const struct tree_ops tree_posix = {
	.mkdir = posix_mkdir,
	.mknod = posix_mknod,
	.symlink = posix_symlink,
	.link = posix_link,
	.rename = posix_rename,
	.unlink = posix_unlink,
	.rmdir = posix_rmdir,
	.write = posix_write,
	.truncate = posix_truncate,
	.fallocate = posix_fallocate_,
	.setxattr = posix_setxattr,
	.removexattr = posix_removexattr,
	.chmod = posix_chmod,
	.chown = posix_chown,
	.utimes = posix_utimes,
};
