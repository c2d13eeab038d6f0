/* SPDX-License-Identifier: MIT */
/*
 * Extended attributes: reading and checking lists, hashes, checksum, names.
 *
 * Layout by the kernel's documentation, ext4/attributes.rst. The two hashes
 * were found on images made by debugfs and hold against e2fsck.
 */
#include "disk/dxattr.h"

#include <string.h>

#include "base/bits.h"
#include "base/csum.h"
#include "base/le.h"
#include "disk/geo.h"

#define OFF_MAGIC    0x00u
#define OFF_REFCOUNT 0x04u
#define OFF_BLOCKS   0x08u
#define OFF_HASH     0x0Cu
#define OFF_CSUM     0x10u

#define XATTR_UNITS_MAX (65536u / 4)

/* ---- names ---- */

/* Longest first where one is the start of another. */
static const struct {
	const char *prefix;
	uint8_t index;
	bool is_whole; /* the prefix is all of the name */
} dxattr_names[] = {
	{ "user.", DXATTR_IDX_USER, false },
	{ "trusted.", DXATTR_IDX_TRUSTED, false },
	{ "security.", DXATTR_IDX_SECURITY, false },
	{ "system.posix_acl_access", DXATTR_IDX_ACL_ACCESS, true },
	{ "system.posix_acl_default", DXATTR_IDX_ACL_DEFAULT, true },
	{ "system.richacl", DXATTR_IDX_RICHACL, true },
	{ "system.", DXATTR_IDX_SYSTEM, false },
};

int dxattr_name_split(const char *full, uint8_t *ret_index,
		const char **ret_rest, uint32_t *ret_len)
{
	for (size_t i = 0; i < array_len(dxattr_names); i++) {
		size_t n = strlen(dxattr_names[i].prefix);
		size_t len;

		if (strncmp(full, dxattr_names[i].prefix, n) != 0)
			continue;
		len = strlen(full + n);
		if (dxattr_names[i].is_whole && len != 0)
			continue;
		if (!dxattr_names[i].is_whole && len == 0)
			return -EINVAL;
		if (len > DXATTR_NAME_MAX)
			return -ERANGE;
		*ret_index = dxattr_names[i].index;
		*ret_rest = full + n;
		*ret_len = (uint32_t)len;
		return 0;
	}
	return -EOPNOTSUPP;
}

const char *dxattr_prefix(uint8_t index)
{
	for (size_t i = 0; i < array_len(dxattr_names); i++) {
		if (dxattr_names[i].index == index)
			return dxattr_names[i].prefix;
	}
	return NULL;
}

/* Must an attribute of this index have a name of its own? */
static bool name_is_whole(uint8_t index)
{
	return index == DXATTR_IDX_ACL_ACCESS ||
			index == DXATTR_IDX_ACL_DEFAULT ||
			index == DXATTR_IDX_RICHACL;
}

/* ---- areas ---- */

void dxattr_area_block(const struct geo *geo, void *block,
		struct dxattr_area *ret_area)
{
	ret_area->base = (uint8_t *)block;
	ret_area->first = DXATTR_BLOCK_HDR;
	ret_area->end = geo->block_size;
	ret_area->is_block = true;
}

bool dxattr_area_inode(void *bytes, uint32_t len, struct dxattr_area *ret_area)
{
	if (len < DXATTR_INODE_HDR + 4 || get_le32(bytes) != DXATTR_MAGIC)
		return false;
	ret_area->base = (uint8_t *)bytes + DXATTR_INODE_HDR;
	ret_area->first = 0;
	ret_area->end = len - DXATTR_INODE_HDR;
	ret_area->is_block = false;
	return true;
}

void dxattr_inode_init(void *bytes, uint32_t len, struct dxattr_area *ret_area)
{
	memset(bytes, 0, len);
	put_le32(bytes, DXATTR_MAGIC);
	(void)dxattr_area_inode(bytes, len, ret_area);
}

