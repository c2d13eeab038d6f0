/* SPDX-License-Identifier: MIT */
/*
 * Both ways with the kernel's ext4 on a loop device (root only).
 *
 *	kernel_writes_we_read	trees equal: names, attributes, bytes, ACLs
 *	we_write_kernel_reads	the same
 *	same_calls_same_results	one random script on both: every result equal,
 *				and the trees that come of it
 *	by_turns		the two change one image in turn
 *	kernels_journal		the kernel is shut down in mid-work; we, e2fsck
 *				and the kernel recover copies: equal trees
 *	our_journal		we stop in mid-work; the same three
 *
 * The kernel is given no image that e2fsck does not call clean (after its own
 * replay, for those that need one). Whatever happens, nothing stays mounted.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "env.h"
#include "model.h"
#include "ro.h"
#include "snap.h"
#include "tree.h"

#define IOC_SHUTDOWN      _IOR('X', 125, uint32_t)
#define SHUTDOWN_LOGFLUSH 1u

struct run {
	const char *name;
	void (*body)(struct run *r);
	const struct env_profile *p;
	struct env e;
	char mnt[128];
	bool mounted;
};

static void kernel_umount(struct run *r)
{
	if (!r->mounted)
		return;
	for (int i = 0; i < 50 && umount(r->mnt) < 0 && errno == EBUSY; i++)
		usleep(20000);
	r->mounted = false;
}

/* Mount @img, which e2fsck calls clean. */
static void kernel_mount(struct run *r, const char *img, const char *opts)
{
	(void)mkdir(r->mnt, 0700);
	if (env_sh("mount -t ext4 -o "
		   "loop,nodev,nosuid,acl,user_xattr,noatime%s %s %s "
		   ">%s 2>&1",
			    opts, img, r->mnt, r->e.out) != 0) {
		(void)env_sh("sed 's/^/# /' %s >&2; dmesg | tail -3 | "
			     "sed 's/^/# /' >&2",
				r->e.out);
		fail_msg("the kernel does not mount it");
	}
	r->mounted = true;
}

static void kernel_snap(struct run *r, const char *img, const char *opts,
		unsigned flags, struct snap *s)
{
	kernel_mount(r, img, opts);
	snap_posix(r->mnt, flags, s);
	kernel_umount(r);
}

static bool extents(const struct run *r)
{
	return r->p->has & ENV_EXTENT;
}

static void same(struct snap *a, struct snap *b, const char *what)
{
	bool equal = snap_equal(a, b, what) && a->n > 1;

	snap_free(a);
	snap_free(b);
	assert_true(equal);
}

static void kernel_writes_we_read(struct run *r)
{
	struct snap theirs, ours;

	kernel_mount(r, r->e.img, "");
	tree_build(&tree_posix, r->mnt, extents(r));
	kernel_umount(r);
	env_judge(&r->e);
	kernel_snap(r, r->e.img, ",ro", SNAP_ACLS, &theirs);
	r->e.flags = UEXT4_MNT_RDONLY;
	env_mount(&r->e);
	snap_api(r->e.fs, SNAP_ACLS, &ours);
	env_unmount(&r->e);
	same(&theirs, &ours, "kernel, library");
}

static void we_write_kernel_reads(struct run *r)
{
	struct snap theirs, ours;
	FILE *null;

	env_mount(&r->e);
	tree_build(&tree_api, r->e.fs, extents(r));
	snap_api(r->e.fs, SNAP_ACLS, &ours);
	env_unmount(&r->e);
	env_judge(&r->e);
	kernel_snap(r, r->e.img, ",ro", SNAP_ACLS, &theirs);
	same(&ours, &theirs, "library, kernel");
	/* and writes to it */
	kernel_mount(r, r->e.img, "");
	null = fopen("/dev/null", "w");
	assert_non_null(null);
	tree_run(&tree_posix, r->mnt, 1, 200, r->e.bs, null);
	fclose(null);
	kernel_umount(r);
	env_judge(&r->e);
}

