/* SPDX-License-Identifier: MIT */
/*
 * The table of targets, in the order in which they take turns.
 */
#include "bench/target.h"

const struct target_kind *const bench_kinds[] = {
	&target_raw,
	&target_raw_sync,
	&target_engine,
	&target_kernel,
	&target_mount,
	&target_fuse2fs,
	NULL,
};
