/* SPDX-License-Identifier: MIT */
/*
 * Extended attributes: a list of entries that grows up, and values that grow
 * down from the end, in a block of their own or in the inode's extra space.
 *
 *	block   32-byte header, entries, 4 zero bytes, gap, values
 *	inode   4-byte magic,   entries, 4 zero bytes, gap, values
 *
 * Value offsets count from the block's start; in an inode from the first
 * entry (behind the magic). struct dxattr_area describes either and all
 * functions work on it. After dxattr_check() has passed, dxattr_next() may be
 * trusted:
 *	for (off = area.first; dxattr_next(&area, &off, &e);) ...
 */
#ifndef UEXT4_DISK_DXATTR_H
#define UEXT4_DISK_DXATTR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/types.h"

struct geo;

#define DXATTR_MAGIC        0xEA020000u
#define DXATTR_BLOCK_HDR    32u
#define DXATTR_INODE_HDR    4u
#define DXATTR_ENTRY_HDR    16u
#define DXATTR_NAME_MAX     255u
#define DXATTR_REFCOUNT_MAX 1024u

/* e_name_index */
#define DXATTR_IDX_NONE        0u
#define DXATTR_IDX_USER        1u
#define DXATTR_IDX_ACL_ACCESS  2u
#define DXATTR_IDX_ACL_DEFAULT 3u
#define DXATTR_IDX_TRUSTED     4u
#define DXATTR_IDX_LUSTRE      5u
#define DXATTR_IDX_SECURITY    6u
#define DXATTR_IDX_SYSTEM      7u
#define DXATTR_IDX_RICHACL     8u
#define DXATTR_IDX_ENCRYPTION  9u
#define DXATTR_IDX_HURD        10u

struct dxattr_hdr {
	uint32_t magic;
	uint32_t refcount;
	uint32_t blocks; /* always 1 */
	uint32_t hash;   /* of all entries; 0: not to be shared */
	uint32_t checksum;
};

/* The bytes that hold one list. */
struct dxattr_area {
	uint8_t *base;  /* what value offsets count from */
	uint32_t first; /* offset of the first entry from base */
	uint32_t end;   /* one past the last byte, from base */
	bool is_block;  /* entries sorted, hashes required */
};

struct dxattr_entry {
	uint32_t off; /* of the entry from base */
	uint8_t name_index;
	uint8_t name_len;
	const char *name;   /* in the area, not terminated, without prefix */
	uint32_t value_off; /* from base */
	uint32_t value_len;
	inum_t value_inum; /* 0, or the inode that holds the value */
	uint32_t hash;
};

/* ---- names ---- */

/* "user.foo" -> index and rest. -EOPNOTSUPP for a prefix that ext4 has no
 * index for, -EINVAL for an empty rest where one is needed, -ERANGE if the
 * rest is longer than DXATTR_NAME_MAX. */
int dxattr_name_split(const char *full, uint8_t *ret_index,
		const char **ret_rest, uint32_t *ret_len) UEXT4_MUST_CHECK;
/* The prefix of an index ("user.", whole names for ACLs), NULL if unknown. */
const char *dxattr_prefix(uint8_t index);

/* ---- areas ---- */

/* The area of an attribute block. */
void dxattr_area_block(const struct geo *geo, void *block,
		struct dxattr_area *ret_area);
/* The area inside an inode, of the @len bytes at @bytes that
 * dinode_xattr_area() names; false if the magic is not there (no attributes).
 */
bool dxattr_area_inode(void *bytes, uint32_t len, struct dxattr_area *ret_area);
/* Write the magic and an empty list into an inode's bytes. */
void dxattr_inode_init(void *bytes, uint32_t len, struct dxattr_area *ret_area);
/* Write header and empty list into a block; refcount 1. */
void dxattr_block_init(const struct geo *geo, void *block,
		struct dxattr_area *ret_area);

void dxattr_hdr_decode(const void *block, struct dxattr_hdr *ret_hdr);
/* All fields but the checksum. */
void dxattr_hdr_encode(void *block, const struct dxattr_hdr *hdr);

/* Is the list sound: entries and values inside, nothing over anything, names
 * not empty where they need one? For a block also the header. Order and
 * hashes are not asked for: readers do not need them. -UEXT4_ECORRUPT,
 * *ret_why a phrase (may be NULL). */
int dxattr_check(const struct geo *geo, const struct dxattr_area *area,
		const char **ret_why) UEXT4_MUST_CHECK;

/* What e2fsck asks beyond dxattr_check(): the entry hashes (of either kind,
 * or 0 in an inode), and in a block the header's hash, or 0. Of a checked list
 * without values in inodes. */
int dxattr_check_hashes(const struct dxattr_area *area,
		const char **ret_why) UEXT4_MUST_CHECK;

/* Step through a checked list: false at its end. */
bool dxattr_next(const struct dxattr_area *area, uint32_t *off,
		struct dxattr_entry *ret_e);
/* -ENOENT; 0 and the entry. */
int dxattr_find(const struct dxattr_area *area, uint8_t index, const char *name,
		uint32_t name_len, struct dxattr_entry *ret_e) UEXT4_MUST_CHECK;
/* Bytes between the last entry (with its end mark) and the lowest value. */
uint32_t dxattr_free_space(const struct dxattr_area *area);
/* Bytes that a new attribute takes, entry and value together. */
uint32_t dxattr_need(uint32_t name_len, uint32_t value_len);
bool dxattr_is_empty(const struct dxattr_area *area);

/* Set (add or replace) an attribute of a checked list; hashes are made right,
 * checksum and block hash are the caller's. -ENOSPC, and nothing changed, if
 * it does not fit. */
int dxattr_set(struct dxattr_area *area, uint8_t index, const char *name,
		uint32_t name_len, const void *value,
		uint32_t value_len) UEXT4_MUST_CHECK;
/* -ENOENT. */
int dxattr_remove(struct dxattr_area *area, uint8_t index, const char *name,
		uint32_t name_len) UEXT4_MUST_CHECK;

/* ---- hashes and checksum ---- */

/* Of one entry with its value; of all entries of a block, put in its header.
 */
uint32_t dxattr_entry_hash(const char *name, uint32_t name_len,
		const void *value, uint32_t value_len);
/* The same of names hashed as signed chars: accepted, never written. */
uint32_t dxattr_entry_hash_signed(const char *name, uint32_t name_len,
		const void *value, uint32_t value_len);
void dxattr_block_hash_set(const struct geo *geo, void *block);

/* The checksum in a block's header, seeded with where it stands. */
int dxattr_csum_verify(const struct geo *geo, pblk_t pblk,
		const void *block) UEXT4_MUST_CHECK;
void dxattr_csum_set(const struct geo *geo, pblk_t pblk, void *block);

#endif /* UEXT4_DISK_DXATTR_H */
