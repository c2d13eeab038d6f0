/* SPDX-License-Identifier: MIT */
/*
 * Files against their bytes: a few files, each open twice (through the cache
 * and direct), every call that changes or shows bytes, at random places with
 * random alignment. What is read is compared with the model at once; all of it
 * after every remount.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "model.h"

#define NFILES    3
#define SIZE_MAX_ (640u << 10)
#define LEN_MAX   (96u << 10)

struct mfile {
	uint8_t *bytes; /* beyond size all zero */
	uint64_t size;
	struct uext4_file *cached, *direct;
};

struct run {
	struct env *e;
	struct model_rng r;
	struct mfile f[NFILES];
	uint8_t *buf;
	uint32_t sector;
	uint32_t op; /* number of the operation */
	const char *what;
	uint64_t pos, len; /* of the operation: for the message */
	int file;
};

static void bad(struct run *m, const char *why, long long a, long long b)
{
	fail_msg("op %u: file %d %s(%llu, %llu): %s: %lld, %lld", m->op,
			m->file, m->what, (unsigned long long)m->pos,
			(unsigned long long)m->len, why, a, b);
}

static void want(struct run *m, int64_t got, int64_t expect)
{
	if (got != expect)
		bad(m, "result, expected", got, expect);
}

static void path_of(int i, char *path)
{
	(void)snprintf(path, 16, "/f%d", i);
}

static void files_open(struct run *m)
{
	char path[16];

	for (int i = 0; i < NFILES; i++) {
		path_of(i, path);
		m->f[i].cached = env_open(
				m->e, path, UEXT4_O_RDWR | UEXT4_O_CREAT);
		m->f[i].direct = env_open(
				m->e, path, UEXT4_O_RDWR | UEXT4_O_DIRECT);
	}
	m->sector = uext4_dio_align(m->f[0].direct);
}

static void files_close(struct run *m)
{
	for (int i = 0; i < NFILES; i++) {
		env_close(m->f[i].cached);
		env_close(m->f[i].direct);
	}
}

static void compare(struct run *m, struct mfile *f, uint64_t pos, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (m->buf[i] != f->bytes[pos + i])
			bad(m, "byte differs at, is", (long long)(pos + i),
					m->buf[i]);
}

static void read_back(struct run *m, struct mfile *f, struct uext4_file *h,
		uint64_t pos, size_t len)
{
	uint64_t n = 0;

	if (pos < f->size)
		n = f->size - pos < len ? f->size - pos : len;
	memset(m->buf, 0xee, len);
	want(m, uext4_pread(h, m->buf, len, pos), (int64_t)n);
	compare(m, f, pos, n);
}

static void do_write(struct run *m, struct mfile *f, bool direct)
{
	uint8_t byte = (uint8_t)(1 + model_below(&m->r, 255));
	unsigned flags = 0;
	struct iovec iov;

	if (direct) {
		m->pos -= m->pos % m->sector;
		m->len += m->sector - m->len % m->sector;
		if (model_below(&m->r, 2)) { /* whole blocks more often */
			m->pos -= m->pos % m->e->bs;
			m->len += m->e->bs - m->len % m->e->bs;
		}
	}
	if (model_below(&m->r, 10) == 0)
		flags |= UEXT4_RW_DSYNC;
	if (model_below(&m->r, 8) == 0 &&
			(!direct || f->size % m->sector == 0)) {
		flags |= UEXT4_RW_APPEND;
		m->pos = f->size;
	}
	if (m->pos + m->len > SIZE_MAX_)
		return;
	for (uint64_t i = 0; i < m->len; i++)
		m->buf[i] = (uint8_t)(byte + i / 64);
	iov.iov_base = m->buf;
	iov.iov_len = m->len;
	want(m,
			uext4_pwritev2(direct ? f->direct : f->cached, &iov, 1,
					flags & UEXT4_RW_APPEND ? 0 : m->pos,
					flags),
			(int64_t)m->len);
	memcpy(f->bytes + m->pos, m->buf, m->len);
	if (m->pos + m->len > f->size)
		f->size = m->pos + m->len;
}

