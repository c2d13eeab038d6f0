/* SPDX-License-Identifier: MIT */
/*
 * The orphan set on disk: list and file. Rules and locks stand in orphan.h.
 *
 * The list in memory (o->list) holds the members of the on-disk list in the
 * same order, head first, so that a member in the middle can be unlinked: its
 * predecessor's dtime, or the superblock, is pointed past it.
 */
#include "inode/orphan.h"

#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/log.h"
#include "cache/buf.h"
#include "disk/dorphan.h"
#include "disk/geo.h"
#include "inode/inode.h"
#include "journal/txn.h"

struct orphan_block {
	pblk_t pblk;
	uint32_t nfree;
};

struct orphans {
	struct itable *it;       /* [const] */
	struct orphan_sb_ops sb; /* [const] */
	inum_t head;             /* [const] s_last_orphan at open */
	inum_t file_inum;        /* [const] 0: no orphan file */
	uint32_t file_seed;      /* [const] of its checksums */
	uint32_t nslots;         /* [const] in a block */
	struct mutex lock;
	TAILQ_HEAD(orphan_list, inode) list; /* [lock] */
	TAILQ_HEAD(orphan_kept, inode) kept; /* [lock] by inode->lru */
	struct orphan_block *blocks;         /* [lock] nfree; rest const */
	uint32_t nblocks;                    /* [const] */
	bool found; /* [const] after orphans_process() */
};

/* ---- the file ---- */

static int orphan_block_read(
		struct orphans *o, uint32_t i, struct buf **ret_buf)
{
	const struct geo *geo = o->it->geo;
	pblk_t pblk = o->blocks[i].pblk;
	const char *why = NULL;
	struct buf *b;
	int ret;

	ret = buf_read(o->it->cache, pblk, &b);
	if (ret < 0)
		return ret;

	if (!buf_is_verified(b)) {
		ret = dorphan_check(geo, b->data, &why);
		if (ret == 0)
			ret = dorphan_csum_verify(
					geo, o->file_seed, pblk, b->data);
		if (ret < 0) {
			log_err(o->it->log,
					"orphan file (inode %u), block "
					"%u: %s; run e2fsck",
					o->file_inum, i,
					why ? why : "checksum does not match");
			buf_put(b);
			return ret;
		}
		buf_set_verified(b);
	}
	*ret_buf = b;
	return 0;
}

/* Find the file's blocks and count the free slots. */
static int orphan_file_open(struct orphans *o)
{
	const struct geo *geo = o->it->geo;
	struct map_run run;
	struct inode *inode;
	uint64_t n;
	uint32_t i;
	int ret;

	ret = inode_get(o->it, o->file_inum, &inode);
	if (ret < 0)
		return ret;

	n = inode_size(inode) >> geo->block_bits;
	o->nslots = dorphan_slots(geo);
	o->file_seed = dinode_csum_seed(geo, o->file_inum, inode->d.generation);
	ret = -UEXT4_ECORRUPT;
	if (!inode_is_reg(inode) || n == 0 || n > 4096)
		goto out_put;

	o->blocks = calloc(n, sizeof(*o->blocks));
	ret = o->blocks ? 0 : -ENOMEM;
	for (i = 0; ret == 0 && i < n; i++) {
		ret = map_find(&inode->map, i, 1, &run);
		if (ret == 0 && run.type != MAP_WRITTEN)
			ret = -UEXT4_ECORRUPT;
		if (ret == 0) {
			o->blocks[i].pblk = run.pblk;
			o->blocks[i].nfree = o->nslots;
			o->nblocks = i + 1;
		}
	}
out_put:
	inode_put(inode);
	if (ret == -UEXT4_ECORRUPT)
		log_err(o->it->log,
				"orphan file (inode %u): impossible size "
				"or a hole; run e2fsck",
				o->file_inum);
	return ret;
}

/* Put @inum into slot @slot of block @i, in @h. */
static int orphan_slot_write(struct handle *h, struct orphans *o, uint32_t i,
		uint32_t slot, inum_t inum)
{
	struct buf *b;
	int ret;

	ret = orphan_block_read(o, i, &b);
	if (ret < 0)
		return ret;

	buf_lock(b);
	ret = handle_get_write(h, b);
	if (ret == 0) {
		dorphan_put(b->data, slot, inum);
		dorphan_csum_set(o->it->geo, o->file_seed, b->pblk, b->data);
		ret = handle_dirty(h, b);
	}
	buf_unlock(b);
	buf_put(b);
	return ret;
}

