/* SPDX-License-Identifier: MIT */
/*
 * A device seen through a journal that was replayed in memory only: blocks that
 * the replay would have written are answered from memory. Read-only.
 */
#ifndef UEXT4_FS_OVERLAY_H
#define UEXT4_FS_OVERLAY_H

#include <stdint.h>

struct bdev;
struct journal;

/* @lower and @j outlive the overlay; neither is closed with it. */
int overlay_open(struct bdev *lower, const struct journal *j,
		uint32_t block_size, struct bdev **ret_dev);

#endif /* UEXT4_FS_OVERLAY_H */
