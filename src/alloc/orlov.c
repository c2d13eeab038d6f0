/* SPDX-License-Identifier: MIT */
/*
 * Which group a new inode should go to: Orlov's rule.
 *
 * Files go to their directory's group. A directory goes near its parent as
 * long as the groups there are not fuller of directories, or emptier of
 * inodes and blocks, than a margin around the average allows; directories in
 * the root are taken to be unrelated and are spread, each to the emptiest of
 * a few candidates. With flex_bg whole flex groups are compared, as their
 * inode tables stand together.
 *
 * Rules    (O1) The counters are looked at without a lock and may be old: the
 *               choice is only ever worse for it, not wrong.
 *          (O2) At most ORLOV_LOOK flex groups are looked at.
 */
#include "alloc/orlov.h"

#include "alloc/grp.h"
#include "disk/geo.h"

#define ORLOV_LOOK   256u
#define ORLOV_SPREAD 16u /* candidates for a top-level directory */

struct flex {
	uint64_t inodes, blocks, dirs;
};

/* Sum up flex group @f. False if part of it cannot be read. */
static bool flex_sum(struct alloc *a, grp_t f, struct flex *ret)
{
	grp_t size = a->geo->flex_bg_size;
	grp_t first = f * size;
	grp_t end = (grp_t)min_u64((uint64_t)first + size, a->geo->groups);

	*ret = (struct flex){ 0 };
	for (grp_t g = first; g < end; g++) {
		struct grp *grp;

		if (grp_get(a, g, &grp) < 0)
			return false;
		ret->inodes += atomic_load(&grp->ifree);
		ret->blocks += atomic_load(&grp->avail);
		ret->dirs += atomic_load(&grp->dirs);
	}
	return true;
}

/* The averages of all flex groups, and how many there are. */
static grp_t flex_average(struct alloc *a, struct flex *ret)
{
	grp_t n = (grp_t)div_up_u64(a->geo->groups, a->geo->flex_bg_size);
	int64_t avail = atomic_load(&a->avail);

	ret->inodes = (uint64_t)atomic_load(&a->ifree) / n;
	ret->blocks = (uint64_t)max_of(avail, 0) / n;
	ret->dirs = (uint64_t)atomic_load(&a->dirs) / n;
	return n;
}

/* A directory of the root: the one with the fewest directories of a few that
 * are not below the average, starting somewhere else each time. */
static grp_t orlov_spread(struct alloc *a, grp_t home)
{
	struct flex avg, best = { .dirs = UINT64_MAX };
	grp_t n = flex_average(a, &avg), found = home;
	uint32_t turn = atomic_fetch_add(&a->spread, 1);
	/* Steps of an odd share of the whole visit it evenly. */
	grp_t start = (grp_t)(((uint64_t)turn * 0x9e3779b1u) % n);

	for (grp_t i = 0; i < n && i < ORLOV_SPREAD; i++) {
		grp_t f = (grp_t)(((uint64_t)start + i) % n);
		struct flex s;

		if (!flex_sum(a, f, &s) || s.inodes == 0 ||
				s.inodes < avg.inodes || s.blocks < avg.blocks)
			continue;
		if (s.dirs < best.dirs) {
			best = s;
			found = f;
		}
	}
	return found;
}

/* Any other directory: the first good one from its parent's on. */
static grp_t orlov_near(struct alloc *a, grp_t home)
{
	const struct geo *geo = a->geo;
	uint64_t inodes = (uint64_t)geo->ipg * geo->flex_bg_size;
	uint64_t blocks = (uint64_t)geo->cpg * geo->flex_bg_size;
	struct flex avg;
	grp_t n = flex_average(a, &avg);
	uint64_t max_dirs = avg.dirs + inodes / 16;
	uint64_t min_inodes = max_of(avg.inodes, inodes / 4 + 1) - inodes / 4;
	uint64_t min_blocks = max_of(avg.blocks, blocks / 4 + 1) - blocks / 4;

	for (grp_t i = 0; i < n && i < ORLOV_LOOK; i++) {
		grp_t f = (grp_t)(((uint64_t)home + i) % n);
		struct flex s;

		if (flex_sum(a, f, &s) && s.dirs < max_dirs &&
				s.inodes >= min_inodes &&
				s.blocks >= min_blocks)
			return f;
	}
	return home;
}

grp_t orlov_group(struct alloc *a, const struct alloc_inode_req *req)
{
	const struct geo *geo = a->geo;
	inum_t near = req->goal != 0 ? req->goal : req->parent;
	grp_t home = 0, flex;

	if (geo_inum_ok(geo, near))
		home = geo_grp_of_inode(geo, near);
	if (!req->is_dir || req->goal != 0)
		return home;
	flex = home / geo->flex_bg_size;
	flex = req->top_level ? orlov_spread(a, flex) : orlov_near(a, flex);
	return flex == home / geo->flex_bg_size ? home
						: flex * geo->flex_bg_size;
}
