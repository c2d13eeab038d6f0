/* SPDX-License-Identifier: MIT */
/*
 * Requests about open files.
 *
 * Two kinds of reads and writes come in. Those of handles opened with O_DIRECT
 * take the direct path of the engine; all others, and what the kernel's page
 * cache reads and writes back, go through the engine's cache. A page of a
 * mapping may be written back with the handle of an O_DIRECT file: then that
 * file's cached twin is used (handle_cached()). So it is for a page that the
 * kernel reads with a handle that may only write: with writeback_cache it fills
 * the page around what is written.
 *
 * O_APPEND: the kernel has chosen the position, under its lock; it is used as
 * given, because the pieces of one large write come in any order.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuse/srv.h"

/* After so long the kernel has written what was dirty: twice what it waits. */
#define LATE_MS 60000

/* ---- open and close ---- */

static unsigned flags_from_host(int host)
{
	unsigned flags = UEXT4_O_RDONLY;

	if ((host & O_ACCMODE) == O_WRONLY)
		flags = UEXT4_O_WRONLY;
	else if ((host & O_ACCMODE) != O_RDONLY) /* 3 asks for both rights */
		flags = UEXT4_O_RDWR;
	if (host & O_CREAT)
		flags |= UEXT4_O_CREAT;
	if (host & O_EXCL)
		flags |= UEXT4_O_EXCL;
	if (host & O_TRUNC)
		flags |= UEXT4_O_TRUNC;
	if (host & O_APPEND)
		flags |= UEXT4_O_APPEND;
	if (host & O_DIRECT)
		flags |= UEXT4_O_DIRECT;
	if ((host & O_SYNC) == O_SYNC)
		flags |= UEXT4_O_SYNC;
	else if (host & O_DSYNC)
		flags |= UEXT4_O_DSYNC;
	if (host & O_NOATIME)
		flags |= UEXT4_O_NOATIME;
	return flags;
}

/* Takes over @file. */
static int handle_new(struct srv *s, struct uext4_file *file,
		struct fuse_file_info *fi)
{
	struct srv_handle *h = calloc(1, sizeof(*h));

	if (!h) {
		(void)uext4_close(file);
		return -ENOMEM;
	}
	h->file = file;
	h->direct = fi->flags & O_DIRECT;
	h->wronly = (fi->flags & O_ACCMODE) == O_WRONLY;
	pthread_mutex_lock(&s->handles_lock);
	LIST_INSERT_HEAD(&s->handles, h, link);
	pthread_mutex_unlock(&s->handles_lock);
	fi->fh = (uintptr_t)h;
	/* What the kernel has in its cache is right: it wrote it. */
	fi->keep_cache = 1;
	return 0;
}

static void handle_free(struct srv *s, struct srv_handle *h)
{
	pthread_mutex_lock(&s->handles_lock);
	LIST_REMOVE(h, link);
	pthread_mutex_unlock(&s->handles_lock);
	(void)uext4_close(atomic_load(&h->cached));
	(void)uext4_close(h->file);
	free(h);
}

void srv_close_all(struct srv *s)
{
	struct srv_handle *h;

	while ((h = LIST_FIRST(&s->handles)) != NULL)
		handle_free(s, h);
}

/* The file to use for what @h itself is not opened for. */
static int handle_cached(struct srv_handle *h, struct uext4_file **ret_file)
{
	static const struct uext4_cred kernel = {
		.flags = UEXT4_CRED_SUPER | UEXT4_CRED_CHECKED,
	};
	struct uext4_file *none = NULL;
	struct uext4_file *file;
	int ret;

	*ret_file = atomic_load(&h->cached);
	if (*ret_file)
		return 0;
	ret = uext4_open_node(uext4_file_node(h->file),
			UEXT4_O_RDWR | UEXT4_O_APPEND, &kernel, &file);
	if (ret < 0)
		return ret;
	if (!atomic_compare_exchange_strong(&h->cached, &none, file)) {
		(void)uext4_close(file);
		file = none;
	}
	*ret_file = file;
	return 0;
}

void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct srv *s = srv_of(req);
	struct uext4_cred cred = srv_cred(req);
	struct uext4_file *file;
	bool tell = false;
	int ret;

	if (fi->flags & O_TRUNC) {
		cred = srv_cred_of(req, srv_node(s, ino));
		(void)srv_write_as(req, srv_node(s, ino), &tell);
	}
	ret = uext4_open_node(srv_node(s, ino),
			flags_from_host(fi->flags & ~(O_CREAT | O_EXCL)), &cred,
			&file);
	if (ret == 0)
		ret = handle_new(s, file, fi);
	if (ret == 0 && tell)
		srv_attr_changed(s, ino);
	if (ret < 0)
		srv_reply(req, ret);
	else if (fuse_reply_open(req, fi) < 0)
		handle_free(s, srv_handle(fi));
}

