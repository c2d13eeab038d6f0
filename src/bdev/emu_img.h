/* SPDX-License-Identifier: MIT */
/*
 * Disk images in RAM that are cheap to fork: the matter crash states are made
 * of.
 *
 * An image is a radix tree of reference-counted nodes over reference-counted
 * 4 KiB pages. A fork shares the root, O(1); a write copies the path to the
 * page it changes and nothing else. A page that was never written reads as
 * zero and costs nothing.
 *
 *	ret = emu_img_new(8 << 20, &img);
 *	ret = emu_img_write(img, pos, buf, len);
 *	ret = emu_img_fork(img, &twin);
 *	emu_img_free(twin);
 *
 * Rules    (P1) A page or node with more than one reference is never changed.
 *
 * Locks    None: one thread at a time uses one image, or its owner locks.
 *          Images that share pages may be used by different threads.
 */
#ifndef UEXT4_BDEV_EMU_IMG_H
#define UEXT4_BDEV_EMU_IMG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/ref.h"

#define EMU_PAGE_BITS 12
#define EMU_PAGE_SIZE (1u << EMU_PAGE_BITS)

struct emu_img;

struct emu_page {
	struct ref ref;
	uint8_t data[EMU_PAGE_SIZE]; /* changed only while ref is 1 */
};

/* A zeroed page with one reference, NULL without memory. */
struct emu_page *emu_page_new(void);
void emu_page_put(struct emu_page *page);

/* An image of @size zero bytes. */
UEXT4_MUST_CHECK int emu_img_new(uint64_t size, struct emu_img **ret_img);
/* An image equal to @img; from then on each changes alone. */
UEXT4_MUST_CHECK int emu_img_fork(
		const struct emu_img *img, struct emu_img **ret_img);
/* NULL is fine. */
void emu_img_free(struct emu_img *img);

uint64_t emu_img_size(const struct emu_img *img);

/* Ranges must lie inside the image. */
void emu_img_read(const struct emu_img *img, uint64_t pos, void *buf,
		uint64_t len);
UEXT4_MUST_CHECK int emu_img_write(struct emu_img *img, uint64_t pos,
		const void *buf, uint64_t len);
UEXT4_MUST_CHECK int emu_img_zero(
		struct emu_img *img, uint64_t pos, uint64_t len);

/*
 * Put @page (a reference is taken) at page index @idx: a write of 4 KiB that
 * copies nothing.
 */
UEXT4_MUST_CHECK int emu_img_set_page(
		struct emu_img *img, uint64_t idx, struct emu_page *page);

/*
 * Call @fn for every page index at which @a and @b are not the same page, in
 * order; either page may be NULL (zero). Equal pages stored twice are told as
 * well. Cost: what differs. Stops at and returns the first value not 0.
 */
int emu_img_diff(const struct emu_img *a, const struct emu_img *b,
		int (*fn)(void *ctx, uint64_t idx, const struct emu_page *pa,
				const struct emu_page *pb),
		void *ctx);
bool emu_img_is_equal(const struct emu_img *a, const struct emu_img *b);

/* From and to a file; zero pages become holes. */
UEXT4_MUST_CHECK int emu_img_load(const char *path, struct emu_img **ret_img);
UEXT4_MUST_CHECK int emu_img_save(const struct emu_img *img, const char *path);
/* @fd holds exactly @old: write what differs, so that it holds @img. */
UEXT4_MUST_CHECK int emu_img_update(
		const struct emu_img *img, const struct emu_img *old, int fd);

#endif /* UEXT4_BDEV_EMU_IMG_H */
