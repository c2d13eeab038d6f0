/* SPDX-License-Identifier: MIT */
/*
 * What the kernel's ext4 does and a specification does not say: found by making
 * the same random calls on both (tests/mount/diff), kept here one by one.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cases.h"

#define SETID (S_ISUID | S_ISGID)

static const uint32_t in_50[] = { 50 };
static const struct uext4_cred member = {
	.uid = 1000, .gid = 1000, .groups = in_50, .ngroups = 1
};
static const struct uext4_cred outsider = { .uid = 1001, .gid = 1001 };

static void set(struct env *e, const char *path, struct uext4_setattr a)
{
	struct uext4_node *n = env_node(e, path);

	assert_int_equal(uext4_node_setattr(n, &a, NULL), 0);
	uext4_node_put(n);
}

static void set_mode(struct env *e, const char *path, uint32_t mode)
{
	struct uext4_setattr a = { .mask = UEXT4_SET_MODE, .mode = mode };

	set(e, path, a);
}

static uint32_t mode_of(struct env *e, const char *path)
{
	return env_stat(e, path).mode & 07777;
}

/* Setgid without execution for the group: kept by members alone. */
static void write_as(struct env *e, const struct uext4_cred *cred,
		uint32_t before, uint32_t after)
{
	struct uext4_file *f;

	set_mode(e, "/f", before);
	assert_int_equal(uext4_open(e->fs, NULL, "/f", UEXT4_O_RDWR, 0, cred,
					 &f),
			0);
	env_fill(f, 0, 10, 'x');
	env_close(f);
	assert_int_equal(mode_of(e, "/f"), after);

	set_mode(e, "/f", before);
	assert_int_equal(uext4_open(e->fs, NULL, "/f",
					 UEXT4_O_RDWR | UEXT4_O_TRUNC, 0, cred,
					 &f),
			0);
	env_close(f);
	assert_int_equal(mode_of(e, "/f"), after);
}

void kernel_setgid_of_outsiders(struct env *e)
{
	struct uext4_setattr own = { .mask = UEXT4_SET_GID, .gid = 50 };
	const struct iovec v = { .iov_base = "a", .iov_len = 1 };
	struct uext4_file *f;

	assert_int_equal(env_create(e, "/f", 0666), 0);
	set(e, "/f", own);
	write_as(e, &member, SETID | 0766, S_ISGID | 0766);
	write_as(e, &member, SETID | 0777, 0777);
	write_as(e, &outsider, SETID | 0766, 0766);
	write_as(e, NULL, SETID | 0777, SETID | 0777);

	/* Whoever opened it: by who writes. */
	f = env_open(e, "/f", UEXT4_O_RDWR);
	set_mode(e, "/f", SETID | 0766);
	assert_int_equal(uext4_pwritev2(f, &v, 1, 0, UEXT4_RW_KILLPRIV), 1);
	assert_int_equal(mode_of(e, "/f"), S_ISGID | 0766);
	assert_int_equal(uext4_pwritev2(f, &v, 1, 0,
					 UEXT4_RW_KILLPRIV | UEXT4_RW_KILLSGID),
			1);
	assert_int_equal(mode_of(e, "/f"), 0766);
	env_close(f);
	assert_int_equal(uext4_open(e->fs, NULL, "/f", UEXT4_O_RDWR, 0,
					 &outsider, &f),
			0);
	set_mode(e, "/f", SETID | 0777);
	assert_int_equal(uext4_pwritev2(f, &v, 1, 0, UEXT4_RW_KEEPPRIV), 1);
	assert_int_equal(mode_of(e, "/f"), SETID | 0777);
	env_close(f);

	/* chown: in the group that the file had */
	set_mode(e, "/f", SETID | 0766);
	own.gid = 51;
	set(e, "/f", own);
	assert_int_equal(mode_of(e, "/f"), S_ISGID | 0766);
}

static int nothing(void *ctx, const struct uext4_dirent *d)
{
	return 0;
}

