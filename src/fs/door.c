/* SPDX-License-Identifier: MIT */
/*
 * The library's front door: mounting by name, facts about the mount, state
 * words, held inodes, attributes by full name.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/alloc.h"
#include "bdev/bdev.h"
#include "bdev/mapcopy.h"
#include "cache/buf.h"
#include "disk/dxattr.h"
#include "fs/attr.h"
#include "fs/fs.h"
#include "uext4/uext4_dev.h"

/* ---- mount ---- */

static int mount_and_close(struct bdev *dev,
		const struct uext4_mount_opts *opts, struct uext4_fs **ret_fs)
{
	int ret;

	ret = fs_mount(dev, true, opts, ret_fs);
	if (ret < 0)
		err_ignore(bdev_close(dev));
	return ret;
}

static void mount_opts_to_bdev(
		const struct uext4_mount_opts *opts, struct bdev_file_opts *ret)
{
	*ret = (struct bdev_file_opts){ 0 };
	if (!opts)
		return;
	ret->offset = opts->offset;
	ret->limit = opts->limit;
	if (opts->flags & UEXT4_MNT_RDONLY)
		ret->flags |= BDEV_OPEN_RDONLY;
	if (opts->flags & UEXT4_MNT_DIRECT)
		ret->flags |= BDEV_OPEN_DIRECT;
}

/* An image that is open is a device and nothing more. */
static struct bdev *image_bdev(struct uext4_image *image)
{
	return (struct bdev *)(void *)image;
}

int uext4_image_open(const char *path, const struct uext4_mount_opts *opts,
		struct uext4_image **ret_image)
{
	struct bdev_file_opts fo;
	struct bdev *dev;
	int ret;

	mount_opts_to_bdev(opts, &fo);
	ret = bdev_file_open(path, &fo, &dev);
	if (ret == 0)
		*ret_image = (struct uext4_image *)(void *)dev;
	return ret;
}

int uext4_mount_image(struct uext4_image *image,
		const struct uext4_mount_opts *opts, struct uext4_fs **ret_fs)
{
	return mount_and_close(image_bdev(image), opts, ret_fs);
}

void uext4_image_close(struct uext4_image *image)
{
	err_ignore(bdev_close(image_bdev(image)));
}

int uext4_mount(const char *path, const struct uext4_mount_opts *opts,
		struct uext4_fs **ret_fs)
{
	struct uext4_image *image;
	int ret;

	ret = uext4_image_open(path, opts, &image);
	return ret < 0 ? ret : uext4_mount_image(image, opts, ret_fs);
}

int uext4_mount_dev(const struct uext4_dev *dev,
		const struct uext4_mount_opts *opts, struct uext4_fs **ret_fs)
{
	struct bdev_file_opts fo;
	struct bdev *bdev;
	int ret;

	mount_opts_to_bdev(opts, &fo);
	ret = bdev_user_open(dev, &fo, &bdev);
	if (ret < 0)
		return ret;
	return mount_and_close(bdev, opts, ret_fs);
}

/* ---- state ---- */

int fs_may_read(struct uext4_fs *fs)
{
	return atomic_load(&fs->state) & FS_S_SHUTDOWN ? -EIO : 0;
}

int fs_may_write(struct uext4_fs *fs)
{
	uint32_t state;

	if (fs->mmp.is_held)
		err_ignore(mmp_check_alive(fs)); /* it changes the state */
	state = atomic_load(&fs->state);
	if (state & FS_S_SHUTDOWN)
		return -EIO;
	return state & (FS_S_RDONLY | FS_S_EMERG_RO) ? -EROFS : 0;
}

static uint16_t fs_error_policy(struct uext4_fs *fs)
{
	switch (fs->opts.errors) {
	case UEXT4_ERRORS_CONTINUE:
		return DSUPER_ERRORS_CONTINUE;
	case UEXT4_ERRORS_RO:
		return DSUPER_ERRORS_RO;
	case UEXT4_ERRORS_SHUTDOWN:
		return DSUPER_ERRORS_PANIC;
	case UEXT4_ERRORS_DEFAULT:
		break;
	}
	return fs->super.sb.errors;
}

