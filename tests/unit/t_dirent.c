/* SPDX-License-Identifier: MIT */
/*
 * Directory blocks: checksums of every linear directory that mke2fs makes,
 * changes against a plain model, hostile chains.
 */
#include "e2img.h"

#include "base/err.h"
#include "disk/dirent.h"

static uint32_t dir_seed(struct e2img *img, inum_t inum)
{
	return dinode_csum_seed(
			&img->geo, inum, e2_dinode(img, inum).generation);
}

static void linear_directories_of_mke2fs_match(void **state)
{
	for (size_t i = 0; i < E2_NPROFILES; i++) {
		struct e2img img;
		char args[256];
		unsigned found = 0;
		inum_t inum;

		if (!e2_is_there())
			skip();
		e2_dir(&img);
		assert_int_equal(
				e2_sh("mkdir -p '%s/src/d' && cd '%s/src/d' && "
				      "for i in $(seq 40); do "
				      ": > a-file-with-a-long-name-$i; done; "
				      "ln -s x y; mkfifo p",
						img.dir, img.dir),
				0);
		(void)snprintf(args, sizeof(args), "%s -d src", e2_profiles[i]);
		e2_mkfs(&img, args, "64M", NULL);
		inum = e2_lookup(&img, "d");
		for (lblk_t l = 0; l < e2_dinode(&img, inum).size >>
				img.geo.block_bits;
				l++) {
			uint8_t *b = e2_block(&img, e2_bmap(&img, inum, l));
			const char *why = "";
			struct ddirent de;

			if (dirent_block_check(&img.geo, b, &why) < 0)
				fail_msg("%s: %s", e2_profiles[i], why);
			assert_int_equal(dirent_csum_verify(&img.geo,
							 dir_seed(&img, inum),
							 b),
					0);
			for (uint32_t off = 0; off < dirent_end(&img.geo);
					off += de.rec_len) {
				assert_int_equal(dirent_at(&img.geo, b, off,
								 &de, NULL),
						0);
				if (de.name_len > 20)
					found++;
				if (de.inum == 0 ||
						!geo_has_incompat(&img.geo,
								FI_FILETYPE))
					continue;
				assert_int_equal(de.ftype,
						dirent_type_of_mode(
								e2_dinode(&img, de.inum)
										.mode));
			}
			if (geo_has_csum(&img.geo)) {
				uint8_t copy[65536];

				memcpy(copy, b, img.geo.block_size);
				copy[8] ^= 1;
				assert_int_equal(
						dirent_csum_verify(&img.geo,
								dir_seed(&img, inum),
								copy),
						-UEXT4_EBADCSUM);
				copy[8] ^= 1;
				dirent_csum_set(&img.geo, dir_seed(&img, inum),
						copy);
				assert_memory_equal(
						copy, b, img.geo.block_size);
			}
		}
		assert_int_equal(found, 40);
		e2_free(&img);
	}
}

/* ---- changes, against a list of names ---- */

#define NAMES 200

static struct geo small_geo(uint32_t block_size, bool csum)
{
	struct geo geo = {
		.block_size = block_size,
		.inodes = 1000000,
		.incompat = FI_FILETYPE,
		.ro_compat = csum ? FR_METADATA_CSUM : 0,
	};

	while (1u << geo.block_bits < block_size)
		geo.block_bits++;
	return geo;
}

static unsigned count_names(const struct geo *geo, const uint8_t *block)
{
	struct ddirent de;
	unsigned n = 0;

	for (uint32_t off = 0; off < dirent_end(geo); off += de.rec_len) {
		assert_int_equal(dirent_at(geo, block, off, &de, NULL), 0);
		n += de.inum != 0;
	}
	return n;
}

static void change_at_random(uint32_t block_size, bool csum)
{
	const struct geo geo = small_geo(block_size, csum);
	static uint8_t block[65536];
	bool in[NAMES] = { false };
	unsigned n = 0, full = 0;

	dirent_block_init(&geo, block);
	assert_int_equal(count_names(&geo, block), 0);
	for (int round = 0; round < 4000; round++) {
		unsigned i = (unsigned)random() % NAMES;
		char name[256];
		uint32_t len;
		struct ddirent de;
		int ret;

		len = (uint32_t)snprintf(name, sizeof(name), "%0*u",
				(int)(i % 50 + 3), i);
		ret = dirent_find(&geo, block, name, len, &de, NULL);
		assert_int_equal(ret, in[i] ? 0 : -ENOENT);
		if (in[i]) {
			assert_int_equal(de.inum, i + 11);
			assert_int_equal(dirent_remove(&geo, block, de.off), 0);
			in[i] = false;
			n--;
			continue;
		}
		if (!dirent_has_room(&geo, block, len)) {
			assert_int_equal(dirent_insert(&geo, block, i + 11,
							 DIRENT_FT_REG, name,
							 len),
					-ENOSPC);
			full++;
			continue;
		}
		assert_int_equal(dirent_insert(&geo, block, i + 11,
						 DIRENT_FT_REG, name, len),
				0);
		in[i] = true;
		n++;
		assert_int_equal(count_names(&geo, block), n);
		assert_int_equal(dirent_block_check(&geo, block, NULL), 0);
	}
	assert_true(full > 0 || block_size > 4096);
}

static void changes_keep_the_chain_whole(void **state)
{
	srandom(5);
	change_at_random(1024, false);
	change_at_random(1024, true);
	change_at_random(4096, true);
	change_at_random(65536, true);
}

