/* SPDX-License-Identifier: MIT */
/*
 * Multi-mount protection (feature mmp): one writer at a time, also over hosts
 * that share nothing but the device. mmp.c has the states and rules.
 */
#ifndef UEXT4_FS_MMP_H
#define UEXT4_FS_MMP_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/lock.h"
#include "base/types.h"
#include "disk/dmmp.h"
#include "disk/geo.h"

struct journal;
struct uext4_fs;

struct mmp {
	bool is_held;    /* [const] after mmp_take() */
	struct geo geo;  /* [const] a copy: recovery makes the mount's anew */
	pblk_t pblk;     /* [const] */
	uint32_t update; /* [const] seconds between two writes */
	struct mutex lock;
	struct cond wake;
	uint8_t *raw;            /* [lock] room for the block */
	struct dmmp mine;        /* [lock] what we wrote last */
	_Atomic uint64_t due_ns; /* others may take us for dead from then on */
	uint64_t written_ns;     /* [lock] when that was */
	_Atomic bool is_lost;
	struct journal *journal; /* [lock] to be stopped; NULL: none yet */
	bool stop;               /* [lock] */
	bool has_thread;         /* [owner] who mounts and unmounts */
	pthread_t thread;
};

/* Of a superblock that was read, and is to be read again if is_held afterwards:
 * who had it before may have written one since. Mounting for writing: make the
 * file system ours, which takes no time if it was left clean, up to four check
 * intervals if not (MM1), and keep it so by a thread. -EBUSY: somebody else's;
 * -EINTR: the caller gave up; -EUCLEAN, -EBADMSG. Read-only: warn if somebody
 * has it. */
int mmp_take(struct uext4_fs *fs);
/* fs->journal is there: it is to be stopped if the file system is lost. -EBUSY:
 * it is. */
int mmp_guard_journal(struct uext4_fs *fs);
/* Before something is written: if this process stood still for so long that
 * others may take it for dead, look first (MM3). -ESHUTDOWN: lost. */
int mmp_check_alive(struct uext4_fs *fs);
/* End the thread; the journal may go then. */
void mmp_unguard(struct uext4_fs *fs);
/* Give it back: @is_clean, the block says so. An error says that it does not.
 * Does nothing if it is not held. */
int mmp_release(struct uext4_fs *fs, bool is_clean);
/* What the thread does each time: for tests. */
void mmp_tick(struct uext4_fs *fs);

static inline bool mmp_is_lost(struct mmp *m)
{
	return atomic_load_explicit(&m->is_lost, memory_order_acquire);
}

#endif /* UEXT4_FS_MMP_H */
