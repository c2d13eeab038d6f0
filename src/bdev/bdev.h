/* SPDX-License-Identifier: MIT */
/*
 * Numbered bytes: what everything above reads, writes and flushes.
 *
 * A bdev is opened by one of the openers below and used by any number of
 * threads. Requests are asynchronous by contract: bdev_submit() hands over
 * struct bdev_io, each is answered exactly once by its done() callback, inside
 * bdev_submit() (file, RAM, emulator, user's own device) or inside
 * bdev_poll() (a ring). The synchronous helpers stand on top:
 *
 *	ret = bdev_write(dev, pos, buf, len, 0, BDEV_TAG_METADATA);
 *	ret = bdev_flush(dev, 0);
 *	ret = bdev_write(dev, pos, buf, len, BDEV_F_FUA, BDEV_TAG_J_COMMIT);
 *
 * Rules    (V1) Positions and lengths are bytes, and any alignment is served;
 *               only aligned ones (struct bdev_geo) are fast on O_DIRECT.
 *          (V2) A request is whole or failed: there are no short results.
 *          (V3) What lies outside [0, geo.size) is refused before it reaches
 *               a backend: reads -EIO, everything else -ENOSPC.
 *          (V4) A write is durable when a flush submitted after its
 *               completion has completed, or on its own completion when it
 *               carried BDEV_F_FUA (a backend without FUA flushes for it).
 *          (V5) Requests in flight together are not ordered.
 *          (V6) done() may submit, but must not poll the same device.
 *          (V8) A store to mapped memory (bdev_map()) is a write that has
 *               completed: V4 holds for it. Requests and the map show the same
 *               bytes. A store cannot fail; where it would have to (a hole of
 *               a file on a full disk) the process dies by SIGBUS.
 *
 * Locks    A backend's own lock is the rank "bdev"; done() is called without
 *          it.
 */
#ifndef UEXT4_BDEV_BDEV_H
#define UEXT4_BDEV_BDEV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/err.h"

struct bdev;
struct bdev_io;
struct uext4_dev;

enum bdev_op {
	BDEV_READ,
	BDEV_WRITE,
	BDEV_FLUSH,
	BDEV_DISCARD, /* contents become undefined; may do nothing at all */
	BDEV_ZERO,    /* contents become zero */
	BDEV_OP_NR,
};

/* Request flags. */
#define BDEV_F_FUA     0x1u /* WRITE, ZERO: durable on completion */
#define BDEV_F_NOUNMAP 0x2u /* ZERO: keep the space behind it allocated */
#define BDEV_F_HUGE    0x4u /* WRITE: the memory lies in huge pages; a hint */

/*
 * What a request carries, for recorders and tracing. Backends ignore it. A tag
 * word is a kind in the low 8 bits and 56 bits of the caller's own above it
 * (transaction id, inode number ...); a bare kind is a valid tag word.
 */
enum bdev_tag {
	BDEV_TAG_NONE,
	BDEV_TAG_J_DESC,     /* journal descriptor block */
	BDEV_TAG_J_DATA,     /* journalled copy of a metadata block */
	BDEV_TAG_J_REVOKE,   /* journal revoke block */
	BDEV_TAG_J_COMMIT,   /* journal commit block */
	BDEV_TAG_J_SB,       /* journal superblock */
	BDEV_TAG_METADATA,   /* checkpoint or other home write of metadata */
	BDEV_TAG_DATA,       /* file contents */
	BDEV_TAG_SUPERBLOCK, /* file system superblock */
	BDEV_TAG_MMP,        /* the block of multi-mount protection */
	BDEV_TAG_NR,
};

#define BDEV_TAG(kind, aux) ((uint64_t)(aux) << 8 | (uint64_t)(kind))

static inline enum bdev_tag bdev_tag_kind(uint64_t tag)
{
	return (enum bdev_tag)(tag & 0xff);
}

static inline uint64_t bdev_tag_aux(uint64_t tag)
{
	return tag >> 8;
}

