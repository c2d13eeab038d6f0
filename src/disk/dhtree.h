/* SPDX-License-Identifier: MIT */
/*
 * htree nodes: the root (block 0 of a hashed directory) and interior nodes.
 *
 * Both hide from readers that know no htree: the root's ".." entry and an
 * interior node's one unused entry cover everything. Behind that stand
 * entries of 8 bytes { hash, block }; the first one's hash is not stored, its
 * four bytes are limit and count. Entry 0 covers all below entry 1's hash.
 * Bit 0 of a stored hash says that the names with that hash (bit cleared)
 * begin in the block before.
 *
 *	root   0 "."  12 ".."  24 info  32 entries ... tail
 *	node   0 unused entry  8 entries ... tail
 */
#ifndef UEXT4_DISK_DHTREE_H
#define UEXT4_DISK_DHTREE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/types.h"

struct geo;

#define DX_ROOT_OFF   32u /* of the entries in a root */
#define DX_NODE_OFF   8u  /* and in an interior node */
#define DX_ENTRY_LEN  8u
#define DX_TAIL_LEN   8u
#define DX_LEVELS_MAX 3u /* levels of index blocks, root included */

struct dx_root_info {
	uint8_t hash_version;
	uint8_t info_length;     /* 8 */
	uint8_t indirect_levels; /* 0: the root points to leaves */
	uint8_t unused_flags;
};

struct dx_entry {
	uint32_t hash; /* 0 for entry 0 */
	lblk_t block;
};

/* The info of a root whose dots are in place. Does not judge it. */
void dx_root_info_decode(const void *block, struct dx_root_info *ret_info);
void dx_root_info_encode(void *block, const struct dx_root_info *info);

/* How many entries fit, for a root or an interior node. */
unsigned dx_limit_max(const struct geo *geo, bool is_root);

/* How many levels the file system may have: two, and three with large_dir. */
unsigned dx_levels_max(const struct geo *geo);

/* @off is DX_ROOT_OFF or DX_NODE_OFF; @i < limit. */
unsigned dx_count(const void *block, uint32_t off);
unsigned dx_limit(const void *block, uint32_t off);
void dx_set_count(void *block, uint32_t off, unsigned count);
void dx_entry_decode(const void *block, uint32_t off, unsigned i,
		struct dx_entry *ret_e);
void dx_entry_encode(void *block, uint32_t off, unsigned i,
		const struct dx_entry *e);
/* Open a gap at @i of a node with room, and fill it. */
void dx_entry_insert(void *block, uint32_t off, unsigned i,
		const struct dx_entry *e);
/* The entry that covers @hash, in a checked node. */
unsigned dx_search(const void *block, uint32_t off, uint32_t hash);

/* Make a root (it keeps the two dots; all else goes) or an interior node with
 * one entry pointing to @block. The checksum is the caller's. */
void dx_root_init(const struct geo *geo, void *block, inum_t self,
		inum_t parent, uint8_t hash_version, lblk_t child);
void dx_node_init(const struct geo *geo, void *block);

/* Can this root (interior node) be? Dots, info, 1 <= count <= limit == what
 * fits, hashes ascending, blocks in [1, @dir_blocks). -UEXT4_ECORRUPT,
 * *ret_why a phrase (may be NULL). -EOPNOTSUPP for a hash version or depth
 * that we do not have: the directory is still readable as a linear one. */
int dx_root_check(const struct geo *geo, const void *block, lblk_t dir_blocks,
		const char **ret_why) UEXT4_MUST_CHECK;
int dx_node_check(const struct geo *geo, const void *block, lblk_t dir_blocks,
		const char **ret_why) UEXT4_MUST_CHECK;
/* Does the block look like an interior node (one unused entry over all)? */
bool dx_is_node(const struct geo *geo, const void *block);

/* The checksum in the node's tail; @seed is dinode_csum_seed(). */
int dx_csum_verify(const struct geo *geo, uint32_t seed, const void *block,
		uint32_t off) UEXT4_MUST_CHECK;
void dx_csum_set(const struct geo *geo, uint32_t seed, void *block,
		uint32_t off);

#endif /* UEXT4_DISK_DHTREE_H */
