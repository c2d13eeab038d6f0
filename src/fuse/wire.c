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

static void hear_offer(struct wire *w, const char *request, ssize_t n)
{
	struct fuse_in_header head;
	struct fuse_init_in init;

	memset(&init, 0, sizeof(init));
	if (n < (ssize_t)(sizeof(head) + offsetof(struct fuse_init_in, flags2)))
		return;
	memcpy(&head, request, sizeof(head));
	if (head.opcode != FUSE_INIT)
		return;
	n -= (ssize_t)sizeof(head);
	if (n > (ssize_t)sizeof(init))
		n = sizeof(init);
	memcpy(&init, request + sizeof(head), (size_t)n);
	w->unique = head.unique;
	w->offered = init.flags;
	if (init.flags & FUSE_INIT_EXT)
		w->offered |= (uint64_t)init.flags2 << 32;
}

static ssize_t wire_read(int fd, void *buf, size_t len, void *userdata)
{
	struct srv *s = userdata;
	struct srv_worker *me = srv_me();
	ssize_t n;

	if (me->lead)
		return lead_read(me->lead, &me->turn, fd, buf, len);
	n = read(fd, buf, len);
	if (!s->wire.greeted)
		hear_offer(&s->wire, buf, n);
	return n;
}

/* What libfuse does not say. */
static void add_words(struct wire *w, const struct iovec *iov)
{
	struct fuse_init_out init;

	memcpy(&init, iov->iov_base, sizeof(init));
	init.flags |= w->offered & FUSE_HANDLE_KILLPRIV_V2;
	if (w->ring) {
		init.flags |= FUSE_INIT_EXT;
		init.flags2 |= RING_INIT_FLAG >> 32;
	}
	memcpy(iov->iov_base, &init, sizeof(init));
}

static ssize_t wire_writev(int fd, struct iovec *iov, int n, void *userdata)
{
	struct srv *s = userdata;
	struct ring_entry *e = srv_me()->entry;
	struct fuse_out_header head;
	ssize_t ret;

	if (!e && s->wire.greeted)
		return writev(fd, iov, n);
	memcpy(&head, iov[0].iov_base, sizeof(head));
	if (e && head.unique == e->unique) {
		ret = ring_answer(e, iov, n);
		if (ret >= 0)
			return ret;
		errno = (int)-ret;
		return -1;
	}
	if (!s->wire.greeted && head.unique == s->wire.unique) {
		if (n == 2 && head.error == 0 &&
				iov[1].iov_len >= sizeof(struct fuse_init_out))
			add_words(&s->wire, &iov[1]);
		s->wire.greeted = true;
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
