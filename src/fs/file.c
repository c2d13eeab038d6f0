/* SPDX-License-Identifier: MIT */
/*
 * Open files: open, close, and the calls that only pass on.
 */
#include "fs/file.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/alloc.h"
#include "bdev/bdev.h"
#include "disk/geo.h"
#include "fs/attr.h"
#include "fs/fs.h"
#include "fs/name.h"
#include "fs/path.h"
#include "fs/write.h"

#define FILE_IOV_MAX      1024
#define OPEN_SYMLINKS_MAX 40

/* ---- open ---- */

static unsigned open_mask(unsigned flags)
{
	unsigned mask = 0;

	if ((flags & 3u) != UEXT4_O_WRONLY)
		mask |= MAY_READ;
	if ((flags & 3u) != UEXT4_O_RDONLY || (flags & UEXT4_O_TRUNC))
		mask |= MAY_WRITE;
	return mask;
}

/* May @inode be opened so? */
static int open_check(struct uext4_fs *fs, struct inode *inode, unsigned flags,
		const struct uext4_cred *cred)
{
	unsigned mask = open_mask(flags);
	int ret;

	if ((flags & 3u) == 3u)
		return -EINVAL;
	if (inode_is_symlink(inode))
		return -ELOOP;
	if (inode_is_dir(inode) && (mask & MAY_WRITE))
		return -EISDIR;
	if ((flags & UEXT4_O_DIRECTORY) && !inode_is_dir(inode))
		return -ENOTDIR;
	if (!inode_is_dir(inode) && !inode_is_reg(inode))
		return -ENXIO; /* devices and pipes are not ours to run */
	if (mask & MAY_WRITE) {
		ret = fs_may_write(fs);
		if (ret < 0)
			return ret;
	}
	ret = inode_permission(inode, mask, cred);
	if (ret < 0)
		return ret;
	if ((inode_flags(inode) & DINODE_F_APPEND) && (mask & MAY_WRITE) &&
			(!(flags & UEXT4_O_APPEND) || (flags & UEXT4_O_TRUNC)))
		return -EPERM;
	if ((flags & UEXT4_O_NOATIME) && !cred_owns(cred, inode))
		return -EPERM;
	return 0;
}

int file_new(struct uext4_fs *fs, struct inode *inode, unsigned flags,
		const struct uext4_cred *cred, struct uext4_file **ret_file)
{
	struct uext4_file *file;

	file = calloc(1, sizeof(*file));
	if (!file)
		return -ENOMEM;
	file->fs = fs;
	file->inode = inode;
	file->flags = flags;
	file->who = caller_of(cred, inode);
	file->is_checked = cred && (cred->flags & UEXT4_CRED_CHECKED);
	atomic_store(&file->wb_err, iomap_sample_error(&inode->file));
	atomic_store(&file->refs, 1);
	file->id = atomic_fetch_add(&fs->next_file_id, 1) + 1;
	atomic_fetch_add(&fs->nopen, 1);
	*ret_file = file;
	return 0;
}

/* Takes over the reference to @inode, also on failure. @created: the caller
 * just made it, so its mode does not bind him. */
static int open_inode(struct uext4_fs *fs, struct inode *inode, unsigned flags,
		const struct uext4_cred *cred, bool created,
		struct uext4_file **ret_file)
{
	int ret = 0;

	if (!created)
		ret = open_check(fs, inode, flags, cred);
	if (ret == 0 && !created && (flags & UEXT4_O_TRUNC))
		ret = inode_set_length(inode, 0, caller_of(cred, inode));
	if (ret == 0)
		ret = file_new(fs, inode, flags, cred, ret_file);
	if (ret < 0)
		inode_put(inode);
	return ret;
}

