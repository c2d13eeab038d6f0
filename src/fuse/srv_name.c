/* SPDX-License-Identifier: MIT */
/*
 * Requests about names: looking up, making, removing, renaming.
 *
 * A name that is not there is told too (an entry with inode 0), so that the
 * kernel need not ask again: nobody but the kernel can make it.
 */
#include <errno.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "fuse/srv.h"

void op_forget_one(struct srv *s, fuse_ino_t ino, uint64_t n)
{
	nodes_forget(&s->nodes, ino, n);
}

void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t n)
{
	op_forget_one(srv_of(req), ino, n);
	fuse_reply_none(req);
}

void op_forget_multi(fuse_req_t req, size_t n, struct fuse_forget_data *f)
{
	size_t i;

	for (i = 0; i < n; i++)
		op_forget_one(srv_of(req), f[i].ino, f[i].nlookup);
	fuse_reply_none(req);
}

void op_lookup(fuse_req_t req, fuse_ino_t dir, const char *name)
{
	static const struct fuse_entry_param none = {
		.entry_timeout = SRV_FOREVER,
	};
	struct uext4_cred cred = srv_cred(req);
	struct srv *s = srv_of(req);
	struct uext4_node *node;
	int ret;

	/* By "." the kernel asks for the inode of a file handle. */
	if (strcmp(name, ".") == 0)
		ret = nodes_hold(&s->nodes, s->fs, dir, &node);
	else
		ret = uext4_lookup(srv_node(s, dir), name, &cred, &node);
	if (ret == -ENOENT)
		(void)fuse_reply_entry(req, &none);
	else
		srv_reply_node(req, ret, node);
}

void op_mknod(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode,
		dev_t rdev)
{
	struct uext4_cred cred = srv_cred(req);
	struct srv *s = srv_of(req);
	struct uext4_node *node;
	unsigned tries = 0;
	int ret;

	do {
		ret = uext4_mknod(srv_node(s, dir), name, mode, major(rdev),
				minor(rdev), &cred, &node);
	} while (srv_try_again(s, ret, &tries));
	srv_reply_node(req, ret, node);
}

void op_mkdir(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode)
{
	struct uext4_cred cred = srv_cred(req);
	struct srv *s = srv_of(req);
	struct uext4_node *node;
	unsigned tries = 0;
	int ret;

	do {
		ret = uext4_mkdir(srv_node(s, dir), name, mode, &cred, &node);
	} while (srv_try_again(s, ret, &tries));
	srv_reply_node(req, ret, node);
}

void op_symlink(fuse_req_t req, const char *target, fuse_ino_t dir,
		const char *name)
{
	struct uext4_cred cred = srv_cred(req);
	struct srv *s = srv_of(req);
	struct uext4_node *node;
	unsigned tries = 0;
	int ret;

	do {
		ret = uext4_symlink(
				srv_node(s, dir), name, target, &cred, &node);
	} while (srv_try_again(s, ret, &tries));
	srv_reply_node(req, ret, node);
}

void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t dir, const char *name)
{
	struct uext4_cred cred = srv_cred(req);
	struct srv *s = srv_of(req);
	struct uext4_node *node = srv_node(s, ino);
	unsigned tries = 0;
	int ret;

	do {
		ret = uext4_link(node, srv_node(s, dir), name, &cred);
	} while (srv_try_again(s, ret, &tries));
	if (ret == 0)
		(void)uext4_node_hold(node);
	srv_reply_node(req, ret, node);
}

void op_unlink(fuse_req_t req, fuse_ino_t dir, const char *name)
{
	struct uext4_cred cred = srv_cred(req);
	struct srv *s = srv_of(req);
	int ret = uext4_unlink(srv_node(s, dir), name, &cred);

	if (ret == 0)
		srv_removed(s);
	srv_reply(req, ret);
}

void op_rmdir(fuse_req_t req, fuse_ino_t dir, const char *name)
{
	struct uext4_cred cred = srv_cred(req);
	struct srv *s = srv_of(req);
	int ret = uext4_rmdir(srv_node(s, dir), name, &cred);

	if (ret == 0)
		srv_removed(s);
	srv_reply(req, ret);
}

void op_rename(fuse_req_t req, fuse_ino_t dir, const char *name,
		fuse_ino_t newdir, const char *newname, unsigned flags)
{
	struct uext4_cred cred = srv_cred(req);
	struct srv *s = srv_of(req);
	unsigned how = 0, tries = 0;
	int ret;

	if (flags &
			~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE |
					RENAME_WHITEOUT)) {
		srv_reply(req, -EINVAL);
		return;
	}
	if (flags & RENAME_NOREPLACE)
		how |= UEXT4_RENAME_NOREPLACE;
	if (flags & RENAME_EXCHANGE)
		how |= UEXT4_RENAME_EXCHANGE;
	if (flags & RENAME_WHITEOUT)
		how |= UEXT4_RENAME_WHITEOUT;
	do {
		ret = uext4_rename(srv_node(s, dir), name, srv_node(s, newdir),
				newname, how, &cred);
	} while (srv_try_again(s, ret, &tries));
	if (ret == 0)
		srv_removed(s); /* what stood at the new name */
	srv_reply(req, ret);
}
