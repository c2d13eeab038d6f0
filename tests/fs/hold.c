/* SPDX-License-Identifier: MIT */
/*
 * See hold.h.
 */
#include "hold.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define NAP_US 200

/* ---- the device ---- */

static struct hold *hold_of(struct bdev *dev)
{
	return container_of(dev, struct hold, dev);
}

static bool hold_keeps(struct hold *r, struct bdev_io *io)
{
	bool keep;

	if (io->op != BDEV_WRITE || bdev_tag_kind(io->tag) != BDEV_TAG_DATA)
		return false;
	pthread_mutex_lock(&r->lock);
	keep = r->want > 0 && r->n < HOLD_MAX;
	if (keep) {
		r->want--;
		r->landed[r->n] = false;
		r->io[r->n++] = io;
	}
	pthread_mutex_unlock(&r->lock);
	return keep;
}

static void hold_submit(struct bdev *dev, struct bdev_io **ios, unsigned int n)
{
	struct hold *r = hold_of(dev);

	for (unsigned int i = 0; i < n; i++)
		if (!hold_keeps(r, ios[i]))
			r->b.dev->ops->submit(r->b.dev, &ios[i], 1);
}

static int hold_poll(struct bdev *dev, unsigned int min, int timeout_ms)
{
	(void)dev;
	if (min > 0 && timeout_ms != 0)
		usleep(NAP_US);
	return 0;
}

static int hold_dev_close(struct bdev *dev)
{
	(void)dev;
	return 0;
}

static const struct bdev_ops hold_ops = {
	.name = "held",
	.submit = hold_submit,
	.poll = hold_poll,
	.close = hold_dev_close,
};

void hold_next(struct hold *r, int n)
{
	pthread_mutex_lock(&r->lock);
	for (int i = 0; i < r->n; i++)
		assert_null(r->io[i]);
	r->n = 0;
	r->want = n;
	pthread_mutex_unlock(&r->lock);
}

int hold_count(struct hold *r)
{
	int n;

	pthread_mutex_lock(&r->lock);
	n = r->n;
	pthread_mutex_unlock(&r->lock);
	return n;
}

void hold_wait(struct hold *r, int n)
{
	while (hold_count(r) < n)
		usleep(NAP_US);
}

static struct bdev_io *hold_get(struct hold *r, int i, bool take, bool *landed)
{
	struct bdev_io *io;

	pthread_mutex_lock(&r->lock);
	assert_in_range(i, 0, r->n - 1);
	io = r->io[i];
	*landed = r->landed[i];
	r->landed[i] = true;
	if (take)
		r->io[i] = NULL;
	pthread_mutex_unlock(&r->lock);
	assert_non_null(io);
	return io;
}

void hold_land(struct hold *r, int i)
{
	bool landed;
	struct bdev_io *io = hold_get(r, i, false, &landed);

	assert_false(landed);
	assert_int_equal(bdev_run(r->b.dev, io), 0);
}

void hold_end(struct hold *r, int i, int err)
{
	bool landed;
	struct bdev_io *io = hold_get(r, i, true, &landed);

	if (err == 0 && !landed)
		err = bdev_run(r->b.dev, io);
	bdev_io_done(io, err);
}

/* ---- mounting ---- */

void hold_mount(struct hold *r)
{
	struct emu_img *img;
	int ret;

	r->b.e.log[0] = '\0';
	assert_int_equal(emu_img_load(r->b.e.img, &img), 0);
	assert_int_equal(bdev_emu_open(img, NULL, &r->b.dev), 0);
	emu_img_free(img);
	r->dev.geo = r->b.dev->geo;
	ret = fs_mount(&r->dev, false, &r->b.opts, &r->b.e.fs);
	if (ret < 0)
		fail_msg("mount: %s: %s", uext4_strerror(ret), r->b.e.log);
	if (r->cuts)
		assert_int_equal(bdev_emu_record(r->b.dev), 0);
}

/* Every block that is free is written once, by a file that is removed. */
static void hold_fill_poison(struct hold *r)
{
	struct uext4_file *f = env_open(&r->b.e, "/poison", HOLD_DIRECT);
	size_t len = 1 << 20;
	void *buf = env_alloc(len, HOLD_POISON);
	uint64_t pos = 0;
	ssize_t n;

	while (len >= 4096) {
		n = uext4_pwrite(f, buf, len, pos);
		if (n > 0)
			pos += (uint64_t)n;
		else
			len /= 2;
	}
	free(buf);
	env_close(f);
	/* The few blocks that were left would be taken first. */
	f = env_open(&r->b.e, "/plug", HOLD_RW);
	for (pos = 0; uext4_fallocate(f, UEXT4_FALLOC_KEEP_SIZE, pos,
				      r->b.e.bs) == 0;)
		pos += r->b.e.bs;
	env_close(f);
	assert_int_equal(env_unlink(&r->b.e, "/poison"), 0);
	assert_int_equal(uext4_sync(r->b.e.fs), 0);
}

