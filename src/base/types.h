/* SPDX-License-Identifier: MIT */
/*
 * The scalar words of the project: a name says what is counted.
 *
 * Bytes are size_t, off_t or uint64_t and are called pos, len, off.
 * Widen before you multiply: (uint64_t)lblk << block_bits.
 */
#ifndef UEXT4_BASE_TYPES_H
#define UEXT4_BASE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint32_t lblk_t; /* block number inside a file */
typedef uint64_t pblk_t; /* block number on the device */
typedef uint32_t inum_t; /* inode number, 0 is none */
typedef uint32_t grp_t;  /* block group number */
typedef uint32_t txid_t; /* journal transaction id, compare with txid_* */

/* Is transaction @a older than @b? Ids wrap. */
static inline bool txid_is_before(txid_t a, txid_t b)
{
	return (int32_t)(a - b) < 0;
}

#endif /* UEXT4_BASE_TYPES_H */
