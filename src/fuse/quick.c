/* SPDX-License-Identifier: MIT */
/* READ and WRITE without libfuse. See quick.h. */
#include "fuse/quick.h"

#include <string.h>
#include <sys/stat.h>

#include "fuse/srv.h"

static struct srv_handle *handle_of(uint64_t fh)
{
	return (struct srv_handle *)(uintptr_t)fh;
}

static void answer(const struct quick_req *q, struct quick_answer *ret,
		ssize_t n, void *data, size_t len)
{
	ret->n = n < 0 ? 1 : 2;
	ret->iov[0] = (struct iovec){ &ret->out, sizeof(ret->out) };
	ret->iov[1] = (struct iovec){ data, len };
	ret->out.unique = q->in.unique;
	ret->out.error = n < 0 ? (int)n : 0;
	ret->out.len = (uint32_t)(sizeof(ret->out) + (n < 0 ? 0 : len));
}

static bool read_it(const struct quick_req *q, struct quick_answer *ret)
{
	struct fuse_read_in in;
	ssize_t n;

	if (q->op_len < sizeof(in))
		return false;
	memcpy(&in, q->op, sizeof(in));
	n = srv_read(handle_of(in.fh), in.size, in.offset);
	answer(q, ret, n, srv_me()->data, n < 0 ? 0 : (size_t)n);
	return true;
}

/* Which privileges a write by who asks takes away. False where his groups matter:
 * of a file that is setuid or setgid. */
static bool knows_how(const struct srv *s, const struct quick_req *q,
		struct srv_handle *h, unsigned *ret_how)
{
	struct uext4_stat st;

	if (idmap_to_image(&s->opts->uids, q->in.uid) == 0) {
		*ret_how = UEXT4_RW_KEEPPRIV;
		return true;
	}
	*ret_how = UEXT4_RW_KILLPRIV;
	return uext4_node_stat(uext4_file_node(h->file), &st) == 0 &&
			!(st.mode & (S_ISUID | S_ISGID));
}

static bool write_it(struct srv *s, const struct quick_req *q,
		struct quick_answer *ret)
{
	struct iovec iov = { q->data, q->len };
	struct fuse_write_in in;
	unsigned how;
	ssize_t n;

	if (q->op_len < sizeof(in))
		return false;
	memcpy(&in, q->op, sizeof(in));
	if (in.size != q->len)
		return false;
	if (in.write_flags & FUSE_WRITE_CACHE)
		n = srv_write_page(s, q->in.nodeid, handle_of(in.fh), &iov,
				in.offset);
	else if (knows_how(s, q, handle_of(in.fh), &how))
		n = srv_write(s, handle_of(in.fh), &iov, in.offset, how);
	else
		return false;
	ret->written = (struct fuse_write_out){ .size = n < 0 ? 0
							      : (uint32_t)n };
	answer(q, ret, n, &ret->written, sizeof(ret->written));
	return true;
}

bool quick_serve(struct srv *s, const struct quick_req *q,
		struct quick_answer *ret)
{
	switch (q->in.opcode) {
	case FUSE_READ:
		return read_it(q, ret);
	case FUSE_WRITE:
		return write_it(s, q, ret);
	default:
		return false;
	}
}
