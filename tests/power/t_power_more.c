/* SPDX-License-Identifier: MIT */
/*
 * Power cuts: workloads that are built to be hard on one mechanism each. What a
 * case claims is pw.h's J1 to J7; its comment says what it is after.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "power/pw_calls.h"

/* Small ones that fill up; where a block freed is the only one to be had. */
static const struct pw_profile tight[] = {
	{ "tight-4k",
			"-t ext4 -b 4096 -J size=4 -N 64 -m 0 -O "
			"metadata_csum,64bit,^resize_inode",
			8800 },
	{ "tight-1k",
			"-t ext4 -b 1024 -J size=1 -N 64 -m 0 -O "
			"metadata_csum,64bit,^resize_inode",
			2200 },
	{ "tight-ext3", "-t ext3 -b 1024 -J size=1 -N 64 -m 0 -I 128", 2200 },
	{ NULL, NULL, 0 },
};

/* Many small groups, so that a truncate changes many bitmaps. */
static const struct pw_profile crowded[] = {
	{ "crowded-1k",
			"-t ext4 -b 1024 -g 256 -J size=1 -N 1024 -O "
			"metadata_csum,64bit,orphan_file,^resize_inode,"
			"^flex_bg",
			8 << 10 },
	{ "crowded-nocsum",
			"-t ext4 -b 1024 -g 256 -J size=1 -N 1024 -O "
			"^metadata_csum,uninit_bg,^64bit,^flex_bg,"
			"^resize_inode",
			8 << 10 },
	{ "crowded-ext3",
			"-t ext3 -b 1024 -g 256 -J size=1 -N 2048 -I 128 -O "
			"^resize_inode",
			8 << 10 },
	{ NULL, NULL, 0 },
};

/* Several groups of 2048 blocks. */
static const struct pw_profile groups[] = {
	{ "groups-1k",
			"-t ext4 -b 1024 -g 2048 -J size=1 -N 512 -O "
			"metadata_csum,64bit,^resize_inode",
			8 << 10 },
	{ "groups-ext3", "-t ext3 -b 1024 -g 2048 -J size=1 -N 512 -I 128",
			8 << 10 },
	{ NULL, NULL, 0 },
};

static const struct pw_profile ext4_only[] = {
	{ "ext4-1k",
			"-t ext4 -b 1024 -J size=1 -N 256 -O "
			"metadata_csum,64bit,^resize_inode",
			6 << 10 },
	{ "ext4-4k",
			"-t ext4 -b 4096 -J size=4 -N 256 -O "
			"metadata_csum,64bit,^resize_inode",
			12 << 10 },
	{ NULL, NULL, 0 },
};

/* ---- directories ---- */

static void long_name(char *path, const char *dir, unsigned i)
{
	static const char fill[] =
			"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz"
			"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz"
			"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz"
			"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz";

	sprintf(path, "%s/%03u-%s", dir, i, fill);
}

/* The index is made, leaves split, at 1K the root gets a second level. */
static void hashed_directory(struct pw *pw)
{
	unsigned n = strstr(pw->name, "4k") ? 45 : 60;
	char path[300];
	unsigned i;

	pw_mkdir(pw, "/d");
	pw_create(pw, "/d/f");
	pw_restart(pw);
	for (i = 0; i < n; i++) {
		long_name(path, "/d", i);
		if (i % 6 == 5)
			SYNCED(pw_link(pw, "/d/f", path));
		else
			OPS(pw_link(pw, "/d/f", path));
	}
	for (i = 0; i < n; i += 2) {
		long_name(path, "/d", i);
		if (i % 16 == 0)
			SYNCED(pw_unlink(pw, path));
		else
			OPS(pw_unlink(pw, path));
	}
	OPS(pw_create(pw, "/d/again"));
	SYNCED((void)0);
}

/* Take all space but @leave small files: what is freed after this is what is
 * used next. Where it can be the filler is beyond the end of its file, where
 * nobody has to read it. */
