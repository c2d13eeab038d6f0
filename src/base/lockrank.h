/* SPDX-License-Identifier: MIT */
/*
 * The lock order, checked at run time in debug builds.
 *
 * Each thread keeps the list of what it holds. A lock may be waited for only
 * if its rank is above every rank held; the first inversion prints both names
 * and aborts. mutex and rwsem call this by themselves; what is not a lock but
 * is waited for like one (the journal handle, a page's busy bit) calls
 * lockrank_push() and lockrank_pop() itself.
 *
 * Rules  (K1) Outer locks have lower ranks.
 *        (K2) Two of one rank only through a _nested variant, whose caller
 *             knows an order among equals (parent before child, by number).
 *        (K3) A try-lock cannot deadlock: it is noted, not checked.
 *        (K4) What a thread pushed, that thread pops. Any order of popping.
 *        (K5) LOCK_RANK_NONE is noted and never checked.
 *
 * With NDEBUG every function here is empty.
 */
#ifndef UEXT4_BASE_LOCKRANK_H
#define UEXT4_BASE_LOCKRANK_H

#include <stdbool.h>

enum lock_rank {
	LOCK_RANK_NONE = 0,
	LOCK_RANK_FS = 100,       /* mount, handle tables: outermost */
	LOCK_RANK_RENAME = 200,   /* one rename across directories */
	LOCK_RANK_INODE = 300,    /* inode->rwsem; nested: parent first */
	LOCK_RANK_INVAL = 400,    /* page cache against truncate, DIO */
	LOCK_RANK_PAGE = 500,     /* a page's busy bit; nested: by index */
	LOCK_RANK_HANDLE = 600,   /* journal handle, a pseudo lock */
	LOCK_RANK_ORPHAN = 700,   /* orphan list and orphan file */
	LOCK_RANK_CLAIM = 750,    /* claims and reservations of direct I/O */
	LOCK_RANK_MAP = 800,      /* inode's map_lock */
	LOCK_RANK_SIZE = 900,     /* inode's size_lock */
	LOCK_RANK_BUF = 1000,     /* buf->lock; nested: tree order */
	LOCK_RANK_GRP = 1100,     /* a group's lock; nested: by number */
	LOCK_RANK_ALLOC = 1150,   /* allocator-wide lists, reservations */
	LOCK_RANK_JOURNAL = 1200, /* journal state */
	LOCK_RANK_JLIST = 1250,   /* journal's lists of bufs */
	LOCK_RANK_INODE_TABLE = 1280, /* table of in-memory inodes */
	LOCK_RANK_CACHE = 1300,       /* cache tables and LRU lists */
	LOCK_RANK_MMP = 1350,         /* the MMP block, and I/O on it */
	LOCK_RANK_BDEV = 1400,        /* device queues */
	LOCK_RANK_LEAF = 1500, /* small locks under which none is taken */
	LOCK_RANK_LOG = 1600,  /* rate limit of the log */
};

#define LOCK_NEST 1u /* another lock of this rank may be held (K2) */
#define LOCK_TRY  2u /* did not wait, so no order applies (K3) */

#ifndef NDEBUG
/* Ask before waiting: abort if taking @lock now breaks the order. */
void lockrank_check(
		const void *lock, const char *name, int rank, unsigned flags);
/* Check (unless LOCK_TRY) and note that this thread holds @lock. @name must
 * outlive the holding. */
void lockrank_push(
		const void *lock, const char *name, int rank, unsigned flags);
/* Forget @lock; aborts if this thread does not hold it. */
void lockrank_pop(const void *lock, const char *name);
/* Does this thread hold @lock? */
bool lockrank_is_held(const void *lock);
/* Does this thread hold anything of @rank? For "not under a handle" asserts:
 * assert(!lockrank_holds_rank(LOCK_RANK_HANDLE)). Always false with NDEBUG. */
bool lockrank_holds_rank(int rank);
/* How many locks this thread holds: 0 at the end of a public call. */
unsigned lockrank_count(void);
#else
static inline void lockrank_check(
		const void *lock, const char *name, int rank, unsigned flags)
{
}
static inline void lockrank_push(
		const void *lock, const char *name, int rank, unsigned flags)
{
}
static inline void lockrank_pop(const void *lock, const char *name)
{
}
static inline bool lockrank_is_held(const void *lock)
{
	return true;
}
static inline bool lockrank_holds_rank(int rank)
{
	return false;
}
static inline unsigned lockrank_count(void)
{
	return 0;
}
#endif

#endif /* UEXT4_BASE_LOCKRANK_H */
