/* SPDX-License-Identifier: MIT */
/*
 * Files of a DAX mount: what differs from the other ways of I/O. That they hold
 * what any file holds is asked by the other programs of this folder, which are
 * run with UEXT4_TEST_DAX as well (see meson.build).
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alloc/alloc.h"
#include "bdev/bdev.h"
#include "bug.h"
#include "fs/file.h"
#include "fs/fs.h"
#include "journal/journal.h"
#include "uext4/uext4_dev.h"

#define RW (UEXT4_O_RDWR | UEXT4_O_CREAT)

/* On the test device, where requests can be counted, refused and lost. */
static void dax_open(struct bug *b, const char *profile)
{
	bug_image(b, profile, NULL);
	b->opts.flags |= UEXT4_MNT_DAX;
	bug_mount(b);
	assert_int_equal(bdev_emu_record(b->dev), 0);
}

static ssize_t write_rwf(struct uext4_file *f, uint64_t pos, size_t len,
		int byte, unsigned rwf)
{
	void *buf = env_alloc(len, byte);
	struct iovec iov = { buf, len };
	ssize_t n = uext4_pwritev2(f, &iov, 1, pos, rwf);

	free(buf);
	return n;
}

/* Nothing of the file is cached, and it is a DAX file. */
static void expect_no_pages(struct uext4_file *f)
{
	assert_true(f->inode->file.dax);
	assert_int_equal(atomic_load(&f->inode->file.pages.npages), 0);
}

static const char *const both[] = { "ext4-4k-full", "ext3-1k" };

/* ---- mounting ---- */

static int null_size(void *ctx, uint64_t *ret_size)
{
	(void)ctx;
	*ret_size = 1 << 20;
	return 0;
}

static int null_pread(void *ctx, void *buf, size_t len, uint64_t pos)
{
	(void)ctx;
	(void)pos;
	memset(buf, 0, len);
	return 0;
}

static void a_device_without_memory_is_refused(void **state)
{
	static const struct uext4_dev_ops ops = { .size = null_size,
		.pread = null_pread };
	struct uext4_dev dev = { .ops = &ops, .sector_size = 512 };
	struct uext4_mount_opts o = { .size = sizeof(o),
		.flags = UEXT4_MNT_DAX | UEXT4_MNT_RDONLY };
	struct uext4_fs *fs;
	struct env e;

	assert_int_equal(uext4_mount_dev(&dev, &o, &fs), -EOPNOTSUPP);
	env_image(&e, env_profile_find("ext4-4k-full"), NULL);
	e.flags = UEXT4_MNT_DAX;
	assert_int_equal(
			env_try_mount(&e,
					&(struct uext4_mount_opts){
							.flags = UEXT4_MNT_DIRECT }),
			-EINVAL);
	assert_non_null(strstr(e.log, "DAX"));
	env_mount(&e);
	env_end(&e);
}

/* What the journal knows is not in the device's memory. */
static void a_journal_in_memory_is_read_through_the_cache(void **state)
{
	struct uext4_file *f;
	struct bug b;

	dax_open(&b, "ext4-4k-full");
	f = env_open(&b.e, "/f", RW);
	env_fill(f, 0, 10000, 'a');
	assert_int_equal(uext4_fsync(f), 0);
	env_close(f);
	bug_cut(&b);
	b.opts.flags |= UEXT4_MNT_RDONLY;
	bug_mount(&b);
	assert_non_null(strstr(b.e.log, "DAX"));
	f = env_open(&b.e, "/f", UEXT4_O_RDONLY);
	assert_false(f->inode->file.dax);
	env_expect(f, 0, 10000, 'a');
	env_close(f);
	assert_int_equal(bug_unmount(&b), 0);
	b.opts.flags &= ~UEXT4_MNT_RDONLY;
	bug_mount(&b);
	f = env_open(&b.e, "/f", UEXT4_O_RDONLY);
	env_expect(f, 0, 10000, 'a');
	expect_no_pages(f);
	env_close(f);
	bug_close(&b, true);
}

