/* SPDX-License-Identifier: MIT */
/*
 * fsync of overwritten data waited for the transaction of the inode, which was
 * just being committed and had flushed the device before the data arrived. Its
 * commit block went out by FUA, so nothing flushed the data: it could be lost
 * in a power cut after fsync had returned (I3).
 *
 * The same again in a queue, which syncs many files with one commit: whether the
 * commit would flush was asked for the first file, when the pages of the second
 * were still to be written.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bug.h"
#include "fs/fs.h"
#include "journal/journal.h"

static struct {
	struct uext4_file *file;
	uint32_t bs;
	pthread_t thread;
	atomic_int written;
	atomic_int done;
	bool started;
} w;

static void *overwrite_and_fsync(void *arg)
{
	void *buf = env_alloc(w.bs, 'n');

	assert_int_equal(uext4_pwrite(w.file, buf, w.bs, 0), w.bs);
	atomic_store(&w.written, 1);
	assert_int_equal(uext4_fdatasync(w.file), 0);
	atomic_store(&w.done, 1);
	free(buf);
	return arg;
}

/* The device is flushed, the commit block is next. */
static void at_gate(void *ctx, const char *at)
{
	if (w.started || strcmp(at, "commit:before_commit_block") != 0)
		return;
	w.started = true;
	assert_int_equal(pthread_create(&w.thread, NULL, overwrite_and_fsync,
					 ctx),
			0);
	while (!atomic_load(&w.written))
		usleep(1000);
	usleep(50000); /* it waits for this commit now, or flushes */
}

static void fsync_during_a_commit_flushes_new_data(void **state)
{
	struct bug b;

	bug_open(&b, "ext4-4k-full", NULL);
	memset(&w, 0, sizeof(w));
	w.bs = b.e.bs;
	w.file = env_open(&b.e, "/f",
			UEXT4_O_RDWR | UEXT4_O_CREAT | UEXT4_O_DIRECT);
	env_fill(w.file, 0, w.bs, 'o');
	assert_int_equal(uext4_sync(b.e.fs), 0);
	assert_int_equal(bdev_emu_record(b.dev), 0);
	/* The inode is in the running transaction with a new size. */
	env_fill(w.file, w.bs, w.bs, 'o');
	journal_set_gate(b.e.fs->journal, at_gate, NULL);
	/* Not uext4_sync(), which flushes once more. */
	assert_int_equal(journal_sync(b.e.fs->journal), 0);
	pthread_join(w.thread, NULL);
	assert_int_equal(atomic_load(&w.done), 1);
	journal_set_gate(b.e.fs->journal, NULL, NULL);
	env_close(w.file);
	bug_cut(&b);

	bug_mount(&b);
	w.file = env_open(&b.e, "/f", UEXT4_O_RDONLY);
	env_expect(w.file, 0, w.bs, 'n');
	env_close(w.file);
	bug_close(&b, true);
}

/* What runs is committed while pages of 'n's are being written. */
static struct {
	atomic_int held;
	atomic_int open;
} gate;

static void hold_new_data(void *ctx, const struct bdev_io *io)
{
	(void)ctx;
	if (io->op != BDEV_WRITE || (io->tag & 0xff) != BDEV_TAG_DATA ||
			*(const uint8_t *)io->iov[0].iov_base != 'n')
		return;
	atomic_store(&gate.held, 1);
	while (!atomic_load(&gate.open))
		usleep(1000);
}

static void *commit_meanwhile(void *fs)
{
	int ret;

	while (!atomic_load(&gate.held))
		usleep(1000);
	ret = journal_sync(((struct uext4_fs *)fs)->journal);
	atomic_store(&gate.open, 1);
	return (void *)(intptr_t)ret;
}

static void a_commit_between_two_files_of_a_queue_flushes_both(void **state)
{
	const struct uext4_queue_opts o = { .size = sizeof(o), .depth = 2 };
	struct uext4_sqe sqe = { .op = UEXT4_OP_FDATASYNC };
	struct uext4_file *f[2];
	struct uext4_event ev[2];
	struct uext4_queue *q;
	pthread_t thread;
	void *committed;
	struct bug b;

	bug_open(&b, "ext4-4k-full", NULL);
	for (int i = 0; i < 2; i++) {
		f[i] = env_open(&b.e, i == 0 ? "/f" : "/g",
				UEXT4_O_RDWR | UEXT4_O_CREAT);
		env_fill(f[i], 0, b.e.bs, 'o');
	}
	assert_int_equal(uext4_sync(b.e.fs), 0);
	assert_int_equal(bdev_emu_record(b.dev), 0);
	/* One with a new size in the running transaction, one with new bytes. */
	env_fill(f[0], b.e.bs, b.e.bs, 'o');
	env_fill(f[1], 0, b.e.bs, 'n');

	assert_int_equal(uext4_queue_open(b.e.fs, &o, &q), 0);
	bdev_emu_set_gate(b.dev, hold_new_data, NULL);
	assert_int_equal(
			pthread_create(&thread, NULL, commit_meanwhile, b.e.fs),
			0);
	for (int i = 0; i < 2; i++) {
		sqe.file = f[i];
		assert_int_equal(uext4_queue_prep(q, &sqe), 0);
	}
	assert_int_equal(uext4_queue_submit(q), 2);
	assert_int_equal(uext4_queue_wait(q, 2, -1, ev, 2), 2);
	pthread_join(thread, &committed);
	assert_int_equal((intptr_t)committed, 0);
	assert_int_equal(ev[0].result, 0);
	assert_int_equal(ev[1].result, 0);
	bdev_emu_set_gate(b.dev, NULL, NULL);
	uext4_queue_close(q);
	env_close(f[0]);
	env_close(f[1]);
	bug_cut(&b);

	bug_mount(&b);
	f[1] = env_open(&b.e, "/g", UEXT4_O_RDONLY);
	env_expect(f[1], 0, b.e.bs, 'n');
	env_close(f[1]);
	bug_close(&b, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fsync_during_a_commit_flushes_new_data),
		cmocka_unit_test(
				a_commit_between_two_files_of_a_queue_flushes_both),
	};

	if (!env_tools())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
