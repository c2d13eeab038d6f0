/* SPDX-License-Identifier: MIT */
/*
 * The table of inodes in memory and the life of one. States, rules and locks
 * stand in inode.h.
 */
#include "inode/inode.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "base/log.h"
#include "cache/buf.h"
#include "disk/geo.h"
#include "inode/dir.h"
#include "inode/inline.h"
#include "inode/orphan.h"
#include "inode/xattr.h"
#include "journal/journal.h"
#include "journal/txn.h"

/* ---- the table ---- */

int itable_init(struct itable *it)
{
	int ret;

	ret = hmap_init(&it->inodes, 1024);
	if (ret < 0)
		return ret;

	mutex_init(&it->lock, "inode table", LOCK_RANK_INODE_TABLE);
	cond_init(&it->wait);
	TAILQ_INIT(&it->lru);
	it->nidle = 0;
	return 0;
}

static void inode_free_memory(struct inode *inode)
{
	dir_cache_free(inode);
	inline_free(inode);
	/* First: it waits for a flusher, who uses the mapping. */
	iomap_file_fini(&inode->file);
	mapping_fini(&inode->map);
	if (inode->dio != NULL)
		inode->it->free_dio(inode->dio);
	rwsem_fini(&inode->rwsem);
	mutex_fini(&inode->attr_lock);
	mutex_fini(&inode->xattr_lock);
	free(inode->raw);
	free(inode);
}

void itable_fini(struct itable *it)
{
	struct inode *inode;

	/* The orphan set is closed: nothing leads through them any more. */
	TAILQ_FOREACH(inode, &it->lru, lru)
	{
		atomic_fetch_and(&inode->state, ~INODE_S_ORPHAN);
	}
	itable_shrink(it, 0);
	assert(hmap_count(&it->inodes) == 0);
	hmap_fini(&it->inodes);
	cond_fini(&it->wait);
	mutex_fini(&it->lock);
}

/* May it go? Not with something unwritten, nor as a member of the orphan set
 * (its truncate failed): the list in memory leads through it. */
static bool inode_is_evictable(struct inode *inode)
{
	return atomic_load(&inode->file.pages.ndirty) == 0 &&
			!(atomic_load(&inode->state) & INODE_S_ORPHAN);
}

/* Unhook the oldest idle inode that may go, or NULL. */
static struct inode *itable_take_idle(struct itable *it, uint32_t keep)
{
	struct inode *inode;

	mutex_lock(&it->lock);
	if (it->nidle <= keep) {
		mutex_unlock(&it->lock);
		return NULL;
	}
	TAILQ_FOREACH(inode, &it->lru, lru)
	{
		if (inode_is_evictable(inode))
			break;
	}
	if (inode) {
		TAILQ_REMOVE(&it->lru, inode, lru);
		it->nidle--;
		hmap_remove(&it->inodes, &inode->node);
	}
	mutex_unlock(&it->lock);
	return inode;
}

void itable_shrink(struct itable *it, uint32_t keep)
{
	struct inode *inode;

	while ((inode = itable_take_idle(it, keep)) != NULL)
		inode_free_memory(inode);
}

/* All inodes at one moment, each held. Freed with free(); put each. */
static struct inode **itable_snapshot(struct itable *it, size_t *ret_n)
{
	struct inode **all;
	struct hmap_node *n;
	size_t count = 0;

	mutex_lock(&it->lock);
	all = malloc((hmap_count(&it->inodes) + 1) * sizeof(struct inode *));
	for (n = all ? hmap_first(&it->inodes) : NULL; n;
			n = hmap_next(&it->inodes, n)) {
		struct inode *inode = container_of(n, struct inode, node);

		if (atomic_load(&inode->state) &
				(INODE_S_LOADING | INODE_S_DYING | INODE_S_BAD))
			continue;
		if (inode->refs++ == 0) {
			TAILQ_REMOVE(&it->lru, inode, lru);
			it->nidle--;
		}
		all[count++] = inode;
	}
	mutex_unlock(&it->lock);
	*ret_n = count;
	return all;
}

int itable_for_each(struct itable *it,
		int (*fn)(void *ctx, struct inode *inode), void *ctx)
{
	struct inode **all;
	size_t i;
	size_t n;
	int ret = 0;

	all = itable_snapshot(it, &n);
	if (!all)
		return -ENOMEM;

	for (i = 0; i < n; i++) {
		if (ret == 0)
			ret = fn(ctx, all[i]);
		inode_put(all[i]);
	}
	free(all);
	return ret;
}

