/* SPDX-License-Identifier: MIT */
/*
 * Copies through a mapping of a file in memory: when they are made, what they
 * leave alone, and what happens when the file is not there any more.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "bdev/bdev.h"
#include "bdev/mapcopy.h"

#define CHUNK ((size_t)2 << 20)
#define SIZE  (2 * CHUNK + 65536 + 512) /* ends inside a page */
#define LARGE ((size_t)256 << 10)

struct file {
	char path[64];
	int fd;
	uint8_t *want;
	uint8_t *got;
	struct mapcopy *mc;
	struct bdev *dev;
};

static void on_bus(int sig)
{
	mapcopy_fault();
	(void)signal(sig, SIG_DFL);
}

static int file_setup(void **state)
{
	struct file *f = calloc(1, sizeof(*f));
	size_t i;

	assert_non_null(f);
	(void)snprintf(f->path, sizeof(f->path), "/dev/shm/t_mapcopy.XXXXXX");
	f->fd = mkstemp(f->path);
	f->want = malloc(SIZE);
	f->got = malloc(SIZE);
	assert_true(f->want && f->got);
	for (i = 0; i < SIZE; i++)
		f->want[i] = (uint8_t)(i * 7 + i / 4096 + 1);
	*state = f;
	return 0;
}

static int file_teardown(void **state)
{
	struct file *f = *state;

	mapcopy_close(f->mc);
	if (f->dev)
		assert_int_equal(bdev_close(f->dev), 0);
	(void)close(f->fd);
	(void)unlink(f->path);
	free(f->want);
	free(f->got);
	free(f);
	return 0;
}

/* In the test, which cmocka has set handlers of its own for. */
static void begin(struct file *f)
{
	struct statfs fs;

	if (f->fd < 0 || fstatfs(f->fd, &fs) < 0 || fs.f_type != TMPFS_MAGIC) {
		print_message("skip: /dev/shm is no tmpfs\n");
		skip();
	}
	assert_int_equal(pwrite(f->fd, f->want, SIZE, 0), SIZE);
	assert_true(signal(SIGBUS, on_bus) != SIG_ERR);
}

static void map(struct file *f)
{
	assert_int_equal(mapcopy_open(f->fd, SIZE, false, &f->mc), 0);
}

/* As much is read of each chunk as makes it ready, if it has no hole. */
static void warm(struct file *f)
{
	int i;

	for (i = 0; i < 2; i++)
		(void)mapcopy_read(f->mc, 0, f->got, SIZE);
	for (i = 0; i < (int)(CHUNK / 512) + 1; i++)
		(void)mapcopy_read(f->mc, 2 * CHUNK, f->got, 512);
}

static blkcnt_t blocks(struct file *f)
{
	struct stat st;

	assert_int_equal(fstat(f->fd, &st), 0);
	return st.st_blocks;
}

static void what_is_read_once_is_not_mapped(void **state)
{
	struct file *f = *state;

	begin(f);
	map(f);
	assert_int_equal(mapcopy_read(f->mc, 0, f->got, CHUNK - 1), 0);
	assert_int_equal(mapcopy_read(f->mc, CHUNK, f->got, CHUNK - 1), 0);
	assert_int_equal(mapcopy_write(f->mc, 0, f->want, 4096), 0);
}

static void what_is_read_again_is_copied(void **state)
{
	struct file *f = *state;

	begin(f);
	map(f);
	warm(f);
	memset(f->got, 0, SIZE);
	assert_int_equal(mapcopy_read(f->mc, 0, f->got, SIZE), SIZE);
	assert_memory_equal(f->got, f->want, SIZE);
	/* Across the border, to the last byte. */
	memset(f->got, 0, SIZE);
	assert_int_equal(mapcopy_read(f->mc, CHUNK - 1, f->got,
					 SIZE - CHUNK + 1),
			SIZE - CHUNK + 1);
	assert_memory_equal(f->got, f->want + CHUNK - 1, SIZE - CHUNK + 1);
}

static void large_writes_are_copied_small_ones_are_not(void **state)
{
	struct file *f = *state;

	begin(f);
	map(f);
	warm(f);
	memset(f->want + CHUNK - 4096, 0x5a, LARGE);
	assert_int_equal(mapcopy_write(f->mc, CHUNK - 4096,
					 f->want + CHUNK - 4096, LARGE),
			LARGE);
	assert_int_equal(pread(f->fd, f->got, SIZE, 0), SIZE);
	assert_memory_equal(f->got, f->want, SIZE);
	assert_int_equal(mapcopy_write(f->mc, 0, f->got, 4096), 0);
}

