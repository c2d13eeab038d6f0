/* SPDX-License-Identifier: MIT */
#ifndef UEXT4_IOMAP_THROTTLE_H
#define UEXT4_IOMAP_THROTTLE_H

struct iomap_file;

/* A writer of @f is about to dirty more pages: when more than half of the
 * pool is dirty, write back, this file first. Holds no page. */
void iomap_throttle(struct iomap_file *f);

#endif /* UEXT4_IOMAP_THROTTLE_H */
