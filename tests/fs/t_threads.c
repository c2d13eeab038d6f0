/* SPDX-License-Identifier: MIT */
/*
 * Many threads, few names: everything at once on the same files and directories,
 * with the flusher running and little memory. Any outcome of a call is right
 * that the calls by themselves could have; what must hold is that nothing hangs
 * or crashes, that only expected errors come, and that the image is clean. Run
 * it under the thread sanitizer.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "env.h"
#include "fs/fs.h"

#define THREADS 4
#define NAMES   6
#define SPAN    (256u << 10)

static struct env env;
static atomic_int failed;
static atomic_long rounds;

struct worker {
	pthread_t thread;
	uint64_t seed;
	uint8_t *buf;
	time_t end;
};

static uint32_t rnd(struct worker *w, uint32_t n)
{
	w->seed = w->seed * UINT64_C(6364136223846793005) + 1;
	return (uint32_t)(w->seed >> 33) % n;
}

/* Errors that a race explains. */
static void expect(const char *what, int64_t ret)
{
	if (ret >= 0 || ret == -ENOENT || ret == -EEXIST || ret == -ENOTDIR ||
			ret == -EISDIR || ret == -ENOTEMPTY || ret == -EPERM ||
			ret == -EINVAL || ret == -ENODATA || ret == -EAGAIN ||
			ret == -EOPNOTSUPP || ret == -ENXIO || ret == -ELOOP ||
			ret == -ENOSPC || ret == -EBUSY)
		return;
	fprintf(stderr, "# %s: %s\n", what, uext4_strerror((int)ret));
	atomic_store(&failed, 1);
}

/* The three directories at the top stay; what is below comes and goes. */
static void name_of(struct worker *w, char *path, size_t size)
{
	if (rnd(w, 4) == 0)
		(void)snprintf(path, size, "/d%u/n%u/n%u", rnd(w, 3),
				rnd(w, NAMES), rnd(w, NAMES));
	else
		(void)snprintf(path, size, "/d%u/n%u", rnd(w, 3),
				rnd(w, NAMES));
}

static void file_ops(struct worker *w, struct uext4_file *f, bool direct)
{
	uint64_t pos = rnd(w, SPAN) & ~(direct ? 511u : 0u);
	size_t len = rnd(w, 40000) & ~(direct ? 511u : 0u);
	struct iovec iov = { w->buf, len };

	switch (rnd(w, 12)) {
	case 0:
	case 1:
	case 2:
		expect("write", uext4_pwrite(f, w->buf, len, pos));
		break;
	case 3:
	case 4:
		expect("read", uext4_pread(f, w->buf, len, pos));
		break;
	case 5:
		expect("truncate", uext4_ftruncate(f, rnd(w, SPAN)));
		break;
	case 6:
		expect("punch",
				uext4_fallocate(f,
						UEXT4_FALLOC_PUNCH_HOLE |
								UEXT4_FALLOC_KEEP_SIZE,
						pos, len + 1));
		break;
	case 7:
		expect("allocate", uext4_fallocate(f, rnd(w, 2), pos, len + 1));
		break;
	case 8:
		expect("zero",
				uext4_fallocate(f, UEXT4_FALLOC_ZERO_RANGE, pos,
						len + 1));
		break;
	case 9:
		expect("fsync",
				rnd(w, 2) ? uext4_fsync(f)
					  : uext4_fdatasync(f));
		break;
	case 10:
		expect("seek", uext4_seek_data(f, pos));
		break;
	default:
		expect("pwritev2",
				uext4_pwritev2(f, &iov, 1, pos,
						1u << rnd(w, 4)));
	}
}

static void with_file(struct worker *w)
{
	bool direct = rnd(w, 2);
	unsigned flags = UEXT4_O_RDWR | UEXT4_O_CREAT |
			(direct ? UEXT4_O_DIRECT : 0) |
			(rnd(w, 8) == 0 ? UEXT4_O_APPEND : 0) |
			(rnd(w, 8) == 0 ? UEXT4_O_DSYNC : 0);
	struct uext4_file *f;
	char path[32];
	int ret;

	name_of(w, path, sizeof(path));
	ret = uext4_open(env.fs, NULL, path, flags, 0644, NULL, &f);
	expect("open", ret);
	if (ret < 0)
		return;
	for (unsigned n = rnd(w, 8); n > 0; n--)
		file_ops(w, f, direct);
	expect("close", uext4_close(f));
}

static int one_entry(void *ctx, const struct uext4_dirent *e)
{
	return e->len > UEXT4_NAME_MAX ? -EIO : 0;
}

