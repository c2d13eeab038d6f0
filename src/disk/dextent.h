/* SPDX-License-Identifier: MIT */
/*
 * Nodes of extent trees: a header of 12 bytes, then entries of 12.
 *
 * A node is the 60 bytes of i_block (no tail) or a whole block (a 4-byte
 * checksum tail behind the last entry that fits). Depth 0 holds leaves,
 * others hold indexes; a tree is at most DEXT_DEPTH_MAX deep.
 *
 * dext_check() must pass before any entry is believed; after it, entries
 * 0 .. entries-1 may be read without further care.
 */
#ifndef UEXT4_DISK_DEXTENT_H
#define UEXT4_DISK_DEXTENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/types.h"

struct geo;

#define DEXT_MAGIC         0xF30Au
#define DEXT_HDR_SIZE      12u
#define DEXT_ENTRY_SIZE    12u
#define DEXT_TAIL_SIZE     4u
#define DEXT_DEPTH_MAX     5u
#define DEXT_ROOT_SIZE     60u           /* i_block */
#define DEXT_LEN_MAX       32768u        /* blocks of a written extent */
#define DEXT_LEN_UNWRITTEN 32767u        /* of an unwritten one */
#define DEXT_LBLK_END      0xffffffffull /* block 2^32-1 is not mappable */

struct dext_hdr {
	uint16_t magic;
	uint16_t entries;
	uint16_t max;
	uint16_t depth;
	uint32_t generation;
};

struct dext_leaf {
	lblk_t lblk;
	uint32_t len; /* 1 .. DEXT_LEN_MAX */
	bool unwritten;
	pblk_t pblk;
};

struct dext_idx {
	lblk_t lblk; /* the first file block that the child covers */
	pblk_t pblk; /* where the child stands */
};

/* What a node must fit into. A root: { .depth = DEXT_ANY_DEPTH, .lo = 0,
 * .hi = DEXT_LBLK_END }. A child: its parent's depth less one, from its
 * index's lblk to the next index's (or the parent's hi). */
#define DEXT_ANY_DEPTH (-1)
struct dext_bounds {
	int depth;
	uint64_t lo; /* first file block, and one past the last */
	uint64_t hi;
};

void dext_hdr_decode(const void *node, struct dext_hdr *ret_hdr);
void dext_hdr_encode(void *node, const struct dext_hdr *hdr);
/* @i < hdr.max of a node that has been checked (or made). */
void dext_leaf_decode(const void *node, unsigned i, struct dext_leaf *ret_leaf);
void dext_leaf_encode(void *node, unsigned i, const struct dext_leaf *leaf);
void dext_idx_decode(const void *node, unsigned i, struct dext_idx *ret_idx);
void dext_idx_encode(void *node, unsigned i, const struct dext_idx *idx);

/* Cheap single fields, for the counters that change. */
unsigned dext_entries(const void *node);
void dext_set_entries(void *node, unsigned n);
unsigned dext_depth(const void *node);

/* How many entries a node of @size bytes takes: 4 in i_block, and 340 in
 * 4096 bytes. */
unsigned dext_max_entries(const struct geo *geo, uint32_t size);
/* An empty node of @size bytes: DEXT_ROOT_SIZE or a block, which is zeroed. */
void dext_init(const struct geo *geo, void *node, uint32_t size,
		unsigned depth);

/*
 * Can this node of @size bytes be? Magic, entries <= max <= what fits, depth,
 * entries sorted and apart, inside @bounds, blocks inside the file system; an
 * index node is not empty. -UEXT4_ECORRUPT, *ret_why a phrase (may be NULL).
 * Writers take more care than this asks: the kernel demands that the first
 * entry of a child has the very lblk that its index says.
 */
int dext_check(const struct geo *geo, const void *node, uint32_t size,
		const struct dext_bounds *bounds,
		const char **ret_why) UEXT4_MUST_CHECK;

/* The last entry of a checked node with lblk <= @lblk; -1 if there is none. */
int dext_search(const void *node, lblk_t lblk);

/* The checksum tail of a block (never of i_block). @seed is
 * dinode_csum_seed(). Verify: 0 without metadata_csum; -UEXT4_EBADCSUM also
 * when hdr.max leaves no room for the tail. */
int dext_csum_verify(const struct geo *geo, uint32_t seed,
		const void *block) UEXT4_MUST_CHECK;
void dext_csum_set(const struct geo *geo, uint32_t seed, void *block);

#endif /* UEXT4_DISK_DEXTENT_H */
