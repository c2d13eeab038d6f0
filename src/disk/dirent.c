/* SPDX-License-Identifier: MIT */
/*
 * Directory entries: the walk, and changes inside one block.
 *
 * Offsets are those of the kernel's documentation, ext4/directory.rst. Every
 * change leaves the chain of entries whole: the lengths add up to the block.
 */
#include "disk/dirent.h"

#include <assert.h>
#include <string.h>

#include "base/csum.h"
#include "base/le.h"
#include "disk/geo.h"

#define OFF_INUM     0u
#define OFF_REC_LEN  4u
#define OFF_NAME_LEN 6u
#define OFF_TYPE     7u
#define OFF_NAME     8u

#define REC_LEN_MIN 12u /* of a name of one byte */

uint8_t dirent_type_of_mode(uint16_t mode)
{
	static const uint8_t types[16] = {
		[001] = DIRENT_FT_FIFO,
		[002] = DIRENT_FT_CHR,
		[004] = DIRENT_FT_DIR,
		[006] = DIRENT_FT_BLK,
		[010] = DIRENT_FT_REG,
		[012] = DIRENT_FT_LNK,
		[014] = DIRENT_FT_SOCK,
	};

	return types[mode >> 12];
}

uint16_t dirent_mode_of_type(uint8_t ftype)
{
	static const uint16_t modes[] = {
		[DIRENT_FT_UNKNOWN] = 0,
		[DIRENT_FT_REG] = 0100000,
		[DIRENT_FT_DIR] = 0040000,
		[DIRENT_FT_CHR] = 0020000,
		[DIRENT_FT_BLK] = 0060000,
		[DIRENT_FT_FIFO] = 0010000,
		[DIRENT_FT_SOCK] = 0140000,
		[DIRENT_FT_LNK] = 0120000,
	};

	return ftype < array_len(modes) ? modes[ftype] : 0;
}

/* In 64 KiB blocks lengths are multiples of 4, so the two low bits are free
 * to carry bits 16 and 17; the whole block is written 65535. */
uint32_t dirent_rec_len_decode(const struct geo *geo, uint16_t raw)
{
	if (geo->block_size < 65536)
		return raw;
	if (raw == 65535 || raw == 0)
		return geo->block_size;
	return (raw & 65532u) | (raw & 3u) << 16;
}

uint16_t dirent_rec_len_encode(const struct geo *geo, uint32_t rec_len)
{
	assert(rec_len <= geo->block_size && rec_len % 4 == 0);
	if (rec_len < 65536)
		return (uint16_t)rec_len;
	return 65535;
}

uint32_t dirent_end(const struct geo *geo)
{
	return geo->block_size - (geo_has_csum(geo) ? DIRENT_TAIL_SIZE : 0);
}

static int bad(const char **ret_why, const char *why)
{
	if (ret_why)
		*ret_why = why;
	return -UEXT4_ECORRUPT;
}

/* Does the entry hide an htree root's or interior node's contents? */
static bool hides_htree(const struct geo *geo, const struct ddirent *de)
{
	if (de->off + de->rec_len != geo->block_size)
		return false;
	if (de->off == 0)
		return de->inum == 0;
	return de->off == REC_LEN_MIN && de->name_len == 2 &&
			memcmp(de->name, "..", 2) == 0;
}

/* Fields of an entry whose header is known to be in the block. False if the
 * name length, 16 bits without filetype, cannot be. */
static bool dirent_decode(const struct geo *geo, const uint8_t *block,
		uint32_t off, struct ddirent *de)
{
	const uint8_t *p = block + off;

	de->off = off;
	de->inum = get_le32(p + OFF_INUM);
	de->rec_len = dirent_rec_len_decode(geo, get_le16(p + OFF_REC_LEN));
	de->name_len = p[OFF_NAME_LEN];
	de->name = (const char *)p + OFF_NAME;
	de->ftype = DIRENT_FT_UNKNOWN;
	if (geo_has_incompat(geo, FI_FILETYPE))
		de->ftype = p[OFF_TYPE];
	else if (p[OFF_TYPE] != 0)
		return false;
	return true;
}

int dirent_at(const struct geo *geo, const void *block, uint32_t off,
		struct ddirent *ret_de, const char **ret_why)
{
	uint32_t end = dirent_end(geo);
	struct ddirent de;
	uint32_t left;

	if (off % 4 != 0 || off + REC_LEN_MIN > end)
		return bad(ret_why, "directory entry out of its block");
	if (!dirent_decode(geo, (const uint8_t *)block, off, &de))
		return bad(ret_why, "directory entry's name too long");
	if (de.rec_len < REC_LEN_MIN || de.rec_len % 4 != 0)
		return bad(ret_why, "directory entry's length impossible");
	if (de.rec_len < dirent_need(de.name_len))
		return bad(ret_why, "directory entry shorter than its name");
	if (de.rec_len > geo->block_size - off)
		return bad(ret_why, "directory entry past its block");
	if (de.inum > geo->inodes)
		return bad(ret_why, "directory entry's inode out of range");
	if (!hides_htree(geo, &de)) {
		if (de.rec_len > end - off)
			return bad(ret_why, "directory entry past its block");
		left = end - off - de.rec_len;
		if (left != 0 && left < REC_LEN_MIN)
			return bad(ret_why, "no room behind directory entry");
	}
	*ret_de = de;
	return 0;
}

