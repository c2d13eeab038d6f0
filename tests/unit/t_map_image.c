/* SPDX-License-Identifier: MIT */
/*
 * Mappings in real images: mke2fs makes them, debugfs reads the trees that we
 * wrote and makes some that we read, e2fsck judges.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc_env.h"
#include "bdev/bdev.h"
#include "cache/buf.h"
#include "disk/dinode.h"
#include "map/map.h"

#define LBLKS 3000u

/* A file of an open image. */
struct file {
	struct env *e;
	struct mapping m;
	uint8_t root[60];
	inum_t inum;
	pblk_t pblk; /* where its inode stands */
	uint32_t off;
	uint32_t sectors; /* in a block */
};

static int file_dirty(struct mapping *m, struct handle *h)
{
	struct file *f = container_of(m, struct file, m);
	struct dinode di;
	struct buf *b;
	int ret;

	ret = buf_read(m->cache, f->pblk, &b);
	if (ret < 0)
		return ret;
	buf_lock(b);
	ret = handle_get_write(h, b);
	if (ret == 0) {
		dinode_decode(m->geo, b->data + f->off, &di);
		memcpy(di.iblock, f->root, sizeof(f->root));
		di.sectors = m->blocks * f->sectors;
		di.size = (uint64_t)LBLKS * m->geo->block_size;
		ret = dinode_encode(m->geo, &di, b->data + f->off);
		dinode_csum_set(m->geo, f->inum, b->data + f->off);
	}
	if (ret == 0)
		ret = handle_dirty(h, b);
	buf_unlock(b);
	buf_put(b);
	return ret;
}

static const struct map_ops file_ops = { .dirty = file_dirty };

static void file_open(struct file *f, struct env *e, inum_t inum)
{
	struct dinode di;
	struct buf *b;

	memset(f, 0, sizeof(*f));
	f->e = e;
	f->inum = inum;
	f->sectors = e->geo.block_size / 512;
	assert_int_equal(ialloc_locate(e->alloc, inum, &f->pblk, &f->off), 0);
	assert_int_equal(buf_read(e->cache, f->pblk, &b), 0);
	dinode_decode(&e->geo, b->data + f->off, &di);
	buf_put(b);
	memcpy(f->root, di.iblock, sizeof(f->root));
	f->m = (struct mapping){
		.geo = &e->geo,
		.cache = e->cache,
		.alloc = e->alloc,
		.log = &e->log,
		.ops = &file_ops,
		.inum = inum,
		.gen = di.generation,
		.is_extents = di.flags & DINODE_F_EXTENTS,
		.root = f->root,
		.blocks = di.sectors / f->sectors,
	};
	mapping_init(&f->m);
	assert_int_equal(mapping_check_root(&f->m), 0);
}

static void file_remove(struct file *f, lblk_t lblk, uint64_t end)
{
	struct handle *h;

	while (end > lblk) {
		env_start(f->e, map_credits_remove(&f->m), &h);
		assert_int_equal(map_remove(h, &f->m, lblk, end, &end), 0);
		env_stop(h);
	}
}

/* A file of nothing, made by debugfs while the image is closed. */
static inum_t file_make(struct env *e, const char *src)
{
	char cmd[256];
	unsigned inum = 0;
	FILE *p;

	env_close(e);
	snprintf(cmd, sizeof(cmd), "debugfs -w -R 'write %s f' %s 2>/dev/null",
			src, e->path);
	p = popen(cmd, "r");
	assert_non_null(p);
	assert_int_equal(fscanf(p, "Allocated inode: %u", &inum), 1);
	assert_int_equal(pclose(p), 0);
	env_open(e);
	assert_int_equal(e->load, 0);
	return inum;
}

/* What debugfs says that @lblk of the file is at. */
static pblk_t ask_debugfs(struct env *e, inum_t inum, lblk_t lblk)
{
	char cmd[256];
	unsigned long long pblk = 0;
	FILE *p;

	snprintf(cmd, sizeof(cmd), "debugfs -R 'bmap <%u> %u' %s 2>/dev/null",
			inum, lblk, e->path);
	p = popen(cmd, "r");
	assert_non_null(p);
	assert_int_equal(fscanf(p, "%llu", &pblk), 1);
	assert_int_equal(pclose(p), 0);
	return pblk;
}

