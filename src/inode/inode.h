/* SPDX-License-Identifier: MIT */
/*
 * Inodes in memory: get, put, load, store, and the end of their life.
 *
 *	ret = inode_get(it, inum, &inode);	find or load; held by reference
 *	rwsem_write_lock(&inode->rwsem);
 *	ret = handle_start(it->journal, INODE_CREDITS, &h);
 *	mutex_lock(&inode->attr_lock); inode->d.mode = ...; mutex_unlock()
 *	ret = inode_dirty(h, inode);		into the table block, in h
 *	handle_stop(h); rwsem_write_unlock(); inode_put(inode);
 *
 * States   absent -> NEW         inode_new(): number taken, not yet linked
 *          absent -> LIVE        inode_get()
 *          NEW -> LIVE           linked into a directory
 *          LIVE -> UNLINKED      last link gone; in the orphan set (I6)
 *          UNLINKED -> absent    last put: truncated, freed
 *          LIVE -> absent        evicted from memory: not dirty, no pages dirty
 *
 * Rules    (N1) One struct inode per number.
 *          (N2) inode_dirty() after every change of d, sizes, raw or the
 *               mapping's root, in the handle that makes the change.
 *          (N3) inode_put() of an unlinked inode starts handles and takes
 *               locks: call it with no handle and no lock held.
 *          (N4) d.size is disksize ("dsize"); file.size is isize; normally
 *               disksize <= isize (I2).
 *          (N5) Bytes of raw that d does not know are kept as they are.
 *
 * Locks    rwsem (rank INODE)   the I/O lock; for directories, their entries
 *          xattr_lock (ORPHAN)  attributes in raw and in the attribute block
 *          map.lock  (MAP)      mapping root, map.blocks
 *          attr_lock (SIZE)     d but for what map.lock owns, disksize, tids;
 *                               mode, uid, gid, flags, links change only with
 *                               rwsem held exclusively as well
 *          it->lock (INODE_TABLE) table, references, lru
 */
#ifndef UEXT4_INODE_INODE_H
#define UEXT4_INODE_INODE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <time.h>

#include "base/err.h"
#include "base/hmap.h"
#include "base/lock.h"
#include "base/types.h"
#include "disk/dinode.h"
#include "iomap/iomap.h"
#include "map/map.h"

struct alloc;
struct buf_cache;
struct geo;
struct handle;
struct inode_dio;
struct inode_inline;
struct journal;
struct log;
struct orphans;

/* All inodes of a mount, and what they stand on. */
struct itable {
	const struct geo *geo;   /* [const] */
	struct buf_cache *cache; /* [const] */
	struct journal *journal; /* [const] after mount; NULL: read-only */
	struct alloc *alloc;     /* [const] */
	struct orphans *orphans; /* [const] after mount */
	struct log *log;         /* [const] */
	struct bdev *dev;        /* [const] */
	struct page_pool *pool;  /* [const] */
	const struct iomap_ops *iomap_ops; /* [const] set by fs */
	const struct iomap_ops *dax_ops;   /* [const] of files that can be DAX;
					      NULL: none is */
	void *owner;                       /* [const] struct uext4_fs */
	uint32_t max_idle; /* [const] unreferenced inodes kept */
	struct timespec (*now)(void *owner); /* [const] */
	rwsem_shown_fn shown; /* [const] readers of inode->rwsem in slots */
	void (*free_dio)(struct inode_dio *dio); /* [const] */

	struct mutex lock;
	struct cond wait;   /* [lock] a loading or dying inode is settled */
	struct hmap inodes; /* [lock] by number */
	TAILQ_HEAD(inode_lru, inode)
	lru;                       /* [lock] unreferenced, oldest first */
	uint32_t nidle;            /* [lock] */
	_Atomic uint32_t next_gen; /* generation numbers */
};

#define INODE_S_LOADING   0x01u  /* somebody reads it: wait on it->wait */
#define INODE_S_DYING     0x02u  /* being freed: wait, then look again */
#define INODE_S_NEW       0x04u  /* has no directory entry yet */
#define INODE_S_ORPHAN    0x08u  /* member of the orphan set */
#define INODE_S_BAD       0x10u  /* loading failed */
#define INODE_S_EOF_CLEAN 0x20u  /* tail of the EOF block is known zero */
#define INODE_S_NOACL     0x200u /* has no access ACL */
#define INODE_S_TMPFILE   0x400u /* made nameless: may be linked */
#define INODE_S_NOSEC     0x100u /* no privileges to strip on write */
#define INODE_S_UNHOOKED  0x80u  /* no longer in the table */
#define INODE_S_EOF_TRIM  0x40u  /* surplus unwritten blocks past EOF to trim */