void kernel_listing_without_atime(struct env *e)
{
	struct uext4_setattr old = { .mask = UEXT4_SET_ATIME };
	struct uext4_node *n;

	assert_int_equal(env_mkdir(e, "/d", 0755), 0);
	old.atime.tv_sec = 1000;
	set(e, "/d", old);
	n = env_node(e, "/d");
	assert_int_equal(uext4_readdir_noatime(n, 0, nothing, NULL), 0);
	assert_int_equal(env_stat(e, "/d").atime.tv_sec, 1000);
	assert_int_equal(uext4_readdir(n, 0, nothing, NULL), 0);
	assert_true(env_stat(e, "/d").atime.tv_sec > 1000);
	uext4_node_put(n);
}

/* The first and the last second that an inode can say have no parts. */
void kernel_last_second(struct env *e)
{
	int64_t last = e->p->has & ENV_XTIME ? INT64_C(15032385535) : INT32_MAX;
	struct uext4_setattr a = { .mask = UEXT4_SET_ATIME | UEXT4_SET_MTIME };
	struct uext4_stat st;

	assert_int_equal(env_create(e, "/f", 0644), 0);
	a.atime = (struct timespec){ last, 999999999 };
	a.mtime = (struct timespec){ INT32_MIN, 5 };
	set(e, "/f", a);
	st = env_stat(e, "/f");
	assert_int_equal(st.atime.tv_sec, last);
	assert_int_equal(st.atime.tv_nsec, 0);
	assert_int_equal(st.mtime.tv_sec, INT32_MIN);
	assert_int_equal(st.mtime.tv_nsec, 0);
	a.atime = (struct timespec){ last - 1, 999999999 };
	set(e, "/f", a);
	st = env_stat(e, "/f");
	assert_int_equal(st.atime.tv_sec, last - 1);
	assert_int_equal(st.atime.tv_nsec,
			e->p->has & ENV_XTIME ? 999999999 : 0);
}

/* As any new name does: the group of a setgid directory. */
void kernel_whiteout_inherits(struct env *e)
{
	struct uext4_setattr own = { .mask = UEXT4_SET_GID | UEXT4_SET_MODE,
		.gid = 50,
		.mode = S_ISGID | 0755 };
	struct uext4_stat st;

	assert_int_equal(env_mkdir(e, "/d", 0755), 0);
	set(e, "/d", own);
	assert_int_equal(env_create(e, "/d/f", 0644), 0);
	assert_int_equal(env_rename(e, "/d/f", "/g", UEXT4_RENAME_WHITEOUT), 0);
	st = env_stat(e, "/d/f");
	assert_int_equal(st.mode & S_IFMT, S_IFCHR);
	assert_int_equal(st.gid, 50);
	assert_int_equal(st.nlink, 1);
	assert_int_equal(env_unlink(e, "/d/f"), 0);
	assert_int_equal(env_rmdir(e, "/d"), 0);
}

/* u::rw-, g::r--, o::--- */
static const uint8_t as_0640[] = { 2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255,
	4, 0, 4, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255 };

static void ctime_set_to(struct env *e, const char *path, int64_t sec)
{
	struct uext4_setattr a = { .mask = UEXT4_SET_CTIME };

	a.ctime.tv_sec = sec;
	set(e, path, a);
}

static int touch(struct env *e, const char *path, uint32_t which,
		const struct uext4_cred *cred)
{
	struct uext4_setattr a = { .mask = which };
	struct uext4_node *n = env_node(e, path);
	int ret = uext4_node_setattr(n, &a, cred);

	uext4_node_put(n);
	return ret;
}

