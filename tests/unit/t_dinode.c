/* SPDX-License-Identifier: MIT */
/*
 * Inodes against images of mke2fs and debugfs: every inode's checksum, fields
 * by debugfs's stat, times to 2446, device numbers, hostile inodes.
 */
#include "e2img.h"

#include <sys/sysmacros.h>

#include "base/err.h"

static void every_inode_matches(struct e2img *img)
{
	const struct geo *geo = &img->geo;
	unsigned used = 0;

	for (inum_t inum = 1; inum <= geo->inodes; inum++) {
		uint8_t *raw = e2_inode(img, inum);
		uint8_t copy[4096];
		struct dinode di;
		const char *why = "";

		if (e2_group(img, geo_grp_of_inode(geo, inum)).flags &
				DGROUP_INODE_UNINIT)
			continue;
		if (dinode_csum_verify(geo, inum, raw) < 0)
			fail_msg("inode %u: checksum", inum);
		dinode_decode(geo, raw, &di);
		if (di.mode == 0)
			continue;
		used++;
		if (dinode_check(geo, inum, &di, &why) < 0)
			fail_msg("inode %u: %s", inum, why);
		memcpy(copy, raw, geo->inode_size);
		assert_int_equal(dinode_encode(geo, &di, copy), 0);
		assert_memory_equal(copy, raw, geo->inode_size);
		dinode_csum_set(geo, inum, copy);
		assert_memory_equal(copy, raw, geo->inode_size);
		copy[0x14] ^= 1;
		if (geo_has_csum(geo))
			assert_int_equal(dinode_csum_verify(geo, inum, copy),
					-UEXT4_EBADCSUM);
	}
	assert_true(used >= 3);
}

static void inodes_of_mke2fs_match(void **state)
{
	for (size_t i = 0; i < E2_NPROFILES; i++) {
		struct e2img img;

		if (!e2_make(&img, e2_profiles[i], "64M",
				    "mkdir d\nmknod p p\nmknod c c 1 3\n"
				    "symlink s target\nwrite script f\n"))
			skip();
		every_inode_matches(&img);
		e2_free(&img);
	}
}

static void fields_stand_where_debugfs_puts_them(void **state)
{
	struct e2img img;
	struct dinode di;

	if (!e2_make(&img, "-t ext4 -b 4096 -O metadata_csum,64bit", "16M",
			    "write script f\n"
			    "sif f uid 100000\n"
			    "sif f gid 200000\n"
			    "sif f size 0x123456789a\n"
			    "sif f links_count 7\n"
			    "sif f blocks 0x1234\n"
			    "sif f blocks_hi 0x5\n"
			    "sif f flags 0x80010\n"
			    "sif f dtime 77\n"
			    "sif f generation 88\n"
			    "sif f file_acl 99\n"
			    "sif f version 111\n"
			    "sif f version_hi 1\n"
			    "sif f projid 222\n"
			    "sif f atime 20010203040506\n"
			    "sif f ctime 20400203040506\n"
			    "sif f mtime 23000203040506\n"
			    "sif f crtime 24450203040506\n"
			    "sif f atime_extra 0xc\n"))
		skip();
	di = e2_dinode(&img, e2_lookup(&img, "f"));
	assert_int_equal(di.uid, 100000);
	assert_int_equal(di.gid, 200000);
	assert_int_equal(di.size, 0x123456789a);
	assert_int_equal(di.links, 7);
	assert_int_equal(di.sectors, 0x500001234);
	assert_int_equal(di.flags, 0x80010);
	assert_int_equal(di.dtime, 77);
	assert_int_equal(di.generation, 88);
	assert_int_equal(di.file_acl, 99);
	assert_int_equal(di.version, 0x10000006fu);
	assert_int_equal(di.projid, 222);
	assert_int_equal(di.atime.nsec, 3);
	assert_true(di.atime.sec > 981000000 && di.atime.sec < 981300000);
	assert_int_equal(dinode_csum_verify(&img.geo, e2_lookup(&img, "f"),
					 e2_inode(&img, e2_lookup(&img, "f"))),
			0);
	e2_free(&img);
}

