/* SPDX-License-Identifier: MIT */
/*
 * What a server in front of others needs: credentials whose access was checked
 * already (UEXT4_CRED_CHECKED), and writes on behalf of somebody else than who
 * opened the file (UEXT4_RW_NOAPPEND, UEXT4_RW_KILLPRIV).
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "env.h"

#define FL_IMMUTABLE 0x10u
#define FL_APPEND    0x20u
#define FL_NODUMP    0x40u

static const uint32_t groups[] = { 50 };
static const struct uext4_cred joe = { .uid = 1000, .gid = 1000 };
static const struct uext4_cred kim = {
	.uid = 1001,
	.gid = 1001,
	.groups = groups,
	.ngroups = 1,
	.flags = UEXT4_CRED_CHECKED,
};

static int setup(void **state)
{
	struct env *e = calloc(1, sizeof(*e));

	env_make(e, env_profile_find("ext4-4k-full"), NULL);
	*state = e;
	return 0;
}

static int teardown(void **state)
{
	env_free(*state);
	free(*state);
	return 0;
}

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
	struct uext4_setattr a = { .mask = UEXT4_SET_MODE, .mode = mode };

	return set(e, path, a, cred);
}

static int set_flags(struct env *e, const char *path, uint32_t flags,
		const struct uext4_cred *cred)
{
	struct uext4_setattr a = {
		.mask = UEXT4_SET_FLAGS,
		.flags = (env_stat(e, path).flags &
					 ~(FL_IMMUTABLE | FL_APPEND |
							 FL_NODUMP)) |
				flags,
	};

	return set(e, path, a, cred);
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

static void checked_asks_for_no_permission(void **state)
{
	static const struct timespec ts = { .tv_sec = 1700000000 };
	struct env *e = *state;
	struct uext4_setattr own = {
		.mask = UEXT4_SET_UID | UEXT4_SET_GID,
		.uid = 7,
		.gid = 8,
	};
	struct uext4_setattr when = { .mask = UEXT4_SET_MTIME, .mtime = ts };
	struct uext4_node *n;

	assert_int_equal(env_mkdir(e, "/d", 0700), 0);
	assert_int_equal(env_create(e, "/d/f", 0600), 0);
	assert_int_equal(open_as(e, "/d/f", UEXT4_O_RDWR, &joe), -EACCES);
	assert_int_equal(open_as(e, "/d/f", UEXT4_O_RDWR, &kim), 0);
	assert_int_equal(open_as(e, "/d/f", UEXT4_O_RDONLY | UEXT4_O_NOATIME,
					 &kim),
			0);
	assert_int_equal(open_as(e, "/d/new", UEXT4_O_CREAT | UEXT4_O_RDWR,
					 &kim),
			0);
	assert_int_equal(env_stat(e, "/d/new").uid, 1001);
	assert_int_equal(env_stat(e, "/d/new").gid, 1001);

	n = env_node(e, "/d/f");
	assert_int_equal(uext4_node_access(n, UEXT4_X_OK, &kim), 0);
	assert_int_equal(uext4_setxattr(n, "user.a", "1", 1, 0, &kim), 0);
	assert_int_equal(uext4_setxattr(n, "trusted.a", "1", 1, 0, &kim), 0);
	assert_int_equal(uext4_setxattr(n, "security.a", "1", 1, 0, &kim), 0);
	/* Names that need a privilege are told to the superuser only. */
	assert_int_equal(uext4_listxattr(n, NULL, 0, NULL) -
					uext4_listxattr(n, NULL, 0, &kim),
			sizeof("trusted.a"));
	uext4_node_put(n);

	assert_int_equal(set(e, "/d/f", when, &kim), 0);
	assert_int_equal(set_mode(e, "/d/f", 02755, &kim), 0);
	assert_int_equal(env_stat(e, "/d/f").mode & 07777, 02755);
	assert_int_equal(set(e, "/d/f", own, &kim), 0);
	assert_int_equal(env_stat(e, "/d/f").uid, 7);
	assert_int_equal(env_stat(e, "/d/f").gid, 8);

	n = env_node(e, "/d");
	assert_int_equal(uext4_mknod(n, "null", S_IFCHR | 0666, 1, 3, &kim,
					 NULL),
			0);
	uext4_node_put(n);
	/* a sticky directory of somebody else */
	assert_int_equal(set_mode(e, "/d", 01777, NULL), 0);
	assert_int_equal(unlink_as(e, "/d/f", &joe), -EPERM);
	assert_int_equal(unlink_as(e, "/d/f", &kim), 0);
	env_end(e);
}

