/* SPDX-License-Identifier: MIT */
/*
 * The bugs of docs/dio-bugs.md as scenes: each plays what once went wrong and
 * says whether it went wrong again. A scene is played twice: with all rules,
 * and with the rule that keeps the bug out switched off, where it must see the
 * damage.
 */
#ifndef UEXT4_TESTS_FS_DIO_BUGS_H
#define UEXT4_TESTS_FS_DIO_BUGS_H

#include "dio_env.h"

struct scene {
	struct bug b;
	uint32_t lacks;       /* IOMAP_LACKS_*; 0: nothing */
	struct uext4_file *f; /* "/f", direct, empty at first */
	/* What else happens, at a gate of f. */
	const char *at;
	void (*act)(struct scene *s);
	bool acted;
	uint8_t *buf; /* of the act, freed with the scene */
	ssize_t n;
};

struct bug_case {
	const char *name;
	uint32_t lacks; /* 0: there is no switch, or no rule to switch off */
	bool (*damaged)(struct scene *s);
	const char *profile; /* NULL: ext4-4k-full */
	enum uext4_dio_alloc alloc;
	uint32_t emu; /* BDEV_EMU_F_* */
};

extern const struct bug_case race_cases[];
extern const unsigned nrace_cases;
extern const struct bug_case data_cases[];
extern const unsigned ndata_cases;

#define UNWRITTEN UEXT4_DIO_ALLOC_UNWRITTEN
#define DATAFIRST UEXT4_DIO_ALLOC_DATAFIRST

/* How long to wait for what must not come, or has to. */
static inline int scene_ms(const struct scene *s)
{
	return s->lacks != 0 ? 10000 : 20;
}

/* The first time that a request on s->f comes by @at. */
void scene_at(struct scene *s, const char *at, void (*act)(struct scene *s));
/* Another look at the same file, through the cache. */
struct uext4_file *scene_cached(struct scene *s);
/* Are there other bytes than @byte? */
bool differs(struct uext4_file *f, uint64_t pos, size_t len, int byte);
/* A new file that takes every free block, but for a few that are kept for worse
 * times: it gets most of what a file of BIG bytes gives back. */
#define BIG ((size_t)8 << 20)
struct uext4_file *take_all(struct scene *s, const char *path);
struct map_run scene_run(struct scene *s, uint64_t pos);
/* Power fails now, with s->f closed; mounted again, s->f is open. */
void scene_cut(struct scene *s);

#endif
