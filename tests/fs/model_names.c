/* SPDX-License-Identifier: MIT */
/*
 * Names against a tree: every call that changes a name or an attribute, its
 * result foretold by the model, also when it must fail. Directories are
 * compared entry by entry now and then, the whole tree after every remount.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "model.h"

#define NNAMES 40
#define NNODES 600
#define NATTRS 5
#define NDIRS  40

struct mnode {
	uint32_t mode; /* 0: free */
	uint32_t uid, gid, nlink, major;
	uint64_t size; /* regular: bytes of @fill; symlink: length */
	uint8_t fill;
	int parent;        /* of a directory */
	int child[NNAMES]; /* of a directory, -1 */
	int alen[NATTRS];  /* -1: none */
	uint8_t abyte[NATTRS];
};

struct run {
	struct env *e;
	struct model_rng r;
	struct mnode *n;
	uint32_t op;
	char what[400];
	char names[NNAMES][64];
};

static const char *const attr_names[NATTRS] = { "user.one", "user.two",
	"security.three", "trusted.four", "user.big" };

static void want(struct run *m, int64_t got, int64_t expect)
{
	if (got != expect)
		fail_msg("op %u: %s: result %lld (%s), expected %lld", m->op,
				m->what, (long long)got,
				got < 0 ? uext4_strerror((int)got) : "",
				(long long)expect);
}

static bool is_dir(const struct mnode *n)
{
	return S_ISDIR(n->mode);
}

static int node_new(struct run *m, uint32_t mode)
{
	for (int i = 1; i < NNODES; i++) {
		struct mnode *n = &m->n[i];

		if (n->mode)
			continue;
		memset(n, 0, sizeof(*n));
		n->mode = mode;
		n->nlink = S_ISDIR(mode) ? 2 : 1;
		for (int k = 0; k < NNAMES; k++)
			n->child[k] = -1;
		for (int k = 0; k < NATTRS; k++)
			n->alen[k] = -1;
		return i;
	}
	return -1;
}

static void path_of(struct run *m, int dir, char *buf, size_t size)
{
	char tmp[4096];

	buf[0] = '\0';
	while (dir != 0) {
		int up = m->n[dir].parent, k;

		for (k = 0; m->n[up].child[k] != dir; k++)
			;
		(void)snprintf(tmp, sizeof(tmp), "/%s%s", m->names[k], buf);
		(void)snprintf(buf, size, "%s", tmp);
		dir = up;
	}
}

static void name_of(struct run *m, int dir, int k, char *buf, size_t size)
{
	size_t at;

	path_of(m, dir, buf, size);
	at = strlen(buf);
	(void)snprintf(buf + at, size - at, "/%s", m->names[k]);
}

static int pick_dir(struct run *m)
{
	int dirs[NNODES], n = 0;

	for (int i = 0; i < NNODES; i++)
		if (is_dir(&m->n[i]))
			dirs[n++] = i;
	return dirs[model_below(&m->r, (uint32_t)n)];
}

static int count_dirs(struct run *m)
{
	int n = 0;

	for (int i = 0; i < NNODES; i++)
		n += is_dir(&m->n[i]);
	return n;
}

static bool is_empty(const struct mnode *n)
{
	for (int k = 0; k < NNAMES; k++)
		if (n->child[k] >= 0)
			return false;
	return true;
}

static bool is_above(struct run *m, int above, int dir)
{
	for (; dir != 0; dir = m->n[dir].parent)
		if (dir == above)
			return true;
	return above == 0;
}

/* Put node @i at (@dir, @k), which is free. */
static void hang(struct run *m, int dir, int k, int i)
{
	m->n[dir].child[k] = i;
	if (is_dir(&m->n[i])) {
		m->n[i].parent = dir;
		m->n[dir].nlink++;
	}
}

static int unhang(struct run *m, int dir, int k)
{
	int i = m->n[dir].child[k];

	m->n[dir].child[k] = -1;
	if (is_dir(&m->n[i]))
		m->n[dir].nlink--;
	return i;
}

static void drop(struct run *m, int i)
{
	if (is_dir(&m->n[i]) || --m->n[i].nlink == 0)
		m->n[i].mode = 0;
}

static void attach_new(struct run *m, int dir, int k, uint32_t mode,
		uint64_t size, uint32_t major)
{
	int i = node_new(m, mode);

	assert_true(i > 0);
	m->n[i].size = size;
	m->n[i].major = major;
	hang(m, dir, k, i);
}

