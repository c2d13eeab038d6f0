/* SPDX-License-Identifier: MIT */
/*
 * Large directories, cookies, and files without a name.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "cases.h"

#define MANY 3000

static void many_name(char *buf, size_t size, int i)
{
	/* of all lengths, the long ones fill blocks */
	(void)snprintf(buf, size, "%d-%.*s", i, i % 60,
			"a name that is not so short as it could be, and so on "
			"....");
}

struct seen {
	uint8_t times[MANY];
	int others;
	int stop_at; /* entries of this call, 0: no limit */
	int count;
	uint64_t next;
};

static int seen_one(void *ctx, const struct uext4_dirent *d)
{
	struct seen *s = ctx;
	int i = -1, at = 0;

	s->next = d->next;
	if (sscanf(d->name, "%d-%n", &i, &at) == 1 && at > 0 && i >= 0 &&
			i < MANY)
		s->times[i]++;
	else
		s->others++;
	return s->stop_at && ++s->count == s->stop_at;
}

static void many_fill(struct uext4_node *dir, int from, int step)
{
	char name[128];

	for (int i = from; i < MANY; i += step) {
		many_name(name, sizeof(name), i);
		assert_int_equal(uext4_mknod(dir, name, S_IFREG | 0644, 0, 0,
						 NULL, NULL),
				0);
	}
}

static void many_remove(struct uext4_node *dir, int from, int step)
{
	char name[128];

	for (int i = from; i < MANY; i += step) {
		many_name(name, sizeof(name), i);
		assert_int_equal(uext4_unlink(dir, name, NULL), 0);
	}
}

static void many_expect(struct uext4_node *dir, int from, int step)
{
	static struct seen s;
	char name[128];

	memset(&s, 0, sizeof(s));
	assert_int_equal(uext4_readdir(dir, 0, seen_one, &s), 0);
	assert_int_equal(s.others, 2);
	for (int i = 0; i < MANY; i++) {
		int there = i >= from && (i - from) % step == 0;
		struct uext4_node *n;
		int ret;

		assert_int_equal(s.times[i], there);
		many_name(name, sizeof(name), i);
		ret = uext4_lookup(dir, name, NULL, &n);
		assert_int_equal(ret, there ? 0 : -ENOENT);
		if (ret == 0)
			uext4_node_put(n);
	}
}

void dir_three_thousand(struct env *e)
{
	struct uext4_node *dir;

	assert_int_equal(env_mkdir(e, "/many", 0755), 0);
	dir = env_node(e, "/many");
	many_fill(dir, 0, 1);
	many_expect(dir, 0, 1);
	uext4_node_put(dir);
	env_remount(e);

	dir = env_node(e, "/many");
	many_expect(dir, 0, 1);
	many_remove(dir, 1, 2);
	many_expect(dir, 0, 2);
	many_fill(dir, 1, 2); /* into the gaps */
	many_expect(dir, 0, 1);
	many_remove(dir, 0, 2);
	uext4_node_put(dir);
	env_remount(e);

	dir = env_node(e, "/many");
	many_expect(dir, 1, 2);
	assert_int_equal(env_rmdir(e, "/many"), -ENOTEMPTY);
	many_remove(dir, 1, 2);
	uext4_node_put(dir);
	assert_int_equal(env_rmdir(e, "/many"), 0);
}

/* Names that stay are seen once, whatever comes and goes meanwhile. */
void dir_cookies(struct env *e)
{
	static struct seen s;
	struct uext4_node *dir;
	char name[128];
	int turn = 0, ret;

	assert_int_equal(env_mkdir(e, "/many", 0755), 0);
	dir = env_node(e, "/many");
	many_fill(dir, 0, 3); /* these stay */
	many_fill(dir, 1, 3); /* these go */
	memset(&s, 0, sizeof(s));
	s.stop_at = 37;
	do {
		s.count = 0;
		ret = uext4_readdir(dir, s.next, seen_one, &s);
		assert_true(ret >= 0);
		for (int k = 0; k < 20; k++) {
			int i = (turn++ * 7) % (MANY / 3) * 3;

			many_name(name, sizeof(name), i + 1);
			(void)uext4_unlink(dir, name, NULL);
			many_name(name, sizeof(name), i + 2);
			(void)uext4_mknod(dir, name, S_IFREG | 0644, 0, 0, NULL,
					NULL);
		}
		assert_true(turn < MANY * 20);
	} while (ret == 1);
	for (int i = 0; i < MANY; i++) {
		if (i % 3 == 0)
			assert_int_equal(s.times[i], 1);
		else
			assert_true(s.times[i] <= 1);
	}
	uext4_node_put(dir);
}

