/* SPDX-License-Identifier: MIT */
/*
 * The mapping contract: how file I/O asks where the bytes of a file are.
 *
 * One struct iomap and one struct iomap_ops serve buffered, direct and DAX I/O,
 * seek and extent listing. This floor never allocates, never
 * journals and has never heard of ext4: it asks. So it is tested with a
 * ten-line fake mapping.
 *
 *	begin(file, pos, len, flags, &map)	map covers pos, may be shorter
 *	... use map ...
 *	end(file, pos, len, done, flags, &map)	optional
 *
 * Rules    (IO1) begin() is called with no handle held; it may start and stop one
 *                of its own. For buffered I/O the pages it is asked about may be
 *                held (rank PAGE), so that the answer cannot move while it is
 *                used: begin(), claim() and the writeback calls take nothing
 *                outside LOCK_RANK_HANDLE, wait for no page and write none back.
 *                No handle is held while data moves.
 *          (IO2) A mapping used without the file's I/O lock carries a validity
 *                cookie; begin() and use are under the locks of the operation's
 *                head comment. A stale one is answered with -ESTALE by
 *                writeback_map() and asked again.
 *          (IO3) Data is on the device (written, not flushed) before dio end_io
 *                or writeback_end() is called; these make it visible on disk.
 *          (IO4) What was not written through this file system is never shown:
 *                hole and unwritten read as zeroes, the rest of a new block is
 *                zeroed on the device with the data.
 *          (IO5) The order of a direct write's completion is dio.md E4:
 *                end_io (convert, sizes) -> invalidate pages -> dio count -1 ->
 *                position -> sync by the caller.
 *
 * Locks    Names of the caller's locks: iolock = inode->rwsem. Page busy bits
 *          (rank PAGE) are taken here, after the iolock.
 */
#ifndef UEXT4_IOMAP_IOMAP_H
#define UEXT4_IOMAP_IOMAP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/iter.h"
#include "base/lock.h"
#include "bdev/bdev.h"
#include "cache/page.h"

struct iomap_file;

enum iomap_type {
	IOMAP_HOLE,      /* nothing there: zeroes */
	IOMAP_DELALLOC,  /* no place yet; space is claimed by page */
	IOMAP_MAPPED,    /* written blocks at addr */
	IOMAP_UNWRITTEN, /* blocks at addr that read as zeroes */
	IOMAP_INLINE,    /* bytes at inline_data */
};

/* What begin() says about the run. */
#define IOMAP_F_NEW        0x01u /* blocks were just allocated: zero the rest */
#define IOMAP_F_DIRTY      0x02u /* metadata must be committed for O_DSYNC (E6) */
#define IOMAP_F_BEYOND_EOF 0x04u /* some of it reaches past the size */

/* What is wanted from begin(). */
#define IOMAP_WRITE  0x01u
#define IOMAP_ZERO   0x02u /* zeroing: a hole may stay a hole */
#define IOMAP_REPORT 0x04u /* look only: seek, fiemap */
#define IOMAP_DIRECT 0x08u
#define IOMAP_NOWAIT 0x10u /* -EAGAIN instead of waiting or allocating */
#define IOMAP_DSYNC  0x20u /* wants to know IOMAP_F_DIRTY */
#define IOMAP_DAX    0x40u /* of a DAX file: see dax.c, and end() */

/* A run of the file in one state. All in bytes. */
struct iomap {
	uint64_t addr;   /* on the device; undefined for hole, delalloc */
	uint64_t offset; /* in the file; <= the position asked for */
	uint64_t length; /* > 0 */
	enum iomap_type type;
	uint32_t flags; /* IOMAP_F_* */
	uint64_t cookie;
	const void *inline_data;
};

