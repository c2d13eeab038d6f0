/* SPDX-License-Identifier: MIT */
/*
 * Formats that are read and not written: each is made with files in it, read
 * whole, and refused for writing with its name and the reason. And what is not
 * even read, by its name.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "ro.h"

static int teardown(void **state)
{
	env_free(*state);
	return 0;
}

/* Small, large, sparse; many names; symlinks of both kinds. */
static const char tree[] =
		"for n in 0 1 1023 1024 1025 4096 65536 300000; do"
		"  head -c $n /dev/urandom >f$n; done\n"
		"head -c 70000 /dev/urandom | dd of=sparse bs=1k seek=900"
		"  2>/dev/null\n"
		"mkdir d; (cd d; seq 700 | xargs -I@ touch "
		"$(printf %40s | tr ' ' n)@)\n"
		"mkdir -p a/b/c/d; echo deep >a/b/c/d/e; ln f1 a/hard\n"
		"ln -s f1 fast; ln -s $(printf %200s | tr ' ' s) slow\n";

struct format {
	const char *opts;    /* of mke2fs */
	const char *debugfs; /* a command that finishes it, or NULL */
	const char *name;    /* in the answer to a mount, */
	const char *why;     /* with the reason */
};

static const struct format formats[] = {
	{ "-t ext4 -b 1024 -O bigalloc -C 16384", NULL, "bigalloc",
			"space is" },
	{ "-t ext4 -b 4096 -O bigalloc -C 65536", NULL, "bigalloc",
			"space is" },
	{ "-t ext4 -b 1024 -O bigalloc,^has_journal,^64bit,^metadata_csum "
	  "-C 2048",
			NULL, "bigalloc", "space is" },
	{ "-t ext4 -O quota", NULL, "quota", "usage would drift" },
	{ "-t ext4 -O quota,project "
	  "-E quotatype=usrquota:grpquota:prjquota",
			NULL, "quota, project", "usage would drift" },
	{ "-t ext4 -O project", NULL, "project", "usage would drift" },
	{ "-t ext4 -b 1024 -g 256 -O meta_bg,^resize_inode", NULL, "meta_bg",
			"its group descriptors" },
	{ "-t ext4 -b 1024 -g 256 -O meta_bg,^resize_inode,^64bit,"
	  "^flex_bg,^metadata_csum,uninit_bg",
			NULL, "meta_bg", "its group descriptors" },
	{ "-t ext4 -O large_dir", NULL, "large_dir", "three-level" },
	{ "-t ext4 -O verity", NULL, "verity", "sealed files" },
	{ "-t ext4 -O verity", "sif f65536 flags 0x180000", "verity",
			"sealed files" },
	{ "-t ext4 -O fast_commit", NULL, "fast_commit", "fast commits are" },
	{ "-t ext4", "feature shared_blocks", "shared_blocks", "files share" },
	{ "-t ext4", "feature read-only", "read-only", "it says so" },
	{ "-t ext2", "feature lazy_bg", "lazy_bg", "its unused groups" },
	{ "-t ext2", "feature FEATURE_C7", "exclude_inode", "snapshots" },
	{ "-t ext2", "feature snapshot_bitmap", "snapshot_bitmap",
			"snapshots" },
	{ "-t ext2", "feature FEATURE_R2", "btree_dir", "it is not known" },
	{ "-t ext2", "feature FEATURE_R7", "snapshot", "snapshots" },
	{ "-t ext4", "feature replica", "replica", "it is not known" },
	{ "-t ext4", "feature FEATURE_R25", "FEATURE_R25", "it is not known" },
	{ "-t ext4", "ssv journal_inum 0", "external journal",
			"the journal is on another device" },
	{ "-t ext4 -O ^has_journal", "feature needs_recovery", "needs_recovery",
			"it must be replayed but there is no journal" },
};

static void image_of(struct env *e, const struct format *f)
{
	ro_image(e, f->opts, "64M", tree);
	if (f->debugfs) {
		env_unmount(e);
		assert_int_equal(env_sh("debugfs -w -R '%s' %s >%s 2>&1",
						 f->debugfs, e->img, e->out),
				0);
	}
}

