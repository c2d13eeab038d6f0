/* SPDX-License-Identifier: MIT */
/*
 * Which lock a direct write takes, for whom it waits, and what it claims: the
 * decision table.
 *
 *	side by side (dio_extend=parallel)
 *	  aligned  inside EOF, written       shared
 *	  aligned  inside EOF, other         shared, claims
 *	  aligned  extends or appends        shared, claims
 *	  partial  inside EOF, all written   shared; claims if it ends where isize
 *					     does, for it pads that block
 *	  partial  else                      shared, claims with edges
 *	  any      strip needed              exclusive while it is started
 *	  any      gap behind a dirty tail   exclusive while it is started, drains
 *
 *	one at a time (serial: as Linux does it)
 *	  aligned  inside EOF                shared
 *	  aligned  extends or appends        exclusive, waits
 *	  partial  all written               shared
 *	  partial  unwritten or hole         exclusive, drains, waits
 *	  partial  extends                   exclusive, drains, waits
 *	  any      strip needed              exclusive
 *
 * An aligned write inside EOF is shared whatever is mapped there: truncate and
 * punch take the lock exclusively and drain, allocation is serialised by
 * map_lock, and new blocks read as zeroes until their data is there. What makes
 * extension shared, too, stands in docs/locking.md.
 */
#include "fs/write.h"

static struct dio_plan plan_serial(
		const struct dio_query *q, bool extends, bool fills)
{
	return (struct dio_plan){
		.exclusive = extends || fills || q->strip || q->gap,
		.drain = fills || q->gap,
		.wait = extends || fills,
	};
}

static struct dio_plan plan_parallel(
		const struct dio_query *q, bool extends, bool fills)
{
	return (struct dio_plan){
		.exclusive = q->strip || q->gap,
		.drain = q->gap,
		.claim = extends || fills || q->range != DIO_RANGE_WRITTEN ||
				(!q->aligned && q->at_eof),
	};
}

struct dio_plan dio_write_plan(const struct dio_query *q)
{
	bool extends = q->extends || q->append;
	bool fills = !q->aligned && (extends || q->range != DIO_RANGE_WRITTEN);
	struct dio_plan p;

	p = q->serial ? plan_serial(q, extends, fills)
		      : plan_parallel(q, extends, fills);
	p.again = q->nowait &&
			(p.exclusive || extends || fills ||
					q->range != DIO_RANGE_WRITTEN);
	return p;
}
