/* SPDX-License-Identifier: MIT */
/* The parts of a call, by its kind: see gen.h. */
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/stat.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "gen.h"
#include "gen_xattr.h"
#include "side.h"

int gen_slot(struct gen *g, char type)
{
	int tries;

	for (tries = 0; tries < 24 && !gen_chance(g, 3); tries++) {
		int i = (int)gen_below(g, SIDE_SLOTS);
		mode_t t = side_slots[i].type;

		if (t != 0 && (type == 0 || (type == 'd') == S_ISDIR(t)))
			return i;
	}
	return (int)gen_below(g, SIDE_SLOTS);
}

static int any_dir_slot(struct gen *g)
{
	return gen_chance(g, 4) ? gen_slot(g, 'd') : -1;
}

/* ---- numbers ---- */

static int64_t any_pos(struct gen *g)
{
	uint64_t b = g->block_size;

	switch (gen_below(g, 12)) {
	case 0:
	case 1:
		return 0;
	case 2:
	case 3:
		return (int64_t)(b * gen_below(g, 64));
	case 4:
		return (int64_t)(b * gen_below(g, 64) + gen_below(g, 3)) - 1;
	case 5:
		return (int64_t)gen_below(g, 1 << 12);
	case 6:
		return (int64_t)gen_below(g, 1 << 24);
	case 7:
		return (int64_t)(512 * gen_below(g, 512));
	case 8:
		return gen_chance(g, 30)
				? (int64_t)(g->max_size - gen_below(g, 3 * b))
				: (int64_t)gen_below(g, 1 << 20);
	default:
		return (int64_t)gen_below(g, 1 << 17);
	}
}

/* Also where nothing can be. */
static int64_t any_pos_or_none(struct gen *g)
{
	const int64_t none[] = { -1, INT64_MAX, INT64_MAX - 4096,
		(int64_t)g->max_size, (int64_t)g->max_size + 1,
		(int64_t)g->max_size - 1, 1ll << 40 };

	return !g->writeback && gen_chance(g, 4) ? GEN_PICK(g, none)
						 : any_pos(g);
}

static int64_t any_len(struct gen *g)
{
	uint64_t b = g->block_size;

	switch (gen_below(g, 8)) {
	case 0:
		return gen_chance(g, 30) ? 0 : 1;
	case 1:
	case 2:
		return (int64_t)(b * (1 + gen_below(g, 8)));
	case 3:
		return (int64_t)gen_below(g, 1 << 16);
	case 4:
		return gen_chance(g, 10) ? (int64_t)gen_below(g, 1 << 20)
					 : (int64_t)(512 * gen_below(g, 32));
	default:
		return (int64_t)gen_below(g, 9000);
	}
}

static int64_t any_mode(struct gen *g)
{
	static const unsigned modes[] = { 0755, 0700, 0777, 0777, 0777, 01777,
		02775, 02777, 04755, 0644, 0666, 0666, 0660, 06777, 0, 0444,
		02755, 0600, 01755 };

	return GEN_PICK(g, modes);
}

static int64_t any_id(struct gen *g)
{
	static const int64_t ids[] = { -1, -1, 0, 1001, 1002, 2000, 2001, 70000,
		4294967294 };

	return GEN_PICK(g, ids);
}

static void any_time(struct gen *g, int64_t *ret_t)
{
	static const int64_t secs[] = { 0, 1, 1000000000, 2147483647,
		2147483648, 4294967295, 4294967296, 6442450943, 8589934592,
		15032385535, 15032385536, 99999999999, -1, -2147483648,
		-2147483649, -99999999999 };

	ret_t[0] = GEN_PICK(g, secs);
	ret_t[1] = (int64_t)gen_below(g, 1000000000);
	if (gen_chance(g, 25))
		ret_t[1] = UTIME_NOW;
	else if (gen_chance(g, 25))
		ret_t[1] = UTIME_OMIT;
	else if (gen_chance(g, 4))
		ret_t[1] = gen_chance(g, 50) ? -1 : 1000000000;
}

/* ---- by kind ---- */

static int64_t any_open_flags(struct gen *g)
{
	static const struct {
		int flag;
		unsigned percent;
	} more[] = {
		{ O_CREAT, 55 },
		{ O_EXCL, 8 },
		{ O_TRUNC, 10 },
		{ O_APPEND, 12 },
		{ O_DIRECT, 18 },
		{ O_DSYNC, 1 },
		{ O_SYNC, 1 },
		{ O_NOFOLLOW, 8 },
		{ O_DIRECTORY, 6 },
		{ O_NOATIME, 5 },
		{ O_PATH, 3 },
	};
	int flags = (int)(gen_chance(g, 65) ? 2 : gen_below(g, 4));
	size_t i;

	for (i = 0; i < sizeof(more) / sizeof(more[0]); i++) {
		if (gen_chance(g, more[i].percent))
			flags |= more[i].flag;
	}
	if (gen_chance(g, 3))
		flags = (flags & ~(O_CREAT | O_DIRECTORY | O_PATH)) | O_TMPFILE;
	return flags;
}

