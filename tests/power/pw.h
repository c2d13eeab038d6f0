/* SPDX-License-Identifier: MIT */
/*
 * Power cuts under the whole engine: a workload is run on the recording device
 * and every image that a cut could have left is recovered and judged.
 *
 *	pw_open(&pw, "name", profile, NULL);
 *	pw_op(&pw); ... calls through uext4.h ...; pw_end(&pw);
 *	pw_ack(&pw, ino);	the calls just made include a sync: ino 0: of
 *				everything, else of that inode's bytes
 *	pw_judge(&pw, unmount, budget)	explores; asserts 0 violations
 *
 * The model is what the engine itself showed after each operation (other tests
 * judge whether that was right): the tree as text without file sizes, and the
 * bytes of every file.
 *
 * Judged for each state, after our recovery:
 *   J1 the recovery mount and a clean unmount succeed; the primary superblock
 *	was whole before the recovery
 *   J2 the checker finds nothing, no stale canary can be reached
 *   J3 the tree equals the tree after operation c, for one c with
 *	last acked <= c <= last begun
 *   J4 each byte of each file is one that it had between the last sync of the
 *	file and the last begun operation (zero where the file was shorter), its
 *	size lies between the sizes it had
 *   J5 a second mount finds nothing to replay
 *   J6 e2fsck, which replays the same raw image by itself, agrees: for states
 *	with new metadata within a time budget, and for 1 in 16 of the rest
 *   J7 life goes on (1 in 16): every file grows past its last block and shows
 *	zeroes there, the whole tree can be removed, the space used again
 * Mode R: for a sample the recovery itself is recorded, and each state that a
 * cut in the middle of it could have left must pass J1 to J5 as well.
 */
#ifndef UEXT4_TESTS_POWER_PW_H
#define UEXT4_TESTS_POWER_PW_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "power/explore.h"
#include "uext4/uext4.h"

struct bdev;
struct pwq_file;

#define PW_OPS_MAX  4096
#define PW_HELD_MAX 4

/* A kind of image: options of mke2fs and the size. */
struct pw_profile {
	const char *name;
	const char *mke2fs; /* options */
	uint32_t kb;
};

extern const struct pw_profile pw_profiles[];
extern const unsigned pw_nprofiles;

/* What a workload wants beyond the profile; NULL: nothing. */
struct pw_setup {
	uint32_t mnt_flags; /* UEXT4_MNT_* besides the usual ones; recovery is
			     * never a DAX mount: its device has no map */
	/* Commit the running transaction while each piece of file data is on
	 * its way: the worst moment that another thread could choose. */
	bool commit_at_data;
	/* Explore every recovery, and all of each (a small workload only). */
	bool all_recoveries;
	/* The device completes in random order, by seed; see pw_queue.h. */
	bool async;
	uint64_t seed;
	enum uext4_dio_alloc dio_alloc;
	enum uext4_dio_extend dio_extend;
	enum uext4_dio_size dio_size;
	/* Commit at one of so many steps of direct requests; 0: never. */
	unsigned commit_one_of;
	/* Called at the steps of direct requests (iomap_at()). */
	void (*at)(struct pwq_file *f, uint64_t pos, const char *at);
	/* One request may need several transactions: sizes in between. */
	bool has_steps;
	/* Requests may go through the cache: what failed may show. */
	bool is_cached;
	/* A budget is spread over all states instead of spent on the first. */
	bool spread;
	/* IOMAP_LACKS_* of the files of pw_queue.h. Failures are counted in
	 * pw.nfound, not asserted. */
	uint32_t lacks;
	/* Called with the fresh image as a file, before canaries are filled in;
	 * false: the tools for it are missing. */
	bool (*prepare)(const char *path);
};

struct pw_version {              /* bytes of a file after an operation */
	struct pw_version *next; /* older */
	uint32_t op;
	int64_t ctime;
	uint64_t size;
	uint8_t *data;
};

struct pw_file {
	struct pw_file *next;
	uint32_t ino, gen;
	struct pw_version *versions; /* newest first */
};

