/* SPDX-License-Identifier: MIT */
/*
 * The label and the trim of a mounted file system.
 *
 * That the label is in the copies of the superblock is what a kernel's
 * FS_IOC_SETFSLABEL does; the limits of a trim are those of its FITRIM.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk/dsuper.h"
#include "env.h"
#include "fs/fs.h"
#include "uext4/uext4_dev.h"

static const struct uext4_cred joe = { .uid = 1000, .gid = 1000 };

/* The label as e2label tells it. */
static void label_on_disk_is(struct env *e, const char *want)
{
	char line[64] = "";
	FILE *f;

	assert_int_equal(env_sh("e2label %s >%s 2>&1", e->img, e->out), 0);
	f = fopen(e->out, "r");
	assert_non_null(f);
	assert_non_null(fgets(line, sizeof(line), f));
	fclose(f);
	line[strcspn(line, "\n")] = '\0';
	assert_string_equal(line, want);
}

/* In all copies, each of them whole. Returns how many. */
static unsigned label_in_copies_is(struct env *e, const char *want)
{
	uint8_t raw[DSUPER_SIZE];
	int fd = open(e->img, O_RDONLY | O_CLOEXEC);
	struct dsuper sb;
	unsigned n = 0;

	assert_true(fd >= 0);
	for (grp_t g = 0; g < e->fs->geo.groups; g++) {
		uint64_t at = g == 0
				? DSUPER_OFF
				: geo_grp_first_block(&e->fs->geo, g) * e->bs;

		if (!geo_grp_has_super(&e->fs->geo, g))
			continue;
		assert_int_equal(pread(fd, raw, sizeof(raw), (off_t)at),
				sizeof(raw));
		assert_true(dsuper_magic_ok(raw));
		assert_int_equal(dsuper_csum_verify(raw), 0);
		dsuper_decode(raw, &sb);
		assert_string_equal(sb.volume_name, want);
		assert_int_equal(sb.block_group_nr, g);
		n++;
	}
	close(fd);
	return n;
}

static void label_is(struct env *e, const char *want)
{
	char label[17];

	memset(label, 'x', sizeof(label));
	assert_int_equal(uext4_get_label(e->fs, label), 0);
	assert_string_equal(label, want);
}

static void label(struct env *e)
{
	struct uext4_info info;

	label_is(e, "");
	assert_int_equal(uext4_set_label(e->fs, "sixteen-letters-", NULL), 0);
	label_is(e, "sixteen-letters-");
	label_on_disk_is(e, "sixteen-letters-"); /* no sync in between */
	assert_int_equal(uext4_set_label(e->fs, "short", NULL), 0);
	assert_int_equal(uext4_set_label(e->fs, "seventeen-letters", NULL),
			-EINVAL);
	assert_int_equal(uext4_set_label(e->fs, "mine", &joe), -EPERM);
	label_is(e, "short");
	assert_int_equal(uext4_info(e->fs, &info), 0);
	assert_string_equal(info.label, "short");
	assert_true(label_in_copies_is(e, "short") >=
			(e->fs->geo.groups > 1 ? 2 : 1));
	assert_int_equal(env_create(e, "/f", 0644), 0);
	env_remount(e);
	label_on_disk_is(e, "short");
	label_is(e, "short");
	assert_int_equal(uext4_set_label(e->fs, "", NULL), 0);
	label_is(e, "");
	/* durable on return, with all that was before */
	if (!(e->p->has & ENV_JOURNAL))
		return;
	assert_int_equal(uext4_set_label(e->fs, "kept", NULL), 0);
	env_cut(e);
	env_mount(e);
	label_is(e, "kept");
	assert_int_equal(env_exists(e, "/f"), 0);
}

static void label_readonly(struct env *e)
{
	env_unmount(e);
	e->flags = UEXT4_MNT_RDONLY;
	env_mount(e);
	assert_int_equal(uext4_set_label(e->fs, "x", NULL), -EROFS);
	label_is(e, "");
}

/* A copy that somebody has overwritten is not made to look like one. */
static void label_leaves_a_damaged_copy(struct env *e)
{
	uint8_t raw[DSUPER_SIZE];
	uint64_t at = geo_grp_first_block(&e->fs->geo, 1) * e->bs;
	int fd;

	env_unmount(e);
	assert_int_equal(env_sh("printf junk | dd of=%s bs=1 seek=%llu "
				"conv=notrunc 2>/dev/null",
					 e->img, (unsigned long long)at + 56),
			0);
	env_mount(e);
	assert_int_equal(uext4_set_label(e->fs, "new", NULL), 0);
	assert_non_null(strstr(e->log, "copy of the superblock"));
	env_unmount(e);
	label_on_disk_is(e, "new");
	fd = open(e->img, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, raw, sizeof(raw), (off_t)at), sizeof(raw));
	close(fd);
	assert_memory_equal(raw + 56, "junk", 4);
	assert_int_equal(raw[0x78], 0);
}

/* ---- trim ---- */