/* Bytes that somebody took before are not lost; nobody else's are taken. */
static void late_bytes_reach_what_takes_none_any_more(void **state)
{
	static const uint32_t frozen[] = { FL_IMMUTABLE, FL_APPEND };
	struct env *e = *state;
	struct iovec iov = { (char[]){ "late" }, 4 };
	size_t i;

	for (i = 0; i < 2; i++) {
		struct uext4_file *f;

		f = env_open(e, "/f", UEXT4_O_RDWR | UEXT4_O_CREAT);
		env_fill(f, 0, 8192, 'x');
		assert_int_equal(set_flags(e, "/f", frozen[i], NULL), 0);
		assert_int_equal(uext4_pwritev2(f, &iov, 1, 4096,
						 UEXT4_RW_NOAPPEND),
				-EPERM);
		env_expect(f, 0, 8192, 'x');
		assert_int_equal(
				uext4_pwritev2(f, &iov, 1, 4096,
						UEXT4_RW_NOAPPEND |
								UEXT4_RW_KEEPPRIV |
								UEXT4_RW_LATE),
				4);
		assert_int_equal(set_flags(e, "/f", 0, NULL), 0);
		env_expect(f, 0, 4096, 'x');
		env_expect(f, 4097, 1, 'a');
		env_expect(f, 4100, 4092, 'x');
		env_close(f);
	}
	env_end(e);
}

static void checked_keeps_what_is_no_permission(void **state)
{
	struct env *e = *state;
	struct uext4_node *d;

	assert_int_equal(env_create(e, "/f", 0666), 0);
	assert_int_equal(set_flags(e, "/f", FL_NODUMP, &kim), 0);
	assert_int_equal(set_flags(e, "/f", FL_IMMUTABLE, &kim), -EPERM);
	assert_int_equal(set_flags(e, "/f", FL_IMMUTABLE, NULL), 0);
	assert_int_equal(open_as(e, "/f", UEXT4_O_RDWR, &kim), -EPERM);
	assert_int_equal(open_as(e, "/f", UEXT4_O_RDONLY, &kim), 0);
	assert_int_equal(set_mode(e, "/f", 0600, &kim), -EPERM);
	assert_int_equal(unlink_as(e, "/f", &kim), -EPERM);
	assert_int_equal(set_flags(e, "/f", 0, &kim), -EPERM);
	assert_int_equal(set_flags(e, "/f", FL_APPEND, NULL), 0);
	assert_int_equal(open_as(e, "/f", UEXT4_O_RDWR, &kim), -EPERM);
	assert_int_equal(open_as(e, "/f", UEXT4_O_RDWR | UEXT4_O_APPEND, &kim),
			0);
	assert_int_equal(set_flags(e, "/f", 0, NULL), 0);

	/* the group comes from the directory, and setgid with it */
	assert_int_equal(env_mkdir(e, "/g", 0755), 0);
	assert_int_equal(set(e, "/g",
					 (struct uext4_setattr){
							 .mask = UEXT4_SET_GID,
							 .gid = 50 },
					 NULL),
			0);
	assert_int_equal(set_mode(e, "/g", 02755, NULL), 0);
	d = env_node(e, "/g");
	assert_int_equal(uext4_mkdir(d, "s", 0755, &kim, NULL), 0);
	assert_int_equal(uext4_mknod(d, "r", S_IFREG | 02755, 0, 0, &kim, NULL),
			0);
	uext4_node_put(d);
	assert_int_equal(env_stat(e, "/g/s").gid, 50);
	assert_int_equal(env_stat(e, "/g/s").mode & 07777, 02755);
	assert_int_equal(
			env_stat(e, "/g/r").mode & 07777, 02755); /* a member */
	assert_int_equal(env_stat(e, "/g/r").uid, 1001);
	env_end(e);
}

