/* SPDX-License-Identifier: MIT */
/*
 * Between libfuse and /dev/fuse. See wire.h; the structures are those of
 * <linux/fuse.h>.
 */
#include "fuse/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fuse/srv.h"

/* The kernel's first request, until the thread that read it has answered. */
static _Thread_local struct {
	uint64_t unique; /* 0: none */
	uint32_t offered;
} first;

static ssize_t wire_read(int fd, void *buf, size_t len, void *userdata)
{
	struct srv_worker *me = srv_me();
	ssize_t n = lead_read(me->lead, &me->turn, fd, buf, len);
	struct fuse_in_header head;
	struct fuse_init_in init;

	if (n < (ssize_t)(sizeof(head) + offsetof(struct fuse_init_in, flags2)))
		return n;
	memcpy(&head, buf, sizeof(head));
	if (head.opcode == FUSE_INIT) {
		memset(&init, 0, sizeof(init));
		memcpy(&init, (char *)buf + sizeof(head),
				offsetof(struct fuse_init_in, flags2));
		first.unique = head.unique;
		first.offered = init.flags;
	}
	return n;
}

static ssize_t wire_writev(int fd, struct iovec *iov, int n, void *userdata)
{
	struct fuse_out_header head;
	struct fuse_init_out init;

	if (first.unique != 0 && n == 2 && iov[0].iov_len == sizeof(head)) {
		memcpy(&head, iov[0].iov_base, sizeof(head));
		if (head.unique == first.unique && head.error == 0 &&
				iov[1].iov_len >= sizeof(init)) {
			memcpy(&init, iov[1].iov_base, sizeof(init));
			init.flags |= first.offered & FUSE_HANDLE_KILLPRIV_V2;
			memcpy(iov[1].iov_base, &init, sizeof(init));
			first.unique = 0;
		}
	}
	return writev(fd, iov, n);
}

int wire_attach(struct fuse_session *se)
{
	static const struct fuse_custom_io io = {
		.read = wire_read,
		.writev = wire_writev,
	};
	int fd = fuse_session_fd(se);

	if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0)
		return -errno;
	return fuse_session_custom_io(se, &io, fd);
}
