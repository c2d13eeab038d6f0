/* SPDX-License-Identifier: MIT */
/*
 * Which group a new inode should go to. Only ialloc.c asks.
 */
#ifndef UEXT4_ALLOC_ORLOV_H
#define UEXT4_ALLOC_ORLOV_H

#include "alloc/alloc.h"
#include "base/types.h"

/* The group to begin with for @req; a wish, not a promise that an inode is
 * free there. Never fails: what cannot be read is not chosen. */
grp_t orlov_group(struct alloc *a, const struct alloc_inode_req *req);

#endif /* UEXT4_ALLOC_ORLOV_H */
