/* SPDX-License-Identifier: MIT */
/*
 * The journal against e2fsprogs, both ways: debugfs writes a log and we
 * recover it as e2fsck does; we write a log and e2fsck recovers it as we do.
 * The blocks used are free ones, so that the file system stays sound.
 */
#include "jtest.h"

#include "e2img.h"

#define MAX_RUNS 64
#define FIRST    12000u /* free blocks of a 16 MiB image with 1 KiB blocks */
#define NBLK     64u

struct fsimg {
	struct e2img e2;
	struct journal_run runs[MAX_RUNS];
	uint32_t nruns;
	uint32_t bs;
};

/* The blocks of the journal inode, from the text of debugfs' stat. */
static void find_runs(struct fsimg *f)
{
	static char out[65536];
	const char *p;

	e2_sh_out(out, sizeof(out), "debugfs -R 'stat <8>' '%s' 2>/dev/null",
			f->e2.path);
	p = strstr(out, "BLOCKS:");
	if (p == NULL)
		p = strstr(out, "EXTENTS:");
	assert_non_null(p);
	while ((p = strchr(p, '(')) != NULL) {
		unsigned long long a, b, c;
		int n = 0;

		if (sscanf(p, "(%llu-%llu):%llu%n", &a, &b, &c, &n) == 3 &&
				n > 0) {
			assert_true(f->nruns < MAX_RUNS);
			f->runs[f->nruns++] = (struct journal_run){ c,
				(uint32_t)(b - a + 1) };
		} else if (sscanf(p, "(%llu):%llu%n", &a, &c, &n) == 2) {
			assert_true(f->nruns < MAX_RUNS);
			f->runs[f->nruns++] = (struct journal_run){ c, 1 };
		}
		p++;
	}
	assert_true(f->nruns > 0);
}

static bool img_make(struct fsimg *f, const char *args)
{
	memset(f, 0, sizeof(*f));
	if (!e2_make(&f->e2, args, "16M", NULL))
		return false;
	f->bs = 1024;
	find_runs(f);
	return true;
}

/* ---- our side, on an image file ---- */

struct mount {
	struct jt t;
	struct bdev *dev;
};

static void mount_open(struct mount *m, struct fsimg *f, const char *path,
		bool v3, bool b64)
{
	struct journal_params p;

	memset(m, 0, sizeof(*m));
	assert_int_equal(bdev_file_open(path, NULL, &m->dev), 0);
	log_init(&m->t.log, NULL, NULL, LOG_LEVEL_NONE);
	m->t.dev = m->dev;
	m->t.o.bs = f->bs;
	assert_int_equal(buf_cache_new(m->dev, f->bs, 16384, 16u << 20,
					 &m->t.log, &m->t.cache),
			0);
	p = (struct journal_params){
		.dev = m->dev,
		.cache = m->t.cache,
		.log = &m->t.log,
		.block_size = f->bs,
		.fs_blocks = 16384,
		.runs = f->runs,
		.nruns = f->nruns,
		.uuid = f->e2.bytes + 1024 + 0x68,
		.want_csum_v3 = v3,
		.want_64bit = b64,
	};
	assert_int_equal(journal_load(&p, &m->t.j, &m->t.dirty), 0);
}

static void mount_drop(struct mount *m)
{
	jt_drop(&m->t);
	assert_int_equal(bdev_close(m->dev), 0);
}

static int recover(
		struct fsimg *f, const char *path, struct journal_recovery *rec)
{
	struct mount m;
	int ret;

	mount_open(&m, f, path, false, false);
	assert_true(m.t.dirty);
	ret = journal_recover(m.t.j, rec);
	mount_drop(&m);
	return ret;
}

static uint8_t *read_blocks(struct fsimg *f, const char *path)
{
	uint8_t *p = malloc((size_t)NBLK * f->bs);
	FILE *file = fopen(path, "r");

	assert_non_null(file);
	assert_int_equal(fseek(file, (long)FIRST * f->bs, SEEK_SET), 0);
	assert_int_equal(fread(p, f->bs, NBLK, file), NBLK);
	(void)fclose(file);
	return p;
}

/* @path is the dirty image. Recover one copy, let e2fsck recover another:
 * the same blocks, and nothing to complain about in either. */
