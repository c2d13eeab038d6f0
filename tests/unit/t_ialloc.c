/* SPDX-License-Identifier: MIT */
#include "alloc_env.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "cache/buf.h"

#define CREDITS ALLOC_CREDITS_INODE

static int make_inode(struct env *e, const struct alloc_inode_req *req,
		inum_t *ret_inum)
{
	struct handle *h;
	int ret;

	env_start(e, CREDITS, &h);
	ret = ialloc_new(h, e->alloc, req, ret_inum);
	env_stop(h);
	return ret;
}

static void free_inode(struct env *e, inum_t inum, bool is_dir)
{
	struct handle *h;

	env_start(e, CREDITS, &h);
	assert_int_equal(ialloc_free(h, e->alloc, inum, is_dir), 0);
	env_stop(h);
}

/* The inode's bytes are zero, or it is one that somebody wrote. */
static void check_zeroed(struct env *e, inum_t inum)
{
	struct buf *b;
	pblk_t pblk;
	uint32_t off;

	assert_int_equal(ialloc_locate(e->alloc, inum, &pblk, &off), 0);
	assert_int_equal(buf_read(e->cache, pblk, &b), 0);
	for (uint32_t i = 0; i < e->geo.inode_size; i++)
		assert_int_equal(b->data[off + i], 0);
	buf_put(b);
}

static void check_model(struct env *e, const uint8_t *model)
{
	uint8_t *used = env_used_inodes(e);
	uint64_t nfree = 0;
	struct alloc_stat st;

	assert_memory_equal(used, model, e->geo.inodes);
	for (inum_t i = 0; i < e->geo.inodes; i++)
		nfree += !model[i];
	alloc_stat(e->alloc, &st);
	assert_int_equal(st.free_inodes, nfree);
	free(used);
}

#define HAVE_MAX 3000u

static void walk_profile(
		const struct env_profile *p, unsigned seed, bool use_log)
{
	static inum_t have[HAVE_MAX];
	static bool dirs[HAVE_MAX];
	uint32_t n = 0;
	struct alloc_stat before, after;
	struct env e;
	uint8_t *model;

	print_message("%s, seed %u\n", p->name, seed);
	env_make(&e, p);
	if (use_log && e.geo.journal_inum != 0)
		env_use_log(&e);
	alloc_stat(e.alloc, &before);
	model = env_used_inodes(&e);
	for (int i = 0; i < 2500; i++) {
		struct alloc_inode_req req = { .parent = 2 };
		uint32_t k;

		if (n > 0 && rand_r(&seed) % 4 == 0) {
			k = (uint32_t)rand_r(&seed) % n;
			free_inode(&e, have[k], dirs[k]);
			model[have[k] - 1] = 0;
			have[k] = have[--n];
			dirs[k] = dirs[n];
			continue;
		}
		req.is_dir = rand_r(&seed) % 5 == 0;
		req.top_level = rand_r(&seed) % 2 == 0;
		if (rand_r(&seed) % 3 == 0)
			req.parent = 1 + (inum_t)rand_r(&seed) % e.geo.inodes;
		if (rand_r(&seed) % 10 == 0)
			req.goal = (inum_t)rand_r(&seed) % e.geo.inodes;
		assert_int_equal(make_inode(&e, &req, &have[n]), 0);
		assert_true(have[n] >= e.geo.first_ino);
		assert_int_equal(model[have[n] - 1], 0);
		assert_int_equal(ialloc_is_used(e.alloc, have[n]), 1);
		model[have[n] - 1] = 1;
		check_zeroed(&e, have[n]);
		dirs[n++] = req.is_dir;
		if (i % 800 == 0)
			env_reopen(&e);
	}
	check_model(&e, model);
	env_reopen(&e);
	check_model(&e, model);
	while (n-- > 0) {
		free_inode(&e, have[n], dirs[n]);
		model[have[n] - 1] = 0;
	}
	check_model(&e, model);
	alloc_stat(e.alloc, &after);
	assert_int_equal(after.dirs, before.dirs);
	env_fsck(&e);
	env_drop(&e);
	free(model);
}

static void bitmaps_and_tables_are_what_was_made(void **state)
{
	(void)state;
	for (size_t i = 0; i < env_nprofiles; i++)
		walk_profile(&env_profiles[i], 200 + (unsigned)i, i % 2 == 0);
}

