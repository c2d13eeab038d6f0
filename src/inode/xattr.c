/* SPDX-License-Identifier: MIT */
/*
 * Extended attributes of an inode. Rules and locks stand in xattr.h.
 *
 * A change is prepared on copies of the inode's area and of the block. Only
 * when it fits and a block has been found for it is anything touched: first the
 * block, then the inode, all in the caller's handle (X2).
 */
#include "inode/xattr.h"

#include <stdlib.h>
#include <string.h>

#include "alloc/alloc.h"
#include "base/log.h"
#include "cache/buf.h"
#include "disk/dxattr.h"
#include "disk/geo.h"
#include "inode/ea_inode.h"
#include "inode/inode.h"
#include "journal/txn.h"

/* The lists of one inode, as found or as they are to be. */
struct xattr_lists {
	struct dxattr_area in;  /* in the inode */
	struct dxattr_area out; /* in the block */
	bool has_in;            /* the inode has an area with a list */
	bool has_room;          /* the inode has room for an area */
	bool has_out;
	struct buf *buf; /* of the block, held */
};

static int xattr_bad(struct inode *inode, const char *where, const char *why)
{
	log_err(inode->it->log,
			"inode %u: attributes in its %s: %s; run "
			"e2fsck",
			inode->inum, where, why ? why : "damaged");
	return -UEXT4_ECORRUPT;
}

/* Read and check the attribute block once. */
static int xattr_block_get(struct inode *inode, struct buf **ret_buf)
{
	struct itable *it = inode->it;
	struct dxattr_area area;
	const char *why = NULL;
	struct buf *b;
	int ret;

	if (alloc_is_system(it->alloc, inode->d.file_acl, 1))
		return xattr_bad(inode, "block", "is a system block");
	ret = buf_read(it->cache, inode->d.file_acl, &b);
	if (ret < 0)
		return ret;
	buf_lock(b);
	if (!buf_is_verified(b)) {
		ret = dxattr_csum_verify(it->geo, b->pblk, b->data);
		if (ret == 0) {
			dxattr_area_block(it->geo, b->data, &area);
			ret = dxattr_check(it->geo, &area, &why);
		} else {
			why = "checksum does not match";
		}
		if (ret == 0)
			buf_set_verified(b);
	}
	buf_unlock(b);
	if (ret < 0) {
		(void)xattr_bad(inode, "block", why);
		buf_put(b);
		return ret;
	}
	*ret_buf = b;
	return 0;
}

static int xattr_open(struct inode *inode, struct xattr_lists *l)
{
	const struct geo *geo = inode->it->geo;
	const char *why = NULL;
	uint32_t off;
	uint32_t len;
	int ret;

	memset(l, 0, sizeof(*l));
	dinode_xattr_area(geo, &inode->d, &off, &len);
	if (len > 0) {
		l->has_room = true;
		l->has_in = dxattr_area_inode(inode->raw + off, len, &l->in);
		if (l->has_in && dxattr_check(geo, &l->in, &why) < 0)
			return xattr_bad(inode, "own space", why);
	}
	if (inode->d.file_acl == 0)
		return 0;
	ret = xattr_block_get(inode, &l->buf);
	if (ret < 0)
		return ret;
	dxattr_area_block(geo, l->buf->data, &l->out);
	l->has_out = true;
	return 0;
}

static void xattr_close(struct xattr_lists *l)
{
	buf_put(l->buf);
}

/* ---- reading ---- */

static int xattr_find(const struct xattr_lists *l, int index, const char *name,
		const struct dxattr_area **ret_area, struct dxattr_entry *ret_e)
{
	uint32_t len = (uint32_t)strlen(name);

	if (l->has_in &&
			dxattr_find(&l->in, (uint8_t)index, name, len, ret_e) ==
					0) {
		*ret_area = &l->in;
		return 0;
	}
	if (l->has_out &&
			dxattr_find(&l->out, (uint8_t)index, name, len,
					ret_e) == 0) {
		*ret_area = &l->out;
		return 0;
	}
	return -ENODATA;
}

