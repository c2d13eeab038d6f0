/* SPDX-License-Identifier: MIT */
/*
 * Devices: the front's rules V1-V6 and what each backend promises. Every
 * backend passes the same table; what only one can do comes after it.
 */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "bdev/bdev.h"
#include "bdev/bdev_emu.h"
#include "uext4/uext4_dev.h"

#define SIZE (256u << 10)

/* ---- a user's device over memory that counts its calls ---- */

struct disk {
	uint8_t *mem;
	uint64_t size;
	uint32_t sector;
	int misaligned;
	int flushes;
	int fuas;
};

static int disk_size(void *ctx, uint64_t *ret_size)
{
	*ret_size = ((struct disk *)ctx)->size;
	return 0;
}

static int disk_pread(void *ctx, void *buf, size_t len, uint64_t pos)
{
	struct disk *d = ctx;

	d->misaligned += pos % d->sector != 0 || len % d->sector != 0;
	memcpy(buf, d->mem + pos, len);
	return 0;
}

static int disk_pwrite(void *ctx, const void *buf, size_t len, uint64_t pos,
		uint32_t flags)
{
	struct disk *d = ctx;

	d->misaligned += pos % d->sector != 0 || len % d->sector != 0;
	d->fuas += (flags & UEXT4_DEV_FUA) != 0;
	memcpy(d->mem + pos, buf, len);
	return 0;
}

static int disk_flush(void *ctx)
{
	((struct disk *)ctx)->flushes++;
	return 0;
}

static const struct uext4_dev_ops disk_ops = {
	.size = disk_size,
	.pread = disk_pread,
	.pwrite = disk_pwrite,
	.flush = disk_flush,
};

/* ---- the table of backends ---- */

struct env {
	struct bdev *dev;
	char path[64];
	struct disk disk;
};

static void make_file(struct env *env, uint64_t size)
{
	int fd;

	snprintf(env->path, sizeof(env->path), "/tmp/t_bdev.XXXXXX");
	fd = mkstemp(env->path);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	close(fd);
}

static void open_file(struct env *env, uint32_t flags, uint64_t offset)
{
	struct bdev_file_opts opts = {
		.flags = flags, .offset = offset, .limit = SIZE
	};

	make_file(env, SIZE + 2 * offset);
	assert_int_equal(bdev_file_open(env->path, &opts, &env->dev), 0);
}

static void open_user(struct env *env, uint32_t sector)
{
	struct uext4_dev udev = {
		.ops = &disk_ops, .ctx = &env->disk, .sector_size = sector
	};

	env->disk = (struct disk){
		.mem = calloc(1, SIZE), .size = SIZE, .sector = sector
	};
	assert_int_equal(bdev_user_open(&udev, NULL, &env->dev), 0);
}

static void open_emu(struct env *env, uint32_t flags, uint32_t sector)
{
	struct bdev_emu_opts opts = { .flags = flags, .sector = sector };
	struct emu_img *img;

	assert_int_equal(emu_img_new(SIZE, &img), 0);
	assert_int_equal(bdev_emu_open(img, &opts, &env->dev), 0);
	emu_img_free(img);
	assert_int_equal(bdev_emu_record(env->dev), 0);
}

enum backend {
	FILE_CACHED,
	FILE_DIRECT,
	FILE_PART,
	FILE_ODD_PART,
	MEM,
	USER_512,
	USER_4096,
	EMU,
	EMU_4K,
	EMU_ASYNC,
	BACKENDS,
};

static void env_open(struct env *env, enum backend which)
{
	memset(env, 0, sizeof(*env));
	switch (which) {
	case FILE_CACHED:
		open_file(env, 0, 0);
		break;
	case FILE_DIRECT:
		open_file(env, BDEV_OPEN_DIRECT, 0);
		break;
	case FILE_PART:
		open_file(env, BDEV_OPEN_DIRECT, 1 << 20);
		break;
	case FILE_ODD_PART:
		open_file(env, BDEV_OPEN_DIRECT, 777);
		assert_false(env->dev->geo.direct);
		break;
	case MEM:
		assert_int_equal(bdev_mem_open(NULL, SIZE, 0, &env->dev), 0);
		break;
	case USER_512:
	case USER_4096:
		open_user(env, which == USER_512 ? 512 : 4096);
		break;
	case EMU_ASYNC:
		open_emu(env, BDEV_EMU_F_ASYNC, 512);
		break;
	default:
		open_emu(env, 0, which == EMU ? 512 : 4096);
	}
	assert_int_equal(bdev_size(env->dev), SIZE);
}

