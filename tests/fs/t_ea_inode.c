/* SPDX-License-Identifier: MIT */
/*
 * Attribute values in inodes of their own, as the kernel and debugfs make
 * them; damaged ones.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "ro.h"

static int teardown(void **state)
{
	env_free(*state);
	return 0;
}

/* Values of all sizes, shared ones, on all kinds of inodes. */
static const char attrs[] =
		"v() { head -c $1 /dev/urandom | base64 -w0 | tr 0 o | "
		"head -c $1; } # 0s and 0x would be encodings\n"
		"for n in 1 50 100 1000 2000 3000 4000 5000 20000 65536; do"
		"  echo $n >f$n; setfattr -n user.v -v \"$(v $n)\" f$n; done\n"
		"echo many >m; for i in $(seq 12); do"
		"  setfattr -n user.attr$i -v \"$(v 9000)\" m; done\n"
		"same=\"$(v 30000)\"; for i in 1 2 3; do echo $i >s$i;"
		"  setfattr -n user.same -v \"$same\" s$i; done\n"
		"mkdir d; setfattr -n user.dir -v \"$(v 10000)\" d\n"
		"ln -s short l; ln -s $(printf %100s | tr ' ' x) long\n"
		"setfattr -h -n trusted.t -v \"$(v 10000)\" l\n"
		"setfattr -h -n trusted.t -v \"$(v 10000)\" long\n"
		"setfattr -x user.attr3 m; rm s2\n"
		"setfattr -n user.v -v now-small f20000\n";

static void kernel_makes(void **state, const char *opts)
{
	if (!ro_can_mount() || env_sh("command -v setfattr >/dev/null") != 0)
		skip();
	if (!ro_kernel(*state, opts, "64M", attrs))
		skip();
}

static void kernel_4k(void **state)
{
	kernel_makes(state, "-t ext4 -b 4096 -I 256 -O ea_inode");
}

static void kernel_1k_inline(void **state)
{
	kernel_makes(state,
			"-t ext4 -b 1024 -I 512 -O ea_inode,inline_data,"
			"metadata_csum_seed");
}

static void kernel_1k_plain(void **state)
{
	kernel_makes(state,
			"-t ext4 -b 1024 -I 256 -O ea_inode,^metadata_csum,"
			"^extent,^64bit");
}

/* A file "f" with user.big, 1024 times 'x', in inode 14: all that debugfs's
 * ea_set takes. */
static void small_image(struct env *e)
{
	ro_image(e, "-t ext4 -b 1024 -I 256 -O ea_inode", "16M",
			"echo 1 >f; echo 2 >g");
	env_unmount(e);
	assert_int_equal(env_sh("head -c 1024 /dev/zero | tr '\\0' x >%s/v && "
				"debugfs -w -R 'ea_set -f %s/v f user.big' %s "
				">%s 2>&1",
					 e->dir, e->dir, e->img, e->out),
			0);
}

static void debugfs_makes(void **state)
{
	struct env *e = *state;
	char *buf = env_alloc(1025, 0);
	char list[64];
	struct uext4_node *node;

	small_image(e);
	ro_expect_readonly(e, "ea_inode", "attribute values in inodes");
	assert_int_equal(env_getxattr(e, "/f", "user.big", NULL, 0), 1024);
	assert_int_equal(env_getxattr(e, "/f", "user.big", buf, 1023), -ERANGE);
	assert_int_equal(env_getxattr(e, "/f", "user.big", buf, 1025), 1024);
	assert_int_equal(strspn(buf, "x"), 1024);
	node = env_node(e, "/f");
	assert_int_equal(uext4_listxattr(node, list, sizeof(list), NULL), 9);
	uext4_node_put(node);
	free(buf);
}

/* The value, or -EUCLEAN and the like, after debugfs's @cmd. */
static void expect_bad(struct env *e, const char *cmd, int want)
{
	static char buf[65536];
	ssize_t n;

	small_image(e);
	assert_int_equal(env_sh("debugfs -w -R '%s' %s >%s 2>&1", cmd, e->img,
					 e->out),
			0);
	e->flags = UEXT4_MNT_RDONLY;
	env_mount(e);
	n = env_getxattr(e, "/f", "user.big", buf, sizeof(buf));
	if (n != want)
		fail_msg("%s: %zd, not %d; %s", cmd, n, want, e->log);
	env_free(e);
}

static void damage_is_found(void **state)
{
	struct env *e = *state;

	expect_bad(e, "stat <14>", 1024);
	expect_bad(e, "sif <14> atime 0x12345678", -EBADMSG);
	expect_bad(e, "sif <14> size 1023", -EUCLEAN);
	expect_bad(e, "sif <14> size 1025", -EUCLEAN);
	expect_bad(e, "sif <14> flags 0x80000", -EUCLEAN);
	expect_bad(e, "sif <14> mode 040755", -EUCLEAN);
	expect_bad(e, "sif <14> links_count 0", -EUCLEAN);
	expect_bad(e, "clri <14>", -EUCLEAN);
	expect_bad(e, "feature -ea_inode", -EUCLEAN);
}

int main(int argc, char **argv)
{
	static struct env e;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_prestate_setup_teardown(
				kernel_4k, NULL, teardown, &e),
		cmocka_unit_test_prestate_setup_teardown(
				kernel_1k_inline, NULL, teardown, &e),
		cmocka_unit_test_prestate_setup_teardown(
				kernel_1k_plain, NULL, teardown, &e),
		cmocka_unit_test_prestate_setup_teardown(
				debugfs_makes, NULL, teardown, &e),
		cmocka_unit_test_prestate_setup_teardown(
				damage_is_found, NULL, teardown, &e),
	};

	if (!env_tools())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
