/* SPDX-License-Identifier: MIT */
#include "alloc_env.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static const struct env_profile roomy = { "roomy",
	"-t ext4 -b 4096 -O ^has_journal -m 0", 512, false };
static const struct env_profile tight = { "tight",
	"-t ext4 -b 1024 -O ^has_journal -m 0", 24, false };

/* A file that grows block by block. */
struct file {
	struct alloc_pa pa;
	lblk_t size;
	pblk_t last;
	uint32_t extents;
};

static int file_grow(struct env *e, struct file *f, uint32_t len)
{
	struct alloc_req req = { .goal = f->last ? f->last + 1 : 0,
		.len = len,
		.pa = &f->pa,
		.lblk = f->size };
	struct alloc_run run;
	struct handle *h;
	int ret;

	env_start(e, ALLOC_CREDITS_RUN, &h);
	ret = alloc_blocks(h, e->alloc, &req, &run);
	env_stop(h);
	if (ret < 0)
		return ret;
	assert_true(run.len >= 1 && run.len <= len);
	if (f->size == 0 || run.pblk != f->last + 1)
		f->extents++;
	f->last = run.pblk + run.len - 1;
	f->size += run.len;
	return 0;
}

static void files_growing_together_do_not_interleave(void **state)
{
	struct file files[4] = { 0 };
	struct env e;

	(void)state;
	env_make(&e, &roomy);
	for (int i = 0; i < 1000; i++)
		for (int k = 0; k < 4; k++)
			assert_int_equal(file_grow(&e, &files[k], 1), 0);
	for (int k = 0; k < 4; k++) {
		assert_true(files[k].extents <= 14);
		alloc_pa_release(e.alloc, &files[k].pa);
	}
	env_close(&e);
	env_drop(&e);
}

static void a_window_is_not_on_disk_and_comes_back(void **state)
{
	struct file f = { 0 };
	struct alloc_stat before, st;
	uint8_t *used;
	uint64_t n = 0, n0 = 0;
	struct env e;

	(void)state;
	env_make(&e, &roomy);
	used = env_used_blocks(&e);
	for (pblk_t b = 0; b < e.geo.blocks; b++)
		n0 += used[b];
	free(used);
	alloc_stat(e.alloc, &before);
	for (int i = 0; i < 100; i++)
		assert_int_equal(file_grow(&e, &f, 1), 0);
	assert_true(f.pa.len > 0);
	used = env_used_blocks(&e);
	for (pblk_t b = 0; b < e.geo.blocks; b++)
		n += used[b];
	free(used);
	assert_int_equal(n, n0 + 100);
	alloc_stat(e.alloc, &st);
	assert_int_equal(st.avail_blocks, before.avail_blocks - 100);
	alloc_pa_release(e.alloc, &f.pa);
	assert_int_equal(f.pa.len, 0);
	alloc_stat(e.alloc, &st);
	assert_int_equal(st.avail_blocks, before.avail_blocks - 100);
	assert_int_equal(st.free_blocks, before.free_blocks - 100);
	env_close(&e);
	env_drop(&e);
}

/* A request in the middle of the window is served from its place. */
static void a_window_maps_file_blocks_to_places(void **state)
{
	struct file f = { 0 };
	struct alloc_pa pa;
	struct alloc_req req = { 0 };
	struct alloc_run run;
	struct env e;

	(void)state;
	env_make(&e, &roomy);
	assert_int_equal(file_grow(&e, &f, 100), 0);
	assert_int_equal(file_grow(&e, &f, 100), 0);
	pa = f.pa;
	assert_true(pa.len >= 100);
	assert_int_equal(pa.lblk, f.size);
	req = (struct alloc_req){ .len = 5, .pa = &f.pa, .lblk = pa.lblk + 10 };
	assert_int_equal(alloc_reserve(e.alloc, &req, &run), 0);
	assert_int_equal(run.pblk, pa.pblk + 10);
	assert_int_equal(run.len, 5);
	assert_int_equal(f.pa.lblk, pa.lblk + 15);
	assert_int_equal(f.pa.len, pa.len - 15);
	alloc_rsv_release(e.alloc, run);
	/* The end of it: what does not fit is not promised. */
	req.lblk = pa.lblk + pa.len - 2;
	assert_int_equal(alloc_reserve(e.alloc, &req, &run), 0);
	assert_int_equal(run.len, 2);
	alloc_rsv_release(e.alloc, run);
	/* Before it: from elsewhere, and the window stays. */
	pa = f.pa;
	req.lblk = 3;
	assert_int_equal(alloc_reserve(e.alloc, &req, &run), 0);
	assert_true(run.pblk + run.len <= pa.pblk ||
			run.pblk >= pa.pblk + pa.len);
	assert_int_equal(f.pa.pblk, pa.pblk);
	alloc_rsv_release(e.alloc, run);
	alloc_pa_release(e.alloc, &f.pa);
	env_close(&e);
	env_drop(&e);
}