/* The file system begins inside a page of the host. */
static void an_image_may_begin_anywhere(void **state)
{
	struct uext4_mount_opts o = { .offset = 3 * 4096 + 512 };
	struct uext4_file *f;
	struct env e;

	env_image(&e, env_profile_find("ext4-1k-full"), NULL);
	assert_int_equal(env_sh("dd if=%s of=%s.at bs=512 seek=25 "
				"conv=sparse 2>/dev/null && mv %s.at %s",
					 e.img, e.img, e.img, e.img),
			0);
	e.flags = UEXT4_MNT_DAX;
	assert_int_equal(env_try_mount(&e, &o), 0);
	f = env_open(&e, "/f", RW);
	env_fill(f, 100, 100000, 'a');
	env_fill(f, 5000, 10, 'b');
	env_expect(f, 5010, 95090, 'a');
	expect_no_pages(f);
	env_close(f);
	env_unmount(&e);
	assert_int_equal(env_sh("dd if=%s of=%s.at bs=512 skip=25 "
				"conv=sparse 2>/dev/null && mv %s.at %s",
					 e.img, e.img, e.img, e.img),
			0);
	env_mount(&e);
	f = env_open(&e, "/f", UEXT4_O_RDONLY);
	env_expect(f, 5000, 10, 'b');
	env_close(f);
	env_end(&e);
}

/* The image's bytes from a file into memory, and back. */
static void copy_image(const char *path, uint8_t *mem, size_t size, bool out)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	for (size_t at = 0; at < size;) {
		ssize_t n = out ? pwrite(fd, mem + at, size - at, (off_t)at)
				: pread(fd, mem + at, size - at, (off_t)at);

		assert_true(n > 0);
		at += (size_t)n;
	}
	close(fd);
}

static void a_device_in_ram_is_written_in_place(void **state)
{
	for (size_t i = 0; i < 2; i++) {
		struct uext4_mount_opts o = { .size = sizeof(o),
			.flags = UEXT4_MNT_DAX };
		size_t size = 16 << 20;
		uint8_t *mem = calloc(1, size);
		struct uext4_file *f;
		struct bdev *dev;
		struct env e;

		env_image(&e, env_profile_find(both[i]), "16M");
		copy_image(e.img, mem, size, false);
		assert_int_equal(bdev_mem_open(mem, size, 0, &dev), 0);
		assert_int_equal(fs_mount(dev, true, &o, &e.fs), 0);
		f = env_open(&e, "/f", RW);
		env_fill(f, 0, 2 << 20, 'a');
		env_fill(f, 300000, 1000, 'b');
		assert_int_equal(uext4_ftruncate(f, 1 << 20), 0);
		assert_int_equal(uext4_ftruncate(f, (1 << 20) + 5000), 0);
		env_expect(f, 0, 300000, 'a');
		env_expect(f, 300000, 1000, 'b');
		env_expect(f, 1 << 20, 5000, 0);
		expect_no_pages(f);
		env_close(f);
		env_unmount(&e);
		copy_image(e.img, mem, size, true);
		free(mem);
		env_judge(&e);
		env_mount(&e); /* by the other ways */
		f = env_open(&e, "/f", UEXT4_O_RDONLY);
		env_expect(f, 300000, 1000, 'b');
		env_close(f);
		env_end(&e);
	}
}

/* ---- W2 ---- */

static void every_open_is_served_at_any_position(void **state)
{
	struct uext4_file *d, *c;
	struct bug b;

	dax_open(&b, "ext4-4k-full");
	d = env_open(&b.e, "/f", RW | UEXT4_O_DIRECT);
	c = env_open(&b.e, "/f", RW);
	assert_int_equal(uext4_dio_align(d), 1);
	env_fill(d, 1, 4099, 'd');
	env_expect(c, 1, 4099, 'd');
	env_fill(c, 4096, 3, 'c');
	env_expect(d, 4096, 3, 'c');
	env_expect(d, 0, 1, 0);
	env_expect(d, 4099, 1, 'd');
	assert_int_equal(env_size(d), 4100);
	expect_no_pages(d);
	assert_int_equal(uext4_sync_range(c, 0, 5000), 0);
	env_close(c);
	env_close(d);
	bug_close(&b, true);
}

