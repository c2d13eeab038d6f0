/* SPDX-License-Identifier: MIT */
/*
 * The DAX path of a file (W2): like the direct one, but any position and length
 * is served, and all is done when the call returns.
 *
 *	shared iolock, write_checks(), iomap_dax_rw() of an overwrite; if it is
 *	none, or more must be stripped or chosen: all again under the exclusive
 *	one, with the tail of the EOF block zeroed first (W17)
 *
 * Rules    (DX1) to (DX6) iomap/dax.c, (FX1) to (FX3) fs_dax.c. There is no
 *          rest for the cache, and no surplus beyond the end to trim.
 */
#include "alloc/alloc.h"
#include "fs/file.h"
#include "fs/fs.h"
#include "fs/write.h"
#include "journal/journal.h"

#define NOSPC_RETRIES 3

/* Blocks whose freeing is not durable yet may be what is missing (M5). */
static ssize_t dax_write_retry(
		struct inode *inode, uint64_t pos, struct iov_iter *it)
{
	struct itable *table = inode->it;
	size_t total = 0;
	ssize_t n;
	int tries;

	for (tries = 0;; tries++) {
		n = iomap_dax_rw(&inode->file, pos + total, it, true, 0);
		if (n > 0)
			total += (size_t)n;
		if (it->count == 0 || (n < 0 && n != -ENOSPC) ||
				tries == NOSPC_RETRIES ||
				alloc_pending(table->alloc) == 0 ||
				journal_sync(table->journal) < 0)
			break;
	}
	return total > 0 ? (ssize_t)total : n;
}

static ssize_t dax_write_exclusive(
		struct inode *inode, uint64_t pos, struct iov_iter *it)
{
	uint64_t end = pos + it->count;
	ssize_t done;
	int ret;

	rwsem_assert_write_held(&inode->rwsem);
	iomap_dio_drain(&inode->file);
	/* What is written now may end in the block that isize ends in. */
	ret = zero_eof_tail(inode, end);
	if (ret < 0)
		return ret;
	done = dax_write_retry(inode, pos, it);
	/* Bytes may stand behind isize now, in its own block. */
	if (it->count > 0 && end > inode_size(inode))
		atomic_fetch_and(&inode->state, ~INODE_S_EOF_CLEAN);
	return done;
}

/* All of one attempt with the iolock held. -EDEADLK: again, exclusively. */
static ssize_t dax_write_try(struct uext4_file *file, uint64_t pos,
		struct iov_iter *it, unsigned rwf, bool exclusive)
{
	struct inode *inode = file->inode;
	ssize_t done;
	int ret;

	if (write_is_append(file, rwf)) {
		if (!exclusive)
			return -EDEADLK;
		pos = inode_size(inode); /* W12 */
	}
	ret = write_checks(file, pos, it, rwf, exclusive);
	if (ret <= 0)
		return ret;
	if (exclusive)
		return dax_write_exclusive(inode, pos, it);
	if (pos + it->count > inode_size(inode)) /* D-8, FX1 */
		return -EDEADLK;
	done = iomap_dax_rw(
			&inode->file, pos, it, true, IOMAP_DIO_OVERWRITE_ONLY);
	return done == -EAGAIN ? -EDEADLK : done;
}

/* An overwrite under the shared lock, or -EDEADLK. */
static ssize_t dax_write_shared(struct uext4_file *file, uint64_t pos,
		struct iov_iter *it, unsigned rwf)
{
	struct rwsem *lock = &file->inode->rwsem;
	ssize_t done;

	if (!(rwf & UEXT4_RW_NOWAIT))
		rwsem_read_lock(lock);
	else if (!rwsem_read_trylock(lock))
		return -EAGAIN;
	done = dax_write_try(file, pos, it, rwf, false);
	rwsem_read_unlock(lock);
	return done;
}

ssize_t dax_write_iter(struct uext4_file *file, uint64_t pos,
		struct iov_iter *it, unsigned rwf)
{
	struct inode *inode = file->inode;
	bool nowait = (rwf & UEXT4_RW_NOWAIT) != 0;
	ssize_t done = -EDEADLK;

	/* D-1: what looks as if it needed the exclusive lock takes it at once;
	 * NOWAIT never gets it (D-4). */
	if (nowait ||
			(!write_is_append(file, rwf) &&
					pos + it->count <= inode_size(inode)))
		done = dax_write_shared(file, pos, it, rwf);
	if (done != -EDEADLK)
		return done;
	if (nowait)
		return -EAGAIN;
	rwsem_write_lock(&inode->rwsem);
	done = dax_write_try(file, pos, it, rwf, true);
	rwsem_write_unlock(&inode->rwsem);
	return done;
}

ssize_t dax_read_iter(struct uext4_file *file, uint64_t pos,
		struct iov_iter *it, unsigned rwf)
{
	struct inode *inode = file->inode;
	ssize_t done;

	if (!(rwf & UEXT4_RW_NOWAIT))
		rwsem_read_lock(&inode->rwsem);
	else if (!rwsem_read_trylock(&inode->rwsem))
		return -EAGAIN;
	done = iomap_dax_rw(&inode->file, pos, it, false, 0);
	rwsem_read_unlock(&inode->rwsem);
	return done;
}
