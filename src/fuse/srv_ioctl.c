/* SPDX-License-Identifier: MIT */
/*
 * Requests that came by ioctl(2), as ext4 answers them.
 *
 * The kernel passes as many bytes in and out as the number of the request says.
 * FS_IOC_SHUTDOWN says that it gives, where it takes: its argument is fetched
 * from the caller's memory (with the right to do so, that is for root).
 */
#include <errno.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "fuse/srv.h"

/* From the kernel's documentation of its ext4 (ioctl list) and ext4(5). */
#define SRV_IOC_SHUTDOWN   _IOR('X', 125, uint32_t)
/* Its own numbers for what all file systems have. */
#define SRV_IOC_GETVERSION _IOR('f', 3, long)
#define SRV_IOC_SETVERSION _IOW('f', 4, long)

struct ioctl_req {
	fuse_req_t req;
	struct srv *s;
	fuse_ino_t ino;
	struct uext4_node *node;
	struct uext4_cred cred;
	const void *in;
	size_t in_size, out_size;
};

static void reply_out(const struct ioctl_req *r, const void *out, size_t size)
{
	if (r->out_size < size)
		srv_reply(r->req, -EINVAL);
	else
		(void)fuse_reply_ioctl(r->req, 0, out, size);
}

static void reply_done(const struct ioctl_req *r, int ret)
{
	if (ret < 0)
		srv_reply(r->req, ret);
	else
		(void)fuse_reply_ioctl(r->req, 0, NULL, 0);
}

/* False if it cannot be had, which is answered then. */
static bool stat_it(const struct ioctl_req *r, struct uext4_stat *ret_st)
{
	int ret = uext4_node_stat(r->node, ret_st);

	if (ret < 0)
		srv_reply(r->req, ret);
	return ret == 0;
}

static bool take_in(const struct ioctl_req *r, void *ret_in, size_t size)
{
	if (r->in_size < size) {
		srv_reply(r->req, -EINVAL);
		return false;
	}
	memcpy(ret_in, r->in, size);
	return true;
}

static void get_flags(const struct ioctl_req *r)
{
	struct uext4_stat st;

	if (stat_it(r, &st))
		reply_out(r, &st.flags, sizeof(st.flags));
}

/* What was stored through mappings, or is only in the kernel's cache, is written
 * later, when the file takes no writes any more: see write_page(). */
static void change_flags(const struct ioctl_req *r, uint32_t flags)
{
	struct uext4_setattr a = { .mask = UEXT4_SET_FLAGS, .flags = flags };
	_Atomic int64_t *frozen_at = &srv_node_of(r->s, r->ino)->frozen_at;
	int64_t before = atomic_load(frozen_at);
	struct uext4_stat st;
	int ret;

	ret = uext4_node_stat(r->node, &st);
	if (ret == 0 && S_ISREG(st.mode) &&
			(flags & ~st.flags & (FS_IMMUTABLE_FL | FS_APPEND_FL)))
		atomic_store(frozen_at, srv_now_ms());
	if (ret == 0)
		ret = uext4_node_setattr(r->node, &a, &r->cred);
	if (ret == 0)
		srv_attr_changed(r->s, r->ino);
	else /* who may not set them does not begin the time again */
		atomic_store(frozen_at, before);
	reply_done(r, ret);
}

static void set_flags(const struct ioctl_req *r)
{
	uint32_t flags;

	if (take_in(r, &flags, sizeof(flags)))
		change_flags(r, flags);
}

/* FS_XFLAG_* beside FS_*_FL. */
static const struct {
	uint32_t xflag, flag;
} xflags[] = {
	{ FS_XFLAG_SYNC, FS_SYNC_FL },
	{ FS_XFLAG_IMMUTABLE, FS_IMMUTABLE_FL },
	{ FS_XFLAG_APPEND, FS_APPEND_FL },
	{ FS_XFLAG_NODUMP, FS_NODUMP_FL },
	{ FS_XFLAG_NOATIME, FS_NOATIME_FL },
	{ FS_XFLAG_PROJINHERIT, FS_PROJINHERIT_FL },
	{ FS_XFLAG_DAX, FS_DAX_FL },
};
#define NXFLAGS (sizeof(xflags) / sizeof(xflags[0]))

static void get_xattr(const struct ioctl_req *r)
{
	struct fsxattr fa = { 0 };
	struct uext4_stat st;
	size_t i;

	if (!stat_it(r, &st))
		return;
	for (i = 0; i < NXFLAGS; i++) {
		if (st.flags & xflags[i].flag)
			fa.fsx_xflags |= xflags[i].xflag;
	}
	reply_out(r, &fa, sizeof(fa));
}

