/* SPDX-License-Identifier: MIT */
/*
 * Direct I/O: between the caller's memory and the device, past the cache.
 *
 * One struct iomap_dio is one request. Its steps:
 *
 *	iomap_dio_init	what is asked, and whom to tell
 *	iomap_dio_start	alignment, size sample, count in, caches written back
 *			(and, for a write, dropped); begin() chunk by chunk, each
 *			piece put into a struct iomap_bio: pieces that are
 *			neighbours on the device, zero edges among them, become
 *			one device request; all bios submitted at once
 *	data_done	called when the last bio is done, on the thread that polls
 *			the device; also when start failed
 *	iomap_dio_end	end_io (convert, sizes) -> invalidate -> count out (E4)
 *
 * Who calls end, and when, is the owner's matter: one that waits calls it after
 * data_done, a queue calls it for many requests in one handle.
 *
 * Rules    (DI1) A write of mapped blocks with nothing cached allocates no
 *                memory and takes no lock but begin()'s.
 *          (DI2) A bio is cut at sectors only: two requests in flight never
 *                share one.
 *          (DI3) Of a new or unwritten block every byte is written: the caller's
 *                or zeroes (B26, B27). The block that isize ends in is zeroed
 *                behind the data too.
 *          (DI4) An error of the device or of begin() fails the request; only
 *                -ENOTBLK, -ENOSPC, -EDQUOT and -EAGAIN from begin() after some
 *                bytes make it short (E7).
 *          (DI5) FUA instead of a flush only if every piece is a pure overwrite
 *                inside isize of a clean inode (E6).
 *
 * Locks    iolock of the caller > begin(). Completion takes page holds only.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/trace.h"
#include "bdev/bdev.h"
#include "iomap/iomap.h"

#define DIO_MAX_BLOCKS 4096u /* M1 */
#define DIO_BIO_BYTES  (UINT64_C(256) << 20)
#define DIO_POLL_MS    5
#define DIO_ZERO_BYTES 65536u /* the largest block */

static _Alignas(4096) const uint8_t dio_zeroes[DIO_ZERO_BYTES];

/* ---- bios ---- */

static void dio_put(struct iomap_dio *dio)
{
	/* Who waits by himself looks at the count, and the request is gone then:
	 * it is not looked at any more, but by a data_done() that others wait
	 * for. */
	void (*data_done)(struct iomap_dio * dio) = dio->data_done;

	if (atomic_fetch_sub_explicit(
			    &dio->inflight, 1, memory_order_acq_rel) == 1)
		data_done(dio);
}

static void dio_bio_done(struct bdev_io *io)
{
	struct iomap_bio *bio = container_of(io, struct iomap_bio, io);
	struct iomap_dio *dio = bio->dio;
	int none = 0;

	if (io->result < 0)
		atomic_compare_exchange_strong(&dio->error, &none, io->result);
	dio_put(dio);
}

static struct iomap_bio *dio_bio(struct iomap_dio *dio, unsigned i)
{
	return i == 0 ? &dio->bio : &dio->more[i - 1];
}

/* Hand over what has been added. With @last nothing follows, and @dio may be gone
 * on return. */
static void dio_submit(struct iomap_dio *dio, bool last)
{
	struct iomap_file *f = dio->f;
	struct bdev_io *ios[IOMAP_DIO_BIOS];
	unsigned n = dio->nbio;

	for (unsigned i = 0; i < n; i++) {
		struct iomap_bio *bio = dio_bio(dio, i);
		struct bdev_io *io = &bio->io;

		io->op = dio->write ? BDEV_WRITE : BDEV_READ;
		io->flags = dio->can_fua && f->dev->geo.volatile_cache
				? BDEV_F_FUA
				: 0;
		if (dio->flags & IOMAP_DIO_HUGE)
			io->flags |= BDEV_F_HUGE;
		io->iov = bio->iov;
		io->fixed = io->iovcnt == 1 ? dio->fixed : 0;
		io->tag = BDEV_TAG(BDEV_TAG_DATA, f->inum);
		io->done = dio_bio_done;
		ios[i] = io;
	}
	TRACE3(dio_submit, f->inum, dio->start, n);
	dio->nbio = 0;
	if (last && n > 0 && !dio->submitted) {
		/* Nobody else counts yet, and start is done with counting. */
		atomic_store_explicit(&dio->inflight, n, memory_order_relaxed);
		bdev_submit(dio->dev, ios, n);
		return;
	}
	if (n > 0) {
		atomic_fetch_add_explicit(
				&dio->inflight, n, memory_order_relaxed);
		dio->submitted = true;
		bdev_submit(dio->dev, ios, n);
	}
	if (last)
		dio_put(dio);
}

