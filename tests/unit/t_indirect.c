/* SPDX-License-Identifier: MIT */
/*
 * Block trees against a model, with faults, and bad pointers in their nodes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "unit/tree_model.h"

/* 32 pointers in a node: the triple level begins at block 1068. */
#define SMALL 128u

static void fuzz(uint64_t seed, uint32_t max_len, uint32_t max_run,
		unsigned fault_every)
{
	struct tree_fuzz fz = {
		.fake = { .block_size = SMALL,
				.blocks = 6000,
				.bpg = 512,
				.seed = seed },
		.lblks = 2600,
		.ops = 2000,
		.max_len = max_len,
		.max_run = max_run,
		.obey_goal = max_run > 4,
		.fault_every = fault_every,
	};

	tree_fuzz(&fz);
	assert_true(fz.max_nodes > 60);
	assert_true(!fault_every || fz.faults > 50);
}

static void random_runs_match_the_model(void **state)
{
	fuzz(1, 10, 3, 0);
	fuzz(2, 90, 32768, 0);
}

static void a_fault_anywhere_leaves_a_whole_tree(void **state)
{
	fuzz(3, 20, 3, 3);
	fuzz(4, 90, 32768, 2);
}

static void a_full_device_leaves_a_whole_tree(void **state)
{
	struct tree_fuzz fz = {
		.fake = { .block_size = SMALL, .blocks = 500, .bpg = 64 },
		.lblks = 1500,
		.ops = 2000,
		.max_len = 50,
		.max_run = 8,
	};

	tree_fuzz(&fz);
}

struct env {
	struct fake *f;
	struct mapping m;
	uint8_t root[60];
};

static struct env *env_new(uint64_t blocks)
{
	const struct fake_params p = {
		.block_size = SMALL,
		.blocks = blocks,
		.bpg = 1024,
	};
	struct env *e = calloc(1, sizeof(*e));

	assert_non_null(e);
	e->f = fake_new(&p);
	fake_mapping_init(e->f, &e->m, e->root, false);
	return e;
}

static void env_free(struct env *e)
{
	assert_int_equal(fake_refs(e->f), 0);
	mapping_fini(&e->m);
	fake_free(e->f);
	free(e);
}

static int alloc(struct env *e, lblk_t lblk, uint32_t len, struct map_run *run)
{
	struct handle *h = fake_start(e->f, map_credits_alloc(&e->m, len));
	int ret = map_alloc(h, &e->m, lblk, len, 0, run);

	fake_stop(e->f);
	return ret;
}

static void the_levels_begin_where_they_should(void **state)
{
	/* First blocks of direct, indirect, double, triple, and the end. */
	const lblk_t first[] = { 0, 12, 44, 1068, 33835 };
	const uint32_t nodes[] = { 0, 1, 2, 3, 2 };
	struct env *e = env_new(3000);
	struct map_run run;
	uint64_t blocks = 0;

	assert_int_equal(map_max_blocks(&e->m), 33836);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(alloc(e, first[i], 1, &run), 0);
		blocks += 1 + nodes[i];
		assert_int_equal(e->m.blocks, blocks);
		assert_int_equal(map_find(&e->m, first[i], 9, &run), 0);
		assert_int_equal(run.type, MAP_WRITTEN);
	}
	assert_int_equal(alloc(e, 33836, 1, &run), -EFBIG);
	assert_int_equal(map_find(&e->m, 33836, 9, &run), 0);
	assert_int_equal(run.type, MAP_HOLE);
	assert_int_equal(map_next(&e->m, 1069, &run), 0);
	assert_int_equal(run.lblk, 33835);
	env_free(e);
}

static void a_sequential_file_lies_in_sequence(void **state)
{
	struct env *e = env_new(3000);
	struct map_run run;
	pblk_t last = 0;

	/* Node blocks stand in front of the data that they lead to. */
	for (lblk_t lblk = 0; lblk < 1200; lblk += run.len) {
		assert_int_equal(alloc(e, lblk, 64, &run), 0);
		if (last)
			assert_in_range(run.pblk - last, 1, 4);
		last = run.pblk + run.len - 1;
	}
	env_free(e);
}

static void unwritten_is_refused(void **state)
{
	struct env *e = env_new(3000);
	struct map_run run;
	struct handle *h;

	h = fake_start(e->f, 100);
	assert_int_equal(map_alloc(h, &e->m, 0, 1, MAP_F_UNWRITTEN, &run),
			-EOPNOTSUPP);
	assert_int_equal(map_insert(h, &e->m, 0, 100, 1, MAP_F_UNWRITTEN),
			-EOPNOTSUPP);
	fake_stop(e->f);
	env_free(e);
}

/* ---- bad pointers ---- */

