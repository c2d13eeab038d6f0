/* SPDX-License-Identifier: MIT */
/*
 * Attribute lists against those that debugfs makes, changes against a plain
 * model and against e2fsck, hostile lists.
 */
#include "e2img.h"

#include "base/err.h"
#include "disk/dxattr.h"

static bool inode_area(struct e2img *img, inum_t inum, struct dxattr_area *area)
{
	struct dinode di = e2_dinode(img, inum);
	uint32_t off, len;

	dinode_xattr_area(&img->geo, &di, &off, &len);
	return len > 0 &&
			dxattr_area_inode(e2_inode(img, inum) + off, len, area);
}

static void expect(const struct dxattr_area *area, const char *full,
		const void *value, uint32_t len)
{
	struct dxattr_entry e;
	const char *rest;
	uint8_t index;
	uint32_t n;

	assert_int_equal(dxattr_name_split(full, &index, &rest, &n), 0);
	assert_int_equal(dxattr_find(area, index, rest, n, &e), 0);
	assert_int_equal(e.value_len, len);
	assert_memory_equal(area->base + e.value_off, value, len);
}

static void lists_of_debugfs_match(void **state)
{
	static const char *const args[] = {
		"-t ext4 -b 1024 -O metadata_csum,64bit",
		"-t ext4 -b 4096 -O metadata_csum,metadata_csum_seed",
		"-t ext4 -b 4096 -O ^metadata_csum",
		"-t ext2 -b 1024 -I 128",
	};

	for (size_t i = 0; i < array_len(args); i++) {
		struct e2img img;
		struct dxattr_area area;
		struct dinode di;
		const char *why = "";
		uint8_t copy[4096];
		inum_t inum;

		if (!e2_make(&img, args[i], "16M",
				    "write script f\n"
				    "ea_set f user.small x\n"
				    "ea_set f security.word selinux-like\n"
				    "ea_set -f script f user.big\n"
				    "ea_set -f script f trusted.other\n"
				    "ea_set f user.h\xc3\xa9 v\n"))
			skip();
		inum = e2_lookup(&img, "f");
		di = e2_dinode(&img, inum);
		assert_true(di.file_acl != 0);
		assert_int_equal(dxattr_csum_verify(&img.geo, di.file_acl,
						 e2_block(&img, di.file_acl)),
				0);
		dxattr_area_block(&img.geo, e2_block(&img, di.file_acl), &area);
		if (dxattr_check(&img.geo, &area, &why) < 0)
			fail_msg("block: %s", why);
		if (dxattr_check_hashes(&area, &why) < 0)
			fail_msg("block: %s", why);

		memcpy(copy, area.base, img.geo.block_size);
		dxattr_csum_set(&img.geo, di.file_acl, copy);
		assert_memory_equal(copy, area.base, img.geo.block_size);
		/* debugfs leaves the header's hash 0; ours is checked too. */
		dxattr_block_hash_set(&img.geo, copy);
		assert_true(get_le32(copy + 12) != 0);
		put_le32(copy + 12, 0);
		copy[40] ^= 1;
		if (geo_has_csum(&img.geo)) {
			assert_int_equal(dxattr_csum_verify(&img.geo,
							 di.file_acl, copy),
					-UEXT4_EBADCSUM);
			assert_int_equal(dxattr_csum_verify(&img.geo,
							 di.file_acl + 1,
							 area.base),
					-UEXT4_EBADCSUM);
		}
		if (img.geo.inode_size > 128) {
			assert_true(inode_area(&img, inum, &area));
			if (dxattr_check(&img.geo, &area, &why) < 0)
				fail_msg("inode: %s", why);
			if (dxattr_check_hashes(&area, &why) < 0)
				fail_msg("inode: %s", why);
			expect(&area, "user.small", "x", 1);
		}
		e2_free(&img);
	}
}

