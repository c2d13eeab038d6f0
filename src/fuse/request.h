/* SPDX-License-Identifier: MIT */
/*
 * What kind of request an opcode of <linux/fuse.h> is: how long it may take, so
 * who may do it.
 */
#ifndef UEXT4_FUSE_REQUEST_H
#define UEXT4_FUSE_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

/* Of Linux 6.2 and 6.6; older headers do not have them. */
#define REQUEST_OP_TMPFILE 51u
#define REQUEST_OP_STATX   52u

enum request_kind {
	REQUEST_QUICK, /* no device is waited for, as a rule */
	REQUEST_DATA,  /* as long as its data takes */
	REQUEST_SYNC,  /* a commit, and what is dirty */
	REQUEST_LONG,  /* may take any time; may need others to be served */
};

enum request_kind request_kind(uint32_t opcode);
/* May it end with EINTR before it has begun? */
bool request_can_stop(uint32_t opcode);

#endif /* UEXT4_FUSE_REQUEST_H */
