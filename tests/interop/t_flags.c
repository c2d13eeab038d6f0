/* SPDX-License-Identifier: MIT */
/*
 * Flags and generation of an inode: what a kernel's FS_IOC_SETFLAGS and
 * FS_IOC_SETVERSION answer on a loop device, we answer (root only).
 *
 * Two images, one mounted by the kernel and one by us, with the same file and
 * directory. Each flag is turned over, on inodes that are plain, immutable and
 * append-only, by root, the owner and somebody else: results and what the flags
 * are then must be equal. What is different stands in has_own_answer().
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "env.h"

#define OWNER 1000u

struct pair {
	struct env ours, theirs;
	char mnt[128];
	bool mounted;
};

static const struct uext4_cred people[] = {
	{ .flags = UEXT4_CRED_SUPER },
	{ .uid = OWNER, .gid = OWNER },
	{ .uid = 1001, .gid = 1001 },
};
static const char *const names[] = { "f", "d" };

/* ---- the kernel's side ---- */

static int kernel_open(struct pair *p, const char *name)
{
	char path[192];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", p->mnt, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

/* The call by one of the people, in a process of its own. */
static int kernel_call(int fd, const struct uext4_cred *who,
		unsigned long request, uint32_t value)
{
	int status;
	long arg = (long)value;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		if (who->uid != 0 &&
				(setgroups(0, NULL) < 0 ||
						setgid(who->gid) < 0 ||
						setuid(who->uid) < 0))
			_exit(255);
		_exit(ioctl(fd, request, &arg) < 0 ? errno : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) != 255);
	return -WEXITSTATUS(status);
}

static uint32_t kernel_get(int fd, unsigned long request)
{
	long value = 0;

	assert_int_equal(ioctl(fd, request, &value), 0);
	return (uint32_t)value;
}

/* ---- ours ---- */

static int our_set(struct uext4_node *n, const struct uext4_cred *who,
		uint32_t flags)
{
	struct uext4_setattr a = { .mask = UEXT4_SET_FLAGS, .flags = flags };

	return uext4_node_setattr(n, &a, who);
}

static uint32_t our_get(struct uext4_node *n)
{
	struct uext4_stat st;

	assert_int_equal(uext4_node_stat(n, &st), 0);
	return st.flags;
}

/* ---- set up ---- */

static void tear_down(struct pair *p)
{
	/* A test that failed has left files open. */
	if (p->mounted && umount2(p->mnt, MNT_DETACH) == 0)
		p->mounted = false;
	if (p->mnt[0])
		(void)rmdir(p->mnt);
	env_free(&p->ours);
	env_free(&p->theirs);
}

static struct pair at_work;

static int clean(void **state)
{
	(void)state;
	tear_down(&at_work);
	memset(&at_work, 0, sizeof(at_work));
	return 0;
}

static void set_up(struct pair *p, const char *profile)
{
	const struct env_profile *pr = env_profile_find(profile);
	struct uext4_setattr own = {
		.mask = UEXT4_SET_UID | UEXT4_SET_GID,
		.uid = OWNER,
		.gid = OWNER,
	};

	env_image(&p->theirs, pr, NULL);
	(void)snprintf(p->mnt, sizeof(p->mnt), "%s/mnt", p->theirs.dir);
	assert_int_equal(mkdir(p->mnt, 0700), 0);
	assert_int_equal(env_sh("mount -t ext4 -o loop,nodev,nosuid %s %s",
					 p->theirs.img, p->mnt),
			0);
	p->mounted = true;
	assert_int_equal(env_sh("cd %s && echo x >f && mkdir d && "
				"chown %u:%u f d",
					 p->mnt, OWNER, OWNER),
			0);
	env_make(&p->ours, pr, NULL);
	assert_int_equal(env_create(&p->ours, "/f", 0644), 0);
	assert_int_equal(env_mkdir(&p->ours, "/d", 0755), 0);
	for (int i = 0; i < 2; i++) {
		char path[8];
		struct uext4_node *n;

		(void)snprintf(path, sizeof(path), "/%s", names[i]);
		n = env_node(&p->ours, path);
		assert_int_equal(uext4_node_setattr(n, &own, NULL), 0);
		uext4_node_put(n);
	}
}

