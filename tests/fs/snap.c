/* SPDX-License-Identifier: MIT */
/*
 * Trees as text (see snap.h).
 */
#include "snap.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/csum.h"

#define SNAP_CHUNK 65536u
#define SNAP_WHOLE (64ull << 20) /* longer files: both ends only */
#define SNAP_END   (1ull << 20)

struct one { /* a line being made */
	const char *path;
	uint32_t ino, mode, uid, gid, nlink;
	uint64_t size, rdev;
	int64_t mtime, ctime;
	uint32_t mtime_ns, ctime_ns;
	uint32_t sum;
	char *attr[256];
	size_t nattr;
};

/* Read some bytes of whatever is being summed; < 0 on failure. */
typedef int64_t read_fn(void *ctx, void *buf, size_t len, uint64_t pos);

static void snap_fail(struct snap *s, int err, const char *path)
{
	if (s->err == 0) {
		fprintf(stderr, "# snapshot: %s: %s\n", path, strerror(-err));
		s->err = err;
	}
}

static int one_cmp(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void snap_push(struct snap *s, char *line)
{
	if (s->n == s->room) {
		s->room = s->room ? s->room * 2 : 256;
		s->line = realloc(s->line, s->room * sizeof(*s->line));
		if (!s->line)
			abort();
	}
	s->line[s->n++] = line;
}

static void one_attr(struct one *o, unsigned flags, const char *name,
		const void *value, size_t len)
{
	char buf[400];
	uint32_t sum = crc32c(~0u, value, len);

	if (flags & SNAP_ONLY_BYTES)
		return;
	if (strncmp(name, "system.posix_acl", 16) == 0 && !(flags & SNAP_ACLS))
		sum = 0, len = 0;
	(void)snprintf(buf, sizeof(buf), " %s=%zu:%08x", name, len, sum);
	if (o->nattr < 256)
		o->attr[o->nattr++] = strdup(buf);
}

static void one_done(struct one *o, struct snap *s, unsigned flags)
{
	char *line = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&line, &size);

	if (!f)
		abort();
	if ((o->mode & S_IFMT) == S_IFDIR)
		o->size = 0; /* grows as names come, differs by policy */
	fprintf(f, "%s", o->path);
	if (!(flags & SNAP_NO_INO))
		fprintf(f, " ino %u ctime %lld.%09u", o->ino,
				(long long)o->ctime, o->ctime_ns);
	if (flags & SNAP_ONLY_BYTES) {
		o->mode &= S_IFMT;
		o->uid = o->gid = o->nlink = 0;
	}
	fprintf(f, " mode %o own %u:%u links %u size %llu", o->mode, o->uid,
			o->gid, o->nlink, (unsigned long long)o->size);
	if (S_ISCHR(o->mode) || S_ISBLK(o->mode))
		fprintf(f, " dev %llx", (unsigned long long)o->rdev);
	if (!(flags & SNAP_NO_TIMES))
		fprintf(f, " mtime %lld.%09u", (long long)o->mtime,
				o->mtime_ns);
	fprintf(f, " sum %08x", o->sum);
	if (o->nattr > 0)
		qsort(o->attr, o->nattr, sizeof(o->attr[0]), one_cmp);
	for (size_t i = 0; i < o->nattr; i++) {
		fputs(o->attr[i], f);
		free(o->attr[i]);
	}
	fclose(f);
	snap_push(s, line);
}

static uint32_t sum_range(read_fn *fn, void *ctx, uint64_t pos, uint64_t end,
		uint32_t sum, int *err)
{
	static _Thread_local uint8_t buf[SNAP_CHUNK];

	while (pos < end && *err == 0) {
		size_t want = end - pos < SNAP_CHUNK ? (size_t)(end - pos)
						     : SNAP_CHUNK;
		int64_t n = fn(ctx, buf, want, pos);

		if (n < 0)
			*err = (int)n;
		else if (n == 0)
			*err = -EIO; /* shorter than its size */
		else
			sum = crc32c(sum, buf, (size_t)n);
		if (n > 0)
			pos += (uint64_t)n;
	}
	return sum;
}

