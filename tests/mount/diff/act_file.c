/* SPDX-License-Identifier: MIT */
/* Calls on open files: opening them, data, sizes, space, maps. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "side.h"
#include "sparse.h"

/* A pipe or device must not be waited for. */
#define NO_WAIT O_NONBLOCK

/* The slot takes the new file even if the old one could not be closed well. */
static void close_slot(struct side *s, int slot, struct outcome *o)
{
	if (s->fd[slot] >= 0 && close(s->fd[slot]) < 0)
		out_num(o, "close_errno", (uint64_t)errno);
	s->fd[slot] = -1;
}

void act_open(struct side *s, const struct dop *op, struct outcome *o)
{
	struct stat st;
	int fd;

	close_slot(s, op->h, o);
	fd = openat(side_dir(s, op->d), op->p,
			(int)op->n[0] | O_CLOEXEC | NO_WAIT, (mode_t)op->n[1]);
	if (fd < 0) {
		o->err = errno;
		return;
	}
	s->fd[op->h] = fd;
	if (fstat(fd, &st) < 0)
		o->err = errno;
	else
		out_stat(o, &st);
}

void act_close(struct side *s, const struct dop *op, struct outcome *o)
{
	int fd = side_fd(s, op->h);

	if (fd < 0) {
		o->err = EBADF;
		return;
	}
	s->fd[op->h] = -1;
	out_ret(o, close(fd));
}

/* ---- data ---- */

/* @len bytes of @s->buf, @misalign bytes off, in @parts equal parts. */
static int buffer_parts(const struct side *s, int64_t len, int64_t misalign,
		int64_t parts, struct iovec *v)
{
	int n = (int)(parts < 1 ? 1 : parts > 4 ? 4 : parts);
	uint8_t *at = s->buf + (misalign & 4095);
	size_t rest = len < 0 ? 0 : (size_t)len;
	int i;

	if (rest > SIDE_BUF - 4096)
		rest = SIDE_BUF - 4096;
	for (i = 0; i < n; i++) {
		size_t part = i == n - 1 ? rest : rest / (size_t)(n - i);

		v[i] = (struct iovec){ .iov_base = at, .iov_len = part };
		at += part;
		rest -= part;
	}
	return n;
}

static void position(struct side *s, const struct dop *op, struct outcome *o)
{
	off_t at = lseek(side_fd(s, op->h), 0, SEEK_CUR);

	if (at >= 0)
		out_num(o, "position", (uint64_t)at);
}

static void tell_data(const struct iovec *v, long got, struct outcome *o)
{
	if (out_ret(o, got) >= 0)
		out_bytes(o, "data", v[0].iov_base, (size_t)got);
}

void act_read(struct side *s, const struct dop *op, struct outcome *o)
{
	struct iovec v[4];
	int n = buffer_parts(s, op->n[0], op->n[1], op->n[2], v);

	tell_data(v, readv(side_fd(s, op->h), v, n), o);
	position(s, op, o);
}

void act_pread(struct side *s, const struct dop *op, struct outcome *o)
{
	struct iovec v[4];
	int n = buffer_parts(s, op->n[1], op->n[2], op->n[3], v);

	tell_data(v, preadv(side_fd(s, op->h), v, n, op->n[0]), o);
}

static void pattern_parts(const struct iovec *v, int n, int64_t pattern)
{
	size_t len = 0;
	int i;

	for (i = 0; i < n; i++)
		len += v[i].iov_len;
	side_pattern(v[0].iov_base, len, (uint64_t)pattern);
}

void act_write(struct side *s, const struct dop *op, struct outcome *o)
{
	struct iovec v[4];
	int n = buffer_parts(s, op->n[0], op->n[2], op->n[3], v);

	pattern_parts(v, n, op->n[1]);
	out_ret(o, writev(side_fd(s, op->h), v, n));
	position(s, op, o);
}

void act_pwrite(struct side *s, const struct dop *op, struct outcome *o)
{
	struct iovec v[4];
	int n = buffer_parts(s, op->n[1], op->n[3], op->n[4], v);

	pattern_parts(v, n, op->n[2]);
	out_ret(o, pwritev(side_fd(s, op->h), v, n, op->n[0]));
}

