/* SPDX-License-Identifier: MIT */
/*
 * The MMP block against those that mke2fs makes, and ours against debugfs.
 */
#include "e2img.h"

#include "base/csum.h"
#include "base/err.h"
#include "disk/dmmp.h"

static const char *const kinds[] = {
	"-t ext4 -b 1024 -O mmp,metadata_csum",
	"-t ext4 -b 4096 -O mmp,metadata_csum,metadata_csum_seed,64bit",
	"-t ext4 -b 4096 -O mmp,^metadata_csum -E mmp_update_interval=7",
};

static uint8_t *mmp_block(struct e2img *img)
{
	return e2_block(img, img->sb.mmp_block);
}

static void blocks_of_mke2fs_are_clean(void **state)
{
	for (size_t i = 0; i < array_len(kinds); i++) {
		const char *why = "";
		struct e2img img;
		struct dmmp d;

		if (!e2_make(&img, kinds[i], "16M", NULL))
			skip();
		assert_true(geo_has_incompat(&img.geo, FI_MMP));
		if (dmmp_check(&img.geo, mmp_block(&img), &why) < 0)
			fail_msg("%s: %s", kinds[i], why);
		dmmp_decode(mmp_block(&img), &d);
		assert_int_equal(d.seq, DMMP_SEQ_CLEAN);
		assert_int_equal(d.check_interval,
				max_of(img.sb.mmp_update_interval,
						DMMP_CHECK_MIN));
		assert_true(d.time > 1000000000);
		assert_string_equal(d.device, "img");
		e2_free(&img);
	}
}

static void write_back(struct e2img *img)
{
	FILE *f = fopen(img->path, "r+b");

	assert_non_null(f);
	assert_int_equal(fwrite(img->bytes, 1, img->len, f), img->len);
	assert_int_equal(fclose(f), 0);
}

/* What we write is what debugfs reads, and dmmp_decode() finds again. */
static void debugfs_reads_our_block(void **state)
{
	for (size_t i = 0; i < array_len(kinds); i++) {
		struct dmmp ours = {
			.seq = 0x1234,
			.time = 1700000000,
			.check_interval = 14,
			.node = "a.node",
			.device = "disk.img",
		};
		struct dmmp back;
		struct e2img img;
		char out[4096];

		if (!e2_make(&img, kinds[i], "16M", NULL))
			skip();
		dmmp_encode(&img.geo, &ours, mmp_block(&img));
		assert_int_equal(
				dmmp_check(&img.geo, mmp_block(&img), NULL), 0);
		dmmp_decode(mmp_block(&img), &back);
		assert_int_equal(back.seq, ours.seq);
		assert_int_equal(back.time, ours.time);
		assert_int_equal(back.check_interval, ours.check_interval);
		assert_string_equal(back.node, ours.node);
		assert_string_equal(back.device, ours.device);
		write_back(&img);
		e2_sh_out(out, sizeof(out), "debugfs -R dump_mmp '%s' 2>&1",
				img.path);
		if (!strstr(out, "sequence: 00001234\n") ||
				!strstr(out, "time: 1700000000 ") ||
				!strstr(out, "check_interval: 14\n") ||
				!strstr(out, "node_name: a.node\n") ||
				!strstr(out, "device_name: disk.img\n"))
			fail_msg("debugfs says\n%s", out);
		e2_free(&img);
	}
}

static void fill(uint8_t *raw, const struct geo *geo)
{
	for (unsigned i = 0; i < DMMP_SIZE; i++)
		raw[i] = (uint8_t)random();
	put_le32(raw, DMMP_MAGIC);
	if (geo_has_csum(geo))
		put_le32(raw + 0x3fc, crc32c(geo->csum_seed, raw, 0x3fc));
}

/* MB1: whatever stood there, half of our write is not half of a block. */
static void our_write_stays_in_one_sector(void **state)
{
	const struct geo geo = {
		.ro_compat = FR_METADATA_CSUM,
		.csum_seed = 0x12345678,
	};
	struct dmmp d = { .check_interval = 10, .device = "d" };
	uint8_t raw[DMMP_SIZE];
	uint8_t was[DMMP_SIZE];

	srandom(42);
	for (unsigned n = 0; n < 64; n++) {
		fill(raw, &geo);
		memcpy(was, raw, sizeof(raw));
		memset(d.node, 'n', n);
		d.node[n] = '\0';
		d.seq = (uint32_t)random();
		dmmp_encode(&geo, &d, raw);
		assert_int_equal(dmmp_check(&geo, raw, NULL), 0);
		assert_memory_equal(raw + 512, was + 512, 512);
		assert_int_equal(strnlen((char *)raw + 0x10, 64),
				min_of(n, DMMP_NODE_MAX));
	}
}

static void what_is_none_is_refused(void **state)
{
	struct geo geo = { .ro_compat = FR_METADATA_CSUM, .csum_seed = 1 };
	const char *why = NULL;
	uint8_t raw[DMMP_SIZE];
	struct dmmp d;

	srandom(43);
	fill(raw, &geo);
	assert_int_equal(dmmp_check(&geo, raw, &why), 0);
	raw[100] ^= 1;
	assert_int_equal(dmmp_check(&geo, raw, &why), -UEXT4_EBADCSUM);
	assert_non_null(why);
	geo.ro_compat = 0;
	assert_int_equal(dmmp_check(&geo, raw, NULL), 0);
	raw[1] ^= 1;
	assert_int_equal(dmmp_check(&geo, raw, &why), -UEXT4_ECORRUPT);

	/* Names of strangers are harmless to a terminal, and end. */
	memset(raw + 0x10, 0x1b, 64);
	memset(raw + 0x50, 0x9b, 32);
	dmmp_decode(raw, &d);
	assert_int_equal(strspn(d.node, "?"), 64);
	assert_int_equal(strlen(d.node), 64);
	assert_int_equal(strspn(d.device, "?"), 32);
	assert_int_equal(strlen(d.device), 32);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocks_of_mke2fs_are_clean),
		cmocka_unit_test(debugfs_reads_our_block),
		cmocka_unit_test(our_write_stays_in_one_sector),
		cmocka_unit_test(what_is_none_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
