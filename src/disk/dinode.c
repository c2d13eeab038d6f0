/* SPDX-License-Identifier: MIT */
/*
 * Inodes: fields, checksum, and what they must be like.
 *
 * Offsets are those of the kernel's documentation, ext4/inodes.rst. Fields
 * past byte 128 exist as far as i_extra_isize says; DINODE_HAS() asks.
 */
#include "disk/dinode.h"

#include <string.h>
#include <sys/sysmacros.h>

#include "base/csum.h"
#include "base/le.h"
#include "disk/geo.h"

#define OFF_MODE        0x00u
#define OFF_UID         0x02u
#define OFF_SIZE        0x04u
#define OFF_ATIME       0x08u
#define OFF_CTIME       0x0Cu
#define OFF_MTIME       0x10u
#define OFF_DTIME       0x14u
#define OFF_GID         0x18u
#define OFF_LINKS       0x1Au
#define OFF_BLOCKS      0x1Cu
#define OFF_FLAGS       0x20u
#define OFF_VERSION     0x24u
#define OFF_GENERATION  0x64u
#define OFF_ACL         0x68u
#define OFF_SIZE_HI     0x6Cu
#define OFF_BLOCKS_HI   0x74u
#define OFF_ACL_HI      0x76u
#define OFF_UID_HI      0x78u
#define OFF_GID_HI      0x7Au
#define OFF_CSUM        0x7Cu
#define OFF_EXTRA_ISIZE 0x80u
#define OFF_CSUM_HI     0x82u
#define OFF_CTIME_X     0x84u
#define OFF_MTIME_X     0x88u
#define OFF_ATIME_X     0x8Cu
#define OFF_CRTIME      0x90u
#define OFF_CRTIME_X    0x94u
#define OFF_VERSION_HI  0x98u
#define OFF_PROJID      0x9Cu

#define NSEC_PER_SEC 1000000000u
#define BLOCKS_48    UINT64_C(0xffffffffffff)

#define MODE_TYPE 0170000u

/* Does the field of @size bytes at @off exist in this inode? */
static bool has_field(const struct geo *geo, uint32_t extra_isize, uint32_t off,
		uint32_t size)
{
	uint32_t end = off + size;

	return end <= geo->inode_size && end <= DINODE_SIZE_MIN + extra_isize;
}

bool dinode_has_crtime(const struct geo *geo, const struct dinode *di)
{
	return has_field(geo, di->extra_isize, OFF_CRTIME, 8);
}

bool dinode_has_nsec(const struct geo *geo, const struct dinode *di)
{
	return has_field(geo, di->extra_isize, OFF_CTIME_X, 12);
}

bool dinode_has_projid(const struct geo *geo, const struct dinode *di)
{
	return has_field(geo, di->extra_isize, OFF_PROJID, 4);
}

/* ---- times ---- */

/* 32 signed bits of seconds; the extra word adds 2 bits above them and 30
 * bits of nanoseconds. */
static struct dtime dtime_decode(const struct geo *geo, uint32_t extra_isize,
		const uint8_t *raw, uint32_t off, uint32_t off_x)
{
	struct dtime t = { .sec = (int32_t)get_le32(raw + off) };

	if (has_field(geo, extra_isize, off_x, 4)) {
		uint32_t x = get_le32(raw + off_x);

		t.sec += (int64_t)(x & 3u) << 32;
		t.nsec = x >> 2;
		if (t.nsec >= NSEC_PER_SEC)
			t.nsec = 0;
	}
	return t;
}

static struct dtime dtime_clamp(struct dtime t, bool has_extra)
{
	int64_t max = has_extra ? DTIME_MAX_SEC : DTIME_MAX_SEC_SMALL;

	/* The first and the last second have no parts, as the kernel keeps
	 * them. */
	if (t.sec <= DTIME_MIN_SEC || t.sec >= max) {
		t.sec = t.sec <= DTIME_MIN_SEC ? DTIME_MIN_SEC : max;
		t.nsec = 0;
	}
	if (!has_extra)
		t.nsec = 0;
	return t;
}

