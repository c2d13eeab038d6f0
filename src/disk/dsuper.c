/* SPDX-License-Identifier: MIT */
/*
 * The superblock's fields, checksum, and what they must be like.
 *
 * One table says where each field stands on disk and in struct dsuper, so
 * decode and encode cannot disagree. Offsets are those of the kernel's
 * documentation, ext4/super.rst; the codes of the error log, 0x27A, 0x27B and
 * encryption_level at 0x176 are as dumpe2fs and debugfs show them.
 */
#include "disk/dsuper.h"

#include <stdio.h>
#include <string.h>

#include "base/csum.h"
#include "base/le.h"
#include "disk/geo.h"

#define OFF_FIRST_INO        0x54u
#define OFF_INODE_SIZE       0x58u
#define OFF_MAGIC            0x38u
#define OFF_FEATURE_INCOMPAT 0x60u
#define OFF_FEATURE_RO       0x64u
#define OFF_CHECKSUM         0x3FCu
#define OFF_SPARE            0x184u /* s_snapshot_id: written by nobody, read by nobody */

/* A number, or @count numbers one behind the other; some have a high part
 * elsewhere. */
struct dsuper_field {
	uint16_t off; /* on disk */
	uint8_t size; /* there, in bytes */
	uint8_t count;
	uint16_t hi_off; /* of the high part; 0: none */
	uint8_t hi_size;
	bool hi_needs_64bit;
	uint16_t host_off; /* in struct dsuper */
	uint8_t host_size;
};

#define HOST(name, n)                                                          \
 .host_off = offsetof(struct dsuper, name),                                    \
 .host_size = sizeof(((struct dsuper *)0)->name) / (n)
#define NUM(o, s, name)                                                        \
 {                                                                             \
  .off = o, .size = s, .count = 1, HOST(name, 1)                               \
 }
#define NUMS(o, s, n, name)                                                    \
 {                                                                             \
  .off = o, .size = s, .count = n, HOST(name, n)                               \
 }
#define SPLIT(o, s, ho, hs, is64, name)                                        \
 {                                                                             \
  .off = o, .size = s, .count = 1, .hi_off = ho, .hi_size = hs,                \
  .hi_needs_64bit = is64, HOST(name, 1)                                        \
 }