static void new_directories_hold_two_dots(void **state)
{
	const struct geo geo = small_geo(1024, true);
	uint8_t block[1024];
	struct ddirent de;
	bool empty = false;

	dirent_block_init_dots(&geo, block, 12, 2);
	assert_int_equal(dirent_find(&geo, block, ".", 1, &de, NULL), 0);
	assert_int_equal(de.inum, 12);
	assert_int_equal(dirent_find(&geo, block, "..", 2, &de, NULL), 0);
	assert_int_equal(de.inum, 2);
	assert_int_equal(de.off + de.rec_len, 1012);
	assert_int_equal(dirent_block_is_empty(&geo, block, &empty, NULL), 0);
	assert_true(empty);
	dirent_set_inum(&geo, block, de.off, 77, DIRENT_FT_DIR);
	assert_int_equal(dirent_find(&geo, block, "..", 2, &de, NULL), 0);
	assert_int_equal(de.inum, 77);
	assert_int_equal(dirent_insert(&geo, block, 13, DIRENT_FT_REG, "f", 1),
			0);
	assert_int_equal(dirent_block_is_empty(&geo, block, &empty, NULL), 0);
	assert_false(empty);
}

static void lengths_of_large_blocks_are_packed(void **state)
{
	const struct geo geo = small_geo(65536, false);

	for (uint32_t len = 12; len <= 65536; len += 4)
		assert_int_equal(dirent_rec_len_decode(&geo,
						 dirent_rec_len_encode(
								 &geo, len)),
				len);
	assert_int_equal(dirent_rec_len_encode(&geo, 65536), 65535);
}

/* ---- hostile ---- */

static void impossible_entries_are_refused(void **state)
{
	static const struct {
		const char *what;
		uint32_t off;
		uint32_t size;
		uint32_t value;
	} table[] = {
		{ "inode", 0, 4, 1000001 },
		{ "inode", 0, 4, 0xffffffff },
		{ "length 0", 4, 2, 0 },
		{ "length 8", 4, 2, 8 },
		{ "length odd", 4, 2, 14 },
		{ "length", 4, 2, 1020 },
		{ "length", 4, 2, 2048 },
		{ "length", 4, 2, 0xfffc },
		{ "tail room", 4, 2, 1004 },
		{ "name", 6, 1, 255 },
	};
	const struct geo geo = small_geo(1024, true);

	for (size_t i = 0; i < array_len(table); i++) {
		uint8_t block[1024];
		const char *why = NULL;
		struct ddirent de;

		dirent_block_init_dots(&geo, block, 12, 2);
		for (uint32_t j = 0; j < table[i].size; j++)
			block[table[i].off + j] =
					(uint8_t)(table[i].value >> (8 * j));
		if (dirent_block_check(&geo, block, &why) != -UEXT4_ECORRUPT ||
				!why)
			fail_msg("%s %u passed", table[i].what, table[i].value);
		assert_int_equal(dirent_find(&geo, block, "nope", 4, &de, NULL),
				-UEXT4_ECORRUPT);
	}
}

static void impossible_names_are_refused(void **state)
{
	const struct geo geo = small_geo(1024, true);
	uint8_t block[1024];

	dirent_block_init(&geo, block);
	assert_int_equal(dirent_insert(&geo, block, 12, 1, "a/b", 3), 0);
	assert_int_equal(
			dirent_block_check(&geo, block, NULL), -UEXT4_ECORRUPT);
	dirent_block_init(&geo, block);
	assert_int_equal(dirent_insert(&geo, block, 12, 1, "a\0b", 3), 0);
	assert_int_equal(
			dirent_block_check(&geo, block, NULL), -UEXT4_ECORRUPT);
	assert_false(dirent_name_ok("", 0));
	assert_true(dirent_name_ok("..", 2));
}

static void insertion_into_an_htree_node_is_refused(void **state)
{
	const struct geo geo = small_geo(1024, true);
	uint8_t block[1024] = { 0 };

	put_le16(block + 4, 1024);
	assert_int_equal(dirent_insert(&geo, block, 12, 1, "x", 1),
			-UEXT4_ECORRUPT);
}

/* Damaged blocks end every walk and change, inside the block (with ASan). */
static void random_damage_is_harmless(void **state)
{
	unsigned bad = 0;

	srandom(6);
	for (int round = 0; round < 20000; round++) {
		const struct geo geo =
				small_geo(round & 1 ? 1024 : 2048, round & 2);
		uint8_t *block = (uint8_t *)malloc(geo.block_size);
		struct ddirent de;
		bool empty;

		assert_non_null(block);
		dirent_block_init_dots(&geo, block, 12, 2);
		for (unsigned i = 0; i < 20; i++) {
			char name[32];
			int len = snprintf(name, sizeof(name), "name-%u", i);

			assert_int_equal(dirent_insert(&geo, block, 20 + i, 1,
							 name, (uint32_t)len),
					0);
		}
		for (int n = 0; n < 1 + round % 8; n++)
			block[(unsigned)random() % 512] = (uint8_t)random();
		bad += dirent_block_check(&geo, block, NULL) < 0;
		bad += dirent_find(&geo, block, "name-19", 7, &de, NULL) < 0;
		bad += dirent_block_is_empty(&geo, block, &empty, NULL) < 0;
		bad += dirent_remove(&geo, block,
				       (uint32_t)random() % geo.block_size) < 0;
		bad += dirent_insert(&geo, block, 99, 1, "new", 3) < 0;
		free(block);
	}
	assert_true(bad > 20000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(linear_directories_of_mke2fs_match),
		cmocka_unit_test(changes_keep_the_chain_whole),
		cmocka_unit_test(new_directories_hold_two_dots),
		cmocka_unit_test(lengths_of_large_blocks_are_packed),
		cmocka_unit_test(impossible_entries_are_refused),
		cmocka_unit_test(impossible_names_are_refused),
		cmocka_unit_test(insertion_into_an_htree_node_is_refused),
		cmocka_unit_test(random_damage_is_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
