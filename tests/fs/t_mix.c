/* SPDX-License-Identifier: MIT */
/*
 * Many threads on one mount: names come and go in shared directories, shared
 * files are written (through the cache and direct), cut, punched, read and
 * synced, all at once and with caches too small for it.
 *
 * What must hold: every result is one that some order of the calls explains;
 * each block of the striped files, which only one thread writes, holds what
 * that thread wrote last; the image is clean in the end.
 *
 * UEXT4_THREADS_MS: how long each profile is worked on. UEXT4_SEED: the seed.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "model.h"

#define NTHREADS 4
#define NDIRS    3
#define NNAMES   14
#define NFILES   4   /* the first two are striped */
#define STRIPE   64u /* blocks of each thread in a striped file */

struct shared {
	struct env *e;
	struct timespec end;
	uint32_t bs;
	pthread_mutex_t lock;
	char failed[256]; /* [lock] the first failure */
	_Atomic uint64_t ops;
};

struct worker {
	struct shared *s;
	struct model_rng r;
	unsigned me;
	uint8_t stripe[2][STRIPE]; /* what each of our blocks holds */
	uint8_t *buf;
};

static void failed(struct shared *s, const char *what, const char *path,
		long long got)
{
	pthread_mutex_lock(&s->lock);
	if (!s->failed[0])
		(void)snprintf(s->failed, sizeof(s->failed),
				"%s %.60s: %lld (%s)", what, path, got,
				got < 0 ? uext4_strerror((int)got) : "");
	pthread_mutex_unlock(&s->lock);
}

/* 0, or one of the errors that a race explains. */
static void may(struct shared *s, const char *what, const char *path,
		int64_t got)
{
	switch (got) {
	case -ENOENT:
	case -EEXIST:
	case -ENOTEMPTY:
	case -ENOTDIR:
	case -EISDIR:
	case -EINVAL:
	case -ESTALE:
	case -EPERM:
	case -ELOOP:
	case -ENODATA:
	case -ENXIO:
		return;
	default:
		if (got < 0)
			failed(s, what, path, got);
	}
}

static void must(struct shared *s, const char *what, const char *path,
		int64_t got, int64_t want)
{
	if (got != want)
		failed(s, what, path, got);
}

/* ---- names ---- */

static void pick_path(struct worker *w, char *path, size_t size)
{
	uint32_t d = model_below(&w->r, NDIRS);
	uint32_t n = model_below(&w->r, NNAMES);

	if (model_below(&w->r, 5) == 0)
		(void)snprintf(path, size, "/d%u/sub/%u", d, n);
	else
		(void)snprintf(path, size, "/d%u/name %u.%.*s", d, n,
				(int)(n * 3),
				"a long tail for a name, to fill blocks "
				"sooner");
}

static int dir_of(struct worker *w, const char *path, char *name,
		struct uext4_node **dir)
{
	return uext4_resolve_parent(w->s->e->fs, NULL, path, NULL, name, dir);
}

static void do_rename(
		struct worker *w, struct uext4_node *dir, const char *name)
{
	static const unsigned flags[] = { 0, 0, UEXT4_RENAME_NOREPLACE,
		UEXT4_RENAME_EXCHANGE };
	char path[128], to[UEXT4_NAME_MAX + 1];
	struct uext4_node *other;

	pick_path(w, path, sizeof(path));
	if (dir_of(w, path, to, &other) < 0)
		return;
	may(w->s, "rename", path,
			uext4_rename(dir, name, other, to,
					flags[model_below(&w->r, 4)], NULL));
	uext4_node_put(other);
}

static void do_link(struct worker *w, struct uext4_node *dir, const char *name)
{
	struct uext4_node *node;
	char path[128];

	pick_path(w, path, sizeof(path));
	if (uext4_resolve(w->s->e->fs, NULL, path, UEXT4_NOFOLLOW, NULL,
			    &node) < 0)
		return;
	may(w->s, "link", path, uext4_link(node, dir, name, NULL));
	uext4_node_put(node);
}

