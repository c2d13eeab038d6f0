/* SPDX-License-Identifier: MIT */
/*
 * Attributes: modes, owners, times, extended attributes, ACLs, permission.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "cases.h"

static int set(struct env *e, const char *path, struct uext4_setattr a,
		const struct uext4_cred *cred)
{
	struct uext4_node *n = env_node(e, path);
	int ret = uext4_node_setattr(n, &a, cred);

	uext4_node_put(n);
	return ret;
}

static int set_mode(struct env *e, const char *path, uint32_t mode,
		const struct uext4_cred *cred)
{
	return set(e, path,
			(struct uext4_setattr){
					.mask = UEXT4_SET_MODE, .mode = mode },
			cred);
}

static int set_owner(struct env *e, const char *path, uint32_t uid,
		uint32_t gid, const struct uext4_cred *cred)
{
	return set(e, path,
			(struct uext4_setattr){
					.mask = UEXT4_SET_UID | UEXT4_SET_GID,
					.uid = uid,
					.gid = gid },
			cred);
}

static const struct {
	int64_t want, have128; /* seconds: asked for, kept in 128 bytes */
	long ns;
} times[] = {
	{ 0, 0, 0 },
	{ 1, 1, 999999999 },
	{ 1700000000, 1700000000, 123456789 },
	{ -1, -1, 1 },
	{ -86400 * 365, -86400 * 365, 500 },
	{ -2147483648LL, -2147483648LL, 7 }, /* 1901 */
	{ 2147483647, 2147483647, 8 },
	{ 2147483648LL, 2147483647, 9 }, /* 2038 */
	{ 4294967295LL, 2147483647, 10 },
	{ 4294967296LL, 2147483647, 11 },
	{ 10000000000LL, 2147483647, 12 },
	{ 15032385535LL, 2147483647, 13 }, /* 2446 */
	{ 20000000000LL, 2147483647, 14 }, /* beyond: the last that is */
	{ -9000000000LL, -2147483648LL, 15 },
};

static void time_is(struct env *e, const char *path, size_t i)
{
	int64_t want = times[i].want;
	struct uext4_stat st = env_stat(e, path);

	if (!(e->p->has & ENV_XTIME)) {
		assert_int_equal(st.mtime.tv_sec, times[i].have128);
		assert_int_equal(st.mtime.tv_nsec, 0);
		return;
	}
	/* The last second there is, without parts. */
	if (want >= 15032385535LL || want <= -2147483648LL) {
		want = want > 0 ? 15032385535LL : -2147483648LL;
		assert_int_equal(st.mtime.tv_sec, want);
		assert_int_equal(st.mtime.tv_nsec, 0);
		assert_int_equal(st.atime.tv_sec, want);
		return;
	}
	assert_int_equal(st.mtime.tv_sec, want);
	assert_int_equal(st.mtime.tv_nsec, times[i].ns);
	assert_int_equal(st.atime.tv_sec, want);
}

