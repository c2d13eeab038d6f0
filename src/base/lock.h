/* SPDX-License-Identifier: MIT */
/*
 * Locks with clang's thread-safety capabilities and a rank each.
 *
 * struct mutex   one owner
 * struct cond    wait for a change under a mutex
 * struct rwsem   readers or one writer. Who comes when it is free takes it,
 *                before those who sleep; neither side starves, because who has
 *                slept for a millisecond closes it to all who come later, and
 *                is next. Hence no thread may read-lock an rwsem that it
 *                already holds. May be tried and downgraded. Released by the
 *                thread that took it.
 *
 * How to use:
 *	rwsem_init(&in->rwsem, "inode", LOCK_RANK_INODE);
 *	rwsem_write_lock(&in->rwsem); ... rwsem_downgrade(&in->rwsem);
 *	rwsem_read_unlock(&in->rwsem);
 *	rwsem_fini(&in->rwsem);
 *
 * Annotate functions, not fields: in C, clang (14) cannot name a sibling
 * member in guarded_by(), so a field says its lock in a [tag] instead. A
 * function that locks under a condition is marked UEXT4_NO_TSA. Debug builds
 * remember the holder, so that asserts can ask for it, and check the order
 * (base/lockrank.h). The _nested variants allow an equal rank to be held.
 */
#ifndef UEXT4_BASE_LOCK_H
#define UEXT4_BASE_LOCK_H

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/lockrank.h"

#if defined(__clang__)
# define UEXT4_TSA(x) __attribute__((x))
#else
# define UEXT4_TSA(x)
#endif

#define UEXT4_CAPABILITY(n) UEXT4_TSA(capability(n))
#define UEXT4_REQUIRES(...) UEXT4_TSA(requires_capability(__VA_ARGS__))
#define UEXT4_REQUIRES_SHARED(...)                                             \
 UEXT4_TSA(requires_shared_capability(__VA_ARGS__))
#define UEXT4_EXCLUDES(...) UEXT4_TSA(locks_excluded(__VA_ARGS__))
#define UEXT4_ACQUIRE(...)  UEXT4_TSA(acquire_capability(__VA_ARGS__))
#define UEXT4_ACQUIRE_SHARED(...)                                              \
 UEXT4_TSA(acquire_shared_capability(__VA_ARGS__))
#define UEXT4_RELEASE(...) UEXT4_TSA(release_capability(__VA_ARGS__))
#define UEXT4_RELEASE_SHARED(...)                                              \
 UEXT4_TSA(release_shared_capability(__VA_ARGS__))
#define UEXT4_TRY_ACQUIRE(...) UEXT4_TSA(try_acquire_capability(__VA_ARGS__))
#define UEXT4_TRY_ACQUIRE_SHARED(...)                                          \
 UEXT4_TSA(try_acquire_shared_capability(__VA_ARGS__))
#define UEXT4_ASSERTS(...) UEXT4_TSA(assert_capability(__VA_ARGS__))
#define UEXT4_ASSERTS_SHARED(...)                                              \
 UEXT4_TSA(assert_shared_capability(__VA_ARGS__))
#define UEXT4_NO_TSA UEXT4_TSA(no_thread_safety_analysis)

/* ---- mutex ---- */

struct UEXT4_CAPABILITY("mutex") mutex {
	pthread_mutex_t m;
#ifndef NDEBUG
	const char *name; /* [const] */
	int rank;         /* [const] */
#endif
};

/* @name must outlive the lock: give a literal. */
void mutex_init(struct mutex *l, const char *name, int rank);
/* Nobody holds it and nobody waits. */
void mutex_fini(struct mutex *l);
void mutex_lock(struct mutex *l) UEXT4_ACQUIRE(*l);
void mutex_lock_nested(struct mutex *l) UEXT4_ACQUIRE(*l);
bool mutex_trylock(struct mutex *l) UEXT4_TRY_ACQUIRE(true, *l);
void mutex_unlock(struct mutex *l) UEXT4_RELEASE(*l);
/* Asserts that this thread holds @l. */
void mutex_assert_held(struct mutex *l) UEXT4_ASSERTS(*l);

/* ---- cond ---- */

