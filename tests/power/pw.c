/* SPDX-License-Identifier: MIT */
/*
 * The workload's side of pw.h: images, mounting, the model.
 */
#include "power/pw.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc/alloc.h"
#include "base/hmap.h"
#include "bdev/bdev_emu.h"
#include "cache/buf.h"
#include "fs/fs.h"
#include "journal/txn.h"
#include "power/pw_int.h"
#include "power/pw_queue.h"

const struct pw_profile pw_profiles[] = {
	{ "ext4-4k",
			"-t ext4 -b 4096 -J size=4 -N 256 -O "
			"metadata_csum,64bit,orphan_file,metadata_csum_seed,"
			"^resize_inode",
			12 << 10 },
	{ "ext4-1k",
			"-t ext4 -b 1024 -J size=1 -N 256 -O "
			"metadata_csum,64bit,^resize_inode",
			6 << 10 },
	{ "ext4-1k-nocsum",
			"-t ext4 -b 1024 -J size=1 -N 256 -O "
			"^metadata_csum,uninit_bg,^64bit,^flex_bg",
			6 << 10 },
	{ "ext3-1k", "-t ext3 -b 1024 -J size=1 -N 256 -I 128", 6 << 10 },
};

const unsigned pw_nprofiles = sizeof(pw_profiles) / sizeof(pw_profiles[0]);

unsigned long pw_env(const char *name, unsigned long other)
{
	const char *s = getenv(name);

	return s ? strtoul(s, NULL, 0) : other;
}

uint64_t pw_max_states(uint64_t other)
{
	return pw_env("PW_STATES", other);
}

bool pw_is_wanted(const char *name, const struct pw_profile *p)
{
	const char *profile = getenv("PW_PROFILE");
	const char *run = getenv("PW_RUN");

	return (!profile || strcmp(profile, p->name) == 0) &&
			(!run || strcmp(run, name) == 0);
}

/* ---- the image ---- */

const char *pw_tmp_dir(void)
{
	const char *dir = getenv("TMPDIR");

	if (dir)
		return dir;
	return access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
}

static int img_read(void *ctx, uint64_t pos, void *buf, size_t len)
{
	const struct emu_img *img = ctx;

	if (pos > emu_img_size(img) || len > emu_img_size(img) - pos)
		return -EIO;
	emu_img_read(img, pos, buf, len);
	return 0;
}

int pw_img_write(void *ctx, uint64_t pos, const void *buf, size_t len)
{
	return emu_img_write(ctx, pos, buf, len);
}

struct check_dev pw_img_check_dev(struct emu_img *img)
{
	struct check_dev d = {
		.read = img_read,
		.ctx = img,
		.size = emu_img_size(img),
	};

	return d;
}

struct emu_img *pw_make_image(
		const struct pw_profile *p, bool (*prepare)(const char *path))
{
	struct check_dev cd;
	struct emu_img *img;
	char path[256];
	char cmd[1024];
	int fd;

	snprintf(path, sizeof(path), "%s/pw.XXXXXX", pw_tmp_dir());
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)p->kb << 10), 0);
	close(fd);
	snprintf(cmd, sizeof(cmd),
			"PATH=$PATH:/usr/sbin:/sbin mke2fs -q -F -U "
			"01234567-89ab-cdef-0123-456789abcdef -E "
			"hash_seed=01234567-89ab-cdef-0123-456789abcdef,"
			"root_owner=0:0 %s %s",
			p->mke2fs, path);
	if (system(cmd) != 0 || (prepare && !prepare(path))) {
		unlink(path);
		return NULL;
	}
	assert_int_equal(emu_img_load(path, &img), 0);
	unlink(path);
	cd = pw_img_check_dev(img);
	assert_true(check_fill_free(&cd, pw_img_write, img) > 0);
	return img;
}

/* ---- mounting ---- */

static struct timespec pw_now(void *ctx)
{
	struct pw *pw = ctx;

	/* a clock of its own: every run writes the same bytes */
	return pw->now;
}

static void pw_log(void *ctx, enum uext4_log_level level, const char *msg)
{
	(void)ctx;
	if (getenv("PW_LOG"))
		fprintf(stderr, "# log %d: %s\n", (int)level, msg);
}

