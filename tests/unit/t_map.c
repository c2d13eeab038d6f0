/* SPDX-License-Identifier: MIT */
/*
 * The door of the map floor: what it remembers, counts, promises and locks.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "alloc/alloc.h"
#include "unit/fake_floor.h"

struct env {
	struct fake *f;
	struct mapping m;
	uint8_t root[60];
};

static struct env *env_new(bool is_extents)
{
	const struct fake_params p = {
		.block_size = 128,
		.blocks = 4000,
		.bpg = 1024,
		.has_csum = true,
	};
	struct env *e = calloc(1, sizeof(*e));

	assert_non_null(e);
	e->f = fake_new(&p);
	fake_mapping_init(e->f, &e->m, e->root, is_extents);
	return e;
}

static void env_free(struct env *e)
{
	assert_int_equal(fake_refs(e->f), 0);
	mapping_fini(&e->m);
	fake_free(e->f);
	free(e);
}

static int alloc(struct env *e, lblk_t lblk, uint32_t len, uint32_t flags,
		struct map_run *run)
{
	struct handle *h = fake_start(e->f, map_credits_alloc(&e->m, len));
	int ret = map_alloc(h, &e->m, lblk, len, flags, run);

	fake_stop(e->f);
	return ret;
}

static int take_out(struct env *e, lblk_t lblk, uint64_t end)
{
	int ret = 0;

	while (ret == 0 && end > lblk) {
		struct handle *h = fake_start(e->f, map_credits_remove(&e->m));

		ret = map_remove(h, &e->m, lblk, end, &end);
		fake_stop(e->f);
	}
	return ret;
}

static void what_was_found_is_remembered(void **state)
{
	struct env *e = env_new(true);
	struct map_run run;

	assert_int_equal(alloc(e, 10, 5, 0, &run), 0);
	mapping_reset(&e->m);
	assert_int_equal(map_find_cached(&e->m, 10, 5, &run), -EAGAIN);
	assert_int_equal(map_find(&e->m, 12, 1, &run), 0);

	/* The rest of the extent came along. */
	assert_int_equal(run.len, 1);
	assert_int_equal(map_find_cached(&e->m, 12, 9, &run), 0);
	assert_int_equal(run.len, 3);
	assert_int_equal(map_find_cached(&e->m, 10, 5, &run), -EAGAIN);
	env_free(e);
}

static void what_changed_is_not_remembered_wrongly(void **state)
{
	struct env *e = env_new(true);
	struct map_run run;
	struct handle *h;

	assert_int_equal(map_find(&e->m, 0, 100, &run), 0);
	assert_int_equal(alloc(e, 10, 20, MAP_F_UNWRITTEN, &run), 0);
	assert_int_equal(map_find_cached(&e->m, 0, 100, &run), 0);
	assert_int_equal(run.len, 10);
	assert_int_equal(map_find_cached(&e->m, 10, 100, &run), 0);
	assert_int_equal(run.type, MAP_UNWRITTEN);

	h = fake_start(e->f, map_credits_convert(&e->m));
	assert_int_equal(map_convert(h, &e->m, 15, 5), 0);
	fake_stop(e->f);
	assert_int_equal(map_find(&e->m, 15, 100, &run), 0);
	assert_int_equal(run.type, MAP_WRITTEN);
	assert_int_equal(run.len, 5);

	assert_int_equal(take_out(e, 12, 18), 0);
	assert_int_equal(map_find(&e->m, 12, 100, &run), 0);
	assert_int_equal(run.type, MAP_HOLE);
	assert_int_equal(run.len, 6);
	env_free(e);
}

/* dio-bugs.md B38, step by step: T1 looks, T2 changes, T1 would remember. */
static void what_was_seen_before_a_change_is_not_remembered(void **state)
{
	struct env *e = env_new(true);
	struct map_run hole, data, now;
	uint64_t seq = e->m.seq;

	assert_int_equal(map_find(&e->m, 0, 100, &hole), 0);
	map_remember(&e->m, &hole, seq);
	assert_int_equal(map_find_cached(&e->m, 0, 1, &now), 0);

	assert_int_equal(alloc(e, 0, 4, 0, &data), 0);
	map_remember(&e->m, &hole, seq);
	assert_int_equal(map_find(&e->m, 0, 9, &now), 0);
	assert_int_equal(now.type, MAP_WRITTEN);

	seq = e->m.seq;
	assert_int_equal(take_out(e, 0, 4), 0);
	map_remember(&e->m, &data, seq);
	assert_int_equal(map_find(&e->m, 0, 9, &now), 0);
	assert_int_equal(now.type, MAP_HOLE);
	env_free(e);
}

