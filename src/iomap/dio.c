/* SPDX-License-Identifier: MIT */
/*
 * Direct I/O: between the caller's memory and the device, past the cache.
 *
 * One struct iomap_dio is one request. Its life:
 *
 *	start      alignment, size sample, count in, caches written back (and,
 *	           for a write, dropped)
 *	map        begin() chunk by chunk; each piece is put into a struct
 *	           dio_bio: pieces that are neighbours on the device, zero edges
 *	           among them, become one device request
 *	submit     all bios at once; dio_bio_done() for each counts down
 *	complete   end_io (convert, sizes) -> invalidate -> count out (E4)
 *
 * The synchronous caller keeps the request on its stack and waits between
 * submit and complete; nothing in between knows that.
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
#define DIO_BIOS       4u
#define DIO_IOVS       64
#define DIO_BIO_BYTES  (UINT64_C(256) << 20)
#define DIO_POLL_MS    5
#define DIO_ZERO_BYTES 65536u /* the largest block */

static _Alignas(4096) const uint8_t dio_zeroes[DIO_ZERO_BYTES];

struct iomap_dio;

/* One request to the device. */
struct dio_bio {
	struct bdev_io io;
	struct iomap_dio *dio;
	uint64_t bytes; /* in iov so far */
	struct iovec *iov;
	struct iovec own_iov[DIO_IOVS];
};

struct iomap_dio {
	struct iomap_file *f;
	bool write;
	uint32_t flags; /* IOMAP_DIO_* as asked */
	uint32_t seen;  /* IOMAP_DIO_UNWRITTEN ... */
	bool can_fua;   /* DI5 so far */
	uint64_t start;
	uint64_t pos; /* mapped up to here */
	uint64_t end;
	uint64_t size; /* isize, sampled once (B43) */
	uint64_t mapped_end;
	struct iov_iter it;    /* at pos */
	struct iov_iter tail;  /* a read's memory behind isize, */
	uint32_t tail_len;     /* filled from the device */
	int max_iov;           /* of a bio */
	struct iovec *big_iov; /* for many small segments, or NULL */
	unsigned nbio;         /* bios in use */
	unsigned max_bio;
	bool submitted; /* some have been */
	_Atomic uint32_t inflight;
	_Atomic int error;
	struct dio_bio bio[DIO_BIOS];
};

/* ---- bios ---- */

static void dio_bio_done(struct bdev_io *io)
{
	struct dio_bio *bio = container_of(io, struct dio_bio, io);
	struct iomap_dio *dio = bio->dio;
	int none = 0;

	if (io->result < 0)
		atomic_compare_exchange_strong(&dio->error, &none, io->result);
	/* Release: the request may be gone after this. */
	atomic_fetch_sub_explicit(&dio->inflight, 1, memory_order_release);
}

static void dio_submit(struct iomap_dio *dio)
{
	struct iomap_file *f = dio->f;
	struct bdev_io *ios[DIO_BIOS];
	unsigned n = dio->nbio;

	if (n == 0)
		return;
	for (unsigned i = 0; i < n; i++) {
		struct bdev_io *io = &dio->bio[i].io;

		io->op = dio->write ? BDEV_WRITE : BDEV_READ;
		io->flags = dio->can_fua && f->dev->geo.volatile_cache
				? BDEV_F_FUA
				: 0;
		io->iov = dio->bio[i].iov;
		io->tag = BDEV_TAG(BDEV_TAG_DATA, f->inum);
		io->done = dio_bio_done;
		ios[i] = io;
	}
	TRACE3(dio_submit, f->inum, dio->start, n);
	atomic_store(&dio->inflight, n);
	dio->submitted = true;
	dio->nbio = 0;
	bdev_submit(f->dev, ios, n);
}

static void dio_wait(struct iomap_dio *dio)
{
	while (atomic_load_explicit(&dio->inflight, memory_order_acquire) != 0)
		(void)bdev_poll(dio->f->dev, 1, DIO_POLL_MS);
}