void dxattr_block_init(const struct geo *geo, void *block,
		struct dxattr_area *ret_area)
{
	struct dxattr_hdr hdr = {
		.magic = DXATTR_MAGIC,
		.refcount = 1,
		.blocks = 1,
	};

	memset(block, 0, geo->block_size);
	dxattr_hdr_encode(block, &hdr);
	dxattr_area_block(geo, block, ret_area);
}

void dxattr_hdr_decode(const void *block, struct dxattr_hdr *ret_hdr)
{
	const uint8_t *p = (const uint8_t *)block;

	ret_hdr->magic = get_le32(p + OFF_MAGIC);
	ret_hdr->refcount = get_le32(p + OFF_REFCOUNT);
	ret_hdr->blocks = get_le32(p + OFF_BLOCKS);
	ret_hdr->hash = get_le32(p + OFF_HASH);
	ret_hdr->checksum = get_le32(p + OFF_CSUM);
}

void dxattr_hdr_encode(void *block, const struct dxattr_hdr *hdr)
{
	uint8_t *p = (uint8_t *)block;

	put_le32(p + OFF_MAGIC, hdr->magic);
	put_le32(p + OFF_REFCOUNT, hdr->refcount);
	put_le32(p + OFF_BLOCKS, hdr->blocks);
	put_le32(p + OFF_HASH, hdr->hash);
}

/* ---- the list ---- */

static uint32_t entry_len(uint32_t name_len)
{
	return (DXATTR_ENTRY_HDR + name_len + 3u) & ~3u;
}

static uint32_t value_room(uint32_t value_len)
{
	return (value_len + 3u) & ~3u;
}

uint32_t dxattr_need(uint32_t name_len, uint32_t value_len)
{
	return entry_len(name_len) + value_room(value_len);
}

static void entry_decode(const struct dxattr_area *area, uint32_t off,
		struct dxattr_entry *e)
{
	const uint8_t *p = area->base + off;

	e->off = off;
	e->name_len = p[0];
	e->name_index = p[1];
	e->value_off = get_le16(p + 2);
	e->value_inum = get_le32(p + 4);
	e->value_len = get_le32(p + 8);
	e->hash = get_le32(p + 12);
	e->name = (const char *)p + DXATTR_ENTRY_HDR;
}

bool dxattr_next(const struct dxattr_area *area, uint32_t *off,
		struct dxattr_entry *ret_e)
{
	if (area->end - *off < 4 || get_le32(area->base + *off) == 0)
		return false;
	entry_decode(area, *off, ret_e);
	*off += entry_len(ret_e->name_len);
	return true;
}

static int bad(const char **ret_why, const char *why)
{
	if (ret_why)
		*ret_why = why;
	return -UEXT4_ECORRUPT;
}

/* Walk the entries within bounds; *ret_end is where the end mark stands. */
static int check_entries(const struct dxattr_area *area, uint32_t *ret_end,
		const char **ret_why)
{
	uint32_t off = area->first;

	for (;;) {
		struct dxattr_entry e;

		if (!range_is_within(off, 4, 0, area->end))
			return bad(ret_why, "attribute list has no end");
		if (get_le32(area->base + off) == 0)
			break;
		if (!range_is_within(off, DXATTR_ENTRY_HDR, 0, area->end))
			return bad(ret_why, "attribute entry cut off");
		entry_decode(area, off, &e);
		if (!range_is_within(off, entry_len(e.name_len), 0, area->end))
			return bad(ret_why, "attribute name cut off");
		if (e.name_len == 0 && !name_is_whole(e.name_index))
			return bad(ret_why, "attribute without a name");
		off += entry_len(e.name_len);
	}
	*ret_end = off;
	return 0;
}