/* debugfs shows the times that we encode. */
static void times_go_to_2446(void **state)
{
	static const struct {
		int64_t sec;
		const char *shown;
	} times[] = {
		{ -0x80000000ll, "1901" },
		{ -1, "1969" },
		{ 0, "1970" },
		{ 0x7fffffff, "2038" },
		{ 0x80000000ll, "2038" },
		{ 0xffffffffll, "2106" },
		{ 0x100000000ll, "2106" },
		{ 0x180000000ll, "2174" },
		{ 0x200000000ll, "2242" },
		{ 0x280000000ll, "2310" },
		{ 0x300000000ll, "2378" },
		{ 0x37fffffffll, "2446" },
	};
	struct e2img img;

	if (!e2_make(&img, "-t ext4 -O metadata_csum", "8M",
			    "write script f\n"))
		skip();
	for (size_t i = 0; i < array_len(times); i++) {
		inum_t inum = e2_lookup(&img, "f");
		uint8_t *raw = e2_inode(&img, inum);
		struct dinode di = e2_dinode(&img, inum);
		char out[4096];
		char *line;
		FILE *f;

		di.mtime.sec = times[i].sec;
		di.mtime.nsec = 123456789;
		assert_int_equal(dinode_encode(&img.geo, &di, raw), 0);
		dinode_csum_set(&img.geo, inum, raw);
		dinode_decode(&img.geo, raw, &di);
		assert_int_equal(di.mtime.sec, times[i].sec);
		/* The first and the last second have no parts, as a kernel
		 * keeps them. */
		assert_int_equal(di.mtime.nsec,
				i == 0 || i == array_len(times) - 1
						? 0
						: 123456789);

		f = fopen(img.path, "r+b");
		assert_non_null(f);
		assert_int_equal(fwrite(img.bytes, 1, img.len, f), img.len);
		(void)fclose(f);
		e2_sh_out(out, sizeof(out),
				"TZ=UTC debugfs -R 'stat f' '%s' 2>/dev/null",
				img.path);
		line = strstr(out, " mtime:");
		assert_non_null(line);
		*strchr(line, '\n') = '\0';
		if (!strstr(line, times[i].shown))
			fail_msg("%lld: %s", (long long)times[i].sec, line);
	}
	e2_free(&img);
}

static void small_inodes_clamp_times(void **state)
{
	struct geo geo = { .inode_size = 128,
		.block_bits = 10,
		.block_size = 1024,
		.inodes = 100,
		.blocks = 1000 };
	uint8_t raw[128] = { 0 };
	struct dinode di;

	dinode_init(&geo, raw, &di);
	assert_int_equal(di.extra_isize, 0);
	di.mtime = (struct dtime){ .sec = 0x100000000ll, .nsec = 5 };
	di.atime = (struct dtime){ .sec = -0x100000000ll, .nsec = 5 };
	di.crtime = (struct dtime){ .sec = 5, .nsec = 5 };
	assert_int_equal(dinode_encode(&geo, &di, raw), 0);
	dinode_decode(&geo, raw, &di);
	assert_int_equal(di.mtime.sec, 0x7fffffff);
	assert_int_equal(di.mtime.nsec, 0);
	assert_int_equal(di.atime.sec, -0x80000000ll);
	assert_int_equal(di.crtime.sec, 0);
}

