/* SPDX-License-Identifier: MIT */
/*
 * htree nodes against directories that e2fsck -D has hashed: checksums,
 * order, and that every name lies where its hash says, for each hash and both
 * signednesses. Then nodes of our own, and hostile ones.
 */
#include "e2img.h"

#include "base/err.h"
#include "disk/dhash.h"
#include "disk/dhtree.h"
#include "disk/dirent.h"

struct walk {
	struct e2img *img;
	inum_t dir;
	uint32_t seed;
	lblk_t blocks;
	uint8_t version;
	unsigned names;
	unsigned leaves;
};

static uint8_t *dir_block(struct walk *w, lblk_t lblk)
{
	return e2_block(w->img, e2_bmap(w->img, w->dir, lblk));
}

/* All names of a leaf have hashes from @lo (bit 0 cleared) up to @hi. */
static void walk_leaf(struct walk *w, lblk_t lblk, uint32_t lo, uint64_t hi)
{
	const struct geo *geo = &w->img->geo;
	uint8_t *b = dir_block(w, lblk);
	struct ddirent de;

	assert_int_equal(dirent_csum_verify(geo, w->seed, b), 0);
	w->leaves++;
	for (uint32_t off = 0; off < dirent_end(geo); off += de.rec_len) {
		struct dhash h;

		assert_int_equal(dirent_at(geo, b, off, &de, NULL), 0);
		if (de.inum == 0)
			continue;
		w->names++;
		assert_int_equal(dhash_dir(geo, w->version, de.name,
						 de.name_len, &h),
				0);
		if (h.major < (lo & ~1u) || h.major > hi)
			fail_msg("%.*s: %x is not in %x..%llx", de.name_len,
					de.name, h.major, lo,
					(unsigned long long)hi);
	}
}

static void walk_node(struct walk *w, const uint8_t *b, uint32_t off,
		unsigned levels, uint32_t lo, uint64_t hi)
{
	const struct geo *geo = &w->img->geo;
	unsigned count = dx_count(b, off);

	assert_int_equal(dx_csum_verify(geo, w->seed, b, off), 0);
	for (unsigned i = 0; i < count; i++) {
		struct dx_entry e, next;
		uint32_t from;
		uint64_t to = hi;

		dx_entry_decode(b, off, i, &e);
		from = i == 0 ? lo : e.hash;
		if (i + 1 < count) {
			dx_entry_decode(b, off, i + 1, &next);
			to = next.hash;
			assert_int_equal(dx_search(b, off, e.hash), i);
		}
		if (levels > 0) {
			const char *why = "";
			uint8_t *child = dir_block(w, e.block);

			if (dx_node_check(geo, child, w->blocks, &why) < 0)
				fail_msg("node %u: %s", e.block, why);
			walk_node(w, child, DX_NODE_OFF, levels - 1, from, to);
		} else {
			walk_leaf(w, e.block, from, to);
		}
	}
}

/* Long names with a byte above ASCII: few make many leaves. */
static void make_names(const struct e2img *img, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		char path[400];
		int fd;

		(void)snprintf(path, sizeof(path),
				"%s/src/d/n\xc3\xa9-%u-%0160u", img->dir, i,
				0u);
		fd = open(path, O_CREAT | O_WRONLY, 0644);
		assert_true(fd >= 0);
		(void)close(fd);
	}
}

