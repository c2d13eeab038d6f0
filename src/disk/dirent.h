/* SPDX-License-Identifier: MIT */
/*
 * Directory blocks: a chain of entries that fills the block.
 *
 * A walk:
 *	end = dirent_end(geo);
 *	for (off = 0; off < end; off += de.rec_len) {
 *		ret = dirent_at(geo, block, off, &de, &why);
 *		if (ret < 0)
 *			return ret;
 *		if (de.inum != 0) ...
 *	}
 * dirent_at() refuses whatever would lead the walk out of the block, so it
 * ends at @end. With metadata_csum the last 12 bytes are a tail that looks
 * like an unused entry and holds the block's checksum. htree nodes are in
 * disk/dhtree.h.
 */
#ifndef UEXT4_DISK_DIRENT_H
#define UEXT4_DISK_DIRENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/types.h"

struct geo;

#define DIRENT_HDR_SIZE  8u
#define DIRENT_NAME_MAX  255u
#define DIRENT_TAIL_SIZE 12u
#define DIRENT_TAIL_TYPE 0xDEu

/* file types in entries (feature filetype) */
#define DIRENT_FT_UNKNOWN 0u
#define DIRENT_FT_REG     1u
#define DIRENT_FT_DIR     2u
#define DIRENT_FT_CHR     3u
#define DIRENT_FT_BLK     4u
#define DIRENT_FT_FIFO    5u
#define DIRENT_FT_SOCK    6u
#define DIRENT_FT_LNK     7u

struct ddirent {
	uint32_t off; /* of the entry in the block */
	uint32_t rec_len;
	inum_t inum;   /* 0: unused */
	uint8_t ftype; /* UNKNOWN without the filetype feature */
	uint8_t name_len;
	const char *name; /* in the block, not terminated */
};

/* The type for a mode, and the S_IF bits for a type (0 for UNKNOWN). */
uint8_t dirent_type_of_mode(uint16_t mode);
uint16_t dirent_mode_of_type(uint8_t ftype);

/* Bytes that an entry with a name of @name_len needs. */
static inline uint32_t dirent_need(uint32_t name_len)
{
	return (DIRENT_HDR_SIZE + name_len + 3u) & ~3u;
}

/* rec_len on disk is 16 bits; in 64 KiB blocks the low bits carry more. */
uint32_t dirent_rec_len_decode(const struct geo *geo, uint16_t raw);
uint16_t dirent_rec_len_encode(const struct geo *geo, uint32_t rec_len);

/* Where the entries of a block end: block_size, less the tail if any. */
uint32_t dirent_end(const struct geo *geo);

/* Decode and check the entry at @off of a block: aligned, rec_len enough for
 * its name and inside dirent_end(), inode number possible. -UEXT4_ECORRUPT,
 * *ret_why a phrase (may be NULL). The two entries that hide htree nodes (".."
 * of a root, the unused one of an interior node) may reach the block's end. */
int dirent_at(const struct geo *geo, const void *block, uint32_t off,
		struct ddirent *ret_de, const char **ret_why) UEXT4_MUST_CHECK;

/* May a name look so? 1..255 bytes, no '/' and no zero byte. dirent_at() does
 * not ask: who hands names to others does. */
bool dirent_name_ok(const char *name, uint32_t name_len);

/* Is every entry of the block sound, and does none hold '/' or a zero byte?
 * Also the tail, if there should be one. */
int dirent_block_check(const struct geo *geo, const void *block,
		const char **ret_why) UEXT4_MUST_CHECK;

/* Find @name: 0 and the entry, -ENOENT, -UEXT4_ECORRUPT. */
int dirent_find(const struct geo *geo, const void *block, const char *name,
		uint32_t name_len, struct ddirent *ret_de,
		const char **ret_why) UEXT4_MUST_CHECK;

/* Write @de, all fields, into [off, off + rec_len), which the caller knows to
 * be free; the slack behind the name is zeroed. */
void dirent_put(const struct geo *geo, void *block, const struct ddirent *de);
/* Write "." and "..", the latter reaching to @end. */
void dirent_put_dots(const struct geo *geo, void *block, inum_t self,
		inum_t parent, uint32_t end);
/* Put a new entry where there is room, cutting an old one's slack. Does not
 * look for the name. -ENOSPC: this block is full. Checksum is the caller's. */
int dirent_insert(const struct geo *geo, void *block, inum_t inum,
		uint8_t ftype, const char *name,
		uint32_t name_len) UEXT4_MUST_CHECK;
/* Would dirent_insert() of a name of this length find room? */
bool dirent_has_room(
		const struct geo *geo, const void *block, uint32_t name_len);
/* Take the entry at @off out: join it to the one before, or, as the first,
 * mark it unused. Its name is overwritten with zeros. -UEXT4_ECORRUPT if no
 * entry starts there. */
int dirent_remove(const struct geo *geo, void *block,
		uint32_t off) UEXT4_MUST_CHECK;
/* Let the entry at @off, one that dirent_find() gave, name another inode. */
void dirent_set_inum(const struct geo *geo, void *block, uint32_t off,
		inum_t inum, uint8_t ftype);

/* An empty block: one unused entry, and the tail. */
void dirent_block_init(const struct geo *geo, void *block);
/* The first block of a new directory: "." and "..", and the tail. */
void dirent_block_init_dots(
		const struct geo *geo, void *block, inum_t self, inum_t parent);
/* Does the block hold nothing but "." and ".."? -UEXT4_ECORRUPT. */
int dirent_block_is_empty(const struct geo *geo, const void *block,
		bool *ret_empty, const char **ret_why) UEXT4_MUST_CHECK;

/* The checksum in the tail. @seed is dinode_csum_seed() of the directory.
 * Verify: 0 without metadata_csum, -UEXT4_EBADCSUM if the tail is not one or
 * does not fit. Set writes the tail whole. Not for htree nodes. */
int dirent_csum_verify(const struct geo *geo, uint32_t seed,
		const void *block) UEXT4_MUST_CHECK;
void dirent_csum_set(const struct geo *geo, uint32_t seed, void *block);
/* Does the block end in a tail (right checksum or not)? */
bool dirent_has_tail(const struct geo *geo, const void *block);

#endif /* UEXT4_DISK_DIRENT_H */
