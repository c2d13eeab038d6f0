/* SPDX-License-Identifier: MIT */
/*
 * The workload's side of pw_queue.h.
 */
#include "power/pw_queue.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hmap.h"
#include "bdev/bdev_emu.h"
#include "fs/file.h"
#include "fs/fs.h"
#include "journal/journal.h"
#include "power/pw_int.h"

uint32_t pwq_random(struct pw *pw, uint32_t n)
{
	pw->q.rnd = hmap_mix(pw->q.rnd + 0x9e3779b97f4a7c15u);
	return (uint32_t)(pw->q.rnd >> 33) % n;
}

/* ---- files ---- */

struct pwq_file *pwq_find(struct pw *pw, uint32_t ino, uint32_t gen)
{
	struct pwq_file *f;

	for (f = pw->q.files; f; f = f->next) {
		if (f->ino == ino && f->gen == gen)
			return f;
	}
	return NULL;
}

static struct pwq_rec *rec_new(
		struct pwq_file *f, uint64_t pos, uint64_t len, bool data)
{
	struct pwq_rec *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	assert_true(pos % PWQ_SECTOR == 0);
	r->file = f;
	r->id = ++f->pw->q.nrecs;
	r->begin = f->pw->nops;
	r->end = PWQ_NEVER;
	r->drained = PWQ_NEVER;
	r->durable = PWQ_NEVER;
	r->pos = pos;
	r->len = len;
	r->size = PWQ_NONE;
	r->older = f->recs;
	f->recs = r;
	if (data) {
		void *p = NULL;

		assert_true(len % PWQ_SECTOR == 0);
		assert_int_equal(posix_memalign(&p, 4096, len), 0);
		r->data = p;
	}
	return r;
}

/* Every eight bytes say whose they are. */
static void rec_fill(struct pwq_rec *r)
{
	uint64_t i;

	for (i = 0; i < r->len; i += 8) {
		uint32_t sector = (uint32_t)((r->pos + i) / PWQ_SECTOR);
		uint8_t b[8] = { 'Q', (uint8_t)r->id, (uint8_t)(r->id >> 8),
			'#', (uint8_t)sector, (uint8_t)(sector >> 8), 'w',
			0xa5 };

		memcpy(r->data + i, b, sizeof(b));
	}
}

static void open_queue(struct pw *pw)
{
	const struct uext4_queue_opts o = {
		.size = sizeof(o),
		.depth = PWQ_DEPTH,
	};

	if (pw->q.queue)
		return;
	pw->q.rnd = hmap_mix(pw->setup.seed + 1);
	assert_int_equal(uext4_queue_open(pw->fs, &o, &pw->q.queue), 0);
}

/* The worst moments for a commit: data on its way, there but in no map yet, and
 * in the map but with its request still open. */
static void at_gate(void *ctx, uint64_t pos, const char *at)
{
	struct pwq_file *f = ctx;
	struct pw *pw = f->pw;
	unsigned one_of = pw->setup.commit_one_of;

	if (pw->setup.at)
		pw->setup.at(f, pos, at);
	if (one_of == 0 || !pw->fs->journal ||
			(strcmp(at, "submitted") != 0 &&
					strcmp(at, "data_done") != 0 &&
					strcmp(at, "land") != 0) ||
			pwq_random(pw, one_of) != 0)
		return;
	(void)!journal_sync(pw->fs->journal);
}

struct pwq_file *pwq_file(struct pw *pw, const char *path)
{
	struct pwq_file *f = calloc(1, sizeof(*f));
	struct uext4_stat st;
	struct pwq_rec *r;
	uint8_t *data;

