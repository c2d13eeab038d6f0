/* SPDX-License-Identifier: MIT */
#include "dir_env.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/page.h"

static struct timespec denv_now(void *owner)
{
	(void)owner;
	return (struct timespec){ .tv_sec = 1700000000 };
}

uint32_t denv_rand(struct denv *e, uint32_t below)
{
	e->rand = e->rand * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(e->rand >> 33) % below;
}

/* ---- the stack ---- */

void denv_open(struct denv *e)
{
	if (!e->env.cache)
		env_open(&e->env);
	assert_int_equal(e->env.load, 0);
	assert_int_equal(
			page_pool_new(e->env.geo.block_size, 1 << 20, &e->pool),
			0);
	e->it = (struct itable){ .geo = &e->env.geo,
		.cache = e->env.cache,
		.journal = e->env.journal,
		.alloc = e->env.alloc,
		.log = &e->env.log,
		.dev = e->env.dev,
		.pool = e->pool,
		.owner = e,
		.max_idle = 16,
		.now = denv_now };
	assert_int_equal(itable_init(&e->it), 0);
	assert_int_equal(inode_get(&e->it, INUM_ROOT, &e->root), 0);
	if (e->dir_inum == 0)
		return;
	assert_int_equal(inode_get(&e->it, e->dir_inum, &e->dir), 0);
	assert_int_equal(inode_get(&e->it, e->file_inum, &e->file), 0);
}

void denv_close(struct denv *e)
{
	inode_put(e->file);
	inode_put(e->dir);
	inode_put(e->root);
	itable_fini(&e->it);
	page_pool_free(e->pool);
	env_close(&e->env);
	e->env.cache = NULL;
}

/* A new inode under the name @name in the root. */
static struct inode *denv_create(
		struct denv *e, const char *name, uint32_t mode)
{
	struct inode_spec spec = { .mode = mode };
	bool is_dir = (mode & 0170000) == 0040000;
	struct inode *inode;
	struct handle *h;

	env_start(&e->env,
			INODE_NEW_CREDITS + dir_credits_add(e->root) +
					DIR_CREDITS_INIT + 4,
			&h);
	assert_int_equal(inode_new(h, e->root, &spec, &inode), 0);
	if (is_dir) {
		assert_int_equal(dir_init(h, inode, INUM_ROOT), 0);
		assert_int_equal(inode_inc_links(e->root), 0);
	}
	mutex_lock(&inode->attr_lock);
	inode->d.links = is_dir ? 2 : 1;
	mutex_unlock(&inode->attr_lock);
	assert_int_equal(dir_add(h, e->root, name, strlen(name), inode->inum,
					 dir_ftype(e->root, mode)),
			0);
	assert_int_equal(inode_dirty(h, inode), 0);
	assert_int_equal(inode_dirty(h, e->root), 0);
	env_stop(h);
	atomic_fetch_and(&inode->state, ~INODE_S_NEW);
	return inode;
}

void denv_make(struct denv *e, const char *mke2fs_args, uint64_t mib)
{
	struct env_profile p = { "dir", mke2fs_args, mib, false };

	memset(e, 0, sizeof(*e));
	e->rand = 88172645463325252u;
	env_make(&e->env, &p);
	denv_open(e);
	e->dir = denv_create(e, "d", 0040755);
	e->file = denv_create(e, "f", 0100644);
	e->dir_inum = e->dir->inum;
	e->file_inum = e->file->inum;
}

void denv_drop(struct denv *e)
{
	if (e->env.cache)
		denv_close(e);
	env_drop(&e->env);
	free(e->names);
	free(e->slots);
}

/* ---- the model ---- */

static size_t denv_slot(struct denv *e, const char *name, size_t len)
{
	uint32_t h = 2166136261u;
	size_t s;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (uint8_t)name[i]) * 16777619u;
	for (s = h % e->nslots; e->slots[s] != 0; s = (s + 1) % e->nslots) {
		struct denv_name *n = &e->names[e->slots[s] - 1];

		if (n->len == len && memcmp(n->name, name, len) == 0)
			break;
	}
	return s;
}

struct denv_name *denv_lookup(struct denv *e, const char *name, size_t len)
{
	size_t s = denv_slot(e, name, len);

	return e->slots[s] == 0 ? NULL : &e->names[e->slots[s] - 1];
}

