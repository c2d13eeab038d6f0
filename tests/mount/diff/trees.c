/* SPDX-License-Identifier: MIT */
/* Whole trees: see trees.h. */
#include "trees.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>
#include <unistd.h>

#define PIECE    (1u << 16)
#define DATA_MAX (64u << 20) /* of one stretch of data, for the sum */

/* ---- one object ---- */

static uint64_t add_sum(
		uint64_t sum, const uint8_t *data, size_t len, uint64_t pos)
{
	static const uint8_t zeros[1024];
	uint64_t x;
	size_t i, k;

	for (i = 0; i < len; i += sizeof(zeros)) {
		size_t n = len - i < sizeof(zeros) ? len - i : sizeof(zeros);

		/* Holes and written zeros are the same to who reads. */
		if (memcmp(data + i, zeros, n) == 0)
			continue;
		sum = (sum ^ (pos + i)) * 0x9e3779b97f4a7c15u;
		for (k = 0; k < n; k += 8) {
			x = 0;
			memcpy(&x, data + i + k, n - k < 8 ? n - k : 8);
			sum = (sum ^ x) * 0x9e3779b97f4a7c15u;
			sum ^= sum >> 29;
		}
	}
	return sum;
}

static uint64_t sum_range(int fd, off_t from, off_t to, uint64_t sum)
{
	static uint8_t buf[PIECE];
	ssize_t n;

	if (to - from > (off_t)DATA_MAX)
		to = from + (off_t)DATA_MAX;
	while (from < to) {
		size_t want = to - from < (off_t)PIECE ? (size_t)(to - from)
						       : PIECE;

		n = pread(fd, buf, want, from);
		if (n <= 0)
			return sum ^ (uint64_t)(n < 0 ? errno : -1);
		sum = add_sum(sum, buf, (size_t)n, (uint64_t)from);
		from += n;
	}
	return sum;
}

/* The contents, and where the file says it has data. */
static void tell_data(int fd, struct outcome *o)
{
	static uint64_t map[8192];
	uint64_t sum = 1;
	off_t at = 0, end;
	size_t n = 0, i;

	/* All is written; what is only cached would count as data (sparse.h). */
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	for (;;) {
		at = lseek(fd, at, SEEK_DATA);
		if (at < 0)
			break;
		end = lseek(fd, at, SEEK_HOLE);
		if (end < 0)
			break;
		/* An answer may end where the next stretch begins. */
		if (n > 0 && map[n - 1] == (uint64_t)at) {
			map[n - 1] = (uint64_t)end;
		} else if (n + 2 <= sizeof(map) / sizeof(map[0])) {
			map[n++] = (uint64_t)at;
			map[n++] = (uint64_t)end;
		}
		at = end;
	}
	/* Not before: what is read ahead would count. */
	for (i = 0; i < n; i += 2)
		sum = sum_range(fd, (off_t)map[i], (off_t)map[i + 1], sum);
	out_num(o, "sum", sum);
	out_bytes(o, "map", map, n * sizeof(map[0]));
}

static void tell_xattrs(const char *path, struct outcome *o)
{
	static char names[1 << 16], sorted[1 << 16], value[1 << 17];
	ssize_t n = llistxattr(path, names, sizeof(names));
	uint64_t sum = 0;
	const char *at;

	if (n < 0) {
		out_num(o, "xattr_errno", (uint64_t)errno);
		return;
	}
	for (at = names; at < names + n; at += strlen(at) + 1) {
		ssize_t len = lgetxattr(path, at, value, sizeof(value));

		/* Added up: their order does not count. */
		sum += add_sum((uint64_t)len * 31, (const uint8_t *)value,
				len < 0 ? 0 : (size_t)len, 0);
		sum += add_sum(7, (const uint8_t *)at, strlen(at), 1);
	}
	(void)sorted;
	out_num(o, "xattr_names", (uint64_t)n);
	out_num(o, "xattr_sum", sum);
}

