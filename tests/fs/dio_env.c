/* SPDX-License-Identifier: MIT */
/*
 * See dio_env.h.
 */
#include "dio_env.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "fs/fs.h"

#define U UEXT4_DIO_ALLOC_UNWRITTEN
#define D UEXT4_DIO_ALLOC_DATAFIRST
#define P UEXT4_DIO_EXTEND_PARALLEL
#define S UEXT4_DIO_EXTEND_SERIAL

const struct way ways[] = {
	{ "call datafirst parallel", false, D, P, UEXT4_DIO_SIZE_MAX },
	{ "call datafirst parallel prefix", false, D, P,
			UEXT4_DIO_SIZE_PREFIX },
	{ "call datafirst serial", false, D, S, UEXT4_DIO_SIZE_MAX },
	{ "call unwritten parallel", false, U, P, UEXT4_DIO_SIZE_MAX },
	{ "call unwritten serial", false, U, S, UEXT4_DIO_SIZE_MAX },
	{ "queue datafirst parallel", true, D, P, UEXT4_DIO_SIZE_MAX },
	{ "queue datafirst serial", true, D, S, UEXT4_DIO_SIZE_MAX },
	{ "queue unwritten parallel", true, U, P, UEXT4_DIO_SIZE_MAX },
	{ "queue unwritten parallel prefix", true, U, P,
			UEXT4_DIO_SIZE_PREFIX },
	{ "queue unwritten serial", true, U, S, UEXT4_DIO_SIZE_MAX },
};
const unsigned nways = sizeof(ways) / sizeof(ways[0]);
const struct way *way = &ways[0];

int ways_run(const char *group, const struct CMUnitTest *tests, size_t n,
		int argc, char **argv)
{
	char name[80];
	int failed = 0;

	if (!env_tools())
		return 77;
	if (argc > 2)
		cmocka_set_test_filter(argv[2]);
	for (unsigned i = 0; i < nways; i++) {
		if (argc > 1 && strstr(ways[i].name, argv[1]) == NULL)
			continue;
		way = &ways[i];
		(void)snprintf(name, sizeof(name), "%s: %s", group, way->name);
		failed += _cmocka_run_group_tests(name, tests, n, NULL, NULL);
	}
	return failed;
}

static void way_mount(struct bug *b)
{
	b->opts.dio_alloc = way->alloc;
	b->opts.dio_extend = way->extend;
	b->opts.dio_size = way->size;
	bug_mount(b);
	hold_reset(b);
}

void way_open(struct bug *b, const char *profile, const char *size)
{
	bug_image(b, profile, size);
	way_mount(b);
}

void way_open_bs(struct bug *b, uint32_t bs, bool extent)
{
	static struct env_profile p = { .name = "blocks", .has = ENV_ALL };
	static char opts[80];

	(void)snprintf(opts, sizeof(opts), "-t %s -b %u -I 256",
			extent ? "ext4" : "ext3", bs);
	p.mke2fs = opts;
	p.block_size = bs;
	bug_image_of(b, &p, bs > 4096 ? "192M" : "32M");
	way_mount(b);
}

/* ---- requests by queues ---- */

static const struct uext4_queue_opts queue_opts = {
	.size = sizeof(queue_opts),
	.depth = 1,
	.backend = UEXT4_QUEUE_POOL,
};

static void flight_start(struct flight *t, struct uext4_file *f,
		const struct uext4_sqe *sqe)
{
	t->buf = sqe->buf;
	assert_int_equal(uext4_queue_open(f->fs, &queue_opts, &t->q), 0);
	assert_int_equal(uext4_queue_prep(t->q, sqe), 0);
	assert_int_equal(uext4_queue_submit(t->q), 1);
}

void fly(struct flight *t, struct uext4_file *f, uint64_t pos, size_t len,
		int byte, unsigned rwf)
{
	flight_start(t, f,
			&(struct uext4_sqe){
					.op = UEXT4_OP_WRITE,
					.flags = rwf,
					.file = f,
					.pos = pos,
					.buf = env_alloc(len + 1, byte),
					.len = len,
			});
}

void fly_read(struct flight *t, struct uext4_file *f, uint64_t pos, size_t len)
{
	flight_start(t, f,
			&(struct uext4_sqe){
					.op = UEXT4_OP_READ,
					.file = f,
					.pos = pos,
					.buf = env_alloc(len, 0xee),
					.len = len,
			});
}

ssize_t flight_wait(struct flight *t)
{
	struct uext4_event ev;

	assert_int_equal(uext4_queue_wait(t->q, 1, -1, &ev, 1), 1);
	return (ssize_t)ev.result;
}

void flight_end(struct flight *t)
{
	uext4_queue_close(t->q);
	free(t->buf);
}

ssize_t land(struct flight *t)
{
	ssize_t n = flight_wait(t);

	flight_end(t);
	return n;
}

