/* SPDX-License-Identifier: MIT */
/* Which attributes and times a call changed: see watch.h. */
#include "watch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Objects of a call, always in these places. */
enum {
	P,
	P_DIR,
	Q,
	Q_DIR,
	H,
	G,
	P_TO
};

static const char *const fields[WATCH_OBJECTS][10] = {
#define F(o)                                                                   \
 {                                                                             \
  o ".there", o ".mode", o ".nlink", o ".uid", o ".gid", o ".size",            \
		  o ".dir_size", o ".atime_moved", o ".mtime_moved",           \
		  o ".ctime_moved"                                             \
 }
	F("p"),
	F("p_dir"),
	F("q"),
	F("q_dir"),
	F("h"),
	F("g"),
	F("p_to"),
#undef F
};

/* ---- looking ---- */

static int look_at(int dir, const char *path, int how, struct stat *ret_st)
{
	return fstatat(dir, path, ret_st, how) < 0 ? errno : 0;
}

/* The directory that the last part of @path is a name in. */
static int look_at_dir(int dir, const char *path, struct stat *ret_st)
{
	char text[PATH_MAX];
	size_t len = strlen(path);

	if (len == 0 || len >= sizeof(text))
		return ENAMETOOLONG;
	memcpy(text, path, len + 1);
	while (len > 0 && text[len - 1] == '/')
		len--;
	while (len > 0 && text[len - 1] != '/')
		len--;
	if (len == 0)
		return look_at(dir, ".", 0, ret_st);
	text[len] = '\0';
	return look_at(dir, text, 0, ret_st);
}

/* Following a symlink is a read of it, that can move its atime: what a call
 * finds is looked at after that, and what it leaves before. */
static void look_followed(const struct side *s, const struct dop *op,
		struct stat *st, int *err)
{
	if (op->p)
		err[P_TO] = look_at(side_dir(s, op->d), op->p, 0, &st[P_TO]);
}

static void look(const struct side *s, const struct dop *op, struct stat *st,
		int *err)
{
	int d = side_dir(s, op->d), e = side_dir(s, op->e);

	if (op->p) {
		err[P] = look_at(d, op->p, AT_SYMLINK_NOFOLLOW, &st[P]);
		err[P_DIR] = look_at_dir(d, op->p, &st[P_DIR]);
	}
	if (op->q &&
			(op->kind == DOP_rename || op->kind == DOP_link ||
					op->kind == DOP_linkh)) {
		err[Q] = look_at(e, op->q, AT_SYMLINK_NOFOLLOW, &st[Q]);
		err[Q_DIR] = look_at_dir(e, op->q, &st[Q_DIR]);
	}
	if (op->h >= 0 && op->kind != DOP_open)
		err[H] = fstat(side_fd(s, op->h), &st[H]) < 0 ? errno : 0;
	if (op->g >= 0)
		err[G] = fstat(side_fd(s, op->g), &st[G]) < 0 ? errno : 0;
}

static void no_objects(int *err)
{
	int i;

	for (i = 0; i < WATCH_OBJECTS; i++)
		err[i] = ESRCH; /* the call has no such object */
}

void watch_before(const struct side *s, const struct dop *op, struct watch *w)
{
	side_enter(s);
	no_objects(w->err_before);
	look_followed(s, op, w->before, w->err_before);
	look(s, op, w->before, w->err_before);
	(void)clock_gettime(CLOCK_REALTIME_COARSE, &w->begin);
}

void watch_after(const struct side *s, const struct dop *op, struct watch *w)
{
	side_enter(s);
	no_objects(w->err_after);
	look(s, op, w->after, w->err_after);
	look_followed(s, op, w->after, w->err_after);
}

/* ---- the clock ---- */

static int cmp_time(const struct timespec *a, const struct timespec *b)
{
	if (a->tv_sec != b->tv_sec)
		return a->tv_sec < b->tv_sec ? -1 : 1;
	return a->tv_nsec < b->tv_nsec ? -1 : a->tv_nsec > b->tv_nsec;
}

