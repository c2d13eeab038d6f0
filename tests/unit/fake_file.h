/* SPDX-License-Identifier: MIT */
/*
 * A file for the tests of file I/O: a mapping that is an array, over a device
 * that is full of poison.
 *
 * Each block of the file is a hole, unwritten or mapped. A free block of the
 * device holds FAKE_POISON in every byte, so whatever was not written through
 * the file shows. The fake is strict:
 *   - claims and reservations must balance, and stay within the free blocks;
 *   - write-back of a page without a claim finds a block, or the test ends;
 *   - no call is made under a lock that a file system could not allow;
 *   - of a block that a DAX write enters or converts no byte is poison.
 *
 * The operations of a file system that are more than one call of the I/O floor
 * (a write beyond the size, truncate, punch) are here too, with the locks they
 * need.
 */
#ifndef UEXT4_TESTS_UNIT_FAKE_FILE_H
#define UEXT4_TESTS_UNIT_FAKE_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/lock.h"
#include "bdev/bdev.h"
#include "iomap/iomap.h"

#define FAKE_POISON 0xa5

/* Ends the test program in any thread, in release builds too. */
#define CHECK(cond)                                                            \
 do {                                                                          \
  if (!(cond)) {                                                               \
   (void)fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);            \
   abort();                                                                    \
  }                                                                            \
 } while (0)

struct fake_file {
	struct iomap_file file;
	struct bdev *dev;
	struct page_pool *pool;
	struct iomap_ops ops;
	struct rwsem iolock;
	struct mutex lock; /* of all below */
	uint32_t bits;     /* block size */
	uint32_t nblk;     /* longest file */
	uint32_t ndev;     /* blocks of the device */
	uint8_t *state;    /* enum iomap_type by file block */
	uint32_t *place;   /* device block by file block */
	bool *used;        /* by device block */
	uint32_t nfree;    /* not used and not reserved */
	uint32_t nclaims;
	uint32_t cursor;   /* where to look for space */
	uint32_t max_run;  /* blocks of one answer, 0: any */
	uint64_t dsize;    /* size "on disk" */
	bool no_unwritten; /* like an indirect file: -ENOTBLK in holes */
	bool dirty;        /* begin() says IOMAP_F_DIRTY */
	uint32_t stale;    /* so many times -ESTALE */
	int end_err;       /* of writeback_end() or a DAX end(), once */
	/* What was asked. */
	uint32_t nbegin;
	uint32_t nclaim_calls;
	uint32_t nwb_map;
	uint32_t nend_io;
	uint64_t max_asked; /* longest begin(), bytes */
	uint32_t last_end_io_flags;
	int last_end_io_err;
};

struct fake_dio_ops {
	/* The data of [pos, pos+done) is on the device, or @err: convert, raise
	 * sizes. Its error becomes the request's. */
	int (*end_io)(struct iomap_file *f, uint64_t pos, uint64_t done,
			int err, uint32_t flags);
};

struct fake_dio_result {
	bool need_sync;      /* DSYNC was asked and FUA did not cover it (E6) */
	uint64_t mapped_end; /* end of what begin() mapped, in whole blocks */
};

extern const struct fake_dio_ops fake_dio_ops;

/* The steps of a direct request, by one thread that waits. Bytes (>= 0), by
 * which @it is advanced, or -errno. */
ssize_t fake_dio_rw(struct iomap_file *f, uint64_t pos, struct iov_iter *it,
		bool write, const struct fake_dio_ops *dops, uint32_t flags,
		struct fake_dio_result *ret);

/* @dev becomes the fake's; all of it is poisoned. @pool_bytes bound the pages. */
struct fake_file *fake_new(struct bdev *dev, uint32_t bits, uint32_t nblk,
		size_t pool_bytes);
/* Checks that nothing leaked. */
void fake_free(struct fake_file *ff);

/* The state of a file block, and of the claims when nothing is cached. */
enum iomap_type fake_state(struct fake_file *ff, uint32_t lblk);
/* Give [@lblk, @lblk + @n) blocks in state @type; written ones of zeroes. */
void fake_preset(struct fake_file *ff, uint32_t lblk, uint32_t n,
		enum iomap_type type);
void fake_raise_size(struct iomap_file *f, uint64_t end);
/* From now on a DAX file: nothing of it may be cached. */
void fake_set_dax(struct fake_file *ff);

/* As a file system does them, with their locks. Bytes or -errno. */
ssize_t fake_write(struct fake_file *ff, uint64_t pos, const void *buf,
		size_t len);
ssize_t fake_write_direct(struct fake_file *ff, uint64_t pos, const void *buf,
		size_t len, uint32_t flags);
ssize_t fake_read(struct fake_file *ff, uint64_t pos, void *buf, size_t len);
ssize_t fake_read_direct(
		struct fake_file *ff, uint64_t pos, void *buf, size_t len);
ssize_t fake_write_dax(struct fake_file *ff, uint64_t pos, const void *buf,
		size_t len);
ssize_t fake_read_dax(
		struct fake_file *ff, uint64_t pos, void *buf, size_t len);
int fake_truncate(struct fake_file *ff, uint64_t size);
int fake_punch(struct fake_file *ff, uint64_t pos, uint64_t len);
int fake_zero(struct fake_file *ff, uint64_t pos, uint64_t len);

/* What a reader would see after a power cut that lost nothing written: byte by
 * byte from the mapping and the device, the cache not asked. */
void fake_read_disk(
		struct fake_file *ff, uint64_t pos, uint8_t *buf, size_t len);

#endif /* UEXT4_TESTS_UNIT_FAKE_FILE_H */
