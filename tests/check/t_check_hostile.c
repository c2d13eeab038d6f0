/* SPDX-License-Identifier: MIT */
/*
 * The checker on what nobody meant to be an image: it must answer, and touch
 * nothing outside. Run under ASan and UBSan this is where they bite.
 *
 * UEXT4_SHARED=dir: dir/images/e2fsprogs holds images broken on purpose and
 * labels.tsv. UEXT4_ROUNDS=n: how often each image is damaged at random.
 */
#include "check/chk_image.h"

#include "base/le.h"

#include <errno.h>
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static unsigned long env_number(const char *name, unsigned long otherwise)
{
	const char *s = getenv(name);

	return s ? strtoul(s, NULL, 0) : otherwise;
}

static uint64_t rnd(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dULL;
}

static int see_attr(void *ctx, const char *name, const void *value, size_t len)
{
	size_t *sum = ctx;

	*sum += strlen(name);
	for (size_t i = 0; i < len; i++)
		*sum += ((const uint8_t *)value)[i];
	return 0;
}

static int see_run(void *ctx, const struct check_run *run)
{
	size_t *sum = ctx;

	*sum += run->len;
	return 0;
}

struct see {
	const struct check_dev *dev;
	size_t sum;
	unsigned int left; /* entries still to be looked into */
};

static int see_entry(void *ctx, const struct check_entry *entry)
{
	struct see *s = ctx;
	char buf[3000];

	s->sum += strlen(entry->path);
	check_xattrs(s->dev, entry->st.ino, see_attr, &s->sum);
	check_runs(s->dev, entry->st.ino, see_run, &s->sum);
	check_read_ino(s->dev, entry->st.ino, entry->st.size / 2, buf,
			sizeof(buf));
	return s->left-- == 0;
}

/* Ask everything there is to ask, by memory and by reads. */
static int ask_all(struct chk_image *im)
{
	struct check_opts opts = { .flags = CHECK_F_CANARY | CHECK_F_ORPHANS |
				CHECK_F_RECOVERY };
	struct check_dev by_read = {
		.read = check_read_fd,
		.ctx = &im->fd,
		.size = im->size,
	};
	struct check_report rep, rep2;
	struct see s = { .dev = &im->dev, .left = 300 };
	int ret = check_fs(&im->dev, NULL, &rep);
	int ret2 = check_fs(&by_read, NULL, &rep2);

	assert_int_equal(ret, ret2);
	assert_int_equal(rep.count, rep2.count);
	check_fs(&im->dev, &opts, &rep);
	check_walk(&im->dev, see_entry, &s);
	return ret;
}

static uint64_t metadata_pos(const struct chk_image *im, uint64_t *seed)
{
	uint32_t bs = chk_block_size(im);
	uint64_t r = rnd(seed), gd = chk_gd_pos(im, 0), pos = 0, ino;

	switch (r % 8) {
	case 0:
		pos = 1024 + (r >> 8) % 1024;
		break;
	case 1:
		pos = gd + (r >> 8) % 256;
		break;
	case 2:
		pos = (uint64_t)get_le32(im->mem + gd + (r & 8 ? 4 : 0)) * bs +
				(r >> 8) % bs;
		break;
	case 3:
	case 4:
	case 5:
		ino = 1 + (r >> 8) % 200;
		pos = chk_inode_pos(im, (uint32_t)ino) +
				(r >> 32) % chk_inode_size(im);
		break;
	default:
		/* Low blocks hold directories and trees. */
		pos = (r >> 8) % (im->size / 4);
		break;
	}
	return pos < im->size ? pos : 1024;
}

static void random_damage_is_survived(void **state)
{
	static const char *const args[] = {
		"-t ext4 -b 1024 -O ^metadata_csum,^uninit_bg,orphan_file",
		"-t ext4 -b 4096 -O ^metadata_csum,^has_journal,^64bit",
		"-t ext3 -b 1024 -I 128",
		"-t ext4 -b 2048 -O metadata_csum,64bit",
		"-t ext2 -b 1024 -O ^resize_inode,meta_bg -g 1024",
	};
	uint64_t seed = env_number("UEXT4_SEED", 1) * 0x9e3779b97f4a7c15ULL;
	unsigned long rounds = env_number("UEXT4_ROUNDS", 150);
	unsigned int found = 0;

	for (size_t i = 0; i < sizeof(args) / sizeof(*args); i++) {
		struct chk_image im;

		assert_int_equal(chk_image_make(&im, args[i], 12u << 20), 0);
		for (unsigned long k = 0; k < rounds; k++) {
			unsigned int n = 1 + rnd(&seed) % 12;

			/* Aim all of them before the first one hits. */
			uint64_t pos[12];

			for (unsigned int j = 0; j < n; j++)
				pos[j] = metadata_pos(&im, &seed);
			for (unsigned int j = 0; j < n; j++)
				chk_poke(&im, pos[j],
						(uint8_t)(rnd(&seed) >> 24));
			found += ask_all(&im) != 0;
			chk_restore(&im);
		}
		assert_int_equal(check_fs(&im.dev, NULL,
						 &(struct check_report){ 0 }),
				0);
		chk_image_free(&im);
	}
	print_message("%u of %zu damaged images found\n", found,
			rounds * sizeof(args) / sizeof(*args));
	assert_true(found > 0);
}

static void short_files_are_refused(void **state)
{
	struct chk_image im;

	assert_int_equal(chk_image_make(&im, "-t ext4 -b 1024", 8u << 20), 0);
	for (uint64_t size = 0; size < im.size; size = size * 2 + 300) {
		struct check_dev dev = { .map = im.mem, .size = size };
		struct check_report rep;

		assert_int_equal(check_fs(&dev, NULL, &rep), 1);
		assert_true(rep.kept > 0);
	}
	chk_image_free(&im);
}

/*
 * Where e2fsck complains about an image of others, so must we. The reverse is
 * not asked: some wait for recovery, some are in use.
 */
static unsigned int judge_shared(const char *path)
{
	struct chk_image im;
	int ours, theirs;

	assert_int_equal(chk_image_take(&im, path), 0);
	ours = ask_all(&im);
	theirs = chk_e2fsck(&im);
	assert_true(theirs >= 0);
	if (theirs && ours == 0)
		print_message("%s: e2fsck complains, we are content\n", path);
	chk_image_free(&im);
	return theirs && ours == 0;
}

static void shared_images_are_judged_as_e2fsck_does(void **state)
{
	const char *shared = getenv("UEXT4_SHARED");
	unsigned int bad = 0;
	char pattern[512];
	glob_t g;

	if (!shared) {
		print_message("skipped: UEXT4_SHARED is not set\n");
		skip();
	}
	snprintf(pattern, sizeof(pattern), "%s/images/e2fsprogs/*.img.gz",
			shared);
	assert_int_equal(glob(pattern, 0, NULL, &g), 0);
	for (size_t i = 0; i < g.gl_pathc; i++)
		bad += judge_shared(g.gl_pathv[i]);
	print_message("%zu images, %u disagreements\n", g.gl_pathc, bad);
	globfree(&g);
	assert_int_equal(bad, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_damage_is_survived),
		cmocka_unit_test(short_files_are_refused),
		cmocka_unit_test(shared_images_are_judged_as_e2fsck_does),
	};

	if (!chk_have_e2fsprogs()) {
		printf("skipped: e2fsprogs is not installed\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
