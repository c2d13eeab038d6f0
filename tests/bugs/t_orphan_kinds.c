/* SPDX-License-Identifier: MIT */
/*
 * The orphan list of an image may name anything. A linked symlink whose target
 * stands in the inode was truncated as if the target were block numbers.
 * And a file that is only truncated by recovery must keep its links. A symlink
 * whose block was gone when power failed was refused as too long for its inode,
 * and stayed for ever.
 */
#include "bug.h"

#include "inode/inode.h"
#include "journal/journal.h"

/* Put the inode of @path on the orphan list, as an interrupted truncate does.
 * The superblock of this profile has no checksum. */
static void make_orphan(struct bug *b, uint32_t ino)
{
	assert_int_equal(env_sh("debugfs -w -R 'ssv last_orphan %u' %s "
				">%s 2>&1",
					 ino, b->e.img, b->e.out),
			0);
}

static void fast_symlink_on_the_orphan_list_is_left_alone(void **state)
{
	/* 64 bytes of block numbers in use, were they some */
	static const char target[] = "\x20\x01/\x01\x21\x01/\x01\x22\x01/\x01";
	struct uext4_node *n;
	char got[64];
	struct bug b;
	uint64_t free_blocks;
	uint32_t ino;

	bug_open(&b, "ext4-1k-uninit", NULL);
	assert_int_equal(env_symlink(&b.e, target, "/l"), 0);
	ino = env_stat(&b.e, "/l").ino;
	free_blocks = env_free_blocks(&b.e);
	assert_int_equal(bug_unmount(&b), 0);
	make_orphan(&b, ino);

	bug_mount(&b);
	assert_int_equal(env_free_blocks(&b.e), free_blocks);
	n = env_node(&b.e, "/l");
	assert_int_equal(uext4_node_readlink(n, got, sizeof(got)),
			sizeof(target) - 1);
	assert_memory_equal(got, target, sizeof(target) - 1);
	uext4_node_put(n);
	bug_close(&b, true);
}

static void directory_on_the_orphan_list_is_left_alone(void **state)
{
	struct bug b;
	uint32_t ino;

	bug_open(&b, "ext4-1k-uninit", NULL);
	assert_int_equal(env_mkdir(&b.e, "/d", 0755), 0);
	assert_int_equal(env_create(&b.e, "/d/f", 0644), 0);
	ino = env_stat(&b.e, "/d").ino;
	assert_int_equal(bug_unmount(&b), 0);
	make_orphan(&b, ino);

	bug_mount(&b);
	assert_int_equal(env_exists(&b.e, "/d/f"), 0);
	bug_close(&b, true);
}

static void symlink_that_has_lost_its_block_is_deleted(void **state)
{
	char target[61] = { 0 };
	struct uext4_node *n;
	uint64_t free_blocks;
	uint64_t free_inodes;
	struct bug b;

	bug_open(&b, "ext4-1k-uninit", NULL);
	assert_int_equal(bdev_emu_record(b.dev), 0);
	free_blocks = env_free_blocks(&b.e);
	free_inodes = env_free_inodes(&b.e);
	memset(target, 'x', sizeof(target) - 1);
	assert_int_equal(env_symlink(&b.e, target, "/l"), 0);
	n = env_node(&b.e, "/l");
	assert_int_equal(env_unlink(&b.e, "/l"), 0);
	/* As far as its last put gets in one transaction. */
	assert_int_equal(inode_remove_blocks(node_inode(n), 0,
					 (uint64_t)UINT32_MAX + 1),
			0);
	assert_int_equal(journal_sync(b.e.fs->journal), 0);
	uext4_node_put(n); /* the next one */
	bug_cut(&b);

	bug_mount(&b);
	assert_int_equal(env_free_blocks(&b.e), free_blocks);
	assert_int_equal(env_free_inodes(&b.e), free_inodes);
	bug_close(&b, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fast_symlink_on_the_orphan_list_is_left_alone),
		cmocka_unit_test(directory_on_the_orphan_list_is_left_alone),
		cmocka_unit_test(symlink_that_has_lost_its_block_is_deleted),
	};

	if (!env_tools())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
