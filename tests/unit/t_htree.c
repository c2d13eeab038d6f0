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
	"-t ext2 -b 1024 -O dir_index -E hash_seed="
	"11111111-2222-3333-4444-555555555555",
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hashed_directory_is_like_the_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
