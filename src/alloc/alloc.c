/* SPDX-License-Identifier: MIT */
/*
 * The allocator as a whole: opening, the scan of all descriptors at mount,
 * the system-block map, and the counts.
 *
 * Why the scan reads every descriptor although groups are loaded lazily: the
 * superblock's counts are not to be trusted (the kernel writes them only when
 * it unmounts), and a descriptor anywhere may place metadata anywhere, so a
 * map of system blocks made of some descriptors is no map. It costs one pass
 * over 8 MiB on a file system of 16 TiB and leaves behind the map and two
 * sums for each block of descriptors; struct grp is made when first needed.
 */
#include "alloc/alloc.h"

#include <assert.h>
#include <stdlib.h>

#include "alloc/grp.h"
#include "base/log.h"
#include "bdev/bdev.h"
#include "cache/buf.h"
#include "disk/geo.h"

#define LOADED_BYTES (16u << 20) /* memory for indexes and held bitmaps */
#define LOADED_MIN   64u
#define SCAN_AHEAD   64u /* blocks of descriptors */

static void alloc_locks_init(struct alloc *a)
{
	mutex_init(&a->load_lock, "alloc_load", LOCK_RANK_ALLOC);
	mutex_init(&a->pa_lock, "alloc_pa", LOCK_RANK_ALLOC);
	mutex_init(&a->pending_lock, "alloc_pending", LOCK_RANK_ALLOC);
	mutex_init(&a->clock_lock, "alloc_clock", LOCK_RANK_ALLOC);
}

static void alloc_locks_fini(struct alloc *a)
{
	mutex_fini(&a->load_lock);
	mutex_fini(&a->pa_lock);
	mutex_fini(&a->pending_lock);
	mutex_fini(&a->clock_lock);
}

int alloc_open(const struct alloc_params *p, struct alloc **ret_a)
{
	const struct geo *geo = p->geo;
	struct alloc *a = calloc(1, sizeof(*a));
	size_t each;

	if (a == NULL)
		return -ENOMEM;
	a->geo = geo;
	a->cache = p->cache;
	a->journal = p->journal;
	a->log = p->log;
	/* Clusters are for reading only: nobody asks for a part of one. */
	a->read_only = p->read_only || geo->cluster_bits != 0;
	a->root_blocks = p->root_blocks;
	a->gdt = calloc(geo->gdt_blocks, sizeof(*a->gdt));
	a->sum = calloc(geo->gdt_blocks, sizeof(*a->sum));
	if (a->gdt == NULL || a->sum == NULL) {
		free(a->gdt);
		free(a->sum);
		free(a);
		return -ENOMEM;
	}
	each = buddy_bytes(geo->cpg) + 2 * (size_t)geo->block_size;
	a->max_loaded = (uint32_t)max_u64(LOADED_MIN, LOADED_BYTES / each);
	/* What the superblock says serves until alloc_load() has counted. */
	atomic_store(&a->free, (int64_t)(p->free_blocks >> geo->cluster_bits));
	atomic_store(&a->avail, (int64_t)(p->free_blocks >> geo->cluster_bits));
	atomic_store(&a->ifree, (int64_t)p->free_inodes);
	TAILQ_INIT(&a->pas);
	sysmap_init(&a->sysmap);
	alloc_locks_init(a);
	*ret_a = a;
	return 0;
}

void alloc_set_journal(struct alloc *a, struct journal *j)
{
	a->journal = j;
}

void alloc_close(struct alloc *a)
{
	if (a == NULL)
		return;
	grp_drop_all(a);
	sysmap_fini(&a->sysmap);
	alloc_locks_fini(a);
	free(a->gdt);
	free(a->sum);
	free(a);
}

/* ---- the scan ---- */

struct scan {
	int64_t free, avail, ifree, dirs;
};

static int scan_group(
		struct alloc *a, grp_t no, const uint8_t *raw, struct scan *s)
{
	const struct geo *geo = a->geo;
	struct gdt_sum *sum = &a->sum[geo_gdt_index(geo, no)];
	const char *why = NULL;
	struct dgroup d;
	int ret, bad;

	dgroup_decode(geo, raw, &d);
	bad = dgroup_csum_verify(geo, no, raw);
	if (bad < 0)
		log_err(a->log, "group %u: descriptor has a bad checksum", no);
	if (bad < 0 && !a->read_only)
		return bad;
	ret = dgroup_check(geo, no, &d, &why);
	if (ret < 0) {
		log_err(a->log, "group %u: descriptor: %s", no, why);
		return a->read_only ? 0 : ret;
	}

	ret = sysmap_add(&a->sysmap, geo_grp_first_block(geo, no),
			geo_grp_base_meta(geo, no));
	if (ret == 0)
		ret = sysmap_add(&a->sysmap, d.block_bitmap, 1);
	if (ret == 0)
		ret = sysmap_add(&a->sysmap, d.inode_bitmap, 1);
	if (ret == 0)
		ret = sysmap_add(&a->sysmap, d.inode_table, geo->itb_per_group);
	if (ret < 0)
		return ret;

