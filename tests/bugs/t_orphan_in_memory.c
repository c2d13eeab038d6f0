/* SPDX-License-Identifier: MIT */
/*
 * A truncate that an I/O error stopped half-way leaves its inode in the orphan
 * set. Such an inode was dropped from memory when nobody used it, although the
 * list in memory went through it.
 */
#include <errno.h>
#include <stdio.h>

#include "bug.h"

#include "fs/file.h"
#include "fs/fs.h"

static int note_node(void *ctx, pblk_t pblk, uint32_t len, bool is_node)
{
	(void)len;
	if (is_node)
		*(pblk_t *)ctx = pblk;
	return 0;
}

/* A file of so many extents that the tree has leaves of its own. */
static pblk_t make_tree(struct bug *b, const char *path)
{
	struct uext4_file *f =
			env_open(&b->e, path, UEXT4_O_RDWR | UEXT4_O_CREAT);
	pblk_t leaf = 0;

	for (unsigned i = 0; i < 20; i++)
		env_fill(f, (uint64_t)i * 2 * b->e.bs, b->e.bs, 'x');
	assert_int_equal(uext4_fsync(f), 0);
	assert_int_equal(map_walk(&f->inode->map, note_node, &leaf), 0);
	assert_true(leaf != 0);
	env_close(f);
	return leaf;
}

/* Fill the metadata cache with something else. */
static void push_out(struct bug *b)
{
	char path[64];

	assert_int_equal(env_mkdir(&b->e, "/d", 0755), 0);
	for (int i = 0; i < 200; i++) {
		snprintf(path, sizeof(path), "/d/%0*d", 40, i);
		assert_int_equal(env_create(&b->e, path, 0644), 0);
		if (i % 20 == 0)
			assert_int_equal(journal_flush(b->e.fs->journal), 0);
	}
	assert_int_equal(journal_flush(b->e.fs->journal), 0);
}

static void failed_truncate_keeps_its_inode(void **state)
{
	struct emu_fault fault = { .ops = EMU_OP(BDEV_READ), .err = -EIO };
	struct uext4_file *f;
	struct bug b;

	bug_open(&b, "ext4-1k-uninit", NULL);
	fault.pos = make_tree(&b, "/f") * b.e.bs;
	fault.len = b.e.bs;
	b.opts.meta_cache = 16 * b.e.bs;
	bug_remount(&b);
	f = env_open(&b.e, "/f", UEXT4_O_RDWR);
	/* A dirty page makes the truncate begin, then the leaf is not there. */
	env_fill(f, UINT64_C(100) * b.e.bs, 1, 'y');
	push_out(&b);
	assert_int_equal(bdev_emu_fault_add(b.dev, &fault), 0);
	assert_int_equal(uext4_ftruncate(f, 0), -EIO);
	bdev_emu_fault_clear(b.dev);
	env_close(f);
	if (uext4_sync(b.e.fs) == 0) {
		itable_shrink(&b.e.fs->it, 0);
		/* The list is walked in both directions. */
		assert_int_equal(env_create(&b.e, "/g", 0644), 0);
		assert_int_equal(env_unlink(&b.e, "/g"), 0);
		f = env_open(&b.e, "/f", UEXT4_O_RDWR);
		assert_int_equal(uext4_ftruncate(f, 0), 0);
		env_close(f);
	}
	bug_close(&b, true);
}

/* The same with an orphan file, and the error lasts until after unmounting. */
static void failed_truncate_is_left_to_the_next_mount(void **state)
{
	struct emu_fault fault = { .ops = EMU_OP(BDEV_READ), .err = -EIO };
	struct uext4_file *f;
	struct bug b;

	bug_open(&b, "ext4-1k-full", NULL);
	fault.pos = make_tree(&b, "/f") * b.e.bs;
	fault.len = b.e.bs;
	b.opts.meta_cache = 16 * b.e.bs;
	bug_remount(&b);
	f = env_open(&b.e, "/f", UEXT4_O_RDWR);
	env_fill(f, UINT64_C(100) * b.e.bs, 1, 'y');
	push_out(&b);
	assert_int_equal(bdev_emu_fault_add(b.dev, &fault), 0);
	assert_int_equal(uext4_ftruncate(f, 0), -EIO);
	env_close(f);
	assert_int_equal(bug_unmount(&b), -EIO);
	assert_int_equal(env_sh("dumpe2fs -h %s 2>/dev/null | "
				"grep -qw orphan_present",
					 b.e.img),
			0);

	bug_mount(&b);
	assert_int_equal(env_stat(&b.e, "/f").sectors, 0);
	bug_close(&b, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(failed_truncate_keeps_its_inode),
		cmocka_unit_test(failed_truncate_is_left_to_the_next_mount),
	};

	if (!env_tools())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