static void checked_writes_strip_privileges(void **state)
{
	struct env *e = *state;
	struct uext4_file *f;

	assert_int_equal(env_create(e, "/f", 0600), 0);
	assert_int_equal(set_mode(e, "/f", 06777, NULL), 0);
	assert_int_equal(uext4_open(e->fs, NULL, "/f", UEXT4_O_RDWR, 0, &kim,
					 &f),
			0);
	env_fill(f, 0, 10, 'x');
	assert_int_equal(env_stat(e, "/f").mode & 07777, 0777);
	assert_int_equal(set_mode(e, "/f", 06777, NULL), 0);
	assert_int_equal(uext4_ftruncate(f, 3), 0);
	assert_int_equal(env_stat(e, "/f").mode & 07777, 0777);
	env_close(f);
	env_end(e);
}

static void checked_may_not_spend_the_reserve(void **state)
{
	struct env *e = *state;
	struct uext4_statfs st;
	struct uext4_file *f;

	assert_int_equal(uext4_statfs(e->fs, &st), 0);
	assert_true(st.free_blocks > st.avail_blocks + 8);
	assert_int_equal(uext4_open(e->fs, NULL, "/f",
					 UEXT4_O_CREAT | UEXT4_O_RDWR, 0600,
					 &kim, &f),
			0);
	assert_int_equal(
			uext4_fallocate(f, 0, 0, (st.avail_blocks + 8) * e->bs),
			-ENOSPC);
	env_close(f);
	f = env_open(e, "/f", UEXT4_O_RDWR);
	assert_int_equal(
			uext4_fallocate(f, 0, 0, (st.avail_blocks + 8) * e->bs),
			0);
	env_close(f);
	env_end(e);
}

/* ---- flags of one write ---- */

static ssize_t put(struct uext4_file *f, unsigned rwf, uint64_t pos, int byte,
		size_t len)
{
	struct iovec iov = { .iov_base = env_alloc(len, byte), .iov_len = len };
	ssize_t n = uext4_pwritev2(f, &iov, 1, pos, rwf);

	free(iov.iov_base);
	return n;
}

/* The same as the one request of a queue. */
static ssize_t put_queued(struct env *e, struct uext4_file *f, unsigned rwf,
		uint64_t pos, int byte, size_t len)
{
	struct uext4_queue_opts qo = { .size = sizeof(qo), .depth = 1 };
	void *buf = env_alloc(len, byte);
	struct uext4_sqe sqe = {
		.op = UEXT4_OP_WRITE,
		.flags = rwf,
		.file = f,
		.pos = pos,
		.buf = buf,
		.len = len,
	};
	struct uext4_event ev = { .result = -1 };
	struct uext4_queue *q;

	assert_int_equal(uext4_queue_open(e->fs, &qo, &q), 0);
	assert_int_equal(uext4_queue_prep(q, &sqe), 0);
	assert_int_equal(uext4_queue_submit(q), 1);
	assert_int_equal(uext4_queue_wait(q, 1, -1, &ev, 1), 1);
	uext4_queue_close(q);
	free(buf);
	return (ssize_t)ev.result;
}

static void noappend(struct env *e, const char *path, unsigned direct)
{
	const unsigned both = UEXT4_RW_NOAPPEND | UEXT4_RW_APPEND;
	struct uext4_file *f;

	assert_int_equal(env_create(e, path, 0600), 0);
	f = env_open(e, path, UEXT4_O_RDWR | UEXT4_O_APPEND | direct);
	assert_int_equal(put(f, 0, 0, 'a', 8192), 8192);
	assert_int_equal(put(f, 0, 0, 'b', 4096), 4096);
	assert_int_equal(env_size(f), 12288);
	assert_int_equal(put(f, UEXT4_RW_NOAPPEND, 4096, 'c', 4096), 4096);
	assert_int_equal(put_queued(e, f, UEXT4_RW_NOAPPEND, 0, 'd', 4096),
			4096);
	assert_int_equal(env_size(f), 12288);
	env_expect(f, 0, 4096, 'd');
	env_expect(f, 4096, 4096, 'c');
	env_expect(f, 8192, 4096, 'b');
	assert_int_equal(put(f, both, 0, 'x', 4096), -EINVAL);
	assert_int_equal(put_queued(e, f, both, 0, 'x', 4096), -EINVAL);
	env_close(f);

	/* append-only: not by itself, but by who answers for it */
	assert_int_equal(set_flags(e, path, FL_APPEND, NULL), 0);
	f = env_open(e, path, UEXT4_O_RDWR | UEXT4_O_APPEND | direct);
	assert_int_equal(put(f, UEXT4_RW_NOAPPEND, 0, 'x', 4096), -EPERM);
	env_expect(f, 0, 4096, 'd');
	env_close(f);
	assert_int_equal(uext4_open(e->fs, NULL, path,
					 UEXT4_O_RDWR | UEXT4_O_APPEND | direct,
					 0, &kim, &f),
			0);
	assert_int_equal(put(f, UEXT4_RW_NOAPPEND, 0, 'e', 4096), 4096);
	assert_int_equal(env_size(f), 12288);
	env_expect(f, 0, 4096, 'e');
	env_close(f);
	assert_int_equal(set_flags(e, path, 0, NULL), 0);
}

