/* SPDX-License-Identifier: MIT */
/*
 * A disk that is made full, and writing everything to it.
 *
 * Where exactly the space ends differs (what is held back for metadata is each
 * file system's own business), so a full disk is reached by writing pieces that
 * get smaller until nothing fits, and of what does not fit anyway only the
 * errno is told.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "side.h"

#define FILL_FIRST (1u << 20)
#define FILL_LAST  1024u
#define FILL_STEPS 65536
#define INODES_MAX (1u << 17)

void act_fill(struct side *s, const struct dop *op, struct outcome *o)
{
	int fd = openat(side_dir(s, op->d), op->p,
			O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	size_t len = FILL_FIRST;
	int steps;
	ssize_t n = 0;

	if (fd < 0) {
		o->err = errno;
		return;
	}
	(void)lseek(fd, 0, SEEK_END);
	side_pattern(s->buf, FILL_FIRST, 7);
	for (steps = 0; steps < FILL_STEPS && len >= FILL_LAST; steps++) {
		n = write(fd, s->buf, len);
		/* The space is only spoken for before it is written. */
		if (n < 0 && fsync(fd) == 0)
			n = write(fd, s->buf, len);
		if (n < 0)
			len /= 4;
	}
	if (n < 0)
		o->err = errno;
	(void)fsync(fd);
	(void)close(fd);
}

void act_burst(struct side *s, const struct dop *op, struct outcome *o)
{
	int fd = openat(side_dir(s, op->d), op->p,
			O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	int64_t done = 0;
	ssize_t n = 0;

	if (fd < 0) {
		o->err = errno;
		return;
	}
	side_pattern(s->buf, FILL_FIRST, 9);
	while (done < op->n[0]) {
		n = write(fd, s->buf, FILL_FIRST);
		if (n < 0)
			break;
		done += n;
	}
	if (n < 0)
		o->err = errno;
	out_num(o, "cut", ftruncate(fd, 0) < 0 ? (uint64_t)errno : 0);
	(void)close(fd);
	out_num(o, "gone",
			unlinkat(side_dir(s, op->d), op->p, 0) < 0
					? (uint64_t)errno
					: 0);
}

/* ---- everything to the disk ---- */

/* Sectors of the inodes seen, each once. */
struct used {
	uint64_t sectors;
	uint8_t seen[INODES_MAX / 8];
};

static void add_used(struct used *u, const struct stat *st)
{
	uint64_t i = st->st_ino % INODES_MAX;

	if (u->seen[i / 8] & 1u << i % 8)
		return;
	u->seen[i / 8] |= (uint8_t)(1u << i % 8);
	u->sectors += (uint64_t)st->st_blocks;
}

static void sync_file(int dir, const char *name, int flags)
{
	int fd = openat(dir, name,
			O_RDONLY | O_NONBLOCK | O_NOATIME | O_CLOEXEC | flags);

	if (fd < 0)
		return;
	(void)fsync(fd);
	(void)close(fd);
}

/* A file that has no name any more, held by O_PATH, is opened once more. */
static void sync_slot(int fd, const struct stat *st)
{
	char number[16];

	if (fsync(fd) == 0 || errno != EBADF || !S_ISREG(st->st_mode))
		return;
	(void)snprintf(number, sizeof(number), "%d", fd);
	sync_file(side_proc(), number, 0);
}

/* Takes over @dir. */
static void sync_below(int dir, struct used *u)
{
	DIR *d = fdopendir(dir);
	struct dirent *e;
	struct stat st;

	if (!d)
		return;
	while ((e = readdir(d)) != NULL) {
		if (e->d_type == DT_REG)
			sync_file(dirfd(d), e->d_name, O_NOFOLLOW);
		if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
			add_used(u, &st);
		if (e->d_type == DT_REG)
			continue;
		if (e->d_type == DT_DIR && strcmp(e->d_name, ".") != 0 &&
				strcmp(e->d_name, "..") != 0)
			sync_below(openat(dirfd(d), e->d_name,
						   O_RDONLY | O_DIRECTORY |
								   O_NOFOLLOW |
								   O_NOATIME |
								   O_CLOEXEC),
					u);
	}
	(void)closedir(d);
}

/* syncfs() does not reach a FUSE server: file by file. How many blocks a file
 * takes for its tree depends on where it lies, so what is told is that none is
 * lost: those that are free and those that files have are all there are. */
void act_settle(struct side *s, const struct dop *op, struct outcome *o)
{
	struct used *u = dop_alloc(sizeof(*u));
	struct statfs fs;
	struct stat st;
	unsigned i;

	sync_below(openat(s->root, ".",
				   O_RDONLY | O_DIRECTORY | O_NOATIME |
						   O_CLOEXEC),
			u);
	for (i = 0; i < SIDE_SLOTS; i++) {
		if (s->fd[i] < 0 || fstat(s->fd[i], &st) < 0)
			continue;
		sync_slot(s->fd[i], &st);
		if (fstat(s->fd[i], &st) == 0)
			add_used(u, &st);
	}
	(void)syncfs(s->root);
	if (side_shared) {
		o->err = 0;
	} else if (statfs("/", &fs) < 0) {
		o->err = errno;
	} else {
		out_num(o, "free_and_used",
				fs.f_bfree + u->sectors * 512 / (uint64_t)fs.f_bsize);
		out_num(o, "f_ffree", fs.f_ffree);
	}
	free(u);
}