static ssize_t xattr_copy_value(const struct dxattr_area *area,
		const struct dxattr_entry *e, void *buf, size_t size)
{
	if (e->value_inum != 0)
		return 0; /* elsewhere: not under these locks */
	if (size == 0)
		return (ssize_t)e->value_len;
	if (size < e->value_len)
		return -ERANGE;
	memcpy(buf, area->base + e->value_off, e->value_len);
	return (ssize_t)e->value_len;
}

/* Locks the shared block if there is one. */
UEXT4_NO_TSA ssize_t xattr_get(struct inode *inode, int index, const char *name,
		void *buf, size_t size)
{
	const struct dxattr_area *area;
	struct dxattr_entry e = { 0 };
	struct xattr_lists l;
	ssize_t ret;

	mutex_lock(&inode->xattr_lock);
	ret = xattr_open(inode, &l);
	if (ret == 0) {
		if (l.buf)
			buf_lock(l.buf);
		ret = xattr_find(&l, index, name, &area, &e);
		if (ret == 0)
			ret = xattr_copy_value(area, &e, buf, size);
		if (l.buf)
			buf_unlock(l.buf);
	}
	xattr_close(&l);
	mutex_unlock(&inode->xattr_lock);
	if (ret == 0 && e.value_inum != 0)
		return ea_inode_read(inode, &e, name, buf, size);
	return ret;
}

static int xattr_list_area(const struct dxattr_area *area,
		int (*fn)(void *ctx, int index, const char *name, size_t len,
				size_t value_len),
		void *ctx)
{
	uint32_t off = area->first;
	struct dxattr_entry e;
	int ret = 0;

	while (ret == 0 && dxattr_next(area, &off, &e))
		ret = fn(ctx, e.name_index, e.name, e.name_len, e.value_len);
	return ret;
}

int xattr_list(struct inode *inode,
		int (*fn)(void *ctx, int index, const char *name, size_t len,
				size_t value_len),
		void *ctx)
{
	struct xattr_lists l;
	int ret;

	mutex_lock(&inode->xattr_lock);
	ret = xattr_open(inode, &l);
	if (ret == 0 && l.has_in)
		ret = xattr_list_area(&l.in, fn, ctx);
	if (ret == 0 && l.has_out) {
		buf_lock(l.buf);
		ret = xattr_list_area(&l.out, fn, ctx);
		buf_unlock(l.buf);
	}
	xattr_close(&l);
	mutex_unlock(&inode->xattr_lock);
	return ret;
}

/* ---- changing ---- */

/* Copies to work on: the inode's area and one block. */
struct xattr_work {
	struct xattr_lists l; /* areas point into the copies */
	uint32_t off, len;    /* of the area in raw */
	uint8_t *in;
	uint8_t *out;
};

static int xattr_work_init(struct inode *inode, const struct xattr_lists *now,
		struct xattr_work *w)
{
	const struct geo *geo = inode->it->geo;

	memset(w, 0, sizeof(*w));
	dinode_xattr_area(geo, &inode->d, &w->off, &w->len);
	w->in = calloc(1, (size_t)w->len + geo->block_size);
	if (!w->in)
		return -ENOMEM;
	w->out = w->in + w->len;
	memcpy(w->in, inode->raw + w->off, w->len);
	if (now->has_in)
		(void)dxattr_area_inode(w->in, w->len, &w->l.in);
	else if (now->has_room)
		dxattr_inode_init(w->in, w->len, &w->l.in);
	w->l.has_in = now->has_room;
	if (now->has_out) {
		buf_lock(now->buf);
		memcpy(w->out, now->buf->data, geo->block_size);
		buf_unlock(now->buf);
		dxattr_area_block(geo, w->out, &w->l.out);
	} else {
		dxattr_block_init(geo, w->out, &w->l.out);
	}
	return 0;
}

