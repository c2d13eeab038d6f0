/* SPDX-License-Identifier: MIT */
/*
 * jbd2 blocks: codec and checksums.
 *
 * Layouts by the kernel's documentation, ext4/journal.rst. What it leaves
 * open was found on journals written by debugfs: tags under csum v2 are two
 * bytes longer than it says (10, or 14 with 64bit), the checksum of a data
 * block is taken after escaping, and the superblock's from ~0 without a UUID.
 * The kernel looks for one UUID only, behind the first tag of a block.
 */
#include "disk/djournal.h"

#include <string.h>

#include "base/csum.h"
#include "base/le.h"

#define OFF_SB_BLOCKSIZE 0x0Cu
#define OFF_SB_MAXLEN    0x10u
#define OFF_SB_FIRST     0x14u
#define OFF_SB_SEQUENCE  0x18u
#define OFF_SB_START     0x1Cu
#define OFF_SB_ERRNO     0x20u
#define OFF_SB_COMPAT    0x24u
#define OFF_SB_INCOMPAT  0x28u
#define OFF_SB_RO_COMPAT 0x2Cu
#define OFF_SB_UUID      0x30u
#define OFF_SB_NR_USERS  0x40u
#define OFF_SB_DYNSUPER  0x44u
#define OFF_SB_MAX_TRANS 0x48u
#define OFF_SB_MAX_DATA  0x4Cu
#define OFF_SB_CSUM_TYPE 0x50u
#define OFF_SB_FC_BLOCKS 0x54u
#define OFF_SB_HEAD      0x58u
#define OFF_SB_CSUM      0xFCu
#define OFF_SB_USERS     0x100u

#define OFF_COMMIT_TYPE 0x0Cu
#define OFF_COMMIT_SIZE 0x0Du
#define OFF_COMMIT_CSUM 0x10u
#define OFF_COMMIT_SEC  0x30u
#define OFF_COMMIT_NSEC 0x38u

#define OFF_REVOKE_COUNT 0x0Cu

#define DJ_UUID_LEN      16u
#define DJ_TAIL_LEN      4u
#define DJ_CSUM_FEATURES (DJ_FI_CSUM_V2 | DJ_FI_CSUM_V3)
#define DJ_FC_DEFAULT    256u /* fast-commit blocks if the field is 0 */

/* ---- header ---- */

void dj_hdr_decode(const void *block, struct dj_hdr *ret_h)
{
	const uint8_t *p = (const uint8_t *)block;

	ret_h->magic = get_be32(p);
	ret_h->type = get_be32(p + 4);
	ret_h->txid = get_be32(p + 8);
}

void dj_hdr_encode(void *block, const struct dj_hdr *h)
{
	uint8_t *p = (uint8_t *)block;

	put_be32(p, h->magic);
	put_be32(p + 4, h->type);
	put_be32(p + 8, h->txid);
}

/* ---- superblock ---- */

void dj_super_decode(const void *raw, struct dj_super *ret_js)
{
	const uint8_t *p = (const uint8_t *)raw;
	struct dj_super *js = ret_js;

	memset(js, 0, sizeof(*js));
	dj_hdr_decode(p, &js->h);
	js->blocksize = get_be32(p + OFF_SB_BLOCKSIZE);
	js->maxlen = get_be32(p + OFF_SB_MAXLEN);
	js->first = get_be32(p + OFF_SB_FIRST);
	js->sequence = get_be32(p + OFF_SB_SEQUENCE);
	js->start = get_be32(p + OFF_SB_START);
	js->error = (int32_t)get_be32(p + OFF_SB_ERRNO);
	if (js->h.type != DJ_SUPER_V2)
		return;
	js->compat = get_be32(p + OFF_SB_COMPAT);
	js->incompat = get_be32(p + OFF_SB_INCOMPAT);
	js->ro_compat = get_be32(p + OFF_SB_RO_COMPAT);
	memcpy(js->uuid, p + OFF_SB_UUID, sizeof(js->uuid));
	js->nr_users = get_be32(p + OFF_SB_NR_USERS);
	js->dynsuper = get_be32(p + OFF_SB_DYNSUPER);
	js->max_transaction = get_be32(p + OFF_SB_MAX_TRANS);
	js->max_trans_data = get_be32(p + OFF_SB_MAX_DATA);
	js->checksum_type = p[OFF_SB_CSUM_TYPE];
	js->num_fc_blocks = get_be32(p + OFF_SB_FC_BLOCKS);
	js->head = get_be32(p + OFF_SB_HEAD);
	js->checksum = get_be32(p + OFF_SB_CSUM);
	memcpy(js->users, p + OFF_SB_USERS, sizeof(js->users));
}