void attr_modes_times(struct env *e)
{
	char path[32];
	struct uext4_stat st;

	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		struct timespec ts = { times[i].want, times[i].ns };

		(void)snprintf(path, sizeof(path), "/t%zu", i);
		assert_int_equal(env_create(e, path, 0644), 0);
		assert_int_equal(
				set(e, path,
						(struct uext4_setattr){
								.mask = UEXT4_SET_ATIME |
										UEXT4_SET_MTIME,
								.atime = ts,
								.mtime = ts },
						NULL),
				0);
		time_is(e, path, i);
	}
	for (uint32_t mode = 0; mode < 010000; mode += 0123) {
		assert_int_equal(set_mode(e, "/t0", mode, NULL), 0);
		assert_int_equal(env_stat(e, "/t0").mode, S_IFREG | mode);
	}
	assert_int_equal(set_owner(e, "/t1", 65536 + 7, 0xfffffffe, NULL), 0);
	env_remount(e);
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		(void)snprintf(path, sizeof(path), "/t%zu", i);
		time_is(e, path, i);
	}
	st = env_stat(e, "/t1");
	assert_int_equal(st.uid, 65536 + 7);
	assert_int_equal(st.gid, 0xfffffffe);

	/* what touches which time */
	struct uext4_stat d0 = env_stat(e, "/"), d1;

	assert_int_equal(env_create(e, "/new", 0644), 0);
	d1 = env_stat(e, "/");
	assert_true(d1.mtime.tv_sec >= d0.mtime.tv_sec);
	assert_true(d1.mtime.tv_sec > 1700000000);
	assert_int_equal(d1.mtime.tv_nsec, d1.ctime.tv_nsec);
	struct uext4_file *f = env_open(e, "/t2", UEXT4_O_RDWR);

	env_fill(f, 0, 10, 'x');
	env_close(f);
	assert_true(env_stat(e, "/t2").mtime.tv_sec > 1700000000);
	if (e->p->has & ENV_XTIME)
		assert_true(env_stat(e, "/new").btime.tv_sec > 1700000000);
	/* flags: what chattr sets is obeyed */
	assert_int_equal(
			set(e, "/new",
					(struct uext4_setattr){
							.mask = UEXT4_SET_FLAGS,
							.flags = env_stat(e, "/new").flags |
									0x10u },
					NULL),
			0);
	assert_int_equal(env_unlink(e, "/new"), -EPERM);
	struct uext4_file *g;

	assert_int_equal(uext4_open(e->fs, NULL, "/new", UEXT4_O_RDWR, 0, NULL,
					 &g),
			-EPERM);
	assert_int_equal(
			set(e, "/new",
					(struct uext4_setattr){
							.mask = UEXT4_SET_FLAGS,
							.flags = env_stat(e, "/new").flags &
									~0x10u },
					NULL),
			0);
	assert_int_equal(env_unlink(e, "/new"), 0);
}

static void xattr_is(struct env *e, const char *path, const char *name,
		size_t len, int byte)
{
	char *got = env_alloc(len + 1, 0);
	ssize_t n = env_getxattr(e, path, name, got, len + 1);

	assert_int_equal(n, len);
	for (size_t i = 0; i < len; i++)
		assert_int_equal((uint8_t)got[i], (uint8_t)byte);
	free(got);
}

static int xattr_put(struct env *e, const char *path, const char *name,
		size_t len, int byte, unsigned flags)
{
	char *v = env_alloc(len + 1, byte);
	int ret = env_setxattr(e, path, name, v, len, flags);

	free(v);
	return ret;
}

