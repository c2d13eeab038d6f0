/* SPDX-License-Identifier: MIT */
/*
 * Which lock a direct write takes, and for whom it waits: the decision table.
 *
 *   aligned  inside EOF          shared
 *   aligned  extends or appends  exclusive, waits
 *   partial  all written         shared
 *   partial  unwritten or hole   exclusive, drains, waits
 *   partial  extends             exclusive, drains, waits
 *   strip needed                 exclusive
 *
 * An aligned write inside EOF is shared whatever is mapped there: truncate and
 * punch take the lock exclusively and drain, allocation is serialised by
 * map_lock, and new blocks inside EOF are unwritten. A partial block that must
 * be zero-filled has one writer at a time (dio.md I9, B11-B13).
 */
#include "fs/write.h"

struct dio_plan dio_write_plan(const struct dio_query *q)
{
	struct dio_plan p = { 0 };
	bool extends = q->extends || q->append;
	bool fills = !q->aligned && (extends || q->range != DIO_RANGE_WRITTEN);

	p.exclusive = extends || fills || q->strip;
	p.drain = fills;
	p.wait = extends || fills;
	p.again = q->nowait && p.exclusive;
	return p;
}