/* Short name of a tag kind: "commit", "data" ... */
const char *bdev_tag_name(enum bdev_tag kind);

/* Constant while the device is open. */
struct bdev_geo {
	uint64_t size;       /* bytes */
	uint32_t sector;     /* logical sector: 512 or 4096 */
	uint32_t phys;       /* physical sector: what is written at once */
	uint32_t dio_align;  /* position and length that need no bounce */
	uint32_t mem_align;  /* memory that needs no bounce */
	bool read_only;      /* WRITE, DISCARD, ZERO are -EROFS */
	bool direct;         /* O_DIRECT is in effect */
	bool fua;            /* FUA costs less than write and flush */
	bool volatile_cache; /* a flush does something */
	bool discard;        /* DISCARD frees space */
};

/* One request. The caller owns it and everything it points to until done(). */
struct bdev_io {
	enum bdev_op op;
	uint32_t flags;          /* BDEV_F_* */
	uint64_t pos;            /* unused by FLUSH */
	uint64_t len;            /* READ, WRITE: set by bdev_submit() */
	const struct iovec *iov; /* READ, WRITE: not changed by backends */
	int iovcnt;
	uint32_t fixed; /* 1 + index of a buffer of bdev_chan_buffers() that the
			   whole iov (of one piece) lies in; 0: none */
	uint64_t tag;   /* BDEV_TAG() */
	int result;     /* 0 or -errno, valid in done() */
	void (*done)(struct bdev_io *io); /* may free io */
	void *ctx;                        /* the caller's */
	void *priv;                       /* the backend's */
};

/* Bounds, access mode and empty requests are dealt with before the call. */
struct bdev_ops {
	const char *name;
	/* I/O is a copy in memory: there is nothing to overlap it with. */
	bool is_copy;
	/* Take all @n requests; each ends in bdev_io_done() exactly once. */
	void (*submit)(struct bdev *dev, struct bdev_io **ios, unsigned int n);
	/*
	 * Finish requests in flight until at least @min are done or
	 * @timeout_ms passed (-1: for ever). Returns how many, 0 when none are
	 * in flight, or -errno. NULL: everything completes inside submit.
	 */
	int (*poll)(struct bdev *dev, unsigned int min, int timeout_ms);
	/* Hand on what submit() has only taken in. NULL: nothing stays. */
	void (*kick)(struct bdev *dev);
	/* A thread that sleeps in poll() returns. NULL: none ever sleeps long. */
	void (*wake)(struct bdev *dev);
	/* See bdev_chan_buffers(). NULL: they do not pay. */
	int (*buffers)(struct bdev *dev, const struct iovec *iov, unsigned n);
	/* The memory behind a range, for DAX. NULL: not memory. */
	int (*map)(struct bdev *dev, uint64_t pos, uint64_t len,
			void **ret_addr);
	/* See bdev_stored(). NULL: the memory itself remembers. */
	void (*stored)(struct bdev *dev, uint64_t pos, uint64_t len,
			uint64_t tag);
	/* Has the host taken every DISCARD so far? NULL: as geo.discard says. */
	bool (*can_discard)(struct bdev *dev);
	/* Free the device. Nothing is in flight. */
	int (*close)(struct bdev *dev);
};

/* Embedded at the start of a backend's own struct. */
struct bdev {
	const struct bdev_ops *ops; /* [const] */
	struct bdev_geo geo;        /* [const] */
	char name[32]; /* [const] for people: the end of its path, or "" */
};

/* ---- opening and closing ---- */

#define BDEV_OPEN_RDONLY 0x1u /* no write reaches the device; shared lock */
#define BDEV_OPEN_DIRECT 0x2u /* try O_DIRECT; geo.direct tells the outcome */
#define BDEV_OPEN_NOLOCK 0x4u /* take no lock: the caller knows better */