static void is_read_and_not_written(void **state)
{
	struct env *e = *state;
	char dir[128];

	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		image_of(e, &formats[i]);
		if (e->fs)
			env_unmount(e);
		ro_expect_readonly(e, formats[i].name, formats[i].why);
		(void)snprintf(dir, sizeof(dir), "%s/src", e->dir);
		ro_compare(e, dir, false);
		env_unmount(e);
		env_free(e);
	}
}

static const struct format refused[] = {
	{ "-t ext4 -O casefold", NULL, "casefold", "names that ignore case" },
	{ "-t ext4 -O encrypt", NULL, "encrypt", "encrypted names" },
	{ "-O journal_dev", NULL, "journal_dev", "this is a journal" },
	{ "-t ext4", "feature compression", "compression", "compressed files" },
	{ "-t ext4", "feature dirdata", "dirdata", "its directory entries" },
	{ "-t ext4", "feature FEATURE_I20", "FEATURE_I20", "it is not known" },
	{ "-t ext4 -o hurd", NULL, "Hurd creator", "its inodes" },
	{ "-t ext4", "ssv rev_level 2", "revision above 1", "it is not known" },
	{ "-t ext4", "ssv journal_inum 0\\nfeature needs_recovery",
			"external journal", "it must be replayed and is" },
};

static void is_refused_by_name(void **state)
{
	struct env *e = *state;

	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		struct env_profile p = {
			.mke2fs = refused[i].opts,
			.block_size = 4096,
		};

		env_image(e, &p, "16M");
		if (refused[i].debugfs)
			assert_int_equal(env_sh("printf '%s\\n' | "
						"debugfs -w -f - %s >%s 2>&1",
							 refused[i].debugfs,
							 e->img, e->out),
					0);
		ro_expect_refused(e, refused[i].name, refused[i].why);
		env_free(e);
	}
}

static void bigalloc_counts_in_clusters(void **state)
{
	static const char *const opts = "-t ext4 -b 1024 -O bigalloc -C 16384";
	struct env *e = *state;
	struct uext4_statfs st;
	struct uext4_stat one;

	ro_image(e, opts, "64M", tree);
	assert_int_equal(uext4_statfs(e->fs, &st), 0);
	assert_int_equal(env_sh("test \"$(dumpe2fs -h %s 2>/dev/null | "
				"sed -n 's/^Free blocks: *//p')\" = %llu",
					 e->img,
					 (unsigned long long)st.free_blocks),
			0);
	one = env_stat(e, "/f1");
	assert_int_equal(one.sectors, 32);
}

/* Two files with one block, as Android's tools make them. */
static void blocks_may_be_shared(void **state)
{
	struct env *e = *state;
	struct uext4_file *f;

	ro_image(e, "-t ext2 -b 1024", "16M",
			"printf %1000s | tr ' ' 1 >f; "
			"printf %1000s | tr ' ' 2 >g");
	env_unmount(e);
	assert_int_equal(env_sh("b=$(debugfs -R 'bmap f 0' %s 2>/dev/null) && "
				"printf \"sif g block[0] $b\\n"
				"feature shared_blocks\\n\" | "
				"debugfs -w -f - %s >%s 2>&1",
					 e->img, e->img, e->out),
			0);
	ro_expect_readonly(e, "shared_blocks", "files share blocks");
	f = env_open(e, "/g", UEXT4_O_RDONLY);
	env_expect(f, 0, 1000, '1');
	env_close(f);
}

/* Three levels of index: full nodes of 1 KiB need some 40,000 long names. */
static const char many_names[] =
		"mkdir d; cd d; n=$(printf %240s | tr ' ' n)\n"
		"for k in 1 2; do echo $k >../f$k; done\n"
		"python3 -c \"import os\n"
		"for i in range(48000): os.link('../f%d' % (i % 2 + 1), "
		"'%06d' % i + '$n')\"\n";

static void large_dir_of_three_levels(void **state)
{
	struct env *e = *state;
	struct uext4_node *dir;

	if (!ro_can_mount() || env_sh("command -v python3 >/dev/null") != 0)
		skip();
	if (!ro_kernel(e, "-t ext4 -b 1024 -O large_dir", "96M", many_names))
		skip();
	if (env_sh("debugfs -R 'htree_dump d' %s 2>/dev/null | "
		   "grep -q 'Indirect levels: 2'",
			    e->img) != 0)
		fail_msg("the kernel made fewer levels");
	dir = env_node(e, "/d");
	assert_int_equal(uext4_lookup(dir, "absent", NULL, NULL) < 0, 1);
	uext4_node_put(dir);
	assert_string_equal(e->log, "");
}