	assert_non_null(f);
	open_queue(pw);
	assert_int_equal(uext4_open(pw->fs, NULL, path,
					 UEXT4_O_RDWR | UEXT4_O_DIRECT, 0, NULL,
					 &f->file),
			0);
	assert_int_equal(uext4_node_stat(uext4_file_node(f->file), &st), 0);
	f->pw = pw;
	f->ino = st.ino;
	f->gen = st.generation;
	f->end = st.size;
	f->next = pw->q.files;
	pw->q.files = f;
	assert_int_equal(pw_read_all(uext4_file_node(f->file), st.size, &data),
			0);
	r = rec_new(f, 0, st.size, false);
	r->data = data;
	r->size = st.size;
	r->sets = true;
	r->begin = r->end = r->durable = 0;
#ifndef NDEBUG
	f->file->inode->file.gate = at_gate;
	f->file->inode->file.gate_ctx = f;
	atomic_store(&f->file->inode->file.lacks, pw->setup.lacks);
#else
	(void)at_gate;
#endif
	return f;
}

void pwq_forget(struct pw *pw)
{
	struct pwq_file *f;
	struct pwq_rec *r;

	while ((f = pw->q.files) != NULL) {
		pw->q.files = f->next;
		while ((r = f->recs) != NULL) {
			f->recs = r->older;
			free(r->data);
			free(r);
		}
		free(f);
	}
	pw->q.nrecs = 0;
}

void pwq_close(struct pw *pw)
{
	struct pwq_file *f;

	uext4_queue_close(pw->q.queue);
	pw->q.queue = NULL;
	pw->q.ninflight = 0;
	pw->q.nprepared = 0;
	for (f = pw->q.files; f; f = f->next) {
		if (!f->file)
			continue;
#ifndef NDEBUG
		f->file->inode->file.gate = NULL;
#endif
		(void)!uext4_close(f->file);
		f->file = NULL;
	}
}

/* ---- requests ---- */

/* The next operation; the tree stays what it is. */
static uint32_t op_next(struct pw *pw)
{
	char *tree = strdup(pw->trees[pw->nops]);

	assert_non_null(tree);
	assert_true(pw->nops + 1 < PW_OPS_MAX);
	pw->nops++;
	pw->now.tv_sec++;
	pw->trees[pw->nops] = tree;
	return pw->nops;
}

static uint32_t op_begin(struct pw *pw, int64_t val)
{
	uint32_t op = op_next(pw);

	bdev_emu_mark(pw->dev, EMU_MARK_OP_BEGIN, op, val);
	return op;
}

static void op_ack(struct pwq_file *f, uint32_t op)
{
	f->pw->acks[op] = f->ino + 1;
	bdev_emu_mark(f->pw->dev, EMU_MARK_ACK_DURABLE, op, 0);
}

static void prep(struct pwq_rec *r, const struct uext4_sqe *sqe)
{
	struct pw *pw = r->file->pw;

	if (pw->q.ninflight == PWQ_DEPTH) {
		pwq_go(pw);
		pwq_wait(pw, 1);
	}
	pw->q.ninflight++;
	pw->q.nprepared++;
	assert_int_equal(uext4_queue_prep(pw->q.queue, sqe), 0);
}

static struct pwq_rec *write_prep(
		struct pwq_file *f, uint64_t pos, uint64_t len, unsigned rwf)
{
	struct pwq_rec *r;
	struct uext4_sqe sqe = {
		.op = UEXT4_OP_WRITE,
		.flags = rwf,
		.file = f->file,
		.pos = pos,
		.len = len,
	};

	op_begin(f->pw, PWQ_MARK);
	r = rec_new(f, pos, len, true);
	rec_fill(r);
	r->size = pos + len;
	r->fresh = pos >= f->end;
	r->dsync = (rwf & UEXT4_RW_DSYNC) != 0;
	f->end = max_u64(f->end, r->size);
	sqe.buf = r->data;
	sqe.user_data = (uintptr_t)r;
	prep(r, &sqe);
	return r;
}

void pwq_write(struct pwq_file *f, uint64_t pos, uint64_t len, unsigned rwf)
{
	(void)write_prep(f, pos, len, rwf);
}

/* Where it goes is no secret: behind all that has begun. */
void pwq_append(struct pwq_file *f, uint64_t len, unsigned rwf)
{
	(void)write_prep(f, f->end, len, rwf | UEXT4_RW_APPEND);
}