static void do_truncate(struct run *m, struct mfile *f)
{
	uint64_t size = m->pos;

	m->len = 0;
	want(m, uext4_ftruncate(f->cached, size), 0);
	if (size < f->size)
		memset(f->bytes + size, 0, f->size - size);
	f->size = size;
}

static void do_falloc(struct run *m, struct mfile *f, unsigned mode)
{
	bool zero = mode & (UEXT4_FALLOC_PUNCH_HOLE | UEXT4_FALLOC_ZERO_RANGE);
	uint64_t end = m->pos + m->len;
	bool punch = mode & UEXT4_FALLOC_PUNCH_HOLE;
	int ret = 0;

	if (!(m->e->p->has & ENV_EXTENT) && !punch)
		ret = -EOPNOTSUPP;
	want(m, uext4_fallocate(f->cached, mode, m->pos, m->len), ret);
	if (ret < 0)
		return;
	if (zero && m->pos < f->size)
		memset(f->bytes + m->pos, 0,
				(end < f->size ? end : f->size) - m->pos);
	if (!(mode & UEXT4_FALLOC_KEEP_SIZE) && end > f->size)
		f->size = end;
}

/* Holes are zero in the model, positions are in order. */
static void do_seek(struct run *m, struct mfile *f)
{
	int64_t data, hole;

	m->len = 0;
	if (m->pos >= f->size) {
		want(m, uext4_seek_data(f->cached, m->pos), -ENXIO);
		want(m, uext4_seek_hole(f->cached, m->pos), -ENXIO);
		return;
	}
	data = uext4_seek_data(f->cached, m->pos);
	hole = uext4_seek_hole(f->cached, m->pos);
	if (data < 0)
		want(m, data, -ENXIO);
	for (uint64_t i = m->pos; i < (data < 0 ? f->size : (uint64_t)data);
			i++)
		if (f->bytes[i])
			bad(m, "data at, skipped to", (long long)i, data);
	if (hole < (int64_t)m->pos || hole > (int64_t)f->size)
		bad(m, "hole at, size", hole, (long long)f->size);
	if ((hole == (int64_t)m->pos) == (data == (int64_t)m->pos))
		bad(m, "hole and data", hole, data);
}

static int map_one(void *ctx, const struct uext4_extent *x)
{
	uint64_t *at = ctx;

	if (x->length == 0 || x->logical < at[0])
		at[1]++;
	at[0] = x->logical + x->length;
	return 0;
}

static void do_fiemap(struct run *m, struct mfile *f)
{
	uint64_t at[2] = { 0, 0 };

	want(m,
			uext4_fiemap(f->cached, 0, UINT64_MAX,
					model_below(&m->r, 2), map_one, at),
			0);
	want(m, (int64_t)at[1], 0);
}

static void check_all(struct run *m)
{
	m->what = "compare all";
	m->pos = 0;
	for (int i = 0; i < NFILES; i++) {
		struct mfile *f = &m->f[i];

		m->file = i;
		m->len = SIZE_MAX_;
		want(m, (int64_t)env_size(f->cached), (int64_t)f->size);
		read_back(m, f, f->cached, 0, SIZE_MAX_);
	}
}

static void do_remount(struct run *m)
{
	check_all(m);
	files_close(m);
	env_remount(m->e);
	files_open(m);
	check_all(m);
}

static const struct {
	const char *name;
	unsigned weight;
} kinds[] = {
	{ "write", 20 },
	{ "direct write", 20 },
	{ "read", 12 },
	{ "direct read", 12 },
	{ "truncate", 7 },
	{ "punch", 7 },
	{ "zero", 5 },
	{ "zero keep", 2 },
	{ "fallocate", 5 },
	{ "keep size", 3 },
	{ "fsync", 3 },
	{ "fdatasync", 2 },
	{ "sync range", 2 },
	{ "seek", 5 },
	{ "fiemap", 2 },
	{ "reopen", 1 },
	{ "sync", 1 },
};

