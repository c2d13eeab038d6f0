/* SPDX-License-Identifier: MIT */
/*
 * Who asks the kernel for the dirty pages that it has of a mount: a child.
 *
 * Whoever waits for them cannot be killed, and if the server's other threads
 * were, the wait could end only with the connection, and that only when nobody
 * has it open any more. So it is somebody who has nothing open.
 *
 * States   started: the child waits on its end of a socket pair; asked: it is in
 *          syncfs; gone: it has said how that went, or the server's end was
 *          closed, which is what the server's death does too.
 * Order    Started before the server has threads, and before it opens the image
 *          or the mount: a copy of those descriptors, for however short a time,
 *          would keep the image locked when the server is killed in that time.
 */
#ifndef UEXT4_FUSE_FLUSHER_H
#define UEXT4_FUSE_FLUSHER_H

#include <sys/types.h>

struct flusher {
	pid_t pid; /* 0: none */
	int fd;
};

/* 0 or a negative errno. The child ignores the signals that end a server; they
 * are blocked in the caller by now. */
int flusher_start(struct flusher *f);
/* Write back what the kernel has of @dir (absolute), which the server is to take
 * as requests meanwhile. Once. 0 or a negative errno. */
int flusher_ask(struct flusher *f, const char *dir);
/* Also of one that was not started (all zero). */
void flusher_end(struct flusher *f);

#endif /* UEXT4_FUSE_FLUSHER_H */
