/* SPDX-License-Identifier: MIT */
#include "alloc_env.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Blocks that a test has, in runs. */
#define HAVE_MAX 4096u

struct have {
	struct alloc_run run[HAVE_MAX];
	uint32_t n;
};

static void have_add(struct have *have, struct alloc_run run)
{
	assert_true(have->n < HAVE_MAX);
	have->run[have->n++] = run;
}

static struct alloc_run have_pick(struct have *have, unsigned *seed)
{
	uint32_t i = (uint32_t)rand_r(seed) % have->n;
	struct alloc_run run = have->run[i];

	have->run[i] = have->run[--have->n];
	return run;
}

/* The model: what nobody else has becomes ours, and back. */
static void model_take(uint8_t *model, struct env *e, struct alloc_run run)
{
	assert_true(run.len > 0);
	assert_true(run.pblk + run.len <= e->geo.blocks);
	assert_null(memchr(model + run.pblk, 1, run.len));
	memset(model + run.pblk, 1, run.len);
}

static void step_alloc(struct env *e, uint8_t *model, struct have *have,
		unsigned *seed)
{
	struct alloc_req req = { 0 };
	struct alloc_run run;
	struct handle *h;
	int ret;

	req.len = rand_r(seed) % 4 == 0 ? 1 + (uint32_t)rand_r(seed) % 4000
					: 1 + (uint32_t)rand_r(seed) % 8;
	req.goal = (pblk_t)rand_r(seed) % (e->geo.blocks + 10);
	req.flags = rand_r(seed) % 2 ? ALLOC_F_ROOT : 0;
	if (rand_r(seed) % 8 == 0)
		req.flags |= ALLOC_F_EXACT;
	env_start(e, ALLOC_CREDITS_RUN, &h);
	if (rand_r(seed) % 2 == 0) {
		ret = alloc_blocks(h, e->alloc, &req, &run);
	} else {
		ret = alloc_reserve(e->alloc, &req, &run);
		if (ret == 0 && rand_r(seed) % 4 == 0) {
			alloc_rsv_release(e->alloc, run);
			ret = -ENOSPC;
		} else if (ret == 0) {
			ret = alloc_rsv_commit(h, e->alloc, run);
		}
	}
	env_stop(h);
	if (ret == -ENOSPC)
		return;
	assert_int_equal(ret, 0);
	assert_true(run.len <= req.len);
	if (req.flags & ALLOC_F_EXACT)
		assert_int_equal(run.len, req.len);
	model_take(model, e, run);
	have_add(have, run);
}

/* Free @run in a handle of its own. */
static void free_blocks(struct env *e, uint8_t *model, struct alloc_run run)
{
	struct handle *h;

	env_start(e, ALLOC_CREDITS_RUN, &h);
	assert_int_equal(alloc_free(h, e->alloc, run, 0), 0);
	env_stop(h);
	memset(model + run.pblk, 0, run.len);
}

static void step_free(struct env *e, uint8_t *model, struct have *have,
		unsigned *seed)
{
	struct alloc_run run;

	if (have->n == 0)
		return;
	run = have_pick(have, seed);
	if (run.len > 1 && rand_r(seed) % 2 == 0) {
		uint32_t part = 1 + (uint32_t)rand_r(seed) % (run.len - 1);
		struct alloc_run rest = { run.pblk + part, run.len - part };

		have_add(have, rest);
		run.len = part;
	}
	free_blocks(e, model, run);
}

static void check_model(struct env *e, const uint8_t *model)
{
	uint8_t *used = env_used_blocks(e);
	struct alloc_stat st;
	uint64_t nfree = 0;

	assert_memory_equal(used, model, e->geo.blocks);
	for (pblk_t b = e->geo.first_data_block; b < e->geo.blocks; b++)
		nfree += !model[b];
	alloc_stat(e->alloc, &st);
	assert_int_equal(st.free_blocks, nfree);
	assert_int_equal(st.avail_blocks, nfree);
	assert_int_equal(alloc_pending(e->alloc), 0);
	free(used);
}

