/* SPDX-License-Identifier: MIT */
/*
 * Extent nodes against trees that mke2fs and debugfs make, and hostile ones.
 */
#include "e2img.h"

#include "base/err.h"

struct tree {
	struct e2img *img;
	uint32_t seed;
	unsigned blocks;
	unsigned extents;
	unsigned unwritten;
	uint64_t mapped;
};

static void walk_tree(struct tree *t, const uint8_t *node, uint32_t size,
		const struct dext_bounds *bounds)
{
	const struct geo *geo = &t->img->geo;
	const char *why = "";
	unsigned n, depth;
	uint8_t copy[4096];

	if (dext_check(geo, node, size, bounds, &why) < 0)
		fail_msg("node: %s", why);
	n = dext_entries(node);
	depth = dext_depth(node);
	if (size != DEXT_ROOT_SIZE) {
		t->blocks++;
		assert_int_equal(dext_csum_verify(geo, t->seed, node), 0);
		memcpy(copy, node, size);
		copy[20] ^= 1;
		if (geo_has_csum(geo))
			assert_int_equal(dext_csum_verify(geo, t->seed, copy),
					-UEXT4_EBADCSUM);
		copy[20] ^= 1;
		dext_csum_set(geo, t->seed, copy);
		assert_memory_equal(copy, node, size);
	}
	memcpy(copy, node, size);
	for (unsigned i = 0; i < n; i++) {
		struct dext_bounds inner = { .depth = (int)depth - 1,
			.hi = bounds->hi };
		struct dext_leaf leaf;
		struct dext_idx idx;

		if (depth == 0) {
			dext_leaf_decode(node, i, &leaf);
			dext_leaf_encode(copy, i, &leaf);
			assert_int_equal(dext_search(node, leaf.lblk), i);
			assert_int_equal(dext_search(node,
							 leaf.lblk + leaf.len -
									 1),
					i);
			t->extents++;
			t->unwritten += leaf.unwritten;
			t->mapped += leaf.len;
			continue;
		}
		dext_idx_decode(node, i, &idx);
		dext_idx_encode(copy, i, &idx);
		inner.lo = idx.lblk;
		if (i + 1 < n) {
			dext_idx_decode(node, i + 1, &idx);
			inner.hi = idx.lblk;
			dext_idx_decode(node, i, &idx);
		}
		walk_tree(t, e2_block(t->img, idx.pblk), geo->block_size,
				&inner);
	}
	assert_memory_equal(copy, node, size);
}

static struct tree tree_of(struct e2img *img, const char *path)
{
	static const struct dext_bounds all = { .depth = DEXT_ANY_DEPTH,
		.hi = DEXT_LBLK_END };
	inum_t inum = e2_lookup(img, path);
	struct dinode di = e2_dinode(img, inum);
	struct tree t = {
		.img = img,
		.seed = dinode_csum_seed(&img->geo, inum, di.generation),
	};

	assert_true(di.flags & DINODE_F_EXTENTS);
	walk_tree(&t, di.iblock, DEXT_ROOT_SIZE, &all);
	assert_int_equal((t.mapped + t.blocks) << (img->geo.block_bits - 9),
			di.sectors);
	return t;
}

/* A file of @n blocks with a hole behind each. */
static void sparse_file(const struct e2img *img, const char *name, unsigned n,
		uint32_t block_size)
{
	char path[128];
	uint8_t *data = (uint8_t *)calloc(1, block_size);
	int fd;

	assert_non_null(data);
	(void)snprintf(path, sizeof(path), "%s/src/%s", img->dir, name);
	fd = open(path, O_CREAT | O_WRONLY, 0644);
	assert_true(fd >= 0);
	for (unsigned i = 0; i < n; i++) {
		memset(data, (int)(i % 255) + 1, block_size);
		assert_int_equal(pwrite(fd, data, block_size, (off_t)i * 8192),
				block_size);
	}
	(void)close(fd);
	free(data);
}

