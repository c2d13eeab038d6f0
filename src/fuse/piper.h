/* SPDX-License-Identifier: MIT */
/*
 * Large writes are taken from /dev/fuse without a copy: the kernel puts references
 * to the caller's pages into a pipe, and from there the bytes go into the image
 * (uext4_pwrite_pipe()). It has to be chosen before a request is known, and costs a
 * small one two system calls more. So it is done while one large direct write comes
 * after the other.
 *
 * States   empty; full: the head of a write was read, @left bytes of its data are in
 *          the pipe. Between two requests it is empty.
 *
 * Rules    (P1) A request that does not fit into the pipe is lost: the kernel gives
 *               it up. So the largest one depends on the pipe (piper_data_max()).
 *
 * Locks    None: it is its worker's.
 */
#ifndef UEXT4_FUSE_PIPER_H
#define UEXT4_FUSE_PIPER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct piper {
	int rd, wr;
	size_t size; /* of the pipe: a page of it takes one of a request */
	size_t left;
	unsigned expect; /* so many requests are taken so */
};

/* 0 or a negative errno. */
int piper_open(struct piper *p);
void piper_close(struct piper *p);
/* The data of a write (bytes, whole pages) that fits beside its head. */
size_t piper_data_max(const struct piper *p);

/* The next ones will be large writes. */
void piper_expect(struct piper *p);
static inline bool piper_expects(const struct piper *p)
{
	return p->expect > 0;
}
/* As read(2) of a request from /dev/fuse @fd; but the data of a large write stays in
 * the pipe, and what it returns counts it. */
ssize_t piper_read(struct piper *p, int fd, void *buf, size_t len);
/* The next bytes of @left, to @buf: 0 or a negative errno, and then the rest is
 * gone. */
int piper_fetch(struct piper *p, void *buf, size_t n);
/* So many bytes of @left are still in it after somebody has read from it. */
size_t piper_rest(const struct piper *p);
/* Throw away what is left. */
void piper_drop(struct piper *p);

#endif /* UEXT4_FUSE_PIPER_H */