static void random_op(struct file *f)
{
	const lblk_t lblk = (lblk_t)random() % LBLKS;
	const uint32_t most = random() % 4 ? 8 : 300;
	uint32_t len = 1 + (uint32_t)random() % most;
	struct map_run run;
	struct handle *h;
	int ret;

	len = min_of(len, LBLKS - lblk);
	switch (random() % 5) {
	case 0:
	case 1:
	case 2:
		env_start(f->e, map_credits_alloc(&f->m, len), &h);
		ret = map_alloc(h, &f->m, lblk, len,
				f->m.is_extents && random() % 2
						? MAP_F_UNWRITTEN
						: 0,
				&run);
		env_stop(h);
		assert_int_equal(ret, 0);
		break;
	case 3:
		assert_int_equal(map_find(&f->m, lblk, len, &run), 0);
		if (run.type == MAP_HOLE)
			break;
		env_start(f->e, map_credits_convert(&f->m), &h);
		assert_int_equal(map_convert(h, &f->m, lblk, run.len), 0);
		env_stop(h);
		break;
	default:
		file_remove(f, lblk, lblk + min_of(len, 40u));
		break;
	}
}

/* Random changes, seen with our eyes, debugfs's and e2fsck's. */
static void try_profile(const struct env_profile *p, bool use_log)
{
	struct env e;
	struct file f;
	pblk_t want[40];
	lblk_t at[40];
	struct map_run run;
	inum_t inum;

	print_message("  %s%s\n", p->name, use_log ? ", journal" : "");
	env_make(&e, p);
	inum = file_make(&e, "/dev/null");
	if (use_log)
		env_use_log(&e);
	srandom(7);
	for (int round = 0; round < 2; round++) {
		file_open(&f, &e, inum);
		for (int i = 0; i < 1200; i++)
			random_op(&f);
		for (int i = 0; i < 40; i++) {
			at[i] = (lblk_t)random() % LBLKS;
			assert_int_equal(map_find(&f.m, at[i], 1, &run), 0);
			want[i] = run.pblk;
		}
		mapping_fini(&f.m);
		env_fsck(&e);
		for (int i = 0; i < 40; i++)
			assert_int_equal(ask_debugfs(&e, inum, at[i]), want[i]);
		env_open(&e);
	}

	file_open(&f, &e, inum);
	file_remove(&f, 0, UINT32_MAX);
	assert_int_equal(f.m.blocks, 0);
	mapping_fini(&f.m);
	env_fsck(&e);
	env_drop(&e);
}

static void our_trees_pass_e2fsck_and_debugfs(void **state)
{
	const char *const names[] = { "ext2-1k", "ext3-2k", "ext4-1k",
		"ext4-4k-csum-lazy", "small-groups-1k" };

	(void)state;
	for (size_t i = 0; i < env_nprofiles; i++)
		for (size_t k = 0; k < array_len(names); k++)
			if (!strcmp(env_profiles[i].name, names[k]))
				try_profile(&env_profiles[i], false);
}

static void so_they_do_with_a_journal(void **state)
{
	(void)state;
	for (size_t i = 0; i < env_nprofiles; i++)
		if (!strcmp(env_profiles[i].name, "ext4-1k-noflex-csum-lazy") ||
				!strcmp(env_profiles[i].name, "ext4-2k-lazy"))
			try_profile(&env_profiles[i], true);
}

/* A file with many extents (every other block a hole) as debugfs writes it. */
static void their_trees_are_read_and_removed(void **state)
{
	const struct env_profile *const p = &env_profiles[2];
	char src[] = "/tmp/uext4-map-XXXXXX";
	uint8_t block[1024];
	struct map_run run;
	struct env e;
	struct file f;
	inum_t inum;
	lblk_t lblk = 0;
	uint32_t n = 0;
	int fd = mkstemp(src);
	FILE *out = fdopen(fd, "w");

	(void)state;
	assert_non_null(out);
	memset(block, 'x', sizeof(block));
	for (uint32_t i = 0; i < 1500; i++) {
		assert_int_equal(fseek(out, 2048 * (long)i, SEEK_SET), 0);
		assert_int_equal(fwrite(block, 1, sizeof(block), out),
				sizeof(block));
	}
	fclose(out);
	env_make(&e, p);
	inum = file_make(&e, src);
	remove(src);

	file_open(&f, &e, inum);
	assert_true(f.m.depth >= 1);
	while (map_next(&f.m, lblk, &run) == 0) {
		assert_int_equal(run.lblk, 2 * n);
		assert_int_equal(run.type, MAP_WRITTEN);
		if (n % 100 == 0)
			assert_int_equal(ask_debugfs(&e, inum, run.lblk),
					run.pblk);
		lblk = run.lblk + run.len;
		n++;
	}
	assert_int_equal(n, 1500);

	file_remove(&f, 1000, UINT32_MAX);
	mapping_fini(&f.m);
	env_fsck(&e);
	assert_int_not_equal(ask_debugfs(&e, inum, 998), 0);
	assert_int_equal(ask_debugfs(&e, inum, 1000), 0);
	env_drop(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(our_trees_pass_e2fsck_and_debugfs),
		cmocka_unit_test(so_they_do_with_a_journal),
		cmocka_unit_test(their_trees_are_read_and_removed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