struct iomap_ops {
	/* Direct write to a hole that cannot be allocated safely: -ENOTBLK
	 * ("do it buffered", dio.md M3). */
	int (*begin)(struct iomap_file *f, uint64_t pos, uint64_t len,
			uint32_t flags, struct iomap *ret_map);
	/* Optional. @done: the bytes of the answer that were used. After a
	 * DAX write it is all of @len, the data being on the device, or 0 if
	 * that failed: blocks that begin() only reserved (MAPPED|NEW) are
	 * entered as written, or given back; unwritten ones are converted, the
	 * sizes raised to at least @pos + @done. On an error of its own the
	 * bytes stay invisible. */
	int (*end)(struct iomap_file *f, uint64_t pos, uint64_t len,
			uint64_t done, uint32_t flags, struct iomap *map);
	/* Promise space for @nblk delayed blocks (buffered write), and take
	 * the promise back for blocks whose page is thrown away. */
	int (*claim)(struct iomap_file *f, uint32_t nblk);
	void (*unclaim)(struct iomap_file *f, uint32_t nblk);
	/* A place for dirty bytes [pos, pos+len), block aligned, all delalloc
	 * or all mapped: the start of it is answered in @ret_map (MAPPED, or
	 * UNWRITTEN, which writeback_end() converts, or MAPPED|NEW for blocks
	 * only reserved so far, which will hold written data after
	 * writeback_end()). @delalloc: the pages hold claims, which
	 * pass to the callee for the length answered. */
	int (*writeback_map)(struct iomap_file *f, uint64_t pos, uint64_t len,
			bool delalloc, struct iomap *ret_map);
	/* The data of @map (offset and length as written, perhaps less than
	 * what was answered) is on the device (@err 0) or failed: insert the
	 * mapping and raise the on-disk size to at most min(@end, isize now),
	 * or give the reservation back. On error, @err's or its own, with
	 * delalloc the claim is returned to the pages: they stay dirty. */
	int (*writeback_end)(struct iomap_file *f, struct iomap *map,
			uint64_t end, bool delalloc, int err);
	/* Optional: isize = max(isize, @end), called by a buffered write piece
	 * by piece, with the pages that carry the bytes still held. Without it
	 * write-back leaves what lies beyond isize alone until the caller has
	 * raised it, and one huge call is not bounded in memory. */
	void (*raise_size)(struct iomap_file *f, uint64_t end);
	/* Optional: is direct I/O of @f in flight that dio_count does not count?
	 * Somebody waits for its end: does what can be done for that, also for
	 * what is in flight by other ways, without sleeping. */
	bool (*in_flight)(struct iomap_file *f);
};

/*
 * For tests, in debug builds only. A gate is called at named points of a direct
 * write, and may stop the thread there. What a file lacks is a rule of
 * docs/dio.md that is switched off, to show that a test would notice.
 */
#define IOMAP_LACKS_CLAIMS     0x0001u   /* I9: edges keep others away */
#define IOMAP_LACKS_DRAIN      0x0002u   /* I4: who removes blocks waits */
#define IOMAP_LACKS_CURSOR     0x0004u   /* W12: appends reserve their place */
#define IOMAP_LACKS_MAX        0x0008u   /* E3: sizes only grow */
#define IOMAP_LACKS_ORDER      0x0010u   /* E3: convert, then raise the size */
#define IOMAP_LACKS_DROP       0x0020u   /* E4: drop pages after end_io */
#define IOMAP_LACKS_PADDING    0x0040u   /* IO4: zeroes around the data */
#define IOMAP_LACKS_TAIL       0x0080u   /* W17: zeroes behind the old size */
#define IOMAP_LACKS_DSIZE      0x0100u   /* D-8: dsize is asked as well */
#define IOMAP_LACKS_ERROR      0x0200u   /* E1: failed data is not converted */
#define IOMAP_LACKS_UNWRITTEN  0x0400u   /* M2: fresh blocks read as zeroes */
#define IOMAP_LACKS_SYNC_LAST  0x0800u   /* E4: sizes, then sync */
#define IOMAP_LACKS_FUA_RULE   0x1000u   /* E6: FUA for overwrites only */
#define IOMAP_LACKS_COUNT_LAST 0x2000u   /* E4: sizes, then out of flight */
#define IOMAP_LACKS_TRIM       0x4000u   /* E5: surplus blocks are given back */
#define IOMAP_LACKS_RETRY      0x8000u   /* M5: freed space is waited for */
#define IOMAP_LACKS_NOWAIT     0x10000u  /* D-4: NOWAIT is looked at */
#define IOMAP_LACKS_REST       0x20000u  /* F2, F3: the sum; on the device */
#define IOMAP_LACKS_SEQ        0x40000u  /* B38: answers age with map.seq */
#define IOMAP_LACKS_INVAL      0x80000u  /* B3: no fills during a removal */
#define IOMAP_LACKS_CAP        0x100000u /* I1: dsize never above isize */
#define IOMAP_LACKS_TRIM_ALONE 0x200000u /* E5: with nobody in flight */

typedef void (*iomap_gate_fn)(void *ctx, uint64_t pos, const char *at);

/*
 * All that this floor sees of a file; embedded in the inode.
 */