void pwq_try(struct pwq_file *f, uint64_t pos, uint64_t len, unsigned rwf)
{
	struct pwq_rec *r = write_prep(f, pos, len, rwf);

	r->may_fail = true;
}

void pwq_fsync(struct pwq_file *f)
{
	struct pwq_rec *r;
	struct uext4_sqe sqe = { .op = UEXT4_OP_FSYNC, .file = f->file };

	(void)op_begin(f->pw, 0);
	r = rec_new(f, 0, 0, false);
	r->is_sync = true;
	sqe.user_data = (uintptr_t)r;
	prep(r, &sqe);
}

void pwq_go(struct pw *pw)
{
	pw->q.nprepared = 0;
	(void)uext4_queue_submit(pw->q.queue);
}

/* ---- events ---- */

void pwq_promise(struct pwq_file *f, uint32_t before, uint32_t op)
{
	struct pwq_rec *r;

	for (r = f->recs; r; r = r->older) {
		if (r->durable == PWQ_NEVER && r->end != PWQ_NEVER &&
				r->end < before)
			r->durable = op;
	}
}

static void rec_over(struct pwq_rec *r, int64_t result)
{
	struct pwq_file *f = r->file;
	bool cached = f->pw->setup.is_cached;
	uint32_t op = op_next(f->pw);

	bdev_emu_mark(f->pw->dev, EMU_MARK_OP_END, r->begin,
			r->is_sync ? 0 : PWQ_MARK);
	f->pw->q.ninflight--;
	r->end = op;
	if (r->may_fail &&
			(result == -EIO ||
					(cached && result < (int64_t)r->len))) {
		r->failed = true;
		r->may_show = cached;
		return;
	}
	assert_int_equal(result, r->is_sync ? 0 : (int64_t)r->len);
	if (r->is_sync)
		pwq_promise(f, r->begin, op);
	else if (r->dsync)
		r->durable = op;
	else
		return;
	op_ack(f, op);
}

void pwq_wait(struct pw *pw, unsigned min)
{
	struct uext4_event e[PWQ_DEPTH];
	int n;
	int i;

	n = uext4_queue_wait(pw->q.queue, min, min ? -1 : 0, e, PWQ_DEPTH);
	assert_true(n >= 0);
	for (i = 0; i < n; i++)
		rec_over((struct pwq_rec *)(uintptr_t)e[i].user_data,
				e[i].result);
}

/* What a reader sees now. */
static void check_file(struct pwq_file *f)
{
	struct pw *pw = f->pw;
	struct pwq_moment m = { .begun = UINT32_MAX, .is_live = true };
	struct uext4_stat st;
	char why[256];
	void *data = NULL;
	ssize_t n;

	assert_int_equal(uext4_node_stat(uext4_file_node(f->file), &st), 0);
	assert_int_equal(posix_memalign(&data, 4096, st.size + 4096), 0);
	n = uext4_pread(f->file, data, round_up_u64(st.size, 4096), 0);
	assert_int_equal(n, st.size);
	if (!pwq_is_legal(f, &m, data, st.size, why, sizeof(why))) {
		pw->nfound++;
		if (!pw->setup.lacks)
			fail_msg("%s: inode %u: %s", pw->name, f->ino, why);
	}
	free(data);
}

void pwq_settle(struct pw *pw)
{
	struct pwq_file *f;

	while (pw->q.ninflight > 0)
		pwq_wait(pw, 1);
	for (f = pw->q.files; f; f = f->next)
		check_file(f);
}

void pwq_commit(struct pw *pw)
{
	if (pw->fs->journal)
		assert_int_equal(journal_sync(pw->fs->journal), 0);
}

/* ---- at once ---- */

static void at_once_over(struct pwq_rec *r)
{
	struct pw *pw = r->file->pw;

	r->end = op_next(pw);
	bdev_emu_mark(pw->dev, EMU_MARK_OP_END, r->begin, 0);
}

/* @r has waited for what was in flight before it; but what a request leaves to
 * the cache is written when its event is taken. */