static const struct env_profile many = { "many",
	"-t ext4 -b 1024 -O ^has_journal -N 8000 -E "
	"nodiscard,lazy_itable_init=1",
	64, true };

static void all_numbers_can_be_had(void **state)
{
	struct alloc_inode_req req = { .parent = 2 };
	struct alloc_stat st;
	uint8_t *model;
	uint32_t n = 0;
	inum_t inum;
	struct env e;

	(void)state;
	env_make(&e, &many);
	model = env_used_inodes(&e);
	while (make_inode(&e, &req, &inum) == 0) {
		assert_int_equal(model[inum - 1], 0);
		model[inum - 1] = 1;
		n++;
	}
	assert_int_equal(make_inode(&e, &req, &inum), -ENOSPC);
	alloc_stat(e.alloc, &st);
	assert_int_equal(st.free_inodes, 0);
	assert_null(memchr(model, 0, e.geo.inodes));
	check_model(&e, model);
	for (inum = e.geo.first_ino + 1; inum <= e.geo.inodes; inum++)
		free_inode(&e, inum, false);
	env_fsck(&e);
	env_drop(&e);
	free(model);
}

static void files_go_to_their_directory_and_top_level_spreads(void **state)
{
	struct alloc_inode_req req = { .parent = 2 };
	inum_t file, dirs[8];
	uint32_t apart = 0;
	struct env e;

	(void)state;
	env_make(&e, &env_profiles[6]); /* no flex_bg */
	req.parent = 3 * e.geo.ipg + 5;
	assert_int_equal(make_inode(&e, &req, &file), 0);
	assert_int_equal(geo_grp_of_inode(&e.geo, file), 3);
	req = (struct alloc_inode_req){ 2, .is_dir = true, .top_level = true };
	for (int i = 0; i < 8; i++) {
		assert_int_equal(make_inode(&e, &req, &dirs[i]), 0);
		for (int k = 0; k < i; k++)
			apart += geo_grp_of_inode(&e.geo, dirs[i]) !=
					geo_grp_of_inode(&e.geo, dirs[k]);
	}
	assert_true(apart >= 20);
	/* Below, a directory stays near its parent. */
	req = (struct alloc_inode_req){ dirs[7], .is_dir = true };
	assert_int_equal(make_inode(&e, &req, &file), 0);
	assert_int_equal(geo_grp_of_inode(&e.geo, file),
			geo_grp_of_inode(&e.geo, dirs[7]));
	env_close(&e);
	env_drop(&e);
}

static void wrong_frees_are_refused(void **state)
{
	struct alloc_inode_req req = { .parent = 2 };
	inum_t inum;
	struct handle *h;
	pblk_t pblk;
	uint32_t off;
	struct env e;

	(void)state;
	env_make(&e, &many);
	assert_int_equal(make_inode(&e, &req, &inum), 0);
	free_inode(&e, inum, false);
	env_start(&e, CREDITS, &h);
	assert_int_equal(ialloc_free(h, e.alloc, inum, false), -EUCLEAN);
	assert_int_equal(ialloc_free(h, e.alloc, 0, false), -EUCLEAN);
	assert_int_equal(ialloc_free(h, e.alloc, 2, true), -EUCLEAN);
	assert_int_equal(ialloc_free(h, e.alloc, e.geo.inodes + 1, false),
			-EUCLEAN);
	env_stop(h);
	assert_int_equal(ialloc_is_used(e.alloc, inum), 0);
	assert_int_equal(ialloc_is_used(e.alloc, 2), 1);
	assert_int_equal(ialloc_locate(e.alloc, 0, &pblk, &off), -EUCLEAN);
	assert_int_equal(ialloc_locate(e.alloc, e.geo.inodes + 1, &pblk, &off),
			-EUCLEAN);
	env_fsck(&e);
	env_drop(&e);
}

/* ---- threads ---- */

#define NTHREADS 4

struct worker {
	struct env *e;
	unsigned seed;
	uint8_t *owner; /* shared, atomically */
	inum_t have[2000];
	uint32_t n;
};

