/* SPDX-License-Identifier: MIT */
/*
 * jbd2 blocks against journals that debugfs writes, in all six forms of tags;
 * blocks of our own read back; hostile blocks.
 */
#include "e2img.h"

#include "base/err.h"
#include "disk/djournal.h"

static const struct {
	const char *features;
	const char *open;
	uint32_t incompat;
	uint32_t tag_size;
} forms[] = {
	{ "^metadata_csum,^64bit", "", 0, 8 },
	{ "^metadata_csum,64bit", "", DJ_FI_64BIT, 12 },
	{ "metadata_csum,^64bit", "-c -v 2", DJ_FI_CSUM_V2, 10 },
	{ "metadata_csum,64bit", "-c -v 2", DJ_FI_CSUM_V2 | DJ_FI_64BIT, 14 },
	{ "metadata_csum,^64bit", "-c -v 3", DJ_FI_CSUM_V3, 16 },
	{ "metadata_csum,64bit", "-c -v 3", DJ_FI_CSUM_V3 | DJ_FI_64BIT, 16 },
};

#define NDATA 4

static uint8_t *journal_block(struct e2img *img, lblk_t lblk)
{
	return e2_block(img, e2_bmap(img, INUM_JOURNAL, lblk));
}

/* Four blocks, A, B, C, D; B begins like a journal block. */
static void make_data(const struct e2img *img, uint8_t data[NDATA * 1024])
{
	char path[96];
	FILE *f;

	for (unsigned i = 0; i < NDATA; i++)
		memset(data + (size_t)i * 1024, 'A' + (int)i, 1024);
	put_be32(data + 1024, DJ_MAGIC);
	(void)snprintf(path, sizeof(path), "%s/data", img->dir);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(
			fwrite(data, 1, (size_t)NDATA * 1024, f), NDATA * 1024);
	(void)fclose(f);
}

static void check_super(struct e2img *img, unsigned form, struct dj *ret_dj)
{
	uint8_t *raw = journal_block(img, 0);
	struct dj_super js;
	uint8_t copy[1024];
	const char *why = "";

	assert_int_equal(dj_super_csum_verify(raw), 0);
	dj_super_decode(raw, &js);
	if (dj_super_check(&js, 1024, 1024, &why) < 0)
		fail_msg("journal superblock: %s", why);
	assert_int_equal(js.incompat, forms[form].incompat | DJ_FI_REVOKE);
	assert_int_equal(js.start, 1);
	assert_int_equal(js.sequence, 1);
	memcpy(copy, raw, sizeof(copy));
	dj_super_encode(&js, copy);
	assert_memory_equal(copy, raw, sizeof(copy));
	dj_super_csum_set(copy);
	assert_memory_equal(copy, raw, sizeof(copy));
	copy[0x18] ^= 1;
	if (forms[form].incompat & (DJ_FI_CSUM_V2 | DJ_FI_CSUM_V3))
		assert_int_equal(dj_super_csum_verify(copy), -UEXT4_EBADCSUM);
	dj_init(ret_dj, &js);
}

static void check_descriptor(
		struct e2img *img, const struct dj *dj, const uint8_t *data)
{
	const uint8_t *b = journal_block(img, 1);
	uint32_t off = DJ_TAGS_OFF;
	struct dj_tag tag;
	struct dj_hdr h;
	unsigned n = 0;

	dj_hdr_decode(b, &h);
	assert_int_equal(h.magic, DJ_MAGIC);
	assert_int_equal(h.type, DJ_DESCRIPTOR);
	assert_int_equal(h.txid, 1);
	assert_int_equal(dj_tail_csum_verify(dj, b), 0);
	while (dj_tag_next(dj, b, &off, &tag)) {
		const uint8_t *logged = journal_block(img, 2 + n);
		uint8_t want[1024];

		assert_true(n < NDATA);
		assert_int_equal(tag.pblk, 5000 + n);
		assert_int_equal((tag.flags & DJ_TAG_SAME_UUID) != 0, n > 0);
		assert_int_equal(
				(tag.flags & DJ_TAG_LAST) != 0, n == NDATA - 1);
		assert_int_equal((tag.flags & DJ_TAG_ESCAPE) != 0, n == 1);
		assert_int_equal(dj_data_csum_verify(dj, 1, &tag, logged), 0);
		if (dj->has_csum)
			assert_int_equal(dj_data_csum_verify(
							 dj, 2, &tag, logged),
					-UEXT4_EBADCSUM);
		memcpy(want, data + (size_t)n * 1024, sizeof(want));
		if (tag.flags & DJ_TAG_ESCAPE)
			put_be32(want, 0);
		assert_memory_equal(logged, want, sizeof(want));
		n++;
	}
	assert_int_equal(n, NDATA);
}

