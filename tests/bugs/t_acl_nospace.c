/* SPDX-License-Identifier: MIT */
/*
 * An access ACL that found no space had changed the mode already.
 */
#include <errno.h>

#include "bug.h"

/* user::rwx, user:1000:rwx, group::---, mask::rwx, other::--- */
static const uint8_t acl[4 + 5 * 8] = {
	2,
	0,
	0,
	0,
	0x01,
	0,
	7,
	0,
	0xff,
	0xff,
	0xff,
	0xff,
	0x02,
	0,
	7,
	0,
	0xe8,
	0x03,
	0,
	0,
	0x04,
	0,
	0,
	0,
	0xff,
	0xff,
	0xff,
	0xff,
	0x10,
	0,
	7,
	0,
	0xff,
	0xff,
	0xff,
	0xff,
	0x20,
	0,
	0,
	0,
	0xff,
	0xff,
	0xff,
	0xff,
};

static void acl_without_space_leaves_the_mode(void **state)
{
	struct uext4_statfs st;
	struct uext4_file *f;
	struct bug b;

	/* no room for attributes in the inode */
	bug_open(&b, "ext4-4k-i128", "32M");
	assert_int_equal(env_create(&b.e, "/f", 0604), 0);
	f = env_open(&b.e, "/full", UEXT4_O_RDWR | UEXT4_O_CREAT);
	assert_int_equal(uext4_statfs(b.e.fs, &st), 0);
	for (uint64_t at = 0, n = st.free_blocks; n > 0;) {
		if (uext4_fallocate(f, 0, at, n * b.e.bs) == 0)
			at += n * b.e.bs;
		else
			n /= 2;
	}
	env_close(f);
	assert_int_equal(env_setxattr(&b.e, "/f", "system.posix_acl_access",
					 acl, sizeof(acl), 0),
			-ENOSPC);
	assert_int_equal(env_stat(&b.e, "/f").mode & 0777, 0604);
	assert_int_equal(env_setxattr(&b.e, "/f", "user.x", NULL, 1, 0),
			-EFAULT);
	assert_int_equal(env_unlink(&b.e, "/full"), 0);
	assert_int_equal(env_setxattr(&b.e, "/f", "system.posix_acl_access",
					 acl, sizeof(acl), 0),
			0);
	assert_int_equal(env_stat(&b.e, "/f").mode & 0777, 0770);
	bug_close(&b, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(acl_without_space_leaves_the_mode),
	};

	if (!env_tools())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
