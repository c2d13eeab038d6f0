/* SPDX-License-Identifier: MIT */
/* Programs on both sides: see run.h. */
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "breaks.h"
#include "sparse.h"
#include "trees.h"

void run_init(struct run *r, const char *dir_a, const char *dir_b, bool strict)
{
	memset(r, 0, sizeof(*r));
	side_open(&r->a, "first", dir_a);
	side_open(&r->b, "second", dir_b);
	judge_init(&r->judge, strict);
	out_init(&r->oa);
	out_init(&r->ob);
}

void run_fini(struct run *r)
{
	side_leave();
	while (r->ndone > 0)
		dop_fini(&r->done[--r->ndone]);
	free(r->done);
	out_fini(&r->oa);
	out_fini(&r->ob);
	judge_fini(&r->judge);
	side_close(&r->a);
	side_close(&r->b);
}

static void keep(struct run *r, struct dop *op)
{
	if (r->ndone == r->room) {
		r->room = r->room ? 2 * r->room : 1024;
		r->done = realloc(r->done, r->room * sizeof(*r->done));
		if (!r->done)
			abort();
	}
	r->done[r->ndone++] = *op;
}

/* ---- one call ---- */

static void on_a(struct run *r, const struct dop *op)
{
	side_run(&r->a, op, &r->oa);
}

static void on_b(struct run *r, const struct dop *op)
{
	breaks_run(&r->b, op, &r->ob, r->ndone);
}

/* Of a write that we refuse the kernel in front of us has taken capabilities
 * away by then, and moved the ctime with that: what nobody asks of the kernel's
 * file. */
static void drop_capability_as_we(struct run *r, const struct dop *op)
{
	static const char name[] = "security.capability";
	int a = side_fd(&r->a, op->h), b = side_fd(&r->b, op->h);

	if ((op->kind == DOP_write || op->kind == DOP_pwrite ||
			    op->kind == DOP_fallocate) &&
			a >= 0 && fgetxattr(b, name, NULL, 0) < 0 &&
			errno == ENODATA)
		(void)fremovexattr(a, name);
}

/* With writeback_cache the kernel in front takes what is written to a file that
 * has become immutable or append-only (docs/mount.md). */
static bool taken_in_front(const struct run *r, const struct dop *op)
{
	return r->judge.writeback && r->oa.err == EPERM &&
			(op->kind == DOP_write || op->kind == DOP_pwrite);
}

/* Both, unless one refuses what the list lets it refuse. */
static void on_both(struct run *r, const struct dop *op)
{
	bool we_first = !r->judge.strict && differences_ask_us_first(op);
	int entry = r->judge.strict ? -1 : differences_left_out(op);

	if (entry >= 0) {
		r->oa.not_run = r->ob.not_run = true;
	} else if (we_first) {
		on_b(r, op);
		entry = differences_refusal(DIFF_WE_REFUSE, op, r->ob.err);
		r->oa.not_run = entry >= 0;
		if (entry < 0)
			on_a(r, op);
		else
			drop_capability_as_we(r, op);
	} else {
		on_a(r, op);
		if (!r->judge.strict)
			entry = differences_refusal(
					DIFF_KERNEL_REFUSES, op, r->oa.err);
		r->ob.not_run = entry >= 0 || taken_in_front(r, op);
		if (!r->ob.not_run)
			on_b(r, op);
	}
	if (entry >= 0)
		judge_met(&r->judge, entry);
}

/* Deleting goes on after close() has returned; it need not be over at once. */
static void settle(struct run *r, const struct dop *op)
{
	const struct timespec nap = { .tv_nsec = 20000000 };
	int tries;

	for (tries = 0; tries < 20; tries++) {
		unsigned i;

		out_clear(&r->oa);
		out_clear(&r->ob);
		on_a(r, op);
		on_b(r, op);
		for (i = 0; i < r->oa.n && i < r->ob.n; i++) {
			if (!out_same_field(&r->oa.f[i], &r->ob.f[i]))
				break;
		}
		if (i == r->oa.n)
			return;
		(void)nanosleep(&nap, NULL);
	}
}

static void empty_slot(struct side *s, int slot)
{
	if (s->fd[slot] >= 0)
		(void)close(s->fd[slot]);
	s->fd[slot] = -1;
}

static bool has_extents(int fd)
{
	unsigned flags;

	return ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0 ||
			(flags & FS_EXTENT_FL) != 0;
}

/* What is now in the slot that the call was about. */
static void learn_slot(struct run *r, const struct dop *op)
{
	struct side_slot *slot;
	struct stat st;

	if (op->kind != DOP_open && op->kind != DOP_close)
		return;
	slot = &side_slots[op->h];
	*slot = (struct side_slot){ 0 };
	if (r->a.fd[op->h] < 0 || r->b.fd[op->h] < 0) {
		empty_slot(&r->a, op->h);
		empty_slot(&r->b, op->h);
		return;
	}
	if (fstat(r->a.fd[op->h], &st) == 0)
		*slot = (struct side_slot){ .flags = (int)op->n[0],
			.extents = has_extents(r->a.fd[op->h]),
			.type = st.st_mode & S_IFMT };
}

static void look_before(struct run *r, const struct dop *op)
{
	watch_before(&r->a, op, &r->wa);
	watch_before(&r->b, op, &r->wb);
	if (op->watch < 2)
		return;
	watch_tick(&r->wa, &r->wb);
	watch_before(&r->a, op, &r->wa);
	watch_before(&r->b, op, &r->wb);
}

bool run_call(struct run *r, struct dop *op)
{
	out_clear(&r->oa);
	out_clear(&r->ob);
	if (op->watch)
		look_before(r, op);
	if (op->kind == DOP_settle)
		settle(r, op);
	else
		on_both(r, op);
	keep(r, op);
	learn_slot(r, op);
	if (r->oa.not_run || r->ob.not_run)
		return true;
	r->succeeded += r->oa.err == 0;
	if (op->watch) {
		watch_after(&r->a, op, &r->wa);
		watch_after(&r->b, op, &r->wb);
		watch_tell(op, &r->a, &r->wa, &r->oa, &r->b, &r->wb, &r->ob);
	}
	r->judge.closer = sparse_is_seek(op) &&
			sparse_is_closer(&r->b, op, &r->oa, &r->ob);
	return judge_same(&r->judge, op, op->p, &r->oa, &r->ob);
}

/* ---- the end ---- */

bool run_end(struct run *r)
{
	struct dop op;
	unsigned i;
	bool same;

	side_close_slots(&r->a);
	side_close_slots(&r->b);
	for (i = 0; i < SIDE_SLOTS; i++)
		side_slots[i] = (struct side_slot){ 0 };
	dop_init(&op, DOP_settle);
	same = run_call(r, &op);
	r->ndone--; /* is no part of the program */
	side_leave();
	trees_compare(&r->judge, &r->a, &r->b);
	return same && r->judge.wrong == 0;
}
