/* SPDX-License-Identifier: MIT */
/*
 * Does every handle ask for enough? A block costs a credit only when it is new
 * in the transaction, so each operation runs in a transaction of its own: on
 * every kind of image with a journal, with small and large directories, with
 * attributes in the inode and in a block, with deep trees. The journal warns of
 * a handle that needs more than it asked for; nothing may be warned of.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "env.h"

/* user::rwx, user:7:r-x, group::r-x, mask::rwx, other::--- */
static const uint8_t acl[4 + 5 * 8] = { 2, 0, 0, 0, 0x01, 0, 7, 0, 0xff, 0xff,
	0xff, 0xff, 0x02, 0, 5, 0, 7, 0, 0, 0, 0x04, 0, 5, 0, 0xff, 0xff, 0xff,
	0xff, 0x10, 0, 7, 0, 0xff, 0xff, 0xff, 0xff, 0x20, 0, 0, 0, 0xff, 0xff,
	0xff, 0xff };

/* The operation just done was alone in its transaction. */
static void alone(struct env *e, const char *what, int64_t ret)
{
	if (ret < 0)
		fail_msg("%s: %s", what, uext4_strerror((int)ret));
	assert_int_equal(uext4_sync(e->fs), 0);
	if (e->log[0] != '\0')
		fail_msg("%s: %s", what, e->log);
}

#define ALONE(call) alone(e, #call, call)

static void names(struct env *e, const char *d)
{
	char a[64], b[64], c[64], target[200];

	(void)snprintf(a, sizeof(a), "%s/a", d);
	(void)snprintf(b, sizeof(b), "%s/b", d);
	(void)snprintf(c, sizeof(c), "%s/c", d);
	memset(target, 't', sizeof(target) - 1);
	target[sizeof(target) - 1] = '\0';
	ALONE(env_create(e, a, 0644));
	ALONE(env_setxattr(e, a, "user.small", "x", 1, 0));
	ALONE(env_link(e, a, b));
	ALONE(env_unlink(e, b));
	ALONE(env_mkdir(e, b, 0755));
	ALONE(env_symlink(e, "short", c));
	ALONE(env_unlink(e, c));
	ALONE(env_symlink(e, target, c));
	ALONE(env_rename(e, a, "/moved", 0));
	ALONE(env_rename(e, b, "/bdir", 0));
	ALONE(env_rename(e, "/moved", c, 0)); /* over the symlink */
	ALONE(env_rename(e, "/bdir", c, UEXT4_RENAME_EXCHANGE));
	ALONE(env_rename(e, "/bdir", a, UEXT4_RENAME_WHITEOUT));
	ALONE(env_rename(e, c, b, 0));
	ALONE(env_mkdir(e, c, 0755));
	ALONE(env_rename(e, b, c, 0));
	ALONE(env_mknod(e, b, 0010644, 0, 0));
	ALONE(env_unlink(e, "/bdir"));
	ALONE(env_unlink(e, a));
	ALONE(env_unlink(e, b));
	ALONE(env_rmdir(e, c));
}

static int chmod_to(struct env *e, const char *path, uint32_t mode)
{
	struct uext4_setattr a = { .mask = UEXT4_SET_MODE, .mode = mode };
	struct uext4_node *n = env_node(e, path);
	int ret = uext4_node_setattr(n, &a, NULL);

	uext4_node_put(n);
	return ret;
}

static int chown_to(struct env *e, const char *path, uint32_t uid)
{
	struct uext4_setattr a = { .mask = UEXT4_SET_UID, .uid = uid };
	struct uext4_node *n = env_node(e, path);
	int ret = uext4_node_setattr(n, &a, NULL);

	uext4_node_put(n);
	return ret;
}

static int tmpfile_linked(struct env *e, const char *name)
{
	struct uext4_node *root = env_node(e, "/");
	struct uext4_file *f;
	int ret;

	ret = uext4_open(e->fs, NULL, "/acl", UEXT4_O_RDWR | UEXT4_O_TMPFILE,
			0644, NULL, &f);
	assert_int_equal(ret, 0);
	alone(e, "tmpfile", ret);
	ret = uext4_link(uext4_file_node(f), root, name, NULL);
	env_close(f);
	uext4_node_put(root);
	return ret;
}

