/* SPDX-License-Identifier: MIT */
/*
 * Power cuts under random mixes of operations, seeds printed.
 *
 * usage: t_power_mix [dax_]mixes|chains|plain FIRST-SEED COUNT [SECONDS]
 *
 * mixes   on a journal, cut once
 * chains  cut, recovered, used and cut again, three times: what one life of the
 *         log leaves behind must not trouble the next
 * plain   without a journal, where a cut may cost what was not synced, and
 *         e2fsck is needed before the next mount
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hmap.h"
#include "power/pw_calls.h"

#define MIX_OPS   40
#define CHAIN_OPS 12
#define MIX_NAMES 6
#define MIX_DIRS  3

struct mix {
	struct pw *pw;
	uint64_t x; /* random state */
};

static uint32_t rnd(struct mix *m, uint32_t n)
{
	m->x = hmap_mix(m->x + 0x9e3779b97f4a7c15u);
	return (uint32_t)(m->x >> 33) % n;
}

static void pick(struct mix *m, char *path)
{
	static const char *const dirs[MIX_DIRS] = { "", "/d1", "/d1/d2" };

	sprintf(path, "%s/n%u", dirs[rnd(m, MIX_DIRS)], rnd(m, MIX_NAMES));
}

static struct uext4_node *pick_dir(struct mix *m, char *name)
{
	struct uext4_node *dir;
	char path[64];

	pick(m, path);
	assert_int_equal(uext4_resolve_parent(m->pw->fs, NULL, path, NULL, name,
					 &dir),
			0);
	return dir;
}

/* Errors are part of the game: a name may be there, or not, or a directory. */
static void mix_name(struct mix *m)
{
	char a[256];
	char b[256];
	struct uext4_node *ad = pick_dir(m, a);
	struct uext4_node *bd = pick_dir(m, b);
	struct uext4_node *node;

	switch (rnd(m, 8)) {
	case 0:
		(void)uext4_mkdir(ad, a, 0755, NULL, NULL);
		break;
	case 1:
		(void)uext4_symlink(ad, a,
				rnd(m, 2) ? "short"
					  : "a/target/that/is/too/long/to/"
					    "stand/inside/"
					    "the/inode/itself/so/it/takes/a/"
					    "block",
				NULL, NULL);
		break;
	case 2:
		(void)uext4_unlink(ad, a, NULL);
		break;
	case 3:
		(void)uext4_rmdir(ad, a, NULL);
		break;
	case 4:
	case 5:
		(void)uext4_rename(
				ad, a, bd, b, rnd(m, 4) ? 0 : rnd(m, 5), NULL);
		break;
	case 6:
		if (uext4_lookup(ad, a, NULL, &node) == 0) {
			(void)uext4_link(node, bd, b, NULL);
			uext4_node_put(node);
		}
		break;
	default:
		(void)uext4_mknod(ad, a, 0100600, 0, 0, NULL, NULL);
	}
	uext4_node_put(ad);
	uext4_node_put(bd);
}

static void mix_write(struct mix *m, struct uext4_file *file, bool direct)
{
	static const size_t lens[] = { 512, 1024, 4096, 8192, 20480 };
	size_t len = lens[rnd(m, 5)];
	uint64_t pos = (uint64_t)rnd(m, 60) * 512;
	uint8_t *buf = NULL;

	if (!direct) {
		len -= rnd(m, 500);
		pos += rnd(m, 500);
	}
	assert_int_equal(posix_memalign((void **)&buf, 4096, len), 0);
	memset(buf, (int)(rnd(m, 254) + 1), len);
	assert_int_equal(uext4_pwrite(file, buf, len, pos), (ssize_t)len);
	free(buf);
}

/* Something with the bytes of a file; the number of the inode if it was synced,
 * else 0. */
