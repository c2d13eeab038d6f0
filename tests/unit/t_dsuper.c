/* SPDX-License-Identifier: MIT */
/*
 * The superblock: fields against debugfs and dumpe2fs, checksum against
 * mke2fs, the gate over every feature, hostile numbers.
 */
#include "e2img.h"

#include "base/err.h"
#include "base/uuid.h"

static const uint8_t *sb_raw(const struct e2img *img)
{
	return img->bytes + DSUPER_OFF;
}

static void checksum_matches_mke2fs(void **state)
{
	for (size_t i = 0; i < E2_NPROFILES; i++) {
		struct e2img img;
		uint8_t raw[DSUPER_SIZE];

		if (!e2_make(&img, e2_profiles[i], "64M", NULL))
			skip();
		assert_int_equal(dsuper_csum_verify(sb_raw(&img)), 0);

		memcpy(raw, sb_raw(&img), sizeof(raw));
		raw[0x3FC] ^= 1;
		assert_int_equal(dsuper_csum_verify(raw),
				geo_has_csum(&img.geo) ? -UEXT4_EBADCSUM : 0);
		if (geo_has_csum(&img.geo)) {
			dsuper_csum_set(raw);
			assert_memory_equal(raw, sb_raw(&img), sizeof(raw));
		}
		e2_free(&img);
	}
}

/* A change of the first sector leaves the second one, checksum included, as it
 * was: the superblock cannot be torn between two sectors. */
static void a_kept_checksum_leaves_the_second_sector_alone(void **state)
{
	for (size_t i = 0; i < E2_NPROFILES; i++) {
		struct e2img img;
		struct dsuper sb;
		uint8_t raw[DSUPER_SIZE];

		if (!e2_make(&img, e2_profiles[i], "64M", NULL))
			skip();
		memcpy(raw, sb_raw(&img), sizeof(raw));
		sb = img.sb;
		sb.mnt_count++;
		sb.free_blocks_count -= 77;
		sb.last_orphan = 12;
		sb.feature_incompat |= FI_RECOVER;
		dsuper_encode(&sb, raw);
		dsuper_csum_keep(raw);
		assert_int_equal(dsuper_csum_verify(raw), 0);
		assert_memory_equal(raw + 512, sb_raw(&img) + 512, 512);
		e2_free(&img);
	}
}

static void encode_gives_back_what_was_decoded(void **state)
{
	for (size_t i = 0; i < E2_NPROFILES; i++) {
		struct e2img img;
		uint8_t raw[DSUPER_SIZE];

		if (!e2_make(&img, e2_profiles[i], "64M", NULL))
			skip();
		memcpy(raw, sb_raw(&img), sizeof(raw));
		dsuper_encode(&img.sb, raw);
		assert_memory_equal(raw, sb_raw(&img), sizeof(raw));
		e2_free(&img);
	}
}

/* Any bytes survive decode and encode: no field overlaps another. */
static void encode_keeps_random_bytes(void **state)
{
	uint8_t raw[DSUPER_SIZE], copy[DSUPER_SIZE];

	srandom(1);
	for (int round = 0; round < 200; round++) {
		struct dsuper sb;

		for (size_t i = 0; i < sizeof(raw); i++)
			raw[i] = (uint8_t)(random() % 255 + 1);
		memcpy(copy, raw, sizeof(raw));
		dsuper_decode(raw, &sb);
		dsuper_encode(&sb, copy);
		assert_memory_equal(raw, copy, sizeof(raw));
	}
}

