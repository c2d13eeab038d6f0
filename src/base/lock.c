/* SPDX-License-Identifier: MIT */
/*
 * mutex and cond over pthread, and our own read-write lock.
 *
 * The whole state of an rwsem that nobody waits for is one word, so readers
 * and an uncontended writer cost one atomic operation. Who cannot have it at
 * once tries again for as long as a short hold takes (RWSEM_SPINS), then queues
 * up and sleeps. A free lock belongs to whoever comes first, also while others
 * sleep: were it handed to a sleeper it would not be held by anybody who runs
 * until he does, everybody else had to queue meanwhile, and then each hold would
 * cost a sleep (a convoy). A sleeper that has got nothing for RWSEM_FAIR_NS
 * closes the lock to newcomers, and the next who has it is the head of the
 * queue.
 *
 * States   0                    free
 *          n                    n readers
 *          WRITER               one writer
 *          any | WAITERS        somebody in the queue has to be woken
 *          any | WAITERS | FAIR nobody may take it, it is handed over
 *
 * Rules    (L1) WAITERS and FAIR are changed only under l->m. Who sleeps has
 *               set WAITERS since he last tried; it is cleared when the queue
 *               is empty or its head is woken.
 *          (L2) Whoever gives up the last hold and saw WAITERS in the same
 *               atomic step calls rwsem_wake(), so no waiter is forgotten.
 *          (L3) While FAIR is set only hand_over_locked() gives the lock out.
 *               Who sets it calls that, and so does the last hold's end (L2).
 *               The hand-over clears it: one for each who waited too long.
 *          (L4) A reader may show in a slot instead of counting. It fills the
 *               slot, then looks at the state; a writer has the state, then
 *               looks at the slots. All four are sequentially consistent, so
 *               at least one of the two sees the other.
 *
 * Locks    l->m guards the queue and is a leaf.
 */
#include "base/lock.h"

#include <errno.h>
#include <time.h>

#define RWSEM_WRITER  0x80000000u
#define RWSEM_WAITERS 0x40000000u
#define RWSEM_FAIR    0x20000000u
#define RWSEM_READERS 0x1fffffffu

#define RWSEM_SPINS   100u /* some microseconds */
#define RWSEM_FAIR_NS 1000000u

struct rwsem_waiter {
	STAILQ_ENTRY(rwsem_waiter) link;
	struct cond cond;
	bool is_writer;
	bool granted; /* [rwsem.m] */
};

uint64_t time_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ---- mutex ---- */

#ifndef NDEBUG
# define LOCK_PUSH(l, flags)  lockrank_push((l), (l)->name, (l)->rank, (flags))
# define LOCK_POP(l)          lockrank_pop((l), (l)->name)
# define LOCK_CHECK(l, flags) lockrank_check((l), (l)->name, (l)->rank, (flags))
#else
# define LOCK_PUSH(l, flags)  ((void)0)
# define LOCK_POP(l)          ((void)0)
# define LOCK_CHECK(l, flags) ((void)0)
#endif

void mutex_init(struct mutex *l, const char *name, int rank)
{
	pthread_mutex_init(&l->m, NULL);
#ifndef NDEBUG
	l->name = name;
	l->rank = rank;
#endif
}

void mutex_fini(struct mutex *l)
{
	assert(!lockrank_is_held(l));
	pthread_mutex_destroy(&l->m);
}

UEXT4_NO_TSA void mutex_lock(struct mutex *l)
{
	LOCK_PUSH(l, 0);
	pthread_mutex_lock(&l->m);
}

UEXT4_NO_TSA void mutex_lock_nested(struct mutex *l)
{
	LOCK_PUSH(l, LOCK_NEST);
	pthread_mutex_lock(&l->m);
}

UEXT4_NO_TSA bool mutex_trylock(struct mutex *l)
{
	if (pthread_mutex_trylock(&l->m) != 0)
		return false;
	LOCK_PUSH(l, LOCK_TRY);
	return true;
}

UEXT4_NO_TSA void mutex_unlock(struct mutex *l)
{
	LOCK_POP(l);
	pthread_mutex_unlock(&l->m);
}