void dj_super_encode(const struct dj_super *js, void *raw)
{
	uint8_t *p = (uint8_t *)raw;

	dj_hdr_encode(p, &js->h);
	put_be32(p + OFF_SB_BLOCKSIZE, js->blocksize);
	put_be32(p + OFF_SB_MAXLEN, js->maxlen);
	put_be32(p + OFF_SB_FIRST, js->first);
	put_be32(p + OFF_SB_SEQUENCE, js->sequence);
	put_be32(p + OFF_SB_START, js->start);
	put_be32(p + OFF_SB_ERRNO, (uint32_t)js->error);
	if (js->h.type != DJ_SUPER_V2)
		return;
	put_be32(p + OFF_SB_COMPAT, js->compat);
	put_be32(p + OFF_SB_INCOMPAT, js->incompat);
	put_be32(p + OFF_SB_RO_COMPAT, js->ro_compat);
	memcpy(p + OFF_SB_UUID, js->uuid, sizeof(js->uuid));
	put_be32(p + OFF_SB_NR_USERS, js->nr_users);
	put_be32(p + OFF_SB_DYNSUPER, js->dynsuper);
	put_be32(p + OFF_SB_MAX_TRANS, js->max_transaction);
	put_be32(p + OFF_SB_MAX_DATA, js->max_trans_data);
	p[OFF_SB_CSUM_TYPE] = js->checksum_type;
	put_be32(p + OFF_SB_FC_BLOCKS, js->num_fc_blocks);
	put_be32(p + OFF_SB_HEAD, js->head);
	memcpy(p + OFF_SB_USERS, js->users, sizeof(js->users));
}

static bool super_has_csum(const uint8_t *raw)
{
	return get_be32(raw + 4) == DJ_SUPER_V2 &&
			(get_be32(raw + OFF_SB_INCOMPAT) & DJ_CSUM_FEATURES);
}

/* @len bytes with the 4 at @hole taken as zero. */
static uint32_t csum_around(
		uint32_t seed, const uint8_t *p, uint32_t len, uint32_t hole)
{
	static const uint8_t zero[4];

	seed = crc32c(seed, p, hole);
	seed = crc32c(seed, zero, sizeof(zero));
	return crc32c(seed, p + hole + 4, len - hole - 4);
}

int dj_super_csum_verify(const void *raw)
{
	const uint8_t *p = (const uint8_t *)raw;

	if (!super_has_csum(p))
		return 0;
	if (csum_around(CRC32C_INIT, p, DJ_SUPER_SIZE, OFF_SB_CSUM) !=
			get_be32(p + OFF_SB_CSUM))
		return -UEXT4_EBADCSUM;
	return 0;
}

void dj_super_csum_set(void *raw)
{
	uint8_t *p = (uint8_t *)raw;

	if (super_has_csum(p))
		put_be32(p + OFF_SB_CSUM,
				csum_around(CRC32C_INIT, p, DJ_SUPER_SIZE,
						OFF_SB_CSUM));
}

uint32_t dj_super_fc_blocks(const struct dj_super *js)
{
	if (!(js->incompat & DJ_FI_FAST_COMMIT))
		return 0;
	return js->num_fc_blocks ? js->num_fc_blocks : DJ_FC_DEFAULT;
}

uint32_t dj_super_last(const struct dj_super *js)
{
	return js->maxlen - dj_super_fc_blocks(js);
}

static int bad(int err, const char **ret_why, const char *why)
{
	if (ret_why)
		*ret_why = why;
	return err;
}

