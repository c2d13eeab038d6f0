/* SPDX-License-Identifier: MIT */
/*
 * Names, modes and times as text and as JSON. See show.h.
 */
#include "cli/show.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- bytes ---- */

/* Length of the UTF-8 character at @s and its number, or 0. */
static size_t utf8_char(const unsigned char *s, size_t len, uint32_t *ret_c)
{
	static const uint32_t least[5] = { 0, 0, 0x80, 0x800, 0x10000 };
	uint32_t c = s[0];
	size_t n;
	size_t i;

	if (c < 0x80)
		n = 1;
	else if (c >= 0xc2 && c < 0xe0)
		n = 2;
	else if (c >= 0xe0 && c < 0xf0)
		n = 3;
	else if (c >= 0xf0 && c < 0xf5)
		n = 4;
	else
		return 0;
	if (n > len)
		return 0;
	if (n > 1)
		c &= 0x7fu >> n;
	for (i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return 0;
	*ret_c = c;
	return n;
}

/* Control characters, and those that turn the writing direction around. */
static bool char_is_plain(uint32_t c)
{
	if (c < 0x20 || (c >= 0x7f && c < 0xa0))
		return false;
	if (c == 0x200e || c == 0x200f || c == 0x2028 || c == 0x2029)
		return false;
	return !(c >= 0x202a && c <= 0x202e) && !(c >= 0x2066 && c <= 0x2069);
}

bool show_is_utf8(const char *s, size_t len)
{
	const unsigned char *p = (const unsigned char *)s;
	uint32_t c;
	size_t at;
	size_t n;

	for (at = 0; at < len; at += n) {
		n = utf8_char(p + at, len - at, &c);
		if (n == 0)
			return false;
	}
	return true;
}

bool show_is_plain(const char *s, size_t len)
{
	const unsigned char *p = (const unsigned char *)s;
	uint32_t c;
	size_t at;
	size_t n;

	for (at = 0; at < len; at += n) {
		n = utf8_char(p + at, len - at, &c);
		if (n == 0 || !char_is_plain(c))
			return false;
	}
	return true;
}

static void show_escaped(FILE *to, const unsigned char *p, size_t n)
{
	size_t i;

	if (n == 1 && p[0] == '\n') {
		fputs("\\n", to);
		return;
	}
	if (n == 1 && p[0] == '\t') {
		fputs("\\t", to);
		return;
	}
	for (i = 0; i < n; i++)
		fprintf(to, "\\%03o", p[i]);
}

/* All of it, what is not plain escaped, and what is in @also behind a \. */
static void show_bytes(FILE *to, const char *s, size_t len, const char *also)
{
	const unsigned char *p = (const unsigned char *)s;
	uint32_t c = 0;
	size_t at;
	size_t n;

	for (at = 0; at < len; at += n) {
		n = utf8_char(p + at, len - at, &c);
		if (n == 0) {
			n = 1;
			show_escaped(to, p + at, 1);
		} else if (!char_is_plain(c)) {
			show_escaped(to, p + at, n);
		} else {
			if (n == 1 && strchr(also, p[at]))
				fputc('\\', to);
			fwrite(p + at, 1, n, to);
		}
	}
}

void show_name(FILE *to, const char *s, size_t len)
{
	if (show_is_plain(s, len)) {
		fwrite(s, 1, len, to);
		return;
	}
	fputc('"', to);
	show_bytes(to, s, len, "\"\\");
	fputc('"', to);
}

void show_message(FILE *to, const char *s)
{
	show_bytes(to, s, strlen(s), "");
}

/* ---- attributes ---- */

static char type_letter(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return '-';
	case S_IFDIR:
		return 'd';
	case S_IFLNK:
		return 'l';
	case S_IFCHR:
		return 'c';
	case S_IFBLK:
		return 'b';
	case S_IFIFO:
		return 'p';
	case S_IFSOCK:
		return 's';
	default:
		return '?';
	}
}

const char *show_type(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return "file";
	case S_IFDIR:
		return "directory";
	case S_IFLNK:
		return "symlink";
	case S_IFCHR:
		return "char";
	case S_IFBLK:
		return "block";
	case S_IFIFO:
		return "fifo";
	case S_IFSOCK:
		return "socket";
	default:
		return "unknown";
	}
}

void show_mode(uint32_t mode, char *ret)
{
	static const char rwx[] = "rwxrwxrwx";
	int i;

	ret[0] = type_letter(mode);
	for (i = 0; i < 9; i++)
		ret[1 + i] = '-';
	for (i = 0; i < 9; i++) {
		if (mode & (0400u >> i))
			ret[1 + i] = rwx[i];
	}
	if (mode & S_ISUID)
		ret[3] = mode & S_IXUSR ? 's' : 'S';
	if (mode & S_ISGID)
		ret[6] = mode & S_IXGRP ? 's' : 'S';
	if (mode & S_ISVTX)
		ret[9] = mode & S_IXOTH ? 't' : 'T';
	ret[10] = '\0';
}