struct uext4_mount_opts pw_opts(struct pw *pw)
{
	struct uext4_mount_opts o = {
		.size = sizeof(o),
		.flags = UEXT4_MNT_NOTHREAD | UEXT4_MNT_NOATIME,
		.meta_cache = 4 << 20,
		.page_cache = 1 << 20,
		.log = pw_log,
		.now = pw_now,
		.now_ctx = pw,
		.dio_alloc = pw->setup.dio_alloc,
		.dio_extend = pw->setup.dio_extend,
		.dio_size = pw->setup.dio_size,
	};

	return o;
}

/* What another thread could do at the worst moment: commit when a piece of file
 * data has been submitted and is not there yet; change metadata while a commit
 * writes it to the log. */
static void gate(void *ctx, const struct bdev_io *io)
{
	void (*at_commit)(struct pw * pw);
	struct pw *pw = ctx;
	enum bdev_tag tag = bdev_tag_kind(io->tag);

	if (pw->in_gate || !pw->fs || !pw->fs->journal || io->op != BDEV_WRITE)
		return;
	pw->in_gate = true;
	if (tag == BDEV_TAG_DATA && pw->setup.commit_at_data)
		assert_int_equal(journal_sync(pw->fs->journal), 0);
	at_commit = pw->at_commit;
	if (tag == BDEV_TAG_J_DESC && at_commit) {
		pw->at_commit = NULL;
		at_commit(pw);
	}
	pw->in_gate = false;
}

void pw_sync_while(struct pw *pw, void (*fn)(struct pw *pw))
{
	uint32_t before = pw->nops;

	pw_op(pw);
	pw->at_commit = fn;
	assert_int_equal(uext4_sync(pw->fs), 0);
	assert_null(pw->at_commit); /* there was something to commit */
	pw_end(pw);
	pw->acks[before] = 1;
	bdev_emu_mark(pw->dev, EMU_MARK_ACK_DURABLE, before, 0);
}

/* One more member for the running transaction; false: it is full. */
static bool crowd_one(struct pw *pw, uint32_t inum, uint32_t room)
{
	struct journal *j = pw->fs->journal;
	struct handle *h;
	struct buf *b;
	uint32_t off;
	pblk_t pblk;
	int ret;

	ret = handle_start_nowait(j, room + 1, &h);
	if (ret == -EAGAIN)
		return false;
	assert_int_equal(ret, 0);
	assert_int_equal(ialloc_locate(pw->fs->alloc, inum, &pblk, &off), 0);
	assert_int_equal(buf_read(pw->fs->cache, pblk, &b), 0);
	buf_lock(b);
	assert_int_equal(handle_get_write(h, b), 0);
	assert_int_equal(handle_dirty(h, b), 0);
	buf_unlock(b);
	buf_put(b);
	assert_int_equal(handle_stop(h), 0);
	return true;
}

void pw_crowd(struct pw *pw, uint32_t room)
{
	const struct geo *geo = &pw->fs->geo;
	uint32_t step = geo->block_size / geo->inode_size;
	struct handle *h;
	uint32_t i;

	/* All waiting for space in the log is done here. */
	assert_int_equal(handle_start(pw->fs->journal, 1, &h), 0);
	assert_int_equal(handle_stop(h), 0);
	for (i = 1; i <= geo->inodes; i += step) {
		if (!crowd_one(pw, i, room))
			break;
	}
}

/* A device of the contents of @img, as the workload wants it; with a map if the
 * mount will want one. */
static void open_dev(struct pw *pw, const struct emu_img *img)
{
	struct bdev_emu_opts o = { .seed = pw->setup.seed };

	if (pw->setup.mnt_flags & UEXT4_MNT_DAX)
		o.flags |= BDEV_EMU_F_MAP;
	if (pw->setup.async)
		o.flags |= BDEV_EMU_F_ASYNC;
	assert_int_equal(bdev_emu_open(img, &o, &pw->dev), 0);
	bdev_emu_set_gate(pw->dev, gate, pw);
	assert_int_equal(bdev_emu_record(pw->dev), 0);
}

static void mount_it(struct pw *pw)
{
	struct uext4_mount_opts o = pw_opts(pw);
	struct uext4_fs *fs;

	o.flags |= pw->setup.mnt_flags;
	assert_int_equal(fs_mount(pw->dev, false, &o, &fs), 0);
	pw->fs = fs;
}