void attr_xattrs(struct env *e)
{
	static const char *const kinds[] = { "user.k", "trusted.k",
		"security.k" };
	char name[300], list[4096];
	struct uext4_node *n;
	size_t big = e->bs - 200;

	assert_int_equal(env_create(e, "/f", 0644), 0);
	assert_int_equal(env_mkdir(e, "/d", 0755), 0);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(xattr_put(e, "/f", kinds[i], 10, 'a', 0), 0);
		assert_int_equal(xattr_put(e, "/d", kinds[i], 0, 0, 0), 0);
		xattr_is(e, "/f", kinds[i], 10, 'a');
		xattr_is(e, "/d", kinds[i], 0, 0);
	}
	assert_int_equal(env_getxattr(e, "/f", "user.none", NULL, 0), -ENODATA);
	assert_int_equal(env_getxattr(e, "/f", "user.k", name, 5), -ERANGE);
	assert_int_equal(env_getxattr(e, "/f", "user.k", NULL, 0), 10);
	assert_int_equal(xattr_put(e, "/f", "user.k", 1, 'x',
					 UEXT4_XATTR_CREATE),
			-EEXIST);
	assert_int_equal(xattr_put(e, "/f", "user.none", 1, 'x',
					 UEXT4_XATTR_REPLACE),
			-ENODATA);
	assert_int_equal(xattr_put(e, "/f", "user.", 1, 'x', 0), -EINVAL);
	assert_int_equal(xattr_put(e, "/f", "nonsense.x", 1, 'x', 0),
			-EOPNOTSUPP);
	(void)snprintf(name, sizeof(name), "user.%0256d", 1);
	assert_int_equal(xattr_put(e, "/f", name, 1, 'x', 0), -ERANGE);
	(void)snprintf(name, sizeof(name), "user.%0250d", 1);
	assert_int_equal(xattr_put(e, "/f", name, 3, 'n', 0), 0);
	xattr_is(e, "/f", name, 3, 'n');
	assert_int_equal(xattr_put(e, "/f", name, 3, 'n', 0), 0);

	/* grows out of the inode into the block, and back */
	assert_int_equal(env_create(e, "/g", 0644), 0);
	for (int round = 0; round < 3; round++) {
		assert_int_equal(xattr_put(e, "/g", "user.v", 20, 's', 0), 0);
		assert_int_equal(xattr_put(e, "/g", "user.v", big, 'b', 0), 0);
		assert_int_equal(xattr_put(e, "/g", "user.w", 20, 'w', 0), 0);
		xattr_is(e, "/g", "user.v", big, 'b');
		xattr_is(e, "/g", "user.w", 20, 'w');
		assert_int_equal(xattr_put(e, "/g", "user.v", 5, 't', 0), 0);
		xattr_is(e, "/g", "user.v", 5, 't');
	}
	assert_int_equal(xattr_put(e, "/g", "user.big", e->bs + 1, 'x', 0),
			-ENOSPC);
	assert_int_equal(xattr_put(e, "/g", "user.big", 70000, 'x', 0), -E2BIG);
	xattr_is(e, "/g", "user.v", 5, 't');

	n = env_node(e, "/f");
	assert_int_equal(uext4_removexattr(n, "user.k", NULL), 0);
	assert_int_equal(uext4_removexattr(n, "user.k", NULL), -ENODATA);
	assert_true(uext4_listxattr(n, NULL, 0, NULL) > 250);
	assert_int_equal(uext4_listxattr(n, list, 10, NULL), -ERANGE);
	assert_int_equal(uext4_listxattr(n, list, sizeof(list), NULL),
			uext4_listxattr(n, NULL, 0, NULL));
	uext4_node_put(n);
	/* names by kind of file */
	assert_int_equal(env_symlink(e, "f", "/l"), 0);
	assert_int_equal(xattr_put(e, "/l", "user.x", 1, 'x', 0), -EPERM);
	assert_int_equal(xattr_put(e, "/l", "trusted.x", 1, 'x', 0), 0);
	env_remount(e);
	xattr_is(e, "/f", "trusted.k", 10, 'a');
	xattr_is(e, "/f", name, 3, 'n');
	xattr_is(e, "/g", "user.v", 5, 't');
	xattr_is(e, "/g", "user.w", 20, 'w');
	xattr_is(e, "/l", "trusted.x", 1, 'x');
	assert_int_equal(env_unlink(e, "/l"), 0);
}

/* Equal attribute blocks are one block with a count. */
void attr_xattr_sharing(struct env *e)
{
	uint64_t free0, free1;
	size_t big = e->bs - 300;
	char path[32];

	assert_int_equal(env_mkdir(e, "/s", 0755), 0);
	for (int i = 0; i < 60; i++) {
		(void)snprintf(path, sizeof(path), "/s/%d", i);
		assert_int_equal(env_create(e, path, 0644), 0);
	}
	free0 = env_free_blocks(e);
	for (int i = 0; i < 60; i++) {
		(void)snprintf(path, sizeof(path), "/s/%d", i);
		assert_int_equal(
				xattr_put(e, path, "user.big", big, 's', 0), 0);
	}
	free1 = env_free_blocks(e);
	assert_true(free0 - free1 <= 60);
	/* a change of one is not seen in the others */
	assert_int_equal(xattr_put(e, "/s/7", "user.big", big, 'c', 0), 0);
	xattr_is(e, "/s/7", "user.big", big, 'c');
	xattr_is(e, "/s/8", "user.big", big, 's');
	env_remount(e);
	xattr_is(e, "/s/7", "user.big", big, 'c');
	xattr_is(e, "/s/8", "user.big", big, 's');
	for (int i = 0; i < 60; i++) {
		(void)snprintf(path, sizeof(path), "/s/%d", i);
		if (i % 2)
			assert_int_equal(env_unlink(e, path), 0);
		else
			assert_int_equal(xattr_put(e, path, "user.big", 3, 'q',
							 UEXT4_XATTR_REPLACE),
					0);
	}
	xattr_is(e, "/s/8", "user.big", 3, 'q');
	assert_true(env_free_blocks(e) <= free0);
}

