/* SPDX-License-Identifier: MIT */
/*
 * Reading and writing, through the cache and direct.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "cases.h"

static struct uext4_file *fresh(struct env *e, const char *path, unsigned flags)
{
	return env_open(e, path, UEXT4_O_RDWR | UEXT4_O_CREAT | flags);
}

void io_buffered(struct env *e)
{
	struct uext4_file *f = fresh(e, "/f", 0);
	uint32_t bs = e->bs;
	uint8_t byte[4];

	env_fill(f, 0, 1, 'a');
	env_fill(f, bs - 1, 2, 'b'); /* over a block's end */
	env_expect(f, 1, bs - 2, 0);
	env_fill(f, 10 * bs + 5, 3 * bs, 'c'); /* a hole before it */
	env_expect(f, bs + 1, 9 * bs + 4, 0);
	env_expect(f, 10 * bs + 5, 3 * bs, 'c');
	assert_int_equal(env_size(f), 13 * bs + 5);
	assert_int_equal(uext4_pread(f, byte, 4, 13 * bs + 3), 2);
	assert_int_equal(uext4_pread(f, byte, 4, 13 * bs + 5), 0);
	assert_int_equal(uext4_pread(f, byte, 4, 1u << 30), 0);
	assert_int_equal(uext4_pwrite(f, byte, 0, 5000000), 0);
	assert_int_equal(env_size(f), 13 * bs + 5);

	/* vectors */
	struct iovec iov[3] = {
		{ env_alloc(100, '1'), 100 },
		{ env_alloc(1, '2'), 0 },
		{ env_alloc(7000, '3'), 7000 },
	};

	assert_int_equal(uext4_pwritev2(f, iov, 3, 20 * bs, UEXT4_RW_DSYNC),
			7100);
	env_expect(f, 20 * bs, 100, '1');
	env_expect(f, 20 * bs + 100, 7000, '3');
	memset(iov[0].iov_base, 0, 100);
	assert_int_equal(uext4_preadv2(f, iov, 3, 20 * bs, 0), 7100);
	assert_memory_equal(iov[0].iov_base, "1111", 4);
	for (int i = 0; i < 3; i++)
		free(iov[i].iov_base);
	env_close(f);
	env_remount(e);

	f = env_open(e, "/f", UEXT4_O_RDONLY);
	env_expect(f, 0, 1, 'a');
	env_expect(f, 1, bs - 2, 0);
	env_expect(f, bs - 1, 2, 'b');
	env_expect(f, 10 * bs + 5, 3 * bs, 'c');
	env_expect(f, 20 * bs, 100, '1');
	assert_int_equal(uext4_pwrite(f, "x", 1, 0), -EBADF);
	assert_int_equal(uext4_ftruncate(f, 1), -EINVAL);
	env_close(f);
	f = env_open(e, "/f", UEXT4_O_WRONLY);
	assert_int_equal(uext4_pread(f, byte, 1, 0), -EBADF);
	env_close(f);
	/* a large one, in odd pieces, through a small cache */
	f = fresh(e, "/big", 0);
	for (uint64_t pos = 0; pos < 6u << 20; pos += 77777)
		env_fill(f, pos, 77777, (int)(pos % 251));
	for (uint64_t pos = 0; pos < 6u << 20; pos += 77777)
		env_expect(f, pos, 77777, (int)(pos % 251));
	env_close(f);
}

