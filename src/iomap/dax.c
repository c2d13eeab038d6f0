/* SPDX-License-Identifier: MIT */
/*
 * DAX: file I/O that copies between the caller's memory and the device's, past
 * the page cache and past requests.
 *
 * A write goes piece by piece, and each is complete before the next begins:
 *
 *	begin	a place: written blocks, unwritten ones, or reserved ones (NEW)
 *	data	written: stored to, through the device's map
 *		else: filled by a write to the device, zeroes to the ends of its
 *		blocks
 *	end	the owner enters or converts the blocks and raises the sizes
 *
 * Rules    (DX1) A DAX file never has a page in the page cache, so nothing has
 *                to be written back, dropped or kept equal.
 *          (DX2) Only blocks that are written already are stored to. A store
 *                cannot fail; the first write to the place of a block can, for
 *                the image may be a sparse file on a full disk.
 *          (DX3) Of a block that was not written every byte is, the caller's or
 *                zero, before end() (IO4, B26, B27, B45).
 *          (DX4) A store has completed when it is done (V8): the flush of the
 *                commit that makes end()'s work durable covers it (I1).
 *          (DX5) What end() was told of stays: an error behind it makes the
 *                write short. The piece that failed leaves nothing.
 *          (DX6) IOMAP_DIO_OVERWRITE_ONLY: it is known that all of the request
 *                is written blocks before its first byte changes.
 *
 * Locks    iolock of the caller > begin(), end(). Under a shared one two copies
 *          of the same bytes may mix, as two direct requests do.
 */
#include <assert.h>
#include <string.h>

#include "bdev/bdev.h"
#include "iomap/iomap.h"

#define DAX_MAX_BLOCKS 4096u /* M1 */
#define DAX_IOVS       64
#define DAX_ZERO_BYTES 4096u

static uint64_t dax_tag(const struct iomap_file *f)
{
	return BDEV_TAG(BDEV_TAG_DATA, f->inum);
}

/* ---- data into blocks that are written ---- */

static int dax_store(struct iomap_file *f, const struct iomap *map,
		struct iov_iter *it)
{
	void *addr;
	int ret;

	ret = bdev_map(f->dev, map->addr, map->length, &addr);
	if (ret < 0)
		return ret;
	iov_iter_copy_from(it, addr, (size_t)map->length);
	bdev_stored(f->dev, map->addr, map->length, dax_tag(f));
	return 0;
}

/* ---- data into blocks that are not (DX2, DX3) ---- */

/* Bytes that follow each other on the device, on their way there. */
struct dax_fill {
	struct iomap_file *f;
	uint64_t addr; /* of the first one in iov */
	uint64_t len;  /* in iov */
	int niov;
	struct iovec iov[DAX_IOVS];
};

static int dax_fill_flush(struct dax_fill *w)
{
	int ret;

	if (w->niov == 0)
		return 0;
	ret = bdev_writev(
			w->f->dev, w->addr, w->iov, w->niov, 0, dax_tag(w->f));
	w->addr += w->len;
	w->len = 0;
	w->niov = 0;
	return ret;
}

static int dax_fill_zero(struct dax_fill *w, uint64_t len)
{
	static const uint8_t zeroes[DAX_ZERO_BYTES];
	union {
		const uint8_t *in;
		void *out;
	} u = { .in = zeroes };
	int ret = 0;

	while (len > 0 && ret == 0) {
		size_t n = (size_t)min_u64(len, DAX_ZERO_BYTES);

		if (w->niov == DAX_IOVS)
			ret = dax_fill_flush(w);
		/* An iovec has no const; a write only reads through it. */
		w->iov[w->niov].iov_base = u.out;
		w->iov[w->niov].iov_len = n;
		w->niov++;
		w->len += n;
		len -= n;
	}
	return ret;
}

static int dax_fill_data(struct dax_fill *w, struct iov_iter *it, uint64_t len)
{
	int ret = 0;

	while (len > 0 && ret == 0) {
		size_t n;

		if (w->niov == DAX_IOVS)
			ret = dax_fill_flush(w);
		w->niov += iov_iter_get(it, (size_t)len, w->iov + w->niov,
				DAX_IOVS - w->niov, &n);
		iov_iter_advance(it, n);
		w->len += n;
		len -= n;
	}
	return ret;
}

static int dax_fill(struct iomap_file *f, const struct iomap *map,
		struct iov_iter *it)
{
	uint32_t bsize = iomap_block_size(f);
	uint64_t head = map->offset & (bsize - 1);
	uint64_t tail = (map->offset + map->length) & (bsize - 1);
	struct dax_fill w;
	int ret;

	w.f = f;
	w.addr = map->addr - head;
	w.len = 0;
	w.niov = 0;
	ret = dax_fill_zero(&w, head);
	if (ret == 0)
		ret = dax_fill_data(&w, it, map->length);
	if (ret == 0 && tail != 0)
		ret = dax_fill_zero(&w, bsize - tail);
	return ret < 0 ? ret : dax_fill_flush(&w);
}

/* ---- writing ---- */

static bool dax_is_written(const struct iomap *map)
{
	return map->type == IOMAP_MAPPED && !(map->flags & IOMAP_F_NEW);
}

/* Is all of [@pos, @end) written blocks? @map is the answer for the start of
 * it. -EAGAIN if not (DX6). */