/* debugfs writes each field by name; we find it under the same one. */
static void fields_stand_where_debugfs_puts_them(void **state)
{
	struct e2img img;
	const struct dsuper *sb = &img.sb;
	uint8_t uuid[16];

	if (!e2_make(&img, "-t ext4 -O metadata_csum,64bit", "8M",
			    "ssv mnt_count 1234\n"
			    "ssv max_mnt_count 77\n"
			    "ssv state 3\n"
			    "ssv errors 2\n"
			    "ssv minor_rev_level 9\n"
			    "ssv lastcheck 20400102030405\n"
			    "ssv checkinterval 86400\n"
			    "ssv mtime 20390102030405\n"
			    "ssv def_resuid 11\n"
			    "ssv def_resgid 12\n"
			    "ssv r_blocks_count 555\n"
			    "ssv volume_name fifteen-letters\n"
			    "ssv last_mounted /mnt/x\n"
			    "ssv last_orphan 21\n"
			    "ssv default_mount_opts 0x0c\n"
			    "ssv first_meta_bg 3\n"
			    "ssv min_extra_isize 28\n"
			    "ssv want_extra_isize 30\n"
			    "ssv raid_stride 41\n"
			    "ssv mmp_interval 42\n"
			    "ssv mmp_block 43\n"
			    "ssv raid_stripe_width 44\n"
			    "ssv kbytes_written 45\n"
			    "ssv snapshot_inum 46\n"
			    "ssv mount_opts acl,x\n"
			    "ssv usr_quota_inum 51\n"
			    "ssv grp_quota_inum 52\n"
			    "ssv prj_quota_inum 53\n"
			    "ssv overhead_clusters 54\n"
			    "ssv backup_bgs[0] 55\n"
			    "ssv backup_bgs[1] 56\n"
			    "ssv encryption_level 57\n"
			    "ssv error_count 58\n"
			    "ssv first_error_ino 59\n"
			    "ssv first_error_block 60\n"
			    "ssv first_error_func first_f\n"
			    "ssv first_error_line 61\n"
			    "ssv last_error_ino 62\n"
			    "ssv last_error_block 63\n"
			    "ssv last_error_func last_f\n"
			    "ssv last_error_line 64\n"
			    "ssv lpf_ino 65\n"
			    "ssv checksum_seed 66\n"
			    "ssv orphan_file_inum 67\n"
			    "ssv jnl_blocks[16] 68\n"
			    "ssv journal_uuid "
			    "00112233-4455-6677-8899-aabbccddeeff\n"))
		skip();
	assert_int_equal(sb->mnt_count, 1234);
	assert_int_equal(sb->max_mnt_count, 77);
	assert_int_equal(sb->state, 3);
	assert_int_equal(sb->errors, 2);
	assert_int_equal(sb->minor_rev_level, 9);
	assert_int_equal(sb->lastcheck >> 32, 0); /* 2040 fits 32 bits */
	assert_true(sb->lastcheck > 2200000000u);
	assert_int_equal(sb->checkinterval, 86400);
	assert_true(sb->mtime > 2170000000u);
	assert_int_equal(sb->def_resuid, 11);
	assert_int_equal(sb->def_resgid, 12);
	assert_int_equal(sb->r_blocks_count, 555);
	assert_string_equal(sb->volume_name, "fifteen-letters");
	assert_string_equal(sb->last_mounted, "/mnt/x");
	assert_int_equal(sb->last_orphan, 21);
	assert_int_equal(sb->default_mount_opts, 0x0c);
	assert_int_equal(sb->first_meta_bg, 3);
	assert_int_equal(sb->min_extra_isize, 28);
	assert_int_equal(sb->want_extra_isize, 30);
	assert_int_equal(sb->raid_stride, 41);
	assert_int_equal(sb->mmp_update_interval, 42);
	assert_int_equal(sb->mmp_block, 43);
	assert_int_equal(sb->raid_stripe_width, 44);
	assert_int_equal(sb->kbytes_written, 45);
	assert_int_equal(sb->snapshot_inum, 46);
	assert_string_equal(sb->mount_opts, "acl,x");
	assert_int_equal(sb->usr_quota_inum, 51);
	assert_int_equal(sb->grp_quota_inum, 52);
	assert_int_equal(sb->prj_quota_inum, 53);
	assert_int_equal(sb->overhead_clusters, 54);
	assert_int_equal(sb->backup_bgs[0], 55);
	assert_int_equal(sb->backup_bgs[1], 56);
	assert_int_equal(sb->encryption_level, 57);
	assert_int_equal(sb->error_count, 58);
	assert_int_equal(sb->first_error.inum, 59);
	assert_int_equal(sb->first_error.block, 60);
	assert_string_equal(sb->first_error.func, "first_f");
	assert_int_equal(sb->first_error.line, 61);
	assert_int_equal(sb->last_error.inum, 62);
	assert_int_equal(sb->last_error.block, 63);
	assert_string_equal(sb->last_error.func, "last_f");
	assert_int_equal(sb->last_error.line, 64);
	assert_int_equal(sb->lpf_ino, 65);
	assert_int_equal(sb->checksum_seed, 66);
	assert_int_equal(sb->orphan_file_inum, 67);
	assert_int_equal(sb->jnl_blocks[16], 68);
	assert_int_equal(uuid_parse("00112233-4455-6677-8899-aabbccddeeff",
					 uuid),
			0);
	assert_memory_equal(sb->journal_uuid, uuid, 16);
	assert_int_equal(dsuper_csum_verify(sb_raw(&img)), 0);
	e2_free(&img);
}

