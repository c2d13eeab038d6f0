/* SPDX-License-Identifier: MIT */
/*
 * The explorer's model of a device with a volatile cache.
 *
 * It walks a log tick by tick and keeps D, the image of what is durable, and
 * V, the writes that a cut may keep or lose. A choice over V is a state: its
 * key is found without building it, its image is a fork of D.
 *
 *	while ((ret = xm_next_cut(m)) > 0) {
 *		... fill in choices over m->v[0 .. m->nv) ...
 *		key = xm_key(m, &choice);
 *		ret = xm_build(m, &choice, &img);
 *	}
 *
 * Every sector that the log ever writes has a slot; slots make keys and
 * overlaps array look-ups.
 */
#ifndef UEXT4_TESTS_POWER_EXPLORE_MODEL_H
#define UEXT4_TESTS_POWER_EXPLORE_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/hmap.h"
#include "bdev/bdev_emu.h"

struct xslot {
	struct hmap_node node; /* by sector number */
	uint64_t base_hash;    /* all hashes are of (sector number, bytes) */
	uint64_t hash;         /* of the durable version */
	uint64_t t_submit;     /* of the durable version's write; 0: base */
	uint64_t t_done;
	uint64_t stamp; /* cur is of the state with this number */
	uint64_t cur;
	uint64_t over_stamp; /* the same for over */
	const struct xwrite *over;
};

/* A write, zero or discard that changed the disk or was in flight. */
struct xwrite {
	const struct emu_ent *ent;
	uint32_t nsect;
	struct xslot **slot; /* by sector */
	uint64_t *hash;
	uint64_t *garbage; /* DISCARD: hashes of what it may leave as well */
};

enum xpick {
	XPICK_NONE,
	XPICK_WHOLE,
	XPICK_TORN, /* the sectors set in bits */
};

struct xchoice {
	const uint8_t *pick;  /* enum xpick for each of V */
	const uint64_t *bits; /* of the one torn write */
	bool is_garbage;      /* discards leave garbage */
	uint64_t over_stamp;  /* not 0: slots with it take only slot->over */
};

enum xevent_kind {
	XEVENT_SUBMIT,
	XEVENT_DONE,
	XEVENT_MARK,
};

struct xevent {
	uint64_t t;
	enum xevent_kind kind;
	const struct emu_ent *ent;
	struct xwrite *w; /* NULL: flush or mark */
};

struct xmodel {
	const struct emu_img *base;
	const struct emu_log *log;
	uint32_t sector;
	bool is_nobarrier;
	struct xwrite *writes;
	uint64_t nwrites;
	struct xslot *slots;
	uint64_t nslots;
	struct hmap by_sector;
	struct xevent *events;
	uint64_t nevents;
	uint64_t serial; /* numbers states, for the stamps */
	/* Where the walk stands. */
	uint64_t next; /* event */
	struct emu_img *d;
	uint64_t dkey; /* key of d */
	struct xwrite **v;
	uint64_t nv;
	uint64_t acks;         /* acknowledgements so far */
	uint64_t t;            /* the cut */
	uint64_t t_begun;      /* submission of the last write so far */
	struct xwrite *newest; /* the write this cut follows; NULL: none */
	bool is_fresh;         /* obligations or D changed since the last cut */
	bool is_boundary; /* V is as large as it gets, or must be seen again */
	bool has_boundary_due;
	bool has_started;
	bool has_ended;
};

UEXT4_MUST_CHECK int xm_new(const struct emu_img *base,
		const struct emu_log *log, bool is_nobarrier,
		struct xmodel **ret_model);
void xm_free(struct xmodel *m);

/* To the log's beginning. */
UEXT4_MUST_CHECK int xm_rewind(struct xmodel *m);
/* To the next point where power may go: 1, 0 at the end, or -errno. */
UEXT4_MUST_CHECK int xm_next_cut(struct xmodel *m);

/* XOR over the sectors that differ from base; the same for equal images. */
uint64_t xm_key(struct xmodel *m, const struct xchoice *choice);
UEXT4_MUST_CHECK int xm_build(const struct xmodel *m,
		const struct xchoice *choice, struct emu_img **ret_img);

/* Can sector @i of @w still come to be there, after what is durable? */
bool xm_is_live(const struct xwrite *w, uint32_t i);

#endif /* UEXT4_TESTS_POWER_EXPLORE_MODEL_H */
