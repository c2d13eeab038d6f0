/* SPDX-License-Identifier: MIT */
/*
 * Memory in huge pages. The kernel finds them at once where it has to look up each
 * small one: a copy out of them costs half (UEXT4_RW_HUGE).
 */
#ifndef UEXT4_FUSE_HUGE_H
#define UEXT4_FUSE_HUGE_H

#include <stdbool.h>
#include <stddef.h>

#define HUGE_PAGE ((size_t)2 << 20)

/* Have [@mem, @mem + @len), whole huge pages with any contents, lie in such. False:
 * this host does not do that, or not now; the contents are as they were. */
bool huge_make(void *mem, size_t len);

#endif /* UEXT4_FUSE_HUGE_H */