	s->free += d.free_clusters;
	s->dirs += d.used_dirs;
	s->ifree += d.free_inodes;
	if (bad == 0) {
		s->avail += d.free_clusters;
		atomic_fetch_add(&sum->avail, d.free_clusters);
		atomic_fetch_add(&sum->ifree, d.free_inodes);
	}
	return 0;
}

/* Start reading the descriptor blocks from @i on that stand in a row. */
static uint32_t scan_ahead(struct alloc *a, uint32_t i)
{
	pblk_t first = geo_gdt_block(a->geo, i);
	uint32_t n = 1;

	while (n < SCAN_AHEAD && i + n < a->geo->gdt_blocks &&
			geo_gdt_block(a->geo, i + n) == first + n)
		n++;
	buf_readahead(a->cache, first, n);
	return i + n;
}

static int scan_block(struct alloc *a, uint32_t i, struct scan *s)
{
	const struct geo *geo = a->geo;
	grp_t first = i * geo->desc_per_block;
	uint32_t n = min_of(geo->desc_per_block, geo->groups - first);
	struct buf *buf;
	int ret;

	ret = buf_read(a->cache, geo_gdt_block(geo, i), &buf);
	if (ret < 0)
		return ret;
	for (uint32_t g = 0; g < n && ret == 0; g++)
		ret = scan_group(a, first + g,
				buf->data + (size_t)g * geo->desc_size, s);
	buf_put(buf);
	return ret;
}

int alloc_load(struct alloc *a)
{
	uint32_t ahead = 0;
	struct scan s = { 0 };
	pblk_t where = 0;
	int ret;

	for (uint32_t i = 0; i < a->geo->gdt_blocks; i++) {
		if (i >= ahead)
			ahead = scan_ahead(a, i);
		ret = scan_block(a, i, &s);
		if (ret < 0)
			return ret;
	}
	ret = sysmap_seal(&a->sysmap, &where);
	if (ret == -UEXT4_ECORRUPT) {
		log_err(a->log, "block %llu belongs to two bitmaps or tables",
				(unsigned long long)where);
		if (a->read_only)
			ret = 0;
	}
	if (ret < 0)
		return ret;
	atomic_store(&a->free, s.free);
	atomic_store(&a->avail, s.avail);
	atomic_store(&a->ifree, s.ifree);
	atomic_store(&a->dirs, s.dirs);
	return 0;
}

/* ---- system blocks ---- */

bool alloc_is_system(const struct alloc *a, pblk_t pblk, uint64_t len)
{
	return !geo_range_ok(a->geo, pblk, len) ||
			sysmap_hits(&a->sysmap, pblk, len);
}

int alloc_add_system(struct alloc *a, pblk_t pblk, uint64_t len)
{
	int ret = -UEXT4_ECORRUPT;

	if (geo_range_ok(a->geo, pblk, len))
		ret = sysmap_insert(&a->sysmap, pblk, len);
	if (ret == -UEXT4_ECORRUPT)
		log_err(a->log,
				"system blocks %llu+%llu lie over other "
				"metadata, or outside",
				(unsigned long long)pblk,
				(unsigned long long)len);
	return ret;
}

uint32_t alloc_clip(const struct alloc *a, pblk_t pblk, uint32_t len)
{
	uint32_t left = a->geo->bpg - geo_index_of_block(a->geo, pblk);

	return min_of(len, left);
}

pblk_t alloc_goal_for_inode(const struct alloc *a, inum_t inum)
{
	if (!geo_inum_ok(a->geo, inum))
		return a->geo->first_data_block;
	return geo_grp_first_block(a->geo, geo_grp_of_inode(a->geo, inum));
}

/* ---- counts ---- */

static uint64_t count_of(_Atomic int64_t *v)
{
	int64_t n = atomic_load(v);

	return n > 0 ? (uint64_t)n : 0;
}

uint64_t alloc_pending(struct alloc *a)
{
	return count_of(&a->pending);
}

void alloc_stat(struct alloc *a, struct alloc_stat *ret)
{
	uint32_t bits = a->geo->cluster_bits;
	uint64_t avail = count_of(&a->avail);

	/* Windows go back when space is short, pending blocks come back with
	 * the next commit: both can be had. */
	avail += count_of(&a->windows) + count_of(&a->pending);
	ret->free_blocks = count_of(&a->free) << bits;
	ret->avail_blocks = min_u64(avail << bits, ret->free_blocks);
	ret->root_blocks = a->root_blocks;
	ret->free_inodes = count_of(&a->ifree);
	ret->dirs = count_of(&a->dirs);
}

void alloc_disk_counts(struct alloc *a, uint64_t *ret_free_blocks,
		uint64_t *ret_free_inodes)
{
	*ret_free_blocks = count_of(&a->free) << a->geo->cluster_bits;
	*ret_free_inodes = count_of(&a->ifree);
}