static void denv_name_make(struct denv *e, struct denv_name *n,
		uint32_t max_len, bool bytes)
{
	/* Short ones are the usual ones. */
	uint32_t most = denv_rand(e, 8) == 0 ? max_len : min_of(max_len, 30u);

	n->len = (uint16_t)(1 + denv_rand(e, most));
	for (uint32_t i = 0; i < n->len; i++) {
		int c = 'a' + (int)denv_rand(e, 26);

		if (bytes)
			c = 1 + (int)denv_rand(e, 255);
		if (c == '/' || (c == '.' && n->len <= 2) || c == '\n')
			c = 'Q';
		n->name[i] = (char)c;
	}
}

static void denv_names_room(struct denv *e, size_t n)
{
	free(e->names);
	free(e->slots);
	e->nslots = n * 2 + 7;
	e->names = calloc(n, sizeof(*e->names));
	e->slots = calloc(e->nslots, sizeof(*e->slots));
	assert_non_null(e->names);
	assert_non_null(e->slots);
	e->nnames = 0;
	e->count = 0;
}

void denv_names_numbered(struct denv *e, size_t n, size_t len)
{
	char name[256];

	denv_names_room(e, n);
	memset(name, 'x', sizeof(name));
	for (; e->nnames < n; e->nnames++) {
		snprintf(name, sizeof(name), "%08zu", e->nnames);
		name[strlen(name)] = 'x';
		denv_set_name(e, e->nnames, name, len);
	}
}

void denv_names(struct denv *e, size_t n, uint32_t max_len, bool bytes)
{
	denv_names_room(e, n);
	for (e->nnames = 0; e->nnames < n;) {
		struct denv_name *name = &e->names[e->nnames];
		size_t s;

		denv_name_make(e, name, max_len, bytes);
		s = denv_slot(e, name->name, name->len);
		if (e->slots[s] != 0)
			continue;
		e->slots[s] = (uint32_t)++e->nnames;
	}
}

void denv_set_name(struct denv *e, size_t i, const char *name, size_t len)
{
	struct denv_name *n = &e->names[i];

	/* The old name's slot stays, and leads to the new one: no harm. */
	assert_null(denv_lookup(e, name, len));
	assert_false(n->is_there);
	memcpy(n->name, name, len);
	n->len = (uint16_t)len;
	e->slots[denv_slot(e, name, len)] = (uint32_t)i + 1;
}

int denv_try_add(struct denv *e, size_t i)
{
	struct denv_name *n = &e->names[i];
	struct handle *h;
	int ret;

	assert_false(n->is_there);
	env_start(&e->env, dir_credits_add(e->dir), &h);
	ret = dir_add(h, e->dir, n->name, n->len, e->file_inum,
			dir_ftype(e->dir, 0100644));
	env_stop(h);
	if (ret == 0) {
		n->is_there = true;
		e->count++;
	}
	return ret;
}

void denv_add(struct denv *e, size_t i)
{
	assert_int_equal(denv_try_add(e, i), 0);
}

void denv_remove(struct denv *e, size_t i)
{
	struct denv_name *n = &e->names[i];
	struct handle *h;

	assert_true(n->is_there);
	env_start(&e->env, DIR_CREDITS_SET, &h);
	assert_int_equal(dir_remove(h, e->dir, n->name, n->len), 0);
	env_stop(h);
	n->is_there = false;
	e->count--;
}

static void denv_check_name(struct denv *e, const struct denv_name *n)
{
	uint8_t ftype = 77;
	inum_t inum = 0;
	int ret;

	ret = dir_find(e->dir, n->name, n->len, &inum, &ftype);
	if (!n->is_there) {
		assert_int_equal(ret, -ENOENT);
		return;
	}
	assert_int_equal(ret, 0);
	assert_int_equal(inum, e->file_inum);
	assert_int_equal(ftype, dir_ftype(e->dir, 0100644));
}

static void denv_change(struct denv *e, size_t i, bool add)
{
	if (e->names[i].is_there && !add)
		denv_remove(e, i);
	else if (!e->names[i].is_there && add)
		denv_add(e, i);
}

void denv_churn(struct denv *e, size_t n, uint32_t percent)
{
	for (size_t k = 0; k < n; k++) {
		size_t i = denv_rand(e, (uint32_t)e->nnames);
		bool add = denv_rand(e, 100) < percent;

		if (denv_rand(e, 16) == 0)
			denv_check_name(e, &e->names[i]);
		denv_change(e, i, add);
	}
}

/* ---- comparing ---- */

struct denv_readdir {
	struct denv *e;
	size_t left; /* entries until the next stop */
	uint64_t next;
	size_t dots, total;
};

