/* SPDX-License-Identifier: MIT */
/*
 * Delayed pages claim blocks for the worst tree that they could need; with
 * small blocks that was 4 % of the device. ENOSPC is said only when these
 * claims have been settled and it is still true.
 */
#include <errno.h>
#include <stdlib.h>

#include "env.h"

static void small_blocks_fill_to_the_end(struct env *e)
{
	struct uext4_file *f = env_open(e, "/f", UEXT4_O_RDWR | UEXT4_O_CREAT);
	char *buf = env_alloc(65536, 'f');
	struct uext4_statfs st;
	uint64_t pos = 0;
	size_t len = 65536;

	while (len >= 512) {
		ssize_t n = uext4_pwrite(f, buf, len, pos);

		if (n > 0)
			pos += (uint64_t)n;
		else
			len /= 2;
		assert_true(n > 0 || n == -ENOSPC);
	}

	assert_int_equal(uext4_statfs(e->fs, &st), 0);
	assert_true(st.avail_blocks < 16);
	env_close(f);
	free(buf);
}

int main(int argc, char **argv)
{
	static const struct env_case cases[] = {
		{ .name = "small_blocks_fill_to_the_end",
				.body = small_blocks_fill_to_the_end,
				.size = "16M" },
	};

	return env_run("enospc_is_final", cases, 1, argc, argv);
}
