/* SPDX-License-Identifier: MIT */
/*
 * Power cuts while several threads are at work: what one leaves half done when
 * another commits.
 *
 * Each worker has a directory and changes the slots in it, one operation after
 * the other: a file is written under another name, synced and renamed over a
 * slot; slots are removed, linked, made directories or symlinks. What an operation
 * leaves behind (files without a name that are still open) is closed by another
 * thread, some time later. Another one commits all the time, so that what takes
 * two transactions is cut between them. Besides, a scratch file is written in all
 * ways, cut, punched, preallocated and given attributes: what is in it nobody looks
 * at, but the checker.
 *
 * Every state must recover, be unmounted and be found clean by the checker, with
 * nothing in reach that was on the disk before, and each slot must be what it was
 * after the worker's last operation that was acknowledged, or after the one that was
 * under way.
 *
 * Usage: t_power_threads [SEED [RUNS [SECONDS]]]. What threads do differs from run
 * to run; a failure saves the image of the state and says where.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/hmap.h"
#include "bdev/bdev_emu.h"
#include "check/check.h"
#include "fs/fs.h"
#include "journal/journal.h"
#include "power/explore.h"
#include "power/pw_int.h"

#define WORKERS 3u
#define SLOTS   5u
#define OPS     60u
#define HELD    16u
#define MAX     (24u << 10)
#define CUT     1000u
#define SCRATCH (200u << 10)

static const struct pw_profile profiles[] = {
	{ "small-log", "-t ext4 -b 1024 -J size=1 -N 256", 10 << 10 },
	{ "orphan-file", "-t ext4 -b 1024 -J size=1 -N 256 -O orphan_file",
			10 << 10 },
	{ "ext3", "-t ext3 -b 1024 -J size=1 -N 256", 10 << 10 },
	{ "4k", "-t ext4 -b 4096 -J size=4 -N 256", 16 << 10 },
};

/* ---- what a slot may be ---- */

enum slot_kind {
	SLOT_NONE,
	SLOT_FILE,
	SLOT_DIR,
	SLOT_LINK,
};

struct slot {
	enum slot_kind kind;
	uint32_t size; /* of a file, of a symlink's target */
	uint32_t fill;
};

/* What an operation did to a slot on its way: the others it leaves alone. */
struct step {
	int slot;    /* -1: to none */
	bool clears; /* it may be empty in between */
	bool cuts;   /* its old file may be cut in between */
};

struct worker {
	struct run *run;
	pthread_t thread;
	unsigned me;
	uint64_t rnd;
	struct uext4_node *dir;
	/* after so many operations */
	struct slot slots[OPS + 1][SLOTS];
	struct step step[OPS];
};

struct run {
	const struct pw_profile *profile;
	struct emu_img *img;
	struct bdev *dev;
	struct uext4_fs *fs;
	struct worker worker[WORKERS];
	pthread_t closer, committer;
	pthread_mutex_t m;
	struct uext4_file *held[HELD]; /* [m] */
	unsigned nheld;                /* [m] */
	_Atomic bool over;
	_Atomic uint64_t gate_rnd;
};

static uint32_t below(uint64_t *rnd, uint32_t n)
{
	*rnd = hmap_mix(*rnd + 0x9e3779b97f4a7c15u);
	return (uint32_t)(*rnd >> 33) % n;
}

static uint8_t byte_at(const struct slot *s, uint32_t at)
{
	return (uint8_t)('a' + (s->fill + at / 64) % 26);
}

static void fill(const struct slot *s, uint8_t *buf)
{
	uint32_t i;

	for (i = 0; i < s->size; i++)
		buf[i] = byte_at(s, i);
}

static void slot_name(unsigned slot, char name[8])
{
	(void)snprintf(name, 8, "s%u", slot);
}

/* ---- the workload ---- */

/* May be held for a while by the closer. Takes over @file. */
static void hand_over(struct run *run, struct uext4_file *file)
{
	pthread_mutex_lock(&run->m);
	if (run->nheld < HELD) {
		run->held[run->nheld++] = file;
		file = NULL;
	}
	pthread_mutex_unlock(&run->m);
	assert_int_equal(uext4_close(file), 0);
}

