/* SPDX-License-Identifier: MIT */
/* Writes taken through a pipe. See piper.h. */
#include "fuse/piper.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "fuse/srv.h"

#define PAGE   4096u
/* A pipe of so many bytes has that many pages for references. More than this is
 * for who has CAP_SYS_RESOURCE. */
#define LARGER (2u << 20)
#define LARGE  (1u << 20)
/* The head of a write, which comes in a page of its own. */
#define HEAD   (sizeof(struct fuse_in_header) + sizeof(struct fuse_write_in))
/* What costs less to copy than to refer to. */
#define SMALL  65536u
/* So many requests after a large write are taken by way of the pipe. */
#define EXPECT 8u

int piper_open(struct piper *p)
{
	int fd[2];

	*p = (struct piper){ .rd = -1, .wr = -1 };
	/* Nothing that is in it is waited for. */
	if (pipe2(fd, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	if (fcntl(fd[1], F_SETPIPE_SZ, LARGER) < 0 &&
			fcntl(fd[1], F_SETPIPE_SZ, LARGE) < 0) {
		(void)close(fd[0]);
		(void)close(fd[1]);
		return -EPERM;
	}
	p->rd = fd[0];
	p->wr = fd[1];
	p->size = (size_t)fcntl(fd[0], F_GETPIPE_SZ);
	return 0;
}

void piper_close(struct piper *p)
{
	if (p->rd < 0)
		return;
	(void)close(p->rd);
	(void)close(p->wr);
	p->rd = p->wr = -1;
}

size_t piper_data_max(const struct piper *p)
{
	size_t max = p->size - PAGE;

	return max < SRV_DATA_MAX ? max : SRV_DATA_MAX;
}

void piper_expect(struct piper *p)
{
	if (p->rd >= 0)
		p->expect = EXPECT;
}

int piper_fetch(struct piper *p, void *buf, size_t n)
{
	char *to = buf;
	ssize_t got;

	while (n > 0) {
		got = read(p->rd, to, n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			got = got < 0 ? -errno : -EIO;
			piper_drop(p);
			return (int)got;
		}
		to += got;
		n -= (size_t)got;
		p->left -= (size_t)got;
	}
	return 0;
}

size_t piper_rest(const struct piper *p)
{
	int n = 0;

	return ioctl(p->rd, FIONREAD, &n) < 0 || n < 0 ? 0 : (size_t)n;
}

void piper_drop(struct piper *p)
{
	char sink[PAGE];

	while (read(p->rd, sink, sizeof(sink)) > 0)
		;
	p->left = 0;
}

ssize_t piper_read(struct piper *p, int fd, void *buf, size_t len)
{
	struct fuse_in_header in;
	ssize_t n;
	int ret;

	p->expect--;
	n = splice(fd, NULL, p->wr, NULL, len < p->size ? len : p->size, 0);
	if (n <= 0)
		return n;
	p->left = (size_t)n;
	ret = piper_fetch(p, buf, p->left < HEAD ? p->left : HEAD);
	if (ret == 0 && p->left > 0) {
		memcpy(&in, buf, sizeof(in));
		if (in.opcode != FUSE_WRITE || p->left < SMALL)
			ret = piper_fetch(p, (char *)buf + HEAD, p->left);
	}
	if (ret == 0)
		return n;
	errno = -ret;
	return -1;
}
