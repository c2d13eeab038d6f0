/* SPDX-License-Identifier: MIT */
#include "fake_file.h"

#include <string.h>

static struct fake_file *to_fake(struct iomap_file *f)
{
	return container_of(f, struct fake_file, file);
}

static uint32_t bsize(const struct fake_file *ff)
{
	return UINT32_C(1) << ff->bits;
}

/* ---- blocks ---- */

/* A device that is told to fail may keep what it has. */
static void poison(struct fake_file *ff, uint32_t blk)
{
	uint8_t *buf = malloc(bsize(ff));
	int ret;

	CHECK(buf != NULL);
	memset(buf, FAKE_POISON, bsize(ff));
	ret = bdev_write(ff->dev, (uint64_t)blk << ff->bits, buf, bsize(ff), 0,
			BDEV_TAG_NONE);
	CHECK(ret == 0 || ret == -EIO);
	free(buf);
}

static uint32_t run_max(const struct fake_file *ff, uint64_t len)
{
	uint32_t n = (uint32_t)div_up_u64(len, bsize(ff));

	return ff->max_run != 0 ? min_of(n, ff->max_run) : n;
}

/* Take up to @want blocks in a row. Returns how many; 0: none free. */
static uint32_t take_locked(
		struct fake_file *ff, uint32_t want, uint32_t *ret_blk)
{
	uint32_t n = 0;

	if (ff->nfree == 0)
		return 0;
	while (ff->used[ff->cursor])
		ff->cursor = (ff->cursor + 1) % ff->ndev;
	*ret_blk = ff->cursor;
	while (n < want && *ret_blk + n < ff->ndev && !ff->used[*ret_blk + n])
		ff->used[*ret_blk + n++] = true;
	ff->nfree -= n;
	ff->cursor = (*ret_blk + n) % ff->ndev;
	return n;
}

static void give_locked(struct fake_file *ff, uint32_t blk)
{
	CHECK(ff->used[blk]);
	poison(ff, blk);
	ff->used[blk] = false;
	ff->nfree++;
}

/* ---- the mapping ---- */

/* How many blocks from @lblk on are like it and, if mapped, in a row. */
static uint32_t run_locked(struct fake_file *ff, uint32_t lblk, uint32_t max)
{
	uint32_t n = 1;

	while (n < max && lblk + n < ff->nblk &&
			ff->state[lblk + n] == ff->state[lblk] &&
			(ff->state[lblk] == IOMAP_HOLE ||
					ff->place[lblk + n] ==
							ff->place[lblk] + n))
		n++;
	return n;
}

static int alloc_unwritten_locked(
		struct fake_file *ff, uint32_t lblk, uint32_t max)
{
	uint32_t blk = 0;
	uint32_t n;

	if (ff->no_unwritten)
		return -ENOTBLK;
	CHECK(ff->nclaims <= ff->nfree);
	max = min_of(max, ff->nfree - ff->nclaims);
	if (max == 0)
		return -ENOSPC;
	n = take_locked(ff, max, &blk);
	for (uint32_t i = 0; i < n; i++) {
		ff->state[lblk + i] = IOMAP_UNWRITTEN;
		ff->place[lblk + i] = blk + i;
	}
	return 0;
}

/* Blocks for a DAX write: taken, not entered yet. */
static int reserve_locked(struct fake_file *ff, uint32_t lblk, uint32_t max,
		struct iomap *ret_map)
{
	uint32_t blk = 0;
	uint32_t n = take_locked(ff, run_locked(ff, lblk, max), &blk);

	if (n == 0)
		return -ENOSPC;
	ret_map->type = IOMAP_MAPPED;
	ret_map->flags = IOMAP_F_NEW;
	ret_map->addr = (uint64_t)blk << ff->bits;
	ret_map->length = (uint64_t)n << ff->bits;
	return 0;
}

