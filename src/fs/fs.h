/* SPDX-License-Identifier: MIT */
/*
 * A mounted file system: the only place that sees every handle.
 *
 * What stands on what, in the order of mount (unmount goes backwards):
 *
 *	dev      the device, opened and locked
 *	sb       the superblock: gate, checks, torn-write repair (super.c)
 *	mmp	the file system is ours alone, or somebody's (mmp.c)
 *	recovery the journal is replayed with a stack of its own, which is then
 *		 thrown away: nothing read before the replay is believed after
 *	cache    metadata bufs            alloc    groups, system blocks
 *	journal  handles                  itable   inodes
 *	orphans  the orphan set is processed
 *	flusher  the thread that writes back and commits now and then
 *
 * Rules    (FS1) A public call that changes something starts with fs_may_write()
 *                and ends with fs_done(): the first answers -EIO after a
 *                shutdown and -EROFS when read-only, the second notes damage
 *                that the call met, and waits for durability where asked.
 *          (FS2) No public call returns with a lock or a handle held.
 *          (FS3) The order of locks stands in docs/locking.md.
 *
 * Locks    fs->lock (rank LEAF): state words that are not atomic.
 */
#ifndef UEXT4_FS_FS_H
#define UEXT4_FS_FS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/lock.h"
#include "base/log.h"
#include "disk/geo.h"
#include "fs/mmp.h"
#include "fs/super.h"
#include "inode/inode.h"
#include "journal/journal.h"
#include "uext4/uext4.h"

struct alloc;
struct bdev;
struct buf_cache;
struct orphans;

#define FS_S_RDONLY   0x01u /* mounted so: set once at mount */
#define FS_S_EMERG_RO 0x02u /* turned read-only by an error */
#define FS_S_SHUTDOWN 0x04u /* changes are -EIO */

/* What tests put in the place of the world. */
struct fs_hooks {
	/* Instead of waiting for @seconds (mmp). 0, or what mounting is to
	 * return. */
	int (*sleep)(void *ctx, unsigned seconds);
	void *ctx;
};

struct uext4_fs {
	struct uext4_mount_opts opts; /* [const] defaults filled in */
	const struct fs_hooks *hooks; /* [const] NULL outside of tests */
	struct log log;
	struct bdev *dev;  /* [const] the image */
	struct bdev *over; /* [const] NULL, or dev seen through a journal
				   replayed in memory (read-only mounts) */
	struct geo geo;    /* [const] */
	struct super super;
	struct mmp mmp;
	struct buf_cache *cache;  /* [const] */
	struct journal *journal;  /* [const] NULL: read-only */
	struct journal *replayed; /* [const] owner of the overlay */
	struct alloc *alloc;      /* [const] */
	struct page_pool *pool;   /* [const] */
	struct itable it;
	struct orphans *orphans;  /* [const] */
	struct mutex rename_lock; /* rank RENAME */
	_Atomic uint32_t state;   /* FS_S_* */
	_Atomic uint64_t nopen;   /* open files and nodes held outside */
	_Atomic uint64_t next_file_id;
	_Atomic uint64_t flushes;
	_Atomic bool large_files; /* the superblock has large_file */
	_Atomic bool xattrs;      /* and ext_attr */

	struct mutex lock;
	char rdonly_why[320]; /* [const] features that forbid writing, or "" */
	char features[512];   /* [const] */
	struct journal_recovery recovered;           /* [const] */
	uint32_t orphans_deleted, orphans_truncated; /* [const] */
	uint64_t journal_blocks;                     /* [const] */
	bool needed_recovery;                        /* [const] */
	bool was_valid; /* [const] clean bit at mount */
	bool owns_dev;  /* [const] */

	struct mutex queues_lock;                 /* rank LEAF */
	LIST_HEAD(fs_queues, uext4_queue) queues; /* [queues_lock] */
	_Atomic uint32_t nqueues;

	struct mutex flush_lock; /* rank LEAF */
	struct cond flush_wait;  /* [flush_lock] */
	bool flush_stop;         /* [flush_lock] */
	bool has_flusher;        /* [const] */
	pthread_t flusher;       /* [const] */
};