UEXT4_NO_TSA void mutex_assert_held(struct mutex *l)
{
	assert(lockrank_is_held(l));
}

/* ---- cond ---- */

void cond_init(struct cond *c)
{
	pthread_condattr_t attr;

	/* Not the wall clock: somebody may set it while we sleep. */
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&c->c, &attr);
	pthread_condattr_destroy(&attr);
}

void cond_fini(struct cond *c)
{
	pthread_cond_destroy(&c->c);
}

void cond_wait(struct cond *c, struct mutex *l)
{
	assert(lockrank_is_held(l));
	pthread_cond_wait(&c->c, &l->m);
}

int cond_wait_until(struct cond *c, struct mutex *l, uint64_t deadline_ns)
{
	struct timespec ts = {
		.tv_sec = (time_t)(deadline_ns / 1000000000u),
		.tv_nsec = (long)(deadline_ns % 1000000000u),
	};

	assert(lockrank_is_held(l));
	return -pthread_cond_timedwait(&c->c, &l->m, &ts);
}

int cond_wait_ms(struct cond *c, struct mutex *l, uint64_t ms)
{
	return cond_wait_until(c, l, time_now_ns() + ms * 1000000u);
}

void cond_signal(struct cond *c)
{
	pthread_cond_signal(&c->c);
}

void cond_broadcast(struct cond *c)
{
	pthread_cond_broadcast(&c->c);
}

/* ---- rwsem ---- */

static void rwsem_set_owner(struct rwsem *l, pthread_t owner)
{
#ifndef NDEBUG
	atomic_store_explicit(&l->owner, owner, memory_order_relaxed);
#else
	(void)l;
	(void)owner;
#endif
}

void rwsem_init(struct rwsem *l, const char *name, int rank)
{
	atomic_init(&l->state, 0);
	l->shown = NULL;
	pthread_mutex_init(&l->m, NULL);
	STAILQ_INIT(&l->queue);
#ifndef NDEBUG
	l->name = name;
	l->rank = rank;
	atomic_init(&l->owner, 0);
#endif
}

void rwsem_fini(struct rwsem *l)
{
	assert(atomic_load(&l->state) == 0);
	pthread_mutex_destroy(&l->m);
}

/* For one who tries again and again. */
static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#else
	atomic_signal_fence(memory_order_seq_cst);
#endif
}

static bool rwsem_try_read(struct rwsem *l)
{
	uint32_t s = atomic_load_explicit(&l->state, memory_order_relaxed);

	while (!(s & (RWSEM_WRITER | RWSEM_FAIR))) {
		assert((s & RWSEM_READERS) != RWSEM_READERS);
		if (atomic_compare_exchange_weak_explicit(&l->state, &s, s + 1,
				    memory_order_acquire, memory_order_relaxed))
			return true;
	}
	return false;
}

static bool rwsem_try_write(struct rwsem *l)
{
	uint32_t s = atomic_load_explicit(&l->state, memory_order_relaxed);

	while ((s & ~RWSEM_WAITERS) == 0) {
		if (atomic_compare_exchange_weak_explicit(&l->state, &s,
				    s | RWSEM_WRITER, memory_order_seq_cst,
				    memory_order_relaxed))
			return true;
	}
	return false;
}

static bool rwsem_try(struct rwsem *l, bool is_writer)
{
	return is_writer ? rwsem_try_write(l) : rwsem_try_read(l);
}

/* A writer has the state: now the readers in slots (L4). */
static bool rwsem_has_shown(struct rwsem *l, bool wait)
{
	return l->shown != NULL && l->shown(l, wait);
}

/* FAIR is set: give the lock to the head of the queue, a writer or as many
 * readers as stand there, if it can have it now. */
