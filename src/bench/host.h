/* SPDX-License-Identifier: MIT */
/*
 * A target that is a directory of the host: files by io_uring or Linux AIO, names
 * by system calls. The raw file and every mount are one.
 *
 *	host.c        the directory, its file, names
 *	host_queue.c  the two queues
 *
 * uring    The ring is set up with IORING_SETUP_SINGLE_ISSUER and
 *          IORING_SETUP_DEFER_TASKRUN, its file is registered, and one system
 *          call starts what is prepared and waits. Files are opened with
 *          O_NONBLOCK: io_uring then tries files of tmpfs in place, too, instead
 *          of giving every request to a worker thread.
 * aio      One io_submit() for what is prepared, one io_getevents() for what is
 *          done.
 */
#ifndef UEXT4_BENCH_HOST_H
#define UEXT4_BENCH_HOST_H

#include <liburing.h>
#include <linux/aio_abi.h>
#include <stdbool.h>

#include "bench/target.h"

struct host_aio {
	aio_context_t ctx;
	struct iocb *iocbs;  /* one for each slot */
	struct iocb **ready; /* what is prepared */
	struct io_event *events;
	unsigned depth;
	unsigned nready, nevents, taken; /* taken: of the events, by reap */
};

struct host {
	struct target target;
	enum bench_dir_io io;
	struct io_uring ring; /* one of the two is used */
	struct host_aio aio;
	int dirfd;
	int namesfd;    /* the directory for names, or -1 */
	int fd;         /* the open file, or -1 */
	bool no_queue;  /* the target has a queue of its own */
	bool direct;    /* files are opened with O_DIRECT */
	bool data_only; /* write_sync() is fdatasync, not fsync */
};

/* The queue, and the directory at @path. TARGET_SKIP where the queue is refused. */
int host_init(struct host *h, const struct target_setup *s, const char *path);
/* Also of one that is zeroed but for dirfd, namesfd and fd of -1. */
void host_fini(struct host *h);

int host_file_open(struct target *t, const char *name);
int host_file_resize(struct target *t, uint64_t size);
int host_file_allocate(struct target *t, uint64_t size);
int host_file_close(struct target *t);
int host_file_remove(struct target *t, const char *name);
int host_write_sync(struct target *t, void *buf, uint32_t len, uint64_t pos);
int host_prep(struct target *t, const struct target_req *req);
int host_submit(struct target *t, unsigned wait_for);
int host_reap(struct target *t, struct target_done *done, unsigned max);
int host_dir_make(struct target *t);
int host_dir_remove(struct target *t);
int host_name_create(struct target *t, const char *name);
int host_name_stat(struct target *t, const char *name);
int host_name_unlink(struct target *t, const char *name);
int host_sync(struct target *t);

/* "io_uring" or "aio". */
const char *host_io_name(enum bench_dir_io io);

/* Between host.c and host_queue.c. */
int host_queue_init(struct host *h, unsigned depth);
void host_queue_fini(struct host *h);
/* The queue works on @fd from now on; -1: on none. */
int host_queue_use(struct host *h, int fd);

/* For the table of a target that is one. */
#define HOST_QUEUE_OPS                                                         \
 .prep = host_prep, .submit = host_submit, .reap = host_reap

#define HOST_FILE_OPS                                                          \
 .file_open = host_file_open, .file_resize = host_file_resize,                 \
 .file_allocate = host_file_allocate, .file_close = host_file_close,           \
 .file_remove = host_file_remove, .write_sync = host_write_sync,               \
 .dir_make = host_dir_make, .dir_remove = host_dir_remove,                     \
 .name_create = host_name_create, .name_stat = host_name_stat,                 \
 .name_unlink = host_name_unlink

#endif /* UEXT4_BENCH_HOST_H */