static void holes_are_not_filled_by_reading(void **state)
{
	struct file *f = *state;
	blkcnt_t before;

	begin(f);
	assert_int_equal(fallocate(f->fd,
					 FALLOC_FL_PUNCH_HOLE |
							 FALLOC_FL_KEEP_SIZE,
					 CHUNK + 8192, 4096),
			0);
	before = blocks(f);
	map(f);
	warm(f);
	warm(f);
	assert_int_equal(mapcopy_read(f->mc, 0, f->got, CHUNK), CHUNK);
	assert_int_equal(mapcopy_read(f->mc, CHUNK, f->got, 4096), 0);
	assert_int_equal(blocks(f), before);
}

static void what_was_punched_is_not_touched(void **state)
{
	struct file *f = *state;
	blkcnt_t before;

	begin(f);
	map(f);
	warm(f);
	assert_int_equal(fallocate(f->fd,
					 FALLOC_FL_PUNCH_HOLE |
							 FALLOC_FL_KEEP_SIZE,
					 4096, 8192),
			0);
	mapcopy_punched(f->mc, 4096, 8192);
	before = blocks(f);
	assert_int_equal(mapcopy_read(f->mc, 4096, f->got, 8192), 0);
	warm(f);
	assert_int_equal(mapcopy_read(f->mc, 0, f->got, 512), 0);
	assert_int_equal(blocks(f), before);
	/* The one beside it is as before. */
	assert_int_equal(mapcopy_read(f->mc, CHUNK, f->got, CHUNK), CHUNK);
}

static void a_file_cut_short_is_left_to_read_and_write(void **state)
{
	struct file *f = *state;

	begin(f);
	map(f);
	warm(f);
	assert_int_equal(ftruncate(f->fd, 4096), 0);
	assert_int_equal(mapcopy_read(f->mc, 0, f->got, LARGE), 0);
	assert_int_equal(mapcopy_read(f->mc, 0, f->got, 4096), 4096);
	assert_memory_equal(f->got, f->want, 4096);
	assert_true(mapcopy_write(f->mc, 0, f->want, LARGE) <= 4096);
	assert_int_equal(mapcopy_write(f->mc, LARGE, f->want, LARGE), 0);
	/* And again: the handler is still there. */
	assert_int_equal(mapcopy_read(f->mc, LARGE, f->got, LARGE), 0);
}

static void files_on_disks_are_not_mapped(void **state)
{
	struct mapcopy *mc;
	struct statfs fs;
	int fd = open("/", O_RDONLY | O_DIRECTORY);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(fstatfs(fd, &fs), 0);
	if (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC) {
		(void)close(fd);
		print_message("skip: the root is in memory\n");
		skip();
	}
	assert_int_equal(mapcopy_open(fd, SIZE, true, &mc), -EOPNOTSUPP);
	(void)close(fd);
}

static void files_of_others_are_not_mapped(void **state)
{
	struct file *f = *state;
	struct mapcopy *mc;
	int fd;

	begin(f);
	if (geteuid() != 0) {
		print_message("skip: needs root\n");
		skip();
	}
	assert_int_equal(fchmod(f->fd, 0644), 0);
	assert_int_equal(seteuid(65534), 0);
	fd = open(f->path, O_RDONLY);
	assert_true(fd >= 0);
	assert_int_equal(mapcopy_open(fd, SIZE, true, &mc), -EOPNOTSUPP);
	close(fd);
	assert_int_equal(seteuid(0), 0);
	fd = open(f->path, O_RDONLY);
	assert_int_equal(mapcopy_open(fd, SIZE, true, &f->mc), 0);
	close(fd);
	warm(f);
	assert_int_equal(mapcopy_read(f->mc, 0, f->got, SIZE), SIZE);
	assert_memory_equal(f->got, f->want, SIZE);
}

/* ---- as part of a device ---- */

static void use(struct file *f)
{
	size_t at;

	begin(f);
	assert_int_equal(bdev_file_open(f->path, NULL, &f->dev), 0);
	assert_int_equal(bdev_map_copies(f->dev), 0);
	for (at = 0; at < 2 * SIZE; at += 512)
		assert_int_equal(bdev_read(f->dev, at % SIZE, f->got, 512, 0,
						 BDEV_TAG_DATA),
				0);
}

static void a_device_reads_and_writes_the_same_bytes(void **state)
{
	struct file *f = *state;
	struct iovec iov[] = {
		{ f->got, LARGE },
		{ f->got + 2 * LARGE, 512 },
		{ f->got + LARGE, LARGE },
	};

	use(f);
	memset(f->got, 0, SIZE);
	assert_int_equal(bdev_readv(f->dev, CHUNK - 512, iov, 3, 0,
					 BDEV_TAG_DATA),
			0);
	assert_memory_equal(f->got, f->want + CHUNK - 512, LARGE);
	assert_memory_equal(
			f->got + 2 * LARGE, f->want + CHUNK - 512 + LARGE, 512);
	assert_memory_equal(f->got + LARGE, f->want + CHUNK + LARGE, LARGE);

	memset(f->got, 0x77, SIZE);
	assert_int_equal(bdev_writev(f->dev, 4096, iov, 3, BDEV_F_HUGE,
					 BDEV_TAG_DATA),
			0);
	assert_int_equal(pread(f->fd, f->got, SIZE, 0), SIZE);
	memset(f->want + 4096, 0x77, 2 * LARGE + 512);
	assert_memory_equal(f->got, f->want, SIZE);
}

