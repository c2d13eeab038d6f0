/* SPDX-License-Identifier: MIT */
/* Kinds of requests. See request.h. */
#include "fuse/request.h"

#include <linux/fuse.h>

enum request_kind request_kind(uint32_t opcode)
{
	switch (opcode) {
	case FUSE_LOOKUP:
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
	case FUSE_GETATTR:
	case FUSE_ACCESS:
	case FUSE_READLINK:
	case FUSE_GETXATTR:
	case FUSE_LISTXATTR:
	case FUSE_STATFS:
	case FUSE_MKNOD:
	case FUSE_MKDIR:
	case FUSE_SYMLINK:
	case FUSE_LINK:
	case FUSE_UNLINK:
	case FUSE_RMDIR:
	case FUSE_RENAME:
	case FUSE_RENAME2:
	case FUSE_OPEN:
	case FUSE_CREATE:
	case FUSE_RELEASE:
	case FUSE_OPENDIR:
	case FUSE_READDIR:
	case FUSE_READDIRPLUS:
	case FUSE_RELEASEDIR:
	case REQUEST_OP_TMPFILE:
	case REQUEST_OP_STATX:
		return REQUEST_QUICK;
	case FUSE_READ:
	case FUSE_WRITE:
		return REQUEST_DATA;
	case FUSE_FSYNC:
	case FUSE_FSYNCDIR:
		return REQUEST_SYNC;
	default:
		return REQUEST_LONG;
	}
}

bool request_can_stop(uint32_t opcode)
{
	return opcode == FUSE_COPY_FILE_RANGE;
}