struct iomap_file {
	const struct iomap_ops *ops; /* [const] */
	struct bdev *dev;            /* [const] */
	uint32_t blkbits;            /* [const] block and page size */
	uint32_t inum;               /* [const] for request tags */
	bool dax;              /* [const] once loaded: no page ever (DX1) */
	_Atomic uint64_t size; /* isize; set under size_lock of the owner */
	struct rwsem inval;    /* cache fills (shared) against removal of
					blocks (exclusive): invalidate_lock */
	struct page_cache pages;
	struct mutex dio_lock;          /* leaf */
	struct cond dio_wait;           /* [dio_lock] */
	_Atomic uint32_t dio_count;     /* direct I/Os in flight */
	_Atomic uint32_t dio_waiters;   /* who drains */
	_Atomic uint32_t ninval_failed; /* B7: dirty page under a write */
	_Atomic uint64_t ra_next; /* readahead: where a sequential reader */
	_Atomic uint32_t ra_win;  /* goes on, and the pages it got last */
#ifndef NDEBUG
	iomap_gate_fn gate; /* [const] while I/O is under way */
	void *gate_ctx;
	_Atomic uint32_t lacks; /* IOMAP_LACKS_* */
#endif
};

#ifndef NDEBUG
static inline void iomap_at(struct iomap_file *f, uint64_t pos, const char *at)
{
	if (f->gate != NULL)
		f->gate(f->gate_ctx, pos, at);
}
static inline bool iomap_lacks(const struct iomap_file *f, uint32_t what)
{
	return (atomic_load(&f->lacks) & what) != 0;
}
#else
static inline void iomap_at(struct iomap_file *f, uint64_t pos, const char *at)
{
}
static inline bool iomap_lacks(const struct iomap_file *f, uint32_t what)
{
	return false;
}
#endif

void iomap_file_init(struct iomap_file *f, const struct iomap_ops *ops,
		struct bdev *dev, uint32_t blkbits, uint32_t inum,
		struct page_pool *pool);
/* No page below the size is dirty, nothing in flight; the rest is dropped. Hold
 * no handle and no page: it waits for a flusher that is just at this file. */
void iomap_file_fini(struct iomap_file *f);

/* ---- direct: dio.c ---- */

#define IOMAP_DIO_NOWAIT         0x1u
#define IOMAP_DIO_OVERWRITE_ONLY 0x2u /* -EAGAIN unless pure overwrite */
#define IOMAP_DIO_FUA            0x4u /* DSYNC: FUA where rule E6 allows it */
#define IOMAP_DIO_HUGE           0x8u /* BDEV_F_HUGE */

/* What dio->seen tells about a write. */
#define IOMAP_DIO_UNWRITTEN 0x1u /* some of it was unwritten: convert */
#define IOMAP_DIO_NEW       0x2u /* some blocks were just allocated */

/*
 * Direct read or write at @pos of the bytes of @it; offset and length multiples
 * of the device's logical sector, else -EINVAL with nothing changed. The
 * caller holds the iolock (shared or exclusive as its table says) while it is
 * started. Dirty pages of the range are written back first and, for a write,
 * dropped; if they cannot be dropped: -ENOTBLK turned into a short result (B7).
 * Sub-block edges of new or unwritten blocks are zero-filled, the tail at EOF
 * too (B26, B27). Fewer bytes than asked are done when begin() said -ENOTBLK
 * after some, or at EOF for reads; a hard error midway fails all of it (E7).
 *
 * In steps:
 *
 *	iomap_dio_init(&dio, f, pos, &it, write, flags);
 *	dio.dev = channel; dio.data_done = fn;		optional, needed
 *	ret = iomap_dio_start(&dio);			with the iolock held
 *	... fn(&dio): all is on the device, or has failed
 *	err = iomap_dio_error(&dio); convert, raise sizes by iomap_dio_bytes()
 *	iomap_dio_end(&dio, iomap_dio_has_pages(f));	pages that came in between
 *	... out of flight
 *
 * The caller counts it in and out of flight. data_done() is called once, in
 * start (by this thread) or by whoever polls the device; what it does last may
 * let somebody free @dio. @it and the memory of its iovecs stay until the end.
 */
#define IOMAP_DIO_BIOS 4u
#define IOMAP_DIO_IOVS 6

struct iomap_dio;