int uext4_open_node(struct uext4_node *node, unsigned flags,
		const struct uext4_cred *cred, struct uext4_file **ret_file)
{
	struct inode *inode = node_inode(node);
	struct uext4_fs *fs = inode_fs(inode);
	inum_t inum = inode->inum;
	int ret;

	ret = fs_may_read(fs);
	if (ret < 0)
		return ret;
	inode_hold(inode);
	ret = open_inode(fs, inode, flags, cred, false, ret_file);
	return fs_done(fs, ret, inum);
}

/* openat() inside one directory; *ret_link: a symlink stands there. */
static int open_in_dir(struct inode *dir, const char *name, unsigned flags,
		uint32_t mode, const struct uext4_cred *cred, bool *ret_link,
		struct uext4_file **ret_file)
{
	struct create_req req = {
		.name = name,
		.mode = 0100000 | (mode & 07777),
		.cred = cred,
	};
	struct uext4_fs *fs = inode_fs(dir);
	struct inode *inode;
	size_t len;
	int ret;

	*ret_link = false;
	ret = name_check(name, &len);
	if (ret < 0)
		return ret;
	for (;;) {
		ret = inode_permission(dir, MAY_EXEC, cred);
		if (ret < 0)
			return ret;
		rwsem_read_lock(&dir->rwsem);
		ret = name_lookup_locked(dir, name, len, &inode);
		rwsem_read_unlock(&dir->rwsem);
		if (ret == 0)
			break;
		if (ret != -ENOENT)
			return ret;
		ret = fs_may_write(fs);
		if (ret == 0)
			ret = name_create(dir, &req, &inode);
		if (ret == 0)
			return open_inode(
					fs, inode, flags, cred, true, ret_file);
		if (ret != -EEXIST || (flags & UEXT4_O_EXCL))
			return ret;
	}
	if (flags & UEXT4_O_EXCL) {
		inode_put(inode);
		return -EEXIST;
	}
	if (inode_is_symlink(inode)) {
		inode_put(inode);
		*ret_link = true;
		return -ELOOP;
	}
	if (inode_is_dir(inode)) {
		inode_put(inode);
		return -EISDIR;
	}
	return open_inode(fs, inode, flags, cred, false, ret_file);
}

int uext4_create(struct uext4_node *dir, const char *name, unsigned flags,
		uint32_t mode, const struct uext4_cred *cred,
		struct uext4_file **ret_file)
{
	struct inode *d = node_inode(dir);
	bool link;
	int ret;

	ret = fs_may_write(inode_fs(d));
	if (ret == 0 && !inode_is_dir(d))
		ret = -ENOTDIR;
	if (ret == 0)
		ret = open_in_dir(d, name, flags, mode, cred, &link, ret_file);
	return fs_done(inode_fs(d), ret, d->inum);
}

/* The symlink dir/name: from now on its target is meant, relative to dir. */
static int open_follow(struct uext4_fs *fs, const struct uext4_cred *cred,
		struct inode **dir, char *name, bool *slash)
{
	char target[UEXT4_PATH_MAX + 1];
	struct inode *next;
	struct inode *link;
	size_t len;
	int ret;

	ret = path_resolve(fs, *dir, name, false, cred, &link);
	if (ret < 0)
		return ret;
	ret = symlink_read(link, target, UEXT4_PATH_MAX, &len);
	inode_put(link);
	if (ret < 0)
		return ret;
	target[len] = '\0';
	ret = path_resolve_parent(fs, *dir, target, cred, name, slash, &next);
	if (ret < 0)
		return ret;
	inode_put(*dir);
	*dir = next;
	return 0;
}

/* A symlink in the last place is followed to where the file is to be. */
static int open_creat(struct uext4_fs *fs, struct inode *at, const char *path,
		unsigned flags, uint32_t mode, const struct uext4_cred *cred,
		struct uext4_file **ret_file)
{
	char name[UEXT4_NAME_MAX + 1];
	struct inode *dir;
	bool is_link;
	bool slash;
	int links = 0;
	int ret;

