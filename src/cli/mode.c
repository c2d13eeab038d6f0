/* SPDX-License-Identifier: MIT */
/*
 * The grammar of POSIX chmod: clauses joined by commas, each [ugoa]* followed by
 * one or more of [+-=] with [rwxXst]* or one of [ugo]. Without "who" the umask
 * of the caller holds bits back.
 */
#include "cli/mode.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/cli.h"

#define ALL 07777u

/* Bits that belong to user, group, others. */
#define WHO_U 04700u
#define WHO_G 02070u
#define WHO_O 01007u

static int mode_octal(const char *text, uint32_t *ret_mode)
{
	unsigned long n;
	char *end;

	n = strtoul(text, &end, 8);
	if (*end != '\0' || n > ALL)
		return -EINVAL;
	*ret_mode = (uint32_t)n;
	return 0;
}

static uint32_t take_who(const char **at)
{
	uint32_t who = 0;

	for (;; (*at)++) {
		switch (**at) {
		case 'u':
			who |= WHO_U;
			break;
		case 'g':
			who |= WHO_G;
			break;
		case 'o':
			who |= WHO_O;
			break;
		case 'a':
			who |= WHO_U | WHO_G | WHO_O;
			break;
		default:
			return who;
		}
	}
}

/* Three bits, for everybody. */
static uint32_t spread(uint32_t rwx)
{
	return rwx << 6 | rwx << 3 | rwx;
}

static uint32_t take_perms(const char **at, uint32_t mode, bool is_dir)
{
	uint32_t bits = 0;

	switch (**at) {
	case 'u':
		(*at)++;
		return spread(mode >> 6 & 7);
	case 'g':
		(*at)++;
		return spread(mode >> 3 & 7);
	case 'o':
		(*at)++;
		return spread(mode & 7);
	default:
		break;
	}
	for (;; (*at)++) {
		switch (**at) {
		case 'r':
			bits |= spread(4);
			break;
		case 'w':
			bits |= spread(2);
			break;
		case 'x':
			bits |= spread(1);
			break;
		case 'X':
			if (is_dir || (mode & 0111))
				bits |= spread(1);
			break;
		case 's':
			bits |= S_ISUID | S_ISGID;
			break;
		case 't':
			bits |= S_ISVTX;
			break;
		default:
			return bits;
		}
	}
}

static uint32_t apply(uint32_t mode, char op, uint32_t who, uint32_t bits,
		bool is_dir)
{
	uint32_t held = who ? 0 : ALL & ~cli_new_mode(ALL);
	uint32_t in = who ? who : ALL;
	uint32_t keep;

	/* the sticky bit has no owner: "+t" and "u+t" both set it */
	if (who && (bits & S_ISVTX))
		in |= S_ISVTX;
	bits &= in & ~held;
	switch (op) {
	case '+':
		return mode | bits;
	case '-':
		return mode & ~bits;
	default:
		/* "=" leaves set-id bits of directories, as GNU has it */
		keep = is_dir ? mode & (S_ISUID | S_ISGID) : 0;
		return (mode & ~in) | keep | bits;
	}
}

static int take_clause(
		const char **at, uint32_t mode, bool is_dir, uint32_t *ret_mode)
{
	uint32_t who = take_who(at);

	if (**at == '\0' || !strchr("+-=", **at))
		return -EINVAL;
	while (**at != '\0' && strchr("+-=", **at)) {
		char op = *(*at)++;
		uint32_t bits = take_perms(at, mode, is_dir);

		mode = apply(mode, op, who, bits, is_dir);
	}
	*ret_mode = mode;
	return 0;
}

int mode_change(const char *text, uint32_t old, bool is_dir, uint32_t *ret_mode)
{
	uint32_t mode = old & ALL;
	int ret;

	if (text[0] >= '0' && text[0] <= '7')
		return mode_octal(text, ret_mode);
	for (;;) {
		ret = take_clause(&text, mode, is_dir, &mode);
		if (ret < 0)
			return ret;
		if (*text == '\0')
			break;
		if (*text++ != ',')
			return -EINVAL;
	}
	*ret_mode = mode;
	return 0;
}
