/* SPDX-License-Identifier: MIT */
/*
 * A block device of one's own: fill in struct uext4_dev and mount it.
 *
 *	static const struct uext4_dev_ops my_ops = {
 *		.size = my_size, .pread = my_pread, .pwrite = my_pwrite,
 *		.flush = my_flush,
 *	};
 *	struct uext4_dev dev = { .ops = &my_ops, .ctx = &my_disk };
 *
 * Calls come from several threads at once. Each returns 0 when the whole
 * request is done and a negative errno when it failed; there are no short
 * results. Positions and lengths are bytes, multiples of sector_size where
 * that is given (the library bounces what is not).
 */
#ifndef UEXT4_UEXT4_DEV_H
#define UEXT4_UEXT4_DEV_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* pwrite: the bytes must be durable on return. */
#define UEXT4_DEV_FUA 0x1u

struct uext4_dev_ops {
	/* Bytes on the device, asked once at open. Required. */
	int (*size)(void *ctx, uint64_t *ret_size);
	/* Required. */
	int (*pread)(void *ctx, void *buf, size_t len, uint64_t pos);
	/* NULL: a read-only device. @flags: UEXT4_DEV_FUA, if has_fua. */
	int (*pwrite)(void *ctx, const void *buf, size_t len, uint64_t pos,
			uint32_t flags);
	/* Make durable what was written before. NULL: writes always are. */
	int (*flush)(void *ctx);
	/* The contents are needed no more. NULL: a no-op. */
	int (*discard)(void *ctx, uint64_t pos, uint64_t len);
};

struct uext4_dev {
	const struct uext4_dev_ops *ops; /* must outlive the mount */
	void *ctx;                       /* handed to every call */
	uint32_t sector_size;            /* power of two; 0: any alignment */
	uint32_t has_fua;                /* pwrite understands UEXT4_DEV_FUA */
};

#ifdef __cplusplus
}
#endif

#endif /* UEXT4_UEXT4_DEV_H */