static const struct dsuper_field dsuper_fields[] = {
	NUM(0x00, 4, inodes_count),
	SPLIT(0x04, 4, 0x150, 4, true, blocks_count),
	SPLIT(0x08, 4, 0x154, 4, true, r_blocks_count),
	SPLIT(0x0C, 4, 0x158, 4, true, free_blocks_count),
	NUM(0x10, 4, free_inodes_count),
	NUM(0x14, 4, first_data_block),
	NUM(0x18, 4, log_block_size),
	NUM(0x1C, 4, log_cluster_size),
	NUM(0x20, 4, blocks_per_group),
	NUM(0x24, 4, clusters_per_group),
	NUM(0x28, 4, inodes_per_group),
	SPLIT(0x2C, 4, 0x275, 1, false, mtime),
	SPLIT(0x30, 4, 0x274, 1, false, wtime),
	NUM(0x34, 2, mnt_count),
	NUM(0x36, 2, max_mnt_count),
	NUM(OFF_MAGIC, 2, magic),
	NUM(0x3A, 2, state),
	NUM(0x3C, 2, errors),
	NUM(0x3E, 2, minor_rev_level),
	SPLIT(0x40, 4, 0x277, 1, false, lastcheck),
	NUM(0x44, 4, checkinterval),
	NUM(0x48, 4, creator_os),
	NUM(0x4C, 4, rev_level),
	NUM(0x50, 2, def_resuid),
	NUM(0x52, 2, def_resgid),
	NUM(0x5A, 2, block_group_nr),
	NUM(0x5C, 4, feature_compat),
	NUM(OFF_FEATURE_INCOMPAT, 4, feature_incompat),
	NUM(OFF_FEATURE_RO, 4, feature_ro_compat),
	NUMS(0x68, 1, 16, uuid),
	NUM(0xC8, 4, algorithm_usage_bitmap),
	NUM(0xCC, 1, prealloc_blocks),
	NUM(0xCD, 1, prealloc_dir_blocks),
	NUM(0xCE, 2, reserved_gdt_blocks),
	NUMS(0xD0, 1, 16, journal_uuid),
	NUM(0xE0, 4, journal_inum),
	NUM(0xE4, 4, journal_dev),
	NUM(0xE8, 4, last_orphan),
	NUMS(0xEC, 4, 4, hash_seed),
	NUM(0xFC, 1, def_hash_version),
	NUM(0xFD, 1, jnl_backup_type),
	NUM(0xFE, 2, desc_size),
	NUM(0x100, 4, default_mount_opts),
	NUM(0x104, 4, first_meta_bg),
	SPLIT(0x108, 4, 0x276, 1, false, mkfs_time),
	NUMS(0x10C, 4, 17, jnl_blocks),
	NUM(0x15C, 2, min_extra_isize),
	NUM(0x15E, 2, want_extra_isize),
	NUM(0x160, 4, flags),
	NUM(0x164, 2, raid_stride),
	NUM(0x166, 2, mmp_update_interval),
	NUM(0x168, 8, mmp_block),
	NUM(0x170, 4, raid_stripe_width),
	NUM(0x174, 1, log_groups_per_flex),
	NUM(0x175, 1, checksum_type),
	NUM(0x176, 1, encryption_level),
	NUM(0x178, 8, kbytes_written),
	NUM(0x180, 4, snapshot_inum),
	NUM(0x184, 4, snapshot_id),
	NUM(0x188, 8, snapshot_r_blocks_count),
	NUM(0x190, 4, snapshot_list),
	NUM(0x194, 4, error_count),
	SPLIT(0x198, 4, 0x278, 1, false, first_error.time),
	NUM(0x19C, 4, first_error.inum),
	NUM(0x1A0, 8, first_error.block),
	NUM(0x1C8, 4, first_error.line),
	NUM(0x27A, 1, first_error.code),
	SPLIT(0x1CC, 4, 0x279, 1, false, last_error.time),
	NUM(0x1D0, 4, last_error.inum),
	NUM(0x1D4, 4, last_error.line),
	NUM(0x1D8, 8, last_error.block),
	NUM(0x27B, 1, last_error.code),
	NUM(0x240, 4, usr_quota_inum),
	NUM(0x244, 4, grp_quota_inum),
	NUM(0x248, 4, overhead_clusters),
	NUMS(0x24C, 4, 2, backup_bgs),
	NUMS(0x254, 1, 4, encrypt_algos),
	NUMS(0x258, 1, 16, encrypt_pw_salt),
	NUM(0x268, 4, lpf_ino),
	NUM(0x26C, 4, prj_quota_inum),
	NUM(0x270, 4, checksum_seed),
	NUM(0x27C, 2, encoding),
	NUM(0x27E, 2, encoding_flags),
	NUM(0x280, 4, orphan_file_inum),
};

/* Text: @size bytes on disk, one more for the zero here. */
struct dsuper_text {
	uint16_t off;
	uint16_t size;
	uint16_t host_off;
};

static const struct dsuper_text dsuper_texts[] = {
	{ 0x78, 16, offsetof(struct dsuper, volume_name) },
	{ 0x88, 64, offsetof(struct dsuper, last_mounted) },
	{ 0x1A8, 32, offsetof(struct dsuper, first_error.func) },
	{ 0x1E0, 32, offsetof(struct dsuper, last_error.func) },
	{ 0x200, 64, offsetof(struct dsuper, mount_opts) },
};

static uint64_t dsuper_get(const uint8_t *p, unsigned size)
{
	uint64_t v = 0;

	for (unsigned i = size; i-- > 0;)
		v = v << 8 | p[i];
	return v;
}

static void dsuper_put(uint8_t *p, unsigned size, uint64_t v)
{
	for (unsigned i = 0; i < size; i++, v >>= 8)
		p[i] = (uint8_t)v;
}

static uint64_t dsuper_host_get(const uint8_t *host, unsigned size)
{
	uint64_t v64;
	uint32_t v32;
	uint16_t v16;

	switch (size) {
	case 8:
		memcpy(&v64, host, 8);
		return v64;
	case 4:
		memcpy(&v32, host, 4);
		return v32;
	case 2:
		memcpy(&v16, host, 2);
		return v16;
	default:
		return *host;
	}
}

static void dsuper_host_put(uint8_t *host, unsigned size, uint64_t v)
{
	uint32_t v32 = (uint32_t)v;
	uint16_t v16 = (uint16_t)v;

	switch (size) {
	case 8:
		memcpy(host, &v, 8);
		break;
	case 4:
		memcpy(host, &v32, 4);
		break;
	case 2:
		memcpy(host, &v16, 2);
		break;
	default:
		*host = (uint8_t)v;
	}
}

