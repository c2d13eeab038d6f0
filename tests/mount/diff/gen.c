/* SPDX-License-Identifier: MIT */
/* Which call comes next, and what it teaches: see gen.h. */
#include "gen.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "side.h"
#include "trees.h"

void gen_init(struct gen *g, uint64_t seed)
{
	*g = (struct gen){
		.rnd = seed,
		.block_size = 4096,
	};
}

void gen_fini(struct gen *g)
{
	while (g->npool > 0)
		free(g->pool[--g->npool].path);
}

uint64_t gen_below(struct gen *g, uint64_t n)
{
	uint64_t x;

	/* splitmix64 */
	g->rnd += 0x9e3779b97f4a7c15u;
	x = g->rnd;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	x ^= x >> 31;
	return n ? x % n : 0;
}

bool gen_chance(struct gen *g, unsigned percent)
{
	return gen_below(g, 100) < percent;
}

/* ---- what comes next ---- */

/* How often, of about a thousand. */
static const unsigned short weights[DOP_KINDS_END] = {
	[DOP_open] = 110,
	[DOP_close] = 25,
	[DOP_read] = 25,
	[DOP_pread] = 45,
	[DOP_write] = 40,
	[DOP_pwrite] = 60,
	[DOP_seek] = 40,
	[DOP_truncate] = 15,
	[DOP_ftruncate] = 25,
	[DOP_fallocate] = 40,
	[DOP_copy] = 15,
	[DOP_fsync] = 4,
	[DOP_fdatasync] = 4,
	[DOP_mapread] = 8,
	[DOP_mapstore] = 8,
	[DOP_stat] = 35,
	[DOP_fstat] = 20,
	[DOP_statx] = 8,
	[DOP_access] = 20,
	[DOP_chmod] = 35,
	[DOP_fchmod] = 8,
	[DOP_chown] = 20,
	[DOP_fchown] = 6,
	[DOP_utimens] = 20,
	[DOP_futimens] = 6,
	[DOP_mkdir] = 40,
	[DOP_rmdir] = 25,
	[DOP_unlink] = 55,
	[DOP_rename] = 60,
	[DOP_link] = 25,
	[DOP_linkh] = 5,
	[DOP_symlink] = 25,
	[DOP_readlink] = 12,
	[DOP_mknod] = 20,
	[DOP_readdir] = 20,
	[DOP_dirhold] = 4,
	[DOP_many] = 3,
	[DOP_fewer] = 3,
	[DOP_statfs] = 3,
	[DOP_setxattr] = 45,
	[DOP_getxattr] = 25,
	[DOP_listxattr] = 12,
	[DOP_removexattr] = 15,
	[DOP_ioctl] = 20,
	[DOP_flags] = 12,
	[DOP_umask] = 5,
};

static enum dop_kind any_kind(struct gen *g)
{
	static unsigned sum;
	unsigned k, at;

	if (sum == 0) {
		for (k = 0; k < DOP_KINDS_END; k++)
			sum += weights[k];
	}
	at = (unsigned)gen_below(g, sum);
	for (k = 0; at >= weights[k]; k++)
		at -= weights[k];
	return (enum dop_kind)k;
}

/* What certainly needs no block, or certainly more than there are. */
static enum dop_kind kind_when_full(struct gen *g)
{
	static const enum dop_kind kinds[] = { DOP_stat, DOP_fstat, DOP_pread,
		DOP_read, DOP_seek, DOP_access, DOP_chmod, DOP_utimens,
		DOP_readdir, DOP_readlink, DOP_statfs, DOP_getxattr,
		DOP_listxattr, DOP_burst, DOP_burst, DOP_close };

	return GEN_PICK(g, kinds);
}

static void fill_or_empty(struct gen *g, struct dop *op)
{
	if (g->filled == 0) {
		dop_init(op, DOP_fill);
		op->p = dop_text("/" TREES_FILLER);
		g->filled = 60;
		return;
	}
	dop_init(op, DOP_unlink);
	op->p = dop_text("/" TREES_FILLER);
	g->filled = 0;
	g->emptied = true;
}

static void any_user(struct gen *g, struct dop *op)
{
	op->user = gen_chance(g, 55) ? 0 : 1 + (unsigned)gen_below(g, 2);
	if (gen_chance(g, 50))
		op->watch = gen_chance(g, 4) ? 2 : 1;
}

/* Is it about more than one's own directory? */
static bool is_of_all(const struct dop *op)
{
	return op->kind == DOP_ioctl && (op->n[0] == 5 || op->n[0] == 6);
}

void gen_next(struct gen *g, struct dop *ret_op)
{
	g->count++;
	/* Its blocks come back when it is forgotten, which may be later. */
	if ((g->count % 1500 == 0 && g->filled == 0) || g->emptied) {
		g->emptied = false;
		dop_init(ret_op, DOP_settle);
		return;
	}
	if (g->full && (g->filled == 1 || g->count % 400 == 399)) {
		fill_or_empty(g, ret_op);
		return;
	}
	if (g->filled > 1) {
		g->filled--;
		dop_init(ret_op, kind_when_full(g));
	} else {
		dop_init(ret_op, any_kind(g));
	}
	any_user(g, ret_op);
	gen_args(g, ret_op);
	if (side_shared && is_of_all(ret_op)) {
		dop_fini(ret_op);
		dop_init(ret_op, DOP_umask);
		gen_args(g, ret_op);
	}
}

/* ---- what it teaches ---- */

static char type_of(mode_t mode)
{
	if (S_ISDIR(mode))
		return 'd';
	if (S_ISLNK(mode))
		return 'l';
	return S_ISREG(mode) ? 'f' : 's';
}

/* The mode that the outcome tells of. */
static char told_type(const struct outcome *o)
{
	unsigned i;

	for (i = 0; i < o->n; i++) {
		if (strcmp(o->f[i].name, "mode") == 0)
			return type_of((mode_t)o->f[i].value);
	}
	return 'f';
}

void gen_learn(struct gen *g, const struct dop *op, const struct outcome *o)
{
	bool here = op->d < 0 && op->e < 0;

	if (o->not_run || !here || (o->err != 0 && !(op->kind == DOP_many)))
		return;
	switch (op->kind) {
	case DOP_open:
		if ((op->n[0] & O_CREAT) && (op->n[0] & O_TMPFILE) != O_TMPFILE)
			gen_made(g, op->p, told_type(o));
		break;
	case DOP_mkdir:
	case DOP_symlink:
	case DOP_mknod:
		gen_made(g, op->p, told_type(o));
		break;
	case DOP_link:
	case DOP_linkh:
		gen_made(g, op->q, told_type(o));
		break;
	case DOP_unlink:
	case DOP_rmdir:
		gen_gone(g, op->p);
		break;
	case DOP_rename:
		gen_moved(g, op->p, op->q, (op->n[0] & RENAME_EXCHANGE) != 0);
		break;
	case DOP_flags:
		gen_froze(g, op->p,
				(op->n[0] & ~op->n[1] &
						(FS_IMMUTABLE_FL |
								FS_APPEND_FL)) !=
						0);
		break;
	default:
		break;
	}
}