static bool xattr_work_remove(struct xattr_work *w, int index, const char *name)
{
	uint32_t len = (uint32_t)strlen(name);
	bool did = false;

	if (w->l.has_in)
		did |= dxattr_remove(&w->l.in, (uint8_t)index, name, len) == 0;
	did |= dxattr_remove(&w->l.out, (uint8_t)index, name, len) == 0;
	return did;
}

/* Put the value where it fits, in the inode first (X4). */
static int xattr_work_set(struct xattr_work *w, int index, const char *name,
		const void *value, size_t len)
{
	uint32_t nlen = (uint32_t)strlen(name);
	int ret = -ENOSPC;

	(void)xattr_work_remove(w, index, name);
	if (w->l.has_in)
		ret = dxattr_set(&w->l.in, (uint8_t)index, name, nlen, value,
				(uint32_t)len);
	if (ret == -ENOSPC)
		ret = dxattr_set(&w->l.out, (uint8_t)index, name, nlen, value,
				(uint32_t)len);
	return ret;
}

/* Write @bytes with refcount @refs into @b. buf_lock is held. */
static int xattr_block_write(struct handle *h, struct inode *inode,
		struct buf *b, const uint8_t *bytes, uint32_t refs, bool fresh)
{
	const struct geo *geo = inode->it->geo;
	struct dxattr_hdr hdr;
	int ret;

	ret = fresh ? handle_get_create(h, b) : handle_get_write(h, b);
	if (ret < 0)
		return ret;
	if (bytes)
		memcpy(b->data, bytes, geo->block_size);
	dxattr_hdr_decode(b->data, &hdr);
	hdr.refcount = refs;
	dxattr_hdr_encode(b->data, &hdr);
	if (bytes)
		dxattr_block_hash_set(geo, b->data);
	dxattr_csum_set(geo, b->pblk, b->data);
	buf_set_verified(b);
	return handle_dirty(h, b);
}

/* A block of its own for @bytes. */
static int xattr_block_new(struct handle *h, struct inode *inode,
		const uint8_t *bytes, pblk_t *ret_pblk)
{
	struct itable *it = inode->it;
	struct alloc_req req = {
		.goal = alloc_goal_for_inode(it->alloc, inode->inum),
		.len = 1,
		.flags = ALLOC_F_METADATA | ALLOC_F_NOPREALLOC |
				map_super_flag(&inode->map),
	};
	struct alloc_run run;
	struct buf *b;
	int ret;

	if (!inode->map.is_extents)
		req.flags |= ALLOC_F_LOW32;
	ret = alloc_blocks(h, it->alloc, &req, &run);
	if (ret < 0)
		return ret;
	ret = buf_get_noread(it->cache, run.pblk, &b);
	if (ret == 0) {
		buf_lock(b);
		ret = xattr_block_write(h, inode, b, bytes, 1, true);
		buf_unlock(b);
		buf_put(b);
	}
	if (ret < 0) {
		(void)alloc_free(h, it->alloc, run, ALLOC_F_METADATA);
		return ret;
	}
	*ret_pblk = run.pblk;
	return 0;
}

/* This inode gives up its share of @b: one reference, or the block. */
static int xattr_block_drop(
		struct handle *h, struct inode *inode, struct buf *b)
{
	struct alloc_run run = { .pblk = b->pblk, .len = 1 };
	struct dxattr_hdr hdr;
	int ret = 0;

	buf_lock(b);
	dxattr_hdr_decode(b->data, &hdr);
	if (hdr.refcount > 1)
		ret = xattr_block_write(
				h, inode, b, NULL, hdr.refcount - 1, false);
	buf_unlock(b);
	if (ret == 0 && hdr.refcount <= 1)
		ret = alloc_free(h, inode->it->alloc, run, ALLOC_F_METADATA);
	return ret;
}

