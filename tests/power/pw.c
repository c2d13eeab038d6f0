/* SPDX-License-Identifier: MIT */
/*
 * See pw.h.
 */
#include "power/pw.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/hmap.h"
#include "bdev/bdev_emu.h"
#include "check/check.h"
#include "disk/dsuper.h"
#include "fs/fs.h"

const struct pw_profile pw_profiles[] = {
	{ "ext4-4k",
			"-t ext4 -b 4096 -J size=4 -N 256 -O "
			"metadata_csum,64bit,orphan_file,metadata_csum_seed,"
			"^resize_inode",
			12 },
	{ "ext4-1k",
			"-t ext4 -b 1024 -J size=1 -N 256 -O "
			"metadata_csum,64bit,^resize_inode",
			6 },
	{ "ext4-1k-nocsum",
			"-t ext4 -b 1024 -J size=1 -N 256 -O "
			"^metadata_csum,uninit_bg,^64bit,^flex_bg",
			6 },
	{ "ext3-1k", "-t ext3 -b 1024 -J size=1 -N 256 -I 128", 6 },
};

const unsigned pw_nprofiles = sizeof(pw_profiles) / sizeof(pw_profiles[0]);

/* ---- the image ---- */

static const char *tmp_dir(void)
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

static int img_write(void *ctx, uint64_t pos, const void *buf, size_t len)
{
	return emu_img_write(ctx, pos, buf, len);
}

static struct check_dev img_check_dev(struct emu_img *img)
{
	struct check_dev d = {
		.read = img_read,
		.ctx = img,
		.size = emu_img_size(img),
	};

	return d;
}

static struct emu_img *make_image(const struct pw_profile *p)
{
	struct check_dev cd;
	struct emu_img *img;
	char path[256];
	char cmd[1024];
	int fd;

	snprintf(path, sizeof(path), "%s/pw.XXXXXX", tmp_dir());
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)p->mb << 20), 0);
	close(fd);
	snprintf(cmd, sizeof(cmd),
			"PATH=$PATH:/usr/sbin:/sbin mke2fs -q -F -U "
			"01234567-89ab-cdef-0123-456789abcdef -E "
			"hash_seed=01234567-89ab-cdef-0123-456789abcdef,"
			"root_owner=0:0 %s %s",
			p->mke2fs, path);
	if (system(cmd) != 0) {
		unlink(path);
		return NULL;
	}
	assert_int_equal(emu_img_load(path, &img), 0);
	unlink(path);
	cd = img_check_dev(img);
	assert_true(check_fill_free(&cd, img_write, img) > 0);
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

static struct uext4_mount_opts pw_opts(struct pw *pw)
{
	struct uext4_mount_opts o = {
		.size = sizeof(o),
		.flags = UEXT4_MNT_NOTHREAD | UEXT4_MNT_NOATIME,
		.meta_cache = 4 << 20,
		.page_cache = 1 << 20,
		.log = pw_log,
		.now = pw_now,
		.now_ctx = pw,
	};

	return o;
}

/* ---- what the engine shows ---- */

struct text {
	char *p;
	size_t len, cap;
};

static void text_add(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	for (;;) {
		va_start(ap, fmt);
		n = vsnprintf(t->p + t->len, t->cap - t->len, fmt, ap);
		va_end(ap);
		assert_true(n >= 0);
		if ((size_t)n < t->cap - t->len)
			break;
		t->cap = t->cap * 2 + (size_t)n + 1024;
		t->p = realloc(t->p, t->cap);
		assert_non_null(t->p);
	}
	t->len += (size_t)n;
}

struct names {
	char name[512][64];
	unsigned n;
};

static int add_name(void *ctx, const struct uext4_dirent *e)
{
	struct names *l = ctx;

	if (strcmp(e->name, ".") == 0 || strcmp(e->name, "..") == 0)
		return 0;
	assert_true(l->n < 512 && e->len < 64);
	memcpy(l->name[l->n++], e->name, e->len + 1);
	return 0;
}

static int name_cmp(const void *a, const void *b)
{
	return strcmp(a, b);
}

struct snap {
	struct uext4_fs *fs;
	struct text text;
	/* called for each regular file */
	int (*file)(void *ctx, struct uext4_node *node,
			const struct uext4_stat *st);
	void *ctx;
};