static void every_change_counts_seq_on_and_writes_the_inode_once(void **state)
{
	struct env *e = env_new(true);
	uint32_t dirty = fake_dirty_calls(e->f);
	uint64_t seq = e->m.seq;
	struct map_run run;

	for (lblk_t lblk = 0; lblk < 100; lblk += 2) {
		assert_int_equal(alloc(e, lblk, 1, 0, &run), 0);
		assert_true(e->m.seq > seq);
		seq = e->m.seq;
		assert_int_equal(fake_dirty_calls(e->f), ++dirty);
	}
	/* Nothing new: nothing written. */
	assert_int_equal(alloc(e, 50, 1, 0, &run), 0);
	assert_false(run.is_new);
	assert_int_equal(e->m.seq, seq);
	assert_int_equal(fake_dirty_calls(e->f), dirty);
	assert_int_equal(take_out(e, 0, 7), 0);
	assert_int_equal(fake_dirty_calls(e->f), dirty + 1);
	env_free(e);
}

static void a_failed_allocation_gives_everything_back(void **state)
{
	struct map_run run;

	for (int ext = 0; ext < 2; ext++) {
		struct env *e = env_new(ext);

		for (lblk_t lblk = 0; lblk < 8 && ext; lblk += 2)
			assert_int_equal(alloc(e, lblk, 1, 0, &run), 0);
		/* Data, then the node: the second call fails; a block tree
		 * takes the node first. */
		fake_fail(e->f, FAKE_ALLOC, 2);
		assert_int_equal(alloc(e, 100, 1, 0, &run), -ENOSPC);
		assert_true(fake_has_failed(e->f));
		assert_int_equal(fake_count(e->f, FAKE_DATA), ext ? 4 : 0);
		assert_int_equal(fake_count(e->f, FAKE_NODE), 0);
		assert_int_equal(e->m.blocks, ext ? 4 : 0);
		assert_int_equal(map_find(&e->m, 100, 1, &run), 0);
		assert_int_equal(run.type, MAP_HOLE);
		env_free(e);
	}
}

static void nodes_are_taken_from_the_claim(void **state)
{
	struct map_run run;

	for (int ext = 0; ext < 2; ext++) {
		struct env *e = env_new(ext);
		uint64_t nodes;

		for (lblk_t lblk = 0; lblk < 600; lblk += 3) {
			uint32_t worst = map_nodes_run(&e->m, 1);
			uint64_t was = e->m.nodes_claimed;

			assert_int_equal(alloc(e, lblk, 1, MAP_F_CLAIMED, &run),
					0);
			assert_in_range(e->m.nodes_claimed - was, 0, worst);
		}
		nodes = e->m.nodes_claimed;
		assert_true(nodes > 10);
		assert_int_equal(nodes, fake_count(e->f, FAKE_NODE));
		env_free(e);
	}
}

/* However scattered: what was claimed for all of them is enough. */
static void claims_cover_scattered_blocks(void **state)
{
	unsigned seed = 5;

	for (int round = 0; round < 60; round++) {
		struct env *e = env_new(true);
		uint32_t n = 0, worst, step = 1 + (uint32_t)rand_r(&seed) % 8;
		struct map_run run;
		uint64_t was;

		/* No two together, or they would melt. */
		fake_set_runs(e->f, 1, false);
		/* A tree of any size, leaves full from appending. */
		for (lblk_t lblk = rand_r(&seed) % 700; lblk < 1500;
				lblk += 2 * step)
			assert_int_equal(alloc(e, lblk, 1, 0, &run), 0);
		worst = map_nodes_worst(&e->m, 300);
		was = fake_count(e->f, FAKE_NODE);
		while (n < 300) {
			lblk_t lblk = (lblk_t)rand_r(&seed) % 3000;

			if (round % 2)
				lblk = 2 * n;
			assert_int_equal(alloc(e, lblk, 1, 0, &run), 0);
			n++;
		}
		assert_in_range(fake_count(e->f, FAKE_NODE) - was, 0, worst);
		env_free(e);
	}
}

