/* SPDX-License-Identifier: MIT */
/*
 * Fuzz the decoders of src/disk: any bytes are answered, none are trusted.
 *
 * The first byte of the input picks the structure, the second the format
 * (block size, 64bit, checksums); the rest fills one block, which stands in
 * memory of exactly its size so that ASan sees one byte too many.
 *
 * Rules    (Z1) What a check accepted, the functions that ask for a checked
 *               block may be called with; a change leaves a block that the
 *               check accepts again.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "disk/dextent.h"
#include "disk/dgroup.h"
#include "disk/dhtree.h"
#include "disk/dinode.h"
#include "disk/dirent.h"
#include "disk/djournal.h"
#include "disk/dmmp.h"
#include "disk/dorphan.h"
#include "disk/dsuper.h"
#include "disk/dxattr.h"
#include "disk/geo.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Broken promises end the process: that is what a fuzzer looks for. */
static void must(bool promise)
{
	if (!promise)
		abort();
}

/* A verdict on bytes: any will do, as long as it is one. */
static void answered(int ret)
{
	must(ret == 0 || ret == -UEXT4_ECORRUPT || ret == -UEXT4_EBADCSUM);
}

/* A superblock as mke2fs makes it for 64 MiB. */
static void make_super(uint8_t *raw, uint8_t how)
{
	uint32_t log = how % 3, bs = 1024u << log;
	bool csum = how & 0x10, wide = how & 0x20;
	uint32_t blocks = (64u << 20) / bs;
	uint32_t groups = (blocks + 8 * bs - 1) / (8 * bs);
	uint32_t ipg = 16384 / groups / 64 * 64;

	memset(raw, 0, 1024);
	put_le32(raw + 0x00, ipg * groups);
	put_le32(raw + 0x04, blocks);
	put_le32(raw + 0x0c, blocks / 2);
	put_le32(raw + 0x10, ipg);
	put_le32(raw + 0x14, log == 0);
	put_le32(raw + 0x18, log);
	put_le32(raw + 0x1c, log);
	put_le32(raw + 0x20, 8 * bs);
	put_le32(raw + 0x24, 8 * bs);
	put_le32(raw + 0x28, ipg);
	put_le16(raw + 0x38, 0xef53);
	put_le16(raw + 0x3a, 1);
	put_le32(raw + 0x4c, 1);
	put_le32(raw + 0x54, 11);
	put_le16(raw + 0x58, how & 0x40 ? 128 : 256);
	put_le32(raw + 0x5c, 0x38);
	put_le32(raw + 0x60, 0x2c2 & ~(wide ? 0u : 0x80u));
	put_le32(raw + 0x64, csum ? 0x46b : 0x6b);
	memset(raw + 0x68, 0x5a, 16);
	put_le16(raw + 0xfe, wide ? 64 : 0);
	raw[0xfc] = 1;
	if (!(how & 0x40)) {
		put_le16(raw + 0x15c, 32);
		put_le16(raw + 0x15e, 32);
	}
	raw[0x175] = csum;
	dsuper_csum_set(raw);
}

static void make_geo(uint8_t how, struct geo *ret_geo)
{
	uint8_t raw[1024];
	struct dsuper sb;
	const char *why = NULL;

	make_super(raw, how);
	dsuper_decode(raw, &sb);
	must(dsuper_check(&sb, 64u << 20, &why) == 0);
	must(geo_init(ret_geo, &sb, &why) == 0);
}

/* The input as one block of exactly @len bytes. */
static uint8_t *block_of(const uint8_t *data, size_t size, size_t len)
{
	uint8_t *block = calloc(1, len);

	must(block != NULL);
	memcpy(block, data, size < len ? size : len);
	return block;
}

