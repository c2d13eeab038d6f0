/* SPDX-License-Identifier: MIT */
/*
 * Attributes by full name: who may, ACLs in the kernel's form, and the calls of
 * the public header.
 *
 * user.      regular files and directories; read and write permission
 * trusted.   the superuser
 * security.  read by all, written by the superuser
 * system.posix_acl_*  the owner; checked, folded into the mode
 */
#include <stdlib.h>
#include <string.h>

#include "alloc/alloc.h"
#include "disk/dxattr.h"
#include "fs/acl.h"
#include "fs/attr.h"
#include "fs/fs.h"
#include "inode/xattr.h"
#include "journal/txn.h"

#define MODE_SGID   02000u
#define MODE_STICKY 01000u

static bool index_is_acl(uint8_t index)
{
	return index == DXATTR_IDX_ACL_ACCESS ||
			index == DXATTR_IDX_ACL_DEFAULT;
}

static int name_split(const char *full, uint8_t *index, const char **rest)
{
	uint32_t len;
	int ret;

	ret = dxattr_name_split(full, index, rest, &len);
	if (ret < 0)
		return ret;
	switch (*index) {
	case DXATTR_IDX_USER:
	case DXATTR_IDX_TRUSTED:
	case DXATTR_IDX_SECURITY:
	case DXATTR_IDX_ACL_ACCESS:
	case DXATTR_IDX_ACL_DEFAULT:
		return 0;
	default:
		return -EOPNOTSUPP;
	}
}

static int xattr_may_user(
		struct inode *inode, bool write, const struct uext4_cred *cred)
{
	if (!inode_is_reg(inode) && !inode_is_dir(inode))
		return write ? -EPERM : -ENODATA;
	if (write && inode_is_dir(inode) && (inode->d.mode & MODE_STICKY) &&
			!cred_owns(cred, inode))
		return -EPERM;
	return inode_permission(inode, write ? MAY_WRITE : MAY_READ, cred);
}

static int xattr_may(struct inode *inode, uint8_t index, bool write,
		const struct uext4_cred *cred)
{
	if (write &&
			(inode_flags(inode) &
					(DINODE_F_IMMUTABLE | DINODE_F_APPEND)))
		return -EPERM;
	switch (index) {
	case DXATTR_IDX_USER:
		return xattr_may_user(inode, write, cred);
	case DXATTR_IDX_TRUSTED:
		if (cred_is_trusted(cred))
			return 0;
		return write ? -EPERM : -ENODATA;
	case DXATTR_IDX_SECURITY:
		return !write || cred_is_trusted(cred) ? 0 : -EPERM;
	default:
		return !write || cred_owns(cred, inode) ? 0 : -EPERM;
	}
}

/* ---- get and list ---- */

static ssize_t get_acl(
		struct inode *inode, uint8_t index, void *buf, size_t size)
{
	struct acl *acl;
	ssize_t ret;

	if (inode_is_symlink(inode))
		return -EOPNOTSUPP;
	acl = malloc(sizeof(*acl));
	if (!acl)
		return -ENOMEM;
	ret = inode_get_acl(inode,
			index == DXATTR_IDX_ACL_ACCESS ? ACL_ACCESS
						       : ACL_DEFAULT,
			acl);
	if (ret == 0)
		ret = acl_to_xattr(acl, buf, size);
	free(acl);
	return ret;
}

ssize_t uext4_getxattr(struct uext4_node *node, const char *name, void *buf,
		size_t size, const struct uext4_cred *cred)
{
	struct inode *inode = node_inode(node);
	struct uext4_fs *fs = inode_fs(inode);
	const char *rest;
	uint8_t index;
	ssize_t ret;

	ret = fs_may_read(fs);
	if (ret == 0)
		ret = name_split(name, &index, &rest);
	if (ret == 0)
		ret = xattr_may(inode, index, false, cred);
	if (ret < 0)
		return ret;
	if (index_is_acl(index))
		ret = get_acl(inode, index, buf, size);
	else
		ret = xattr_get(inode, index, rest, buf, size);
	return ret < 0 ? fs_done(fs, (int)ret, inode->inum) : ret;
}

struct list_ctx {
	char *buf;
	size_t size, used;
	bool super;
};

