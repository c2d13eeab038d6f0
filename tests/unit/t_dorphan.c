/* SPDX-License-Identifier: MIT */
/*
 * Orphan file blocks against the file that mke2fs makes, and against e2fsck
 * working off orphans that we entered.
 */
#include "e2img.h"

#include "base/err.h"
#include "disk/dorphan.h"

static uint32_t orphan_seed(struct e2img *img)
{
	inum_t inum = img->geo.orphan_file_inum;

	return dinode_csum_seed(
			&img->geo, inum, e2_dinode(img, inum).generation);
}

static void blocks_of_mke2fs_match(void **state)
{
	static const char *const args[] = {
		"-t ext4 -b 1024 -O metadata_csum,orphan_file",
		"-t ext4 -b 4096 -O metadata_csum_seed,64bit,orphan_file",
		"-t ext4 -b 4096 -O ^metadata_csum,orphan_file",
	};

	for (size_t i = 0; i < array_len(args); i++) {
		struct e2img img;
		struct dinode di;
		inum_t inum;
		uint8_t copy[4096];

		if (!e2_make(&img, args[i], "32M", NULL))
			skip();
		inum = img.geo.orphan_file_inum;
		assert_true(inum != 0);
		di = e2_dinode(&img, inum);
		assert_true(di.size >= img.geo.block_size);
		for (lblk_t l = 0; l < di.size >> img.geo.block_bits; l++) {
			pblk_t pblk = e2_bmap(&img, inum, l);
			uint8_t *b = e2_block(&img, pblk);
			const char *why = "";

			if (dorphan_check(&img.geo, b, &why) < 0)
				fail_msg("%s", why);
			assert_int_equal(dorphan_csum_verify(&img.geo,
							 orphan_seed(&img),
							 pblk, b),
					0);
			for (uint32_t s = 0; s < dorphan_slots(&img.geo); s++)
				assert_int_equal(dorphan_get(b, s), 0);
			dorphan_init(&img.geo, copy);
			dorphan_csum_set(&img.geo, orphan_seed(&img), pblk,
					copy);
			assert_memory_equal(copy, b, img.geo.block_size);
			dorphan_put(copy, 3, 12);
			if (geo_has_csum(&img.geo))
				assert_int_equal(
						dorphan_csum_verify(&img.geo,
								orphan_seed(&img),
								pblk, copy),
						-UEXT4_EBADCSUM);
		}
		e2_free(&img);
	}
}

/* An orphan that we enter is one that e2fsck clears. */
static void e2fsck_finds_our_orphan(void **state)
{
	struct e2img img;
	inum_t file;
	pblk_t pblk;
	uint8_t *b, *raw;
	struct dinode di;
	char out[8192];
	FILE *f;

	if (!e2_make(&img, "-t ext4 -b 1024 -O metadata_csum,orphan_file",
			    "16M", "write script f\nunlink f\n"))
		skip();
	/* debugfs unlink takes the name away and leaves the inode. */
	file = 13;
	while (file < 30 &&
			!dinode_is_reg(&(struct dinode){
					.mode = e2_dinode(&img, file).mode }))
		file++;
	di = e2_dinode(&img, file);
	di.links = 0;
	assert_int_equal(dinode_encode(&img.geo, &di, e2_inode(&img, file)), 0);
	dinode_csum_set(&img.geo, file, e2_inode(&img, file));

	pblk = e2_bmap(&img, img.geo.orphan_file_inum, 0);
	b = e2_block(&img, pblk);
	dorphan_put(b, 5, file);
	dorphan_csum_set(&img.geo, orphan_seed(&img), pblk, b);
	img.sb.feature_ro_compat |= FR_ORPHAN_PRESENT;
	raw = img.bytes + DSUPER_OFF;
	dsuper_encode(&img.sb, raw);
	dsuper_csum_set(raw);
	f = fopen(img.path, "r+b");
	assert_non_null(f);
	assert_int_equal(fwrite(img.bytes, 1, img.len, f), img.len);
	(void)fclose(f);
	e2_sh_out(out, sizeof(out), "e2fsck -fy '%s' 2>&1", img.path);
	if (!strstr(out, "Clearing orphaned inode"))
		fail_msg("e2fsck says\n%s", out);
	e2_sh_out(out, sizeof(out), "e2fsck -fn '%s' 2>&1; echo $?", img.path);
	assert_non_null(strstr(out, "\n0\n"));
	e2_free(&img);
}

static void impossible_orphans_are_refused(void **state)
{
	const struct geo geo = { .block_size = 1024,
		.block_bits = 10,
		.inodes = 100,
		.first_ino = 11 };
	uint8_t block[1024];
	const char *why = NULL;

	dorphan_init(&geo, block);
	assert_int_equal(dorphan_slots(&geo), 254);
	dorphan_put(block, 253, 100);
	assert_int_equal(dorphan_check(&geo, block, NULL), 0);
	dorphan_put(block, 253, 101);
	assert_int_equal(dorphan_check(&geo, block, &why), -UEXT4_ECORRUPT);
	assert_non_null(why);
	dorphan_put(block, 253, 8);
	assert_int_equal(dorphan_check(&geo, block, NULL), -UEXT4_ECORRUPT);
	dorphan_put(block, 253, 0);
	block[1016] ^= 1;
	assert_int_equal(dorphan_check(&geo, block, NULL), -UEXT4_ECORRUPT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocks_of_mke2fs_match),
		cmocka_unit_test(e2fsck_finds_our_orphan),
		cmocka_unit_test(impossible_orphans_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