static void snap_xattrs(struct snap *s, struct uext4_node *node)
{
	char names[4096];
	uint8_t value[8192];
	ssize_t n;
	ssize_t at;

	n = uext4_listxattr(node, names, sizeof(names), NULL);
	assert_true(n >= 0);
	for (at = 0; at < n; at += (ssize_t)strlen(names + at) + 1) {
		uint32_t h = 2166136261u;
		ssize_t len = uext4_getxattr(
				node, names + at, value, sizeof(value), NULL);
		ssize_t i;

		assert_true(len >= 0);
		for (i = 0; i < len; i++)
			h = (h ^ value[i]) * 16777619u;
		text_add(&s->text, " %s=%zd:%08x", names + at, len, h);
	}
}

static int snap_node(struct snap *s, struct uext4_node *node, const char *path);

static int snap_dir(struct snap *s, struct uext4_node *node, const char *path)
{
	struct names *l = calloc(1, sizeof(*l));
	struct uext4_node *child;
	char sub[512];
	unsigned i;
	int ret;

	assert_non_null(l);
	ret = uext4_readdir(node, 0, add_name, l);
	qsort(l->name, l->n, sizeof(l->name[0]), name_cmp);
	for (i = 0; ret == 0 && i < l->n; i++) {
		snprintf(sub, sizeof(sub), "%s/%s", path, l->name[i]);
		ret = uext4_lookup(node, l->name[i], NULL, &child);
		if (ret == 0) {
			ret = snap_node(s, child, sub);
			uext4_node_put(child);
		}
	}
	free(l);
	return ret;
}

static int snap_node(struct snap *s, struct uext4_node *node, const char *path)
{
	struct uext4_stat st;
	char target[4097];
	ssize_t n;
	int ret;

	ret = uext4_node_stat(node, &st);
	if (ret < 0)
		return ret;
	text_add(&s->text,
			"%s ino %u gen %u mode %o links %u own %u:%u "
			"dev %u:%u",
			path[0] ? path : "/", st.ino, st.generation, st.mode,
			st.nlink, st.uid, st.gid, st.rdev_major, st.rdev_minor);
	if (S_ISLNK(st.mode)) {
		n = uext4_node_readlink(node, target, 4096);
		if (n < 0)
			return (int)n;
		target[n] = '\0';
		text_add(&s->text, " -> %s", target);
	}
	snap_xattrs(s, node);
	text_add(&s->text, "\n");
	if (S_ISDIR(st.mode))
		return snap_dir(s, node, path);
	if (S_ISREG(st.mode) && s->file)
		return s->file(s->ctx, node, &st);
	return 0;
}

static int snap_tree(struct snap *s)
{
	struct uext4_node *root;
	int ret;

	text_add(&s->text, "%s", "");
	ret = uext4_node_root(s->fs, &root);
	if (ret < 0)
		return ret;
	ret = snap_node(s, root, "");
	uext4_node_put(root);
	return ret;
}

/* ---- the model ---- */

static int read_all(struct uext4_node *node, uint64_t size, uint8_t **ret_data)
{
	struct uext4_file *file;
	uint8_t *data = calloc(1, size + 1);
	uint64_t at = 0;
	ssize_t n = 0;
	int ret;

	assert_non_null(data);
	ret = uext4_open_node(
			node, UEXT4_O_RDONLY | UEXT4_O_NOATIME, NULL, &file);
	if (ret < 0) {
		free(data);
		return ret;
	}
	while (at < size) {
		n = uext4_pread(file, data + at, size - at, at);
		if (n <= 0)
			break;
		at += (uint64_t)n;
	}
	(void)uext4_close(file);
	if (n < 0 || at < size) {
		free(data);
		return n < 0 ? (int)n : -EIO;
	}
	*ret_data = data;
	return 0;
}

static struct pw_file *pw_find_file(struct pw *pw, uint32_t ino, uint32_t gen)
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

	ret = read_all(node, st->size, &data);
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
	if (v && v->size == st->size && memcmp(v->data, data, st->size) == 0) {
		free(data);
		return 0;
	}
	v = calloc(1, sizeof(*v));
	assert_non_null(v);
	v->op = pw->nops;
	v->size = st->size;
	v->data = data;
	v->next = f->versions;
	f->versions = v;
	return 0;
}

static void pw_snapshot(struct pw *pw)
{
	struct snap s = { .fs = pw->fs, .file = model_file, .ctx = pw };

	assert_int_equal(snap_tree(&s), 0);
	pw->trees[pw->nops] = s.text.p;
}