static void error_log_reads_back_in_dumpe2fs(void **state)
{
	static const struct {
		int err;
		const char *name;
	} names[] = {
		{ EIO, "EIO" },
		{ ENOMEM, "ENOMEM" },
		{ UEXT4_EBADCSUM, "EFSBADCRC" },
		{ UEXT4_ECORRUPT, "EFSCORRUPTED" },
		{ ENOSPC, "ENOSPC" },
		{ ENOKEY, "ENOKEY" },
		{ EROFS, "EROFS" },
		{ EFBIG, "EFBIG" },
		{ EEXIST, "EEXIST" },
		{ ERANGE, "ERANGE" },
		{ EOVERFLOW, "EOVERFLOW" },
		{ EBUSY, "EBUSY" },
		{ ENOTDIR, "ENOTDIR" },
		{ ENOTEMPTY, "ENOTEMPTY" },
		{ ESHUTDOWN, "ESHUTDOWN" },
		{ EFAULT, "EFAULT" },
		{ EPIPE, "UNKNOWN" },
	};
	struct e2img img;

	if (!e2_make(&img, "-t ext4 -O metadata_csum", "8M", NULL))
		skip();
	for (size_t i = 0; i < array_len(names); i++) {
		struct dsuper sb = img.sb;
		uint8_t *raw = img.bytes + DSUPER_OFF;
		char out[8192];
		char *line;
		FILE *f;

		dsuper_note_error(&sb, 1700000000, "some_function", 12,
				names[i].err, 34, 56);
		dsuper_encode(&sb, raw);
		dsuper_csum_set(raw);
		f = fopen(img.path, "r+b");
		assert_non_null(f);
		assert_int_equal(fwrite(img.bytes, 1, 4096, f), 4096);
		(void)fclose(f);
		e2_sh_out(out, sizeof(out), "dumpe2fs -h '%s' 2>&1", img.path);
		assert_non_null(strstr(out, "with errors"));
		assert_non_null(strstr(out, "some_function"));
		line = strstr(out, "First error err:");
		if (!line)
			fail_msg("no error code in:\n%s", out);
		line += strlen("First error err:");
		line += strspn(line, " ");
		if (strncmp(line, names[i].name, strlen(names[i].name)) != 0)
			fail_msg("%s is shown as %.20s", names[i].name, line);
	}
	e2_free(&img);
}

static void backups_are_of_the_same_fs(void **state)
{
	struct e2img img;
	uint8_t other[DSUPER_SIZE];
	const uint8_t *backup;

	if (!e2_make(&img, "-t ext4 -b 1024 -O metadata_csum", "32M", NULL))
		skip();
	backup = e2_block(&img, geo_grp_first_block(&img.geo, 1));
	assert_true(dsuper_is_same_fs(sb_raw(&img), backup));
	assert_int_equal(dsuper_csum_verify(backup), 0);

	memcpy(other, backup, sizeof(other));
	other[0x68] ^= 1; /* another uuid */
	assert_false(dsuper_is_same_fs(sb_raw(&img), other));
	e2_free(&img);
}