static void windows_give_way_before_enospc(void **state)
{
	struct file f[8] = { 0 };
	struct alloc_stat st;
	struct alloc_req req = { .len = 500 };
	struct alloc_run run;
	uint64_t left;
	struct env e;

	(void)state;
	env_make(&e, &tight);
	for (int i = 0; i < 64; i++)
		for (int k = 0; k < 8; k++)
			assert_int_equal(file_grow(&e, &f[k], 1), 0);
	for (int k = 0; k < 8; k++)
		assert_true(f[k].pa.len > 0);
	alloc_stat(e.alloc, &st);
	/* All that is free can be promised, windows or not. */
	assert_int_equal(alloc_claim(e.alloc, st.free_blocks, 0), 0);
	for (int k = 0; k < 8; k++)
		assert_int_equal(f[k].pa.len, 0);
	assert_int_equal(file_grow(&e, &f[0], 1), -ENOSPC);
	left = st.free_blocks;
	req.flags = ALLOC_F_CLAIMED;
	while (left > 0) {
		req.len = left < 500 ? (uint32_t)left : 500;
		assert_int_equal(alloc_reserve(e.alloc, &req, &run), 0);
		left -= run.len;
	}
	alloc_stat(e.alloc, &st);
	assert_int_equal(st.avail_blocks, 0);
	env_close(&e);
	env_drop(&e);
}

/* Delayed allocation: every block was claimed, windows or not. */
static void claims_and_windows_balance(void **state)
{
	struct file f = { 0 };
	struct alloc_stat before, st;
	uint64_t got = 0;
	struct env e;

	(void)state;
	env_make(&e, &roomy);
	alloc_stat(e.alloc, &before);
	for (int i = 0; i < 300; i++) {
		struct alloc_req req = { .len = 7,
			.flags = ALLOC_F_CLAIMED,
			.pa = &f.pa,
			.lblk = f.size };
		struct alloc_run run;
		struct handle *h;

		assert_int_equal(alloc_claim(e.alloc, 7, 0), 0);
		env_start(&e, ALLOC_CREDITS_RUN, &h);
		assert_int_equal(alloc_blocks(h, e.alloc, &req, &run), 0);
		env_stop(h);
		alloc_unclaim(e.alloc, 7 - run.len);
		f.size += run.len;
		got += run.len;
	}
	alloc_stat(e.alloc, &st);
	assert_int_equal(st.free_blocks, before.free_blocks - got);
	assert_int_equal(st.avail_blocks, before.avail_blocks - got);
	alloc_pa_release(e.alloc, &f.pa);
	alloc_stat(e.alloc, &st);
	assert_int_equal(st.avail_blocks, before.avail_blocks - got);
	env_close(&e);
	env_drop(&e);
}

/* ---- threads ---- */

struct worker {
	struct env *e;
	unsigned seed;
};

static void *worker_run(void *arg)
{
	struct worker *w = arg;
	struct alloc *a = w->e->alloc;
	struct alloc_pa pa = { 0 };
	struct alloc_run held[64];
	lblk_t size = 0;
	uint32_t n = 0;

	for (int i = 0; i < 3000; i++) {
		struct alloc_req req = {
			.len = 1 + i % 9, .pa = &pa, .lblk = size
		};
		struct alloc_run run;

		if (n == 64) {
			while (n > 0)
				alloc_rsv_release(a, held[--n]);
			alloc_pa_release(a, &pa);
		}
		if (alloc_reserve(a, &req, &run) == 0) {
			held[n++] = run;
			size += run.len;
		}
		/* Now and then more than there is: all windows go. */
		if (rand_r(&w->seed) % 50 == 0 &&
				alloc_claim(a, 1u << 30, 0) == 0)
			abort();
	}
	while (n > 0)
		alloc_rsv_release(a, held[--n]);
	alloc_pa_release(a, &pa);
	return NULL;
}

static void threads_take_windows_from_each_other(void **state)
{
	struct alloc_stat before, after;
	struct worker w[4];
	pthread_t th[4];
	struct env e;

	(void)state;
	env_make(&e, &tight);
	alloc_stat(e.alloc, &before);
	for (unsigned i = 0; i < 4; i++) {
		w[i] = (struct worker){ &e, i };
		assert_int_equal(
				pthread_create(&th[i], NULL, worker_run, &w[i]),
				0);
	}
	for (unsigned i = 0; i < 4; i++)
		pthread_join(th[i], NULL);
	alloc_stat(e.alloc, &after);
	assert_int_equal(after.avail_blocks, before.avail_blocks);
	assert_int_equal(after.free_blocks, before.free_blocks);
	env_fsck(&e);
	env_drop(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_growing_together_do_not_interleave),
		cmocka_unit_test(a_window_is_not_on_disk_and_comes_back),
		cmocka_unit_test(a_window_maps_file_blocks_to_places),
		cmocka_unit_test(windows_give_way_before_enospc),
		cmocka_unit_test(claims_and_windows_balance),
		cmocka_unit_test(threads_take_windows_from_each_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