struct ace {
	uint16_t tag, perm;
	uint32_t id;
};

/* The kernel's form: version 2, then tag, permission, id. */
static int acl_put(struct env *e, const char *path, const char *name,
		const struct ace *a, size_t n)
{
	uint8_t buf[4 + 16 * 8] = { 2 };

	for (size_t i = 0; i < n; i++) {
		uint8_t *p = buf + 4 + i * 8;

		p[0] = (uint8_t)a[i].tag;
		p[2] = (uint8_t)a[i].perm;
		for (int k = 0; k < 4; k++)
			p[4 + k] = (uint8_t)(a[i].id >> (8 * k));
	}
	return env_setxattr(e, path, name, buf, 4 + n * 8, 0);
}

#define ANY 0xffffffffu

void attr_acl(struct env *e)
{
	static const struct ace acc[] = { { 1, 6, ANY }, { 2, 4, 1000 },
		{ 4, 0, ANY }, { 16, 4, ANY }, { 32, 0, ANY } };
	static const struct ace def[] = { { 1, 7, ANY }, { 2, 6, 1000 },
		{ 4, 5, ANY }, { 8, 7, 50 }, { 16, 7, ANY }, { 32, 0, ANY } };
	static const struct ace bad[] = { { 1, 6, ANY }, { 2, 4, 1000 } };
	static const struct uext4_cred u1000 = { .uid = 1000, .gid = 1000 },
				       u1001 = { .uid = 1001, .gid = 1001 },
				       g50 = { .uid = 1002, .gid = 50 };
	const char *A = "system.posix_acl_access";
	const char *D = "system.posix_acl_default";
	struct uext4_file *f;

	assert_int_equal(env_create(e, "/f", 0600), 0);
	assert_int_equal(acl_put(e, "/f", A, bad, 2), -EINVAL);
	assert_int_equal(acl_put(e, "/f", D, def, 6), -EACCES);
	assert_int_equal(acl_put(e, "/f", A, acc, 5), 0);
	assert_int_equal(env_stat(e, "/f").mode & 0777, 0640); /* the mask */
	assert_int_equal(env_getxattr(e, "/f", A, NULL, 0), 4 + 5 * 8);
	assert_int_equal(uext4_open(e->fs, NULL, "/f", UEXT4_O_RDONLY, 0,
					 &u1000, &f),
			0);
	env_close(f);
	assert_int_equal(uext4_open(e->fs, NULL, "/f", UEXT4_O_RDWR, 0, &u1000,
					 &f),
			-EACCES);
	assert_int_equal(uext4_open(e->fs, NULL, "/f", UEXT4_O_RDONLY, 0,
					 &u1001, &f),
			-EACCES);
	/* chmod changes the mask */
	assert_int_equal(set_mode(e, "/f", 0600, NULL), 0);
	assert_int_equal(uext4_open(e->fs, NULL, "/f", UEXT4_O_RDONLY, 0,
					 &u1000, &f),
			-EACCES);

	assert_int_equal(env_mkdir(e, "/d", 0755), 0);
	assert_int_equal(acl_put(e, "/d", D, def, 6), 0);
	assert_int_equal(env_create(e, "/d/f", 0666), 0);
	assert_int_equal(env_stat(e, "/d/f").mode & 0777, 0660);
	assert_int_equal(env_getxattr(e, "/d/f", A, NULL, 0), 4 + 6 * 8);
	assert_int_equal(env_getxattr(e, "/d/f", D, NULL, 0), -ENODATA);
	assert_int_equal(env_mkdir(e, "/d/s", 0777), 0);
	assert_int_equal(env_getxattr(e, "/d/s", D, NULL, 0), 4 + 6 * 8);
	assert_int_equal(env_mkdir(e, "/d/s/t", 0700), 0);
	assert_int_equal(env_stat(e, "/d/s/t").mode & 0777, 0700);
	assert_int_equal(env_mknod(e, "/d/fifo", S_IFIFO | 0666, 0, 0), 0);
	assert_int_equal(env_getxattr(e, "/d/fifo", A, NULL, 0), 4 + 6 * 8);
	assert_int_equal(env_symlink(e, "x", "/d/l"), 0);
	assert_int_equal(env_getxattr(e, "/d/l", A, NULL, 0), -EOPNOTSUPP);
	for (int pass = 0; pass < 2; pass++) {
		struct uext4_node *n = env_node(e, "/d/f");

		assert_int_equal(uext4_node_access(n, UEXT4_R_OK | UEXT4_W_OK,
						 &u1000),
				0);
		assert_int_equal(uext4_node_access(n, UEXT4_R_OK, &u1001),
				-EACCES);
		assert_int_equal(uext4_node_access(n, UEXT4_W_OK, &g50), 0);
		assert_int_equal(uext4_node_access(n, UEXT4_X_OK, &g50),
				-EACCES);
		uext4_node_put(n);
		if (pass == 0)
			env_remount(e);
	}
	struct uext4_node *n = env_node(e, "/d");

	assert_int_equal(uext4_removexattr(n, D, NULL), 0);
	uext4_node_put(n);
	assert_int_equal(env_getxattr(e, "/d", D, NULL, 0), -ENODATA);
	assert_int_equal(env_create(e, "/d/plain", 0666), 0);
	assert_int_equal(env_stat(e, "/d/plain").mode & 0777, 0666);
	assert_int_equal(env_getxattr(e, "/d/plain", A, NULL, 0), -ENODATA);
}