static bool is_fresh(const struct watch *w, const struct timespec *now)
{
	int i;

	for (i = 0; i < WATCH_OBJECTS; i++) {
		if (w->err_before[i] == 0 &&
				cmp_time(&w->before[i].st_ctim, now) >= 0)
			return true;
	}
	return false;
}

void watch_tick(const struct watch *a, const struct watch *b)
{
	const struct timespec nap = { .tv_nsec = 200000 };
	struct timespec now;
	int tries;

	for (tries = 0; tries < 200; tries++) {
		(void)clock_gettime(CLOCK_REALTIME_COARSE, &now);
		if (!is_fresh(a, &now) && !is_fresh(b, &now))
			return;
		(void)nanosleep(&nap, NULL);
	}
}

/* ---- telling ---- */

enum moved {
	STAYED,
	MOVED,
	UNKNOWN
};

static enum moved moved(const struct side *s, const struct watch *w,
		const struct timespec *before, const struct timespec *after)
{
	struct timespec tick = w->begin;

	if (cmp_time(before, after) != 0)
		return MOVED;
	if (s->grain > 1)
		tick.tv_nsec = 0;
	return cmp_time(before, &tick) >= 0 ? UNKNOWN : STAYED;
}

/* The inode that @i is after the call, as it was before; NULL if it is new to
 * us. */
static const struct stat *as_it_was(const struct watch *w, int i)
{
	int k;

	for (k = 0; k < WATCH_OBJECTS; k++) {
		if (w->err_before[k] == 0 &&
				w->before[k].st_ino == w->after[i].st_ino)
			return &w->before[k];
	}
	return NULL;
}

/* Would a read move the atime? It does where it is not newer than the others,
 * and after a day. */
static bool read_moves(const struct watch *w, const struct stat *st)
{
	return cmp_time(&st->st_mtim, &st->st_atim) >= 0 ||
			cmp_time(&st->st_ctim, &st->st_atim) >= 0 ||
			w->begin.tv_sec - st->st_atim.tv_sec >= 24 * 3600;
}

static void tell_moved(const char *name, enum moved a, enum moved b,
		struct outcome *oa, struct outcome *ob)
{
	if (a == UNKNOWN || b == UNKNOWN)
		return;
	out_num(oa, name, a);
	out_num(ob, name, b);
}

static void tell_attrs(const struct watch *w, int i, struct outcome *o)
{
	const char *const *f = fields[i];
	const struct stat *st = &w->after[i];

	out_num(o, f[0], (uint64_t)w->err_after[i]);
	if (w->err_after[i] != 0)
		return;
	out_num(o, f[1], st->st_mode);
	out_num(o, f[2], st->st_nlink);
	out_num(o, f[3], st->st_uid);
	out_num(o, f[4], st->st_gid);
	out_num(o, S_ISDIR(st->st_mode) ? f[6] : f[5], (uint64_t)st->st_size);
}

void watch_tell(const struct dop *op, const struct side *sa,
		const struct watch *a, struct outcome *oa,
		const struct side *sb, const struct watch *b,
		struct outcome *ob)
{
	int i;

	for (i = 0; i < WATCH_OBJECTS; i++) {
		const struct stat *wa, *wb, *na = &a->after[i],
					    *nb = &b->after[i];

		tell_attrs(a, i, oa);
		tell_attrs(b, i, ob);
		if (a->err_after[i] != 0 || b->err_after[i] != 0)
			continue;
		wa = as_it_was(a, i);
		wb = as_it_was(b, i);
		if (!wa || !wb)
			continue;
		/* Within a tick the order of times is not the same. */
		if (read_moves(a, wa) == read_moves(b, wb))
			tell_moved(fields[i][7],
					moved(sa, a, &wa->st_atim,
							&na->st_atim),
					moved(sb, b, &wb->st_atim,
							&nb->st_atim),
					oa, ob);
		tell_moved(fields[i][8],
				moved(sa, a, &wa->st_mtim, &na->st_mtim),
				moved(sb, b, &wb->st_mtim, &nb->st_mtim), oa,
				ob);
		tell_moved(fields[i][9],
				moved(sa, a, &wa->st_ctim, &na->st_ctim),
				moved(sb, b, &wb->st_ctim, &nb->st_ctim), oa,
				ob);
	}
}
