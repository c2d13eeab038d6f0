/* SPDX-License-Identifier: MIT */
/*
 * e2fsck as a witness: it replays and judges the same image by itself.
 *
 * The image stands in a file that is kept up to date by differences: before a
 * run what differs from the last image is written, after it what e2fsck changed
 * is found by comparing. A shell and a fresh copy for each state would cost
 * several times what e2fsck does.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "bdev/emu_img.h"
#include "power/pw_int.h"

void pw_fsck_init(struct pw_fsck *f, const struct emu_img *base)
{
	memset(f, 0, sizeof(*f));
	snprintf(f->path, sizeof(f->path), "%s/pw-fsck.XXXXXX", pw_tmp_dir());
	f->fd = mkstemp(f->path);
	assert_true(f->fd >= 0);
	snprintf(f->log, sizeof(f->log), "%s.log", f->path);
	assert_int_equal(ftruncate(f->fd, (off_t)emu_img_size(base)), 0);
	assert_int_equal(emu_img_new(emu_img_size(base), &f->on_disk), 0);
}

void pw_fsck_fini(struct pw_fsck *f)
{
	close(f->fd);
	unlink(f->path);
	unlink(f->log);
	emu_img_free(f->on_disk);
}

/* ---- the file ---- */

/* Make f->on_disk what the file holds, beginning with @img, which it held
 * before e2fsck ran. */
static int find_changes(struct pw_fsck *f, const struct emu_img *img)
{
	uint64_t size = emu_img_size(img);
	uint8_t page[EMU_PAGE_SIZE];
	struct emu_img *now;
	const uint8_t *map;
	uint64_t pos;
	int ret;

	ret = emu_img_fork(img, &now);
	if (ret < 0)
		return ret;
	map = mmap(NULL, size, PROT_READ, MAP_SHARED, f->fd, 0);
	if (map == MAP_FAILED) {
		emu_img_free(now);
		return -errno;
	}
	for (pos = 0; pos < size && ret == 0; pos += EMU_PAGE_SIZE) {
		emu_img_read(img, pos, page, sizeof(page));
		if (memcmp(page, map + pos, sizeof(page)) != 0)
			ret = emu_img_write(now, pos, map + pos, sizeof(page));
	}
	munmap((void *)(uintptr_t)map, size);
	if (ret < 0) {
		emu_img_free(now);
		return ret;
	}
	emu_img_free(f->on_disk);
	f->on_disk = now;
	return 0;
}

static int put_image(struct pw_fsck *f, const struct emu_img *img)
{
	struct emu_img *now;
	int ret;

	ret = emu_img_update(img, f->on_disk, f->fd);
	if (ret == 0)
		ret = emu_img_fork(img, &now);
	if (ret < 0)
		return ret;
	emu_img_free(f->on_disk);
	f->on_disk = now;
	return 0;
}

/* ---- running it ---- */

static const char *e2fsck_path(void)
{
	static const char *const places[] = { "/usr/sbin/e2fsck",
		"/sbin/e2fsck", "/usr/local/sbin/e2fsck" };
	size_t i;

	for (i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		if (access(places[i], X_OK) == 0)
			return places[i];
	}
	return "e2fsck";
}

