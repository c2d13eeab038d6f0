/* SPDX-License-Identifier: MIT */
/*
 * Data inside inodes: files, directories and symlinks as mke2fs -d and the
 * kernel make them, and what a damaged one does.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "ro.h"
#include "snap.h"

static const char tree[] =
		"for n in 0 1 2 59 60 61 62 100 127 128 156 160 161 300 999; do"
		"  head -c $n /dev/urandom >f$n; done\n"
		"for n in 1 58 59 60 61 90 150 151 155 200 400 900; do"
		"  ln -s $(printf %$n's' | tr ' ' x) l$n; done\n"
		"for n in 0 1 2 3 4 5 6 7 8 9 10 12 16 24 40; do mkdir d$n;"
		"  for i in $(seq $n); do echo $i >d$n/file$i; done; done\n"
		"mkdir -p a/b/c; echo deep >a/b/c/x\n"
		"mkdir gone; for i in $(seq 9); do echo >gone/name$i; done\n"
		"rm gone/name1 gone/name5 gone/name9\n";

static int teardown(void **state)
{
	env_free(*state);
	return 0;
}

static void mke2fs_small_inodes(void **state)
{
	ro_image(*state, "-t ext4 -b 4096 -I 256 -O inline_data", "32M", tree);
}

static void mke2fs_large_inodes(void **state)
{
	ro_image(*state,
			"-t ext4 -b 1024 -I 1024 -O inline_data,"
			"metadata_csum,metadata_csum_seed",
			"32M", tree);
}

static void mke2fs_without_checksums(void **state)
{
	ro_image(*state,
			"-t ext4 -b 2048 -I 512 -O inline_data,^metadata_csum,"
			"^filetype,^dir_index",
			"32M", tree);
}

static const char more[] =
		"setfattr -n user.a -v 12345 f60\n"
		"setfattr -n user.b -v $(printf %60s | tr ' ' y) f100\n"
		"setfattr -n user.c -v z d4\n"
		"echo more >>f59; truncate -s 3 f128; truncate -s 5000 f2\n"
		"mv d3/file1 d4/moved; rm d5/file3; mkdir d2/sub\n"
		"mv d6 d7/inner\n"
		"mknod pipe p; mknod dev c 300 7\n";

static void kernel_256(void **state)
{
	char script[4096];

	if (!ro_can_mount())
		skip();
	(void)snprintf(script, sizeof(script), "%s%s", tree, more);
	if (!ro_kernel(*state, "-t ext4 -b 4096 -I 256 -O inline_data", "64M",
			    script))
		skip();
}

static void kernel_1024(void **state)
{
	char script[4096];

	if (!ro_can_mount())
		skip();
	(void)snprintf(script, sizeof(script), "%s%s", tree, more);
	if (!ro_kernel(*state,
			    "-t ext4 -b 1024 -I 1024 "
			    "-O inline_data,ea_inode,^has_journal",
			    "64M", script))
		skip();
}

/* A file of 100 bytes, a directory of two entries, a symlink of 70. */
static void small_image(struct env *e)
{
	ro_image(e, "-t ext4 -b 1024 -I 256 -O inline_data", "16M",
			"printf %100s | tr ' ' - >f; mkdir d;"
			"echo 1 >d/one; echo 2 >d/two;"
			"ln -s $(printf %70s | tr ' ' x) l");
}

static int see_extent(void *ctx, const struct uext4_extent *x)
{
	struct uext4_extent *last = ctx;

	last->length++;
	last->flags = x->flags;
	last->logical = x->logical;
	assert_int_equal(x->length, 100);
	return 0;
}

