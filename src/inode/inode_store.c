/* SPDX-License-Identifier: MIT */
/*
 * From the inode in memory to its table block, and the small changes of its
 * fields.
 *
 * Rules    (ST1) The map's root and block count are read under map.lock, all
 *                else under attr_lock: what is encoded is of one moment.
 *          (ST2) Two inodes of one table block are kept apart by the buf's
 *                lock.
 */
#include <string.h>

#include "base/log.h"
#include "cache/buf.h"
#include "disk/geo.h"
#include "inode/inode.h"
#include "journal/txn.h"

/* Encode d into raw and copy raw into the block. attr_lock is held. */
static int inode_encode_locked(struct handle *h, struct inode *inode,
		struct buf *b, uint32_t off)
{
	const struct geo *geo = inode->it->geo;
	int ret;

	inode->d.sectors = inode_sectors(inode);
	ret = dinode_encode(geo, &inode->d, inode->raw);
	if (ret < 0)
		return ret;

	dinode_csum_set(geo, inode->inum, inode->raw);
	ret = handle_get_write(h, b);
	if (ret < 0)
		return ret;

	memcpy(b->data + off, inode->raw, geo->inode_size);
	return handle_dirty(h, b);
}

/* map.lock is held in any mode. */
static int inode_store(struct handle *h, struct inode *inode, bool datasync)
{
	struct itable *it = inode->it;
	struct buf *b;
	pblk_t pblk;
	uint32_t off;
	int ret;

	ret = ialloc_locate(it->alloc, inode->inum, &pblk, &off);
	if (ret < 0)
		return ret;

	ret = buf_read(it->cache, pblk, &b);
	if (ret < 0)
		return ret;

	mutex_lock(&inode->attr_lock);
	buf_lock(b);
	ret = inode_encode_locked(h, inode, b, off);
	buf_unlock(b);
	if (ret == 0) {
		inode->tid = handle_txid(h);
		inode->tid_valid = true;
		if (datasync) {
			inode->datasync_tid = inode->tid;
			inode->datasync_tid_valid = true;
		}
	}
	mutex_unlock(&inode->attr_lock);
	buf_put(b);
	return ret;
}

int inode_dirty(struct handle *h, struct inode *inode)
{
	int ret;

	rwsem_read_lock(&inode->map.lock);
	ret = inode_store(h, inode, false);
	rwsem_read_unlock(&inode->map.lock);
	return ret;
}

int inode_dirty_datasync(struct handle *h, struct inode *inode)
{
	int ret;

	rwsem_read_lock(&inode->map.lock);
	ret = inode_store(h, inode, true);
	rwsem_read_unlock(&inode->map.lock);
	return ret;
}

int inode_map_dirty(struct mapping *m, struct handle *h)
{
	return inode_store(h, container_of(m, struct inode, map), true);
}

uint64_t inode_sectors(struct inode *inode)
{
	uint64_t nblk = inode->map.blocks + (inode->d.file_acl != 0);

	return nblk << (inode->it->geo->block_bits - 9);
}

void inode_set_size(struct inode *inode, uint64_t size)
{
	mutex_lock(&inode->attr_lock);
	inode_set_dsize(inode, size);
	atomic_store_explicit(&inode->file.size, size, memory_order_release);
	mutex_unlock(&inode->attr_lock);
}

struct timespec inode_now(const struct inode *inode)
{
	return inode->it->now(inode->it->owner);
}

void inode_touch(struct inode *inode, unsigned which)
{
	struct timespec now = inode_now(inode);
	struct dtime t = { .sec = now.tv_sec, .nsec = (uint32_t)now.tv_nsec };
	const unsigned both = INODE_T_MTIME | INODE_T_CTIME;

	mutex_lock(&inode->attr_lock);
	t = dinode_clamp_time(inode->it->geo, &inode->d, t);
	if (which & INODE_T_ATIME)
		inode->d.atime = t;
	if (which & INODE_T_MTIME)
		inode->d.mtime = t;
	if (which & INODE_T_CTIME)
		inode->d.ctime = t;
	if (which & both)
		atomic_store(&inode->write_stamp,
				(which & both) == both && t.sec == now.tv_sec
						? inode_stamp_of(now)
						: 0);
	atomic_store(&inode->read_stamp, 0);
	mutex_unlock(&inode->attr_lock);
}

/*
 * With dir_nlink a directory that reaches 65000 links counts 1 from then on:
 * "many". Without it the limit is a limit.
 */
int inode_inc_links(struct inode *inode)
{
	const struct geo *geo = inode->it->geo;
	int ret = 0;

	mutex_lock(&inode->attr_lock);
	if (inode_is_dir(inode) && geo_has_ro_compat(geo, FR_DIR_NLINK)) {
		if (inode->d.links == 1)
			; /* many already */
		else if (inode->d.links + 1 >= GEO_LINK_MAX)
			inode->d.links = 1;
		else
			inode->d.links++;
	} else if (inode->d.links >= GEO_LINK_MAX) {
		ret = -EMLINK;
	} else {
		inode->d.links++;
	}
	mutex_unlock(&inode->attr_lock);
	return ret;
}

void inode_dec_links(struct inode *inode)
{
	mutex_lock(&inode->attr_lock);
	/* A directory with many links (1) keeps them until it is removed. */
	if (!inode_is_dir(inode) || inode->d.links > 2)
		inode->d.links--;
	mutex_unlock(&inode->attr_lock);
}
