/* SPDX-License-Identifier: MIT */
#include "alloc_env.h"

#include <stdlib.h>
#include <string.h>

#include "alloc/grp.h"
#include "cache/buf.h"

static const struct env_profile csum = { "csum",
	"-t ext4 -b 1024 -O metadata_csum,64bit,^has_journal -m 0", 40, false };
static const struct env_profile csum_noflex = { "csum-noflex",
	"-t ext4 -b 1024 -O metadata_csum,^flex_bg,^has_journal -m 0", 40,
	false };
static const struct env_profile plain = { "plain", "-t ext2 -b 1024 -m 0", 40,
	false };

/* ---- changing an image behind the allocator's back ---- */

static uint64_t desc_pos(const struct env *e, grp_t no)
{
	return geo_gdt_block(&e->geo, geo_gdt_index(&e->geo, no)) *
			e->geo.block_size +
			geo_gdt_offset(&e->geo, no);
}

static void desc_get(struct env *e, grp_t no, struct dgroup *ret_d)
{
	uint8_t raw[64];

	env_peek(e, desc_pos(e, no), raw, e->geo.desc_size);
	dgroup_decode(&e->geo, raw, ret_d);
}

/* Write a descriptor, with its checksum right unless told otherwise. */
static void desc_set(struct env *e, grp_t no, const struct dgroup *d, bool good)
{
	uint8_t raw[64];

	env_peek(e, desc_pos(e, no), raw, e->geo.desc_size);
	dgroup_encode(&e->geo, d, raw);
	if (good)
		dgroup_csum_set(&e->geo, no, raw);
	env_poke(e, desc_pos(e, no), raw, e->geo.desc_size);
}

/* Close, let @d of group @no be changed by the caller, open. */
#define WITH_DESC(e, no, good, d, change)                                      \
 do {                                                                          \
  struct dgroup d;                                                             \
  env_close(e);                                                                \
  desc_get(e, no, &d);                                                         \
  change;                                                                      \
  desc_set(e, no, &d, good);                                                   \
  env_open(e);                                                                 \
 } while (0)

static void spoil_bitmap(
		struct env *e, pblk_t pblk, uint32_t byte, uint8_t value)
{
	env_poke(e, pblk * e->geo.block_size + byte, &value, 1);
}

/* ---- descriptors ---- */

static void bad_descriptors_refuse_the_mount(void **state)
{
	struct dgroup old;
	struct env e;

	(void)state;
	env_make(&e, &csum);
	desc_get(&e, 2, &old);

	WITH_DESC(&e, 2, false, d, d.free_inodes--);
	assert_int_equal(e.load, -EBADMSG);
	assert_non_null(strstr(e.said, "group 2"));
	WITH_DESC(&e, 2, true, d, d = old; d.block_bitmap = e.geo.blocks);
	assert_int_equal(e.load, -EUCLEAN);
	/* One bitmap for two groups. */
	WITH_DESC(&e, 2, true, d, d = old; d.block_bitmap--);
	assert_int_equal(e.load, -EUCLEAN);
	assert_non_null(strstr(e.said, "belongs to two"));
	/* A table over the superblock's group descriptors. */
	WITH_DESC(&e, 2, true, d, d = old; d.inode_table = 2);
	assert_int_equal(e.load, -EUCLEAN);
	WITH_DESC(&e, 2, true, d, d = old);
	assert_int_equal(e.load, 0);
	env_fsck(&e);
	env_drop(&e);
}

static void a_reader_does_without_bad_descriptors(void **state)
{
	struct alloc_req req = { .len = 1 };
	struct alloc_run run;
	struct dgroup old;
	uint32_t off;
	pblk_t pblk;
	struct env e;

	(void)state;
	env_make(&e, &csum);
	desc_get(&e, 2, &old);
	e.read_only = true;
	WITH_DESC(&e, 2, false, d, d.free_inodes--);
	assert_int_equal(e.load, 0);
	assert_int_equal(alloc_reserve(e.alloc, &req, &run), -EROFS);
	assert_int_equal(ialloc_locate(e.alloc, 2 * e.geo.ipg + 1, &pblk, &off),
			0);
	assert_int_equal(pblk, old.inode_table);
	assert_int_equal(ialloc_is_used(e.alloc, 2 * e.geo.ipg + 1), -EBADMSG);
	assert_int_equal(ialloc_is_used(e.alloc, 1), 1);
	WITH_DESC(&e, 2, false, d, d.inode_table = e.geo.blocks);
	assert_int_equal(e.load, 0);
	assert_int_equal(ialloc_locate(e.alloc, 2 * e.geo.ipg + 1, &pblk, &off),
			-EUCLEAN);
	env_close(&e);
	env_drop(&e);
}

/* ---- bitmaps ---- */

