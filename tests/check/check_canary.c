/* SPDX-License-Identifier: MIT */
/*
 * Canaries: free space is filled with words that no user may ever see.
 */
#include "check/check_int.h"

#include <errno.h>
#include <stdlib.h>

bool check_is_canary(const void *data, size_t len, uint64_t nblocks)
{
	const uint8_t *p = data;
	bool hit = false;

	/* No early exit: the loop runs over clean data and is vectorised. */
	for (size_t i = 0; i + 8 <= len; i += 8)
		hit |= (get_le64(p + i) ^ CHECK_CANARY) < nblocks;
	return hit;
}

void ck_canary(struct ck *c, uint64_t pblk, const void *data, size_t len,
		const char *what, uint32_t ino)
{
	const struct check_opts *o = c->opts;
	bool hit;

	if (!(c->flags & CHECK_F_CANARY))
		return;
	if (o->canary)
		hit = o->canary(o->canary_ctx, pblk, data, len);
	else
		hit = check_is_canary(data, len, c->blocks);
	if (hit)
		ck_problem(c, "canary: inode %u: %s, block %ju", ino, what,
				(uintmax_t)pblk);
}

int check_free_runs(const struct check_dev *dev,
		int (*fn)(void *ctx, uint64_t pos, uint64_t len), void *ctx)
{
	struct check_report *rep = malloc(sizeof(*rep));
	uint64_t bit = 0, end;
	struct ck c;
	int ret;

	if (!rep)
		return -ENOMEM;
	ret = ck_init(&c, dev, NULL, rep);
	if (ret == 0)
		ret = ck_run(&c);
	if (ret >= 0)
		ret = rep->count ? -EUCLEAN : 0;
	end = ret == 0 ? c.blocks - c.first_data : 0;
	while (bit < end && ret == 0) {
		uint64_t from = bits_find_next_zero(c.used, bit, end);

		bit = bits_find_next_set(c.used, from, end);
		if (bit > from)
			ret = fn(ctx, (from + c.first_data) << c.bs_bits,
					(bit - from) << c.bs_bits);
	}
	ck_fini(&c);
	free(rep);
	return ret;
}

struct canary_fill {
	int (*write)(void *ctx, uint64_t pos, const void *buf, size_t len);
	void *ctx;
	uint8_t *buf;
	uint32_t bs;
	int64_t filled;
};

static int canary_fill_run(void *ctx, uint64_t pos, uint64_t len)
{
	struct canary_fill *f = ctx;
	int ret = 0;

	for (uint64_t at = pos; at < pos + len && ret == 0; at += f->bs) {
		for (uint32_t i = 0; i < f->bs; i += 8)
			put_le64(f->buf + i, CHECK_CANARY ^ (at / f->bs));
		ret = f->write(f->ctx, at, f->buf, f->bs);
		f->filled++;
	}
	return ret;
}

int64_t check_fill_free(const struct check_dev *dev,
		int (*write)(void *ctx, uint64_t pos, const void *buf,
				size_t len),
		void *ctx)
{
	struct canary_fill f = { .write = write, .ctx = ctx };
	struct check_report *rep = malloc(sizeof(*rep));
	struct ck c;
	int ret;

	if (!rep)
		return -ENOMEM;
	ret = ck_init(&c, dev, NULL, rep);
	f.bs = c.bs;
	ck_fini(&c);
	free(rep);
	if (ret)
		return ret < 0 ? ret : -EUCLEAN;
	f.buf = malloc(f.bs);
	if (!f.buf)
		return -ENOMEM;
	ret = check_free_runs(dev, canary_fill_run, &f);
	free(f.buf);
	return ret < 0 ? ret : f.filled;
}