static void compare_replays(struct fsimg *f, uint64_t replayed)
{
	struct journal_recovery rec;
	char ours[96], theirs[96];
	uint8_t *a, *b;
	uint32_t i;

	(void)snprintf(ours, sizeof(ours), "%s/ours", f->e2.dir);
	(void)snprintf(theirs, sizeof(theirs), "%s/theirs", f->e2.dir);
	assert_int_equal(e2_sh("cp '%s' '%s'; cp '%s' '%s'", f->e2.path, ours,
					 f->e2.path, theirs),
			0);
	assert_int_equal(recover(f, ours, &rec), 0);
	assert_int_equal(rec.replayed, replayed);
	if (e2_sh("e2fsck -fy -E journal_only '%s' >'%s/log' 2>&1", theirs,
			    f->e2.dir) > 1) {
		(void)e2_sh("cat '%s/log'", f->e2.dir);
		fail_msg("e2fsck cannot replay");
	}
	a = read_blocks(f, ours);
	b = read_blocks(f, theirs);
	for (i = 0; i < NBLK; i++)
		if (memcmp(a + (size_t)i * f->bs, b + (size_t)i * f->bs,
				    f->bs) != 0)
			fail_msg("block %u differs", FIRST + i);
	free(a);
	free(b);
	/* The log is empty for them now: no replay, no complaint. */
	assert_int_equal(e2_sh("debugfs -w -R 'feature ^needs_recovery' '%s' "
			       ">/dev/null 2>&1; e2fsck -fn '%s' >'%s/log' "
			       "2>&1 || { cat '%s/log'; false; }",
					 ours, ours, f->e2.dir, f->e2.dir),
			0);
	assert_int_equal(e2_sh("e2fsck -fn '%s' >/dev/null 2>&1", theirs), 0);
}

/* ---- they write ---- */

static void put_file(
		struct fsimg *f, const char *name, uint32_t n, uint64_t val)
{
	char path[128];
	uint8_t block[1024];
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/%s", f->e2.dir, name);
	file = fopen(path, "w");
	assert_non_null(file);
	while (n-- > 0) {
		jt_fill(block, sizeof(block), val++);
		assert_int_equal(fwrite(block, sizeof(block), 1, file), 1);
	}
	(void)fclose(file);
}

static void debugfs_writes(const char *args, const char *open)
{
	static const char script[] =
			"%s\n"
			"jw -b 12000,12001,12002,12003,12004,12005 f6\n"
			"jw -b 12001 f1\n"
			"jw -r 12002,12003\n"
			"jw -b 12003 g1\n"
			"jw -c -b 12000 g1\n"
			"jc\n";
	char text[512];
	struct fsimg f;
	uint8_t *p;

	if (!img_make(&f, args))
		skip();
	put_file(&f, "f6", 6, 100); /* 101, 105: escaped */
	put_file(&f, "f1", 1, 201);
	put_file(&f, "g1", 1, 301);
	(void)snprintf(text, sizeof(text), script, open);
	e2_debugfs(&f.e2, text);
	compare_replays(&f, 6);
	(void)snprintf(text, sizeof(text), "%s/ours", f.e2.dir);
	p = read_blocks(&f, text);
	assert_int_equal(jt_value(p, 1024), 100);
	assert_int_equal(jt_value(p + 1024, 1024), 201);
	assert_int_equal(jt_value(p + 2048, 1024), 0);
	assert_int_equal(jt_value(p + 3072, 1024), 301);
	assert_int_equal(jt_value(p + 4096, 1024), 104);
	assert_int_equal(jt_value(p + 5120, 1024), 105);
	free(p);
	e2_free(&f.e2);
}

#define EXT3  "-t ext3 -b 1024 -J size=1"
#define EXT4  "-t ext4 -b 1024 -J size=1 -O metadata_csum,^64bit"
#define EXT64 "-t ext4 -b 1024 -J size=1 -O metadata_csum,64bit"

static void logs_of_debugfs_are_recovered(void **state)
{
	debugfs_writes(EXT3, "jo");
	debugfs_writes(EXT64, "jo");
	debugfs_writes(EXT4, "jo -c -v 2");
	debugfs_writes(EXT64, "jo -c -v 2");
	debugfs_writes(EXT4, "jo -c -v 3");
	debugfs_writes(EXT64, "jo -c -v 3");
}

