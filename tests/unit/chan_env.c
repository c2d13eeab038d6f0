/* SPDX-License-Identifier: MIT */
#include "chan_env.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/lock.h"
#include "bdev/bdev_emu.h"
#include "uext4/uext4_dev.h"

/* ---- the user's device ---- */

static int disk_size(void *ctx, uint64_t *ret_size)
{
	*ret_size = SIZE;
	return 0;
}

static int disk_pread(void *ctx, void *buf, size_t len, uint64_t pos)
{
	struct disk *d = ctx;

	pthread_mutex_lock(&d->gate);
	pthread_mutex_unlock(&d->gate);
	memcpy(buf, d->mem + pos, len);
	return 0;
}

static int disk_pwrite(void *ctx, const void *buf, size_t len, uint64_t pos,
		uint32_t flags)
{
	struct disk *d = ctx;

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

/* ---- devices and channels ---- */

/* On the disk: where the test runs, which is a build directory. */
static void open_file(struct env *env, const char *dir, uint32_t flags,
		uint64_t offset)
{
	struct bdev_file_opts opts = {
		.flags = flags, .offset = offset, .limit = SIZE
	};
	int fd;

	snprintf(env->path, sizeof(env->path), "%s/t_bdev_chan.XXXXXX", dir);
	fd = mkstemp(env->path);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)(SIZE + 2 * offset)), 0);
	close(fd);
	assert_int_equal(bdev_file_open(env->path, &opts, &env->dev), 0);
}

static void open_user(struct env *env)
{
	struct uext4_dev udev = { .ops = &disk_ops,
		.ctx = &env->disk,
		.sector_size = 512,
		.has_fua = 1 };

	env->disk.mem = calloc(1, SIZE);
	pthread_mutex_init(&env->disk.gate, NULL);
	assert_int_equal(bdev_user_open(&udev, NULL, &env->dev), 0);
}

static void open_emu(struct env *env, uint32_t flags)
{
	struct bdev_emu_opts opts = { .flags = flags };
	struct emu_img *img;

	assert_int_equal(emu_img_new(SIZE, &img), 0);
	assert_int_equal(bdev_emu_open(img, &opts, &env->dev), 0);
	emu_img_free(img);
}

void dev_open(struct env *env, enum backend which)
{
	memset(env, 0, sizeof(*env));
	switch (which) {
	case FILE_SHM:
		open_file(env, "/dev/shm", 0, 0);
		break;
	case FILE_DISK:
		open_file(env, ".", 0, 0);
		break;
	case FILE_DIRECT:
		open_file(env, ".", BDEV_OPEN_DIRECT, 0);
		break;
	case FILE_ODD_PART:
		open_file(env, ".", 0, 777);
		break;
	case MEM:
		assert_int_equal(bdev_mem_open(NULL, SIZE, 0, &env->dev), 0);
		break;
	case USER:
		open_user(env);
		break;
	default:
		open_emu(env, which == EMU_ASYNC ? BDEV_EMU_F_ASYNC : 0);
	}
}

static bool is_file(enum backend which)
{
	return which <= FILE_ODD_PART;
}

bool chan_open(struct env *env, enum bdev_chan_kind kind, unsigned depth,
		int efd)
{
	struct bdev_chan_opts opts = {
		.kind = kind, .depth = depth, .eventfd = efd
	};
	int ret = bdev_chan_open(env->dev, &opts, &env->chan);

	if (ret == -EOPNOTSUPP && kind == BDEV_CHAN_URING) {
		print_message("skipped: io_uring is refused here\n");
		return false;
	}
	assert_int_equal(ret, 0);
	assert_int_equal(bdev_size(env->chan), SIZE);
	return true;
}

void dev_close(struct env *env)
{
	assert_int_equal(bdev_close(env->dev), 0);
	if (env->disk.mem)
		pthread_mutex_destroy(&env->disk.gate);
	free(env->disk.mem);
	if (env->path[0])
		unlink(env->path);
}

void run_claim(enum backend which, enum bdev_chan_kind kind, unsigned depth,
		void (*claim)(struct env *env))
{
	struct env env;

	dev_open(&env, which);
	if (chan_open(&env, kind, depth, -1)) {
		claim(&env);
		assert_int_equal(bdev_close(env.chan), 0);
	}
	dev_close(&env);
}

void every_channel(unsigned depth, void (*claim)(struct env *env))
{
	int i;

	for (i = 0; i < BACKENDS; i++) {
		enum backend which = (enum backend)i;

		if (is_file(which))
			run_claim(which, BDEV_CHAN_URING, depth, claim);
		run_claim(which, BDEV_CHAN_POOL, depth, claim);
		run_claim(which, BDEV_CHAN_INLINE, depth, claim);
	}
}

/* ---- requests ---- */

static void req_done(struct bdev_io *io)
{
	((struct req *)io->ctx)->times++;
}

void req_set(struct req *r, enum bdev_op op, uint64_t pos, size_t len)
{
	r->iov[0] = (struct iovec){ r->buf, len };
	r->times = 0;
	r->io = (struct bdev_io){ .op = op,
		.pos = pos,
		.len = len,
		.iov = r->iov,
		.iovcnt = 1,
		.result = 1,
		.done = req_done,
		.ctx = r };
}

struct req *reqs_new(unsigned n, size_t len)
{
	struct req *r = calloc(n, sizeof(*r));
	unsigned i;

	for (i = 0; i < n; i++) {
		r[i].buf = aligned_alloc(4096, (len + 4095) / 4096 * 4096);
		memset(r[i].buf, 0, len);
	}
	return r;
}

void reqs_free(struct req *r, unsigned n)
{
	unsigned i;

	for (i = 0; i < n; i++)
		free(r[i].buf);
	free(r);
}

void submit_all(struct bdev *chan, struct req *r, unsigned n)
{
	struct bdev_io *ios[256];
	unsigned i;

	assert_true(n <= 256);
	for (i = 0; i < n; i++)
		ios[i] = &r[i].io;
	bdev_submit(chan, ios, n);
}

unsigned count_done(struct req *r, unsigned n)
{
	unsigned done = 0;
	unsigned i;

	for (i = 0; i < n; i++)
		done += r[i].times != 0;
	return done;
}

void wait_all(struct bdev *chan, struct req *r, unsigned n)
{
	uint64_t end = time_now_ns() + 60000ull * NS_MS;

	while (count_done(r, n) < n) {
		assert_true(bdev_poll(chan, 1, 1000) >= 0);
		assert_true(time_now_ns() < end);
	}
}

void fill_slots(struct req *r, unsigned n, enum bdev_op op)
{
	unsigned i;

	for (i = 0; i < n; i++) {
		req_set(&r[i], op, (uint64_t)i * 4096, 4096);
		memset(r[i].buf, op == BDEV_WRITE ? (int)i + 1 : 0, 4096);
	}
}

void check_slots(struct req *r, unsigned n)
{
	unsigned i;

	for (i = 0; i < n; i++) {
		assert_int_equal(r[i].times, 1);
		assert_int_equal(r[i].io.result, 0);
		assert_int_equal(r[i].buf[0], (uint8_t)(i + 1));
		assert_int_equal(r[i].buf[4095], (uint8_t)(i + 1));
	}
}