/* Inside submit, at any position, O_DIRECT or not. */
static void a_queue_does_dax_requests_at_once(void **state)
{
	struct uext4_queue_opts o = { .size = sizeof(o), .depth = 8 };
	struct uext4_event ev[4];
	struct uext4_sqe sqe[4];
	struct uext4_queue *q;
	struct uext4_file *f;
	char out[5001];
	struct bug b;

	dax_open(&b, "ext4-4k-full");
	f = env_open(&b.e, "/f", RW | UEXT4_O_DIRECT);
	env_fill(f, 0, 3000, 'a');
	sqe[0] = (struct uext4_sqe){ .op = UEXT4_OP_WRITE,
		.file = f,
		.pos = 1001,
		.buf = env_alloc(5001, 'q'),
		.len = 5001,
		.flags = UEXT4_RW_DSYNC };
	sqe[1] = (struct uext4_sqe){ .op = UEXT4_OP_READ,
		.file = f,
		.pos = 1000,
		.buf = out,
		.len = sizeof(out) };
	sqe[2] = sqe[1];
	sqe[2].pos = 6000;
	sqe[3] = (struct uext4_sqe){ .op = UEXT4_OP_FDATASYNC, .file = f };
	assert_int_equal(uext4_queue_open(b.e.fs, &o, &q), 0);
	for (unsigned i = 0; i < 4; i++) {
		sqe[i].user_data = i;
		assert_int_equal(uext4_queue_prep(q, &sqe[i]), 0);
	}
	assert_int_equal(uext4_queue_submit(q), 4);
	assert_int_equal(uext4_queue_wait(q, 4, -1, ev, 4), 4);
	for (unsigned i = 0; i < 4; i++) {
		const int64_t want[] = { 5001, 5001, 2, 0 };

		assert_int_equal(ev[i].result, want[ev[i].user_data]);
	}
	assert_int_equal(out[0], 'q'); /* of the read at 6000 */
	env_expect(f, 0, 1001, 'a');
	env_expect(f, 1001, 5001, 'q');
	expect_no_pages(f);
	uext4_queue_close(q);
	free(sqe[0].buf);
	env_close(f);
	bug_close(&b, true);
}

/* DX2: no request, and no handle once the time stamps are those of now. */
static void an_overwrite_is_stores_alone(void **state)
{
	for (size_t i = 0; i < 2; i++) {
		struct uext4_file *f;
		uint64_t writes;
		txid_t tid;
		struct bug b;

		dax_open(&b, both[i]);
		f = env_open(&b.e, "/f", RW);
		env_fill(f, 0, 100000, 'a');
		assert_int_equal(uext4_fsync(f), 0);
		writes = bug_count(&b, BDEV_WRITE);
		tid = journal_running_txid(b.e.fs->journal);
		env_fill(f, 777, 90000, 'b');
		assert_int_equal(journal_running_txid(b.e.fs->journal), tid);
		assert_int_equal(bug_count(&b, BDEV_WRITE), writes);
		env_expect(f, 0, 777, 'a');
		env_expect(f, 777, 90000, 'b');
		env_expect(f, 90777, 9223, 'a');
		env_close(f);
		bug_close(&b, true);
	}
}

