/* SPDX-License-Identifier: MIT */
/*
 * Permission, stat, setattr, access times.
 *
 * setattr is one step: everything but a truncate to a smaller size is in one
 * transaction. Rules of who may change what are those of chmod(2), chown(2),
 * truncate(2), utimensat(2) and FS_IOC_SETFLAGS.
 */
#include "fs/attr.h"

#include <string.h>
#include <sys/sysmacros.h>

#include "disk/dxattr.h"
#include "disk/geo.h"
#include "fs/acl.h"
#include "fs/file.h"
#include "fs/fs.h"
#include "fs/write.h"
#include "inode/xattr.h"
#include "journal/txn.h"

#define MODE_SUID   04000u
#define MODE_SGID   02000u
#define MODE_XGRP   00010u
#define DAY_SECONDS (INT64_C(24) * 60 * 60)

/* ---- who ---- */

bool cred_is_super(const struct uext4_cred *cred)
{
	return !cred || (cred->flags & UEXT4_CRED_SUPER);
}

void inode_spend_as(struct inode *inode, bool is_super)
{
	/* Not dirtied without need: many threads share it. */
	if (atomic_load_explicit(&inode->map.for_super, memory_order_relaxed) !=
			is_super)
		atomic_store_explicit(&inode->map.for_super, is_super,
				memory_order_relaxed);
}

bool cred_in_group(const struct uext4_cred *cred, uint32_t gid)
{
	uint32_t i;

	if (cred->gid == gid)
		return true;
	for (i = 0; i < cred->ngroups; i++) {
		if (cred->groups[i] == gid)
			return true;
	}
	return false;
}

struct caller caller_of(
		const struct uext4_cred *cred, const struct inode *inode)
{
	struct caller who = { .is_super = cred_is_super(cred) };

	who.in_group = who.is_super || cred_in_group(cred, inode->d.gid);
	return who;
}

uint32_t caller_kills(struct caller who, uint32_t mode)
{
	uint32_t kill = who.is_super ? 0 : mode & MODE_SUID;

	if (!who.is_super && (!who.in_group || (mode & MODE_XGRP)))
		kill |= mode & MODE_SGID;
	return kill;
}

bool cred_is_trusted(const struct uext4_cred *cred)
{
	return !cred || (cred->flags & (UEXT4_CRED_SUPER | UEXT4_CRED_CHECKED));
}

bool cred_owns(const struct uext4_cred *cred, struct inode *inode)
{
	return cred_is_trusted(cred) || cred->uid == inode->d.uid;
}

static int mode_permission(uint32_t mode, uint32_t uid, uint32_t gid,
		unsigned want, const struct uext4_cred *cred)
{
	if (cred->uid == uid)
		mode >>= 6;
	else if (cred_in_group(cred, gid))
		mode >>= 3;
	return (mode & want) == want ? 0 : -EACCES;
}

int inode_permission(struct inode *inode, unsigned mask,
		const struct uext4_cred *cred)
{
	uint32_t mode;
	uint32_t uid;
	uint32_t gid;
	struct acl acl;
	int ret;

	if ((mask & MAY_WRITE) && (inode_flags(inode) & DINODE_F_IMMUTABLE))
		return -EPERM;
	if (cred && (cred->flags & UEXT4_CRED_CHECKED))
		return 0;
	mutex_lock(&inode->attr_lock);
	mode = inode->d.mode;
	uid = inode->d.uid;
	gid = inode->d.gid;
	mutex_unlock(&inode->attr_lock);

	if (cred_is_super(cred)) {
		/* Even the superuser executes only what somebody may. */
		if ((mask & MAY_EXEC) && !inode_is_dir(inode) && !(mode & 0111))
			return -EACCES;
		return 0;
	}
	/* The owner's bits and the group bits as mask decide most cases. */
	if (cred->uid != uid && (mode & 070) &&
			!(atomic_load(&inode->state) & INODE_S_NOACL)) {
		ret = inode_get_acl(inode, ACL_ACCESS, &acl);
		if (ret == 0)
			return acl_permission(&acl, uid, gid, mask, cred);
		if (ret != -ENODATA)
			return ret;
		atomic_fetch_or(&inode->state, INODE_S_NOACL);
	}
	return mode_permission(mode, uid, gid, mask, cred);
}