/* Run "e2fsck @flags file"; its exit status, or -errno. */
static int run_e2fsck(struct pw_fsck *f, const char *flags)
{
	char arg0[] = "e2fsck";
	char arg1[16];
	char env0[] = "E2FSCK_CONFIG=/dev/null";
	char env1[] = "LC_ALL=C";
	char *argv[] = { arg0, arg1, f->path, NULL };
	char *envp[] = { env0, env1, NULL };
	posix_spawn_file_actions_t fa;
	pid_t pid;
	int st;
	int ret;

	snprintf(arg1, sizeof(arg1), "%s", flags);
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(
			&fa, 1, f->log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	posix_spawn_file_actions_adddup2(&fa, 1, 2);
	ret = posix_spawnp(&pid, e2fsck_path(), &fa, NULL, argv, envp);
	posix_spawn_file_actions_destroy(&fa);
	if (ret != 0)
		return -ret;
	if (waitpid(pid, &st, 0) < 0)
		return -errno;
	return WIFEXITED(st) ? WEXITSTATUS(st) : -EIO;
}

/* ---- what it said ---- */

static bool has_one_of(const char *line, const char *const *words)
{
	for (; *words; words++) {
		if (strstr(line, *words))
			return true;
	}
	return false;
}

static bool line_is_quiet(const char *line, bool torn)
{
	static const char *const fine[] = {
		": recovering journal",
		": Clearing orphaned inode ",
		": Truncating orphaned inode ",
		"% non-contiguous), ", /* the summary */
		/* set by every mount for writing, as by the kernel's */
		": Feature orphan_present is set but orphan file is clean.",
		": Orphan file (inode ",
		/* after its truncate: an advice, no finding */
		" could be shorter.  IGNORED.",
		"CLEARED.",
		NULL,
	};
	/* 1.47 takes a torn commit block for a damaged log, ends there, and
	 * does not do what the orphans want. */
	static const char *const fine_if_torn[] = {
		" was corrupt, replay was aborted.",
		" has zero dtime.  FIXED.",
		": Inodes that were part of a corrupted orphan linked list",
		" was part of the orphaned inode list.",
		": UNEXPECTED INCONSISTENCY; RUN fsck MANUALLY.",
		"(i.e., without -a or -p options)",
		NULL,
	};

	return has_one_of(line, fine) || line[0] == '\n' ||
			(torn && has_one_of(line, fine_if_torn));
}

/* Did it say no more than that it replayed and finished orphans? */
static bool log_is_quiet(const struct pw_fsck *f, bool torn)
{
	FILE *in = fopen(f->log, "r");
	bool quiet = true;
	char line[512];

	if (!in)
		return false;
	while (fgets(line, sizeof(line), in))
		quiet &= line_is_quiet(line, torn);
	fclose(in);
	return quiet;
}

static void show_log(const struct pw_fsck *f, int st)
{
	FILE *in = fopen(f->log, "r");
	char line[512];

	fprintf(stderr, "# e2fsck: status %d\n", st);
	while (in && fgets(line, sizeof(line), in))
		fprintf(stderr, "# | %s", line);
	if (in)
		fclose(in);
}

/* Run it on a copy of @img; its exit status. */
static int run_on(
		struct pw_fsck *f, const struct emu_img *img, const char *flags)
{
	int ret;
	int st;

	ret = put_image(f, img);
	if (ret < 0)
		return ret;
	st = run_e2fsck(f, flags);
	ret = find_changes(f, img);
	return ret < 0 ? ret : st;
}

int pw_fsck_confirm(struct pw_fsck *f, const struct emu_img *img,
		const struct emu_img *after, bool torn)
{
	int st;

	st = run_on(f, img, "-fp");
	if (st < 0)
		return st;
	if (st > (torn ? 4 : 1) || !log_is_quiet(f, torn)) {
		show_log(f, st);
		return 1;
	}
	if (st == 0)
		return 0;
	/* It changed something, for a reason that is fine; but preening it
	 * may have mended other things without a word. */
	st = run_on(f, after, "-fn");
	if (st > 0)
		show_log(f, st);
	return st > 0 ? 1 : st;
}

int pw_fsck_repair(struct pw_fsck *f, const struct emu_img *img,
		struct emu_img **ret_img)
{
	int ret;
	int st;

	ret = put_image(f, img);
	if (ret < 0)
		return ret;
	st = run_e2fsck(f, "-fy");
	if (getenv("PW_LOG"))
		show_log(f, st);
	if (st >= 0 && st <= 2)
		st = run_e2fsck(f, "-fn");
	if (st != 0)
		show_log(f, st);
	ret = find_changes(f, img);
	if (ret == 0)
		ret = emu_img_fork(f->on_disk, ret_img);
	return ret < 0 ? ret : st == 0 ? 0 : 1;
}
