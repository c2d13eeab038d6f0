/* SPDX-License-Identifier: MIT */
/*
 * What the commands of the tool share: targets, errors, messages.
 *
 * A command is a function that gets its own arguments and answers an exit
 * status. An error is one line: what, where, why, what to do. What the engine
 * logged just before is the better "why" and is used instead of the bare
 * error.
 */
#ifndef UEXT4_CLI_CLI_H
#define UEXT4_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "uext4/uext4.h"

struct option;

#define CLI_OK      0
#define CLI_FAILED  1
#define CLI_USAGE   2
#define CLI_DAMAGED 3

/* IMAGE:/path, or a path of the host (image NULL). */
struct cli_target {
	char *image; /* owned */
	char *path;  /* owned */
};

/* One run of the tool. Lives in main(). */
struct cli {
	const char *cmd; /* for messages */
	bool json;
	bool quiet;
	bool cached; /* no direct I/O on files inside the image */
	bool stats;
	uint64_t offset, limit; /* of the file system in the image, bytes */
	uint32_t partition;     /* 0: none */
	int status;             /* worst exit status so far */
	bool bar;               /* a progress bar stands on the last line */
	int bad_option;         /* what cli_getopt() did not know */
	bool bad_is_value;      /* ... or found without its value */
	const char *bad_long;   /* the same of cli_getopt_long(), as written */
	char logged[600];       /* last message of the engine, not shown yet */
};

struct cli_command {
	const char *name;
	const char *args; /* for the usage line */
	const char *what; /* one line of help */
	int (*run)(struct cli *c, int argc, char **argv);
};

/* Split "IMAGE:/path" at the first ":/" whose left side exists, or else at the
 * first; "IMAGE:" alone is its root. No ":/" at all: a host path. */
int cli_target_parse(const char *arg, struct cli_target *ret_t);
void cli_target_free(struct cli_target *t);

/* Say that @what failed at @image:@path (either may be NULL) because of @err
 * (negative errno) and note the exit status. Returns it. */
int cli_err(struct cli *c, const char *image, const char *path, int err);
/* The same with words of one's own. */
int cli_errf(struct cli *c, const char *fmt, ...)
		__attribute__((format(printf, 2, 3)));
/* Something to know that is no failure; nothing with --quiet. */
void cli_warnf(struct cli *c, const char *fmt, ...)
		__attribute__((format(printf, 2, 3)));
/* Say what was wrong with the options, if that is known, and the usage. Returns
 * CLI_USAGE, as does the one for @text that is no valid @what. */
int cli_usage(struct cli *c);
int cli_bad_value(struct cli *c, const char *what, const char *text);

/* Where in @image the file system is, as --offset and --partition say, into
 * @opts. 0, or the exit status, the line being printed. */
int cli_place(struct cli *c, const char *image, struct uext4_mount_opts *opts);
/* Mount for one command. On failure the line has been printed. */
int cli_mount(struct cli *c, const char *image, bool rdonly,
		struct uext4_fs **ret_fs);
/* Unmount, print what fails, note the status. */
void cli_unmount(struct cli *c, const char *image, struct uext4_fs *fs);

/* An image that is mounted while a command works on it. */
struct cli_image {
	struct cli *c;
	const char *name;
	struct uext4_fs *fs;
};
/* cli_err() for something in the image. */
int cli_image_err(struct cli_image *im, const char *path, int err);

/* Call @fn for each IMAGE:/path of @args, an image mounted once for all that
 * follow each other in it. Goes on after an error. Returns the worst status. */
int cli_each(struct cli *c, char **args, int n, bool rdonly,
		int (*fn)(struct cli_image *im, const char *path, void *ctx),
		void *ctx);

/* getopt(3) without its words; -1 at the end, '?' for what is wrong, about
 * which cli_usage() then speaks. */
int cli_getopt(struct cli *c, int argc, char **argv, const char *opts);
/* getopt_long(3) of long options only, whose values are not '?' or ':'. */
int cli_getopt_long(struct cli *c, int argc, char **argv,
		const struct option *opts);

/* Permissions of what a command makes: @mode less the host's umask. */
uint32_t cli_new_mode(uint32_t mode);

/* Options shared by all commands (--json, --quiet, --offset, --partition,
 * --cached) are taken out of argv before the command sees it. */
int cli_take_options(struct cli *c, int *argc, char **argv);
/* "4K", "1M", "0x10", "12": bytes. -EINVAL. */
int cli_parse_size(const char *s, uint64_t *ret_bytes);

/* partition.c: where partition @n (1..) of an MBR or GPT disk lies. -ENXIO if it
 * has none, -ERANGE if that is not inside the disk. */
int cli_find_partition(const char *image, uint32_t n, uint64_t *ret_offset,
		uint64_t *ret_len);

/* progress.c: a bar on a terminal, nothing in a pipe. */
struct progress {
	bool on;
	uint64_t total_bytes, total_files;
	uint64_t bytes, files;
	uint64_t drawn_ns;
};
bool progress_wanted(const struct cli *c);
void progress_start(struct progress *p, bool wanted, uint64_t total_files,
		uint64_t total_bytes);
void progress_add(struct progress *p, uint64_t files, uint64_t bytes);
void progress_end(struct progress *p);
/* The bar of work that is done in few steps, which are named. */
void progress_step(
		struct cli *c, const char *what, unsigned done, unsigned total);
void progress_step_end(struct cli *c);

/* The commands, one file each (cmd_*.c). */
int cmd_info(struct cli *c, int argc, char **argv);
int cmd_ls(struct cli *c, int argc, char **argv);
int cmd_cat(struct cli *c, int argc, char **argv);
int cmd_stat(struct cli *c, int argc, char **argv);
int cmd_map(struct cli *c, int argc, char **argv);
int cmd_cp(struct cli *c, int argc, char **argv);
int cmd_write(struct cli *c, int argc, char **argv);
int cmd_mkdir(struct cli *c, int argc, char **argv);
int cmd_rm(struct cli *c, int argc, char **argv);
int cmd_mv(struct cli *c, int argc, char **argv);
int cmd_ln(struct cli *c, int argc, char **argv);
int cmd_chmod(struct cli *c, int argc, char **argv);
int cmd_chown(struct cli *c, int argc, char **argv);
int cmd_touch(struct cli *c, int argc, char **argv);
int cmd_truncate(struct cli *c, int argc, char **argv);
int cmd_fallocate(struct cli *c, int argc, char **argv);
int cmd_xattr(struct cli *c, int argc, char **argv);
int cmd_recover(struct cli *c, int argc, char **argv);
int cmd_bench(struct cli *c, int argc, char **argv);
int cmd_mount(struct cli *c, int argc, char **argv);
int cmd_umount(struct cli *c, int argc, char **argv);

#endif /* UEXT4_CLI_CLI_H */