void show_time(const struct timespec *ts, bool full, char *ret)
{
	char day[32] = "";
	char zone[16] = "";
	struct tm tm;

	if (!localtime_r(&ts->tv_sec, &tm)) {
		snprintf(ret, 64, "@%lld", (long long)ts->tv_sec);
		return;
	}
	strftime(day, sizeof(day), "%Y-%m-%d %H:%M:%S", &tm);
	strftime(zone, sizeof(zone), "%z", &tm);
	if (full)
		snprintf(ret, 64, "%s.%09ld %s", day, ts->tv_nsec, zone);
	else
		snprintf(ret, 64, "%s", day);
}

void show_uuid(const uint8_t *uuid, char *ret)
{
	size_t at = 0;
	int i;

	for (i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			ret[at++] = '-';
		at += (size_t)snprintf(ret + at, 3, "%02x", uuid[i]);
	}
}

/* ---- JSON ---- */

static void put(json_t *o, const char *key, json_t *v)
{
	/* takes v in any case; without memory the key is missing */
	(void)json_object_set_new(o, key, v);
}

void json_set_int(json_t *o, const char *key, uint64_t n)
{
	put(o, key, json_integer((json_int_t)n));
}

void json_set_str(json_t *o, const char *key, const char *ascii)
{
	put(o, key, json_string(ascii));
}

void json_set_bool(json_t *o, const char *key, bool yes)
{
	put(o, key, json_boolean(yes));
}

json_t *json_of_bytes(const void *bytes, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *p = bytes;
	char *hex = malloc(2 * len + 1);
	json_t *v;
	size_t i;

	if (!hex)
		return NULL;
	for (i = 0; i < len; i++) {
		hex[2 * i] = digits[p[i] >> 4];
		hex[2 * i + 1] = digits[p[i] & 15];
	}
	v = json_stringn(hex, 2 * len);
	free(hex);
	return v;
}

/* Every byte that is no part of UTF-8 becomes U+FFFD. */
static json_t *json_of_lossy(const char *s, size_t len)
{
	const unsigned char *p = (const unsigned char *)s;
	char *text = malloc(3 * len + 1);
	size_t out = 0;
	uint32_t c;
	json_t *v;
	size_t at;
	size_t n;

	if (!text)
		return NULL;
	for (at = 0; at < len; at += n) {
		n = utf8_char(p + at, len - at, &c);
		if (n > 0) {
			memcpy(text + out, p + at, n);
			out += n;
		} else {
			n = 1;
			memcpy(text + out, "\xef\xbf\xbd", 3);
			out += 3;
		}
	}
	v = json_stringn_nocheck(text, out);
	free(text);
	return v;
}

void json_set_text(json_t *o, const char *key, const void *bytes, size_t len)
{
	char name[64];

	if (show_is_utf8(bytes, len)) {
		put(o, key, json_stringn_nocheck(bytes, len));
		return;
	}
	put(o, key, json_of_lossy(bytes, len));
	snprintf(name, sizeof(name), "%s_hex", key);
	put(o, name, json_of_bytes(bytes, len));
}

json_t *json_of_time(const struct timespec *ts)
{
	json_t *o = json_object();

	put(o, "sec", json_integer((json_int_t)ts->tv_sec));
	put(o, "nsec", json_integer((json_int_t)ts->tv_nsec));
	return o;
}

json_t *json_of_stat(const struct uext4_stat *st)
{
	json_t *o = json_object();
	char mode[16];

	snprintf(mode, sizeof(mode), "%04o", st->mode & 07777);
	json_set_int(o, "ino", st->ino);
	json_set_int(o, "generation", st->generation);
	json_set_str(o, "type", show_type(st->mode));
	json_set_str(o, "mode", mode);
	json_set_int(o, "nlink", st->nlink);
	json_set_int(o, "uid", st->uid);
	json_set_int(o, "gid", st->gid);
	if (S_ISCHR(st->mode) || S_ISBLK(st->mode)) {
		json_set_int(o, "major", st->rdev_major);
		json_set_int(o, "minor", st->rdev_minor);
	}
	json_set_int(o, "size", st->size);
	json_set_int(o, "sectors", st->sectors);
	json_set_int(o, "flags", st->flags);
	put(o, "atime", json_of_time(&st->atime));
	put(o, "mtime", json_of_time(&st->mtime));
	put(o, "ctime", json_of_time(&st->ctime));
	if (st->btime.tv_sec != 0 || st->btime.tv_nsec != 0)
		put(o, "btime", json_of_time(&st->btime));
	return o;
}

void json_show(json_t *o)
{
	(void)json_dumpf(o, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(o);
}

void json_list_start(struct json_list *l)
{
	l->any = false;
	putchar('[');
}

void json_list_add(struct json_list *l, json_t *o)
{
	fputs(l->any ? ",\n" : "\n", stdout);
	(void)json_dumpf(o, stdout, 0);
	json_decref(o);
	l->any = true;
}

void json_list_end(struct json_list *l)
{
	fputs(l->any ? "\n]\n" : "]\n", stdout);
}