static int fake_begin(struct iomap_file *f, uint64_t pos, uint64_t len,
		uint32_t flags, struct iomap *ret_map)
{
	const uint32_t alloc = IOMAP_WRITE | IOMAP_DIRECT;
	const uint32_t dax = IOMAP_WRITE | IOMAP_DAX;
	struct fake_file *ff = to_fake(f);
	uint32_t lblk = (uint32_t)(pos >> ff->bits);
	uint32_t max = run_max(ff, (pos & (bsize(ff) - 1)) + len);
	int ret = 0;

	CHECK(len > 0);
	mutex_lock(&ff->lock);
	ff->nbegin++;
	ff->max_asked = max_u64(ff->max_asked, len);
	*ret_map = (struct iomap){ .offset = (uint64_t)lblk << ff->bits };
	if (lblk >= ff->nblk) {
		ret_map->type = IOMAP_HOLE;
		ret_map->length = round_up_u64(
				(pos & (bsize(ff) - 1)) + len, bsize(ff));
		ret = flags & IOMAP_WRITE ? -EFBIG : 0;
		goto out;
	}
	if (ff->state[lblk] == IOMAP_HOLE && (flags & dax) == dax) {
		ret = flags & IOMAP_NOWAIT
				? -EAGAIN
				: reserve_locked(ff, lblk, max, ret_map);
		goto out;
	}
	if (ff->state[lblk] == IOMAP_HOLE && (flags & alloc) == alloc) {
		ret = -EAGAIN;
		if (!(flags & IOMAP_NOWAIT))
			ret = alloc_unwritten_locked(
					ff, lblk, run_locked(ff, lblk, max));
		if (ret < 0)
			goto out;
		ret_map->flags |= IOMAP_F_NEW;
	}
	ret_map->type = ff->state[lblk];
	ret_map->length = (uint64_t)run_locked(ff, lblk, max) << ff->bits;
	ret_map->addr = (uint64_t)ff->place[lblk] << ff->bits;
	if (ff->dirty)
		ret_map->flags |= IOMAP_F_DIRTY;
out:
	mutex_unlock(&ff->lock);
	return ret;
}

static int fake_claim(struct iomap_file *f, uint32_t n)
{
	struct fake_file *ff = to_fake(f);
	int ret = -ENOSPC;

	mutex_lock(&ff->lock);
	ff->nclaim_calls++;
	if (n <= ff->nfree - ff->nclaims) {
		ff->nclaims += n;
		ret = 0;
	}
	mutex_unlock(&ff->lock);
	return ret;
}

static void fake_unclaim(struct iomap_file *f, uint32_t n)
{
	struct fake_file *ff = to_fake(f);

	mutex_lock(&ff->lock);
	CHECK(ff->nclaims >= n);
	ff->nclaims -= n;
	mutex_unlock(&ff->lock);
}

static int fake_writeback_map(struct iomap_file *f, uint64_t pos, uint64_t len,
		bool delalloc, struct iomap *ret_map)
{
	struct fake_file *ff = to_fake(f);
	uint32_t lblk = (uint32_t)(pos >> ff->bits);
	uint32_t max = run_max(ff, len);
	uint32_t blk = 0;
	uint32_t n;
	int ret = 0;

	CHECK(((pos | len) & (bsize(ff) - 1)) == 0);
	CHECK(lockrank_holds_rank(LOCK_RANK_PAGE) || lockrank_count() == 0);
	mutex_lock(&ff->lock);
	ff->nwb_map++;
	if (ff->stale > 0) {
		ff->stale--;
		ret = -ESTALE;
		goto out;
	}
	*ret_map = (struct iomap){ .offset = pos, .type = IOMAP_MAPPED };
	if (delalloc) {
		for (uint32_t i = 0; i < max; i++)
			CHECK(ff->state[lblk + i] == IOMAP_HOLE);
		n = take_locked(ff, max, &blk);
		CHECK(n > 0 && ff->nclaims >= n);
		ff->nclaims -= n;
		ret_map->flags = IOMAP_F_NEW;
	} else {
		CHECK(ff->state[lblk] != IOMAP_HOLE);
		n = run_locked(ff, lblk, max);
		blk = ff->place[lblk];
		ret_map->type = ff->state[lblk];
	}
	ret_map->addr = (uint64_t)blk << ff->bits;
	ret_map->length = (uint64_t)n << ff->bits;
out:
	mutex_unlock(&ff->lock);
	return ret;
}

static int fake_writeback_end(struct iomap_file *f, struct iomap *map,
		uint64_t end, bool delalloc, int err)
{
	struct fake_file *ff = to_fake(f);
	uint32_t lblk = (uint32_t)(map->offset >> ff->bits);
	uint32_t n = (uint32_t)(map->length >> ff->bits);
	uint32_t blk = (uint32_t)(map->addr >> ff->bits);

	mutex_lock(&ff->lock);
	if (err == 0) {
		err = ff->end_err;
		ff->end_err = 0;
	}
	for (uint32_t i = 0; i < n && err == 0; i++) {
		ff->state[lblk + i] = IOMAP_MAPPED;
		ff->place[lblk + i] = blk + i;
	}
	if (err == 0)
		ff->dsize = max_u64(ff->dsize, min_u64(end, f->size));
	if (err != 0 && delalloc) {
		for (uint32_t i = 0; i < n; i++)
			give_locked(ff, blk + i);
		ff->nclaims += n;
	}
	mutex_unlock(&ff->lock);
	return err;
}