static uint32_t sum_bytes(read_fn *fn, void *ctx, uint64_t size, int *err)
{
	uint32_t sum = ~0u;

	if (size <= SNAP_WHOLE)
		return sum_range(fn, ctx, 0, size, sum, err);
	sum = sum_range(fn, ctx, 0, SNAP_END, sum, err);
	return sum_range(fn, ctx, size - SNAP_END, size, sum, err);
}

/* ---- through the library ---- */

struct names {
	char **name;
	size_t n, room;
};

static int names_add(void *ctx, const struct uext4_dirent *e)
{
	struct names *v = ctx;

	if (strcmp(e->name, ".") == 0 || strcmp(e->name, "..") == 0)
		return 0;
	if (v->n == v->room) {
		v->room = v->room ? v->room * 2 : 64;
		v->name = realloc(v->name, v->room * sizeof(*v->name));
		if (!v->name)
			abort();
	}
	v->name[v->n++] = strdup(e->name);
	return 0;
}

static int64_t api_read(void *ctx, void *buf, size_t len, uint64_t pos)
{
	return uext4_pread(ctx, buf, len, pos);
}

static void api_attrs(struct uext4_node *node, unsigned flags, struct one *o,
		struct snap *s)
{
	static _Thread_local char list[65536], value[65536];
	ssize_t len = uext4_listxattr(node, list, sizeof(list), NULL);

	if (len < 0) {
		snap_fail(s, (int)len, o->path);
		return;
	}
	for (char *p = list; p < list + len; p += strlen(p) + 1) {
		ssize_t n = uext4_getxattr(node, p, value, sizeof(value), NULL);

		if (n < 0)
			snap_fail(s, (int)n, o->path);
		else
			one_attr(o, flags, p, value, (size_t)n);
	}
}

static int api_sum(struct uext4_node *node, struct one *o)
{
	struct uext4_file *file;
	char target[4096];
	int ret = 0;

	if (S_ISLNK(o->mode)) {
		ssize_t n = uext4_node_readlink(node, target, sizeof(target));

		if (n < 0)
			return (int)n;
		o->sum = crc32c(~0u, target, (size_t)n);
		return 0;
	}
	if (!S_ISREG(o->mode))
		return 0;
	ret = uext4_open_node(node, UEXT4_O_RDONLY, NULL, &file);
	if (ret < 0)
		return ret;
	o->sum = sum_bytes(api_read, file, o->size, &ret);
	if (uext4_close(file) < 0 && ret == 0)
		ret = -EIO;
	return ret;
}

static void api_one(struct uext4_node *node, const char *path, unsigned flags,
		struct snap *s)
{
	struct one o = { .path = path };
	struct uext4_stat st;
	int ret = uext4_node_stat(node, &st);

	if (ret < 0) {
		snap_fail(s, ret, path);
		return;
	}
	o.ino = st.ino;
	o.mode = st.mode;
	o.uid = st.uid;
	o.gid = st.gid;
	o.nlink = st.nlink;
	o.size = st.size;
	o.rdev = (uint64_t)st.rdev_major << 32 | st.rdev_minor;
	o.mtime = st.mtime.tv_sec;
	o.mtime_ns = (uint32_t)st.mtime.tv_nsec;
	o.ctime = st.ctime.tv_sec;
	o.ctime_ns = (uint32_t)st.ctime.tv_nsec;
	ret = api_sum(node, &o);
	if (ret < 0)
		snap_fail(s, ret, path);
	api_attrs(node, flags, &o, s);
	one_done(&o, s, flags);
}

static void api_dir(struct uext4_node *dir, const char *path, unsigned flags,
		struct snap *s, int depth)
{
	struct names v = { 0 };
	int ret = uext4_readdir(dir, 0, names_add, &v);