static void walk_profile(
		const struct env_profile *p, unsigned seed, bool use_log)
{
	static struct have have;
	struct env e;
	uint8_t *model;

	print_message("%s%s, seed %u\n", p->name, use_log ? ", log" : "", seed);
	env_make(&e, p);
	if (use_log && e.geo.journal_inum == 0) {
		env_close(&e);
		env_drop(&e);
		return;
	}
	if (use_log)
		env_use_log(&e);
	have.n = 0;
	model = env_used_blocks(&e);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 600; i++) {
			bool full = have.n > HAVE_MAX - 3;

			if (rand_r(&seed) % 5 < 3 && !full)
				step_alloc(&e, model, &have, &seed);
			else
				step_free(&e, model, &have, &seed);
		}
		check_model(&e, model);
		env_reopen(&e);
	}
	while (have.n > 0)
		free_blocks(&e, model, have_pick(&have, &seed));
	check_model(&e, model);
	env_fsck(&e);
	env_drop(&e);
	free(model);
}

static void bitmaps_are_what_was_allocated_and_freed(void **state)
{
	(void)state;
	for (size_t i = 0; i < env_nprofiles; i++)
		walk_profile(&env_profiles[i], 100 + (unsigned)i, false);
}

static void the_same_through_a_log(void **state)
{
	(void)state;
	for (size_t i = 0; i < env_nprofiles; i++)
		walk_profile(&env_profiles[i], 300 + (unsigned)i, true);
}

/* ---- filling up ---- */

static void every_block_can_be_had_and_only_once(void **state)
{
	static const struct env_profile p = { "full",
		"-t ext4 -b 1024 -O uninit_bg,^metadata_csum -m 5", 40, false };
	struct alloc_req req = { .len = 7 };
	struct alloc_run *runs = calloc(50000, sizeof(*runs));
	struct alloc_run run;
	struct alloc_stat st;
	struct handle *h;
	uint8_t *model;
	uint32_t n = 0;
	struct env e;

	(void)state;
	env_make(&e, &p);
	model = env_used_blocks(&e);
	env_start(&e, 4000, &h);
	while (alloc_blocks(h, e.alloc, &req, &run) == 0) {
		model_take(model, &e, run);
		runs[n++] = run;
	}
	/* What is left is root's. */
	alloc_stat(e.alloc, &st);
	assert_int_equal(st.free_blocks, e.sb.r_blocks_count);
	assert_int_equal(alloc_claim(e.alloc, 1, 0), -ENOSPC);
	req.flags = ALLOC_F_ROOT;
	while (alloc_blocks(h, e.alloc, &req, &run) == 0) {
		model_take(model, &e, run);
		runs[n++] = run;
	}
	env_stop(h);
	alloc_stat(e.alloc, &st);
	assert_int_equal(st.free_blocks, 0);
	assert_null(memchr(model + 1, 0, e.geo.blocks - 1));
	check_model(&e, model);

	while (n > 0)
		free_blocks(&e, model, runs[--n]);
	check_model(&e, model);
	env_fsck(&e);
	env_drop(&e);
	free(runs);
	free(model);
}

static const struct env_profile small = { "small",
	"-t ext4 -b 1024 -O ^has_journal -m 0", 40, false };

static void a_claim_is_always_met(void **state)
{
	struct alloc_req req = { .len = 50 };
	struct alloc_run run, held[64];
	struct alloc_stat st;
	uint32_t n = 0, left = 500;
	struct handle *h;
	struct env e;

	(void)state;
	env_make(&e, &small);
	assert_int_equal(alloc_claim(e.alloc, left, 0), 0);
	alloc_stat(e.alloc, &st);
	assert_int_equal(st.avail_blocks, st.free_blocks - left);
	env_start(&e, 4000, &h);
	while (alloc_blocks(h, e.alloc, &req, &run) == 0)
		;
	alloc_stat(e.alloc, &st);
	assert_int_equal(st.avail_blocks, 0);
	assert_int_equal(st.free_blocks, left);

	req.flags = ALLOC_F_CLAIMED;
	req.len = 13;
	while (left > 0) {
		req.len = left < 13 ? left : 13;
		assert_int_equal(alloc_reserve(e.alloc, &req, &held[n]), 0);
		left -= held[n].len;
		assert_int_equal(alloc_rsv_commit(h, e.alloc, held[n]), 0);
		n++;
	}
	env_stop(h);
	alloc_stat(e.alloc, &st);
	assert_int_equal(st.free_blocks, 0);
	env_close(&e);
	env_drop(&e);
}