	ret = path_resolve_parent(fs, at, path, cred, name, &slash, &dir);
	if (ret < 0)
		return ret == -EBUSY ? -EISDIR : ret;
	for (;;) {
		is_link = false;
		ret = slash || name_is_dot(name)
				? -EISDIR
				: open_in_dir(dir, name, flags, mode, cred,
						  &is_link, ret_file);
		if (!is_link || (flags & UEXT4_O_NOFOLLOW) ||
				links++ == OPEN_SYMLINKS_MAX)
			break;
		ret = open_follow(fs, cred, &dir, name, &slash);
		if (ret < 0)
			break;
	}
	inode_put(dir);
	return ret;
}

static int open_tmpfile(struct uext4_fs *fs, struct inode *at, const char *path,
		unsigned flags, uint32_t mode, const struct uext4_cred *cred,
		struct uext4_file **ret_file)
{
	struct create_req req = {
		.mode = 0100000 | (mode & 07777),
		.cred = cred,
	};
	struct inode *inode;
	struct inode *dir;
	int ret;

	if ((flags & 3u) == UEXT4_O_RDONLY)
		return -EINVAL;
	ret = fs_may_write(fs);
	if (ret == 0)
		ret = path_resolve(fs, at, path, true, cred, &dir);
	if (ret < 0)
		return ret;
	ret = inode_is_dir(dir) ? name_tmpfile(dir, &req, &inode) : -ENOTDIR;
	inode_put(dir);
	if (ret < 0)
		return ret;
	if (flags & UEXT4_O_EXCL)
		atomic_fetch_and(&inode->state, ~INODE_S_TMPFILE);
	return open_inode(fs, inode, flags, cred, true, ret_file);
}

int uext4_open(struct uext4_fs *fs, struct uext4_node *at, const char *path,
		unsigned flags, uint32_t mode, const struct uext4_cred *cred,
		struct uext4_file **ret_file)
{
	struct inode *base = at ? node_inode(at) : NULL;
	struct inode *inode;
	int ret;

	ret = fs_may_read(fs);
	if (ret < 0)
		return ret;
	if (flags & UEXT4_O_TMPFILE) {
		ret = open_tmpfile(fs, base, path, flags, mode, cred, ret_file);
	} else if (flags & UEXT4_O_CREAT) {
		if (flags & UEXT4_O_DIRECTORY)
			return -EINVAL;
		ret = open_creat(fs, base, path, flags, mode, cred, ret_file);
	} else {
		ret = path_resolve(fs, base, path, !(flags & UEXT4_O_NOFOLLOW),
				cred, &inode);
		if (ret == 0)
			ret = open_inode(fs, inode, flags, cred, false,
					ret_file);
	}
	return fs_done(fs, ret, 0);
}

void file_hold(struct uext4_file *file)
{
	atomic_fetch_add_explicit(&file->refs, 1, memory_order_relaxed);
}

void file_put(struct uext4_file *file)
{
	struct inode *inode = file->inode;
	struct uext4_fs *fs = file->fs;

	if (atomic_fetch_sub_explicit(&file->refs, 1, memory_order_acq_rel) !=
			1)
		return;
	if (file_can_write(file) && inode->it->journal) {
		rwsem_write_lock(&inode->map.lock);
		alloc_pa_release(inode->it->alloc, &inode->map.pa);
		rwsem_write_unlock(&inode->map.lock);
		inode_try_trim_eof(inode);
	}
	inode_put(inode);
	free(file);
	atomic_fetch_sub(&fs->nopen, 1);
}

int uext4_close(struct uext4_file *file)
{
	uint32_t seen;
	int ret;

	if (!file)
		return 0;
	seen = atomic_load(&file->wb_err);
	ret = iomap_check_error(&file->inode->file, &seen);
	file_put(file);
	return ret;
}

struct uext4_node *uext4_file_node(struct uext4_file *file)
{
	return inode_node(file->inode);
}

uint32_t uext4_dio_align(struct uext4_file *file)
{
	return file->inode->file.dax ? 1 : file->inode->file.dev->geo.sector;
}