static void trees_of_mke2fs_match(void **state)
{
	static const struct {
		const char *args;
		uint32_t block_size;
	} profiles[] = {
		{ "-t ext4 -b 1024 -O metadata_csum,64bit", 1024 },
		{ "-t ext4 -b 1024 -O ^metadata_csum", 1024 },
		{ "-t ext4 -b 4096 -O metadata_csum,metadata_csum_seed", 4096 },
	};

	for (size_t i = 0; i < array_len(profiles); i++) {
		struct e2img img;
		struct tree t;
		char args[256];

		if (!e2_is_there())
			skip();
		e2_dir(&img);
		assert_int_equal(e2_sh("mkdir '%s/src'", img.dir), 0);
		sparse_file(&img, "few", 3, profiles[i].block_size);
		sparse_file(&img, "many", 1500, profiles[i].block_size);
		(void)snprintf(args, sizeof(args), "%s -d src",
				profiles[i].args);
		e2_mkfs(&img, args, "48M",
				"write script pre\n"
				"fallocate pre 10 999\n");
		t = tree_of(&img, "few");
		assert_int_equal(t.extents, 3);
		t = tree_of(&img, "many");
		assert_int_equal(t.extents, 1500);
		assert_true(t.blocks >= 5);
		t = tree_of(&img, "pre");
		assert_true(t.unwritten > 0);
		assert_true(t.mapped >= 990);
		e2_free(&img);
	}
}

/* ---- hostile ---- */

static const struct geo test_geo = {
	.block_size = 1024,
	.block_bits = 10,
	.first_data_block = 1,
	.blocks = 100000,
	.ro_compat = FR_METADATA_CSUM,
};

static void make_leaf(uint8_t *node, uint32_t size)
{
	struct dext_leaf a = { .lblk = 10, .len = 5, .pblk = 100 };
	struct dext_leaf b = {
		.lblk = 15, .len = 7, .pblk = 200, .unwritten = true
	};
	struct dext_leaf c = { .lblk = 40, .len = 1, .pblk = 300 };

	dext_init(&test_geo, node, size, 0);
	dext_leaf_encode(node, 0, &a);
	dext_leaf_encode(node, 1, &b);
	dext_leaf_encode(node, 2, &c);
	dext_set_entries(node, 3);
}

static void impossible_leaves_are_refused(void **state)
{
	static const struct {
		const char *what;
		uint32_t off;
		uint32_t size;
		uint32_t value;
	} table[] = {
		{ "magic", 0, 2, 0xF30B },
		{ "entries", 2, 2, 5 },
		{ "entries", 2, 2, 0xffff },
		{ "max 0", 4, 2, 0 },
		{ "max", 4, 2, 5 },
		{ "depth", 6, 2, 6 },
		{ "before its bounds", 12, 4, 4 },
		{ "overlap", 12, 4, 11 },
		{ "length 0", 16, 2, 0 },
		{ "overlap", 16, 2, 6 },
		{ "overlap", 28, 2, 32768 + 26 },
		{ "order", 36, 4, 21 },
		{ "past its bounds", 36, 4, 100 },
		{ "past its bounds", 40, 2, 61 },
		{ "past 2^32", 36, 4, 0xffffffff },
		{ "block 0", 20, 4, 0 },
		{ "block 1", 20, 4, 1 },
		{ "off the end", 20, 4, 99996 },
		{ "off the end", 18, 2, 1 },
		{ "far off", 18, 2, 0xffff },
	};
	const struct dext_bounds bounds = {
		.depth = DEXT_ANY_DEPTH, .lo = 5, .hi = 100
	};

	for (size_t i = 0; i < array_len(table); i++) {
		uint8_t node[DEXT_ROOT_SIZE];
		const char *why = NULL;

		make_leaf(node, sizeof(node));
		assert_int_equal(dext_check(&test_geo, node, sizeof(node),
						 &bounds, NULL),
				0);
		for (uint32_t j = 0; j < table[i].size; j++)
			node[table[i].off + j] =
					(uint8_t)(table[i].value >> (8 * j));
		if (dext_check(&test_geo, node, sizeof(node), &bounds, &why) !=
						-UEXT4_ECORRUPT ||
				!why)
			fail_msg("%s, byte %u, passed", table[i].what,
					table[i].off);
	}
}