/* D-4 */
static void nowait_overwrites_and_does_nothing_else(void **state)
{
	for (size_t i = 0; i < 2; i++) {
		struct uext4_file *f;
		struct iovec iov;
		char buf[3000];
		struct bug b;

		dax_open(&b, both[i]);
		f = env_open(&b.e, "/f", RW);
		env_fill(f, 0, 20000, 'a');
		env_fill(f, 40000, 20000, 'a');
		assert_int_equal(write_rwf(f, 100, 3000, 'b', UEXT4_RW_NOWAIT),
				3000);
		assert_int_equal(write_rwf(f, 18000, 10000, 'c',
						 UEXT4_RW_NOWAIT),
				-EAGAIN);
		assert_int_equal(write_rwf(f, 59999, 2, 'c', UEXT4_RW_NOWAIT),
				-EAGAIN);
		assert_int_equal(
				write_rwf(f, 0, 2, 'c',
						UEXT4_RW_NOWAIT |
								UEXT4_RW_APPEND),
				-EAGAIN);
		assert_int_equal(env_size(f), 60000);
		env_expect(f, 18000, 2000, 'a');
		iov = (struct iovec){ buf, sizeof(buf) };
		assert_int_equal(
				uext4_preadv2(f, &iov, 1, 100, UEXT4_RW_NOWAIT),
				3000);
		assert_int_equal(buf[2999], 'b');
		rwsem_write_lock(&f->inode->rwsem);
		assert_int_equal(
				uext4_preadv2(f, &iov, 1, 100, UEXT4_RW_NOWAIT),
				-EAGAIN);
		assert_int_equal(write_rwf(f, 100, 30, 'c', UEXT4_RW_NOWAIT),
				-EAGAIN);
		rwsem_write_unlock(&f->inode->rwsem);
		env_close(f);
		bug_close(&b, true);
	}
}

/* ---- durability ---- */

/* I3, V8 */
static void synced_bytes_survive_a_power_cut(void **state)
{
	for (size_t i = 0; i < 2; i++) {
		struct uext4_file *f;
		struct bug b;

		dax_open(&b, both[i]);
		f = env_open(&b.e, "/f", RW);
		assert_int_equal(write_rwf(f, 500, 10000, 'a', UEXT4_RW_DSYNC),
				10000);
		assert_int_equal(write_rwf(f, 2000, 100, 'b', UEXT4_RW_DSYNC),
				100);
		env_fill(f, 4000, 100, 'c');
		assert_int_equal(uext4_fdatasync(f), 0);
		assert_int_equal(write_rwf(f, 10000, 9000, 'd', UEXT4_RW_SYNC),
				9000);
		env_fill(f, 6000, 64, 'e'); /* nobody was promised this */
		env_close(f);
		bug_cut(&b);
		bug_mount(&b);
		f = env_open(&b.e, "/f", UEXT4_O_RDONLY);
		assert_int_equal(env_size(f), 19000);
		env_expect(f, 0, 500, 0);
		env_expect(f, 500, 1500, 'a');
		env_expect(f, 2000, 100, 'b');
		env_expect(f, 4000, 100, 'c');
		env_expect(f, 6000, 64, 'a');
		env_expect(f, 10000, 9000, 'd');
		env_close(f);
		bug_close(&b, true);
	}
}

/* ---- failures ---- */

/* E1: a sparse image on a full disk says so at the first write to a block. */
static void a_refused_write_leaves_nothing(void **state)
{
	struct emu_fault fault = {
		.ops = EMU_OP(BDEV_WRITE),
		.tags = 1u << BDEV_TAG_DATA,
		.count = 1,
		.err = -ENOSPC,
	};

	for (size_t i = 0; i < 2; i++) {
		struct uext4_file *f;
		uint64_t free0;
		struct bug b;

		dax_open(&b, both[i]);
		f = env_open(&b.e, "/f", RW);
		env_fill(f, 0, 5000, 'a');
		free0 = env_free_blocks(&b.e);
		assert_int_equal(bdev_emu_fault_add(b.dev, &fault), 0);
		assert_int_equal(write_rwf(f, 10000, 50000, 'b', 0), -ENOSPC);
		assert_int_equal(env_size(f), 5000);
		assert_int_equal(env_free_blocks(&b.e), free0);
		bdev_emu_fault_clear(b.dev);
		env_fill(f, 10000, 50000, 'c');
		env_expect(f, 5000, 5000, 0);
		env_expect(f, 10000, 50000, 'c');
		if (i == 0) { /* unwritten blocks stay so */
			assert_int_equal(
					uext4_fallocate(f, 0, 60000, 50000), 0);
			assert_int_equal(bdev_emu_fault_add(b.dev, &fault), 0);
			assert_int_equal(write_rwf(f, 70000, 20000, 'd', 0),
					-ENOSPC);
			env_expect(f, 60000, 50000, 0);
		}
		env_close(f);
		bug_close(&b, true);
	}
}