/* A free slot of block @i; the counter says that there is one. */
static int orphan_slot_find(struct orphans *o, uint32_t i, uint32_t *ret_slot)
{
	struct buf *b;
	uint32_t slot;
	int ret;

	ret = orphan_block_read(o, i, &b);
	if (ret < 0)
		return ret;

	for (slot = 0; slot < o->nslots; slot++) {
		if (dorphan_get(b->data, slot) == 0)
			break;
	}
	buf_put(b);
	if (slot == o->nslots)
		return -UEXT4_ECORRUPT;

	*ret_slot = slot;
	return 0;
}

/* -ENOSPC if the file is full or there is none. */
static int orphan_file_add(
		struct handle *h, struct orphans *o, struct inode *inode)
{
	uint32_t slot;
	uint32_t i;
	int ret;

	for (i = 0; i < o->nblocks; i++) {
		if (o->blocks[i].nfree > 0)
			break;
	}
	if (i == o->nblocks)
		return -ENOSPC;

	ret = orphan_slot_find(o, i, &slot);
	if (ret < 0)
		return ret;

	ret = orphan_slot_write(h, o, i, slot, inode->inum);
	if (ret < 0)
		return ret;

	o->blocks[i].nfree--;
	inode->orphan.slot = i * o->nslots + slot;
	inode->orphan.in_file = true;
	return 0;
}

/* ---- the list ---- */

static int orphan_set_next(struct handle *h, struct inode *inode, inum_t next)
{
	mutex_lock(&inode->attr_lock);
	inode->d.dtime = next;
	mutex_unlock(&inode->attr_lock);
	return inode_dirty(h, inode);
}

static int orphan_list_add(
		struct handle *h, struct orphans *o, struct inode *inode)
{
	struct inode *first = TAILQ_FIRST(&o->list);
	int ret;

	ret = orphan_set_next(h, inode, first ? first->inum : 0);
	if (ret < 0)
		return ret;

	ret = o->sb.set_last_orphan(o->sb.ctx, h, inode->inum);
	if (ret < 0) {
		(void)orphan_set_next(h, inode, 0);
		return ret;
	}
	inode->orphan.in_file = false;
	TAILQ_INSERT_HEAD(&o->list, inode, orphan.node);
	return 0;
}

static int orphan_list_del(
		struct handle *h, struct orphans *o, struct inode *inode)
{
	struct inode *prev = TAILQ_PREV(inode, orphan_list, orphan.node);
	struct inode *next = TAILQ_NEXT(inode, orphan.node);
	inum_t next_inum = next ? next->inum : 0;
	int ret;

	if (prev)
		ret = orphan_set_next(h, prev, next_inum);
	else
		ret = o->sb.set_last_orphan(o->sb.ctx, h, next_inum);
	if (ret < 0)
		return ret;

	TAILQ_REMOVE(&o->list, inode, orphan.node);
	return orphan_set_next(h, inode, 0);
}

/* ---- the set ---- */

int orphan_add(struct handle *h, struct inode *inode)
{
	struct orphans *o = inode->it->orphans;
	int ret;

	mutex_lock(&o->lock);
	ret = 0;
	if (!(atomic_load(&inode->state) & INODE_S_ORPHAN)) {
		ret = orphan_file_add(h, o, inode);
		if (ret == -ENOSPC)
			ret = orphan_list_add(h, o, inode);
		if (ret == 0)
			atomic_fetch_or(&inode->state, INODE_S_ORPHAN);
	}
	mutex_unlock(&o->lock);
	return ret;
}

int orphan_del(struct handle *h, struct inode *inode)
{
	struct orphans *o = inode->it->orphans;
	uint32_t i;
	int ret = 0;

	mutex_lock(&o->lock);
	if (!(atomic_load(&inode->state) & INODE_S_ORPHAN))
		goto out_unlock;

	if (inode->orphan.in_file) {
		i = inode->orphan.slot / o->nslots;
		ret = orphan_slot_write(
				h, o, i, inode->orphan.slot % o->nslots, 0);
		if (ret == 0)
			o->blocks[i].nfree++;
	} else {
		ret = orphan_list_del(h, o, inode);
	}
	if (ret == 0)
		atomic_fetch_and(&inode->state, ~INODE_S_ORPHAN);
out_unlock:
	mutex_unlock(&o->lock);
	return ret;
}

