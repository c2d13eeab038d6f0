/* SPDX-License-Identifier: MIT */
/*
 * Metadata buffers: one copy, bounded memory, merged reads and writes, and
 * changes while a write home is in flight.
 */
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bdev/bdev_emu.h"
#include "cache/buf.h"

#define BS      1024u
#define NBLOCKS 4096u

struct env {
	struct bdev *dev;
	struct buf_cache *c;
};

static void env_open(struct env *e, size_t max_bytes)
{
	struct emu_img *img;
	uint8_t block[BS];
	uint32_t i;

	assert_int_equal(emu_img_new((uint64_t)NBLOCKS * BS, &img), 0);
	for (i = 0; i < NBLOCKS; i++) {
		memset(block, (int)(i % 251), BS);
		assert_int_equal(
				emu_img_write(img, (uint64_t)i * BS, block, BS),
				0);
	}
	assert_int_equal(bdev_emu_open(img, NULL, &e->dev), 0);
	emu_img_free(img);
	assert_int_equal(buf_cache_new(e->dev, BS, NBLOCKS, max_bytes, NULL,
					 &e->c),
			0);
}

static void env_close(struct env *e)
{
	buf_cache_free(e->c);
	assert_int_equal(bdev_close(e->dev), 0);
}

static uint64_t ops(struct env *e, enum bdev_op op)
{
	struct bdev_emu_stats st;

	bdev_emu_stats(e->dev, &st);
	return st.ops[op];
}

static struct buf *get(struct env *e, pblk_t pblk)
{
	struct buf *b;

	assert_int_equal(buf_read(e->c, pblk, &b), 0);
	return b;
}

static int home(struct env *e, pblk_t pblk)
{
	uint8_t block[BS];
	uint32_t i;

	assert_int_equal(bdev_read(e->dev, pblk * BS, block, BS, 0, 0), 0);
	for (i = 1; i < BS; i++)
		if (block[i] != block[0])
			return -1;
	return block[0];
}

static void dirty(struct env *e, pblk_t pblk, int c)
{
	struct buf *b = get(e, pblk);

	memset(b->data, c, BS);
	buf_mark_dirty(b);
	buf_put(b);
}

static void there_is_one_copy_of_a_block(void **state)
{
	struct env e;
	struct buf *a, *b;

	env_open(&e, 1u << 20);
	assert_null(buf_find(e.c, 5));
	a = get(&e, 5);
	b = get(&e, 5);
	assert_ptr_equal(a, b);
	assert_int_equal(a->data[0], 5);
	assert_int_equal((uintptr_t)a->data % BS, 0);
	assert_false(buf_is_verified(a));
	buf_set_verified(a);
	buf_put(b);
	b = buf_find(e.c, 5);
	assert_ptr_equal(a, b);
	assert_true(buf_is_verified(b));
	buf_put(a);
	buf_put(b);
	assert_int_equal(ops(&e, BDEV_READ), 1);
	assert_int_equal(buf_read(e.c, NBLOCKS, &a), -EUCLEAN);
	env_close(&e);
}

static void a_block_that_is_filled_is_not_read(void **state)
{
	struct env e;
	struct buf *b;

	env_open(&e, 1u << 20);
	assert_int_equal(buf_get_noread(e.c, 7, &b), 0);
	assert_int_equal(b->data[0], 0);
	assert_int_equal(b->data[BS - 1], 0);
	b->data[0] = 1;
	buf_put(b);
	/* It is in the cache: contents stay. */
	assert_int_equal(buf_get_noread(e.c, 7, &b), 0);
	assert_int_equal(b->data[0], 1);
	buf_put(b);
	assert_int_equal(ops(&e, BDEV_READ), 0);
	env_close(&e);
}

static void a_failed_read_is_tried_again(void **state)
{
	struct emu_fault f = {
		.ops = EMU_OP(BDEV_READ), .count = 1, .err = -EIO
	};
	struct env e;
	struct buf *b;

	env_open(&e, 1u << 20);
	assert_int_equal(bdev_emu_fault_add(e.dev, &f), 0);
	assert_int_equal(buf_read(e.c, 5, &b), -EIO);
	b = get(&e, 5);
	assert_int_equal(b->data[0], 5);
	buf_put(b);
	env_close(&e);
}

static void memory_is_bounded_but_for_what_is_in_use(void **state)
{
	struct buf_cache_stats st;
	struct buf *held, *pinned;
	struct env e;
	uint32_t i;

	env_open(&e, 256 * BS);
	held = get(&e, 1);
	pinned = get(&e, 2);
	buf_pin(pinned);
	buf_put(pinned);
	dirty(&e, 3, 77);
	for (i = 0; i < 20000; i++)
		buf_put(get(&e, 10 + i * 7 % 4000));
	buf_cache_get_stats(e.c, &st);
	assert_in_range(st.bytes, 200 * BS, 300 * BS);
	assert_true(st.evicted > 10000);
	assert_int_equal(st.dirty_bytes, BS);
	i = (uint32_t)ops(&e, BDEV_READ);
	assert_ptr_equal(held, get(&e, 1));
	buf_put(get(&e, 2));
	dirty(&e, 3, 78);
	assert_int_equal(ops(&e, BDEV_READ), i);
	buf_put(held);
	buf_put(held);
	buf_unpin(pinned);
	assert_int_equal(home(&e, 3), 3);
	assert_int_equal(buf_cache_write(e.c), 0);
	assert_int_equal(home(&e, 3), 78);
	env_close(&e);
}