/* ---- data ---- */

int file_check_io(struct uext4_file *file, const struct iovec *iov, int iovcnt,
		uint64_t pos, bool write)
{
	size_t total = 0;
	int i;

	if (write ? !file_can_write(file) : !file_can_read(file))
		return -EBADF;
	if (inode_is_dir(file->inode))
		return -EISDIR;
	if (iovcnt < 0 || iovcnt > FILE_IOV_MAX || pos > INT64_MAX)
		return -EINVAL;
	for (i = 0; i < iovcnt; i++) {
		if (iov[i].iov_len > (size_t)SSIZE_MAX - total)
			return -EINVAL;
		total += iov[i].iov_len;
	}
	return total > (uint64_t)INT64_MAX - pos ? -EFBIG : 0;
}

int file_check_write(struct uext4_file *file, const struct iovec *iov,
		int iovcnt, uint64_t pos, unsigned rwf)
{
	int ret = file_check_io(file, iov, iovcnt, pos, true);

	if (ret < 0 || !(rwf & UEXT4_RW_NOAPPEND))
		return ret;
	if (rwf & UEXT4_RW_APPEND)
		return -EINVAL;
	if ((inode_flags(file->inode) & DINODE_F_APPEND) && !file->is_checked &&
			!(rwf & UEXT4_RW_LATE))
		return -EPERM;
	return 0;
}

ssize_t uext4_preadv2(struct uext4_file *file, const struct iovec *iov,
		int iovcnt, uint64_t pos, unsigned flags)
{
	struct iov_iter it;
	ssize_t done;

	done = file_check_io(file, iov, iovcnt, pos, false);
	if (done < 0)
		return done;
	iov_iter_init(&it, iov, iovcnt);
	done = file_read_iter(file, pos, &it, flags);
	if (done < 0)
		return fs_done(file->fs, (int)done, file->inode->inum);
	return done;
}

ssize_t uext4_pwritev2(struct uext4_file *file, const struct iovec *iov,
		int iovcnt, uint64_t pos, unsigned flags)
{
	struct iov_iter it;
	ssize_t done;

	done = file_check_write(file, iov, iovcnt, pos, flags);
	if (done < 0)
		return done;
	iov_iter_init(&it, iov, iovcnt);
	done = file_write_iter(file, pos, &it, flags);
	if (done < 0)
		return fs_done(file->fs, (int)done, file->inode->inum);
	return done;
}

ssize_t uext4_pread(
		struct uext4_file *file, void *buf, size_t len, uint64_t pos)
{
	struct iovec iov = { .iov_base = buf, .iov_len = len };

	return uext4_preadv2(file, &iov, 1, pos, 0);
}

ssize_t uext4_pwrite(struct uext4_file *file, const void *buf, size_t len,
		uint64_t pos)
{
	struct iovec iov = { .iov_len = len };

	/* The iterator only reads from here. */
	memcpy(&iov.iov_base, &buf, sizeof(buf));
	return uext4_pwritev2(file, &iov, 1, pos, 0);
}

int uext4_ftruncate(struct uext4_file *file, uint64_t size)
{
	int ret;

	if (!file_can_write(file))
		return -EINVAL;
	ret = fs_may_write(file->fs);
	if (ret == 0)
		ret = inode_set_length(file->inode, size, file->who);
	if (ret == 0 && (file->flags & (UEXT4_O_SYNC | UEXT4_O_DSYNC)))
		ret = inode_sync(file->inode, !(file->flags & UEXT4_O_SYNC));
	return fs_done(file->fs, ret, file->inode->inum);
}

int uext4_fsync(struct uext4_file *file)
{
	return fs_done(file->fs, file_sync(file, false), file->inode->inum);
}

int uext4_fdatasync(struct uext4_file *file)
{
	return fs_done(file->fs, file_sync(file, true), file->inode->inum);
}

