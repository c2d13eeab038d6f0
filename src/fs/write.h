/* SPDX-License-Identifier: MIT */
/*
 * The write path of a file, under the names that Linux gives its functions:
 *
 *	file_write_iter()		dispatch			file_write.c
 *	  buffered_write_iter()		through the page cache		file_write.c
 *	  dax_write_iter()		by the device's memory		dax_write.c
 *	  dio_write_iter()		direct				dio_write.c
 *	    dio_write_start()		(a queue begins here: queue.c)
 *	      write_checks()		limits, privileges, times	file_write.c
 *	      dio_write_plan()		which lock, what to wait for	dio_plan.c
 *	      claims, places beyond EOF					dio_claim.c
 *	      reserved blocks						dio_rsv.c
 *	      iomap_dio_start()		the engine			iomap/dio.c
 *		iomap_begin()		map_blocks			fs_iomap.c
 *	    dio_finish()		the data is there		dio_end.c
 *	      dio_write_end_batch()	convert, enter, raise sizes
 *	    handle_failed_inode_extension()				extend.c
 *	    dio_write_rest()		buffered, written back and dropped (F1-F3)
 *
 * Rules W, D, M, E, F are those of docs/dio.md.
 */
#ifndef UEXT4_FS_WRITE_H
#define UEXT4_FS_WRITE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/iter.h"
#include "iomap/iomap.h"

struct handle;
struct inode;
struct uext4_file;
struct uext4_fs;

/* ---- dio_plan.c: the decision table (dio.md) as a pure function ---- */

enum dio_range {
	DIO_RANGE_WRITTEN,
	DIO_RANGE_UNWRITTEN,
	DIO_RANGE_MIXED, /* all allocated, in both states */
	DIO_RANGE_HOLE,  /* at least one hole */
};

struct dio_query {
	bool aligned; /* to the file system block, offset and end */
	bool extends; /* beyond isize or dsize */
	bool at_eof;  /* ends in the block that isize ends in, or behind it */
	bool append;  /* the position is chosen under the lock */
	bool gap;     /* begins behind isize, whose block may hold rubbish */
	bool strip;   /* privileges must be stripped */
	bool nowait;
	bool serial; /* the protocol of Linux: dio_extend=serial, and files
			without an unwritten state under dio_alloc=unwritten */
	enum dio_range range;
};

struct dio_plan {
	bool exclusive : 1; /* iolock mode while it is started */
	bool drain : 1;     /* wait for all direct I/O in flight first */
	bool wait : 1;      /* for this request before the lock is released */
	bool claim : 1;     /* its blocks, the partial ones as edges */
	bool again : 1;     /* NOWAIT cannot have that: -EAGAIN */
};

struct dio_plan dio_write_plan(const struct dio_query *q);

/* ---- the path ---- */

/* Write the bytes of @it at @pos. @rwf: UEXT4_RW_*. Bytes or -errno. */
ssize_t file_write_iter(struct uext4_file *file, uint64_t pos,
		struct iov_iter *it, unsigned rwf);
/* *ret_synced: the FUA shortcut (E6) has made a DSYNC write durable. */
ssize_t dio_write_iter(struct uext4_file *file, uint64_t pos,
		struct iov_iter *it, unsigned rwf, bool *ret_synced);
ssize_t buffered_write_iter(struct uext4_file *file, uint64_t pos,
		struct iov_iter *it, unsigned rwf);
/* Of a DAX file, whether it was opened O_DIRECT or not. */
ssize_t dax_write_iter(struct uext4_file *file, uint64_t pos,
		struct iov_iter *it, unsigned rwf);
ssize_t dax_read_iter(struct uext4_file *file, uint64_t pos,
		struct iov_iter *it, unsigned rwf);
/* The rest of a direct write, at an explicit position: append is not applied
 * twice (F1). */
ssize_t buffered_write_at(
		struct uext4_file *file, uint64_t pos, struct iov_iter *it);
ssize_t file_read_iter(struct uext4_file *file, uint64_t pos,
		struct iov_iter *it, unsigned rwf);
/* Does a read, a write of @file go to the device, past the cache? */
bool file_reads_directly(const struct uext4_file *file);
bool file_writes_directly(const struct uext4_file *file);

/* Does the call choose its position itself (W12)? */
bool write_is_append(const struct uext4_file *file, unsigned rwf);
/* Checks under the iolock, with the position chosen, in the order of 1.2:
 * immutable, limits, privileges, times. @exclusive: how the lock is held;
 * -EDEADLK asks for the exclusive one (privileges must be stripped). The
 * iterator's count is the effective one afterwards (W18). 1 to go on, 0 nothing
 * to write, or -errno. */
int write_checks(struct uext4_file *file, uint64_t pos, struct iov_iter *it,
		unsigned rwf, bool exclusive);
/* Must the write be made durable before it is reported? @synced: FUA has done it
 * as far as DSYNC goes. */
bool write_wants_sync(struct uext4_file *file, unsigned rwf, bool synced,
		bool *ret_datasync);
/* Make room after -ENOSPC: write back everything that holds claims, commit what
 * was freed. No lock is held. */
int write_make_room(struct uext4_fs *fs);
/* W15, W16 for other changes of the contents: strip privileges, stamp mtime and
 * ctime. @rwf: UEXT4_RW_KILLPRIV, KEEPPRIV, KILLSGID. iolock exclusive. */
int file_modified(struct uext4_file *file, unsigned rwf);
/* W17: zeroes between isize and the end of its block, on the device, before a
 * write at @pos > isize makes them visible. iolock exclusive, drained. */
int zero_eof_tail(struct inode *inode, uint64_t pos);

/* ---- extend.c ---- */

/* A range whose data is on the device. */
struct converted {
	uint32_t lblk, len;
	uint64_t end; /* of its valid bytes */
	bool grow;    /* isize may be raised to that, else only dsize */
};
/* Turn the unwritten blocks of the range into written ones, in @h, which may be
 * restarted between pieces; then the sizes cover what has been done. */
int convert_unwritten_extents(struct handle *h, struct inode *inode,
		const struct converted *c);
/* isize := max(isize, @end) if @grow, then dsize := max(dsize, min(@end,
 * isize)), in memory; the caller has the inode written in its handle. */
void raise_sizes(struct inode *inode, uint64_t end, bool grow);
/* isize := max(isize, end), dsize := max(dsize, min(end, isize)), in @h. */
int handle_inode_extension(struct handle *h, struct inode *inode, uint64_t end);
/* A failed or short extending write mapped blocks up to byte @mapped_end: free
 * those past isize. iolock exclusive, drained. */
void handle_failed_inode_extension(struct inode *inode, uint64_t mapped_end);
/* The same for what such writes have left, if any have. iolock exclusive,
 * drained. */
void inode_trim_eof(struct inode *inode);
/* The same if nobody is at the file: skipped while it is busy (B17). */
void inode_try_trim_eof(struct inode *inode);

#endif /* UEXT4_FS_WRITE_H */