/* With a name, or without one: then @name means nothing. */
static int create(struct srv *s, fuse_ino_t dir, const char *name, mode_t mode,
		const struct uext4_cred *cred, int host,
		struct uext4_file **ret_file)
{
	unsigned flags = flags_from_host(host);

	if ((host & O_TMPFILE) != O_TMPFILE)
		return uext4_create(srv_node(s, dir), name, flags, mode, cred,
				ret_file);
	/* O_EXCL, that it gets no name, the kernel in front sees to. */
	flags &= ~(UEXT4_O_CREAT | UEXT4_O_EXCL);
	return uext4_open(s->fs, srv_node(s, dir), ".", flags | UEXT4_O_TMPFILE,
			mode, cred, ret_file);
}

void op_create(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode,
		struct fuse_file_info *fi)
{
	struct uext4_cred cred = srv_cred(req);
	struct srv *s = srv_of(req);
	struct fuse_entry_param e;
	struct uext4_file *file;
	unsigned tries = 0;
	int ret;

	do {
		ret = create(s, dir, name, mode, &cred, fi->flags, &file);
	} while (srv_try_again(s, ret, &tries));
	if (ret == 0)
		ret = handle_new(s, file, fi);
	if (ret < 0) {
		srv_reply(req, ret);
		return;
	}
	ret = srv_entry(s, uext4_node_hold(uext4_file_node(file)), &e);
	if (ret < 0) {
		handle_free(s, srv_handle(fi));
		srv_reply(req, ret);
	} else if (fuse_reply_create(req, &e, fi) < 0) {
		handle_free(s, srv_handle(fi));
		op_forget_one(s, e.ino, 1);
	}
}

void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	handle_free(srv_of(req), srv_handle(fi));
	srv_reply(req, 0);
}

/* ---- data ---- */

ssize_t srv_read(struct srv_handle *h, size_t size, uint64_t pos)
{
	struct srv_worker *me = srv_me();
	struct uext4_file *file = h->file;
	ssize_t n = 0;

	if (h->wronly)
		n = handle_cached(h, &file);
	if (n == 0)
		n = uext4_pread(file, me->data,
				size < me->size ? size : me->size, pos);
	return n;
}

void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t pos,
		struct fuse_file_info *fi)
{
	ssize_t n = srv_read(srv_handle(fi), size, (uint64_t)pos);

	if (n < 0)
		srv_reply(req, (int)n);
	else
		(void)fuse_reply_buf(req, srv_me()->data, (size_t)n);
}

ssize_t srv_write(struct srv *s, struct srv_handle *h, const struct iovec *iov,
		uint64_t pos, unsigned how)
{
	unsigned tries = 0;
	ssize_t n;

	how |= UEXT4_RW_NOAPPEND;
	if (srv_me()->huge)
		how |= UEXT4_RW_HUGE;
	do {
		n = uext4_pwritev2(h->file, iov, 1, pos, how);
	} while (srv_try_again(s, (int)n, &tries));
	return n;
}

/* By who asks, who need not be who opened it. */
static ssize_t write_by(fuse_req_t req, fuse_ino_t ino, struct srv_handle *h,
		const struct iovec *iov, uint64_t pos)
{
	bool tell;
	unsigned how = srv_write_as(req, uext4_file_node(h->file), &tell);
	ssize_t n = srv_write(srv_of(req), h, iov, pos, how);

	if (n > 0 && tell)
		srv_attr_changed(srv_of(req), ino);
	return n;
}

/* What comes out of the kernel's page cache is written by nobody. If the file
 * became immutable or append-only not long ago, it may have been there before. */
static ssize_t write_page(struct srv *s, fuse_ino_t ino, struct srv_handle *h,
		const struct iovec *iov, uint64_t pos)
{
	int64_t frozen = atomic_load(&srv_node_of(s, ino)->frozen_at);
	unsigned how = UEXT4_RW_NOAPPEND | UEXT4_RW_KEEPPRIV;
	struct uext4_file *file = h->file;
	int ret = h->direct ? handle_cached(h, &file) : 0;

	if (ret < 0)
		return ret;
	if (frozen != 0 && srv_now_ms() - frozen < LATE_MS)
		how |= UEXT4_RW_LATE;
	/* Else it may be what write() wrote. */
	if (!s->opts->writeback_cache)
		how |= UEXT4_RW_KEEPCAPS;
	return uext4_pwritev2(file, iov, 1, pos, how);
}