bool dirent_name_ok(const char *name, uint32_t name_len)
{
	return name_len >= 1 && name_len <= DIRENT_NAME_MAX &&
			!memchr(name, '/', name_len) &&
			!memchr(name, 0, name_len);
}

int dirent_block_check(
		const struct geo *geo, const void *block, const char **ret_why)
{
	uint32_t end = dirent_end(geo);
	struct ddirent de;
	int ret;

	for (uint32_t off = 0; off < end; off += de.rec_len) {
		ret = dirent_at(geo, block, off, &de, ret_why);
		if (ret < 0)
			return ret;
		if (de.inum != 0 && !dirent_name_ok(de.name, de.name_len))
			return bad(ret_why,
					"directory entry's name impossible");
		if (hides_htree(geo, &de))
			return 0;
	}
	if (geo_has_csum(geo) && !dirent_has_tail(geo, block))
		return bad(ret_why, "directory block without its tail");
	return 0;
}

int dirent_find(const struct geo *geo, const void *block, const char *name,
		uint32_t name_len, struct ddirent *ret_de, const char **ret_why)
{
	uint32_t end = dirent_end(geo);
	struct ddirent de;
	int ret;

	for (uint32_t off = 0; off < end; off += de.rec_len) {
		ret = dirent_at(geo, block, off, &de, ret_why);
		if (ret < 0)
			return ret;
		if (de.inum == 0 || de.name_len != name_len)
			continue;
		if (memcmp(de.name, name, name_len) == 0) {
			*ret_de = de;
			return 0;
		}
	}
	return -ENOENT;
}

/* ---- changes ---- */

static void put_rec_len(const struct geo *geo, uint8_t *p, uint32_t rec_len)
{
	put_le16(p + OFF_REC_LEN, dirent_rec_len_encode(geo, rec_len));
}

void dirent_put(const struct geo *geo, void *block, const struct ddirent *de)
{
	uint8_t *p = (uint8_t *)block + de->off;

	assert(de->rec_len >= dirent_need(de->name_len));
	assert(de->off + de->rec_len <= geo->block_size);
	put_le32(p + OFF_INUM, de->inum);
	put_rec_len(geo, p, de->rec_len);
	p[OFF_NAME_LEN] = de->name_len;
	p[OFF_TYPE] = geo_has_incompat(geo, FI_FILETYPE) ? de->ftype : 0;
	memcpy(p + OFF_NAME, de->name, de->name_len);
	memset(p + OFF_NAME + de->name_len, 0,
			de->rec_len - DIRENT_HDR_SIZE - de->name_len);
}

/* The first entry with room for @need bytes beside its own: its place, and
 * how many bytes of it stay with it. -ENOSPC, -UEXT4_ECORRUPT. */
static int find_room(const struct geo *geo, const void *block, uint32_t need,
		struct ddirent *ret_de, uint32_t *ret_used)
{
	uint32_t end = dirent_end(geo);
	struct ddirent de;
	int ret;

	for (uint32_t off = 0; off < end; off += de.rec_len) {
		uint32_t used;

		ret = dirent_at(geo, block, off, &de, NULL);
		if (ret < 0)
			return ret;
		if (de.rec_len > end - off)
			return -UEXT4_ECORRUPT; /* an htree node is no leaf */
		used = de.inum != 0 ? dirent_need(de.name_len) : 0;
		if (de.rec_len - used >= need) {
			*ret_de = de;
			*ret_used = used;
			return 0;
		}
	}
	return -ENOSPC;
}

int dirent_insert(const struct geo *geo, void *block, inum_t inum,
		uint8_t ftype, const char *name, uint32_t name_len)
{
	struct ddirent de;
	uint32_t used;
	int ret;

	assert(name_len <= DIRENT_NAME_MAX);
	ret = find_room(geo, block, dirent_need(name_len), &de, &used);
	if (ret < 0)
		return ret;
	if (used > 0)
		put_rec_len(geo, (uint8_t *)block + de.off, used);
	de.off += used;
	de.rec_len -= used;
	de.inum = inum;
	de.ftype = ftype;
	de.name = name;
	de.name_len = (uint8_t)name_len;
	dirent_put(geo, block, &de);
	return 0;
}

bool dirent_has_room(
		const struct geo *geo, const void *block, uint32_t name_len)
{
	struct ddirent de;
	uint32_t used;

	return find_room(geo, block, dirent_need(name_len), &de, &used) == 0;
}

