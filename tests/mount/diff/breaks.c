/* SPDX-License-Identifier: MIT */
/* Faults put on: see breaks.h. */
#include "breaks.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define FIRST_CALL 200u /* something is there to be damaged by then */

struct a_break {
	const char *name;
	enum dop_kind kind;
	/* Change the call before it is made; true: do not make it. */
	bool (*before)(struct side *s, struct dop *op, struct outcome *o);
	void (*after)(struct side *s, const struct dop *op, struct outcome *o);
};

/* One byte of what was written is another. */
static bool other_byte(struct side *s, struct dop *op, struct outcome *o)
{
	op->n[2]++;
	return false;
}

/* The last byte does not arrive, and nobody says so. */
static void short_write(struct side *s, const struct dop *op, struct outcome *o)
{
	struct stat st;
	int fd = side_fd(s, op->h);

	if (o->err == 0 && fstat(fd, &st) == 0 &&
			st.st_size == op->n[0] + op->n[1])
		(void)ftruncate(fd, st.st_size - 1);
}

static bool lost_rename(struct side *s, struct dop *op, struct outcome *o)
{
	out_num(o, "ret", 0);
	return true;
}

static bool wrong_mode(struct side *s, struct dop *op, struct outcome *o)
{
	op->n[0] ^= 1;
	return false;
}

static void wrong_errno(struct side *s, const struct dop *op, struct outcome *o)
{
	if (o->err == ENOENT)
		o->err = ENOTDIR;
}

static bool nanosecond(struct side *s, struct dop *op, struct outcome *o)
{
	if (op->n[3] >= 0 && op->n[3] < 999999999)
		op->n[3] += op->n[3] % 2 ? 1
					 : -(op->n[3] > 0) + (op->n[3] == 0);
	return false;
}

/* ctime and mtime of the directory stay as they were: set it back. */
static void quiet_unlink(
		struct side *s, const struct dop *op, struct outcome *o)
{
	const struct timespec old[2] = { { .tv_nsec = UTIME_OMIT },
		{ .tv_sec = 1000000000 } };

	if (o->err == 0)
		(void)utimensat(AT_FDCWD, ".", old, 0);
}

static bool xattr_byte(struct side *s, struct dop *op, struct outcome *o)
{
	if (op->nx > 0)
		op->x[op->nx - 1] ^= 1;
	return false;
}

static bool forgotten_group(struct side *s, struct dop *op, struct outcome *o)
{
	op->n[1] = -1;
	return false;
}

static bool may_all(struct side *s, struct dop *op, struct outcome *o)
{
	side_as_root();
	return false;
}

static bool no_hole(struct side *s, struct dop *op, struct outcome *o)
{
	op->n[0] |= FALLOC_FL_ZERO_RANGE *
			((op->n[0] & FALLOC_FL_PUNCH_HOLE) != 0);
	op->n[0] &= ~FALLOC_FL_PUNCH_HOLE;
	return false;
}

static const struct a_break breaks[] = {
	{ "other-byte", DOP_pwrite, other_byte, NULL },
	{ "short-write", DOP_pwrite, NULL, short_write },
	{ "lost-rename", DOP_rename, lost_rename, NULL },
	{ "wrong-mode", DOP_chmod, wrong_mode, NULL },
	{ "wrong-errno", DOP_unlink, NULL, wrong_errno },
	{ "nanosecond", DOP_utimens, nanosecond, NULL },
	{ "quiet-unlink", DOP_unlink, NULL, quiet_unlink },
	{ "xattr-byte", DOP_setxattr, xattr_byte, NULL },
	{ "forgotten-group", DOP_chown, forgotten_group, NULL },
	{ "may-all", DOP_open, may_all, NULL },
	{ "no-hole", DOP_fallocate, no_hole, NULL },
};
#define NBREAKS (sizeof(breaks) / sizeof(breaks[0]))

static const struct a_break *chosen;

void breaks_choose(const char *name)
{
	size_t i;

	for (i = 0; name && i < NBREAKS; i++) {
		if (strcmp(breaks[i].name, name) == 0)
			chosen = &breaks[i];
	}
	if (name && !chosen) {
		fprintf(stderr, "mount_diff: no fault is called %s\n", name);
		exit(2);
	}
}

void breaks_list(FILE *to)
{
	size_t i;

	for (i = 0; i < NBREAKS; i++)
		fprintf(to, "%s\n", breaks[i].name);
}

/* may_all() takes effect only where the caller's rights are given up already,
 * so the call is made here. */
static void run_as_root(struct side *s, struct dop *op, struct outcome *o)
{
	op->user = 0;
	side_run(s, op, o);
}

void breaks_run(struct side *s, const struct dop *op, struct outcome *o,
		unsigned long n)
{
	struct dop changed;
	bool instead = false;

	if (!chosen || n < FIRST_CALL || op->kind != chosen->kind) {
		side_run(s, op, o);
		return;
	}
	dop_copy(op, &changed);
	if (chosen->before)
		instead = chosen->before(s, &changed, o);
	if (chosen->before == may_all)
		run_as_root(s, &changed, o);
	else if (!instead)
		side_run(s, &changed, o);
	if (chosen->after)
		chosen->after(s, op, o);
	dop_fini(&changed);
}
