/* SPDX-License-Identifier: MIT */
/*
 * Faults: a fixed workload is run again and again, and each time another one of
 * its allocations or device requests fails, once or from then on.
 *
 * Claimed for every run: nothing crashes or hangs, no lock or handle is left
 * held (debug builds assert that), the call that met the fault says so (a run
 * in which every call succeeded ends with everything there), and after the
 * fault is gone the image recovers to one that the checker calls clean, with
 * all that was synced before the fault. With UEXT4_TEST_DAX=1 the mounts are DAX.
 *
 * Allocations fail through the linker's --wrap: the n-th malloc, calloc,
 * realloc, aligned_alloc or posix_memalign after the counter was armed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "bdev/bdev_emu.h"
#include "check/check.h"
#include "fs/fs.h"

/* ---- the n-th allocation ---- */

static _Atomic long countdown; /* 0: off */
static _Atomic bool sticky;
static _Atomic uint64_t nallocs;

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t m);
void *__real_realloc(void *p, size_t n);
void *__real_aligned_alloc(size_t a, size_t n);
int __real_posix_memalign(void **p, size_t a, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t m);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_aligned_alloc(size_t a, size_t n);
int __wrap_posix_memalign(void **p, size_t a, size_t n);

static bool alloc_fails(void)
{
	long left;

	atomic_fetch_add(&nallocs, 1);
	left = atomic_load(&countdown);
	if (left <= 0)
		return false;
	if (left == 1) {
		if (!atomic_load(&sticky))
			atomic_store(&countdown, 0);
		return true;
	}
	atomic_store(&countdown, left - 1);
	return false;
}

void *__wrap_malloc(size_t n)
{
	return alloc_fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t m)
{
	return alloc_fails() ? NULL : __real_calloc(n, m);
}

void *__wrap_realloc(void *p, size_t n)
{
	return alloc_fails() ? NULL : __real_realloc(p, n);
}

void *__wrap_aligned_alloc(size_t a, size_t n)
{
	return alloc_fails() ? NULL : __real_aligned_alloc(a, n);
}

int __wrap_posix_memalign(void **p, size_t a, size_t n)
{
	return alloc_fails() ? ENOMEM : __real_posix_memalign(p, a, n);
}

/* ---- the image ---- */

static struct emu_img *make_image(const char *options)
{
	const char *dir = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	struct emu_img *img;
	char path[64];
	char cmd[512];
	int fd;

	snprintf(path, sizeof(path), "%s/fault.XXXXXX", dir);
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 12 << 20), 0);
	close(fd);
	snprintf(cmd, sizeof(cmd),
			"PATH=$PATH:/usr/sbin:/sbin mke2fs -q -F %s %s "
			"2>/dev/null",
			options, path);
	if (system(cmd) != 0) {
		unlink(path);
		return NULL;
	}
	assert_int_equal(emu_img_load(path, &img), 0);
	unlink(path);
	return img;
}

static int img_read(void *ctx, uint64_t pos, void *buf, size_t len)
{
	const struct emu_img *img = ctx;

	if (pos > emu_img_size(img) || len > emu_img_size(img) - pos)
		return -EIO;
	emu_img_read(img, pos, buf, len);
	return 0;
}

static void quiet(void *ctx, enum uext4_log_level level, const char *msg)
{
	if (getenv("FAULT_LOG"))
		fprintf(stderr, "# %d %s\n", (int)level, msg);
}

static const struct bdev_emu_opts with_map = { .flags = BDEV_EMU_F_MAP };

static int mount(struct bdev *dev, struct uext4_fs **ret_fs)
{
	struct uext4_mount_opts o = {
		.size = sizeof(o),
		.flags = UEXT4_MNT_NOTHREAD |
				(getenv("UEXT4_TEST_DAX") ? UEXT4_MNT_DAX : 0),
		.meta_cache = 1 << 20,
		.page_cache = 1 << 20,
		.log = quiet,
	};

	return fs_mount(dev, false, &o, ret_fs);
}

/* ---- the workload: every call may fail; the first error is noted ---- */

struct work {
	struct uext4_fs *fs;
	int first;   /* error */
	bool synced; /* /kept was made durable */
	bool all;    /* the last sync succeeded */
};

static void note(struct work *w, int ret)
{
	if (ret < 0 && w->first == 0)
		w->first = ret;
}

static void put(struct work *w, const char *path, unsigned flags, uint64_t pos,
		size_t len, int byte)
{
	static uint8_t buf[65536] __attribute__((aligned(4096)));
	struct uext4_file *file;
	ssize_t n;
	int ret;

	memset(buf, byte, len);
	ret = uext4_open(w->fs, NULL, path,
			UEXT4_O_RDWR | UEXT4_O_CREAT | flags, 0644, NULL,
			&file);
	note(w, ret);
	if (ret < 0)
		return;
	n = uext4_pwrite(file, buf, len, pos);
	note(w, n < 0 ? (int)n : (size_t)n < len ? -EIO : 0);
	note(w, uext4_close(file));
}