void orphan_forget(struct inode *inode)
{
	struct orphans *o = inode->it->orphans;

	mutex_lock(&o->lock);
	if (!inode->orphan.in_file)
		TAILQ_REMOVE(&o->list, inode, orphan.node);
	atomic_fetch_and(&inode->state, ~INODE_S_ORPHAN);
	mutex_unlock(&o->lock);
}

void orphan_keep(struct inode *inode)
{
	struct orphans *o = inode->it->orphans;

	mutex_lock(&o->lock);
	TAILQ_INSERT_TAIL(&o->kept, inode, lru);
	mutex_unlock(&o->lock);
}

int orphans_reap(struct orphans *o)
{
	struct inode *inode;
	int first = 0;
	int ret;

	for (;;) {
		mutex_lock(&o->lock);
		inode = TAILQ_FIRST(&o->kept);
		if (inode)
			TAILQ_REMOVE(&o->kept, inode, lru);
		mutex_unlock(&o->lock);
		if (!inode)
			return first;
		ret = inode_kill_again(inode);
		if (ret < 0 && first == 0)
			first = ret;
	}
}

int orphans_open(struct itable *it, const struct orphan_sb_ops *sb,
		inum_t last_orphan, inum_t orphan_file_inum,
		struct orphans **ret_o)
{
	struct orphans *o;
	int ret = 0;

	o = calloc(1, sizeof(*o));
	if (!o)
		return -ENOMEM;

	o->it = it;
	o->sb = *sb;
	o->head = last_orphan;
	o->file_inum = orphan_file_inum;
	mutex_init(&o->lock, "orphans", LOCK_RANK_ORPHAN);
	TAILQ_INIT(&o->list);
	TAILQ_INIT(&o->kept);
	if (orphan_file_inum != 0)
		ret = orphan_file_open(o);
	if (ret < 0) {
		orphans_close(o);
		return ret;
	}
	*ret_o = o;
	return 0;
}

void orphans_close(struct orphans *o)
{
	if (!o)
		return;
	(void)orphans_reap(o); /* of an aborted journal: only memory */
	mutex_fini(&o->lock);
	free(o->blocks);
	free(o);
}

/* ---- mount ---- */

static bool orphan_inum_ok(const struct orphans *o, inum_t inum)
{
	return inum >= o->it->geo->first_ino && inum <= o->it->geo->inodes;
}

static int orphan_bad(struct orphans *o, inum_t inum, const char *what)
{
	log_err(o->it->log, "orphan %u: %s; skipped, run e2fsck", inum, what);
	return -UEXT4_ECORRUPT;
}

/* Hold an orphan and take it into the set in memory. */
static int orphan_adopt(struct orphans *o, inum_t inum, bool in_file,
		uint32_t slot, struct inode **ret_inode)
{
	struct inode *inode;
	int ret;

	if (!orphan_inum_ok(o, inum))
		return orphan_bad(o, inum, "no such inode number");

	ret = ialloc_is_used(o->it->alloc, inum);
	if (ret < 0)
		return ret;
	if (ret == 0)
		return orphan_bad(o, inum, "marked free in its bitmap");

	ret = inode_get_orphan(o->it, inum, &inode);
	if (ret < 0)
		return orphan_bad(o, inum, err_text(ret));

	if (atomic_load(&inode->state) & INODE_S_ORPHAN) {
		inode_put(inode);
		return orphan_bad(o, inum, "named twice");
	}
	inode->orphan.in_file = in_file;
	inode->orphan.slot = slot;
	atomic_fetch_or(&inode->state, INODE_S_ORPHAN);
	if (!in_file)
		TAILQ_INSERT_TAIL(&o->list, inode, orphan.node);
	*ret_inode = inode;
	return 0;
}

/* A growing array of held inodes. */
struct orphan_batch {
	struct inode **v;
	size_t n, cap;
};