/* Values: behind the entries' end mark, inside, aligned, one place each. */
static int check_values(const struct dxattr_area *area, uint32_t list_end,
		const char **ret_why)
{
	uint8_t taken[XATTR_UNITS_MAX / 8] = { 0 };
	uint32_t off = area->first;
	struct dxattr_entry e;

	while (dxattr_next(area, &off, &e)) {
		uint32_t room;

		if (e.value_inum != 0 || e.value_len == 0)
			continue;
		if (e.value_len > area->end)
			return bad(ret_why, "attribute value too long");
		room = value_room(e.value_len);
		if (!range_is_within(e.value_off, room, (uint64_t)list_end + 4,
				    area->end))
			return bad(ret_why, "attribute value out of place");
		if (e.value_off % 4 != 0)
			return bad(ret_why, "attribute value not aligned");
		if (!bits_all_clear(taken, e.value_off / 4, room / 4))
			return bad(ret_why, "attribute values overlap");
		bits_set_range(taken, e.value_off / 4, room / 4);
	}
	return 0;
}

int dxattr_check(const struct geo *geo, const struct dxattr_area *area,
		const char **ret_why)
{
	uint32_t list_end;
	int ret;

	if (area->is_block) {
		struct dxattr_hdr hdr;

		dxattr_hdr_decode(area->base, &hdr);
		if (hdr.magic != DXATTR_MAGIC)
			return bad(ret_why,
					"no attribute block's magic number");
		if (hdr.blocks != 1)
			return bad(ret_why, "attribute block of many blocks");
		if (hdr.refcount == 0 || hdr.refcount > DXATTR_REFCOUNT_MAX)
			return bad(ret_why, "attribute block's count of users");
	}
	(void)geo;
	ret = check_entries(area, &list_end, ret_why);
	if (ret < 0)
		return ret;
	return check_values(area, list_end, ret_why);
}

int dxattr_find(const struct dxattr_area *area, uint8_t index, const char *name,
		uint32_t name_len, struct dxattr_entry *ret_e)
{
	uint32_t off = area->first;
	struct dxattr_entry e;

	while (dxattr_next(area, &off, &e)) {
		if (e.name_index == index && e.name_len == name_len &&
				memcmp(e.name, name, name_len) == 0) {
			*ret_e = e;
			return 0;
		}
	}
	return -ENOENT;
}

bool dxattr_is_empty(const struct dxattr_area *area)
{
	return get_le32(area->base + area->first) == 0;
}

/* Where the end mark stands, and the lowest value. */
static void list_bounds(const struct dxattr_area *area, uint32_t *ret_list_end,
		uint32_t *ret_lowest)
{
	uint32_t off = area->first;
	uint32_t lowest = area->end & ~3u;
	struct dxattr_entry e;

	while (dxattr_next(area, &off, &e)) {
		if (e.value_inum == 0 && e.value_len != 0 &&
				e.value_off < lowest)
			lowest = e.value_off;
	}
	*ret_list_end = off;
	*ret_lowest = lowest;
}

uint32_t dxattr_free_space(const struct dxattr_area *area)
{
	uint32_t list_end, lowest;

	list_bounds(area, &list_end, &lowest);
	return lowest - list_end - 4;
}

/* ---- changes ---- */

/* Take a value out: values below it move up, their offsets with them. */
static void value_cut(struct dxattr_area *area, uint32_t value_off,
		uint32_t value_len)
{
	uint32_t room = value_room(value_len);
	uint32_t list_end, lowest;
	uint32_t off = area->first;
	struct dxattr_entry e;

	if (value_len == 0)
		return;
	list_bounds(area, &list_end, &lowest);
	memmove(area->base + lowest + room, area->base + lowest,
			value_off - lowest);
	memset(area->base + lowest, 0, room);
	while (dxattr_next(area, &off, &e)) {
		if (e.value_inum == 0 && e.value_len != 0 &&
				e.value_off < value_off)
			put_le16(area->base + e.off + 2,
					(uint16_t)(e.value_off + room));
	}
}

static void entry_cut(struct dxattr_area *area, const struct dxattr_entry *e)
{
	uint32_t len = entry_len(e->name_len);
	uint32_t list_end, lowest;

	list_bounds(area, &list_end, &lowest);
	memmove(area->base + e->off, area->base + e->off + len,
			list_end - e->off - len);
	memset(area->base + list_end - len, 0, len);
}

