/* SPDX-License-Identifier: MIT */
/*
 * Inodes: 128 bytes of old, the extra fields behind them, and what is left
 * for attributes inside the inode.
 *
 *	dinode_csum_verify(geo, inum, raw)
 *	dinode_decode(geo, raw, &di)
 *	dinode_check(geo, inum, &di, &why)
 *	... change di ...
 *	dinode_encode(geo, &di, raw)          over the old raw bytes
 *	dinode_csum_set(geo, inum, raw)
 *
 * Rules  (N1) dinode_encode() keeps every byte that has no field: the
 *             attribute area above all.
 *        (N2) A field past the inode's extra_isize reads as 0 and is not
 *             written.
 */
#ifndef UEXT4_DISK_DINODE_H
#define UEXT4_DISK_DINODE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/types.h"

struct geo;

#define DINODE_SIZE_MIN         128u
#define DINODE_IBLOCK_OFF       40u /* where i_block stands */
#define DINODE_IBLOCK_LEN       60u /* bytes of i_block */
#define DINODE_NPTR             15u /* words of it */
#define DINODE_NDIRECT          12u
#define DINODE_FAST_SYMLINK_MAX 59u /* longest target kept in i_block */

/* i_flags, named as lsattr and the kernel's documentation do */
#define DINODE_F_SECRM            0x00000001u
#define DINODE_F_UNRM             0x00000002u
#define DINODE_F_COMPR            0x00000004u
#define DINODE_F_SYNC             0x00000008u
#define DINODE_F_IMMUTABLE        0x00000010u
#define DINODE_F_APPEND           0x00000020u
#define DINODE_F_NODUMP           0x00000040u
#define DINODE_F_NOATIME          0x00000080u
#define DINODE_F_DIRTY            0x00000100u
#define DINODE_F_COMPRBLK         0x00000200u
#define DINODE_F_NOCOMPR          0x00000400u
#define DINODE_F_ENCRYPT          0x00000800u
#define DINODE_F_INDEX            0x00001000u /* hashed directory */
#define DINODE_F_IMAGIC           0x00002000u
#define DINODE_F_JOURNAL_DATA     0x00004000u
#define DINODE_F_NOTAIL           0x00008000u
#define DINODE_F_DIRSYNC          0x00010000u
#define DINODE_F_TOPDIR           0x00020000u
#define DINODE_F_HUGE_FILE        0x00040000u /* i_blocks counts fs blocks */
#define DINODE_F_EXTENTS          0x00080000u
#define DINODE_F_VERITY           0x00100000u
#define DINODE_F_EA_INODE         0x00200000u
#define DINODE_F_EOFBLOCKS        0x00400000u
#define DINODE_F_SNAPFILE         0x01000000u
#define DINODE_F_DAX              0x02000000u
#define DINODE_F_SNAPFILE_DELETED 0x04000000u
#define DINODE_F_SNAPFILE_SHRUNK  0x08000000u
#define DINODE_F_INLINE_DATA      0x10000000u
#define DINODE_F_PROJINHERIT      0x20000000u
#define DINODE_F_CASEFOLD         0x40000000u
/* what chattr may set, and what a new file takes from its directory */
#define DINODE_FL_USER_MODIFIABLE 0x624BC0FFu
#define DINODE_FL_USER_VISIBLE    0x725BDFFFu
#define DINODE_FL_INHERITED                                                    \
 (DINODE_F_SECRM | DINODE_F_UNRM | DINODE_F_COMPR | DINODE_F_SYNC |            \
		 DINODE_F_NODUMP | DINODE_F_NOATIME | DINODE_F_NOCOMPR |       \
		 DINODE_F_JOURNAL_DATA | DINODE_F_NOTAIL | DINODE_F_DIRSYNC |  \
		 DINODE_F_PROJINHERIT | DINODE_F_CASEFOLD | DINODE_F_DAX)

/* Seconds since 1970 and nanoseconds in [0, 1e9). */
struct dtime {
	int64_t sec;
	uint32_t nsec;
};

/* What the two forms of times on disk can hold. */
#define DTIME_MIN_SEC       (-0x80000000ll)
#define DTIME_MAX_SEC       0x37fffffffll /* 2446-05-10, with extra fields */
#define DTIME_MAX_SEC_SMALL 0x7fffffffll  /* 2038-01-19, without */

