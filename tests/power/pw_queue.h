/* SPDX-License-Identifier: MIT */
/*
 * Asynchronous requests in a workload of pw.h, and what a cut may leave of them.
 *
 *	setup.async: a device that completes in random order; pw_restart(pw);
 *	f = pwq_file(pw, "/f");		its bytes are modelled from here on
 *	pwq_write(f, pos, len, 0);	any number; they begin with pwq_go()
 *	pwq_go(pw); pwq_wait(pw, 1); ... pwq_settle(pw);
 *
 * Of such a file the model is not what the engine showed, for that is never the
 * same twice while requests are in flight: it is what was asked for. A request
 * begins when it is submitted and has ended when its event was taken. Truncate,
 * punch and the like are requests that begin and end in one call; they come after
 * all that is in flight on the file, for they wait for it.
 *
 * Of each request every 512 bytes are its own, so a sector tells who wrote it:
 *
 * (Q1) A sector is of a request that had begun, and nobody who is durable came
 *	after that one had ended. What nobody durable has written may be zero.
 * (Q2) Durable is: DSYNC whose event was taken; all whose events were taken
 *	before an fsync began that has been answered.
 * (Q3) The size is one that a request asked for, not below what is durable.
 * (Q4) What failed and lay beyond the end shows no byte and no size, unless it
 *	went through the cache.
 * (Q5) dio_size=prefix: between the records inside the size nothing is zero.
 */
#ifndef UEXT4_TESTS_POWER_PW_QUEUE_H
#define UEXT4_TESTS_POWER_PW_QUEUE_H

#include "power/pw.h"

#define PWQ_SECTOR 512u
#define PWQ_DEPTH  32u
#define PWQ_NEVER  UINT32_MAX
#define PWQ_NONE   UINT64_MAX
/* emu_ent.mark_val of the marks of a request. */
#define PWQ_MARK   1

/* What was asked of a file. */
struct pwq_rec {
	struct pwq_rec *older;
	struct pwq_file *file;
	uint32_t id;      /* among all files */
	uint32_t begin;   /* operation */
	uint32_t end;     /* the one that took its event, or PWQ_NEVER */
	uint32_t drained; /* the one before which somebody has waited for it */
	uint32_t durable; /* the one that promised it, or PWQ_NEVER */
	uint64_t pos, len;
	uint8_t *data; /* NULL: it makes zeroes */
	uint64_t size; /* that the file gets by it, or PWQ_NONE */
	bool sets;     /* size also downwards */
	bool fresh;    /* it began beyond all that had begun */
	bool dsync;
	bool is_sync; /* an fsync: it has no bytes */
	bool may_fail;
	bool failed;
	bool may_show; /* failed on its way through the cache */
};

struct pwq_file {
	struct pwq_file *next;
	struct pw *pw;
	uint32_t ino, gen;
	struct uext4_file *file; /* NULL: closed */
	struct pwq_rec *recs;    /* newest first */
	uint64_t end;            /* of all that has begun */
};

/* Model the bytes of @path, which are durable now, and open it for requests;
 * the first file opens the queue. */
struct pwq_file *pwq_file(struct pw *pw, const char *path);
/* Whole sectors. @rwf: UEXT4_RW_DSYNC. */
void pwq_write(struct pwq_file *f, uint64_t pos, uint64_t len, unsigned rwf);
void pwq_append(struct pwq_file *f, uint64_t len, unsigned rwf);
/* One that may end with -EIO. */
void pwq_try(struct pwq_file *f, uint64_t pos, uint64_t len, unsigned rwf);
void pwq_fsync(struct pwq_file *f);
/* Submit. */
void pwq_go(struct pw *pw);
/* Take events: at least @min of them; what happens to be there. */
void pwq_wait(struct pw *pw, unsigned min);
/* All, and see that the file is what it must be. */
void pwq_settle(struct pw *pw);
/* Commit what there is to commit. */
void pwq_commit(struct pw *pw);
/* At once, with the others still in flight. Multiples of a sector. */
void pwq_truncate(struct pwq_file *f, uint64_t size);
void pwq_punch(struct pwq_file *f, uint64_t pos, uint64_t len);
void pwq_falloc(struct pwq_file *f, unsigned mode, uint64_t pos, uint64_t len);
void pwq_pwrite(struct pwq_file *f, uint64_t pos, uint64_t len, bool direct,
		unsigned rwf);
void pwq_sync_file(struct pwq_file *f);
void pwq_sync_all(struct pw *pw);
uint32_t pwq_random(struct pw *pw, uint32_t n);

/* ---- for pw.c and pw_judge.c ---- */

/* What is in flight comes to its end, well or not; all is closed. */
void pwq_close(struct pw *pw);
void pwq_forget(struct pw *pw);
struct pwq_file *pwq_find(struct pw *pw, uint32_t ino, uint32_t gen);
/* All of @f that had ended is durable by operation @op. */
void pwq_promise(struct pwq_file *f, uint32_t before, uint32_t op);

/* ---- pw_bytes.c ---- */

/* A moment: what had begun, what had been promised. */
struct pwq_moment {
	uint32_t begun, acked;
	bool by_prefix; /* Q5 */
	uint32_t step;  /* not 0: sizes at multiples of it inside a request */
	bool is_live;   /* nothing was cut: what had ended is there */
};

/* Are these bytes legal? False: *ret_why says why not. */
bool pwq_is_legal(const struct pwq_file *f, const struct pwq_moment *m,
		const uint8_t *data, uint64_t size, char *why, size_t len);
/* Has anything begun that is not promised? */
bool pwq_is_touched(const struct pwq_file *f, const struct pwq_moment *m);

#endif /* UEXT4_TESTS_POWER_PW_QUEUE_H */