static uint32_t mix_file(struct mix *m)
{
	bool direct = rnd(m, 2) == 0;
	unsigned flags = UEXT4_O_RDWR | UEXT4_O_CREAT;
	struct uext4_file *file;
	uint32_t ino = 0;
	uint32_t what;
	char path[64];

	pick(m, path);
	if (direct)
		flags |= UEXT4_O_DIRECT;
	if (rnd(m, 4) == 0)
		flags |= UEXT4_O_DSYNC;
	if (uext4_open(m->pw->fs, NULL, path, flags, 0644, NULL, &file) < 0)
		return 0;
	what = rnd(m, 8);
	if (getenv("PW_LOG"))
		fprintf(stderr, "# op %u: file %s flags %x does %u\n",
				m->pw->nops, path, flags, what);
	switch (what) {
	case 0:
		(void)uext4_ftruncate(file, rnd(m, 40000));
		break;
	case 1:
		(void)uext4_fallocate(
				file, 0, rnd(m, 30000), 1 + rnd(m, 20000));
		break;
	case 2:
		(void)uext4_fallocate(file,
				UEXT4_FALLOC_PUNCH_HOLE |
						UEXT4_FALLOC_KEEP_SIZE,
				rnd(m, 30000), 1 + rnd(m, 20000));
		break;
	case 3:
		assert_int_equal(uext4_fsync(file), 0);
		ino = uext4_node_ino(uext4_file_node(file));
		break;
	case 4:
		(void)uext4_setxattr(uext4_file_node(file), "user.x", path,
				1 + rnd(m, 60), 0, NULL);
		break;
	default:
		mix_write(m, file, direct);
		if (flags & UEXT4_O_DSYNC)
			ino = uext4_node_ino(uext4_file_node(file));
	}
	assert_int_equal(uext4_close(file), 0);
	return ino;
}

/* A file that has no name any more when the power goes. */
static void mix_orphan(struct mix *m)
{
	struct uext4_file *file;
	char name[UEXT4_NAME_MAX + 1];
	struct uext4_node *dir;
	char path[64];

	if (uext4_open(m->pw->fs, NULL, rnd(m, 2) ? "/d1" : "/",
			    UEXT4_O_TMPFILE | UEXT4_O_RDWR, 0600, NULL,
			    &file) == 0) {
		mix_write(m, file, false);
		pw_hold(m->pw, file);
	}
	pick(m, path);
	if (uext4_open(m->pw->fs, NULL, path, UEXT4_O_RDWR, 0, NULL, &file) < 0)
		return;
	assert_int_equal(uext4_resolve_parent(m->pw->fs, NULL, path, NULL, name,
					 &dir),
			0);
	(void)uext4_unlink(dir, name, NULL);
	uext4_node_put(dir);
	pw_hold(m->pw, file);
}

static void mix_op(struct mix *m)
{
	uint32_t ino = 0;

	pw_op(m->pw);
	if (rnd(m, 12) == 0) {
		pw_sync(m->pw);
		pw_end(m->pw);
		pw_ack(m->pw, 0);
		return;
	}
	if (m->pw->nheld < PW_HELD_MAX && rnd(m, 16) == 0)
		mix_orphan(m);
	else if (rnd(m, 2))
		mix_name(m);
	else
		ino = mix_file(m);
	pw_end(m->pw);
	if (ino)
		pw_ack(m->pw, ino);
}

/* ---- the kinds ---- */

static uint32_t mix_flags; /* of the mounts */
static unsigned long first_seed = 1;
static unsigned long nseeds = 1;
static unsigned long nseconds; /* 0: as long as it takes */
static struct pw_sum total;
static struct pw pw;

static bool start(struct mix *m, const char *kind, const struct pw_profile *p,
		const struct pw_setup *setup)
{
	char name[64];

	snprintf(name, sizeof(name), "%s-%lu", kind, (unsigned long)m->x);
	if (!pw_is_wanted(name, p))
		return false;
	if (!pw_open(&pw, name, p, setup))
		skip();
	m->pw = &pw;
	pw_mkdir(&pw, "/d1");
	pw_mkdir(&pw, "/d1/d2");
	pw_restart(&pw);
	return true;
}