int dirent_remove(const struct geo *geo, void *block, uint32_t off)
{
	struct ddirent prev = { .rec_len = 0 };
	struct ddirent de = { .rec_len = 0 };
	uint8_t *p = (uint8_t *)block;
	int ret;

	for (uint32_t at = 0; at <= off; at += de.rec_len) {
		prev = de;
		ret = dirent_at(geo, block, at, &de, NULL);
		if (ret < 0)
			return ret;
	}
	if (de.off != off || de.rec_len > dirent_end(geo) - off)
		return -UEXT4_ECORRUPT;
	if (off == 0) {
		put_le32(p + OFF_INUM, 0);
		memset(p + OFF_NAME_LEN, 0, de.rec_len - OFF_NAME_LEN);
		return 0;
	}
	memset(p + off, 0, de.rec_len);
	put_rec_len(geo, p + prev.off, prev.rec_len + de.rec_len);
	return 0;
}

void dirent_set_inum(const struct geo *geo, void *block, uint32_t off,
		inum_t inum, uint8_t ftype)
{
	uint8_t *p = (uint8_t *)block + off;

	put_le32(p + OFF_INUM, inum);
	if (geo_has_incompat(geo, FI_FILETYPE))
		p[OFF_TYPE] = ftype;
}

/* ---- whole blocks ---- */

static void tail_init(const struct geo *geo, uint8_t *block)
{
	uint8_t *t = block + dirent_end(geo);

	if (!geo_has_csum(geo))
		return;
	memset(t, 0, DIRENT_TAIL_SIZE);
	put_le16(t + OFF_REC_LEN, DIRENT_TAIL_SIZE);
	t[OFF_TYPE] = DIRENT_TAIL_TYPE;
}

void dirent_block_init(const struct geo *geo, void *block)
{
	uint8_t *p = (uint8_t *)block;

	memset(p, 0, geo->block_size);
	put_rec_len(geo, p, dirent_end(geo));
	tail_init(geo, p);
}

void dirent_block_init_dots(
		const struct geo *geo, void *block, inum_t self, inum_t parent)
{
	memset(block, 0, geo->block_size);
	dirent_put_dots(geo, block, self, parent, dirent_end(geo));
	tail_init(geo, (uint8_t *)block);
}

void dirent_put_dots(const struct geo *geo, void *block, inum_t self,
		inum_t parent, uint32_t end)
{
	struct ddirent dot = {
		.rec_len = dirent_need(1),
		.inum = self,
		.ftype = DIRENT_FT_DIR,
		.name = ".",
		.name_len = 1,
	};
	struct ddirent dotdot = {
		.off = dot.rec_len,
		.rec_len = end - dot.rec_len,
		.inum = parent,
		.ftype = DIRENT_FT_DIR,
		.name = "..",
		.name_len = 2,
	};

	dirent_put(geo, block, &dot);
	dirent_put(geo, block, &dotdot);
}

static bool is_dot_or_dotdot(const struct ddirent *de)
{
	return de->name_len >= 1 && de->name_len <= 2 && de->name[0] == '.' &&
			de->name[de->name_len - 1] == '.';
}

int dirent_block_is_empty(const struct geo *geo, const void *block,
		bool *ret_empty, const char **ret_why)
{
	uint32_t end = dirent_end(geo);
	struct ddirent de;
	bool empty = true;
	int ret;

	for (uint32_t off = 0; off < end; off += de.rec_len) {
		ret = dirent_at(geo, block, off, &de, ret_why);
		if (ret < 0)
			return ret;
		if (de.inum != 0 && !is_dot_or_dotdot(&de))
			empty = false;
	}
	*ret_empty = empty;
	return 0;
}

/* ---- checksum ---- */

bool dirent_has_tail(const struct geo *geo, const void *block)
{
	const uint8_t *t = (const uint8_t *)block + geo->block_size -
			DIRENT_TAIL_SIZE;

	return get_le32(t + OFF_INUM) == 0 &&
			get_le16(t + OFF_REC_LEN) == DIRENT_TAIL_SIZE &&
			t[OFF_NAME_LEN] == 0 && t[OFF_TYPE] == DIRENT_TAIL_TYPE;
}

int dirent_csum_verify(const struct geo *geo, uint32_t seed, const void *block)
{
	uint32_t end = dirent_end(geo);

	if (!geo_has_csum(geo))
		return 0;
	if (!dirent_has_tail(geo, block))
		return -UEXT4_EBADCSUM;
	if (crc32c(seed, block, end) !=
			get_le32((const uint8_t *)block + end + OFF_NAME))
		return -UEXT4_EBADCSUM;
	return 0;
}

void dirent_csum_set(const struct geo *geo, uint32_t seed, void *block)
{
	uint8_t *p = (uint8_t *)block;
	uint32_t end = dirent_end(geo);

	if (!geo_has_csum(geo))
		return;
	tail_init(geo, p);
	put_le32(p + end + OFF_NAME, crc32c(seed, p, end));
}