void hold_open(struct hold *r, const char *profile, const char *size,
		const struct hold_opts *opts)
{
	memset(r, 0, sizeof(*r));
	pthread_mutex_init(&r->lock, NULL);
	r->dev.ops = &hold_ops;
	bug_image(&r->b, profile, size);
	r->b.opts.dio_alloc = opts->alloc;
	r->b.opts.dio_extend = opts->extend;
	r->b.opts.dio_size = opts->size;
	if (opts->tune != NULL)
		assert_int_equal(env_sh("tune2fs %s %s >/dev/null 2>&1",
						 opts->tune, r->b.e.img),
				0);
	r->cuts = opts->cuts;
	hold_mount(r);
	if (opts->poison)
		hold_fill_poison(r);
}

void hold_cut(struct hold *r)
{
	bug_cut(&r->b);
	hold_mount(r);
}

void hold_close(struct hold *r, bool judge)
{
	hold_next(r, 0);
	bug_close(&r->b, judge);
	pthread_mutex_destroy(&r->lock);
}

/* ---- calls ---- */

static void *call_write_main(void *arg)
{
	struct hold_call *c = arg;
	struct iovec iov = { c->buf, c->len };

	c->ret = uext4_pwritev2(c->file, &iov, 1, c->pos, c->rwf);
	atomic_store(&c->done, 1);
	return NULL;
}

void hold_call_write(struct hold_call *c, struct uext4_file *f, uint64_t pos,
		size_t len, int byte, unsigned rwf)
{
	*c = (struct hold_call){
		.file = f,
		.buf = env_alloc(len, byte),
		.len = len,
		.pos = pos,
		.rwf = rwf,
	};
	assert_int_equal(pthread_create(&c->thread, NULL, call_write_main, c),
			0);
}

static void *call_truncate_main(void *arg)
{
	struct hold_call *c = arg;

	c->ret = uext4_ftruncate(c->file, c->pos);
	atomic_store(&c->done, 1);
	return NULL;
}

void hold_call_truncate(
		struct hold_call *c, struct uext4_file *f, uint64_t size)
{
	*c = (struct hold_call){ .file = f, .pos = size };
	assert_int_equal(
			pthread_create(&c->thread, NULL, call_truncate_main, c),
			0);
}

ssize_t hold_call_join(struct hold_call *c)
{
	pthread_join(c->thread, NULL);
	free(c->buf);
	return c->ret;
}

struct uext4_queue *hold_queue(struct hold *r, unsigned depth)
{
	struct uext4_queue_opts o = { .size = sizeof(o), .depth = depth };
	struct uext4_queue *q;

	assert_int_equal(uext4_queue_open(r->b.e.fs, &o, &q), 0);
	return q;
}

/* user_data is this; the data follows at the next page. */
struct write_mem {
	unsigned id;
};

void hold_write(struct uext4_queue *q, struct uext4_file *f, uint64_t pos,
		size_t len, int byte, unsigned rwf, unsigned id)
{
	struct write_mem *m = env_alloc(4096 + len, byte);
	struct uext4_sqe sqe = {
		.op = UEXT4_OP_WRITE,
		.flags = rwf,
		.file = f,
		.pos = pos,
		.buf = (uint8_t *)m + 4096,
		.len = len,
		.user_data = (uintptr_t)m,
	};

	m->id = id;
	assert_int_equal(uext4_queue_prep(q, &sqe), 0);
	assert_int_equal(uext4_queue_submit(q), 1);
}

int hold_events(struct uext4_queue *q, int min, int64_t *res)
{
	struct uext4_event ev[HOLD_MAX];
	int n = uext4_queue_wait(q, (unsigned)min, min ? -1 : 0, ev, HOLD_MAX);

	for (int i = 0; i < n; i++) {
		struct write_mem *m = (void *)(uintptr_t)ev[i].user_data;

		if (res != NULL)
			res[m->id] = ev[i].result;
		free(m);
	}
	return n;
}

/* ---- looking ---- */

void hold_gate(struct uext4_file *f, iomap_gate_fn fn, void *ctx)
{
	f->inode->file.gate_ctx = ctx;
	f->inode->file.gate = fn;
}

void hold_wait_contended(struct uext4_file *f)
{
	while (!rwsem_is_contended(&f->inode->rwsem))
		usleep(NAP_US);
}

void hold_lacks(struct uext4_file *f, uint32_t what)
{
	atomic_store(&f->inode->file.lacks, what);
}

size_t hold_differ(struct uext4_file *f, uint64_t pos, size_t len, int byte)
{
	uint8_t *buf = env_alloc(len, ~byte);
	ssize_t n = uext4_pread(f, buf, len, pos);
	size_t differ = 0;

	assert_true(n >= 0);
	for (size_t i = 0; i < len; i++)
		differ += i >= (size_t)n || buf[i] != (uint8_t)byte;
	free(buf);
	return differ;
}

bool hold_reads(struct uext4_file *f, uint64_t pos, size_t len, int byte)
{
	return hold_differ(f, pos, len, byte) == 0;
}

uint64_t hold_next_block(struct uext4_file *f, uint64_t pos)
{
	struct inode *inode = f->inode;
	uint32_t bits = inode->file.blkbits;
	struct map_run run;
	int ret;

	ret = map_next(&inode->map, (lblk_t)((pos + (1u << bits) - 1) >> bits),
			&run);
	if (ret == -ENOENT)
		return UINT64_MAX;
	assert_int_equal(ret, 0);
	return (uint64_t)run.lblk << bits;
}