int uext4_node_access(struct uext4_node *node, unsigned mask,
		const struct uext4_cred *cred)
{
	struct inode *inode = node_inode(node);
	struct uext4_fs *fs = inode_fs(inode);
	int ret;

	if (mask & MAY_WRITE) {
		ret = fs_may_write(fs);
		if (ret < 0 &&
				(inode_is_reg(inode) || inode_is_dir(inode) ||
						inode_is_symlink(inode)))
			return ret;
	}
	return fs_done(fs, inode_permission(inode, mask, cred), inode->inum);
}

/* ---- privileges that a write takes away ---- */

ssize_t inode_get_capability(struct inode *inode)
{
	return xattr_get(
			inode, (int)DXATTR_IDX_SECURITY, "capability", NULL, 0);
}

int inode_drop_capability(struct handle *h, struct inode *inode)
{
	int ret;

	ret = xattr_set(h, inode, (int)DXATTR_IDX_SECURITY, "capability", NULL,
			0, 0);
	return ret == -ENODATA ? 0 : ret;
}

uint32_t attr_strip_credits(void)
{
	return XATTR_CREDITS + INODE_CREDITS;
}

/* ---- times ---- */

static bool dtime_before(struct dtime a, struct dtime b)
{
	return a.sec < b.sec || (a.sec == b.sec && a.nsec < b.nsec);
}

static bool atime_is_due(struct inode *inode)
{
	uint32_t flags = inode_fs(inode)->opts.flags;
	struct timespec now = inode_now(inode);
	const struct dinode *d = &inode->d;
	bool due;

	if ((flags & UEXT4_MNT_NOATIME) ||
			atomic_load(&inode->read_stamp) == inode_stamp_of(now))
		return false;
	mutex_lock(&inode->attr_lock);
	if ((d->flags & DINODE_F_NOATIME) ||
			(d->atime.sec == now.tv_sec &&
					d->atime.nsec == (uint32_t)now.tv_nsec))
		due = false;
	else if (flags & UEXT4_MNT_STRICTATIME)
		due = true;
	else
		due = !dtime_before(d->mtime, d->atime) ||
				!dtime_before(d->ctime, d->atime) ||
				now.tv_sec - d->atime.sec >= DAY_SECONDS;
	if (!due)
		atomic_store(&inode->read_stamp, inode_stamp_of(now));
	mutex_unlock(&inode->attr_lock);
	return due;
}

void inode_accessed(struct inode *inode)
{
	struct handle *h;

	if (fs_may_write(inode_fs(inode)) < 0 || !atime_is_due(inode))
		return;
	if (handle_start(inode->it->journal, INODE_CREDITS, &h) < 0)
		return;
	inode_touch(inode, INODE_T_ATIME);
	(void)inode_dirty(h, inode);
	(void)handle_stop(h);
}

/* ---- stat ---- */

static struct timespec timespec_of(struct dtime t)
{
	return (struct timespec){ .tv_sec = t.sec, .tv_nsec = t.nsec };
}