static int open_as(struct env *e, const char *path, unsigned flags,
		const struct uext4_cred *cred)
{
	struct uext4_file *f;
	int ret = uext4_open(e->fs, NULL, path, flags, 0666, cred, &f);

	if (ret == 0)
		env_close(f);
	return ret;
}

static int unlink_as(
		struct env *e, const char *path, const struct uext4_cred *cred)
{
	char name[UEXT4_NAME_MAX + 1];
	struct uext4_node *dir = env_dir(e, path, name);
	int ret = uext4_unlink(dir, name, cred);

	uext4_node_put(dir);
	return ret;
}

void attr_permissions(struct env *e)
{
	static const uint32_t groups[] = { 7, 50 };
	const struct uext4_cred u = { .uid = 1000, .gid = 1000, .umask = 027 };
	const struct uext4_cred o = {
		.uid = 1001, .gid = 1001, .groups = groups, .ngroups = 2
	};

	assert_int_equal(env_mkdir(e, "/pub", 01777), 0);
	assert_int_equal(env_mkdir(e, "/root", 0700), 0);
	assert_int_equal(env_create(e, "/root/f", 0666), 0);
	assert_int_equal(open_as(e, "/root/f", UEXT4_O_RDONLY, &u), -EACCES);
	assert_int_equal(open_as(e, "/new", UEXT4_O_CREAT, &u), -EACCES);

	assert_int_equal(open_as(e, "/pub/u", UEXT4_O_CREAT | UEXT4_O_RDWR, &u),
			0);
	assert_int_equal(env_stat(e, "/pub/u").mode & 0777, 0640);
	assert_int_equal(env_stat(e, "/pub/u").uid, 1000);
	assert_int_equal(open_as(e, "/pub/u", UEXT4_O_RDONLY, &o), -EACCES);
	assert_int_equal(unlink_as(e, "/pub/u", &o), -EPERM); /* sticky */
	assert_int_equal(set_owner(e, "/pub/u", 1000, 50, NULL), 0);
	assert_int_equal(open_as(e, "/pub/u", UEXT4_O_RDONLY, &o), 0);
	assert_int_equal(open_as(e, "/pub/u", UEXT4_O_WRONLY, &o), -EACCES);

	assert_int_equal(set_mode(e, "/pub/u", 0600, &o), -EPERM);
	assert_int_equal(set_mode(e, "/pub/u", 0600, &u), 0);
	assert_int_equal(set_owner(e, "/pub/u", 1001, 50, &u), -EPERM);
	assert_int_equal(set_owner(e, "/pub/u", 1000, 1000, &u), 0);
	assert_int_equal(
			set(e, "/pub/u",
					(struct uext4_setattr){
							.mask = UEXT4_SET_MTIME },
					&o),
			-EPERM);
	assert_int_equal(
			set(e, "/pub/u",
					(struct uext4_setattr){
							.mask = UEXT4_SET_SIZE },
					&o),
			-EACCES);

	/* a directory with the set-group bit hands its group on */
	assert_int_equal(env_mkdir(e, "/grp", 02777), 0);
	assert_int_equal(set_owner(e, "/grp", 0, 50, NULL), 0);
	assert_int_equal(set_mode(e, "/grp", 02777, NULL), 0);
	assert_int_equal(open_as(e, "/grp/f", UEXT4_O_CREAT, &u), 0);
	assert_int_equal(env_stat(e, "/grp/f").gid, 50);
	struct uext4_node *d = env_node(e, "/grp");

	assert_int_equal(uext4_mkdir(d, "s", 0755, &u, NULL), 0);
	uext4_node_put(d);
	assert_int_equal(env_stat(e, "/grp/s").gid, 50);
	assert_true(env_stat(e, "/grp/s").mode & S_ISGID);
	assert_int_equal(unlink_as(e, "/grp/f", &o), 0); /* not sticky */
	/* who is not in the group loses the set-group bit */
	assert_int_equal(open_as(e, "/grp/g", UEXT4_O_CREAT, &u), 0);
	assert_int_equal(set_mode(e, "/grp/g", 02755, &u), 0);
	assert_int_equal(env_stat(e, "/grp/g").mode & 07777, 0755);

	/* trusted attributes are the superuser's */
	struct uext4_node *n = env_node(e, "/grp/g");

	assert_int_equal(uext4_setxattr(n, "trusted.x", "1", 1, 0, &u), -EPERM);
	assert_int_equal(uext4_setxattr(n, "user.x", "1", 1, 0, &u), 0);
	assert_int_equal(uext4_setxattr(n, "user.x", "1", 1, 0, &o), -EACCES);
	uext4_node_put(n);
}