void io_direct(struct env *e)
{
	struct uext4_file *f = fresh(e, "/f", UEXT4_O_DIRECT), *g;
	uint32_t bs = e->bs, al;
	char *buf = env_alloc(65536, 'd');

	al = uext4_dio_align(f);
	assert_true(al >= 1 && al <= bs);
	env_fill(f, 0, 8 * bs, 'a'); /* extends */
	assert_int_equal(env_size(f), 8 * bs);
	env_expect(f, 0, 8 * bs, 'a');
	env_fill(f, 2 * bs, 2 * bs, 'b');  /* overwrites */
	env_fill(f, 20 * bs, 4 * bs, 'c'); /* leaves a hole */
	env_expect(f, 8 * bs, 12 * bs, 0);
	env_fill(f, 10 * bs, 3 * bs, 'd'); /* into the hole */
	env_expect(f, 8 * bs, 2 * bs, 0);
	env_expect(f, 10 * bs, 3 * bs, 'd');
	env_expect(f, 13 * bs, 7 * bs, 0);
	if (al > 1) {
		assert_int_equal(uext4_pwrite(f, buf, bs + 1, 0), -EINVAL);
		assert_int_equal(uext4_pwrite(f, buf, bs, 1), -EINVAL);
		assert_int_equal(uext4_pread(f, buf, bs, 1), -EINVAL);
	}
	/* memory may lie anywhere */
	assert_int_equal(uext4_pwrite(f, buf + 1, 2 * bs, 14 * bs), 2 * bs);
	env_expect(f, 14 * bs, 2 * bs, 'd');
	memset(buf, 0, 2 * bs);
	assert_int_equal(uext4_pread(f, buf + 3, bs, 15 * bs), bs);
	assert_true(buf[2] == 0 && buf[3] == 'd' && buf[bs + 2] == 'd' &&
			buf[bs + 3] == 0);
	/* up to the end of the file, and beyond it */
	assert_int_equal(uext4_pread(f, buf, 16 * 1024, 24 * bs - 1024), 1024);
	assert_int_equal(uext4_pread(f, buf, bs, 24 * bs), 0);
	assert_int_equal(uext4_pread(f, buf, bs, 4096 * bs), 0);

	/* preallocated space is written in place, its neighbours stay zero */
	g = fresh(e, "/pre", UEXT4_O_DIRECT);
	if (e->p->has & ENV_EXTENT) {
		assert_int_equal(uext4_fallocate(g, 0, 0, 64 * bs), 0);
		env_fill(g, 5 * bs, bs, 'p');
		env_fill(g, 60 * bs, 10 * bs, 'q');
		env_expect(g, 0, 5 * bs, 0);
		env_expect(g, 5 * bs, bs, 'p');
		env_expect(g, 6 * bs, 54 * bs, 0);
		env_expect(g, 60 * bs, 10 * bs, 'q');
	}
	env_close(g);
	env_close(f);
	free(buf);
	env_remount(e);
	f = env_open(e, "/f", UEXT4_O_RDONLY);
	env_expect(f, 0, 2 * bs, 'a');
	env_expect(f, 2 * bs, 2 * bs, 'b');
	env_expect(f, 13 * bs, bs, 0);
	env_expect(f, 14 * bs, 2 * bs, 'd');
	env_expect(f, 16 * bs, 4 * bs, 0);
	env_expect(f, 20 * bs, 4 * bs, 'c');
	env_close(f);
}

/* Sectors smaller than a block: the rest of the block keeps its bytes. */
void io_direct_sectors(struct env *e)
{
	struct uext4_file *f = fresh(e, "/f", UEXT4_O_DIRECT);
	uint32_t bs = e->bs, al = uext4_dio_align(f);

	if (al >= bs) {
		env_close(f);
		return;
	}
	env_fill(f, 0, al, 'a'); /* new block, first sector; size al */
	assert_int_equal(env_size(f), al);
	env_fill(f, bs + al, al, 'b'); /* new block, not its first sector */
	env_expect(f, al, bs, 0);
	env_expect(f, bs + al, al, 'b');
	env_fill(f, 0, 4 * bs, 'c');
	env_fill(f, 2 * bs + al, al, 'd'); /* inside a written block */
	env_expect(f, 2 * bs, al, 'c');
	env_expect(f, 2 * bs + al, al, 'd');
	if (bs > 2 * al)
		env_expect(f, 2 * bs + 2 * al, bs - 2 * al, 'c');
	/* over a hole's edges, both partly */
	env_fill(f, 10 * bs, bs, 'e');
	env_fill(f, 7 * bs - al, bs + 2 * al, 'f');
	env_expect(f, 6 * bs, bs - al, 0);
	env_expect(f, 7 * bs - al, bs + 2 * al, 'f');
	env_expect(f, 8 * bs + al, 2 * bs - al, 0);
	if (e->p->has & ENV_EXTENT) { /* partly into unwritten blocks */
		assert_int_equal(uext4_fallocate(f, 0, 20 * bs, 10 * bs), 0);
		env_fill(f, 22 * bs + al, al, 'u');
		env_fill(f, 24 * bs - al, 2 * al, 'v');
		env_expect(f, 20 * bs, 2 * bs + al, 0);
		env_expect(f, 22 * bs + al, al, 'u');
		env_expect(f, 22 * bs + 2 * al, 2 * bs - 3 * al, 0);
		env_expect(f, 24 * bs - al, 2 * al, 'v');
		env_expect(f, 24 * bs + al, 6 * bs - al, 0);
	}
	env_close(f);
}