static void *closer_main(void *arg)
{
	struct run *run = arg;
	bool over;
	bool more;

	do {
		struct uext4_file *file = NULL;

		over = atomic_load(&run->over);
		pthread_mutex_lock(&run->m);
		if (run->nheld > 0) {
			file = run->held[0];
			memmove(run->held, run->held + 1,
					--run->nheld * sizeof(*run->held));
		}
		more = run->nheld > 0;
		pthread_mutex_unlock(&run->m);
		if (file)
			assert_int_equal(uext4_close(file), 0);
		else
			(void)usleep(50);
	} while (!over || more);
	return NULL;
}

static void *committer_main(void *arg)
{
	struct run *run = arg;

	while (!atomic_load(&run->over))
		assert_int_equal(journal_sync(run->fs->journal), 0);
	return NULL;
}

static void write_slot(struct worker *w, const char *name, const struct slot *s)
{
	uint8_t *buf = malloc(MAX);
	struct uext4_file *file;

	assert_non_null(buf);
	fill(s, buf);
	assert_int_equal(uext4_create(w->dir, name,
					 UEXT4_O_RDWR | UEXT4_O_CREAT |
							 UEXT4_O_TRUNC,
					 0644, NULL, &file),
			0);
	assert_int_equal(uext4_pwrite(file, buf, s->size, 0), s->size);
	assert_int_equal(uext4_fsync(file), 0);
	hand_over(w->run, file);
	free(buf);
}

/* Some hold what is there open across its end. */
static void hold(struct worker *w, const char *name, const struct slot *s,
		struct step *step)
{
	struct uext4_node *node;
	struct uext4_file *file;

	if (below(&w->rnd, 2) || uext4_lookup(w->dir, name, NULL, &node) < 0)
		return;
	if (uext4_open_node(node, UEXT4_O_RDWR, NULL, &file) == 0) {
		if (s->size > CUT && below(&w->rnd, 3) == 0) {
			assert_int_equal(uext4_ftruncate(file, CUT), 0);
			step->cuts = true;
		}
		hand_over(w->run, file);
	}
	uext4_node_put(node);
}

static void clear_slot(struct worker *w, const char *name, struct slot *s)
{
	if (s->kind == SLOT_DIR)
		assert_int_equal(uext4_rmdir(w->dir, name, NULL), 0);
	else if (s->kind != SLOT_NONE)
		assert_int_equal(uext4_unlink(w->dir, name, NULL), 0);
	s->kind = SLOT_NONE;
}

/* A file as it is about to go may be cut: its size is nobody's business then. */
static void replace(struct worker *w, const char *name, struct slot *s)
{
	if (s->kind == SLOT_DIR) {
		clear_slot(w, name, s);
		return;
	}
	s->kind = SLOT_FILE;
	s->fill = below(&w->rnd, 1000);
	s->size = below(&w->rnd, 4) ? below(&w->rnd, MAX) : 0;
	write_slot(w, ".tmp", s);
	assert_int_equal(
			uext4_rename(w->dir, ".tmp", w->dir, name, 0, NULL), 0);
}

static void make_link(struct worker *w, const char *name, struct slot *s)
{
	static const uint32_t sizes[] = { 5, 59, 60, 200 };
	char target[256] = { 0 };

	s->kind = SLOT_LINK;
	s->fill = below(&w->rnd, 1000);
	s->size = sizes[below(&w->rnd, 4)];
	fill(s, (uint8_t *)target);
	assert_int_equal(uext4_symlink(w->dir, name, target, NULL, NULL), 0);
}

/* A file that never has a name, and one whose name goes at once. */
static void nameless(struct worker *w)
{
	static const char data[3000] = "nobody";
	struct uext4_file *file;

	assert_int_equal(uext4_open(w->run->fs, w->dir, ".",
					 UEXT4_O_RDWR | UEXT4_O_TMPFILE, 0600,
					 NULL, &file),
			0);
	assert_int_equal(uext4_pwrite(file, data, sizeof(data), 0),
			sizeof(data));
	hand_over(w->run, file);
	assert_int_equal(uext4_create(w->dir, ".gone",
					 UEXT4_O_RDWR | UEXT4_O_CREAT, 0600,
					 NULL, &file),
			0);
	assert_int_equal(uext4_unlink(w->dir, ".gone", NULL), 0);
	hand_over(w->run, file);
}