static bool has_room(struct run *m)
{
	for (int i = 1; i < NNODES; i++)
		if (!m->n[i].mode)
			return true;
	return false;
}

static void op_make(struct run *m, int dir, int k)
{
	bool there = m->n[dir].child[k] >= 0;
	int expect = there ? -EEXIST : 0;
	uint32_t perm = model_below(&m->r, 01000);
	char path[4096], target[300];
	size_t len;

	if (!has_room(m))
		return;
	name_of(m, dir, k, path, sizeof(path));
	switch (model_below(&m->r, count_dirs(m) < NDIRS ? 4 : 3)) {
	case 0:
		(void)snprintf(m->what, sizeof(m->what), "create %.300s", path);
		want(m, env_create(m->e, path, perm), expect);
		if (!there)
			attach_new(m, dir, k, S_IFREG | perm, 0, 0);
		break;
	case 1:
		len = 1 + model_below(&m->r, 120);
		memset(target, 'a' + (int)(len % 26), len);
		target[len] = '\0';
		(void)snprintf(m->what, sizeof(m->what), "symlink %.300s",
				path);
		want(m, env_symlink(m->e, target, path), expect);
		if (!there)
			attach_new(m, dir, k, S_IFLNK | 0777, len, 0);
		break;
	case 2:
		(void)snprintf(m->what, sizeof(m->what), "mknod %.300s", path);
		want(m, env_mknod(m->e, path, S_IFCHR | perm, perm, 5), expect);
		if (!there)
			attach_new(m, dir, k, S_IFCHR | perm, 0, perm);
		break;
	default:
		(void)snprintf(m->what, sizeof(m->what), "mkdir %.300s", path);
		want(m, env_mkdir(m->e, path, perm), expect);
		if (!there)
			attach_new(m, dir, k, S_IFDIR | perm, 0, 0);
	}
}

static void op_link(struct run *m, int d1, int k1, int d2, int k2)
{
	char from[2048], to[2048];
	int i = m->n[d1].child[k1], expect = 0;

	if (i < 0)
		return;
	if (m->n[d2].child[k2] >= 0)
		expect = -EEXIST;
	else if (is_dir(&m->n[i]))
		expect = -EPERM;
	name_of(m, d1, k1, from, sizeof(from));
	name_of(m, d2, k2, to, sizeof(to));
	(void)snprintf(m->what, sizeof(m->what), "link %.180s %.180s", from,
			to);
	want(m, env_link(m->e, from, to), expect);
	if (expect < 0)
		return;
	m->n[i].nlink++;
	m->n[d2].child[k2] = i;
}

static int rename_expect(
		struct run *m, int d1, int a, int d2, int b, unsigned flags)
{
	if (a < 0)
		return -ENOENT;
	if ((flags & UEXT4_RENAME_NOREPLACE) && b >= 0)
		return -EEXIST;
	if ((flags & UEXT4_RENAME_EXCHANGE) && b < 0)
		return -ENOENT;
	if (is_dir(&m->n[a]) && is_above(m, a, d2))
		return -EINVAL;
	if (b >= 0 && is_dir(&m->n[b]) && is_above(m, b, d1))
		return flags & UEXT4_RENAME_EXCHANGE ? -EINVAL : -ENOTEMPTY;
	if (b < 0 || a == b || (flags & UEXT4_RENAME_EXCHANGE))
		return 0;
	if (is_dir(&m->n[a]) && !is_dir(&m->n[b]))
		return -ENOTDIR;
	if (!is_dir(&m->n[a]) && is_dir(&m->n[b]))
		return -EISDIR;
	if (is_dir(&m->n[b]) && !is_empty(&m->n[b]))
		return -ENOTEMPTY;
	return 0;
}

static void op_rename(struct run *m, int d1, int k1, int d2, int k2)
{
	static const unsigned all[] = { 0, 0, 0, UEXT4_RENAME_NOREPLACE,
		UEXT4_RENAME_EXCHANGE };
	unsigned flags = all[model_below(&m->r, 5)];
	int a = m->n[d1].child[k1], b = m->n[d2].child[k2];
	int expect = rename_expect(m, d1, a, d2, b, flags);
	char from[2048], to[2048];

	name_of(m, d1, k1, from, sizeof(from));
	name_of(m, d2, k2, to, sizeof(to));
	(void)snprintf(m->what, sizeof(m->what), "rename %.180s %.180s %#x",
			from, to, flags);
	want(m, env_rename(m->e, from, to, flags), expect);
	if (expect < 0 || a == b)
		return;
	unhang(m, d1, k1);
	if (b >= 0) {
		unhang(m, d2, k2);
		if (flags & UEXT4_RENAME_EXCHANGE)
			hang(m, d1, k1, b);
		else
			drop(m, b);
	}
	hang(m, d2, k2, a);
}

