/* SPDX-License-Identifier: MIT */
/*
 * uext4 touch [-acmh] [-d TIME] IMAGE:/PATH...: times, by default of now; what is
 * not there becomes an empty file, unless -c.
 */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/cli.h"

struct touch_ctx {
	bool no_create, nofollow;
	struct uext4_setattr attr;
};

/* ".123" of @s: nanoseconds. Returns what follows, NULL if it is wrong. */
static const char *parse_fraction(const char *s, long *ret_nsec)
{
	long unit = 100000000;
	long nsec = 0;

	if (*s < '0' || *s > '9')
		return NULL;
	for (; *s >= '0' && *s <= '9'; s++) {
		nsec += (*s - '0') * unit;
		unit /= 10;
	}
	*ret_nsec = nsec;
	return s;
}

/* "@SECONDS[.NS]" */
static int parse_epoch(const char *s, struct timespec *ret_ts)
{
	struct timespec ts = { 0 };
	long long sec;
	char *end;

	errno = 0;
	sec = strtoll(s, &end, 10);
	if (errno != 0 || end == s)
		return -EINVAL;
	ts.tv_sec = (time_t)sec;
	if (*end == '.') {
		const char *rest = parse_fraction(end + 1, &ts.tv_nsec);

		if (!rest || *rest != '\0')
			return -EINVAL;
		/* -1.25 is a quarter before -1 */
		if (s[0] == '-' && ts.tv_nsec > 0) {
			ts.tv_sec--;
			ts.tv_nsec = 1000000000 - ts.tv_nsec;
		}
	} else if (*end != '\0') {
		return -EINVAL;
	}
	*ret_ts = ts;
	return 0;
}

/* "YYYY-MM-DD[ HH:MM[:SS[.ns]]][Z]", with T or a space between. */
static int parse_iso(const char *s, struct timespec *ret_ts)
{
	struct tm tm = { .tm_isdst = -1 };
	struct timespec ts = { 0 };
	struct tm back;
	const char *at;
	bool utc;

	at = strptime(s, "%Y-%m-%d", &tm);
	if (at && (*at == ' ' || *at == 'T')) {
		at = strptime(at + 1, "%H:%M", &tm);
		if (at && *at == ':')
			at = strptime(at + 1, "%S", &tm);
		if (at && *at == '.')
			at = parse_fraction(at + 1, &ts.tv_nsec);
	}
	if (!at)
		return -EINVAL;
	utc = *at == 'Z';
	if (at[utc] != '\0')
		return -EINVAL;
	back = tm;
	ts.tv_sec = utc ? timegm(&tm) : mktime(&tm);
	/* the 31st of February is another day by now */
	if (tm.tm_mday != back.tm_mday || tm.tm_mon != back.tm_mon)
		return -EINVAL;
	*ret_ts = ts;
	return 0;
}

static int parse_time(const char *s, struct timespec *ret_ts)
{
	return s[0] == '@' ? parse_epoch(s + 1, ret_ts) : parse_iso(s, ret_ts);
}

static int touch_create(struct cli_image *im, const char *path,
		struct uext4_node **ret_node)
{
	struct uext4_file *file;
	int ret;

	ret = uext4_open(im->fs, NULL, path, UEXT4_O_WRONLY | UEXT4_O_CREAT,
			cli_new_mode(0666), NULL, &file);
	if (ret < 0)
		return ret;
	*ret_node = uext4_node_hold(uext4_file_node(file));
	return uext4_close(file);
}

static int touch_one(struct cli_image *im, const char *path, void *ctx)
{
	const struct touch_ctx *tc = ctx;
	struct uext4_node *node = NULL;
	int ret;

	ret = uext4_resolve(im->fs, NULL, path,
			tc->nofollow ? UEXT4_NOFOLLOW : 0, NULL, &node);
	if (ret == -ENOENT && tc->no_create)
		return CLI_OK;
	if (ret == -ENOENT && !tc->nofollow)
		ret = touch_create(im, path, &node);
	if (ret == 0)
		ret = uext4_node_setattr(node, &tc->attr, NULL);
	uext4_node_put(node);
	return ret < 0 ? cli_image_err(im, path, ret) : CLI_OK;
}

int cmd_touch(struct cli *c, int argc, char **argv)
{
	struct touch_ctx tc = { 0 };
	const char *date = NULL;
	bool atime = false;
	bool mtime = false;
	int opt;

	while ((opt = cli_getopt(c, argc, argv, ":acmhd:")) != -1) {
		if (opt == 'a')
			atime = true;
		else if (opt == 'm')
			mtime = true;
		else if (opt == 'c')
			tc.no_create = true;
		else if (opt == 'h')
			tc.nofollow = true;
		else if (opt == 'd')
			date = optarg;
		else
			return cli_usage(c);
	}
	if (argc - optind < 1)
		return cli_usage(c);
	if (date && parse_time(date, &tc.attr.atime) < 0)
		return cli_bad_value(c, "time", date);
	tc.attr.mtime = tc.attr.atime;
	if (atime || !mtime)
		tc.attr.mask |= date ? UEXT4_SET_ATIME : UEXT4_SET_ATIME_NOW;
	if (mtime || !atime)
		tc.attr.mask |= date ? UEXT4_SET_MTIME : UEXT4_SET_MTIME_NOW;
	return cli_each(c, argv + optind, argc - optind, false, touch_one, &tc);
}