static void block_counts_choose_their_unit(void **state)
{
	struct geo geo = { .inode_size = 256,
		.want_extra_isize = 32,
		.block_bits = 12,
		.block_size = 4096,
		.inodes = 100,
		.blocks = 1000,
		.ro_compat = FR_HUGE_FILE };
	uint8_t raw[256], before[256];
	struct dinode di;

	dinode_init(&geo, raw, &di);
	assert_int_equal(di.extra_isize, 32);
	for (unsigned bits = 0; bits < 51; bits++) {
		di.sectors = UINT64_C(8) << bits >> 3 << 3;
		if (bits >= 48)
			break;
		assert_int_equal(dinode_encode(&geo, &di, raw), 0);
		assert_int_equal((di.flags & DINODE_F_HUGE_FILE) != 0,
				di.sectors > UINT64_C(0xffffffffffff));
		dinode_decode(&geo, raw, &di);
		assert_int_equal(di.sectors, UINT64_C(8) << bits);
	}
	di.sectors = UINT64_C(1) << 51;
	memcpy(before, raw, sizeof(before));
	assert_int_equal(dinode_encode(&geo, &di, raw), -EOVERFLOW);
	assert_memory_equal(before, raw, sizeof(before));
	geo.ro_compat = 0;
	di.sectors = UINT64_C(1) << 32;
	assert_int_equal(dinode_encode(&geo, &di, raw), -EOVERFLOW);
	assert_memory_equal(before, raw, sizeof(before));
}

static void device_numbers_are_those_of_debugfs(void **state)
{
	struct e2img img;
	struct dinode di;

	if (!e2_make(&img, "-t ext4", "8M",
			    "mknod a c 1 3\nmknod b b 8 255\n"
			    "mknod c c 300 60000\nmknod d b 255 256\n"))
		skip();
	di = e2_dinode(&img, e2_lookup(&img, "a"));
	assert_int_equal(dinode_get_rdev(&di), makedev(1, 3));
	di = e2_dinode(&img, e2_lookup(&img, "b"));
	assert_int_equal(dinode_get_rdev(&di), makedev(8, 255));
	di = e2_dinode(&img, e2_lookup(&img, "c"));
	assert_int_equal(dinode_get_rdev(&di), makedev(300, 60000));
	di = e2_dinode(&img, e2_lookup(&img, "d"));
	assert_int_equal(dinode_get_rdev(&di), makedev(255, 256));

	for (unsigned maj = 0; maj < 4096; maj += 13) {
		for (unsigned min = 0; min < 1u << 20; min += 7919) {
			if (maj == 0 && min == 0)
				continue;
			dinode_put_rdev(&di, makedev(maj, min));
			assert_int_equal(dinode_get_rdev(&di),
					makedev(maj, min));
		}
	}
	e2_free(&img);
}

static void symlinks_know_their_place(void **state)
{
	struct e2img img;
	struct dinode di;

	if (!e2_make(&img, "-t ext4", "8M",
			    "symlink short x\n"
			    "symlink edge 123456789012345678901234567890"
			    "12345678901234567890123456789\n"
			    "symlink long 123456789012345678901234567890"
			    "123456789012345678901234567890123456\n"))
		skip();
	di = e2_dinode(&img, e2_lookup(&img, "short"));
	assert_true(dinode_is_fast_symlink(&img.geo, &di));
	di = e2_dinode(&img, e2_lookup(&img, "edge"));
	assert_int_equal(di.size, 59);
	assert_true(dinode_is_fast_symlink(&img.geo, &di));
	di = e2_dinode(&img, e2_lookup(&img, "long"));
	assert_false(dinode_is_fast_symlink(&img.geo, &di));
	e2_free(&img);
}

static void attribute_area_fills_the_inode(void **state)
{
	struct geo geo = { .inode_size = 256, .want_extra_isize = 32 };
	struct dinode di = { .extra_isize = 32 };
	uint32_t off, len;

	dinode_xattr_area(&geo, &di, &off, &len);
	assert_int_equal(off, 160);
	assert_int_equal(len, 96);
	di.extra_isize = 0;
	dinode_xattr_area(&geo, &di, &off, &len);
	assert_int_equal(len, 0);
	di.extra_isize = 0xffff;
	dinode_xattr_area(&geo, &di, &off, &len);
	assert_int_equal(len, 0);
	di.extra_isize = 128;
	dinode_xattr_area(&geo, &di, &off, &len);
	assert_int_equal(len, 0);
}

