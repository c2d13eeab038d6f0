/* SPDX-License-Identifier: MIT */
/*
 * Images of formats that are only read: made by mke2fs -d of a tree, or by the
 * kernel on a loop device (root), then read by the library. Both readings of
 * the tree are equal, or the test fails.
 *
 *	ro_image(&e, "-O inline_data", "32M", "mkdir d; echo hi >d/f");
 *	...	mounted read-only
 *	env_free(&e);
 */
#ifndef UEXT4_TESTS_FS_RO_H
#define UEXT4_TESTS_FS_RO_H

#include "env.h"

/* Root, and loop mounts work; else says skip: why. */
bool ro_can_mount(void);
/* Run the shell commands @script in a directory, make an image of it by
 * mke2fs @opts -d, mount the image read-only and compare. Times have whole
 * seconds: mke2fs knows no others. */
void ro_image(struct env *e, const char *opts, const char *size,
		const char *script);
/* The same, but the commands run in the image, mounted by the kernel, and the
 * tree is what the kernel reads of the finished image. False and nothing done
 * if the kernel does not mount it. */
bool ro_kernel(struct env *e, const char *opts, const char *size,
		const char *script);
/* The mounted image and the directory hold the same. With @same_fs inode
 * numbers and all times too. */
void ro_compare(struct env *e, const char *dir, bool same_fs);
/* Not mounted: a mount for writing fails with -EROFS and names the feature and
 * the reason; a read-only one works, knows them too, and stays. */
void ro_expect_readonly(struct env *e, const char *name, const char *why);
/* Not mounted: no mount works; -EOPNOTSUPP, with name and reason. */
void ro_expect_refused(struct env *e, const char *name, const char *why);

#endif