/* The cache and the device never disagree. */
void io_mixed(struct env *e)
{
	struct uext4_file *b = fresh(e, "/f", 0);
	struct uext4_file *d = fresh(e, "/f", UEXT4_O_DIRECT);
	uint32_t bs = e->bs;

	env_fill(b, 0, 16 * bs, 'a');
	env_expect(d, 0, 16 * bs, 'a'); /* dirty pages are seen */
	env_fill(d, 4 * bs, 4 * bs, 'b');
	env_expect(b, 0, 4 * bs, 'a'); /* stale pages are gone */
	env_expect(b, 4 * bs, 4 * bs, 'b');
	env_fill(b, 5 * bs + 7, 100, 'c');
	env_fill(d, 6 * bs, bs, 'd'); /* beside a dirty page */
	env_expect(b, 5 * bs, 7, 'b');
	env_expect(b, 5 * bs + 7, 100, 'c');
	env_expect(b, 5 * bs + 107, bs - 107, 'b');
	env_expect(b, 6 * bs, bs, 'd');
	env_fill(b, 30 * bs, 10, 'e'); /* delayed, beyond a hole */
	env_fill(d, 31 * bs, bs, 'f');
	env_expect(d, 16 * bs, 14 * bs, 0);
	env_expect(b, 30 * bs, 10, 'e');
	env_expect(b, 30 * bs + 10, bs - 10, 0);
	env_expect(b, 31 * bs, bs, 'f');
	assert_int_equal(uext4_fdatasync(b), 0);
	assert_int_equal(uext4_sync_range(b, 0, 4 * bs), 0);
	env_close(b);
	env_expect(d, 6 * bs, bs, 'd');
	env_close(d);
}

void io_append(struct env *e)
{
	struct uext4_file *f = fresh(e, "/f", UEXT4_O_APPEND), *g, *d;
	struct iovec iov = { env_alloc(e->bs, 'z'), e->bs };

	for (int i = 0; i < 50; i++)
		env_fill(f, 0, 333, 'a' + i % 26); /* the position is ignored */
	assert_int_equal(env_size(f), 50 * 333);
	for (int i = 0; i < 50; i++)
		env_expect(f, (uint64_t)i * 333, 333, 'a' + i % 26);
	g = env_open(e, "/f", UEXT4_O_RDWR);
	assert_int_equal(uext4_pwritev2(g, &iov, 1, 0, UEXT4_RW_APPEND), e->bs);
	env_expect(g, 50 * 333, e->bs, 'z');
	env_expect(g, 0, 333, 'a');
	env_close(g);
	env_close(f);

	d = fresh(e, "/d", UEXT4_O_APPEND | UEXT4_O_DIRECT);
	for (int i = 0; i < 40; i++)
		env_fill(d, 0, e->bs, i);
	assert_int_equal(env_size(d), 40 * e->bs);
	for (int i = 0; i < 40; i++)
		env_expect(d, (uint64_t)i * e->bs, e->bs, i);
	env_close(d);
	free(iov.iov_base);
}