static void write_scratch(struct worker *w, struct uext4_file *file)
{
	static const uint32_t sizes[] = { 1, 700, 4096, 8192, 40000 };
	uint32_t len = sizes[below(&w->rnd, 5)];
	uint64_t pos = below(&w->rnd, SCRATCH);
	uint8_t *buf = aligned_alloc(4096, 40960);
	ssize_t n;

	assert_non_null(buf);
	memset(buf, 'x', 40960);
	if (below(&w->rnd, 2)) { /* may go directly */
		pos &= ~UINT64_C(4095);
		len = (len + 4095) & ~4095u;
	}
	n = uext4_pwrite(file, buf, len, pos);
	assert_true(n == len || n == -EINVAL || n == -ENOSPC || n > 0);
	free(buf);
}

static void shape_scratch(struct worker *w, struct uext4_file *file)
{
	static const unsigned modes[] = { 0, UEXT4_FALLOC_KEEP_SIZE,
		UEXT4_FALLOC_KEEP_SIZE | UEXT4_FALLOC_PUNCH_HOLE,
		UEXT4_FALLOC_ZERO_RANGE };
	uint64_t pos = below(&w->rnd, SCRATCH);
	int ret;

	if (below(&w->rnd, 3) == 0)
		ret = uext4_ftruncate(file, pos);
	else
		ret = uext4_fallocate(file, modes[below(&w->rnd, 4)], pos,
				1 + below(&w->rnd, SCRATCH / 2));
	assert_true(ret == 0 || ret == -ENOSPC || ret == -EOPNOTSUPP);
}

/* Small values fit into the inode, others take a block, which files share. */
static void tag_scratch(struct worker *w, struct uext4_node *node)
{
	static const char value[600] = "value";
	static const char *const names[] = { "user.a", "user.b" };
	const char *name = names[below(&w->rnd, 2)];
	int ret;

	if (below(&w->rnd, 3) == 0)
		ret = uext4_removexattr(node, name, NULL);
	else
		ret = uext4_setxattr(node, name, value,
				below(&w->rnd, 2) ? 20 : sizeof(value), 0,
				NULL);
	assert_true(ret == 0 || ret == -ENODATA || ret == -ENOSPC);
}

static void scratch(struct worker *w)
{
	unsigned flags = UEXT4_O_RDWR | UEXT4_O_CREAT;
	struct uext4_file *file;
	unsigned n;

	if (below(&w->rnd, 2))
		flags |= UEXT4_O_DIRECT;
	assert_int_equal(uext4_create(w->dir, "scratch", flags, 0644, NULL,
					 &file),
			0);
	for (n = below(&w->rnd, 4); n > 0; n--) {
		switch (below(&w->rnd, 4)) {
		case 0:
		case 1:
			write_scratch(w, file);
			break;
		case 2:
			shape_scratch(w, file);
			break;
		default:
			tag_scratch(w, uext4_file_node(file));
		}
	}
	hand_over(w->run, file);
	if (below(&w->rnd, 5) == 0)
		assert_int_equal(uext4_unlink(w->dir, "scratch", NULL), 0);
}

static void one_operation(
		struct worker *w, struct slot *slots, struct step *step)
{
	unsigned n = below(&w->rnd, SLOTS);
	struct slot *s = &slots[n];
	char name[8];

	slot_name(n, name);
	step->slot = (int)n;
	switch (below(&w->rnd, 11)) {
	case 0:
	case 1:
	case 2:
		if (s->kind == SLOT_FILE)
			hold(w, name, s, step);
		/* Cut by hold(), it is gone in the same breath. */
		replace(w, name, s);
		break;
	case 3:
	case 4:
		clear_slot(w, name, s);
		break;
	case 5:
		step->clears = true;
		clear_slot(w, name, s);
		make_link(w, name, s);
		break;
	case 6:
		step->clears = true;
		clear_slot(w, name, s);
		assert_int_equal(
				uext4_mkdir(w->dir, name, 0755, NULL, NULL), 0);
		s->kind = SLOT_DIR;
		break;
	case 7:
		step->slot = -1;
		nameless(w);
		break;
	default:
		step->slot = -1;
		scratch(w);
	}
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	unsigned op;

