/* SPDX-License-Identifier: MIT */
/*
 * Space: preallocation, holes, maps, the full file system.
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

static uint64_t sectors(struct uext4_file *f)
{
	struct uext4_stat st;

	assert_int_equal(uext4_fsync(f), 0);
	assert_int_equal(uext4_node_stat(uext4_file_node(f), &st), 0);
	return st.sectors;
}

void space_fallocate(struct env *e)
{
	uint64_t free0 = env_free_blocks(e);
	struct uext4_file *f = fresh(e, "/f", 0);
	uint32_t bs = e->bs;

	assert_int_equal(uext4_fallocate(f, 0, 0, 0), -EINVAL);
	assert_int_equal(uext4_fallocate(f, 0x80000000u, 0, bs), -EOPNOTSUPP);
	assert_int_equal(uext4_fallocate(f, UEXT4_FALLOC_PUNCH_HOLE, 0, bs) < 0,
			1);
	env_fill(f, 3 * bs, 2 * bs, 'd');
	assert_int_equal(uext4_fallocate(f, 0, 10, 20 * bs), 0);
	assert_int_equal(env_size(f), 20 * bs + 10);
	env_expect(f, 0, 3 * bs, 0);
	env_expect(f, 3 * bs, 2 * bs, 'd');
	env_expect(f, 5 * bs, 15 * bs + 10, 0);
	assert_true(sectors(f) >= 21ull * bs / 512);
	assert_int_equal(uext4_fallocate(f, UEXT4_FALLOC_KEEP_SIZE, 30 * bs,
					 30 * bs),
			0);
	assert_int_equal(env_size(f), 20 * bs + 10);
	assert_true(sectors(f) >= 51ull * bs / 512);
	env_remount_with(e, &f, "/f");
	assert_true(sectors(f) >= 51ull * bs / 512);
	env_fill(f, 40 * bs, bs, 'k'); /* into the space beyond the end */
	env_expect(f, 20 * bs, 20 * bs, 0);
	env_expect(f, 40 * bs, bs, 'k');
	assert_int_equal(uext4_ftruncate(f, env_size(f)), 0);
	/* an overlap with what is there takes no more */
	uint64_t s0 = sectors(f);

	assert_int_equal(uext4_fallocate(f, 0, 0, 10 * bs), 0);
	assert_int_equal(sectors(f), s0);
	assert_int_equal(uext4_fallocate(f, 0, 0, 1ull << 62), -EFBIG);
	env_close(f);
	assert_int_equal(env_unlink(e, "/f"), 0);
	assert_int_equal(env_free_blocks(e), free0);
}

/* What files without extents answer, as the kernel does. */
void space_block_maps(struct env *e)
{
	struct uext4_file *f;

	if (e->p->has & ENV_EXTENT)
		return;
	f = fresh(e, "/f", 0);
	env_fill(f, 0, 20 * e->bs, 'a');
	assert_int_equal(uext4_fallocate(f, 0, 0, e->bs), -EOPNOTSUPP);
	assert_int_equal(uext4_fallocate(f, UEXT4_FALLOC_ZERO_RANGE, 0, e->bs),
			-EOPNOTSUPP);
	assert_int_equal(uext4_fallocate(f,
					 UEXT4_FALLOC_PUNCH_HOLE |
							 UEXT4_FALLOC_KEEP_SIZE,
					 4 * e->bs, 10 * e->bs),
			0);
	env_expect(f, 0, 4 * e->bs, 'a');
	env_expect(f, 4 * e->bs, 10 * e->bs, 0);
	env_expect(f, 14 * e->bs, 6 * e->bs, 'a');
	env_close(f);
}

