/* SPDX-License-Identifier: MIT */
/*
 * The image that a target works in: made the same way for all of them, so that
 * they have the same features and every block of the host is there already.
 */
#ifndef UEXT4_BENCH_IMAGE_H
#define UEXT4_BENCH_IMAGE_H

#include "bench/target.h"

/* Make the image at @path, by mke2fs with its default features. */
int image_make(const struct target_setup *s, const char *path);
/* e2fsck -fn: its exit status, with what it found in @fault, or -errno. */
int image_check(const char *path, struct fault *fault);

#endif /* UEXT4_BENCH_IMAGE_H */
