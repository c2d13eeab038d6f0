/* SPDX-License-Identifier: MIT */
/*
 * Orphan file blocks. Layout by the kernel's documentation, ext4/orphan.rst;
 * what the checksum takes in was found on images made by mke2fs.
 */
#include "disk/dorphan.h"

#include <string.h>

#include "base/csum.h"
#include "base/le.h"
#include "disk/geo.h"

static uint32_t tail_offset(const struct geo *geo)
{
	return geo->block_size - DORPHAN_TAIL_LEN;
}

uint32_t dorphan_slots(const struct geo *geo)
{
	return tail_offset(geo) / 4;
}

inum_t dorphan_get(const void *block, uint32_t slot)
{
	return get_le32((const uint8_t *)block + (size_t)slot * 4);
}

void dorphan_put(void *block, uint32_t slot, inum_t inum)
{
	put_le32((uint8_t *)block + (size_t)slot * 4, inum);
}

void dorphan_init(const struct geo *geo, void *block)
{
	uint8_t *p = (uint8_t *)block;

	memset(p, 0, geo->block_size);
	put_le32(p + tail_offset(geo), DORPHAN_MAGIC);
}

int dorphan_check(
		const struct geo *geo, const void *block, const char **ret_why)
{
	const char *why = NULL;

	if (get_le32((const uint8_t *)block + tail_offset(geo)) !=
			DORPHAN_MAGIC)
		why = "orphan block without its magic number";
	for (uint32_t i = 0; !why && i < dorphan_slots(geo); i++) {
		inum_t inum = dorphan_get(block, i);

		if (inum != 0 && (inum < geo->first_ino || inum > geo->inodes))
			why = "orphan's inode out of range";
	}
	if (!why)
		return 0;
	if (ret_why)
		*ret_why = why;
	return -UEXT4_ECORRUPT;
}

static uint32_t dorphan_csum(const struct geo *geo, uint32_t seed, pblk_t pblk,
		const void *block)
{
	return crc32c(crc32c_le64(seed, pblk), block, tail_offset(geo));
}

int dorphan_csum_verify(const struct geo *geo, uint32_t seed, pblk_t pblk,
		const void *block)
{
	const uint8_t *tail = (const uint8_t *)block + tail_offset(geo);

	if (!geo_has_csum(geo))
		return 0;
	if (dorphan_csum(geo, seed, pblk, block) != get_le32(tail + 4))
		return -UEXT4_EBADCSUM;
	return 0;
}

void dorphan_csum_set(
		const struct geo *geo, uint32_t seed, pblk_t pblk, void *block)
{
	if (geo_has_csum(geo))
		put_le32((uint8_t *)block + tail_offset(geo) + 4,
				dorphan_csum(geo, seed, pblk, block));
}