/* Until the bios that start has submitted so far are done. */
static void dio_wait_bios(struct iomap_dio *dio)
{
	while (atomic_load_explicit(&dio->inflight, memory_order_acquire) != 1)
		(void)bdev_poll(dio->dev, 1, DIO_POLL_MS);
}

/* The bio that goes on at @addr and has room for what is left of the memory and
 * an edge, or a new one. Blocks that are neighbours on the device may have holes
 * between them in the file: then a read's memory is in many pieces. */
static struct iomap_bio *dio_bio_get(struct iomap_dio *dio, uint64_t addr)
{
	struct iomap_bio *bio;

	if (dio->nbio > 0) {
		bio = dio_bio(dio, dio->nbio - 1);
		if (bio->io.pos + bio->bytes == addr &&
				bio->bytes < DIO_BIO_BYTES &&
				bio->io.iovcnt + dio->it.niov + 1 <=
						dio->max_iov)
			return bio;
	}
	if (dio->nbio == 1 && dio->max_bio > 1 && dio->more == NULL) {
		dio->more = malloc((IOMAP_DIO_BIOS - 1) * sizeof(*dio->more));
		if (dio->more == NULL)
			dio->max_bio = 1; /* one at a time will do */
	}
	if (dio->nbio == dio->max_bio) {
		dio_submit(dio, false);
		dio_wait_bios(dio);
	}
	bio = dio_bio(dio, dio->nbio++);
	bio->dio = dio;
	bio->bytes = 0;
	bio->iov = dio->big_iov != NULL ? dio->big_iov : bio->own_iov;
	bio->io.pos = addr;
	bio->io.iovcnt = 0;
	return bio;
}

/* @len zero bytes to @addr (DI3). */
static void dio_add_zero(struct iomap_dio *dio, uint64_t addr, uint32_t len)
{
	struct iomap_bio *bio = dio_bio_get(dio, addr);
	union {
		const uint8_t *in;
		void *out;
	} u = { .in = dio_zeroes };

	assert(dio->write && len <= DIO_ZERO_BYTES);
	/* An iovec has no const; a write only reads through it. */
	bio->iov[bio->io.iovcnt].iov_base = u.out;
	bio->iov[bio->io.iovcnt].iov_len = len;
	bio->io.iovcnt++;
	bio->bytes += len;
}

/*
 * The next @len bytes of the caller's memory to or from @addr; both are whole
 * sectors. What goes on in memory joins the iovec before, so a write's bio needs
 * no more iovecs than the caller has segments, and the two edges.
 */
static void dio_add_data(struct iomap_dio *dio, uint64_t addr, uint64_t len)
{
	/* Most often it is all of a small request in one piece. */
	if (dio->nbio == 0 && dio->it.niov == 1 && len == dio->it.count &&
			len <= DIO_BIO_BYTES) {
		struct iomap_bio *bio = dio_bio_get(dio, addr);

		bio->iov[0].iov_base =
				(uint8_t *)dio->it.iov->iov_base + dio->it.off;
		bio->iov[0].iov_len = len;
		bio->io.iovcnt = 1;
		bio->bytes = len;
		iov_iter_advance(&dio->it, len);
		return;
	}
	while (len > 0) {
		struct iomap_bio *bio = dio_bio_get(dio, addr);
		struct iovec *iov = bio->iov + bio->io.iovcnt;
		size_t n = (size_t)min_u64(len, DIO_BIO_BYTES - bio->bytes);
		size_t got;
		int niov;

		niov = iov_iter_get(&dio->it, n, iov,
				dio->max_iov - bio->io.iovcnt, &got);
		assert(got == n); /* DI2 */
		if (bio->io.iovcnt > 0 &&
				(uint8_t *)iov[-1].iov_base + iov[-1].iov_len ==
						iov[0].iov_base) {
			iov[-1].iov_len += iov[0].iov_len;
			niov--;
			memmove(iov, iov + 1, (size_t)niov * sizeof(*iov));
		}
		bio->io.iovcnt += niov;
		bio->bytes += n;
		iov_iter_advance(&dio->it, n);
		addr += n;
		len -= n;
	}
}