/* Mount the device @dev; it is closed by unmount if @owns_dev (on failure it
 * stays the caller's). The doors are uext4_mount() and uext4_mount_dev(). */
int fs_mount(struct bdev *dev, bool owns_dev,
		const struct uext4_mount_opts *opts, struct uext4_fs **ret_fs);
/* The same for tests; @hooks outlives the mount. */
int fs_mount_hooked(struct bdev *dev, bool owns_dev,
		const struct uext4_mount_opts *opts,
		const struct fs_hooks *hooks, struct uext4_fs **ret_fs);
/* The clock of time stamps; @owner is the mount. */
struct timespec fs_now(void *owner);
/* opts.c: @opts with the defaults filled in (NULL: those), and the log by them;
 * -EINVAL for what makes no sense. */
int fs_take_opts(struct uext4_fs *fs, const struct uext4_mount_opts *opts);
/* Stop without writing anything more, as a power cut would: for tests. */
void fs_crash(struct uext4_fs *fs);

/* 0, -EIO after shutdown, -EROFS. */
int fs_may_write(struct uext4_fs *fs);
/* 0, or -EIO after a shutdown. */
int fs_may_read(struct uext4_fs *fs);
/* Before a file gets @size: the superblock must know of files of 2 GiB and more.
 * Holds no handle. -EFBIG where it cannot (revision 0). */
int fs_allow_size(struct uext4_fs *fs, uint64_t size);
/* Before an attribute is set: the superblock gets ext_attr, if it may. A file
 * system of revision 0 has no features: -EOPNOTSUPP. */
int fs_allow_xattrs(struct uext4_fs *fs);
/* Pass @ret on; if it says that the disk is damaged, record it in the
 * superblock and apply the errors= policy. @inum 0: unknown. */
int fs_done(struct uext4_fs *fs, int ret, inum_t inum);
void fs_error(struct uext4_fs *fs, int err, inum_t inum, const char *func,
		unsigned line);
/* The device is no longer ours: no call begins a write any more. */
void fs_forbid_writes(struct uext4_fs *fs);
/* Under UEXT4_MNT_SYNC, or for a sync inode: wait until @tid is durable. */
int fs_sync_tid(struct uext4_fs *fs, const struct inode *inode, txid_t tid);

/* flush.c */
int fs_flusher_start(struct uext4_fs *fs);
void fs_flusher_stop(struct uext4_fs *fs);
/* Write back the dirty pages of every inode. */
int fs_writeback_all(struct uext4_fs *fs);

/* fs_iomap.c */
extern const struct iomap_ops fs_iomap_ops;

/* Which way direct writes go (the options, defaults filled in). */
static inline bool fs_is_datafirst(const struct uext4_fs *fs)
{
	return fs->opts.dio_alloc == UEXT4_DIO_ALLOC_DATAFIRST;
}
static inline bool fs_extends_serially(const struct uext4_fs *fs)
{
	return fs->opts.dio_extend == UEXT4_DIO_EXTEND_SERIAL;
}
static inline bool fs_sizes_by_prefix(const struct uext4_fs *fs)
{
	return fs->opts.dio_size == UEXT4_DIO_SIZE_PREFIX;
}

/* fs_dax.c */
extern const struct iomap_ops fs_dax_ops;
/* Can what UEXT4_MNT_DAX asks for be had? -EINVAL together with DIRECT,
 * -EOPNOTSUPP if there is no memory; logged. */
int fs_check_dax(struct uext4_fs *fs);

static inline struct uext4_fs *inode_fs(const struct inode *inode)
{
	return inode->it->owner;
}

/* A node is an inode held on behalf of the library's user. */
static inline struct inode *node_inode(struct uext4_node *node)
{
	return (struct inode *)(void *)node;
}

static inline struct uext4_node *inode_node(struct inode *inode)
{
	return (struct uext4_node *)(void *)inode;
}

#endif /* UEXT4_FS_FS_H */