static void a_device_that_was_cut_short_says_so(void **state)
{
	struct file *f = *state;

	use(f);
	assert_int_equal(ftruncate(f->fd, 4096), 0);
	assert_int_equal(bdev_read(f->dev, 8192, f->got, LARGE, 0,
					 BDEV_TAG_DATA),
			-EIO);
	assert_int_equal(bdev_read(f->dev, 0, f->got, 4096, 0, BDEV_TAG_DATA),
			0);
}

static void a_discard_is_seen_through_the_mapping(void **state)
{
	struct file *f = *state;
	blkcnt_t before;

	use(f);
	assert_int_equal(bdev_discard(f->dev, 0, LARGE, 0), 0);
	assert_int_equal(bdev_zero(f->dev, CHUNK, LARGE, 0, 0), 0);
	before = blocks(f);
	memset(f->want, 0, LARGE);
	memset(f->want + CHUNK, 0, LARGE);
	assert_int_equal(bdev_read(f->dev, 0, f->got, SIZE - 512, 0,
					 BDEV_TAG_DATA),
			0);
	assert_memory_equal(f->got, f->want, SIZE - 512);
	assert_int_equal(blocks(f), before);
}

static void metadata_changes_the_time_of_the_image(void **state)
{
	static const struct timespec past[2] = { { 1000, 0 }, { 1000, 0 } };
	struct file *f = *state;
	struct stat st;

	use(f);
	assert_int_equal(futimens(f->fd, past), 0);
	assert_int_equal(bdev_write(f->dev, 0, f->want, LARGE, BDEV_F_HUGE,
					 BDEV_TAG_METADATA),
			0);
	assert_int_equal(fstat(f->fd, &st), 0);
	assert_true(st.st_mtime > 1000);
}

/* ---- many threads ---- */

struct reader {
	struct file *f;
	pthread_t thread;
	atomic_bool *stop;
	unsigned seed;
	unsigned wrong;
};

static void *reader_main(void *arg)
{
	struct reader *r = arg;
	uint8_t buf[4096];

	while (!atomic_load(r->stop)) {
		size_t at = CHUNK + (size_t)rand_r(&r->seed) % (CHUNK / 2);

		if (bdev_read(r->f->dev, at, buf, sizeof(buf), 0,
				    BDEV_TAG_DATA) < 0 ||
				memcmp(buf, r->f->want + at, sizeof(buf)) != 0)
			r->wrong++;
	}
	return NULL;
}

static void chunks_become_ready_and_cold_under_readers(void **state)
{
	struct file *f = *state;
	struct reader r[3];
	atomic_bool stop;
	unsigned i;

	atomic_init(&stop, false);
	use(f);
	for (i = 0; i < 3; i++) {
		r[i] = (struct reader){ .f = f, .stop = &stop, .seed = i };
		assert_int_equal(pthread_create(&r[i].thread, NULL, reader_main,
						 &r[i]),
				0);
	}
	for (i = 0; i < 300; i++) {
		/* Beside what they read, in the same chunk. */
		assert_int_equal(bdev_discard(f->dev, CHUNK + CHUNK / 2 + 8192,
						 4096, 0),
				0);
		assert_int_equal(bdev_write(f->dev, CHUNK + CHUNK / 2 + 8192,
						 f->want, 4096, 0,
						 BDEV_TAG_DATA),
				0);
		usleep(500);
	}
	atomic_store(&stop, true);
	for (i = 0; i < 3; i++) {
		(void)pthread_join(r[i].thread, NULL);
		assert_int_equal(r[i].wrong, 0);
	}
}

#define CASE(name)                                                             \
 cmocka_unit_test_setup_teardown(name, file_setup, file_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(what_is_read_once_is_not_mapped),
		CASE(what_is_read_again_is_copied),
		CASE(large_writes_are_copied_small_ones_are_not),
		CASE(holes_are_not_filled_by_reading),
		CASE(what_was_punched_is_not_touched),
		CASE(a_file_cut_short_is_left_to_read_and_write),
		cmocka_unit_test(files_on_disks_are_not_mapped),
		CASE(files_of_others_are_not_mapped),
		CASE(a_device_reads_and_writes_the_same_bytes),
		CASE(a_device_that_was_cut_short_says_so),
		CASE(a_discard_is_seen_through_the_mapping),
		CASE(metadata_changes_the_time_of_the_image),
		CASE(chunks_become_ready_and_cold_under_readers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
