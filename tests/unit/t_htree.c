/* SPDX-License-Identifier: MIT */
/* Hashed directories against a model, e2fsck and debugfs. */
#include "dir_env.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/buf.h"
#include "disk/dhtree.h"
#include "disk/dinode.h"

static const char *const hashed_formats[] = {
	("-t ext2 -b 1024 -O dir_index -E hash_seed="
	 "11111111-2222-3333-4444-555555555555"),
	"-t ext3 -b 2048 -O dir_index,^filetype",
	"-t ext4 -b 1024 -O metadata_csum",
	"-t ext4 -b 2048 -O ^metadata_csum",
	"-t ext4 -b 4096 -O metadata_csum",
	"-t ext4 -b 4096 -O ^metadata_csum,^extents,^64bit",
};

static bool is_hashed(const struct denv *e)
{
	return (e->dir->d.flags & DINODE_F_INDEX) != 0;
}

static void hashed_directory_is_like_the_model(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(hashed_formats); i++) {
		struct denv e;

		denv_make(&e, hashed_formats[i], 32);
		denv_names(&e, 4000, 255, false);
		denv_churn(&e, 40, 100);
		denv_check(&e, 3);
		denv_fsck(&e);
		denv_churn(&e, 8000, 70);
		assert_true(is_hashed(&e));
		denv_check(&e, 7);
		denv_debugfs(&e);
		denv_fsck(&e);
		denv_check(&e, 1000000);
		denv_churn(&e, 8000, 30);
		denv_check(&e, 1);
		denv_fsck(&e);
		denv_drop(&e);
	}
}

/* Every hash, of chars taken as signed and as unsigned. */
static void all_hashes_are_those_of_e2fsck(void **state)
{
	static const char *const algs[] = { "legacy", "half_md4", "tea" };
	char cmd[256];

	(void)state;
	for (size_t i = 0; i < 6; i++) {
		struct denv e;

		denv_make(&e, "-t ext4 -b 1024", 16);
		denv_close(&e);
		snprintf(cmd, sizeof(cmd),
				"tune2fs -E hash_alg=%s %%s >/dev/null && "
				"debugfs -w -R 'ssv flags %d' %%s 2>/dev/null",
				algs[i / 2], (int)(i % 2) + 1);
		assert_int_equal(env_shell(&e.env, cmd), 0);
		denv_open(&e);
		assert_int_equal(e.env.geo.def_hash_version, i / 2);
		assert_int_equal(e.env.geo.hash_unsigned, i % 2);
		denv_names(&e, 1000, 255, true);
		denv_churn(&e, 2000, 80);
		assert_true(is_hashed(&e));
		denv_check(&e, 5);
		denv_fsck(&e);
		denv_check(&e, 100);
		denv_drop(&e);
	}
}

/* Levels under the root. */
static unsigned levels(struct denv *e)
{
	struct dx_root_info info;
	struct map_run run;
	struct buf *b;

	assert_int_equal(map_find(&e->dir->map, 0, 1, &run), 0);
	assert_int_equal(buf_read(e->env.cache, run.pblk, &b), 0);
	dx_root_info_decode(b->data, &info);
	buf_put(b);
	return info.indirect_levels;
}

static void two_levels_grow_until_the_index_is_full(void **state)
{
	struct denv e;
	size_t i;
	int ret = 0;

	(void)state;
	denv_make(&e, "-t ext4 -b 1024 -O ^has_journal,metadata_csum", 48);
	denv_names_numbered(&e, 60000, 255);
	for (i = 0; i < e.nnames && ret == 0; i++)
		ret = denv_try_add(&e, i);
	assert_int_equal(ret, -ENOSPC);
	assert_true(i > 20000);
	assert_int_equal(levels(&e), 1);
	denv_check(&e, 1000);
	denv_fsck(&e);
	/* What is there can go, and come again. */
	for (i = 0; i < 2000; i++)
		denv_remove(&e, i * 7);
	denv_check(&e, 100);
	for (i = 0; i < 2000; i++)
		denv_add(&e, i * 7);
	denv_fsck(&e);
	denv_drop(&e);
}

/* ---- names of one hash ---- */

struct legacy {
	uint32_t h0, h1;
};

