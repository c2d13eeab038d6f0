/* SPDX-License-Identifier: MIT */
/*
 * A device in RAM, and the memory behind it for DAX.
 *
 * Writes are plain copies: two that overlap in time may mix, as on a disk.
 * There is no cache to flush, and nothing survives the process.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/err.h"
#include "bdev/bdev.h"

struct bdev_mem {
	struct bdev dev;
	uint8_t *mem; /* [const] */
	bool is_own;  /* [const] unmapped at close */
};

static struct bdev_mem *to_mem(struct bdev *dev)
{
	return container_of(dev, struct bdev_mem, dev);
}

static void mem_run(struct bdev_mem *m, const struct bdev_io *io)
{
	uint8_t *at = m->mem + io->pos;
	int i;

	if (io->op == BDEV_ZERO) {
		memset(at, 0, io->len);
		return;
	}
	for (i = 0; i < io->iovcnt; i++) {
		size_t len = io->iov[i].iov_len;

		if (len == 0)
			continue;
		if (io->op == BDEV_READ)
			memcpy(io->iov[i].iov_base, at, len);
		else
			memcpy(at, io->iov[i].iov_base, len);
		at += len;
	}
}

static void mem_submit(struct bdev *dev, struct bdev_io **ios, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		if (ios[i]->op != BDEV_FLUSH && ios[i]->op != BDEV_DISCARD)
			mem_run(to_mem(dev), ios[i]);
		bdev_io_done(ios[i], 0);
	}
}

static int mem_map(
		struct bdev *dev, uint64_t pos, uint64_t len, void **ret_addr)
{
	*ret_addr = to_mem(dev)->mem + pos;
	return 0;
}

static int mem_close(struct bdev *dev)
{
	struct bdev_mem *m = to_mem(dev);

	if (m->is_own)
		munmap(m->mem, dev->geo.size);
	free(m);
	return 0;
}

static const struct bdev_ops mem_ops = {
	.name = "mem",
	.is_copy = true,
	.submit = mem_submit,
	.map = mem_map,
	.close = mem_close,
};

int bdev_mem_open(
		void *mem, uint64_t size, uint32_t flags, struct bdev **ret_dev)
{
	struct bdev_mem *m;

	if (size == 0 || size > PTRDIFF_MAX)
		return -EINVAL;
	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	m->mem = mem;
	if (!mem) {
		/* Pages that nobody touches cost nothing. */
		m->mem = mmap(NULL, size, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
				0);
		m->is_own = true;
	}
	if (m->mem == MAP_FAILED) {
		free(m);
		return -ENOMEM;
	}
	m->dev.ops = &mem_ops;
	m->dev.geo = (struct bdev_geo){
		.size = size,
		.sector = 512,
		.phys = 4096,
		.dio_align = 1,
		.mem_align = 1,
		.read_only = flags & BDEV_OPEN_RDONLY,
		.fua = true,
	};
	*ret_dev = &m->dev;
	return 0;
}