int uext4_node_stat(struct uext4_node *node, struct uext4_stat *ret_st)
{
	struct inode *inode = node_inode(node);
	const struct dinode *d = &inode->d;
	struct uext4_stat st = { .ino = inode->inum };
	dev_t rdev;
	int ret;

	ret = fs_may_read(inode_fs(inode));
	if (ret < 0)
		return ret;
	rwsem_read_lock(&inode->map.lock);
	mutex_lock(&inode->attr_lock);
	st.generation = d->generation;
	st.mode = d->mode;
	st.uid = d->uid;
	st.gid = d->gid;
	st.nlink = d->links;
	if ((d->mode & 0170000) == 0020000 || (d->mode & 0170000) == 0060000) {
		rdev = dinode_get_rdev(d);
		st.rdev_major = major(rdev);
		st.rdev_minor = minor(rdev);
	}
	st.size = inode_size(inode);
	st.sectors = inode_sectors(inode) +
			(((uint64_t)inode->claim_data + inode->claim_flight)
					<< (inode->file.blkbits - 9));
	st.block_size = inode->it->geo->block_size;
	st.flags = d->flags & DINODE_FL_USER_VISIBLE;
	if (geo_has_ro_compat(inode->it->geo, FR_PROJECT))
		st.projid = d->projid;
	st.atime = timespec_of(d->atime);
	st.mtime = timespec_of(d->mtime);
	st.ctime = timespec_of(d->ctime);
	st.btime = timespec_of(d->crtime);
	mutex_unlock(&inode->attr_lock);
	rwsem_read_unlock(&inode->map.lock);
	*ret_st = st;
	return 0;
}

/* ---- truncate ---- */

/* Upwards: the tail of the old EOF block first, then both sizes. */
static int inode_extend(struct inode *inode, uint64_t size)
{
	struct handle *h;
	int err;
	int ret;

	ret = zero_eof_tail(inode, size);
	if (ret < 0)
		return ret;
	err = handle_start(inode->it->journal, INODE_CREDITS, &h);
	if (err < 0)
		return err;
	ret = handle_inode_extension(h, inode, size);
	return handle_finish(h, ret);
}

static int truncate_stamp(struct inode *inode, struct caller who)
{
	struct handle *h;
	ssize_t caps;
	int err;
	int ret = 0;

	caps = inode_get_capability(inode);
	if (caps < 0 && caps != -ENODATA)
		return (int)caps;
	err = handle_start(inode->it->journal, attr_strip_credits(), &h);
	if (err < 0)
		return err;
	if (caps > 0)
		ret = inode_drop_capability(h, inode);
	if (ret == 0) {
		mutex_lock(&inode->attr_lock);
		inode->d.mode &= (uint16_t)~caller_kills(who, inode->d.mode);
		mutex_unlock(&inode->attr_lock);
		inode_touch(inode, INODE_T_MTIME | INODE_T_CTIME);
		ret = inode_dirty(h, inode);
	}
	return handle_finish(h, ret);
}

static int inode_set_length_locked(
		struct inode *inode, uint64_t size, struct caller who)
{
	const struct geo *geo = inode->it->geo;
	uint64_t isize;
	int ret;

	if (inode_flags(inode) & (DINODE_F_IMMUTABLE | DINODE_F_APPEND))
		return -EPERM;
	if (inode_flags(inode) & (DINODE_F_INLINE_DATA | DINODE_F_ENCRYPT))
		return -EOPNOTSUPP;
	if (size > (inode->map.is_extents ? geo->max_bytes_extent
					  : geo->max_bytes_bitmap))
		return -EFBIG;
	ret = fs_allow_size(inode_fs(inode), size);
	if (ret < 0)
		return ret;
	iomap_dio_drain(&inode->file);
	ret = truncate_stamp(inode, who);
	if (ret < 0)
		return ret;
	isize = inode_size(inode);
	if (size < isize)
		return inode_truncate(inode, size);
	if (size > isize)
		return inode_extend(inode, size);
	/* Blocks kept beyond the end go all the same. */
	return inode_truncate(inode, size);
}

int inode_set_length(struct inode *inode, uint64_t size, struct caller who)
{
	int ret;

	if (inode_is_dir(inode))
		return -EISDIR;
	if (!inode_is_reg(inode))
		return -EINVAL;
	if (size > INT64_MAX)
		return -EFBIG;
	rwsem_write_lock(&inode->rwsem);
	ret = inode_set_length_locked(inode, size, who);
	rwsem_write_unlock(&inode->rwsem);
	return ret < 0 ? ret : inode_sync_if_asked(inode);
}

/* ---- setattr ---- */