static void check_commit_and_revoke(struct e2img *img, const struct dj *dj)
{
	const uint8_t *b = journal_block(img, 6);
	uint8_t copy[1024];
	struct dj_commit c;
	struct dj_hdr h;
	uint32_t n = 0;

	dj_commit_decode(b, &c);
	assert_int_equal(c.h.type, DJ_COMMIT);
	assert_int_equal(c.h.txid, 1);
	assert_true(c.sec > 1600000000);
	assert_int_equal(dj_commit_csum_verify(dj, b), 0);
	c.csum[0] = 0;
	dj_commit_encode(dj, copy, &c);
	dj_commit_csum_set(dj, copy);
	assert_memory_equal(copy, b, sizeof(copy));
	copy[0x30] ^= 1;
	if (dj->has_csum)
		assert_int_equal(dj_commit_csum_verify(dj, copy),
				-UEXT4_EBADCSUM);

	b = journal_block(img, 7);
	dj_hdr_decode(b, &h);
	assert_int_equal(h.type, DJ_REVOKE);
	assert_int_equal(h.txid, 2);
	assert_int_equal(dj_tail_csum_verify(dj, b), 0);
	assert_int_equal(dj_revoke_count(dj, b, &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(dj_revoke_get(dj, b, 0), 6000);
	assert_int_equal(dj_revoke_get(dj, b, 1), 6001);
	memcpy(copy, b, sizeof(copy));
	dj_tail_csum_set(dj, copy);
	assert_memory_equal(copy, b, sizeof(copy));
	copy[16] ^= 1;
	if (dj->has_csum)
		assert_int_equal(
				dj_tail_csum_verify(dj, copy), -UEXT4_EBADCSUM);
}

static void journals_of_debugfs_match(void **state)
{
	for (unsigned form = 0; form < array_len(forms); form++) {
		static uint8_t data[NDATA * 1024];
		struct e2img img;
		char text[256];
		struct dj dj;

		if (!e2_is_there())
			skip();
		e2_dir(&img);
		make_data(&img, data);
		(void)snprintf(text, sizeof(text), "-t ext4 -b 1024 -O %s",
				forms[form].features);
		e2_mkfs(&img, text, "16M", NULL);
		(void)snprintf(text, sizeof(text),
				"jo %s\njw -b 5000,5001,5002,5003 data\n"
				"jw -r 6000,6001\njc\n",
				forms[form].open);
		e2_debugfs(&img, text);
		check_super(&img, form, &dj);
		assert_int_equal(dj_tag_size(&dj), forms[form].tag_size);
		check_descriptor(&img, &dj, data);
		check_commit_and_revoke(&img, &dj);
		e2_free(&img);
	}
}

/* ---- our own blocks ---- */

static struct dj dj_of(unsigned form)
{
	struct dj_super js = {
		.h = { .type = DJ_SUPER_V2 },
		.blocksize = 1024,
		.incompat = forms[form].incompat,
		.uuid = { 1, 2, 3 },
	};
	struct dj dj;

	dj_init(&dj, &js);
	return dj;
}

static void descriptors_read_back_full(void **state)
{
	for (unsigned form = 0; form < array_len(forms); form++) {
		const struct dj dj = dj_of(form);
		uint8_t block[1024] = { 0 };
		uint32_t off = DJ_TAGS_OFF;
		uint32_t last = 0;
		uint32_t n = 0, i = 0;
		struct dj_tag tag = { .checksum = 7 };

		for (;;) {
			uint32_t at = off;

			tag.pblk = 100 + n;
			tag.flags = n > 0 ? DJ_TAG_SAME_UUID : 0;
			if (dj_tag_put(&dj, block, &off, &tag) < 0)
				break;
			last = at;
			n++;
		}
		assert_int_equal(n, dj_tags_max(&dj));
		dj_tag_mark_last(&dj, block, last);
		dj_tail_csum_set(&dj, block);
		assert_int_equal(dj_tail_csum_verify(&dj, block), 0);
		off = DJ_TAGS_OFF;
		while (dj_tag_next(&dj, block, &off, &tag)) {
			assert_int_equal(tag.pblk, 100 + i);
			i++;
			assert_int_equal(
					(tag.flags & DJ_TAG_LAST) != 0, i == n);
		}
		assert_int_equal(i, n);
	}
}

static void revoke_blocks_read_back_full(void **state)
{
	for (unsigned form = 0; form < array_len(forms); form++) {
		const struct dj dj = dj_of(form);
		uint8_t block[1024] = { 0 };
		uint32_t n = 0;

		for (uint32_t i = 0; i < dj_revoke_max(&dj); i++)
			dj_revoke_put(&dj, block, i, 1000 + i);
		dj_revoke_set_count(&dj, block, dj_revoke_max(&dj));
		dj_tail_csum_set(&dj, block);
		assert_int_equal(dj_revoke_count(&dj, block, &n), 0);
		assert_int_equal(n, dj_revoke_max(&dj));
		for (uint32_t i = 0; i < n; i++)
			assert_int_equal(
					dj_revoke_get(&dj, block, i), 1000 + i);
	}
}

/* ---- hostile ---- */

static void impossible_superblocks_are_refused(void **state)
{
	static const struct {
		const char *what;
		uint32_t off;
		uint32_t value;
		int want;
	} table[] = {
		{ "magic", 0x00, 0xC03B3999, -UEXT4_ECORRUPT },
		{ "type", 0x04, 2, -UEXT4_ECORRUPT },
		{ "block size", 0x0C, 4096, -UEXT4_ECORRUPT },
		{ "too short", 0x10, 1023, -UEXT4_ECORRUPT },
		{ "too long", 0x10, 1025, -UEXT4_ECORRUPT },
		{ "too long", 0x10, 0xffffffff, -UEXT4_ECORRUPT },
		{ "first 0", 0x14, 0, -UEXT4_ECORRUPT },
		{ "first", 0x14, 1024, -UEXT4_ECORRUPT },
		{ "start", 0x1C, 1024, -UEXT4_ECORRUPT },
		{ "start", 0x1C, 0xffffffff, -UEXT4_ECORRUPT },
		{ "both sums", 0x28, 0x18, -UEXT4_ECORRUPT },
		{ "unknown", 0x28, 0x40, -EOPNOTSUPP },
		{ "unknown", 0x2C, 1, -EOPNOTSUPP },
		{ "sum of another type", 0x50, 0x01000000, -UEXT4_ECORRUPT },
		{ "fast commits", 0x28, 0x20, -UEXT4_ECORRUPT },
	};
	struct dj_super good = {
		.h = { DJ_MAGIC, DJ_SUPER_V2, 0 },
		.blocksize = 1024,
		.maxlen = 1024,
		.first = 1,
		.start = 5,
		.incompat = DJ_FI_CSUM_V3,
		.checksum_type = DJ_CSUM_CRC32C,
	};

	assert_int_equal(dj_super_check(&good, 1024, 1024, NULL), 0);
	for (size_t i = 0; i < array_len(table); i++) {
		uint8_t raw[DJ_SUPER_SIZE] = { 0 };
		struct dj_super js;
		const char *why = NULL;
		int ret;

		dj_super_encode(&good, raw);
		put_be32(raw + table[i].off, table[i].value);
		dj_super_decode(raw, &js);
		ret = dj_super_check(&js, 1024, 1024, &why);
		if (ret != table[i].want || !why)
			fail_msg("%s: %d", table[i].what, ret);
	}
	good.incompat |= DJ_FI_FAST_COMMIT;
	good.maxlen = 4096;
	/* Whether the area is in use is for recovery to see. */
	assert_int_equal(dj_super_check(&good, 1024, 4096, NULL), 0);
	good.start = 0;
	assert_int_equal(dj_super_check(&good, 1024, 4096, NULL), 0);
	assert_int_equal(dj_super_last(&good), 4096 - 256);
}

static void impossible_revoke_counts_are_refused(void **state)
{
	static const uint32_t counts[] = { 0, 15, 1021, 1025, 0xffffffff };
	const struct dj dj = dj_of(5);
	uint8_t block[1024] = { 0 };
	uint32_t n = 0;

	for (size_t i = 0; i < array_len(counts); i++) {
		put_be32(block + 12, counts[i]);
		assert_int_equal(dj_revoke_count(&dj, block, &n),
				-UEXT4_ECORRUPT);
	}
	put_be32(block + 12, 16);
	assert_int_equal(dj_revoke_count(&dj, block, &n), 0);
	assert_int_equal(n, 0);
}

/* Any bytes: the walk ends, inside the block (with ASan). */
static void random_descriptors_are_harmless(void **state)
{
	srandom(10);
	for (int round = 0; round < 20000; round++) {
		const struct dj dj = dj_of((unsigned)round % 6);
		uint8_t *block = (uint8_t *)malloc(1024);
		uint32_t off = DJ_TAGS_OFF;
		struct dj_tag tag;
		unsigned n = 0;

		assert_non_null(block);
		for (unsigned i = 0; i < 1024; i++)
			block[i] = (uint8_t)(random() >> 3) &
					(round & 64 ? 0xff : 0x02);
		while (dj_tag_next(&dj, block, &off, &tag))
			assert_true(++n <= 1024 / 8);
		assert_int_equal(off, dj_tags_end(&dj));
		free(block);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(journals_of_debugfs_match),
		cmocka_unit_test(descriptors_read_back_full),
		cmocka_unit_test(revoke_blocks_read_back_full),
		cmocka_unit_test(impossible_superblocks_are_refused),
		cmocka_unit_test(impossible_revoke_counts_are_refused),
		cmocka_unit_test(random_descriptors_are_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