static void sync_path(struct work *w, const char *path, bool *ret_ok)
{
	struct uext4_node *node;
	int ret;

	ret = uext4_resolve(w->fs, NULL, path, 0, NULL, &node);
	if (ret == 0) {
		ret = uext4_node_fsync(node, false);
		uext4_node_put(node);
	}
	note(w, ret);
	if (ret_ok)
		*ret_ok = ret == 0;
}

static void names(struct work *w, struct uext4_node *root)
{
	char name[64];
	unsigned i;

	note(w, uext4_mkdir(root, "dir", 0755, NULL, NULL));
	note(w,
			uext4_symlink(root, "link",
					"a/long/target/that/needs/a/block/"
					"because/it/is/longer/"
					"than/fifty/nine/bytes",
					NULL, NULL));
	for (i = 0; i < 25; i++) {
		snprintf(name, sizeof(name), "some-name-or-other-%u", i);
		note(w, uext4_mknod(root, name, 0100644, 0, 0, NULL, NULL));
	}
	note(w,
			uext4_rename(root, "some-name-or-other-1", root,
					"renamed", 0, NULL));
	note(w,
			uext4_rename(root, "some-name-or-other-2", root,
					"renamed", 0, NULL));
	for (i = 3; i < 20; i++) {
		snprintf(name, sizeof(name), "some-name-or-other-%u", i);
		note(w, uext4_unlink(root, name, NULL));
	}
	note(w, uext4_rmdir(root, "dir", NULL));
}

static void data(struct work *w)
{
	struct uext4_setattr cut = { .mask = UEXT4_SET_SIZE, .size = 5000 };
	struct uext4_file *file;
	struct uext4_node *node;
	char value[600];
	int ret;

	put(w, "/f", 0, 0, 40000, 'f');
	put(w, "/g", UEXT4_O_DIRECT, 0, 16384, 'g');
	put(w, "/g", UEXT4_O_DIRECT, 16384 + 512, 1024, 'h');
	sync_path(w, "/f", NULL);
	ret = uext4_open(w->fs, NULL, "/f", UEXT4_O_RDWR, 0, NULL, &file);
	note(w, ret);
	if (ret == 0) {
		ret = uext4_fallocate(file,
				UEXT4_FALLOC_PUNCH_HOLE |
						UEXT4_FALLOC_KEEP_SIZE,
				3000, 9000);
		note(w, ret);
		ret = uext4_fallocate(file, 0, 50000, 20000);
		note(w, ret == -EOPNOTSUPP ? 0 : ret);
		note(w, uext4_close(file));
	}
	ret = uext4_resolve(w->fs, NULL, "/f", 0, NULL, &node);
	note(w, ret);
	if (ret == 0) {
		memset(value, 'v', sizeof(value));
		note(w,
				uext4_setxattr(node, "user.v", value,
						sizeof(value), 0, NULL));
		note(w, uext4_node_setattr(node, &cut, NULL));
		uext4_node_put(node);
	}
}

static void work_run(struct work *w)
{
	struct uext4_node *root;
	int ret;

	put(w, "/kept", 0, 0, 9000, 'k');
	sync_path(w, "/kept", &w->synced);
	w->synced &= w->first == 0;
	ret = uext4_node_root(w->fs, &root);
	note(w, ret);
	if (ret == 0) {
		names(w, root);
		uext4_node_put(root);
	}
	data(w);
	ret = uext4_sync(w->fs);
	note(w, ret);
	w->all = ret == 0;
}

/* ---- after the fault ---- */

/* @path holds @len bytes of @byte. */
static void expect(struct uext4_fs *fs, const char *path, size_t len, int byte)
{
	struct uext4_file *file;
	uint8_t *buf = malloc(len);
	size_t i;

	assert_int_equal(uext4_open(fs, NULL, path, UEXT4_O_RDONLY, 0, NULL,
					 &file),
			0);
	assert_int_equal(uext4_pread(file, buf, len, 0), (ssize_t)len);
	for (i = 0; i < len; i++)
		assert_int_equal(buf[i], byte);
	assert_int_equal(uext4_close(file), 0);
	free(buf);
}

/* The fault is gone: recover, look, unmount, check. */
static void judge(struct bdev *dev, const struct work *w)
{
	struct check_opts co = { .flags = CHECK_F_ERRORS };
	struct check_report rep;
	struct check_dev cd;
	struct emu_img *img;
	struct uext4_fs *fs;

	assert_int_equal(mount(dev, &fs), 0);
	if (w->synced)
		expect(fs, "/kept", 9000, 'k');
	if (w->all && w->first == 0) {
		expect(fs, "/g", 16384, 'g');
		expect(fs, "/f", 3000, 'f');
	}
	assert_int_equal(uext4_unmount(fs), 0);
	assert_int_equal(bdev_emu_image(dev, &img), 0);
	cd = (struct check_dev){
		.read = img_read, .ctx = img, .size = emu_img_size(img)
	};
	if (check_fs(&cd, &co, &rep) != 0) {
		check_print(&rep, stderr);
		fail_msg("the checker finds fault after recovery");
	}
	emu_img_free(img);
}

