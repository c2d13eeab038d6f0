/* SPDX-License-Identifier: MIT */
/*
 * Locks: exclusion under many threads, fairness, downgrade, timed waits, and
 * that a wrong order dies (in a child).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/lock.h"

#define NTHREADS 6
#define ROUNDS   4000

struct shared {
	struct rwsem sem;
	struct mutex mutex;
	struct cond cond;
	unsigned long a, b;    /* [sem], always equal */
	unsigned long counter; /* [mutex] */
	atomic_int readers;
	atomic_int writers;
	atomic_uint stage;
};

static void shared_init(struct shared *s)
{
	rwsem_init(&s->sem, "sem", LOCK_RANK_INODE);
	mutex_init(&s->mutex, "mutex", LOCK_RANK_CACHE);
	cond_init(&s->cond);
	s->a = s->b = s->counter = 0;
	atomic_init(&s->readers, 0);
	atomic_init(&s->writers, 0);
	atomic_init(&s->stage, 0);
}

static void shared_fini(struct shared *s)
{
	cond_fini(&s->cond);
	mutex_fini(&s->mutex);
	rwsem_fini(&s->sem);
}

UEXT4_NO_TSA static void read_once(struct shared *s, bool try)
{
	if (try) {
		if (!rwsem_read_trylock(&s->sem))
			return;
	} else {
		rwsem_read_lock(&s->sem);
	}
	atomic_fetch_add(&s->readers, 1);
	if (s->a != s->b || atomic_load(&s->writers) != 0)
		abort();
	rwsem_assert_held(&s->sem);
	atomic_fetch_sub(&s->readers, 1);
	rwsem_read_unlock(&s->sem);
}

UEXT4_NO_TSA static void write_once(struct shared *s, bool try, bool down)
{
	if (try) {
		if (!rwsem_write_trylock(&s->sem))
			return;
	} else {
		rwsem_write_lock(&s->sem);
	}
	if (atomic_fetch_add(&s->writers, 1) != 0 ||
			atomic_load(&s->readers) != 0)
		abort();
	rwsem_assert_write_held(&s->sem);
	s->a++;
	sched_yield();
	s->b++;
	atomic_fetch_sub(&s->writers, 1);
	if (!down) {
		rwsem_write_unlock(&s->sem);
		return;
	}
	rwsem_downgrade(&s->sem);
	if (s->a != s->b)
		abort();
	rwsem_read_unlock(&s->sem);
}

static void *mix(void *arg)
{
	struct shared *s = (struct shared *)arg;
	unsigned seed = (unsigned)(uintptr_t)&seed;

	for (int i = 0; i < ROUNDS; i++) {
		int r = rand_r(&seed) % 16;

		if (r < 9)
			read_once(s, r == 0);
		else
			write_once(s, r == 9, r == 10);
		mutex_lock(&s->mutex);
		s->counter++;
		mutex_unlock(&s->mutex);
	}
	assert(lockrank_count() == 0);
	return NULL;
}

static void locks_exclude(void **state)
{
	pthread_t t[NTHREADS];
	struct shared s;

	shared_init(&s);
	for (int i = 0; i < NTHREADS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, mix, &s), 0);
	for (int i = 0; i < NTHREADS; i++)
		(void)pthread_join(t[i], NULL);
	assert_int_equal(s.a, s.b);
	assert_int_equal(s.counter, NTHREADS * ROUNDS);
	shared_fini(&s);
}

/* ---- fairness ---- */

static void *late_writer(void *arg)
{
	struct shared *s = (struct shared *)arg;

	rwsem_write_lock(&s->sem);
	atomic_store(&s->stage, 1);
	rwsem_write_unlock(&s->sem);
	return NULL;
}

static void *later_reader(void *arg)
{
	struct shared *s = (struct shared *)arg;

	rwsem_read_lock(&s->sem);
	/* The writer was first in the queue. */
	if (atomic_load(&s->stage) != 1)
		abort();
	rwsem_read_unlock(&s->sem);
	return NULL;
}

static void wait_until_contended(struct shared *s)
{
	while (!rwsem_is_contended(&s->sem))
		usleep(1000);
}

/* Somebody waits, and has waited for so long that it is his turn. */
static void wait_until_closed(struct shared *s)
{
	wait_until_contended(s);
	while (rwsem_read_trylock(&s->sem)) {
		rwsem_read_unlock(&s->sem);
		usleep(1000);
	}
}