static void fill_up(struct pw *pw, unsigned leave)
{
	bool extents = !strstr(pw->name, "ext3");
	uint64_t pos = 16384;
	uint64_t step;
	char path[32];
	unsigned i;

	for (i = 0; i < leave; i++) {
		snprintf(path, sizeof(path), "/leave%u", i);
		pw_create(pw, path);
		pw_write(pw, path, 0, 0, 1, 1);
	}
	pw_create(pw, "/fill");
	pw_sync(pw);
	for (step = 1 << 20; step >= 1024; step /= 4) {
		while (extents ? pw_falloc_some(pw, "/fill", pos, step)
			       : pw_write_some(pw, "/fill", 0, pos, step, 7) ==
								(ssize_t)step)
			pos += step;
	}
	for (i = 0; i < leave; i++) {
		snprintf(path, sizeof(path), "/leave%u", i);
		pw_unlink(pw, path);
	}
	pw_sync(pw);
}

/*
 * Directory blocks that are in the log become file data: without their revoke
 * records replay would write the directory over the file.
 */
static void directory_becomes_data(struct pw *pw)
{
	char path[300];
	unsigned round;
	unsigned i;

	pw_create(pw, "/f");
	fill_up(pw, 12);
	pw_restart(pw);
	for (round = 0; round < 3; round++) {
		OPS(pw_mkdir(pw, "/d"));
		for (i = 0; i < 12; i++) {
			long_name(path, "/d", i);
			if (i % 4 == 3)
				SYNCED(pw_link(pw, "/f", path));
			else
				OPS(pw_link(pw, "/f", path));
		}
		for (i = 0; i < 12; i++) {
			long_name(path, "/d", i);
			OPS(pw_unlink(pw, path));
		}
		SYNCED(pw_rmdir(pw, "/d"));
		pw_op(pw);
		(void)pw_write_some(pw, "/f", UEXT4_O_DIRECT, 0, 8192,
				(int)(60 * round));
		(void)pw_write_some(pw, "/f", 0, 8192, 3072, (int)(60 * round));
		pw_sync(pw);
		pw_end(pw);
		pw_ack(pw, 0);
		if (round == 1)
			pw_remount(pw);
		OPS(pw_truncate(pw, "/f", 0));
		SYNCED((void)0);
	}
}

/* ---- space ---- */

/*
 * A full disk: blocks freed by a transaction that is not durable must not take
 * new data, or a cut leaves the old file with the new file's bytes.
 */
static void full_disk(struct pw *pw)
{
	unsigned i;

	pw_create(pw, "/a");
	pw_write(pw, "/a", 0, 0, 12000, 20);
	pw_create(pw, "/b");
	fill_up(pw, 3);
	pw_restart(pw);
	for (i = 0; i < 4; i++) {
		/* From a's blocks to b's and back, and no sync between. */
		pw_op(pw);
		(void)pw_write_some(pw, "/b", 0, 0, 16384, (int)(40 + i));
		pw_end(pw);
		OPS(pw_unlink(pw, "/a"));
		pw_op(pw);
		(void)pw_write_some(pw, "/b", UEXT4_O_DIRECT, 0, 12288,
				(int)(80 + i));
		pw_end(pw);
		pw_op(pw);
		(void)pw_write_some(pw, "/b", 0, 1000, 9000, (int)(90 + i));
		pw_fsync(pw, "/b");
		pw_end(pw);
		pw_ack(pw, pw_ino(pw, "/b"));
		OPS(pw_truncate(pw, "/b", 0));
		OPS(pw_create(pw, "/a"));
		pw_op(pw);
		(void)pw_write_some(pw, "/a", UEXT4_O_DIRECT, 0, 8192,
				(int)(120 + i));
		pw_end(pw);
	}
	SYNCED((void)0);
	OPS(pw_unlink(pw, "/fill"));
	OPS(pw_write(pw, "/a", 0, 0, 20000, 200));
	SYNCED((void)0);
}

/* ---- large truncates ---- */

