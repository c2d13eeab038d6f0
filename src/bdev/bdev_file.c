/* SPDX-License-Identifier: MIT */
/*
 * A regular file or a block device by preadv and pwritev.
 *
 * Everything completes inside submit. With O_DIRECT what is not aligned goes
 * through bounce.c; a file or a part of it that does not begin and end at
 * aligned positions is used without O_DIRECT, so that no write ever reaches
 * beyond the part (F1).
 *
 * Rules    (F1) No byte outside [base, base + geo.size) is written.
 *          (F2) What the host cannot do (FUA, discard, zeroing) is found out
 *               by trying, remembered, and replaced by what it can.
 *          (F3) A read beyond the end of a file that shrank is -EIO.
 *          (F4) A flush covers stores to the map as well as writes: Linux keeps
 *               track of the dirty pages of shared mappings since 2.6.19, so
 *               that fsync and fdatasync write them; msync(MS_SYNC) itself is
 *               nothing but such a call (mm/msync.c).
 *          (F5) The map and system calls see the same page cache, so only
 *               without O_DIRECT is there a map.
 *
 * Locks    map_lock (rank BDEV): the one mmap(). Else none: the descriptor is
 *          shared, the flags are atomic.
 */
#include "bdev/bdev_file.h"

#include <assert.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/stat.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "base/iter.h"
#include "base/lock.h"
#include "bdev/bdev.h"
#include "bdev/bounce.h"
#include "bdev/mapcopy.h"

#define FILE_IOVS  64 /* a system call takes at most so many pieces */
#define ZERO_BYTES 4096u

struct bdev_file {
	struct bdev dev;
	int fd;             /* [const] */
	bool is_blk;        /* [const] */
	uint64_t base;      /* [const] start inside the file */
	uint64_t file_size; /* [const] at open */
	struct bounce bounce;
	/* [atomic] each turns false once and stays so (F2) */
	atomic_bool can_dsync;
	atomic_bool can_punch;
	atomic_bool can_zero;
	struct mutex map_lock;
	_Atomic(uint8_t *) map; /* the device's first byte; NULL until asked */
	void *map_start;        /* [map_lock] of whole pages */
	size_t map_len;         /* [map_lock] */
	_Atomic(struct mapcopy *) copies; /* or NULL; set once */
};

static struct bdev_file *to_file(struct bdev *dev)
{
	return container_of(dev, struct bdev_file, dev);
}

static bool is_unsupported(int err)
{
	return err == EOPNOTSUPP || err == ENOSYS || err == ENOTTY ||
			err == EINVAL;
}

