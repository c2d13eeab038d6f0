/* SPDX-License-Identifier: MIT */
/*
 * Random operations on one file's mapping, compared with the model after each.
 *
 * Every operation may be given one fault; then it must have changed nothing,
 * or, where the contract allows it, a part of what was asked.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "unit/tree_model.h"

struct fuzz {
	struct tree_fuzz *fz;
	struct fake *f;
	struct mapping m;
	uint8_t root[60];
	struct model *mo;
	bool is_faulty; /* this operation has a fault set */
	bool slack;     /* some operation was cut short before */
};

static void fuzz_range(struct fuzz *z, lblk_t *lblk, uint32_t *len)
{
	*lblk = (lblk_t)fake_rand(z->f, z->fz->lblks);
	*len = 1 + (uint32_t)fake_rand(z->f, z->fz->max_len);
	*len = min_of(*len, z->fz->lblks - *lblk);
}

static bool fuzz_is_hole(struct fuzz *z, lblk_t lblk, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		if (z->mo->b[lblk + i].type != MAP_HOLE)
			return false;
	return true;
}

static bool fuzz_has_hole(struct fuzz *z, lblk_t lblk, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		if (z->mo->b[lblk + i].type == MAP_HOLE)
			return true;
	return false;
}

static void fuzz_alloc(struct fuzz *z, lblk_t lblk, uint32_t len)
{
	const struct model_block was = z->mo->b[lblk];
	struct map_run run;
	struct handle *h;
	uint32_t flags = 0;
	int ret;

	if (z->fz->is_extents && fake_rand(z->f, 2))
		flags |= MAP_F_UNWRITTEN;
	h = fake_start(z->f, map_credits_alloc(&z->m, len));
	ret = map_alloc(h, &z->m, lblk, len, flags, &run);
	fake_stop(z->f);
	if (ret < 0) {
		assert_true(z->is_faulty || ret == -ENOSPC);
		return;
	}
	assert_int_equal(run.lblk, lblk);
	assert_true(run.len >= 1 && run.len <= len);
	assert_int_equal(run.is_new, was.type == MAP_HOLE);
	if (!run.is_new) {
		assert_int_equal(run.pblk, was.pblk);
		assert_int_equal(run.type, was.type);
		return;
	}
	assert_true(fuzz_is_hole(z, lblk, run.len));
	model_set(z->mo, lblk, run.len, run.pblk,
			flags ? MAP_UNWRITTEN : MAP_WRITTEN);
}

static void fuzz_insert(struct fuzz *z, lblk_t lblk, uint32_t len)
{
	const bool is_hole = fuzz_is_hole(z, lblk, len);
	uint32_t flags = 0;
	struct handle *h;
	pblk_t pblk = 0;
	int ret;

	if (z->fz->is_extents && fake_rand(z->f, 2))
		flags |= MAP_F_UNWRITTEN;
	/* Now and then what continues the block in front. */
	if (lblk > 0 && z->mo->b[lblk - 1].pblk && fake_rand(z->f, 2)) {
		pblk = z->mo->b[lblk - 1].pblk + 1;
		for (uint32_t i = 0; i < len; i++)
			if (pblk + i >= fake_geo(z->f)->blocks ||
					fake_use(z->f, pblk + i) != FAKE_FREE)
				pblk = 0;
		if (pblk)
			fake_set_use(z->f, pblk, len, FAKE_DATA);
	}
	if (!pblk)
		pblk = fake_take(z->f, len);
	if (!pblk)
		return;
	h = fake_start(z->f, map_credits_alloc(&z->m, len));
	ret = map_insert(h, &z->m, lblk, pblk, len, flags);
	fake_stop(z->f);
	if (ret == 0) {
		assert_true(is_hole);
		model_set(z->mo, lblk, len, pblk,
				flags ? MAP_UNWRITTEN : MAP_WRITTEN);
		return;
	}
	assert_true(z->is_faulty || ret == (is_hole ? -ENOSPC : -EEXIST));
	fake_set_use(z->f, pblk, len, FAKE_FREE);
}

/* Take over what is there now of [lblk, lblk + len), if it is old or new. */
static void fuzz_adopt(
		struct fuzz *z, lblk_t lblk, uint32_t len, enum map_type type)
{
	for (uint32_t i = lblk; i < lblk + len; i++) {
		struct model_block *b = &z->mo->b[i];
		struct map_run run;

		assert_int_equal(map_find(&z->m, i, 1, &run), 0);
		assert_true(run.type == b->type || run.type == type);
		b->type = run.type;
		if (run.type == MAP_HOLE)
			b->pblk = 0;
	}
	z->slack = true;
}

static void fuzz_convert(struct fuzz *z, lblk_t lblk, uint32_t len)
{
	const bool back = fake_rand(z->f, 3) == 0;
	const bool has_hole = fuzz_has_hole(z, lblk, len);
	const enum map_type type = back ? MAP_UNWRITTEN : MAP_WRITTEN;
	struct handle *h;
	int ret;

	h = fake_start(z->f, map_credits_convert(&z->m));
	ret = back ? map_convert_unwritten(h, &z->m, lblk, len)
		   : map_convert(h, &z->m, lblk, len);
	fake_stop(z->f);
	if (back && !z->fz->is_extents) {
		assert_int_equal(ret, -EOPNOTSUPP);
		return;
	}
	if (ret < 0) {
		assert_true(z->is_faulty || has_hole || ret == -ENOSPC);
		z->slack = true; /* ends may have been cut */
		if (ret != -ENOSPC && !has_hole) {
			fake_fail(z->f, FAKE_READ, 0);
			fake_fail(z->f, FAKE_GET_WRITE, 0);
			fuzz_adopt(z, lblk, len, type);
		}
		return;
	}
	assert_false(has_hole);
	for (uint32_t i = lblk; i < lblk + len; i++)
		z->mo->b[i].type = type;
}