static void env_close(struct env *env)
{
	assert_int_equal(bdev_close(env->dev), 0);
	assert_int_equal(env->disk.misaligned, 0);
	free(env->disk.mem);
	if (env->path[0])
		unlink(env->path);
}

/* ---- the table of claims ---- */

/* Random requests of any alignment against a plain array. */
static void bytes_come_back(struct bdev *dev)
{
	uint8_t *model = calloc(1, SIZE);
	uint8_t *buf = malloc(SIZE);
	unsigned int seed = 7;
	int i;

	for (i = 0; i < 400; i++) {
		uint64_t unit = (uint64_t[]){ 1, 512, 4096 }[rand_r(&seed) % 3];
		uint64_t pos = (uint64_t)rand_r(&seed) % SIZE / unit * unit;
		size_t len = (size_t)rand_r(&seed) % 20000 / unit * unit;
		uint32_t fua = rand_r(&seed) % 8 ? 0 : BDEV_F_FUA;
		size_t cut;

		if (len > SIZE - pos)
			len = SIZE - pos;
		cut = len ? (size_t)rand_r(&seed) % len : 0;
		switch (rand_r(&seed) % 4) {
		case 0:
			memset(model + pos, 0, len);
			assert_int_equal(bdev_zero(dev, pos, len, fua | (i & 2),
							 0),
					0);
			break;
		case 1:
			memset(buf, i, len);
			memcpy(model + pos, buf, len);
			assert_int_equal(bdev_write(dev, pos, buf, len, fua,
							 BDEV_TAG_DATA),
					0);
			break;
		case 2: {
			struct iovec iov[3] = { { buf, cut }, { NULL, 0 },
				{ buf + cut, len - cut } };

			memset(buf, ~i, len);
			memcpy(model + pos, buf, len);
			assert_int_equal(bdev_writev(dev, pos, iov, 3, fua, 0),
					0);
			break;
		}
		default: {
			struct iovec iov[2] = { { buf, cut },
				{ buf + cut, len - cut } };

			assert_int_equal(bdev_readv(dev, pos, iov, 2, 0, 0), 0);
			assert_memory_equal(buf, model + pos, len);
		}
		}
		if (i % 50 == 0)
			assert_int_equal(bdev_flush(dev, 0), 0);
	}
	assert_int_equal(bdev_read(dev, 0, buf, SIZE, 0, 0), 0);
	assert_memory_equal(buf, model, SIZE);
	free(model);
	free(buf);
}

static void outside_is_refused(struct bdev *dev)
{
	uint8_t buf[1024] = { 0 };

	assert_int_equal(bdev_read(dev, SIZE - 512, buf, 513, 0, 0), -EIO);
	assert_int_equal(bdev_read(dev, UINT64_MAX, buf, 2, 0, 0), -EIO);
	assert_int_equal(bdev_write(dev, SIZE, buf, 1, 0, 0), -ENOSPC);
	assert_int_equal(
			bdev_write(dev, UINT64_MAX - 1, buf, 8, 0, 0), -ENOSPC);
	assert_int_equal(bdev_zero(dev, 1, SIZE, 0, 0), -ENOSPC);
	assert_int_equal(bdev_discard(dev, SIZE - 1, 2, 0), -ENOSPC);
	assert_int_equal(bdev_write(dev, SIZE, buf, 0, 0, 0), 0);
	assert_int_equal(bdev_read(dev, SIZE - 512, buf, 512, 0, 0), 0);
	assert_int_equal(bdev_discard(dev, 0, 8192, 0), 0);
}

struct async {
	struct bdev_io io;
	struct iovec iov;
	uint8_t buf[4096];
	int times;
};

static void async_done(struct bdev_io *io)
{
	((struct async *)io->ctx)->times++;
}