void fake_raise_size(struct iomap_file *f, uint64_t end)
{
	struct fake_file *ff = to_fake(f);

	mutex_lock(&ff->lock);
	if (end > f->size)
		f->size = end;
	mutex_unlock(&ff->lock);
}

static int fake_end_io(struct iomap_file *f, uint64_t pos, uint64_t done,
		int err, uint32_t flags)
{
	struct fake_file *ff = to_fake(f);
	uint32_t lblk = (uint32_t)(pos >> ff->bits);
	uint64_t end = round_up_u64(pos + done, bsize(ff));

	mutex_lock(&ff->lock);
	ff->nend_io++;
	ff->last_end_io_flags = flags;
	ff->last_end_io_err = err;
	for (; err == 0 && lblk < end >> ff->bits; lblk++) {
		CHECK(ff->state[lblk] != IOMAP_HOLE);
		if (ff->state[lblk] == IOMAP_UNWRITTEN)
			CHECK(flags & IOMAP_DIO_UNWRITTEN);
		ff->state[lblk] = IOMAP_MAPPED;
	}
	if (err == 0) {
		if (pos + done > f->size)
			f->size = pos + done;
		ff->dsize = max_u64(ff->dsize, pos + done);
	}
	mutex_unlock(&ff->lock);
	return 0;
}

const struct fake_dio_ops fake_dio_ops = { .end_io = fake_end_io };

/* Who waits looks at dio->inflight. */
static void dio_ignore(struct iomap_dio *dio)
{
	(void)dio;
}

ssize_t fake_dio_rw(struct iomap_file *f, uint64_t pos, struct iov_iter *it,
		bool write, const struct fake_dio_ops *dops, uint32_t flags,
		struct fake_dio_result *ret_res)
{
	struct iomap_dio dio;
	ssize_t done;
	int ret;

	if (ret_res != NULL)
		*ret_res = (struct fake_dio_result){ 0 };
	ret = iomap_dio_init(&dio, f, pos, it, write, flags);
	if (ret < 0 || dio.pos == dio.end)
		return ret;
	dio.data_done = dio_ignore;

	iomap_dio_begin(f);
	ret = iomap_dio_start(&dio);
	if (ret == 0) {
		while (!iomap_dio_poll(&dio))
			;
		ret = iomap_dio_error(&dio);
	}
	if (write && dops != NULL && dops->end_io != NULL &&
			dio.pos > dio.start) {
		int err = dops->end_io(
				f, pos, iomap_dio_bytes(&dio), ret, dio.seen);

		ret = ret < 0 ? ret : err;
	}
	iomap_dio_end(&dio, iomap_dio_has_pages(f));
	iomap_dio_done(f);

	done = ret < 0 ? ret : (ssize_t)iomap_dio_bytes(&dio);
	if (ret_res != NULL) {
		ret_res->mapped_end = dio.mapped_end;
		ret_res->need_sync = write && (flags & IOMAP_DIO_FUA) &&
				!(done > 0 && iomap_dio_is_durable(&dio));
	}
	if (done > 0)
		iov_iter_advance(it, (size_t)done);
	return done;
}

/* What is about to be shown has been written, all of it. */
static void check_not_poison(struct fake_file *ff, uint32_t blk)
{
	uint8_t *buf = malloc(bsize(ff));

	CHECK(buf != NULL);
	CHECK(bdev_read(ff->dev, (uint64_t)blk << ff->bits, buf, bsize(ff), 0,
			      BDEV_TAG_NONE) == 0);
	for (uint32_t i = 0; i < bsize(ff); i++)
		CHECK(buf[i] != FAKE_POISON);
	free(buf);
}

