/* SPDX-License-Identifier: MIT */
/*
 * See bug.h.
 */
#include "bug.h"

#include "bdev/bdev.h"
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
	memset(b, 0, sizeof(*b));
	env_image(&b->e, env_profile_find(profile), size);
	b->now.tv_sec = 1700000000;
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
	const struct bdev_emu_opts emu = { .flags = BDEV_EMU_F_MAP };
	struct emu_img *img;
	int ret;

	b->e.log[0] = '\0';
	if (!b->dev) {
		assert_int_equal(emu_img_load(b->e.img, &img), 0);
		assert_int_equal(bdev_emu_open(img, &emu, &b->dev), 0);
		emu_img_free(img);
	}
	ret = fs_mount(b->dev, false, &b->opts, &b->e.fs);
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