/* Does the high part of @f stand on this disk? */
static bool dsuper_has_hi(const uint8_t *raw, const struct dsuper_field *f)
{
	if (f->hi_off == 0)
		return false;
	return !f->hi_needs_64bit ||
			(get_le32(raw + OFF_FEATURE_INCOMPAT) & FI_64BIT);
}

static void dsuper_field_decode(const uint8_t *raw,
		const struct dsuper_field *f, struct dsuper *sb)
{
	uint8_t *host = (uint8_t *)sb + f->host_off;

	for (unsigned i = 0; i < f->count; i++) {
		uint64_t v = dsuper_get(
				raw + f->off + (size_t)i * f->size, f->size);

		if (dsuper_has_hi(raw, f))
			v |= dsuper_get(raw + f->hi_off, f->hi_size)
					<< (8 * f->size);
		dsuper_host_put(host + (size_t)i * f->host_size, f->host_size,
				v);
	}
}

static void dsuper_field_encode(const struct dsuper *sb,
		const struct dsuper_field *f, uint8_t *raw)
{
	const uint8_t *host = (const uint8_t *)sb + f->host_off;

	for (unsigned i = 0; i < f->count; i++) {
		uint64_t v = dsuper_host_get(
				host + (size_t)i * f->host_size, f->host_size);

		dsuper_put(raw + f->off + (size_t)i * f->size, f->size, v);
		if (dsuper_has_hi(raw, f))
			dsuper_put(raw + f->hi_off, f->hi_size,
					v >> (8 * f->size));
	}
}

void dsuper_decode(const void *raw, struct dsuper *ret_sb)
{
	const uint8_t *p = (const uint8_t *)raw;

	memset(ret_sb, 0, sizeof(*ret_sb));
	for (size_t i = 0; i < array_len(dsuper_fields); i++)
		dsuper_field_decode(p, &dsuper_fields[i], ret_sb);
	for (size_t i = 0; i < array_len(dsuper_texts); i++) {
		const struct dsuper_text *t = &dsuper_texts[i];

		memcpy((char *)ret_sb + t->host_off, p + t->off, t->size);
	}
	ret_sb->first_ino = get_le32(p + OFF_FIRST_INO);
	ret_sb->inode_size = get_le16(p + OFF_INODE_SIZE);
	if (ret_sb->rev_level == DSUPER_REV_GOOD_OLD) {
		ret_sb->first_ino = INUM_GOOD_OLD_FIRST;
		ret_sb->inode_size = 128;
	}
	ret_sb->checksum = get_le32(p + OFF_CHECKSUM);
}

void dsuper_encode(const struct dsuper *sb, void *raw)
{
	uint8_t *p = (uint8_t *)raw;

	/* Features first: they say which high parts there are. */
	put_le32(p + OFF_FEATURE_INCOMPAT, sb->feature_incompat);
	for (size_t i = 0; i < array_len(dsuper_fields); i++)
		dsuper_field_encode(sb, &dsuper_fields[i], p);
	for (size_t i = 0; i < array_len(dsuper_texts); i++) {
		const struct dsuper_text *t = &dsuper_texts[i];
		const char *text = (const char *)sb + t->host_off;
		size_t len = strnlen(text, t->size);

		memcpy(p + t->off, text, len);
		memset(p + t->off + len, 0, t->size - len);
	}
	if (sb->rev_level != DSUPER_REV_GOOD_OLD) {
		put_le32(p + OFF_FIRST_INO, sb->first_ino);
		put_le16(p + OFF_INODE_SIZE, sb->inode_size);
	}
}

bool dsuper_magic_ok(const void *raw)
{
	return get_le16((const uint8_t *)raw + OFF_MAGIC) == DSUPER_MAGIC;
}

/* ---- checksum ---- */

static bool dsuper_has_csum(const uint8_t *raw)
{
	return (get_le32(raw + OFF_FEATURE_RO) & FR_METADATA_CSUM) != 0;
}

int dsuper_csum_verify(const void *raw)
{
	const uint8_t *p = (const uint8_t *)raw;

	if (!dsuper_has_csum(p))
		return 0;
	if (crc32c(CRC32C_INIT, p, OFF_CHECKSUM) != get_le32(p + OFF_CHECKSUM))
		return -UEXT4_EBADCSUM;
	return 0;
}

void dsuper_csum_set(void *raw)
{
	uint8_t *p = (uint8_t *)raw;

	if (dsuper_has_csum(p))
		put_le32(p + OFF_CHECKSUM,
				crc32c(CRC32C_INIT, p, OFF_CHECKSUM));
}

