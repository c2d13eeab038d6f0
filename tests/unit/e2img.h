/* SPDX-License-Identifier: MIT */
/*
 * Images made by e2fsprogs, in memory, for tests of the format.
 *
 *	if (!e2_make(&img, "-t ext4 -b 1024", "8M", NULL))
 *		skip();
 *	... e2_block(&img, pblk), e2_inode(&img, inum) ...
 *	e2_free(&img);
 *
 * e2_make() is false only where mke2fs is missing, and says so; all else that
 * goes wrong fails the test. Files stand in a directory of their own under
 * $TMPDIR and are removed by e2_free().
 */
#ifndef UEXT4_TESTS_UNIT_E2IMG_H
#define UEXT4_TESTS_UNIT_E2IMG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/le.h"
#include "disk/dextent.h"
#include "disk/dgroup.h"
#include "disk/dinode.h"
#include "disk/dsuper.h"
#include "disk/geo.h"

#define E2_TOOLS "PATH=$PATH:/usr/sbin:/sbin; export PATH; "

struct e2img {
	char dir[64];
	char path[80];
	uint8_t *bytes;
	size_t len;
	struct dsuper sb;
	struct geo geo;
};

/* Run a shell command, all of whose output is kept only if it fails. */
static inline int e2_sh(const char *fmt, ...)
		__attribute__((format(printf, 1, 2)));
