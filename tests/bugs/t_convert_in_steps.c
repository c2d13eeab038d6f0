/* SPDX-License-Identifier: MIT */
/*
 * The conversion of many extents gives way to a commit that waits for it, and
 * goes on in the next transaction. What was converted in the first lay, written,
 * past the size on disk when that one was committed.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "bdev/bdev.h"
#include "bug.h"
#include "fs/fs.h"
#include "journal/journal.h"

#define EXTENTS 1000
#define BYTES   (EXTENTS * 1024)
#define CUTS    6

static struct {
	struct bug b;
	struct emu_img *cut[CUTS]; /* what a power cut left */
	int ncuts;
	atomic_int converting, stop;
} t;

/* A commit is durable. If a conversion is under way, keep this moment. */
static void at_gate(void *ctx, const char *at)
{
	(void)ctx;
	if (strcmp(at, "commit:after_commit_block") != 0 ||
			!atomic_load(&t.converting) || t.ncuts == CUTS)
		return;
	assert_int_equal(bdev_emu_durable_image(t.b.dev, &t.cut[t.ncuts]), 0);
	t.ncuts++;
}

static void *commit_all_the_time(void *arg)
{
	while (!atomic_load(&t.stop))
		assert_int_equal(journal_sync(t.b.e.fs->journal), 0);
	return arg;
}

/* The data is there: what follows is the conversion. */
static void data_written(void *ctx, const struct bdev_io *io)
{
	(void)ctx;
	if (io->op == BDEV_WRITE && bdev_tag_kind(io->tag) == BDEV_TAG_DATA)
		atomic_store(&t.converting, 1);
}

/* Single unwritten blocks all over the device: the free space is in pieces. */
static struct uext4_file *scattered(struct bug *b)
{
	struct uext4_file *f =
			env_open(&b->e, "/full", UEXT4_O_RDWR | UEXT4_O_CREAT);
	uint64_t n = env_free_blocks(&b->e);
	uint64_t at = 0;

	for (; n > 0; n = n > 64 ? n - 16 : n / 2)
		while (uext4_fallocate(f, 0, at, n * 1024) == 0)
			at += n * 1024;
	for (uint64_t i = 0; i < EXTENTS + 200; i++)
		assert_int_equal(
				uext4_fallocate(f,
						UEXT4_FALLOC_PUNCH_HOLE |
								UEXT4_FALLOC_KEEP_SIZE,
						i * 4096, 1024),
				0);
	env_close(f);
	assert_int_equal(uext4_sync(b->e.fs), 0);
	f = env_open(&b->e, "/f",
			UEXT4_O_RDWR | UEXT4_O_CREAT | UEXT4_O_DIRECT);
	assert_int_equal(uext4_fallocate(f, UEXT4_FALLOC_KEEP_SIZE, 0, BYTES),
			0);
	assert_int_equal(uext4_sync(b->e.fs), 0);
	return f;
}

static void judge_cut(struct bug *b, struct emu_img *img)
{
	struct uext4_file *f;
	uint64_t size;

	assert_int_equal(emu_img_save(img, b->e.img), 0);
	emu_img_free(img);
	bug_mount(b);
	f = env_open(&b->e, "/f", UEXT4_O_RDONLY);
	size = env_size(f);
	printf("# cut at size %llu\n", (unsigned long long)size);
	env_expect(f, 0, size, 'n');
	env_close(f);
	assert_int_equal(bug_unmount(b), 0);
	/* Of the tree itself e2fsck has a wrong idea: it reckons the length of
	 * an index entry past the end of the file from the file's size. */
	assert_int_not_equal(env_sh("e2fsck -fn %s 2>&1 | grep -q 'i_size is'",
					     b->e.img),
			0);
}

/* One direct write with commits all around it. */
static void write_among_commits(void)
{
	struct uext4_file *f;
	pthread_t committer;

	bug_open(&t.b, "ext4-1k-uninit", "12M");
	f = scattered(&t.b);
	assert_int_equal(bdev_emu_record(t.b.dev), 0);
	bdev_emu_set_gate(t.b.dev, data_written, NULL);
	journal_set_gate(t.b.e.fs->journal, at_gate, NULL);
	atomic_store(&t.stop, 0);
	assert_int_equal(pthread_create(&committer, NULL, commit_all_the_time,
					 NULL),
			0);
	env_fill(f, 0, BYTES, 'n');
	atomic_store(&t.converting, 0);
	atomic_store(&t.stop, 1);
	pthread_join(committer, NULL);
	journal_set_gate(t.b.e.fs->journal, NULL, NULL);
	bdev_emu_set_gate(t.b.dev, NULL, NULL);
	assert_int_equal(env_size(f), BYTES);
	env_close(f);
	assert_int_equal(bug_unmount(&t.b), 0);
	for (int i = 0; i < t.ncuts; i++)
		judge_cut(&t.b, t.cut[i]);
	bug_close(&t.b, false);
}

static void every_committed_part_is_inside_the_file(void **state)
{
	int cuts = 0;

	/* Whether a commit comes in between is a matter of time. */
	for (int round = 0; round < 40 && cuts < 5; round++) {
		t.ncuts = 0;
		write_among_commits();
		cuts += t.ncuts;
	}
	printf("# %d cuts during a conversion\n", cuts);
	assert_true(cuts > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_committed_part_is_inside_the_file),
	};

	if (!env_tools())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