	if (ret < 0)
		snap_fail(s, ret, path);
	for (size_t i = 0; i < v.n; i++) {
		struct uext4_node *node;
		struct uext4_stat st;
		char *sub = NULL;

		if (asprintf(&sub, "%s/%s", path, v.name[i]) < 0)
			abort();
		ret = uext4_lookup(dir, v.name[i], NULL, &node);
		if (ret == 0) {
			api_one(node, sub, flags, s);
			if (uext4_node_stat(node, &st) == 0 &&
					S_ISDIR(st.mode) && depth < 64)
				api_dir(node, sub, flags, s, depth + 1);
			uext4_node_put(node);
		} else {
			snap_fail(s, ret, sub);
		}
		free(sub);
		free(v.name[i]);
	}
	free(v.name);
}

static void snap_sort(struct snap *s)
{
	if (s->n > 0)
		qsort(s->line, s->n, sizeof(*s->line), one_cmp);
}

void snap_api(struct uext4_fs *fs, unsigned flags, struct snap *ret_snap)
{
	struct uext4_node *root;
	int ret;

	memset(ret_snap, 0, sizeof(*ret_snap));
	ret = uext4_node_root(fs, &root);
	if (ret < 0) {
		snap_fail(ret_snap, ret, "/");
		return;
	}
	api_one(root, "", flags, ret_snap);
	api_dir(root, "", flags, ret_snap, 0);
	uext4_node_put(root);
	snap_sort(ret_snap);
}

/* ---- through the checker ---- */

struct chk_ctx {
	const struct check_dev *dev;
	struct snap *s;
	struct one *o;
	unsigned flags;
	uint32_t ino;
};

static int64_t chk_read(void *ctx, void *buf, size_t len, uint64_t pos)
{
	struct chk_ctx *c = ctx;

	return check_read_ino(c->dev, c->ino, pos, buf, len);
}

static int chk_attr(void *ctx, const char *name, const void *value, size_t len)
{
	struct chk_ctx *c = ctx;

	if (strcmp(name, "system.data") != 0)
		one_attr(c->o, c->flags, name, value, len);
	return 0;
}

static int chk_entry(void *ctx, const struct check_entry *e)
{
	struct chk_ctx *c = ctx;
	const struct check_stat *st = &e->st;
	struct one o = {
		.path = strcmp(e->path, "/") == 0 ? "" : e->path,
		.ino = st->ino,
		.mode = st->mode,
		.uid = st->uid,
		.gid = st->gid,
		.nlink = st->links,
		.size = st->size,
		.rdev = st->rdev,
		.mtime = st->mtime,
		.ctime = st->ctime,
		.mtime_ns = st->mtime_ns,
		.ctime_ns = st->ctime_ns,
	};
	int ret = 0;

	c->ino = st->ino;
	c->o = &o;
	if (S_ISREG(o.mode) || S_ISLNK(o.mode))
		o.sum = sum_bytes(chk_read, c, o.size, &ret);
	if (ret < 0)
		snap_fail(c->s, ret, e->path);
	ret = check_xattrs(c->dev, st->ino, chk_attr, c);
	if (ret < 0)
		snap_fail(c->s, ret, e->path);
	one_done(&o, c->s, c->flags);
	return 0;
}

void snap_check(const struct check_dev *dev, unsigned flags,
		struct snap *ret_snap)
{
	struct chk_ctx c = { .dev = dev, .s = ret_snap, .flags = flags };
	int ret;

	memset(ret_snap, 0, sizeof(*ret_snap));
	ret = check_walk(dev, chk_entry, &c);
	if (ret < 0)
		snap_fail(ret_snap, ret, "check_walk");
	snap_sort(ret_snap);
}

/* ---- through the kernel ---- */

static int64_t posix_read(void *ctx, void *buf, size_t len, uint64_t pos)
{
	ssize_t n = pread(*(int *)ctx, buf, len, (off_t)pos);

	return n < 0 ? -errno : n;
}

