/* SPDX-License-Identifier: MIT */
/*
 * One call of a random program, and how it is written down.
 *
 * Every call has the same parts, each kind uses some of them:
 *
 *	u	who calls: an index of side_users[]
 *	w	1: look at the objects concerned before and after (watch.c);
 *		2: and let the clock tick before, so that every time that
 *		moves is seen to move
 *	h g	slots of open files
 *	d e	slots of the directories that p and q start at, -1: where the
 *		program lives
 *	n	numbers; what they mean is in the table of kinds
 *	p q	paths, or other text
 *	x	bytes
 *
 * A program is text, one call a line: "pwrite u=1 w=1 h=3 n=4096,100,7". Parts
 * that are 0 (slots: -1) are left out. Bytes of p and q that are no letters,
 * digits or one of "/._-" are written %XX, x is written as hex digits.
 */
#ifndef MOUNT_DIFF_DOP_H
#define MOUNT_DIFF_DOP_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* kind, what its numbers are */
#define DOP_KINDS(X)                                                           \
 X(open, "h=slot p n=flags,mode")                                              \
 X(close, "h")                                                                 \
 X(read, "h n=len,misalign,parts")                                             \
 X(pread, "h n=pos,len,misalign,parts")                                        \
 X(write, "h n=len,pattern,misalign,parts")                                    \
 X(pwrite, "h n=pos,len,pattern,misalign,parts")                               \
 X(seek, "h n=off,whence")                                                     \
 X(truncate, "p n=size")                                                       \
 X(ftruncate, "h n=size")                                                      \
 X(fallocate, "h n=mode,pos,len")                                              \
 X(copy, "h g n=pos,topos,len,usepos")                                         \
 X(fsync, "h")                                                                 \
 X(fdatasync, "h")                                                             \
 X(mapread, "h n=pos,len")                                                     \
 X(mapstore, "h n=pos,len,pattern")                                            \
 X(stat, "p n=nofollow")                                                       \
 X(fstat, "h")                                                                 \
 X(statx, "p n=nofollow")                                                      \
 X(access, "p n=mode,flags")                                                   \
 X(chmod, "p n=mode")                                                          \
 X(fchmod, "h n=mode")                                                         \
 X(chown, "p n=uid,gid,nofollow")                                              \
 X(fchown, "h n=uid,gid")                                                      \
 X(utimens, "p n=asec,ansec,msec,mnsec,nofollow")                              \
 X(futimens, "h n=asec,ansec,msec,mnsec")                                      \
 X(mkdir, "p n=mode")                                                          \
 X(rmdir, "p")                                                                 \
 X(unlink, "p n=flags")                                                        \
 X(rename, "p q n=flags")                                                      \
 X(link, "p q n=flags")                                                        \
 X(linkh, "h q n=1 by /proc")                                                  \
 X(symlink, "q=target p")                                                      \
 X(readlink, "p")                                                              \
 X(mknod, "p n=mode,major,minor")                                              \
 X(readdir, "p n=room,seek")                                                   \
 X(dirhold, "p n=room,drop,make")                                              \
 X(many, "p n=from,count,how")                                                 \
 X(fewer, "p n=from,count")                                                    \
 X(statfs, "p")                                                                \
 X(setxattr, "p|h q=name x n=flags,how")                                       \
 X(getxattr, "p|h q=name n=room,how")                                          \
 X(listxattr, "p|h n=room,how")                                                \
 X(removexattr, "p|h q=name n=how")                                            \
 X(ioctl, "h n=what,arg")                                                      \
 X(flags, "p n=set,clear")                                                     \
 X(umask, "n=mask")                                                            \
 X(settle, "")                                                                 \
 X(fill, "p")                                                                  \
 X(burst, "p n=len")

enum dop_kind {
#define X(kind, parts) DOP_##kind,
	DOP_KINDS(X)
#undef X
	DOP_KINDS_END
};

#define DOP_NUMBERS 5

struct dop {
	enum dop_kind kind;
	unsigned user;
	unsigned watch;
	int h, g, d, e; /* slots, -1: none */
	int64_t n[DOP_NUMBERS];
	char *p, *q; /* owned; NULL: none */
	uint8_t *x;  /* owned */
	size_t nx;
};

const char *dop_name(enum dop_kind kind);
void dop_init(struct dop *op, enum dop_kind kind);
void dop_fini(struct dop *op);
void dop_copy(const struct dop *from, struct dop *ret_to);

/* One line, without the end of it. */
void dop_print(const struct dop *op, FILE *to);
/* 0 or -EINVAL. */
int dop_parse(const char *line, struct dop *ret_op);
/* A whole program; says what is wrong and exits if it cannot. */
struct dop *dop_load(const char *path, size_t *ret_n);
void dop_save(const char *path, const struct dop *ops, size_t n);

/* malloc() that does not fail. */
void *dop_alloc(size_t size);
char *dop_text(const char *s);

#endif /* MOUNT_DIFF_DOP_H */