static void is_seen_by_every_way_of_reading(void **state)
{
	struct uext4_extent last = { 0 };
	struct env *e = *state;
	struct uext4_file *f;
	uint8_t *buf;

	small_image(e);
	f = env_open(e, "/f", UEXT4_O_RDONLY | UEXT4_O_DIRECT);
	buf = env_alloc(4096, 0x55);
	assert_int_equal(uext4_pread(f, buf, 4096, 0), 100);
	assert_int_equal(buf[99], '-');
	assert_int_equal(uext4_pread(f, buf, 4096, 96), 4);
	assert_int_equal(uext4_pread(f, buf, 4096, 100), 0);
	free(buf);

	assert_int_equal(uext4_seek_data(f, 5), 5);
	assert_int_equal(uext4_seek_hole(f, 5), 100);
	assert_int_equal(uext4_seek_data(f, 100), -ENXIO);
	assert_int_equal(uext4_fiemap(f, 0, UINT64_MAX, false, see_extent,
					 &last),
			0);
	assert_int_equal(last.length, 1);
	assert_int_equal(last.flags, UEXT4_EXTENT_INLINE | UEXT4_EXTENT_LAST);
	env_close(f);
}

static int count_names(void *ctx, const struct uext4_dirent *d)
{
	unsigned *n = ctx;

	(*n)++;
	return 0;
}

static int stop_at_each(void *ctx, const struct uext4_dirent *d)
{
	uint64_t *pos = ctx;

	*pos = d->next;
	return 1;
}

static void cookies_go_on(void **state)
{
	struct env *e = *state;
	struct uext4_node *dir;
	uint64_t pos = 0;
	unsigned n = 0;

	small_image(e);
	dir = env_node(e, "/d");
	while (uext4_readdir(dir, pos, stop_at_each, &pos) == 1)
		n++;
	assert_int_equal(n, 4);
	uext4_node_put(dir);
}

static void is_read_only(void **state)
{
	struct env *e = *state;

	small_image(e);
	env_unmount(e);
	ro_expect_readonly(e, "inline_data", "data inside inodes");
}

/* Commands of debugfs that damage it, the path that is damaged. */
static void expect_bad(
		struct env *e, const char *cmd, const char *path, int want)
{
	struct uext4_node *node;
	unsigned n = 0;
	char buf[256];
	int ret;

	small_image(e);
	env_unmount(e);
	assert_int_equal(env_sh("printf '%s\\n' | debugfs -w -f - %s >%s 2>&1",
					 cmd, e->img, e->out),
			0);
	env_mount(e);
	ret = uext4_resolve(e->fs, NULL, path, UEXT4_NOFOLLOW, NULL, &node);
	if (ret == 0) {
		struct uext4_stat st;

		assert_int_equal(uext4_node_stat(node, &st), 0);
		if (S_ISDIR(st.mode))
			ret = uext4_readdir(node, 0, count_names, &n);
		else if (S_ISLNK(st.mode))
			ret = (int)uext4_node_readlink(node, buf, sizeof(buf));
		uext4_node_put(node);
	}
	if (ret != want)
		fail_msg("%s: %d, not %d; %s", cmd, ret, want, e->log);
	env_free(e);
}

static void damage_is_found(void **state)
{
	struct env *e = *state;

	expect_bad(e, "sif f size 101", "/f", -EUCLEAN);
	expect_bad(e, "sif f size 999999999999", "/f", -EUCLEAN);
	expect_bad(e, "sif d size 59", "/d", -EUCLEAN);
	expect_bad(e, "sif d size 0", "/d", -EUCLEAN);
	expect_bad(e, "sif d size 61", "/d", -EUCLEAN);
	expect_bad(e, "sif l size 7000", "/l", -EUCLEAN);
	/* i_block[0] is the parent, [1] the entry's inode, [2] lengths */
	expect_bad(e, "sif d block[0] 0", "/d", -EUCLEAN);
	expect_bad(e, "sif d block[0] 4000000000", "/d", -EUCLEAN);
	expect_bad(e, "sif d block[1] 4000000000", "/d", -EUCLEAN);
	expect_bad(e, "sif d block[2] 0", "/d", -EUCLEAN);
	expect_bad(e, "sif d block[2] 0x01030008", "/d", -EUCLEAN);
	expect_bad(e, "sif d block[2] 0x0103ffff", "/d", -EUCLEAN);
	expect_bad(e, "sif d block[2] 0x01ff000c", "/d", -EUCLEAN);
	/* the name: "a/b", ".", a NUL */
	expect_bad(e, "sif d block[3] 0x00622f61", "/d", -EUCLEAN);
	expect_bad(e, "sif d block[2] 0x0101000c\\nsif d block[3] 0x2e", "/d",
			-EUCLEAN);
	expect_bad(e, "sif d block[3] 0x00610061", "/d", -EUCLEAN);
	/* the flag on what cannot have it */
	expect_bad(e, "sif d flags 0x10080000", "/d", -EUCLEAN);
}