struct inode {
	struct hmap_node node;  /* [it->lock] */
	TAILQ_ENTRY(inode) lru; /* [it->lock] */
	struct itable *it;      /* [const] */
	inum_t inum;            /* [const] */
	uint32_t refs;          /* [it->lock] */
	_Atomic uint32_t state; /* INODE_S_* */

	struct rwsem rwsem;
	struct mutex attr_lock;
	struct dinode d;     /* [attr_lock]; flags: see inode_flags() */
	uint16_t type;       /* [const] once loaded: that of d.mode */
	bool is_fast;        /* [const] once loaded: a symlink in i_block */
	uint8_t *raw;        /* [xattr_lock for the attribute area,
				   attr_lock for the rest] inode_size bytes */
	txid_t tid;          /* [attr_lock] last transaction that changed it */
	txid_t datasync_tid; /* [attr_lock] same, for size and mapping */
	bool tid_valid, datasync_tid_valid; /* [attr_lock] */

	struct mutex xattr_lock;
	struct mapping map;
	struct iomap_file file; /* file.size is isize */
	struct orphan_link {    /* [orphans->lock] */
		TAILQ_ENTRY(inode) node;
		uint32_t slot; /* orphan file: slot; else unused */
		bool in_file;
	} orphan;
	struct dir_cache *dir; /* [rwsem] lookup help of a directory, or NULL */
	struct inode_inline *inl; /* [const] once loaded: data, or NULL */
	uint32_t claim_data;   /* [attr_lock] blocks claimed for dirty pages */
	uint32_t claim_flight; /* [attr_lock] reserved, being written back */
	int64_t claim_nodes; /* [attr_lock] for the nodes both may need; what an
				insertion under way may take is left out */
	uint32_t claim_convert; /* [attr_lock] of them, for conversions of direct
				   writes in flight */
	uint64_t nodes_seen; /* [attr_lock] map.nodes_claimed accounted for */
	/* Claims, reservations, pending extensions: of fs; made when needed. */
	_Atomic(struct inode_dio *) dio;
	/* The moment that mtime and ctime, or the decision about atime, are of;
	 * 0: look there. Many calls fall into one tick of the clock. */
	_Atomic uint64_t write_stamp, read_stamp;
};

/* Credits of inode_dirty(): the table block. */
#define INODE_CREDITS 1u

int itable_init(struct itable *it);
/* Evict everything; all unreferenced. */
void itable_fini(struct itable *it);
/* Drop idle inodes beyond @keep. Takes no handle: only clean ones go. */
void itable_shrink(struct itable *it, uint32_t keep);
/* Call @fn for every inode in memory, held by reference during the call. A
 * non-zero result stops the walk and is returned. */
int itable_for_each(struct itable *it,
		int (*fn)(void *ctx, struct inode *inode), void *ctx);

/* Hold inode @inum. -ESTALE if it is free on disk, -EUCLEAN, -EBADMSG, -EIO.
 * Reserved numbers other than the root's are served too. */
int inode_get(struct itable *it, inum_t inum, struct inode **ret_inode);
/* The same by a number that somebody remembers: -ESTALE while a creation has not
 * given it a name. */
int inode_get_named(struct itable *it, inum_t inum, struct inode **ret_inode);
/* The same for an inode without links, as the orphan set names them. */
int inode_get_orphan(struct itable *it, inum_t inum, struct inode **ret_inode);
void inode_hold(struct inode *inode);
/* Let go; the last one of an unlinked inode frees it on disk (N3). */
void inode_put(struct inode *inode);
/* For orphans_reap(): free an inode that could not be freed at its last put. It
 * is gone from memory in any case. */
int inode_kill_again(struct inode *inode);