static void impossible_indexes_are_refused(void **state)
{
	static const struct {
		const char *what;
		uint32_t off;
		uint32_t size;
		uint32_t value;
	} table[] = {
		{ "empty", 2, 2, 0 },
		{ "depth", 6, 2, 2 },
		{ "depth", 6, 2, 0 },
		{ "before its bounds", 12, 4, 4 },
		{ "equal", 24, 4, 10 },
		{ "order", 24, 4, 9 },
		{ "past its bounds", 24, 4, 100 },
		{ "block 0", 16, 4, 0 },
		{ "off the end", 16, 4, 100000 },
		{ "far off", 20, 2, 1 },
	};
	const struct dext_bounds bounds = { .depth = 1, .lo = 5, .hi = 100 };

	for (size_t i = 0; i < array_len(table); i++) {
		struct dext_idx a = { .lblk = 10, .pblk = 100 };
		struct dext_idx b = { .lblk = 50, .pblk = 101 };
		uint8_t node[1024];
		const char *why = NULL;

		dext_init(&test_geo, node, sizeof(node), 1);
		dext_idx_encode(node, 0, &a);
		dext_idx_encode(node, 1, &b);
		dext_set_entries(node, 2);
		assert_int_equal(dext_check(&test_geo, node, sizeof(node),
						 &bounds, NULL),
				0);
		for (uint32_t j = 0; j < table[i].size; j++)
			node[table[i].off + j] =
					(uint8_t)(table[i].value >> (8 * j));
		if (dext_check(&test_geo, node, sizeof(node), &bounds, &why) !=
						-UEXT4_ECORRUPT ||
				!why)
			fail_msg("%s, byte %u, passed", table[i].what,
					table[i].off);
	}
}

static void lengths_reach_their_limits(void **state)
{
	struct dext_leaf a = { .lblk = 0, .len = DEXT_LEN_MAX, .pblk = 100 };
	uint8_t node[DEXT_ROOT_SIZE];
	struct dext_leaf b;

	dext_init(&test_geo, node, sizeof(node), 0);
	dext_leaf_encode(node, 0, &a);
	dext_leaf_decode(node, 0, &b);
	assert_int_equal(b.len, 32768);
	assert_false(b.unwritten);
	a.unwritten = true;
	a.len = DEXT_LEN_UNWRITTEN;
	dext_leaf_encode(node, 0, &a);
	dext_leaf_decode(node, 0, &b);
	assert_int_equal(b.len, 32767);
	assert_true(b.unwritten);
	assert_int_equal(dext_max_entries(&test_geo, 60), 4);
	assert_int_equal(dext_max_entries(&test_geo, 1024), 84);
	assert_int_equal(dext_max_entries(&test_geo, 4096), 340);
}

static void search_finds_the_last_below(void **state)
{
	uint8_t node[DEXT_ROOT_SIZE];

	make_leaf(node, sizeof(node));
	assert_int_equal(dext_search(node, 9), -1);
	assert_int_equal(dext_search(node, 10), 0);
	assert_int_equal(dext_search(node, 15), 1);
	assert_int_equal(dext_search(node, 39), 1);
	assert_int_equal(dext_search(node, 0xffffffff), 2);
	dext_set_entries(node, 0);
	assert_int_equal(dext_search(node, 10), -1);
}

static void random_nodes_are_harmless(void **state)
{
	const struct dext_bounds all = { .depth = DEXT_ANY_DEPTH,
		.hi = DEXT_LBLK_END };
	unsigned bad = 0;

	srandom(9);
	for (int round = 0; round < 50000; round++) {
		uint32_t size = round & 1 ? 1024 : DEXT_ROOT_SIZE;
		uint8_t *node = (uint8_t *)malloc(size);

		assert_non_null(node);
		make_leaf(node, size);
		for (int n = 0; n < 1 + round % 4; n++)
			node[random() % 48] = (uint8_t)random();
		if (dext_check(&test_geo, node, size, &all, NULL) < 0)
			bad++;
		else
			assert_true(dext_search(node, (lblk_t)random()) <
					(int)dext_entries(node));
		if (size == 1024) {
			bad += dext_csum_verify(&test_geo, 1, node) < 0;
			dext_csum_set(&test_geo, 1, node);
		}
		free(node);
	}
	assert_true(bad > 30000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(trees_of_mke2fs_match),
		cmocka_unit_test(impossible_leaves_are_refused),
		cmocka_unit_test(impossible_indexes_are_refused),
		cmocka_unit_test(lengths_reach_their_limits),
		cmocka_unit_test(search_finds_the_last_below),
		cmocka_unit_test(random_nodes_are_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