/* Spoil some bytes of the first 64 inodes, after those that mount needs. */
static void spoil(struct env *e, unsigned seed, unsigned long table)
{
	FILE *f = fopen(e->img, "r+b");

	assert_non_null(f);
	srand(seed);
	for (int i = rand() % 40; i >= 0; i--) {
		long at = 512 * (rand() % 64) + rand() % 512;

		assert_int_equal(
				fseek(f, (long)table * 1024 + at, SEEK_SET), 0);
		fputc(rand() % 3 ? rand() & 0xff : 0, f);
	}
	assert_int_equal(fclose(f), 0);
}

/* Whatever the inodes say: errors at most, of the kinds that mean damage. */
static void random_damage_is_survived(void **state)
{
	struct env *e = *state;
	unsigned long table = 0;
	unsigned nwhole = 0;
	FILE *f;

	ro_image(e,
			"-t ext4 -b 1024 -I 512 -N 256 "
			"-O "
			"inline_data,^metadata_csum,^has_journal,^resize_inode",
			"8M", tree);
	env_unmount(e);
	assert_int_equal(env_sh("dumpe2fs %s 2>/dev/null | sed -n "
				"'s/.*Inode table at \\([0-9]*\\)-.*/\\1/p' "
				"| head -1 >%s && cp %s %s/good",
					 e->img, e->out, e->img, e->dir),
			0);
	f = fopen(e->out, "r");
	assert_non_null(f);
	assert_int_equal(fscanf(f, "%lu", &table), 1);
	fclose(f);
	for (unsigned seed = 1; seed <= 60; seed++) {
		struct snap s;
		int ret;

		assert_int_equal(env_sh("cp %s/good %s", e->dir, e->img), 0);
		spoil(e, seed, table);
		ret = env_try_mount(e, NULL);
		if (ret == 0) {
			snap_api(e->fs, SNAP_ACLS, &s);
			ret = s.err;
			nwhole += s.n > 20;
			snap_free(&s);
			env_unmount(e);
		}
		if (ret != 0 && ret != -EUCLEAN && ret != -EBADMSG &&
				ret != -ESTALE && ret != -EOPNOTSUPP &&
				ret != -EIO && ret != -ELOOP)
			fail_msg("seed %u: %s", seed, uext4_strerror(ret));
	}
	assert_true(nwhole > 10);
}

int main(int argc, char **argv)
{
	static struct env e;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_prestate_setup_teardown(
				mke2fs_small_inodes, NULL, teardown, &e),
		cmocka_unit_test_prestate_setup_teardown(
				mke2fs_large_inodes, NULL, teardown, &e),
		cmocka_unit_test_prestate_setup_teardown(
				mke2fs_without_checksums, NULL, teardown, &e),
		cmocka_unit_test_prestate_setup_teardown(
				kernel_256, NULL, teardown, &e),
		cmocka_unit_test_prestate_setup_teardown(
				kernel_1024, NULL, teardown, &e),
		cmocka_unit_test_prestate_setup_teardown(
				is_seen_by_every_way_of_reading, NULL, teardown,
				&e),
		cmocka_unit_test_prestate_setup_teardown(
				cookies_go_on, NULL, teardown, &e),
		cmocka_unit_test_prestate_setup_teardown(
				is_read_only, NULL, teardown, &e),
		cmocka_unit_test_prestate_setup_teardown(
				damage_is_found, NULL, teardown, &e),
		cmocka_unit_test_prestate_setup_teardown(
				random_damage_is_survived, NULL, teardown, &e),
	};

	if (!env_tools())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