struct bdev_file_opts {
	uint32_t flags;  /* BDEV_OPEN_* */
	uint64_t offset; /* where the device starts inside the file */
	uint64_t limit;  /* at most so many bytes; 0: to the end of the file */
};

/*
 * Open a regular file or a block device. @opts NULL: read-write, cached, the
 * whole file. -EBUSY: somebody else has it open (a writer excludes everybody,
 * readers exclude writers); -EINVAL: neither file nor block device, or offset
 * beyond its end.
 */
UEXT4_MUST_CHECK int bdev_file_open(const char *path,
		const struct bdev_file_opts *opts, struct bdev **ret_dev);

/*
 * A device in RAM of @size bytes: the caller's memory @mem, which must outlive
 * it, or, with NULL, zeroed memory of its own. BDEV_OPEN_RDONLY in @flags.
 */
UEXT4_MUST_CHECK int bdev_mem_open(void *mem, uint64_t size, uint32_t flags,
		struct bdev **ret_dev);

/*
 * A device implemented by the library's user. @udev is copied, what its ctx
 * points to must outlive the device. @opts as for files; BDEV_OPEN_DIRECT and
 * locking mean nothing here.
 */
UEXT4_MUST_CHECK int bdev_user_open(const struct uext4_dev *udev,
		const struct bdev_file_opts *opts, struct bdev **ret_dev);

/*
 * Free @dev, NULL is fine. Does not flush: who needs durability called
 * bdev_flush(). Every request must be done. Errors are close(2)'s.
 */
UEXT4_MUST_CHECK int bdev_close(struct bdev *dev);

/* ---- channels: a road of one's own to the same device ----
 *
 * A channel is a bdev of the same geometry over @dev, which it must not outlive.
 * It has a ring, or a few threads, of its own: what is submitted there completes
 * in bdev_poll() of the channel, on whatever thread calls it, at any time (any
 * number of threads may poll and submit at once). Requests that its road cannot
 * carry (flush, zero, discard, unaligned memory) take that of @dev, inside
 * submit. On an asynchronous device without roads of its own (the emulator) a
 * channel passes on to the device, and done() may come from any thread that
 * polls that.
 *
 * Rule     (V7) What is in flight comes to its end without the thread that
 *               submitted it, once somebody polls: nothing waits for that
 *               thread to enter the kernel again.
 */
enum bdev_chan_kind {
	BDEV_CHAN_AUTO,   /* INLINE where I/O is a copy in memory (RAM), else
			     URING if allowed, else POOL */
	BDEV_CHAN_URING,  /* -EOPNOTSUPP: not a file, or io_uring refused */
	BDEV_CHAN_POOL,   /* threads that call @dev; any device */
	BDEV_CHAN_INLINE, /* pass on; any device */
};

struct bdev_chan_opts {
	enum bdev_chan_kind kind;
	unsigned depth; /* requests in flight at most; more are held back */
	int eventfd;    /* written when a request may have completed; -1 */
};

UEXT4_MUST_CHECK int bdev_chan_open(struct bdev *dev,
		const struct bdev_chan_opts *opts, struct bdev **ret_chan);
/* Buffers that requests with .fixed may use; replaces the earlier ones. Nothing
 * is in flight. 0 as well where the channel has no use for them. */
UEXT4_MUST_CHECK int bdev_chan_buffers(
		struct bdev *chan, const struct iovec *iov, unsigned n);
/* Hand on what was submitted (bdev_poll() does so too). */
void bdev_kick(struct bdev *dev);
/* Threads that sleep in bdev_poll() return. Is kept for the next one that would
 * sleep there, so that a wake between its last look and its poll is not lost. */
void bdev_wake(struct bdev *dev);

/* ---- asynchronous requests ---- */

/* Hand over @n requests. Never fails: what is refused is done() with why. */
void bdev_submit(struct bdev *dev, struct bdev_io **ios, unsigned int n);

/*
 * Complete at least @min requests in flight, or give up after @timeout_ms (-1:
 * never). Returns how many, 0 when nothing is in flight.
 */