static void a_reservation_is_not_on_disk(void **state)
{
	struct alloc_req req = { .len = 100 };
	struct alloc_run run, other;
	struct alloc_stat before, st;
	uint8_t *model, *used;
	struct env e;

	(void)state;
	env_make(&e, &small);
	model = env_used_blocks(&e);
	alloc_stat(e.alloc, &before);
	assert_int_equal(alloc_reserve(e.alloc, &req, &run), 0);
	req.goal = run.pblk;
	assert_int_equal(alloc_reserve(e.alloc, &req, &other), 0);
	assert_true(other.pblk >= run.pblk + run.len ||
			other.pblk + other.len <= run.pblk);
	alloc_stat(e.alloc, &st);
	assert_int_equal(st.free_blocks, before.free_blocks);
	assert_int_equal(st.avail_blocks,
			before.avail_blocks - run.len - other.len);
	used = env_used_blocks(&e);
	assert_memory_equal(used, model, e.geo.blocks);
	alloc_rsv_release(e.alloc, run);
	alloc_rsv_release(e.alloc, other);
	alloc_stat(e.alloc, &st);
	assert_int_equal(st.avail_blocks, before.avail_blocks);
	env_fsck(&e);
	env_drop(&e);
	free(used);
	free(model);
}

static void freed_blocks_wait_for_their_handle(void **state)
{
	struct alloc_req req = { .len = 100, .flags = ALLOC_F_EXACT };
	struct alloc_run run, again;
	struct handle *h;
	struct env e;

	(void)state;
	env_make(&e, &small);
	env_start(&e, 8, &h);
	assert_int_equal(alloc_blocks(h, e.alloc, &req, &run), 0);
	env_stop(h);
	env_start(&e, 8, &h);
	assert_int_equal(alloc_free(h, e.alloc, run, 0), 0);
	assert_int_equal(alloc_pending(e.alloc), 100);
	req.goal = run.pblk;
	assert_int_equal(alloc_reserve(e.alloc, &req, &again), 0);
	assert_true(again.pblk >= run.pblk + 100 ||
			again.pblk + 100 <= run.pblk);
	alloc_rsv_release(e.alloc, again);
	env_stop(h);
	assert_int_equal(alloc_pending(e.alloc), 0);
	assert_int_equal(alloc_reserve(e.alloc, &req, &again), 0);
	assert_int_equal(again.pblk, run.pblk);
	alloc_rsv_release(e.alloc, again);
	env_fsck(&e);
	env_drop(&e);
}

/* With a log: not before the commit, whatever handles end meanwhile; and
 * dio.md M5: after the commit there is no transient -ENOSPC. */
static void freed_blocks_wait_for_the_commit(void **state)
{
	static const struct env_profile p = { "log", "-t ext4 -b 1024 -m 0", 40,
		false };
	struct alloc_req req = { .len = 8000, .flags = ALLOC_F_EXACT };
	struct alloc_run run, again;
	struct alloc_stat st;
	struct handle *h;
	struct env e;

	(void)state;
	env_make(&e, &p);
	env_use_log(&e);
	env_start(&e, 8, &h);
	assert_int_equal(alloc_blocks(h, e.alloc, &req, &run), 0);
	env_stop(h);
	env_sync(&e);
	alloc_stat(e.alloc, &st);
	assert_int_equal(alloc_claim(e.alloc, st.free_blocks, 0), 0);

	env_start(&e, 8, &h);
	for (uint32_t i = 0; i < 8000; i += 1000)
		assert_int_equal(alloc_free(h, e.alloc,
						 (struct alloc_run){
								 run.pblk + i,
								 1000 },
						 ALLOC_F_METADATA),
				0);
	env_stop(h);
	assert_int_equal(alloc_pending(e.alloc), 8000);
	assert_int_equal(alloc_reserve(e.alloc, &req, &again), -ENOSPC);
	env_sync(&e);
	assert_int_equal(alloc_pending(e.alloc), 0);
	assert_int_equal(alloc_reserve(e.alloc, &req, &again), 0);
	assert_int_equal(again.pblk, run.pblk);
	alloc_rsv_release(e.alloc, again);
	alloc_unclaim(e.alloc, st.free_blocks);
	env_fsck(&e);
	env_drop(&e);
}

