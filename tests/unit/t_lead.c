/* SPDX-License-Identifier: MIT */
/*
 * Which worker of a mount reads: each request is read once, whoever works at
 * what; nobody waits for one that looked quick and is not; the end reaches all.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "fuse/lead.h"

#define WORKERS  4
#define REQUESTS 20000u
/* A request that waits until as many as its number have been done. */
#define STUCK    1u

struct office {
	struct lead lead;
	int fd[2];
	pthread_t worker[WORKERS];
	_Atomic unsigned done;
	_Atomic unsigned sum;
};

static void nap_ms(unsigned ms)
{
	struct timespec t = { .tv_nsec = (long)ms * 1000000 };

	(void)nanosleep(&t, NULL);
}

static void do_request(struct office *o, const struct fuse_in_header *head)
{
	while (head->pid == STUCK && atomic_load(&o->done) < head->unique)
		nap_ms(1);
	atomic_fetch_add(&o->sum, (unsigned)head->unique);
	atomic_fetch_add(&o->done, 1);
}

static void *work(void *arg)
{
	struct office *o = arg;
	struct lead_me me = { 0 };
	struct fuse_in_header head;

	while (lead_take(&o->lead, &me)) {
		ssize_t n = lead_read(
				&o->lead, &me, o->fd[0], &head, sizeof(head));

		if (n == 0)
			break;
		if (n > 0)
			do_request(o, &head);
	}
	lead_end(&o->lead);
	return NULL;
}

static void office_open(struct office *o)
{
	int i;

	atomic_init(&o->done, 0);
	atomic_init(&o->sum, 0);
	lead_init(&o->lead);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, o->fd), 0);
	assert_int_equal(fcntl(o->fd[0], F_SETFL, O_NONBLOCK), 0);
	for (i = 0; i < WORKERS; i++)
		assert_int_equal(pthread_create(&o->worker[i], NULL, work, o),
				0);
}

/* As the kernel ends a connection: who reads is told. */
static void office_close(struct office *o)
{
	int i;

	(void)close(o->fd[1]);
	for (i = 0; i < WORKERS; i++)
		(void)pthread_join(o->worker[i], NULL);
	(void)close(o->fd[0]);
	lead_fini(&o->lead);
}

static void ask(struct office *o, uint32_t opcode, unsigned unique,
		uint32_t pid)
{
	struct fuse_in_header head = {
		.len = sizeof(head),
		.opcode = opcode,
		.unique = unique,
		.pid = pid,
	};

	assert_int_equal(write(o->fd[1], &head, sizeof(head)), sizeof(head));
}

static void wait_done(struct office *o, unsigned n)
{
	unsigned ms;

	for (ms = 0; atomic_load(&o->done) < n; ms++) {
		assert_true(ms < 20000);
		nap_ms(1);
	}
	assert_int_equal(atomic_load(&o->done), n);
}

static void each_request_is_read_once(void **state)
{
	static const uint32_t kinds[] = {
		FUSE_LOOKUP,
		FUSE_GETATTR,
		FUSE_WRITE,
		FUSE_UNLINK,
		FUSE_FSYNC,
	};
	struct office o;
	unsigned sum = 0;
	unsigned i;

	office_open(&o);
	for (i = 0; i < REQUESTS; i++) {
		ask(&o, kinds[i / 7 % 5], i, 0);
		sum += i;
		if (i % 1000 == 0)
			wait_done(&o, i + 1);
	}
	wait_done(&o, REQUESTS);
	assert_int_equal(atomic_load(&o.sum), sum);
	office_close(&o);
}

static void nobody_waits_for_a_slow_one(void **state)
{
	static const unsigned quiet_ms[] = { 0, 1, 5, 50, 300, 0 };
	static const uint32_t slow[] = { FUSE_WRITE, FUSE_UNLINK };
	struct office o;
	unsigned n = 0;
	unsigned i;
	unsigned k;

	office_open(&o);
	for (i = 0; i < sizeof(quiet_ms) / sizeof(quiet_ms[0]); i++) {
		for (k = 0; k < 2; k++) {
			nap_ms(quiet_ms[i]);
			ask(&o, slow[k], n + 1, STUCK);
			ask(&o, FUSE_GETATTR, 0, 0);
			n += 2;
			wait_done(&o, n);
		}
	}
	office_close(&o);
}

static void the_end_reaches_all(void **state)
{
	struct office o;

	office_open(&o);
	office_close(&o);
	office_open(&o);
	nap_ms(300); /* until who watches sleeps for good */
	office_close(&o);
	office_open(&o);
	ask(&o, FUSE_LOOKUP, 0, 0);
	wait_done(&o, 1);
	office_close(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_request_is_read_once),
		cmocka_unit_test(nobody_waits_for_a_slow_one),
		cmocka_unit_test(the_end_reaches_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