static void same_calls_same_results(struct run *r)
{
	uint64_t seed = model_seed("same_calls_same_results", &r->e);
	struct snap theirs, ours;
	char theirs_log[160], ours_log[160];
	FILE *log;
	int differ;

	(void)snprintf(theirs_log, sizeof(theirs_log), "%s/k", r->e.dir);
	(void)snprintf(ours_log, sizeof(ours_log), "%s/u", r->e.dir);
	assert_int_equal(env_sh("cp --sparse=always %s %s/copy", r->e.img,
					 r->e.dir),
			0);

	log = fopen(theirs_log, "w");
	assert_non_null(log);
	kernel_mount(r, r->e.img, "");
	tree_run(&tree_posix, r->mnt, seed, 1500, r->e.bs, log);
	fclose(log);
	kernel_umount(r);
	env_judge(&r->e);
	kernel_snap(r, r->e.img, ",ro", SNAP_ACLS | SNAP_NO_INO | SNAP_NO_TIMES,
			&theirs);

	assert_int_equal(env_sh("mv %s/copy %s", r->e.dir, r->e.img), 0);
	log = fopen(ours_log, "w");
	assert_non_null(log);
	env_mount(&r->e);
	tree_run(&tree_api, r->e.fs, seed, 1500, r->e.bs, log);
	fclose(log);
	snap_api(r->e.fs, SNAP_ACLS | SNAP_NO_INO | SNAP_NO_TIMES, &ours);
	env_unmount(&r->e);
	env_judge(&r->e);

	differ = env_sh("diff %s %s | head -6 | sed 's/^/# /' >&2; cmp -s %s "
			"%s",
			theirs_log, ours_log, theirs_log, ours_log);
	if (differ) {
		snap_free(&theirs);
		snap_free(&ours);
		fail_msg("results differ: < kernel, > library");
	}
	same(&theirs, &ours, "kernel, library");
}

static void by_turns(struct run *r)
{
	uint64_t seed = model_seed("by_turns", &r->e);
	FILE *null = fopen("/dev/null", "w");
	struct snap theirs, ours;

	assert_non_null(null);
	for (unsigned turn = 0; turn < 3; turn++) {
		kernel_mount(r, r->e.img, "");
		tree_run(&tree_posix, r->mnt, seed + turn * 2, 250, r->e.bs,
				null);
		kernel_umount(r);
		env_judge(&r->e);
		kernel_snap(r, r->e.img, ",ro", SNAP_ACLS, &theirs);
		env_mount(&r->e);
		snap_api(r->e.fs, SNAP_ACLS, &ours);
		same(&theirs, &ours, "kernel, library");
		tree_run(&tree_api, r->e.fs, seed + turn * 2 + 1, 250, r->e.bs,
				null);
		snap_api(r->e.fs, SNAP_ACLS, &ours);
		env_unmount(&r->e);
		env_judge(&r->e);
		kernel_snap(r, r->e.img, ",ro", SNAP_ACLS, &theirs);
		same(&ours, &theirs, "library, kernel");
	}
	fclose(null);
}

/* The image needs recovery: by us, by e2fsck, by the kernel, equal trees. @lax:
 * the free counts of the superblock may be old, as the kernel leaves them. */
static void three_recoveries(struct run *r, bool lax)
{
	struct uext4_info info;
	struct snap ours, fsck, theirs;
	char copy[160];

	assert_int_equal(env_sh("dumpe2fs -h %s 2>/dev/null | "
				"grep -q needs_recovery",
					 r->e.img),
			0);
	(void)snprintf(copy, sizeof(copy), "%s/copy", r->e.dir);
	assert_int_equal(env_sh("cp --sparse=always %s %s && "
				"cp --sparse=always %s %s.k",
					 r->e.img, copy, r->e.img, copy),
			0);
	/* ours */
	r->e.flags = 0;
	env_mount(&r->e);
	assert_int_equal(uext4_info(r->e.fs, &info), 0);
	assert_true(info.needed_recovery);
	assert_true(info.replayed_transactions > 0);
	snap_api(r->e.fs, 0, &ours);
	env_unmount(&r->e);
	env_judge(&r->e);
	/* e2fsck's */
	assert_true(env_sh("e2fsck -fy %s >%s 2>&1", copy, r->e.out) <= 1);
	if (env_sh("grep -B1 'Fix?\\|Clear?' %s | grep -v '^Fix?\\|^Clear?\\|"
		   "^$\\|^--\\|^Orphan file .* is not clean%s' | grep -q .",
			    r->e.out,
			    lax ? "\\|^Free .* count wrong" : "") == 0) {
		(void)env_sh("sed 's/^/# /' %s >&2", r->e.out);
		fail_msg("e2fsck finds damage after its replay");
	}
	assert_int_equal(
			env_sh("mv %s.k %s.x && mv %s %s.k && mv %s.x %s", copy,
					copy, r->e.img, copy, copy, r->e.img),
			0);
	/* now: img is the raw one, copy is e2fsck's, copy.k is ours */
	assert_int_equal(env_sh("mv %s %s.raw && cp --sparse=always %s %s",
					 r->e.img, copy, copy, r->e.img),
			0);
	r->e.flags = UEXT4_MNT_RDONLY;
	env_judge(&r->e);
	env_mount(&r->e);
	snap_api(r->e.fs, 0, &fsck);
	env_unmount(&r->e);
	/* the kernel's */
	(void)snprintf(copy, sizeof(copy), "%s/copy.raw", r->e.dir);
	kernel_snap(r, copy, "", 0, &theirs);
	assert_int_equal(env_sh("e2fsck -fn %s >%s 2>&1", copy, r->e.out), 0);
	if (!snap_equal(&ours, &fsck, "library, e2fsck")) {
		snap_free(&ours);
		snap_free(&fsck);
		snap_free(&theirs);
		fail_msg("recovered trees differ");
	}
	snap_free(&fsck);
	same(&ours, &theirs, "library, kernel");
}

