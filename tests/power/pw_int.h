/* SPDX-License-Identifier: MIT */
/*
 * What the files behind pw.h share: reading a mounted tree (pw_snap.c), judging
 * (pw_judge.c), e2fsck as a witness (pw_fsck.c).
 */
#ifndef UEXT4_TESTS_POWER_PW_INT_H
#define UEXT4_TESTS_POWER_PW_INT_H

#include <stddef.h>

#include "check/check.h"
#include "power/pw.h"

struct emu_img;
struct emu_log;

/* ---- pw_judge.c ---- */

/* Judge every state of @log; see pw.h. Asserts that none fails; returns how
 * many there were. */
uint64_t pw_explore(struct pw *pw, const struct emu_img *base,
		const struct emu_log *log, uint64_t max_states, bool repair);

/* ---- pw.c ---- */

const char *pw_tmp_dir(void);
unsigned long pw_env(const char *name, unsigned long other);
struct uext4_mount_opts pw_opts(struct pw *pw);
/* The file with this number, alive or not, or NULL. */
struct pw_file *pw_find_file(struct pw *pw, uint32_t ino, uint32_t gen);
/* A fresh image, free space full of canaries. @prepare: pw_setup.prepare, or NULL.
 * NULL: the tools are missing. */
struct emu_img *pw_make_image(
		const struct pw_profile *p, bool (*prepare)(const char *path));
/* A check_dev over @img, which may be written through pw_img_write(). */
struct check_dev pw_img_check_dev(struct emu_img *img);
int pw_img_write(void *ctx, uint64_t pos, const void *buf, size_t len);

/* ---- pw_snap.c ---- */

/* What the engine shows: the tree as text, a line for each name, without the
 * sizes and bytes of files. */
struct pw_snap {
	struct uext4_fs *fs;
	char *text; /* the result; free() it */
	size_t len, cap;
	/* Called for each regular file; may be NULL. Not 0: stops. */
	int (*file)(void *ctx, struct uext4_node *node,
			const struct uext4_stat *st);
	void *ctx;
};

int pw_snap_tree(struct pw_snap *s);
/* The whole file; free() *ret_data. */
int pw_read_all(struct uext4_node *node, uint64_t size, uint8_t **ret_data);
/* Remove everything below the root but lost+found. */
int pw_remove_tree(struct uext4_fs *fs);

/* ---- pw_fsck.c ---- */

struct pw_fsck {
	char path[256];
	char log[272];
	int fd;
	struct emu_img *on_disk; /* what the file holds */
};

void pw_fsck_init(struct pw_fsck *f, const struct emu_img *base);
void pw_fsck_fini(struct pw_fsck *f);
/*
 * Let e2fsck replay and check a copy of @img; if it had to change more than the
 * journal, for orphans, let it also look at @after, the same image as we have
 * recovered it. @torn: we have seen a torn commit block. 0: it had nothing to say but that it replayed and finished
 * what orphans want. 1: it found something; told on stderr. -errno: it could
 * not run.
 */
int pw_fsck_confirm(struct pw_fsck *f, const struct emu_img *img,
		const struct emu_img *after, bool torn);
/*
 * Let e2fsck repair a copy of @img (-fy), then check it again. 0: it is sound
 * now, and *ret_img is it. 1: not even that.
 */
int pw_fsck_repair(struct pw_fsck *f, const struct emu_img *img,
		struct emu_img **ret_img);

#endif /* UEXT4_TESTS_POWER_PW_INT_H */
