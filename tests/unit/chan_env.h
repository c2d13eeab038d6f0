/* SPDX-License-Identifier: MIT */
/*
 * Devices and requests for the tests of channels.
 *
 *	dev_open(&env, FILE_DISK);
 *	if (chan_open(&env, BDEV_CHAN_URING, DEPTH, -1)) {
 *		r = reqs_new(32, 4096);
 *		fill_slots(r, 32, BDEV_WRITE);
 *		submit_all(env.chan, r, 32);
 *		wait_all(env.chan, r, 32);
 *		check_slots(r, 32);
 *
 * What goes wrong in here fails the test.
 */
#ifndef UEXT4_TESTS_UNIT_CHAN_ENV_H
#define UEXT4_TESTS_UNIT_CHAN_ENV_H

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include <cmocka.h>

#include "bdev/bdev.h"

#define SIZE  (1u << 20)
#define DEPTH 8u
#define NS_MS 1000000u

/* A user's device over memory, called by several threads. */
struct disk {
	uint8_t *mem;
	atomic_int flushes;
	atomic_int fuas;
	pthread_mutex_t gate; /* held by a test: requests wait */
};

enum backend {
	FILE_SHM,
	FILE_DISK,
	FILE_DIRECT,
	FILE_ODD_PART,
	MEM,
	USER,
	EMU,
	EMU_ASYNC,
	BACKENDS,
};

struct env {
	struct bdev *dev;
	struct bdev *chan;
	char path[64];
	struct disk disk;
};

/* ---- devices ---- */

void dev_open(struct env *env, enum backend which);
void dev_close(struct env *env);
/* False when the host refuses io_uring. */
bool chan_open(struct env *env, enum bdev_chan_kind kind, unsigned depth,
		int efd);

/* Open, call @claim, close: one channel, or every kind over every device. */
void run_claim(enum backend which, enum bdev_chan_kind kind, unsigned depth,
		void (*claim)(struct env *env));
void every_channel(unsigned depth, void (*claim)(struct env *env));

/* ---- requests ---- */

struct req {
	struct bdev_io io;
	struct iovec iov[3];
	uint8_t *buf;
	atomic_int times; /* that done() was called */
};

struct req *reqs_new(unsigned n, size_t len);
void reqs_free(struct req *r, unsigned n);
void req_set(struct req *r, enum bdev_op op, uint64_t pos, size_t len);
void submit_all(struct bdev *chan, struct req *r, unsigned n);
unsigned count_done(struct req *r, unsigned n);
void wait_all(struct bdev *chan, struct req *r, unsigned n);

/* Each slot writes its own byte to its own place, or reads it back. */
void fill_slots(struct req *r, unsigned n, enum bdev_op op);
void check_slots(struct req *r, unsigned n);

#endif /* UEXT4_TESTS_UNIT_CHAN_ENV_H */