int bdev_poll(struct bdev *dev, unsigned int min, int timeout_ms);

/* Submit a copy of @io and wait for it; done and what follows is not used. */
UEXT4_MUST_CHECK int bdev_run(struct bdev *dev, const struct bdev_io *io);

/* For backends: answer @io. */
static inline void bdev_io_done(struct bdev_io *io, int result)
{
	io->result = result;
	io->done(io);
}

/* ---- synchronous helpers: 0 or -errno; @tag is a BDEV_TAG() word ---- */

UEXT4_MUST_CHECK int bdev_read(struct bdev *dev, uint64_t pos, void *buf,
		size_t len, uint32_t flags, uint64_t tag);
UEXT4_MUST_CHECK int bdev_write(struct bdev *dev, uint64_t pos, const void *buf,
		size_t len, uint32_t flags, uint64_t tag);
UEXT4_MUST_CHECK int bdev_readv(struct bdev *dev, uint64_t pos,
		const struct iovec *iov, int iovcnt, uint32_t flags,
		uint64_t tag);
UEXT4_MUST_CHECK int bdev_writev(struct bdev *dev, uint64_t pos,
		const struct iovec *iov, int iovcnt, uint32_t flags,
		uint64_t tag);
/* Everything written and completed before is durable on return. */
UEXT4_MUST_CHECK int bdev_flush(struct bdev *dev, uint64_t tag);
/* A hint: 0 as well where the device cannot discard. */
UEXT4_MUST_CHECK int bdev_discard(
		struct bdev *dev, uint64_t pos, uint64_t len, uint64_t tag);
/* Does a discard free space, as far as is known by now? */
static inline bool bdev_can_discard(struct bdev *dev)
{
	if (dev->geo.read_only || !dev->geo.discard)
		return false;
	return !dev->ops->can_discard || dev->ops->can_discard(dev);
}
UEXT4_MUST_CHECK int bdev_zero(struct bdev *dev, uint64_t pos, uint64_t len,
		uint32_t flags, uint64_t tag);

/*
 * The memory behind [@pos, @pos + @len), valid until close; stores to it are
 * writes (V8). -EOPNOTSUPP where the device is not memory, -EROFS is not
 * checked.
 */
UEXT4_MUST_CHECK int bdev_map(
		struct bdev *dev, uint64_t pos, uint64_t len, void **ret_addr);
/* Called after the bytes of a map were stored to, for recorders. */
static inline void bdev_stored(
		struct bdev *dev, uint64_t pos, uint64_t len, uint64_t tag)
{
	if (dev->ops->stored)
		dev->ops->stored(dev, pos, len, tag);
}

static inline uint64_t bdev_size(const struct bdev *dev)
{
	return dev->geo.size;
}

/*
 * From now on past the caches of the host: reads show what other hosts wrote,
 * and no write of ours is done later by the host alone. Before anybody else
 * uses @dev. -EOPNOTSUPP where that cannot be (alignment, no such thing).
 */
UEXT4_MUST_CHECK int bdev_set_direct(struct bdev *dev);

/*
 * From now on reads, and large writes of data with BDEV_F_HUGE, are copied through
 * a mapping, where that is faster: a file in tmpfs or ramfs, without O_DIRECT. The
 * process's handler of SIGBUS has to call mapcopy_fault(). One thread, before
 * others use @dev or while they do. -EOPNOTSUPP elsewhere, -ENOMEM; nothing is
 * lost then. (The handler of a user of the library calls uext4_sigbus().)
 */
UEXT4_MUST_CHECK int bdev_map_copies(struct bdev *dev);

/* "disk.img"; "uext4" if it has no name. */
static inline const char *bdev_name(const struct bdev *dev)
{
	return dev->name[0] != '\0' ? dev->name : "uext4";
}

static inline bool bdev_is_rdonly(const struct bdev *dev)
{
	return dev->geo.read_only;
}

#endif /* UEXT4_BDEV_BDEV_H */
