/* SPDX-License-Identifier: MIT */
/*
 * Power cuts: every operation that changes the disk, one workload each, on
 * every profile. The claim of each case is that of pw.h: whatever survives, the
 * recovered file system is one that the calls could have left.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "power/pw_calls.h"

/* ---- the workloads ---- */

static void names(struct pw *pw)
{
	OPS(pw_create(pw, "/a"));
	OPS(pw_mkdir(pw, "/d"));
	OPS(pw_symlink(pw, "/fast", "a"));
	OPS(pw_symlink(pw, "/slow",
			"this/target/is/longer/than/fifty/nine/"
			"bytes/so/it/needs/a/block/of/its/own"));
	SYNCED(pw_mknod(pw, "/null", 0020666));
	OPS(pw_link(pw, "/a", "/d/b"));
	OPS(pw_mknod(pw, "/pipe", 0010644));
	OPS(pw_unlink(pw, "/slow"));
	SYNCED(pw_unlink(pw, "/a"));
	OPS(pw_unlink(pw, "/d/b"));
	OPS(pw_rmdir(pw, "/d"));
	OPS(pw_create(pw, "/again"));
}

static void renames(struct pw *pw)
{
	pw_mkdir(pw, "/p");
	pw_mkdir(pw, "/q");
	pw_mkdir(pw, "/p/sub");
	pw_create(pw, "/p/f");
	pw_create(pw, "/q/g");
	pw_restart(pw);
	OPS(pw_rename(pw, "/p/f", "/p/f2", 0));
	OPS(pw_rename(pw, "/p/f2", "/q/f3", 0));
	SYNCED(pw_rename(pw, "/q/f3", "/q/g", 0));
	OPS(pw_rename(pw, "/p/sub", "/q/sub", 0));
	OPS(pw_rename(pw, "/q/g", "/q/sub", UEXT4_RENAME_EXCHANGE));
	OPS(pw_rename(pw, "/q/g", "/p", UEXT4_RENAME_EXCHANGE));
	OPS(pw_rename(pw, "/q/sub", "/q/h", UEXT4_RENAME_WHITEOUT));
	pw_op(pw);
	pw_mkdir(pw, "/empty");
	pw_end(pw);
	OPS(pw_rename(pw, "/p", "/empty", 0));
	SYNCED(pw_rename(pw, "/q/h", "/h", UEXT4_RENAME_NOREPLACE));
}

static void attributes(struct pw *pw)
{
	struct uext4_setattr own = {
		.mask = UEXT4_SET_UID | UEXT4_SET_GID,
		.uid = 1000,
		.gid = 70000,
	};
	struct uext4_setattr mode = { .mask = UEXT4_SET_MODE, .mode = 04711 };

	pw_create(pw, "/f");
	pw_restart(pw);
	OPS(pw_setattr(pw, "/f", &own));
	OPS(pw_setattr(pw, "/f", &mode));
	OPS(pw_xattr(pw, "/f", "user.small", 20, 1));
	OPS(pw_xattr(pw, "/f", "user.large", 700, 2));
	SYNCED(pw_xattr(pw, "/f", "user.large", 600, 3));
	OPS(pw_xattr(pw, "/f", "user.small", 0, 0));
	OPS(pw_xattr(pw, "/f", "user.large", 0, 0));
	OPS(pw_xattr(pw, "/f", "trusted.t", 300, 4));
	SYNCED(pw_unlink(pw, "/f"));
}

/* Labels, and trims of space that was, or is about to be, in use. */
static void admin(struct pw *pw)
{
	pw_create(pw, "/f");
	pw_write(pw, "/f", 0, 0, 30000, 10);
	pw_restart(pw);
	OPS(pw_set_label(pw, "one"));
	OPS(pw_trim(pw));
	OPS(pw_unlink(pw, "/f"));
	OPS(pw_trim(pw)); /* not the blocks of f: its end is not durable */
	SYNCED(pw_create(pw, "/g"));
	OPS(pw_trim(pw));
	OPS(pw_write(pw, "/g", 0, 0, 9000, 40));
	OPS(pw_mkdir(pw, "/d"));
	OPS(pw_fsync(pw, "/g"));
	ACKED(0, pw_set_label(pw, "sixteen-letters-")); /* no data waits */
	OPS(pw_create(pw, "/d/h"));
	OPS(pw_trim(pw));
	ACKED(0, pw_set_label(pw, ""));
	OPS(pw_unlink(pw, "/d/h"));
}