void space_punch(struct env *e)
{
	const unsigned mode = UEXT4_FALLOC_PUNCH_HOLE | UEXT4_FALLOC_KEEP_SIZE;
	struct uext4_file *f = fresh(e, "/f", 0);
	uint32_t bs = e->bs;
	uint64_t s0;

	env_fill(f, 0, 64 * bs, 'a');
	s0 = sectors(f);
	assert_int_equal(uext4_fallocate(f, mode, 8 * bs, 16 * bs), 0);
	env_expect(f, 0, 8 * bs, 'a');
	env_expect(f, 8 * bs, 16 * bs, 0);
	env_expect(f, 24 * bs, 40 * bs, 'a');
	assert_true(sectors(f) <= s0 - 16ull * bs / 512);
	/* parts of blocks are zeroed in place */
	assert_int_equal(uext4_fallocate(f, mode, 30 * bs + 7, 20), 0);
	env_expect(f, 30 * bs + 7, 20, 0);
	env_expect(f, 30 * bs + 27, bs - 27, 'a');
	assert_int_equal(uext4_fallocate(f, mode, 40 * bs - 5, bs + 10), 0);
	env_expect(f, 39 * bs, bs - 5, 'a');
	env_expect(f, 40 * bs - 5, bs + 10, 0);
	env_expect(f, 41 * bs + 5, bs - 5, 'a');
	/* dirty pages in the way, and beyond the end */
	env_fill(f, 50 * bs, 10 * bs, 'b');
	assert_int_equal(uext4_fallocate(f, mode, 52 * bs, 500 * bs), 0);
	assert_int_equal(env_size(f), 64 * bs);
	env_expect(f, 50 * bs, 2 * bs, 'b');
	env_expect(f, 52 * bs, 12 * bs, 0);
	assert_int_equal(uext4_fallocate(f, mode, 0, 1000 * bs), 0);
	assert_int_equal(env_size(f), 64 * bs);
	env_expect(f, 0, 64 * bs, 0);
	if (e->p->has & ENV_EXTENT)
		assert_int_equal(sectors(f), 0);
	/* many holes, so that the tree splits */
	env_fill(f, 0, 1200 * bs, 'h');
	assert_int_equal(uext4_fsync(f), 0);
	for (uint64_t i = 0; i < 400; i++)
		assert_int_equal(uext4_fallocate(f, mode, (3 * i + 1) * bs, bs),
				0);
	env_remount_with(e, &f, "/f");
	for (uint64_t i = 0; i < 400; i++) {
		env_expect(f, 3 * i * bs, bs, 'h');
		env_expect(f, (3 * i + 1) * bs, bs, 0);
		env_expect(f, (3 * i + 2) * bs, bs, 'h');
	}
	for (uint64_t i = 0; i < 400; i += 2) /* closed again */
		env_fill(f, (3 * i + 1) * bs, bs, 'i');
	env_close(f);
}

void space_zero_range(struct env *e)
{
	const unsigned mode = UEXT4_FALLOC_ZERO_RANGE;
	struct uext4_file *f = fresh(e, "/f", 0);
	uint32_t bs = e->bs;

	env_fill(f, 0, 32 * bs, 'a');
	assert_int_equal(uext4_fallocate(f, mode, 4 * bs + 3, 8 * bs), 0);
	env_expect(f, 0, 4 * bs + 3, 'a');
	env_expect(f, 4 * bs + 3, 8 * bs, 0);
	env_expect(f, 12 * bs + 3, 20 * bs - 3, 'a');
	assert_true(sectors(f) >= 32ull * bs / 512); /* kept allocated */
	assert_int_equal(uext4_fallocate(f, mode | UEXT4_FALLOC_KEEP_SIZE,
					 30 * bs, 10 * bs),
			0);
	assert_int_equal(env_size(f), 32 * bs);
	assert_int_equal(uext4_fallocate(f, mode, 30 * bs, 20 * bs + 1), 0);
	assert_int_equal(env_size(f), 50 * bs + 1);
	env_expect(f, 12 * bs + 3, 18 * bs - 3, 'a');
	env_expect(f, 30 * bs, 20 * bs + 1, 0);
	/* inside one block */
	assert_int_equal(uext4_fallocate(f, mode, 20 * bs + 9, 30), 0);
	env_expect(f, 20 * bs, 9, 'a');
	env_expect(f, 20 * bs + 9, 30, 0);
	env_expect(f, 20 * bs + 39, bs - 39, 'a');
	env_close(f);
}

struct runs {
	struct uext4_extent x[64];
	unsigned n;
};

static int runs_add(void *ctx, const struct uext4_extent *x)
{
	struct runs *r = ctx;

	if (r->n < 64)
		r->x[r->n++] = *x;
	return 0;
}

