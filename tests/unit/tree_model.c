/* SPDX-License-Identifier: MIT */
/*
 * The model of a mapping and the independent reader of its trees.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/tree_model.h"

#include <stdlib.h>
#include <string.h>

#include "base/csum.h"

struct model *model_new(uint32_t n)
{
	struct model *mo = calloc(1, sizeof(*mo));

	assert_non_null(mo);
	mo->n = n;
	mo->b = calloc(n, sizeof(*mo->b));
	mo->seen = calloc(n, sizeof(*mo->seen));
	assert_non_null(mo->b);
	assert_non_null(mo->seen);
	return mo;
}

void model_free(struct model *mo)
{
	free(mo->b);
	free(mo->seen);
	free(mo);
}

void model_set(struct model *mo, lblk_t lblk, uint32_t len, pblk_t pblk,
		enum map_type type)
{
	for (uint32_t i = 0; i < len; i++) {
		assert_true(lblk + i < mo->n);
		mo->b[lblk + i].type = type;
		mo->b[lblk + i].pblk = type == MAP_HOLE ? 0 : pblk + i;
	}
}

static uint32_t rd(const uint8_t *p, unsigned n)
{
	uint32_t v = 0;

	while (n-- > 0)
		v = v << 8 | p[n];
	return v;
}

/* What one check has found so far. */
struct finder {
	struct model *mo;
	struct fake *f;
	struct mapping *m;
	uint8_t *told; /* per block of the device */
	uint64_t blocks;
	bool slack;
};

static void find_block(struct finder *fi, pblk_t pblk, enum fake_use use)
{
	assert_true(pblk < fake_geo(fi->f)->blocks);
	assert_int_equal(fake_use(fi->f, pblk), use);
	assert_int_equal(fi->told[pblk], 0);
	fi->told[pblk] = 1;
	fi->blocks++;
}

static void find_data(struct finder *fi, uint64_t lblk, pblk_t pblk,
		enum map_type type)
{
	assert_true(lblk < fi->mo->n);
	assert_int_equal(fi->mo->seen[lblk].pblk, 0);
	fi->mo->seen[lblk] = (struct model_block){ pblk, type };
	find_block(fi, pblk, FAKE_DATA);
}

static void find_csum(struct finder *fi, const uint8_t *node)
{
	const struct geo *geo = fake_geo(fi->f);
	const uint32_t at = 12 + 12 * rd(node + 4, 2);
	uint32_t crc;

	if (!geo_has_csum(geo))
		return;
	assert_true(at + 4 <= geo->block_size);
	crc = crc32c_le32(geo->csum_seed, fi->m->inum);
	crc = crc32c_le32(crc, fi->m->gen);
	crc = crc32c(crc, node, at);
	assert_int_equal(crc, rd(node + at, 4));
}

/* One leaf: entries in [lo, hi). */
static void find_leaf(struct finder *fi, const uint8_t *node, uint64_t lo,
		uint64_t hi)
{
	uint64_t last = 0, last_pblk = 0;
	bool last_unwritten = false;
	uint32_t last_len = 0;

	for (uint32_t i = 0; i < rd(node + 2, 2); i++) {
		const uint8_t *e = node + 12 + 12 * (size_t)i;
		uint64_t lblk = rd(e, 4);
		uint32_t len = rd(e + 4, 2);
		pblk_t pblk = rd(e + 8, 4) | (pblk_t)rd(e + 6, 2) << 32;
		bool unwritten = len > 32768;

		len -= unwritten ? 32768 : 0;
		assert_true(len > 0);
		assert_true(lblk >= lo && lblk + len <= hi);
		if (i > 0) {
			assert_true(lblk >= last);
			if (!fi->slack && lblk == last && pblk == last_pblk &&
					unwritten == last_unwritten)
				assert_true(last_len + len >
						(unwritten ? 32767u : 32768u));
		}
		for (uint32_t k = 0; k < len; k++)
			find_data(fi, lblk + k, pblk + k,
					unwritten ? MAP_UNWRITTEN
						  : MAP_WRITTEN);
		last = lblk + len;
		last_pblk = pblk + len;
		last_len = len;
		last_unwritten = unwritten;
		fi->mo->extents++;
	}
}