/* Hash directory "d" of @nnames names with e2fsck -D and walk it. */
static void walk_hashed(const char *mkfs, unsigned nnames, const char *script,
		unsigned want_levels)
{
	struct dx_root_info info;
	struct walk w = { 0 };
	struct e2img img;
	const char *why = "";
	char args[256];
	uint8_t copy[4096];
	uint8_t *root;

	e2_dir(&img);
	assert_int_equal(e2_sh("mkdir -p '%s/src/d'", img.dir), 0);
	make_names(&img, nnames);
	(void)snprintf(args, sizeof(args), "%s -N %u -d src", mkfs,
			nnames + 100);
	e2_mkfs(&img, args, "48M", script);
	(void)e2_sh("cd '%s' && e2fsck -fyD img >log 2>&1", img.dir);
	e2_load(&img);

	w.img = &img;
	w.dir = e2_lookup(&img, "d");
	w.seed = dinode_csum_seed(
			&img.geo, w.dir, e2_dinode(&img, w.dir).generation);
	w.blocks = (lblk_t)(e2_dinode(&img, w.dir).size >> img.geo.block_bits);
	assert_true(e2_dinode(&img, w.dir).flags & DINODE_F_INDEX);
	root = dir_block(&w, 0);
	if (dx_root_check(&img.geo, root, w.blocks, &why) < 0)
		fail_msg("root: %s", why);
	dx_root_info_decode(root, &info);
	assert_int_equal(info.indirect_levels, want_levels);
	w.version = info.hash_version;
	walk_node(&w, root, DX_ROOT_OFF, info.indirect_levels, 0, UINT32_MAX);
	assert_int_equal(w.names, nnames);
	assert_true(w.leaves > 1);

	memcpy(copy, root, img.geo.block_size);
	copy[0x28] ^= 1;
	if (geo_has_csum(&img.geo))
		assert_int_equal(dx_csum_verify(&img.geo, w.seed, copy,
						 DX_ROOT_OFF),
				-UEXT4_EBADCSUM);
	copy[0x28] ^= 1;
	dx_csum_set(&img.geo, w.seed, copy, DX_ROOT_OFF);
	assert_memory_equal(copy, root, img.geo.block_size);

	/* A linear reader sees the two dots and no more in the root. */
	assert_int_equal(dirent_block_check(&img.geo, root, NULL), 0);
	e2_free(&img);
}

static void hashed_directories_of_e2fsck_match(void **state)
{
	if (!e2_is_there())
		skip();
	walk_hashed("-t ext4 -b 1024 -O metadata_csum,64bit", 60, NULL, 0);
	walk_hashed("-t ext4 -b 4096 -O ^metadata_csum", 150, NULL, 0);
	walk_hashed("-t ext4 -b 1024 -O metadata_csum_seed", 60,
			"ssv def_hash_version tea\n", 0);
	walk_hashed("-t ext4 -b 1024 -O metadata_csum", 60,
			"ssv def_hash_version legacy\n", 0);
}

static void unsigned_hashes_match(void **state)
{
	if (!e2_is_there())
		skip();
	walk_hashed("-t ext4 -b 1024 -O metadata_csum", 60, "ssv flags 2\n", 0);
	walk_hashed("-t ext4 -b 1024 -O metadata_csum", 60,
			"ssv flags 2\nssv def_hash_version tea\n", 0);
	walk_hashed("-t ext4 -b 1024 -O metadata_csum", 60,
			"ssv flags 2\nssv def_hash_version legacy\n", 0);
}

static void two_levels_match(void **state)
{
	if (!e2_is_there())
		skip();
	walk_hashed("-t ext4 -b 1024 -O metadata_csum", 900, NULL, 1);
	walk_hashed("-t ext4 -b 1024 -O ^metadata_csum", 900, NULL, 1);
}

/* ---- our own nodes ---- */

static struct geo small_geo(bool csum)
{
	struct geo geo = {
		.block_size = 1024,
		.block_bits = 10,
		.inodes = 1000,
		.incompat = FI_FILETYPE,
		.ro_compat = csum ? FR_METADATA_CSUM : 0,
	};

	return geo;
}

static void entries_are_kept_in_order(void **state)
{
	for (int csum = 0; csum < 2; csum++) {
		const struct geo geo = small_geo(csum);
		uint8_t block[1024];
		unsigned n = 1;

		srandom(7);
		dx_root_init(&geo, block, 12, 2, DHASH_HALF_MD4, 1);
		while (n < dx_limit_max(&geo, true)) {
			struct dx_entry e = {
				.hash = (uint32_t)random() & ~1u,
				.block = n + 1,
			};

			dx_entry_insert(block, DX_ROOT_OFF,
					dx_search(block, DX_ROOT_OFF, e.hash) +
							1,
					&e);
			n++;
			assert_int_equal(dx_count(block, DX_ROOT_OFF), n);
			assert_int_equal(dx_root_check(&geo, block, 1000, NULL),
					0);
		}
		dx_csum_set(&geo, 5, block, DX_ROOT_OFF);
		assert_int_equal(
				dx_csum_verify(&geo, 5, block, DX_ROOT_OFF), 0);
		if (csum)
			assert_int_equal(dx_csum_verify(&geo, 6, block,
							 DX_ROOT_OFF),
					-UEXT4_EBADCSUM);
		dx_node_init(&geo, block);
		assert_true(dx_is_node(&geo, block));
		assert_int_equal(dx_limit(block, DX_NODE_OFF),
				dx_limit_max(&geo, false));
	}
}