static void dtime_encode(const struct geo *geo, uint32_t extra_isize,
		struct dtime t, uint8_t *raw, uint32_t off, uint32_t off_x)
{
	bool has_extra = has_field(geo, extra_isize, off_x, 4);

	t = dtime_clamp(t, has_extra);
	put_le32(raw + off, (uint32_t)t.sec);
	if (has_extra) {
		uint64_t above = (uint64_t)(t.sec - (int32_t)t.sec) >> 32;

		put_le32(raw + off_x, (uint32_t)(above & 3u) | t.nsec << 2);
	}
}

struct dtime dinode_clamp_time(
		const struct geo *geo, const struct dinode *di, struct dtime t)
{
	return dtime_clamp(t, dinode_has_nsec(geo, di));
}

/* ---- decode ---- */

static uint64_t sectors_decode(
		const struct geo *geo, const uint8_t *raw, uint32_t flags)
{
	uint64_t n = get_le32(raw + OFF_BLOCKS);

	if (!geo_has_ro_compat(geo, FR_HUGE_FILE))
		return n;
	n |= (uint64_t)get_le16(raw + OFF_BLOCKS_HI) << 32;
	if (flags & DINODE_F_HUGE_FILE)
		n <<= geo->block_bits - 9;
	return n;
}

/* Old directories kept an ACL's block in the high half of the size. */
static bool size_has_high(const struct geo *geo, uint16_t mode)
{
	return (mode & MODE_TYPE) == 0100000 ||
			geo_has_incompat(geo, FI_LARGEDIR);
}

static void decode_extra(
		const struct geo *geo, const uint8_t *raw, struct dinode *di)
{
	uint32_t extra = di->extra_isize;

	di->atime = dtime_decode(geo, extra, raw, OFF_ATIME, OFF_ATIME_X);
	di->ctime = dtime_decode(geo, extra, raw, OFF_CTIME, OFF_CTIME_X);
	di->mtime = dtime_decode(geo, extra, raw, OFF_MTIME, OFF_MTIME_X);
	if (has_field(geo, extra, OFF_CRTIME, 4))
		di->crtime = dtime_decode(
				geo, extra, raw, OFF_CRTIME, OFF_CRTIME_X);
	if (has_field(geo, extra, OFF_CSUM_HI, 2))
		di->checksum |= (uint32_t)get_le16(raw + OFF_CSUM_HI) << 16;
	if (has_field(geo, extra, OFF_VERSION_HI, 4))
		di->version |= (uint64_t)get_le32(raw + OFF_VERSION_HI) << 32;
	if (has_field(geo, extra, OFF_PROJID, 4))
		di->projid = get_le32(raw + OFF_PROJID);
}

void dinode_decode(
		const struct geo *geo, const void *raw, struct dinode *ret_di)
{
	const uint8_t *p = (const uint8_t *)raw;
	struct dinode di = {
		.mode = get_le16(p + OFF_MODE),
		.uid = get_le16(p + OFF_UID) |
				(uint32_t)get_le16(p + OFF_UID_HI) << 16,
		.gid = get_le16(p + OFF_GID) |
				(uint32_t)get_le16(p + OFF_GID_HI) << 16,
		.size = get_le32(p + OFF_SIZE),
		.links = get_le16(p + OFF_LINKS),
		.flags = get_le32(p + OFF_FLAGS),
		.dtime = get_le32(p + OFF_DTIME),
		.generation = get_le32(p + OFF_GENERATION),
		.file_acl = get_le32(p + OFF_ACL) |
				(pblk_t)get_le16(p + OFF_ACL_HI) << 32,
		.version = get_le32(p + OFF_VERSION),
		.checksum = get_le16(p + OFF_CSUM),
	};

	if (size_has_high(geo, di.mode))
		di.size |= (uint64_t)get_le32(p + OFF_SIZE_HI) << 32;
	di.sectors = sectors_decode(geo, p, di.flags);
	memcpy(di.iblock, p + DINODE_IBLOCK_OFF, sizeof(di.iblock));
	if (geo->inode_size > DINODE_SIZE_MIN)
		di.extra_isize = get_le16(p + OFF_EXTRA_ISIZE);
	decode_extra(geo, p, &di);
	*ret_di = di;
}