static int fake_end(struct iomap_file *f, uint64_t pos, uint64_t len,
		uint64_t done, uint32_t flags, struct iomap *map)
{
	struct fake_file *ff = to_fake(f);
	uint32_t lblk = (uint32_t)(pos >> ff->bits);
	uint32_t n = (uint32_t)((pos + len - 1) >> ff->bits) - lblk + 1;
	uint32_t blk = (uint32_t)(map->addr >> ff->bits);
	bool is_new = map->flags & IOMAP_F_NEW;
	int ret = 0;

	if (!(flags & IOMAP_WRITE))
		return 0;
	CHECK(flags & IOMAP_DAX);
	CHECK(done == 0 || done == len);
	mutex_lock(&ff->lock);
	if (done > 0) {
		ret = ff->end_err;
		ff->end_err = 0;
	}
	for (uint32_t i = 0; i < n; i++) {
		if (done == 0 || ret < 0) {
			if (is_new)
				give_locked(ff, blk + i);
			continue;
		}
		check_not_poison(ff, blk + i);
		CHECK(is_new == (ff->state[lblk + i] == IOMAP_HOLE));
		ff->state[lblk + i] = IOMAP_MAPPED;
		ff->place[lblk + i] = blk + i;
	}
	if (done > 0 && ret == 0) {
		ff->file.size = max_u64(ff->file.size, pos + done);
		ff->dsize = max_u64(ff->dsize, pos + done);
	}
	mutex_unlock(&ff->lock);
	return ret;
}

void fake_set_dax(struct fake_file *ff)
{
	ff->ops.end = fake_end;
	ff->file.dax = true;
}

/* ---- life ---- */

struct fake_file *fake_new(struct bdev *dev, uint32_t bits, uint32_t nblk,
		size_t pool_bytes)
{
	struct fake_file *ff = calloc(1, sizeof(*ff));

	CHECK(ff != NULL);
	ff->dev = dev;
	ff->bits = bits;
	ff->nblk = nblk;
	ff->ndev = (uint32_t)(bdev_size(dev) >> bits);
	ff->nfree = ff->ndev;
	ff->state = calloc(nblk, sizeof(*ff->state));
	ff->place = calloc(nblk, sizeof(*ff->place));
	ff->used = calloc(ff->ndev, sizeof(*ff->used));
	CHECK(ff->state != NULL && ff->place != NULL && ff->used != NULL);
	for (uint32_t i = 0; i < ff->ndev; i++)
		poison(ff, i);
	ff->ops = (struct iomap_ops){
		.begin = fake_begin,
		.claim = fake_claim,
		.unclaim = fake_unclaim,
		.writeback_map = fake_writeback_map,
		.writeback_end = fake_writeback_end,
		.raise_size = fake_raise_size,
	};
	CHECK(page_pool_new(bsize(ff), pool_bytes, &ff->pool) == 0);
	rwsem_init(&ff->iolock, "iolock", LOCK_RANK_INODE);
	mutex_init(&ff->lock, "fake", LOCK_RANK_MAP);
	iomap_file_init(&ff->file, &ff->ops, dev, bits, 12, ff->pool);
	return ff;
}

void fake_free(struct fake_file *ff)
{
	uint32_t used = 0;
	uint32_t mapped = 0;

	CHECK(ff->file.dio_count == 0 && ff->file.ninval_failed == 0);
	iomap_file_fini(&ff->file);
	CHECK(ff->nclaims == 0);
	for (uint32_t i = 0; i < ff->ndev; i++)
		used += ff->used[i];
	for (uint32_t i = 0; i < ff->nblk; i++)
		mapped += ff->state[i] != IOMAP_HOLE;
	CHECK(used == mapped && ff->nfree == ff->ndev - used);
	CHECK(page_pool_dirty_bytes(ff->pool) == 0);
	CHECK(page_pool_bytes(ff->pool) == 0);
	CHECK(lockrank_count() == 0);
	page_pool_free(ff->pool);
	rwsem_fini(&ff->iolock);
	mutex_fini(&ff->lock);
	CHECK(bdev_close(ff->dev) == 0);
	free(ff->state);
	free(ff->place);
	free(ff->used);
	free(ff);
}

enum iomap_type fake_state(struct fake_file *ff, uint32_t lblk)
{
	return (enum iomap_type)ff->state[lblk];
}

void fake_preset(struct fake_file *ff, uint32_t lblk, uint32_t n,
		enum iomap_type type)
{
	for (uint32_t i = lblk; i < lblk + n; i++) {
		CHECK(ff->state[i] == IOMAP_HOLE);
		CHECK(take_locked(ff, 1, &ff->place[i]) == 1);
		ff->state[i] = (uint8_t)type;
		if (type == IOMAP_MAPPED)
			CHECK(bdev_zero(ff->dev,
					      (uint64_t)ff->place[i]
							      << ff->bits,
					      bsize(ff), 0,
					      BDEV_TAG_NONE) == 0);
	}
}

