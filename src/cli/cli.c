/* SPDX-License-Identifier: MIT */
/*
 * Targets, errors and mounting for the commands. See cli.h.
 */
#include "cli/cli.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/show.h"

/* ---- targets ---- */

static int target_set(const char *arg, size_t image_len, const char *path,
		struct cli_target *ret_t)
{
	ret_t->image = strndup(arg, image_len);
	ret_t->path = strdup(path);
	if (ret_t->image && ret_t->path)
		return 0;
	cli_target_free(ret_t);
	return -ENOMEM;
}

/* Does the text before @colon name something that exists? */
static bool target_exists(const char *arg, const char *colon)
{
	char *image = strndup(arg, (size_t)(colon - arg));
	struct stat st;
	bool yes;

	yes = image && image[0] != '\0' && stat(image, &st) == 0 &&
			!S_ISDIR(st.st_mode);
	free(image);
	return yes;
}

int cli_target_parse(const char *arg, struct cli_target *ret_t)
{
	const char *first = strstr(arg, ":/");
	size_t len = strlen(arg);
	const char *colon;

	*ret_t = (struct cli_target){ 0 };
	if (len > 1 && arg[len - 1] == ':' &&
			(!first || target_exists(arg, arg + len - 1)))
		return target_set(arg, len - 1, "/", ret_t);
	for (colon = first; colon; colon = strstr(colon + 1, ":/")) {
		if (target_exists(arg, colon))
			return target_set(arg, (size_t)(colon - arg), colon + 1,
					ret_t);
	}
	if (first)
		return target_set(arg, (size_t)(first - arg), first + 1, ret_t);
	ret_t->path = strdup(arg);
	return ret_t->path ? 0 : -ENOMEM;
}

void cli_target_free(struct cli_target *t)
{
	free(t->image);
	free(t->path);
	t->image = NULL;
	t->path = NULL;
}

int cli_parse_size(const char *s, uint64_t *ret_bytes)
{
	static const char units[] = "KMGTP";
	unsigned long long n;
	const char *unit;
	unsigned shift = 0;
	char *end;

	errno = 0;
	n = strtoull(s, &end, 0);
	if (errno != 0 || end == s || s[0] == '-')
		return -EINVAL;
	if (*end != '\0') {
		unit = strchr(units, *end == 'k' ? 'K' : *end);
		if (!unit || *unit == '\0')
			return -EINVAL;
		shift = 10u * ((unsigned)(unit - units) + 1);
		end++;
		if (strcmp(end, "iB") != 0 && *end != '\0')
			return -EINVAL;
	}
	if (shift > 0 && n > UINT64_MAX >> shift)
		return -EINVAL;
	*ret_bytes = (uint64_t)n << shift;
	return 0;
}

/* ---- errors ---- */

static void note_status(struct cli *c, int status)
{
	if (status == CLI_DAMAGED || c->status == CLI_OK)
		c->status = status;
}

/* Begin a line on standard error, where a progress bar may stand. */
static void begin_line(const struct cli *c)
{
	if (c->bar)
		fputs("\r\033[K", stderr);
	fprintf(stderr, "uext4: %s: ", c->cmd);
}

/* What a person can do about it; NULL if the error says all. */
static const char *err_advice(int err)
{
	static const struct {
		int err;
		const char *text;
	} advice[] = {
		{ ENOENT, "check the name" },
		{ EEXIST, "choose another name, or remove what has it" },
		{ ENOSPC, "remove something or make the file system larger" },
		{ EROFS, "nothing was changed" },
		{ EBUSY,
				"another program is using it: unmount or stop "
				"that "
				"first" },
		{ EACCES, "check the permissions" },
		{ EPERM,
				"check the owner, and whether it is immutable "
				"or "
				"append-only" },
		{ ELOOP, "symlinks lead in a circle, or too far" },
		{ ENAMETOOLONG, "a name has at most 255 bytes, a path 4095" },
		{ ENOTDIR, "a name before the last one is no directory" },
		{ EISDIR, "give the name of a file" },
		{ ENOTEMPTY, "remove what is in it first" },
		{ EIO, "the device or the image fails; copy what can be read" },
		{ EFBIG, "this file system cannot hold so large a file" },
	};
	size_t i;

	for (i = 0; i < sizeof(advice) / sizeof(advice[0]); i++) {
		if (advice[i].err == -err)
			return advice[i].text;
	}
	return NULL;
}

