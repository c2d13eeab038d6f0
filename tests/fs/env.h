/* SPDX-License-Identifier: MIT */
/*
 * A real image per test, used through the public header alone, and judged by
 * two that share no code with the engine: e2fsck and tests/check.
 *
 *	env_make(&e, &env_profiles[i], NULL);	mke2fs, then mounted
 *	env_mkdir(&e, "/d", 0755); ...
 *	env_end(&e);		everything below, then the image is removed
 *
 * env_end() looks at the tree through the API, unmounts, wants the image clean
 * for e2fsck -fn and for check_fs(), reads the tree by the checker's own
 * reader, mounts again read-only and looks once more: three equal trees.
 *
 * Images stand in $UEXT4_TEST_DIR, else /dev/shm, else $TMPDIR, else /tmp.
 * UEXT4_KEEP=1 leaves them there, UEXT4_TEST_DIRECT=1 opens them with O_DIRECT,
 * UEXT4_TEST_DAX=1 mounts with DAX, UEXT4_TEST_MAPPED=1 so that data is copied
 * through a mapping.
 */
#ifndef UEXT4_TESTS_FS_ENV_H
#define UEXT4_TESTS_FS_ENV_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "uext4/uext4.h"

#define ENV_JOURNAL 0x01u
#define ENV_EXTENT  0x02u
#define ENV_XTIME   0x04u /* inodes have room for nanoseconds and 2446 */
#define ENV_INDEX   0x08u
#define ENV_HUGE    0x10u /* files beyond 2^32 sectors */
#define ENV_ALL     0x1fu

struct env_profile {
	const char *name;
	const char *mke2fs;
	uint32_t block_size;
	unsigned has; /* ENV_* */
};

extern const struct env_profile env_profiles[];
extern const unsigned env_nprofiles;
const struct env_profile *env_profile_find(const char *name);

struct env {
	char dir[96], img[112], out[112];
	const struct env_profile *p;
	struct uext4_fs *fs; /* NULL: not mounted */
	uint32_t flags;      /* UEXT4_MNT_* of every mount */
	uint32_t bs;
	char log[4096]; /* what the library said since the last mount */
};

/* True if mke2fs, e2fsck and debugfs are there; else says skip: why. */
bool env_tools(void);
/* A directory of our own; @e->img and @e->out are named, not made. */
void env_image_dir(struct env *e);
/* The same, and the image is made (@size NULL: enough for all). */
void env_image(struct env *e, const struct env_profile *p, const char *size);
void env_make(struct env *e, const struct env_profile *p, const char *size);
/* Status of a shell command line, e2fsprogs in its path. */
int env_sh(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

void env_mount(struct env *e);
int env_try_mount(struct env *e, const struct uext4_mount_opts *opts);
void env_unmount(struct env *e);
void env_remount(struct env *e); /* judged in between */
/* The same with a file open: it is closed before and opened after. */
void env_remount_with(struct env *e, struct uext4_file **f, const char *path);
/* As a power cut at this moment (journal commits done so far survive). */
void env_cut(struct env *e);
/* Not mounted: e2fsck -fn and check_fs() find nothing. */
void env_judge(struct env *e);
void env_judge_e2fsck(struct env *e); /* e2fsck alone */
void env_end(struct env *e);
/* After a test that failed as well: nothing stays behind. */
void env_free(struct env *e);

/* ---- calls by path; 0 or a negative errno ---- */
struct uext4_node *env_node(struct env *e, const char *path); /* must exist */
struct uext4_node *env_dir(struct env *e, const char *path, char *name);
int env_mkdir(struct env *e, const char *path, uint32_t mode);
int env_create(struct env *e, const char *path, uint32_t mode); /* O_EXCL */
int env_mknod(struct env *e, const char *path, uint32_t mode, uint32_t maj,
		uint32_t min);
int env_symlink(struct env *e, const char *target, const char *path);
int env_link(struct env *e, const char *old, const char *path);
int env_unlink(struct env *e, const char *path);
int env_rmdir(struct env *e, const char *path);
int env_rename(struct env *e, const char *old, const char *path,
		unsigned flags);
int env_exists(struct env *e, const char *path); /* not followed; 0 or err */
struct uext4_stat env_stat(struct env *e, const char *path); /* lstat */
int env_setxattr(struct env *e, const char *path, const char *name,
		const void *value, size_t len, unsigned flags);
ssize_t env_getxattr(struct env *e, const char *path, const char *name,
		void *buf, size_t size);
struct uext4_file *env_open(struct env *e, const char *path, unsigned flags);
void env_close(struct uext4_file *f);
/* Whole writes and reads; they assert. */
void env_pwrite(struct uext4_file *f, const void *buf, size_t len,
		uint64_t pos);
void env_fill(struct uext4_file *f, uint64_t pos, size_t len, int byte);
/* The file holds @len bytes of @byte at @pos. */
void env_expect(struct uext4_file *f, uint64_t pos, size_t len, int byte);
uint64_t env_size(struct uext4_file *f);
uint64_t env_free_blocks(struct env *e);
uint64_t env_free_inodes(struct env *e);
void *env_alloc(size_t len, int byte); /* aligned for direct I/O */

/* ---- one case is run over all profiles ---- */
struct env_case {
	const char *name;
	void (*body)(struct env *e);
	const char *size; /* of the image, NULL: the default */
	const char *only; /* NULL, or the name of the one profile */
	unsigned need;    /* ENV_* that the profile must have */
	unsigned flags;   /* ENV_CASE_* */
};
#define ENV_CASE_NO_END 0x1u /* the body ends by itself */

/* Run them as one cmocka group; argv[1] picks cases by a part of their name
 * ("names/", "ext2-1k"). */
int env_run(const char *group, const struct env_case *cases, size_t n, int argc,
		char **argv);

#endif