static void torn_primary_is_repaired_from_a_backup(void **state)
{
	struct e2img img;
	uint8_t torn[DSUPER_SIZE], fixed[DSUPER_SIZE];
	const uint8_t *backup;

	if (!e2_make(&img, "-t ext4 -b 1024 -O metadata_csum", "32M", NULL))
		skip();
	backup = e2_block(&img, geo_grp_first_block(&img.geo, 1));

	/* The first sector of a newer write, the second of an older one. */
	memcpy(torn, sb_raw(&img), sizeof(torn));
	put_le32(torn + 0x0C, 4711); /* free blocks */
	put_le32(torn + 0x30, 1);    /* written */
	assert_int_equal(dsuper_csum_verify(torn), -UEXT4_EBADCSUM);
	assert_int_equal(dsuper_repair_torn(torn, backup, fixed), 0);
	assert_int_equal(dsuper_csum_verify(fixed), 0);
	assert_int_equal(get_le32(fixed + 0x0C), 4711);

	/* A sector with something else in it is not ours. */
	memset(torn + 512, 0xE5, 512);
	assert_int_equal(dsuper_repair_torn(torn, backup, fixed),
			-UEXT4_EBADCSUM);
	/* Nor does a damaged backup vouch for anything. */
	memcpy(torn, backup, sizeof(torn));
	torn[0] ^= 1;
	assert_int_equal(dsuper_repair_torn(sb_raw(&img), torn, fixed),
			-UEXT4_EBADCSUM);
	e2_free(&img);
}

/* ---- features ---- */

static void names_are_those_of_e2fsprogs(void **state)
{
	struct e2img img;
	size_t n;
	const struct dfeature *f = dfeature_table(&n);
	unsigned same = 0;

	if (!e2_make(&img, "-t ext4 -O metadata_csum,^has_journal", "8M", NULL))
		skip();
	for (size_t i = 0; i < n; i++) {
		static const unsigned off[] = { 0x5C, 0x60, 0x64 };
		uint8_t *raw = img.bytes + DSUPER_OFF;
		char out[4096], want[64];
		FILE *fp;

		put_le32(raw + 0x5C, 0);
		put_le32(raw + 0x60, 0);
		put_le32(raw + 0x64, 0);
		put_le32(raw + off[f[i].set], f[i].bit);
		fp = fopen(img.path, "r+b");
		assert_non_null(fp);
		assert_int_equal(fwrite(img.bytes, 1, 4096, fp), 4096);
		(void)fclose(fp);
		e2_sh_out(out, sizeof(out),
				"debugfs -c -n -R features '%s' 2>&1 || true",
				img.path);
		/* What debugfs opens and has a name for, it calls the same. */
		(void)snprintf(want, sizeof(want), " %s", f[i].name);
		if (strstr(out, "unsupported") || strstr(out, " FEATURE_"))
			continue;
		if (!strstr(out, want))
			fail_msg("%s: debugfs says %s", f[i].name, out);
		same++;
	}
	assert_true(same >= 36);
	e2_free(&img);
}

static void gate_of(struct dsuper_gate *gate, uint32_t compat,
		uint32_t incompat, uint32_t ro)
{
	struct dsuper sb = {
		.feature_compat = compat,
		.feature_incompat = incompat,
		.feature_ro_compat = ro,
		.journal_inum = 8,
		.rev_level = 1,
	};

	dsuper_gate(&sb, gate);
}

static void gate_lets_our_features_through(void **state)
{
	struct dsuper_gate gate;

	gate_of(&gate, 0, 0, 0);
	assert_int_equal(gate.mode, DSUPER_MODE_RW);
	gate_of(&gate,
			FC_HAS_JOURNAL | FC_EXT_ATTR | FC_RESIZE_INODE |
					FC_DIR_INDEX | FC_SPARSE_SUPER2 |
					FC_STABLE_INODES | FC_ORPHAN_FILE,
			FI_FILETYPE | FI_RECOVER | FI_EXTENTS | FI_64BIT |
					FI_FLEX_BG | FI_CSUM_SEED,
			FR_SPARSE_SUPER | FR_LARGE_FILE | FR_HUGE_FILE |
					FR_GDT_CSUM | FR_DIR_NLINK |
					FR_EXTRA_ISIZE | FR_METADATA_CSUM |
					FR_ORPHAN_PRESENT);
	assert_int_equal(gate.mode, DSUPER_MODE_RW);
	assert_string_equal(gate.names, "");
}

