/* SPDX-License-Identifier: MIT */
/*
 * Images for tests through the public header (see env.h).
 */
#include "env.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check/check.h"
#include "fs/fs.h"
#include "snap.h"

/* What mke2fs 1.47 makes and we write, each feature on and off somewhere. */
const struct env_profile env_profiles[] = {
	{ "ext2-1k", "-t ext2 -b 1024 -I 128", 1024, ENV_INDEX },
	{ "ext2-4k-plain",
			"-t ext2 -b 4096 -I 256 "
			"-O ^dir_index,^resize_inode,^filetype,^sparse_super",
			4096, ENV_XTIME },
	{ "ext3-1k", "-t ext3 -b 1024 -I 128", 1024, ENV_JOURNAL | ENV_INDEX },
	{ "ext3-2k", "-t ext3 -b 2048 -I 256", 2048,
			ENV_JOURNAL | ENV_INDEX | ENV_XTIME },
	{ "ext4-1k-uninit",
			"-t ext4 -b 1024 -I 256 "
			"-O ^metadata_csum,uninit_bg,^64bit",
			1024, ENV_ALL },
	{ "ext4-4k-old",
			"-t ext4 -b 4096 -I 256 -O ^metadata_csum,^uninit_bg,"
			"^64bit,^huge_file,^flex_bg,^dir_nlink,^extra_isize",
			4096, ENV_ALL & ~ENV_HUGE },
	{ "ext4-4k-uninit64",
			"-t ext4 -b 4096 -I 256 "
			"-O ^metadata_csum,uninit_bg,64bit",
			4096, ENV_ALL },
	{ "ext4-2k-blockmap",
			"-t ext4 -b 2048 -I 256 -O "
			"metadata_csum,^64bit,^extent",
			2048, ENV_JOURNAL | ENV_INDEX | ENV_XTIME },
	{ "ext4-4k-csum", "-t ext4 -b 4096 -I 256 -O metadata_csum,64bit", 4096,
			ENV_ALL },
	{ "ext4-4k-full",
			"-t ext4 -b 4096 -I 256 -O metadata_csum,64bit,"
			"metadata_csum_seed,orphan_file",
			4096, ENV_ALL },
	{ "ext4-1k-full",
			"-t ext4 -b 1024 -I 1024 -O metadata_csum,64bit,"
			"metadata_csum_seed,orphan_file,^flex_bg",
			1024, ENV_ALL },
	{ "ext4-4k-nojournal",
			"-t ext4 -b 4096 -I 256 "
			"-O metadata_csum,64bit,^has_journal",
			4096, ENV_ALL & ~ENV_JOURNAL },
	{ "ext4-1k-nojournal",
			"-t ext4 -b 1024 -I 128 "
			"-O ^metadata_csum,^has_journal,^flex_bg,^resize_inode",
			1024, ENV_EXTENT | ENV_INDEX | ENV_HUGE },
	{ "ext4-4k-i128",
			"-t ext4 -b 4096 -I 128 "
			"-O metadata_csum,64bit,^resize_inode",
			4096, ENV_ALL & ~ENV_XTIME },
	{ "ext4-1k-linear",
			"-t ext4 -b 1024 -I 256 -O metadata_csum,^dir_index,"
			"^dir_nlink,^64bit,sparse_super2",
			1024, ENV_ALL & ~ENV_INDEX },
	{ "ext4-2k-groups",
			"-t ext4 -b 2048 -I 512 -g 4096 -G 4 "
			"-O metadata_csum,64bit,orphan_file,^huge_file",
			2048, ENV_ALL & ~ENV_HUGE },
};
const unsigned env_nprofiles = sizeof(env_profiles) / sizeof(env_profiles[0]);

const struct env_profile *env_profile_find(const char *name)
{
	for (unsigned i = 0; i < env_nprofiles; i++)
		if (strcmp(env_profiles[i].name, name) == 0)
			return &env_profiles[i];
	return NULL;
}

