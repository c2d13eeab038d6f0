/* SPDX-License-Identifier: MIT */
/*
 * RENAME_EXCHANGE of a directory and a file locked the two by number. Another
 * name of the file inside that directory, unlinked meanwhile, locks them the
 * other way round: both threads hung.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "bug.h"

#define ROUNDS 400

static struct bug b;
static struct uext4_node *dir, *file;
static atomic_int stop;

static void *link_and_unlink(void *arg)
{
	while (!atomic_load(&stop)) {
		assert_int_equal(uext4_link(file, dir, "again", NULL), 0);
		assert_int_equal(uext4_unlink(dir, "again", NULL), 0);
	}
	return arg;
}

static void exchange_with_a_file_that_is_linked_inside(void **state)
{
	struct uext4_node *p, *q;
	pthread_t other;

	bug_open(&b, "ext4-4k-full", NULL);
	assert_int_equal(env_mkdir(&b.e, "/p", 0755), 0);
	assert_int_equal(env_mkdir(&b.e, "/q", 0755), 0);
	assert_int_equal(env_create(&b.e, "/q/x", 0644), 0);
	assert_int_equal(env_mkdir(&b.e, "/p/x", 0755), 0);
	p = env_node(&b.e, "/p");
	q = env_node(&b.e, "/q");
	dir = env_node(&b.e, "/p/x");
	file = env_node(&b.e, "/q/x");
	(void)alarm(60); /* a deadlock ends the test */

	assert_int_equal(
			pthread_create(&other, NULL, link_and_unlink, NULL), 0);
	for (int i = 0; i < ROUNDS; i++)
		assert_int_equal(uext4_rename(p, "x", q, "x",
						 UEXT4_RENAME_EXCHANGE, NULL),
				0);
	atomic_store(&stop, 1);
	pthread_join(other, NULL);
	(void)alarm(0);
	uext4_node_put(p);
	uext4_node_put(q);
	uext4_node_put(dir);
	uext4_node_put(file);
	bug_close(&b, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exchange_with_a_file_that_is_linked_inside),
	};

	if (!env_tools())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
