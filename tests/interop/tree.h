/* SPDX-License-Identifier: MIT */
/*
 * One script of random operations, run through the library or through the
 * kernel on a mounted image: the same seed gives the same calls, and they must
 * give the same results and the same tree.
 *
 * Names are taken from a small set, so that most things that can go wrong with
 * a call do go wrong. Symlinks are relative and without "..": on the kernel's
 * side they stay inside the mount.
 */
#ifndef UEXT4_TESTS_INTEROP_TREE_H
#define UEXT4_TESTS_INTEROP_TREE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

struct uext4_fs;

/* Paths begin with '/'. All return 0 or a negative errno. */
struct tree_ops {
	int (*mkdir)(void *ctx, const char *path, uint32_t mode);
	int (*mknod)(void *ctx, const char *path, uint32_t mode, uint32_t dev);
	int (*symlink)(void *ctx, const char *target, const char *path);
	int (*link)(void *ctx, const char *old, const char *path);
	int (*rename)(void *ctx, const char *old, const char *path,
			unsigned flags);
	int (*unlink)(void *ctx, const char *path);
	int (*rmdir)(void *ctx, const char *path);
	int (*write)(void *ctx, const char *path, uint64_t pos, const void *buf,
			size_t len, bool sync);
	int (*truncate)(void *ctx, const char *path, uint64_t size);
	int (*fallocate)(void *ctx, const char *path, unsigned mode,
			uint64_t pos, uint64_t len); /* UEXT4_FALLOC_* */
	int (*setxattr)(void *ctx, const char *path, const char *name,
			const void *value, size_t len, unsigned flags);
	int (*removexattr)(void *ctx, const char *path, const char *name);
	int (*chmod)(void *ctx, const char *path, uint32_t mode);
	int (*chown)(void *ctx, const char *path, uint32_t uid, uint32_t gid);
	int (*utimes)(void *ctx, const char *path, int64_t sec, long ns);
};

extern const struct tree_ops tree_api;   /* ctx: struct uext4_fs */
extern const struct tree_ops tree_posix; /* ctx: path of the mount */

/* Run @n operations; what was called and what came of it goes to @log, a line
 * each. @bs: the block size (for the sizes chosen). */
void tree_run(const struct tree_ops *ops, void *ctx, uint64_t seed, unsigned n,
		uint32_t bs, FILE *log);
/* A tree with one of everything, large things too: every call succeeds. Asserts
 * that. @extents: fallocate works. */
void tree_build(const struct tree_ops *ops, void *ctx, bool extents);

#endif