	for (op = 0; op < OPS; op++) {
		uint64_t id = (uint64_t)w->me << 32 | op;

		memcpy(w->slots[op + 1], w->slots[op], sizeof(w->slots[op]));
		bdev_emu_mark(w->run->dev, EMU_MARK_OP_BEGIN, id, 0);
		one_operation(w, w->slots[op + 1], &w->step[op]);
		if (below(&w->rnd, 2))
			continue;
		assert_int_equal(uext4_node_fsync(w->dir, false), 0);
		bdev_emu_mark(w->run->dev, EMU_MARK_ACK_DURABLE, id, 0);
	}
	return NULL;
}

/* A device takes a moment, now and then. */
static void gate(void *ctx, const struct bdev_io *io)
{
	struct run *run = ctx;
	uint64_t x = hmap_mix(atomic_fetch_add(&run->gate_rnd, 1));

	(void)io;
	if (x % 8 == 0)
		(void)usleep((useconds_t)(x >> 32) % 200);
}

static void log_it(void *ctx, enum uext4_log_level level, const char *msg)
{
	(void)ctx;
	if (level <= UEXT4_LOG_WARN || getenv("PW_LOG"))
		fprintf(stderr, "# %s\n", msg);
}

static struct uext4_mount_opts options(bool quietly)
{
	struct uext4_mount_opts o = {
		.size = sizeof(o),
		.flags = quietly ? UEXT4_MNT_NOTHREAD : 0,
		.meta_cache = 4 << 20,
		.page_cache = 4 << 20,
		.log = log_it,
	};

	return o;
}

static void begin(struct run *run)
{
	struct uext4_mount_opts o = options(false);
	unsigned i;

	assert_int_equal(bdev_emu_open(run->img, NULL, &run->dev), 0);
	assert_int_equal(fs_mount(run->dev, false, &o, &run->fs), 0);
	for (i = 0; i < WORKERS; i++) {
		struct uext4_node *root;
		char name[8];

		(void)snprintf(name, sizeof(name), "w%u", i);
		assert_int_equal(uext4_node_root(run->fs, &root), 0);
		assert_int_equal(uext4_mkdir(root, name, 0755, NULL,
						 &run->worker[i].dir),
				0);
		uext4_node_put(root);
	}
	assert_int_equal(uext4_sync(run->fs), 0);
}

static void work(struct run *run, uint64_t seed)
{
	unsigned i;

	pthread_mutex_init(&run->m, NULL);
	assert_int_equal(bdev_emu_record(run->dev), 0);
	bdev_emu_set_gate(run->dev, gate, run);
	for (i = 0; i < WORKERS; i++) {
		struct worker *w = &run->worker[i];

		w->run = run;
		w->me = i;
		w->rnd = seed * WORKERS + i;
		assert_int_equal(pthread_create(&w->thread, NULL, worker_main,
						 w),
				0);
	}
	assert_int_equal(pthread_create(&run->closer, NULL, closer_main, run),
			0);
	assert_int_equal(pthread_create(&run->committer, NULL, committer_main,
					 run),
			0);
	for (i = 0; i < WORKERS; i++)
		pthread_join(run->worker[i].thread, NULL);
	atomic_store(&run->over, true);
	pthread_join(run->closer, NULL);
	pthread_join(run->committer, NULL);
	for (i = 0; i < WORKERS; i++)
		uext4_node_put(run->worker[i].dir);
	pthread_mutex_destroy(&run->m);
	assert_int_equal(uext4_unmount(run->fs), 0);
}

/* ---- the judge ---- */

struct window {
	int64_t acked, begun; /* operations of a worker, -1: none */
};

static void windows(const struct explore_state *st, struct window w[WORKERS])
{
	const struct emu_ent *m;
	uint64_t pos;
	unsigned i;

	for (i = 0; i < WORKERS; i++)
		w[i] = (struct window){ -1, -1 };
	for (pos = 0; (m = explore_state_next_mark(st, false, &pos)) != NULL;) {
		if (m->mark == EMU_MARK_ACK_DURABLE)
			w[m->mark_id >> 32].acked = (uint32_t)m->mark_id;
	}
	for (pos = 0; (m = explore_state_next_mark(st, true, &pos)) != NULL;) {
		if (m->mark == EMU_MARK_OP_BEGIN)
			w[m->mark_id >> 32].begun = (uint32_t)m->mark_id;
	}
	for (i = 0; i < WORKERS; i++) {
		if (w[i].begun < w[i].acked)
			w[i].begun = w[i].acked;
	}
}