static int setattr_may_chown(struct inode *inode, const struct uext4_setattr *a,
		const struct uext4_cred *cred)
{
	if (cred_is_trusted(cred))
		return 0;
	if ((a->mask & UEXT4_SET_UID) &&
			(cred->uid != inode->d.uid || a->uid != inode->d.uid))
		return -EPERM;
	if ((a->mask & UEXT4_SET_GID) &&
			(cred->uid != inode->d.uid ||
					(!cred_in_group(cred, a->gid) &&
							a->gid != inode->d.gid)))
		return -EPERM;
	return 0;
}

static int setattr_may(struct inode *inode, const struct uext4_setattr *a,
		const struct uext4_cred *cred)
{
	uint32_t times = UEXT4_SET_ATIME | UEXT4_SET_MTIME;
	uint32_t now = UEXT4_SET_ATIME_NOW | UEXT4_SET_MTIME_NOW;
	int ret;

	/* utimensat(2): who may write may set both to now, and no more. */
	if ((a->mask & now) != now)
		times |= now;
	if ((inode_flags(inode) & (DINODE_F_IMMUTABLE | DINODE_F_APPEND)) &&
			(a->mask &
					(UEXT4_SET_MODE | UEXT4_SET_UID |
							UEXT4_SET_GID | times)))
		return -EPERM;
	if ((inode_flags(inode) & DINODE_F_IMMUTABLE) && (a->mask & now))
		return -EPERM;
	ret = setattr_may_chown(inode, a, cred);
	if (ret < 0)
		return ret;
	if ((a->mask & (UEXT4_SET_MODE | times)) && !cred_owns(cred, inode))
		return -EPERM;
	if ((a->mask & UEXT4_SET_CTIME) && !cred_is_super(cred))
		return -EPERM;
	if ((a->mask & now) && !cred_owns(cred, inode)) {
		ret = inode_permission(inode, MAY_WRITE, cred);
		if (ret < 0)
			return ret;
	}
	if ((a->mask & UEXT4_SET_PROJID) && a->projid != 0)
		return cred_owns(cred, inode) ? -EOPNOTSUPP : -EPERM;
	if (a->mask & UEXT4_SET_GENERATION) {
		ret = inode_may_set_generation(inode, cred);
		if (ret < 0)
			return ret;
	}
	if (a->mask & UEXT4_SET_FLAGS)
		return inode_may_set_flags(inode, a->flags, cred);
	return 0;
}

static struct dtime dtime_of(const struct inode *inode, struct timespec ts)
{
	struct dtime t = { .sec = ts.tv_sec, .nsec = (uint32_t)ts.tv_nsec };

	return dinode_clamp_time(inode->it->geo, &inode->d, t);
}

/* chown takes setuid and setgid away (chown(2)): setuid for the superuser, too;
 * setgid without execution only for who is not in the group. */
static void setattr_owner(struct inode *inode, const struct uext4_setattr *a,
		const struct uext4_cred *cred)
{
	struct caller who = caller_of(cred, inode);
	struct dinode *d = &inode->d;

	if (a->mask & UEXT4_SET_UID)
		d->uid = a->uid;
	if (a->mask & UEXT4_SET_GID)
		d->gid = a->gid;
	who.is_super = false;
	if ((a->mask & (UEXT4_SET_UID | UEXT4_SET_GID)) && !dinode_is_dir(d))
		d->mode &= (uint16_t)~caller_kills(who, d->mode);
}

static void setattr_times(struct inode *inode, const struct uext4_setattr *a)
{
	struct dtime now = dtime_of(inode, inode_now(inode));
	struct dinode *d = &inode->d;

	atomic_store(&inode->write_stamp, 0);
	atomic_store(&inode->read_stamp, 0);
	d->ctime = now;
	if (a->mask & UEXT4_SET_ATIME)
		d->atime = dtime_of(inode, a->atime);
	if (a->mask & UEXT4_SET_MTIME)
		d->mtime = dtime_of(inode, a->mtime);
	if (a->mask & UEXT4_SET_ATIME_NOW)
		d->atime = now;
	if (a->mask & UEXT4_SET_MTIME_NOW)
		d->mtime = now;
	if (a->mask & UEXT4_SET_CTIME)
		d->ctime = dtime_of(inode, a->ctime);
}