/* DX5: the disk is full in the middle of a write; then there is room again. */
static void a_full_disk_makes_a_write_short(void **state)
{
	for (size_t i = 0; i < 2; i++) {
		struct uext4_file *f, *g;
		size_t len = 16 << 20;
		uint8_t *buf = env_alloc(len, 'z');
		struct env e;
		ssize_t n;

		env_image(&e, env_profile_find(both[i]), "12M");
		e.flags = UEXT4_MNT_DAX;
		env_mount(&e);
		f = env_open(&e, "/f", RW);
		n = uext4_pwrite(f, buf, len, 33);
		assert_in_range(n, 1 << 20, len - 1);
		assert_int_equal(env_size(f), (size_t)n + 33);
		env_expect(f, 33, (size_t)n, 'z');
		g = env_open(&e, "/g", RW);
		assert_int_equal(uext4_pwrite(g, buf, 1 << 20, 0), -ENOSPC);
		assert_int_equal(env_size(g), 0);
		/* M5: what is freed and not committed yet is waited for. */
		assert_int_equal(uext4_ftruncate(f, 1 << 20), 0);
		assert_int_equal(uext4_pwrite(g, buf, 4 << 20, 0), 4 << 20);
		expect_no_pages(g);
		env_close(f);
		env_close(g);
		free(buf);
		env_end(&e);
	}
}

#define CHILD_SKIP 77

/* In a process of its own: the image is sparse, on a host file system of 6 MiB
 * that it does not fit in. Returns the exit status. */
static int fill_host(struct env *e)
{
	struct uext4_mount_opts o = {
		.size = sizeof(o),
		.flags = UEXT4_MNT_DAX | UEXT4_MNT_NOTHREAD,
	};
	size_t len = 12 << 20;
	uint8_t *buf = env_alloc(len, 'h');
	struct uext4_file *f;
	char dir[128];
	char path[160];
	uint8_t one;
	ssize_t n;

	(void)snprintf(dir, sizeof(dir), "%s/host", e->dir);
	if (unshare(CLONE_NEWNS) < 0 ||
			mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) <
					0 ||
			mkdir(dir, 0700) < 0 ||
			mount("none", dir, "tmpfs", 0, "size=6m") < 0)
		return CHILD_SKIP;
	if (env_sh("cp --sparse=always %s %s/img", e->img, dir) != 0)
		return 1;
	(void)snprintf(path, sizeof(path), "%s/img", dir);
	if (uext4_mount(path, &o, &e->fs) < 0 ||
			uext4_open(e->fs, NULL, "/f", RW, 0644, NULL, &f) < 0)
		return 2;
	if (uext4_pwrite(f, buf, 1 << 20, 5) != 1 << 20)
		return 3;
	n = uext4_pwrite(f, buf, len, (1 << 20) + 5);
	if (n >= (ssize_t)len || (n < 0 && n != -ENOSPC))
		return 4;
	/* What was written can still be overwritten and read. */
	if (uext4_pwrite(f, buf, 1 << 20, 5) != 1 << 20 ||
			uext4_pread(f, &one, 1, 1 << 20) != 1 || one != 'h')
		return 5;
	n = uext4_pwrite(f, buf, len, 64 << 20);
	return n == -ENOSPC ? 0 : 6;
}