void space_seek_fiemap(struct env *e)
{
	struct uext4_file *f = fresh(e, "/f", 0);
	struct runs r = { .n = 0 };
	uint64_t at = 0;
	uint32_t bs = e->bs;

	assert_int_equal(uext4_seek_data(f, 0), -ENXIO);
	assert_int_equal(uext4_seek_hole(f, 0), -ENXIO);
	env_fill(f, 10 * bs, 4 * bs, 'a');
	env_fill(f, 20 * bs, bs, 'b');
	assert_int_equal(uext4_ftruncate(f, 30 * bs), 0);
	for (int pass = 0; pass < 3; pass++) {
		assert_int_equal(uext4_seek_data(f, 0), 10 * bs);
		assert_int_equal(uext4_seek_hole(f, 0), 0);
		assert_int_equal(uext4_seek_data(f, 11 * bs + 7), 11 * bs + 7);
		assert_int_equal(uext4_seek_hole(f, 11 * bs + 7), 14 * bs);
		assert_int_equal(uext4_seek_data(f, 14 * bs), 20 * bs);
		assert_int_equal(uext4_seek_hole(f, 20 * bs), 21 * bs);
		assert_int_equal(uext4_seek_data(f, 21 * bs), -ENXIO);
		assert_int_equal(uext4_seek_hole(f, 25 * bs), 25 * bs);
		assert_int_equal(uext4_seek_data(f, 30 * bs), -ENXIO);
		assert_int_equal(uext4_seek_hole(f, 30 * bs), -ENXIO);
		if (pass == 0) /* delayed; then mapped; then read anew */
			assert_int_equal(uext4_fsync(f), 0);
		else if (pass == 1)
			env_remount_with(e, &f, "/f");
	}
	assert_int_equal(uext4_fiemap(f, 0, UINT64_MAX, true, runs_add, &r), 0);
	assert_true(r.n >= 2);
	for (unsigned i = 0; i < r.n; i++) {
		assert_true(r.x[i].logical >= at);
		assert_int_equal(r.x[i].physical % bs, 0);
		assert_true(r.x[i].physical != 0);
		at = r.x[i].logical + r.x[i].length;
	}
	assert_int_equal(r.x[0].logical, 10 * bs);
	assert_int_equal(at, 21 * bs);
	assert_true(r.x[r.n - 1].flags & UEXT4_EXTENT_LAST);
	if (e->p->has & ENV_EXTENT) { /* unwritten space reads as a hole */
		assert_int_equal(uext4_fallocate(f, 0, 24 * bs, 2 * bs), 0);
		assert_int_equal(uext4_seek_data(f, 21 * bs), -ENXIO);
		r.n = 0;
		assert_int_equal(uext4_fiemap(f, 24 * bs, bs, true, runs_add,
						 &r),
				0);
		assert_int_equal(r.n, 1);
		assert_true(r.x[0].flags & UEXT4_EXTENT_UNWRITTEN);
	}
	env_close(f);
}

/* Write until nothing is left; returns the bytes written. */
static uint64_t fill_up(struct uext4_file *f)
{
	char *buf = env_alloc(65536, 'F');
	uint64_t pos = 0;
	size_t want = 65536;

	while (want >= 512) {
		ssize_t n = uext4_pwrite(f, buf, want, pos);

		if (n > 0) {
			pos += (uint64_t)n;
			continue;
		}
		assert_int_equal(n, -ENOSPC);
		want /= 2;
	}
	free(buf);
	return pos;
}

/* Directories, until there is no block: soon, and nothing is left behind. */
static void expect_no_room(struct env *e)
{
	char path[32];
	int ret = 0, i;

	for (i = 0; ret == 0 && i < 40; i++) {
		(void)snprintf(path, sizeof(path), "/no%d", i);
		ret = env_mkdir(e, path, 0755);
	}
	assert_int_equal(ret, -ENOSPC);
	assert_int_equal(env_exists(e, path), -ENOENT);
	while (--i > 0) {
		(void)snprintf(path, sizeof(path), "/no%d", i - 1);
		assert_int_equal(env_rmdir(e, path), 0);
	}
}

void space_full(struct env *e)
{
	static const struct uext4_cred user = { .uid = 1000, .gid = 1000 };
	uint64_t free0 = env_free_blocks(e), size;
	struct uext4_statfs st;
	struct uext4_file *f;
	char *long_target;
	int ret;

	assert_int_equal(env_mkdir(e, "/d", 0777), 0);
	assert_int_equal(env_create(e, "/d/u", 0666), 0);
	for (int round = 0; round < 2; round++) {
		unsigned flags = round ? UEXT4_O_DIRECT : 0;

		/* an ordinary user leaves the reserve alone */
		assert_int_equal(uext4_open(e->fs, NULL, "/d/u",
						 UEXT4_O_RDWR | flags, 0, &user,
						 &f),
				0);
		size = fill_up(f);
		assert_true(size > 1u << 20);
		env_expect(f, size - 512, 512, 'F');
		assert_int_equal(uext4_fsync(f), 0);
		env_close(f);
		assert_int_equal(uext4_statfs(e->fs, &st), 0);
		if (st.avail_blocks > 64)
			fail_msg("%llu blocks avail",
					(unsigned long long)st.avail_blocks);
		/* small files, until there is no room for a directory block */
		long_target = env_alloc(1001, 'l');
		long_target[1000] = '\0';
		ret = 0;
		for (int i = 0; i < 3000 && ret == 0; i++) {
			char path[32];

			(void)snprintf(path, sizeof(path), "/d/s%d.%d", round,
					i);
			ret = env_symlink(e, long_target, path);
		}
		free(long_target);
		assert_int_equal(ret, -ENOSPC);
		expect_no_room(e);
		env_remount(e);
		for (int i = 0; i < 3000; i++) {
			char path[32];

			(void)snprintf(path, sizeof(path), "/d/s%d.%d", round,
					i);
			if (env_exists(e, path) == 0)
				assert_int_equal(env_unlink(e, path), 0);
		}
		f = env_open(e, "/d/u", UEXT4_O_RDWR | UEXT4_O_TRUNC);
		env_fill(f, 0, 1 << 20, 'r'); /* and is used again */
		assert_int_equal(uext4_fsync(f), 0);
		env_expect(f, 0, 1 << 20, 'r');
		env_close(f);
	}
	assert_int_equal(env_unlink(e, "/d/u"), 0);
	assert_int_equal(env_rmdir(e, "/d"), 0);
	assert_int_equal(env_free_blocks(e), free0);
}

