/* SPDX-License-Identifier: MIT */
/*
 * Extent trees against a model, with faults, and bad bytes in their nodes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/csum.h"
#include "base/le.h"
#include "disk/dextent.h"
#include "unit/tree_model.h"

/* 9 entries in a node: three and four levels without a million blocks. */
#define SMALL 128u

static const struct fake_params small_fake = {
	.block_size = SMALL,
	.blocks = 6000,
	.bpg = 512,
	.has_csum = true,
};

static void fuzz(uint64_t seed, uint32_t max_len, uint32_t max_run,
		unsigned fault_every, struct tree_fuzz *ret)
{
	struct tree_fuzz fz = {
		.fake = small_fake,
		.is_extents = true,
		.lblks = 2000,
		.ops = 2500,
		.max_len = max_len,
		.max_run = max_run,
		.obey_goal = max_run > 4,
		.fault_every = fault_every,
	};

	fz.fake.seed = seed;
	tree_fuzz(&fz);
	*ret = fz;
}

static void random_small_runs_match_the_model(void **state)
{
	struct tree_fuzz fz;

	fuzz(1, 12, 3, 0, &fz);
	assert_true(fz.max_depth >= 3);
	assert_true(fz.max_extents > 300);
	fuzz(2, 3, 1, 0, &fz);
}

static void random_long_runs_match_the_model(void **state)
{
	struct tree_fuzz fz;

	fuzz(3, 60, 32768, 0, &fz);
	fuzz(4, 300, 32768, 0, &fz);
}

static void a_fault_anywhere_leaves_a_whole_tree(void **state)
{
	struct tree_fuzz fz;

	fuzz(5, 12, 3, 3, &fz);
	assert_true(fz.faults > 50);
	fuzz(6, 40, 32768, 2, &fz);
	assert_true(fz.faults > 50);
}

static void a_full_device_leaves_a_whole_tree(void **state)
{
	struct tree_fuzz fz = {
		.fake = { .block_size = SMALL, .blocks = 400, .bpg = 64 },
		.is_extents = true,
		.lblks = 900,
		.ops = 2500,
		.max_len = 10,
		.max_run = 2,
	};

	tree_fuzz(&fz);
}

static void blocks_of_1k_match_the_model(void **state)
{
	struct tree_fuzz fz = {
		.fake = { .block_size = 1024, .blocks = 6000, .bpg = 512 },
		.is_extents = true,
		.lblks = 2500,
		.ops = 2000,
		.max_len = 20,
		.max_run = 2,
	};

	tree_fuzz(&fz);
	assert_true(fz.max_depth >= 1);
}

/* ---- single claims ---- */

struct env {
	struct fake *f;
	struct mapping m;
	uint8_t root[60];
};

static struct env *env_new(uint32_t block_size, uint64_t blocks)
{
	const struct fake_params p = {
		.block_size = block_size,
		.blocks = blocks,
		.bpg = 8 * block_size,
		.has_csum = true,
	};
	struct env *e = calloc(1, sizeof(*e));

	assert_non_null(e);
	e->f = fake_new(&p);
	fake_mapping_init(e->f, &e->m, e->root, true);
	return e;
}

static void env_free(struct env *e)
{
	mapping_fini(&e->m);
	fake_free(e->f);
	free(e);
}

static int insert(struct env *e, lblk_t lblk, pblk_t pblk, uint32_t len,
		uint32_t flags)
{
	struct handle *h = fake_start(e->f, map_credits_alloc(&e->m, len));
	int ret = map_insert(h, &e->m, lblk, pblk, len, flags);

	fake_stop(e->f);
	return ret;
}

static int convert(struct env *e, lblk_t lblk, uint32_t len, bool back)
{
	struct handle *h = fake_start(e->f, map_credits_convert(&e->m));
	int ret = back ? map_convert_unwritten(h, &e->m, lblk, len)
		       : map_convert(h, &e->m, lblk, len);

	fake_stop(e->f);
	return ret;
}

static void appends_fill_whole_leaves(void **state)
{
	struct env *e = env_new(SMALL, 4000);
	struct model *mo = model_new(2000);

	/* Every other block of the device: nothing melts. */
	for (uint32_t i = 0; i < 600; i++) {
		fake_set_use(e->f, 1000 + 2 * i, 1, FAKE_DATA);
		assert_int_equal(insert(e, i, 1000 + 2 * i, 1, 0), 0);
		model_set(mo, i, 1, 1000 + 2 * i, MAP_WRITTEN);
	}

	model_check(mo, e->f, &e->m, false);
	/* 67 leaves of 9, 8 nodes above them, at most one more. */
	assert_in_range(mo->nodes, 75, 76);
	model_free(mo);
	env_free(e);
}