static void what_is_used_often_stays(void **state)
{
	uint64_t before;
	struct env e;
	uint32_t i;

	env_open(&e, 512 * BS);
	for (i = 0; i < 3000; i++) {
		buf_put(get(&e, i % 16));
		buf_put(get(&e, 100 + i % 3900));
	}
	before = ops(&e, BDEV_READ);
	for (i = 0; i < 16; i++)
		buf_put(get(&e, i));
	assert_int_equal(ops(&e, BDEV_READ), before);
	env_close(&e);
}

static void readahead_merges(void **state)
{
	struct env e;
	uint32_t i;

	env_open(&e, 1u << 20);
	buf_put(get(&e, 120));
	buf_readahead(e.c, 100, 50);
	assert_int_equal(ops(&e, BDEV_READ), 3); /* the first, and two */
	for (i = 100; i < 150; i++) {
		struct buf *b = get(&e, i);

		assert_int_equal(b->data[9], i);
		buf_put(b);
	}
	assert_int_equal(ops(&e, BDEV_READ), 3);
	buf_readahead(e.c, NBLOCKS - 3, 100); /* cut at the end */
	buf_readahead(e.c, NBLOCKS + 3, 100);
	assert_int_equal(ops(&e, BDEV_READ), 4);
	env_close(&e);
}

static void writes_go_home_merged_and_in_order(void **state)
{
	static const uint32_t order[] = { 50, 10, 52, 11, 51, 12, 900, 13 };
	struct emu_img *base;
	struct emu_log *log;
	uint64_t last = 0;
	struct buf *b;
	struct env e;
	size_t i;

	env_open(&e, 1u << 20);
	for (i = 0; i < 8; i++)
		dirty(&e, order[i], 200);
	b = get(&e, 11);
	buf_pin(b); /* stays, and cuts the run */
	assert_int_equal(bdev_emu_record(e.dev), 0);
	assert_int_equal(buf_cache_write(e.c), 0);
	assert_int_equal(bdev_emu_take_log(e.dev, &base, &log), 0);
	assert_int_equal(log->n, 4); /* 10, 12-13, 50-52, 900 */
	for (i = 0; i < log->n; i++) {
		assert_true(log->ents[i]->pos > last);
		last = log->ents[i]->pos;
	}
	assert_int_equal(home(&e, 11), 11);
	assert_int_equal(home(&e, 51), 200);
	buf_unpin(b);
	assert_int_equal(buf_write(b), 0);
	assert_int_equal(home(&e, 11), 200);
	assert_int_equal(buf_write(b), 0); /* clean: nothing */
	buf_put(b);
	assert_int_equal(ops(&e, BDEV_WRITE), 5);
	emu_log_free(log);
	emu_img_free(base);
	env_close(&e);
}

static void a_failed_write_stays_dirty(void **state)
{
	struct emu_fault f = { .ops = EMU_OP(BDEV_WRITE),
		.pos = 20 * BS,
		.len = BS,
		.err = -EIO };
	struct buf_cache_stats st;
	struct buf *b;
	struct env e;

	env_open(&e, 1u << 20);
	dirty(&e, 10, 200);
	dirty(&e, 20, 200);
	dirty(&e, 30, 200);
	assert_int_equal(bdev_emu_fault_add(e.dev, &f), 0);
	assert_int_equal(buf_cache_write(e.c), -EIO);
	assert_int_equal(home(&e, 10), 200);
	assert_int_equal(home(&e, 30), 200);
	b = get(&e, 20);
	assert_true(atomic_load(&b->state) & BUF_EIO);
	assert_true(atomic_load(&b->state) & BUF_DIRTY);
	bdev_emu_fault_clear(e.dev);
	assert_int_equal(buf_write(b), 0);
	assert_false(atomic_load(&b->state) & (BUF_EIO | BUF_DIRTY));
	buf_put(b);
	assert_int_equal(home(&e, 20), 200);
	buf_cache_get_stats(e.c, &st);
	assert_int_equal(st.dirty_bytes, 0);
	env_close(&e);
}

/* ---- a write in flight ---- */

struct gate {
	sem_t reached, go;
	atomic_int armed;
};

static void gate_fn(void *ctx, const struct bdev_io *io)
{
	struct gate *g = ctx;

	if (io->op != BDEV_WRITE || !atomic_exchange(&g->armed, 0))
		return;
	sem_post(&g->reached);
	sem_wait(&g->go);
}

