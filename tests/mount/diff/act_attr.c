/* SPDX-License-Identifier: MIT */
/* Calls on attributes: of the inode, by name, and by ioctl. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "side.h"

static int nofollow(int64_t n)
{
	return n ? AT_SYMLINK_NOFOLLOW : 0;
}

static void tell_stat(struct outcome *o, int ret, const struct stat *st)
{
	if (ret < 0)
		o->err = errno;
	else
		out_stat(o, st);
}

void act_stat(struct side *s, const struct dop *op, struct outcome *o)
{
	struct stat st;

	tell_stat(o,
			fstatat(side_dir(s, op->d), op->p, &st,
					nofollow(op->n[0])),
			&st);
}

void act_fstat(struct side *s, const struct dop *op, struct outcome *o)
{
	struct stat st;

	tell_stat(o, fstat(side_fd(s, op->h), &st), &st);
}

void act_statx(struct side *s, const struct dop *op, struct outcome *o)
{
	struct statx x;

	if (statx(side_dir(s, op->d), op->p, nofollow(op->n[0]),
			    STATX_BASIC_STATS | STATX_BTIME, &x) < 0) {
		o->err = errno;
		return;
	}
	out_num(o, "mask", x.stx_mask & STATX_BASIC_STATS);
	out_num(o, "has_btime", x.stx_mask & STATX_BTIME ? 1 : 0);
	out_num(o, "attributes", x.stx_attributes);
	out_num(o, "attributes_mask", x.stx_attributes_mask);
	out_num(o, "mode", x.stx_mode);
	out_num(o, "nlink", x.stx_nlink);
	out_num(o, "blksize", x.stx_blksize);
}

void act_access(struct side *s, const struct dop *op, struct outcome *o)
{
	out_ret(o,
			syscall(SYS_faccessat2, side_dir(s, op->d), op->p,
					(int)op->n[0], (int)op->n[1]));
}

void act_chmod(struct side *s, const struct dop *op, struct outcome *o)
{
	struct stat st;

	out_ret(o, fchmodat(side_dir(s, op->d), op->p, (mode_t)op->n[0], 0));
	if (o->err == 0 && fstatat(side_dir(s, op->d), op->p, &st, 0) == 0)
		out_num(o, "mode", st.st_mode);
}

void act_fchmod(struct side *s, const struct dop *op, struct outcome *o)
{
	out_ret(o, fchmod(side_fd(s, op->h), (mode_t)op->n[0]));
}

void act_chown(struct side *s, const struct dop *op, struct outcome *o)
{
	int how = nofollow(op->n[2]);
	struct stat st;

	out_ret(o,
			fchownat(side_dir(s, op->d), op->p, (uid_t)op->n[0],
					(gid_t)op->n[1], how));
	if (o->err == 0 && fstatat(side_dir(s, op->d), op->p, &st, how) == 0) {
		out_num(o, "mode", st.st_mode);
		out_num(o, "uid", st.st_uid);
		out_num(o, "gid", st.st_gid);
	}
}

void act_fchown(struct side *s, const struct dop *op, struct outcome *o)
{
	out_ret(o, fchown(side_fd(s, op->h), (uid_t)op->n[0], (gid_t)op->n[1]));
}

/* ---- times ---- */

/* What was set exactly must be read exactly. */
static void tell_times(
		const struct dop *op, const struct stat *st, struct outcome *o)
{
	out_num(o, "set_atime", out_time(&st->st_atim));
	out_num(o, "set_mtime", out_time(&st->st_mtim));
}

static void times_of(const struct dop *op, struct timespec *ret_t)
{
	ret_t[0] = (struct timespec){ op->n[0], op->n[1] };
	ret_t[1] = (struct timespec){ op->n[2], op->n[3] };
}