static void names_go_both_ways(void **state)
{
	static const struct {
		const char *full;
		uint8_t index;
		const char *rest;
	} good[] = {
		{ "user.a", DXATTR_IDX_USER, "a" },
		{ "trusted.overlay.x", DXATTR_IDX_TRUSTED, "overlay.x" },
		{ "security.selinux", DXATTR_IDX_SECURITY, "selinux" },
		{ "system.posix_acl_access", DXATTR_IDX_ACL_ACCESS, "" },
		{ "system.posix_acl_default", DXATTR_IDX_ACL_DEFAULT, "" },
		{ "system.data", DXATTR_IDX_SYSTEM, "data" },
		{ "system.richacl", DXATTR_IDX_RICHACL, "" },
		{ "system.posix_acl_accessx", DXATTR_IDX_SYSTEM,
				"posix_acl_accessx" },
	};
	char name[300] = "user.";
	const char *rest;
	uint8_t index;
	uint32_t len;

	for (size_t i = 0; i < array_len(good); i++) {
		char full[64];

		assert_int_equal(dxattr_name_split(good[i].full, &index, &rest,
						 &len),
				0);
		assert_int_equal(index, good[i].index);
		assert_string_equal(rest, good[i].rest);
		assert_int_equal(len, strlen(rest));
		(void)snprintf(full, sizeof(full), "%s%s", dxattr_prefix(index),
				rest);
		assert_string_equal(full, good[i].full);
	}
	assert_int_equal(dxattr_name_split("user.", &index, &rest, &len),
			-EINVAL);
	assert_int_equal(dxattr_name_split("other.x", &index, &rest, &len),
			-EOPNOTSUPP);
	assert_int_equal(dxattr_name_split("", &index, &rest, &len),
			-EOPNOTSUPP);
	memset(name + 5, 'x', 255);
	assert_int_equal(dxattr_name_split(name, &index, &rest, &len), 0);
	name[260] = 'x';
	assert_int_equal(dxattr_name_split(name, &index, &rest, &len), -ERANGE);
	assert_null(dxattr_prefix(99));
}

/* ---- changes, against a list of values ---- */

#define NATTRS 40

static const struct geo test_geo = { .block_size = 4096, .block_bits = 12 };

struct model {
	bool is_set[NATTRS];
	uint32_t len[NATTRS];
	uint8_t fill[NATTRS];
};

static void compare(const struct dxattr_area *area, const struct model *m)
{
	uint32_t off = area->first;
	struct dxattr_entry e, last = { .name_len = 0 };
	const char *why = "";
	unsigned n = 0, want = 0;

	if (dxattr_check(&test_geo, area, &why) < 0)
		fail_msg("list: %s", why);
	while (dxattr_next(area, &off, &e)) {
		unsigned i = (unsigned)strtoul(e.name + 1, NULL, 10);

		assert_true(i < NATTRS && m->is_set[i]);
		assert_int_equal(e.value_len, m->len[i]);
		for (uint32_t j = 0; j < e.value_len; j++)
			assert_int_equal(area->base[e.value_off + j],
					m->fill[i]);
		if (area->is_block && n > 0) {
			assert_true(e.name_len >= last.name_len);
			if (e.name_len == last.name_len)
				assert_true(memcmp(last.name, e.name,
							    e.name_len) < 0);
		}
		last = e;
		n++;
	}
	for (unsigned i = 0; i < NATTRS; i++)
		want += m->is_set[i];
	assert_int_equal(n, want);
	assert_int_equal(dxattr_is_empty(area), want == 0);
}

static void change_at_random(struct dxattr_area *area)
{
	struct model m = { .is_set = { false } };
	unsigned full = 0;
	uint32_t room = dxattr_free_space(area);

	for (int round = 0; round < 5000; round++) {
		unsigned i = (unsigned)random() % NATTRS;
		uint32_t len = (uint32_t)random() % (area->end / 8);
		uint8_t value[4096];
		char name[64];
		uint32_t name_len;
		int ret;

		name_len = (uint32_t)snprintf(name, sizeof(name), "a%u.%0*u", i,
				(int)(i % 7 + 1), 0u);
		if (random() % 3 == 0) {
			ret = dxattr_remove(
					area, DXATTR_IDX_USER, name, name_len);
			assert_int_equal(ret, m.is_set[i] ? 0 : -ENOENT);
			m.is_set[i] = false;
		} else {
			memset(value, round, sizeof(value));
			ret = dxattr_set(area, DXATTR_IDX_USER, name, name_len,
					value, len);
			if (ret == -ENOSPC) {
				full++;
				compare(area, &m);
				continue;
			}
			assert_int_equal(ret, 0);
			m.is_set[i] = true;
			m.len[i] = len;
			m.fill[i] = (uint8_t)round;
		}
		compare(area, &m);
	}
	assert_true(full > 0);
	for (unsigned i = 0; i < NATTRS; i++) {
		char name[64];
		uint32_t name_len = (uint32_t)snprintf(name, sizeof(name),
				"a%u.%0*u", i, (int)(i % 7 + 1), 0u);

		if (m.is_set[i])
			assert_int_equal(dxattr_remove(area, DXATTR_IDX_USER,
							 name, name_len),
					0);
	}
	assert_true(dxattr_is_empty(area));
	assert_int_equal(dxattr_free_space(area), room);
}