static void impossible_roots_are_refused(void **state)
{
	static const struct {
		uint32_t off;
		uint32_t size;
		uint32_t value;
		int want;
	} table[] = {
		{ 4, 2, 16, -UEXT4_ECORRUPT },     /* "." too long */
		{ 8, 1, 'x', -UEXT4_ECORRUPT },    /* not "." */
		{ 0x10, 2, 500, -UEXT4_ECORRUPT }, /* ".." too short */
		{ 0x14, 1, 'x', -UEXT4_ECORRUPT }, /* not ".." */
		{ 0x18, 4, 1, -UEXT4_ECORRUPT },   /* reserved */
		{ 0x1D, 1, 7, -UEXT4_ECORRUPT },   /* info length */
		{ 0x1C, 1, 6, -EOPNOTSUPP },       /* hash */
		{ 0x1E, 1, 2, -EOPNOTSUPP },       /* levels */
		{ 0x1F, 1, 1, -EOPNOTSUPP },       /* flags */
		{ 0x20, 2, 0, -UEXT4_ECORRUPT },   /* limit */
		{ 0x20, 2, 500, -UEXT4_ECORRUPT }, /* limit */
		{ 0x22, 2, 0, -UEXT4_ECORRUPT },   /* count */
		{ 0x22, 2, 0xffff, -UEXT4_ECORRUPT },
		{ 0x24, 4, 0, -UEXT4_ECORRUPT },  /* block 0 */
		{ 0x24, 4, 10, -UEXT4_ECORRUPT }, /* past the end */
		{ 0x30, 4, 1, -UEXT4_ECORRUPT },  /* order */
	};
	const struct geo geo = small_geo(true);

	for (size_t i = 0; i < array_len(table); i++) {
		struct dx_entry e1 = { .hash = 100, .block = 2 };
		struct dx_entry e2 = { .hash = 200, .block = 3 };
		uint8_t block[1024];
		const char *why = NULL;
		int ret;

		dx_root_init(&geo, block, 12, 2, DHASH_HALF_MD4, 1);
		dx_entry_insert(block, DX_ROOT_OFF, 1, &e1);
		dx_entry_insert(block, DX_ROOT_OFF, 2, &e2);
		assert_int_equal(dx_root_check(&geo, block, 10, NULL), 0);
		for (uint32_t j = 0; j < table[i].size; j++)
			block[table[i].off + j] =
					(uint8_t)(table[i].value >> (8 * j));
		ret = dx_root_check(&geo, block, 10, &why);
		if (ret != table[i].want || !why)
			fail_msg("byte %#x: %d", table[i].off, ret);
	}
}

static void random_nodes_are_harmless(void **state)
{
	unsigned bad = 0;

	srandom(8);
	for (int round = 0; round < 20000; round++) {
		const struct geo geo = small_geo(round & 1);
		uint8_t *block = (uint8_t *)malloc(1024);

		assert_non_null(block);
		dx_root_init(&geo, block, 12, 2, DHASH_TEA, 1);
		for (int n = 0; n < 1 + round % 6; n++)
			block[(unsigned)random() % 64] = (uint8_t)random();
		bad += dx_root_check(&geo, block, 100, NULL) < 0;
		bad += dx_csum_verify(&geo, 1, block, DX_ROOT_OFF) < 0;
		bad += dx_node_check(&geo, block, 100, NULL) < 0;
		bad += dx_csum_verify(&geo, 1, block, DX_NODE_OFF) < 0;
		dx_csum_set(&geo, 1, block, DX_NODE_OFF);
		free(block);
	}
	assert_true(bad > 20000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hashed_directories_of_e2fsck_match),
		cmocka_unit_test(unsigned_hashes_match),
		cmocka_unit_test(two_levels_match),
		cmocka_unit_test(entries_are_kept_in_order),
		cmocka_unit_test(impossible_roots_are_refused),
		cmocka_unit_test(random_nodes_are_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