void fs_error(struct uext4_fs *fs, int err, inum_t inum, const char *func,
		unsigned line)
{
	uint16_t policy = fs_error_policy(fs);
	bool panics = false;

	if (!fs->journal)
		return;
	buf_lock(fs->super.buf);
	dsuper_note_error(&fs->super.sb, (uint64_t)fs->it.now(fs).tv_sec, func,
			line, err, inum, 0);
	fs->super.errors_dirty = true;
	buf_unlock(fs->super.buf);
	if (policy == DSUPER_ERRORS_CONTINUE)
		return;
	if (policy == DSUPER_ERRORS_PANIC) {
		panics = !(atomic_fetch_or(&fs->state, FS_S_SHUTDOWN) &
				FS_S_SHUTDOWN);
		log_err(&fs->log,
				"damage found: shut down, as errors=panic "
				"says");
	} else if (!(atomic_fetch_or(&fs->state, FS_S_EMERG_RO) &
				   FS_S_EMERG_RO)) {
		log_err(&fs->log,
				"damage found: read-only from now on, as "
				"errors=remount-ro says");
	}
	journal_abort(fs->journal, -EIO, !mmp_is_lost(&fs->mmp));
	/* Who is told may end the mount. */
	if (panics && fs->opts.panic)
		fs->opts.panic(fs->opts.panic_ctx);
}

void fs_forbid_writes(struct uext4_fs *fs)
{
	bool panic = fs_error_policy(fs) == DSUPER_ERRORS_PANIC;

	atomic_fetch_or(&fs->state, panic ? FS_S_SHUTDOWN : FS_S_EMERG_RO);
}

int fs_done(struct uext4_fs *fs, int ret, inum_t inum)
{
	if (ret == -UEXT4_ECORRUPT || ret == -UEXT4_EBADCSUM)
		fs_error(fs, -ret, inum, "fs_done", __LINE__);
	return ret;
}

int uext4_shutdown(struct uext4_fs *fs, enum uext4_shutdown_mode mode)
{
	int ret = 0;

	if (fs_may_write(fs) == -EIO)
		return 0;
	if (mode == UEXT4_SHUTDOWN_DEFAULT)
		ret = uext4_sync(fs);
	else if (mode == UEXT4_SHUTDOWN_LOGFLUSH && fs->journal)
		ret = journal_sync(fs->journal);
	else if (mode != UEXT4_SHUTDOWN_NOLOGFLUSH &&
			mode != UEXT4_SHUTDOWN_LOGFLUSH)
		return -EINVAL;
	atomic_fetch_or(&fs->state, FS_S_SHUTDOWN);
	if (fs->journal)
		journal_abort(fs->journal, -ESHUTDOWN, false);
	return ret == -EROFS ? 0 : ret;
}

/* ---- facts ---- */

int uext4_statfs(struct uext4_fs *fs, struct uext4_statfs *ret_st)
{
	struct alloc_stat st;
	uint64_t overhead = geo_overhead(&fs->geo) + fs->journal_blocks;
	int ret = fs_may_read(fs);

	if (ret < 0)
		return ret;
	alloc_stat(fs->alloc, &st);
	memset(ret_st, 0, sizeof(*ret_st));
	ret_st->block_size = fs->geo.block_size;
	ret_st->blocks = fs->geo.blocks - min_u64(overhead, fs->geo.blocks);
	ret_st->free_blocks = st.avail_blocks;
	ret_st->avail_blocks = st.avail_blocks > st.root_blocks
			? st.avail_blocks - st.root_blocks
			: 0;
	ret_st->inodes = fs->geo.inodes;
	ret_st->free_inodes = st.free_inodes;
	ret_st->name_max = UEXT4_NAME_MAX;
	memcpy(ret_st->uuid, fs->geo.uuid, sizeof(ret_st->uuid));
	return 0;
}