/* All that can be had, and where none of it may come from. */
static uint64_t take_all(struct env *e, grp_t not_in)
{
	struct alloc_req req = { .len = 1000, .flags = ALLOC_F_ROOT };
	struct alloc_run run;
	uint64_t n = 0;

	req.goal = geo_grp_first_block(&e->geo, not_in) + 500;
	while (alloc_reserve(e->alloc, &req, &run) == 0) {
		assert_int_not_equal(
				geo_grp_of_block(&e->geo, run.pblk), not_in);
		n += run.len;
	}
	return n;
}

static void a_bad_bitmap_puts_its_group_out_of_use(void **state)
{
	/* csum: the checksum; plain: the count, and the metadata shown free. */
	static const struct env_profile *const kinds[] = { &csum, &csum_noflex,
		&plain, &plain };
	static const int errs[] = { -EBADMSG, -EBADMSG, -EUCLEAN, -EUCLEAN };
	/* With checksums all others are BLOCK_UNINIT: nobody reads theirs. */
	static const grp_t bad[] = { 0, 0, 1, 1 };

	(void)state;
	for (int k = 0; k < 4; k++) {
		struct alloc_stat st;
		struct dgroup d;
		struct handle *h;
		struct env e;

		env_make(&e, kinds[k]);
		desc_get(&e, bad[k], &d);
		alloc_stat(e.alloc, &st);
		env_close(&e);
		/* Bits 0-7: metadata; 4096-4103: free blocks, half of them
		 * used now. */
		spoil_bitmap(&e, d.block_bitmap, k == 3 ? 0 : 512,
				k == 3 ? 0 : 0x0f);
		env_open(&e);
		assert_int_equal(e.load, 0);
		assert_int_equal(take_all(&e, bad[k]),
				st.free_blocks - d.free_clusters);
		env_start(&e, ALLOC_CREDITS_RUN, &h);
		assert_int_equal(
				alloc_free(h, e.alloc,
						(struct alloc_run){
								geo_grp_first_block(
										&e.geo,
										bad[k]) +
										4096,
								1 },
						0),
				errs[k]);
		env_stop(h);
		assert_non_null(strstr(e.said, bad[k] ? "group 1" : "group 0"));
		env_close(&e);
		env_drop(&e);
	}
}

static void a_bad_inode_bitmap_too(void **state)
{
	static const struct env_profile *const kinds[] = { &csum, &plain };
	static const int errs[] = { -EBADMSG, -EUCLEAN };

	(void)state;
	for (int k = 0; k < 2; k++) {
		struct alloc_inode_req req = { .parent = 2 };
		struct dgroup d;
		struct handle *h;
		inum_t inum;
		struct env e;

		env_make(&e, kinds[k]);
		desc_get(&e, 0, &d);
		env_close(&e);
		spoil_bitmap(&e, d.inode_bitmap, 5, 0x40);
		env_open(&e);
		assert_int_equal(e.load, 0);
		env_start(&e, 2 * ALLOC_CREDITS_INODE, &h);
		assert_int_equal(ialloc_new(h, e.alloc, &req, &inum), 0);
		assert_int_equal(geo_grp_of_inode(&e.geo, inum), 1);
		assert_int_equal(ialloc_is_used(e.alloc, 12), errs[k]);
		assert_int_equal(ialloc_free(h, e.alloc, 12, false), errs[k]);
		env_stop(h);
		env_close(&e);
		env_drop(&e);
	}
}

/* ---- groups never written ---- */

static void the_first_block_writes_the_bitmap(void **state)
{
	struct alloc_req req = { .len = 1 };
	struct alloc_run run;
	struct handle *h;
	struct dgroup d;
	struct env e;
	grp_t no;

	(void)state;
	env_make(&e, &csum);
	for (no = e.geo.groups - 2; no > 0; no--) {
		desc_get(&e, no, &d);
		if (d.flags & DGROUP_BLOCK_UNINIT)
			break;
	}
	assert_true(d.flags & DGROUP_BLOCK_UNINIT);

	/* A reservation leaves the disk alone. */
	req.goal = geo_grp_first_block(&e.geo, no) + 700;
	assert_int_equal(alloc_reserve(e.alloc, &req, &run), 0);
	assert_int_equal(run.pblk, req.goal);
	env_sync(&e);
	desc_get(&e, no, &d);
	assert_true(d.flags & DGROUP_BLOCK_UNINIT);

	env_start(&e, ALLOC_CREDITS_RUN, &h);
	assert_int_equal(alloc_rsv_commit(h, e.alloc, run), 0);
	env_stop(h);
	env_sync(&e);
	desc_get(&e, no, &d);
	assert_false(d.flags & DGROUP_BLOCK_UNINIT);
	env_start(&e, ALLOC_CREDITS_RUN, &h);
	assert_int_equal(alloc_free(h, e.alloc, run, 0), 0);
	env_stop(h);
	env_fsck(&e);
	env_drop(&e);
}