/* Blocks in many groups, some of them written. */
static void take_groups(struct pw *pw)
{
	unsigned i;

	pw_write(pw, "/f", 0, 0, 4000, 1);
	if (strstr(pw->name, "ext3")) {
		pw_write(pw, "/f", 0, 0, 900 << 10, 50);
		return;
	}
	pw_falloc(pw, "/f", 0, 4096, 1500 << 10);
	for (i = 1; i < 8; i++)
		pw_write(pw, "/f", UEXT4_O_DIRECT, i * 200000 / 4096 * 4096,
				4096, (int)i);
}

/*
 * A truncate that begins in a transaction without room for all of it, so that
 * it ends in another: between the two only the orphan set knows that there is
 * more to free. How much room there is changes from round to round.
 */
static void big_truncate(struct pw *pw)
{
	unsigned round;

	pw_create(pw, "/f");
	pw_create(pw, "/g");
	pw_restart(pw);
	for (round = 0; round < 6; round++) {
		SYNCED(take_groups(pw));
		pw_crowd(pw, 18 + 3 * round);
		if (round % 2 == 0) {
			OPS(pw_truncate(pw, "/f", 3000));
		} else {
			OPS(pw_unlink(pw, "/f"));
			OPS(pw_create(pw, "/f"));
		}
		OPS(pw_write(pw, "/g", 0, round * 3000, 3000, (int)round));
		SYNCED((void)0);
	}
}

/* ---- trees of blocks ---- */

static void write_strided(struct pw *pw, unsigned from, unsigned n,
		unsigned flags, unsigned stride)
{
	unsigned i;

	for (i = from; i < from + n; i++)
		pw_write(pw, "/f", flags, (uint64_t)i * stride, 1024, (int)i);
}

/*
 * An extent tree grows to depth 2 (1K blocks) and shrinks again; a block tree
 * gets its indirect and double-indirect blocks and loses them.
 */
static void tree_depth(struct pw *pw)
{
	bool extents = !strstr(pw->name, "ext3");
	unsigned stride = extents ? 2048 : 12288;
	unsigned flags = extents ? UEXT4_O_DIRECT : 0;
	unsigned per = extents ? 70 : 12;
	unsigned round;

	if (strstr(pw->name, "4k")) {
		stride = 8192;
		per = 15;
	}
	pw_create(pw, "/f");
	pw_restart(pw);
	for (round = 0; round < 6; round++) {
		OPS(write_strided(pw, round * per, per, flags, stride));
		SYNCED((void)0);
	}
	for (round = 6; round-- > 0;) {
		OPS(pw_truncate(pw, "/f", (uint64_t)round * per * stride + 5));
		if (round % 2 == 0)
			SYNCED((void)0);
	}
	OPS(write_strided(pw, 3, 4, 0, stride));
	SYNCED((void)0);
}

/* ---- attributes ---- */

/* Two files share an attribute block, which only debugfs can make. */
static bool share_xattr_block(const char *path)
{
	char cmd[2048];

	snprintf(cmd, sizeof(cmd),
			"PATH=$PATH:/usr/sbin:/sbin; export E2FSCK_CONFIG="
			"/dev/null; i=%s; v=$(printf %%0400d 7); "
			"debugfs -w -f /dev/stdin $i >/dev/null 2>&1 <<E\n"
			"write /dev/null a\nwrite /dev/null b\n"
			"ea_set a user.shared $v\n"
			"E\n"
			"n=$(debugfs -R 'stat a' $i 2>/dev/null | sed -n "
			"'s/.*File ACL: \\([0-9]*\\).*/\\1/p'); "
			"[ \"${n:-0}\" -gt 0 ] || exit 1; "
			"debugfs -w -R \"sif b file_acl $n\" $i >/dev/null "
			"2>&1; e2fsck -fy $i >/dev/null 2>&1; "
			"e2fsck -fn $i >/dev/null 2>&1",
			path);
	return system(cmd) == 0;
}

