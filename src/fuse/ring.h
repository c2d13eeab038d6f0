/* SPDX-License-Identifier: MIT */
/*
 * FUSE over io_uring (Linux 6.14): requests come and answers go through the
 * memory of a ring's entries instead of /dev/fuse. Many of both are exchanged in
 * one system call, and a request that comes while the ring's thread works costs
 * nobody a wakeup.
 *
 * The kernel has a queue for each CPU that may exist and puts a request into
 * that of the CPU its caller runs on. It starts to do so when each queue has at
 * least one entry; until then requests wait or come through /dev/fuse, as FORGET
 * and INTERRUPT always do. An entry belongs to one queue and, once registered,
 * to one thread: only that thread may talk to the kernel about it.
 *
 * States   of an entry: kernel's; taken (a request is in it); answered (the
 *          kernel has not been told yet); gone (the connection has ended).
 *          taken -> answered may be done by another thread (ring_lend(),
 *          ring_return()); all else by the ring's.
 *
 * Memory   of an entry: a page with the kernel's header, at the end of which the
 *          head of the request is put together, so that the request lies as
 *          /dev/fuse would have delivered it; then the data, aligned to pages:
 *          names or what is to be written, and the answer.
 *
 * Locks    ring.m is a leaf.
 *
 * Source   The layout and the commands: Documentation/filesystems/fuse/
 *          fuse-io-uring.rst and the public header <linux/fuse.h> of 6.14.
 */
#ifndef UEXT4_FUSE_RING_H
#define UEXT4_FUSE_RING_H

#include <liburing.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/uio.h>

#include "fuse/quick.h"

/* The bit of the kernel's first request and of its answer. */
#define RING_INIT_FLAG (UINT64_C(1) << 41)

struct ring_head; /* the kernel's */

struct ring_entry {
	struct ring *ring;
	struct ring_head *head;
	char *data;
	size_t size;
	struct iovec iov[2]; /* of head and data, for the kernel */
	uint64_t unique;     /* of the request that is in it */
	uint64_t commit_id;
	uint32_t opcode;
	uint16_t queue;
	bool answered;
	bool huge;      /* data is in huge pages */
	uint8_t begged; /* so often it was tried to have it so */
	TAILQ_ENTRY(ring_entry) link;
};

TAILQ_HEAD(ring_list, ring_entry);

struct ring {
	struct io_uring uring;
	int poke; /* eventfd */
	uint64_t poked;
	struct ring_entry *entry;
	char *mem; /* of whole huge pages */
	size_t mem_size;
	unsigned nentries;
	unsigned alive;      /* entries that are not gone */
	unsigned lent;       /* entries that other threads have */
	int error;           /* first that is not the end of the connection */
	_Atomic bool asleep; /* its thread is, or is about to be */
	_Atomic unsigned nback;
	pthread_mutex_t m;
	struct ring_list back; /* [m] returned, the kernel not told yet */
};

/* The ring @index of @nrings. Of the kernel's @nqueues those below @nonline, of CPUs
 * that are there, have @depth entries each, the others one. Those of a queue lie in
 * @share rings, so that what one caller asks for is done by several threads. An
 * entry takes requests of @size bytes (a multiple of a page). */
struct ring_opts {
	int fuse_fd;
	unsigned index, nrings, share;
	unsigned nqueues, nonline, depth;
	size_t size;
};

/* By any thread. 0 or a negative errno: this host gives no io_uring. */
int ring_open(struct ring *r, const struct ring_opts *o);
/* Nobody uses @r any more. Requests left in it are answered by the end of the
 * connection. */
void ring_close(struct ring *r);

/* By the thread that is to be the ring's, once: the entries go to the kernel. 0,
 * -ENODEV (the connection has ended), or another errno: it does not take them. */
int ring_start(struct ring *r);
enum ring_patience {
	RING_LOOK,  /* take what is there */
	RING_ASK,   /* and look again for some microseconds before sleeping */
	RING_SLEEP, /* until something is there */
};

/* Tell the kernel what was answered, and append the requests that came to @ret.
 * Who waits does so for a request, a return or a signal. 0, -EINTR, -ENODEV (the
 * connection has ended), or another errno: the ring is of no use any more. */
int ring_wait(struct ring *r, enum ring_patience how, struct ring_list *ret);
/* @e is answered; the kernel hears of it at the latest in ring_wait(). */
void ring_commit(struct ring_entry *e);
/* It hears now of all that was. */
void ring_tell(struct ring *r);
/* Another thread has @e from now on, until it calls ring_return(). */
void ring_lend(struct ring_entry *e);
void ring_return(struct ring_entry *e);
/* The last: wait until nobody has an entry any more, and tell the kernel all that
 * was answered. */
void ring_settle(struct ring *r);

/* The request in @e, as it lies there. False: it makes no sense. */
bool ring_pieces(const struct ring_entry *e, struct quick_req *ret);
/* The same as one piece of *ret_len bytes. NULL: it makes no sense. */
void *ring_request(struct ring_entry *e, size_t *ret_len);
/* Have the entry's data lie in huge pages, if what the request brings is long enough
 * to pay for that. Does it? By who has the entry. */
bool ring_want_huge(struct ring_entry *e);
/* Bytes that the request brings, or that it asks for to be read. */
size_t ring_data_size(const struct ring_entry *e);
/* Answer with @iov: a fuse_out_header, then pieces. They may lie in e->data, in
 * the order in which they are sent. Returns the length, or -EINVAL if there is
 * no room for it. */
ssize_t ring_answer(struct ring_entry *e, const struct iovec *iov, int n);
/* Answer with an error (negative errno). */
void ring_refuse(struct ring_entry *e, int err);

#endif /* UEXT4_FUSE_RING_H */
