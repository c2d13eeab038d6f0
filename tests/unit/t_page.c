/* SPDX-License-Identifier: MIT */
/* File pages: the tree, holds, states, eviction, errors, threads. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "cache/page.h"

#define PSIZE 1024u

static uint32_t rnd(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*seed >> 33);
}

static struct page_pool *pool_of(size_t npages)
{
	struct page_pool *pool;

	assert_int_equal(page_pool_new(PSIZE, npages * PSIZE, &pool), 0);
	return pool;
}

/* ---- the tree ---- */

struct slot {
	uint64_t index;
	bool is_there;
	bool dirty;
};

/* Indexes that need every height of tree, sorted. */
static unsigned make_slots(struct slot *slots)
{
	unsigned n = 0;

	for (unsigned bits = 0; bits < 60; bits += 3)
		for (uint64_t i = 0; i < 3; i++)
			slots[n++].index = (UINT64_C(1) << bits) - 1 + i;
	for (unsigned i = 0; i < n; i++)
		for (unsigned j = i + 1; j < n; j++)
			if (slots[j].index < slots[i].index) {
				struct slot tmp = slots[i];

				slots[i] = slots[j];
				slots[j] = tmp;
			}
	for (unsigned i = 1; i < n;)
		if (slots[i].index == slots[i - 1].index) {
			memmove(slots + i, slots + i + 1,
					(n - i - 1) * sizeof(*slots));
			n--;
		} else {
			i++;
		}
	return n;
}

static void check_next(struct page_tree *t, struct slot *slots, unsigned n,
		uint64_t from, bool dirty)
{
	uint64_t at = UINT64_MAX;
	void *got = page_tree_next(t, from, dirty, &at);
	void *want = NULL;

	for (unsigned i = 0; i < n && want == NULL; i++)
		if (slots[i].index >= from && slots[i].is_there &&
				(!dirty || slots[i].dirty))
			want = &slots[i];
	assert_ptr_equal(got, want);
	if (want != NULL)
		assert_int_equal(at, ((struct slot *)want)->index);
}

static void the_tree_is_an_ordered_map(void **state)
{
	static struct slot slots[64];
	unsigned n = make_slots(slots);
	struct page_tree t;
	uint64_t seed = 9;

	page_tree_init(&t);
	for (unsigned step = 0; step < 20000; step++) {
		struct slot *s = &slots[rnd(&seed) % n];
		uint64_t from = slots[rnd(&seed) % n].index + rnd(&seed) % 3;

		assert_ptr_equal(page_tree_find(&t, s->index),
				s->is_there ? s : NULL);
		if (!s->is_there) {
			assert_int_equal(page_tree_insert(&t, s->index, s), 0);
			s->is_there = true;
		} else if (rnd(&seed) % 2) {
			s->dirty = !s->dirty;
			page_tree_set_dirty(&t, s->index, s->dirty);
		} else {
			assert_ptr_equal(page_tree_remove(&t, s->index), s);
			s->is_there = false;
			s->dirty = false;
		}
		check_next(&t, slots, n, from, false);
		check_next(&t, slots, n, from, true);
		check_next(&t, slots, n, 0, true);
	}
	for (unsigned i = 0; i < n; i++)
		page_tree_remove(&t, slots[i].index);
	/* No node is left behind. */
	assert_null(t.root);
	assert_int_equal(t.height, 0);
}

/* ---- states ---- */

static void a_page_that_was_not_filled_leaves(void **state)
{
	struct page_pool *pool = pool_of(8);
	struct page_cache pc;
	struct page *p[4];

	page_cache_init(&pc, pool);
	assert_int_equal(pages_lock(&pc, 3, 4, p), 0);
	assert_int_equal(pc.npages, 4);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(p[i]->index, 3 + i);
	pages_mark_uptodate(&pc, p, 2);
	pages_unlock(&pc, p, 4);
	assert_int_equal(pc.npages, 2);
	assert_int_equal(page_pool_bytes(pool), 2 * PSIZE);
	assert_int_equal(pages_get_shared(&pc, 3, 4, p), 2);
	pages_put_shared(&pc, p, 2);
	assert_int_equal(pages_get_shared(&pc, 5, 1, p), 0);
	page_cache_fini(&pc);
	page_pool_free(pool);
}

