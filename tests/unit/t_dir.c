/* SPDX-License-Identifier: MIT */
/* Linear directories against a model, e2fsck and debugfs. */
#include "dir_env.h"

static const char *const linear_formats[] = {
	"-t ext2 -b 1024 -O ^dir_index",
	"-t ext2 -b 1024 -O ^dir_index,^filetype",
	"-t ext3 -b 2048 -O ^dir_index",
	"-t ext4 -b 1024 -O ^dir_index,metadata_csum",
	"-t ext4 -b 2048 -O ^dir_index,^metadata_csum",
	"-t ext4 -b 4096 -O ^dir_index,metadata_csum",
	"-t ext4 -b 4096 -O ^dir_index,^metadata_csum",
};

static void linear_directory_is_like_the_model(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(linear_formats); i++) {
		struct denv e;

		denv_make(&e, linear_formats[i], 32);
		denv_names(&e, 1500, 255, false);
		denv_churn(&e, 3000, 70);
		denv_check(&e, 7);
		denv_debugfs(&e);
		denv_fsck(&e);
		denv_check(&e, 1000000);
		denv_churn(&e, 3000, 30);
		denv_check(&e, 1);
		denv_fsck(&e);
		denv_drop(&e);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(linear_directory_is_like_the_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