/* One request to the device. */
struct iomap_bio {
	struct bdev_io io;
	struct iomap_dio *dio;
	uint64_t bytes; /* in iov so far */
	struct iovec *iov;
	struct iovec own_iov[IOMAP_DIO_IOVS];
};

struct iomap_dio {
	/* The caller's. */
	struct iomap_file *f;
	struct bdev *dev; /* the file's own, or a channel to it */
	void (*data_done)(struct iomap_dio *dio);
	bool write;
	bool has_hint;  /* hint is an answer of begin() that still holds */
	uint32_t flags; /* IOMAP_DIO_* as asked */
	uint32_t fixed; /* bdev_io.fixed of one-piece memory */
	struct iomap hint;
	/* dio.c's. */
	uint32_t seen;  /* IOMAP_DIO_UNWRITTEN ... */
	bool can_fua;   /* DI5 so far */
	bool submitted; /* some bios have been */
	uint64_t start;
	uint64_t pos; /* mapped up to here */
	uint64_t end;
	uint64_t size; /* isize, sampled once (B43) */
	uint64_t mapped_end;
	int soft_error;         /* why pos is not end, or 0 */
	struct iov_iter it;     /* at pos */
	struct iov_iter tail;   /* a read's memory behind isize, */
	uint32_t tail_len;      /* filled from the device */
	int max_iov;            /* of a bio */
	struct iovec *big_iov;  /* for many small segments, or NULL */
	struct iomap_bio *more; /* all bios but the first, or NULL */
	unsigned nbio;          /* bios in use */
	unsigned max_bio;
	_Atomic uint32_t inflight; /* bios, and one while start is at work */
	_Atomic int error;
	struct iomap_bio bio; /* the first; most requests need no other */
};

/* -EINVAL: not whole sectors, or past the end of all positions. */
int iomap_dio_init(struct iomap_dio *dio, struct iomap_file *f, uint64_t pos,
		const struct iov_iter *it, bool write, uint32_t flags);
/* 0: data_done() is called, or was; else nothing is in flight and never was.
 * With 0 perhaps less than everything is on its way: iomap_dio_bytes(). */
int iomap_dio_start(struct iomap_dio *dio) UEXT4_MUST_CHECK;
/* Bring the cache and the device together in the range: dirty pages are written
 * back, for a write all are dropped. -ENOTBLK: one cannot be. start does it by
 * itself; who prepares blocks for holes does it before. */
int iomap_dio_sync_cache(struct iomap_file *f, uint64_t pos, uint64_t len,
		bool write, bool nowait);
/* Has data_done() been called? Polls the device once, may sleep for some ms. */
bool iomap_dio_poll(struct iomap_dio *dio);
void iomap_dio_end(struct iomap_dio *dio, bool has_pages);
/* Is anything cached, after all that this thread has written is seen by all? A
 * page that was filled before this point may be old; its filler counted it before
 * it looked at the device or the mapping. Asked once for many requests that end,
 * after their end_io. */
bool iomap_dio_has_pages(struct iomap_file *f);
static inline uint64_t iomap_dio_bytes(const struct iomap_dio *dio)
{
	return dio->pos - dio->start;
}
/* After data_done(). */
static inline int iomap_dio_error(const struct iomap_dio *dio)
{
	return atomic_load_explicit(&dio->error, memory_order_relaxed);
}
/* Has FUA made it durable (E6)? */
static inline bool iomap_dio_is_durable(const struct iomap_dio *dio)
{
	return dio->can_fua && dio->pos > dio->start;
}

/* Count in and out of flight; drain: wait
 * for none in flight (caller holds the iolock exclusively, so that none can
 * start). */
void iomap_dio_begin(struct iomap_file *f);
void iomap_dio_done(struct iomap_file *f);
void iomap_dio_drain(struct iomap_file *f);
/* Is any in flight? Does what can be done for it, without sleeping. */
bool iomap_dio_busy(struct iomap_file *f);

/* ---- DAX: dax.c ---- */

/*
 * Read or write at @pos the bytes of @it, any position and length, of a file
 * with @dax set. The caller holds the iolock: shared for reads, and for writes
 * with IOMAP_DIO_OVERWRITE_ONLY in @flags, which are -EAGAIN without an effect
 * unless all of the range is written blocks; else exclusively. Returns bytes
 * done and advances @it by as much (less than asked at EOF, or in front of an
 * error), or -errno. The sizes have been raised by end().
 */
ssize_t iomap_dax_rw(struct iomap_file *f, uint64_t pos, struct iov_iter *it,
		bool write, uint32_t flags);

