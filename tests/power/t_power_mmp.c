/* SPDX-License-Identifier: MIT */
/*
 * Power cuts under multi-mount protection: at every write of a mount, a few
 * changes and an unmount; and at every write of the mount that comes after
 * such a cut. Each image must
 *	have a sound MMP block: its writes do not tear (MB1);
 *	say "clean" there only if the file system is, with nothing to recover:
 *	the block is taken before the first change and given back after the last;
 *	be mounted: at once if the block is clean, else after two waits;
 *	with a journal, hold what was synced and be sound for the checker and
 *	for e2fsck.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "bdev/bdev.h"
#include "disk/dmmp.h"
#include "fs/fs.h"
#include "power/pw_int.h"

#define SYNCED 1u /* mark: /f holds its bytes */
#define BYTES  5000u

static const char *const kinds[] = {
	"-t ext4 -b 4096 -J size=4 -N 64 -O mmp,metadata_csum,^resize_inode",
	"-t ext4 -b 1024 -J size=1 -N 64 -O mmp,metadata_csum,^resize_inode",
	"-t ext4 -b 1024 -J size=1 -N 64 -O mmp,^metadata_csum,^resize_inode",
	"-t ext4 -b 4096 -N 64 -O mmp,^has_journal,^resize_inode",
};

struct run {
	struct geo geo;
	pblk_t pblk;
	unsigned waits;
	bool has_journal, is_nested;
	char path[256]; /* for e2fsck */
	uint64_t states, stale, e2fsck;
};

static int count_wait(void *ctx, unsigned seconds)
{
	((struct run *)ctx)->waits += seconds > 0;
	return 0;
}

static int run_mount(struct run *r, struct bdev *dev, struct uext4_fs **ret_fs)
{
	const struct uext4_mount_opts o = {
		.size = sizeof(o),
		.flags = UEXT4_MNT_NOTHREAD,
		.meta_cache = 4 << 20,
	};
	static struct fs_hooks hooks = { .sleep = count_wait };

	hooks.ctx = r;
	r->waits = 0;
	return fs_mount_hooked(dev, false, &o, &hooks, ret_fs);
}

static int said(const struct explore_state *st, const char *what, int ret)
{
	fprintf(stderr, "# %s: %s: %d\n", explore_state_name(st), what, ret);
	return 1;
}

/* ---- what is there before anybody recovers ---- */

/* Without a journal a cut leaves a mark that only e2fsck takes away.
 * 1: the block is clean, 0: it is not, <0: it is none, or it lies. */
static int look(struct run *r, const struct emu_img *img)
{
	uint8_t raw[DSUPER_SIZE];
	struct dsuper sb;
	struct dmmp d;
	bool is_used;

	emu_img_read(img, DSUPER_OFF, raw, sizeof(raw));
	dsuper_decode(raw, &sb);
	is_used = r->has_journal
			? (sb.feature_incompat & FI_RECOVER) != 0
			: !r->is_nested && (sb.state & DSUPER_STATE_VALID) == 0;
	emu_img_read(img, r->pblk * r->geo.block_size, raw, sizeof(raw));
	if (dmmp_check(&r->geo, raw, NULL) < 0)
		return -EBADMSG;
	dmmp_decode(raw, &d);
	if (d.seq == DMMP_SEQ_CLEAN)
		return is_used ? -EUCLEAN : 1;
	return d.seq > 0 && d.seq < DMMP_SEQ_FSCK ? 0 : -EINVAL;
}

/* ---- after the recovery ---- */

static int has_bytes(struct uext4_fs *fs)
{
	uint8_t buf[BYTES];
	struct uext4_file *f;
	ssize_t n;
	int ret;

	ret = uext4_open(fs, NULL, "/f", UEXT4_O_RDONLY, 0, NULL, &f);
	if (ret < 0)
		return ret;
	n = uext4_pread(f, buf, sizeof(buf), 0);
	ret = uext4_close(f);
	if (n != BYTES || buf[0] != 'f' || buf[BYTES - 1] != 'f')
		return -EIO;
	return ret;
}

/* -n: else it would wait itself, for 11 seconds. */
static int e2fsck(struct run *r, const struct emu_img *img)
{
	char cmd[512];

	if (emu_img_save(img, r->path) < 0)
		return -EIO;
	r->e2fsck++;
	(void)snprintf(cmd, sizeof(cmd),
			"PATH=$PATH:/usr/sbin:/sbin e2fsck -fn %s "
			">/dev/null 2>&1",
			r->path);
	return system(cmd);
}

static int judge_end(
		struct run *r, const struct explore_state *st, struct bdev *dev)
{
	struct check_report rep;
	struct check_dev cd;
	struct emu_img *img;
	int ret;

	ret = bdev_emu_image(dev, &img);
	if (ret < 0)
		return said(st, "memory", ret);
	cd = pw_img_check_dev(img);
	ret = check_fs(&cd, NULL, &rep);
	if (ret != 0 && r->has_journal)
		ret = said(st, rep.kept ? rep.text[0] : "checker", ret);
	else if (r->has_journal && r->states % 8 == 0) {
		ret = e2fsck(r, img);
		if (ret != 0)
			ret = said(st, "e2fsck", ret);
	} else {
		ret = 0;
	}
	emu_img_free(img);
	return ret;
}

static int judge_nested(void *ctx, const struct explore_state *st);

static int judge_recovery(
		struct run *r, const struct explore_state *st, struct bdev *dev)
{
	const struct explore_opts o = {
		.prefix = explore_state_name(st),
		.only = explore_state_rest(st),
		.max_states = 40,
	};
	struct explore_report rep;
	struct emu_img *base;
	struct emu_log *log;
	int ret;