static void ops(struct mix *m, unsigned n)
{
	while (n-- > 0)
		mix_op(m);
}

static void run_mix(unsigned long seed)
{
	/* Every other round of profiles has its data overtaken by commits. */
	struct pw_setup setup = {
		.mnt_flags = mix_flags,
		.commit_at_data = seed / pw_nprofiles % 2,
	};
	struct mix m = { .x = seed };

	if (!start(&m, "mix", &pw_profiles[seed % pw_nprofiles], &setup))
		return;
	ops(&m, MIX_OPS);
	(void)pw_judge(&pw, seed % 2 == 0, pw_max_states(1500));
	pw_sum_add(&total, &pw.sum);
}

static void run_chain(unsigned long seed)
{
	struct pw_setup setup = {
		.mnt_flags = mix_flags,
		.commit_at_data = seed / pw_nprofiles % 2,
	};
	struct mix m = { .x = seed };
	unsigned i;

	if (!start(&m, "chain", &pw_profiles[seed % pw_nprofiles], &setup))
		return;
	pw.nested_max /= 4;
	for (i = 0; i < 3; i++) {
		ops(&m, CHAIN_OPS);
		pw_crash(&pw, seed << 8 | i, pw_max_states(i ? 250 : 50));
	}
	ops(&m, CHAIN_OPS);
	(void)pw_judge(&pw, false, pw_max_states(250));
	pw_sum_add(&total, &pw.sum);
}

static void run_plain(unsigned long seed)
{
	static const struct pw_profile profiles[] = {
		{ "ext2-1k", "-t ext2 -b 1024 -N 256 -I 128", 4 << 10 },
		{ "ext4-nojournal",
				"-t ext4 -b 4096 -N 256 -O metadata_csum,64bit,"
				"^has_journal,^resize_inode",
				8 << 10 },
	};
	struct mix m = { .x = seed };

	if (!start(&m, "plain", &profiles[seed % 2],
			    &(struct pw_setup){ .mnt_flags = mix_flags }))
		return;
	ops(&m, MIX_OPS);
	(void)pw_judge_repaired(&pw, pw_max_states(150));
	pw_sum_add(&total, &pw.sum);
}

static void run_all(void (*run)(unsigned long seed))
{
	time_t end = time(NULL) + (time_t)nseconds;
	unsigned long seed;

	for (seed = first_seed; seed < first_seed + nseeds; seed++) {
		run(seed);
		if (nseconds > 0 && time(NULL) >= end)
			break;
	}
}

static void random_mixes_survive_power_cuts(void **state)
{
	(void)state;
	run_all(run_mix);
}

static void chains_of_power_cuts_are_survived(void **state)
{
	(void)state;
	run_all(run_chain);
}

static void without_a_journal_what_was_synced_survives(void **state)
{
	(void)state;
	run_all(run_plain);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "mixes";
	bool is_dax = strncmp(what, "dax_", 4) == 0;
	const char *kind = is_dax ? what + 4 : what;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_mixes_survive_power_cuts),
		cmocka_unit_test(chains_of_power_cuts_are_survived),
		cmocka_unit_test(without_a_journal_what_was_synced_survives),
	};
	size_t which = kind[0] == 'm' ? 0 : kind[0] == 'c' ? 1 : 2;
	int ret;

	mix_flags = is_dax ? UEXT4_MNT_DAX : 0;
	if (argc > 2)
		first_seed = strtoul(argv[2], NULL, 0);
	if (argc > 3)
		nseeds = strtoul(argv[3], NULL, 0);
	if (argc > 4)
		nseconds = strtoul(argv[4], NULL, 0);
	ret = _cmocka_run_group_tests("power", &tests[which], 1, NULL, NULL);
	pw_sum_print(&total);
	return ret;
}