static void fuzz_super(const uint8_t *data, size_t size, uint8_t how)
{
	uint8_t *raw = block_of(data, size, 1024), *again;
	struct dsuper_gate gate;
	struct dsuper sb;
	struct geo geo;
	const char *why = NULL;

	/* Bytes of the input over a sound superblock reach deeper. */
	if (how & 0x80) {
		make_super(raw, how);
		for (size_t i = 0; i + 2 < size; i += 3)
			raw[get_le16(data + i) % 1024] = data[i + 2];
	}
	dsuper_decode(raw, &sb);
	dsuper_gate(&sb, &gate);
	again = block_of(raw, 1024, 1024);
	dsuper_encode(&sb, again);
	if (dsuper_check(&sb, 0, &why) == 0 && geo_init(&geo, &sb, &why) == 0) {
		for (grp_t g = 0; g < geo.groups && g < 300; g++) {
			geo_grp_base_meta(&geo, g);
			must(geo_grp_blocks(&geo, g) <= geo.bpg);
		}
		for (uint32_t i = 0; i < geo.gdt_blocks && i < 300; i++)
			must(geo_block_ok(&geo, geo_gdt_block(&geo, i)));
	}
	free(again);
	free(raw);
}

static void fuzz_group(const struct geo *geo, const uint8_t *data, size_t size)
{
	uint8_t *raw = block_of(data, size, geo->desc_size);
	struct dgroup d;
	const char *why = NULL;

	dgroup_decode(geo, raw, &d);
	if (dgroup_check(geo, 0, &d, &why) == 0) {
		uint8_t *map = calloc(1, geo->block_size);

		must(map != NULL);
		dgroup_bbm_init(geo, 0, &d, map);
		dgroup_ibm_init(geo, map);
		free(map);
	}
	dgroup_encode(geo, &d, raw);
	dgroup_csum_set(geo, 0, raw);
	must(dgroup_csum_verify(geo, 0, raw) == 0);
	free(raw);
}

static void fuzz_attrs(const struct geo *geo, struct dxattr_area *area,
		const uint8_t *data, size_t size);

static void fuzz_inode(const struct geo *geo, const uint8_t *data, size_t size)
{
	uint8_t *raw = block_of(data, size, geo->inode_size);
	struct dinode di;
	const char *why = NULL;

	dinode_decode(geo, raw, &di);
	if (dinode_check(geo, 12, &di, &why) == 0) {
		struct dxattr_area area;
		uint32_t off, len;

		dinode_xattr_area(geo, &di, &off, &len);
		must(off + len <= geo->inode_size);
		dinode_is_fast_symlink(geo, &di);
		dinode_get_rdev(&di);
		if (len && dxattr_area_inode(raw + off, len, &area))
			fuzz_attrs(geo, &area, data, size);
		if (dinode_encode(geo, &di, raw) == 0) {
			dinode_csum_set(geo, 12, raw);
			must(dinode_csum_verify(geo, 12, raw) == 0);
		}
	}
	free(raw);
}

static void fuzz_extent(const struct geo *geo, const uint8_t *data, size_t size)
{
	bool root = size > 20 && (data[20] & 1);
	uint32_t len = root ? DEXT_ROOT_SIZE : geo->block_size;
	uint8_t *node = block_of(data, size, len);
	struct dext_bounds any = { DEXT_ANY_DEPTH, 0, DEXT_LBLK_END };
	const char *why = NULL;

	/* Nearly every header must be right to be looked behind. */
	put_le16(node, DEXT_MAGIC);
	put_le16(node + 4, (uint16_t)dext_max_entries(geo, len));
	if (dext_check(geo, node, len, &any, &why) == 0) {
		for (uint32_t lblk = 0; lblk < 5000; lblk += 37)
			must(dext_search(node, lblk) < (int)dext_entries(node));
		for (unsigned int i = 0; i < dext_entries(node); i++) {
			struct dext_leaf leaf;
			struct dext_idx idx;

			if (dext_depth(node) == 0) {
				dext_leaf_decode(node, i, &leaf);
				must(geo_range_ok(geo, leaf.pblk, leaf.len));
			} else {
				dext_idx_decode(node, i, &idx);
				must(geo_block_ok(geo, idx.pblk));
			}
		}
	}
	if (!root)
		answered(dext_csum_verify(geo, 1, node));
	free(node);
}

