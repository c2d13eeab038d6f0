/* SPDX-License-Identifier: MIT */
/*
 * fsync of overwritten data waited for the transaction of the inode, which was
 * just being committed and had flushed the device before the data arrived. Its
 * commit block went out by FUA, so nothing flushed the data: it could be lost
 * in a power cut after fsync had returned (I3).
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fsync_during_a_commit_flushes_new_data),
	};

	if (!env_tools())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