UEXT4_NO_TSA static void readers_wait_behind_a_writer_that_waited(void **state)
{
	struct shared s;
	pthread_t w, r;

	shared_init(&s);
	rwsem_read_lock(&s.sem);
	assert_false(rwsem_is_contended(&s.sem));
	assert_int_equal(pthread_create(&w, NULL, late_writer, &s), 0);
	wait_until_closed(&s);
	assert_false(rwsem_read_trylock(&s.sem));
	assert_int_equal(pthread_create(&r, NULL, later_reader, &s), 0);
	usleep(5000);
	assert_int_equal(atomic_load(&s.stage), 0);
	rwsem_read_unlock(&s.sem);
	(void)pthread_join(w, NULL);
	(void)pthread_join(r, NULL);
	shared_fini(&s);
}

/* Two of these always overlap: the lock is never free of them. */
static void *reader_without_end(void *arg)
{
	struct shared *s = (struct shared *)arg;

	while (atomic_load(&s->stage) == 0) {
		rwsem_read_lock(&s->sem);
		atomic_fetch_add(&s->readers, 1);
		usleep(300);
		atomic_fetch_sub(&s->readers, 1);
		rwsem_read_unlock(&s->sem);
	}
	return NULL;
}

static void *writer_without_end(void *arg)
{
	struct shared *s = (struct shared *)arg;

	while (atomic_load(&s->stage) == 0) {
		rwsem_write_lock(&s->sem);
		usleep(300);
		rwsem_write_unlock(&s->sem);
	}
	return NULL;
}

static void *late_reader(void *arg)
{
	struct shared *s = (struct shared *)arg;

	rwsem_read_lock(&s->sem);
	atomic_store(&s->stage, 1);
	rwsem_read_unlock(&s->sem);
	return NULL;
}

static void starve(void *(*crowd)(void *), void *(*one)(void *))
{
	pthread_t t[NTHREADS + 1];
	struct shared s;
	int i;

	shared_init(&s);
	for (i = 0; i < NTHREADS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, crowd, &s), 0);
	usleep(2000);
	assert_int_equal(pthread_create(&t[i], NULL, one, &s), 0);
	/* The crowd goes on until he has had it. */
	for (i = 0; i <= NTHREADS; i++)
		(void)pthread_join(t[i], NULL);
	shared_fini(&s);
}

static void nobody_starves(void **state)
{
	for (int i = 0; i < 20; i++) {
		starve(reader_without_end, late_writer);
		starve(writer_without_end, late_reader);
		starve(writer_without_end, late_writer);
	}
}

UEXT4_NO_TSA static void downgrade_lets_readers_but_no_writer(void **state)
{
	struct shared s;
	pthread_t w;

	shared_init(&s);
	rwsem_write_lock(&s.sem);
	assert_false(rwsem_read_trylock(&s.sem));
	rwsem_downgrade(&s.sem);
	assert_int_equal(pthread_create(&w, NULL, late_writer, &s), 0);
	wait_until_contended(&s);
	assert_false(rwsem_write_trylock(&s.sem));
	usleep(5000);
	assert_int_equal(atomic_load(&s.stage), 0);
	rwsem_read_unlock(&s.sem);
	(void)pthread_join(w, NULL);
	assert_int_equal(atomic_load(&s.stage), 1);
	shared_fini(&s);
}

/* ---- cond ---- */

static void *waker(void *arg)
{
	struct shared *s = (struct shared *)arg;

	mutex_lock(&s->mutex);
	s->counter = 1;
	cond_broadcast(&s->cond);
	mutex_unlock(&s->mutex);
	return NULL;
}

static void waits_wake_and_time_out(void **state)
{
	struct shared s;
	uint64_t start = time_now_ns();
	pthread_t t;

	shared_init(&s);
	mutex_lock(&s.mutex);
	assert_int_equal(cond_wait_ms(&s.cond, &s.mutex, 20), -ETIMEDOUT);
	assert_true(time_now_ns() - start >= 19000000u);
	assert_int_equal(pthread_create(&t, NULL, waker, &s), 0);
	while (s.counter == 0)
		cond_wait(&s.cond, &s.mutex);
	mutex_assert_held(&s.mutex);
	mutex_unlock(&s.mutex);
	(void)pthread_join(t, NULL);
	shared_fini(&s);
}