/* A user stops at root's reserve; the superuser uses it, but for what is kept
 * for the nodes that promised blocks need (2 %, as in the kernel). */
void space_reserve(struct env *e)
{
	static const struct uext4_cred user = { .uid = 1000, .gid = 1000 };
	struct uext4_statfs st;
	struct uext4_info info;
	struct uext4_file *f;
	uint64_t kept;

	assert_int_equal(uext4_info(e->fs, &info), 0);
	kept = info.blocks / 50;
	assert_true(info.reserved_blocks > 2 * kept);
	assert_int_equal(env_create(e, "/u", 0666), 0);
	assert_int_equal(uext4_open(e->fs, NULL, "/u", UEXT4_O_RDWR, 0, &user,
					 &f),
			0);
	(void)fill_up(f);
	env_close(f);
	assert_int_equal(uext4_sync(e->fs), 0);
	assert_int_equal(uext4_statfs(e->fs, &st), 0);
	assert_true(st.free_blocks >= info.reserved_blocks);
	assert_true(st.avail_blocks <= 16);

	f = fresh(e, "/r", UEXT4_O_DIRECT);
	env_fill(f, 0, 8 * 4096, 'd');
	env_close(f);
	f = fresh(e, "/r", UEXT4_O_APPEND);
	(void)fill_up(f);
	assert_int_equal(uext4_fsync(f), 0);
	env_close(f);
	assert_int_equal(uext4_statfs(e->fs, &st), 0);
	assert_true(st.free_blocks >= kept / 2);
	assert_true(st.free_blocks <= kept + 16);
	expect_no_room(e);
	/* overwriting and cutting need no new block */
	f = env_open(e, "/u", UEXT4_O_RDWR | UEXT4_O_DIRECT);
	env_fill(f, 4096, 4096, 'o');
	env_close(f);
	assert_int_equal(env_unlink(e, "/r"), 0);
	assert_int_equal(env_mkdir(e, "/yes", 0755), 0);
}

void space_no_inodes(struct env *e)
{
	uint64_t n = env_free_inodes(e), made = 0;
	char path[32];
	int ret = 0;

	assert_int_equal(env_mkdir(e, "/d", 0755), 0);
	for (uint64_t i = 0; i < n + 5 && ret == 0; i++) {
		(void)snprintf(path, sizeof(path), "/d/%u", (unsigned)i);
		ret = env_create(e, path, 0600);
		made += ret == 0;
	}
	assert_int_equal(ret, -ENOSPC);
	assert_int_equal(made, n - 1);
	assert_int_equal(env_free_inodes(e), 0);
	assert_int_equal(env_mkdir(e, "/x", 0755), -ENOSPC);
	assert_int_equal(env_unlink(e, "/d/3"), 0);
	assert_int_equal(env_mkdir(e, "/x", 0755), 0);
}

void space_statfs(struct env *e)
{
	struct uext4_statfs a, b;
	struct uext4_file *f;

	(void)env_free_blocks(e);
	assert_int_equal(uext4_statfs(e->fs, &a), 0);
	assert_int_equal(a.block_size, e->bs);
	assert_int_equal(a.name_max, 255);
	assert_true(a.free_blocks < a.blocks);
	assert_true(a.avail_blocks < a.free_blocks);
	assert_true(a.free_inodes < a.inodes);
	f = fresh(e, "/f", 0);
	env_fill(f, 0, 100 * e->bs, 's');
	assert_int_equal(uext4_statfs(e->fs, &b), 0);
	assert_true(b.free_blocks <= a.free_blocks - 100); /* delayed counts */
	(void)env_free_blocks(e);
	assert_int_equal(uext4_statfs(e->fs, &b), 0);
	assert_int_equal(a.free_blocks - b.free_blocks,
			sectors(f) / (e->bs / 512));
	assert_int_equal(b.free_inodes, a.free_inodes - 1);
	env_close(f);
	struct uext4_info info;

	assert_int_equal(uext4_info(e->fs, &info), 0);
	assert_int_equal(info.block_size, e->bs);
	assert_int_equal(info.has_journal, (e->p->has & ENV_JOURNAL) != 0);
	assert_memory_equal(info.uuid, b.uuid, 16);
	assert_true(info.clean && !info.had_errors && !info.rdonly);
	assert_int_equal(strncmp(info.kind, e->p->name, 4), 0);
}
