/* SPDX-License-Identifier: MIT */
/*
 * The superblock: 1024 bytes at byte 1024 of the file system, and its copies.
 *
 * How to use, at mount:
 *	dsuper_magic_ok(raw)                  else: not ext4
 *	dsuper_csum_verify(raw)               else: dsuper_repair_torn()
 *	dsuper_decode(raw, &sb)
 *	dsuper_gate(&sb, &gate)               read-write, read-only or refused
 *	dsuper_check(&sb, dev_blocks, &why)   then geo_init() (disk/geo.h)
 * and to write:
 *	dsuper_encode(&sb, raw)               over the old raw bytes
 *	dsuper_csum_set(raw)
 *
 * Rules  (S1) The fields that change while mounted lie in bytes 0..511, but
 *             for s_checksum, the high bytes of the times, the error codes
 *             and s_overhead_clusters.
 *        (S2) dsuper_encode() keeps every byte that it has no field for.
 */
#ifndef UEXT4_DISK_DSUPER_H
#define UEXT4_DISK_DSUPER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/types.h"
#include "disk/dfeature.h"

#define DSUPER_OFF   1024u /* where the first one stands, in bytes */
#define DSUPER_SIZE  1024u
#define DSUPER_MAGIC 0xEF53u

/* s_state */
#define DSUPER_STATE_VALID     0x0001u /* unmounted cleanly */
#define DSUPER_STATE_ERROR     0x0002u /* errors seen */
#define DSUPER_STATE_ORPHAN    0x0004u /* orphans being recovered */
#define DSUPER_STATE_FC_REPLAY 0x0020u

/* s_errors */
#define DSUPER_ERRORS_CONTINUE 1u
#define DSUPER_ERRORS_RO       2u
#define DSUPER_ERRORS_PANIC    3u

/* s_rev_level */
#define DSUPER_REV_GOOD_OLD 0u
#define DSUPER_REV_DYNAMIC  1u

/* s_flags */
#define DSUPER_FLAG_SIGNED_HASH   0x0001u
#define DSUPER_FLAG_UNSIGNED_HASH 0x0002u
#define DSUPER_FLAG_TEST_FILESYS  0x0004u

/* s_default_mount_opts */
#define DSUPER_DEFM_DEBUG          0x0001u
#define DSUPER_DEFM_BSDGROUPS      0x0002u
#define DSUPER_DEFM_XATTR_USER     0x0004u
#define DSUPER_DEFM_ACL            0x0008u
#define DSUPER_DEFM_UID16          0x0010u
#define DSUPER_DEFM_JMODE          0x0060u
#define DSUPER_DEFM_JMODE_DATA     0x0020u
#define DSUPER_DEFM_JMODE_ORDERED  0x0040u
#define DSUPER_DEFM_JMODE_WBACK    0x0060u
#define DSUPER_DEFM_NOBARRIER      0x0100u
#define DSUPER_DEFM_BLOCK_VALIDITY 0x0200u
#define DSUPER_DEFM_DISCARD        0x0400u
#define DSUPER_DEFM_NODELALLOC     0x0800u

/* s_checksum_type */
#define DSUPER_CSUM_CRC32C 1u

/* One half of the error log: the first, and the last error seen. */
struct dsuper_error {
	uint64_t time; /* seconds, 40 bits on disk */
	inum_t inum;
	uint64_t block;
	uint32_t line;
	uint8_t code;
	char func[33]; /* zero-terminated here */
};