static const char *fs_kind(const struct uext4_fs *fs)
{
	const struct geo *g = &fs->geo;

	if (geo_has_incompat(g, FI_EXTENTS | FI_64BIT | FI_FLEX_BG) ||
			geo_has_ro_compat(g,
					FR_HUGE_FILE | FR_GDT_CSUM |
							FR_METADATA_CSUM))
		return "ext4";
	return geo_has_compat(g, FC_HAS_JOURNAL) ? "ext3" : "ext2";
}

static void info_super(const struct dsuper *sb, struct uext4_info *info)
{
	memcpy(info->uuid, sb->uuid, sizeof(info->uuid));
	memcpy(info->label, sb->volume_name, sizeof(info->label));
	info->inode_size = sb->inode_size;
	info->reserved_blocks = sb->r_blocks_count;
	info->had_errors = (sb->state & DSUPER_STATE_ERROR) != 0;
	info->mount_count = sb->mnt_count;
	info->created = (int64_t)sb->mkfs_time;
	info->last_mount = (int64_t)sb->mtime;
	info->last_write = (int64_t)sb->wtime;
	info->last_check = (int64_t)sb->lastcheck;
	info->error_count = sb->error_count;
}

int uext4_info(struct uext4_fs *fs, struct uext4_info *ret_info)
{
	struct uext4_info info = { 0 };
	struct alloc_stat st;

	buf_lock(fs->super.buf);
	info_super(&fs->super.sb, &info);
	buf_unlock(fs->super.buf);
	alloc_stat(fs->alloc, &st);
	info.features = fs->features;
	info.block_size = fs->geo.block_size;
	info.desc_size = fs->geo.desc_size;
	info.blocks = fs->geo.blocks;
	info.free_blocks = st.free_blocks;
	info.inodes = fs->geo.inodes;
	info.free_inodes = (uint32_t)st.free_inodes;
	info.groups = fs->geo.groups;
	info.blocks_per_group = fs->geo.bpg;
	info.inodes_per_group = fs->geo.ipg;
	info.clean = fs->was_valid;
	info.needed_recovery = fs->needed_recovery;
	info.has_journal = geo_has_compat(&fs->geo, FC_HAS_JOURNAL);
	info.journal_blocks = fs->journal_blocks;
	info.rdonly = fs_may_write(fs) != 0;
	info.rdonly_why = fs->rdonly_why;
	if (atomic_load(&fs->state) & FS_S_EMERG_RO)
		info.rdonly_why = "an error was found";
	if (atomic_load(&fs->state) & FS_S_SHUTDOWN)
		info.rdonly_why = "shut down";
	if (mmp_is_lost(&fs->mmp))
		info.rdonly_why = "mmp: it is no longer ours alone";
	info.kind = fs_kind(fs);
	info.replayed_transactions =
			(uint32_t)(fs->recovered.last - fs->recovered.first);
	info.replayed_blocks = fs->recovered.replayed;
	info.revoked_blocks = fs->recovered.revoked;
	info.orphans_deleted = fs->orphans_deleted;
	info.orphans_truncated = fs->orphans_truncated;
	*ret_info = info;
	return 0;
}

int uext4_stats(struct uext4_fs *fs, struct uext4_stats *ret_stats)
{
	struct buf_cache_stats bs;

	buf_cache_get_stats(fs->cache, &bs);
	memset(ret_stats, 0, sizeof(*ret_stats));
	ret_stats->flushes = atomic_load(&fs->flushes);
	ret_stats->dev_reads = bs.reads;
	ret_stats->dev_writes = bs.writes;
	ret_stats->meta_bytes = bs.bytes;
	ret_stats->page_bytes = page_pool_bytes(fs->pool);
	return 0;
}

/* ---- held inodes ---- */