static void kernels_journal(struct run *r)
{
	uint64_t seed = model_seed("kernels_journal", &r->e);
	FILE *null = fopen("/dev/null", "w");
	uint32_t how = SHUTDOWN_LOGFLUSH;
	char path[160];
	int dir, open_file;

	assert_non_null(null);
	kernel_mount(r, r->e.img, "");
	tree_build(&tree_posix, r->mnt, extents(r));
	dir = open(r->mnt, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(dir >= 0);
	assert_int_equal(syncfs(dir), 0);
	tree_run(&tree_posix, r->mnt, seed, 400, r->e.bs, null);
	/* an orphan */
	(void)snprintf(path, sizeof(path), "%s/sparse", r->mnt);
	open_file = open(path, O_RDWR | O_CLOEXEC);
	(void)unlink(path);
	assert_int_equal(ioctl(dir, IOC_SHUTDOWN, &how), 0);
	if (open_file >= 0)
		close(open_file);
	close(dir);
	fclose(null);
	kernel_umount(r);
	three_recoveries(r, true);
}

static void our_journal(struct run *r)
{
	uint64_t seed = model_seed("our_journal", &r->e);
	FILE *null = fopen("/dev/null", "w");
	struct uext4_file *f;
	struct uext4_fs *fs;

	assert_non_null(null);
	env_mount(&r->e);
	tree_build(&tree_api, r->e.fs, extents(r));
	assert_int_equal(uext4_sync(r->e.fs), 0);
	tree_run(&tree_api, r->e.fs, seed, 400, r->e.bs, null);
	fclose(null);
	f = env_open(&r->e, "/sparse", UEXT4_O_RDWR);
	(void)env_unlink(&r->e, "/sparse"); /* an orphan */
	assert_int_equal(uext4_shutdown(r->e.fs, UEXT4_SHUTDOWN_LOGFLUSH), 0);
	(void)!uext4_close(f);
	fs = r->e.fs;
	r->e.fs = NULL;
	(void)!uext4_unmount(fs);
	three_recoveries(r, false);
}

static void run_one(void **state)
{
	struct run *r = *state;

	env_image(&r->e, r->p, NULL);
	(void)snprintf(r->mnt, sizeof(r->mnt), "%s/mnt", r->e.dir);
	r->body(r);
	env_free(&r->e);
}

static int teardown(void **state)
{
	struct run *r = *state;

	kernel_umount(r);
	env_free(&r->e);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*body)(struct run *r);
		unsigned need;
	} cases[] = {
		{ "kernel_writes_we_read", kernel_writes_we_read, 0 },
		{ "we_write_kernel_reads", we_write_kernel_reads, 0 },
		{ "same_calls_same_results", same_calls_same_results, 0 },
		{ "by_turns", by_turns, 0 },
		{ "kernels_journal", kernels_journal, ENV_JOURNAL },
		{ "our_journal", our_journal, ENV_JOURNAL },
	};
	static struct run runs[200];
	static struct CMUnitTest tests[200];
	static char names[200][96];
	size_t n = 0;

	if (!env_tools() || !ro_can_mount())
		return 77;
	(void)umask(0);
	for (unsigned i = 0; i < env_nprofiles; i++) {
		for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
			const struct env_profile *p = &env_profiles[i];

			if ((p->has & cases[k].need) != cases[k].need)
				continue;
			(void)snprintf(names[n], sizeof(names[n]), "%s/%s",
					cases[k].name, p->name);
			if (argc > 1 && !strstr(names[n], argv[1]))
				continue;
			if (argc > 2 && !strstr(names[n], argv[2]))
				continue;
			runs[n].body = cases[k].body;
			runs[n].p = p;
			tests[n] = (struct CMUnitTest){ .name = names[n],
				.test_func = run_one,
				.teardown_func = teardown,
				.initial_state = &runs[n] };
			n++;
		}
	}
	return _cmocka_run_group_tests("kernel", tests, n, NULL, NULL);
}
