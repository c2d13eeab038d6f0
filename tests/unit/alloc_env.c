/* SPDX-License-Identifier: MIT */
#include "alloc_env.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bdev/bdev.h"
#include "cache/buf.h"

const struct env_profile env_profiles[] = {
	{ "ext2-1k", "-t ext2 -b 1024", 43, false },
	{ "ext3-2k", "-t ext3 -b 2048", 90, false },
	{ "ext4-1k", "-t ext4 -b 1024", 75, false },
	{ "ext4-2k-lazy",
			"-t ext4 -b 2048 -E "
			"nodiscard,lazy_itable_init=1",
			70, true },
	{ "ext4-4k", "-t ext4 -b 4096", 700, false },
	{ "ext4-4k-csum-lazy",
			"-t ext4 -b 4096 -O metadata_csum,64bit -E "
			"nodiscard,lazy_itable_init=1",
			270, true },
	{ "ext4-1k-noflex-csum-lazy",
			"-t ext4 -b 1024 -O metadata_csum,^flex_bg -E "
			"nodiscard,lazy_itable_init=1",
			60, true },
	{ "uninit_bg-1k",
			"-t ext4 -b 1024 -O ^metadata_csum,uninit_bg -E "
			"nodiscard,lazy_itable_init=1",
			60, true },
	{ "uninit_bg-4k-noflex-32bit",
			"-t ext4 -b 4096 -O "
			"^metadata_csum,uninit_bg,^flex_bg,^64bit",
			500, false },
	{ "meta_bg-1k", "-t ext4 -b 1024 -O meta_bg,^resize_inode", 120,
			false },
	{ "sparse_super2-4k-noj",
			"-t ext4 -b 4096 -O sparse_super2,^has_journal", 600,
			false },
	{ "small-groups-1k", "-t ext4 -b 1024 -g 1024 -N 4000", 30, false },
};
const size_t env_nprofiles = sizeof(env_profiles) / sizeof(env_profiles[0]);

int env_shell(struct env *e, const char *fmt)
{
	char cmd[512];
	int st;

	snprintf(cmd, sizeof(cmd), fmt, e->path, e->path);
	st = system(cmd);
	return WIFEXITED(st) ? WEXITSTATUS(st) : -1;
}

/* Junk that looks like nothing valid, in every block. */
static void env_junk(int fd, uint64_t len)
{
	static uint8_t junk[1 << 16];

	memset(junk, 0xa5, sizeof(junk));
	for (uint64_t pos = 0; pos < len; pos += sizeof(junk))
		assert_int_equal(pwrite(fd, junk, sizeof(junk), (off_t)pos),
				sizeof(junk));
}

void env_make(struct env *e, const struct env_profile *p)
{
	char cmd[512];
	int fd;

	memset(e, 0, sizeof(*e));
	snprintf(e->path, sizeof(e->path), "/tmp/uext4-alloc-XXXXXX");
	fd = mkstemp(e->path);
	assert_true(fd >= 0);
	/* Half a group over, to have a short last one. */
	assert_int_equal(ftruncate(fd, (off_t)(p->mib << 20)), 0);
	if (p->dirty)
		env_junk(fd, p->mib << 20);
	close(fd);
	snprintf(cmd, sizeof(cmd), "mke2fs -q -F %s %s >/dev/null 2>&1",
			p->args, "%s");
	assert_int_equal(env_shell(e, cmd), 0);
	env_open(e);
	assert_int_equal(e->load, 0);
}

static void env_hear(void *arg, enum log_level level, const char *msg)
{
	struct env *e = arg;

	(void)level;
	snprintf(e->said, sizeof(e->said), "%s", msg);
}

