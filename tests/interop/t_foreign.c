/* SPDX-License-Identifier: MIT */
/*
 * Images made by others, most of them broken on purpose, from the folder
 * images/e2fsprogs of $UEXT4_SHARED (else ../shared beside the source).
 *
 * Each is mounted read-only and read whole, as far as it goes, then a copy is
 * mounted for writing and changed. Whatever the bytes are: no crash, no hang,
 * no leak (under ASan), not a byte written read-only, none outside of the
 * image. Those that labels.tsv calls sound are read without an error, and are
 * clean for e2fsck after our changes if they were before.
 *
 * The image lies between two guards in a larger file (mount option offset).
 * The work is done in a child, so that a crash is one failure with a name.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/csum.h"
#include "env.h"
#include "snap.h"

#define GUARD         (1u << 20)
#define LIMIT_SECONDS 60

struct image {
	char name[64];
	uint64_t size;
	bool sound;
};

static char folder[512];
static struct env_profile profile = { "foreign", "", 4096, 0 };

static void say(void *ctx, enum uext4_log_level level, const char *msg)
{
	char *log = ctx;

	(void)snprintf(log, 512, "%s", msg);
}

static int mount_at(const char *path, uint64_t size, uint32_t flags, char *log,
		struct uext4_fs **fs)
{
	struct uext4_mount_opts o = {
		.size = sizeof(o),
		.flags = flags,
		.offset = GUARD,
		.limit = size,
		.log = say,
		.log_ctx = log,
	};

	log[0] = '\0';
	return uext4_mount(path, &o, fs);
}

/* Changes of all kinds; each may fail with an error, none may do worse. */
static int change(struct uext4_fs *fs)
{
	struct uext4_node *root, *d = NULL;
	struct uext4_file *f;
	char buf[5000];
	int ret;

	memset(buf, 'c', sizeof(buf));
	ret = uext4_node_root(fs, &root);
	if (ret < 0)
		return ret;
	ret = uext4_mkdir(root, "uext4-dir", 0755, NULL, &d);
	if (ret == 0) {
		for (int i = 0; i < 30; i++) {
			(void)snprintf(buf, 64, "a file with a name %d", i);
			ret = uext4_create(d, buf, UEXT4_O_RDWR | UEXT4_O_CREAT,
					0644, NULL, &f);
			if (ret < 0)
				break;
			(void)!uext4_pwrite(f, buf, sizeof(buf),
					(uint64_t)i * 3000);
			if (i % 5 == 0)
				(void)!uext4_fsync(f);
			(void)!uext4_ftruncate(f, (uint64_t)i * 1500);
			(void)!uext4_close(f);
		}
		(void)!uext4_symlink(d, "s", "target", NULL, NULL);
		(void)!uext4_setxattr(d, "user.x", buf, 300, 0, NULL);
		(void)!uext4_rename(d, "a file with a name 3", root, "moved", 0,
				NULL);
		(void)!uext4_unlink(d, "a file with a name 4", NULL);
		uext4_node_put(d);
	}
	uext4_node_put(root);
	return ret;
}

/* Remove what is in the root, so that old trees are freed too. */
static int remove_one(void *ctx, const struct uext4_dirent *e)
{
	char(*names)[256] = ctx;

	for (int i = 0; i < 40; i++) {
		if (!names[i][0]) {
			(void)snprintf(names[i], 256, "%s", e->name);
			return 0;
		}
	}
	return 1;
}

static void remove_some(struct uext4_fs *fs)
{
	static char names[40][256];
	struct uext4_node *root;

	if (uext4_node_root(fs, &root) < 0)
		return;
	memset(names, 0, sizeof(names));
	(void)!uext4_readdir(root, 0, remove_one, names);
	for (int i = 0; i < 40 && names[i][0]; i++) {
		(void)!uext4_unlink(root, names[i], NULL);
		(void)!uext4_rmdir(root, names[i], NULL);
	}
	uext4_node_put(root);
}

/* In the child: 0, or the line that failed. */
#define MUST(x)                                                                \
 do {                                                                          \
  if (!(x)) {                                                                  \
   fprintf(stderr, "# line %d: " #x " (%s)\n", __LINE__, log);                 \
   return 1;                                                                   \
  }                                                                            \
 } while (0)

static int read_it(const char *path, const struct image *im)
{
	struct uext4_fs *fs;
	struct snap s;
	char log[512];
	int ret, err;

	ret = mount_at(path, im->size, UEXT4_MNT_RDONLY, log, &fs);
	if (ret == -EOPNOTSUPP)
		return 0; /* a feature that t_formats knows about */
	if (im->sound)
		MUST(ret == 0);
	if (ret < 0)
		return 0;
	snap_api(fs, 0, &s);
	err = s.err;
	snap_free(&s);
	ret = uext4_unmount(fs);
	if (im->sound)
		MUST(err == 0 && ret == 0);
	return 0;
}

static int write_it(const char *path, const struct image *im)
{
	struct uext4_fs *fs;
	char log[512];
	int ret;

	ret = mount_at(path, im->size, 0, log, &fs);
	if (ret < 0) {
		if (im->sound)
			MUST(ret == -EROFS || ret == -EOPNOTSUPP);
		return 0;
	}
	(void)!change(fs);
	if (!im->sound)
		remove_some(fs);
	ret = uext4_unmount(fs);
	if (im->sound)
		MUST(ret == 0);
	return 0;
}

static int in_child(int (*fn)(const char *, const struct image *),
		const char *path, const struct image *im)
{
	int status;
	pid_t pid;

	fflush(stdout);
	fflush(stderr);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		alarm(LIMIT_SECONDS);
		exit(fn(path, im));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status))
		fail_msg("%s: signal %d", im->name, WTERMSIG(status));
	return WEXITSTATUS(status);
}