static int check_super_features(const struct dj_super *js, const char **ret_why)
{
	uint32_t csum = js->incompat & DJ_CSUM_FEATURES;

	if (js->incompat & ~DJ_FI_KNOWN || js->ro_compat != 0)
		return bad(-EOPNOTSUPP, ret_why, "unknown journal feature");
	if (csum == DJ_CSUM_FEATURES)
		return bad(-UEXT4_ECORRUPT, ret_why,
				"journal checksums v2 and v3 at once");
	if (csum && js->compat & DJ_FC_CHECKSUM)
		return bad(-UEXT4_ECORRUPT, ret_why,
				"journal checksums v1 and v2 at once");
	if (csum && js->checksum_type != DJ_CSUM_CRC32C)
		return bad(-UEXT4_ECORRUPT, ret_why,
				"journal checksum type is not crc32c");
	return 0;
}

int dj_super_check(const struct dj_super *js, uint32_t block_size,
		uint64_t blocks, const char **ret_why)
{
	uint32_t fc = dj_super_fc_blocks(js);

	if (js->h.magic != DJ_MAGIC)
		return bad(-UEXT4_ECORRUPT, ret_why,
				"journal without its magic number");
	if (js->h.type != DJ_SUPER_V1 && js->h.type != DJ_SUPER_V2)
		return bad(-UEXT4_ECORRUPT, ret_why,
				"journal superblock of unknown type");
	if (js->blocksize != block_size)
		return bad(-UEXT4_ECORRUPT, ret_why,
				"journal of another block size");
	if (js->maxlen > blocks)
		return bad(-UEXT4_ECORRUPT, ret_why,
				"journal longer than its file");
	if (js->maxlen < DJ_BLOCKS_MIN || fc > js->maxlen - DJ_BLOCKS_MIN)
		return bad(-UEXT4_ECORRUPT, ret_why, "journal too short");
	if (js->first == 0 || js->first >= js->maxlen - fc)
		return bad(-UEXT4_ECORRUPT, ret_why,
				"journal's first block out of range");
	if (js->start != 0 &&
			(js->start < js->first || js->start >= js->maxlen - fc))
		return bad(-UEXT4_ECORRUPT, ret_why,
				"journal's start out of range");
	return check_super_features(js, ret_why);
}

void dj_init(struct dj *ret_dj, const struct dj_super *js)
{
	struct dj dj = {
		.block_size = js->blocksize,
		.incompat = js->incompat,
		.has_csum = (js->incompat & DJ_CSUM_FEATURES) != 0,
		.csum_seed = crc32c(CRC32C_INIT, js->uuid, sizeof(js->uuid)),
	};

	memcpy(dj.uuid, js->uuid, sizeof(dj.uuid));
	*ret_dj = dj;
}

/* ---- tags ---- */

uint32_t dj_tags_end(const struct dj *dj)
{
	return dj->block_size - (dj->has_csum ? DJ_TAIL_LEN : 0);
}

uint32_t dj_tag_size(const struct dj *dj)
{
	if (dj->incompat & DJ_FI_CSUM_V3)
		return 16;
	return 8u + (dj->incompat & DJ_FI_CSUM_V2 ? 2u : 0u) +
			(dj->incompat & DJ_FI_64BIT ? 4u : 0u);
}

uint32_t dj_tags_max(const struct dj *dj)
{
	return (dj_tags_end(dj) - DJ_TAGS_OFF - DJ_UUID_LEN) / dj_tag_size(dj);
}

static void tag_decode(
		const struct dj *dj, const uint8_t *p, struct dj_tag *tag)
{
	bool wide = (dj->incompat & DJ_FI_64BIT) != 0;

	tag->pblk = get_be32(p);
	if (dj->incompat & DJ_FI_CSUM_V3) {
		tag->flags = get_be32(p + 4);
		tag->checksum = get_be32(p + 12);
	} else {
		tag->checksum = get_be16(p + 4);
		tag->flags = get_be16(p + 6);
	}
	if (wide)
		tag->pblk |= (pblk_t)get_be32(p + 8) << 32;
}