static void args_open(struct gen *g, struct dop *op)
{
	op->h = (int)gen_below(g, SIDE_SLOTS);
	op->d = any_dir_slot(g);
	op->n[0] = any_open_flags(g);
	op->n[1] = any_mode(g) & 07777;
	if ((op->n[0] & O_TMPFILE) == O_TMPFILE || gen_chance(g, 12)) {
		op->p = gen_old(g, "d");
		if ((op->n[0] & O_TMPFILE) != O_TMPFILE && gen_chance(g, 80))
			op->n[0] = O_RDONLY | O_DIRECTORY;
	} else {
		op->p = gen_chance(g, 60) ? gen_old(g, "fffl") : gen_fresh(g);
	}
}

/* The first numbers of reads and writes end at @op->n[at]. */
static void args_buffer(struct gen *g, struct dop *op, int at)
{
	bool direct = side_slots[op->h].flags & O_DIRECT;

	if (direct && gen_chance(g, 85)) {
		/* Mostly as a direct handle wants it. */
		if (at == 1 || at == 2)
			op->n[0] = op->n[0] & ~4095ll;
		op->n[op->kind == DOP_pread || op->kind == DOP_pwrite] =
				(int64_t)(4096 * gen_below(g, 17));
		return;
	}
	if (direct && op->kind == DOP_read)
		return;
	if (gen_chance(g, 30))
		op->n[at] = (int64_t)(gen_chance(g, 50)
						? gen_below(g, 4096)
						: 512 * gen_below(g, 8));
	if (gen_chance(g, 20))
		op->n[at + 1] = 2 + (int64_t)gen_below(g, 3);
}

static void args_data(struct gen *g, struct dop *op)
{
	op->h = gen_slot(g, 'f');
	switch (op->kind) {
	case DOP_read:
		op->n[0] = any_len(g);
		args_buffer(g, op, 1);
		break;
	case DOP_write:
		op->n[0] = any_len(g);
		op->n[1] = 1 + (int64_t)gen_below(g, 250);
		args_buffer(g, op, 2);
		break;
	case DOP_pread:
		op->n[0] = any_pos_or_none(g);
		op->n[1] = any_len(g);
		args_buffer(g, op, 2);
		break;
	case DOP_pwrite:
		op->n[0] = any_pos_or_none(g);
		op->n[1] = any_len(g);
		op->n[2] = 1 + (int64_t)gen_below(g, 250);
		args_buffer(g, op, 3);
		break;
	default: /* maps */
		op->n[0] = (int64_t)gen_below(g, 1 << 16);
		op->n[1] = any_len(g) & 0xffff;
		op->n[2] = 1 + (int64_t)gen_below(g, 250);
	}
}

static void args_space(struct gen *g, struct dop *op)
{
	static const int modes[] = { 0, FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_ZERO_RANGE,
		FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_PUNCH_HOLE, FALLOC_FL_COLLAPSE_RANGE,
		FALLOC_FL_INSERT_RANGE, 0x1000 };
	static const int whences[] = { SEEK_SET, SEEK_CUR, SEEK_END, SEEK_DATA,
		SEEK_HOLE, SEEK_DATA, SEEK_HOLE, SEEK_DATA, SEEK_HOLE, 9 };

	op->h = gen_slot(g, 'f');
	switch (op->kind) {
	case DOP_seek:
		op->n[0] = any_pos_or_none(g);
		op->n[1] = GEN_PICK(g, whences);
		/* A directory's positions are cookies. */
		if (S_ISDIR(side_slots[op->h].type))
			op->n[0] = op->n[1] = 0;
		break;
	case DOP_ftruncate:
		op->n[0] = any_pos_or_none(g);
		break;
	case DOP_fallocate:
		op->n[0] = GEN_PICK(g, modes);
		op->n[1] = any_pos_or_none(g);
		op->n[2] = any_len(g);
		break;
	default: /* copy */
		op->g = gen_slot(g, 'f');
		op->n[0] = any_pos(g);
		op->n[1] = any_pos(g);
		op->n[2] = any_len(g);
		op->n[3] = gen_chance(g, 80);
	}
}