static void posix_attrs(
		const char *path, unsigned flags, struct one *o, struct snap *s)
{
	static char list[65536], value[65536];
	ssize_t len = llistxattr(path, list, sizeof(list));

	if (len < 0) {
		snap_fail(s, -errno, path);
		return;
	}
	for (char *p = list; p < list + len; p += strlen(p) + 1) {
		ssize_t n = lgetxattr(path, p, value, sizeof(value));

		if (n < 0)
			snap_fail(s, -errno, path);
		else
			one_attr(o, flags, p, value, (size_t)n);
	}
}

static int posix_sum(const char *path, struct one *o)
{
	char target[4096];
	int fd, ret = 0;

	if (S_ISLNK(o->mode)) {
		ssize_t n = readlink(path, target, sizeof(target));

		if (n < 0)
			return -errno;
		o->sum = crc32c(~0u, target, (size_t)n);
		return 0;
	}
	if (!S_ISREG(o->mode))
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOATIME);
	if (fd < 0)
		return -errno;
	o->sum = sum_bytes(posix_read, &fd, o->size, &ret);
	close(fd);
	return ret;
}

static void posix_one(
		const char *path, size_t skip, unsigned flags, struct snap *s)
{
	struct one o = { .path = path + skip };
	struct stat st;
	int ret;

	if (lstat(path, &st) < 0) {
		snap_fail(s, -errno, path);
		return;
	}
	o.ino = (uint32_t)st.st_ino;
	o.mode = st.st_mode;
	o.uid = st.st_uid;
	o.gid = st.st_gid;
	o.nlink = (uint32_t)st.st_nlink;
	o.size = (uint64_t)st.st_size;
	o.rdev = (uint64_t)major(st.st_rdev) << 32 | minor(st.st_rdev);
	o.mtime = st.st_mtim.tv_sec;
	o.mtime_ns = (uint32_t)st.st_mtim.tv_nsec;
	o.ctime = st.st_ctim.tv_sec;
	o.ctime_ns = (uint32_t)st.st_ctim.tv_nsec;
	ret = posix_sum(path, &o);
	if (ret < 0)
		snap_fail(s, ret, path);
	posix_attrs(path, flags, &o, s);
	one_done(&o, s, flags);
}

static void posix_dir(
		const char *dir, size_t skip, unsigned flags, struct snap *s)
{
	struct dirent *d;
	struct stat st;
	DIR *dp = opendir(dir);

	if (!dp) {
		snap_fail(s, -errno, dir);
		return;
	}
	while ((d = readdir(dp))) {
		char *sub = NULL;

		if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
			continue;
		if (asprintf(&sub, "%s/%s", dir, d->d_name) < 0)
			abort();
		posix_one(sub, skip, flags, s);
		if (lstat(sub, &st) == 0 && S_ISDIR(st.st_mode))
			posix_dir(sub, skip, flags, s);
		free(sub);
	}
	closedir(dp);
}

void snap_posix(const char *dir, unsigned flags, struct snap *ret_snap)
{
	memset(ret_snap, 0, sizeof(*ret_snap));
	posix_one(dir, strlen(dir), flags, ret_snap);
	posix_dir(dir, strlen(dir), flags, ret_snap);
	snap_sort(ret_snap);
}

/* ---- */

void snap_free(struct snap *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->line[i]);
	free(s->line);
	memset(s, 0, sizeof(*s));
}

bool snap_equal(const struct snap *a, const struct snap *b, const char *what)
{
	size_t i = 0, j = 0;
	unsigned shown = 0;

	while ((i < a->n || j < b->n) && shown < 10) {
		int c = i == a->n           ? 1
				: j == b->n ? -1
					    : strcmp(a->line[i], b->line[j]);

		if (c != 0 && shown++ == 0)
			fprintf(stderr, "# trees differ: %s\n", what);
		if (c < 0)
			fprintf(stderr, "#   - %s\n", a->line[i++]);
		else if (c > 0)
			fprintf(stderr, "#   + %s\n", b->line[j++]);
		else
			i++, j++;
	}
	return shown == 0 && a->err == 0 && b->err == 0;
}