/* Does @e come after the name, in the order that blocks keep? */
static bool comes_after(const struct dxattr_entry *e, uint8_t index,
		const char *name, uint32_t name_len)
{
	if (e->name_index != index)
		return e->name_index > index;
	if (e->name_len != name_len)
		return e->name_len > name_len;
	return memcmp(e->name, name, name_len) > 0;
}

/* Open a gap in the list for a new entry, at its place in a block, at the end
 * in an inode. */
static uint32_t entry_gap(struct dxattr_area *area, uint8_t index,
		const char *name, uint32_t name_len)
{
	uint32_t list_end, lowest, at;
	uint32_t off = area->first;
	struct dxattr_entry e;

	list_bounds(area, &list_end, &lowest);
	at = list_end;
	while (area->is_block && dxattr_next(area, &off, &e)) {
		if (comes_after(&e, index, name, name_len)) {
			at = e.off;
			break;
		}
	}
	memmove(area->base + at + entry_len(name_len), area->base + at,
			list_end - at);
	memset(area->base + list_end + entry_len(name_len), 0, 4);
	return at;
}

/* Put the value below all others; its offset, 0 for an empty one. */
static uint32_t value_add(
		struct dxattr_area *area, const void *value, uint32_t value_len)
{
	uint32_t room = value_room(value_len);
	uint32_t list_end, lowest;

	if (value_len == 0)
		return 0;
	list_bounds(area, &list_end, &lowest);
	lowest -= room;
	memcpy(area->base + lowest, value, value_len);
	memset(area->base + lowest + value_len, 0, room - value_len);
	return lowest;
}

static void entry_set_value(struct dxattr_area *area, uint32_t at,
		uint32_t value_off, const void *value, uint32_t value_len)
{
	uint8_t *p = area->base + at;

	put_le16(p + 2, (uint16_t)value_off);
	put_le32(p + 4, 0);
	put_le32(p + 8, value_len);
	put_le32(p + 12,
			dxattr_entry_hash((const char *)p + DXATTR_ENTRY_HDR,
					p[0], value, value_len));
}

int dxattr_set(struct dxattr_area *area, uint8_t index, const char *name,
		uint32_t name_len, const void *value, uint32_t value_len)
{
	uint32_t room = dxattr_free_space(area);
	struct dxattr_entry old;
	uint32_t value_off, at;
	bool exists;

	if (value_len > area->end)
		return -ENOSPC;
	exists = dxattr_find(area, index, name, name_len, &old) == 0;
	if (exists && old.value_inum != 0)
		return -EOPNOTSUPP;
	if (exists)
		room += value_room(old.value_len);
	if (value_room(value_len) + (exists ? 0 : entry_len(name_len)) > room)
		return -ENOSPC;

	if (exists) {
		at = old.off;
		value_cut(area, old.value_off, old.value_len);
		put_le32(area->base + at + 8, 0);
		value_off = value_add(area, value, value_len);
	} else {
		value_off = value_add(area, value, value_len);
		at = entry_gap(area, index, name, name_len);
		memset(area->base + at, 0, entry_len(name_len));
		area->base[at] = (uint8_t)name_len;
		area->base[at + 1] = index;
		memcpy(area->base + at + DXATTR_ENTRY_HDR, name, name_len);
	}
	entry_set_value(area, at, value_off, value, value_len);
	return 0;
}

int dxattr_remove(struct dxattr_area *area, uint8_t index, const char *name,
		uint32_t name_len)
{
	struct dxattr_entry e;
	int ret;

	ret = dxattr_find(area, index, name, name_len, &e);
	if (ret < 0)
		return ret;
	if (e.value_inum != 0)
		return -EOPNOTSUPP;
	value_cut(area, e.value_off, e.value_len);
	entry_cut(area, &e);
	return 0;
}