static void shared_attributes(struct pw *pw)
{
	OPS(pw_xattr(pw, "/a", "user.other", 500, 3));
	SYNCED((void)0);
	OPS(pw_xattr(pw, "/a", "user.shared", 0, 0));
	SYNCED(pw_xattr(pw, "/b", "user.shared", 300, 4));
	OPS(pw_unlink(pw, "/a"));
	SYNCED(pw_xattr(pw, "/b", "user.shared", 0, 0));
}

static void shared_then_gone(struct pw *pw)
{
	OPS(pw_unlink(pw, "/a"));
	SYNCED((void)0);
	OPS(pw_create(pw, "/c"));
	OPS(pw_xattr(pw, "/c", "user.x", 600, 5));
	SYNCED((void)0);
	OPS(pw_unlink(pw, "/b"));
	SYNCED((void)0);
}

/* ---- the log ---- */

/* A block in the log that begins like a block of the log. */
static void escaped_blocks(struct pw *pw)
{
	static const char target[] = "\xc0\x3b\x39\x98/this/target/begins/with/"
				     "the/magic/number/of/the/journal/and/"
				     "needs/a/block";

	OPS(pw_symlink(pw, "/s", target));
	SYNCED(pw_symlink(pw, "/t", target));
	OPS(pw_rename(pw, "/s", "/u", 0));
	OPS(pw_symlink(pw, "/v", target + 4));
	SYNCED(pw_unlink(pw, "/t"));
	OPS(pw_symlink(pw, "/w", target));
	SYNCED((void)0);
}

/*
 * Several mounts in one log, each with transactions of the same sizes: where
 * ids are used twice, the next mount's log runs into the last one's.
 */
static void many_mounts(struct pw *pw)
{
	char path[32];
	unsigned m;
	unsigned i;

	for (m = 0; m < 4; m++) {
		for (i = 0; i < 4 - (m == 3); i++) {
			snprintf(path, sizeof(path), "/m%u-%u", m, i);
			SYNCED(pw_create(pw, path));
		}
		snprintf(path, sizeof(path), "/m%u-0", m);
		OPS(pw_unlink(pw, path));
		pw_remount(pw);
	}
	SYNCED(pw_create(pw, "/last"));
}

/* Little to do, but every state of its recovery is explored. */
static void recoveries(struct pw *pw)
{
	OPS(pw_create(pw, "/a"));
	OPS(pw_mkdir(pw, "/d"));
	SYNCED(pw_link(pw, "/a", "/d/b"));
	OPS(pw_unlink(pw, "/a"));
	OPS(pw_write(pw, "/d/b", UEXT4_O_DIRECT, 0, 4096, 9));
	SYNCED(pw_rename(pw, "/d/b", "/c", 0));
	pw_crowd(pw, 20);
	OPS(pw_truncate(pw, "/c", 100));
}

static void rename_and_grow(struct pw *pw)
{
	pw_rename(pw, "/a", "/b", 0);
	pw_mkdir(pw, "/a");
	pw_xattr(pw, "/b", "user.x", 600, 3);
}

static void undo_it(struct pw *pw)
{
	pw_rmdir(pw, "/a");
	pw_rename(pw, "/b", "/a", 0);
	pw_xattr(pw, "/a", "user.x", 0, 0);
}

/*
 * Blocks of the committing transaction change while it is being written: the
 * log must hold them as they were.
 */
static void changed_while_committing(struct pw *pw)
{
	unsigned i;

	pw_create(pw, "/a");
	pw_restart(pw);
	for (i = 0; i < 4; i++) {
		OPS(pw_create(pw, "/c"));
		pw_sync_while(pw, rename_and_grow);
		OPS(pw_unlink(pw, "/c"));
		OPS(pw_xattr(pw, "/b", "user.y", 20, 1));
		pw_sync_while(pw, undo_it);
		OPS(pw_xattr(pw, "/a", "user.y", 0, 0));
	}
	SYNCED((void)0);
}

/* ---- data ---- */

