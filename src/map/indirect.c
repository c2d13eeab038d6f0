/* SPDX-License-Identifier: MIT */
/*
 * Block trees, the reading half and what all of it shares. See indirect.h.
 */
#include "map/indirect.h"

#include <inttypes.h>
#include <string.h>

#include "base/le.h"
#include "base/log.h"
#include "cache/buf.h"
#include "disk/dextent.h"
#include "disk/geo.h"
#include "map/ind_path.h"

int ind_corrupt(const struct mapping *m, unsigned level, pblk_t pblk,
		const char *why)
{
	log_err(m->log, "inode %u: block tree, level %u, block %" PRIu64 ": %s",
			m->inum, level, pblk, why);
	return -UEXT4_ECORRUPT;
}

static uint32_t ind_bits(const struct mapping *m)
{
	return m->geo->block_bits - 2;
}

uint64_t ind_max_blocks(const struct mapping *m)
{
	const uint32_t bits = ind_bits(m);
	uint64_t n = IND_DIRECT;

	for (unsigned i = 1; i < IND_LEVELS; i++)
		n += (uint64_t)1 << (i * bits);
	return min_u64(n, DEXT_LBLK_END);
}

int ind_check_root(const struct mapping *m)
{
	for (unsigned i = 0; i < IND_ROOT; i++) {
		const pblk_t pblk = get_le32(m->root + 4 * (size_t)i);

		if (pblk != 0 && map_is_system(m, pblk, 1))
			return ind_corrupt(m, 0, pblk, "bad pointer");
	}
	return 0;
}

/* Which pointer to follow at each level. False: beyond what a tree reaches. */
static bool ind_split(const struct mapping *m, lblk_t lblk, struct ind_path *p)
{
	const uint32_t bits = ind_bits(m);
	const uint32_t mask = (1u << bits) - 1;
	uint64_t rest = lblk;

	if (rest < IND_DIRECT) {
		p->n = 1;
		p->off[0] = lblk;
		return true;
	}
	rest -= IND_DIRECT;
	for (p->n = 2; p->n <= IND_LEVELS; p->n++) {
		const unsigned below = p->n - 1;

		if (rest < (uint64_t)1 << (below * bits)) {
			p->off[0] = IND_DIRECT + below - 1;
			for (unsigned k = 1; k <= below; k++)
				p->off[k] = (uint32_t)(rest >>
							    (below - k) * bits) &
						mask;
			return true;
		}
		rest -= (uint64_t)1 << (below * bits);
	}
	return false;
}

uint64_t ind_span(const struct mapping *m, const struct ind_path *p, unsigned k)
{
	return (uint64_t)1 << ((p->n - 1 - k) * ind_bits(m));
}

uint32_t ind_slots(
		const struct mapping *m, const struct ind_path *p, unsigned k)
{
	if (k > 0)
		return 1u << ind_bits(m);
	return p->n == 1 ? IND_DIRECT : p->off[0] + 1;
}

uint8_t *ind_node(const struct mapping *m, const struct ind_path *p, unsigned k)
{
	return k == 0 ? m->root : p->buf[k]->data;
}

pblk_t ind_ptr(const struct mapping *m, const struct ind_path *p, unsigned k,
		uint32_t off)
{
	return get_le32(ind_node(m, p, k) + 4 * (size_t)off);
}

int ind_path_get(
		const struct mapping *m, lblk_t lblk, struct ind_path *ret_path)
{
	struct ind_path p = { .got = 1 };
	pblk_t pblk;
	int ret;

	if (!ind_split(m, lblk, &p))
		return -EFBIG;
	for (; p.got < p.n; p.got++) {
		pblk = ind_ptr(m, &p, p.got - 1, p.off[p.got - 1]);
		if (pblk == 0)
			break;
		if (map_is_system(m, pblk, 1)) {
			ret = ind_corrupt(m, p.got, pblk,
					"node in system blocks");
			goto out_path;
		}
		ret = buf_read(m->cache, pblk, &p.buf[p.got]);
		if (ret < 0)
			goto out_path;
	}
	*ret_path = p;
	return 0;
out_path:
	ind_path_put(&p);
	return ret;
}

void ind_path_put(struct ind_path *p)
{
	for (unsigned k = 1; k < IND_LEVELS; k++) {
		buf_put(p->buf[k]);
		p->buf[k] = NULL;
	}
}

/* The hole at @lblk: what hangs below this pointer and the next ones of the
 * node that are 0 as well. */
