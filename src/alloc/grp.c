/* SPDX-License-Identifier: MIT */
/*
 * Loading block groups: descriptors when first asked for, bitmaps when first
 * used, each checked before anything is believed.
 *
 * States   a descriptor block   absent -> loaded (for good)       grp_get()
 *          blocks of a group    out -> in -> out    grp_lock_blocks(), clock
 *          inodes of a group    out -> in -> out    grp_lock_inodes(), clock
 *          either               -> out of use (berr, ierr), for good
 *
 * A bitmap that cannot be right (checksum, its own metadata free, a count
 * that differs from the descriptor's) puts the group out of use: nothing is
 * ever allocated or freed there again, and its space is no longer counted as
 * available. A read error does not; the next use tries again.
 *
 * Rules    (G1) A group with extras is not put out: its index says more than
 *               the bitmap on disk.
 *          (G2) Without extras, index and bitmap on disk are equal.
 *          (G3) Bitmaps are read without a lock held; whoever locks the group
 *               first installs what was read, the others drop theirs.
 *
 * Locks    grp.h
 */
#include "alloc/grp.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/log.h"
#include "cache/buf.h"
#include "disk/geo.h"

/* ---- descriptors ---- */

static void grp_init(struct alloc *a, struct gdt *gdt, struct grp *grp,
		const uint8_t *raw)
{
	const char *why = NULL;
	int ret;

	mutex_init(&grp->lock, "grp", LOCK_RANK_GRP);
	grp->gdt = gdt;
	grp->nbits = geo_grp_clusters(a->geo, grp->no);
	dgroup_decode(a->geo, raw, &grp->d);
	ret = dgroup_check(a->geo, grp->no, &grp->d, &why);
	grp->is_placed = ret == 0;
	if (ret == 0)
		ret = dgroup_csum_verify(a->geo, grp->no, raw);
	grp->berr = ret;
	grp->ierr = ret;
	if (ret < 0)
		return;
	atomic_store(&grp->avail, grp->d.free_clusters);
	atomic_store(&grp->longest, grp->d.free_clusters);
	atomic_store(&grp->ifree, grp->d.free_inodes);
	atomic_store(&grp->dirs, grp->d.used_dirs);
}

static void gdt_free(struct gdt *gdt)
{
	for (uint32_t i = 0; i < gdt->n; i++) {
		struct grp *grp = &gdt->grp[i];

		buddy_free(grp->buddy);
		buf_put(grp->bbuf);
		buf_put(grp->ibuf);
		mutex_fini(&grp->lock);
	}
	buf_put(gdt->buf);
	free(gdt);
}

static int gdt_read(struct alloc *a, uint32_t index, struct gdt **ret_gdt)
{
	const struct geo *geo = a->geo;
	grp_t first = index * geo->desc_per_block;
	uint32_t n = min_of(geo->desc_per_block, geo->groups - first);
	struct gdt *gdt;
	int ret;

	gdt = calloc(1, sizeof(*gdt) + n * sizeof(gdt->grp[0]));
	if (gdt == NULL)
		return -ENOMEM;
	ret = buf_read(a->cache, geo_gdt_block(geo, index), &gdt->buf);
	if (ret < 0) {
		free(gdt);
		return ret;
	}
	gdt->index = index;
	gdt->n = n;
	/* Another thread may have loaded it first and be changing it. */
	mutex_lock_nested(&gdt->buf->lock);
	for (uint32_t i = 0; i < n; i++) {
		gdt->grp[i].no = first + i;
		grp_init(a, gdt, &gdt->grp[i],
				gdt->buf->data + (size_t)i * geo->desc_size);
	}
	mutex_unlock(&gdt->buf->lock);
	*ret_gdt = gdt;
	return 0;
}

