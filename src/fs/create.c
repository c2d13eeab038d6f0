/* SPDX-License-Identifier: MIT */
/*
 * New names: create, mkdir, mknod, symlink, nameless files.
 *
 * One handle takes the inode number, fills the inode and enters the name. If
 * it fails after the number was taken, the inode is put into the orphan set in
 * the same handle, so that the last put, or recovery, frees it.
 *
 * Locks    dir->rwsem exclusive > handle > ...; the fresh inode is nobody
 *          else's until its name is there, but for who walks all inodes.
 */
#include <stdlib.h>
#include <string.h>

#include "alloc/alloc.h"
#include "base/log.h"
#include "disk/geo.h"
#include "fs/acl.h"
#include "fs/attr.h"
#include "fs/fs.h"
#include "fs/name.h"
#include "inode/dir.h"
#include "inode/orphan.h"
#include "inode/xattr.h"
#include "journal/txn.h"

#define MODE_SGID      02000u
#define MODE_XGRP      00010u
#define CREATE_RETRIES 3

/* What a new inode takes from its directory besides flags. */
struct inherit {
	struct inode_spec spec;
	struct acl *acl;     /* access ACL to store, or NULL */
	struct acl *def_acl; /* default ACL to store, or NULL */
};

/* Flags that children take over (DINODE_FL_INHERITED), by type. */
static uint32_t inherited_flags(const struct inode *dir, uint32_t mode)
{
	uint32_t flags = inode_flags(dir) & DINODE_FL_INHERITED;

	flags &= ~(DINODE_F_CASEFOLD | DINODE_F_JOURNAL_DATA);
	if ((mode & 0170000) == 0040000)
		return flags;
	flags &= ~(DINODE_F_DIRSYNC | DINODE_F_TOPDIR | DINODE_F_PROJINHERIT);
	if ((mode & 0170000) == 0100000)
		return flags;
	return flags & (DINODE_F_NODUMP | DINODE_F_NOATIME);
}

static void inherit_owner(struct inode *dir, const struct create_req *req,
		struct inode_spec *spec)
{
	bool is_dir = (req->mode & 0170000) == 0040000;

	spec->uid = req->cred ? req->cred->uid : 0;
	spec->gid = req->cred ? req->cred->gid : 0;
	if (!(dir->d.mode & MODE_SGID))
		return;
	spec->gid = dir->d.gid;
	if (is_dir)
		spec->mode |= MODE_SGID;
	else if ((spec->mode & (MODE_SGID | MODE_XGRP)) ==
					(MODE_SGID | MODE_XGRP) &&
			!cred_is_trusted(req->cred) &&
			!cred_in_group(req->cred, spec->gid))
		spec->mode &= ~MODE_SGID;
}

/* A default ACL of the directory takes the place of the umask. */
static int inherit_acl(struct inode *dir, const struct create_req *req,
		struct inherit *in)
{
	bool is_dir = (req->mode & 0170000) == 0040000;
	struct acl *acl;
	int ret;

	if ((req->mode & 0170000) == 0120000)
		return 0;
	acl = malloc(2 * sizeof(*acl));
	if (!acl)
		return -ENOMEM;
	ret = inode_get_acl(dir, ACL_DEFAULT, &acl[0]);
	if (ret == -ENODATA) {
		free(acl);
		in->spec.mode &= ~(req->cred ? req->cred->umask & 0777u : 0);
		return 0;
	}
	if (ret < 0) {
		free(acl);
		return ret;
	}
	in->acl = &acl[0];
	acl[1] = acl[0];
	if (is_dir)
		in->def_acl = &acl[1];
	acl_create_mask(in->acl, &in->spec.mode);
	return 0;
}

static int inherit(struct inode *dir, const struct create_req *req,
		struct inherit *ret_in)
{
	*ret_in = (struct
			inherit){ .spec = {
						  .mode = req->mode,
						  .rdev_major = req->rdev_major,
						  .rdev_minor = req->rdev_minor,
						  .flags = inherited_flags(dir,
								  req->mode),
				  } };
	inherit_owner(dir, req, &ret_in->spec);
	return inherit_acl(dir, req, ret_in);
}

/* Store what was inherited; an ACL that the mode says all of is not stored. */
static int inherit_store(
		struct handle *h, struct inode *inode, const struct inherit *in)
{
	uint32_t mode = 0;
	int ret = 0;

	if (!in->acl) {
		atomic_fetch_or(&inode->state, INODE_S_NOACL);
		return 0;
	}
	if (in->def_acl)
		ret = inode_set_acl(h, inode, ACL_DEFAULT, in->def_acl);
	if (ret == 0 && !acl_equiv_mode(in->acl, &mode))
		ret = inode_set_acl(h, inode, ACL_ACCESS, in->acl);
	return ret;
}

