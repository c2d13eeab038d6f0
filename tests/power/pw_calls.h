/* SPDX-License-Identifier: MIT */
/*
 * The calls that workloads are made of: through the public header, by path,
 * asserting success.
 */
#ifndef UEXT4_TESTS_POWER_PW_CALLS_H
#define UEXT4_TESTS_POWER_PW_CALLS_H

#include "power/pw.h"

/* An operation, and one that ends in a sync of everything. */
#define OPS(body)                                                              \
 do {                                                                          \
  pw_op(pw);                                                                   \
  body;                                                                        \
  pw_end(pw);                                                                  \
 } while (0)

#define SYNCED(body)                                                           \
 do {                                                                          \
  pw_op(pw);                                                                   \
  body;                                                                        \
  pw_sync(pw);                                                                 \
  pw_end(pw);                                                                  \
  pw_ack(pw, 0);                                                               \
 } while (0)

/* An operation that makes the bytes of @ino durable. */
#define ACKED(ino, body)                                                       \
 do {                                                                          \
  pw_op(pw);                                                                   \
  body;                                                                        \
  pw_end(pw);                                                                  \
  pw_ack(pw, ino);                                                             \
 } while (0)

uint32_t pw_create(struct pw *pw, const char *path);
/* @len bytes that begin with @byte and change every 512. */
void pw_write(struct pw *pw, const char *path, unsigned flags, uint64_t pos,
		size_t len, int byte);
/* As far as space goes; the bytes written, or -ENOSPC for none. */
ssize_t pw_write_some(struct pw *pw, const char *path, unsigned flags,
		uint64_t pos, size_t len, int byte);
/* Beyond the end of the file, if there is space. */
bool pw_falloc_some(
		struct pw *pw, const char *path, uint64_t pos, uint64_t len);
void pw_fsync(struct pw *pw, const char *path);
void pw_fdatasync(struct pw *pw, const char *path);
void pw_mkdir(struct pw *pw, const char *path);
void pw_rmdir(struct pw *pw, const char *path);
void pw_unlink(struct pw *pw, const char *path);
void pw_rename(struct pw *pw, const char *a, const char *b, unsigned flags);
void pw_link(struct pw *pw, const char *old, const char *path);
void pw_symlink(struct pw *pw, const char *path, const char *target);
void pw_mknod(struct pw *pw, const char *path, uint32_t mode);
void pw_setattr(struct pw *pw, const char *path, const struct uext4_setattr *a);
/* Also sees that what it adds reads as zeroes. */
void pw_truncate(struct pw *pw, const char *path, uint64_t size);
/* @len 0: remove it. */
void pw_xattr(struct pw *pw, const char *path, const char *name, size_t len,
		int byte);
/* Nothing happens to files without extents. */
void pw_falloc(struct pw *pw, const char *path, unsigned mode, uint64_t pos,
		uint64_t len);
void pw_set_label(struct pw *pw, const char *label);
/* All free space, which is then some. */
void pw_trim(struct pw *pw);
void pw_sync(struct pw *pw);
uint32_t pw_ino(struct pw *pw, const char *path);
struct uext4_node *pw_node(struct pw *pw, const char *path);

#endif /* UEXT4_TESTS_POWER_PW_CALLS_H */