static int gdt_load(struct alloc *a, uint32_t index, struct gdt **ret_gdt)
{
	struct gdt *gdt, *first;
	int ret = gdt_read(a, index, &gdt);

	if (ret < 0)
		return ret;
	mutex_lock(&a->load_lock);
	first = atomic_load(&a->gdt[index]);
	if (first == NULL)
		atomic_store(&a->gdt[index], gdt);
	mutex_unlock(&a->load_lock);
	if (first != NULL) {
		gdt_free(gdt);
		gdt = first;
	}
	*ret_gdt = gdt;
	return 0;
}

struct grp *grp_peek(const struct alloc *a, grp_t no)
{
	struct gdt *gdt =
			atomic_load_explicit(&a->gdt[geo_gdt_index(a->geo, no)],
					memory_order_acquire);

	return gdt ? &gdt->grp[no % a->geo->desc_per_block] : NULL;
}

int grp_get(struct alloc *a, grp_t no, struct grp **ret_grp)
{
	struct gdt *gdt;
	int ret;

	assert(no < a->geo->groups);
	*ret_grp = grp_peek(a, no);
	if (*ret_grp != NULL)
		return 0;
	ret = gdt_load(a, geo_gdt_index(a->geo, no), &gdt);
	if (ret == 0)
		*ret_grp = &gdt->grp[no % a->geo->desc_per_block];
	return ret;
}

void grp_drop_all(struct alloc *a)
{
	for (uint32_t i = 0; i < a->geo->gdt_blocks; i++) {
		struct gdt *gdt = atomic_exchange(&a->gdt[i], NULL);

		if (gdt != NULL)
			gdt_free(gdt);
	}
}

uint32_t grp_flags_locked(const struct alloc *a, const struct grp *grp)
{
	return geo_has_group_flags(a->geo) ? grp->d.flags : DGROUP_INODE_ZEROED;
}

uint32_t grp_inodes_used_locked(const struct alloc *a, const struct grp *grp)
{
	uint32_t unused = min_of(grp->d.itable_unused, a->geo->ipg);

	if (!geo_has_group_flags(a->geo))
		return a->geo->ipg;
	if ((grp->d.flags & DGROUP_INODE_UNINIT) != 0)
		return 0;
	return a->geo->ipg - unused;
}

/* ---- out of use ---- */

static void grp_ban_blocks(
		struct alloc *a, struct grp *grp, int err, const char *why)
{
	uint32_t n = atomic_exchange(&grp->avail, 0);

	log_err(a->log, "group %u: block bitmap: %s; its blocks are left alone",
			grp->no, why);
	grp->berr = err;
	atomic_store(&grp->longest, 0);
	atomic_fetch_sub(&a->sum[grp->gdt->index].avail, n);
	atomic_fetch_sub(&a->avail, n);
}

static void grp_ban_inodes(
		struct alloc *a, struct grp *grp, int err, const char *why)
{
	uint32_t n = atomic_exchange(&grp->ifree, 0);

	log_err(a->log, "group %u: inode bitmap: %s; its inodes are left alone",
			grp->no, why);
	grp->ierr = err;
	atomic_fetch_sub(&a->sum[grp->gdt->index].ifree, n);
}

/* ---- the clock ---- */

static void grp_put_out_locked(struct alloc *a, struct grp *grp)
{
	buddy_free(grp->buddy);
	grp->buddy = NULL;
	atomic_store(&grp->loaded, false);
	atomic_fetch_sub(&a->nloaded, 1);
	buf_put(grp->bbuf);
	grp->bbuf = NULL;
	buf_put(grp->ibuf);
	grp->ibuf = NULL;
}

/* Give memory back once too many groups are loaded: those not used since the
 * hand came by last. Try-locks only: any group may be locked by the caller. */
static void grp_turn_clock(struct alloc *a)
{
	uint32_t goal = a->max_loaded - a->max_loaded / 8;
	uint64_t steps = 2 * (uint64_t)a->geo->groups;

	if (!mutex_trylock(&a->clock_lock))
		return;
	for (; steps > 0 && atomic_load(&a->nloaded) > goal; steps--) {
		struct grp *grp = grp_peek(a, a->clock);

		a->clock = (a->clock + 1) % a->geo->groups;
		if (grp == NULL || !atomic_load(&grp->loaded))
			continue;
		if (atomic_exchange(&grp->used, false))
			continue;
		if (!mutex_trylock(&grp->lock))
			continue;
		if (grp->extras == 0) /* G1 */
			grp_put_out_locked(a, grp);
		mutex_unlock(&grp->lock);
	}
	mutex_unlock(&a->clock_lock);
}

