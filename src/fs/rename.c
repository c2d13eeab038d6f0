/* SPDX-License-Identifier: MIT */
/*
 * rename: one handle that takes a name away, enters the other, and settles
 * "..", link counts and the inode that lost its name.
 *
 * Flags    NOREPLACE: -EEXIST if the new name is there. EXCHANGE: both names
 *          change places. WHITEOUT: a character device 0,0 takes the old name.
 *
 * Locks    fs->rename_lock (across directories only: nobody else changes ".."
 *          meanwhile) > both directories' rwsem, ancestor first, else by
 *          number > both inodes' rwsem, a directory first (a name of the file
 *          may be in it), else by number > handle.
 *
 * Rules    (RN1) A directory never becomes its own descendant (-EINVAL), and
 *                never replaces its ancestor (-ENOTEMPTY).
 *          (RN2) Old and new name of one inode: nothing is done (POSIX).
 */
#include <string.h>

#include "alloc/alloc.h"
#include "disk/geo.h"
#include "fs/attr.h"
#include "fs/fs.h"
#include "fs/name.h"
#include "inode/dir.h"
#include "inode/orphan.h"
#include "journal/txn.h"

/* Enough ".." steps for any real tree; a longer chain is a damaged one. */
#define RENAME_DEPTH_MAX 100000u

struct rename {
	struct uext4_fs *fs;
	struct inode *olddir, *newdir;
	const char *oldname, *newname;
	size_t oldlen, newlen;
	unsigned flags;
	const struct uext4_cred *cred;
	struct inode *src;   /* held: what olddir/oldname names */
	struct inode *dst;   /* held: what newdir/newname names, or NULL */
	struct inode *white; /* held: the whiteout made, or NULL */
};

/* ---- who is above whom ---- */

/* Is @top the same as, or an ancestor of @dir? 1, 0 or an error. Caller holds
 * rename_lock, and the rwsem of no directory. */
static int rename_is_above(struct inode *top, struct inode *dir)
{
	struct itable *it = dir->it;
	struct inode *at = dir;
	struct inode *up;
	uint32_t depth;
	uint8_t ftype;
	inum_t inum;
	int ret = 0;

	inode_hold(at);
	for (depth = 0; depth < RENAME_DEPTH_MAX; depth++) {
		ret = at == top;
		if (ret || at->inum == INUM_ROOT)
			break;
		/* While it is there and locked, its parent is there. */
		rwsem_read_lock(&at->rwsem);
		ret = at->d.links == 0 ? -ENOENT
				       : dir_find(at, "..", 2, &inum, &ftype);
		if (ret == 0)
			ret = inode_get(it, inum, &up);
		rwsem_read_unlock(&at->rwsem);
		if (ret == -ESTALE || (ret == 0 && !inode_is_dir(up)))
			ret = -UEXT4_ECORRUPT;
		if (ret < 0)
			break;
		inode_put(at);
		at = up;
	}
	inode_put(at);
	return depth == RENAME_DEPTH_MAX ? -UEXT4_ECORRUPT : ret;
}

/* ---- locks: which ones depends on what is renamed (UEXT4_NO_TSA) ---- */

UEXT4_NO_TSA static int rename_lock_dirs(struct rename *r)
{
	struct inode *first = r->olddir;
	struct inode *second = r->newdir;
	int above;

	if (r->olddir == r->newdir) {
		rwsem_write_lock(&r->olddir->rwsem);
		return 0;
	}
	above = rename_is_above(r->newdir, r->olddir);
	if (above == 0) {
		above = rename_is_above(r->olddir, r->newdir);
		if (above == 0 && r->newdir->inum < r->olddir->inum)
			above = 2; /* strangers: by number */
		else if (above >= 0)
			above = 0;
	}
	if (above < 0)
		return above;
	if (above) {
		first = r->newdir;
		second = r->olddir;
	}
	rwsem_write_lock(&first->rwsem);
	rwsem_write_lock_nested(&second->rwsem);
	return 0;
}