static void pw_forget(struct pw *pw)
{
	struct pw_version *v;
	struct pw_file *f;
	uint32_t i;

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

bool pw_open(struct pw *pw, const char *name, const struct pw_profile *p)
{
	struct uext4_mount_opts o;

	memset(pw, 0, sizeof(*pw));
	snprintf(pw->name, sizeof(pw->name), "%s/%s", name, p->name);
	pw->profile = p;
	pw->now.tv_sec = 1700000000;
	pw->e2fsck_budget = 3;
	pw->start = make_image(p);
	if (!pw->start) {
		printf("skip: mke2fs is missing or cannot make %s\n", p->name);
		return false;
	}
	assert_int_equal(bdev_emu_open(pw->start, NULL, &pw->dev), 0);
	assert_int_equal(bdev_emu_record(pw->dev), 0);
	o = pw_opts(pw);
	assert_int_equal(fs_mount(pw->dev, false, &o, &pw->fs), 0);
	pw_snapshot(pw);
	return true;
}

void pw_restart(struct pw *pw)
{
	struct uext4_mount_opts o = pw_opts(pw);

	assert_int_equal(uext4_unmount(pw->fs), 0);
	pw_forget(pw);
	assert_int_equal(bdev_emu_record(pw->dev), 0);
	assert_int_equal(fs_mount(pw->dev, false, &o, &pw->fs), 0);
	pw_snapshot(pw);
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
	pw_snapshot(pw);
}

void pw_ack(struct pw *pw, uint32_t ino)
{
	pw->acks[pw->nops] = ino + 1;
	bdev_emu_mark(pw->dev, EMU_MARK_ACK_DURABLE, pw->nops, 0);
}

/* ---- judging ---- */

struct judged {
	struct pw *pw;
	const struct explore_state *st;
	uint32_t acked, begun;   /* operations: the tree is one of these */
	uint32_t last_ack;       /* last operation that acked anything */
	uint32_t all_acked;      /* last one that synced every file */
	struct hmap seen;        /* metadata hashes */
	struct emu_img *on_disk; /* what the e2fsck file holds */
	int fd;
	char path[256];
	char why[1024];
};

static int judge_fail(struct judged *j, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(j->why, sizeof(j->why), fmt, ap);
	va_end(ap);
	fprintf(stderr, "# %s: state %s: %s\n", j->pw->name,
			explore_state_name(j->st), j->why);
	return 1;
}

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

static bool version_allows(const struct pw_version *v, uint64_t at, uint8_t c)
{
	return at < v->size ? v->data[at] == c : c == 0;
}

/* J4 */
static int judge_bytes(struct judged *j, const struct pw_file *f,
		const uint8_t *data, uint64_t size)
{
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
		for (v = f->versions; v; v = v->next) {
			if (v->op > j->begun)
				continue;
			if (version_allows(v, at, data[at]))
				break;
			if (v->op <= from) {
				v = NULL;
				break;
			}
		}
		if (!v && !(born && data[at] == 0))
			return judge_fail(j,
					"inode %u: byte %llu is %02x, which "
					"it never was since operation %u",
					f->ino, (unsigned long long)at,
					data[at], from);
	}
	return 0;
}

static int judge_file(
		void *ctx, struct uext4_node *node, const struct uext4_stat *st)
{
	struct judged *j = ctx;
	struct pw_file *f = pw_find_file(j->pw, st->ino, st->generation);
	uint8_t *data;
	int ret;

	if (!f)
		return judge_fail(j, "inode %u was never seen", st->ino);
	ret = read_all(node, st->size, &data);
	if (ret < 0)
		return judge_fail(j, "inode %u: read: %d", st->ino, ret);
	ret = judge_bytes(j, f, data, st->size);
	free(data);
	return ret;
}

/* J3 and J4 on the mounted result. */
static int judge_tree(struct judged *j, struct uext4_fs *fs)
{
	struct snap s = { .fs = fs, .file = judge_file, .ctx = j };
	uint32_t c;
	int ret;

	ret = snap_tree(&s);
	if (ret == 0) {
		for (c = j->acked; c <= j->begun; c++) {
			if (strcmp(s.text.p, j->pw->trees[c]) == 0)
				break;
		}
		if (c > j->begun) {
			ret = judge_fail(j,
					"the tree is none of those after "
					"operations %u..%u",
					j->acked, j->begun);
			if (getenv("PW_LOG"))
				fprintf(stderr, "got:\n%swant:\n%s", s.text.p,
						j->pw->trees[j->acked]);
		}
	} else if (ret < 0) {
		ret = judge_fail(j, "the tree cannot be read: %d", ret);
	}
	free(s.text.p);
	return ret;
}