static void noappend_writes_where_it_says(void **state)
{
	struct env *e = *state;

	noappend(e, "/buffered", 0);
	noappend(e, "/direct", UEXT4_O_DIRECT);
	env_end(e);
}

static void killpriv(struct env *e, const char *path, unsigned direct)
{
	static const uint8_t cap[20] = { 1, 0, 0, 2 };
	struct uext4_file *f;

	assert_int_equal(env_create(e, path, 0666), 0);
	f = env_open(e, path, UEXT4_O_RDWR | direct);
	assert_int_equal(set_mode(e, path, 06777, NULL), 0);
	assert_int_equal(put(f, 0, 0, 'a', 4096), 4096);
	assert_int_equal(env_stat(e, path).mode & 07777, 06777);
	assert_int_equal(env_setxattr(e, path, "security.capability", cap,
					 sizeof(cap), 0),
			0);
	assert_int_equal(put(f, UEXT4_RW_KEEPPRIV | UEXT4_RW_KEEPCAPS, 0, 'm',
					 4096),
			4096);
	assert_int_equal(env_getxattr(e, path, "security.capability", NULL, 0),
			sizeof(cap));
	assert_int_equal(put(f, UEXT4_RW_KILLPRIV, 0, 'b', 4096), 4096);
	assert_int_equal(env_stat(e, path).mode & 07777, 0777);
	assert_int_equal(env_getxattr(e, path, "security.capability", NULL, 0),
			-ENODATA);
	/* setgid without the group's x is no privilege */
	assert_int_equal(set_mode(e, path, 06767, NULL), 0);
	assert_int_equal(put_queued(e, f, UEXT4_RW_KILLPRIV, 4096, 'c', 4096),
			4096);
	assert_int_equal(env_stat(e, path).mode & 07777, 02767);
	assert_int_equal(set_mode(e, path, 06777, NULL), 0);
	assert_int_equal(
			uext4_fallocate(f,
					UEXT4_FALLOC_KEEP_SIZE |
							UEXT4_FALLOC_PUNCH_HOLE |
							UEXT4_FALLOC_KILLPRIV,
					65536, 4096),
			0);
	assert_int_equal(env_stat(e, path).mode & 07777, 0777);
	env_expect(f, 0, 4096, 'b');
	env_expect(f, 4096, 4096, 'c');
	env_close(f);
}

static void killpriv_strips_what_the_opener_would_keep(void **state)
{
	struct env *e = *state;

	killpriv(e, "/buffered", 0);
	killpriv(e, "/direct", UEXT4_O_DIRECT);
	env_end(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(checked_asks_for_no_permission,
				setup, teardown),
		cmocka_unit_test_setup_teardown(
				checked_keeps_what_is_no_permission, setup,
				teardown),
		cmocka_unit_test_setup_teardown(
				late_bytes_reach_what_takes_none_any_more,
				setup, teardown),
		cmocka_unit_test_setup_teardown(checked_writes_strip_privileges,
				setup, teardown),
		cmocka_unit_test_setup_teardown(
				checked_may_not_spend_the_reserve, setup,
				teardown),
		cmocka_unit_test_setup_teardown(
				noappend_writes_where_it_says, setup, teardown),
		cmocka_unit_test_setup_teardown(
				killpriv_strips_what_the_opener_would_keep,
				setup, teardown),
	};

	if (!env_tools())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
