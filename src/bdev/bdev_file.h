/* SPDX-License-Identifier: MIT */
/*
 * What a channel asks about a file device, to go around its submit.
 */
#ifndef UEXT4_BDEV_BDEV_FILE_H
#define UEXT4_BDEV_BDEV_FILE_H

#include <stdbool.h>
#include <stdint.h>

struct bdev;
struct bdev_io;

/* Was @dev opened by bdev_file_open()? The others are asked only then. */
bool bdev_is_file(const struct bdev *dev);

/* Lives as long as the device. */
int bdev_file_fd(const struct bdev *dev);
/* Where the device starts inside the file. */
uint64_t bdev_file_base(const struct bdev *dev);

/*
 * May @io be one system call on the descriptor as it stands: a read or write
 * that needs no bounce, and with BDEV_F_FUA only while RWF_DSYNC is not known
 * to fail (F2)?
 */
bool bdev_file_is_plain(const struct bdev *dev, const struct bdev_io *io);

#endif /* UEXT4_BDEV_BDEV_FILE_H */