static inline int e2_sh(const char *fmt, ...)
{
	char cmd[4096];
	va_list ap;
	int n, status;

	n = snprintf(cmd, sizeof(cmd), "%s", E2_TOOLS);
	va_start(ap, fmt);
	n += vsnprintf(cmd + n, sizeof(cmd) - (size_t)n, fmt, ap);
	va_end(ap);
	assert_true((size_t)n < sizeof(cmd));
	status = system(cmd);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* The output of a shell command, cut to fit @buf. */
static inline void e2_sh_out(char *buf, size_t size, const char *fmt, ...)
		__attribute__((format(printf, 3, 4)));
static inline void e2_sh_out(char *buf, size_t size, const char *fmt, ...)
{
	char cmd[4096];
	va_list ap;
	FILE *f;
	size_t got;
	int n;

	n = snprintf(cmd, sizeof(cmd), "%s", E2_TOOLS);
	va_start(ap, fmt);
	n += vsnprintf(cmd + n, sizeof(cmd) - (size_t)n, fmt, ap);
	va_end(ap);
	assert_true((size_t)n < sizeof(cmd));
	f = popen(cmd, "r");
	assert_non_null(f);
	got = fread(buf, 1, size - 1, f);
	buf[got] = '\0';
	(void)pclose(f);
}

static inline bool e2_is_there(void)
{
	if (e2_sh("mke2fs -V >/dev/null 2>&1") == 0 &&
			e2_sh("debugfs -V >/dev/null 2>&1") == 0)
		return true;
	print_message("skipped: no e2fsprogs\n");
	return false;
}

static inline void e2_unmap(struct e2img *img)
{
	if (img->bytes)
		assert_int_equal(munmap(img->bytes, img->len), 0);
	img->bytes = NULL;
}

/* Map the file and decode its superblock, which must be sound. */
static inline void e2_load(struct e2img *img)
{
	const char *why = "";
	struct stat st;
	void *map;
	int fd;

	e2_unmap(img);
	fd = open(img->path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	img->len = (size_t)st.st_size;
	/* Private: a test may scribble on it and the file stays as it is. */
	map = mmap(NULL, img->len, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	assert_true(map != MAP_FAILED);
	(void)close(fd);
	img->bytes = (uint8_t *)map;

	assert_true(dsuper_magic_ok(img->bytes + DSUPER_OFF));
	dsuper_decode(img->bytes + DSUPER_OFF, &img->sb);
	if (dsuper_check(&img->sb, img->len, &why) < 0)
		fail_msg("superblock: %s", why);
	if (geo_init(&img->geo, &img->sb, &why) < 0)
		fail_msg("geometry: %s", why);
}

/* An empty directory of our own; e2_free() removes it. */
static inline void e2_dir(struct e2img *img)
{
	const char *tmp = getenv("TMPDIR");

	memset(img, 0, sizeof(*img));
	(void)snprintf(img->dir, sizeof(img->dir), "%s/uext4-e2.XXXXXX",
			tmp && strlen(tmp) < 40 ? tmp : "/tmp");
	assert_non_null(mkdtemp(img->dir));
	(void)snprintf(img->path, sizeof(img->path), "%s/img", img->dir);
}

static inline void e2_free(struct e2img *img)
{
	e2_unmap(img);
	assert_int_equal(e2_sh("rm -rf '%s'", img->dir), 0);
}

/* Run debugfs commands, one a line, and read the image again. */
static inline void e2_debugfs(struct e2img *img, const char *script)
{
	char path[96];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/script", img->dir);
	f = fopen(path, "w");
	assert_non_null(f);
	(void)fputs(script, f);
	(void)fclose(f);
	assert_int_equal(e2_sh("cd '%s' && debugfs -w -f script img "
			       ">log 2>&1",
					 img->dir),
			0);
	e2_load(img);
}

/* mke2fs in a directory made by e2_dir(), then debugfs if @script is not
 * NULL. */
static inline void e2_mkfs(struct e2img *img, const char *args,
		const char *size, const char *script)
{
	if (e2_sh("cd '%s' && mke2fs -q -F %s img %s >log 2>&1", img->dir, args,
			    size) != 0) {
		(void)e2_sh("cat '%s/log'", img->dir);
		fail_msg("mke2fs %s", args);
	}
	if (script)
		e2_debugfs(img, script);
	else
		e2_load(img);
}

static inline bool e2_make(struct e2img *img, const char *args,
		const char *size, const char *script)
{
	if (!e2_is_there())
		return false;
	e2_dir(img);
	e2_mkfs(img, args, size, script);
	return true;
}

static inline uint8_t *e2_block(struct e2img *img, pblk_t pblk)
{
	assert_true(geo_block_ok(&img->geo, pblk));
	return img->bytes + (pblk << img->geo.block_bits);
}

static inline uint8_t *e2_desc(struct e2img *img, grp_t grp)
{
	uint32_t i = geo_gdt_index(&img->geo, grp);

	return e2_block(img, geo_gdt_block(&img->geo, i)) +
			geo_gdt_offset(&img->geo, grp);
}

static inline struct dgroup e2_group(struct e2img *img, grp_t grp)
{
	struct dgroup d;

	dgroup_decode(&img->geo, e2_desc(img, grp), &d);
	return d;
}

static inline uint8_t *e2_inode(struct e2img *img, inum_t inum)
{
	struct dgroup d = e2_group(img, geo_grp_of_inode(&img->geo, inum));

	return e2_block(img,
			       d.inode_table +
					       geo_itable_block(&img->geo,
							       inum)) +
			geo_itable_offset(&img->geo, inum);
}

static inline struct dinode e2_dinode(struct e2img *img, inum_t inum)
{
	struct dinode di;

	dinode_decode(&img->geo, e2_inode(img, inum), &di);
	return di;
}

/* The inode number of a path, by debugfs. */
static inline inum_t e2_lookup(struct e2img *img, const char *path)
{
	char out[256];
	const char *p;

	e2_sh_out(out, sizeof(out),
			"debugfs -R 'stat \"%s\"' '%s' 2>/dev/null | head -1",
			path, img->path);
	p = strstr(out, "Inode:");
	assert_non_null(p);
	return (inum_t)strtoul(p + 6, NULL, 10);
}

/* The block of file block @lblk, 0 for a hole; extents or direct pointers. */
static inline pblk_t e2_bmap(struct e2img *img, inum_t inum, lblk_t lblk)
{
	struct dinode di = e2_dinode(img, inum);
	const uint8_t *node = di.iblock;
	struct dext_leaf leaf;
	int i;

	if (!(di.flags & DINODE_F_EXTENTS)) {
		assert_true(lblk < DINODE_NDIRECT);
		return get_le32(di.iblock + (size_t)lblk * 4);
	}
	while (dext_depth(node) > 0) {
		struct dext_idx idx;

		i = dext_search(node, lblk);
		if (i < 0)
			return 0;
		dext_idx_decode(node, (unsigned)i, &idx);
		node = e2_block(img, idx.pblk);
	}
	i = dext_search(node, lblk);
	if (i < 0)
		return 0;
	dext_leaf_decode(node, (unsigned)i, &leaf);
	if (lblk - leaf.lblk >= leaf.len)
		return 0;
	return leaf.pblk + (lblk - leaf.lblk);
}

/* The kinds of file systems that mke2fs 1.47 makes and that we write. */
static const char *const e2_profiles[] = {
	"-t ext2 -b 1024 -I 128",
	"-t ext2 -b 4096 -O ^dir_index,^resize_inode,^filetype",
	"-t ext3 -b 1024",
	"-t ext3 -b 2048 -I 128",
	"-t ext4 -b 1024 -O ^metadata_csum,uninit_bg,^64bit",
	"-t ext4 -b 4096 -O ^metadata_csum,uninit_bg,64bit",
	"-t ext4 -b 4096 -O ^metadata_csum,^uninit_bg,^64bit,^huge_file",
	"-t ext4 -b 1024 -O metadata_csum,^64bit -I 128",
	"-t ext4 -b 1024 -O metadata_csum,^64bit,^flex_bg -I 1024",
	"-t ext4 -b 2048 -O metadata_csum,^64bit,^extent",
	"-t ext4 -b 4096 -O metadata_csum,64bit",
	"-t ext4 -b 1024 -O metadata_csum,64bit,metadata_csum_seed,orphan_file",
	"-t ext4 -b 4096 -O metadata_csum,64bit,sparse_super2,^resize_inode",
	"-t ext4 -O ^has_journal,^sparse_super,^resize_inode -I 512",
	"-t ext4 -b 65536 -O metadata_csum,64bit",
};

#define E2_NPROFILES (sizeof(e2_profiles) / sizeof(e2_profiles[0]))

#endif /* UEXT4_TESTS_UNIT_E2IMG_H */
