/* SPDX-License-Identifier: MIT */
/*
 * The hashes that order names in hashed directories.
 *
 * The version on disk (in dx_root and s_def_hash_version) is 0, 1 or 2; names
 * are hashed as signed or unsigned chars as the superblock's flags say. The
 * lowest bit of a hash is always 0: htree nodes use it as a mark.
 */
#ifndef UEXT4_DISK_DHASH_H
#define UEXT4_DISK_DHASH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct geo;

#define DHASH_LEGACY            0u
#define DHASH_HALF_MD4          1u
#define DHASH_TEA               2u
#define DHASH_LEGACY_UNSIGNED   3u
#define DHASH_HALF_MD4_UNSIGNED 4u
#define DHASH_TEA_UNSIGNED      5u
#define DHASH_SIPHASH           6u /* encrypted and casefolded: not ours */

/* Hashes at and above this mean "end of directory" as a position. */
#define DHASH_EOF 0x7fffffffu

struct dhash {
	uint32_t major; /* orders the tree; bit 0 clear */
	uint32_t minor; /* tells equal ones apart in readdir cookies */
};

/* Hash @name with @version (0..5, as it stands: unsigned variants spelled
 * out) and @seed; a seed of all zeros means the standard one. -EINVAL for a
 * version that we do not have. */
int dhash_name(uint8_t version, const uint32_t seed[4], const char *name,
		uint32_t len, struct dhash *ret_hash) UEXT4_MUST_CHECK;
/* The same with the file system's seed and signedness; @version as on disk. */
int dhash_dir(const struct geo *geo, uint8_t version, const char *name,
		uint32_t len, struct dhash *ret_hash) UEXT4_MUST_CHECK;

#endif /* UEXT4_DISK_DHASH_H */