static void hand_over_locked(struct rwsem *l)
{
	struct rwsem_waiter *w = STAILQ_FIRST(&l->queue);
	/* Holders can only become fewer meanwhile (L3). */
	uint32_t s = atomic_load_explicit(&l->state, memory_order_acquire);
	bool is_writer = w && w->is_writer;

	if ((s & RWSEM_WRITER) || (is_writer && (s & RWSEM_READERS)))
		return;
	while (w && w->is_writer == is_writer) {
		atomic_fetch_add_explicit(&l->state,
				is_writer ? RWSEM_WRITER : 1u,
				memory_order_seq_cst);
		STAILQ_REMOVE_HEAD(&l->queue, link);
		w->granted = true;
		cond_signal(&w->cond);
		if (is_writer)
			break;
		w = STAILQ_FIRST(&l->queue);
	}
	atomic_fetch_and_explicit(&l->state,
			STAILQ_EMPTY(&l->queue) ? ~(RWSEM_FAIR | RWSEM_WAITERS)
						: ~RWSEM_FAIR,
			memory_order_acq_rel);
}

/* The last hold has ended, or a writer has become a reader. Who is woken sets
 * WAITERS again should he come too late. */
static void rwsem_wake(struct rwsem *l)
{
	struct rwsem_waiter *w;

	pthread_mutex_lock(&l->m);
	if (atomic_load_explicit(&l->state, memory_order_relaxed) &
			RWSEM_FAIR) {
		hand_over_locked(l);
	} else {
		atomic_fetch_and_explicit(&l->state, ~RWSEM_WAITERS,
				memory_order_acq_rel);
		STAILQ_FOREACH(w, &l->queue, link)
		{
			cond_signal(&w->cond);
			if (w->is_writer)
				break;
		}
	}
	pthread_mutex_unlock(&l->m);
}

/* Did the waiter @w get it? */
static bool rwsem_retry_locked(struct rwsem *l, struct rwsem_waiter *w)
{
	if (w->granted)
		return true;
	/* Before the attempt: a holder that is in its way sees it (L2). */
	atomic_fetch_or_explicit(
			&l->state, RWSEM_WAITERS, memory_order_acq_rel);
	if (atomic_load_explicit(&l->state, memory_order_relaxed) &
			RWSEM_FAIR) {
		hand_over_locked(l);
		return w->granted;
	}
	if (!rwsem_try(l, w->is_writer))
		return false;
	STAILQ_REMOVE(&l->queue, w, rwsem_waiter, link);
	if (STAILQ_EMPTY(&l->queue))
		atomic_fetch_and_explicit(&l->state, ~RWSEM_WAITERS,
				memory_order_acq_rel);
	return true;
}

/* Until woken; for RWSEM_FAIR_NS, then the lock is closed to newcomers. */
static void rwsem_sleep_locked(struct rwsem *l, struct rwsem_waiter *w)
{
	uint64_t until = time_now_ns() + RWSEM_FAIR_NS;
	struct timespec ts = {
		.tv_sec = (time_t)(until / 1000000000u),
		.tv_nsec = (long)(until % 1000000000u),
	};

	if (pthread_cond_timedwait(&w->cond.c, &l->m, &ts) == ETIMEDOUT &&
			!w->granted)
		atomic_fetch_or_explicit(&l->state, RWSEM_FAIR | RWSEM_WAITERS,
				memory_order_acq_rel);
}

static void rwsem_wait(struct rwsem *l, bool is_writer)
{
	struct rwsem_waiter w = { .is_writer = is_writer };
	unsigned i;

	for (i = 0; i < RWSEM_SPINS; i++) {
		relax();
		if (rwsem_try(l, is_writer))
			return;
	}
	cond_init(&w.cond);
	pthread_mutex_lock(&l->m);
	STAILQ_INSERT_TAIL(&l->queue, &w, link);
	while (!rwsem_retry_locked(l, &w))
		rwsem_sleep_locked(l, &w);
	pthread_mutex_unlock(&l->m);
	cond_fini(&w.cond);
}

static void rwsem_read_lock_flags(struct rwsem *l, unsigned flags)
{
	(void)flags;
	LOCK_PUSH(l, flags);
	if (!rwsem_try_read(l))
		rwsem_wait(l, false);
}

static void rwsem_write_lock_flags(struct rwsem *l, unsigned flags)
{
	(void)flags;
	LOCK_PUSH(l, flags);
	if (!rwsem_try_write(l))
		rwsem_wait(l, true);
	(void)rwsem_has_shown(l, true);
	rwsem_set_owner(l, pthread_self());
}