static void pages_are_created_only_where_there_is_a_gap(void **state)
{
	struct page_pool *pool = pool_of(16);
	struct page_cache pc;
	struct page *p[8];

	page_cache_init(&pc, pool);
	assert_int_equal(pages_create(&pc, 4, 1, p), 1);
	pages_mark_uptodate(&pc, p, 1);
	pages_unlock(&pc, p, 1);
	assert_int_equal(pages_create(&pc, 4, 8, p), 0);
	assert_int_equal(pages_create(&pc, 1, 8, p), 3);
	pages_unlock(&pc, p, 3);
	assert_int_equal(pc.npages, 1);
	page_cache_fini(&pc);
	page_pool_free(pool);
}

static void put_dirty(struct page_cache *pc, uint64_t index, unsigned n,
		bool delalloc)
{
	struct page *p[64];

	assert_int_equal(pages_lock(pc, index, n, p), 0);
	pages_mark_dirty(pc, p, n, delalloc);
	pages_unlock(pc, p, n);
}

static void write_back_takes_runs_of_one_kind(void **state)
{
	struct page_pool *pool = pool_of(64);
	uint8_t results[8] = { 0 };
	struct page_cache pc;
	struct page *p[8];
	bool delalloc;

	page_cache_init(&pc, pool);
	put_dirty(&pc, 2, 3, true);
	put_dirty(&pc, 5, 2, false);
	put_dirty(&pc, 9, 1, true);
	assert_int_equal(pc.ndirty, 6);
	assert_int_equal(page_pool_dirty_bytes(pool), 6 * PSIZE);

	assert_int_equal(
			pages_start_writeback(&pc, 0, 100, 8, p, &delalloc), 3);
	assert_true(delalloc);
	assert_int_equal(p[0]->index, 2);
	memset(results, PAGE_WB_CLEAN, sizeof(results));
	assert_int_equal(pages_end_writeback(&pc, p, 3, results), 0);
	assert_int_equal(pc.ndirty, 3);

	assert_int_equal(
			pages_start_writeback(&pc, 0, 100, 1, p, &delalloc), 1);
	assert_int_equal(p[0]->index, 5);
	assert_false(delalloc);
	assert_int_equal(pages_end_writeback(&pc, p, 1, results), 0);
	assert_int_equal(pages_start_writeback(&pc, 0, 8, 8, p, &delalloc), 1);
	assert_int_equal(p[0]->index, 6);
	assert_int_equal(pages_end_writeback(&pc, p, 1, results), 0);
	assert_int_equal(pages_start_writeback(&pc, 0, 8, 8, p, &delalloc), 0);
	assert_int_equal(pages_start_writeback(&pc, 0, 9, 8, p, &delalloc), 1);

	/* Untried it is as before, written in part it has no claim. */
	results[0] = PAGE_WB_UNTRIED;
	assert_int_equal(pages_end_writeback(&pc, p, 1, results), 0);
	assert_int_equal(pages_start_writeback(&pc, 0, 9, 8, p, &delalloc), 1);
	assert_true(delalloc);
	results[0] = PAGE_WB_PARTLY;
	assert_int_equal(pages_end_writeback(&pc, p, 1, results), 0);
	assert_int_equal(pages_start_writeback(&pc, 0, 9, 8, p, &delalloc), 1);
	assert_false(delalloc);
	results[0] = PAGE_WB_CLEAN;
	assert_int_equal(pages_end_writeback(&pc, p, 1, results), 0);
	assert_int_equal(pc.ndirty, 0);
	page_cache_fini(&pc);
	page_pool_free(pool);
}

static void what_fails_too_often_goes_with_its_claim(void **state)
{
	const uint8_t failed[1] = { PAGE_WB_FAILED };
	struct page_pool *pool = pool_of(64);
	struct page_cache pc;
	struct page *p[1];
	bool delalloc;

	page_cache_init(&pc, pool);
	put_dirty(&pc, 2, 1, true);
	for (int i = 1; i <= PAGE_MAX_FAILURES; i++) {
		assert_int_equal(pages_start_writeback(
						 &pc, 0, 9, 1, p, &delalloc),
				1);
		assert_int_equal(pages_end_writeback(&pc, p, 1, failed),
				i == PAGE_MAX_FAILURES);
	}
	assert_int_equal(pc.npages, 0);
	page_cache_fini(&pc);
	page_pool_free(pool);
}