static void gate_judges_every_bit(void **state)
{
	for (unsigned i = 0; i < 32; i++) {
		for (int set = 0; set < 3; set++) {
			enum dfeature_set s = (enum dfeature_set)set;
			uint32_t bit = UINT32_C(1) << i;
			uint32_t bits[3] = { FC_HAS_JOURNAL, 0, 0 };
			struct dsuper_gate gate;
			char name[64];

			bits[set] |= bit;
			gate_of(&gate, bits[0], bits[1], bits[2]);
			assert_int_equal(gate.mode,
					(int)dfeature_rule_of(s, bit));
			if (gate.mode == DSUPER_MODE_RW)
				continue;
			(void)dfeature_names(s, bit, "", name, sizeof(name));
			assert_string_equal(gate.names, name);
			assert_non_null(gate.why);
		}
	}
	assert_int_equal(dfeature_rule_of(DFEATURE_COMPAT, 0x80000000u),
			DFEATURE_RW);
	assert_int_equal(dfeature_rule_of(DFEATURE_RO_COMPAT, 0x80000000u),
			DFEATURE_RO);
	assert_int_equal(dfeature_rule_of(DFEATURE_INCOMPAT, 0x80000000u),
			DFEATURE_REFUSE);
}

static void gate_prefers_refusal(void **state)
{
	struct dsuper_gate gate;

	gate_of(&gate, 0, FI_ENCRYPT | FI_META_BG | 0x100000u, FR_QUOTA);
	assert_int_equal(gate.mode, DSUPER_MODE_REFUSE);
	assert_string_equal(gate.names, "encrypt, FEATURE_I20");
	gate_of(&gate, 0, FI_META_BG, FR_QUOTA | 0x40000000u);
	assert_int_equal(gate.mode, DSUPER_MODE_RO);
	assert_string_equal(gate.names, "meta_bg, quota, FEATURE_R30");
	gate_of(&gate, 0, FI_RECOVER, 0);
	assert_int_equal(gate.mode, DSUPER_MODE_RO);
}

static void names_are_cut_to_fit(void **state)
{
	char buf[8];
	size_t n = dfeature_names(
			DFEATURE_RO_COMPAT, 0xffffffffu, ",", buf, sizeof(buf));

	assert_true(n > 100);
	assert_int_equal(strlen(buf), 7);
}

/* ---- hostile numbers ---- */