/* What a new inode is to be. */
struct inode_spec {
	uint32_t mode; /* type and permissions, after umask and ACL */
	uint32_t uid, gid;
	uint32_t rdev_major, rdev_minor; /* devices */
	uint32_t flags;                  /* inherited EXT4_*_FL */
};
/* Take a number near @dir and fill a fresh inode (links 0, state NEW), in @h.
 * Held by one reference. Credits: INODE_NEW_CREDITS. -ENOSPC. */
int inode_new(struct handle *h, struct inode *dir,
		const struct inode_spec *spec, struct inode **ret_inode);
#define INODE_NEW_CREDITS 8u

/* Encode into the table block, in @h (N2). Takes attr_lock and the buf's. */
int inode_dirty(struct handle *h, struct inode *inode);
/* The same for a change that fdatasync must persist (size, mapping). */
int inode_dirty_datasync(struct handle *h, struct inode *inode);

/* map_ops: map.lock is held exclusively. */
int inode_map_dirty(struct mapping *m, struct handle *h);

/* The flags at this moment, without a lock. Who decides by them about a change
 * holds rwsem, under which alone they change. */
static inline uint32_t inode_flags(const struct inode *inode)
{
	return __atomic_load_n(&inode->d.flags, __ATOMIC_RELAXED);
}
/* attr_lock is held, rwsem exclusively too. */
static inline void inode_set_flags(struct inode *inode, uint32_t flags)
{
	__atomic_store_n(&inode->d.flags, flags, __ATOMIC_RELAXED);
}

static inline bool inode_is_dir(const struct inode *inode)
{
	return inode->type == 0040000;
}
static inline bool inode_is_reg(const struct inode *inode)
{
	return inode->type == 0100000;
}
static inline bool inode_is_symlink(const struct inode *inode)
{
	return inode->type == 0120000;
}
static inline uint64_t inode_size(const struct inode *inode)
{
	return atomic_load_explicit(&inode->file.size, memory_order_acquire);
}
/* d.size at this moment, without a lock. With direct I/O in flight, or rwsem
 * held, it only grows. */
static inline uint64_t inode_dsize(const struct inode *inode)
{
	return __atomic_load_n(&inode->d.size, __ATOMIC_ACQUIRE);
}
/* attr_lock is held. */
static inline void inode_set_dsize(struct inode *inode, uint64_t size)
{
	__atomic_store_n(&inode->d.size, size, __ATOMIC_RELEASE);
}
/* Set isize and disksize together (directories, truncate). */
void inode_set_size(struct inode *inode, uint64_t size);
/* i_blocks in 512-byte units, attribute block included. */
uint64_t inode_sectors(struct inode *inode);
struct timespec inode_now(const struct inode *inode);
static inline uint64_t inode_stamp_of(struct timespec t)
{
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
/* Set the given times to now. */
#define INODE_T_ATIME 1u
#define INODE_T_MTIME 2u
#define INODE_T_CTIME 4u
void inode_touch(struct inode *inode, unsigned which);
/* Link count with the dir_nlink rule: a directory past 64999 subdirectories
 * has link count 1. -EMLINK. Caller: rwsem exclusive; dirty it afterwards. */
int inode_inc_links(struct inode *inode);
void inode_dec_links(struct inode *inode);

/* inode_trunc.c: free the blocks of [from, end) file blocks in journal-sized
 * steps; caller: rwsem exclusive, drained, pages dropped; no handle held. With
 * @orphan the inode is put in the orphan set first and taken out at the end
 * (truncate to a smaller size; d.size already set by the caller's first step
 * through inode_truncate()). */
int inode_remove_blocks(struct inode *inode, lblk_t from, uint64_t end);
/* Set both sizes to @size <= old and free what lies beyond, crash-safe. */
int inode_truncate(struct inode *inode, uint64_t size);
/* Take a linked inode out of the orphan set, in a handle of its own. */
int inode_leave_orphans(struct inode *inode);

/* symlink targets: symlink.c. A fast one stands in i_block. */
int symlink_read(struct inode *inode, char *buf, size_t size, size_t *ret_len);
/* Fill a fresh symlink inode in @h. Credits: SYMLINK_CREDITS. */
int symlink_init(struct handle *h, struct inode *inode, const char *target,
		size_t len);
#define SYMLINK_CREDITS 12u

#endif /* UEXT4_INODE_INODE_H */