static void dropping_and_invalidating_differ_on_dirty_pages(void **state)
{
	struct page_pool *pool = pool_of(64);
	struct page_cache pc;
	struct page *p[8];

	page_cache_init(&pc, pool);
	assert_int_equal(pages_lock(&pc, 0, 8, p), 0);
	pages_mark_uptodate(&pc, p, 8);
	pages_mark_dirty(&pc, p + 4, 1, true);
	pages_unlock(&pc, p, 8);
	assert_int_equal(pages_next_dirty(&pc, 0, 7), 4);
	assert_int_equal(pages_next_dirty(&pc, 5, 7), UINT64_MAX);
	assert_int_equal(pages_next_not_dirty(&pc, 4, 7), 5);
	assert_int_equal(pages_next_not_dirty(&pc, 4, 4), UINT64_MAX);

	assert_int_equal(pages_invalidate(&pc, 0, 1, false), 0);
	assert_int_equal(pc.npages, 6);
	assert_int_equal(pages_next_present(&pc, 0, 100), 2);
	assert_int_equal(pages_invalidate(&pc, 3, 5, false), -EBUSY);
	assert_int_equal(pc.npages, 4);
	assert_int_equal(pages_invalidate(&pc, 4, 4, true), -EAGAIN);
	assert_int_equal(pages_drop(&pc, 0, UINT64_MAX), 1);
	assert_int_equal(pc.npages, 0);
	assert_int_equal(pc.ndirty, 0);
	page_cache_fini(&pc);
	page_pool_free(pool);
}

static void memory_is_aligned_for_the_device(void **state)
{
	struct page_pool *pool;
	struct page_cache pc;
	struct page *p[64];

	assert_int_equal(page_pool_new(4096, 1 << 20, &pool), 0);
	page_cache_init(&pc, pool);
	assert_int_equal(pages_lock(&pc, 0, 64, p), 0);
	for (unsigned i = 0; i < 64; i++) {
		assert_int_equal((uintptr_t)p[i]->data % 4096, 0);
		/* Taken together, side by side. */
		assert_ptr_equal(p[i]->data, p[0]->data + i * 4096);
	}
	pages_unlock(&pc, p, 64);
	page_cache_fini(&pc);
	page_pool_free(pool);
}

/* ---- eviction ---- */

static void fill_clean(struct page_cache *pc, uint64_t index)
{
	struct page *p[1];

	assert_int_equal(pages_lock(pc, index, 1, p), 0);
	pages_mark_uptodate(pc, p, 1);
	pages_unlock(pc, p, 1);
}

static bool touch(struct page_cache *pc, uint64_t index)
{
	struct page *p[1];

	if (pages_get_shared(pc, index, 1, p) == 0)
		return false;
	pages_put_shared(pc, p, 1);
	return true;
}

static void the_pool_keeps_what_is_used(void **state)
{
	struct page_pool *pool = pool_of(200);
	struct page_cache a;
	struct page_cache b;

	page_cache_init(&a, pool);
	page_cache_init(&b, pool);
	fill_clean(&a, 7);
	for (uint64_t i = 0; i < 2000; i++) {
		assert_true(touch(&a, 7));
		fill_clean(&b, i);
		assert_true(page_pool_bytes(pool) <= 200 * PSIZE);
	}
	assert_false(touch(&b, 0));
	assert_true(touch(&b, 1999));
	page_cache_fini(&a);
	page_cache_fini(&b);
	page_pool_free(pool);
}

static void held_and_dirty_pages_are_not_evicted(void **state)
{
	struct page_pool *pool = pool_of(32);
	struct page_cache a;
	struct page_cache b;
	struct page *p[8];

	page_cache_init(&a, pool);
	page_cache_init(&b, pool);
	put_dirty(&a, 0, 8, true);
	for (uint64_t i = 8; i < 16; i++)
		fill_clean(&a, i);
	assert_int_equal(pages_get_shared(&a, 8, 8, p), 8);
	page_pool_shrink(pool, 0);
	assert_int_equal(a.npages, 16);
	pages_put_shared(&a, p, 8);
	page_pool_shrink(pool, 0);
	page_pool_shrink(pool, 0);
	assert_int_equal(a.npages, 8);
	assert_int_equal(pages_drop(&a, 0, UINT64_MAX), 8);
	page_cache_fini(&a);
	page_cache_fini(&b);
	page_pool_free(pool);
}

/* ---- errors ---- */

