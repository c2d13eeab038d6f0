/* SPDX-License-Identifier: MIT */
/*
 * The differences from the kernel's ext4 that are allowed: the one list of
 * them, from which docs/mount-differences.md is made.
 */
#ifndef MOUNT_DIFF_DIFFERENCES_H
#define MOUNT_DIFF_DIFFERENCES_H

#include "dop.h"
#include "outcome.h"

/* What is done about it. */
enum difference_how {
	/* This field may differ, and what follows is the same nevertheless. */
	DIFF_FIELD,
	/* We refuse, with an errno of ours: the kernel is not asked then. */
	DIFF_WE_REFUSE,
	/* The kernel refuses what we would do: we are not asked then. */
	DIFF_KERNEL_REFUSES,
	/* What follows would not be the same: nobody is asked. */
	DIFF_LEFT_OUT,
	/* The kernel's mount has an option that makes it do as we do, or the call
	 * comes with another that makes ours do as the kernel does. */
	DIFF_AVOIDED,
};

enum difference_whose {
	DIFF_OF_FUSE,    /* no FUSE server can do otherwise */
	DIFF_DELIBERATE, /* we mean it */
	DIFF_OF_TESTER,  /* not promised by anybody, or not to be compared */
};

/* A field that is not equal; op is NULL at the end, when trees are compared,
 * and of a call the field "errno" is told first. */
struct difference_case {
	const struct dop *op;
	const char *field;
	uint64_t a, b;  /* kernel's, ours */
	int err;        /* of the call, the kernel's */
	uint64_t b_ret; /* of the call, ours, where it gives a number */
	mode_t mode;    /* of the object that the field is about, 0: unknown */
	const char *path;
	bool closer;      /* sparse.h */
	bool writeback;   /* our map is that of the kernel in front: all data */
	bool whole_pages; /* blocks are smaller than what that writes back */
	bool linear;      /* directories have no index */
	unsigned flags;   /* of the inode at the end, 0: unknown */
};

struct difference {
	enum difference_how how;
	enum difference_whose whose;
	const char *what, *why;
	/* DIFF_FIELD */
	bool (*field)(const struct difference_case *c);
	/* the others: calls that are refused, and with what */
	bool (*call)(const struct dop *op);
	int err;
	/* Met by chance alone, so not in every run. */
	bool by_chance;
};

extern const struct difference differences[];
extern const unsigned ndifferences;

/* The place in the list of what allows it; -1: it is not allowed. */
int differences_field(const struct difference_case *c);
/* Of a call that one side refuses with @err: -1 if none says so. */
int differences_refusal(enum difference_how how, const struct dop *op, int err);
/* The entry that leaves this call out; -1: none does. */
int differences_left_out(const struct dop *op);
/* May we refuse this call? Then we are asked first. */
bool differences_ask_us_first(const struct dop *op);
/* The page docs/mount-differences.md. */
void differences_print(FILE *to);

#endif /* MOUNT_DIFF_DIFFERENCES_H */