static void changes_keep_lists_sound(void **state)
{
	uint8_t block[4096], bytes[864];
	struct dxattr_area area;

	srandom(11);
	dxattr_block_init(&test_geo, block, &area);
	change_at_random(&area);
	dxattr_inode_init(bytes, sizeof(bytes), &area);
	change_at_random(&area);
}

static void room_is_counted_exactly(void **state)
{
	uint8_t bytes[96], value[96] = { 0 };
	struct dxattr_area area;
	uint32_t room;

	dxattr_inode_init(bytes, sizeof(bytes), &area);
	room = dxattr_free_space(&area);
	assert_int_equal(room, 96 - 4 - 4);
	assert_int_equal(dxattr_need(3, 5), 20 + 8);
	assert_int_equal(dxattr_set(&area, 1, "abcd", 4, value, room - 20 + 1),
			-ENOSPC);
	assert_int_equal(dxattr_set(&area, 1, "abcd", 4, value, room - 20), 0);
	assert_int_equal(dxattr_free_space(&area), 0);
	assert_int_equal(dxattr_set(&area, 1, "b", 1, value, 0), -ENOSPC);
	assert_int_equal(dxattr_set(&area, 1, "abcd", 4, value, 0), 0);
	assert_int_equal(dxattr_set(&area, 1, "b", 1, value, 4), 0);
	assert_int_equal(dxattr_check(&test_geo, &area, NULL), 0);
}

/* Our lists, block and inode, written into an image: e2fsck and debugfs. */
static void e2fsck_accepts_our_lists(void **state)
{
	struct e2img img;
	struct dxattr_area area;
	struct dinode di;
	char out[4096], value[200];
	uint32_t off, len;
	inum_t inum;
	FILE *f;

	if (!e2_make(&img, "-t ext4 -b 1024 -O metadata_csum,^has_journal",
			    "8M",
			    "write script f\n"
			    "ea_set -f script f user.large-enough-for-a-block\n"
			    "ea_set -f script f user.large-enough-for-another"
			    "\n"))
		skip();
	inum = e2_lookup(&img, "f");
	di = e2_dinode(&img, inum);
	if (di.file_acl == 0)
		fail_msg("debugfs used no block");
	dxattr_block_init(&img.geo, e2_block(&img, di.file_acl), &area);
	memset(value, 'v', sizeof(value));
	assert_int_equal(
			dxattr_set(&area, DXATTR_IDX_USER, "zz", 2, value, 199),
			0);
	assert_int_equal(dxattr_set(&area, DXATTR_IDX_USER, "h\xc3\xa9", 3,
					 value, 5),
			0);
	assert_int_equal(
			dxattr_set(&area, DXATTR_IDX_TRUSTED, "t", 1, value, 6),
			0);
	dxattr_block_hash_set(&img.geo, area.base);
	dxattr_csum_set(&img.geo, di.file_acl, area.base);

	dinode_xattr_area(&img.geo, &di, &off, &len);
	dxattr_inode_init(e2_inode(&img, inum) + off, len, &area);
	assert_int_equal(dxattr_set(&area, DXATTR_IDX_USER, "in", 2, "side", 4),
			0);
	dinode_csum_set(&img.geo, inum, e2_inode(&img, inum));

	f = fopen(img.path, "r+b");
	assert_non_null(f);
	assert_int_equal(fwrite(img.bytes, 1, img.len, f), img.len);
	(void)fclose(f);
	if (e2_sh("e2fsck -fn '%s' >'%s/log' 2>&1", img.path, img.dir) != 0) {
		(void)e2_sh("cat '%s/log'", img.dir);
		fail_msg("e2fsck");
	}
	e2_sh_out(out, sizeof(out), "debugfs -R 'ea_list f' '%s' 2>&1",
			img.path);
	assert_non_null(strstr(out, "user.in (4) = \"side\""));
	assert_non_null(strstr(out, "user.zz (199)"));
	assert_non_null(strstr(out, "trusted.t (6)"));
	e2_free(&img);
}

/* ---- hostile ---- */