/* ---- encode ---- */

/* i_blocks as the disk shall say it; sets or clears the flag that says in
 * which unit. */
static int sectors_encode(
		const struct geo *geo, struct dinode *di, uint64_t *ret_n)
{
	uint32_t flags = di->flags & ~DINODE_F_HUGE_FILE;
	uint64_t n = di->sectors;

	if (n > UINT32_MAX && !geo_has_ro_compat(geo, FR_HUGE_FILE))
		return -EOVERFLOW;
	if (n > BLOCKS_48) {
		n >>= geo->block_bits - 9;
		if (n > BLOCKS_48)
			return -EOVERFLOW;
		flags |= DINODE_F_HUGE_FILE;
	}
	/* Others read the flags at any time: leave them alone if they fit. */
	if (flags != di->flags)
		di->flags = flags;
	*ret_n = n;
	return 0;
}

static void encode_extra(
		const struct geo *geo, const struct dinode *di, uint8_t *raw)
{
	uint32_t extra = di->extra_isize;

	if (geo->inode_size > DINODE_SIZE_MIN)
		put_le16(raw + OFF_EXTRA_ISIZE, di->extra_isize);
	dtime_encode(geo, extra, di->atime, raw, OFF_ATIME, OFF_ATIME_X);
	dtime_encode(geo, extra, di->ctime, raw, OFF_CTIME, OFF_CTIME_X);
	dtime_encode(geo, extra, di->mtime, raw, OFF_MTIME, OFF_MTIME_X);
	if (has_field(geo, extra, OFF_CRTIME, 4))
		dtime_encode(geo, extra, di->crtime, raw, OFF_CRTIME,
				OFF_CRTIME_X);
	if (has_field(geo, extra, OFF_VERSION_HI, 4))
		put_le32(raw + OFF_VERSION_HI, (uint32_t)(di->version >> 32));
	if (has_field(geo, extra, OFF_PROJID, 4))
		put_le32(raw + OFF_PROJID, di->projid);
}

int dinode_encode(const struct geo *geo, struct dinode *di, void *raw)
{
	uint8_t *p = (uint8_t *)raw;
	uint64_t sectors;
	int ret;

	if (di->links > UINT16_MAX)
		return -EOVERFLOW;
	ret = sectors_encode(geo, di, &sectors);
	if (ret < 0)
		return ret;

	put_le16(p + OFF_MODE, di->mode);
	put_le16(p + OFF_UID, (uint16_t)di->uid);
	put_le16(p + OFF_UID_HI, (uint16_t)(di->uid >> 16));
	put_le16(p + OFF_GID, (uint16_t)di->gid);
	put_le16(p + OFF_GID_HI, (uint16_t)(di->gid >> 16));
	put_le32(p + OFF_SIZE, (uint32_t)di->size);
	if (size_has_high(geo, di->mode))
		put_le32(p + OFF_SIZE_HI, (uint32_t)(di->size >> 32));
	put_le16(p + OFF_LINKS, (uint16_t)di->links);
	put_le32(p + OFF_BLOCKS, (uint32_t)sectors);
	if (geo_has_ro_compat(geo, FR_HUGE_FILE))
		put_le16(p + OFF_BLOCKS_HI, (uint16_t)(sectors >> 32));
	put_le32(p + OFF_FLAGS, di->flags);
	put_le32(p + OFF_DTIME, di->dtime);
	put_le32(p + OFF_GENERATION, di->generation);
	put_le32(p + OFF_ACL, (uint32_t)di->file_acl);
	put_le16(p + OFF_ACL_HI, (uint16_t)(di->file_acl >> 32));
	put_le32(p + OFF_VERSION, (uint32_t)di->version);
	memcpy(p + DINODE_IBLOCK_OFF, di->iblock, sizeof(di->iblock));
	encode_extra(geo, di, p);
	return 0;
}