struct dinode {
	uint16_t mode;
	uint32_t uid;
	uint32_t gid;
	uint64_t size;
	uint32_t links;   /* 1 for directories past the limit (dir_nlink) */
	uint64_t sectors; /* in 512-byte units, whatever the disk says */
	uint32_t flags;   /* DINODE_F_* */
	struct dtime atime;
	struct dtime ctime;
	struct dtime mtime;
	struct dtime crtime; /* 0 when extra_isize does not reach it */
	uint32_t dtime;      /* when deleted; or the next of the orphan list */
	uint32_t generation;
	pblk_t file_acl;  /* attribute block, 0: none */
	uint64_t version; /* i_version, 64 bits if the inode has room */
	uint32_t projid;
	uint16_t extra_isize; /* bytes behind the first 128 that are fields */
	uint32_t checksum;    /* as stored; encode leaves it alone */
	uint8_t iblock[DINODE_IBLOCK_LEN]; /* as on disk */
};

/* Fields of @raw, geo->inode_size bytes of anything. An extra_isize that does
 * not fit is read as it is and refused by dinode_check(); fields in it are
 * then read only as far as the inode reaches. */
void dinode_decode(
		const struct geo *geo, const void *raw, struct dinode *ret_di);
/* -EOVERFLOW if a number has no room (sectors without huge_file): @raw is
 * then as before. Times are clamped to what the inode can hold. Chooses
 * DINODE_F_HUGE_FILE as needed and tells @di. */
int dinode_encode(const struct geo *geo, struct dinode *di,
		void *raw) UEXT4_MUST_CHECK;
/* Make @raw, geo->inode_size bytes, an empty inode with the extra fields that
 * a new inode has, and @ret_di its decoded form. */
void dinode_init(const struct geo *geo, void *raw, struct dinode *ret_di);

/* Is this an inode in use that can be? Mode is of a known type, extra_isize
 * fits, size and block count possible, file_acl inside the file system, no
 * flag that needs a feature that is off. Mappings are checked by who reads
 * them. -UEXT4_ECORRUPT, *ret_why a phrase (may be NULL). */
int dinode_check(const struct geo *geo, inum_t inum, const struct dinode *di,
		const char **ret_why) UEXT4_MUST_CHECK;

/* The seed of all checksums of what belongs to one inode: its directory
 * blocks, extent blocks, htree nodes, and itself. */
uint32_t dinode_csum_seed(
		const struct geo *geo, inum_t inum, uint32_t generation);
/* 0, or -UEXT4_EBADCSUM. 0 without metadata_csum. An inode of only zero bytes
 * passes: it was never used. */
int dinode_csum_verify(const struct geo *geo, inum_t inum,
		const void *raw) UEXT4_MUST_CHECK;
void dinode_csum_set(const struct geo *geo, inum_t inum, void *raw);

/* Does the block map need large_file: size of 2 GiB and more, of no
 * directory? The superblock must say so before such a size is written. */
bool dinode_needs_large_file(const struct dinode *di);

/* A symlink whose target stands in i_block? */
bool dinode_is_fast_symlink(const struct geo *geo, const struct dinode *di);

/* Device numbers in i_block: the 16-bit form if it fits, else the 32-bit. */
void dinode_put_rdev(struct dinode *di, dev_t rdev);
dev_t dinode_get_rdev(const struct dinode *di);

/* The attribute area of @di inside its raw inode: *ret_off the first byte
 * (where the magic stands), *ret_len its length, 0 if there is no room. */
void dinode_xattr_area(const struct geo *geo, const struct dinode *di,
		uint32_t *ret_off, uint32_t *ret_len);

/* Does the inode, by its extra_isize, hold crtime (nanosecond times, projid)? */
bool dinode_has_crtime(const struct geo *geo, const struct dinode *di);
bool dinode_has_nsec(const struct geo *geo, const struct dinode *di);
bool dinode_has_projid(const struct geo *geo, const struct dinode *di);

/* @t as the inode will give it back after encode and decode. */
struct dtime dinode_clamp_time(
		const struct geo *geo, const struct dinode *di, struct dtime t);

/* Orphan file and list, quota: is the mode a regular file, directory ... */
static inline bool dinode_is_reg(const struct dinode *di)
{
	return (di->mode & 0170000) == 0100000;
}

static inline bool dinode_is_dir(const struct dinode *di)
{
	return (di->mode & 0170000) == 0040000;
}

static inline bool dinode_is_symlink(const struct dinode *di)
{
	return (di->mode & 0170000) == 0120000;
}

#endif /* UEXT4_DISK_DINODE_H */