static void attributes(struct env *e)
{
	uint8_t big[700];

	memset(big, 'v', sizeof(big));
	ALONE(env_mkdir(e, "/acl", 0755));
	ALONE(env_setxattr(e, "/acl", "system.posix_acl_default", acl,
			sizeof(acl), 0));
	ALONE(env_setxattr(e, "/acl", "system.posix_acl_access", acl,
			sizeof(acl), 0));
	ALONE(env_create(e, "/acl/f", 0666));
	ALONE(env_mkdir(e, "/acl/d", 0777));
	ALONE(env_mknod(e, "/acl/n", 0020644, 1, 3));
	ALONE(tmpfile_linked(e, "tmp"));
	ALONE(env_setxattr(e, "/acl/f", "user.big", big, sizeof(big), 0));
	ALONE(env_setxattr(e, "/acl/f", "security.capability", big, 20, 0));
	ALONE(chmod_to(e, "/acl/f", 06750));
	ALONE(chown_to(e, "/acl/f", 7));
	ALONE(env_setxattr(e, "/acl/f", "user.big", big, 3, 0));
	ALONE(env_setxattr(e, "/acl/d", "user.big", big, sizeof(big), 0));
	ALONE(env_unlink(e, "/acl/f"));
	ALONE(env_rmdir(e, "/acl/d"));
}

static void many(struct env *e, const char *d, int n)
{
	char name[128];

	assert_int_equal(env_mkdir(e, d, 0755), 0);
	for (int i = 0; i < n; i++) {
		(void)snprintf(name, sizeof(name), "%s/%060d", d, i);
		assert_int_equal(env_create(e, name, 0644), 0);
		/* The splits come at any of them. */
		if (i > n - 60)
			alone(e, name, 0);
	}
	names(e, d);
}

static void file_data(struct env *e)
{
	bool extents = e->p->has & ENV_EXTENT;
	struct uext4_file *f = env_open(
			e, "/f", UEXT4_O_RDWR | UEXT4_O_CREAT | UEXT4_O_DIRECT);
	uint32_t bs = e->bs;
	void *buf = env_alloc(8 * bs, 'd');

	ALONE(uext4_pwrite(f, buf, bs, 0));
	/* scattered over the file: nodes of every level */
	for (uint64_t i = 1; i < 500; i++) {
		uint64_t at = (i * 7919 % 4000) * 3 * bs;

		ALONE(uext4_pwrite(f, buf, bs, at));
		if (i % 25 != 0 || !extents)
			continue;
		ALONE(uext4_fallocate(f, 0, at + 8 * bs, 12 * bs));
		ALONE(uext4_pwrite(f, buf, bs, at + 12 * bs));
		ALONE(uext4_fallocate(
				f, UEXT4_FALLOC_ZERO_RANGE, at + bs, 9 * bs));
	}
	for (uint64_t i = 1; i < 60; i++)
		ALONE(uext4_fallocate(f,
				UEXT4_FALLOC_PUNCH_HOLE |
						UEXT4_FALLOC_KEEP_SIZE,
				i * 150 * bs, 70 * bs));
	env_close(f);
	f = env_open(e, "/f", UEXT4_O_RDWR);
	for (uint64_t i = 1; i < 100; i++) {
		env_fill(f, (i * 104729 % 12000) * bs + 5, bs, 'b');
		ALONE(uext4_fsync(f));
	}
	for (int i = 9; i >= 0; i--)
		ALONE(uext4_ftruncate(f, (uint64_t)i * 1200 * bs + 17));
	ALONE(uext4_ftruncate(f, UINT64_C(1) << 30));
	env_close(f);
	ALONE(env_unlink(e, "/f"));
	free(buf);
}

static void every_handle_asks_for_enough(void **state)
{
	for (unsigned i = 0; i < env_nprofiles; i++) {
		struct env e;

		if (!(env_profiles[i].has & ENV_JOURNAL))
			continue;
		printf("# %s\n", env_profiles[i].name);
		env_image(&e, &env_profiles[i], NULL);
		e.flags = UEXT4_MNT_NOTHREAD;
		env_mount(&e);
		attributes(&e);
		names(&e, "");
		many(&e, "/many", e.bs == 1024 ? 700 : 250);
		file_data(&e);
		env_end(&e);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_handle_asks_for_enough),
	};

	if (!env_tools())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