/* ---- operations ---- */

static struct iov_iter iter_of(struct iovec *iov, const void *buf, size_t len)
{
	union {
		const void *in;
		void *out;
	} u = { .in = buf };
	struct iov_iter it;

	iov->iov_base = u.out;
	iov->iov_len = len;
	iov_iter_init(&it, iov, 1);
	return it;
}

/* W17: what lies between the old size and the end of its block. */
static int zero_eof_tail(struct fake_file *ff, uint64_t pos)
{
	uint64_t size = ff->file.size;
	uint64_t end = round_up_u64(size, bsize(ff));

	if (pos <= size || size == end)
		return 0;
	return iomap_zero_range(
			&ff->file, size, min_u64(end, pos) - size, NULL);
}

ssize_t fake_write(
		struct fake_file *ff, uint64_t pos, const void *buf, size_t len)
{
	struct iovec iov;
	struct iov_iter it = iter_of(&iov, buf, len);
	ssize_t ret;

	rwsem_write_lock(&ff->iolock);
	ret = zero_eof_tail(ff, pos);
	if (ret == 0)
		ret = iomap_buffered_write(&ff->file, pos, &it);
	if (ret > 0)
		fake_raise_size(&ff->file, pos + (uint64_t)ret);
	rwsem_write_unlock(&ff->iolock);
	return ret;
}

/* Exclusive if it extends or pads, shared otherwise; the rest that is not for
 * direct I/O goes through the cache, and out of it (F1 - F3). */
ssize_t fake_write_direct(struct fake_file *ff, uint64_t pos, const void *buf,
		size_t len, uint32_t flags) UEXT4_NO_TSA
{
	bool excl = ((pos | len) & (bsize(ff) - 1)) != 0 ||
			pos + len > ff->file.size;
	struct fake_dio_result res;
	struct iovec iov;
	struct iov_iter it = iter_of(&iov, buf, len);
	ssize_t done;
	ssize_t ret;

	if (excl)
		rwsem_write_lock(&ff->iolock);
	else
		rwsem_read_lock(&ff->iolock);
	done = excl ? zero_eof_tail(ff, pos) : 0;
	if (done == 0)
		done = fake_dio_rw(&ff->file, pos, &it, true, &fake_dio_ops,
				flags, &res);
	if (excl)
		rwsem_write_unlock(&ff->iolock);
	else
		rwsem_read_unlock(&ff->iolock);
	if (done < 0 || (size_t)done == len)
		return done;
	pos += (uint64_t)done;
	ret = fake_write(ff, pos, (const uint8_t *)buf + done,
			len - (size_t)done);
	if (ret <= 0)
		return done > 0 ? done : ret;
	if (iomap_writeback(&ff->file, pos, pos + (uint64_t)ret - 1) < 0)
		return done > 0 ? done : -EIO; /* F3 */
	CHECK(iomap_invalidate(&ff->file, pos, pos + (uint64_t)ret - 1) == 0);
	return done + ret;
}

ssize_t fake_read(struct fake_file *ff, uint64_t pos, void *buf, size_t len)
{
	struct iovec iov;
	struct iov_iter it = iter_of(&iov, buf, len);

	return iomap_buffered_read(&ff->file, pos, &it);
}

ssize_t fake_read_direct(
		struct fake_file *ff, uint64_t pos, void *buf, size_t len)
{
	struct iovec iov;
	struct iov_iter it = iter_of(&iov, buf, len);
	ssize_t ret;

	rwsem_read_lock(&ff->iolock);
	ret = fake_dio_rw(&ff->file, pos, &it, false, NULL, 0, NULL);
	rwsem_read_unlock(&ff->iolock);
	return ret;
}

ssize_t fake_write_dax(
		struct fake_file *ff, uint64_t pos, const void *buf, size_t len)
{
	struct iovec iov;
	struct iov_iter it = iter_of(&iov, buf, len);
	ssize_t ret;

	rwsem_write_lock(&ff->iolock);
	ret = zero_eof_tail(ff, pos);
	if (ret == 0)
		ret = iomap_dax_rw(&ff->file, pos, &it, true, 0);
	rwsem_write_unlock(&ff->iolock);
	CHECK(it.count == len - (size_t)(ret > 0 ? ret : 0));
	return ret;
}