/* ---- an inode in memory ---- */

static struct inode *inode_alloc(struct itable *it, inum_t inum)
{
	struct inode *inode;

	inode = calloc(1, sizeof(*inode));
	if (!inode)
		return NULL;

	inode->raw = calloc(1, it->geo->inode_size);
	if (!inode->raw) {
		free(inode);
		return NULL;
	}
	inode->it = it;
	inode->inum = inum;
	inode->refs = 1;
	rwsem_init(&inode->rwsem, "inode rwsem", LOCK_RANK_INODE);
	inode->rwsem.shown = it->shown;
	mutex_init(&inode->attr_lock, "inode attr", LOCK_RANK_SIZE);
	mutex_init(&inode->xattr_lock, "inode xattr", LOCK_RANK_ORPHAN);
	iomap_file_init(&inode->file, it->iomap_ops, it->dev,
			it->geo->block_bits, inum, it->pool);
	return inode;
}

static const struct map_ops inode_map_ops = {
	.dirty = inode_map_dirty,
};

/* Nothing that this asks changes while the inode is in memory. */
static bool inode_can_dax(const struct inode *inode)
{
	return inode->it->dax_ops && inode_is_reg(inode) &&
			!(inode_flags(inode) &
					(DINODE_F_INLINE_DATA |
							DINODE_F_JOURNAL_DATA |
							DINODE_F_VERITY |
							DINODE_F_ENCRYPT));
}

/* @inode->d is filled: set up what hangs on it. */
static void inode_setup_mapping(struct inode *inode)
{
	struct itable *it = inode->it;
	struct mapping *m = &inode->map;
	uint64_t nblk = inode->d.sectors >> (it->geo->block_bits - 9);

	inode->type = inode->d.mode & 0170000;
	/* Now: i_blocks and the attribute block do not change together. */
	inode->is_fast = dinode_is_fast_symlink(it->geo, &inode->d);
	m->geo = it->geo;
	m->cache = it->cache;
	m->alloc = it->alloc;
	m->log = it->log;
	m->ops = &inode_map_ops;
	m->inum = inode->inum;
	m->gen = inode->d.generation;
	m->is_extents = (inode_flags(inode) & DINODE_F_EXTENTS) != 0;
	m->is_metadata = inode_is_dir(inode) || inode_is_symlink(inode);
	m->root = inode->d.iblock;
	if (inode->d.file_acl != 0 && nblk > 0)
		nblk--;
	m->blocks = nblk;
	mapping_init(m);
	atomic_store(&inode->file.size, inode->d.size);
	if (inode_can_dax(inode)) {
		inode->file.dax = true;
		inode->file.ops = it->dax_ops;
	}
}

/* Does i_block hold a map (and not a device number, target or inline data)? */
static bool inode_has_map(const struct inode *inode)
{
	if (inode_flags(inode) & DINODE_F_INLINE_DATA)
		return false;
	if (inode_is_symlink(inode))
		return !inode->is_fast;
	return inode_is_reg(inode) || inode_is_dir(inode);
}

static bool inode_may_be_inline(const struct inode *inode)
{
	return (inode_flags(inode) & DINODE_F_INLINE_DATA) != 0 &&
			(inode_is_reg(inode) || inode_is_dir(inode) ||
					inode_is_symlink(inode));
}

static int inode_check_loaded(struct inode *inode, bool orphan)
{
	struct itable *it = inode->it;
	const char *why = NULL;
	int ret;

	if (inode->d.mode == 0 || (inode->d.links == 0 && !orphan))
		return -ESTALE;

	ret = dinode_check(it->geo, inode->inum, &inode->d, &why);
	if (ret < 0) {
		log_err(it->log, "inode %u: %s; run e2fsck", inode->inum,
				why ? why : "impossible fields");
		return ret;
	}
	inode_setup_mapping(inode);
	if (inode_may_be_inline(inode))
		return inline_load(inode);
	if (!inode_has_map(inode))
		return 0;
	return mapping_check_root(&inode->map);
}