static void op_remove(struct run *m, int dir, int k)
{
	int i = m->n[dir].child[k], expect = 0;
	bool as_dir = model_below(&m->r, 2);
	char path[4096];

	name_of(m, dir, k, path, sizeof(path));
	(void)snprintf(m->what, sizeof(m->what), "%s %.300s",
			as_dir ? "rmdir" : "unlink", path);
	if (i < 0)
		expect = -ENOENT;
	else if (as_dir && !is_dir(&m->n[i]))
		expect = -ENOTDIR;
	else if (as_dir && !is_empty(&m->n[i]))
		expect = -ENOTEMPTY;
	else if (!as_dir && is_dir(&m->n[i]))
		expect = -EISDIR;
	want(m, as_dir ? env_rmdir(m->e, path) : env_unlink(m->e, path),
			expect);
	if (expect == 0)
		drop(m, unhang(m, dir, k));
}

static void op_attr(struct run *m, int i, const char *path)
{
	struct mnode *n = &m->n[i];
	uint32_t a = model_below(&m->r, NATTRS);
	bool user = strncmp(attr_names[a], "user.", 5) == 0;
	size_t len = a == NATTRS - 1 ? m->e->bs / 2 - 100
				     : model_below(&m->r, 40);
	uint8_t byte = (uint8_t)model_next(&m->r);
	char *value = env_alloc(len + 1, byte);
	int expect = 0;

	(void)snprintf(m->what, sizeof(m->what), "xattr %s %.300s",
			attr_names[a], path);
	if (user && !S_ISREG(n->mode) && !S_ISDIR(n->mode))
		expect = -EPERM;
	if (model_below(&m->r, 3)) {
		want(m, env_setxattr(m->e, path, attr_names[a], value, len, 0),
				expect);
		if (expect == 0) {
			n->alen[a] = (int)len;
			n->abyte[a] = byte;
		}
	} else {
		struct uext4_node *node = env_node(m->e, path);

		if (expect == 0 && n->alen[a] < 0)
			expect = -ENODATA;
		want(m, uext4_removexattr(node, attr_names[a], NULL), expect);
		uext4_node_put(node);
		if (expect == 0)
			n->alen[a] = -1;
	}
	free(value);
}

static void op_setattr(struct run *m, int i, const char *path)
{
	struct uext4_setattr s = { .mask = UEXT4_SET_MODE | UEXT4_SET_UID |
				UEXT4_SET_GID };
	struct uext4_node *node = env_node(m->e, path);
	struct mnode *n = &m->n[i];

	(void)snprintf(m->what, sizeof(m->what), "setattr %.300s", path);
	s.mode = model_below(&m->r, 02000) & ~02000u;
	s.uid = model_below(&m->r, 200000);
	s.gid = model_below(&m->r, 200000);
	if (S_ISLNK(n->mode))
		s.mask &= ~UEXT4_SET_MODE;
	want(m, uext4_node_setattr(node, &s, NULL), 0);
	uext4_node_put(node);
	if (s.mask & UEXT4_SET_MODE)
		n->mode = (n->mode & S_IFMT) | s.mode;
	n->uid = s.uid;
	n->gid = s.gid;
}

static void op_fill(struct run *m, int i, const char *path)
{
	struct uext4_file *f =
			env_open(m->e, path, UEXT4_O_RDWR | UEXT4_O_TRUNC);
	struct mnode *n = &m->n[i];

	(void)snprintf(m->what, sizeof(m->what), "fill %.300s", path);
	n->size = 1 + model_below(&m->r, 9000);
	n->fill = (uint8_t)model_next(&m->r);
	env_fill(f, 0, n->size, n->fill);
	env_close(f);
}