void dir_tmpfile(struct env *e)
{
	uint64_t free0, ino0 = env_free_inodes(e);
	struct uext4_node *root;
	struct uext4_stat st;
	struct uext4_file *f;

	assert_int_equal(uext4_node_root(e->fs, &root), 0);
	free0 = env_free_blocks(e);
	f = env_open(e, "/", UEXT4_O_TMPFILE | UEXT4_O_RDWR);
	env_fill(f, 0, 20000, 't');
	assert_int_equal(uext4_node_stat(uext4_file_node(f), &st), 0);
	assert_int_equal(st.nlink, 0);
	env_close(f);
	assert_int_equal(env_free_blocks(e), free0);
	assert_int_equal(env_free_inodes(e), ino0);

	f = env_open(e, "/", UEXT4_O_TMPFILE | UEXT4_O_RDWR);
	env_fill(f, 0, 20000, 'k');
	assert_int_equal(uext4_link(uext4_file_node(f), root, "kept", NULL), 0);
	env_close(f);
	assert_int_equal(env_stat(e, "/kept").nlink, 1);
	uext4_node_put(root);
	env_remount(e);
	f = env_open(e, "/kept", UEXT4_O_RDONLY);
	env_expect(f, 0, 20000, 'k');
	env_close(f);
	assert_int_equal(env_free_inodes(e), ino0 - 1);
}

void dir_unlinked_open(struct env *e)
{
	uint64_t free0 = env_free_blocks(e), ino0 = env_free_inodes(e);
	struct uext4_node *root;
	struct uext4_stat st;
	struct uext4_file *f, *g;

	assert_int_equal(env_create(e, "/gone", 0644), 0);
	f = env_open(e, "/gone", UEXT4_O_RDWR);
	g = env_open(e, "/gone", UEXT4_O_RDONLY);
	env_fill(f, 0, 50000, 'g');
	assert_int_equal(env_unlink(e, "/gone"), 0);
	assert_int_equal(env_exists(e, "/gone"), -ENOENT);
	env_expect(g, 0, 50000, 'g');
	env_fill(f, 40000, 50000, 'h');
	env_expect(g, 40000, 50000, 'h');
	assert_int_equal(uext4_fsync(f), 0);
	assert_int_equal(uext4_ftruncate(f, 100), 0);
	assert_int_equal(uext4_node_stat(uext4_file_node(g), &st), 0);
	assert_int_equal(st.nlink, 0);
	assert_int_equal(st.size, 100);
	/* the last name is gone for good */
	assert_int_equal(uext4_node_root(e->fs, &root), 0);
	assert_int_equal(uext4_link(uext4_file_node(f), root, "again", NULL),
			-ENOENT);
	uext4_node_put(root);
	env_close(f);
	env_expect(g, 0, 100, 'g');
	env_close(g);
	assert_int_equal(env_free_blocks(e), free0);
	assert_int_equal(env_free_inodes(e), ino0);

	/* many at once: the orphan set grows and shrinks */
	struct uext4_file *all[80];

	for (int i = 0; i < 80; i++) {
		all[i] = env_open(e, "/o", UEXT4_O_RDWR | UEXT4_O_CREAT);
		env_fill(all[i], 0, 5000, i);
		assert_int_equal(env_unlink(e, "/o"), 0);
	}
	for (int i = 0; i < 80; i++) {
		int k = (i * 37) % 80;

		env_expect(all[k], 0, 5000, k);
		env_close(all[k]);
	}
	assert_int_equal(env_free_blocks(e), free0);
	assert_int_equal(env_free_inodes(e), ino0);
}

void dir_many_subdirs(struct env *e)
{
	char path[64];

	assert_int_equal(env_mkdir(e, "/d", 0755), 0);
	for (int i = 0; i < 400; i++) {
		(void)snprintf(path, sizeof(path), "/d/%d", i);
		assert_int_equal(env_mkdir(e, path, 0755), 0);
	}
	assert_int_equal(env_stat(e, "/d").nlink, 402);
	env_remount(e);
	for (int i = 0; i < 400; i += 2) {
		(void)snprintf(path, sizeof(path), "/d/%d", i);
		assert_int_equal(env_rmdir(e, path), 0);
	}
	assert_int_equal(env_stat(e, "/d").nlink, 202);
}