/* Read @inode's bytes from its table block. */
static int inode_load(struct inode *inode, bool orphan)
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
	if (ret < 0) {
		log_err(it->log,
				"inode %u: block %llu of the inode table: "
				"read failed",
				inode->inum, (unsigned long long)pblk);
		return ret;
	}
	buf_lock(b);
	memcpy(inode->raw, b->data + off, it->geo->inode_size);
	buf_unlock(b);
	buf_put(b);

	ret = dinode_csum_verify(it->geo, inode->inum, inode->raw);
	if (ret < 0) {
		log_err(it->log,
				"inode %u: checksum does not match; run "
				"e2fsck",
				inode->inum);
		return ret;
	}
	dinode_decode(it->geo, inode->raw, &inode->d);
	return inode_check_loaded(inode, orphan);
}

/* Drop a reference to an inode that could not be loaded. */
static void inode_put_bad(struct inode *inode)
{
	struct itable *it = inode->it;
	bool last;

	mutex_lock(&it->lock);
	last = --inode->refs == 0;
	mutex_unlock(&it->lock);
	if (last)
		inode_free_memory(inode);
}

/* Look @inum up; waits while it is being loaded or freed. @named: what has no name
 * yet is not to be found, *ret_new then. */
static struct inode *itable_find_locked(struct itable *it, inum_t inum,
		bool named, bool *ret_new) UEXT4_REQUIRES(it->lock)
{
	struct hmap_node *n;
	struct inode *inode;

	for (;;) {
		n = hmap_find(&it->inodes, inum);
		if (!n)
			return NULL;
		inode = container_of(n, struct inode, node);
		if (!(atomic_load(&inode->state) &
				    (INODE_S_LOADING | INODE_S_DYING)))
			break;
		cond_wait(&it->wait, &it->lock);
	}
	if (named && (atomic_load(&inode->state) & INODE_S_NEW)) {
		*ret_new = true;
		return NULL;
	}
	if (inode->refs++ == 0) {
		TAILQ_REMOVE(&it->lru, inode, lru);
		it->nidle--;
	}
	return inode;
}

/* Load with the table unlocked while others wait on LOADING. */
static int inode_get_slow(
		struct inode *inode, bool orphan, struct inode **ret_inode)
{
	struct itable *it = inode->it;
	int ret;

	ret = inode_load(inode, orphan);
	mutex_lock(&it->lock);
	if (ret < 0) {
		hmap_remove(&it->inodes, &inode->node);
		atomic_fetch_or(&inode->state, INODE_S_BAD);
	}
	atomic_fetch_and(&inode->state, ~INODE_S_LOADING);
	cond_broadcast(&it->wait);
	mutex_unlock(&it->lock);

	if (ret < 0) {
		inode_put_bad(inode);
		return ret;
	}
	*ret_inode = inode;
	return 0;
}

static int inode_get_common(struct itable *it, inum_t inum, bool orphan,
		bool named, struct inode **ret_inode)
{
	struct inode *fresh;
	struct inode *inode;
	bool is_new = false;

	if (!geo_inum_ok(it->geo, inum))
		return -UEXT4_ECORRUPT;

	mutex_lock(&it->lock);
	inode = itable_find_locked(it, inum, named, &is_new);
	if (inode || is_new) {
		mutex_unlock(&it->lock);
		*ret_inode = inode;
		return is_new ? -ESTALE : 0;
	}
	fresh = inode_alloc(it, inum);
	if (!fresh) {
		mutex_unlock(&it->lock);
		return -ENOMEM;
	}
	atomic_store(&fresh->state, INODE_S_LOADING);
	hmap_insert(&it->inodes, &fresh->node, inum);
	mutex_unlock(&it->lock);
	return inode_get_slow(fresh, orphan, ret_inode);
}

int inode_get(struct itable *it, inum_t inum, struct inode **ret_inode)
{
	return inode_get_common(it, inum, false, false, ret_inode);
}

int inode_get_named(struct itable *it, inum_t inum, struct inode **ret_inode)
{
	return inode_get_common(it, inum, false, true, ret_inode);
}

int inode_get_orphan(struct itable *it, inum_t inum, struct inode **ret_inode)
{
	return inode_get_common(it, inum, true, false, ret_inode);
}

void inode_hold(struct inode *inode)
{
	mutex_lock(&inode->it->lock);
	assert(inode->refs > 0);
	inode->refs++;
	mutex_unlock(&inode->it->lock);
}

/* ---- the end ---- */