static void grp_note_loaded_locked(struct alloc *a, struct grp *grp)
{
	if (!atomic_exchange(&grp->loaded, true))
		atomic_fetch_add(&a->nloaded, 1);
	if (atomic_load(&a->nloaded) > a->max_loaded)
		grp_turn_clock(a);
}

/* ---- blocks ---- */

/* Call @fn for each run of system blocks inside @grp, by bits. */
static bool grp_each_system(const struct alloc *a, const struct grp *grp,
		bool (*fn)(uint8_t *map, uint32_t bit, uint32_t len),
		uint8_t *map)
{
	pblk_t first = geo_grp_first_block(a->geo, grp->no);
	pblk_t end = first + grp->nbits;
	const struct sysmap *m = &a->sysmap;

	for (size_t i = sysmap_first(m, first);
			i < m->n && m->runs[i].start < end; i++) {
		pblk_t lo = max_u64(m->runs[i].start, first);
		pblk_t hi = min_u64(m->runs[i].end, end);

		if (!fn(map, (uint32_t)(lo - first), (uint32_t)(hi - lo)))
			return false;
	}
	return true;
}

static bool system_set(uint8_t *map, uint32_t bit, uint32_t len)
{
	bits_set_range(map, bit, len);
	return true;
}

static bool system_is_set(uint8_t *map, uint32_t bit, uint32_t len)
{
	return bits_all_set(map, bit, len);
}

void grp_layout(const struct alloc *a, const struct grp *grp, uint8_t *map)
{
	dgroup_bbm_init(a->geo, grp->no, &grp->d, map);
	grp_each_system(a, grp, system_set, map);
}

/* Check @map, a block bitmap, and build the index of it. */
static int grp_index_locked(
		struct alloc *a, struct grp *grp, uint8_t *map, bool is_layout)
{
	struct buddy *buddy;
	int ret = 0;

	if (!is_layout)
		ret = dgroup_bbm_csum_verify(a->geo, &grp->d, map);
	if (ret < 0) {
		grp_ban_blocks(a, grp, ret, "bad checksum");
		return ret;
	}
	if (!grp_each_system(a, grp, system_is_set, map)) {
		grp_ban_blocks(a, grp, -UEXT4_ECORRUPT,
				"shows metadata as free");
		return -UEXT4_ECORRUPT;
	}
	ret = buddy_new(map, grp->nbits, &buddy);
	if (ret < 0)
		return ret;
	if (buddy_count_free(buddy) != grp->d.free_clusters) {
		buddy_free(buddy);
		grp_ban_blocks(a, grp, -UEXT4_ECORRUPT,
				"free blocks are not what the descriptor says");
		return -UEXT4_ECORRUPT;
	}
	grp->buddy = buddy;
	return 0;
}

static int grp_install_blocks_locked(struct alloc *a, struct grp *grp,
		struct buf *buf, bool is_layout)
{
	uint8_t *map = buf->data;
	int ret;

	if (is_layout) {
		map = calloc(1, a->geo->block_size);
		if (map == NULL)
			return -ENOMEM;
		grp_layout(a, grp, map);
	}
	ret = grp_index_locked(a, grp, map, is_layout);
	if (is_layout)
		free(map);
	if (ret < 0)
		return ret;
	buf_hold(buf);
	grp->bbuf = buf;
	atomic_store(&grp->longest, buddy_longest(grp->buddy));
	grp_note_loaded_locked(a, grp);
	return 0;
}

static bool grp_is_layout_locked(const struct alloc *a, const struct grp *grp)
{
	return (grp_flags_locked(a, grp) & DGROUP_BLOCK_UNINIT) != 0;
}

