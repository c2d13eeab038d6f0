/* SPDX-License-Identifier: MIT */
/* Requests about open files, but for their data (srv_data.c). */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuse/srv.h"

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

/* ---- what is done to them ---- */

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

void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t pos, int whence,
		struct fuse_file_info *fi)
{
	struct uext4_file *file = srv_handle(fi)->file;
	int64_t at;

	if (pos < 0)
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