/* Nothing to commit, only data to flush: each form of sync must do it. */
static void overwrites(struct pw *pw)
{
	uint32_t ino = pw_create(pw, "/f");

	pw_write(pw, "/f", 0, 0, 16384, 1);
	pw_restart(pw);
	OPS(pw_write(pw, "/f", 0, 0, 4096, 10));
	ACKED(ino, pw_fdatasync(pw, "/f"));
	OPS(pw_write(pw, "/f", UEXT4_O_DIRECT, 4096, 8192, 20));
	ACKED(ino, pw_fdatasync(pw, "/f"));
	SYNCED((void)0);
	OPS(pw_write(pw, "/f", UEXT4_O_DIRECT, 0, 4096, 30));
	ACKED(ino, pw_fsync(pw, "/f"));
	ACKED(ino,
			pw_write(pw, "/f", UEXT4_O_DIRECT | UEXT4_O_DSYNC, 0,
					4096, 40));
	ACKED(ino, pw_write(pw, "/f", UEXT4_O_DSYNC, 100, 5000, 50));
	/* Appends, which the FUA shortcut is not for. */
	ACKED(ino,
			pw_write(pw, "/f", UEXT4_O_DIRECT | UEXT4_O_DSYNC,
					16384, 4096, 60));
	ACKED(ino,
			pw_write(pw, "/f", UEXT4_O_DIRECT | UEXT4_O_DSYNC,
					20480, 512, 70));
	ACKED(ino,
			pw_write(pw, "/f", UEXT4_O_DIRECT | UEXT4_O_DSYNC,
					18432, 4096, 80));
	/* Preallocated inside the file: the bytes are there, but unwritten. */
	SYNCED(pw_falloc(pw, "/f", 0, 24576, 20480));
	ACKED(ino,
			pw_write(pw, "/f", UEXT4_O_DIRECT | UEXT4_O_DSYNC,
					28672, 4096, 85));
	OPS(pw_write(pw, "/f", UEXT4_O_DIRECT, 0, 4096, 90));
	SYNCED((void)0);
	OPS(pw_write(pw, "/f", UEXT4_O_DIRECT, 4096, 4096, 95));
	SYNCED((void)0);
}

/* Appends, holes and preallocation, while commits overtake the data. */
static void overtaken(struct pw *pw)
{
	uint32_t ino = pw_create(pw, "/f");

	pw_create(pw, "/g");
	pw_restart(pw);
	OPS(pw_write(pw, "/f", 0, 0, 6000, 10));
	OPS(pw_write(pw, "/g", UEXT4_O_DIRECT, 0, 8192, 20));
	ACKED(ino, pw_fsync(pw, "/f"));
	OPS(pw_write(pw, "/f", UEXT4_O_DIRECT, 16384, 4096, 30));
	OPS(pw_write(pw, "/f", 0, 12000, 3000, 40));
	ACKED(ino, pw_fdatasync(pw, "/f"));
	OPS(pw_falloc(pw, "/g", 0, 8192, 20000));
	OPS(pw_write(pw, "/g", UEXT4_O_DIRECT, 12288, 4096, 50));
	OPS(pw_write(pw, "/g", 0, 20480, 5000, 60));
	SYNCED((void)0);
	OPS(pw_truncate(pw, "/f", 10001));
	OPS(pw_truncate(pw, "/f", 14000));
	OPS(pw_write(pw, "/f", 0, 9000, 4000, 70));
	ACKED(ino, pw_fsync(pw, "/f"));
	OPS(pw_falloc(pw, "/g",
			UEXT4_FALLOC_ZERO_RANGE | UEXT4_FALLOC_KEEP_SIZE, 500,
			9000));
	OPS(pw_write(pw, "/g", UEXT4_O_DIRECT, 4096, 512, 80));
	SYNCED((void)0);
}