static void set_xattr(const struct ioctl_req *r)
{
	struct fsxattr fa;
	struct uext4_stat st;
	uint32_t flags;
	size_t i;

	if (!take_in(r, &fa, sizeof(fa)) || !stat_it(r, &st))
		return;
	flags = st.flags;
	for (i = 0; i < NXFLAGS; i++) {
		flags &= ~xflags[i].flag;
		if (fa.fsx_xflags & xflags[i].xflag)
			flags |= xflags[i].flag;
	}
	/* Flags that ext4 has nothing for are passed over, as by the kernel. */
	if (fa.fsx_projid != 0)
		reply_done(r, -EOPNOTSUPP);
	else
		change_flags(r, flags);
}

static void get_version(const struct ioctl_req *r)
{
	struct uext4_stat st;

	if (stat_it(r, &st))
		reply_out(r, &st.generation, sizeof(st.generation));
}

static void set_version(const struct ioctl_req *r)
{
	struct uext4_setattr a = { .mask = UEXT4_SET_GENERATION };
	struct uext4_cred cred = r->cred;
	int ret;

	if (!take_in(r, &a.generation, sizeof(a.generation)))
		return;
	/* The kernel has checked no owner for this. */
	cred.flags &= ~UEXT4_CRED_CHECKED;
	ret = uext4_node_setattr(r->node, &a, &cred);
	if (ret == 0)
		srv_attr_changed(r->s, r->ino);
	reply_done(r, ret);
}

static void shut_down(const struct ioctl_req *r, void *arg)
{
	uint32_t how = 0;
	struct iovec here = { .iov_base = &how, .iov_len = sizeof(how) };
	struct iovec there = { .iov_base = arg, .iov_len = sizeof(how) };
	int ret = 0;

	if (!(r->cred.flags & UEXT4_CRED_SUPER))
		ret = -EPERM;
	else if (process_vm_readv(fuse_req_ctx(r->req)->pid, &here, 1, &there,
				 1, 0) != (ssize_t)sizeof(how))
		ret = errno == EFAULT ? -EFAULT : -EPERM;
	else if (how > UEXT4_SHUTDOWN_NOLOGFLUSH)
		ret = -EINVAL;
	if (ret == 0)
		ret = uext4_shutdown(r->s->fs, (enum uext4_shutdown_mode)how);
	reply_done(r, ret);
}

static void trim(const struct ioctl_req *r)
{
	struct fstrim_range range;
	uint64_t done = 0;
	int ret;

	if (!take_in(r, &range, sizeof(range)))
		return;
	ret = uext4_trim(r->s->fs, range.start, range.len, range.minlen,
			&r->cred, &done);
	if (ret < 0) {
		srv_reply(r->req, ret);
		return;
	}
	range.len = done;
	reply_out(r, &range, sizeof(range));
}

static void get_label(const struct ioctl_req *r)
{
	char label[FSLABEL_MAX] = { 0 };
	int ret;

	ret = uext4_get_label(r->s->fs, label);
	if (ret < 0)
		srv_reply(r->req, ret);
	else
		reply_out(r, label, sizeof(label));
}

static void set_label(const struct ioctl_req *r)
{
	char label[FSLABEL_MAX + 1] = { 0 };

	if (take_in(r, label, FSLABEL_MAX))
		reply_done(r, uext4_set_label(r->s->fs, label, &r->cred));
}

/* NOLINTNEXTLINE(readability-function-size): the parameters are libfuse's */
void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned cmd, void *arg,
		struct fuse_file_info *fi, unsigned flags, const void *in,
		size_t in_size, size_t out_size)
{
	struct srv *s = srv_of(req);
	struct ioctl_req r = {
		.req = req,
		.s = s,
		.ino = ino,
		.node = srv_node(s, ino),
		.cred = srv_cred(req),
		.in = in,
		.in_size = in_size,
		.out_size = out_size,
	};

	if (cmd == (unsigned)FS_IOC_GETFLAGS)
		get_flags(&r);
	else if (cmd == (unsigned)FS_IOC_SETFLAGS)
		set_flags(&r);
	else if (cmd == (unsigned)FS_IOC_FSGETXATTR)
		get_xattr(&r);
	else if (cmd == (unsigned)FS_IOC_FSSETXATTR)
		set_xattr(&r);
	else if (cmd == (unsigned)FS_IOC_GETVERSION ||
			cmd == (unsigned)SRV_IOC_GETVERSION)
		get_version(&r);
	else if (cmd == (unsigned)FS_IOC_SETVERSION ||
			cmd == (unsigned)SRV_IOC_SETVERSION)
		set_version(&r);
	else if (cmd == (unsigned)FITRIM)
		trim(&r);
	else if (cmd == (unsigned)FS_IOC_GETFSLABEL)
		get_label(&r);
	else if (cmd == (unsigned)FS_IOC_SETFSLABEL)
		set_label(&r);
	else if (cmd == (unsigned)SRV_IOC_SHUTDOWN)
		shut_down(&r, arg);
	else
		srv_reply(req, -ENOTTY);
}
