/* SPDX-License-Identifier: MIT */
/*
 * A directory of the host, its file, names. See host.h.
 */
#include "bench/host.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAMES_DIR "names"

static struct host *to_host(struct target *t)
{
	return (struct host *)t;
}

/* ---- set up ---- */

int host_init(struct host *h, const struct target_setup *s, const char *path)
{
	int ret = 0;
	int fd;

	h->direct = s->direct;
	h->io = s->dir_io;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		ret = -errno;
		return fault_set(s->fault, ret, "%s: %s", path,
				uext4_strerror(ret));
	}
	if (!h->no_queue)
		ret = host_queue_init(h, s->depth);
	if (ret < 0) {
		close(fd);
		return fault_set(s->fault, TARGET_SKIP,
				"%s is refused here: %s", host_io_name(h->io),
				uext4_strerror(ret));
	}
	h->dirfd = fd;
	return 0;
}

void host_fini(struct host *h)
{
	if (h->dirfd < 0)
		return;
	(void)host_file_close(&h->target);
	if (!h->no_queue)
		host_queue_fini(h);
	if (h->namesfd >= 0)
		close(h->namesfd);
	close(h->dirfd);
	h->namesfd = -1;
	h->dirfd = -1;
}

/* ---- the file ---- */

int host_file_open(struct target *t, const char *name)
{
	struct host *h = to_host(t);
	int flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK |
			(h->direct ? O_DIRECT : 0);
	int ret;

	h->fd = openat(h->dirfd, name, flags, 0600);
	if (h->fd < 0)
		return -errno;
	if (h->no_queue)
		return 0;
	ret = host_queue_use(h, h->fd);
	if (ret < 0)
		(void)host_file_close(t);
	return ret;
}

int host_file_resize(struct target *t, uint64_t size)
{
	return ftruncate(to_host(t)->fd, (off_t)size) < 0 ? -errno : 0;
}

int host_file_allocate(struct target *t, uint64_t size)
{
	return fallocate(to_host(t)->fd, 0, 0, (off_t)size) < 0 ? -errno : 0;
}

int host_file_close(struct target *t)
{
	struct host *h = to_host(t);
	int ret;

	if (h->fd < 0)
		return 0;
	if (!h->no_queue)
		(void)host_queue_use(h, -1);
	ret = close(h->fd) < 0 ? -errno : 0;
	h->fd = -1;
	return ret;
}

int host_file_remove(struct target *t, const char *name)
{
	return unlinkat(to_host(t)->dirfd, name, 0) < 0 ? -errno : 0;
}

int host_write_sync(struct target *t, void *buf, uint32_t len, uint64_t pos)
{
	struct host *h = to_host(t);
	ssize_t n;

	n = pwrite(h->fd, buf, len, (off_t)pos);
	if (n < 0)
		return -errno;
	if (n != (ssize_t)len)
		return -EIO;
	if (h->data_only)
		return fdatasync(h->fd) < 0 ? -errno : 0;
	return fsync(h->fd) < 0 ? -errno : 0;
}

/* ---- names ---- */

int host_dir_make(struct target *t)
{
	struct host *h = to_host(t);

	if (mkdirat(h->dirfd, NAMES_DIR, 0700) < 0)
		return -errno;
	h->namesfd = openat(h->dirfd, NAMES_DIR,
			O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return h->namesfd < 0 ? -errno : 0;
}

int host_dir_remove(struct target *t)
{
	struct host *h = to_host(t);

	close(h->namesfd);
	h->namesfd = -1;
	return unlinkat(h->dirfd, NAMES_DIR, AT_REMOVEDIR) < 0 ? -errno : 0;
}

int host_name_create(struct target *t, const char *name)
{
	int fd;

	fd = openat(to_host(t)->namesfd, name,
			O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	return close(fd) < 0 ? -errno : 0;
}

int host_name_stat(struct target *t, const char *name)
{
	struct stat st;

	if (fstatat(to_host(t)->namesfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return S_ISREG(st.st_mode) && st.st_size == 0 ? 0 : -EIO;
}

int host_name_unlink(struct target *t, const char *name)
{
	return unlinkat(to_host(t)->namesfd, name, 0) < 0 ? -errno : 0;
}

int host_sync(struct target *t)
{
	return syncfs(to_host(t)->dirfd) < 0 ? -errno : 0;
}