/* ---- order ---- */

#ifndef NDEBUG

struct ranks {
	struct mutex outer, inner, inner2;
	struct rwsem sem;
};

static void ranks_init(struct ranks *r)
{
	mutex_init(&r->outer, "outer", LOCK_RANK_PAGE);
	mutex_init(&r->inner, "inner", LOCK_RANK_BUF);
	mutex_init(&r->inner2, "inner2", LOCK_RANK_BUF);
	rwsem_init(&r->sem, "sem", LOCK_RANK_INODE);
}

/* Does @act die by abort, with @word in its last words? */
static void dies(void (*act)(struct ranks *), const char *word)
{
	char said[1024];
	int status, pipefd[2];
	size_t len = 0;
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe(pipefd), 0);
	(void)fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct ranks r;

		(void)signal(SIGABRT, SIG_DFL);
		(void)dup2(pipefd[1], 2);
		ranks_init(&r);
		act(&r);
		_exit(0);
	}
	(void)close(pipefd[1]);
	while (len < sizeof(said) - 1 &&
			(n = read(pipefd[0], said + len,
					 sizeof(said) - 1 - len)) > 0)
		len += (size_t)n;
	said[len] = '\0';
	(void)close(pipefd[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	if (!strstr(said, word))
		fail_msg("\"%s\" is not in: %s", word, said);
}

UEXT4_NO_TSA static void invert(struct ranks *r)
{
	mutex_lock(&r->inner);
	mutex_lock(&r->outer);
}

UEXT4_NO_TSA static void two_of_a_rank(struct ranks *r)
{
	mutex_lock(&r->inner);
	mutex_lock(&r->inner2);
}

UEXT4_NO_TSA static void take_twice(struct ranks *r)
{
	rwsem_read_lock(&r->sem);
	rwsem_read_lock_nested(&r->sem);
}

UEXT4_NO_TSA static void unlock_not_held(struct ranks *r)
{
	mutex_unlock(&r->outer);
}

UEXT4_NO_TSA static void handle_over_page(struct ranks *r)
{
	lockrank_push(r, "handle", LOCK_RANK_HANDLE, 0);
	mutex_lock(&r->outer);
}

UEXT4_NO_TSA static void assert_not_held(struct ranks *r)
{
	mutex_assert_held(&r->outer);
}

static void wrong_orders_die(void **state)
{
	dies(invert, "\"inner\"");
	dies(invert, "inversion \"outer\"");
	dies(two_of_a_rank, "second of its rank \"inner2\"");
	dies(take_twice, "taken twice");
	dies(unlock_not_held, "not held");
	dies(handle_over_page, "\"handle\"");
	dies(assert_not_held, "mutex_assert_held");
}

UEXT4_NO_TSA static void right_orders_live(void **state)
{
	struct ranks r;

	ranks_init(&r);
	rwsem_read_lock(&r.sem);
	mutex_lock(&r.outer);
	lockrank_push(&r, "handle", LOCK_RANK_HANDLE, 0);
	assert_true(lockrank_holds_rank(LOCK_RANK_HANDLE));
	mutex_lock(&r.inner);
	mutex_lock_nested(&r.inner2);
	assert_int_equal(lockrank_count(), 5);
	/* Any order of letting go. */
	mutex_unlock(&r.outer);
	lockrank_pop(&r, "handle");
	assert_false(lockrank_holds_rank(LOCK_RANK_HANDLE));
	/* What is only tried may come from anywhere. */
	assert_true(mutex_trylock(&r.outer));
	mutex_unlock(&r.outer);
	mutex_unlock(&r.inner);
	mutex_unlock(&r.inner2);
	rwsem_read_unlock(&r.sem);
	assert_int_equal(lockrank_count(), 0);
}

#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(locks_exclude),
		cmocka_unit_test(readers_wait_behind_a_writer_that_waited),
		cmocka_unit_test(nobody_starves),
		cmocka_unit_test(downgrade_lets_readers_but_no_writer),
		cmocka_unit_test(waits_wake_and_time_out),
#ifndef NDEBUG
		cmocka_unit_test(wrong_orders_die),
		cmocka_unit_test(right_orders_live),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