/* ---- map ---- */

static uint64_t dio_block_off(const struct iomap_dio *dio, uint64_t pos)
{
	return pos & (iomap_block_size(dio->f) - 1);
}

/* What a piece of a write means for the request. -ENOTBLK: not for us. */
static int dio_write_check(struct iomap_dio *dio, const struct iomap *map)
{
	bool is_plain = map->type == IOMAP_MAPPED &&
			!(map->flags & IOMAP_F_NEW);

	if (map->type != IOMAP_MAPPED && map->type != IOMAP_UNWRITTEN)
		return -ENOTBLK; /* B8: a page came in between, or inline */
	if ((dio->flags & IOMAP_DIO_OVERWRITE_ONLY) && !is_plain)
		return -EAGAIN;
	if (map->type == IOMAP_UNWRITTEN)
		dio->seen |= IOMAP_DIO_UNWRITTEN;
	if (map->flags & IOMAP_F_NEW)
		dio->seen |= IOMAP_DIO_NEW;
	if ((!is_plain || (map->flags & (IOMAP_F_DIRTY | IOMAP_F_BEYOND_EOF))) &&
			!iomap_lacks(dio->f, IOMAP_LACKS_FUA_RULE))
		dio->can_fua = false; /* DI5 */
	return 0;
}

static void dio_write_piece(
		struct iomap_dio *dio, const struct iomap *map, uint64_t len)
{
	bool is_fresh = map->type == IOMAP_UNWRITTEN ||
			(map->flags & IOMAP_F_NEW);
	uint64_t head = dio_block_off(dio, dio->pos);
	uint64_t tail = dio_block_off(dio, dio->pos + len);
	uint32_t bsize = iomap_block_size(dio->f);

	/* A mapping covers whole blocks, so only the request's ends are in the
	 * middle of one. */
	if (iomap_lacks(dio->f, IOMAP_LACKS_PADDING))
		head = tail = 0;
	if (head != 0 && is_fresh)
		dio_add_zero(dio, map->addr - head, (uint32_t)head);
	dio_add_data(dio, map->addr, len);
	if (tail != 0 && (is_fresh || dio->pos + len >= dio->size))
		dio_add_zero(dio, map->addr + len, bsize - (uint32_t)tail);
}

static int dio_read_piece(
		struct iomap_dio *dio, const struct iomap *map, uint64_t len)
{
	uint32_t sector = dio->f->dev->geo.sector;
	uint64_t over = round_up_u64(len, sector) - len;

	switch (map->type) {
	case IOMAP_DELALLOC: /* a page came in between */
		return -ENOTBLK;
	case IOMAP_INLINE:
		iov_iter_copy_to(&dio->it, map->inline_data, len);
		return 0;
	case IOMAP_MAPPED:
		break;
	default:
		iov_iter_zero(&dio->it, len);
		return 0;
	}
	/* isize ends inside a sector: the rest of it comes along and is zeroed
	 * when it is here. */
	if (over > 0) {
		dio->tail = dio->it;
		iov_iter_advance(&dio->tail, len);
		dio->tail_len = (uint32_t)over;
	}
	dio_add_data(dio, map->addr, len + over);
	return 0;
}

/* iomap_ask(), or what the caller knows already. */
static int dio_ask(struct iomap_dio *dio, uint64_t len, uint32_t ask,
		struct iomap *ret_map)
{
	uint64_t skip;

	if (!dio->has_hint || !iomap_covers(&dio->hint, dio->pos))
		return iomap_ask(dio->f, dio->pos, len, ask, ret_map);
	skip = dio->pos - dio->hint.offset;
	*ret_map = dio->hint;
	ret_map->addr += skip;
	ret_map->offset += skip;
	ret_map->length = min_u64(ret_map->length - skip, len);
	return 0;
}

