/* SPDX-License-Identifier: MIT */
/*
 * The judge's side of pw.h: what is demanded of each state.
 *
 * One struct judged serves a whole run. A state inside a recovery (mode R) is
 * judged with what the state that was being recovered had to fulfil: j->depth
 * says how many recoveries deep we are, j->st which state it is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hmap.h"
#include "base/lock.h"
#include "bdev/bdev_emu.h"
#include "disk/dsuper.h"
#include "fs/fs.h"
#include "power/pw_int.h"
#include "power/pw_meta.h"
#include "power/pw_queue.h"

#define NESTED_DEPTH  2  /* recoveries inside recoveries */
#define NESTED_STATES 24 /* judged of one recovery */
#define NESTED_SAMPLE 4  /* ... being one of so many */
#define NESTED_OF     4  /* of recoveries with work to do, one of so many */
#define NESTED_REST   64 /* of the others */
#define E2FSCK_REST   16 /* of states whose metadata is not new */
#define LIVES_OF      16 /* J7 */

struct judged {
	struct pw *pw;
	const struct explore_state *st;
	bool repair; /* pw_judge_repaired() */
	unsigned depth;
	uint32_t acked, begun; /* operations: the tree is one of these */
	uint32_t last_ack;     /* last operation that acked anything */
	uint32_t all_acked;    /* last one that synced every file */
	int ninflight;         /* requests submitted, their event not taken */
	uint32_t block_size;
	struct pw_meta meta;
	struct pw_fsck fsck;
	double fsck_seconds;
	/* of the last recovery */
	struct uext4_info info;
	bool torn; /* a commit block was */
};

static int judge_fail(struct judged *j, const char *fmt, ...)
		__attribute__((format(printf, 2, 3)));