static void an_error_is_told_once_to_each(void **state)
{
	struct page_pool *pool = pool_of(8);
	struct page_cache pc;
	uint32_t a;
	uint32_t b;
	uint32_t c;

	page_cache_init(&pc, pool);
	a = page_cache_sample_error(&pc);
	b = a;
	assert_int_equal(page_cache_check_error(&pc, &a), 0);
	page_cache_set_error(&pc, -EIO);
	/* Whoever opens now still hears of what nobody has heard. */
	c = page_cache_sample_error(&pc);
	assert_int_equal(page_cache_check_error(&pc, &a), -EIO);
	assert_int_equal(page_cache_check_error(&pc, &a), 0);
	assert_int_equal(page_cache_check_error(&pc, &c), -EIO);
	page_cache_set_error(&pc, -ENOSPC);
	assert_int_equal(page_cache_check_error(&pc, &b), -ENOSPC);
	assert_int_equal(page_cache_check_error(&pc, &a), -ENOSPC);
	b = page_cache_sample_error(&pc);
	assert_int_equal(page_cache_check_error(&pc, &b), 0);
	/* The same number again is news after it was seen. */
	page_cache_set_error(&pc, -ENOSPC);
	assert_int_equal(page_cache_check_error(&pc, &b), -ENOSPC);
	page_cache_fini(&pc);
	page_pool_free(pool);
}

/* ---- threads ---- */

#define MT_PAGES 24u

struct mt {
	struct page_cache *pc;
	unsigned id;
};

static void mt_check(bool ok, const char *what)
{
	if (ok)
		return;
	(void)fprintf(stderr, "t_page: %s\n", what);
	abort();
}

/* All words of a page are equal whenever it may be looked at. */
static void mt_writer(struct page_cache *pc, uint64_t *seed)
{
	unsigned n = 1 + rnd(seed) % 4;
	uint64_t index = rnd(seed) % (MT_PAGES - 4);
	struct page *p[4];

	mt_check(pages_lock(pc, index, n, p) == 0, "lock");
	for (unsigned i = 0; i < n; i++)
		memset(p[i]->data, (int)rnd(seed), PSIZE);
	pages_mark_dirty(pc, p, n, false);
	pages_unlock(pc, p, n);
}

static void mt_reader(struct page_cache *pc, uint64_t *seed)
{
	uint64_t index = rnd(seed) % MT_PAGES;
	struct page *p[4];
	unsigned n = pages_get_shared(pc, index, 4, p);

	for (unsigned i = 0; i < n; i++)
		mt_check(memcmp(p[i]->data, p[i]->data + 1, PSIZE - 1) == 0,
				"a torn page");
	pages_put_shared(pc, p, n);
}

static void mt_flusher(struct page_cache *pc, uint64_t *seed)
{
	const uint8_t clean[4] = { PAGE_WB_CLEAN, PAGE_WB_CLEAN,
		PAGE_WB_UNTRIED, PAGE_WB_CLEAN };
	uint64_t index = rnd(seed) % MT_PAGES;
	bool delalloc;
	struct page *p[4];
	unsigned n;

	n = pages_start_writeback(pc, index, MT_PAGES, 4, p, &delalloc);
	for (unsigned i = 0; i < n; i++)
		mt_check(memcmp(p[i]->data, p[i]->data + 1, PSIZE - 1) == 0,
				"changed under write-back");
	mt_check(pages_end_writeback(pc, p, n, clean) == 0, "claims");
}

static void mt_remover(struct page_cache *pc, uint64_t *seed)
{
	uint64_t index = rnd(seed) % MT_PAGES;

	if (rnd(seed) % 4 == 0)
		mt_check(pages_drop(pc, index, index + 1) == 0, "claims");
	else
		(void)!pages_invalidate(pc, index, index + 3, rnd(seed) % 2);
	page_pool_shrink(pc->pool, rnd(seed) % MT_PAGES * PSIZE);
}

static void *mt_work(void *arg)
{
	static void (*const work[])(
			struct page_cache *, uint64_t *) = { mt_writer,
		mt_reader, mt_flusher, mt_remover, mt_reader, mt_writer };
	struct mt *m = arg;
	uint64_t seed = m->id;

	for (unsigned i = 0; i < 3000; i++)
		work[m->id](m->pc, &seed);
	return NULL;
}

static void threads_never_see_half_a_change(void **state)
{
	struct page_pool *pool = pool_of(MT_PAGES / 2);
	pthread_t threads[6];
	struct page_cache pc;
	struct mt m[6];

	page_cache_init(&pc, pool);
	for (unsigned i = 0; i < 6; i++) {
		m[i] = (struct mt){ &pc, i };
		assert_int_equal(pthread_create(&threads[i], NULL, mt_work,
						 &m[i]),
				0);
	}
	for (unsigned i = 0; i < 6; i++)
		pthread_join(threads[i], NULL);
	pages_drop(&pc, 0, UINT64_MAX);
	assert_int_equal(page_pool_dirty_bytes(pool), 0);
	assert_int_equal(page_pool_bytes(pool), 0);
	page_cache_fini(&pc);
	page_pool_free(pool);
}