static void setattr_apply(struct inode *inode, const struct uext4_setattr *a,
		const struct uext4_cred *cred)
{
	struct dinode *d = &inode->d;
	uint32_t keep;

	mutex_lock(&inode->attr_lock);
	setattr_owner(inode, a, cred);
	if (a->mask & UEXT4_SET_MODE) {
		uint32_t mode = a->mode & 07777;

		if (!cred_is_trusted(cred) && !cred_in_group(cred, d->gid))
			mode &= ~MODE_SGID;
		d->mode = (uint16_t)((d->mode & 0170000) | mode);
	}
	if (a->mask & UEXT4_SET_FLAGS) {
		keep = d->flags & ~DINODE_FL_USER_MODIFIABLE;
		inode_set_flags(inode,
				keep | (a->flags & DINODE_FL_USER_MODIFIABLE));
	}
	if (a->mask & UEXT4_SET_GENERATION)
		d->generation = a->generation;
	setattr_times(inode, a);
	mutex_unlock(&inode->attr_lock);
}

/* chmod goes into the access ACL, too. */
static int setattr_acl(struct handle *h, struct inode *inode, uint32_t mode)
{
	struct acl acl;
	int ret;

	ret = inode_get_acl(inode, ACL_ACCESS, &acl);
	if (ret == -ENODATA)
		return 0;
	if (ret < 0)
		return ret;
	acl_chmod(&acl, mode);
	return inode_set_acl(h, inode, ACL_ACCESS, &acl);
}

static int setattr_locked(struct inode *inode, const struct uext4_setattr *a,
		const struct uext4_cred *cred)
{
	struct uext4_fs *fs = inode_fs(inode);
	struct handle *h;
	txid_t tid;
	bool caps;
	int ret;

	ret = setattr_may(inode, a, cred);
	if (ret < 0)
		return ret;
	caps = (a->mask & (UEXT4_SET_UID | UEXT4_SET_GID)) &&
			inode_is_reg(inode) && inode_get_capability(inode) > 0;
	ret = handle_start(inode->it->journal,
			2 * XATTR_CREDITS + INODE_CREDITS, &h);
	if (ret < 0)
		return ret;
	tid = handle_txid(h);
	if (caps)
		ret = inode_drop_capability(h, inode);
	if (ret == 0 && (a->mask & UEXT4_SET_MODE))
		ret = setattr_acl(h, inode, a->mode);
	if (ret == 0) {
		setattr_apply(inode, a, cred);
		ret = inode_dirty(h, inode);
	}
	atomic_fetch_and(&inode->state, ~INODE_S_NOSEC);
	ret = handle_finish(h, ret);
	return ret < 0 ? ret : fs_sync_tid(fs, NULL, tid);
}

int uext4_node_setattr(struct uext4_node *node,
		const struct uext4_setattr *attr, const struct uext4_cred *cred)
{
	struct inode *inode = node_inode(node);
	struct uext4_fs *fs = inode_fs(inode);
	struct uext4_setattr rest = *attr;
	int ret;

	ret = fs_may_write(fs);
	if (ret < 0)
		return ret;
	rest.mask &= ~UEXT4_SET_SIZE;
	if (attr->mask & UEXT4_SET_SIZE) {
		ret = inode_permission(inode, MAY_WRITE, cred);
		if (ret == 0)
			ret = inode_set_length(inode, attr->size,
					caller_of(cred, inode));
	}
	if (ret == 0 && rest.mask != 0) {
		rwsem_write_lock(&inode->rwsem);
		ret = setattr_locked(inode, &rest, cred);
		rwsem_write_unlock(&inode->rwsem);
	}
	return fs_done(fs, ret, inode->inum);
}