/* ---- hashes ---- */

static uint32_t hash_name(const char *name, uint32_t len, bool is_signed)
{
	uint32_t h = 0;

	for (uint32_t i = 0; i < len; i++) {
		uint32_t c = is_signed ? (uint32_t)(signed char)name[i]
				       : (unsigned char)name[i];

		h = (h << 5 | h >> 27) ^ c;
	}
	return h;
}

/* The value as little-endian words, the last one filled with zeros. */
static uint32_t hash_value(uint32_t h, const void *value, uint32_t len)
{
	const uint8_t *p = (const uint8_t *)value;

	for (uint32_t at = 0; at < len; at += 4) {
		uint8_t word[4] = { 0 };

		memcpy(word, p + at, min_of(len - at, 4u));
		h = (h << 16 | h >> 16) ^ get_le32(word);
	}
	return h;
}

uint32_t dxattr_entry_hash(const char *name, uint32_t name_len,
		const void *value, uint32_t value_len)
{
	return hash_value(hash_name(name, name_len, false), value, value_len);
}

uint32_t dxattr_entry_hash_signed(const char *name, uint32_t name_len,
		const void *value, uint32_t value_len)
{
	return hash_value(hash_name(name, name_len, true), value, value_len);
}

/* 0, "not to be shared", as soon as one entry has no hash. */
static uint32_t block_hash(const struct dxattr_area *area)
{
	uint32_t off = area->first;
	struct dxattr_entry e;
	uint32_t h = 0;

	while (dxattr_next(area, &off, &e)) {
		if (e.hash == 0)
			return 0;
		h = (h << 16 | h >> 16) ^ e.hash;
	}
	return h;
}

void dxattr_block_hash_set(const struct geo *geo, void *block)
{
	struct dxattr_area area;

	dxattr_area_block(geo, block, &area);
	put_le32((uint8_t *)block + OFF_HASH, block_hash(&area));
}

int dxattr_check_hashes(const struct dxattr_area *area, const char **ret_why)
{
	uint32_t off = area->first;
	struct dxattr_entry e;

	while (dxattr_next(area, &off, &e)) {
		const uint8_t *value = area->base + e.value_off;

		if (e.value_inum != 0 || (e.hash == 0 && !area->is_block))
			continue;
		if (e.hash !=
						dxattr_entry_hash(e.name,
								e.name_len,
								value,
								e.value_len) &&
				e.hash !=
						dxattr_entry_hash_signed(e.name,
								e.name_len,
								value,
								e.value_len))
			return bad(ret_why, "attribute entry's hash");
	}
	if (!area->is_block || get_le32(area->base + OFF_HASH) == 0)
		return 0;
	if (get_le32(area->base + OFF_HASH) != block_hash(area))
		return bad(ret_why, "attribute block's hash");
	return 0;
}

/* ---- checksum ---- */

static uint32_t dxattr_csum(
		const struct geo *geo, pblk_t pblk, const uint8_t *block)
{
	static const uint8_t zero[4];
	uint32_t c = crc32c_le64(geo->csum_seed, pblk);

	c = crc32c(c, block, OFF_CSUM);
	c = crc32c(c, zero, sizeof(zero));
	return crc32c(c, block + OFF_CSUM + 4, geo->block_size - OFF_CSUM - 4);
}

int dxattr_csum_verify(const struct geo *geo, pblk_t pblk, const void *block)
{
	const uint8_t *p = (const uint8_t *)block;

	if (!geo_has_csum(geo))
		return 0;
	if (dxattr_csum(geo, pblk, p) != get_le32(p + OFF_CSUM))
		return -UEXT4_EBADCSUM;
	return 0;
}

void dxattr_csum_set(const struct geo *geo, pblk_t pblk, void *block)
{
	uint8_t *p = (uint8_t *)block;

	if (geo_has_csum(geo))
		put_le32(p + OFF_CSUM, dxattr_csum(geo, pblk, p));
}