static bool is_damage(int err)
{
	return err == -EUCLEAN || err == -EBADMSG;
}

/* What the engine said about it, and what it left out. */
static void print_logged(struct cli *c, int err)
{
	show_message(stderr, c->logged);
	if (is_damage(err) && !strstr(c->logged, "e2fsck"))
		fputs("; get the whole image, or run e2fsck on a copy", stderr);
	else if (err == -EINVAL && strstr(c->logged, "not an ext"))
		fputs("; if it holds partitions, see --partition and --offset",
				stderr);
	fputc('\n', stderr);
	c->logged[0] = '\0';
}

int cli_err(struct cli *c, const char *image, const char *path, int err)
{
	int status = is_damage(err) ? CLI_DAMAGED : CLI_FAILED;
	const char *advice = err_advice(err);

	begin_line(c);
	if (image)
		show_message(stderr, image);
	if (image && path)
		fputc(':', stderr);
	if (path)
		show_message(stderr, path);
	if (image || path)
		fputs(": ", stderr);
	if (c->logged[0] != '\0')
		print_logged(c, err);
	else
		fprintf(stderr, "%s%s%s\n", uext4_strerror(err),
				advice ? "; " : "", advice ? advice : "");
	note_status(c, status);
	return status;
}

/* Names in the text may come from the image: it stays one line. */
static void say_line(struct cli *c, const char *fmt, va_list ap)
		__attribute__((format(printf, 2, 0)));

static void say_line(struct cli *c, const char *fmt, va_list ap)
{
	char *text;

	begin_line(c);
	if (vasprintf(&text, fmt, ap) >= 0) {
		show_message(stderr, text);
		free(text);
	}
	fputc('\n', stderr);
}

int cli_errf(struct cli *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say_line(c, fmt, ap);
	va_end(ap);
	note_status(c, CLI_FAILED);
	return CLI_FAILED;
}

void cli_warnf(struct cli *c, const char *fmt, ...)
{
	va_list ap;

	if (c->quiet)
		return;
	va_start(ap, fmt);
	say_line(c, fmt, ap);
	va_end(ap);
}

/* ---- mounting ---- */

static void say_logged(struct cli *c)
{
	begin_line(c);
	show_message(stderr, c->logged);
	fputc('\n', stderr);
	c->logged[0] = '\0';
}

/* Errors wait for the call that fails because of them; one that is overtaken by
 * the next is printed by itself. */
static void cli_log(void *ctx, enum uext4_log_level level, const char *msg)
{
	struct cli *c = ctx;

	if (level == UEXT4_LOG_ERR) {
		if (c->logged[0] != '\0')
			say_logged(c);
		snprintf(c->logged, sizeof(c->logged), "%s", msg);
	} else {
		cli_warnf(c, "%s", msg);
	}
}

int cli_place(struct cli *c, const char *image, struct uext4_mount_opts *opts)
{
	int ret;

	opts->offset = c->offset;
	opts->limit = c->limit;
	if (c->partition == 0)
		return 0;
	ret = cli_find_partition(
			image, c->partition, &opts->offset, &opts->limit);
	if (ret == -ENXIO)
		return cli_errf(c,
				"%s: has no partition %u; see what it has with "
				"fdisk -l",
				image, c->partition);
	if (ret == -ERANGE)
		return cli_errf(c,
				"%s: partition %u does not lie inside the "
				"disk; the table is wrong",
				image, c->partition);
	return ret < 0 ? cli_err(c, image, NULL, ret) : 0;
}

int cli_mount(struct cli *c, const char *image, bool rdonly,
		struct uext4_fs **ret_fs)
{
	struct uext4_mount_opts opts = {
		.size = sizeof(opts),
		.flags = UEXT4_MNT_NOTHREAD | UEXT4_MNT_NOATIME,
		.log = cli_log,
		.log_ctx = c,
	};
	int ret;