/* One run with the @n-th request of kind @ops failing @count times (0: from
 * then on). False if there were fewer. */
static bool run_io(const struct emu_img *img, uint32_t ops, uint64_t n,
		uint64_t count)
{
	struct emu_fault fault = {
		.ops = ops, .nth = n, .count = count, .err = -EIO
	};
	struct bdev_emu_stats st;
	struct work w = { 0 };
	struct bdev *dev;
	int ret;

	assert_int_equal(bdev_emu_open(img, &with_map, &dev), 0);
	assert_int_equal(bdev_emu_fault_add(dev, &fault), 0);
	ret = mount(dev, &w.fs);
	if (ret == 0) {
		work_run(&w);
		ret = uext4_unmount(w.fs);
		if (ret < 0)
			w.all = false;
	}
	bdev_emu_stats(dev, &st);
	bdev_emu_fault_clear(dev);
	judge(dev, &w);
	assert_int_equal(bdev_close(dev), 0);
	return st.faults > 0;
}

static bool run_memory(const struct emu_img *img, long n, bool from_then_on)
{
	struct work w = { 0 };
	struct bdev *dev;
	bool hit;
	int ret;

	assert_int_equal(bdev_emu_open(img, &with_map, &dev), 0);
	ret = mount(dev, &w.fs);
	assert_int_equal(ret, 0);
	atomic_store(&sticky, from_then_on);
	atomic_store(&countdown, n);
	work_run(&w);
	hit = atomic_load(&countdown) <= 1;
	atomic_store(&countdown, 0);
	/* memory is back: what is dirty can be written now */
	ret = uext4_unmount(w.fs);
	if (ret < 0)
		w.all = false;
	judge(dev, &w);
	assert_int_equal(bdev_close(dev), 0);
	return hit;
}

static const char *const images[] = {
	"-t ext4 -b 1024 -J size=1 -N 128",
	"-t ext3 -b 1024 -J size=1 -N 128 -I 128",
	"-t ext4 -b 4096 -J size=4 -N 128 -O "
	"metadata_csum,64bit,orphan_file,^resize_inode",
};

#define NIMAGES (sizeof(images) / sizeof(images[0]))

/* Every @step-th fault: all of them take a while. */
static unsigned long step_of(const char *env, unsigned long other)
{
	const char *s = getenv(env);
	unsigned long n = s ? strtoul(s, NULL, 0) : other;

	return n ? n : 1;
}

static void each_io(uint32_t ops, uint64_t count)
{
	unsigned long step = step_of("FAULT_STEP", 1);
	struct emu_img *img;
	uint64_t n;
	size_t i;

	for (i = 0; i < NIMAGES; i++) {
		img = make_image(images[i]);
		if (!img) {
			printf("skip: mke2fs is missing\n");
			skip();
		}
		for (n = 1; run_io(img, ops, n, count); n += step)
			;
		printf("# image %zu: %llu faults\n", i,
				(unsigned long long)n - 1);
		assert_true(n > 10 || ops == EMU_OP(BDEV_FLUSH));
		emu_img_free(img);
	}
}

static void one_failed_write_is_survived(void **state)
{
	each_io(EMU_OP(BDEV_WRITE) | EMU_OP(BDEV_ZERO), 1);
}

static void a_device_that_stops_taking_writes_is_survived(void **state)
{
	each_io(EMU_OP(BDEV_WRITE) | EMU_OP(BDEV_ZERO) | EMU_OP(BDEV_FLUSH), 0);
}

static void one_failed_flush_is_survived(void **state)
{
	each_io(EMU_OP(BDEV_FLUSH), 1);
}

static void one_failed_read_is_survived(void **state)
{
	each_io(EMU_OP(BDEV_READ), 1);
}

static void each_allocation(bool from_then_on)
{
	unsigned long step = step_of("FAULT_STEP", 1);
	struct emu_img *img;
	long n;
	size_t i;

	for (i = 0; i < NIMAGES; i++) {
		img = make_image(images[i]);
		if (!img) {
			printf("skip: mke2fs is missing\n");
			skip();
		}
		for (n = 1; run_memory(img, n, from_then_on); n += (long)step)
			;
		printf("# image %zu: %ld allocations\n", i, n - 1);
		assert_true(n > 10);
		emu_img_free(img);
	}
}

static void one_failed_allocation_is_survived(void **state)
{
	each_allocation(false);
}

static void no_more_memory_is_survived(void **state)
{
	each_allocation(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_failed_write_is_survived),
		cmocka_unit_test(a_device_that_stops_taking_writes_is_survived),
		cmocka_unit_test(one_failed_flush_is_survived),
		cmocka_unit_test(one_failed_read_is_survived),
		cmocka_unit_test(one_failed_allocation_is_survived),
		cmocka_unit_test(no_more_memory_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