/* Both may who may write; one alone is as a time given, the owner's. */
void kernel_one_time_to_now(struct env *e)
{
	const uint32_t both = UEXT4_SET_ATIME_NOW | UEXT4_SET_MTIME_NOW;
	struct uext4_setattr append = { .mask = UEXT4_SET_FLAGS };

	assert_int_equal(env_create(e, "/f", 0666), 0);
	assert_int_equal(touch(e, "/f", both, &outsider), 0);
	assert_int_equal(
			touch(e, "/f", UEXT4_SET_ATIME_NOW, &outsider), -EPERM);
	assert_int_equal(
			touch(e, "/f", UEXT4_SET_MTIME_NOW, &outsider), -EPERM);
	append.flags = env_stat(e, "/f").flags | FS_APPEND_FL;
	set(e, "/f", append);
	assert_int_equal(touch(e, "/f", both, NULL), 0);
	assert_int_equal(touch(e, "/f", UEXT4_SET_ATIME_NOW, NULL), -EPERM);
}

/* What is set already, and an ACL that says what the mode says. */
void kernel_no_change_of_attributes(struct env *e)
{
	const char *name = "system.posix_acl_access";
	struct uext4_node *n;

	assert_int_equal(env_create(e, "/f", 0640), 0);
	ctime_set_to(e, "/f", 1000);
	assert_int_equal(env_setxattr(e, "/f", name, as_0640, sizeof(as_0640),
					 0),
			0);
	assert_int_equal(env_stat(e, "/f").ctime.tv_sec, 1000);
	n = env_node(e, "/f");
	assert_int_equal(uext4_removexattr(n, name, NULL), 0);
	assert_int_equal(env_stat(e, "/f").ctime.tv_sec, 1000);
	assert_int_equal(env_setxattr(e, "/f", "user.a", "abc", 3, 0), 0);
	ctime_set_to(e, "/f", 1000);
	assert_int_equal(env_setxattr(e, "/f", "user.a", "abc", 3, 0), 0);
	assert_int_equal(env_setxattr(e, "/f", "user.a", "abc", 3,
					 UEXT4_XATTR_REPLACE),
			0);
	assert_int_equal(env_setxattr(e, "/f", "user.a", "abc", 3,
					 UEXT4_XATTR_CREATE),
			-EEXIST);
	assert_int_equal(env_stat(e, "/f").ctime.tv_sec, 1000);
	assert_int_equal(env_setxattr(e, "/f", "user.a", "abd", 3, 0), 0);
	assert_true(env_stat(e, "/f").ctime.tv_sec > 1000);
	set_mode(e, "/f", 0600);
	ctime_set_to(e, "/f", 1000);
	assert_int_equal(env_setxattr(e, "/f", name, as_0640, sizeof(as_0640),
					 0),
			0);
	assert_int_equal(mode_of(e, "/f"), 0640);
	assert_true(env_stat(e, "/f").ctime.tv_sec > 1000);
	assert_int_equal(uext4_getxattr(n, name, NULL, 0, NULL), -ENODATA);
	uext4_node_put(n);
}

/* Too far comes before "not for this file", and nothing has changed then. */
void kernel_fallocate_of_block_maps(struct env *e)
{
	bool extents = (e->p->has & ENV_EXTENT) != 0;
	struct uext4_file *f;

	assert_int_equal(env_create(e, "/f", 0644), 0);
	f = env_open(e, "/f", UEXT4_O_RDWR);
	ctime_set_to(e, "/f", 1000);
	assert_int_equal(uext4_fallocate(f, 0, INT64_MAX - 8192, 4096), -EFBIG);
	assert_int_equal(uext4_fallocate(f, 0, 0, 4096),
			extents ? 0 : -EOPNOTSUPP);
	if (!extents)
		assert_int_equal(env_stat(e, "/f").ctime.tv_sec, 1000);
	env_close(f);
}

/* As many blocks as i_blocks can count, less what their pointers would take. */
void kernel_largest_file_of_pointers(struct env *e)
{
	const uint64_t max = UINT64_C(2196873666560);
	struct uext4_file *f;

	assert_int_equal(env_create(e, "/f", 0644), 0);
	f = env_open(e, "/f", UEXT4_O_RDWR);
	assert_int_equal(uext4_ftruncate(f, max + 1), -EFBIG);
	assert_int_equal(uext4_ftruncate(f, max), 0);
	assert_int_equal(env_size(f), max);
	env_close(f);
}