static void tell_flags(int fd, struct outcome *o)
{
	unsigned flags = 0;

	if (ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0)
		out_num(o, "flags", flags);
	else
		out_num(o, "flags_errno", (uint64_t)errno);
}

static void tell_times(const struct stat *st, struct outcome *o)
{
	const struct timespec *t[] = { &st->st_atim, &st->st_mtim,
		&st->st_ctim };
	static const char *const names[][2] = { { "atime_sec", "atime_nsec" },
		{ "mtime_sec", "mtime_nsec" }, { "ctime_sec", "ctime_nsec" } };
	int i;

	for (i = 0; i < 3; i++) {
		out_num(o, names[i][0], (uint64_t)t[i]->tv_sec);
		out_num(o, names[i][1], (uint64_t)t[i]->tv_nsec);
	}
	out_num(o, "ino", st->st_ino);
}

/* What there is to say about @name in @dir. */
static void tell_object(int dir, const char *name, bool exact,
		struct outcome *o, struct stat *ret_st)
{
	char path[64 + NAME_MAX], target[8192];
	struct stat st;
	ssize_t n;
	int fd;

	memset(ret_st, 0, sizeof(*ret_st));
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		o->err = errno;
		return;
	}
	*ret_st = st;
	if (strcmp(name, TREES_FILLER) == 0)
		return;
	if (exact)
		tell_times(&st, o);
	out_stat(o, &st);
	out_num(o, "blocks", (uint64_t)st.st_blocks);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dir, name);
	tell_xattrs(path, o);
	if (S_ISLNK(st.st_mode)) {
		n = readlinkat(dir, name, target, sizeof(target));
		out_bytes(o, "target", target, n < 0 ? 0 : (size_t)n);
	}
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return;
	fd = openat(dir, name, O_RDONLY | O_NOATIME | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0) {
		out_num(o, "open_errno", (uint64_t)errno);
		return;
	}
	tell_flags(fd, o);
	if (S_ISREG(st.st_mode))
		tell_data(fd, o);
	(void)close(fd);
}

/* ---- names in order ---- */

struct list {
	char **name; /* owned */
	size_t n;
};

static int by_name(const void *x, const void *y)
{
	char *const *a = x, *const *b = y;

	return strcmp(*a, *b);
}

/* Takes over @dir. */
static void list_dir(int dir, struct list *ret_l)
{
	DIR *d = fdopendir(dir);
	struct dirent *e;

	*ret_l = (struct list){ 0 };
	if (!d)
		return;
	while ((e = readdir(d)) != NULL) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		ret_l->name = realloc(ret_l->name,
				(ret_l->n + 1) * sizeof(*ret_l->name));
		if (!ret_l->name)
			abort();
		ret_l->name[ret_l->n++] = dop_text(e->d_name);
	}
	qsort(ret_l->name, ret_l->n, sizeof(*ret_l->name), by_name);
	(void)closedir(d);
}

static void list_fini(struct list *l)
{
	while (l->n > 0)
		free(l->name[--l->n]);
	free(l->name);
}

static int open_dir(int at, const char *name)
{
	return openat(at, name,
			O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NOATIME |
					O_CLOEXEC);
}

/* ---- comparing ---- */

#define INODES_MAX (1u << 20)

struct comparison {
	struct judge *j;
	struct outcome *a, *b;
	uint32_t *ino; /* of b, by that of a: who is whose link */
};

static void compare_links(struct comparison *c, const struct stat *a,
		const struct stat *b)
{
	uint32_t *known = &c->ino[a->st_ino % INODES_MAX];

	if (a->st_ino == 0)
		return;
	if (*known == 0)
		*known = (uint32_t)b->st_ino;
	out_num(c->a, "same_inode", 1);
	out_num(c->b, "same_inode", *known == b->st_ino);
}