static void after_an_abort_freed_blocks_stay_busy(void **state)
{
	static const struct env_profile p = { "log", "-t ext4 -b 1024 -m 0", 40,
		false };
	struct alloc_req req = { .len = 100 };
	struct alloc_run run, again;
	struct handle *h;
	struct env e;

	(void)state;
	env_make(&e, &p);
	env_use_log(&e);
	env_start(&e, 8, &h);
	assert_int_equal(alloc_blocks(h, e.alloc, &req, &run), 0);
	env_stop(h);
	env_sync(&e);
	env_start(&e, 8, &h);
	assert_int_equal(alloc_free(h, e.alloc, run, 0), 0);
	journal_abort(e.journal, -EIO, false);
	assert_int_equal(alloc_blocks(h, e.alloc, &req, &again), -EROFS);
	assert_int_equal(alloc_free(h, e.alloc, run, 0), -EROFS);
	assert_int_equal(handle_stop(h), -EROFS);
	assert_int_equal(alloc_pending(e.alloc), 100);
	req.goal = run.pblk;
	assert_int_equal(alloc_reserve(e.alloc, &req, &again), 0);
	assert_int_not_equal(again.pblk, run.pblk);
	alloc_rsv_release(e.alloc, again);
	env_kill(&e);
	env_drop(&e);
}

static void wrong_frees_are_refused(void **state)
{
	struct alloc_req req = { .len = 10 };
	struct alloc_run run;
	struct handle *h;
	struct env e;

	(void)state;
	env_make(&e, &small);
	env_start(&e, 20, &h);
	assert_int_equal(alloc_blocks(h, e.alloc, &req, &run), 0);
	assert_int_equal(alloc_free(h, e.alloc, (struct alloc_run){ 1, 1 }, 0),
			-EUCLEAN);
	assert_int_equal(alloc_free(h, e.alloc,
					 (struct alloc_run){ e.geo.blocks, 1 },
					 0),
			-EUCLEAN);
	assert_int_equal(alloc_free(h, e.alloc, run, 0), 0);
	assert_int_equal(alloc_free(h, e.alloc, run, 0), -EUCLEAN);
	assert_non_null(strstr(e.said, "free already"));
	env_stop(h);
	env_fsck(&e);
	env_drop(&e);
}

/* The blocks of files made one after another stand in a row. */
static void small_files_lie_tight(void **state)
{
	struct alloc_req req = { .len = 3 };
	struct alloc_run run, last = { 0 };
	struct handle *h;
	struct env e;

	(void)state;
	env_make(&e, &small);
	req.goal = alloc_goal_for_inode(e.alloc, 12);
	env_start(&e, 20, &h);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(alloc_blocks(h, e.alloc, &req, &run), 0);
		assert_int_equal(run.len, 3);
		if (i > 0)
			assert_int_equal(run.pblk, last.pblk + last.len);
		last = run;
	}
	/* And a goal is met where it can be. */
	req.goal = last.pblk + 500;
	assert_int_equal(alloc_blocks(h, e.alloc, &req, &run), 0);
	assert_int_equal(run.pblk, req.goal);
	env_stop(h);
	env_close(&e);
	env_drop(&e);
}

static void trim_discards_what_is_free_and_only_that(void **state)
{
	struct alloc_req req = { .len = 100 };
	struct alloc_run run;
	struct alloc_stat before, after;
	uint8_t junk[1024], seen[1024];
	uint64_t bytes = 0;
	struct handle *h;
	struct env e;

	(void)state;
	env_make(&e, &small);
	env_start(&e, ALLOC_CREDITS_RUN, &h);
	assert_int_equal(alloc_blocks(h, e.alloc, &req, &run), 0);
	env_stop(h);
	memset(junk, 0x5a, sizeof(junk));
	env_poke(&e, (run.pblk + 50) * 1024, junk, sizeof(junk));
	alloc_stat(e.alloc, &before);
	assert_int_equal(alloc_trim(e.alloc, 0, e.geo.blocks, 1, &bytes), 0);
	assert_int_equal(bytes, before.free_blocks * 1024);
	alloc_stat(e.alloc, &after);
	assert_int_equal(after.avail_blocks, before.avail_blocks);
	env_peek(&e, (run.pblk + 50) * 1024, seen, sizeof(seen));
	assert_memory_equal(seen, junk, sizeof(junk));
	/* Nothing is as long as a group and a block. */
	assert_int_equal(alloc_trim(e.alloc, 0, e.geo.blocks, e.geo.bpg + 1,
					 &bytes),
			0);
	assert_int_equal(bytes, 0);
	env_start(&e, ALLOC_CREDITS_RUN, &h);
	assert_int_equal(alloc_free(h, e.alloc, run, 0), 0);
	env_stop(h);
	env_fsck(&e);
	env_drop(&e);
}

