/* SPDX-License-Identifier: MIT */
/*
 * The two sides: a mounted file system each, on which calls are carried out.
 *
 * A side's root directory becomes the root of the process while a call is
 * made, so that neither ".." nor an absolute symlink leads out of it. The
 * program lives in /t, the working directory. The calling thread becomes the
 * user of the call, with his groups and without capabilities, and is root
 * again after it.
 *
 * Both sides have the same slots of open files. What is known of a slot (how
 * and what it was opened) is kept once, for both.
 */
#ifndef MOUNT_DIFF_SIDE_H
#define MOUNT_DIFF_SIDE_H

#include <stdint.h>
#include <sys/types.h>

#include "dop.h"
#include "outcome.h"

#define SIDE_SLOTS 12
#define SIDE_BUF   (2u << 20) /* room for data, and for a misalignment */
#define SIDE_TOP   "t"        /* where the program lives */

struct side_user {
	uid_t uid;
	gid_t gid;
	unsigned ngroups;
	gid_t groups[4];
};

#define SIDE_USERS 3u
extern const struct side_user side_users[SIDE_USERS];

struct side {
	const char *name; /* for messages */
	int root, top;    /* descriptors */
	int fd[SIDE_SLOTS];
	uint8_t *buf;   /* SIDE_BUF, aligned to pages */
	uint64_t grain; /* of its times: 1 ns or 1 s */
};

/* What both sides have in a slot. */
struct side_slot {
	int flags;    /* of open */
	bool extents; /* no block map */
	mode_t type;  /* S_IFMT part; 0: closed */
};

extern struct side_slot side_slots[SIDE_SLOTS];
/* The largest that a file can be. */
extern uint64_t side_max_size;
/* Others are at work on the same file systems, below directories of their own:
 * what belongs to all of a file system is not looked at. */
extern bool side_shared;

/* Where the file in a slot ends, and where its position is; 0: unknown. */
int64_t side_slot_size(int slot);
int64_t side_slot_position(int slot);

/* Use the mounted file system at @dir. Exits with a message on failure. */
void side_open(struct side *s, const char *name, const char *dir);
void side_close_slots(struct side *s);
void side_close(struct side *s);

/* From here on paths are of this side; as root. */
void side_enter(const struct side *s);
/* Paths are the host's again. */
void side_leave(void);
/* Become that user of side_users[], until side_as_root(). */
void side_as(unsigned user);
void side_as_root(void);
/* /proc/self/fd, for paths below it. */
int side_proc(void);

/* -1 (EBADF) if the slot is empty or none. */
int side_fd(const struct side *s, int slot);
/* The same, where none means the working directory. */
int side_dir(const struct side *s, int slot);

/* Carry @op out as its user. */
void side_run(struct side *s, const struct dop *op, struct outcome *o);

/* The kinds of calls, in act_*.c: fill in @o. */
#define X(kind, parts)                                                         \
 void act_##kind(struct side *s, const struct dop *op, struct outcome *o);
DOP_KINDS(X)
#undef X

/* The bytes that @pattern stands for. */
void side_pattern(uint8_t *to, size_t len, uint64_t pattern);

#endif /* MOUNT_DIFF_SIDE_H */