static int file_sync(struct bdev_file *f)
{
	while (fdatasync(f->fd) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

/* ---- read and write ---- */

static ssize_t file_call(struct bdev_file *f, enum bdev_op op, uint64_t pos,
		const struct iovec *iov, int n, uint32_t flags)
{
	if (flags & BDEV_F_FUA)
		return pwritev2(f->fd, iov, n, (off_t)pos, RWF_DSYNC);
	if (n == 1) /* nothing for the kernel to copy in first */
		return op == BDEV_READ
				? pread(f->fd, iov->iov_base, iov->iov_len,
						  (off_t)pos)
				: pwrite(f->fd, iov->iov_base, iov->iov_len,
						  (off_t)pos);
	return op == BDEV_READ ? preadv(f->fd, iov, n, (off_t)pos)
			       : pwritev(f->fd, iov, n, (off_t)pos);
}

/* All that @it has left, at the file position @pos. */
static int file_iter(struct bdev_file *f, enum bdev_op op, uint64_t pos,
		struct iov_iter *it, uint32_t flags)
{
	struct iovec iov[FILE_IOVS];
	size_t bytes;
	ssize_t n;
	int niov;

	while (it->count > 0) {
		niov = iov_iter_get(it, it->count, iov, FILE_IOVS, &bytes);
		n = file_call(f, op, pos, iov, niov, flags);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO; /* F3 */
		iov_iter_advance(it, (size_t)n);
		pos += (uint64_t)n;
	}
	return 0;
}

static int file_raw(void *ctx, enum bdev_op op, uint64_t pos, void *buf,
		size_t len, uint32_t flags)
{
	struct iovec iov = { .iov_base = buf, .iov_len = len };
	struct iov_iter it;

	iov_iter_init(&it, &iov, 1);
	return file_iter(ctx, op, pos, &it, flags);
}

/* What can be copied through a mapping. Bytes done. */
static size_t file_by_map(struct mapcopy *mc, enum bdev_op op, uint64_t pos,
		struct iov_iter *it)
{
	struct iovec iov;
	size_t done = 0;
	size_t bytes;
	size_t n;

	do {
		(void)iov_iter_get(it, it->count, &iov, 1, &bytes);
		n = op == BDEV_READ
				? mapcopy_read(mc, pos + done, iov.iov_base,
						  iov.iov_len)
				: mapcopy_write(mc, pos + done, iov.iov_base,
						  iov.iov_len);
		iov_iter_advance(it, n);
		done += n;
	} while (n == bytes && it->count > 0);
	return done;
}

static bool may_map(const struct bdev_io *io, uint32_t flags)
{
	return io->op == BDEV_READ ||
			((io->flags & BDEV_F_HUGE) && flags == 0 &&
					bdev_tag_kind(io->tag) ==
							BDEV_TAG_DATA); /* MC4 */
}

static int file_rw(
		struct bdev_file *f, const struct bdev_io *io, uint32_t flags)
{
	struct mapcopy *mc =
			atomic_load_explicit(&f->copies, memory_order_acquire);
	uint64_t pos = f->base + io->pos;
	struct iov_iter it;

	iov_iter_init(&it, io->iov, io->iovcnt);
	if (f->dev.geo.direct &&
			bounce_is_needed(&f->bounce, pos, io->iov, io->iovcnt))
		return bounce_run(&f->bounce, io->op, pos, &it, io->len, flags);
	if (mc && may_map(io, flags))
		pos += file_by_map(mc, io->op, pos, &it);
	return file_iter(f, io->op, pos, &it, flags);
}

static int file_write(struct bdev_file *f, const struct bdev_io *io)
{
	int ret;

	if (!(io->flags & BDEV_F_FUA))
		return file_rw(f, io, 0);
	if (atomic_load(&f->can_dsync)) {
		ret = file_rw(f, io, BDEV_F_FUA);
		if (ret != -EOPNOTSUPP && ret != -ENOSYS)
			return ret;
		atomic_store(&f->can_dsync, false);
	}
	ret = file_rw(f, io, 0);
	return ret < 0 ? ret : file_sync(f);
}

/* ---- discard and zero ---- */

static int file_fallocate(
		struct bdev_file *f, int mode, uint64_t pos, uint64_t len)
{
	while (fallocate(f->fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)pos,
			       (off_t)len) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

static int file_punch(struct bdev_file *f, uint64_t pos, uint64_t len)
{
	struct mapcopy *mc = atomic_load(&f->copies);
	int ret;

	if (mc)
		mapcopy_punched(mc, pos, len);
	ret = file_fallocate(f, FALLOC_FL_PUNCH_HOLE, pos, len);
	if (mc)
		mapcopy_punched(mc, pos, len);
	return ret;
}

static int blk_range(struct bdev_file *f, unsigned long request, uint64_t pos,
		uint64_t len)
{
	uint64_t range[2] = { pos, len };

	while (ioctl(f->fd, request, range) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

static int file_discard(struct bdev_file *f, const struct bdev_io *io)
{
	uint64_t unit = f->is_blk ? f->dev.geo.sector : 1;
	uint64_t pos = round_up_u64(f->base + io->pos, unit);
	uint64_t end = round_down_u64(f->base + io->pos + io->len, unit);
	int ret;

	if (pos >= end || !atomic_load(&f->can_punch))
		return 0;
	if (f->is_blk)
		ret = blk_range(f, BLKDISCARD, pos, end - pos);
	else
		ret = file_punch(f, pos, end - pos);
	if (ret < 0 && is_unsupported(-ret)) {
		atomic_store(&f->can_punch, false);
		ret = 0;
	}
	return ret;
}

static int zero_by_writing(struct bdev_file *f, uint64_t pos, uint64_t len)
{
	static const _Alignas(4096) uint8_t zeroes[ZERO_BYTES];
	union {
		const void *in;
		void *out;
	} u = { .in = zeroes };
	struct iovec iov[FILE_IOVS];
	struct iov_iter it;
	int ret = 0;
	int i;

	if (f->dev.geo.direct &&
			(pos % f->bounce.align != 0 ||
					len % f->bounce.align != 0))
		return bounce_run(&f->bounce, BDEV_WRITE, pos, NULL, len, 0);
	for (i = 0; i < FILE_IOVS; i++)
		iov[i] = (struct iovec){ .iov_base = u.out,
			.iov_len = ZERO_BYTES };
	while (len > 0 && ret == 0) {
		size_t n = min_u64(len, sizeof(zeroes) * FILE_IOVS);

		iov_iter_init(&it, iov, FILE_IOVS);
		iov_iter_truncate(&it, n);
		ret = file_iter(f, BDEV_WRITE, pos, &it, 0);
		pos += n;
		len -= n;
	}
	return ret;
}

/* Zeroing by the host; -EOPNOTSUPP when it has to be written. */
static int zero_by_host(
		struct bdev_file *f, uint64_t pos, uint64_t len, uint32_t flags)
{
	int ret;

	if (!atomic_load(&f->can_zero))
		return -EOPNOTSUPP;
	if (f->is_blk) {
		if (pos % f->dev.geo.sector != 0 ||
				len % f->dev.geo.sector != 0)
			return -EOPNOTSUPP;
		ret = blk_range(f, BLKZEROOUT, pos, len);
	} else if (flags & BDEV_F_NOUNMAP) {
		ret = file_fallocate(f, FALLOC_FL_ZERO_RANGE, pos, len);
		if (ret < 0 && is_unsupported(-ret))
			return -EOPNOTSUPP; /* punching may still work */
	} else {
		ret = file_punch(f, pos, len);
	}
	if (ret < 0 && is_unsupported(-ret)) {
		atomic_store(&f->can_zero, false);
		return -EOPNOTSUPP;
	}
	return ret;
}

static int file_zero(struct bdev_file *f, const struct bdev_io *io)
{
	uint64_t pos = f->base + io->pos;
	int ret;

	ret = zero_by_host(f, pos, io->len, io->flags);
	if (ret == -EOPNOTSUPP)
		ret = zero_by_writing(f, pos, io->len);
	if (ret == 0 && (io->flags & BDEV_F_FUA))
		ret = file_sync(f);
	return ret;
}

/* ---- memory ---- */

/* Map all of it, whole pages around it included: nobody stores to those. */
static int file_map_all_locked(struct bdev_file *f)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t start = round_down_u64(f->base, page);
	uint64_t len = f->base + f->dev.geo.size - start;
	int prot = PROT_READ | (f->dev.geo.read_only ? 0 : PROT_WRITE);
	void *at;

	if (f->dev.geo.direct || len == 0 || len > PTRDIFF_MAX)
		return -EOPNOTSUPP; /* F5 */
	at = mmap(NULL, len, prot, MAP_SHARED, f->fd, (off_t)start);
	if (at == MAP_FAILED)
		return errno == ENOMEM ? -ENOMEM : -EOPNOTSUPP;
	f->map_start = at;
	f->map_len = len;
	atomic_store(&f->map, (uint8_t *)at + (f->base - start));
	return 0;
}

static int file_map(
		struct bdev *dev, uint64_t pos, uint64_t len, void **ret_addr)
{
	struct bdev_file *f = to_file(dev);
	int ret = 0;

	(void)len;
	if (!atomic_load_explicit(&f->map, memory_order_acquire)) {
		mutex_lock(&f->map_lock);
		if (!atomic_load(&f->map))
			ret = file_map_all_locked(f);
		mutex_unlock(&f->map_lock);
	}
	if (ret == 0)
		*ret_addr = atomic_load_explicit(
					    &f->map, memory_order_acquire) +
				pos;
	return ret;
}

/* ---- the device ---- */

static int file_run(struct bdev_file *f, const struct bdev_io *io)
{
	switch (io->op) {
	case BDEV_READ:
		return file_rw(f, io, 0);
	case BDEV_WRITE:
		return file_write(f, io);
	case BDEV_FLUSH:
		/* Nothing was written through a read-only descriptor. */
		return f->dev.geo.read_only ? 0 : file_sync(f);
	case BDEV_DISCARD:
		return file_discard(f, io);
	case BDEV_ZERO:
		return file_zero(f, io);
	default:
		return -EINVAL;
	}
}

static void file_submit(struct bdev *dev, struct bdev_io **ios, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		bdev_io_done(ios[i], file_run(to_file(dev), ios[i]));
}

static int file_close(struct bdev *dev)
{
	struct bdev_file *f = to_file(dev);
	int ret;

	if (f->map_start)
		munmap(f->map_start, f->map_len);
	mapcopy_close(atomic_load(&f->copies));
	ret = close(f->fd) < 0 ? -errno : 0;
	bounce_fini(&f->bounce);
	mutex_fini(&f->map_lock);
	free(f);
	return ret;
}

static bool file_can_discard(struct bdev *dev)
{
	return atomic_load(&to_file(dev)->can_punch);
}

static const struct bdev_ops file_ops = {
	.name = "file",
	.submit = file_submit,
	.map = file_map,
	.can_discard = file_can_discard,
	.close = file_close,
};

/* ---- for channels ---- */

static const struct bdev_file *to_const_file(const struct bdev *dev)
{
	assert(bdev_is_file(dev));
	return (const struct bdev_file *)dev; /* dev is its first member */
}

bool bdev_is_file(const struct bdev *dev)
{
	return dev->ops == &file_ops;
}

int bdev_file_fd(const struct bdev *dev)
{
	return to_const_file(dev)->fd;
}

uint64_t bdev_file_base(const struct bdev *dev)
{
	return to_const_file(dev)->base;
}

bool bdev_file_is_plain(const struct bdev *dev, const struct bdev_io *io)
{
	const struct bdev_file *f = to_const_file(dev);

	if (io->op != BDEV_READ && io->op != BDEV_WRITE)
		return false;
	if (io->op == BDEV_WRITE && (io->flags & BDEV_F_FUA) &&
			!atomic_load_explicit(
					&f->can_dsync, memory_order_relaxed))
		return false;
	return !f->dev.geo.direct ||
			!bounce_is_needed(&f->bounce, f->base + io->pos,
					io->iov, io->iovcnt);
}

/* ---- opening ---- */

/* Open @path as asked; *direct becomes false when O_DIRECT is refused. */
static int open_fd(const char *path, const struct bdev_file_opts *opts,
		bool *direct, bool *ret_is_blk, int *ret_fd)
{
	/* O_NONBLOCK: a FIFO must be refused, not waited for. */
	int flags = O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
	bool is_rdonly = opts->flags & BDEV_OPEN_RDONLY;
	struct stat st;
	int fd;

	flags |= is_rdonly ? O_RDONLY : O_RDWR;
	if (stat(path, &st) < 0)
		return -errno;
	/* The kernel keeps a mounted device from being opened so. */
	if (S_ISBLK(st.st_mode) && !is_rdonly &&
			!(opts->flags & BDEV_OPEN_NOLOCK))
		flags |= O_EXCL;
	fd = open(path, flags | (*direct ? O_DIRECT : 0));
	if (fd < 0 && errno == EINVAL && *direct) {
		*direct = false;
		fd = open(path, flags);
	}
	if (fd < 0)
		return -errno;
	/* What was opened counts, not what stood there before. */
	if (fstat(fd, &st) < 0 ||
			!(S_ISREG(st.st_mode) || S_ISBLK(st.st_mode))) {
		close(fd);
		return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	}
	*ret_is_blk = S_ISBLK(st.st_mode);
	*ret_fd = fd;
	return 0;
}

static int lock_fd(int fd, uint32_t flags)
{
	int how = flags & BDEV_OPEN_RDONLY ? LOCK_SH : LOCK_EX;

	if (flags & BDEV_OPEN_NOLOCK)
		return 0;
	while (flock(fd, how | LOCK_NB) < 0) {
		if (errno == EWOULDBLOCK)
			return -EBUSY;
		if (errno == ENOLCK || is_unsupported(errno))
			return 0; /* a host file system without locks */
		if (errno != EINTR)
			return -errno;
	}
	return 0;
}

/* What O_DIRECT asks of a regular file; 4096 fits all where nobody says. */
static void ask_dio_align(int fd, struct bdev_geo *geo)
{
	geo->dio_align = 4096;
	geo->mem_align = 4096;
#ifdef STATX_DIOALIGN
	struct statx stx = { 0 };

	if (syscall(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) <
					0 ||
			!(stx.stx_mask & STATX_DIOALIGN) ||
			!is_pow2_u64(stx.stx_dio_offset_align) ||
			!is_pow2_u64(stx.stx_dio_mem_align))
		return;
	geo->dio_align = max_of(stx.stx_dio_offset_align, 512);
	geo->mem_align = stx.stx_dio_mem_align;
#endif
}

static int ask_geo(struct bdev_file *f, bool direct)
{
	struct bdev_geo *geo = &f->dev.geo;
	unsigned int phys = 4096;
	int sector = 512;
	struct stat st;

	if (f->is_blk) {
		if (ioctl(f->fd, BLKGETSIZE64, &f->file_size) < 0 ||
				ioctl(f->fd, BLKSSZGET, &sector) < 0)
			return -errno;
		if (ioctl(f->fd, BLKPBSZGET, &phys) < 0)
			phys = (unsigned int)sector;
		geo->dio_align = (uint32_t)sector;
		geo->mem_align = (uint32_t)sector;
	} else {
		if (fstat(f->fd, &st) < 0)
			return -errno;
		f->file_size = (uint64_t)st.st_size;
		ask_dio_align(f->fd, geo);
	}
	geo->sector = (uint32_t)sector;
	geo->phys = phys;
	geo->direct = direct;
	geo->fua = true;
	geo->volatile_cache = true;
	geo->discard = true;
	return 0;
}

/* The part that @opts asks for, and whether O_DIRECT can serve it (F1). */
static int set_range(struct bdev_file *f, const struct bdev_file_opts *opts)
{
	struct bdev_geo *geo = &f->dev.geo;

	if (opts->offset > f->file_size)
		return -EINVAL;
	f->base = opts->offset;
	geo->size = f->file_size - opts->offset;
	if (opts->limit != 0)
		geo->size = min_u64(geo->size, opts->limit);
	geo->read_only = opts->flags & BDEV_OPEN_RDONLY;
	if (geo->direct &&
			(f->base % geo->dio_align != 0 ||
					geo->size % geo->dio_align != 0)) {
		int flags = fcntl(f->fd, F_GETFL);

		if (flags < 0 || fcntl(f->fd, F_SETFL, flags & ~O_DIRECT) < 0)
			return -errno;
		geo->direct = false;
	}
	if (!geo->direct) {
		geo->dio_align = 1;
		geo->mem_align = 1;
	}
	return 0;
}

static void start_bounce(struct bdev_file *f)
{
	bounce_init(&f->bounce, f->dev.geo.dio_align, f->dev.geo.mem_align);
	f->bounce.rw = file_raw;
	f->bounce.ctx = f;
}

int bdev_set_direct(struct bdev *dev)
{
	struct bdev_file *f = to_file(dev);
	struct bdev_geo was = dev->geo;
	int flags;
	int ret;

	if (!bdev_is_file(dev) || atomic_load(&f->map) ||
			atomic_load(&f->copies))
		return -EOPNOTSUPP;
	if (dev->geo.direct)
		return 0;
	ret = ask_geo(f, true);
	if (ret == 0 &&
			(f->base % dev->geo.dio_align != 0 ||
					dev->geo.size % dev->geo.dio_align))
		ret = -EOPNOTSUPP;
	flags = fcntl(f->fd, F_GETFL);
	if (ret == 0 &&
			(flags < 0 ||
					fcntl(f->fd, F_SETFL,
							flags | O_DIRECT) < 0))
		ret = -EOPNOTSUPP;
	if (ret < 0) {
		dev->geo = was;
		return ret;
	}
	bounce_fini(&f->bounce);
	start_bounce(f);
	return 0;
}

int bdev_map_copies(struct bdev *dev)
{
	struct bdev_file *f = to_file(dev);
	struct mapcopy *mc;
	int ret;

	if (!bdev_is_file(dev) || f->is_blk || dev->geo.direct)
		return -EOPNOTSUPP;
	if (atomic_load(&f->copies))
		return 0;
	ret = mapcopy_open(f->fd, f->file_size, dev->geo.read_only, &mc);
	if (ret == 0)
		atomic_store_explicit(&f->copies, mc, memory_order_release);
	return ret;
}

int bdev_file_open(const char *path, const struct bdev_file_opts *opts,
		struct bdev **ret_dev)
{
	static const struct bdev_file_opts none;
	struct bdev_file *f;
	bool direct;
	int ret;

	if (!opts)
		opts = &none;
	direct = opts->flags & BDEV_OPEN_DIRECT;
	f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	ret = open_fd(path, opts, &direct, &f->is_blk, &f->fd);
	if (ret < 0)
		goto out_free;
	ret = lock_fd(f->fd, opts->flags);
	if (ret < 0)
		goto out_close;
	ret = ask_geo(f, direct);
	if (ret < 0)
		goto out_close;
	ret = set_range(f, opts);
	if (ret < 0)
		goto out_close;

	(void)snprintf(f->dev.name, sizeof(f->dev.name), "%s",
			strrchr(path, '/') ? strrchr(path, '/') + 1 : path);
	start_bounce(f);
	atomic_init(&f->can_dsync, true);
	atomic_init(&f->can_punch, true);
	atomic_init(&f->can_zero, true);
	mutex_init(&f->map_lock, "bdev_file map", LOCK_RANK_BDEV);
	f->dev.ops = &file_ops;
	*ret_dev = &f->dev;
	return 0;
out_close:
	close(f->fd);
out_free:
	free(f);
	return ret;
}