static unsigned pick_kind(struct run *m)
{
	uint32_t sum = 0, x;
	unsigned k;

	for (k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++)
		sum += kinds[k].weight;
	x = model_below(&m->r, sum);
	for (k = 0; x >= kinds[k].weight; k++)
		x -= kinds[k].weight;
	return k;
}

/* Sizes and places: small, at block edges, large. */
static void pick_range(struct run *m, struct mfile *f)
{
	uint32_t bs = m->e->bs;

	switch (model_below(&m->r, 4)) {
	case 0:
		m->pos = model_below(&m->r, SIZE_MAX_ - LEN_MAX - 2 * bs);
		break;
	case 1:
		m->pos = model_below(&m->r, 100) * (uint64_t)bs;
		break;
	case 2:
		m->pos = f->size < SIZE_MAX_ - LEN_MAX - 2 * bs ? f->size : 0;
		break;
	default:
		m->pos = model_below(&m->r, 64 * 1024);
	}
	switch (model_below(&m->r, 4)) {
	case 0:
		m->len = 1 + model_below(&m->r, LEN_MAX);
		break;
	case 1:
		m->len = (1 + model_below(&m->r, 8)) * (uint64_t)bs;
		break;
	default:
		m->len = 1 + model_below(&m->r, 3 * bs);
	}
}

static void one(struct run *m)
{
	unsigned k = pick_kind(m);
	struct mfile *f;

	m->file = (int)model_below(&m->r, NFILES);
	f = &m->f[m->file];
	m->what = kinds[k].name;
	pick_range(m, f);
	switch (k) {
	case 0:
	case 1:
		do_write(m, f, k == 1);
		break;
	case 2:
		read_back(m, f, f->cached, m->pos, m->len);
		break;
	case 3:
		m->pos -= m->pos % m->sector;
		m->len += m->sector - m->len % m->sector;
		read_back(m, f, f->direct, m->pos, m->len);
		break;
	case 4:
		do_truncate(m, f);
		break;
	case 5:
		do_falloc(m, f,
				UEXT4_FALLOC_PUNCH_HOLE |
						UEXT4_FALLOC_KEEP_SIZE);
		break;
	case 6:
		do_falloc(m, f, UEXT4_FALLOC_ZERO_RANGE);
		break;
	case 7:
		do_falloc(m, f,
				UEXT4_FALLOC_ZERO_RANGE |
						UEXT4_FALLOC_KEEP_SIZE);
		break;
	case 8:
		do_falloc(m, f, 0);
		break;
	case 9:
		do_falloc(m, f, UEXT4_FALLOC_KEEP_SIZE);
		break;
	case 10:
		want(m, uext4_fsync(f->cached), 0);
		break;
	case 11:
		want(m, uext4_fdatasync(f->direct), 0);
		break;
	case 12:
		want(m, uext4_sync_range(f->cached, m->pos, m->len), 0);
		break;
	case 13:
		do_seek(m, f);
		break;
	case 14:
		do_fiemap(m, f);
		break;
	case 15:
		files_close(m);
		files_open(m);
		break;
	default:
		want(m, uext4_sync(m->e->fs), 0);
	}
}

void model_files(struct env *e)
{
	struct run *m = calloc(1, sizeof(*m));
	uint32_t n = model_ops();

	assert_non_null(m);
	m->e = e;
	m->r.s = model_seed("files", e);
	m->buf = env_alloc(SIZE_MAX_ + 65536, 0);
	for (int i = 0; i < NFILES; i++)
		m->f[i].bytes = env_alloc(SIZE_MAX_ + 65536, 0);
	files_open(m);
	for (m->op = 0; m->op < n; m->op++) {
		one(m);
		if (model_below(&m->r, 500) == 0)
			do_remount(m);
	}
	check_all(m);
	files_close(m);
	for (int i = 0; i < NFILES; i++)
		free(m->f[i].bytes);
	free(m->buf);
	free(m);
}
