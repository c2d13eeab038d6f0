/* SPDX-License-Identifier: MIT */
/*
 * debugfs, which shares no code with us, as writer and reader: of journals
 * that a mount must replay, of journals that we leave, and of trees that we
 * made. e2fsck replays a copy of each journal: equal trees.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "env.h"
#include "snap.h"
#include "tree.h"

#define NBLK 24u

struct blocks {
	uint64_t pblk[NBLK];
	unsigned n;
	uint32_t bs;
};

static int blocks_add(void *ctx, const struct uext4_extent *x)
{
	struct blocks *b = ctx;

	for (uint64_t at = 0; at < x->length && b->n < NBLK; at += b->bs)
		b->pblk[b->n++] = (x->physical + at) / b->bs;
	return 0;
}

/* A file of NBLK blocks of @byte; where they are. */
static void file_make(struct env *e, const char *path, int byte,
		struct blocks *ret_blocks)
{
	struct uext4_file *f = env_open(e, path, UEXT4_O_RDWR | UEXT4_O_CREAT);

	env_fill(f, 0, NBLK * e->bs, byte);
	ret_blocks->n = 0;
	ret_blocks->bs = e->bs;
	assert_int_equal(uext4_fiemap(f, 0, UINT64_MAX, true, blocks_add,
					 ret_blocks),
			0);
	assert_int_equal(ret_blocks->n, NBLK);
	env_close(f);
}

/* The command that journals blocks [from, to), filled with @byte. */
static void jw(struct env *e, FILE *script, const struct blocks *b,
		unsigned from, unsigned to, int byte, bool revoke)
{
	char data[160];
	FILE *f;

	fprintf(script, "jw %s ", revoke ? "-r" : "-b");
	for (unsigned i = from; i < to; i++)
		fprintf(script, "%s%llu", i == from ? "" : ",",
				(unsigned long long)b->pblk[i]);
	if (!revoke) {
		(void)snprintf(data, sizeof(data), "%s/data%c", e->dir, byte);
		f = fopen(data, "w");
		assert_non_null(f);
		for (uint32_t i = 0; i < (to - from) * e->bs; i++)
			fputc(byte, f);
		fclose(f);
		fprintf(script, " %s", data);
	}
	fputc('\n', script);
}

static void debugfs(struct env *e, const char *script)
{
	assert_int_equal(env_sh("debugfs -w -f %s %s >%s 2>&1", script, e->img,
					 e->out),
			0);
}

static void block_is(
		struct env *e, struct uext4_file *f, unsigned block, int byte)
{
	env_expect(f, (uint64_t)block * e->bs, e->bs, byte);
}

static void replays_what_debugfs_wrote(struct env *e)
{
	char script[160], copy[160];
	struct uext4_info info;
	struct snap ours, fsck;
	struct uext4_file *f;
	struct blocks b;
	FILE *s;

	file_make(e, "/f", 'a', &b);
	env_unmount(e);
	(void)snprintf(script, sizeof(script), "%s/script", e->dir);
	(void)snprintf(copy, sizeof(copy), "%s/copy", e->dir);
	s = fopen(script, "w");
	assert_non_null(s);
	fprintf(s, "jo\n");
	jw(e, s, &b, 0, 8, 'b', false);
	fprintf(s, "jc\njo\n");
	jw(e, s, &b, 4, 12, 'c', false);
	jw(e, s, &b, 2, 4, 0, true); /* 'b' must not come back */
	fprintf(s, "jc\njo\n");
	jw(e, s, &b, 16, 18, 'd', false);
	fprintf(s, "jc\n");
	fclose(s);
	debugfs(e, script);
	assert_int_equal(env_sh("dumpe2fs -h %s 2>/dev/null | "
				"grep -q needs_recovery",
					 e->img),
			0);
	assert_int_equal(env_sh("cp --sparse=always %s %s", e->img, copy), 0);

	env_mount(e);
	assert_int_equal(uext4_info(e->fs, &info), 0);
	assert_true(info.needed_recovery);
	assert_int_equal(info.replayed_transactions, 4); /* one a jw */
	assert_true(info.revoked_blocks >= 2);
	f = env_open(e, "/f", UEXT4_O_RDONLY);
	for (unsigned i = 0; i < NBLK; i++)
		block_is(e, f, i,
				i < 2                    ? 'b'
						: i < 4  ? 'a'
						: i < 12 ? 'c'
						: i < 16 ? 'a'
						: i < 18 ? 'd'
							 : 'a');
	env_close(f);
	snap_api(e->fs, 0, &ours);
	env_unmount(e);
	env_judge(e);

	assert_true(env_sh("e2fsck -fy %s >%s 2>&1", copy, e->out) <= 1);
	assert_int_equal(env_sh("mv %s %s", copy, e->img), 0);
	e->flags = UEXT4_MNT_RDONLY;
	env_mount(e);
	snap_api(e->fs, 0, &fsck);
	env_unmount(e);
	bool same = snap_equal(&ours, &fsck, "library, e2fsck");

	snap_free(&ours);
	snap_free(&fsck);
	assert_true(same);
}