static int list_one(void *arg, int index, const char *name, size_t len,
		size_t value_len)
{
	const char *prefix = dxattr_prefix((uint8_t)index);
	struct list_ctx *c = arg;
	size_t plen;

	if (!prefix || (index == DXATTR_IDX_TRUSTED && !c->super))
		return 0;
	if (index != DXATTR_IDX_USER && index != DXATTR_IDX_TRUSTED &&
			index != DXATTR_IDX_SECURITY &&
			!index_is_acl((uint8_t)index))
		return 0;
	plen = strlen(prefix);
	if (c->size > 0) {
		if (c->size - c->used < plen + len + 1)
			return -ERANGE;
		memcpy(c->buf + c->used, prefix, plen);
		memcpy(c->buf + c->used + plen, name, len);
		c->buf[c->used + plen + len] = '\0';
	}
	c->used += plen + len + 1;
	return 0;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): written through c.buf */
ssize_t uext4_listxattr(struct uext4_node *node, char *buf, size_t size,
		const struct uext4_cred *cred)
{
	struct inode *inode = node_inode(node);
	struct uext4_fs *fs = inode_fs(inode);
	struct list_ctx c = {
		.buf = buf,
		.size = size,
		.super = cred_is_super(cred),
	};
	int ret;

	ret = fs_may_read(fs);
	if (ret == 0)
		ret = xattr_list(inode, list_one, &c);
	if (ret < 0)
		return fs_done(fs, ret, inode->inum);
	return (ssize_t)c.used;
}

/* ---- set ---- */

/* The access ACL's owner, group (or mask) and other bits are the mode; true if
 * it says no more than that. */
static bool acl_to_mode(const struct inode *inode, const struct acl *acl,
		const struct uext4_cred *cred, uint32_t *ret_mode)
{
	bool all;

	*ret_mode = inode->d.mode;
	all = acl_equiv_mode(acl, ret_mode);
	if (!cred_is_super(cred) && !cred_in_group(cred, inode->d.gid))
		*ret_mode &= ~MODE_SGID;
	return all;
}

static int set_acl(struct handle *h, struct inode *inode, uint8_t index,
		const struct acl *acl, const struct uext4_cred *cred)
{
	uint32_t mode;
	bool all;
	int ret;

	if (index == DXATTR_IDX_ACL_DEFAULT) {
		if (!inode_is_dir(inode))
			return acl ? -EACCES : 0;
		return inode_set_acl(h, inode, ACL_DEFAULT, acl);
	}
	if (!acl)
		return inode_set_acl(h, inode, ACL_ACCESS, NULL);
	all = acl_to_mode(inode, acl, cred, &mode);
	ret = inode_set_acl(h, inode, ACL_ACCESS, all ? NULL : acl);
	if (ret < 0)
		return ret; /* the mode goes with the list or not at all */
	mutex_lock(&inode->attr_lock);
	inode->d.mode = (uint16_t)mode;
	mutex_unlock(&inode->attr_lock);
	return 0;
}

struct set_req {
	uint8_t index;
	const char *rest;
	const void *value; /* NULL: remove */
	size_t len;
	unsigned flags;
	const struct acl *acl; /* of an ACL that is set */
	const struct uext4_cred *cred;
};

static bool is_absent(struct inode *inode, uint8_t index, const char *rest)
{
	return xattr_get(inode, (int)index, rest, NULL, 0) == -ENODATA;
}

static bool is_value(struct inode *inode, uint8_t index, const char *rest,
		const void *value, size_t len)
{
	uint8_t *buf = malloc(len + 1); /* what is longer does not fit */
	bool same;

	same = buf &&
			xattr_get(inode, (int)index, rest, buf, len + 1) ==
					(ssize_t)len &&
			memcmp(buf, value, len) == 0;
	free(buf);
	return same;
}

static bool acl_is_as_before(struct inode *inode, const struct set_req *r)
{
	uint8_t buf[4 + ACL_MAX_ENTRIES * 8];
	uint32_t mode = inode->d.mode;
	bool all = !r->acl;
	ssize_t n;

	if (r->acl && r->index == DXATTR_IDX_ACL_ACCESS)
		all = acl_to_mode(inode, r->acl, r->cred, &mode);
	if (mode != inode->d.mode)
		return false;
	if (all)
		return is_absent(inode, r->index, "");
	n = acl_to_disk(r->acl, buf, sizeof(buf));
	return n >= 0 && is_value(inode, r->index, "", buf, (size_t)n);
}

