/* SPDX-License-Identifier: MIT */
/*
 * Reads: by DAX or direct (iolock shared while they are started, so that
 * nothing is freed under them) or through the page cache (no iolock: the
 * cache's own locks).
 *
 * Access times follow relatime: updated when older than mtime or ctime, or than
 * a day.
 */
#include "bdev/bdev.h"
#include "fs/attr.h"
#include "fs/dio_req.h"
#include "fs/file.h"
#include "fs/fs.h"

/* One run of written blocks that all of it lies in, if that is known or can be
 * found at once. */
static bool read_find_hint(struct dio_req *r)
{
	struct inode *inode = r->inode;
	uint32_t bits = inode->file.blkbits;
	uint64_t at = r->pos >> bits;
	uint64_t end = ((r->dio.end - 1) >> bits) + 1;
	struct dio_hint *h = r->hint;

	if (h == NULL || end > (uint64_t)UINT32_MAX + 1)
		return false;
	if (dio_use_hint(r, at, end))
		return true;
	h->seq = atomic_load(&inode->map.seq);
	h->run.type = MAP_HOLE;
	return map_find(&inode->map, (lblk_t)at, UINT32_MAX, &h->run) == 0 &&
			dio_use_hint(r, at, end);
}

static int read_try(struct dio_req *r)
{
	struct inode *inode = r->inode;
	uint32_t flags = r->rwf & UEXT4_RW_NOWAIT ? IOMAP_DIO_NOWAIT : 0;
	void (*data_done)(struct iomap_dio * dio) = r->dio.data_done;
	struct bdev *dev = r->dio.dev;
	int ret;

	ret = iomap_dio_init(
			&r->dio, &inode->file, r->pos, &r->it, false, flags);
	if (ret < 0)
		return ret;
	if (r->dio.pos == r->dio.end)
		return DIO_ENDED; /* at or behind the end of the file */
	r->dio.dev = dev;
	r->dio.fixed = r->fixed;
	r->dio.data_done = data_done;
	if (read_find_hint(r))
		dio_give_hint(r, &r->hint->run);
	dio_req_fly(r);
	ret = iomap_dio_start(&r->dio);
	if (ret < 0)
		dio_req_land(r);
	return ret;
}

int dio_read_start(struct dio_req *r)
{
	uint32_t sector = r->inode->file.dev->geo.sector;
	int ret;

	if ((r->pos | r->it.count) & (sector - 1))
		return -EINVAL;
	r->exclusive = false;
	ret = dio_req_lock(r);
	if (ret < 0)
		return ret;
	ret = read_try(r);
	dio_req_unlock(r);
	return ret;
}

static ssize_t dio_read_iter(struct uext4_file *file, uint64_t pos,
		struct iov_iter *it, unsigned rwf)
{
	struct dio_req r;
	int ret;

	dio_req_init(&r, file, pos, it, false, rwf);
	r.dio.dev = file->inode->file.dev;
	r.dio.data_done = dio_no_callback;
	ret = dio_read_start(&r);
	if (ret < 0)
		return ret;
	return ret == DIO_UNDER_WAY ? dio_req_wait(&r) : r.result;
}

bool file_reads_directly(const struct uext4_file *file)
{
	return (file->flags & UEXT4_O_DIRECT) && !file->inode->file.dax &&
			!(inode_flags(file->inode) &
					(DINODE_F_INLINE_DATA |
							DINODE_F_VERITY));
}

ssize_t file_read_iter(struct uext4_file *file, uint64_t pos,
		struct iov_iter *it, unsigned rwf)
{
	struct inode *inode = file->inode;
	ssize_t done;
	int ret;

	ret = fs_may_read(file->fs);
	if (ret < 0)
		return ret;
	if (inode_flags(inode) & DINODE_F_ENCRYPT)
		return -EOPNOTSUPP;
	if (it->count == 0)
		return 0;
	if (inode->file.dax) /* W2 */
		done = dax_read_iter(file, pos, it, rwf);
	else if (file_reads_directly(file))
		done = dio_read_iter(file, pos, it, rwf);
	else if (rwf & UEXT4_RW_NOWAIT)
		return -EOPNOTSUPP;
	else
		done = iomap_buffered_read(&inode->file, pos, it);
	/* A time stamp may have to wait for the journal. */
	if (done >= 0 && !(file->flags & UEXT4_O_NOATIME) &&
			!(rwf & UEXT4_RW_NOWAIT))
		inode_accessed(inode);
	return done;
}