/* Nothing can have been allocated in a group that was never written. */
static void nothing_is_freed_in_a_group_never_written(void **state)
{
	struct handle *h;
	struct dgroup d;
	struct env e;
	grp_t no = 0;

	(void)state;
	env_make(&e, &csum);
	do {
		desc_get(&e, ++no, &d);
	} while (!(d.flags & DGROUP_BLOCK_UNINIT));
	env_start(&e, ALLOC_CREDITS_RUN, &h);
	assert_int_equal(alloc_free(h, e.alloc,
					 (struct alloc_run){
							 geo_grp_first_block(
									 &e.geo,
									 no) +
									 4000,
							 1 },
					 0),
			-EUCLEAN);
	env_stop(h);
	env_fsck(&e);
	env_drop(&e);
}

/* ---- the map of system blocks ---- */

static void metadata_is_system_and_nothing_else(void **state)
{
	(void)state;
	for (size_t i = 0; i < env_nprofiles; i++) {
		struct env e;
		uint8_t *sys;
		grp_t no;

		env_make(&e, &env_profiles[i]);
		sys = calloc(1, e.geo.blocks);
		for (no = 0; no < e.geo.groups; no++) {
			struct dgroup d;

			desc_get(&e, no, &d);
			memset(sys + geo_grp_first_block(&e.geo, no), 1,
					geo_grp_base_meta(&e.geo, no));
			sys[d.block_bitmap] = 1;
			sys[d.inode_bitmap] = 1;
			memset(sys + d.inode_table, 1, e.geo.itb_per_group);
		}
		for (pblk_t b = e.geo.first_data_block; b < e.geo.blocks; b++)
			assert_int_equal(
					alloc_is_system(e.alloc, b, 1), sys[b]);
		assert_true(alloc_is_system(e.alloc, e.geo.blocks - 1, 2));
		assert_true(alloc_is_system(e.alloc, 5, UINT64_MAX));
		env_close(&e);
		env_drop(&e);
		free(sys);
	}
}

static void what_is_added_is_system_once(void **state)
{
	struct alloc_req req = { .len = 1, .flags = ALLOC_F_EXACT };
	struct alloc_run run;
	struct env e;

	(void)state;
	env_make(&e, &csum);
	assert_int_equal(alloc_reserve(e.alloc, &req, &run), 0);
	assert_false(alloc_is_system(e.alloc, run.pblk, 1));
	assert_int_equal(alloc_add_system(e.alloc, run.pblk, 10), 0);
	assert_true(alloc_is_system(e.alloc, run.pblk + 9, 1));
	assert_int_equal(alloc_add_system(e.alloc, run.pblk + 5, 10), -EUCLEAN);
	assert_int_equal(alloc_add_system(e.alloc, e.geo.blocks, 1), -EUCLEAN);
	alloc_rsv_release(e.alloc, run);
	env_close(&e);
	env_drop(&e);
}

/* ---- memory ---- */

static void groups_not_used_are_put_out(void **state)
{
	struct alloc_run kept, run;
	struct alloc_req req = { .len = 1, .flags = ALLOC_F_EXACT };
	uint32_t most = 0;
	struct handle *h;
	struct grp *grp;
	struct env e;

	(void)state;
	env_make(&e, &env_profiles[11]); /* small groups */
	assert_true(e.geo.groups > 20);
	e.alloc->max_loaded = 8;
	assert_int_equal(alloc_reserve(e.alloc, &req, &kept), 0);
	for (int i = 0; i < 300; i++) {
		req.goal = geo_grp_first_block(
				&e.geo, (grp_t)(random() % e.geo.groups));
		env_start(&e, 2 * ALLOC_CREDITS_RUN, &h);
		assert_int_equal(alloc_blocks(h, e.alloc, &req, &run), 0);
		assert_int_equal(alloc_free(h, e.alloc, run, 0), 0);
		env_stop(h);
		if (atomic_load(&e.alloc->nloaded) > most)
			most = atomic_load(&e.alloc->nloaded);
	}
	assert_in_range(most, 5, 9);
	/* G1 */
	grp = grp_peek(e.alloc, geo_grp_of_block(&e.geo, kept.pblk));
	assert_non_null(grp->buddy);
	alloc_rsv_release(e.alloc, kept);
	env_fsck(&e);
	env_drop(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_descriptors_refuse_the_mount),
		cmocka_unit_test(a_reader_does_without_bad_descriptors),
		cmocka_unit_test(a_bad_bitmap_puts_its_group_out_of_use),
		cmocka_unit_test(a_bad_inode_bitmap_too),
		cmocka_unit_test(the_first_block_writes_the_bitmap),
		cmocka_unit_test(nothing_is_freed_in_a_group_never_written),
		cmocka_unit_test(metadata_is_system_and_nothing_else),
		cmocka_unit_test(what_is_added_is_system_once),
		cmocka_unit_test(groups_not_used_are_put_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