/* A file that is new or not, written, read and closed. */
static void do_small_file(
		struct worker *w, struct uext4_node *dir, const char *name)
{
	unsigned flags = UEXT4_O_RDWR | UEXT4_O_CREAT;
	size_t len = 1 + model_below(&w->r, 5 * w->s->bs);
	struct uext4_file *f;
	int ret;

	if (model_below(&w->r, 4) == 0)
		flags |= UEXT4_O_TRUNC;
	if (model_below(&w->r, 8) == 0)
		flags |= UEXT4_O_SYNC;
	ret = uext4_create(dir, name, flags, 0644, NULL, &f);
	may(w->s, "create", name, ret);
	if (ret < 0)
		return;
	may(w->s, "write", name,
			uext4_pwrite(f, w->buf, len,
					model_below(&w->r, 4 * w->s->bs)));
	if (model_below(&w->r, 6) == 0)
		may(w->s, "fsync", name, uext4_fsync(f));
	may(w->s, "read", name, uext4_pread(f, w->buf, len, 0));
	may(w->s, "close", name, uext4_close(f));
}

static int entry(void *ctx, const struct uext4_dirent *d)
{
	unsigned *n = ctx;

	return d->len == 0 || ++*n > 10000;
}

static void do_readdir(struct worker *w, struct uext4_node *dir)
{
	unsigned n = 0;

	must(w->s, "readdir", "", uext4_readdir(dir, 0, entry, &n), 0);
}

static void do_attr(struct worker *w, struct uext4_node *dir, const char *name)
{
	struct uext4_setattr a = { .mask = UEXT4_SET_MODE | UEXT4_SET_MTIME_NOW,
		.mode = model_below(&w->r, 01000) };
	struct uext4_node *node;
	struct uext4_stat st;
	char value[200];

	if (uext4_lookup(dir, name, NULL, &node) < 0)
		return;
	may(w->s, "stat", name, uext4_node_stat(node, &st));
	switch (model_below(&w->r, 4)) {
	case 0:
		may(w->s, "setattr", name, uext4_node_setattr(node, &a, NULL));
		break;
	case 1:
		memset(value, 'v', sizeof(value));
		may(w->s, "setxattr", name,
				uext4_setxattr(node, "trusted.x", value,
						model_below(&w->r, 200), 0,
						NULL));
		break;
	case 2:
		may(w->s, "removexattr", name,
				uext4_removexattr(node, "trusted.x", NULL));
		break;
	default:
		may(w->s, "getxattr", name,
				uext4_getxattr(node, "trusted.x", value,
						sizeof(value), NULL));
	}
	uext4_node_put(node);
}

static void name_op(struct worker *w)
{
	char path[128], name[UEXT4_NAME_MAX + 1];
	struct uext4_node *dir;
	uint32_t what = model_below(&w->r, 100);
	int ret;

	pick_path(w, path, sizeof(path));
	ret = dir_of(w, path, name, &dir);
	may(w->s, "resolve", path, ret);
	if (ret < 0)
		return;
	if (what < 30)
		do_small_file(w, dir, name);
	else if (what < 45)
		may(w->s, "unlink", path, uext4_unlink(dir, name, NULL));
	else if (what < 52)
		may(w->s, "mkdir", path,
				uext4_mkdir(dir, name, 0755, NULL, NULL));
	else if (what < 59)
		may(w->s, "rmdir", path, uext4_rmdir(dir, name, NULL));
	else if (what < 74)
		do_rename(w, dir, name);
	else if (what < 80)
		do_link(w, dir, name);
	else if (what < 84)
		may(w->s, "symlink", path,
				uext4_symlink(dir, name, "name 3", NULL, NULL));
	else if (what < 90)
		do_readdir(w, dir);
	else
		do_attr(w, dir, name);
	uext4_node_put(dir);
}

/* ---- shared files ---- */

static struct uext4_file *shared_open(
		struct worker *w, unsigned i, unsigned flags)
{
	struct uext4_file *f = NULL;
	char path[16];
	int ret;