/* What is there, as far as a slot tells it; -errno, or 1: bytes of no slot. */
static int look(struct uext4_node *dir, unsigned n, struct slot *ret,
		uint8_t **ret_data)
{
	struct uext4_node *node;
	struct uext4_stat st;
	char name[8];
	int ret_ = 0;

	*ret = (struct slot){ .kind = SLOT_NONE };
	*ret_data = NULL;
	slot_name(n, name);
	ret_ = uext4_lookup(dir, name, NULL, &node);
	if (ret_ < 0)
		return ret_ == -ENOENT ? 0 : ret_;
	ret_ = uext4_node_stat(node, &st);
	if (ret_ < 0)
		goto out_put;
	ret->size = (uint32_t)st.size;
	if (S_ISDIR(st.mode)) {
		ret->kind = SLOT_DIR;
		ret->size = 0;
	} else if (S_ISLNK(st.mode)) {
		ret->kind = SLOT_LINK;
		*ret_data = calloc(1, MAX);
		ret_ = uext4_node_readlink(node, (char *)*ret_data, MAX) ==
						(ssize_t)st.size
				? 0
				: -EIO;
	} else {
		ret->kind = SLOT_FILE;
		ret_ = pw_read_all(node, st.size, ret_data);
	}
out_put:
	uext4_node_put(node);
	return ret_;
}

/* @cut: it may be on its way to be cut (hold()). */
static bool is_same(const struct slot *want, const struct slot *got,
		const uint8_t *data, bool cut)
{
	uint32_t i;

	if (want->kind != got->kind)
		return false;
	if (want->kind == SLOT_NONE || want->kind == SLOT_DIR)
		return true;
	if (want->size != got->size)
		return false;
	for (i = 0; i < want->size; i++) {
		if (data[i] != byte_at(want, i) &&
				!(cut && i >= CUT && data[i] == 0))
			return false;
	}
	return true;
}

/* After operation @from, which was acknowledged, and in or after those up to @to:
 * they leave behind what they were to, or what is in between. */
static bool may_be(const struct worker *w, int64_t from, int64_t to, unsigned n,
		const struct slot *got, const uint8_t *data)
{
	int64_t op;

	if (is_same(&w->slots[from + 1][n], got, data, false))
		return true;
	for (op = from + 1; op <= to; op++) {
		const struct slot *before = &w->slots[op][n];
		struct slot cut = *before;

		if (w->step[op].slot != (int)n)
			continue;
		if (is_same(&w->slots[op + 1][n], got, data, false))
			return true;
		if (w->step[op].clears && got->kind == SLOT_NONE)
			return true;
		if (!w->step[op].cuts || before->kind != SLOT_FILE)
			continue;
		if (got->size == CUT)
			cut.size = CUT;
		if (is_same(&cut, got, data, true))
			return true;
	}
	return false;
}

static int judge_slots(struct run *run, const struct explore_state *st,
		struct uext4_fs *fs)
{
	struct window win[WORKERS];
	unsigned i;
	unsigned n;

	windows(st, win);
	for (i = 0; i < WORKERS; i++) {
		struct uext4_node *root;
		struct uext4_node *dir;
		char name[8];
		int ret;

		(void)snprintf(name, sizeof(name), "w%u", i);
		ret = uext4_node_root(fs, &root);
		if (ret < 0)
			return ret;
		ret = uext4_lookup(root, name, NULL, &dir);
		uext4_node_put(root);
		if (ret < 0)
			return ret;
		for (n = 0; n < SLOTS && ret == 0; n++) {
			struct slot got;
			uint8_t *data;

			ret = look(dir, n, &got, &data);
			if (ret == 0 &&
					!may_be(&run->worker[i], win[i].acked,
							win[i].begun, n, &got,
							data)) {
				fprintf(stderr,
						"# worker %u, slot %u, "
						"operations %lld to %lld: kind "
						"%u, %u bytes\n",
						i, n, (long long)win[i].acked,
						(long long)win[i].begun,
						got.kind, got.size);
				ret = 1;
			}
			free(data);
		}
		uext4_node_put(dir);
		if (ret != 0)
			return ret;
	}
	return 0;
}