static void debugfs_reads_our_journal(struct env *e)
{
	struct uext4_file *f;

	for (int i = 0; i < 5; i++) {
		char path[32];

		(void)snprintf(path, sizeof(path), "/f%d", i);
		f = env_open(e, path, UEXT4_O_RDWR | UEXT4_O_CREAT);
		env_fill(f, 0, 20000, i);
		assert_int_equal(uext4_fsync(f), 0);
		env_close(f);
	}
	assert_int_equal(env_unlink(e, "/f3"), 0);
	assert_int_equal(env_mkdir(e, "/d", 0755), 0);
	assert_int_equal(uext4_sync(e->fs), 0);
	env_cut(e);

	assert_int_equal(env_sh("debugfs -R 'logdump -a' %s >%s 2>&1", e->img,
					 e->out),
			0);
	/* five commits at least, each found where it is expected */
	assert_int_equal(env_sh("test $(grep -c 'type 2 (commit block)' %s) "
				"-ge 5",
					 e->out),
			0);
	assert_int_equal(env_sh("grep -q 'type 1 (descriptor block)' %s",
					 e->out),
			0);
	assert_int_equal(env_sh("grep -qi 'corrupt\\|bad checksum\\|invalid' "
				"%s",
					 e->out),
			1);
	assert_int_equal(env_sh("e2fsck -fy %s >%s 2>&1", e->img, e->out) & ~1,
			0);
	env_mount(e);
	assert_int_equal(env_exists(e, "/d"), 0);
	assert_int_equal(env_exists(e, "/f3"), -ENOENT);
}

static void debugfs_reads_our_tree(struct env *e)
{
	struct snap ours, theirs;
	size_t n = 0;
	char dir[160];

	tree_build(&tree_api, e->fs, e->p->has & ENV_EXTENT);
	/* what rdump does not make is left out, and the two long ones */
	assert_int_equal(env_unlink(e, "/sparse"), 0);
	assert_int_equal(env_unlink(e, "/chr"), 0);
	assert_int_equal(env_unlink(e, "/blk"), 0);
	assert_int_equal(env_unlink(e, "/fifo"), 0);
	assert_int_equal(env_unlink(e, "/sock"), 0);
	snap_api(e->fs, SNAP_NO_INO | SNAP_NO_TIMES | SNAP_ONLY_BYTES, &ours);
	env_unmount(e);
	(void)snprintf(dir, sizeof(dir), "%s/dump", e->dir);
	assert_int_equal(env_sh("mkdir %s && debugfs -R 'rdump / %s' %s "
				">%s 2>&1",
					 dir, dir, e->img, e->out),
			0);
	snap_posix(dir, SNAP_NO_INO | SNAP_NO_TIMES | SNAP_ONLY_BYTES, &theirs);
	n = ours.n;
	bool same = snap_equal(&ours, &theirs, "library, debugfs");

	snap_free(&ours);
	snap_free(&theirs);
	assert_true(same);
	assert_true(n > 1000);
	/* and an attribute */
	assert_int_equal(env_sh("debugfs -R 'ea_get /cut user.small' %s "
				"2>/dev/null | grep -q '\"1\"'",
					 e->img),
			0);
	env_mount(e);
}

int main(int argc, char **argv)
{
	static const struct env_case cases[] = {
		{ .name = "replays_what_debugfs_wrote",
				.body = replays_what_debugfs_wrote,
				.need = ENV_JOURNAL,
				.flags = ENV_CASE_NO_END },
		{ .name = "debugfs_reads_our_journal",
				.body = debugfs_reads_our_journal,
				.need = ENV_JOURNAL },
		{ .name = "debugfs_reads_our_tree",
				.body = debugfs_reads_our_tree },
	};

	return env_run("debugfs", cases, sizeof(cases) / sizeof(cases[0]), argc,
			argv);
}