static int env_precommit(void *ctx, struct handle *h)
{
	struct env *e = ctx;
	uint32_t off = DSUPER_OFF % e->geo.block_size;
	uint64_t blocks, inodes;
	struct buf *b;
	int ret;

	ret = buf_read(e->cache, DSUPER_OFF / e->geo.block_size, &b);
	if (ret < 0)
		return ret;
	buf_lock(b);
	ret = handle_get_write(h, b);
	if (ret == 0) {
		struct dsuper sb;

		alloc_disk_counts(e->alloc, &blocks, &inodes);
		dsuper_decode(b->data + off, &sb);
		sb.free_blocks_count = blocks;
		sb.free_inodes_count = (uint32_t)inodes;
		dsuper_encode(&sb, b->data + off);
		dsuper_csum_set(b->data + off);
		ret = handle_dirty(h, b);
	}
	buf_unlock(b);
	buf_put(b);
	return ret;
}

/* Where the journal's blocks are, as debugfs lists them. */
static void env_find_log(struct env *e)
{
	char cmd[128];
	unsigned long long b;
	FILE *f;

	snprintf(cmd, sizeof(cmd), "debugfs -R 'blocks <8>' %s 2>/dev/null",
			e->path);
	e->nruns = 0;
	f = popen(cmd, "r");
	assert_non_null(f);
	while (fscanf(f, "%llu", &b) == 1) {
		struct journal_run *r;

		r = e->nruns > 0 ? &e->runs[e->nruns - 1] : NULL;
		if (r != NULL && r->pblk + r->len == b) {
			r->len++;
			continue;
		}
		e->runs = reallocarray(e->runs, e->nruns + 1, sizeof(*e->runs));
		assert_non_null(e->runs);
		e->runs[e->nruns++] = (struct journal_run){ b, 1 };
	}
	assert_int_equal(pclose(f), 0);
	assert_true(e->nruns > 0);
}

static void env_open_journal(struct env *e)
{
	struct journal_params jp = { .dev = e->dev,
		.cache = e->cache,
		.log = &e->log,
		.block_size = e->geo.block_size,
		.fs_blocks = e->geo.blocks,
		.uuid = e->sb.uuid,
		.precommit = env_precommit,
		.precommit_credits = 1,
		.want_csum_v3 = geo_has_csum(&e->geo),
		.want_64bit = geo_is_64bit(&e->geo),
		.ctx = e };
	bool dirty;

	if (e->use_log) {
		env_find_log(e);
		jp.runs = e->runs;
		jp.nruns = e->nruns;
		assert_int_equal(journal_load(&jp, &e->journal, &dirty), 0);
		assert_false(dirty);
	} else {
		assert_int_equal(journal_open_none(&jp, &e->journal), 0);
	}
	assert_int_equal(journal_start(e->journal), 0);
}

void env_use_log(struct env *e)
{
	env_close(e);
	e->use_log = true;
	env_open(e);
	assert_int_equal(e->load, 0);
}

void env_open(struct env *e)
{
	uint8_t raw[DSUPER_SIZE];
	struct alloc_params ap = { 0 };

	assert_int_equal(bdev_file_open(e->path, NULL, &e->dev), 0);
	assert_int_equal(bdev_read(e->dev, DSUPER_OFF, raw, sizeof(raw), 0, 0),
			0);
	dsuper_decode(raw, &e->sb);
	assert_int_equal(dsuper_check(&e->sb, bdev_size(e->dev), NULL), 0);
	assert_int_equal(geo_init(&e->geo, &e->sb, NULL), 0);
	log_init(&e->log, env_hear, e, LOG_LEVEL_WARN);
	assert_int_equal(buf_cache_new(e->dev, e->geo.block_size, e->geo.blocks,
					 16 << 20, &e->log, &e->cache),
			0);
	env_open_journal(e);
	ap = (struct alloc_params){ .geo = &e->geo,
		.cache = e->cache,
		.journal = e->journal,
		.log = &e->log,
		.free_blocks = e->sb.free_blocks_count,
		.free_inodes = e->sb.free_inodes_count,
		.root_blocks = e->sb.r_blocks_count,
		.read_only = e->read_only };
	assert_int_equal(alloc_open(&ap, &e->alloc), 0);
	e->load = alloc_load(e->alloc);
	for (uint32_t i = 0; i < e->nruns && e->use_log; i++)
		assert_int_equal(alloc_add_system(e->alloc, e->runs[i].pblk,
						 e->runs[i].len),
				0);
}