ssize_t fake_read_dax(struct fake_file *ff, uint64_t pos, void *buf, size_t len)
{
	struct iovec iov;
	struct iov_iter it = iter_of(&iov, buf, len);
	ssize_t ret;

	rwsem_read_lock(&ff->iolock);
	ret = iomap_dax_rw(&ff->file, pos, &it, false, 0);
	rwsem_read_unlock(&ff->iolock);
	CHECK(it.count == len - (size_t)(ret > 0 ? ret : 0));
	return ret;
}

static void free_blocks(struct fake_file *ff, uint64_t first, uint64_t end)
{
	mutex_lock(&ff->lock);
	for (uint64_t i = first; i < min_u64(end, ff->nblk); i++) {
		if (ff->state[i] == IOMAP_HOLE)
			continue;
		give_locked(ff, ff->place[i]);
		ff->state[i] = IOMAP_HOLE;
	}
	mutex_unlock(&ff->lock);
}

int fake_truncate(struct fake_file *ff, uint64_t size)
{
	uint64_t end = round_up_u64(size, bsize(ff));
	uint64_t old;
	int ret = 0;

	rwsem_write_lock(&ff->iolock);
	iomap_dio_drain(&ff->file);
	old = ff->file.size;
	rwsem_write_lock(&ff->file.inval);
	if (size > old) {
		ret = zero_eof_tail(ff, size);
		if (ret == 0)
			fake_raise_size(&ff->file, size);
	} else {
		if (size != end)
			ret = iomap_zero_range(
					&ff->file, size, end - size, NULL);
		if (ret == 0) {
			mutex_lock(&ff->lock);
			ff->file.size = size;
			ff->dsize = min_u64(ff->dsize, size);
			mutex_unlock(&ff->lock);
			ret = iomap_drop_pages(&ff->file, size, UINT64_MAX);
			free_blocks(ff, end >> ff->bits, ff->nblk);
		}
	}
	rwsem_write_unlock(&ff->file.inval);
	rwsem_write_unlock(&ff->iolock);
	return ret;
}

/* The parts of [@pos, @pos + @len) that are no whole blocks. */
static int zero_edges(struct fake_file *ff, uint64_t pos, uint64_t len)
{
	uint64_t first = round_up_u64(pos, bsize(ff));
	uint64_t last = round_down_u64(pos + len, bsize(ff));
	int ret = 0;

	if (first > last)
		return iomap_zero_range(&ff->file, pos, len, NULL);
	if (first > pos)
		ret = iomap_zero_range(&ff->file, pos, first - pos, NULL);
	if (ret == 0 && last < pos + len)
		ret = iomap_zero_range(&ff->file, last, pos + len - last, NULL);
	return ret;
}

int fake_punch(struct fake_file *ff, uint64_t pos, uint64_t len)
{
	int ret;

	rwsem_write_lock(&ff->iolock);
	iomap_dio_drain(&ff->file);
	rwsem_write_lock(&ff->file.inval);
	ret = zero_edges(ff, pos, len);
	if (ret == 0)
		ret = iomap_drop_pages(&ff->file, pos, pos + len - 1);
	if (ret == 0)
		free_blocks(ff, div_up_u64(pos, bsize(ff)),
				(pos + len) >> ff->bits);
	rwsem_write_unlock(&ff->file.inval);
	rwsem_write_unlock(&ff->iolock);
	return ret;
}

int fake_zero(struct fake_file *ff, uint64_t pos, uint64_t len)
{
	int ret;

	rwsem_write_lock(&ff->iolock);
	ret = iomap_zero_range(&ff->file, pos, len, NULL);
	rwsem_write_unlock(&ff->iolock);
	return ret;
}

void fake_read_disk(
		struct fake_file *ff, uint64_t pos, uint8_t *buf, size_t len)
{
	while (len > 0) {
		uint32_t lblk = (uint32_t)(pos >> ff->bits);
		uint32_t off = (uint32_t)pos & (bsize(ff) - 1);
		size_t n = (size_t)min_u64(len, bsize(ff) - off);

		if (ff->state[lblk] == IOMAP_MAPPED)
			CHECK(bdev_read(ff->dev,
					      ((uint64_t)ff->place[lblk]
							      << ff->bits) +
							      off,
					      buf, n, 0, BDEV_TAG_NONE) == 0);
		else
			memset(buf, 0, n);
		pos += n;
		buf += n;
		len -= n;
	}
}