/* A batch with one bad request among good ones: each is answered once. */
static void batch_is_answered_once(struct bdev *dev)
{
	struct async *a = calloc(16, sizeof(*a));
	struct bdev_io *ios[16];
	int left = 16;
	int i;

	for (i = 0; i < 16; i++) {
		memset(a[i].buf, i + 1, sizeof(a[i].buf));
		a[i].iov = (struct iovec){ a[i].buf, sizeof(a[i].buf) };
		a[i].io = (struct bdev_io){ .op = BDEV_WRITE,
			.pos = i == 5 ? SIZE : (uint64_t)i * 4096,
			.iov = &a[i].iov,
			.iovcnt = 1,
			.done = async_done,
			.ctx = &a[i] };
		ios[i] = &a[i].io;
	}
	bdev_submit(dev, ios, 16);
	while (left > 0) {
		assert_true(bdev_poll(dev, 1, 100) >= 0);
		left = 0;
		for (i = 0; i < 16; i++)
			left += a[i].times == 0;
	}
	assert_int_equal(bdev_poll(dev, 1, 0), 0);
	for (i = 0; i < 16; i++) {
		uint8_t buf[4096];

		assert_int_equal(a[i].times, 1);
		assert_int_equal(a[i].io.result, i == 5 ? -ENOSPC : 0);
		if (i == 5)
			continue;
		assert_int_equal(bdev_read(dev, a[i].io.pos, buf, 4096, 0, 0),
				0);
		assert_memory_equal(buf, a[i].buf, 4096);
	}
	free(a);
}

static void every_backend(void (*claim)(struct bdev *dev))
{
	struct env env;
	int i;

	for (i = 0; i < BACKENDS; i++) {
		env_open(&env, (enum backend)i);
		claim(env.dev);
		env_close(&env);
	}
}

static void all_return_what_was_written(void **state)
{
	every_backend(bytes_come_back);
}

static void all_refuse_what_lies_outside(void **state)
{
	every_backend(outside_is_refused);
}

static void all_answer_each_request_once(void **state)
{
	every_backend(batch_is_answered_once);
}

/* ---- threads on one asynchronous device ---- */

static void *hammer(void *arg)
{
	struct bdev *dev = ((void **)arg)[0];
	uint64_t me = (uintptr_t)((void **)arg)[1];
	uint8_t buf[512];
	uint8_t back[512];
	int i;

	for (i = 0; i < 300; i++) {
		uint64_t pos = (me * 64 + (uint64_t)i % 64) * 512;

		memset(buf, i + (int)me, sizeof(buf));
		if (bdev_write(dev, pos, buf, 512, 0, 0) < 0 ||
				bdev_read(dev, pos, back, 512, 0, 0) < 0 ||
				memcmp(buf, back, 512) != 0)
			return (void *)1;
	}
	return NULL;
}

static void threads_reap_each_other(void **state)
{
	pthread_t threads[4];
	void *args[4][2];
	struct env env;
	void *bad;
	int i;

	env_open(&env, EMU_ASYNC);
	for (i = 0; i < 4; i++) {
		args[i][0] = env.dev;
		args[i][1] = (void *)(uintptr_t)i;
		assert_int_equal(pthread_create(&threads[i], NULL, hammer,
						 args[i]),
				0);
	}
	for (i = 0; i < 4; i++) {
		pthread_join(threads[i], &bad);
		assert_null(bad);
	}
	env_close(&env);
}

/* ---- single backends ---- */

static void mem_is_mapped(void **state)
{
	struct bdev *dev;
	uint8_t buf[16];
	void *addr;

	assert_int_equal(bdev_mem_open(NULL, SIZE, 0, &dev), 0);
	assert_int_equal(bdev_map(dev, 4096, 4096, &addr), 0);
	memcpy(addr, "through the map", 16);
	assert_int_equal(bdev_read(dev, 4096, buf, 16, 0, 0), 0);
	assert_string_equal((char *)buf, "through the map");
	assert_int_equal(bdev_map(dev, SIZE - 1, 2, &addr), -EIO);
	assert_int_equal(bdev_close(dev), 0);
	assert_int_equal(bdev_mem_open(NULL, 0, 0, &dev), -EINVAL);
}