void act_seek(struct side *s, const struct dop *op, struct outcome *o)
{
	int fd = side_fd(s, op->h);
	off_t was = lseek(fd, 0, SEEK_CUR);

	out_ret(o, lseek(fd, op->n[0], (int)op->n[1]));
	/* Where answers may differ the position must not. */
	if (sparse_is_seek(op) && was >= 0)
		(void)lseek(fd, was, SEEK_SET);
	position(s, op, o);
}

void act_copy(struct side *s, const struct dop *op, struct outcome *o)
{
	off_t from = op->n[0], to = op->n[1];
	bool given = op->n[3] != 0;

	out_ret(o,
			copy_file_range(side_fd(s, op->h), given ? &from : NULL,
					side_fd(s, op->g), given ? &to : NULL,
					(size_t)op->n[2], 0));
	position(s, op, o);
}

void act_fsync(struct side *s, const struct dop *op, struct outcome *o)
{
	out_ret(o, fsync(side_fd(s, op->h)));
}

void act_fdatasync(struct side *s, const struct dop *op, struct outcome *o)
{
	out_ret(o, fdatasync(side_fd(s, op->h)));
}

/* ---- size and space ---- */

void act_truncate(struct side *s, const struct dop *op, struct outcome *o)
{
	out_ret(o, truncate(op->p, op->n[0]));
}

void act_ftruncate(struct side *s, const struct dop *op, struct outcome *o)
{
	out_ret(o, ftruncate(side_fd(s, op->h), op->n[0]));
}

void act_fallocate(struct side *s, const struct dop *op, struct outcome *o)
{
	struct stat st;

	out_ret(o,
			fallocate(side_fd(s, op->h), (int)op->n[0], op->n[1],
					op->n[2]));
	if (o->err == 0 && fstat(side_fd(s, op->h), &st) == 0)
		out_num(o, "size", (uint64_t)st.st_size);
}

/* ---- maps ---- */

static sigjmp_buf after_fault;

static void on_fault(int sig)
{
	siglongjmp(after_fault, sig);
}

static void move_bytes(void *to, const void *from, size_t len)
{
	struct sigaction act = { .sa_handler = on_fault }, old;

	(void)sigaction(SIGBUS, &act, &old);
	if (sigsetjmp(after_fault, 1) == 0)
		memcpy(to, from, len);
	else
		errno = EFAULT;
	(void)sigaction(SIGBUS, &old, NULL);
}

/* Map what @op says; NULL on failure, with the errno told. */
static uint8_t *map(struct side *s, const struct dop *op, int prot,
		size_t *ret_before, size_t *ret_len, struct outcome *o)
{
	size_t before = (size_t)op->n[0] & 4095;
	size_t len = (size_t)op->n[1] & (SIDE_BUF / 2 - 1);
	void *at;

	len += len == 0;
	at = mmap(NULL, before + len, prot, MAP_SHARED, side_fd(s, op->h),
			op->n[0] - (int64_t)before);
	if (at == MAP_FAILED) {
		o->err = errno;
		return NULL;
	}
	*ret_before = before;
	*ret_len = len;
	return at;
}

void act_mapread(struct side *s, const struct dop *op, struct outcome *o)
{
	size_t before, len;
	uint8_t *at = map(s, op, PROT_READ, &before, &len, o);

	if (!at)
		return;
	memset(s->buf, 0, len);
	errno = 0;
	move_bytes(s->buf, at + before, len);
	out_num(o, "fault", (uint64_t)errno);
	if (errno == 0)
		out_bytes(o, "data", s->buf, len);
	out_ret(o, munmap(at, before + len));
}

void act_mapstore(struct side *s, const struct dop *op, struct outcome *o)
{
	size_t before, len;
	uint8_t *at = map(s, op, PROT_READ | PROT_WRITE, &before, &len, o);
	struct stat st;
	int err;

	if (!at)
		return;
	side_pattern(s->buf, len, (uint64_t)op->n[2]);
	errno = 0;
	move_bytes(at + before, s->buf, len);
	err = errno;
	/* Inside the file only what may not be written is a fault. */
	if (err == EFAULT && fstat(side_fd(s, op->h), &st) == 0 &&
			op->n[0] + op->n[1] <= st.st_size) {
		o->err = EPERM;
		(void)munmap(at, before + len);
		return;
	}
	out_num(o, "fault", (uint64_t)err);
	if (out_ret(o, msync(at, before + len, MS_SYNC)) < 0)
		out_num(o, "msync", 0);
	(void)munmap(at, before + len);
}