struct dsuper {
	inum_t inodes_count;
	pblk_t blocks_count;
	pblk_t r_blocks_count;
	uint64_t free_blocks_count;
	uint32_t free_inodes_count;
	uint32_t first_data_block;
	uint32_t log_block_size; /* block size is 1024 << this */
	uint32_t log_cluster_size;
	uint32_t blocks_per_group;
	uint32_t clusters_per_group;
	uint32_t inodes_per_group;
	uint64_t mtime; /* seconds; 40 bits on disk, as all times here */
	uint64_t wtime;
	uint16_t mnt_count;
	uint16_t max_mnt_count; /* 0xffff: no limit */
	uint16_t magic;
	uint16_t state;
	uint16_t errors;
	uint16_t minor_rev_level;
	uint64_t lastcheck;
	uint32_t checkinterval;
	uint32_t creator_os;
	uint32_t rev_level;
	uint16_t def_resuid;
	uint16_t def_resgid;
	/* of rev_level 1 from here on; decode fills in rev 0's constants */
	inum_t first_ino;
	uint16_t inode_size;
	uint16_t block_group_nr; /* the group that holds this copy */
	uint32_t feature_compat;
	uint32_t feature_incompat;
	uint32_t feature_ro_compat;
	uint8_t uuid[16];
	char volume_name[17]; /* zero-terminated here */
	char last_mounted[65];
	uint32_t algorithm_usage_bitmap;
	uint8_t prealloc_blocks;
	uint8_t prealloc_dir_blocks;
	uint16_t reserved_gdt_blocks;
	uint8_t journal_uuid[16];
	inum_t journal_inum;
	uint32_t journal_dev;
	inum_t last_orphan; /* head of the orphan list */
	uint32_t hash_seed[4];
	uint8_t def_hash_version; /* DHASH_*, never the unsigned variants */
	uint8_t jnl_backup_type;
	uint16_t desc_size; /* as stored: 0 without 64bit */
	uint32_t default_mount_opts;
	uint32_t first_meta_bg;
	uint64_t mkfs_time;
	uint32_t jnl_blocks[17];
	uint16_t min_extra_isize;
	uint16_t want_extra_isize;
	uint32_t flags;
	uint16_t raid_stride;
	uint16_t mmp_update_interval;
	pblk_t mmp_block;
	uint32_t raid_stripe_width;
	uint8_t log_groups_per_flex;
	uint8_t checksum_type;
	uint8_t encryption_level;
	uint64_t kbytes_written;
	inum_t snapshot_inum;
	uint32_t snapshot_id;
	uint64_t snapshot_r_blocks_count;
	inum_t snapshot_list;
	uint32_t error_count;
	struct dsuper_error first_error;
	struct dsuper_error last_error;
	char mount_opts[65];
	inum_t usr_quota_inum;
	inum_t grp_quota_inum;
	uint32_t overhead_clusters;
	grp_t backup_bgs[2]; /* sparse_super2 */
	uint8_t encrypt_algos[4];
	uint8_t encrypt_pw_salt[16];
	inum_t lpf_ino;
	inum_t prj_quota_inum;
	uint32_t checksum_seed;
	uint16_t encoding;
	uint16_t encoding_flags;
	inum_t orphan_file_inum;
	uint32_t checksum; /* as stored; dsuper_encode() leaves it alone */
};

/* The verdict of the feature gate. */
enum dsuper_mode {
	DSUPER_MODE_RW,     /* may be mounted read-write */
	DSUPER_MODE_RO,     /* read-only, because of the features in @names */
	DSUPER_MODE_REFUSE, /* not at all, because of them */
};

struct dsuper_gate {
	enum dsuper_mode mode;
	char names[256]; /* "bigalloc, quota"; empty for RW */
	const char *why; /* the reason of the first of them, or NULL */
};

/* Does @raw carry the magic number? Of a file of any content. */
bool dsuper_magic_ok(const void *raw);
/* 0 when @raw carries no checksum (no metadata_csum) or a right one,
 * -UEXT4_EBADCSUM otherwise. Looks at raw bytes only. */
int dsuper_csum_verify(const void *raw) UEXT4_MUST_CHECK;
/* Store the checksum if metadata_csum is on. */
void dsuper_csum_set(void *raw);

/*
 * The fields changed, the stored checksum stays: make it right by choosing
 * s_snapshot_id, which Linux has never used and no tool reads without
 * s_snapshot_inum. As long as only bytes 0..511 change, the second 512-byte
 * sector of the superblock then stays as it is, and a power cut cannot leave
 * the sectors of two different superblocks. CRC-32C is linear, so there is
 * always exactly one such number. Nothing without metadata_csum.
 */
void dsuper_csum_keep(void *raw);

/* Bytes to fields; any bytes will do. */
void dsuper_decode(const void *raw, struct dsuper *ret_sb);
/* Fields over bytes (S2). Fields that the revision or the features give no
 * room (high halves without 64bit) keep what @raw had. */
void dsuper_encode(const struct dsuper *sb, void *raw);

/* May a file system with these features be mounted, and how? */
void dsuper_gate(const struct dsuper *sb, struct dsuper_gate *ret_gate);

/* Can a file system of this shape exist? Run the gate first. @dev_bytes is
 * the size of the device, or 0 not to compare with it. -UEXT4_ECORRUPT with
 * *ret_why set to a phrase that names the field. @ret_why may be NULL. */
int dsuper_check(const struct dsuper *sb, uint64_t dev_bytes,
		const char **ret_why) UEXT4_MUST_CHECK;

/* Are @raw and @backup superblocks of one file system: equal in every field
 * that no mounted file system changes? (Backups lag behind in the others.) */
bool dsuper_is_same_fs(const void *raw, const void *backup);

/*
 * A power cut may leave the two 512-byte sectors of the primary from
 * different writes. Accept a @primary with a bad checksum whose static fields
 * all equal those of a @backup with a good one: *ret_raw is the primary with
 * its checksum made right. The counters may be old: the caller recounts them
 * or lets the journal's copy win. -UEXT4_EBADCSUM when it is not so.
 * @ret_raw may be @primary.
 */
int dsuper_repair_torn(const void *primary, const void *backup,
		void *ret_raw) UEXT4_MUST_CHECK;

/* Record an error in the error log (first only if there is none yet), count
 * it and set DSUPER_STATE_ERROR. @func is cut to 32 bytes. @err is a positive
 * errno. */
void dsuper_note_error(struct dsuper *sb, uint64_t now, const char *func,
		uint32_t line, int err, inum_t inum, pblk_t block);

#endif /* UEXT4_DISK_DSUPER_H */