/* ---- flag by flag ---- */

/* Data journalling by root, and extents to block maps and back. */
static bool has_own_answer(const struct uext4_cred *who, uint32_t changed)
{
	return (changed & FS_EXTENT_FL) ||
			((changed & FS_JOURNAL_DATA_FL) && who->uid == 0);
}

/* One attempt on both sides; true if it was made, and accepted. */
static bool both_set(int fd, struct uext4_node *n, const struct uext4_cred *who,
		uint32_t value)
{
	uint32_t was = kernel_get(fd, FS_IOC_GETFLAGS);
	int theirs, ours;

	ours = our_set(n, who, value);
	if (has_own_answer(who, was ^ value)) {
		assert_true(ours < 0);
		assert_int_equal(our_get(n), was);
		return false;
	}
	theirs = kernel_call(fd, who, FS_IOC_SETFLAGS, value);
	if (ours != theirs || our_get(n) != kernel_get(fd, FS_IOC_GETFLAGS))
		fail_msg("user %u, %x to %x: kernel %d and %x, we %d and %x",
				who->uid, was, value, theirs,
				kernel_get(fd, FS_IOC_GETFLAGS), ours,
				our_get(n));
	return ours == 0;
}

static void one_flag(int fd, struct uext4_node *n, const struct uext4_cred *who,
		uint32_t start, uint32_t value)
{
	uint32_t plain = start & ~(uint32_t)(FS_IMMUTABLE_FL | FS_APPEND_FL);

	/* What is immutable lets go of that first. */
	(void)both_set(fd, n, &people[0],
			our_get(n) &
					~(uint32_t)(FS_IMMUTABLE_FL |
							FS_APPEND_FL));
	if (both_set(fd, n, &people[0], plain) &&
			both_set(fd, n, &people[0], start))
		(void)both_set(fd, n, who, value);
}

static void flags_of(struct pair *p, const char *name)
{
	static const uint32_t starts[] = { 0, FS_IMMUTABLE_FL, FS_APPEND_FL };
	int fd = kernel_open(p, name);
	struct uext4_node *n;
	char path[8];
	uint32_t base;

	(void)snprintf(path, sizeof(path), "/%s", name);
	n = env_node(&p->ours, path);
	base = kernel_get(fd, FS_IOC_GETFLAGS);
	assert_int_equal(our_get(n), base);
	for (size_t s = 0; s < 3; s++) {
		for (size_t w = 0; w < 3; w++) {
			const struct uext4_cred *who = &people[w];
			uint32_t start = base | starts[s];

			one_flag(fd, n, who, start, start);
			for (int bit = 0; bit < 32; bit++) {
				uint32_t one = (uint32_t)1 << bit;

				one_flag(fd, n, who, start, start ^ one);
				one_flag(fd, n, who, start, base ^ one);
				one_flag(fd, n, who, start | one, start);
			}
		}
	}
	one_flag(fd, n, &people[0], base, base);
	assert_int_equal(our_get(n), base);
	close(fd);
	uext4_node_put(n);
}

static void generation_of(struct pair *p, const char *name)
{
	struct uext4_setattr a = { .mask = UEXT4_SET_GENERATION };
	int fd = kernel_open(p, name);
	struct uext4_stat st;
	struct uext4_node *n;
	char path[8];

	(void)snprintf(path, sizeof(path), "/%s", name);
	n = env_node(&p->ours, path);
	for (size_t w = 0; w < 3; w++) {
		a.generation = 7 + (uint32_t)w;
		int theirs = kernel_call(fd, &people[w], FS_IOC_SETVERSION,
				a.generation);

		assert_int_equal(uext4_node_setattr(n, &a, &people[w]), theirs);
		if (theirs < 0)
			continue;
		assert_int_equal(uext4_node_stat(n, &st), 0);
		assert_int_equal(st.generation, a.generation);
		assert_int_equal(kernel_get(fd, FS_IOC_GETVERSION),
				a.generation);
	}
	close(fd);
	uext4_node_put(n);
}