void dsuper_csum_keep(void *raw)
{
	uint8_t *p = (uint8_t *)raw;

	if (dsuper_has_csum(p))
		crc32c_keep(CRC32C_INIT, p, OFF_CHECKSUM, OFF_SPARE,
				get_le32(p + OFF_CHECKSUM));
}

/* ---- copies ---- */

bool dsuper_is_same_fs(const void *raw, const void *backup)
{
	/* Bytes that only mke2fs, tune2fs and resize2fs write, which keep the
	 * copies alike: sizes, uuid, seeds and the like. */
	static const struct {
		uint16_t off, end;
	} same[] = {
		{ 0x00, 0x08 },   /* inodes, blocks */
		{ 0x14, 0x2C },   /* first block .. inodes per group */
		{ 0x38, 0x3A },   /* magic */
		{ 0x48, 0x50 },   /* creator, revision */
		{ 0x54, 0x5A },   /* first inode, inode size */
		{ 0x68, 0x78 },   /* uuid */
		{ 0xCE, 0xE8 },   /* reserved descriptors, journal */
		{ 0xEC, 0x100 },  /* hash, descriptor size */
		{ 0x104, 0x108 }, /* first meta group */
		{ 0x150, 0x154 }, /* blocks, high */
		{ 0x174, 0x176 }, /* flex groups, checksum type */
		{ 0x240, 0x248 }, /* quota files */
		{ 0x24C, 0x274 }, /* backups .. checksum seed */
		{ 0x27C, 0x3FC }, /* encoding .. the end */
	};
	/* Features that a mounted file system turns on and off by itself. */
	static const uint32_t moving[3] = {
		FC_EXT_ATTR | FC_FAST_COMMIT,
		FI_RECOVER | FI_EXTENTS,
		FR_LARGE_FILE | FR_HUGE_FILE | FR_DIR_NLINK | FR_EXTRA_ISIZE |
				FR_ORPHAN_PRESENT,
	};
	const uint8_t *a = (const uint8_t *)raw;
	const uint8_t *b = (const uint8_t *)backup;

	for (size_t i = 0; i < array_len(same); i++) {
		if (memcmp(a + same[i].off, b + same[i].off,
				    same[i].end - same[i].off) != 0)
			return false;
	}
	for (unsigned i = 0; i < 3; i++) {
		uint32_t diff = get_le32(a + 0x5C + (size_t)i * 4) ^
				get_le32(b + 0x5C + (size_t)i * 4);

		if (diff & ~moving[i])
			return false;
	}
	return true;
}

int dsuper_repair_torn(const void *primary, const void *backup, void *ret_raw)
{
	if (!dsuper_magic_ok(backup) || dsuper_csum_verify(backup) < 0)
		return -UEXT4_EBADCSUM;
	if (!dsuper_is_same_fs(primary, backup))
		return -UEXT4_EBADCSUM;
	memmove(ret_raw, primary, DSUPER_SIZE);
	dsuper_csum_set(ret_raw);
	return 0;
}

/* ---- error log ---- */

/* The codes of the error log, as dumpe2fs names them. */
static uint8_t dsuper_error_code(int err)
{
	static const struct {
		int err;
		uint8_t code;
	} codes[] = {
		{ EIO, 2 },
		{ ENOMEM, 3 },
		{ UEXT4_EBADCSUM, 4 },
		{ UEXT4_ECORRUPT, 5 },
		{ ENOSPC, 6 },
		{ ENOKEY, 7 },
		{ EROFS, 8 },
		{ EFBIG, 9 },
		{ EEXIST, 10 },
		{ ERANGE, 11 },
		{ EOVERFLOW, 12 },
		{ EBUSY, 13 },
		{ ENOTDIR, 14 },
		{ ENOTEMPTY, 15 },
		{ ESHUTDOWN, 16 },
		{ EFAULT, 17 },
	};

	for (size_t i = 0; i < array_len(codes); i++) {
		if (codes[i].err == err)
			return codes[i].code;
	}
	return 1; /* unknown */
}

void dsuper_note_error(struct dsuper *sb, uint64_t now, const char *func,
		uint32_t line, int err, inum_t inum, pblk_t block)
{
	struct dsuper_error e = {
		.time = now,
		.inum = inum,
		.block = block,
		.line = line,
		.code = dsuper_error_code(err),
	};

	(void)snprintf(e.func, sizeof(e.func), "%s", func);
	sb->state |= DSUPER_STATE_ERROR;
	sb->last_error = e;
	if (sb->first_error.time == 0)
		sb->first_error = e;
	if (sb->error_count < UINT32_MAX)
		sb->error_count++;
}