static void appends_melt_into_one_extent(void **state)
{
	struct env *e = env_new(1024, 9000);
	struct model *mo = model_new(8000);
	struct map_run run;

	for (uint32_t i = 0; i < 500; i++) {
		struct handle *h =
				fake_start(e->f, map_credits_alloc(&e->m, 8));

		assert_int_equal(map_alloc(h, &e->m, 8 * i, 8, 0, &run), 0);
		fake_stop(e->f);
		assert_int_equal(run.len, 8);
		model_set(mo, 8 * i, 8, run.pblk, MAP_WRITTEN);
	}

	model_check(mo, e->f, &e->m, false);
	assert_int_equal(mo->extents, 1);
	assert_int_equal(mo->nodes, 0);
	assert_int_equal(fake_dirty_calls(e->f), 500);
	model_free(mo);
	env_free(e);
}

static void lengths_have_their_limits(void **state)
{
	struct env *e = env_new(4096, 200000);
	struct model *mo = model_new(140000);

	fake_set_use(e->f, 1000, 131072, FAKE_DATA);
	assert_int_equal(insert(e, 0, 1000, 32769, 0), -EINVAL);
	assert_int_equal(insert(e, 0, 1000, 32768, MAP_F_UNWRITTEN), -EINVAL);
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(insert(e, 32768 * i, 1000 + 32768 * i, 32768,
						 0),
				0);
	model_set(mo, 0, 131072, 1000, MAP_WRITTEN);
	model_check(mo, e->f, &e->m, false);
	assert_int_equal(mo->extents, 4);

	/* Each becomes 32767 + 1 unwritten blocks. */
	assert_int_equal(convert(e, 0, 131072, true), 0);
	model_set(mo, 0, 131072, 1000, MAP_UNWRITTEN);
	model_check(mo, e->f, &e->m, false);

	assert_int_equal(convert(e, 1000, 130000, false), 0);
	model_set(mo, 1000, 130000, 2000, MAP_WRITTEN);
	/* What is left of the last but one could now take in the last. */
	model_check(mo, e->f, &e->m, true);
	model_free(mo);
	env_free(e);
}

/* dio-bugs.md B40: the last block that can be, and what is behind it. */
static void the_last_file_block_works(void **state)
{
	struct env *e = env_new(4096, 1000);
	const lblk_t last = UINT32_MAX - 1;
	struct map_run run;
	struct handle *h;
	uint64_t end;

	fake_set_use(e->f, 100, 10, FAKE_DATA);
	assert_int_equal(insert(e, last, 100, 1, 0), 0);
	assert_int_equal(insert(e, last, 100, 1, 0), -EEXIST);
	assert_int_equal(insert(e, last, 101, 2, 0), -EFBIG);
	assert_int_equal(insert(e, UINT32_MAX, 101, 1, 0), -EFBIG);
	assert_int_equal(map_find(&e->m, 0, UINT32_MAX, &run), 0);
	assert_int_equal(run.type, MAP_HOLE);
	assert_int_equal(run.len, last);
	assert_int_equal(map_next(&e->m, 0, &run), 0);
	assert_int_equal(run.lblk, last);
	assert_int_equal(run.len, 1);
	assert_int_equal(map_find(&e->m, UINT32_MAX, 5, &run), 0);
	assert_int_equal(run.type, MAP_HOLE);

	h = fake_start(e->f, map_credits_remove(&e->m));
	assert_int_equal(
			map_remove(h, &e->m, 5, (uint64_t)UINT32_MAX + 1, &end),
			0);
	fake_stop(e->f);
	assert_int_equal(end, 5);
	assert_int_equal(map_next(&e->m, 0, &run), -ENOENT);
	fake_set_use(e->f, 101, 9, FAKE_FREE);
	assert_int_equal(e->m.blocks, 0);
	env_free(e);
}

/* dio-bugs.md B30: a split that finds no block changes nothing. */
static void conversion_without_space_changes_nothing(void **state)
{
	struct env *e = env_new(SMALL, 3000);
	struct model *mo = model_new(1000);
	uint8_t root[60];

	/* Four full root entries, unwritten, then no free block at all. */
	for (uint32_t i = 0; i < 4; i++) {
		fake_set_use(e->f, 1000 + 200 * i, 100, FAKE_DATA);
		assert_int_equal(insert(e, 100 * i, 1000 + 200 * i, 100,
						 MAP_F_UNWRITTEN),
				0);
		model_set(mo, 100 * i, 100, 1000 + 200 * i, MAP_UNWRITTEN);
	}
	memcpy(root, e->root, sizeof(root));
	for (pblk_t p = 0; p < 3000; p++)
		if (fake_use(e->f, p) == FAKE_FREE)
			fake_set_use(e->f, p, 1, FAKE_SYSTEM);

	assert_int_equal(convert(e, 10, 10, false), -ENOSPC);
	assert_int_equal(convert(e, 150, 100, false), -ENOSPC);
	assert_memory_equal(root, e->root, sizeof(root));
	model_check(mo, e->f, &e->m, false);

	/* Whole extents need no room. */
	assert_int_equal(convert(e, 100, 200, false), 0);
	model_set(mo, 100, 100, 1200, MAP_WRITTEN);
	model_set(mo, 200, 100, 1400, MAP_WRITTEN);
	model_check(mo, e->f, &e->m, false);
	model_free(mo);
	env_free(e);
}