/* Files sealed by the kernel are read up to their size. */
static void verity_files_are_read(void **state)
{
	static const char seal[] = "head -c 100000 /dev/urandom >f; head -c 5 "
				   "/dev/zero >g\n"
				   "python3 -c \"\n"
				   "import fcntl, os, struct, sys\n"
				   "arg = struct.pack('<4I Q 2I Q 11Q', 1, 1, "
				   "4096, 0, 0, 0,"
				   " 0, 0, *([0] * 11))\n"
				   "for n in ('f', 'g'):\n"
				   " fd = os.open(n, os.O_RDONLY)\n"
				   " try: fcntl.ioctl(fd, 0x40806685, arg)\n"
				   " except OSError: print('no verity'); "
				   "sys.exit(0)\n\"\n";
	struct env *e = *state;

	if (!ro_can_mount() || env_sh("command -v python3 >/dev/null") != 0)
		skip();
	if (!ro_kernel(e, "-t ext4 -b 4096 -O verity", "32M", seal))
		skip();
	if (env_sh("grep -q 'no verity' %s", e->out) == 0) {
		printf("skip: the kernel seals no files with verity\n");
		skip();
	}
}

static void kernel_makes(void **state, const char *opts)
{
	if (!ro_can_mount())
		skip();
	if (!ro_kernel(*state, opts, "64M", tree))
		skip();
}

static void kernel_bigalloc(void **state)
{
	kernel_makes(state, "-t ext4 -b 1024 -O bigalloc -C 8192");
}

static void kernel_quota_project(void **state)
{
	kernel_makes(state,
			"-t ext4 -O quota,project "
			"-E quotatype=usrquota:grpquota:prjquota");
}

static void kernel_fast_commit(void **state)
{
	kernel_makes(state, "-t ext4 -O fast_commit");
}

/* What fsync wrote as fast commits is neither lost nor read past: until they
 * are replayed nothing is mounted. */
static void fast_commits_in_use_are_refused(void **state)
{
	static const struct env_profile p = {
		.mke2fs = "-t ext4 -O fast_commit",
		.block_size = 1024,
	};
	struct env *e = *state;

	if (!ro_can_mount())
		skip();
	env_image(e, &p, "64M");
	if (env_sh("cd %s && mkdir mnt && mount -o loop,commit=300 img mnt",
			    e->dir) != 0)
		skip();
	assert_int_equal(env_sh("cd %s && : >mnt/a && sync -f mnt && "
				"for i in 1 2 3; do dd if=/dev/zero bs=99 "
				"count=1 conv=fsync of=mnt/f$i 2>/dev/null; "
				"done; cp img cut; umount mnt && mv cut img",
					 e->dir),
			0);
	if (env_sh("debugfs -R 'logdump -c' %s 2>/dev/null | "
		   "grep -q 'tag CREAT_DENTRY'",
			    e->img) != 0)
		skip(); /* the kernel made full commits */
	e->flags = UEXT4_MNT_RDONLY;
	assert_int_equal(env_try_mount(e, NULL), -EOPNOTSUPP);
	assert_non_null(strstr(e->log, "fast commits are in use"));

	assert_int_equal(env_sh("e2fsck -fy %s >%s 2>&1", e->img, e->out), 0);
	ro_expect_readonly(e, "fast_commit", "fast commits are not written");
	assert_int_equal(env_exists(e, "/f3"), 0);
}

#define RO_TEST(fn)                                                            \
 cmocka_unit_test_prestate_setup_teardown(fn, NULL, teardown, &e)

int main(int argc, char **argv)
{
	static struct env e;
	const struct CMUnitTest tests[] = {
		RO_TEST(is_read_and_not_written),
		RO_TEST(is_refused_by_name),
		RO_TEST(bigalloc_counts_in_clusters),
		RO_TEST(blocks_may_be_shared),
		RO_TEST(large_dir_of_three_levels),
		RO_TEST(verity_files_are_read),
		RO_TEST(kernel_bigalloc),
		RO_TEST(kernel_quota_project),
		RO_TEST(kernel_fast_commit),
		RO_TEST(fast_commits_in_use_are_refused),
	};

	if (!env_tools())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