static uint64_t used_bytes(struct env *e)
{
	struct stat st;

	assert_int_equal(stat(e->img, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

static void trim_frees_the_image(struct env *e)
{
	uint64_t before, bytes = 7;
	struct uext4_statfs st;
	struct uext4_file *f;

	assert_int_equal(env_create(e, "/keep", 0644), 0);
	f = env_open(e, "/keep", UEXT4_O_RDWR);
	env_fill(f, 0, 100 * e->bs, 'k');
	assert_int_equal(uext4_fsync(f), 0);
	env_close(f);
	assert_int_equal(env_create(e, "/go", 0644), 0);
	f = env_open(e, "/go", UEXT4_O_RDWR);
	env_fill(f, 0, 4000 * e->bs, 'g');
	assert_int_equal(uext4_fsync(f), 0);
	env_close(f);
	assert_int_equal(env_unlink(e, "/go"), 0);
	assert_int_equal(uext4_sync(e->fs), 0);
	before = used_bytes(e);
	assert_int_equal(uext4_trim(e->fs, 0, UINT64_MAX, 0, NULL, &bytes), 0);
	assert_int_equal(uext4_statfs(e->fs, &st), 0);
	assert_int_equal(bytes, st.free_blocks * e->bs);
	assert_true(used_bytes(e) + 3900 * e->bs <= before);
	f = env_open(e, "/keep", UEXT4_O_RDONLY);
	env_expect(f, 0, 100 * e->bs, 'k');
	env_close(f);
	/* a part of it, and only what is long */
	assert_int_equal(uext4_trim(e->fs, 36 << 20, 8 << 20, 0, NULL, &bytes),
			0);
	assert_true(bytes > 0 && bytes <= 8 << 20);
	assert_int_equal(uext4_trim(e->fs, 0, UINT64_MAX,
					 (uint64_t)e->bs * e->fs->geo.bpg, NULL,
					 &bytes),
			0);
	assert_int_equal(bytes % ((uint64_t)e->bs * e->fs->geo.bpg), 0);
}

/* Data that waits in the cache has claimed blocks that are none yet: the run
 * that they will come from is trimmed all the same. */
static void trim_while_space_is_claimed(struct env *e)
{
	uint64_t bytes = 0;
	struct uext4_statfs st;
	struct uext4_file *f;

	assert_int_equal(env_create(e, "/f", 0644), 0);
	f = env_open(e, "/f", UEXT4_O_RDWR);
	assert_int_equal(uext4_statfs(e->fs, &st), 0);
	env_fill(f, 0, 100 * e->bs, 'd');
	assert_int_equal(uext4_trim(e->fs, 0, UINT64_MAX, 0, NULL, &bytes), 0);
	assert_true(bytes >= (st.free_blocks - 100) * e->bs);
	assert_int_equal(uext4_fsync(f), 0);
	env_expect(f, 0, 100 * e->bs, 'd');
	env_close(f);
}

static void trim_refuses(struct env *e)
{
	uint64_t end = e->fs->geo.blocks * e->bs;
	uint64_t group = (uint64_t)e->fs->geo.bpg * e->bs;
	uint64_t bytes = 7;

	assert_int_equal(uext4_trim(e->fs, 0, end, 0, &joe, &bytes), -EPERM);
	assert_int_equal(uext4_trim(e->fs, end, e->bs, 0, NULL, &bytes),
			-EINVAL);
	assert_int_equal(uext4_trim(e->fs, 0, e->bs - 1, 0, NULL, &bytes),
			-EINVAL);
	assert_int_equal(uext4_trim(e->fs, 0, 0, 0, NULL, &bytes), -EINVAL);
	assert_int_equal(uext4_trim(e->fs, 0, end, group + e->bs, NULL, &bytes),
			-EINVAL);
	assert_int_equal(bytes, 7);
	assert_int_equal(
			uext4_trim(e->fs, end - 1, UINT64_MAX, 0, NULL, &bytes),
			0);
	assert_true(bytes <= e->bs);
	assert_int_equal(uext4_trim(e->fs, 0, end, group + e->bs - 1, NULL,
					 &bytes),
			0);
}

/* A device that has no discard. */
static int dev_size(void *ctx, uint64_t *ret_size)
{
	struct stat st;

	if (fstat(*(int *)ctx, &st) < 0)
		return -errno;
	*ret_size = (uint64_t)st.st_size;
	return 0;
}

static int dev_pread(void *ctx, void *buf, size_t len, uint64_t pos)
{
	ssize_t n = pread(*(int *)ctx, buf, len, (off_t)pos);

	return n == (ssize_t)len ? 0 : -EIO;
}

static int dev_pwrite(void *ctx, const void *buf, size_t len, uint64_t pos,
		uint32_t flags)
{
	ssize_t n = pwrite(*(int *)ctx, buf, len, (off_t)pos);

	(void)flags;
	return n == (ssize_t)len ? 0 : -EIO;
}

static void trim_without_discard(struct env *e)
{
	static const struct uext4_dev_ops ops = {
		.size = dev_size,
		.pread = dev_pread,
		.pwrite = dev_pwrite,
	};
	struct uext4_dev dev = { .ops = &ops };
	uint64_t bytes = 7;
	int fd;

	env_unmount(e);
	fd = open(e->img, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	dev.ctx = &fd;
	assert_int_equal(uext4_mount_dev(&dev, NULL, &e->fs), 0);
	assert_int_equal(uext4_trim(e->fs, 0, UINT64_MAX, 0, NULL, &bytes),
			-EOPNOTSUPP);
	assert_int_equal(bytes, 7);
	env_unmount(e);
	close(fd);
}

int main(int argc, char **argv)
{
	static const struct env_case cases[] = {
		{ .name = "admin/label", .body = label },
		{ .name = "admin/label_readonly", .body = label_readonly },
		{ .name = "admin/label_leaves_a_damaged_copy",
				.body = label_leaves_a_damaged_copy,
				.only = "ext4-1k-full",
				.flags = ENV_CASE_NO_END },
		{ .name = "admin/trim_frees_the_image",
				.body = trim_frees_the_image },
		{ .name = "admin/trim_while_space_is_claimed",
				.body = trim_while_space_is_claimed },
		{ .name = "admin/trim_refuses", .body = trim_refuses },
		{ .name = "admin/trim_without_discard",
				.body = trim_without_discard,
				.only = "ext4-4k-full",
				.flags = ENV_CASE_NO_END },
	};

	return env_run("admin", cases, sizeof(cases) / sizeof(cases[0]), argc,
			argv);
}