static void fuzz_dir(const struct geo *geo, const uint8_t *data, size_t size)
{
	uint8_t *block = block_of(data, size, geo->block_size);
	const char *why = NULL;
	struct ddirent de;
	bool empty;

	if (size > 8 && (data[8] & 1)) {
		dirent_block_init(geo, block);
		memcpy(block, data, size < 64 ? size : 64);
	}
	if (dirent_block_check(geo, block, &why) == 0) {
		uint32_t off = 0;
		char name[40];

		while (off < dirent_end(geo)) {
			must(dirent_at(geo, block, off, &de, &why) == 0);
			off += de.rec_len;
		}
		must(dirent_block_is_empty(geo, block, &empty, &why) == 0);
		snprintf(name, sizeof(name), "fuzz%u", size ? data[0] : 0);
		if (dirent_insert(geo, block, 12, 1, name,
				    (uint32_t)strlen(name)) == 0) {
			must(dirent_block_check(geo, block, &why) == 0);
			must(dirent_find(geo, block, name,
					     (uint32_t)strlen(name), &de,
					     &why) == 0);
			must(dirent_remove(geo, block, de.off) == 0);
			must(dirent_block_check(geo, block, &why) == 0);
		}
	}
	answered(dirent_csum_verify(geo, 1, block));
	dirent_csum_set(geo, 1, block);
	free(block);
}

static void fuzz_index(const struct geo *geo, const uint8_t *data, size_t size)
{
	bool root = size > 0 && (data[0] & 1);
	uint32_t off = root ? DX_ROOT_OFF : DX_NODE_OFF;
	uint8_t *block = block_of(data, size, geo->block_size);
	const char *why = NULL;
	int ret;

	if (root)
		dx_root_init(geo, block, 12, 2, 1, 1);
	else
		dx_node_init(geo, block);
	for (size_t i = 1; i + 2 < size; i += 3)
		block[get_le16(data + i) % geo->block_size] = data[i + 2];
	ret = root ? dx_root_check(geo, block, 50, &why)
		   : dx_node_check(geo, block, 50, &why);
	if (ret == 0) {
		for (uint32_t i = 0; i < 64; i++)
			must(dx_search(block, off, i << 26) <
					dx_count(block, off));
	}
	answered(dx_csum_verify(geo, 1, block, off));
	free(block);
}

static void fuzz_attrs(const struct geo *geo, struct dxattr_area *area,
		const uint8_t *data, size_t size)
{
	const char *why = NULL;
	struct dxattr_entry e;
	uint32_t off = area->first;
	char name[8] = "f";
	int ret;

	if (dxattr_check(geo, area, &why) != 0)
		return;
	while (dxattr_next(area, &off, &e))
		must(e.value_inum || e.value_len == 0 ||
				e.value_off + e.value_len <= area->end);
	answered(dxattr_check_hashes(area, &why));
	name[1] = (char)('a' + (size ? data[0] % 26 : 0));
	ret = dxattr_set(area, DXATTR_IDX_USER, name, 2, data,
			size < 60 ? (uint32_t)size : 60);
	must(dxattr_check(geo, area, &why) == 0);
	if (ret == 0) {
		must(dxattr_find(area, DXATTR_IDX_USER, name, 2, &e) == 0);
		must(dxattr_remove(area, DXATTR_IDX_USER, name, 2) == 0);
		must(dxattr_check(geo, area, &why) == 0);
	}
}

static void fuzz_attr_block(
		const struct geo *geo, const uint8_t *data, size_t size)
{
	uint8_t *block = block_of(data, size, geo->block_size);
	struct dxattr_area area;
	const char *why = NULL;

	if (size > 3 && (data[3] & 1)) {
		/* Poke at a list that was sound. */
		dxattr_block_init(geo, block, &area);
		must(dxattr_set(&area, 1, "one", 3, "11111", 5) == 0);
		must(dxattr_set(&area, 4, "two", 3, "22", 2) == 0);
		for (size_t i = 4; i + 2 < size; i += 3)
			block[get_le16(data + i) % geo->block_size] =
					data[i + 2];
	}
	dxattr_area_block(geo, block, &area);
	fuzz_attrs(geo, &area, data, size);
	answered(dxattr_csum_verify(geo, 99, block));
	if (dxattr_check(geo, &area, &why) == 0)
		dxattr_block_hash_set(geo, block);
	free(block);
}

