/* SPDX-License-Identifier: MIT */
/*
 * A cursor over the caller's memory: an iovec array that is used up from the
 * front. Advancing never goes past the end.
 */
#ifndef UEXT4_BASE_ITER_H
#define UEXT4_BASE_ITER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct iov_iter {
	const struct iovec *iov; /* the caller's; not changed */
	int niov;
	size_t off;   /* bytes of iov[0] already used */
	size_t count; /* bytes left */
};

void iov_iter_init(struct iov_iter *it, const struct iovec *iov, int niov);
/* Use at most @count bytes from now on. */
void iov_iter_truncate(struct iov_iter *it, size_t count);
void iov_iter_advance(struct iov_iter *it, size_t n);
/* Copy out of (to) the iterator's memory and advance. Returns bytes copied. */
size_t iov_iter_copy_from(struct iov_iter *it, void *dst, size_t n);
size_t iov_iter_copy_to(struct iov_iter *it, const void *src, size_t n);
size_t iov_iter_zero(struct iov_iter *it, size_t n);
/* The next @n bytes as iovecs, at most @max of them: returns how many, and the
 * bytes they hold in @ret_bytes. Does not advance. */
int iov_iter_get(const struct iov_iter *it, size_t n, struct iovec *out,
		int max, size_t *ret_bytes);

#endif /* UEXT4_BASE_ITER_H */