void dinode_init(const struct geo *geo, void *raw, struct dinode *ret_di)
{
	uint8_t *p = (uint8_t *)raw;

	memset(p, 0, geo->inode_size);
	if (geo->inode_size > DINODE_SIZE_MIN)
		put_le16(p + OFF_EXTRA_ISIZE, (uint16_t)geo->want_extra_isize);
	dinode_decode(geo, p, ret_di);
}

/* ---- check ---- */

static int bad(const char **ret_why, const char *why)
{
	if (ret_why)
		*ret_why = why;
	return -UEXT4_ECORRUPT;
}

static bool mode_type_ok(uint16_t mode)
{
	switch (mode & MODE_TYPE) {
	case 0010000: /* fifo */
	case 0020000: /* character device */
	case 0040000: /* directory */
	case 0060000: /* block device */
	case 0100000: /* regular */
	case 0120000: /* symlink */
	case 0140000: /* socket */
		return true;
	default:
		return false;
	}
}

static int check_flags(const struct geo *geo, const struct dinode *di,
		const char **ret_why)
{
	if (di->flags & DINODE_F_EXTENTS && !geo_has_incompat(geo, FI_EXTENTS))
		return bad(ret_why, "extents without the extent feature");
	if (di->flags & DINODE_F_INLINE_DATA &&
			!geo_has_incompat(geo, FI_INLINE_DATA))
		return bad(ret_why, "inline data without its feature");
	if (di->flags & DINODE_F_CASEFOLD &&
			!geo_has_incompat(geo, FI_CASEFOLD))
		return bad(ret_why, "casefold without its feature");
	if (di->flags & DINODE_F_INLINE_DATA && di->flags & DINODE_F_EXTENTS)
		return bad(ret_why, "inline data and extents at once");
	return 0;
}

int dinode_check(const struct geo *geo, inum_t inum, const struct dinode *di,
		const char **ret_why)
{
	uint32_t room = geo->inode_size - DINODE_SIZE_MIN;

	if (!geo_inum_ok(geo, inum))
		return bad(ret_why, "inode number out of range");
	if (!mode_type_ok(di->mode))
		return bad(ret_why, "unknown file type in mode");
	if (di->extra_isize > room || di->extra_isize % 4 != 0)
		return bad(ret_why, "extra_isize out of range");
	if (di->size > INT64_MAX)
		return bad(ret_why, "size is negative");
	if (dinode_is_dir(di) && di->size >> geo->block_bits > UINT32_MAX)
		return bad(ret_why, "directory too large");
	if (di->file_acl != 0 && !geo_block_ok(geo, di->file_acl))
		return bad(ret_why, "attribute block out of range");
	/* One that is being deleted has lost its block already. */
	if (di->links > 0 && dinode_is_fast_symlink(geo, di) &&
			di->size > DINODE_FAST_SYMLINK_MAX)
		return bad(ret_why, "symlink too long for its place");
	return check_flags(geo, di, ret_why);
}

bool dinode_needs_large_file(const struct dinode *di)
{
	return dinode_is_reg(di) && di->size > INT32_MAX;
}

bool dinode_is_fast_symlink(const struct geo *geo, const struct dinode *di)
{
	uint64_t acl = di->file_acl ? geo->block_size >> 9 << geo->cluster_bits
				    : 0;

	if (!dinode_is_symlink(di) || di->flags & DINODE_F_INLINE_DATA)
		return false;
	/* Attribute values in inodes count as blocks, too: no way to tell. */
	if (geo_has_incompat(geo, FI_EA_INODE))
		return di->size <= DINODE_FAST_SYMLINK_MAX;
	return di->sectors == acl;
}

/* ---- checksum ---- */

uint32_t dinode_csum_seed(
		const struct geo *geo, inum_t inum, uint32_t generation)
{
	return crc32c_le32(crc32c_le32(geo->csum_seed, inum), generation);
}