/* ---- we write ---- */

/* A history that wraps the log of 1,024 blocks several times. */
static void write_history(struct jt *t)
{
	struct handle *h;
	uint32_t n = journal_max_credits(t->j);
	uint64_t i, k;

	if (n > NBLK)
		n = NBLK;
	for (i = 1; i <= 60; i++) {
		assert_int_equal(handle_start(t->j, n, &h), 0);
		if (i % 3 == 0) {
			assert_int_equal(handle_forget(h, FIRST + i % NBLK), 0);
			assert_int_equal(handle_forget(h, FIRST + 63), 0);
		}
		for (k = 0; k < n; k++)
			if (i % 3 != 0 || (k != i % NBLK && k != 63))
				jt_set(t, h, FIRST + k, i * 100 + k);
		assert_int_equal(handle_stop(h), 0);
		assert_int_equal(journal_sync(t->j), 0);
	}
}

static void we_write(const char *args, bool v3, bool b64)
{
	struct journal_recovery rec;
	struct mount m;
	struct fsimg f;

	if (!img_make(&f, args))
		skip();
	mount_open(&m, &f, f.e2.path, v3, b64);
	assert_false(m.t.dirty);
	assert_int_equal(journal_start(m.t.j), 0);
	write_history(&m.t);
	mount_drop(&m); /* power off */
	assert_int_equal(e2_sh("debugfs -w -R 'feature needs_recovery' '%s' "
			       ">/dev/null 2>&1",
					 f.e2.path),
			0);

	/* How many copies there are we ask ourselves: e2fsck is asked for the
	 * result. */
	assert_int_equal(e2_sh("cp '%s' '%s/count'", f.e2.path, f.e2.dir), 0);
	{
		char path[96];

		(void)snprintf(path, sizeof(path), "%s/count", f.e2.dir);
		assert_int_equal(recover(&f, path, &rec), 0);
		assert_true(rec.replayed > 0 && rec.revoked > 0);
	}
	compare_replays(&f, rec.replayed);
	e2_free(&f.e2);
}

static void our_logs_are_recovered_by_e2fsck(void **state)
{
	we_write(EXT3, false, false);
	we_write(EXT4, true, false);
	we_write(EXT64, true, true);
	we_write(EXT64, false, true);
	we_write("-t ext3 -b 1024 -J size=4", true, true);
}

/* After our clean close: the superblock is theirs to read, and our next mount
 * goes on where they stopped. */
static void a_clean_journal_changes_hands(void **state)
{
	struct journal_recovery rec;
	struct mount m;
	struct fsimg f;
	txid_t before;

	if (!img_make(&f, EXT64))
		skip();
	mount_open(&m, &f, f.e2.path, true, true);
	assert_int_equal(journal_start(m.t.j), 0);
	write_history(&m.t);
	before = journal_running_txid(m.t.j);
	assert_int_equal(journal_close(m.t.j), 0);
	m.t.j = NULL;
	mount_drop(&m);
	put_file(&f, "f6", 6, 5000);
	e2_debugfs(&f.e2, "jo -c -v 3\njw -b 12000,12001 f6\njc\n");
	mount_open(&m, &f, f.e2.path, true, true);
	assert_true(m.t.dirty);
	assert_int_equal(journal_recover(m.t.j, &rec), 0);
	assert_false(txid_is_before(rec.first, before));
	assert_int_equal(rec.last, rec.first + 1);
	assert_int_equal(journal_start(m.t.j), 0);
	assert_int_equal(jt_get(&m.t, FIRST), 5000);
	assert_int_equal(jt_get(&m.t, FIRST + 1), 5001);
	assert_int_equal(jt_get(&m.t, FIRST + 2), 6002);
	assert_int_equal(jt_unmount(&m.t), 0);
	assert_int_equal(bdev_close(m.dev), 0);
	e2_free(&f.e2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(logs_of_debugfs_are_recovered),
		cmocka_unit_test(our_logs_are_recovered_by_e2fsck),
		cmocka_unit_test(a_clean_journal_changes_hands),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