void attr_write_strips_suid(struct env *e)
{
	static const struct uext4_cred u = { .uid = 1000, .gid = 1000 };
	struct uext4_file *f;

	assert_int_equal(env_create(e, "/f", 0644), 0);
	assert_int_equal(env_setxattr(e, "/f", "security.capability",
					 "\1\0\0\2\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
					 "\0\0",
					 20, 0),
			0);
	assert_int_equal(set_mode(e, "/f", 06777, NULL), 0);
	assert_int_equal(uext4_open(e->fs, NULL, "/f", UEXT4_O_RDWR, 0, &u, &f),
			0);
	env_fill(f, 0, 10, 'x');
	env_close(f);
	assert_int_equal(env_stat(e, "/f").mode & 07777, 0777);
	assert_int_equal(env_getxattr(e, "/f", "security.capability", NULL, 0),
			-ENODATA);
	assert_int_equal(set_mode(e, "/f", 06777, NULL), 0);
	f = env_open(e, "/f", UEXT4_O_RDWR); /* the superuser may keep them */
	env_fill(f, 0, 10, 'y');
	env_close(f);
	assert_int_equal(env_stat(e, "/f").mode & 07777, 06777);
	/* chown takes them away */
	assert_int_equal(set_owner(e, "/f", 1, 1, NULL), 0);
	assert_int_equal(env_stat(e, "/f").mode & 07777, 0777);
}
