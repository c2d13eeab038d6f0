/* SPDX-License-Identifier: MIT */
/*
 * Reads: by DAX or direct (iolock shared, so that nothing is freed under
 * them) or through the page cache (no iolock: the cache's own locks).
 *
 * Access times follow relatime: updated when older than mtime or ctime, or than
 * a day.
 */
#include "bdev/bdev.h"
#include "fs/attr.h"
#include "fs/file.h"
#include "fs/fs.h"
#include "fs/write.h"

static ssize_t dio_read_iter(struct uext4_file *file, uint64_t pos,
		struct iov_iter *it, unsigned rwf)
{
	struct inode *inode = file->inode;
	uint32_t sector = inode->file.dev->geo.sector;
	struct iomap_dio_result res;
	uint32_t flags = 0;
	ssize_t done;

	if ((pos | it->count) & (sector - 1))
		return -EINVAL;
	if (rwf & UEXT4_RW_NOWAIT) {
		if (!rwsem_read_trylock(&inode->rwsem))
			return -EAGAIN;
		flags = IOMAP_DIO_NOWAIT;
	} else {
		rwsem_read_lock(&inode->rwsem);
	}
	done = iomap_dio_rw(&inode->file, pos, it, false, NULL, flags, &res);
	rwsem_read_unlock(&inode->rwsem);
	return done;
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
	else if ((file->flags & UEXT4_O_DIRECT) &&
			!(inode_flags(inode) &
					(DINODE_F_INLINE_DATA |
							DINODE_F_VERITY)))
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
