/* SPDX-License-Identifier: MIT */
/*
 * Geometry and group descriptors against what mke2fs lays out: places of
 * copies by dumpe2fs, checksums of descriptors and bitmaps, the bitmaps of
 * groups that were never written, hostile descriptors.
 */
#include "e2img.h"

#include "base/bits.h"
#include "base/err.h"

/* "  Group 3: (Blocks 24577-32768)": the group, or -1. */
static long group_line(const char *line)
{
	if (strncmp(line, "Group ", 6) != 0 || line[6] < '0' || line[6] > '9')
		return -1;
	return strtol(line + 6, NULL, 10);
}

/* dumpe2fs names the superblock and descriptor blocks of each group. */
static void compare_copies(struct e2img *img, const char *dump)
{
	const struct geo *geo = &img->geo;
	long grp = -1;
	grp_t seen = 0;

	for (const char *line = dump; line && *line; line = strchr(line, '\n'),
			line = line ? line + 1 : NULL) {
		unsigned long long a, b, lo, hi;
		char kind[16];

		if (group_line(line) >= 0) {
			grp = group_line(line);
			seen++;
			assert_int_equal(sscanf(line,
							 "Group %*d: (Blocks "
							 "%llu-%llu)",
							 &lo, &hi),
					2);
			assert_int_equal(lo,
					geo_grp_first_block(geo, (grp_t)grp));
			assert_int_equal(hi - lo + 1,
					geo_grp_blocks(geo, (grp_t)grp));
			continue;
		}
		if (sscanf(line, "  %15s superblock at %llu", kind, &a) == 2) {
			assert_true(geo_grp_has_super(geo, (grp_t)grp));
			if (sscanf(strchr(line, ','),
					    ", Group descriptors at %llu-%llu",
					    &lo, &hi) != 2)
				continue;
			b = a - geo_grp_first_block(geo, (grp_t)grp);
			assert_true(b <= 1);
			assert_int_equal(hi - lo + 1,
					geo_grp_gdt_blocks(geo, (grp_t)grp));
			if (grp == 0)
				assert_int_equal(lo, geo_gdt_block(geo, 0));
			else
				assert_int_equal(lo,
						geo_gdt_backup_block(geo,
								(grp_t)grp, 0));
		}
	}
	assert_int_equal(seen, geo->groups);
}

static void layout_is_that_of_dumpe2fs(void **state)
{
	static const char *const args[] = {
		"-t ext4 -b 1024 -g 1024 -O metadata_csum",
		"-t ext4 -b 1024 -g 1024 -O ^sparse_super,^resize_inode",
		"-t ext4 -b 1024 -g 1024 -O sparse_super2,^resize_inode",
		"-t ext4 -b 4096 -g 1024 -O ^flex_bg",
		"-t ext2 -b 2048 -g 2048",
	};
	static char dump[1 << 20];

	for (size_t i = 0; i < array_len(args); i++) {
		struct e2img img;
		uint64_t supers = 0, free_blocks = 0;

		if (!e2_make(&img, args[i], "130M", NULL))
			skip();
		e2_sh_out(dump, sizeof(dump), "dumpe2fs '%s' 2>/dev/null",
				img.path);
		compare_copies(&img, dump);
		for (grp_t g = 0; g < img.geo.groups; g++) {
			supers += geo_grp_has_super(&img.geo, g);
			free_blocks += e2_group(&img, g).free_clusters;
		}
		for (const char *p = dump; (p = strstr(p, " superblock at"));
				p++)
			supers--;
		assert_int_equal(supers, 0);
		assert_int_equal(free_blocks, img.sb.free_blocks_count);
		e2_free(&img);
	}
}

