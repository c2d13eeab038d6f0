/* SPDX-License-Identifier: MIT */
/* Answers about holes: see sparse.h. */
#include "sparse.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define LOOKED_AT (4 << 20) /* beyond that it is believed */
#define PIECE     4096

bool sparse_is_seek(const struct dop *op)
{
	return op->kind == DOP_seek &&
			(op->n[1] == SEEK_DATA || op->n[1] == SEEK_HOLE);
}

static bool is_zeros(int fd, int64_t from, int64_t to)
{
	uint8_t buf[PIECE];
	ssize_t n, i;

	if (to - from > LOOKED_AT)
		to = from + LOOKED_AT;
	while (from < to) {
		n = pread(fd, buf,
				to - from < PIECE ? (size_t)(to - from) : PIECE,
				from);
		if (n <= 0)
			return n == 0;
		for (i = 0; i < n; i++) {
			if (buf[i] != 0)
				return false;
		}
		from += n;
	}
	return true;
}

/* The answer as a position: no more data is the end. */
static int64_t answer(const struct outcome *o, int64_t end)
{
	if (o->err == ENXIO)
		return end;
	return o->err == 0 && o->n > 0 ? (int64_t)o->f[0].value : -1;
}

static int64_t hole_end(int fd, int64_t at)
{
	int64_t next = lseek(fd, at, SEEK_DATA);

	return next < 0 ? lseek(fd, 0, SEEK_END) : next;
}

bool sparse_is_closer(const struct side *b, const struct dop *op,
		const struct outcome *oa, const struct outcome *ob)
{
	char number[16];
	int64_t at_a, at_b, end;
	bool closer = false;
	int fd;

	(void)snprintf(number, sizeof(number), "%d", side_fd(b, op->h));
	fd = openat(side_proc(), number,
			O_RDONLY | O_NONBLOCK | O_NOATIME | O_CLOEXEC);
	if (fd < 0)
		return false;
	end = lseek(fd, 0, SEEK_END);
	at_a = answer(oa, end);
	at_b = answer(ob, end);
	if (at_a >= 0 && at_b >= 0) {
		if (op->n[1] == SEEK_DATA)
			closer = at_a < at_b && is_zeros(fd, op->n[0], at_b);
		else
			closer = at_a > at_b &&
					is_zeros(fd, at_b, hole_end(fd, at_b));
	}
	(void)close(fd);
	return closer;
}