/* Mounted with UEXT4_MNT_SYNC every call is durable when it returns. */
static void sync_mount(struct pw *pw)
{
	uint32_t ino;

	ACKED(0, ino = pw_create(pw, "/f"));
	ACKED(0, pw_mkdir(pw, "/d"));
	ACKED(0, pw_write(pw, "/f", 0, 0, 3000, 10));
	ACKED(0, pw_write(pw, "/f", UEXT4_O_DIRECT, 4096, 4096, 20));
	ACKED(0, pw_write(pw, "/f", UEXT4_O_DIRECT, 4096, 1024, 30));
	ACKED(0, pw_link(pw, "/f", "/d/l"));
	ACKED(0, pw_symlink(pw, "/d/s", "somewhere"));
	ACKED(0, pw_rename(pw, "/d/l", "/l", 0));
	ACKED(0, pw_unlink(pw, "/f"));
	ACKED(0, pw_xattr(pw, "/l", "user.x", 100, 1));
	ACKED(0, pw_truncate(pw, "/l", 2000));
	ACKED(0, pw_unlink(pw, "/d/s"));
	ACKED(0, pw_rmdir(pw, "/d"));
	(void)ino;
}

/* ---- the list ---- */

struct workload {
	const char *name;
	void (*run)(struct pw *pw);
	const struct pw_profile *profiles; /* NULL: the usual four */
	struct pw_setup setup;
	bool unmount;
	unsigned states; /* of each profile */
};

static const struct workload workloads[] = {
	{ "hashed_directory", hashed_directory, NULL, { 0 }, false, 1500 },
	{ "directory_becomes_data", directory_becomes_data, tight, { 0 }, true,
			2500 },
	{ "full_disk", full_disk, tight, { 0 }, true, 2500 },
	{ "big_truncate", big_truncate, crowded, { 0 }, false, 700 },
	{ "tree_depth", tree_depth, NULL, { 0 }, true, 700 },
	{ "tree_depth_groups", tree_depth, groups, { 0 }, true, 500 },
	{ "shared_attributes", shared_attributes, ext4_only,
			{ .prepare = share_xattr_block }, true, 1000 },
	{ "shared_then_gone", shared_then_gone, ext4_only,
			{ .prepare = share_xattr_block }, false, 1000 },
	{ "escaped_blocks", escaped_blocks, NULL, { 0 }, false, 1000 },
	{ "many_mounts", many_mounts, NULL, { 0 }, true, 4000 },
	{ "recoveries", recoveries, NULL, { .all_recoveries = true }, false,
			60 },
	{ "changed_while_committing", changed_while_committing, NULL, { 0 },
			false, 1500 },
	{ "overwrites", overwrites, NULL, { 0 }, false, 1500 },
	{ "overtaken", overtaken, NULL, { .commit_at_data = true }, true,
			2500 },
	{ "sync_mount", sync_mount, NULL, { .mnt_flags = UEXT4_MNT_SYNC }, true,
			2500 },
};

#define NWORKLOADS (sizeof(workloads) / sizeof(workloads[0]))

static struct pw_sum total;

static void survives_cuts(void **state)
{
	const struct workload *w = *state;
	const struct pw_profile *p = w->profiles ? w->profiles : pw_profiles;
	const struct pw_profile *end = p + pw_nprofiles;
	static struct pw pw;

	for (; w->profiles ? p->name != NULL : p < end; p++) {
		if (!pw_is_wanted(w->name, p))
			continue;
		if (!pw_open(&pw, w->name, p, &w->setup))
			skip();
		w->run(&pw);
		(void)pw_judge(&pw, w->unmount, pw_max_states(w->states));
		pw_sum_add(&total, &pw.sum);
	}
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[NWORKLOADS];
	char names[NWORKLOADS][64];
	size_t n = 0;
	size_t i;
	int ret;

	for (i = 0; i < NWORKLOADS; i++) {
		if (argc > 1 && strcmp(argv[1], workloads[i].name) != 0)
			continue;
		snprintf(names[n], sizeof(names[n]), "%s_survives_power_cuts",
				workloads[i].name);
		tests[n] = (struct CMUnitTest){
			.name = names[n],
			.test_func = survives_cuts,
			.initial_state = (void *)(uintptr_t)&workloads[i],
		};
		n++;
	}
	ret = _cmocka_run_group_tests("power", tests, n, NULL, NULL);
	pw_sum_print(&total);
	return ret;
}