void act_utimens(struct side *s, const struct dop *op, struct outcome *o)
{
	int how = nofollow(op->n[4]);
	struct timespec t[2];
	struct stat st;

	times_of(op, t);
	out_ret(o, utimensat(side_dir(s, op->d), op->p, t, how));
	if (o->err == 0 && fstatat(side_dir(s, op->d), op->p, &st, how) == 0)
		tell_times(op, &st, o);
}

void act_futimens(struct side *s, const struct dop *op, struct outcome *o)
{
	struct timespec t[2];
	struct stat st;

	times_of(op, t);
	out_ret(o, futimens(side_fd(s, op->h), t));
	if (o->err == 0 && fstat(side_fd(s, op->h), &st) == 0)
		tell_times(op, &st, o);
}

/* ---- by name ---- */

/* How an attribute is reached. */
enum {
	BY_PATH,
	BY_LINK,
	BY_SLOT
};

void act_setxattr(struct side *s, const struct dop *op, struct outcome *o)
{
	const void *x = op->x ? (const void *)op->x : "";
	int flags = (int)op->n[0];

	if (op->n[1] == BY_SLOT)
		out_ret(o,
				fsetxattr(side_fd(s, op->h), op->q, x, op->nx,
						flags));
	else if (op->n[1] == BY_LINK)
		out_ret(o, lsetxattr(op->p, op->q, x, op->nx, flags));
	else
		out_ret(o, setxattr(op->p, op->q, x, op->nx, flags));
}

static size_t room_for(int64_t room)
{
	return room < 0 || room > 1 << 17 ? 1 << 17 : (size_t)room;
}

void act_getxattr(struct side *s, const struct dop *op, struct outcome *o)
{
	size_t room = room_for(op->n[0]);
	long n;

	if (op->n[1] == BY_SLOT)
		n = fgetxattr(side_fd(s, op->h), op->q, s->buf, room);
	else if (op->n[1] == BY_LINK)
		n = lgetxattr(op->p, op->q, s->buf, room);
	else
		n = getxattr(op->p, op->q, s->buf, room);
	if (out_ret(o, n) >= 0 && room > 0)
		out_bytes(o, "value", s->buf, (size_t)n);
}

/* Names in order: theirs is not promised. */
static void sort_names(char *names, size_t len, char *sorted)
{
	char *last = NULL;
	size_t used = 0;

	for (;;) {
		char *best = NULL, *at;

		for (at = names; at < names + len; at += strlen(at) + 1) {
			if ((!last || strcmp(at, last) > 0) &&
					(!best || strcmp(at, best) < 0))
				best = at;
		}
		if (!best)
			break;
		memcpy(sorted + used, best, strlen(best) + 1);
		used += strlen(best) + 1;
		last = best;
	}
}

void act_listxattr(struct side *s, const struct dop *op, struct outcome *o)
{
	char *names = (char *)s->buf, *sorted = names + (1 << 18);
	size_t room = room_for(op->n[0]);
	long n;

	if (op->n[1] == BY_SLOT)
		n = flistxattr(side_fd(s, op->h), names, room);
	else if (op->n[1] == BY_LINK)
		n = llistxattr(op->p, names, room);
	else
		n = listxattr(op->p, names, room);
	if (out_ret(o, n) < 0 || room == 0)
		return;
	memset(sorted, 0, (size_t)n);
	sort_names(names, (size_t)n, sorted);
	out_bytes(o, "names", sorted, (size_t)n);
}

void act_removexattr(struct side *s, const struct dop *op, struct outcome *o)
{
	if (op->n[0] == BY_SLOT)
		out_ret(o, fremovexattr(side_fd(s, op->h), op->q));
	else if (op->n[0] == BY_LINK)
		out_ret(o, lremovexattr(op->p, op->q));
	else
		out_ret(o, removexattr(op->p, op->q));
}

/* ---- by ioctl ---- */