/* Checksum of the whole file; its guards are whole. */
static uint32_t file_sum(const char *path, uint64_t size)
{
	static uint8_t buf[GUARD];
	uint32_t sum = ~0u;
	uint64_t pos = 0;
	FILE *f = fopen(path, "r");
	size_t n;

	assert_non_null(f);
	while ((n = fread(buf, 1, pos == 0 ? GUARD : sizeof(buf), f)) > 0) {
		for (size_t i = 0; i < n; i++) {
			if (pos + i >= GUARD && pos + i < GUARD + size)
				break;
			assert_int_equal(buf[i], 0xa5);
		}
		for (size_t i = n; i-- > 0 && pos + i >= GUARD + size;)
			assert_int_equal(buf[i], 0xa5);
		sum = crc32c(sum, buf, n);
		pos += n;
	}
	fclose(f);
	assert_int_equal(pos, 2ull * GUARD + size);
	return sum;
}

static void image_survives(void **state)
{
	struct image *im = *state;
	struct stat st;
	char path[128];
	struct env e;
	uint32_t sum;
	bool clean;

	memset(&e, 0, sizeof(e));
	e.p = &profile;
	env_image_dir(&e);
	assert_int_equal(
			env_sh("gzip -dc '%s/%s' >%s", folder, im->name, e.img),
			0);
	assert_int_equal(stat(e.img, &st), 0);
	im->size = (uint64_t)st.st_size;
	/* sound in the eyes of the e2fsck at hand as well */
	clean = env_sh("e2fsck -fn %s >%s 2>&1", e.img, e.out) == 0;
	im->sound = im->sound && clean;
	(void)snprintf(path, sizeof(path), "%s/guarded", e.dir);
	assert_int_equal(
			env_sh("g() { head -c %u /dev/zero | tr '\\0' '\\245'; "
			       "}; { g; cat %s; g; } >%s",
					GUARD, e.img, path),
			0);

	sum = file_sum(path, im->size);
	assert_int_equal(in_child(read_it, path, im), 0);
	assert_int_equal(sum, file_sum(path, im->size));
	assert_int_equal(in_child(write_it, path, im), 0);
	(void)file_sum(path, im->size);
	if (im->sound) {
		assert_int_equal(env_sh("tail -c +%u %s | head -c %llu >%s",
						 GUARD + 1, path,
						 (unsigned long long)im->size,
						 e.img),
				0);
		env_judge_e2fsck(&e);
	}
	/* once more, with what is there now */
	im->sound = false;
	assert_int_equal(in_child(read_it, path, im), 0);
	env_free(&e);
}

static size_t labels(struct image *im, size_t most)
{
	char path[600], line[512], exit_status[16];
	unsigned long long size;
	size_t n = 0;
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/labels.tsv", folder);
	f = fopen(path, "r");
	if (!f)
		return 0;
	while (n < most && fgets(line, sizeof(line), f)) {
		memset(&im[n], 0, sizeof(im[n]));
		exit_status[0] = '\0';
		if (sscanf(line, "%63[^\t]\t%llu\t%15[^\t]", im[n].name, &size,
				    exit_status) < 2)
			continue;
		im[n].sound = strcmp(exit_status, "0") == 0;
		n++;
	}
	fclose(f);
	return n;
}

int main(int argc, char **argv)
{
	static struct image images[256];
	static struct CMUnitTest tests[256];
	const char *shared = getenv("UEXT4_SHARED");
	size_t n, count = 0;

	(void)snprintf(folder, sizeof(folder), "%s/images/e2fsprogs",
			shared ? shared : UEXT4_SOURCE_ROOT "/../shared");
	n = labels(images, 256);
	if (n == 0) {
		printf("skip: no images of others: UEXT4_SHARED is not set and "
		       "there is no ../shared\n");
		return 77;
	}
	if (!env_tools())
		return 77;
	for (size_t i = 0; i < n; i++) {
		if (argc > 1 && !strstr(images[i].name, argv[1]))
			continue;
		tests[count++] = (struct CMUnitTest){ .name = images[i].name,
			.test_func = image_survives,
			.initial_state = &images[i] };
	}
	return _cmocka_run_group_tests("foreign", tests, count, NULL, NULL);
}