/* The queue of a workload and the files that it is at work on: pw_queue.h. */
struct pwq {
	struct uext4_queue *queue; /* NULL: closed */
	struct pwq_file *files;
	uint32_t nrecs;
	unsigned ninflight, nprepared;
	uint64_t rnd;
};

/* What was judged. */
struct pw_sum {
	uint64_t states;      /* distinct images of a cut */
	uint64_t async;       /* ... with requests submitted whose event had not
				 been taken */
	uint64_t nested;      /* images of a cut inside a recovery */
	uint64_t recoveries;  /* ... of so many recoveries */
	uint64_t metadata;    /* different metadata after recovery */
	uint64_t unconfirmed; /* ... of which e2fsck was not asked */
	uint64_t e2fsck;      /* runs */
	uint64_t lives;       /* J7 */
};

struct pw {
	char name[96];
	const struct pw_profile *profile;
	struct pw_setup setup;
	struct emu_img *start;
	struct bdev *dev;
	struct uext4_fs *fs;
	bool in_gate;
	void (*at_commit)(struct pw *pw); /* see pw_sync_while() */
	uint32_t nops; /* operations done; the one in progress has this number */
	char *trees[PW_OPS_MAX];   /* [i] after operation i; [0] at the start */
	uint32_t acks[PW_OPS_MAX]; /* ino + 1 if operation i acked, else 0 */
	struct pw_file *files;
	struct timespec now;
	struct uext4_file *held[PW_HELD_MAX];
	unsigned nheld;
	struct pwq q;
	unsigned nfound;      /* defects, with setup.lacks */
	double e2fsck_budget; /* seconds */
	uint64_t nested_max;  /* states inside recoveries */
	struct pw_sum sum;
};

/* An image of the profile with canaries in its free blocks, mounted and
 * recording. Returns false (and says so) if e2fsprogs is missing. */
bool pw_open(struct pw *pw, const char *name, const struct pw_profile *p,
		const struct pw_setup *setup);
void pw_op(struct pw *pw);
void pw_end(struct pw *pw);
void pw_ack(struct pw *pw, uint32_t ino);
/* Keep @file open until the power is cut; then, or if there are enough of them
 * already, it is closed. */
void pw_hold(struct pw *pw, struct uext4_file *file);
/* Sync everything, and while the commit writes its blocks let @fn change the
 * file system: an operation of its own, which is not promised by this sync. */
void pw_sync_while(struct pw *pw, void (*fn)(struct pw *pw));
/* Fill the running transaction until it has room for @room more blocks, with
 * blocks of the inode table that do not change. Not all of it may fit. */
void pw_crowd(struct pw *pw, uint32_t room);
/* Everything so far is the starting state: a clean base, a new log. */
void pw_restart(struct pw *pw);
/* Unmount and mount, both part of what is cut: an operation of its own. */
void pw_remount(struct pw *pw);
/* Cut the power at a moment, and lose writes, that @seed chooses; judge what
 * was recorded until now like pw_judge(), then recover (recorded) and go on
 * with what the cut has left. */
void pw_crash(struct pw *pw, uint64_t seed, uint64_t max_states);
/* Unmount (recorded as well if @unmount), explore, judge, free. Returns the
 * number of distinct states; asserts that none fails. */
uint64_t pw_judge(struct pw *pw, bool unmount, uint64_t max_states);
/*
 * For file systems without a journal, which a cut may leave unsound: of each
 * state demand that e2fsck -fy makes it sound, that what was acked and not
 * touched since, inode or bytes, is there afterwards, and that an image that calls itself clean
 * is sound before.
 */
uint64_t pw_judge_repaired(struct pw *pw, uint64_t max_states);

void pw_sum_add(struct pw_sum *sum, const struct pw_sum *one);
/* The line that ends a test program. */
void pw_sum_print(const struct pw_sum *sum);

/* Is this workload on this profile wanted (PW_PROFILE, PW_RUN)? */
bool pw_is_wanted(const char *name, const struct pw_profile *p);
/* PW_STATES, or @other. */
uint64_t pw_max_states(uint64_t other);

#endif /* UEXT4_TESTS_POWER_PW_H */
