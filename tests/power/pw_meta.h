/* SPDX-License-Identifier: MIT */
/*
 * Which recovered images have metadata that was not seen before.
 *
 * The kind of a block is learnt from the tags of the requests that wrote it:
 * journal, file data, metadata. The hash of an image covers the blocks that
 * differ from the base and may hold metadata: all but those of the journal and
 * those that have only ever been file data.
 */
#ifndef UEXT4_TESTS_POWER_PW_META_H
#define UEXT4_TESTS_POWER_PW_META_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct emu_img;
struct emu_log;

struct pw_meta {
	const struct emu_img *base;
	uint32_t bs; /* no larger than a page of an image */
	uint64_t nblocks;
	uint8_t *kind;  /* by block */
	uint64_t *seen; /* hashes, open addressing; 0: free */
	size_t cap, n;
};

/* @base outlives it. */
void pw_meta_init(struct pw_meta *m, const struct emu_img *base, uint32_t bs);
void pw_meta_fini(struct pw_meta *m);
/* Learn the kinds of the blocks that @log writes. */
void pw_meta_learn(struct pw_meta *m, const struct emu_log *log);
/* Is the metadata of @img new? */
bool pw_meta_is_new(struct pw_meta *m, const struct emu_img *img);

#endif /* UEXT4_TESTS_POWER_PW_META_H */
