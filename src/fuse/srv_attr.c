/* SPDX-License-Identifier: MIT */
/*
 * Requests about attributes: stat, chmod and the like, symlink targets,
 * extended attributes, statfs.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/xattr.h>

#include "fuse/srv.h"

/* @heard: the kernel looks at the answer; it does not when it writes times back. */
static void reply_attr(fuse_req_t req, fuse_ino_t ino, bool heard)
{
	struct srv *s = srv_of(req);
	struct uext4_stat st;
	struct stat host;
	int ret;

	ret = uext4_node_stat(srv_node(s, ino), &st);
	if (ret < 0) {
		srv_reply(req, ret);
		return;
	}
	srv_stat_to_host(s, &st, &host);
	if (heard)
		srv_attr_told(s, ino, &st);
	srv_me()->born = st.btime;
	(void)fuse_reply_attr(req, &host, SRV_FOREVER);
}

void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	reply_attr(req, ino, true);
}

#define KEPT_TIMES (UEXT4_SET_ATIME | UEXT4_SET_MTIME | UEXT4_SET_CTIME)

static uint32_t setattr_mask(int to_set)
{
	static const struct {
		int fuse;
		uint32_t ours;
	} bits[] = {
		{ FUSE_SET_ATTR_MODE, UEXT4_SET_MODE },
		{ FUSE_SET_ATTR_UID, UEXT4_SET_UID },
		{ FUSE_SET_ATTR_GID, UEXT4_SET_GID },
		{ FUSE_SET_ATTR_SIZE, UEXT4_SET_SIZE },
		{ FUSE_SET_ATTR_CTIME, UEXT4_SET_CTIME },
	};
	uint32_t mask = 0;
	size_t i;

	for (i = 0; i < sizeof(bits) / sizeof(bits[0]); i++) {
		if (to_set & bits[i].fuse)
			mask |= bits[i].ours;
	}
	if (to_set & FUSE_SET_ATTR_ATIME_NOW)
		mask |= UEXT4_SET_ATIME_NOW;
	else if (to_set & FUSE_SET_ATTR_ATIME)
		mask |= UEXT4_SET_ATIME;
	if (to_set & FUSE_SET_ATTR_MTIME_NOW)
		mask |= UEXT4_SET_MTIME_NOW;
	else if (to_set & FUSE_SET_ATTR_MTIME)
		mask |= UEXT4_SET_MTIME;
	return mask;
}

/* Numbers of the host into those of the image. */
static int setattr_ids(const struct srv *s, struct uext4_setattr *a)
{
	if (a->mask & UEXT4_SET_UID) {
		a->uid = idmap_to_image(&s->opts->uids, a->uid);
		if (a->uid == IDMAP_NONE)
			return -EOVERFLOW;
	}
	if (a->mask & UEXT4_SET_GID) {
		a->gid = idmap_to_image(&s->opts->gids, a->gid);
		if (a->gid == IDMAP_NONE)
			return -EOVERFLOW;
	}
	return 0;
}

void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
		struct fuse_file_info *fi)
{
	struct srv *s = srv_of(req);
	struct uext4_cred cred = srv_cred_of(req, srv_node(s, ino));
	struct uext4_setattr a = {
		.mask = setattr_mask(to_set),
		.mode = attr->st_mode,
		.uid = attr->st_uid,
		.gid = attr->st_gid,
		.size = (uint64_t)attr->st_size,
		.atime = attr->st_atim,
		.mtime = attr->st_mtim,
		.ctime = attr->st_ctim,
	};
	int ret = setattr_ids(s, &a);
	bool kept;

