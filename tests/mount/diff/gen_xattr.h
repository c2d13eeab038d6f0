/* SPDX-License-Identifier: MIT */
/* The parts of calls on extended attributes, ACLs among them. */
#ifndef MOUNT_DIFF_GEN_XATTR_H
#define MOUNT_DIFF_GEN_XATTR_H

#include "gen.h"

void gen_xattr_args(struct gen *g, struct dop *op);

#endif /* MOUNT_DIFF_GEN_XATTR_H */
