/* SPDX-License-Identifier: MIT */
/*
 * Blocks above 4 KiB, which a kernel with small pages does not mount: what is
 * written holds for e2fsck and for the checker, with and without a journal, by
 * extents and by block pointers.
 */
#include <stdio.h>
#include <stdlib.h>

#include "env.h"

static const struct env_profile profiles[] = {
	{ "ext4-8k", "-t ext4 -b 8192 -I 256 -O orphan_file", 8192, ENV_ALL },
	{ "ext3-16k", "-t ext3 -b 16384 -I 256", 16384,
			ENV_JOURNAL | ENV_INDEX | ENV_XTIME },
	{ "ext4-32k", "-t ext4 -b 32768 -I 512 -O ^metadata_csum", 32768,
			ENV_ALL },
	{ "ext4-64k",
			"-t ext4 -b 65536 -I 256 -O metadata_csum_seed,"
			"orphan_file",
			65536, ENV_ALL },
	{ "ext2-64k", "-t ext2 -b 65536 -I 128", 65536, ENV_INDEX },
};

/* More names than one block holds, of all lengths; half of them go. */
static void names(struct env *e)
{
	char path[300];

	assert_int_equal(env_mkdir(e, "/d", 0755), 0);
	for (unsigned i = 0; i < 1200; i++) {
		(void)snprintf(path, sizeof(path), "/d/%04u%0*u", i,
				(int)(i * 7 % 250) + 1, 0);
		assert_int_equal(env_mknod(e, path, 0100644, 0, 0), 0);
	}
	for (unsigned i = 0; i < 1200; i += 2) {
		(void)snprintf(path, sizeof(path), "/d/%04u%0*u", i,
				(int)(i * 7 % 250) + 1, 0);
		assert_int_equal(env_unlink(e, path), 0);
	}
	assert_int_equal(env_rename(e, "/d", "/moved", 0), 0);
	assert_int_equal(env_symlink(e, path, "/link"), 0);
}

/* Both ways of writing; holes, a cut, space given back in the middle. */
static void contents(struct env *e)
{
	uint32_t bs = e->bs;
	struct uext4_file *f;

	for (unsigned direct = 0; direct < 2; direct++) {
		f = env_open(e, direct ? "/direct" : "/cached",
				UEXT4_O_RDWR | UEXT4_O_CREAT |
						(direct ? UEXT4_O_DIRECT : 0));
		env_fill(f, 0, 20 * bs, 'a');
		env_fill(f, 40ull * bs, 4096, 'b');
		env_fill(f, 3 * bs, 512, 'c');
		assert_int_equal(uext4_ftruncate(f, 40ull * bs + 4096), 0);
		assert_int_equal(uext4_ftruncate(f, 15ull * bs + 100), 0);
		assert_int_equal(uext4_ftruncate(f, 15ull * bs + 4096), 0);
		env_close(f);
		f = env_open(e, direct ? "/direct" : "/cached", UEXT4_O_RDWR);
		env_expect(f, 0, 3 * bs, 'a');
		env_expect(f, 3 * bs, 512, 'c');
		env_expect(f, 3 * bs + 512, 12ull * bs - 512 + 100, 'a');
		env_expect(f, 15ull * bs + 100, 3996, 0);
		env_close(f);
	}
}

static void attributes(struct env *e)
{
	char *value = env_alloc(e->bs / 2, 'v');

	assert_int_equal(
			env_setxattr(e, "/cached", "user.small", "x", 1, 0), 0);
	assert_int_equal(env_setxattr(e, "/cached", "user.large", value,
					 e->bs / 2, 0),
			0);
	assert_int_equal(env_setxattr(e, "/moved", "user.large", value,
					 e->bs / 4, 0),
			0);
	free(value);
}

static void holds(void **state)
{
	struct env e;

	env_make(&e, *state, "512M");
	names(&e);
	contents(&e);
	env_remount(&e);
	attributes(&e);
	assert_int_equal(env_unlink(&e, "/direct"), 0);
	env_end(&e);
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[sizeof(profiles) / sizeof(profiles[0])] = { 0 };

	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		tests[i].name = profiles[i].name;
		tests[i].test_func = holds;
		tests[i].initial_state =
				(void *)(uintptr_t)(const void *)&profiles[i];
	}
	if (!env_tools())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
