/* SPDX-License-Identifier: MIT */
/*
 * The life of a mount, for the command that starts it.
 *
 * States   opened: the image is open and locked, the mount point is mounted,
 *          nothing of the image has been read; served: the image is mounted,
 *          workers answer; ended: the mount point is gone (umount) or a signal
 *          came, workers are done; closed: everything is durable.
 * Threads  serve() blocks SIGINT, SIGTERM and SIGHUP in all threads and takes
 *          them itself. It is called before the process has other threads.
 */
#ifndef UEXT4_FUSE_SERVE_H
#define UEXT4_FUSE_SERVE_H

#include <stdbool.h>
#include <stddef.h>

#include "fuse/idmap.h"
#include "uext4/uext4.h"

/* Requests and answers through FUSE over io_uring? */
enum serve_ring {
	SERVE_RING_AUTO, /* if the kernel offers it and the image is in memory */
	SERVE_RING_ON,   /* or fail */
	SERVE_RING_OFF,
};

struct serve_opts {
	const char *image, *dir;     /* absolute */
	struct uext4_mount_opts mnt; /* with the caller's log */
	char fuse[1024];             /* what the kernel's mount is told: "-o" */
	bool checked;                /* default_permissions */
	bool writeback_cache;
	unsigned threads; /* 0: as many as are good for such an image */
	unsigned max_background;
	enum serve_ring ring;
	struct idmap uids, gids;
	/* Ask the mount once before ready() says that it answers. Nobody can
	 * unmount it while it is asked, so only where somebody waits. */
	bool probe;
	/* The mount answers; called once, by the thread that called serve(). */
	void (*ready)(void *ctx);
	void *ready_ctx;
};

#define SERVE_WHY 512

/* Mount and serve until the mount is gone or a signal asks for it; then make
 * everything durable. 0, or a negative errno, with a line about what failed in
 * @why (empty: the errno and what the library logged say it). */
int serve(const struct serve_opts *o, char why[SERVE_WHY]);

/* Unmount @dir, as root or as the user who mounted it; @lazily: also while it is
 * in use. -EBUSY and the like; -ECANCELED: fusermount3 has said what failed. */
int serve_umount(const char *dir, bool lazily);

#endif /* UEXT4_FUSE_SERVE_H */
