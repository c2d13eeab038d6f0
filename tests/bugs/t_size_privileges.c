/* SPDX-License-Identifier: MIT */
/*
 * ftruncate() and fallocate() by somebody who may not keep privileges left
 * setuid, setgid and security.capability in place. Like a write they change
 * what the file does (W15).
 */
#include <errno.h>

#include "bug.h"

static const struct uext4_cred joe = { .uid = 1000, .gid = 1000 };

static void by_joe(struct bug *b, int (*change)(struct uext4_file *f))
{
	static const uint8_t cap[20] = { 1, 0, 0, 2 };
	struct uext4_file *f;

	assert_int_equal(env_create(&b->e, "/f", 0666), 0);
	f = env_open(&b->e, "/f", UEXT4_O_RDWR);
	env_fill(f, 0, 3 * b->e.bs, 'x');
	env_close(f);
	assert_int_equal(env_setxattr(&b->e, "/f", "security.capability", cap,
					 sizeof(cap), 0),
			0);
	{
		struct uext4_node *n = env_node(&b->e, "/f");
		struct uext4_setattr a = {
			.mask = UEXT4_SET_MODE,
			.mode = 06777,
		};

		assert_int_equal(uext4_node_setattr(n, &a, NULL), 0);
		uext4_node_put(n);
	}
	assert_int_equal(uext4_open(b->e.fs, NULL, "/f", UEXT4_O_RDWR, 0, &joe,
					 &f),
			0);
	assert_int_equal(change(f), 0);
	env_close(f);
	assert_int_equal(env_stat(&b->e, "/f").mode & 07777, 0777);
	assert_int_equal(env_getxattr(&b->e, "/f", "security.capability", NULL,
					 0),
			-ENODATA);
	assert_int_equal(env_unlink(&b->e, "/f"), 0);
}

static int grow(struct uext4_file *f)
{
	return uext4_ftruncate(f, 100000);
}

static int cut(struct uext4_file *f)
{
	return uext4_ftruncate(f, 10);
}

static int allocate(struct uext4_file *f)
{
	return uext4_fallocate(f, 0, 0, 100000);
}

static int punch(struct uext4_file *f)
{
	return uext4_fallocate(f,
			UEXT4_FALLOC_PUNCH_HOLE | UEXT4_FALLOC_KEEP_SIZE, 0,
			4096);
}

static int zero(struct uext4_file *f)
{
	return uext4_fallocate(f, UEXT4_FALLOC_ZERO_RANGE, 0, 4096);
}

static void size_changes_strip_privileges(void **state)
{
	struct bug b;

	bug_open(&b, "ext4-4k-full", NULL);
	by_joe(&b, grow);
	by_joe(&b, cut);
	by_joe(&b, allocate);
	by_joe(&b, punch);
	by_joe(&b, zero);
	bug_close(&b, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(size_changes_strip_privileges),
	};

	if (!env_tools())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
