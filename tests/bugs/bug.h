/* SPDX-License-Identifier: MIT */
/*
 * What the tests of this folder share: an image of tests/fs/env.h that is
 * mounted from the test device, so that requests can be counted, held, refused
 * and lost.
 *
 *	bug_open(&b, "ext4-4k-full", NULL);	mke2fs, load, mount
 *	... env_create(&b.e, "/f", 0644); bdev_emu_fault_add(b.dev, ...) ...
 *	bug_close(&b, true);	unmount, judge by e2fsck and the checker, free
 *
 * Each file is named by the behaviour that was wrong.
 */
#ifndef UEXT4_TESTS_BUGS_BUG_H
#define UEXT4_TESTS_BUGS_BUG_H

#include "bdev/bdev_emu.h"
#include "env.h"
#include "fs/fs.h"

struct bug {
	struct env e;
	struct bdev *dev;
	struct uext4_mount_opts opts;
	const struct fs_hooks *hooks; /* of the next mount, or NULL */
	struct bdev_emu_opts emu; /* of the device, from the next mount on */
	struct timespec now;
};

/* bug_open() in two steps, for tests that change the image in between. */
void bug_image(struct bug *b, const char *profile, const char *size);
void bug_mount(struct bug *b);
int bug_try_mount(struct bug *b);
void bug_open(struct bug *b, const char *profile, const char *size);
/* The first step with a profile of the test's own. */
void bug_image_of(struct bug *b, const struct env_profile *profile,
		const char *size);
/* bug_open() with a choice of how direct writes go; DEFAULT: as the mount. */
void bug_open_dio(struct bug *b, const char *profile, const char *size,
		enum uext4_dio_alloc alloc, enum uext4_dio_extend extend,
		enum uext4_dio_size dio_size);
/* Fill every block that is free now with BUG_POISON, so that what was not
 * written shows. */
#define BUG_POISON 0xa5
void bug_poison(struct bug *b);
/* Is @pblk in use as the bitmap of the running transaction has it? What is only
 * reserved is not. */
bool bug_is_used(struct bug *b, uint64_t pblk);
/* Unmount; what the device holds goes back into the file b->e.img. */
int bug_unmount(struct bug *b);
/* Power fails now; the file holds what was durable. */
void bug_cut(struct bug *b);
void bug_remount(struct bug *b);
/* Unmount if mounted; e2fsck and the checker find nothing if @judge. */
void bug_close(struct bug *b, bool judge);
/* Requests of one kind seen so far. */
uint64_t bug_count(struct bug *b, enum bdev_op op);

#endif