/* ---- buffered: buffered.c, writeback.c ---- */

/* Copy the bytes of @it into the page cache at @pos, caller holds the iolock
 * exclusively and raises isize afterwards by what is returned. Space is
 * claimed page by page: -ENOSPC, or a short count. */
ssize_t iomap_buffered_write(
		struct iomap_file *f, uint64_t pos, struct iov_iter *it);
/* Read through the page cache up to isize (sampled once, before: I11), with
 * readahead for sequential readers. Caller holds no page; takes inval shared. */
ssize_t iomap_buffered_read(
		struct iomap_file *f, uint64_t pos, struct iov_iter *it);
/* Write the dirty pages that touch [start, end] (end inclusive) to the device
 * and wait. Not flushed. Remembers an error for iomap_check_error(). Pages
 * wholly beyond isize are left alone. Hold no page and no handle. */
int iomap_writeback(struct iomap_file *f, uint64_t start, uint64_t end);
/* An error of an earlier background write-back, told once to each caller's
 * @since cursor (errseq rules). */
int iomap_check_error(struct iomap_file *f, uint32_t *since);
/* The cursor of somebody who opens the file now. */
uint32_t iomap_sample_error(struct iomap_file *f);
/* Write back whole files of the pool, longest dirty first, until at most
 * @target bytes are dirty or every file had its turn. For a flusher. */
int iomap_writeback_pool(struct page_pool *pool, size_t target);
/* Drop the pages inside [start, end]; partly covered edge pages are zeroed in
 * the covered part instead and stay as dirty as they were: zero the edges on
 * disk by iomap_zero_range() before. For truncate and punch; claims of dropped
 * delalloc pages are given back. Caller holds iolock and inval exclusively, no
 * page and no handle: it waits for held pages. */
int iomap_drop_pages(struct iomap_file *f, uint64_t start, uint64_t end);
/* Drop clean pages that touch [start, end], waiting for those that are held;
 * -EBUSY if one is dirty. */
int iomap_invalidate(struct iomap_file *f, uint64_t start, uint64_t end);

/* ---- zero.c, seek.c, fiemap.c ---- */

/* Make [pos, pos+len) read as zeroes: holes and unwritten stay; cached pages
 * and mapped blocks are zeroed through the cache (dirty). For the tail of the
 * EOF block (W17) and the edges of punch and zero range. *ret_did says whether
 * anything had to be zeroed. Of a DAX file mapped blocks are zeroed in place, as
 * a write would. Caller: iolock exclusive. */
int iomap_zero_range(struct iomap_file *f, uint64_t pos, uint64_t len,
		bool *ret_did);
/* SEEK_DATA / SEEK_HOLE: dirty pages over holes and unwritten count as data.
 * -ENXIO past the size or when there is no more data. */
int64_t iomap_seek_data(struct iomap_file *f, uint64_t pos);
int64_t iomap_seek_hole(struct iomap_file *f, uint64_t pos);
/* Call @fn for each run of [pos, pos+len) that is not a hole, merged where
 * contiguous; @fn returns non-zero to stop (which is returned). Dirty data is
 * written back first if @sync; otherwise dirty holes are DELALLOC. */
int iomap_fiemap(struct iomap_file *f, uint64_t pos, uint64_t len, bool sync,
		int (*fn)(void *ctx, const struct iomap *map), void *ctx);

/* ---- between the files of this floor ---- */

/* begin() for [@pos, @pos + @len), the answer cut to that range. Give it back
 * with iomap_release(); @done is how far it was used. */
int iomap_ask(struct iomap_file *f, uint64_t pos, uint64_t len, uint32_t flags,
		struct iomap *ret_map) UEXT4_MUST_CHECK;
int iomap_release(struct iomap_file *f, uint64_t done, uint32_t flags,
		struct iomap *map);
/* iomap_zero_range() of a DAX file; *ret_did becomes true if anything had to
 * be zeroed. */
int iomap_dax_zero(struct iomap_file *f, uint64_t pos, uint64_t len,
		bool *ret_did) UEXT4_MUST_CHECK;

static inline uint32_t iomap_block_size(const struct iomap_file *f)
{
	return UINT32_C(1) << f->blkbits;
}

/* Does @map say where @pos is? */
static inline bool iomap_covers(const struct iomap *map, uint64_t pos)
{
	return pos >= map->offset && pos - map->offset < map->length;
}

#endif /* UEXT4_IOMAP_IOMAP_H */