static void args_attr(struct gen *g, struct dop *op)
{
	static const int access_flags[] = { 0, 0, AT_EACCESS, AT_EACCESS,
		AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH, 1 << 20 };

	op->p = gen_old(g, "dffl");
	op->d = any_dir_slot(g);
	switch (op->kind) {
	case DOP_stat:
	case DOP_statx:
		op->n[0] = gen_chance(g, 40);
		break;
	case DOP_access:
		op->n[0] = (int64_t)gen_below(g, gen_chance(g, 3) ? 16 : 8);
		op->n[1] = GEN_PICK(g, access_flags);
		break;
	case DOP_chmod:
		op->n[0] = any_mode(g);
		break;
	case DOP_chown:
		op->n[0] = any_id(g);
		op->n[1] = any_id(g);
		op->n[2] = gen_chance(g, 40);
		break;
	case DOP_utimens:
		any_time(g, &op->n[0]);
		any_time(g, &op->n[2]);
		op->n[4] = gen_chance(g, 40);
		break;
	default:
		break;
	}
}

static void args_slot_attr(struct gen *g, struct dop *op)
{
	static const unsigned xflags[] = { 0, 0, FS_XFLAG_NODUMP,
		FS_XFLAG_NOATIME, FS_XFLAG_SYNC, FS_XFLAG_REALTIME,
		FS_XFLAG_EXTSIZE };

	op->h = gen_slot(g, 0);
	switch (op->kind) {
	case DOP_fchmod:
		op->n[0] = any_mode(g);
		break;
	case DOP_fchown:
		op->n[0] = any_id(g);
		op->n[1] = any_id(g);
		break;
	case DOP_futimens:
		any_time(g, &op->n[0]);
		any_time(g, &op->n[2]);
		break;
	case DOP_ioctl:
		op->n[0] = (int64_t)gen_below(g, 10);
		if (op->n[0] == 1)
			op->n[1] = (int64_t)(FS_EXTENT_FL * gen_below(g, 2)) |
					(FS_NODUMP_FL *
							(int64_t)gen_below(
									g, 2));
		else
			op->n[1] = GEN_PICK(g, xflags);
		break;
	default: /* fsync, fdatasync, fstat, close */
		break;
	}
}

static void args_name(struct gen *g, struct dop *op)
{
	op->d = any_dir_slot(g);
	switch (op->kind) {
	case DOP_mkdir:
		op->p = gen_fresh(g);
		op->n[0] = gen_chance(g, 70) ? 0777 : any_mode(g);
		break;
	case DOP_rmdir:
		op->p = gen_old(g, "d");
		break;
	case DOP_unlink:
		op->p = gen_old(g, "ffls");
		op->n[0] = gen_chance(g, 2) ? 8 : 0;
		break;
	case DOP_readlink:
		op->p = gen_old(g, "l");
		break;
	case DOP_mknod: {
		static const unsigned types[] = { S_IFIFO, S_IFSOCK, S_IFCHR,
			S_IFBLK, S_IFREG, 0, S_IFDIR, 0170000 };

		op->p = gen_fresh(g);
		op->n[0] = (int64_t)(GEN_PICK(g, types) |
				((unsigned)any_mode(g) & 07777));
		/* Numbers that no driver has: they may be opened. */
		op->n[1] = gen_chance(g, 50) ? 60 : 61;
		op->n[2] = (int64_t)(gen_chance(g, 50) ? gen_below(g, 256)
						       : gen_below(g, 1 << 20));
		break;
	}
	default: { /* symlink */
		static const char *const targets[] = { "a", "d1", "l1", "l2",
			"../a", "nothing", ".", "..", "/t/d1", "/", "d1/l2", "",
			"x/" };

		op->p = gen_fresh(g);
		if (gen_chance(g, 25)) {
			size_t len = 1 +
					gen_below(g,
							gen_chance(g, 20) ? 5000
									  : 90);

			op->q = dop_alloc(len + 1);
			memset(op->q, 'k', len);
		} else {
			op->q = gen_chance(g, 60)
					? dop_text(GEN_PICK(g, targets))
					: gen_old(g, "dfl");
		}
	}
	}
}

