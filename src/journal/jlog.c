/* SPDX-License-Identifier: MIT */
/*
 * Log block numbers to device positions; reading and writing the log.
 */
#include "journal/jlog.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "bdev/bdev.h"

#define JLOG_IOV 512

int jlog_init(struct jlog *l, const struct journal_params *p)
{
	uint64_t sum = 0;
	uint32_t i;

	memset(l, 0, sizeof(*l));
	if (p->nruns == 0)
		return -UEXT4_ECORRUPT;
	l->runs = calloc(p->nruns, sizeof(*l->runs));
	l->starts = calloc(p->nruns, sizeof(*l->starts));
	if (l->runs == NULL || l->starts == NULL) {
		jlog_fini(l);
		return -ENOMEM;
	}
	l->dev = p->dev;
	l->block_size = p->block_size;
	l->nruns = p->nruns;
	for (i = 0; i < p->nruns; i++) {
		const struct journal_run *r = &p->runs[i];

		l->runs[i] = *r;
		l->starts[i] = (uint32_t)sum;
		sum += r->len;
		if (r->len == 0 || sum > UINT32_MAX ||
				!range_is_within(r->pblk, r->len, 0,
						p->fs_blocks)) {
			jlog_fini(l);
			return -UEXT4_ECORRUPT;
		}
	}
	l->blocks = (uint32_t)sum;
	return 0;
}

void jlog_fini(struct jlog *l)
{
	free(l->runs);
	free(l->starts);
	l->runs = NULL;
	l->starts = NULL;
}

bool jlog_has_pblk(const struct jlog *l, pblk_t pblk)
{
	uint32_t i;

	for (i = 0; i < l->nruns; i++)
		if (pblk >= l->runs[i].pblk &&
				pblk - l->runs[i].pblk < l->runs[i].len)
			return true;
	return false;
}

/* The device position of log block @pos; *ret_n blocks follow it there. */
static uint64_t jlog_map(const struct jlog *l, uint32_t pos, uint32_t *ret_n)
{
	uint32_t lo = 0, hi = l->nruns;

	assert(pos < l->blocks);
	while (hi - lo > 1) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (l->starts[mid] <= pos)
			lo = mid;
		else
			hi = mid;
	}
	*ret_n = l->runs[lo].len - (pos - l->starts[lo]);
	return (l->runs[lo].pblk + (pos - l->starts[lo])) * l->block_size;
}

int jlog_read(const struct jlog *l, uint32_t pos, void *buf, uint32_t n)
{
	char *p = buf;
	int ret;

	if (!range_is_within(pos, n, 0, l->blocks))
		return -UEXT4_ECORRUPT;
	while (n > 0) {
		uint32_t here;
		uint64_t at = jlog_map(l, pos, &here);

		here = min_of(here, n);
		ret = bdev_read(l->dev, at, p, (size_t)here * l->block_size, 0,
				BDEV_TAG_J_DATA);
		if (ret < 0)
			return ret;
		p += (size_t)here * l->block_size;
		pos += here;
		n -= here;
	}
	return 0;
}

int jlog_write(const struct jlog *l, uint32_t pos, const void *const *blocks,
		uint32_t n, uint32_t flags, uint64_t tag)
{
	struct iovec iov[JLOG_IOV];
	int ret;

	while (n > 0) {
		uint32_t here, i;
		uint64_t at = jlog_map(l, pos, &here);

		here = min_of(here, n);
		here = min_of(here, (uint32_t)JLOG_IOV);
		if (pos < l->last)
			here = min_of(here, l->last - pos);
		for (i = 0; i < here; i++) {
			/* An iovec has no const; a write changes nothing. */
			memcpy(&iov[i].iov_base, &blocks[i],
					sizeof(iov[i].iov_base));
			iov[i].iov_len = l->block_size;
		}
		ret = bdev_writev(l->dev, at, iov, (int)here, flags, tag);
		if (ret < 0)
			return ret;
		pos += here;
		if (pos == l->last)
			pos = l->first;
		blocks += here;
		n -= here;
	}
	return 0;
}