/* One set of bytes, by requests and by the map; the map reaches no further. */
static void file_is_mapped(void **state)
{
	enum backend kinds[] = { FILE_CACHED, FILE_PART, FILE_ODD_PART };
	struct env env;
	char buf[16];
	void *addr;
	void *again;

	for (int i = 0; i < 3; i++) {
		env_open(&env, kinds[i]);
		if (env.dev->geo.direct) { /* FILE_PART may be */
			env_close(&env);
			continue;
		}
		assert_int_equal(bdev_map(env.dev, 4097, 100, &addr), 0);
		memcpy(addr, "through the map", 16);
		bdev_stored(env.dev, 4097, 16, BDEV_TAG_DATA);
		assert_int_equal(bdev_read(env.dev, 4097, buf, 16, 0, 0), 0);
		assert_string_equal(buf, "through the map");
		assert_int_equal(bdev_flush(env.dev, 0), 0);
		assert_int_equal(bdev_write(env.dev, 4100, "OUGH", 4, 0, 0), 0);
		assert_memory_equal(addr, "thrOUGH the map", 16);
		assert_int_equal(bdev_zero(env.dev, 4097, 4, BDEV_F_NOUNMAP, 0),
				0);
		assert_memory_equal(addr, "\0\0\0\0UGH the map", 16);
		assert_int_equal(bdev_map(env.dev, 0, SIZE, &again), 0);
		assert_ptr_equal((uint8_t *)again + 4097, addr);
		assert_int_equal(bdev_map(env.dev, SIZE - 1, 2, &addr), -EIO);
		env_close(&env);
	}
}

/* Past the cache of the host, where positions allow it. */
static void file_can_turn_direct(void **state)
{
	struct env env;

	env_open(&env, FILE_CACHED);
	if (bdev_set_direct(env.dev) == 0) {
		assert_true(env.dev->geo.direct);
		assert_int_equal(bdev_set_direct(env.dev), 0);
	} else {
		print_message("no O_DIRECT here\n");
		assert_false(env.dev->geo.direct);
	}
	assert_int_equal(bdev_size(env.dev), SIZE);
	bytes_come_back(env.dev);
	env_close(&env);

	env_open(&env, FILE_ODD_PART);
	assert_int_equal(bdev_set_direct(env.dev), -EOPNOTSUPP);
	assert_int_equal(env.dev->geo.dio_align, 1);
	bytes_come_back(env.dev);
	env_close(&env);

	env_open(&env, MEM);
	assert_int_equal(bdev_set_direct(env.dev), -EOPNOTSUPP);
	env_close(&env);
}

static void file_map_can_be_read_only(void **state)
{
	struct bdev_file_opts ro = { .flags = BDEV_OPEN_RDONLY };
	struct env env;
	char buf[8] = "sample";
	void *addr;

	env_open(&env, FILE_CACHED);
	assert_int_equal(bdev_write(env.dev, 100, buf, 7, 0, 0), 0);
	assert_int_equal(bdev_close(env.dev), 0);
	assert_int_equal(bdev_file_open(env.path, &ro, &env.dev), 0);
	assert_int_equal(bdev_map(env.dev, 100, 7, &addr), 0);
	assert_string_equal((char *)addr, "sample");
	env_close(&env);
}

static void who_is_no_memory_has_no_map(void **state)
{
	struct env env;
	void *addr;

	env_open(&env, USER_512);
	assert_int_equal(bdev_map(env.dev, 0, 512, &addr), -EOPNOTSUPP);
	env_close(&env);
	env_open(&env, EMU);
	assert_int_equal(bdev_map(env.dev, 0, 512, &addr), -EOPNOTSUPP);
	env_close(&env);
	env_open(&env, FILE_DIRECT);
	if (!env.dev->geo.direct) {
		print_message("skip: no O_DIRECT here\n");
		env_close(&env);
		skip();
	}
	assert_int_equal(bdev_map(env.dev, 0, 512, &addr), -EOPNOTSUPP);
	env_close(&env);
}

static void mem_uses_callers_memory_and_can_be_read_only(void **state)
{
	uint8_t mem[4096] = "mine";
	struct bdev *dev;
	char buf[5] = "";

	assert_int_equal(
			bdev_mem_open(mem, sizeof(mem), BDEV_OPEN_RDONLY, &dev),
			0);
	assert_int_equal(bdev_read(dev, 0, buf, 4, 0, 0), 0);
	assert_string_equal(buf, "mine");
	assert_int_equal(bdev_write(dev, 0, buf, 4, 0, 0), -EROFS);
	assert_int_equal(bdev_zero(dev, 0, 4, 0, 0), -EROFS);
	assert_int_equal(bdev_discard(dev, 0, 4, 0), -EROFS);
	assert_int_equal(bdev_flush(dev, 0), 0);
	assert_int_equal(bdev_close(dev), 0);
}