/* Map and add the next piece. */
static int dio_map_step(struct iomap_dio *dio)
{
	struct iomap_file *f = dio->f;
	uint32_t ask = IOMAP_DIRECT;
	uint64_t max = (uint64_t)DIO_MAX_BLOCKS << f->blkbits;
	struct iomap map;
	uint64_t len;
	int ret;

	if (dio->write)
		ask |= IOMAP_WRITE;
	if (dio->flags & IOMAP_DIO_NOWAIT)
		ask |= IOMAP_NOWAIT;
	if (dio->flags & IOMAP_DIO_FUA)
		ask |= IOMAP_DSYNC;
	len = min_u64(dio->end - dio->pos, max - dio_block_off(dio, dio->pos));
	ret = dio_ask(dio, len, ask, &map);
	if (ret < 0)
		return ret;
	len = map.length;
	if (dio->write) {
		ret = dio_write_check(dio, &map);
		if (ret == 0)
			dio_write_piece(dio, &map, len);
	} else {
		ret = dio_read_piece(dio, &map, len);
	}
	if (ret == 0) {
		dio->pos += len;
		dio->mapped_end = round_up_u64(dio->pos, iomap_block_size(f));
	}
	len = ret == 0 ? len : 0;
	if (f->ops->end != NULL && !dio->has_hint) {
		int err = iomap_release(f, len, ask, &map);

		ret = ret < 0 ? ret : err;
	}
	return ret;
}

/* Errors of begin() that leave the bytes before them valid (DI4). */
static bool dio_is_soft_error(int err)
{
	return err == -ENOTBLK || err == -ENOSPC || err == -EDQUOT ||
			err == -EAGAIN;
}

/* Map the whole request. Returns 0 if what has been added shall go out. */
static int dio_map(struct iomap_dio *dio)
{
	int ret = 0;

	while (dio->pos < dio->end) {
		ret = dio_map_step(dio);
		if (ret < 0)
			break;
	}
	if (ret == 0)
		return 0;
	dio->soft_error = ret;
	/* Nothing has gone out yet: the caller can start over elsewhere. */
	if (ret == -EAGAIN && !dio->submitted)
		return ret;
	if (ret == -ENOTBLK ||
			(dio_is_soft_error(ret) && dio->pos > dio->start))
		return 0;
	return ret;
}

/* ---- start and complete ---- */

int iomap_dio_sync_cache(struct iomap_file *f, uint64_t pos, uint64_t len,
		bool write, bool nowait)
{
	uint64_t first = pos >> f->blkbits;
	uint64_t last = (pos + len - 1) >> f->blkbits;
	int ret = 0;

	if (atomic_load(&f->pages.npages) == 0)
		return 0;
	if (pages_has_dirty(&f->pages, first, last)) {
		if (nowait)
			return -EAGAIN;
		ret = iomap_writeback(f, pos, pos + len - 1);
		if (ret < 0)
			return ret;
	}
	if (!write)
		return 0;
	ret = pages_invalidate(&f->pages, first, last, nowait);
	return ret == -EBUSY ? -ENOTBLK : ret;
}

/* Memory for the iovecs of a caller with very many segments. */
static int dio_init_iov(struct iomap_dio *dio)
{
	/* Both edges, and one that is joined to its neighbour at once. */
	int need = dio->it.niov + 3;

	if (need <= IOMAP_DIO_IOVS)
		return 0;
	dio->big_iov = malloc((size_t)need * sizeof(*dio->big_iov));
	if (dio->big_iov == NULL)
		return -ENOMEM;
	dio->max_iov = need;
	dio->max_bio = 1;
	return 0;
}