static void *write_all(void *ctx)
{
	struct env *e = ctx;

	assert_int_equal(buf_cache_write(e->c), 0);
	return NULL;
}

static void gate_open(struct gate *g, struct env *e, pthread_t *ret_th)
{
	sem_init(&g->reached, 0, 0);
	sem_init(&g->go, 0, 0);
	atomic_init(&g->armed, 1);
	bdev_emu_set_gate(e->dev, gate_fn, g);
	assert_int_equal(pthread_create(ret_th, NULL, write_all, e), 0);
	sem_wait(&g->reached);
}

static void gate_close(struct gate *g, pthread_t th)
{
	sem_post(&g->go);
	pthread_join(th, NULL);
	sem_destroy(&g->reached);
	sem_destroy(&g->go);
}

static void a_change_during_a_write_goes_to_a_copy(void **state)
{
	struct gate g;
	struct buf *b;
	uint8_t *old;
	pthread_t th;
	struct env e;

	env_open(&e, 1u << 20);
	dirty(&e, 5, 100);
	b = get(&e, 5);
	old = b->data;
	gate_open(&g, &e, &th);
	buf_pin(b); /* does not wait */
	assert_ptr_not_equal(b->data, old);
	assert_int_equal(b->data[3], 100);
	memset(b->data, 101, BS);
	buf_mark_dirty(b);
	gate_close(&g, th);
	assert_int_equal(home(&e, 5), 100);
	buf_unpin(b);
	assert_int_equal(buf_cache_write(e.c), 0);
	assert_int_equal(home(&e, 5), 101);
	buf_put(b);
	env_close(&e);
}

static void *forget(void *ctx)
{
	struct env *e = ctx;
	uint8_t block[BS];

	buf_forget_block(e->c, 5);
	/* Now the block may be somebody's data. */
	memset(block, 222, BS);
	assert_int_equal(bdev_write(e->dev, 5 * BS, block, BS, 0, 0), 0);
	return NULL;
}

static void forgetting_waits_for_a_write_in_flight(void **state)
{
	pthread_t th, th2;
	struct gate g;
	struct buf *b;
	struct env e;

	env_open(&e, 1u << 20);
	dirty(&e, 5, 100);
	gate_open(&g, &e, &th);
	assert_int_equal(pthread_create(&th2, NULL, forget, &e), 0);
	gate_close(&g, th);
	pthread_join(th2, NULL);
	assert_int_equal(home(&e, 5), 222);
	assert_int_equal(buf_cache_write(e.c), 0);
	assert_int_equal(home(&e, 5), 222);
	b = get(&e, 5); /* read anew */
	assert_int_equal(b->data[0], 222);
	buf_put(b);
	env_close(&e);
}

/* ---- threads ---- */

#define THREADS 4

struct worker {
	struct env *e;
	uint32_t id;
};

/* Each thread counts up the blocks of its own; all read all. */
static void *worker_run(void *ctx)
{
	struct worker *w = ctx;
	uint32_t r, i;

	for (r = 1; r <= 60; r++) {
		for (i = 0; i < 64; i++) {
			struct buf *b = get(w->e, i);

			buf_lock(b);
			if (i % THREADS == w->id) {
				buf_pin(b);
				memset(b->data, (int)r, BS);
				buf_mark_dirty(b);
				buf_unpin(b);
			} else {
				assert_int_equal(b->data[1], b->data[BS - 1]);
			}
			buf_unlock(b);
			buf_put(b);
		}
		buf_readahead(w->e->c, 100 + r * 40 + w->id, 60);
		if (r % 8 == w->id)
			assert_int_equal(buf_cache_write(w->e->c), 0);
	}
	return NULL;
}

static void threads_share_the_cache(void **state)
{
	struct worker w[THREADS];
	pthread_t th[THREADS];
	struct env e;
	uint32_t i;

	env_open(&e, 96 * BS);
	for (i = 0; i < THREADS; i++) {
		w[i] = (struct worker){ &e, i };
		assert_int_equal(
				pthread_create(&th[i], NULL, worker_run, &w[i]),
				0);
	}
	for (i = 0; i < THREADS; i++)
		pthread_join(th[i], NULL);
	assert_int_equal(buf_cache_write(e.c), 0);
	for (i = 0; i < 64; i++)
		assert_int_equal(home(&e, i), 60);
	env_close(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(there_is_one_copy_of_a_block),
		cmocka_unit_test(a_block_that_is_filled_is_not_read),
		cmocka_unit_test(a_failed_read_is_tried_again),
		cmocka_unit_test(memory_is_bounded_but_for_what_is_in_use),
		cmocka_unit_test(what_is_used_often_stays),
		cmocka_unit_test(readahead_merges),
		cmocka_unit_test(writes_go_home_merged_and_in_order),
		cmocka_unit_test(a_failed_write_stays_dirty),
		cmocka_unit_test(a_change_during_a_write_goes_to_a_copy),
		cmocka_unit_test(forgetting_waits_for_a_write_in_flight),
		cmocka_unit_test(threads_share_the_cache),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