	/* An open file may be cut by who opened it, whatever its mode says
	 * now. */
	if (fi)
		cred.flags |= UEXT4_CRED_CHECKED;
	/* A change of size sets mtime by itself. */
	if (a.mask & UEXT4_SET_SIZE)
		a.mask &= ~UEXT4_SET_MTIME_NOW;
	/* Times alone that the kernel kept (writeback_cache) are its own. With
	 * anything else they are now, and who asks is who he is. */
	if ((a.mask & ~KEPT_TIMES) != 0)
		a.mask &= ~UEXT4_SET_CTIME;
	else if (a.mask & UEXT4_SET_CTIME)
		cred.flags |= UEXT4_CRED_SUPER | UEXT4_CRED_CHECKED;
	/* Those it writes back, of writes that were before the file became
	 * immutable: the times that these got here stand. utimensat() asks for
	 * more, or names no open file. */
	kept = fi && a.mask == (UEXT4_SET_MTIME | UEXT4_SET_CTIME);
	if (ret == 0)
		ret = uext4_node_setattr(srv_node(s, ino), &a, &cred);
	if (kept && ret == -EPERM)
		ret = 0;
	if (ret < 0)
		srv_reply(req, ret);
	else
		reply_attr(req, ino, !kept);
}

void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	char target[UEXT4_PATH_MAX + 1];
	ssize_t n;

	n = uext4_node_readlink(
			srv_node(srv_of(req), ino), target, UEXT4_PATH_MAX);
	if (n < 0) {
		srv_reply(req, (int)n);
		return;
	}
	target[n] = '\0';
	(void)fuse_reply_readlink(req, target);
}

void op_access(fuse_req_t req, fuse_ino_t ino, int mask)
{
	struct uext4_cred cred = srv_cred(req);

	srv_reply(req,
			uext4_node_access(srv_node(srv_of(req), ino),
					(unsigned)mask & 7u, &cred));
}

void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct uext4_statfs st;
	struct statvfs host;
	int ret;

	ret = uext4_statfs(srv_of(req)->fs, &st);
	if (ret < 0) {
		srv_reply(req, ret);
		return;
	}
	host = (struct statvfs){
		.f_bsize = st.block_size,
		.f_frsize = st.block_size,
		.f_blocks = st.blocks,
		.f_bfree = st.free_blocks,
		.f_bavail = st.avail_blocks,
		.f_files = st.inodes,
		.f_ffree = st.free_inodes,
		.f_favail = st.free_inodes,
		.f_namemax = st.name_max,
	};
	(void)fuse_reply_statfs(req, &host);
}

/* ---- extended attributes ---- */

/* @n bytes are in the worker's buffer, or would be needed (@size 0). */
static void reply_xattr(fuse_req_t req, ssize_t n, size_t size)
{
	if (n < 0)
		srv_reply(req, (int)n);
	else if (size == 0)
		(void)fuse_reply_xattr(req, (size_t)n);
	else
		(void)fuse_reply_buf(req, srv_me()->data, (size_t)n);
}

static size_t xattr_room(size_t size)
{
	return size < srv_me()->size ? size : srv_me()->size;
}

void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	struct uext4_cred cred = srv_cred(req);
	char full[UEXT4_NAME_MAX + 1];
	size_t i;
	ssize_t n;

	/* The name lies where the value goes. */
	for (i = 0; i < sizeof(full) - 1 && name[i] != '\0'; i++)
		full[i] = name[i];
	full[i] = '\0';
	n = uext4_getxattr(srv_node(srv_of(req), ino), full, srv_me()->data,
			xattr_room(size), &cred);
	reply_xattr(req, n, size);
}

void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	struct uext4_cred cred = srv_cred(req);
	ssize_t n;

	n = uext4_listxattr(srv_node(srv_of(req), ino), srv_me()->data,
			xattr_room(size), &cred);
	reply_xattr(req, n, size);
}

void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name,
		const char *value, size_t size, int flags)
{
	struct uext4_node *node = srv_node(srv_of(req), ino);
	struct uext4_cred cred = srv_cred_of(req, node); /* of ACLs */
	unsigned how = 0, tries = 0;
	int ret;

	if (flags & XATTR_CREATE)
		how |= UEXT4_XATTR_CREATE;
	if (flags & XATTR_REPLACE)
		how |= UEXT4_XATTR_REPLACE;
	do {
		ret = uext4_setxattr(node, name, value, size, how, &cred);
	} while (srv_try_again(srv_of(req), ret, &tries));
	srv_reply(req, ret);
}

void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	struct uext4_cred cred = srv_cred(req);

	srv_reply(req,
			uext4_removexattr(srv_node(srv_of(req), ino), name,
					&cred));
}