static bool dinode_has_csum_hi(const struct geo *geo, const uint8_t *raw)
{
	return geo->inode_size > DINODE_SIZE_MIN &&
			has_field(geo, get_le16(raw + OFF_EXTRA_ISIZE),
					OFF_CSUM_HI, 2);
}

/* The whole inode with its checksum's places taken as zero. */
static uint32_t dinode_csum(
		const struct geo *geo, inum_t inum, const uint8_t *raw)
{
	static const uint8_t zero[2];
	uint32_t c = dinode_csum_seed(
			geo, inum, get_le32(raw + OFF_GENERATION));

	c = crc32c(c, raw, OFF_CSUM);
	c = crc32c(c, zero, sizeof(zero));
	if (!dinode_has_csum_hi(geo, raw)) {
		c = crc32c(c, raw + OFF_CSUM + 2,
				geo->inode_size - OFF_CSUM - 2);
		return c & 0xffffu;
	}
	c = crc32c(c, raw + OFF_CSUM + 2, OFF_CSUM_HI - OFF_CSUM - 2);
	c = crc32c(c, zero, sizeof(zero));
	return crc32c(c, raw + OFF_CSUM_HI + 2,
			geo->inode_size - OFF_CSUM_HI - 2);
}

static bool is_all_zero(const uint8_t *p, size_t n)
{
	return p[0] == 0 && memcmp(p, p + 1, n - 1) == 0;
}

int dinode_csum_verify(const struct geo *geo, inum_t inum, const void *raw)
{
	const uint8_t *p = (const uint8_t *)raw;
	uint32_t stored;

	if (!geo_has_csum(geo))
		return 0;
	stored = get_le16(p + OFF_CSUM);
	if (dinode_has_csum_hi(geo, p))
		stored |= (uint32_t)get_le16(p + OFF_CSUM_HI) << 16;
	if (dinode_csum(geo, inum, p) == stored)
		return 0;
	return is_all_zero(p, geo->inode_size) ? 0 : -UEXT4_EBADCSUM;
}

void dinode_csum_set(const struct geo *geo, inum_t inum, void *raw)
{
	uint8_t *p = (uint8_t *)raw;
	uint32_t c;

	if (!geo_has_csum(geo))
		return;
	c = dinode_csum(geo, inum, p);
	put_le16(p + OFF_CSUM, (uint16_t)c);
	if (dinode_has_csum_hi(geo, p))
		put_le16(p + OFF_CSUM_HI, (uint16_t)(c >> 16));
}

/* ---- what else is in i_block, and behind the fields ---- */

void dinode_put_rdev(struct dinode *di, dev_t rdev)
{
	uint32_t maj = major(rdev);
	uint32_t min = minor(rdev);
	uint32_t old = 0;
	uint32_t new = 0;

	if (maj < 256 && min < 256)
		old = maj << 8 | min;
	else
		new = (min & 0xffu) | maj << 8 | (min & ~0xffu) << 12;
	memset(di->iblock, 0, sizeof(di->iblock));
	put_le32(di->iblock, old);
	put_le32(di->iblock + 4, new);
}

dev_t dinode_get_rdev(const struct dinode *di)
{
	uint32_t old = get_le32(di->iblock);
	uint32_t new = get_le32(di->iblock + 4);

	if (old != 0)
		return makedev((old >> 8) & 0xffu, old & 0xffu);
	return makedev((new & 0xfff00u) >> 8,
			(new & 0xffu) | ((new >> 12) & 0xfff00u));
}

void dinode_xattr_area(const struct geo *geo, const struct dinode *di,
		uint32_t *ret_off, uint32_t *ret_len)
{
	uint32_t off = DINODE_SIZE_MIN + di->extra_isize;
	bool has_room = di->extra_isize != 0 && off % 4 == 0 &&
			off + 8 <= geo->inode_size;

	*ret_off = has_room ? off : 0;
	*ret_len = has_room ? geo->inode_size - off : 0;
}