/* Setting what is there, taking away an ACL that is not, setting one that says
 * what the mode says: no change, which moves no ctime. */
static bool is_as_before(struct inode *inode, const struct set_req *r)
{
	if (index_is_acl(r->index))
		return acl_is_as_before(inode, r);
	return r->value && !(r->flags & UEXT4_XATTR_CREATE) &&
			is_value(inode, r->index, r->rest, r->value, r->len);
}

static int set_in_handle(
		struct handle *h, struct inode *inode, const struct set_req *r)
{
	int ret;

	if (index_is_acl(r->index))
		ret = set_acl(h, inode, r->index, r->acl, r->cred);
	else
		ret = xattr_set(h, inode, r->index, r->rest, r->value, r->len,
				r->flags);
	if (ret < 0)
		return ret;
	inode_touch(inode, INODE_T_CTIME);
	return inode_dirty(h, inode);
}

static int set_locked(struct inode *inode, const struct set_req *r)
{
	struct handle *h;
	txid_t tid;
	int ret;

	ret = xattr_may(inode, r->index, true, r->cred);
	if (ret < 0)
		return ret;
	if (index_is_acl(r->index) && inode_is_symlink(inode))
		return -EOPNOTSUPP;
	if (is_as_before(inode, r))
		return 0;
	inode_spend_as(inode, cred_is_super(r->cred));
	ret = handle_start(inode->it->journal,
			XATTR_CREDITS + 2 * INODE_CREDITS, &h);
	if (ret < 0)
		return ret;
	tid = handle_txid(h);
	ret = set_in_handle(h, inode, r);
	ret = handle_finish(h, ret);
	return ret < 0 ? ret : fs_sync_tid(inode_fs(inode), NULL, tid);
}

static int set_xattr(struct inode *inode, const struct set_req *r)
{
	struct uext4_fs *fs = inode_fs(inode);
	int ret;

	rwsem_write_lock(&inode->rwsem);
	ret = set_locked(inode, r);
	rwsem_write_unlock(&inode->rwsem);
	if (ret == -ENOSPC && alloc_pending(fs->alloc) > 0 &&
			journal_sync(fs->journal) == 0) {
		rwsem_write_lock(&inode->rwsem);
		ret = set_locked(inode, r);
		rwsem_write_unlock(&inode->rwsem);
	}
	return fs_done(fs, ret, inode->inum);
}

int uext4_setxattr(struct uext4_node *node, const char *name, const void *value,
		size_t len, unsigned flags, const struct uext4_cred *cred)
{
	struct inode *inode = node_inode(node);
	struct set_req r = {
		.value = value ? value : "",
		.len = len,
		.flags = flags,
		.cred = cred,
	};
	struct acl *acl = NULL;
	int ret;

	ret = fs_may_write(inode_fs(inode));
	if (ret == 0 && (flags & ~3u))
		ret = -EINVAL;
	if (ret == 0 && !value && len > 0)
		ret = -EFAULT;
	if (ret == 0)
		ret = name_split(name, &r.index, &r.rest);
	if (ret < 0)
		return ret;
	if (index_is_acl(r.index) && len > 0) {
		acl = malloc(sizeof(*acl));
		ret = acl ? acl_from_xattr(value, len, acl) : -ENOMEM;
		r.acl = acl;
		if (ret == 0 && acl->n == 0)
			r.acl = NULL;
	}
	if (ret == 0)
		ret = fs_allow_xattrs(inode_fs(inode));
	if (ret == 0)
		ret = set_xattr(inode, &r);
	free(acl);
	return ret;
}

int uext4_removexattr(struct uext4_node *node, const char *name,
		const struct uext4_cred *cred)
{
	struct inode *inode = node_inode(node);
	struct set_req r = { .cred = cred };
	int ret;

	ret = fs_may_write(inode_fs(inode));
	if (ret == 0)
		ret = name_split(name, &r.index, &r.rest);
	if (ret < 0)
		return ret;
	return set_xattr(inode, &r);
}