static void find_node(struct finder *fi, const uint8_t *node, uint32_t size,
		int depth, uint64_t lo, uint64_t hi)
{
	const uint32_t n = rd(node + 2, 2);

	assert_int_equal(rd(node, 2), 0xf30a);
	assert_true(n <= rd(node + 4, 2));
	assert_true(12 + 12 * rd(node + 4, 2) <= size);
	assert_int_equal(rd(node + 6, 2), depth);
	if (node != fi->m->root) {
		assert_true(n > 0);
		assert_int_equal(rd(node + 12, 4), lo);
		find_csum(fi, node);
	}
	if (depth == 0) {
		find_leaf(fi, node, lo, hi);
		return;
	}
	assert_true(n > 0);
	for (uint32_t i = 0; i < n; i++) {
		const uint8_t *e = node + 12 + 12 * (size_t)i;
		uint64_t from = rd(e, 4);
		uint64_t to = i + 1 < n ? rd(e + 12, 4) : hi;
		pblk_t pblk = rd(e + 4, 4) | (pblk_t)rd(e + 8, 2) << 32;

		assert_true(from < to && from >= lo && to <= hi);
		find_block(fi, pblk, FAKE_NODE);
		fi->mo->nodes++;
		find_node(fi, fake_block(fi->f, pblk),
				fake_geo(fi->f)->block_size, depth - 1, from,
				to);
	}
}

/* A block tree below one pointer; tells how many blocks are below it. */
static uint64_t find_ptr(
		struct finder *fi, pblk_t pblk, int height, uint64_t lblk)
{
	const uint32_t per = fake_geo(fi->f)->block_size / 4;
	uint64_t span = 1;
	bool is_empty = true;
	const uint8_t *node;

	for (int i = 0; i < height; i++)
		span *= per;
	if (pblk == 0)
		return span;
	if (height == 0) {
		find_data(fi, lblk, pblk, MAP_WRITTEN);
		return span;
	}
	find_block(fi, pblk, FAKE_NODE);
	fi->mo->nodes++;
	node = fake_block(fi->f, pblk);
	for (uint32_t i = 0; i < per; i++) {
		pblk_t p = rd(node + 4 * (size_t)i, 4);

		is_empty = is_empty && p == 0;
		lblk += find_ptr(fi, p, height - 1, lblk);
	}
	assert_true(fi->slack || !is_empty);
	return span;
}

void model_check(
		struct model *mo, struct fake *f, struct mapping *m, bool slack)
{
	struct finder fi = { .mo = mo, .f = f, .m = m, .slack = slack };
	uint64_t lblk = 0;

	memset(mo->seen, 0, mo->n * sizeof(*mo->seen));
	mo->nodes = mo->extents = 0;
	fi.told = calloc(fake_geo(f)->blocks, 1);
	assert_non_null(fi.told);
	if (m->is_extents) {
		mo->depth = rd(m->root + 6, 2);
		assert_int_equal(m->depth, mo->depth);
		assert_true(mo->depth <= 5);
		find_node(&fi, m->root, 60, (int)mo->depth, 0, 0xffffffff);
	} else {
		for (int i = 0; i < 15; i++)
			lblk += find_ptr(&fi, rd(m->root + 4 * (size_t)i, 4),
					i < 12 ? 0 : i - 11, lblk);
	}
	for (pblk_t p = 0; mo->reap && p < fake_geo(f)->blocks; p++)
		if (fake_use(f, p) != FAKE_SYSTEM && !fi.told[p])
			fake_set_use(f, p, 1, FAKE_FREE);
	mo->reap = false;
	free(fi.told);

	for (uint32_t i = 0; i < mo->n; i++) {
		assert_int_equal(mo->seen[i].type, mo->b[i].type);
		assert_int_equal(mo->seen[i].pblk, mo->b[i].pblk);
	}
	assert_int_equal(m->blocks, fi.blocks);
	assert_int_equal(fake_count(f, FAKE_DATA) + fake_count(f, FAKE_NODE),
			fi.blocks);
	assert_int_equal(fake_refs(f), 0);
}

void model_check_find(struct model *mo, struct mapping *m, lblk_t lblk)
{
	struct map_run run;

	assert_int_equal(map_find(m, lblk, UINT32_MAX, &run), 0);
	assert_int_equal(run.lblk, lblk);
	assert_true(run.len > 0);
	for (uint32_t i = 0; i < run.len && lblk + i < mo->n; i++) {
		assert_int_equal(mo->b[lblk + i].type, run.type);
		if (run.type != MAP_HOLE)
			assert_int_equal(mo->b[lblk + i].pblk, run.pblk + i);
	}
}
