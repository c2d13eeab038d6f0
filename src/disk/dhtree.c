/* SPDX-License-Identifier: MIT */
/*
 * htree nodes: codec, search, checks, checksum.
 *
 * Layout by the kernel's documentation, ext4/directory.rst.
 */
#include "disk/dhtree.h"

#include <assert.h>
#include <string.h>

#include "base/csum.h"
#include "base/le.h"
#include "disk/dhash.h"
#include "disk/dirent.h"
#include "disk/geo.h"

#define OFF_DOTDOT 12u
#define OFF_INFO   24u
#define INFO_LEN   8u

void dx_root_info_decode(const void *block, struct dx_root_info *ret_info)
{
	const uint8_t *p = (const uint8_t *)block + OFF_INFO + 4;

	ret_info->hash_version = p[0];
	ret_info->info_length = p[1];
	ret_info->indirect_levels = p[2];
	ret_info->unused_flags = p[3];
}

void dx_root_info_encode(void *block, const struct dx_root_info *info)
{
	uint8_t *p = (uint8_t *)block + OFF_INFO + 4;

	p[0] = info->hash_version;
	p[1] = info->info_length;
	p[2] = info->indirect_levels;
	p[3] = info->unused_flags;
}

unsigned dx_levels_max(const struct geo *geo)
{
	return geo_has_incompat(geo, FI_LARGEDIR) ? DX_LEVELS_MAX
						  : DX_LEVELS_MAX - 1;
}

unsigned dx_limit_max(const struct geo *geo, bool is_root)
{
	uint32_t room = geo->block_size - (is_root ? DX_ROOT_OFF : DX_NODE_OFF);

	if (geo_has_csum(geo))
		room -= DX_TAIL_LEN;
	return room / DX_ENTRY_LEN;
}

/* ---- entries ---- */

unsigned dx_limit(const void *block, uint32_t off)
{
	return get_le16((const uint8_t *)block + off);
}

unsigned dx_count(const void *block, uint32_t off)
{
	return get_le16((const uint8_t *)block + off + 2);
}

void dx_set_count(void *block, uint32_t off, unsigned count)
{
	assert(count <= dx_limit(block, off));
	put_le16((uint8_t *)block + off + 2, (uint16_t)count);
}

void dx_entry_decode(const void *block, uint32_t off, unsigned i,
		struct dx_entry *ret_e)
{
	const uint8_t *p =
			(const uint8_t *)block + off + (size_t)i * DX_ENTRY_LEN;

	ret_e->hash = i == 0 ? 0 : get_le32(p);
	ret_e->block = get_le32(p + 4);
}

void dx_entry_encode(
		void *block, uint32_t off, unsigned i, const struct dx_entry *e)
{
	uint8_t *p = (uint8_t *)block + off + (size_t)i * DX_ENTRY_LEN;

	/* Limit and count stand where entry 0's hash would. */
	if (i > 0)
		put_le32(p, e->hash);
	put_le32(p + 4, e->block);
}

void dx_entry_insert(
		void *block, uint32_t off, unsigned i, const struct dx_entry *e)
{
	uint8_t *p = (uint8_t *)block + off + (size_t)i * DX_ENTRY_LEN;
	unsigned count = dx_count(block, off);

	assert(i >= 1 && i <= count && count < dx_limit(block, off));
	memmove(p + DX_ENTRY_LEN, p, (size_t)(count - i) * DX_ENTRY_LEN);
	dx_entry_encode(block, off, i, e);
	dx_set_count(block, off, count + 1);
}