static void worker_make(struct worker *w, struct handle *h)
{
	struct alloc_inode_req req = { .parent = 2 };
	struct buf *b;
	pblk_t pblk;
	uint32_t off;
	inum_t inum;

	if (ialloc_new(h, w->e->alloc, &req, &inum) != 0)
		return;
	if (__atomic_exchange_n(w->owner + inum, 1, __ATOMIC_SEQ_CST) != 0)
		abort();
	w->have[w->n++] = inum;
	/* Write it, as its owner will: nobody may zero it after this. */
	if (ialloc_locate(w->e->alloc, inum, &pblk, &off) != 0 ||
			buf_read(w->e->cache, pblk, &b) != 0)
		abort();
	buf_lock(b);
	if (handle_get_write(h, b) != 0)
		abort();
	memset(b->data + off, (int)(1 + inum % 200), 4);
	if (handle_dirty(h, b) != 0)
		abort();
	buf_unlock(b);
	buf_put(b);
}

static void worker_check(struct worker *w, struct handle *h, inum_t inum)
{
	struct buf *b;
	pblk_t pblk;
	uint32_t off;

	if (ialloc_locate(w->e->alloc, inum, &pblk, &off) != 0 ||
			buf_read(w->e->cache, pblk, &b) != 0)
		abort();
	buf_lock(b);
	if (b->data[off] != 1 + inum % 200)
		abort();
	if (handle_get_write(h, b) != 0)
		abort();
	memset(b->data + off, 0, 4);
	if (handle_dirty(h, b) != 0)
		abort();
	buf_unlock(b);
	buf_put(b);
}

static void *worker_run(void *arg)
{
	struct worker *w = arg;

	for (int i = 0; i < 1500; i++) {
		struct handle *h;

		if (handle_start(w->e->journal, CREDITS + 1, &h) != 0)
			abort();
		if (rand_r(&w->seed) % 3 != 0) {
			worker_make(w, h);
		} else if (w->n > 0) {
			inum_t inum = w->have[--w->n];

			worker_check(w, h, inum);
			__atomic_store_n(w->owner + inum, 0, __ATOMIC_SEQ_CST);
			if (ialloc_free(h, w->e->alloc, inum, false) != 0)
				abort();
		}
		if (handle_stop(h) != 0)
			abort();
		if (i % 100 == 0 && journal_sync(w->e->journal) != 0)
			abort();
	}
	while (w->n > 0) {
		struct handle *h;
		inum_t inum = w->have[--w->n];

		if (handle_start(w->e->journal, CREDITS + 1, &h) != 0)
			abort();
		worker_check(w, h, inum);
		__atomic_store_n(w->owner + inum, 0, __ATOMIC_SEQ_CST);
		if (ialloc_free(h, w->e->alloc, inum, false) != 0 ||
				handle_stop(h) != 0)
			abort();
	}
	return NULL;
}

static void check_threads(bool use_log)
{
	static const struct env_profile log = { "log",
		"-t ext4 -b 1024 -O metadata_csum -N 8000 -E "
		"nodiscard,lazy_itable_init=1",
		64, true };
	static struct worker w[NTHREADS];
	pthread_t th[NTHREADS];
	struct env e;
	uint8_t *own;

	env_make(&e, use_log ? &log : &many);
	if (use_log)
		env_use_log(&e);
	own = calloc(1, e.geo.inodes + 1);
	for (unsigned i = 0; i < NTHREADS; i++) {
		w[i] = (struct worker){ .e = &e, .seed = i, .owner = own };
		assert_int_equal(
				pthread_create(&th[i], NULL, worker_run, &w[i]),
				0);
	}
	for (unsigned i = 0; i < NTHREADS; i++)
		pthread_join(th[i], NULL);
	assert_null(memchr(own, 1, e.geo.inodes + 1));
	env_fsck(&e);
	env_drop(&e);
	free(own);
}

static void threads_never_share_or_wipe_an_inode(void **state)
{
	(void)state;
	check_threads(false);
	check_threads(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bitmaps_and_tables_are_what_was_made),
		cmocka_unit_test(all_numbers_can_be_had),
		cmocka_unit_test(
				files_go_to_their_directory_and_top_level_spreads),
		cmocka_unit_test(wrong_frees_are_refused),
		cmocka_unit_test(threads_never_share_or_wipe_an_inode),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