	ret = bdev_emu_take_log(dev, &base, &log);
	if (ret < 0)
		return said(st, "log", ret);
	r->is_nested = true;
	ret = explore_run(base, log, &o, judge_nested, r, &rep);
	r->is_nested = false;
	emu_img_free(base);
	emu_log_free(log);
	return ret < 0 || rep.failed > 0 ? said(st, "in a recovery", ret) : 0;
}

static int judge(struct run *r, const struct explore_state *st, bool is_synced)
{
	struct uext4_fs *fs;
	struct bdev *dev;
	int is_clean;
	int ret;

	r->states++;
	is_clean = look(r, explore_state_image(st));
	if (is_clean < 0)
		return said(st, "raw", is_clean);
	r->stale += !is_clean;
	ret = explore_state_open(st, NULL, &dev);
	if (ret == 0)
		ret = bdev_emu_record(dev);
	if (ret < 0)
		return said(st, "memory", ret);
	ret = run_mount(r, dev, &fs);
	if (ret < 0) {
		ret = said(st, "mount", ret);
		goto out;
	}
	if (r->waits != (is_clean ? 0 : 2))
		ret = said(st, "waits", (int)r->waits);
	if (ret == 0 && is_synced && r->has_journal &&
			(ret = has_bytes(fs)) < 0)
		ret = said(st, "what was synced", ret);
	if (uext4_unmount(fs) < 0)
		ret = said(st, "unmount", -EIO);
	if (ret == 0)
		ret = judge_end(r, st, dev);
	if (ret == 0 && !r->is_nested && r->states % 16 == 0)
		ret = judge_recovery(r, st, dev);
out:
	err_ignore(bdev_close(dev));
	return ret;
}

static int judge_state(void *ctx, const struct explore_state *st)
{
	return judge(ctx, st, explore_state_is_acked(st, SYNCED));
}

static int judge_nested(void *ctx, const struct explore_state *st)
{
	return judge(ctx, st, false);
}

/* ---- the workload ---- */

static void work(struct run *r, struct bdev *dev)
{
	uint8_t bytes[BYTES];
	struct uext4_file *f;
	struct uext4_fs *fs;

	memset(bytes, 'f', sizeof(bytes));
	assert_int_equal(run_mount(r, dev, &fs), 0);
	assert_int_equal(r->waits, 0);
	mmp_tick(fs);
	assert_int_equal(
			uext4_open(fs, NULL, "/f", UEXT4_O_RDWR | UEXT4_O_CREAT,
					0644, NULL, &f),
			0);
	assert_int_equal(uext4_pwrite(f, bytes, BYTES, 0), BYTES);
	assert_int_equal(uext4_close(f), 0);
	assert_int_equal(uext4_sync(fs), 0);
	bdev_emu_mark(dev, EMU_MARK_ACK_DURABLE, SYNCED, 0);
	mmp_tick(fs);
	assert_int_equal(
			uext4_open(fs, NULL, "/g", UEXT4_O_RDWR | UEXT4_O_CREAT,
					0644, NULL, &f),
			0);
	assert_int_equal(uext4_close(f), 0);
	assert_int_equal(uext4_unmount(fs), 0);
}

static struct emu_img *make(struct run *r, const char *kind)
{
	uint8_t raw[DSUPER_SIZE];
	struct emu_img *img;
	struct dsuper sb;
	char cmd[512];

	(void)snprintf(r->path, sizeof(r->path), "%s/uext4-mmp-%d",
			pw_tmp_dir(), (int)getpid());
	(void)snprintf(cmd, sizeof(cmd),
			"PATH=$PATH:/usr/sbin:/sbin mke2fs -q -F %s %s 9M "
			">/dev/null 2>&1",
			kind, r->path);
	assert_int_equal(system(cmd), 0);
	assert_int_equal(emu_img_load(r->path, &img), 0);
	emu_img_read(img, DSUPER_OFF, raw, sizeof(raw));
	dsuper_decode(raw, &sb);
	assert_int_equal(geo_init(&r->geo, &sb, NULL), 0);
	r->pblk = sb.mmp_block;
	r->has_journal = sb.feature_compat & FC_HAS_JOURNAL;
	return img;
}

static void cuts_of(const char *kind)
{
	struct explore_opts o = { .max_states = pw_env("PW_STATES", 4000) };
	struct explore_report rep;
	struct run r = { 0 };
	struct emu_img *img;
	struct emu_img *base;
	struct emu_log *log;
	struct bdev *dev;

	o.only = getenv("PW_ONLY");
	img = make(&r, kind);
	assert_int_equal(bdev_emu_open(img, NULL, &dev), 0);
	assert_int_equal(bdev_emu_record(dev), 0);
	work(&r, dev);
	assert_int_equal(bdev_emu_take_log(dev, &base, &log), 0);
	assert_int_equal(bdev_close(dev), 0);
	assert_int_equal(explore_run(base, log, &o, judge_state, &r, &rep), 0);
	explore_print(stdout, kind, &rep);
	printf("# %llu images, %llu of them stale, e2fsck asked for %llu\n",
			(unsigned long long)r.states,
			(unsigned long long)r.stale,
			(unsigned long long)r.e2fsck);
	(void)unlink(r.path);
	emu_img_free(base);
	emu_log_free(log);
	emu_img_free(img);
	assert_int_equal(rep.failed, 0);
	assert_true(o.only || (r.stale > 0 && r.stale < r.states));
}

static void every_cut_leaves_a_guard_that_holds(void **state)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		cuts_of(kinds[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_cut_leaves_a_guard_that_holds),
	};

	if (system("PATH=$PATH:/usr/sbin:/sbin command -v mke2fs e2fsck "
		   ">/dev/null") != 0) {
		printf("skip: no e2fsprogs\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