UEXT4_NO_TSA static void rename_unlock_dirs(struct rename *r)
{
	rwsem_write_unlock(&r->olddir->rwsem);
	if (r->olddir == r->newdir)
		return;
	rwsem_write_unlock(&r->newdir->rwsem);
}

/* unlink() in the one directory locks the other inode after it. */
static bool rename_is_before(const struct inode *a, const struct inode *b)
{
	if (inode_is_dir(a) != inode_is_dir(b))
		return inode_is_dir(a);
	return a->inum < b->inum;
}

UEXT4_NO_TSA static void rename_lock_inodes(struct rename *r)
{
	struct inode *a = r->src;
	struct inode *b = r->dst;

	if (b && rename_is_before(b, a)) {
		a = r->dst;
		b = r->src;
	}
	rwsem_write_lock_nested(&a->rwsem);
	if (b)
		rwsem_write_lock_nested(&b->rwsem);
}

UEXT4_NO_TSA static void rename_unlock_inodes(struct rename *r)
{
	rwsem_write_unlock(&r->src->rwsem);
	if (r->dst)
		rwsem_write_unlock(&r->dst->rwsem);
}

/* ---- may it be? ---- */

static int rename_find(struct rename *r)
{
	int ret;

	ret = name_lookup_locked(r->olddir, r->oldname, r->oldlen, &r->src);
	if (ret < 0)
		return ret;
	ret = name_lookup_locked(r->newdir, r->newname, r->newlen, &r->dst);
	if (ret == -ENOENT && !(r->flags & UEXT4_RENAME_EXCHANGE))
		return 0;
	return ret;
}

static int rename_may_replace(struct rename *r)
{
	int ret;

	if (r->flags & UEXT4_RENAME_NOREPLACE)
		return -EEXIST;
	ret = name_may_delete(r->newdir, r->dst, r->cred);
	if (ret < 0 || (r->flags & UEXT4_RENAME_EXCHANGE))
		return ret;
	if (inode_is_dir(r->src) && !inode_is_dir(r->dst))
		return -ENOTDIR;
	if (!inode_is_dir(r->src) && inode_is_dir(r->dst))
		return -EISDIR;
	return 0;
}

/* A directory that moves gets another "..", which it must be writable for. */
static int rename_may_move_dir(struct rename *r, struct inode *inode)
{
	if (r->olddir == r->newdir || !inode_is_dir(inode))
		return 0;
	return inode_permission(inode, MAY_WRITE, r->cred);
}

static bool rename_is_full(const struct inode *dir)
{
	return dir->d.links >= GEO_LINK_MAX &&
			!geo_has_ro_compat(dir->it->geo, FR_DIR_NLINK);
}

/* Can the directories count a subdirectory that comes from the other? */
static int rename_may_count(struct rename *r)
{
	bool src_dir = inode_is_dir(r->src);
	bool dst_dir = r->dst && inode_is_dir(r->dst);

	if (r->olddir == r->newdir || src_dir == dst_dir)
		return 0;
	if (src_dir)
		return rename_is_full(r->newdir) ? -EMLINK : 0;
	return rename_is_full(r->olddir) ? -EMLINK : 0;
}

static int rename_may(struct rename *r)
{
	int ret;

	/* lookups saw what is in the directories: no loops, by the tree */
	if (r->src == r->olddir || r->src == r->newdir)
		return -EINVAL; /* RN1 */
	if (r->dst == r->olddir || r->dst == r->newdir)
		return r->flags & UEXT4_RENAME_EXCHANGE ? -EINVAL : -ENOTEMPTY;
	ret = name_may_delete(r->olddir, r->src, r->cred);
	if (ret < 0)
		return ret;
	ret = r->dst ? rename_may_replace(r)
		     : name_may_create(r->newdir, r->cred);
	if (ret == 0)
		ret = rename_may_move_dir(r, r->src);
	if (ret == 0 && (r->flags & UEXT4_RENAME_EXCHANGE))
		ret = rename_may_move_dir(r, r->dst);
	return ret < 0 ? ret : rename_may_count(r);
}