/* meta_bg: the copies of a descriptor block are in its own meta group. */
static void meta_bg_descriptors_are_found(void **state)
{
	static const char *const args[] = {
		"-t ext4 -b 1024 -g 1024 -O meta_bg,^resize_inode,64bit",
		"-b 1024 -g 1024 -O meta_bg,^resize_inode,^64bit,uninit_bg",
	};

	for (size_t i = 0; i < array_len(args); i++) {
		struct e2img img;

		if (!e2_make(&img, args[i], "130M", NULL))
			skip();
		assert_true(img.geo.gdt_blocks > 2);
		for (grp_t g = 0; g < img.geo.groups; g++) {
			struct dgroup d = e2_group(&img, g);
			const char *why = "";

			assert_int_equal(dgroup_csum_verify(&img.geo, g,
							 e2_desc(&img, g)),
					0);
			if (dgroup_check(&img.geo, g, &d, &why) < 0)
				fail_msg("group %u: %s", g, why);
		}
		for (uint32_t b = 0; b < img.geo.gdt_blocks; b++) {
			grp_t g = b * img.geo.desc_per_block + 1;
			pblk_t copy;

			if (g >= img.geo.groups)
				continue;
			copy = geo_gdt_backup_block(&img.geo, g, b);
			assert_true(copy != 0);
			assert_memory_equal(e2_block(&img, copy),
					e2_block(&img,
							geo_gdt_block(&img.geo,
									b)),
					4);
		}
		e2_free(&img);
	}
}

static void check_group(struct e2img *img, grp_t g)
{
	const struct geo *geo = &img->geo;
	uint8_t raw[1024], made[65536];
	struct dgroup d = e2_group(img, g);
	const uint8_t *bbm = e2_block(img, d.block_bitmap);
	const uint8_t *ibm = e2_block(img, d.inode_bitmap);
	bool stray = false;
	const char *why = "";

	if (dgroup_check(geo, g, &d, &why) < 0)
		fail_msg("group %u: %s", g, why);
	assert_int_equal(dgroup_csum_verify(geo, g, e2_desc(img, g)), 0);
	memcpy(raw, e2_desc(img, g), geo->desc_size);
	dgroup_encode(geo, &d, raw);
	assert_memory_equal(raw, e2_desc(img, g), geo->desc_size);
	dgroup_csum_set(geo, g, raw);
	assert_memory_equal(raw, e2_desc(img, g), geo->desc_size);
	if (geo_has_group_flags(geo)) {
		raw[0] ^= 1;
		assert_int_equal(dgroup_csum_verify(geo, g, raw),
				-UEXT4_EBADCSUM);
	}

	if (d.flags & DGROUP_BLOCK_UNINIT) {
		/* What it stands for leaves as many free as it says. */
		dgroup_bbm_init(geo, g, &d, made);
		for (grp_t o = 0; o < geo->groups; o++) {
			struct dgroup od = e2_group(img, o);

			if (o != g &&
					geo_grp_of_block(geo, od.inode_table) ==
							g)
				stray = true;
		}
		if (!stray)
			assert_int_equal(
					geo->bpg - bits_count(made, 0, geo->bpg),
					d.free_clusters);
	} else {
		assert_int_equal(dgroup_bbm_csum_verify(geo, &d, bbm), 0);
		assert_int_equal(geo_grp_clusters(geo, g) -
						bits_count(bbm, 0,
								geo_grp_clusters(
										geo,
										g)),
				d.free_clusters);
	}
	if (d.flags & DGROUP_INODE_UNINIT) {
		dgroup_ibm_init(geo, made);
		assert_int_equal(bits_count(made, 0, geo->ipg), 0);
	} else {
		struct dgroup e = d;

		assert_int_equal(dgroup_ibm_csum_verify(geo, &d, ibm), 0);
		e.ibm_csum = 0;
		dgroup_ibm_csum_set(geo, &e, ibm);
		assert_int_equal(e.ibm_csum, d.ibm_csum);
		assert_int_equal(geo->ipg - bits_count(ibm, 0, geo->ipg),
				d.free_inodes);
	}
}

static void checksums_match_mke2fs(void **state)
{
	for (size_t i = 0; i < E2_NPROFILES; i++) {
		struct e2img img;

		if (!e2_make(&img, e2_profiles[i], "64M", NULL))
			skip();
		for (grp_t g = 0; g < img.geo.groups; g++)
			check_group(&img, g);
		e2_free(&img);
	}
}

/* The kernel and e2fsck pad the bitmap's end; e2fsck -n agrees with us. */
static void made_bitmaps_equal_initialised_ones(void **state)
{
	struct e2img img;
	uint8_t made[4096];

	/* Without uninit_bg mke2fs writes every bitmap out. */
	if (!e2_make(&img,
			    "-t ext4 -b 4096 -g 8192 -O ^metadata_csum,"
			    "^uninit_bg,^flex_bg,^has_journal",
			    "250M", NULL))
		skip();
	for (grp_t g = 1; g < img.geo.groups; g++) {
		struct dgroup d = e2_group(&img, g);

		if (d.used_dirs > 0)
			continue;
		dgroup_bbm_init(&img.geo, g, &d, made);
		assert_memory_equal(made, e2_block(&img, d.block_bitmap), 4096);
		dgroup_ibm_init(&img.geo, made);
		assert_memory_equal(made, e2_block(&img, d.inode_bitmap), 4096);
	}
	e2_free(&img);
}