UEXT4_NO_TSA void rwsem_read_lock(struct rwsem *l)
{
	rwsem_read_lock_flags(l, 0);
}

UEXT4_NO_TSA void rwsem_read_lock_nested(struct rwsem *l)
{
	rwsem_read_lock_flags(l, LOCK_NEST);
}

UEXT4_NO_TSA bool rwsem_read_trylock(struct rwsem *l)
{
	if (!rwsem_try_read(l))
		return false;
	LOCK_PUSH(l, LOCK_TRY);
	return true;
}

UEXT4_NO_TSA void rwsem_read_unlock(struct rwsem *l)
{
	uint32_t old;

	LOCK_POP(l);
	old = atomic_fetch_sub_explicit(&l->state, 1, memory_order_acq_rel);
	assert(!(old & RWSEM_WRITER) && (old & RWSEM_READERS) != 0);
	if ((old & RWSEM_WAITERS) && (old & RWSEM_READERS) == 1)
		rwsem_wake(l);
}

UEXT4_NO_TSA void rwsem_write_lock(struct rwsem *l)
{
	rwsem_write_lock_flags(l, 0);
}

UEXT4_NO_TSA void rwsem_write_lock_nested(struct rwsem *l)
{
	rwsem_write_lock_flags(l, LOCK_NEST);
}

UEXT4_NO_TSA bool rwsem_write_trylock(struct rwsem *l)
{
	if (!rwsem_try_write(l))
		return false;
	LOCK_PUSH(l, LOCK_TRY);
	if (rwsem_has_shown(l, false)) {
		rwsem_write_unlock(l);
		return false;
	}
	rwsem_set_owner(l, pthread_self());
	return true;
}

UEXT4_NO_TSA void rwsem_write_unlock(struct rwsem *l)
{
	uint32_t old;

	LOCK_POP(l);
	rwsem_set_owner(l, 0);
	old = atomic_fetch_and_explicit(
			&l->state, ~RWSEM_WRITER, memory_order_acq_rel);
	assert(old & RWSEM_WRITER);
	if (old & RWSEM_WAITERS)
		rwsem_wake(l);
}

UEXT4_NO_TSA bool rwsem_read_show(struct rwsem *l, rwsem_slot *slot)
{
	assert(l->shown != NULL);
	assert(atomic_load_explicit(slot, memory_order_relaxed) == NULL);
	LOCK_CHECK(l, 0);
	atomic_store(slot, l);
	if (atomic_load(&l->state) & (RWSEM_WRITER | RWSEM_FAIR)) {
		atomic_store_explicit(slot, NULL, memory_order_release);
		return false;
	}
	LOCK_PUSH(l, 0);
	return true;
}

UEXT4_NO_TSA void rwsem_read_hide(struct rwsem *l, rwsem_slot *slot)
{
	LOCK_POP(l);
	assert(atomic_load_explicit(slot, memory_order_relaxed) == l);
	(void)l;
	atomic_store_explicit(slot, NULL, memory_order_release);
}

UEXT4_NO_TSA void rwsem_downgrade(struct rwsem *l)
{
	uint32_t old;

	rwsem_set_owner(l, 0);
	/* One step, WRITER away and one reader in. */
	old = atomic_fetch_sub_explicit(
			&l->state, RWSEM_WRITER - 1u, memory_order_acq_rel);
	assert(old & RWSEM_WRITER);
	if (old & RWSEM_WAITERS)
		rwsem_wake(l);
}

UEXT4_NO_TSA void rwsem_assert_held(struct rwsem *l)
{
	assert(lockrank_is_held(l));
}

UEXT4_NO_TSA void rwsem_assert_write_held(struct rwsem *l)
{
	assert(pthread_equal(atomic_load(&l->owner), pthread_self()));
}

bool rwsem_is_contended(struct rwsem *l)
{
	return (atomic_load_explicit(&l->state, memory_order_relaxed) &
			       RWSEM_WAITERS) != 0;
}