void env_sync(struct env *e)
{
	assert_int_equal(journal_sync(e->journal), 0);
}

void env_close(struct env *e)
{
	env_sync(e);
	alloc_close(e->alloc);
	assert_int_equal(journal_close(e->journal), 0);
	buf_cache_free(e->cache);
	assert_int_equal(bdev_close(e->dev), 0);
	log_fini(&e->log);
}

void env_kill(struct env *e)
{
	alloc_close(e->alloc);
	journal_free(e->journal);
	buf_cache_free(e->cache);
	assert_int_equal(bdev_close(e->dev), 0);
	log_fini(&e->log);
}

void env_reopen(struct env *e)
{
	env_close(e);
	env_open(e);
	assert_int_equal(e->load, 0);
}

void env_fsck(struct env *e)
{
	env_close(e);
	assert_int_equal(env_shell(e, "e2fsck -fn %s >%s.fsck 2>&1"), 0);
}

void env_drop(struct env *e)
{
	char name[80];

	free(e->runs);
	snprintf(name, sizeof(name), "%s.fsck", e->path);
	unlink(name);
	assert_int_equal(unlink(e->path), 0);
}

void env_start(struct env *e, uint32_t credits, struct handle **ret_h)
{
	assert_int_equal(handle_start(e->journal, credits, ret_h), 0);
}

void env_stop(struct handle *h)
{
	assert_int_equal(handle_stop(h), 0);
}

/* "  <what>: 12-17, 20" of each group: clear those. */
static uint8_t *env_dump(
		struct env *e, const char *what, uint64_t n, uint64_t first)
{
	uint8_t *used = malloc(n);
	char *line = NULL, cmd[128];
	size_t cap = 0;
	FILE *f;

	assert_non_null(used);
	memset(used, 1, n);
	if (e->use_log)
		assert_int_equal(journal_flush(e->journal), 0);
	else
		env_sync(e);
	snprintf(cmd, sizeof(cmd), "dumpe2fs %s 2>&1", e->path);
	f = popen(cmd, "r");
	assert_non_null(f);
	while (getline(&line, &cap, f) > 0) {
		char *p = line;

		assert_null(strstr(line, "hecksum error"));
		if (strncmp(line, what, strlen(what)) != 0)
			continue;
		for (p += strlen(what); *p != '\0';) {
			uint64_t lo, hi;

			while (*p == ' ' || *p == ',' || *p == '\n')
				p++;
			if (*p < '0' || *p > '9')
				break;
			lo = hi = strtoull(p, &p, 10);
			if (*p == '-')
				hi = strtoull(p + 1, &p, 10);
			assert_true(lo >= first && hi - first < n);
			memset(used + (lo - first), 0, hi - lo + 1);
		}
	}
	free(line);
	assert_int_equal(pclose(f), 0);
	return used;
}

uint8_t *env_used_blocks(struct env *e)
{
	return env_dump(e, "  Free blocks: ", e->geo.blocks, 0);
}

uint8_t *env_used_inodes(struct env *e)
{
	return env_dump(e, "  Free inodes: ", e->geo.inodes, 1);
}

void env_poke(struct env *e, uint64_t pos, const void *bytes, size_t len)
{
	int fd = open(e->path, O_WRONLY);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, len, (off_t)pos), len);
	close(fd);
}

void env_peek(struct env *e, uint64_t pos, void *bytes, size_t len)
{
	int fd = open(e->path, O_RDONLY);

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, bytes, len, (off_t)pos), len);
	close(fd);
}
