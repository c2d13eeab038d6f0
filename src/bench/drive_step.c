/* SPDX-License-Identifier: MIT */
/*
 * Jobs that are done one step after the other. See drive.h.
 */
#include <errno.h>
#include <stdio.h>

#include "bench/drive.h"

#define SAMPLE       256u
#define NAMES_FACTOR 2u /* rounds of time to make names in */

/* ---- a pass ---- */

static int step_fsync(struct drive *d, uint32_t i)
{
	uint64_t pos = (uint64_t)i * d->bs;

	content_stamp(d->content, (uint32_t)(pos / CONTENT_BLOCK),
			d->generation, d->bufs, d->bs);
	return d->target->ops->write_sync(d->target, d->bufs, d->bs, pos);
}

static int step_one(struct drive *d, uint32_t i)
{
	const struct target_ops *ops = d->target->ops;

	switch (d->job->op) {
	case JOB_CREATE:
		return ops->name_create(d->target, d->names[i]);
	case JOB_STAT:
		return ops->name_stat(d->target, d->names[d->order[i]]);
	case JOB_UNLINK:
		return ops->name_unlink(d->target, d->names[i]);
	default:
		return step_fsync(d, i);
	}
}

int drive_step_pass(struct drive *d)
{
	uint64_t began = drive_clock();
	uint64_t now;
	int ret;

	while (d->next < d->nreq && began < d->deadline && !*d->stop) {
		ret = step_one(d, d->next);
		if (ret < 0)
			return drive_fail(d, ret, "fails");
		now = drive_clock();
		hist_add(&d->hist, now - began);
		began = now;
		d->next++;
		d->done++;
	}
	return 0;
}

/* ---- names before and after ---- */

int drive_names_set_up(struct drive *d, bool all)
{
	uint64_t end = drive_clock() + NAMES_FACTOR * d->budget_ns;
	const struct target_ops *ops = d->target->ops;
	uint32_t i;
	int ret;

	ret = ops->dir_make(d->target);
	if (ret < 0)
		return drive_fail(d, ret, "cannot make its directory");
	for (i = 0; all && i < d->nnames; i++) {
		if (i >= SAMPLE && (*d->stop || drive_clock() >= end))
			break;
		ret = ops->name_create(d->target, d->names[i]);
		if (ret < 0)
			return drive_fail(d, ret, "cannot make its files");
	}
	if (all)
		d->nmade = i;
	return 0;
}

/* Is name @i there, after this pass? */
static bool name_remains(const struct drive *d, uint32_t i)
{
	if (d->job->op == JOB_CREATE)
		return i < d->next;
	return i < d->nmade && (d->job->op == JOB_STAT || i >= d->next);
}

static int names_verify(struct drive *d)
{
	uint32_t name;
	char what[100];
	uint32_t i;
	int want;
	int ret;

	for (i = 0; i < SAMPLE; i++) {
		name = rng_below(&d->rng, d->nmade);
		want = name_remains(d, name) ? 0 : -ENOENT;
		ret = d->target->ops->name_stat(d->target, d->names[name]);
		if (ret != want) {
			snprintf(what, sizeof(what), "%s %s", d->names[name],
					want == 0 ? "was made and cannot be "
						    "found"
						  : "is there although it was "
						    "removed");
			return drive_fail(d, ret < 0 ? ret : -EUCLEAN, what);
		}
		d->checked++;
	}
	return 0;
}

int drive_names_tear_down(struct drive *d)
{
	const struct target_ops *ops = d->target->ops;
	uint32_t i;
	int ret;

	ret = names_verify(d);
	if (ret < 0)
		return ret;
	for (i = 0; i < d->nnames; i++) {
		if (!name_remains(d, i))
			continue;
		ret = ops->name_unlink(d->target, d->names[i]);
		if (ret < 0)
			return drive_fail(d, ret, "cannot remove its files");
	}
	ret = ops->dir_remove(d->target);
	return ret < 0 ? drive_fail(d, ret, "cannot remove its directory") : 0;
}