static int batch_push(struct orphan_batch *b, struct inode *inode)
{
	struct inode **v;
	size_t cap;

	if (b->n == b->cap) {
		cap = b->cap ? b->cap * 2 : 16;
		v = realloc(b->v, cap * sizeof(struct inode *));
		if (!v)
			return -ENOMEM;
		b->v = v;
		b->cap = cap;
	}
	b->v[b->n++] = inode;
	return 0;
}

/* Follow the list; a number met twice or a bad one ends it. */
static int orphans_collect_list(struct orphans *o, struct orphan_batch *batch)
{
	inum_t inum = o->head;
	struct inode *inode;
	int ret;

	while (inum != 0) {
		ret = orphan_adopt(o, inum, false, 0, &inode);
		if (ret < 0)
			return ret;
		ret = batch_push(batch, inode);
		if (ret < 0)
			return ret;
		inum = inode->d.dtime;
	}
	return 0;
}

static int orphans_collect_block(
		struct orphans *o, uint32_t i, struct orphan_batch *batch)
{
	struct inode *inode;
	struct buf *b;
	uint32_t slot;
	inum_t inum;
	int bad = 0;
	int ret;

	ret = orphan_block_read(o, i, &b);
	if (ret < 0)
		return ret;

	for (slot = 0; slot < o->nslots; slot++) {
		inum = dorphan_get(b->data, slot);
		if (inum == 0)
			continue;
		o->blocks[i].nfree--;
		ret = orphan_adopt(o, inum, true, i * o->nslots + slot, &inode);
		if (ret == 0)
			ret = batch_push(batch, inode);
		if (ret < 0)
			bad = ret;
	}
	buf_put(b);
	return bad;
}

/* Finish what the crash interrupted. */
static int orphan_finish(struct orphans *o, struct inode *inode)
{
	int ret = 0;

	if (inode->d.links == 0)
		return 0; /* its last put deletes it */

	rwsem_write_lock(&inode->rwsem);
	if (inode_is_reg(inode)) /* nothing else is ever cut short */
		ret = inode_truncate(inode, inode->d.size);
	if (ret == 0)
		ret = inode_leave_orphans(inode);
	rwsem_write_unlock(&inode->rwsem);
	if (ret < 0)
		(void)orphan_bad(o, inode->inum, err_text(ret));
	return ret;
}

int orphans_process(struct orphans *o, uint32_t *ret_deleted,
		uint32_t *ret_truncated)
{
	struct orphan_batch batch = { 0 };
	uint32_t deleted = 0;
	uint32_t truncated = 0;
	uint32_t block;
	size_t i;
	int bad;
	int ret;

	bad = orphans_collect_list(o, &batch);
	for (block = 0; block < o->nblocks; block++) {
		ret = orphans_collect_block(o, block, &batch);
		if (ret < 0)
			bad = ret;
	}
	o->found = batch.n > 0;
	for (i = 0; i < batch.n; i++) {
		if (batch.v[i]->d.links == 0)
			deleted++;
		else
			truncated++;
		ret = orphan_finish(o, batch.v[i]);
		if (ret < 0)
			bad = ret;
		inode_put(batch.v[i]);
	}
	free(batch.v);
	*ret_deleted = deleted;
	*ret_truncated = truncated;
	return bad;
}

bool orphans_found_any(const struct orphans *o)
{
	return o->found;
}

static int orphan_finish_one(void *ctx, struct inode *inode)
{
	int *first = ctx;
	int ret = 0;

	if (atomic_load(&inode->state) & INODE_S_ORPHAN)
		ret = orphan_finish(inode->it->orphans, inode);
	if (ret < 0 && *first == 0)
		*first = ret;
	return 0;
}

int orphans_finish(struct orphans *o)
{
	int first = 0;
	int ret = itable_for_each(o->it, orphan_finish_one, &first);

	return ret < 0 ? ret : first;
}

bool orphans_file_is_empty(struct orphans *o)
{
	bool is_empty = true;
	uint32_t i;

	mutex_lock(&o->lock);
	for (i = 0; i < o->nblocks; i++)
		is_empty &= o->blocks[i].nfree == o->nslots;
	mutex_unlock(&o->lock);
	return is_empty;
}