static void fuzz_journal(
		const struct geo *geo, const uint8_t *data, size_t size)
{
	uint8_t *block = block_of(data, size, geo->block_size);
	struct dj_super js;
	struct dj_commit commit;
	struct dj_tag tag;
	struct dj dj;
	uint32_t off = DJ_TAGS_OFF, n;
	const char *why = NULL;

	dj_super_decode(block, &js);
	answered(dj_super_csum_verify(block));
	if (dj_super_check(&js, geo->block_size, 4096, &why) == 0) {
		must(dj_super_last(&js) <= js.maxlen);
		dj_super_fc_blocks(&js);
	}
	js.blocksize = geo->block_size;
	js.incompat = size > 4 ? data[4] & DJ_FI_KNOWN : 0;
	dj_init(&dj, &js);
	for (n = 0; dj_tag_next(&dj, block, &off, &tag); n++)
		must(off <= dj_tags_end(&dj) && n < geo->block_size);
	if (dj_revoke_count(&dj, block, &n) == 0) {
		must(n <= dj_revoke_max(&dj));
		for (uint32_t i = 0; i < n; i++)
			dj_revoke_get(&dj, block, i);
	}
	answered(dj_tail_csum_verify(&dj, block));
	dj_commit_decode(block, &commit);
	answered(dj_commit_csum_verify(&dj, block));
	free(block);
}

static void fuzz_orphan(const struct geo *geo, const uint8_t *data, size_t size)
{
	uint8_t *block = block_of(data, size, geo->block_size);
	const char *why = NULL;

	put_le32(block + geo->block_size - DORPHAN_TAIL_LEN, DORPHAN_MAGIC);
	if (dorphan_check(geo, block, &why) == 0)
		for (uint32_t i = 0; i < dorphan_slots(geo); i++)
			must(dorphan_get(block, i) <= geo->inodes);
	answered(dorphan_csum_verify(geo, 1, 2, block));
	free(block);
}

/* Whatever stood there: the names end, what is written is read again, and it
 * stays in one sector. */
static void fuzz_mmp(const struct geo *geo, const uint8_t *data, size_t size)
{
	uint8_t raw[DMMP_SIZE] = { 0 };
	uint8_t was[DMMP_SIZE];
	struct dmmp back;
	struct dmmp d;

	memcpy(raw, data, size < sizeof(raw) ? size : sizeof(raw));
	put_le32(raw, DMMP_MAGIC);
	answered(dmmp_check(geo, raw, NULL));
	dmmp_decode(raw, &d);
	must(strlen(d.node) <= 64 && strlen(d.device) <= 32);
	memcpy(was, raw, sizeof(was));
	d.node[DMMP_NODE_MAX] = '\0';
	d.device[DMMP_DEVICE_MAX] = '\0';
	dmmp_encode(geo, &d, raw);
	must(dmmp_check(geo, raw, NULL) == 0);
	must(memcmp(raw + 512, was + 512, 512) == 0);
	dmmp_decode(raw, &back);
	must(back.seq == d.seq && back.time == d.time &&
			strcmp(back.node, d.node) == 0 &&
			strcmp(back.device, d.device) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const target[])(const struct geo *geo,
			const uint8_t *data, size_t size) = {
		fuzz_group,
		fuzz_inode,
		fuzz_extent,
		fuzz_dir,
		fuzz_index,
		fuzz_attr_block,
		fuzz_journal,
		fuzz_orphan,
		fuzz_mmp,
	};
	unsigned int n = sizeof(target) / sizeof(*target);
	struct geo geo;

	if (size < 2)
		return 0;
	if (data[0] % (n + 1) == n) {
		fuzz_super(data + 2, size - 2, data[1]);
		return 0;
	}
	make_geo(data[1], &geo);
	target[data[0] % (n + 1)](&geo, data + 2, size - 2);
	return 0;
}