/* Content of a fresh directory or symlink. */
static int create_fill(struct handle *h, struct inode *dir, struct inode *inode,
		const struct create_req *req)
{
	if (inode_is_dir(inode))
		return dir_init(h, inode, dir->inum);
	if (req->target)
		return symlink_init(h, inode, req->target, strlen(req->target));
	return 0;
}

/* The links that the name makes: of the inode, and of the parent by "..". */
static int create_count(
		struct handle *h, struct inode *dir, struct inode *inode)
{
	int ret;

	mutex_lock(&inode->attr_lock);
	inode->d.links = inode_is_dir(inode) ? 2 : 1;
	mutex_unlock(&inode->attr_lock);
	atomic_fetch_and(&inode->state, ~INODE_S_NEW);
	ret = inode_dirty(h, inode);
	if (ret == 0 && inode_is_dir(inode))
		ret = inode_inc_links(dir);
	return ret < 0 ? ret : dir_changed(h, dir);
}

static void create_undo(struct handle *h, struct inode *inode)
{
	mutex_lock(&inode->attr_lock);
	inode->d.links = 0;
	mutex_unlock(&inode->attr_lock);
	(void)orphan_add(h, inode);
	(void)inode_dirty(h, inode);
}

static uint32_t create_credits(
		const struct inode *dir, const struct inherit *in)
{
	uint32_t n = INODE_NEW_CREDITS + dir_credits_add(dir) + ORPHAN_CREDITS +
			2 * INODE_CREDITS;

	if ((in->spec.mode & 0170000) == 0040000)
		n += DIR_CREDITS_INIT;
	if ((in->spec.mode & 0170000) == 0120000)
		n += SYMLINK_CREDITS;
	if (in->acl)
		n += 2 * XATTR_CREDITS;
	return n;
}

/* One try, one handle. On failure *ret_inode may be set: put it unlocked. */
static int create_once(struct inode *dir, const struct create_req *req,
		const struct inherit *in, struct inode **ret_inode)
{
	struct itable *it = dir->it;
	size_t len = strlen(req->name);
	struct inode *inode;
	struct handle *h;
	txid_t tid;
	int ret;

	ret = handle_start(it->journal, create_credits(dir, in), &h);
	if (ret < 0)
		return ret;
	tid = handle_txid(h);
	ret = inode_new(h, dir, &in->spec, &inode);
	if (ret < 0)
		goto out_stop;

	ret = inherit_store(h, inode, in);
	if (ret == 0)
		ret = create_fill(h, dir, inode, req);
	if (ret == 0)
		ret = dir_add(h, dir, req->name, len, inode->inum,
				dir_ftype(dir, in->spec.mode));
	if (ret == 0)
		ret = create_count(h, dir, inode);
	if (ret < 0)
		create_undo(h, inode);
	*ret_inode = inode;
out_stop:
	ret = handle_finish(h, ret);
	return ret < 0 ? ret : fs_sync_tid(inode_fs(dir), dir, tid);
}

static int create_check(struct inode *dir, const struct create_req *req)
{
	size_t len;
	inum_t inum;
	uint8_t ftype;
	int ret;

	ret = name_check(req->name, &len);
	if (ret < 0)
		return ret;
	if (name_is_dot(req->name))
		return -EEXIST;
	if (dir->d.links == 0)
		return -ENOENT;
	ret = dir_find(dir, req->name, len, &inum, &ftype);
	if (ret == 0)
		return -EEXIST;
	if (ret != -ENOENT)
		return ret;
	ret = name_may_create(dir, req->cred);
	if (ret < 0)
		return ret;
	if ((req->mode & 0170000) == 0040000 &&
			dir->d.links >= GEO_LINK_MAX - 1 &&
			!geo_has_ro_compat(dir->it->geo, FR_DIR_NLINK))
		return -EMLINK;
	return 0;
}

int name_create(struct inode *dir, const struct create_req *req,
		struct inode **ret_inode)
{
	struct itable *it = dir->it;
	struct inode *inode;
	struct inherit in;
	int tries = 0;
	int ret;

	do {
		inode = NULL;
		in = (struct inherit){ 0 };
		rwsem_write_lock(&dir->rwsem);
		ret = create_check(dir, req);
		if (ret == 0)
			ret = inherit(dir, req, &in);
		if (ret == 0)
			ret = create_once(dir, req, &in, &inode);
		rwsem_write_unlock(&dir->rwsem);
		free(in.acl);
		if (ret == 0)
			break;
		inode_put(inode);
		/* Space may be waiting for a commit (M5). */
		if (ret != -ENOSPC || alloc_pending(it->alloc) == 0 ||
				journal_sync(it->journal) < 0)
			break;
	} while (tries++ < CREATE_RETRIES);
	if (ret == 0)
		*ret_inode = inode;
	return ret;
}

