/* SPDX-License-Identifier: MIT */
/*
 * What the tests of direct writes share: ways to go about it, requests held at
 * the device, and requests in flight while the test goes on.
 *
 *	way_open(&b, "ext4-4k-full", NULL);	mounted as the way says
 *	put(f, pos, len, 'x');			written as the way says
 *
 *	hold(0, BDEV_WRITE, 'a', 1);		the next one that carries 'a's
 *	fly(&a, f, pos, len, 'a', 0);		under way; it is held
 *	hold_wait(0);
 *	...
 *	hold_open(0);
 *	n = land(&a);
 *
 * A test is run in every way that there is: by calls and by queues, under both
 * policies of allocation, both kinds of extension, and both of sizes.
 */
#ifndef UEXT4_TESTS_FS_DIO_ENV_H
#define UEXT4_TESTS_FS_DIO_ENV_H

#include <pthread.h>
#include <stdatomic.h>

#include "bdev/bdev.h"
#include "bug.h"
#include "fs/file.h"

#define RW     (UEXT4_O_RDWR | UEXT4_O_CREAT)
#define DIRECT (RW | UEXT4_O_DIRECT)

/* ---- ways ---- */

struct way {
	const char *name;
	bool by_queue;
	enum uext4_dio_alloc alloc;
	enum uext4_dio_extend extend;
	enum uext4_dio_size size;
};

extern const struct way ways[];
extern const unsigned nways;
/* Of the test that runs. */
extern const struct way *way;

static inline bool way_is_datafirst(void)
{
	return way->alloc != UEXT4_DIO_ALLOC_UNWRITTEN;
}

static inline bool way_is_serial(void)
{
	return way->extend == UEXT4_DIO_EXTEND_SERIAL;
}

/* Run the group in all ways; argv[1]: in those whose names have it, argv[2]:
 * tests of this pattern. */
int ways_run(const char *group, const struct CMUnitTest *tests, size_t n,
		int argc, char **argv);
void way_open(struct bug *b, const char *profile, const char *size);
/* The same for blocks of @bs, 1024 to 65536 bytes; @extent: else indirect. */
void way_open_bs(struct bug *b, uint32_t bs, bool extent);
/* One write, as the way says; bytes or -errno. */
ssize_t write_rwf(struct uext4_file *f, uint64_t pos, size_t len, int byte,
		unsigned rwf);
/* All of it is written. */
void put(struct uext4_file *f, uint64_t pos, size_t len, int byte);

/* What the map has at @pos. */
struct map_run run_at(struct uext4_file *f, uint64_t pos);

/* ---- a write in a thread of its own ---- */

struct writer {
	pthread_t thread;
	struct uext4_file *file;
	size_t len;
	uint64_t pos;
	int byte;
	unsigned rwf;
	ssize_t ret;
	atomic_int done;
};

void writer_start(struct writer *w, struct uext4_file *f, uint64_t pos,
		size_t len, int byte);
void writer_append(struct writer *w, struct uext4_file *f, size_t len, int byte,
		unsigned rwf);
/* It has written everything. */
void writer_join(struct writer *w);

/* Somebody else who holds the iolock of @f exclusively. */
struct locker {
	pthread_t thread;
	struct uext4_file *file;
	atomic_int has, go;
};

void locker_start(struct locker *l, struct uext4_file *f);
void locker_end(struct locker *l);

/* ---- a request in flight by a queue of its own ---- */

struct flight {
	struct uext4_queue *q;
	void *buf;
};

/* Submitted; its device requests are in the hands of other threads. */
void fly(struct flight *t, struct uext4_file *f, uint64_t pos, size_t len,
		int byte, unsigned rwf);
void fly_read(struct flight *t, struct uext4_file *f, uint64_t pos, size_t len);
/* Its event; the memory of a read stays in t->buf until flight_end(). */
ssize_t flight_wait(struct flight *t);
void flight_end(struct flight *t);
/* Both. */
ssize_t land(struct flight *t);

/* ---- holding requests of data at the device ---- */

#define HOLDS 4

/* Hold the next @n requests of a kind, @byte not 0: those that carry memory
 * beginning with it. Flushes carry nothing. */
void hold(unsigned i, enum bdev_op op, int byte, int n);
/* Until @n are held. */
void hold_wait_n(unsigned i, int n);
void hold_wait(unsigned i);
bool hold_is_held(unsigned i);
void hold_open(unsigned i);
/* Forget all, having opened them. Call it before the device is used first. */
void hold_reset(struct bug *b);

/* Wait until @is is not 0, but not for ever. */
bool comes(atomic_int *is, int ms);

#endif