/* The field by field of it: the bios are big and need no zeroing. */
int iomap_dio_init(struct iomap_dio *dio, struct iomap_file *f, uint64_t pos,
		const struct iov_iter *it, bool write, uint32_t flags)
{
	const struct bdev_geo *geo = &f->dev->geo;
	uint64_t end;

	/* A block smaller than a sector cannot be written alone. */
	if (geo->sector > iomap_block_size(f) ||
			((pos | it->count) & (geo->sector - 1)) != 0 ||
			!check_add(pos, it->count, &end) || end > INT64_MAX)
		return -EINVAL;
	dio->f = f;
	dio->dev = f->dev;
	dio->data_done = NULL;
	dio->write = write;
	dio->has_hint = false;
	dio->flags = flags;
	dio->fixed = 0;
	dio->seen = 0;
	dio->start = pos;
	dio->pos = pos;
	dio->end = end;
	dio->size = atomic_load(&f->size);
	if (!write)
		dio->end = min_u64(end, max_u64(dio->size, pos));
	dio->mapped_end = 0;
	dio->soft_error = 0;
	dio->it = *it;
	dio->tail_len = 0;
	dio->max_iov = IOMAP_DIO_IOVS;
	dio->max_bio = IOMAP_DIO_BIOS;
	dio->big_iov = NULL;
	dio->more = NULL;
	dio->nbio = 0;
	dio->submitted = false;
	dio->can_fua = write && (flags & IOMAP_DIO_FUA) &&
			(geo->fua || !geo->volatile_cache) &&
			(end <= dio->size ||
					iomap_lacks(f, IOMAP_LACKS_FUA_RULE));
	atomic_init(&dio->inflight, 1);
	atomic_init(&dio->error, 0);
	return 0;
}

static void dio_free_memory(struct iomap_dio *dio)
{
	free(dio->big_iov);
	free(dio->more);
	dio->big_iov = NULL;
	dio->more = NULL;
}

int iomap_dio_start(struct iomap_dio *dio)
{
	struct iomap_file *f = dio->f;
	uint64_t start = dio->start;
	int none = 0;
	int ret;

	ret = iomap_dio_sync_cache(dio->f, dio->start, dio->end - dio->start,
			dio->write, (dio->flags & IOMAP_DIO_NOWAIT) != 0);
	if (ret == -ENOTBLK) {
		dio->soft_error = ret;
		dio_put(dio);
		return 0;
	}
	if (ret == 0)
		ret = dio_init_iov(dio);
	if (ret < 0)
		return ret;
	ret = dio_map(dio);
	if (ret == 0) {
		iomap_at(f, start, "mapped");
		dio_submit(dio, true);
		iomap_at(f, start, "submitted");
		return 0;
	}
	if (!dio->submitted) {
		/* What was added goes nowhere. */
		dio_free_memory(dio);
		return ret;
	}
	dio->nbio = 0;
	atomic_compare_exchange_strong(&dio->error, &none, ret);
	dio_put(dio);
	return 0;
}

bool iomap_dio_poll(struct iomap_dio *dio)
{
	if (atomic_load_explicit(&dio->inflight, memory_order_acquire) != 0)
		(void)bdev_poll(dio->dev, 1, DIO_POLL_MS);
	return atomic_load_explicit(&dio->inflight, memory_order_acquire) == 0;
}

#if defined(__SANITIZE_THREAD__)
/* The sanitizer does not know fences; an atomic change does as well. */
bool iomap_dio_has_pages(struct iomap_file *f)
{
	return atomic_fetch_add(&f->pages.npages, 0) != 0;
}
#else
bool iomap_dio_has_pages(struct iomap_file *f)
{
	atomic_thread_fence(memory_order_seq_cst);
	return atomic_load(&f->pages.npages) != 0;
}
#endif

static void dio_drop_pages(struct iomap_dio *dio)
{
	struct iomap_file *f = dio->f;

	if (pages_invalidate(&f->pages, dio->start >> f->blkbits,
			    (dio->pos - 1) >> f->blkbits, false) < 0)
		atomic_fetch_add(&f->ninval_failed, 1); /* B7 */
}

void iomap_dio_end(struct iomap_dio *dio, bool has_pages)
{
	dio_free_memory(dio);
	if (dio->pos == dio->start) /* E8 */
		return;
	if (!dio->write) {
		if (dio->tail_len > 0)
			iov_iter_zero(&dio->tail, dio->tail_len);
		return;
	}
	iomap_at(dio->f, dio->start, "drop");
	if (has_pages && !iomap_lacks(dio->f, IOMAP_LACKS_DROP))
		dio_drop_pages(dio);
}