static int denv_seen(void *ctx, const struct dir_entry *de)
{
	struct denv_readdir *r = ctx;
	struct denv_name *n;

	if (r->left == 0)
		return 1;
	r->left--;
	assert_true(de->next >> 63 == 0);
	r->next = de->next;
	if (r->dots < 2) {
		assert_int_equal(de->len, r->dots + 1);
		assert_memory_equal(de->name, "..", de->len);
		assert_int_equal(de->inum,
				r->dots == 0 ? r->e->dir_inum : INUM_ROOT);
		r->dots++;
		return 0;
	}
	n = denv_lookup(r->e, de->name, de->len);
	assert_non_null(n);
	assert_true(n->is_there);
	assert_int_equal(n->seen, 0);
	assert_int_equal(de->inum, r->e->file_inum);
	n->seen = 1;
	r->total++;
	return 0;
}

void denv_check(struct denv *e, size_t step)
{
	struct denv_readdir r = { .e = e };
	int ret = 1;

	for (size_t i = 0; i < e->nnames; i++) {
		denv_check_name(e, &e->names[i]);
		e->names[i].seen = 0;
	}
	while (ret == 1) {
		r.left = step;
		ret = dir_iterate(e->dir, r.next, denv_seen, &r);
	}
	assert_int_equal(ret, 0);
	assert_int_equal(r.dots, 2);
	assert_int_equal(r.total, e->count);
	/* At the end there is nothing, and it stays so. */
	r.left = 1;
	assert_int_equal(dir_iterate(e->dir, r.next, denv_seen, &r), 0);
	assert_int_equal(r.left, 1);
	assert_int_equal(dir_is_empty(e->dir), e->count == 0);
}

static int denv_seen_moving(void *ctx, const struct dir_entry *de)
{
	struct denv_readdir *r = ctx;
	struct denv_name *n = denv_lookup(r->e, de->name, de->len);

	if (r->left == 0)
		return 1;
	r->left--;
	r->next = de->next;
	if (n)
		assert_true(n->seen++ == 0 ||
				(size_t)(n - r->e->names) >= r->total);
	return 0;
}

void denv_check_moving(struct denv *e, size_t step, size_t nops, size_t fixed)
{
	struct denv_readdir r = { .e = e, .total = fixed };
	int ret = 1;

	for (size_t i = 0; i < e->nnames; i++)
		e->names[i].seen = 0;
	while (ret == 1) {
		r.left = step;
		ret = dir_iterate(e->dir, r.next, denv_seen_moving, &r);
		for (size_t k = 0; k < nops; k++)
			denv_change(e, fixed + denv_rand(e, (uint32_t)(e->nnames - fixed)),
					denv_rand(e, 3) > 0);
	}
	assert_int_equal(ret, 0);
	for (size_t i = 0; i < fixed; i++)
		assert_int_equal(e->names[i].seen, e->names[i].is_there);
}

void denv_use_log(struct denv *e)
{
	denv_close(e);
	e->env.use_log = true;
	denv_open(e);
}

void denv_fsck(struct denv *e)
{
	struct handle *h;
	char cmd[128];

	mutex_lock(&e->file->attr_lock);
	e->file->d.links = (uint16_t)(1 + e->count);
	mutex_unlock(&e->file->attr_lock);
	env_start(&e->env, 1, &h);
	assert_int_equal(inode_dirty(h, e->file), 0);
	env_stop(h);
	denv_close(e);
	if (env_shell(&e->env, "e2fsck -fn %s >%s.fsck 2>&1") != 0) {
		snprintf(cmd, sizeof(cmd), "head -20 %s.fsck", e->env.path);
		(void)!system(cmd);
		fail_msg("e2fsck found faults");
	}
	denv_open(e);
}

void denv_debugfs(struct denv *e)
{
	char *line = NULL;
	size_t cap = 0, lines = 0;
	char cmd[128];
	FILE *f;

	env_sync(&e->env);
	snprintf(cmd, sizeof(cmd), "debugfs -R 'ls -p /d' %s 2>/dev/null",
			e->env.path);
	f = popen(cmd, "r");
	assert_non_null(f);
	while (getline(&line, &cap, f) > 0) {
		struct denv_name *n;
		char name[256];
		unsigned inum;

		if (sscanf(line, "/%u/%*o/%*u/%*u/%255[^/]/", &inum, name) != 2)
			continue;
		if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
			continue;
		lines++;
		n = denv_lookup(e, name, strlen(name));
		assert_non_null(n);
		assert_true(n->is_there);
		assert_int_equal(inum, e->file_inum);
	}
	free(line);
	assert_int_equal(pclose(f), 0);
	assert_int_equal(lines, e->count);
}