static void with_node(struct worker *w)
{
	struct uext4_setattr a = {
		.mask = UEXT4_SET_MODE | UEXT4_SET_MTIME_NOW,
		.mode = rnd(w, 2) ? 0644 : 04755,
	};
	const struct uext4_cred joe = { .uid = 1, .gid = 1 };
	struct uext4_node *n;
	struct uext4_stat st;
	char path[32];
	char buf[64];
	int ret;

	name_of(w, path, sizeof(path));
	ret = uext4_resolve(env.fs, NULL, path, 0, NULL, &n);
	expect("resolve", ret);
	if (ret < 0)
		return;
	expect("stat", uext4_node_stat(n, &st));
	expect("setattr", uext4_node_setattr(n, &a, NULL));
	if (rnd(w, 2)) {
		expect("setxattr",
				uext4_setxattr(n, "user.x", w->buf, rnd(w, 300),
						0, NULL));
	} else {
		expect("getxattr", uext4_getxattr(n, "user.x", buf, 0, NULL));
	}
	(void)uext4_node_access(n, UEXT4_R_OK, &joe);
	if ((st.mode & 0170000) == 0040000)
		expect("readdir", uext4_readdir(n, 0, one_entry, NULL));
	uext4_node_put(n);
}

static void with_names(struct worker *w)
{
	char old[32], path[32], name[UEXT4_NAME_MAX + 1];
	char oname[UEXT4_NAME_MAX + 1];
	struct uext4_node *dir = NULL, *odir = NULL, *n = NULL;
	unsigned flags[] = { 0, 0, UEXT4_RENAME_NOREPLACE,
		UEXT4_RENAME_EXCHANGE };

	name_of(w, old, sizeof(old));
	name_of(w, path, sizeof(path));
	if (uext4_resolve_parent(env.fs, NULL, path, NULL, name, &dir) < 0 ||
			uext4_resolve_parent(env.fs, NULL, old, NULL, oname,
					&odir) < 0)
		goto out;
	switch (rnd(w, 6)) {
	case 0:
		expect("mkdir", uext4_mkdir(dir, name, 0755, NULL, NULL));
		break;
	case 1:
		expect("unlink", uext4_unlink(dir, name, NULL));
		break;
	case 2:
		expect("rmdir", uext4_rmdir(dir, name, NULL));
		break;
	case 3:
		if (uext4_lookup(odir, oname, NULL, &n) == 0)
			expect("link", uext4_link(n, dir, name, NULL));
		break;
	case 4:
		expect("symlink",
				uext4_symlink(dir, name, "/d1/n1", NULL, NULL));
		break;
	default:
		expect("rename",
				uext4_rename(odir, oname, dir, name,
						flags[rnd(w, 4)], NULL));
	}
out:
	uext4_node_put(n);
	uext4_node_put(odir);
	uext4_node_put(dir);
}

static void *work(void *arg)
{
	struct worker *w = arg;

	while (time(NULL) < w->end && !atomic_load(&failed)) {
		atomic_fetch_add(&rounds, 1);
		switch (rnd(w, 16)) {
		case 0:
			expect("sync", uext4_sync(env.fs));
			break;
		case 1:
		case 2:
		case 3:
		case 4:
			with_node(w);
			break;
		case 5:
		case 6:
		case 7:
		case 8:
			with_names(w);
			break;
		default:
			with_file(w);
		}
	}
	return NULL;
}

/* Idle inodes leave memory while others look for them. */
static void *evict(void *arg)
{
	struct worker *w = arg;

	while (time(NULL) < w->end && !atomic_load(&failed)) {
		itable_shrink(&env.fs->it, 0);
		usleep(500);
	}
	return NULL;
}

static void run(const char *profile, unsigned seconds, uint64_t seed)
{
	struct uext4_mount_opts o = {
		.meta_cache = 512 << 10,
		.page_cache = 512 << 10,
		.commit_interval = 1,
	};
	struct worker w[THREADS];
	pthread_t evictor;

	env_image(&env, env_profile_find(profile), NULL);
	assert_int_equal(env_try_mount(&env, &o), 0);
	for (int i = 0; i < 3; i++) {
		char path[8];

		(void)snprintf(path, sizeof(path), "/d%d", i);
		assert_int_equal(env_mkdir(&env, path, 0755), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		w[i] = (struct worker){
			.seed = seed + (uint64_t)i * 1000003,
			.buf = env_alloc(65536, 'a' + i),
			.end = time(NULL) + seconds,
		};
		assert_int_equal(
				pthread_create(&w[i].thread, NULL, work, &w[i]),
				0);
	}
	assert_int_equal(pthread_create(&evictor, NULL, evict, &w[0]), 0);
	pthread_join(evictor, NULL);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(w[i].thread, NULL);
		free(w[i].buf);
	}
	printf("# %s: %ld rounds\n", profile, atomic_exchange(&rounds, 0));
	assert_int_equal(atomic_load(&failed), 0);
	env_end(&env);
}

static unsigned seconds = 2;

static void threads_on_extents(void **state)
{
	run("ext4-4k-full", seconds, 1);
}

static void threads_on_small_blocks(void **state)
{
	run("ext4-1k-uninit", seconds, 2);
}

static void threads_on_block_maps(void **state)
{
	run("ext3-1k", seconds, 3);
}

static void threads_without_a_journal(void **state)
{
	run("ext4-4k-nojournal", seconds, 4);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads_on_extents),
		cmocka_unit_test(threads_on_small_blocks),
		cmocka_unit_test(threads_on_block_maps),
		cmocka_unit_test(threads_without_a_journal),
	};

	if (argc > 1)
		seconds = (unsigned)atoi(argv[1]);
	if (!env_tools())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