static void system_blocks_are_refused(void **state)
{
	struct env *e = env_new(3000);
	struct map_run run;

	put_le32(e->root, 5);        /* data in a system block */
	put_le32(e->root + 4, 3000); /* outside */
	put_le32(e->root + 48, 6);   /* node in a system block */
	put_le32(e->root + 52, 1u << 31);

	assert_int_equal(mapping_check_root(&e->m), -UEXT4_ECORRUPT);
	assert_int_equal(map_find(&e->m, 0, 1, &run), -UEXT4_ECORRUPT);
	assert_int_equal(map_find(&e->m, 1, 1, &run), -UEXT4_ECORRUPT);
	assert_int_equal(map_find(&e->m, 12, 1, &run), -UEXT4_ECORRUPT);
	assert_int_equal(map_find(&e->m, 44, 1, &run), -UEXT4_ECORRUPT);
	env_free(e);
}

static int count_blocks(void *ctx, pblk_t pblk, uint32_t len, bool is_node)
{
	*(uint64_t *)ctx += len;
	return 0;
}

/* One node that leads to itself, at every level: all of it ends. */
static void circles_end(void **state)
{
	struct env *e = env_new(3000);
	uint8_t node[SMALL];
	struct map_run run;
	struct handle *h;
	uint64_t n = 0, end;

	for (uint32_t i = 0; i < SMALL / 4; i++)
		put_le32(node + 4 * (size_t)i, 100);
	fake_poke(e->f, 100, node);
	fake_set_use(e->f, 100, 1, FAKE_NODE);
	for (int i = 12; i < 15; i++)
		put_le32(e->root + 4 * (size_t)i, 100);

	assert_int_equal(map_walk(&e->m, count_blocks, &n), -UEXT4_ECORRUPT);
	assert_true(n < 4000);
	assert_int_equal(map_next(&e->m, 0, &run), 0);
	h = fake_start(e->f, 1000);
	assert_true(map_remove(h, &e->m, 0, UINT32_MAX, &end) < 0);
	fake_stop(e->f);
	env_free(e);
}

/* Nodes without any pointer: none of ours, but they may be there. */
static void empty_nodes_are_removed(void **state)
{
	struct env *e = env_new(3000);
	uint8_t node[SMALL] = { 0 };
	struct handle *h;
	uint64_t end;

	fake_poke(e->f, 100, node);
	fake_poke(e->f, 102, node);
	put_le32(node + 8, 100);
	fake_poke(e->f, 101, node);
	fake_set_use(e->f, 100, 3, FAKE_NODE);
	put_le32(e->root + 52, 101);
	put_le32(e->root + 48, 102);
	e->m.blocks = 3;

	h = fake_start(e->f, map_credits_remove(&e->m));
	assert_int_equal(map_remove(h, &e->m, 0, UINT32_MAX, &end), 0);
	fake_stop(e->f);
	assert_int_equal(end, 0);
	assert_int_equal(e->m.blocks, 0);
	assert_int_equal(fake_count(e->f, FAKE_NODE), 0);
	env_free(e);
}

static void random_bytes_do_no_harm(void **state)
{
	for (uint32_t seed = 1; seed <= 200; seed++) {
		struct env *e = env_new(3000);
		struct map_run run;
		struct handle *h;
		uint64_t end;

		for (uint32_t i = 0; i < 1200; i += 40)
			(void)alloc(e, i, 3, &run);
		srandom(seed);
		for (pblk_t p = 8; p < 3000; p++) {
			uint8_t node[SMALL];

			if (fake_use(e->f, p) != FAKE_NODE || random() % 3)
				continue;
			memcpy(node, fake_block(e->f, p), SMALL);
			for (int k = 0; k < 5; k++)
				put_le32(node + random() % 32 * 4,
						(uint32_t)random() % 3100);
			fake_poke(e->f, p, node);
		}
		mapping_reset(&e->m);
		h = fake_start(e->f, 100000);
		for (uint32_t i = 0; i < 1200; i += 17) {
			(void)map_find(&e->m, i, 100, &run);
			(void)map_alloc(h, &e->m, i, 10, 0, &run);
			(void)map_convert(h, &e->m, i, 3);
			(void)map_remove(h, &e->m, i, i + 5, &end);
		}
		(void)map_remove(h, &e->m, 0, UINT32_MAX, &end);
		fake_stop(e->f);
		env_free(e);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_runs_match_the_model),
		cmocka_unit_test(a_fault_anywhere_leaves_a_whole_tree),
		cmocka_unit_test(a_full_device_leaves_a_whole_tree),
		cmocka_unit_test(the_levels_begin_where_they_should),
		cmocka_unit_test(a_sequential_file_lies_in_sequence),
		cmocka_unit_test(unwritten_is_refused),
		cmocka_unit_test(system_blocks_are_refused),
		cmocka_unit_test(circles_end),
		cmocka_unit_test(empty_nodes_are_removed),
		cmocka_unit_test(random_bytes_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
