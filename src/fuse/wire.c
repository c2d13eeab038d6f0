/* SPDX-License-Identifier: MIT */
/*
 * Between libfuse and the kernel. See wire.h; the structures are those of
 * <linux/fuse.h>.
 */
#include "fuse/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fuse/request.h"
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

void wire_request(void *request, size_t len)
{
	struct fuse_in_header head;
	struct srv_worker *me = srv_me();

	me->statx = false;
	if (len < sizeof(head))
		return;
	memcpy(&head, request, sizeof(head));
	me->unique = head.unique;
	if (head.opcode == REQUEST_OP_TMPFILE) {
		head.opcode = FUSE_CREATE;
	} else if (head.opcode == REQUEST_OP_STATX) {
		head.opcode = FUSE_GETATTR;
		me->statx = true;
	}
	memcpy(request, &head, sizeof(head));
}

/* Through the ring that the request came by, or to /dev/fuse. */
static ssize_t send_on(int fd, struct iovec *iov, int n)
{
	struct ring_entry *e = srv_me()->entry;
	struct fuse_out_header head;
	ssize_t ret;

	memcpy(&head, iov[0].iov_base, sizeof(head));
	if (!e || head.unique != e->unique)
		return writev(fd, iov, n);
	ret = ring_answer(e, iov, n);
	if (ret >= 0)
		return ret;
	errno = (int)-ret;
	return -1;
}

/* ---- statx ---- */

struct statx_time {
	int64_t sec;
	uint32_t nsec;
	int32_t spare;
};

/* What Linux 6.6 calls fuse_statx_out. */
struct statx_out {
	uint64_t valid;
	uint32_t valid_nsec;
	uint32_t flags;
	uint64_t spare[2];
	uint32_t mask;
	uint32_t blksize;
	uint64_t attributes;
	uint32_t nlink;
	uint32_t uid;
	uint32_t gid;
	uint16_t mode;
	uint16_t spare0;
	uint64_t ino;
	uint64_t size;
	uint64_t blocks;
	uint64_t attributes_mask;
	struct statx_time atime, btime, ctime, mtime;
	uint32_t rdev_major, rdev_minor;
	uint32_t dev_major, dev_minor;
	uint64_t spare2[14];
};
_Static_assert(sizeof(struct statx_out) == 32 + 256, "as the kernel has it");

static void make_statx(const struct fuse_attr_out *in,
		const struct srv_worker *me, struct statx_out *out)
{
	const struct fuse_attr *a = &in->attr;

	*out = (struct statx_out){
		.valid = in->attr_valid,
		.valid_nsec = in->attr_valid_nsec,
		.mask = STATX_BASIC_STATS,
		.blksize = a->blksize,
		.nlink = a->nlink,
		.uid = a->uid,
		.gid = a->gid,
		.mode = (uint16_t)a->mode,
		.ino = a->ino,
		.size = a->size,
		.blocks = a->blocks,
		.atime = { (int64_t)a->atime, a->atimensec, 0 },
		.ctime = { (int64_t)a->ctime, a->ctimensec, 0 },
		.mtime = { (int64_t)a->mtime, a->mtimensec, 0 },
		/* as the kernel packs a device number into 32 bits */
		.rdev_major = a->rdev >> 8 & 0xfff,
		.rdev_minor = (a->rdev & 0xff) | (a->rdev >> 12 & 0xfff00),
	};
	if (me->born.tv_sec == 0 && me->born.tv_nsec == 0)
		return; /* a small inode has no room for it */
	out->mask |= STATX_BTIME;
	out->btime.sec = me->born.tv_sec;
	out->btime.nsec = (uint32_t)me->born.tv_nsec;
}

/* The attributes of a file are the answer to a STATX. */
static ssize_t send_statx(int fd, const struct iovec *iov)
{
	struct fuse_attr_out attr = { 0 };
	struct fuse_out_header head;
	struct statx_out out;
	struct iovec both[] = {
		{ &head, sizeof(head) },
		{ &out, sizeof(out) },
	};

	memcpy(&head, iov[0].iov_base, sizeof(head));
	memcpy(&attr, iov[1].iov_base,
			iov[1].iov_len < sizeof(attr) ? iov[1].iov_len
						      : sizeof(attr));
	make_statx(&attr, srv_me(), &out);
	head.len = sizeof(head) + sizeof(out);
	return send_on(fd, both, 2);
}

/* ---- reading and writing ---- */

static ssize_t wire_read(int fd, void *buf, size_t len, void *userdata)
{
	struct srv *s = userdata;
	struct srv_worker *me = srv_me();
	ssize_t n;

	n = me->lead ? lead_read(me->lead, &me->turn, fd, buf, len)
		     : read(fd, buf, len);
	if (!s->wire.greeted)
		hear_offer(&s->wire, buf, n);
	if (n > 0)
		wire_request(buf, (size_t)n);
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
	const struct srv_worker *me = srv_me();
	struct fuse_out_header head;

	memcpy(&head, iov[0].iov_base, sizeof(head));
	if (me->statx && head.unique == me->unique && head.error == 0 && n == 2)
		return send_statx(fd, iov);
	if (!s->wire.greeted && head.unique == s->wire.unique) {
		if (n == 2 && head.error == 0 &&
				iov[1].iov_len >= sizeof(struct fuse_init_out))
			add_words(&s->wire, &iov[1]);
		s->wire.greeted = true;
	}
	return send_on(fd, iov, n);
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