static struct legacy legacy_step(struct legacy s, unsigned c)
{
	uint32_t h = s.h1 + (s.h0 ^ c * 7152373u);

	if (h & 0x80000000u)
		h -= 0x7fffffffu;
	return (struct legacy){ h, s.h0 };
}

/* Fill names [0, n) with names of one legacy hash, of 240 bytes. The last byte
 * is worked out: of the states before it, one in eight million has one. */
static void names_of_one_hash(struct denv *e, size_t n)
{
	const struct legacy start = { 0x12a3fe2d, 0x37abe8f9 };
	uint32_t target = 0x12345678;
	struct legacy pad = start;
	char name[256];
	uint8_t last[4096] = { 0 };
	size_t found = 0;

	memset(name, 'p', 234);
	for (int i = 0; i < 234; i++)
		pad = legacy_step(pad, 'p');
	/* The products of letters, by some bits of theirs. */
	for (unsigned c = 33; c < 127; c++)
		if (c != '/')
			last[c * 7152373u >> 17 & 4095] = (uint8_t)c;
	for (uint64_t x = 0; found < n; x++) {
		struct legacy s = pad;
		uint64_t y = x;
		uint32_t want;
		unsigned c;

		for (int i = 0; i < 5; i++, y /= 64)
			s = legacy_step(s, 48 + (unsigned)(y % 64));
		want = (target - s.h1) ^ s.h0;
		c = last[want >> 17 & 4095];
		if (c == 0 || legacy_step(s, c).h0 != target)
			continue;
		y = x;
		for (int i = 0; i < 5; i++, y /= 64)
			name[234 + i] = (char)(48 + y % 64);
		name[239] = (char)c;
		denv_set_name(e, found++, name, 240);
	}
}

static void names_of_one_hash_fill_many_leaves(void **state)
{
	const size_t same = 16;
	struct denv e;

	(void)state;
	denv_make(&e, "-t ext4 -b 1024", 16);
	denv_close(&e);
	assert_int_equal(env_shell(&e.env,
					 "tune2fs -E hash_alg=legacy %s "
					 ">/dev/null && debugfs -w -R 'ssv "
					 "flags 2' %s 2>/dev/null"),
			0);
	denv_open(&e);
	denv_names(&e, 600, 100, false);
	names_of_one_hash(&e, same);
	for (int round = 0; round < 4; round++) {
		for (size_t i = 0; i < same; i++) {
			if (!e.names[i].is_there)
				denv_add(&e, i);
			denv_churn(&e, 20, 60);
		}
		denv_check(&e, 1);
		denv_check_moving(&e, 1, 2, same);
		denv_fsck(&e);
	}
	assert_true(is_hashed(&e));
	for (size_t i = 0; i < e.nnames; i++)
		if (e.names[i].is_there)
			denv_remove(&e, i);
	denv_check(&e, 1);
	denv_fsck(&e);
	denv_drop(&e);
}

static void cookies_stay_good_while_names_come_and_go(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(hashed_formats); i++) {
		struct denv e;

		denv_make(&e, hashed_formats[i], 32);
		denv_names(&e, 3000, 40, false);
		/* One block at first, then many. */
		for (size_t n = 0; n < 20; n++)
			denv_add(&e, n);
		denv_check_moving(&e, 1, 40, 20);
		denv_check_moving(&e, 3, 20, 20);
		denv_check_moving(&e, 20, 200, 400);
		denv_check(&e, 50);
		denv_fsck(&e);
		denv_drop(&e);
	}
}

static void rehashed_directory_goes_on(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(hashed_formats); i++) {
		struct denv e;

		denv_make(&e, hashed_formats[i], 32);
		denv_names(&e, 6000, 60, false);
		denv_churn(&e, 6000, 80);
		denv_fsck(&e);
		denv_close(&e);
		assert_int_equal(env_shell(&e.env,
						 "e2fsck -fyD %s >/dev/null "
						 "2>&1") &
						~1,
				0);
		denv_open(&e);
		denv_check(&e, 100);
		denv_churn(&e, 6000, 60);
		denv_check(&e, 100);
		denv_fsck(&e);
		denv_drop(&e);
	}
}