/* Returns with @grp locked if it returns 0. */
UEXT4_NO_TSA int grp_lock_blocks(struct alloc *a, struct grp *grp)
{
	struct buf *buf = NULL;
	bool was_layout = false;
	int ret;

	for (;;) {
		bool is_layout;

		mutex_lock(&grp->lock);
		is_layout = grp_is_layout_locked(a, grp);
		ret = grp->berr;
		if (ret == 0 && grp->buddy == NULL && buf != NULL &&
				is_layout == was_layout)
			ret = grp_install_blocks_locked(a, grp, buf, is_layout);
		if (ret < 0 || grp->buddy != NULL)
			break;
		mutex_unlock(&grp->lock);

		/* G3. A bitmap never written is not read either. */
		buf_put(buf);
		buf = NULL;
		was_layout = is_layout;
		if (is_layout)
			ret = buf_get_noread(
					a->cache, grp->d.block_bitmap, &buf);
		else
			ret = buf_read(a->cache, grp->d.block_bitmap, &buf);
		if (ret < 0)
			return ret;
	}
	buf_put(buf);
	atomic_store_explicit(&grp->used, true, memory_order_relaxed);
	if (ret < 0)
		mutex_unlock(&grp->lock);
	return ret;
}

/* ---- inodes ---- */

static const char *grp_check_inodes(const struct alloc *a,
		const struct grp *grp, const uint8_t *map)
{
	uint32_t ipg = a->geo->ipg, used = grp_inodes_used_locked(a, grp);

	if (ipg - bits_count(map, 0, ipg) != grp->d.free_inodes)
		return "free inodes are not what the descriptor says";
	if (!bits_all_clear(map, used, ipg - used))
		return "shows inodes of the unused part as used";
	return NULL;
}

static int grp_install_inodes_locked(
		struct alloc *a, struct grp *grp, struct buf *buf)
{
	const char *why = NULL;
	int ret = 0;

	if ((grp_flags_locked(a, grp) & DGROUP_INODE_UNINIT) != 0) {
		if (grp->d.free_inodes != a->geo->ipg)
			why = "never written, but inodes are in use";
	} else {
		ret = dgroup_ibm_csum_verify(a->geo, &grp->d, buf->data);
		if (ret < 0)
			why = "bad checksum";
		else
			why = grp_check_inodes(a, grp, buf->data);
	}
	if (why != NULL) {
		ret = ret < 0 ? ret : -UEXT4_ECORRUPT;
		grp_ban_inodes(a, grp, ret, why);
		return ret;
	}
	buf_hold(buf);
	grp->ibuf = buf;
	grp->ihint = 0;
	grp_note_loaded_locked(a, grp);
	return 0;
}

/* Returns with @grp locked if it returns 0. */
UEXT4_NO_TSA int grp_lock_inodes(struct alloc *a, struct grp *grp)
{
	struct buf *buf = NULL;
	uint32_t was = 0;
	int ret;

	for (;;) {
		uint32_t uninit;

		mutex_lock(&grp->lock);
		uninit = grp_flags_locked(a, grp) & DGROUP_INODE_UNINIT;
		ret = grp->ierr;
		if (ret == 0 && grp->ibuf == NULL && buf != NULL &&
				uninit == was)
			ret = grp_install_inodes_locked(a, grp, buf);
		if (ret < 0 || grp->ibuf != NULL)
			break;
		mutex_unlock(&grp->lock);

		buf_put(buf); /* G3 */
		buf = NULL;
		was = uninit;
		if (uninit != 0)
			ret = buf_get_noread(
					a->cache, grp->d.inode_bitmap, &buf);
		else
			ret = buf_read(a->cache, grp->d.inode_bitmap, &buf);
		if (ret < 0)
			return ret;
	}
	buf_put(buf);
	atomic_store_explicit(&grp->used, true, memory_order_relaxed);
	if (ret < 0)
		mutex_unlock(&grp->lock);
	return ret;
}
