/* SPDX-License-Identifier: MIT */
/*
 * Files of the host by io_uring. See host.h.
 */
#include "bench/host.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAMES_DIR "names"
#define REAP_MAX  64u

static struct host *to_host(struct target *t)
{
	return (struct host *)t;
}

/* ---- set up ---- */

/* The fastest that there is for one thread; old kernels do not know the flags
 * and say so. */
static int ring_open(struct io_uring *ring, unsigned depth)
{
	static const unsigned flags[] = {
		IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
		IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
		0,
	};
	int ret = -EINVAL;

	for (unsigned i = 0; ret == -EINVAL && i < 3; i++)
		ret = io_uring_queue_init(depth, ring, flags[i]);
	return ret;
}

/* The ring, with an empty place for the file that will be open. */
static int ring_init(struct host *h, const struct target_setup *s)
{
	int none = -1;
	int ret;

	ret = ring_open(&h->ring, s->depth);
	if (ret < 0)
		return ret;
	ret = io_uring_register_files(&h->ring, &none, 1);
	if (ret < 0)
		io_uring_queue_exit(&h->ring);
	return ret;
}

int host_init(struct host *h, const struct target_setup *s, const char *path)
{
	int ret = 0;
	int fd;

	h->direct = s->direct;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		ret = -errno;
		return fault_set(s->fault, ret, "%s: %s", path,
				uext4_strerror(ret));
	}
	if (!h->no_ring)
		ret = ring_init(h, s);
	if (ret < 0) {
		close(fd);
		return fault_set(s->fault, TARGET_SKIP,
				"io_uring is refused here: %s",
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
	if (!h->no_ring)
		io_uring_queue_exit(&h->ring);
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
	if (h->no_ring)
		return 0;
	ret = io_uring_register_files_update(&h->ring, 0, &h->fd, 1);
	if (ret == 1)
		return 0;
	(void)host_file_close(t);
	return ret < 0 ? ret : -EIO;
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
	int none = -1;
	int ret;

	if (h->fd < 0)
		return 0;
	if (!h->no_ring)
		(void)io_uring_register_files_update(&h->ring, 0, &none, 1);
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

/* ---- the queue ---- */

int host_prep(struct target *t, const struct target_req *req)
{
	struct host *h = to_host(t);
	struct io_uring_sqe *sqe = io_uring_get_sqe(&h->ring);

	if (!sqe)
		return -EAGAIN;
	if (req->write)
		io_uring_prep_write(sqe, 0, req->buf, req->len, req->pos);
	else
		io_uring_prep_read(sqe, 0, req->buf, req->len, req->pos);
	sqe->flags |= IOSQE_FIXED_FILE;
	io_uring_sqe_set_data64(sqe, req->slot);
	return 0;
}

int host_submit(struct target *t, unsigned wait_for)
{
	int ret = io_uring_submit_and_wait(&to_host(t)->ring, wait_for);

	return ret == -EINTR ? 0 : ret;
}

int host_reap(struct target *t, struct target_done *done, unsigned max)
{
	struct host *h = to_host(t);
	struct io_uring_cqe *cqes[REAP_MAX];
	unsigned n;
	unsigned i;

	n = io_uring_peek_batch_cqe(
			&h->ring, cqes, max < REAP_MAX ? max : REAP_MAX);
	for (i = 0; i < n; i++) {
		done[i].slot = io_uring_cqe_get_data64(cqes[i]);
		done[i].result = cqes[i]->res;
	}
	io_uring_cq_advance(&h->ring, n);
	return (int)n;
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