/* The credits suffice, and what a log commits is whole. */
static void a_journal_carries_it(void **state)
{
	static const char *const formats[] = {
		"-t ext4 -b 1024 -O ^metadata_csum -J size=4",
		"-t ext4 -b 1024 -O metadata_csum -J size=4",
		"-t ext4 -b 4096 -J size=4",
	};

	(void)state;
	for (size_t i = 0; i < array_len(formats); i++) {
		struct denv e;

		denv_make(&e, formats[i], 32);
		denv_use_log(&e);
		denv_names(&e, 8000, 255, true);
		denv_churn(&e, 12000, 75);
		denv_check(&e, 100);
		denv_fsck(&e);
		denv_drop(&e);
	}
}

static void a_full_disk_leaves_a_whole_tree(void **state)
{
	struct denv e;
	size_t i;
	int ret = 0;

	(void)state;
	for (int inodes = 16; inodes <= 64; inodes += 16) {
		char args[80];

		snprintf(args, sizeof(args),
				"-t ext4 -b 1024 -m 0 -O ^has_journal -N %d",
				inodes);
		denv_make(&e, args, 1);
		denv_names(&e, 20000, 255, false);
		for (i = 0; i < e.nnames && ret == 0; i++)
			ret = denv_try_add(&e, i);
		assert_int_equal(ret, -ENOSPC);
		denv_check(&e, 1000);
		denv_fsck(&e);
		denv_check(&e, 1000);
		ret = 0;
		denv_drop(&e);
	}
}

/* ---- broken ones ---- */

static void poke(struct denv *e, lblk_t lblk, uint32_t off, const void *bytes,
		size_t len)
{
	struct map_run run;

	assert_int_equal(map_find(&e->dir->map, lblk, 1, &run), 0);
	denv_close(e);
	env_poke(&e->env, run.pblk * e->env.geo.block_size + off, bytes, len);
	denv_open(e);
}

static void broken_index_is_read_but_not_changed(void **state)
{
	static const struct {
		const char *args;
		uint32_t off;
		uint8_t byte;
	} cases[] = {
		{ "-t ext4 -b 1024 -O ^metadata_csum", 28, 6 }, /* hash */
		{ "-t ext4 -b 1024 -O ^metadata_csum", 30, 2 }, /* levels */
		{ "-t ext4 -b 1024 -O ^metadata_csum", 32, 7 }, /* limit */
		{ "-t ext4 -b 1024 -O ^metadata_csum", 34, 0 }, /* count */
		{ "-t ext4 -b 1024 -O ^metadata_csum", 39, 9 }, /* block */
		{ "-t ext4 -b 1024 -O metadata_csum", 28, 2 },  /* sum */
	};

	(void)state;
	for (size_t i = 0; i < array_len(cases); i++) {
		struct handle *h;
		struct denv e;

		denv_make(&e, cases[i].args, 16);
		denv_names(&e, 300, 60, false);
		for (size_t n = 0; n < 200; n++)
			denv_add(&e, n);
		assert_true(is_hashed(&e));
		poke(&e, 0, cases[i].off, &cases[i].byte, 1);

		denv_check(&e, 9);
		assert_int_equal(
				strncmp(e.env.said, "directory inode ", 16), 0);
		assert_true(denv_try_add(&e, 200) < 0);
		env_start(&e.env, DIR_CREDITS_SET, &h);
		assert_true(dir_remove(h, e.dir, e.names[0].name,
					    e.names[0].len) < 0);
		env_stop(h);
		denv_check(&e, 9);
		denv_drop(&e);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hashed_directory_is_like_the_model),
		cmocka_unit_test(all_hashes_are_those_of_e2fsck),
		cmocka_unit_test(two_levels_grow_until_the_index_is_full),
		cmocka_unit_test(names_of_one_hash_fill_many_leaves),
		cmocka_unit_test(cookies_stay_good_while_names_come_and_go),
		cmocka_unit_test(rehashed_directory_goes_on),
		cmocka_unit_test(a_journal_carries_it),
		cmocka_unit_test(a_full_disk_leaves_a_whole_tree),
		cmocka_unit_test(broken_index_is_read_but_not_changed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