/* RN1 across directories: neither inode may be above the other's parent.
 * rename_lock keeps the tree still; no directory is locked. */
static int rename_check_tree(
		struct rename *r, struct inode *src, struct inode *dst)
{
	int ret;

	if (inode_is_dir(src)) {
		ret = rename_is_above(src, r->newdir);
		if (ret != 0)
			return ret < 0 ? ret : -EINVAL;
	}
	if (dst && inode_is_dir(dst)) {
		ret = rename_is_above(dst, r->olddir);
		if (ret < 0)
			return ret;
		if (ret)
			return r->flags & UEXT4_RENAME_EXCHANGE ? -EINVAL
								: -ENOTEMPTY;
	}
	return 0;
}

/* ---- doing it ---- */

/* @inode moved to @to: its "..". */
static int rename_reparent(
		struct handle *h, struct inode *inode, struct inode *to)
{
	if (!inode_is_dir(inode))
		return 0;
	return dir_set(h, inode, "..", 2, to->inum, dir_ftype(inode, 0040000));
}

/* One subdirectory less in @from, one more in @to; rename_may_count() said that
 * it can be counted. */
static int rename_count(struct inode *from, struct inode *to)
{
	inode_dec_links(from);
	return inode_inc_links(to);
}

static int rename_drop_dst(struct handle *h, struct rename *r)
{
	struct inode *dst = r->dst;
	int ret = 0;

	mutex_lock(&dst->attr_lock);
	if (inode_is_dir(dst))
		dst->d.links = 0;
	else
		dst->d.links--;
	mutex_unlock(&dst->attr_lock);
	if (inode_is_dir(dst))
		inode_dec_links(r->newdir);
	inode_touch(dst, INODE_T_CTIME);
	if (dst->d.links == 0)
		ret = orphan_add(h, dst);
	return ret < 0 ? ret : inode_dirty(h, dst);
}

static int rename_exchange_parents(struct handle *h, struct rename *r)
{
	bool src_dir = inode_is_dir(r->src);
	int ret;

	ret = rename_reparent(h, r->src, r->newdir);
	if (ret == 0)
		ret = rename_reparent(h, r->dst, r->olddir);
	if (ret < 0 || src_dir == inode_is_dir(r->dst))
		return ret;
	return src_dir ? rename_count(r->olddir, r->newdir)
		       : rename_count(r->newdir, r->olddir);
}

static int rename_exchange(struct handle *h, struct rename *r)
{
	int ret;

	ret = dir_set(h, r->olddir, r->oldname, r->oldlen, r->dst->inum,
			dir_ftype(r->olddir, r->dst->d.mode));
	if (ret == 0)
		ret = dir_set(h, r->newdir, r->newname, r->newlen, r->src->inum,
				dir_ftype(r->newdir, r->src->d.mode));
	if (ret == 0 && r->olddir != r->newdir)
		ret = rename_exchange_parents(h, r);
	if (ret < 0)
		return ret;
	inode_touch(r->dst, INODE_T_CTIME);
	return inode_dirty(h, r->dst);
}