static int judge_recovered(struct run *run, const struct explore_state *st,
		struct bdev *dev)
{
	struct uext4_mount_opts o = options(true);
	struct check_opts look_for = { .flags = CHECK_F_CANARY };
	struct check_report rep;
	struct check_dev cd;
	struct uext4_fs *fs;
	struct emu_img *img;
	uint32_t i;
	int ret;

	ret = fs_mount(dev, false, &o, &fs);
	if (ret < 0)
		return ret;
	ret = judge_slots(run, st, fs);
	if (ret != 0) {
		fs_crash(fs);
		return ret;
	}
	ret = uext4_unmount(fs);
	if (ret == 0)
		ret = bdev_emu_image(dev, &img);
	if (ret < 0)
		return ret;
	cd = pw_img_check_dev(img);
	ret = check_fs(&cd, &look_for, &rep);
	for (i = 0; ret == 1 && i < rep.kept; i++)
		fprintf(stderr, "# %s\n", rep.text[i]);
	emu_img_free(img);
	return ret;
}

static int judge(void *ctx, const struct explore_state *st)
{
	struct run *run = ctx;
	struct bdev *dev;
	char path[300];
	int ret;

	if (explore_state_open(st, NULL, &dev) < 0)
		return -ENOMEM;
	ret = judge_recovered(run, st, dev);
	err_ignore(bdev_close(dev));
	if (ret == 0)
		return 0;
	(void)snprintf(path, sizeof(path), "%s/t_power_threads.%d.img",
			pw_tmp_dir(), (int)getpid());
	err_ignore(explore_state_save(st, path));
	fprintf(stderr, "# %s: state %s: %d; its image is %s\n",
			run->profile->name, explore_state_name(st), ret, path);
	return ret;
}

/* ---- all of it ---- */

static uint64_t seed = 1;
static unsigned runs = 2;
static double seconds = 4;

static uint64_t one_run(const struct pw_profile *p, uint64_t number, FILE *to)
{
	struct run *run = calloc(1, sizeof(*run));
	struct explore_opts opts = {
		.seed = number,
		.max_seconds = seconds,
		.random = 8,
		.subset_bits = 3,
		.pair_max = 4,
	};
	struct explore_report rep;
	struct emu_img *base;
	struct emu_log *log;
	uint64_t n;

	assert_non_null(run);
	run->profile = p;
	run->img = pw_make_image(p, NULL);
	assert_non_null(run->img);
	begin(run);
	work(run, number);
	assert_int_equal(bdev_emu_take_log(run->dev, &base, &log), 0);
	/* What was there at each moment first: there are the most of those. */
	opts.modes = EXPLORE_M(EXPLORE_PREFIX);
	assert_int_equal(explore_run(base, log, &opts, judge, run, &rep), 0);
	explore_print(to, p->name, &rep);
	n = rep.judged;
	assert_int_equal(rep.failed, 0);
	opts.modes = EXPLORE_M(EXPLORE_SUBSET) | EXPLORE_M(EXPLORE_TORN);
	opts.sample = 16;
	opts.sample_at = (uint32_t)(number % 16);
	opts.max_seconds = seconds / 2;
	assert_int_equal(explore_run(base, log, &opts, judge, run, &rep), 0);
	explore_print(to, p->name, &rep);
	assert_int_equal(rep.failed, 0);
	emu_img_free(base);
	emu_log_free(log);
	err_ignore(bdev_close(run->dev));
	emu_img_free(run->img);
	free(run);
	return n + rep.judged;
}

static void what_threads_leave_recovers(void **state)
{
	uint64_t n = 0;
	unsigned i;
	unsigned k;

	(void)state;
	for (k = 0; k < runs; k++) {
		for (i = 0; i < sizeof(profiles) / sizeof(*profiles); i++)
			n += one_run(&profiles[i], seed + k, stdout);
	}
	printf("# power: %llu distinct states judged, and 0 of cuts inside "
	       "recoveries\n",
			(unsigned long long)n);
	assert_true(n > runs * 1000);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_threads_leave_recovers),
	};

	if (argc > 1)
		seed = strtoull(argv[1], NULL, 0);
	if (argc > 2)
		runs = (unsigned)strtoul(argv[2], NULL, 0);
	if (argc > 3)
		seconds = strtod(argv[3], NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