struct waiter {
	struct page_cache *pc;
	_Atomic bool is_through;
};

static void *lock_one(void *arg)
{
	struct waiter *w = arg;
	struct page *p[1];

	mt_check(pages_lock(w->pc, 0, 1, p) == 0, "lock");
	atomic_store(&w->is_through, true);
	pages_unlock(w->pc, p, 1);
	return NULL;
}

/* P2: nobody writes while somebody reads, or the device does. */
static void a_writer_waits_for_every_hold(void **state)
{
	struct page_pool *pool = pool_of(8);
	struct timespec ts = { .tv_nsec = 20000000 };
	const uint8_t clean[1] = { PAGE_WB_CLEAN };
	struct page_cache pc;

	page_cache_init(&pc, pool);
	for (int kind = 0; kind < 3; kind++) {
		struct waiter w = { .pc = &pc };
		pthread_t thread;
		struct page *p[1];
		bool delalloc;

		put_dirty(&pc, 0, 1, false);
		if (kind == 0)
			assert_int_equal(pages_lock(&pc, 0, 1, p), 0);
		else if (kind == 1)
			assert_int_equal(pages_get_shared(&pc, 0, 1, p), 1);
		else
			assert_int_equal(pages_start_writeback(&pc, 0, 0, 1, p,
							 &delalloc),
					1);
		assert_int_equal(
				pthread_create(&thread, NULL, lock_one, &w), 0);
		nanosleep(&ts, NULL);
		assert_false(atomic_load(&w.is_through));
		if (kind == 0)
			pages_unlock(&pc, p, 1);
		else if (kind == 1)
			pages_put_shared(&pc, p, 1);
		else
			assert_int_equal(pages_end_writeback(&pc, p, 1, clean),
					0);
		pthread_join(thread, NULL);
		assert_true(atomic_load(&w.is_through));
	}
	page_cache_fini(&pc);
	page_pool_free(pool);
}

static void *flush_for_a_while(void *arg)
{
	struct page_pool *pool = arg;
	struct timespec ts = { .tv_nsec = 1000000 };

	for (int i = 0; i < 50; i++) {
		struct page_cache *pc = page_pool_get_dirty(pool);

		nanosleep(&ts, NULL);
		if (pc != NULL) {
			(void)pages_has_dirty(pc, 0, 100);
			page_pool_put_dirty(pool, pc);
		}
	}
	return NULL;
}

/* A flusher found the file through the pool: the file waits for it to end. */
static void a_file_outlives_its_flusher(void **state)
{
	struct page_pool *pool = pool_of(64);
	struct timespec ts = { .tv_nsec = 700000 };
	pthread_t flusher;

	assert_int_equal(
			pthread_create(&flusher, NULL, flush_for_a_while, pool),
			0);
	for (int i = 0; i < 50; i++) {
		struct page_cache *pc = calloc(1, sizeof(*pc));

		page_cache_init(pc, pool);
		put_dirty(pc, 0, 2, false);
		nanosleep(&ts, NULL);
		page_cache_fini(pc);
		free(pc);
	}
	pthread_join(flusher, NULL);
	assert_int_equal(page_pool_bytes(pool), 0);
	page_pool_free(pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_tree_is_an_ordered_map),
		cmocka_unit_test(a_page_that_was_not_filled_leaves),
		cmocka_unit_test(pages_are_created_only_where_there_is_a_gap),
		cmocka_unit_test(write_back_takes_runs_of_one_kind),
		cmocka_unit_test(what_fails_too_often_goes_with_its_claim),
		cmocka_unit_test(
				dropping_and_invalidating_differ_on_dirty_pages),
		cmocka_unit_test(memory_is_aligned_for_the_device),
		cmocka_unit_test(the_pool_keeps_what_is_used),
		cmocka_unit_test(held_and_dirty_pages_are_not_evicted),
		cmocka_unit_test(an_error_is_told_once_to_each),
		cmocka_unit_test(a_writer_waits_for_every_hold),
		cmocka_unit_test(threads_never_see_half_a_change),
		cmocka_unit_test(a_file_outlives_its_flusher),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