int env_sh(const char *fmt, ...)
{
	char cmd[4096] = "PATH=$PATH:/usr/sbin:/sbin; export PATH; ";
	size_t at = strlen(cmd);
	va_list ap;
	int n, status;

	va_start(ap, fmt);
	n = vsnprintf(cmd + at, sizeof(cmd) - at, fmt, ap);
	va_end(ap);
	assert_true(n > 0 && (size_t)n < sizeof(cmd) - at);
	status = system(cmd);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

bool env_tools(void)
{
	if (env_sh("command -v mke2fs e2fsck debugfs >/dev/null") == 0)
		return true;
	printf("skip: no e2fsprogs\n");
	return false;
}

static const char *env_place(void)
{
	const char *dir = getenv("UEXT4_TEST_DIR");

	if (dir && strlen(dir) < 60)
		return dir;
	if (access("/dev/shm", W_OK | X_OK) == 0)
		return "/dev/shm";
	dir = getenv("TMPDIR");
	return dir && strlen(dir) < 60 ? dir : "/tmp";
}

void env_image_dir(struct env *e)
{
	(void)snprintf(e->dir, sizeof(e->dir), "%s/uext4-fs-XXXXXX",
			env_place());
	if (!mkdtemp(e->dir)) {
		e->dir[0] = '\0';
		fail_msg("no directory for the image in %s", env_place());
	}
	(void)snprintf(e->img, sizeof(e->img), "%s/img", e->dir);
	(void)snprintf(e->out, sizeof(e->out), "%s/out", e->dir);
}

void env_image(struct env *e, const struct env_profile *p, const char *size)
{
	memset(e, 0, sizeof(*e));
	e->p = p;
	e->bs = p->block_size;
	env_image_dir(e);
	if (!size)
		size = e->bs == 1024 ? "48M" : "96M";
	if (env_sh("mke2fs -q -F -E lazy_itable_init=0 %s %s %s >%s 2>&1",
			    p->mke2fs, e->img, size, e->out) != 0) {
		(void)env_sh("sed 's/^/# /' %s", e->out);
		fail_msg("mke2fs %s", p->mke2fs);
	}
}

static void env_log(void *ctx, enum uext4_log_level level, const char *msg)
{
	struct env *e = ctx;
	size_t at = strlen(e->log);

	if (at + strlen(msg) + 2 < sizeof(e->log))
		(void)snprintf(e->log + at, sizeof(e->log) - at, "%s\n", msg);
}

int env_try_mount(struct env *e, const struct uext4_mount_opts *opts)
{
	struct uext4_mount_opts o = { 0 };
	struct uext4_fs *fs;
	int ret;

	if (opts)
		o = *opts;
	o.size = sizeof(o);
	o.flags |= e->flags;
	if (getenv("UEXT4_TEST_DAX"))
		o.flags |= UEXT4_MNT_DAX;
	else if (getenv("UEXT4_TEST_MAPPED"))
		o.flags |= UEXT4_MNT_MAPPED;
	else if (getenv("UEXT4_TEST_DIRECT"))
		o.flags |= UEXT4_MNT_DIRECT;
	o.log = env_log;
	o.log_ctx = e;
	e->log[0] = '\0';
	ret = uext4_mount(e->img, &o, &fs);
	if (ret == 0)
		e->fs = fs;
	return ret;
}

void env_mount(struct env *e)
{
	int ret = env_try_mount(e, NULL);

	if (ret < 0)
		fail_msg("mount: %s: %s", uext4_strerror(ret), e->log);
}

void env_make(struct env *e, const struct env_profile *p, const char *size)
{
	env_image(e, p, size);
	env_mount(e);
}

void env_unmount(struct env *e)
{
	struct uext4_fs *fs = e->fs;
	int ret;

	e->fs = NULL;
	ret = uext4_unmount(fs);
	if (ret < 0)
		fail_msg("unmount: %s: %s", uext4_strerror(ret), e->log);
}

void env_cut(struct env *e)
{
	struct uext4_fs *fs = e->fs;

	e->fs = NULL;
	fs_crash(fs);
}

/* The whole image in memory, for the checker. */
static void env_map(struct env *e, struct check_dev *dev)
{
	int fd = open(e->img, O_RDONLY | O_CLOEXEC);
	struct stat st;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	memset(dev, 0, sizeof(*dev));
	dev->size = (uint64_t)st.st_size;
	dev->map = mmap(NULL, dev->size, PROT_READ, MAP_PRIVATE, fd, 0);
	assert_true(dev->map != MAP_FAILED);
	close(fd);
}

static void env_unmap(struct check_dev *dev)
{
	(void)munmap((void *)(uintptr_t)dev->map, dev->size);
}

void env_judge_e2fsck(struct env *e)
{
	int ret;

	assert_null(e->fs);
	ret = env_sh("e2fsck -fn %s >%s 2>&1", e->img, e->out);
	if (ret != 0) {
		(void)env_sh("sed 's/^/# /' %s | head -30 >&2", e->out);
		fail_msg("e2fsck -fn: exit status %d", ret);
	}
}

void env_judge(struct env *e)
{
	struct check_report rep;
	struct check_dev dev;
	int ret;

	env_judge_e2fsck(e);
	env_map(e, &dev);
	ret = check_fs(&dev, NULL, &rep);
	env_unmap(&dev);
	if (ret != 0) {
		check_print(&rep, stderr);
		fail_msg("check_fs: %d", ret);
	}
}

void env_remount(struct env *e)
{
	env_unmount(e);
	env_judge(e);
	env_mount(e);
}

void env_remount_with(struct env *e, struct uext4_file **f, const char *path)
{
	env_close(*f);
	env_remount(e);
	*f = env_open(e, path, UEXT4_O_RDWR);
}

void env_end(struct env *e)
{
	struct snap before, disk, after;
	struct check_dev dev;
	bool same;

	snap_api(e->fs, 0, &before);
	env_unmount(e);
	env_judge(e);

	env_map(e, &dev);
	snap_check(&dev, 0, &disk);
	env_unmap(&dev);
	same = snap_equal(&before, &disk, "library, checker");
	snap_free(&disk);

	e->flags = UEXT4_MNT_RDONLY;
	env_mount(e);
	snap_api(e->fs, 0, &after);
	same = snap_equal(&before, &after, "before unmount, mounted again") &&
			same;
	snap_free(&before);
	snap_free(&after);
	env_unmount(e);
	assert_true(same);
	env_free(e);
}

void env_free(struct env *e)
{
	const char *keep = getenv("UEXT4_KEEP");

	if (e->fs) { /* the test failed: nothing more is to be written */
		(void)uext4_shutdown(e->fs, UEXT4_SHUTDOWN_NOLOGFLUSH);
		(void)!uext4_unmount(e->fs);
		e->fs = NULL;
	}
	if (!e->dir[0])
		return;
	if (keep && keep[0] == '1')
		fprintf(stderr, "# kept: %s\n", e->dir);
	else
		(void)env_sh("rm -rf '%s'", e->dir);
	e->dir[0] = '\0';
}

/* ---- cases over profiles ---- */

struct env_run { /* one case on one profile */
	const struct env_case *c;
	const struct env_profile *p;
	struct env e;
};

static void run_one(void **state)
{
	struct env_run *r = *state;

	env_make(&r->e, r->p, r->c->size);
	r->c->body(&r->e);
	if (!(r->c->flags & ENV_CASE_NO_END))
		env_end(&r->e);
}

static int run_teardown(void **state)
{
	struct env_run *r = *state;

	env_free(&r->e);
	return 0;
}

static bool run_wanted(const struct env_case *c, const struct env_profile *p,
		const char *name, int argc, char **argv)
{
	if (c->only && strcmp(c->only, p->name) != 0)
		return false;
	if ((c->need & p->has) != c->need)
		return false;
	for (int i = 1; i < argc; i++)
		if (!strstr(name, argv[i]))
			return false;
	return true;
}

int env_run(const char *group, const struct env_case *cases, size_t n, int argc,
		char **argv)
{
	size_t most = n * env_nprofiles, count = 0;
	struct CMUnitTest *tests = calloc(most, sizeof(*tests));
	struct env_run *runs = calloc(most, sizeof(*runs));
	int ret = 0;

	if (!tests || !runs)
		abort();
	for (size_t i = 0; i < most; i++) {
		const struct env_case *c = &cases[i % n];
		const struct env_profile *p = &env_profiles[i / n];
		char *name = NULL;

		if (asprintf(&name, "%s/%s", c->name, p->name) < 0)
			abort();
		if (!run_wanted(c, p, name, argc, argv)) {
			free(name);
			continue;
		}
		runs[count].c = c;
		runs[count].p = p;
		tests[count].name = name;
		tests[count].test_func = run_one;
		tests[count].teardown_func = run_teardown;
		tests[count].initial_state = &runs[count];
		count++;
	}
	if (!env_tools())
		ret = 77;
	else
		ret = _cmocka_run_group_tests(group, tests, count, NULL, NULL);
	for (size_t i = 0; i < count; i++)
		free((void *)(uintptr_t)tests[i].name);
	free(tests);
	free(runs);
	return ret;
}