static void has_drained(const struct pwq_rec *r)
{
	struct pwq_rec *o;

	if (r->file->pw->setup.is_cached)
		return;
	for (o = r->older; o; o = o->older) {
		if (o->end == PWQ_NEVER && o->drained == PWQ_NEVER)
			o->drained = r->begin;
	}
}

void pwq_truncate(struct pwq_file *f, uint64_t size)
{
	struct pwq_rec *r;

	assert_true(size % PWQ_SECTOR == 0);
	/* What is left to the cache would raise the size again, and where an
	 * append goes would be a secret. */
	while (f->pw->setup.is_cached && f->pw->q.ninflight > 0)
		pwq_wait(f->pw, 1);
	(void)op_begin(f->pw, 0);
	r = rec_new(f, size, PWQ_NONE, false);
	r->size = size;
	r->sets = true;
	assert_int_equal(f->pw->q.nprepared, 0);
	assert_int_equal(uext4_ftruncate(f->file, size), 0);
	has_drained(r);
	f->end = size;
	at_once_over(r);
}

void pwq_punch(struct pwq_file *f, uint64_t pos, uint64_t len)
{
	pwq_falloc(f, UEXT4_FALLOC_PUNCH_HOLE | UEXT4_FALLOC_KEEP_SIZE, pos,
			len);
}

void pwq_falloc(struct pwq_file *f, unsigned mode, uint64_t pos, uint64_t len)
{
	bool zeroes = (mode & ~UEXT4_FALLOC_KEEP_SIZE) != 0;
	struct pwq_rec *r;
	int ret;

	assert_true(len % PWQ_SECTOR == 0);
	(void)op_begin(f->pw, 0);
	r = rec_new(f, pos, zeroes ? len : 0, false);
	if (!(mode & UEXT4_FALLOC_KEEP_SIZE))
		r->size = pos + len;
	assert_int_equal(f->pw->q.nprepared, 0);
	ret = uext4_fallocate(f->file, mode, pos, len);
	if (ret == -EOPNOTSUPP) { /* not without extents */
		r->len = 0;
		r->size = PWQ_NONE;
	} else {
		assert_int_equal(ret, 0);
		has_drained(r);
	}
	if (r->size != PWQ_NONE)
		f->end = max_u64(f->end, r->size);
	at_once_over(r);
}

void pwq_pwrite(struct pwq_file *f, uint64_t pos, uint64_t len, bool direct,
		unsigned rwf)
{
	struct uext4_file *file = f->file;
	struct pwq_rec *r;
	struct iovec iov;

	(void)op_begin(f->pw, 0);
	r = rec_new(f, pos, len, true);
	rec_fill(r);
	r->size = pos + len;
	r->fresh = direct && pos >= f->end;
	iov = (struct iovec){ r->data, len };
	if (!direct)
		assert_int_equal(uext4_open_node(uext4_file_node(f->file),
						 UEXT4_O_RDWR, NULL, &file),
				0);
	assert_int_equal(uext4_pwritev2(file, &iov, 1, pos, rwf), (ssize_t)len);
	if (!direct)
		assert_int_equal(uext4_close(file), 0);
	f->end = max_u64(f->end, r->size);
	at_once_over(r);
	if (rwf & UEXT4_RW_DSYNC) {
		r->durable = r->end;
		op_ack(f, r->end);
	}
}

void pwq_sync_file(struct pwq_file *f)
{
	uint32_t op = op_begin(f->pw, 0);
	uint32_t end;

	assert_int_equal(uext4_fsync(f->file), 0);
	end = op_next(f->pw);
	pwq_promise(f, op, end);
	op_ack(f, end);
}

void pwq_sync_all(struct pw *pw)
{
	uint32_t op = op_begin(pw, 0);
	struct pwq_file *f;
	uint32_t end;

	assert_int_equal(uext4_sync(pw->fs), 0);
	end = op_next(pw);
	for (f = pw->q.files; f; f = f->next)
		pwq_promise(f, op, end);
	/* Others' names and bytes: up to the operation before. */
	pw->acks[end] = 1;
	bdev_emu_mark(pw->dev, EMU_MARK_ACK_DURABLE, end, 0);
}
