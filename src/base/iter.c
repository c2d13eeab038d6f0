/* SPDX-License-Identifier: MIT */
#include "base/iter.h"

#include <assert.h>
#include <string.h>

/* Empty segments are stepped over at once, so that iov[0] has bytes left
 * whenever count is not 0. */
static void iov_iter_skip_empty(struct iov_iter *it)
{
	while (it->niov > 0 && it->off == it->iov->iov_len) {
		it->iov++;
		it->niov--;
		it->off = 0;
	}
}

void iov_iter_init(struct iov_iter *it, const struct iovec *iov, int niov)
{
	it->iov = iov;
	it->niov = niov;
	it->off = 0;
	it->count = 0;
	for (int i = 0; i < niov; i++) {
		/* The door above refuses what does not fit. */
		assert(iov[i].iov_len <= SIZE_MAX - it->count);
		it->count += iov[i].iov_len;
	}
	iov_iter_skip_empty(it);
}

void iov_iter_truncate(struct iov_iter *it, size_t count)
{
	if (count < it->count)
		it->count = count;
}

/* The bytes of the first segment that may be used, at most @n. */
static size_t iov_iter_step(const struct iov_iter *it, size_t n)
{
	size_t len = it->iov->iov_len - it->off;

	return n < len ? n : len;
}

void iov_iter_advance(struct iov_iter *it, size_t n)
{
	if (n > it->count)
		n = it->count;
	it->count -= n;
	while (n > 0) {
		size_t len = iov_iter_step(it, n);

		it->off += len;
		n -= len;
		iov_iter_skip_empty(it);
	}
}

size_t iov_iter_copy_from(struct iov_iter *it, void *dst, size_t n)
{
	size_t done = 0;

	if (n > it->count)
		n = it->count;
	while (done < n) {
		size_t len = iov_iter_step(it, n - done);

		memcpy((char *)dst + done, (char *)it->iov->iov_base + it->off,
				len);
		iov_iter_advance(it, len);
		done += len;
	}
	return done;
}

size_t iov_iter_copy_to(struct iov_iter *it, const void *src, size_t n)
{
	size_t done = 0;

	if (n > it->count)
		n = it->count;
	while (done < n) {
		size_t len = iov_iter_step(it, n - done);

		memcpy((char *)it->iov->iov_base + it->off,
				(const char *)src + done, len);
		iov_iter_advance(it, len);
		done += len;
	}
	return done;
}

size_t iov_iter_zero(struct iov_iter *it, size_t n)
{
	size_t done = 0;

	if (n > it->count)
		n = it->count;
	while (done < n) {
		size_t len = iov_iter_step(it, n - done);

		memset((char *)it->iov->iov_base + it->off, 0, len);
		iov_iter_advance(it, len);
		done += len;
	}
	return done;
}

int iov_iter_get(const struct iov_iter *it, size_t n, struct iovec *out,
		int max, size_t *ret_bytes)
{
	struct iov_iter cur = *it;
	size_t bytes = 0;
	int nout = 0;

	if (n > cur.count)
		n = cur.count;
	while (bytes < n && nout < max) {
		size_t len = iov_iter_step(&cur, n - bytes);

		out[nout].iov_base = (char *)cur.iov->iov_base + cur.off;
		out[nout].iov_len = len;
		nout++;
		bytes += len;
		iov_iter_advance(&cur, len);
	}
	*ret_bytes = bytes;
	return nout;
}