/* ---- threads ---- */

#define NTHREADS 4

struct worker {
	struct env *e;
	unsigned seed;
	uint8_t *owner; /* shared: who has which block, atomically */
	struct have have;
};

static void worker_own(struct worker *w, struct alloc_run run, uint8_t from,
		uint8_t to)
{
	for (uint32_t i = 0; i < run.len; i++) {
		uint8_t was = __atomic_exchange_n(
				w->owner + run.pblk + i, to, __ATOMIC_SEQ_CST);

		if (was != from)
			abort();
	}
}

static void *worker_run(void *arg)
{
	struct worker *w = arg;
	struct env *e = w->e;

	for (int i = 0; i < 1500; i++) {
		struct alloc_req req = { 0 };
		struct alloc_run run;
		struct handle *h;

		if (handle_start(e->journal, ALLOC_CREDITS_RUN, &h) != 0)
			abort();
		if (rand_r(&w->seed) % 2 == 0 && w->have.n < HAVE_MAX - 1) {
			req.len = 1 + (uint32_t)rand_r(&w->seed) % 300;
			req.goal = (pblk_t)rand_r(&w->seed) % e->geo.blocks;
			if (alloc_blocks(h, e->alloc, &req, &run) == 0) {
				worker_own(w, run, 0, 1);
				w->have.run[w->have.n++] = run;
			}
		} else if (w->have.n > 0) {
			run = have_pick(&w->have, &w->seed);
			worker_own(w, run, 1, 0);
			if (alloc_free(h, e->alloc, run, 0) != 0)
				abort();
		}
		if (handle_stop(h) != 0)
			abort();
		if (alloc_claim(e->alloc, 5, 0) == 0)
			alloc_unclaim(e->alloc, 5);
		if (i % 50 == 0 && journal_sync(e->journal) != 0)
			abort();
	}
	return NULL;
}

static void check_threads(const struct env_profile *p, bool use_log)
{
	static struct worker w[NTHREADS];
	pthread_t th[NTHREADS];
	uint8_t *model, *own;
	struct env e;

	env_make(&e, p);
	if (use_log)
		env_use_log(&e);
	model = env_used_blocks(&e);
	own = calloc(1, e.geo.blocks);
	for (unsigned i = 0; i < NTHREADS; i++) {
		w[i] = (struct worker){ .e = &e, .seed = i, .owner = own };
		assert_int_equal(
				pthread_create(&th[i], NULL, worker_run, &w[i]),
				0);
	}
	for (unsigned i = 0; i < NTHREADS; i++)
		pthread_join(th[i], NULL);
	for (pblk_t b = 0; b < e.geo.blocks; b++) {
		assert_false(model[b] && own[b]);
		model[b] |= own[b];
	}
	check_model(&e, model);
	for (unsigned i = 0; i < NTHREADS; i++)
		while (w[i].have.n > 0)
			free_blocks(&e, model, w[i].have.run[--w[i].have.n]);
	env_fsck(&e);
	env_drop(&e);
	free(own);
	free(model);
}

static void threads_never_share_a_block(void **state)
{
	static const struct env_profile log = { "log",
		"-t ext4 -b 1024 -O metadata_csum -m 0", 50, false };

	(void)state;
	check_threads(&small, false);
	check_threads(&log, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bitmaps_are_what_was_allocated_and_freed),
		cmocka_unit_test(the_same_through_a_log),
		cmocka_unit_test(every_block_can_be_had_and_only_once),
		cmocka_unit_test(a_claim_is_always_met),
		cmocka_unit_test(a_reservation_is_not_on_disk),
		cmocka_unit_test(freed_blocks_wait_for_their_handle),
		cmocka_unit_test(freed_blocks_wait_for_the_commit),
		cmocka_unit_test(after_an_abort_freed_blocks_stay_busy),
		cmocka_unit_test(wrong_frees_are_refused),
		cmocka_unit_test(small_files_lie_tight),
		cmocka_unit_test(trim_discards_what_is_free_and_only_that),
		cmocka_unit_test(threads_never_share_a_block),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
