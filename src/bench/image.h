/* SPDX-License-Identifier: MIT */
/*
 * The files that targets work in: laid out together, so that none has the better
 * places, and made into file systems with the same features.
 */
#ifndef UEXT4_BENCH_IMAGE_H
#define UEXT4_BENCH_IMAGE_H

#include <signal.h>
#include <stdint.h>

#include "bench/fault.h"

struct image {
	const char *path;
	uint64_t bytes; /* a multiple of 1 MiB */
};

/* Create the @n images and write zeroes to all of them, 1 MiB at a time, in one
 * random order. Nobody pays for the host's first write to a page or block then,
 * and whatever the host gives first and last, each image has its share of it.
 * -EINTR when *@stop is set. */
int image_lay_out(const struct image *images, unsigned n, uint64_t seed,
		const volatile sig_atomic_t *stop, struct fault *fault);
/* Make an ext4 of default features on it, by mke2fs. */
int image_make(const char *path, struct fault *fault);
/* e2fsck -fn: its exit status, with what it found in @fault, or -errno. */
int image_check(const char *path, struct fault *fault);

#endif /* UEXT4_BENCH_IMAGE_H */