static int judge_fail(struct judged *j, const char *fmt, ...)
{
	char why[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	fprintf(stderr, "# %s%s: state %s: %s\n",
			j->pw->setup.lacks ? "as it should be: " : "",
			j->pw->name, explore_state_name(j->st), why);
	return 1;
}

/* ---- what must and what may have survived ---- */

/* The next line of @tree after @*at that speaks of @ino; *ret_len its length. */
static const char *ino_line(const char **at, uint32_t ino, size_t *ret_len)
{
	char key[32];
	size_t len;

	snprintf(key, sizeof(key), " ino %u gen", ino);
	while (**at) {
		const char *line = *at;
		const char *hit;

		len = strcspn(line, "\n");
		*at = line + len + (line[len] == '\n');
		hit = strstr(line, key);
		if (hit && hit < line + len) {
			*ret_len = len;
			return line;
		}
	}
	return NULL;
}

static bool ino_lines_equal(const char *a, const char *b, uint32_t ino)
{
	const char *la;
	const char *lb;
	size_t na = 0;
	size_t nb = 0;

	do {
		la = ino_line(&a, ino, &na);
		lb = ino_line(&b, ino, &nb);
		if (!la || !lb)
			return la == lb;
	} while (na == nb && memcmp(la, lb, na) == 0);
	return false;
}

/* A sync of one inode promises the operations that changed it, and with them
 * all before: the last of them up to @op. */
static uint32_t ino_changed(const struct pw *pw, uint32_t ino, uint32_t op)
{
	while (op > 0 && ino_lines_equal(pw->trees[op], pw->trees[op - 1], ino))
		op--;
	return op;
}

/* Requests in flight: something reached the device after they began, and their
 * event was not taken before the cut. */
static void count_inflight(struct judged *j)
{
	const struct emu_ent *m;
	uint64_t pos = 0;

	j->ninflight = 0;
	while ((m = explore_state_next_mark(j->st, true, &pos)) != NULL)
		j->ninflight += m->mark == EMU_MARK_OP_BEGIN &&
				m->mark_val == PWQ_MARK;
	pos = 0;
	while ((m = explore_state_next_mark(j->st, false, &pos)) != NULL)
		j->ninflight -= m->mark == EMU_MARK_OP_END &&
				m->mark_val == PWQ_MARK;
	if (j->ninflight > 0)
		j->pw->sum.async++;
}

static void judge_window(struct judged *j)
{
	uint64_t pos = 0;
	const struct emu_ent *m;
	uint32_t op;
	uint32_t ack;

	j->acked = 0;
	j->last_ack = 0;
	j->begun = 0;
	j->all_acked = 0;
	while ((m = explore_state_next_mark(j->st, false, &pos)) != NULL) {
		if (m->mark != EMU_MARK_ACK_DURABLE)
			continue;
		op = (uint32_t)m->mark_id;
		ack = j->pw->acks[op];
		j->last_ack = op;
		if (ack == 1)
			j->all_acked = op;
		else
			op = ino_changed(j->pw, ack - 1, op);
		j->acked = op > j->acked ? op : j->acked;
	}
	pos = 0;
	while ((m = explore_state_next_mark(j->st, true, &pos)) != NULL) {
		if (m->mark == EMU_MARK_OP_BEGIN)
			j->begun = (uint32_t)m->mark_id;
	}
	if (j->begun < j->last_ack)
		j->begun = j->last_ack;
	count_inflight(j);
}

/* The last operation that made the bytes of @f durable before the cut. */
static uint32_t file_acked(struct judged *j, const struct pw_file *f)
{
	uint32_t op;

	for (op = j->last_ack; op > j->all_acked; op--) {
		if (j->pw->acks[op] == f->ino + 1 || j->pw->acks[op] == 1)
			return op;
	}
	return j->all_acked;
}

/* ---- J4 ---- */

static bool version_allows(const struct pw_version *v, uint64_t at, uint8_t c)
{
	return at < v->size ? v->data[at] == c : c == 0;
}

/* The newest version that the cut may have left: most bytes are of it. */
static const struct pw_version *version_newest(
		const struct judged *j, const struct pw_file *f)
{
	const struct pw_version *v;

	for (v = f->versions; v && v->op > j->begun;)
		v = v->next;
	return v;
}

static bool byte_is_legal(const struct judged *j, const struct pw_file *f,
		uint64_t at, uint8_t c, uint32_t from, bool born)
{
	const struct pw_version *v;

	for (v = f->versions; v; v = v->next) {
		if (v->op > j->begun)
			continue;
		if (version_allows(v, at, c))
			return true;
		if (v->op <= from)
			return false;
	}
	return born && c == 0;
}

static int judge_bytes(struct judged *j, const struct pw_file *f,
		const uint8_t *data, uint64_t size)
{
	const struct pw_version *newest = version_newest(j, f);
	const struct pw_version *v;
	uint32_t from = file_acked(j, f);
	uint64_t lo = UINT64_MAX;
	uint64_t hi = 0;
	uint64_t at;
	bool born; /* inside the window: it was empty once */

	for (v = f->versions; v; v = v->next) {
		if (v->op > j->begun)
			continue;
		lo = v->size < lo ? v->size : lo;
		hi = v->size > hi ? v->size : hi;
		if (v->op <= from)
			break;
	}
	born = !v;
	if (born)
		lo = 0;
	if (lo != UINT64_MAX && (size < lo || size > hi))
		return judge_fail(j, "inode %u: size %llu not in [%llu, %llu]",
				f->ino, (unsigned long long)size,
				(unsigned long long)lo, (unsigned long long)hi);
	for (at = 0; at < size; at++) {
		if (at % 512 == 0 && newest && at + 512 <= newest->size &&
				at + 512 <= size &&
				memcmp(data + at, newest->data + at, 512) ==
						0) {
			at += 511;
			continue;
		}
		if (!byte_is_legal(j, f, at, data[at], from, born))
			return judge_fail(j,
					"inode %u: byte %llu is %02x, which "
					"it never was since operation %u",
					f->ino, (unsigned long long)at,
					data[at], from);
	}
	return 0;
}

static struct pwq_moment moment_of(const struct judged *j)
{
	const struct pw_setup *setup = &j->pw->setup;
	struct pwq_moment m = {
		.begun = j->begun,
		.acked = j->last_ack,
		.by_prefix = setup->dio_size == UEXT4_DIO_SIZE_PREFIX,
		.step = setup->has_steps ? j->block_size : 0,
	};

	return m;
}

static int judge_queue_file(struct judged *j, const struct pwq_file *f,
		struct uext4_node *node, const struct uext4_stat *st)
{
	struct pwq_moment m = moment_of(j);
	char why[256];
	uint8_t *data;
	bool is_legal;
	int ret;

	if (j->repair && pwq_is_touched(f, &m))
		return 0;
	ret = pw_read_all(node, st->size, &data);
	if (ret < 0)
		return judge_fail(j, "inode %u: read: %d", st->ino, ret);
	is_legal = pwq_is_legal(f, &m, data, st->size, why, sizeof(why));
	free(data);
	return is_legal ? 0
			: judge_fail(j, "inode %u, operations %u to %u: %s",
					  st->ino, m.acked, m.begun, why);
}

/* Has it changed since its bytes were last made durable? */
static bool file_is_touched(struct judged *j, const struct pw_file *f)
{
	uint32_t from = file_acked(j, f);
	const struct pw_version *v;

	for (v = f->versions; v; v = v->next) {
		if (v->op > from && v->op <= j->begun)
			return true;
	}
	return false;
}

static int judge_file(
		void *ctx, struct uext4_node *node, const struct uext4_stat *st)
{
	struct judged *j = ctx;
	struct pw_file *f = pw_find_file(j->pw, st->ino, st->generation);
	struct pwq_file *q = pwq_find(j->pw, st->ino, st->generation);
	uint8_t *data;
	int ret;

	if (q)
		return judge_queue_file(j, q, node, st);
	if (!f && j->repair)
		return 0;
	if (!f)
		return judge_fail(j, "inode %u was never seen", st->ino);
	if (j->repair && file_is_touched(j, f))
		return 0;
	ret = pw_read_all(node, st->size, &data);
	if (ret < 0)
		return judge_fail(j, "inode %u: read: %d", st->ino, ret);
	ret = judge_bytes(j, f, data, st->size);
	free(data);
	return ret;
}

/* ---- J3 ---- */

static int compare_tree(struct judged *j, const char *got)
{
	uint32_t c;

	for (c = j->acked; c <= j->begun; c++) {
		if (strcmp(got, j->pw->trees[c]) == 0)
			return 0;
	}
	if (getenv("PW_LOG"))
		fprintf(stderr, "got:\n%swant:\n%s", got,
				j->pw->trees[j->acked]);
	return judge_fail(j,
			"the tree is none of those after operations %u..%u",
			j->acked, j->begun);
}

static bool has_line(const char *tree, const char *line, size_t len)
{
	while (*tree) {
		size_t n = strcspn(tree, "\n");

		if (n == len && memcmp(tree, line, len) == 0)
			return true;
		tree += n + (tree[n] == '\n');
	}
	return false;
}

/* Is @line of a file whose inode or bytes changed since the last sync? */
static bool line_is_touched(struct judged *j, const char *line)
{
	struct pwq_moment m = moment_of(j);
	const struct pwq_file *q;
	const struct pw_file *f;
	const char *at = strstr(line, " ino ");
	unsigned ino = 0;
	unsigned gen = 0;

	if (strncmp(line, "/lost+found ", 12) == 0)
		return true; /* e2fsck may have put something into it */
	assert_int_equal(sscanf(at, " ino %u gen %u", &ino, &gen), 2);
	q = pwq_find(j->pw, ino, gen);
	if (q)
		return pwq_is_touched(q, &m);
	f = pw_find_file(j->pw, ino, gen);
	return f && file_is_touched(j, f);
}

/* Without a journal: the lines that no operation since the last sync has
 * changed must be there. */
static int compare_untouched(struct judged *j, const char *got)
{
	const char *line = j->pw->trees[j->acked];
	uint32_t c;
	size_t n;

	for (; *line; line += n + (line[n] == '\n')) {
		n = strcspn(line, "\n");
		for (c = j->acked + 1; c <= j->begun; c++) {
			if (!has_line(j->pw->trees[c], line, n))
				break;
		}
		if (c > j->begun && !has_line(got, line, n) &&
				!line_is_touched(j, line)) {
			if (getenv("PW_LOG"))
				fprintf(stderr, "got:\n%s", got);
			return judge_fail(j,
					"synced and untouched, but lost: "
					"%.*s",
					(int)n, line);
		}
	}
	return 0;
}

/* J3 and J4 on the mounted result. */
static int judge_tree(struct judged *j, struct uext4_fs *fs)
{
	struct pw_snap s = { .fs = fs, .file = judge_file, .ctx = j };
	int ret;

	ret = pw_snap_tree(&s);
	if (ret < 0)
		ret = judge_fail(j, "the tree cannot be read: %d", ret);
	else if (ret == 0)
		ret = j->repair ? compare_untouched(j, s.text)
				: compare_tree(j, s.text);
	free(s.text);
	return ret;
}

/* ---- J1, J2, J5 ---- */

/* Without a journal a block may be in use before the size is on the disk. e2fsck
 * lets that pass up to the next multiple of 4 KiB. */
static bool is_only_past_end(const struct check_report *rep)
{
	uint32_t i;

	for (i = 0; i < rep->kept; i++) {
		if (!strstr(rep->text[i], "but written to block"))
			return false;
	}
	return rep->kept == rep->count;
}

static int judge_checker(struct judged *j, struct emu_img *img, unsigned flags)
{
	struct check_opts o = { .flags = flags };
	struct check_dev cd = pw_img_check_dev(img);
	struct check_report rep;
	int ret;

	ret = check_fs(&cd, &o, &rep);
	if (ret == 0 || (ret == 1 && j->repair && is_only_past_end(&rep)))
		return 0;
	return judge_fail(j, "checker: %s", rep.kept ? rep.text[0] : "failed");
}

/* Recover on @dev, look, unmount. */
static int judge_recover(struct judged *j, struct bdev *dev)
{
	struct uext4_mount_opts o = pw_opts(j->pw);
	struct uext4_fs *fs;
	int ret;

	ret = fs_mount(dev, false, &o, &fs);
	if (ret < 0)
		return judge_fail(j, "recovery mount: %d", ret);
	ret = uext4_info(fs, &j->info);
	j->torn = fs->recovered.torn_commit;
	if (ret == 0)
		ret = judge_tree(j, fs);
	if (ret != 0) {
		fs_crash(fs);
		return ret;
	}
	ret = uext4_unmount(fs);
	return ret < 0 ? judge_fail(j, "unmount: %d", ret) : 0;
}

/* J5 */
static int judge_again(struct judged *j, struct bdev *dev)
{
	struct uext4_mount_opts o = pw_opts(j->pw);
	struct uext4_info info;
	struct uext4_fs *fs;
	int ret;

	o.flags |= UEXT4_MNT_RDONLY;
	ret = fs_mount(dev, false, &o, &fs);
	if (ret < 0)
		return judge_fail(j, "second mount: %d", ret);
	ret = uext4_info(fs, &info);
	if (ret == 0 && (info.needed_recovery || info.replayed_blocks))
		ret = judge_fail(j, "a second recovery had work to do");
	(void)uext4_unmount(fs);
	return ret;
}

/* What can be said before recovery: the superblock is whole, and if it says
 * "clean" it is right. */
static int judge_raw(struct judged *j)
{
	uint8_t raw[DSUPER_SIZE];
	struct emu_img *img;
	struct dsuper sb;
	int ret;

	emu_img_read(explore_state_image(j->st), DSUPER_OFF, raw, sizeof(raw));
	if (dsuper_csum_verify(raw) < 0)
		return judge_fail(j, "the superblock is torn");
	dsuper_decode(raw, &sb);
	if (!(sb.state & DSUPER_STATE_VALID) ||
			(sb.feature_incompat & FI_RECOVER))
		return 0;
	ret = emu_img_fork(explore_state_image(j->st), &img);
	if (ret < 0)
		return judge_fail(j, "no memory");
	ret = judge_checker(j, img, j->repair ? 0 : CHECK_F_CANARY);
	emu_img_free(img);
	return ret;
}

/* ---- J6 ---- */

static double seconds(void)
{
	return (double)time_now_ns() / 1e9;
}

static uint64_t state_number(const struct judged *j, uint64_t salt)
{
	return hmap_mix(hmap_mix(explore_state_key(j->st)) + salt);
}

static int judge_e2fsck(struct judged *j, struct emu_img *after)
{
	struct pw_sum *sum = &j->pw->sum;
	bool is_new = pw_meta_is_new(&j->meta, after);
	unsigned rest_of = j->pw->setup.all_recoveries ? 2 : E2FSCK_REST;
	bool rest = state_number(j, 1) % rest_of == 0;
	double t = seconds();
	int ret;

	sum->metadata += is_new;
	if (!rest && !(is_new && j->fsck_seconds < j->pw->e2fsck_budget)) {
		sum->unconfirmed += is_new;
		return 0;
	}
	ret = pw_fsck_confirm(
			&j->fsck, explore_state_image(j->st), after, j->torn);
	if (is_new)
		j->fsck_seconds += seconds() - t;
	sum->e2fsck++;
	return ret == 0 ? 0 : judge_fail(j, "e2fsck does not agree: %d", ret);
}

/* ---- J7 ---- */

/* Let the file grow past its last block; what appears is zero. */
static int grow_file(
		void *ctx, struct uext4_node *node, const struct uext4_stat *st)
{
	struct judged *j = ctx;
	uint64_t end = (st->size / st->block_size + 1) * st->block_size + 100;
	struct uext4_setattr a = { .mask = UEXT4_SET_SIZE, .size = end };
	uint8_t *data;
	uint64_t at;
	int ret;

	ret = uext4_node_setattr(node, &a, NULL);
	if (ret == 0)
		ret = pw_read_all(node, end, &data);
	if (ret < 0)
		return judge_fail(j, "inode %u: growing: %d", st->ino, ret);
	for (at = st->size; at < end && data[at] == 0;)
		at++;
	free(data);
	return at == end ? 0
			 : judge_fail(j,
					   "inode %u: byte %llu appears from "
					   "behind its end",
					   st->ino, (unsigned long long)at);
}

static int use_again(struct uext4_fs *fs)
{
	static const uint8_t bytes[30000];
	struct uext4_file *file;
	ssize_t n;
	int ret;

	ret = uext4_open(fs, NULL, "/again", UEXT4_O_RDWR | UEXT4_O_CREAT, 0644,
			NULL, &file);
	if (ret < 0)
		return ret;
	n = uext4_pwrite(file, bytes, sizeof(bytes), 0);
	ret = uext4_close(file);
	return n < 0 ? (int)n : ret;
}

static int judge_life(struct judged *j, const struct emu_img *after)
{
	struct uext4_mount_opts o = pw_opts(j->pw);
	struct emu_img *end = NULL;
	struct pw_snap s = { .file = grow_file, .ctx = j };
	struct bdev *dev;
	int ret;

	ret = bdev_emu_open(after, NULL, &dev);
	if (ret < 0)
		return judge_fail(j, "no memory");
	ret = fs_mount(dev, false, &o, &s.fs);
	if (ret < 0)
		goto out_close;
	ret = pw_snap_tree(&s);
	if (ret == 0)
		ret = pw_remove_tree(s.fs);
	if (ret == 0)
		ret = use_again(s.fs);
	if (ret == 0)
		ret = uext4_unmount(s.fs);
	else
		fs_crash(s.fs);
	if (ret == 0)
		ret = bdev_emu_image(dev, &end);
	if (ret == 0)
		ret = judge_checker(j, end, CHECK_F_CANARY);
	emu_img_free(end);
	free(s.text);
out_close:
	(void)!bdev_close(dev);
	j->pw->sum.lives++;
	return ret < 0 ? judge_fail(j, "life does not go on: %d", ret) : ret;
}

/* ---- mode R ---- */

static int judge_state(void *ctx, const struct explore_state *st);

static bool wants_nested(const struct judged *j)
{
	bool work = j->info.replayed_transactions > 1 ||
			j->info.orphans_deleted + j->info.orphans_truncated > 0;
	uint64_t n = state_number(j, 2);

	if (explore_state_rest(j->st))
		return true;
	if (j->pw->setup.all_recoveries && j->depth == 0)
		return true;
	if (j->depth >= NESTED_DEPTH || j->repair ||
			j->pw->sum.nested >= j->pw->nested_max)
		return false;
	return n % ((work ? NESTED_OF : NESTED_REST) << (2 * j->depth)) == 0;
}

static int judge_nested(struct judged *j, const struct emu_img *base,
		const struct emu_log *log)
{
	uint64_t left = j->pw->nested_max - j->pw->sum.nested;
	struct explore_opts eo = {
		.seed = 1,
		.random = 4,
		.pair_max = 12,
		.max_states = left < NESTED_STATES ? left : NESTED_STATES,
		.sample = NESTED_SAMPLE,
		.sample_at = (uint32_t)(state_number(j, 3) % NESTED_SAMPLE),
		.only = explore_state_rest(j->st),
		.prefix = explore_state_name(j->st),
	};
	struct explore_report rep;
	int ret;

	if (eo.max_states == 0)
		eo.max_states = 1;
	if (j->pw->setup.all_recoveries) {
		eo.max_states = 0;
		eo.sample = 1;
	}
	j->depth++;
	ret = explore_run(base, log, &eo, judge_state, j, &rep);
	j->depth--;
	j->pw->sum.nested += rep.judged;
	j->pw->sum.recoveries++;
	if (ret < 0)
		return judge_fail(j, "exploring its recovery: %d", ret);
	return rep.failed ? 1 : 0;
}

/* ---- one state ---- */

/* What the recovered image must be like. */
static int judge_after(
		struct judged *j, struct bdev *dev, struct emu_img *after)
{
	int ret;

	ret = judge_checker(j, after, CHECK_F_CANARY);
	if (ret == 0)
		ret = judge_again(j, dev);
	if (ret == 0)
		ret = judge_e2fsck(j, after);
	if (ret == 0 && state_number(j, 4) % LIVES_OF == 0)
		ret = judge_life(j, after);
	return ret;
}

static int judge_image(struct judged *j)
{
	struct emu_img *after = NULL;
	struct emu_img *base = NULL;
	struct emu_log *log = NULL;
	struct bdev *dev;
	int err;
	int ret;

	ret = explore_state_open(j->st, NULL, &dev);
	if (ret < 0)
		return judge_fail(j, "no memory");
	ret = bdev_emu_record(dev);
	if (ret == 0)
		ret = judge_raw(j);
	if (ret == 0)
		ret = judge_recover(j, dev);
	err = bdev_emu_take_log(dev, &base, &log);
	if (ret == 0)
		ret = err;
	if (ret == 0)
		ret = bdev_emu_image(dev, &after);
	if (ret == 0) {
		pw_meta_learn(&j->meta, log);
		ret = judge_after(j, dev, after);
	}
	if (ret == 0 && wants_nested(j))
		ret = judge_nested(j, base, log);
	emu_img_free(after);
	emu_img_free(base);
	emu_log_free(log);
	(void)!bdev_close(dev);
	return ret;
}

/* No journal: see pw_judge_repaired(). */
static int judge_repaired(struct judged *j)
{
	struct emu_img *img;
	struct emu_img *sound;
	struct bdev *dev;
	int ret;

	ret = emu_img_fork(explore_state_image(j->st), &img);
	if (ret < 0)
		return judge_fail(j, "no memory");
	ret = judge_raw(j);
	if (ret == 0) {
		ret = pw_fsck_repair(&j->fsck, img, &sound);
		j->pw->sum.e2fsck++;
		if (ret != 0)
			ret = judge_fail(j, "e2fsck cannot repair it: %d", ret);
	}
	emu_img_free(img);
	if (ret != 0)
		return ret;
	ret = judge_checker(j, sound, 0);
	if (ret == 0 && bdev_emu_open(sound, NULL, &dev) == 0) {
		ret = judge_recover(j, dev);
		(void)!bdev_close(dev);
	}
	emu_img_free(sound);
	return ret;
}

static int judge_state(void *ctx, const struct explore_state *st)
{
	struct judged *j = ctx;
	const struct explore_state *outer = j->st;
	int ret;

	j->st = st;
	if (j->depth == 0)
		judge_window(j);
	ret = j->repair ? judge_repaired(j) : judge_image(j);
	j->st = outer;
	return ret;
}

/* ---- a run ---- */

static uint32_t block_size_of(const struct emu_img *img)
{
	uint8_t raw[DSUPER_SIZE];
	struct dsuper sb;

	emu_img_read(img, DSUPER_OFF, raw, sizeof(raw));
	dsuper_decode(raw, &sb);
	return 1024u << sb.log_block_size;
}

/* One of how many states to judge, so that @max_states are spread over all. */
static int spread_of(const struct emu_img *base, const struct emu_log *log,
		const struct explore_opts *opts, uint32_t *ret_sample)
{
	struct explore_opts eo = *opts;
	struct explore_report rep;
	int ret;

	eo.max_states = 0;
	eo.sample = 2;
	eo.sample_at = 2; /* none has this number */
	ret = explore_run(base, log, &eo, NULL, NULL, &rep);
	*ret_sample = (uint32_t)(explore_report_distinct(&rep) /
					opts->max_states +
			1);
	return ret;
}

uint64_t pw_explore(struct pw *pw, const struct emu_img *base,
		const struct emu_log *log, uint64_t max_states, bool repair)
{
	struct explore_opts eo = {
		.seed = pw_env("PW_SEED", 1),
		.random = 16,
		.pair_max = 24,
		.max_states = max_states,
		.max_seconds = (double)pw_env("PW_SECONDS", 0),
		.only = getenv("PW_ONLY"),
	};
	struct judged j = { .pw = pw, .repair = repair };
	struct pw_sum was = pw->sum;
	struct explore_report rep;
	int ret = 0;

	pw->sum.nested = 0;
	j.block_size = block_size_of(base);
	pw_fsck_init(&j.fsck, base);
	pw_meta_init(&j.meta, base, j.block_size);
	pw_meta_learn(&j.meta, log);
	if (pw->setup.spread && max_states && !eo.only)
		ret = spread_of(base, log, &eo, &eo.sample);
	if (ret == 0)
		ret = explore_run(base, log, &eo, judge_state, &j, &rep);
	pw_fsck_fini(&j.fsck);
	pw_meta_fini(&j.meta);
	pw->sum.states += rep.judged;
	printf("# %s: %llu states%s, %llu in %llu recoveries, %llu of %llu "
	       "new metadata and %llu in all by e2fsck, %.1f s, seed %llu\n",
			pw->name, (unsigned long long)rep.judged,
			rep.is_truncated ? " (all that the budget allows)" : "",
			(unsigned long long)pw->sum.nested,
			(unsigned long long)(pw->sum.recoveries -
					was.recoveries),
			(unsigned long long)(pw->sum.metadata - was.metadata -
					(pw->sum.unconfirmed -
							was.unconfirmed)),
			(unsigned long long)(pw->sum.metadata - was.metadata),
			(unsigned long long)(pw->sum.e2fsck - was.e2fsck),
			rep.seconds, (unsigned long long)eo.seed);
	pw->sum.nested += was.nested;
	pw->nfound += (unsigned)rep.failed;
	if (pw->setup.lacks)
		return rep.judged;
	if (rep.failed)
		explore_print(stderr, pw->name, &rep);
	/* PW_ONLY names a state of one run; the others do not have it. */
	if (ret == -ENOENT && eo.only)
		return 0;
	assert_int_equal(ret, 0);
	assert_int_equal(rep.failed, 0);
	return rep.judged;
}