static void impossible_numbers_are_refused(void **state)
{
	static const struct {
		const char *what;
		uint16_t off;
		uint8_t size;
		uint64_t value;
	} table[] = {
		{ "inodes", 0x00, 4, 1 },
		{ "inodes", 0x00, 4, 0xffffffff },
		{ "no blocks", 0x04, 4, 0 },
		{ "one block", 0x04, 4, 1 },
		{ "blocks past device", 0x04, 4, 0xffffffff },
		{ "first block", 0x14, 4, 2 },
		{ "first block", 0x14, 4, 0xffffffff },
		{ "block size", 0x18, 4, 7 },
		{ "block size", 0x18, 4, 0xffffffff },
		{ "cluster size", 0x1C, 4, 0xffffffff },
		{ "blocks per group", 0x20, 4, 0 },
		{ "blocks per group", 0x20, 4, 7 },
		{ "blocks per group", 0x20, 4, 0xffffffff },
		{ "clusters per group", 0x24, 4, 0 },
		{ "inodes per group", 0x28, 4, 0 },
		{ "inodes per group", 0x28, 4, 0xffffffff },
		{ "magic", 0x38, 2, 0xEF54 },
		{ "first inode", 0x54, 4, 10 },
		{ "first inode", 0x54, 4, 0xffffffff },
		{ "inode size", 0x58, 2, 0 },
		{ "inode size", 0x58, 2, 64 },
		{ "inode size", 0x58, 2, 192 },
		{ "inode size", 0x58, 2, 8192 },
		{ "reserved descriptors", 0xCE, 2, 0xffff },
		{ "journal inode", 0xE0, 4, 0xffffffff },
		{ "descriptor size", 0xFE, 2, 0 },
		{ "descriptor size", 0xFE, 2, 32 },
		{ "descriptor size", 0xFE, 2, 96 },
		{ "descriptor size", 0xFE, 2, 8192 },
		{ "blocks, high", 0x150, 4, 0xffffffff },
		{ "flex group", 0x174, 1, 32 },
		{ "checksum type", 0x175, 1, 2 },
		{ "orphan file", 0x280, 4, 0xffffffff },
		{ "orphan file", 0x280, 4, 0 },
	};
	struct e2img img;

	if (!e2_make(&img, "-t ext4 -O metadata_csum,64bit,orphan_file", "32M",
			    NULL))
		skip();
	for (size_t i = 0; i < array_len(table); i++) {
		uint8_t raw[DSUPER_SIZE];
		const char *why = NULL;
		struct dsuper sb;
		struct geo geo;
		int ret;

		memcpy(raw, sb_raw(&img), sizeof(raw));
		for (unsigned j = 0; j < table[i].size; j++)
			raw[table[i].off + j] =
					(uint8_t)(table[i].value >> (8 * j));
		dsuper_decode(raw, &sb);
		ret = dsuper_check(&sb, img.len, &why);
		if (ret == 0)
			ret = geo_init(&geo, &sb, &why);
		if (ret != -UEXT4_ECORRUPT || !why)
			fail_msg("%s %#llx: %d", table[i].what,
					(unsigned long long)table[i].value,
					ret);
	}
	e2_free(&img);
}

/* Whatever passes the check gives a geometry that can be worked with. */
static void random_damage_is_refused_or_harmless(void **state)
{
	struct e2img img;
	unsigned passed = 0;

	if (!e2_make(&img, "-t ext4 -O metadata_csum,64bit", "32M", NULL))
		skip();
	srandom(2);
	for (int round = 0; round < 20000; round++) {
		uint8_t raw[DSUPER_SIZE];
		struct dsuper_gate gate;
		struct dsuper sb;
		struct geo geo;

		memcpy(raw, sb_raw(&img), sizeof(raw));
		for (int n = 0; n < 1 + round % 4; n++)
			raw[random() % 0x290] ^= (uint8_t)(1 << random() % 8);
		dsuper_decode(raw, &sb);
		dsuper_gate(&sb, &gate);
		if (dsuper_check(&sb, img.len, NULL) < 0 ||
				geo_init(&geo, &sb, NULL) < 0)
			continue;
		passed++;
		for (grp_t g = 0; g < min_of(geo.groups, 100u); g++) {
			(void)geo_grp_base_meta(&geo, g);
			assert_true(geo_grp_blocks(&geo, g) <= geo.bpg);
		}
		for (uint32_t b = 0; b < min_of(geo.gdt_blocks, 100u); b++)
			assert_true(geo_block_ok(&geo, geo_gdt_block(&geo, b)));
	}
	assert_true(passed > 100);
	e2_free(&img);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(checksum_matches_mke2fs),
		cmocka_unit_test(encode_gives_back_what_was_decoded),
		cmocka_unit_test(encode_keeps_random_bytes),
		cmocka_unit_test(fields_stand_where_debugfs_puts_them),
		cmocka_unit_test(error_log_reads_back_in_dumpe2fs),
		cmocka_unit_test(backups_are_of_the_same_fs),
		cmocka_unit_test(torn_primary_is_repaired_from_a_backup),
		cmocka_unit_test(names_are_those_of_e2fsprogs),
		cmocka_unit_test(gate_lets_our_features_through),
		cmocka_unit_test(gate_judges_every_bit),
		cmocka_unit_test(gate_prefers_refusal),
		cmocka_unit_test(names_are_cut_to_fit),
		cmocka_unit_test(
				a_kept_checksum_leaves_the_second_sector_alone),
		cmocka_unit_test(impossible_numbers_are_refused),
		cmocka_unit_test(random_damage_is_refused_or_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