unsigned dx_search(const void *block, uint32_t off, uint32_t hash)
{
	unsigned lo = 1;
	unsigned hi = dx_count(block, off);

	/* Entries below lo begin at or below the hash, those from hi above. */
	while (lo < hi) {
		unsigned mid = lo + (hi - lo) / 2;
		struct dx_entry e;

		dx_entry_decode(block, off, mid, &e);
		if (e.hash <= hash)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo - 1;
}

/* ---- new nodes ---- */

static void node_start(
		const struct geo *geo, uint8_t *p, uint32_t off, lblk_t child)
{
	struct dx_entry e = { .block = child };

	put_le16(p + off, (uint16_t)dx_limit_max(geo, off == DX_ROOT_OFF));
	put_le16(p + off + 2, 1);
	dx_entry_encode(p, off, 0, &e);
}

void dx_root_init(const struct geo *geo, void *block, inum_t self,
		inum_t parent, uint8_t hash_version, lblk_t child)
{
	struct dx_root_info info = {
		.hash_version = hash_version,
		.info_length = INFO_LEN,
	};

	memset(block, 0, geo->block_size);
	dirent_put_dots(geo, block, self, parent, geo->block_size);
	dx_root_info_encode(block, &info);
	node_start(geo, (uint8_t *)block, DX_ROOT_OFF, child);
}

void dx_node_init(const struct geo *geo, void *block)
{
	uint8_t *p = (uint8_t *)block;

	memset(p, 0, geo->block_size);
	put_le16(p + 4, dirent_rec_len_encode(geo, geo->block_size));
	node_start(geo, p, DX_NODE_OFF, 0);
}

/* ---- checks ---- */

static int bad(const char **ret_why, const char *why)
{
	if (ret_why)
		*ret_why = why;
	return -UEXT4_ECORRUPT;
}

static int unsupported(const char **ret_why, const char *why)
{
	if (ret_why)
		*ret_why = why;
	return -EOPNOTSUPP;
}

static int check_entries(const struct geo *geo, const void *block, uint32_t off,
		lblk_t dir_blocks, const char **ret_why)
{
	unsigned count = dx_count(block, off);
	uint32_t last = 0;

	if (dx_limit(block, off) != dx_limit_max(geo, off == DX_ROOT_OFF))
		return bad(ret_why, "htree node's limit is not what fits");
	if (count == 0 || count > dx_limit(block, off))
		return bad(ret_why, "htree node's count out of range");
	for (unsigned i = 0; i < count; i++) {
		struct dx_entry e;

		dx_entry_decode(block, off, i, &e);
		if (e.block == 0 || e.block >= dir_blocks)
			return bad(ret_why, "htree entry's block out of range");
		if (i > 1 && e.hash < last)
			return bad(ret_why, "htree entries out of order");
		last = e.hash;
	}
	return 0;
}

int dx_root_check(const struct geo *geo, const void *block, lblk_t dir_blocks,
		const char **ret_why)
{
	struct dx_root_info info;
	struct ddirent de;
	int ret;

	ret = dirent_at(geo, block, 0, &de, ret_why);
	if (ret < 0)
		return ret;
	if (de.rec_len != OFF_DOTDOT || de.name_len != 1 || de.name[0] != '.')
		return bad(ret_why, "htree root without \".\"");
	ret = dirent_at(geo, block, OFF_DOTDOT, &de, ret_why);
	if (ret < 0)
		return ret;
	if (de.rec_len != geo->block_size - OFF_DOTDOT || de.name_len != 2 ||
			memcmp(de.name, "..", 2) != 0)
		return bad(ret_why, "htree root without \"..\"");

	dx_root_info_decode(block, &info);
	if (info.info_length != INFO_LEN ||
			get_le32((const uint8_t *)block + OFF_INFO) != 0)
		return bad(ret_why, "htree root's info is not one");
	if (info.unused_flags & 1)
		return unsupported(ret_why, "htree flags are not known");
	if (info.hash_version > DHASH_TEA_UNSIGNED)
		return unsupported(ret_why, "htree hash is not known");
	if (info.indirect_levels >= dx_levels_max(geo))
		return unsupported(ret_why, "htree has too many levels");
	return check_entries(geo, block, DX_ROOT_OFF, dir_blocks, ret_why);
}

bool dx_is_node(const struct geo *geo, const void *block)
{
	const uint8_t *p = (const uint8_t *)block;

	return get_le32(p) == 0 &&
			dirent_rec_len_decode(geo, get_le16(p + 4)) ==
			geo->block_size;
}

int dx_node_check(const struct geo *geo, const void *block, lblk_t dir_blocks,
		const char **ret_why)
{
	if (!dx_is_node(geo, block))
		return bad(ret_why, "htree node does not look like one");
	return check_entries(geo, block, DX_NODE_OFF, dir_blocks, ret_why);
}

/* ---- checksum ---- */

/* The entries in use, then the tail with the sum's place taken as zero. False
 * if count and limit leave no place for the tail. */
static bool dx_csum(const struct geo *geo, uint32_t seed, const uint8_t *block,
		uint32_t off, uint32_t *ret_csum, uint32_t *ret_tail)
{
	static const uint8_t zero[4];
	unsigned limit = dx_limit(block, off);
	unsigned count = dx_count(block, off);
	uint32_t tail = off + limit * DX_ENTRY_LEN;
	uint32_t c;

	if (count > limit || tail + DX_TAIL_LEN > geo->block_size)
		return false;
	c = crc32c(seed, block, off + (size_t)count * DX_ENTRY_LEN);
	c = crc32c(c, block + tail, 4);
	*ret_csum = crc32c(c, zero, sizeof(zero));
	*ret_tail = tail;
	return true;
}

int dx_csum_verify(const struct geo *geo, uint32_t seed, const void *block,
		uint32_t off)
{
	const uint8_t *p = (const uint8_t *)block;
	uint32_t c, tail;

	if (!geo_has_csum(geo))
		return 0;
	if (!dx_csum(geo, seed, p, off, &c, &tail) ||
			c != get_le32(p + tail + 4))
		return -UEXT4_EBADCSUM;
	return 0;
}

void dx_csum_set(
		const struct geo *geo, uint32_t seed, void *block, uint32_t off)
{
	uint8_t *p = (uint8_t *)block;
	uint32_t c, tail;

	if (geo_has_csum(geo) && dx_csum(geo, seed, p, off, &c, &tail))
		put_le32(p + tail + 4, c);
}