uint32_t name_whiteout_credits(void)
{
	return INODE_NEW_CREDITS + ORPHAN_CREDITS + 2 * XATTR_CREDITS;
}

int name_whiteout(struct handle *h, struct inode *dir,
		const struct uext4_cred *cred, struct inode **ret_inode)
{
	const struct create_req req = { .mode = 0020000, .cred = cred };
	struct inherit in = { 0 };
	int ret;

	ret = inherit(dir, &req, &in);
	if (ret == 0)
		ret = inode_new(h, dir, &in.spec, ret_inode);
	if (ret < 0)
		goto out_acl;
	ret = inherit_store(h, *ret_inode, &in);
	if (ret < 0) {
		create_undo(h, *ret_inode);
		goto out_acl;
	}
	mutex_lock(&(*ret_inode)->attr_lock);
	(*ret_inode)->d.links = 1;
	mutex_unlock(&(*ret_inode)->attr_lock);
	atomic_fetch_and(&(*ret_inode)->state, ~INODE_S_NEW);
	ret = inode_dirty(h, *ret_inode);
out_acl:
	free(in.acl);
	return ret;
}

int name_tmpfile(struct inode *dir, const struct create_req *req,
		struct inode **ret_inode)
{
	struct itable *it = dir->it;
	struct inode *inode = NULL;
	struct inherit in = { 0 };
	struct handle *h;
	int err;
	int ret;

	rwsem_write_lock(&dir->rwsem);
	ret = dir->d.links == 0 ? -ENOENT : name_may_create(dir, req->cred);
	if (ret == 0)
		ret = inherit(dir, req, &in);
	if (ret < 0)
		goto out_unlock;
	ret = handle_start(it->journal, create_credits(dir, &in), &h);
	if (ret < 0)
		goto out_unlock;
	ret = inode_new(h, dir, &in.spec, &inode);
	if (ret == 0) {
		ret = inherit_store(h, inode, &in);
		atomic_fetch_or(&inode->state, INODE_S_TMPFILE);
		err = orphan_add(h, inode);
		ret = ret < 0 ? ret : err;
	}
	ret = handle_finish(h, ret);
out_unlock:
	rwsem_write_unlock(&dir->rwsem);
	free(in.acl);
	if (ret < 0)
		inode_put(inode);
	else
		*ret_inode = inode;
	return ret;
}

/* ---- the public verbs ---- */

static int create_node(struct uext4_node *dir, const struct create_req *req,
		struct uext4_node **ret_node)
{
	struct inode *d = node_inode(dir);
	struct uext4_fs *fs = inode_fs(d);
	struct inode *inode;
	int ret;

	ret = fs_may_write(fs);
	if (ret < 0)
		return ret;
	if (!inode_is_dir(d))
		return -ENOTDIR;
	ret = name_create(d, req, &inode);
	if (ret < 0)
		return fs_done(fs, ret, d->inum);
	if (ret_node) {
		atomic_fetch_add(&fs->nopen, 1);
		*ret_node = inode_node(inode);
	} else {
		inode_put(inode);
	}
	return 0;
}

int uext4_mknod(struct uext4_node *dir, const char *name, uint32_t mode,
		uint32_t rdev_major, uint32_t rdev_minor,
		const struct uext4_cred *cred, struct uext4_node **ret_node)
{
	struct create_req req = {
		.name = name,
		.mode = mode & 0177777,
		.rdev_major = rdev_major,
		.rdev_minor = rdev_minor,
		.cred = cred,
	};

	switch (mode & 0170000) {
	case 0:
		req.mode |= 0100000;
		break;
	case 0020000: /* devices are the superuser's to make */
	case 0060000:
		if (!cred_is_trusted(cred))
			return -EPERM;
		break;
	case 0010000:
	case 0100000:
	case 0140000:
		break;
	case 0040000:
		return -EPERM;
	default:
		return -EINVAL;
	}
	return create_node(dir, &req, ret_node);
}

int uext4_mkdir(struct uext4_node *dir, const char *name, uint32_t mode,
		const struct uext4_cred *cred, struct uext4_node **ret_node)
{
	struct create_req req = {
		.name = name,
		.mode = 0040000 | (mode & 01777),
		.cred = cred,
	};

	return create_node(dir, &req, ret_node);
}

int uext4_symlink(struct uext4_node *dir, const char *name, const char *target,
		const struct uext4_cred *cred, struct uext4_node **ret_node)
{
	struct create_req req = {
		.name = name,
		.mode = 0120777,
		.target = target,
		.cred = cred,
	};

	if (target[0] == '\0')
		return -ENOENT;
	return create_node(dir, &req, ret_node);
}
