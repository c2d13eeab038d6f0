/* SPDX-License-Identifier: MIT */
/*
 * Images for the checker's own tests: made by mke2fs, judged by e2fsck.
 *
 * An image lives in a file and, byte for byte, in memory. chk_poke() changes
 * both; chk_restore() brings both back.
 */
#ifndef UEXT4_TESTS_CHK_IMAGE_H
#define UEXT4_TESTS_CHK_IMAGE_H

#include "check/check.h"

#define CHK_MAX_POKES 64

struct chk_image {
	char dir[64];  /* a temporary directory of its own */
	char path[96]; /* of the image */
	char out[96];  /* e2fsck's output goes here */
	int fd;
	uint8_t *mem;
	uint64_t size;
	struct check_dev dev;
	unsigned int npokes;
	struct {
		uint64_t pos;
		uint8_t old;
	} poke[CHK_MAX_POKES];
};

/* True if the programs the tests stand on are installed. */
bool chk_have_e2fsprogs(void);

/*
 * Make an image of @size bytes with mke2fs @args, holding the test tree (long,
 * fragmented and sparse files, links of both kinds, devices, a directory large
 * enough for an index, attributes). 0 or a negative errno.
 */
int chk_image_make(struct chk_image *im, const char *args, uint64_t size);
/* Take the bytes of an existing file (gzip or plain). */
int chk_image_take(struct chk_image *im, const char *path);
/* Read the file again, after somebody else changed it. */
int chk_image_reload(struct chk_image *im);
void chk_image_free(struct chk_image *im);

/* Run a shell command line; returns its exit status, or a negative errno. */
int chk_run(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Change one byte, here and in the file. */
void chk_poke(struct chk_image *im, uint64_t pos, uint8_t value);
void chk_restore(struct chk_image *im);

/*
 * What e2fsck -fn says: 0 nothing to complain about, 1 problems (by exit
 * status, or it asked to mend something), negative: it could not be run.
 */
int chk_e2fsck(const struct chk_image *im);

/* Where things are, as the tests need it to aim. */
uint32_t chk_block_size(const struct chk_image *im);
uint32_t chk_inode_size(const struct chk_image *im);
uint64_t chk_inode_pos(const struct chk_image *im, uint32_t ino);
uint64_t chk_gd_pos(const struct chk_image *im, uint32_t grp);

#endif