/* DX2 */
static void a_full_host_is_an_error_and_no_signal(void **state)
{
	struct env e;
	int status;
	pid_t pid;

	env_image(&e, env_profile_find("ext4-4k-nojournal"), NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(fill_host(&e));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	env_free(&e);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == CHILD_SKIP) {
		print_message("skip: may not mount a tmpfs\n");
		skip();
	}
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- W17 ---- */

/* Bytes that somebody else left behind the end of a file, in its block. */
static uint64_t physical;

static int note_physical(void *ctx, const struct uext4_extent *x)
{
	(void)ctx;
	physical = x->physical;
	return 0;
}

static void spoil_tail(struct bug *b, uint32_t size)
{
	struct uext4_file *f = env_open(&b->e, "/f", RW | UEXT4_O_TRUNC);
	uint8_t junk[1024];

	env_fill(f, 0, size, 'a');
	assert_int_equal(uext4_fiemap(f, 0, 1, true, note_physical, NULL), 0);
	env_close(f);
	assert_int_equal(bug_unmount(b), 0);
	bug_mount(b);
	memset(junk, 'j', sizeof(junk));
	assert_int_equal(bdev_write(b->dev, physical + size, junk, 1024 - size,
					 0, 0),
			0);
}

static void old_bytes_behind_the_end_never_show(void **state)
{
	for (size_t i = 0; i < 2; i++) {
		for (int how = 0; how < 5; how++) {
			struct uext4_file *f;
			struct bug b;

			dax_open(&b, both[i]);
			spoil_tail(&b, 300);
			f = env_open(&b.e, "/f", RW);
			if (how == 0)
				env_fill(f, 300, 10, 'b');
			else if (how == 1)
				env_fill(f, 500, 10, 'b');
			else if (how == 2)
				env_fill(f, 70000, 10, 'b');
			else if (how == 3)
				assert_int_equal(uext4_ftruncate(f, 600), 0);
			else if (i == 0)
				assert_int_equal(uext4_fallocate(f, 0, 0, 9000),
						0);
			assert_int_equal(uext4_ftruncate(f, 100000), 0);
			env_expect(f, 0, 300, 'a');
			env_expect(f, 310, 190, 0);
			env_expect(f, 510, 69490, 0);
			env_expect(f, 70010, 29990, 0);
			if (how == 0)
				env_expect(f, 300, 10, 'b');
			env_close(f);
			bug_close(&b, true);
		}
	}
}

static void the_edges_of_holes_are_zeroed_in_place(void **state)
{
	unsigned punch = UEXT4_FALLOC_PUNCH_HOLE | UEXT4_FALLOC_KEEP_SIZE;

	for (size_t i = 0; i < 2; i++) {
		struct uext4_file *f;
		struct bug b;

		dax_open(&b, both[i]);
		f = env_open(&b.e, "/f", RW);
		env_fill(f, 0, 60000, 'a');
		assert_int_equal(uext4_fallocate(f, punch, 1000, 30000), 0);
		assert_int_equal(uext4_fallocate(f, punch, 40100, 100), 0);
		assert_int_equal(uext4_ftruncate(f, 50001), 0);
		assert_int_equal(uext4_ftruncate(f, 55000), 0);
		for (int round = 0; round < 2; round++) {
			env_expect(f, 0, 1000, 'a');
			env_expect(f, 1000, 30000, 0);
			env_expect(f, 31000, 9100, 'a');
			env_expect(f, 40100, 100, 0);
			env_expect(f, 40200, 9801, 'a');
			env_expect(f, 50001, 4999, 0);
			assert_int_equal(uext4_seek_hole(f, 0), b.e.bs);
			assert_int_equal(uext4_seek_data(f, 4096),
					i == 0 ? 28672 : 30720);
			expect_no_pages(f);
			env_close(f);
			bug_remount(&b);
			f = env_open(&b.e, "/f", RW);
		}
		env_close(f);
		bug_close(&b, true);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_device_without_memory_is_refused),
		cmocka_unit_test(a_journal_in_memory_is_read_through_the_cache),
		cmocka_unit_test(an_image_may_begin_anywhere),
		cmocka_unit_test(a_device_in_ram_is_written_in_place),
		cmocka_unit_test(every_open_is_served_at_any_position),
		cmocka_unit_test(a_queue_does_dax_requests_at_once),
		cmocka_unit_test(an_overwrite_is_stores_alone),
		cmocka_unit_test(nowait_overwrites_and_does_nothing_else),
		cmocka_unit_test(synced_bytes_survive_a_power_cut),
		cmocka_unit_test(a_refused_write_leaves_nothing),
		cmocka_unit_test(a_full_disk_makes_a_write_short),
		cmocka_unit_test(a_full_host_is_an_error_and_no_signal),
		cmocka_unit_test(old_bytes_behind_the_end_never_show),
		cmocka_unit_test(the_edges_of_holes_are_zeroed_in_place),
	};

	if (!env_tools())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
