/* SPDX-License-Identifier: MIT */
/*
 * The inodes that the kernel knows, and how often it was told of each.
 *
 * Every answer that names an inode counts one lookup; the kernel gives them
 * back with FORGET, many at a time. A node is held in the library as long as
 * its count is not zero, so an unlinked inode lives until the kernel has let
 * go of it, and its number is not used again before.
 *
 * The kernel calls them by their numbers, the root by NODES_ROOT. So a file handle
 * (name_to_handle_at(), NFS), which is that and the generation, is good for as long
 * as both, whoever serves the image; and one that is old, or made up, finds
 * another inode or none, not memory.
 *
 * Locks    A node's count and its place in the table belong to its shard's
 *          mutex. The fields that the table fills in (node, ino) do not change
 *          while the kernel holds a lookup, which is as long as it can ask.
 */
#ifndef UEXT4_FUSE_NODES_H
#define UEXT4_FUSE_NODES_H

#include <bsd/sys/tree.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

struct uext4_fs;
struct uext4_node;

struct srv_node {
	RB_ENTRY(srv_node) link;
	struct uext4_node *node; /* held */
	uint64_t nlookup;        /* [shard lock] */
	_Atomic uint64_t told;   /* srv_attr_told() */
	/* As it was first told, and SRV_NODE_TOLD. The kernel calls an inode
	 * stale whose generation changes, as FS_IOC_SETVERSION makes it. */
	_Atomic uint64_t generation;
	/* When it became immutable or append-only, srv_now_ms(); 0: it did not. */
	_Atomic int64_t frozen_at;
	uint32_t ino;
};

#define SRV_NODE_TOLD (UINT64_C(1) << 32)

RB_HEAD(srv_node_tree, srv_node);

#define NODES_SHARDS 64u
#define NODES_ROOT   1u /* FUSE_ROOT_ID; no file has this number */

struct nodes {
	struct srv_node *root; /* lives as long as the table */
	struct {
		pthread_mutex_t lock;
		struct srv_node_tree tree; /* [lock] */
	} shard[NODES_SHARDS];
};

/* Hold the root of @fs. 0 or a negative errno. */
int nodes_init(struct nodes *t, struct uext4_fs *fs);
/* Let go of everything, told or not. */
void nodes_fini(struct nodes *t);
/* Count one lookup of @node, whose reference is taken over; also on failure,
 * which is NULL: no memory. */
struct srv_node *nodes_told(struct nodes *t, struct uext4_node *node);
/* What the kernel calls @sn. */
uint64_t nodes_id(const struct nodes *t, const struct srv_node *sn);
/* What the kernel calls @id; it holds a lookup of it. NULL: it does not. */
struct srv_node *nodes_find(struct nodes *t, uint64_t id);
/* The same for an @id that the kernel has from a file handle, so that it may be of
 * anything: one more reference to its node. 0 or a negative errno, -ESTALE if there
 * is no such inode. */
int nodes_hold(struct nodes *t, struct uext4_fs *fs, uint64_t id,
		struct uext4_node **ret_node);
/* The kernel gives back @n lookups of @id. */
void nodes_forget(struct nodes *t, uint64_t id, uint64_t n);

#endif /* UEXT4_FUSE_NODES_H */
