/* SPDX-License-Identifier: MIT */
/*
 * Extent tree nodes: header, leaves, indexes, and their checks.
 *
 * Offsets and limits are those of the kernel's documentation, ext4/ifork.rst.
 */
#include "disk/dextent.h"

#include <assert.h>
#include <string.h>

#include "base/csum.h"
#include "base/le.h"
#include "disk/geo.h"

#define OFF_MAGIC      0u
#define OFF_ENTRIES    2u
#define OFF_MAX        4u
#define OFF_DEPTH      6u
#define OFF_GENERATION 8u

#define UNWRITTEN_BASE 32768u

static const uint8_t *entry_at(const void *node, unsigned i)
{
	return (const uint8_t *)node + DEXT_HDR_SIZE +
			(size_t)i * DEXT_ENTRY_SIZE;
}

static uint8_t *entry_of(void *node, unsigned i)
{
	return (uint8_t *)node + DEXT_HDR_SIZE + (size_t)i * DEXT_ENTRY_SIZE;
}

void dext_hdr_decode(const void *node, struct dext_hdr *ret_hdr)
{
	const uint8_t *p = (const uint8_t *)node;

	ret_hdr->magic = get_le16(p + OFF_MAGIC);
	ret_hdr->entries = get_le16(p + OFF_ENTRIES);
	ret_hdr->max = get_le16(p + OFF_MAX);
	ret_hdr->depth = get_le16(p + OFF_DEPTH);
	ret_hdr->generation = get_le32(p + OFF_GENERATION);
}

void dext_hdr_encode(void *node, const struct dext_hdr *hdr)
{
	uint8_t *p = (uint8_t *)node;

	put_le16(p + OFF_MAGIC, hdr->magic);
	put_le16(p + OFF_ENTRIES, hdr->entries);
	put_le16(p + OFF_MAX, hdr->max);
	put_le16(p + OFF_DEPTH, hdr->depth);
	put_le32(p + OFF_GENERATION, hdr->generation);
}

void dext_leaf_decode(const void *node, unsigned i, struct dext_leaf *ret_leaf)
{
	const uint8_t *p = entry_at(node, i);
	uint32_t len = get_le16(p + 4);

	ret_leaf->lblk = get_le32(p);
	ret_leaf->unwritten = len > UNWRITTEN_BASE;
	ret_leaf->len = ret_leaf->unwritten ? len - UNWRITTEN_BASE : len;
	ret_leaf->pblk = get_le32(p + 8) | (pblk_t)get_le16(p + 6) << 32;
}

void dext_leaf_encode(void *node, unsigned i, const struct dext_leaf *leaf)
{
	uint8_t *p = entry_of(node, i);
	uint32_t len = leaf->unwritten ? leaf->len + UNWRITTEN_BASE : leaf->len;

	assert(leaf->len >= 1);
	assert(leaf->len <=
			(leaf->unwritten ? DEXT_LEN_UNWRITTEN : DEXT_LEN_MAX));
	put_le32(p, leaf->lblk);
	put_le16(p + 4, (uint16_t)len);
	put_le16(p + 6, (uint16_t)(leaf->pblk >> 32));
	put_le32(p + 8, (uint32_t)leaf->pblk);
}

void dext_idx_decode(const void *node, unsigned i, struct dext_idx *ret_idx)
{
	const uint8_t *p = entry_at(node, i);

	ret_idx->lblk = get_le32(p);
	ret_idx->pblk = get_le32(p + 4) | (pblk_t)get_le16(p + 8) << 32;
}

void dext_idx_encode(void *node, unsigned i, const struct dext_idx *idx)
{
	uint8_t *p = entry_of(node, i);

	put_le32(p, idx->lblk);
	put_le32(p + 4, (uint32_t)idx->pblk);
	put_le16(p + 8, (uint16_t)(idx->pblk >> 32));
	put_le16(p + 10, 0);
}

unsigned dext_entries(const void *node)
{
	return get_le16((const uint8_t *)node + OFF_ENTRIES);
}

void dext_set_entries(void *node, unsigned n)
{
	assert(n <= UINT16_MAX);
	put_le16((uint8_t *)node + OFF_ENTRIES, (uint16_t)n);
}

unsigned dext_depth(const void *node)
{
	return get_le16((const uint8_t *)node + OFF_DEPTH);
}

unsigned dext_max_entries(const struct geo *geo, uint32_t size)
{
	/* In a block of 2^n bytes at least 4 are left over: the tail's. */
	(void)geo;
	return (size - DEXT_HDR_SIZE) / DEXT_ENTRY_SIZE;
}

void dext_init(const struct geo *geo, void *node, uint32_t size, unsigned depth)
{
	struct dext_hdr hdr = {
		.magic = DEXT_MAGIC,
		.max = (uint16_t)dext_max_entries(geo, size),
		.depth = (uint16_t)depth,
	};

	memset(node, 0, size);
	dext_hdr_encode(node, &hdr);
}

/* ---- check ---- */

