/* SPDX-License-Identifier: MIT */
/*
 * See bug.h.
 */
#include "bug.h"

#include <stdlib.h>

#include "alloc/grp.h"
#include "base/bits.h"
#include "bdev/bdev.h"
#include "cache/buf.h"
#include "fs/fs.h"

static void bug_log(void *ctx, enum uext4_log_level level, const char *msg)
{
	struct bug *b = ctx;
	size_t at = strlen(b->e.log);

	if (at + strlen(msg) + 2 < sizeof(b->e.log)) {
		memcpy(b->e.log + at, msg, strlen(msg));
		memcpy(b->e.log + at + strlen(msg), "\n", 2);
	}
}

static struct timespec bug_now(void *ctx)
{
	return ((struct bug *)ctx)->now;
}

void bug_image(struct bug *b, const char *profile, const char *size)
{
	bug_image_of(b, env_profile_find(profile), size);
}

void bug_image_of(struct bug *b, const struct env_profile *profile,
		const char *size)
{
	memset(b, 0, sizeof(*b));
	env_image(&b->e, profile, size);
	b->now.tv_sec = 1700000000;
	b->emu.flags = BDEV_EMU_F_MAP;
	b->opts = (struct uext4_mount_opts){
		.size = sizeof(b->opts),
		.flags = UEXT4_MNT_NOTHREAD,
		.log = bug_log,
		.log_ctx = b,
		.now = bug_now,
		.now_ctx = b,
	};
}

int bug_try_mount(struct bug *b)
{
	struct emu_img *img;
	int ret;

	b->e.log[0] = '\0';
	if (!b->dev) {
		assert_int_equal(emu_img_load(b->e.img, &img), 0);
		assert_int_equal(bdev_emu_open(img, &b->emu, &b->dev), 0);
		emu_img_free(img);
	}
	ret = fs_mount_hooked(b->dev, false, &b->opts, b->hooks, &b->e.fs);
	if (ret < 0)
		b->e.fs = NULL;
	return ret;
}

void bug_mount(struct bug *b)
{
	int ret = bug_try_mount(b);

	if (ret < 0)
		fail_msg("mount: %s: %s", uext4_strerror(ret), b->e.log);
}

void bug_open(struct bug *b, const char *profile, const char *size)
{
	bug_image(b, profile, size);
	bug_mount(b);
}

void bug_open_dio(struct bug *b, const char *profile, const char *size,
		enum uext4_dio_alloc alloc, enum uext4_dio_extend extend,
		enum uext4_dio_size dio_size)
{
	bug_image(b, profile, size);
	b->opts.dio_alloc = alloc;
	b->opts.dio_extend = extend;
	b->opts.dio_size = dio_size;
	bug_mount(b);
}

/* ---- free blocks ---- */

void bug_poison(struct bug *b)
{
	struct alloc *a = b->e.fs->it.alloc;
	const struct geo *geo = b->e.fs->it.geo;
	uint8_t *junk = env_alloc(b->e.bs, BUG_POISON);

	for (grp_t no = 0; no < geo->groups; no++) {
		uint64_t first = geo_grp_first_block(geo, no);
		struct grp *grp;

		assert_int_equal(grp_get(a, no, &grp), 0);
		assert_int_equal(grp_lock_blocks(a, grp), 0);
		for (uint32_t bit = 0; bit < grp->nbits; bit++)
			if (!bits_test(grp->bbuf->data, bit))
				assert_int_equal(
						bdev_write(b->dev,
								(first + bit) * b->e.bs,
								junk, b->e.bs,
								0, 0),
						0);
		grp_unlock(grp);
	}
	free(junk);
}

bool bug_is_used(struct bug *b, uint64_t pblk)
{
	struct alloc *a = b->e.fs->it.alloc;
	const struct geo *geo = b->e.fs->it.geo;
	grp_t no = geo_grp_of_block(geo, pblk);
	struct grp *grp;
	bool used;

	assert_int_equal(grp_get(a, no, &grp), 0);
	assert_int_equal(grp_lock_blocks(a, grp), 0);
	used = bits_test(grp->bbuf->data, geo_index_of_block(geo, pblk));
	grp_unlock(grp);
	return used;
}

/* The device goes away; its contents, or the durable part, into the file. */
static void bug_save(struct bug *b, bool durable)
{
	struct emu_img *img;
	int ret;

	ret = durable ? bdev_emu_durable_image(b->dev, &img)
		      : bdev_emu_image(b->dev, &img);
	assert_int_equal(ret, 0);
	assert_int_equal(emu_img_save(img, b->e.img), 0);
	emu_img_free(img);
	err_ignore(bdev_close(b->dev));
	b->dev = NULL;
}

int bug_unmount(struct bug *b)
{
	int ret = uext4_unmount(b->e.fs);

	assert_int_not_equal(ret, -EBUSY);
	b->e.fs = NULL;
	bug_save(b, false);
	return ret;
}

void bug_cut(struct bug *b)
{
	fs_crash(b->e.fs);
	b->e.fs = NULL;
	bug_save(b, true);
}

void bug_remount(struct bug *b)
{
	assert_int_equal(bug_unmount(b), 0);
	bug_mount(b);
}

void bug_close(struct bug *b, bool judge)
{
	if (b->e.fs) {
		int ret = bug_unmount(b);

		if (judge && ret < 0)
			fail_msg("unmount: %s: %s", uext4_strerror(ret),
					b->e.log);
	}
	if (b->dev)
		bug_save(b, false);
	if (judge)
		env_judge(&b->e);
	env_free(&b->e);
}

uint64_t bug_count(struct bug *b, enum bdev_op op)
{
	struct bdev_emu_stats st;

	bdev_emu_stats(b->dev, &st);
	return st.ops[op];
}