static void unmount_it(struct pw *pw)
{
	struct uext4_fs *fs = pw->fs;

	pw->fs = NULL;
	assert_int_equal(uext4_unmount(fs), 0);
}

/* ---- the model ---- */

struct pw_file *pw_find_file(struct pw *pw, uint32_t ino, uint32_t gen)
{
	struct pw_file *f;

	for (f = pw->files; f; f = f->next) {
		if (f->ino == ino && f->gen == gen)
			return f;
	}
	return NULL;
}

static int model_file(
		void *ctx, struct uext4_node *node, const struct uext4_stat *st)
{
	struct pw *pw = ctx;
	struct pw_file *f = pw_find_file(pw, st->ino, st->generation);
	struct pw_version *v;
	uint8_t *data;
	int ret;

	if (pwq_find(pw, st->ino, st->generation))
		return 0; /* it has a model of its own */
	ret = pw_read_all(node, st->size, &data);
	if (ret < 0)
		return ret;
	if (!f) {
		f = calloc(1, sizeof(*f));
		assert_non_null(f);
		f->ino = st->ino;
		f->gen = st->generation;
		f->next = pw->files;
		pw->files = f;
	}
	v = f->versions;
	if (v && v->size == st->size && v->ctime == st->ctime.tv_sec &&
			memcmp(v->data, data, st->size) == 0) {
		free(data);
		return 0;
	}
	v = calloc(1, sizeof(*v));
	assert_non_null(v);
	v->op = pw->nops;
	v->ctime = st->ctime.tv_sec;
	v->size = st->size;
	v->data = data;
	v->next = f->versions;
	f->versions = v;
	return 0;
}

static void snapshot(struct pw *pw)
{
	struct pw_snap s = { .fs = pw->fs, .file = model_file, .ctx = pw };

	assert_int_equal(pw_snap_tree(&s), 0);
	pw->trees[pw->nops] = s.text;
}

static void forget(struct pw *pw)
{
	struct pw_version *v;
	struct pw_file *f;
	uint32_t i;

	pwq_forget(pw);
	while ((f = pw->files) != NULL) {
		pw->files = f->next;
		while ((v = f->versions) != NULL) {
			f->versions = v->next;
			free(v->data);
			free(v);
		}
		free(f);
	}
	for (i = 0; i <= pw->nops; i++) {
		free(pw->trees[i]);
		pw->trees[i] = NULL;
		pw->acks[i] = 0;
	}
	pw->nops = 0;
}

/* ---- the workload ---- */

bool pw_open(struct pw *pw, const char *name, const struct pw_profile *p,
		const struct pw_setup *setup)
{
	memset(pw, 0, sizeof(*pw));
	snprintf(pw->name, sizeof(pw->name), "%s/%s", name, p->name);
	pw->profile = p;
	if (setup)
		pw->setup = *setup;
	pw->now.tv_sec = 1700000000;
	pw->e2fsck_budget = (double)pw_env("PW_E2FSCK_MS", 3000) / 1000;
	pw->nested_max = pw_env("PW_NESTED", 200);
	pw->start = pw_make_image(p, pw->setup.prepare);
	if (!pw->start) {
		printf("skip: e2fsprogs is missing or cannot make %s\n",
				p->name);
		return false;
	}
	open_dev(pw, pw->start);
	mount_it(pw);
	snapshot(pw);
	return true;
}

void pw_hold(struct pw *pw, struct uext4_file *file)
{
	if (pw->nheld < PW_HELD_MAX)
		pw->held[pw->nheld++] = file;
	else
		assert_int_equal(uext4_close(file), 0);
}

void pw_restart(struct pw *pw)
{
	unmount_it(pw);
	forget(pw);
	assert_int_equal(bdev_emu_record(pw->dev), 0);
	mount_it(pw);
	snapshot(pw);
}

void pw_remount(struct pw *pw)
{
	pw_op(pw);
	unmount_it(pw);
	bdev_emu_mark(pw->dev, EMU_MARK_OP_END, pw->nops, 0);
	/* From here on what was there at the unmount must be there: the mount
	 * that follows shows it to the model. */
	pw->acks[pw->nops] = 1;
	bdev_emu_mark(pw->dev, EMU_MARK_ACK_DURABLE, pw->nops, 0);
	mount_it(pw);
	snapshot(pw);
}

