/* SPDX-License-Identifier: MIT */
/*
 * Requests that move the data of open files.
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
#include <string.h>

#include "fuse/piper.h"
#include "fuse/srv.h"

/* Writes that may come through a pipe, as far as can be told here. */
#define PIPED_MIN   65536u
#define PIPED_ALIGN 4096u

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

/* ---- reads ---- */

void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t pos,
		struct fuse_file_info *fi)
{
	struct srv_handle *h = srv_handle(fi);
	struct srv_worker *me = srv_me();
	struct uext4_file *file = h->file;
	ssize_t n = 0;

	if (h->wronly)
		n = handle_cached(h, &file);
	if (n == 0)
		n = uext4_pread(file, me->data,
				size < me->size ? size : me->size,
				(uint64_t)pos);
	if (n < 0)
		srv_reply(req, (int)n);
	else
		(void)fuse_reply_buf(req, me->data, (size_t)n);
}

/* ---- writes ---- */

/* By who asks, who need not be who opened it. */
static ssize_t write_by(fuse_req_t req, fuse_ino_t ino, struct srv_handle *h,
		const struct iovec *iov, uint64_t pos)
{
	bool tell;
	unsigned as = srv_write_as(req, uext4_file_node(h->file), &tell);
	unsigned tries = 0;
	ssize_t n;

	do {
		n = uext4_pwritev2(
				h->file, iov, 1, pos, UEXT4_RW_NOAPPEND | as);
	} while (srv_try_again(srv_of(req), (int)n, &tries));
	if (n > 0 && tell)
		srv_attr_changed(srv_of(req), ino);
	return n;
}

/* What comes out of the kernel's page cache is written by nobody. */
static ssize_t write_page(
		struct srv_handle *h, const struct iovec *iov, uint64_t pos)
{
	struct uext4_file *file = h->file;
	int ret = h->direct ? handle_cached(h, &file) : 0;

	return ret < 0 ? ret
		       : uext4_pwritev2(file, iov, 1, pos,
					 UEXT4_RW_NOAPPEND | UEXT4_RW_KEEPPRIV);
}

static ssize_t write_memory(fuse_req_t req, fuse_ino_t ino, char *buf,
		size_t size, uint64_t pos, struct fuse_file_info *fi)
{
	struct srv_handle *h = srv_handle(fi);
	struct iovec iov = { .iov_base = buf, .iov_len = size };

	return fi->writepage ? write_page(h, &iov, pos)
			     : write_by(req, ino, h, &iov, pos);
}

/* ---- data that is in the worker's pipe (piper.h) ---- */

/* Could it have come so? */
static bool fits_pipe(const struct srv_handle *h, size_t size, off_t pos,
		const struct fuse_file_info *fi)
{
	return h->direct && !fi->writepage && !atomic_load(&h->no_pipe) &&
			size >= PIPED_MIN &&
			(((uint64_t)pos | size) & (PIPED_ALIGN - 1)) == 0;
}

static ssize_t write_pipe(fuse_req_t req, fuse_ino_t ino, struct srv_handle *h,
		struct piper *p, uint64_t pos)
{
	bool tell;
	unsigned as = srv_write_as(req, uext4_file_node(h->file), &tell);
	ssize_t n = uext4_pwrite_pipe(
			h->file, p->rd, p->left, pos, UEXT4_RW_NOAPPEND | as);

	if (n == -EOPNOTSUPP)
		atomic_store(&h->no_pipe, true);
	if (n > 0 && tell)
		srv_attr_changed(srv_of(req), ino);
	return n;
}

/* What cannot go as it is, is written out of memory. */
static ssize_t write_piped(fuse_req_t req, fuse_ino_t ino, size_t size,
		uint64_t pos, struct fuse_file_info *fi)
{
	struct srv_handle *h = srv_handle(fi);
	struct srv_worker *me = srv_me();
	struct piper *p = me->piper;
	ssize_t n = 0;
	size_t done;
	int ret;

	if (fits_pipe(h, size, (off_t)pos, fi))
		n = write_pipe(req, ino, h, p, pos);
	done = n > 0 ? (size_t)n : 0;
	p->left = piper_rest(p);
	if (done + p->left != size) { /* it failed in the middle */
		piper_drop(p);
		return n < 0 ? n : -EIO;
	}
	if (p->left == 0)
		return n;
	ret = piper_fetch(p, me->data, p->left);
	n = ret < 0 ? ret
		    : write_memory(req, ino, me->data, size - done, pos + done,
				      fi);
	if (done == 0)
		return n;
	return (ssize_t)done + (n > 0 ? n : 0);
}

void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size,
		off_t pos, struct fuse_file_info *fi)
{
	struct srv_worker *me = srv_me();
	char *data;
	ssize_t n;

	memcpy(&data, &buf, sizeof(buf)); /* is only read from */
	n = me->piper && me->piper->left > 0
			? write_piped(req, ino, size, (uint64_t)pos, fi)
			: write_memory(req, ino, data, size, (uint64_t)pos, fi);
	if (me->piper && n == (ssize_t)size &&
			fits_pipe(srv_handle(fi), size, pos, fi))
		piper_expect(me->piper);
	if (n < 0)
		srv_reply(req, (int)n);
	else
		(void)fuse_reply_write(req, (size_t)n);
}

/* ---- copies ---- */

/* NOLINTNEXTLINE(readability-function-size): the parameters are libfuse's */
void op_copy_file_range(fuse_req_t req, fuse_ino_t in, off_t in_pos,
		struct fuse_file_info *in_fi, fuse_ino_t out, off_t out_pos,
		struct fuse_file_info *out_fi, size_t len, int flags)
{
	struct srv_worker *me = srv_me();
	struct iovec iov = { .iov_base = me->data };
	size_t done = 0;
	ssize_t n = 0;

	if (len > INT32_MAX)
		len = INT32_MAX; /* the answer has 32 bits */
	while (done < len && !fuse_req_interrupted(req)) {
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
	if (done == 0 && n == 0 && len > 0 && fuse_req_interrupted(req))
		n = -EINTR;
	if (done > 0)
		srv_attr_check(srv_of(req), in);
	if (done == 0 && n < 0)
		srv_reply(req, (int)n);
	else
		(void)fuse_reply_write(req, done);
}