/* Bring the block to what the work says; *ret_pblk is the new file_acl. */
static int xattr_store_block(struct handle *h, struct inode *inode,
		const struct xattr_lists *now, struct xattr_work *w,
		pblk_t *ret_pblk)
{
	bool empty = dxattr_is_empty(&w->l.out);
	struct dxattr_hdr hdr = { .refcount = 1 };
	int ret = 0;

	*ret_pblk = 0;
	if (!now->has_out)
		return empty ? 0 : xattr_block_new(h, inode, w->out, ret_pblk);

	buf_lock(now->buf);
	dxattr_hdr_decode(now->buf->data, &hdr);
	if (!empty && hdr.refcount <= 1) {
		ret = xattr_block_write(h, inode, now->buf, w->out, 1, false);
		*ret_pblk = now->buf->pblk;
	}
	buf_unlock(now->buf);
	if (ret < 0 || *ret_pblk != 0)
		return ret;
	if (!empty) /* shared: a copy for this inode (X1) */
		ret = xattr_block_new(h, inode, w->out, ret_pblk);
	return ret < 0 ? ret : xattr_block_drop(h, inode, now->buf);
}

static int xattr_store(struct handle *h, struct inode *inode,
		const struct xattr_lists *now, struct xattr_work *w)
{
	uint32_t bs = inode->it->geo->block_size;
	pblk_t pblk = inode->d.file_acl;
	bool same = false;
	int ret;

	if (now->has_out) {
		buf_lock(now->buf);
		same = memcmp(w->out, now->buf->data, bs) == 0;
		buf_unlock(now->buf);
	}
	if (!same) {
		ret = xattr_store_block(h, inode, now, w, &pblk);
		if (ret < 0)
			return ret;
	}
	/* An inode whose last attribute went keeps no empty list. */
	if (w->l.has_in && dxattr_is_empty(&w->l.in))
		memset(w->in, 0, w->len);
	mutex_lock(&inode->attr_lock);
	memcpy(inode->raw + w->off, w->in, w->len);
	inode->d.file_acl = pblk;
	mutex_unlock(&inode->attr_lock);
	atomic_fetch_and(&inode->state, ~(INODE_S_NOSEC | INODE_S_NOACL));
	return inode_dirty(h, inode);
}

static int xattr_check_set(const struct xattr_lists *l, int index,
		const char *name, const void *value, size_t len, unsigned flags)
{
	const struct dxattr_area *area;
	struct dxattr_entry e;
	bool found;

	if (strlen(name) > DXATTR_NAME_MAX)
		return -ERANGE;
	if (len > 65536)
		return -E2BIG;
	found = xattr_find(l, index, name, &area, &e) == 0;
	if (found && e.value_inum != 0)
		return -EOPNOTSUPP;
	if (found && (flags & XATTR_F_CREATE))
		return -EEXIST;
	if (!found && ((flags & XATTR_F_REPLACE) || !value))
		return -ENODATA;
	return 0;
}

int xattr_set(struct handle *h, struct inode *inode, int index,
		const char *name, const void *value, size_t len, unsigned flags)
{
	struct xattr_work w = { 0 };
	struct xattr_lists now;
	int ret;

	mutex_lock(&inode->xattr_lock);
	ret = xattr_open(inode, &now);
	if (ret == 0)
		ret = xattr_check_set(&now, index, name, value, len, flags);
	if (ret == 0)
		ret = xattr_work_init(inode, &now, &w);
	if (ret == 0) {
		if (value)
			ret = xattr_work_set(&w, index, name, value, len);
		else
			(void)xattr_work_remove(&w, index, name);
		if (ret == 0)
			ret = xattr_store(h, inode, &now, &w);
	}
	free(w.in);
	xattr_close(&now);
	mutex_unlock(&inode->xattr_lock);
	return ret;
}

int xattr_free_all(struct handle *h, struct inode *inode)
{
	struct buf *b;
	int ret;

	if (inode->d.file_acl == 0)
		return 0;
	mutex_lock(&inode->xattr_lock);
	ret = xattr_block_get(inode, &b);
	if (ret == 0) {
		ret = xattr_block_drop(h, inode, b);
		buf_put(b);
	}
	if (ret == 0) {
		mutex_lock(&inode->attr_lock);
		inode->d.file_acl = 0;
		mutex_unlock(&inode->attr_lock);
	}
	mutex_unlock(&inode->xattr_lock);
	return ret;
}