void io_truncate(struct env *e)
{
	uint64_t free0 = env_free_blocks(e);
	struct uext4_file *f = fresh(e, "/f", 0);
	uint32_t bs = e->bs;

	env_fill(f, 0, 100 * bs, 'a');
	assert_int_equal(uext4_ftruncate(f, 50 * bs + 10), 0);
	assert_int_equal(uext4_ftruncate(f, 60 * bs), 0);
	env_expect(f, 0, 50 * bs + 10, 'a');
	env_expect(f, 50 * bs + 10, 10 * bs - 10, 0); /* no old bytes */
	assert_int_equal(uext4_fsync(f), 0);
	assert_int_equal(uext4_ftruncate(f, bs / 2), 0);
	env_fill(f, 3 * bs, 1, 'b');
	env_expect(f, 0, bs / 2, 'a');
	env_expect(f, bs / 2, 3 * bs - bs / 2, 0);
	env_close(f);
	env_remount(e);

	f = env_open(e, "/f", UEXT4_O_RDWR | UEXT4_O_DIRECT);
	env_expect(f, bs / 2, bs / 2, 0);
	env_close(f);
	f = env_open(e, "/f", UEXT4_O_RDWR | UEXT4_O_TRUNC);
	assert_int_equal(env_size(f), 0);
	env_close(f);
	assert_int_equal(env_free_blocks(e), free0);

	/* by setattr, with the size of others */
	struct uext4_node *n = env_node(e, "/f");
	struct uext4_setattr a = { .mask = UEXT4_SET_SIZE, .size = 12345 };

	assert_int_equal(uext4_node_setattr(n, &a, NULL), 0);
	assert_int_equal(env_stat(e, "/f").size, 12345);
	a.size = UINT64_MAX;
	assert_true(uext4_node_setattr(n, &a, NULL) < 0);
	uext4_node_put(n);
	n = env_node(e, "/");
	a.size = 0;
	assert_int_equal(uext4_node_setattr(n, &a, NULL), -EISDIR);
	uext4_node_put(n);
	/* a long, scattered file goes in one call */
	f = fresh(e, "/holes", 0);
	for (uint64_t i = 0; i < 1500; i++)
		env_fill(f, i * 3 * bs, 1, (int)i);
	assert_int_equal(uext4_fsync(f), 0);
	assert_int_equal(uext4_ftruncate(f, 700 * 3 * bs + 1), 0);
	env_expect(f, 700 * 3 * bs, 1, 700);
	env_expect(f, 699 * 3 * bs, 1, 699);
	env_close(f);
	env_remount(e);
	assert_int_equal(env_unlink(e, "/holes"), 0);
	assert_int_equal(env_unlink(e, "/f"), 0);
	assert_int_equal(env_free_blocks(e), free0);
}

/* The far end of the largest file. */
void io_far(struct env *e)
{
	struct uext4_file *f = fresh(e, "/far", 0);
	uint64_t ppb = e->bs / 4, max;
	ssize_t n;

	if (e->p->has & ENV_EXTENT)
		max = ((1ull << 32) - 1) * e->bs;
	else
		max = (12 + ppb + ppb * ppb + ppb * ppb * ppb) * e->bs;
	if (!(e->p->has & ENV_HUGE) && max > 1ull << 40)
		max = 1ull << 40; /* 2^32 sectors is the end */
	n = uext4_pwrite(f, "end", 3, max - 3 * (uint64_t)e->bs);
	assert_int_equal(n, 3);
	env_expect(f, max - 3 * (uint64_t)e->bs - 1, 1, 0);
	env_fill(f, 1ull << 32, 10, 'm');
	env_fill(f, (1ull << 31) - 5, 10, 'n');
	assert_int_equal(uext4_fsync(f), 0);
	env_expect(f, 1ull << 32, 10, 'm');
	if (e->p->has & ENV_HUGE)
		assert_int_equal(uext4_pwrite(f, "x", 1, max + e->bs), -EFBIG);
	assert_int_equal(uext4_pwrite(f, "x", 1, 1ull << 62), -EFBIG);
	assert_true(uext4_ftruncate(f, 1ull << 62) == -EFBIG ||
			uext4_ftruncate(f, 1ull << 62) == -EINVAL);
	env_close(f);
	env_remount(e);
	f = env_open(e, "/far", UEXT4_O_RDWR);
	env_expect(f, (1ull << 31) - 5, 10, 'n');
	assert_int_equal(uext4_ftruncate(f, 1ull << 32), 0);
	env_close(f);
}