static void impossible_descriptors_are_refused(void **state)
{
	struct e2img img;
	struct dgroup good;
	const struct geo *geo = &img.geo;

	if (!e2_make(&img, "-t ext4 -O metadata_csum,64bit", "64M", NULL))
		skip();
	good = e2_group(&img, 0);
	{
		struct dgroup bad[] = { good, good, good, good, good, good,
			good, good, good, good, good, good, good };

		bad[0].block_bitmap = 0;
		bad[1].block_bitmap = geo->blocks;
		bad[2].inode_bitmap = UINT64_MAX;
		bad[3].inode_bitmap = 1; /* on the descriptors */
		bad[4].inode_table = geo->blocks - 1;
		bad[5].inode_table = 0;
		bad[6].block_bitmap = good.inode_bitmap;
		bad[7].block_bitmap = good.inode_table + 3;
		bad[8].inode_bitmap = good.inode_table;
		bad[9].free_clusters = geo->bpg + 1;
		bad[10].free_inodes = geo->ipg + 1;
		bad[11].used_dirs = geo->ipg + 1;
		bad[12].itable_unused = 0xffffffff;
		for (size_t i = 0; i < array_len(bad); i++) {
			const char *why = NULL;

			if (dgroup_check(geo, 0, &bad[i], &why) !=
							-UEXT4_ECORRUPT ||
					!why)
				fail_msg("descriptor %zu passed", i);
		}
	}
	e2_free(&img);
}

static void overhead_is_that_of_mke2fs(void **state)
{
	for (size_t i = 0; i < E2_NPROFILES; i++) {
		struct e2img img;
		uint64_t journal = 0;

		if (!e2_make(&img, e2_profiles[i], "64M", NULL))
			skip();
		if (img.geo.journal_inum)
			journal = e2_dinode(&img, img.geo.journal_inum).size >>
					img.geo.block_bits;
		if (img.sb.overhead_clusters)
			assert_int_equal(geo_overhead(&img.geo) + journal,
					img.sb.overhead_clusters);
		e2_free(&img);
	}
}

static void maximum_sizes_are_those_of_the_kernel(void **state)
{
	struct dsuper sb = {
		.magic = DSUPER_MAGIC,
		.log_block_size = 2,
		.log_cluster_size = 2,
		.blocks_per_group = 32768,
		.clusters_per_group = 32768,
		.inodes_per_group = 8192,
		.inodes_count = 8192,
		.blocks_count = 32768,
		.rev_level = 1,
		.first_ino = 11,
		.inode_size = 256,
		.feature_incompat = FI_EXTENTS,
		.feature_ro_compat = FR_HUGE_FILE,
	};
	struct geo geo;

	assert_int_equal(dsuper_check(&sb, 0, NULL), 0);
	assert_int_equal(geo_init(&geo, &sb, NULL), 0);
	assert_int_equal(geo.max_bytes_extent, UINT64_C(0xffffffff) << 12);
	assert_int_equal(geo.max_bytes_bitmap,
			(UINT64_C(12) + 1024 + (1 << 20) + (1 << 30)) << 12);
	sb.feature_ro_compat = 0;
	assert_int_equal(geo_init(&geo, &sb, NULL), 0);
	assert_int_equal(geo.max_bytes_extent, UINT64_C(0x1fffffff) << 12);
	assert_true(geo.max_bytes_bitmap < UINT64_C(0x1fffffff) << 12);
	assert_true(geo.max_bytes_bitmap > UINT64_C(0x1ff00000) << 12);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(layout_is_that_of_dumpe2fs),
		cmocka_unit_test(meta_bg_descriptors_are_found),
		cmocka_unit_test(checksums_match_mke2fs),
		cmocka_unit_test(made_bitmaps_equal_initialised_ones),
		cmocka_unit_test(impossible_descriptors_are_refused),
		cmocka_unit_test(overhead_is_that_of_mke2fs),
		cmocka_unit_test(maximum_sizes_are_those_of_the_kernel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
