/* SPDX-License-Identifier: MIT */
/* The monotonic clock, for those who ask a while before they sleep. */
#ifndef UEXT4_FUSE_NOW_H
#define UEXT4_FUSE_NOW_H

#include <stdint.h>
#include <time.h>

static inline uint64_t now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

#endif /* UEXT4_FUSE_NOW_H */