static int bad(const char **ret_why, const char *why)
{
	if (ret_why)
		*ret_why = why;
	return -UEXT4_ECORRUPT;
}

static int check_hdr(const struct geo *geo, const struct dext_hdr *hdr,
		uint32_t size, const struct dext_bounds *bounds,
		const char **ret_why)
{
	if (hdr->magic != DEXT_MAGIC)
		return bad(ret_why, "extent node without its magic number");
	if (bounds->depth == DEXT_ANY_DEPTH && hdr->depth > DEXT_DEPTH_MAX)
		return bad(ret_why, "extent tree too deep");
	if (bounds->depth != DEXT_ANY_DEPTH && hdr->depth != bounds->depth)
		return bad(ret_why, "extent node of the wrong depth");
	if (hdr->max == 0 || hdr->max > dext_max_entries(geo, size))
		return bad(ret_why, "extent node's max out of range");
	if (hdr->entries > hdr->max)
		return bad(ret_why, "extent node has more entries than max");
	if (hdr->entries == 0 && hdr->depth > 0)
		return bad(ret_why, "empty extent index");
	return 0;
}

/* Block numbers at or below the superblock's are nobody's data. */
static bool dext_range_ok(const struct geo *geo, pblk_t pblk, uint32_t len)
{
	return pblk > geo->first_data_block && geo_range_ok(geo, pblk, len);
}

static int check_leaves(const struct geo *geo, const void *node, unsigned n,
		const struct dext_bounds *bounds, const char **ret_why)
{
	uint64_t next = bounds->lo;

	for (unsigned i = 0; i < n; i++) {
		struct dext_leaf e;

		dext_leaf_decode(node, i, &e);
		if (e.len == 0)
			return bad(ret_why, "extent of no blocks");
		if (e.lblk < next)
			return bad(ret_why, "extents out of order");
		next = (uint64_t)e.lblk + e.len;
		if (next > bounds->hi)
			return bad(ret_why, "extent past its bounds");
		if (!dext_range_ok(geo, e.pblk, e.len))
			return bad(ret_why, "extent off the file system");
	}
	return 0;
}

static int check_indexes(const struct geo *geo, const void *node, unsigned n,
		const struct dext_bounds *bounds, const char **ret_why)
{
	uint64_t next = bounds->lo;

	for (unsigned i = 0; i < n; i++) {
		struct dext_idx e;

		dext_idx_decode(node, i, &e);
		if (e.lblk < next)
			return bad(ret_why, "extent indexes out of order");
		next = (uint64_t)e.lblk + 1;
		if (next > bounds->hi)
			return bad(ret_why, "extent index past its bounds");
		if (!dext_range_ok(geo, e.pblk, 1))
			return bad(ret_why, "extent index off the file system");
	}
	return 0;
}

int dext_check(const struct geo *geo, const void *node, uint32_t size,
		const struct dext_bounds *bounds, const char **ret_why)
{
	struct dext_hdr hdr;
	int ret;

	dext_hdr_decode(node, &hdr);
	ret = check_hdr(geo, &hdr, size, bounds, ret_why);
	if (ret < 0)
		return ret;
	if (hdr.depth == 0)
		return check_leaves(geo, node, hdr.entries, bounds, ret_why);
	return check_indexes(geo, node, hdr.entries, bounds, ret_why);
}

int dext_search(const void *node, lblk_t lblk)
{
	unsigned lo = 0;
	unsigned hi = dext_entries(node);

	/* Entries below lo are <= lblk, those from hi on are above. */
	while (lo < hi) {
		unsigned mid = lo + (hi - lo) / 2;

		/* Leaves and indexes both begin with their lblk. */
		if (get_le32(entry_at(node, mid)) <= lblk)
			lo = mid + 1;
		else
			hi = mid;
	}
	return (int)lo - 1;
}

/* ---- checksum ---- */

/* Where the tail of a block stands; false if it would not fit. */
static bool tail_offset(
		const struct geo *geo, const void *block, uint32_t *ret_off)
{
	uint32_t max = get_le16((const uint8_t *)block + OFF_MAX);
	uint32_t off = DEXT_HDR_SIZE + max * DEXT_ENTRY_SIZE;

	if (off + DEXT_TAIL_SIZE > geo->block_size)
		return false;
	*ret_off = off;
	return true;
}

int dext_csum_verify(const struct geo *geo, uint32_t seed, const void *block)
{
	uint32_t off;

	if (!geo_has_csum(geo))
		return 0;
	if (!tail_offset(geo, block, &off))
		return -UEXT4_EBADCSUM;
	if (crc32c(seed, block, off) != get_le32((const uint8_t *)block + off))
		return -UEXT4_EBADCSUM;
	return 0;
}

void dext_csum_set(const struct geo *geo, uint32_t seed, void *block)
{
	uint32_t off;

	if (!geo_has_csum(geo))
		return;
	if (tail_offset(geo, block, &off))
		put_le32((uint8_t *)block + off, crc32c(seed, block, off));
}
