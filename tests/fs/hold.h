/* SPDX-License-Identifier: MIT */
/*
 * A device in front of the test device that keeps writes of file data back until
 * the test lets them go, one by one, in any order, well or failed: so the order
 * in which requests end is chosen and not met by chance.
 *
 *	hold_open(&r, "ext4-4k-full", NULL, &(struct hold_opts){ ... });
 *	hold_next(&r, 3);		the next three writes stay here
 *	... submit, or start threads; hold_wait(&r, 3) ...
 *	hold_end(&r, 1, 0);		the second of them ends
 *	hold_close(&r, true);
 *
 * What is not held goes to the test device inside submit. A request that is held
 * is answered by the thread that calls hold_end().
 */
#ifndef UEXT4_TESTS_FS_HOLD_H
#define UEXT4_TESTS_FS_HOLD_H

#include <pthread.h>
#include <stdatomic.h>

#include "bdev/bdev.h"
#include "bug.h"
#include "fs/file.h"
#include "fs/fs.h"

#define HOLD_MAX 64

#define HOLD_RW     (UEXT4_O_RDWR | UEXT4_O_CREAT)
#define HOLD_DIRECT (HOLD_RW | UEXT4_O_DIRECT)

struct hold_opts {
	enum uext4_dio_alloc alloc;
	enum uext4_dio_extend extend;
	enum uext4_dio_size size;
	bool poison; /* all free blocks hold HOLD_POISON */
	bool cuts;   /* for hold_cut(): the device remembers what is durable */
	const char *tune; /* arguments of tune2fs before the first mount */
};
#define HOLD_POISON 0xa5

struct hold {
	struct bdev dev;
	struct bug b; /* b.dev: the test device */
	bool cuts;
	pthread_mutex_t lock;
	int want;                     /* [lock] so many more are kept */
	int n;                        /* [lock] kept since hold_next() */
	struct bdev_io *io[HOLD_MAX]; /* [lock] in order of arrival */
	bool landed[HOLD_MAX];        /* [lock] */
	atomic_uint waiting;          /* for a gate of the test's */
};

void hold_open(struct hold *r, const char *profile, const char *size,
		const struct hold_opts *opts);
void hold_mount(struct hold *r);
/* Power fails now and comes back; nothing may be held. */
void hold_cut(struct hold *r);
void hold_close(struct hold *r, bool judge);

/* Keep the next @n writes of data; numbers begin at 0 again. */
void hold_next(struct hold *r, int n);
/* Until @n are here. */
void hold_wait(struct hold *r, int n);
int hold_count(struct hold *r);
/* Number @i reaches the device, but is not answered yet. */
void hold_land(struct hold *r, int i);
/* Answer number @i: write it and say 0, or fail with @err. */
void hold_end(struct hold *r, int i, int err);

/* ---- what is submitted and called ---- */

/* A synchronous call in a thread of its own. */
struct hold_call {
	pthread_t thread;
	struct uext4_file *file;
	void *buf;
	size_t len;
	uint64_t pos;
	unsigned rwf;
	ssize_t ret;
	atomic_int done;
};
void hold_call_write(struct hold_call *c, struct uext4_file *f, uint64_t pos,
		size_t len, int byte, unsigned rwf);
void hold_call_truncate(
		struct hold_call *c, struct uext4_file *f, uint64_t size);
ssize_t hold_call_join(struct hold_call *c);

struct uext4_queue *hold_queue(struct hold *r, unsigned depth);
/* Submit one write of @len bytes of @byte; the memory is freed with the event,
 * by hold_events(). */
void hold_write(struct uext4_queue *q, struct uext4_file *f, uint64_t pos,
		size_t len, int byte, unsigned rwf, unsigned id);
/* Take what has ended, without waiting (or, with @min, for so many): results go
 * to res[id]; how many. */
int hold_events(struct uext4_queue *q, int min, int64_t *res);
#define HOLD_NONE INT64_MIN /* res[] of what has not ended */

/* Names of the gates seen are told to @fn; NULL: nobody. */
void hold_gate(struct uext4_file *f, iomap_gate_fn fn, void *ctx);
/* A thread waits for the iolock of @f. */
void hold_wait_contended(struct uext4_file *f);
void hold_lacks(struct uext4_file *f, uint32_t what);
/* A read past the cache of @len bytes: all are @byte? */
bool hold_reads(struct uext4_file *f, uint64_t pos, size_t len, int byte);
/* How many of them are not. */
size_t hold_differ(struct uext4_file *f, uint64_t pos, size_t len, int byte);
/* The first mapped block from @pos on, or UINT64_MAX. */
uint64_t hold_next_block(struct uext4_file *f, uint64_t pos);

#endif