static void buffered(struct pw *pw)
{
	uint32_t ino = pw_create(pw, "/f");

	pw_restart(pw);
	OPS(pw_write(pw, "/f", 0, 0, 5000, 10));
	pw_op(pw);
	pw_fsync(pw, "/f");
	pw_end(pw);
	pw_ack(pw, ino);
	OPS(pw_write(pw, "/f", 0, 3000, 4000, 40));
	OPS(pw_write(pw, "/f", UEXT4_O_APPEND, 0, 6000, 60));
	pw_op(pw);
	pw_fsync(pw, "/f");
	pw_end(pw);
	pw_ack(pw, ino);
	OPS(pw_write(pw, "/f", 0, 40000, 3000, 90));
	SYNCED((void)0);
	OPS(pw_write(pw, "/f", 0, 0, 20000, 120));
}

static void direct(struct pw *pw)
{
	uint32_t ino = pw_create(pw, "/f");

	pw_restart(pw);
	OPS(pw_write(pw, "/f", UEXT4_O_DIRECT, 0, 8192, 10));
	pw_op(pw);
	pw_write(pw, "/f", UEXT4_O_DIRECT | UEXT4_O_DSYNC, 8192, 4096, 30);
	pw_end(pw);
	pw_ack(pw, ino);
	OPS(pw_write(pw, "/f", UEXT4_O_DIRECT, 4096, 4096, 50));
	OPS(pw_write(pw, "/f", UEXT4_O_DIRECT, 12288, 512, 70));
	pw_op(pw);
	pw_write(pw, "/f", UEXT4_O_DIRECT | UEXT4_O_SYNC, 16384 + 512, 1024,
			90);
	pw_end(pw);
	pw_ack(pw, ino);
	OPS(pw_write(pw, "/f", UEXT4_O_DIRECT, 65536, 12288, 110));
	OPS(pw_write(pw, "/f", UEXT4_O_DIRECT, 32768, 4096, 130));
	pw_op(pw);
	pw_fsync(pw, "/f");
	pw_end(pw);
	pw_ack(pw, ino);
	OPS(pw_write(pw, "/f", UEXT4_O_DIRECT, 512, 1024, 150));
}

static void sizes(struct pw *pw)
{
	pw_create(pw, "/f");
	pw_write(pw, "/f", 0, 0, 60000, 5);
	pw_restart(pw);
	OPS(pw_truncate(pw, "/f", 30001));
	OPS(pw_truncate(pw, "/f", 45000));
	SYNCED(pw_write(pw, "/f", 0, 44000, 3000, 77));
	OPS(pw_truncate(pw, "/f", 100));
	OPS(pw_truncate(pw, "/f", 5000));
	OPS(pw_write(pw, "/f", UEXT4_O_DIRECT, 8192, 4096, 99));
	SYNCED(pw_truncate(pw, "/f", 0));
	OPS(pw_write(pw, "/f", 0, 100, 100, 1));
}

static void allocations(struct pw *pw)
{
	pw_create(pw, "/f");
	pw_write(pw, "/f", 0, 0, 40000, 5);
	pw_restart(pw);
	OPS(pw_falloc(pw, "/f", 0, 30000, 40000));
	OPS(pw_write(pw, "/f", UEXT4_O_DIRECT, 49152, 4096, 33));
	OPS(pw_falloc(pw, "/f", UEXT4_FALLOC_KEEP_SIZE, 90000, 20000));
	SYNCED(pw_falloc(pw, "/f",
			UEXT4_FALLOC_PUNCH_HOLE | UEXT4_FALLOC_KEEP_SIZE, 5000,
			17000));
	OPS(pw_falloc(pw, "/f", UEXT4_FALLOC_ZERO_RANGE, 24000, 9000));
	OPS(pw_write(pw, "/f", 0, 6000, 3000, 55));
	SYNCED(pw_falloc(pw, "/f",
			UEXT4_FALLOC_ZERO_RANGE | UEXT4_FALLOC_KEEP_SIZE, 100,
			200));
	OPS(pw_truncate(pw, "/f", 20000));
}

