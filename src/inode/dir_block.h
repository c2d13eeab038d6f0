/* SPDX-License-Identifier: MIT */
/*
 * One block of a directory: read and checked, searched, changed, written.
 *
 *	ret = dir_block_read(dir, lblk, DIR_BLOCK_LEAF, &b);
 *	ret = dir_block_find(geo, b->data, name, len, &slot);
 *	ret = handle_get_write(h, b);		b->data may be another one
 *	dir_slot_remove(geo, b->data, &slot);
 *	ret = dir_block_dirty(h, dir, b, DIR_BLOCK_LEAF);	and its checksum
 *	buf_put(b);
 *
 * Rules    (D1) The thorough check is made once, when the block comes into
 *               memory; but a broken file system can hand us a block that was
 *               checked as something else. So every walk keeps inside the
 *               block by itself, whatever the bytes are.
 *          (D2) A block that belongs to the index, read as DIR_BLOCK_ANY, is
 *               an entry chain and nothing more: it is not marked as checked.
 *
 * Locks    dir->rwsem as in dir.h.
 */
#ifndef UEXT4_INODE_DIR_BLOCK_H
#define UEXT4_INODE_DIR_BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/types.h"

struct buf;
struct geo;
struct handle;
struct inode;

enum dir_block_kind {
	DIR_BLOCK_LEAF,
	DIR_BLOCK_ROOT, /* of the index: block 0 */
	DIR_BLOCK_NODE, /* of the index, below the root */
	DIR_BLOCK_ANY,  /* whatever it is, as an entry chain: only to read */
};

#define DIR_SLOT_NONE UINT32_MAX

/* An entry in a block. */
struct dir_slot {
	uint32_t off;
	uint32_t prev; /* offset of the entry before, or DIR_SLOT_NONE */
	inum_t inum;
	uint8_t ftype;
};

/* An entry of a directory; the buf is held. */
struct dir_pos {
	struct buf *b;
	lblk_t lblk;
	struct dir_slot slot;
};

/* Does it have the flag; and does the file system know what it means? */
bool dir_has_index_flag(const struct inode *dir);
bool dir_is_hashed(const struct inode *dir);

/* Say that block @lblk is broken. Returns -UEXT4_ECORRUPT. */
int dir_corrupt(const struct inode *dir, lblk_t lblk, const char *why);
/* The blocks of @dir. -UEXT4_ECORRUPT if its size is impossible. */
int dir_nblocks(const struct inode *dir, lblk_t *ret_nblk) UEXT4_MUST_CHECK;
/* Hold block @lblk, which must be mapped and sound. */
int dir_block_read(struct inode *dir, lblk_t lblk, enum dir_block_kind kind,
		struct buf **ret_buf) UEXT4_MUST_CHECK;
/* Add a block at the end, as an empty leaf in @h; size and inode follow. What
 * it holds is the caller's until dir_block_dirty(). Credits of map_alloc() and
 * two more. -ENOSPC: nothing has changed. */
int dir_block_append(struct handle *h, struct inode *dir, lblk_t *ret_lblk,
		struct buf **ret_buf) UEXT4_MUST_CHECK;
/* The block was changed: checksum, and into the transaction. */
int dir_block_dirty(struct handle *h, const struct inode *dir, struct buf *b,
		enum dir_block_kind kind) UEXT4_MUST_CHECK;

/* The length of the entry at @off, or 0 if the walk must not go on. */
uint32_t dir_rec_len(const struct geo *geo, const uint8_t *data, uint32_t off);
/* Find @name. -ENOENT, -UEXT4_ECORRUPT (not logged). */
int dir_block_find(const struct geo *geo, const uint8_t *data, const char *name,
		size_t len, struct dir_slot *ret_slot) UEXT4_MUST_CHECK;
/* The entry with @need bytes to spare, and how many it needs itself.
 * -ENOSPC, -UEXT4_ECORRUPT (not logged). */
int dir_block_room(const struct geo *geo, const uint8_t *data, uint32_t need,
		uint32_t *ret_off, uint32_t *ret_used) UEXT4_MUST_CHECK;
/* Put an entry where dir_block_room() found room. */
void dir_block_put(const struct geo *geo, uint8_t *data, uint32_t off,
		uint32_t used, inum_t inum, uint8_t ftype, const char *name,
		size_t len);
/* Take an entry out: join it to the one before. */
void dir_slot_remove(const struct geo *geo, uint8_t *data,
		const struct dir_slot *slot);

/* dir_room + dir_put in one block that is held. -ENOSPC: it is full. */
int dir_block_add(struct handle *h, struct inode *dir, lblk_t lblk,
		struct buf *b, const char *name, size_t len, inum_t inum,
		uint8_t ftype) UEXT4_MUST_CHECK;

static inline bool dir_name_is_dots(const char *name, size_t len)
{
	return name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.'));
}

#endif /* UEXT4_INODE_DIR_BLOCK_H */
