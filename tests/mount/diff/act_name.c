/* SPDX-License-Identifier: MIT */
/* Calls on names. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "side.h"

/* What a call that makes a name has made. */
static void tell_new(
		struct side *s, int slot, const char *path, struct outcome *o)
{
	struct stat st;

	if (o->err == 0 &&
			fstatat(side_dir(s, slot), path, &st,
					AT_SYMLINK_NOFOLLOW) == 0)
		out_stat(o, &st);
}

void act_mkdir(struct side *s, const struct dop *op, struct outcome *o)
{
	out_ret(o, mkdirat(side_dir(s, op->d), op->p, (mode_t)op->n[0]));
	tell_new(s, op->d, op->p, o);
}

void act_rmdir(struct side *s, const struct dop *op, struct outcome *o)
{
	out_ret(o, unlinkat(side_dir(s, op->d), op->p, AT_REMOVEDIR));
}

void act_unlink(struct side *s, const struct dop *op, struct outcome *o)
{
	out_ret(o, unlinkat(side_dir(s, op->d), op->p, (int)op->n[0]));
}

void act_rename(struct side *s, const struct dop *op, struct outcome *o)
{
	out_ret(o,
			syscall(SYS_renameat2, side_dir(s, op->d), op->p,
					side_dir(s, op->e), op->q,
					(unsigned)op->n[0]));
}

/* What is to be linked: whether it may be, the kernel decides by the mode that it
 * has seen last (differences.c). */
static void look_at(int dir, const char *path, int flags)
{
	struct stat st;

	(void)fstatat(dir, path, &st, flags);
}

void act_link(struct side *s, const struct dop *op, struct outcome *o)
{
	look_at(side_dir(s, op->d), op->p,
			op->n[0] & AT_SYMLINK_FOLLOW ? 0 : AT_SYMLINK_NOFOLLOW);
	out_ret(o,
			linkat(side_dir(s, op->d), op->p, side_dir(s, op->e),
					op->q, (int)op->n[0]));
	tell_new(s, op->e, op->q, o);
}

void act_linkh(struct side *s, const struct dop *op, struct outcome *o)
{
	int fd = side_fd(s, op->h);
	char number[16];

	look_at(fd, "", AT_EMPTY_PATH);
	if (op->n[0] == 0) {
		out_ret(o,
				linkat(fd, "", side_dir(s, op->e), op->q,
						AT_EMPTY_PATH));
	} else {
		(void)snprintf(number, sizeof(number), "%d", fd);
		out_ret(o,
				linkat(side_proc(), number, side_dir(s, op->e),
						op->q, AT_SYMLINK_FOLLOW));
	}
	tell_new(s, op->e, op->q, o);
}

void act_symlink(struct side *s, const struct dop *op, struct outcome *o)
{
	out_ret(o, symlinkat(op->q, side_dir(s, op->d), op->p));
	tell_new(s, op->d, op->p, o);
}

void act_readlink(struct side *s, const struct dop *op, struct outcome *o)
{
	long n = readlinkat(side_dir(s, op->d), op->p, (char *)s->buf, 8192);

	if (out_ret(o, n) >= 0)
		out_bytes(o, "target", s->buf, (size_t)n);
}

void act_mknod(struct side *s, const struct dop *op, struct outcome *o)
{
	out_ret(o,
			mknodat(side_dir(s, op->d), op->p, (mode_t)op->n[0],
					makedev((unsigned)op->n[1],
							(unsigned)op->n[2])));
	tell_new(s, op->d, op->p, o);
}

/* ---- many at once: directories that grow and shrink ---- */

/* The @i-th name of those; they fill blocks fast if @how says so. */
static void nth_name(char *to, size_t room, int64_t i, int64_t how)
{
	int pad = (how & 16) ? 180 : 4;

	(void)snprintf(to, room, "m%0*lld", pad, (long long)i);
}

static int make_one(int dir, const char *name, int64_t how)
{
	int fd;

	switch (how & 15) {
	case 1:
		return mkdirat(dir, name, 0755);
	case 2:
		return symlinkat(name, dir, name);
	case 3:
		return mknodat(dir, name, S_IFIFO | 0644, 0);
	default:
		fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
				0644);
		return fd < 0 ? -1 : close(fd);
	}
}

void act_many(struct side *s, const struct dop *op, struct outcome *o)
{
	int dir = openat(side_dir(s, op->d), op->p,
			O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char name[NAME_MAX + 1];
	int64_t i, made = 0;

	if (dir < 0) {
		o->err = errno;
		return;
	}
	for (i = op->n[0]; i < op->n[0] + op->n[1]; i++) {
		nth_name(name, sizeof(name), i, op->n[2]);
		if (make_one(dir, name, op->n[2]) == 0) {
			made++;
		} else if (errno != EEXIST) {
			o->err = errno;
			break;
		}
	}
	out_num(o, "made", (uint64_t)made);
	(void)close(dir);
}

static int drop_one(int dir, int64_t i, int64_t how)
{
	char name[NAME_MAX + 1];

	nth_name(name, sizeof(name), i, how);
	if (unlinkat(dir, name, 0) == 0)
		return 0;
	return errno == EISDIR ? unlinkat(dir, name, AT_REMOVEDIR) : -1;
}

void act_fewer(struct side *s, const struct dop *op, struct outcome *o)
{
	int dir = openat(side_dir(s, op->d), op->p,
			O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int64_t i, gone = 0;

	if (dir < 0) {
		o->err = errno;
		return;
	}
	for (i = op->n[0]; i < op->n[0] + op->n[1]; i++) {
		if (drop_one(dir, i, 0) == 0 || drop_one(dir, i, 16) == 0) {
			gone++;
		} else if (errno != ENOENT) {
			o->err = errno;
			break;
		}
	}
	out_num(o, "gone", (uint64_t)gone);
	(void)close(dir);
}