void pw_op(struct pw *pw)
{
	assert_true(pw->nops + 1 < PW_OPS_MAX);
	pw->nops++;
	pw->now.tv_sec++;
	bdev_emu_mark(pw->dev, EMU_MARK_OP_BEGIN, pw->nops, 0);
}

void pw_end(struct pw *pw)
{
	bdev_emu_mark(pw->dev, EMU_MARK_OP_END, pw->nops, 0);
	snapshot(pw);
}

void pw_ack(struct pw *pw, uint32_t ino)
{
	pw->acks[pw->nops] = ino + 1;
	bdev_emu_mark(pw->dev, EMU_MARK_ACK_DURABLE, pw->nops, 0);
}

/* ---- cuts ---- */

static void take_log(struct pw *pw, bool unmount, struct emu_img **ret_base,
		struct emu_log **ret_log)
{
	if (!unmount)
		bdev_emu_cut(pw->dev);
	pwq_close(pw);
	while (pw->nheld > 0)
		(void)uext4_close(pw->held[--pw->nheld]);
	if (unmount) {
		unmount_it(pw);
	} else {
		fs_crash(pw->fs);
		pw->fs = NULL;
	}
	assert_int_equal(bdev_emu_take_log(pw->dev, ret_base, ret_log), 0);
	assert_int_equal(bdev_close(pw->dev), 0);
	pw->dev = NULL;
}

/* Half of the writes survive, one in eight torn. */
static bool keep_some(void *ctx, const struct emu_ent *ent, uint32_t i)
{
	const uint64_t *seed = ctx;
	uint64_t r = hmap_mix(*seed ^ hmap_mix(ent->seq + 1));

	if (r % 8 == 0)
		return hmap_mix(r + i) >> 32 & 1;
	return r >> 32 & 1;
}

void pw_crash(struct pw *pw, uint64_t seed, uint64_t max_states)
{
	struct emu_img *base;
	struct emu_img *left;
	struct emu_log *log;
	uint64_t t;

	take_log(pw, false, &base, &log);
	pw_explore(pw, base, log, max_states, false);
	t = 1 + hmap_mix(seed) % log->clock;
	assert_int_equal(emu_log_build(log, base, t, keep_some, &seed, &left),
			0);
	emu_log_free(log);
	emu_img_free(base);
	forget(pw);
	open_dev(pw, left);
	emu_img_free(left);
	mount_it(pw);
	snapshot(pw);
}

static uint64_t judge_and_free(
		struct pw *pw, bool unmount, uint64_t max_states, bool repair)
{
	struct emu_img *base;
	struct emu_log *log;
	uint64_t n;

	take_log(pw, unmount, &base, &log);
	n = pw_explore(pw, base, log, max_states, repair);
	emu_log_free(log);
	emu_img_free(base);
	emu_img_free(pw->start);
	forget(pw);
	return n;
}

uint64_t pw_judge(struct pw *pw, bool unmount, uint64_t max_states)
{
	return judge_and_free(pw, unmount, max_states, false);
}

uint64_t pw_judge_repaired(struct pw *pw, uint64_t max_states)
{
	return judge_and_free(pw, true, max_states, true);
}

/* ---- sums ---- */

void pw_sum_add(struct pw_sum *sum, const struct pw_sum *one)
{
	sum->states += one->states;
	sum->async += one->async;
	sum->nested += one->nested;
	sum->recoveries += one->recoveries;
	sum->metadata += one->metadata;
	sum->unconfirmed += one->unconfirmed;
	sum->e2fsck += one->e2fsck;
	sum->lives += one->lives;
}

void pw_sum_print(const struct pw_sum *sum)
{
	printf("# power: %llu distinct states judged, and %llu of cuts inside "
	       "%llu recoveries; %llu different metadata, %llu of them not "
	       "shown to e2fsck; %llu runs of e2fsck; life went on %llu "
	       "times\n",
			(unsigned long long)sum->states,
			(unsigned long long)sum->nested,
			(unsigned long long)sum->recoveries,
			(unsigned long long)sum->metadata,
			(unsigned long long)sum->unconfirmed,
			(unsigned long long)sum->e2fsck,
			(unsigned long long)sum->lives);
	printf("# power: of which %llu with asynchronous writes in flight\n",
			(unsigned long long)sum->async);
}
