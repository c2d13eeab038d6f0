/* SPDX-License-Identifier: MIT */
/*
 * Who asks the kernel for the dirty pages that it has of a mount: a child.
 *
 * Whoever waits for them cannot be killed, and if the server's other threads
 * were, the wait could end only with the connection, and that only when nobody
 * has it open any more. So it is somebody who has nothing open.
 *
 * syncfs() makes requests of all dirty pages, but does not wait until these were
 * answered: the kernel does not trust a FUSE server to answer. So the flusher does
 * that, by the number of requests that the kernel counts for the connection
 * (fusectl, Documentation/filesystems/fuse.rst): at 0 none is left. Where others
 * never leave it at 0, or it cannot be read, by the pages that the server says it
 * writes: when it has none for a while, although it goes on with its work.
 *
 * States   started: the child waits on its end of a socket pair; asked: it is in
 *          syncfs; gone: it has said how that went, or the server's end was
 *          closed, which is what the server's death does too; or somebody has
 *          killed it, then there is a new one when it is asked.
 * Order    Started before the server has threads, and before it opens the image
 *          or the mount: a copy of those descriptors, for however short a time,
 *          would keep the image locked when the server is killed in that time.
 *          (That of one who takes the place of a killed one is such a copy.)
 */
#ifndef UEXT4_FUSE_FLUSHER_H
#define UEXT4_FUSE_FLUSHER_H

#include <stdatomic.h>
#include <sys/types.h>

/* Of the server, which the child sees. */
struct flusher_pages {
	_Atomic unsigned long begun, done;
};

struct flusher {
	pid_t pid; /* 0: none */
	int fd;
	struct flusher_pages *pages; /* NULL before the first start */
};

/* 0 or a negative errno. No signal but SIGKILL ends the child, SIGSTOP is undone. */
int flusher_start(struct flusher *f);
/* Write back what the kernel has of @dir (absolute), which the server is to take
 * as requests meanwhile. Once. 0 or a negative errno: not all of it could be. */
int flusher_ask(struct flusher *f, const char *dir);
/* Also of one that was not started (all zero). */
void flusher_end(struct flusher *f);

#endif /* UEXT4_FUSE_FLUSHER_H */