static void tag_encode(
		const struct dj *dj, const struct dj_tag *tag, uint8_t *p)
{
	bool wide = (dj->incompat & DJ_FI_64BIT) != 0;

	memset(p, 0, dj_tag_size(dj));
	put_be32(p, (uint32_t)tag->pblk);
	if (dj->incompat & DJ_FI_CSUM_V3) {
		put_be32(p + 4, tag->flags);
		put_be32(p + 12, tag->checksum);
	} else {
		put_be16(p + 4, (uint16_t)tag->checksum);
		put_be16(p + 6, (uint16_t)tag->flags);
	}
	if (wide)
		put_be32(p + 8, (uint32_t)(tag->pblk >> 32));
}

static uint32_t tag_span(const struct dj *dj, uint32_t flags)
{
	return dj_tag_size(dj) + (flags & DJ_TAG_SAME_UUID ? 0 : DJ_UUID_LEN);
}

bool dj_tag_next(const struct dj *dj, const void *block, uint32_t *off,
		struct dj_tag *ret_tag)
{
	uint32_t end = dj_tags_end(dj);
	struct dj_tag tag;

	if (*off > end || end - *off < dj_tag_size(dj)) {
		*off = end;
		return false;
	}
	tag_decode(dj, (const uint8_t *)block + *off, &tag);
	/* The UUID of the last tag may be cut off by the end: no matter. */
	*off += tag_span(dj, tag.flags);
	if (tag.flags & DJ_TAG_LAST || *off > end)
		*off = end;
	*ret_tag = tag;
	return true;
}

int dj_tag_put(const struct dj *dj, void *block, uint32_t *off,
		const struct dj_tag *tag)
{
	uint32_t span = tag_span(dj, tag->flags);
	uint8_t *p = (uint8_t *)block + *off;

	if (!range_is_within(*off, span, 0, dj_tags_end(dj)))
		return -ENOSPC;
	tag_encode(dj, tag, p);
	if (!(tag->flags & DJ_TAG_SAME_UUID))
		memcpy(p + dj_tag_size(dj), dj->uuid, DJ_UUID_LEN);
	*off += span;
	return 0;
}

void dj_tag_mark_last(const struct dj *dj, void *block, uint32_t off)
{
	uint8_t *p = (uint8_t *)block + off;
	struct dj_tag tag;

	tag_decode(dj, p, &tag);
	tag.flags |= DJ_TAG_LAST;
	tag_encode(dj, &tag, p);
}

uint32_t dj_data_csum(const struct dj *dj, txid_t txid, const void *data)
{
	uint8_t num[4];
	uint32_t c;

	if (!dj->has_csum)
		return 0;
	put_be32(num, txid);
	c = crc32c(dj->csum_seed, num, sizeof(num));
	c = crc32c(c, data, dj->block_size);
	return dj->incompat & DJ_FI_CSUM_V3 ? c : c & 0xffffu;
}

int dj_data_csum_verify(const struct dj *dj, txid_t txid,
		const struct dj_tag *tag, const void *data)
{
	if (dj->has_csum && dj_data_csum(dj, txid, data) != tag->checksum)
		return -UEXT4_EBADCSUM;
	return 0;
}

/* ---- revoke blocks ---- */

uint32_t dj_revoke_rec_size(const struct dj *dj)
{
	return dj->incompat & DJ_FI_64BIT ? 8 : 4;
}

uint32_t dj_revoke_max(const struct dj *dj)
{
	return (dj_tags_end(dj) - DJ_REVOKE_HDR) / dj_revoke_rec_size(dj);
}

int dj_revoke_count(const struct dj *dj, const void *block, uint32_t *ret_n)
{
	uint32_t bytes = get_be32((const uint8_t *)block + OFF_REVOKE_COUNT);

	if (bytes < DJ_REVOKE_HDR || bytes > dj_tags_end(dj))
		return -UEXT4_ECORRUPT;
	*ret_n = (bytes - DJ_REVOKE_HDR) / dj_revoke_rec_size(dj);
	return 0;
}