	if (rdonly)
		opts.flags |= UEXT4_MNT_RDONLY;
	ret = cli_place(c, image, &opts);
	if (ret != 0)
		return ret;
	ret = uext4_mount(image, &opts, ret_fs);
	return ret < 0 ? cli_err(c, image, NULL, ret) : 0;
}

void cli_unmount(struct cli *c, const char *image, struct uext4_fs *fs)
{
	int ret = uext4_unmount(fs);

	if (ret < 0)
		(void)cli_err(c, image, NULL, ret);
	else if (c->logged[0] != '\0')
		say_logged(c);
	c->logged[0] = '\0';
}

int cli_image_err(struct cli_image *im, const char *path, int err)
{
	return cli_err(im->c, im->name, path, err);
}

/* ---- several targets ---- */

/* The image that cli_each() has open. A failed one is remembered (fs NULL), so
 * that its error is said once. */
struct each {
	struct cli_image im;
	char *name; /* owned; NULL: none yet */
	bool rdonly;
};

static void each_close(struct each *e)
{
	if (e->im.fs)
		cli_unmount(e->im.c, e->name, e->im.fs);
	e->im.fs = NULL;
	free(e->name);
	e->name = NULL;
}

/* Have the image of @t mounted; false if it cannot be. Takes t->image. */
static bool each_switch(struct each *e, struct cli_target *t)
{
	if (!e->name || strcmp(e->name, t->image) != 0) {
		each_close(e);
		e->name = t->image;
		t->image = NULL;
		e->im.name = e->name;
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): each_close() */
		(void)cli_mount(e->im.c, e->name, e->rdonly, &e->im.fs);
	}
	return e->im.fs != NULL;
}

int cli_each(struct cli *c, char **args, int n, bool rdonly,
		int (*fn)(struct cli_image *im, const char *path, void *ctx),
		void *ctx)
{
	struct each e = { .im = { .c = c }, .rdonly = rdonly };
	struct cli_target t;
	int i;

	for (i = 0; i < n; i++) {
		if (cli_target_parse(args[i], &t) < 0)
			(void)cli_err(c, NULL, args[i], -ENOMEM);
		else if (!t.image)
			(void)cli_errf(c,
					"%s: not in an image; write it as "
					"IMAGE:/path",
					args[i]);
		else if (each_switch(&e, &t))
			(void)fn(&e.im, t.path, ctx);
		cli_target_free(&t);
	}
	each_close(&e);
	return c->status;
}

/* ---- small things ---- */

int cli_getopt(struct cli *c, int argc, char **argv, const char *opts)
{
	char all[32];
	int opt;

	/* -q belongs to all commands, and may stand among their letters */
	snprintf(all, sizeof(all), "%sq", opts);
	opterr = 0;
	do {
		/* one thread parses the command line */
		/* NOLINTNEXTLINE(concurrency-mt-unsafe) */
		opt = getopt(argc, argv, all);
		c->quiet = c->quiet || opt == 'q';
	} while (opt == 'q');
	if (opt != '?' && opt != ':')
		return opt;
	c->bad_option = optopt;
	c->bad_is_value = opt == ':';
	return '?';
}

int cli_getopt_long(
		struct cli *c, int argc, char **argv, const struct option *opts)
{
	int at = optind > 0 ? optind : 1;
	int opt;

	opterr = 0;
	/* one thread parses the command line */
	/* NOLINTNEXTLINE(concurrency-mt-unsafe) */
	opt = getopt_long(argc, argv, "+:", opts, NULL);
	if (opt == -1 && optind < argc)
		c->bad_long = argv[optind];
	else if (opt == '?' || opt == ':')
		c->bad_long = argv[at];
	else
		return opt;
	c->bad_is_value = opt == ':';
	return '?';
}

uint32_t cli_new_mode(uint32_t mode)
{
	mode_t mask = umask(0);

	(void)umask(mask);
	return mode & ~(uint32_t)mask;
}