/* Takes over @inode. @generation 0: any. */
static int node_give(struct uext4_fs *fs, struct inode *inode,
		uint32_t generation, struct uext4_node **ret_node)
{
	if (generation != 0 && inode->d.generation != generation) {
		inode_put(inode);
		return -ESTALE;
	}
	atomic_fetch_add(&fs->nopen, 1);
	*ret_node = inode_node(inode);
	return 0;
}

int uext4_node_get(struct uext4_fs *fs, uint32_t ino, uint32_t generation,
		struct uext4_node **ret_node)
{
	struct inode *inode;
	int ret;

	ret = fs_may_read(fs);
	if (ret < 0)
		return ret;
	if (!geo_inum_is_user(&fs->geo, ino))
		return -ESTALE;
	ret = inode_get(&fs->it, ino, &inode);
	if (ret < 0)
		return fs_done(fs, ret, ino);
	return node_give(fs, inode, generation, ret_node);
}

int uext4_node_by_handle(struct uext4_fs *fs, uint64_t ino, uint32_t generation,
		struct uext4_node **ret_node)
{
	struct inode *inode;
	int ret = fs_may_read(fs);

	if (ret < 0)
		return ret;
	if (ino > UINT32_MAX || !geo_inum_is_user(&fs->geo, (inum_t)ino))
		return -ESTALE;
	ret = ialloc_is_used(fs->alloc, (inum_t)ino);
	if (ret <= 0)
		return ret < 0 ? fs_done(fs, ret, (inum_t)ino) : -ESTALE;
	ret = inode_get_named(&fs->it, (inum_t)ino, &inode);
	/* Taken a moment ago, it need not look like an inode yet. */
	if (ret == -UEXT4_EBADCSUM || ret == -UEXT4_ECORRUPT)
		ret = -ESTALE;
	if (ret < 0)
		return ret;
	if (inode->d.links == 0) {
		inode_put(inode);
		return -ESTALE;
	}
	return node_give(fs, inode, generation, ret_node);
}

int uext4_node_root(struct uext4_fs *fs, struct uext4_node **ret_node)
{
	return uext4_node_get(fs, UEXT4_ROOT_INO, 0, ret_node);
}

struct uext4_node *uext4_node_hold(struct uext4_node *node)
{
	inode_hold(node_inode(node));
	atomic_fetch_add(&inode_fs(node_inode(node))->nopen, 1);
	return node;
}

void uext4_node_put(struct uext4_node *node)
{
	struct uext4_fs *fs;

	if (!node)
		return;
	fs = inode_fs(node_inode(node));
	inode_put(node_inode(node));
	atomic_fetch_sub(&fs->nopen, 1);
}

uint32_t uext4_node_ino(const struct uext4_node *node)
{
	return ((const struct inode *)(const void *)node)->inum;
}

ssize_t uext4_node_readlink(struct uext4_node *node, char *buf, size_t size)
{
	struct inode *inode = node_inode(node);
	struct uext4_fs *fs = inode_fs(inode);
	size_t len;
	int ret;

	ret = fs_may_read(fs);
	if (ret == 0 && size == 0)
		ret = -EINVAL;
	if (ret == 0)
		ret = symlink_read(inode, buf, size, &len);
	if (ret < 0)
		return fs_done(fs, ret, inode->inum);
	inode_accessed(inode);
	return (ssize_t)len;
}

/* ---- words ---- */

void uext4_sigbus(void)
{
	mapcopy_fault();
}

const char *uext4_version(void)
{
	return "0.1.0";
}

const char *uext4_strerror(int err)
{
	if (err < 0)
		err = -err;
	switch (err) {
	case UEXT4_ECORRUPT:
		return "the file system is damaged; run e2fsck";
	case UEXT4_EBADCSUM:
		return "a checksum does not match; run e2fsck";
	case EROFS:
		return "the file system is read-only";
	case ESTALE:
		return "the inode is gone";
	case EBUSY:
		return "in use";
	case EOPNOTSUPP:
		return "not supported on this file system";
	default:
		return err_text(err);
	}
}
