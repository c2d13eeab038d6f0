/* SPDX-License-Identifier: MIT */
/*
 * Mounting in two steps: open and lock the image, then mount it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "env.h"

static int setup(void **state)
{
	struct env *e = calloc(1, sizeof(*e));

	env_image(e, env_profile_find("ext4-4k-full"), "32M");
	*state = e;
	return 0;
}

static int teardown(void **state)
{
	env_free(*state);
	free(*state);
	return 0;
}

/* Could another program lock the image now? */
static bool is_free(struct env *e)
{
	int fd = open(e->img, O_RDWR | O_CLOEXEC);
	bool is;

	assert_true(fd >= 0);
	is = flock(fd, LOCK_EX | LOCK_NB) == 0;
	close(fd);
	return is;
}

static void open_locks_and_mount_uses_it(void **state)
{
	struct env *e = *state;
	struct uext4_image *image, *other;

	assert_int_equal(uext4_image_open(e->img, NULL, &image), 0);
	assert_false(is_free(e));
	assert_int_equal(uext4_image_open(e->img, NULL, &other), -EBUSY);
	assert_int_equal(env_try_mount(e, NULL), -EBUSY);
	assert_int_equal(uext4_mount_image(image, NULL, &e->fs), 0);
	assert_int_equal(env_create(e, "/f", 0644), 0);
	assert_false(is_free(e));
	env_unmount(e);
	assert_true(is_free(e));
	env_mount(e);
	assert_int_equal(env_exists(e, "/f"), 0);
	env_end(e);
}

static void close_unlocks(void **state)
{
	struct env *e = *state;
	struct uext4_image *image;

	assert_int_equal(uext4_image_open(e->img, NULL, &image), 0);
	uext4_image_close(image);
	assert_true(is_free(e));
	uext4_image_close(NULL);
	env_judge(e);
}

/* The file gets its contents after it was opened, and has no name at last. */
static void open_reads_nothing(void **state)
{
	struct env *e = *state;
	struct uext4_image *image;
	char zero[128];

	(void)snprintf(zero, sizeof(zero), "%s/zero", e->dir);
	assert_int_equal(env_sh("truncate -s 32M %s", zero), 0);
	assert_int_equal(uext4_image_open(zero, NULL, &image), 0);
	assert_int_equal(env_sh("dd if=%s of=%s conv=notrunc bs=1M 2>/dev/null",
					 e->img, zero),
			0);
	assert_int_equal(unlink(zero), 0);
	assert_int_equal(uext4_mount_image(image, NULL, &e->fs), 0);
	assert_int_equal(env_mkdir(e, "/d", 0755), 0);
	env_unmount(e);
}

static void a_mount_that_fails_lets_go(void **state)
{
	struct env *e = *state;
	struct uext4_mount_opts ro = {
		.size = sizeof(ro),
		.flags = UEXT4_MNT_RDONLY,
	};
	struct uext4_image *image;
	struct uext4_fs *fs = NULL;

	assert_int_equal(uext4_image_open(e->img, &ro, &image), 0);
	assert_int_equal(uext4_mount_image(image, NULL, &fs), -EROFS);
	assert_null(fs);
	assert_true(is_free(e));
	assert_int_equal(env_sh("dd if=/dev/zero of=%s bs=1k count=2 "
				"conv=notrunc 2>/dev/null",
					 e->img),
			0);
	assert_int_equal(uext4_image_open(e->img, NULL, &image), 0);
	assert_int_equal(uext4_mount_image(image, NULL, &fs), -EINVAL);
	assert_null(fs);
	assert_true(is_free(e));
}

static void what_is_no_image(void **state)
{
	struct env *e = *state;
	struct uext4_image *image = NULL;
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/fifo", e->dir);
	assert_int_equal(uext4_image_open(path, NULL, &image), -ENOENT);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(uext4_image_open(path, NULL, &image), -EINVAL);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(uext4_image_open(e->dir, NULL, &image), -EISDIR);
	assert_null(image);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
				open_locks_and_mount_uses_it, setup, teardown),
		cmocka_unit_test_setup_teardown(close_unlocks, setup, teardown),
		cmocka_unit_test_setup_teardown(
				open_reads_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(
				a_mount_that_fails_lets_go, setup, teardown),
		cmocka_unit_test_setup_teardown(
				what_is_no_image, setup, teardown),
	};

	if (!env_tools())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