/* The new name first (it may need space), then the old one goes. */
static int rename_move(struct handle *h, struct rename *r)
{
	uint8_t ftype = dir_ftype(r->newdir, r->src->d.mode);
	int ret;

	if (r->dst)
		ret = dir_set(h, r->newdir, r->newname, r->newlen, r->src->inum,
				ftype);
	else
		ret = dir_add(h, r->newdir, r->newname, r->newlen, r->src->inum,
				ftype);
	if (ret < 0)
		return ret;
	if (r->white)
		ret = dir_set(h, r->olddir, r->oldname, r->oldlen,
				r->white->inum, dir_ftype(r->olddir, 0020000));
	else
		ret = dir_remove(h, r->olddir, r->oldname, r->oldlen);
	if (ret == 0 && r->dst)
		ret = rename_drop_dst(h, r);
	if (ret < 0 || r->olddir == r->newdir || !inode_is_dir(r->src))
		return ret;
	ret = rename_reparent(h, r->src, r->newdir);
	return ret < 0 ? ret : rename_count(r->olddir, r->newdir);
}

static void rename_undo_whiteout(struct handle *h, struct rename *r)
{
	mutex_lock(&r->white->attr_lock);
	r->white->d.links = 0;
	mutex_unlock(&r->white->attr_lock);
	(void)orphan_add(h, r->white);
	(void)inode_dirty(h, r->white);
}

static int rename_in_handle(struct handle *h, struct rename *r)
{
	int ret = 0;

	if (r->flags & UEXT4_RENAME_WHITEOUT)
		ret = name_whiteout(h, r->olddir, r->cred, &r->white);
	if (ret < 0)
		return ret;
	if (r->flags & UEXT4_RENAME_EXCHANGE)
		ret = rename_exchange(h, r);
	else
		ret = rename_move(h, r);
	if (ret < 0) {
		if (r->white)
			rename_undo_whiteout(h, r);
		return ret;
	}
	inode_touch(r->src, INODE_T_CTIME);
	ret = inode_dirty(h, r->src);
	if (ret == 0)
		ret = dir_changed(h, r->olddir);
	if (ret == 0 && r->newdir != r->olddir)
		ret = dir_changed(h, r->newdir);
	return ret;
}

static int rename_go(struct rename *r)
{
	uint32_t credits = dir_credits_add(r->newdir) + 4 * DIR_CREDITS_SET +
			2 * ORPHAN_CREDITS + 6 * INODE_CREDITS;
	struct handle *h;
	txid_t tid;
	int ret;

	if (r->flags & UEXT4_RENAME_WHITEOUT)
		credits += name_whiteout_credits();
	ret = handle_start(r->fs->it.journal, credits, &h);
	if (ret < 0)
		return ret;
	tid = handle_txid(h);
	ret = rename_in_handle(h, r);
	ret = handle_finish(h, ret);
	return ret < 0 ? ret : fs_sync_tid(r->fs, r->newdir, tid);
}

/* Both directories are locked, src and dst found. */
static int rename_locked(struct rename *r)
{
	int ret;

	if (r->src == r->dst) /* RN2 */
		return r->flags & UEXT4_RENAME_NOREPLACE ? -EEXIST : 0;
	ret = rename_may(r);
	if (ret < 0)
		return ret;
	if (r->newdir->d.links == 0)
		return -ENOENT;
	rename_lock_inodes(r);
	if (r->dst && inode_is_dir(r->dst) &&
			!(r->flags & UEXT4_RENAME_EXCHANGE)) {
		ret = dir_is_empty(r->dst);
		if (ret >= 0)
			ret = ret ? 0 : -ENOTEMPTY;
	}
	if (ret == 0)
		ret = rename_go(r);
	rename_unlock_inodes(r);
	return ret;
}

/* Look up without locking both; for rename_check_tree(). */
static int rename_peek(struct inode *dir, const char *name, size_t len,
		struct inode **ret_inode)
{
	int ret;

	rwsem_read_lock(&dir->rwsem);
	ret = name_lookup_locked(dir, name, len, ret_inode);
	rwsem_read_unlock(&dir->rwsem);
	return ret;
}

/* What the names mean now, and RN1 for it. rename_lock is held. */
static int rename_peek_both(struct rename *r, struct inode **ret_src,
		struct inode **ret_dst)
{
	int ret;