static void tell_fsxattr(int fd, struct outcome *o)
{
	struct fsxattr fa = { 0 };

	if (out_ret(o, ioctl(fd, FS_IOC_FSGETXATTR, &fa)) < 0)
		return;
	out_num(o, "xflags", fa.fsx_xflags);
	out_num(o, "projid", fa.fsx_projid);
}

static void set_fsxattr(int fd, uint32_t xflags, struct outcome *o)
{
	struct fsxattr fa = { 0 };

	if (ioctl(fd, FS_IOC_FSGETXATTR, &fa) < 0) {
		o->err = errno;
		return;
	}
	fa.fsx_xflags = xflags;
	out_ret(o, ioctl(fd, FS_IOC_FSSETXATTR, &fa));
}

static void tell_flags(int fd, const char *name, struct outcome *o)
{
	unsigned flags = 0;

	if (out_ret(o, ioctl(fd, FS_IOC_GETFLAGS, &flags)) >= 0)
		out_num(o, name, flags);
}

void act_ioctl(struct side *s, const struct dop *op, struct outcome *o)
{
	char label[FSLABEL_MAX] = { 0 };
	unsigned value = (unsigned)op->n[1];
	int fd = side_fd(s, op->h);
	long version = 0;

	switch (op->n[0]) {
	case 0:
		tell_flags(fd, "flags", o);
		break;
	case 1:
		out_ret(o, ioctl(fd, FS_IOC_SETFLAGS, &value));
		break;
	case 2:
		tell_fsxattr(fd, o);
		break;
	case 3:
		set_fsxattr(fd, value, o);
		break;
	case 4: /* the number itself is random */
		out_ret(o, ioctl(fd, FS_IOC_GETVERSION, &version));
		break;
	case 5:
		if (out_ret(o, ioctl(fd, FS_IOC_GETFSLABEL, label)) >= 0)
			out_bytes(o, "label", label, strnlen(label, 255));
		break;
	case 6:
		label[0] = (char)('a' + value % 26);
		out_ret(o, ioctl(fd, FS_IOC_SETFSLABEL, label));
		break;
	case 7:
		out_ret(o, ioctl(fd, FIGETBSZ, &value));
		out_num(o, "block_size", value);
		break;
	case 8:
		version = value;
		if (out_ret(o, ioctl(fd, FS_IOC_SETVERSION, &version)) >= 0 &&
				ioctl(fd, FS_IOC_GETVERSION, &version) >= 0)
			out_num(o, "version", (uint32_t)version);
		break;
	default:
		out_ret(o, ioctl(fd, _IO('z', 77), 0));
	}
}

void act_flags(struct side *s, const struct dop *op, struct outcome *o)
{
	int fd = openat(side_dir(s, op->d), op->p,
			O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	unsigned flags;

	if (fd < 0) {
		o->err = errno;
		return;
	}
	if (out_ret(o, ioctl(fd, FS_IOC_GETFLAGS, &flags)) >= 0) {
		flags = (flags | (unsigned)op->n[0]) & ~(unsigned)op->n[1];
		out_ret(o, ioctl(fd, FS_IOC_SETFLAGS, &flags));
		if (o->err == 0)
			tell_flags(fd, "flags", o);
	}
	(void)close(fd);
}

/* ---- the rest ---- */

void act_umask(struct side *s, const struct dop *op, struct outcome *o)
{
	/* Of the process, so the second side reads what the first has set. */
	(void)umask((mode_t)op->n[0]);
}

void act_statfs(struct side *s, const struct dop *op, struct outcome *o)
{
	struct statfs st;

	if (statfs(op->p, &st) < 0) {
		o->err = errno;
		return;
	}
	out_num(o, "f_type", (uint64_t)st.f_type);
	out_num(o, "f_bsize", (uint64_t)st.f_bsize);
	out_num(o, "f_frsize", (uint64_t)st.f_frsize);
	out_num(o, "f_blocks", st.f_blocks);
	out_num(o, "f_files", st.f_files);
	out_num(o, "f_namelen", (uint64_t)st.f_namelen);
}