int uext4_node_fsync(struct uext4_node *node, bool datasync)
{
	struct inode *inode = node_inode(node);
	struct uext4_fs *fs = inode_fs(inode);
	int ret = fs_may_read(fs);

	if (ret == 0)
		ret = inode_sync(inode, datasync);
	return fs_done(fs, ret, inode->inum);
}

int uext4_sync_range(struct uext4_file *file, uint64_t pos, uint64_t len)
{
	int ret = fs_may_write(file->fs);

	if (ret == 0 && len > 0)
		ret = iomap_writeback(&file->inode->file, pos,
				len > UINT64_MAX - pos ? UINT64_MAX
						       : pos + len - 1);
	return fs_done(file->fs, ret, file->inode->inum);
}

/* ---- where data is ---- */

int64_t uext4_seek_data(struct uext4_file *file, uint64_t pos)
{
	int64_t at;

	if (!inode_is_reg(file->inode))
		return -EINVAL;
	at = iomap_seek_data(&file->inode->file, pos);
	return at < 0 ? fs_done(file->fs, (int)at, file->inode->inum) : at;
}

int64_t uext4_seek_hole(struct uext4_file *file, uint64_t pos)
{
	int64_t at;

	if (!inode_is_reg(file->inode))
		return -EINVAL;
	at = iomap_seek_hole(&file->inode->file, pos);
	return at < 0 ? fs_done(file->fs, (int)at, file->inode->inum) : at;
}

/* One run is held back until it is known whether it is the last. */
struct fiemap_ctx {
	int (*fn)(void *ctx, const struct uext4_extent *e);
	void *ctx;
	struct uext4_extent held;
	bool has;
};

static int fiemap_one(void *arg, const struct iomap *map)
{
	struct fiemap_ctx *c = arg;
	int ret = 0;

	if (c->has)
		ret = c->fn(c->ctx, &c->held);
	c->has = ret == 0;
	c->held = (struct uext4_extent){
		.logical = map->offset,
		.physical = map->addr,
		.length = map->length,
	};
	if (map->type == IOMAP_UNWRITTEN)
		c->held.flags = UEXT4_EXTENT_UNWRITTEN;
	else if (map->type == IOMAP_DELALLOC)
		c->held.flags = UEXT4_EXTENT_DELALLOC;
	else if (map->type == IOMAP_INLINE)
		c->held.flags = UEXT4_EXTENT_INLINE;
	return ret;
}

static int fiemap_is_last(struct inode *inode, const struct uext4_extent *e)
{
	uint64_t next = (e->logical + e->length) >> inode->file.blkbits;
	struct map_run run;
	int ret;

	if (next > UINT32_MAX || (e->flags & UEXT4_EXTENT_INLINE))
		return 1;
	ret = map_next(&inode->map, (lblk_t)next, &run);
	if (ret == -ENOENT)
		return 1;
	return ret < 0 ? ret : 0;
}

int uext4_fiemap(struct uext4_file *file, uint64_t pos, uint64_t len, bool sync,
		int (*fn)(void *ctx, const struct uext4_extent *e), void *ctx)
{
	struct fiemap_ctx c = { .fn = fn, .ctx = ctx };
	struct inode *inode = file->inode;
	int ret;

	ret = fs_may_read(file->fs);
	if (ret == 0 && sync && file->inode->it->journal)
		ret = fs_may_write(file->fs);
	if (ret < 0 && ret != -EROFS)
		return ret;
	rwsem_read_lock(&inode->rwsem);
	ret = iomap_fiemap(&inode->file, pos, len,
			sync && inode->it->journal != NULL, fiemap_one, &c);
	if (ret == 0 && c.has) {
		ret = fiemap_is_last(inode, &c.held);
		if (ret > 0)
			c.held.flags |= UEXT4_EXTENT_LAST;
		if (ret >= 0)
			ret = fn(ctx, &c.held);
	}
	rwsem_read_unlock(&inode->rwsem);
	return fs_done(file->fs, ret, inode->inum);
}