/* Out of the table, if it is still there; who waits for it looks again. */
static void inode_unhook(struct inode *inode)
{
	struct itable *it = inode->it;

	mutex_lock(&it->lock);
	if (!(atomic_fetch_or(&inode->state, INODE_S_UNHOOKED) &
			    INODE_S_UNHOOKED))
		hmap_remove(&it->inodes, &inode->node);
	cond_broadcast(&it->wait);
	mutex_unlock(&it->lock);
}

/* The last handle of a dead inode: attributes, orphan entry, number. */
static int inode_free_number(struct inode *inode)
{
	struct itable *it = inode->it;
	bool is_dir = inode_is_dir(inode);
	struct handle *h;
	int ret;

	ret = handle_start(it->journal,
			XATTR_CREDITS + ORPHAN_CREDITS + ALLOC_CREDITS_INODE +
					INODE_CREDITS,
			&h);
	if (ret < 0)
		return ret;

	ret = xattr_free_all(h, inode);
	if (ret < 0)
		goto out_stop;

	if (atomic_load(&inode->state) & INODE_S_ORPHAN) {
		ret = orphan_del(h, inode);
		if (ret < 0)
			goto out_stop;
	}
	mutex_lock(&inode->attr_lock);
	inode->d.dtime = (uint32_t)inode_now(inode).tv_sec;
	if (inode->d.dtime == 0)
		inode->d.dtime = 1;
	inode_set_dsize(inode, 0);
	mutex_unlock(&inode->attr_lock);
	ret = inode_dirty(h, inode);
	if (ret < 0)
		goto out_stop;

	/* The number may be taken again from here on: leave the table. */
	inode_unhook(inode);
	ret = ialloc_free(h, it->alloc, inode->inum, is_dir);
out_stop:
	return handle_finish(h, ret);
}

/* Free on disk what an unlinked inode still has. Nobody else holds it. */
static int inode_delete(struct inode *inode)
{
	int ret;

	rwsem_write_lock(&inode->file.inval);
	ret = iomap_drop_pages(&inode->file, 0, UINT64_MAX);
	rwsem_write_unlock(&inode->file.inval);
	if (ret < 0)
		return ret;

	if (inode_has_map(inode)) {
		atomic_store(&inode->file.size, 0);
		alloc_pa_release(inode->it->alloc, &inode->map.pa);
		ret = inode_remove_blocks(inode, 0, (uint64_t)UINT32_MAX + 1);
		if (ret < 0)
			return ret;
	}
	return inode_free_number(inode);
}

/* What could not be removed on disk must not stay dirty in memory. */
static void inode_forget_pages(struct inode *inode)
{
	rwsem_write_lock(&inode->file.inval);
	(void)iomap_drop_pages(&inode->file, 0, UINT64_MAX);
	rwsem_write_unlock(&inode->file.inval);
}

/*
 * Free an inode that has no links and no holders. If that fails it stays in the
 * orphan set, in memory as well: the list on disk runs through it. It is tried
 * again at unmount; after an abort, by the next mount.
 */
static void inode_kill(struct inode *inode)
{
	struct itable *it = inode->it;
	bool orphan;
	int ret = 0;

	if (it->journal)
		ret = inode_delete(inode);
	if (ret < 0 && ret != -EROFS)
		log_err(it->log,
				"inode %u: could not be freed: %s; it stays "
				"an orphan",
				inode->inum, err_text(ret));
	if (ret < 0)
		inode_forget_pages(inode);
	inode_unhook(inode);
	orphan = (atomic_load(&inode->state) & INODE_S_ORPHAN) != 0;
	if (orphan && ret < 0 && journal_error(it->journal) == 0) {
		orphan_keep(inode);
		return;
	}
	if (orphan)
		orphan_forget(inode);
	inode_free_memory(inode);
}

int inode_kill_again(struct inode *inode)
{
	int ret = inode_delete(inode);

	if (atomic_load(&inode->state) & INODE_S_ORPHAN)
		orphan_forget(inode);
	inode_free_memory(inode);
	return ret;
}