ssize_t write_rwf(struct uext4_file *f, uint64_t pos, size_t len, int byte,
		unsigned rwf)
{
	struct flight t;
	struct iovec iov;
	ssize_t n;

	if (way->by_queue) {
		fly(&t, f, pos, len, byte, rwf);
		return land(&t);
	}
	iov.iov_base = env_alloc(len + 1, byte);
	iov.iov_len = len;
	n = uext4_pwritev2(f, &iov, 1, pos, rwf);
	free(iov.iov_base);
	return n;
}

void put(struct uext4_file *f, uint64_t pos, size_t len, int byte)
{
	ssize_t n = write_rwf(f, pos, len, byte, 0);

	if (n != (ssize_t)len)
		fail_msg("%zu bytes at %llu: %zd", len, (unsigned long long)pos,
				n);
}

struct map_run run_at(struct uext4_file *f, uint64_t pos)
{
	struct map_run run;

	assert_int_equal(
			map_find(&f->inode->map,
					(lblk_t)(pos >> f->inode->file.blkbits),
					1, &run),
			0);
	return run;
}

/* ---- threads ---- */

static void *writer_main(void *arg)
{
	struct writer *w = arg;

	w->ret = write_rwf(w->file, w->pos, w->len, w->byte, w->rwf);
	atomic_store(&w->done, 1);
	return NULL;
}

static void writer_run(struct writer *w)
{
	assert_int_equal(pthread_create(&w->thread, NULL, writer_main, w), 0);
}

void writer_start(struct writer *w, struct uext4_file *f, uint64_t pos,
		size_t len, int byte)
{
	*w = (struct writer){ .file = f, .pos = pos, .len = len, .byte = byte };
	writer_run(w);
}

void writer_append(struct writer *w, struct uext4_file *f, size_t len, int byte,
		unsigned rwf)
{
	*w = (struct writer){ .file = f, .len = len, .byte = byte, .rwf = rwf };
	writer_run(w);
}

void writer_join(struct writer *w)
{
	pthread_join(w->thread, NULL);
	assert_int_equal(w->ret, w->len);
}

static void *locker_main(void *arg)
{
	struct locker *l = arg;

	rwsem_write_lock(&l->file->inode->rwsem);
	atomic_store(&l->has, 1);
	while (!atomic_load(&l->go))
		usleep(200);
	rwsem_write_unlock(&l->file->inode->rwsem);
	return NULL;
}

void locker_start(struct locker *l, struct uext4_file *f)
{
	*l = (struct locker){ .file = f };
	assert_int_equal(pthread_create(&l->thread, NULL, locker_main, l), 0);
	while (!atomic_load(&l->has))
		usleep(200);
}

void locker_end(struct locker *l)
{
	atomic_store(&l->go, 1);
	pthread_join(l->thread, NULL);
}

/* ---- holds ---- */

static struct hold {
	enum bdev_op op;
	int byte;
	atomic_int want, held, open;
} holds[HOLDS];

static bool hold_matches(const struct hold *h, const struct bdev_io *io)
{
	if (io->op != h->op)
		return false;
	if (io->op == BDEV_FLUSH)
		return true;
	if (bdev_tag_kind(io->tag) != BDEV_TAG_DATA)
		return false;
	if (h->byte == 0)
		return true;
	for (int i = 0; i < io->iovcnt; i++)
		if (*(const uint8_t *)io->iov[i].iov_base == h->byte)
			return true;
	return false;
}

static void hold_gate(void *ctx, const struct bdev_io *io)
{
	for (unsigned i = 0; i < HOLDS; i++) {
		struct hold *h = &holds[i];

		if (atomic_load(&h->want) <= 0 || !hold_matches(h, io) ||
				atomic_fetch_sub(&h->want, 1) <= 0)
			continue;
		atomic_fetch_add(&h->held, 1);
		while (!atomic_load(&h->open))
			usleep(200);
	}
}

void hold(unsigned i, enum bdev_op op, int byte, int n)
{
	struct hold *h = &holds[i];

	h->op = op;
	h->byte = byte;
	atomic_store(&h->held, 0);
	atomic_store(&h->open, 0);
	atomic_store(&h->want, n);
}

void hold_wait_n(unsigned i, int n)
{
	while (atomic_load(&holds[i].held) < n)
		usleep(200);
}

void hold_wait(unsigned i)
{
	hold_wait_n(i, 1);
}

bool hold_is_held(unsigned i)
{
	return atomic_load(&holds[i].held) > 0 && !atomic_load(&holds[i].open);
}

void hold_open(unsigned i)
{
	atomic_store(&holds[i].want, 0);
	atomic_store(&holds[i].open, 1);
}

void hold_reset(struct bug *b)
{
	for (unsigned i = 0; i < HOLDS; i++)
		hold_open(i);
	bdev_emu_set_gate(b->dev, hold_gate, NULL);
}

bool comes(atomic_int *is, int ms)
{
	for (int i = 0; i < ms * 5 && !atomic_load(is); i++)
		usleep(200);
	return atomic_load(is) != 0;
}
