/* SPDX-License-Identifier: MIT */
/*
 * What does the work: the raw file, the engine, the mounts. The driver (drive.h)
 * is the same for all and knows only these calls, so that what it costs is in
 * every figure alike.
 *
 *	t->ops->file_open(t, "file");
 *	t->ops->prep(t, &req);			any number, up to the depth
 *	t->ops->submit(t, 1);			start them, wait for one
 *	n = t->ops->reap(t, done, max);
 *	t->ops->file_close(t);
 *
 * A target has one directory with one file open, which the queue works on. All
 * calls come from one thread. Results are 0, a count or a negative errno; calls
 * that set a target up say the reason in setup->fault.
 */
#ifndef UEXT4_BENCH_TARGET_H
#define UEXT4_BENCH_TARGET_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/bench.h"
#include "bench/content.h"
#include "bench/fault.h"

#define TARGET_SKIP 1 /* an opener: not here; why is in setup->fault */

/* The files that are opened: one stays from job to job, one is made anew. */
#define TARGET_KEPT  "kept"
#define TARGET_FRESH "fresh"

struct target;

struct target_req {
	bool write;
	uint32_t slot;
	uint32_t len;
	void *buf;
	uint64_t pos;
};

struct target_done {
	uint64_t slot;
	int64_t result; /* bytes, or a negative errno */
};

struct target_ops {
	/* @name in the target's directory, created if it is not there. */
	int (*file_open)(struct target *t, const char *name);
	int (*file_resize)(struct target *t, uint64_t size);
	int (*file_allocate)(struct target *t, uint64_t size);
	int (*file_close)(struct target *t);
	int (*file_remove)(struct target *t, const char *name);
	/* Write and make durable, before it returns. */
	int (*write_sync)(struct target *t, void *buf, uint32_t len,
			uint64_t pos);

	int (*prep)(struct target *t, const struct target_req *req);
	int (*submit)(struct target *t, unsigned wait_for);
	int (*reap)(struct target *t, struct target_done *done, unsigned max);

	/* A directory for names, and regular files without contents in it. */
	int (*dir_make)(struct target *t);
	int (*dir_remove)(struct target *t);
	int (*name_create)(struct target *t, const char *name);
	int (*name_stat)(struct target *t, const char *name);
	int (*name_unlink)(struct target *t, const char *name);

	/* Everything is durable, nothing is left to do in the background. */
	int (*sync)(struct target *t);
	/* ns of CPU time used by other processes for it, or NULL: none. */
	uint64_t (*cpu)(struct target *t);
	/* Undo the opener and free @t, also after errors. An image is checked
	 * first: *ret_fsck is the status of e2fsck, or stays. */
	int (*close)(struct target *t, struct fault *fault, int *ret_fsck);
};

struct target {
	const struct target_ops *ops;
	struct content full;  /* of the file that is kept */
	uint32_t generation;  /* of its last write */
	bool full_is_written; /* and holds what @full says */
};

/* What an opener is told. */
struct target_setup {
	const char *dir;  /* of the run; what is made in it begins with @name */
	const char *name; /* of the target */
	const char *image; /* laid out, full of zeroes; is removed by others */
	unsigned depth;
	bool direct; /* the directory allows O_DIRECT */
	enum bench_dir_io dir_io;
	enum uext4_dio_alloc dio_alloc;
	enum uext4_dio_extend dio_extend;
	enum uext4_dio_size dio_size;
	enum uext4_queue_backend backend;
	const volatile sig_atomic_t *stop; /* set by a signal */
	struct fault *fault;
	char *how; /* what it uses, for the report */
	size_t how_size;
};

struct target_kind {
	const char *name;
	bool is_fs;    /* has names, holes and sizes */
	bool is_ours;  /* the options of the engine mean something */
	bool is_mount; /* the files are below a mount of ours */
	bool needs_root;
	bool is_extra; /* only when it is asked for */
	/* Or NULL. TARGET_SKIP with the reason in @fault: what it takes is not
	 * here. Asked before anything is laid out. */
	int (*is_here)(struct fault *fault);
	int (*open)(const struct target_setup *s, struct target **ret_t);
};

/* Ends with NULL. */
extern const struct target_kind *const bench_kinds[];
extern const struct target_kind target_raw, target_raw_sync, target_engine,
		target_kernel, target_mount, target_fuse2fs;

#endif /* UEXT4_BENCH_TARGET_H */