static void a_hole_is_not_converted(void **state)
{
	struct env *e = env_new(1024, 1000);

	fake_set_use(e->f, 100, 20, FAKE_DATA);
	assert_int_equal(insert(e, 0, 100, 10, MAP_F_UNWRITTEN), 0);
	assert_int_equal(insert(e, 20, 110, 10, MAP_F_UNWRITTEN), 0);

	assert_int_equal(convert(e, 5, 20, false), -UEXT4_ECORRUPT);
	assert_int_equal(convert(e, 40, 1, false), -UEXT4_ECORRUPT);
	env_free(e);
}

static void system_blocks_are_refused(void **state)
{
	struct env *e = env_new(1024, 1000);

	assert_int_equal(insert(e, 0, 7, 2, 0), -UEXT4_ECORRUPT);
	assert_int_equal(insert(e, 0, 999, 2, 0), -UEXT4_ECORRUPT);
	env_free(e);
}

/* ---- bad bytes ---- */

/* A tree of three levels and what one change of one node does to it. */
struct bad {
	const char *what;
	int (*spoil)(uint8_t *node); /* of a node of the middle level */
	int want;
};

static int spoil_magic(uint8_t *node)
{
	put_le16(node, 0x1234);
	return 1;
}
static int spoil_depth(uint8_t *node)
{
	put_le16(node + 6, 3);
	return 1;
}
static int spoil_depth_zero(uint8_t *node)
{
	put_le16(node + 6, 0);
	return 1;
}
static int spoil_entries(uint8_t *node)
{
	put_le16(node + 2, 500);
	return 1;
}
static int spoil_max(uint8_t *node)
{
	put_le16(node + 4, 10);
	put_le16(node + 2, 10);
	return 1;
}
static int spoil_empty(uint8_t *node)
{
	put_le16(node + 2, 0);
	return 1;
}
static int spoil_first_key(uint8_t *node)
{
	put_le32(node + 12, get_le32(node + 12) + 1);
	return 1;
}
static int spoil_order(uint8_t *node)
{
	put_le32(node + 24, get_le32(node + 12));
	return 1;
}
static int spoil_beyond(uint8_t *node)
{
	put_le32(node + 108, 0xfffffff0);
	return 1;
}
static int spoil_child_system(uint8_t *node)
{
	put_le32(node + 12 + 4, 3);
	return 1;
}
static int spoil_child_outside(uint8_t *node)
{
	put_le32(node + 12 + 4, 1u << 30);
	return 1;
}
static int spoil_child_self(uint8_t *node)
{
	/* The second entry leads where the first one leads. */
	put_le32(node + 24 + 4, get_le32(node + 12 + 4));
	return 1;
}
static int spoil_bytes_only(uint8_t *node)
{
	node[SMALL - 9] ^= 1;
	return 0;
}

static const struct bad bads[] = {
	{ "magic", spoil_magic, -UEXT4_ECORRUPT },
	{ "depth", spoil_depth, -UEXT4_ECORRUPT },
	{ "depth 0", spoil_depth_zero, -UEXT4_ECORRUPT },
	{ "entries", spoil_entries, -UEXT4_ECORRUPT },
	{ "max", spoil_max, -UEXT4_EBADCSUM },
	{ "empty", spoil_empty, -UEXT4_ECORRUPT },
	{ "first key", spoil_first_key, -UEXT4_ECORRUPT },
	{ "order", spoil_order, -UEXT4_ECORRUPT },
	{ "beyond", spoil_beyond, -UEXT4_ECORRUPT },
	{ "system", spoil_child_system, -UEXT4_ECORRUPT },
	{ "outside", spoil_child_outside, -UEXT4_ECORRUPT },
	{ "shared child", spoil_child_self, -UEXT4_ECORRUPT },
	{ "checksum", spoil_bytes_only, -UEXT4_EBADCSUM },
};