static void project_of(struct pair *p, const char *name)
{
	struct uext4_setattr a = { .mask = UEXT4_SET_PROJID };
	int fd = kernel_open(p, name);
	struct fsxattr fa;
	struct uext4_stat st;
	struct uext4_node *n;
	char path[8];

	(void)snprintf(path, sizeof(path), "/%s", name);
	n = env_node(&p->ours, path);
	assert_int_equal(ioctl(fd, FS_IOC_FSGETXATTR, &fa), 0);
	for (unsigned id = 0; id < 2; id++) {
		fa.fsx_projid = a.projid = id;
		assert_int_equal(uext4_node_setattr(n, &a, NULL),
				ioctl(fd, FS_IOC_FSSETXATTR, &fa) < 0 ? -errno
								      : 0);
	}
	assert_int_equal(uext4_node_stat(n, &st), 0);
	assert_int_equal(st.projid, 0);
	close(fd);
	uext4_node_put(n);
}

/* What a new file and a new directory take over. */
static void inherited(struct pair *p)
{
	int fd = kernel_open(p, "d");
	struct uext4_node *n = env_node(&p->ours, "/d");
	uint32_t base = our_get(n);

	for (int bit = 0; bit < 32; bit++) {
		uint32_t one = (uint32_t)1 << bit;
		char path[32];

		if (one == FS_IMMUTABLE_FL || one == FS_APPEND_FL ||
				has_own_answer(&people[0], one) ||
				our_set(n, NULL, base ^ one) < 0)
			continue;
		assert_int_equal(kernel_call(fd, &people[0], FS_IOC_SETFLAGS,
						 base ^ one),
				0);
		assert_int_equal(env_sh("cd %s/d && >f%d && mkdir d%d", p->mnt,
						 bit, bit),
				0);
		for (int i = 0; i < 2; i++) {
			int at;

			(void)snprintf(path, sizeof(path), "/d/%s%d", names[i],
					bit);
			assert_int_equal(i == 0 ? env_create(&p->ours, path,
								  0644)
						: env_mkdir(&p->ours, path,
								  0755),
					0);
			at = kernel_open(p, path + 1);
			if (env_stat(&p->ours, path).flags !=
					kernel_get(at, FS_IOC_GETFLAGS))
				fail_msg("%s: kernel %x, we %x", path,
						kernel_get(at, FS_IOC_GETFLAGS),
						env_stat(&p->ours, path).flags);
			close(at);
		}
	}
	assert_int_equal(our_set(n, NULL, base), 0);
	close(fd);
	uext4_node_put(n);
}

static void flags_are_the_kernels(void **state)
{
	struct pair *p = &at_work;

	set_up(p, *state);
	for (int i = 0; i < 2; i++) {
		flags_of(p, names[i]);
		generation_of(p, names[i]);
		project_of(p, names[i]);
	}
	inherited(p);
	env_remount(&p->ours);
	env_unmount(&p->ours);
	env_judge(&p->ours);
}

/* Mount and make something immutable: else the kernel cannot be asked. */
static bool kernel_can(void)
{
	struct pair p = { 0 };
	bool can = false;

	if (geteuid() != 0 || access("/dev/loop-control", F_OK) < 0)
		return false;
	env_image(&p.theirs, env_profile_find("ext4-4k-full"), "16M");
	(void)snprintf(p.mnt, sizeof(p.mnt), "%s/mnt", p.theirs.dir);
	(void)mkdir(p.mnt, 0700);
	if (env_sh("mount -t ext4 -o loop %s %s 2>/dev/null", p.theirs.img,
			    p.mnt) == 0) {
		p.mounted = true;
		can = env_sh("cd %s && >f && chattr +i f 2>/dev/null && "
			     "chattr -i f",
				      p.mnt) == 0;
	}
	tear_down(&p);
	return can;
}

int main(void)
{
	static char profiles[][24] = { "ext4-4k-full", "ext4-4k-old",
		"ext3-1k" };
	struct CMUnitTest tests[3];

	if (!env_tools())
		return 77;
	if (!kernel_can()) {
		printf("skip: no kernel mount, or none that sets flags\n");
		return 77;
	}
	for (size_t i = 0; i < 3; i++)
		tests[i] = (struct CMUnitTest){
			.name = profiles[i],
			.test_func = flags_are_the_kernels,
			.teardown_func = clean,
			.initial_state = profiles[i],
		};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