static void fuzz_remove(struct fuzz *z, lblk_t lblk, uint32_t len)
{
	uint64_t end = lblk + len, to = end;
	struct handle *h;
	int ret, turns = 0;

	if (lblk + len == z->fz->lblks)
		end = to = (uint64_t)UINT32_MAX + 1;
	fake_set_no_extend(z->f, fake_rand(z->f, 2));
	do {
		h = fake_start(z->f, map_credits_remove(&z->m));
		ret = map_remove(h, &z->m, lblk, to, &to);
		fake_stop(z->f);
		assert_true(to >= lblk && to <= end);
		assert_true(++turns < 100000);
	} while (ret == 0 && to > lblk);
	fake_set_no_extend(z->f, false);

	end = min_u64(end, z->fz->lblks);
	if (ret < 0) {
		assert_true(z->is_faulty || ret == -ENOSPC);
		if (to < end)
			model_set(z->mo, (lblk_t)to, (uint32_t)(end - to), 0,
					MAP_HOLE);
		fake_fail(z->f, FAKE_READ, 0);
		fuzz_adopt(z, lblk, len, MAP_HOLE);
		z->mo->reap = true;
		return;
	}
	model_set(z->mo, lblk, (uint32_t)(end - lblk), 0, MAP_HOLE);
}

static void fuzz_next(struct fuzz *z, lblk_t lblk)
{
	struct map_run run;
	lblk_t want = lblk;
	int ret;

	while (want < z->fz->lblks && z->mo->b[want].type == MAP_HOLE)
		want++;
	ret = map_next(&z->m, lblk, &run);
	if (want == z->fz->lblks) {
		assert_int_equal(ret, -ENOENT);
		return;
	}
	assert_int_equal(ret, 0);
	assert_int_equal(run.lblk, want);
	assert_int_equal(run.pblk, z->mo->b[want].pblk);
}

static int fuzz_tell(void *ctx, pblk_t pblk, uint32_t len, bool is_node)
{
	uint64_t *told = ctx;

	told[is_node] += len;
	return 0;
}

static void fuzz_walk(struct fuzz *z)
{
	uint64_t told[2] = { 0 };

	assert_int_equal(map_walk(&z->m, fuzz_tell, told), 0);
	assert_int_equal(told[1], z->mo->nodes);
	assert_int_equal(told[0] + told[1], z->m.blocks);
}

static void fuzz_op(struct fuzz *z, uint32_t i)
{
	lblk_t lblk;
	uint32_t len;
	/* Grow for some time, then shrink. */
	const bool grow = (i / 400) % 3 < 2;
	const uint64_t dice = fake_rand(z->f, 10);

	fuzz_range(z, &lblk, &len);
	if (dice < (grow ? 4 : 1))
		fuzz_alloc(z, lblk, len);
	else if (dice < (grow ? 6 : 3))
		fuzz_insert(z, lblk, len);
	else if (dice < (grow ? 9 : 4))
		fuzz_convert(z, lblk, len);
	else
		fuzz_remove(z, lblk,
				len * (grow ? 1 : 2) > z->fz->lblks - lblk
						? z->fz->lblks - lblk
						: len * (grow ? 1 : 2));
}

static void fuzz_one(struct fuzz *z, uint32_t i)
{
	struct tree_fuzz *fz = z->fz;
	enum fake_call call = (enum fake_call)fake_rand(z->f, FAKE_CALLS);
	lblk_t lblk = (lblk_t)fake_rand(z->f, fz->lblks);
	bool failed;

	z->is_faulty = fz->fault_every && fake_rand(z->f, fz->fault_every) == 0;
	if (z->is_faulty)
		fake_fail(z->f, call, 1 + (unsigned)fake_rand(z->f, 6));
	fuzz_op(z, i);
	failed = fake_has_failed(z->f);
	fake_fail(z->f, call, 0);
	fz->faults += failed;
	if (failed) {
		z->slack = true;
		if (call == FAKE_FREE_RUN)
			z->mo->reap = true;
	}

	model_check(z->mo, z->f, &z->m, z->slack);
	model_check_find(z->mo, &z->m, lblk);
	fuzz_next(z, lblk);
	if (i % 64 == 0)
		fuzz_walk(z);
	fz->max_depth = max_of(fz->max_depth, z->mo->depth);
	fz->max_nodes = max_of(fz->max_nodes, z->mo->nodes);
	fz->max_extents = max_of(fz->max_extents, z->mo->extents);
}

void tree_fuzz(struct tree_fuzz *fz)
{
	struct fuzz z = { .fz = fz };
	const char *more = secure_getenv("UEXT4_FUZZ_SEED");

	/* Another number walks another way; print it to walk it again. */
	if (more)
		fz->fake.seed += strtoull(more, NULL, 0);
	print_message("  seed %llu\n", (unsigned long long)fz->fake.seed);
	z.f = fake_new(&fz->fake);
	z.mo = model_new(fz->lblks);
	fake_set_runs(z.f, fz->max_run, fz->obey_goal);
	fake_mapping_init(z.f, &z.m, z.root, fz->is_extents);
	for (uint32_t i = 0; i < fz->ops; i++)
		fuzz_one(&z, i);

	/* To the end: nothing may be left. */
	z.is_faulty = false;
	fuzz_remove(&z, 0, fz->lblks);
	model_check(z.mo, z.f, &z.m, z.slack);
	assert_int_equal(z.m.blocks, 0);
	assert_int_equal(z.mo->nodes, 0);
	assert_int_equal(z.mo->depth, 0);
	mapping_fini(&z.m);
	model_free(z.mo);
	fake_free(z.f);
}