/* The bio that goes on at @addr, or a new one. */
static struct dio_bio *dio_bio_get(struct iomap_dio *dio, uint64_t addr)
{
	struct dio_bio *bio;

	if (dio->nbio > 0) {
		bio = &dio->bio[dio->nbio - 1];
		if (bio->io.pos + bio->bytes == addr &&
				bio->bytes < DIO_BIO_BYTES)
			return bio;
	}
	if (dio->nbio == dio->max_bio) {
		dio_submit(dio);
		dio_wait(dio);
	}
	bio = &dio->bio[dio->nbio++];
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
	struct dio_bio *bio = dio_bio_get(dio, addr);
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
 * sectors. What goes on in memory joins the iovec before, so a bio needs no
 * more iovecs than the caller has segments, and the two edges.
 */
static void dio_add_data(struct iomap_dio *dio, uint64_t addr, uint64_t len)
{
	while (len > 0) {
		struct dio_bio *bio = dio_bio_get(dio, addr);
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
	if (map->flags & IOMAP_F_DIRTY)
		dio->seen |= IOMAP_DIO_DIRTY;
	if (!is_plain || (map->flags & (IOMAP_F_DIRTY | IOMAP_F_BEYOND_EOF)))
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
	len = min_u64(dio->end - dio->pos, max - dio_block_off(dio, dio->pos));
	ret = iomap_ask(f, dio->pos, len, ask, &map);
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
	if (f->ops->end != NULL) {
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
	/* Nothing has gone out yet: the caller can start over elsewhere. */
	if (ret == -EAGAIN && !dio->submitted)
		return ret;
	if (ret == -ENOTBLK ||
			(dio_is_soft_error(ret) && dio->pos > dio->start))
		return 0;
	return ret;
}

/* ---- start and complete ---- */

/* Bring the cache and the device together in the range. -ENOTBLK: a page
 * cannot be dropped. */
static int dio_sync_cache(struct iomap_dio *dio)
{
	struct iomap_file *f = dio->f;
	uint64_t first = dio->start >> f->blkbits;
	uint64_t last = (dio->end - 1) >> f->blkbits;
	bool nowait = dio->flags & IOMAP_DIO_NOWAIT;
	int ret = 0;

	if (atomic_load(&f->pages.npages) == 0)
		return 0;
	if (pages_has_dirty(&f->pages, first, last)) {
		if (nowait)
			return -EAGAIN;
		ret = iomap_writeback(f, dio->start, dio->end - 1);
		if (ret < 0)
			return ret;
	}
	if (!dio->write)
		return 0;
	ret = pages_invalidate(&f->pages, first, last, nowait);
	return ret == -EBUSY ? -ENOTBLK : ret;
}

/* Memory for the iovecs of a caller with very many segments. */
static int dio_init_iov(struct iomap_dio *dio)
{
	/* Both edges, and one that is joined to its neighbour at once. */
	int need = dio->it.niov + 3;

	dio->max_iov = DIO_IOVS;
	dio->max_bio = DIO_BIOS;
	dio->big_iov = NULL;
	if (need <= DIO_IOVS)
		return 0;
	dio->big_iov = malloc((size_t)need * sizeof(*dio->big_iov));
	if (dio->big_iov == NULL)
		return -ENOMEM;
	dio->max_iov = need;
	dio->max_bio = 1;
	return 0;
}

/* The field by field of it: the bios are big and need no zeroing. */
static void dio_init(struct iomap_dio *dio, struct iomap_file *f, uint64_t pos,
		const struct iov_iter *it, bool write, uint32_t flags)
{
	const struct bdev_geo *geo = &f->dev->geo;

	dio->f = f;
	dio->write = write;
	dio->flags = flags;
	dio->seen = 0;
	dio->start = pos;
	dio->pos = pos;
	dio->end = pos + it->count;
	dio->size = atomic_load(&f->size);
	if (!write)
		dio->end = min_u64(dio->end, max_u64(dio->size, pos));
	dio->mapped_end = 0;
	dio->it = *it;
	dio->tail_len = 0;
	dio->nbio = 0;
	dio->submitted = false;
	dio->can_fua = write && (flags & IOMAP_DIO_FUA) &&
			(geo->fua || !geo->volatile_cache) &&
			dio->end <= dio->size;
	atomic_init(&dio->inflight, 0);
	atomic_init(&dio->error, 0);
}

#if defined(__SANITIZE_THREAD__)
/* The sanitizer does not know fences; an atomic change does as well. */
static bool dio_has_pages_now(struct iomap_file *f)
{
	return atomic_fetch_add(&f->pages.npages, 0) != 0;
}
#else
/* Is anything cached, after all that we have written is seen by all? */
static bool dio_has_pages_now(struct iomap_file *f)
{
	atomic_thread_fence(memory_order_seq_cst);
	return atomic_load(&f->pages.npages) != 0;
}
#endif

/* The data is on the device or has failed: make it visible (E1 - E4). */
static int dio_complete(struct iomap_dio *dio, const struct iomap_dio_ops *dops)
{
	struct iomap_file *f = dio->f;
	int err = atomic_load(&dio->error);
	int ret;

	if (dio->pos == dio->start) /* E8 */
		return err;
	if (!dio->write) {
		if (dio->tail_len > 0)
			iov_iter_zero(&dio->tail, dio->tail_len);
		return err;
	}
	if (dops != NULL && dops->end_io != NULL) {
		ret = dops->end_io(f, dio->start, dio->pos - dio->start, err,
				dio->seen);
		if (err == 0)
			err = ret < 0 ? ret : 0;
	}
	/* A page that was filled before this point may be old. Its filler
	 * counted it before it looked at the device or the mapping. */
	if (dio_has_pages_now(f) &&
			pages_invalidate(&f->pages, dio->start >> f->blkbits,
					(dio->pos - 1) >> f->blkbits,
					false) < 0)
		atomic_fetch_add(&f->ninval_failed, 1); /* B7 */
	return err;
}

/* From start to complete. Returns bytes or -errno. */
static ssize_t dio_run(struct iomap_dio *dio, const struct iomap_dio_ops *dops)
{
	int ret;

	ret = dio_sync_cache(dio);
	if (ret < 0)
		return ret == -ENOTBLK ? 0 : ret;
	ret = dio_init_iov(dio);
	if (ret < 0)
		return ret;
	ret = dio_map(dio);
	if (ret == 0) {
		dio_submit(dio);
		dio_wait(dio);
	} else {
		/* What was added goes nowhere. */
		int none = 0;

		dio->nbio = 0;
		atomic_compare_exchange_strong(&dio->error, &none, ret);
	}
	free(dio->big_iov);
	ret = dio_complete(dio, dops);
	return ret < 0 ? ret : (ssize_t)(dio->pos - dio->start);
}

ssize_t iomap_dio_rw(struct iomap_file *f, uint64_t pos, struct iov_iter *it,
		bool write, const struct iomap_dio_ops *dops, uint32_t flags,
		struct iomap_dio_result *ret)
{
	uint32_t sector = f->dev->geo.sector;
	struct iomap_dio dio;
	uint64_t end;
	ssize_t done;

	if (ret != NULL)
		*ret = (struct iomap_dio_result){ 0 };
	/* A block smaller than a sector cannot be written alone. */
	if (sector > iomap_block_size(f) ||
			((pos | it->count) & (sector - 1)) != 0 ||
			!check_add(pos, it->count, &end) || end > INT64_MAX)
		return -EINVAL;
	dio_init(&dio, f, pos, it, write, flags);
	if (dio.pos == dio.end)
		return 0;

	iomap_dio_begin(f);
	done = dio_run(&dio, dops);
	iomap_dio_done(f);

	if (ret != NULL) {
		ret->mapped_end = dio.mapped_end;
		ret->need_sync = write && (flags & IOMAP_DIO_FUA) &&
				!(dio.can_fua && done > 0);
	}
	if (done > 0)
		iov_iter_advance(it, (size_t)done);
	return done;
}