static void args_two_names(struct gen *g, struct dop *op)
{
	static const int rename_flags[] = { 0, 0, 0, 0, 0, RENAME_NOREPLACE,
		RENAME_EXCHANGE, RENAME_EXCHANGE, RENAME_WHITEOUT,
		RENAME_NOREPLACE | RENAME_EXCHANGE, 8,
		RENAME_WHITEOUT | RENAME_NOREPLACE };
	static const int link_flags[] = { 0, 0, 0, AT_SYMLINK_FOLLOW,
		AT_EMPTY_PATH, 1 << 20 };

	op->d = any_dir_slot(g);
	op->e = any_dir_slot(g);
	switch (op->kind) {
	case DOP_rename:
		op->p = gen_old(g, "ddffls");
		op->n[0] = GEN_PICK(g, rename_flags);
		op->q = gen_chance(g, (op->n[0] & RENAME_EXCHANGE) ? 85 : 40)
				? gen_old(g, "dfls")
				: gen_fresh(g);
		break;
	case DOP_link:
		op->p = gen_old(g, "fffls");
		op->q = gen_fresh(g);
		op->n[0] = GEN_PICK(g, link_flags);
		break;
	default: /* linkh */
		op->d = -1;
		op->h = gen_slot(g, 'f');
		op->q = gen_fresh(g);
		op->n[0] = gen_chance(g, 50);
	}
}

static void args_dir(struct gen *g, struct dop *op)
{
	static const int rooms[] = { 32768, 32768, 4096, 1024, 300, 288 };

	op->p = gen_chance(g, 20) ? dop_text(".") : gen_old(g, "d");
	op->d = any_dir_slot(g);
	switch (op->kind) {
	case DOP_readdir:
	case DOP_dirhold:
		op->n[0] = GEN_PICK(g, rooms);
		op->n[1] = (int64_t)gen_below(g, 200);
		break;
	case DOP_many:
		op->n[0] = (int64_t)gen_below(g, 100);
		op->n[1] = (int64_t)gen_below(g, gen_chance(g, 5) ? 400 : 40);
		op->n[2] = (int64_t)(gen_below(g, 4) + 16 * gen_below(g, 2));
		break;
	case DOP_fewer:
		op->n[0] = (int64_t)gen_below(g, 50);
		op->n[1] = (int64_t)gen_below(g, 500);
		break;
	default: /* statfs */
		break;
	}
}

static void args_flags(struct gen *g, struct dop *op)
{
	static const unsigned sets[] = { 0, FS_NODUMP_FL, FS_NOATIME_FL,
		FS_APPEND_FL, FS_IMMUTABLE_FL, FS_DIRSYNC_FL, FS_TOPDIR_FL,
		FS_UNRM_FL, FS_SECRM_FL };
	unsigned i, at = (unsigned)gen_below(g, GEN_POOL);

	/* What is frozen is thawed again soon, or all would become so. */
	for (i = 0; i < g->npool; i++) {
		const struct gen_name *n = &g->pool[(at + i) % g->npool];

		if (n->frozen && gen_chance(g, 70)) {
			op->user = 0;
			op->p = dop_text(n->path);
			op->n[1] = FS_APPEND_FL | FS_IMMUTABLE_FL;
			return;
		}
	}
	op->p = gen_old(g, "ddff");
	op->n[0] = GEN_PICK(g, sets);
	op->n[1] = GEN_PICK(g, sets);
}

void gen_args(struct gen *g, struct dop *op)
{
	switch (op->kind) {
	case DOP_open:
		args_open(g, op);
		break;
	case DOP_read:
	case DOP_write:
	case DOP_pread:
	case DOP_pwrite:
	case DOP_mapread:
	case DOP_mapstore:
		args_data(g, op);
		break;
	case DOP_seek:
	case DOP_ftruncate:
	case DOP_fallocate:
	case DOP_copy:
		args_space(g, op);
		break;
	case DOP_truncate:
		op->p = gen_old(g, "f");
		op->n[0] = any_pos_or_none(g);
		break;
	case DOP_stat:
	case DOP_statx:
	case DOP_access:
	case DOP_chmod:
	case DOP_chown:
	case DOP_utimens:
		args_attr(g, op);
		break;
	case DOP_mkdir:
	case DOP_rmdir:
	case DOP_unlink:
	case DOP_readlink:
	case DOP_mknod:
	case DOP_symlink:
		args_name(g, op);
		break;
	case DOP_rename:
	case DOP_link:
	case DOP_linkh:
		args_two_names(g, op);
		break;
	case DOP_readdir:
	case DOP_dirhold:
	case DOP_many:
	case DOP_fewer:
		args_dir(g, op);
		break;
	case DOP_statfs:
		op->p = gen_old(g, "df");
		break;
	case DOP_setxattr:
	case DOP_getxattr:
	case DOP_listxattr:
	case DOP_removexattr:
		gen_xattr_args(g, op);
		break;
	case DOP_flags:
		args_flags(g, op);
		break;
	case DOP_umask:
		op->n[0] = gen_chance(g, 60)        ? 0
				: gen_chance(g, 50) ? 022
						    : 077;
		break;
	case DOP_burst:
		op->p = dop_text("/t/burst");
		op->n[0] = 64 << 20;
		break;
	default:
		args_slot_attr(g, op);
	}
}