static void file_lock_excludes_writers(void **state)
{
	struct bdev_file_opts ro = { .flags = BDEV_OPEN_RDONLY };
	struct bdev_file_opts nolock = { .flags = BDEV_OPEN_NOLOCK };
	struct bdev *a;
	struct bdev *b;
	struct env env;

	make_file(&env, SIZE);
	assert_int_equal(bdev_file_open(env.path, NULL, &a), 0);
	assert_int_equal(bdev_file_open(env.path, NULL, &b), -EBUSY);
	assert_int_equal(bdev_file_open(env.path, &ro, &b), -EBUSY);
	assert_int_equal(bdev_file_open(env.path, &nolock, &b), 0);
	assert_int_equal(bdev_close(b), 0);
	assert_int_equal(bdev_close(a), 0);
	assert_int_equal(bdev_file_open(env.path, &ro, &a), 0);
	assert_int_equal(bdev_file_open(env.path, &ro, &b), 0);
	assert_int_equal(bdev_write(b, 0, "x", 1, 0, 0), -EROFS);
	assert_int_equal(bdev_close(b), 0);
	assert_int_equal(bdev_file_open(env.path, NULL, &b), -EBUSY);
	assert_int_equal(bdev_close(a), 0);
	unlink(env.path);
}

static void file_open_refuses_what_is_no_disk(void **state)
{
	struct bdev_file_opts far = { .offset = SIZE + 1 };
	struct bdev_file_opts ro = { .flags = BDEV_OPEN_RDONLY };
	struct bdev *dev = NULL;
	struct env env;

	assert_int_equal(bdev_file_open("/nonexistent/x", NULL, &dev), -ENOENT);
	assert_int_equal(bdev_file_open("/tmp", NULL, &dev), -EISDIR);
	assert_int_equal(bdev_file_open("/tmp", &ro, &dev), -EISDIR);
	assert_int_equal(bdev_file_open("/dev/null", NULL, &dev), -EINVAL);
	make_file(&env, SIZE);
	assert_int_equal(bdev_file_open(env.path, &far, &dev), -EINVAL);
	unlink(env.path);
	assert_int_equal(mkfifo(env.path, 0600), 0);
	assert_int_equal(bdev_file_open(env.path, &ro, &dev), -EINVAL);
	unlink(env.path);
	assert_null(dev);
}

static void file_that_shrank_is_eio(void **state)
{
	struct env env;
	uint8_t buf[8192];

	env_open(&env, FILE_CACHED);
	assert_int_equal(truncate(env.path, 4096 + 100), 0);
	assert_int_equal(bdev_read(env.dev, 4096, buf, 4096, 0, 0), -EIO);
	assert_int_equal(bdev_read(env.dev, 8192, buf, 1, 0, 0), -EIO);
	assert_int_equal(bdev_read(env.dev, 0, buf, 4096, 0, 0), 0);
	env_close(&env);
}

/* A partition at an odd place: the bytes around it stay (F1). */
static void file_part_leaves_its_surroundings(void **state)
{
	enum backend parts[] = { FILE_PART, FILE_ODD_PART };
	uint64_t offset[] = { 1 << 20, 777 };
	struct env env;
	int i;

	for (i = 0; i < 2; i++) {
		uint8_t *file = malloc(SIZE + 2 * offset[i]);
		uint8_t *fill = malloc(SIZE + 2 * offset[i]);
		int fd;

		env_open(&env, parts[i]);
		memset(fill, 0xaa, SIZE + 2 * offset[i]);
		fd = open(env.path, O_RDWR);
		assert_int_equal(pwrite(fd, fill, SIZE + 2 * offset[i], 0),
				SIZE + 2 * offset[i]);
		fsync(fd);
		assert_int_equal(bdev_zero(env.dev, 0, SIZE, 0, 0), 0);
		bytes_come_back(env.dev);
		assert_int_equal(pread(fd, file, SIZE + 2 * offset[i], 0),
				SIZE + 2 * offset[i]);
		assert_memory_equal(file, fill, offset[i]);
		assert_memory_equal(file + offset[i] + SIZE, fill, offset[i]);
		close(fd);
		env_close(&env);
		free(file);
		free(fill);
	}
}