	(void)snprintf(path, sizeof(path), "/s%u", i);
	ret = uext4_open(w->s->e->fs, NULL, path, UEXT4_O_RDWR | flags, 0, NULL,
			&f);
	must(w->s, "open", path, ret, 0);
	return ret < 0 ? NULL : f;
}

/* One of our blocks in a striped file: written, or compared. */
static void stripe_op(struct worker *w, struct uext4_file *f, unsigned i)
{
	uint32_t bs = w->s->bs, k = model_below(&w->r, STRIPE);
	uint64_t pos = ((uint64_t)k * NTHREADS + w->me) * bs;
	uint8_t byte = (uint8_t)(1 + model_below(&w->r, 255));

	if (model_below(&w->r, 2)) {
		memset(w->buf, byte, bs);
		must(w->s, "stripe write", "", uext4_pwrite(f, w->buf, bs, pos),
				bs);
		w->stripe[i][k] = byte;
		return;
	}
	if (w->stripe[i][k] == 0)
		return;
	must(w->s, "stripe read", "", uext4_pread(f, w->buf, bs, pos), bs);
	for (uint32_t x = 0; x < bs; x++)
		if (w->buf[x] != w->stripe[i][k]) {
			failed(w->s, "stripe holds another byte", "",
					w->buf[x]);
			break;
		}
}

static void free_op(struct worker *w, struct uext4_file *f, uint32_t align)
{
	uint32_t bs = w->s->bs;
	uint64_t pos = model_below(&w->r, 300 * bs);
	size_t len = 1 + model_below(&w->r, 8 * bs);
	struct uext4_statfs st;

	pos -= pos % align;
	len += align - len % align;
	switch (model_below(&w->r, 12)) {
	case 0:
	case 1:
	case 2:
		must(w->s, "write", "", uext4_pwrite(f, w->buf, len, pos),
				(int64_t)len);
		break;
	case 3:
	case 4:
		may(w->s, "read", "", uext4_pread(f, w->buf, len, pos));
		break;
	case 5:
		must(w->s, "truncate", "", uext4_ftruncate(f, pos), 0);
		break;
	case 6:
		must(w->s, "punch", "",
				uext4_fallocate(f,
						UEXT4_FALLOC_PUNCH_HOLE |
								UEXT4_FALLOC_KEEP_SIZE,
						pos, len),
				0);
		break;
	case 7:
		if (w->s->e->p->has & ENV_EXTENT)
			must(w->s, "fallocate", "",
					uext4_fallocate(f,
							UEXT4_FALLOC_KEEP_SIZE,
							pos, len),
					0);
		break;
	case 8:
		must(w->s, "fdatasync", "", uext4_fdatasync(f), 0);
		break;
	case 9:
		must(w->s, "sync range", "", uext4_sync_range(f, pos, len), 0);
		break;
	case 10:
		may(w->s, "seek", "", uext4_seek_data(f, pos));
		break;
	default:
		must(w->s, "statfs", "", uext4_statfs(w->s->e->fs, &st), 0);
		if (model_below(&w->r, 8) == 0)
			must(w->s, "sync", "", uext4_sync(w->s->e->fs), 0);
	}
}

static void file_op(struct worker *w)
{
	unsigned i = model_below(&w->r, NFILES);
	unsigned flags = model_below(&w->r, 2) ? UEXT4_O_DIRECT : 0;
	struct uext4_file *f = shared_open(w, i, flags);
	uint32_t align;

	if (!f)
		return;
	align = flags ? uext4_dio_align(f) : 1;
	for (int k = 0; k < 10; k++) {
		if (i < 2)
			stripe_op(w, f, i);
		else
			free_op(w, f, align);
	}
	must(w->s, "close", "", uext4_close(f), 0);
}

static bool is_over(const struct timespec *end)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec > end->tv_sec ||
			(now.tv_sec == end->tv_sec &&
					now.tv_nsec >= end->tv_nsec);
}

