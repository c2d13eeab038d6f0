/* SPDX-License-Identifier: MIT */
/*
 * Power cuts under the whole engine: a workload is run on the recording device
 * and every image that a cut could have left is recovered and judged.
 *
 *	pw_open(&pw, "name", profile);
 *	pw_op(&pw); ... calls through uext4.h ...; pw_end(&pw);
 *	pw_ack(&pw, ino);	the calls just made include a sync: ino 0: of
 *				everything, else of that inode's bytes
 *	pw_judge(&pw, budget)	explores; asserts 0 violations
 *
 * The model is what the engine itself showed after each operation (other tests
 * judge whether that was right): the tree as text without file sizes, and the
 * bytes of every file.
 *
 * Judged for each state, after our recovery:
 *   J1 the recovery mount and a clean unmount succeed
 *   J2 the checker finds nothing, no stale canary can be reached
 *   J3 the tree equals the tree after operation c, for one c with
 *	last acked <= c <= last begun
 *   J4 each byte of each file is one that it had between the last sync of the
 *	file and the last begun operation (zero where the file was shorter), its
 *	size lies between the sizes it had
 *   J5 a second mount finds nothing to replay
 *   J6 e2fsck, which replays the same raw image by itself, agrees: for states
 *	with new metadata within a time budget, and for 1 in 16 of the rest
 */
#ifndef UEXT4_TESTS_POWER_PW_H
#define UEXT4_TESTS_POWER_PW_H

#include <stdbool.h>
#include <stdint.h>

#include "power/explore.h"
#include "uext4/uext4.h"

struct bdev;

#define PW_OPS_MAX 4096

/* A kind of image: options of mke2fs and the size. */
struct pw_profile {
	const char *name;
	const char *mke2fs; /* options */
	uint32_t mb;
};

extern const struct pw_profile pw_profiles[];
extern const unsigned pw_nprofiles;

struct pw_version {              /* bytes of a file after an operation */
	struct pw_version *next; /* older */
	uint32_t op;
	uint64_t size;
	uint8_t *data;
};

struct pw_file {
	struct pw_file *next;
	uint32_t ino, gen;
	struct pw_version *versions; /* newest first */
};

struct pw {
	char name[96];
	const struct pw_profile *profile;
	struct emu_img *start;
	struct bdev *dev;
	struct uext4_fs *fs;
	uint32_t nops; /* operations done; the one in progress has this number */
	char *trees[PW_OPS_MAX];   /* [i] after operation i; [0] at the start */
	uint32_t acks[PW_OPS_MAX]; /* ino + 1 if operation i acked, else 0 */
	struct pw_file *files;
	struct timespec now;
	/* judging */
	struct explore_report report;
	uint64_t e2fsck_runs, e2fsck_seconds_ms;
	double e2fsck_budget;
};

/* An image of the profile with canaries in its free blocks, mounted and
 * recording. Returns false (and says so) if mke2fs is missing. */
bool pw_open(struct pw *pw, const char *name, const struct pw_profile *p);
void pw_op(struct pw *pw);
void pw_end(struct pw *pw);
void pw_ack(struct pw *pw, uint32_t ino);
/* Everything so far is the starting state: a clean base, a new log. */
void pw_restart(struct pw *pw);
/* Unmount (recorded as well if @unmount), explore, judge, free. Returns the
 * number of distinct states; asserts that none fails. */
uint64_t pw_judge(struct pw *pw, bool unmount, uint64_t max_states);

/* Through the public header, asserting success. */
uint32_t pw_create(struct pw *pw, const char *path);
void pw_write(struct pw *pw, const char *path, unsigned flags, uint64_t pos,
		size_t len, int byte);
void pw_fsync(struct pw *pw, const char *path);
void pw_mkdir(struct pw *pw, const char *path);
void pw_unlink(struct pw *pw, const char *path);
void pw_sync(struct pw *pw);
uint32_t pw_ino(struct pw *pw, const char *path);
struct uext4_node *pw_node(struct pw *pw, const char *path);

#endif /* UEXT4_TESTS_POWER_PW_H */
