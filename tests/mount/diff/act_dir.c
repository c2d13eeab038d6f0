/* SPDX-License-Identifier: MIT */
/*
 * Reading directories.
 *
 * Cookies and order belong to the side, so what can be compared is the set of
 * names; that reading from a cookie gives what came after it is checked on
 * each side by itself ("rest"), and so is that a name that is there all the
 * time is told exactly once while others come and go ("once").
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "side.h"

#define NAMES_MAX 8192

struct name {
	char *text; /* owned */
	uint64_t next;
	unsigned char type;
};

struct names {
	struct name at[NAMES_MAX];
	size_t n;
};

/* As the kernel gives them. */
struct raw {
	uint64_t ino;
	int64_t next;
	unsigned short len;
	unsigned char type;
	char name[];
};

static void names_clear(struct names *l)
{
	while (l->n > 0)
		free(l->at[--l->n].text);
}

static void take(struct names *l, const struct raw *r)
{
	if (l->n == NAMES_MAX)
		return;
	l->at[l->n++] = (struct name){
		.text = dop_text(r->name),
		.next = (uint64_t)r->next,
		.type = r->type,
	};
}

/* One getdents64() of @room bytes: 1, 0 at the end, -errno. */
static int read_some(int fd, size_t room, struct names *l)
{
	char *buf = dop_alloc(room + 1);
	long n = syscall(SYS_getdents64, fd, buf, room);
	int ret = n < 0 ? -errno : n > 0;
	long at;

	for (at = 0; at < n;) {
		const struct raw *r = (const void *)(buf + at);

		take(l, r);
		at += r->len;
	}
	free(buf);
	return ret;
}

static int read_all(int fd, size_t room, struct names *l)
{
	int ret;

	do {
		ret = read_some(fd, room, l);
	} while (ret > 0);
	return ret;
}

static int by_text(const void *a, const void *b)
{
	const struct name *const *x = a, *const *y = b;

	return strcmp((*x)->text, (*y)->text);
}

/* All names in order, each with its type and an end. */
static void tell_names(const struct names *l, struct outcome *o)
{
	const struct name **sorted = dop_alloc((l->n + 1) * sizeof(*sorted));
	char *text = dop_alloc(l->n * 260);
	size_t i, used = 0;

	for (i = 0; i < l->n; i++)
		sorted[i] = &l->at[i];
	qsort(sorted, l->n, sizeof(*sorted), by_text);
	for (i = 0; i < l->n; i++) {
		size_t len = strlen(sorted[i]->text);

		memcpy(text + used, sorted[i]->text, len);
		text[used + len] = '/';
		text[used + len + 1] = (char)('0' + sorted[i]->type);
		text[used + len + 2] = ' ';
		used += len + 3;
	}
	out_num(o, "count", l->n);
	out_bytes(o, "names", text, used);
	free(text);
	free(sorted);
}

/* Is what comes after the @k-th cookie what came after it the first time? */
static bool same_rest(int fd, size_t room, const struct names *all, size_t k)
{
	struct names *rest = dop_alloc(sizeof(*rest));
	bool same;
	size_t i;

	same = lseek(fd, (off_t)all->at[k].next, SEEK_SET) >= 0 &&
			read_all(fd, room, rest) == 0 &&
			rest->n == all->n - k - 1;
	for (i = 0; same && i < rest->n; i++)
		same = strcmp(rest->at[i].text, all->at[k + 1 + i].text) == 0;
	names_clear(rest);
	free(rest);
	return same;
}

static int open_dir(struct side *s, const struct dop *op, struct outcome *o)
{
	int fd = openat(side_dir(s, op->d), op->p,
			O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		o->err = errno;
	return fd;
}

static size_t room_of(const struct dop *op)
{
	return op->n[0] < 1 || op->n[0] > 1 << 20 ? 32768 : (size_t)op->n[0];
}

void act_readdir(struct side *s, const struct dop *op, struct outcome *o)
{
	struct names *all;
	int fd = open_dir(s, op, o);
	int ret;

	if (fd < 0)
		return;
	all = dop_alloc(sizeof(*all));
	ret = read_all(fd, room_of(op), all);
	if (ret < 0) {
		/* Where too little room is met depends on the order. */
		o->err = -ret;
	} else {
		tell_names(all, o);
		if (all->n > 0)
			out_num(o, "rest",
					same_rest(fd, 32768, all,
							(size_t)op->n[1] %
									all->n));
	}
	names_clear(all);
	free(all);
	(void)close(fd);
}

/* ---- while names come and go ---- */

static size_t count(const struct names *l, const char *name)
{
	size_t i, n = 0;

	for (i = 0; i < l->n; i++)
		n += strcmp(l->at[i].text, name) == 0;
	return n;
}

/* The @k-th of the names in order that is not a dot. */
static const char *pick(const struct names *l, size_t k)
{
	const struct name **sorted = dop_alloc((l->n + 1) * sizeof(*sorted));
	const char *name = NULL;
	size_t i, n = 0;

	for (i = 0; i < l->n; i++) {
		if (strcmp(l->at[i].text, ".") != 0 &&
				strcmp(l->at[i].text, "..") != 0)
			sorted[n++] = &l->at[i];
	}
	qsort(sorted, n, sizeof(*sorted), by_text);
	if (n > 0)
		name = sorted[k % n]->text;
	free(sorted);
	return name;
}

static void make_and_drop(
		int fd, const char *drop, const char *make, struct outcome *o)
{
	int made = openat(fd, make, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	out_num(o, "make", made < 0 ? (uint64_t)errno : 0);
	if (made >= 0)
		(void)close(made);
	if (drop)
		out_num(o, "drop",
				unlinkat(fd, drop, 0) < 0 ? (uint64_t)errno
							  : 0);
}

void act_dirhold(struct side *s, const struct dop *op, struct outcome *o)
{
	struct names *before, *seen;
	const char *drop, *make = "held";
	int fd = open_dir(s, op, o);
	bool once = true;
	int ret;
	size_t i;

	if (fd < 0)
		return;
	before = dop_alloc(sizeof(*before));
	seen = dop_alloc(sizeof(*seen));
	(void)read_all(fd, 32768, before);
	(void)lseek(fd, 0, SEEK_SET);
	drop = pick(before, (size_t)op->n[1]);
	ret = read_some(fd, room_of(op), seen);
	make_and_drop(fd, drop, make, o);
	if (ret >= 0)
		ret = read_all(fd, room_of(op), seen);
	for (i = 0; ret == 0 && i < before->n; i++) {
		if (!drop ||
				(strcmp(before->at[i].text, drop) != 0 &&
						strcmp(before->at[i].text,
								make) != 0))
			once &= count(seen, before->at[i].text) == 1;
	}
	if (ret == 0)
		out_num(o, "once", once);
	(void)unlinkat(fd, make, 0);
	names_clear(before);
	names_clear(seen);
	free(before);
	free(seen);
	(void)close(fd);
}
