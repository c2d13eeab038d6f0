/* SPDX-License-Identifier: MIT */
/* Sides and users: see side.h. */
#include "side.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

const struct side_user side_users[SIDE_USERS] = {
	{ 0, 0, 0, { 0 } },
	{ 1001, 1001, 2, { 2000, 2001 } },
	{ 1002, 1002, 1, { 2000 } },
};

struct side_slot side_slots[SIDE_SLOTS];
uint64_t side_max_size;
bool side_shared;

/* The side that was opened first, which is asked about slots. */
static const struct side *first;

/* Where the process was before it entered a side. */
static int host_root = -1;

static void (*const acts[])(
		struct side *, const struct dop *, struct outcome *) = {
#define X(kind, parts) act_##kind,
	DOP_KINDS(X)
#undef X
};

static void die(const char *what, const char *name)
{
	fprintf(stderr, "mount_diff: %s %s: %s\n", what, name, strerror(errno));
	exit(2);
}

/* Is the nanosecond of a time kept? */
static uint64_t grain_of(const struct side *s)
{
	const struct timespec t[2] = {
		{ .tv_sec = 1000000000, .tv_nsec = 1 },
		{ .tv_sec = 1000000000, .tv_nsec = 1 },
	};
	struct stat st;

	if (utimensat(s->root, SIDE_TOP, t, 0) < 0 ||
			fstatat(s->root, SIDE_TOP, &st, 0) < 0 ||
			utimensat(s->root, SIDE_TOP, NULL, 0) < 0)
		die("times of", s->name);
	return st.st_mtim.tv_nsec == 1 ? 1 : 1000000000;
}

void side_open(struct side *s, const char *name, const char *dir)
{
	unsigned i;

	if (host_root < 0)
		host_root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*s = (struct side){ .name = name };
	for (i = 0; i < SIDE_SLOTS; i++)
		s->fd[i] = -1;
	s->buf = mmap(NULL, SIDE_BUF, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (s->buf == MAP_FAILED)
		die("memory for", name);
	s->root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->root < 0)
		die("open", dir);
	if (mkdirat(s->root, SIDE_TOP, 0777) < 0 && errno != EEXIST)
		die("make the program's directory in", dir);
	s->top = openat(s->root, SIDE_TOP, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->top < 0 || fchmod(s->top, 0777) < 0)
		die("open the program's directory in", dir);
	s->grain = grain_of(s);
	if (!first)
		first = s;
	(void)side_proc();
}

void side_close_slots(struct side *s)
{
	unsigned i;

	for (i = 0; i < SIDE_SLOTS; i++) {
		if (s->fd[i] >= 0)
			(void)close(s->fd[i]);
		s->fd[i] = -1;
	}
}

void side_close(struct side *s)
{
	side_close_slots(s);
	(void)close(s->top);
	(void)close(s->root);
	(void)munmap(s->buf, SIDE_BUF);
}

/* ---- where and who ---- */

void side_enter(const struct side *s)
{
	if (fchdir(s->root) < 0 || chroot(".") < 0 || fchdir(s->top) < 0)
		die("enter", s->name);
}

void side_leave(void)
{
	if (fchdir(host_root) < 0 || chroot(".") < 0)
		die("return from", "the sides");
}

/* By system calls, which change this thread only. The saved user stays root,
 * the way back. */
static void become(const struct side_user *u)
{
	if (syscall(SYS_setgroups, (size_t)u->ngroups, u->groups) < 0 ||
			syscall(SYS_setresgid, u->gid, u->gid, 0) < 0 ||
			syscall(SYS_setresuid, u->uid, u->uid, 0) < 0)
		die("become", "a user");
}

void side_as(unsigned user)
{
	if (user % SIDE_USERS != 0)
		become(&side_users[user % SIDE_USERS]);
}

void side_as_root(void)
{
	if (geteuid() == 0)
		return;
	if (syscall(SYS_setresuid, 0, 0, 0) < 0)
		die("become", "root");
	become(&side_users[0]);
}

int side_proc(void)
{
	static int fd = -1;

	if (fd < 0)
		fd = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		die("open", "/proc/self/fd");
	return fd;
}

int side_fd(const struct side *s, int slot)
{
	return slot < 0 || slot >= SIDE_SLOTS ? -1 : s->fd[slot];
}

int side_dir(const struct side *s, int slot)
{
	return slot < 0 ? AT_FDCWD : side_fd(s, slot);
}

int64_t side_slot_size(int slot)
{
	struct stat st;

	return fstat(side_fd(first, slot), &st) == 0 ? st.st_size : 0;
}

int64_t side_slot_position(int slot)
{
	off_t at = lseek(side_fd(first, slot), 0, SEEK_CUR);

	return at < 0 ? 0 : at;
}

/* ---- calls ---- */

void side_run(struct side *s, const struct dop *op, struct outcome *o)
{
	side_enter(s);
	side_as(op->user);
	acts[op->kind](s, op, o);
	side_as_root();
}

void side_pattern(uint8_t *to, size_t len, uint64_t pattern)
{
	uint64_t x = pattern * 0x9e3779b97f4a7c15u + 1;
	size_t i;

	for (i = 0; i + 8 <= len; i += 8) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		memcpy(to + i, &x, 8);
	}
	for (; i < len; i++)
		to[i] = (uint8_t)(x >> (8 * (i & 7)));
}
