/* SPDX-License-Identifier: MIT */
/*
 * Names that exist: lookup, link, unlink, rmdir, readdir.
 *
 * Locks    dir->rwsem exclusive > victim->rwsem exclusive (nested) > handle. An
 *          inode is put after the locks are gone: its last put may free it.
 */
#include "fs/name.h"

#include <string.h>

#include "disk/geo.h"
#include "fs/attr.h"
#include "fs/fs.h"
#include "inode/dir.h"
#include "inode/orphan.h"
#include "journal/txn.h"

#define MODE_STICKY 01000u

int name_check(const char *name, size_t *ret_len)
{
	size_t len = strnlen(name, UEXT4_NAME_MAX + 1);

	if (len == 0)
		return -ENOENT;
	if (len > UEXT4_NAME_MAX)
		return -ENAMETOOLONG;
	if (memchr(name, '/', len))
		return -EINVAL;
	*ret_len = len;
	return 0;
}

int name_is_dot(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

int name_lookup_locked(struct inode *dir, const char *name, size_t len,
		struct inode **ret_inode)
{
	struct inode *inode;
	uint8_t ftype;
	inum_t inum;
	bool dead;
	int ret;

	/* A removed directory still says "..", but of whom? */
	if (dir->d.links == 0)
		return -ENOENT;
	ret = dir_find(dir, name, len, &inum, &ftype);
	if (ret < 0)
		return ret;
	if (!geo_inum_is_user(dir->it->geo, inum)) {
		log_err(&inode_fs(dir)->log,
				"directory inode %u: entry names "
				"reserved inode %u; run e2fsck",
				dir->inum, inum);
		return -UEXT4_ECORRUPT;
	}
	ret = inode_get(dir->it, inum, &inode);
	if (ret == -ESTALE) {
		log_err(&inode_fs(dir)->log,
				"directory inode %u: entry names "
				"deleted inode %u; run e2fsck",
				dir->inum, inum);
		return -UEXT4_ECORRUPT;
	}
	if (ret < 0)
		return ret;
	mutex_lock(&inode->attr_lock);
	dead = inode->d.links == 0;
	mutex_unlock(&inode->attr_lock);
	if (dead) { /* has more names than links: do not count below 0 */
		log_err(&inode_fs(dir)->log,
				"directory inode %u: entry names inode %u, "
				"which has no links left; run e2fsck",
				dir->inum, inum);
		inode_put(inode);
		return -UEXT4_ECORRUPT;
	}
	*ret_inode = inode;
	return 0;
}

int name_may_create(struct inode *dir, const struct uext4_cred *cred)
{
	inode_spend_as(dir, cred_is_super(cred));
	return inode_permission(dir, MAY_WRITE | MAY_EXEC, cred);
}

int name_may_delete(struct inode *dir, struct inode *victim,
		const struct uext4_cred *cred)
{
	uint32_t fixed = DINODE_F_APPEND | DINODE_F_IMMUTABLE;
	int ret;

	ret = inode_permission(dir, MAY_WRITE | MAY_EXEC, cred);
	if (ret < 0)
		return ret;
	if (inode_flags(dir) & DINODE_F_APPEND)
		return -EPERM;
	if ((dir->d.mode & MODE_STICKY) && !cred_owns(cred, victim) &&
			!cred_owns(cred, dir))
		return -EPERM;
	return (inode_flags(victim) & fixed) ? -EPERM : 0;
}

int dir_changed(struct handle *h, struct inode *dir)
{
	inode_touch(dir, INODE_T_MTIME | INODE_T_CTIME);
	return inode_dirty(h, dir);
}

/* ---- lookup ---- */

static int lookup(struct inode *dir, const char *name,
		const struct uext4_cred *cred, struct inode **ret_inode)
{
	size_t len;
	int ret;

	if (!inode_is_dir(dir))
		return -ENOTDIR;
	ret = name_check(name, &len);
	if (ret < 0)
		return ret == -EINVAL ? -ENOENT : ret;
	ret = inode_permission(dir, MAY_EXEC, cred);
	if (ret < 0)
		return ret;
	rwsem_read_lock(&dir->rwsem);
	ret = name_lookup_locked(dir, name, len, ret_inode);
	rwsem_read_unlock(&dir->rwsem);
	return ret;
}

int uext4_lookup(struct uext4_node *dir, const char *name,
		const struct uext4_cred *cred, struct uext4_node **ret_node)
{
	struct inode *d = node_inode(dir);
	struct uext4_fs *fs = inode_fs(d);
	struct inode *inode;
	int ret;

	ret = fs_may_read(fs);
	if (ret == 0)
		ret = lookup(d, name, cred, &inode);
	if (ret < 0)
		return fs_done(fs, ret, d->inum);
	atomic_fetch_add(&fs->nopen, 1);
	*ret_node = inode_node(inode);
	return 0;
}

/* ---- unlink, rmdir ---- */

/* The last link is gone: the orphan set keeps it till its last put (I6). */
static int drop_link(struct handle *h, struct inode *inode, bool is_dir)
{
	mutex_lock(&inode->attr_lock);
	if (is_dir)
		inode->d.links = 0;
	else
		inode->d.links--;
	mutex_unlock(&inode->attr_lock);
	inode_touch(inode, INODE_T_CTIME);
	if (inode->d.links == 0) {
		int ret = orphan_add(h, inode);

		if (ret < 0)
			return ret;
	}
	return inode_dirty(h, inode);
}

static int remove_entry(struct inode *dir, struct inode *victim,
		const char *name, bool is_dir)
{
	struct handle *h;
	txid_t tid;
	int ret;

	ret = handle_start(dir->it->journal,
			DIR_CREDITS_SET + ORPHAN_CREDITS + 3 * INODE_CREDITS,
			&h);
	if (ret < 0)
		return ret;
	tid = handle_txid(h);
	ret = dir_remove(h, dir, name, strlen(name));
	if (ret == 0)
		ret = drop_link(h, victim, is_dir);
	if (ret == 0) {
		if (is_dir)
			inode_dec_links(dir);
		ret = dir_changed(h, dir);
	}
	ret = handle_finish(h, ret);
	return ret < 0 ? ret : fs_sync_tid(inode_fs(dir), dir, tid);
}

static int may_remove(struct inode *dir, struct inode *victim, bool want_dir,
		const struct uext4_cred *cred)
{
	int ret;

	ret = name_may_delete(dir, victim, cred);
	if (ret < 0)
		return ret;
	if (!want_dir)
		return inode_is_dir(victim) ? -EISDIR : 0;
	if (!inode_is_dir(victim))
		return -ENOTDIR;
	if (victim->inum == INUM_ROOT)
		return -EBUSY;
	ret = dir_is_empty(victim);
	if (ret < 0)
		return ret;
	return ret == 0 ? -ENOTEMPTY : 0;
}

static int remove_name(struct inode *dir, const char *name, bool want_dir,
		const struct uext4_cred *cred)
{
	struct inode *victim;
	size_t len;
	int ret;

	if (!inode_is_dir(dir))
		return -ENOTDIR;
	ret = name_check(name, &len);
	if (ret < 0)
		return ret;
	if (name_is_dot(name)) {
		if (!want_dir)
			return -EISDIR;
		return name[1] == '\0' ? -EINVAL : -ENOTEMPTY;
	}
	rwsem_write_lock(&dir->rwsem);
	ret = name_lookup_locked(dir, name, len, &victim);
	if (ret < 0) {
		rwsem_write_unlock(&dir->rwsem);
		return ret;
	}
	if (victim == dir) { /* a damaged directory that names itself */
		rwsem_write_unlock(&dir->rwsem);
		inode_put(victim);
		return -UEXT4_ECORRUPT;
	}
	rwsem_write_lock_nested(&victim->rwsem);
	ret = may_remove(dir, victim, want_dir, cred);
	if (ret == 0)
		ret = remove_entry(dir, victim, name, want_dir);
	rwsem_write_unlock(&victim->rwsem);
	rwsem_write_unlock(&dir->rwsem);
	inode_put(victim);
	return ret;
}

int uext4_unlink(struct uext4_node *dir, const char *name,
		const struct uext4_cred *cred)
{
	struct inode *d = node_inode(dir);
	int ret = fs_may_write(inode_fs(d));

	if (ret == 0)
		ret = remove_name(d, name, false, cred);
	return fs_done(inode_fs(d), ret, d->inum);
}

int uext4_rmdir(struct uext4_node *dir, const char *name,
		const struct uext4_cred *cred)
{
	struct inode *d = node_inode(dir);
	int ret = fs_may_write(inode_fs(d));

	if (ret == 0)
		ret = remove_name(d, name, true, cred);
	return fs_done(inode_fs(d), ret, d->inum);
}

/* ---- link ---- */

static int may_link(struct inode *dir, struct inode *inode, const char *name,
		size_t len, const struct uext4_cred *cred)
{
	uint8_t ftype;
	inum_t inum;
	int ret;

	if (dir->d.links == 0)
		return -ENOENT;
	if (name_is_dot(name))
		return -EEXIST;
	ret = dir_find(dir, name, len, &inum, &ftype);
	if (ret != -ENOENT)
		return ret == 0 ? -EEXIST : ret;
	ret = name_may_create(dir, cred);
	if (ret < 0)
		return ret;
	if (inode_is_dir(inode))
		return -EPERM;
	if (inode_flags(inode) & (DINODE_F_APPEND | DINODE_F_IMMUTABLE))
		return -EPERM;
	if (inode->d.links == 0 &&
			!(atomic_load(&inode->state) & INODE_S_TMPFILE))
		return -ENOENT;
	return 0;
}

static int link_entry(struct inode *dir, struct inode *inode, const char *name,
		size_t len)
{
	struct handle *h;
	txid_t tid;
	int ret;

	ret = handle_start(dir->it->journal,
			dir_credits_add(dir) + ORPHAN_CREDITS +
					2 * INODE_CREDITS,
			&h);
	if (ret < 0)
		return ret;
	tid = handle_txid(h);
	ret = inode_inc_links(inode);
	if (ret < 0)
		goto out_stop;
	ret = dir_add(h, dir, name, len, inode->inum,
			dir_ftype(dir, inode->d.mode));
	if (ret < 0) {
		mutex_lock(&inode->attr_lock);
		inode->d.links--;
		mutex_unlock(&inode->attr_lock);
		goto out_stop;
	}
	inode_touch(inode, INODE_T_CTIME);
	ret = orphan_del(h, inode); /* a nameless file got its name */
	atomic_fetch_and(&inode->state, ~(INODE_S_TMPFILE | INODE_S_NEW));
	if (ret == 0)
		ret = inode_dirty(h, inode);
	if (ret == 0)
		ret = dir_changed(h, dir);
out_stop:
	ret = handle_finish(h, ret);
	return ret < 0 ? ret : fs_sync_tid(inode_fs(dir), dir, tid);
}

int uext4_link(struct uext4_node *node, struct uext4_node *dir,
		const char *name, const struct uext4_cred *cred)
{
	struct inode *inode = node_inode(node);
	struct inode *d = node_inode(dir);
	size_t len = 0;
	int ret;

	ret = fs_may_write(inode_fs(d));
	if (ret == 0)
		ret = name_check(name, &len);
	if (ret < 0)
		return ret;
	if (!inode_is_dir(d))
		return -ENOTDIR;
	if (inode_fs(inode) != inode_fs(d))
		return -EXDEV;
	if (inode_is_dir(inode)) {
		/* Refused in any case, by what is wrong first; it may be @d. */
		rwsem_read_lock(&d->rwsem);
		ret = may_link(d, inode, name, len, cred);
		rwsem_read_unlock(&d->rwsem);
		return fs_done(inode_fs(d), ret, d->inum);
	}
	rwsem_write_lock(&d->rwsem);
	rwsem_write_lock_nested(&inode->rwsem);
	ret = may_link(d, inode, name, len, cred);
	if (ret == 0)
		ret = link_entry(d, inode, name, len);
	rwsem_write_unlock(&inode->rwsem);
	rwsem_write_unlock(&d->rwsem);
	return fs_done(inode_fs(d), ret, d->inum);
}

/* ---- readdir ---- */

struct readdir_ctx {
	int (*fn)(void *ctx, const struct uext4_dirent *e);
	void *ctx;
};

static uint32_t mode_of_ftype(uint8_t ftype)
{
	static const uint32_t modes[] = {
		0,
		0100000,
		0040000,
		0020000,
		0060000,
		0010000,
		0140000,
		0120000,
	};

	return ftype < array_len(modes) ? modes[ftype] : 0;
}

static int readdir_one(void *arg, const struct dir_entry *e)
{
	struct readdir_ctx *c = arg;
	char name[UEXT4_NAME_MAX + 1];
	struct uext4_dirent out = {
		.name = name,
		.len = e->len,
		.ino = e->inum,
		.mode = mode_of_ftype(e->ftype),
		.next = e->next,
	};

	memcpy(name, e->name, e->len);
	name[e->len] = '\0';
	return c->fn(c->ctx, &out);
}

static int read_dir(struct uext4_node *dir, uint64_t pos, bool atime,
		int (*fn)(void *ctx, const struct uext4_dirent *e), void *ctx)
{
	struct readdir_ctx c = { .fn = fn, .ctx = ctx };
	struct inode *d = node_inode(dir);
	int ret;

	ret = fs_may_read(inode_fs(d));
	if (ret < 0)
		return ret;
	if (!inode_is_dir(d))
		return -ENOTDIR;
	rwsem_read_lock(&d->rwsem);
	ret = d->d.links == 0 ? 0 : dir_iterate(d, pos, readdir_one, &c);
	rwsem_read_unlock(&d->rwsem);
	if (ret >= 0 && atime)
		inode_accessed(d);
	return fs_done(inode_fs(d), ret, d->inum);
}

int uext4_readdir(struct uext4_node *dir, uint64_t pos,
		int (*fn)(void *ctx, const struct uext4_dirent *e), void *ctx)
{
	return read_dir(dir, pos, true, fn, ctx);
}

int uext4_readdir_noatime(struct uext4_node *dir, uint64_t pos,
		int (*fn)(void *ctx, const struct uext4_dirent *e), void *ctx)
{
	return read_dir(dir, pos, false, fn, ctx);
}
