/* SPDX-License-Identifier: MIT */
/*
 * Filling pages with what the file holds.
 *
 * Rules    (FI1) The pages are held alone before the mapping is asked for: who
 *                changes the mapping (write-back, a direct write) has to come
 *                by the page afterwards, and finds it held or full.
 *          (FI2) isize is sampled while they are held (B4), and the bytes
 *                beyond it are zero in the page, whatever the device says.
 */
#ifndef UEXT4_IOMAP_FILL_H
#define UEXT4_IOMAP_FILL_H

#include <stdint.h>

#include "iomap/iomap.h"

/* Pages that one batch of a reader or writer holds at most. */
#define FILL_MAX_PAGES 256u

/* Fill the @n consecutive held @pages. Returns how many could be filled and
 * marks them UPTODATE; -errno when not even the first. */
int iomap_fill(struct iomap_file *f, struct page **pages,
		unsigned n) UEXT4_MUST_CHECK;
/* The contents of the pages by @map, which starts at the first and reaches
 * over all of them; not marked. @size: isize. */
int iomap_fill_from(struct iomap_file *f, struct page **pages, unsigned n,
		const struct iomap *map, uint64_t size) UEXT4_MUST_CHECK;
/* The pages as iovecs, joined where they are neighbours in memory. Returns how
 * many; @iov has room for @n. */
int iomap_pages_iov(struct iomap_file *f, struct page **pages, unsigned n,
		struct iovec *iov);

#endif /* UEXT4_IOMAP_FILL_H */