static void impossible_inodes_are_refused(void **state)
{
	struct geo geo = { .inode_size = 256,
		.block_bits = 12,
		.block_size = 4096,
		.inodes = 100,
		.blocks = 1000 };
	struct dinode good = { .mode = 0100644, .links = 1, .extra_isize = 32 };
	struct dinode bad[10];
	const char *why = NULL;

	assert_int_equal(dinode_check(&geo, 12, &good, NULL), 0);
	assert_int_equal(dinode_check(&geo, 0, &good, &why), -UEXT4_ECORRUPT);
	assert_int_equal(dinode_check(&geo, 101, &good, NULL), -UEXT4_ECORRUPT);
	for (size_t i = 0; i < array_len(bad); i++)
		bad[i] = good;
	bad[0].mode = 0;
	bad[1].mode = 0170000;
	bad[2].extra_isize = 132;
	bad[3].extra_isize = 30;
	bad[4].size = UINT64_MAX;
	bad[5].file_acl = 1000;
	bad[6].flags = DINODE_F_EXTENTS;
	bad[7].flags = DINODE_F_INLINE_DATA;
	bad[8].mode = 0120777;
	bad[8].size = 60;
	bad[9].mode = 0040755;
	bad[9].size = INT64_MAX;
	for (size_t i = 0; i < array_len(bad); i++) {
		why = NULL;
		if (dinode_check(&geo, 12, &bad[i], &why) != -UEXT4_ECORRUPT ||
				!why)
			fail_msg("inode %zu passed", i);
	}
	/* Its block may be gone before it is. */
	bad[8].links = 0;
	assert_int_equal(dinode_check(&geo, 12, &bad[8], NULL), 0);
}

/* No bytes lead decode or encode out of the inode (with ASan). */
static void random_inodes_are_harmless(void **state)
{
	static const uint32_t sizes[] = { 128, 256, 1024 };

	unsigned bad = 0;

	srandom(3);
	for (int round = 0; round < 30000; round++) {
		struct geo geo = { .block_bits = 12,
			.block_size = 4096,
			.inodes = 100,
			.blocks = 1000,
			.incompat = FI_EXTENTS,
			.ro_compat = FR_METADATA_CSUM | FR_HUGE_FILE };
		struct dinode di;
		uint32_t off, len;
		uint8_t *raw;

		geo.inode_size = sizes[round % 3];
		raw = (uint8_t *)malloc(geo.inode_size);
		assert_non_null(raw);
		for (uint32_t i = 0; i < geo.inode_size; i++)
			raw[i] = (uint8_t)random();
		dinode_decode(&geo, raw, &di);
		bad += dinode_check(&geo, 12, &di, NULL) < 0;
		bad += dinode_csum_verify(&geo, 12, raw) < 0;
		dinode_xattr_area(&geo, &di, &off, &len);
		assert_true(off + len <= geo.inode_size);
		assert_true(di.mtime.nsec < 1000000000u);
		if (dinode_encode(&geo, &di, raw) == 0) {
			struct dinode again;

			dinode_decode(&geo, raw, &again);
			again.checksum = di.checksum;
			assert_memory_equal(&di, &again, sizeof(di));
		}
		free(raw);
	}
	assert_true(bad > 30000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(inodes_of_mke2fs_match),
		cmocka_unit_test(fields_stand_where_debugfs_puts_them),
		cmocka_unit_test(times_go_to_2446),
		cmocka_unit_test(small_inodes_clamp_times),
		cmocka_unit_test(block_counts_choose_their_unit),
		cmocka_unit_test(device_numbers_are_those_of_debugfs),
		cmocka_unit_test(symlinks_know_their_place),
		cmocka_unit_test(attribute_area_fills_the_inode),
		cmocka_unit_test(impossible_inodes_are_refused),
		cmocka_unit_test(random_inodes_are_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