static int judge_checker(struct judged *j, struct emu_img *img)
{
	struct check_opts o = { .flags = CHECK_F_CANARY };
	struct check_dev cd = img_check_dev(img);
	struct check_report rep;
	int ret;

	ret = check_fs(&cd, &o, &rep);
	if (ret == 0)
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

/* ---- e2fsck ---- */

/* The raw state's superblock may be torn: then e2fsck 1.47 gives up on it, and
 * is shown the image after our recovery. */
static bool super_is_torn(const struct emu_img *img)
{
	uint8_t raw[DSUPER_SIZE];

	emu_img_read(img, DSUPER_OFF, raw, sizeof(raw));
	return dsuper_csum_verify(raw) < 0;
}

static int run_status(const char *cmd)
{
	int st = system(cmd);

	return st < 0 || !WIFEXITED(st) ? -1 : WEXITSTATUS(st);
}

static int judge_e2fsck(struct judged *j, const struct emu_img *img)
{
	char cmd[700];
	int st;

	if (emu_img_update(img, j->on_disk, j->fd) < 0)
		return judge_fail(j, "no room for e2fsck's copy");
	snprintf(cmd, sizeof(cmd),
			"PATH=$PATH:/usr/sbin:/sbin; export E2FSCK_CONFIG="
			"/dev/null; e2fsck -fp %s >%s.log 2>&1",
			j->path, j->path);
	st = run_status(cmd);
	if (st == 0 || st == 1) {
		snprintf(cmd, sizeof(cmd),
				"PATH=$PATH:/usr/sbin:/sbin; export "
				"E2FSCK_CONFIG=/dev/null; e2fsck -fn %s "
				">%s.log 2>&1",
				j->path, j->path);
		st = run_status(cmd);
	}
	/* the file now holds what e2fsck made of it */
	emu_img_free(j->on_disk);
	j->on_disk = NULL;
	if (emu_img_load(j->path, &j->on_disk) < 0)
		return judge_fail(j, "e2fsck's copy cannot be read");
	j->pw->e2fsck_runs++;
	if (st == 0)
		return 0;
	snprintf(cmd, sizeof(cmd), "cat %s.log >&2", j->path);
	(void)run_status(cmd);
	return judge_fail(j, "e2fsck -fn after its replay: status %d", st);
}

/* New metadata (by the key of the state) while the budget lasts, else 1 in 16. */
static bool wants_e2fsck(struct judged *j, double now)
{
	uint64_t key = explore_state_key(j->st);

	if (now < j->pw->e2fsck_budget)
		return true;
	return hmap_mix(key) % 16 == 0;
}

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int judge_state(void *ctx, const struct explore_state *st)
{
	struct judged *j = ctx;
	struct emu_img *after;
	struct bdev *dev;
	double t;
	int ret;

	j->st = st;
	judge_window(j);
	ret = explore_state_open(st, NULL, &dev);
	if (ret < 0)
		return judge_fail(j, "no memory");
	ret = judge_recover(j, dev);
	if (ret == 0 && bdev_emu_image(dev, &after) == 0) {
		ret = judge_checker(j, after);
		if (ret == 0)
			ret = judge_again(j, dev);
		t = seconds();
		if (ret == 0 &&
				wants_e2fsck(j,
						(double)j->pw->e2fsck_seconds_ms /
								1000)) {
			ret = judge_e2fsck(j,
					super_is_torn(explore_state_image(st))
							? after
							: explore_state_image(
									  st));
			j->pw->e2fsck_seconds_ms +=
					(uint64_t)((seconds() - t) * 1000);
		}
		emu_img_free(after);
	}
	(void)!bdev_close(dev);
	return ret;
}

uint64_t pw_judge(struct pw *pw, bool unmount, uint64_t max_states)
{
	struct explore_opts eo = {
		.seed = 1,
		.random = 16,
		.pair_max = 24,
		.max_states = max_states,
		.only = getenv("PW_ONLY"),
	};
	struct judged j = { .pw = pw };
	struct emu_img *base;
	struct emu_log *log;

	if (unmount)
		assert_int_equal(uext4_unmount(pw->fs), 0);
	else
		fs_crash(pw->fs);
	assert_int_equal(bdev_emu_take_log(pw->dev, &base, &log), 0);
	assert_int_equal(bdev_close(pw->dev), 0);
	snprintf(j.path, sizeof(j.path), "%s/pw-fsck.XXXXXX", tmp_dir());
	j.fd = mkstemp(j.path);
	assert_true(j.fd >= 0);
	assert_int_equal(ftruncate(j.fd, (off_t)emu_img_size(base)), 0);
	assert_int_equal(emu_img_load(j.path, &j.on_disk), 0);

	if (getenv("PW_SEED"))
		eo.seed = strtoull(getenv("PW_SEED"), NULL, 0);
	assert_int_equal(explore_run(base, log, &eo, judge_state, &j,
					 &pw->report),
			0);
	if (pw->report.failed)
		explore_print(stderr, pw->name, &pw->report);
	printf("# %s: %llu states judged, %llu by e2fsck, %.1f s, seed %llu\n",
			pw->name, (unsigned long long)pw->report.judged,
			(unsigned long long)pw->e2fsck_runs, pw->report.seconds,
			(unsigned long long)eo.seed);
	assert_int_equal(pw->report.failed, 0);
	close(j.fd);
	unlink(j.path);
	strcat(j.path, ".log");
	unlink(j.path);
	emu_img_free(j.on_disk);
	emu_log_free(log);
	emu_img_free(base);
	emu_img_free(pw->start);
	pw_forget(pw);
	return pw->report.judged;
}

/* ---- calls ---- */

struct uext4_node *pw_node(struct pw *pw, const char *path)
{
	struct uext4_node *node;

	assert_int_equal(uext4_resolve(pw->fs, NULL, path, UEXT4_NOFOLLOW, NULL,
					 &node),
			0);
	return node;
}

uint32_t pw_ino(struct pw *pw, const char *path)
{
	struct uext4_node *node = pw_node(pw, path);
	uint32_t ino = uext4_node_ino(node);

	uext4_node_put(node);
	return ino;
}

uint32_t pw_create(struct pw *pw, const char *path)
{
	struct uext4_file *file;
	uint32_t ino;

	assert_int_equal(uext4_open(pw->fs, NULL, path,
					 UEXT4_O_RDWR | UEXT4_O_CREAT |
							 UEXT4_O_EXCL,
					 0644, NULL, &file),
			0);
	ino = uext4_node_ino(uext4_file_node(file));
	assert_int_equal(uext4_close(file), 0);
	return ino;
}

void pw_write(struct pw *pw, const char *path, unsigned flags, uint64_t pos,
		size_t len, int byte)
{
	struct uext4_file *file;
	uint8_t *buf = NULL;
	size_t i;

	assert_int_equal(posix_memalign((void **)&buf, 4096, len + 1), 0);
	for (i = 0; i < len; i++)
		buf[i] = (uint8_t)(byte + (int)(i >> 9));
	assert_int_equal(uext4_open(pw->fs, NULL, path, UEXT4_O_RDWR | flags,
					 0644, NULL, &file),
			0);
	assert_int_equal(uext4_pwrite(file, buf, len, pos), (ssize_t)len);
	assert_int_equal(uext4_close(file), 0);
	free(buf);
}

void pw_fsync(struct pw *pw, const char *path)
{
	struct uext4_node *node = pw_node(pw, path);

	assert_int_equal(uext4_node_fsync(node, false), 0);
	uext4_node_put(node);
}

void pw_mkdir(struct pw *pw, const char *path)
{
	char name[UEXT4_NAME_MAX + 1];
	struct uext4_node *dir;

	assert_int_equal(uext4_resolve_parent(
					 pw->fs, NULL, path, NULL, name, &dir),
			0);
	assert_int_equal(uext4_mkdir(dir, name, 0755, NULL, NULL), 0);
	uext4_node_put(dir);
}

void pw_unlink(struct pw *pw, const char *path)
{
	char name[UEXT4_NAME_MAX + 1];
	struct uext4_node *dir;

	assert_int_equal(uext4_resolve_parent(
					 pw->fs, NULL, path, NULL, name, &dir),
			0);
	assert_int_equal(uext4_unlink(dir, name, NULL), 0);
	uext4_node_put(dir);
}

void pw_sync(struct pw *pw)
{
	assert_int_equal(uext4_sync(pw->fs), 0);
}