static uint32_t ind_hole_len(
		const struct mapping *m, const struct ind_path *p, lblk_t lblk)
{
	const unsigned k = p->got - 1;
	const uint32_t slots = ind_slots(m, p, k);
	const uint64_t span = ind_span(m, p, k);
	uint64_t start, len;
	uint32_t off;

	/* Where in its pointer's span @lblk is, counted from the end. */
	start = 0;
	for (unsigned i = k + 1; i < p->n; i++)
		start += p->off[i] * ind_span(m, p, i);
	len = span - start;
	for (off = p->off[k] + 1; off < slots && ind_ptr(m, p, k, off) == 0;
			off++)
		len += span;
	return (uint32_t)min_u64(len, DEXT_LBLK_END - lblk);
}

int ind_find(const struct mapping *m, lblk_t lblk, struct map_run *ret_run)
{
	struct map_run run = { .lblk = lblk, .type = MAP_HOLE };
	struct ind_path p;
	unsigned k;
	int ret;

	if (lblk >= ind_max_blocks(m)) {
		run.len = UINT32_MAX - lblk;
		run.len += run.len == 0;
		*ret_run = run;
		return 0;
	}
	ret = ind_path_get(m, lblk, &p);
	if (ret < 0)
		return ret;

	k = p.got - 1;
	run.pblk = ind_ptr(m, &p, k, p.off[k]);
	if (run.pblk == 0) {
		run.len = ind_hole_len(m, &p, lblk);
	} else {
		const uint32_t slots = ind_slots(m, &p, k);

		run.type = MAP_WRITTEN;
		for (run.len = 1; p.off[k] + run.len < slots; run.len++)
			if (ind_ptr(m, &p, k, p.off[k] + run.len) !=
					run.pblk + run.len)
				break;
		if (map_is_system(m, run.pblk, run.len))
			ret = ind_corrupt(m, k, run.pblk,
					"data in system blocks");
	}
	ind_path_put(&p);
	if (ret == 0)
		*ret_run = run;
	return ret;
}

pblk_t ind_goal(const struct mapping *m, lblk_t lblk)
{
	struct ind_path p;
	pblk_t pblk = 0;
	uint32_t off;
	unsigned k;

	if (ind_path_get(m, lblk, &p) < 0)
		return 0;
	/* The last block in front of it in its node, else the node itself;
	 * at the start of a new node: what is in front one level up. */
	k = p.got - 1;
	for (off = p.off[k]; off > 0 && pblk == 0; off--)
		pblk = ind_ptr(m, &p, k, off - 1);
	if (pblk == 0 && k > 0)
		pblk = p.buf[k]->pblk;
	ind_path_put(&p);
	return pblk != 0 && geo_block_ok(m->geo, pblk + 1) ? pblk + 1 : 0;
}

/* ---- walk ---- */

struct ind_walker {
	int (*fn)(void *ctx, pblk_t pblk, uint32_t len, bool is_node);
	void *ctx;
	uint64_t told; /* blocks so far */
	pblk_t seen[IND_LEVELS];
	uint32_t at[IND_LEVELS];
};

/* Tell of the nodes of @p that were not told before. */
static int ind_walk_nodes(struct ind_walker *w, const struct ind_path *p)
{
	int ret = 0;

	for (unsigned k = 1; k < IND_LEVELS && ret == 0; k++) {
		const pblk_t pblk = k < p->got ? p->buf[k]->pblk : 0;
		bool is_new = pblk != 0 &&
				(pblk != w->seen[k] ||
						w->at[k] != p->off[k - 1]);

		if (is_new) {
			w->told++;
			ret = w->fn(w->ctx, pblk, 1, true);
		}
		w->seen[k] = pblk;
		w->at[k] = p->off[k - 1];
	}
	return ret;
}

int ind_walk(const struct mapping *m,
		int (*fn)(void *ctx, pblk_t pblk, uint32_t len, bool is_node),
		void *ctx)
{
	struct ind_walker w = { .fn = fn, .ctx = ctx };
	const uint64_t max = ind_max_blocks(m);
	struct map_run run;
	struct ind_path p;
	int ret;

	for (uint64_t pos = 0; pos < max; pos += run.len) {
		ret = ind_path_get(m, (lblk_t)pos, &p);
		if (ret < 0)
			return ret;
		ret = ind_walk_nodes(&w, &p);
		ind_path_put(&p);
		if (ret != 0)
			return ret;
		ret = ind_find(m, (lblk_t)pos, &run);
		if (ret == 0 && run.type != MAP_HOLE) {
			w.told += run.len;
			ret = fn(ctx, run.pblk, run.len, false);
		}
		if (ret != 0)
			return ret;
		/* Pointers may lead to one node again and again. */
		if (w.told > m->geo->blocks)
			return ind_corrupt(m, 0, run.pblk,
					"owns more blocks than there are");
	}
	return 0;
}