	ret = rename_peek(r->olddir, r->oldname, r->oldlen, ret_src);
	if (ret < 0)
		return ret;
	ret = rename_peek(r->newdir, r->newname, r->newlen, ret_dst);
	if (ret < 0 && ret != -ENOENT)
		return ret;
	/* The kernel's order: what the flags forbid is told before RN1. */
	if (*ret_dst && (r->flags & UEXT4_RENAME_NOREPLACE))
		return -EEXIST;
	if (!*ret_dst && (r->flags & UEXT4_RENAME_EXCHANGE))
		return -ENOENT;
	return rename_check_tree(r, *ret_src, *ret_dst);
}

static void rename_put(struct rename *r)
{
	inode_put(r->src);
	inode_put(r->dst);
	inode_put(r->white);
	r->src = NULL;
	r->dst = NULL;
	r->white = NULL;
}

static int rename_same_dir(struct rename *r)
{
	int ret;

	ret = rename_lock_dirs(r);
	if (ret < 0)
		return ret;
	ret = rename_find(r);
	if (ret == 0)
		ret = rename_locked(r);
	rename_unlock_dirs(r);
	rename_put(r);
	return ret;
}

/* One attempt across directories. 1: a name meant something else once the
 * directories were locked, so what was checked is not what is there. */
static int rename_cross_dir(struct rename *r)
{
	struct inode *src = NULL;
	struct inode *dst = NULL;
	int ret;

	mutex_lock(&r->fs->rename_lock);
	ret = rename_peek_both(r, &src, &dst);
	if (ret == 0)
		ret = rename_lock_dirs(r);
	if (ret == 0) {
		ret = rename_find(r);
		if (ret == 0 && (r->src != src || r->dst != dst))
			ret = 1;
		if (ret == 0)
			ret = rename_locked(r);
		rename_unlock_dirs(r);
	}
	mutex_unlock(&r->fs->rename_lock);
	rename_put(r);
	inode_put(dst);
	inode_put(src);
	return ret;
}

static int rename_run(struct rename *r)
{
	int ret;

	if (r->olddir == r->newdir)
		return rename_same_dir(r);
	do {
		ret = rename_cross_dir(r);
	} while (ret == 1);
	return ret;
}

static int rename_prepare(struct rename *r)
{
	int ret;

	if (!inode_is_dir(r->olddir) || !inode_is_dir(r->newdir))
		return -ENOTDIR;
	if (inode_fs(r->olddir) != inode_fs(r->newdir))
		return -EXDEV;
	if ((r->flags & ~7u) ||
			((r->flags & UEXT4_RENAME_EXCHANGE) && (r->flags & 5u)))
		return -EINVAL;
	ret = name_check(r->oldname, &r->oldlen);
	if (ret == 0)
		ret = name_check(r->newname, &r->newlen);
	if (ret < 0)
		return ret;
	if (name_is_dot(r->oldname) || name_is_dot(r->newname))
		return (r->flags & UEXT4_RENAME_NOREPLACE) &&
						name_is_dot(r->newname)
				? -EEXIST
				: -EBUSY;
	return 0;
}

int uext4_rename(struct uext4_node *dir, const char *name,
		struct uext4_node *newdir, const char *newname, unsigned flags,
		const struct uext4_cred *cred)
{
	struct rename r = {
		.fs = inode_fs(node_inode(dir)),
		.olddir = node_inode(dir),
		.newdir = node_inode(newdir),
		.oldname = name,
		.newname = newname,
		.flags = flags,
		.cred = cred,
	};
	int ret;

	ret = fs_may_write(r.fs);
	if (ret == 0)
		ret = rename_prepare(&r);
	if (ret == 0)
		ret = rename_run(&r);
	if (ret == -ENOSPC && alloc_pending(r.fs->alloc) > 0 &&
			journal_sync(r.fs->journal) == 0)
		ret = rename_run(&r);
	return fs_done(r.fs, ret, r.olddir->inum);
}
