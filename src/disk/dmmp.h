/* SPDX-License-Identifier: MIT */
/*
 * The MMP block: who has the file system open for writing (feature mmp).
 *
 * One block that s_mmp_block names; its first 1024 bytes mean something. Who
 * writes the file system counts the sequence up every s_mmp_update_interval
 * seconds; the names are there for people.
 *
 * Rules  (MB1) dmmp_encode() changes bytes of the first 512 only, so that the
 *              write cannot tear: the checksum behind them is kept right by the
 *              last 4 bytes of the node's name, which nobody reads behind its
 *              final zero.
 */
#ifndef UEXT4_DISK_DMMP_H
#define UEXT4_DISK_DMMP_H

#include <stdint.h>

#include "base/err.h"

struct geo;

#define DMMP_SIZE      1024u
#define DMMP_MAGIC     0x004D4D50u
#define DMMP_SEQ_CLEAN 0xFF4D4D50u /* nobody has it open */
#define DMMP_SEQ_FSCK  0xE24D4D50u /* e2fsck is at work */
/* Seconds: others look twice, with more than twice this in between. */
#define DMMP_CHECK_MIN 5u
#define DMMP_CHECK_MAX 300u

#define DMMP_NODE_MAX   59u /* of ours (MB1); the field has room for 63 */
#define DMMP_DEVICE_MAX 31u

struct dmmp {
	uint32_t seq;
	uint64_t time; /* seconds: when it was last written */
	uint16_t check_interval;
	char node[65]; /* zero-terminated and printable here */
	char device[33];
};

/* Magic number and checksum. -UEXT4_ECORRUPT, -UEXT4_EBADCSUM, with a phrase in
 * *ret_why (may be NULL). */
int dmmp_check(const struct geo *geo, const void *raw,
		const char **ret_why) UEXT4_MUST_CHECK;
/* Bytes to fields; any bytes will do. */
void dmmp_decode(const void *raw, struct dmmp *ret_mmp);
/* Fields over the bytes of a block that passed dmmp_check(); the rest stays. */
void dmmp_encode(const struct geo *geo, const struct dmmp *mmp, void *raw);

#endif /* UEXT4_DISK_DMMP_H */