static void file_discard_frees_space(void **state)
{
	struct stat before;
	struct stat after;
	struct env env;
	uint8_t *buf = malloc(SIZE);

	env_open(&env, FILE_CACHED);
	memset(buf, 1, SIZE);
	assert_int_equal(bdev_write(env.dev, 0, buf, SIZE, 0, 0), 0);
	assert_int_equal(bdev_flush(env.dev, 0), 0);
	assert_int_equal(stat(env.path, &before), 0);
	assert_int_equal(bdev_discard(env.dev, 0, SIZE / 2, 0), 0);
	assert_int_equal(stat(env.path, &after), 0);
	assert_true(after.st_blocks < before.st_blocks);
	assert_int_equal(after.st_size, before.st_size);
	env_close(&env);
	free(buf);
}

static void user_without_fua_is_flushed(void **state)
{
	struct env env;

	env_open(&env, USER_512);
	assert_int_equal(bdev_write(env.dev, 0, "abc", 3, BDEV_F_FUA, 0), 0);
	assert_int_equal(env.disk.flushes, 1);
	assert_int_equal(env.disk.fuas, 0);
	assert_int_equal(bdev_flush(env.dev, 0), 0);
	assert_int_equal(env.disk.flushes, 2);
	env_close(&env);
}

static void user_fua_is_passed_on(void **state)
{
	struct disk disk = {
		.mem = calloc(1, SIZE), .size = SIZE, .sector = 512
	};
	struct uext4_dev udev = {
		.ops = &disk_ops, .ctx = &disk, .sector_size = 512, .has_fua = 1
	};
	struct bdev_file_opts part = { .offset = 4096, .limit = 8192 };
	struct bdev_file_opts odd = { .offset = 100 };
	struct bdev *dev;

	assert_int_equal(bdev_user_open(&udev, &odd, &dev), -EINVAL);
	assert_int_equal(bdev_user_open(&udev, &part, &dev), 0);
	assert_int_equal(bdev_size(dev), 8192);
	assert_int_equal(bdev_write(dev, 0, disk.mem, 512, BDEV_F_FUA, 0), 0);
	assert_int_equal(disk.fuas, 1);
	assert_int_equal(disk.flushes, 0);
	assert_int_equal(bdev_zero(dev, 8191, 1, BDEV_F_FUA, 0), 0);
	assert_int_equal(disk.fuas, 2);
	assert_int_equal(bdev_write(dev, 8192, "", 1, 0, 0), -ENOSPC);
	assert_int_equal(bdev_close(dev), 0);
	free(disk.mem);
}

static void tags_carry_kind_and_aux(void **state)
{
	uint64_t tag = BDEV_TAG(BDEV_TAG_J_COMMIT, 0x12345678u);

	assert_int_equal(bdev_tag_kind(tag), BDEV_TAG_J_COMMIT);
	assert_int_equal(bdev_tag_aux(tag), 0x12345678u);
	assert_string_equal(bdev_tag_name(bdev_tag_kind(tag)), "commit");
	assert_string_equal(bdev_tag_name((enum bdev_tag)200), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_return_what_was_written),
		cmocka_unit_test(all_refuse_what_lies_outside),
		cmocka_unit_test(all_answer_each_request_once),
		cmocka_unit_test(threads_reap_each_other),
		cmocka_unit_test(mem_is_mapped),
		cmocka_unit_test(file_is_mapped),
		cmocka_unit_test(file_can_turn_direct),
		cmocka_unit_test(file_map_can_be_read_only),
		cmocka_unit_test(who_is_no_memory_has_no_map),
		cmocka_unit_test(mem_uses_callers_memory_and_can_be_read_only),
		cmocka_unit_test(file_lock_excludes_writers),
		cmocka_unit_test(file_open_refuses_what_is_no_disk),
		cmocka_unit_test(file_that_shrank_is_eio),
		cmocka_unit_test(file_part_leaves_its_surroundings),
		cmocka_unit_test(file_discard_frees_space),
		cmocka_unit_test(user_without_fua_is_flushed),
		cmocka_unit_test(user_fua_is_passed_on),
		cmocka_unit_test(tags_carry_kind_and_aux),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