/* Unlinked while open, and nameless: the orphan set. */
static void orphans(struct pw *pw)
{
	struct uext4_file *open_file;
	struct uext4_file *tmp;

	pw_create(pw, "/f");
	pw_write(pw, "/f", 0, 0, 30000, 5);
	pw_create(pw, "/g");
	pw_write(pw, "/g", 0, 0, 9000, 6);
	pw_restart(pw);
	assert_int_equal(uext4_open(pw->fs, NULL, "/f", UEXT4_O_RDWR, 0, NULL,
					 &open_file),
			0);
	OPS(pw_unlink(pw, "/f"));
	pw_op(pw);
	assert_int_equal(uext4_open(pw->fs, NULL, "/",
					 UEXT4_O_TMPFILE | UEXT4_O_RDWR, 0600,
					 NULL, &tmp),
			0);
	assert_int_equal(uext4_pwrite(tmp, "nameless", 8, 0), 8);
	pw_end(pw);
	SYNCED((void)0);
	pw_op(pw);
	{
		struct uext4_node *root = pw_node(pw, "/");

		assert_int_equal(uext4_link(uext4_file_node(tmp), root, "named",
						 NULL),
				0);
		uext4_node_put(root);
	}
	pw_end(pw);
	OPS(pw_unlink(pw, "/g"));
	OPS(assert_int_equal(uext4_close(open_file), 0));
	OPS(assert_int_equal(uext4_close(tmp), 0));
	SYNCED((void)0);
	OPS(pw_create(pw, "/h"));
}

/* A directory that grows past one block, shrinks, and goes: index, revokes. */
static void large_directory(struct pw *pw)
{
	char path[64];
	unsigned i;

	pw_mkdir(pw, "/d");
	pw_create(pw, "/d/first-of-all");
	pw_restart(pw);
	for (i = 0; i < 60; i++) {
		snprintf(path, sizeof(path), "/d/a-rather-long-name-%03u", i);
		OPS(pw_link(pw, "/d/first-of-all", path));
	}
	SYNCED((void)0);
	for (i = 0; i < 60; i++) {
		snprintf(path, sizeof(path), "/d/a-rather-long-name-%03u", i);
		OPS(pw_unlink(pw, path));
	}
	OPS(pw_unlink(pw, "/d/first-of-all"));
	SYNCED(pw_rmdir(pw, "/d"));
	OPS(pw_create(pw, "/data"));
	OPS(pw_write(pw, "/data", 0, 0, 30000, 200));
	SYNCED((void)0);
}

/* Enough transactions to go round the log, with checkpoints. */
static void log_wraps(struct pw *pw)
{
	char path[32];
	unsigned i;

	for (i = 0; i < 40; i++) {
		snprintf(path, sizeof(path), "/f%u", i);
		SYNCED(pw_create(pw, path));
		OPS(pw_write(pw, path, 0, 0, 3000, (int)i));
	}
	SYNCED((void)0);
	for (i = 0; i < 40; i += 2) {
		snprintf(path, sizeof(path), "/f%u", i);
		SYNCED(pw_unlink(pw, path));
	}
}