ssize_t srv_write_page(struct srv *s, fuse_ino_t ino, struct srv_handle *h,
		const struct iovec *iov, uint64_t pos)
{
	ssize_t n;

	if (s->pages)
		atomic_fetch_add(&s->pages->begun, 1);
	n = write_page(s, ino, h, iov, pos);
	if (s->pages)
		atomic_fetch_add(&s->pages->done, 1);
	return n;
}

void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size,
		off_t pos, struct fuse_file_info *fi)
{
	struct srv_handle *h = srv_handle(fi);
	struct iovec iov = { .iov_len = size };
	ssize_t n;

	memcpy(&iov.iov_base, &buf, sizeof(buf)); /* is only read from */
	n = fi->writepage ? srv_write_page(srv_of(req), ino, h, &iov,
					    (uint64_t)pos)
			  : write_by(req, ino, h, &iov, (uint64_t)pos);
	if (n < 0)
		srv_reply(req, (int)n);
	else
		(void)fuse_reply_write(req, (size_t)n);
}

void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync,
		struct fuse_file_info *fi)
{
	struct uext4_file *file = srv_handle(fi)->file;
	int ret = datasync ? uext4_fdatasync(file) : uext4_fsync(file);

	srv_attr_check(srv_of(req), ino);
	srv_reply(req, ret);
}

void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t pos,
		off_t len, struct fuse_file_info *fi)
{
	unsigned tries = 0;
	bool tell;
	unsigned how = srv_write_as(req, srv_node(srv_of(req), ino), &tell);
	int ret;

	if (mode &
			~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE |
					FALLOC_FL_ZERO_RANGE)) {
		srv_reply(req, -EOPNOTSUPP);
		return;
	}
	if (mode & FALLOC_FL_KEEP_SIZE)
		how |= UEXT4_FALLOC_KEEP_SIZE;
	if (mode & FALLOC_FL_PUNCH_HOLE)
		how |= UEXT4_FALLOC_PUNCH_HOLE;
	if (mode & FALLOC_FL_ZERO_RANGE)
		how |= UEXT4_FALLOC_ZERO_RANGE;
	do {
		ret = uext4_fallocate(srv_handle(fi)->file, how, (uint64_t)pos,
				(uint64_t)len);
	} while (srv_try_again(srv_of(req), ret, &tries));
	if (ret == 0 && tell)
		srv_attr_changed(srv_of(req), ino);
	srv_reply(req, ret);
}

/* With writeback_cache only the kernel in front knows where data is, and how far: it
 * answers by itself when it is told that we do not, and knows of no hole then. */
void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t pos, int whence,
		struct fuse_file_info *fi)
{
	struct uext4_file *file = srv_handle(fi)->file;
	int64_t at;

	if (srv_of(req)->opts->writeback_cache)
		at = -ENOSYS;
	else if (pos < 0)
		at = -ENXIO;
	else if (whence == SEEK_DATA)
		at = uext4_seek_data(file, (uint64_t)pos);
	else if (whence == SEEK_HOLE)
		at = uext4_seek_hole(file, (uint64_t)pos);
	else
		at = -EINVAL;
	if (at < 0)
		srv_reply(req, (int)at);
	else
		(void)fuse_reply_lseek(req, at);
}

/* NOLINTNEXTLINE(readability-function-size): the parameters are libfuse's */
void op_copy_file_range(fuse_req_t req, fuse_ino_t in, off_t in_pos,
		struct fuse_file_info *in_fi, fuse_ino_t out, off_t out_pos,
		struct fuse_file_info *out_fi, size_t len, int flags)
{
	struct srv_worker *me = srv_me();
	struct iovec iov = { .iov_base = me->data };
	struct stops *stops = &srv_of(req)->stops;
	int place = stops_begin(stops, me->unique);
	size_t done = 0;
	ssize_t n = 0;

	if (len > INT32_MAX)
		len = INT32_MAX; /* the answer has 32 bits */
	while (done < len && !stops_asked(stops, place)) {
		n = uext4_pread(srv_handle(in_fi)->file, me->data,
				len - done < me->size ? len - done : me->size,
				(uint64_t)in_pos + done);
		if (n <= 0)
			break;
		iov.iov_len = (size_t)n;
		n = write_by(req, out, srv_handle(out_fi), &iov,
				(uint64_t)out_pos + done);
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	if (done == 0 && n == 0 && len > 0 && stops_asked(stops, place))
		n = -EINTR;
	stops_end(stops, place);
	if (done > 0)
		srv_attr_check(srv_of(req), in);
	if (done == 0 && n < 0)
		srv_reply(req, (int)n);
	else
		(void)fuse_reply_write(req, done);
}