static void impossible_lists_are_refused(void **state)
{
	/* Entries: "a" at 32, value of 8; "b" at 52, value of 4. */
	static const struct {
		const char *what;
		uint32_t off;
		uint32_t size;
		uint32_t value;
	} table[] = {
		{ "magic", 0, 4, 1 },
		{ "users 0", 4, 4, 0 },
		{ "users", 4, 4, 1025 },
		{ "blocks", 8, 4, 2 },
		{ "name length 0", 32, 1, 0 },
		{ "value in the list", 34, 2, 32 },
		{ "value in the end mark", 34, 2, 72 },
		{ "value past the end", 34, 2, 4092 },
		{ "value past the end", 34, 2, 0xfffc },
		{ "value not aligned", 34, 2, 3001 },
		{ "values overlap", 34, 2, 4080 },
		{ "value length", 40, 4, 0xffffffff },
		{ "value length", 40, 4, 4097 },
		{ "value length", 40, 4, 9 },
	};

	for (size_t i = 0; i < array_len(table); i++) {
		uint8_t block[4096];
		struct dxattr_area area;
		const char *why = NULL;

		dxattr_block_init(&test_geo, block, &area);
		assert_int_equal(
				dxattr_set(&area, 1, "a", 1, "12345678", 8), 0);
		assert_int_equal(dxattr_set(&area, 1, "b", 1, "1234", 4), 0);
		for (uint32_t j = 0; j < table[i].size; j++)
			block[table[i].off + j] =
					(uint8_t)(table[i].value >> (8 * j));
		/* The overlap: put "b"'s value inside "a"'s. */
		if (strcmp(table[i].what, "values overlap") == 0) {
			put_le16(block + 54, 4084);
			put_le32(block + 60, 8);
		}
		if (dxattr_check(&test_geo, &area, &why) != -UEXT4_ECORRUPT ||
				!why)
			fail_msg("%s %u passed", table[i].what, table[i].value);
	}
}

static void a_list_without_end_is_refused(void **state)
{
	uint8_t bytes[100];
	struct dxattr_area area;

	memset(bytes, 1, sizeof(bytes));
	put_le32(bytes, DXATTR_MAGIC);
	assert_true(dxattr_area_inode(bytes, sizeof(bytes), &area));
	assert_int_equal(dxattr_check(&test_geo, &area, NULL), -UEXT4_ECORRUPT);
	assert_false(dxattr_area_inode(bytes, 4, &area));
	put_le32(bytes, 0);
	assert_false(dxattr_area_inode(bytes, sizeof(bytes), &area));
}

/* What passes the check can be changed without leaving the block (ASan). */
static void random_damage_is_harmless(void **state)
{
	unsigned bad = 0;

	srandom(12);
	for (int round = 0; round < 30000; round++) {
		struct geo geo = { .block_size = 1024,
			.block_bits = 10,
			.ro_compat = FR_METADATA_CSUM };
		uint8_t *block = (uint8_t *)malloc(1024);
		uint8_t value[64] = { 1 };
		struct dxattr_area area;

		assert_non_null(block);
		dxattr_block_init(&geo, block, &area);
		for (unsigned i = 0; i < 8; i++) {
			char name[2] = { (char)('a' + i), 0 };

			assert_int_equal(dxattr_set(&area, 1, name, 1, value,
							 8 * i),
					0);
		}
		for (int n = 0; n < 1 + round % 3; n++)
			block[32 + (unsigned)random() % 170] =
					(uint8_t)random();
		if (dxattr_check(&geo, &area, NULL) < 0) {
			bad++;
		} else {
			bad += dxattr_check_hashes(&area, NULL) < 0;
			bad += dxattr_set(&area, 1, "c", 1, value, 60) < 0;
			bad += dxattr_remove(&area, 1, "e", 1) < 0;
			bad += dxattr_set(&area, 4, "new", 3, value, 64) < 0;
			if (dxattr_check(&geo, &area, NULL) < 0)
				fail_msg("round %d: changes broke it", round);
		}
		bad += dxattr_csum_verify(&geo, 5, block) < 0;
		free(block);
	}
	assert_true(bad > 30000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists_of_debugfs_match),
		cmocka_unit_test(names_go_both_ways),
		cmocka_unit_test(changes_keep_lists_sound),
		cmocka_unit_test(room_is_counted_exactly),
		cmocka_unit_test(e2fsck_accepts_our_lists),
		cmocka_unit_test(impossible_lists_are_refused),
		cmocka_unit_test(a_list_without_end_is_refused),
		cmocka_unit_test(random_damage_is_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
