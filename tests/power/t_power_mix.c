/* SPDX-License-Identifier: MIT */
/*
 * Power cuts under random mixes of operations, seeds printed.
 *
 * usage: t_power_mix FIRST-SEED COUNT; PW_ONLY and PW_PROFILE replay one state.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hmap.h"
#include "power/pw.h"

#define MIX_OPS   40
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
	if (rnd(m, 2))
		mix_name(m);
	else
		ino = mix_file(m);
	pw_end(m->pw);
	if (ino)
		pw_ack(m->pw, ino);
}

static unsigned long env_number(const char *name, unsigned long other)
{
	const char *s = getenv(name);

	return s ? strtoul(s, NULL, 0) : other;
}

static unsigned long first_seed = 1;
static unsigned long nseeds = 1;
static uint64_t total;

static void run_seed(const struct pw_profile *p, unsigned long seed)
{
	static struct pw pw;
	struct mix m = { .pw = &pw, .x = seed };
	char name[64];
	unsigned i;

	snprintf(name, sizeof(name), "mix-%lu", seed);
	if (!pw_open(&pw, name, p))
		skip();
	pw.e2fsck_budget = 0.5;
	pw_mkdir(&pw, "/d1");
	pw_mkdir(&pw, "/d1/d2");
	pw_restart(&pw);
	for (i = 0; i < MIX_OPS; i++)
		mix_op(&m);
	total += pw_judge(&pw, seed % 2 == 0, env_number("PW_STATES", 4000));
}

static void random_mixes_survive_power_cuts(void **state)
{
	unsigned long seed;
	unsigned p;

	(void)state;
	for (seed = first_seed; seed < first_seed + nseeds; seed++) {
		p = (unsigned)seed % pw_nprofiles;
		if (getenv("PW_PROFILE") &&
				strcmp(getenv("PW_PROFILE"),
						pw_profiles[p].name) != 0)
			continue;
		run_seed(&pw_profiles[p], seed);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_mixes_survive_power_cuts),
	};
	int ret;

	if (argc > 1)
		first_seed = strtoul(argv[1], NULL, 0);
	if (argc > 2)
		nseeds = strtoul(argv[2], NULL, 0);
	ret = cmocka_run_group_tests(tests, NULL, NULL);
	printf("# %llu distinct states judged in all\n",
			(unsigned long long)total);
	return ret;
}