static void check_node(struct run *m, int i, const char *path)
{
	struct mnode *n = &m->n[i];
	struct uext4_stat st = env_stat(m->e, path);
	char value[4096];

	(void)snprintf(m->what, sizeof(m->what), "check %.300s", path);
	want(m, st.mode, n->mode);
	want(m, st.nlink, n->nlink);
	want(m, st.uid, n->uid);
	want(m, st.gid, n->gid);
	if (!S_ISDIR(n->mode))
		want(m, (int64_t)st.size, (int64_t)n->size);
	if (S_ISCHR(n->mode))
		want(m, st.rdev_major, n->major);
	if (S_ISREG(n->mode) && n->size > 0) {
		struct uext4_file *f = env_open(m->e, path, UEXT4_O_RDONLY);

		env_expect(f, 0, n->size, n->fill);
		env_close(f);
	}
	for (int a = 0; a < NATTRS; a++) {
		ssize_t len = env_getxattr(m->e, path, attr_names[a], value,
				sizeof(value));
		bool user = strncmp(attr_names[a], "user.", 5) == 0;

		if (user && !S_ISREG(n->mode) && !S_ISDIR(n->mode)) {
			assert_true(len < 0);
			continue;
		}
		want(m, len, n->alen[a] < 0 ? -ENODATA : n->alen[a]);
		for (int k = 0; k < len; k++)
			want(m, (uint8_t)value[k], n->abyte[a]);
	}
}

struct listing {
	struct run *m;
	int times[NNAMES];
	int others;
};

static int list_one(void *ctx, const struct uext4_dirent *d)
{
	struct listing *l = ctx;
	int k;

	for (k = 0; k < NNAMES; k++)
		if (strcmp(d->name, l->m->names[k]) == 0)
			break;
	if (k < NNAMES)
		l->times[k]++;
	else
		l->others++;
	return 0;
}

static void check_dir(struct run *m, int dir)
{
	struct listing l = { .m = m };
	struct uext4_node *node;
	char path[4096];

	path_of(m, dir, path, sizeof(path));
	(void)snprintf(m->what, sizeof(m->what), "readdir %.300s", path);
	node = env_node(m->e, path[0] ? path : "/");
	want(m, uext4_readdir(node, 0, list_one, &l), 0);
	uext4_node_put(node);
	want(m, l.others, dir == 0 ? 3 : 2); /* lost+found */
	for (int k = 0; k < NNAMES; k++)
		want(m, l.times[k], m->n[dir].child[k] >= 0);
}

static void check_all(struct run *m)
{
	char path[4096];

	for (int d = 0; d < NNODES; d++) {
		if (!is_dir(&m->n[d]))
			continue;
		check_dir(m, d);
		for (int k = 0; k < NNAMES; k++) {
			if (m->n[d].child[k] < 0)
				continue;
			name_of(m, d, k, path, sizeof(path));
			check_node(m, m->n[d].child[k], path);
		}
	}
}

static void one(struct run *m)
{
	int dir = pick_dir(m), k = (int)model_below(&m->r, NNAMES);
	int dir2 = model_below(&m->r, 3) ? pick_dir(m) : dir;
	int k2 = (int)model_below(&m->r, NNAMES);
	uint32_t what = model_below(&m->r, 100);
	int i = m->n[dir].child[k];
	char path[4096];

	name_of(m, dir, k, path, sizeof(path));
	if (what < 32)
		op_make(m, dir, k);
	else if (what < 42)
		op_link(m, dir, k, dir2, k2);
	else if (what < 62)
		op_rename(m, dir, k, dir2, k2);
	else if (what < 74)
		op_remove(m, dir, k);
	else if (what < 78)
		check_dir(m, dir);
	else if (i >= 0 && what < 86)
		op_attr(m, i, path);
	else if (i >= 0 && what < 90)
		op_setattr(m, i, path);
	else if (i >= 0 && what < 95 && S_ISREG(m->n[i].mode))
		op_fill(m, i, path);
	else if (i >= 0)
		check_node(m, i, path);
	else
		want(m, env_exists(m->e, path), -ENOENT);
}

void model_names(struct env *e)
{
	struct run *m = calloc(1, sizeof(*m));
	uint32_t n = model_ops();

	assert_non_null(m);
	m->e = e;
	m->r.s = model_seed("names", e);
	m->n = calloc(NNODES, sizeof(*m->n));
	assert_non_null(m->n);
	for (int k = 0; k < NNAMES; k++) /* of many lengths */
		(void)snprintf(m->names[k], sizeof(m->names[k]), "%d%.*s", k, k,
				"abcdefghijklmnopqrstuvwxyzabcdefghijklmno");
	m->n[0].mode = S_IFDIR | 0755;
	m->n[0].nlink = 3; /* lost+found */
	for (int k = 0; k < NNAMES; k++)
		m->n[0].child[k] = -1;
	for (m->op = 0; m->op < n; m->op++) {
		one(m);
		if (model_below(&m->r, 500) == 0) {
			check_all(m);
			(void)snprintf(m->what, sizeof(m->what), "remount");
			env_remount(m->e);
			check_all(m);
		}
	}
	check_all(m);
	free(m->n);
	free(m);
}