static void goals_follow_the_neighbour(void **state)
{
	struct map_run run;

	for (int ext = 0; ext < 2; ext++) {
		struct env *e = env_new(ext);

		assert_int_equal(map_goal(&e->m, 0),
				alloc_goal_for_inode(e->m.alloc, e->m.inum));
		assert_int_equal(alloc(e, 2, 3, 0, &run), 0);
		assert_int_equal(map_goal(&e->m, 5), run.pblk + 3);
		env_free(e);
	}
}

static void nonsense_is_refused(void **state)
{
	struct env *e = env_new(true);
	struct map_run run;
	struct handle *h;
	uint64_t end;

	assert_int_equal(alloc(e, 0, 0, 0, &run), -EINVAL);
	assert_int_equal(alloc(e, UINT32_MAX, 1, 0, &run), -EFBIG);
	h = fake_start(e->f, 100);
	assert_int_equal(map_insert(h, &e->m, 0, 100, 0, 0), -EINVAL);
	assert_int_equal(map_convert(h, &e->m, UINT32_MAX, 1), -EFBIG);
	assert_int_equal(map_remove(h, &e->m, 9, 9, &end), 0);
	assert_int_equal(end, 9);
	fake_stop(e->f);
	assert_int_equal(alloc(e, UINT32_MAX - 1, 9, 0, &run), 0);
	assert_int_equal(run.len, 1);
	env_free(e);
}

/* ---- threads ---- */

#define BASE 1000u
#define SPAN 400u

struct race {
	struct env *e;
	_Atomic int stop;
	_Atomic int lies;
};

static void *race_reader(void *arg)
{
	struct race *r = arg;
	unsigned seed = 1;
	struct map_run run;

	while (!r->stop) {
		lblk_t lblk = (lblk_t)rand_r(&seed) % SPAN;

		if (map_find(&r->e->m, lblk, 5, &run) < 0)
			r->lies++;
		if (run.type != MAP_HOLE && run.pblk != BASE + lblk)
			r->lies++;
		(void)map_find_cached(&r->e->m, lblk, 1, &run);
	}
	return NULL;
}

/* dio-bugs.md B38: a reader that looked before the punch must not make others
 * believe in what it saw. */
static void readers_never_bring_back_the_past(void **state)
{
	struct race r = { .e = env_new(true) };
	struct env *e = r.e;
	pthread_t t[2];
	struct map_run run;
	struct handle *h;
	unsigned seed = 3;

	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&t[i], NULL, race_reader, &r),
				0);
	for (int i = 0; i < 3000; i++) {
		lblk_t lblk = (lblk_t)rand_r(&seed) % SPAN;

		assert_int_equal(map_find(&e->m, lblk, 1, &run), 0);
		h = fake_start(e->f, 100);
		if (run.type == MAP_HOLE) {
			fake_set_use(e->f, BASE + lblk, 1, FAKE_DATA);
			assert_int_equal(map_insert(h, &e->m, lblk, BASE + lblk,
							 1, 0),
					0);
		} else {
			uint64_t end;

			assert_int_equal(map_remove(h, &e->m, lblk, lblk + 1,
							 &end),
					0);
		}
		h = NULL;
		for (int k = 0; k < 5; k++) {
			struct map_run now;

			assert_int_equal(map_find(&e->m, lblk, 1, &now), 0);
			assert_int_equal(now.type == MAP_HOLE,
					run.type != MAP_HOLE);
		}
		/* fake_stop() is not for many threads: only count on. */
		fake_reopen(e->f);
	}
	r.stop = 1;
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(r.lies, 0);
	env_free(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_found_is_remembered),
		cmocka_unit_test(what_changed_is_not_remembered_wrongly),
		cmocka_unit_test(
				what_was_seen_before_a_change_is_not_remembered),
		cmocka_unit_test(
				every_change_counts_seq_on_and_writes_the_inode_once),
		cmocka_unit_test(a_failed_allocation_gives_everything_back),
		cmocka_unit_test(nodes_are_taken_from_the_claim),
		cmocka_unit_test(claims_cover_scattered_blocks),
		cmocka_unit_test(goals_follow_the_neighbour),
		cmocka_unit_test(nonsense_is_refused),
		cmocka_unit_test(readers_never_bring_back_the_past),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