void dj_revoke_set_count(const struct dj *dj, void *block, uint32_t n)
{
	put_be32((uint8_t *)block + OFF_REVOKE_COUNT,
			DJ_REVOKE_HDR + n * dj_revoke_rec_size(dj));
}

pblk_t dj_revoke_get(const struct dj *dj, const void *block, uint32_t i)
{
	const uint8_t *p = (const uint8_t *)block + DJ_REVOKE_HDR +
			(size_t)i * dj_revoke_rec_size(dj);

	return dj->incompat & DJ_FI_64BIT ? get_be64(p) : get_be32(p);
}

void dj_revoke_put(const struct dj *dj, void *block, uint32_t i, pblk_t pblk)
{
	uint8_t *p = (uint8_t *)block + DJ_REVOKE_HDR +
			(size_t)i * dj_revoke_rec_size(dj);

	if (dj->incompat & DJ_FI_64BIT)
		put_be64(p, pblk);
	else
		put_be32(p, (uint32_t)pblk);
}

/* ---- tails ---- */

static uint32_t tail_csum(const struct dj *dj, const void *block)
{
	return csum_around(dj->csum_seed, (const uint8_t *)block,
			dj->block_size, dj->block_size - DJ_TAIL_LEN);
}

int dj_tail_csum_verify(const struct dj *dj, const void *block)
{
	const uint8_t *p = (const uint8_t *)block;

	if (!dj->has_csum)
		return 0;
	if (tail_csum(dj, p) != get_be32(p + dj->block_size - DJ_TAIL_LEN))
		return -UEXT4_EBADCSUM;
	return 0;
}

void dj_tail_csum_set(const struct dj *dj, void *block)
{
	if (dj->has_csum)
		put_be32((uint8_t *)block + dj->block_size - DJ_TAIL_LEN,
				tail_csum(dj, block));
}

/* ---- commit blocks ---- */

void dj_commit_decode(const void *block, struct dj_commit *ret_c)
{
	const uint8_t *p = (const uint8_t *)block;

	dj_hdr_decode(p, &ret_c->h);
	ret_c->csum_type = p[OFF_COMMIT_TYPE];
	ret_c->csum_size = p[OFF_COMMIT_SIZE];
	for (unsigned i = 0; i < array_len(ret_c->csum); i++)
		ret_c->csum[i] = get_be32(p + OFF_COMMIT_CSUM + (size_t)i * 4);
	ret_c->sec = get_be64(p + OFF_COMMIT_SEC);
	ret_c->nsec = get_be32(p + OFF_COMMIT_NSEC);
}

void dj_commit_encode(
		const struct dj *dj, void *block, const struct dj_commit *c)
{
	uint8_t *p = (uint8_t *)block;

	memset(p, 0, dj->block_size);
	dj_hdr_encode(p, &c->h);
	p[OFF_COMMIT_TYPE] = c->csum_type;
	p[OFF_COMMIT_SIZE] = c->csum_size;
	for (unsigned i = 0; i < array_len(c->csum); i++)
		put_be32(p + OFF_COMMIT_CSUM + (size_t)i * 4, c->csum[i]);
	put_be64(p + OFF_COMMIT_SEC, c->sec);
	put_be32(p + OFF_COMMIT_NSEC, c->nsec);
}

static uint32_t commit_csum(const struct dj *dj, const void *block)
{
	return csum_around(dj->csum_seed, (const uint8_t *)block,
			dj->block_size, OFF_COMMIT_CSUM);
}

int dj_commit_csum_verify(const struct dj *dj, const void *block)
{
	const uint8_t *p = (const uint8_t *)block;

	if (!dj->has_csum)
		return 0;
	if (commit_csum(dj, p) != get_be32(p + OFF_COMMIT_CSUM))
		return -UEXT4_EBADCSUM;
	return 0;
}

void dj_commit_csum_set(const struct dj *dj, void *block)
{
	if (dj->has_csum)
		put_be32((uint8_t *)block + OFF_COMMIT_CSUM,
				commit_csum(dj, block));
}