struct cond {
	pthread_cond_t c;
};

void cond_init(struct cond *c);
void cond_fini(struct cond *c);
/* Give @l up, sleep until woken, take it again. May wake for no reason. */
void cond_wait(struct cond *c, struct mutex *l) UEXT4_REQUIRES(*l);
/* The same for at most @ms milliseconds: 0 woken, -ETIMEDOUT. */
int cond_wait_ms(struct cond *c, struct mutex *l, uint64_t ms)
		UEXT4_REQUIRES(*l);
/* The same until time_now_ns() reaches @deadline_ns. */
int cond_wait_until(struct cond *c, struct mutex *l, uint64_t deadline_ns)
		UEXT4_REQUIRES(*l);
void cond_signal(struct cond *c);
void cond_broadcast(struct cond *c);

/* Nanoseconds of the monotonic clock. */
uint64_t time_now_ns(void);

/* ---- rwsem ---- */

struct rwsem;
struct rwsem_waiter;

/* Are there readers of @l that only show in slots (rwsem_read_show())? With
 * @wait not before there are none. */
typedef bool (*rwsem_shown_fn)(struct rwsem *l, bool wait);

struct UEXT4_CAPABILITY("rwsem") rwsem {
	_Atomic uint32_t state; /* RWSEM_*, see lock.c */
	rwsem_shown_fn shown;   /* [const] NULL: nobody uses slots */
	pthread_mutex_t m;      /* protects queue */
	STAILQ_HEAD(rwsem_queue, rwsem_waiter) queue;
#ifndef NDEBUG
	const char *name;         /* [const] */
	int rank;                 /* [const] */
	_Atomic(pthread_t) owner; /* the writer, 0 when there is none */
#endif
};

void rwsem_init(struct rwsem *l, const char *name, int rank);
void rwsem_fini(struct rwsem *l);

void rwsem_read_lock(struct rwsem *l) UEXT4_ACQUIRE_SHARED(*l);
void rwsem_read_lock_nested(struct rwsem *l) UEXT4_ACQUIRE_SHARED(*l);
/* False when a writer holds it or somebody has waited for too long. */
bool rwsem_read_trylock(struct rwsem *l) UEXT4_TRY_ACQUIRE_SHARED(true, *l);
void rwsem_read_unlock(struct rwsem *l) UEXT4_RELEASE_SHARED(*l);

void rwsem_write_lock(struct rwsem *l) UEXT4_ACQUIRE(*l);
void rwsem_write_lock_nested(struct rwsem *l) UEXT4_ACQUIRE(*l);
bool rwsem_write_trylock(struct rwsem *l) UEXT4_TRY_ACQUIRE(true, *l);
void rwsem_write_unlock(struct rwsem *l) UEXT4_RELEASE(*l);

/*
 * Readers that share no memory with each other: each shows in a slot of its own
 * (empty before and afterwards, one slot for one hold at a time) which lock it
 * holds. A writer looks at all slots, through l->shown. False: a writer holds
 * the lock or somebody has waited for too long; then take it as others do.
 */
typedef _Atomic(struct rwsem *) rwsem_slot;
bool rwsem_read_show(struct rwsem *l, rwsem_slot *slot)
		UEXT4_TRY_ACQUIRE_SHARED(true, *l);
void rwsem_read_hide(struct rwsem *l, rwsem_slot *slot)
		UEXT4_RELEASE_SHARED(*l);

/* From writer to reader without a gap: no writer gets in between. To clang
 * the lock stays exclusive, so a function that calls this and then
 * rwsem_read_unlock() is UEXT4_NO_TSA. */
void rwsem_downgrade(struct rwsem *l) UEXT4_REQUIRES(*l);

/* Asserts that this thread holds @l, as reader or writer. */
void rwsem_assert_held(struct rwsem *l) UEXT4_ASSERTS_SHARED(*l);
/* Asserts that this thread holds @l as the writer. */
void rwsem_assert_write_held(struct rwsem *l) UEXT4_ASSERTS(*l);
/* Does anybody wait for it? A hint, for long holders that can yield. */
bool rwsem_is_contended(struct rwsem *l);

#endif /* UEXT4_BASE_LOCK_H */