/* Build the tree, spoil the first node of level 1 and ask for everything. */
static void try_bad(const struct bad *bad, bool is_verified)
{
	struct env *e = env_new(SMALL, 6000);
	uint8_t node[SMALL];
	struct map_run run;
	uint64_t end;
	pblk_t pblk;
	struct handle *h;
	int ret = 0;

	for (uint32_t i = 0; i < 300; i++) {
		fake_set_use(e->f, 1000 + 2 * i, 1, FAKE_DATA);
		assert_int_equal(insert(e, i, 1000 + 2 * i, 1, 0), 0);
	}
	pblk = get_le32(e->root + 12 + 4);
	memcpy(node, fake_block(e->f, pblk), SMALL);
	if (bad->spoil(node))
		dext_csum_set(fake_geo(e->f),
				crc32c_le32(crc32c_le32(fake_geo(e->f)->csum_seed,
							    e->m.inum),
						e->m.gen),
				node);
	fake_poke(e->f, pblk, node);
	if (is_verified)
		fake_set_verified(e->f, pblk);
	mapping_reset(&e->m);

	for (uint32_t i = 0; i < 20 && ret == 0; i++)
		ret = map_find(&e->m, i, 1, &run);
	if (!is_verified)
		assert_int_equal(ret, bad->want);
	/* Nothing that follows may fall over it. */
	h = fake_start(e->f, 1000);
	(void)map_alloc(h, &e->m, 1000, 1, 0, &run);
	(void)map_convert_unwritten(h, &e->m, 3, 10);
	(void)map_next(&e->m, 0, &run);
	(void)map_remove(h, &e->m, 0, UINT32_MAX, &end);
	fake_stop(e->f);
	assert_int_equal(fake_refs(e->f), 0);
	env_free(e);
}

static void bad_nodes_are_refused(void **state)
{
	for (size_t i = 0; i < array_len(bads); i++) {
		print_message("  %s\n", bads[i].what);
		try_bad(&bads[i], false);
	}
}

/* The buf was verified by another owner, as something else. */
static void bad_nodes_verified_elsewhere_do_no_harm(void **state)
{
	for (size_t i = 0; i < array_len(bads); i++)
		try_bad(&bads[i], true);
}

static void random_bytes_do_no_harm(void **state)
{
	for (uint32_t seed = 1; seed <= 300; seed++) {
		struct env *e = env_new(SMALL, 3000);
		struct map_run run;
		struct handle *h;
		uint64_t end;

		for (uint32_t i = 0; i < 150; i++) {
			fake_set_use(e->f, 1000 + 2 * i, 1, FAKE_DATA);
			(void)insert(e, i, 1000 + 2 * i, 1, i & 1);
		}
		srandom(seed);
		for (pblk_t p = 8; p < 3000; p++) {
			uint8_t node[SMALL];

			if (fake_use(e->f, p) != FAKE_NODE || random() % 3)
				continue;
			memcpy(node, fake_block(e->f, p), SMALL);
			node[random() % SMALL] = (uint8_t)random();
			node[2 + random() % 60] ^= (uint8_t)(1 << random() % 8);
			fake_poke(e->f, p, node);
			fake_set_verified(e->f, p);
		}
		if (random() % 2)
			e->root[random() % 60] ^= (uint8_t)(1 << random() % 8);
		mapping_reset(&e->m);
		h = fake_start(e->f, 100000);
		for (uint32_t i = 0; i < 150; i += 7) {
			(void)map_find(&e->m, i, 100, &run);
			(void)map_alloc(h, &e->m, i, 10, 0, &run);
			(void)map_convert(h, &e->m, i, 3);
			(void)map_convert_unwritten(h, &e->m, i, 9);
			(void)map_remove(h, &e->m, i, i + 5, &end);
		}
		(void)map_remove(h, &e->m, 0, UINT32_MAX, &end);
		fake_stop(e->f);
		assert_int_equal(fake_refs(e->f), 0);
		env_free(e);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_small_runs_match_the_model),
		cmocka_unit_test(random_long_runs_match_the_model),
		cmocka_unit_test(a_fault_anywhere_leaves_a_whole_tree),
		cmocka_unit_test(a_full_device_leaves_a_whole_tree),
		cmocka_unit_test(blocks_of_1k_match_the_model),
		cmocka_unit_test(appends_fill_whole_leaves),
		cmocka_unit_test(appends_melt_into_one_extent),
		cmocka_unit_test(lengths_have_their_limits),
		cmocka_unit_test(the_last_file_block_works),
		cmocka_unit_test(conversion_without_space_changes_nothing),
		cmocka_unit_test(a_hole_is_not_converted),
		cmocka_unit_test(system_blocks_are_refused),
		cmocka_unit_test(bad_nodes_are_refused),
		cmocka_unit_test(bad_nodes_verified_elsewhere_do_no_harm),
		cmocka_unit_test(random_bytes_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