/* Is all that is data in @b data in @a? */
static bool map_within(const struct out_field *a, const struct out_field *b)
{
	const uint64_t *x = (const void *)a->bytes, *y = (const void *)b->bytes;
	size_t na = a->value / sizeof(*x), nb = b->value / sizeof(*y);
	size_t i = 0, k;

	for (k = 0; k + 1 < nb; k += 2) {
		while (i + 1 < na && x[i + 1] <= y[k])
			i += 2;
		if (i + 1 >= na || y[k] < x[i] || y[k + 1] > x[i + 1])
			return false;
	}
	return true;
}

static bool maps_within(const struct outcome *a, const struct outcome *b)
{
	unsigned i;

	for (i = 0; i < a->n && i < b->n; i++) {
		if (strcmp(a->f[i].name, "map") == 0 &&
				strcmp(b->f[i].name, "map") == 0)
			return map_within(&a->f[i], &b->f[i]);
	}
	return false;
}

static void compare_below(struct comparison *c, int a, int b, const char *path);

static void compare_one(struct comparison *c, int a, int b, const char *name,
		const char *path)
{
	size_t room = strlen(path) + strlen(name) + 2;
	char *full = dop_alloc(room);
	struct stat sa, sb;

	(void)snprintf(full, room, "%s/%s", path, name);
	out_clear(c->a);
	out_clear(c->b);
	tell_object(a, name, false, c->a, &sa);
	tell_object(b, name, false, c->b, &sb);
	compare_links(c, &sa, &sb);
	c->j->closer = maps_within(c->a, c->b);
	(void)judge_same(c->j, NULL, full, c->a, c->b);
	if (S_ISDIR(sa.st_mode) && S_ISDIR(sb.st_mode))
		compare_below(c, open_dir(a, name), open_dir(b, name), full);
	free(full);
}

/* Takes over the descriptors. */
static void compare_below(struct comparison *c, int a, int b, const char *path)
{
	struct list la, lb;
	size_t i = 0, k = 0;

	list_dir(dup(a), &la);
	list_dir(dup(b), &lb);
	while (i < la.n || k < lb.n) {
		int order = i == la.n       ? 1
				: k == lb.n ? -1
					    : strcmp(la.name[i], lb.name[k]);

		compare_one(c, a, b, order <= 0 ? la.name[i] : lb.name[k],
				path);
		i += order <= 0;
		k += order >= 0;
	}
	list_fini(&la);
	list_fini(&lb);
	(void)close(a);
	(void)close(b);
}

void trees_compare(struct judge *j, const struct side *a, const struct side *b)
{
	struct outcome oa, ob;
	struct comparison c = { .j = j, .a = &oa, .b = &ob };

	out_init(&oa);
	out_init(&ob);
	c.ino = dop_alloc(INODES_MAX * sizeof(*c.ino));
	compare_one(&c, a->root, b->root, ".", "");
	free(c.ino);
	out_fini(&oa);
	out_fini(&ob);
}

/* ---- dumping ---- */

/* Takes over @dir. */
static void dump_below(int dir, const char *path, struct outcome *o, FILE *to)
{
	struct list l;
	size_t i;

	list_dir(dup(dir), &l);
	for (i = 0; i < l.n; i++) {
		size_t room = strlen(path) + strlen(l.name[i]) + 2;
		char *full = dop_alloc(room);
		struct stat st;

		(void)snprintf(full, room, "%s/%s", path, l.name[i]);
		out_clear(o);
		tell_object(dir, l.name[i], true, o, &st);
		fprintf(to, "%s:", full);
		out_print(o, to);
		fputc('\n', to);
		if (S_ISDIR(st.st_mode))
			dump_below(open_dir(dir, l.name[i]), full, o, to);
		free(full);
	}
	list_fini(&l);
	(void)close(dir);
}

void trees_dump(int root, FILE *to)
{
	struct outcome o;

	out_init(&o);
	dump_below(open_dir(root, "."), "", &o, to);
	out_fini(&o);
}