void inode_put(struct inode *inode)
{
	struct itable *it;
	bool shrink;

	if (!inode)
		return;

	it = inode->it;
	mutex_lock(&it->lock);
	assert(inode->refs > 0);
	if (--inode->refs > 0) {
		mutex_unlock(&it->lock);
		return;
	}
	if (inode->d.links == 0) {
		atomic_fetch_or(&inode->state, INODE_S_DYING);
		mutex_unlock(&it->lock);
		assert(!lockrank_holds_rank(LOCK_RANK_HANDLE)); /* N3 */
		inode_kill(inode);
		return;
	}
	TAILQ_INSERT_TAIL(&it->lru, inode, lru);
	it->nidle++;
	shrink = it->nidle > it->max_idle;
	mutex_unlock(&it->lock);
	if (shrink)
		itable_shrink(it, it->max_idle - it->max_idle / 16);
}

/* ---- a new one ---- */

/* Times, owner, map and generation of a fresh inode. */
static void inode_fill_new(struct inode *inode, const struct inode_spec *spec)
{
	struct itable *it = inode->it;
	struct dinode *d = &inode->d;
	struct timespec now;

	dinode_init(it->geo, inode->raw, d);
	d->mode = (uint16_t)spec->mode;
	d->uid = spec->uid;
	d->gid = spec->gid;
	d->flags = spec->flags;
	d->links = 0;
	d->generation = atomic_fetch_add(&it->next_gen, 1);
	now = it->now(it->owner);
	d->crtime.sec = now.tv_sec;
	d->crtime.nsec = (uint32_t)now.tv_nsec;
	if (!dinode_has_crtime(it->geo, d))
		d->crtime = (struct dtime){ 0 };
	if (geo_has_incompat(it->geo, FI_EXTENTS) &&
			(dinode_is_reg(d) || dinode_is_dir(d) ||
					dinode_is_symlink(d)))
		d->flags |= DINODE_F_EXTENTS;
	else
		d->flags &= ~DINODE_F_EXTENTS;
	inode_setup_mapping(inode);
	if (dinode_is_reg(d) || dinode_is_dir(d) || dinode_is_symlink(d))
		mapping_init_root(&inode->map);
	else
		dinode_put_rdev(d, makedev(spec->rdev_major, spec->rdev_minor));
	inode_touch(inode, INODE_T_ATIME | INODE_T_MTIME | INODE_T_CTIME);
	atomic_store(&inode->state, INODE_S_NEW | INODE_S_EOF_CLEAN);
}

/* Who asks for a number that is free (a file handle that is old) may be loading what
 * is left of it just now, which comes to nothing. An inode that is there already
 * is damage: two own one number. */
static int itable_add_new(struct itable *it, struct inode *fresh)
{
	struct hmap_node *n;
	int ret = 0;

	mutex_lock(&it->lock);
	while ((n = hmap_find(&it->inodes, fresh->inum)) != NULL) {
		const struct inode *inode = container_of(n, struct inode, node);

		if (!(atomic_load(&inode->state) & INODE_S_LOADING)) {
			ret = -UEXT4_ECORRUPT;
			break;
		}
		cond_wait(&it->wait, &it->lock);
	}
	if (ret == 0)
		hmap_insert(&it->inodes, &fresh->node, fresh->inum);
	mutex_unlock(&it->lock);
	return ret;
}

int inode_new(struct handle *h, struct inode *dir,
		const struct inode_spec *spec, struct inode **ret_inode)
{
	struct itable *it = dir->it;
	struct alloc_inode_req req = {
		.parent = dir->inum,
		.is_dir = (spec->mode & 0170000) == 0040000,
		.top_level = dir->inum == INUM_ROOT ||
				(inode_flags(dir) & DINODE_F_TOPDIR) != 0,
	};
	struct inode *inode;
	inum_t inum;
	int ret;

	ret = ialloc_new(h, it->alloc, &req, &inum);
	if (ret < 0)
		return ret;

	inode = inode_alloc(it, inum);
	if (!inode) {
		(void)ialloc_free(h, it->alloc, inum, req.is_dir);
		return -ENOMEM;
	}
	inode_fill_new(inode, spec);
	atomic_store(&inode->map.for_super, atomic_load(&dir->map.for_super));
	ret = itable_add_new(it, inode);
	if (ret < 0) {
		log_err(it->log, "inode %u: free, and in use; run e2fsck",
				inum);
		inode_free_memory(inode);
		return ret;
	}
	ret = inode_dirty(h, inode);
	if (ret < 0) {
		inode_unhook(inode);
		inode_free_memory(inode);
		(void)ialloc_free(h, it->alloc, inum, req.is_dir);
		return ret;
	}
	*ret_inode = inode;
	return 0;
}