static int dax_check_overwrite(struct iomap_file *f, const struct iomap *map,
		uint64_t end, uint32_t ask)
{
	struct iomap next = *map;

	while (dax_is_written(&next)) {
		uint64_t pos = next.offset + next.length;
		int ret;

		if (pos >= end)
			return 0;
		ret = iomap_ask(f, pos, end - pos, ask, &next);
		if (ret < 0)
			return ret;
		(void)iomap_release(f, 0, ask, &next);
	}
	return -EAGAIN;
}

/* Write the piece that @map has a place for; @it moves on if it is there. */
static int dax_write_piece(struct iomap_file *f, struct iomap *map,
		uint32_t ask, struct iov_iter *it)
{
	struct iov_iter at = *it;
	int ret;
	int err;

	if (dax_is_written(map))
		ret = dax_store(f, map, &at);
	else if (map->type == IOMAP_MAPPED || map->type == IOMAP_UNWRITTEN)
		ret = dax_fill(f, map, &at);
	else
		ret = -EIO; /* nothing is delayed in a DAX file (DX1) */
	err = iomap_release(f, ret == 0 ? map->length : 0, ask, map);
	if (ret == 0)
		ret = err;
	if (ret == 0)
		*it = at;
	return ret;
}

static ssize_t dax_write(struct iomap_file *f, uint64_t pos,
		struct iov_iter *it, bool only)
{
	uint64_t max = (uint64_t)DAX_MAX_BLOCKS << f->blkbits;
	uint32_t ask = IOMAP_WRITE | IOMAP_DAX | (only ? IOMAP_NOWAIT : 0);
	uint64_t start = pos;
	uint64_t end = pos + it->count;
	int ret = 0;

	while (pos < end) {
		uint64_t off = pos & (iomap_block_size(f) - 1);
		struct iomap map;

		ret = iomap_ask(f, pos, min_u64(end - pos, max - off), ask,
				&map);
		if (ret < 0)
			break;
		if (only && pos == start) {
			ret = dax_check_overwrite(f, &map, end, ask);
			if (ret < 0) {
				(void)iomap_release(f, 0, ask, &map);
				break;
			}
		}
		ret = dax_write_piece(f, &map, ask, it);
		if (ret < 0)
			break;
		pos += map.length;
	}
	return pos > start ? (ssize_t)(pos - start) : ret; /* DX5 */
}

/* ---- reading ---- */

static int dax_load(struct iomap_file *f, const struct iomap *map,
		struct iov_iter *it)
{
	void *addr;
	int ret;

	switch (map->type) {
	case IOMAP_MAPPED:
		ret = bdev_map(f->dev, map->addr, map->length, &addr);
		if (ret == 0)
			iov_iter_copy_to(it, addr, (size_t)map->length);
		return ret;
	case IOMAP_HOLE:
	case IOMAP_UNWRITTEN:
		iov_iter_zero(it, (size_t)map->length);
		return 0;
	default:
		return -EIO; /* DX1 */
	}
}

static ssize_t dax_read(struct iomap_file *f, uint64_t pos, struct iov_iter *it)
{
	uint64_t size = atomic_load(&f->size); /* I11 */
	uint64_t start = pos;
	uint64_t end;
	int ret = 0;

	if (pos >= size)
		return 0;
	end = pos + min_u64(it->count, size - pos);
	while (pos < end) {
		struct iomap map;

		ret = iomap_ask(f, pos, end - pos, IOMAP_DAX, &map);
		if (ret < 0)
			break;
		ret = dax_load(f, &map, it);
		(void)iomap_release(f, map.length, IOMAP_DAX, &map);
		if (ret < 0)
			break;
		pos += map.length;
	}
	return pos > start ? (ssize_t)(pos - start) : ret;
}

ssize_t iomap_dax_rw(struct iomap_file *f, uint64_t pos, struct iov_iter *it,
		bool write, uint32_t flags)
{
	uint64_t end;

	assert(f->dax && atomic_load(&f->pages.npages) == 0); /* DX1 */
	if (!check_add(pos, it->count, &end) || end > INT64_MAX)
		return -EINVAL;
	if (!write)
		return dax_read(f, pos, it);
	if (bdev_is_rdonly(f->dev))
		return -EROFS;
	return dax_write(f, pos, it, flags & IOMAP_DIO_OVERWRITE_ONLY);
}

/* ---- zeroing ---- */

int iomap_dax_zero(
		struct iomap_file *f, uint64_t pos, uint64_t len, bool *ret_did)
{
	const uint32_t ask = IOMAP_ZERO | IOMAP_DAX;
	int ret = 0;

	while (len > 0 && ret == 0) {
		struct iomap map;
		void *addr;

		ret = iomap_ask(f, pos, len, ask, &map);
		if (ret < 0)
			break;
		if (map.type == IOMAP_MAPPED) {
			ret = bdev_map(f->dev, map.addr, map.length, &addr);
			if (ret == 0) {
				memset(addr, 0, (size_t)map.length);
				bdev_stored(f->dev, map.addr, map.length,
						dax_tag(f));
				*ret_did = true;
			}
		}
		(void)iomap_release(f, ret == 0 ? map.length : 0, ask, &map);
		pos += map.length;
		len -= map.length;
	}
	return ret;
}
