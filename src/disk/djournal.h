/* SPDX-License-Identifier: MIT */
/*
 * The blocks of a jbd2 journal, all big-endian.
 *
 * struct dj holds what the coding of blocks depends on: the journal's block
 * size and features, and its checksum seed. It is made of the journal's
 * superblock by dj_init() and const while the features stay.
 *
 * Tags of a descriptor block come in six forms: plain, csum v2, csum v3, each
 * with 64bit or not. dj_tag_next() reads any of them within bounds.
 */
#ifndef UEXT4_DISK_DJOURNAL_H
#define UEXT4_DISK_DJOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/types.h"

#define DJ_MAGIC      0xC03B3998u
#define DJ_SUPER_SIZE 1024u
#define DJ_HDR_SIZE   12u
#define DJ_BLOCKS_MIN 1024u /* smallest journal that the kernel takes */

/* block types */
#define DJ_DESCRIPTOR 1u
#define DJ_COMMIT     2u
#define DJ_SUPER_V1   3u
#define DJ_SUPER_V2   4u
#define DJ_REVOKE     5u

/* features */
#define DJ_FC_CHECKSUM     0x01u /* compat: checksum v1 in commit blocks */
#define DJ_FI_REVOKE       0x01u /* incompat */
#define DJ_FI_64BIT        0x02u
#define DJ_FI_ASYNC_COMMIT 0x04u
#define DJ_FI_CSUM_V2      0x08u
#define DJ_FI_CSUM_V3      0x10u
#define DJ_FI_FAST_COMMIT  0x20u
#define DJ_FI_KNOWN        0x3fu

/* tag flags */
#define DJ_TAG_ESCAPE    0x1u /* the block began with DJ_MAGIC: it is zeroed */
#define DJ_TAG_SAME_UUID 0x2u /* no UUID behind this tag */
#define DJ_TAG_DELETED   0x4u
#define DJ_TAG_LAST      0x8u

/* checksum types */
#define DJ_CSUM_CRC32  1u
#define DJ_CSUM_MD5    2u
#define DJ_CSUM_SHA1   3u
#define DJ_CSUM_CRC32C 4u

struct dj_hdr {
	uint32_t magic;
	uint32_t type;
	txid_t txid;
};

/* The journal superblock, block 0 of the journal. */
struct dj_super {
	struct dj_hdr h; /* type DJ_SUPER_V1 or V2 */
	uint32_t blocksize;
	uint32_t maxlen; /* blocks of the journal */
	uint32_t first;  /* first block of the log */
	txid_t sequence; /* first commit id expected in the log */
	uint32_t start;  /* where it stands; 0: the log is empty */
	int32_t error;
	/* V2 from here on */
	uint32_t compat, incompat, ro_compat;
	uint8_t uuid[16];
	uint32_t nr_users;
	uint32_t dynsuper;
	uint32_t max_transaction;
	uint32_t max_trans_data;
	uint8_t checksum_type;
	uint32_t num_fc_blocks;
	uint32_t head; /* block after the last, valid when start is 0 */
	uint32_t checksum;
	uint8_t users[48][16];
};

/* How to code blocks. */
struct dj {
	uint32_t block_size;
	uint32_t incompat;
	bool has_csum; /* v2 or v3 */
	uint32_t csum_seed;
	uint8_t uuid[16];
};

struct dj_tag {
	pblk_t pblk;
	uint32_t flags;    /* DJ_TAG_* */
	uint32_t checksum; /* 16 bits in v2 */
};

struct dj_commit {
	struct dj_hdr h;
	uint8_t csum_type; /* checksum v1 */
	uint8_t csum_size;
	uint32_t csum[8];
	uint64_t sec;
	uint32_t nsec;
};

/* ---- superblock ---- */

void dj_super_decode(const void *raw, struct dj_super *ret_js);
/* All but the checksum; bytes without a field are kept. */
void dj_super_encode(const struct dj_super *js, void *raw);
/* Can this be? Type, block size equal to @block_size, lengths, start within
 * the log, checksum type, features: -UEXT4_ECORRUPT; -EOPNOTSUPP for features
 * that we do not know (fast commits are known: recovery refuses those that are
 * in use). @blocks: blocks that the journal inode (or device) has.
 * *ret_why a phrase (may be NULL). */