static void *work(void *arg)
{
	struct worker *w = arg;

	while (!is_over(&w->s->end)) {
		if (model_below(&w->r, 3))
			name_op(w);
		else
			file_op(w);
		atomic_fetch_add(&w->s->ops, 1);
	}
	return NULL;
}

/* Everything that the threads wrote into their stripes is there. */
static void check_stripes(struct env *e, const struct worker *w)
{
	for (unsigned i = 0; i < 2; i++) {
		char path[16];
		struct uext4_file *f;

		(void)snprintf(path, sizeof(path), "/s%u", i);
		f = env_open(e, path, UEXT4_O_RDONLY);
		for (unsigned t = 0; t < NTHREADS; t++)
			for (unsigned k = 0; k < STRIPE; k++)
				if (w[t].stripe[i][k])
					env_expect(f,
							((uint64_t)k * NTHREADS +
									t) *
									e->bs,
							e->bs,
							w[t].stripe[i][k]);
		env_close(f);
	}
}

static void prepare(struct env *e)
{
	struct uext4_mount_opts o = { .meta_cache = 1u << 20,
		.page_cache = 1u << 20,
		.commit_interval = 1 };
	char path[32];

	for (int i = 0; i < NDIRS; i++) {
		(void)snprintf(path, sizeof(path), "/d%d", i);
		assert_int_equal(env_mkdir(e, path, 0755), 0);
		(void)snprintf(path, sizeof(path), "/d%d/sub", i);
		assert_int_equal(env_mkdir(e, path, 0755), 0);
	}
	for (int i = 0; i < NFILES; i++) {
		(void)snprintf(path, sizeof(path), "/s%d", i);
		assert_int_equal(env_create(e, path, 0644), 0);
	}
	env_unmount(e);
	assert_int_equal(env_try_mount(e, &o), 0);
}

static void all_at_once(struct env *e)
{
	const char *ms = getenv("UEXT4_THREADS_MS");
	long left = ms ? strtol(ms, NULL, 10) : 1500;
	struct worker *w = calloc(NTHREADS, sizeof(*w));
	uint64_t seed = model_seed("all_at_once", e);
	struct shared s = { .e = e, .bs = e->bs };
	pthread_t t[NTHREADS];

	assert_non_null(w);
	assert_int_equal(pthread_mutex_init(&s.lock, NULL), 0);
	prepare(e);
	(void)clock_gettime(CLOCK_MONOTONIC, &s.end);
	s.end.tv_sec += left / 1000;
	s.end.tv_nsec += left % 1000 * 1000000;
	if (s.end.tv_nsec >= 1000000000) {
		s.end.tv_nsec -= 1000000000;
		s.end.tv_sec++;
	}
	for (unsigned i = 0; i < NTHREADS; i++) {
		w[i].s = &s;
		w[i].me = i;
		w[i].r.s = seed + i;
		w[i].buf = env_alloc(16 * e->bs, (int)i);
		assert_int_equal(pthread_create(&t[i], NULL, work, &w[i]), 0);
	}
	for (unsigned i = 0; i < NTHREADS; i++) {
		assert_int_equal(pthread_join(t[i], NULL), 0);
		free(w[i].buf);
	}
	printf("# %llu operations\n", (unsigned long long)s.ops);
	if (s.failed[0])
		fail_msg("%s", s.failed);
	check_stripes(e, w);
	env_remount(e);
	check_stripes(e, w);
	free(w);
	pthread_mutex_destroy(&s.lock);
}

int main(int argc, char **argv)
{
	static const char *const on[] = { "ext4-4k-full", "ext4-1k-uninit",
		"ext3-1k", "ext4-4k-nojournal", "ext4-2k-groups" };
	struct env_case cases[5];

	memset(cases, 0, sizeof(cases));
	for (size_t i = 0; i < 5; i++) {
		cases[i].name = "all_at_once";
		cases[i].body = all_at_once;
		cases[i].only = on[i];
	}
	return env_run("threads", cases, 5, argc, argv);
}
