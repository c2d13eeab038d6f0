/* SPDX-License-Identifier: MIT */
/*
 * Copies to and from a file whose pages are memory (tmpfs, ramfs), through a
 * mapping of it. pread() and pwrite() cost about twice what the copy does, and
 * pwrite() holds the file's lock meanwhile: two writers take turns.
 *
 * States   of a chunk of the file, 2 MiB: cold, with the bytes counted that went
 *          by; looked at, when it has seen as many as it has room for; then
 *          ready, or, if it has a hole, cold again. What is read or written once
 *          is never mapped: that costs more than it saves.
 *
 * Rules    (MC1) Only ready chunks are touched, in which every page is there:
 *                through a mapping, to read a hole is to fill it. Who punches
 *                says so before and afterwards; the chunk is cold then. (What
 *                is punched while its chunk is looked at may be filled again,
 *                with zeroes.)
 *          (MC2) A write is copied by the kernel, page by page
 *                (process_vm_readv, from this process to itself): of a process
 *                that is killed in the middle no sector is half old and half
 *                new. A loop of ours could not promise that. It pays for large
 *                writes out of huge pages, whose pieces the kernel need not look
 *                up one by one; the others are left to pwrite().
 *          (MC3) Pages can be gone: somebody else has cut the file short, a page
 *                could not be swapped in. Of a write the kernel says so; a read
 *                gets SIGBUS, whose handler calls mapcopy_fault(). Both are left
 *                to pread() and pwrite() then, who say what is wrong.
 *          (MC4) Stores do not change the file's mtime. Metadata is not written
 *                so, and its writes do.
 *
 * Locks    None. Any number of threads.
 */
#ifndef UEXT4_BDEV_MAPCOPY_H
#define UEXT4_BDEV_MAPCOPY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mapcopy {
	uint8_t *map;            /* all of the file */
	uint64_t size;           /* of it, in bytes */
	bool read_only;          /* the file is */
	atomic_bool can_write;   /* turns false when the kernel refuses */
	_Atomic uint32_t *chunk; /* states */
};

/* @fd: a file of @size bytes, open for both unless @read_only. -EOPNOTSUPP where
 * its pages are not memory, or it is too large, or somebody else's. */
int mapcopy_open(
		int fd, uint64_t size, bool read_only, struct mapcopy **ret_mc);
/* NULL is fine. */
void mapcopy_close(struct mapcopy *mc);

/* Copy [@pos, @pos + @len) of the file, which lies inside of it. Bytes done from
 * the start; the rest is the caller's: 0 where the chunks are not ready. */
size_t mapcopy_read(struct mapcopy *mc, uint64_t pos, void *buf, size_t len);
/* @buf in huge pages, or it costs more than pwrite(). */
size_t mapcopy_write(
		struct mapcopy *mc, uint64_t pos, const void *buf, size_t len);
/* There may be holes in the range now. */
void mapcopy_punched(struct mapcopy *mc, uint64_t pos, uint64_t len);

/* For a handler of SIGBUS: does not return if this thread was copying. */
void mapcopy_fault(void);

#endif /* UEXT4_BDEV_MAPCOPY_H */