int dj_super_check(const struct dj_super *js, uint32_t block_size,
		uint64_t blocks, const char **ret_why) UEXT4_MUST_CHECK;
/* 0 without csum v2/v3. */
int dj_super_csum_verify(const void *raw) UEXT4_MUST_CHECK;
void dj_super_csum_set(void *raw);
/* The first block past the ordinary log: maxlen, less the fast-commit area.
 */
uint32_t dj_super_last(const struct dj_super *js);
uint32_t dj_super_fc_blocks(const struct dj_super *js);

void dj_init(struct dj *ret_dj, const struct dj_super *js);

/* ---- block header ---- */

void dj_hdr_decode(const void *block, struct dj_hdr *ret_h);
void dj_hdr_encode(void *block, const struct dj_hdr *h);

/* ---- descriptor blocks ---- */

/* Where the tags begin, and one past where they may end (before the tail). */
#define DJ_TAGS_OFF DJ_HDR_SIZE
uint32_t dj_tags_end(const struct dj *dj);
/* Bytes of a tag without its UUID. */
uint32_t dj_tag_size(const struct dj *dj);
/* How many tags one descriptor block can name, given that the first carries
 * a UUID. */
uint32_t dj_tags_max(const struct dj *dj);
/* Read the tag at *off and step over it. False at the end: after the tag
 * flagged LAST, or where no whole tag fits (*off then is dj_tags_end()).
 * Start with *off = DJ_TAGS_OFF. */
bool dj_tag_next(const struct dj *dj, const void *block, uint32_t *off,
		struct dj_tag *ret_tag);
/* Write a tag at *off (and the UUID unless SAME_UUID), step over it. -ENOSPC
 * if it does not fit. */
int dj_tag_put(const struct dj *dj, void *block, uint32_t *off,
		const struct dj_tag *tag) UEXT4_MUST_CHECK;
/* Set DJ_TAG_LAST in the tag that stands at @off. */
void dj_tag_mark_last(const struct dj *dj, void *block, uint32_t off);
/* The checksum for a tag: of the block as it stands in the journal, that is
 * after escaping. 0 without checksums. */
uint32_t dj_data_csum(const struct dj *dj, txid_t txid, const void *data);
/* 0 or -UEXT4_EBADCSUM. */
int dj_data_csum_verify(const struct dj *dj, txid_t txid,
		const struct dj_tag *tag, const void *data) UEXT4_MUST_CHECK;

/* ---- revoke blocks ---- */

/* r_count is a number of bytes, header included. */
#define DJ_REVOKE_HDR 16u
uint32_t dj_revoke_rec_size(const struct dj *dj);
/* How many block numbers fit. */
uint32_t dj_revoke_max(const struct dj *dj);
/* How many the block says to hold: -UEXT4_ECORRUPT if that cannot be. */
int dj_revoke_count(const struct dj *dj, const void *block,
		uint32_t *ret_n) UEXT4_MUST_CHECK;
void dj_revoke_set_count(const struct dj *dj, void *block, uint32_t n);
pblk_t dj_revoke_get(const struct dj *dj, const void *block, uint32_t i);
void dj_revoke_put(const struct dj *dj, void *block, uint32_t i, pblk_t pblk);

/* Checksum tail of descriptor and revoke blocks; 0 without v2/v3. */
int dj_tail_csum_verify(
		const struct dj *dj, const void *block) UEXT4_MUST_CHECK;
void dj_tail_csum_set(const struct dj *dj, void *block);

/* ---- commit blocks ---- */

void dj_commit_decode(const void *block, struct dj_commit *ret_c);
/* A whole commit block: all other bytes of it are zeroed. The checksum is
 * set by dj_commit_csum_set(). */
void dj_commit_encode(
		const struct dj *dj, void *block, const struct dj_commit *c);
int dj_commit_csum_verify(
		const struct dj *dj, const void *block) UEXT4_MUST_CHECK;
void dj_commit_csum_set(const struct dj *dj, void *block);

#endif /* UEXT4_DISK_DJOURNAL_H */