/* Stores, and writes to new blocks, at any byte; zeroing in place. */
static void dax(struct pw *pw)
{
	uint32_t ino = pw_create(pw, "/f");

	pw_restart(pw);
	OPS(pw_write(pw, "/f", 0, 100, 9000, 10));
	ACKED(ino, pw_write(pw, "/f", UEXT4_O_DSYNC, 9100, 300, 30));
	OPS(pw_write(pw, "/f", 0, 4000, 3000, 50)); /* stores alone */
	ACKED(ino, pw_fdatasync(pw, "/f"));
	OPS(pw_write(pw, "/f", UEXT4_O_APPEND, 0, 700, 70));
	OPS(pw_write(pw, "/f", UEXT4_O_DIRECT, 30001, 6000, 90));
	OPS(pw_write(pw, "/f", 0, 8000, 25000, 110)); /* all kinds of blocks */
	ACKED(ino, pw_fsync(pw, "/f"));
	OPS(pw_truncate(pw, "/f", 20003));
	OPS(pw_truncate(pw, "/f", 26000));
	OPS(pw_write(pw, "/f", 0, 27000, 10, 130));
	SYNCED(pw_falloc(pw, "/f",
			UEXT4_FALLOC_PUNCH_HOLE | UEXT4_FALLOC_KEEP_SIZE, 5000,
			9000));
	OPS(pw_falloc(pw, "/f", 0, 20000, 30000));
	OPS(pw_write(pw, "/f", 0, 40000, 5000, 150)); /* into unwritten */
	ACKED(ino, pw_write(pw, "/f", UEXT4_O_SYNC, 48000, 9000, 170));
	OPS(pw_falloc(pw, "/f", UEXT4_FALLOC_ZERO_RANGE, 41000, 3000));
	OPS(pw_write(pw, "/f", 0, 0, 60000, 190));
	OPS(pw_unlink(pw, "/f"));
	OPS(pw_create(pw, "/g"));
	OPS(pw_write(pw, "/g", 0, 50000, 20000, 210)); /* its blocks again */
	SYNCED((void)0);
	OPS(pw_write(pw, "/g", 0, 49000, 3000, 230));
}

struct workload {
	const char *name;
	void (*run)(struct pw *pw);
	bool unmount; /* unmount is part of what is cut */
	struct pw_setup setup;
};

static const struct workload workloads[] = {
	{ .name = "names", .run = names, .unmount = true },
	{ .name = "renames", .run = renames },
	{ .name = "attributes", .run = attributes, .unmount = true },
	{ .name = "admin", .run = admin, .unmount = true },
	{ .name = "buffered", .run = buffered, .unmount = true },
	{ .name = "direct", .run = direct },
	{ .name = "sizes", .run = sizes, .unmount = true },
	{ .name = "allocations", .run = allocations },
	{ .name = "orphans", .run = orphans, .unmount = true },
	{ .name = "large_directory", .run = large_directory },
	{ .name = "log_wraps", .run = log_wraps, .unmount = true },
	{ .name = "dax",
			.run = dax,
			.unmount = true,
			.setup = { .mnt_flags = UEXT4_MNT_DAX } },
	{ .name = "dax_overtaken",
			.run = dax,
			.setup = { .mnt_flags = UEXT4_MNT_DAX,
					.commit_at_data = true } },
	{ .name = "dax_sizes",
			.run = sizes,
			.unmount = true,
			.setup = { .mnt_flags = UEXT4_MNT_DAX } },
	{ .name = "dax_allocations",
			.run = allocations,
			.setup = { .mnt_flags = UEXT4_MNT_DAX } },
};

static struct pw_sum total;

static void survives_cuts(void **state)
{
	const struct workload *w = *state;
	static struct pw pw;
	unsigned p;

	for (p = 0; p < pw_nprofiles; p++) {
		if (!pw_is_wanted(w->name, &pw_profiles[p]))
			continue;
		if (!pw_open(&pw, w->name, &pw_profiles[p], &w->setup))
			skip();
		w->run(&pw);
		(void)pw_judge(&pw, w->unmount, pw_max_states(5000));
		pw_sum_add(&total, &pw.sum);
	}
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[sizeof(workloads) / sizeof(workloads[0])];
	char names_[sizeof(workloads) / sizeof(workloads[0])][64];
	size_t n = 0;
	size_t i;
	int ret;

	for (i = 0; i < sizeof(workloads) / sizeof(workloads[0]); i++) {
		if (argc > 1 && strcmp(argv[1], workloads[i].name) != 0)
			continue;
		snprintf(names_[n], sizeof(names_[n]), "%s_survives_power_cuts",
				workloads[i].name);
		tests[n] = (struct CMUnitTest){
			.name = names_[n],
			.test_func = survives_cuts,
			.initial_state = (void *)(uintptr_t)&workloads[i],
		};
		n++;
	}
	ret = _cmocka_run_group_tests("power", tests, n, NULL, NULL);
	pw_sum_print(&total);
	return ret;
}
